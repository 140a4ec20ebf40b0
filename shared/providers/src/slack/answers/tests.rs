use ::http::{HeaderMap, HeaderValue, header::RETRY_AFTER};
use signalbox_proto::outcome::OutcomeKind::{self, Delivered, Reject, Retry, Suspend};

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

fn answer(status: u16, body: &str, truncated: bool) -> Outcome {
    answer_of(Asked::Api, status, body, truncated)
}

fn answer_of(asked: Asked, status: u16, body: &str, truncated: bool) -> Outcome {
    let response = Response {
        status,
        headers: HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("30"))]),
        body: body.to_owned().into(),
        truncated,
    };
    outcome(&response, asked, NOW)
}

/// The rows of the README, one for each documented answer.
const WEBHOOK: &[(u16, &str, OutcomeKind)] = &[
    (200, "ok", Delivered),
    (200, "ok\n", Delivered),
    (400, "invalid_payload", Reject),
    (400, "no_text", Reject),
    (400, "invalid_blocks", Reject),
    (400, "invalid_blocks_format", Reject),
    (400, "too_many_attachments", Reject),
    (400, "user_not_found", Suspend),
    (400, "invalid_token", Suspend),
    (403, "invalid_token", Suspend),
    (403, "action_prohibited", Suspend),
    (403, "posting_to_general_channel_denied", Suspend),
    (404, "channel_not_found", Suspend),
    (404, "no_service", Suspend),
    (404, "no_service_id", Suspend),
    (404, "no_active_hooks", Suspend),
    (404, "no_team", Suspend),
    (404, "team_disabled", Suspend),
    (404, "user_not_found", Suspend),
    (410, "channel_is_archived", Suspend),
    (429, "rate_limited", Retry),
    (500, "rollup_error", Retry),
    (502, "<html>bad gateway</html>", Retry),
    (503, "", Retry),
    // Nothing of Slack's.
    (302, "", Suspend),
    (400, "what is this", Reject),
    (403, "<html>", Suspend),
    (418, "", Reject),
];

const API: &[(&str, OutcomeKind)] = &[
    ("ratelimited", Retry),
    ("rate_limited", Retry),
    ("internal_error", Retry),
    ("fatal_error", Retry),
    ("service_unavailable", Retry),
    ("request_timeout", Retry),
    ("invalid_blocks", Reject),
    ("invalid_blocks_format", Reject),
    ("msg_too_long", Reject),
    ("msg_blocks_too_long", Reject),
    ("no_text", Reject),
    ("invalid_arguments", Reject),
    ("invalid_json", Reject),
    ("json_not_object", Reject),
    ("too_many_attachments", Reject),
    ("a_word_of_tomorrow", Reject),
    ("invalid_auth", Suspend),
    ("not_authed", Suspend),
    ("account_inactive", Suspend),
    ("token_revoked", Suspend),
    ("token_expired", Suspend),
    ("missing_scope", Suspend),
    ("no_permission", Suspend),
    ("not_allowed_token_type", Suspend),
    ("channel_not_found", Suspend),
    ("not_in_channel", Suspend),
    ("is_archived", Suspend),
    ("restricted_action", Suspend),
    ("restricted_action_read_only_channel", Suspend),
    ("restricted_action_thread_only_channel", Suspend),
    ("restricted_action_non_threadable_channel", Suspend),
    ("ekm_access_denied", Suspend),
    ("access_denied", Suspend),
    ("accesslimited", Suspend),
    ("enterprise_is_restricted", Suspend),
    ("team_access_not_granted", Suspend),
    ("org_login_required", Suspend),
    ("team_added_to_org", Suspend),
];

