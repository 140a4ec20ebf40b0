//! A batch of events in one message: event by event, each becomes an event or a dead letter of its own.
//!
//! **Invariant:** a step with a batch ends well only when EVENTS or DEAD has acknowledged each of its events. A
//! crash before that repeats the message: every event has the same message id then, and so has every dead letter. A
//! message that comes again so late that the streams have forgotten those ids is compared with what they hold.

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt, future::try_join_all, stream};
use signalbox_broker::{Broker, Error, Message, PublishError, Receipt};
use signalbox_proto::{DeadReason, act, subjects};
use signalbox_runtime::{Shutdown, health::ComponentHandle};

use super::{
    FULL_RETRY,
    read::{Batch, Reader},
};
use crate::{Admission, letter, letters::Letters};

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
    pub(super) refusals: Broker,
    pub(super) letters: Letters,
    pub(super) reader: Arc<Reader>,
    pub(super) admission: Admission,
    pub(super) health: ComponentHandle,
    pub(super) shutdown: Shutdown,
    pub(super) message: Message,
    pub(super) batch: Batch,
    pub(super) settled: Settled,
}

/// An event of the batch that is none, and why.
struct Rejected {
    index: usize,
    reason: DeadReason,
    why: String,
}

/// Publishes of a batch that have begun, by place, and what is not to be published.
#[derive(Default)]
pub(super) struct Begun {
    receipts: Vec<(usize, Receipt)>,
    rejected: Vec<Rejected>,
}

impl Settling {
    /// Settles each event. `begun` is what [`Self::begin_all`] has begun.
    ///
    /// Where a stream has no room, what is left is tried again here and not with the whole message: what is
    /// stored already would be stored twice once the duplicate window is over.
    pub(super) async fn run(mut self, begun: Option<Begun>) -> Result<Settled, Error> {
        let mut begun = match begun {
            Some(begun) => begun,
            None => {
                let left = self.unsettled().await?;
                self.begin(&left, false).await
            }
        };
        loop {
            let (mut again, rejected) = self.answers(begun).await?;
            again.extend(self.bury(rejected).await?);
            if again.is_empty() {
                return Ok(self.settled);
            }
            again.sort_unstable();
            self.wait(again.len()).await?;
            begun = self.begin(&again, false).await;
        }
    }

    /// Begins the publishes of a batch that comes for the first time, all of it.
    pub(super) async fn begin_all(&self) -> Begun {
        let all: Vec<usize> = (0..self.batch.elements.len()).collect();
        self.begin(&all, true).await
    }

    /// The places of the events that no earlier delivery of the message has settled, as far as their streams would not
    /// know them by themselves.
    async fn unsettled(&mut self) -> Result<Vec<usize>, Error> {
        let all = 0..self.batch.elements.len();
        let place = self.message.place;
        if place.delivered <= 1 {
            return Ok(all.collect());
        }
        // Of each its message id where it is an event, and that of its dead letter.
        let mut ids: Vec<(Option<String>, String)> = Vec::with_capacity(all.len());
        let mut subject = None;
        for index in all {
            let letter_id = |reason| letter::id(self.reader.incarnation, place.seq, Some(index), reason);
            ids.push(match self.reader.read_element(&self.message, &self.batch, index) {
                Ok(publish) => {
                    subject = Some(publish.subject.to_string());
                    (publish.id, letter_id(DeadReason::Rejected))
                }
                Err(_) => (None, letter_id(DeadReason::Invalid)),
            });
        }
        let mut settled = BTreeSet::new();
        if let Some(subject) = subject {
            let events = ids.iter().filter_map(|(event, _)| event.clone()).collect();
            let search = self
                .broker
                .search_forgotten(subjects::EVENTS, subject, &events, place.at);
            settled.append(&mut search.await?);
        }
        // All at a time: DEAD is read once for all of them.
        let mut searches = Vec::with_capacity(ids.len());
        for (_, letter) in &ids {
            let (letter, letters, org) = (letter.clone(), self.letters.clone(), self.batch.org.clone());
            searches.push(async move {
                let is_there = letters.has(Some(&org), &letter, place.at).await?;
                Ok::<_, Error>(is_there.then_some(letter))
            });
        }
        settled.extend(try_join_all(searches).await?.into_iter().flatten());
        let mut left = Vec::with_capacity(ids.len());
        for (index, (event, letter)) in ids.iter().enumerate() {
            if event.as_ref().is_some_and(|event| settled.contains(event)) {
                self.settled.events += 1;
                self.settled.repeats += 1;
            } else if settled.contains(letter) {
                self.settled.rejected += 1;
            } else {
                left.push(index);
            }
        }
        Ok(left)
    }

    /// Begins the publishes of these places in their order. Their org is asked for its quota once.
    async fn begin(&self, left: &[usize], is_first: bool) -> Begun {
        let mut begun = Begun::default();
        // It may have been closed while a stream had no room for what is left.
        if let Err(shut) = self.reader.orgs.check(&self.batch.org) {
            begun.rejected.extend(left.iter().map(|index| Rejected {
                index: *index,
                reason: DeadReason::Invalid,
                why: shut.to_string(),
            }));
            return begun;
        }
        let act = self.message.header(act::HEADER);
        for index in left.iter().copied() {
            match self.reader.read_element(&self.message, &self.batch, index) {
                Ok(publish) => {
                    if is_first
                        && let Err(refusal) = self
                            .admission
                            .admit_input(&self.batch.org, act, self.batch.bytes(index))
                            .await
                    {
                        begun.rejected.push(Rejected {
                            index,
                            reason: DeadReason::Rejected,
                            why: refusal.to_string(),
                        });
                        continue;
                    }
                    let receipt = self.broker.publisher().send(publish, None).await;
                    begun.receipts.push((index, receipt));
                }
                Err(rejection) => begun.rejected.push(Rejected {
                    index,
                    reason: DeadReason::Invalid,
                    why: rejection.to_string(),
                }),
            }
        }
        begun
    }

    /// Waits for what has begun; answers which places have to be tried again, and which are no events.
    async fn answers(&mut self, begun: Begun) -> Result<(Vec<usize>, Vec<Rejected>), Error> {
        let Begun { receipts, mut rejected } = begun;
        let mut again = Vec::new();
        for (index, receipt) in receipts {
            match receipt.await {
                Ok(ack) => {
                    self.settled.events += 1;
                    self.settled.repeats += u64::from(ack.duplicate);
                }
                // Not for want of room: EVENTS will never take this one.
                Err(PublishError::Refused { code, description }) => rejected.push(Rejected {
                    index,
                    reason: DeadReason::Invalid,
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
        let filing = rejected.into_iter().map(|Rejected { index, reason, why }| {
            let original = self.reader.original_element(&self.message, &self.batch, index);
            let (broker, original) = match reason {
                DeadReason::Rejected => (&self.refusals, self.reader.refused(&self.message, original)),
                _ => (&self.broker, original),
            };
            let orgs = &self.reader.orgs;
            async move { (index, reason, letter::file(broker, orgs, original, reason, &why).await) }
        });
        let filed: Vec<_> = stream::iter(filing).buffer_unordered(LETTERS_MAX).collect().await;
        let mut again = Vec::new();
        for (index, reason, filed) in filed {
            match filed {
                Ok(_) => self.settled.rejected += 1,
                Err(error) if error.is_transient() => {
                    if reason == DeadReason::Rejected {
                        self.admission.on_unfiled(&error);
                    }
                    again.push(index);
                }
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
