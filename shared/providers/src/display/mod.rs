//! How an event looks to people, whatever the target: what is shown and in which words. Each formatter writes it in
//! its target's markup and within its target's limits.
//!
//! Pure, and bounded: of 256 KiB of data at most [`FIELDS_MAX`] fields of [`VALUE_CHARS_MAX`] characters are kept,
//! a digest shows [`ENTRIES_MAX`] events, and each byte is read at most a few times. What does not fit is counted.
//!
//! Texts are clean: without control characters and without marks that turn round the text behind them
//! ([`text::block`]). They are not escaped: that is the target's matter.

mod fields;
mod json;
mod link;
pub mod text;

use std::borrow::Cow;

use signalbox_proto::{Accepted, Delivery, Severity, Timestamp, digest, types, types::Tone};

pub use self::fields::{
    ERROR_CHARS_MAX, FIELDS_MAX, Field, FieldKind, ITEM_CHARS_MAX, ITEMS_MAX, LABEL_CHARS_MAX, LEVELS_MAX,
    MESSAGE_CHARS_MAX, SHORT_CHARS_MAX, VALUE_CHARS_MAX,
};
pub(crate) use self::link::address_of;
pub use self::link::{LINK_BYTES_MAX, Link};
use crate::About;

/// Characters of a title: that of a registered type, or a type's name.
pub const TITLE_CHARS_MAX: usize = 128;
/// Events of a digest that are shown; what is beyond is counted.
pub const ENTRIES_MAX: usize = 40;
/// Characters of a digest's line.
pub const ENTRY_CHARS_MAX: usize = 200;
/// Kinds of events that a digest counts by name.
const KINDS_MAX: usize = 8;
/// The type of a test.
const TEST: &str = "integration.test";

/// An event, or a digest of several, as people see it.
#[derive(Clone, Debug)]
pub struct Display<'a> {
    /// What happened: the title of the event's type, or the type.
    pub title: Cow<'a, str>,
    /// One emoji.
    pub emoji: Cow<'a, str>,
    /// Good news or bad. Of a digest: the worst.
    pub tone: Tone,
    /// How serious it is. Of a digest: the highest.
    pub severity: Severity,
    /// What the event itself is called: `data.title`.
    pub headline: Option<Cow<'a, str>>,
    /// What there is to say; the title again where there is nothing else ([`Display::says_more`]).
    pub message: Cow<'a, str>,
    /// The data, in the order in which it is to be shown.
    pub fields: Vec<Field<'a>>,
    /// How many fields there are beyond.
    pub fields_more: usize,
    /// What a reader may open.
    pub links: Vec<Link>,
    /// The events of a digest, oldest first; empty for a single event.
    pub entries: Vec<Entry<'a>>,
    /// How many events there are beyond; the least serious.
    pub entries_more: usize,
    /// The type's name.
    pub event_type: &'a str,
    /// When it happened. Of a digest: the newest.
    pub time: Timestamp,
    /// The name of the installation.
    pub brand: &'a str,
}

/// One event of a digest.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// As in [`Display`].
    pub title: Cow<'a, str>,
    /// As in [`Display`].
    pub emoji: Cow<'a, str>,
    /// What there is to say besides the title, on one line.
    pub text: Option<String>,
    /// When it happened.
    pub time: Timestamp,
}

impl<'a> Display<'a> {
    /// What a delivery shows: its event, or the digest of its events.
    pub fn of(delivery: &'a Delivery, about: &'a About) -> Self {
        if delivery.is_digest() {
            let events: Vec<&Accepted> = delivery.events.iter().collect();
            Self::listed(&events, about)
        } else {
            Self::single(delivery.event(), about)
        }
    }

    /// What one event shows.
    pub fn single(accepted: &'a Accepted, about: &'a About) -> Self {
        Self::with(accepted, about, fields::of(&accepted.event, data(accepted)))
    }

    /// As [`Display::single`] without the fields, for targets that take the data as it is: much less work.
    pub fn brief(accepted: &'a Accepted, about: &'a About) -> Self {
        Self::with(accepted, about, fields::brief(&accepted.event, data(accepted)))
    }

