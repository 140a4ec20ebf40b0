use ::http::{HeaderMap, HeaderValue, header::RETRY_AFTER};
use signalbox_proto::outcome::OutcomeKind::{self, Delivered, Reject, Retry, Suspend};

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

fn response(status: u16, body: &str) -> Response {
    Response {
        status,
        headers: HeaderMap::new(),
        body: body.to_owned().into(),
        truncated: false,
    }
}

fn refusal(code: u16, description: &str) -> Response {
    let description = serde_json::Value::from(description);
    response(
        code,
        &format!(r#"{{"ok":false,"error_code":{code},"description":{description}}}"#),
    )
}

fn kind_of(outcome: &Outcome) -> (OutcomeKind, bool) {
    let at_once = matches!(outcome, Outcome::Suspend { at_once: true, .. });
    (outcome.kind(), at_once)
}

/// The rows of the README, as the server writes them.
const REFUSALS: &[(u16, &str, OutcomeKind)] = &[
    (400, "Bad Request: message is too long", Reject),
    (400, "Bad Request: text is too long", Reject),
    (400, "Bad Request: message text is empty", Reject),
    (400, "Bad Request: text must be non-empty", Reject),
    (
        400,
        "Bad Request: can't parse entities: Unsupported start tag \"x\" at byte offset 0",
        Reject,
    ),
    (
        400,
        "Bad Request: inline keyboard button URL 'http://localhost/' is invalid: Wrong HTTP URL",
        Reject,
    ),
    (400, "Bad Request: BUTTON_URL_INVALID", Reject),
    (400, "Bad Request: reply markup is too long", Reject),
    (400, "Bad Request: something of tomorrow", Reject),
    (400, "Bad Request: chat not found", Suspend),
    (400, "Bad Request: private chat not found", Suspend),
    (400, "Bad Request: chat_id is empty", Suspend),
    (400, "Bad Request: PEER_ID_INVALID", Suspend),
    (400, "Bad Request: message thread not found", Suspend),
    (400, "Bad Request: TOPIC_CLOSED", Suspend),
    (400, "Bad Request: TOPIC_DELETED", Suspend),
    (
        400,
        "Bad Request: not enough rights to send text messages to the chat",
        Suspend,
    ),
    (400, "Bad Request: have no rights to send a message", Suspend),
    (
        400,
        "Bad Request: need administrator rights in the channel chat",
        Suspend,
    ),
    (400, "Bad Request: CHAT_WRITE_FORBIDDEN", Suspend),
    (400, "Bad Request: CHAT_RESTRICTED", Suspend),
    (
        400,
        "Bad Request: group chat was upgraded to a supergroup chat",
        Suspend,
    ),
    (403, "Forbidden: bot was blocked by the user", Suspend),
    (403, "Forbidden: bot was kicked from the channel chat", Suspend),
    (403, "Forbidden: bot is not a member of the supergroup chat", Suspend),
    (403, "Forbidden: bot can't initiate conversation with a user", Suspend),
    (403, "Forbidden: user is deactivated", Suspend),
    (403, "Forbidden: the group chat was deleted", Suspend),
    (403, "Forbidden: something of tomorrow", Suspend),
    (401, "Unauthorized", Suspend),
    (404, "Not Found", Suspend),
    (413, "Request Entity Too Large", Reject),
];

#[test]
fn each_refusal_has_its_outcome_whatever_the_status_line_says() {
    for (code, description, expected) in REFUSALS {
        let told = refusal(*code, description);
        let inside = Response {
            status: 200,
            ..told.clone()
        };
        for response in [told, inside] {
            let outcome = outcome(&response, NOW);
            assert_eq!(outcome.kind(), *expected, "{code} {description}: {outcome:?}");
        }
    }
}

#[test]
fn every_known_description_says_what_to_do() {
    for (known, meaning) in DESCRIPTIONS {
        assert_eq!(*known, known.to_ascii_lowercase(), "they are compared in lower case");
        let outcome = outcome(&refusal(400, &format!("Bad Request: {known}")), NOW);
        let reason = outcome.reason().expect("a reason");
        assert!(reason.contains(known), "{reason}");
        if let Meaning::Suspend(remedy) | Gone(remedy) = *meaning {
            assert!(reason.contains(remedy), "{reason}");
        }
    }
}

#[test]
fn a_beginning_that_a_message_may_write_says_nothing() {
    let words = "Bad Request: can't parse entities: Unsupported start tag \"chat not found\" at byte offset 1";
    assert_eq!(kind_of(&outcome(&refusal(400, words), NOW)), (Reject, false));
    let words = "Bad Request: wrong text: bot was blocked by the user";
    let outcome = outcome(&refusal(400, words), NOW);
    assert_eq!(kind_of(&outcome), (Reject, false));
    assert!(
        !outcome.reason().unwrap_or_default().contains("wrong text"),
        "{outcome:?}"
    );
}

#[test]
fn what_never_comes_back_suspends_at_once() {
    for (code, description, at_once) in [
        (403, "Forbidden: the group chat was deleted", true),
        (403, "Forbidden: user is deactivated", true),
        (400, "Bad Request: group chat was upgraded to a supergroup chat", true),
        (403, "Forbidden: bot was blocked by the user", false),
        (400, "Bad Request: chat not found", false),
        (401, "Unauthorized", false),
    ] {
        assert_eq!(
            kind_of(&outcome(&refusal(code, description), NOW)),
            (Suspend, at_once),
            "{description}"
        );
    }
}

#[test]
fn the_new_id_of_a_group_is_told() {
    let body = r#"{"ok":false,"error_code":400,"description":"Bad Request: group chat was upgraded to a supergroup chat",
                   "parameters":{"migrate_to_chat_id":-1001234567891}}"#;
    let expected = Outcome::Suspend {
        reason: "the group became a supergroup: set chat_id to -1001234567891".to_owned(),
        at_once: true,
    };
    assert_eq!(outcome(&response(400, body), NOW), expected);
}

