//! One event, or what is left of a digest, as an event of the Events API.

use std::borrow::Cow;

use serde::Serialize;
use signalbox_proto::{Accepted, Delivery, RawJson, Timestamp, types::Tone};

use super::{Pagerduty, Severity};
use crate::{
    Target, Text,
    display::{
        self, Display, Entry, Look,
        text::{self, Measure, isolated},
    },
    entity::{Entity, Part, Turn},
};

/// Longest `dedup_key`, in bytes. PagerDuty says characters, which are never more.
pub(super) const DEDUP_KEY_BYTES_MAX: usize = 255;
/// Longest `summary`, in units of UTF-16. PagerDuty says characters, which are never more.
const SUMMARY_UNITS_MAX: usize = 1_024;
/// Longest `source` and `component`, in characters. PagerDuty names no limit.
const NAME_CHARS_MAX: usize = 255;
/// Longest text of a template, in characters: as long as it may be made.
const TEXT_CHARS_MAX: usize = crate::template::BODY_BYTES_MAX;
/// Largest data that goes whole, in bytes: an event may have 512 KB, of which the rest needs no more than this leaves.
const DATA_BYTES_MAX: usize = 480_000;

/// The body of a request, see [`Message::write`].
pub(super) struct Message<'a> {
    head: Head<'a>,
    payload: Option<Payload<'a>>,
    /// Of a trigger alone.
    client: Option<Cow<'a, str>>,
    /// Of a trigger alone.
    links: Vec<Link>,
}

#[derive(Serialize)]
struct Head<'a> {
    routing_key: &'a str,
    event_action: Action,
    dedup_key: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Trigger,
    Resolve,
}

#[derive(Serialize)]
struct Payload<'a> {
    summary: String,
    source: Cow<'a, str>,
    severity: Severity,
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<Cow<'a, str>>,
    group: &'a str,
    class: &'a str,
    #[serde(skip)]
    custom_details: Details<'a>,
}

#[derive(Serialize)]
struct Link {
    href: String,
    text: &'static str,
}

