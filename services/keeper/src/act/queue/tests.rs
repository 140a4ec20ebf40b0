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

#[test]
fn acts_have_turns_in_the_order_in_which_they_were_asked_for_each_once() {
    let now = Instant::now();
    let mut waiting = Waiting::default();
    for id in ["a", "b", "a", "c"] {
        waiting.take(&act(id, ActStatus::Running), None);
    }
    waiting.take(&act("b", ActStatus::Cancelled), None);
    assert_eq!(waiting.next(now).as_deref(), Some("a"));
    waiting.push("a");
    assert_eq!(waiting.next(now).as_deref(), Some("c"));
    assert_eq!(waiting.next(now).as_deref(), Some("a"));
    assert_eq!(waiting.next(now), None);
}

#[test]
fn what_an_act_at_work_writes_is_not_a_wish_for_another_turn() {
    let now = Instant::now();
    let mut waiting = Waiting::default();
    let turn = Turn::new("a".into(), now);
    waiting.take(&act("a", ActStatus::Running), Some(&turn));
    assert_eq!((waiting.next(now), turn.is_stopped()), (None, false));
    waiting.take(&act("a", ActStatus::Cancelled), Some(&turn));
    assert!(turn.is_stopped());
    waiting.take(&act("a", ActStatus::Running), Some(&turn));
    assert_eq!(waiting.next(now).as_deref(), Some("a"), "stopped and asked for again");
}

#[test]
fn an_act_that_an_error_stopped_waits_a_moment_and_holds_up_no_other() {
    let now = Instant::now();
    let later = now + Duration::from_secs(5);
    let mut waiting = Waiting::default();
    waiting.push_later("a", later);
    waiting.take(&act("b", ActStatus::Running), None);
    assert_eq!(waiting.wakes(), Some(later));
    assert_eq!(waiting.next(now).as_deref(), Some("b"));
    assert_eq!(waiting.next(now), None);
    assert_eq!(waiting.next(later).as_deref(), Some("a"));
    waiting.push_later("a", later);
    waiting.take(&act("a", ActStatus::Cancelled), None);
    assert_eq!(waiting.wakes(), None);
}
