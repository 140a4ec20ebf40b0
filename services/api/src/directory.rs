//! The integrations as this process knows them: followed from KV, and written through by its own changes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use signalbox_broker::directory::Change;
use signalbox_proto::{Integration, Name, State, integration::Status};
use signalbox_runtime::Problem;

use crate::problems;

/// All integrations, tombstones included, with their states.
#[derive(Default)]
pub(crate) struct Directory {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    complete: bool,
    by_id: HashMap<String, Arc<Integration>>,
    /// Ids that live, by org and name; more than one only while a replacement is under way or was interrupted.
    by_name: BTreeMap<Name, BTreeMap<Name, BTreeSet<String>>>,
    states: HashMap<String, (State, u64)>,
    /// Of all that were ever known.
    providers: BTreeSet<Name>,
}

impl Directory {
    /// Takes a change; true if it says that all is known that was there at the start.
    pub(crate) fn take(&self, change: Change) -> bool {
        match change {
            Change::Integration(integration) => self.put(*integration),
            Change::State {
                integration,
                state,
                revision,
            } => self.put_state(&integration, state, revision),
            Change::Complete => {
                self.write().complete = true;
                return true;
            }
        }
        false
    }

    /// Knows an integration at this revision, unless a newer one is known.
    pub(crate) fn put(&self, integration: Integration) {
        let mut inner = self.write();
        if inner
            .by_id
            .get(&integration.id)
            .is_some_and(|known| known.revision > integration.revision)
        {
            return;
        }
        if !inner.providers.contains(&integration.provider) {
            inner.providers.insert(integration.provider.clone());
        }
        let names = inner.by_name.entry(integration.org.clone()).or_default();
        let ids = names.entry(integration.name.clone()).or_default();
        if integration.status == Status::Deleted {
            ids.remove(&integration.id);
            if ids.is_empty() {
                names.remove(&integration.name);
            }
        } else {
            ids.insert(integration.id.clone());
        }
        inner.by_id.insert(integration.id.clone(), Arc::new(integration));
    }

    /// Knows the state of an integration at this revision of its key, unless a newer one is known.
    pub(crate) fn put_state(&self, integration: &str, state: State, revision: u64) {
        let mut inner = self.write();
        if inner.states.get(integration).is_none_or(|(_, known)| *known < revision) {
            inner.states.insert(integration.to_owned(), (state, revision));
        }
    }

    /// Refuses with 503 until all that was there at the start is known.
    pub(crate) fn complete(&self) -> Result<(), Problem> {
        if self.read().complete {
            Ok(())
        } else {
            Err(problems::not_complete())
        }
    }

    /// The integration of an org with this id or name.
    pub(crate) fn find(&self, org: &Name, id_or_name: &str) -> Option<Arc<Integration>> {
        let inner = self.read();
        match inner.by_id.get(id_or_name) {
            Some(found) if found.org == *org && found.status != Status::Deleted => Some(found.clone()),
            _ => {
                let id = inner.by_name.get(org)?.get(id_or_name)?.last()?;
                inner.by_id.get(id).cloned()
            }
        }
    }

    /// The integration with this id, a tombstone included.
    pub(crate) fn by_id(&self, id: &str) -> Option<Arc<Integration>> {
        self.read().by_id.get(id).cloned()
    }

    /// The integrations of an org, by name.
    pub(crate) fn of_org(&self, org: &Name) -> Vec<Arc<Integration>> {
        let inner = self.read();
        let ids = inner.by_name.get(org).into_iter().flat_map(BTreeMap::values).flatten();
        ids.filter_map(|id| inner.by_id.get(id).cloned()).collect()
    }

    /// All integrations that live, by org and name.
    pub(crate) fn all(&self) -> Vec<Arc<Integration>> {
        let inner = self.read();
        let ids = inner.by_name.values().flat_map(BTreeMap::values).flatten();
        ids.filter_map(|id| inner.by_id.get(id).cloned()).collect()
    }

    /// All that is known, tombstones included.
    pub(crate) fn everything(&self) -> Vec<Arc<Integration>> {
        self.read().by_id.values().cloned().collect()
    }

    /// The providers of all that is known, tombstones included: no other has deliveries.
    pub(crate) fn providers(&self) -> Vec<Name> {
        self.read().providers.iter().cloned().collect()
    }

    /// The state of an integration.
    pub(crate) fn state(&self, integration: &str) -> State {
        self.read()
            .states
            .get(integration)
            .map(|(state, _)| state.clone())
            .unwrap_or_default()
    }

    // A panic while the lock is held can only be a bug of the collections; what they hold is still whole.
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
