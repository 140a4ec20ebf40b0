//! Publishing with acknowledgements, many at a time, each under an id that may be repeated.
//!
//! One inbox takes the acknowledgements of all publishes; a future and a timer for each would cost
//! more than the publish. What is not acknowledged in time, or meets a server without a leader, is
//! published again under the same id, after a reconnection at once. The order of publishes is kept
//! as long as none has to be repeated.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use async_nats::{Client, HeaderMap, Subject};
use bytes::Bytes;
use futures::StreamExt;
use serde::Deserialize;
use std::sync::Mutex;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch},
    time::Instant,
};

/// Publishes without an acknowledgement at one time; more wait. Bounds memory and the burst after a
/// reconnection.
pub const IN_FLIGHT_MAX: usize = 2_048;
/// A publish not acknowledged for this long is repeated.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// The wait before a repeat that the server's answer asked for; doubles up to [`REPEAT_LAST`].
const REPEAT_FIRST: Duration = Duration::from_millis(100);
const REPEAT_LAST: Duration = Duration::from_secs(2);

/// What to publish.
#[derive(Clone, Debug)]
pub struct Publish {
    /// Where to.
    pub subject: Subject,
    /// The message id by which the server knows a repeat; `None` where a repeat does no harm.
    pub id: Option<String>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

/// What the server says of a publish that it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The sequence in the stream; of the first one, where this was a repeat.
    pub seq: u64,
    /// Whether the id was known.
    pub duplicate: bool,
    /// The value of a counter.
    pub value: Option<String>,
}

/// Why a publish has not been taken.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PublishError {
    /// The stream or the server has no room.
    #[error("no room: {description} ({code})")]
    Full {
        /// The server's error code.
        code: u64,
        /// Its words.
        description: String,
    },
    /// The condition on the last sequence of a subject does not hold.
    #[error("the expected sequence is not the last: {description}")]
    Stale {
        /// The server's words.
        description: String,
    },
    /// The server will not take it, now or later.
    #[error("refused: {description} ({code})")]
    Refused {
        /// The server's error code.
        code: u64,
        /// Its words.
        description: String,
    },
    /// No acknowledgement until the deadline.
    #[error("not acknowledged in time")]
    TimedOut,
    /// The connection was closed for good.
    #[error("the connection is closed")]
    Closed,
}

impl PublishError {
    /// Whether trying again later may succeed without anyone changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Full { .. } | Self::TimedOut | Self::Closed => true,
            Self::Stale { .. } | Self::Refused { .. } => false,
        }
    }
}

/// Publishes over one connection. Clones share the window.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    inbox: String,
    next: AtomicU64,
    pending: Mutex<HashMap<u64, Pending>>,
    window: Arc<Semaphore>,
    /// Whether the task that repeats has a timer set. A wake-up for each publish would cost more
    /// than the publish.
    armed: AtomicBool,
    wake: Notify,
}

struct Pending {
    publish: Publish,
    done: oneshot::Sender<Result<Ack, PublishError>>,
    /// When it is published again if nothing happens.
    due: Instant,
    repeat_wait: Duration,
    deadline: Option<Instant>,
    _permit: OwnedSemaphorePermit,
}

/// The acknowledgement to come. Dropping it gives up interest, not the publish.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Result<Ack, PublishError>>);

impl Future for Receipt {
    type Output = Result<Ack, PublishError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|received| received.unwrap_or(Err(PublishError::Closed)))
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    #[serde(default, borrow)]
    val: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, borrow)]
    error: Option<ApiError<'a>>,
}

#[derive(Deserialize)]
struct ApiError<'a> {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    err_code: u64,
    #[serde(default, borrow)]
    description: std::borrow::Cow<'a, str>,
}

/// What an answer means for the publish.
enum Verdict {
    Done(Result<Ack, PublishError>),
    Repeat,
}

impl Publisher {
    /// Starts the task that reads acknowledgements and the one that repeats; both end with the
    /// client.
    pub(crate) fn start(client: Client, connections: watch::Receiver<u64>) -> Self {
        let shared = Arc::new(Shared {
            inbox: client.new_inbox(),
            client,
            next: AtomicU64::new(0),
            pending: Mutex::default(),
            window: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            armed: AtomicBool::new(false),
            wake: Notify::new(),
        });
        tokio::spawn(read_answers(shared.clone()));
        tokio::spawn(repeat(shared.clone(), connections));
        Self { shared }
    }

