//! The HTML of an owner's template, made such as Telegram takes: tags that are closed, in their order, none that it does
//! not know, and cut between whole signs. Telegram refuses a message whole for one tag that stays open.

mod tags;

use std::borrow::Cow;

use self::tags::Tag;
use super::text::{Names, escape, units};
use crate::display::text::{Measure, border, cut, is_shown};

/// Most tags that are open at a time; those inside are left out.
const DEPTH_MAX: usize = 16;
/// Longest numeric reference, from its `&`.
const REFERENCE_BYTES_MAX: usize = 10;
/// What closes the tags that may be open, and the ellipsis, in bytes.
const CLOSING_BYTES_MAX: usize = DEPTH_MAX * "</blockquote>".len() + ELLIPSIS.len_utf8();
/// The longest escape.
const ESCAPE_BYTES_MAX: usize = "&amp;".len();
/// Ends a text that was cut.
const ELLIPSIS: char = '…';
/// Joins what is before it to what is behind: at the end of a text it would take hold of the ellipsis.
const ZERO_WIDTH_JOINER: char = '\u{200d}';

/// HTML that Telegram takes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tidy {
    pub(super) html: String,
    /// How much of a message it takes up.
    pub(super) units: usize,
}

/// Makes a text in markup such as Telegram takes, at most `units_max` as it is read and `bytes_max` as it is written.
/// What is beyond is cut; what is no tag is text; what an owner left open is closed.
pub(super) fn tidy(markup: &str, units_max: usize, bytes_max: usize) -> Tidy {
    let whole = Writer::write(markup, usize::MAX, usize::MAX);
    if whole.units <= units_max && whole.html.len() <= bytes_max {
        return whole;
    }
    let (Some(units_max), Some(bytes_max)) = (units_max.checked_sub(1), bytes_max.checked_sub(CLOSING_BYTES_MAX))
    else {
        return Tidy::default();
    };
    Writer::write(markup, units_max, bytes_max)
}

/// Writes until something finds no room.
struct Writer {
    tidy: Tidy,
    open: Vec<&'static str>,
    units_max: usize,
    bytes_max: usize,
}

/// That something found no room.
struct Full;

impl Writer {
    fn write(markup: &str, units_max: usize, bytes_max: usize) -> Tidy {
        let mut this = Self {
            tidy: Tidy::default(),
            open: Vec::new(),
            units_max,
            bytes_max,
        };
        if this.all(markup.trim()).is_err() {
            this.tidy.html.push(ELLIPSIS);
            this.tidy.units += 1;
        }
        while let Some(name) = this.open.pop() {
            close(&mut this.tidy.html, name);
        }
        this.tidy
    }

    fn all(&mut self, markup: &str) -> Result<(), Full> {
        let mut rest = markup;
        while !rest.is_empty() {
            let at = rest.find(['<', '&']).unwrap_or(rest.len());
            let (text, found) = rest.split_at(at);
            self.text(text)?;
            let length = match found.as_bytes().first() {
                None => 0,
                Some(b'<') => match Tag::read(found) {
                    Some((tag, length)) => {
                        self.tag(tag)?;
                        length
                    }
                    None => {
                        self.text("<")?;
                        1
                    }
                },
                Some(_) => match reference(found) {
                    Some((sign, length)) => {
                        self.sign(sign)?;
                        length
                    }
                    None => {
                        self.text("&")?;
                        1
                    }
                },
            };
            (_, rest) = found.split_at(length);
        }
        Ok(())
    }

    /// Writes text up to a tag or a reference.
    fn text(&mut self, text: &str) -> Result<(), Full> {
        // A joiner that joins nothing is dropped, wherever a sign behind it might be an ellipsis.
        let text = text.trim_end_matches(ZERO_WIDTH_JOINER);
        let text = if text.contains(ELLIPSIS) {
            Cow::Owned(unjoined(text))
        } else {
            Cow::Borrowed(text)
        };
        if text.len() <= self.room() {
            self.push(&text);
            return Ok(());
        }
        let (mut used, mut bytes) = (0, 0);
        for (at, c) in text.char_indices() {
            used += Measure::Utf16.weigh(c);
            bytes += escaped_len(c);
            if self.tidy.units + used > self.units_max || self.tidy.html.len() + bytes > self.bytes_max {
                let (kept, _) = text.split_at(border(&text, at));
                self.push(kept.trim_end_matches(|c: char| c == ZERO_WIDTH_JOINER || c.is_whitespace()));
                return Err(Full);
            }
        }
        self.push(&text);
        Ok(())
    }

    /// How many bytes of text certainly find room, whatever is escaped of it.
    fn room(&self) -> usize {
        let bytes = self.bytes_max.saturating_sub(self.tidy.html.len()) / ESCAPE_BYTES_MAX;
        self.units_max.saturating_sub(self.tidy.units).min(bytes)
    }

