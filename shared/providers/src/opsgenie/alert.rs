//! One event, or what is left of a digest, as an alert to create or to close.

use std::{borrow::Cow, fmt::Write as _};

use serde::{Serialize, Serializer, ser::SerializeMap};
use signalbox_proto::{Accepted, Delivery, types::Tone};

use super::{Opsgenie, Priority};
use crate::{
    About, Target, Text,
    display::{
        Display, Look,
        text::{self, Measure},
    },
    entity::{Entity, Part, Turn},
};

// Lengths in units of UTF-16: Opsgenie says characters, which are never more.

/// Longest alias, in bytes.
const ALIAS_BYTES_MAX: usize = 512;
const MESSAGE_UNITS_MAX: usize = 130;
const DESCRIPTION_UNITS_MAX: usize = 15_000;
/// Of all keys and values.
const DETAILS_UNITS_MAX: usize = 8_000;
/// What is kept of them to say how many found no room.
const COUNT_UNITS: usize = 60;
const ENTITY_UNITS_MAX: usize = 512;
/// Longest `source` and `user`.
const NAME_UNITS_MAX: usize = 100;
const NOTE_UNITS_MAX: usize = 25_000;
/// Keeps a `<` from beginning an element of HTML, and is not seen.
const JOINER: char = '\u{2060}';

/// What a turn asks for.
pub(super) enum Asks<'a> {
    Create(Box<Alert<'a>>),
    Close { alias: String, close: Close<'a> },
}

/// The body of a request that creates.
#[derive(Serialize)]
pub(super) struct Alert<'a> {
    message: String,
    alias: String,
    description: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [String],
    details: Details<'a>,
    entity: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    source: String,
    priority: Priority,
}

/// The body of a request that closes.
#[derive(Serialize)]
pub(super) struct Close<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    source: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    note: Cow<'a, str>,
}

/// Texts by name, no name twice.
#[derive(Default)]
struct Details<'a> {
    texts: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    units: usize,
}

impl<'a> Asks<'a> {
    /// What one turn of a delivery asks for.
    pub(super) fn of(turn: &Turn<'a>, delivery: &'a Delivery, target: &'a Target<Opsgenie>, text: &'a Text) -> Self {
        match turn {
            // A template has rendered the digest as a whole, which none of its entities is.
            Turn::One(entity, accepted) if delivery.is_digest() => Self::one(entity, accepted, target, delivery, None),
            Turn::One(entity, accepted) => Self::one(entity, accepted, target, delivery, Some(text)),
            Turn::Rest(rest) => Self::rest(rest, delivery, target),
        }
    }

    fn one(
        entity: &Entity<'a>,
        accepted: &'a Accepted,
        target: &'a Target<Opsgenie>,
        delivery: &'a Delivery,
        template: Option<&'a Text>,
    ) -> Self {
        let Target { about, prepared, .. } = target;
        let shown = Display::single(accepted, about);
        let alias = entity.key(&about.integration, ALIAS_BYTES_MAX);
        let title = template.and_then(|text| text.title.as_deref());
        let body = template.and_then(|text| text.body.as_deref());
        if entity.part == Part::Closes {
            let close = Close {
                source: source(about),
                note: note(title, body, &shown).into(),
            };
            return Self::Close { alias, close };
        }
        Self::Create(Box::new(Alert {
            message: message(title, &shown),
            alias,
            description: description(body, &shown),
            tags: &prepared.tags,
            entity: about_what(&entity.name),
            source: source(about),
            priority: Priority::of(accepted, shown.tone, prepared.priority),
            details: Details::of(shown, &accepted.event.id, delivery),
        }))
    }

    /// What is left of a digest is one alert of its own.
    fn rest(rest: &[&'a Accepted], delivery: &'a Delivery, target: &'a Target<Opsgenie>) -> Self {
        let Target { about, prepared, .. } = target;
        let shown = Display::listed(rest, about);
        let each = rest
            .iter()
            .map(|accepted| Priority::of(accepted, Look::of(accepted).tone, prepared.priority));
        Self::Create(Box::new(Alert {
            message: message(None, &shown),
            alias: format!("{}/{}/{}", about.integration, shown.event_type, delivery.id),
            description: description(None, &shown),
            tags: &prepared.tags,
            entity: about.name.as_str().to_owned(),
            source: source(about),
            // The most urgent is the least number.
            priority: each.min().unwrap_or(prepared.priority),
            details: Details::of(shown, "", delivery),
        }))
    }
}

impl<'a> Close<'a> {
    /// Says nothing of why.
    pub(super) fn silent(about: &About) -> Self {
        Self {
            source: source(about),
            note: Cow::Borrowed(""),
        }
    }
}

impl Priority {
    /// That of the event where it named a severity. Where it named none it is `default`, but good news calls nobody.
    fn of(accepted: &Accepted, tone: Tone, default: Self) -> Self {
        let event = &accepted.event;
        match (event.severity_named, tone) {
            (true, _) => match event.severity {
                signalbox_proto::Severity::Critical => Self::P1,
                signalbox_proto::Severity::High => Self::P2,
                signalbox_proto::Severity::Medium => Self::P3,
                signalbox_proto::Severity::Low => Self::P4,
            },
            (false, Tone::Good) => Self::P5,
            (false, Tone::Bad | Tone::Neutral) => default,
        }
    }
}

impl<'a> Details<'a> {
    fn of(shown: Display<'a>, event_id: &'a str, delivery: &'a Delivery) -> Self {
        let mut details = Self::default();
        let ours = [
            ("Event Type", shown.event_type),
            ("Event ID", event_id),
            ("Delivery ID", delivery.id.as_str()),
        ];
        for (name, value) in ours {
            if !value.is_empty() {
                details.push(Cow::Borrowed(name), Cow::Borrowed(value));
            }
        }
        let mut left = shown.fields_more;
        for field in shown.fields {
            left += usize::from(!details.push(field.label, field.value));
        }
        if left > 0 {
            let plural = if left == 1 { "" } else { "s" };
            details
                .texts
                .push((Cow::Borrowed("Not Shown"), format!("{left} more field{plural}").into()));
        }
        details
    }

