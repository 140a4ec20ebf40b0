//! How many deliveries may be taken out now: a window that follows the target, and a rate.

use std::time::Duration;

use tokio::time::Instant;

/// The least and the first window.
const WINDOW_MIN: u64 = 32;
/// The greatest window.
const WINDOW_MAX: u64 = 4_096;

/// How many deliveries of an integration may be in its lanes at a time. It doubles when they are
/// taken as fast as they come and halves when they are not.
#[derive(Debug)]
pub(crate) struct Window(u64);

impl Window {
    pub(crate) fn new() -> Self {
        Self(WINDOW_MIN)
    }

    /// How many more may go, with so many there.
    pub(crate) fn more(&mut self, there: u64) -> u64 {
        if there * 4 <= self.0 {
            self.0 = (self.0 * 2).min(WINDOW_MAX);
        } else if there * 4 >= self.0 * 3 {
            self.0 = (self.0 / 2).max(WINDOW_MIN);
        }
        self.0.saturating_sub(there)
    }
}

/// How much late turns are made up for: sleeps are a millisecond long at least, and so longer than the turns of a
/// high rate. Not more, because what is made up for comes in a burst, and live deliveries wait behind it.
const LATE_MAX: Duration = Duration::from_millis(3);

/// A rate, spread over time.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: Option<u32>,
    next: Instant,
}

impl Pace {
    pub(crate) fn new(per_second: Option<u32>, now: Instant) -> Self {
        Self { per_second, next: now }
    }

    /// When the next one may go; takes its turn.
    pub(crate) fn take(&mut self, now: Instant) -> Instant {
        let Some(per_second) = self.per_second else { return now };
        let at = self.next.max(now.checked_sub(LATE_MAX).unwrap_or(now));
        self.next = at + Duration::from_secs(1) / per_second.max(1);
        at.max(now)
    }
}

#[cfg(test)]
mod tests;
