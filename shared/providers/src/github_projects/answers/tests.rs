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

fn not_found(path: &[&str]) -> Value {
    json!({ "type": "NOT_FOUND", "path": path, "message": "Could not resolve" })
}

#[test]
fn limits_are_waited_for_as_github_says() {
    let wait = |status: u16, body: &Value, headers: &[(&'static str, &str)]| {
        let mut limited = response(status, body);
        for (name, value) in headers {
            limited.headers.insert(*name, value.parse().expect("a value"));
        }
        match made(&limited, NOW) {
            Err(Outcome::Retry { after, .. }) => after.map(|after| after.as_secs()),
            other => panic!("{other:?}"),
        }
    };
    let primary = json!({ "errors": [{ "type": "RATE_LIMITED", "message": "API rate limit exceeded" }] });
    let secondary = json!({ "message": "You have exceeded a secondary rate limit." });
    let window = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1767225690")];
    assert_eq!(wait(200, &primary, &window), Some(91));
    assert_eq!(wait(200, &primary, &[]), Some(60));
    assert_eq!(wait(403, &secondary, &[]), Some(60));
    assert_eq!(wait(403, &json!({}), &[("retry-after", "7")]), Some(7));
    assert_eq!(wait(403, &json!({}), &window), Some(91));
    assert_eq!(
        wait(
            429,
            &secondary,
            &[("x-ratelimit-remaining", "12"), ("x-ratelimit-reset", "1767225690")]
        ),
        Some(60)
    );
    let forbidden = made(
        &response(403, &json!({ "message": "Resource not accessible by integration" })),
        NOW,
    );
    assert_eq!(forbidden.expect_err("no yes").kind(), OutcomeKind::Suspend);
}

#[test]
fn of_organization_and_user_one_is_never_found() {
    let there = json!({ "projectV2": { "id": "PVT_1", "viewerCanUpdate": true, "field": {} } });
    let both = [
        (
            json!({ "organization": there, "user": null }),
            vec![not_found(&["user"])],
        ),
        (
            json!({ "organization": null, "user": there }),
            vec![not_found(&["organization"])],
        ),
    ];
    for (data, errors) in both {
        let found = project(&response(200, &json!({ "data": data, "errors": errors })), NOW);
        assert_eq!(found.expect("a project").id, "PVT_1");
    }
    let neither = json!({
        "data": { "organization": { "projectV2": null }, "user": null },
        "errors": [not_found(&["organization", "projectV2"]), not_found(&["user"])],
    });
    assert_eq!(
        project(&response(200, &neither), NOW).expect_err("none").kind(),
        OutcomeKind::Suspend
    );
    // Any other error is one.
    let scopes = json!({
        "data": { "organization": there, "user": null },
        "errors": [not_found(&["user"]), { "type": "INSUFFICIENT_SCOPES", "message": "No." }],
    });
    assert_ne!(
        project(&response(200, &scopes), NOW).expect_err("an error").kind(),
        OutcomeKind::Delivered
    );
    assert!(project(&response(502, &json!({ "data": { "organization": there } })), NOW).is_err());
}

#[test]
fn who_may_read_alone_is_told_so() {
    let of =
        |can: bool| json!({ "data": { "organization": { "projectV2": { "id": "PVT_1", "viewerCanUpdate": can } } } });
    assert_eq!(writable(&response(200, &of(true)), NOW), Outcome::Delivered);
    assert_eq!(writable(&response(200, &of(false)), NOW).kind(), OutcomeKind::Suspend);
}

#[test]
fn an_item_is_gone_where_github_says_so_of_its_own_id() {
    let gone = json!({ "data": { "node": null }, "errors": [not_found(&["node"])] });
    assert!(is_gone(&response(200, &gone)));
    let other = json!({ "data": { "updateProjectV2ItemFieldValue": null }, "errors": [not_found(&["updateProjectV2ItemFieldValue"])] });
    assert!(!is_gone(&response(200, &other)), "the project may be what is not there");
    let forbidden = json!({ "data": { "node": null }, "errors": [{ "type": "FORBIDDEN" }] });
    assert!(!is_gone(&response(200, &forbidden)));
    assert!(!is_gone(&response(404, &json!("not found"))));
}

#[test]
fn a_mark_is_seen_also_where_the_text_behind_it_is_cut() {
    let marker = "signalbox-abc_-1";
    let text = json!({ "data": { "node": { "id": "PVTI_1", "content": { "id": "DI_1", "body": format!("<!-- {marker} -->\nlong") } } } });
    let mut cut = response(200, &text);
    assert_eq!(bears(&cut, marker, NOW), Ok(true));
    assert_eq!(bears(&cut, "signalbox-other", NOW), Ok(false));
    cut.body = cut.body.slice(..cut.body.len() - 10);
    assert!(bears(&cut, marker, NOW).is_err(), "that is no answer of GitHub's");
    cut.truncated = true;
    assert_eq!(bears(&cut, marker, NOW), Ok(true));
    assert_eq!(
        draft(&cut, NOW).expect_err("it is not whole").kind(),
        OutcomeKind::Reject
    );
    let gone = json!({ "data": { "node": null }, "errors": [not_found(&["node"])] });
    assert_eq!(bears(&response(200, &gone), marker, NOW), Ok(false));
}

#[test]
fn drafts_of_others_and_of_other_times_are_left_out() {
    let item = |id: &str, at: &str, by: Value, content: Value| json!({ "id": id, "createdAt": at, "creator": by, "content": content });
    let draft = json!({ "id": "DI_1" });
    let us = json!({ "login": "bot[bot]" });
    let page = json!({ "data": { "viewer": { "login": "Bot" }, "node": { "items": {
        "pageInfo": { "hasPreviousPage": true, "startCursor": "abc" },
        "nodes": [
            item("1", "2026-01-01T00:00:00Z", us.clone(), draft.clone()),
            item("2", "2026-01-01T00:00:00Z", json!({ "login": "ann" }), draft.clone()),
            item("3", "2026-01-01T00:00:00Z", json!(null), draft.clone()),
            item("4", "2026-01-01T00:00:00Z", us.clone(), json!({})),
            item("5", "2026-01-01T00:00:00Z", us.clone(), json!(null)),
            item("6", "2025-12-31T00:00:00Z", us.clone(), draft.clone()),
            item("7", "2026-01-01T01:00:00Z", us, draft),
            null,
        ],
    } } } });
    let page = super::page(&response(200, &page), NOW).expect("a page");
    let found: Vec<&str> = page.drafts(NOW, NOW + Duration::from_secs(60)).collect();
    assert_eq!(found, ["3", "1"]);
    assert_eq!(page.before().as_deref(), Some("abc"));
}
