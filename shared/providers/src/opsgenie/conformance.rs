//! Requests that create and close alerts, held to the lengths that Opsgenie documents of each field, read in 2026, and to
//! the description of its API that it has published.

use serde_json::{Value, json};
use signalbox_proto::{Delivery, integration::Template, outcome::OutcomeKind};

use super::Opsgenie;
use crate::{
    conformance::{
        Answer, Sample, Sampled, answer,
        contracts::Claim,
        readable::{one_line, readable},
    },
    http::{self, Auth},
};

const API_KEY: &str = "s3cretbb-faa2-4ba2-a551-1afdf565c889";
/// The integration of the suite.
const INTEGRATION: &str = "0197c0de-0000-7000-8000-000000000001";
const CLOSING: [&str; 3] = ["alert.resolved", "problem.resolved", "system.recovered"];

impl Sampled for Opsgenie {
    fn samples() -> Vec<Sample> {
        let of = |name, config, template, accepts| Sample {
            name,
            config,
            credentials: json!({ "api_key": format!(" {API_KEY}\n") }),
            template,
            secrets: vec![API_KEY],
            accepts,
            claims,
            yes: answer(202, TAKEN, OutcomeKind::Delivered),
            answers: answers(),
        };
        vec![
            of("alerts", json!({}), None, accepts_alert),
            of(
                "region, priority and tags",
                json!({ "region": "eu", "priority": "P2", "tags": ["production", "signalbox"] }),
                None,
                accepts_tagged,
            ),
            of("template", json!({}), Some(template()), accepts_template),
        ]
    }
}

fn template() -> Template {
    Template {
        title: Some("{{ integration.name }}: {{ event.title }}: {{ event.data.title|truncate(40) }}".to_owned()),
        body: Some("Runbook for {{ event.type }}:\n{{ event.data|tojson|truncate(15000) }}".to_owned()),
    }
}

/// What the vendor's own description says of the body.
fn claims(request: &http::Request) -> Vec<Claim> {
    let pointer = if request.url.path().ends_with("/close") {
        "/definitions/CloseAlertPayload"
    } else {
        "/definitions/CreateAlertPayload"
    };
    Claim::of_body("opsgenie.openapi.json", pointer, &request.body)
}

fn accepts_alert(request: &http::Request, delivery: &Delivery) {
    assert_eq!(request.url.host_str(), Some("api.opsgenie.com"));
    let body = alert(request, delivery);
    assert!(body.get("tags").is_none(), "no tags are configured");
}

fn accepts_tagged(request: &http::Request, delivery: &Delivery) {
    assert_eq!(request.url.host_str(), Some("api.eu.opsgenie.com"));
    let body = alert(request, delivery);
    if body.get("alias").is_some() {
        assert_eq!(body["tags"], json!(["production", "signalbox"]));
        // No hostile event names a severity: it is the config's, but that of good news.
        let priority = body["priority"].as_str().expect("a priority");
        assert!(["P2", "P5"].contains(&priority), "{priority}");
    }
}

fn accepts_template(request: &http::Request, delivery: &Delivery) {
    let body = alert(request, delivery);
    if delivery.is_digest() {
        return;
    }
    match body["message"].as_str() {
        Some(message) => {
            assert!(message.starts_with("conformance: "), "{message}");
            let description = body["description"].as_str().expect("a text");
            assert!(description.starts_with("Runbook for "), "{description}");
        }
        None => {
            let note = body["note"].as_str().expect("a text");
            assert!(
                note.starts_with("conformance: ") && note.contains("\nRunbook for "),
                "{note}"
            );
        }
    }
}

/// Reads a request and holds it to every rule.
fn alert(request: &http::Request, delivery: &Delivery) -> Value {
    assert_eq!(request.method, ::http::Method::POST);
    assert_eq!(request.headers["content-type"], "application/json");
    match &request.auth {
        Auth::Authorization(value) => {
            assert_eq!(value.to_str().expect("ASCII"), format!("GenieKey {API_KEY}"));
            assert!(value.is_sensitive());
        }
        Auth::None | Auth::OAuth2(_) => panic!("no key is sent"),
    }
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let path = request.url.path();
    if path == "/v2/alerts" {
        assert_eq!(request.url.query(), None);
        alias(body["alias"].as_str().expect("an alias"), false, delivery);
        create(&body);
    } else {
        assert_eq!(request.url.query(), Some("identifierType=alias"));
        let inside = path
            .strip_prefix("/v2/alerts/")
            .and_then(|rest| rest.strip_suffix("/close"));
        let inside = inside.expect("the path of a close");
        assert!(!inside.contains('/'), "an alias is one part of the path: {inside}");
        let decoded = percent_encoding::percent_decode_str(inside)
            .decode_utf8()
            .expect("UTF-8");
        alias(&decoded, true, delivery);
        only(&body, &["source", "note"]);
        assert_eq!(body["source"], "Signalbox");
        readable(body["note"].as_str().expect("a note"), 25_000, "note");
    }
    body
}

