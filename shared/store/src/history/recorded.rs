//! A delivery as history knows it: what it is, how it stands, its attempts.

use signalbox_proto::{Attempt, DeadLetter, Delivery, Timestamp, digest, outcome::EventRef};

use super::{
    attempts::{Entry, History},
    standing::{Standing, Status},
};

/// One delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The delivery's id.
    pub id: String,
    /// The tenant.
    pub org: String,
    /// The integration's id.
    pub integration: String,
    /// The kind of target.
    pub provider: String,
    pub(super) about: About,
    pub(super) standing: Standing,
    pub(super) history: History,
}

/// What is delivered: the event, or the digest that begins with it.
///
/// An event that was accepted a second time, after the server forgot its id, owes the same delivery: the earlier
/// acceptance counts, which is the lesser.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct About {
    /// When it was accepted; when it was first tried, where an older version recorded it.
    pub created_at: Timestamp,
    /// Its sequence in EVENTS.
    pub event_seq: u64,
    /// Its id; of a digest that of its first event.
    pub event_id: String,
    /// Its source.
    pub event_source: String,
    /// Its type; of a digest `signalbox.digest`.
    pub event_type: String,
    /// How many events it has.
    pub event_count: u64,
}

/// A member of a digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// The event's sequence in EVENTS.
    pub event_seq: u64,
    /// The event's id.
    pub event_id: String,
    /// Its source.
    pub event_source: String,
    /// Its type.
    pub event_type: String,
    /// When it was accepted; when the digest was tried, where an older version recorded it.
    pub created_at: Timestamp,
}

impl Recorded {
    /// What an attempt tells; `None` where it names no event. The members are those of a digest.
    pub(super) fn of_attempt(attempt: Attempt) -> Option<(Self, Vec<Member>)> {
        let is_digest = attempt.is_digest();
        let first = attempt.events.first()?;
        let about = About {
            created_at: first.accepted(attempt.at),
            event_seq: first.seq,
            event_id: first.id.clone(),
            event_source: first.source.clone(),
            event_type: type_of(is_digest, first.event_type.as_str()),
            event_count: attempt.events.len() as u64,
        };
        let members = attempt.events.iter().filter(|_| is_digest).map(|event| Member {
            event_seq: event.seq,
            event_id: event.id.clone(),
            event_source: event.source.clone(),
            event_type: event.event_type.to_string(),
            created_at: event.accepted(attempt.at),
        });
        let members = members.collect();
        let recorded = Self {
            id: attempt.delivery.clone(),
            org: attempt.org.to_string(),
            integration: attempt.integration.clone(),
            provider: attempt.provider.to_string(),
            about,
            standing: Standing::of_attempt(&attempt),
            history: Entry::from(attempt).into(),
        };
        Some((recorded, members))
    }

    /// What a dead letter that was stored then tells of its delivery.
    pub(super) fn of_letter(letter: &DeadLetter, delivery: &Delivery, at: Timestamp) -> Option<(Self, Vec<Member>)> {
        let is_digest = delivery.is_digest();
        let first = delivery.events.first()?;
        let about = About {
            created_at: first.at,
            event_seq: first.seq,
            event_id: first.event.id.clone(),
            event_source: first.event.source.clone(),
            event_type: type_of(is_digest, first.event.event_type.as_str()),
            event_count: delivery.events.len() as u64,
        };
        let members = delivery.events.iter().filter(|_| is_digest).map(|accepted| Member {
            event_seq: accepted.seq,
            event_id: accepted.event.id.clone(),
            event_source: accepted.event.source.clone(),
            event_type: accepted.event.event_type.to_string(),
            created_at: accepted.at,
        });
        let members = members.collect();
        let recorded = Self {
            id: delivery.id.clone(),
            org: delivery.org.to_string(),
            integration: delivery.integration.clone(),
            provider: delivery.provider.to_string(),
            about,
            standing: Standing::of_letter(letter, delivery, at),
            history: History::default(),
        };
        Some((recorded, members))
    }

    /// Joins what another report tells of the same delivery. Order and repetition do not matter.
    pub(super) fn join(&mut self, other: Self) {
        if other.about < self.about {
            self.about = other.about;
        }
        self.history.join(other.history);
        self.stand(other.standing);
    }

    /// Joins another report of how it stands.
    pub(super) fn stand(&mut self, standing: Standing) {
        if standing > self.standing {
            self.standing = standing;
        }
    }

    /// The event, or the digest, that it delivers.
    pub const fn about(&self) -> &About {
        &self.about
    }

    /// How it stands.
    pub const fn status(&self) -> Status {
        self.standing.status
    }

    /// The generation in which it stands so: 0, a higher one after a replay.
    pub fn generation(&self) -> u32 {
        self.standing.rank.generation()
    }

    /// Since when it stands so.
    pub const fn changed_at(&self) -> Timestamp {
        self.standing.at
    }

    /// When it is tried again, unless it ended.
    pub const fn next_attempt_at(&self) -> Option<Timestamp> {
        self.standing.next_at
    }

    /// Why it was not delivered, as its owner may see it.
    pub fn error_message(&self) -> Option<&str> {
        match self.standing.status {
            Status::Delivered => None,
            _ => self.standing.message.as_deref(),
        }
    }

    /// Its attempts.
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// How many requests the generation in which it stands so had at the least.
    pub fn attempts_of_generation(&self) -> u32 {
        self.standing.rank.attempt()
    }

    /// How many requests there were. Where not all were recorded, the report that counts says how many its generation had
    /// at the least.
    pub fn attempts(&self) -> u64 {
        self.history.sent().max(u64::from(self.standing.rank.attempt()))
    }
}

/// The type under which a delivery is found.
fn type_of(is_digest: bool, of_first: &str) -> String {
    if is_digest { digest::EVENT_TYPE } else { of_first }.to_owned()
}

/// When an event was accepted, as far as its record says.
trait Acceptance {
    fn accepted(&self, tried: Timestamp) -> Timestamp;
}

impl Acceptance for EventRef {
    fn accepted(&self, tried: Timestamp) -> Timestamp {
        if self.accepted_at == Timestamp::default() {
            tried
        } else {
            self.accepted_at
        }
    }
}
