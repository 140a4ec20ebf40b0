mod config;
mod doubts;

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use signalbox_proto::{Event, Severity, integration::Template, outcome::OutcomeKind};

use super::*;
use crate::{
    About, AnyTarget, Egress,
    conformance::{NOW, as_http, hostile},
    find,
    once::attempts::{Attempts, answered},
};

const TOKEN: &str = "github_pat_s3cret4711";

fn about() -> About {
    About {
        integration: "0197".to_owned(),
        name: "shop".parse().unwrap(),
        org: "acme".parse().unwrap(),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    }
}

fn open(config: Value, template: Option<&Template>) -> Box<dyn AnyTarget> {
    let entry = find("github").unwrap();
    entry
        .open_with_template(config, json!({ "token": TOKEN }), about(), template)
        .unwrap()
}

fn event(event_type: &str, data: &Value) -> Event {
    let mut event = hostile::event(event_type, data);
    event.agent_id = Some("agent-7".to_owned());
    event
}

fn delivery(event_type: &str, data: &Value) -> Delivery {
    hostile::delivery(event(event_type, data), 1)
}

fn digest(datas: &[Value]) -> Delivery {
    let mut deliveries = datas.iter().map(|data| delivery("execution.failed", data));
    let mut digest = deliveries.next().unwrap();
    digest.digest = true;
    digest.events.extend(deliveries.map(|one| one.events[0].clone()));
    digest
}

fn request_of(config: Value, template: Option<&Template>, delivery: &Delivery) -> http::Request {
    match open(config, template).next(delivery, &[], NOW) {
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
    if let Some(text) = body["body"].as_str() {
        // Read by people: a line for each line.
        body["body"] = text.lines().collect();
    }
    let written = json!({
        "method": request.method.as_str(), "url": request.url.as_str(), "headers": headers, "body": body,
    });
    let written = format!("{written:#}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/github/golden/{name}.json"));
    if std::env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, known, "{name}: SIGNALBOX_GOLDEN_UPDATE=1 writes it anew");
}

fn issue_config() -> Value {
    json!({ "repo": "acme/shop", "labels": ["signalbox"] })
}

fn comment_config() -> Value {
    json!({ "repo": "acme/shop", "action": "create_comment" })
}

fn run_config() -> Value {
    json!({ "repo": "acme/shop", "action": "trigger_workflow", "workflow_id": "deploy.yml" })
}

fn latency() -> Value {
    json!({
        "title": "Latency is rising", "message": "p99 is above 800 ms since 10 minutes, says @ann in #1.", "latency_ms": 840,
        "error": "timeout\n  at <checkout> & ```co```", "affected_agents": ["agent-1", "agent-2"],
        "logs_url": "https://example.com/logs/7", "pr": { "number": 42, "url": "https://github.com/acme/shop/pull/42" },
    })
}

#[test]
fn issues_comments_and_runs_are_as_recorded() {
    let one = delivery("alert.created", &latency());
    golden("issue", &request_of(issue_config(), None, &one));
    golden("comment", &request_of(comment_config(), None, &one));
    golden("run", &request_of(run_config(), None, &one));
    let batch = digest(&[json!({ "error": "one" }), json!({ "error": "two" }), latency()]);
    golden("issue-digest", &request_of(issue_config(), None, &batch));
    golden("run-digest", &request_of(run_config(), None, &batch));
    let template = Template {
        title: Some("{{ event.data.title }} @ {{ integration.name }}".to_owned()),
        body: Some("**Runbook** for {{ event.data.message }}\n\n@acme/ops please look".to_owned()),
    };
    golden("issue-template", &request_of(issue_config(), Some(&template), &one));
    let Some(Request::Http(probe)) = open(issue_config(), None).probe(NOW) else {
        panic!("it has a probe")
    };
    golden("probe", &probe);
}

#[test]
fn what_is_critical_has_its_label_once() {
    let labels = |config: &Value, severity| {
        let mut event = event("alert.created", &json!({}));
        event.severity = severity;
        let request = request_of(config.clone(), None, &hostile::delivery(event, 1));
        body_of(&request)["labels"].clone()
    };
    assert_eq!(labels(&issue_config(), Severity::High), json!(["signalbox"]));
    assert_eq!(
        labels(&issue_config(), Severity::Critical),
        json!(["signalbox", "critical"])
    );
    let own = json!({ "repo": "acme/shop", "labels": ["Critical"] });
    assert_eq!(labels(&own, Severity::Critical), json!(["Critical"]));
}

