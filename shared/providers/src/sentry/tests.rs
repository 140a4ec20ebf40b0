use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use signalbox_proto::{Accepted, Severity, integration::Template, types::Tone};

use super::{conformance::envelope, event::Level, *};
use crate::{About, AnyTarget, Egress, conformance::as_http, find};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600); // 2026-01-01T00:00:00Z
const DSN: &str = "https://0f1e2d3c4b5a69788796a5b4c3d2e1f0@o42.ingest.sentry.io/4711";

/// As it is accepted: the severity is the event's own, else its type's.
fn event(event_type: &str, agent: Option<&str>, data: &Value) -> Accepted {
    let severity: Option<Severity> = serde_json::from_value(data["severity"].clone()).ok();
    serde_json::from_value(json!({
        "event": {
            "id": "evt-1", "org": "acme", "type": event_type, "source": "/acme", "time": "2025-12-31T23:59:58Z",
            "severity": severity.unwrap_or_else(|| signalbox_proto::types::default_severity(event_type)),
            "severity_named": severity.is_some(), "agent_id": agent, "data": data,
        },
        "seq": 1,
        "at": "2026-01-01T00:00:00Z",
    }))
    .expect("an accepted event")
}

fn delivery(events: Vec<Accepted>) -> Delivery {
    let mut delivery = Delivery::first(events[0].clone(), "0197", &"sentry".parse().expect("a name"), 1, 1);
    delivery.digest = events.len() > 1;
    delivery.events = events;
    delivery
}

fn target(config: Value, template: Option<&Template>) -> Box<dyn AnyTarget> {
    let about = About {
        integration: "0197".to_owned(),
        name: "issues".parse().expect("a name"),
        org: "acme".parse().expect("a name"),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    };
    find("sentry")
        .expect("built in")
        .open_with_template(config, json!({ "dsn": DSN }), about, template)
        .expect("a target")
}

fn answered(status: u16) -> Exchange {
    Exchange {
        response: Response {
            status,
            headers: HeaderMap::new(),
            body: "".into(),
            truncated: false,
        },
    }
}

/// All requests of a delivery, each of which is taken.
fn requests(target: &dyn AnyTarget, delivery: &Delivery) -> Vec<http::Request> {
    let mut requests = Vec::new();
    let mut so_far = Vec::new();
    loop {
        match target.next(delivery, &so_far, NOW) {
            Step::Send(request) => requests.push(as_http(request)),
            Step::Done(outcome) => {
                assert_eq!(outcome, Outcome::Delivered);
                return requests;
            }
        }
        so_far.push(answered(200));
    }
}

/// The one event of a delivery that is one request.
fn sent(delivery: &Delivery) -> Value {
    let requests = requests(&*target(json!({}), None), delivery);
    assert_eq!(requests.len(), 1);
    payload(&requests[0])
}

fn payload(request: &http::Request) -> Value {
    let (_, mut items) = envelope(&request.body);
    items.remove(0).1
}

/// Compares requests with a file of `golden/`, or writes it where `SIGNALBOX_GOLDEN_UPDATE` is set. Each line of an
/// envelope is shown as the JSON that it is.
fn golden(name: &str, requests: &[http::Request]) {
    let shown = requests.iter().map(|request| {
        let headers: serde_json::Map<String, Value> = request
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").into()))
            .collect();
        let lines = request
            .body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        let lines: Vec<Value> = lines.map(|line| serde_json::from_slice(line).expect("JSON")).collect();
        json!({ "method": request.method.as_str(), "url": request.url.as_str(), "headers": headers, "body": lines })
    });
    let written = format!("{:#}\n", shown.collect::<Value>());
    // The version of this crate is no part of what is recorded.
    let written = written.replace(concat!("\"", env!("CARGO_PKG_VERSION"), "\""), "\"VERSION\"");
    let written = written.replace(concat!("signalbox/", env!("CARGO_PKG_VERSION")), "signalbox/VERSION");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/sentry/golden/{name}.json"));
    if std::env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
        std::fs::write(&path, &written).expect("the golden file");
    }
    let known = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, known, "{name}: SIGNALBOX_GOLDEN_UPDATE=1 writes it anew");
}

