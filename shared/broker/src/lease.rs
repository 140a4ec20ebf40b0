//! Leases: one holder of a duty at a time, over all processes.
//!
//! A lease is a key with a time to live. `update` of the bucket would drop the time to live, so
//! renewing is a plain publish with both. The revision is what a holder may fence its writes with.

use std::time::Duration;

use async_nats::jetstream::kv::{Operation, PurgeErrorKind};
use bytes::Bytes;
use signalbox_proto::subjects;

use crate::{Broker, Error, Publish, PublishError};

/// A duty held until `ttl` after the last renewal.
#[derive(Clone, Debug)]
pub struct Lease {
    key: String,
    holder: String,
    ttl: Duration,
    revision: u64,
}

impl Broker {
    /// Takes a lease; `None` where another holds it. The time to live is whole seconds, at least one.
    pub async fn acquire(&self, key: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        let mut lease = Lease { key: key.to_owned(), holder: holder.to_owned(), ttl, revision: 0 };
        Ok(self.write_lease(&mut lease).await?.then_some(lease))
    }

    /// Renews a lease; false where it was lost. A holder stops after two thirds of the time to live
    /// without a renewal.
    pub async fn renew(&self, lease: &mut Lease) -> Result<bool, Error> {
        self.write_lease(lease).await
    }

    /// Gives a lease back.
    pub async fn release(&self, lease: Lease) -> Result<(), Error> {
        let store = self.bucket(subjects::LEASE).await?;
        match store.purge_expect_revision(&lease.key, Some(lease.revision)).await {
            Ok(()) => Ok(()),
            // Lost before: there is nothing to give back.
            Err(error) if error.kind() == PurgeErrorKind::WrongLastRevision => Ok(()),
            Err(error) => {
                Err(Error::Kv { what: format!("release {}", lease.key), bucket: subjects::LEASE, reason: error.to_string() })
            }
        }
    }

    async fn write_lease(&self, lease: &mut Lease) -> Result<bool, Error> {
        let subject = format!("$KV.{}.{}", subjects::LEASE, lease.key);
        let mut expected = lease.revision;
        // After an expiry or a release the key's last message is a marker: read once, expect that.
        for _ in 0..2 {
            let publish = Publish {
                subject: subject.clone().into(),
                // Repeated after a reconnection, it must not meet its own revision as another's.
                id: Some(self.unique()),
                headers: vec![
                    ("Nats-TTL", format!("{}s", lease.ttl.as_secs().max(1))),
                    ("Nats-Expected-Last-Subject-Sequence", expected.to_string()),
                ],
                body: Bytes::from(lease.holder.clone()),
            };
            match self.publisher().publish_within(publish, lease.ttl / 3).await {
                Ok(ack) => {
                    lease.revision = ack.seq;
                    return Ok(true);
                }
                Err(PublishError::Stale { .. }) if lease.revision == 0 && expected == 0 => {
                    match self.free_revision(&lease.key).await? {
                        Some(revision) => expected = revision,
                        None => return Ok(false),
                    }
                }
                Err(PublishError::Stale { .. }) => return Ok(false),
                Err(source) => return Err(Error::Publish { subject, source }),
            }
        }
        Ok(false)
    }

    /// The revision of the marker that says that nobody holds the key; `None` where someone does.
    async fn free_revision(&self, key: &str) -> Result<Option<u64>, Error> {
        let store = self.bucket(subjects::LEASE).await?;
        let entry = store
            .entry(key)
            .await
            .map_err(|error| Error::Kv { what: format!("read {key}"), bucket: subjects::LEASE, reason: error.to_string() })?;
        Ok(match entry {
            Some(entry) if entry.operation == Operation::Put => None,
            Some(entry) => Some(entry.revision),
            None => Some(0),
        })
    }
}
