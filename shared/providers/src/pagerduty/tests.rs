use std::path::Path;

use serde_json::{Value, json};
use signalbox_proto::{Accepted, Name, integration::Template, outcome::OutcomeKind};

use super::*;
use crate::{About, AnyTarget, Egress, conformance::as_http, find};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600); // 2026-01-01T00:00:00Z
const KEY: &str = "s3cretR0ut1ngK3y4711abcdefghijkl";

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
    let provider: Name = "pagerduty".parse().expect("a name");
    let mut delivery = Delivery::first(events[0].clone(), "0197", &provider, 1, 1);
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
    find("pagerduty")
        .expect("built in")
        .open_with_template(config, json!({ "routing_key": KEY }), about(), template)
        .expect("a target")
}

fn answered(status: u16) -> Exchange {
    Exchange {
        response: Response {
            status,
            headers: HeaderMap::new(),
            body: if status == 202 { r#"{"status":"success"}"# } else { "" }.into(),
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

fn bodies(config: Value, template: Option<&Template>, delivery: &Delivery) -> Vec<Value> {
    let requests = requests(&*open(config, template), delivery);
    requests
        .iter()
        .map(|request| serde_json::from_slice(&request.body).expect("JSON"))
        .collect()
}

fn body(config: Value, accepted: Accepted) -> Value {
    let mut bodies = bodies(config, None, &delivery(vec![accepted]));
    assert_eq!(bodies.len(), 1);
    bodies.remove(0)
}

/// Compares requests with a file of `golden/`, or writes it where `SIGNALBOX_GOLDEN_UPDATE` is set.
fn golden(name: &str, requests: &[http::Request]) {
    let shown = |request: &http::Request| {
        let headers: serde_json::Map<String, Value> = request
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").into()))
            .collect();
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        json!({ "method": request.method.as_str(), "url": request.url.as_str(), "headers": headers, "body": body })
    };
    let written = match requests {
        [one] => shown(one),
        more => more.iter().map(shown).collect(),
    };
    let written = format!("{written:#}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/pagerduty/golden/{name}.json"));
    if std::env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
        std::fs::write(&path, &written).expect("the golden file");
    }
    let known = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, known, "{name}: SIGNALBOX_GOLDEN_UPDATE=1 writes it anew");
}

#[test]
fn events_are_as_recorded() {
    let target = open(json!({}), None);
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
        (
            "deployment-completed",
            "deployment.completed",
            None,
            json!({ "version": "1.4.2" }),
        ),
        ("integration-test", "integration.test", None, json!({})),
        ("own-type", "shop.order-paid", None, json!(["not", "an", "object"])),
    ] {
        let mut accepted = event(event_type, &data);
        accepted.event.subject = subject.map(str::to_owned);
        accepted.event.agent_id = Some("agent-7".to_owned());
        golden(name, &requests(&*target, &delivery(vec![accepted])));
    }
}

#[test]
fn a_template_takes_the_place_of_summary_and_details_as_recorded() {
    let template = Template {
        title: Some("{{ event.subject }} is in trouble: {{ event.data.error }}".to_owned()),
        body: Some("Runbook: https://example.com/runbook\n{{ event.data.error }}".to_owned()),
    };
    let one = about_entity(event("execution.failed", &json!({ "error": "disk full" })), "db-1", 1);
    golden(
        "template",
        &requests(&*open(json!({}), Some(&template)), &delivery(vec![one.clone()])),
    );

    let mut digest = delivery(vec![one]);
    digest.digest = true;
    let bodies = bodies(json!({}), Some(&template), &digest);
    assert_eq!(
        (
            &bodies[0]["payload"]["summary"],
            &bodies[0]["payload"]["custom_details"]
        ),
        (&json!("Execution Failed: disk full"), &json!({ "error": "disk full" })),
        "of a digest each event has the usual form"
    );
    let empty = Template {
        title: Some("{{ event.data.nothing }}".to_owned()),
        body: None,
    };
    let one = event("execution.failed", &json!({ "error": "disk full" }));
    let bodies = self::bodies(json!({}), Some(&empty), &delivery(vec![one]));
    assert_eq!(bodies[0]["payload"]["summary"], "Execution Failed: disk full");
}

