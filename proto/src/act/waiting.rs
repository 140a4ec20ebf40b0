//! Which waiting deliveries an act is about.

use serde::{Deserialize, Serialize};

use crate::{Delivery, Name, Timestamp};

/// How a delivery waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// Not tried yet.
    Pending,
    /// Tried, and to be tried again.
    Retrying,
    /// In PARKED.
    Parked,
}

impl Wait {
    /// How this delivery waits, in PARKED or not.
    pub const fn of(delivery: &Delivery, parked: bool) -> Self {
        match (parked, delivery.attempt) {
            (true, _) => Self::Parked,
            (false, 0) => Self::Pending,
            (false, _) => Self::Retrying,
        }
    }
}

/// Which waiting deliveries an act is about. Every condition that is given must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingFilter {
    /// The tenant.
    pub org: Name,
    /// These deliveries alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// The integration's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integration: Option<String>,
    /// The kind of target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Name>,
    /// The event's type, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// How they wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Wait>,
    /// Accepted (or replayed) at or after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Accepted (or replayed) before; at the latest when the act was asked for.
    pub until: Timestamp,
}

impl WaitingFilter {
    /// Whether a delivery that waits, in PARKED or not, is one that it is about.
    pub fn covers(&self, delivery: &Delivery, parked: bool) -> bool {
        let event_type = delivery.event().event.event_type.as_str();
        self.org == delivery.org
            && (self.ids.is_empty() || self.ids.contains(&delivery.id))
            && self.integration.as_ref().is_none_or(|id| *id == delivery.integration)
            && self.provider.as_ref().is_none_or(|name| *name == delivery.provider)
            && self.event_type.as_deref().is_none_or(|wanted| wanted == event_type)
            && self.status.is_none_or(|wait| wait == Wait::of(delivery, parked))
            && self.since.is_none_or(|since| delivery.since >= since)
            && delivery.since < self.until
    }
}

#[cfg(test)]
mod tests;
