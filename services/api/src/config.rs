//! The section `api` of the settings.

use std::time::Duration;

use serde::Deserialize;
use signalbox_runtime::{Error, duration::Human, settings::bound};

/// What `request_timeout` may be.
const TIMEOUT: std::ops::RangeInclusive<Human> = Human(Duration::from_secs(1))..=Human(Duration::from_secs(600));

/// What the API takes at most.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The largest body of a request, in bytes; 1 KiB to 64 MiB.
    pub body_bytes_max: usize,
    /// The largest body of `POST /v1/apply`, in bytes; 1 KiB to 1 GiB.
    pub apply_bytes_max: usize,
    /// Integrations that apply writes at a time; 1 to 1,000.
    pub apply_in_flight_max: usize,
    /// How long an answer may take to begin; 1 s to 10 m. Routes that count or follow have bounds of their own.
    #[serde(with = "signalbox_runtime::duration")]
    pub request_timeout: Duration,
}

impl Config {
    /// Checks the bounds.
    pub fn check(&self) -> Result<(), Error> {
        bound("api.body_bytes_max", self.body_bytes_max, 1_024..=64 << 20)?;
        bound("api.apply_bytes_max", self.apply_bytes_max, 1_024..=1 << 30)?;
        bound("api.apply_in_flight_max", self.apply_in_flight_max, 1..=1_000)?;
        bound("api.request_timeout", Human(self.request_timeout), TIMEOUT)?;
        Ok(())
    }
}
