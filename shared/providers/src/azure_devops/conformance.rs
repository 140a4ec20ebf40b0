//! Work items, held to Microsoft's published description and to the limits of its documents, read in 2026.

mod reading;

use ::http::Method;
use serde_json::{Value, json};
use signalbox_proto::{Delivery, integration::Template, outcome::OutcomeKind};

use super::AzureDevops;
use crate::{
    conformance::{Answer, Sample, Sampled, answer, contracts::Claim, readable::one_line},
    http,
};

const TOKEN: &str = "7xq3s3cret-personal-access-token5JQQJ99AKACAAAAA";
const SERVICES: &str = "https://dev.azure.com/acme/shop/_apis/wit/";
const SERVER: &str = "https://devops.example.com/tfs/Default%20Collection/Web%20Shop/_apis/wit/";
const OPENAPI: &str = "azure-devops.openapi.json";
const ITEM: &str = r#"{"id":42,"rev":1,"fields":{"System.State":"New","System.WorkItemType":"User Story"},"url":"https://dev.azure.com/acme/_apis/wit/workItems/42"}"#;

impl Sampled for AzureDevops {
    fn samples() -> Vec<Sample> {
        let of = |name, config, template, accepts| Sample {
            name,
            config,
            credentials: json!({ "pat": format!(" {TOKEN}\n") }),
            template,
            secrets: vec![TOKEN],
            accepts,
            claims,
            yes: answer(200, ITEM, OutcomeKind::Delivered),
            answers: answers(),
        };
        let guide = json!({
            "organization": "acme", "project": "shop", "work_item_type": "User Story",
            "area_path": "shop\\Team", "iteration_path": "shop\\Sprint 1", "create_subtasks": true,
        });
        let server = json!({
            "base_url": "https://devops.example.com/tfs/", "organization": "Default Collection", "project": "Web Shop",
            "work_item_type": "Bug", "link_pr": false,
            "state_mappings": { "draft": "New", "review": "In Review", "approved": "Ready / to do", "implemented": "Done" },
        });
        let action = |action: &str| json!({ "organization": " acme ", "project": "shop", "action": action });
        vec![
            of("guide", guide, None, |request, delivery| {
                accepts(request, delivery, SERVICES)
            }),
            of("server, template", server, Some(template()), |request, delivery| {
                accepts(request, delivery, SERVER)
            }),
            of("subtasks alone", action("create_subtask"), None, |request, delivery| {
                accepts(request, delivery, SERVICES)
            }),
            of("links alone", action("link"), None, |request, delivery| {
                accepts(request, delivery, SERVICES)
            }),
        ]
    }
}

fn template() -> Template {
    Template {
        title: Some("{{ event.title }} ({{ integration.name }}): {{ event.data.title|truncate(100) }}".to_owned()),
        body: Some("Runbook for {{ event.type }}:\n\n{{ event.data|tojson|truncate(10000) }}".to_owned()),
    }
}

/// What the published description says of a body. It types a patch document as an object, and its values and the attributes of
/// links too, where the service takes a list and scalars: so each operation is held to it, and scalars are left out.
fn claims(request: &http::Request) -> Vec<Claim> {
    if request.method == Method::GET || request.url.path().ends_with("/wiql") {
        return Vec::new();
    }
    if request.url.path().ends_with("/comments") {
        return Claim::of_body(OPENAPI, "/definitions/CommentCreate", &request.body);
    }
    let operations: Vec<Value> = serde_json::from_slice(&request.body).expect("a patch document");
    let claim = |pointer, document| Claim {
        file: OPENAPI,
        pointer,
        document,
    };
    let mut claims = Vec::new();
    for mut operation in operations {
        if let Value::Object(relation) = &mut operation["value"] {
            let mut relation = relation.clone();
            relation.remove("attributes");
            claims.push(claim("/definitions/WorkItemRelation", relation.into()));
        } else {
            operation.as_object_mut().expect("an operation").remove("value");
        }
        claims.push(claim("/definitions/JsonPatchOperation", operation));
    }
    claims
}

