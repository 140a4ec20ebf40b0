use axum::{
    Json,
    body::{Body as Bytes, to_bytes},
    http::{HeaderMap, Method, Request, header::AUTHORIZATION},
    routing::{get, post},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use signalbox_access::Config;
use signalbox_broker::callers::Change;
use signalbox_runtime::AdminKey;
use tower::ServiceExt as _;

use super::*;
use crate::{
    integrations::Nothing,
    request::Body,
    routes::{Reach, Scope},
};

const KEY: &str = "sbx_0123456789abcdef";

/// The header that carries a key.
pub(crate) fn bearer(key: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {key}")).expect("a header");
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

fn guard(who: Who) -> Guard {
    guard_at(who, 0)
}

fn guard_at(who: Who, requests_per_second: u32) -> Guard {
    let root = AdminKey::new("a test", &SecretString::from(KEY)).expect("a key");
    let access = Access::new(root, &Config { requests_per_second });
    access.learn(Change::Complete);
    Guard {
        access,
        is_open: Arc::new(|| true),
        who,
        known: Arc::new(["limit"]),
        changes: false,
        time: None,
    }
}

fn of_org() -> Who {
    Who::Key(Scope::IntegrationsRead, Reach::Org)
}

async fn told(caller: Caller, mut query: Query) -> Json<Value> {
    let limit = query.take("limit");
    Json(json!({ "org": caller.org, "any_org": caller.any_org, "limit": limit, "request": caller.request_id.as_str() }))
}

async fn ask(guard: Guard, serve: MethodRouter<()>, request: Request<Bytes>) -> (u16, Value) {
    let routes = Router::new().route("/thing", behind(guard, serve, 64));
    let response = routes.oneshot(request).await.expect("an answer");
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

fn request(method: Method, path: &str) -> axum::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header(AUTHORIZATION, format!("Bearer {KEY}"))
}

fn empty(builder: axum::http::request::Builder) -> Request<Bytes> {
    builder.body(Bytes::empty()).expect("a request")
}

#[tokio::test]
async fn a_handler_sees_the_caller_and_the_parameters_without_the_org() {
    let path = "/thing?org=acme&limit=3";
    let (status, body) = ask(guard(of_org()), get(told), empty(request(Method::GET, path))).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        (&body["org"], &body["any_org"], &body["limit"]),
        (&json!("acme"), &Value::Null, &json!("3"))
    );
    assert_eq!(body["request"].as_str().map(str::len), Some(36), "{body}");
    let any = Who::Key(Scope::IntegrationsRead, Reach::AnyOrg);
    let (_, body) = ask(guard(any), get(told), empty(request(Method::GET, path))).await;
    assert_eq!(body["any_org"], "acme");
}

#[tokio::test]
async fn nothing_is_said_of_a_request_before_its_key_is_known() {
    for path in ["/thing", "/thing?bogus=1", "/thing?org=No%20Name", "/thing?limit="] {
        let without = Request::builder().uri(path).body(Bytes::empty()).expect("a request");
        let (status, body) = ask(guard(of_org()), get(told), without).await;
        assert_eq!((status, &body["code"]), (401, &json!("unauthenticated")), "{path}");
        let wrong = Request::builder().uri(path).header(AUTHORIZATION, "Bearer sbx_another");
        let (status, body) = ask(guard(of_org()), get(told), empty(wrong)).await;
        assert_eq!((status, &body["code"]), (401, &json!("bad_key")), "{path}");
    }
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_again() {
    let guard = guard_at(of_org(), 1);
    let routes = Router::new().route("/thing", behind(guard, get(told), 64));
    let mut refused = Vec::new();
    for _ in 0..20 {
        let asked = empty(request(Method::GET, "/thing"));
        let response = routes.clone().oneshot(asked).await.expect("an answer");
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            refused.push(response.headers().contains_key(header::RETRY_AFTER));
        }
    }
    assert!(refused.len() > 10 && refused.iter().all(|told| *told), "{refused:?}");
}

#[tokio::test]
async fn a_parameter_that_the_table_does_not_name_is_refused() {
    let installation = Who::Key(Scope::Admin, Reach::Installation);
    for (who, path, field) in [
        (of_org(), "/thing?bogus=1", "bogus"),
        (of_org(), "/thing?limit=1&Limit=2", "Limit"),
        (installation, "/thing?org=acme", "org"),
        (Who::Anyone, "/thing?org=acme", "org"),
    ] {
        let (status, body) = ask(guard(who), get(async || "served"), empty(request(Method::GET, path))).await;
        assert_eq!(
            (status, &body["code"], &body["field"]),
            (400, &json!("unknown_parameter"), &json!(field)),
            "{path}"
        );
    }
    for path in ["/thing?limit=1&limit=2", "/thing?limit=", "/thing?org=No%20Name"] {
        let (status, body) = ask(guard(of_org()), get(told), empty(request(Method::GET, path))).await;
        assert_eq!((status, &body["code"]), (400, &json!("invalid")), "{path}");
    }
}

#[tokio::test]
async fn a_body_is_refused_by_its_type_and_its_size() {
    let takes = || post(async |Body(Nothing {}): Body<Nothing>| "taken");
    let send = |kind: Option<&'static str>, body: &'static str| {
        let mut builder = request(Method::POST, "/thing");
        if let Some(kind) = kind {
            builder = builder.header(header::CONTENT_TYPE, kind);
        }
        ask(
            guard(of_org()),
            takes(),
            builder.body(Bytes::from(body)).expect("a request"),
        )
    };
    for (kind, body) in [
        (None, ""),
        (None, "{}"),
        (Some("application/json; charset=utf-8"), "{}"),
        (Some("application/merge-patch+json"), "{}"),
        // Without content its type says nothing.
        (Some("text/plain"), " "),
    ] {
        assert_eq!(send(kind, body).await.0, 200, "{kind:?} {body:?}");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let (status, problem) = send(Some(kind), "{}").await;
        assert_eq!(
            (status, &problem["code"]),
            (415, &json!("unsupported_media_type")),
            "{kind}"
        );
    }
    let (status, problem) = send(
        None,
        "{\"long\": \"0123456789012345678901234567890123456789012345678901234567890\"}",
    )
    .await;
    assert_eq!((status, &problem["code"]), (413, &json!("too_large")));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_too_long_is_given_up_but_a_change_is_finished() {
    let (done, mut finished) = tokio::sync::mpsc::unbounded_channel();
    let slow = move || {
        let done = done.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            done.send(()).expect("the test waits for it");
        }
    };
    for changes in [false, true] {
        let guard = Guard {
            changes,
            time: Some(Duration::from_secs(30)),
            ..guard(of_org())
        };
        let (status, problem) = ask(guard, get(slow.clone()), empty(request(Method::GET, "/thing"))).await;
        assert_eq!((status, &problem["code"]), (503, &json!("timeout")), "{problem}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert_eq!(detail.contains("it goes on"), changes, "{detail}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(finished.try_recv().is_ok(), changes);
    }
}

#[tokio::test]
async fn a_change_that_panics_is_a_problem() {
    let guard = Guard {
        changes: true,
        ..guard(of_org())
    };
    let fails = async || -> &'static str { panic!("a mistake in a handler") };
    let (status, problem) = ask(guard, post(fails), empty(request(Method::POST, "/thing"))).await;
    assert_eq!((status, &problem["code"]), (500, &json!("internal")));
}

#[test]
fn handlers_are_mounted_here_alone() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![source.clone()];
    let mut mounts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the crate") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("tests.rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                if [".route(", ".nest(", ".merge(", ".fallback("]
                    .iter()
                    .any(|call| text.contains(call))
                {
                    mounts.push(path.strip_prefix(&source).expect("inside").display().to_string());
                }
            }
        }
    }
    assert_eq!(mounts, ["frame.rs"]);
}
