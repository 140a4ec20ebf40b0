//! The API does what its OpenAPI document says: a validator that no one here wrote takes the document, and whatever is
//! asked is answered with a status and a shape that the document tells.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use crate::{
    foreign,
    harness::{
        Answer, Client, Publish, Target, Up,
        client::{Response, try_request},
        eventually,
    },
};

const SOON: Duration = Duration::from_secs(20);
const OTHER_ID: &str = "0199c0de-0000-7000-8000-0000000000ff";

/// What was asked and answered.
#[derive(Default)]
struct Told {
    answers: Vec<Value>,
}

impl Told {
    fn add(&mut self, method: &str, path: &str, answer: &Response) {
        let kind = answer.header("content-type").split(';').next().unwrap_or_default();
        let body = if kind.ends_with("json") {
            answer.json()
        } else {
            Value::Null
        };
        assert!(!answer.header("x-request-id").is_empty(), "{method} {path}");
        self.answers.push(json!({
            "method": method, "path": path, "status": answer.status, "type": kind, "body": body,
        }));
    }

    /// Asks, with the parts of the path that are left open put in.
    async fn ask(
        &mut self,
        client: &Client,
        method: &str,
        path: &str,
        query: &str,
        names: &Names,
        body: Option<Value>,
    ) -> Response {
        let answer = client
            .request(method, &format!("{}{query}", names.fill(path)), body)
            .await;
        self.add(method, path, &answer);
        answer
    }
}

/// What the open parts of a path stand for, by path and name.
struct Names(BTreeMap<(&'static str, &'static str), String>);

impl Names {
    fn fill(&self, path: &str) -> String {
        let known = self.0.iter().filter(|((start, _), _)| path.starts_with(start));
        known.fold(path.to_owned(), |path, ((_, name), value)| {
            path.replace(&format!("{{{name}}}"), value)
        })
    }
}

/// The operations of the document: method, path, what is said of it.
fn operations(document: &Value) -> Vec<(String, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let all = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("operations");
        item.iter()
            .map(move |(method, operation)| (method.to_uppercase(), path.as_str(), operation))
    });
    all.collect()
}

fn is_stream(operation: &Value) -> bool {
    operation["responses"]["200"]["content"]
        .get("text/event-stream")
        .is_some()
}

/// The parameters behind the `?`, each with a value that it may have.
fn parameters(operation: &Value) -> Vec<(String, String)> {
    let list = operation["parameters"].as_array().expect("parameters");
    let query = list.iter().filter(|param| param["in"] == "query");
    let each = query.map(|param| {
        let schema = &param["schema"];
        let example = match (&schema["examples"][0], &schema["enum"][0]) {
            (Value::Null, Value::String(word)) | (Value::String(word), _) => word.clone(),
            (other, _) => other.to_string(),
        };
        (param["name"].as_str().expect("a name").to_owned(), example)
    });
    each.collect()
}

/// An installation with a bit of everything in it.
async fn filled(client: &Client, target: &Target) -> Names {
    target.script("/rejects", [Answer::status(400)]);
    target.script("/fails", [Answer::status(503)]);
    client
        .apply(json!([
            { "name": "takes", "provider": "webhook", "events": ["order.*"], "config": { "url": target.url("/takes") },
              "template": { "body": "{ \"type\": \"{{ event.type }}\" }" }, "rate_limit": { "per_minute": 1000 } },
            { "name": "rejects", "provider": "webhook", "events": ["order.*"], "config": { "url": target.url("/rejects") } },
            { "name": "fails", "provider": "webhook", "events": ["order.*"], "config": { "url": target.url("/fails") } },
            { "name": "other", "provider": "webhook", "events": ["nothing.*"], "config": { "url": target.url("/other") },
              "filter": { "min_severity": "high" }, "batch": { "window": "10s" }, "retry": { "schedule": ["1s"] } },
        ]))
        .await;
    let event = json!({ "type": "order.placed", "id": "e-1", "agent_id": "agent-7", "data": { "total": 3 }, "metadata": { "a": "b" } });
    let published = client
        .post_event(
            "",
            &[("content-type", "application/json")],
            event.to_string().into_bytes(),
        )
        .await;
    assert_eq!(published.status, 202, "{}", published.text());
    client
        .publish(Publish::to("signalbox.in.default.order.placed", "no JSON"))
        .await;
    let delivery = eventually(SOON, "one is delivered, one dead, one retrying", async || {
        let list = client.get("/v1/deliveries").await;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let of = |status: &str| items.iter().find(|item| item["status"] == status).cloned();
        match (of("delivered"), of("dead"), of("retrying")) {
            (Some(delivered), Some(_), Some(_)) => Ok(delivered),
            _ => Err(list.to_string()),
        }
    })
    .await;
    let letters = client.dead_letters("").await;
    Names(BTreeMap::from([
        (("/v1/integrations", "id"), "takes".to_owned()),
        (
            ("/v1/deliveries", "id"),
            delivery["id"].as_str().expect("an id").to_owned(),
        ),
        (
            ("/v1/dead-letters", "id"),
            letters[0]["id"].as_str().expect("an id").to_owned(),
        ),
        (("/v1/events", "id"), "e-1".to_owned()),
        (("/v1/acts", "id"), OTHER_ID.to_owned()),
        (("/v1/event-types", "type"), "deploy.done".to_owned()),
        (("/v1/providers", "name"), "webhook".to_owned()),
        (("/v1/tail", "what"), "events".to_owned()),
        (("/v1/orgs", "name"), "default".to_owned()),
        (("/v1/api-keys", "id"), OTHER_ID.to_owned()),
    ]))
}

