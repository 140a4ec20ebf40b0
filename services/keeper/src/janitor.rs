//! Room in EVENTS: its oldest routed events are let go before it is full.

use signalbox_broker::{Error, events::StreamState, topology::Consumer};
use signalbox_proto::{Timestamp, subjects};
use signalbox_runtime::metrics::{Gauge, Metrics};

use crate::Keeper;

/// What is said about the room in EVENTS.
pub(crate) struct Room {
    used: Gauge,
    history: Gauge,
}

impl Room {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            used: metrics.gauge("events_used_ratio", "How full EVENTS is, from 0 to 1."),
            history: metrics.gauge("events_history_seconds", "How far back accepted events can be replayed."),
        }
    }
}

/// Before which sequence events may go so that the stream falls to `low_percent`; `None` where it
/// is not above `high_percent`. What is not routed yet never goes.
fn purge_before(state: &StreamState, routed: u64, high_percent: u64, low_percent: u64) -> Option<u64> {
    let most = state.bytes_max?;
    if state.bytes < most / 100 * high_percent || state.messages == 0 {
        return None;
    }
    let excess = state.bytes.saturating_sub(most / 100 * low_percent);
    // Events of one stream are of like size on the whole.
    let share = u128::from(state.messages) * u128::from(excess) / u128::from(state.bytes.max(1));
    let before = state.first_seq + u64::try_from(share).unwrap_or(u64::MAX);
    let before = before.min(routed + 1);
    (before > state.first_seq).then_some(before)
}

/// Looks at the room and makes some where it is needed.
pub(crate) async fn look(keeper: &Keeper, room: &Room) -> Result<(), Error> {
    let broker = &keeper.broker;
    // Counters in memory vanish with their server.
    broker.make_missing().await?;
    let state = broker.stream_state(subjects::EVENTS).await?;
    if let Some(most) = state.bytes_max {
        room.used.set(state.bytes as f64 / most as f64);
    }
    let first = broker.read_from(subjects::EVENTS, subjects::EVENT_ALL, state.first_seq, 1).await?;
    if let Some(first) = first.first() {
        room.history.set(Timestamp::now().since(first.at).as_secs_f64());
    }
    let mut routed = u64::MAX;
    for partition in 0..broker.config().partitions {
        let progress = Consumer::router(partition, broker.config().partitions).progress(broker).await?;
        // A partition without anything open is through with all of the stream.
        let through = if progress.pending == 0 && progress.ack_pending == 0 { state.last_seq } else { progress.ack_floor };
        routed = routed.min(through);
    }
    let config = &keeper.config;
    if let Some(before) = purge_before(&state, routed, config.janitor_high_percent, config.janitor_low_percent) {
        let purged = broker.purge_events(before).await?;
        let left = broker.read_from(subjects::EVENTS, subjects::EVENT_ALL, before, 1).await?;
        let since = left.first().map_or_else(Timestamp::now, |stored| stored.at);
        tracing::warn!(purged, history.since = %since, "EVENTS was nearly full; its oldest routed events are gone; raise nats.storage_bytes to keep more");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
