//! Leases: one holder of a duty at a time, over all processes.
//!
//! A lease is a key with a time to live. `update` of the bucket would drop the time to live, so
//! renewing is a plain publish with both. The revision is what a holder may fence its writes with.

use std::time::Duration;

use async_nats::jetstream::kv::{Operation, PurgeErrorKind};
use bytes::Bytes;
use signalbox_proto::subjects;
use tokio::time::Instant;

use crate::{Broker, Error, Publish, PublishError, kv::MARKER_TTL};

/// A duty held until `ttl` after the last renewal.
#[derive(Clone, Debug)]
pub struct Lease {
    key: String,
    /// The holder's name and a text of this lease's own: what tells its writes from all others.
    holder: String,
    ttl: Duration,
    revision: u64,
}

impl Broker {
    /// Takes a lease; `None` where another holds it. The time to live is whole seconds, at least one.
    pub async fn acquire(&self, key: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        let holder = format!("{holder} {}", self.unique());
        let mut lease = Lease {
            key: key.to_owned(),
            holder,
            ttl,
            revision: 0,
        };
        Ok(self.write_lease(&mut lease).await?.then_some(lease))
    }

    /// Renews a lease; false where it was lost. A holder stops after two thirds of the time to live
    /// without a renewal.
    pub async fn renew(&self, lease: &mut Lease) -> Result<bool, Error> {
        self.write_lease(lease).await
    }

    /// Renews a lease every third of its time; ends when it is lost, or when two thirds have passed without a renewal.
    pub async fn keep(&self, lease: &mut Lease) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(lease.ttl / 3).await;
            match self.renew(lease).await {
                Ok(true) => renewed = Instant::now(),
                Ok(false) => return,
                Err(error) => {
                    tracing::debug!(%error, key = lease.key, "a lease could not be renewed yet");
                    if renewed.elapsed() >= lease.ttl * 2 / 3 {
                        return;
                    }
                }
            }
        }
    }

    /// Gives a lease back.
    pub async fn release(&self, lease: Lease) -> Result<(), Error> {
        let store = self.bucket(subjects::LEASE).await?;
        // There may be a lease for each delivery: nothing of it stays.
        let released = store.purge_expect_revision_with_ttl(&lease.key, lease.revision, MARKER_TTL);
        match released.await {
            Ok(()) => Ok(()),
            // Lost before: there is nothing to give back.
            Err(error) if error.kind() == PurgeErrorKind::WrongLastRevision => Ok(()),
            Err(error) => Err(Error::Kv {
                what: format!("release {}", lease.key),
                bucket: subjects::LEASE,
                reason: error.to_string(),
            }),
        }
    }

    async fn write_lease(&self, lease: &mut Lease) -> Result<bool, Error> {
        let subject = format!("$KV.{}.{}", subjects::LEASE, lease.key);
        let mut expected = lease.revision;
        for _ in 0..2 {
            let publish = Publish {
                subject: subject.clone().into(),
                id: None,
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
                Err(PublishError::Stale { .. }) => match self.last_of_lease(lease).await? {
                    // The answer to this write was lost with a connection, and its repeat came here.
                    Last::Ours(revision) => {
                        lease.revision = revision;
                        return Ok(true);
                    }
                    // After an expiry or a release the key's last message is a marker: expect that.
                    Last::Free(revision) if lease.revision == 0 && expected == 0 && revision > 0 => expected = revision,
                    Last::Free(_) | Last::Anothers => return Ok(false),
                },
                Err(source) => return Err(Error::Publish { subject, source }),
            }
        }
        Ok(false)
    }

    async fn last_of_lease(&self, lease: &Lease) -> Result<Last, Error> {
        let store = self.bucket(subjects::LEASE).await?;
        let entry = store.entry(&lease.key).await.map_err(|error| Error::Kv {
            what: format!("read {}", lease.key),
            bucket: subjects::LEASE,
            reason: error.to_string(),
        })?;
        Ok(match entry {
            Some(entry) if entry.operation != Operation::Put => Last::Free(entry.revision),
            Some(entry) if entry.value == lease.holder.as_bytes() => Last::Ours(entry.revision),
            Some(_) => Last::Anothers,
            None => Last::Free(0),
        })
    }
}

/// What a lease's key holds.
enum Last {
    /// A write of this very lease.
    Ours(u64),
    /// A marker that nobody holds it; 0 for nothing at all.
    Free(u64),
    /// Another's.
    Anothers,
}