/// Requests that are answered well, in an order in which they can be made: method, path, query, body.
fn walk() -> Vec<(&'static str, &'static str, &'static str, Option<Value>)> {
    let made_up = json!({ "event": { "type": "order.placed", "data": { "total": 3 } } });
    vec![
        ("POST", "/v1/integrations/{id}/preview", "", Some(made_up)),
        ("POST", "/v1/integrations/{id}/test", "", None),
        ("POST", "/v1/integrations/{id}/pause", "", Some(json!({}))),
        ("POST", "/v1/integrations/{id}/resume", "", Some(json!({ "rate": 10 }))),
        ("GET", "/v1/dead-letters", "?group_by=fingerprint", None),
        (
            "POST",
            "/v1/dead-letters/replay",
            "",
            Some(json!({ "all": true, "dry_run": true })),
        ),
        (
            "POST",
            "/v1/dead-letters/discard",
            "",
            Some(json!({ "filter": { "stage": "ingest" } })),
        ),
        (
            "POST",
            "/v1/deliveries/retry",
            "",
            Some(json!({ "all": true, "dry_run": true })),
        ),
        (
            "POST",
            "/v1/deliveries/discard",
            "",
            Some(json!({ "filter": { "integration": "fails" } })),
        ),
        (
            "POST",
            "/v1/events/replay",
            "",
            Some(json!({ "since": "1h", "to": "takes", "dry_run": true })),
        ),
        (
            "POST",
            "/v1/events/replay",
            "",
            Some(json!({ "since": "1h", "to": "other" })),
        ),
        (
            "POST",
            "/v1/event-types",
            "",
            Some(json!({ "type": "deploy.done", "title": "Deployed" })),
        ),
        (
            "PUT",
            "/v1/event-types/{type}",
            "",
            Some(json!({ "schema": { "type": "object" } })),
        ),
        ("GET", "/v1/event-types/{type}", "", None),
        ("DELETE", "/v1/event-types/{type}", "", None),
        ("GET", "/v1/events/{id}", "?since=1h", None),
        (
            "POST",
            "/v1/apply",
            "",
            Some(json!({ "integrations": [], "prune": true, "dry_run": true })),
        ),
        (
            "POST",
            "/v1/apply",
            "?org=acme",
            Some(json!({ "integrations": [], "prune": true, "dry_run": true })),
        ),
        ("DELETE", "/v1/integrations/{id}", "?discard=true", None),
        ("GET", "/docs", "", None),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_one_that_the_document_tells_of() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let document = client.get("/openapi.json").await;
    let mut names = filled(client, &target).await;
    let mut told = Told::default();
    let operations = operations(&document);
    // Whatever can be read, and what is not there or is asked wrongly.
    for (method, path, operation) in operations
        .iter()
        .filter(|(method, _, operation)| method == "GET" && !is_stream(operation))
    {
        told.ask(client, method, path, "", &names, None).await;
        told.ask(client, method, path, "?bogus=1", &names, None).await;
        for (name, value) in parameters(operation) {
            let value = value.replace('*', "%2A").replace('/', "%2F");
            told.ask(client, method, path, &format!("?{name}={value}"), &names, None)
                .await;
        }
        let empty = Names(names.0.keys().map(|key| (*key, OTHER_ID.to_owned())).collect());
        told.ask(client, method, path, "", &empty, None).await;
    }
    for (method, path, query, body) in walk() {
        let answer = told.ask(client, method, path, query, &names, body.clone()).await;
        assert!(
            answer.status < 300 || query.is_empty() && path == "/v1/apply",
            "{method} {path}: {}",
            answer.text()
        );
        if answer.status == 202 {
            let act = answer.json()["id"].as_str().expect("an act").to_owned();
            names.0.insert(("/v1/acts", "id"), act);
            for (method, path) in [
                ("GET", "/v1/acts/{id}"),
                ("GET", "/v1/acts"),
                ("POST", "/v1/acts/{id}/cancel"),
            ] {
                told.ask(client, method, path, "", &names, None).await;
            }
        }
    }
    // Whatever changes something, asked with a field that it does not have.
    for (method, path, operation) in &operations {
        if operation.get("requestBody").is_some() && *path != "/v1/events" {
            let answer = told
                .ask(client, method, path, "", &names, Some(json!({ "bogus": 1 })))
                .await;
            // An integration is read as a file is: looked up first, then all its faults are told together.
            let known = ["invalid", "invalid_integration", "not_found"];
            let is_refused = known.iter().any(|code| answer.json()["code"] == *code);
            assert!(is_refused, "{method} {path}: {}", answer.text());
        }
    }
    let event = json!({ "type": "order.placed", "data": {} }).to_string().into_bytes();
    let kind = ("content-type", "application/json");
    for headers in [&[kind][..], &[kind, ("prefer", "wait=5")]] {
        told.add(
            "POST",
            "/v1/events",
            &client.post_event("", headers, event.clone()).await,
        );
    }
    told.add(
        "POST",
        "/v1/events",
        &client.post_event("", &[kind], b"[]]".to_vec()).await,
    );
    told.add(
        "POST",
        "/v1/events",
        &client.post_event("", &[kind], b"{}".to_vec()).await,
    );
    assert!(told.answers.len() > 150, "{}", told.answers.len());
    let given = json!({ "document": document, "answers": told.answers });
    let faults = foreign::run("openapi.py", &[], &given.to_string()).await;
    assert_eq!(faults.trim(), "");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_keys_and_methods_are_as_the_document_says() {
    let up = Up::start().await;
    let client = up.client();
    let document = client.get("/openapi.json").await;
    let (base, key) = client.publishing();
    for (method, path, operation) in operations(&document) {
        let path = path
            .split('/')
            .map(|part| if part.starts_with('{') { OTHER_ID } else { part })
            .collect::<Vec<_>>()
            .join("/");
        let with = |authorization: String, query: String| {
            let path = format!("{path}{query}");
            let method = method.clone();
            async move {
                let headers = [
                    ("authorization", authorization.as_str()),
                    ("x-request-id", "of-this-test"),
                ];
                let headers = if authorization.is_empty() {
                    &headers[1..]
                } else {
                    &headers[..]
                };
                let answer = try_request(base, &method, &path, headers, Vec::new()).await;
                let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
                assert_eq!(answer.header("x-request-id"), "of-this-test", "{method} {path}");
                answer
            }
        };
        let is_open = operation["security"] == json!([]);
        if !is_open {
            for query in ["", "?bogus=1"] {
                let without = with(String::new(), query.to_owned()).await;
                assert_eq!(without.problem(401), "unauthenticated", "{method} {path}");
                assert_eq!(without.json()["request_id"], "of-this-test", "{method} {path}");
                let wrong = with("Bearer sbx_of-nobody".to_owned(), query.to_owned()).await;
                assert_eq!(wrong.problem(401), "bad_key", "{method} {path}");
            }
        }
        let own = format!("Bearer {key}");
        let unknown = with(own.clone(), "?bogus=1".to_owned()).await;
        assert_eq!(unknown.problem(400), "unknown_parameter", "{method} {path}");
        // What it names it takes. Nothing has this id, so that nothing is done.
        for (name, value) in parameters(operation) {
            let value = value.replace('*', "%2A").replace('/', "%2F");
            let taken = with(own.clone(), format!("?{name}={value}")).await;
            assert!(taken.status < 500, "{method} {path} {name}: {}", taken.text());
            let refused = taken.status >= 400 && taken.json()["code"] == "unknown_parameter";
            assert!(
                !refused,
                "{method} {path}: {name} is told and not taken: {}",
                taken.text()
            );
        }
        let other = client.request("TRACE", &path, None).await;
        assert_eq!(other.problem(405), "method_not_allowed", "{path}");
        assert!(
            other.header("allow").contains(&method),
            "{method} {path}: {}",
            other.header("allow")
        );
    }
    assert_eq!(
        client.request("GET", "/v1/nowhere", None).await.problem(404),
        "no_route"
    );
    let headers = [("authorization", format!("Bearer {key}"))];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let form = [
        headers.as_slice(),
        &[("content-type", "application/x-www-form-urlencoded")],
    ]
    .concat();
    let form = try_request(base, "POST", "/v1/dead-letters/replay", &form, b"all=true".to_vec()).await;
    assert_eq!(form.expect("an answer").problem(415), "unsupported_media_type");
    let page = try_request(base, "GET", "/docs", &[], Vec::new())
        .await
        .expect("the page");
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    assert!(
        page.header("content-security-policy")
            .starts_with("default-src 'none'; style-src 'unsafe-inline'")
    );
    up.stop().await;
}
