//! The value of `Retry-After`: seconds or an HTTP date (RFC 9110, 5.6.7 and 10.2.3).

use std::time::Duration;

use signalbox_proto::Timestamp;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// How long from `now`; zero for a time that has passed, `None` for what is neither form.
pub(super) fn parse(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only a number too large for 64 bits fails to parse, and the caller bounds it anyway.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = date(value, OffsetDateTime::from(now).year())?;
    Some(Timestamp::from(at.assume_utc()).since(now))
}

/// Reads a date in any of the three forms. The name of the weekday is not checked: the date says it.
fn date(value: &str, this_year: i32) -> Option<PrimitiveDateTime> {
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    match words.as_slice() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [weekday, day, month, year, clock, "GMT"] if weekday.ends_with(',') => at(number(year, 4)?, month, day, clock),
        // Sunday, 06-Nov-94 08:49:37 GMT
        [weekday, date, clock, "GMT"] if weekday.ends_with(',') => {
            let mut parts = date.split('-');
            let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
            let year = full_year(number(year, 2)?, this_year);
            if parts.next().is_some() {
                None
            } else {
                at(year, month, day, clock)
            }
        }
        // Sun Nov  6 08:49:37 1994
        [_, month, day, clock, year] => at(number(year, 4)?, month, day, clock),
        _ => None,
    }
}

/// A year of two digits is the one that lies at most 50 years ahead and less than 50 back.
fn full_year(two_digits: i32, this_year: i32) -> i32 {
    let first = this_year - 49;
    first + (two_digits - first).rem_euclid(100)
}

fn at(year: i32, month: &str, day: &str, clock: &str) -> Option<PrimitiveDateTime> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = MONTHS
        .iter()
        .zip(1..)
        .find(|(name, _)| **name == month)
        .map(|(_, number)| number)?;
    let day = number(day, day.len().clamp(1, 2))?;
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    // A leap second is legal and no calendar here has one.
    let second = number(second, 2)?.min(59);
    let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, u8::try_from(day).ok()?).ok()?;
    let time = Time::from_hms(
        number(hour, 2)?.try_into().ok()?,
        number(minute, 2)?.try_into().ok()?,
        second.try_into().ok()?,
    );
    Some(PrimitiveDateTime::new(date, time.ok()?))
}

fn number(text: &str, digits: usize) -> Option<i32> {
    if text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
