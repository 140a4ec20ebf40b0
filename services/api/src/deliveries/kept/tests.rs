use proptest::prelude::*;
use signalbox_proto::{DeadReason, Name};

use super::*;
use crate::deliveries::{
    filter::Statuses,
    tests::{letter, of_event, org, tried},
};

fn filter() -> Filter {
    Filter {
        org: org(),
        integration: None,
        provider: None,
        event_type: None,
        statuses: Statuses::all(),
        since: None,
        until: None,
        before: None,
    }
}

fn wanted(org: &Name) -> Wanted<'_> {
    Wanted::Of {
        org,
        integration: None,
        provider: None,
    }
}

/// The sequences and statuses of what is found.
fn found(kept: &Kept<'_>, most: usize) -> Vec<(u64, &'static str)> {
    let state = |_: &str| State::default();
    let found = kept.found(most, state);
    found
        .into_iter()
        .map(|story| (key_of(story).seq, story.status(&State::default()).0))
        .collect()
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

const DELIVERED: Next = Next::Final(Final::Delivered);

proptest! {
    /// Whatever the order in which they are told, the newest are found, and nothing is called cut that is whole.
    #[test]
    fn of_many_the_newest_are_kept(order in Just((1..=60_u64).collect::<Vec<_>>()).prop_shuffle(), most in 1..60_usize) {
        let filter = filter();
        let org = org();
        let mut kept = Kept::new(&filter, wanted(&org), most);
        for seq in &order {
            kept.record(tried(*seq, 0, 1, DELIVERED), at(500), Take::All);
        }
        let expected: Vec<(u64, &str)> = (1..=60).rev().take(most).map(|seq| (seq, "delivered")).collect();
        prop_assert_eq!(found(&kept, most), expected);
        prop_assert!(!kept.is_cut(most, most));
        prop_assert_eq!(kept.is_cut(most, most + 1), most < 60);
    }
}

#[test]
fn what_was_forgotten_does_not_come_back() {
    let filter = filter();
    let org = org();
    let mut kept = Kept::new(&filter, wanted(&org), 2);
    for seq in [5, 9, 7] {
        kept.wait(of_event(seq, 0, 0), Place::Parked, Take::All);
    }
    kept.record(tried(5, 0, 1, DELIVERED), at(500), Take::All);
    kept.record(tried(9, 0, 1, DELIVERED), at(500), Take::Known);
    assert_eq!(found(&kept, 9), [(9, "delivered"), (7, "parked")]);
}

#[test]
fn another_stream_only_tells_how_what_is_known_stands() {
    let filter = Filter {
        statuses: Statuses::of("failed"),
        ..filter()
    };
    let org = org();
    let mut kept = Kept::new(&filter, wanted(&org), 10);
    for seq in [1, 2, 3] {
        kept.bury(seq, letter(seq, 0, DeadReason::Exhausted), at(400), Take::All);
    }
    // Replayed: one is delivered, one waits. Of another, nobody asked.
    kept.record(tried(1, 8, 1, DELIVERED), at(500), Take::Known);
    kept.wait(of_event(2, 8, 0), Place::Lane, Take::Known);
    kept.record(tried(4, 0, 1, DELIVERED), at(500), Take::Known);
    assert_eq!(found(&kept, 10), [(3, "dead")]);
}

#[test]
fn a_dead_letter_that_was_given_up_is_discarded() {
    let discarded = Filter {
        statuses: Statuses::of("discarded"),
        ..filter()
    };
    let org = org();
    let mut kept = Kept::new(&discarded, wanted(&org), 10);
    kept.mark(Mark {
        act: "a".to_owned(),
        did: Did::Discarded,
        seqs: vec![2],
        to: None,
        generation: 0,
        at: at(450),
    });
    for seq in [1, 2] {
        kept.bury(seq, letter(seq, 0, DeadReason::Exhausted), at(400), Take::All);
    }
    kept.settle();
    assert_eq!(found(&kept, 10), [(2, "discarded")]);
}

#[test]
fn the_time_is_that_of_the_end_and_a_later_end_counts() {
    let early = Filter {
        since: Some(at(300)),
        until: Some(at(450)),
        ..filter()
    };
    let org = org();
    let mut kept = Kept::new(&early, wanted(&org), 10);
    // Read backwards: the newest first.
    kept.record(tried(1, 8, 1, DELIVERED), at(500), Take::All);
    kept.bury(1, letter(1, 0, DeadReason::Exhausted), at(400), Take::All);
    kept.record(tried(2, 0, 1, DELIVERED), at(400), Take::All);
    kept.record(tried(3, 0, 1, DELIVERED), at(299), Take::All);
    assert_eq!(
        found(&kept, 10),
        [(2, "delivered")],
        "the replay of the first ended later"
    );
}

#[test]
fn of_one_delivery_every_attempt_is_told() {
    let filter = filter();
    let org = org();
    let id = of_event(1, 0, 0).id;
    let ids = HashSet::from([id.clone()]);
    let mut kept = Kept::new(&filter, Wanted::Ids { org: &org, ids: &ids }, 10);
    kept.record(tried(1, 0, 2, DELIVERED), at(500), Take::All);
    kept.record(tried(1, 0, 1, Next::Retrying), at(400), Take::All);
    kept.record(tried(2, 0, 1, DELIVERED), at(400), Take::All);
    assert_eq!(kept.story(&id).map(|story| story.attempts().len()), Some(2));
    assert_eq!(found(&kept, 10).len(), 1);
}
