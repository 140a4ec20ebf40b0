//! The loop of one partition of INGEST.
//!
//! **Invariant:** the event (or the dead letter) is acknowledged by its stream before the input is. Of a batch, all
//! of them are.

mod batch;
mod begin;
mod read;
mod refusing;

use std::{
    collections::{HashSet, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use signalbox_broker::{
    Ack, Broker, Error, Message, Publish, PublishError, Puller,
    message::Ticket,
    patience::patiently,
    suspects::{self, Suspicion},
    topology::{Consumer, IN_PROGRESS_EVERY},
};
use signalbox_proto::{DeadReason, Name, act, subjects};
use signalbox_runtime::{Process, health::ComponentHandle};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};

use crate::{Admission, Config, Metrics, batch as lists, letter, letters::Letters};
use batch::Settled;
use begin::Beginning;
use read::Read;
pub(crate) use read::Reader;
use refusing::Refusing;

/// The wait before an input is looked at again when a stream has no room.
const FULL_RETRY: Duration = Duration::from_secs(2);
/// Inputs that are remembered as handed back: as many as a consumer has under way.
const HANDED_BACK_MAX: usize = 10_000;
/// How long what is in hand may take to come to its end on shutdown. The rest is handed back.
const DRAIN_MAX: Duration = Duration::from_secs(20);

pub(crate) struct Partition {
    /// For all but pulling.
    pub(crate) broker: Broker,
    /// For what is refused: a flood of dead letters and acknowledgements does not stand before what goes on.
    pub(crate) refusals: Broker,
    pub(crate) letters: Letters,
    /// The connection that inputs come over. One that cannot be read ends it: see [`crate::sweep`].
    pub(crate) input: Broker,
    /// Whether inputs may be asked for.
    pub(crate) swept: watch::Receiver<bool>,
    pub(crate) process: Process,
    pub(crate) config: Arc<Config>,
    pub(crate) reader: Arc<Reader>,
    pub(crate) admission: Admission,
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
    /// Whether DEAD has it already.
    Found(Result<bool, Error>),
    Event(Result<Ack, PublishError>),
    Batch(Result<Settled, Error>),
    Dead(Result<Ack, Error>),
    Refused(Result<Ack, Error>),
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

/// What a beginning has come to.
enum Begun {
    Held(Held),
    Refused(Message, String),
}

/// What begins.
enum Begin {
    Event(Name, Publish),
    Batch(Box<batch::Settling>),
}

/// What a partition has in hand.
#[derive(Default)]
struct Hands {
    beginning: Beginning,
    held: FuturesUnordered<Held>,
    refusing: Refusing,
    /// Inputs that this process has handed back itself, as nothing of them could be stored.
    handed_back: HashSet<u64>,
    /// Suspects that wait for their turn: one at a time is behind its marker.
    suspects: VecDeque<Message>,
    suspect: Option<Suspect>,
}

/// The suspect whose turn it is.
struct Suspect {
    seq: u64,
    suspicion: Suspicion,
}

impl Hands {
    /// Remembers that nothing of an input is stored; one that it forgets is looked for.
    fn hand_back(&mut self, ticket: &Ticket) {
        if self.handed_back.len() < HANDED_BACK_MAX {
            self.handed_back.insert(ticket.place.seq);
        }
    }

    fn len(&self) -> usize {
        self.beginning.len() + self.held.len() + self.suspects.len()
    }
}

impl Partition {
    pub(crate) async fn run(self) -> Result<(), Error> {
        let partitions = self.broker.config().partitions;
        let open = || Puller::open(&self.input, Consumer::ingest(self.number, partitions));
        let mut puller = tokio::select! {
            () = self.process.shutdown.requested() => return Ok(()),
            opened = patiently("the consumer of ingest", open) => opened?,
        };
        let mut hands = Hands::default();
        let mut swept = self.swept.clone();
        let mut marks = self.admission.changes();
        let mut was_full = false;
        let mut tick = tokio::time::interval(IN_PROGRESS_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.health.ready();
        loop {
            self.next_suspect(&mut hands);
            let room = self.config.in_flight_max.saturating_sub(hands.len());
            let room = room.min(hands.refusing.room());
            marks.mark_unchanged();
            let is_full = self.admission.is_storage_full();
            // No lack of readiness: over HTTP it is answered, and the process can do all it could do otherwise.
            if is_full && !was_full {
                tracing::warn!(
                    partition = self.number,
                    "what waits fills the storage: inputs wait in INGEST"
                );
            }
            was_full = is_full;
            let wanted = if *swept.borrow_and_update() && !is_full {
                room
            } else {
                0
            };
            tokio::select! {
                biased;
                () = self.process.shutdown.requested() => break,
                // What has begun makes way in its line before anything else is looked at.
                begun = hands.beginning.next(&self) => self.on_begun(&mut hands, begun),
                Some((message, done)) = hands.held.next() => self.step(&mut hands, message, done).await,
                (message, done) = hands.refusing.next() => self.step(&mut hands, message, done).await,
                _ = tick.tick() => self.tell_in_progress(&hands).await,
                // The sweeper ends only with the process.
                Ok(()) = swept.changed() => {}
                Ok(()) = marks.changed() => {}
                message = puller.next(wanted) => {
                    if suspects::is_suspect(&message) {
                        hands.suspects.push_back(message);
                    } else {
                        self.look(&mut hands, message);
                    }
                }
            }
        }
        for message in puller.stop().await.into_iter().chain(hands.suspects.drain(..)) {
            self.hand_back(&message).await;
        }
        let until = Instant::now() + DRAIN_MAX;
        let waiting = hands.beginning.take_waiting();
        while hands.beginning.len() > 0
            && let Ok(begun) = tokio::time::timeout_at(until, hands.beginning.next(&self)).await
        {
            self.on_begun(&mut hands, begun);
        }
        for ticket in waiting.into_iter().chain(hands.beginning.take_now()) {
            self.clear_marker(&mut hands, &ticket, false).await;
            self.hand_back(&ticket).await;
        }
        while let Ok(Some((message, done))) = tokio::time::timeout_at(until, hands.held.next()).await {
            self.step(&mut hands, message, done).await;
        }
        while hands.refusing.len() > 0
            && let Ok((message, done)) = tokio::time::timeout_at(until, hands.refusing.next()).await
        {
            self.step(&mut hands, message, done).await;
        }
        let mut left: Vec<Ticket> = std::mem::take(&mut hands.held)
            .into_iter()
            .map(|held| held.ticket)
            .collect();
        left.append(&mut hands.refusing.take());
        // What a step led back there meanwhile.
        left.append(&mut hands.beginning.take_waiting());
        left.append(&mut hands.beginning.take_now());
        for ticket in left {
            self.clear_marker(&mut hands, &ticket, false).await;
            self.hand_back(&ticket).await;
        }
        for broker in [&self.broker, &self.refusals] {
            if let Err(error) = broker.flush().await {
                tracing::debug!(%error, "what was not told the server comes again");
            }
        }
        Ok(())
    }

    /// Looks first for the dead letter of an input that comes again: a process that died may have refused it. Nothing
    /// else waits for that.
    fn look(&self, hands: &mut Hands, message: Message) {
        let place = message.place;
        if place.delivered <= 1 || hands.handed_back.remove(&place.seq) {
            return self.take(hands, message);
        }
        let id = letter::id(self.reader.incarnation, place.seq, None, DeadReason::Rejected);
        let org = letter::org(&subjects::given_input(&message.subject));
        let letters = self.letters.clone();
        hands.held.push(Held::new(message, async move {
            Done::Found(letters.has(org.as_ref(), &id, place.at).await)
        }));
    }

    /// Reads an input. What holds events waits for its turn, in order; what holds none is a dead letter.
    fn take(&self, hands: &mut Hands, message: Message) {
        let org = letter::org(&subjects::given_input(&message.subject));
        if let Some(Err(shut)) = org.as_ref().map(|org| self.reader.orgs.check(org)) {
            // With the places and the connection of refusals: it may be a flood as well.
            let bytes = message.body.len();
            let held = self.bury_over(&self.refusals, message, DeadReason::Invalid, shut.to_string());
            return hands.refusing.push(bytes, held);
        }
        if message.place.delivered <= 1
            && message.header(act::HEADER).is_none()
            && let Some(org) = &org
            && let Some(refusal) = self
                .admission
                .refuse_unread(org, read::bytes(&message), || lists::count(&message))
        {
            return self.refuse(hands, message, refusal.to_string());
        }
        match self.reader.read(&message) {
            Ok(read) => {
                let line = match self.admission.has_quota() {
                    true => letter::org(&subjects::given_input(&message.subject)),
                    false => None,
                };
                hands.beginning.push(self, line, message, read);
            }
            Err(rejection) => hands
                .held
                .push(self.bury(message, DeadReason::Invalid, rejection.to_string())),
        }
    }

    fn on_begun(&self, hands: &mut Hands, begun: Begun) {
        match begun {
            Begun::Held(held) => hands.held.push(held),
            Begun::Refused(message, why) => self.refuse(hands, message, why),
        }
    }

    fn refuse(&self, hands: &mut Hands, message: Message, why: String) {
        let original = self.reader.refused(&message, self.reader.original(&message));
        let (broker, bytes) = (self.refusals.clone(), message.body.len());
        let orgs = self.reader.orgs.clone();
        let held = Held::new(message, async move {
            Done::Refused(letter::file(&broker, &orgs, original, DeadReason::Rejected, &why).await)
        });
        hands.refusing.push(bytes, held);
    }

    /// Begins the hop of an input to EVENTS: written, not answered. What comes again has lost its place in the order;
    /// of a batch that does, it is first looked up what is stored, for which no other waits.
    fn begin(&self, message: Message, read: Read) -> impl Future<Output = Begun> + Send + use<> {
        let (broker, admission) = (self.broker.clone(), self.admission.clone());
        let settling = |batch| batch::Settling {
            broker: broker.clone(),
            refusals: self.refusals.clone(),
            letters: self.letters.clone(),
            reader: self.reader.clone(),
            admission: admission.clone(),
            health: self.health.clone(),
            shutdown: self.process.shutdown.clone(),
            message: message.clone(),
            batch,
            settled: Settled::default(),
        };
        let begin = match read {
            Read::Event(org, publish) => Begin::Event(org, publish),
            Read::Batch(batch) => Begin::Batch(Box::new(settling(batch))),
        };
        async move {
            match begin {
                Begin::Event(org, publish) => {
                    if message.place.delivered <= 1
                        && let act = message.header(act::HEADER)
                        && let Err(refusal) = admission.admit_input(&org, act, read::bytes(&message)).await
                    {
                        return Begun::Refused(message, refusal.to_string());
                    }
                    let receipt = broker.publisher().send(publish, None).await;
                    Begun::Held(Held::new(message, async move { Done::Event(receipt.await) }))
                }
                Begin::Batch(settling) => {
                    let begun = match message.place.delivered {
                        ..=1 => Some(settling.begin_all().await),
                        _ => None,
                    };
                    Begun::Held(Held::new(
                        message,
                        async move { Done::Batch(settling.run(begun).await) },
                    ))
                }
            }
        }
    }

    fn bury(&self, message: Message, reason: DeadReason, why: String) -> Held {
        self.bury_over(&self.broker, message, reason, why)
    }

    fn bury_over(&self, broker: &Broker, message: Message, reason: DeadReason, why: String) -> Held {
        let original = self.reader.original(&message);
        let (broker, orgs) = (broker.clone(), self.reader.orgs.clone());
        Held::new(message, async move {
            Done::Dead(letter::file(&broker, &orgs, original, reason, &why).await)
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
        // Also what is said of refused inputs is a flood.
        let broker = match done {
            Done::Refused(_) => &self.refusals,
            _ => &self.broker,
        };
        let settled = match done {
            Done::Suspicion(Ok(suspicion)) => {
                hands.suspect = Some(Suspect {
                    seq: message.place.seq,
                    suspicion,
                });
                hands.held.push(match suspicion {
                    Suspicion::None | Suspicion::Suspect => return self.look(hands, message),
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
            Done::Found(Ok(false)) => return self.take(hands, message),
            Done::Found(Ok(true)) => {
                self.metrics.rejected.inc();
                true
            }
            Done::Found(Err(error)) => {
                tracing::warn!(%error, seq = message.place.seq, "cannot see whether an input was refused before; it comes again");
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
                hands.hand_back(&message);
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
            // It is accepted when it comes again.
            Done::Refused(Err(error)) => {
                self.admission.on_unfiled(&error);
                hands.hand_back(&message);
                false
            }
            Done::Dead(Ok(_)) | Done::Refused(Ok(_)) => {
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
            message.ack(broker).await
        } else {
            message.nak_after(broker, FULL_RETRY).await
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
            .chain(hands.refusing.iter())
            .filter(|held| held.since.elapsed() >= IN_PROGRESS_EVERY);
        let waiting = hands.suspects.iter().map(|message| &**message);
        let beginning = hands.beginning.tickets(IN_PROGRESS_EVERY);
        for ticket in held.map(|held| &held.ticket).chain(waiting).chain(beginning) {
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
