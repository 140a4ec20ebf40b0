//! Pulling messages, as many as there are permits for, through everything that can happen.
//!
//! A pull never asks for more than its owner can hold, so that nothing waits unseen in a client
//! while its acknowledgement runs out. Heartbeats, lost consumers, new leaders and reconnections end
//! in a new request; an owner sees messages and nothing else.

use std::{pin::Pin, sync::atomic::Ordering, time::Duration};

use async_nats::{StatusCode, Subscriber, jetstream::consumer};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tokio::{
    sync::watch,
    time::{Instant, Sleep},
};

use crate::{Broker, Error, Message, topology::Consumer};

/// How long one pull request lives on the server.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often the server says that an idle request still stands.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Without anything for this long, what was asked for is taken to be lost.
const SILENCE_MAX: Duration = Duration::from_secs(12);
/// The wait before asking again after the server had no consumer, doubled up to [`RETRY_LAST`].
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(2);

/// How long a reader waits before it looks whether what it waits for has gone meanwhile.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// A consumer looked after and a subscription of its own to go on with.
struct Mended {
    consumer: Consumer,
    pending: u64,
    inbox: String,
    answers: Subscriber,
    connects: u64,
}

type Mending = Pin<Box<dyn Future<Output = Result<Mended, Error>> + Send>>;

/// Takes messages from one consumer.
pub struct Puller {
    broker: Broker,
    consumer: Consumer,
    inbox: String,
    answers: Subscriber,
    /// The subscription before, until what had come over it is handed on; and whether the server
    /// has been told. While it stands, what was asked for over it may still come.
    before: Option<(Subscriber, bool)>,
    connections: watch::Receiver<u64>,
    /// Number of the newest request; its last token.
    request: u64,
    /// Messages asked for and not yet come.
    asked: usize,
    heard: Instant,
    retry: Duration,
    /// Runs while nothing can be asked for. Kept here, so that an owner who is never idle for a whole
    /// round trip does not begin it again and again.
    mending: Option<Mending>,
    alarm: Pin<Box<Sleep>>,
    /// For consumers that follow: the last sequences seen, in the stream and of this consumer, and how
    /// many messages the last one said were to come.
    last_seq: u64,
    last_consumer_seq: u64,
    last_pending: u64,
    /// The connections that the client had made when the consumer was.
    connects: u64,
    /// Messages that were there when the consumer was made and have not been returned.
    left: u64,
    pending_at_start: u64,
}

impl std::fmt::Debug for Puller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Puller")
            .field("consumer", &self.consumer.name())
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

impl Puller {
    /// Makes or checks the consumer and listens for its messages. Nothing is asked for yet.
    pub async fn open(broker: &Broker, consumer: Consumer) -> Result<Self, Error> {
        let mut connections = broker.connections();
        connections.mark_unchanged();
        let Mended {
            consumer,
            pending,
            inbox,
            answers,
            connects,
        } = mend(broker.clone(), consumer, 0, Duration::ZERO).await?;
        Ok(Self {
            broker: broker.clone(),
            consumer,
            inbox,
            answers,
            before: None,
            connections,
            request: 0,
            asked: 0,
            heard: Instant::now(),
            retry: RETRY_FIRST,
            mending: None,
            alarm: Box::pin(tokio::time::sleep(SILENCE_MAX)),
            last_seq: 0,
            last_consumer_seq: 0,
            last_pending: pending,
            connects,
            left: pending,
            pending_at_start: pending,
        })
    }

    /// How many messages were there when the consumer was made.
    pub fn pending_at_start(&self) -> u64 {
        self.pending_at_start
    }

