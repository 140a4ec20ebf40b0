use clap::Parser as _;

use super::*;

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

fn selection(line: &str) -> (Selection, Option<String>) {
    let line = format!("deliveries {line}");
    match Line::try_parse_from(line.split(' ')).map(|line| line.command) {
        Ok(Command::Retry(args)) => (args.selection, None),
        Ok(Command::Discard(args)) => (args.selection, args.status),
        other => panic!("{line}: {other:?}"),
    }
}

fn said(line: &str) -> Result<Value, Failure> {
    let (selection, status) = selection(line);
    let mut body = body(&selection, status.as_deref())?;
    body.as_object_mut().expect("an object").remove("by");
    Ok(body)
}

#[test]
fn a_request_says_which_deliveries_in_one_way() {
    assert_eq!(
        said("discard --integration a --older-than 1h --status parked --dry-run").expect("it says which"),
        json!({
            "dry_run": true,
            "all": false,
            "filter": { "integration": "a", "older_than": "1h", "status": "parked" },
        })
    );
    assert_eq!(
        said("discard x y --rate 5").expect("it says which"),
        json!({ "dry_run": false, "all": false, "ids": ["x", "y"], "rate": 5 })
    );
    assert_eq!(said("retry --all").expect("it says which")["all"], true);
    for wrong in [
        "discard",
        "discard --all --integration a",
        "discard x --type a.b",
        "retry",
    ] {
        assert!(matches!(said(wrong), Err(Failure::Usage(_))), "{wrong}");
    }
}

#[test]
fn until_and_older_than_exclude_each_other() {
    let line = "deliveries discard --integration a --until 1h --older-than 1h";
    assert!(Line::try_parse_from(line.split(' ')).is_err());
}

#[test]
fn a_row_says_when_it_is_tried_again_or_why_it_was_not_delivered() {
    let waits = json!({ "next_attempt_at": "2026-11-21T10:00:00.5Z", "error_message": "503" });
    assert_eq!(next(&waits), "next 2026-11-21T10:00:00Z; 503");
    assert_eq!(
        next(&json!({ "next_attempt_at": "2026-11-21T10:00:00Z" })),
        "next 2026-11-21T10:00:00Z"
    );
    assert_eq!(next(&json!({ "error_message": "a\nb" })), "a b");
    assert_eq!(next(&json!({})), "");
    let parked = json!({ "status": "parked", "waiting_for": "pause" });
    assert_eq!(status(&parked), "parked (pause)");
}

#[test]
fn an_answer_that_is_cut_short_says_so() {
    let page = json!({ "items": [{ "id": "d" }], "next_cursor": "9.d", "truncated": true });
    let table = super::table(&page);
    assert!(
        table.contains("--cursor 9.d") && table.contains("there may be others"),
        "{table}"
    );
    let none = json!({ "items": [], "next_cursor": null, "truncated": false });
    assert_eq!(super::table(&none), "there is no such delivery");
    // Of many rows few are wanted: the page is empty, and the list goes on.
    let short = json!({ "items": [], "next_cursor": "9.d", "truncated": false });
    assert!(super::table(&short).contains("--cursor 9.d"));
}

#[test]
fn what_is_missing_is_said() {
    let away = json!({ "items": [{ "id": "d" }], "truncated": true, "hint": "the database does not answer" });
    let table = super::table(&away);
    assert!(
        table.contains("the database does not answer") && !table.contains("there may be others"),
        "{table}"
    );
    let gap = json!({ "stream": "OUTCOMES", "messages": 3, "since": "2026-11-21T10:00:00Z", "until": "2026-11-21T10:05:00Z" });
    let lost = super::table(&json!({ "items": [{ "id": "d" }], "gaps": [gap] }));
    assert!(
        lost.contains("3 messages of OUTCOMES between 2026-11-21T10:00:00Z and 2026-11-21T10:05:00Z"),
        "{lost}"
    );
}
