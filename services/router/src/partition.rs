//! The loop of one partition of EVENTS.
//!
//! **Invariant:** every delivery of an event (in a lane, in PARKED, or in DEAD) is acknowledged by its
//! stream, or its lack of a route by OUTCOMES, before the event is.
//!
//! A stream that refuses a delivery holds up that delivery's event and no other, and none of the
//! event's other deliveries is published again for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{
    StreamExt,
    future::{self, BoxFuture},
    stream::FuturesUnordered,
};
use signalbox_broker::{
    Broker, Error, Message, Puller, Receipt,
    hops::{self, Hop},
    message::Ticket,
    outcomes::{self, Entry, Outcomes, Settled},
    patience::patiently,
    suspects::{self, Suspicion},
    topology::{Consumer, IN_PROGRESS_EVERY},
};
use signalbox_matching::index::Match;
use signalbox_proto::{
    Accepted, DeadLetter, DeadReason, Delivery, Lane, Record, Stage, State, Timestamp, dead::Input, subjects,
};
use signalbox_runtime::{
    Process,
    health::ComponentHandle,
    telemetry::{self, Attribute, Kind, TraceContext},
};
use tokio::{sync::Mutex, time::Instant};

use self::bring::{Move, Way};
use crate::{Config, Metrics, hand::Hand, ranges, view};

mod bring;

/// The wait before a delivery is offered again that no stream took.
const REFUSED_RETRY: Duration = Duration::from_secs(2);
/// Events without a route that are reported at once at most.
const NO_ROUTE_MAX: usize = 1_024;
/// Events without a route that OUTCOMES has not taken; with more, nothing is pulled. Below what the
/// consumer lets all its workers hold (10,000): while OUTCOMES refuses, other events are still routed.
const UNREPORTED_MAX: usize = 4_096;
/// Deliveries of all events in hand that wait for their way; with more, nothing is pulled. One event may bring more.
const OWED_MAX: usize = 16_384;
/// Acknowledgements written at once at most.
const ACKS_MAX: usize = 256;
/// How long a suspect waits until those of other partitions were looked at.
const SUSPECT_WAIT: Duration = Duration::from_secs(5);
/// The wait before a suspect is looked at again where its marker could not be put. Long beside the
/// bucket's own timeout, for which the partition stands still.
const SUSPECT_RETRY: Duration = Duration::from_secs(30);
/// How long a shutdown waits for the streams, and then for what is handed back to be written.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) struct Partition {
    pub(crate) broker: Broker,
    pub(crate) process: Process,
    pub(crate) config: Arc<Config>,
    pub(crate) metrics: Metrics,
    pub(crate) health: ComponentHandle,
    pub(crate) view: view::Shared,
    /// Held by the partition that looks at a suspect: where it ends the process, no other marker may
    /// be there.
    pub(crate) alone: Arc<Mutex<()>>,
    /// Whether the last that was heard of a delivery refused before is another refusal.
    pub(crate) refusing: AtomicBool,
    pub(crate) number: u32,
    /// Deliveries of events in hand that are not begun, or on a way that takes long.
    pub(crate) owed: AtomicUsize,
}

/// What an event owes, on its way.
#[derive(Default)]
struct Routing {
    lanes: Vec<(Receipt, Box<Delivery>)>,
    others: Vec<BoxFuture<'static, Result<(), Error>>>,
}

impl Routing {
    fn of(other: BoxFuture<'static, Result<(), Error>>) -> Self {
        Self {
            lanes: Vec::new(),
            others: vec![other],
        }
    }
}

/// What looking at an event led to.
enum Looked {
    NoRoute,
    Routing(Routing),
}

impl Partition {
    pub(crate) async fn run(self) -> Result<(), Error> {
        let shutdown = self.process.shutdown.clone();
        let consumer = || Consumer::router(self.number, self.broker.config().partitions);
        let opened = tokio::select! {
            biased;
            () = shutdown.requested() => return Ok(()),
            opened = patiently("opening the consumer of EVENTS", || Puller::open(&self.broker, consumer())) => opened?,
        };
        Arc::new(self).route(opened).await
    }