/// One event of each sort that people meet.
fn samples() -> Vec<(&'static str, Accepted)> {
    vec![
        (
            "alert-created",
            event(
                "alert.created",
                Some("checkout"),
                &json!({ "title": "Latency is rising", "message": "p99 is above 800 ms since 10 minutes.", "latency_ms": 840,
                         "affected_agents": ["agent-1", "agent-2"] }),
            ),
        ),
        (
            "execution-failed",
            event(
                "execution.failed",
                Some("builder"),
                &json!({ "severity": "critical", "error": "no space left on <device>\n  at write()", "host": "ci-7",
                         "logs_url": "https://example.com/logs/7", "success_rate": 0.925 }),
            ),
        ),
        (
            "canary-rolled-back",
            event(
                "canary.rolled_back",
                None,
                &json!({ "version": "1.4.2", "reason": "error rate above 2 %" }),
            ),
        ),
        (
            "alert-resolved",
            event(
                "alert.resolved",
                Some("checkout"),
                &json!({ "title": "Latency is rising" }),
            ),
        ),
        ("integration-test", event("integration.test", None, &json!({}))),
        (
            "own-type",
            event(
                "shop.order-paid",
                None,
                &json!({ "order": { "id": 7, "lines": [1, 2, 3] }, "paid": true, "note": null, "total": 19.90,
                         "שם": "שלום \u{202e}עולם" }),
            ),
        ),
    ]
}

#[test]
fn events_are_as_recorded() {
    for (name, event) in samples() {
        golden(
            name,
            &requests(
                &*target(json!({ "environment": "production" }), None),
                &delivery(vec![event]),
            ),
        );
    }
}

#[test]
fn a_digest_is_one_event_for_each_thing_as_recorded() {
    let mut events: Vec<Accepted> = samples().into_iter().map(|(_, event)| event).take(4).collect();
    for (seq, event) in (1..).zip(&mut events) {
        event.seq = seq;
        event.event.id = format!("evt-{seq}");
    }
    let requests = requests(&*target(json!({}), None), &delivery(events));
    golden("digest", &requests);
    // What was opened and closed is one thing.
    assert_eq!(requests.len(), 3);
    let ids: std::collections::BTreeSet<String> = requests
        .iter()
        .map(|request| payload(request)["event_id"].to_string())
        .collect();
    assert_eq!(ids.len(), 3, "each has an id of its own");
}

#[test]
fn a_digest_of_very_many_things_loses_none() {
    let events = (0..70_u64).map(|n| {
        let mut event = event(
            "execution.failed",
            Some(&format!("agent-{n}")),
            &json!({ "error": format!("error {n}") }),
        );
        event.seq = n;
        event
    });
    let requests = requests(&*target(json!({}), None), &delivery(events.collect()));
    assert_eq!(requests.len(), crate::entity::IN_TURN_MAX);
    let last = payload(&requests[requests.len() - 1]);
    let text = last["logentry"]["formatted"].as_str().expect("a message");
    assert!(
        text.starts_with("51 more events\nExecution Failed: error 19\n"),
        "{text}"
    );
    assert!(text.ends_with("and 11 more"), "{text}");
    assert_eq!(last["contexts"]["signalbox"]["events"], 51);
    assert_eq!(last["tags"]["event_type"], "signalbox.digest");
    assert_eq!(last["breadcrumbs"]["values"].as_array().map(Vec::len), Some(20));
}

#[test]
fn what_is_refused_of_a_digest_holds_nothing_else_back_and_is_told() {
    let events = (0..3).map(|n| event("execution.failed", Some(&format!("agent-{n}")), &json!({})));
    let (target, digest) = (target(json!({}), None), delivery(events.collect()));
    let taken = |statuses: &[u16]| {
        let so_far: Vec<Exchange> = statuses.iter().map(|status| answered(*status)).collect();
        target.next(&digest, &so_far, NOW)
    };
    assert!(matches!(taken(&[200, 400]), Step::Send(_)));
    assert!(matches!(taken(&[200, 400, 200]), Step::Done(Outcome::Reject { .. })));
    assert!(matches!(taken(&[200, 503]), Step::Done(Outcome::Retry { .. })));
    assert!(matches!(taken(&[400, 403]), Step::Done(Outcome::Suspend { .. })));
    assert!(matches!(taken(&[200, 200, 200]), Step::Done(Outcome::Delivered)));
}

