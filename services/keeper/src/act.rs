//! Replays and discards of dead letters, resumable without a second send.
//!
//! **Invariant:** what is about to be published again is marked before, and marked as done after;
//! the cursor follows. What is marked as intended, by any act, and not as done is in doubt: for that,
//! evidence is looked for in every stream that could hold it, before anything is sent.
//!
//! A letter that can never be sent again is counted as failed. What passes by itself ends the work on
//! an act for a while; other acts go on.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    time::Duration,
};

use signalbox_broker::{
    Error, Publish, Puller,
    browse::{Marks, Stored, dead_letter_seq},
    events::StreamState,
    hops::Hop,
    topology::{Consumer, From},
};
use signalbox_proto::{
    DeadLetter, Delivery, Lane, Name, Timestamp,
    act::{Act, ActStatus, DeadFilter, Did, Kind, MARK_SEQS_MAX, Mark},
    delivery,
    integration::Status,
    ledger::Final,
    subjects, wire,
};
use tokio::time::Instant;

use crate::{
    Keeper,
    evidence::{self, Sought},
    input,
    pace::Pace,
    settle,
};

/// Dead letters between two marks: what one crash can leave in doubt.
const CHUNK: usize = 64;
/// Dead letters read at a time.
const READ: usize = 500;
/// The wait before an act is gone on with that an error stopped.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How often an input is sent in before it is taken for one that INGEST refuses, and the wait between.
const INPUT_TRIES: u32 = 3;
const INPUT_WAIT: Duration = Duration::from_secs(1);

/// Follows the acts that are asked for and does them one after another.
pub(crate) async fn run(keeper: Keeper) -> Result<(), Error> {
    let bucket = format!("KV_{}", subjects::STATE);
    let filter = format!("$KV.{}.{}", subjects::STATE, subjects::act_key("*"));
    let consumer = Consumer::follow(&keeper.broker, &bucket, vec![filter], From::LastPerSubject);
    let mut puller = Puller::open(&keeper.broker, consumer).await?;
    let mut stopped: BTreeSet<String> = BTreeSet::new();
    let mut again = Instant::now();
    loop {
        let ids = tokio::select! {
            biased;
            () = tokio::time::sleep_until(again), if !stopped.is_empty() => std::mem::take(&mut stopped),
            message = puller.next(100) => asked_for(&message),
        };
        for id in ids {
            if let Err(error) = work(&keeper, &id).await {
                let error = settle::why(&error);
                tracing::warn!(error, act.id = id, "an act stopped; it goes on in a moment");
                stopped.insert(id);
                again = Instant::now() + AGAIN_AFTER;
            }
        }
    }
}

/// The act that a change in KV is about, where there is something to do for it.
fn asked_for(message: &signalbox_broker::Message) -> BTreeSet<String> {
    if message.body.is_empty() {
        return BTreeSet::new();
    }
    match wire::decode::<Act>(&message.body) {
        Ok(act) if act.status == ActStatus::Running => BTreeSet::from([act.id]),
        Ok(_) => BTreeSet::new(),
        Err(error) => {
            tracing::error!(%error, key = %message.subject, "cannot read an act");
            BTreeSet::new()
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

/// What is sent for a dead letter.
enum Sending {
    Delivery(Box<Delivery>),
    Input(input::Again),
}

/// What is done about a dead letter of a replay.
enum Plan {
    /// Replayed or discarded before.
    Skip,
    /// It can never be sent again.
    Fail(String),
    Send(Sending),
}

async fn work(keeper: &Keeper, id: &str) -> Result<(), Error> {
    let key = subjects::act_key(id);
    let Some(entry) = keeper.broker.get::<Act>(subjects::STATE, &key).await? else {
        return Ok(());
    };
    if entry.value.status != ActStatus::Running {
        return Ok(());
    }
    let (cursor, through) = (entry.value.cursor, entry.value.through);
    tracing::info!(act.id = id, cursor, through, "working on an act");
    let marks = keeper.broker.marks().await?;
    let pace = Pace::new(Some(entry.value.per_second), Instant::now());
    let mut work = Work {
        keeper,
        act: entry.value,
        revision: entry.revision,
        marks,
        pace,
    };
    let worked = match work.settle_doubts().await {
        Ok(()) => work.run().await,
        Err(error) => Err(error),
    };
    match worked {
        Err(error) if !error.is_transient() => {
            work.act.message = settle::why(&error);
            tracing::error!(act.id = id, error = work.act.message, "an act cannot go on");
            work.save(work.act.cursor, ActStatus::Failed).await.map(|_| ())
        }
        other => other,
    }
}

/// What fails for good is told to the owner; what may pass stays an error.
fn refused<T>(result: Result<T, Error>) -> Result<Result<T, String>, Error> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) if error.is_transient() => Err(error),
        Err(error) => Ok(Err(settle::why(&error))),
    }
}

