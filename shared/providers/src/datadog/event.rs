//! An event, or a digest of several, as one event of Datadog's stream (`POST /api/v1/events`).

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;
use signalbox_proto::{Accepted, Delivery, Severity, Timestamp, types::Tone};

use super::{
    tags,
    text::{address, code, escape, escape_behind, given, quiet, unescaped},
};
use crate::{
    About, Text,
    display::{
        self, Display, Entry, Field, FieldKind,
        text::{Measure, block, cut, isolated},
    },
    entity::Entity,
};

/// Longest title, in characters.
pub(super) const TITLE_CHARS_MAX: usize = 100;
/// Longest text, the marks of its markup with it, in characters.
pub(super) const TEXT_CHARS_MAX: usize = 4_000;
/// Longest key that gathers events, in bytes: Datadog counts characters, which are never more.
pub(super) const KEY_BYTES_MAX: usize = 100;
/// Types, and agents, of a digest that become tags of it.
const TAGS_EACH_MAX: usize = 20;
/// An older event is refused; ten minutes less, as the request takes its time and clocks differ.
const AGE_MAX: Duration = Duration::from_secs(18 * 3_600 - 600);
/// How far ahead a producer's clock may be.
const AHEAD_MAX: Duration = Duration::from_secs(600);
/// What the stream shows as an event's source.
const SOURCE: &str = "signalbox";
/// Between these marks a text is read as Markdown.
const MARKS: (&str, &str) = ("%%% \n", "\n %%%");
/// Of all links together: one of the longest, and some of the usual.
const LINKS_CHARS_MAX: usize = display::LINK_BYTES_MAX + 200;
/// The brand in the last line.
const BRAND_CHARS_MAX: usize = 100;
/// What is kept for the count of what found no room.
const COUNT_CHARS_MAX: usize = 40;
/// The text of a digest's line besides its emoji, its title and its time.
const LINE_CHARS_MAX: usize = 280;

/// The request's body.
#[derive(Debug, Serialize)]
struct Event<'a> {
    title: String,
    text: String,
    alert_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    date_happened: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregation_key: Option<String>,
    source_type_name: &'static str,
    tags: Vec<&'a str>,
}

/// Writes the body. `own` are the integration's tags.
pub(super) fn body(delivery: &Delivery, about: &About, own: &[String], text: &Text, now: Timestamp) -> Vec<u8> {
    let shown = Display::of(delivery, about);
    let made = tags_of(delivery, shown.severity);
    let mut tags: Vec<&str> = Vec::with_capacity(made.len() + own.len());
    for tag in made.iter().chain(own) {
        if !tags.contains(&tag.as_str()) {
            tags.push(tag);
        }
    }
    let event = Event {
        title: title(&shown, text.title.as_deref()),
        text: markdown(&shown, text.body.as_deref()),
        alert_type: alert_type(shown.tone, shown.severity),
        date_happened: date_happened(shown.time, now),
        aggregation_key: (!delivery.is_digest())
            .then(|| Entity::of(&delivery.event().event).key(&about.integration, KEY_BYTES_MAX)),
        source_type_name: SOURCE,
        tags,
    };
    let mut body = Vec::with_capacity(event.text.len() + 512);
    serde_json::to_writer(&mut body, &event).expect("texts and numbers are written to memory");
    body
}

/// How the stream marks an event.
pub(super) const fn alert_type(tone: Tone, severity: Severity) -> &'static str {
    match (tone, severity) {
        (Tone::Bad, Severity::Critical | Severity::High) => "error",
        (Tone::Bad, Severity::Medium | Severity::Low) => "warning",
        (Tone::Good, _) => "success",
        (Tone::Neutral, Severity::Critical | Severity::High) => "warning",
        (Tone::Neutral, Severity::Medium | Severity::Low) => "info",
    }
}

/// When it happened, where Datadog takes that time; else it takes the time at which the event comes.
fn date_happened(time: Timestamp, now: Timestamp) -> Option<i64> {
    let taken = now.since(time) <= AGE_MAX && time.since(now) <= AHEAD_MAX;
    taken.then(|| time.secs())
}