#[test]
fn an_object_without_an_id_is_a_yes_to_a_test_alone() {
    let target = target(json!({}), None);
    let answer = Exchange {
        response: Response {
            body: "{}".into(),
            ..answered(200).response
        },
    };
    assert_eq!(target.classify(&answer.response, NOW), Outcome::Delivered);
    let one = delivery(vec![event("alert.created", None, &json!({}))]);
    assert!(matches!(
        target.next(&one, &[answer], NOW),
        Step::Done(Outcome::Retry { .. })
    ));
    let page = Response {
        body: "<html>sign in</html>".into(),
        ..answered(200).response
    };
    assert!(matches!(target.classify(&page, NOW), Outcome::Retry { .. }));
}

#[test]
fn an_attempt_repeats_the_id_and_another_delivery_has_another() {
    let one = delivery(vec![event("alert.created", None, &json!({}))]);
    let mut again = one.clone();
    again.attempt = 3;
    again.hop = 7;
    again.generation = 1;
    assert_eq!(sent(&one)["event_id"], sent(&again)["event_id"]);
    let mut other = one.clone();
    other.id = "another".to_owned();
    assert_ne!(sent(&one)["event_id"], sent(&other)["event_id"]);
}

#[test]
fn what_opens_and_what_closes_are_one_issue_and_other_things_are_others() {
    let of = |event_type, agent| sent(&delivery(vec![event(event_type, agent, &json!({}))]))["fingerprint"].clone();
    assert_eq!(of("alert.created", Some("a")), of("alert.resolved", Some("a")));
    assert_eq!(of("alert.created", Some("a")), json!(["0197/alert/a"]));
    assert_ne!(of("alert.created", Some("a")), of("alert.created", Some("b")));
    assert_ne!(of("execution.failed", Some("a")), of("alert.created", Some("a")));
}

#[test]
fn the_level_follows_from_severity_and_tone() {
    use Severity::{Critical, High, Low, Medium};
    use Tone::{Bad, Good, Neutral};
    for (severity, tone, level) in [
        (Critical, Bad, Level::Fatal),
        (Critical, Neutral, Level::Fatal),
        (Critical, Good, Level::Info),
        (High, Bad, Level::Error),
        (High, Neutral, Level::Error),
        (Medium, Bad, Level::Warning),
        (Medium, Neutral, Level::Warning),
        (Low, Bad, Level::Warning),
        (Low, Neutral, Level::Info),
        (Low, Good, Level::Info),
    ] {
        assert_eq!(Level::of(severity, tone), level, "{severity} {tone:?}");
    }
}

#[test]
fn a_release_is_the_version_where_the_vendor_takes_it() {
    for (version, release) in [
        (json!("1.4.2"), json!("1.4.2")),
        (json!("shop@1.4.2+7"), json!("shop@1.4.2+7")),
        (json!(7), json!(7.to_string())),
        (json!("feature/x"), Value::Null),
        (json!("a\\b"), Value::Null),
        (json!(".."), Value::Null),
        (json!("Latest"), Value::Null),
        (json!(""), Value::Null),
        (json!("x".repeat(201)), Value::Null),
        (json!({ "major": 1 }), Value::Null),
    ] {
        let event = sent(&delivery(vec![event(
            "canary.started",
            None,
            &json!({ "version": version }),
        )]));
        assert_eq!(event["release"], release, "{version}");
        assert_eq!(
            event["extra"]["version"], version,
            "it is among the data whatever it is"
        );
    }
}

