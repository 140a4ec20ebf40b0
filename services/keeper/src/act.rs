//! Replays and discards of dead letters, resumable without a second send.
//!
//! **Invariant:** what is about to be published again is marked before, and marked as done after;
//! the cursor follows. After a crash, only what is marked as intended and not as done is in doubt:
//! for those, evidence is looked for in every stream that could hold it, before anything is sent.

use std::{
    collections::{BTreeMap, BTreeSet},
};

use signalbox_broker::{
    Error, Publish, Puller,
    browse::{Marks, Stored, dead_letter_seq},
    hops::Hop,
    topology::{Consumer, From},
};
use signalbox_proto::{
    DeadLetter, Delivery, Lane, Name, Timestamp,
    act::{Act, ActStatus, DeadFilter, Did, Kind, MARK_SEQS_MAX, Mark},
    dead::Input,
    delivery, hash,
    integration::Status,
    ledger::Final,
    subjects, wire,
};
use tokio::time::Instant;

use crate::{Keeper, evidence, pace::Pace, settle};

/// Dead letters between two marks: what one crash can leave in doubt.
const CHUNK: usize = 64;
/// Dead letters read at a time.
const READ: usize = 500;

/// Follows the acts that are asked for and does them one after another.
pub(crate) async fn run(keeper: Keeper) -> Result<(), Error> {
    let bucket = format!("KV_{}", subjects::STATE);
    let filter = format!("$KV.{}.{}", subjects::STATE, subjects::act_key("*"));
    let consumer = Consumer::follow(&keeper.broker, &bucket, vec![filter], From::LastPerSubject);
    let mut puller = Puller::open(&keeper.broker, consumer).await?;
    loop {
        let message = puller.next(100).await;
        if message.body.is_empty() {
            continue;
        }
        match wire::decode::<Act>(&message.body) {
            Ok(act) if act.status == ActStatus::Running => work(&keeper, &act.id).await?,
            Ok(_) => {}
            Err(error) => tracing::error!(%error, key = %message.subject, "cannot read an act"),
        }
    }
}

/// One act at work.
struct Work<'a> {
    keeper: &'a Keeper,
    act: Act,
    revision: u64,
    marks: Marks,
    pace: Pace,
}

async fn work(keeper: &Keeper, id: &str) -> Result<(), Error> {
    let Some(entry) = keeper.broker.get::<Act>(subjects::STATE, &subjects::act_key(id)).await? else { return Ok(()) };
    if entry.value.status != ActStatus::Running {
        return Ok(());
    }
    tracing::info!(act.id = id, cursor = entry.value.cursor, through = entry.value.through, "working on an act");
    let marks = keeper.broker.marks().await?;
    let pace = Pace::new(Some(entry.value.per_second), Instant::now());
    let mut work =
        Work { keeper, act: entry.value, revision: entry.revision, marks, pace };
    work.settle_doubts().await?;
    work.run().await
}

