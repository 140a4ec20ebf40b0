//! What an integration has counted: totals that only rise, and which deliveries are in them.
//!
//! For targets that take totals and not events. KV STATE holds one [`Totals`] for each integration; whoever changes it does
//! so on condition of its revision. A delivery counts once, however often it is tried: totals remember who was counted of
//! late, and a delivery that goes on to another attempt carries it along.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::{Delivery, Timestamp, hash};

/// Most kinds of one integration; what is of a further kind counts as [`OTHER`].
pub const KINDS_MAX: usize = 200;
/// Most pairs of a kind and an agent; what a further agent did counts as that of [`OTHER`].
pub const PAIRS_MAX: usize = 1_000;
/// Longest kind and longest agent, in bytes. Who counts keeps to it.
pub const NAME_BYTES_MAX: usize = 128;
/// Stands for kinds and agents beyond the bounds.
pub const OTHER: &str = "other";
/// Deliveries that are remembered as counted at most: at a thousand a second those of half a minute, and a message that
/// a worker has left behind comes again after 20 seconds.
pub const REMEMBERED_MAX: usize = 32 * 1024;
/// They are remembered for so many minutes in which something was counted. Minutes in which nothing was do not pass: who
/// counts after an outage still knows what was counted before it.
pub const REMEMBERED_MINUTES: usize = 10;

/// Bytes of a [`Mark`].
const MARK_BYTES: usize = 8;
/// How many are forgotten at a time where there are too many.
const FORGOTTEN: usize = REMEMBERED_MAX / 16;

/// One event, as it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// What sort of event it is.
    pub kind: String,
    /// Whose it is.
    pub agent: String,
}

/// A delivery as totals remember it: 64 bits of its id and generation, as a replay
/// of an event is meant to count again. (A dead letter that is replayed says itself whether it was counted.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark([u8; MARK_BYTES]);

impl Mark {
    /// That of a delivery, the same in each attempt.
    pub fn of(delivery: &Delivery) -> Self {
        let digest = hash::digest([b"counted", delivery.id.as_bytes(), &delivery.generation.to_be_bytes()]);
        Self(*digest.first_chunk().expect("a digest has 16 bytes"))
    }
}

/// All that an integration has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// By kind, then by agent.
    #[serde(default)]
    kinds: BTreeMap<String, BTreeMap<String, u64>>,
    /// Who was counted of late, the oldest first.
    #[serde(default)]
    minutes: VecDeque<Minute>,
}

/// The deliveries that were counted in one minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Minute {
    /// Minutes since 1970.
    at: i64,
    /// Their marks, one behind the other.
    marks: ByteBuf,
}

impl Totals {
    /// Counts the events of a delivery; false where they are counted already.
    pub fn count(&mut self, mark: Mark, events: &[Counted], now: Timestamp) -> bool {
        if self.knows(mark) {
            return false;
        }
        self.remember(mark, now);
        for Counted { kind, agent } in events {
            let total = self.total(kind, agent);
            *total = total.saturating_add(1);
        }
        true
    }

    /// Each kind with its agents and their totals, in the order of their names.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = (&str, u64)>)> {
        self.kinds.iter().map(|(kind, agents)| {
            let agents = agents.iter().map(|(agent, total)| (agent.as_str(), *total));
            (kind.as_str(), agents)
        })
    }

    /// Whether a delivery was counted of late.
    pub fn knows(&self, mark: Mark) -> bool {
        let mut newest_first = self.minutes.iter().rev();
        newest_first.any(|minute| minute.marks.chunks_exact(MARK_BYTES).any(|known| known == mark.0))
    }

    fn remember(&mut self, mark: Mark, now: Timestamp) {
        let at = now.secs().div_euclid(60);
        match self.minutes.back_mut() {
            // The clock of another worker may be ahead of this one's.
            Some(last) if last.at >= at => last.marks.extend_from_slice(&mark.0),
            _ => self.minutes.push_back(Minute {
                at,
                marks: ByteBuf::from(mark.0),
            }),
        }
        while self.minutes.len() > REMEMBERED_MINUTES {
            self.minutes.pop_front();
        }
        if self.remembered() > REMEMBERED_MAX {
            self.forget(FORGOTTEN);
        }
    }

    fn remembered(&self) -> usize {
        self.minutes.iter().map(|minute| minute.marks.len() / MARK_BYTES).sum()
    }

    /// Forgets so many of the oldest.
    fn forget(&mut self, count: usize) {
        let mut bytes = count * MARK_BYTES;
        while let Some(oldest) = self.minutes.front_mut() {
            if oldest.marks.len() > bytes {
                oldest.marks.drain(..bytes);
                return;
            }
            bytes -= oldest.marks.len();
            self.minutes.pop_front();
        }
    }

    /// The total of a kind and an agent, or of what stands for them beyond the bounds.
    fn total(&mut self, kind: &str, agent: &str) -> &mut u64 {
        let pairs: usize = self.kinds.values().map(BTreeMap::len).sum();
        let knows_kind = self.kinds.contains_key(kind);
        let kind = if knows_kind || self.kinds.len() < KINDS_MAX {
            kind
        } else {
            OTHER
        };
        let agents = self.kinds.entry(kind.to_owned()).or_default();
        let agent = if agents.contains_key(agent) || pairs < PAIRS_MAX {
            agent
        } else {
            OTHER
        };
        agents.entry(agent.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests;