    /// Publishes, waiting for a place in the window but not for the acknowledgement.
    ///
    /// Without a deadline the publish is repeated until the server takes or refuses it.
    pub async fn send(&self, publish: Publish, deadline: Option<Duration>) -> Receipt {
        let shared = &self.shared;
        let permit = shared.window.clone().acquire_owned().await.expect("the window is never closed");
        let token = shared.next.fetch_add(1, Ordering::Relaxed);
        let (done, receipt) = oneshot::channel();
        let now = Instant::now();
        let message = Outgoing::of(&publish);
        {
            let mut pending = shared.pending.lock().expect("no holder of the lock panics");
            pending.insert(
                token,
                Pending {
                    publish,
                    done,
                    due: now + ACK_TIMEOUT,
                    repeat_wait: REPEAT_FIRST,
                    deadline: deadline.map(|wait| now + wait),
                    _permit: permit,
                },
            );
        }
        let early = deadline.is_some_and(|wait| wait < ACK_TIMEOUT);
        if !shared.armed.swap(true, Ordering::AcqRel) || early {
            shared.wake.notify_one();
        }
        shared.send(token, message).await;
        Receipt(receipt)
    }

    /// Publishes and waits for the acknowledgement, for as long as it takes.
    pub async fn publish(&self, publish: Publish) -> Result<Ack, PublishError> {
        self.send(publish, None).await.await
    }

    /// Publishes and waits for the acknowledgement until the deadline.
    pub async fn publish_within(&self, publish: Publish, deadline: Duration) -> Result<Ack, PublishError> {
        self.send(publish, Some(deadline)).await.await
    }

    /// How many publishes wait for their acknowledgement.
    pub fn in_flight(&self) -> usize {
        IN_FLIGHT_MAX - self.shared.window.available_permits()
    }
}

struct Outgoing {
    subject: Subject,
    headers: Option<HeaderMap>,
    body: Bytes,
}

impl Outgoing {
    fn of(publish: &Publish) -> Self {
        let headers = (publish.id.is_some() || !publish.headers.is_empty()).then(|| {
            let mut headers = HeaderMap::new();
            if let Some(id) = &publish.id {
                headers.insert(async_nats::header::NATS_MESSAGE_ID, id.as_str());
            }
            for (name, value) in &publish.headers {
                headers.insert(*name, value.as_str());
            }
            headers
        });
        Self { subject: publish.subject.clone(), headers, body: publish.body.clone() }
    }
}

impl Shared {
    async fn send(&self, token: u64, message: Outgoing) {
        let reply = format!("{}.{token}", self.inbox);
        let sent = match message.headers {
            Some(headers) => {
                self.client.publish_with_reply_and_headers(message.subject, reply, headers, message.body).await
            }
            None => self.client.publish_with_reply(message.subject, reply, message.body).await,
        };
        if let Err(error) = sent {
            // A client that is closed, or a message over max_payload: repeating cannot help.
            let finished = self.pending.lock().expect("no holder of the lock panics").remove(&token);
            if let Some(pending) = finished {
                let error = PublishError::Refused { code: 0, description: error.to_string() };
                drop(pending.done.send(Err(error)));
            }
        }
    }

    fn settle(&self, token: u64, verdict: Verdict) {
        let mut pending = self.pending.lock().expect("no holder of the lock panics");
        match verdict {
            Verdict::Done(result) => {
                let finished = pending.remove(&token);
                drop(pending);
                if let Some(finished) = finished {
                    // A caller that no longer waits has given up interest.
                    drop(finished.done.send(result));
                }
            }
            Verdict::Repeat => {
                if let Some(entry) = pending.get_mut(&token) {
                    entry.due = Instant::now() + entry.repeat_wait;
                    entry.repeat_wait = (entry.repeat_wait * 2).min(REPEAT_LAST);
                    drop(pending);
                    self.wake.notify_one();
                }
            }
        }
    }