    async fn route(self: Arc<Self>, mut puller: Puller) -> Result<(), Error> {
        let instance = format!("{}-{}", self.process.instance, self.number);
        let (mut outcomes, mut settled) = Outcomes::start(&self.broker, "router", &instance);
        let mut hand = Hand::new(Duration::from_millis(self.config.memory_ms));
        let mut routing = FuturesUnordered::new();
        let hold = Duration::from_millis(self.config.ack_hold_ms);
        // Both timers are moved only when they rang: one set for each event would cost more than the event.
        let write = tokio::time::sleep(hold);
        let tick = tokio::time::sleep(IN_PROGRESS_EVERY);
        tokio::pin!(write, tick);
        let mut due = false;
        let mut matches = Vec::new();
        let mut suspects_from = Instant::now();
        self.health.ready();
        loop {
            // What found no room waits until there is some.
            let report = !hand.no_route.is_empty() && !outcomes.is_full();
            if hand.acks.len() >= ACKS_MAX || (report && hand.no_route.len() >= NO_ROUTE_MAX) {
                self.write(&mut hand, &outcomes).await?;
                due = false;
            } else if !due && (report || !hand.acks.is_empty()) {
                due = true;
                write.as_mut().reset(Instant::now() + hold);
            }
            let unreported = hand.len().saturating_sub(routing.len());
            let owed = self.owed.load(Ordering::Relaxed);
            let free = if unreported >= UNREPORTED_MAX || owed >= OWED_MAX {
                0
            } else {
                self.config.in_flight_max.saturating_sub(routing.len())
            };
            let message = tokio::select! {
                biased;
                () = self.process.shutdown.requested() => break,
                Some((seq, result)) = routing.next(), if !routing.is_empty() => {
                    self.routed(seq, result, &mut hand).await;
                    continue;
                }
                Some(batch) = settled.recv() => {
                    settle(batch, &mut hand);
                    continue;
                }
                () = outcomes.changed(), if !hand.no_route.is_empty() => continue,
                () = &mut write, if due => {
                    self.write(&mut hand, &outcomes).await?;
                    due = false;
                    continue;
                }
                () = &mut tick, if hand.len() > 0 => {
                    self.in_progress(&hand).await;
                    tick.as_mut().reset(Instant::now() + IN_PROGRESS_EVERY);
                    continue;
                }
                message = puller.next(free) => message,
            };
            let seq = message.place.seq;
            if hand.knows(seq) {
                self.metrics.repeats.inc();
                hand.repeated(seq, message.into_ticket());
                continue;
            }
            let looked = if !suspects::is_suspect(&message) {
                Some(self.look(&message, &mut matches).await)
            } else if Instant::now() < suspects_from {
                None
            } else {
                self.look_at_suspect(&message, &mut matches).await
            };
            if hand.len() == 0 && tick.is_elapsed() {
                tick.as_mut().reset(Instant::now() + IN_PROGRESS_EVERY);
            }
            match looked {
                Some(Looked::NoRoute) => {
                    self.metrics.no_route.inc();
                    hand.hold(seq, message.into_ticket());
                    hand.no_route.push(seq);
                }
                Some(Looked::Routing(owed)) => {
                    hand.hold(seq, message.into_ticket());
                    routing.push(self.clone().finish(seq, owed));
                }
                None => {
                    if suspects_from <= Instant::now() {
                        suspects_from = Instant::now() + SUSPECT_RETRY;
                    }
                    self.written(message.nak_after(&self.broker, SUSPECT_RETRY).await);
                }
            }
        }
        let until = Instant::now() + GRACE;
        let ending = async {
            while let Ok(Some((seq, result))) = tokio::time::timeout_at(until, routing.next()).await {
                self.routed(seq, result, &mut hand).await;
            }
            self.write(&mut hand, &outcomes).await?;
            while hand.len() > hand.no_route.len() + routing.len()
                && let Ok(Some(batch)) = tokio::time::timeout_at(until, settled.recv()).await
            {
                settle(batch, &mut hand);
            }
            for ticket in hand.tickets() {
                ticket.nak(&self.broker).await?;
            }
            for message in puller.stop().await {
                message.nak(&self.broker).await?;
            }
            self.broker.flush().await
        };
        match tokio::time::timeout_at(until + GRACE, ending).await {
            Err(_) => tracing::warn!("not all could be handed back: what was not comes again by itself"),
            Ok(Err(error)) if error.is_transient() => {
                tracing::warn!(%error, "not all could be handed back: what was not comes again by itself");
            }
            Ok(result) => return result,
        }
        Ok(())
    }

