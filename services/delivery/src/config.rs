//! The section `delivery` of the settings.

use serde::Deserialize;
use signalbox_proto::{Lane, state::PROBE_LAST_SECS};

/// How deliveries reach their targets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Deliveries of the lane `live` that one worker holds; 1 to 10,000.
    pub live_max: usize,
    /// Deliveries of the lane `retry` that one worker holds; 1 to 10,000.
    pub retry_max: usize,
    /// Deliveries of the lane `ordered` that one worker holds; 1 to 10,000.
    pub ordered_max: usize,
    /// Deliveries of the lane `bulk` that one worker holds; 1 to 10,000.
    pub bulk_max: usize,
    /// Requests that one worker has under way for one integration; 1 to 1,000.
    pub integration_in_flight_max: usize,
    /// Of a hundred places of a lane, those that one org may have for targets that do not answer quickly; 1 to 100.
    pub org_share_percent: usize,
    /// Requests that must have failed in a minute before an integration is left alone; 1 to 100,000.
    pub breaker_failures_min: u32,
    /// So many of a hundred answers must be failures before an integration is left alone; 1 to 100.
    pub breaker_failed_percent: u32,
    /// The wait of the first probe of a suspended integration, in seconds; 1 to 3,600.
    pub probe_first_s: u32,
    /// How long a delivery waits inside a worker for a place of its integration, in milliseconds;
    /// 10 to 10,000.
    pub place_wait_ms: u64,
    /// How long a worker that is asked to stop may finish what it has begun, in milliseconds; 0 to
    /// 300,000.
    pub drain_ms: u64,
    /// How long a finished delivery is remembered, in milliseconds; 0 to 600,000.
    pub memory_ms: u64,
}

impl Config {
    /// Checks the bounds.
    pub fn check(&self) -> Result<(), signalbox_runtime::Error> {
        use signalbox_runtime::settings::bound;
        bound("delivery.live_max", self.live_max, 1..=10_000)?;
        bound("delivery.retry_max", self.retry_max, 1..=10_000)?;
        bound("delivery.ordered_max", self.ordered_max, 1..=10_000)?;
        bound("delivery.bulk_max", self.bulk_max, 1..=10_000)?;
        bound(
            "delivery.integration_in_flight_max",
            self.integration_in_flight_max,
            1..=1_000,
        )?;
        bound("delivery.org_share_percent", self.org_share_percent, 1..=100)?;
        bound("delivery.breaker_failures_min", self.breaker_failures_min, 1..=100_000)?;
        bound("delivery.breaker_failed_percent", self.breaker_failed_percent, 1..=100)?;
        bound("delivery.probe_first_s", self.probe_first_s, 1..=PROBE_LAST_SECS)?;
        bound("delivery.place_wait_ms", self.place_wait_ms, 10..=10_000)?;
        bound("delivery.drain_ms", self.drain_ms, 0..=300_000)?;
        bound("delivery.memory_ms", self.memory_ms, 0..=600_000)?;
        Ok(())
    }

    /// Of each lane, the places that one org may have for targets that do not answer quickly.
    pub(crate) fn org_max(&self) -> [usize; Lane::ALL.len()] {
        Lane::ALL.map(|lane| (self.lane_max(lane) * self.org_share_percent).div_ceil(100))
    }

    /// Deliveries of a lane that one worker holds.
    pub(crate) fn lane_max(&self, lane: Lane) -> usize {
        match lane {
            Lane::Live => self.live_max,
            Lane::Retry => self.retry_max,
            Lane::Ordered => self.ordered_max,
            Lane::Bulk => self.bulk_max,
        }
    }
}
