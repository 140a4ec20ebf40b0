use std::path::Path;

use serde_json::{Value, json};
use signalbox_proto::{Accepted, Name, integration::Template, outcome::OutcomeKind};

use super::*;
use crate::{About, AnyTarget, Egress, conformance::as_http, find};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600); // 2026-01-01T00:00:00Z
const KEY: &str = "s3cretbb-faa2-4ba2-a551-1afdf565c889";

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

fn about_entity(mut accepted: Accepted, subject: &str, seq: u64) -> Accepted {
    accepted.event.subject = Some(subject.to_owned());
    accepted.seq = seq;
    accepted
}

fn delivery(events: Vec<Accepted>) -> Delivery {
    let provider: Name = "opsgenie".parse().expect("a name");
    let mut delivery = Delivery::first(events[0].clone(), "0197", &provider, 1, 1);
    delivery.id = "delivery-1".to_owned();
    delivery.events = events;
    delivery
}

fn about() -> About {
    About {
        integration: "0197".to_owned(),
        name: "on-call".parse().expect("a name"),
        org: "acme".parse().expect("a name"),
        brand: "Signalbox".into(),
        timeout: std::time::Duration::from_secs(15),
    }
}

/// As a worker opens it: by the registry, with the owner's template.
fn open(config: Value, template: Option<&Template>) -> Box<dyn AnyTarget> {
    find("opsgenie")
        .expect("built in")
        .open_with_template(config, json!({ "api_key": KEY }), about(), template)
        .expect("a target")
}

fn answered(status: u16) -> Exchange {
    Exchange {
        response: Response {
            status,
            headers: HeaderMap::new(),
            body: r#"{"result":"x","requestId":"x"}"#.into(),
            truncated: false,
        },
    }
}

/// All requests of a delivery whose target takes each of them.
fn requests(target: &dyn AnyTarget, delivery: &Delivery) -> Vec<http::Request> {
    let mut so_far = Vec::new();
    let mut requests = Vec::new();
    loop {
        match target.next(delivery, &so_far, NOW) {
            Step::Send(request) => requests.push(as_http(request)),
            Step::Done(outcome) => {
                assert_eq!(outcome, Outcome::Delivered);
                return requests;
            }
        }
        so_far.push(answered(202));
    }
}

fn send(config: Value, template: Option<&Template>, accepted: Accepted) -> http::Request {
    let mut requests = requests(&*open(config, template), &delivery(vec![accepted]));
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

fn body(config: Value, accepted: Accepted) -> Value {
    serde_json::from_slice(&send(config, None, accepted).body).expect("JSON")
}

/// Compares requests with a file of `golden/`, or writes it where `SIGNALBOX_GOLDEN_UPDATE` is set.
fn golden(name: &str, requests: &[http::Request]) {
    let shown = |request: &http::Request| {
        let headers: serde_json::Map<String, Value> = request
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").into()))
            .collect();
        let Auth::Authorization(auth) = &request.auth else {
            panic!("no key is sent");
        };
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        json!({
            "method": request.method.as_str(), "url": request.url.as_str(), "headers": headers,
            "authorization": auth.to_str().expect("ASCII"), "body": body,
        })
    };
    let written = match requests {
        [one] => shown(one),
        more => more.iter().map(shown).collect(),
    };
    let written = format!("{written:#}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/opsgenie/golden/{name}.json"));
    if std::env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
        std::fs::write(&path, &written).expect("the golden file");
    }
    let known = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, known, "{name}: SIGNALBOX_GOLDEN_UPDATE=1 writes it anew");
}

