use ::http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

fn answer(status: u16, body: &str) -> Response {
    Response {
        status,
        headers: HeaderMap::new(),
        body: body.to_owned().into(),
        truncated: false,
    }
}

fn failure(status: u16, body: &str) -> Failure {
    read(&answer(status, body), NOW).expect_err(body)
}

#[test]
fn a_token_is_read_with_its_life() {
    for (body, secs) in [
        (r#"{"access_token":"t","token_type":"Bearer","expires_in":300}"#, 300),
        (r#"{"access_token":"t","token_type":"bearer","expires_in":"300"}"#, 300),
        (r#"{"access_token":"t","expires_in":299.5}"#, 299),
        (
            r#"{"access_token":"t","token_type":"BEARER","scope":"a b","refresh_token":"r"}"#,
            3_600,
        ),
        (r#"{"access_token":"t","expires_in":null}"#, 3_600),
        (r#"{"access_token":"t","expires_in":"soon"}"#, 3_600),
        (r#"{"access_token":"t","expires_in":0}"#, 3_600),
        (r#"{"access_token":"t","expires_in":-5}"#, 3_600),
        (r#"{"access_token":"t","expires_in":1e300}"#, 86_400),
    ] {
        let granted = read(&answer(200, body), NOW).expect(body);
        assert_eq!((granted.secret.expose(), granted.life.as_secs()), ("t", secs), "{body}");
    }
}

#[test]
fn every_documented_refusal_is_the_owners_to_mend() {
    for (status, body, says) in [
        (401, r#"{"error":"invalid_client"}"#, "answered 401 (invalid_client)"),
        (400, r#"{"error":"invalid_client"}"#, "answered 400 (invalid_client)"),
        (
            400,
            r#"{"error":"unauthorized_client"}"#,
            "answered 400 (unauthorized_client)",
        ),
        (400, r#"{"error":"unsupported_grant_type"}"#, "(unsupported_grant_type)"),
        (400, r#"{"error":"invalid_scope"}"#, "(invalid_scope)"),
        (400, r#"{"error":"invalid_grant"}"#, "(invalid_grant)"),
        (400, r#"{"error":"invalid_request"}"#, "(invalid_request)"),
        (400, r#"{"error":"invalid_target"}"#, "(invalid_target)"),
        (403, r#"{"error":"access_denied"}"#, "(access_denied)"),
        // As some answer that know no other status.
        (200, r#"{"error":"invalid_client"}"#, "answered 200 (invalid_client)"),
        // An object of JSON is the authorization server's own, and this one is without what it must hold.
        (200, "{}", "answered 200 without a token"),
        (200, r#"{"access_token":null}"#, "answered 200 without a token"),
        (200, r#"{"ok":false}"#, "answered 200 without a token"),
        (
            200,
            r#"{"error":"hush","access_token":"t"}"#,
            "answered 200 without a token",
        ),
        (302, "", "answered 302"),
        (404, "not here", "answered 404"),
        (200, r#"{"access_token":7}"#, "that no request can carry"),
        (200, r#"{"access_token":""}"#, "that no request can carry"),
        (200, r#"{"access_token":"a\nb"}"#, "that no request can carry"),
        (
            200,
            r#"{"access_token":"t","token_type":"DPoP"}"#,
            "another type than Bearer",
        ),
        (
            200,
            r#"{"access_token":"t","token_type":7}"#,
            "another type than Bearer",
        ),
    ] {
        let failure = failure(status, body);
        assert!(
            failure.is_refusal() && failure.after().is_none(),
            "{status} {body}: {failure:?}"
        );
        let said = failure.to_string();
        assert!(
            said.starts_with("no token: ") && said.ends_with(says),
            "{status} {body}: {said}"
        );
    }
}

#[test]
fn what_may_pass_is_tried_again_and_not_before_the_endpoint_says() {
    for (status, body) in [
        (500, ""),
        (503, r#"{"error":"invalid_client"}"#),
        (429, ""),
        (408, ""),
        (425, ""),
        (400, r#"{"error":"temporarily_unavailable"}"#),
        (400, r#"{"error":"server_error"}"#),
        (400, r#"{"error":"slow_down"}"#),
        (103, ""),
        // What somebody on the way answers instead.
        (200, "<html><title>Down for maintenance</title></html>"),
        (200, r#"{"access_token":"t""#),
        (200, r#"["t"]"#),
        (200, r#""ok""#),
        (200, "null"),
        (203, "ok"),
        (204, ""),
    ] {
        assert!(!failure(status, body).is_refusal(), "{status} {body}");
    }
    assert_eq!(
        failure(200, "<html>").to_string(),
        "no token: the token endpoint answered 200 with something else than a JSON object, as a proxy would"
    );
    let mut limited = answer(429, "");
    let name = HeaderName::from_static("retry-after");
    limited.headers.insert(name, HeaderValue::from_static("37"));
    let failure = read(&limited, NOW).expect_err("a limit");
    assert_eq!(failure.after(), Some(Duration::from_secs(37)));
    assert_eq!(failure.pause(), Duration::from_secs(37));
    assert_eq!(
        failure.with_left(Duration::from_secs(5)).after(),
        Some(Duration::from_secs(5))
    );
}

#[test]
fn no_word_of_an_answer_is_repeated() {
    let hush = r#"{"error":"hush-4711","error_description":"hush-4711","access_token":"hush-4711"}"#;
    for status in 100..600 {
        let failure = failure(status, hush);
        assert!(!format!("{failure} {failure:?}").contains("hush"), "{failure:?}");
    }
    let granted = read(&answer(200, r#"{"access_token":"hush-4711"}"#), NOW).expect("a token");
    assert!(!format!("{granted:?}").contains("hush"));
}
