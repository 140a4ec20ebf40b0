//! How long an act holds what it has read.
//!
//! What is erased must not be sent afterwards. An act has what it is about to send in memory, at a small rate for long;
//! whoever erases waits for [`QUIET_FOR`](signalbox_broker::erase::QUIET_FOR) and relies on it that nobody holds anything
//! for longer. So what was read too long ago is read again, from the cursor on: what is gone by then is not sent.

use std::time::Duration;

use signalbox_broker::{
    Error, PublishError, Receipt,
    erase::{HELD_MAX, SENT_WITHIN},
    hops::{self, Hop},
};
use signalbox_proto::{Delivery, Lane};
use tokio::time::Instant;

use super::{
    send::{acknowledged, refused},
    work::Work,
};
use crate::settle;

/// How long a send waits for its place among those that are under way.
const PLACE_WITHIN: Duration = Duration::from_secs(5);

const _: () = assert!(PLACE_WITHIN.as_secs() + settle::HOP_DEADLINE.as_secs() <= SENT_WITHIN.as_secs());

/// How a chunk of what was read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Went {
    /// All of it was begun.
    On,
    /// A person stopped the act.
    Stopped,
    /// The rest was read too long ago.
    Old,
}

/// When the part at hand was read, and how much of the stream the next one is: about as much as can be sent in time.
#[derive(Debug)]
pub(super) struct Held {
    full: usize,
    count: usize,
    since: Instant,
}

impl Held {
    /// Parts have `full` messages where all of them can be sent in time.
    pub(super) fn new(full: usize, now: Instant) -> Self {
        Self {
            full,
            count: full,
            since: now,
        }
    }

    /// A part is about to be read; how many messages.
    pub(super) fn read(&mut self, now: Instant) -> usize {
        self.since = now;
        self.count
    }

    /// So many of a part were dealt with before the rest was too old.
    pub(super) fn used(&mut self, used: usize, of: usize) {
        self.count = if used < of {
            used.clamp(1, self.full)
        } else {
            (self.count * 2).min(self.full)
        };
    }

    /// Whether the part is too old to begin to send anything of it.
    pub(super) fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= HELD_MAX
    }
}

impl Work<'_> {
    /// As [`Work::next_send`], of something that is held.
    pub(super) async fn next_send_of(&mut self, held: &Held) -> Result<Went, Error> {
        if !self.next_send().await? {
            return Ok(Went::Stopped);
        }
        if held.is_old(Instant::now()) {
            self.not_sent();
            return Ok(Went::Old);
        }
        Ok(Went::On)
    }

    /// Begins to publish a delivery that is held. One that goes in order goes to its key, any other to the bulk lane.
    pub(super) async fn publish(&self, next: &Delivery) -> Published {
        let hop = match next.order_key {
            Some(_) => Hop::Order,
            None => Hop::Deliver(Lane::Bulk),
        };
        let publish = match hops::publish_of(next, hop) {
            Ok(publish) => publish,
            Err(error) => return Published::Ended(refused(Err(error))),
        };
        let subject = publish.subject.to_string();
        let publisher = self.keeper.broker.publisher();
        let sending = publisher.send(publish, Some(settle::HOP_DEADLINE));
        match tokio::time::timeout(PLACE_WITHIN, sending).await {
            Ok(receipt) => Published::Begun(receipt, subject),
            // Whether it has its place is not known.
            Err(_) => Published::Ended(Err(Error::Publish {
                subject,
                source: PublishError::TimedOut,
            })),
        }
    }
}

/// What became of a delivery that an act publishes.
pub(super) enum Published {
    /// Its stream has not answered yet.
    Begun(Receipt, String),
    /// It has ended. The inner error is what its owner is told.
    Ended(Result<Result<(), String>, Error>),
}

impl Published {
    /// Waits for the answer. The inner error is what its owner is told.
    pub(super) async fn ended(self) -> Result<Result<(), String>, Error> {
        match self {
            Self::Begun(receipt, subject) => acknowledged(receipt, subject).await,
            Self::Ended(ended) => ended,
        }
    }

    /// Whether each one behind it would wait as long for the same answer.
    pub(super) fn is_stuck(&self) -> bool {
        matches!(self, Self::Ended(Err(_)))
    }
}

#[cfg(test)]
mod tests;
