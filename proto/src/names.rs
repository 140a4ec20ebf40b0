//! Names that users choose and that become subject tokens: of orgs, integrations, event types.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de};

/// Longest name of an org or integration, in characters.
pub const NAME_CHARS_MAX: usize = 64;
/// Longest event type, in characters.
pub const TYPE_CHARS_MAX: usize = 128;
/// Most tokens of an event type.
pub const TYPE_TOKENS_MAX: usize = 8;
/// Longest event id, in characters.
pub const EVENT_ID_CHARS_MAX: usize = 128;

/// Why a text cannot be a name; the message says what would be.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum InvalidName {
    /// Not the name of an org or integration.
    #[error("{0:?} is not a name: use 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit")]
    Name(String),
    /// Not an event type.
    #[error(
        "{0:?} is not an event type: use 1 to 8 tokens of A-Z, a-z, 0-9, _ and -, joined by dots, 128 characters in all"
    )]
    Type(String),
    /// Not an event id.
    #[error("{0:?} is not an event id: use 1 to 128 visible ASCII characters without spaces")]
    EventId(String),
}

/// Cuts hostile text before it is quoted in a message.
fn quoted(text: &str) -> String {
    text.chars().take(160).collect()
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $valid:path, $error:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if $valid(text) { Ok(Self(text.into())) } else { Err($error(quoted(text))) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

text_type!(
    /// The name of an org, an integration or a provider: one lower-case subject token.
    Name,
    is_name,
    InvalidName::Name
);

text_type!(
    /// The type of an event: dotted tokens such as `execution.failed`.
    EventType,
    is_event_type,
    InvalidName::Type
);

impl Name {
    /// The org of installations that name none.
    pub fn default_org() -> Self {
        Self("default".into())
    }
}

impl EventType {
    /// The tokens between the dots, at least one.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=NAME_CHARS_MAX).contains(&bytes.len())
        && (bytes[0].is_ascii_lowercase() || bytes[0].is_ascii_digit())
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

fn is_event_type(text: &str) -> bool {
    text.len() <= TYPE_CHARS_MAX
        && text.split('.').count() <= TYPE_TOKENS_MAX
        && text.split('.').all(|token| {
            !token.is_empty()
                && token
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        })
}

/// Checks an event id: 1–128 visible ASCII characters.
pub fn check_event_id(text: &str) -> Result<(), InvalidName> {
    let valid = (1..=EVENT_ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if valid {
        Ok(())
    } else {
        Err(InvalidName::EventId(quoted(text)))
    }
}

#[cfg(test)]
mod tests;
