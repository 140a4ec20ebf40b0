//! `Prefer: wait=N` (RFC 7240): the answer to a publish tells what became of the deliveries.
//!
//! One task a process follows OUTCOMES and DEAD while anybody waits. It begins before the first of the events is
//! published, so that no outcome is missed, and ends with the last who waits. How many integrations an event matched
//! is in every record of it, so it is known when all have ended.
//!
//! What has not ended when the time is over is reported as it stands then. Waiting never fails a publish: where it
//! cannot be had, the answer comes at once and does not say `Preference-Applied`.

mod watch;

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use futures::future::join_all;
use serde_json::Value;
use signalbox_broker::{
    Ack, Broker, Message,
    browse::Stored,
    follow::{Follower, Start},
    topology::From,
};
use signalbox_proto::{DeadLetter, Event, Name, Timestamp, subjects, wire};
use signalbox_runtime::Shutdown;
use tokio::{sync::Notify, time::Instant};

use watch::{Watch, Watched};

/// The longest wait; who asks for more gets this.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Requests that wait at the same time; those beyond are answered at once.
const WAITERS_MAX: usize = 256;
/// How long a publish is held up until outcomes are followed.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the look at what still waits may take when the time is over.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// Clocks of servers differ: what an event caused may seem to be stored this much before it.
const CLOCKS_APART: Duration = Duration::from_secs(10);
/// How far back the outcomes of a repeated event are looked for: the window of repeats, and a little more.
const REPEATS: Duration = Duration::from_secs(6 * 60);

/// The header of an answer that waited.
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How long a request would like its answer to wait: the first `wait` of its `Prefer` headers. What cannot be read is
/// passed by, as preferences are.
pub(super) fn preference(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(','));
    let wait = preferences.find_map(|preference| {
        // Parameters of the preference come behind a semicolon.
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("wait")
            .then(|| value.trim().trim_matches('"').trim())
    })?;
    let all_digits = !wait.is_empty() && wait.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than a number can hold are more than the most, too.
    let secs = all_digits.then(|| wait.parse().unwrap_or(u64::MAX))?;
    (secs > 0).then(|| Duration::from_secs(secs).min(WAIT_MAX))
}

/// Says that the answer waited.
pub(super) fn applied(wait: Duration) -> (HeaderName, HeaderValue) {
    let value = HeaderValue::from_str(&format!("wait={}", wait.as_secs()));
    (APPLIED, value.expect("a word and a number are a header's value"))
}

/// All requests of a process that wait.
#[derive(Clone)]
pub(super) struct Waits {
    broker: Broker,
    watched: Arc<Mutex<Watched>>,
}

impl Waits {
    pub(super) fn new(broker: Broker) -> Self {
        Self {
            broker,
            watched: Arc::default(),
        }
    }