    /// Of the messages that were there when the consumer was made, how many have not been returned.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next message. `want` is how many the owner can hold besides those it has: at most so many
    /// are under way. With 0 nothing new is asked for, but what comes is still returned.
    ///
    /// Safe to cancel: a message is either returned or still waiting inside.
    pub async fn next(&mut self, want: usize) -> Message {
        loop {
            self.ask(want).await;
            tokio::select! {
                biased;
                answer = before(&mut self.before) => match answer {
                    Some(answer) => if let Some(message) = self.hear_late(answer) {
                        return message;
                    },
                    None => self.before = None,
                },
                answer = self.answers.next() => match answer {
                    Some(answer) => if let Some(message) = self.hear(answer) {
                        return message;
                    },
                    None => {
                        self.lost("the subscription ended");
                        if self.mending.is_none() {
                            self.mend_later();
                        }
                        // An ended subscription is ready for ever: wait for the new one alone.
                        let mended = mending(&mut self.mending).await;
                        self.on_mended(mended);
                    }
                },
                mended = mending(&mut self.mending) => self.on_mended(mended),
                changed = self.connections.changed() => {
                    if changed.is_ok() {
                        // What was asked for over the old connection is gone or will come unasked,
                        // and a consumer may be gone too.
                        self.lost("the connection is new");
                        self.mend_after(Duration::ZERO);
                    } else {
                        std::future::pending::<()>().await;
                    }
                }
                () = &mut self.alarm => self.on_alarm(),
            }
        }
    }

    /// What has come already, without waiting.
    pub fn ready(&mut self) -> Option<Message> {
        loop {
            if let Some((answers, _)) = &mut self.before {
                match answers.next().now_or_never() {
                    Some(Some(answer)) => {
                        if let Some(message) = self.hear_late(answer) {
                            return Some(message);
                        }
                        continue;
                    }
                    Some(None) => self.before = None,
                    None => {}
                }
            }
            let answer = self.answers.next().now_or_never()??;
            if let Some(message) = self.hear(answer) {
                return Some(message);
            }
        }
    }

