//! Slack's markup: escaping, and cutting that leaves escapes, links and code whole.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;

use crate::display::text::{Measure, fit, is_shown};

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
/// joiner goes before what makes a mention of it. What cleaning takes away later hides nothing from this look.
pub(super) fn value(value: &str) -> String {
    let escaped = escape(value, usize::MAX);
    let first = value
        .chars()
        .find(|c| is_shown(*c) && !c.is_whitespace() && !has_no_width(*c));
    if matches!(first, Some('!' | '@' | '#')) {
        format!("\u{2060}{escaped}")
    } else {
        escaped.into_owned()
    }
}

/// Marks that nobody sees and that others may strip.
fn has_no_width(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// A plain text escaped and, with that, cut to at most `units_max`.
pub(super) fn escape(text: &str, units_max: usize) -> Cow<'_, str> {
    let is_special = |byte: u8| matches!(byte, b'&' | b'<' | b'>') || !byte.is_ascii();
    // Most texts are this: nothing has to be counted.
    if text.len() <= units_max && !text.bytes().any(is_special) {
        return Cow::Borrowed(text);
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
    Cow::Owned(escaped)
}

/// A plain text as a block of code of at most `units_max`. A fence inside it would end the block: three backticks
/// are shown as three apostrophes.
pub(super) fn code(text: &str, units_max: usize) -> String {
    let text = unfenced(text);
    // The line ends keep a backtick at either end apart from the fence.
    let around = 2 * (FENCE.len() + 1);
    format!("{FENCE}\n{}\n{FENCE}", escape(&text, units_max.saturating_sub(around)))
}

/// A text that opens no block of code, which would take in what follows it.
pub(super) fn unfenced(text: &str) -> Cow<'_, str> {
    if text.contains(FENCE) {
        Cow::Owned(text.replace(FENCE, "'''"))
    } else {
        Cow::Borrowed(text)
    }
}

/// A text in markup without it, for places that know none; `None` where it holds any.
pub(super) fn unmarked(markup: &str) -> Option<String> {
    if markup.contains(['<', '*', '~', '`']) {
        return None;
    }
    Some(markup.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

/// A text in markup, parted into at most `pieces_max` of at most `units_max` each, at the end of a line where one is
/// near; what is beyond is cut. Escapes, links and mentions stay whole; code that a border parts is closed before it and
/// opened again behind it. A `<` or `&` that begins nothing is escaped.
pub(super) fn pieces(markup: &str, units_max: usize, pieces_max: usize) -> Vec<String> {
    // Room to close a block of code, and for an ellipsis.
    let room = units_max.saturating_sub(FENCE.len() + 2);
    let (mut pieces, mut piece, mut used, mut in_code) = (Vec::new(), String::new(), 0, false);
    // Where the last line of the piece begins, and whether that is in code.
    let mut line = (0, false);
    let rest = markup.trim();
    // What opens code again stands before a link.
    let token_units_max = room.saturating_sub(FENCE.len() + 1);
    for atom in (Atoms { rest, token_units_max }) {
        let text = match atom {
            "<" => "&lt;",
            "&" => "&amp;",
            atom => atom,
        };
        let size = units(text);
        if used + size > room {
            if pieces.len() + 1 == pieces_max {
                piece.push('…');
                close(&mut piece, in_code);
                pieces.push(piece);
                return pieces;
            }
            let (at, in_code_there) = line;
            let (_, begun) = piece.split_at(at);
            let fits = units(begun) + FENCE.len() + 1 + size <= room;
            let (rest, opened) = if at > piece.len() / 2 && fits {
                (piece.split_off(at), in_code_there)
            } else {
                (String::new(), in_code)
            };
            push(&mut pieces, std::mem::take(&mut piece), opened);
            if opened {
                piece.push_str(FENCE);
                piece.push('\n');
            }
            piece.push_str(&rest);
            used = units(&piece);
            line = (0, false);
        }
        in_code ^= text == FENCE;
        piece.push_str(text);
        used += size;
        if text == "\n" {
            line = (piece.len(), in_code);
        }
    }
    push(&mut pieces, piece, in_code);
    pieces
}

/// Adds a piece. Slack takes none in which there is nothing to read.
fn push(pieces: &mut Vec<String>, mut piece: String, in_code: bool) {
    if !piece.trim().is_empty() {
        piece.truncate(piece.trim_end().len());
        close(&mut piece, in_code);
        pieces.push(piece);
    }
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
    /// Links that are longer fit nowhere, and are shown as text.
    token_units_max: usize,
}

impl<'a> Iterator for Atoms<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest;
        let first = rest.chars().next()?;
        let length = match first {
            '`' if rest.starts_with(FENCE) => FENCE.len(),
            '<' => token(rest, self.token_units_max).unwrap_or(1),
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

/// The length of a link, a mention or a date that a text begins with, if it has at most `units_max`.
fn token(text: &str, units_max: usize) -> Option<usize> {
    let end = text.bytes().take(TOKEN_BYTES_MAX).position(|byte| byte == b'>')?;
    let (inside, _) = text.split_at(end);
    let inside = inside.strip_prefix('<')?;
    // Only what a link shows, behind the bar, holds spaces.
    let address = inside.split('|').next().unwrap_or_default();
    let whole = !address.is_empty() && !address.contains(char::is_whitespace) && !inside.contains(['<', '\n']);
    (whole && units(inside) + 2 <= units_max).then_some(end + 1)
}

#[cfg(test)]
mod tests;
