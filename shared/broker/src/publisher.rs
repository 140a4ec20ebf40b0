//! Publishing with acknowledgements, many at a time, each under an id that may be repeated.
//!
//! One inbox takes the acknowledgements of all publishes; a future and a timer for each would cost
//! more than the publish. What is not acknowledged in time, or meets a server without a leader, is
//! published again under the same id, after a reconnection at once and before anything newer. The
//! order of publishes is kept as long as the server asks for none of them again.
//!
//! What waits for its acknowledgement holds a place in one window. No stream has more than its share
//! of the places, so that one without a leader does not stop the publishes to the others.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use async_nats::{Client, HeaderMap, Subject, client::PublishErrorKind};
use bytes::Bytes;
use futures::StreamExt;
use serde::Deserialize;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, RwLock, Semaphore, oneshot, watch},
    time::Instant,
};

/// Publishes without an acknowledgement at one time; more wait. Bounds memory and the burst after a
/// reconnection.
pub const IN_FLIGHT_MAX: usize = 2_048;
/// Those of them that are to one stream.
pub const SHARE_MAX: usize = IN_FLIGHT_MAX / 4;
/// Streams that have a share of their own; further ones have one together.
const SHARES_MAX: usize = 64;
/// A publish not acknowledged for this long is repeated.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// The wait before a repeat that the server's answer asked for; doubles up to [`REPEAT_LAST`].
const REPEAT_FIRST: Duration = Duration::from_millis(100);
const REPEAT_LAST: Duration = Duration::from_secs(2);
/// The wait before a repeat where only another publish that is under way stood against it; some of
/// these, so that publishes which met do not meet again.
const CROSSED_WAIT: Duration = Duration::from_millis(5);
const CROSSED_WAITS: u64 = 8;

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
    pending: Mutex<Unanswered>,
    window: Arc<Semaphore>,
    shares: Shares,
    wake: Notify,
    connections: watch::Receiver<u64>,
    /// The connection over which all that was pending has been published. Held for reading while a
    /// publish is written, for writing while a new connection's repeats are, so that they go first.
    connection: RwLock<u64>,
}

#[derive(Default)]
struct Unanswered {
    publishes: HashMap<u64, Pending>,
    /// What the timer of the task that repeats is set to. A wake-up for each publish would cost more
    /// than the publish.
    armed: Option<Instant>,
}

impl Unanswered {
    /// Whether the task that repeats has to be woken for what is due then.
    fn is_early(&mut self, due: Instant) -> bool {
        let early = self.armed.is_none_or(|armed| due < armed);
        if early {
            self.armed = Some(due);
        }
        early
    }
}

struct Pending {
    publish: Publish,
    done: oneshot::Sender<Result<Ack, PublishError>>,
    /// When it is published again if nothing happens.
    due: Instant,
    repeat_wait: Duration,
    deadline: Option<Instant>,
    share: Arc<Share>,
    _places: [OwnedSemaphorePermit; 2],
}

impl Pending {
    /// When the task that repeats has to look at it.
    fn next(&self) -> Instant {
        self.deadline.map_or(self.due, |deadline| deadline.min(self.due))
    }
}

/// The streams' shares of the window, each made at the first publish and kept. Finding one takes no
/// lock: streams are few, and a process publishes to fewer.
struct Shares([OnceLock<Arc<Share>>; SHARES_MAX]);

struct Share {
    stream: (Box<str>, Box<str>),
    places: Arc<Semaphore>,
    made: Instant,
    /// When its stream answered last, in milliseconds since it was made.
    answered_ms: AtomicU64,
}

impl Share {
    /// A place of the share and one of the window; `None` once the stream has answered nothing for the wait. Behind
    /// many others it may take longer than that: a long queue is no silent stream.
    async fn places(&self, window: &Arc<Semaphore>, wait: Option<Duration>) -> Option<[OwnedSemaphorePermit; 2]> {
        // The share first: who waits for it takes no place from others.
        let places = async { [place(&self.places).await, place(window).await] };
        let Some(wait) = wait else { return Some(places.await) };
        tokio::pin!(places);
        let mut until = Instant::now() + wait;
        loop {
            if let Ok(places) = tokio::time::timeout_at(until, &mut places).await {
                return Some(places);
            }
            let answered = self.made + Duration::from_millis(self.answered_ms.load(Ordering::Relaxed));
            if answered + wait <= until {
                return None;
            }
            until = answered + wait;
        }
    }

