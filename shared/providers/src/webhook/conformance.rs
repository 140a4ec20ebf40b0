//! Any receiver of JSON.

use serde_json::{Value, json};
use signalbox_proto::{Delivery, outcome::OutcomeKind};

use super::Webhook;
use crate::{
    conformance::{Answer, Sample, Sampled, answer, no_claims},
    http,
};

impl Sampled for Webhook {
    fn samples() -> Vec<Sample> {
        samples()
    }
}

fn samples() -> Vec<Sample> {
    let of = |name, payload: &str, credentials| Sample {
        name,
        config: json!({
            "url": "https://hooks.example.com/in/T0KEN-in-the-path",
            "payload": payload,
            "headers": { "x-team": "header-secret-4711" },
        }),
        credentials,
        template: None,
        secrets: vec![
            "T0KEN-in-the-path",
            "header-secret-4711",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "bearer-secret-4711",
            "client-secret-4711",
        ],
        accepts,
        claims: no_claims,
        yes: answer(204, "", OutcomeKind::Delivered),
        answers: answers(),
    };
    let signed = json!({ "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "bearer": "bearer-secret-4711" });
    let oauth2 = json!({ "oauth2": {
        "token_url": "https://login.example.com/token", "client_id": "signalbox", "client_secret": "client-secret-4711",
    } });
    vec![
        of("standard", "standard", signed.clone()),
        of("envelope", "envelope", json!({})),
        of("flat", "flat", signed.clone()),
        of("cloudevents", "cloudevents", signed),
        of("oauth2", "standard", oauth2),
    ]
}

fn accepts(request: &http::Request, delivery: &Delivery) {
    let body: Value = serde_json::from_slice(&request.body).expect("a webhook sends JSON");
    assert!(body.is_object());
    let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
    assert_eq!(header("webhook-id"), Some(delivery.id.as_str()));
    assert!(header("webhook-timestamp").is_some());
}

fn answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    vec![
        answer(200, "", Delivered),
        answer(204, "", Delivered),
        answer(302, "", Suspend),
        answer(400, "", Reject),
        answer(401, "", Suspend),
        answer(403, "", Suspend),
        answer(404, "", Suspend),
        answer(408, "", Retry),
        answer(410, "", Suspend),
        answer(413, "", Reject),
        answer(422, "", Reject),
        answer(425, "", Retry),
        answer(500, "", Retry),
        answer(503, "", Retry),
    ]
}