/// Whether a stream has room for more, with some to spare.
fn has_room(state: &StreamState) -> bool {
    state.bytes_max.is_none_or(|most| state.bytes < most / 100 * 95)
}

/// What a write that met another's leads to.
#[derive(Debug, PartialEq, Eq)]
enum Met {
    /// A person stopped the act: what was done so far is told all the same.
    Stopped(Box<Act>),
    /// Another keeper is at work, or got further: nothing of ours counts any more.
    Overtaken,
}

fn met(ours: &Act, stored: &Act) -> Met {
    let ours_is_newer = stored.cursor <= ours.cursor && stored.done <= ours.done;
    match stored.status {
        ActStatus::Cancelled if ours_is_newer => Met::Stopped(Box::new(Act {
            status: stored.status,
            ..ours.clone()
        })),
        _ => Met::Overtaken,
    }
}

impl Work<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        let ids: BTreeSet<u64> = self
            .act
            .filter
            .ids
            .iter()
            .filter_map(|id| dead_letter_seq(id))
            .collect();
        // Without ids, one reading of the stream; with them, one reading each.
        let mut wanted: Option<Vec<u64>> =
            (!ids.is_empty()).then(|| ids.into_iter().filter(|seq| *seq > self.act.cursor).collect());
        loop {
            let (letters, ended) = match &mut wanted {
                None => {
                    let part = self
                        .keeper
                        .broker
                        .read_from(
                            subjects::DEAD,
                            &filter_subject(&self.act.filter),
                            self.act.cursor + 1,
                            READ,
                        )
                        .await?;
                    let ended = part.len() < READ;
                    (part, ended)
                }
                Some(seqs) => {
                    let rest = seqs.split_off(seqs.len().min(CHUNK));
                    let mut part = Vec::new();
                    for seq in std::mem::replace(seqs, rest) {
                        let found = self
                            .keeper
                            .broker
                            .read_from(subjects::DEAD, subjects::DEAD_ALL, seq, 1)
                            .await?;
                        part.extend(found.into_iter().filter(|stored| stored.seq == seq));
                    }
                    (part, seqs.is_empty())
                }
            };
            let past = letters.last().is_some_and(|stored| stored.seq >= self.act.through);
            let letters: Vec<Stored> = letters
                .into_iter()
                .filter(|stored| stored.seq <= self.act.through)
                .collect();
            for chunk in letters.chunks(CHUNK) {
                self.chunk(chunk).await?;
                if !self
                    .save(
                        chunk.last().map_or(self.act.cursor, |stored| stored.seq),
                        ActStatus::Running,
                    )
                    .await?
                {
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
                Ok(letter) if matches(&self.act.filter, stored, &letter) => letters.push((stored.seq, letter)),
                Ok(_) => {}
                Err(error) => self.fail(stored.seq, &format!("cannot read this dead letter: {error}")),
            }
        }
        match self.act.kind.clone() {
            Kind::Replay { to } => self.replay(letters, to.as_deref()).await,
            Kind::Discard => self.discard(letters).await,
        }
    }

    async fn discard(&mut self, mut letters: Vec<(u64, DeadLetter)>) -> Result<(), Error> {
        let matched = letters.len();
        letters.retain(|(seq, _)| !self.marks.is_settled(*seq));
        self.act.skipped += (matched - letters.len()) as u64;
        let why = "discarded by a person";
        let now = Timestamp::now();
        let deliveries = letters.iter().filter_map(|(_, letter)| letter.delivery.as_deref());
        let records: Vec<_> = deliveries
            .map(|delivery| settle::ended(delivery, Final::Discarded, why, now))
            .collect();
        if !records.is_empty() {
            settle::record(self.keeper, &records).await?;
        }
        self.act.done += letters.len() as u64;
        let act = self.act.id.clone();
        self.mark(&act, Did::Discarded, letters.into_iter().map(|(seq, _)| seq).collect())
            .await
    }

    async fn replay(&mut self, letters: Vec<(u64, DeadLetter)>, to: Option<&str>) -> Result<(), Error> {
        let mut plans = Vec::with_capacity(letters.len());
        for (seq, letter) in letters {
            plans.push((seq, self.plan(seq, letter, to).await?));
        }
        let act = self.act.id.clone();
        let sends = plans.iter().filter(|(_, plan)| matches!(plan, Plan::Send(_)));
        self.mark(&act, Did::Intend, sends.map(|(seq, _)| *seq).collect())
            .await?;
        let mut replayed = Vec::new();
        let mut cursor = self.act.cursor;
        let mut stopped = None;
        for (seq, plan) in plans {
            match plan {
                Plan::Skip => self.act.skipped += 1,
                Plan::Fail(reason) => self.fail(seq, &reason),
                Plan::Send(sending) => {
                    let turn = self.pace.take(Instant::now());
                    if turn > Instant::now() {
                        tokio::time::sleep_until(turn).await;
                    }
                    match self.send(sending).await {
                        Ok(Ok(())) => replayed.push(seq),
                        Ok(Err(reason)) => self.fail(seq, &reason),
                        Err(error) => {
                            stopped = Some(error);
                            break;
                        }
                    }
                }
            }
            cursor = seq;
        }
        self.act.done += replayed.len() as u64;
        self.mark(&act, Did::Replayed, replayed).await?;
        match stopped {
            None => Ok(()),
            // What went before it is done: only this one is in doubt when the act goes on.
            Some(error) => {
                self.save(cursor, ActStatus::Running).await?;
                Err(error)
            }
        }
    }

    async fn plan(&self, seq: u64, letter: DeadLetter, to: Option<&str>) -> Result<Plan, Error> {
        if self.marks.is_settled(seq) {
            return Ok(Plan::Skip);
        }
        let Some(dead) = letter.delivery else {
            return Ok(match letter.input.map(|input| input::again(seq, input)) {
                Some(Ok(again)) => Plan::Send(Sending::Input(again)),
                Some(Err(reason)) => Plan::Fail(reason),
                None => Plan::Fail("this dead letter holds nothing that could be sent again".into()),
            });
        };
        let target = to.unwrap_or(&dead.integration);
        let integration = match refused(self.keeper.broker.integration(target).await)? {
            Ok(Some(entry)) if entry.value.status != Status::Deleted => entry.value,
            Ok(_) => {
                let reason = format!("integration {target} does not exist any more; replay to another with --to");
                return Ok(Plan::Fail(reason));
            }
            Err(reason) => return Ok(Plan::Fail(reason)),
        };
        let next = again(&dead, &integration, &self.act.id, seq, Timestamp::now());
        Ok(Plan::Send(Sending::Delivery(Box::new(next))))
    }

    /// Publishes a dead letter again; the inner error is what its owner is told.
    async fn send(&self, sending: Sending) -> Result<Result<(), String>, Error> {
        match sending {
            Sending::Delivery(next) => {
                let sent = settle::hop(self.keeper, &next, Hop::Deliver(Lane::Bulk)).await;
                Ok(refused(sent)?.map(|_| ()))
            }
            Sending::Input(again) => self.send_in(&again).await,
        }
    }

    /// Sends an input in. Its id makes a repeat harmless.
    async fn send_in(&self, again: &input::Again) -> Result<Result<(), String>, Error> {
        let broker = &self.keeper.broker;
        let mut tries = 1;
        loop {
            let sent = broker
                .publish_raw(&again.subject, &again.headers, again.body.clone())
                .await;
            let Err(error) = sent else { return Ok(Ok(())) };
            if !error.is_transient() {
                return Ok(Err(settle::why(&error)));
            }
            if tries == INPUT_TRIES {
                // While INGEST answers and has room, it is this one input that it does not take.
                let ingest = broker.stream_state(subjects::INGEST).await?;
                return if has_room(&ingest) {
                    Ok(Err(settle::why(&error)))
                } else {
                    Err(error)
                };
            }
            tries += 1;
            tokio::time::sleep(INPUT_WAIT).await;
        }
    }

    async fn mark(&mut self, act: &str, did: Did, seqs: Vec<u64>) -> Result<(), Error> {
        for part in seqs.chunks(MARK_SEQS_MAX) {
            let mark = Mark {
                act: act.to_owned(),
                did,
                seqs: part.to_vec(),
                at: Timestamp::now(),
            };
            let subject = subjects::dead_mark(act);
            let publish = Publish {
                subject: subject.clone().into(),
                id: None,
                headers: Vec::new(),
                body: wire::encode(&mark)?.into(),
            };
            let published = self.keeper.broker.publisher().publish(publish).await;
            published.map_err(|source| Error::Publish { subject, source })?;
            self.marks.add(&mark);
        }
        Ok(())
    }

    fn fail(&mut self, seq: u64, reason: &str) {
        self.act.failed += 1;
        self.act.message = format!("{}: {reason}", signalbox_broker::browse::dead_letter_id(seq));
        tracing::warn!(act.id = %self.act.id, dead_letter.seq = seq, reason, "a dead letter could not be acted on");
    }

    /// Saves how far the act is; false where a person stopped it. [`Error::Conflict`] where another
    /// keeper has it.
    async fn save(&mut self, cursor: u64, status: ActStatus) -> Result<bool, Error> {
        self.act.cursor = cursor.max(self.act.cursor);
        self.act.status = status;
        self.act.updated_at = Timestamp::now();
        let broker = &self.keeper.broker;
        let key = subjects::act_key(&self.act.id);
        let conflict = match broker.update(subjects::STATE, &key, &self.act, self.revision).await {
            Ok(revision) => {
                self.revision = revision;
                return Ok(true);
            }
            Err(error @ Error::Conflict { .. }) => error,
            Err(error) => return Err(error),
        };
        let Some(entry) = broker.get::<Act>(subjects::STATE, &key).await? else {
            return Ok(false);
        };
        match met(&self.act, &entry.value) {
            Met::Stopped(told) => {
                self.revision = broker.update(subjects::STATE, &key, &*told, entry.revision).await?;
                self.act = *told;
                Ok(false)
            }
            Met::Overtaken => Err(conflict),
        }
    }

    /// What any act intended and did not mark as done, of what this one is about: found where it went,
    /// or free to be sent.
    async fn settle_doubts(&mut self) -> Result<(), Error> {
        let broker = &self.keeper.broker;
        let mut doubts = Doubts::default();
        broker
            .scan(
                subjects::DEAD,
                vec![subjects::DEAD_MARKS.to_owned()],
                From::Seq(1),
                |message| {
                    if let Ok(mark) = wire::decode::<Mark>(&message.body) {
                        doubts.add(mark);
                    }
                    ControlFlow::Continue(())
                },
            )
            .await?;
        let doubtful = doubts.about(&self.act);
        let Some(since) = doubtful.iter().map(|doubt| doubt.at).min() else {
            return Ok(());
        };
        let mut targets: BTreeMap<String, Option<String>> = BTreeMap::new();
        let mut sought = Sought::since(since);
        for doubt in &doubtful {
            if !targets.contains_key(&doubt.act) {
                let key = subjects::act_key(&doubt.act);
                let act = broker.get::<Act>(subjects::STATE, &key).await?;
                let to = act.and_then(|entry| match entry.value.kind {
                    Kind::Replay { to } => to,
                    Kind::Discard => None,
                });
                targets.insert(doubt.act.clone(), to);
            }
            let found = broker
                .read_from(subjects::DEAD, subjects::DEAD_ALL, doubt.seq, 1)
                .await?;
            let stored = found.into_iter().find(|stored| stored.seq == doubt.seq);
            let Some(Ok(letter)) = stored.map(|stored| wire::decode::<DeadLetter>(&stored.body)) else {
                continue;
            };
            let to = targets.get(&doubt.act).and_then(Option::as_deref);
            match (letter.delivery, letter.input) {
                (Some(dead), _) => {
                    let provider = to.and_then(|to| {
                        let view = &self.keeper.view;
                        view.read(|view| Some(view.integrations.get(to)?.provider.clone()))
                    });
                    let provider = provider.unwrap_or_else(|| dead.provider.clone());
                    let id = to.map_or_else(|| dead.id.clone(), |to| delivery::id(&dead.event().event.key(), to));
                    sought.delivery(id, dead.generation + 1, provider, doubt.seq);
                }
                (None, Some(input)) => {
                    if let Ok(again) = input::again(doubt.seq, input) {
                        sought.input(again, doubt.seq);
                    }
                }
                (None, None) => {}
            }
        }
        let found = evidence::of(self.keeper, &sought).await?;
        tracing::info!(act.id = %self.act.id, doubtful = doubtful.len(), found = found.len(), "what earlier work left in doubt was looked for");
        let mut by_act: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
        for doubt in doubtful.iter().filter(|doubt| found.contains(&doubt.seq)) {
            by_act.entry(&doubt.act).or_default().insert(doubt.seq);
        }
        for (act, seqs) in by_act {
            if act == self.act.id {
                self.act.done += seqs.len() as u64;
            }
            self.mark(act, Did::Replayed, seqs.into_iter().collect()).await?;
        }
        Ok(())
    }
}

