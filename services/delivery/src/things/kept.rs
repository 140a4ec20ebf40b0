//! What is remembered, in KV REFS.

use std::{sync::Arc, time::Duration};

use signalbox_broker::{Broker, Error, erase::Mode, kv::Entry};
use signalbox_proto::{integration::Status, refs::Refs, subjects};
use signalbox_providers::things;

use super::{Book, Holding, Remembering};
use crate::lease::Lease;

/// How long a thing is waited for that another delivery is at; then this one comes again.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// The things of all integrations. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Things {
    broker: Broker,
    instance: Arc<str>,
}

impl Things {
    pub(crate) fn new(broker: Broker, instance: &str) -> Self {
        Self {
            broker,
            instance: instance.into(),
        }
    }
}

impl Remembering for Things {
    type Book = Kept;
    type Holding = Lease;

    async fn take(&self, integration: &str, thing: &str) -> Result<(Kept, Lease), String> {
        let key = subjects::refs_lease(integration, thing);
        let lease = Lease::take(&self.broker, &key, &self.instance, WAIT_MAX).await?;
        let kept = Kept {
            broker: self.broker.clone(),
            integration: integration.to_owned(),
            key: subjects::refs_key(integration, thing),
            names: subjects::refs_key(integration, &things::names_token()),
            revision: 0,
            names_revision: 0,
        };
        Ok((kept, lease))
    }
}

/// What is remembered of one thing.
pub(crate) struct Kept {
    broker: Broker,
    integration: String,
    key: String,
    names: String,
    revision: u64,
    names_revision: u64,
}

impl Kept {
    async fn value(&self, key: &str) -> Result<Option<Entry<Refs>>, String> {
        let read = self.broker.get::<Refs>(subjects::REFS, key).await;
        read.map_err(|error| error.to_string())
    }

    async fn replace(&mut self, refs: &Refs) -> Result<(), Error> {
        if refs.is_empty() {
            if self.revision > 0 {
                self.broker.delete_at(subjects::REFS, &self.key, self.revision).await?;
                self.revision = 0;
            }
            return Ok(());
        }
        self.revision = self.store(&self.key, refs, self.revision).await?;
        Ok(())
    }

    /// Writes a key in the place of this revision, unless its integration is gone.
    async fn store(&self, key: &str, refs: &Refs, revision: u64) -> Result<u64, Error> {
        let stored = self.broker.update(subjects::REFS, key, refs, revision).await?;
        if revision > 0 || self.is_wanted().await? {
            return Ok(stored);
        }
        // Whoever deletes an integration says so first and removes what it remembered then. So either this is removed with
        // it, or the deletion is seen here.
        self.broker.erase_keys(subjects::REFS, key, Mode::Erase).await?;
        Err(Error::Conflict { key: key.to_owned() })
    }

    async fn is_wanted(&self) -> Result<bool, Error> {
        let known = self.broker.integration(&self.integration).await?;
        Ok(known.is_some_and(|entry| entry.value.status != Status::Deleted))
    }
}

impl Book for Kept {
    async fn read(&mut self) -> Result<(Refs, Refs), String> {
        let entry = self.value(&self.key).await?;
        let names = self.value(&self.names).await?;
        self.revision = entry.as_ref().map_or(0, |entry| entry.revision);
        self.names_revision = names.as_ref().map_or(0, |entry| entry.revision);
        let value = |entry: Option<Entry<Refs>>| entry.map(|entry| entry.value).unwrap_or_default();
        Ok((value(entry), value(names)))
    }

    async fn write(&mut self, refs: &Refs) -> Result<(), String> {
        self.replace(refs).await.map_err(|error| error.to_string())
    }

    async fn write_names(&mut self, names: &Refs) -> Result<(), String> {
        match self.store(&self.names, names, self.names_revision).await {
            Ok(revision) => {
                self.names_revision = revision;
                Ok(())
            }
            // Another has learnt names meanwhile: what is not remembered is looked up again.
            Err(Error::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Holding for Lease {
    async fn bound<T: Send>(&mut self, future: impl Future<Output = T> + Send) -> Option<T> {
        Self::bound(self, future).await
    }

    async fn release(self) {
        Self::release(self).await;
    }
}
