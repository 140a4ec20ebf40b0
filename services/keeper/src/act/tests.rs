use signalbox_broker::PublishError;

use super::*;

fn act() -> Act {
    Act {
        id: "ours".into(),
        kind: Kind::Replay { to: None },
        filter: DeadFilter::default(),
        per_second: 1,
        through: 100,
        cursor: 10,
        status: ActStatus::Running,
        done: 5,
        skipped: 0,
        failed: 0,
        message: String::new(),
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

fn mark(act: &str, did: Did, seqs: &[u64], at: i64) -> Mark {
    Mark {
        act: act.into(),
        did,
        seqs: seqs.to_vec(),
        at: Timestamp::from_secs(at),
    }
}

#[test]
fn what_any_act_intended_and_none_settled_is_in_doubt() {
    let mut doubts = Doubts::default();
    doubts.add(mark("cancelled", Did::Intend, &[9, 11, 12, 13, 101], 1));
    doubts.add(mark("cancelled", Did::Replayed, &[12], 2));
    doubts.add(mark("ours", Did::Intend, &[11], 3));
    doubts.add(mark("ours", Did::Intend, &[11], 4));
    let about: Vec<(u64, String, i64)> = doubts
        .about(&act())
        .into_iter()
        .map(|doubt| (doubt.seq, doubt.act, doubt.at.nanos() / 1_000_000_000))
        .collect();
    let expected = [(11, "cancelled", 1), (11, "ours", 3), (13, "cancelled", 1)];
    assert_eq!(
        about,
        expected.map(|(seq, act, at)| (seq, act.to_owned(), at)),
        "behind the cursor, up to the end"
    );
    let mut some = act();
    some.filter.ids = vec!["dl_13".into()];
    assert_eq!(doubts.about(&some).len(), 1, "only those that it is about");
}

#[test]
fn an_act_that_a_person_stopped_is_told_how_far_it_came() {
    let stored = Act {
        status: ActStatus::Cancelled,
        cursor: 5,
        done: 3,
        ..act()
    };
    let Met::Stopped(told) = met(&act(), &stored) else {
        panic!("it was stopped")
    };
    assert_eq!((told.status, told.cursor, told.done), (ActStatus::Cancelled, 10, 5));
}

#[test]
fn a_keeper_that_lost_its_lease_writes_nothing_over_another() {
    for stored in [
        act(),
        Act { cursor: 20, ..act() },
        Act {
            status: ActStatus::Done,
            cursor: 100,
            ..act()
        },
        Act {
            status: ActStatus::Cancelled,
            cursor: 20,
            done: 9,
            ..act()
        },
    ] {
        assert_eq!(met(&act(), &stored), Met::Overtaken, "{stored:?}");
    }
}

#[test]
fn what_fails_for_good_is_told_and_what_may_pass_is_not() {
    let failed = |source| {
        Err::<(), _>(Error::Publish {
            subject: "x".into(),
            source,
        })
    };
    let large = PublishError::Refused {
        code: 10_054,
        description: "message size exceeds maximum".into(),
    };
    let reason = refused(failed(large))
        .expect("it is the letter's fault")
        .expect_err("it failed");
    assert!(reason.contains("message size exceeds maximum"), "{reason}");
    assert!(refused(failed(PublishError::TimedOut)).is_err());
}

#[test]
fn a_stream_that_is_nearly_full_has_no_room() {
    let state = StreamState {
        messages: 1,
        bytes: 950,
        first_seq: 1,
        last_seq: 1,
        bytes_max: Some(1_000),
        created: Timestamp::default(),
    };
    assert!(!has_room(&state));
    assert!(has_room(&StreamState { bytes: 949, ..state }));
    assert!(has_room(&StreamState {
        bytes_max: None,
        ..state
    }));
}
