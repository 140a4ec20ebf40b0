use serde_json::json;

use super::*;

#[test]
fn a_problem_has_the_members_of_rfc_9457_and_a_code() {
    let problem = Problem::new(StatusCode::BAD_REQUEST, "invalid", "is not a number")
        .field("limit")
        .with("errors", json!([1]));
    assert_eq!(
        serde_json::to_value(&problem).expect("a problem"),
        json!({
            "type": "about:blank",
            "title": "Bad Request",
            "status": 400,
            "detail": "is not a number",
            "code": "invalid",
            "field": "limit",
            "errors": [1],
        })
    );
}

#[test]
fn an_answer_carries_status_type_and_headers() {
    let response = Problem::unavailable("NATS is away", 5).into_response();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
    assert_eq!(response.headers()[header::RETRY_AFTER], "5");
}