#[test]
fn alerts_are_as_recorded() {
    let target = open(json!({ "tags": ["production"] }), None);
    let latency = json!({
        "title": "Latency is rising", "message": "p99 is above 800 ms since 10 minutes.", "latency_ms": 840,
        "severity": "critical", "logs_url": "https://example.com/logs/7",
    });
    for (name, event_type, subject, data) in [
        ("alert-created", "alert.created", Some("db-1"), latency.clone()),
        ("alert-resolved", "alert.resolved", Some("db-1"), latency),
        (
            "execution-failed",
            "execution.failed",
            None,
            json!({ "agent_name": "builder", "error": "no space left on <device> & more\n  at write()" }),
        ),
        (
            "system-degraded",
            "system.degraded",
            None,
            json!({ "reason": "two of three agents are down" }),
        ),
        ("system-recovered", "system.recovered", None, json!({})),
        (
            "deployment-completed",
            "deployment.completed",
            None,
            json!({ "version": "1.4.2" }),
        ),
        ("integration-test", "integration.test", None, json!({})),
        (
            "own-type",
            "shop.order-paid",
            None,
            json!({ "total": 19.9, "exit_code": 1, "exitCode": 2, "items": ["a", "b"], "event_id": "own" }),
        ),
    ] {
        let mut accepted = event(event_type, &data);
        accepted.event.subject = subject.map(str::to_owned);
        accepted.event.agent_id = Some("agent-7".to_owned());
        golden(name, &requests(&*target, &delivery(vec![accepted])));
    }
}

#[test]
fn a_template_takes_the_place_of_message_and_description_as_recorded() {
    let template = Template {
        title: Some("{{ event.subject }}: {{ event.data.error }}".to_owned()),
        body: Some("Runbook: https://example.com/runbook\n<b>{{ event.data.error }}</b>".to_owned()),
    };
    let data = json!({ "error": "disk full <!-- hidden" });
    let of = |event_type| about_entity(event(event_type, &data), "db-1", 1);
    golden("template", &[send(json!({}), Some(&template), of("alert.created"))]);
    golden(
        "template-close",
        &[send(json!({}), Some(&template), of("alert.resolved"))],
    );

    let mut digest = delivery(vec![of("execution.failed")]);
    digest.digest = true;
    let requests = requests(&*open(json!({}), Some(&template)), &digest);
    let body: Value = serde_json::from_slice(&requests[0].body).expect("JSON");
    assert_eq!(
        body["message"], "Execution Failed: disk full <\u{2060}!-- hidden",
        "of a digest each event has the usual form"
    );
}

#[test]
fn what_closes_has_the_alias_of_what_opened() {
    for (opens, closes) in [
        ("alert.created", "alert.resolved"),
        ("problem.detected", "problem.resolved"),
        ("system.degraded", "system.recovered"),
    ] {
        for subject in ["db-1", "a/b?c#d%2F é", " \n\t odd ", "..", "x", &"long ".repeat(200)] {
            let of = |event_type| about_entity(event(event_type, &json!({})), subject, 1);
            let alias = body(json!({}), of(opens))["alias"]
                .as_str()
                .expect("an alias")
                .to_owned();
            let url = send(json!({}), None, of(closes)).url;
            let part = url
                .path()
                .strip_prefix("/v2/alerts/")
                .and_then(|rest| rest.strip_suffix("/close"));
            let part = part.unwrap_or_else(|| panic!("{url}"));
            assert!(!part.contains('/'), "{url}");
            let decoded = percent_encoding::percent_decode_str(part).decode_utf8().expect("UTF-8");
            assert_eq!(decoded, alias);
        }
    }
}

#[test]
fn the_priority_of_the_config_is_for_events_that_name_no_severity() {
    let priority =
        |config: Value, event_type: &str, data: Value| body(config, event(event_type, &data))["priority"].clone();
    for (named, expected) in [("critical", "P1"), ("high", "P2"), ("medium", "P3"), ("low", "P4")] {
        let data = json!({ "severity": named });
        assert_eq!(priority(json!({ "priority": "P5" }), "alert.created", data), expected);
    }
    assert_eq!(priority(json!({}), "alert.created", json!({})), "P3");
    assert_eq!(priority(json!({ "priority": "p1" }), "alert.created", json!({})), "P1");
    assert_eq!(
        priority(json!({ "priority": "P1" }), "shop.order-paid", json!({})),
        "P1"
    );
    assert_eq!(
        priority(json!({ "priority": "P1" }), "deployment.completed", json!({})),
        "P5"
    );
    assert_eq!(
        priority(json!({}), "deployment.completed", json!({ "severity": "high" })),
        "P2"
    );
}

