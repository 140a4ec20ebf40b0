//! Groups that became supergroups.

use super::*;

/// What Telegram answers in place of a group that became this supergroup.
fn moved(id: &str) -> (u16, String) {
    let body = format!(
        r#"{{"ok":false,"error_code":400,"description":"Bad Request: group chat was upgraded to a supergroup chat","parameters":{{"migrate_to_chat_id":{id}}}}}"#
    );
    (400, body)
}

#[test]
fn a_message_follows_a_group_that_became_a_supergroup_once() {
    const YES: (u16, &str) = (200, r#"{"ok":true,"result":{"message_id":7}}"#);
    const TOO_RICH: (u16, &str) = (
        400,
        r#"{"ok":false,"error_code":400,"description":"Bad Request: can't parse entities: x"}"#,
    );
    let (status, body) = moved("-1001234567891");
    let first = (status, body.as_str());
    let (status, body) = moved("-1001234567892");
    let second = (status, body.as_str());
    let event = || event("execution.failed", &json!({ "error": "disk full" }));
    let mut digest = delivery(vec![event(), event()]);
    digest.digest = true;
    for (name, delivery) in [("an event", delivery(vec![event()])), ("a digest", digest)] {
        let target = target(json!({ "chat_id": -4_711 }), None);
        let whole = body_of(&after(&*target, &delivery, &[]).expect("a request"));
        let again = body_of(&after(&*target, &delivery, &[first]).expect("a second request"));
        let mut expected = whole.clone();
        assert_eq!(whole["chat_id"], -4_711);
        expected["chat_id"] = json!(-1_001_234_567_891_i64);
        assert_eq!(again, expected, "{name}: the same message");
        let outcome = |answers: &[(u16, &str)]| after(&*target, &delivery, answers).expect_err("the end");
        assert_eq!(outcome(&[first, YES]), Outcome::Delivered, "{name}");
        // It ends there, whatever the supergroup says.
        match outcome(&[first, second]) {
            Outcome::Suspend { reason, at_once } => assert!(at_once && reason.contains("-1001234567892"), "{reason}"),
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(outcome(&[first, first]).kind(), OutcomeKind::Suspend, "{name}");
        let kicked =
            r#"{"ok":false,"error_code":403,"description":"Forbidden: bot was kicked from the supergroup chat"}"#;
        let reason = format!("{:?}", outcome(&[first, (403, kicked)]));
        assert!(
            reason.contains("Suspend") && reason.contains("set chat_id to") && reason.contains("-1001234567891"),
            "{reason}"
        );
        assert_eq!(outcome(&[first, (429, "")]).kind(), OutcomeKind::Retry, "{name}");
        // Both kinds of a second chance, in any order, each once.
        for chances in [[first, TOO_RICH], [TOO_RICH, first]] {
            let third = body_of(&after(&*target, &delivery, &chances).expect("a third request"));
            assert_eq!(third["chat_id"], -1_001_234_567_891_i64, "{name}");
            assert!(third.get("parse_mode").is_none(), "{name}: plain");
            let with = |last| [chances[0], chances[1], last];
            assert_eq!(outcome(&with(YES)), Outcome::Delivered, "{name}");
            assert_eq!(outcome(&with(TOO_RICH)).kind(), OutcomeKind::Reject, "{name}");
            assert_eq!(outcome(&with(second)).kind(), OutcomeKind::Suspend, "{name}");
        }
    }
}

#[test]
fn no_message_follows_to_what_is_no_supergroup() {
    let one = one("execution.failed", &json!({}));
    let target = target(json!({ "chat_id": -4_711 }), None);
    for id in ["0", "4711", "-9007199254740993", "null", "\"-1001234567891\"", "-1.5"] {
        let (status, body) = moved(id);
        match after(&*target, &one, &[(status, &body)]).expect_err("the end") {
            Outcome::Suspend { at_once, .. } => assert!(at_once, "{id}"),
            other => panic!("{id}: {other:?}"),
        }
    }
    // A yes that names one is a yes.
    let yes = r#"{"ok":true,"result":{"message_id":7},"parameters":{"migrate_to_chat_id":-1001234567891}}"#;
    let outcome = after(&*target, &one, &[(200, yes)]).expect_err("the end");
    assert_eq!(outcome, Outcome::Delivered);
}
