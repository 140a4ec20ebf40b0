//! An event, or a digest of several, as a message of Block Kit.

use std::fmt::Write as _;

use signalbox_proto::{Timestamp, types::Tone};
use time::OffsetDateTime;

use super::{
    blocks::{
        ACTIONS_MAX, BLOCKS_MAX, BUTTON_URL_UNITS_MAX, Block, Button, FALLBACK_UNITS_MAX, FIELD_UNITS_MAX, FIELDS_MAX,
        HEADER_UNITS_MAX, MESSAGE_UNITS_MAX, Message, Mrkdwn, Plain, SECTION_UNITS_MAX,
    },
    text::{code, escape, pieces, unfenced, units, unmarked, weigh},
};
use crate::{
    Text,
    display::{
        self, Display, Entry, Field, FieldKind,
        text::{fit, isolated},
    },
};

/// Sections that the body of a template may fill: with a title and the last line as long as a message may be.
const BODY_SECTIONS_MAX: usize = MESSAGE_UNITS_MAX / SECTION_UNITS_MAX - 1;
/// The title of a template, where its markup lets no header show it.
const TITLE_UNITS_MAX: usize = 1_000;
/// The text of a digest's line besides its emoji and its date.
const LINE_UNITS_MAX: usize = 280;
/// The brand in the last line.
const BRAND_UNITS_MAX: usize = 100;
/// What is kept for the last line and for the counts of what was left out.
const LAST_UNITS_MAX: usize = 500;

// What a single event may need at most: title, message, fields, a count, buttons and the last line.
const _: () = assert!(display::FIELDS_MAX + 5 <= BLOCKS_MAX && BODY_SECTIONS_MAX + 4 <= BLOCKS_MAX);

/// Writes the message of what is shown. `mentions` stands before it where the news is bad.
pub(super) fn write<'a>(shown: &Display<'a>, text: &Text, mentions: &str) -> Message<'a> {
    let mentions = if shown.tone == Tone::Bad { mentions } else { "" };
    let title = given(text.title.as_deref());
    let mut page = Page::default();
    page.title(shown, title.as_deref());
    match given_body(text.body.as_deref()) {
        Some(body) => page.body(&body, mentions),
        None if shown.entries.is_empty() => page.event(shown, mentions),
        None => page.digest(shown, mentions),
    }
    page.links(shown);
    page.last_line(shown);
    Message {
        channel: None,
        text: fallback(shown, title.as_deref(), mentions),
        blocks: page.blocks,
        unfurl_links: false,
        unfurl_media: false,
        link_names: None,
    }
}

/// The title of a template, if it left anything.
fn given(title: Option<&str>) -> Option<String> {
    // Cut where markup is read: here a link or an escape would be parted.
    let title = display::text::line(title?, 2 * TITLE_UNITS_MAX);
    (!title.is_empty()).then(|| title.into_owned())
}

/// The body of a template. An empty one is one too: then nothing follows the title.
fn given_body(body: Option<&str>) -> Option<String> {
    Some(display::text::block(body?, 2 * MESSAGE_UNITS_MAX).into_owned())
}

/// The blocks so far, and how long their texts are.
#[derive(Default)]
struct Page<'a> {
    blocks: Vec<Block<'a>>,
    used: usize,
}

impl<'a> Page<'a> {
    fn title(&mut self, shown: &Display<'a>, given: Option<&str>) {
        let title = match given {
            None => format!("{} {}", shown.emoji, isolated(&shown.title)),
            Some(given) => match unmarked(given) {
                Some(plain) => plain,
                // A header shows markup as it is written.
                None => {
                    let title = pieces(given, TITLE_UNITS_MAX, 1).concat();
                    let bold = !title.contains(['*', '`']);
                    return self.section(if bold { format!("*{title}*") } else { title });
                }
            },
        };
        let (kept, end) = fit(&title, HEADER_UNITS_MAX, weigh);
        let title = format!("{kept}{}", end.unwrap_or_default());
        self.used += units(&title);
        self.blocks.push(Block::header(title));
    }

