//! What of PARKED has been read, and when it is to be read again. Pure.
//!
//! Reading a million deliveries to find none that has expired costs the server seconds in which everybody waits. So each
//! part is read once, and again only when the first of its deliveries expires, or an integration gives less time than it
//! did.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use signalbox_proto::Timestamp;

/// Parts that are told from each other; beyond, neighbours become one.
const PARTS_MAX: usize = 10_000;

/// What has been read.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// By the first sequence.
    parts: BTreeMap<u64, Part>,
    /// Everything below has been read.
    next: u64,
    /// How long deliveries of an integration could wait when they were read; `None` where it was not known.
    expire_after: HashMap<String, Option<Duration>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    last: u64,
    /// When the first of its deliveries expires.
    due: Timestamp,
}

impl Seen {
    /// Takes note of how the stream stands and what integrations say now: what it does not hold any more is forgotten, and all
    /// is to be read again where the stream was made anew or an integration gives less time.
    pub(crate) fn look(
        &mut self,
        (first_seq, last_seq): (u64, u64),
        expire_after: impl Fn(&str) -> Option<Duration>,
        default: Duration,
    ) {
        let shorter = self
            .expire_after
            .iter()
            .any(|(id, known)| expire_after(id).unwrap_or(default) < known.unwrap_or(default));
        if shorter || self.next > last_seq.saturating_add(1) {
            *self = Self::default();
        }
        self.next = self.next.max(first_seq).max(1);
        self.parts.retain(|_, part| part.last >= first_seq);
        if self.parts.is_empty() {
            self.expire_after.clear();
        }
    }

    /// The sequence from which on nothing has been read.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Parts of which something has expired, each from its first sequence to its last.
    pub(crate) fn due(&self, now: Timestamp) -> Vec<(u64, u64)> {
        let due = self.parts.iter().filter(|(_, part)| part.due <= now);
        due.map(|(first, part)| (*first, part.last)).collect()
    }

    /// Says that the sequences from the first to the last have been read, and when the first of what stays there expires;
    /// `None` where nothing stays.
    pub(crate) fn read(&mut self, first: u64, last: u64, due: Option<Timestamp>) {
        self.next = self.next.max(last.saturating_add(1));
        match due {
            Some(due) => self.parts.insert(first, Part { last, due }),
            None => self.parts.remove(&first),
        };
        if self.parts.len() > PARTS_MAX {
            self.join_neighbours();
        }
    }

    /// Remembers what an integration says, as the deliveries that were read are judged by it.
    pub(crate) fn judged_by(&mut self, integration: &str, expire_after: Option<Duration>) {
        if !self.expire_after.contains_key(integration) {
            self.expire_after.insert(integration.to_owned(), expire_after);
        }
    }

    fn join_neighbours(&mut self) {
        let mut joined = BTreeMap::new();
        let mut parts = std::mem::take(&mut self.parts).into_iter();
        while let Some((first, part)) = parts.next() {
            let next = parts.next().map_or(part, |(_, next)| next);
            let both = Part {
                last: next.last,
                due: part.due.min(next.due),
            };
            joined.insert(first, both);
        }
        self.parts = joined;
    }
}

#[cfg(test)]
mod tests;
