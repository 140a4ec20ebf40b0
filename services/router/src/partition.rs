//! The loop of one partition of EVENTS.
//!
//! **Invariant:** every delivery of an event (in a lane, in PARKED, or in DEAD) is acknowledged by its
//! stream, or its lack of a route by OUTCOMES, before the event is.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use signalbox_broker::{
    Broker, Error, Message, PublishError, Puller, Receipt,
    holding::Held,
    hops::{self, Hop},
    message::Ticket,
    outcomes::{self, Entry, Outcomes, Settled},
    suspects::{self, Suspicion},
    topology::Consumer,
};
use signalbox_matching::index::Match;
use signalbox_proto::{
    Accepted, DeadLetter, DeadReason, Delivery, Lane, Record, Stage, State, Timestamp, dead::Input, hash, subjects,
};
use signalbox_runtime::{
    Process,
    health::ComponentHandle,
    telemetry::{self, Attribute, Kind, TraceContext},
};
use tokio::time::Instant;

use crate::{Config, Metrics, ranges, recent::Recent, view};

/// The wait before an event is routed again after a stream refused one of its deliveries.
const REFUSED_RETRY: Duration = Duration::from_secs(2);
/// Events without a route that are reported at once at most.
const NO_ROUTE_MAX: usize = 1_024;
/// Acknowledgements written at once at most.
const ACKS_MAX: usize = 256;

pub(crate) struct Partition {
    pub(crate) broker: Broker,
    pub(crate) process: Process,
    pub(crate) config: Arc<Config>,
    pub(crate) metrics: Metrics,
    pub(crate) health: ComponentHandle,
    pub(crate) view: view::Shared,
    pub(crate) number: u32,
}

/// One delivery on its way.
enum Step {
    Lane(Receipt, Box<Delivery>),
    Other(BoxFuture<'static, Result<(), Error>>),
}

/// An event whose deliveries are on their way.
struct Routing {
    steps: Vec<Step>,
    message: Message,
}

/// What is waiting to be written at once.
#[derive(Default)]
struct Held50 {
    acks: Vec<Ticket>,
    no_route: Vec<Message>,
}

/// What looking at an event led to.
enum Looked {
    Repeat(Message),
    NoRoute(Message),
    Routing(Routing),
}

impl Partition {
    pub(crate) async fn run(self) -> Result<(), Error> {
        let mut puller = Puller::open(&self.broker, Consumer::router(self.number, self.broker.config().partitions)).await?;
        let (outcomes, mut settled) =
            Outcomes::start(&self.broker, "router", &format!("{}-{}", self.process.instance, self.number));
        let mut recent = Recent::new(Duration::from_millis(self.config.memory_ms));
        let mut routing = FuturesUnordered::new();
        let mut held = Held50::default();
        let hold = Duration::from_millis(self.config.ack_hold_ms);
        let mut due: Option<Instant> = None;
        let mut unsettled = 0_usize;
        let mut matches = Vec::new();
        self.health.ready();
        loop {
            if held.acks.len() >= ACKS_MAX || held.no_route.len() >= NO_ROUTE_MAX {
                unsettled += self.write(&mut held, &outcomes).await?;
                due = None;
            } else if due.is_none() && !(held.acks.is_empty() && held.no_route.is_empty()) {
                due = Some(Instant::now() + hold);
            }
            let busy = routing.len() + held.no_route.len() + unsettled;
            let free = self.config.in_flight_max.saturating_sub(busy);
            let message = tokio::select! {
                biased;
                () = self.process.shutdown.requested() => break,
                Some((message, result)) = routing.next(), if !routing.is_empty() => {
                    self.routed(message, result, &mut held, &mut recent).await?;
                    continue;
                }
                Some(batch) = settled.recv() => {
                    unsettled -= self.settle(batch).await?;
                    continue;
                }
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    unsettled += self.write(&mut held, &outcomes).await?;
                    due = None;
                    continue;
                }
                message = puller.next(free) => message,
            };
            if suspects::is_suspect(&message) && !recent.contains(message.place.seq) {
                while let Some((message, result)) = routing.next().await {
                    self.routed(message, result, &mut held, &mut recent).await?;
                }
                let (message, result) = self.route_suspect(message, &mut matches).await?;
                self.routed(message, result, &mut held, &mut recent).await?;
                continue;
            }
            match self.look(message, &recent, &mut matches).await? {
                Looked::Repeat(message) => {
                    self.metrics.repeats.inc();
                    held.acks.push(message.into_ticket());
                }
                Looked::NoRoute(message) => held.no_route.push(message),
                Looked::Routing(event) => routing.push(self.finish(event)),
            }
        }
        while let Some((message, result)) = routing.next().await {
            self.routed(message, result, &mut held, &mut recent).await?;
        }
        unsettled += self.write(&mut held, &outcomes).await?;
        while unsettled > 0
            && let Some(batch) = settled.recv().await
        {
            unsettled -= self.settle(batch).await?;
        }
        for message in puller.stop().await {
            message.nak(&self.broker).await?;
        }
        self.broker.flush().await
    }

