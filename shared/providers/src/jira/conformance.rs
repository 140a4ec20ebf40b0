//! Issues, held to Atlassian's published description, the schema of ADF and the limits of both, read in 2026.

use ::http::Method;
use serde_json::{Value, json};
use signalbox_proto::{Delivery, integration::Template, outcome::OutcomeKind};

use super::Jira;
use crate::{
    conformance::{
        Answer, Sample, Sampled, answer,
        contracts::Claim,
        readable::{one_line, readable},
    },
    http,
};

const TOKEN: &str = "ATATT3xFfGF0-s3cret-token";
const SITE: &str = "https://acme.atlassian.net/rest/api/3/";
const GATEWAY: &str = "https://api.atlassian.com/ex/jira/11111111-2222-3333-4444-555555555555/rest/api/3/";
const SPEC_FIELD: &str = "customfield_10001";
const CRITERIA_FIELD: &str = "customfield_10002";
const OPENAPI: &str = "jira.openapi.json";
const ADF: &str = "jira-adf.schema.json";
const ISSUE: &str = r#"{"id":"10042","key":"PROJ-7","self":"https://acme.atlassian.net/rest/api/3/issue/10042"}"#;

impl Sampled for Jira {
    fn samples() -> Vec<Sample> {
        let of = |name, config, template, accepts| Sample {
            name,
            config,
            credentials: json!({ "email": " bot@example.com", "api_token": format!("{TOKEN}\n") }),
            template,
            secrets: vec![TOKEN],
            accepts,
            claims,
            yes: answer(201, ISSUE, OutcomeKind::Delivered),
            answers: answers(),
        };
        let guide = json!({
            "base_url": "https://acme.atlassian.net", "project_key": "PROJ", "issue_type": "Story",
            "transition_on_approve": "21", "transition_on_implement": "Done",
            "field_mappings": { "spec_id": SPEC_FIELD, "acceptance_criteria": CRITERIA_FIELD },
            "create_subtasks": true,
        });
        let gateway = json!({
            "base_url": format!("{}/", GATEWAY.trim_end_matches("/rest/api/3/")), "project_key": "proj",
            "issue_type": "10001", "link_pr": false,
        });
        let action = |action: &str| json!({ "base_url": "https://acme.atlassian.net/", "project_key": "PROJ", "action": action });
        vec![
            of("guide", guide, None, |request, delivery| {
                accepts(request, delivery, SITE)
            }),
            of(
                "gateway and template",
                gateway,
                Some(template()),
                |request, delivery| accepts(request, delivery, GATEWAY),
            ),
            of("subtasks alone", action("create_subtask"), None, |request, delivery| {
                accepts(request, delivery, SITE)
            }),
            of("links alone", action("link"), None, |request, delivery| {
                accepts(request, delivery, SITE)
            }),
        ]
    }
}

fn template() -> Template {
    Template {
        title: Some("{{ event.title }} ({{ integration.name }}): {{ event.data.title|truncate(200) }}".to_owned()),
        body: Some("Runbook for {{ event.type }}:\n\n{{ event.data|tojson|truncate(16000) }}".to_owned()),
    }
}

fn claims(request: &http::Request) -> Vec<Claim> {
    if request.method != Method::POST {
        return Vec::new();
    }
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let of = |name: &'static str| Claim::of_body(OPENAPI, name, &request.body);
    let document = |document: &Value| Claim {
        file: ADF,
        pointer: "",
        document: document.clone(),
    };
    let path = request.url.path();
    if path.ends_with("/issue") {
        let mut claims = of("/components/schemas/IssueUpdateDetails");
        let documents = ["description", CRITERIA_FIELD].map(|field| &body["fields"][field]);
        claims.extend(documents.into_iter().filter(|one| !one.is_null()).map(document));
        claims
    } else if path.ends_with("/comment") {
        let mut claims = of("/components/schemas/Comment");
        claims.push(document(&body["body"]));
        claims
    } else if path.ends_with("/remotelink") {
        of("/components/schemas/RemoteIssueLinkRequest")
    } else if path.ends_with("/transitions") {
        of("/components/schemas/IssueUpdateDetails")
    } else {
        Vec::new()
    }
}

/// Reads a request and holds it to every rule of the vendor.
fn accepts(request: &http::Request, delivery: &Delivery, base: &str) {
    let path = request
        .url
        .as_str()
        .strip_prefix(base)
        .unwrap_or_else(|| panic!("{}", request.url));
    assert_eq!(request.headers["accept"], "application/json");
    if request.method == Method::GET {
        let known = [
            "issue/createmeta/PROJ/issuetypes",
            "issue/10000?fields=status&expand=transitions",
        ];
        assert!(known.contains(&path), "{path}");
        return;
    }
    assert_eq!(request.method, Method::POST);
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    match path {
        "search/jql" => {
            let jql = body["jql"].as_str().expect("JQL");
            let label = jql.strip_prefix("labels = \"").and_then(|rest| rest.split('"').next());
            marker(label.expect("a label"));
        }
        "issue" => issue(&body, delivery),
        "issue/10000/comment" => panic!("the delivery that makes an issue says all of it there"),
        "issue/10000/remotelink" => {
            only(&body, &["globalId", "relationship", "object"]);
            one_line(body["globalId"].as_str().expect("an id"), 255, "globalId");
            one_line(body["object"]["title"].as_str().expect("a title"), 255, "title");
            let url = body["object"]["url"].as_str().expect("an address");
            assert!(url.starts_with("https://") || url.starts_with("http://"), "{url}");
        }
        "issue/10000/transitions" => {
            only(&body, &["transition"]);
            assert!(body["transition"]["id"].is_string());
        }
        other => panic!("{other} is not asked"),
    }
}

