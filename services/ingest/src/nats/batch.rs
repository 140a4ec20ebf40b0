//! A batch of events in one message: event by event, each becomes an event or a dead letter of its own.
//!
//! **Invariant:** a step with a batch ends well only when EVENTS or DEAD has acknowledged each of its events. A
//! crash before that repeats the message: every event has the same message id then, and so has every dead letter. A
//! message that comes again so late that the streams have forgotten those ids is compared with what they hold.

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt, stream};
use signalbox_broker::{Broker, Error, Message, PublishError};
use signalbox_proto::{DeadReason, Stage, subjects};
use signalbox_runtime::{Shutdown, health::ComponentHandle};

use super::{
    FULL_RETRY,
    read::{Batch, Reader},
};
use crate::letter;

/// Dead letters of one batch under way at a time.
const LETTERS_MAX: usize = 32;

/// What became of the events of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) events: u64,
    pub(super) repeats: u64,
    pub(super) rejected: u64,
}

/// A batch in hand.
pub(super) struct Settling {
    pub(super) broker: Broker,
    pub(super) reader: Arc<Reader>,
    pub(super) health: ComponentHandle,
    pub(super) shutdown: Shutdown,
    pub(super) message: Message,
    pub(super) batch: Batch,
    pub(super) settled: Settled,
}

/// An event of the batch that is none, and why.
struct Rejected {
    index: usize,
    why: String,
}

impl Settling {
    /// Settles each event.
    ///
    /// Where a stream has no room, what is left is tried again here and not with the whole message: what is
    /// stored already would be stored twice once the duplicate window is over.
    pub(super) async fn run(mut self) -> Result<Settled, Error> {
        let mut left = self.unsettled().await?;
        loop {
            let (mut again, rejected) = self.store(&left).await?;
            again.extend(self.bury(rejected).await?);
            if again.is_empty() {
                return Ok(self.settled);
            }
            again.sort_unstable();
            left = again;
            self.wait(left.len()).await?;
        }
    }

    /// The places of the events that no earlier delivery of the message has settled, as far as their streams would not
    /// know them by themselves.
    async fn unsettled(&mut self) -> Result<Vec<usize>, Error> {
        let all = 0..self.batch.elements.len();
        let place = self.message.place;
        if place.delivered <= 1 {
            return Ok(all.collect());
        }
        // Of each its message id, and whether it is an event.
        let mut ids = Vec::with_capacity(all.len());
        let mut subject = None;
        for index in all {
            ids.push(match self.reader.read_element(&self.message, &self.batch, index) {
                Ok(publish) => {
                    subject = Some(publish.subject.to_string());
                    (publish.id.unwrap_or_default(), true)
                }
                Err(_) => {
                    let incarnation = self.reader.incarnation;
                    let id = letter::id(incarnation, place.seq, Some(index), DeadReason::Invalid);
                    (id, false)
                }
            });
        }
        let of_kind = |wanted| -> BTreeSet<String> {
            let ids = ids.iter().filter(|(_, is_event)| *is_event == wanted);
            ids.map(|(id, _)| id.clone()).collect()
        };
        let mut settled = BTreeSet::new();
        if let Some(subject) = subject {
            let events = of_kind(true);
            let search = self
                .broker
                .search_forgotten(subjects::EVENTS, subject, &events, place.at);
            settled.append(&mut search.await?);
        }
        let subject = subjects::dead(Stage::Ingest, Some(&self.batch.org), None, None);
        let letters = of_kind(false);
        let search = self
            .broker
            .search_forgotten(subjects::DEAD, subject, &letters, place.at);
        settled.append(&mut search.await?);
        let mut left = Vec::with_capacity(ids.len());
        for (index, (id, is_event)) in ids.iter().enumerate() {
            if !settled.contains(id) {
                left.push(index);
            } else if *is_event {
                self.settled.events += 1;
                self.settled.repeats += 1;
            } else {
                self.settled.rejected += 1;
            }
        }
        Ok(left)
    }

    /// Publishes the events of these places in their order; answers which have to be tried again, and which are
    /// no events.
    async fn store(&mut self, left: &[usize]) -> Result<(Vec<usize>, Vec<Rejected>), Error> {
        let mut receipts = Vec::with_capacity(left.len());
        let mut rejected = Vec::new();
        let mut again = Vec::new();
        for index in left.iter().copied() {
            match self.reader.read_element(&self.message, &self.batch, index) {
                Ok(publish) => receipts.push((index, self.broker.publisher().send(publish, None).await)),
                Err(rejection) => rejected.push(Rejected {
                    index,
                    why: rejection.to_string(),
                }),
            }
        }
        for (index, receipt) in receipts {
            match receipt.await {
                Ok(ack) => {
                    self.settled.events += 1;
                    self.settled.repeats += u64::from(ack.duplicate);
                }
                // Not for want of room: EVENTS will never take this one.
                Err(PublishError::Refused { code, description }) => rejected.push(Rejected {
                    index,
                    why: format!("the stream of events refuses it: {description} ({code})"),
                }),
                Err(source @ PublishError::Closed) => {
                    return Err(Error::Publish {
                        subject: subjects::EVENTS.into(),
                        source,
                    });
                }
                Err(PublishError::Full { .. } | PublishError::TimedOut | PublishError::Stale { .. }) => {
                    again.push(index);
                }
            }
        }
        Ok((again, rejected))
    }

    /// Keeps what is no event as dead letters; answers which have to be tried again.
    async fn bury(&mut self, rejected: Vec<Rejected>) -> Result<Vec<usize>, Error> {
        let filing = rejected.into_iter().map(|Rejected { index, why }| {
            let original = self.reader.original_element(&self.message, &self.batch, index);
            let broker = &self.broker;
            async move { (index, letter::file(broker, original, DeadReason::Invalid, &why).await) }
        });
        let filed: Vec<_> = stream::iter(filing).buffer_unordered(LETTERS_MAX).collect().await;
        let mut again = Vec::new();
        for (index, filed) in filed {
            match filed {
                Ok(_) => self.settled.rejected += 1,
                Err(error) if error.is_transient() => again.push(index),
                Err(error) => return Err(error),
            }
        }
        Ok(again)
    }

    /// Waits until a stream may have room again; not into the end of the process.
    async fn wait(&self, left: usize) -> Result<(), Error> {
        self.health.not_ready(format!(
            "{left} events of a batch are not taken: EVENTS or DEAD has no room"
        ));
        tokio::select! {
            () = self.shutdown.requested() => Err(Error::Connection { reason: "the process ends".into() }),
            () = tokio::time::sleep(FULL_RETRY) => Ok(()),
        }
    }
}