#[test]
fn a_digest_becomes_one_request_for_each_entity_as_recorded() {
    let latency = json!({ "title": "Latency is rising" });
    let events = vec![
        about_entity(event("alert.created", &latency), "db-1", 1),
        about_entity(
            event("execution.failed", &json!({ "error": "disk full" })),
            "builder",
            2,
        ),
        about_entity(event("alert.created", &latency), "db-2", 3),
        about_entity(event("alert.resolved", &latency), "db-1", 4),
    ];
    golden("digest", &requests(&*open(json!({}), None), &delivery(events)));
}

#[test]
fn what_is_left_of_a_long_digest_is_one_alert_that_lists_it_as_recorded() {
    let events = (0..70).map(|n| {
        let failed = event("build.failed", &json!({ "error": format!("error {n}") }));
        about_entity(failed, &format!("shop-{n}"), n + 1)
    });
    let all = requests(&*open(json!({}), None), &delivery(events.collect()));
    assert_eq!(all.len(), 20);
    golden("digest-rest", &all[19..]);
}

#[test]
fn an_answer_that_is_no_success_ends_a_digest_but_that_nothing_is_open_to_close() {
    let of = |event_type, subject, seq| about_entity(event(event_type, &json!({})), subject, seq);
    let delivery = delivery(vec![of("alert.resolved", "db-1", 1), of("build.failed", "shop", 2)]);
    let target = open(json!({}), None);
    for (answers, kind) in [
        (vec![429], Some(OutcomeKind::Retry)),
        (vec![401], Some(OutcomeKind::Suspend)),
        (vec![404], None),
        (vec![404, 404], Some(OutcomeKind::Suspend)),
        (vec![404, 202], Some(OutcomeKind::Delivered)),
    ] {
        let so_far: Vec<Exchange> = answers.iter().map(|status| answered(*status)).collect();
        let ended = match target.next(&delivery, &so_far, NOW) {
            Step::Done(outcome) => Some(outcome.kind()),
            Step::Send(_) => None,
        };
        assert_eq!(ended, kind, "{answers:?}");
    }
}

#[test]
fn details_that_find_no_room_are_counted() {
    let data: serde_json::Map<String, Value> = (0..30)
        .map(|n| (format!("field_{n}"), Value::from("x".repeat(700))))
        .collect();
    let body = body(json!({}), event("execution.failed", &data.into()));
    let details = body["details"].as_object().expect("details");
    let shown = details.keys().filter(|name| name.starts_with("Field ")).count();
    assert_eq!(details["Not Shown"], format!("{} more fields", 30 - shown));
    assert!((5..12).contains(&shown), "{shown}");
}

#[test]
fn a_probe_closes_what_nothing_can_open() {
    let target = open(json!({}), None);
    let Some(Request::Http(probe)) = target.probe(NOW) else {
        panic!("there is a probe");
    };
    golden("probe", std::slice::from_ref(&probe));
    for (status, kind) in [
        (202, OutcomeKind::Delivered),
        (404, OutcomeKind::Delivered),
        (401, OutcomeKind::Suspend),
        (403, OutcomeKind::Suspend),
        (429, OutcomeKind::Retry),
    ] {
        assert_eq!(
            target.classify(&answered(status).response, NOW).kind(),
            kind,
            "{status}"
        );
    }
}

