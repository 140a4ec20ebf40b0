//! Outcomes in batches: one message in OUTCOMES for many, and only then the acknowledgements.
//!
//! **Invariant:** what an outcome was made of is acknowledged after OUTCOMES has the outcome, and the
//! last acknowledgement of a batch is confirmed on the same connection. A crash repeats at most the
//! requests of the batches that were open.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use serde_bytes::ByteBuf;
use signalbox_proto::{Record, outcome::Batch, subjects, wire};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{Broker, Error, Publish, PublishError, message::Ticket};

/// Outcomes of one batch at most.
pub const RECORDS_MAX: usize = 64;
/// Bytes of the records of one batch at most.
const BYTES_MAX: usize = 256 * 1024;
/// How long the first outcome of a batch waits for others.
pub const WAIT_MAX: Duration = Duration::from_millis(50);
/// Records kept in memory until OUTCOMES has room: attempts of deliveries that have gone on.
const LATER_MAX: usize = 10_000;
/// How long storing one record by itself may take.
const STORE_WITHIN: Duration = Duration::from_secs(5);
/// The wait before it is found out whether OUTCOMES has room again.
const FULL_RETRY: Duration = Duration::from_secs(2);

/// One outcome and what is acknowledged once it is stored.
#[derive(Debug)]
pub struct Entry {
    /// The record, encoded by [`encode`].
    pub record: ByteBuf,
    /// What it was made of.
    pub tickets: Vec<Ticket>,
    /// The owner's own mark, returned as it is.
    pub mark: u64,
}

/// What became of a batch.
#[derive(Debug)]
pub enum Settled {
    /// Stored, and its messages are acknowledged.
    Stored(Vec<Entry>),
    /// OUTCOMES has no room: the verdicts must travel in rescheduled envelopes.
    Refused(Vec<Entry>),
}

/// Takes outcomes; clones feed the same batches.
#[derive(Clone, Debug)]
pub struct Outcomes {
    // Not bounded here: what its owners may hold bounds it, and waiting inside an owner's loop would
    // stop everything that the owner does.
    entries: mpsc::UnboundedSender<Entry>,
    full: watch::Receiver<bool>,
}

/// Writes a record as batches carry it.
pub fn encode(record: &Record) -> Result<ByteBuf, wire::Error> {
    wire::encode(record).map(ByteBuf::from)
}

/// Stores one record by itself: of who has few, and nothing to acknowledge.
pub async fn store(broker: &Broker, role: &'static str, instance: &str, record: &Record) -> Result<(), Error> {
    let subject = subjects::outcome(role, instance);
    let batch = Batch {
        records: vec![encode(record)?],
    };
    let publish = Publish {
        subject: subject.clone().into(),
        id: None,
        headers: Vec::new(),
        body: Bytes::from(wire::encode(&batch)?),
    };
    match broker.publisher().publish_within(publish, STORE_WITHIN).await {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::Publish { subject, source }),
    }
}

impl Outcomes {
    /// Starts the task that batches; it ends when all clones are dropped and the rest is stored.
    pub fn start(broker: &Broker, role: &'static str, instance: &str) -> (Self, mpsc::UnboundedReceiver<Settled>) {
        let (entries, receiver) = mpsc::unbounded_channel();
        let (settled, settled_receiver) = mpsc::unbounded_channel();
        let (full, full_receiver) = watch::channel(false);
        let batching = Batching {
            broker: broker.clone(),
            subject: subjects::outcome(role, instance),
            settled,
            full,
            later: VecDeque::new(),
        };
        tokio::spawn(batching.run(receiver));
        (
            Self {
                entries,
                full: full_receiver,
            },
            settled_receiver,
        )
    }

    /// Hands an outcome over; never waits.
    pub fn push(&self, entry: Entry) {
        // The task lives as long as any clone of the sender.
        if self.entries.send(entry).is_err() {
            tracing::error!("the task that stores outcomes is gone; its messages will be delivered again");
        }
    }

