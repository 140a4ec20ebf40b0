use super::*;

const WAIT: Duration = Duration::from_millis(250);
const ORG_MAX: usize = 384;
const SHORT: Duration = Duration::from_millis(5);

fn filled(now: Instant) -> Shares<u32> {
    let mut shares = Shares::new(4, ORG_MAX, WAIT);
    for _ in 0..4 {
        assert_eq!(shares.enter("hangs", "acme", now), Place::Free);
    }
    shares
}

#[test]
fn an_integration_that_hangs_holds_only_its_share() {
    let start = Instant::now();
    let mut shares = filled(start);
    assert_eq!(shares.enter("hangs", "acme", start), Place::Soon);
    shares.wait("hangs", "acme", 1, start);
    assert_eq!(shares.enter("hangs", "acme", start + WAIT), Place::None);
    assert_eq!(shares.enter("healthy", "acme", start + WAIT), Place::Free);
    assert_eq!(shares.overdue(start + WAIT), vec![1]);
    assert!(!shares.any_waiting());
}

#[test]
fn a_quick_target_lets_many_wait_in_order() {
    let start = Instant::now();
    let mut shares = filled(start);
    for delivery in 0..100 {
        assert_eq!(shares.enter("hangs", "acme", start), Place::Soon);
        shares.wait("hangs", "acme", delivery, start);
    }
    for delivery in 0..100 {
        assert_eq!(shares.leave("hangs", SHORT, start), Some(delivery));
    }
    for _ in 0..4 {
        assert_eq!(shares.leave("hangs", SHORT, start), None);
    }
    assert!(shares.slots.is_empty(), "an idle integration takes no memory");
    assert!(shares.orgs.is_empty(), "nor an idle org");
    assert_eq!(shares.in_flight, 0);
}

