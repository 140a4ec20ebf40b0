//! Texts of others inside Markdown, for targets that keep issues and comments.
//!
//! Such targets read more than markup: a name with `@` is notified, `#1` and a bare address of an issue link it, a line that
//! begins with a slash is a command. Escapes do not help, since these are looked for in the text that comes out. In code
//! nothing is looked for. So a text stands as it is where nothing in it could mean anything, and as code everywhere else.

use std::borrow::Cow;

use signalbox_proto::Delivery;

use crate::display::{self, Display, Entry, Field, FieldKind, text};

/// Longest value that a template takes from an event, in characters.
const VALUE_CHARS_MAX: usize = 60_000;
/// Most backticks in a row. Code is set in one more than it holds.
const TICKS_MAX: usize = 8;
/// Hexadecimal digits that might name a commit.
const COMMIT_DIGITS_MIN: usize = 7;
/// Longest name of an installation, in characters.
const BRAND_CHARS_MAX: usize = 60;
/// How a display calls the agent, which a page says before its details.
const AGENT: &str = "Agent";
/// Most characters of a [`page`], in any target's measure of them: what a display bounds, and its markup.
pub(crate) const PAGE_CHARS_MAX: usize = 60_000;

/// The mark of a delivery, which nobody sees.
pub(crate) fn mark(delivery: &Delivery) -> String {
    format!("<!-- signalbox:{} -->", delivery.id)
}

/// A text with the mark before it. There it is read also where a long text is cut.
pub(crate) fn marked(delivery: &Delivery, text: &str) -> String {
    // On a line of its own it is markup of its own, whatever it holds.
    format!("{}\n{text}", mark(delivery))
}

/// Whether a text begins with the mark of this delivery.
pub(crate) fn is_marked(text: &str, delivery: &Delivery) -> bool {
    text.trim_start().starts_with(&mark(delivery))
}

/// A text of one line where Markdown is read.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    if text.is_empty() || is_plain(text) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(code(text))
    }
}

/// A value of an event inside an owner's text: one line, unless all of its lines are plain.
pub(crate) fn value(value: &str) -> String {
    let clean = text::block(value, VALUE_CHARS_MAX);
    if clean.lines().all(|line| line.is_empty() || is_plain(line)) {
        return clean.into_owned();
    }
    line(&text::line(value, VALUE_CHARS_MAX)).into_owned()
}

/// Whether nothing in a line can mean anything to who reads Markdown: words, and signs between and behind them.
fn is_plain(line: &str) -> bool {
    let bytes = line.as_bytes();
    let at = |index: Option<usize>| index.and_then(|index| bytes.get(index)).copied().unwrap_or(b' ');
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80;
    for (index, byte) in bytes.iter().enumerate() {
        let (before, after) = (at(index.checked_sub(1)), at(Some(index + 1)));
        let plain = match byte {
            b' ' => before != b' ',
            b'(' => is_word(after) && before == b' ',
            b')' => is_word(before),
            b'.' if after.is_ascii_digit() => before.is_ascii_digit(),
            b'.' | b',' | b';' | b':' | b'?' | b'!' => matches!(after, b' ' | b')') && before != b' ',
            b'%' => matches!(after, b' ' | b'.' | b',' | b')') && index > 0,
            // With a number behind it, it may name an issue.
            b'-' => is_word(before) && after.is_ascii_alphabetic(),
            b'\'' => is_word(before) && is_word(after),
            byte => is_word(*byte),
        };
        if !plain {
            return false;
        }
    }
    !begins_list(line) && !line.split(|c: char| !c.is_ascii_alphanumeric()).any(may_be_commit)
}

