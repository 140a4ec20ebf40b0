//! The loop of one partition of INGEST.
//!
//! **Invariant:** the event (or the dead letter) is acknowledged by its stream before the input is. Of a batch, all
//! of them are.

mod batch;
mod read;

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use signalbox_broker::{
    Ack, Broker, Error, Message, PublishError, Puller,
    message::Ticket,
    patience::patiently,
    suspects::{self, Suspicion},
    topology::{Consumer, IN_PROGRESS_EVERY},
};
use signalbox_proto::{DeadReason, subjects};
use signalbox_runtime::{Process, health::ComponentHandle};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};

use crate::{Config, Metrics, letter};
use batch::Settled;
use read::Read;
pub(crate) use read::Reader;

/// The wait before an input is looked at again when a stream has no room.
const FULL_RETRY: Duration = Duration::from_secs(2);
/// How long what is in hand may take to come to its end on shutdown. The rest is handed back.
const DRAIN_MAX: Duration = Duration::from_secs(20);

pub(crate) struct Partition {
    /// For all but pulling.
    pub(crate) broker: Broker,
    /// The connection that inputs come over. One that cannot be read ends it: see [`crate::sweep`].
    pub(crate) input: Broker,
    /// Whether inputs may be asked for.
    pub(crate) swept: watch::Receiver<bool>,
    pub(crate) process: Process,
    pub(crate) config: Arc<Config>,
    pub(crate) reader: Arc<Reader>,
    pub(crate) metrics: Metrics,
    pub(crate) health: ComponentHandle,
    pub(crate) number: u32,
}

/// An input in hand, and what is being done with it.
struct Held {
    ticket: Ticket,
    since: Instant,
    step: BoxFuture<'static, (Message, Done)>,
}

/// What a step with an input has come to.
enum Done {
    Suspicion(Result<Suspicion, Error>),
    Event(Result<Ack, PublishError>),
    Batch(Result<Settled, Error>),
    Dead(Result<Ack, Error>),
}

impl Held {
    fn new(message: Message, step: impl Future<Output = Done> + Send + 'static) -> Self {
        Self {
            ticket: message.ticket(),
            since: Instant::now(),
            step: step.map(|done| (message, done)).boxed(),
        }
    }
}

impl Future for Held {
    type Output = (Message, Done);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.step.as_mut().poll(context)
    }
}

/// What a partition has in hand.
#[derive(Default)]
struct Hands {
    held: FuturesUnordered<Held>,
    /// Suspects that wait for their turn: one at a time is behind its marker.
    suspects: VecDeque<Message>,
    suspect: Option<Suspect>,
}

/// The suspect whose turn it is.
struct Suspect {
    seq: u64,
    suspicion: Suspicion,
}

