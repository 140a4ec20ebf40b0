use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use signalbox_proto::{Accepted, Name, integration::Template};

use super::*;
use crate::{About, AnyTarget, Egress, find, preview};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600); // 2026-01-01T00:00:00Z
const PASSWORD: &str = "s3cret-password-4711";

/// As it is accepted: the severity is the event's own, else its type's.
fn event(event_type: &str, data: &Value) -> Accepted {
    let severity: Option<signalbox_proto::Severity> = serde_json::from_value(data["severity"].clone()).ok();
    serde_json::from_value(json!({
        "event": {
            "id": "evt-1", "org": "acme", "type": event_type, "source": "/acme", "time": "2025-12-31T23:59:58Z",
            "severity": severity.unwrap_or_else(|| signalbox_proto::types::default_severity(event_type)),
            "severity_named": severity.is_some(), "data": data,
        },
        "seq": 1,
        "at": "2026-01-01T00:00:00Z",
    }))
    .expect("an accepted event")
}

fn delivery(events: Vec<Accepted>) -> Delivery {
    let provider: Name = "email".parse().expect("a name");
    let mut delivery = Delivery::first(events[0].clone(), "0197", &provider, 1, 1);
    delivery.events = events;
    delivery
}

fn config() -> Value {
    json!({
        "smtp": { "host": "smtp.example.com", "port": 587, "secure": true },
        "from": "specs@example.com",
        "recipients": { "execution.failed": ["oncall@example.com"], "pr.*": ["reviewers@example.com"] },
        "to_addresses": ["Archive <archive@example.com>"],
    })
}

fn credentials() -> Value {
    json!({ "username": "signalbox", "password": PASSWORD })
}

fn open(config: Value, template: Option<&Template>) -> Box<dyn AnyTarget> {
    let about = About {
        integration: "0197".to_owned(),
        name: "mails".parse().expect("a name"),
        org: "acme".parse().expect("a name"),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    };
    let opened = find("email")
        .expect("built in")
        .open_with_template(config, credentials(), about, template);
    opened.unwrap_or_else(|error| panic!("{error}"))
}

/// The first transaction of a delivery.
fn send(config: Value, template: Option<&Template>, delivery: &Delivery) -> Mail {
    match open(config, template).next(delivery, &[], NOW) {
        Step::Send(Request::Mail(request)) => request.mail.expect("a mail"),
        other => panic!("{other:?}"),
    }
}

fn to(mail: &Mail) -> Vec<&str> {
    mail.to.iter().map(|(_, address)| address.as_ref()).collect()
}

/// Compares a mail with a file of `golden/`, or writes it where `SIGNALBOX_GOLDEN_UPDATE` is set.
fn golden(name: &str, mail: &Mail) {
    let text = std::str::from_utf8(&mail.message).expect("ASCII").replace("\r\n", "\n");
    let written = format!(
        "MAIL FROM:<{}>\nRCPT TO:<{}>\n\n{text}",
        mail.from,
        to(mail).join(">, <")
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/email/golden/{name}.txt"));
    if std::env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
        std::fs::write(&path, &written).expect("the golden file");
    }
    let known = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, known, "{name}: SIGNALBOX_GOLDEN_UPDATE=1 writes it anew");
}

fn failed() -> Accepted {
    event(
        "execution.failed",
        &json!({
            "agent_name": "builder", "severity": "critical", "success_rate": 0.925,
            "error": "no space left on <device> & more\n  at write()", "logs_url": "https://example.com/logs/7?a=1&b=2",
        }),
    )
}

fn pull_request() -> Accepted {
    event(
        "pr.created",
        &json!({
            "title": "Größe ändern", "reviewers": ["ann", "bob"],
            "pr": { "number": 42, "url": "https://example.com/acme/site/pull/42" },
        }),
    )
}

#[test]
fn mails_are_as_recorded() {
    golden("execution-failed", &send(config(), None, &delivery(vec![failed()])));
    golden("pr-created", &send(config(), None, &delivery(vec![pull_request()])));
    let mut digest = delivery(vec![failed(), pull_request()]);
    digest.digest = true;
    golden("digest", &send(config(), None, &digest));
    let template = Template {
        title: Some("{{ event.title }} at {{ event.data.agent_name }}".to_owned()),
        body: Some("<b>{{ event.data.error }}</b>\n\nRunbook: https://example.com/runbook".to_owned()),
    };
    golden("template", &send(config(), Some(&template), &delivery(vec![failed()])));
    golden(
        "test",
        &send(config(), None, &delivery(vec![event("integration.test", &json!({}))])),
    );
}