    fn answered(&self) {
        let since = u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.answered_ms.store(since, Ordering::Relaxed);
    }
}

impl Shares {
    fn of(&self, subject: &str) -> &Arc<Share> {
        let (kind, part) = stream_of(subject);
        let make = || {
            Arc::new(Share {
                stream: (kind.into(), part.into()),
                places: Arc::new(Semaphore::new(SHARE_MAX)),
                made: Instant::now(),
                answered_ms: AtomicU64::new(0),
            })
        };
        let [own @ .., common] = &self.0;
        own.iter()
            .map(|slot| slot.get_or_init(make))
            .find(|share| *share.stream.0 == *kind && *share.stream.1 == *part)
            .unwrap_or_else(|| common.get_or_init(make))
    }
}

impl Default for Shares {
    fn default() -> Self {
        Self(std::array::from_fn(|_| OnceLock::new()))
    }
}

/// What tells the stream of a subject from others: the first token that does, and for the streams
/// that there are several of its kind, the one after it.
fn stream_of(subject: &str) -> (&str, &str) {
    let mut tokens = subject.split('.');
    match (tokens.next().unwrap_or_default(), tokens.next(), tokens.next()) {
        ("signalbox", Some("deliver" | "retry"), Some(provider)) => ("deliver", provider),
        ("signalbox", Some("rate"), Some(window)) => ("rate", window),
        ("signalbox", Some("parked" | "parkgate"), _) => ("parked", ""),
        ("signalbox", Some("ordered" | "orderedhead" | "orderedmark"), _) => ("ordered", ""),
        ("signalbox", Some("dead" | "deadmark"), _) => ("dead", ""),
        ("signalbox", Some(kind), _) => (kind, ""),
        (first, _, _) => (first, ""),
    }
}

/// The acknowledgement to come. Dropping it gives up interest, not the publish.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Result<Ack, PublishError>>);

impl Future for Receipt {
    type Output = Result<Ack, PublishError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|received| received.unwrap_or(Err(PublishError::Closed)))
    }
}

#[derive(Deserialize)]
pub(crate) struct Answer<'a> {
    #[serde(default)]
    pub(crate) seq: u64,
    #[serde(default)]
    duplicate: bool,
    #[serde(default, borrow)]
    val: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, borrow)]
    pub(crate) error: Option<ApiError<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct ApiError<'a> {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    pub(crate) err_code: u64,
    #[serde(default, borrow)]
    pub(crate) description: std::borrow::Cow<'a, str>,
}

/// What an answer means for the publish.
pub(crate) enum Verdict {
    Done(Result<Ack, PublishError>),
    Repeat,
    /// Another publish under way stood against it: the server knows more in a moment.
    Crossed,
}

impl Publisher {
    /// Starts the task that reads acknowledgements and the one that repeats; both end with the
    /// client.
    pub(crate) fn start(client: Client, connections: watch::Receiver<u64>) -> Self {
        let connection = *connections.borrow();
        let shared = Arc::new(Shared {
            inbox: client.new_inbox(),
            client,
            next: AtomicU64::new(0),
            pending: Mutex::default(),
            window: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            shares: Shares::default(),
            wake: Notify::new(),
            connection: RwLock::new(connection),
            connections,
        });
        tokio::spawn(read_answers(shared.clone()));
        tokio::spawn(repeat(shared.clone()));
        Self { shared }
    }

