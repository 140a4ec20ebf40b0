//! Closing digests: what waits in BATCH becomes one delivery, in steps that a crash may part anywhere.
//!
//! 1. The members are fixed: a [`Manifest`] is created in STATE, on condition that there is none. It also fixes the way:
//!    to a lane, or behind the gate of an integration that is held.
//! 2. The digest of exactly these is published that way, whatever the integration is like by then: a repeat in another
//!    stream would be a second copy.
//! 3. The manifest says that it is sent.
//! 4. The members are removed.
//! 5. The manifest is removed, on condition that it is still this one.
//!
//! **Invariant:** what is sent under a digest's id are the members that its manifest names. They are read after it was
//! created, and one that is not marked as sent has lost none to a keeper; so whoever finds it, after a crash or after a
//! long sleep, publishes the same bytes under the same id, or finds itself overtaken by a condition that does not hold.
//!
//! A person may give members up while they are being fixed. Those that are gone without the mark were given up: the
//! manifest is then written anew, on condition that nobody else has, before the rest is published.

use std::{collections::HashSet, ops::ControlFlow, time::Duration};

use async_nats::jetstream::kv::PurgeErrorKind;
use futures::TryStreamExt as _;
use signalbox_proto::{
    DeadLetter, DeadReason, Delivery, Lane, Phase, Stage as Place, State, Timestamp,
    dead::Input,
    digest::{Manifest, Way},
    subjects, wire,
};

use crate::{Broker, Error, browse::Stored, holding::Held, hops::Hop, kv::Entry, topology::From};

/// How long a provider's stream may take to acknowledge a digest: one without a leader holds up nothing but its own.
const SEND_DEADLINE: Duration = Duration::from_secs(10);
/// Members that are removed at a time.
const REMOVALS_AT_ONCE: usize = 16;
/// How long followers of the bucket can see that a manifest was removed.
const FORGOTTEN_TTL: Duration = Duration::from_secs(60);

/// What is known of the integration whose digest is closed.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Its newest revision; 0 where it is not known.
    pub revision: u64,
    /// Whether it is held.
    pub state: State,
}

impl Target {
    /// The way of a digest that is fixed now.
    fn way(&self) -> Way {
        match self.state.phase {
            Phase::Open => Way::Live,
            Phase::Paused | Phase::Suspended | Phase::Draining | Phase::Unknown => Way::Parked,
        }
    }
}

/// The next step of a digest that is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its members are to be fixed.
    Fix,
    /// It is to be published.
    Send,
    /// Its manifest is to say that it is sent.
    Mark,
    /// Its members are to be removed.
    Remove,
    /// Its manifest is to be removed.
    Forget,
    /// Nothing is left to do.
    Done,
}

/// A digest that is being closed. Dropped between two steps, it is resumed by whoever finds its manifest.
#[derive(Clone, Debug)]
pub struct Closing {
    entry: Entry<Manifest>,
    stage: Stage,
    /// Sequences of members that were read: what is to be removed in the end.
    read: Vec<u64>,
}

impl Closing {
    /// A digest whose members are to be fixed. Where one of its integration is being closed already, it becomes that
    /// one: see [`Closing::manifest`].
    pub fn begin(manifest: Manifest) -> Self {
        let entry = Entry {
            value: manifest,
            revision: 0,
        };
        Self {
            entry,
            stage: Stage::Fix,
            read: Vec::new(),
        }
    }

    /// Goes on where its manifest was found.
    pub fn resume(entry: Entry<Manifest>) -> Self {
        let stage = if entry.value.sent { Stage::Remove } else { Stage::Send };
        Self {
            entry,
            stage,
            read: Vec::new(),
        }
    }

    /// Which digest it is.
    pub fn manifest(&self) -> &Manifest {
        &self.entry.value
    }

    /// What comes next.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Takes one step. [`Error::Conflict`] means that someone else closes it: nothing is to be done here.
    pub async fn step(&mut self, broker: &Broker, target: &Target) -> Result<Stage, Error> {
        self.stage = match self.stage {
            Stage::Fix => self.fix(broker, target).await?,
            Stage::Send => self.send(broker, target).await?,
            Stage::Mark => {
                let sent = Manifest {
                    sent: true,
                    ..self.entry.value.clone()
                };
                self.replace(broker, sent).await?;
                Stage::Remove
            }
            Stage::Remove => {
                broker
                    .remove_members(&self.entry.value, std::mem::take(&mut self.read))
                    .await?;
                Stage::Forget
            }
            Stage::Forget => {
                broker.forget_manifest(&self.entry).await?;
                Stage::Done
            }
            Stage::Done => Stage::Done,
        };
        Ok(self.stage)
    }

