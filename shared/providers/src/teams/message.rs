//! An event, or a digest of several, as an Adaptive Card.

use std::borrow::Cow;

use signalbox_proto::{Timestamp, types::Tone};
use time::OffsetDateTime;

use super::{
    card::{Card, Element, OpenUrl, Run, write as write_json},
    text::{code, is_plain, json_bytes, unlinked},
};
use crate::{
    Text,
    display::{
        self, Display, Entry, Field, FieldKind,
        text::{Measure, cut, fit, isolated},
    },
    template::BODY_BYTES_MAX,
};

/// Of a card with a heading that is told as such; all Teams apps know it.
const VERSION: &str = "1.5";
/// Of a card with one text: the one that all clients know.
const SMALLEST_VERSION: &str = "1.4";
/// Beyond the schema, a word of Teams' own: as wide as the channel.
const FULL_WIDTH: &str = r#","msteams":{"width":"Full"}"#;
/// The title of a template, in bytes.
const TITLE_BYTES_MAX: usize = 1_000;
/// One line of a template's body, in bytes of JSON.
const LINE_BYTES_MAX: usize = 8_000;
/// What is shown where a card is not.
const FALLBACK_CHARS_MAX: usize = 200;
/// The brand in the last line, in characters.
const BRAND_CHARS_MAX: usize = 100;
/// Kept for the line that counts what found no room.
const COUNT_BYTES_MAX: usize = 160;
/// The text of a digest's line besides its emoji and its date, in bytes.
const ENTRY_BYTES_MAX: usize = 1_000;

/// What found no room.
struct Left {
    count: usize,
    what: &'static str,
}

impl Left {
    fn of(count: usize, what: &'static str) -> Option<Self> {
        (count > 0).then_some(Self { count, what })
    }

    fn told(&self) -> String {
        let plural = if self.count == 1 { "" } else { "s" };
        format!("and {} more {}{plural}", self.count, self.what)
    }
}

/// Writes the message of what is shown.
pub(super) fn write(shown: &Display<'_>, text: &Text) -> Vec<u8> {
    let mut last = Vec::with_capacity(256);
    write_json(&mut last, &Element::note(last_line(shown), true));
    let mut actions = Vec::new();
    if !shown.links.is_empty() {
        let buttons: Vec<OpenUrl<'_>> = shown
            .links
            .iter()
            .map(|link| OpenUrl {
                title: link.label,
                url: &link.url,
            })
            .collect();
        actions.extend_from_slice(br#","actions":"#);
        write_json(&mut actions, &buttons);
    }
    actions.extend_from_slice(FULL_WIDTH.as_bytes());

    let end_bytes = last.len() + actions.len() + COUNT_BYTES_MAX;
    let mut card = Card::begin(VERSION, &fallback(shown), end_bytes);
    let fits = card.add(&[header(shown, text)]);
    debug_assert!(fits, "title and buttons have at most half of the room");
    let left = match text.body.as_deref() {
        Some(body) => template(body, |line| card.add(&[Element::text(line)])),
        None if shown.entries.is_empty() => event(&mut card, shown),
        None => digest(&mut card, shown),
    };
    if let Some(left) = left {
        let mut counted = Vec::with_capacity(COUNT_BYTES_MAX + last.len());
        write_json(&mut counted, &Element::note(left.told(), false));
        counted.push(b',');
        counted.extend_from_slice(&last);
        last = counted;
    }
    card.end(&last, &actions)
}

/// Writes the smallest card: one text.
pub(super) fn write_text(shown: &Display<'_>, text: &Text) -> Vec<u8> {
    let mut end = String::with_capacity(256);
    for link in &shown.links {
        // A bracket would end the address.
        let url = link.url.replace('(', "%28").replace(')', "%29");
        end.extend(["\n\n[", link.label, "](", &url, ")"]);
    }
    end.push_str("\n\n");
    end.push_str(&last_line(shown));

    let mut card = Card::begin(SMALLEST_VERSION, &fallback(shown), 0);
    let kept = bytes(&end) + 2 * COUNT_BYTES_MAX;
    let mut lines = Lines {
        text: String::with_capacity(512),
        room: card.room().saturating_sub(kept),
    };
    match given(text.title.as_deref()) {
        Some(title) => lines.push(&title),
        None => lines.push(&["**", &plainly(&title(shown)), "**"].concat()),
    };
    let left = match text.body.as_deref() {
        Some(body) => template(body, |line| lines.push(&line)),
        None => lines.event_or_digest(shown),
    };
    if let Some(left) = left {
        end.insert_str(0, &["\n\n", &left.told()].concat());
    }
    lines.text.push_str(&end);
    let fits = card.add(&[Element::text(lines.text)]);
    debug_assert!(fits, "lines keep to the room that there is");
    card.end(&[], &[])
}

/// Lines of Markdown, of which only an empty line parts two.
struct Lines {
    text: String,
    /// Bytes of JSON that are left.
    room: usize,
}

impl Lines {
    /// Adds a text of one or several lines; nothing where it does not fit.
    fn push(&mut self, text: &str) -> bool {
        let before = self.text.len();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if !self.text.is_empty() {
                self.text.push_str("\n\n");
            }
            self.text.push_str(line);
        }
        let (_, added) = self.text.split_at(before);
        match self.room.checked_sub(bytes(added)) {
            Some(left) => self.room = left,
            None => {
                self.text.truncate(before);
                return false;
            }
        }
        true
    }

    fn event_or_digest(&mut self, shown: &Display<'_>) -> Option<Left> {
        let headline = shown.headline.as_deref().unwrap_or_default();
        let message = if shown.says_more() { &*shown.message } else { "" };
        let lead = [headline, message]
            .iter()
            .filter(|text| !self.push(&unlinked(text)))
            .count();
        let fields = shown.fields.iter().map(|field| {
            let text = [&*field.label, ": ", &isolated(&field.value)].concat();
            unlinked(&text).into_owned()
        });
        let entries = shown
            .entries
            .iter()
            .map(|entry| unlinked(&entry_text(entry)).into_owned());
        let (more, what) = if shown.entries.is_empty() {
            (shown.fields_more, "field")
        } else {
            (shown.entries_more, "event")
        };
        let mut all = fields.chain(entries);
        let beyond = match all.position(|text| !self.push(&text)) {
            Some(_) => 1 + all.count(),
            None => 0,
        };
        Left::of(lead + beyond + more, what)
    }
}

