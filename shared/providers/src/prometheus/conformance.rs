//! Pushes of totals, read with a parser of the text format that the provider does not share.
//!
//! Rules: the README of the Pushgateway and Prometheus' page on exposition formats, read in 2026.

mod reading;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use percent_encoding::percent_decode_str;
use serde_json::json;
use signalbox_proto::{Delivery, outcome::OutcomeKind};

use super::Prometheus;
use crate::{
    conformance::{Answer, Sample, Sampled, answer, no_claims, responses::Differs},
    http,
};

/// Longest value of a label that is sent, in bytes.
const AGENT_BYTES_MAX: usize = 128;
const PASSWORD: &str = "s3cret-of-the-gateway";
const TOKEN: &str = "s3cret-of-the-proxy";

/// What a push holds is no event's own.
pub(crate) const TOO_LARGE: Differs = Differs {
    provider: "prometheus",
    status: 413,
    means: OutcomeKind::Suspend,
    why: "a push holds all that was ever counted: what is too large is so for every event that comes, one after another",
};

impl Sampled for Prometheus {
    fn samples() -> Vec<Sample> {
        samples()
    }
}

fn samples() -> Vec<Sample> {
    let of = |name, config, credentials, accepts| Sample {
        name,
        config,
        credentials,
        template: None,
        secrets: vec![PASSWORD, TOKEN, "c2lnbmFsYm94OnMzY3JldC1vZi10aGUtZ2F0ZXdheQ"],
        accepts,
        claims: no_claims,
        yes: answer(200, "", OutcomeKind::Delivered),
        answers: answers(),
    };
    vec![
        of(
            "plain",
            json!({ "pushgateway_url": "https://push.example.com" }),
            json!({}),
            |request, delivery| accepts(request, delivery, ("", "signalbox", "signalbox")),
        ),
        of(
            "behind a path",
            json!({ "pushgateway_url": "https://example.com/push/", "job": "day/night", "metric_prefix": "acme_" }),
            json!({ "basic": { "username": "signalbox", "password": PASSWORD } }),
            |request, delivery| accepts(request, delivery, ("/push", "day/night", "acme_")),
        ),
        of(
            "with a token",
            json!({ "pushgateway_url": "https://push.example.com", "job": ".." }),
            json!({ "bearer": format!(" {TOKEN}\n") }),
            |request, delivery| accepts(request, delivery, ("", "..", "signalbox")),
        ),
    ]
}

/// The label and the value of two parts of a path, as a gateway reads them.
fn label([name, value]: &[&str; 2]) -> (String, String) {
    let value = percent_decode_str(value).decode_utf8().expect("UTF-8").into_owned();
    match name.strip_suffix("@base64") {
        None => {
            assert!(!value.is_empty() && !value.contains('/'), "{value:?} is lost in a path");
            ((*name).to_owned(), value)
        }
        Some(name) => {
            let value = URL_SAFE_NO_PAD.decode(value).expect("base64 as addresses take it");
            (name.to_owned(), String::from_utf8(value).expect("UTF-8"))
        }
    }
}

fn accepts(request: &http::Request, delivery: &Delivery, (below, job, prefix): (&str, &str, &str)) {
    assert_eq!(request.method, "PUT");
    let content_type = request.headers["content-type"].to_str().expect("ASCII");
    assert!(content_type.starts_with("text/plain; version=0.0.4"), "{content_type}");
    let path = request.url.path().strip_prefix(below).expect("the gateway's own path");
    let parts: Vec<&str> = path.split('/').collect();
    assert_eq!(parts[..2], ["", "metrics"], "{path}");
    let (pairs, rest) = parts[2..].as_chunks::<2>();
    assert!(rest.is_empty() && request.url.query().is_none(), "{path}");
    let labels: Vec<(String, String)> = pairs.iter().map(label).collect();
    let expected = [
        ("job", job),
        ("org", "acme"),
        ("integration", "0197c0de-0000-7000-8000-000000000001"),
    ];
    assert_eq!(
        labels,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );

    let read = reading::read(&request.body);
    let mut total = 0;
    for ((name, agent), value) in &read {
        assert!(name.starts_with(&format!("{prefix}_")), "{name}");
        assert!(!agent.is_empty() && agent.len() <= AGENT_BYTES_MAX, "{agent:?}");
        total += value;
    }
    assert_eq!(total, delivery.events.len() as u64, "each event counts once");
    for accepted in &delivery.events {
        let kind: String = accepted.event.event_type.as_str().replace(['.', '-'], "_");
        let name = format!("{prefix}_{kind}_total");
        assert!(read.keys().any(|(known, _)| *known == name), "{name} is missing");
    }
}

fn answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Retry, Suspend};
    const INCONSISTENT: &str = "pushed metrics are invalid or inconsistent with existing metrics: collected metric \
         signalbox_tick_total is not a COUNTER";
    vec![
        answer(200, "", Delivered),
        answer(202, "", Delivered),
        answer(204, "", Delivered),
        answer(302, "", Suspend),
        answer(400, INCONSISTENT, Suspend),
        answer(400, "text format parsing error in line 1", Suspend),
        answer(401, "Unauthorized\n", Suspend),
        answer(403, "", Suspend),
        answer(404, "404 page not found\n", Suspend),
        answer(405, "Method Not Allowed\n", Suspend),
        answer(408, "", Retry),
        answer(411, "", Suspend),
        answer(413, "", Suspend),
        answer(429, "", Retry),
        answer(500, "", Retry),
        answer(502, "", Retry),
        answer(503, "", Retry),
        answer(504, "", Retry),
    ]
}
