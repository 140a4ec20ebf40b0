//! Whether anything is left in ORDERED for which an integration has to go on draining.
//!
//! What waits there is sent, ended and removed by its worker alone, so that two never have the same delivery in hand.
//! The worker sees the rate and the time of a drain in the state, so the state must last as long as they matter.

use signalbox_broker::Error;
use signalbox_proto::{Integration, State, Timestamp, subjects, subjects::OrderedKind, wire};
use std::collections::HashSet;
use tokio::time::Instant;

use crate::Keeper;

/// Messages read at a time.
const PART: usize = 256;

/// A look reads what waits in order. Where that is much, one part of so many of the time is spent looking.
const LOOK_PARTS: u32 = 20;

/// The looks of one drain.
#[derive(Debug, Default)]
pub(super) struct Looks(Option<Instant>);

impl Looks {
    /// Whether anything is left, as far as that was not looked at a moment ago: it was then.
    pub(super) async fn is_left(
        &mut self,
        keeper: &Keeper,
        integration: &Integration,
        state: &State,
    ) -> Result<bool, Error> {
        let began = Instant::now();
        if self.0.is_some_and(|next| next > began) {
            return Ok(true);
        }
        let left = is_left(keeper, integration, state).await?;
        self.0 = left.then(|| Instant::now() + began.elapsed() * LOOK_PARTS);
        Ok(left)
    }
}

/// Whether what waits in order still needs the state of the drain: something older than `drop_before` is left, or,
/// where a rate is set, something that waited when the drain began. A key whose first is tried again later, or waits
/// for a person, is not waited for: that may take days.
async fn is_left(keeper: &Keeper, integration: &Integration, state: &State) -> Result<bool, Error> {
    if state.drain_per_second.is_none() && state.drop_before.is_none() {
        return Ok(false);
    }
    let broker = &keeper.broker;
    let own = subjects::ordered_waiting(&integration.provider, &integration.org, Some(&integration.id));
    let [queued, heads] = own.as_slice() else {
        return Ok(false);
    };
    let mut next = 1;
    let mut tried = HashSet::new();
    loop {
        let part = broker.read_from(subjects::ORDERED, heads, next, PART).await?;
        let Some(last) = part.last() else { break };
        next = last.seq + 1;
        tried.extend(part.iter().filter_map(|stored| key_of(&stored.subject)));
    }
    next = 1;
    loop {
        let part = broker.read_from(subjects::ORDERED, queued, next, PART).await?;
        let Some(last) = part.last() else { return Ok(false) };
        next = last.seq + 1;
        for stored in &part {
            let waits = key_of(&stored.subject).is_some_and(|key| !tried.contains(&key));
            if is_meant(&stored.body, state, stored.at, waits) {
                return Ok(true);
            }
        }
        // They lie in the order in which they came.
        if state.drop_before.is_none() && part.first().is_some_and(|first| first.at > state.since) {
            return Ok(false);
        }
    }
}

fn key_of(subject: &str) -> Option<String> {
    match subjects::read_ordered(subject)? {
        (OrderedKind::Queued | OrderedKind::Head, key) => Some(key.to_owned()),
        (OrderedKind::Mark, _) => None,
    }
}

/// Whether the drain is about a delivery that was stored at this time; `waits` is false behind one that is tried
/// again later.
fn is_meant(body: &[u8], state: &State, at: Timestamp, waits: bool) -> bool {
    if waits && state.drain_per_second.is_some() && at < state.since {
        return true;
    }
    // What cannot be read is its worker's to file.
    let since = wire::decode_delivery(body).map(|delivery| delivery.since);
    match (state.drop_before, since) {
        (Some(before), Ok(since)) => since < before,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