impl Work<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        let ids: BTreeSet<u64> = self.act.filter.ids.iter().filter_map(|id| dead_letter_seq(id)).collect();
        // Without ids, one reading of the stream; with them, one reading each.
        let mut wanted: Option<Vec<u64>> =
            (!ids.is_empty()).then(|| ids.into_iter().filter(|seq| *seq > self.act.cursor).collect());
        loop {
            let (letters, ended) = match &mut wanted {
                None => {
                    let part =
                        self.keeper.broker.read_from(subjects::DEAD, &filter_subject(&self.act.filter), self.act.cursor + 1, READ).await?;
                    let ended = part.len() < READ;
                    (part, ended)
                }
                Some(seqs) => {
                    let rest = seqs.split_off(seqs.len().min(CHUNK));
                    let mut part = Vec::new();
                    for seq in std::mem::replace(seqs, rest) {
                        let found = self.keeper.broker.read_from(subjects::DEAD, subjects::DEAD_ALL, seq, 1).await?;
                        part.extend(found.into_iter().filter(|stored| stored.seq == seq));
                    }
                    (part, seqs.is_empty())
                }
            };
            let past = letters.last().is_some_and(|stored| stored.seq >= self.act.through);
            let letters: Vec<Stored> = letters.into_iter().filter(|stored| stored.seq <= self.act.through).collect();
            for chunk in letters.chunks(CHUNK) {
                self.chunk(chunk).await?;
                if !self.save(chunk.last().map_or(self.act.cursor, |stored| stored.seq), ActStatus::Running).await? {
                    tracing::info!(act.id = %self.act.id, "an act was stopped by a person");
                    return Ok(());
                }
            }
            if ended || past {
                let through = self.act.through;
                self.save(through, ActStatus::Done).await?;
                tracing::info!(act.id = %self.act.id, done = self.act.done, skipped = self.act.skipped, failed = self.act.failed, "an act is done");
                return Ok(());
            }
        }
    }

    /// Acts on some dead letters: intention, effects, mark.
    async fn chunk(&mut self, chunk: &[Stored]) -> Result<(), Error> {
        let mut letters: Vec<(u64, DeadLetter)> = Vec::new();
        for stored in chunk {
            match wire::decode::<DeadLetter>(&stored.body) {
                Ok(letter) if matches(&self.act.filter, stored, &letter) => {
                    if self.marks.is_settled(stored.seq) {
                        self.act.skipped += 1;
                    } else {
                        letters.push((stored.seq, letter));
                    }
                }
                Ok(_) => {}
                Err(error) => self.fail(stored.seq, &format!("cannot read this dead letter: {error}")),
            }
        }
        if letters.is_empty() {
            return Ok(());
        }
        let did = match self.act.kind.clone() {
            Kind::Replay { to } => {
                self.mark(Did::Intend, letters.iter().map(|(seq, _)| *seq).collect()).await?;
                let mut replayed = Vec::new();
                for (seq, letter) in letters {
                    let turn = self.pace.take(Instant::now());
                    if turn > Instant::now() {
                        tokio::time::sleep_until(turn).await;
                    }
                    match self.replay(seq, letter, to.as_deref()).await? {
                        Ok(()) => replayed.push(seq),
                        Err(reason) => self.fail(seq, &reason),
                    }
                }
                (Did::Replayed, replayed)
            }
            Kind::Discard => {
                let why = "discarded by a person";
                let now = Timestamp::now();
                let deliveries = letters.iter().filter_map(|(_, letter)| letter.delivery.as_deref());
                let records: Vec<_> =
                    deliveries.map(|delivery| settle::ended(delivery, Final::Discarded, why, now)).collect();
                if !records.is_empty() {
                    settle::record(self.keeper, &records).await?;
                }
                (Did::Discarded, letters.iter().map(|(seq, _)| *seq).collect())
            }
        };
        self.act.done += did.1.len() as u64;
        self.mark(did.0, did.1).await
    }

    /// Publishes a dead letter again; the inner error is what its owner is told.
    async fn replay(&self, seq: u64, letter: DeadLetter, to: Option<&str>) -> Result<Result<(), String>, Error> {
        let Some(dead) = letter.delivery else {
            return match letter.input {
                Some(input) => self.publish_input(seq, input).await,
                None => Ok(Err("this dead letter holds nothing that could be sent again".into())),
            };
        };
        let target = to.unwrap_or(&dead.integration);
        let integration = match self.keeper.broker.integration(target).await? {
            Some(entry) if entry.value.status != Status::Deleted => entry.value,
            _ => return Ok(Err(format!("integration {target} does not exist any more; replay to another with --to"))),
        };
        let next = again(&dead, &integration, &self.act.id, seq, Timestamp::now());
        self.keeper.broker.hop(&next, Hop::Deliver(Lane::Bulk)).await?;
        Ok(Ok(()))
    }

    /// Sends a rejected input in again, under an id of its own where it had none.
    async fn publish_input(&self, seq: u64, input: Input) -> Result<Result<(), String>, Error> {
        if !input.subject.starts_with(subjects::INPUT_PREFIX) {
            return Ok(Err("this message was found unreadable behind ingest; it cannot be sent in again".into()));
        }
        let has_id = input.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("ce-id"));
        let message_id = input.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("nats-msg-id")).map(|(_, id)| id.clone());
        let structured = input.headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("content-type") && value.trim_start().starts_with("application/cloudevents+json")
        });
        let mut headers: Vec<(String, String)> =
            input.headers.into_iter().filter(|(name, _)| !name.to_ascii_lowercase().starts_with("nats-")).collect();
        if !has_id && !structured {
            let derived = || hash::parts([b"replayed input", &seq.to_be_bytes()]);
            headers.push(("ce-id".into(), message_id.unwrap_or_else(derived)));
        }
        self.keeper.broker.publish_raw(&input.subject, &headers, input.body.into()).await?;
        Ok(Ok(()))
    }

    async fn mark(&mut self, did: Did, seqs: Vec<u64>) -> Result<(), Error> {
        for part in seqs.chunks(MARK_SEQS_MAX) {
            let mark = Mark { act: self.act.id.clone(), did, seqs: part.to_vec(), at: Timestamp::now() };
            let subject = subjects::dead_mark(&self.act.id);
            let publish = Publish { subject: subject.clone().into(), id: None, headers: Vec::new(), body: wire::encode(&mark)?.into() };
            self.keeper.broker.publisher().publish(publish).await.map_err(|source| Error::Publish { subject, source })?;
            self.marks.add(&mark);
        }
        Ok(())
    }

    fn fail(&mut self, seq: u64, reason: &str) {
        self.act.failed += 1;
        self.act.message = format!("{}: {reason}", signalbox_broker::browse::dead_letter_id(seq));
        tracing::warn!(act.id = %self.act.id, dead_letter.seq = seq, reason, "a dead letter could not be acted on");
    }

    /// Saves how far the act is; false where a person stopped it.
    async fn save(&mut self, cursor: u64, status: ActStatus) -> Result<bool, Error> {
        self.act.cursor = cursor.max(self.act.cursor);
        self.act.status = status;
        self.act.updated_at = Timestamp::now();
        let key = subjects::act_key(&self.act.id);
        match self.keeper.broker.update(subjects::STATE, &key, &self.act, self.revision).await {
            Ok(revision) => {
                self.revision = revision;
                Ok(true)
            }
            Err(Error::Conflict { .. }) => {
                // A person cancelled it: what was done so far is told all the same.
                if let Some(entry) = self.keeper.broker.get::<Act>(subjects::STATE, &key).await? {
                    let told = Act { status: entry.value.status, ..self.act.clone() };
                    self.revision = self.keeper.broker.update(subjects::STATE, &key, &told, entry.revision).await?;
                    self.act = told;
                }
                Ok(self.act.status == ActStatus::Running)
            }
            Err(error) => Err(error),
        }
    }

    /// What an earlier keeper intended and did not mark as done: found where it went, or free to be
    /// sent.
    async fn settle_doubts(&mut self) -> Result<(), Error> {
        if !matches!(self.act.kind, Kind::Replay { .. }) {
            return Ok(());
        }
        let mut intended: BTreeMap<u64, Timestamp> = BTreeMap::new();
        let filter = vec![subjects::dead_mark(&self.act.id)];
        self.keeper
            .broker
            .scan(subjects::DEAD, filter, From::Seq(1), |message| {
                if let Ok(mark) = wire::decode::<Mark>(&message.body) {
                    for seq in mark.seqs {
                        match mark.did {
                            Did::Intend => {
                                intended.entry(seq).or_insert(mark.at);
                            }
                            Did::Replayed | Did::Discarded => {
                                intended.remove(&seq);
                            }
                            Did::Unknown => {}
                        }
                    }
                }
                std::ops::ControlFlow::Continue(())
            })
            .await?;
        if intended.is_empty() {
            return Ok(());
        }
        let since = intended.values().copied().min().unwrap_or_default();
        let mut sought: BTreeMap<(String, u32), u64> = BTreeMap::new();
        for seq in intended.keys() {
            let found = self.keeper.broker.read_from(subjects::DEAD, subjects::DEAD_ALL, *seq, 1).await?;
            let Some(stored) = found.into_iter().find(|stored| stored.seq == *seq) else { continue };
            let Ok(DeadLetter { delivery: Some(dead), .. }) = wire::decode::<DeadLetter>(&stored.body) else { continue };
            let id = match &self.act.kind {
                Kind::Replay { to: Some(to) } => delivery::id(&dead.event().event.key(), to),
                Kind::Replay { to: None } | Kind::Discard => dead.id.clone(),
            };
            sought.insert((id, dead.generation + 1), *seq);
        }
        let found = evidence::of(self.keeper, &sought, since).await?;
        tracing::info!(act.id = %self.act.id, doubtful = intended.len(), found = found.len(), "an act goes on after a crash");
        self.act.done += found.len() as u64;
        self.mark(Did::Replayed, found.into_iter().collect()).await
    }
}

