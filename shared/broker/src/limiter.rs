//! Rate limits that all processes share.
//!
//! Each request needs a token of every window that is limited: the minute, the hour, the day, aligned
//! to the clock in UTC. Tokens are taken from counters ([`crate::counter`]): one addition takes a few,
//! and the sum says which. [`Spread`] says when each of them is due, so that whoever takes tokens is
//! told when to send, and nobody has to agree with anybody.
//!
//! What was taken and not used counts as used, unless it is given back: errors are on the safe side.
//! No more than what a holder that dies had taken is lost. A counter that cannot be had is an error:
//! then nobody may send, and whoever waits tries again. What one question has found out about counters
//! that do not answer counts for all of the process for a few seconds (`watch`).

mod seen;
mod spread;
mod watch;

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use signalbox_proto::{Timestamp, integration::RateLimit};
use tokio::time::Instant;

use crate::{
    Broker, Error,
    counter::{Counted, Window},
};
use seen::Seen;
pub use spread::Spread;
use watch::Watch;

/// How long a look at the stream of counters may take, and making it anew where it is missing.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// Takes tokens, and remembers what it was told. Clones share the memory.
#[derive(Clone, Debug)]
pub struct Limiter {
    broker: Broker,
    seen: Arc<Mutex<Seen>>,
    minute: Arc<Stream>,
    hour: Arc<Stream>,
    day: Arc<Stream>,
}

/// The stream of a window's counters, as this process knows it.
#[derive(Debug, Default)]
struct Stream {
    watch: Mutex<Watch>,
    /// Held by the one who looks at it: the others wait for what that one finds.
    looking: tokio::sync::Mutex<()>,
}

impl Stream {
    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().expect("no holder of the lock panics")
    }
}

/// Tokens that were taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leased {
    /// When each may be used, in order; what is past may be used at once.
    pub slots: Vec<Timestamp>,
    /// They are worth nothing from then on. `None` without a limit.
    pub until: Option<Timestamp>,
    /// Where there were fewer than wanted: when it makes sense to ask again.
    pub again: Option<Timestamp>,
    spans: Vec<Spread>,
}

impl Limiter {
    /// One for a process.
    pub fn new(broker: Broker) -> Self {
        Self {
            broker,
            seen: Arc::default(),
            minute: Arc::default(),
            hour: Arc::default(),
            day: Arc::default(),
        }
    }

    /// Takes up to `want` tokens that are due within `horizon`. Others are not taken: `again` says when
    /// the next one is due, later than the horizon, or when a new span begins.
    ///
    /// The key is a token of a subject: an integration's id, or a name with a prefix of its own.
    pub async fn take(
        &self,
        key: &str,
        limit: &RateLimit,
        want: u32,
        horizon: Duration,
        now: Timestamp,
    ) -> Result<Leased, Error> {
        let spans = Spread::of(limit, now);
        // A token counts in the spans of now: it has to be used before the shortest of them ends.
        let Some(until) = spans.iter().map(Spread::end).min() else {
            return Ok(Leased {
                slots: vec![now; want as usize],
                ..Leased::default()
            });
        };
        let latest = (now + horizon).min(until - Duration::from_nanos(1));
        if let Some(again) = self.seen().again(key, limit, latest) {
            return Ok(Leased {
                until: Some(until),
                again: Some(again),
                spans,
                ..Leased::default()
            });
        }
        self.seen().tidy(now);
        let (mut slots, mut again) = self.take_of(key, &spans, want, latest, now).await?;
        if slots.is_empty() && want > 0 {
            // Others may have had in hand, for a moment, what they have given back by now. What is found this time
            // is believed.
            (slots, again) = self.take_of(key, &spans, want, latest, now).await?;
        }
        match again {
            Some(at) => self.seen().nothing_until(key, *limit, at),
            None => self.seen().may_have(key),
        }
        Ok(Leased {
            spans: if slots.is_empty() { Vec::new() } else { spans },
            slots,
            until: Some(until),
            again,
        })
    }

    /// Takes up to `want` tokens of all these spans: when each is due, and when the next one is where there were
    /// fewer.
    async fn take_of(
        &self,
        key: &str,
        spans: &[Spread],
        want: u32,
        latest: Timestamp,
        now: Timestamp,
    ) -> Result<(Vec<Timestamp>, Option<Timestamp>), Error> {
        let mut slots = vec![now; want as usize];
        let mut again = None;
        for taken in 0..spans.len() {
            let count = slots.len();
            let asked = self.draw(key, &spans[taken], count as i64, now).await;
            let (dues, later) = match asked {
                Ok(value) => spans[taken].slots(value, count as u32, latest),
                Err(error) => {
                    // Whether this addition counted is not known; the others are not used.
                    self.hand_back(key, &spans[..taken], count).await;
                    return Err(error);
                }
            };
            slots.truncate(dues.len());
            for (slot, due) in slots.iter_mut().zip(&dues) {
                *slot = (*due).max(*slot);
            }
            self.hand_back(key, &spans[..=taken], count - dues.len()).await;
            // What a longer span has left beyond that is there still: the last to refuse says when.
            again = later.or(again);
            if slots.is_empty() {
                break;
            }
        }
        Ok((slots, again))
    }

    /// Gives so many of the tokens back that were taken and not used. Where that fails they count as
    /// used.
    pub async fn give_back(&self, key: &str, leased: &Leased, count: usize) {
        self.hand_back(key, &leased.spans, count).await;
        self.seen().may_have(key);
    }