    /// The next of the messages that were there at the start; `None` when all have been returned or
    /// have gone meanwhile, by age or a purge.
    pub(crate) async fn next_left(&mut self, want: usize) -> Option<Message> {
        while self.left > 0 {
            if let Ok(message) = tokio::time::timeout(LOOK_AFTER, self.next(want)).await {
                return Some(message);
            }
            if self.mending.is_some() {
                continue;
            }
            match self.consumer.progress(&self.broker).await {
                // What the server had sent before its answer has come before it.
                Ok(progress) if progress.pending == 0 => match self.ready() {
                    Some(message) => return Some(message),
                    None => self.left = 0,
                },
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, consumer = self.consumer.name(), "cannot see what is left"),
            }
        }
        None
    }

    async fn ask(&mut self, want: usize) {
        if let Some((before, told @ false)) = &mut self.before {
            // Only a client that is closed refuses, and then nothing comes any more.
            if let Err(error) = before.drain().await {
                tracing::debug!(%error, "cannot end a subscription");
            }
            *told = true;
        }
        if self.mending.is_some() || want <= self.asked {
            return;
        }
        let more = want - self.asked;
        // Asking for each freed permit alone would double the messages on the wire.
        if self.asked > 0 && more * 2 < want {
            return;
        }
        let body = format!(
            "{{\"batch\":{more},\"expires\":{},\"idle_heartbeat\":{}}}",
            EXPIRES.as_nanos(),
            HEARTBEAT.as_nanos()
        );
        let reply = format!("{}.{}", self.inbox, self.request + 1);
        let subject = format!(
            "$JS.API.CONSUMER.MSG.NEXT.{}.{}",
            self.consumer.stream(),
            self.consumer.name()
        );
        match self
            .broker
            .client()
            .publish_with_reply(subject, reply, Bytes::from(body))
            .await
        {
            Ok(()) => {
                self.request += 1;
                self.asked += more;
                self.heard = Instant::now();
                if self.alarm.is_elapsed() {
                    self.alarm.as_mut().reset(self.heard + SILENCE_MAX);
                }
            }
            Err(error) => {
                tracing::warn!(%error, consumer = self.consumer.name(), "cannot ask for messages");
                self.mend_later();
            }
        }
    }

    fn hear(&mut self, answer: async_nats::Message) -> Option<Message> {
        self.heard = Instant::now();
        let Some(status) = answer.status else {
            let message = Message::read(answer)?;
            self.asked = self.asked.saturating_sub(1);
            self.retry = RETRY_FIRST;
            return self.pass(message);
        };
        let description = answer.description.as_deref().unwrap_or_default();
        match status {
            StatusCode::IDLE_HEARTBEAT => {}
            StatusCode::NO_RESPONDERS => {
                self.lost("nobody answers for the consumer");
                self.mend_later();
            }
            // The end of one request: it says how many of its messages never came.
            _ => {
                let unserved = answer
                    .headers
                    .as_ref()
                    .and_then(|headers| headers.get("Nats-Pending-Messages"))
                    .and_then(|count| count.as_str().parse::<usize>().ok());
                match unserved {
                    Some(count) => self.asked = self.asked.saturating_sub(count),
                    None => self.asked = 0,
                }
                if status != StatusCode::TIMEOUT {
                    tracing::debug!(
                        consumer = self.consumer.name(),
                        status = status.as_u16(),
                        description,
                        "a pull ended"
                    );
                    self.lost(description);
                    self.mend_later();
                }
            }
        }
        None
    }

    /// What comes over the subscription before: it was not counted as asked for any more.
    fn hear_late(&mut self, answer: async_nats::Message) -> Option<Message> {
        if answer.status.is_some() {
            return None;
        }
        Message::read(answer).and_then(|message| self.pass(message))
    }

    /// Counts a message. One that follows is passed once and in order.
    fn pass(&mut self, message: Message) -> Option<Message> {
        let place = message.place;
        if self.consumer.follows() {
            // Nothing is acknowledged, so what the server has sent into a connection that broke is
            // not sent again: a gap in the consumer's own count shows it. The count shows no gap where
            // the server had a message ready when the one who asked for it went away: of a snapshot it
            // passes over that message. So over a new connection nothing of the consumer before counts,
            // nor what leaves out one of those that were to come.
            let skipped = place.consumer_seq != self.last_consumer_seq + 1
                || (self.consumer.is_snapshot() && place.pending + 1 < self.last_pending)
                || connects(&self.broker) != self.connects;
            if skipped {
                if self.mending.is_none() {
                    self.lost("messages were lost on the way");
                    self.mend_after(Duration::ZERO);
                }
                return None;
            }
            self.last_consumer_seq = place.consumer_seq;
            self.last_pending = place.pending;
            // A consumer that is made again while this one still sends begins with what it had sent.
            if place.seq <= self.last_seq {
                return None;
            }
            self.last_seq = place.seq;
        }
        self.left = self.left.saturating_sub(1).min(place.pending);
        Some(message)
    }

    fn lost(&mut self, reason: &str) {
        if self.asked > 0 {
            tracing::debug!(consumer = self.consumer.name(), reason, "asking for messages anew");
        }
        self.asked = 0;
    }

    fn mend_later(&mut self) {
        let wait = self.retry;
        self.retry = (self.retry * 2).min(RETRY_LAST);
        self.mend_after(wait);
    }

    fn mend_after(&mut self, wait: Duration) {
        self.mending = Some(Box::pin(mend(
            self.broker.clone(),
            self.consumer.clone(),
            self.last_seq,
            wait,
        )));
    }

    fn on_mended(&mut self, mended: Result<Mended, Error>) {
        self.mending = None;
        match mended {
            Ok(Mended {
                consumer,
                pending,
                inbox,
                answers,
                connects,
            }) => {
                let before = std::mem::replace(&mut self.answers, answers);
                if consumer.follows() {
                    // The new consumer sends what the one before had not.
                    self.last_consumer_seq = 0;
                    self.last_pending = pending;
                    self.connects = connects;
                    if self.left > 0 {
                        self.left = pending;
                    }
                } else {
                    self.before = Some((before, false));
                }
                self.consumer = consumer;
                self.inbox = inbox;
                self.asked = 0;
            }
            Err(error) => {
                tracing::warn!(%error, consumer = self.consumer.name(), "the consumer cannot be had yet");
                self.mend_later();
            }
        }
    }

    fn on_alarm(&mut self) {
        let now = Instant::now();
        // Moved only when it rings: a timer reset for each message would cost more than the message.
        let silent = self.asked > 0 && now.duration_since(self.heard) >= SILENCE_MAX;
        if silent && self.mending.is_none() {
            tracing::warn!(
                consumer = self.consumer.name(),
                "no heartbeat from the server; asking anew"
            );
            self.lost("silence");
            self.mend_after(Duration::ZERO);
        }
        let next = if silent || self.asked == 0 { now } else { self.heard };
        self.alarm.as_mut().reset(next + SILENCE_MAX);
    }

    /// Stops taking messages and returns what had come already. What the server has sent and is still
    /// on its way is among it, so that all can be handed back at once.
    pub async fn stop(&mut self) -> Vec<Message> {
        self.mending = None;
        self.asked = 0;
        let mut messages = Vec::new();
        if let Some((before, _)) = self.before.take() {
            self.stop_listening(before, &mut messages).await;
        }
        // Nobody publishes to it: it stands in for the one that ends.
        let idle = self.broker.client().subscribe(self.broker.client().new_inbox()).await;
        match idle {
            Ok(idle) => {
                let answers = std::mem::replace(&mut self.answers, idle);
                self.stop_listening(answers, &mut messages).await;
            }
            Err(error) => tracing::debug!(%error, "the connection is closed: nothing comes any more"),
        }
        messages
    }

    async fn stop_listening(&mut self, mut answers: Subscriber, messages: &mut Vec<Message>) {
        if let Err(error) = answers.drain().await {
            tracing::debug!(%error, "cannot end a subscription");
        }
        let until = Instant::now() + LOOK_AFTER;
        while let Ok(Some(answer)) = tokio::time::timeout_at(until, answers.next()).await {
            messages.extend(self.hear_late(answer));
        }
    }

    /// Ends a reader's consumer at once instead of leaving it to the server. Acknowledgements that were written a moment
    /// before may end with it.
    pub async fn close(self) {
        let Self { broker, consumer, .. } = self;
        if let Err(error) = consumer.delete(&broker).await {
            tracing::debug!(%error, "a reader's consumer is left to the server");
        }
    }
}