    fn body(&mut self, body: &str, mentions: &str) {
        let mut parts = pieces(body, SECTION_UNITS_MAX - units(mentions) - 1, BODY_SECTIONS_MAX);
        match parts.first_mut() {
            Some(first) if !mentions.is_empty() => *first = format!("{mentions}\n{first}"),
            None if !mentions.is_empty() => parts.push(mentions.to_owned()),
            _ => {}
        }
        for part in parts {
            self.section(part);
        }
    }

    fn event(&mut self, shown: &Display<'a>, mentions: &str) {
        let mut lead = mentions.to_owned();
        if let Some(headline) = &shown.headline {
            begin_line(&mut lead);
            push_bold(
                &mut lead,
                &escape(&isolated(&unfenced(headline)), SECTION_UNITS_MAX / 2),
            );
        }
        if shown.says_more() {
            let room = SECTION_UNITS_MAX - units(&lead) - 1;
            push_line(&mut lead, &escape(&shown.message, room));
        }
        if !lead.is_empty() {
            self.section(lead);
        }
        let left = self.fields(&shown.fields) + shown.fields_more;
        if left > 0 {
            self.count(left, "field");
        }
    }

    /// Writes the fields, and says how many of them found no room.
    fn fields(&mut self, fields: &[Field<'_>]) -> usize {
        let mut row: Vec<Mrkdwn> = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            let text = field_text(field);
            let size = units(&text);
            if self.used + size > MESSAGE_UNITS_MAX - LAST_UNITS_MAX {
                self.row(&mut row);
                return fields.len() - index;
            }
            self.used += size;
            if field.kind == FieldKind::Short {
                row.push(Mrkdwn::of(text));
                if row.len() == FIELDS_MAX {
                    self.row(&mut row);
                }
            } else {
                self.row(&mut row);
                self.blocks.push(Block::section(text));
            }
        }
        self.row(&mut row);
        0
    }

    fn row(&mut self, row: &mut Vec<Mrkdwn>) {
        if !row.is_empty() {
            self.blocks.push(Block::fields(std::mem::take(row)));
        }
    }

    fn digest(&mut self, shown: &Display<'a>, mentions: &str) {
        let mut lead = mentions.to_owned();
        let room = SECTION_UNITS_MAX - units(&lead) - 1;
        push_line(&mut lead, &escape(&shown.message, room));
        self.section(lead);
        let (mut lines, mut size) = (String::new(), 0);
        let mut left = shown.entries_more;
        for (index, entry) in shown.entries.iter().enumerate() {
            let line = entry_line(entry);
            let length = units(&line) + 1;
            if self.used + size + length > MESSAGE_UNITS_MAX - LAST_UNITS_MAX {
                left += shown.entries.len() - index;
                break;
            }
            if size + length > SECTION_UNITS_MAX {
                self.section(std::mem::take(&mut lines));
                size = 0;
            }
            push_line(&mut lines, &line);
            size += length;
        }
        if !lines.is_empty() {
            self.section(lines);
        }
        if left > 0 {
            self.count(left, "event");
        }
    }

    fn links(&mut self, shown: &Display<'a>) {
        let elements: Vec<Button<'a>> = shown
            .links
            .iter()
            .filter(|link| link.url.len() <= BUTTON_URL_UNITS_MAX)
            .take(ACTIONS_MAX)
            .map(|link| Button {
                text: Plain::of(link.label),
                url: link.url.clone(),
                action_id: link.label.to_ascii_lowercase().replace(' ', "_"),
            })
            .collect();
        if !elements.is_empty() {
            self.blocks.push(Block::Actions { elements });
        }
    }

    fn last_line(&mut self, shown: &Display<'a>) {
        let brand = isolated(shown.brand);
        let brand = escape(&brand, BRAND_UNITS_MAX);
        let mut line = String::with_capacity(brand.len() + 160);
        if !brand.is_empty() {
            line.push_str(&brand);
            line.push_str(" · ");
        }
        write!(line, "`{}` · {} · ", shown.event_type, shown.severity).expect("a string takes all");
        push_date(&mut line, shown.time, "{date_short_pretty} {time_secs}");
        self.blocks.push(Block::context(line));
    }

