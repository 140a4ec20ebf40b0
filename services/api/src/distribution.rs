//! What is committed in SQL reaches the workers through KV.
//!
//! Whoever changes something commits first; with the change goes a row in the outbox. Then it is told ([`Shared::tell`]) and the
//! row removed. A process that ends in between, or a NATS that does not answer, leaves the row, and any API process puts
//! what it names a moment later ([`sweep`]). Nothing is put from memory: the thing is read anew, and KV takes no revision
//! that is not above its own, so that repeats and races do no harm. What KV has otherwise already stays as it is, and the row
//! goes all the same: [`crate::drift`] sees it.

use std::time::Duration;

use signalbox_broker::{Error as BrokerError, callers, erase::Mode, holding::Drain, revisions::Put};
use signalbox_proto::{Phase, Timestamp, integration::Status, subjects, subjects::CONFIG};
use signalbox_store::{
    Error as StoreError,
    event_types::read_id,
    outbox::{Kind, Untold},
};

use crate::{Shared, problems::chain};

/// How long whoever made a change has to tell of it before others do.
const LEFT_FOR: Duration = Duration::from_secs(1);
/// How often others look.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Rows of one look.
const ROWS_MAX: u32 = 500;
/// How often a hold that changes all the time is followed before the next look goes on with it.
const HOLD_TRIES_MAX: usize = 8;
/// Failures that end a look.
const FAILED_MAX: usize = 3;
/// Why an integration waits that a person paused.
pub(crate) const PAUSED: &str = "paused by a person";

/// Why something is not in KV yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The database.
    #[error("cannot read what is to be told")]
    Store(#[from] StoreError),
    /// NATS.
    #[error("cannot put it into KV")]
    Broker(#[from] BrokerError),
}

impl Error {
    fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Broker(error) => error.is_transient() || matches!(error, BrokerError::Conflict { .. }),
        }
    }
}

impl Shared {
    /// Puts into KV what was just committed. Where that fails now, the sweep does it: the change is made in any case.
    pub(crate) async fn tell(&self, kind: Kind, id: &str) {
        if let Err(error) = self.put(kind, id).await {
            let error = chain(&error);
            tracing::warn!(
                error,
                kind = kind.as_str(),
                id,
                "a change is committed, and workers hear of it later"
            );
        }
    }

    /// Puts what the row names as it is now, and removes the row.
    pub(crate) async fn put(&self, kind: Kind, id: &str) -> Result<(), Error> {
        let revision = match kind {
            Kind::Integration => self.put_integration(id).await?,
            Kind::EventType => self.put_event_type(id).await?,
            Kind::Key => self.put_key(id).await?,
            Kind::Org => self.put_org(id).await?,
            Kind::Hold => self.put_hold(id).await?,
        };
        // What is not in the database any more has nothing to be told.
        self.store()
            .outbox_done(kind, id, revision.unwrap_or(u64::MAX >> 1))
            .await?;
        Ok(())
    }

    async fn put_integration(&self, id: &str) -> Result<Option<u64>, Error> {
        let Some(stored) = self.store().integration_by_id(id).await? else {
            return Ok(None);
        };
        let integration = stored.integration;
        let revision = integration.revision;
        if integration.status != Status::Deleted {
            // A router that saw the integration first would publish to a stream that is not there.
            self.broker.ensure_provider(&integration.provider).await?;
        }
        let put = self
            .broker
            .put_newer(CONFIG, &subjects::integration_key(id), &integration, revision)
            .await?;
        let is_there = !differs(put, Kind::Integration, id, revision);
        if integration.status == Status::Deleted {
            // What waits in PARKED is taken out by a keeper, the rest is met by workers; both end it as discarded.
            self.broker.resume(id, Drain::default(), Timestamp::now()).await?;
            for (bucket, key) in [
                (subjects::STATE, subjects::totals_key(id)),
                (subjects::LEASE, subjects::totals_lease(id)),
                (subjects::REFS, subjects::refs_key(id, "*")),
                (subjects::LEASE, subjects::refs_lease(id, "*")),
            ] {
                self.broker.erase_keys(bucket, &key, Mode::Erase).await?;
            }
        }
        if is_there {
            self.directory.put(integration);
        }
        Ok(Some(revision))
    }

