//! An event's data as `extra`: as it is, as far as Sentry keeps it.
//!
//! Sentry cuts what is too long by itself, in the midst of a structure. What is cut here can be read, and what is left
//! out is counted.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::value::RawValue;
use signalbox_proto::Event;

use crate::display::text;

/// Members that are sent; the vendor names this for every mapping.
pub(super) const MEMBERS_MAX: usize = 50;
/// Bytes of one member as JSON, quotes and all: a little less than where the vendor cuts, who counts 16 KiB.
pub(super) const MEMBER_BYTES_MAX: usize = 16_000;
/// Bytes of all members as JSON: with all else an event stays below 200 KB.
pub(super) const BYTES_MAX: usize = 120_000;
/// Characters of a member's name.
const NAME_CHARS_MAX: usize = 200;
/// Characters of a member that has a place of its own too: a little more than any of these places takes.
const SCALAR_CHARS_MAX: usize = 300;
/// What a value that is no object is called.
const WHOLE: &str = "data";
/// A member that says nothing.
const NULL: &str = "null";

/// The data of one event.
#[derive(Debug, Default)]
pub(super) struct Data<'a> {
    members: Vec<(Cow<'a, str>, Kept<'a>)>,
    /// Members that found no room.
    pub(super) left_out: usize,
    /// `data.version`.
    version: Option<&'a RawValue>,
    /// `data.host`.
    host: Option<&'a RawValue>,
}

/// A value as it is sent.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Kept<'a> {
    Whole(&'a RawValue),
    /// The beginning of a text, or of the JSON of what is no text.
    Cut(String),
}

impl<'a> Data<'a> {
    pub(super) fn of(event: &'a Event) -> Self {
        let mut this = Self::default();
        let mut room = BYTES_MAX;
        let json = event.data.as_bytes();
        if json.trim_ascii_start().first() != Some(&b'{') {
            match serde_json::from_slice::<&RawValue>(json) {
                Ok(value) if value.get() != NULL => this.add(WHOLE.into(), value, &mut room),
                // What was accepted is JSON.
                _ => {}
            }
            return this;
        }
        let Members(members) = serde_json::from_slice(json).unwrap_or_default();
        for (name, value) in members {
            match &*name {
                "version" => this.version = Some(value),
                "host" => this.host = Some(value),
                _ => {}
            }
            this.add(name, value, &mut room);
        }
        this
    }

    /// `data.version`, if it is a text or a number on one line.
    pub(super) fn version(&self) -> Option<Cow<'a, str>> {
        self.version.and_then(scalar)
    }

    /// `data.host`, if it is a text or a number on one line.
    pub(super) fn host(&self) -> Option<Cow<'a, str>> {
        self.host.and_then(scalar)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn add(&mut self, name: Cow<'a, str>, value: &'a RawValue, room: &mut usize) {
        let name = match text::cut(&name, NAME_CHARS_MAX, text::Measure::Chars) {
            Cow::Borrowed(_) => name,
            Cow::Owned(cut) => cut.into(),
        };
        let value = if value.get().len() <= MEMBER_BYTES_MAX {
            Kept::Whole(value)
        } else {
            Kept::Cut(beginning(value.get()))
        };
        let size = quoted_bytes(&name) + 2 + value.bytes();
        if self.members.len() >= MEMBERS_MAX || size > *room {
            self.left_out += 1;
            return;
        }
        *room -= size;
        self.members.push((name, value));
    }
}

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.members.len()))?;
        for (name, value) in &self.members {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Kept<'_> {
    fn bytes(&self) -> usize {
        match self {
            Self::Whole(value) => value.get().len(),
            Self::Cut(text) => quoted_bytes(text),
        }
    }
}

/// As much of a value as one member may have.
fn beginning(json: &str) -> String {
    let decoded = json
        .starts_with('"')
        .then(|| serde_json::from_str::<String>(json).ok())
        .flatten();
    let whole = decoded.as_deref().unwrap_or(json);
    let (kept, end) = text::fit(whole, MEMBER_BYTES_MAX - 2, escaped_bytes);
    format!("{kept}{}", end.unwrap_or_default())
}

/// Bytes of a character inside a JSON string.
const fn escaped_bytes(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        c => c.len_utf8(),
    }
}

fn quoted_bytes(text: &str) -> usize {
    text.chars().map(escaped_bytes).sum::<usize>() + 2
}

/// A text or a number, on one line.
fn scalar(value: &RawValue) -> Option<Cow<'_, str>> {
    let json = value.get();
    let text = match json.as_bytes().first()? {
        b'"' => serde_json::from_str::<Text<'_>>(json).ok()?.0,
        b'-' | b'0'..=b'9' => Cow::Borrowed(json),
        _ => return None,
    };
    let line = match text {
        Cow::Borrowed(text) => text::line(text, SCALAR_CHARS_MAX),
        Cow::Owned(text) => Cow::Owned(text::line(&text, SCALAR_CHARS_MAX).into_owned()),
    };
    (!line.is_empty()).then_some(line)
}

/// A text, borrowed where it holds no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of an object in their order, values untouched; `null` is left out.
#[derive(Default)]
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(Text(name)) = map.next_key()? {
            let value: &RawValue = map.next_value()?;
            if value.get() != NULL {
                members.push((name, value));
            }
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests;
