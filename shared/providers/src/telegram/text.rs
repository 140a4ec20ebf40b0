//! Plain text as Telegram's HTML: escaping, counting, and names that call nobody.
//!
//! Telegram counts what is left once markup is read: `&lt;` is one character. It counts code points, and places
//! entities by units of UTF-16; units are never fewer, so what fits here fits by either count.

use crate::display::text::{Measure, fit, is_shown};

/// Behind an `@`: nobody sees it, and what follows is no name any more.
pub(super) const JOINER: char = '\u{2060}';
/// An `@` inside an address.
const ENCODED_AT: &str = "%40";

/// Whether names behind an `@` are made harmless. Inside code Telegram looks for none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    CallNobody,
    AsWritten,
}

/// The most that a character takes up of a message: an `@` may become three.
pub(super) fn weigh(c: char) -> usize {
    match c {
        '@' => ENCODED_AT.len(),
        c => Measure::Utf16.weigh(c),
    }
}

/// The most that a text takes up of a message.
pub(super) fn units(text: &str) -> usize {
    text.chars().map(weigh).sum()
}

/// Adds a plain text, cut where it takes up more than `units_max`. Returns the most that it takes up.
pub(super) fn push(html: &mut String, text: &str, units_max: usize, names: Names) -> usize {
    let is_special = |byte: u8| matches!(byte, b'&' | b'<' | b'>' | b'@') || !byte.is_ascii();
    // Most texts are this: nothing has to be counted.
    if text.len() <= units_max && !text.bytes().any(is_special) {
        html.push_str(text);
        return text.len();
    }
    let (kept, end) = fit(text, units_max, weigh);
    escape(html, kept, names);
    let mut used = units(kept);
    if let Some(end) = end {
        html.push_str(&end);
        used += units(&end);
    }
    used
}

/// Adds a text escaped and whole.
pub(super) fn escape(html: &mut String, text: &str, names: Names) {
    write(html, text, ["&amp;", "&lt;", "&gt;"], names);
}

/// Adds a text as it is but for the names that would call somebody, for a message without markup.
pub(super) fn call_nobody(plain: &mut String, text: &str) {
    write(plain, text, ["&", "<", ">"], Names::CallNobody);
}

/// Adds a text with what stands for `&`, `<` and `>`.
fn write(out: &mut String, text: &str, [and, less, greater]: [&str; 3], names: Names) {
    let mut rest = text;
    let mut in_address = false;
    while let Some(at) = rest.find(['&', '<', '>', '@']) {
        let (before, found) = rest.split_at(at);
        let (sign, behind) = found.split_at(1);
        out.push_str(before);
        in_address = goes_on_in_address(in_address, before);
        match sign {
            "&" => out.push_str(and),
            "<" => out.push_str(less),
            ">" => out.push_str(greater),
            at if names == Names::AsWritten || !calls_somebody(before, behind) => out.push_str(at),
            // An address stays one that can be opened.
            _ if in_address => out.push_str(ENCODED_AT),
            at => {
                out.push_str(at);
                out.push(JOINER);
            }
        }
        rest = behind;
    }
    out.push_str(rest);
}

/// Whether the word at the end of `text` has the scheme of an address; `before` is said of the word that it goes on with.
fn goes_on_in_address(before: bool, text: &str) -> bool {
    match text.rsplit_once(char::is_whitespace) {
        Some((_, word)) => word.contains("://"),
        None => before || text.contains("://"),
    }
}

/// Whether Telegram would make a mention of the `@` between these, or the address of a command for another bot.
/// Cleaning may still take out what stands behind it.
fn calls_somebody(before: &str, behind: &str) -> bool {
    if behind.starts_with(char::is_whitespace) {
        return false;
    }
    // As in `ann@example.com`.
    let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = before.trim_end_matches(in_word);
    // As in `/start@another_bot`, and not in `a/b@c` nor in `https://b@c`.
    let command = || {
        name.strip_suffix('/')
            .is_some_and(|before| !before.ends_with(in_word) && !before.ends_with('/'))
    };
    name.len() == before.len() || command()
}

/// A value of an event inside a template's text: harmless also between the quotes of an attribute, and whole. The text
/// has a bound of its own.
pub(super) fn value(value: &str) -> String {
    let mut html = String::with_capacity(value.len() + 8);
    // As the address of a link `tg://user?id=` mentions a person.
    let start = value
        .chars()
        .filter(|c| is_shown(*c) && (c.is_ascii_alphanumeric() || *c == ':'));
    if start.take(3).map(|c| c.to_ascii_lowercase()).eq("tg:".chars()) {
        html.push(JOINER);
    }
    escape(&mut html, value, Names::CallNobody);
    if html.contains(['"', '\'']) {
        html = html.replace('"', "&quot;").replace('\'', "&#39;");
    }
    html
}

#[cfg(test)]
mod tests;
