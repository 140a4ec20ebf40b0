//! Issues, held to Linear's published schema and to its documents, read in 2026.

use serde_json::{Value, json};
use signalbox_proto::{Delivery, integration::Template, outcome::OutcomeKind};
use uuid::{Uuid, Variant};

use super::Linear;
use crate::{
    conformance::{
        Answer, Sample, Sampled, answer,
        contracts::Claim,
        readable::{one_line, readable},
    },
    http,
};

const KEY: &str = "lin_api_s3cret4711";
const SCHEMA: &str = "linear.graphql";
/// Longest text that is sent, in units of UTF-16.
const TEXT_UNITS_MAX: usize = 65_536;
const ISSUE: &str = r#"{"data":{"issueCreate":{"success":true,"issue":{"id":"7b4e1a0e-5a34-4b7f-8f5b-2f4f6f1d8c11","url":"https://linear.app/acme/issue/ENG-7/sign-in","state":{"id":"s1"},"parent":null}}}}"#;

impl Sampled for Linear {
    fn samples() -> Vec<Sample> {
        let of = |name, config, template| Sample {
            name,
            config,
            credentials: json!({ "api_key": format!(" {KEY}\n") }),
            template,
            secrets: vec![KEY],
            accepts,
            claims: |request| Claim::of_body(SCHEMA, "", &request.body),
            yes: answer(200, ISSUE, OutcomeKind::Delivered),
            answers: answers(),
        };
        let guide = json!({
            "team_id": "TEAM_ID", "labels": ["spec", "automated"], "create_subtasks": true,
            "state_mappings": { "draft": "Backlog", "review": "In Review", "approved": "Todo", "implemented": "Done" },
        });
        let by_id = json!({ "team_id": "9CFB482A-81E3-4154-B5B9-2C805E70A02D", "link_pr": false });
        let subtasks = json!({ "team_id": "ENG", "action": "create_subtask" });
        vec![
            of("guide", guide, None),
            of("team by its id and template", by_id, Some(template())),
            of("subtasks alone", subtasks, None),
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
    assert_eq!(request.url.as_str(), "https://api.linear.app/graphql");
    assert_eq!(request.headers["content-type"], "application/json");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    only(&body, &["operationName", "query", "variables"]);
    let variables = &body["variables"];
    let input = &variables["input"];
    match body["operationName"].as_str().expect("a name") {
        "SignalboxNames" => {
            let team = &variables["team"];
            assert!(
                team["key"]["eqIgnoreCase"].is_string() || is_uuid(&team["id"]["eq"]),
                "{team}"
            );
        }
        "SignalboxIssue" => assert!(is_own(&variables["filter"]["id"]["eq"])),
        "SignalboxCreate" => issue(input),
        "SignalboxMove" => {
            assert!(is_uuid(&variables["id"]));
            only(input, &["stateId"]);
        }
        "SignalboxLink" => {
            only(input, &["issueId", "url", "title"]);
            one_line(input["title"].as_str().expect("a title"), 255, "title");
            let url = input["url"].as_str().expect("an address");
            assert!(url.starts_with("https://") || url.starts_with("http://"), "{url}");
        }
        "SignalboxComment" | "SignalboxAddComment" => panic!("the delivery that makes an issue says all of it there"),
        other => panic!("{other} is not asked"),
    }
}

fn issue(input: &Value) {
    only(
        input,
        &[
            "id",
            "teamId",
            "title",
            "description",
            "parentId",
            "labelIds",
            "stateId",
            "priority",
        ],
    );
    assert!(is_own(&input["id"]));
    assert!(is_uuid(&input["teamId"]));
    one_line(input["title"].as_str().expect("a title"), 255, "title");
    match input["parentId"].as_str() {
        Some(_) => assert!(input["description"].is_null()),
        None => readable(
            input["description"].as_str().expect("a text"),
            TEXT_UNITS_MAX,
            "description",
        ),
    }
    if let Some(priority) = input.get("priority") {
        assert!((1..=4).contains(&priority.as_u64().expect("a number")), "{priority}");
    }
    let labels = input["labelIds"].as_array().into_iter().flatten();
    assert!(
        labels
            .clone()
            .all(|label| label.as_str().is_some_and(|label| !label.is_empty()))
    );
}

fn is_uuid(value: &Value) -> bool {
    value.as_str().is_some_and(|text| Uuid::parse_str(text).is_ok())
}

/// An id of our choice has to be one of the fourth version.
fn is_own(value: &Value) -> bool {
    let id = value.as_str().and_then(|text| Uuid::parse_str(text).ok());
    id.is_some_and(|id| id.get_version_num() == 4 && id.get_variant() == Variant::RFC4122)
}

fn only(object: &Value, known: &[&str]) {
    for name in object.as_object().expect("an object").keys() {
        assert!(known.contains(&&**name), "{name} is no field");
    }
}

/// As the vendor documents them, and as its customers have met them.
fn answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    vec![
        answer(200, ISSUE, Delivered),
        answer(200, r#"{"data":{"issueCreate":{"success":false,"issue":null}}}"#, Retry),
        answer(
            200,
            r#"{"data":{"issueCreate":{"success":true,"issue":{"id":""}}}}"#,
            Retry,
        ),
        answer(200, "<html>sign in</html>", Retry),
        answer(200, "", Retry),
        answer(200, "{}", Retry),
        answer(204, "", Retry),
        answer(
            200,
            r#"{"data":{"issueCreate":{"success":true,"issue":null}},"errors":[{"message":"No.","path":["issueCreate","issue"],"extensions":{"code":"FORBIDDEN"}}]}"#,
            Retry,
        ),
        answer(
            400,
            r#"{"errors":[{"message":"Rate limit exceeded","extensions":{"type":"ratelimited","code":"RATELIMITED","statusCode":429}}]}"#,
            Retry,
        ),
        answer(
            200,
            r#"{"data":null,"errors":[{"message":"Rate limit exceeded","extensions":{"code":"RATELIMITED"}}]}"#,
            Retry,
        ),
        answer(
            200,
            r#"{"data":null,"errors":[{"message":"busy","extensions":{"type":"lock timeout","code":"LOCK_TIMEOUT"}}]}"#,
            Retry,
        ),
        answer(
            200,
            r#"{"data":null,"errors":[{"message":"oops","extensions":{"type":"internal error","code":"INTERNAL_SERVER_ERROR"}}]}"#,
            Retry,
        ),
        answer(
            200,
            r#"{"data":null,"errors":[{"message":"Entity not found: Issue","extensions":{"type":"invalid input","code":"INPUT_ERROR","statusCode":400,"userError":true}}]}"#,
            Reject,
        ),
        answer(
            400,
            r#"{"errors":[{"message":"Argument Validation Error","extensions":{"code":"INVALID_INPUT","userError":true}}]}"#,
            Reject,
        ),
        answer(
            200,
            r#"{"data":null,"errors":[{"message":"Entity not found: Team","extensions":{"code":"INPUT_ERROR"}}]}"#,
            Suspend,
        ),
        answer(
            400,
            r#"{"errors":[{"message":"Unknown field","extensions":{"type":"graphql error","code":"GRAPHQL_VALIDATION_FAILED"}}]}"#,
            Suspend,
        ),
        answer(
            401,
            r#"{"errors":[{"message":"Authentication required, not authenticated","extensions":{"type":"authentication error","code":"AUTHENTICATION_ERROR","userError":true}}]}"#,
            Suspend,
        ),
        answer(
            400,
            r#"{"errors":[{"message":"It looks like you're trying to use an API key as a Bearer token.","extensions":{"type":"authentication error","code":"AUTHENTICATION_ERROR"}}]}"#,
            Suspend,
        ),
        answer(
            200,
            r#"{"data":null,"errors":[{"message":"no","extensions":{"type":"forbidden","code":"FORBIDDEN"}}]}"#,
            Suspend,
        ),
        answer(
            200,
            r#"{"data":null,"errors":[{"message":"no","extensions":{"type":"feature not accessible","code":"FEATURE_NOT_ACCESSIBLE"}}]}"#,
            Suspend,
        ),
        answer(
            200,
            r#"{"data":null,"errors":[{"message":"full","extensions":{"type":"usage limit exceeded","code":"USAGE_LIMIT_EXCEEDED"}}]}"#,
            Suspend,
        ),
        answer(400, "", Reject),
        answer(403, "", Suspend),
        answer(404, "", Suspend),
        answer(302, "", Suspend),
        answer(413, "", Reject),
        answer(429, "", Retry),
        Answer {
            status: 429,
            headers: &[
                ("x-ratelimit-requests-remaining", "0"),
                ("x-ratelimit-requests-reset", "1767225660000"),
            ],
            body: "",
            means: Retry,
        },
        answer(500, "", Retry),
        answer(503, "", Retry),
    ]
}