    /// Finds what an event owes and begins the publishes, in order.
    async fn look(&self, message: Message, recent: &Recent, matches: &mut Vec<Match>) -> Result<Looked, Error> {
        if recent.contains(message.place.seq) {
            return Ok(Looked::Repeat(message));
        }
        let start = self.process.tracer.is_enabled().then(Timestamp::now);
        let mut accepted = match message.accepted() {
            Ok(accepted) => accepted,
            Err(error) => {
                let why = format!("this event cannot be read: {error}");
                let step = Step::Other(self.bury_unread(&message, DeadReason::Invalid, &why));
                return Ok(Looked::Routing(Routing { steps: vec![step], message }));
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
            return Ok(Looked::NoRoute(message));
        }
        let matched = u32::try_from(matches.len()).unwrap_or(u32::MAX);
        let mut steps = Vec::with_capacity(matches.len());
        let mut event = Some(accepted);
        let last = matches.len() - 1;
        for (index, (found, state)) in matches.drain(..).zip(states).enumerate() {
            let accepted = if index == last { event.take() } else { event.clone() };
            let accepted = accepted.expect("taken at the last match only");
            let target = &found.target;
            let delivery = Delivery::first(accepted, &target.id, &target.provider, target.revision, matched);
            self.metrics.deliveries.inc();
            steps.push(match (found.result, state) {
                (Err(error), _) => Step::Other(self.bury_erring(delivery, error.to_string())),
                (Ok(()), Some(state)) => Step::Other(self.park(delivery, state)),
                (Ok(()), None) => {
                    let publish = hops::publish_of(&delivery, Hop::Deliver(Lane::Live))?;
                    let stall = Duration::from_millis(self.config.stall_ms);
                    Step::Lane(self.broker.publisher().send(publish, Some(stall)).await, Box::new(delivery))
                }
            });
        }
        Ok(Looked::Routing(Routing { steps, message }))
    }

    /// Waits for the streams. A lane that does not answer in time is passed by: its deliveries park.
    fn finish(&self, routing: Routing) -> impl Future<Output = (Message, Result<(), Error>)> + use<> {
        let broker = self.broker.clone();
        let metrics = self.metrics.clone();
        let stall_ms = self.config.stall_ms;
        async move {
            let Routing { steps, message } = routing;
            let mut result = Ok(());
            for step in steps {
                let done = match step {
                    Step::Other(future) => future.await,
                    Step::Lane(receipt, delivery) => match receipt.await {
                        Ok(_) => Ok(()),
                        Err(PublishError::TimedOut) => {
                            metrics.parked.inc();
                            let reason = format!("the stream of its provider did not answer for {stall_ms} ms");
                            // Boxed: rare, and it would make every event's future as large as itself.
                            Box::pin(pass_by(&broker, &delivery, &reason)).await
                        }
                        Err(source) => Err(Error::Publish { subject: delivery.integration.clone(), source }),
                    },
                };
                if done.is_err() {
                    result = done;
                }
            }
            (message, result)
        }
    }

    fn park(&self, delivery: Delivery, state: State) -> BoxFuture<'static, Result<(), Error>> {
        let broker = self.broker.clone();
        let metrics = self.metrics.clone();
        Box::pin(async move {
            match broker.park_behind(&delivery, &state).await? {
                Held::Parked => {
                    metrics.parked.inc();
                    Ok(())
                }
                // It was let go meanwhile.
                Held::Open => broker.hop(&delivery, Hop::Deliver(Lane::Live)).await.map(|_| ()),
            }
        })
    }

