use ::http::HeaderMap;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600); // 2026-01-01T00:00:00Z

fn response(status: u16, body: &str) -> Response {
    Response {
        status,
        headers: HeaderMap::new(),
        body: body.to_owned().into(),
        truncated: false,
    }
}

#[test]
fn a_limit_is_waited_for_until_jira_renews_it() {
    let wait = |header: &'static str, value: &str| {
        let mut limited = response(429, "");
        limited.headers.insert(header, value.parse().expect("a value"));
        match refused(&limited, NOW) {
            Outcome::Retry { after, .. } => after.expect("a time").as_secs(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(wait("retry-after", "7"), 7);
    assert_eq!(wait(RESET, "2026-01-01T00:15Z"), 900, "without seconds, as documented");
    assert_eq!(wait(RESET, "2026-01-01T00:00:20Z"), 20);
    assert_eq!(wait(RESET, "2025-12-31T23:00Z"), LIMITED.as_secs(), "it is over");
    assert_eq!(wait(RESET, "soon"), LIMITED.as_secs());
    assert_eq!(wait(RESET, "2027-01-01T00:00Z"), RETRY_AFTER_MAX.as_secs());
}

#[test]
fn only_jira_itself_can_say_that_an_issue_is_gone() {
    let own = r#"{"errorMessages":["Issue does not exist or you do not have permission to see it."],"errors":{}}"#;
    assert!(is_gone(&response(404, own)));
    assert!(!is_gone(&response(404, "<html>not found</html>")));
    assert!(!is_gone(&response(404, "{}")));
    assert!(!is_gone(&response(404, "")));
    assert!(!is_gone(&response(403, own)));
}

#[test]
fn permissions_are_told_by_their_names() {
    let of = |browse: bool, create: bool| {
        let body = json!({ "permissions": {
            "BROWSE_PROJECTS": { "id": "10", "havePermission": browse },
            "CREATE_ISSUES": { "id": "11", "havePermission": create },
        } });
        permissions(&response(200, &body.to_string()), NOW)
    };
    assert_eq!(of(true, true), Outcome::Delivered);
    let Outcome::Suspend { reason, .. } = of(true, false) else {
        panic!("it may make no issues");
    };
    assert!(
        reason.contains("CREATE_ISSUES") && !reason.contains("BROWSE_PROJECTS"),
        "{reason}"
    );
    assert!(matches!(of(false, false), Outcome::Suspend { .. }));
    assert!(matches!(permissions(&response(404, ""), NOW), Outcome::Suspend { .. }));
    assert!(matches!(
        permissions(&response(200, "<html>"), NOW),
        Outcome::Retry { .. }
    ));
}

#[test]
fn a_project_without_a_type_for_subtasks_is_told_so() {
    let types = |subtask: bool| {
        let body = json!({ "issueTypes": [
            { "id": "10001", "name": "Story", "subtask": false }, { "id": "10003", "name": "Subtask", "subtask": subtask },
        ] });
        subtask_type(&response(200, &body.to_string()), NOW)
    };
    assert_eq!(types(true), Ok("10003".to_owned()));
    let Err(Outcome::Reject { reason }) = types(false) else {
        panic!("there is none");
    };
    assert!(reason.contains("create_subtasks"), "{reason}");
}