/// Whether a line begins as one of a numbered list does.
fn begins_list(line: &str) -> bool {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.strip_prefix(['.', ')']).filter(|_| rest.len() < line.len());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

fn may_be_commit(word: &str) -> bool {
    word.len() >= COMMIT_DIGITS_MIN
        && word.bytes().all(|byte| byte.is_ascii_hexdigit())
        && word.bytes().any(|byte| byte.is_ascii_digit())
}

/// A line as code.
fn code(line: &str) -> String {
    let line = unticked(line);
    let ticks = "`".repeat(ticks(&line) + 1);
    // A space on either side goes, where both are there.
    let spaced = |sign: char| line.starts_with(sign) || line.ends_with(sign);
    let pad = if spaced('`') || spaced(' ') { " " } else { "" };
    format!("{ticks}{pad}{line}{pad}{ticks}")
}

/// Several lines as code, each behind `indent`.
fn fence(out: &mut String, text: &str, indent: &str) {
    let text = unticked(text);
    let fence = "`".repeat((ticks(&text) + 1).max(3));
    for line in [&*fence].into_iter().chain(text.lines()).chain([&*fence]) {
        out.push_str(indent);
        out.push_str(line);
        out.push('\n');
    }
}

/// The longest row of backticks.
fn ticks(text: &str) -> usize {
    let rows = text.split(|c| c != '`').map(str::len);
    rows.max().unwrap_or_default()
}

/// Without rows of backticks that say nothing and cost three of each.
fn unticked(text: &str) -> Cow<'_, str> {
    if ticks(text) > TICKS_MAX {
        Cow::Owned(text.replace('`', "'"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The title of an issue in plain text: `[Signalbox] alert.created: Latency is rising`, at most so many characters.
pub(crate) fn title(shown: &Display<'_>, message_chars_max: usize, chars_max: usize) -> String {
    let what = if shown.entries.is_empty() {
        shown.event_type
    } else {
        &*shown.title
    };
    let message = text::line(&shown.message, message_chars_max);
    let title = format!(
        "[{}] {}: {}",
        text::isolated(&brand(shown)),
        text::isolated(what),
        text::isolated(&message)
    );
    text::cut(&title, chars_max, text::Measure::Chars).into_owned()
}

fn brand<'a>(shown: &Display<'a>) -> Cow<'a, str> {
    text::line(shown.brand, BRAND_CHARS_MAX)
}

/// What an issue or a comment shows of a delivery: heading, time, agent, details, footer.
pub(crate) fn page(shown: &Display<'_>, delivery: &Delivery) -> String {
    let mut out = String::with_capacity(1_024);
    out.push_str(&format!("## {} {}\n\n", line(&shown.emoji), set(&shown.title)));
    if let Some(headline) = &shown.headline {
        paragraph(&mut out, headline);
    }
    if shown.says_more() {
        paragraph(&mut out, &shown.message);
    }
    out.push_str(&format!("- **Time:** {}\n", shown.time));
    let agent = delivery.event().event.agent_id.as_deref();
    let agent = agent.filter(|_| !delivery.is_digest());
    let agent = agent.map(|agent| text::line(agent, display::VALUE_CHARS_MAX));
    let agent = agent.filter(|agent| !agent.is_empty());
    if let Some(agent) = &agent {
        out.push_str(&format!("- **Agent ID:** {}\n", code(agent)));
    }
    details(&mut out, shown, agent.as_deref());
    for link in &shown.links {
        out.push_str(&format!("\n[{}](<{}>)\n", link.label, link.url));
    }
    let brand = brand(shown);
    out.push_str(&format!(
        "\n---\n\nGenerated by {} from {}\n",
        set(&brand),
        code(shown.event_type)
    ));
    out
}

/// A line inside a text of ours.
fn set(text: &str) -> String {
    line(&text::isolated(text)).into_owned()
}

fn paragraph(out: &mut String, text: &str) {
    if text.lines().all(|line| line.is_empty() || is_plain(line)) {
        // Two spaces end a line also where a line end alone does not.
        out.push_str(&text.replace('\n', "  \n"));
        out.push('\n');
    } else if text.contains('\n') {
        fence(out, text, "");
    } else {
        out.push_str(&code(text));
        out.push('\n');
    }
    out.push('\n');
}

fn details(out: &mut String, shown: &Display<'_>, agent: Option<&str>) {
    let is_said = |field: &&Field<'_>| field.label == AGENT && agent == Some(&*field.value);
    let fields: Vec<_> = shown.fields.iter().filter(|field| !is_said(field)).collect();
    if fields.is_empty() && shown.entries.is_empty() {
        return;
    }
    out.push_str("\n### Details\n\n");
    for field in fields {
        let label = set(&field.label);
        let several = field.value.contains('\n');
        if field.kind == FieldKind::Code || several && field.kind != FieldKind::List {
            out.push_str(&format!("- **{label}:**\n\n"));
            fence(out, &field.value, "  ");
            out.push('\n');
        } else if several {
            out.push_str(&format!("- **{label}:**\n"));
            for one in field.value.lines().filter(|one| !one.trim().is_empty()) {
                out.push_str(&format!("  - {}\n", set(one.trim())));
            }
        } else {
            out.push_str(&format!("- **{label}:** {}\n", set(&field.value)));
        }
    }
    for entry in &shown.entries {
        listed(out, entry);
    }
    let more = [(shown.fields_more, "field"), (shown.entries_more, "event")];
    for (count, what) in more.into_iter().filter(|(count, _)| *count > 0) {
        let plural = if count == 1 { "" } else { "s" };
        out.push_str(&format!("- and {count} more {what}{plural}\n"));
    }
}

fn listed(out: &mut String, entry: &Entry<'_>) {
    out.push_str(&format!("- {} **{}**", line(&entry.emoji), set(&entry.title)));
    if let Some(said) = &entry.text {
        out.push_str(&format!(": {}", set(said)));
    }
    out.push_str(&format!(" ({})\n", entry.time));
}

#[cfg(test)]
mod tests;
