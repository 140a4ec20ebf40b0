//! Deliveries that go in the order of their keys.
//!
//! Those of one key are sent one after another, whoever sends them: each partition of ORDERED has one worker at a
//! time, by a lease. What waits stays in the stream, whatever it waits for; a worker that dies leaves everything there
//! that the next one needs. **Invariant:** the next request of a key begins after the record of the one before is
//! stored and its message is removed, so that a crash repeats the last request of a key and no other.
//!
//! One task owns all that a process has of one provider; requests and effects are futures that it drives.

mod answers;
mod effects;
mod keys;
mod leases;
mod partition;
mod places;
mod poison;
mod probing;
mod reading;
mod records;
mod sending;
mod tokens;
pub(crate) mod validity;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use signalbox_broker::{
    Broker, Error as BrokerError, Message,
    browse::Stored,
    directory,
    limiter::{Leased, Limiter},
    patience::patiently,
};
use signalbox_proto::{Delivery, Integration, Lane, Name, Phase, State, Timestamp, integration::Status};
use signalbox_providers::Client;
use signalbox_runtime::{Process, metrics::Gauge};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{
    Config, Error,
    attempt::{Attempted, Means},
    filing::Job,
    judge::Judge,
    report::Attempts,
    targets::Targets,
};
use effects::{Done, Finished};
use keys::{Rules, Turn};
use partition::{At, Floors, Partition};
use places::Places;
use records::Records;
use tokens::Tokens;

/// Messages read ahead of all partitions together.
const AHEAD: usize = 256;
/// Of what is ready at once, so much is handled before anything else is looked at.
const AT_ONCE: usize = 256;
/// The pause between two looks at what changes without a word: lost probes, and whether anything waits at all.
const TICK: Duration = Duration::from_secs(2);
/// How often it is looked whether anything waits, where no integration asks for an order.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// The wait before something is tried again that failed on our side, before any request.
const OWN_RETRY: Duration = Duration::from_secs(2);
/// The first and the longest wait between two looks at how far the router is.
const FLOOR_FIRST: Duration = Duration::from_millis(25);
const FLOOR_LAST: Duration = Duration::from_millis(400);

/// What a future of the worker ends with.
enum Event {
    /// What a turn is about was read.
    Read(At, Turn, bool, Result<Option<Stored>, BrokerError>),
    /// A delivery was made the probe of its integration, or was not.
    Chosen(At, Turn, Arc<Delivery>, Result<State, BrokerError>),
    /// A request was answered; `None` where it was given up.
    Answered(At, Turn, Box<Job>, Option<Attempted>),
    /// Handling a delivery panicked.
    Panicked(At, Turn, Box<Job>),
    /// The marker of a delivery was put, or found, or not.
    Marked(At, Turn, Box<Job>, Result<poison::Marking, BrokerError>),
    /// It was removed.
    Unmarked(Result<(), BrokerError>),
    /// A verdict was filed.
    Filed(At, Turn, Result<Done, BrokerError>),
    /// Records were stored, or not: by their marks.
    Recorded(Vec<records::Entry>, Result<(), BrokerError>),
    /// What has ended was removed.
    Finished(At, Turn, Result<Finished, BrokerError>),
    /// Tokens of a rate limit.
    Tokens(Arc<str>, Result<Leased, BrokerError>),
    /// What KV has of an integration.
    Learned(String, Result<Option<Box<Integration>>, BrokerError>),
    /// How far the router is.
    Floors(Result<Floors, BrokerError>),
    /// Whether ORDERED has anything of this provider.
    Looked(Result<bool, BrokerError>),
    /// Something that nobody waits for.
    Swept(Result<(), BrokerError>),
}

/// A turn whose record is on its way.
struct Ending {
    at: At,
    turn: Turn,
    held: Option<Box<Delivery>>,
}

