//! The section `recorder` of the settings.

use std::time::Duration;

use serde::Deserialize;
use signalbox_runtime::{duration, settings::bound};

/// History: what becomes of deliveries, written into the database.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How long recording stays with a process that says nothing; `3s` to `60s`.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// Records that are written in one transaction at most; 1 to 20,000.
    pub batch_max: u64,
    /// How long the first record of a batch waits for others; `1ms` to `10s`.
    #[serde(with = "duration")]
    pub batch_wait: Duration,
    /// How long history is kept; `1d` to `3650d`.
    #[serde(with = "duration")]
    pub retention: Duration,
    /// How long the audit is kept; `1d` to `3650d`.
    #[serde(with = "duration")]
    pub audit_retention: Duration,
    /// How often what is older is looked for; `1s` to `1d`.
    #[serde(with = "duration")]
    pub prune_every: Duration,
    /// The rest after each thousand rows that go; up to `10s`.
    #[serde(with = "duration")]
    pub prune_pause: Duration,
}

impl Config {
    /// Checks the bounds.
    pub fn check(&self) -> Result<(), signalbox_runtime::Error> {
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        let within = |name: &str, value: Duration, least: Duration, most: Duration| {
            bound(
                name,
                duration::Human(value),
                duration::Human(least)..=duration::Human(most),
            )
            .map(|_| ())
        };
        within("recorder.lease", self.lease, second * 3, second * 60)?;
        bound("recorder.batch_max", self.batch_max, 1..=20_000)?;
        within(
            "recorder.batch_wait",
            self.batch_wait,
            Duration::from_millis(1),
            second * 10,
        )?;
        within("recorder.retention", self.retention, day, day * 3_650)?;
        within("recorder.audit_retention", self.audit_retention, day, day * 3_650)?;
        within("recorder.prune_every", self.prune_every, second, day)?;
        within("recorder.prune_pause", self.prune_pause, Duration::ZERO, second * 10)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
