mod config;

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use signalbox_proto::{Event, Severity, integration::Template, outcome::OutcomeKind, types::Tone};

use super::*;
use crate::{
    About, AnyTarget, Egress,
    conformance::{NOW, as_http, hostile},
    find,
};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn open(config: Value, template: Option<&Template>) -> Box<dyn AnyTarget> {
    let about = About {
        integration: "0197".to_owned(),
        name: "stream".parse().unwrap(),
        org: "acme".parse().unwrap(),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    };
    let credentials = json!({ "api_key": KEY, "app_key": "an-application-key" });
    let entry = find("datadog").unwrap();
    entry.open_with_template(config, credentials, about, template).unwrap()
}

fn request_of(target: &dyn AnyTarget, delivery: &Delivery) -> http::Request {
    match target.next(delivery, &[], NOW) {
        Step::Send(request) => as_http(request),
        Step::Done(outcome) => panic!("no request: {outcome:?}"),
    }
}

fn sent(config: Value, event: Event) -> Value {
    let request = request_of(&*open(config, None), &hostile::delivery(event, 1));
    serde_json::from_slice(&request.body).unwrap()
}

/// Compares a request with a file of `golden/`, or writes it where `SIGNALBOX_GOLDEN_UPDATE` is set.
fn golden(name: &str, request: &http::Request) {
    let headers: serde_json::Map<String, Value> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
        .collect();
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let written = json!({
        "method": request.method.as_str(), "url": request.url.as_str(), "headers": headers, "body": body,
    });
    let written = format!("{written:#}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/datadog/golden/{name}.json"));
    if std::env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, known, "{name}: SIGNALBOX_GOLDEN_UPDATE=1 writes it anew");
}

fn samples() -> Vec<(&'static str, Event)> {
    let mut failed = hostile::event(
        "execution.failed",
        &json!({
            "title": "Nightly build", "agent_name": "builder", "severity": "critical", "success_rate": 0.925,
            "error": "no space left on <device> & more\n  at write()", "logs_url": "https://example.com/logs/7",
            "duration_ms": 61_500,
        }),
    );
    failed.agent_id = Some("agent-7".to_owned());
    failed.severity = Severity::Critical;
    failed.severity_named = true;
    let mut created = hostile::event(
        "alert.created",
        &json!({ "title": "Latency is rising", "message": "p99 is above 800 ms since 10 minutes.", "latency_ms": 840,
                 "affected_agents": ["agent-1", "agent-2"] }),
    );
    created.subject = Some("checkout".to_owned());
    let mut resolved = hostile::event("alert.resolved", &json!({ "title": "Latency is rising" }));
    resolved.subject = Some("checkout".to_owned());
    vec![
        ("execution-failed", failed),
        ("alert-created", created),
        ("alert-resolved", resolved),
        (
            "canary-rolled-back",
            hostile::event(
                "canary.rolled_back",
                &json!({ "version": "1.4.2", "reason": "error rate above 2 %" }),
            ),
        ),
        (
            "implementation-completed",
            hostile::event(
                "implementation.completed",
                &json!({
                    "spec": { "id": "FEAT-0001", "title": "User Authentication", "url": "https://example.com/specs/1" },
                    "pr": { "number": 42, "url": "https://example.com/acme/site/pull/42" },
                    "acceptance_criteria": ["A user can sign in", "A user can sign out, everywhere"], "duration": 312.5,
                }),
            ),
        ),
        ("integration-test", hostile::event("integration.test", &json!({}))),
        (
            "own-type",
            hostile::event(
                "shop.order-paid",
                &json!({
                    "order": { "id": 7, "buyer": { "name": "Ann <ann@example.com>" } }, "paid": true, "total": 19.90,
                    "comment": "@ann *now* & `then`\n> quoted\n1. %%%", "שם": "שלום \u{202e}עולם",
                }),
            ),
        ),
    ]
}

fn digest() -> Delivery {
    let mut events = samples().into_iter().map(|(_, event)| event);
    let mut delivery = hostile::delivery(events.next().unwrap(), 1);
    delivery.digest = true;
    for (event, seq) in events.zip(2..) {
        delivery.events.push(hostile::delivery(event, seq).events.remove(0));
    }
    delivery
}

#[test]
fn events_are_as_recorded() {
    let target = open(
        json!({ "tags": ["env:production"], "event_tags": ["team:platform"] }),
        None,
    );
    for (name, event) in samples() {
        golden(name, &request_of(&*target, &hostile::delivery(event, 1)));
    }
    golden("digest", &request_of(&*target, &digest()));
}

#[test]
fn metrics_are_as_recorded() {
    let prefix = json!({ "site": "datadoghq.eu", "action": "metric", "metric_prefix": "spec_ingestion", "tags": ["env:production"] });
    let target = open(prefix, None);
    for (name, event) in samples()
        .into_iter()
        .filter(|(name, _)| name.starts_with("i") || name.starts_with("e"))
    {
        golden(
            &format!("metric-{name}"),
            &request_of(&*target, &hostile::delivery(event, 1)),
        );
    }
    golden("metric-digest", &request_of(&*target, &digest()));
    let one = open(json!({ "send_metrics": true, "metric_name": "platform.event" }), None);
    golden(
        "metric-one-name",
        &request_of(&*one, &hostile::delivery(samples().remove(0).1, 1)),
    );
}

#[test]
fn the_probe_asks_about_the_key() {
    for config in [json!({}), json!({ "action": "metric", "site": "us5.datadoghq.com" })] {
        let name = if config == json!({}) { "probe" } else { "probe-us5" };
        let Some(Request::Http(probe)) = open(config, None).probe(NOW) else {
            panic!("there is a probe")
        };
        assert!(probe.body.is_empty());
        golden(name, &probe);
    }
}

