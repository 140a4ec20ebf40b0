//! The chat that messages go to: by its number, or by its public name.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Visitor},
};

use crate::FieldError;

/// Ids have at most 52 bits, so that every language reads them exactly.
const ID_MAX: u64 = (1 << 52) - 1;
/// Characters of a public name behind its `@`. Names of old have fewer than today's five.
const NAME_CHARS: std::ops::RangeInclusive<usize> = 3..=32;

/// A chat as a config names it: a number, or a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given(String);

/// A chat as Telegram takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum ChatId {
    /// Of a person, or, below zero, of a group or channel.
    Number(i64),
    /// `@name` of a public group or channel.
    Name(String),
}

impl ChatId {
    pub(super) fn read(pointer: &str, given: &Given) -> Result<Self, FieldError> {
        let text = given.0.trim();
        if let Ok(number) = text.parse::<i64>() {
            return match number.unsigned_abs() {
                1..=ID_MAX => Ok(Self::Number(number)),
                _ => Err(FieldError::new(
                    pointer,
                    "is not the id of a chat: it is zero or too large",
                )),
            };
        }
        let is_name = |name: &str| {
            NAME_CHARS.contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        match text.strip_prefix('@') {
            Some(name) if is_name(name) => Ok(Self::Name(text.to_owned())),
            _ => Err(FieldError::new(
                pointer,
                "is not a chat: give its number, such as -1001234567890, or the @name of a public group or channel",
            )),
        }
    }
}

impl ChatId {
    /// The supergroup that a group became, by its id; `None` where the number is not that of one.
    pub(super) fn supergroup(id: i64) -> Option<Self> {
        let is_one = id < 0 && id.unsigned_abs() <= ID_MAX;
        is_one.then_some(Self::Number(id))
    }
}

impl fmt::Display for ChatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl Visitor<'_> for Reading {
            type Value = Given;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the number of a chat, or its @name")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Given, E> {
                Ok(Given(number.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Given, E> {
                Ok(Given(number.to_string()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Given, E> {
                Ok(Given(text.to_owned()))
            }
        }

        deserializer.deserialize_any(Reading)
    }
}

impl JsonSchema for Given {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ChatId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"] })
    }
}
