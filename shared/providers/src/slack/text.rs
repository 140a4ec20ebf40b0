//! Slack's markup: escaping, and cutting that leaves escapes, links and code whole.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;

use crate::display::text::{Measure, fit};

/// Fences a block of code.
const FENCE: &str = "```";
/// Longest link or mention in a template's text, in bytes; what is longer is no such thing.
const TOKEN_BYTES_MAX: usize = 3_100;
/// Longest cluster of code points that is kept whole, in bytes.
const CLUSTER_BYTES_MAX: usize = 64;

/// How many units of UTF-16 a text has.
pub(super) fn units(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.chars().map(char::len_utf16).sum()
}

/// What a character weighs once it is escaped.
pub(super) fn weigh(c: char) -> usize {
    match c {
        '&' => "&amp;".len(),
        '<' | '>' => "&lt;".len(),
        c => Measure::Utf16.weigh(c),
    }
}

/// A value of an event inside a template's text: harmless, and whole. The text has a bound of its own.
///
/// A template may put a value in angle brackets to make a link. There `!channel` would call people, so an invisible
/// joiner goes before what makes a mention of it.
pub(super) fn value(value: &str) -> String {
    let escaped = escape(value, usize::MAX);
    if escaped.starts_with(['!', '@', '#']) {
        format!("\u{2060}{escaped}")
    } else {
        escaped
    }
}

/// A plain text escaped and, with that, cut to at most `units_max`.
pub(super) fn escape(text: &str, units_max: usize) -> String {
    let is_special = |byte: u8| matches!(byte, b'&' | b'<' | b'>') || !byte.is_ascii();
    // Most texts are this: nothing has to be counted.
    if text.len() <= units_max && !text.bytes().any(is_special) {
        return text.to_owned();
    }
    let (kept, end) = fit(text, units_max, weigh);
    let mut escaped = String::with_capacity(kept.len() + 8);
    let mut rest = kept;
    while let Some(at) = rest.find(['&', '<', '>']) {
        let (before, found) = rest.split_at(at);
        escaped.push_str(before);
        escaped.push_str(match found.as_bytes().first() {
            Some(b'&') => "&amp;",
            Some(b'<') => "&lt;",
            _ => "&gt;",
        });
        (_, rest) = found.split_at(1);
    }
    escaped.push_str(rest);
    if let Some(end) = end {
        escaped.push_str(&end);
    }
    escaped
}

/// A plain text as a block of code of at most `units_max`. A fence inside it would end the block: three backticks
/// are shown as three apostrophes.
pub(super) fn code(text: &str, units_max: usize) -> String {
    let text = if text.contains(FENCE) {
        Cow::Owned(text.replace(FENCE, "'''"))
    } else {
        Cow::Borrowed(text)
    };
    // The line ends keep a backtick at either end apart from the fence.
    let around = 2 * (FENCE.len() + 1);
    format!("{FENCE}\n{}\n{FENCE}", escape(&text, units_max.saturating_sub(around)))
}

/// A text in markup without it, for places that know none; `None` where it holds any.
pub(super) fn unmarked(markup: &str) -> Option<String> {
    if markup.contains(['<', '*', '~', '`']) {
        return None;
    }
    Some(markup.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

/// A text in markup, parted into at most `pieces_max` of at most `units_max` each; what is beyond is cut. Escapes,
/// links and mentions stay whole; code that a border parts is closed before it and opened again behind it. A `<` or
/// `&` that begins nothing is escaped.
pub(super) fn pieces(markup: &str, units_max: usize, pieces_max: usize) -> Vec<String> {
    // Room to close a block of code, and for an ellipsis.
    let room = units_max.saturating_sub(FENCE.len() + 2);
    let (mut pieces, mut piece, mut used, mut in_code) = (Vec::new(), String::new(), 0, false);
    for atom in (Atoms { rest: markup.trim() }) {
        let text = match atom {
            "<" => "&lt;",
            "&" => "&amp;",
            atom => atom,
        };
        let size = units(text);
        if used + size > room {
            let last = pieces.len() + 1 == pieces_max;
            if last {
                piece.push('…');
            }
            close(&mut piece, in_code);
            pieces.push(std::mem::take(&mut piece));
            if last {
                return pieces;
            }
            used = 0;
            if in_code {
                piece.push_str(FENCE);
                piece.push('\n');
                used = FENCE.len() + 1;
            }
        }
        in_code ^= text == FENCE;
        piece.push_str(text);
        used += size;
    }
    if !piece.trim().is_empty() {
        close(&mut piece, in_code);
        pieces.push(piece);
    }
    pieces
}

fn close(piece: &mut String, in_code: bool) {
    if in_code {
        piece.push('\n');
        piece.push_str(FENCE);
    }
}

/// The parts of a text in markup that may not be parted themselves.
struct Atoms<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Atoms<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest;
        let first = rest.chars().next()?;
        let length = match first {
            '`' if rest.starts_with(FENCE) => FENCE.len(),
            '<' => token(rest).unwrap_or(1),
            '&' => ["&amp;", "&lt;", "&gt;"]
                .iter()
                .find(|entity| rest.starts_with(**entity))
                .map_or(1, |entity| entity.len()),
            first => {
                let cluster = rest.graphemes(true).next().map_or(first.len_utf8(), str::len);
                let (cluster, _) = rest.split_at(cluster);
                let special = cluster.find(['<', '&', '`']).filter(|at| *at > 0);
                match special {
                    Some(at) => at,
                    None if cluster.len() > CLUSTER_BYTES_MAX => first.len_utf8(),
                    None => cluster.len(),
                }
            }
        };
        let (atom, rest) = rest.split_at(length);
        self.rest = rest;
        Some(atom)
    }
}

/// The length of a link, a mention or a date that a text begins with.
fn token(text: &str) -> Option<usize> {
    let end = text.bytes().take(TOKEN_BYTES_MAX).position(|byte| byte == b'>')?;
    let (inside, _) = text.split_at(end);
    let inside = inside.strip_prefix('<')?;
    // Only what a link shows, behind the bar, holds spaces.
    let address = inside.split('|').next().unwrap_or_default();
    (!address.is_empty() && !address.contains(' ') && !inside.contains(['<', '\n'])).then_some(end + 1)
}

#[cfg(test)]
mod tests;
