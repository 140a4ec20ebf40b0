//! An event, or a digest of several, as an embed.

use std::fmt::Write as _;

use signalbox_proto::types::Tone;

use super::{
    embed::{
        DESCRIPTION_CHARS_MAX, Embed, FIELDS_MAX, Field, Footer, MESSAGE_CHARS_MAX, NAME_CHARS_MAX, TITLE_CHARS_MAX,
        URL_CHARS_MAX, VALUE_CHARS_MAX,
    },
    text::{chars, code, escape, masked},
};
use crate::{
    Text,
    display::{self, Display, Entry, FieldKind, Link, text::isolated},
};

/// Colours of the bar, as 0xRRGGBB.
const BAD: u32 = 0xFF_00_00;
const ALERT: u32 = 0xFF_66_00;
const GOOD: u32 = 0x00_FF_00;
const NEUTRAL: u32 = 0x00_99_FF;

/// Headline and message: what they leave is for the fields.
const LEAD_CHARS_MAX: usize = 3_000;
/// The headline, escaped.
const HEADLINE_CHARS_MAX: usize = 500;
/// The text of a digest's line besides its emoji and its date.
const LINE_CHARS_MAX: usize = 280;
/// The brand in the footer.
const BRAND_CHARS_MAX: usize = 100;
/// Kept for the field that counts what found no room.
const COUNT_CHARS_MAX: usize = 60;
/// The name of the field that counts what found no room.
const MORE: &str = "More";
/// The name of the field with the links.
const LINKS: &str = "Links";

// All fields of an event, one with its links, and one that counts.
const _: () = assert!(display::FIELDS_MAX + 2 <= FIELDS_MAX);

/// Writes the embed of what is shown.
pub(super) fn write<'a>(shown: &'a Display<'_>, text: &Text) -> Embed<'a> {
    let title = title(shown, text.title.as_deref());
    let footer = footer(shown);
    let links = links(&shown.links);
    let mut page = Page {
        used: chars(&title) + chars(&footer) + links.as_ref().map_or(0, size) + COUNT_CHARS_MAX,
        description: String::new(),
        fields: Vec::new(),
    };
    let left = match text.body.as_deref() {
        // A template is an owner's markup: it is cut and nothing else.
        Some(body) => {
            let body = display::text::block(body, DESCRIPTION_CHARS_MAX.min(MESSAGE_CHARS_MAX - page.used));
            page.description.push_str(&body);
            None
        }
        None if shown.entries.is_empty() => page.event(shown),
        None => page.digest(shown),
    };
    page.fields.extend(left);
    page.fields.extend(links);
    Embed {
        title,
        url: first_url(&shown.links),
        description: page.description,
        color: color(shown),
        fields: page.fields,
        footer: Footer { text: footer },
        timestamp: shown.time,
    }
}

fn color(shown: &Display<'_>) -> u32 {
    let family = shown.event_type.split('.').next();
    match shown.tone {
        Tone::Bad if family == Some("alert") => ALERT,
        Tone::Bad => BAD,
        Tone::Good => GOOD,
        Tone::Neutral => NEUTRAL,
    }
}

/// The title of a template if it left anything, else that of the event.
fn title(shown: &Display<'_>, given: Option<&str>) -> String {
    let given = display::text::line(given.unwrap_or_default(), TITLE_CHARS_MAX);
    if !given.is_empty() {
        return given.into_owned();
    }
    let title = [&*shown.emoji, " ", &isolated(&shown.title)].concat();
    escape(&title, TITLE_CHARS_MAX).into_owned()
}

/// The last line, behind which Discord shows the time: `Signalbox · execution.failed · critical`.
fn footer(shown: &Display<'_>) -> String {
    let brand = display::text::line(shown.brand, BRAND_CHARS_MAX);
    let mut text = String::with_capacity(brand.len() + shown.event_type.len() + 32);
    if !brand.is_empty() {
        text.push_str(&isolated(&brand));
        text.push_str(" · ");
    }
    text.push_str(shown.event_type);
    text.push_str(" · ");
    text.push_str(shown.severity.as_str());
    text
}

/// Where the title leads.
fn first_url(links: &[Link]) -> Option<&str> {
    let url = links.first()?.url.as_str();
    (url.len() <= URL_CHARS_MAX).then_some(url)
}

