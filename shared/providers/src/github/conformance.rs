//! Issues, comments and runs, held to what GitHub documents of its REST API and to its published description.

use serde_json::{Value, json};
use signalbox_proto::{Delivery, Severity, integration::Template, outcome::OutcomeKind};

use super::Github;
use crate::{
    conformance::{
        Answer, Sample, Sampled, answer,
        contracts::Claim,
        readable::{one_line, readable},
    },
    http,
};

const TOKEN: &str = "github_pat_s3cret4711";
const FILE: &str = "github.openapi.json";
/// Longest body, in characters.
const BODY_CHARS_MAX: usize = 65_536;

impl Sampled for Github {
    fn samples() -> Vec<Sample> {
        let of = |name, config, template, accepts, claims, yes: &Answer, answers| Sample {
            name,
            config,
            credentials: json!({ "token": format!(" {TOKEN}\n") }),
            template,
            secrets: vec![TOKEN],
            accepts,
            claims,
            yes: yes.clone(),
            answers,
        };
        let issue = answer(201, ISSUE, OutcomeKind::Delivered);
        let comment = answer(201, COMMENT, OutcomeKind::Delivered);
        let run = answer(200, RUN, OutcomeKind::Delivered);
        vec![
            of(
                "issue",
                json!({ "repo": "acme/shop", "labels": ["signalbox", "ops"] }),
                None,
                accepts_issue,
                claims_issue,
                &issue,
                answers(&issue),
            ),
            of(
                "issue by templates",
                json!({ "repo": "acme/shop", "body": "not taken, as there is a template" }),
                Some(template()),
                accepts_template,
                claims_issue,
                &issue,
                answers(&issue),
            ),
            of(
                "issue by a body",
                json!({ "repo": "acme/shop", "body": "Look at {{ event.data.title|truncate(100) }}" }),
                None,
                accepts_issue,
                claims_issue,
                &issue,
                answers(&issue),
            ),
            of(
                "comment",
                json!({ "repo": "acme/shop", "action": "create_comment", "issue_number": 42 }),
                None,
                accepts_comment,
                claims_comment,
                &comment,
                answers(&comment),
            ),
            of(
                "workflow",
                json!({
                    "repo": "acme/shop", "action": "trigger_workflow", "workflow_id": "deploy.yml", "ref": "release/1",
                    "delivery_input": "delivery",
                }),
                None,
                accepts_dispatch,
                claims_dispatch,
                &run,
                answers(&run).into_iter().chain(dispatch_answers()).collect(),
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

fn request_body(request: &http::Request, url: &str) -> Value {
    assert_eq!(request.method, ::http::Method::POST);
    assert_eq!(
        request.url.as_str(),
        format!("https://api.github.com/repos/acme/shop/{url}")
    );
    assert_eq!(request.headers["accept"], "application/vnd.github+json");
    assert_eq!(request.headers["x-github-api-version"], "2022-11-28");
    serde_json::from_slice(&request.body).expect("JSON")
}

fn accepts_issue(request: &http::Request, delivery: &Delivery) {
    let issue = request_body(request, "issues");
    let title = issue["title"].as_str().expect("a title");
    one_line(title, 512, "title");
    assert!(title.chars().count() <= 256, "{title}");
    accepts_body(&issue, delivery);
    let labels: Vec<&str> = issue["labels"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let critical = delivery
        .events
        .iter()
        .any(|one| one.event.severity == Severity::Critical);
    assert_eq!(labels.contains(&"critical"), critical);
}

fn accepts_template(request: &http::Request, delivery: &Delivery) {
    accepts_issue(request, delivery);
    let issue = request_body(request, "issues");
    assert!(
        issue["body"].as_str().expect("a body").contains("\nRunbook for "),
        "{issue}"
    );
}

fn accepts_comment(request: &http::Request, delivery: &Delivery) {
    let number = request.url.path().split('/').nth(5).expect("a number").to_owned();
    assert!(number.parse::<u32>().is_ok_and(|number| number > 0), "{number}");
    accepts_body(&request_body(request, &format!("issues/{number}/comments")), delivery);
}

fn accepts_body(what: &Value, delivery: &Delivery) {
    let body = what["body"].as_str().expect("a body");
    let rest = body.strip_prefix(&format!("<!-- signalbox:{} -->\n", delivery.id));
    readable(rest.expect("the mark stands first"), 2 * BODY_CHARS_MAX, "body");
    assert!(
        body.chars().count() <= BODY_CHARS_MAX,
        "{} characters",
        body.chars().count()
    );
}

fn accepts_dispatch(request: &http::Request, delivery: &Delivery) {
    let dispatch = request_body(request, "actions/workflows/deploy.yml/dispatches");
    assert_eq!(dispatch["ref"], "release/1");
    let inputs = dispatch["inputs"].as_object().expect("inputs");
    let names: Vec<&str> = inputs.keys().map(String::as_str).collect();
    assert_eq!(names, ["agent_id", "delivery", "event_type", "payload"]);
    let texts = inputs.values().map(|value| value.as_str().expect("a text"));
    let chars: usize = inputs
        .keys()
        .map(String::as_str)
        .chain(texts)
        .map(|text| text.chars().count())
        .sum();
    assert!(chars <= 65_535, "{chars} characters");
    assert_eq!(inputs["delivery"], delivery.id);
    serde_json::from_str::<Value>(inputs["payload"].as_str().expect("a text")).expect("JSON in JSON");
}

fn claims_issue(request: &http::Request) -> Vec<Claim> {
    let schema = "/paths/~1repos~1{owner}~1{repo}~1issues/post/requestBody/content/application~1json/schema";
    Claim::of_body(FILE, schema, &request.body)
}

fn claims_comment(request: &http::Request) -> Vec<Claim> {
    let schema = "/paths/~1repos~1{owner}~1{repo}~1issues~1{issue_number}~1comments/post/requestBody/content/\
                  application~1json/schema";
    Claim::of_body(FILE, schema, &request.body)
}

fn claims_dispatch(request: &http::Request) -> Vec<Claim> {
    let schema = "/paths/~1repos~1{owner}~1{repo}~1actions~1workflows~1{workflow_id}~1dispatches/post/requestBody/content/\
                  application~1json/schema";
    Claim::of_body(FILE, schema, &request.body)
}

const ISSUE: &str = r#"{"url":"https://api.github.com/repos/acme/shop/issues/1347","number":1347,"title":"Found a bug","html_url":"https://github.com/acme/shop/issues/1347","state":"open"}"#;
const COMMENT: &str = r#"{"id":1,"html_url":"https://github.com/acme/shop/issues/42#issuecomment-1","body":"Me too"}"#;
const RUN: &str = r#"{"workflow_run_id":30433642,"run_url":"https://api.github.com/repos/acme/shop/actions/runs/30433642","html_url":"https://github.com/acme/shop/actions/runs/30433642"}"#;

const fn with(
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    means: OutcomeKind,
) -> Answer {
    Answer {
        status,
        headers,
        body,
        means,
    }
}

/// As the vendor documents them.
fn answers(yes: &Answer) -> Vec<Answer> {
    use OutcomeKind::{Reject, Retry, Suspend};
    let exhausted = &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1767226000")];
    let secondary = r#"{"message":"You have exceeded a secondary rate limit. Please wait a few minutes"}"#;
    vec![
        yes.clone(),
        answer(200, "<html>sign in</html>", Retry),
        answer(201, "", Retry),
        answer(201, "{}", Retry),
        answer(201, "[]", Retry),
        with(
            301,
            &[("location", "https://api.github.com/repositories/1/issues")],
            r#"{"message":"Moved Permanently"}"#,
            Suspend,
        ),
        answer(307, r#"{"message":"Temporary Redirect"}"#, Suspend),
        answer(400, r#"{"message":"Problems parsing JSON"}"#, Reject),
        answer(401, r#"{"message":"Bad credentials"}"#, Suspend),
        answer(
            403,
            r#"{"message":"Resource not accessible by personal access token"}"#,
            Suspend,
        ),
        answer(
            403,
            r#"{"message":"Resource protected by organization SAML enforcement"}"#,
            Suspend,
        ),
        answer(
            403,
            r#"{"message":"Unable to create comment because issue is locked."}"#,
            Reject,
        ),
        with(
            403,
            exhausted,
            r#"{"message":"API rate limit exceeded for user ID 1."}"#,
            Retry,
        ),
        with(403, &[("retry-after", "60")], secondary, Retry),
        answer(403, secondary, Retry),
        with(429, exhausted, "", Retry),
        answer(404, r#"{"message":"Not Found"}"#, Suspend),
        answer(409, "", Retry),
        answer(410, r#"{"message":"Issues are disabled for this repo"}"#, Suspend),
        answer(413, "", Reject),
        answer(
            422,
            r#"{"message":"Validation Failed","errors":[{"resource":"Issue","code":"missing_field","field":"title"}]}"#,
            Reject,
        ),
        answer(500, "", Retry),
        answer(502, "<html>unicorn</html>", Retry),
        answer(503, "", Retry),
        answer(504, "", Retry),
    ]
}

fn dispatch_answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject};
    vec![
        answer(204, "", Delivered),
        answer(
            422,
            r#"{"message":"Workflow does not have 'workflow_dispatch' trigger"}"#,
            Reject,
        ),
        answer(
            422,
            r#"{"message":"Unexpected inputs provided: [\"payload\"]"}"#,
            Reject,
        ),
        answer(422, r#"{"message":"No ref found for: nowhere"}"#, Reject),
    ]
}