    /// Publishes, waiting for a place in the window but not for the acknowledgement.
    ///
    /// Without a deadline the publish is repeated until the server takes or refuses it. The deadline counts from when
    /// it has its place. It waits for one for as long as its stream goes on answering others, and so long after that.
    pub async fn send(&self, publish: Publish, deadline: Option<Duration>) -> Receipt {
        let shared = &self.shared;
        let (done, receipt) = oneshot::channel();
        let share = shared.shares.of(&publish.subject);
        let Some(places) = share.places(&shared.window, deadline).await else {
            drop(done.send(Err(PublishError::TimedOut)));
            return Receipt(receipt);
        };
        let until = deadline.map(|wait| Instant::now() + wait);
        let message = Outgoing::of(&publish);
        let connection = shared.connection.read().await;
        let token = shared.next.fetch_add(1, Ordering::Relaxed);
        let entry = Pending {
            publish,
            done,
            due: Instant::now() + ACK_TIMEOUT,
            repeat_wait: REPEAT_FIRST,
            deadline: until,
            share: share.clone(),
            _places: places,
        };
        let early = {
            let mut pending = shared.pending.lock().expect("no holder of the lock panics");
            let early = pending.is_early(entry.next());
            pending.publishes.insert(token, entry);
            early
        };
        if early {
            shared.wake.notify_one();
        }
        // Without a connection, or before its repeats, the task that repeats publishes this one too.
        if shared.is_connected() && *shared.connections.borrow() == *connection {
            shared.send(token, message).await;
        }
        Receipt(receipt)
    }

    /// Publishes and waits for the acknowledgement, for as long as it takes.
    pub async fn publish(&self, publish: Publish) -> Result<Ack, PublishError> {
        self.send(publish, None).await.await
    }

    /// Publishes and waits for the acknowledgement until the deadline.
    pub async fn publish_within(&self, publish: Publish, deadline: Duration) -> Result<Ack, PublishError> {
        // Writing waits too, where the client's queue is full because there is no connection.
        match tokio::time::timeout(deadline, async { self.send(publish, Some(deadline)).await.await }).await {
            Ok(result) => result,
            Err(_) => Err(PublishError::TimedOut),
        }
    }

    /// Whether [`Publisher::send`] would find a place for a publish to this subject at once.
    pub fn has_room(&self, subject: &str) -> bool {
        self.shared.shares.of(subject).places.available_permits() > 0 && self.shared.window.available_permits() > 0
    }

    /// How many publishes wait for their acknowledgement.
    pub fn in_flight(&self) -> usize {
        IN_FLIGHT_MAX - self.shared.window.available_permits()
    }
}

async fn place(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let place = places.clone().acquire_owned().await;
    place.expect("neither the window nor a share is ever closed")
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
        Self {
            subject: publish.subject.clone(),
            headers,
            body: publish.body.clone(),
        }
    }
}

impl Shared {
    fn is_connected(&self) -> bool {
        matches!(self.client.connection_state(), async_nats::connection::State::Connected)
    }

    async fn send(&self, token: u64, message: Outgoing) {
        let reply = format!("{}.{token}", self.inbox);
        let sent = match message.headers {
            Some(headers) => {
                self.client
                    .publish_with_reply_and_headers(message.subject, reply, headers, message.body)
                    .await
            }
            None => {
                self.client
                    .publish_with_reply(message.subject, reply, message.body)
                    .await
            }
        };
        if let Err(error) = sent {
            // A client that is closed, a message over max_payload: repeating cannot help.
            let result = match error.kind() {
                PublishErrorKind::Send => PublishError::Closed,
                PublishErrorKind::MaxPayloadExceeded | PublishErrorKind::InvalidSubject => PublishError::Refused {
                    code: 0,
                    description: error.to_string(),
                },
            };
            self.settle(token, Verdict::Done(Err(result)));
        }
    }

    fn settle(&self, token: u64, verdict: Verdict) {
        let mut pending = self.pending.lock().expect("no holder of the lock panics");
        if let Verdict::Done(result) = verdict {
            let finished = pending.publishes.remove(&token);
            drop(pending);
            if let Some(finished) = finished {
                finished.share.answered();
                // A caller that no longer waits has given up interest.
                drop(finished.done.send(result));
            }
            return;
        }
        let Some(entry) = pending.publishes.get_mut(&token) else {
            return;
        };
        let wait = if matches!(verdict, Verdict::Crossed) {
            // The tokens of publishes that crossed are near each other.
            CROSSED_WAIT * (1 + u32::try_from(token % CROSSED_WAITS).unwrap_or_default())
        } else {
            let wait = entry.repeat_wait;
            entry.repeat_wait = (wait * 2).min(REPEAT_LAST);
            wait
        };
        entry.due = Instant::now() + wait;
        let next = entry.next();
        let early = pending.is_early(next);
        drop(pending);
        if early {
            self.wake.notify_one();
        }
    }