/// After a wait, makes the consumer where it is missing and listens under a new inbox. The server
/// keeps a request for as long as somebody listens to its answers: under the old inbox, requests of
/// before would go on beside the new ones.
async fn mend(broker: Broker, mut consumer: Consumer, last_seq: u64, wait: Duration) -> Result<Mended, Error> {
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    let connects = connects(&broker);
    let pending = consumer.ensure(&broker, last_seq).await?;
    let inbox = broker.client().new_inbox();
    let answers = broker
        .client()
        .subscribe(format!("{inbox}.*"))
        .await
        .map_err(|error| Error::Connection {
            reason: error.to_string(),
        })?;
    Ok(Mended {
        consumer,
        pending,
        inbox,
        answers,
        connects,
    })
}

/// How many connections the client has made. Counted before anything comes over a new one, while the
/// event that tells of it may come later.
fn connects(broker: &Broker) -> u64 {
    broker.client().statistics().connects.load(Ordering::Relaxed)
}

async fn mending(mending: &mut Option<Mending>) -> Result<Mended, Error> {
    match mending {
        Some(mending) => mending.await,
        None => std::future::pending().await,
    }
}

async fn before(before: &mut Option<(Subscriber, bool)>) -> Option<async_nats::Message> {
    match before {
        Some((answers, _)) => answers.next().await,
        None => std::future::pending().await,
    }
}

/// A pull consumer's configuration that all of ours share: explicit acknowledgement, delivered for
/// ever, no backoff (it would add to delays).
pub(crate) fn base() -> consumer::pull::Config {
    consumer::pull::Config {
        ack_policy: consumer::AckPolicy::Explicit,
        max_deliver: -1,
        deliver_policy: consumer::DeliverPolicy::All,
        replay_policy: consumer::ReplayPolicy::Instant,
        ..Default::default()
    }
}
