use super::*;

const WAIT: Duration = Duration::from_millis(250);
const SHORT: Duration = Duration::from_millis(5);

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
        assert_eq!(shares.leave("hangs", SHORT, start), Some(delivery));
    }
    for _ in 0..4 {
        assert_eq!(shares.leave("hangs", SHORT, start), None);
    }
    assert!(shares.slots.is_empty(), "an idle integration takes no memory");
    assert_eq!(shares.in_flight, 0);
}

#[test]
fn where_many_hang_their_shares_shrink_and_quick_targets_keep_theirs() {
    let start = Instant::now();
    let mut shares: Shares<u32> = Shares::new(64, WAIT);
    let enter = |shares: &mut Shares<u32>, integration: &str, at: Instant| {
        (0..100)
            .filter(|_| shares.enter(integration, at) == Place::Free)
            .count()
    };
    assert_eq!(enter(&mut shares, "first to hang", start), 64);
    assert_eq!(enter(&mut shares, "second to hang", start), 64);
    assert_eq!(enter(&mut shares, "third to hang", start), FRESH_MAX);
    assert_eq!(enter(&mut shares, "quick", start), FRESH_MAX);
    shares.leave("quick", SHORT, start);
    assert_eq!(enter(&mut shares, "quick", start), 64 - FRESH_MAX + 1);
    let later = start + Duration::from_secs(15);
    for _ in 0..64 {
        shares.leave("first to hang", Duration::from_secs(15), later);
    }
    assert_eq!(
        enter(&mut shares, "third to hang", later),
        0,
        "over its share for slow ones already"
    );
}

#[test]
fn what_waits_is_handed_back_when_the_worker_stops() {
    let start = Instant::now();
    let mut shares = filled(start);
    shares.wait("hangs", 7, start);
    assert_eq!(shares.drain(), vec![7]);
    assert!(!shares.any_waiting());
}
