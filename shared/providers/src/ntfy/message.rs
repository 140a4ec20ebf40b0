//! An event, or a digest of several, as one notification.
//!
//! All of it together is bounded, in bytes of JSON as ntfy writes it: what a push service carries of a notification is less
//! than what the server takes, and an iPhone never shows what is longer.

use std::borrow::Cow;

use serde::Serialize;
use signalbox_proto::{Delivery, Severity};

use super::Prepared;
use crate::{
    Text,
    display::{
        Display, Field, FieldKind, Link,
        text::{self, fit, isolated},
    },
    template,
};

/// All of a notification. Apple takes 4,096 bytes, which hold the title and the beginning of the message twice, the buttons
/// as JSON inside JSON, and what the server adds.
const NOTIFICATION_BYTES_MAX: usize = 2_600;
/// The title.
const TITLE_BYTES_MAX: usize = 250;
/// An address that opens by a button or the notification itself; a longer one is a line of the message.
const LINK_BYTES_MAX: usize = 300;
/// Buttons of a notification.
const ACTIONS_MAX: usize = 3;
/// What the event itself is called.
const HEADLINE_BYTES_MAX: usize = 250;
/// The message of the event, so that fields find room too.
const MESSAGE_BYTES_MAX: usize = 1_200;
/// The value of one field.
const VALUE_BYTES_MAX: usize = 500;
/// The brand in the last line.
const BRAND_BYTES_MAX: usize = 100;
/// What is kept for the counts of what found no room.
const COUNT_BYTES_MAX: usize = 60;
/// Parts the paragraphs.
const GAP: &str = "\n\n";

/// The body of a request.
#[derive(Debug, Serialize)]
pub(super) struct Notification<'a> {
    topic: &'a str,
    title: String,
    message: String,
    priority: u8,
    tags: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    click: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<Action<'a>>,
    /// A second notification with the same one takes the place of the first.
    sequence_id: &'a str,
}

/// A button that opens an address.
#[derive(Debug, Serialize)]
struct Action<'a> {
    action: &'static str,
    label: &'static str,
    url: Cow<'a, str>,
}

/// Writes the notification of what is shown.
pub(super) fn write<'a>(
    prepared: &'a Prepared,
    delivery: &'a Delivery,
    shown: &'a Display<'_>,
    text: &Text,
) -> Notification<'a> {
    let fits = |link: &&Link| bytes(&link.url) <= LINK_BYTES_MAX;
    let actions: Vec<Action<'a>> = shown
        .links
        .iter()
        .filter(fits)
        .take(ACTIONS_MAX)
        .map(Action::of)
        .collect();
    let tags = prepared.tags.iter().map(String::as_str);
    let mut notification = Notification {
        topic: &prepared.topic,
        title: title(shown, text.title.as_deref()),
        message: String::new(),
        priority: priority(shown.severity),
        tags: tags.chain([shown.severity.as_str(), shown.event_type]).collect(),
        click: actions.first().map(|action| action.url.clone()),
        actions,
        sequence_id: &delivery.id,
    };
    let around = serde_json::to_string(&notification).expect("texts and numbers are written to memory");
    let last = last_line(shown);
    let more: usize = around.chars().map(|c| weigh(c) - json_bytes(c)).sum();
    let taken = around.len() + more + bytes(GAP) + bytes(&last) + COUNT_BYTES_MAX;
    let mut page = Page {
        text: String::new(),
        room: NOTIFICATION_BYTES_MAX.saturating_sub(taken),
    };
    let others = shown.links.iter().filter(|link| !fits(link));
    page.write(shown, text.body.as_deref(), others);
    notification.message = page.end(&last);
    notification
}

impl<'a> Action<'a> {
    fn of(link: &'a Link) -> Self {
        Self {
            action: "view",
            label: link.label,
            url: unencoded_url(&link.url),
        }
    }
}

/// The text so far, and the room that is left, in bytes of JSON.
struct Page {
    text: String,
    room: usize,
}

