use axum::{Router, http::StatusCode, middleware, routing::get};
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use super::*;

async fn answer(path: &str, given: Option<&str>) -> (HeaderValue, Vec<u8>) {
    let routes = Router::new()
        .route("/well", get(async || "well"))
        .route(
            "/wrong",
            get(async || Problem::new(StatusCode::CONFLICT, "wrong", "it is wrong").with("more", 1)),
        )
        .fallback(async || Problem::no_route())
        .layer(middleware::from_fn(carry));
    let mut request = Request::builder().uri(path);
    if let Some(given) = given {
        request = request.header(HEADER, given);
    }
    let request = request.body(Body::empty()).expect("a request");
    let response = TowerToHyperService::new(routes).call(request).await.expect("an answer");
    let id = response.headers().get(HEADER).expect("an id").clone();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (id, body.to_vec())
}

#[tokio::test]
async fn a_fit_id_of_the_caller_comes_back_with_the_answer() {
    assert_eq!(
        answer("/well", Some("trace-7/a")).await,
        (HeaderValue::from_static("trace-7/a"), b"well".to_vec())
    );
}

#[tokio::test]
async fn what_is_no_fit_id_is_replaced_by_a_new_one() {
    let long = "x".repeat(CHARS_MAX + 1);
    for given in [None, Some(""), Some("two words"), Some(long.as_str())] {
        let (id, _) = answer("/well", given).await;
        let id = Uuid::parse_str(id.to_str().expect("text")).expect("a UUID");
        assert_eq!(id.get_version_num(), 7, "{given:?}");
    }
}

#[tokio::test]
async fn a_problem_names_the_request_beside_all_that_it_said() {
    for path in ["/wrong", "/nowhere"] {
        let (id, body) = answer(path, Some("mine")).await;
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(
            (id.as_bytes(), &body["request_id"]),
            (&b"mine"[..], &"mine".into()),
            "{body}"
        );
        assert!(body["code"].is_string() && body["status"].is_number(), "{body}");
    }
}