/// How long a text is as JSON.
fn bytes(text: &str) -> usize {
    text.chars().map(json_bytes).sum()
}

fn title(shown: &Display<'_>) -> String {
    [&*shown.emoji, " ", &isolated(&shown.title)].concat()
}

/// A text between stars: without stars and links of its own.
fn plainly(text: &str) -> Cow<'_, str> {
    match unlinked(text) {
        text if text.contains('*') => Cow::Owned(text.replace('*', "∗")),
        text => text,
    }
}

/// The title of a template, if it left anything.
fn given(title: Option<&str>) -> Option<String> {
    let title = display::text::line(title?, TITLE_BYTES_MAX);
    (!title.is_empty()).then(|| cut(&title, TITLE_BYTES_MAX, Measure::Bytes).into_owned())
}

/// The title, on a colour that shows the tone, and what the event itself is called.
fn header<'a>(shown: &'a Display<'_>, text: &Text) -> Element<'a> {
    let given = given(text.title.as_deref());
    let is_owners = given.is_some();
    let title = given.unwrap_or_else(|| title(shown));
    let heading = if is_owners || is_plain(&title) {
        Element::TextBlock {
            text: title.into(),
            wrap: true,
            size: Some("Large"),
            weight: Some("Bolder"),
            style: Some("heading"),
            subtle: false,
            separator: false,
        }
    } else {
        Element::runs(vec![Run {
            size: Some("Large"),
            ..Run::bold(title)
        }])
    };
    let mut items = vec![heading];
    if let Some(headline) = shown.headline.as_deref().filter(|_| text.body.is_none()) {
        items.push(Element::runs_below(vec![Run::bold(headline)]));
    }
    Element::Container {
        style: match shown.tone {
            Tone::Bad => "attention",
            Tone::Good => "good",
            Tone::Neutral => "accent",
        },
        bleed: true,
        items,
    }
}

/// The body of a template: each of its lines is one text, as Teams would join them. `add` says whether it found room.
fn template(body: &str, mut add: impl FnMut(String) -> bool) -> Option<Left> {
    let body = display::text::block(body, BODY_BYTES_MAX);
    let lines = || body.lines().filter(|line| !line.trim().is_empty());
    for (index, line) in lines().enumerate() {
        let (kept, end) = fit(line, LINE_BYTES_MAX, json_bytes);
        let line = [kept, &end.unwrap_or_default()].concat();
        if !add(line) {
            return Left::of(lines().count() - index, "line");
        }
    }
    None
}