#[test]
fn where_many_hang_their_shares_shrink_and_quick_targets_keep_theirs() {
    let start = Instant::now();
    let mut shares: Shares<u32> = Shares::new(64, ORG_MAX, WAIT);
    let enter = |shares: &mut Shares<u32>, integration: &str, at: Instant| {
        (0..100)
            .filter(|_| shares.enter(integration, "acme", at) == Place::Free)
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
    shares.wait("hangs", "acme", 7, start);
    assert_eq!(shares.drain(), vec![7]);
    assert!(!shares.any_waiting());
}

/// Lets each of these integrations have so many deliveries at once; gives how many began.
fn burst(shares: &mut Shares<usize>, org: &str, integrations: usize, each: usize, at: Instant) -> usize {
    let mut began = 0;
    for number in 0..integrations * each {
        let integration = format!("{org}-{}", number % integrations);
        match shares.enter(&integration, org, at) {
            Place::Free => began += 1,
            Place::Soon => shares.wait(&integration, org, number, at),
            Place::None => {}
        }
    }
    began
}

#[test]
fn an_org_with_a_hundred_targets_that_hang_leaves_places_to_others() {
    let start = Instant::now();
    let mut shares: Shares<usize> = Shares::new(64, ORG_MAX, WAIT);
    assert_eq!(burst(&mut shares, "acme", 100, 20, start), ORG_MAX);
    let later = start + WAIT;
    assert_eq!(burst(&mut shares, "acme", 100, 20, later), 0);
    shares.overdue(later);
    assert_eq!(burst(&mut shares, "acme", 100, 20, later), 0);
    assert_eq!(burst(&mut shares, "other", 10, 20, later), 10 * FRESH_MAX);
    assert_eq!(
        shares.enter("another of acme", "acme", later),
        Place::Free,
        "a first request"
    );
    shares.leave("another of acme", SHORT, later);
    // As they time out, they begin no more than their share.
    shares.overdue(later + WAIT);
    for number in 0..100 {
        for _ in 0..20 {
            shares.leave(&format!("acme-{number}"), Duration::from_secs(15), later + WAIT);
        }
    }
    assert!(shares.orgs.get("acme").is_none_or(|org| org.unproven <= ORG_MAX));
}

#[test]
fn a_thousand_quick_targets_of_one_org_share_it_in_turn_and_none_is_sent_away() {
    let start = Instant::now();
    let mut shares: Shares<usize> = Shares::new(64, ORG_MAX, WAIT);
    let mut under_way: VecDeque<usize> = VecDeque::new();
    for number in 0..1_000 {
        match shares.enter(&number.to_string(), "acme", start) {
            Place::Free => under_way.push_back(number),
            Place::Soon => shares.wait(&number.to_string(), "acme", number, start),
            Place::None => panic!("{number} has no place"),
        }
    }
    assert_eq!(under_way.len(), ORG_MAX + ORG_MAX / 2);
    let mut done = Vec::new();
    while let Some(number) = under_way.pop_front() {
        done.push(number);
        under_way.extend(shares.leave(&number.to_string(), SHORT, start + SHORT));
    }
    assert_eq!(done, (0..1_000).collect::<Vec<_>>());
    assert!(shares.slots.is_empty() && shares.orgs.is_empty() && !shares.any_waiting());
}

#[test]
fn quick_targets_of_one_org_use_the_whole_worker_until_they_hang() {
    let start = Instant::now();
    let mut shares: Shares<usize> = Shares::new(64, ORG_MAX, WAIT);
    for number in 0..20 {
        let integration = format!("acme-{number}");
        assert_eq!(shares.enter(&integration, "acme", start), Place::Free);
        assert_eq!(shares.enter(&integration, "acme", start), Place::Free);
        shares.leave(&integration, SHORT, start);
    }
    assert_eq!(burst(&mut shares, "acme", 20, 63, start), 20 * 63);
    assert_eq!(shares.enter("fresh", "acme", start), Place::Free);
    assert_eq!(
        shares.enter("acme-0", "acme", start + WAIT),
        Place::Soon,
        "64 that do not answer"
    );
    assert_eq!(shares.orgs["acme"].unproven, 64 + 1);
}

proptest::proptest! {
    #[test]
    fn what_is_counted_is_what_is_under_way(steps in proptest::collection::vec((0_usize..12, 0_u8..3, 0_u64..2_000), 1..400)) {
        let mut now = Instant::now();
        let mut shares: Shares<usize> = Shares::new(4, 10, WAIT);
        let mut under_way: Vec<usize> = Vec::new();
        for (number, step, millis) in steps {
            now += Duration::from_millis(millis / 20);
            let (integration, org) = (format!("i{number}"), format!("o{}", number % 2));
            if step < 2 {
                match shares.enter(&integration, &org, now) {
                    Place::Free => under_way.push(number),
                    Place::Soon => shares.wait(&integration, &org, number, now),
                    Place::None => {}
                }
            } else if let Some(at) = under_way.iter().position(|other| *other == number) {
                under_way.swap_remove(at);
                under_way.extend(shares.leave(&integration, Duration::from_millis(millis), now));
            }
            shares.overdue(now);
            proptest::prop_assert_eq!(shares.in_flight, under_way.len());
            for (name, slot) in &shares.slots {
                proptest::prop_assert_eq!(slot.in_flight, under_way.iter().filter(|other| *name == format!("i{other}")).count());
                proptest::prop_assert!(slot.unproven <= slot.in_flight);
            }
            for (name, org) in &shares.orgs {
                let of = |slot: &&Slot<usize>| slot.org == *name;
                proptest::prop_assert_eq!(org.unproven, shares.slots.values().filter(of).map(|slot| slot.unproven).sum::<usize>());
                proptest::prop_assert!(org.unproven <= 15 + 4 * 6, "quick ones that hang now");
            }
        }
        while let Some(number) = under_way.pop() {
            under_way.extend(shares.leave(&format!("i{number}"), SHORT, now));
        }
        proptest::prop_assert_eq!((shares.in_flight, shares.slots.values().map(|slot| slot.in_flight).sum::<usize>()), (0, 0));
    }
}
