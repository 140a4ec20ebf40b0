//! Envelopes, taken apart and held to the vendor's limits.
//!
//! Limits: getsentry/develop on envelopes, payloads and data handling; docs.sentry.io on tags, releases and environments; the
//! field rules of getsentry/relay (`relay-event-schema`). Read in 2026.

use serde_json::{Value, json};
use signalbox_proto::{Delivery, integration::Template, outcome::OutcomeKind};

use super::Sentry;
use crate::{
    conformance::{Answer, Sample, Sampled, answer, contracts::Claim},
    http,
};

const KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const SECRET: &str = "fedcba98765432100123456789abcdef";
/// Bytes of an event, of an envelope, of a member of `extra` and of a context.
const EVENT_BYTES_MAX: usize = 200_000;
const ENVELOPE_BYTES_MAX: usize = 1_000_000;
const EXTRA_BYTES_MAX: usize = 16 * 1024;
const CONTEXT_BYTES_MAX: usize = 8 * 1024;

impl Sampled for Sentry {
    fn samples() -> Vec<Sample> {
        samples()
    }
}

fn samples() -> Vec<Sample> {
    let of = |name, dsn: String, config, template, accepts| Sample {
        name,
        config,
        credentials: json!({ "dsn": dsn }),
        template,
        secrets: vec![KEY, SECRET],
        accepts,
        claims,
        yes: answer(
            200,
            r#"{"id":"0f1e2d3c4b5a49788796a5b4c3d2e1f0"}"#,
            OutcomeKind::Delivered,
        ),
        answers: answers(),
    };
    let hosted = format!("https://{KEY}@o42.ingest.sentry.io/4711");
    vec![
        of("hosted", hosted.clone(), json!({}), None, accepts_hosted),
        of(
            "old form, under a path",
            format!(" https://{KEY}:{SECRET}@sentry.example.com:8443/tools/sentry/7\n"),
            json!({ "environment": "production" }),
            None,
            accepts_own,
        ),
        of("template", hosted, json!({}), Some(template()), accepts_hosted),
    ]
}

fn template() -> Template {
    Template {
        title: Some("{{ event.title }} {{ event.data.title|truncate(200) }}".to_owned()),
        body: Some("{{ event.data.message|truncate(6000) }}\n{{ event.data|tojson|truncate(9000) }}".to_owned()),
    }
}

fn accepts_hosted(request: &http::Request, delivery: &Delivery) {
    assert_eq!(request.url.as_str(), "https://o42.ingest.sentry.io/api/4711/envelope/");
    let event = event(request, delivery);
    assert!(event.get("environment").is_none());
}

fn accepts_own(request: &http::Request, delivery: &Delivery) {
    assert_eq!(
        request.url.as_str(),
        "https://sentry.example.com:8443/tools/sentry/api/7/envelope/"
    );
    assert_eq!(event(request, delivery)["environment"], "production");
}

/// An envelope's header, and its items with their payloads.
pub(super) fn envelope(body: &[u8]) -> (Value, Vec<(Value, Value)>) {
    let (header, items) = parts(body);
    let items = items.into_iter().map(|(item, payload)| {
        let payload = serde_json::from_slice(payload).expect("a payload of JSON");
        (item, payload)
    });
    (header, items.collect())
}

/// Takes an envelope apart by the lengths that it names.
fn parts(body: &[u8]) -> (Value, Vec<(Value, &[u8])>) {
    assert!(body.len() <= ENVELOPE_BYTES_MAX, "an envelope of {} bytes", body.len());
    let mut rest = body;
    let header = json_line(&mut rest);
    let mut items = Vec::new();
    while !rest.is_empty() {
        let item = json_line(&mut rest);
        let length = item["length"].as_u64().and_then(|length| usize::try_from(length).ok());
        let (payload, behind) = rest.split_at(length.expect("an item says its length"));
        rest = behind.strip_prefix(b"\n").expect("a line end follows a payload");
        items.push((item, payload));
    }
    (header, items)
}

fn json_line(rest: &mut &[u8]) -> Value {
    let end = rest.iter().position(|byte| *byte == b'\n').expect("a line ends");
    let (line, behind) = rest.split_at(end);
    *rest = &behind[1..];
    assert_ne!(line.last(), Some(&b'\r'), "lines end in a line feed alone");
    serde_json::from_slice(line).expect("a line of JSON")
}