    async fn send_again(&self, due: Vec<(u64, Outgoing)>) {
        if !due.is_empty() {
            tracing::debug!(count = due.len(), "publishing again what was not acknowledged");
        }
        for (token, message) in due {
            self.send(token, message).await;
        }
    }

    /// What is to be published again now, and when to look next.
    fn take_due(&self, all: bool) -> (Vec<(u64, Outgoing)>, Option<Instant>) {
        let now = Instant::now();
        let mut pending = self.pending.lock().expect("no holder of the lock panics");
        let late = |_: &u64, entry: &mut Pending| entry.deadline.is_some_and(|deadline| deadline <= now);
        for (_, entry) in pending.publishes.extract_if(late) {
            drop(entry.done.send(Err(PublishError::TimedOut)));
        }
        let mut due: Vec<(u64, Outgoing)> = Vec::new();
        let mut next: Option<Instant> = None;
        for (token, entry) in &mut pending.publishes {
            if all || entry.due <= now {
                entry.due = now + ACK_TIMEOUT;
                due.push((*token, Outgoing::of(&entry.publish)));
            }
            let at = entry.next();
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        due.sort_unstable_by_key(|(token, _)| *token);
        pending.armed = next;
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
            let token = answer
                .subject
                .rsplit_once('.')
                .and_then(|(_, token)| token.parse().ok());
            let Some(token) = token else { continue };
            shared.settle(token, read_answer(&answer));
        }
        if matches!(
            shared.client.connection_state(),
            async_nats::connection::State::Disconnected
        ) {
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
pub(crate) fn classify(error: &ApiError<'_>) -> Verdict {
    let description = error.description.clone().into_owned();
    let full = ["maximum", "insufficient", "no space"]
        .iter()
        .any(|word| description.contains(word));
    match error.err_code {
        // Another publish checked against the same subject is under way: not staleness. And the same
        // id is under way: its sequence is not known yet.
        10_164 | 10_158 => Verdict::Crossed,
        10_070 | 10_071 => Verdict::Done(Err(PublishError::Stale { description })),
        // Storage or memory of the account or the server, messages or bytes of the stream.
        10_002 | 10_023 | 10_028 | 10_047 | 10_176 => Verdict::Done(Err(PublishError::Full {
            code: error.err_code,
            description,
        })),
        // "Store failed", whatever the reason. A leader that has just stepped down has closed its store.
        10_077 if description.contains("closed") => Verdict::Repeat,
        code @ 10_077 => Verdict::Done(Err(PublishError::Full { code, description })),
        code if error.code == 503 && full => Verdict::Done(Err(PublishError::Full { code, description })),
        // No leader, or one that is not the leader any more (which comes without a code of its own).
        _ if error.code == 503 => Verdict::Repeat,
        code => Verdict::Done(Err(PublishError::Refused { code, description })),
    }
}

async fn repeat(shared: Arc<Shared>) {
    let mut connections = shared.connections.clone();
    connections.mark_unchanged();
    let written = *shared.connection.read().await;
    let mut renewed = *connections.borrow() != written;
    loop {
        let next = if renewed {
            let mut connection = shared.connection.write().await;
            *connection = *connections.borrow_and_update();
            let (due, next) = shared.take_due(true);
            shared.send_again(due).await;
            next
        } else {
            let (due, next) = shared.take_due(false);
            // Without a connection they would pile up in the client; the next one repeats them all.
            if shared.is_connected() {
                shared.send_again(due).await;
            }
            next
        };
        let idle = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        renewed = tokio::select! {
            () = idle => false,
            () = shared.wake.notified() => false,
            changed = connections.changed() => {
                if changed.is_err() {
                    return;
                }
                true
            }
        };
    }
}

#[cfg(test)]
mod tests;
