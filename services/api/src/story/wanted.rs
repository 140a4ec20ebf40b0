//! Which deliveries a reader wants to know of.

use std::collections::HashSet;

use signalbox_proto::{Attempt, Delivery, Name};

/// Which deliveries a reader wants to know of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    /// Those of one event, alone or in a digest; of any source where none is named.
    Event {
        org: &'a Name,
        id: &'a str,
        source: Option<&'a str>,
    },
    /// Those with these ids.
    Ids { org: &'a Name, ids: &'a HashSet<String> },
    /// Those of an org, or of one integration of it.
    Of {
        org: &'a Name,
        integration: Option<&'a str>,
        /// The integration's provider, where it is known: no other provider's stream is read.
        provider: Option<&'a Name>,
    },
}

impl Wanted<'_> {
    pub(super) fn org(&self) -> &Name {
        match self {
            Self::Event { org, .. } | Self::Ids { org, .. } | Self::Of { org, .. } => org,
        }
    }

    pub(super) fn integration(&self) -> Option<&str> {
        match self {
            Self::Of { integration, .. } => *integration,
            Self::Event { .. } | Self::Ids { .. } => None,
        }
    }

    pub(super) fn provider(&self) -> Option<&Name> {
        match self {
            Self::Of { provider, .. } => *provider,
            Self::Event { .. } | Self::Ids { .. } => None,
        }
    }

    /// The id of the event that is wanted, where it is one.
    pub(crate) fn event_id(&self) -> Option<&str> {
        match self {
            Self::Event { id, .. } => Some(id),
            Self::Ids { .. } | Self::Of { .. } => None,
        }
    }

    /// Whether the event's source is named.
    pub(crate) fn is_of_one_source(&self) -> bool {
        matches!(self, Self::Event { source: Some(_), .. })
    }

    /// Whether an event is the one.
    pub(crate) fn names(&self, event_id: &str, event_source: &str) -> bool {
        match self {
            Self::Event { id, source, .. } => *id == event_id && source.is_none_or(|source| source == event_source),
            Self::Ids { .. } | Self::Of { .. } => false,
        }
    }

    fn covers<'e>(
        &self,
        delivery: &str,
        org: &Name,
        integration: &str,
        mut events: impl Iterator<Item = (&'e str, &'e str)>,
        mut members: impl Iterator<Item = String>,
    ) -> bool {
        self.org() == org
            && match self {
                Self::Event { .. } => events.any(|(id, source)| self.names(id, source)),
                // A digest is what became of its members.
                Self::Ids { ids, .. } => ids.contains(delivery) || members.any(|id| ids.contains(&id)),
                Self::Of {
                    integration: wanted, ..
                } => wanted.is_none_or(|wanted| wanted == integration),
            }
    }

    pub(super) fn attempt(&self, attempt: &Attempt) -> bool {
        let events = attempt.events.iter();
        let events = events.map(|event| (event.id.as_str(), event.source.as_str()));
        let members = attempt.member_ids();
        self.covers(&attempt.delivery, &attempt.org, &attempt.integration, events, members)
    }

    pub(super) fn delivery(&self, delivery: &Delivery) -> bool {
        let events = delivery.events.iter();
        let events = events.map(|accepted| (accepted.event.id.as_str(), accepted.event.source.as_str()));
        // Put off: most readers do not ask.
        let members = std::iter::once_with(|| delivery.member_ids()).flatten();
        self.covers(&delivery.id, &delivery.org, &delivery.integration, events, members)
    }
}
