//! Outcomes in batches: one message in OUTCOMES for many, and only then the acknowledgements.
//!
//! **Invariant:** what an outcome was made of is acknowledged after OUTCOMES has the outcome, and the
//! last acknowledgement of a batch is confirmed on the same connection. A crash repeats at most the
//! requests of the batches that were open.

use std::time::Duration;

use bytes::Bytes;
use serde_bytes::ByteBuf;
use signalbox_proto::{Record, outcome::Batch, subjects, wire};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{Broker, Publish, PublishError, message::Ticket};

/// Outcomes of one batch at most.
pub const RECORDS_MAX: usize = 64;
/// Bytes of the records of one batch at most.
const BYTES_MAX: usize = 256 * 1024;
/// How long the first outcome of a batch waits for others.
pub const WAIT_MAX: Duration = Duration::from_millis(50);
/// The wait before a batch that found no room is offered again.
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
    entries: mpsc::Sender<Entry>,
    full: watch::Receiver<bool>,
}

/// Writes a record as batches carry it.
pub fn encode(record: &Record) -> Result<ByteBuf, wire::Error> {
    wire::encode(record).map(ByteBuf::from)
}

impl Outcomes {
    /// Starts the task that batches; it ends when all clones are dropped and the rest is stored.
    pub fn start(broker: &Broker, role: &'static str, instance: &str) -> (Self, mpsc::UnboundedReceiver<Settled>) {
        let (entries, receiver) = mpsc::channel(4 * RECORDS_MAX);
        let (settled, settled_receiver) = mpsc::unbounded_channel();
        let (full, full_receiver) = watch::channel(false);
        let batching = Batching {
            broker: broker.clone(),
            subject: subjects::outcome(role, instance),
            settled,
            full,
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

    /// Hands an outcome over. Waits where batches are not stored fast enough.
    pub async fn push(&self, entry: Entry) {
        // The task lives as long as any clone of the sender.
        if self.entries.send(entry).await.is_err() {
            tracing::error!("the task that stores outcomes is gone; its messages will be delivered again");
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
}

impl Batching {
    async fn run(self, mut entries: mpsc::Receiver<Entry>) {
        while let Some(first) = entries.recv().await {
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
    }

    async fn store(&self, batch: Vec<Entry>) {
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
        loop {
            let error = match self.broker.publisher().publish(publish.clone()).await {
                Ok(_) => {
                    self.set_full(false);
                    self.acknowledge(&batch).await;
                    return self.settle(Settled::Stored(batch));
                }
                Err(PublishError::Closed) => return,
                Err(error) => error,
            };
            if !self.is_full() {
                tracing::error!(%error, "OUTCOMES refuses: no request starts until it takes outcomes again; raise nats.storage_bytes or lower nats.outcomes_age_s");
            }
            self.set_full(true);
            if batch.iter().any(|entry| !entry.tickets.is_empty()) {
                return self.settle(Settled::Refused(batch));
            }
            // Nothing is held that could be delivered again: offer it until it is taken.
            tokio::time::sleep(FULL_RETRY).await;
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