    /// Gives a token back that was taken for this time, by whomever, and was not used: to its spans as far as they are
    /// not over. To be called once for a token, when nobody can use it any more.
    pub async fn refund(&self, key: &str, limit: &RateLimit, paid: Timestamp, now: Timestamp) {
        let mut spans = Spread::of(limit, paid);
        spans.retain(|span| span.end() > now);
        self.hand_back(key, &spans, 1).await;
        self.seen().may_have(key);
    }

    async fn hand_back(&self, key: &str, spans: &[Spread], count: usize) {
        if count == 0 {
            return;
        }
        for span in spans {
            let given = match self.add(key, span, -(count as i64)).await {
                // Given back to a counter that was lost meanwhile: it must not allow more than the limit.
                Ok(value) if value < 0 => self.add(key, span, -value).await,
                other => other,
            };
            if let Err(error) = given {
                tracing::debug!(%error, key, "tokens of a rate limit are not given back; they count as used");
            }
        }
    }

    /// Takes so many tokens, and passes over those that are too old: returns the number of the last. What several
    /// pass over at once is given back: none of it was used.
    async fn draw(&self, key: &str, span: &Spread, count: i64, now: Timestamp) -> Result<i64, Error> {
        let value = self.add(key, span, count).await?;
        let stale = span.stale(now) - (value - count);
        if stale <= 0 {
            return Ok(value);
        }
        let passed = self.add(key, span, stale).await?;
        let beyond = (passed - (span.stale(now) + count)).clamp(0, stale);
        if beyond > 0 {
            return self.add(key, span, -beyond).await;
        }
        Ok(passed)
    }

    /// Adds to a counter, and what the counter has lost if it was begun anew.
    async fn add(&self, key: &str, span: &Spread, add: i64) -> Result<i64, Error> {
        let window = span.window();
        let stream = self.stream(window);
        if !stream.watch().may_ask(Instant::now()) {
            return Err(Error::Request {
                what: window.stream(),
                reason: "its counters did not answer a moment ago".into(),
            });
        }
        let connection = *self.broker.connections().borrow();
        if stream.watch().must_look(connection, Instant::now()) {
            // Without an answer the sequences of its counters tell nearly as much.
            self.look(window, |watch| !watch.must_look(connection, Instant::now()))
                .await;
        }
        let sent = self.seen().sent(window);
        let (sent, counted) = match self.broker.add(window, key, span.epoch(), add).await {
            Ok(counted) => (sent, counted),
            Err(error) => self.add_again(key, span, add, error).await?,
        };
        if stream.watch().answered() {
            tracing::info!(stream = window.stream(), "the counters of rate limits answer again");
        }
        let lost = self.seen().answered(sent, window, key, span.epoch(), add, counted);
        if lost > 0 {
            tracing::info!(key, lost, "a counter was begun anew; what it had counted is added");
            self.broker.add(window, key, span.epoch(), lost).await?;
        }
        Ok(counted.value + lost)
    }

    /// Tries an addition a second time where the stream is there, or could be made anew: a server that keeps its own
    /// streams has forgotten those in memory when it was restarted. All others are told at once meanwhile that the
    /// counters do not answer.
    async fn add_again(
        &self,
        key: &str,
        span: &Spread,
        add: i64,
        error: Error,
    ) -> Result<(seen::Sent, Counted), Error> {
        if !error.is_transient() {
            return Err(error);
        }
        let window = span.window();
        if self.stream(window).watch().silent(Instant::now()) {
            let stream = window.stream();
            tracing::warn!(%error, stream, "the counters of rate limits do not answer; what is limited waits");
        }
        let found = self
            .look(window, |watch| watch.just_found(Instant::now()).is_some())
            .await;
        let counted = if found {
            let sent = self.seen().sent(window);
            let counted = self.broker.add(window, key, span.epoch(), add).await;
            counted.map(|counted| (sent, counted))
        } else {
            Err(error)
        };
        if counted.is_err() {
            self.stream(window).watch().silent(Instant::now());
        }
        counted
    }

    /// Looks at the stream of a window's counters, and makes it where it is missing; one at a time, and nobody where
    /// what was found meanwhile is `enough`. Returns whether it is there.
    async fn look(&self, window: Window, enough: impl Fn(&Watch) -> bool) -> bool {
        let stream = self.stream(window);
        let _one = stream.looking.lock().await;
        {
            let watch = stream.watch();
            if enough(&watch) {
                return watch.just_found(Instant::now()).unwrap_or(true);
            }
        }
        let connection = *self.broker.connections().borrow();
        let made = tokio::time::timeout(LOOK_MAX, self.broker.ensure_counters(window)).await;
        let found = match made {
            Ok(Ok(made)) => {
                if self.seen().made(window, made) {
                    tracing::info!(stream = window.stream(), "the counters of rate limits were begun anew");
                }
                true
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "the stream of a limit's counters could not be looked at");
                false
            }
            Err(_) => false,
        };
        stream.watch().looked(connection, found, Instant::now());
        found
    }

    fn stream(&self, window: Window) -> &Stream {
        match window {
            Window::Minute => &self.minute,
            Window::Hour => &self.hour,
            Window::Day => &self.day,
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder of the lock panics")
    }
}

#[cfg(test)]
mod tests;
