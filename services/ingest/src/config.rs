//! The section `ingest` of the settings.

use serde::Deserialize;

/// How events come in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The largest event, in bytes of its stored form; 1 KiB to 256 KiB.
    pub event_bytes_max: usize,
    /// Messages of INGEST that one worker holds at a time, for each partition; 1 to 10,000.
    pub in_flight_max: usize,
    /// Events that one org may publish in a second, over all processes; 0 for any number, at most 10,000,000.
    pub org_per_second: u32,
    /// The largest body over HTTP that holds a list of events, in bytes; 64 KiB to 64 MiB.
    pub http_body_bytes_max: usize,
    /// How long a publish over HTTP waits for its acknowledgement, in milliseconds; 100 to 60,000.
    pub http_timeout_ms: u64,
    /// Whether events are taken in for orgs that nobody made.
    pub unknown_orgs: UnknownOrgs,
}

/// What becomes of events of an org that nobody made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownOrgs {
    /// They are taken in as any other.
    Accept,
    /// They are refused; over NATS they are kept as dead letters.
    Reject,
}

impl Config {
    /// Checks the bounds.
    pub fn check(&self) -> Result<(), signalbox_runtime::Error> {
        use signalbox_runtime::settings::bound;
        bound(
            "ingest.event_bytes_max",
            self.event_bytes_max,
            1_024..=signalbox_proto::event::BYTES_MAX,
        )?;
        bound("ingest.in_flight_max", self.in_flight_max, 1..=10_000)?;
        bound("ingest.org_per_second", self.org_per_second, 0..=10_000_000)?;
        bound(
            "ingest.http_body_bytes_max",
            self.http_body_bytes_max,
            64 * 1_024..=64 * 1_024 * 1_024,
        )?;
        bound("ingest.http_timeout_ms", self.http_timeout_ms, 100..=60_000)?;
        Ok(())
    }
}
