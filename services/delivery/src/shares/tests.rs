use super::*;

const WAIT: Duration = Duration::from_millis(250);

fn filled(now: Instant) -> Shares<u32> {
    let mut shares = Shares::new(4, WAIT);
    for _ in 0..4 {
        assert_eq!(shares.enter("hangs", now), Place::Free);
    }
    shares
}

#[test]
fn an_integration_that_hangs_holds_only_its_share() {
    let start = Instant::now();
    let mut shares = filled(start);
    assert_eq!(shares.enter("hangs", start), Place::Soon);
    shares.wait("hangs", 1, start);
    assert_eq!(shares.enter("hangs", start + WAIT), Place::None);
    assert_eq!(shares.enter("healthy", start + WAIT), Place::Free);
    assert_eq!(shares.overdue(start + WAIT), vec![1]);
    assert!(!shares.any_waiting());
}

#[test]
fn a_quick_target_lets_many_wait_in_order() {
    let start = Instant::now();
    let mut shares = filled(start);
    for delivery in 0..100 {
        assert_eq!(shares.enter("hangs", start), Place::Soon);
        shares.wait("hangs", delivery, start);
    }
    for delivery in 0..100 {
        assert_eq!(shares.leave("hangs", start), Some(delivery));
    }
    for _ in 0..4 {
        assert_eq!(shares.leave("hangs", start), None);
    }
    assert!(shares.slots.is_empty(), "an idle integration takes no memory");
}

#[test]
fn what_waits_is_handed_back_when_the_worker_stops() {
    let start = Instant::now();
    let mut shares = filled(start);
    shares.wait("hangs", 7, start);
    assert_eq!(shares.drain(), vec![7]);
    assert!(!shares.any_waiting());
}
