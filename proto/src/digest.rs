//! Digests: several events as one delivery.
//!
//! The deliveries that become a digest are its members. They wait in BATCH, each with its own id; what they become has
//! an id of its own. Which ones they are is fixed by a [`Manifest`] before the digest is published, so that every
//! attempt, by whichever keeper, sends the same members under the same id.

use serde::{Deserialize, Serialize};

use crate::{Attempt, Delivery, Lane, Name, delivery, event};

/// The type of event as which receivers see a digest.
pub const EVENT_TYPE: &str = "signalbox.digest";

/// The members of a digest that is being closed, as STATE holds them: all messages of its integration's subject in
/// BATCH between two sequences, which never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The digest's id: see [`delivery::digest_id`].
    pub id: String,
    /// The tenant.
    pub org: Name,
    /// The integration's id.
    pub integration: String,
    /// The sequence in BATCH of the first member.
    pub first: u64,
    /// The sequence in BATCH of the last member.
    pub last: u64,
    /// How many there are.
    pub count: u32,
    /// Whether the digest is on its way: what is left of the members is only to be removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sent: bool,
    /// Where it goes; `None` where that is not fixed yet. A repeat goes the same way, where the server knows it as a
    /// repeat: what is known of the integration may have changed meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<Way>,
}

/// Where a digest goes when it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// Into the lane `live`.
    Live,
    /// Into PARKED, as its integration is held.
    Parked,
}

impl Manifest {
    /// Whether a message of the integration's subject in BATCH is a member.
    pub const fn holds(&self, seq: u64) -> bool {
        seq >= self.first && seq <= self.last
    }

    /// The digest of these members; `None` of none.
    ///
    /// Members go in the order of acceptance. One that is there twice, because its event was routed twice, goes once.
    pub fn digest(&self, mut members: Vec<Delivery>, revision: u64) -> Option<Delivery> {
        members.sort_by(|a, b| (a.event().seq, &a.id).cmp(&(b.event().seq, &b.id)));
        members.dedup_by(|later, first| later.id == first.id);
        let since = members.iter().map(|member| member.since).min()?;
        let newest = members.iter().map(|member| member.revision).max()?;
        let matched_each: Vec<u32> = members.iter().map(|member| member.matched).collect();
        let matched = matched_each.first().copied()?;
        let first = members.first()?.clone();
        Some(Delivery {
            id: self.id.clone(),
            org: self.org.clone(),
            integration: self.integration.clone(),
            revision: newest.max(revision),
            hop: 0,
            lane: Lane::Live,
            events: members.into_iter().flat_map(|member| member.events).collect(),
            matched,
            digest: true,
            matched_each,
            since,
            ..first
        })
    }
}

impl Delivery {
    /// Whether receivers see it as a digest. One of a single event is a digest as well.
    pub fn is_digest(&self) -> bool {
        self.digest || self.events.len() > 1
    }

    /// The ids of the deliveries that it stands for, in the order of its events: its own, or those of its members.
    pub fn member_ids(&self) -> Vec<String> {
        if self.is_digest() {
            let members = self.events.iter();
            members
                .map(|accepted| delivery::id(&accepted.event.key(), &self.integration))
                .collect()
        } else {
            vec![self.id.clone()]
        }
    }

    /// Its id when it is sent to this integration: its own, or that of what the event, or the digest, owes to another.
    pub fn id_at(&self, integration: &str) -> String {
        if integration == self.integration {
            self.id.clone()
        } else if self.is_digest() {
            delivery::id(&self.id, integration)
        } else {
            delivery::id(&self.event().event.key(), integration)
        }
    }
}

impl Attempt {
    /// The ids of the deliveries that it stands for, in the order of its events: those of [`Delivery::member_ids`].
    pub fn member_ids(&self) -> impl Iterator<Item = String> {
        self.events.iter().map(|event| {
            let key = event::key(&self.org, &event.source, &event.id);
            delivery::id(&key, &self.integration)
        })
    }

    /// Whether what was tried is a digest: one of a single event has not the id of that event's delivery.
    pub fn is_digest(&self) -> bool {
        self.events.len() > 1 || self.member_ids().any(|id| id != self.delivery)
    }
}

#[cfg(test)]
mod tests;
