use signalbox_proto::act::{ActStatus, DeadFilter, Kind};

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
        generation: 50,
        status: ActStatus::Running,
        total: None,
        done: 5,
        skipped: 0,
        failed: 0,
        asked_by: String::new(),
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
        to: None,
        generation: u32::try_from(at).expect("small") + 40,
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
    let about: Vec<(u64, String, i64, u32)> = doubts
        .about(&act())
        .into_iter()
        .map(|doubt| (doubt.seq, doubt.act, doubt.at.secs(), doubt.generation))
        .collect();
    let expected = [(11, "cancelled", 1, 41), (11, "ours", 3, 43), (13, "cancelled", 1, 41)];
    assert_eq!(
        about,
        expected.map(|(seq, act, at, generation)| (seq, act.to_owned(), at, generation)),
        "behind the cursor, up to the end, each as its act sent it"
    );
    // An act that was stopped says itself what it has not sent: only that is known, of it alone.
    doubts.add(mark("ours", Did::Intend, &[14], 5));
    doubts.add(mark("ours", Did::Withdrawn, &[11, 13, 14], 6));
    let about: Vec<(u64, String)> = doubts
        .about(&act())
        .into_iter()
        .map(|doubt| (doubt.seq, doubt.act))
        .collect();
    assert_eq!(about, [(11, "cancelled".to_owned()), (13, "cancelled".to_owned())]);
    let mut some = act();
    some.filter.ids = vec!["dl_13".into()];
    assert_eq!(doubts.about(&some).len(), 1, "only those that it is about");
}

#[test]
fn an_act_counts_what_it_marked_itself_and_skips_what_any_did() {
    let mut seen = Seen::default();
    for mark in [
        mark("other", Did::Discarded, &[1, 2], 1),
        mark("ours", Did::Intend, &[3, 4, 5], 2),
        mark("ours", Did::Replayed, &[3, 5], 3),
        mark("ours", Did::Replayed, &[3], 4),
    ] {
        let at = mark.at;
        seen.add(mark, at, "ours");
    }
    assert_eq!(seen.own, HashSet::from([3, 5]));
    assert!([1, 2, 3, 5].iter().all(|seq| seen.marks.is_settled(*seq)));
    assert!(!seen.marks.is_settled(4));
}

#[test]
fn what_is_in_doubt_is_looked_for_by_the_servers_clock() {
    let mut seen = Seen::default();
    // Its keeper's clock was an hour ahead.
    seen.add(
        mark("other", Did::Intend, &[11], 3_700),
        Timestamp::from_secs(100),
        "ours",
    );
    let about = seen.doubts.about(&act());
    assert_eq!(about.iter().map(|doubt| doubt.at.secs()).collect::<Vec<_>>(), [100]);
}
