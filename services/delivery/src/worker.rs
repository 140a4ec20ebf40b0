//! The loop of one provider's worker.
//!
//! One task owns everything: what is known of integrations, the places of each, what is in hand.
//! Requests and filings are futures that it drives. **Invariant:** the next hop of a delivery is
//! stored, and its outcome in OUTCOMES, before its message is acknowledged.

mod limits;
mod settle;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use signalbox_broker::{
    Broker, Error as BrokerError, Message, Puller, directory,
    limiter::Limiter,
    message::Ticket,
    outcomes::{Outcomes, Settled},
    patience::patiently,
    suspects::{self},
    topology::{Consumer, IN_PROGRESS_EVERY},
};
use signalbox_proto::{
    DeadLetter, DeadReason, Delivery, Lane, Name, Outcome, Stage, Timestamp, dead::Input,
    integration::EXPIRE_AFTER_SECS, subjects, wire,
};
use signalbox_providers::Client;
use signalbox_runtime::{Process, metrics::Counter};
use tokio::time::Instant;

use crate::{
    Config, Error,
    attempt::{self, Attempted, Means},
    decide::{self, Admission},
    filing::{self, Done, Filed, Job},
    judge::Judge,
    memory::{HopDigest, Known as KnownHop, Memory},
    notices,
    report::Attempts,
    shares::{Place, Shares},
    targets::Targets,
};

/// The wait of what could not begin for a reason of ours.
const OWN_RETRY: Duration = Duration::from_secs(2);

/// The wait of a probe for which there is no place.
const PLACELESS_WAIT: Duration = Duration::from_secs(5);

/// The mark of a record that no message waits for.
const NO_MARK: u64 = u64::MAX;

/// What is in hand of one message.
struct Held {
    ticket: Ticket,
    lane: Lane,
    since: Instant,
    /// Its hop, once it is read.
    hop: Option<HopDigest>,
    /// Kept until OUTCOMES has its end.
    delivery: Option<Arc<Delivery>>,
    /// Whether its marker is put.
    marked: bool,
    /// Whether its next hop is stored, so that only the record is left to be stored.
    onward: bool,
}

struct Answered {
    key: u64,
    job: Job,
    attempted: Attempted,
}

struct FiledOne {
    key: u64,
    integration: String,
    result: Result<Done, BrokerError>,
}

struct Metrics {
    parked: Counter,
    shed: Counter,
}

pub(crate) struct Worker {
    broker: Broker,
    process: Process,
    config: Arc<Config>,
    client: Client,
    means: Means,
    provider: Name,
    stream: String,
    targets: Targets,
    shares: Shares<u64>,
    tokens: limits::Tokens,
    jobs: HashMap<u64, Job>,
    judge: Judge,
    memory: Memory,
    held: HashMap<u64, Held>,
    in_lane: [usize; Lane::ALL.len()],
    next_key: u64,
    requests: FuturesUnordered<BoxFuture<'static, Answered>>,
    filings: FuturesUnordered<BoxFuture<'static, FiledOne>>,
    /// Messages that were delivered often, each handled while no other of them is.
    suspects: VecDeque<(u64, Message)>,
    suspect: Option<(u64, Option<Message>)>,
    /// What came while OUTCOMES had no room: begun when it has.
    stalled: Vec<(u64, Arc<Delivery>)>,
    /// Integrations that are just being held back, with what waits for it.
    shedding: HashMap<String, Vec<(u64, Job)>>,
    full: bool,
    /// Records of deliveries that have gone on, for which OUTCOMES had no room.
    unrecorded: Vec<serde_bytes::ByteBuf>,
    attempts: Attempts,
    metrics: Metrics,
}

