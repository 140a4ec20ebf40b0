//! What the installation holds, and what it therefore refuses at the door.
//!
//! Both are entries of KV STATE that one keeper writes after each look: [`Marks`] for ingest, which follows them, and
//! [`Budget`] for people. They say what was found, not what to do: ingest decides that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Name, Timestamp};

/// How much there is of something that has a mark, and the mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    /// How much there is.
    pub is: u64,
    /// The mark that it was above.
    pub mark: u64,
}

/// An integration with more waiting than its mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crowded {
    /// The tenant.
    pub org: String,
    /// The integration's id.
    pub integration: String,
    /// How many deliveries wait.
    pub over: Over,
}

/// The high-water marks that something is above.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Orgs with too many deliveries waiting: nothing is accepted for them.
    #[serde(default)]
    pub orgs: BTreeMap<Name, Over>,
    /// Integrations with many deliveries waiting: said, and nothing refused. The most crowded ones.
    #[serde(default)]
    pub integrations: Vec<Crowded>,
    /// Set where what waits takes so much storage, in bytes, that nothing is accepted for anyone.
    #[serde(default)]
    pub storage: Option<Over>,
    /// Whether DEAD has no room any more for inputs that are refused, only for what else becomes a dead letter.
    #[serde(default)]
    pub refusals_full: bool,
    /// How many bytes of DEAD they may still take; `None` of a version that did not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusals_left: Option<u64>,
    /// For how long after they were written they hold, in seconds: a door that nobody looks after does not stay shut.
    #[serde(default)]
    pub holds_secs: u64,
}

impl Marks {
    /// Whether anything is above its mark.
    pub fn is_empty(&self) -> bool {
        self.orgs.is_empty() && self.integrations.is_empty() && self.storage.is_none() && !self.refusals_full
    }
}

/// One part of the storage budget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The stream, or [`WAITING`] for all that have no share of their own.
    pub name: String,
    /// What it holds, in bytes.
    pub bytes: u64,
    /// What it may hold, in bytes; 0 for a stream that is a part of [`WAITING`].
    pub share_bytes: u64,
    /// How fast it grew over the last looks, in bytes a second; negative where it shrank.
    pub growth: i64,
    /// When it is full if that goes on, in seconds.
    pub full_in_secs: Option<u64>,
}

/// The name of the share of what waits: the streams of deliveries, PARKED, ORDERED and BATCH together.
pub const WAITING: &str = "waiting";

/// The storage budget as the keeper found it last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// When it looked.
    pub at: Timestamp,
    /// By stream.
    pub shares: Vec<Share>,
}

#[cfg(test)]
mod tests;
