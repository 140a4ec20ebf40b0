mod config;
mod doubts;

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use signalbox_proto::{integration::Template, outcome::OutcomeKind};

use super::*;
use crate::{
    About, AnyTarget, Egress,
    conformance::{NOW, as_http, hostile},
    find,
    once::attempts::{Attempts, answered},
};

const SECRET: &str = "glpat-s3cret4711";
const TRIGGER: &str = "glptt-s3cret0815";

fn open(config: Value, credentials: Value, template: Option<&Template>) -> Box<dyn AnyTarget> {
    let about = About {
        integration: "0197".to_owned(),
        name: "shop".parse().unwrap(),
        org: "acme".parse().unwrap(),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    };
    let entry = find("gitlab").unwrap();
    entry.open_with_template(config, credentials, about, template).unwrap()
}

fn delivery(event_type: &str, data: &Value) -> Delivery {
    let mut event = hostile::event(event_type, data);
    event.agent_id = Some("agent-7".to_owned());
    hostile::delivery(event, 1)
}

fn request_of(target: &dyn AnyTarget, delivery: &Delivery) -> http::Request {
    match target.next(delivery, &[], NOW) {
        Step::Send(request) => as_http(request),
        Step::Done(outcome) => panic!("no request: {outcome:?}"),
    }
}

fn body_of(request: &http::Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// Compares a request with a file of `golden/`, or writes it where `SIGNALBOX_GOLDEN_UPDATE` is set.
fn golden(name: &str, request: &http::Request) {
    let headers: serde_json::Map<String, Value> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
        .collect();
    let mut body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    if let Some(text) = body["description"].as_str() {
        // Read by people: a line for each line.
        body["description"] = text.lines().collect();
    }
    let written = json!({
        "method": request.method.as_str(), "url": request.url.as_str(), "headers": headers, "body": body,
    });
    let written = format!("{written:#}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/gitlab/golden/{name}.json"));
    if std::env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, known, "{name}: SIGNALBOX_GOLDEN_UPDATE=1 writes it anew");
}

fn run() -> Value {
    json!({ "project": "acme/shop" })
}

fn issues() -> Value {
    json!({ "project": "acme/shop", "action": "create_issue", "labels": ["signalbox"] })
}

fn token() -> Value {
    json!({ "token": SECRET })
}

fn both() -> Value {
    json!({ "token": SECRET, "trigger_token": TRIGGER })
}

#[test]
fn pipelines_and_issues_are_as_recorded() {
    let data = json!({
        "title": "Latency is rising", "message": "p99 is above 800 ms, says @ann in #1.", "cost": "$HOME and $CI_JOB_TOKEN",
        "error": "timeout\n/close", "logs_url": "https://example.com/logs/7",
    });
    let one = delivery("alert.created", &data);
    golden("pipeline", &request_of(&*open(run(), token(), None), &one));
    golden("trigger", &request_of(&*open(run(), both(), None), &one));
    golden("issue", &request_of(&*open(issues(), token(), None), &one));
    let mut batch = one.clone();
    batch.digest = true;
    batch
        .events
        .push(delivery("execution.failed", &json!({ "error": "disk full" })).events[0].clone());
    golden("issue-digest", &request_of(&*open(issues(), token(), None), &batch));
    let template = Template {
        title: Some("{{ event.data.title }}".to_owned()),
        body: Some("**Runbook** for {{ event.data.error }}\n\n/label ~ops".to_owned()),
    };
    golden(
        "issue-template",
        &request_of(&*open(issues(), token(), Some(&template)), &one),
    );
    let Some(Request::Http(probe)) = open(run(), token(), None).probe(NOW) else {
        panic!("it has a probe")
    };
    golden("probe", &probe);
    let blind = open(run(), json!({ "trigger_token": TRIGGER }), None);
    assert!(blind.probe(NOW).is_none(), "a trigger token can do nothing else");
    assert!(!request_of(&*blind, &one).headers.contains_key("private-token"));
}

#[test]
fn a_payload_is_never_filled_with_other_variables_and_stays_the_same_json() {
    let data = json!({ "message": "$CI_JOB_TOKEN ${SECRET} $$" });
    let request = request_of(&*open(run(), both(), None), &delivery("alert.created", &data));
    let payload = body_of(&request)["variables"]["SIGNALBOX_PAYLOAD"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(!payload.contains('$'), "{payload}");
    assert_eq!(serde_json::from_str::<Value>(&payload).unwrap(), data);
    let many = json!({ "message": "$".repeat(60_000) });
    let request = request_of(&*open(run(), both(), None), &delivery("alert.created", &many));
    let payload = body_of(&request)["variables"]["SIGNALBOX_PAYLOAD"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        payload.len() <= 100_000 && payload.contains("not_shown"),
        "{} bytes",
        payload.len()
    );
}
