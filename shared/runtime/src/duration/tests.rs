use proptest::prelude::*;

use super::*;

#[test]
fn every_unit_is_read() {
    for (text, millis) in [
        ("0s", 0),
        ("250ms", 250),
        ("30s", 30_000),
        ("2m", 120_000),
        ("6h", 21_600_000),
        ("7d", 604_800_000),
        ("90s", 90_000),
    ] {
        assert_eq!(parse(text).unwrap(), Duration::from_millis(millis), "{text}");
    }
}

#[test]
fn anything_else_is_refused_with_an_example() {
    for text in [
        "",
        "30",
        "s",
        "1.5s",
        "-1s",
        " 1s",
        "1s ",
        "1 s",
        "1S",
        "1min",
        "1µs",
        "99999999999999999999d",
        "999999999999999d",
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("{text:?} is not a duration such as 250ms, 30s, 2m, 6h or 7d")
        );
    }
}

#[test]
fn the_greatest_whole_unit_is_written() {
    for (millis, text) in [
        (0, "0s"),
        (1_500, "1500ms"),
        (90_000, "90s"),
        (7_200_000, "2h"),
        (172_800_000, "2d"),
    ] {
        assert_eq!(format(Duration::from_millis(millis)), text);
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(millis in 0..=u64::MAX) {
        let duration = Duration::from_millis(millis);
        prop_assert_eq!(parse(&format(duration)).unwrap(), duration);
    }
}
