use super::*;
use crate::azure_devops::AzureDevops;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600); // 2026-01-01T00:00:00Z

fn response(status: u16, body: &str) -> Response {
    Response {
        status,
        headers: HeaderMap::new(),
        body: body.to_owned().into(),
        truncated: false,
    }
}

fn problem_of(status: u16, key: &str) -> Response {
    response(status, &json!({ "message": "TF000000", "typeKey": key }).to_string())
}

fn prepared() -> Prepared {
    use crate::Provider as _;
    let config = serde_json::from_value(json!({ "organization": "acme", "project": "Web Shop" })).expect("a config");
    let credentials = serde_json::from_value(json!({ "pat": "a-long-token" })).expect("credentials");
    AzureDevops::prepare(config, credentials).expect("it is right")
}

#[test]
fn a_limit_is_waited_for_until_it_is_renewed() {
    let wait = |header: &'static str, value: &str| {
        let mut limited = response(429, "");
        limited.headers.insert(header, value.parse().expect("a value"));
        match refused(&limited, NOW) {
            Outcome::Retry { after, .. } => after.expect("a time").as_secs(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(wait("retry-after", "7"), 7);
    assert_eq!(wait(RESET, "1767225620"), 20);
    assert_eq!(wait(RESET, "1767225500"), LIMITED.as_secs(), "it is over");
    assert_eq!(wait(RESET, "soon"), LIMITED.as_secs());
    assert_eq!(wait(RESET, "9223372036854775807"), RETRY_AFTER_MAX.as_secs());
}

#[test]
fn only_azure_devops_itself_can_say_that_a_work_item_is_gone() {
    assert!(is_gone(&problem_of(404, "WorkItemUnauthorizedAccessException")));
    assert!(is_gone(&problem_of(404, "WorkItemLinkEndUnauthorizedAccessException")));
    assert!(is_gone(&problem_of(404, "CommentsOfNothingException")));
    assert!(!is_gone(&problem_of(404, "ProjectDoesNotExistWithNameException")));
    assert!(!is_gone(&problem_of(404, "WorkItemTypeNotFoundException")));
    assert!(!is_gone(&problem_of(403, "WorkItemUnauthorizedAccessException")));
    assert!(!is_gone(&response(404, "<html>not found</html>")));
    assert!(!is_gone(&response(404, "{}")));
    assert!(!is_gone(&response(404, "")));
}

#[test]
fn only_what_lies_in_the_recycle_bin_is_deleted() {
    assert_eq!(
        deleted(&response(200, r#"{"id":42,"name":"x"}"#), NOW),
        Outcome::Delivered
    );
    assert!(matches!(
        deleted(&problem_of(404, "WorkItemUnauthorizedAccessException"), NOW),
        Outcome::Reject { .. }
    ));
    assert!(matches!(deleted(&response(200, "<html>"), NOW), Outcome::Retry { .. }));
    assert!(matches!(deleted(&response(404, ""), NOW), Outcome::Suspend { .. }));
    assert!(matches!(deleted(&response(503, ""), NOW), Outcome::Retry { .. }));
}

#[test]
fn a_number_is_read_though_long_texts_are_cut_behind_it() {
    let mut cut = response(200, r#"{"id":42,"rev":1,"fields":{"System.Description":"<p>long"#);
    assert_eq!(number(&cut), None, "a whole answer is JSON");
    cut.truncated = true;
    assert_eq!(number(&cut), Some(42));
    let made = made(&cut, &prepared(), What::Issue, NOW).expect("it was made");
    assert_eq!(made.id, "42");
    assert_eq!(
        made.url.as_deref(),
        Some("https://dev.azure.com/acme/Web%20Shop/_workitems/edit/42")
    );
    for other in [r#"{"id":"#, r#"{"id":0,"#, r#"{"id":"42","#, r#"[{"id":42,"#, "<html>"] {
        let mut other = response(200, other);
        other.truncated = true;
        assert_eq!(number(&other), None);
    }
}

#[test]
fn a_link_is_known_by_its_address() {
    let url = "https://github.com/org/repo/pull/42";
    let of = |relations: Value| {
        let body = json!({ "id": 42, "rev": 1, "fields": {}, "relations": relations });
        is_linked(&response(200, &body.to_string()), url, NOW)
    };
    assert_eq!(
        of(json!([{ "rel": "Hyperlink", "url": url, "attributes": {} }])),
        Ok(true)
    );
    let capitals = "https://GitHub.com/org/repo/pull/42";
    assert_eq!(of(json!([{ "rel": "Hyperlink", "url": capitals }])), Ok(true));
    assert_eq!(of(json!([{ "rel": "Hyperlink", "url": format!("{url}1") }])), Ok(false));
    assert_eq!(of(json!([{ "rel": "ArtifactLink", "url": url }])), Ok(false));
    assert_eq!(of(json!([])), Ok(false));
    assert_eq!(is_linked(&response(200, r#"{"id":42,"rev":1}"#), url, NOW), Ok(false));
    assert!(matches!(
        is_linked(&response(200, "{}"), url, NOW),
        Err(Outcome::Retry { .. })
    ));
    assert_eq!(linked(&problem_of(400, "RelationAlreadyExistsException"), NOW), Ok(()));
    assert!(matches!(
        linked(&problem_of(400, "RuleValidationException"), NOW),
        Err(Outcome::Reject { .. })
    ));
}

#[test]
fn what_is_wrong_with_the_config_is_told_by_its_field() {
    for (answer, field) in [
        (
            problem_of(404, "WorkItemTypeNotFoundException"),
            "config.work_item_type",
        ),
        (
            problem_of(404, "ProjectDoesNotExistWithNameException"),
            "config.project",
        ),
        (
            problem_of(400, "WorkItemFieldInvalidTreeNameException"),
            "config.area_path",
        ),
        (response(203, "<html>sign in</html>"), "token"),
        (response(401, ""), "token"),
    ] {
        let Outcome::Suspend { reason, .. } = refused(&answer, NOW) else {
            panic!("{answer:?} is of the config");
        };
        assert!(reason.contains(field), "{reason}");
    }
    let child = problem_of(404, "WorkItemTypeNotFoundException");
    let Err(Outcome::Reject { reason }) = made(&child, &prepared(), What::Subtask("it works"), NOW) else {
        panic!("a child of no type");
    };
    assert!(reason.contains("config.subtask_type"), "{reason}");
}

#[test]
fn a_test_wants_a_checked_work_item() {
    let checked = r#"{"id":-1,"rev":-1,"fields":{"System.Title":"Connection test"}}"#;
    assert_eq!(valid(&response(200, checked), NOW), Outcome::Delivered);
    assert!(matches!(valid(&response(200, "{}"), NOW), Outcome::Retry { .. }));
    assert!(matches!(valid(&response(203, "<html>"), NOW), Outcome::Suspend { .. }));
    assert!(matches!(
        valid(&problem_of(400, "RuleValidationException"), NOW),
        Outcome::Reject { .. }
    ));
}