#[test]
fn a_template_takes_the_place_of_title_and_fields_as_recorded() {
    let template = Template {
        title: Some("Run *broke*: {{ event.data.error }}".to_owned()),
        body: Some("**{{ event.type }}** @slack-ops\n\n> {{ event.data.error }}\n\n%%%".to_owned()),
    };
    let event = hostile::event(
        "execution.failed",
        &json!({ "error": "@all [x](y) a_b %%%", "logs_url": "https://example.com/7" }),
    );
    let target = open(json!({}), Some(&template));
    golden("template", &request_of(&*target, &hostile::delivery(event, 1)));
}

#[test]
fn what_closes_has_the_key_of_what_it_closes() {
    let key = |name: &str| {
        let (_, event) = samples().into_iter().find(|(known, _)| *known == name).unwrap();
        sent(json!({}), event)["aggregation_key"].clone()
    };
    assert_eq!(key("alert-created"), "0197/alert/checkout");
    assert_eq!(key("alert-resolved"), key("alert-created"));
    assert_ne!(key("execution-failed"), key("alert-created"));
    let mut long = hostile::event("alert.created", &json!({}));
    long.subject = Some("é".repeat(300));
    let key = sent(json!({}), long)["aggregation_key"].as_str().unwrap().to_owned();
    assert!(key.len() <= 100 && key.starts_with("0197/alert/é"), "{key}");
}

#[test]
fn the_mark_comes_of_tone_and_severity() {
    for (tone, severity, mark) in [
        (Tone::Bad, Severity::Critical, "error"),
        (Tone::Bad, Severity::High, "error"),
        (Tone::Bad, Severity::Medium, "warning"),
        (Tone::Bad, Severity::Low, "warning"),
        (Tone::Good, Severity::Critical, "success"),
        (Tone::Good, Severity::Low, "success"),
        (Tone::Neutral, Severity::High, "warning"),
        (Tone::Neutral, Severity::Low, "info"),
    ] {
        assert_eq!(event::alert_type(tone, severity), mark, "{tone:?} {severity}");
    }
}

#[test]
fn a_time_that_is_refused_is_left_out() {
    for (ago_secs, kept) in [
        (0, true),
        (17 * 3_600, true),
        (18 * 3_600, false),
        (86_400, false),
        (-300, true),
        (-3_600, false),
    ] {
        let mut event = hostile::event("execution.failed", &json!({}));
        let time = Timestamp::from_secs(NOW.secs() - ago_secs);
        event.time = Some(time);
        let body = sent(json!({}), event);
        assert_eq!(
            body.get("date_happened"),
            kept.then(|| json!(time.secs())).as_ref(),
            "{ago_secs}"
        );
        assert!(
            body["text"].as_str().unwrap().contains(&time.to_string()),
            "the last line tells it"
        );
    }
}

#[test]
fn a_long_text_ends_with_its_links_and_last_line() {
    let fields: serde_json::Map<String, Value> = (0..19)
        .map(|n| (format!("field_{n}"), "*x*\n".repeat(200).into()))
        .collect();
    let mut data = Value::from(fields);
    data["logs_url"] = format!("https://example.com/({})", "a".repeat(1_900)).into();
    let body = sent(json!({}), hostile::event("execution.failed", &data));
    let text = body["text"].as_str().unwrap();
    assert!(text.chars().count() <= event::TEXT_CHARS_MAX);
    assert!(
        text.contains(" more fields\n\n[View Details](https://example.com/%28aaa"),
        "{text}"
    );
    assert!(
        text.ends_with("Signalbox · execution.failed · high · 2025-12-31T23:33:20Z\n %%%"),
        "{text}"
    );
}

#[test]
fn the_answer_to_a_probe_says_whether_the_key_is_valid() {
    for (status, body, kind) in [
        (200, r#"{"valid":true}"#, OutcomeKind::Delivered),
        (200, r#"{"valid":false}"#, OutcomeKind::Suspend),
        (403, r#"{"errors":["Forbidden"]}"#, OutcomeKind::Suspend),
        (200, "", OutcomeKind::Retry),
        (200, "{}", OutcomeKind::Retry),
        (200, r#"{"status":"ok"}"#, OutcomeKind::Retry),
        (200, "<html>sign in</html>", OutcomeKind::Retry),
    ] {
        let response = Response {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
            truncated: false,
        };
        assert_eq!(Datadog::classify(&response, NOW).kind(), kind, "{status} {body}");
    }
}

#[test]
fn the_waits_of_a_limit_are_obeyed() {
    let wait = |headers: &[(&'static str, &'static str)]| {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let response = Response {
            status: 429,
            headers: headers.collect(),
            body: Bytes::new(),
            truncated: false,
        };
        match Datadog::classify(&response, NOW) {
            Outcome::Retry { after, .. } => after.map(|after| after.as_secs()),
            outcome => panic!("{outcome:?}"),
        }
    };
    assert_eq!(
        wait(&[("x-ratelimit-reset", "12"), ("x-ratelimit-period", "60")]),
        Some(12)
    );
    assert_eq!(wait(&[("x-ratelimit-period", " 60 ")]), Some(60));
    assert_eq!(wait(&[("retry-after", "5"), ("x-ratelimit-reset", "12")]), Some(5));
    assert_eq!(wait(&[("x-ratelimit-reset", "99999999999")]), Some(6 * 3_600));
    assert_eq!(wait(&[("x-ratelimit-reset", "soon")]), None);
    assert_eq!(wait(&[]), None);
}
