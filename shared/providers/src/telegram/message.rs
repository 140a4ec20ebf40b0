//! An event, or a digest of several, as one message in Telegram's HTML.

use serde::Serialize;
use signalbox_proto::{Severity, Timestamp, types::Tone};
use time::OffsetDateTime;

use super::{
    chat::ChatId,
    markup::{plain, tidy},
    text::{Names, push, units},
};
use crate::{
    Text,
    display::{
        self, Display, Entry, Field, FieldKind, Link,
        text::{block, isolated, line},
    },
    template,
};

/// Longest text once its markup is read, in units of UTF-16.
pub(super) const TEXT_UNITS_MAX: usize = 4_096;
/// Longest text as it is written: the Bot API reads no more.
pub(super) const TEXT_BYTES_MAX: usize = 32 * 1024;
/// Room for most texts, in bytes.
const TEXT_BYTES: usize = 1024;
/// The title of the type, or that of a template.
const TITLE_UNITS_MAX: usize = 500;
/// The title of a template as it is written, its tags included.
const TITLE_BYTES_MAX: usize = 8 * 1024;
/// What the event itself is called.
const HEADLINE_UNITS_MAX: usize = 400;
/// The message, so that fields find room too.
const MESSAGE_UNITS_MAX: usize = 1_800;
/// The value of one field.
const VALUE_UNITS_MAX: usize = 800;
/// A label, which may have several words in another script.
const LABEL_UNITS_MAX: usize = 130;
/// The text of a digest's line besides its emoji and its title.
const LINE_UNITS_MAX: usize = 220;
/// The brand in the last line.
const BRAND_UNITS_MAX: usize = 100;
/// What is kept for the last line (brand, type, severity, time) and for the counts of what was left out.
const LAST_UNITS_MAX: usize = 400;
/// What the last line may have in bytes as it is written.
const LAST_BYTES_MAX: usize = 2_000;
/// Buttons of a row.
const ROW_BUTTONS_MAX: usize = 3;

/// The body of a request.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    pub(super) chat_id: &'a ChatId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_thread_id: Option<i32>,
    pub(super) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parse_mode: Option<&'static str>,
    pub(super) link_preview_options: LinkPreview,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) disable_notification: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reply_markup: Option<Keyboard<'a>>,
}

/// Whether Telegram opens an address of the text to show what is there.
#[derive(Debug, Serialize)]
pub(super) struct LinkPreview {
    pub(super) is_disabled: bool,
}

/// Buttons below the message, in rows.
#[derive(Debug, Serialize)]
pub(super) struct Keyboard<'a> {
    inline_keyboard: Vec<Vec<Button<'a>>>,
}

/// A button that opens an address.
#[derive(Debug, Serialize)]
struct Button<'a> {
    text: &'static str,
    url: &'a str,
}

/// In which form a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// HTML with buttons.
    Rich,
    /// Text alone, for a server that did not take the other.
    Plain,
}

/// The text of what is shown, and its buttons.
pub(super) fn write<'a>(shown: &'a Display<'_>, text: &Text, form: Form) -> (String, Option<Keyboard<'a>>) {
    let (buttons, lines): (Vec<&Link>, Vec<&Link>) = shown
        .links
        .iter()
        .partition(|link| form == Form::Rich && takes_button(link));
    let mut page = Page {
        html: String::with_capacity(TEXT_BYTES),
        used: 0,
    };
    page.title(shown, text.title.as_deref());
    match &text.body {
        Some(body) => page.body(body, lines.iter().map(|link| line_units(link)).sum()),
        None if shown.entries.is_empty() => page.event(shown),
        None => page.digest(shown),
    }
    page.links(&lines);
    if text.body.is_none() {
        page.details(shown);
    }
    page.last_line(shown);
    let rows = buttons
        .chunks(ROW_BUTTONS_MAX)
        .map(|row| row.iter().map(|link| Button::of(link)).collect());
    let inline_keyboard: Vec<Vec<Button<'a>>> = rows.collect();
    let keyboard = (!inline_keyboard.is_empty()).then_some(Keyboard { inline_keyboard });
    match form {
        Form::Rich => (page.html, keyboard),
        Form::Plain => (plain(&page.html, TEXT_UNITS_MAX), None),
    }
}

