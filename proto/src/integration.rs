//! One configured target of one org, as KV CONFIG carries it to every worker.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Name, RawJson, Severity, Timestamp};

/// Steps of the retry schedule where an integration names none, before jitter.
pub const SCHEDULE_SECS: [u32; 8] = [5, 30, 120, 600, 3_600, 10_800, 21_600, 43_200];
/// Most steps of a retry schedule.
pub const SCHEDULE_STEPS_MAX: usize = 20;
/// Seconds that a step of a retry schedule may take.
pub const STEP_SECS: std::ops::RangeInclusive<u32> = 1..=86_400;
/// Seconds until a delivery expires where an integration names none: 72 h.
pub const EXPIRE_AFTER_SECS: u32 = 72 * 3_600;
/// Seconds that an expiry may take: a minute to 30 days.
pub const EXPIRE_AFTER_SECS_RANGE: std::ops::RangeInclusive<u32> = 60..=30 * 86_400;
/// Total timeout of a request, in seconds, where an integration names none.
pub const TIMEOUT_SECS: u32 = 15;
/// Seconds that the total timeout may take.
pub const TIMEOUT_SECS_RANGE: std::ops::RangeInclusive<u32> = 1..=60;

/// An integration at one revision. A deletion leaves a tombstone; only that means deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integration {
    /// A UUIDv7, never used again.
    pub id: String,
    /// The tenant.
    pub org: Name,
    /// Unique in the org.
    pub name: Name,
    /// The kind of target; never changes.
    pub provider: Name,
    /// One more at each change.
    pub revision: u64,
    /// What its owner set. Whether it is held for a while is in [`crate::State`].
    pub status: Status,
    /// Which events it wants.
    #[serde(default)]
    pub subscription: Subscription,
    /// The provider's fields without the secret ones.
    #[serde(default)]
    pub config: RawJson,
    /// Credentials and the secret fields of the config, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
    /// The retry schedule, in seconds before jitter; `None` for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_secs: Option<Vec<u32>>,
    /// Seconds until a delivery expires; `None` for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_after_secs: Option<u32>,
    /// Total timeout of a request, in seconds; `None` for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_secs: Option<u32>,
    /// Texts of its owner instead of the provider's own form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// How fast, in which order and in what groups its deliveries go.
    #[serde(default, skip_serializing_if = "Flow::is_default")]
    pub flow: Flow,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What an owner set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Matched and delivered.
    Active,
    /// Not matched; what waits is still delivered.
    Inactive,
    /// Never tested or activated: not matched.
    PendingSetup,
    /// A tombstone.
    Deleted,
    /// Written by a newer version: not matched.
    #[serde(other)]
    Unknown,
}

/// The part of an integration that selects events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Type patterns: `*` is one token, `>` the rest.
    #[serde(default)]
    pub events: Vec<String>,
    /// Conditions that must all hold.
    #[serde(default)]
    pub filter: Filter,
}

/// Conditions on an event besides its type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Wanted agents; an event without an agent is not held back by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agent_ids: Vec<String>,
    /// The least severity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_severity: Option<Severity>,
    /// A CEL condition.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// Texts in Jinja syntax that take the place of the provider's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// The title, on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What follows the title; for a webhook the whole body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// Seconds that a window of digests may take: 10 s to 1 h.
pub const BATCH_WINDOW_SECS: std::ops::RangeInclusive<u32> = 10..=3_600;
/// Seconds of a window of digests where a batch names none.
pub const BATCH_WINDOW_SECS_DEFAULT: u32 = 60;
/// Events that a digest may have.
pub const BATCH_EVENTS: std::ops::RangeInclusive<u32> = 1..=1_000;
/// Events of a digest where a batch names none.
pub const BATCH_EVENTS_DEFAULT: u32 = 100;
/// Bytes of events that a digest may have.
pub const BATCH_BYTES_MAX: u64 = 512 * 1024;
/// Requests in a span that a limit may allow.
pub const RATE: std::ops::RangeInclusive<u32> = 1..=1_000_000;
/// Seconds to a connection, where an integration names none.
pub const CONNECT_TIMEOUT_SECS: u32 = 5;

/// How fast, in which order and in what groups an integration's deliveries go, and how its target is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Requests in a span of time; `None` for what its provider has by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Several events as one delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// An expression over `event`: deliveries for which it has the same value go one after another, in
    /// the order of acceptance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_by: Option<String>,
    /// What a dead delivery means for those of its key behind it.
    #[serde(default, skip_serializing_if = "OrderOnDead::is_release")]
    pub order_on_dead: OrderOnDead,
    /// Seconds to a connection; `None` for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout_secs: Option<u32>,
    /// Seconds between two checks whether its target takes us; `None` for no checks: see [`crate::health`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_secs: Option<u32>,
}

impl Flow {
    /// Whether nothing is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Requests in spans of time that are aligned to the clock in UTC; `None` is without a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// In each minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<u32>,
    /// In each hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_hour: Option<u32>,
    /// In each day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u32>,
}

impl RateLimit {
    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// When a digest closes: at the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Seconds after its first event.
    pub window_secs: u32,
    /// With so many events.
    pub events_max: u32,
}

/// What a dead delivery means for those of its key behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderOnDead {
    /// They go on.
    #[default]
    Release,
    /// They wait until a person replays or discards the dead letter.
    #[serde(other)]
    Hold,
}

impl OrderOnDead {
    /// Whether they go on.
    pub const fn is_release(&self) -> bool {
        matches!(self, Self::Release)
    }
}

/// Ciphertext with the id of its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Which key opens it.
    pub key_id: String,
    /// Nonce and ciphertext.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// The plain text inside [`Sealed`], as JSON; the associated data is the integration's id.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Secrets {
    /// The secret fields of the config, in the shape of the config.
    #[serde(default)]
    pub config: serde_json::Value,
    /// All credentials.
    #[serde(default)]
    pub credentials: serde_json::Value,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl Integration {
    /// The retry schedule before jitter.
    pub fn schedule(&self) -> &[u32] {
        self.schedule_secs.as_deref().unwrap_or(&SCHEDULE_SECS)
    }

    /// How long a delivery may wait.
    pub fn expire_after(&self) -> Duration {
        Duration::from_secs(self.expire_after_secs.unwrap_or(EXPIRE_AFTER_SECS).into())
    }

    /// How long a connection may take.
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_secs(self.flow.connect_timeout_secs.unwrap_or(CONNECT_TIMEOUT_SECS).into())
    }

    /// How long a request may take in all.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_secs.unwrap_or(TIMEOUT_SECS).into())
    }
}

#[cfg(test)]
mod tests;
