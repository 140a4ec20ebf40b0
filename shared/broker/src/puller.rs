//! Pulling messages, as many as there are permits for, through everything that can happen.
//!
//! A pull never asks for more than its owner can hold, so that nothing waits unseen in a client
//! while its acknowledgement runs out. Heartbeats, lost consumers, new leaders and reconnections end
//! in a new request; an owner sees messages and nothing else.

use std::time::Duration;

use async_nats::{StatusCode, Subscriber, jetstream::consumer};
use bytes::Bytes;
use futures::StreamExt;
use tokio::{sync::watch, time::Instant};

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

/// Takes messages from one consumer.
pub struct Puller {
    broker: Broker,
    consumer: Consumer,
    inbox: String,
    answers: Subscriber,
    connections: watch::Receiver<u64>,
    /// Number of the newest request; its last token.
    request: u64,
    /// Messages asked for and not yet come.
    asked: usize,
    heard: Instant,
    retry: Duration,
    /// Set while the server had no consumer: ask again then.
    again: Option<Instant>,
    alarm: std::pin::Pin<Box<tokio::time::Sleep>>,
    /// For consumers that follow: the last sequence seen.
    last_seq: u64,
}

impl std::fmt::Debug for Puller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Puller").field("consumer", &self.consumer.name()).field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl Puller {
    /// Makes or checks the consumer and listens for its messages. Nothing is asked for yet.
    pub async fn open(broker: &Broker, consumer: Consumer) -> Result<Self, Error> {
        let mut consumer = consumer;
        consumer.ensure(broker, 0).await?;
        let inbox = broker.client().new_inbox();
        let answers = broker
            .client()
            .subscribe(format!("{inbox}.*"))
            .await
            .map_err(|error| Error::Connection { reason: error.to_string() })?;
        let mut connections = broker.connections();
        connections.mark_unchanged();
        Ok(Self {
            broker: broker.clone(),
            consumer,
            inbox,
            answers,
            connections,
            request: 0,
            asked: 0,
            heard: Instant::now(),
            retry: RETRY_FIRST,
            again: None,
            alarm: Box::pin(tokio::time::sleep(SILENCE_MAX)),
            last_seq: 0,
        })
    }

    /// How many messages were there when the consumer was made.
    pub fn pending_at_start(&self) -> u64 {
        self.consumer.pending_at_start()
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
                answer = self.answers.next() => match answer {
                    Some(answer) => if let Some(message) = self.hear(answer) {
                        return message;
                    },
                    None => self.resubscribe().await,
                },
                changed = self.connections.changed() => {
                    if changed.is_ok() {
                        self.lost("the connection is new");
                        // What was asked for over the old connection is gone, a consumer may be too.
                        self.again = Some(Instant::now());
                    } else {
                        std::future::pending::<()>().await;
                    }
                }
                () = &mut self.alarm => self.on_alarm().await,
            }
        }
    }

    /// What has come already, without waiting.
    pub fn ready(&mut self) -> Option<Message> {
        use futures::FutureExt;
        loop {
            match self.answers.next().now_or_never() {
                Some(Some(answer)) => {
                    if let Some(message) = self.hear(answer) {
                        return Some(message);
                    }
                }
                Some(None) | None => return None,
            }
        }
    }

    async fn ask(&mut self, want: usize) {
        if self.again.is_some() || want <= self.asked {
            return;
        }
        let more = want - self.asked;
        // Asking for each freed permit alone would double the messages on the wire.
        if self.asked > 0 && more * 2 < want {
            return;
        }
        self.request += 1;
        let body = format!(
            "{{\"batch\":{more},\"expires\":{},\"idle_heartbeat\":{}}}",
            EXPIRES.as_nanos(),
            HEARTBEAT.as_nanos()
        );
        let reply = format!("{}.{}", self.inbox, self.request);
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", self.consumer.stream(), self.consumer.name());
        match self.broker.client().publish_with_reply(subject, reply, Bytes::from(body)).await {
            Ok(()) => {
                self.asked += more;
                self.heard = Instant::now();
                self.set_alarm();
            }
            Err(error) => {
                tracing::warn!(%error, consumer = self.consumer.name(), "cannot ask for messages");
                self.ask_later();
            }
        }
    }

    fn hear(&mut self, answer: async_nats::Message) -> Option<Message> {
        self.heard = Instant::now();
        let Some(status) = answer.status else {
            let message = Message::read(answer)?;
            self.asked = self.asked.saturating_sub(1);
            self.retry = RETRY_FIRST;
            if self.consumer.follows() {
                // A consumer made again begins behind the last message seen; one that a server
                // repeats all the same is dropped here.
                if message.place.seq <= self.last_seq {
                    return None;
                }
                self.last_seq = message.place.seq;
            }
            return Some(message);
        };
        let description = answer.description.as_deref().unwrap_or_default();
        match status {
            StatusCode::IDLE_HEARTBEAT => {}
            StatusCode::NO_RESPONDERS => {
                self.lost("nobody answers for the consumer");
                self.ask_later();
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
                    tracing::debug!(consumer = self.consumer.name(), status = status.as_u16(), description, "a pull ended");
                    self.lost(description);
                    self.ask_later();
                }
            }
        }
        None
    }

    fn lost(&mut self, reason: &str) {
        if self.asked > 0 {
            tracing::debug!(consumer = self.consumer.name(), reason, "asking for messages anew");
        }
        self.asked = 0;
    }

    fn ask_later(&mut self) {
        let at = Instant::now() + self.retry;
        self.retry = (self.retry * 2).min(RETRY_LAST);
        self.again = Some(at);
        self.alarm.as_mut().reset(at);
    }

    fn set_alarm(&mut self) {
        // Moved only when it rings: a timer reset for each message would cost more than the message.
        if self.alarm.is_elapsed() {
            self.alarm.as_mut().reset(self.heard + SILENCE_MAX);
        }
    }

    async fn on_alarm(&mut self) {
        let now = Instant::now();
        let silent = self.asked > 0 && now.duration_since(self.heard) >= SILENCE_MAX;
        let again = self.again.is_some_and(|at| at <= now);
        if silent {
            tracing::warn!(consumer = self.consumer.name(), "no heartbeat from the server; asking anew");
            self.lost("silence");
        }
        if silent || again {
            match self.consumer.ensure(&self.broker, self.last_seq).await {
                Ok(()) => self.again = None,
                Err(error) => {
                    tracing::warn!(%error, consumer = self.consumer.name(), "the consumer cannot be had yet");
                    self.ask_later();
                    return;
                }
            }
        }
        let next = self.again.unwrap_or_else(|| self.heard.max(now - SILENCE_MAX / 2) + SILENCE_MAX);
        self.alarm.as_mut().reset(next.max(now + Duration::from_millis(10)));
    }

    async fn resubscribe(&mut self) {
        loop {
            match self.broker.client().subscribe(format!("{}.*", self.inbox)).await {
                Ok(answers) => {
                    self.answers = answers;
                    self.lost("the subscription ended");
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, consumer = self.consumer.name(), "cannot listen for messages yet");
                    tokio::time::sleep(RETRY_LAST).await;
                }
            }
        }
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

impl Puller {
    pub(crate) async fn delete_consumer(&self) -> Result<(), Error> {
        self.consumer.delete(&self.broker).await
    }
}