/// Whether a button may open an address. Telegram refuses the whole message for a host without a dot, such as
/// `localhost`, and for signs in a name that no public host has.
fn takes_button(link: &Link) -> bool {
    let (_, rest) = link.url.split_once("://").unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = host.split_once(':').unwrap_or((host, ""));
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    host.trim_matches('.').contains('.') && host.bytes().all(usual) && port != "0"
}

/// What a link takes up as a line.
fn line_units(link: &Link) -> usize {
    "\n: ".len() + link.label.len() + units(&link.url)
}

impl<'a> Button<'a> {
    fn of(link: &'a Link) -> Self {
        Self {
            text: link.label,
            url: &link.url,
        }
    }
}

/// The text so far.
struct Page {
    html: String,
    /// The most that it takes up of a message.
    used: usize,
}

impl Page {
    /// Adds what is harmless: our own words and signs.
    fn words(&mut self, words: &str) {
        self.html.push_str(words);
        self.used += units(words);
    }

    /// Adds a tag, of which nobody sees anything.
    fn tag(&mut self, tag: &str) {
        self.html.push_str(tag);
    }

    fn text(&mut self, text: &str, units_max: usize) {
        self.used += push(&mut self.html, text, units_max, Names::CallNobody);
    }

    fn bold(&mut self, text: &str, units_max: usize) {
        self.tag("<b>");
        self.text(text, units_max);
        self.tag("</b>");
    }

    /// How much may still be added above the last line.
    fn room(&self) -> usize {
        (TEXT_UNITS_MAX - LAST_UNITS_MAX).saturating_sub(self.used)
    }

    /// Adds a part, or takes it back where it found no room.
    fn part(&mut self, write: impl FnOnce(&mut Self)) -> bool {
        let (length, used) = (self.html.len(), self.used);
        write(self);
        let fits = self.used <= TEXT_UNITS_MAX - LAST_UNITS_MAX;
        if !fits {
            self.html.truncate(length);
            self.used = used;
        }
        fits
    }

    fn title(&mut self, shown: &Display<'_>, given: Option<&str>) {
        // Cut where markup is read: here a tag or a reference would be parted.
        let given = line(given.unwrap_or_default(), template::TITLE_BYTES_MAX);
        let title = tidy(&given, TITLE_UNITS_MAX, TITLE_BYTES_MAX);
        if title.units == 0 {
            self.text(&shown.emoji, TITLE_UNITS_MAX);
            self.words(" ");
            return self.bold(&isolated(&shown.title), TITLE_UNITS_MAX);
        }
        let is_plain = !title.html.contains('<');
        self.tag(if is_plain { "<b>" } else { "" });
        self.tag(&title.html);
        self.tag(if is_plain { "</b>" } else { "" });
        self.used += title.units;
    }

    /// What a template made, and room for the links behind it. An empty body is one too: then nothing follows the title.
    fn body(&mut self, body: &str, links_units: usize) {
        let body = block(body, template::BODY_BYTES_MAX);
        let bytes_max = TEXT_BYTES_MAX.saturating_sub(self.html.len() + links_units + LAST_BYTES_MAX);
        let room = self.room().saturating_sub(1);
        let body = tidy(&body, room - links_units.min(room / 2), bytes_max);
        if !body.html.is_empty() {
            self.words("\n");
            self.tag(&body.html);
            self.used += body.units;
        }
    }

    fn event(&mut self, shown: &Display<'_>) {
        if let Some(headline) = &shown.headline {
            self.words("\n");
            self.bold(&isolated(headline), HEADLINE_UNITS_MAX);
        }
        if shown.says_more() {
            self.words("\n");
            self.text(&shown.message, MESSAGE_UNITS_MAX);
        }
    }

    fn digest(&mut self, shown: &Display<'_>) {
        self.words("\n");
        self.text(&shown.message, MESSAGE_UNITS_MAX);
        self.words("\n");
    }

    /// Links that no button may open, a line each.
    fn links(&mut self, links: &[&Link]) {
        let fit = links.iter().take_while(|link| {
            self.part(|page| {
                page.words("\n");
                page.words(link.label);
                page.words(": ");
                page.text(&link.url, usize::MAX);
            })
        });
        let fit = fit.count();
        self.count(links.len() - fit, "link");
    }

