//! What changes of deliveries mean for the figures: pure.
//!
//! What a row says: at the hour since which it stands so, one delivery of that status; where it arrived without a replay,
//! how long that took; at the hour of each attempt, one of its outcome and how long it took. A change takes away what
//! the row said before, and adds what it says now. Attempts are never taken away because the row left them out.

use std::{cmp::Ordering, collections::BTreeMap};

use signalbox_proto::{Timestamp, ledger::Final, outcome::Next};

use super::{
    Figures,
    figures::Count,
    slot::{self, Level, hour_of},
};
use crate::history::{Entry, Recorded, Status};

/// Whose figures: org, provider, integration.
type Whose<'a> = (&'a str, &'a str, &'a str);

/// What is to be added to the figures of each integration and hour.
#[derive(Debug, Default)]
pub(super) struct Tally<'a> {
    changes: BTreeMap<(Whose<'a>, i64), Figures>,
}

impl<'a> Tally<'a> {
    /// Counts a row that was so before, if it was known, and is so now.
    pub(super) fn note(&mut self, before: Option<&Recorded>, after: &'a Recorded) {
        let whose = (after.org.as_str(), after.provider.as_str(), after.integration.as_str());
        let was = before.map(End::of);
        let is = End::of(after);
        if was.as_ref() != Some(&is) {
            if let Some(was) = was {
                self.end(whose, &was, -1);
            }
            self.end(whose, &is, 1);
        }
        let before = before.map_or(&[][..], |before| before.history().entries());
        self.attempts(whose, before, after.history().entries());
    }

    fn end(&mut self, whose: Whose<'a>, end: &End, times: i64) {
        let Some(count) = Count::of_status(end.status) else {
            return;
        };
        let figures = self.figures(whose, end.at);
        figures.tell(count, times);
        if let Some(ms) = end.latency_ms {
            figures.latency.count(ms, times);
        }
    }

    /// Both in the order of their numbers.
    fn attempts(&mut self, whose: Whose<'a>, mut before: &[Entry], mut after: &[Entry]) {
        while let Some((is, rest)) = after.split_first() {
            let order = before
                .first()
                .map_or(Ordering::Greater, |was| number(was).cmp(&number(is)));
            match (order, before.split_first()) {
                // Left out now.
                (Ordering::Less, Some((_, others))) => {
                    before = others;
                    continue;
                }
                (Ordering::Equal, Some((was, others))) => {
                    before = others;
                    if Sent::of(was) != Sent::of(is) {
                        self.attempt(whose, was, -1);
                        self.attempt(whose, is, 1);
                    }
                }
                _ => self.attempt(whose, is, 1),
            }
            after = rest;
        }
    }

    fn attempt(&mut self, whose: Whose<'a>, entry: &Entry, times: i64) {
        let Some(Sent { at, count, ms }) = Sent::of(entry) else {
            return;
        };
        let figures = self.figures(whose, at);
        figures.tell(count, times);
        figures.duration.count(ms, times);
    }

    fn figures(&mut self, whose: Whose<'a>, at: Timestamp) -> &mut Figures {
        self.changes.entry((whose, hour_of(at))).or_default()
    }

    /// The rows that change, each with the time at which its while begins, and what is to be added to it.
    pub(super) fn slots(&self) -> BTreeMap<(String, i64), Figures> {
        let mut slots: BTreeMap<(String, i64), Figures> = BTreeMap::new();
        let changes = self.changes.iter().filter(|(_, figures)| !figures.is_empty());
        for (((org, provider, integration), hour), figures) in changes {
            for level in Level::ALL {
                for slot in [
                    slot::of_integration(org, integration, level, *hour),
                    slot::of_provider(org, provider, level, *hour),
                ] {
                    slots.entry(slot).or_default().add(figures);
                }
            }
        }
        slots
    }
}

/// How a row says that its delivery stands.
#[derive(Debug, PartialEq, Eq)]
struct End {
    status: Status,
    at: Timestamp,
    latency_ms: Option<u64>,
}

impl End {
    fn of(row: &Recorded) -> Self {
        Self {
            status: row.status(),
            at: row.changed_at(),
            latency_ms: latency_ms(row),
        }
    }
}

/// How long it took from acceptance to the end of the answer that took it. A replay begins long after, by the wish of
/// a person: it says nothing about speed.
fn latency_ms(row: &Recorded) -> Option<u64> {
    if row.status() != Status::Delivered || row.generation() > 0 {
        return None;
    }
    let arrived = |entry: &&Entry| entry.generation == 0 && entry.next == Next::Final(Final::Delivered);
    let entry = row.history().entries().iter().rfind(arrived)?;
    let waited = entry.at.since(row.about().created_at).as_millis() as u64;
    Some(waited.saturating_add(u64::from(entry.duration_ms)))
}

/// What an attempt counts as. An entry without a request counts as none.
#[derive(PartialEq, Eq)]
struct Sent {
    at: Timestamp,
    count: Count,
    ms: u64,
}

impl Sent {
    fn of(entry: &Entry) -> Option<Self> {
        Some(Self {
            at: entry.at,
            count: Count::of_outcome(entry.outcome?)?,
            ms: u64::from(entry.duration_ms),
        })
    }
}

/// The order of a history.
fn number(entry: &Entry) -> (u32, u32, bool) {
    (entry.generation, entry.attempt, entry.outcome.is_none())
}