/// What acts have marked as intended and not as done: by dead letter, which acts and when.
#[derive(Debug, Default)]
struct Doubts(BTreeMap<u64, BTreeMap<String, Timestamp>>);

/// A dead letter that an act may have sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Doubt {
    seq: u64,
    act: String,
    at: Timestamp,
}

impl Doubts {
    /// Adds a mark; they come in the order in which they were made.
    fn add(&mut self, mark: Mark) {
        for seq in mark.seqs {
            match mark.did {
                Did::Intend => {
                    self.0
                        .entry(seq)
                        .or_default()
                        .entry(mark.act.clone())
                        .or_insert(mark.at);
                }
                Did::Replayed | Did::Discarded => {
                    self.0.remove(&seq);
                }
                Did::Unknown => {}
            }
        }
    }

    /// Those that an act has still before it.
    fn about(&self, act: &Act) -> Vec<Doubt> {
        let ids: BTreeSet<u64> = act.filter.ids.iter().filter_map(|id| dead_letter_seq(id)).collect();
        let ahead = |seq: &u64| *seq > act.cursor && *seq <= act.through;
        let asked_for = |seq: &u64| act.filter.ids.is_empty() || ids.contains(seq);
        let mut about = Vec::new();
        for (seq, acts) in self.0.iter().filter(|(seq, _)| ahead(seq) && asked_for(seq)) {
            about.extend(acts.iter().map(|(act, at)| Doubt {
                seq: *seq,
                act: act.clone(),
                at: *at,
            }));
        }
        about
    }
}

