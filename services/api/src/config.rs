//! The section `api` of the settings.

use serde::Deserialize;
use signalbox_runtime::{Error, settings::bound};

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
}

impl Config {
    /// Checks the bounds.
    pub fn check(&self) -> Result<(), Error> {
        bound("api.body_bytes_max", self.body_bytes_max, 1_024..=64 << 20)?;
        bound("api.apply_bytes_max", self.apply_bytes_max, 1_024..=1 << 30)?;
        bound("api.apply_in_flight_max", self.apply_in_flight_max, 1..=1_000)?;
        Ok(())
    }
}