/// An object in any case.
enum Details<'a> {
    /// The data, an object itself.
    Data(&'a RawJson),
    /// Data that is no object: the member `data`.
    Wrapped(&'a RawJson),
    Made(Made<'a>),
}

/// Details that are not the data.
#[derive(Serialize)]
#[serde(untagged)]
enum Made<'a> {
    /// What an owner's template says instead.
    Text { text: Cow<'a, str> },
    /// What is shown of data that is too large.
    Beginning {
        message: Cow<'a, str>,
        fields: Vec<String>,
        not_shown: String,
    },
    /// The events of a digest.
    List {
        counts: Cow<'a, str>,
        events: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        not_shown: Option<String>,
    },
}

impl<'a> Message<'a> {
    /// What one turn of a delivery sends.
    pub(super) fn of(turn: &Turn<'a>, delivery: &'a Delivery, target: &'a Target<Pagerduty>, text: &'a Text) -> Self {
        match turn {
            // A template has rendered the digest as a whole, which none of its entities is.
            Turn::One(entity, accepted) if delivery.is_digest() => Self::one(entity, accepted, target, None),
            Turn::One(entity, accepted) => Self::one(entity, accepted, target, Some(text)),
            Turn::Rest(rest) => Self::rest(rest, delivery, target),
        }
    }

    /// Resolves without a word.
    pub(super) fn resolving(routing_key: &'a str, dedup_key: String) -> Self {
        Self {
            head: Head {
                routing_key,
                event_action: Action::Resolve,
                dedup_key,
            },
            payload: None,
            client: None,
            links: Vec::new(),
        }
    }

    fn one(
        entity: &Entity<'a>,
        accepted: &'a Accepted,
        target: &'a Target<Pagerduty>,
        template: Option<&'a Text>,
    ) -> Self {
        let Target { about, prepared, .. } = target;
        let event = &accepted.event;
        let body = template.and_then(|text| text.body.as_deref());
        // Of data that goes whole no field is read.
        let is_whole = body.is_some() || event.data.as_bytes().len() <= DATA_BYTES_MAX;
        let shown = if is_whole {
            Display::brief(accepted, about)
        } else {
            Display::single(accepted, about)
        };
        let title = template.and_then(|text| text.title.as_deref());
        let payload = Payload {
            summary: summary(title, &shown),
            source: source(&entity.name),
            severity: Severity::of(accepted, shown.tone, prepared.severity),
            timestamp: shown.time,
            component: event.agent_id.as_deref().and_then(name),
            group: event.org.as_str(),
            class: event.event_type.as_str(),
            custom_details: Details::of(body, &event.data, &shown),
        };
        let resolves = entity.part == Part::Closes;
        Self {
            head: Head {
                routing_key: prepared.routing_key.expose(),
                event_action: if resolves { Action::Resolve } else { Action::Trigger },
                dedup_key: entity.key(&about.integration, DEDUP_KEY_BYTES_MAX),
            },
            payload: Some(payload),
            client: name(&about.brand).filter(|_| !resolves),
            links: if resolves { Vec::new() } else { links(shown) },
        }
    }

    /// What is left of a digest is one incident of its own.
    fn rest(rest: &[&'a Accepted], delivery: &'a Delivery, target: &'a Target<Pagerduty>) -> Self {
        let Target { about, prepared, .. } = target;
        let shown = Display::listed(rest, about);
        let each = rest
            .iter()
            .map(|accepted| Severity::of(accepted, Look::of(accepted).tone, prepared.severity));
        let payload = Payload {
            summary: summary(None, &shown),
            source: Cow::Borrowed(about.name.as_str()),
            severity: each.max().unwrap_or(prepared.severity),
            timestamp: shown.time,
            component: None,
            group: delivery.org.as_str(),
            class: shown.event_type,
            custom_details: Details::list(&shown),
        };
        Self {
            head: Head {
                routing_key: prepared.routing_key.expose(),
                event_action: Action::Trigger,
                dedup_key: format!("{}/{}/{}", about.integration, shown.event_type, delivery.id),
            },
            payload: Some(payload),
            client: name(&about.brand),
            links: Vec::new(),
        }
    }

    /// About how many bytes its data has.
    pub(super) fn data_bytes(&self) -> usize {
        match self.payload.as_ref().map(|payload| &payload.custom_details) {
            Some(Details::Data(data) | Details::Wrapped(data)) => data.as_bytes().len(),
            Some(Details::Made(Made::Text { text })) => text.len(),
            Some(Details::Made(Made::Beginning { .. } | Made::List { .. })) | None => 0,
        }
    }

    /// Appends it as JSON. Data goes as it is: a serializer would read all of it once more to see that it is JSON, which
    /// was seen when the event was accepted.
    pub(super) fn write(&self, body: &mut Vec<u8>) {
        json(body, &self.head);
        if let Some(payload) = &self.payload {
            member(body, "payload", |body| {
                json(body, payload);
                member(body, "custom_details", |body| payload.custom_details.write(body));
            });
        }
        if let Some(client) = &self.client {
            member(body, "client", |body| json(body, client));
        }
        if !self.links.is_empty() {
            member(body, "links", |body| json(body, &self.links));
        }
    }
}

impl Severity {
    /// That of the event where it named one. Where it named none it is `default`, but good news does not call anybody.
    fn of(accepted: &Accepted, tone: Tone, default: Self) -> Self {
        let event = &accepted.event;
        match (event.severity_named, tone) {
            (true, _) => match event.severity {
                signalbox_proto::Severity::Critical => Self::Critical,
                signalbox_proto::Severity::High => Self::Error,
                signalbox_proto::Severity::Medium => Self::Warning,
                signalbox_proto::Severity::Low => Self::Info,
            },
            (false, Tone::Good) => Self::Info,
            (false, Tone::Bad | Tone::Neutral) => default,
        }
    }
}

impl<'a> Details<'a> {
    fn of(template: Option<&'a str>, data: &'a RawJson, shown: &Display<'a>) -> Self {
        if let Some(body) = template {
            let text = text::block(body, TEXT_CHARS_MAX);
            return Self::Made(Made::Text { text });
        }
        if data.as_bytes().len() > DATA_BYTES_MAX {
            return Self::beginning(data, shown);
        }
        match data.as_bytes().trim_ascii_start().first() {
            Some(b'{') => Self::Data(data),
            _ => Self::Wrapped(data),
        }
    }

    fn write(&self, body: &mut Vec<u8>) {
        match self {
            Self::Data(data) => body.extend_from_slice(data.as_bytes().trim_ascii()),
            Self::Wrapped(data) => {
                body.extend_from_slice(br#"{"data":"#);
                body.extend_from_slice(data.as_bytes().trim_ascii());
                body.push(b'}');
            }
            Self::Made(made) => json(body, made),
        }
    }

    fn beginning(data: &RawJson, shown: &Display<'a>) -> Self {
        let line = |field: &display::Field<'_>| format!("{}: {}", isolated(&field.label), isolated(&field.value));
        Self::Made(Made::Beginning {
            message: shown.message.clone(),
            fields: shown.fields.iter().map(line).collect(),
            not_shown: format!(
                "the data has {} bytes, more than PagerDuty takes; {} more fields",
                data.as_bytes().len(),
                shown.fields_more
            ),
        })
    }

    fn list(shown: &Display<'a>) -> Self {
        let more = shown.entries_more;
        Self::Made(Made::List {
            counts: shown.message.clone(),
            events: shown.entries.iter().map(Entry::line).collect(),
            not_shown: (more > 0).then(|| format!("{more} more")),
        })
    }
}

fn json(body: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(body, value).expect("texts and numbers are written to memory");
}

/// Adds a member to the object that was just written, which has others.
fn member(body: &mut Vec<u8>, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
    let end = body.pop();
    debug_assert_eq!(end, Some(b'}'), "an object ends here");
    body.extend_from_slice(b",\"");
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(b"\":");
    write(body);
    body.push(b'}');
}

/// What an owner's template says, else what happened. It is never empty.
fn summary(template: Option<&str>, shown: &Display<'_>) -> String {
    let given = template.map(|title| text::line(title, SUMMARY_UNITS_MAX));
    match given.filter(|title| !title.is_empty()) {
        Some(title) => text::cut(&title, SUMMARY_UNITS_MAX, Measure::Utf16).into_owned(),
        None => text::cut(&shown.line(), SUMMARY_UNITS_MAX, Measure::Utf16).into_owned(),
    }
}

/// What the event is about. PagerDuty asks for one.
fn source<'a>(entity: &str) -> Cow<'a, str> {
    match text::line(entity, NAME_CHARS_MAX) {
        name if name.is_empty() => Cow::Borrowed(crate::entity::SYSTEM),
        name => Cow::Owned(name.into_owned()),
    }
}

/// A name on one line, if anything is left of it.
fn name(text: &str) -> Option<Cow<'_, str>> {
    Some(text::line(text, NAME_CHARS_MAX)).filter(|name| !name.is_empty())
}

fn links(shown: Display<'_>) -> Vec<Link> {
    let links = shown.links.into_iter();
    links
        .map(|link| Link {
            href: link.url,
            text: link.label,
        })
        .collect()
}
