//! Datadog's markup, a kind of Markdown: escaping, and cutting that leaves escapes whole.

use std::borrow::Cow;

use crate::display::text::fit;

/// Fences a block of code.
const FENCE: &str = "```";
/// Stands for itself and is not seen: it parts what would mean something together.
const JOINER: char = '\u{2060}';
/// Longest name of a character, as in `&amp;`, in bytes.
const ENTITY_BYTES_MAX: usize = 32;

/// What a character weighs at most once it is escaped, in characters.
fn weigh(c: char) -> usize {
    match c {
        '\n' => 3,
        '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '~' | '|' | '#' | '+' | '-' | '=' | '.' | ')' | '@'
        | '%' => 2,
        _ => 1,
    }
}

/// A value of an event inside a template's text. The text has a bound of its own.
pub(super) fn value(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len() + 8);
    push_escaped(&mut escaped, value, true);
    escaped
}

/// A plain text that begins a line, escaped and, with that, cut to at most `chars_max`.
pub(super) fn escape(text: &str, chars_max: usize) -> String {
    escape_at(text, chars_max, true)
}

/// As [`escape`], of a text behind another in its line, where fewer marks mean something.
pub(super) fn escape_behind(text: &str, chars_max: usize) -> String {
    escape_at(text, chars_max, false)
}

fn escape_at(text: &str, chars_max: usize, begins_line: bool) -> String {
    let mut escaped = String::with_capacity(text.len().min(chars_max) + 8);
    // No character of it can weigh more than three.
    if text.len() * 3 <= chars_max {
        push_escaped(&mut escaped, text, begins_line);
        return escaped;
    }
    let (kept, end) = fit(text, chars_max, weigh);
    push_escaped(&mut escaped, kept, begins_line);
    escaped.push_str(&end.unwrap_or_default());
    escaped
}

/// Writes a text so that it shows as it is: no mark of it means anything, line ends stay, and it calls nobody.
fn push_escaped(out: &mut String, text: &str, begins_line: bool) {
    let mut before = None;
    // Nothing but digits so far in this line: with a point they would number a list.
    let mut begin = begins_line;
    let mut digits = false;
    let mut rest = text;
    loop {
        // Letters mean nothing, and most of a text is letters.
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (word, behind) = rest.split_at(letters);
        if let Some(last) = word.chars().next_back() {
            out.push_str(word);
            (begin, digits, before) = (false, false, Some(last));
        }
        let mut chars = behind.chars();
        let Some(c) = chars.next() else { return };
        rest = chars.as_str();
        match c {
            '\n' => {
                // Two spaces before it, or the next line goes on with this one.
                out.push_str(if before == Some('\n') { "\n" } else { "  \n" });
                (begin, digits, before) = (true, false, Some(c));
                continue;
            }
            // Four of them before a line make it code.
            ' ' | '\t' if begin => continue,
            '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '~' | '|' => out.push('\\'),
            '_' if !is_inside_word(before, rest) => out.push('\\'),
            '&' if begins_entity(rest) => out.push('\\'),
            '#' | '+' | '-' | '=' if begin => out.push('\\'),
            '.' | ')' if digits => out.push('\\'),
            // Three end the markup.
            '%' if before == Some('%') => out.push(JOINER),
            _ => {}
        }
        out.push(c);
        // A name behind it would be told of the event.
        if c == '@' {
            out.push(JOINER);
        }
        digits = c.is_ascii_digit() && (begin || digits);
        (begin, before) = (false, Some(c));
    }
}

/// Whether a character stands between letters or digits, where an underscore means nothing.
fn is_inside_word(before: Option<char>, rest: &str) -> bool {
    before.is_some_and(char::is_alphanumeric) && rest.chars().next().is_some_and(char::is_alphanumeric)
}

/// Whether `amp;` or `#38;` follows.
fn begins_entity(rest: &str) -> bool {
    let end = rest
        .bytes()
        .take(ENTITY_BYTES_MAX)
        .position(|byte| !byte.is_ascii_alphanumeric() && byte != b'#');
    end.is_some_and(|end| end > 0 && rest.as_bytes().get(end) == Some(&b';'))
}

/// A plain text as a block of code of at most `chars_max`. A fence inside it would end the block: three backticks are
/// shown as three apostrophes.
pub(super) fn code(text: &str, chars_max: usize) -> String {
    let inside = unfenced(text);
    let around = 2 * (FENCE.len() + 1);
    let (kept, end) = fit(&inside, chars_max.saturating_sub(around), |c| match c {
        '@' | '%' => 2,
        _ => 1,
    });
    let mut code = String::with_capacity(kept.len() + around + 8);
    code.push_str(FENCE);
    code.push('\n');
    push_quiet(&mut code, kept);
    code.push_str(&end.unwrap_or_default());
    code.push('\n');
    code.push_str(FENCE);
    code
}

fn unfenced(text: &str) -> Cow<'_, str> {
    if text.contains(FENCE) {
        Cow::Owned(text.replace(FENCE, "'''"))
    } else {
        Cow::Borrowed(text)
    }
}

/// A text for a place that knows no markup: it calls nobody there either.
pub(super) fn quiet(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    push_quiet(&mut out, text);
    out
}

fn push_quiet(out: &mut String, text: &str) {
    let mut before = None;
    for c in text.chars() {
        if c == '%' && before == Some('%') {
            out.push(JOINER);
        }
        out.push(c);
        if c == '@' {
            out.push(JOINER);
        }
        before = Some(c);
    }
}

/// A text in markup without its escapes, for a place that knows none.
pub(super) fn unescaped(markup: &str) -> String {
    let mut plain = String::with_capacity(markup.len());
    let mut chars = markup.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = chars.next_if(|next| c == '\\' && next.is_ascii_punctuation());
        plain.push(escaped.unwrap_or(c));
    }
    plain
}

/// An owner's text in markup, cut to at most `chars_max`, that ends neither the markup nor in open code.
pub(super) fn given(markup: &str, chars_max: usize) -> String {
    let markup = markup.replace("%%%", "%\u{2060}%\u{2060}%");
    let room = chars_max.saturating_sub(FENCE.len() + 1);
    let (kept, end) = fit(&markup, room, |_| 1);
    // A backslash would take hold of the ellipsis.
    let kept = if end.is_some() {
        kept.trim_end_matches('\\')
    } else {
        kept
    };
    let mut text = format!("{kept}{}", end.unwrap_or_default());
    if text.matches(FENCE).count() % 2 == 1 {
        text.push('\n');
        text.push_str(FENCE);
    }
    text
}

/// An address inside the round brackets of a link.
pub(super) fn address(url: &str) -> Cow<'_, str> {
    if !url.contains(['(', ')', '@']) && !url.contains("%%") {
        return Cow::Borrowed(url);
    }
    let url = url.replace("%%", "%25%25");
    Cow::Owned(url.replace('(', "%28").replace(')', "%29").replace('@', "%40"))
}

#[cfg(test)]
mod tests;