    async fn fix(&mut self, broker: &Broker, target: &Target) -> Result<Stage, Error> {
        self.entry.value.way = Some(target.way());
        let integration = &self.entry.value.integration;
        let key = subjects::manifest_key(integration);
        match broker.create(subjects::STATE, &key, &self.entry.value).await {
            Ok(revision) => self.entry.revision = revision,
            Err(Error::Conflict { key }) => {
                let found = broker.manifest(integration).await?;
                *self = Self::resume(found.ok_or(Error::Conflict { key })?);
                return Ok(self.stage);
            }
            Err(error) => return Err(error),
        }
        Ok(Stage::Send)
    }

    async fn send(&mut self, broker: &Broker, target: &Target) -> Result<Stage, Error> {
        let manifest = &self.entry.value;
        let stored = broker.members_of(manifest).await?;
        // One that an older version began names no way.
        let way = manifest.way.unwrap_or_else(|| target.way());
        if stored.len() < manifest.count as usize || manifest.way.is_none() {
            // Whoever has published it meanwhile has written its manifest, and this is refused.
            let left = Manifest {
                count: u32::try_from(stored.len()).unwrap_or(u32::MAX),
                way: Some(way),
                ..manifest.clone()
            };
            self.replace(broker, left).await?;
        }
        self.read = stored.iter().map(|stored| stored.seq).collect();
        let mut members = Vec::with_capacity(stored.len());
        for stored in stored {
            match wire::decode_delivery(&stored.body) {
                Ok(member) => members.push(member),
                Err(error) => {
                    broker
                        .bury_member(&self.entry.value, stored, &error.to_string())
                        .await?
                }
            }
        }
        let Some(digest) = self.entry.value.digest(members, target.revision) else {
            // All were given up, or cannot be read: what is left is only to be removed.
            return Ok(Stage::Mark);
        };
        if way == Way::Parked {
            match broker.park_digest(&digest, &target.state).await? {
                Held::Parked => return Ok(Stage::Mark),
                // It was let go meanwhile. From here on no repeat parks.
                Held::Open => {
                    let live = Manifest {
                        way: Some(Way::Live),
                        ..self.entry.value.clone()
                    };
                    self.replace(broker, live).await?;
                }
            }
        }
        broker.send_digest(&digest).await?;
        Ok(Stage::Mark)
    }

    async fn replace(&mut self, broker: &Broker, next: Manifest) -> Result<(), Error> {
        let key = subjects::manifest_key(&next.integration);
        let revision = broker.update(subjects::STATE, &key, &next, self.entry.revision).await?;
        self.entry = Entry { value: next, revision };
        Ok(())
    }
}

impl Broker {
    /// The digest of an integration that is being closed, if one is.
    pub async fn manifest(&self, integration: &str) -> Result<Option<Entry<Manifest>>, Error> {
        self.get(subjects::STATE, &subjects::manifest_key(integration)).await
    }

    /// All digests that are being closed, or were when their keeper ended.
    pub async fn manifests(&self) -> Result<Vec<Entry<Manifest>>, Error> {
        let mut manifests = Vec::new();
        self.scan(
            &format!("KV_{}", subjects::STATE),
            vec![format!("$KV.{}.{}", subjects::STATE, subjects::manifest_key("*"))],
            From::LastPerSubject,
            |message| {
                // What was removed leaves an empty message for a moment.
                if !message.body.is_empty() {
                    match wire::decode::<Manifest>(&message.body) {
                        Ok(value) => manifests.push(Entry {
                            value,
                            revision: message.place.seq,
                        }),
                        Err(error) => tracing::error!(%error, key = %message.subject, "cannot read a manifest"),
                    }
                }
                ControlFlow::Continue(())
            },
        )
        .await?;
        Ok(manifests)
    }