    /// Finds what an event owes and begins the publishes, in order.
    async fn look(self: &Arc<Self>, message: &Message, matches: &mut Vec<Match>) -> Looked {
        let start = self.process.tracer.is_enabled().then(Timestamp::now);
        let mut accepted = match message.accepted() {
            Ok(accepted) => accepted,
            Err(error) => {
                let why = format!("this event cannot be read: {error}");
                let (partition, letter, id) = (
                    self.clone(),
                    unread(message, DeadReason::Invalid, &why),
                    dead_id(message, DeadReason::Invalid),
                );
                return Looked::Routing(Routing::of(Box::pin(async move { partition.bury(&letter, &id).await })));
            }
        };
        matches.clear();
        let mut states: Vec<Option<State>> = Vec::new();
        {
            let view = self.view.read().expect("no holder of the lock panics");
            view.index.matches(&accepted, matches);
            states.extend(matches.iter().map(|found| view.held(&found.target.id).cloned()));
        }
        if let Some(start) = start {
            self.trace(&mut accepted, matches.len(), start);
        }
        if matches.is_empty() {
            return Looked::NoRoute;
        }
        let matched = u32::try_from(matches.len()).unwrap_or(u32::MAX);
        let publisher = self.broker.publisher();
        let mut routing = Routing::default();
        let mut rest = Vec::new();
        for (found, state) in matches.drain(..).zip(states) {
            let target = &found.target;
            let subject = subjects::deliver(&target.provider, Lane::Live, &target.org, &target.id);
            if Way::of(&found, state.as_ref()) == Way::Lane && publisher.has_room(&subject) {
                let delivery = self.delivery(&accepted, &found, matched);
                match hops::publish_of(&delivery, Hop::Deliver(Lane::Live)) {
                    Ok(publish) => {
                        let receipt = publisher.send(publish, Some(self.stall())).await;
                        routing.lanes.push((receipt, Box::new(delivery)));
                    }
                    Err(error) => {
                        let partition = self.clone();
                        let burying = async move { partition.bury_unstorable(delivery, &error).await };
                        routing.others.push(Box::pin(burying));
                    }
                }
            } else {
                // It waits for its place beside the loop: the next event may be for another stream.
                rest.push((found, state));
            }
        }
        if !rest.is_empty() {
            routing
                .others
                .push(Box::pin(self.clone().bring_all(accepted, rest, matched)));
        }
        Looked::Routing(routing)
    }

    /// Looks at an event that may have ended a process, with its marker put and no other beside it.
    /// What is left once it was looked at are publishes and their answers, which end nobody: the marker
    /// goes before they do. `None` where the marker cannot be put now.
    async fn look_at_suspect(self: &Arc<Self>, message: &Message, matches: &mut Vec<Match>) -> Option<Looked> {
        let _alone = tokio::time::timeout(SUSPECT_WAIT, self.alone.lock()).await.ok()?;
        let marked = self
            .broker
            .suspect(subjects::EVENTS, message, &self.process.instance)
            .await;
        let looked = match marked {
            Ok(Suspicion::Poison) => {
                let letter = unread(message, DeadReason::Poison, "routing this event stopped a worker twice");
                let (partition, id, ticket) = (
                    self.clone(),
                    dead_id(message, DeadReason::Poison),
                    Ticket::clone(message),
                );
                return Some(Looked::Routing(Routing::of(Box::pin(async move {
                    partition.bury(&letter, &id).await?;
                    partition.clear_marker(&ticket).await;
                    Ok(())
                }))));
            }
            Ok(Suspicion::Suspect | Suspicion::None) => Some(self.look(message, matches).await),
            Err(error) => {
                tracing::warn!(%error, event.seq = message.place.seq, "a suspect event cannot be marked yet; it comes again");
                None
            }
        };
        self.clear_marker(message).await;
        looked
    }

    async fn clear_marker(&self, ticket: &Ticket) {
        if let Err(error) = self.broker.clear_suspect(subjects::EVENTS, ticket).await {
            tracing::warn!(%error, event.seq = ticket.place.seq, "the marker of a suspect event is left");
        }
    }

    /// Waits until every delivery of an event has its place. The first error is one that does not pass.
    async fn finish(self: Arc<Self>, seq: u64, routing: Routing) -> (u64, Result<(), Error>) {
        let Routing { lanes, others } = routing;
        let lanes = async {
            let mut result = Ok(());
            for (receipt, delivery) in lanes {
                if let Err(refusal) = receipt.await {
                    let passed = self.bring(*delivery, Move::PassBy(refusal)).await;
                    result = result.and(passed);
                }
            }
            result
        };
        let result = if others.is_empty() {
            lanes.await
        } else {
            // Boxed: rare, and it would make every event's future larger.
            let (others, lanes) = Box::pin(future::join(future::join_all(others), lanes)).await;
            others.into_iter().collect::<Result<(), _>>().and(lanes)
        };
        (seq, result)
    }

