//! Under which key an object lies: a template, filled in from a delivery alone.
//!
//! What is filled in is the same in every attempt and in a replay: nothing depends on the time of an attempt, or on what
//! an owner may rename. So a repeat writes the same key.

use std::borrow::Cow;

use object_store::path::Path;
use signalbox_proto::{
    Delivery, Timestamp, digest,
    names::{NAME_CHARS_MAX, TYPE_CHARS_MAX},
};
use time::OffsetDateTime;

use crate::FieldError;

/// Longest key, in bytes of UTF-8: what the vendors take.
const KEY_BYTES_MAX: usize = 1_024;
/// Where an owner names no template.
const DEFAULT: &str = "{org}/{type}/{yyyy}/{mm}/{dd}/{hh}/{delivery}.jsonl";
/// Longest id of an integration or delivery, in bytes, with room.
const ID_BYTES_MAX: usize = 64;

/// What may stand between braces, with the bytes that it takes at most.
const PLACES: [(&str, Place, usize); 9] = [
    ("org", Place::Org, NAME_CHARS_MAX),
    ("type", Place::Type, TYPE_CHARS_MAX),
    ("severity", Place::Severity, "critical".len()),
    ("integration", Place::Integration, ID_BYTES_MAX),
    ("yyyy", Place::Year, 4),
    ("mm", Place::Month, 2),
    ("dd", Place::Day, 2),
    ("hh", Place::Hour, 2),
    ("delivery", Place::Delivery, ID_BYTES_MAX),
];

/// What is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The tenant.
    Org,
    /// The type of the events, where all of a delivery are of one; else that of digests.
    Type,
    /// The highest severity of the events.
    Severity,
    /// The integration's id.
    Integration,
    /// The year in which the first event was accepted, in UTC, as are the next three.
    Year,
    /// Its month, 01–12.
    Month,
    /// Its day, 01–31.
    Day,
    /// Its hour, 00–23.
    Hour,
    /// The delivery's id.
    Delivery,
}

/// The template that holds where none is named, for schemas.
pub fn default_key_template() -> String {
    DEFAULT.to_owned()
}

/// A template that was read.
#[derive(Clone, Debug)]
pub struct Key {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Place(Place),
}

impl Key {
    /// Reads a template, to stand behind a prefix and to end with an extension. Its errors never repeat it.
    pub fn read(pointer: &str, prefix: Option<&str>, template: &str, extension: &str) -> Result<Self, FieldError> {
        let wrong = |message: String| FieldError::new(pointer, message);
        let mut parts: Vec<Part> = prefix
            .map(|prefix| Part::Text(format!("{prefix}/")))
            .into_iter()
            .collect();
        parts.extend(parse(template.trim()).map_err(wrong)?);
        if !template.trim().ends_with(extension) {
            parts.push(Part::Text(extension.to_owned()));
        }
        let has_id = |part: &Part| matches!(part, Part::Place(Place::Delivery));
        if !parts.iter().any(has_id) {
            return Err(wrong(
                "must hold {delivery}, so that no two deliveries share a key".to_owned(),
            ));
        }
        let longest: usize = parts.iter().map(Part::bytes_max).sum();
        if longest > KEY_BYTES_MAX {
            return Err(wrong(format!(
                "may become longer than {KEY_BYTES_MAX} bytes, with the prefix and the longest values"
            )));
        }
        Ok(Self { parts })
    }

    /// The key of a delivery.
    pub fn of(&self, delivery: &Delivery) -> Path {
        let at = OffsetDateTime::from(accepted(delivery));
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text += literal,
                Part::Place(place) => text += &place.value(delivery, at),
            }
        }
        Path::parse(&text).expect("no segment is empty, a dot or two, and there are no control characters")
    }
}

/// When the first event was accepted: of a replay, too.
fn accepted(delivery: &Delivery) -> Timestamp {
    delivery.event().at
}

