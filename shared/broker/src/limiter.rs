//! Rate limits that all processes share.
//!
//! Each request needs a token of every window that is limited: the minute, the hour, the day, aligned
//! to the clock in UTC. Tokens are taken from counters ([`crate::counter`]): one addition takes a few,
//! and the sum says which. [`Spread`] says when each of them is due, so that whoever takes tokens is
//! told when to send, and nobody has to agree with anybody.
//!
//! What was taken and not used counts as used, unless it is given back: errors are on the safe side.
//! No more than what a holder that dies had taken is lost. A counter that cannot be had is an error:
//! then nobody may send, and whoever waits tries again.

mod seen;
mod spread;

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use signalbox_proto::{Timestamp, integration::RateLimit};

use crate::{Broker, Error};
use seen::Seen;
pub use spread::Spread;

/// How long the streams of counters may take to be made anew.
const MAKE_MAX: Duration = Duration::from_secs(2);

/// Takes tokens, and remembers what it was told. Clones share the memory.
#[derive(Clone, Debug)]
pub struct Limiter {
    broker: Broker,
    seen: Arc<Mutex<Seen>>,
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
        let mut spans = Spread::of(limit, now);
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
        match again {
            Some(at) => self.seen().nothing_until(key, *limit, at),
            None => self.seen().may_have(key),
        }
        spans.truncate(if slots.is_empty() { 0 } else { spans.len() });
        Ok(Leased {
            slots,
            until: Some(until),
            again,
            spans,
        })
    }

    /// Gives so many of the tokens back that were taken and not used. Where that fails they count as
    /// used.
    pub async fn give_back(&self, key: &str, leased: &Leased, count: usize) {
        self.hand_back(key, &leased.spans, count).await;
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
        let sent = self.seen().sent(span.window());
        let counted = match self.broker.add(span.window(), key, span.epoch(), add).await {
            // A server that keeps its own streams has forgotten those in memory when it was restarted.
            Err(error) if error.is_transient() => {
                let made = tokio::time::timeout(MAKE_MAX, self.broker.make_missing()).await;
                if !matches!(made, Ok(Ok(()))) {
                    return Err(error);
                }
                self.broker.add(span.window(), key, span.epoch(), add).await?
            }
            counted => counted?,
        };
        let lost = self
            .seen()
            .answered(sent, span.window(), key, span.epoch(), add, counted);
        if lost > 0 {
            tracing::info!(key, lost, "a counter was begun anew; what it had counted is added");
            self.broker.add(span.window(), key, span.epoch(), lost).await?;
        }
        Ok(counted.value + lost)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder of the lock panics")
    }
}

#[cfg(test)]
mod tests;
