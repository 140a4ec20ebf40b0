//! Text that others wrote, made fit to be shown: cleaned, cut at borders of characters as people see them, and
//! set apart from the text around it.

use std::borrow::Cow;

use unicode_segmentation::GraphemeCursor;

/// Bytes of the longest cluster that is kept whole. Families of emoji have 25 to 41; what is longer is a pile of
/// marks that would push out everything else, and is cut like any text.
const CLUSTER_BYTES_MAX: usize = 64;
/// Most line ends in a row: one empty line.
const LINE_ENDS_MAX: usize = 2;
/// Ends a text that was cut.
const ELLIPSIS: char = '…';
/// Opens a part whose direction is its own.
const ISOLATE: char = '\u{2068}';
/// Closes it.
const CLOSE: char = '\u{2069}';

/// In what a target counts the length of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Code points.
    Chars,
    /// Bytes of UTF-8.
    Bytes,
    /// Units of UTF-16: never fewer than code points.
    Utf16,
}

impl Measure {
    /// What a character weighs.
    pub const fn weigh(self, c: char) -> usize {
        match self {
            Self::Chars => 1,
            Self::Bytes => c.len_utf8(),
            Self::Utf16 => c.len_utf16(),
        }
    }
}

/// Cleans a text of several lines and cuts it to `chars_max` characters.
///
/// Line ends become `\n`, at most two in a row; control characters go, and so does every mark that opens or closes
/// a direction (embeddings, overrides, isolates): left open in one value it would turn round the text behind it.
/// The marks that concern their neighbours alone stay, so that right-to-left text reads as it was written.
pub fn block(text: &str, chars_max: usize) -> Cow<'_, str> {
    let text = text.trim();
    if let Some(done) = usual(text, chars_max, is_plain_block) {
        return done;
    }
    let mut kept = String::with_capacity(text.len().min(chars_max * 4));
    let (mut count, mut line_ends) = (0, 0);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let c = match c {
            '\r' if chars.peek() == Some(&'\n') => continue,
            '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => '\n',
            c => c,
        };
        if c == '\n' {
            line_ends += 1;
            if line_ends > LINE_ENDS_MAX {
                continue;
            }
        } else if c == '\t' || is_shown(c) {
            line_ends = 0;
        } else {
            continue;
        }
        kept.push(c);
        count += 1;
        if count > chars_max {
            break;
        }
    }
    Cow::Owned(cut(kept.trim(), chars_max, Measure::Chars).into_owned())
}

/// Cleans a text as [`block`] does, but to one line: what parts words or lines becomes one space.
pub fn line(text: &str, chars_max: usize) -> Cow<'_, str> {
    let text = text.trim();
    if let Some(done) = usual(text, chars_max, is_plain_line) {
        return done;
    }
    let mut kept = String::with_capacity(text.len().min(chars_max * 4));
    let (mut count, mut space) = (0, true);
    for c in text.chars() {
        let c = if c.is_whitespace() { ' ' } else { c };
        if c == ' ' && space || c != ' ' && !is_shown(c) {
            continue;
        }
        space = c == ' ';
        kept.push(c);
        count += 1;
        if count > chars_max {
            break;
        }
    }
    Cow::Owned(cut(kept.trim(), chars_max, Measure::Chars).into_owned())
}

/// Cuts a text to at most `max`, an ellipsis at the end where it was cut.
pub fn cut(text: &str, max: usize, measure: Measure) -> Cow<'_, str> {
    // By no measure a text weighs more than it has bytes.
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    match fit(text, max, |c| measure.weigh(c)) {
        (kept, None) => Cow::Borrowed(kept),
        (kept, Some(end)) => Cow::Owned(format!("{kept}{end}")),
    }
}