#[test]
fn what_closes_has_the_key_of_what_opened() {
    for (opens, closes) in [
        ("alert.created", "alert.resolved"),
        ("problem.detected", "problem.resolved"),
        ("system.degraded", "system.recovered"),
    ] {
        let of = |event_type| body(json!({}), about_entity(event(event_type, &json!({})), "db-1", 1));
        let (open, close) = (of(opens), of(closes));
        assert_eq!(
            (&open["event_action"], &close["event_action"]),
            (&json!("trigger"), &json!("resolve"))
        );
        assert_eq!(open["dedup_key"], close["dedup_key"]);
    }
}

#[test]
fn the_severity_of_the_config_is_for_events_that_name_none() {
    let severity = |config: Value, event_type: &str, data: Value| {
        body(config, event(event_type, &data))["payload"]["severity"].clone()
    };
    for (named, expected) in [
        ("critical", "critical"),
        ("high", "error"),
        ("medium", "warning"),
        ("low", "info"),
    ] {
        let data = json!({ "severity": named });
        assert_eq!(
            severity(json!({ "severity": "error" }), "alert.created", data),
            expected
        );
    }
    assert_eq!(severity(json!({}), "alert.created", json!({})), "warning");
    assert_eq!(
        severity(json!({ "severity": "critical" }), "alert.created", json!({})),
        "critical"
    );
    assert_eq!(
        severity(json!({ "severity": "critical" }), "shop.order-paid", json!({})),
        "critical"
    );
    assert_eq!(
        severity(json!({ "severity": "critical" }), "deployment.completed", json!({})),
        "info"
    );
    assert_eq!(
        severity(json!({}), "deployment.completed", json!({ "severity": "high" })),
        "error"
    );
}

