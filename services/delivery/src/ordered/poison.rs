//! A delivery that stops its worker does not stop its partition for ever: it is *poison*, and becomes a dead letter.
//!
//! A panic while a delivery is tried is caught, and proves it. Where the process itself dies, nothing is known but that
//! the owner of a partition ended without saying so: that is counted in KV. From the third in a row on, the next owner
//! is careful: it sends one delivery of its provider at a time, behind a marker in KV that is removed afterwards. What
//! two processes in a row left a marker of, and both are gone, stopped them: a process may also be killed for another
//! reason while some delivery goes alone. After enough requests that stopped nothing, all goes as before.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    panic::AssertUnwindSafe,
    time::Duration,
};

use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use signalbox_broker::{Broker, Error, patience::patiently};
use signalbox_proto::{
    DeadReason, Event as Notice, Name, Timestamp,
    ledger::Final,
    outcome::{Attempt, Next},
    subjects,
};
use tokio::time::Instant;

use super::{
    Event, OWN_RETRY, Ordered,
    effects::{self, Done},
    keys::{KeyId, Turn},
    leases,
    partition::At,
};
use crate::{
    decide::{self, Admission},
    filing::{self, Job},
    notices,
};

/// Owners of a partition that ended in a row without saying so, after which the next is careful. A kill or two are no
/// reason to be slow.
const UNCLEAN_CAREFUL: u32 = 3;
/// Of the places for ordered deliveries, so many times as many requests that stop nothing end the care: what was in
/// the air when the last owner ended is among the first of them.
const CLEAN_TIMES: usize = 2;
/// So many processes that ended while a delivery went alone prove that it stops them.
const STOPPED_MAX: u32 = 2;
/// How long nothing is there to be sent until the care ends, too.
const CLEAN_IDLE: Duration = Duration::from_secs(30);
/// An owner that lasts for so long has proved that nothing stops it.
const STEADY_AFTER: Duration = Duration::from_secs(600);
/// Pauses between two looks whether the process that left a marker is still there, and how often it is looked: what it
/// said last of itself lapses later than its lease of the partition by the time between two renewals at most.
const THERE_EVERY: Duration = Duration::from_secs(1);
const THERE_LOOKS: u64 = leases::TTL.as_secs() + 3;

/// What an owner is told of a delivery that stopped its worker.
const STOPPED: &str = "handling this delivery stopped a worker twice";
pub(super) const PANICKED: &str =
    "handling this delivery failed on our side in a way that would have stopped its worker";

/// What KV says of the owner of a partition, from its beginning until it says that it has ended.
#[derive(Debug, Serialize, Deserialize)]
struct Run {
    instance: String,
    /// How many owners before it ended without saying so.
    unclean: u32,
}

/// Says that this process owns a partition from now on. Returns how many owners in a row ended without saying so.
///
/// It is said before anything of the partition is sent.
pub(super) async fn begin(broker: &Broker, provider: &Name, partition: u32, instance: &str) -> Result<u32, Error> {
    let key = subjects::ordered_run(provider, partition);
    let before = broker.get::<Run>(subjects::STATE, &key).await?.map(|entry| entry.value);
    let unclean = match before {
        None => 0,
        // It lost the lease, and lives.
        Some(run) if run.instance == instance => run.unclean,
        Some(run) => run.unclean.saturating_add(1),
    };
    set(broker, provider, partition, instance, unclean).await?;
    Ok(unclean)
}

/// Says that the owner of a partition has ended as it should.
pub(super) async fn end(broker: &Broker, provider: &Name, partition: u32) -> Result<(), Error> {
    let key = subjects::ordered_run(provider, partition);
    broker.delete(subjects::STATE, &key).await
}

async fn set(broker: &Broker, provider: &Name, partition: u32, instance: &str, unclean: u32) -> Result<(), Error> {
    let run = Run {
        instance: instance.to_owned(),
        unclean,
    };
    let key = subjects::ordered_run(provider, partition);
    broker.put(subjects::STATE, &key, &run).await.map(|_| ())
}

