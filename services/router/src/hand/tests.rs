use super::*;

fn hand() -> (Hand<&'static str>, Instant) {
    (Hand::new(Duration::from_secs(10)), Instant::now())
}

#[test]
fn a_repeat_of_an_event_in_hand_is_settled_with_it_by_the_newer_ticket() {
    let (mut hand, now) = hand();
    assert!(!hand.knows(1));
    hand.hold(1, "first");
    assert!(hand.knows(1));
    hand.repeated(1, "second");
    assert!(hand.acks.is_empty(), "it is still on its way");
    hand.routed(1, now);
    assert_eq!(hand.acks, ["second"]);
    assert_eq!(hand.len(), 0);
}

#[test]
fn a_repeat_of_a_settled_event_is_acknowledged_at_once() {
    let (mut hand, now) = hand();
    hand.hold(1, "routed");
    hand.routed(1, now);
    hand.hold(2, "without a route");
    hand.reported(2, now);
    assert_eq!(hand.acks, ["routed"], "OUTCOMES acknowledges what was reported");
    hand.repeated(1, "routed again");
    hand.repeated(2, "reported again");
    assert_eq!(hand.acks, ["routed", "routed again", "reported again"]);
}

#[test]
fn an_event_given_back_is_new_when_it_comes_again() {
    let (mut hand, _) = hand();
    hand.hold(1, "ticket");
    assert_eq!(hand.give_back(1), Some("ticket"));
    assert!(!hand.knows(1) && hand.len() == 0 && hand.acks.is_empty());
}

#[test]
fn an_event_without_a_route_stays_in_hand_until_its_report_is_stored() {
    let (mut hand, now) = hand();
    hand.hold(1, "ticket");
    hand.no_route.push(1);
    // Taken for a report, which is refused, and then for another.
    for _ in 0..2 {
        assert_eq!(std::mem::take(&mut hand.no_route), [1]);
        assert_eq!(hand.ticket(1), Some(&"ticket"));
        hand.no_route.push(1);
    }
    hand.reported(1, now);
    assert_eq!((hand.len(), hand.ticket(1)), (0, None));
}
