//! What answers mean, and how long they ask us to wait.

use super::*;

fn outcome(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Outcome {
    let headers = headers.iter().map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    });
    let response = Response {
        status,
        headers: headers.collect(),
        body: body.into(),
        truncated: false,
    };
    Discord::classify(&response, NOW)
}

#[test]
fn a_limit_is_waited_for_as_exactly_as_it_is_told() {
    let body = r#"{"message":"You are being rate limited.","retry_after":0.65,"global":false}"#;
    let all = [("retry-after", "37"), ("x-ratelimit-reset-after", "1.5")];
    for (headers, body, millis) in [
        (&all[..], body, 650),
        (&all[..], "", 37_000),
        (&all[1..], "<html>", 1_500),
        (&[], r#"{"retry_after":64.57}"#, 64_570),
        (&[], r#"{"retry_after":-1}"#, 60_000),
        (&[], r#"{"retry_after":1e300}"#, 60_000),
        (&[], r#"{"retry_after":1e9}"#, 6 * 3_600_000),
        (&[], r#"{"message":"You are being blocked","code":0}"#, 60_000),
        (&[("x-ratelimit-reset-after", "soon")], "", 60_000),
    ] {
        match outcome(429, headers, body) {
            Outcome::Retry { after: Some(after), .. } => assert_eq!(after.as_millis(), millis, "{body}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn a_message_that_is_longer_than_what_is_read_of_an_answer_was_saved() {
    let cut = |body: &'static str, truncated| {
        let response = Response {
            status: 200,
            headers: HeaderMap::new(),
            body: body.into(),
            truncated,
        };
        Discord::classify(&response, NOW)
    };
    let message = r#"{"type":0,"content":"","embeds":[{"description":"aaa"#;
    assert_eq!(cut(message, true), Outcome::Delivered);
    for (body, truncated) in [(message, false), (r#"{"page":"aaa"#, true), (r#"<html>"embeds"#, true)] {
        assert!(matches!(cut(body, truncated), Outcome::Retry { .. }), "{body}");
    }
}

#[test]
fn what_is_gone_suspends_at_once_and_reasons_say_what_to_do() {
    for (status, body, at_once, says) in [
        (
            404,
            r#"{"message":"Unknown Webhook","code":10015}"#,
            true,
            "make a new webhook",
        ),
        (
            401,
            r#"{"message":"Invalid Webhook Token","code":50027}"#,
            true,
            "make a new webhook",
        ),
        (404, "", false, "404"),
        (400, r#"{"code":220001}"#, false, "thread_id"),
        (
            400,
            r#"{"code":50035,"errors":{"username":{"_errors":[{"code":"X"}]}}}"#,
            false,
            "config.username",
        ),
        (
            400,
            r#"{"code":50035,"errors":{"thread_id":{"_errors":[{"code":"X"}]}}}"#,
            false,
            "config.webhook_url with this thread_id",
        ),
        (
            404,
            r#"{"message":"Unknown Channel","code":10003}"#,
            false,
            "check the thread_id",
        ),
    ] {
        match outcome(status, &[], body) {
            Outcome::Suspend { reason, at_once: once } => {
                assert_eq!(once, at_once, "{body}");
                assert!(reason.contains(says), "{reason}");
            }
            other => panic!("{body}: {other:?}"),
        }
    }
}
