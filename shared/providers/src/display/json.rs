//! JSON read as far as it is asked for: a value is its text, and is taken apart one level at a time.
//!
//! Nothing is copied but texts that hold escapes. Each level that is opened reads its bytes once, so the work is at
//! most the size of the data times the levels that are shown.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// A value, opened by one level.
#[derive(Debug)]
pub(super) enum Value<'a> {
    /// Nothing, or what is no JSON.
    Null,
    /// `true` or `false`, as written.
    Bool(&'a str),
    /// As written: no digit is lost.
    Number(&'a str),
    /// With its escapes read.
    Text(Cow<'a, str>),
    /// The text of an array.
    List(&'a str),
    /// The text of an object.
    Object(&'a str),
}

impl<'a> Value<'a> {
    pub(super) fn of(json: &'a str) -> Self {
        let json = json.trim_ascii();
        match json.as_bytes().first() {
            Some(b'"') => Self::text(json),
            Some(b'{') => Self::Object(json),
            Some(b'[') => Self::List(json),
            Some(b't' | b'f') => Self::Bool(json),
            Some(b'-' | b'0'..=b'9') => Self::Number(json),
            _ => Self::Null,
        }
    }

    fn text(json: &'a str) -> Self {
        let inside = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match inside {
            // Without an escape a text is what stands between its quotes.
            Some(inside) if !inside.contains(['\\', '"']) => Self::Text(Cow::Borrowed(inside)),
            _ => serde_json::from_str(json).map_or(Self::Null, |Text(text)| Self::Text(text)),
        }
    }

    /// A text, a number or a truth value as text.
    pub(super) fn scalar(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Bool(text) | Self::Number(text) => Some(Cow::Borrowed(text)),
            Self::Text(text) => Some(text),
            Self::Null | Self::List(_) | Self::Object(_) => None,
        }
    }
}

/// Calls `each` with every member of an object: its name, and its value as text.
pub(super) fn members<'a>(json: &'a str, each: impl FnMut(Cow<'a, str>, &'a str)) {
    let mut reader = serde_json::Deserializer::from_str(json);
    // What is no object has no members; what was accepted is JSON.
    drop(Members(each).deserialize(&mut reader));
}

/// One member of an object; the last where the name is there twice.
pub(super) fn member<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let mut found = None;
    members(json, |key, value| {
        if key == name {
            found = Some(value);
        }
    });
    found
}

/// The first `max` items of an array, and how many there are beyond.
pub(super) fn items(json: &str, max: usize) -> (Vec<&str>, usize) {
    let mut reader = serde_json::Deserializer::from_str(json);
    Items(max).deserialize(&mut reader).unwrap_or_default()
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct Members<F>(F);

impl<'de, F: FnMut(Cow<'de, str>, &'de str)> DeserializeSeed<'de> for Members<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(Cow<'de, str>, &'de str)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(name)) = map.next_key()? {
            let value: &'de RawValue = map.next_value()?;
            (self.0)(name, value.get());
        }
        Ok(())
    }
}

struct Items(usize);

impl<'de> DeserializeSeed<'de> for Items {
    type Value = (Vec<&'de str>, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items {
    type Value = (Vec<&'de str>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < self.0
            && let Some(item) = seq.next_element::<&'de RawValue>()?
        {
            kept.push(item.get());
        }
        let mut more = 0;
        while let Some(IgnoredAny) = seq.next_element()? {
            more += 1;
        }
        Ok((kept, more))
    }
}