/// Something panicked, and nothing else was stopped by it.
#[derive(Debug)]
pub(super) struct Panicked;

/// Goes on with a future; a panic in it ends it alone.
pub(super) async fn guarded<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(|_| Panicked)
}

/// Calls a function; a panic in it ends it alone.
pub(super) fn guard<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    std::panic::catch_unwind(AssertUnwindSafe(call)).map_err(|_| Panicked)
}

/// What is put in KV while a delivery goes alone.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    instance: String,
    /// How many processes before ended while it went alone.
    stopped: u32,
}

/// What came of putting a marker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Marking {
    Put,
    /// The delivery was given up meanwhile.
    Gone,
    /// It has stopped enough processes.
    Poison,
}

/// Puts the marker of a delivery in the place of one that another process left. It is put and removed by the owner of
/// the partition alone.
async fn mark(broker: &Broker, provider: &Name, seq: u64, instance: &str) -> Result<Marking, Error> {
    let key = subjects::suspect_key(subjects::ORDERED, seq);
    let found = broker
        .get::<Marker>(subjects::STATE, &key)
        .await?
        .map(|entry| entry.value);
    let stopped = match found {
        None => 0,
        Some(found) if is_there(broker, provider, &found.instance, instance).await? => found.stopped,
        Some(found) => found.stopped.saturating_add(1),
    };
    // It may have waited for its turn here for a while.
    if broker.ordered_message(seq).await?.is_none() {
        return Ok(Marking::Gone);
    }
    if stopped >= STOPPED_MAX {
        return Ok(Marking::Poison);
    }
    let marker = Marker {
        instance: instance.to_owned(),
        stopped,
    };
    broker.put(subjects::STATE, &key, &marker).await?;
    Ok(Marking::Put)
}

/// Whether a process is still there: it has lost the partition and lives, so that nothing stopped it.
async fn is_there(broker: &Broker, provider: &Name, instance: &str, own: &str) -> Result<bool, Error> {
    if instance == own {
        return Ok(true);
    }
    for _ in 0..THERE_LOOKS {
        if !broker.ordered_leases(provider).await?.workers.contains(instance) {
            return Ok(false);
        }
        tokio::time::sleep(THERE_EVERY).await;
    }
    Ok(true)
}

/// The delivery that goes alone.
#[derive(Debug)]
struct Alone {
    at: At,
    key: KeyId,
    seq: u64,
    /// Its marker is put, and this process's own.
    marked: bool,
}

/// Whether a worker is careful, and what waits because it is.
#[derive(Default)]
pub(super) struct Careful {
    partitions: BTreeSet<u32>,
    /// Partitions with some owners that ended without saying so, and since when they are ours.
    young: BTreeMap<u32, (At, Instant)>,
    /// Requests that stopped nothing.
    clean: usize,
    /// When anything was last there to be sent.
    busy: Option<Instant>,
    alone: Option<Alone>,
    waiting: VecDeque<(At, Turn, Job)>,
}

impl Careful {
    fn is_alone(&self, at: At, turn: &Turn) -> bool {
        let is = |alone: &Alone| alone.at == at && alone.key == turn.key;
        self.alone.as_ref().is_some_and(is)
    }
}

impl Ordered {
    /// A partition is known whole, whose owners ended so many times in a row without saying so.
    pub(super) fn took_over(&mut self, at: At, unclean: u32) {
        if unclean == 0 {
            return;
        }
        if unclean < UNCLEAN_CAREFUL {
            self.careful.young.insert(at.partition, (at, Instant::now()));
            return;
        }
        tracing::warn!(
            provider = %self.provider,
            order.partition = at.partition,
            unclean,
            "the workers that had this partition were stopped: one delivery at a time until it is known by which"
        );
        self.careful.partitions.insert(at.partition);
        self.careful.clean = 0;
        self.careful.busy = Some(Instant::now());
    }

