use std::path::Path;

use serde_json::{Value, json};
use signalbox_proto::{Accepted, Name, integration::Template, types};

use super::*;
use crate::{About, conformance::as_http, find};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600); // 2026-01-01T00:00:00Z
const TOPIC: &str = "s3cret-topic";

/// As it is accepted: the severity is the event's own, else its type's.
fn event(event_type: &str, data: &Value) -> Accepted {
    let severity: Option<signalbox_proto::Severity> = serde_json::from_value(data["severity"].clone()).ok();
    serde_json::from_value(json!({
        "event": {
            "id": "evt-1", "org": "acme", "type": event_type, "source": "/acme", "time": "2025-12-31T23:59:58Z",
            "severity": severity.unwrap_or_else(|| types::default_severity(event_type)),
            "severity_named": severity.is_some(), "data": data,
        },
        "seq": 1,
        "at": "2026-01-01T00:00:00Z",
    }))
    .expect("an accepted event")
}

fn delivery(events: Vec<Accepted>) -> Delivery {
    let provider: Name = "ntfy".parse().expect("a name");
    let mut delivery = Delivery::first(events[0].clone(), "0197", &provider, 1, 1);
    delivery.events = events;
    delivery
}

fn one(event_type: &str, data: &Value) -> Delivery {
    delivery(vec![event(event_type, data)])
}

fn about() -> About {
    About {
        integration: "0197".to_owned(),
        name: "phones".parse().expect("a name"),
        org: "acme".parse().expect("a name"),
        brand: "Signalbox".into(),
        timeout: std::time::Duration::from_secs(15),
    }
}

fn config() -> Value {
    json!({ "topic": TOPIC, "tags": ["shop"] })
}

/// As a worker has it: by the registry, with the owner's template.
fn target(config: Value, template: Option<&Template>) -> Box<dyn crate::AnyTarget> {
    find("ntfy")
        .expect("built in")
        .open_with_template(config, json!({ "token": "tk_s3cret" }), about(), template)
        .expect("a target")
}

fn send(template: Option<&Template>, delivery: &Delivery) -> http::Request {
    match target(config(), template).next(delivery, &[], NOW) {
        Step::Send(request) => as_http(request),
        Step::Done(outcome) => panic!("{outcome:?}"),
    }
}

fn body_of(request: &http::Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

fn text_of(template: Option<&Template>, delivery: &Delivery) -> String {
    let body = body_of(&send(template, delivery));
    body["message"].as_str().expect("a text").to_owned()
}

/// Compares a request with a file of `golden/`, or writes it where `SIGNALBOX_GOLDEN_UPDATE` is set. The message stands
/// there line by line.
fn golden(name: &str, request: &http::Request) {
    let headers: serde_json::Map<String, Value> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").into()))
        .collect();
    let mut body = body_of(request);
    if let Some(text) = body["message"].as_str() {
        body["message"] = text.split('\n').collect();
    }
    let written = json!({
        "method": request.method.as_str(), "url": request.url.as_str(), "headers": headers, "body": body,
    });
    let written = format!("{written:#}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/ntfy/golden/{name}.json"));
    if std::env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
        std::fs::write(&path, &written).expect("the golden file");
    }
    let known = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, known, "{name}: SIGNALBOX_GOLDEN_UPDATE=1 writes it anew");
}

/// One event of each sort that people meet.
fn samples() -> Vec<(&'static str, &'static str, Value)> {
    let spec = json!({
        "id": "FEAT-0001", "title": "User Authentication", "file": "specs/feat-0001.md", "status": "approved",
        "url": "https://example.com/specs/feat-0001",
    });
    let pr = json!({ "number": 42, "url": "https://example.com/acme/site/pull/42" });
    vec![
        (
            "execution-failed",
            "execution.failed",
            json!({
                "agent_name": "builder", "severity": "critical", "success_rate": 0.925,
                "error": "no space left on <device> & more\n  at write() of @acme/disk", "logs_url": "https://example.com/logs/7",
            }),
        ),
        (
            "alert-created",
            "alert.created",
            json!({ "title": "Latency is rising", "message": "p99 is above 800 ms since 10 minutes.", "latency_ms": 840,
                    "affected_agents": ["agent-1", "agent-2"] }),
        ),
        (
            "alert-resolved",
            "alert.resolved",
            json!({ "title": "Latency is rising" }),
        ),
        (
            "canary-promoted",
            "canary.promoted",
            json!({ "version": "1.4.2", "success_rate": 0.9991 }),
        ),
        (
            "canary-rolled-back",
            "canary.rolled_back",
            json!({ "version": "1.4.2", "reason": "error rate above 2 %" }),
        ),
        (
            "implementation-completed",
            "implementation.completed",
            json!({
                "spec": spec, "pr": pr, "repository": { "owner": "acme", "name": "site" }, "reviewers": ["@team", "ann"],
                "acceptance_criteria": ["A user can sign in", "A user can sign out, everywhere"],
            }),
        ),
        (
            "system-degraded",
            "system.degraded",
            json!({ "reason": "two of three agents are down", "logs_url": "http://localhost:3000/logs" }),
        ),
        ("integration-test", "integration.test", json!({})),
        (
            "own-type",
            "shop.order-paid",
            json!({
                "order": { "id": 7, "lines": [1, 2, 3], "buyer": { "name": "Ann <ann@example.com>" } }, "paid": true,
                "note": null, "total": 19.90, "comment": "@everyone <b>now</b>\n> /ban@another_bot", "callbackURL": "javascript:x",
                "items": [{ "sku": "a-1", "count": 2 }, { "sku": "b-2", "count": 1 }], "שם": "שלום \u{202e}עולם",
            }),
        ),
    ]
}

