//! Items of another project than that of the config, which its owner has changed.

use super::*;

/// One attempt by a config, an hour after the one before.
fn deliver_by(config: Value, board: &mut Board, remembered: &mut Remembered, delivery: &Delivery) -> Option<Outcome> {
    let now = NOW + Duration::from_secs(3_600 * delivery.event().seq);
    let came = attempt(&*open(config), delivery, remembered, now, |_, request| match request {
        Request::Http(request) => Some(board.answer(request, now)),
        other => panic!("{other:?}"),
    });
    came.outcome
}

#[test]
fn an_item_of_another_project_is_left_there_and_one_is_made_here() {
    let pr = json!({ "number": 42, "url": "https://github.com/org/repo/pull/42" });
    for second in [
        of("spec.approved", "FEAT-1", 2),
        of_data("pr.created", "FEAT-1", 2, &json!({ "pr": pr })),
    ] {
        let (mut board, mut remembered) = (Board::default(), Remembered::default());
        deliver(&mut board, &mut remembered, &of("spec.created", "FEAT-1", 1));
        board.id = "PVT_2";
        let config = || with(json!({ "project_number": 8 }));
        let outcome = deliver_by(config(), &mut board, &mut remembered, &second);
        assert_eq!(outcome, Some(Outcome::Delivered));
        assert_eq!(board.items.len(), 2);
        let outcome = deliver_by(config(), &mut board, &mut remembered, &of("pr.merged", "FEAT-1", 3));
        assert_eq!(outcome, Some(Outcome::Delivered));
        assert_eq!(board.has().issues, ["Backlog", "Done"]);
    }
}

#[test]
fn who_answers_another_project_each_time_does_not_get_an_item_each_time() {
    let (mut board, mut remembered) = (Board::default(), Remembered::default());
    let created = of("spec.created", "FEAT-1", 1);
    let came = attempt(
        &*open(config()),
        &created,
        &mut remembered,
        NOW,
        |_, request| match request {
            Request::Http(request) => {
                let answer = board.answer(request, NOW);
                board.items.iter_mut().for_each(|item| item.project = "PVT_9");
                Some(answer)
            }
            other => panic!("{other:?}"),
        },
    );
    assert_eq!(came.outcome.as_ref().map(Outcome::kind), Some(OutcomeKind::Reject));
    assert_eq!(board.items.len(), 1);
}
