//! API keys, as KV CONFIG carries them to whoever answers requests: by hash, never the key itself.
//!
//! An entry lies under the SHA-256 of its key's text ([`crate::subjects::key_key`]). A key that is revoked stays there
//! with the time, so that everyone who follows the bucket hears of it.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Name, Timestamp};

/// One key at one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// A UUIDv7, never used again.
    pub id: String,
    /// The tenant that it acts for; `None` for a key of the whole installation, which has the scope `admin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<Name>,
    /// What its owner calls it.
    #[serde(default)]
    pub name: String,
    /// What it may do.
    #[serde(default)]
    pub scopes: Vec<Scope>,
    /// Who holds it.
    pub principal: Principal,
    /// From when on it is refused; `None` for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked. It is refused as soon as this is known, whatever the time: clocks differ, and a
    /// revocation does not wait for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// One more at each change.
    #[serde(default)]
    pub revision: u64,
}

impl Key {
    /// Why it does not open any more; `None` while it does.
    pub fn refused(&self, now: Timestamp) -> Option<Ended> {
        if self.revoked_at.is_some() {
            Some(Ended::Revoked)
        } else if self.expires_at.is_some_and(|at| at <= now) {
            Some(Ended::Expired)
        } else {
            None
        }
    }
}

/// Why a key that is known does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// Its time is over.
    Expired,
    /// Somebody revoked it.
    Revoked,
}

/// Who holds a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// What the holder is.
    pub kind: PrincipalKind,
    /// The holder's name, as whoever made the key gave it.
    #[serde(default)]
    pub id: String,
}

/// What the holder of a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A program of the installation's owner.
    Service,
    /// A program of somebody else.
    ExternalAgent,
    /// Written by a newer version.
    #[serde(other)]
    Unknown,
}

impl PrincipalKind {
    /// All that this version writes.
    pub const ALL: [Self; 3] = [Self::User, Self::Service, Self::ExternalAgent];

    /// The word in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
            Self::ExternalAgent => "external_agent",
            Self::Unknown => "unknown",
        }
    }
}

/// What a key allows, as `<noun>:<verb>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Publishing events.
    EventsWrite,
    /// Seeing integrations and event types.
    IntegrationsRead,
    /// Making, changing and removing them.
    IntegrationsWrite,
    /// Seeing events, deliveries and dead letters.
    DeliveriesRead,
    /// Replaying and discarding.
    DeadLettersWrite,
    /// All of these, and whatever comes to be.
    Admin,
    /// Written by a newer version: kept, and grants nothing.
    Other(Arc<str>),
}

/// A word that is no scope of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a scope: there are events:write, integrations:read, integrations:write, deliveries:read, \
     dead-letters:write and admin"
)]
pub struct InvalidScope(pub String);

impl Scope {
    /// All that this version knows.
    pub const ALL: [Self; 6] = [
        Self::EventsWrite,
        Self::IntegrationsRead,
        Self::IntegrationsWrite,
        Self::DeliveriesRead,
        Self::DeadLettersWrite,
        Self::Admin,
    ];

    /// The word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::EventsWrite => "events:write",
            Self::IntegrationsRead => "integrations:read",
            Self::IntegrationsWrite => "integrations:write",
            Self::DeliveriesRead => "deliveries:read",
            Self::DeadLettersWrite => "dead-letters:write",
            Self::Admin => "admin",
            Self::Other(word) => word,
        }
    }

    /// The scope of a word, also of one that only a newer version knows.
    pub fn read(word: &str) -> Self {
        word.parse().unwrap_or_else(|_| Self::Other(word.into()))
    }

    /// Whether it allows what needs `required`.
    pub fn grants(&self, required: &Self) -> bool {
        match self {
            Self::Admin => true,
            Self::Other(_) => false,
            Self::EventsWrite
            | Self::IntegrationsRead
            | Self::IntegrationsWrite
            | Self::DeliveriesRead
            | Self::DeadLettersWrite => self == required,
        }
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    /// Only what this version knows: for what people write. What is stored goes through [`Scope::read`].
    fn from_str(word: &str) -> Result<Self, InvalidScope> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == word)
            .ok_or_else(|| InvalidScope(word.chars().take(64).collect()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Ok(Self::read(&word))
    }
}

#[cfg(test)]
mod tests;
