//! Pipelines and issues, held to what GitLab documents of its REST API and to its published description.

use serde_json::{Value, json};
use signalbox_proto::{Delivery, Severity, integration::Template, outcome::OutcomeKind};

use super::Gitlab;
use crate::{
    conformance::{
        Answer, Sample, Sampled, answer,
        contracts::Claim,
        no_claims,
        readable::{one_line, readable},
    },
    http,
};

const TOKEN: &str = "glpat-s3cret4711";
const TRIGGER_TOKEN: &str = "glptt-s3cret0815";
const FILE: &str = "gitlab.openapi.json";

impl Sampled for Gitlab {
    fn samples() -> Vec<Sample> {
        let of = |name, config, credentials, template, accepts, claims, yes: Answer| Sample {
            name,
            config,
            credentials,
            template,
            secrets: vec![TOKEN, TRIGGER_TOKEN],
            accepts,
            claims,
            answers: answers(&yes),
            yes,
        };
        let pipeline = || answer(201, PIPELINE, OutcomeKind::Delivered);
        let issue = || answer(201, ISSUE, OutcomeKind::Delivered);
        let token = || json!({ "token": format!(" {TOKEN}\n") });
        let issues = || json!({ "project": "acme/shop", "action": "create_issue", "labels": ["signalbox", "ops"] });
        vec![
            of(
                "pipeline by a trigger",
                json!({ "project": "/acme/web/shop/", "ref": "release/1" }),
                json!({ "token": TOKEN, "trigger_token": format!("{TRIGGER_TOKEN}\n") }),
                None,
                accepts_trigger,
                claims_trigger,
                pipeline(),
            ),
            of(
                "pipeline by a token",
                json!({ "project": "4711" }),
                token(),
                None,
                accepts_pipeline,
                claims_pipeline,
                pipeline(),
            ),
            of("issue", issues(), token(), None, accepts_issue, no_claims, issue()),
            of(
                "issue by templates",
                issues(),
                token(),
                Some(template()),
                accepts_template,
                no_claims,
                issue(),
            ),
        ]
    }
}

fn template() -> Template {
    Template {
        title: Some("{{ event.title }}: {{ event.data.title|truncate(100) }}".to_owned()),
        body: Some("Runbook for {{ event.type }}:\n\n{{ event.data.message|truncate(9000) }}".to_owned()),
    }
}

fn body(request: &http::Request, url: &str) -> Value {
    assert_eq!(request.method, ::http::Method::POST);
    assert_eq!(
        request.url.as_str(),
        format!("https://gitlab.com/api/v4/projects/{url}")
    );
    let token = request
        .headers
        .get("private-token")
        .map(|token| token.to_str().expect("a text"));
    let by_trigger = url.ends_with("/trigger/pipeline");
    assert_eq!(token, (!by_trigger).then_some(TOKEN), "each way has its own token");
    serde_json::from_slice(&request.body).expect("JSON")
}

fn accepts_trigger(request: &http::Request, delivery: &Delivery) {
    let body = body(request, "acme%2Fweb%2Fshop/trigger/pipeline");
    assert_eq!(
        (&body["token"], &body["ref"]),
        (&json!(TRIGGER_TOKEN), &json!("release/1"))
    );
    let variables = body["variables"].as_object().expect("an object");
    accepts_variables(variables.iter().map(|(key, value)| (&**key, value)).collect(), delivery);
}

fn accepts_pipeline(request: &http::Request, delivery: &Delivery) {
    let body = body(request, "4711/pipeline");
    assert_eq!(body["ref"], "main");
    let variables = body["variables"].as_array().expect("a list").iter();
    let pairs = variables
        .map(|one| (one["key"].as_str().expect("a text"), &one["value"]))
        .collect();
    accepts_variables(pairs, delivery);
}