/// The delivery of a replay: a new generation, from the beginning of its schedule and its expiry.
fn again(dead: &Delivery, integration: &signalbox_proto::Integration, act: &str, seq: u64, now: Timestamp) -> Delivery {
    let own = integration.id == dead.integration;
    Delivery {
        id: if own { dead.id.clone() } else { delivery::id(&dead.event().event.key(), &integration.id) },
        provider: integration.provider.clone(),
        integration: integration.id.clone(),
        revision: integration.revision,
        generation: dead.generation + 1,
        hop: 0,
        attempt: 0,
        retries: 0,
        lane: Lane::Bulk,
        since: now,
        due: None,
        notes: Vec::new(),
        suspends: None,
        probe: false,
        filed: None,
        steps: if own { dead.steps.clone() } else { Vec::new() },
        replay: Some(act.to_owned()),
        replay_of: Some(seq),
        ..dead.clone()
    }
}

fn filter_subject(filter: &DeadFilter) -> String {
    // What came in without a valid org is the default org's: it lies under no org's subject.
    let org = filter.org.as_deref().filter(|org| *org != Name::default_org().as_str());
    subjects::dead_filter(filter.stage, org, filter.provider.as_deref(), filter.integration.as_deref())
}

/// Whether a dead letter is one that the filter is about.
fn matches(filter: &DeadFilter, stored: &Stored, letter: &DeadLetter) -> bool {
    let delivery = letter.delivery.as_deref();
    let is = |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
    is(&filter.org, Some(letter.org.as_ref().unwrap_or(&Name::default_org()).as_str()))
        && is(&filter.integration, delivery.map(|delivery| delivery.integration.as_str()))
        && is(&filter.provider, delivery.map(|delivery| delivery.provider.as_str()))
        && is(&filter.fingerprint, Some(&letter.fingerprint))
        && is(&filter.event_type, delivery.map(|delivery| delivery.event().event.event_type.as_str()))
        && filter.stage.is_none_or(|stage| stage == letter.stage)
        && filter.reason.is_none_or(|reason| reason == letter.reason)
        && filter.since.is_none_or(|since| stored.at >= since)
        && filter.until.is_none_or(|until| stored.at < until)
}
