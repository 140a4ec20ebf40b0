use std::time::Duration;

use proptest::prelude::*;
use signalbox_proto::{Timestamp, integration::RateLimit};

use super::{seen::Seen, spread::Spread};
use crate::counter::{Counted, Window};

/// The begin of a day, and so of an hour and of a minute.
const DAY: i64 = 20_000 * 86_400;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(DAY + secs)
}

fn window() -> impl Strategy<Value = Window> {
    prop_oneof![Just(Window::Minute), Just(Window::Hour), Just(Window::Day)]
}

proptest! {
    #[test]
    fn a_span_has_as_many_tokens_as_its_limit_all_within_it_and_in_order(
        window in window(), limit in 1_u32..=1_000_000, now in 0_i64..86_400,
    ) {
        let spread = Spread::at(window, limit, at(now));
        prop_assert!(spread.start() <= at(now) && at(now) < spread.end());
        prop_assert_eq!(spread.due(i64::from(limit) + 1), None);
        let mut last = spread.start();
        for number in [1, 2, limit / 3, limit / 2, limit - 1, limit].map(i64::from).into_iter().filter(|n| *n >= 1) {
            let due = spread.due(number).unwrap();
            prop_assert!(due >= spread.start() && due < spread.end());
            if number > 2 {
                prop_assert!(due >= last, "{number} of {limit}");
                last = due;
            }
        }
    }

    #[test]
    fn in_any_part_of_a_span_there_are_no_more_than_the_rate_and_a_burst(
        window in window(), limit in 1_u32..5_000, from in 0.0_f64..1.0, part in 0.0_f64..1.0,
    ) {
        let spread = Spread::at(window, limit, at(0));
        let span = Duration::from_secs(window.secs().unsigned_abs());
        let begin = spread.start() + span.mul_f64(from);
        let end = begin + span.mul_f64(part * (1.0 - from));
        let dues = (1..=i64::from(limit)).filter_map(|number| spread.due(number));
        let within = dues.filter(|due| (begin..=end).contains(due)).count() as f64;
        let most = f64::from(limit) * end.since(begin).as_secs_f64() / span.as_secs_f64() + f64::from(spread.burst()) + 1.0;
        prop_assert!(within <= most, "{within} of {limit}, at most {most}");
    }

    /// Workers that take any number at any times: what the counter grants them together.
    #[test]
    fn takers_never_get_more_than_the_limit_and_each_token_once(
        limit in 1_u32..500, takes in proptest::collection::vec((1_u32..40, 0_i64..60_000), 1..200),
    ) {
        let spread = Spread::at(Window::Minute, limit, at(0));
        let mut value = 0;
        let mut granted: Vec<Timestamp> = Vec::new();
        for (want, millis) in takes {
            let now = Timestamp::from_millis(at(0).millis() + millis);
            value += i64::from(want);
            let (slots, again) = spread.slots(value, want, now);
            prop_assert!(slots.iter().all(|due| *due <= now));
            prop_assert_eq!(again.is_some(), slots.len() < want as usize);
            if let Some(again) = again {
                prop_assert!(again > now);
            }
            value -= i64::from(want) - slots.len() as i64;
            granted.extend(slots);
        }
        prop_assert!(granted.len() <= limit as usize);
        let mut sorted = granted.clone();
        sorted.sort();
        let expected: Vec<Timestamp> = (1..=granted.len() as i64).filter_map(|number| spread.due(number)).collect();
        prop_assert_eq!(sorted, expected);
    }
}

#[test]
fn six_hundred_a_minute_are_ten_at_once_and_then_one_each_tenth_of_a_second() {
    let spread = Spread::at(Window::Minute, 600, at(30));
    assert_eq!(spread.burst(), 10);
    assert_eq!((spread.due(1), spread.due(10)), (Some(at(0)), Some(at(0))));
    assert_eq!(spread.due(11), Some(at(0) + Duration::from_millis(100)));
    assert_eq!(spread.due(600), Some(at(59)));
    let per_ten_secs = |from: i64| {
        let dues = (1..=600).filter_map(|number| spread.due(number));
        dues.filter(|due| (at(from)..at(from + 10)).contains(due)).count()
    };
    assert_eq!([0, 10, 20, 30, 40].map(per_ten_secs), [109, 100, 100, 100, 100]);
    assert_eq!(per_ten_secs(50), 91);
}

#[test]
fn a_limit_of_one_is_one_at_the_begin_of_each_span() {
    for window in [Window::Minute, Window::Hour, Window::Day] {
        let spread = Spread::at(window, 1, at(5));
        assert_eq!((spread.due(1), spread.due(2)), (Some(spread.start()), None));
        let (slots, again) = spread.slots(1, 1, at(5));
        assert_eq!((slots, again), (vec![at(0)], None));
        let (slots, again) = spread.slots(2, 1, at(5));
        assert_eq!((slots, again), (Vec::new(), Some(spread.end())));
    }
}

