//! Storing the events of one request.
//!
//! Several go to EVENTS as one batch of the server's: all are stored, or none is. Where the server cannot take them
//! so, because one of them is known already or because EVENTS was made by a version that did not ask for it, they
//! are published one by one. A crash can leave a part of them stored then; the same request again stores the rest,
//! as each event has the id that it had. Where EVENTS takes only a part of them, the problem says which.

use std::{collections::HashMap, time::Duration};

use signalbox_broker::{Ack, Broker, Publish, PublishError, batch::BatchError};
use signalbox_runtime::Problem;
use tokio::time::Instant;

use super::{Ready, problem};

/// Stores the events and answers what EVENTS says of each, in their order. Two of one identity are one event: the
/// first one is stored, and the other a repeat of it.
pub(super) async fn all(broker: &Broker, ready: &[Ready], timeout: Duration) -> Result<Vec<Ack>, NotStored> {
    let distinct = Distinct::of(ready);
    let stored = match distinct.publishes.as_slice() {
        [] => Ok(Vec::new()),
        [one] => {
            let stored = broker.publisher().publish_within(one.clone(), timeout).await;
            stored.map(|ack| vec![ack]).map_err(Failed::from)
        }
        several => store_several(broker, several, timeout).await,
    };
    let Failed {
        error,
        may_follow,
        stored,
    } = match stored {
        Ok(acks) => return Ok(distinct.acks_of_each(&acks)),
        Err(failed) => failed,
    };
    let problem = if stored.contains(&true) {
        let events: Vec<_> = ready
            .iter()
            .zip(&distinct.places)
            .map(|(one, (place, _))| (one.event.id.as_str(), stored.get(*place) == Some(&true)))
            .collect();
        problem::of_storing_a_part(&error, &events)
    } else {
        problem::of_storing(&error)
    };
    Err(NotStored { problem, may_follow })
}

/// Events that were not all stored, as their publisher is told.
pub(super) struct NotStored {
    pub(super) problem: Problem,
    /// Whether some may yet be stored: no answer came.
    pub(super) may_follow: bool,
}

/// Events that were not all stored.
struct Failed {
    /// The first that went wrong.
    error: PublishError,
    may_follow: bool,
    /// Which of them are known to be stored; none where they are stored as one.
    stored: Vec<bool>,
}

impl From<PublishError> for Failed {
    fn from(error: PublishError) -> Self {
        Self {
            may_follow: may_follow(&error),
            error,
            stored: Vec::new(),
        }
    }
}

fn may_follow(error: &PublishError) -> bool {
    match error {
        PublishError::TimedOut | PublishError::Closed => true,
        PublishError::Full { .. } | PublishError::Refused { .. } | PublishError::Stale { .. } => false,
    }
}

async fn store_several(broker: &Broker, publishes: &[Publish], timeout: Duration) -> Result<Vec<Ack>, Failed> {
    let until = Instant::now() + timeout;
    match broker.publish_batch(publishes, timeout).await {
        Ok(acks) => return Ok(acks),
        Err(BatchError::Publish(error)) => return Err(error.into()),
        Err(BatchError::Repeat) => {}
        Err(error @ BatchError::Unsupported { .. }) => {
            tracing::debug!(%error, "events are stored one by one");
        }
    }
    let mut receipts = Vec::with_capacity(publishes.len());
    for publish in publishes {
        let left = until.saturating_duration_since(Instant::now());
        receipts.push(broker.publisher().send(publish.clone(), Some(left)).await);
    }
    let mut acks = Vec::with_capacity(publishes.len());
    let mut stored = Vec::with_capacity(publishes.len());
    let mut failed = None;
    let mut follows = false;
    for receipt in receipts {
        let ack = receipt.await;
        stored.push(ack.is_ok());
        match ack {
            Ok(ack) => acks.push(ack),
            Err(error) => {
                follows |= may_follow(&error);
                failed = failed.or(Some(error));
            }
        }
    }
    match failed {
        Some(error) => Err(Failed {
            error,
            may_follow: follows,
            stored,
        }),
        None => Ok(acks),
    }
}

/// The events of a request by identity.
struct Distinct {
    /// Of each identity the first publish.
    publishes: Vec<Publish>,
    /// For each event of the request the place of its identity, and whether it came before.
    places: Vec<(usize, bool)>,
}

impl Distinct {
    fn of(ready: &[Ready]) -> Self {
        let mut publishes: Vec<Publish> = Vec::with_capacity(ready.len());
        let mut known: HashMap<Option<&str>, usize> = HashMap::with_capacity(ready.len());
        let mut places = Vec::with_capacity(ready.len());
        for one in ready {
            let id = one.publish.id.as_deref();
            let place = *known.entry(id).or_insert(publishes.len());
            let is_new = place == publishes.len();
            if is_new {
                publishes.push(one.publish.clone());
            }
            places.push((place, !is_new));
        }
        Self { publishes, places }
    }

    fn acks_of_each(&self, acks: &[Ack]) -> Vec<Ack> {
        self.places
            .iter()
            .filter_map(|(place, is_repeat)| {
                let mut ack = acks.get(*place)?.clone();
                ack.duplicate |= is_repeat;
                Some(ack)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
