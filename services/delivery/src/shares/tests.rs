use super::*;

const WAIT: Duration = Duration::from_millis(250);
const ORG_MAX: usize = 384;
const BY_LANE: ByLane = [ORG_MAX, 128, 64, 128];
const SHORT: Duration = Duration::from_millis(5);

fn filled(now: Instant) -> Shares<u32> {
    let mut shares = Shares::new(4, BY_LANE, WAIT);
    for _ in 0..4 {
        assert_eq!(shares.enter("hangs", "acme", Lane::Live, now), Place::Free);
    }
    shares
}

#[test]
fn an_integration_that_hangs_holds_only_its_share() {
    let start = Instant::now();
    let mut shares = filled(start);
    assert_eq!(shares.enter("hangs", "acme", Lane::Live, start), Place::Soon);
    shares.wait("hangs", "acme", Lane::Live, 1, start);
    assert_eq!(shares.enter("hangs", "acme", Lane::Live, start + WAIT), Place::None);
    assert_eq!(shares.enter("healthy", "acme", Lane::Live, start + WAIT), Place::Free);
    assert_eq!(shares.overdue(start + WAIT), vec![1]);
    assert!(!shares.any_waiting());
}

#[test]
fn a_quick_target_lets_many_wait_in_order() {
    let start = Instant::now();
    let mut shares = filled(start);
    for delivery in 0..100 {
        assert_eq!(shares.enter("hangs", "acme", Lane::Live, start), Place::Soon);
        shares.wait("hangs", "acme", Lane::Live, delivery, start);
    }
    for delivery in 0..100 {
        assert_eq!(shares.leave("hangs", Lane::Live, SHORT, start), Some(delivery));
    }
    for _ in 0..4 {
        assert_eq!(shares.leave("hangs", Lane::Live, SHORT, start), None);
    }
    assert!(shares.slots.is_empty(), "an idle integration takes no memory");
    assert!(shares.orgs.is_empty(), "nor an idle org");
    assert_eq!(shares.in_flight, 0);
}

#[test]
fn a_delivery_for_which_nothing_was_asked_says_nothing_of_its_target() {
    let start = Instant::now();
    let later = start + WAIT;
    let mut shares = filled(start);
    assert_eq!(shares.leave("hangs", Lane::Live, None, later), None);
    assert_eq!(shares.in_flight, 3);
    assert_eq!(
        shares.rest("hangs", later),
        Some(REST_SERVED),
        "it has not shown that it answers"
    );
    assert!(!shares.slots["hangs"].pace(WAIT, later).0, "nor that it is quick");
    shares.leave("hangs", Lane::Live, SHORT, later);
    assert_eq!(shares.rest("hangs", later), None);
    assert!(shares.slots["hangs"].pace(WAIT, later).0);
}

