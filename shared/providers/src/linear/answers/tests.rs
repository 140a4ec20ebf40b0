use ::http::HeaderMap;
use signalbox_proto::outcome::OutcomeKind;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600); // 2026-01-01T00:00:00Z

fn response(status: u16, body: &Value) -> Response {
    Response {
        status,
        headers: HeaderMap::new(),
        body: body.to_string().into(),
        truncated: false,
    }
}

fn lacking(what: &str) -> Value {
    json!({ "data": null, "errors": [{ "message": what, "extensions": { "code": "INPUT_ERROR", "type": "invalid input" } }] })
}

#[test]
fn a_limit_is_waited_for_until_linear_renews_it() {
    let limited = json!({ "errors": [{ "message": "Rate limit exceeded", "extensions": { "code": "RATELIMITED" } }] });
    let wait = |headers: &[(&'static str, &str)]| {
        let mut limited = response(400, &limited);
        for (name, value) in headers {
            limited.headers.insert(*name, value.parse().expect("a value"));
        }
        match made(&limited, NOW) {
            Err(Outcome::Retry { after, .. }) => after.expect("a time").as_secs(),
            other => panic!("{other:?}"),
        }
    };
    let in_90_s = "1767225690000";
    assert_eq!(wait(&[]), 60);
    assert_eq!(wait(&[("retry-after", "7")]), 7);
    let requests = |left: &'static str| {
        [
            ("x-ratelimit-requests-remaining", left),
            ("x-ratelimit-requests-reset", in_90_s),
        ]
    };
    assert_eq!(wait(&requests("0")), 90);
    assert_eq!(wait(&requests("12")), 60, "that is not the one that is reached");
    assert_eq!(
        wait(&[
            ("x-ratelimit-complexity-remaining", "0"),
            ("x-ratelimit-complexity-reset", "1767225630000"),
            ("x-ratelimit-requests-remaining", "0"),
            ("x-ratelimit-requests-reset", in_90_s)
        ]),
        90
    );
    assert_eq!(
        wait(&[
            ("x-ratelimit-requests-remaining", "0"),
            ("x-ratelimit-requests-reset", "1")
        ]),
        60,
        "it is over"
    );
}

#[test]
fn what_is_not_there_is_the_configs_fault_where_the_config_names_it() {
    for (message, wanted) in [
        ("Entity not found: Team", OutcomeKind::Suspend),
        ("Entity not found: WorkflowState: stateId", OutcomeKind::Suspend),
        (
            "Entity not found: IssueLabel: labelIds contained an entry that could not be found.",
            OutcomeKind::Suspend,
        ),
        ("Entity not found: Issue", OutcomeKind::Reject),
        ("Argument Validation Error", OutcomeKind::Reject),
    ] {
        let outcome = made(&response(200, &lacking(message)), NOW).expect_err("it is no yes");
        assert_eq!(outcome.kind(), wanted, "{message}: {outcome:?}");
    }
}

#[test]
fn only_linear_itself_can_say_that_an_issue_is_gone() {
    assert!(is_gone(&response(200, &lacking("Entity not found: Issue"))));
    assert!(is_gone(&response(400, &lacking("Entity not found: Issue: parentId"))));
    assert!(!is_gone(&response(200, &lacking("Entity not found: IssueLabel"))));
    assert!(!is_gone(&response(404, &json!("Entity not found: Issue"))));
    let moved = |trashed: Value| {
        response(
            200,
            &json!({ "data": { "issueUpdate": { "success": true, "issue": { "id": "1", "trashed": trashed } } } }),
        )
    };
    assert!(is_gone(&moved(json!(true))));
    assert!(!is_gone(&moved(json!(null))));
    assert!(!is_gone(&moved(json!(false))));
    let archived =
        |at: Value| json!({ "data": { "attachmentCreate": { "attachment": { "issue": { "archivedAt": at } } } } });
    assert!(is_gone(&response(200, &archived(json!("2026-01-01T00:00:00.000Z")))));
    assert!(!is_gone(&response(200, &archived(json!(null)))));
}

#[test]
fn only_success_is_a_yes() {
    let said = |success: Value| {
        response(
            200,
            &json!({ "data": { "issueCreate": { "success": success, "issue": { "id": "a-1", "url": "https://linear.app/a" } } } }),
        )
    };
    assert_eq!(
        made(&said(json!(true)), NOW),
        Ok(Made {
            id: "a-1".to_owned(),
            url: Some("https://linear.app/a".to_owned())
        })
    );
    for other in [
        said(json!(false)),
        said(json!(null)),
        response(200, &json!({ "data": { "issueCreate": null } })),
    ] {
        assert_eq!(made(&other, NOW).expect_err("no yes").kind(), OutcomeKind::Retry);
    }
}