pub(crate) struct Ordered {
    broker: Broker,
    process: Process,
    config: Arc<Config>,
    client: Client,
    means: Means,
    provider: Name,
    targets: Targets,
    /// Integrations of this provider that ask for an order.
    asking: HashSet<String>,
    /// Integrations that KV is asked about, or was, with the revision that was wanted.
    learned: HashMap<String, (u64, bool)>,
    partitions: BTreeMap<u32, Partition>,
    epoch: u64,
    places: Places,
    tokens: Tokens,
    limiter: Limiter,
    paces: HashMap<Arc<str>, Instant>,
    judge: Judge,
    attempts: Attempts,
    waiting: Gauge,
    records: Records,
    ending: HashMap<u64, Ending>,
    next_mark: u64,
    /// Integrations that may have something to send.
    candidates: BTreeSet<Arc<str>>,
    /// The one that was sent to last: the next of them goes next, so that none waits for those before it.
    turn_of: Option<Arc<str>>,
    /// Integrations that found no place of their share: candidates once one of such a share is free.
    crowded_out: BTreeSet<Arc<str>>,
    /// Integrations that are looked at again then.
    timers: BTreeSet<(Instant, Arc<str>)>,
    timer_of: HashMap<Arc<str>, Instant>,
    careful: poison::Careful,
    /// Requests that are given up with their partition.
    requests: HashMap<(At, keys::KeyId), futures::future::AbortHandle>,
    futures: FuturesUnordered<BoxFuture<'static, Event>>,
    floors_asked: bool,
    floors_wait: Duration,
    floors_next: Instant,
    wanted: watch::Sender<bool>,
    any_left: bool,
    looking: Option<Instant>,
    messages: mpsc::Sender<(At, Message)>,
    finished: mpsc::UnboundedSender<leases::Over>,
    /// The worker is asked to stop: nothing is taken any more.
    stopping: bool,
}

impl Ordered {
    /// Delivers what goes in order to one provider's targets, until the process is asked to stop.
    pub(crate) async fn run(
        broker: Broker,
        process: Process,
        config: Arc<Config>,
        client: Client,
        means: Means,
        provider: Name,
        targets: Targets,
    ) -> Result<(), Error> {
        let mut changes = patiently("the list of integrations", || directory::follow(&broker)).await?;
        let (messages, mut arrivals) = mpsc::channel(AHEAD);
        let (lease_changes, mut granted) = mpsc::unbounded_channel();
        let (finished, finishing) = mpsc::unbounded_channel();
        let (wanted, is_wanted) = watch::channel(false);
        let leases = leases::Leases {
            broker: broker.clone(),
            provider: provider.clone(),
            instance: process.instance.clone(),
            wanted: is_wanted,
            changes: lease_changes,
            finished: finishing,
        };
        let mut ordered = Self {
            asking: HashSet::new(),
            learned: HashMap::new(),
            partitions: BTreeMap::new(),
            epoch: 0,
            places: Places::new(
                config.ordered_max,
                config.integration_in_flight_max,
                config.org_max()[Lane::Ordered as usize],
            ),
            tokens: Tokens::default(),
            limiter: Limiter::new(broker.clone()),
            paces: HashMap::new(),
            judge: Judge::new(&config),
            attempts: Attempts::new(&process, &provider),
            waiting: process
                .metrics
                .gauges(
                    "delivery_ordered_waiting",
                    "Deliveries that wait for their turn in the partitions of this process.",
                    ["provider"],
                )
                .with([provider.as_str()]),
            records: Records::new(&process.instance, &provider),
            ending: HashMap::new(),
            next_mark: 0,
            candidates: BTreeSet::new(),
            turn_of: None,
            crowded_out: BTreeSet::new(),
            timers: BTreeSet::new(),
            timer_of: HashMap::new(),
            careful: poison::Careful::default(),
            requests: HashMap::new(),
            futures: FuturesUnordered::new(),
            floors_asked: false,
            floors_wait: FLOOR_FIRST,
            floors_next: Instant::now(),
            wanted,
            any_left: false,
            looking: None,
            messages,
            finished,
            stopping: false,
            broker,
            process,
            config,
            client,
            means,
            provider,
            targets,
        };
        // Nothing is pulled before the first snapshot is complete.
        loop {
            match changes.recv().await {
                Some(directory::Change::Complete) | None => break,
                Some(change) => ordered.learn_change(change),
            }
        }
        let leasing = tokio::spawn(leases.run());
        let shutdown = ordered.process.shutdown.clone();
        let mut tick = Instant::now();
        loop {
            if tick <= Instant::now() {
                ordered.tick();
                tick = Instant::now() + ordered.tick_after();
            }
            ordered.pump();
            let wake = ordered.next_wake().map_or(tick, |wake| wake.min(tick));
            tokio::select! {
                biased;
                () = shutdown.requested() => break,
                Some(change) = granted.recv() => ordered.lease_changed(change),
                Some(change) = changes.recv() => ordered.learn_change(change),
                Some(event) = ordered.futures.next(), if !ordered.futures.is_empty() => {
                    ordered.handle(event);
                    for _ in 0..AT_ONCE {
                        let Some(Some(event)) = ordered.futures.next().now_or_never() else { break };
                        ordered.handle(event);
                    }
                }
                Some((at, message)) = arrivals.recv() => {
                    ordered.read(at, &message);
                    for _ in 0..AT_ONCE {
                        let Ok((at, message)) = arrivals.try_recv() else { break };
                        ordered.read(at, &message);
                    }
                }
                () = tokio::time::sleep_until(wake) => {}
            }
        }
        ordered.drain(&mut granted).await;
        ordered.clear_marker().await;
        drop(ordered);
        leasing.await.map_err(Error::Worker)
    }

