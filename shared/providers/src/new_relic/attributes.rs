//! Data as the flat attributes that New Relic keeps, written while it is read.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::names::{Names, Path};
use crate::display::text::{Measure, cut};

/// Most attributes of an event, `eventType` and `timestamp` with them.
pub(super) const ATTRIBUTES_MAX: usize = 254;
/// Longest text, in units of UTF-16: never fewer than the characters that New Relic counts.
pub(super) const TEXT_UNITS_MAX: usize = 4_096;
/// What a value is called that is no member of anything.
const WHOLE: &str = "data";
/// Says how many values found no room.
const LEFT_OUT: &str = "attributes_left_out";

/// The attributes of one event, written as a JSON object.
pub(super) struct Attributes<'o> {
    out: &'o mut Vec<u8>,
    names: Names,
    path: Path,
    left_out: u64,
    /// Attributes of the event that its data often repeats.
    repeated: [(&'static str, &'o str); 3],
}

impl<'o> Attributes<'o> {
    /// Begins an event. A member of its data with one of these names and values is not written again.
    pub(super) fn begin(out: &'o mut Vec<u8>, repeated: [(&'static str, &'o str); 3]) -> Self {
        out.push(b'{');
        Self {
            out,
            names: Names::default(),
            path: Path::default(),
            left_out: 0,
            repeated,
        }
    }

    /// An attribute of ours.
    pub(super) fn text(&mut self, name: &'static str, value: &str) {
        self.names.push_own(self.out, name);
        self.write_text(value);
    }

    /// An attribute of ours.
    pub(super) fn number(&mut self, name: &'static str, value: i64) {
        self.names.push_own(self.out, name);
        self.write(&value);
    }

    /// All of a JSON text; what is no object is called `data`.
    pub(super) fn data(&mut self, json: &[u8]) {
        let mut reader = serde_json::Deserializer::from_slice(json);
        // What was accepted is JSON: it can be read to its end.
        drop(self.deserialize(&mut reader));
    }

    /// A text at a path.
    pub(super) fn member(&mut self, group: &str, name: &str, value: &str) {
        let len = self.path.len();
        self.path.push(group);
        self.path.push(name);
        self.value_text(value);
        self.path.truncate(len);
    }

    /// Ends the event.
    pub(super) fn end(self) {
        let Self {
            out,
            mut names,
            left_out,
            ..
        } = self;
        if left_out > 0 {
            names.push_own(out, LEFT_OUT);
            out.extend_from_slice(left_out.to_string().as_bytes());
        }
        out.push(b'}');
    }

    /// Writes the name of what the path leads to, if there is room for it.
    fn name(&mut self) -> bool {
        // The last place is for the count of those without one.
        if self.names.len() + 1 >= ATTRIBUTES_MAX {
            self.left_out += 1;
            return false;
        }
        if self.path.is_empty() {
            self.path.push(WHOLE);
            self.names.push(self.out, &self.path);
            self.path.truncate(0);
        } else {
            self.names.push(self.out, &self.path);
        }
        true
    }

    fn value_text(&mut self, value: &str) {
        let repeats = |(name, own): &(&str, &str)| *name == self.path.as_str() && *own == value;
        if !self.repeated.iter().any(repeats) && self.name() {
            self.write_text(value);
        }
    }

    fn value<T: serde::Serialize>(&mut self, value: &T) {
        if self.name() {
            self.write(value);
        }
    }

    /// A text within its bound, without what only machines read.
    fn write_text(&mut self, text: &str) {
        let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        let clean = if text.contains(is_odd) {
            Cow::Owned(text.replace(is_odd, ""))
        } else {
            Cow::Borrowed(text)
        };
        if clean.len() <= TEXT_UNITS_MAX {
            self.write(&*clean);
        } else {
            self.write(&*cut(&clean, TEXT_UNITS_MAX, Measure::Utf16));
        }
    }

    fn write<T: serde::Serialize + ?Sized>(&mut self, value: &T) {
        serde_json::to_writer(&mut *self.out, value).expect("texts and numbers are written to memory");
    }
}

/// Reads any value at the present path.
impl<'de> DeserializeSeed<'de> for &mut Attributes<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Attributes<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    // New Relic knows texts and numbers alone.
    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.value_text(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.value(&value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        // A larger number would be cut to another.
        match i64::try_from(value) {
            Ok(value) => self.value(&value),
            Err(_) => self.value_text(&value.to_string()),
        }
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.value(&value);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.value_text(value);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let len = self.path.len();
        while map.next_key_seed(Member(&mut self.path))?.is_some() {
            map.next_value_seed(&mut *self)?;
            self.path.truncate(len);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut joined = String::new();
        // Each unit of UTF-16 is at least one byte, and of three at most.
        while joined.len() <= 3 * TEXT_UNITS_MAX {
            let Some(item) = seq.next_element::<&RawValue>()? else {
                if !joined.is_empty() {
                    self.value_text(&joined);
                }
                return Ok(());
            };
            push_item(&mut joined, item.get());
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        self.value_text(&joined);
        Ok(())
    }
}

/// An item of a list: a text without its quotes, all else as it is written.
fn push_item(joined: &mut String, json: &str) {
    if json == "null" {
        return;
    }
    if !joined.is_empty() {
        joined.push_str(", ");
    }
    match serde_json::from_str::<Item<'_>>(json) {
        Ok(Item(text)) if json.starts_with('"') => joined.push_str(&text),
        _ => joined.push_str(json),
    }
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Item<'a>(#[serde(borrow)] Cow<'a, str>);

/// Goes down to the member whose name is read.
struct Member<'p>(&'p mut Path);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Member<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<(), E> {
        self.0.push(name);
        Ok(())
    }
}
