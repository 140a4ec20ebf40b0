use std::time::Duration;

use signalbox_proto::Timestamp;
use tokio::time::Instant;

use super::{Hand, SAID_FOR, SEEN_AFTER, Said};

const NOW: Timestamp = Timestamp::from_secs(1_000);

fn after(secs: u64) -> Timestamp {
    NOW + Duration::from_secs(secs)
}

#[test]
fn who_begins_takes_nothing_back_of_what_another_has_said_a_moment_ago() {
    let first = Said {
        through: 100,
        at: NOW,
        before: None,
    };
    let second = Said {
        through: 50,
        at: after(30),
        before: first.left(after(30)),
    };
    assert_eq!(
        second.through(after(30)),
        Some(100),
        "the other one may be at work still"
    );
    assert_eq!(second.through(after(60)), Some(50));
    assert_eq!(second.through(after(90)), None);
    // A third one leaves out neither.
    assert_eq!(second.left(after(40)), Some((100, after(30))));
    assert_eq!(second.left(after(60)), Some((50, after(30))));
    assert_eq!(second.left(after(90)), None);
}

#[test]
fn what_was_said_counts_once_others_have_seen_it_and_for_a_while() {
    let (mut hand, start) = (Hand::default(), Instant::now());
    assert_eq!((hand.through(start), hand.next()), (0, None));
    hand.said(10, start);
    assert_eq!((hand.through(start), hand.next()), (0, Some(start + SEEN_AFTER)));
    assert_eq!((hand.through(start + SEEN_AFTER), hand.next()), (10, None));
    assert_eq!(hand.through(start + SAID_FOR), 0, "it has to be said anew");
}

#[test]
fn what_is_said_ahead_leaves_what_was_said_before() {
    let (mut hand, start) = (Hand::default(), Instant::now());
    hand.said(10, start);
    let later = start + SEEN_AFTER;
    hand.said(30, later);
    assert_eq!(hand.through(later), 10);
    assert_eq!(hand.through(later + SEEN_AFTER), 30);
}
