//! The beginning of publishes to EVENTS, one after another.
//!
//! **Invariant:** the events of an org are written to the connection in the order of INGEST. `order_by` promises the
//! order of EVENTS, so this is where it is made.
//!
//! Futures that run beside each other do not keep it: the runtime stops a task that has done much, and a future that
//! was stopped before its publish is woken long after those behind it. So one publish begins at a time, and only the
//! answers are waited for side by side. A publish that the server asks for again, and an input that comes again, are
//! late; nothing else is.
//!
//! With a quota each org has a line of its own: whether an event of one may go is asked of a counter, and no other org
//! waits for the answer. Without one nothing is asked, and all are in one line.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use signalbox_broker::{Message, message::Ticket};
use signalbox_proto::Name;
use tokio::time::Instant;

use super::{Begun, Partition, read::Read};

/// Whose publishes begin one after another: an org's, or all.
pub(super) type Line = Option<Name>;

/// Inputs whose publishes have not begun.
#[derive(Default)]
pub(super) struct Beginning {
    /// By line, those behind the one that begins.
    waiting: HashMap<Line, VecDeque<(Message, Read)>>,
    /// By line, the one that begins, and since when.
    now: HashMap<Line, (Ticket, Instant)>,
    begun: FuturesUnordered<BoxFuture<'static, (Line, Begun)>>,
    len: usize,
}

impl Beginning {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Puts one behind the others of its line.
    pub(super) fn push(&mut self, partition: &Partition, line: Line, message: Message, read: Read) {
        self.len += 1;
        if self.now.contains_key(&line) {
            self.waiting.entry(line).or_default().push_back((message, read));
        } else {
            self.begin(partition, line, message, read);
        }
    }

    fn begin(&mut self, partition: &Partition, line: Line, message: Message, read: Read) {
        self.now.insert(line.clone(), (message.ticket(), Instant::now()));
        let begun = partition.begin(message, read);
        self.begun.push(begun.map(|begun| (line, begun)).boxed());
    }

    /// The next whose publish has begun; never, where there is none. Safe to cancel.
    pub(super) async fn next(&mut self, partition: &Partition) -> Begun {
        let Some((line, begun)) = self.begun.next().await else {
            return std::future::pending().await;
        };
        self.len -= 1;
        self.now.remove(&line);
        match self.waiting.get_mut(&line).and_then(VecDeque::pop_front) {
            Some((message, read)) => self.begin(partition, line, message, read),
            None => drop(self.waiting.remove(&line)),
        }
        begun
    }

    /// Gives up those whose turn has not come.
    pub(super) fn take_waiting(&mut self) -> Vec<Ticket> {
        let waiting = self.waiting.drain().flat_map(|(_, line)| line);
        let tickets: Vec<Ticket> = waiting.map(|(message, _)| message.into_ticket()).collect();
        self.len -= tickets.len();
        tickets
    }

    /// Gives up those whose turn it is: they may be stored all the same.
    pub(super) fn take_now(&mut self) -> Vec<Ticket> {
        self.begun = FuturesUnordered::new();
        self.len -= self.now.len();
        self.now.drain().map(|(_, (ticket, _))| ticket).collect()
    }

    /// Those that the server has to be told of: what waits, and what has begun for this long.
    pub(super) fn tickets(&self, longer_than: Duration) -> impl Iterator<Item = &Ticket> {
        let now = self.now.values();
        let now = now.filter(move |(_, since)| since.elapsed() >= longer_than);
        let waiting = self.waiting.values().flatten().map(|(message, _)| &**message);
        now.map(|(ticket, _)| ticket).chain(waiting)
    }
}
