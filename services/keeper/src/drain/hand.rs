//! What a paced drain has in hand of PARKED, said to the other keepers before any of it goes.
//!
//! A drain with a consumer shows there what it has pulled. One without says it here, a few seconds ahead
//! and half a second before it takes the first of it, so that an act which gives up what waits sees it:
//! nothing is given up that is sent as well.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use signalbox_broker::Error;
use signalbox_proto::{Timestamp, subjects};
use tokio::time::Instant;

use crate::Keeper;

/// How long after it was said something may be taken: an act that has just looked is done by then.
const SEEN_AFTER: Duration = Duration::from_millis(500);
/// How long what was said may be relied on, and how long others do.
const SAID_FOR: Duration = Duration::from_secs(20);
const VALID_FOR: Duration = Duration::from_secs(60);

/// What is said: of this integration, all up to a sequence of PARKED is in hand.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    through: u64,
    at: Timestamp,
}

/// Up to which sequence of PARKED a paced drain has an integration's deliveries in hand.
pub(crate) async fn of(keeper: &Keeper, integration: &str) -> Result<Option<u64>, Error> {
    let key = subjects::drain_key(integration);
    let said = keeper.broker.get::<Said>(subjects::STATE, &key).await?;
    let valid = said.filter(|said| Timestamp::now().since(said.value.at) < VALID_FOR);
    Ok(valid.map(|said| said.value.through))
}

pub(super) async fn say(keeper: &Keeper, integration: &str, through: u64) -> Result<(), Error> {
    let said = Said {
        through,
        at: Timestamp::now(),
    };
    let key = subjects::drain_key(integration);
    keeper.broker.put(subjects::STATE, &key, &said).await.map(|_| ())
}

/// What one drain has said, and since when.
#[derive(Debug, Default)]
pub(super) struct Hand {
    seen: Option<(u64, Instant)>,
    said: Option<(u64, Instant)>,
}

impl Hand {
    /// It was said just now.
    pub(super) fn said(&mut self, through: u64, now: Instant) {
        // What was said before may count by now.
        self.through(now);
        self.said = Some((through, now));
    }

    /// Up to which sequence deliveries may be taken out; 0 where none may.
    pub(super) fn through(&mut self, now: Instant) -> u64 {
        self.said = match self.said {
            Some((_, at)) if at + SEEN_AFTER <= now => {
                self.seen = self.said;
                None
            }
            said => said,
        };
        let valid = self.seen.filter(|(_, at)| now < *at + SAID_FOR);
        valid.map_or(0, |(through, _)| through)
    }

    /// When what was said last counts, if it does not yet.
    pub(super) fn next(&self) -> Option<Instant> {
        self.said.map(|(_, at)| at + SEEN_AFTER)
    }
}

#[cfg(test)]
mod tests;