    /// The messages that a manifest names and that are still there. Any replica is asked; what it lacks is looked for
    /// at the leader, and an error where only the replica lacks it.
    async fn members_of(&self, manifest: &Manifest) -> Result<Vec<Stored>, Error> {
        let subject = subjects::batch(&manifest.org, &manifest.integration);
        let count = manifest.count as usize;
        let mut members: Vec<Stored> = Vec::with_capacity(count);
        let mut next = manifest.first;
        while members.len() < count {
            let part = self
                .read_from(subjects::BATCH, &subject, next, count - members.len())
                .await?;
            let Some(last) = part.last() else { break };
            next = last.seq + 1;
            members.extend(part.into_iter().filter(|stored| manifest.holds(stored.seq)));
            if next > manifest.last {
                break;
            }
        }
        if members.len() < count {
            let there = self.members_at_leader(manifest, &subject).await?;
            members.retain(|stored| there.contains(&stored.seq));
            if members.len() < there.len() {
                return Err(Error::Request {
                    what: format!("members of digest {}", manifest.id),
                    reason: "the server that was asked does not have all of them yet".to_owned(),
                });
            }
        }
        Ok(members)
    }

    async fn members_at_leader(&self, manifest: &Manifest, subject: &str) -> Result<HashSet<u64>, Error> {
        let mut there = HashSet::new();
        let mut next = manifest.first;
        while let Some(seq) = self.next_at_leader(subjects::BATCH, subject, next).await? {
            if seq > manifest.last {
                break;
            }
            there.insert(seq);
            next = seq + 1;
        }
        Ok(there)
    }

    /// Puts a digest behind the gate of its integration, unless that is open.
    async fn park_digest(&self, digest: &Delivery, known: &State) -> Result<Held, Error> {
        let newest;
        let known = if known.phase == Phase::Open {
            newest = self.state(&digest.integration).await?.value;
            &newest
        } else {
            known
        };
        match self.park_behind(digest, known).await {
            Err(error) => self.refused_digest(digest, error).await.map(|()| Held::Parked),
            held => held,
        }
    }

    /// Publishes a digest into its lane.
    async fn send_digest(&self, digest: &Delivery) -> Result<(), Error> {
        match self.hop_within(digest, Hop::Deliver(Lane::Live), SEND_DEADLINE).await {
            Err(error) => self.refused_digest(digest, error).await,
            Ok(_) => Ok(()),
        }
    }

    /// A digest that a stream will never take becomes a dead letter; any other error stays one.
    async fn refused_digest(&self, digest: &Delivery, error: Error) -> Result<(), Error> {
        match error {
            error @ Error::Publish { .. } if !error.is_transient() => {
                let why = format!("its stream refuses this digest: {error}");
                let next = digest.next_hop();
                let id = next.hop_id();
                let now = Timestamp::now();
                let letter = DeadLetter::of_delivery(Place::Delivery, DeadReason::Invalid, &why, next, now);
                self.bury(&letter, &id).await.map(|_| ())
            }
            error => Err(error),
        }
    }

    async fn bury_member(&self, manifest: &Manifest, stored: Stored, why: &str) -> Result<(), Error> {
        let id = Self::dead_id(subjects::BATCH, stored.seq, "invalid");
        let input = Input {
            subject: stored.subject,
            headers: Vec::new(),
            body: stored.body.to_vec(),
        };
        let why = format!("this delivery cannot be read: {why}");
        let org = Some(manifest.org.clone());
        let letter = DeadLetter::of_input(Place::Delivery, DeadReason::Invalid, &why, org, input, stored.at);
        self.bury(&letter, &id).await.map(|_| ())
    }

    async fn remove_members(&self, manifest: &Manifest, read: Vec<u64>) -> Result<(), Error> {
        futures::stream::iter(read.into_iter().map(Ok))
            .try_for_each_concurrent(REMOVALS_AT_ONCE, |seq| self.remove(subjects::BATCH, seq))
            .await?;
        // What an earlier keeper left: it is not known, and the leader alone knows that there is none.
        let subject = subjects::batch(&manifest.org, &manifest.integration);
        while let Some(seq) = self.next_at_leader(subjects::BATCH, &subject, manifest.first).await? {
            if !manifest.holds(seq) {
                break;
            }
            self.remove(subjects::BATCH, seq).await?;
        }
        Ok(())
    }

    /// Removes a manifest as it is at this revision. One that moved on is another keeper's.
    async fn forget_manifest(&self, entry: &Entry<Manifest>) -> Result<(), Error> {
        let key = subjects::manifest_key(&entry.value.integration);
        let store = self.bucket(subjects::STATE).await?;
        let forgotten = store
            .purge_expect_revision_with_ttl(&key, entry.revision, FORGOTTEN_TTL)
            .await;
        match forgotten {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == PurgeErrorKind::WrongLastRevision => Ok(()),
            Err(error) => Err(Error::Kv {
                what: format!("remove {key}"),
                bucket: subjects::STATE,
                reason: error.to_string(),
            }),
        }
    }
}