    /// Waits until OUTCOMES fills up or has room again.
    pub async fn changed(&mut self) {
        if self.full.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether OUTCOMES has no room at the moment. While it has none, no request may start.
    pub fn is_full(&self) -> bool {
        *self.full.borrow()
    }
}

struct Batching {
    broker: Broker,
    subject: String,
    settled: mpsc::UnboundedSender<Settled>,
    full: watch::Sender<bool>,
    /// Records without tickets that found no room: their deliveries went on, they are stored later.
    later: VecDeque<Entry>,
}

impl Batching {
    async fn run(mut self, mut entries: mpsc::UnboundedReceiver<Entry>) {
        loop {
            let first = if self.is_full() {
                match tokio::time::timeout(FULL_RETRY, entries.recv()).await {
                    Ok(first) => first,
                    // Nothing may come while no request starts: find out whether there is room again.
                    Err(_) => {
                        self.store_later().await;
                        continue;
                    }
                }
            } else {
                entries.recv().await
            };
            let Some(first) = first else { break };
            let until = Instant::now() + WAIT_MAX;
            let mut bytes = first.record.len();
            let mut batch = vec![first];
            while batch.len() < RECORDS_MAX && bytes < BYTES_MAX {
                match tokio::time::timeout_at(until, entries.recv()).await {
                    Ok(Some(entry)) => {
                        bytes += entry.record.len();
                        batch.push(entry);
                    }
                    Ok(None) | Err(_) => break,
                }
            }
            self.store(batch).await;
        }
        while !self.later.is_empty() && !self.is_full() {
            self.store_later().await;
        }
    }

    /// Stores what waits without tickets, or an empty batch to find out whether there is room.
    async fn store_later(&mut self) {
        let count = self.later.len().min(RECORDS_MAX);
        let batch = self.later.drain(..count).collect();
        self.store(batch).await;
    }

    async fn store(&mut self, batch: Vec<Entry>) {
        let records = batch.iter().map(|entry| entry.record.clone()).collect();
        let body = match wire::encode(&Batch { records }) {
            Ok(body) => Bytes::from(body),
            Err(error) => {
                tracing::error!(%error, "cannot encode outcomes; their messages will be delivered again");
                return;
            }
        };
        let publish = Publish {
            subject: self.subject.clone().into(),
            id: None,
            headers: Vec::new(),
            body,
        };
        match self.broker.publisher().publish(publish).await {
            Ok(_) => {
                self.set_full(false);
                self.acknowledge(&batch).await;
                self.settle(Settled::Stored(batch));
            }
            Err(PublishError::Closed) => {}
            Err(error) => {
                if !self.is_full() {
                    tracing::error!(%error, "OUTCOMES refuses: no request starts until it takes outcomes again; raise nats.storage_bytes or lower nats.outcomes_age_s");
                }
                self.set_full(true);
                let (held, free): (Vec<Entry>, Vec<Entry>) =
                    batch.into_iter().partition(|entry| !entry.tickets.is_empty());
                self.keep(free);
                if !held.is_empty() {
                    self.settle(Settled::Refused(held));
                }
            }
        }
    }

    fn keep(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            if self.later.len() >= LATER_MAX {
                tracing::error!("the record of an attempt is dropped: OUTCOMES has had no room for too long");
                self.later.pop_front();
            }
            self.later.push_back(entry);
        }
    }

    async fn acknowledge(&self, batch: &[Entry]) {
        let tickets: Vec<&Ticket> = batch.iter().flat_map(|entry| &entry.tickets).collect();
        let Some((last, others)) = tickets.split_last() else {
            return;
        };
        for message in others {
            if let Err(error) = message.ack(&self.broker).await {
                tracing::debug!(%error, "an acknowledgement could not be written");
            }
        }
        if let Err(error) = last.confirm(&self.broker).await {
            // The messages will come again; their owner remembers them as done.
            tracing::debug!(%error, count = tickets.len(), "acknowledgements are not confirmed");
        }
    }

    fn is_full(&self) -> bool {
        *self.full.borrow()
    }

    fn set_full(&self, full: bool) {
        self.full.send_if_modified(|was| std::mem::replace(was, full) != full);
    }

    fn settle(&self, settled: Settled) {
        if self.settled.send(settled).is_err() {
            tracing::debug!("the owner of outcomes has gone");
        }
    }
}
