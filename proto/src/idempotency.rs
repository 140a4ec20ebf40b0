//! What is kept of an `Idempotency-Key`: one entry of the bucket IDEMPOTENCY a key, for as long as the bucket keeps it.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Tries that a record tells apart. What comes after them is taken to have gone on since the last of them.
pub const TRIES_MAX: usize = 16;

/// A key, the request that it came with, and what became of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// A hash of the request: with another one the key is refused.
    pub request: String,
    /// A UUIDv7 of which the ids of those events are made that came without one, so that each try gives them
    /// the same.
    pub seed: String,
    /// How long whoever has written this may need to store the events, in milliseconds. After that, another
    /// request with the key takes over.
    pub hold_ms: u32,
    /// When earlier tries may have stored events, by the server's clock: they did not come to their end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<Try>,
    /// The ids of the events, in the order of the request, once all are stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<String>>,
}

/// A stretch of time in which a try may have stored events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

impl Record {
    /// The record of one who takes over at a time. `at` is when this one was written.
    #[must_use]
    pub fn taken_over(&self, at: Timestamp, now: Timestamp, hold_ms: u32) -> Self {
        let mut tries = self.tries.clone();
        let is_full = tries.len() >= TRIES_MAX;
        match tries.last_mut().filter(|_| is_full) {
            Some(last) => last.until = now,
            None => tries.push(Try { from: at, until: now }),
        }
        Self {
            tries,
            hold_ms,
            ids: None,
            ..self.clone()
        }
    }

    /// The record of a request whose events are all stored.
    #[must_use]
    pub fn done(&self, ids: Vec<String>) -> Self {
        Self {
            ids: Some(ids),
            tries: Vec::new(),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests;