fn issue(body: &Value, delivery: &Delivery) {
    only(body, &["fields", "properties"]);
    let fields = &body["fields"];
    let known = [
        "project",
        "issuetype",
        "summary",
        "description",
        "labels",
        "parent",
        SPEC_FIELD,
        CRITERIA_FIELD,
    ];
    only(fields, &known);
    assert_eq!(fields["project"], json!({ "key": "PROJ" }));
    one_line(fields["summary"].as_str().expect("a summary"), 255, "summary");
    let labels = fields["labels"].as_array().expect("labels");
    assert_eq!(labels.len(), 1);
    marker(labels[0].as_str().expect("a label"));
    if let Some(id) = fields.get(SPEC_FIELD) {
        one_line(id.as_str().expect("a text"), 255, "spec id");
    }
    match fields.get("parent") {
        Some(parent) => {
            assert_eq!(
                (parent, &fields["issuetype"]),
                (&json!({ "id": "10000" }), &json!({ "id": "5" }))
            );
            assert!(fields["description"].is_null());
        }
        None => document(&fields["description"]),
    }
    if let Some(criteria) = fields.get(CRITERIA_FIELD) {
        document(criteria);
    }
    for property in body["properties"].as_array().expect("properties") {
        one_line(property["key"].as_str().expect("a key"), 255, "property");
        assert!(property["value"].to_string().len() <= 32_768);
        assert_eq!(property["value"]["delivery"], delivery.id);
    }
}

fn marker(label: &str) {
    let hash = label.strip_prefix("signalbox-").expect("our own label");
    assert_eq!(hash.len(), 22, "{label}");
    assert!(
        hash.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
        "{label}"
    );
}

/// No text of it is empty, and all together are not too long.
fn document(document: &Value) {
    let mut units = 0;
    for block in document["content"].as_array().expect("blocks") {
        blocks(block, &mut units);
    }
    assert!((1..=32_767).contains(&units), "{units} units");
}

fn blocks(node: &Value, units: &mut usize) {
    let kind = node["type"].as_str().expect("a type");
    let content = node["content"].as_array().expect("content");
    assert!(!content.is_empty(), "an empty {kind}");
    if !["paragraph", "codeBlock"].contains(&kind) {
        return content.iter().for_each(|inner| blocks(inner, units));
    }
    let mut text = String::new();
    for inner in content {
        match inner["type"].as_str() {
            Some("hardBreak") => text.push('\n'),
            _ => {
                let part = inner["text"].as_str().expect("a text");
                assert!(!part.is_empty(), "an empty text");
                text.push_str(part);
            }
        }
    }
    readable(&text, 32_767, kind);
    *units += text.encode_utf16().count();
}

fn only(object: &Value, known: &[&str]) {
    for name in object.as_object().expect("an object").keys() {
        assert!(known.contains(&&**name), "{name} is no field");
    }
}

/// As the vendor documents them, and as its customers have met them.
fn answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    let errors = |body: &'static str| answer(400, body, Suspend);
    vec![
        answer(201, ISSUE, Delivered),
        answer(201, "", Retry),
        answer(201, "{}", Retry),
        answer(201, r#"{"id":""}"#, Retry),
        answer(200, "<html>sign in</html>", Retry),
        answer(204, "", Retry),
        errors(r#"{"errorMessages":[],"errors":{"project":"valid project is required"}}"#),
        errors(r#"{"errorMessages":[],"errors":{"issuetype":"Specify a valid issue type"}}"#),
        errors(
            r#"{"errorMessages":[],"errors":{"labels":"Field 'labels' cannot be set. It is not on the appropriate screen, or unknown."}}"#,
        ),
        answer(
            400,
            r#"{"errorMessages":[],"errors":{"summary":"Summary must be less than 255 characters."}}"#,
            Reject,
        ),
        answer(
            400,
            r#"{"errorMessages":[],"errors":{"customfield_10001":"Operation value must be a string"}}"#,
            Reject,
        ),
        answer(400, r#"{"errorMessages":["INVALID_INPUT"],"errors":{}}"#, Reject),
        answer(400, "", Reject),
        answer(
            401,
            r#"{"errorMessages":["You are not authenticated."],"errors":{}}"#,
            Suspend,
        ),
        answer(403, r#"{"errorMessages":["forbidden"],"errors":{}}"#, Suspend),
        answer(
            404,
            r#"{"errorMessages":["No project could be found with key 'PROJ'."],"errors":{}}"#,
            Suspend,
        ),
        answer(302, "", Suspend),
        answer(409, "", Retry),
        answer(413, "", Reject),
        answer(422, "", Reject),
        answer(429, "", Retry),
        Answer {
            status: 429,
            headers: &[
                ("x-ratelimit-reset", "2026-01-01T00:15Z"),
                ("ratelimit-reason", "jira-burst-based"),
            ],
            body: "",
            means: Retry,
        },
        answer(500, "", Retry),
        answer(503, "", Retry),
    ]
}