    async fn put_event_type(&self, id: &str) -> Result<Option<u64>, Error> {
        let Some((org, name)) = read_id(id) else {
            return Ok(None);
        };
        let Some(stored) = self.store().event_type_or_tombstone(&org, &name).await? else {
            return Ok(None);
        };
        let key = subjects::type_key(org.as_str(), name.as_str());
        let revision = stored.registered.revision;
        let put = match stored.deleted_at {
            None => {
                self.broker
                    .put_newer(CONFIG, &key, &stored.registered, revision)
                    .await?
            }
            Some(_) => self.broker.remove_older(CONFIG, &key, revision).await?,
        };
        differs(put, Kind::EventType, id, revision);
        Ok(Some(revision))
    }

    async fn put_key(&self, hash: &str) -> Result<Option<u64>, Error> {
        let Some(stored) = self.store().key_by_hash(hash).await? else {
            return Ok(None);
        };
        let revision = stored.key.revision;
        let put = self
            .broker
            .put_newer(CONFIG, &subjects::key_key(hash), &stored.key, revision)
            .await?;
        // The next request to this process meets it. Not what other processes do not meet: they may know it as revoked.
        if !differs(put, Kind::Key, &stored.key.id, revision) {
            self.access.learn(callers::Change::Key {
                hash: hash.to_owned(),
                key: Box::new(stored.key),
            });
        }
        Ok(Some(revision))
    }

    async fn put_org(&self, id: &str) -> Result<Option<u64>, Error> {
        let Ok(name) = id.parse() else { return Ok(None) };
        let Some(org) = self.store().org(&name).await? else {
            return Ok(None);
        };
        let put = self
            .broker
            .put_newer(CONFIG, &subjects::org_key(name.as_str()), &org.told(), org.revision)
            .await?;
        if !differs(put, Kind::Org, id, org.revision) {
            self.access.learn(callers::Change::Org(org.told()));
        }
        Ok(Some(org.revision))
    }

    /// Holds or lets go, as a person last said. KV STATE has no revision of ours: so what the person says is read again
    /// afterwards, and whoever came last has read the last word.
    async fn put_hold(&self, id: &str) -> Result<Option<u64>, Error> {
        let mut told = None;
        for _ in 0..HOLD_TRIES_MAX {
            let stored = self.store().integration_by_id(id).await?;
            let Some(stored) = stored.filter(|stored| stored.integration.status != Status::Deleted) else {
                return Ok(None);
            };
            if told == Some(stored.hold_revision) {
                break;
            }
            let now = Timestamp::now();
            let phase = self.broker.state(id).await?.value.phase;
            // Whoever resumed said how it drains, which is not repeated here: only a hold that was left behind is ended.
            if stored.held && phase != Phase::Paused {
                self.broker.pause(id, PAUSED, now).await?;
            } else if !stored.held && phase == Phase::Paused {
                self.broker.resume(id, Drain::default(), now).await?;
            }
            told = Some(stored.hold_revision);
        }
        Ok(told)
    }
}

/// Whether KV says something else than SQL, at a higher revision or at the same: another SQL was here before, such as the
/// one before a backup was put back.
fn differs(put: Put, kind: Kind, id: &str, revision: u64) -> bool {
    let (known, what) = match put {
        Put::Known { revision: known } if known > revision => (known, "a newer one than the database"),
        Put::Differs { revision } => (revision, "another one than the database, of the same revision"),
        Put::Written | Put::Known { .. } => return false,
    };
    tracing::error!(
        kind = kind.as_str(),
        id,
        revision,
        in_kv = known,
        "workers have {what}: `signalbox doctor --repair` makes the database count"
    );
    true
}

/// Tells what others left untold, again and again. Ends never.
pub(crate) async fn sweep(shared: &Shared) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let due = match shared.store().outbox_due(Timestamp::now() - LEFT_FOR, ROWS_MAX).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "cannot look for changes that workers have not heard of"
                );
                continue;
            }
        };
        let mut failed = 0;
        for Untold { kind, id, .. } in due {
            match shared.put(kind, &id).await {
                Ok(()) => tracing::info!(
                    kind = kind.as_str(),
                    id,
                    "workers hear of a change that was left untold"
                ),
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        kind = kind.as_str(),
                        id,
                        "workers cannot hear of a change yet"
                    );
                    // NATS or the database is away, and so for the others too. One alone must not keep them.
                    failed += usize::from(error.is_transient());
                    if failed >= FAILED_MAX {
                        break;
                    }
                }
            }
        }
    }
}
