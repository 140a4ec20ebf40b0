//! Hops that a worker has in hand or has finished a while ago.
//!
//! A killed server may deliver again what was acknowledged, and a router may publish again what a
//! work queue has forgotten. A worker that lives on knows both by the id of the hop.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

/// Finished hops remembered at most, whatever the time: about 60 bytes each.
const LENGTH_MAX: usize = 300_000;

/// A hop's id: see [`signalbox_proto::Delivery::hop_digest`].
pub(crate) type HopDigest = [u8; 16];

/// What is known of a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is being worked on: its acknowledgement will settle the repeat too.
    InHand,
    /// Its next hop is stored: the repeat is to be acknowledged.
    Finished,
}

/// Hops by id.
#[derive(Debug)]
pub(crate) struct Memory {
    span: Duration,
    hops: HashMap<HopDigest, Known>,
    finished: VecDeque<(Instant, HopDigest)>,
}

impl Memory {
    pub(crate) fn new(span: Duration) -> Self {
        Self {
            span,
            hops: HashMap::new(),
            finished: VecDeque::new(),
        }
    }

    pub(crate) fn get(&self, hop: HopDigest) -> Option<Known> {
        self.hops.get(&hop).copied()
    }

    pub(crate) fn begin(&mut self, hop: HopDigest) {
        self.hops.insert(hop, Known::InHand);
    }

    pub(crate) fn finish(&mut self, hop: HopDigest, now: Instant) {
        while self
            .finished
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) >= self.span || self.finished.len() >= LENGTH_MAX)
        {
            if let Some((_, old)) = self.finished.pop_front() {
                self.hops.remove(&old);
            }
        }
        if self.hops.insert(hop, Known::Finished) != Some(Known::Finished) {
            self.finished.push_back((now, hop));
        }
    }

    /// It was handed back: when it comes again, it is new.
    pub(crate) fn forget(&mut self, hop: HopDigest) {
        self.hops.remove(&hop);
    }
}

#[cfg(test)]
mod tests;
