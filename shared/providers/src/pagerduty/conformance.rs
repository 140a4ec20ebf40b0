//! Alert events, held to what PagerDuty documents of `/v2/enqueue`: its table of parameters, its limits and the fields of
//! its published description, read in 2026.

use serde_json::{Value, json};
use signalbox_proto::{Delivery, Timestamp, integration::Template, outcome::OutcomeKind};

use super::Pagerduty;
use crate::{
    conformance::{
        Answer, Sample, Sampled, answer, no_claims,
        readable::{one_line, readable},
    },
    http,
};

const ROUTING_KEY: &str = "s3cretR0ut1ngK3y4711abcdefghijkl";
/// What PagerDuty takes of one request, by the smaller of the two readings of 512 KB.
const BYTES_MAX: usize = 512_000;
/// The integration of the suite.
const INTEGRATION: &str = "0197c0de-0000-7000-8000-000000000001";
const CLOSING: [&str; 3] = ["alert.resolved", "problem.resolved", "system.recovered"];

impl Sampled for Pagerduty {
    fn samples() -> Vec<Sample> {
        let of = |name, config, template, accepts| Sample {
            name,
            config,
            credentials: json!({ "routing_key": format!(" {ROUTING_KEY}\n") }),
            template,
            secrets: vec![ROUTING_KEY],
            accepts,
            claims: no_claims,
            yes: answer(202, TAKEN, OutcomeKind::Delivered),
            answers: answers(),
        };
        vec![
            of("events", json!({}), None, accepts_event),
            of(
                "region and severity",
                json!({ "region": "eu", "severity": "error" }),
                None,
                accepts_in_europe,
            ),
            of("template", json!({}), Some(template()), accepts_template),
        ]
    }
}

fn template() -> Template {
    Template {
        title: Some("{{ event.title }} ({{ integration.name }}): {{ event.data.title|truncate(40) }}".to_owned()),
        body: Some("Runbook for {{ event.type }}:\n{{ event.data|tojson|truncate(9000) }}".to_owned()),
    }
}

fn accepts_event(request: &http::Request, delivery: &Delivery) {
    assert_eq!(request.url.as_str(), "https://events.pagerduty.com/v2/enqueue");
    let body = event(request, delivery);
    let details = &body["payload"]["custom_details"];
    let data = delivery.event().event.data.value().expect("JSON");
    if delivery.is_digest() {
    } else if let Some(why) = details["not_shown"].as_str() {
        assert!(
            delivery.event().event.data.as_bytes().len() > 400_000,
            "data is left out: {why}"
        );
    } else if data.is_object() {
        assert_eq!(*details, data);
    } else {
        assert_eq!(*details, json!({ "data": data }));
    }
}

fn accepts_in_europe(request: &http::Request, delivery: &Delivery) {
    assert_eq!(request.url.as_str(), "https://events.eu.pagerduty.com/v2/enqueue");
    let body = event(request, delivery);
    // No hostile event names a severity: it is the config's, but that of good news.
    let severity = body["payload"]["severity"].as_str().expect("a severity");
    assert!(["error", "info"].contains(&severity), "{severity}");
}

fn accepts_template(request: &http::Request, delivery: &Delivery) {
    let body = event(request, delivery);
    if !delivery.is_digest() {
        let payload = &body["payload"];
        assert!(payload["summary"].as_str().expect("a text").contains("(conformance)"));
        let text = payload["custom_details"]["text"].as_str().expect("a text");
        assert!(text.starts_with("Runbook for "), "{text}");
        readable(text, 64 * 1024, "text");
    }
}

/// Reads an event and holds it to every rule.
fn event(request: &http::Request, delivery: &Delivery) -> Value {
    assert_eq!(request.method, ::http::Method::POST);
    assert_eq!(request.headers["content-type"], "application/json");
    assert!(request.body.len() <= BYTES_MAX, "{} bytes", request.body.len());
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    assert_eq!(body["routing_key"], ROUTING_KEY);
    let triggers = match body["event_action"].as_str() {
        Some("trigger") => true,
        Some("resolve") => false,
        other => panic!("an action {other:?}"),
    };
    only(
        &body,
        &["routing_key", "event_action", "dedup_key", "payload", "client", "links"],
    );
    dedup_key(body["dedup_key"].as_str().expect("a key"), triggers, delivery);
    let client = &body["client"];
    if triggers {
        assert_eq!(client, "Signalbox");
    } else {
        assert!(
            client.is_null() && body["links"].is_null(),
            "client and links are of triggers"
        );
    }
    for link in body["links"].as_array().into_iter().flatten() {
        only(link, &["href", "text"]);
        let href = link["href"].as_str().expect("an address");
        assert!(href.starts_with("https://") || href.starts_with("http://"), "{href}");
        one_line(link["text"].as_str().expect("a text"), 100, "link");
    }
    payload(&body["payload"]);
    body
}

