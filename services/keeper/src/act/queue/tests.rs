use signalbox_proto::{
    Timestamp,
    act::{DeadFilter, Kind},
};

use super::*;

fn act(id: &str, status: ActStatus) -> Act {
    Act {
        id: id.into(),
        kind: Kind::Discard,
        filter: DeadFilter::default(),
        events: None,
        waiting: None,
        per_second: 1,
        through: 100,
        cursor: 10,
        ahead: None,
        generation: 0,
        status,
        total: None,
        done: 0,
        skipped: 0,
        failed: 0,
        asked_by: String::new(),
        message: String::new(),
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

impl Waiting {
    fn next_id(&mut self, now: Instant) -> Option<String> {
        self.next(now).map(|(id, _)| id)
    }
}

#[test]
fn acts_have_turns_in_the_order_in_which_they_were_asked_for_each_once() {
    let now = Instant::now();
    let mut waiting = Waiting::default();
    for id in ["a", "b", "a", "c"] {
        waiting.take(&act(id, ActStatus::Running), 1, None);
    }
    waiting.take(&act("b", ActStatus::Cancelled), 1, None);
    assert_eq!(waiting.next_id(now).as_deref(), Some("a"));
    waiting.push("a");
    assert_eq!(waiting.next_id(now).as_deref(), Some("c"));
    assert_eq!(waiting.next_id(now).as_deref(), Some("a"));
    assert_eq!(waiting.next(now), None);
}

#[test]
fn what_an_act_at_work_writes_is_not_a_wish_for_another_turn() {
    let now = Instant::now();
    let mut waiting = Waiting::default();
    let turn = Turn::new("a".into(), now);
    waiting.take(&act("a", ActStatus::Running), 1, Some(&turn));
    assert_eq!((waiting.next(now), turn.is_stopped()), (None, false));
    waiting.take(&act("a", ActStatus::Cancelled), 1, Some(&turn));
    assert!(turn.is_stopped());
    waiting.take(&act("a", ActStatus::Running), 1, Some(&turn));
    assert_eq!(
        waiting.next_id(now).as_deref(),
        Some("a"),
        "stopped and asked for again"
    );
}

#[test]
fn an_act_that_an_error_stopped_waits_a_moment_and_holds_up_no_other() {
    let now = Instant::now();
    let later = now + Duration::from_secs(5);
    let mut waiting = Waiting::default();
    waiting.push_later("a", later);
    waiting.take(&act("b", ActStatus::Running), 1, None);
    assert_eq!(waiting.wakes(), Some(later));
    assert_eq!(waiting.next_id(now).as_deref(), Some("b"));
    assert_eq!(waiting.next(now), None);
    assert_eq!(waiting.next_id(later).as_deref(), Some("a"));
    waiting.push_later("a", later);
    waiting.take(&act("a", ActStatus::Cancelled), 1, None);
    assert_eq!(waiting.wakes(), None);
}

#[test]
fn what_an_act_wrote_before_an_error_stopped_it_does_not_end_its_wait() {
    let now = Instant::now();
    let later = now + Duration::from_secs(5);
    let mut waiting = Waiting::default();
    waiting.push_later("a", later);
    // Heard only now, as the work on it and the reading of the bucket go side by side.
    waiting.take(&act("a", ActStatus::Running), 7, None);
    assert_eq!(waiting.next(now), None);
    assert_eq!(waiting.next(later), Some(("a".to_owned(), 7)));
    waiting.push_later("a", later);
    waiting.take(&act("a", ActStatus::Cancelled), 8, None);
    waiting.take(&act("a", ActStatus::Running), 9, None);
    assert_eq!(
        waiting.next(now),
        Some(("a".to_owned(), 9)),
        "a person stopped it and asked for it again"
    );
}