    fn count(&mut self, left: usize, what: &str) {
        let plural = if left == 1 { "" } else { "s" };
        self.blocks
            .push(Block::context(format!("and {left} more {what}{plural}")));
    }

    fn section(&mut self, text: String) {
        self.used += units(&text);
        self.blocks.push(Block::section(text));
    }
}

/// What notifications show: `❌ Execution Failed: out of memory`.
fn fallback(shown: &Display<'_>, title: Option<&str>, mentions: &str) -> String {
    let mut text = String::new();
    if !mentions.is_empty() {
        text.push_str(mentions);
        text.push(' ');
    }
    match title {
        Some(title) => text.push_str(&pieces(title, FALLBACK_UNITS_MAX, 1).concat()),
        None => {
            let mut said = format!("{} {}", shown.emoji, isolated(&shown.title));
            match &shown.headline {
                Some(headline) => {
                    write!(said, ": {headline}").expect("a string takes all");
                    if shown.says_more() {
                        write!(said, ": {}", shown.message).expect("a string takes all");
                    }
                }
                None => said.push_str(&shown.message_behind_title()),
            }
            text.push_str(&escape(&said, FALLBACK_UNITS_MAX));
        }
    }
    text
}

fn field_text(field: &Field<'_>) -> String {
    let mut text = String::with_capacity(field.label.len() + field.value.len() + 16);
    push_bold(&mut text, &escape(&field.label, 2 * display::LABEL_CHARS_MAX));
    text.push('\n');
    let limit = if field.kind == FieldKind::Short {
        FIELD_UNITS_MAX
    } else {
        SECTION_UNITS_MAX
    };
    let room = limit - units(&text);
    match field.kind {
        FieldKind::Short | FieldKind::Long => text.push_str(&escape(&field.value, room)),
        FieldKind::Code => text.push_str(&code(&field.value, room)),
        FieldKind::List => {
            let items: Vec<String> = field.value.lines().map(|item| format!("• {item}")).collect();
            text.push_str(&escape(&items.join("\n"), room));
        }
    }
    text
}

/// One event of a digest: `❌ *Execution Failed* · today 10:30 · out of memory`.
fn entry_line(entry: &Entry<'_>) -> String {
    let mut line = escape(&unfenced(&entry.emoji), 64).into_owned();
    line.push(' ');
    push_bold(&mut line, &escape(&isolated(&unfenced(&entry.title)), LINE_UNITS_MAX));
    line.push_str(" · ");
    push_date(&mut line, entry.time, "{date_short_pretty} {time}");
    if let Some(text) = &entry.text {
        line.push_str(" · ");
        line.push_str(&escape(&isolated(&unfenced(text)), LINE_UNITS_MAX));
    }
    line
}

/// Adds escaped text in bold; as it is where a star inside it would end that.
fn push_bold(text: &mut String, escaped: &str) {
    let mark = if escaped.contains('*') { "" } else { "*" };
    text.push_str(mark);
    text.push_str(escaped);
    text.push_str(mark);
}

fn push_line(text: &mut String, line: &str) {
    if !line.is_empty() {
        begin_line(text);
        text.push_str(line);
    }
}

fn begin_line(text: &mut String) {
    if !text.is_empty() {
        text.push('\n');
    }
}

/// Adds a time that each reader sees in their own zone; behind the bar what is shown where that fails.
fn push_date(text: &mut String, time: Timestamp, form: &str) {
    let at = OffsetDateTime::from(time);
    let plain = format_args!(
        "{}-{:02}-{:02} {:02}:{:02}:{:02} UTC",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    match time.secs() {
        secs @ 0.. => write!(text, "<!date^{secs}^{form}|{plain}>"),
        _ => write!(text, "{plain}"),
    }
    .expect("a string takes all");
}