    /// A delivery that is to be sent: now, or `None` where it waits for its marker.
    pub(super) fn behind_marker(&mut self, at: At, turn: Turn, job: Job) -> Option<(Turn, Job)> {
        if self.careful.partitions.is_empty() || self.careful.is_alone(at, &turn) {
            return Some((turn, job));
        }
        if self.careful.alone.is_some() {
            self.careful.waiting.push_back((at, turn, job));
        } else {
            self.put_marker(at, turn, job);
        }
        None
    }

    fn put_marker(&mut self, at: At, turn: Turn, job: Job) {
        let seq = turn.queued.seq;
        self.careful.alone = Some(Alone {
            at,
            key: turn.key.clone(),
            seq,
            marked: false,
        });
        let (broker, provider) = (self.broker.clone(), self.provider.clone());
        let instance = self.process.instance.clone();
        self.spawn(async move {
            let marking = mark(&broker, &provider, seq, &instance).await;
            Event::Marked(at, turn, Box::new(job), marking)
        });
    }

    pub(super) fn marked(&mut self, at: At, turn: Turn, job: Job, marking: Result<Marking, Error>) {
        match marking {
            Ok(Marking::Put) => {
                if let Some(alone) = &mut self.careful.alone {
                    alone.marked = true;
                }
                let known = self.targets.get(&turn.integration).cloned();
                let state = self.targets.state(&turn.integration);
                // It may have waited for a while.
                let goes = known.filter(|known| {
                    let admission = decide::admit(&job.delivery, &known.integration, state, Timestamp::now());
                    matches!(admission, Admission::Go | Admission::Probe(_))
                });
                match goes {
                    Some(known) if self.partition(at).is_some() && !self.records.is_full() => {
                        self.go(at, turn, Job { known, ..job })
                    }
                    _ => self.put_back(at, &turn, Some(OWN_RETRY)),
                }
            }
            Ok(Marking::Gone) => {
                self.unmark(at, &turn);
                self.give_up(at, turn);
            }
            Ok(Marking::Poison) => {
                self.free_place(&turn, None);
                self.file_poison(at, turn, job, STOPPED);
            }
            Err(error) => {
                tracing::warn!(%error, "the marker of a delivery cannot be put yet");
                self.put_back(at, &turn, Some(OWN_RETRY));
            }
        }
    }

    /// Nothing more is done with a delivery for now: its marker goes, and the next one gets its own.
    pub(super) fn unmark(&mut self, at: At, turn: &Turn) {
        if !self.careful.is_alone(at, turn) {
            return;
        }
        match self.careful.alone.as_mut() {
            Some(alone) if alone.marked => {
                alone.marked = false;
                self.careful.clean += 1;
                let (broker, seq) = (self.broker.clone(), alone.seq);
                self.spawn(async move { Event::Unmarked(clear(&broker, seq).await) });
            }
            _ => self.unmarked(Ok(())),
        }
    }

    pub(super) fn unmarked(&mut self, result: Result<(), Error>) {
        if let Err(error) = result {
            // It makes the delivery poison only where it is still there, and for another process.
            tracing::warn!(%error, "the marker of a delivery could not be removed");
        }
        self.careful.alone = None;
        if self.careful.clean >= CLEAN_TIMES * self.config.ordered_max {
            self.careful_no_more();
        }
        while self.careful.alone.is_none()
            && let Some((at, turn, job)) = self.careful.waiting.pop_front()
        {
            match self.partition(at).map(|partition| partition.leaving) {
                None => self.unsent(&turn),
                Some(true) => self.put_back(at, &turn, None),
                // While OUTCOMES has no room no request starts.
                Some(false) if self.records.is_full() => self.put_back(at, &turn, Some(OWN_RETRY)),
                Some(false) if self.careful.partitions.is_empty() => self.go(at, turn, job),
                Some(false) => self.put_marker(at, turn, job),
            }
        }
    }

