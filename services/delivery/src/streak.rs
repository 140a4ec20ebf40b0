//! `suspend` answers in a row: when they are enough to suspend an integration.

use std::{collections::HashMap, time::Duration};

use signalbox_proto::{Timestamp, delivery::Suspends};

/// Answers in a row.
pub(crate) const COUNT_MIN: u32 = 3;
/// The time that they must span.
pub(crate) const SPAN_MIN: Duration = Duration::from_secs(60);

/// For so long it is remembered that something else was answered: a delivery that was refused comes again
/// well within.
const BROKEN_FOR: Duration = Duration::from_secs(600);
/// Integrations kept before the old ones are looked for.
const KEPT_MAX: usize = 10_000;

/// The answers of all integrations, as one worker saw them.
#[derive(Debug)]
pub(crate) struct Streaks {
    streaks: HashMap<String, Streak>,
    /// How many there may be before the old ones are looked for again.
    sweep_at: usize,
}

impl Streaks {
    pub(crate) fn new() -> Self {
        Self {
            streaks: HashMap::new(),
            sweep_at: KEPT_MAX,
        }
    }

    /// Another answer than `suspend`.
    pub(crate) fn other(&mut self, integration: &str, now: Timestamp) {
        self.of(integration, now).other(now);
    }

    /// A `suspend` answer: see [`Streak::suspend`].
    pub(crate) fn suspend(
        &mut self,
        integration: &str,
        carried: Option<Suspends>,
        at_once: bool,
        now: Timestamp,
    ) -> (Suspends, bool) {
        self.of(integration, now).suspend(carried, at_once, now)
    }

    /// The integration was suspended: count anew when it is back.
    pub(crate) fn clear(&mut self, integration: &str) {
        self.streaks.remove(integration);
    }

    fn of(&mut self, integration: &str, now: Timestamp) -> &mut Streak {
        if !self.streaks.contains_key(integration) {
            if self.streaks.len() >= self.sweep_at {
                self.streaks.retain(|_, streak| !streak.is_old(now));
                self.sweep_at = (self.streaks.len() * 2).max(KEPT_MAX);
            }
            self.streaks.insert(integration.to_owned(), Streak::default());
        }
        self.streaks.get_mut(integration).expect("put there just now")
    }
}

/// The answers of one integration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Streak {
    row: Option<Suspends>,
    /// When something else than `suspend` was last answered.
    broken: Option<Timestamp>,
}

impl Streak {
    /// Another answer than `suspend`.
    fn other(&mut self, now: Timestamp) {
        *self = Self {
            row: None,
            broken: Some(now),
        };
    }

    /// A `suspend` answer; `carried` is what the delivery itself has met, perhaps at other workers.
    /// Returns what the delivery carries on, and whether it is enough.
    fn suspend(&mut self, carried: Option<Suspends>, at_once: bool, now: Timestamp) -> (Suspends, bool) {
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

    fn is_old(&self, now: Timestamp) -> bool {
        self.row.is_none() && self.broken.is_none_or(|broken| now.since(broken) >= BROKEN_FOR)
    }
}

#[cfg(test)]
mod tests;