/// The key is of something that the delivery is about, and opens and closes as its events do.
fn dedup_key(key: &str, triggers: bool, delivery: &Delivery) {
    one_line(key, 255, "dedup_key");
    let rest = key.strip_prefix(INTEGRATION).and_then(|rest| rest.strip_prefix('/'));
    let (family, _) = rest.and_then(|rest| rest.split_once('/')).expect("three parts");
    let known = delivery.events.iter().any(|accepted| {
        let event_type = accepted.event.event_type.as_str();
        let closes = CLOSING.contains(&event_type);
        let is_of = event_type == family || event_type.split('.').next() == Some(family);
        is_of && triggers != closes
    });
    // What is left of a digest, which no event's key is.
    let is_rest = triggers && family == "signalbox.digest" && delivery.events.len() > 20;
    assert!(known || is_rest, "{key}, triggers: {triggers}");
}

fn payload(payload: &Value) {
    only(
        payload,
        &[
            "summary",
            "source",
            "severity",
            "timestamp",
            "component",
            "group",
            "class",
            "custom_details",
        ],
    );
    one_line(payload["summary"].as_str().expect("a summary"), 1_024, "summary");
    one_line(payload["source"].as_str().expect("a source"), 510, "source");
    assert!(["critical", "error", "warning", "info"].contains(&payload["severity"].as_str().expect("a severity")));
    let timestamp = payload["timestamp"].as_str().expect("a time");
    timestamp.parse::<Timestamp>().expect("ISO 8601");
    for field in ["component", "group", "class"] {
        if let Some(text) = payload.get(field) {
            one_line(text.as_str().expect("a text"), 510, field);
        }
    }
    assert!(payload["custom_details"].is_object(), "details are an object");
}

fn only(object: &Value, known: &[&str]) {
    for name in object.as_object().expect("an object").keys() {
        assert!(known.contains(&&**name), "{name} is no field");
    }
}

const TAKEN: &str = r#"{"status":"success","message":"Event processed","dedup_key":"samplekey"}"#;

/// As the vendor documents them, and as its customers have met them.
fn answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    vec![
        answer(202, TAKEN, Delivered),
        answer(202, "", Retry),
        answer(202, "{}", Retry),
        answer(202, r#"{"status":"ok"}"#, Retry),
        answer(200, TAKEN, Delivered),
        answer(200, "<html>sign in</html>", Retry),
        answer(202, "<html>sign in</html>", Retry),
        answer(204, "", Retry),
        answer(
            202,
            r#"{"status":"invalid event","message":"Event object is invalid","errors":["x"]}"#,
            Reject,
        ),
        answer(
            400,
            r#"{"status":"invalid event","message":"Event object is invalid","errors":["'payload.summary' is missing or blank"]}"#,
            Reject,
        ),
        answer(
            400,
            r#"{"status":"Unrecognized object","message":"Event object format is unrecognized","errors":["JSON parse error"]}"#,
            Reject,
        ),
        answer(400, "", Reject),
        answer(
            400,
            r#"{"status":"invalid event","message":"Event object is invalid","errors":["Invalid routing key"]}"#,
            Suspend,
        ),
        answer(
            400,
            r#"{"status":"invalid event","message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect (should be 32 characters)","'routing_key' cannot contain non-alphanumeric characters."]}"#,
            Suspend,
        ),
        answer(
            400,
            r#"{"status":"invalid event","message":"Invalid routing key"}"#,
            Suspend,
        ),
        answer(
            400,
            r#"{"status":"invalid event","errors":"Invalid routing key"}"#,
            Suspend,
        ),
        answer(403, "", Suspend),
        answer(404, "", Suspend),
        answer(302, "", Suspend),
        answer(413, "", Reject),
        answer(429, "", Retry),
        answer(
            429,
            r#"{"status":"throttle exceeded","message":"Requests for this service are arriving too quickly"}"#,
            Retry,
        ),
        answer(
            500,
            r#"{"status":"Internal Server Error","message":"invalid event","errors":["Invalid routing key"]}"#,
            Retry,
        ),
        answer(503, "", Retry),
    ]
}
