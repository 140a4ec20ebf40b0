use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect(text)
}

#[test]
fn rfc_3339_is_read_in_all_its_forms_and_written_in_one() {
    for (given, nanos, written) in [
        ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"),
        ("1970-01-01T00:00:00.000000001Z", 1, "1970-01-01T00:00:00.000000001Z"),
        ("1970-01-01T00:00:00.500Z", 500_000_000, "1970-01-01T00:00:00.5Z"),
        ("1970-01-01t00:00:01z", 1_000_000_000, "1970-01-01T00:00:01Z"),
        ("1970-01-01T02:00:00+02:00", 0, "1970-01-01T00:00:00Z"),
        ("1969-12-31T19:30:00-04:30", 0, "1970-01-01T00:00:00Z"),
        ("1969-12-31T23:59:59.999Z", -1_000_000, "1969-12-31T23:59:59.999Z"),
        (
            "2026-01-31T09:30:00Z",
            1_769_851_800_000_000_000,
            "2026-01-31T09:30:00Z",
        ),
        (
            "2024-02-29T00:00:00Z",
            1_709_164_800_000_000_000,
            "2024-02-29T00:00:00Z",
        ),
    ] {
        let time = at(given);
        assert_eq!((time.nanos(), time.to_string().as_str()), (nanos, written), "{given}");
    }
}

#[test]
fn digits_beyond_the_nanosecond_are_dropped() {
    assert_eq!(at("1970-01-01T00:00:00.1234567899Z").nanos(), 123_456_789);
}

#[test]
fn what_is_no_time_or_out_of_range_is_refused_with_an_example() {
    for text in [
        "",
        "now",
        "2026-01-31",
        "2026-01-31T09:30:00",
        "2026-01-31T09:30Z",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T09:30:00+25:00",
        "2026-01-31T09:30:00.Z",
        " 2026-01-31T09:30:00Z",
        "2026-01-31T09:30:00Z\n",
        "1677-09-21T00:12:43.145224191Z",
        "2262-04-11T23:47:16.854775808Z",
        "9999-12-31T23:59:59Z",
        "+010000-01-01T00:00:00Z",
        "1769851800",
    ] {
        let error = text.parse::<Timestamp>().expect_err(text);
        assert_eq!(error, InvalidTime(text.to_owned()));
        assert!(error.to_string().ends_with("such as 2026-01-31T09:30:00Z"), "{error}");
    }
}

#[test]
fn the_whole_range_can_be_written_and_read() {
    for time in [
        Timestamp::MIN,
        Timestamp::from_nanos(i64::MAX),
        Timestamp::from_nanos(-1),
        Timestamp::default(),
    ] {
        assert_eq!(at(&time.to_string()), time);
    }
    assert_eq!(Timestamp::MIN.to_string(), "1677-09-21T00:12:43.145224192Z");
    assert_eq!(
        Timestamp::from_nanos(i64::MAX).to_string(),
        "2262-04-11T23:47:16.854775807Z"
    );
}

#[test]
fn sums_differences_and_conversions_stay_in_range() {
    let last = Timestamp::from_nanos(i64::MAX);
    assert_eq!(last + Duration::from_nanos(1), last);
    assert_eq!(last + Duration::MAX, last);
    assert_eq!(Timestamp::MIN - Duration::MAX, Timestamp::MIN);
    assert_eq!(last.since(Timestamp::MIN), Duration::from_nanos(u64::MAX));
    assert_eq!(Timestamp::MIN.since(last), Duration::ZERO);
    assert_eq!(Timestamp::from_secs(i64::MAX), last);
    assert_eq!(Timestamp::from_millis(i64::MIN), Timestamp::MIN);
    assert_eq!(Timestamp::from_nanos_saturating(i128::MAX), last);
    assert_eq!(Timestamp::from_nanos_saturating(i128::MIN), Timestamp::MIN);
}

#[test]
fn whole_units_round_down_before_1970_too() {
    let time = Timestamp::from_nanos(-1);
    assert_eq!((time.millis(), time.secs()), (-1, -1));
    assert_eq!(
        (Timestamp::from_millis(1_500).secs(), Timestamp::from_secs(2).millis()),
        (1, 2_000)
    );
}

#[test]
fn json_carries_text_and_refuses_numbers() {
    let time = at("2026-01-31T09:30:00.25Z");
    let json = serde_json::to_string(&time).expect("JSON");
    assert_eq!(json, r#""2026-01-31T09:30:00.25Z""#);
    assert_eq!(serde_json::from_str::<Timestamp>(&json).expect("a time"), time);
    assert!(serde_json::from_str::<Timestamp>("1769851800").is_err());
}

proptest! {
    #[test]
    fn every_time_comes_back_from_both_forms(nanos: i64) {
        let time = Timestamp::from_nanos(nanos);
        prop_assert_eq!(at(&time.to_string()), time);
        let bytes = crate::wire::encode(&time).expect("bytes");
        prop_assert!(bytes.len() <= 9);
        prop_assert_eq!(crate::wire::decode::<Timestamp>(&bytes).expect("a time"), time);
        prop_assert_eq!(Timestamp::from(OffsetDateTime::from(time)), time);
    }

    #[test]
    fn no_text_makes_parsing_panic(text: String) {
        drop(text.parse::<Timestamp>());
    }

    #[test]
    fn adding_and_taking_away_undo_each_other(nanos in -(1_i64 << 61)..1_i64 << 61, wait in 0..1_u64 << 61) {
        let (time, wait) = (Timestamp::from_nanos(nanos), Duration::from_nanos(wait));
        prop_assert_eq!((time + wait) - wait, time);
        prop_assert_eq!((time + wait).since(time), wait);
    }
}
