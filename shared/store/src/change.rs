//! One change of the configuration: one transaction.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Any, AnyConnection, Transaction};

use crate::{Error, Store, audit::Object};

/// What is changed together or not at all. Nothing is changed before [`Change::commit`]; dropped before, it leaves nothing.
/// After an error it can only be dropped.
///
/// SQLite has one writer: while a change is open, nothing else of this process is written. So it is short, and does not
/// wait for anything but the database.
///
/// **Invariant:** each thing that is changed has its one entry in the audit, in the same transaction: a change without it is
/// not committed.
pub struct Change {
    transaction: Transaction<'static, Any>,
    changed: BTreeSet<Thing>,
    /// How often each is spoken of.
    audited: BTreeMap<Thing, usize>,
}

/// Kind and id, as in [`Object`].
type Thing = (String, String);

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change")
            .field("changed", &self.changed)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Begins a change.
    pub async fn change(&self) -> Result<Change, Error> {
        Ok(Change {
            transaction: self.begin().await?,
            changed: BTreeSet::new(),
            audited: BTreeMap::new(),
        })
    }
}

impl Change {
    /// Makes it so.
    pub async fn commit(self) -> Result<(), Error> {
        for (kind, id) in &self.changed {
            let entries = self.audited.get(&(kind.clone(), id.clone())).copied().unwrap_or(0);
            if entries != 1 {
                return Err(Error::Unaudited {
                    what: format!("{kind} {id}"),
                    entries,
                });
            }
        }
        self.transaction.commit().await?;
        Ok(())
    }

    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }

    /// A thing is not what it was: an entry of the audit has to say so. Twice in one change is once.
    pub(crate) fn changed(&mut self, kind: &str, id: &str) {
        self.changed.insert((kind.to_owned(), id.to_owned()));
    }

    /// An entry says so.
    pub(crate) fn audited(&mut self, object: &Object) {
        let thing = (object.kind.clone(), object.id.clone());
        *self.audited.entry(thing).or_default() += 1;
    }
}
