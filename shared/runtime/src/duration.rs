//! Durations in settings: a whole number and a unit, `250ms`, `30s`, `2m`, `6h`, `7d`.
//!
//! A field of type [`Duration`] reads them with `#[serde(with = "signalbox_runtime::duration")]`; inside lists and
//! options, and in [`crate::settings::bound`], [`Human`] stands for it.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Error;

/// Units from the greatest to the least, in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a whole number and one of the units `ms`, `s`, `m`, `h`, `d`.
pub fn parse(text: &str) -> Result<Duration, Error> {
    let invalid = || Error::Duration(text.to_owned());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(invalid)?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(invalid)?;
    let number: u64 = number.parse().map_err(|_| invalid())?;
    number
        .checked_mul(*millis)
        .map(Duration::from_millis)
        .ok_or_else(invalid)
}

/// Writes a duration so that [`parse`] reads it back, in the greatest unit that leaves no rest; parts of a millisecond
/// are cut off.
pub fn format(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (unit, size) = UNITS
        .iter()
        .find(|(_, size)| millis > 0 && millis.is_multiple_of(u128::from(*size)))
        .unwrap_or(&("s", 1_000));
    format!("{}{unit}", millis / u128::from(*size))
}

/// For `#[serde(with = "signalbox_runtime::duration")]`.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// For `#[serde(with = "signalbox_runtime::duration")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// A duration that is read and shown as people write it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Human(pub Duration);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format(self.0))
    }
}

impl FromStr for Human {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).map(Self)
    }
}

impl Serialize for Human {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Human {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests;