#[test]
fn everybody_gets_what_is_for_them() {
    let of = |events| {
        let mut delivery = delivery(events);
        delivery.digest = delivery.events.len() > 1;
        let mail = send(config(), None, &delivery);
        to(&mail).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let (archive, oncall, reviewers) = ("archive@example.com", "oncall@example.com", "reviewers@example.com");
    assert_eq!(of(vec![failed()]), [archive, oncall]);
    assert_eq!(of(vec![pull_request()]), [archive, reviewers]);
    assert_eq!(of(vec![event("alert.created", &json!({}))]), [archive]);
    assert_eq!(of(vec![failed(), pull_request()]), [archive, oncall, reviewers]);
}

#[test]
fn an_event_for_nobody_is_rejected_and_says_so() {
    let mut config = config();
    config.as_object_mut().expect("an object").remove("to_addresses");
    let step = open(config, None).next(&delivery(vec![event("alert.created", &json!({}))]), &[], NOW);
    let Step::Done(Outcome::Reject { reason }) = step else {
        panic!("{step:?}");
    };
    assert!(reason.starts_with("no recipient gets alert.created: "), "{reason}");
}

#[test]
fn a_repeat_is_the_same_mail_whoever_is_left_to_get_it() {
    let delivery = delivery(vec![failed()]);
    let first = send(config(), None, &delivery);
    assert_eq!(to(&first), ["archive@example.com", "oncall@example.com"]);
    let some = Exchange {
        response: Response {
            status: 250,
            headers: Default::default(),
            body: r#"{"step":"DATA","got":[0],"not":[[1,451,null]]}"#.into(),
            truncated: false,
        },
    };
    let later = NOW + Duration::from_secs(3_600);
    let Step::Send(Request::Mail(mail::Request { mail: Some(second), .. })) =
        open(config(), None).next(&delivery, &[some], later)
    else {
        panic!("somebody is left");
    };
    assert_eq!(to(&second), ["oncall@example.com"]);
    assert_eq!(second.message, first.message);
}

fn wrong(config: Value, credentials: Value) -> Vec<String> {
    let egress = Egress::default();
    let errors = find("email")
        .expect("built in")
        .check(&config, &credentials, &egress)
        .expect_err("it is wrong");
    let text = format!("{errors:?}");
    assert!(!text.contains("hush") && !text.contains("evil"), "{text}");
    errors.into_iter().map(|error| error.pointer).collect()
}

#[test]
fn what_is_wrong_with_a_config_is_said_with_its_field() {
    assert_eq!(
        wrong(json!({}), json!({ "username": "u" })),
        [
            "config/smtp/host",
            "config/from",
            "config/to_addresses",
            "credentials/password"
        ]
    );
    let with = |more: Value| {
        let mut config = config();
        for (name, value) in more.as_object().expect("an object") {
            config[name] = value.clone();
        }
        config
    };
    for (more, credentials, pointer) in [
        (
            json!({ "smtp_host": "evil.example.com" }),
            credentials(),
            "config/smtp_host",
        ),
        (json!({ "smtp_port": 25 }), credentials(), "config/smtp_port"),
        (
            json!({ "from_address": "evil@example.com" }),
            credentials(),
            "config/from_address",
        ),
        (
            json!({ "from": "a@example.com\r\nBcc: evil@example.com" }),
            credentials(),
            "config/from",
        ),
        (
            json!({ "smtp": { "host": "evil.example.com", "port": 0 } }),
            credentials(),
            "config/smtp/port",
        ),
        (
            json!({ "smtp": { "host": "evil example" } }),
            credentials(),
            "config/smtp/host",
        ),
        (
            json!({ "smtp": { "host": "127.0.0.1" } }),
            credentials(),
            "config/smtp/host",
        ),
        // In clear nothing goes to an address that nobody has allowed.
        (
            json!({ "smtp": { "host": "smtp.example.com", "secure": false } }),
            json!({}),
            "config/smtp/host",
        ),
        (json!({}), json!({ "password": "hush" }), "credentials/username"),
        (
            json!({}),
            json!({ "username": "u", "password": " " }),
            "credentials/password",
        ),
        (
            json!({}),
            json!({ "username": "u", "password": "hush\u{0}" }),
            "credentials/password",
        ),
    ] {
        assert_eq!(wrong(with(more), credentials), [pointer]);
    }
}

#[test]
fn the_guides_own_names_and_the_defaults_are_taken() {
    let of = |config: Value| {
        let config: Config = serde_json::from_value(config).expect("a config");
        let credentials = serde_json::from_value(json!({})).expect("none");
        let prepared = Email::prepare(config, credentials).unwrap_or_else(|errors| panic!("{errors:?}"));
        (
            prepared.account.server.to_string(),
            Email::urls(&prepared)[0].0,
            prepared.warnings.len(),
        )
    };
    let (to, from) = (json!(["a@example.com"]), "b@example.com");
    assert_eq!(
        of(json!({ "smtp": { "host": "smtp.example.com" }, "from": from, "to_addresses": to })),
        ("smtp://smtp.example.com:587".to_owned(), "config/smtp/host", 0)
    );
    assert_eq!(
        of(json!({ "smtp_host": "smtp.example.com", "smtp_port": 465, "from_address": from, "to_addresses": to })),
        ("smtps://smtp.example.com:465".to_owned(), "config/smtp_host", 0)
    );
    assert_eq!(
        of(json!({
            "smtp": { "host": "smtp.example.com", "port": 465, "secure": false }, "from": from, "to_addresses": to
        })),
        ("smtps://smtp.example.com:465".to_owned(), "config/smtp/host", 1)
    );
}

#[test]
fn a_preview_shows_the_mail_and_who_it_goes_to_and_no_password() {
    let target = open(config(), None);
    let step = target.next(
        &delivery(vec![event("execution.failed", &json!({ "error": PASSWORD }))]),
        &[],
        NOW,
    );
    let Step::Send(request) = step else {
        panic!("{step:?}");
    };
    assert!(!format!("{request:?}").contains(PASSWORD));
    let shown = preview::of(&request, target.redactor());
    assert_eq!(
        (shown.method.as_str(), shown.url.as_str()),
        ("MAIL", "smtp://smtp.example.com:587")
    );
    assert_eq!(shown.headers["MAIL FROM"], "specs@example.com");
    assert_eq!(shown.headers["RCPT TO"], "archive@example.com, oncall@example.com");
    let body = String::from_utf8(shown.body.to_vec()).expect("text");
    assert!(body.contains("Subject: [Signalbox] Execution Failed\r\n"), "{body}");
    assert!(!body.contains(PASSWORD), "{body}");
    let probe = target.probe(NOW).expect("a probe");
    assert_eq!(preview::of(&probe, target.redactor()).method, "NOOP");
}
