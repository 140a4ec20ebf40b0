//! Whose figures a row has and of when, in one text; and which rows a window of time consists of.
//!
//! `<org>:<h|d>:<integration, or -->:<hour>[:<provider>]`. The hour is counted from 1970 and has seven digits, so that
//! texts are in the order of time, and a span of time is one range of the primary key.

use std::time::Duration;

use signalbox_proto::Timestamp;

/// An hour.
pub const HOUR: Duration = Duration::from_secs(3_600);
/// A day, which begins at midnight in UTC.
pub const DAY: Duration = Duration::from_secs(86_400);
const HOURS_OF_DAY: i64 = 24;

/// What stands in the place of an integration where a row is about a provider.
const ALL: &str = "-";

/// How long a row's while is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Hour,
    Day,
}

impl Level {
    pub(super) const ALL: [Self; 2] = [Self::Hour, Self::Day];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "h",
            Self::Day => "d",
        }
    }

    /// The hour with which the while begins that this hour is in.
    const fn begin(self, hour: i64) -> i64 {
        match self {
            Self::Hour => hour,
            Self::Day => hour - hour.rem_euclid(HOURS_OF_DAY),
        }
    }
}

/// The hour that a time is in.
pub(super) fn hour_of(at: Timestamp) -> i64 {
    at.nanos().div_euclid(HOUR.as_nanos() as i64).max(0)
}

fn time_of(hour: i64) -> Timestamp {
    Timestamp::from_nanos(hour.saturating_mul(HOUR.as_nanos() as i64))
}

/// The row of an integration, and the time at which its while begins.
pub(super) fn of_integration(org: &str, integration: &str, level: Level, hour: i64) -> (String, i64) {
    let begin = level.begin(hour);
    (place(org, integration, level, begin), time_of(begin).nanos())
}

/// The row of a provider, and the time at which its while begins.
pub(super) fn of_provider(org: &str, provider: &str, level: Level, hour: i64) -> (String, i64) {
    let begin = level.begin(hour);
    (
        format!("{}:{provider}", place(org, ALL, level, begin)),
        time_of(begin).nanos(),
    )
}

fn place(org: &str, whose: &str, level: Level, hour: i64) -> String {
    format!("{org}:{}:{whose}:{hour:07}", level.as_str())
}

/// Whose a row is: what stands behind the level. The integration, or the provider.
pub(super) fn whose(slot: &str) -> Option<&str> {
    let mut parts = slot.split(':').skip(2);
    match parts.next()? {
        ALL => parts.nth(1),
        integration => Some(integration),
    }
}

/// A span of whole hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    first: i64,
    /// The one behind it.
    end: i64,
    /// Whether each hour is wanted alone.
    by_hour: bool,
}

impl Window {
    /// From the hour that one time is in to the end of the hour that the other one ends in: it has an hour at least.
    pub fn of(since: Timestamp, until: Timestamp) -> Self {
        let first = hour_of(since);
        let last = hour_of(Timestamp::from_nanos(until.nanos().saturating_sub(1)));
        Self {
            first,
            end: last.max(first) + 1,
            by_hour: false,
        }
    }

    /// The same, with rows of hours alone and none of days.
    #[must_use]
    pub const fn by_hour(mut self) -> Self {
        self.by_hour = true;
        self
    }

    /// The same, with whole days.
    #[must_use]
    pub const fn by_day(mut self) -> Self {
        self.first = Level::Day.begin(self.first);
        self.end = Level::Day.begin(self.end + HOURS_OF_DAY - 1);
        self
    }

    /// When it begins.
    pub fn since(&self) -> Timestamp {
        time_of(self.first)
    }

    /// When it is over.
    pub fn until(&self) -> Timestamp {
        time_of(self.end)
    }

    /// How many rows a thing has of it at most.
    pub fn rows(&self) -> usize {
        let pieces = self.pieces().into_iter();
        let rows = pieces.map(|(level, first, end)| match level {
            Level::Hour => end - first,
            Level::Day => (end - first) / HOURS_OF_DAY,
        });
        rows.sum::<i64>().unsigned_abs() as usize
    }

    /// Its hours before the first midnight, the days, the hours behind the last midnight: those that there are.
    fn pieces(&self) -> Vec<(Level, i64, i64)> {
        let first_midnight = Level::Day.begin(self.first + HOURS_OF_DAY - 1);
        let last_midnight = Level::Day.begin(self.end);
        let pieces = if self.by_hour || first_midnight >= last_midnight {
            vec![(Level::Hour, self.first, self.end)]
        } else {
            vec![
                (Level::Hour, self.first, first_midnight),
                (Level::Day, first_midnight, last_midnight),
                (Level::Hour, last_midnight, self.end),
            ]
        };
        pieces.into_iter().filter(|(_, first, end)| first < end).collect()
    }

    /// The ranges of slots of an integration.
    pub(super) fn of_integration(&self, org: &str, integration: &str) -> Vec<(String, String)> {
        self.ranges(org, integration)
    }

    /// The ranges of slots of all providers.
    pub(super) fn of_providers(&self, org: &str) -> Vec<(String, String)> {
        self.ranges(org, ALL)
    }

    fn ranges(&self, org: &str, whose: &str) -> Vec<(String, String)> {
        let pieces = self.pieces().into_iter();
        pieces
            .map(|(level, first, end)| (place(org, whose, level, first), place(org, whose, level, end)))
            .collect()
    }
}

#[cfg(test)]
mod tests;