    fn with(accepted: &'a Accepted, about: &'a About, shown: fields::Shown<'a>) -> Self {
        let event = &accepted.event;
        let Look { title, emoji, tone } = Look::of(accepted);
        let test = || (event.event_type.as_str() == TEST).then(|| test_message(about).into());
        let message = shown.message.or_else(test).unwrap_or_else(|| title.clone());
        Self {
            title,
            emoji,
            tone,
            severity: event.severity,
            headline: shown.headline,
            message,
            fields: shown.fields,
            fields_more: shown.more,
            links: shown.links,
            entries: Vec::new(),
            entries_more: 0,
            event_type: event.event_type.as_str(),
            time: accepted.time(),
            brand: &about.brand,
        }
    }

    /// What several events show together, as a digest does.
    pub fn listed(events: &[&'a Accepted], about: &'a About) -> Self {
        let known = types::built_in(digest::EVENT_TYPE);
        Self {
            title: match events.len() {
                1 => "1 event".into(),
                count => format!("{count} events").into(),
            },
            emoji: known.map_or(types::EMOJI, |known| known.emoji).into(),
            tone: worst(events),
            severity: events.iter().map(|one| one.event.severity).max().unwrap_or_default(),
            headline: None,
            message: counts(events).into(),
            fields: Vec::new(),
            fields_more: 0,
            links: Vec::new(),
            entries: most_serious(events).into_iter().map(Entry::of).collect(),
            entries_more: events.len().saturating_sub(ENTRIES_MAX),
            event_type: digest::EVENT_TYPE,
            time: events.iter().map(|one| one.time()).max().unwrap_or_default(),
            brand: &about.brand,
        }
    }

    /// What happened, on one line and without an emoji: `Execution Failed: Nightly build: no space left`. For targets that
    /// read it aloud or send it as a short message.
    pub fn line(&self) -> String {
        let mut line = text::isolated(&self.title).into_owned();
        if let Some(headline) = &self.headline {
            line.push_str(": ");
            line.push_str(&text::isolated(headline));
        }
        line.push_str(&self.message_behind_title());
        line.replace(['\n', '\t'], " ")
    }

    /// Whether the message is more than the title again.
    pub fn says_more(&self) -> bool {
        self.message != self.title
    }

    /// What the message says that the title, which stands before it on the same line, does not: `: out of memory` of
    /// "Execution failed: out of memory". Begins with what joins the two; empty where there is nothing more.
    pub fn message_behind_title(&self) -> Cow<'_, str> {
        match behind(&self.title, &self.message) {
            Some(rest) => Cow::Borrowed(rest),
            None => Cow::Owned(format!(": {}", self.message)),
        }
    }
}

/// What follows the title at the beginning of a message, if it stands there in whatever case.
fn behind<'a>(title: &str, message: &'a str) -> Option<&'a str> {
    let (head, rest) = message.split_at_checked(title.len())?;
    let ends = rest.is_empty() || rest.starts_with([':', ' ']);
    (ends && head.eq_ignore_ascii_case(title)).then_some(rest)
}

/// What an event says in a few words, for targets that take its data as it is. Much less work than a [`Display`].
#[derive(Clone, Debug)]
pub struct Gist<'a> {
    /// As in [`Display`].
    pub title: Cow<'a, str>,
    /// As in [`Display`].
    pub tone: Tone,
    /// As in [`Display`].
    pub headline: Option<Cow<'a, str>>,
    /// What there is to say; where the event has no message its error, its reason, or the spec that it concerns.
    pub message: Option<Cow<'a, str>>,
}

impl<'a> Gist<'a> {
    /// What one event says.
    pub fn of(accepted: &'a Accepted, about: &About) -> Self {
        let event = &accepted.event;
        let Look { title, tone, .. } = Look::of(accepted);
        let (headline, message) = fields::gist(event, data(accepted));
        let test = || (event.event_type.as_str() == TEST).then(|| test_message(about).into());
        Self {
            title,
            tone,
            headline,
            message: message.or_else(test),
        }
    }

    /// The title and the headline, or the title and the message where there is no headline, and the message below.
    pub fn text(&self) -> String {
        let mut text = text::isolated(&self.title).into_owned();
        let message = self.message.as_deref().unwrap_or_default();
        match &self.headline {
            Some(headline) => {
                text.push_str(": ");
                text.push_str(&text::isolated(headline));
                if !message.is_empty() {
                    text.push('\n');
                    text.push_str(message);
                }
            }
            None => match behind(&self.title, message) {
                Some(rest) => text.push_str(rest),
                None if message.is_empty() => {}
                None => {
                    text.push_str(": ");
                    text.push_str(message);
                }
            },
        }
        text
    }
}

