//! The section `keeper` of the settings.

use serde::Deserialize;

/// The duties that one process has for all.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How long a duty stays with a keeper that says nothing, in seconds; 3 to 60.
    pub lease_s: u64,
    /// Integrations that are drained at the same time; 1 to 500.
    pub drains_max: usize,
    /// How often what waits is counted, in seconds; 1 to 3,600.
    pub look_every_s: u64,
    /// Deliveries that may wait for one integration before that is said; 0 for any number, at most 1,000,000,000.
    pub waiting_integration_max: u64,
    /// Deliveries that may wait for one org before its publishing is refused; 0 for any number, at most 1,000,000,000.
    pub waiting_org_max: u64,
    /// What waits may take of the storage that other streams leave of nats.storage_bytes, in percent; beyond, all
    /// publishing is refused; 10 to 99.
    pub storage_high_percent: u64,
    /// How often expired deliveries are looked for in PARKED, in seconds; 1 to 3,600.
    pub sweep_every_s: u64,
    /// How often the room left in EVENTS and OUTCOMES is looked at, in seconds; 1 to 3,600.
    pub janitor_every_s: u64,
    /// EVENTS and OUTCOMES are relieved when they are this full, in percent; 50 to 99.
    pub janitor_high_percent: u64,
    /// EVENTS and OUTCOMES are relieved until they are this full, in percent; 10 to 98, below the other.
    pub janitor_low_percent: u64,
    /// How often the ledger of the last while is checked, in seconds; 0 for never, else 10 to 86,400.
    pub ledger_every_s: u64,
}

impl Config {
    /// Checks the bounds.
    pub fn check(&self) -> Result<(), signalbox_runtime::Error> {
        use signalbox_runtime::settings::bound;
        bound("keeper.lease_s", self.lease_s, 3..=60)?;
        bound("keeper.drains_max", self.drains_max, 1..=500)?;
        bound("keeper.look_every_s", self.look_every_s, 1..=3_600)?;
        for (name, most) in [
            ("keeper.waiting_integration_max", self.waiting_integration_max),
            ("keeper.waiting_org_max", self.waiting_org_max),
        ] {
            bound(name, most, 0..=1_000_000_000)?;
        }
        bound("keeper.storage_high_percent", self.storage_high_percent, 10..=99)?;
        bound("keeper.sweep_every_s", self.sweep_every_s, 1..=3_600)?;
        bound("keeper.janitor_every_s", self.janitor_every_s, 1..=3_600)?;
        bound("keeper.janitor_high_percent", self.janitor_high_percent, 50..=99)?;
        bound(
            "keeper.janitor_low_percent",
            self.janitor_low_percent,
            10..=self.janitor_high_percent - 1,
        )?;
        if self.ledger_every_s != 0 {
            bound("keeper.ledger_every_s", self.ledger_every_s, 10..=86_400)?;
        }
        Ok(())
    }
}
