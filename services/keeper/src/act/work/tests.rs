use signalbox_proto::act::{DeadFilter, Kind};

use super::*;

fn act() -> Act {
    Act {
        id: "ours".into(),
        kind: Kind::Replay { to: None },
        filter: DeadFilter::default(),
        events: None,
        waiting: None,
        per_second: 1,
        through: 100,
        cursor: 10,
        ahead: None,
        generation: 0,
        status: ActStatus::Running,
        total: Some(20),
        done: 5,
        skipped: 0,
        failed: 0,
        asked_by: String::new(),
        message: String::new(),
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

fn moved() -> Act {
    Act {
        cursor: 20,
        done: 9,
        ..act()
    }
}

fn as_status(status: ActStatus, act: Act) -> Act {
    Act { status, ..act }
}

#[test]
fn an_act_that_a_person_stopped_is_told_how_far_it_came() {
    let stored = as_status(ActStatus::Cancelled, act());
    assert_eq!(
        met(&moved(), &act(), &stored),
        Some(as_status(ActStatus::Cancelled, moved()))
    );
    let asked_again = as_status(ActStatus::Running, act());
    assert_eq!(met(&moved(), &act(), &asked_again), Some(moved()));
}

#[test]
fn an_act_that_is_done_when_a_person_stops_it_is_done() {
    let done = as_status(ActStatus::Done, moved());
    let stored = as_status(ActStatus::Cancelled, act());
    assert_eq!(met(&done, &act(), &stored), Some(done));
}

#[test]
fn a_keeper_that_lost_its_lease_writes_nothing_over_another() {
    let ahead = Ahead {
        through: 30,
        at: Timestamp::default(),
    };
    for stored in [
        Act { cursor: 11, ..act() },
        Act { done: 6, ..act() },
        Act {
            ahead: Some(ahead),
            ..act()
        },
        as_status(ActStatus::Done, Act { cursor: 100, ..act() }),
        as_status(ActStatus::Cancelled, Act { skipped: 1, ..act() }),
    ] {
        assert_eq!(met(&moved(), &act(), &stored), None, "{stored:?}");
    }
}

#[test]
fn a_turn_ends_when_it_is_stopped_or_when_others_have_waited_long_enough() {
    let start = Instant::now();
    let turn = Turn::new("a".into(), start + Duration::from_secs(2));
    assert!(!turn.is_over(start + Duration::from_secs(9)), "nobody waits");
    turn.set_others(true);
    assert!(!turn.is_over(start + Duration::from_secs(1)));
    assert!(turn.is_over(start + Duration::from_secs(2)));
    turn.set_others(false);
    turn.clone().stop();
    assert!(turn.is_over(start));
}