    fn stall(&self) -> Duration {
        Duration::from_millis(self.config.stall_ms)
    }

    async fn routed(&self, seq: u64, result: Result<(), Error>, hand: &mut Hand<Ticket>) {
        match result {
            Ok(()) => {
                self.metrics.events.inc();
                hand.routed(seq, Instant::now());
            }
            Err(error) => {
                tracing::error!(%error, event.seq = seq, "a delivery cannot be stored; its event is routed again in a moment");
                if let Some(ticket) = hand.give_back(seq) {
                    self.written(ticket.nak_after(&self.broker, REFUSED_RETRY).await);
                }
            }
        }
    }

    /// Writes the acknowledgements that were held and reports what matched nothing.
    async fn write(&self, hand: &mut Hand<Ticket>, outcomes: &Outcomes) -> Result<(), Error> {
        for ticket in hand.acks.drain(..) {
            self.written(ticket.ack(&self.broker).await);
        }
        if hand.no_route.is_empty() || outcomes.is_full() {
            return Ok(());
        }
        let seqs = std::mem::take(&mut hand.no_route);
        for seqs in seqs.chunks(NO_ROUTE_MAX) {
            let record = outcomes::encode(&Record::NoRoute(ranges::of(seqs.to_vec())))?;
            let tickets = seqs.iter().filter_map(|seq| hand.ticket(*seq).cloned()).collect();
            outcomes.push(Entry {
                record,
                tickets,
                mark: 0,
            });
        }
        Ok(())
    }

    /// Says that all in hand is still being worked on. Without a connection it would only pile up.
    async fn in_progress(&self, hand: &Hand<Ticket>) {
        if self.broker.is_connected() {
            for ticket in hand.tickets() {
                self.written(ticket.in_progress(&self.broker).await);
            }
        }
    }

    /// A word on a message that could not be written ends nothing: the message comes again by itself.
    fn written(&self, result: Result<(), Error>) {
        if let Err(error) = result {
            tracing::debug!(%error, router.partition = self.number, "the server cannot be told of a message");
        }
    }

    fn trace(&self, accepted: &mut Accepted, matched: usize, start: Timestamp) {
        let event = &mut accepted.event;
        let parent = event
            .metadata
            .get(hops::TRACEPARENT)
            .and_then(|text| TraceContext::parse(text));
        let context = self.process.tracer.child_context(parent);
        if let Some(context) = &context {
            event.metadata.insert(hops::TRACEPARENT.into(), context.to_string());
        }
        self.process.tracer.hop(telemetry::Hop {
            name: "route",
            kind: Kind::Consumer,
            parent: parent.as_ref(),
            context: context.as_ref(),
            start_nanos: start.nanos(),
            end_nanos: Timestamp::now().nanos(),
            attributes: &[
                ("event.id", Attribute::Text(&event.id)),
                ("event.type", Attribute::Text(event.event_type.as_str())),
                ("matched", Attribute::Int(i64::try_from(matched).unwrap_or(i64::MAX))),
            ],
            error: None,
        });
    }
}

fn settle(batch: Settled, hand: &mut Hand<Ticket>) {
    let (entries, stored) = match batch {
        Settled::Stored(entries) => (entries, true),
        Settled::Refused(entries) => (entries, false),
    };
    for seq in entries
        .iter()
        .flat_map(|entry| &entry.tickets)
        .map(|ticket| ticket.place.seq)
    {
        if stored {
            hand.reported(seq, Instant::now());
        } else {
            hand.no_route.push(seq);
        }
    }
}

/// The dead letter of an event that no one can or should read, with its bytes.
fn unread(message: &Message, reason: DeadReason, why: &str) -> DeadLetter {
    let org = message.subject.split('.').nth(3).and_then(|org| org.parse().ok());
    let input = Input {
        subject: message.subject.to_string(),
        headers: message.header_list(),
        body: message.body.to_vec(),
    };
    DeadLetter::of_input(Stage::Route, reason, why, org, input, message.place.at).of_event(message.place.seq)
}

fn dead_id(message: &Message, reason: DeadReason) -> String {
    Broker::dead_id(subjects::EVENTS, message.place.seq, reason.as_str())
}
