//! How long something took, as an event's data tells it.

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// Longest duration that is believed, in seconds: thirty years.
const DURATION_SECS_MAX: f64 = 1e9;
/// How long something took, by the event's data. Of an invocation the latency is that; of others it may be what an alert
/// is about.
pub(super) fn secs(event_type: &str, data: &[u8]) -> Option<f64> {
    // Most data says nothing of it, and is then not read.
    let text = std::str::from_utf8(data).ok()?;
    if !text.contains("duration") && !text.contains("latency_ms") {
        return None;
    }
    let Durations(found) = serde_json::from_str(text).ok()?;
    let fields = FIELDS.len() - usize::from(!event_type.starts_with(INVOCATION));
    let (name, value) = FIELDS
        .iter()
        .zip(found)
        .take(fields)
        .find_map(|(field, value)| Some((field, value?)))?;
    let secs = if name.ends_with("_ms") { value / 1_000.0 } else { value };
    (0.0..=DURATION_SECS_MAX).contains(&secs).then_some(secs)
}

/// How the types of invocations begin.
const INVOCATION: &str = "invocation.";
/// Fields of the data that say how long something took; the first that is a number counts, the last of invocations alone.
const FIELDS: [&str; 6] = [
    "duration",
    "duration_seconds",
    "duration_secs",
    "duration_s",
    "duration_ms",
    "latency_ms",
];

/// The numbers of these fields.
struct Durations([Option<f64>; FIELDS.len()]);

impl<'de> Deserialize<'de> for Durations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Durations;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Durations, A::Error> {
                let mut found = [None; FIELDS.len()];
                while let Some(place) = map.next_key_seed(Place)? {
                    match place {
                        Some(place) => found[place] = map.next_value_seed(Number)?,
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Durations(found))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

/// Which of the fields a name is.
struct Place;

impl<'de> DeserializeSeed<'de> for Place {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Place {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(FIELDS.iter().position(|field| *field == name))
    }
}

/// A number; what is none says nothing.
struct Number;

impl<'de> DeserializeSeed<'de> for Number {
    type Value = Option<f64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Number {
    type Value = Option<f64>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(value))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds and milliseconds that are believed are far below 2^53"
    )]
    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value as f64))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        // Below zero, as serde_json tells it.
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
