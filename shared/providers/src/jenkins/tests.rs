mod config;
mod doubts;

use std::path::Path;

use serde_json::{Value, json};
use signalbox_proto::outcome::OutcomeKind;

use super::*;
use crate::{
    About, AnyTarget, Egress,
    conformance::{NOW, as_http, hostile},
    find,
    once::attempts::{Attempts, answered},
};

const TOKEN: &str = "11s3cret4711";

fn config() -> Value {
    json!({ "base_url": "https://ci.example.com/jenkins", "job": "shop/deploy" })
}

fn credentials() -> Value {
    json!({ "user": "signalbox", "api_token": TOKEN })
}

fn open(config: Value) -> Box<dyn AnyTarget> {
    let about = About {
        integration: "0197".to_owned(),
        name: "deploy".parse().unwrap(),
        org: "acme".parse().unwrap(),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    };
    find("jenkins").unwrap().open(config, credentials(), about).unwrap()
}

fn delivery(event_type: &str, data: &Value) -> Delivery {
    let mut event = hostile::event(event_type, data);
    event.agent_id = Some("agent-7".to_owned());
    hostile::delivery(event, 1)
}

fn request_of(config: Value, delivery: &Delivery) -> http::Request {
    match open(config).next(delivery, &[], NOW) {
        Step::Send(request) => as_http(request),
        Step::Done(outcome) => panic!("no request: {outcome:?}"),
    }
}

/// Compares a request with a file of `golden/`, or writes it where `SIGNALBOX_GOLDEN_UPDATE` is set.
fn golden(name: &str, request: &http::Request) {
    let headers: serde_json::Map<String, Value> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
        .collect();
    let form: Vec<Value> = url::form_urlencoded::parse(&request.body)
        .map(|(name, value)| json!([name, value]))
        .collect();
    let written = json!({
        "method": request.method.as_str(), "url": request.url.as_str(), "headers": headers, "form": form,
    });
    let written = format!("{written:#}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/jenkins/golden/{name}.json"));
    if std::env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, known, "{name}: SIGNALBOX_GOLDEN_UPDATE=1 writes it anew");
}

#[test]
fn builds_are_as_recorded() {
    let one = delivery(
        "deployment.started",
        &json!({ "version": "1.4.2", "note": "a&b=c d+é\n%2F" }),
    );
    golden("usual", &request_of(config(), &one));
    let mut own = config();
    own["parameters"] =
        json!({ "VERSION": "{{ event.data.version }}", "NOTE": "by {{ event.agent_id }}: {{ event.data.note }}" });
    golden("own", &request_of(own, &one));
    let mut none = config();
    none["parameters"] = json!({});
    golden("none", &request_of(none, &one));
    let mut batch = one.clone();
    batch.digest = true;
    batch
        .events
        .push(delivery("execution.failed", &json!({ "error": "disk full" })).events[0].clone());
    golden("digest", &request_of(config(), &batch));
    let Some(Request::Http(probe)) = open(config()).probe(NOW) else {
        panic!("it has a probe")
    };
    golden("probe", &probe);
}

#[test]
fn parameters_that_cannot_be_made_or_are_too_large_are_rejected() {
    let reason = |parameters: Value, data: &Value| {
        let mut config = config();
        config["parameters"] = parameters;
        match open(config).next(&delivery("alert.created", data), &[], NOW) {
            Step::Done(Outcome::Reject { reason }) => reason,
            other => panic!("{other:?}"),
        }
    };
    let fails = reason(json!({ "A": "{{ 1 / 0 }}" }), &json!({}));
    assert!(fails.starts_with("config.parameters.A: "), "{fails}");
    let text = json!({ "text": "%".repeat(30_000) });
    let large = reason(
        json!({ "A": "{{ event.data.text }}", "B": "{{ event.data.text }}", "C": "{{ event.data.text }}" }),
        &text,
    );
    assert!(large.contains("190000 bytes"), "{large}");
}