/// The longest beginning of a text whose characters weigh at most `max`; with what ends it, where that is not all of
/// it: an ellipsis, and the marks that close what [`isolated`] opened. The end is no part of a cluster of code points
/// that is seen as one character. Reads no further than it must.
pub fn fit(text: &str, max: usize, weigh: impl Fn(char) -> usize) -> (&str, Option<String>) {
    let Some(room) = max.checked_sub(weigh(ELLIPSIS)) else {
        return if text.is_empty() {
            (text, None)
        } else {
            ("", Some(String::new()))
        };
    };
    let (mut total, mut kept, mut open) = (0, 0, 0_usize);
    for (at, c) in text.char_indices() {
        match c {
            ISOLATE => open += 1,
            CLOSE => open = open.saturating_sub(1),
            _ => {}
        }
        total += weigh(c);
        if total > max {
            let (kept, _) = text.split_at(border(text, kept));
            // A joiner with nothing behind it would take hold of the ellipsis.
            let kept = kept.trim_end_matches(|c: char| c == '\u{200d}' || c.is_whitespace());
            return (kept, Some(ending(kept)));
        }
        if total + open * weigh(CLOSE) <= room {
            kept = at + c.len_utf8();
        }
    }
    (text, None)
}

/// An ellipsis, and what closes the isolates that a text leaves open.
fn ending(text: &str) -> String {
    let open = text.chars().fold(0_usize, |open, c| match c {
        ISOLATE => open + 1,
        CLOSE => open.saturating_sub(1),
        _ => open,
    });
    [ELLIPSIS].into_iter().chain(std::iter::repeat_n(CLOSE, open)).collect()
}

/// Sets a text apart, so that its direction changes nothing around it. Only right-to-left text needs the two marks.
pub fn isolated(text: &str) -> Cow<'_, str> {
    if !text.is_ascii() && text.chars().any(is_right_to_left) {
        Cow::Owned(format!("{ISOLATE}{text}{CLOSE}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The last border of a cluster at or before `at`: no code points that are seen as one character are parted there.
pub(crate) fn border(text: &str, at: usize) -> usize {
    let mut cursor = GraphemeCursor::new(at, text.len(), true);
    if cursor.is_boundary(text, 0) == Ok(true) {
        return at;
    }
    match cursor.prev_boundary(text, 0) {
        Ok(Some(before)) if at - before <= CLUSTER_BYTES_MAX => before,
        _ => at,
    }
}

/// The usual case, without a look at each character: what is kept is plain, and so is what follows it.
fn usual(text: &str, chars_max: usize, is_plain: impl Fn(&str) -> bool) -> Option<Cow<'_, str>> {
    if text.len() <= chars_max {
        return is_plain(text).then_some(Cow::Borrowed(text));
    }
    let (head, _) = text.split_at_checked(chars_max)?;
    let (kept, _) = head.split_at_checked(chars_max.checked_sub(1)?)?;
    is_plain(head).then(|| Cow::Owned(format!("{}{ELLIPSIS}", kept.trim_end())))
}

/// Whether a text is printable ASCII with single spaces: most lines are, and need no copy.
fn is_plain_line(text: &str) -> bool {
    let mut before = 0;
    text.bytes().all(|byte| {
        let doubled = byte == b' ' && before == b' ';
        before = byte;
        is_printable(byte) && !doubled
    })
}

/// The same of several lines: printable ASCII, tabs, and no more line ends in a row than are kept.
fn is_plain_block(text: &str) -> bool {
    let mut line_ends = 0;
    text.bytes().all(|byte| {
        line_ends = if byte == b'\n' { line_ends + 1 } else { 0 };
        (is_printable(byte) || matches!(byte, b'\n' | b'\t')) && line_ends <= LINE_ENDS_MAX
    })
}

const fn is_printable(byte: u8) -> bool {
    matches!(byte, 0x20..0x7f)
}

/// Whether a character may be shown: no control character, no mark that turns text round, no placeholder.
pub(crate) fn is_shown(c: char) -> bool {
    !(c.is_control()
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}'))
}

/// The blocks of scripts that are written from right to left, and the marks of that direction.
fn is_right_to_left(c: char) -> bool {
    matches!(c,
        '\u{590}'..='\u{8ff}'
        | '\u{200f}'
        | '\u{fb1d}'..='\u{fdff}'
        | '\u{fe70}'..='\u{fefe}'
        | '\u{10800}'..='\u{10fff}'
        | '\u{1e800}'..='\u{1efff}')
}

#[cfg(test)]
mod tests;