    /// The fields of an event or the lines of a digest, and how many there are beyond.
    fn details(&mut self, shown: &Display<'_>) {
        if !shown.entries.is_empty() {
            let fit = shown
                .entries
                .iter()
                .take_while(|entry| self.part(|page| page.entry(entry)));
            let fit = fit.count();
            return self.count(shown.entries.len() - fit + shown.entries_more, "event");
        }
        if !shown.fields.is_empty() {
            self.words("\n");
        }
        let fit = shown
            .fields
            .iter()
            .take_while(|field| self.part(|page| page.field(field)));
        let fit = fit.count();
        self.count(shown.fields.len() - fit + shown.fields_more, "field");
    }

    fn field(&mut self, field: &Field<'_>) {
        self.words("\n");
        self.tag("<b>");
        self.text(&isolated(&field.label), LABEL_UNITS_MAX);
        self.words(":");
        self.tag("</b>");
        match field.kind {
            FieldKind::Short => {
                self.words(" ");
                self.text(&isolated(&field.value), VALUE_UNITS_MAX);
            }
            FieldKind::Long => {
                self.words("\n");
                self.text(&field.value, VALUE_UNITS_MAX);
            }
            FieldKind::Code => {
                self.words("\n");
                self.tag("<pre>");
                self.used += push(&mut self.html, &field.value, VALUE_UNITS_MAX, Names::AsWritten);
                self.tag("</pre>");
            }
            FieldKind::List => {
                for item in field.value.lines() {
                    self.words("\n• ");
                    self.text(item, VALUE_UNITS_MAX);
                }
            }
        }
    }

    /// One event of a digest: `❌ Execution Failed · 10:30 · out of memory`.
    fn entry(&mut self, entry: &Entry<'_>) {
        self.words("\n");
        self.text(&entry.emoji, LINE_UNITS_MAX);
        self.words(" ");
        self.bold(&isolated(&entry.title), LINE_UNITS_MAX);
        self.words(" · ");
        self.time(entry.time, "dt");
        if let Some(text) = &entry.text {
            self.words(" · ");
            self.text(&isolated(text), LINE_UNITS_MAX);
        }
    }

    fn count(&mut self, left: usize, what: &str) {
        if left > 0 {
            let plural = if left == 1 { "" } else { "s" };
            self.tag("\n<i>");
            self.words(&format!("and {left} more {what}{plural}"));
            self.tag("</i>");
        }
    }

    fn last_line(&mut self, shown: &Display<'_>) {
        self.words("\n\n");
        self.words(dot(shown.tone, shown.severity));
        self.words(" ");
        self.words(shown.severity.as_str());
        // In code a name such as `my.build` is no address.
        self.words(" · ");
        self.tag("<code>");
        self.text(shown.event_type, display::TITLE_CHARS_MAX);
        self.tag("</code>");
        self.words(" · ");
        self.time(shown.time, "dT");
        if !shown.brand.is_empty() {
            self.words(" · ");
            self.text(&isolated(shown.brand), BRAND_UNITS_MAX);
        }
    }

    /// A time that each reader sees in their own zone; inside the tag what older apps show.
    fn time(&mut self, time: Timestamp, format: &str) {
        use std::fmt::Write as _;

        let secs = i32::try_from(time.secs()).ok().filter(|secs| *secs > 0);
        if let Some(secs) = secs {
            write!(self.html, "<tg-time unix=\"{secs}\" format=\"{format}\">").expect("a string takes all");
        }
        let at = OffsetDateTime::from(time);
        let before = self.html.len();
        write!(
            self.html,
            "{}-{:02}-{:02} {:02}:{:02}:{:02} UTC",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        )
        .expect("a string takes all");
        self.used += self.html.len() - before;
        if secs.is_some() {
            self.tag("</tg-time>");
        }
    }
}

/// Tone and severity as a colour, also where a type of one's own has no emoji that tells them.
const fn dot(tone: Tone, severity: Severity) -> &'static str {
    match (tone, severity) {
        (Tone::Bad, Severity::Critical | Severity::High) => "🔴",
        (Tone::Bad, Severity::Medium | Severity::Low) => "🟠",
        (Tone::Good, _) => "🟢",
        (Tone::Neutral, _) => "🔵",
    }
}
