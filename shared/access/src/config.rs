//! This crate's part of the section `auth` of the settings.

use serde::Deserialize;

/// How often a key may call.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Requests that a key may send in a second to the control API, a process; 0 for any number, at most 100,000.
    pub requests_per_second: u32,
}

impl Config {
    /// The keys of the section that are this crate's.
    pub const KEYS: [&'static str; 1] = ["requests_per_second"];

    /// Checks the bounds.
    pub fn check(&self) -> Result<(), signalbox_runtime::Error> {
        signalbox_runtime::settings::bound("auth.requests_per_second", self.requests_per_second, 0..=100_000)?;
        Ok(())
    }
}
