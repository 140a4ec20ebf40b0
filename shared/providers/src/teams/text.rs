//! Teams' Markdown: what would be read as such, and values that make no links in it.
//!
//! A backslash before a sign is shown as it is by some of Teams' apps, so nothing is escaped. What data says stands in
//! runs of text, which know no Markdown; only what holds none of its signs stands where they would be read.

use std::borrow::Cow;

/// Parts what makes a link of its neighbours, and nobody sees it.
const JOINER: char = '\u{2060}';

/// Whether a text of one line shows as it is written where Markdown is read.
pub(super) fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let at = |index: usize| bytes.get(index).copied().unwrap_or(b' ');
    for (index, byte) in bytes.iter().enumerate() {
        let plain = match byte {
            b'*' | b'~' | b'`' | b'[' | b']' | b'<' | b'>' | b'\\' | b'&' | b'|' | b'\n' => false,
            // Inside a word it joins; at its end it would begin or end italics.
            b'_' => index > 0 && at(index - 1).is_ascii_alphanumeric() && at(index + 1).is_ascii_alphanumeric(),
            // What stands in two of them is a date or a time.
            b'{' => at(index + 1) != b'{',
            _ => true,
        };
        if !plain {
            return false;
        }
    }
    !begins_block(text)
}

/// Whether a line begins as a heading, a list or a rule does.
fn begins_block(line: &str) -> bool {
    let sign = line.trim_start_matches(|c: char| c.is_ascii_digit());
    if sign.len() < line.len() {
        return matches!(sign.as_bytes(), [b'.' | b')'] | [b'.' | b')', b' ', ..]);
    }
    match line.as_bytes() {
        [sign @ (b'#' | b'-' | b'+' | b'='), rest @ ..] => {
            rest.first().is_none_or(|next| next == sign || *next == b' ')
        }
        _ => false,
    }
}

/// A value of an event inside text that is read as Markdown: without links, which nothing but the owner's own text makes.
pub(super) fn value(value: &str) -> String {
    unlinked(value).into_owned()
}

/// As [`value`], without a copy where none is needed.
pub(super) fn unlinked(text: &str) -> Cow<'_, str> {
    if !text.contains([']', '<']) {
        return Cow::Borrowed(text);
    }
    let mut parted = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        parted.push(c);
        if matches!(c, ']' | '<') {
            parted.push(JOINER);
        }
    }
    Cow::Owned(parted)
}

/// Code as a run of text shows it: where spaces stand side by side, all of them are seen.
pub(super) fn code(text: &str) -> Cow<'_, str> {
    if text.contains("  ") || text.contains('\t') || text.contains("\n ") {
        Cow::Owned(
            text.replace('\t', "    ")
                .replace("  ", "\u{a0} ")
                .replace("\n ", "\n\u{a0}"),
        )
    } else {
        Cow::Borrowed(text)
    }
}

/// How many bytes a character takes inside a text of JSON.
pub(super) const fn json_bytes(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\t' => 2,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests;
