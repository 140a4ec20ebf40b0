use proptest::prelude::*;
use signalbox_proto::{DeadReason, Name};

use super::*;
use crate::deliveries::{
    filter::Statuses,
    tests::{accepted, letter, of_event, org, tried},
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

/// The places and statuses of what is found.
fn found(kept: &Kept<'_>, most: usize) -> Vec<(u64, &'static str)> {
    let state = |_: &str| State::default();
    let found = kept.found(most, state);
    found
        .into_iter()
        .map(|story| {
            (
                place_of(story).created_at.secs() as u64,
                story.status(&State::default()).0,
            )
        })
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
            kept.record(tried(*seq, 0, 1, DELIVERED), Take::All);
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
    kept.record(tried(5, 0, 1, DELIVERED), Take::All);
    kept.record(tried(9, 0, 1, DELIVERED), Take::Known);
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
        kept.bury(seq, letter(seq, 0, DeadReason::Exhausted), Take::All);
    }
    // Replayed: one is delivered, one waits. Of another, nobody asked.
    kept.record(tried(1, 8, 1, DELIVERED), Take::Known);
    kept.wait(of_event(2, 8, 0), Place::Lane, Take::Known);
    kept.record(tried(4, 0, 1, DELIVERED), Take::Known);
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
        kept.bury(seq, letter(seq, 0, DeadReason::Exhausted), Take::All);
    }
    kept.settle();
    assert_eq!(found(&kept, 10), [(2, "discarded")]);
}

#[test]
fn the_time_is_that_of_the_acceptance() {
    let early = Filter {
        since: Some(accepted(3)),
        until: Some(accepted(5)),
        ..filter()
    };
    let org = org();
    let mut kept = Kept::new(&early, wanted(&org), 10);
    kept.record(tried(2, 0, 1, DELIVERED), Take::All);
    kept.bury(1, letter(3, 0, DeadReason::Exhausted), Take::All);
    kept.wait(of_event(4, 0, 0), Place::Lane, Take::All);
    kept.wait(of_event(5, 0, 0), Place::Lane, Take::All);
    assert_eq!(found(&kept, 10), [(4, "pending"), (3, "dead")]);
}

#[test]
fn a_page_ends_where_the_next_one_begins() {
    let org = org();
    let place = |seq: u64| Cursor {
        created_at: accepted(seq),
        id: of_event(seq, 0, 0).id,
    };
    let filter = Filter {
        before: Some(place(8)),
        ..filter()
    };
    let mut kept = Kept::new(&filter, wanted(&org), 10);
    kept.recall_page(DeliveryPage {
        items: Vec::new(),
        next: Some(place(5)),
    });
    for seq in 3..=9 {
        kept.wait(of_event(seq, 0, 0), Place::Lane, Take::All);
    }
    assert_eq!(found(&kept, 10), [(7, "pending"), (6, "pending"), (5, "pending")]);
    assert_eq!(kept.goes_on(), Some(place(5)));
    assert_eq!(kept.since(), Some(accepted(5)));
}

#[test]
fn where_reading_stopped_the_page_ends_though_it_is_short() {
    let (all, org) = (filter(), org());
    let mut kept = Kept::new(&all, wanted(&org), 10);
    for seq in [9, 8, 7, 6] {
        kept.wait(of_event(seq, 0, 0), Place::Lane, Take::All);
    }
    // Older ones may wait: only those accepted since the seventh are all read.
    kept.stop_at(accepted(7));
    assert_eq!(found(&kept, 10), [(9, "pending"), (8, "pending"), (7, "pending")]);
    let next = kept.goes_on().expect("the list goes on");
    let seventh = Cursor {
        created_at: accepted(7),
        id: of_event(7, 0, 0).id,
    };
    assert!(next < seventh && next.created_at == accepted(7));
    assert_eq!(filter::read_cursor(&filter::cursor(&next)).ok(), Some(next));
}

#[test]
fn where_the_oldest_were_forgotten_the_list_goes_on_before_them() {
    let filter = filter();
    let org = org();
    let mut kept = Kept::new(&filter, wanted(&org), 3);
    for seq in 1..=6 {
        kept.wait(of_event(seq, 0, 0), Place::Lane, Take::All);
    }
    assert!(kept.is_cut(3, 50));
    let next = kept.goes_on().map(|place| place.created_at);
    assert_eq!(
        next,
        Some(accepted(4)),
        "what comes next is older than all that is shown"
    );
}

#[test]
fn of_one_delivery_every_attempt_is_told() {
    let filter = filter();
    let org = org();
    let id = of_event(1, 0, 0).id;
    let ids = HashSet::from([id.clone()]);
    let mut kept = Kept::new(&filter, Wanted::Ids { org: &org, ids: &ids }, 10);
    kept.record(tried(1, 0, 2, DELIVERED), Take::All);
    kept.record(tried(1, 0, 1, Next::Retrying), Take::All);
    kept.record(tried(2, 0, 1, DELIVERED), Take::All);
    assert_eq!(kept.story(&id).map(|story| story.attempts().len()), Some(2));
    assert_eq!(found(&kept, 10).len(), 1);
}

#[test]
fn a_page_is_full_of_what_no_clock_can_have_stored_before_the_place_reached() {
    const APART: Duration = Duration::from_secs(60);
    let filter = filter();
    let org = org();
    let state = |_: &str| State::default();
    let mut kept = Kept::new(&filter, wanted(&org), 10);
    for seq in [150, 160, 200, 210, 220] {
        kept.record(tried(seq, 0, 1, DELIVERED), Take::All);
    }
    // There may be ends of 160 and later that were stored before 125: only 200 and later are sure to be all read.
    assert!(!kept.stop_where_full(at(125), APART, 3, state));
    assert_eq!(kept.goes_on(), None);
    assert!(kept.stop_where_full(at(125), APART, 2, state));
    // What was told of an event before that is of the next page, which finds all of it.
    assert_eq!(
        found(&kept, 10),
        [(220, "delivered"), (210, "delivered"), (200, "delivered")]
    );
    kept.record(tried(170, 0, 1, DELIVERED), Take::All);
    assert_eq!(found(&kept, 10).len(), 3);
    assert_eq!(kept.goes_on(), Some(filter::first_of(at(185))));
}