    /// Finishes what is in hand and gives the partitions back. First it takes part no more, so that what it gives
    /// back is not its own again.
    async fn drain(&mut self, granted: &mut mpsc::UnboundedReceiver<leases::Change>) {
        self.stopping = true;
        self.want();
        for partition in self.partitions.values_mut() {
            partition.leaving = true;
        }
        let deadline = Instant::now() + Duration::from_millis(self.config.drain_ms);
        loop {
            self.pump();
            if self.partitions.is_empty() {
                return;
            }
            tokio::select! {
                Some(change) = granted.recv() => self.lease_changed(change),
                Some(event) = self.futures.next(), if !self.futures.is_empty() => self.handle(event),
                () = tokio::time::sleep_until(deadline) => {
                    let count: usize = self.partitions.values().map(|partition| partition.in_hand).sum();
                    tracing::warn!(count, provider = %self.provider, "ordered deliveries are not finished in time; these go again");
                    return;
                }
            }
        }
    }

    fn tick_after(&self) -> Duration {
        if self.partitions.is_empty() { LOOK_EVERY } else { TICK }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        for partition in self.partitions.values_mut() {
            partition.tidy(now);
            // A lease that was late may be good again.
            self.candidates.extend(partition.keys.ready().cloned());
        }
        self.places.tidy(now);
        self.look_at_care(now);
        self.crowded_out.clear();
        self.mark_again(now);
        self.look_for_probes(Timestamp::now());
        let left: usize = self.partitions.values().map(|partition| partition.keys.len()).sum();
        self.waiting.set(left as f64);
        let looked = self.looking.is_some_and(|at| now.duration_since(at) < LOOK_EVERY);
        if self.asking.is_empty() && !looked {
            self.looking = Some(now);
            let (broker, provider) = (self.broker.clone(), self.provider.clone());
            self.spawn(async move { Event::Looked(broker.any_ordered(&provider).await) });
        }
    }

    fn want(&mut self) {
        let wanted = !self.stopping && (!self.asking.is_empty() || self.any_left);
        self.wanted
            .send_if_modified(|was| std::mem::replace(was, wanted) != wanted);
    }

