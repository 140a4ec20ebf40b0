//! A NATS server with JetStream, as its documents describe it.

use serde_json::{Value, json};
use signalbox_proto::{Delivery, outcome::OutcomeKind, subjects};

use super::{Nats, Publish, Request, header_name};
use crate::{
    conformance::{Answer, Sample, Sampled, answer, no_claims},
    http::{self, Auth},
};

/// Bytes of headers that a stream takes.
const HEADERS_BYTES_MAX: usize = 64 * 1024;
/// A seed that was made for this test and opens nothing.
pub(super) const SEED: &str = "SUAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IC5CQ";

impl Sampled for Nats {
    fn samples() -> Vec<Sample> {
        samples()
    }
}

/// A request as one over HTTP, for checks that all providers share.
pub(crate) fn as_http(request: &Request) -> http::Request {
    let publish = request.publish.as_ref();
    let subject = publish.map(|publish| publish.subject.as_str()).unwrap_or_default();
    let server = request.servers[0].url();
    http::Request {
        method: "PUB".parse().expect("a method"),
        url: server.join(subject).expect("a subject is a path"),
        headers: publish.map(|publish| publish.headers.clone()).unwrap_or_default(),
        body: publish.map(|publish| publish.body.clone()).unwrap_or_default(),
        auth: Auth::None,
        identity: None,
    }
}

fn samples() -> Vec<Sample> {
    let of = |name, config: Value, credentials: Value| Sample {
        name,
        config,
        credentials,
        template: None,
        secrets: vec!["password-secret-4711", "token-secret-4711", SEED],
        accepts,
        claims: no_claims,
        yes: answer(200, r#"{"stream":"EVENTS","seq":7}"#, OutcomeKind::Delivered),
        answers: answers(),
    };
    let url = "tls://nats.example.com:4222";
    let own = format!("{}{{org}}.{{type}}", subjects::INPUT_PREFIX);
    let user = json!({ "user": "signalbox", "password": "password-secret-4711" });
    vec![
        of("user", json!({ "url": url, "subject": "events.{type}" }), user.clone()),
        of(
            "token, binary CloudEvents",
            json!({ "url": url, "subject": "events.{org}.{severity}", "payload": "cloudevents_binary" }),
            json!({ "token": "token-secret-4711" }),
        ),
        of(
            "nkey, without a stream",
            json!({ "url": url, "subject": "events.all", "jetstream": false, "payload": "cloudevents" }),
            json!({ "nkey": SEED }),
        ),
        of(
            "the own input",
            json!({ "url": url, "subject": own, "payload": "cloudevents_binary" }),
            user,
        ),
    ]
}

fn accepts(request: &http::Request, delivery: &Delivery) {
    let subject = request.url.path().trim_start_matches('/');
    assert!(!subject.is_empty() && subject.len() < 1_024);
    assert!(subject.split('.').all(|token| !token.is_empty()), "{subject}");
    assert!(!subject.contains(['*', '>', ' ', '\t']), "{subject}");
    let mut bytes = 0;
    for (name, value) in &request.headers {
        let value = value.to_str().expect("visible ASCII");
        assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        bytes += header_name(name).len() + value.len() + 4;
    }
    assert!(bytes <= HEADERS_BYTES_MAX, "{bytes} bytes of headers");
    let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
    assert_eq!(header("nats-msg-id"), Some(delivery.id.as_str()));
    assert_eq!(header("ce-signalboxhops"), Some("1"));
    let text: Value = serde_json::from_slice(&request.body).expect("JSON");
    if header("content-type").is_some_and(|given| given.starts_with("application/cloudevents+json")) {
        assert_eq!(text["specversion"], "1.0");
    }
}

fn answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    vec![
        answer(200, r#"{"stream":"EVENTS","seq":7}"#, Delivered),
        answer(200, r#"{"stream":"EVENTS","seq":7,"duplicate":true}"#, Delivered),
        answer(200, "", Delivered),
        answer(
            503,
            r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"EVENTS","seq":0}"#,
            Retry,
        ),
        answer(
            400,
            r#"{"error":{"code":400,"err_code":10002,"description":"resource limits exceeded for account"}}"#,
            Retry,
        ),
        answer(
            500,
            r#"{"error":{"code":500,"err_code":10047,"description":"insufficient storage resources available"}}"#,
            Retry,
        ),
        answer(
            503,
            r#"{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}"#,
            Retry,
        ),
        answer(
            409,
            r#"{"error":{"code":409,"err_code":10158,"description":"duplicate message id is in process"}}"#,
            Retry,
        ),
        answer(
            429,
            r#"{"error":{"code":429,"err_code":10167,"description":"too many requests"}}"#,
            Retry,
        ),
        answer(
            400,
            r#"{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}"#,
            Reject,
        ),
        answer(
            400,
            r#"{"error":{"code":400,"err_code":10097,"description":"header size exceeds maximum allowed of 64k"}}"#,
            Reject,
        ),
        answer(
            400,
            r#"{"error":{"code":400,"err_code":10109,"description":"invalid operation on sealed stream"}}"#,
            Suspend,
        ),
        answer(
            503,
            r#"{"error":{"code":503,"err_code":10039,"description":"JetStream not enabled for account"}}"#,
            Suspend,
        ),
        answer(
            404,
            r#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#,
            Suspend,
        ),
        answer(
            400,
            r#"{"error":{"code":400,"err_code":99999,"description":"something new"}}"#,
            Reject,
        ),
    ]
}

impl Publish {
    /// The value of a header, for tests.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