/// The delivery of a replay: a new generation, from the beginning of its schedule and its expiry.
fn again(dead: &Delivery, integration: &signalbox_proto::Integration, act: &str, seq: u64, now: Timestamp) -> Delivery {
    let own = integration.id == dead.integration;
    Delivery {
        id: if own {
            dead.id.clone()
        } else {
            delivery::id(&dead.event().event.key(), &integration.id)
        },
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
    subjects::dead_filter(
        filter.stage,
        org,
        filter.provider.as_deref(),
        filter.integration.as_deref(),
    )
}

/// Whether a dead letter is one that the filter is about.
fn matches(filter: &DeadFilter, stored: &Stored, letter: &DeadLetter) -> bool {
    let delivery = letter.delivery.as_deref();
    let is =
        |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
    is(
        &filter.org,
        Some(letter.org.as_ref().unwrap_or(&Name::default_org()).as_str()),
    ) && is(
        &filter.integration,
        delivery.map(|delivery| delivery.integration.as_str()),
    ) && is(&filter.provider, delivery.map(|delivery| delivery.provider.as_str()))
        && is(&filter.fingerprint, Some(&letter.fingerprint))
        && is(
            &filter.event_type,
            delivery.map(|delivery| delivery.event().event.event_type.as_str()),
        )
        && filter.stage.is_none_or(|stage| stage == letter.stage)
        && filter.reason.is_none_or(|reason| reason == letter.reason)
        && filter.since.is_none_or(|since| stored.at >= since)
        && filter.until.is_none_or(|until| stored.at < until)
}

#[cfg(test)]
mod tests;