#[test]
fn where_many_hang_their_shares_shrink_and_quick_targets_keep_theirs() {
    let start = Instant::now();
    let mut shares: Shares<u32> = Shares::new(64, BY_LANE, WAIT);
    let enter = |shares: &mut Shares<u32>, integration: &str, at: Instant| {
        (0..100)
            .filter(|_| shares.enter(integration, "acme", Lane::Live, at) == Place::Free)
            .count()
    };
    assert_eq!(enter(&mut shares, "first to hang", start), 64);
    assert_eq!(enter(&mut shares, "second to hang", start), 64);
    assert_eq!(enter(&mut shares, "third to hang", start), FRESH_MAX);
    assert_eq!(enter(&mut shares, "quick", start), FRESH_MAX);
    shares.leave("quick", Lane::Live, SHORT, start);
    assert_eq!(enter(&mut shares, "quick", start), 64 - FRESH_MAX + 1);
    let later = start + Duration::from_secs(15);
    for _ in 0..64 {
        shares.leave("first to hang", Lane::Live, Duration::from_secs(15), later);
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
    shares.wait("hangs", "acme", Lane::Live, 7, start);
    assert_eq!(shares.drain(), vec![7]);
    assert!(!shares.any_waiting());
}

/// Lets each of these integrations have so many deliveries at once; gives how many began.
fn burst(shares: &mut Shares<usize>, org: &str, integrations: usize, each: usize, at: Instant) -> usize {
    let mut began = 0;
    for number in 0..integrations * each {
        let integration = format!("{org}-{}", number % integrations);
        match shares.enter(&integration, org, Lane::Live, at) {
            Place::Free => began += 1,
            Place::Soon => shares.wait(&integration, org, Lane::Live, number, at),
            Place::None => {}
        }
    }
    began
}

#[test]
fn an_org_with_a_hundred_targets_that_hang_leaves_places_to_others() {
    let start = Instant::now();
    let mut shares: Shares<usize> = Shares::new(64, BY_LANE, WAIT);
    assert_eq!(burst(&mut shares, "acme", 100, 20, start), ORG_MAX);
    let later = start + WAIT;
    assert_eq!(burst(&mut shares, "acme", 100, 20, later), 0);
    shares.overdue(later);
    assert_eq!(burst(&mut shares, "acme", 100, 20, later), 0);
    assert_eq!(burst(&mut shares, "other", 10, 20, later), 10 * FRESH_MAX);
    assert_eq!(
        shares.enter("another of acme", "acme", Lane::Live, later),
        Place::Free,
        "a first request"
    );
    shares.leave("another of acme", Lane::Live, SHORT, later);
    // As they time out, they begin no more than their share.
    shares.overdue(later + WAIT);
    for number in 0..100 {
        for _ in 0..20 {
            shares.leave(
                &format!("acme-{number}"),
                Lane::Live,
                Duration::from_secs(15),
                later + WAIT,
            );
        }
    }
    assert!(shares.orgs.get("acme").is_none_or(|org| org.unproven[0] <= ORG_MAX));
}

#[test]
fn a_thousand_quick_targets_of_one_org_share_it_in_turn_and_none_is_sent_away() {
    let start = Instant::now();
    let mut shares: Shares<usize> = Shares::new(64, BY_LANE, WAIT);
    let mut under_way: VecDeque<usize> = VecDeque::new();
    for number in 0..1_000 {
        match shares.enter(&number.to_string(), "acme", Lane::Live, start) {
            Place::Free => under_way.push_back(number),
            Place::Soon => shares.wait(&number.to_string(), "acme", Lane::Live, number, start),
            Place::None => panic!("{number} has no place"),
        }
    }
    assert_eq!(under_way.len(), ORG_MAX + ORG_MAX / 2);
    let mut done = Vec::new();
    while let Some(number) = under_way.pop_front() {
        done.push(number);
        under_way.extend(shares.leave(&number.to_string(), Lane::Live, SHORT, start + SHORT));
    }
    assert_eq!(done, (0..1_000).collect::<Vec<_>>());
    assert!(shares.slots.is_empty() && shares.orgs.is_empty() && !shares.any_waiting());
}

#[test]
fn quick_targets_of_one_org_use_the_whole_worker_until_they_hang() {
    let start = Instant::now();
    let mut shares: Shares<usize> = Shares::new(64, BY_LANE, WAIT);
    for number in 0..20 {
        let integration = format!("acme-{number}");
        assert_eq!(shares.enter(&integration, "acme", Lane::Live, start), Place::Free);
        assert_eq!(shares.enter(&integration, "acme", Lane::Live, start), Place::Free);
        shares.leave(&integration, Lane::Live, SHORT, start);
    }
    assert_eq!(burst(&mut shares, "acme", 20, 63, start), 20 * 63);
    assert_eq!(shares.enter("fresh", "acme", Lane::Live, start), Place::Free);
    assert_eq!(
        shares.enter("acme-0", "acme", Lane::Live, start + WAIT),
        Place::Soon,
        "64 that do not answer"
    );
    assert_eq!(shares.orgs["acme"].unproven, [64 + 1, 0, 0, 0]);
}

#[test]
fn each_lane_has_a_share_of_its_own() {
    let start = Instant::now();
    let mut shares: Shares<usize> = Shares::new(64, BY_LANE, WAIT);
    assert_eq!(burst(&mut shares, "acme", 100, 20, start), ORG_MAX);
    let mut began = 0;
    for number in 0..1_000 {
        let integration = format!("acme-{}", number % 100);
        began += usize::from(shares.enter(&integration, "acme", Lane::Bulk, start) == Place::Free);
    }
    assert_eq!(began, 128, "half of the lane of drains and replays");
    assert_eq!(shares.enter("near", "other", Lane::Bulk, start), Place::Free);
    assert_eq!(shares.rest("acme-0", start), Some(REST_SERVED));
    assert_eq!(shares.rest("acme-100", start), Some(REST_UNSERVED));
    shares.leave("acme-0", Lane::Live, Duration::from_secs(15), start);
    assert_eq!(
        shares.rest("acme-0", start),
        Some(REST_SERVED),
        "a timeout is no answer"
    );
    shares.leave("acme-0", Lane::Live, Duration::from_secs(2), start);
    assert_eq!(shares.rest("acme-0", start), None, "it is slow, and answers");
}

proptest::proptest! {
    #[test]
    fn what_is_counted_is_what_is_under_way(steps in proptest::collection::vec((0_usize..12, 0_usize..4, 0_u8..3, 0_u64..2_000), 1..400)) {
        let mut now = Instant::now();
        let max = [10, 8, 6, 4];
        let mut shares: Shares<(usize, Lane)> = Shares::new(4, max, WAIT);
        let mut under_way: Vec<(usize, Lane)> = Vec::new();
        for (number, lane, step, millis) in steps {
            now += Duration::from_millis(millis / 20);
            let lane = Lane::ALL[lane];
            let (integration, org) = (format!("i{number}"), format!("o{}", number % 2));
            if step < 2 {
                match shares.enter(&integration, &org, lane, now) {
                    Place::Free => under_way.push((number, lane)),
                    Place::Soon => shares.wait(&integration, &org, lane, (number, lane), now),
                    Place::None => {}
                }
            } else if let Some(at) = under_way.iter().position(|other| other.0 == number) {
                let (_, lane) = under_way.swap_remove(at);
                under_way.extend(shares.leave(&integration, lane, Duration::from_millis(millis), now));
            }
            shares.overdue(now);
            proptest::prop_assert_eq!(shares.in_flight, under_way.len());
            for (name, slot) in &shares.slots {
                for lane in Lane::ALL {
                    let of = |other: &&(usize, Lane)| *name == format!("i{}", other.0) && other.1 == lane;
                    proptest::prop_assert_eq!(slot.in_flight[lane as usize], under_way.iter().filter(of).count());
                    proptest::prop_assert!(slot.unproven[lane as usize] <= slot.in_flight[lane as usize]);
                }
            }
            for (name, org) in &shares.orgs {
                for (lane, max) in max.iter().enumerate() {
                    let of = |slot: &&Slot<(usize, Lane)>| slot.org == *name;
                    let counted: usize = shares.slots.values().filter(of).map(|slot| slot.unproven[lane]).sum();
                    proptest::prop_assert_eq!(org.unproven[lane], counted);
                    proptest::prop_assert!(counted <= max * 3 / 2 + 4 * 6, "quick ones that hang now");
                }
            }
        }
        while let Some((number, lane)) = under_way.pop() {
            under_way.extend(shares.leave(&format!("i{number}"), lane, SHORT, now));
        }
        proptest::prop_assert_eq!((shares.in_flight, shares.slots.values().map(Slot::under_way).sum::<usize>()), (0, 0));
    }
}