    /// Begins to watch events that are about to be published. `None` where waiting cannot be had just now: the publish
    /// goes on without it.
    pub(super) async fn begin<'e>(&self, events: impl Iterator<Item = &'e Event>, wait: Duration) -> Option<Waiter> {
        let events: Vec<&Event> = events.collect();
        let org = events.first()?.org.clone();
        let events: Vec<_> = events.iter().map(|event| (event.key(), event.id.clone())).collect();
        let told = Arc::new(Notify::new());
        let waiter = {
            let mut watched = self.lock();
            if watched.waiters >= WAITERS_MAX {
                tracing::warn!(
                    waiters = WAITERS_MAX,
                    "a publish is answered without waiting: too many wait"
                );
                return None;
            }
            watched.waiters += 1;
            for (key, _) in &events {
                watched
                    .events
                    .entry(key.clone())
                    .or_default()
                    .waiters
                    .push(told.clone());
            }
            Waiter {
                waits: self.clone(),
                since: Timestamp::now(),
                until: Instant::now() + wait,
                org,
                events,
                told,
            }
        };
        // From here on the waiter counts, and dropped it counts no more.
        match tokio::time::timeout(OPEN_TIMEOUT, self.follow()).await {
            Ok(Ok(())) => Some(waiter),
            Ok(Err(error)) => {
                tracing::warn!(%error, "a publish is answered without waiting: outcomes cannot be followed");
                None
            }
            Err(_) => {
                tracing::warn!("a publish is answered without waiting: outcomes cannot be followed in time");
                None
            }
        }
    }

    /// Sees to it that outcomes are followed.
    async fn follow(&self) -> Result<(), signalbox_broker::Error> {
        if self.is_followed() {
            return Ok(());
        }
        let (outcomes, dead) = tokio::try_join!(
            self.broker
                .follow(subjects::OUTCOMES, vec![subjects::OUTCOME_ALL.to_owned()], Start::End),
            self.broker
                .follow(subjects::DEAD, vec![subjects::DEAD_ALL.to_owned()], Start::End),
        )?;
        let mut watched = self.lock();
        // Another request may have been quicker; what it follows began before now as well.
        if watched.follower.is_none() {
            let task = tokio::spawn(read(self.watched.clone(), outcomes, dead));
            watched.follower = Some(task.abort_handle());
        }
        Ok(())
    }

    fn is_followed(&self) -> bool {
        self.lock().follower.is_some()
    }

    // A panic while the lock is held can only be a bug of the collections; what they hold is still whole.
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads outcomes and dead letters until it is aborted.
async fn read(watched: Arc<Mutex<Watched>>, mut outcomes: Follower, mut dead: Follower) {
    loop {
        let (message, is_dead) = tokio::select! {
            message = outcomes.next() => (message, false),
            message = dead.next() => (message, true),
        };
        let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
        if is_dead {
            read_dead(&mut watched, &message)
        } else {
            read_outcomes(&mut watched, &message)
        }
    }
}

fn read_outcomes(watched: &mut Watched, message: &Message) {
    match wire::decode_records(&message.body) {
        Ok((records, _)) => records.into_iter().for_each(|record| watched.record(record)),
        Err(error) => tracing::error!(%error, seq = message.place.seq, "cannot read outcomes"),
    }
}

fn read_dead(watched: &mut Watched, message: &Message) {
    match wire::decode::<DeadLetter>(&message.body) {
        Ok(letter) => watched.letter(&letter),
        Err(error) => tracing::error!(%error, seq = message.place.seq, "cannot read a dead letter"),
    }
}

/// A request that waits. Dropped, as when its caller goes away, it is waited for no more.
pub(super) struct Waiter {
    waits: Waits,
    since: Timestamp,
    until: Instant,
    /// That of all its events.
    org: Name,
    /// The identity of each, hashed, and its id.
    events: Vec<(String, String)>,
    told: Arc<Notify>,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut watched = self.waits.lock();
        watched.waiters -= 1;
        for (key, _) in &self.events {
            let gone = watched.events.get_mut(key).is_some_and(|watch| {
                watch.waiters.retain(|waiter| !Arc::ptr_eq(waiter, &self.told));
                watch.waiters.is_empty()
            });
            if gone {
                watched.events.remove(key);
            }
        }
        if watched.waiters == 0 {
            if let Some(follower) = watched.follower.take() {
                follower.abort();
            }
            watched.no_route.clear();
        }
    }
}

impl Waiter {
    /// Waits until the events are settled, the time is over or the process is to stop; answers what is known then of
    /// each, in the order of the request. `acks` are what EVENTS said of them.
    pub(super) async fn settled(self, acks: &[Ack], shutdown: &Shutdown) -> Vec<Value> {
        self.stored(acks);
        let repeated = acks.iter().any(|ack| ack.duplicate);
        let since = self.since - if repeated { REPEATS } else { CLOCKS_APART };
        let settle = async {
            if repeated {
                self.look_back(since).await;
            }
            while !self.is_settled() {
                self.told.notified().await;
            }
        };
        tokio::select! {
            ended = tokio::time::timeout_at(self.until, settle) => {
                if ended.is_err() && tokio::time::timeout(LOOK_TIMEOUT, self.look_at_waiting(since)).await.is_err() {
                    tracing::debug!("what waits could not be looked at in time");
                }
            }
            () = shutdown.requested() => {}
        }
        let watched = self.waits.lock();
        let events = self.events.iter();
        events
            .filter_map(|(key, id)| Some(watched.events.get(key)?.view(id)))
            .collect()
    }