#[test]
fn each_documented_answer_has_its_outcome() {
    for (status, body, expected) in WEBHOOK {
        for asked in [Asked::Webhook, Asked::Api] {
            let outcome = answer_of(asked, *status, body, false);
            assert_eq!(outcome.kind(), *expected, "{status} {body}: {outcome:?}");
        }
    }
    for (error, expected) in API {
        let body = format!(r#"{{"ok":false,"error":"{error}"}}"#);
        let outcome = answer(200, &body, false);
        assert_eq!(outcome.kind(), *expected, "{error}: {outcome:?}");
        assert!(
            outcome.reason().is_some_and(|reason| reason.contains(error)),
            "{outcome:?}"
        );
    }
    assert_eq!(
        answer(200, r#"{"ok":true,"channel":"C1","ts":"1.2"}"#, false),
        Outcome::Delivered
    );
}

#[test]
fn every_error_of_the_table_has_a_row_in_these_tests() {
    for (word, _) in ERRORS {
        let tested = WEBHOOK.iter().any(|(_, body, _)| body == word) || API.iter().any(|(error, _)| error == word);
        assert!(tested, "{word}");
    }
}

#[test]
fn every_error_of_the_table_is_in_the_readme() {
    let readme = include_str!("../README.md");
    for (word, _) in ERRORS {
        assert!(readme.contains(&format!("`{word}`")), "{word}");
    }
}

#[test]
fn retry_after_is_obeyed_in_a_429_and_inside_a_200() {
    for outcome in [
        answer(429, r#"{"ok":false,"error":"ratelimited"}"#, false),
        answer(429, "rate_limited", false),
        answer(200, r#"{"ok":false,"error":"ratelimited"}"#, false),
    ] {
        let Outcome::Retry { after, .. } = &outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(after.map(|after| after.as_secs()), Some(30));
    }
}

#[test]
fn an_archived_channel_suspends_at_once_where_the_status_says_gone() {
    assert!(matches!(
        answer(410, "channel_is_archived", false),
        Outcome::Suspend { at_once: true, .. }
    ));
    assert!(matches!(answer(410, "", false), Outcome::Suspend { at_once: true, .. }));
    let inside = answer(200, r#"{"ok":false,"error":"is_archived"}"#, false);
    assert!(matches!(inside, Outcome::Suspend { at_once: false, .. }));
}

#[test]
fn trouble_of_the_server_is_that_whatever_the_body_says() {
    for status in [408, 425, 429, 500, 502, 503, 504] {
        let outcome = answer(status, r#"{"ok":false,"error":"invalid_auth"}"#, false);
        assert_eq!(outcome.kind(), Retry, "{status}");
    }
}

#[test]
fn a_200_that_is_not_slacks_is_tried_again() {
    for body in [
        "",
        "<html>sign in</html>",
        "OK",
        "{}",
        "[]",
        "null",
        r#"{"ok":"yes"}"#,
        r#"{"status":"ok"}"#,
    ] {
        assert_eq!(answer(200, body, false).kind(), Retry, "{body}");
    }
}

#[test]
fn a_2xx_that_says_nothing_is_the_yes_of_a_likeness_of_slack_and_no_answer_of_slacks_own() {
    for (status, body) in [(200, ""), (200, " \n"), (204, ""), (202, "")] {
        assert_eq!(
            answer_of(Asked::Likeness, status, body, false),
            Outcome::Delivered,
            "{status}"
        );
        for asked in [Asked::Webhook, Asked::Api] {
            assert_eq!(
                answer_of(asked, status, body, false).kind(),
                Retry,
                "{status} {asked:?}"
            );
        }
    }
    for body in ["<html>sign in</html>", "OK", "{}"] {
        for asked in [Asked::Webhook, Asked::Likeness] {
            assert_eq!(answer_of(asked, 200, body, false).kind(), Retry, "{body} {asked:?}");
        }
    }
}

fn retry_after(status: u16, body: &str, value: Option<&str>) -> Option<u64> {
    let headers = value.map(|value| (RETRY_AFTER, HeaderValue::from_str(value).expect("a header's value")));
    let response = Response {
        status,
        headers: HeaderMap::from_iter(headers),
        body: body.to_owned().into(),
        truncated: false,
    };
    match outcome(&response, Asked::Webhook, NOW) {
        Outcome::Retry { after, .. } => after.map(|after| after.as_secs()),
        other => panic!("{status} {value:?}: {other:?}"),
    }
}

#[test]
fn retry_after_is_seconds_or_a_date_and_anything_else_says_nothing() {
    let page = "<html><h1>429 Too Many Requests</h1></html>";
    for (value, expected) in [
        (Some("37"), Some(37)),
        (Some("0"), Some(0)),
        (Some("Thu, 01 Jan 2026 00:01:30 GMT"), Some(90)),
        (Some("Wed, 31 Dec 2025 23:00:00 GMT"), Some(0)),
        (Some("99999999999999999999999"), Some(6 * 3_600)),
        (Some("86400"), Some(6 * 3_600)),
        (Some("-5"), None),
        (Some("1.5"), None),
        (Some("soon"), None),
        (Some(""), None),
        (None, None),
    ] {
        for (status, body) in [
            (429, page),
            (429, "rate_limited"),
            (429, ""),
            (503, page),
            (200, r#"{"ok":false,"error":"ratelimited"}"#),
            (200, page),
        ] {
            assert_eq!(retry_after(status, body, value), expected, "{status} {body} {value:?}");
        }
    }
}

#[test]
fn no_redirect_is_taken_for_an_answer_of_slacks() {
    for status in [301, 302, 303, 307, 308] {
        for body in ["", "ok", "<html>moved</html>", r#"{"ok":true}"#] {
            let outcome = answer(status, body, false);
            assert!(
                matches!(outcome, Outcome::Suspend { at_once: false, .. }),
                "{status} {body}: {outcome:?}"
            );
        }
    }
}

#[test]
fn an_answer_that_was_cut_counts_as_far_as_it_goes() {
    let long = format!(r#"{{"ok":true,"message":{{"text":"{}"#, "x".repeat(64 * 1024));
    assert_eq!(answer(200, &long, true), Outcome::Delivered);
    let refused = r#"{"ok":false,"error":"msg_too_long","response_metadata":{"mess"#;
    assert_eq!(answer(200, refused, true).kind(), Reject);
}

#[test]
fn a_reason_repeats_nothing_but_a_word_of_slacks() {
    for (status, body) in [
        (200, r#"{"ok":false,"error":"Bearer xoxb-s3cret <b>"}"#),
        (400, "xoxb-s3cret is wrong"),
        (200, "xoxb-s3cret"),
    ] {
        let outcome = answer(status, body, false);
        assert!(!format!("{outcome:?}").contains("s3cret"), "{outcome:?}");
    }
}

#[test]
fn what_suspends_says_the_remedy() {
    let outcome = answer(200, r#"{"ok":false,"error":"not_in_channel"}"#, false);
    assert_eq!(
        outcome.reason(),
        Some("Slack answered not_in_channel: invite the app to the channel")
    );
}