fn accepts_variables(mut pairs: Vec<(&str, &Value)>, delivery: &Delivery) {
    pairs.sort_unstable_by_key(|(key, _)| *key);
    let names: Vec<&str> = pairs.iter().map(|(key, _)| *key).collect();
    let known = [
        "SIGNALBOX_AGENT_ID",
        "SIGNALBOX_DELIVERY",
        "SIGNALBOX_EVENT_TYPE",
        "SIGNALBOX_PAYLOAD",
    ];
    assert_eq!(names, known);
    for (name, value) in pairs {
        let value = value.as_str().expect("a text");
        // What Linux hands to a program in one variable.
        assert!(value.len() <= 128 * 1024 - 64, "{name}: {} bytes", value.len());
        assert!(
            !value.replace("$$", "").contains('$'),
            "{name} would be filled with other variables: {value}"
        );
        match name {
            "SIGNALBOX_DELIVERY" => assert_eq!(value, delivery.id),
            "SIGNALBOX_PAYLOAD" => drop(serde_json::from_str::<Value>(value).expect("JSON in JSON")),
            _ => {}
        }
    }
}

fn accepts_issue(request: &http::Request, delivery: &Delivery) {
    let issue = body(request, "acme%2Fshop/issues");
    let title = issue["title"].as_str().expect("a title");
    one_line(title, 510, "title");
    assert!(title.chars().count() <= 255, "{title}");
    let text = issue["description"].as_str().expect("a text");
    let rest = text.strip_prefix(&format!("<!-- signalbox:{} -->\n", delivery.id));
    readable(rest.expect("the mark stands first"), 1_048_576, "description");
    let critical = delivery
        .events
        .iter()
        .any(|one| one.event.severity == Severity::Critical);
    let labels = if critical {
        "signalbox,ops,critical"
    } else {
        "signalbox,ops"
    };
    assert_eq!(issue["labels"], labels);
}

fn accepts_template(request: &http::Request, delivery: &Delivery) {
    accepts_issue(request, delivery);
    let issue = body(request, "acme%2Fshop/issues");
    assert!(
        issue["description"]
            .as_str()
            .expect("a text")
            .contains("\nRunbook for "),
        "{issue}"
    );
}

fn claims_trigger(request: &http::Request) -> Vec<Claim> {
    Claim::of_body(
        FILE,
        "/definitions/postApiV4ProjectsId(refRef)triggerPipeline",
        &request.body,
    )
}

fn claims_pipeline(request: &http::Request) -> Vec<Claim> {
    Claim::of_body(FILE, "/definitions/postApiV4ProjectsIdPipeline", &request.body)
}

const PIPELINE: &str = r#"{"id":257,"iid":118,"project_id":4711,"sha":"a91957a8","ref":"main","status":"created","web_url":"https://gitlab.com/acme/shop/-/pipelines/257"}"#;
const ISSUE: &str =
    r#"{"id":84,"iid":14,"project_id":4711,"title":"Issue","web_url":"https://gitlab.com/acme/shop/-/issues/14"}"#;

/// As the vendor documents them.
fn answers(yes: &Answer) -> Vec<Answer> {
    use OutcomeKind::{Reject, Retry, Suspend};
    vec![
        yes.clone(),
        answer(200, "<html>sign in</html>", Retry),
        answer(201, "", Retry),
        answer(201, "{}", Retry),
        answer(202, ISSUE, Retry),
        answer(301, "", Suspend),
        answer(302, "", Suspend),
        answer(400, r#"{"message":{"base":["Reference not found"]}}"#, Reject),
        answer(
            400,
            r#"{"message":{"base":["Pipeline will not run for the selected trigger."]}}"#,
            Reject,
        ),
        answer(400, r#"{"error":"ref is missing"}"#, Reject),
        answer(401, r#"{"message":"401 Unauthorized"}"#, Suspend),
        answer(403, r#"{"message":"403 Forbidden"}"#, Suspend),
        answer(404, r#"{"message":"404 Project Not Found"}"#, Suspend),
        answer(409, "", Retry),
        answer(413, "", Reject),
        answer(422, r#"{"message":"Unprocessable"}"#, Reject),
        answer(429, "Retry later", Retry),
        Answer {
            status: 429,
            headers: &[("ratelimit-reset", "1767225700"), ("ratelimit-remaining", "0")],
            body: "Retry later",
            means: Retry,
        },
        answer(500, r#"{"message":"500 Internal Server Error"}"#, Retry),
        answer(502, "<html>", Retry),
        answer(503, "", Retry),
    ]
}
