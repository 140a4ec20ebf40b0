//! A batch of events in one message: event by event, each becomes an event or a dead letter of its own.
//!
//! **Invariant:** a step with a batch ends well only when EVENTS or DEAD has acknowledged each of its events. A
//! crash before that repeats the message: every event has the same message id then, and so has every dead letter.

use std::sync::Arc;

use futures::{StreamExt, stream};
use signalbox_broker::{Broker, Error, Message, PublishError};
use signalbox_proto::{DeadReason, subjects};
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
        let mut left: Vec<usize> = (0..self.batch.elements.len()).collect();
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
