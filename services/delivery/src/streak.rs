//! `suspend` answers in a row: when they are enough to suspend an integration.

use std::time::Duration;

use signalbox_proto::{Timestamp, delivery::Suspends};

/// Answers in a row.
pub(crate) const COUNT_MIN: u32 = 3;
/// The time that they must span.
pub(crate) const SPAN_MIN: Duration = Duration::from_secs(60);

/// The answers of one integration, as one worker saw them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Streak {
    row: Option<Suspends>,
    /// When something else than `suspend` was last answered.
    broken: Option<Timestamp>,
}

impl Streak {
    /// Another answer than `suspend`.
    pub(crate) fn other(&mut self, now: Timestamp) {
        *self = Self {
            row: None,
            broken: Some(now),
        };
    }

    /// A `suspend` answer; `carried` is what the delivery itself has met, perhaps at other workers.
    /// Returns what the delivery carries on, and whether it is enough.
    pub(crate) fn suspend(&mut self, carried: Option<Suspends>, at_once: bool, now: Timestamp) -> (Suspends, bool) {
        let add = |row: Option<Suspends>| {
            row.map_or(Suspends { count: 1, since: now }, |row| Suspends {
                count: row.count + 1,
                since: row.since,
            })
        };
        let row = add(self.row);
        self.row = Some(row);
        // What came before another answer is not in a row any more.
        let carried = carried.filter(|row| self.broken.is_none_or(|broken| row.since > broken));
        let own = add(carried);
        let enough = |row: &Suspends| row.count >= COUNT_MIN && now.since(row.since) >= SPAN_MIN;
        (own, at_once || enough(&row) || enough(&own))
    }

    /// The integration was suspended: count anew when it is back.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests;
