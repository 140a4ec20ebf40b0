//! Counts and histograms of one slot, and how its row keeps them.

use serde::{Deserialize, Serialize};
use signalbox_proto::outcome::OutcomeKind;

use super::histogram::Histogram;
use crate::history::Status;

/// What is counted. Its place in the list of a row: a newer version may only add at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Deliveries that stand so since then.
    Delivered,
    /// See [`Count::Delivered`].
    Dead,
    /// See [`Count::Delivered`].
    Expired,
    /// See [`Count::Delivered`].
    Discarded,
    /// See [`Count::Delivered`].
    Retrying,
    /// See [`Count::Delivered`].
    Parked,
    /// Requests that were sent then, by what the answer meant.
    AttemptDelivered,
    /// See [`Count::AttemptDelivered`].
    AttemptRetry,
    /// See [`Count::AttemptDelivered`].
    AttemptReject,
    /// See [`Count::AttemptDelivered`].
    AttemptSuspend,
}

impl Count {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::Delivered,
        Self::Dead,
        Self::Expired,
        Self::Discarded,
        Self::Retrying,
        Self::Parked,
        Self::AttemptDelivered,
        Self::AttemptRetry,
        Self::AttemptReject,
        Self::AttemptSuspend,
    ];

    pub(super) const fn of_status(status: Status) -> Option<Self> {
        match status {
            Status::Delivered => Some(Self::Delivered),
            Status::Dead => Some(Self::Dead),
            Status::Expired => Some(Self::Expired),
            Status::Discarded => Some(Self::Discarded),
            Status::Retrying => Some(Self::Retrying),
            Status::Parked => Some(Self::Parked),
            Status::Unknown => None,
        }
    }

    pub(super) const fn of_outcome(outcome: OutcomeKind) -> Option<Self> {
        match outcome {
            OutcomeKind::Delivered => Some(Self::AttemptDelivered),
            OutcomeKind::Retry => Some(Self::AttemptRetry),
            OutcomeKind::Reject => Some(Self::AttemptReject),
            OutcomeKind::Suspend => Some(Self::AttemptSuspend),
            OutcomeKind::Unknown => None,
        }
    }
}

/// What happened in a while.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// By their places; those that a newer version knows are kept.
    counts: Vec<i64>,
    /// From the acceptance of the event to the answer that took it, of what was delivered without a replay.
    pub latency: Histogram,
    /// From the beginning of a request to the end of its answer, of each attempt.
    pub duration: Histogram,
}

/// The same as a row keeps it, short.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(default, rename = "n")]
    counts: Vec<i64>,
    #[serde(default, rename = "l", skip_serializing_if = "Vec::is_empty")]
    latency: Vec<i64>,
    #[serde(default, rename = "d", skip_serializing_if = "Vec::is_empty")]
    duration: Vec<i64>,
}

impl Figures {
    /// How many there were. What was taken away after its row was removed leaves none.
    pub fn count(&self, count: Count) -> u64 {
        let found = self.counts.get(count as usize).copied().unwrap_or_default();
        u64::try_from(found).unwrap_or_default()
    }

    /// Requests that were sent.
    pub fn attempts(&self) -> u64 {
        let kinds = [
            Count::AttemptDelivered,
            Count::AttemptRetry,
            Count::AttemptReject,
            Count::AttemptSuspend,
        ];
        kinds.into_iter().map(|kind| self.count(kind)).sum()
    }

    /// Deliveries that ended.
    pub fn ended(&self) -> u64 {
        let ends = [Count::Delivered, Count::Dead, Count::Expired, Count::Discarded];
        ends.into_iter().map(|end| self.count(end)).sum()
    }

    /// Whether there is nothing to say of it.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.latency.is_empty() && self.duration.is_empty()
    }

    /// Adds what happened in another while, or elsewhere.
    pub fn add(&mut self, other: &Self) {
        for (place, times) in other.counts.iter().enumerate() {
            self.put(place, *times);
        }
        self.latency.add(&other.latency);
        self.duration.add(&other.duration);
    }

    pub(super) fn tell(&mut self, count: Count, times: i64) {
        self.put(count as usize, times);
    }

    fn put(&mut self, place: usize, times: i64) {
        if self.counts.len() <= place {
            self.counts.resize(place + 1, 0);
        }
        self.counts[place] += times;
        while self.counts.last() == Some(&0) {
            self.counts.pop();
        }
    }

    pub(super) fn encode(&self) -> String {
        let kept = Kept {
            counts: self.counts.clone(),
            latency: self.latency.flat(),
            duration: self.duration.flat(),
        };
        serde_json::to_string(&kept).expect("lists of numbers have no odd keys")
    }

    pub(super) fn decode(text: &str) -> Result<Self, serde_json::Error> {
        let kept: Kept = serde_json::from_str(text)?;
        Ok(Self {
            counts: kept.counts,
            latency: Histogram::of_flat(&kept.latency),
            duration: Histogram::of_flat(&kept.duration),
        })
    }
}