    /// What is to be published again now, and when to look next.
    fn take_due(&self, all: bool) -> (Vec<(u64, Outgoing)>, Option<Instant>) {
        let now = Instant::now();
        let mut pending = self.pending.lock().expect("no holder of the lock panics");
        let late: Vec<u64> = pending
            .iter()
            .filter(|(_, entry)| entry.deadline.is_some_and(|deadline| deadline <= now))
            .map(|(token, _)| *token)
            .collect();
        for token in late {
            if let Some(entry) = pending.remove(&token) {
                drop(entry.done.send(Err(PublishError::TimedOut)));
            }
        }
        let mut due: Vec<(u64, Outgoing)> = Vec::new();
        for (token, entry) in pending.iter_mut() {
            if all || entry.due <= now {
                entry.due = now + ACK_TIMEOUT;
                due.push((*token, Outgoing::of(&entry.publish)));
            }
        }
        due.sort_unstable_by_key(|(token, _)| *token);
        let next = pending
            .values()
            .map(|entry| entry.deadline.map_or(entry.due, |deadline| deadline.min(entry.due)))
            .min();
        self.armed.store(next.is_some(), Ordering::Release);
        (due, next)
    }
}

async fn read_answers(shared: Arc<Shared>) {
    loop {
        let mut answers = match shared.client.subscribe(format!("{}.*", shared.inbox)).await {
            Ok(answers) => answers,
            Err(error) => {
                tracing::error!(%error, "cannot subscribe to acknowledgements");
                return;
            }
        };
        while let Some(answer) = answers.next().await {
            let token = answer.subject.rsplit_once('.').and_then(|(_, token)| token.parse().ok());
            let Some(token) = token else { continue };
            shared.settle(token, read_answer(&answer));
        }
        if matches!(shared.client.connection_state(), async_nats::connection::State::Disconnected) {
            return;
        }
    }
}

fn read_answer(answer: &async_nats::Message) -> Verdict {
    if answer.status.is_some() {
        // 503: no stream listens on the subject just now; a leader is being chosen or it is not made yet.
        return Verdict::Repeat;
    }
    match serde_json::from_slice::<Answer<'_>>(&answer.payload) {
        Ok(Answer { error: Some(error), .. }) => classify(&error),
        Ok(answer) => Verdict::Done(Ok(Ack {
            seq: answer.seq,
            duplicate: answer.duplicate,
            value: answer.val.map(std::borrow::Cow::into_owned),
        })),
        Err(error) => Verdict::Done(Err(PublishError::Refused {
            code: 0,
            description: format!("cannot read the server's answer: {error}"),
        })),
    }
}

/// Codes of nats-server `errors.json`.
fn classify(error: &ApiError<'_>) -> Verdict {
    let description = error.description.clone().into_owned();
    match error.err_code {
        // Another publish checked against the same subject is under way: not staleness.
        10_164 => Verdict::Repeat,
        10_070 | 10_071 => Verdict::Done(Err(PublishError::Stale { description })),
        // Storage or memory of the server, bytes or messages of the stream.
        10_023 | 10_028 | 10_047 | 10_077 | 10_176 => {
            Verdict::Done(Err(PublishError::Full { code: error.err_code, description }))
        }
        code if error.code == 503 && code != 0 && !description.contains("maximum") => Verdict::Repeat,
        code if description.contains("maximum bytes") || description.contains("maximum messages") => {
            Verdict::Done(Err(PublishError::Full { code, description }))
        }
        code => Verdict::Done(Err(PublishError::Refused { code, description })),
    }
}

async fn repeat(shared: Arc<Shared>, mut connections: watch::Receiver<u64>) {
    connections.mark_unchanged();
    let mut all = false;
    loop {
        let (due, next) = shared.take_due(std::mem::take(&mut all));
        let count = due.len();
        for (token, message) in due {
            shared.send(token, message).await;
        }
        if count > 0 {
            tracing::debug!(count, "publishing again what was not acknowledged");
        }
        let idle = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = idle => {}
            () = shared.wake.notified() => {}
            changed = connections.changed() => {
                if changed.is_err() {
                    return;
                }
                all = true;
            }
        }
    }
}