fn tags_of(delivery: &Delivery, severity: Severity) -> Vec<String> {
    let mut tags = Vec::with_capacity(4);
    if delivery.is_digest() {
        tags.push(tags::event_type(signalbox_proto::digest::EVENT_TYPE));
        let types = |one: &Accepted| tags::event_type(one.event.event_type.as_str());
        distinct(&mut tags, delivery.events.iter().map(types));
        let agents = |one: &Accepted| tags::agent(one.event.agent_id.as_deref());
        distinct(&mut tags, delivery.events.iter().map(agents));
    } else {
        let event = &delivery.event().event;
        tags.push(tags::event_type(event.event_type.as_str()));
        tags.push(tags::agent(event.agent_id.as_deref()));
    }
    tags.push(tags::keyed("severity:", severity.as_str()));
    tags
}

/// Adds the first tags that differ.
fn distinct(tags: &mut Vec<String>, more: impl Iterator<Item = String>) {
    let begin = tags.len();
    for tag in more {
        if tags.len() - begin >= TAGS_EACH_MAX {
            break;
        }
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
}

/// `Signalbox: Execution Failed: Nightly build`. A title knows no markup.
fn title(shown: &Display<'_>, given: Option<&str>) -> String {
    let given = given.map(|given| unescaped(&display::text::line(given, 2 * TITLE_CHARS_MAX)));
    let title = match given.filter(|given| !given.is_empty()) {
        Some(given) => given,
        None => {
            let mut title = String::with_capacity(TITLE_CHARS_MAX);
            if !shown.brand.is_empty() {
                write!(title, "{}: ", isolated(shown.brand)).expect("a string takes all");
            }
            title.push_str(&isolated(&shown.title));
            match &shown.headline {
                Some(headline) => write!(title, ": {}", isolated(headline)).expect("a string takes all"),
                // Of a message its first line.
                None => title.push_str(shown.message_behind_title().lines().next().unwrap_or_default()),
            }
            quiet(&title)
        }
    };
    cut(&title, TITLE_CHARS_MAX, Measure::Chars).into_owned()
}

/// The text in Datadog's markup.
fn markdown(shown: &Display<'_>, body: Option<&str>) -> String {
    let end = last_lines(shown);
    let around = MARKS.0.len() + MARKS.1.len() + "\n\n".len() + end.chars().count();
    let mut page = Page {
        text: String::with_capacity(1_024),
        room: TEXT_CHARS_MAX - around,
        in_list: false,
    };
    page.text.push_str(MARKS.0);
    match body {
        Some(body) => {
            let body = given(&block(body, TEXT_CHARS_MAX), page.room);
            page.text.push_str(&body);
        }
        None if shown.entries.is_empty() => page.event(shown),
        None => page.digest(shown),
    }
    if page.text.len() > MARKS.0.len() {
        page.text.push_str("\n\n");
    }
    page.text.push_str(&end);
    page.text.push_str(MARKS.1);
    page.text
}

/// The links, and what every event ends with: `Signalbox · execution.failed · critical · 2026-01-31T09:30:00Z`.
fn last_lines(shown: &Display<'_>) -> String {
    let mut lines = String::new();
    let mut used = 0;
    for link in &shown.links {
        let url = address(&link.url);
        let size = url.len() + link.label.len() + 8;
        if used + size > LINKS_CHARS_MAX {
            continue;
        }
        lines.push_str(if used > 0 { " · " } else { "" });
        write!(lines, "[{}]({url})", link.label).expect("a string takes all");
        used += size;
    }
    if used > 0 {
        lines.push_str("\n\n");
    }
    let brand = escape(&isolated(shown.brand), BRAND_CHARS_MAX);
    if !brand.is_empty() {
        write!(lines, "{brand} · ").expect("a string takes all");
    }
    let event_type = escape(shown.event_type, 2 * display::TITLE_CHARS_MAX);
    write!(lines, "{event_type} · {} · {}", shown.severity, shown.time).expect("a string takes all");
    lines
}

/// The text so far, and for how many characters there is room.
struct Page {
    text: String,
    room: usize,
    /// Whether the last part is an item of a list, which the next one may go on with.
    in_list: bool,
}

impl Page {
    fn event(&mut self, shown: &Display<'_>) {
        if let Some(headline) = &shown.headline {
            let headline = escape_behind(&isolated(headline), self.left().saturating_sub(4));
            self.paragraph(&format!("**{headline}**"));
        }
        if shown.says_more() {
            let message = escape(&shown.message, self.left());
            self.paragraph(&message);
        }
        let left = self.fields(&shown.fields) + shown.fields_more;
        self.count(left, "field");
    }

    /// Writes the fields, and says how many of them found no room.
    fn fields(&mut self, fields: &[Field<'_>]) -> usize {
        for (index, field) in fields.iter().enumerate() {
            let label = escape_behind(&field.label, 2 * display::LABEL_CHARS_MAX);
            let room = self.left().saturating_sub(label.chars().count() + 10);
            // Less than this would show next to nothing of it.
            if room < 2 * display::SHORT_CHARS_MAX && room < 2 * field.value.len() {
                return fields.len() - index;
            }
            let fits = match field.kind {
                FieldKind::Short => self.item(&format!(
                    "- **{label}:** {}",
                    escape_behind(&isolated(&field.value), room)
                )),
                FieldKind::Long => self.paragraph(&format!("**{label}**\n\n{}", escape(&field.value, room))),
                FieldKind::Code => self.paragraph(&format!("**{label}**\n\n{}", code(&field.value, room))),
                FieldKind::List => {
                    if !self.item(&format!("- **{label}:**")) {
                        return fields.len() - index;
                    }
                    for item in field.value.lines() {
                        let item = escape(&isolated(item), 2 * display::ITEM_CHARS_MAX);
                        if !self.item(&format!("    - {item}")) {
                            return fields.len() - index;
                        }
                    }
                    true
                }
            };
            if !fits {
                return fields.len() - index;
            }
        }
        0
    }

    fn digest(&mut self, shown: &Display<'_>) {
        let counts = escape(&shown.message, self.left());
        self.paragraph(&counts);
        let mut left = shown.entries_more;
        for (index, entry) in shown.entries.iter().enumerate() {
            if !self.item(&line(entry)) {
                left += shown.entries.len() - index;
                break;
            }
        }
        self.count(left, "event");
    }

    /// Characters that the next part may have.
    fn left(&self) -> usize {
        self.room.saturating_sub(COUNT_CHARS_MAX + "\n\n".len())
    }

    fn count(&mut self, left: usize, what: &str) {
        if left > 0 {
            let plural = if left == 1 { "" } else { "s" };
            let count = format!("and {left} more {what}{plural}");
            // What was kept for it.
            self.push(&count, false, self.room);
        }
    }

    fn paragraph(&mut self, part: &str) -> bool {
        let left = self.left();
        self.push(part, false, left)
    }

    fn item(&mut self, part: &str) -> bool {
        let left = self.left();
        self.push(part, true, left)
    }

    /// Adds a part of at most so many characters; says whether it fits.
    fn push(&mut self, part: &str, is_item: bool, chars_max: usize) -> bool {
        let size = part.chars().count();
        if size > chars_max {
            return false;
        }
        let between = match (self.text.len() == MARKS.0.len(), self.in_list && is_item) {
            (true, _) => "",
            (false, true) => "\n",
            (false, false) => "\n\n",
        };
        self.text.push_str(between);
        self.text.push_str(part);
        self.room = self.room.saturating_sub(between.len() + size);
        self.in_list = is_item;
        true
    }
}

/// One event of a digest: `- ❌ **Execution Failed** · 2026-01-31T09:30:00Z · out of memory`.
fn line(entry: &Entry<'_>) -> String {
    let mut line = format!(
        "- {} **{}** · {}",
        escape(&entry.emoji, 64),
        escape_behind(&isolated(&entry.title), LINE_CHARS_MAX),
        entry.time
    );
    if let Some(text) = &entry.text {
        write!(line, " · {}", escape_behind(&isolated(text), LINE_CHARS_MAX)).expect("a string takes all");
    }
    line
}