#[test]
fn the_longest_span_is_asked_first_and_what_is_not_limited_not_at_all() {
    let limit = RateLimit {
        per_minute: Some(60),
        per_hour: None,
        per_day: Some(1_000),
    };
    let windows: Vec<Window> = Spread::of(&limit, at(0)).iter().map(Spread::window).collect();
    assert_eq!(windows, [Window::Day, Window::Minute]);
    assert!(Spread::of(&RateLimit::default(), at(0)).is_empty());
}

/// An addition of one process to the counter `i` of the minute.
fn add(seen: &mut Seen, epoch: i64, add: i64, value: i64, seq: u64) -> i64 {
    let sent = seen.sent(Window::Minute);
    seen.answered(sent, Window::Minute, "i", epoch, add, Counted { value, seq })
}

#[test]
fn what_a_restarted_server_has_forgotten_is_added_once() {
    let mut seen = Seen::default();
    assert_eq!(add(&mut seen, 7, 3, 3, 10), 0);
    assert_eq!(add(&mut seen, 7, 2, 40, 90), 0);
    // The stream begins anew: the sum is its own addition alone.
    assert_eq!(add(&mut seen, 7, 2, 2, 1), 40);
    // What was added is there now.
    assert_eq!(add(&mut seen, 7, 1, 43, 3), 0);
    // Another key has its own to make up for; a later span has nothing.
    let sent = seen.sent(Window::Minute);
    assert_eq!(
        seen.answered(sent, Window::Minute, "other", 7, 1, Counted { value: 1, seq: 4 }),
        0
    );
    assert_eq!(add(&mut seen, 8, 1, 1, 5), 0);
}

#[test]
fn a_counter_that_another_process_has_made_up_for_is_left_alone() {
    let mut seen = Seen::default();
    add(&mut seen, 7, 1, 40, 90);
    assert_eq!(add(&mut seen, 7, 1, 60, 5), 0);
}

#[test]
fn a_lower_sum_alone_is_no_loss_as_tokens_are_given_back() {
    let mut seen = Seen::default();
    add(&mut seen, 7, 9, 40, 90);
    assert_eq!(add(&mut seen, 7, 1, 35, 92), 0);
    assert_eq!(add(&mut seen, 7, -5, 30, 93), 0);
}

#[test]
fn answers_that_overtake_each_other_are_no_restart() {
    let mut seen = Seen::default();
    add(&mut seen, 7, 1, 40, 90);
    let (first, second) = (seen.sent(Window::Minute), seen.sent(Window::Minute));
    let counted = |value, seq| Counted { value, seq };
    assert_eq!(seen.answered(second, Window::Minute, "i", 7, 1, counted(42, 92)), 0);
    assert_eq!(seen.answered(first, Window::Minute, "i", 7, 1, counted(41, 91)), 0);
    // Nor is a restart taken for two by what was sent before it.
    let (first, second) = (seen.sent(Window::Minute), seen.sent(Window::Minute));
    assert_eq!(seen.answered(first, Window::Minute, "i", 7, 1, counted(1, 1)), 42);
    assert_eq!(seen.answered(second, Window::Minute, "i", 7, 1, counted(44, 3)), 0);
}

#[test]
fn a_key_without_tokens_is_not_asked_for_until_it_has_some() {
    let limit = RateLimit {
        per_minute: Some(1),
        ..RateLimit::default()
    };
    let mut seen = Seen::default();
    seen.nothing_until("i", limit, at(60));
    assert_eq!(seen.again("i", &limit, at(10)), Some(at(60)));
    assert_eq!(seen.again("i", &limit, at(60)), None, "a token is due by then");
    assert_eq!(
        seen.again("i", &RateLimit::default(), at(10)),
        None,
        "its limit was changed"
    );
    assert_eq!(seen.again("other", &limit, at(10)), None);
    seen.may_have("i");
    assert_eq!(seen.again("i", &limit, at(10)), None);
}

#[test]
fn what_is_over_is_forgotten() {
    let mut seen = Seen::default();
    let epoch = Window::Minute.epoch(at(0));
    add(&mut seen, epoch, 1, 1, 1);
    let sent = seen.sent(Window::Hour);
    let hour = Window::Hour.epoch(at(0));
    seen.answered(sent, Window::Hour, "hourly", hour, 1, Counted { value: 1, seq: 1 });
    seen.tidy(at(0));
    assert_eq!(seen.len(), 2);
    seen.tidy(at(60));
    assert_eq!(seen.len(), 1);
    seen.tidy(at(3_600));
    assert_eq!(seen.len(), 0);
}