fn after(response: &Response) -> Option<u64> {
    match outcome(response, NOW) {
        Outcome::Retry { after, .. } => after.map(|after| after.as_secs()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_wait_is_told_in_the_body() {
    let body = |wait: &str| {
        format!(
            r#"{{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 9","parameters":{wait}}}"#
        )
    };
    for (wait, expected) in [
        (r#"{"retry_after":9}"#, Some(9)),
        (r#"{"retry_after":99999999}"#, Some(classify::RETRY_AFTER_MAX.as_secs())),
        (r#"{}"#, None),
        ("null", None),
    ] {
        assert_eq!(after(&response(429, &body(wait))), expected, "{wait}");
        assert_eq!(after(&response(200, &body(wait))), expected, "{wait} inside a 200");
    }
    // A proxy may tell its own: the longer one holds.
    let mut both = response(429, &body(r#"{"retry_after":9}"#));
    for (header, expected) in [("5", 9), ("30", 30)] {
        both.headers.insert(RETRY_AFTER, HeaderValue::from_static(header));
        assert_eq!(after(&both), Some(expected));
    }
    assert_eq!(after(&response(429, "<html>slow down</html>")), None);
    assert_eq!(
        after(&response(
            500,
            r#"{"ok":false,"error_code":500,"description":"Internal Server Error"}"#
        )),
        None
    );
}

#[test]
fn an_answer_that_is_not_telegrams_is_tried_again() {
    for body in ["", "ok", "<html>sign in</html>", "{}", "[]", r#"{"ok":null}"#] {
        assert_eq!(outcome(&response(200, body), NOW).kind(), Retry, "{body}");
    }
    for (status, expected) in [
        (302, Suspend),
        (400, Reject),
        (403, Suspend),
        (404, Suspend),
        (410, Suspend),
        (502, Retry),
    ] {
        assert_eq!(outcome(&response(status, "<html>"), NOW).kind(), expected, "{status}");
    }
}

#[test]
fn an_answer_that_was_cut_counts_as_far_as_it_goes() {
    let long = format!(
        r#"{{"ok":true,"result":{{"message_id":7,"text":"{}"#,
        "x".repeat(60_000)
    );
    assert_eq!(outcome(&response(200, &long), NOW).kind(), Delivered);
    let refused = r#"{"ok":false,"error_code":400,"description":"Bad Request: chat not found","parameters":{"x":"#;
    assert_eq!(outcome(&response(400, refused), NOW).kind(), Suspend);
}

#[test]
fn only_what_is_too_rich_is_worth_a_plain_message() {
    for (description, rich) in [
        (
            "Bad Request: can't parse entities: Unsupported start tag \"tg-time\" at byte offset 9",
            true,
        ),
        ("Bad Request: Can't parse entities: x", true),
        (
            "Bad Request: inline keyboard button URL 'http://x/' is invalid: Wrong HTTP URL",
            true,
        ),
        ("Bad Request: BUTTON_URL_INVALID", true),
        ("Bad Request: message is too long", false),
        ("Bad Request: chat not found", false),
    ] {
        assert_eq!(is_too_rich(&refusal(400, description)), rich, "{description}");
    }
    assert!(!is_too_rich(&refusal(403, "can't parse entities")));
    assert!(!is_too_rich(&response(200, r#"{"ok":true}"#)));
    assert!(!is_too_rich(&response(400, "can't parse entities")));
}
