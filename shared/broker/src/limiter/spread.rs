//! Where in a span each token lies: pure, with the time given.

use std::time::Duration;

use signalbox_proto::{Timestamp, integration::RateLimit};

use crate::counter::Window;

/// Of a minute's tokens, this part may be saved up in a quiet while: 6 s of them.
const KEPT_PARTS: u32 = 10;

/// The tokens of one span: so many, spread over it.
///
/// The value of a counter is a place in time. The first tokens, a burst, are due when the span begins;
/// each later one a step after the one before it. The steps are those of the bare rate, so the last
/// token is due a burst before the span ends, and what is late by less than that is still in its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    window: Window,
    epoch: i64,
    limit: u32,
}

impl Spread {
    /// The tokens of the span that a time lies in.
    pub fn at(window: Window, limit: u32, now: Timestamp) -> Self {
        Self {
            window,
            epoch: window.epoch(now),
            limit,
        }
    }

    /// The spans that a limit counts in, the longest first: it is the one that may be used up for long.
    pub fn of(limit: &RateLimit, now: Timestamp) -> Vec<Self> {
        let limits = [
            (Window::Day, limit.per_day),
            (Window::Hour, limit.per_hour),
            (Window::Minute, limit.per_minute),
        ];
        let limited = limits.into_iter().filter_map(|(window, limit)| Some((window, limit?)));
        limited.map(|(window, limit)| Self::at(window, limit, now)).collect()
    }

    /// What it counts in.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Which of the window's spans since 1970 it is.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// When the span begins.
    pub fn start(&self) -> Timestamp {
        Timestamp::from_secs(self.epoch.saturating_mul(self.window.secs()))
    }

    /// When the next one begins, with tokens of its own.
    pub fn end(&self) -> Timestamp {
        Timestamp::from_secs(self.epoch.saturating_add(1).saturating_mul(self.window.secs()))
    }

    /// The tokens that are due when the span begins: a second's worth of a minute, a tenth of an hour
    /// or a day.
    pub fn burst(&self) -> u32 {
        let parts = match self.window {
            Window::Minute => 60,
            Window::Hour | Window::Day => 10,
        };
        self.limit.div_ceil(parts)
    }

    /// When the token of this number is due, the first being 1; `None` where there is none.
    pub fn due(&self, number: i64) -> Option<Timestamp> {
        if number > i64::from(self.limit) {
            return None;
        }
        let steps = u64::try_from(number - i64::from(self.burst())).unwrap_or(0);
        let span = self.window.secs().unsigned_abs() * 1_000_000_000;
        // Below 10^6 · 86,400 · 10^9, which is past 64 bits.
        let nanos = u128::from(steps) * u128::from(span) / u128::from(self.limit.max(1));
        Some(self.start() + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// Tokens that are too old to be used: after a quiet while a minute's limit would else be spent at once. Of an
    /// hour or a day none is, since there the limit is a budget, and what is urgent must not wait for its place in it.
    pub fn stale(&self, now: Timestamp) -> i64 {
        if self.window != Window::Minute {
            return 0;
        }
        let kept = u64::from(self.burst().max(self.limit.div_ceil(KEPT_PARTS)));
        let passed = now.since(self.start()).as_nanos().min(60_000_000_000);
        let due = u128::from(self.limit) * passed / 60_000_000_000;
        i64::try_from(due)
            .unwrap_or(i64::MAX)
            .saturating_sub(kept as i64)
            .max(0)
    }

    /// When the tokens up to this value of the counter, so many, are due, as far as that is not after
    /// `latest`; and when the first of the others is, or else the next span begins.
    pub fn slots(&self, value: i64, count: u32, latest: Timestamp) -> (Vec<Timestamp>, Option<Timestamp>) {
        let mut slots = Vec::new();
        for number in (0..i64::from(count)).map(|back| value - i64::from(count) + 1 + back) {
            match self.due(number) {
                Some(due) if due <= latest => slots.push(due),
                Some(due) => return (slots, Some(due)),
                None => return (slots, Some(self.end())),
            }
        }
        (slots, None)
    }
}