    /// When something is to be done that no message tells of.
    fn next_wake(&self) -> Option<Instant> {
        let (now, clock) = (Timestamp::now(), Instant::now());
        let keys = self.partitions.values().filter(|partition| partition.complete);
        let keys = keys.filter_map(|partition| partition.keys.next_wake()).min();
        let keys = keys.map(|at| clock + at.since(now));
        let timers = self.timers.first().map(|(at, _)| *at);
        // While OUTCOMES has no room nothing is asked.
        let asks = !self.floors_asked && !self.records.is_full();
        let floors = (asks && self.is_unrouted()).then_some(self.floors_next);
        [keys, timers, floors, self.records.next_try()]
            .into_iter()
            .flatten()
            .min()
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Read(at, turn, as_probe, found) => self.found(at, turn, as_probe, found),
            Event::Chosen(at, turn, delivery, state) => self.chosen(at, turn, delivery, state),
            Event::Answered(at, turn, job, attempted) => {
                if attempted.is_none() {
                    self.unmark(at, &turn);
                }
                self.answered(at, turn, *job, attempted);
            }
            Event::Panicked(at, turn, job) => self.panicked(at, turn, *job),
            Event::Marked(at, turn, job, marking) => self.marked(at, turn, *job, marking),
            Event::Unmarked(result) => self.unmarked(result),
            Event::Filed(at, turn, done) => {
                self.unmark(at, &turn);
                self.filed(at, turn, done);
            }
            Event::Recorded(entries, result) => self.recorded(entries, result),
            Event::Finished(at, turn, finished) => self.finished(at, &turn, finished),
            Event::Tokens(integration, leased) => {
                let now = Timestamp::now();
                match leased {
                    Ok(leased) => self.tokens.told(&integration, leased.slots, leased.until, leased.again),
                    Err(error) => {
                        tracing::warn!(%error, integration.id = &*integration, "a rate limit cannot be asked; its deliveries wait");
                        self.tokens.failed(&integration, now);
                    }
                }
                self.candidates.insert(integration);
            }
            Event::Learned(id, learned) => self.learned(&id, learned),
            Event::Floors(floors) => self.floors(floors),
            Event::Looked(any) => {
                // What cannot be seen now is looked for again.
                self.any_left = any.unwrap_or(self.any_left);
                self.want();
            }
            Event::Swept(result) => {
                if let Err(error) = result {
                    tracing::warn!(%error, provider = %self.provider, "something of ORDERED is left that has ended");
                }
            }
        }
    }

    fn spawn(&self, future: impl Future<Output = Event> + Send + 'static) {
        self.futures.push(Box::pin(future));
    }

    /// Removes what is of no use, while nobody waits for it.
    fn sweep(&self, seqs: Vec<u64>) {
        for seq in seqs {
            let broker = self.broker.clone();
            self.spawn(async move { Event::Swept(effects::remove(&broker, seq).await) });
        }
    }

    /// The partition, if it is still the one that was had then.
    fn partition(&mut self, at: At) -> Option<&mut Partition> {
        let partition = self.partitions.get_mut(&at.partition)?;
        (partition.at == at).then_some(partition)
    }

    fn lease_changed(&mut self, change: leases::Change) {
        match change {
            // It was asked for before the worker was to stop.
            leases::Change::Granted(number, validity) if self.stopping => self.finish((number, validity)),
            leases::Change::Granted(number, validity) => {
                self.epoch += 1;
                let at = At {
                    partition: number,
                    epoch: self.epoch,
                };
                tracing::debug!(provider = %self.provider, order.partition = number, "reading what waits in order");
                let unclean = Arc::default();
                let reading = partition::read(
                    self.broker.clone(),
                    self.provider.clone(),
                    self.process.instance.clone(),
                    at,
                    self.messages.clone(),
                    Arc::clone(&unclean),
                );
                let mut partition = Partition::new(at, validity, reading);
                partition.unclean = unclean;
                partition.marked = Some(Instant::now());
                self.partitions.insert(number, partition);
            }
            leases::Change::GiveBack(number) => {
                if let Some(partition) = self.partitions.get_mut(&number) {
                    partition.leaving = true;
                }
            }
            leases::Change::Lost(number) => {
                self.lose(number);
            }
        }
    }

    /// Gives up a partition at once: another may have it. Returns what was had of it.
    fn lose(&mut self, number: u32) -> Option<leases::Over> {
        let partition = self.partitions.remove(&number)?;
        for ((at, _), request) in &self.requests {
            if *at == partition.at {
                request.abort();
            }
        }
        Some((number, partition.validity.clone()))
    }

    /// Says that nothing more of a partition is done by this lease.
    fn finish(&self, over: leases::Over) {
        let number = over.0;
        if self.finished.send(over).is_err() {
            tracing::debug!(order.partition = number, "a lease is left to expire");
        }
    }

    /// Takes in what CONFIG or STATE says.
    fn learn_change(&mut self, change: directory::Change) {
        let id = match &change {
            directory::Change::Integration(integration) if integration.provider == self.provider => {
                let asks = integration.flow.order_by.is_some() && integration.status != Status::Deleted;
                let known = match asks {
                    true => !self.asking.insert(integration.id.clone()),
                    false => self.asking.remove(&integration.id) || self.targets.get(&integration.id).is_some(),
                };
                if !asks && !known && !self.is_learned(&integration.id) {
                    return;
                }
                if !asks {
                    // Something of it may be left.
                    self.any_left = true;
                    self.looking = None;
                }
                integration.id.clone()
            }
            directory::Change::Integration(_) => return,
            directory::Change::State { integration, .. } => integration.clone(),
            directory::Change::Complete => return,
        };
        self.targets.apply(change);
        self.want();
        self.changed(&id);
    }

    fn is_learned(&self, id: &str) -> bool {
        self.learned.contains_key(id)
    }

    /// An integration or its state is another than before.
    fn changed(&mut self, id: &str) {
        let now = Timestamp::now();
        let rules = self.rules(id);
        let suspended = self.is_suspended(id);
        for partition in self.partitions.values_mut() {
            if let Some(rules) = &rules
                && partition.keys.knows(id)
            {
                partition.keys.rule(id, rules.clone(), now);
            }
            if !suspended && partition.complete {
                partition.keys.release_probes(id, now);
            }
        }
        self.candidates.insert(Arc::from(id));
    }

    fn is_suspended(&self, id: &str) -> bool {
        let state = self.targets.state(id);
        state.is_some_and(|state| state.phase == Phase::Suspended)
    }

    /// What holds for the deliveries of an integration, if it is known.
    fn rules(&self, id: &str) -> Option<Rules> {
        let integration = &self.targets.get(id)?.integration;
        Some(Rules {
            expire_after: integration.expire_after(),
            deleted: integration.status == Status::Deleted,
            drop_before: self.targets.state(id).and_then(|state| state.drop_before),
            holds: !integration.flow.order_on_dead.is_release(),
            hold_for: Duration::from_secs(self.broker.config().dead_age_s),
        })
    }
}
