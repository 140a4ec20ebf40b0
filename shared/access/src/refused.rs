//! What was refused to keys that are known, counted for an audit.
//!
//! One entry a key and reason, and few of them: somebody who tries a revoked key all day fills nothing.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use signalbox_proto::{Key, Name, Timestamp, key::Ended, key::Principal};

/// Entries that are kept until somebody asks; what else is refused then is not counted.
const ENTRIES_MAX: usize = 512;

/// Uses of one key that were refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The key's id.
    pub key_id: String,
    /// Its name.
    pub key_name: String,
    /// Its org.
    pub org: Option<Name>,
    /// Who holds it.
    pub principal: Principal,
    /// Why.
    pub why: Why,
    /// How often.
    pub count: u64,
    /// When it was refused last.
    pub last_at: Timestamp,
}

/// Why a key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
    /// It lacks the scope.
    MissingScope,
    /// It asked for what another org has.
    WrongOrg,
    /// It sent too many requests.
    TooMany,
}

impl Why {
    /// The word in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::MissingScope => "missing_scope",
            Self::WrongOrg => "wrong_org",
            Self::TooMany => "too_many_requests",
        }
    }
}

impl From<Ended> for Why {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Expired => Self::Expired,
            Ended::Revoked => Self::Revoked,
        }
    }
}

/// What was refused since somebody asked.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// By key id and reason.
    entries: Mutex<BTreeMap<(String, Why), Refused>>,
}

impl Refusals {
    pub(crate) fn note(&self, key: &Key, why: Why, now: Timestamp) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let id = (key.id.clone(), why);
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(&id) {
            tracing::debug!(key.id = %key.id, reason = why.as_str(), "a refusal is not counted: there are too many");
            return;
        }
        let entry = entries.entry(id).or_insert_with(|| Refused {
            key_id: key.id.clone(),
            key_name: key.name.clone(),
            org: key.org.clone(),
            principal: key.principal.clone(),
            why,
            count: 0,
            last_at: now,
        });
        entry.count += 1;
        entry.last_at = entry.last_at.max(now);
    }

    pub(crate) fn take(&self) -> Vec<Refused> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *entries).into_values().collect()
    }
}

#[cfg(test)]
mod tests;
