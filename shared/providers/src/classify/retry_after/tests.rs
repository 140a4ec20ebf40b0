use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(784_111_777); // 1994-11-06 08:49:37

fn check(value: &str, expected: Option<u64>) {
    assert_eq!(parse(value, NOW), expected.map(Duration::from_secs), "{value:?}");
}

#[test]
fn seconds_are_read() {
    check("0", Some(0));
    check("120", Some(120));
    check(" 7 ", Some(7));
    check("99999999999999999999999999", Some(u64::MAX));
}

#[test]
fn the_three_forms_of_a_date_are_read() {
    check("Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
    check("Sunday, 06-Nov-94 08:50:37 GMT", Some(60));
    check("Sun Nov  6 08:50:37 1994", Some(60));
    check("Wed Nov 16 08:49:37 1994", Some(10 * 86_400));
}

#[test]
fn a_time_that_has_passed_asks_for_nothing() {
    check("Sun, 06 Nov 1994 08:49:00 GMT", Some(0));
    check("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
}

#[test]
fn a_leap_second_is_taken_for_the_one_before_it() {
    check("Sun, 06 Nov 1994 08:49:60 GMT", Some(22));
}

#[test]
fn a_year_of_two_digits_lies_at_most_fifty_years_ahead() {
    assert_eq!(full_year(94, 1994), 1994);
    assert_eq!(full_year(44, 1994), 2044);
    assert_eq!(full_year(45, 1994), 1945);
    assert_eq!(full_year(1, 1999), 2001);
    assert_eq!(full_year(30, 2026), 2030);
    assert_eq!(full_year(76, 2026), 2076);
    assert_eq!(full_year(77, 2026), 1977);
}

#[test]
fn what_is_neither_form_says_nothing() {
    for value in [
        "",
        "-1",
        "+1",
        "1.5",
        "1 2",
        "soon",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sunday, 06-Nov-94-1 08:49:37 GMT",
        "Sun Nov  6 08:49:37 94",
        "1994-11-06T08:49:37Z",
        "6 é",
    ] {
        check(value, None);
    }
}

/// Writes a time in one of the three forms, by arithmetic that the reader does not share.
fn write(secs: i64, form: u8) -> String {
    let at = OffsetDateTime::from_unix_timestamp(secs).expect("in the calendar");
    let weekday = at.weekday().to_string();
    let (short, month) = (weekday.chars().take(3).collect::<String>(), at.month().to_string());
    let month: String = month.chars().take(3).collect();
    let clock = format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second());
    match form {
        0 => format!("{short}, {:02} {month} {:04} {clock} GMT", at.day(), at.year()),
        1 => format!("{weekday}, {:02}-{month}-{:02} {clock} GMT", at.day(), at.year() % 100),
        _ => format!("{short} {month} {:>2} {clock} {:04}", at.day(), at.year()),
    }
}

proptest! {
    #[test]
    fn every_written_date_reads_back(now in 0_i64..4_000_000_000, ahead in 0_i64..1_000_000_000, form in 0_u8..3) {
        let read = parse(&write(now + ahead, form), Timestamp::from_secs(now));
        prop_assert_eq!(read, Some(Duration::from_secs(ahead.unsigned_abs())));
    }

    #[test]
    fn any_text_is_read_without_a_panic(value in "\\PC*") {
        let _ = parse(&value, NOW);
    }

    #[test]
    fn dates_with_any_numbers_are_read_without_a_panic(
        day in "[0-9]{0,3}", year in "[0-9]{0,5}", clock in "[0-9:]{0,9}",
    ) {
        let _ = parse(&format!("Sun, {day} Nov {year} {clock} GMT"), NOW);
        let _ = parse(&format!("Sunday, {day}-Nov-{year} {clock} GMT"), NOW);
        let _ = parse(&format!("Sun Nov {day} {clock} {year}"), NOW);
    }
}