#[test]
fn a_region_or_an_address_says_where_alerts_go() {
    let jira = "https://api.atlassian.com/jsm/ops/integration";
    for (config, url) in [
        (json!({}), "https://api.opsgenie.com/v2/alerts"),
        (json!({ "region": "us" }), "https://api.opsgenie.com/v2/alerts"),
        (json!({ "region": "EU" }), "https://api.eu.opsgenie.com/v2/alerts"),
        (
            json!({ "base_url": jira }),
            "https://api.atlassian.com/jsm/ops/integration/v2/alerts",
        ),
        (
            json!({ "base_url": "http://127.0.0.1:9000/" }),
            "http://127.0.0.1:9000/v2/alerts",
        ),
        (
            json!({ "base_url": "https://api.opsgenie.com/v2/alerts" }),
            "https://api.opsgenie.com/v2/alerts",
        ),
    ] {
        let of = |event_type| about_entity(event(event_type, &json!({})), "db", 1);
        assert_eq!(send(config.clone(), None, of("alert.created")).url.as_str(), url);
        let close = send(config, None, of("alert.resolved")).url;
        assert_eq!(
            close.as_str(),
            format!("{url}/0197%2Falert%2Fdb/close?identifierType=alias")
        );
    }
    let checked = find("opsgenie").expect("built in").check(
        &json!({ "base_url": jira }),
        &json!({ "api_key": KEY }),
        &Egress::default(),
    );
    assert_eq!(checked, Ok(()));
}

#[test]
fn a_key_may_be_copied_with_its_scheme() {
    let entry = find("opsgenie").expect("built in");
    let credentials = json!({ "api_key": format!("  GenieKey {KEY}\n") });
    let target = entry.open(json!({}), credentials, about()).expect("a target");
    let one = delivery(vec![event("alert.created", &json!({}))]);
    match target.next(&one, &[], NOW) {
        Step::Send(Request::Http(http::Request {
            auth: Auth::Authorization(value),
            ..
        })) => assert_eq!(value, format!("GenieKey {KEY}").as_str()),
        other => panic!("{other:?}"),
    }
    assert_eq!(target.redactor().text(&format!("the key {KEY}")), "the key ***");
}

#[test]
fn what_does_not_fit_is_refused_by_name_and_not_repeated() {
    let good = || json!({ "api_key": KEY });
    for (config, credentials, pointer) in [
        (json!({}), json!({}), "credentials/api_key"),
        (json!({}), json!({ "api_key": " \n" }), "credentials/api_key"),
        (json!({}), json!({ "api_key": "GenieKey " }), "credentials/api_key"),
        (json!({}), json!({ "api_key": "s3cret\ns3cret" }), "credentials/api_key"),
        (json!({ "priority": "high" }), good(), "config/priority"),
        (json!({ "region": "mars" }), good(), "config/region"),
        (
            json!({ "region": "eu", "base_url": "https://api.eu.opsgenie.com" }),
            good(),
            "config/region",
        ),
        (json!({ "base_url": "https://example.com" }), good(), "config/base_url"),
        (
            json!({ "base_url": "http://api.opsgenie.com" }),
            good(),
            "config/base_url",
        ),
        (json!({ "tags": vec!["x"; 21] }), good(), "config/tags"),
        (json!({ "tags": ["x", "y".repeat(51)] }), good(), "config/tags/1"),
        (json!({ "colour": "red" }), good(), "config/colour"),
    ] {
        let checked = find("opsgenie")
            .expect("built in")
            .check(&config, &credentials, &Egress::default());
        let errors = checked.err().unwrap_or_default();
        let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, [pointer], "{config} {credentials}");
        assert!(!format!("{errors:?}").contains("s3cret"), "{errors:?}");
    }
    let all = find("opsgenie").expect("built in").check(
        &json!({ "base_url": "no address", "tags": ["", " "] }),
        &json!({ "api_key": "" }),
        &Egress::default(),
    );
    assert_eq!(
        all.err().map(|errors| errors.len()),
        Some(4),
        "all that is wrong is said at once"
    );
}

#[test]
fn no_secret_is_printed() {
    let config: Config = serde_json::from_value(json!({})).expect("a config");
    let credentials: Credentials = serde_json::from_value(json!({ "api_key": KEY })).expect("credentials");
    let mut printed = format!("{credentials:?}");
    printed += &format!("{:?}", Opsgenie::prepare(config, credentials).map_err(|_| "refused"));
    assert!(
        !printed.contains("s3cret") && printed.contains("api.opsgenie.com"),
        "{printed}"
    );
}