    /// Ends the care where nothing is left to be sent, and forgets ends that were long ago.
    pub(super) fn look_at_care(&mut self, now: Instant) {
        let ready = self
            .partitions
            .values()
            .any(|partition| partition.in_hand > 0 || partition.keys.ready().next().is_some());
        if ready {
            self.careful.busy = Some(now);
        }
        if !self.careful.partitions.is_empty()
            && self
                .careful
                .busy
                .is_none_or(|busy| now.duration_since(busy) >= CLEAN_IDLE)
        {
            self.careful_no_more();
        }
        let steady = |(_, since): &(At, Instant)| now.duration_since(*since) >= STEADY_AFTER;
        let old: Vec<(u32, At)> = self
            .careful
            .young
            .iter()
            .filter(|(_, young)| steady(young))
            .map(|(number, (at, _))| (*number, *at))
            .collect();
        for (number, at) in old {
            self.careful.young.remove(&number);
            if self.partition(at).is_some() {
                self.is_clean(number);
            }
        }
    }

    fn careful_no_more(&mut self) {
        tracing::info!(provider = %self.provider, "nothing stopped this worker: deliveries go as usual again");
        for number in std::mem::take(&mut self.careful.partitions) {
            if self.partitions.contains_key(&number) {
                self.is_clean(number);
            }
        }
    }

    fn is_clean(&self, number: u32) {
        let (broker, provider) = (self.broker.clone(), self.provider.clone());
        let instance = self.process.instance.clone();
        self.spawn(async move { Event::Swept(set(&broker, &provider, number, &instance, 0).await) });
    }

    /// Removes the marker that is left when the worker is asked to stop: it would prove something to the next one.
    pub(super) async fn clear_marker(&mut self) {
        let Some(alone) = self.careful.alone.take() else { return };
        if let Err(error) = clear(&self.broker, alone.seq).await {
            tracing::warn!(%error, "the marker of a delivery could not be removed");
        }
    }

    /// Handling a delivery panicked.
    pub(super) fn panicked(&mut self, at: At, turn: Turn, job: Job) {
        tracing::error!(delivery.id = %job.delivery.id, integration.id = &*turn.integration, "handling a delivery panicked; it is filed as poison");
        self.requests.remove(&(at, turn.key.clone()));
        self.free_place(&turn, None);
        self.file_poison(at, turn, job, PANICKED);
    }

    pub(super) fn file_poison(&mut self, at: At, turn: Turn, job: Job, why: &'static str) {
        let now = Timestamp::now();
        let notice = self.judge.notice(notices::Kind::Dead, &job, why, now);
        let broker = self.broker.clone();
        self.spawn(async move {
            let done = bury(&broker, &turn, &job, why, notice, now).await;
            Event::Filed(at, turn, done)
        });
    }
}

/// Files a delivery that stopped its worker. Its marker goes when it is filed, and not before.
async fn bury(
    broker: &Broker,
    turn: &Turn,
    job: &Job,
    why: &'static str,
    notice: Option<Notice>,
    now: Timestamp,
) -> Result<Done, Error> {
    let record = Attempt {
        error_message: Some(why.to_owned()),
        ..filing::record(&job.delivery, None, Next::Final(Final::Dead), None, now)
    };
    let record = effects::encode(record)?;
    let next = job.delivery.next_hop();
    let step = effects::bury(broker, job, next, (DeadReason::Poison, why), record, turn.last, now).await?;
    clear(broker, turn.queued.seq).await?;
    notices::tell(broker, notice).await;
    Ok(Done { step, state: None })
}

async fn clear(broker: &Broker, seq: u64) -> Result<(), Error> {
    let key = subjects::suspect_key(subjects::ORDERED, seq);
    patiently("removing the marker of a delivery", || {
        broker.delete(subjects::STATE, &key)
    })
    .await
}

#[cfg(test)]
mod tests;