    /// A name that the owner wrote is to call, and those of values were made harmless before.
    fn push(&mut self, text: &str) {
        escape(&mut self.tidy.html, text, Names::AsWritten);
        self.tidy.units += text.chars().map(|c| Measure::Utf16.weigh(c)).sum::<usize>();
    }

    /// Writes what a reference stands for.
    fn sign(&mut self, sign: char) -> Result<(), Full> {
        if !is_shown(sign) && !matches!(sign, '\n' | '\t') || sign == ZERO_WIDTH_JOINER {
            return Ok(());
        }
        self.text(sign.encode_utf8(&mut [0; 4]))
    }

    fn tag(&mut self, tag: Tag) -> Result<(), Full> {
        match tag {
            Tag::Break => self.text("\n"),
            Tag::Nothing => Ok(()),
            Tag::Open { name, html } => {
                // A quotation inside another is not taken.
                let taken = name != "blockquote" || !self.open.contains(&name);
                if taken && self.open.len() < DEPTH_MAX {
                    if self.tidy.html.len() + html.len() > self.bytes_max {
                        return Err(Full);
                    }
                    self.tidy.html.push_str(&html);
                    self.open.push(name);
                }
                Ok(())
            }
            Tag::Close(name) => {
                // What was opened inside and not closed ends here too; what was never opened is left out.
                if let Some(at) = self.open.iter().rposition(|open| *open == name) {
                    for inside in self.open.drain(at..).rev() {
                        close(&mut self.tidy.html, inside);
                    }
                }
                Ok(())
            }
        }
    }
}

fn close(html: &mut String, name: &str) {
    html.push_str("</");
    html.push_str(name);
    html.push('>');
}

/// A text in which no joiner stands before an ellipsis.
fn unjoined(text: &str) -> String {
    let mut parts = text.split(ELLIPSIS).peekable();
    let mut whole = String::with_capacity(text.len());
    while let Some(part) = parts.next() {
        if parts.peek().is_some() {
            whole.push_str(part.trim_end_matches(ZERO_WIDTH_JOINER));
            whole.push(ELLIPSIS);
        } else {
            whole.push_str(part);
        }
    }
    whole
}

fn escaped_len(c: char) -> usize {
    match c {
        '&' => "&amp;".len(),
        '<' | '>' => "&lt;".len(),
        c => c.len_utf8(),
    }
}

/// The sign that a reference such as `&lt;` or `&#39;` at the beginning of a text stands for, and its length.
fn reference(text: &str) -> Option<(char, usize)> {
    let end = text.bytes().take(REFERENCE_BYTES_MAX).position(|byte| byte == b';')?;
    let (inside, _) = text.split_at(end);
    let name = inside.strip_prefix('&')?;
    let sign = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    };
    Some((sign, end + 1))
}

/// What a text in this HTML says without it, for a message without markup: at most `units_max`. A link shows where it
/// leads; names inside code, where Telegram looked for none, are made harmless.
pub(super) fn plain(html: &str, units_max: usize) -> String {
    let mut text = String::with_capacity(html.len());
    let (mut in_code, mut link) = (0_usize, None);
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let (before, found) = rest.split_at(at);
        unescape(&mut text, before, in_code > 0);
        let Some((tag, length)) = Tag::read(found) else {
            rest = found;
            break;
        };
        match tag {
            Tag::Open {
                name: "pre" | "code", ..
            } => in_code += 1,
            Tag::Close("pre" | "code") => in_code = in_code.saturating_sub(1),
            Tag::Open { name: "a", html } => link = Some(html),
            Tag::Close("a") => {
                if let Some(address) = link.take() {
                    let address = address
                        .strip_prefix("<a href=\"")
                        .and_then(|rest| rest.strip_suffix("\">"));
                    text.push_str(" (");
                    unescape(&mut text, address.unwrap_or_default(), false);
                    text.push(')');
                }
            }
            _ => {}
        }
        (_, rest) = found.split_at(length);
    }
    unescape(&mut text, rest, in_code > 0);
    if units(&text) <= units_max {
        return text;
    }
    cut(&text, units_max, Measure::Utf16).into_owned()
}

/// Adds what escaped text says.
fn unescape(text: &mut String, escaped: &str, in_code: bool) {
    let mut said = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('&') {
        let (before, found) = rest.split_at(at);
        said.push_str(before);
        let (sign, length) = reference(found).unwrap_or(('&', 1));
        said.push(sign);
        (_, rest) = found.split_at(length);
    }
    said.push_str(rest);
    if in_code {
        super::text::call_nobody(text, &said);
    } else {
        text.push_str(&said);
    }
}

#[cfg(test)]
mod tests;