fn event(card: &mut Card, shown: &Display<'_>) -> Option<Left> {
    let mut left = shown.fields_more;
    if shown.says_more() && !card.add(&[Element::runs(vec![Run::of(&*shown.message)])]) {
        left += 1;
    }
    for (index, field) in shown.fields.iter().enumerate() {
        if !add_field(card, field) {
            left += shown.fields.len() - index;
            break;
        }
    }
    Left::of(left, "field")
}

/// Adds a field: a fact where it is short and plain, else its name above its value.
fn add_field(card: &mut Card, field: &Field<'_>) -> bool {
    let label = || Run::bold(&*field.label);
    match field.kind {
        FieldKind::Short if is_plain(&field.label) && is_plain(&field.value) => card.fact(&field.label, &field.value),
        FieldKind::Short => {
            let value = [": ", &isolated(&field.value)].concat();
            card.add(&[Element::runs(vec![label(), Run::of(value)])])
        }
        FieldKind::Long => card.add(&[
            Element::runs(vec![label()]),
            Element::runs_below(vec![Run::of(&*field.value)]),
        ]),
        FieldKind::Code => {
            let value = Run {
                font: Some("Monospace"),
                ..Run::of(code(&field.value))
            };
            let framed = Element::Container {
                style: "emphasis",
                bleed: false,
                items: vec![Element::runs(vec![value])],
            };
            card.add(&[Element::runs(vec![label()]), framed])
        }
        FieldKind::List => {
            let mut items = String::with_capacity(field.value.len() + 64);
            for item in field.value.lines() {
                if !items.is_empty() {
                    items.push('\n');
                }
                items.push_str("• ");
                items.push_str(item);
            }
            card.add(&[Element::runs(vec![label()]), Element::runs_below(vec![Run::of(items)])])
        }
    }
}

fn digest(card: &mut Card, shown: &Display<'_>) -> Option<Left> {
    let mut left = shown.entries_more;
    if !card.add(&[Element::runs(vec![Run::of(&*shown.message)])]) {
        left += 1;
    }
    for (index, entry) in shown.entries.iter().enumerate() {
        if !card.add(&[entry_runs(entry)]) {
            left += shown.entries.len() - index;
            break;
        }
    }
    Left::of(left, "event")
}

/// One event of a digest: `❌ **Execution Failed** · 31 Dec 2025 23:59 · out of memory`.
fn entry_runs<'a>(entry: &'a Entry<'_>) -> Element<'a> {
    let mut runs = vec![
        Run::of([&*entry.emoji, " "].concat()),
        Run::bold(isolated(&entry.title)),
        Run {
            subtle: true,
            ..Run::of([" · ", &date(entry.time)].concat())
        },
    ];
    if let Some(said) = &entry.text {
        let said = cut(said, ENTRY_BYTES_MAX, Measure::Bytes);
        runs.push(Run::of([" · ", &isolated(&said)].concat()));
    }
    Element::runs(runs)
}

fn entry_text(entry: &Entry<'_>) -> String {
    let mut text = [&*entry.emoji, " ", &isolated(&entry.title), " · ", &date(entry.time)].concat();
    if let Some(said) = &entry.text {
        text.push_str(" · ");
        text.push_str(&isolated(said));
    }
    text
}

/// `Signalbox · execution.failed · critical · 31 Dec 2025 23:59`
fn last_line(shown: &Display<'_>) -> String {
    let brand = display::text::line(shown.brand, BRAND_CHARS_MAX);
    let mut line = String::with_capacity(brand.len() + shown.event_type.len() + 96);
    if !brand.is_empty() {
        line.push_str(&isolated(&unlinked(&brand)));
        line.push_str(" · ");
    }
    line.push_str(shown.event_type);
    line.push_str(" · ");
    line.push_str(shown.severity.as_str());
    line.push_str(" · ");
    line.push_str(&date(shown.time));
    line
}

/// What is read where cards are not: `❌ Execution Failed: out of memory`.
fn fallback(shown: &Display<'_>) -> String {
    let mut text = title(shown);
    match &shown.headline {
        Some(headline) => {
            text.push_str(": ");
            text.push_str(headline);
        }
        None => text.push_str(&shown.message_behind_title()),
    }
    unlinked(&display::text::line(&text, FALLBACK_CHARS_MAX)).into_owned()
}

/// A time that each reader sees in their own zone. Teams reads whole seconds of four-digit years alone, as all are here.
fn date(time: Timestamp) -> String {
    let at = OffsetDateTime::from(time);
    let utc = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    ["{{DATE(", &utc, ", SHORT)}} {{TIME(", &utc, ")}}"].concat()
}