impl<'a> Entry<'a> {
    /// All of it on one line, without the emoji: `2026-01-01T09:30:00Z · Execution Failed · disk full`.
    pub fn line(&self) -> String {
        let mut line = format!("{} · {}", self.time, text::isolated(&self.title));
        if let Some(said) = &self.text {
            line.push_str(" · ");
            line.push_str(&text::isolated(said));
        }
        line
    }

    fn of(accepted: &'a Accepted) -> Self {
        let Look { title, emoji, .. } = Look::of(accepted);
        let (headline, message) = fields::gist(&accepted.event, data(accepted));
        let message = message.map(|message| {
            let message = behind(&title, &message).map_or(&*message, |rest| rest.trim_start_matches([':', ' ']));
            text::line(message, ENTRY_CHARS_MAX).into_owned()
        });
        let message = message.filter(|message| !message.is_empty());
        let text = match (headline, message) {
            (Some(headline), Some(message)) => Some(format!("{}: {message}", text::isolated(&headline))),
            (headline, message) => message.or(headline.map(Cow::into_owned)),
        };
        Self {
            title,
            emoji,
            text: text.map(|text| text::cut(&text, ENTRY_CHARS_MAX, text::Measure::Chars).into_owned()),
            time: accepted.time(),
        }
    }
}

/// How a type looks: as it was registered, else as it is built in.
pub(crate) struct Look<'a> {
    pub(crate) title: Cow<'a, str>,
    pub(crate) emoji: Cow<'a, str>,
    pub(crate) tone: Tone,
}

impl<'a> Look<'a> {
    pub(crate) fn of(accepted: &'a Accepted) -> Self {
        let event = &accepted.event;
        let name = event.event_type.as_str();
        let known = types::built_in(name);
        let given = event.look.as_ref();
        let clean = |text: &'a String| Some(text::line(text, TITLE_CHARS_MAX)).filter(|text| !text.is_empty());
        let title = given.and_then(|look| look.title.as_ref()).and_then(clean);
        let emoji = given.and_then(|look| look.emoji.as_ref()).and_then(clean);
        Self {
            title: title.unwrap_or_else(|| known.map_or(name, |known| known.title).into()),
            emoji: emoji.unwrap_or_else(|| known.map_or(types::EMOJI, |known| known.emoji).into()),
            tone: given
                .and_then(|look| look.tone)
                .unwrap_or_else(|| known.map_or(Tone::Neutral, |known| known.tone)),
        }
    }
}

fn test_message(about: &About) -> String {
    format!(
        "This is a test from {}: the integration {} works. There is nothing to do.",
        text::isolated(&about.brand),
        about.name
    )
}

/// The data as text. What was accepted is UTF-8.
fn data(accepted: &Accepted) -> &str {
    std::str::from_utf8(accepted.event.data.as_bytes()).unwrap_or_default()
}

fn worst(events: &[&Accepted]) -> Tone {
    let mut worst = Tone::Good;
    for accepted in events {
        match (Look::of(accepted).tone, worst) {
            (Tone::Bad, _) => return Tone::Bad,
            (Tone::Neutral, _) => worst = Tone::Neutral,
            (Tone::Good, _) => {}
        }
    }
    worst
}

/// The events to show, in their order: where they are too many, the most serious.
fn most_serious<'a>(events: &[&'a Accepted]) -> Vec<&'a Accepted> {
    let mut chosen: Vec<usize> = (0..events.len()).collect();
    if events.len() > ENTRIES_MAX {
        chosen.sort_by_key(|index| std::cmp::Reverse(events[*index].event.severity));
        chosen.truncate(ENTRIES_MAX);
        chosen.sort_unstable();
    }
    chosen.into_iter().map(|index| events[index]).collect()
}

/// How many there are of each kind, the most frequent first.
fn counts(events: &[&Accepted]) -> String {
    let mut kinds: Vec<(usize, Look<'_>)> = Vec::new();
    for accepted in events {
        let look = Look::of(accepted);
        match kinds.iter_mut().find(|(_, known)| known.title == look.title) {
            Some((count, _)) => *count += 1,
            None => kinds.push((1, look)),
        }
    }
    kinds.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let mut text = String::new();
    for (count, look) in kinds.iter().take(KINDS_MAX) {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&format!("{count} × {}", text::isolated(&look.title)));
    }
    if let Some(more @ 1..) = kinds.len().checked_sub(KINDS_MAX) {
        text.push_str(&format!(" and {more} more kinds"));
    }
    text
}

#[cfg(test)]
mod tests;
