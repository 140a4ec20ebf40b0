//! Health checks: an integration that asks for them is proved by the clock, without an event.
//!
//! A keeper makes them, and KV STATE holds a [`Check`] for each integration: when the next one is due, and what the last
//! one found. Whoever writes the time of the next one first makes this one; so it is made once, and not again where its
//! keeper dies in the middle. When a check is due follows from the integration's id and its interval alone, so that those
//! of many integrations are spread, and an entry that is lost changes nothing.

use serde::{Deserialize, Serialize};

use crate::{Integration, Timestamp, hash, integration::Status, outcome::OutcomeKind};

/// Seconds between two checks: 5 minutes to 7 days.
pub const HEALTH_CHECK_SECS: std::ops::RangeInclusive<u32> = 300..=7 * 86_400;

/// The checks of one integration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The interval that `next_at` follows from: where it is another one now, that counts for nothing.
    pub every_secs: u32,
    /// When the next one is due.
    pub next_at: Timestamp,
    /// When the last one was begun.
    pub began_at: Timestamp,
    /// What the last one found that came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Found>,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// When it was over.
    pub at: Timestamp,
    /// What the target's answer means.
    pub outcome: OutcomeKind,
    /// Why it was not well, as an owner may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The status of the answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_code: Option<u16>,
}

/// Seconds between two checks of an integration, if it is to be checked: it is active and asks for it.
pub fn wanted(integration: &Integration) -> Option<u32> {
    let every_secs = integration.flow.health_check_secs?;
    (integration.status == Status::Active).then_some(every_secs)
}

/// When the next check of an integration is due, by what is known of the last one.
pub fn due(known: Option<&Check>, integration: &Integration, every_secs: u32) -> Timestamp {
    match known {
        Some(check) if check.every_secs == every_secs => check.next_at,
        _ => next(&integration.id, every_secs, integration.updated_at),
    }
}

/// The first time for a check behind another time.
pub fn next(id: &str, every_secs: u32, after: Timestamp) -> Timestamp {
    let every = i64::from(every_secs.max(1));
    let offset = i64::from(hash::fnv1a(id.as_bytes())) % every;
    let since_last = (after.secs() - offset).rem_euclid(every);
    Timestamp::from_secs(after.secs() - since_last + every)
}

#[cfg(test)]
mod tests;