impl Worker {
    pub(crate) fn new(
        broker: Broker,
        process: Process,
        config: Arc<Config>,
        client: Client,
        means: Means,
        provider: Name,
        targets: Targets,
    ) -> Self {
        let attempts = Attempts::new(&process, &provider);
        let judge = Judge::new(&config);
        let metrics = Metrics {
            parked: process
                .metrics
                .counters("delivery_parked", "Deliveries parked by workers.", ["provider"])
                .with([provider.as_str()]),
            shed: process
                .metrics
                .counters(
                    "delivery_shed",
                    "Deliveries parked because their integration had no place.",
                    ["provider"],
                )
                .with([provider.as_str()]),
        };
        Self {
            stream: subjects::deliver_stream(&provider),
            targets,
            shares: Shares::new(
                config.integration_in_flight_max,
                config.org_max(),
                Duration::from_millis(config.place_wait_ms),
            ),
            memory: Memory::new(Duration::from_millis(config.memory_ms)),
            tokens: limits::Tokens::new(Limiter::new(broker.clone())),
            broker,
            process,
            config,
            client,
            means,
            provider,
            jobs: HashMap::new(),
            judge,
            held: HashMap::new(),
            in_lane: [0; Lane::ALL.len()],
            next_key: 0,
            requests: FuturesUnordered::new(),
            filings: FuturesUnordered::new(),
            suspects: VecDeque::new(),
            suspect: None,
            stalled: Vec::new(),
            shedding: HashMap::new(),
            full: false,
            unrecorded: Vec::new(),
            attempts,
            metrics,
        }
    }