    /// The events have their places.
    fn stored(&self, acks: &[Ack]) {
        let mut watched = self.waits.lock();
        let ranges: Vec<(u64, u64)> = watched.no_route.iter().copied().collect();
        for ((key, _), ack) in self.events.iter().zip(acks) {
            if let Some(watch) = watched.events.get_mut(key) {
                watch.seq = Some(ack.seq);
                ranges.iter().for_each(|range| watch.without_route(*range));
            }
        }
    }

    fn is_settled(&self) -> bool {
        let watched = self.waits.lock();
        let mut events = self.events.iter().filter_map(|(key, _)| watched.events.get(key));
        events.all(Watch::is_settled)
    }

    /// What became of events that were known before, when nobody followed.
    async fn look_back(&self, since: Timestamp) {
        let broker = &self.waits.broker;
        let since = From::Time(since);
        let outcomes = broker.scan(
            subjects::OUTCOMES,
            vec![subjects::OUTCOME_ALL.to_owned()],
            since,
            |message| {
                read_outcomes(&mut self.waits.lock(), &message);
                ControlFlow::Continue(())
            },
        );
        let dead = broker.scan(subjects::DEAD, vec![subjects::DEAD_ALL.to_owned()], since, |message| {
            read_dead(&mut self.waits.lock(), &message);
            ControlFlow::Continue(())
        });
        if let (Err(error), _) | (_, Err(error)) = tokio::join!(outcomes, dead) {
            tracing::warn!(%error, "the outcomes of a repeated event cannot be read");
        }
    }

    /// Where the deliveries are that have not ended: those that a router parked have no record yet.
    async fn look_at_waiting(&self, since: Timestamp) {
        let (broker, org) = (&self.waits.broker, &self.org);
        let look = async |stream: String, filter: String, status: &'static str| {
            let each = |stored: Stored| match wire::decode_delivery(&stored.body) {
                Ok(delivery) => self.waits.lock().waits(&delivery, status),
                Err(error) => {
                    tracing::error!(%error, subject = stored.subject, seq = stored.seq, "cannot read a delivery")
                }
            };
            if let Err(error) = broker.scan_queue_since(&stream, &filter, since, each).await {
                tracing::debug!(%error, stream, "cannot look at what waits");
            }
        };
        let parked = look(subjects::PARKED.to_owned(), subjects::parked(org, "*"), "parked");
        let gathered = look(subjects::BATCH.to_owned(), subjects::batch(org, "*"), "parked");
        let lanes = async {
            match broker.providers().await {
                Ok(providers) => {
                    let filters = providers.iter().flat_map(|provider| {
                        let stream = subjects::deliver_stream(provider);
                        let filters = subjects::waiting_of(provider, org, None);
                        let lanes = filters
                            .into_iter()
                            .map(move |filter| (stream.clone(), filter, "pending"));
                        // The state of the first of a key is read after it, as it says more.
                        let ordered = subjects::ordered_waiting(provider, org, None);
                        lanes.chain(ordered.map(|filter| (subjects::ORDERED.to_owned(), filter, "parked")))
                    });
                    join_all(filters.map(|(stream, filter, status)| look(stream, filter, status))).await;
                }
                Err(error) => tracing::debug!(%error, "cannot list the providers' streams"),
            }
        };
        tokio::join!(parked, gathered, lanes);
    }
}

#[cfg(test)]
mod tests;