/// The alias is of something that the delivery is about, and opens and closes as its events do.
fn alias(alias: &str, closes: bool, delivery: &Delivery) {
    one_line(alias, 512, "alias");
    let rest = alias.strip_prefix(INTEGRATION).and_then(|rest| rest.strip_prefix('/'));
    let (family, _) = rest.and_then(|rest| rest.split_once('/')).expect("three parts");
    let known = delivery.events.iter().any(|accepted| {
        let event_type = accepted.event.event_type.as_str();
        let is_of = event_type == family || event_type.split('.').next() == Some(family);
        is_of && closes == CLOSING.contains(&event_type)
    });
    // What is left of a digest, which no event's key is.
    let is_rest = !closes && family == "signalbox.digest" && delivery.events.len() > 20;
    assert!(known || is_rest, "{alias}, closes: {closes}");
}

fn create(body: &Value) {
    only(
        body,
        &[
            "message",
            "alias",
            "description",
            "tags",
            "details",
            "entity",
            "source",
            "priority",
        ],
    );
    one_line(text(&body["message"]), 130, "message");
    readable(text(&body["description"]), 15_000, "description");
    one_line(text(&body["entity"]), 512, "entity");
    one_line(text(&body["source"]), 100, "source");
    assert!(["P1", "P2", "P3", "P4", "P5"].contains(&text(&body["priority"])));
    let tags = body["tags"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(tags.len() <= 20);
    for tag in tags {
        one_line(text(tag), 50, "tag");
    }
    let mut units = 0;
    for (name, value) in body["details"].as_object().expect("details") {
        one_line(name, 200, "name of a detail");
        readable(text(value), 8_000, name);
        units += name.encode_utf16().count() + text(value).encode_utf16().count();
    }
    assert!(units <= 8_000, "{units} units of details");
    for field in ["message", "description"] {
        no_html(text(&body[field]));
    }
    for value in body["details"].as_object().into_iter().flatten() {
        no_html(value.0);
        no_html(text(value.1));
    }
}

/// Nothing that a reader of HTML would take for an element or a comment.
fn no_html(text: &str) {
    for (index, _) in text.match_indices('<') {
        let next = text.get(index + 1..).and_then(|rest| rest.chars().next());
        let begins = next.is_some_and(|c| c.is_ascii_alphabetic() || ['/', '!', '?'].contains(&c));
        assert!(!begins, "an element in {text:?}");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn only(object: &Value, known: &[&str]) {
    for name in object.as_object().expect("an object").keys() {
        assert!(known.contains(&&**name), "{name} is no field");
    }
}

const TAKEN: &str =
    r#"{"result":"Request will be processed","took":0.302,"requestId":"43a29c5c-3dbf-4fa4-9c26-f4f71023e120"}"#;

/// As the vendor documents them, and as its customers have met them.
fn answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    vec![
        answer(202, TAKEN, Delivered),
        answer(202, "", Retry),
        answer(202, "{}", Retry),
        answer(202, r#"{"status":"ok"}"#, Retry),
        answer(202, r#"{"requestId":null}"#, Retry),
        answer(200, TAKEN, Delivered),
        answer(200, "<html>sign in</html>", Retry),
        answer(202, "<html>sign in</html>", Retry),
        answer(204, "", Retry),
        answer(302, "", Suspend),
        answer(
            400,
            r#"{"message":"Body is malformed","took":0.0,"requestId":"x"}"#,
            Reject,
        ),
        answer(
            401,
            r#"{"message":"Could not authenticate","took":0.002,"requestId":"x"}"#,
            Suspend,
        ),
        answer(
            402,
            r#"{"message":"Payment required","took":0.0,"requestId":"x"}"#,
            Suspend,
        ),
        answer(
            403,
            r#"{"code":40301,"message":"To perform this action, use an API key from an API integration.","took":0.001,"requestId":"x"}"#,
            Suspend,
        ),
        answer(
            403,
            r#"{"code":40302,"message":"x","took":0.001,"requestId":"x"}"#,
            Suspend,
        ),
        answer(404, r#"{"message":"not found","took":0.0,"requestId":"x"}"#, Suspend),
        answer(404, "", Suspend),
        answer(405, "", Reject),
        answer(410, "", Suspend),
        answer(415, "", Reject),
        answer(
            422,
            r#"{"message":"Request body is not processable. Please check the errors.","errors":{"message":"Message can not be empty."},"took":0.0,"requestId":"x"}"#,
            Reject,
        ),
        answer(
            422,
            r#"{"message":"Key format is not valid!","took":0.0,"requestId":"x"}"#,
            Suspend,
        ),
        Answer {
            status: 429,
            headers: &[
                ("x-ratelimit-state", "THROTTLED"),
                ("x-ratelimit-reason", "ACCOUNT"),
                ("x-ratelimit-period-in-sec", "60"),
            ],
            body: r#"{"message":"TooManyRequests","took":1,"requestId":"x"}"#,
            means: Retry,
        },
        answer(429, "", Retry),
        answer(500, "", Retry),
        answer(503, r#"{"message":"x","took":0.0,"requestId":"x"}"#, Retry),
    ]
}