#[test]
fn notifications_are_as_recorded() {
    for (name, event_type, data) in samples() {
        golden(name, &send(None, &one(event_type, &data)));
    }
}

#[test]
fn a_digest_is_one_notification_as_recorded() {
    let events: Vec<Accepted> = samples()
        .iter()
        .map(|(_, event_type, data)| event(event_type, data))
        .collect();
    golden("digest", &send(None, &delivery(events)));
    let many = (0..60).map(|n| event("execution.failed", &json!({ "error": format!("error {n}") })));
    let text = text_of(None, &delivery(many.collect()));
    let lines = text.lines().filter(|line| line.starts_with("❌ ")).count();
    assert!(lines >= 15, "{lines} lines in {text}");
    assert!(
        text.contains(&format!("\nand {} more events\n\n", 60 - lines)),
        "{text}"
    );
}

#[test]
fn a_template_takes_the_place_of_title_and_fields_as_recorded() {
    let data = json!({ "error": "*no* space & <left>", "logs_url": "https://example.com/logs/7" });
    let delivery = one("execution.failed", &data);
    let template = |title: Option<&str>, body: Option<&str>| Template {
        title: title.map(str::to_owned),
        body: body.map(str::to_owned),
    };
    let both = template(
        Some("Run broke: {{ event.data.error }}"),
        Some("{{ event.data.error }}\nCall Ann."),
    );
    golden("template", &send(Some(&both), &delivery));
    let nothing = template(Some("{{ event.data.nothing }}"), Some(""));
    let body = body_of(&send(Some(&nothing), &delivery));
    assert_eq!(body["title"], "❌ Execution Failed");
    assert_eq!(
        body["message"], "2025-12-31T23:59:58Z · Signalbox",
        "else ntfy writes triggered"
    );
}

#[test]
fn severity_says_how_loud_it_is() {
    for (severity, priority) in [("critical", 5), ("high", 4), ("medium", 3), ("low", 2)] {
        let body = body_of(&send(None, &one("alert.created", &json!({ "severity": severity }))));
        assert_eq!(body["priority"], priority, "{severity}");
        assert_eq!(body["tags"], json!(["shop", severity, "alert.created"]));
    }
}

#[test]
fn a_probe_reads_the_account() {
    let Some(Request::Http(probe)) = target(config(), None).probe(NOW) else {
        panic!("there is one")
    };
    golden("probe", &probe);
}

#[test]
fn an_address_that_is_too_long_for_a_button_is_a_line() {
    let long = format!("https://example.com/{}", "x".repeat(300));
    let data = json!({ "logs_url": long, "pr": { "url": "https://example.com/pull/42" } });
    let body = body_of(&send(None, &one("implementation.completed", &data)));
    assert_eq!(body["click"], "https://example.com/pull/42");
    assert_eq!(body["actions"].as_array().map(Vec::len), Some(1), "{body}");
    let message = body["message"].as_str().expect("a text");
    assert!(message.contains(&format!("\nView Details: {long}\n")), "{message}");
}

/// The server takes titles and addresses for headers, and decodes what is encoded in them.
#[test]
fn nothing_that_looks_encoded_reaches_the_decoder_of_headers() {
    let url = "https://example.com/?a==?utf-8?q?=41=0A?=b";
    let data = json!({ "logs_url": url });
    let template = Template {
        title: Some("=?utf-8?q?=41?=".to_owned()),
        body: None,
    };
    let body = body_of(&send(Some(&template), &one("alert.created", &data)));
    assert_eq!(body["title"], "= ?utf-8?q?=41?=");
    assert_eq!(body["click"], "https://example.com/?a==%3Futf-8?q?=41=0A?=b");
    // All buttons are one header.
    let data = json!({ "logs_url": "https://a.example/x=?utf-8?q?a=22", "pr_url": "https://b.example/?=" });
    let body = body_of(&send(None, &one("alert.created", &data)));
    assert_eq!(body["click"], "https://a.example/x%3D?utf-8?q?a=22");
    assert!(!body["actions"].to_string().contains("=?"), "{body}");
}

