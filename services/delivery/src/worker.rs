//! The loop of one provider's worker.
//!
//! One task owns everything: what is known of integrations, the places of each, what is in hand.
//! Requests and filings are futures that it drives. **Invariant:** the next hop of a delivery is
//! stored, and its outcome in OUTCOMES, before its message is acknowledged.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::FuturesUnordered,
};
use signalbox_broker::{
    Broker, Error as BrokerError, Message, Puller, directory,
    message::Ticket,
    outcomes::{Entry, Outcomes, Settled},
    suspects::{self, Suspicion},
    topology::{Consumer, IN_PROGRESS_EVERY},
};
use signalbox_proto::{
    DeadLetter, DeadReason, Delivery, Lane, Name, Outcome, Stage, Timestamp, dead::Input, delivery::Unfiled, subjects, wire,
};
use signalbox_providers::{Entry as Provider, http::Client};
use signalbox_runtime::{
    Keyring, Process,
    metrics::{Counter, Histogram, SECONDS},
    telemetry::{Attribute, Hop, Kind, TraceContext},
};
use tokio::time::Instant;

use crate::{
    Config, Error,
    attempt::{self, Attempted},
    decide::{self, Admission, Facts, Verdict},
    filing::{self, Done, Filed, Job},
    memory::{HopDigest, Known as KnownHop, Memory},
    notices::{self, Notices},
    shares::{Place, Shares},
    streak::Streak,
    targets::Targets,
};

/// The wait of what could not begin for a reason of ours.
const OWN_RETRY: Duration = Duration::from_secs(2);
/// Retries after which the owner hears that deliveries fail.
const FAILING_RETRIES: u32 = 3;
/// Messages of the lane `retry` looked at while OUTCOMES has no room, to find out when it has.
const FULL_PROBES: usize = 16;

/// What is in hand of one message.
struct Held {
    ticket: Ticket,
    lane: Lane,
    since: Instant,
    hop: HopDigest,
    /// Kept for an arrival until OUTCOMES has it.
    delivery: Arc<Delivery>,
    suspect: bool,
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
    attempts: HashMap<&'static str, Counter>,
    seconds: Histogram,
    parked: Counter,
    shed: Counter,
}

pub(crate) struct Worker {
    broker: Broker,
    process: Process,
    config: Arc<Config>,
    client: Client,
    provider: Name,
    stream: String,
    targets: Targets,
    shares: Shares<u64>,
    jobs: HashMap<u64, Job>,
    streaks: HashMap<String, Streak>,
    notices: Notices,
    memory: Memory,
    held: HashMap<u64, Held>,
    in_lane: [usize; Lane::ALL.len()],
    next_key: u64,
    requests: FuturesUnordered<BoxFuture<'static, Answered>>,
    filings: FuturesUnordered<BoxFuture<'static, FiledOne>>,
    suspects: Vec<(Message, Lane)>,
    metrics: Metrics,
}

impl Worker {
    pub(crate) fn new(
        broker: Broker,
        process: Process,
        config: Arc<Config>,
        client: Client,
        entry: &'static Provider,
        provider: Name,
        keyring: Arc<Keyring>,
    ) -> Self {
        let attempts =
            process.metrics.counters("delivery_attempts", "Requests answered, by what the answer meant.", ["provider", "outcome"]);
        let by_outcome = ["delivered", "retry", "reject", "suspend"];
        let metrics = Metrics {
            attempts: by_outcome.map(|word| (word, attempts.with([provider.as_str(), word]))).into_iter().collect(),
            seconds: process
                .metrics
                .histograms("delivery_attempt_seconds", "How long attempts took.", ["provider"], SECONDS)
                .with([provider.as_str()]),
            parked: process.metrics.counters("delivery_parked", "Deliveries parked by workers.", ["provider"]).with([provider.as_str()]),
            shed: process
                .metrics
                .counters("delivery_shed", "Deliveries parked because their integration had no place.", ["provider"])
                .with([provider.as_str()]),
        };
        Self {
            stream: subjects::deliver_stream(&provider),
            targets: Targets::new(entry, provider.clone(), keyring),
            shares: Shares::new(config.integration_in_flight_max, Duration::from_millis(config.place_wait_ms)),
            memory: Memory::new(Duration::from_millis(config.memory_ms)),
            broker,
            process,
            config,
            client,
            provider,
            jobs: HashMap::new(),
            streaks: HashMap::new(),
            notices: Notices::default(),
            held: HashMap::new(),
            in_lane: [0; Lane::ALL.len()],
            next_key: 0,
            requests: FuturesUnordered::new(),
            filings: FuturesUnordered::new(),
            suspects: Vec::new(),
            metrics,
        }
    }