impl Partition {
    pub(crate) async fn run(mut self) -> Result<(), Error> {
        let partitions = self.broker.config().partitions;
        let open = || Puller::open(&self.input, Consumer::ingest(self.number, partitions));
        let mut puller = tokio::select! {
            () = self.process.shutdown.requested() => return Ok(()),
            opened = patiently("the consumer of ingest", open) => opened?,
        };
        let mut hands = Hands::default();
        let mut tick = tokio::time::interval(IN_PROGRESS_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.health.ready();
        loop {
            self.next_suspect(&mut hands);
            let room = self
                .config
                .in_flight_max
                .saturating_sub(hands.held.len() + hands.suspects.len());
            let wanted = if *self.swept.borrow_and_update() { room } else { 0 };
            tokio::select! {
                biased;
                () = self.process.shutdown.requested() => break,
                Some((message, done)) = hands.held.next() => self.step(&mut hands, message, done).await,
                _ = tick.tick() => self.tell_in_progress(&hands).await,
                // The sweeper ends only with the process.
                Ok(()) = self.swept.changed() => {}
                message = puller.next(wanted) => {
                    if suspects::is_suspect(&message) {
                        hands.suspects.push_back(message);
                    } else {
                        hands.held.push(self.take(message));
                    }
                }
            }
        }
        for message in puller.stop().await.into_iter().chain(hands.suspects.drain(..)) {
            self.hand_back(&message).await;
        }
        let until = Instant::now() + DRAIN_MAX;
        while let Ok(Some((message, done))) = tokio::time::timeout_at(until, hands.held.next()).await {
            self.step(&mut hands, message, done).await;
        }
        for held in std::mem::take(&mut hands.held) {
            self.clear_marker(&mut hands, &held.ticket, false).await;
            self.hand_back(&held.ticket).await;
        }
        if let Err(error) = self.broker.flush().await {
            tracing::debug!(%error, "what was not told the server comes again");
        }
        Ok(())
    }

    /// Begins the hop of an input to EVENTS or DEAD.
    fn take(&self, message: Message) -> Held {
        match self.reader.read(&message) {
            Ok(Read::Event(publish)) => {
                let publisher = self.broker.publisher().clone();
                Held::new(message, async move { Done::Event(publisher.publish(publish).await) })
            }
            Ok(Read::Batch(batch)) => {
                let settling = batch::Settling {
                    broker: self.broker.clone(),
                    reader: self.reader.clone(),
                    health: self.health.clone(),
                    shutdown: self.process.shutdown.clone(),
                    message: message.clone(),
                    batch,
                    settled: Settled::default(),
                };
                Held::new(message, async move { Done::Batch(settling.run().await) })
            }
            Err(rejection) => self.bury(message, DeadReason::Invalid, rejection.to_string()),
        }
    }

    fn bury(&self, message: Message, reason: DeadReason, why: String) -> Held {
        let original = self.reader.original(&message);
        let broker = self.broker.clone();
        Held::new(message, async move {
            Done::Dead(letter::file(&broker, original, reason, &why).await)
        })
    }

    /// Puts the marker of the next suspect, where none is in hand.
    fn next_suspect(&self, hands: &mut Hands) {
        if hands.suspect.is_some() {
            return;
        }
        let Some(message) = hands.suspects.pop_front() else {
            return;
        };
        hands.suspect = Some(Suspect {
            seq: message.place.seq,
            suspicion: Suspicion::Suspect,
        });
        let (broker, ticket, instance) = (self.broker.clone(), message.ticket(), self.process.instance.clone());
        hands.held.push(Held::new(message, async move {
            Done::Suspicion(broker.suspect(subjects::INGEST, &ticket, &instance).await)
        }));
    }

    /// What follows a step: another one, or the end of the input.
    async fn step(&self, hands: &mut Hands, message: Message, done: Done) {
        let settled = match done {
            Done::Suspicion(Ok(suspicion)) => {
                hands.suspect = Some(Suspect {
                    seq: message.place.seq,
                    suspicion,
                });
                hands.held.push(match suspicion {
                    Suspicion::None | Suspicion::Suspect => self.take(message),
                    Suspicion::Poison => self.bury(
                        message,
                        DeadReason::Poison,
                        "handling this input stopped a worker twice".into(),
                    ),
                });
                return;
            }
            Done::Suspicion(Err(error)) => {
                tracing::warn!(%error, seq = message.place.seq, "cannot mark a suspect input; it comes again");
                false
            }
            Done::Event(Ok(ack)) => {
                self.metrics.events.inc();
                if ack.duplicate {
                    self.metrics.repeats.inc();
                }
                self.health.ready();
                true
            }
            Done::Event(Err(PublishError::Refused { code, description })) => {
                // Not for want of room: EVENTS will never take this one.
                let why = format!("the stream of events refuses it: {description} ({code})");
                hands.held.push(self.bury(message, DeadReason::Invalid, why));
                return;
            }
            Done::Event(Err(error)) => {
                self.health.not_ready(format!("EVENTS does not take events: {error}"));
                false
            }
            Done::Batch(Ok(settled)) => {
                self.metrics.batches.inc();
                self.metrics.events.inc_by(settled.events);
                self.metrics.repeats.inc_by(settled.repeats);
                self.metrics.rejected.inc_by(settled.rejected);
                self.health.ready();
                true
            }
            Done::Batch(Err(error)) => {
                tracing::warn!(%error, seq = message.place.seq, "a batch is not settled yet; it comes again");
                false
            }
            Done::Dead(Ok(_)) => {
                self.metrics.rejected.inc();
                true
            }
            Done::Dead(Err(error)) => {
                self.health
                    .not_ready(format!("DEAD does not take dead letters: {error}"));
                false
            }
        };
        self.clear_marker(hands, &message, settled).await;
        let told = if settled {
            message.ack(&self.broker).await
        } else {
            message.nak_after(&self.broker, FULL_RETRY).await
        };
        if let Err(error) = told {
            // The input comes again after its wait; its event is known by its id then.
            tracing::debug!(%error, "an acknowledgement could not be written");
        }
    }

    /// Removes the marker of a suspect that this process survived. That of poison stays until the
    /// poison is filed: without it the next worker would handle it.
    async fn clear_marker(&self, hands: &mut Hands, ticket: &Ticket, settled: bool) {
        let Some(suspect) = hands.suspect.take_if(|suspect| suspect.seq == ticket.place.seq) else {
            return;
        };
        if (settled || suspect.suspicion != Suspicion::Poison)
            && let Err(error) = self.broker.clear_suspect(subjects::INGEST, ticket).await
        {
            tracing::warn!(%error, seq = suspect.seq, "the marker of a suspect could not be removed");
        }
    }

    /// Keeps what takes long from coming again meanwhile.
    async fn tell_in_progress(&self, hands: &Hands) {
        let held = hands
            .held
            .iter()
            .filter(|held| held.since.elapsed() >= IN_PROGRESS_EVERY);
        let waiting = hands.suspects.iter().map(|message| &**message);
        for ticket in held.map(|held| &held.ticket).chain(waiting) {
            if let Err(error) = ticket.in_progress(&self.broker).await {
                tracing::debug!(%error, seq = ticket.place.seq, "cannot say that an input is in progress");
            }
        }
    }

    async fn hand_back(&self, ticket: &Ticket) {
        if let Err(error) = ticket.nak(&self.broker).await {
            tracing::debug!(%error, seq = ticket.place.seq, "an input comes again after its wait");
        }
    }
}