#[test]
fn the_title_says_the_type_and_the_beginning_of_the_message() {
    let title =
        |data: &Value| body_of(&request_of(issue_config(), None, &delivery("shop.order-paid", data)))["title"].clone();
    assert_eq!(
        title(&json!({ "message": "Paid" })),
        "[Signalbox] shop.order-paid: Paid"
    );
    let long = title(&json!({ "message": "word ".repeat(100) }));
    let expected = format!("[Signalbox] shop.order-paid: {}…", "word ".repeat(10).trim_end());
    assert_eq!(long, expected);
}

#[test]
fn a_body_in_the_config_stands_instead_of_the_usual_one_and_behind_a_template() {
    let config = json!({ "repo": "acme/shop", "body": "See {{ event.data.error }}." });
    let one = delivery("execution.failed", &json!({ "error": "@ann #1" }));
    let body = body_of(&request_of(config.clone(), None, &one))["body"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(body, format!("<!-- signalbox:{} -->\nSee `@ann #1`.", one.id));
    let template = Template {
        title: None,
        body: Some("Mine".to_owned()),
    };
    let body = body_of(&request_of(config, Some(&template), &one))["body"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(body.ends_with("-->\nMine"), "{body}");
    let empty = json!({ "repo": "acme/shop", "body": "{{ event.data.nothing }}" });
    let body = body_of(&request_of(empty, None, &one))["body"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(body.contains("## "), "a text that comes out empty is none: {body}");
    let fails = json!({ "repo": "acme/shop", "body": "{{ 1 / 0 }}" });
    match open(fails, None).next(&one, &[], NOW) {
        Step::Done(Outcome::Reject { reason }) => assert!(reason.starts_with("config.body: "), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_issue_to_comment_on_is_the_events_else_the_configs() {
    let place = |config: &Value, delivery: &Delivery| match open(config.clone(), None).next(delivery, &[], NOW) {
        Step::Send(request) => as_http(request).url.path().split('/').nth(5).unwrap().to_owned(),
        Step::Done(outcome) => outcome.reason().unwrap().to_owned(),
    };
    let with_number = json!({ "repo": "acme/shop", "action": "create_comment", "issue_number": 9 });
    for (data, expected) in [
        (json!({ "issue_number": 7 }), "7"),
        (json!({ "issue_number": "#7" }), "7"),
        (json!({ "issue": { "number": 7 } }), "7"),
        (json!({ "issue": 7 }), "7"),
        (json!({ "pr_number": 7, "pr": { "number": 8 } }), "7"),
        (json!({ "pr": { "number": 7 } }), "7"),
        (json!({ "pull_request": { "number": 7 } }), "7"),
        (json!({ "issue_number": 0, "pr": { "number": 7 } }), "7"),
        (json!({ "issue_number": -1 }), "9"),
        (json!({ "issue_number": 0.5 }), "9"),
        (json!({ "issue_number": 99_999_999_999_u64 }), "9"),
        (json!([7]), "9"),
        (json!({}), "9"),
    ] {
        assert_eq!(
            place(&with_number, &delivery("alert.created", &data)),
            expected,
            "{data}"
        );
    }
    let none = place(&comment_config(), &delivery("alert.created", &json!({})));
    assert!(none.contains("config.issue_number is not given"), "{none}");
    let seven = || json!({ "issue_number": 7 });
    assert_eq!(place(&comment_config(), &digest(&[seven(), json!({}), seven()])), "7");
    let several = digest(&[seven(), json!({ "issue_number": 8 })]);
    assert_eq!(place(&with_number, &several), "9");
    assert!(place(&comment_config(), &several).contains("several issues"));
}

#[test]
fn inputs_that_would_be_too_large_are_told_by_what_they_say() {
    let request = request_of(
        run_config(),
        None,
        &delivery("alert.created", &json!({ "message": "é".repeat(50_000) })),
    );
    let payload = body_of(&request)["inputs"]["payload"].as_str().unwrap().to_owned();
    assert!(payload.contains("not_shown"), "{payload}");
}