/// Reads a request and holds it to every rule of the vendor.
fn accepts(request: &http::Request, delivery: &Delivery, base: &str) {
    let url = request.url.as_str();
    let path = url.strip_prefix(base).unwrap_or_else(|| panic!("{url}"));
    let (path, query) = path.split_once('?').expect("a version");
    let version = if path.ends_with("/comments") {
        "7.1-preview.4"
    } else {
        "7.1"
    };
    let (query, asked) = query.rsplit_once("api-version=").expect("a version");
    assert_eq!(asked, version, "{url}");
    assert_eq!(request.headers["accept"], "application/json");
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let kind = request
        .headers
        .get("content-type")
        .map(|kind| kind.to_str().expect("a type"));
    match (request.method.as_str(), path) {
        ("POST", "wiql") => {
            assert_eq!((kind, query), (Some("application/json"), "%24top=1&"));
            wiql(&body);
        }
        ("POST", new) if new.starts_with("workitems/$") => {
            assert_eq!((kind, query), (Some("application/json-patch+json"), ""));
            item(&body, new, delivery);
        }
        ("POST", "workItems/1/comments") => panic!("the delivery that makes a work item says all of it there"),
        ("GET", "workitems/1") => {
            let known = ["fields=System.State%2CSystem.WorkItemType&", "%24expand=relations&"];
            assert!(known.contains(&query), "{query}");
        }
        ("GET", "workitemtypes/User%20Story/states" | "workitemtypes/Bug/states") => assert_eq!(query, ""),
        ("PATCH", "workitems/1") => {
            assert_eq!((kind, query), (Some("application/json-patch+json"), ""));
            changed(&body);
        }
        other => panic!("{other:?} is not asked"),
    }
}

fn wiql(body: &Value) {
    let query = body["query"].as_str().expect("a query");
    assert!(query.len() <= 32_000, "{query}");
    let quoted: Vec<&str> = query.split('\'').collect();
    assert_eq!(quoted.len(), 3, "{query}");
    marker(quoted[1]);
}

/// A new work item: its fields, each once.
fn item(body: &Value, path: &str, delivery: &Delivery) {
    let mut fields = Vec::new();
    for operation in body.as_array().expect("a list of operations") {
        assert_eq!(operation["op"], "add");
        let path = operation["path"].as_str().expect("a path");
        let value = &operation["value"];
        let text = || value.as_str().expect("a text");
        match path {
            "/fields/System.Title" => one_line(text(), 255, "title"),
            "/fields/System.Description" | "/fields/Microsoft.VSTS.TCM.ReproSteps" => {
                let shown = reading::html(text(), 1_000_000);
                let event = &delivery.event().event;
                assert!(
                    delivery.is_digest() || shown.contains(event.event_type.as_str()),
                    "{shown}"
                );
            }
            "/fields/System.Tags" => marker(text()),
            "/fields/System.AreaPath" => assert_eq!(text(), "shop\\Team"),
            "/fields/System.IterationPath" => assert_eq!(text(), "shop\\Sprint 1"),
            "/relations/-" => {
                assert_eq!(value["rel"], "System.LinkTypes.Hierarchy-Reverse");
                assert_eq!(value["url"], "https://dev.azure.com/acme/_apis/wit/workItems/1");
            }
            other => panic!("{other} is not set"),
        }
        assert!(!fields.contains(&path), "{path} twice");
        fields.push(path);
    }
    let described = match path.strip_prefix("workitems/$").expect("a type") {
        "User%20Story" => "/fields/System.Description",
        "Bug" => "/fields/Microsoft.VSTS.TCM.ReproSteps",
        "Task" => "/relations/-",
        other => panic!("{other} is no type of it"),
    };
    for field in ["/fields/System.Title", "/fields/System.Tags", described] {
        assert!(fields.contains(&field), "{fields:?}");
    }
}

