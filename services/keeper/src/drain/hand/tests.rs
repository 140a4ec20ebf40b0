use tokio::time::Instant;

use super::{Hand, SAID_FOR, SEEN_AFTER};

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
