//! What is done where an answer was lost, and where GitHub refuses what an event names.

use super::*;

/// The request for the first draft is carried out, and its answer is lost.
fn lose(board: &mut Board, remembered: &mut Remembered) -> Delivery {
    let first = of("spec.created", "FEAT-1", 1);
    let (_, outcome) = attempt_at(board, remembered, &first, NOW, true);
    assert_eq!(outcome, None);
    first
}

/// A person has looked and replays it.
fn replayed(delivery: &Delivery, at: Timestamp) -> Delivery {
    let mut replayed = delivery.clone();
    replayed.generation += 1;
    replayed.since = at;
    replayed
}

#[test]
fn where_nobody_can_tell_who_replays_it_makes_it() {
    // Among too many drafts of that time, and behind more items than are looked through.
    for (before, after) in [(0, 130), (1_100, 0)] {
        let (mut board, mut remembered) = (Board::default(), Remembered::default());
        board.page = 100;
        board.crowd(before, NOW - Duration::from_secs(3_600));
        let first = lose(&mut board, &mut remembered);
        board.crowd(after, NOW + Duration::from_secs(1));
        // Somebody has dragged it up.
        let ours = board.items.remove(before);
        board.items.insert(0, ours);
        let later = NOW + Duration::from_secs(3_600);
        for delivery in [&first, &of("spec.approved", "FEAT-1", 2)] {
            let (_, outcome) = attempt_at(&mut board, &mut remembered, delivery, later, false);
            let Some(Outcome::Reject { reason }) = outcome else {
                panic!("{before} {after}: {outcome:?}");
            };
            assert!(reason.contains("replay"), "{reason}");
            assert_eq!(board.has().issues.len(), 1, "nothing is made by guess");
        }
        board.items.remove(0);
        let again = replayed(&first, later);
        let (_, outcome) = attempt_at(&mut board, &mut remembered, &again, later, false);
        assert_eq!(outcome, Some(Outcome::Delivered));
        assert_eq!(board.has().issues, ["Backlog"]);
        // And what comes after it goes on.
        let (_, outcome) = deliver(&mut board, &mut remembered, &of("spec.approved", "FEAT-1", 2));
        assert_eq!(outcome, Outcome::Delivered);
        assert_eq!(board.has().issues, ["Ready"]);
    }
}

#[test]
fn what_github_has_no_time_for_is_in_no_doubt() {
    for body in [
        r#"{"message":"You have exceeded a secondary rate limit."}"#,
        r#"{"data":null,"errors":[{"type":"RATE_LIMITED","message":"API rate limit exceeded"}]}"#,
    ] {
        let (mut board, mut remembered) = (Board::default(), Remembered::default());
        let first = of("spec.created", "FEAT-1", 1);
        let limited = crate::conformance::answer(200, body, OutcomeKind::Retry).response();
        let came = attempt(
            &*open(config()),
            &first,
            &mut remembered,
            NOW,
            |once, request| match request {
                Request::Http(_) if once => Some(limited.clone()),
                Request::Http(request) => Some(board.answer(request, NOW)),
                other => panic!("{other:?}"),
            },
        );
        assert_eq!(came.outcome.as_ref().map(Outcome::kind), Some(OutcomeKind::Retry));
        assert_eq!(remembered.refs.doubt("issue"), None);
        let (asked, outcome) = attempt_at(
            &mut board,
            &mut remembered,
            &first,
            NOW + Duration::from_secs(60),
            false,
        );
        assert_eq!(outcome, Some(Outcome::Delivered));
        assert_eq!(asked, ["SignalboxAddDraft", "SignalboxSetStatus"]);
    }
}

#[test]
fn an_issue_is_added_again_without_waiting() {
    let (mut board, mut remembered) = (Board::default(), Remembered::default());
    let first = of_data("spec.created", "FEAT-1", 1, &json!({ "node_id": "I_1" }));
    attempt_at(&mut board, &mut remembered, &first, NOW, true);
    let soon = NOW + Duration::from_secs(5);
    let (asked, outcome) = attempt_at(&mut board, &mut remembered, &first, soon, false);
    assert_eq!(outcome, Some(Outcome::Delivered));
    assert_eq!(asked, ["SignalboxAdd", "SignalboxSetStatus"]);
    assert_eq!(board.items.len(), 1);
}

#[test]
fn what_the_token_may_not_add_is_the_events_fault_where_it_may_write_to_the_project() {
    let (mut board, mut remembered) = (Board::default(), Remembered::default());
    let protected = of_data("spec.created", "FEAT-1", 1, &json!({ "node_id": "I_saml" }));
    let (_, outcome) = deliver(&mut board, &mut remembered, &protected);
    let Outcome::Reject { reason } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(reason.contains("data.node_id"), "{reason}");
    let (_, outcome) = deliver(&mut board, &mut remembered, &of("spec.approved", "FEAT-1", 2));
    assert_eq!(outcome, Outcome::Delivered);
    board.is_read_only = true;
    let mut other = Remembered {
        names: remembered.names,
        ..Remembered::default()
    };
    let given = of_data("spec.created", "FEAT-2", 3, &json!({ "node_id": "I_2" }));
    let (_, outcome) = deliver(&mut board, &mut other, &given);
    assert_eq!(outcome.kind(), OutcomeKind::Suspend, "{outcome:?}");
}

#[test]
fn a_draft_in_doubt_is_gone_with_its_project() {
    let (mut board, mut remembered) = (Board::default(), Remembered::default());
    let first = lose(&mut board, &mut remembered);
    board.id = "PVT_2";
    board.items.clear();
    let (asked, outcome) = deliver(&mut board, &mut remembered, &first);
    assert_eq!(outcome, Outcome::Delivered);
    assert_eq!(
        asked,
        ["Items", "Project", "Items", "AddDraft", "SetStatus"].map(|name| format!("Signalbox{name}"))
    );
}
