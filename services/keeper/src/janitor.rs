//! Room in EVENTS and OUTCOMES: their oldest messages are let go before they are full.
//!
//! Full, EVENTS refuses what producers publish, and OUTCOMES holds back every request to a target.
//! An event that is not routed never goes; an outcome may, as the ledger says from when on it is complete.

use std::time::Duration;

use signalbox_broker::{Error, events::StreamState, topology::Consumer};
use signalbox_proto::{Timestamp, subjects};
use signalbox_runtime::metrics::{Gauge, Metrics};

use crate::Keeper;

/// What is said about the room in EVENTS.
pub(crate) struct Room {
    used: Gauge,
    outcomes_used: Gauge,
    history: Gauge,
}

impl Room {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            used: metrics.gauge("events_used_ratio", "How full EVENTS is, from 0 to 1."),
            outcomes_used: metrics.gauge("outcomes_used_ratio", "How full OUTCOMES is, from 0 to 1."),
            history: metrics.gauge(
                "events_history_seconds",
                "How far back accepted events can be replayed.",
            ),
        }
    }
}

/// The pause between two looks at a stream that is above the low mark.
const FILLING_EVERY: Duration = Duration::from_secs(2);

/// Before which sequence messages may go so that the stream falls to `low_percent`; `None` where it
/// is not above `high_percent`. What lies behind `through` never goes.
fn purge_before(state: &StreamState, through: u64, high_percent: u64, low_percent: u64) -> Option<u64> {
    let most = state.bytes_max?;
    if state.bytes < most / 100 * high_percent || state.messages == 0 {
        return None;
    }
    let excess = state.bytes.saturating_sub(most / 100 * low_percent);
    // Events of one stream are of like size on the whole.
    let share = u128::from(state.messages) * u128::from(excess) / u128::from(state.bytes.max(1));
    let before = state.first_seq + u64::try_from(share).unwrap_or(u64::MAX);
    let before = before.min(through.saturating_add(1));
    (before > state.first_seq).then_some(before)
}

/// How full a stream is, from 0 to 1; 0 where it has no limit.
fn used(state: &StreamState) -> f64 {
    state.bytes_max.map_or(0.0, |most| state.bytes as f64 / most as f64)
}

/// Looks at the room again and again, more often while a stream fills up.
pub(crate) async fn run(keeper: &Keeper, room: &Room) -> Result<(), Error> {
    loop {
        let mut fullest = 0.0_f64;
        // Each on its own: a stream that does not answer keeps room from no other.
        for (what, looked) in [
            ("counters", keeper.broker.make_missing().await.map(|()| 0.0)),
            (subjects::OUTCOMES, look_at_outcomes(keeper, room).await),
            (subjects::EVENTS, look_at_events(keeper, room).await),
        ] {
            match looked {
                Ok(used) => fullest = fullest.max(used),
                Err(error) => tracing::warn!(%error, what, "the janitor could not look; it does again"),
            }
        }
        let every = Duration::from_secs(keeper.config.janitor_every_s);
        let filling = fullest * 100.0 >= keeper.config.janitor_low_percent as f64;
        tokio::time::sleep(if filling { every.min(FILLING_EVERY) } else { every }).await;
    }
}

/// Looks at the room in OUTCOMES, makes some where it is needed, and says how full it was.
async fn look_at_outcomes(keeper: &Keeper, room: &Room) -> Result<f64, Error> {
    let (broker, config) = (&keeper.broker, &keeper.config);
    let state = broker.stream_state(subjects::OUTCOMES).await?;
    room.outcomes_used.set(used(&state));
    if let Some(before) = purge_before(
        &state,
        u64::MAX,
        config.janitor_high_percent,
        config.janitor_low_percent,
    ) {
        let purged = broker.purge(subjects::OUTCOMES, None, Some(before)).await?;
        tracing::warn!(
            purged,
            "OUTCOMES was nearly full; its oldest batches are gone; raise nats.storage_bytes to keep more"
        );
    }
    Ok(used(&state))
}

/// Looks at the room in EVENTS, makes some where it is needed, and says how full it was.
async fn look_at_events(keeper: &Keeper, room: &Room) -> Result<f64, Error> {
    let (broker, config) = (&keeper.broker, &keeper.config);
    let state = broker.stream_state(subjects::EVENTS).await?;
    room.used.set(used(&state));
    let first = broker
        .read_from(subjects::EVENTS, subjects::EVENT_ALL, state.first_seq, 1)
        .await?;
    if let Some(first) = first.first() {
        room.history.set(Timestamp::now().since(first.at).as_secs_f64());
    }
    let mut routed = u64::MAX;
    for partition in 0..broker.config().partitions {
        let progress = Consumer::router(partition, broker.config().partitions)
            .progress(broker)
            .await?;
        // A partition without anything open is through with all of the stream.
        let through = if progress.pending == 0 && progress.ack_pending == 0 {
            state.last_seq
        } else {
            progress.ack_floor
        };
        routed = routed.min(through);
    }
    if let Some(before) = purge_before(&state, routed, config.janitor_high_percent, config.janitor_low_percent) {
        let purged = broker.purge_events(before).await?;
        let left = broker
            .read_from(subjects::EVENTS, subjects::EVENT_ALL, before, 1)
            .await?;
        let since = left.first().map_or_else(Timestamp::now, |stored| stored.at);
        tracing::warn!(purged, history.since = %since, "EVENTS was nearly full; its oldest routed events are gone; raise nats.storage_bytes to keep more");
    }
    Ok(used(&state))
}

#[cfg(test)]
mod tests;
