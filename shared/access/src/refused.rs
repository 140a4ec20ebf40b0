//! What was refused to keys that are known, for the audit.
//!
//! The first refusal of a key for a reason is told at once, further ones as a number ten minutes later: somebody who
//! tries a revoked key all day fills nothing. What a process has not told yet goes with it, which is a second's worth at most.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use signalbox_proto::{
    Key, Timestamp,
    refused::{Refused, Why},
};

/// Keys and reasons that are known at a time; what else is refused then is not counted.
const ENTRIES_MAX: usize = 512;
/// Between two tellings of one key and reason.
const AGAIN_AFTER: Duration = Duration::from_secs(600);

/// What was refused, and what of it was told.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// By key id and reason.
    entries: Mutex<BTreeMap<(String, Why), Entry>>,
}

#[derive(Debug)]
struct Entry {
    told_at: Option<Timestamp>,
    /// What has come since then; none where nothing has.
    refused: Option<Refused>,
}

impl Refusals {
    pub(crate) fn note(&self, key: &Key, why: Why, now: Timestamp) {
        self.add(Refused {
            process: String::new(),
            key_id: key.id.clone(),
            key_name: key.name.clone(),
            org: key.org.clone(),
            principal: key.principal.clone(),
            why,
            count: 1,
            first_at: now,
            last_at: now,
        });
    }

    /// Adds what was refused; also what could not be told after all.
    pub(crate) fn add(&self, refused: Refused) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let id = (refused.key_id.clone(), refused.why);
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(&id) {
            tracing::debug!(
                key.id = refused.key_id,
                reason = refused.why.as_str(),
                "a refusal is not counted: there are too many"
            );
            return;
        }
        let entry = entries.entry(id).or_insert(Entry {
            told_at: None,
            refused: None,
        });
        match &mut entry.refused {
            None => entry.refused = Some(refused),
            Some(known) => {
                known.count += refused.count;
                known.first_at = known.first_at.min(refused.first_at);
                known.last_at = known.last_at.max(refused.last_at);
            }
        }
    }

    /// What is to be told now: all of it where this is the end.
    pub(crate) fn take(&self, now: Timestamp, is_end: bool) -> Vec<Refused> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = Vec::new();
        entries.retain(|_, entry| {
            if !is_end && entry.told_at.is_some_and(|at| now < at + AGAIN_AFTER) {
                return true;
            }
            let refused = entry.refused.take();
            entry.told_at = refused.is_some().then_some(now);
            told.extend(refused);
            entry.told_at.is_some()
        });
        told
    }
}

#[cfg(test)]
mod tests;
