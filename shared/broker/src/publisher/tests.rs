use super::*;

fn check(body: &str, expected: &str) {
    let Ok(Answer { error: Some(error), .. }) = serde_json::from_str(body) else {
        panic!("{body} is no error")
    };
    let verdict = match classify(&error) {
        Verdict::Repeat => "repeat",
        Verdict::Crossed => "crossed",
        Verdict::Done(Err(PublishError::Full { .. })) => "full",
        Verdict::Done(Err(PublishError::Stale { .. })) => "stale",
        Verdict::Done(Err(PublishError::Refused { .. })) => "refused",
        Verdict::Done(_) => "other",
    };
    assert_eq!(verdict, expected, "{body}");
}

#[test]
fn an_answer_says_whether_a_repeat_can_help() {
    check(r#"{"error":{"code":503,"description":"raft: not leader"}}"#, "repeat");
    check(
        r#"{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}"#,
        "repeat",
    );
    check(
        r#"{"error":{"code":503,"err_code":10163,"description":"expected last sequence per subject temporarily unavailable"}}"#,
        "repeat",
    );
    check(
        r#"{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"}}"#,
        "crossed",
    );
    check(
        r#"{"error":{"code":409,"err_code":10158,"description":"duplicate message id is in process"}}"#,
        "crossed",
    );
    check(
        r#"{"error":{"code":503,"err_code":10077,"description":"store is closed"}}"#,
        "repeat",
    );
    check(
        r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}"#,
        "full",
    );
    check(
        r#"{"error":{"code":503,"err_code":10077,"description":"write 1.blk: no space left on device"}}"#,
        "full",
    );
    check(
        r#"{"error":{"code":503,"err_code":10023,"description":"insufficient resources"}}"#,
        "full",
    );
    check(
        r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 7"}}"#,
        "stale",
    );
    check(
        r#"{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}"#,
        "refused",
    );
}