#[test]
fn a_template_is_the_message_and_makes_a_digest_one_event() {
    let failed = || event("execution.failed", Some("builder"), &json!({ "error": "disk full" }));
    let template = |title: Option<&str>, body: Option<&str>| Template {
        title: title.map(str::to_owned),
        body: body.map(str::to_owned),
    };
    let said = |template: &Template, delivery: &Delivery| {
        let requests = requests(&*target(json!({}), Some(template)), delivery);
        assert_eq!(requests.len(), 1);
        payload(&requests[0])["logentry"]["formatted"]
            .as_str()
            .expect("a text")
            .to_owned()
    };
    let one = delivery(vec![failed()]);
    let (title, body) = ("Broken: {{ event.agent_id }}", "It said <{{ event.data.error }}>");
    assert_eq!(
        said(&template(Some(title), None), &one),
        "Broken: builder\nExecution failed: disk full"
    );
    assert_eq!(
        said(&template(None, Some(body)), &one),
        "Execution Failed\nIt said <disk full>"
    );
    assert_eq!(
        said(&template(Some(title), Some(body)), &one),
        "Broken: builder\nIt said <disk full>"
    );
    assert_eq!(said(&template(Some(" "), None), &one), "Execution Failed: disk full");

    let digest = delivery(vec![failed(), event("alert.created", None, &json!({}))]);
    assert_eq!(
        said(&template(Some("{{ count }} at once"), None), &digest),
        "2 at once\nExecution Failed: disk full\nAlert Created"
    );
    assert_eq!(said(&template(None, Some("{{ count }}")), &digest), "2 events\n2");
}

#[test]
fn a_probe_is_taken_as_an_event_is_and_brings_none() {
    let target = target(json!({}), None);
    let Some(Request::Http(probe)) = target.probe(NOW) else {
        panic!("a DSN can be tried")
    };
    golden("probe", std::slice::from_ref(&probe));
    let (header, items) = envelope(&probe.body);
    assert_eq!(header, json!({}));
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].1["discarded_events"], json!([]));
    let Step::Send(Request::Http(request)) =
        target.next(&delivery(vec![event("alert.created", None, &json!({}))]), &[], NOW)
    else {
        panic!("a request")
    };
    assert_eq!((probe.url, probe.headers), (request.url, request.headers));
}

#[test]
fn what_is_wrong_is_said_at_once_and_what_has_no_effect_is_warned_of() {
    let entry = find("sentry").expect("built in");
    let egress: Egress = serde_json::from_value(json!({ "allow": [] })).expect("no ranges");
    let pointers = |config: Value, credentials: Value| -> Vec<String> {
        let errors = entry
            .check(&config, &credentials, &egress)
            .expect_err("something is wrong");
        errors.into_iter().map(|error| error.pointer).collect()
    };
    for environment in ["", " ", "a b", "a/b", "None", "none", &"x".repeat(65), "a\nb"] {
        assert_eq!(
            pointers(
                json!({ "environment": environment }),
                json!({ "dsn": "https://sentry.io/1" })
            ),
            ["config/environment", "credentials/dsn"],
            "{environment:?}"
        );
    }
    assert_eq!(pointers(json!({}), json!({})), ["credentials/dsn"]);
    assert_eq!(
        pointers(json!({}), json!({ "dsn": "http://k3y@sentry.io/1" })),
        ["credentials/dsn"]
    );
    assert_eq!(
        pointers(json!({}), json!({ "dsn": "https://k3y@10.0.0.7/1" })),
        ["credentials/dsn"]
    );
    let good = json!({ "environment": " production " });
    assert!(entry.check(&good, &json!({ "dsn": DSN }), &egress).is_ok());
    assert_eq!(entry.warnings(&good, &json!({ "dsn": DSN })), []);
    let old = json!({ "dsn": "https://0f1e2d3c:s3cret-part@sentry.example.com/42" });
    assert!(
        entry.check(&good, &old, &egress).is_ok(),
        "any host that egress rules let it go to"
    );
    let warnings = entry.warnings(&good, &old);
    assert_eq!(warnings.len(), 1);
    assert!(!format!("{warnings:?}").contains("s3cret-part"));
}
