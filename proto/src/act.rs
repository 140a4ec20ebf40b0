//! Bulk acts on dead letters: replays and discards, recorded so that a crash repeats nothing.
//!
//! An act is an entry in KV STATE that a keeper works through. What it did to a dead letter is a
//! [`Mark`] in the stream DEAD itself, so that it lives exactly as long as what it marks.

use serde::{Deserialize, Serialize};

use crate::{DeadReason, Stage, Timestamp};

/// Dead letters that one mark speaks of at most.
pub const MARK_SEQS_MAX: usize = 256;

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

/// One act, as KV STATE carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// A UUIDv7.
    pub id: String,
    /// What it does.
    pub kind: Kind,
    /// To which dead letters.
    pub filter: DeadFilter,
    /// Dead letters a second at most.
    pub per_second: u32,
    /// The last sequence of DEAD when it was asked for: what dies later is not touched.
    pub through: u64,
    /// Up to which sequence of DEAD it is done.
    pub cursor: u64,
    /// How far it is.
    pub status: ActStatus,
    /// Dead letters acted on.
    #[serde(default)]
    pub done: u64,
    /// Dead letters that matched but had been replayed or discarded before.
    #[serde(default)]
    pub skipped: u64,
    /// Dead letters that could not be acted on.
    #[serde(default)]
    pub failed: u64,
    /// Why the last that failed did, or why the act stopped.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last went on.
    pub updated_at: Timestamp,
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
    /// It cannot go on.
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
    /// When.
    pub at: Timestamp,
}

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Did {
    /// These are about to be replayed: after a crash, look before you publish again.
    Intend,
    /// These were published again.
    Replayed,
    /// These were given up.
    Discarded,
    /// Written by a newer version.
    #[serde(other)]
    Unknown,
}