    pub(crate) async fn run(mut self) -> Result<(), Error> {
        let broker = self.broker.clone();
        let mut changes = patiently("the list of integrations", || directory::follow(&broker)).await?;
        // Nothing is pulled before the first snapshot is complete.
        loop {
            match changes.recv().await {
                Some(directory::Change::Complete) | None => break,
                Some(change) => self.targets.apply(change),
            }
        }
        let instance = format!("{}-{}", self.process.instance, self.provider);
        let (mut outcomes, mut settled) = Outcomes::start(&self.broker, "delivery", &instance);
        let provider = self.provider.clone();
        let open = |lane| {
            let (broker, provider) = (&broker, &provider);
            patiently("a lane's consumer", move || {
                Puller::open(broker, Consumer::lane(provider, lane))
            })
        };
        let mut live = open(Lane::Live).await?;
        let mut retry = open(Lane::Retry).await?;
        let mut ordered = open(Lane::Ordered).await?;
        let mut bulk = open(Lane::Bulk).await?;
        let mut tick: Option<Instant> = None;
        tracing::info!(provider = %self.provider, "delivering");
        loop {
            self.full = outcomes.is_full();
            if !self.full && !self.stalled.is_empty() {
                for (key, delivery) in std::mem::take(&mut self.stalled) {
                    self.begin(key, delivery, false);
                }
            }
            self.next_suspect();
            let want = Lane::ALL.map(|lane| self.wanted(lane));
            let deadline = self.next_tick(&mut tick);
            let token = self.tokens.next_due();
            tokio::select! {
                biased;
                () = self.process.shutdown.requested() => break,
                Some(change) = changes.recv() => self.targets.apply(change),
                Some(answered) = self.requests.next(), if !self.requests.is_empty() => {
                    self.answered(answered, &outcomes)?;
                    while let Some(Some(answered)) = self.requests.next().now_or_never() {
                        self.answered(answered, &outcomes)?;
                    }
                }
                Some(filed) = self.filings.next(), if !self.filings.is_empty() => self.filed(filed, &outcomes).await?,
                Some(batch) = settled.recv() => self.settled(batch),
                Some(told) = self.tokens.questions.next(), if !self.tokens.questions.is_empty() => self.told(told),
                () = tokio::time::sleep_until(token.unwrap_or_else(Instant::now)), if token.is_some() => self.tokens_due(),
                () = outcomes.changed() => {}
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    tick = None;
                    self.on_tick().await?;
                }
                message = live.next(want[0]) => self.take_all(message, &mut live, Lane::Live).await?,
                message = retry.next(want[1]) => self.take_all(message, &mut retry, Lane::Retry).await?,
                message = ordered.next(want[2]) => self.take_all(message, &mut ordered, Lane::Ordered).await?,
                message = bulk.next(want[3]) => self.take_all(message, &mut bulk, Lane::Bulk).await?,
            }
        }
        let pullers = [&mut live, &mut retry, &mut ordered, &mut bulk];
        self.drain(pullers, outcomes, settled).await
    }

    /// No request starts while OUTCOMES has no room, so nothing more is asked for.
    fn wanted(&self, lane: Lane) -> usize {
        let most = if self.full { 0 } else { self.config.lane_max(lane) };
        most.saturating_sub(self.in_lane[lane as usize])
    }

    /// When to look at what is held: soon while something waits for a place, rarely while anything
    /// is held at all, never when idle.
    fn next_tick(&self, tick: &mut Option<Instant>) -> Option<Instant> {
        let now = Instant::now();
        let wait = if self.shares.any_waiting() {
            Duration::from_millis(self.config.place_wait_ms.div_euclid(4).max(5))
        } else if self.held.is_empty() {
            *tick = None;
            return None;
        } else {
            IN_PROGRESS_EVERY
        };
        let at = tick.map_or(now + wait, |at| at.min(now + wait));
        *tick = Some(at);
        Some(at)
    }

    async fn take_all(&mut self, first: Message, puller: &mut Puller, lane: Lane) -> Result<(), Error> {
        let mut next = Some(first);
        while let Some(message) = next {
            let key = self.hold(&message, lane);
            if suspects::is_suspect(&message) {
                self.suspects.push_back((key, message));
            } else {
                self.take(key, message).await?;
            }
            next = puller.ready();
        }
        Ok(())
    }

    fn hold(&mut self, message: &Message, lane: Lane) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        self.in_lane[lane as usize] += 1;
        let held = Held {
            ticket: message.ticket(),
            lane,
            since: Instant::now(),
            hop: None,
            delivery: None,
            marked: false,
            onward: false,
        };
        self.held.insert(key, held);
        key
    }

    /// Takes the next suspect in hand: one at a time, and behind its marker.
    fn next_suspect(&mut self) {
        if self.suspect.is_none()
            && let Some((key, message)) = self.suspects.pop_front()
        {
            let ticket = message.ticket();
            self.suspect = Some((key, Some(message)));
            let filing = filing::suspect(
                self.broker.clone(),
                self.stream.clone(),
                ticket,
                self.process.instance.clone(),
            );
            self.file(key, "", filing);
        }
    }

    /// Reads a message that came, and begins what it asks for.
    async fn take(&mut self, key: u64, message: Message) -> Result<(), Error> {
        let delivery = match wire::decode_delivery(&message.body) {
            Ok(delivery) => Arc::new(delivery),
            Err(error) => {
                let why = format!("this delivery cannot be read: {error}");
                self.bury_unread(key, &message, DeadReason::Invalid, &why);
                return Ok(());
            }
        };
        let hop = delivery.hop_digest();
        match self.memory.get(hop) {
            Some(KnownHop::Finished) => {
                self.let_go(key);
                return Ok(message.ack(&self.broker).await?);
            }
            // The acknowledgement of the copy in hand settles this one too, unless it is a second
            // message: then it comes again and is known as finished.
            Some(KnownHop::InHand) => {
                self.let_go(key);
                return Ok(());
            }
            None => {}
        }
        self.memory.begin(hop);
        if let Some(held) = self.held.get_mut(&key) {
            held.hop = Some(hop);
            held.delivery = Some(delivery.clone());
        }
        if self.full {
            self.stalled.push((key, delivery));
        } else {
            self.begin(key, delivery, false);
        }
        Ok(())
    }

    /// Begins a delivery. `informed`: KV was just asked about its integration.
    fn begin(&mut self, key: u64, delivery: Arc<Delivery>, informed: bool) {
        let now = Timestamp::now();
        let broker = self.broker.clone();
        let integration = delivery.integration.clone();
        if let Some(unfiled) = delivery.filed.clone() {
            return self.file(key, &integration, filing::file_again(broker, delivery, unfiled, now));
        }
        let known = self.targets.get(&integration).cloned();
        // A delivery names the revision that the router knew: a worker that is behind reads KV once.
        let behind = known
            .as_ref()
            .is_none_or(|known| known.integration.revision < delivery.revision);
        if behind && !informed {
            return self.file(key, &integration, filing::learn(broker, integration.clone()));
        }
        let Some(known) = known else {
            if now >= delivery.since + Duration::from_secs(EXPIRE_AFTER_SECS.into()) {
                let why = "its integration has not been known for too long";
                return self.file(
                    key,
                    &integration,
                    filing::end(broker, delivery, DeadReason::Expired, why, None, now),
                );
            }
            tracing::warn!(
                integration.id = integration,
                "an integration is not known yet; its delivery waits"
            );
            return self.file(key, &integration, filing::wait_for_integration(broker, delivery, now));
        };
        let (org, lane) = (delivery.org.as_str(), self.lane_of(key));
        let job = Job {
            delivery: delivery.clone(),
            known,
        };
        if let Some(paid) = self.held.get(&key).and_then(|held| held.delivery.as_ref()?.paid) {
            self.tokens.bring(key, &job, paid);
        }
        match decide::admit(&delivery, &job.known.integration, self.targets.state(&integration), now) {
            Admission::End(reason, why) => {
                let notice = match reason {
                    DeadReason::Discarded => None,
                    _ => self.judge.notice(notices::Kind::Dead, &job, why, now),
                };
                self.file(
                    key,
                    &integration,
                    filing::end(broker, delivery, reason, why, notice, now),
                );
            }
            Admission::Park(state) => {
                self.metrics.parked.inc();
                self.file(key, &integration, filing::park(broker, job, state));
            }
            Admission::Probe(state) => self.file(key, &integration, filing::probe(broker, job, state, now)),
            Admission::Go => match &job.known.target {
                Err(reason) => {
                    let reason = reason.clone();
                    let notice = if delivery.probe {
                        None
                    } else {
                        self.judge.notice(notices::Kind::Suspended, &job, &reason, now)
                    };
                    self.file(
                        key,
                        &integration,
                        filing::hold_unopened(broker, job, reason, notice, self.config.probe_first_s, now),
                    );
                }
                Ok(_) if job.lacks_token(now) => self.wait_for_token(key, job),
                Ok(_) => match self.shares.enter(&integration, org, lane, Instant::now()) {
                    Place::Free => self.send(key, job),
                    Place::Soon => {
                        self.shares.wait(&integration, org, lane, key, Instant::now());
                        self.jobs.insert(key, job);
                    }
                    Place::None => self.shed(key, job, now),
                },
            },
        }
    }

    /// The lane that a message came in by.
    fn lane_of(&self, key: u64) -> Lane {
        self.held.get(&key).map_or(Lane::Live, |held| held.lane)
    }

    fn send(&mut self, key: u64, job: Job) {
        self.tokens.uses(key);
        let client = self.client.connecting_within(job.known.integration.connect_timeout());
        let means = self.means.clone();
        self.requests.push(Box::pin(async move {
            let attempted = match &job.known.target {
                Ok(target) => {
                    let revision = job.known.integration.revision;
                    attempt::send(&client, &means, target, &job.delivery, revision).await
                }
                Err(reason) => Attempted {
                    outcome: Outcome::Suspend {
                        reason: reason.clone(),
                        at_once: false,
                    },
                    response_code: None,
                    response_body: String::new(),
                    started: Timestamp::now(),
                    took: Duration::ZERO,
                    asked: false,
                    waits: None,
                    progress: job.delivery.progress.clone(),
                },
            };
            Answered { key, job, attempted }
        }));
    }

    /// Sends a delivery away that finds no place. The first of an integration holds it back; others
    /// wait for that, as each attempt of its own would move the gate once more.
    fn shed(&mut self, key: u64, job: Job, now: Timestamp) {
        self.metrics.shed.inc();
        let integration = job.delivery.integration.clone();
        let broker = self.broker.clone();
        // What a keeper takes out of PARKED would only come back: it rests for a while.
        let rest = self.shares.rest(&integration, Instant::now());
        let until = rest.filter(|_| self.lane_of(key) == Lane::Bulk).map(|rest| now + rest);
        let known = self.targets.state(&integration);
        if let Some(state) = known.filter(|state| decide::is_probe(&job.delivery, state)).cloned() {
            // Parked, it would be taken for lost a while later: it is the one delivery that brings the others back.
            return self.file(
                key,
                &integration,
                filing::probe(broker, job, state, now + PLACELESS_WAIT),
            );
        }
        let held = known.filter(|state| until.is_none() || !filing::may_rest(state, now));
        if let Some(state) = held.cloned() {
            self.file(key, &integration, filing::park(broker, job, state));
        } else if let Some(waiting) = self.shedding.get_mut(&integration) {
            waiting.push((key, job));
        } else {
            self.shedding.insert(integration.clone(), Vec::new());
            self.file(key, &integration, filing::shed(broker, job, until, now));
        }
    }

    /// Parks what waited for its integration to be held back.
    fn shed_rest(&mut self, integration: &str) {
        for (key, job) in self.shedding.remove(integration).unwrap_or_default() {
            self.shed(key, job, Timestamp::now());
        }
    }

    fn file(
        &mut self,
        key: u64,
        integration: &str,
        filing: impl Future<Output = Result<Done, BrokerError>> + Send + 'static,
    ) {
        let integration = integration.to_owned();
        self.filings.push(Box::pin(async move {
            FiledOne {
                key,
                integration,
                result: filing.await,
            }
        }));
    }

    async fn on_tick(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        for key in self.shares.overdue(now) {
            if let Some(job) = self.jobs.remove(&key) {
                self.shed(key, job, Timestamp::now());
            }
        }
        for held in self.held.values_mut() {
            if now.duration_since(held.since) >= IN_PROGRESS_EVERY {
                held.since = now;
                held.ticket.in_progress(&self.broker).await?;
            }
        }
        Ok(())
    }

    /// Files a message that no one can or should handle. A delivery that can be read still is one, so
    /// that it can be replayed.
    fn bury_unread(&mut self, key: u64, message: &Message, reason: DeadReason, why: &str) {
        let now = Timestamp::now();
        let letter = match wire::decode_delivery(&message.body) {
            Ok(delivery) => DeadLetter::of_delivery(Stage::Delivery, reason, why, delivery, now),
            Err(_) => {
                let org = message.subject.split('.').nth(4).and_then(|org| org.parse().ok());
                let input = Input {
                    subject: message.subject.to_string(),
                    headers: message.header_list(),
                    body: message.body.to_vec(),
                };
                DeadLetter::of_input(Stage::Delivery, reason, why, org, input, now)
            }
        };
        let id = Broker::dead_id(&self.stream, message.place.seq, reason.as_str());
        let broker = self.broker.clone();
        self.file(key, "", async move {
            broker.bury(&letter, &id).await?;
            Ok(Done {
                filed: Filed::Moved,
                state: None,
            })
        });
    }

    /// Hands back what has not begun, finishes what has, and waits for its acknowledgements.
    async fn drain(
        mut self,
        pullers: [&mut Puller; 4],
        outcomes: Outcomes,
        mut settled: tokio::sync::mpsc::UnboundedReceiver<Settled>,
    ) -> Result<(), Error> {
        for puller in pullers {
            for message in puller.stop().await {
                message.nak(&self.broker).await?;
            }
        }
        let waiting = std::mem::take(&mut self.suspects).into_iter().map(|(key, _)| key);
        let stalled = std::mem::take(&mut self.stalled).into_iter().map(|(key, _)| key);
        let placeless = self.shares.drain();
        let tokenless = self.tokens.drain();
        for key in waiting.chain(stalled).chain(placeless).chain(tokenless) {
            self.jobs.remove(&key);
            if let Some(ticket) = self.release(key, false) {
                ticket.nak(&self.broker).await?;
            }
        }
        let deadline = Instant::now() + Duration::from_millis(self.config.drain_ms);
        let mut tick = Instant::now() + IN_PROGRESS_EVERY;
        while !self.held.is_empty() {
            let token = self.tokens.next_due();
            tokio::select! {
                Some(answered) = self.requests.next(), if !self.requests.is_empty() => self.answered(answered, &outcomes)?,
                Some(filed) = self.filings.next(), if !self.filings.is_empty() => self.filed(filed, &outcomes).await?,
                Some(batch) = settled.recv() => self.settled(batch),
                Some(told) = self.tokens.questions.next(), if !self.tokens.questions.is_empty() => self.told(told),
                () = tokio::time::sleep_until(token.unwrap_or_else(Instant::now)), if token.is_some() => self.tokens_due(),
                () = tokio::time::sleep_until(tick) => {
                    self.on_tick().await?;
                    tick = Instant::now() + IN_PROGRESS_EVERY;
                }
                () = tokio::time::sleep_until(deadline) => {
                    tracing::warn!(count = self.held.len(), provider = %self.provider, "not finished in time; these are delivered again");
                    break;
                }
            }
        }
        self.tokens.finish().await;
        // A marker of a suspect that was not finished would make it poison for the next process.
        let marked: Vec<Ticket> = self
            .held
            .values()
            .filter(|held| held.marked)
            .map(|held| held.ticket.clone())
            .collect();
        for ticket in marked {
            self.broker.clear_suspect(&self.stream, &ticket).await?;
        }
        Ok(self.broker.flush().await?)
    }
}