/// The event of a request, held to every limit.
fn event(request: &http::Request, delivery: &Delivery) -> Value {
    assert_eq!(request.method, ::http::Method::POST);
    assert_eq!(request.headers["content-type"], "application/x-sentry-envelope");
    let auth = &request.headers["x-sentry-auth"];
    assert!(auth.is_sensitive(), "the key is never printed");
    let auth = auth.to_str().expect("ASCII");
    let expected = format!("Sentry sentry_version=7, sentry_key={KEY}, sentry_client=signalbox/");
    assert!(auth.starts_with(&expected), "{auth}");
    assert!(!auth.contains(SECRET), "the secret key is not sent");
    let body = std::str::from_utf8(&request.body).expect("UTF-8");
    assert!(!body.contains(KEY) && !body.contains(SECRET), "a body holds no secret");

    let (header, mut items) = envelope(&request.body);
    assert_eq!(items.len(), 1, "an envelope takes one event");
    let (item, event) = items.remove(0);
    assert_eq!(item["type"], "event");
    assert!(item["length"].as_u64() <= Some(EVENT_BYTES_MAX as u64), "{item}");
    assert_eq!(header["event_id"], event["event_id"]);
    assert!(header["sent_at"].as_str().is_some_and(|at| at.ends_with('Z')));
    assert!(header.get("dsn").is_none());

    let id = event["event_id"].as_str().expect("an id");
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    assert!(id.len() == 32 && id.chars().all(hex), "{id}");
    assert_eq!(id.as_bytes()[12], b'4', "the version of a random UUID");
    assert!(matches!(id.as_bytes()[16], b'8' | b'9' | b'a' | b'b'), "its variant");
    assert!(event["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')));
    assert_eq!(event["platform"], "other");
    let level = event["level"].as_str().expect("a level");
    assert!(
        ["fatal", "error", "warning", "info", "debug"].contains(&level),
        "{level}"
    );
    message(&event);
    tags(&event);
    contexts(&event, delivery);
    extra(&event, delivery);
    breadcrumbs(&event, delivery);
    let fingerprint = event["fingerprint"].as_array().expect("a list");
    assert!(matches!(fingerprint.as_slice(), [Value::String(key)] if key.starts_with("0197c0de-")));
    if let Some(release) = event.get("release").map(|release| release.as_str().expect("a text")) {
        one_line(release, 200);
        assert!(!release.contains(['/', '\\']), "{release}");
        assert!(
            ![".", "..", "latest"].contains(&release.to_lowercase().as_str()),
            "{release}"
        );
    }
    if let Some(server) = event.get("server_name") {
        one_line(server.as_str().expect("a text"), 256);
    }
    one_line(event["transaction"].as_str().expect("a text"), 200);
    one_line(event["logger"].as_str().expect("a text"), 64);
    event
}

fn message(event: &Value) {
    let text = event["logentry"]["formatted"].as_str().expect("a message");
    let count = text.chars().count();
    assert!((1..=8_192).contains(&count), "{count} characters");
    assert!(
        !text.trim().is_empty() && !text.starts_with('\n'),
        "the first line is the title: {text:?}"
    );
    assert!(!text.contains("\u{200d}…"), "cut inside a sequence: {text:?}");
    let count = |mark: char| text.chars().filter(|c| *c == mark).count();
    assert_eq!(
        count('\u{2068}'),
        count('\u{2069}'),
        "a direction stays open in {text:?}"
    );
    let hidden = |c: char| c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{202a}'..='\u{202e}');
    assert!(!text.contains(hidden), "{text:?}");
}

fn tags(event: &Value) {
    let tags = event["tags"].as_object().expect("tags");
    for name in ["agent_id", "event_type", "integration", "org", "severity"] {
        assert!(tags.contains_key(name), "no tag {name}");
    }
    for (name, value) in tags {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
        assert!((1..=32).contains(&name.len()) && name.chars().all(allowed), "{name}");
        // Names that the server keeps for itself.
        let kept = [
            "release",
            "dist",
            "user",
            "filename",
            "function",
            "environment",
            "level",
        ];
        assert!(!kept.contains(&name.as_str()), "{name}");
        one_line(value.as_str().expect("a text"), 200);
    }
}

fn contexts(event: &Value, delivery: &Delivery) {
    let contexts = event["contexts"].as_object().expect("contexts");
    for (name, context) in contexts {
        let size = context.to_string().len();
        assert!(size <= CONTEXT_BYTES_MAX, "{name} has {size} bytes");
        assert!(
            context.as_object().is_some_and(|fields| !fields.is_empty()),
            "{name} is empty"
        );
    }
    assert_eq!(event["contexts"]["signalbox"]["delivery_id"], delivery.id.as_str());
}

fn extra(event: &Value, delivery: &Delivery) {
    let Some(extra) = event.get("extra") else { return };
    let members = extra.as_object().expect("an object");
    assert!((1..=50).contains(&members.len()), "{} members", members.len());
    for (name, value) in members {
        let size = value.to_string().len();
        assert!(size <= EXTRA_BYTES_MAX, "{name} has {size} bytes");
    }
    // What is small enough is there as it was published.
    if !delivery.is_digest()
        && let Ok(Value::Object(data)) = delivery.event().event.data.value()
        && data.len() <= 50
        && delivery.event().event.data.as_bytes().len() <= 10_000
    {
        let given = data
            .iter()
            .filter(|(name, value)| !value.is_null() && name.chars().count() <= 200);
        for (name, value) in given {
            assert_eq!(&members[name], value, "{name}");
        }
    }
}

fn breadcrumbs(event: &Value, delivery: &Delivery) {
    let Some(breadcrumbs) = event.get("breadcrumbs") else {
        return;
    };
    assert!(delivery.is_digest(), "of one event there is nothing before");
    let values = breadcrumbs["values"].as_array().expect("a list");
    assert!((1..=100).contains(&values.len()));
    for crumb in values {
        one_line(crumb["message"].as_str().expect("a text"), 200);
    }
}

fn one_line(text: &str, chars_max: usize) {
    let count = text.chars().count();
    assert!((1..=chars_max).contains(&count), "{count} characters");
    assert!(
        !text.contains(char::is_control) && text.trim() == text && !text.is_empty(),
        "{text:?}"
    );
}

fn claims(request: &http::Request) -> Vec<Claim> {
    let (_, items) = parts(&request.body);
    let events = items.into_iter().map(|(_, payload)| payload);
    events
        .flat_map(|event| Claim::of_body("sentry-event.schema.json", "", event))
        .collect()
}

fn answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    let with = |status, headers, body, means| Answer {
        status,
        headers,
        body,
        means,
    };
    vec![
        answer(200, r#"{"id":"0f1e2d3c4b5a49788796a5b4c3d2e1f0"}"#, Delivered),
        answer(200, "{}", Retry),
        answer(200, r#"{"id":null}"#, Retry),
        answer(200, r#"{"status":"ok"}"#, Retry),
        answer(200, "", Delivered),
        with(200, &[("x-sentry-rate-limits", "60:transaction:key")], "", Delivered),
        with(200, &[("x-sentry-rate-limits", "60:error:key")], "{}", Retry),
        with(200, &[("x-sentry-rate-limits", "60::organization")], "{}", Retry),
        answer(200, "<html>sign in</html>", Retry),
        answer(302, "", Suspend),
        answer(
            400,
            r#"{"detail":"invalid event envelope","causes":["unexpected end of file"]}"#,
            Reject,
        ),
        answer(401, r#"{"detail":"bad sentry DSN public key"}"#, Suspend),
        answer(
            403,
            r#"{"detail":"event submission rejected with_reason: ProjectId"}"#,
            Suspend,
        ),
        answer(404, "", Suspend),
        answer(408, "", Retry),
        answer(400, r#"{"detail":"bad sentry DSN public key"}"#, Suspend),
        answer(400, r#"{"detail":"bad project path parameter"}"#, Suspend),
        answer(413, "", Reject),
        answer(415, "", Reject),
        answer(429, "", Retry),
        with(
            429,
            &[
                ("retry-after", "2700"),
                ("x-sentry-rate-limits", "2700:default;error;security:organization:quota"),
            ],
            r#"{"detail":"Sentry dropped data due to a quota or internal rate limit being reached"}"#,
            Retry,
        ),
        answer(500, "", Retry),
        answer(502, "", Retry),
        answer(503, r#"{"detail":"failed to queue envelope"}"#, Retry),
        answer(504, "", Retry),
    ]
}
