//! The beginning of publishes to EVENTS, one after another.
//!
//! **Invariant:** the events of a partition are written to the connection in the order of INGEST. `order_by` promises
//! the order of EVENTS, so this is where it is made.
//!
//! Futures that run beside each other do not keep it: the runtime stops a task that has done much, and a future that
//! was stopped before its publish is woken long after those behind it. So one publish begins at a time, and only the
//! answers are waited for side by side. A publish that the server asks for again, and an input that comes again, are
//! late; nothing else is.

use std::{collections::VecDeque, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use signalbox_broker::{Message, message::Ticket};
use tokio::time::Instant;

use super::{Held, Partition, read::Read};

/// Inputs whose publishes have not begun.
#[derive(Default)]
pub(super) struct Beginning {
    waiting: VecDeque<(Message, Read)>,
    now: Option<Now>,
}

/// The one that begins.
struct Now {
    ticket: Ticket,
    since: Instant,
    begun: BoxFuture<'static, Held>,
}

impl Beginning {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + usize::from(self.now.is_some())
    }

    /// Puts one behind the others.
    pub(super) fn push(&mut self, message: Message, read: Read) {
        self.waiting.push_back((message, read));
    }

    /// The next whose publish has begun; never, where there is none. Safe to cancel.
    pub(super) async fn next(&mut self, partition: &Partition) -> Held {
        let now = match &mut self.now {
            Some(now) => now,
            none => match self.waiting.pop_front() {
                Some((message, read)) => none.insert(Now {
                    ticket: message.ticket(),
                    since: Instant::now(),
                    begun: partition.begin(message, read).boxed(),
                }),
                None => std::future::pending().await,
            },
        };
        let held = (&mut now.begun).await;
        self.now = None;
        held
    }

    /// Gives up those whose turn has not come.
    pub(super) fn take_waiting(&mut self) -> Vec<Ticket> {
        let waiting = self.waiting.drain(..);
        waiting.map(|(message, _)| message.into_ticket()).collect()
    }

    /// Gives up the one whose turn it is: it may be stored all the same.
    pub(super) fn take_now(&mut self) -> Option<Ticket> {
        self.now.take().map(|now| now.ticket)
    }

    /// Those that the server has to be told of: what waits, and what has begun for this long.
    pub(super) fn tickets(&self, longer_than: Duration) -> impl Iterator<Item = &Ticket> {
        let now = self.now.iter().filter(move |now| now.since.elapsed() >= longer_than);
        let waiting = self.waiting.iter().map(|(message, _)| &**message);
        now.map(|now| &now.ticket).chain(waiting)
    }
}
