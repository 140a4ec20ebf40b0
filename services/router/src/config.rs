//! The section `router` of the settings.

use serde::Deserialize;

/// How events find their integrations.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Events that one worker holds at a time, for each partition; 1 to 10,000.
    pub in_flight_max: usize,
    /// How long a provider's stream may be silent before its deliveries are parked instead, in
    /// milliseconds; 100 to 60,000.
    pub stall_ms: u64,
    /// How long acknowledgements are held, in milliseconds; 0 to 5,000.
    pub ack_hold_ms: u64,
    /// How long a routed event is remembered, in milliseconds; 0 to 120,000.
    pub memory_ms: u64,
}

impl Config {
    /// Checks the bounds.
    pub fn check(&self) -> Result<(), signalbox_runtime::Error> {
        use signalbox_runtime::settings::bound;
        bound("router.in_flight_max", self.in_flight_max, 1..=10_000)?;
        bound("router.stall_ms", self.stall_ms, 100..=60_000)?;
        bound("router.ack_hold_ms", self.ack_hold_ms, 0..=5_000)?;
        bound("router.memory_ms", self.memory_ms, 0..=120_000)?;
        Ok(())
    }
}