/// One operation: a state of the type, or a link.
fn changed(body: &Value) {
    let operations = body.as_array().expect("a list of operations");
    assert_eq!(operations.len(), 1);
    let Value::Object(operation) = &operations[0] else {
        panic!("{body}");
    };
    assert_eq!(operation["op"], "add");
    let value = &operation["value"];
    match operation["path"].as_str().expect("a path") {
        "/fields/System.State" => {
            let known = ["Active", "Closed", "In Review", "Ready / to do", "Done"];
            assert!(known.contains(&value.as_str().expect("a state")), "{value}");
        }
        "/relations/-" => {
            assert_eq!(value["rel"], "Hyperlink");
            let url = value["url"].as_str().expect("an address");
            assert!(url.starts_with("https://") || url.starts_with("http://"), "{url}");
            one_line(value["attributes"]["comment"].as_str().expect("a text"), 255, "comment");
        }
        other => panic!("{other} is not changed"),
    }
}

/// A tag: at most 400 characters, none that parts tags.
fn marker(tag: &str) {
    let hash = tag.strip_prefix("signalbox-").expect("our own tag");
    assert_eq!(hash.len(), 22, "{tag}");
    assert!(
        hash.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
        "{tag}"
    );
}

/// As the vendor documents them, and as its customers have met them.
fn answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    const TYPE: &str = r#"{"$id":"1","innerException":null,"message":"VS402323: Work item type User Story does not exist in project shop or you do not have permission to access it.","typeName":"Microsoft.TeamFoundation.WorkItemTracking.Server.Metadata.WorkItemTypeNotFoundException, Microsoft.TeamFoundation.WorkItemTracking.Server","typeKey":"WorkItemTypeNotFoundException","errorCode":0,"eventId":3200}"#;
    const PROJECT: &str = r#"{"$id":"1","message":"TF200016: The following project does not exist: shop.","typeKey":"ProjectDoesNotExistWithNameException","errorCode":0}"#;
    const AREA: &str = r#"{"$id":"1","message":"TF401347: Invalid tree name given for work item -1, field 'System.AreaPath'.","typeKey":"WorkItemFieldInvalidTreeNameException","errorCode":0}"#;
    const RULE: &str = r#"{"$id":"1","message":"TF401320: Rule Error for field Severity. Error code: Required, InvalidEmpty.","typeKey":"RuleValidationException","errorCode":600171}"#;
    const NO_FIELD: &str = r#"{"$id":"1","message":"TF51535: Cannot find field System.Description.","typeKey":"WorkItemTrackingFieldDefinitionNotFoundException","errorCode":0}"#;
    const OLD: &str = r#"{"$id":"1","message":"The requested REST API version of 7.1 is out of range for this server.","typeKey":"VssVersionOutOfRangeException","errorCode":0}"#;
    let limited = |headers| Answer {
        status: 429,
        headers,
        body: r#"{"message":"TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource Concurrency."}"#,
        means: Retry,
    };
    vec![
        answer(200, ITEM, Delivered),
        answer(201, ITEM, Delivered),
        answer(200, "", Retry),
        answer(200, "{}", Retry),
        answer(200, r#"{"id":0}"#, Retry),
        answer(200, "<html>sign in</html>", Retry),
        answer(203, "<html>Azure DevOps Services | Sign In</html>", Suspend),
        answer(302, "", Suspend),
        answer(204, "", Retry),
        answer(400, AREA, Suspend),
        answer(400, NO_FIELD, Suspend),
        answer(400, OLD, Suspend),
        answer(400, RULE, Reject),
        answer(400, "", Reject),
        answer(401, "", Suspend),
        answer(403, r#"{"$id":"1","message":"TF237111"}"#, Suspend),
        answer(404, TYPE, Suspend),
        answer(404, PROJECT, Suspend),
        answer(404, "", Suspend),
        answer(409, "", Retry),
        answer(412, r#"{"typeKey":"TestPatchOperationFailedException"}"#, Retry),
        answer(413, "", Reject),
        answer(415, "", Reject),
        limited(&[]),
        limited(&[("x-ratelimit-reset", "1767226500")]),
        answer(500, "", Retry),
        answer(503, "", Retry),
    ]
}