#[test]
fn much_text_keeps_room_for_the_last_line() {
    for sign in ["x", "𝕳", "<", "\"", "שלום ", "👩\u{200d}👩\u{200d}👧\u{200d}👦"] {
        let fields = (0..60).map(|n| (format!("field_{n}"), Value::from(sign.repeat(800))));
        let mut data: serde_json::Map<String, Value> = fields.collect();
        data.insert("title".to_owned(), sign.repeat(500).into());
        data.insert("message".to_owned(), sign.repeat(2_000).into());
        let text = text_of(None, &one("execution.failed", &data.into()));
        assert!(
            text.ends_with(" more fields\n\n2025-12-31T23:59:58Z · Signalbox"),
            "{sign}: {text}"
        );
    }
}

fn errors(config: Value, credentials: Value) -> Vec<String> {
    let prepared = Ntfy::prepare(
        serde_json::from_value(config).expect("the fields"),
        serde_json::from_value(credentials).expect("the fields"),
    );
    let pointers = |errors: Vec<FieldError>| errors.into_iter().map(|error| error.pointer).collect();
    prepared.map_or_else(pointers, |_| Vec::new())
}

#[test]
fn what_is_wrong_is_refused_at_once_with_its_field() {
    let long = "x".repeat(65);
    for topic in ["", " ", "a b", "https://ntfy.sh/alerts", "über", "account", &long] {
        assert_eq!(
            errors(json!({ "topic": topic }), json!({})),
            ["config/topic"],
            "{topic}"
        );
    }
    assert_eq!(
        errors(
            json!({ "topic": "a/b", "tags": ["a,b", "ok"], "base_url": "ntfy" }),
            json!({ "user": "phil" })
        ),
        [
            "config/topic",
            "config/tags/0",
            "config/base_url",
            "credentials/password"
        ]
    );
    let of = |credentials: Value| errors(json!({ "topic": TOPIC }), credentials);
    assert_eq!(of(json!({ "password": "x" })), ["credentials/user"]);
    assert_eq!(
        of(json!({ "token": "tk_x", "user": "phil", "password": "x" })),
        ["credentials/token"]
    );
    assert_eq!(of(json!({ "token": " " })), ["credentials/token"]);
    assert_eq!(of(json!({ "token": "tk_\u{1}" })), ["credentials/token"]);
    assert_eq!(
        of(json!({ "user": "a:b", "password": "" })),
        ["credentials/user", "credentials/password"]
    );
    for right in [
        json!({}),
        json!({ "token": " tk_x\n" }),
        json!({ "user": "phil", "password": "x y" }),
    ] {
        assert!(of(right).is_empty());
    }
}

fn warnings(config: Value, credentials: Value) -> Vec<String> {
    let prepared = Ntfy::prepare(
        serde_json::from_value(config).expect("the fields"),
        serde_json::from_value(credentials).expect("the fields"),
    );
    let warnings = Ntfy::warnings(&prepared.expect("it is right"));
    warnings.into_iter().map(|warning| warning.pointer).collect()
}

#[test]
fn a_topic_that_anybody_guesses_and_a_token_that_is_none_are_warned_of() {
    let open = |base_url: &str| warnings(json!({ "topic": "alerts", "base_url": base_url }), json!({}));
    assert_eq!(open(BASE_URL), ["config/topic"]);
    assert!(open("https://ntfy.example.com").is_empty());
    assert!(warnings(json!({ "topic": "alerts" }), json!({ "token": "tk_x" })).is_empty());
    assert_eq!(
        warnings(json!({ "topic": "ops-1" }), json!({ "token": "tk_x" })),
        ["config/topic"]
    );
    assert_eq!(
        warnings(json!({ "topic": "alerts" }), json!({ "token": "hunter2" })),
        ["credentials/token"]
    );
}

#[test]
fn a_server_may_lie_below_a_path() {
    for (base, publish, account) in [
        ("https://ntfy.sh", "https://ntfy.sh/", "https://ntfy.sh/v1/account"),
        (
            "http://10.0.0.1:8080/ntfy/?x=1",
            "http://10.0.0.1:8080/ntfy/",
            "http://10.0.0.1:8080/ntfy/v1/account",
        ),
    ] {
        let config = serde_json::from_value(json!({ "topic": TOPIC, "base_url": base })).expect("the fields");
        let credentials = serde_json::from_value(json!({})).expect("the fields");
        let prepared = Ntfy::prepare(config, credentials).expect("it is right");
        assert_eq!(
            (prepared.publish.as_str(), prepared.account.as_str()),
            (publish, account)
        );
    }
}
