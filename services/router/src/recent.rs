//! What was routed a moment ago.
//!
//! After the kill of a server its consumers may stand hundreds of messages back, and a work queue
//! has forgotten the ids of what was consumed. A router that lives on knows better and acknowledges
//! such repeats instead of routing them again.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

/// Sequences remembered at most, whatever the time: 8 bytes each, twice.
const LENGTH_MAX: usize = 500_000;

/// Sequences of the last while.
#[derive(Debug)]
pub(crate) struct Recent {
    memory: Duration,
    order: VecDeque<(Instant, u64)>,
    known: HashSet<u64>,
}

impl Recent {
    pub(crate) fn new(memory: Duration) -> Self {
        Self {
            memory,
            order: VecDeque::new(),
            known: HashSet::new(),
        }
    }

    pub(crate) fn insert(&mut self, seq: u64, now: Instant) {
        while self
            .order
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) >= self.memory || self.order.len() >= LENGTH_MAX)
        {
            if let Some((_, old)) = self.order.pop_front() {
                self.known.remove(&old);
            }
        }
        if self.known.insert(seq) {
            self.order.push_back((now, seq));
        }
    }

    pub(crate) fn contains(&self, seq: u64) -> bool {
        self.known.contains(&seq)
    }
}

#[cfg(test)]
mod tests;