    pub(crate) async fn run(mut self) -> Result<(), Error> {
        let mut changes = directory::follow(&self.broker).await?;
        // Nothing is pulled before the first snapshot is complete.
        loop {
            match changes.recv().await {
                Some(directory::Change::Complete) | None => break,
                Some(change) => self.targets.apply(change),
            }
        }
        let instance = format!("{}-{}", self.process.instance, self.provider);
        let (outcomes, mut settled) = Outcomes::start(&self.broker, "delivery", &instance);
        let mut live = Puller::open(&self.broker, Consumer::lane(&self.provider, Lane::Live)).await?;
        let mut retry = Puller::open(&self.broker, Consumer::lane(&self.provider, Lane::Retry)).await?;
        let mut ordered = Puller::open(&self.broker, Consumer::lane(&self.provider, Lane::Ordered)).await?;
        let mut bulk = Puller::open(&self.broker, Consumer::lane(&self.provider, Lane::Bulk)).await?;
        let mut tick: Option<Instant> = None;
        tracing::info!(provider = %self.provider, "delivering");
        loop {
            if !self.suspects.is_empty() && self.held.is_empty() {
                self.take_suspect(&outcomes).await?;
            }
            let full = outcomes.is_full();
            let want = Lane::ALL.map(|lane| self.wanted(lane, full));
            let deadline = self.next_tick(&mut tick);
            tokio::select! {
                biased;
                () = self.process.shutdown.requested() => break,
                Some(change) = changes.recv() => self.targets.apply(change),
                Some(answered) = self.requests.next(), if !self.requests.is_empty() => {
                    self.answered(answered, &outcomes).await?;
                    while let Some(Some(answered)) = self.requests.next().now_or_never() {
                        self.answered(answered, &outcomes).await?;
                    }
                }
                Some(filed) = self.filings.next(), if !self.filings.is_empty() => self.filed(filed, &outcomes).await?,
                Some(batch) = settled.recv() => self.settled(batch).await?,
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    tick = None;
                    self.on_tick().await?;
                }
                message = live.next(want[0]) => self.take_all(message, &mut live, Lane::Live, full).await?,
                message = retry.next(want[1]) => self.take_all(message, &mut retry, Lane::Retry, full).await?,
                message = ordered.next(want[2]) => self.take_all(message, &mut ordered, Lane::Ordered, full).await?,
                message = bulk.next(want[3]) => self.take_all(message, &mut bulk, Lane::Bulk, full).await?,
            }
        }
        let pullers = [&mut live, &mut retry, &mut ordered, &mut bulk];
        self.drain(pullers, outcomes, settled).await
    }

    fn wanted(&self, lane: Lane, full: bool) -> usize {
        if !self.suspects.is_empty() {
            return 0;
        }
        let most = match (full, lane) {
            (false, _) => self.config.lane_max(lane),
            (true, Lane::Retry) => FULL_PROBES,
            (true, _) => 0,
        };
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

    async fn take_all(&mut self, first: Message, puller: &mut Puller, lane: Lane, full: bool) -> Result<(), Error> {
        let mut next = Some(first);
        while let Some(message) = next {
            if suspects::is_suspect(&message) {
                self.suspects.push((message, lane));
            } else {
                self.take(message, lane, full, false).await?;
            }
            next = puller.ready();
        }
        Ok(())
    }

    /// Decides what to do with a message that came, and begins it.
    async fn take(&mut self, message: Message, lane: Lane, full: bool, suspect: bool) -> Result<(), Error> {
        let delivery = match wire::decode_delivery(&message.body) {
            Ok(delivery) => Arc::new(delivery),
            Err(error) => {
                let why = format!("this delivery cannot be read: {error}");
                return self.bury_unread(&message, DeadReason::Invalid, &why).await;
            }
        };
        let hop = delivery.hop_digest();
        match self.memory.get(hop) {
            Some(KnownHop::Finished) => return Ok(message.ack(&self.broker).await?),
            // The acknowledgement of the copy in hand settles this one too, unless it is a second
            // message: then it comes again and is known as finished.
            Some(KnownHop::InHand) => return Ok(()),
            None => {}
        }
        if full && delivery.filed.is_none() {
            return Ok(message.nak_after(&self.broker, OWN_RETRY).await?);
        }
        self.memory.begin(hop);
        let key = self.next_key;
        self.next_key += 1;
        self.in_lane[lane as usize] += 1;
        let held = Held {
            ticket: message.into_ticket(),
            lane,
            since: Instant::now(),
            hop,
            delivery: delivery.clone(),
            suspect,
        };
        self.held.insert(key, held);
        self.begin(key, delivery).await
    }

    async fn begin(&mut self, key: u64, delivery: Arc<Delivery>) -> Result<(), Error> {
        let now = Timestamp::now();
        let broker = self.broker.clone();
        if let Some(unfiled) = delivery.filed.clone() {
            self.file(key, &delivery.integration, filing::file_again(broker, delivery.clone(), unfiled, now));
            return Ok(());
        }
        self.catch_up(&delivery).await?;
        let Some(known) = self.targets.get(&delivery.integration).cloned() else {
            tracing::warn!(integration.id = %delivery.integration, "an integration is not known yet; its delivery waits");
            self.file(key, &delivery.integration, filing::wait_for_integration(broker, delivery.clone(), now));
            return Ok(());
        };
        let job = Job { delivery: delivery.clone(), known };
        match decide::admit(&delivery, &job.known.integration, self.targets.state(&delivery.integration), now) {
            Admission::End(reason, why) => {
                let notice = match reason {
                    DeadReason::Discarded => None,
                    _ => self.notice(notices::Kind::Dead, &job, why, now),
                };
                self.file(key, &delivery.integration, filing::end(broker, delivery.clone(), reason, why, notice, now));
            }
            Admission::Park(state) => {
                self.metrics.parked.inc();
                self.file(key, &delivery.integration, filing::park(broker, job, state));
            }
            Admission::Go => match &job.known.target {
                Err(reason) => {
                    let reason = reason.clone();
                    self.file(key, &delivery.integration, filing::hold_unopened(broker, job, reason, now));
                }
                Ok(_) => match self.shares.enter(&delivery.integration, Instant::now()) {
                    Place::Free => self.send(key, job),
                    Place::Soon => {
                        self.shares.wait(&delivery.integration, key, Instant::now());
                        self.jobs.insert(key, job);
                    }
                    Place::None => self.shed(key, job, now),
                },
            },
        }
        Ok(())
    }

    /// A delivery names the revision of its integration that the router knew: a worker that is
    /// behind reads KV once.
    async fn catch_up(&mut self, delivery: &Delivery) -> Result<(), Error> {
        let behind =
            self.targets.get(&delivery.integration).is_none_or(|known| known.integration.revision < delivery.revision);
        if behind && let Some(entry) = self.broker.integration(&delivery.integration).await? {
            self.targets.apply(directory::Change::Integration(Box::new(entry.value)));
        }
        Ok(())
    }

    fn send(&mut self, key: u64, job: Job) {
        let client = self.client.clone();
        self.requests.push(Box::pin(async move {
            let attempted = match &job.known.target {
                Ok(target) => attempt::send(&client, target, &job.delivery).await,
                Err(reason) => Attempted {
                    outcome: Outcome::Suspend { reason: reason.clone(), at_once: false },
                    response_code: None,
                    response_body: String::new(),
                    started: Timestamp::now(),
                    took: Duration::ZERO,
                    steps: Vec::new(),
                },
            };
            Answered { key, job, attempted }
        }));
    }

    fn shed(&mut self, key: u64, job: Job, now: Timestamp) {
        self.metrics.shed.inc();
        let integration = job.delivery.integration.clone();
        let broker = self.broker.clone();
        // Once held back, the state says so to all; parking alone is enough then.
        match self.targets.state(&integration).cloned() {
            Some(state) => self.file(key, &integration, filing::park(broker, job, state)),
            None => self.file(key, &integration, filing::shed(broker, job, now)),
        }
    }

    /// A request ended: its place goes to the next, its outcome to a verdict, the verdict to a filing.
    async fn answered(&mut self, answered: Answered, outcomes: &Outcomes) -> Result<(), Error> {
        let Answered { key, job, attempted } = answered;
        let integration = job.delivery.integration.clone();
        if let Some(next) = self.shares.leave(&integration, Instant::now())
            && let Some(job) = self.jobs.remove(&next)
        {
            self.send(next, job);
        }
        let now = Timestamp::now();
        self.report(&job, &attempted);
        let streak = self.streaks.entry(integration.clone()).or_default();
        let (suspends, enough) = match &attempted.outcome {
            Outcome::Suspend { at_once, .. } => {
                let (row, enough) = streak.suspend(job.delivery.suspends, *at_once, now);
                (Some(row), enough)
            }
            Outcome::Delivered | Outcome::Retry { .. } | Outcome::Reject { .. } => {
                streak.other(now);
                (None, false)
            }
        };
        let facts = Facts {
            delivery: &job.delivery,
            integration: &job.known.integration,
            state: self.targets.state(&integration),
            suspends: enough,
            now,
        };
        let verdict = decide::decide(&attempted.outcome, &facts);
        if verdict == Verdict::Delivered && !job.delivery.probe {
            self.streaks.remove(&integration);
            let record = filing::arrived(&job, &attempted)?;
            return self.push(key, record, outcomes).await;
        }
        let notice = self.notice_of(&job, &attempted, &verdict, now);
        if verdict == Verdict::Suspend {
            self.streaks.entry(integration.clone()).or_default().clear();
        }
        let mut job = job;
        if suspends != job.delivery.suspends {
            let mut delivery = Delivery::clone(&job.delivery);
            delivery.suspends = suspends;
            job.delivery = Arc::new(delivery);
        }
        self.file(key, &integration, filing::file(self.broker.clone(), job, attempted, verdict, notice, now));
        Ok(())
    }

    fn notice_of(
        &mut self,
        job: &Job,
        attempted: &Attempted,
        verdict: &Verdict,
        now: Timestamp,
    ) -> Option<signalbox_proto::Event> {
        let reason = attempted.outcome.reason().unwrap_or_default();
        match verdict {
            Verdict::Dead(_) => self.notice(notices::Kind::Dead, job, reason, now),
            Verdict::Suspend => self.notice(notices::Kind::Suspended, job, reason, now),
            Verdict::Delivered => self.notice(notices::Kind::Recovered, job, reason, now),
            Verdict::Retry { counted: true, .. } if job.delivery.retries + 1 >= FAILING_RETRIES => {
                self.notice(notices::Kind::Failing, job, reason, now)
            }
            Verdict::Retry { .. } | Verdict::ProbeAgain(_) => None,
        }
    }

    fn notice(&mut self, kind: notices::Kind, job: &Job, reason: &str, now: Timestamp) -> Option<signalbox_proto::Event> {
        self.notices.make(kind, &job.delivery, job.known.integration.name.as_str(), reason, now)
    }

    /// One line an attempt, its metrics, its span.
    fn report(&self, job: &Job, attempted: &Attempted) {
        let word = filing::word(&attempted.outcome);
        if let Some(counter) = self.metrics.attempts.get(word) {
            counter.inc();
        }
        self.metrics.seconds.observe(attempted.took.as_secs_f64());
        let delivery = &job.delivery;
        if attempted.outcome == Outcome::Delivered {
            tracing::debug!(
                delivery.id = %delivery.id,
                integration.id = %delivery.integration,
                provider = %self.provider,
                duration_ms = attempted.took.as_millis() as u64,
                "delivered"
            );
        } else {
            tracing::info!(
                delivery.id = %delivery.id,
                integration.id = %delivery.integration,
                provider = %self.provider,
                duration_ms = attempted.took.as_millis() as u64,
                attempt = delivery.attempt + 1,
                outcome = word,
                reason = attempted.outcome.reason().unwrap_or_default(),
                "not delivered"
            );
        }
        if self.process.tracer.is_enabled() {
            let trace = delivery.event().event.metadata.get(signalbox_broker::hops::TRACEPARENT);
            let parent = trace.and_then(|text| TraceContext::parse(text));
            let context = self.process.tracer.child_context(parent);
            let took = i64::try_from(attempted.took.as_nanos()).unwrap_or(i64::MAX);
            self.process.tracer.hop(Hop {
                name: "deliver",
                kind: Kind::Client,
                parent: parent.as_ref(),
                context: context.as_ref(),
                start_nanos: attempted.started.nanos(),
                end_nanos: attempted.started.nanos().saturating_add(took),
                attributes: &[
                    ("delivery.id", Attribute::Text(&delivery.id)),
                    ("integration.id", Attribute::Text(&delivery.integration)),
                    ("provider", Attribute::Text(self.provider.as_str())),
                    ("outcome", Attribute::Text(word)),
                ],
                error: attempted.outcome.reason(),
            });
        }
    }

    fn file(&mut self, key: u64, integration: &str, filing: impl Future<Output = Result<Done, BrokerError>> + Send + 'static) {
        let integration = integration.to_owned();
        self.filings.push(Box::pin(async move { FiledOne { key, integration, result: filing.await } }));
    }

    async fn push(&mut self, key: u64, record: serde_bytes::ByteBuf, outcomes: &Outcomes) -> Result<(), Error> {
        let Some(held) = self.held.get(&key) else { return Ok(()) };
        if held.suspect {
            self.broker.clear_suspect(&self.stream, &held.ticket).await?;
        }
        outcomes.push(Entry { record, tickets: vec![held.ticket.clone()], mark: key }).await;
        Ok(())
    }

    async fn filed(&mut self, filed: FiledOne, outcomes: &Outcomes) -> Result<(), Error> {
        let FiledOne { key, integration, result } = filed;
        match result {
            Ok(Done { filed, state }) => {
                if let Some(state) = state {
                    self.targets.set_state(integration, state);
                }
                match filed {
                    Filed::Record(record) => self.push(key, record, outcomes).await?,
                    Filed::Moved => {
                        if let Some(held) = self.release(key, true) {
                            if held.suspect {
                                self.broker.clear_suspect(&self.stream, &held.ticket).await?;
                            }
                            held.ticket.ack(&self.broker).await?;
                        }
                    }
                }
            }
            Err(error) => {
                // Ours, not the target's. What was sent may be sent again: at least once.
                tracing::error!(%error, integration.id = integration, "a verdict cannot be filed; its delivery comes again");
                if let Some(held) = self.release(key, false) {
                    held.ticket.nak_after(&self.broker, OWN_RETRY).await?;
                }
            }
        }
        Ok(())
    }

    async fn settled(&mut self, batch: Settled) -> Result<(), Error> {
        match batch {
            Settled::Stored(entries) => {
                for entry in entries {
                    self.release(entry.mark, true);
                }
            }
            Settled::Refused(entries) => {
                for Entry { record, mark, .. } in entries {
                    let Some(held) = self.held.get(&mark) else { continue };
                    let next = held.delivery.next_hop();
                    let unfiled = Unfiled { record, dead: None };
                    let broker = self.broker.clone();
                    let integration = next.integration.clone();
                    self.file(mark, &integration, async move {
                        filing::reschedule_unfiled(&broker, next, unfiled, Timestamp::now()).await?;
                        Ok(Done { filed: Filed::Moved, state: None })
                    });
                }
            }
        }
        Ok(())
    }

    fn release(&mut self, key: u64, finished: bool) -> Option<Held> {
        let held = self.held.remove(&key)?;
        self.in_lane[held.lane as usize] -= 1;
        if finished {
            self.memory.finish(held.hop, Instant::now());
        } else {
            self.memory.forget(held.hop);
        }
        Some(held)
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

    /// Handles one suspect alone: nothing else is in hand.
    async fn take_suspect(&mut self, outcomes: &Outcomes) -> Result<(), Error> {
        let Some((message, lane)) = self.suspects.pop() else { return Ok(()) };
        match self.broker.suspect(&self.stream, &message).await? {
            Suspicion::None | Suspicion::Suspect => self.take(message, lane, outcomes.is_full(), true).await,
            Suspicion::Poison => {
                self.bury_unread(&message, DeadReason::Poison, "handling this delivery stopped a worker twice").await?;
                Ok(self.broker.clear_suspect(&self.stream, &message).await?)
            }
        }
    }

    /// Files a message that no one can or should handle. A delivery that can be read still is one, so
    /// that it can be replayed.
    async fn bury_unread(&mut self, message: &Message, reason: DeadReason, why: &str) -> Result<(), Error> {
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
        match self.broker.bury(&letter, &id).await {
            Ok(_) => Ok(message.ack(&self.broker).await?),
            Err(error) => {
                tracing::error!(%error, "a dead letter cannot be filed; its message comes again");
                Ok(message.nak_after(&self.broker, OWN_RETRY).await?)
            }
        }
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
        for (message, _) in std::mem::take(&mut self.suspects) {
            message.nak(&self.broker).await?;
        }
        for key in self.shares.drain() {
            self.jobs.remove(&key);
            if let Some(held) = self.release(key, false) {
                held.ticket.nak(&self.broker).await?;
            }
        }
        let deadline = Instant::now() + Duration::from_millis(self.config.drain_ms);
        while !self.held.is_empty() {
            tokio::select! {
                Some(answered) = self.requests.next(), if !self.requests.is_empty() => self.answered(answered, &outcomes).await?,
                Some(filed) = self.filings.next(), if !self.filings.is_empty() => self.filed(filed, &outcomes).await?,
                Some(batch) = settled.recv() => self.settled(batch).await?,
                () = tokio::time::sleep_until(deadline) => {
                    tracing::warn!(count = self.held.len(), provider = %self.provider, "not finished in time; these are delivered again");
                    break;
                }
            }
        }
        Ok(self.broker.flush().await?)
    }
}
