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
    assert_eq!(wait(200, &secondary, &[]), Some(60));
    assert_eq!(wait(200, &secondary, &[("retry-after", "7")]), Some(7));
    let as_error = json!({ "data": null, "errors": [{ "message": "You have exceeded a secondary rate limit" }] });
    assert_eq!(wait(200, &as_error, &[]), Some(60));
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
    // A value of the event's own is no word of GitHub's.
    let quoted =
        json!({ "errors": [{ "type": "UNPROCESSABLE", "message": "Title 'Rate limit exceeded' is too long" }] });
    let quoted = made(&response(200, &quoted), NOW).expect_err("no yes");
    assert_eq!(quoted.kind(), OutcomeKind::Reject);
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
    assert_eq!(
        project(&response(200, &scopes), NOW).expect_err("an error").kind(),
        OutcomeKind::Suspend
    );
    // As who has a token without a right to projects is answered.
    let forbidden =
        json!({ "type": "FORBIDDEN", "path": ["organization", "projectV2"], "message": "Resource not accessible" });
    let without_right = json!({
        "data": { "organization": { "projectV2": null }, "user": null },
        "errors": [forbidden, not_found(&["user"])],
    });
    assert_eq!(
        project(&response(200, &without_right), NOW)
            .expect_err("no right")
            .kind(),
        OutcomeKind::Suspend
    );
    let items = json!({ "data": { "viewer": { "login": "bot" }, "node": null }, "errors": [not_found(&["node"])] });
    let items = page(&response(200, &items), NOW).map(|_| ());
    assert_eq!(items.expect_err("no project").kind(), OutcomeKind::Suspend);
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
fn a_mark_is_seen_at_the_beginning_also_where_the_text_behind_it_is_cut() {
    let mark = "<!-- signalbox-abc_-1 -->";
    let of = |body: &str| json!({ "data": { "node": { "id": "PVTI_1", "content": { "id": "DI_1", "body": body } } } });
    let mut cut = response(200, &of(&format!("{mark}\nlong")));
    assert_eq!(bears(&cut, mark, NOW), Ok(true));
    assert_eq!(bears(&cut, "<!-- signalbox-other -->", NOW), Ok(false));
    cut.body = cut.body.slice(..cut.body.len() - 10);
    assert!(bears(&cut, mark, NOW).is_err(), "that is no answer of GitHub's");
    cut.truncated = true;
    assert_eq!(bears(&cut, mark, NOW), Ok(true));
    assert_eq!(
        item(&cut, "PVT_1", NOW).expect_err("it is not whole").kind(),
        OutcomeKind::Reject
    );
    // A draft that quotes the mark is another one.
    for body in [
        format!("Copied:\n{mark}\nlong"),
        "signalbox-abc_-1".to_owned(),
        String::new(),
    ] {
        assert_eq!(bears(&response(200, &of(&body)), mark, NOW), Ok(false), "{body}");
    }
    let ends = format!("\r\n{mark}\r\nlong");
    assert_eq!(bears(&response(200, &of(&ends)), mark, NOW), Ok(true));
    let gone = json!({ "data": { "node": null }, "errors": [not_found(&["node"])] });
    assert_eq!(bears(&response(200, &gone), mark, NOW), Ok(false));
}

#[test]
fn what_the_token_may_not_see_of_others_is_nothing_of_ours() {
    let forbidden = |path: &[&str]| json!({ "type": "FORBIDDEN", "path": path, "message": "Protected by SAML" });
    let item = json!({
        "data": { "node": { "id": "PVTI_1", "content": null } }, "errors": [forbidden(&["node", "content"])],
    });
    assert!(matches!(
        super::item(&response(200, &item), "PVT_1", NOW),
        Ok(Is::Content)
    ));
    assert_eq!(bears(&response(200, &item), "<!-- signalbox-abc -->", NOW), Ok(false));
    let listed = json!({ "data": { "viewer": { "login": "bot" }, "node": { "items": {
        "pageInfo": { "hasPreviousPage": false, "startCursor": null },
        "nodes": [{ "id": "1", "createdAt": "2026-01-01T00:00:00Z", "creator": null, "content": null }],
    } } }, "errors": [forbidden(&["node", "items", "nodes", "content"])] });
    let page = super::page(&response(200, &listed), NOW).expect("a page");
    assert_eq!(page.drafts(NOW, NOW).count(), 0);
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
