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
/// How long what was said may be relied on, and how long others do. Then the key is gone by itself, whoever died.
const SAID_FOR: Duration = Duration::from_secs(20);
const VALID_FOR: Duration = Duration::from_secs(60);

/// What is said: of this integration, all up to a sequence of PARKED is in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    through: u64,
    at: Timestamp,
    /// What a drain before this one has said. It may be at work still.
    #[serde(default)]
    before: Option<(u64, Timestamp)>,
}

impl Said {
    /// Up to which sequence deliveries are in anyone's hand.
    fn through(&self, now: Timestamp) -> Option<u64> {
        let own = Some((self.through, self.at));
        let valid = [own, self.before]
            .into_iter()
            .flatten()
            .filter(|(_, at)| is_valid(*at, now));
        valid.map(|(through, _)| through).max()
    }

    /// What it leaves to the drain that comes next.
    fn left(&self, now: Timestamp) -> Option<(u64, Timestamp)> {
        let own = Some((self.through, self.at));
        let valid = [own, self.before]
            .into_iter()
            .flatten()
            .filter(|(_, at)| is_valid(*at, now));
        // As both of them, for as long as the later of them.
        valid.reduce(|one, other| (one.0.max(other.0), one.1.max(other.1)))
    }
}

fn is_valid(at: Timestamp, now: Timestamp) -> bool {
    now.since(at) < VALID_FOR
}

/// Up to which sequence of PARKED a paced drain has an integration's deliveries in hand.
pub(crate) async fn of(keeper: &Keeper, integration: &str) -> Result<Option<u64>, Error> {
    let key = subjects::drain_key(integration);
    let said = keeper.broker.get::<Said>(subjects::STATE, &key).await?;
    Ok(said.and_then(|said| said.value.through(Timestamp::now())))
}

/// What one drain has said, and since when.
#[derive(Debug, Default)]
pub(super) struct Hand {
    /// What a drain before this one has said.
    before: Option<(u64, Timestamp)>,
    seen: Option<(u64, Instant)>,
    said: Option<(u64, Instant)>,
}

impl Hand {
    /// The hand of a drain that begins. It takes nothing back of what another has said a moment ago.
    pub(super) async fn open(keeper: &Keeper, integration: &str) -> Result<Self, Error> {
        let key = subjects::drain_key(integration);
        let said = keeper.broker.get::<Said>(subjects::STATE, &key).await?;
        Ok(Self {
            before: said.and_then(|said| said.value.left(Timestamp::now())),
            ..Self::default()
        })
    }

    /// Says that all up to a sequence is in hand.
    pub(super) async fn say(&mut self, keeper: &Keeper, integration: &str, through: u64) -> Result<(), Error> {
        let now = Timestamp::now();
        self.before = self.before.filter(|(_, at)| is_valid(*at, now));
        let said = Said {
            through,
            at: now,
            before: self.before,
        };
        let key = subjects::drain_key(integration);
        keeper.broker.put_for(subjects::STATE, &key, &said, VALID_FOR).await?;
        self.said(through, Instant::now());
        Ok(())
    }

    /// It was said just now.
    fn said(&mut self, through: u64, now: Instant) {
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