    /// Adds a text if it finds room.
    fn push(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) -> bool {
        let (name, value) = (self.free(harmless(name)), harmless(value));
        let units = units(&name) + units(&value);
        if self.units + units > DETAILS_UNITS_MAX - COUNT_UNITS {
            return false;
        }
        self.units += units;
        self.texts.push((name, value));
        true
    }

    /// A name that is not taken: fields of other names may be told alike.
    fn free(&self, name: Cow<'a, str>) -> Cow<'a, str> {
        let is_taken = |name: &str| name == "Not Shown" || self.texts.iter().any(|(known, _)| *known == name);
        if !is_taken(&name) {
            return name;
        }
        let numbered = (2..).map(|number: usize| format!("{name} {number}"));
        let mut free = numbered.skip_while(|numbered| is_taken(numbered));
        free.next().map_or(name.clone(), Cow::Owned)
    }
}

impl Serialize for Details<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.texts.len()))?;
        for (name, value) in &self.texts {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// What an owner's template says, else what happened. It is never empty.
fn message(template: Option<&str>, shown: &Display<'_>) -> String {
    let given = template.map(|title| text::line(title, MESSAGE_UNITS_MAX));
    match given.filter(|title| !title.is_empty()) {
        Some(title) => plain(&title, MESSAGE_UNITS_MAX),
        None => plain(&shown.line(), MESSAGE_UNITS_MAX),
    }
}

/// What an owner's template says, else headline, message, the events of a digest and links; a line with type and time in
/// any case.
fn description(template: Option<&str>, shown: &Display<'_>) -> String {
    let mut told = String::with_capacity(512);
    match template {
        Some(body) => told.push_str(&text::block(body, DESCRIPTION_UNITS_MAX)),
        None => {
            if let Some(headline) = &shown.headline {
                told.push_str(headline);
            }
            if shown.says_more() || shown.headline.is_none() {
                push_line(&mut told, &shown.message);
            }
            for entry in &shown.entries {
                push_line(&mut told, &entry.line());
            }
            if shown.entries_more > 0 {
                push_line(&mut told, &format!("and {} more", shown.entries_more));
            }
        }
    }
    let mut last = String::new();
    for link in &shown.links {
        write!(last, "\n{}: {}", link.label, link.url).expect("a string takes all");
    }
    let brand = text::line(shown.brand, NAME_UNITS_MAX);
    let parting = if brand.is_empty() { "" } else { " · " };
    write!(
        last,
        "\n\n{}{parting}{} · {} · {}",
        harmless(text::isolated(&brand)),
        shown.event_type,
        shown.severity,
        shown.time
    )
    .expect("a string takes all");
    let mut told = plain(&told, DESCRIPTION_UNITS_MAX - units(&last));
    told.push_str(&last);
    told
}

/// What is said of what closes: what an owner's template says, else what happened.
fn note(title: Option<&str>, body: Option<&str>, shown: &Display<'_>) -> String {
    let mut told = match title {
        Some(title) => text::line(title, NOTE_UNITS_MAX).into_owned(),
        None => shown.line(),
    };
    if let Some(body) = body {
        push_line(&mut told, &text::block(body, NOTE_UNITS_MAX));
    }
    plain(&told, NOTE_UNITS_MAX)
}

/// What an event is about.
fn about_what(entity: &str) -> String {
    match text::line(entity, ENTITY_UNITS_MAX) {
        name if name.is_empty() => crate::entity::SYSTEM.to_owned(),
        name => plain(&name, ENTITY_UNITS_MAX),
    }
}

/// Who asks: the installation.
fn source(about: &About) -> String {
    plain(&text::line(&about.brand, NAME_UNITS_MAX), NAME_UNITS_MAX)
}

fn push_line(told: &mut String, line: &str) {
    if !told.is_empty() && !line.is_empty() {
        told.push('\n');
    }
    told.push_str(line);
}

/// A text that is shown as it is written, cut to its limit.
fn plain(text: &str, units_max: usize) -> String {
    text::cut(&harmless(Cow::Borrowed(text)), units_max, Measure::Utf16).into_owned()
}

/// Opsgenie takes HTML in texts, where `<device>` is an element that nobody sees and `<!--` hides all that follows. Behind
/// `<` it needs a letter, `/`, `!` or `?`: what stands between the two leaves the text as it is read.
fn harmless(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains('<') {
        return text;
    }
    let mut kept = String::with_capacity(text.len() + 16);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        kept.push(c);
        let begins = |next: &char| next.is_ascii_alphabetic() || matches!(next, '/' | '!' | '?');
        if c == '<' && chars.peek().is_some_and(begins) {
            kept.push(JOINER);
        }
    }
    Cow::Owned(kept)
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}
