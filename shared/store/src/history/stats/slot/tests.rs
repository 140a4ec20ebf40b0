//! A window is made of the right rows, and of few.

use proptest::prelude::*;
use signalbox_proto::Timestamp;

use super::{HOUR, Level, Window, hour_of, of_integration, of_provider, time_of, whose};

fn at(hour: i64, minutes: i64) -> Timestamp {
    Timestamp::from_nanos(time_of(hour).nanos() + minutes * 60_000_000_000)
}

#[test]
fn a_window_has_the_hours_that_its_ends_lie_in() {
    let window = Window::of(at(1_000, 59), at(1_002, 1));
    assert_eq!((window.since(), window.until()), (at(1_000, 0), at(1_003, 0)));
    // An end on the hour is no part of the next one.
    assert_eq!(Window::of(at(1_000, 0), at(1_002, 0)).until(), at(1_002, 0));
    assert_eq!(Window::of(at(1_000, 0), at(1_000, 0)).rows(), 1);
    let days = Window::of(at(1_000, 59), at(1_002, 1)).by_day();
    assert_eq!((days.since(), days.until()), (at(984, 0), at(1_008, 0)));
}

#[test]
fn ninety_days_are_few_rows() {
    let window = Window::of(at(500_003, 10), at(500_003 + 90 * 24, 10));
    assert!(window.rows() <= 90 + 46, "{}", window.rows());
    assert_eq!(window.by_hour().rows(), 90 * 24 + 1);
}

#[test]
fn a_slot_says_whose_it_is() {
    let (slot, begin) = of_integration("acme", "0199c0de", Level::Day, 49);
    assert_eq!(
        (slot.as_str(), begin),
        ("acme:d:0199c0de:0000048", 48 * HOUR.as_nanos() as i64)
    );
    assert_eq!(whose(&slot), Some("0199c0de"));
    let (slot, _) = of_provider("acme", "slack", Level::Hour, 49);
    assert_eq!((slot.as_str(), whose(&slot)), ("acme:h:-:0000049:slack", Some("slack")));
}

proptest! {
    #[test]
    fn each_hour_of_a_window_is_in_one_piece(first in 0_i64..5_000, hours in 1_i64..300, by_hour: bool) {
        let mut window = Window::of(at(first, 0), at(first + hours, 0));
        if by_hour {
            window = window.by_hour();
        }
        let covered: Vec<i64> = window.pieces().into_iter().flat_map(|(_, first, end)| first..end).collect();
        prop_assert_eq!(covered, (first..first + hours).collect::<Vec<_>>());
        for (level, first, end) in window.pieces() {
            prop_assert_eq!((level.begin(first), level.begin(end)), (first, end));
        }
        prop_assert_eq!(hour_of(window.since()), first);
    }
}