#[test]
fn a_digest_becomes_one_event_for_each_entity_as_recorded() {
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
fn what_is_left_of_a_long_digest_is_one_event_that_lists_it_as_recorded() {
    let events = (0..70).map(|n| {
        let failed = event("build.failed", &json!({ "error": format!("error {n}") }));
        about_entity(failed, &format!("shop-{n}"), n + 1)
    });
    let mut delivery = delivery(events.collect());
    delivery.id = "delivery-1".to_owned();
    let all = requests(&*open(json!({}), None), &delivery);
    assert_eq!(all.len(), 20);
    golden("digest-rest", &all[19..]);
}

#[test]
fn what_hinders_a_request_ends_a_digest_and_what_refuses_it_does_not() {
    let events = (0..3).map(|n| about_entity(event("build.failed", &json!({})), &format!("shop-{n}"), n + 1));
    let delivery = delivery(events.collect());
    let target = open(json!({}), None);
    for (status, kind) in [
        (429, OutcomeKind::Retry),
        (403, OutcomeKind::Suspend),
        (500, OutcomeKind::Retry),
    ] {
        match target.next(&delivery, &[answered(202), answered(status)], NOW) {
            Step::Done(outcome) => assert_eq!(outcome.kind(), kind),
            Step::Send(request) => panic!("another request {request:?}"),
        }
    }
    let refused = [answered(202), answered(400), answered(202)];
    assert!(matches!(target.next(&delivery, &refused[..2], NOW), Step::Send(_)));
    match target.next(&delivery, &refused, NOW) {
        Step::Done(outcome) => assert_eq!(outcome.kind(), OutcomeKind::Reject),
        Step::Send(request) => panic!("another request {request:?}"),
    }
}

#[test]
fn data_that_is_too_large_is_told_by_its_beginning() {
    let data = json!({ "message": "Too much", "log": "\u{0}".repeat(90_000), "host": "db-1" });
    let body = body(json!({}), event("execution.failed", &data));
    let details = &body["payload"]["custom_details"];
    assert_eq!(details["message"], "Too much");
    assert!(
        details["not_shown"]
            .as_str()
            .is_some_and(|text| text.contains("more than PagerDuty takes"))
    );
    assert!(
        details["fields"]
            .as_array()
            .expect("a list")
            .contains(&json!("Host: db-1"))
    );
    let fits = json!({ "log": "x".repeat(250_000) });
    assert_eq!(
        self::body(json!({}), event("execution.failed", &fits))["payload"]["custom_details"],
        fits
    );
}

#[test]
fn a_probe_resolves_what_nothing_can_open() {
    let target = open(json!({}), None);
    let Some(Request::Http(probe)) = target.probe(NOW) else {
        panic!("there is a probe");
    };
    golden("probe", std::slice::from_ref(&probe));
    let key = serde_json::from_slice::<Value>(&probe.body).expect("JSON")["dedup_key"].clone();
    // The key of an entity has three parts, whatever its type and its name are.
    assert_eq!(key.as_str().map(|key| key.split('/').count()), Some(2));
    assert_eq!(target.classify(&answered(202).response, NOW), Outcome::Delivered);
}

#[test]
fn a_region_or_an_address_says_where_events_go() {
    for (config, url) in [
        (json!({}), "https://events.pagerduty.com/v2/enqueue"),
        (json!({ "region": "us" }), "https://events.pagerduty.com/v2/enqueue"),
        (json!({ "region": "EU" }), "https://events.eu.pagerduty.com/v2/enqueue"),
        (
            json!({ "base_url": "http://127.0.0.1:9000/pd/" }),
            "http://127.0.0.1:9000/pd/v2/enqueue",
        ),
        (
            json!({ "base_url": "https://events.pagerduty.com/v2/enqueue" }),
            "https://events.pagerduty.com/v2/enqueue",
        ),
    ] {
        let one = delivery(vec![event("alert.created", &json!({}))]);
        assert_eq!(requests(&*open(config, None), &one)[0].url.as_str(), url);
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name_and_not_repeated() {
    let good = || json!({ "routing_key": KEY });
    for (config, credentials, pointer) in [
        (json!({}), json!({}), "credentials/routing_key"),
        (json!({}), json!({ "routing_key": "s3cret" }), "credentials/routing_key"),
        (
            json!({}),
            json!({ "routing_key": "s3cret+R0ut1ngK3y4711abcdefghijk" }),
            "credentials/routing_key",
        ),
        (json!({ "severity": "high" }), good(), "config/severity"),
        (json!({ "region": "mars" }), good(), "config/region"),
        (
            json!({ "region": "eu", "base_url": "https://events.eu.pagerduty.com" }),
            good(),
            "config/region",
        ),
        (json!({ "base_url": "https://example.com" }), good(), "config/base_url"),
        (
            json!({ "base_url": "http://events.pagerduty.com" }),
            good(),
            "config/base_url",
        ),
        (json!({ "colour": "red" }), good(), "config/colour"),
    ] {
        let checked = find("pagerduty")
            .expect("built in")
            .check(&config, &credentials, &Egress::default());
        let errors = checked.err().unwrap_or_default();
        let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, [pointer], "{config}");
        assert!(!format!("{errors:?}").contains("s3cret"), "{errors:?}");
    }
    let all = find("pagerduty").expect("built in").check(
        &json!({ "base_url": "no address" }),
        &json!({ "routing_key": "short" }),
        &Egress::default(),
    );
    assert_eq!(
        all.err().map(|errors| errors.len()),
        Some(2),
        "all that is wrong is said at once"
    );
}

#[test]
fn no_secret_is_printed() {
    let config: Config = serde_json::from_value(json!({})).expect("a config");
    let credentials: Credentials = serde_json::from_value(json!({ "routing_key": KEY })).expect("credentials");
    let mut printed = format!("{credentials:?}");
    printed += &format!("{:?}", Pagerduty::prepare(config, credentials).map_err(|_| "refused"));
    assert!(
        !printed.contains("s3cret") && printed.contains("events.pagerduty.com"),
        "{printed}"
    );
}
