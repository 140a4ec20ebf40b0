//! What one process remembers of counters: what they said, so that a lost one is not begun anew, and
//! when asking makes sense again.
//!
//! The minute's counters live in the server's memory, and a restart loses them. The sequences of their
//! stream begin anew then, which nothing else makes them do: giving tokens back lowers a value, never
//! a sequence. A stream that had few additions may have more of them before this process meets it again: then
//! the time at which it was made tells. After a restart, what a counter has lost is added to it by the first who knows more.

use std::collections::HashMap;

use signalbox_proto::{Timestamp, integration::RateLimit};

use crate::counter::{Counted, Window};

/// What a process remembers.
#[derive(Debug, Default)]
pub(super) struct Seen {
    streams: [Stream; 3],
    keys: HashMap<String, Key>,
    /// The minute in which what is over was last forgotten.
    tidied: i64,
}

/// The stream of a window's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stream {
    seq: u64,
    /// When it was made, once that was looked at.
    made: Option<i128>,
    /// How often it began anew.
    restarts: u64,
}

#[derive(Clone, Debug, Default)]
struct Key {
    counters: [Option<Counter>; 3],
    again: Option<Again>,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    epoch: i64,
    /// The last sum, and its sequence.
    value: i64,
    seq: u64,
    /// How often the stream had begun anew when the counter was last compared with it.
    restarts: u64,
}

#[derive(Clone, Copy, Debug)]
struct Again {
    limit: RateLimit,
    at: Timestamp,
}

/// What was known of a stream when an addition was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent(Stream);

const fn place(window: Window) -> usize {
    match window {
        Window::Minute => 0,
        Window::Hour => 1,
        Window::Day => 2,
    }
}

impl Seen {
    /// Takes when the stream of a window was made. Returns whether it is another one than before.
    pub(super) fn made(&mut self, window: Window, made: i128) -> bool {
        let stream = &mut self.streams[place(window)];
        let is_other = stream.made.is_some_and(|known| known != made);
        if is_other {
            stream.restarts += 1;
            stream.seq = 0;
        }
        stream.made = Some(made);
        is_other
    }

    /// To be called before an addition is sent.
    pub(super) fn sent(&self, window: Window) -> Sent {
        Sent(self.streams[place(window)])
    }

    /// Takes what an addition was answered with. Returns how much the counter has lost: to be added to
    /// it, and to what it said.
    pub(super) fn answered(
        &mut self,
        sent: Sent,
        window: Window,
        key: &str,
        epoch: i64,
        add: i64,
        counted: Counted,
    ) -> i64 {
        let stream = &mut self.streams[place(window)];
        if counted.seq > sent.0.seq {
            stream.seq = stream.seq.max(counted.seq);
        } else if stream.restarts == sent.0.restarts {
            stream.restarts += 1;
            stream.seq = counted.seq;
            // What the next look says is of the stream as it is now.
            stream.made = None;
        }
        let restarts = stream.restarts;
        if !self.keys.contains_key(key) {
            self.keys.insert(key.to_owned(), Key::default());
        }
        let known = self.keys.get_mut(key).expect("put there just now");
        let counter = &mut known.counters[place(window)];
        let seen = counter.filter(|seen| seen.epoch == epoch);
        let before = counted.value - add;
        let lost = seen
            .filter(|seen| seen.restarts != restarts)
            .map_or(0, |seen| (seen.value - before).max(0));
        // Answers may overtake each other; the sequence says which sum is the later.
        if seen.is_none_or(|seen| seen.restarts != restarts || seen.seq < counted.seq) {
            *counter = Some(Counter {
                epoch,
                seq: counted.seq,
                value: counted.value + lost,
                restarts,
            });
        }
        lost
    }

    /// Remembers that a key has nothing before this time.
    pub(super) fn nothing_until(&mut self, key: &str, limit: RateLimit, at: Timestamp) {
        self.keys.entry(key.to_owned()).or_default().again = Some(Again { limit, at });
    }

    /// When a key may have something again, if that is after `latest`.
    pub(super) fn again(&self, key: &str, limit: &RateLimit, latest: Timestamp) -> Option<Timestamp> {
        let again = self.keys.get(key)?.again?;
        (again.limit == *limit && again.at > latest).then_some(again.at)
    }

    /// A key got something, or something was given back.
    pub(super) fn may_have(&mut self, key: &str) {
        if let Some(known) = self.keys.get_mut(key) {
            known.again = None;
        }
    }

    /// Forgets, once a minute, the keys of which nothing is of the present any more.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        let minute = Window::Minute.epoch(now);
        if self.tidied == minute {
            return;
        }
        self.tidied = minute;
        self.keys.retain(|_, key| {
            let windows = [Window::Minute, Window::Hour, Window::Day].into_iter();
            let mut counters = windows.zip(&key.counters);
            counters.any(|(window, counter)| counter.is_some_and(|counter| counter.epoch >= window.epoch(now)))
        });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}
