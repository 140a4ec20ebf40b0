//! What a target's answer means, and the records of it that OUTCOMES carries.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Delivery, EventType, Name, Timestamp, ledger::Final};

/// Bytes kept of a target's answer in an attempt.
pub const RESPONSE_BODY_BYTES_MAX: usize = 4 * 1024;
/// Characters kept of a reason that an owner sees.
pub const REASON_CHARS_MAX: usize = 500;

/// What a target's answer means. A target that says no is the normal case, not an error of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target has it.
    Delivered,
    /// Worth trying again: 408, 425, 429, 5xx, timeout, reset. `after` carries `Retry-After`.
    Retry {
        /// What an owner may see.
        reason: String,
        /// How long the target asked to be left alone.
        after: Option<Duration>,
    },
    /// This event will never be accepted: 400, 413, 422.
    Reject {
        /// What an owner may see.
        reason: String,
    },
    /// The integration itself is broken: 401, 403, 404, 410, 3xx. Repeated, it suspends it.
    Suspend {
        /// What an owner may see.
        reason: String,
        /// True where once is enough (410 Gone).
        at_once: bool,
    },
}

/// The name of an outcome, as histories and filters print it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeKind {
    /// See [`Outcome::Delivered`].
    Delivered,
    /// See [`Outcome::Retry`].
    Retry,
    /// See [`Outcome::Reject`].
    Reject,
    /// See [`Outcome::Suspend`].
    Suspend,
    /// Written by a newer version.
    #[serde(other)]
    Unknown,
}

impl Outcome {
    /// Its name.
    pub const fn kind(&self) -> OutcomeKind {
        match self {
            Self::Delivered => OutcomeKind::Delivered,
            Self::Retry { .. } => OutcomeKind::Retry,
            Self::Reject { .. } => OutcomeKind::Reject,
            Self::Suspend { .. } => OutcomeKind::Suspend,
        }
    }

    /// The same with another reason, made of its own.
    #[must_use]
    pub fn map_reason(self, map: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Delivered => Self::Delivered,
            Self::Retry { reason, after } => Self::Retry {
                reason: map(reason),
                after,
            },
            Self::Reject { reason } => Self::Reject { reason: map(reason) },
            Self::Suspend { reason, at_once } => Self::Suspend {
                reason: map(reason),
                at_once,
            },
        }
    }

    /// What an owner may see of why it was not delivered.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Delivered => None,
            Self::Retry { reason, .. } | Self::Reject { reason } | Self::Suspend { reason, .. } => Some(reason),
        }
    }
}

/// What happens next to a delivery after an attempt, as histories print it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Next {
    /// It ended, in this final state.
    Final(Final),
    /// It is tried again at the attempt's `next_at`.
    Retrying,
    /// It waits in PARKED.
    Parked,
    /// Written by a newer version.
    #[serde(other)]
    Unknown,
}

/// One try at a delivery, as OUTCOMES carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The delivery's id.
    pub delivery: String,
    /// Its generation: 0, a higher one at each replay.
    #[serde(default)]
    pub generation: u32,
    /// Which request of the generation this was, from 1; 0 where none was sent.
    #[serde(default)]
    pub attempt: u32,
    /// The tenant.
    pub org: Name,
    /// The kind of target.
    pub provider: Name,
    /// The integration's id.
    pub integration: String,
    /// The events delivered: one, or the members of a digest.
    pub events: Vec<EventRef>,
    /// When the request began.
    pub at: Timestamp,
    /// How long the attempt took, in milliseconds.
    #[serde(default)]
    pub duration_ms: u32,
    /// What the answer meant; `None` where no request was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeKind>,
    /// The status of the answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_code: Option<u16>,
    /// The first bytes of the answer, as text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub response_body: String,
    /// What an owner may see of why it was not delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// What happens next.
    pub next: Next,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

impl Attempt {
    /// What became of a delivery without a request.
    pub fn unasked(delivery: &Delivery, next: Next, at: Timestamp) -> Self {
        let events = delivery.events.iter().enumerate().map(|(index, accepted)| EventRef {
            id: accepted.event.id.clone(),
            source: accepted.event.source.clone(),
            event_type: accepted.event.event_type.clone(),
            seq: accepted.seq,
            accepted_at: accepted.at,
            matched: delivery.matched_of(index),
        });
        Self {
            delivery: delivery.id.clone(),
            generation: delivery.generation,
            attempt: delivery.attempt,
            org: delivery.org.clone(),
            provider: delivery.provider.clone(),
            integration: delivery.integration.clone(),
            events: events.collect(),
            at,
            duration_ms: 0,
            outcome: None,
            response_code: None,
            response_body: String::new(),
            error_message: None,
            next,
            next_at: None,
        }
    }
}

/// An event as a record names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRef {
    /// The event's id.
    pub id: String,
    /// Its source.
    pub source: String,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// Its sequence in EVENTS.
    pub seq: u64,
    /// When EVENTS stored it; 1970 in records of versions that did not say.
    #[serde(default, skip_serializing_if = "is_unknown")]
    pub accepted_at: Timestamp,
    /// How many integrations it matched.
    #[serde(default)]
    pub matched: u32,
}

fn is_unknown(at: &Timestamp) -> bool {
    *at == Timestamp::default()
}

/// One entry of OUTCOMES.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A try at a delivery, or its end without one.
    Attempt(Attempt),
    /// Events that matched nothing: inclusive ranges of sequences in EVENTS, each gapless.
    NoRoute(Vec<(u64, u64)>),
    /// Uses of an API key that were refused.
    Refused(crate::refused::Refused),
}

/// The records of one message in OUTCOMES: the newest form of a record may be unknown to an older
/// reader, so each travels on its own, as MessagePack inside MessagePack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Each one [`Record`], encoded.
    pub records: Vec<serde_bytes::ByteBuf>,
}

/// Cuts a text for an owner to [`REASON_CHARS_MAX`].
pub fn reason(text: &str) -> String {
    crate::fingerprint::cut(text, REASON_CHARS_MAX)
}

#[cfg(test)]
mod tests;