/// All links in one field. An address that it has no room for is told of.
fn links<'a>(links: &[Link]) -> Option<Field<'a>> {
    const PART: &str = " · ";
    const TOO_LONG: &str = " (its address is too long)";
    let mut value = String::new();
    // What each link takes at least.
    let least = |link: &Link| PART.len() + link.label.len() + TOO_LONG.len();
    let mut others: usize = links.iter().map(least).sum();
    for link in links {
        others -= least(link);
        if !value.is_empty() {
            value.push_str(PART);
        }
        let url = masked(&link.url);
        let bytes = link.label.len() + url.len() + "[]()".len();
        if value.len() + bytes + others <= VALUE_CHARS_MAX {
            write!(value, "[{}]({url})", link.label).expect("a string takes all");
        } else {
            value.push_str(link.label);
            value.push_str(TOO_LONG);
        }
    }
    (!value.is_empty()).then(|| Field {
        name: LINKS.into(),
        value: value.into(),
        inline: false,
    })
}

/// Description and fields so far, and how long all texts are with what is kept for the others.
struct Page<'a> {
    used: usize,
    description: String,
    fields: Vec<Field<'a>>,
}

impl<'a> Page<'a> {
    /// Writes one event; the field that counts what found no room, if anything did.
    fn event(&mut self, shown: &'a Display<'_>) -> Option<Field<'a>> {
        let lead = &mut self.description;
        if let Some(headline) = &shown.headline {
            lead.push_str("**");
            lead.push_str(&escape(&isolated(headline), HEADLINE_CHARS_MAX));
            lead.push_str("**");
        }
        if shown.says_more() {
            if !lead.is_empty() {
                lead.push('\n');
            }
            let room = LEAD_CHARS_MAX - chars(lead);
            lead.push_str(&escape(&shown.message, room));
        }
        self.used += chars(&self.description);
        let mut left = shown.fields_more;
        for (index, field) in shown.fields.iter().enumerate() {
            let field = written(field);
            let size = size(&field);
            if self.used + size > MESSAGE_CHARS_MAX {
                left += shown.fields.len() - index;
                break;
            }
            self.used += size;
            self.fields.push(field);
        }
        count(left, "field")
    }

    /// Writes the events of a digest; the field that counts what found no room, if anything did.
    fn digest(&mut self, shown: &Display<'_>) -> Option<Field<'a>> {
        let room = DESCRIPTION_CHARS_MAX.min(MESSAGE_CHARS_MAX - self.used);
        let text = &mut self.description;
        text.push_str(&escape(&shown.message, room));
        text.push('\n');
        let mut used = chars(text);
        let mut left = shown.entries_more;
        for (index, entry) in shown.entries.iter().enumerate() {
            let before = text.len();
            push_entry(text, entry);
            let (_, line) = text.split_at(before);
            used += chars(line);
            if used > room {
                text.truncate(before);
                left += shown.entries.len() - index;
                break;
            }
        }
        count(left, "event")
    }
}

fn size(field: &Field<'_>) -> usize {
    chars(&field.name) + chars(&field.value)
}

fn count<'a>(left: usize, what: &str) -> Option<Field<'a>> {
    let plural = if left == 1 { "" } else { "s" };
    (left > 0).then(|| Field {
        name: MORE.into(),
        value: format!("and {left} more {what}{plural}").into(),
        inline: false,
    })
}

fn written<'a>(field: &'a display::Field<'_>) -> Field<'a> {
    let value = match field.kind {
        FieldKind::Short | FieldKind::Long => escape(&field.value, VALUE_CHARS_MAX),
        FieldKind::Code => code(&field.value, VALUE_CHARS_MAX).into(),
        FieldKind::List => {
            let mut items = String::with_capacity(field.value.len() + 64);
            for item in field.value.lines() {
                if !items.is_empty() {
                    items.push('\n');
                }
                items.push_str("• ");
                items.push_str(item);
            }
            escape(&items, VALUE_CHARS_MAX).into_owned().into()
        }
    };
    Field {
        name: escape(&field.label, NAME_CHARS_MAX),
        value,
        inline: field.kind == FieldKind::Short,
    }
}

/// One event of a digest: `❌ **Execution Failed** · 1 January 2026 10:30 · out of memory`, on a line of its own.
fn push_entry(text: &mut String, entry: &Entry<'_>) {
    text.push('\n');
    text.push_str(&escape(&entry.emoji, LINE_CHARS_MAX));
    text.push_str(" **");
    text.push_str(&escape(&isolated(&entry.title), LINE_CHARS_MAX));
    text.push_str("**");
    // Each reader sees it in their own zone.
    write!(text, " · <t:{}:f>", entry.time.secs()).expect("a string takes all");
    if let Some(said) = &entry.text {
        text.push_str(" · ");
        text.push_str(&escape(&isolated(said), LINE_CHARS_MAX));
    }
}
