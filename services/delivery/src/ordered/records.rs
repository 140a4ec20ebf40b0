//! Records on their way to OUTCOMES: many in one message, one message at a time, and none waits for others.
//!
//! While OUTCOMES has no room no request starts, and what is to be stored is kept and tried again.

use std::{collections::VecDeque, time::Duration};

use serde_bytes::ByteBuf;
use signalbox_broker::{Broker, Error, Publish};
use signalbox_proto::{Name, outcome::Batch, subjects, wire};
use tokio::time::Instant;

/// Records of one message at most.
const RECORDS_MAX: usize = 256;
/// Bytes of the records of one message at most.
const BYTES_MAX: usize = 256 * 1024;
/// The wait before it is found out whether OUTCOMES has room again.
const FULL_RETRY: Duration = Duration::from_secs(2);

/// One record, and whose it is, where anything waits for it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) mark: Option<u64>,
    pub(crate) record: ByteBuf,
}

/// What is to be stored.
#[derive(Debug)]
pub(crate) struct Records {
    subject: String,
    waiting: VecDeque<Entry>,
    under_way: bool,
    full_until: Option<Instant>,
}

impl Records {
    pub(crate) fn new(instance: &str, provider: &Name) -> Self {
        Self {
            subject: subjects::outcome("delivery", &format!("{instance}-{provider}-ordered")),
            waiting: VecDeque::new(),
            under_way: false,
            full_until: None,
        }
    }

    pub(crate) fn push(&mut self, mark: Option<u64>, record: ByteBuf) {
        self.waiting.push_back(Entry { mark, record });
    }

    /// Whether OUTCOMES has had no room of late: no request may start.
    pub(crate) fn is_full(&self) -> bool {
        self.full_until.is_some()
    }

    /// When to try again.
    pub(crate) fn next_try(&self) -> Option<Instant> {
        self.full_until.filter(|_| !self.under_way && !self.waiting.is_empty())
    }

    /// What is to be stored now, in one message.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Vec<Entry>> {
        if self.under_way || self.waiting.is_empty() || self.full_until.is_some_and(|until| until > now) {
            return None;
        }
        let mut bytes = 0;
        let mut batch = Vec::new();
        while let Some(entry) = self.waiting.pop_front() {
            bytes += entry.record.len();
            batch.push(entry);
            if batch.len() >= RECORDS_MAX || bytes >= BYTES_MAX {
                break;
            }
        }
        self.under_way = true;
        Some(batch)
    }

    /// They are stored.
    pub(crate) fn stored(&mut self) {
        self.under_way = false;
        self.full_until = None;
    }

    /// They are not: they are tried again, in the order in which they came. True for the first refusal of some.
    pub(crate) fn refused(&mut self, batch: Vec<Entry>, now: Instant) -> bool {
        self.under_way = false;
        for entry in batch.into_iter().rev() {
            self.waiting.push_front(entry);
        }
        self.full_until.replace(now + FULL_RETRY).is_none()
    }

    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }
}

/// Stores records and waits for it.
pub(crate) async fn store(broker: &Broker, subject: String, batch: &[Entry]) -> Result<(), Error> {
    let records = batch.iter().map(|entry| entry.record.clone()).collect();
    let publish = Publish {
        subject: subject.clone().into(),
        id: None,
        headers: Vec::new(),
        body: wire::encode(&Batch { records })?.into(),
    };
    let stored = broker.publisher().publish(publish).await;
    stored.map(|_| ()).map_err(|source| Error::Publish { subject, source })
}

#[cfg(test)]
mod tests;
