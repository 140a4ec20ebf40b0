//! Items, held to GitHub's published schema and to its documents, read in 2026.

use serde_json::{Value, json};
use signalbox_proto::{Delivery, integration::Template, outcome::OutcomeKind};

use super::GithubProjects;
use crate::{
    conformance::{
        Answer, Sample, Sampled, answer,
        contracts::Claim,
        readable::{one_line, readable},
    },
    http,
};

const TOKEN: &str = "ghp_s3cret4711";
const SCHEMA: &str = "github-projects.graphql";
/// Longest text of a draft, in characters.
const BODY_CHARS_MAX: usize = 65_536;
const DRAFT: &str = r#"{"data":{"addProjectV2DraftIssue":{"projectItem":{"id":"PVTI_lADOABCD1234zgABCD"}}}}"#;

impl Sampled for GithubProjects {
    fn samples() -> Vec<Sample> {
        let of = |name, config, template| Sample {
            name,
            config,
            credentials: json!({ "token": format!(" {TOKEN}\n") }),
            template,
            secrets: vec![TOKEN],
            accepts,
            claims: |request| Claim::of_body(SCHEMA, "", &request.body),
            yes: answer(200, DRAFT, OutcomeKind::Delivered),
            answers: answers(),
        };
        let guide = json!({
            "owner": "acme", "project_number": 1, "status_field": "Status",
            "status_mappings": { "draft": "Backlog", "review": "In Review", "approved": "Ready", "implemented": "Done" },
        });
        let links = json!({ "owner": "acme", "project_number": 1, "action": "link" });
        vec![
            of("guide", guide, None),
            of("links alone and template", links, Some(template())),
        ]
    }
}

fn template() -> Template {
    Template {
        title: Some("{{ event.title }} ({{ integration.name }}): {{ event.data.title|truncate(80) }}".to_owned()),
        body: Some("Runbook for {{ event.type }}:\n\n{{ event.data.message|truncate(9000) }}".to_owned()),
    }
}

/// Reads a request and holds it to every rule of the vendor.
fn accepts(request: &http::Request, _delivery: &Delivery) {
    assert_eq!(request.method, ::http::Method::POST);
    assert_eq!(request.url.as_str(), "https://api.github.com/graphql");
    assert_eq!(request.headers["content-type"], "application/json");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    only(&body, &["operationName", "query", "variables"]);
    let variables = &body["variables"];
    let input = &variables["input"];
    match body["operationName"].as_str().expect("a name") {
        "SignalboxProject" => assert_eq!((&variables["owner"], &variables["number"]), (&json!("acme"), &json!(1))),
        "SignalboxAddDraft" => {
            only(input, &["projectId", "title", "body"]);
            one_line(input["title"].as_str().expect("a title"), 255, "title");
            let text = input["body"].as_str().expect("a text");
            readable(text, BODY_CHARS_MAX, "body");
            let mark = text
                .strip_prefix("<!-- signalbox-")
                .and_then(|rest| rest.split_once(" -->\n"));
            assert_eq!(mark.expect("a mark at the beginning").0.len(), 22);
        }
        "SignalboxAdd" => {
            only(input, &["projectId", "contentId"]);
            let id = input["contentId"].as_str().expect("an id");
            assert!(
                !id.is_empty() && id.is_ascii() && !id.contains(char::is_whitespace),
                "{id}"
            );
        }
        "SignalboxSetStatus" => {
            only(input, &["projectId", "itemId", "fieldId", "value"]);
            only(&input["value"], &["singleSelectOptionId"]);
        }
        "SignalboxDraft" => only(variables, &["id"]),
        "SignalboxEditDraft" => {
            only(input, &["draftIssueId", "body"]);
            let text = input["body"].as_str().expect("a text");
            readable(text, BODY_CHARS_MAX, "body");
            assert!(text.trim_start().starts_with("[Pull request"), "{text}");
        }
        other => panic!("{other} is not asked"),
    }
}

fn only(object: &Value, known: &[&str]) {
    for name in object.as_object().expect("an object").keys() {
        assert!(known.contains(&&**name), "{name} is no field");
    }
}

/// As the vendor documents them, and as its customers have met them.
fn answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    let failed = |body: &'static str, means| answer(200, body, means);
    vec![
        answer(200, DRAFT, Delivered),
        answer(
            200,
            r#"{"data":{"addProjectV2DraftIssue":{"projectItem":null}}}"#,
            Retry,
        ),
        answer(200, r#"{"data":{"addProjectV2DraftIssue":null}}"#, Retry),
        answer(200, "<html>sign in</html>", Retry),
        answer(200, "", Retry),
        answer(200, "{}", Retry),
        answer(204, "", Retry),
        failed(
            r#"{"data":{"addProjectV2DraftIssue":{"projectItem":null}},"errors":[{"type":"FORBIDDEN","path":["addProjectV2DraftIssue","projectItem"],"message":"No."}]}"#,
            Retry,
        ),
        failed(
            r#"{"errors":[{"type":"RATE_LIMITED","message":"API rate limit exceeded for user ID 1."}]}"#,
            Retry,
        ),
        failed(
            r#"{"data":null,"errors":[{"message":"Something went wrong while executing your query. Please include `1` when reporting this issue."}]}"#,
            Retry,
        ),
        failed(
            r#"{"data":{"addProjectV2DraftIssue":null},"errors":[{"type":"NOT_FOUND","path":["addProjectV2DraftIssue"],"message":"Could not resolve to a node with the global id of 'PVT_1'"}]}"#,
            Suspend,
        ),
        failed(
            r#"{"data":{"addProjectV2DraftIssue":null},"errors":[{"type":"FORBIDDEN","path":["addProjectV2DraftIssue"],"message":"Resource not accessible by integration"}]}"#,
            Suspend,
        ),
        failed(
            r#"{"errors":[{"type":"INSUFFICIENT_SCOPES","message":"Your token has not been granted the required scopes to execute this query."}]}"#,
            Suspend,
        ),
        failed(
            r#"{"data":{"addProjectV2DraftIssue":null},"errors":[{"type":"UNPROCESSABLE","path":["addProjectV2DraftIssue"],"message":"Title can't be blank"}]}"#,
            Reject,
        ),
        failed(
            r#"{"errors":[{"message":"Field 'projectItem' doesn't exist on type 'AddProjectV2DraftIssuePayload'","extensions":{"code":"undefinedField"}}]}"#,
            Suspend,
        ),
        answer(
            401,
            r#"{"message":"Bad credentials","documentation_url":"https://docs.github.com/graphql","status":"401"}"#,
            Suspend,
        ),
        answer(
            403,
            r#"{"message":"Resource protected by organization SAML enforcement."}"#,
            Suspend,
        ),
        answer(403, r#"{"message":"You have exceeded a secondary rate limit."}"#, Retry),
        answer(200, r#"{"message":"You have exceeded a secondary rate limit."}"#, Retry),
        Answer {
            status: 403,
            headers: &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1767225660")],
            body: "",
            means: Retry,
        },
        answer(400, "", Reject),
        answer(404, "", Suspend),
        answer(302, "", Suspend),
        answer(413, "", Reject),
        answer(429, "", Retry),
        answer(500, "", Retry),
        answer(
            502,
            r#"{"data":null,"errors":[{"message":"Something went wrong while executing your query. This may be the result of a timeout"}]}"#,
            Retry,
        ),
        answer(503, "", Retry),
    ]
}
