//! Discord's markup: escaping, and cutting that leaves escapes whole.

use std::borrow::Cow;

use crate::display::text::fit;

/// Fences a block of code.
const FENCE: &str = "```";

/// How long a text is, as Discord counts.
pub(super) fn chars(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.chars().count()
    }
}

/// Whether a character may begin markup: bold, quotes, headings, code, spoilers, masked links, mentions and dates.
const fn is_special(c: char) -> bool {
    matches!(c, '\\' | '*' | '_' | '~' | '|' | '`' | '>' | '<' | '#' | '[' | ']')
}

/// What a character weighs once it is escaped.
const fn weigh(c: char) -> usize {
    if is_special(c) { 2 } else { 1 }
}

/// A value of an event inside a template's text. The text has a bound of its own.
pub(super) fn value(value: &str) -> String {
    escape(value, usize::MAX).into_owned()
}

/// A plain text escaped and, with that, cut to at most `chars_max`.
pub(super) fn escape(text: &str, chars_max: usize) -> Cow<'_, str> {
    // Most texts are this: nothing has to be counted.
    if text.len() <= chars_max && !text.contains(is_special) {
        return Cow::Borrowed(text);
    }
    let (kept, end) = fit(text, chars_max, weigh);
    let mut escaped = String::with_capacity(kept.len() + kept.len() / 4 + 8);
    let mut address_end = 0;
    for (at, c) in kept.char_indices() {
        if c == 'h' && at >= address_end {
            let (_, rest) = kept.split_at(at);
            address_end = at + address_bytes(rest);
        }
        // Discord takes an address as it is written: a backslash would become a part of where it leads.
        let stays = at < address_end && matches!(c, '_' | '~' | '#');
        if is_special(c) && !stays {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    if let Some(end) = end {
        escaped.push_str(&end);
    }
    Cow::Owned(escaped)
}

/// The length of an address that a text begins with; 0 where it begins with none.
fn address_bytes(text: &str) -> usize {
    let scheme = ["https://", "http://"].iter().find(|scheme| text.starts_with(**scheme));
    let Some(scheme) = scheme else { return 0 };
    let stays = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:/?#@!$&'+,;=%".contains(byte);
    let bytes = text.bytes().take_while(stays).count();
    if bytes > scheme.len() { bytes } else { 0 }
}

/// A plain text as a block of code of at most `chars_max`. A fence inside it would end the block: three backticks
/// are shown as three apostrophes.
pub(super) fn code(text: &str, chars_max: usize) -> String {
    // The line ends keep a backtick at either end apart from the fence, and the first line from naming a language.
    let around = 2 * (FENCE.len() + 1);
    let text = text.replace(FENCE, "'''");
    let (kept, end) = fit(&text, chars_max.saturating_sub(around), |_| 1);
    [FENCE, "\n", kept, &end.unwrap_or_default(), "\n", FENCE].concat()
}

/// An address inside a masked link, whose end a bracket would be.
pub(super) fn masked(url: &str) -> Cow<'_, str> {
    if url.contains(['(', ')']) {
        Cow::Owned(url.replace('(', "%28").replace(')', "%29"))
    } else {
        Cow::Borrowed(url)
    }
}

#[cfg(test)]
mod tests;
