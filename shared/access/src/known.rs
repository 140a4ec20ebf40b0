//! The keys and orgs of the installation, as the changes of CONFIG make them. Pure.

use std::{collections::HashMap, sync::Arc};

use signalbox_broker::callers::Change;
use signalbox_proto::{Key, Name, Org, org::OrgStatus};

use crate::rate::Rate;

/// A key, and what is left of its rate.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Arc<Key>,
    /// `None` without a limit.
    pub(crate) rate: Option<Arc<Rate>>,
}

impl Entry {
    pub(crate) fn new(key: Key, rate: Option<Arc<Rate>>) -> Self {
        Self {
            key: Arc::new(key),
            rate,
        }
    }
}

/// All that is known.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// By the hash of their texts.
    keys: HashMap<String, Entry>,
    orgs: HashMap<Name, Org>,
}

impl Known {
    pub(crate) fn key(&self, hash: &str) -> Option<&Entry> {
        self.keys.get(hash)
    }

    pub(crate) fn org(&self, name: &Name) -> Option<OrgStatus> {
        self.orgs.get(name).map(|org| org.status)
    }

    /// Takes a change, unless something newer is known: who writes a change learns of it before the watch says what
    /// was there before. `rate` makes the bucket of a new key; a key that changes keeps its own.
    pub(crate) fn take(&mut self, change: Change, rate: impl FnOnce() -> Option<Arc<Rate>>) {
        match change {
            Change::Key { hash, key } => match self.keys.get_mut(&hash) {
                Some(entry) if entry.key.revision > key.revision => {}
                Some(entry) => entry.key = Arc::new(*key),
                None => drop(self.keys.insert(hash, Entry::new(*key, rate()))),
            },
            Change::KeyGone { hash } => drop(self.keys.remove(&hash)),
            Change::Org(org) => {
                if self
                    .orgs
                    .get(&org.name)
                    .is_none_or(|known| known.revision <= org.revision)
                {
                    self.orgs.insert(org.name.clone(), org);
                }
            }
            Change::OrgGone(name) => drop(self.orgs.remove(&name)),
            Change::Complete => {}
        }
    }
}

#[cfg(test)]
mod tests;
