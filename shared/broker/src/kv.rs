//! Keys and values: reading one, writing one on condition, by bucket.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use signalbox_proto::{State, subjects, wire};

use async_nats::jetstream::kv::{CreateErrorKind, Operation, Store, UpdateErrorKind};

use crate::{Broker, Error, Publish};

/// How long a write that has a time to live may take.
const PUT_MAX: Duration = Duration::from_secs(5);
/// How long it can be seen that a key was removed, by who reads it at an older revision.
pub(crate) const MARKER_TTL: Duration = Duration::from_secs(3600);

/// A value with the revision under which it may be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<T> {
    /// The value.
    pub value: T,
    /// Its revision.
    pub revision: u64,
}

/// The buckets that were opened: opening one asks the server.
#[derive(Debug, Default)]
pub(crate) struct Stores(Mutex<Vec<(&'static str, Arc<Store>)>>);

impl Stores {
    fn get(&self, bucket: &str) -> Option<Arc<Store>> {
        let stores = self.0.lock().expect("no holder of the lock panics");
        stores
            .iter()
            .find(|(name, _)| *name == bucket)
            .map(|(_, store)| store.clone())
    }

    fn keep(&self, bucket: &'static str, store: Arc<Store>) {
        let mut stores = self.0.lock().expect("no holder of the lock panics");
        // Two may open the same one at once.
        if stores.iter().all(|(name, _)| *name != bucket) {
            stores.push((bucket, store));
        }
    }
}

impl Broker {
    /// The store of a bucket that [`Broker::ensure_streams`] has made.
    pub(crate) async fn bucket(&self, bucket: &'static str) -> Result<Arc<Store>, Error> {
        if let Some(store) = self.stores().get(bucket) {
            return Ok(store);
        }
        let opened = self.jetstream().get_key_value(bucket).await;
        let store = Arc::new(opened.map_err(|error| Error::Kv {
            what: "open".into(),
            bucket,
            reason: error.to_string(),
        })?);
        self.stores().keep(bucket, store.clone());
        Ok(store)
    }

    /// Reads a key; `None` where it is missing or deleted.
    pub async fn get<T: DeserializeOwned>(&self, bucket: &'static str, key: &str) -> Result<Option<Entry<T>>, Error> {
        let store = self.bucket(bucket).await?;
        let entry = store.entry(key).await.map_err(|error| Error::Kv {
            what: format!("read {key}"),
            bucket,
            reason: error.to_string(),
        })?;
        match entry {
            Some(entry) if entry.operation == Operation::Put => Ok(Some(Entry {
                value: wire::decode(&entry.value)?,
                revision: entry.revision,
            })),
            _ => Ok(None),
        }
    }

    /// Writes a key that must not exist; [`Error::Conflict`] where it does.
    pub async fn create<T: Serialize>(&self, bucket: &'static str, key: &str, value: &T) -> Result<u64, Error> {
        let store = self.bucket(bucket).await?;
        let body = Bytes::from(wire::encode(value)?);
        store.create(key, body).await.map_err(|error| match error.kind() {
            CreateErrorKind::AlreadyExists => Error::Conflict { key: key.to_owned() },
            _ => Error::Kv {
                what: format!("create {key}"),
                bucket,
                reason: error.to_string(),
            },
        })
    }

    /// Replaces a key at this revision (0: missing); [`Error::Conflict`] where it moved on.
    pub async fn update<T: Serialize>(
        &self,
        bucket: &'static str,
        key: &str,
        value: &T,
        revision: u64,
    ) -> Result<u64, Error> {
        if revision == 0 {
            return self.create(bucket, key, value).await;
        }
        let store = self.bucket(bucket).await?;
        let body = Bytes::from(wire::encode(value)?);
        store
            .update(key, body, revision)
            .await
            .map_err(|error| match error.kind() {
                UpdateErrorKind::WrongLastRevision => Error::Conflict { key: key.to_owned() },
                _ => Error::Kv {
                    what: format!("update {key}"),
                    bucket,
                    reason: error.to_string(),
                },
            })
    }

    /// Writes a key whatever it holds.
    pub async fn put<T: Serialize>(&self, bucket: &'static str, key: &str, value: &T) -> Result<u64, Error> {
        let store = self.bucket(bucket).await?;
        let body = Bytes::from(wire::encode(value)?);
        store.put(key, body).await.map_err(|error| Error::Kv {
            what: format!("write {key}"),
            bucket,
            reason: error.to_string(),
        })
    }

    /// Writes a key whatever it holds, for so long: after that it is gone, as if it had never been there. Whole
    /// seconds, at least one.
    pub async fn put_for<T: Serialize>(
        &self,
        bucket: &'static str,
        key: &str,
        value: &T,
        ttl: Duration,
    ) -> Result<(), Error> {
        let publish = Publish {
            subject: format!("$KV.{bucket}.{key}").into(),
            id: None,
            // The client's own `put` has no time to live.
            headers: vec![("Nats-TTL", format!("{}s", ttl.as_secs().max(1)))],
            body: Bytes::from(wire::encode(value)?),
        };
        let put = self.publisher().publish_within(publish, PUT_MAX).await;
        put.map(|_| ()).map_err(|error| Error::Kv {
            what: format!("write {key}"),
            bucket,
            reason: error.to_string(),
        })
    }

    /// Removes a key.
    pub async fn delete(&self, bucket: &'static str, key: &str) -> Result<(), Error> {
        let store = self.bucket(bucket).await?;
        store.purge(key).await.map_err(|error| Error::Kv {
            what: format!("delete {key}"),
            bucket,
            reason: error.to_string(),
        })
    }

    /// Removes a key that is at this revision still, without a mark that stays.
    pub async fn delete_at(&self, bucket: &'static str, key: &str, revision: u64) -> Result<(), Error> {
        let store = self.bucket(bucket).await?;
        let deleted = store.purge_expect_revision_with_ttl(key, revision, MARKER_TTL).await;
        deleted.map_err(|error| Error::Kv {
            what: format!("delete {key}"),
            bucket,
            reason: error.to_string(),
        })
    }

    /// An integration as CONFIG holds it, read once and not from a watch.
    pub async fn integration(&self, id: &str) -> Result<Option<Entry<signalbox_proto::Integration>>, Error> {
        self.get(subjects::CONFIG, &subjects::integration_key(id)).await
    }

    /// The state of an integration and the revision under which it may be replaced, read once and
    /// not from a watch.
    pub async fn state(&self, integration: &str) -> Result<Entry<State>, Error> {
        Ok(self
            .get(subjects::STATE, &subjects::state_key(integration))
            .await?
            .unwrap_or(Entry {
                value: State::default(),
                revision: 0,
            }))
    }

    /// Replaces the state of an integration at this revision.
    pub async fn set_state(&self, integration: &str, state: &State, revision: u64) -> Result<u64, Error> {
        self.update(subjects::STATE, &subjects::state_key(integration), state, revision)
            .await
    }
}