impl Page {
    fn write<'b>(&mut self, shown: &Display<'_>, given: Option<&str>, links: impl Iterator<Item = &'b Link>) {
        if let Some(body) = given {
            let body = text::block(body, template::BODY_BYTES_MAX);
            self.cut(&body, usize::MAX);
        } else if shown.entries.is_empty() {
            if let Some(headline) = &shown.headline {
                self.cut(&isolated(headline), HEADLINE_BYTES_MAX);
            }
            if shown.says_more() {
                self.cut(&shown.message, MESSAGE_BYTES_MAX);
            }
            self.list(shown.fields.iter().map(field), shown.fields_more, "field");
        } else {
            self.cut(&shown.message, MESSAGE_BYTES_MAX);
            let lines = shown
                .entries
                .iter()
                .map(|entry| format!("{} {}", entry.emoji, entry.line()));
            self.list(lines, shown.entries_more, "event");
        }
        for link in links {
            self.whole(&format!("\n{}: {}", link.label, link.url));
        }
    }

    /// Adds a paragraph, cut to what there is room for.
    fn cut(&mut self, text: &str, bytes_max: usize) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        let room = self.room.saturating_sub(bytes(gap)).min(bytes_max);
        let text = cut(text, room);
        if !text.is_empty() {
            self.whole(&[gap, &text].concat());
        }
    }

    /// Adds lines as far as they find room, and says how many there are beyond.
    fn list(&mut self, lines: impl ExactSizeIterator<Item = String>, more: usize, what: &str) {
        let mut left = lines.len() + more;
        for (index, line) in lines.enumerate() {
            let gap = match index {
                _ if self.text.is_empty() => "",
                0 => GAP,
                _ => "\n",
            };
            if !self.whole(&[gap, &line].concat()) {
                break;
            }
            left -= 1;
        }
        if left > 0 {
            let plural = if left == 1 { "" } else { "s" };
            let gap = if self.text.is_empty() { "" } else { "\n" };
            // Room was kept for it.
            self.text.push_str(&format!("{gap}and {left} more {what}{plural}"));
        }
    }

    /// Adds a part, where it finds room.
    fn whole(&mut self, part: &str) -> bool {
        let Some(room) = self.room.checked_sub(bytes(part)) else {
            return false;
        };
        self.room = room;
        self.text.push_str(part);
        true
    }

    /// The text with its last line. It is never empty: the server would write `triggered` instead.
    fn end(self, last: &str) -> String {
        if self.text.is_empty() {
            return last.to_owned();
        }
        [&self.text, GAP, last].concat()
    }
}

/// The title of a template if it left anything, else that of the event: `❌ Execution Failed`.
fn title(shown: &Display<'_>, given: Option<&str>) -> String {
    let given = text::line(given.unwrap_or_default(), template::TITLE_BYTES_MAX);
    let title = if given.is_empty() {
        Cow::Owned([&*shown.emoji, " ", &isolated(&shown.title)].concat())
    } else {
        given
    };
    // The server takes it for a header, and would decode what looks encoded there: `=?utf-8?q?…?=`.
    cut(&title.replace("=?", "= ?"), TITLE_BYTES_MAX)
}

/// An address in which nothing begins that a header's decoder takes for encoded: all buttons are one header, so that what begins
/// in one address could end in the next. Whoever reads the address finds the same: behind the first question mark another one is
/// escaped, and before it the sign that stands there.
fn unencoded_url(url: &str) -> Cow<'_, str> {
    let Some((path, query)) = url.split_once('?').filter(|_| url.contains("=?")) else {
        return Cow::Borrowed(url);
    };
    let query = query.replace("=?", "=%3F");
    Cow::Owned(match path.strip_suffix('=') {
        Some(path) => [path, "%3D?", &query].concat(),
        None => [path, "?", &query].concat(),
    })
}

/// `Agent: builder`, or what takes several lines below its label.
fn field(field: &Field<'_>) -> String {
    let label = isolated(&field.label);
    let value = cut(&field.value, VALUE_BYTES_MAX);
    match field.kind {
        FieldKind::Short => format!("{label}: {}", isolated(&value)),
        FieldKind::Long | FieldKind::Code => format!("{label}:\n{value}"),
        FieldKind::List => {
            let items = value.lines().map(|item| format!("\n• {item}"));
            format!("{label}:{}", items.collect::<String>())
        }
    }
}

/// When it happened, as notifications show when they came: `2026-01-01T09:30:00Z · Signalbox`.
fn last_line(shown: &Display<'_>) -> String {
    let brand = cut(&isolated(shown.brand), BRAND_BYTES_MAX);
    let parts = [shown.time.to_string(), brand];
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" · ")
}

const fn priority(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 5,
        Severity::High => 4,
        Severity::Medium => 3,
        Severity::Low => 2,
    }
}

fn cut(text: &str, bytes_max: usize) -> String {
    let (kept, end) = fit(text, bytes_max, weigh);
    [kept, &end.unwrap_or_default()].concat()
}

/// How long a text is in JSON, as ntfy writes it.
fn bytes(text: &str) -> usize {
    text.chars().map(weigh).sum()
}

/// Go writes these three so that they can stand in HTML.
const fn weigh(c: char) -> usize {
    match c {
        '<' | '>' | '&' => 6,
        c => json_bytes(c),
    }
}

const fn json_bytes(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\t' => 2,
        '\0'..='\u{1f}' => 6,
        c => c.len_utf8(),
    }
}
