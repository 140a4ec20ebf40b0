//! Bulk acts: replays and discards, recorded so that a crash repeats nothing.
//!
//! An act is an entry in KV STATE that a keeper works through. What it did to a dead letter is a
//! [`Mark`] in the stream DEAD itself, so that it lives exactly as long as what it marks. What it is
//! about to do to events is in the act: see [`Ahead`].

mod waiting;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{DeadLetter, DeadReason, Name, Stage, Timestamp, subjects};

pub use waiting::{Wait, WaitingFilter};

/// Dead letters that one mark speaks of at most.
pub const MARK_SEQS_MAX: usize = 256;
/// How long the record of an act that ended is kept.
pub const KEPT_FOR: Duration = Duration::from_secs(30 * 86_400);
/// Records of acts that are kept at most, besides those at work: the newest.
pub const KEPT_MAX: usize = 1_000;
/// Since when generations of replays are counted: 2025-01-01.
const GENERATIONS_SINCE_SECS: i64 = 1_735_689_600;

/// What an act does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Kind {
    /// Delivers dead letters again, to their own integration or another.
    Replay {
        /// The id of another integration.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
    },
    /// Gives dead letters up.
    Discard,
    /// Sends accepted events of the past to one integration; which, says [`Act::events`].
    ReplayEvents {
        /// The integration's id.
        to: String,
    },
    /// Gives up deliveries that wait; which, says [`Act::waiting`]. They become dead letters.
    DiscardWaiting,
    /// Sends deliveries now that wait for their next attempt; which, says [`Act::waiting`].
    RetryWaiting,
    /// Written by a newer version.
    #[serde(other)]
    Unknown,
}

/// Which events of the past a replay sends. Not part of [`Kind`], as a tagged value cannot hold times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventFilter {
    /// The tenant, of the events and of the integration.
    pub org: Name,
    /// Accepted at or after.
    pub since: Timestamp,
    /// Accepted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Of the types that this pattern covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Also those that the integration's own subscription does not select.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_subscription: bool,
}

/// Which dead letters an act is about. Every condition that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadFilter {
    /// The tenant; set by the API from the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// These dead letters alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// The integration's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integration: Option<String>,
    /// The kind of target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Where it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Why, as a class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<DeadReason>,
    /// Like errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The event's type, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Made at or after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Made before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl DeadFilter {
    /// The subjects of DEAD that may hold what it is about.
    pub fn subject(&self) -> String {
        // What came in without a valid org is the default org's: it lies under no org's subject.
        let org = self.org.as_deref().filter(|org| *org != Name::default_org().as_str());
        subjects::dead_filter(self.stage, org, self.provider.as_deref(), self.integration.as_deref())
    }

    /// Whether a dead letter stored at this time is one that it is about, by all but its id.
    pub fn covers(&self, at: Timestamp, letter: &DeadLetter) -> bool {
        let delivery = letter.delivery.as_deref();
        let is =
            |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
        let default_org = Name::default_org();
        is(&self.org, Some(letter.org.as_ref().unwrap_or(&default_org).as_str()))
            && is(
                &self.integration,
                delivery.map(|delivery| delivery.integration.as_str()),
            )
            && is(&self.provider, delivery.map(|delivery| delivery.provider.as_str()))
            && is(&self.fingerprint, Some(&letter.fingerprint))
            && (self.event_type.is_none() || self.event_type == type_of(letter))
            && self.stage.is_none_or(|stage| stage == letter.stage)
            && self.reason.is_none_or(|reason| reason == letter.reason)
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
    }
}

/// The header of an input that an act sends in again: the act's id. Its org is not asked for its quota: it was, when the
/// input first came, and an act has a rate of its own.
pub const HEADER: &str = "signalbox-act";

/// One act, as KV STATE carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// A UUIDv7.
    pub id: String,
    /// What it does.
    pub kind: Kind,
    /// To which dead letters, where it is about such.
    #[serde(default)]
    pub filter: DeadFilter,
    /// Which events, in a replay of such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<EventFilter>,
    /// Which deliveries, where it is about such that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitingFilter>,
    /// How many a second at most.
    pub per_second: u32,
    /// The last sequence of its stream when it was asked for: what comes later is not touched.
    pub through: u64,
    /// Up to which sequence of its stream it is done.
    pub cursor: u64,
    /// What may have been sent behind the cursor, in a replay of events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<Ahead>,
    /// The least generation of what it sends: see [`generation`]. 0 where it was asked of an older version.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u32,
    /// How far it is.
    pub status: ActStatus,
    /// How many it is about, counted when it was asked for; those settled before are not among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// How many were acted on.
    #[serde(default)]
    pub done: u64,
    /// How many matched but had been settled before.
    #[serde(default)]
    pub skipped: u64,
    /// How many could not be acted on.
    #[serde(default)]
    pub failed: u64,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub asked_by: String,
    /// Why the last that failed did, or why the act stopped.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last went on.
    pub updated_at: Timestamp,
}

/// The event type of a dead letter: its event's, or what the subject of its input names.
pub fn type_of(letter: &DeadLetter) -> Option<String> {
    if let Some(accepted) = letter.delivery.as_deref().and_then(|delivery| delivery.events.first()) {
        return Some(accepted.event.event_type.to_string());
    }
    let given = subjects::given_input(&letter.input.as_ref()?.subject);
    let (_, event_type) = given.strip_prefix(subjects::INPUT_PREFIX)?.split_once('.')?;
    Some(event_type.to_owned())
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What a replay of events is about to send: after a crash, whatever lies between the act's cursor and
/// this is looked for before it is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    /// The last sequence that may have been sent.
    pub through: u64,
    /// When it was written down, which is before anything of it was sent.
    pub at: Timestamp,
}

/// The generation of a replay that is asked for now, given the one that was drawn before: higher than
/// any before whatever the clock does, and higher than those that were counted up from 0.
pub fn generation(last: u32, now: Timestamp) -> u32 {
    let clock = now.secs().saturating_sub(GENERATIONS_SINCE_SECS);
    let clock = u32::try_from(clock.max(0)).unwrap_or(u32::MAX);
    clock.max(last.saturating_add(1))
}

/// The generation in which an act sends a delivery that has had this one: higher than both.
pub fn next_generation(had: u32, act: u32) -> u32 {
    had.saturating_add(1).max(act)
}

/// How far an act is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActStatus {
    /// A keeper works on it.
    Running,
    /// All is done.
    Done,
    /// A person stopped it.
    Cancelled,
    /// It cannot go on by itself.
    Failed,
    /// Written by a newer version.
    #[serde(other)]
    Unknown,
}

/// What an act is about to do, or did, to dead letters: a message of DEAD on the act's subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The act.
    pub act: String,
    /// What was done.
    pub did: Did,
    /// Sequences in DEAD.
    pub seqs: Vec<u64>,
    /// Of an intention: the integration that they go to, where it is not their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Of an intention: the least generation of what is sent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u32,
    /// When.
    pub at: Timestamp,
}

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Did {
    /// These are about to be replayed: after a crash, look before you publish again.
    Intend,
    /// These were intended, and were not published after all: the act was stopped before.
    Withdrawn,
    /// These were published again.
    Replayed,
    /// These were given up.
    Discarded,
    /// Written by a newer version.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests;
