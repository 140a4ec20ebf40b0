use super::*;

const FAST: Duration = Duration::from_millis(5);
const LATE: Duration = Duration::from_secs(15);

fn places() -> Places {
    Places::new(128, 64, 64)
}

fn take_of(places: &mut Places, integration: &str, org: &str, now: Instant) -> usize {
    (0..1_000)
        .take_while(|_| places.enter(integration, org, now) == Place::Free)
        .count()
}

fn take(places: &mut Places, integration: &str, now: Instant) -> usize {
    take_of(places, integration, "o", now)
}

/// One that has just answered quickly.
fn quick(places: &mut Places, integration: &str, now: Instant) {
    assert_eq!(places.enter(integration, "o", now), Place::Free);
    places.leave(integration, Some(FAST), now);
}

#[test]
fn one_that_answers_quickly_has_its_share_and_all_have_the_whole() {
    let (mut places, now) = (places(), Instant::now());
    quick(&mut places, "a", now);
    quick(&mut places, "b", now);
    assert_eq!(take(&mut places, "a", now), 64);
    assert_eq!(places.enter("a", "o", now), Place::NoneOfItsOwn);
    assert_eq!(take(&mut places, "b", now), 64);
    assert_eq!(places.enter("c", "o", now), Place::None);
    places.leave("a", Some(FAST), now);
    assert_eq!(places.enter("c", "o", now), Place::Free);
}

#[test]
fn one_that_has_not_shown_how_it_answers_has_an_eighth() {
    let (mut places, now) = (places(), Instant::now());
    assert_eq!(take(&mut places, "a", now), 16);
    assert!(places.leave("a", Some(FAST), now), "its org's share is free");
    assert_eq!(take(&mut places, "a", now), 49);
}

#[test]
fn one_that_answers_slowly_has_less_where_the_others_need_places() {
    let (mut places, now) = (places(), Instant::now());
    assert_eq!(places.enter("slow", "o", now), Place::Free);
    places.leave("slow", Some(LATE), now);
    assert_eq!(take(&mut places, "slow", now), 16);
    for _ in 0..16 {
        places.leave("slow", Some(LATE), now);
    }
    quick(&mut places, "quick", now);
    assert_eq!(take(&mut places, "quick", now), 64);
    assert_eq!(take(&mut places, "slow", now), 8);
    places.leave("slow", Some(FAST), now);
    assert_eq!(take(&mut places, "slow", now), 57);
}

#[test]
fn any_number_that_hang_leave_places_to_those_that_answer_and_to_new_ones() {
    let (mut places, now) = (places(), Instant::now());
    for n in 0..20 {
        take_of(&mut places, &format!("hangs-{n}"), &format!("org-{n}"), now);
    }
    // What has not answered for a second is slow.
    let later = now + QUICK;
    places.tidy(later);
    for n in 20..200 {
        take_of(&mut places, &format!("hangs-{n}"), &format!("org-{n}"), later);
    }
    let later = later + QUICK;
    places.tidy(later);
    assert_eq!(places.enter("hangs-199", "org-199", later), Place::NoneOfShare);
    assert!(places.in_flight <= 96, "a quarter is left: {}", places.in_flight);
    // New ones: each of those that hang gives its place back at last, and does not get it again.
    for n in 0..200 {
        while places.of.get(&format!("hangs-{n}")).is_some_and(|of| of.in_flight > 0) {
            places.leave(&format!("hangs-{n}"), Some(LATE), later);
        }
    }
    for (integration, of) in [0, 1, 2, 3, 4, 5].map(|n| (format!("hangs-{n}"), format!("org-{n}"))) {
        take_of(&mut places, &integration, &of, later);
    }
    assert_eq!(places.in_flight, 64, "slow ones have a half");
    assert_eq!(take_of(&mut places, "new", "another", later), 16);
    places.leave("new", Some(FAST), later);
    assert_eq!(take_of(&mut places, "new", "another", later), 49);
}

#[test]
fn targets_of_an_org_that_hang_leave_places_to_other_orgs_and_to_its_own_first_requests() {
    let mut places = Places::new(128, 64, 32);
    let now = Instant::now();
    for n in 0..8 {
        take(&mut places, &format!("hangs-{n}"), now);
    }
    assert_eq!(
        places.in_flight, 38,
        "a half more than its share, for the first of each"
    );
    assert_eq!(places.enter("one-more", "o", now), Place::Free);
    assert_eq!(places.enter("hangs-0", "o", now), Place::NoneOfItsOwn);
    assert_eq!(places.enter("hangs-7", "o", now), Place::NoneOfShare);
    assert_eq!(take_of(&mut places, "another", "p", now), 16);
}

#[test]
fn one_that_was_quick_and_hangs_now_counts_among_those_that_hang() {
    let (mut places, now) = (places(), Instant::now());
    quick(&mut places, "a", now);
    assert_eq!(take(&mut places, "a", now), 64);
    assert_eq!(places.unproven, 0);
    let later = now + QUICK;
    places.tidy(later);
    assert_eq!((places.unproven, places.slow), (64, 64));
    for _ in 0..64 {
        places.leave("a", Some(LATE), later);
    }
    assert_eq!((places.in_flight, places.unproven, places.slow), (0, 0, 0));
    places.tidy(later + REMEMBERED);
    assert!(places.of.is_empty() && places.orgs.is_empty(), "{places:?}");
}

#[test]
fn a_place_that_was_not_used_says_nothing_of_the_target() {
    let (mut places, now) = (Places::new(4, 2, 4), Instant::now());
    quick(&mut places, "a", now);
    assert_eq!(places.enter("a", "o", now), Place::Free);
    places.leave("a", None, now);
    assert_eq!(take(&mut places, "a", now), 2);
}