impl Place {
    fn value(self, delivery: &Delivery, at: OffsetDateTime) -> Cow<'_, str> {
        match self {
            Self::Org => clean(delivery.org.as_str()),
            Self::Type => clean(type_of(delivery)),
            Self::Severity => {
                let severities = delivery.events.iter().map(|accepted| accepted.event.severity);
                severities.max().unwrap_or_default().as_str().into()
            }
            Self::Integration => clean(&delivery.integration),
            Self::Year => format!("{:04}", at.year()).into(),
            Self::Month => format!("{:02}", u8::from(at.month())).into(),
            Self::Day => format!("{:02}", at.day()).into(),
            Self::Hour => format!("{:02}", at.hour()).into(),
            Self::Delivery => clean(&delivery.id),
        }
    }
}

impl Part {
    fn bytes_max(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Place(place) => {
                let found = PLACES.iter().find(|(_, known, _)| known == place);
                found.map_or(0, |(_, _, bytes)| *bytes)
            }
        }
    }
}

/// The type of all events of a delivery, or what a digest of several types is.
fn type_of(delivery: &Delivery) -> &str {
    let first = &delivery.event().event.event_type;
    let same = delivery
        .events
        .iter()
        .all(|accepted| accepted.event.event_type == *first);
    if same { first.as_str() } else { digest::EVENT_TYPE }
}

/// A value as a part of a segment: what could leave its folder, or be read as something else, becomes `_`. Never empty, and
/// never with a dot at its beginning, so that no segment is made of dots.
fn clean(value: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !value.is_empty() && !value.starts_with('.') && value.chars().all(is_plain) {
        return value.into();
    }
    let mut cleaned: String = value.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    if cleaned.is_empty() {
        cleaned.push('_');
    } else if cleaned.starts_with('.') {
        cleaned.replace_range(..1, "_");
    }
    cleaned.into()
}

/// The parts of a template.
fn parse(template: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    // What the segments are like, with a letter in the place of each value.
    let mut shape = String::new();
    let mut rest = template;
    while !rest.is_empty() {
        let (text, behind) = rest
            .split_once('{')
            .map_or((rest, None), |(text, behind)| (text, Some(behind)));
        check_text(text)?;
        if !text.is_empty() {
            shape += text;
            parts.push(Part::Text(text.to_owned()));
        }
        let Some(behind) = behind else { break };
        let (name, behind) = behind.split_once('}').ok_or("has a { without its }")?;
        let found = PLACES.iter().find(|(known, ..)| *known == name);
        let (_, place, _) = found.ok_or_else(|| {
            let known: Vec<String> = PLACES.iter().map(|(known, ..)| format!("{{{known}}}")).collect();
            format!("has braces around something else than one of {}", known.join(", "))
        })?;
        shape.push('v');
        parts.push(Part::Place(*place));
        rest = behind;
    }
    check_segments(&shape)?;
    Ok(parts)
}

/// What may stand in a key besides values, and the `/` between its segments.
fn check_text(text: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=' | '/');
    if text.chars().all(is_plain) {
        Ok(())
    } else {
        Err("holds something else than letters, digits, / - _ . = and {placeholders}".to_owned())
    }
}

/// No segment may be empty, `.` or `..`: not every tool that reads a bucket keeps such keys apart from others.
fn check_segments(shape: &str) -> Result<(), String> {
    if shape.is_empty() {
        return Err("is empty".to_owned());
    }
    if shape.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err("begins or ends with a /, or has a part between two / that is empty, . or ..".to_owned());
    }
    Ok(())
}

/// A prefix: as a template without placeholders. A `/` at its ends is taken off.
pub(super) fn prefix(pointer: &str, text: &str) -> Result<Option<String>, FieldError> {
    let text = text.trim().trim_matches('/');
    if text.is_empty() {
        return Ok(None);
    }
    let checked = check_text(text).and_then(|()| check_segments(text));
    match checked {
        Ok(()) => Ok(Some(text.to_owned())),
        Err(message) => Err(FieldError::new(pointer, message.replace(" and {placeholders}", ""))),
    }
}

#[cfg(test)]
mod tests;
