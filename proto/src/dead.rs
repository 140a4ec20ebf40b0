//! What Signalbox stopped trying, kept with everything needed to replay it.

use serde::{Deserialize, Serialize};

use crate::{Delivery, Name, Timestamp};

/// Bytes kept of a rejected input. JetStream refuses a larger publish before we see it.
pub const INPUT_BYTES_MAX: usize = 512 * 1024;

/// Where a dead letter was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The input could not become an event.
    Ingest,
    /// The event could not be matched or routed.
    Route,
    /// The target would not take the delivery.
    Delivery,
}

impl Stage {
    /// The word, also the subject's token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Route => "route",
            Self::Delivery => "delivery",
        }
    }
}

/// The class of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeadReason {
    /// The target said that it will never take this.
    Rejected,
    /// The retry schedule is used up.
    Exhausted,
    /// It waited longer than `expire_after`.
    Expired,
    /// It stopped its worker more than once.
    Poison,
    /// The input, the filter or the configuration is wrong.
    Invalid,
    /// A person gave it up.
    Discarded,
    /// Written by a newer version.
    #[serde(other)]
    Unknown,
}

impl DeadReason {
    /// All that this version writes.
    pub const ALL: [Self; 6] = [
        Self::Rejected,
        Self::Exhausted,
        Self::Expired,
        Self::Poison,
        Self::Invalid,
        Self::Discarded,
    ];

    /// The word in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Exhausted => "exhausted",
            Self::Expired => "expired",
            Self::Poison => "poison",
            Self::Invalid => "invalid",
            Self::Discarded => "discarded",
            Self::Unknown => "unknown",
        }
    }

    /// The final state in the ledger that a dead letter of this reason stands for.
    pub const fn ledger(self) -> crate::ledger::Final {
        match self {
            Self::Expired => crate::ledger::Final::Expired,
            Self::Discarded => crate::ledger::Final::Discarded,
            Self::Rejected | Self::Exhausted | Self::Poison | Self::Invalid | Self::Unknown => {
                crate::ledger::Final::Dead
            }
        }
    }
}

/// The original of an input that could not become an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The subject it was published to.
    pub subject: String,
    /// Its headers, in order.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Its bytes.
    #[serde(with = "serde_bytes", default)]
    pub body: Vec<u8>,
}

/// A message of the stream DEAD.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Where it was made.
    pub stage: Stage,
    /// Why, as a class.
    pub reason: DeadReason,
    /// Why, as a sentence that an owner may see.
    pub message: String,
    /// Groups like errors: see [`crate::fingerprint`].
    pub fingerprint: String,
    /// The tenant; `None` where the input named no valid one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<Name>,
    /// The delivery, but at stage `ingest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Box<Delivery>>,
    /// The original, at stage `ingest`, or where a message could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Input>,
    /// The sequence in EVENTS, where an event could not become deliveries: what the ledger knows it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_seq: Option<u64>,
    /// When it was first tried, or first seen.
    pub first_at: Timestamp,
    /// When it was last tried, or given up.
    pub last_at: Timestamp,
}

impl DeadLetter {
    /// The dead letter of a delivery.
    pub fn of_delivery(stage: Stage, reason: DeadReason, message: &str, delivery: Delivery, now: Timestamp) -> Self {
        let message = crate::outcome::reason(message);
        Self {
            stage,
            reason,
            fingerprint: crate::fingerprint::of(stage, reason, Some(&delivery.integration), &message),
            message,
            org: Some(delivery.org.clone()),
            first_at: delivery.notes.first().map_or(now, |note| note.at),
            last_at: delivery.notes.last().map_or(now, |note| note.at),
            delivery: Some(Box::new(delivery)),
            input: None,
            event_seq: None,
        }
    }

    /// The dead letter of an input that could not become an event.
    pub fn of_input(
        stage: Stage,
        reason: DeadReason,
        message: &str,
        org: Option<Name>,
        mut input: Input,
        now: Timestamp,
    ) -> Self {
        let message = crate::outcome::reason(message);
        input.body.truncate(INPUT_BYTES_MAX);
        Self {
            stage,
            reason,
            fingerprint: crate::fingerprint::of(stage, reason, None, &message),
            message,
            org,
            delivery: None,
            input: Some(input),
            event_seq: None,
            first_at: now,
            last_at: now,
        }
    }

    /// Says which accepted event this is the end of: its sequence in EVENTS.
    #[must_use]
    pub fn of_event(mut self, seq: u64) -> Self {
        self.event_seq = Some(seq);
        self
    }
}

#[cfg(test)]
mod tests;