    /// An erring filter is an outcome that the owner sees.
    fn bury_erring(&self, delivery: Delivery, why: String) -> BoxFuture<'static, Result<(), Error>> {
        let broker = self.broker.clone();
        self.metrics.erring.inc();
        Box::pin(async move {
            let id = delivery.hop_id();
            let at = delivery.since;
            let message = format!("the filter of the integration fails on this event: {why}");
            let letter = DeadLetter::of_delivery(Stage::Route, DeadReason::Invalid, &message, delivery, at);
            broker.bury(&letter, &id).await.map(|_| ())
        })
    }

    /// Files a message that no one can or should read, with its bytes.
    fn bury_unread(&self, message: &Message, reason: DeadReason, why: &str) -> BoxFuture<'static, Result<(), Error>> {
        let broker = self.broker.clone();
        let org = message.subject.split('.').nth(3).and_then(|org| org.parse().ok());
        let input =
            Input { subject: message.subject.to_string(), headers: message.header_list(), body: message.body.to_vec() };
        let letter = DeadLetter::of_input(Stage::Route, reason, why, org, input, message.place.at);
        let id = Broker::dead_id(subjects::EVENTS, message.place.seq, reason.as_str());
        Box::pin(async move { broker.bury(&letter, &id).await.map(|_| ()) })
    }

    async fn route_suspect(
        &self,
        message: Message,
        matches: &mut Vec<Match>,
    ) -> Result<(Message, Result<(), Error>), Error> {
        let suspicion = self.broker.suspect(subjects::EVENTS, &message).await?;
        let done = if suspicion == Suspicion::Poison {
            let why = "routing this event stopped a worker twice";
            let result = self.bury_unread(&message, DeadReason::Poison, why).await;
            (message, result)
        } else {
            let nothing = Recent::new(Duration::ZERO);
            match self.look(message, &nothing, matches).await? {
                Looked::Repeat(message) => (message, Ok(())),
                // One range of its own.
                Looked::NoRoute(message) => {
                    let result = self.report_alone(&message).await;
                    (message, result)
                }
                Looked::Routing(routing) => self.finish(routing).await,
            }
        };
        self.broker.clear_suspect(subjects::EVENTS, &done.0).await?;
        Ok(done)
    }

    async fn report_alone(&self, message: &Message) -> Result<(), Error> {
        let record = outcomes::encode(&Record::NoRoute(vec![(message.place.seq, message.place.seq)]))?;
        let batch = signalbox_proto::outcome::Batch { records: vec![record] };
        let subject = subjects::outcome("router", &self.process.instance);
        let publish = signalbox_broker::Publish {
            subject: subject.clone().into(),
            id: Some(hash::parts([b"no_route", &message.place.seq.to_be_bytes()])),
            headers: Vec::new(),
            body: signalbox_proto::wire::encode(&batch)?.into(),
        };
        self.broker.publisher().publish(publish).await.map(|_| ()).map_err(|source| Error::Publish { subject, source })
    }

    async fn routed(
        &self,
        message: Message,
        result: Result<(), Error>,
        held: &mut Held50,
        recent: &mut Recent,
    ) -> Result<(), Error> {
        match result {
            Ok(()) => {
                self.metrics.events.inc();
                self.health.ready();
                recent.insert(message.place.seq, Instant::now());
                held.acks.push(message.into_ticket());
                Ok(())
            }
            Err(error) => {
                self.health.not_ready(format!("a delivery cannot be published: {error}"));
                tracing::warn!(%error, event.seq = message.place.seq, "an event is routed again in a moment");
                message.nak_after(&self.broker, REFUSED_RETRY).await
            }
        }
    }

    /// Writes the acknowledgements that were held and reports what matched nothing. Returns how many
    /// messages wait for OUTCOMES now.
    async fn write(&self, held: &mut Held50, outcomes: &Outcomes) -> Result<usize, Error> {
        for ticket in held.acks.drain(..) {
            ticket.ack(&self.broker).await?;
        }
        let messages = std::mem::take(&mut held.no_route);
        if messages.is_empty() {
            return Ok(0);
        }
        self.metrics.no_route.inc_by(messages.len() as u64);
        let seqs = messages.iter().map(|message| message.place.seq).collect();
        let record = outcomes::encode(&Record::NoRoute(ranges::of(seqs)))?;
        let count = messages.len();
        let tickets = messages.into_iter().map(Message::into_ticket).collect();
        outcomes.push(Entry { record, tickets, mark: 0 }).await;
        Ok(count)
    }

    async fn settle(&self, batch: Settled) -> Result<usize, Error> {
        match batch {
            Settled::Stored(entries) => Ok(entries.iter().map(|entry| entry.tickets.len()).sum()),
            Settled::Refused(entries) => {
                let mut count = 0;
                for ticket in entries.iter().flat_map(|entry| &entry.tickets) {
                    count += 1;
                    ticket.nak_after(&self.broker, REFUSED_RETRY).await?;
                }
                Ok(count)
            }
        }
    }

    fn trace(&self, accepted: &mut Accepted, matched: usize, start: Timestamp) {
        let event = &mut accepted.event;
        let parent = event.metadata.get(hops::TRACEPARENT).and_then(|text| TraceContext::parse(text));
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

/// Parks a delivery whose provider's stream is silent; an open integration is held back first.
async fn pass_by(broker: &Broker, delivery: &Delivery, reason: &str) -> Result<(), Error> {
    let state = broker.hold_back(&delivery.integration, reason, Timestamp::now()).await?;
    match broker.park_behind(delivery, &state).await? {
        Held::Parked => Ok(()),
        Held::Open => broker.hop(delivery, Hop::Deliver(Lane::Live)).await.map(|_| ()),
    }
}
