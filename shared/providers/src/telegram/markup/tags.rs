//! The tags that Telegram takes, read as it reads them.
//! <https://core.telegram.org/bots/api#html-style>

use super::reference;
use crate::display::text::is_shown;

/// Longest tag with its attributes, in bytes: longer than the address of any link.
const TAG_BYTES_MAX: usize = 3_000;
/// Longest name of a language for code, in bytes.
const LANGUAGE_BYTES_MAX: usize = 40;

/// A tag of a text in markup.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// Opens what is closed by this name; written as Telegram takes it.
    Open { name: &'static str, html: String },
    /// Closes what was opened by this name.
    Close(&'static str),
    /// A line end: Telegram has no tag for it.
    Break,
    /// A known tag that lacks what makes it one, such as a link without an address.
    Nothing,
}

/// The attributes that say something.
#[derive(Default)]
struct Attributes {
    href: Option<String>,
    class: Option<String>,
    emoji_id: Option<String>,
    unix: Option<String>,
    format: Option<String>,
    expandable: bool,
    /// Whether the tag holds nothing, as in `<b/>`.
    empty: bool,
}

impl Tag {
    /// The tag that a text begins with, and its length; `None` for a `<` that begins none.
    pub(super) fn read(text: &str) -> Option<(Self, usize)> {
        let text = beginning(text, TAG_BYTES_MAX);
        let rest = text.strip_prefix('<')?;
        let (closes, rest) = match rest.strip_prefix('/') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let named = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let (word, rest) = rest.split_at(rest.find(|c| !named(c))?);
        let name = known(&word.to_ascii_lowercase())?;
        let (attributes, rest) = Attributes::read(rest)?;
        let tag = match (name, closes) {
            ("br", _) => Self::Break,
            (name, true) => Self::Close(name),
            (name, false) => attributes
                .open(name, word)
                .filter(|html| html.len() <= TAG_BYTES_MAX)
                .map_or(Self::Nothing, |html| Self::Open { name, html }),
        };
        Some((tag, text.len() - rest.len()))
    }
}

/// The first bytes of a text, up to the end of a character.
fn beginning(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.split_at(end).0
}

/// The name by which a tag is written and closed.
fn known(word: &str) -> Option<&'static str> {
    Some(match word {
        "b" | "strong" => "b",
        "i" | "em" => "i",
        "u" | "ins" => "u",
        "s" | "strike" | "del" => "s",
        "tg-spoiler" | "span" => "tg-spoiler",
        "a" => "a",
        "code" => "code",
        "pre" => "pre",
        "blockquote" => "blockquote",
        "tg-emoji" => "tg-emoji",
        "tg-time" => "tg-time",
        "br" => "br",
        _ => return None,
    })
}

impl Attributes {
    /// Reads what follows a tag's name, its `>` included; and what is behind.
    fn read(text: &str) -> Option<(Self, &str)> {
        let mut attributes = Self::default();
        let mut rest = text;
        loop {
            rest = rest.trim_start();
            if let Some(behind) = rest.strip_prefix("/>") {
                attributes.empty = true;
                return Some((attributes, behind));
            }
            if let Some(behind) = rest.strip_prefix('>') {
                return Some((attributes, behind));
            }
            let ends = |c: char| c.is_whitespace() || matches!(c, '=' | '>' | '/' | '"' | '\'' | '<');
            let (name, behind) = rest.split_at(rest.find(ends)?);
            if name.is_empty() {
                return None;
            }
            let behind = behind.trim_start();
            let value;
            (value, rest) = match behind.strip_prefix('=') {
                Some(given) => quoted(given.trim_start())?,
                None => ("", behind),
            };
            attributes.take(&name.to_ascii_lowercase(), value);
        }
    }

    fn take(&mut self, name: &str, value: &str) {
        let place = match name {
            "href" => &mut self.href,
            "class" => &mut self.class,
            "emoji-id" => &mut self.emoji_id,
            "unix" => &mut self.unix,
            "format" => &mut self.format,
            "expandable" => return self.expandable = true,
            _ => return,
        };
        *place = Some(said(value));
    }

    /// The tag as it is written; `None` where what it needs is missing or would be refused.
    fn open(&self, name: &str, word: &str) -> Option<String> {
        let class = self.class.as_deref().unwrap_or_default();
        Some(match name {
            _ if self.empty => return None,
            "a" => {
                let href = self.href.as_deref().map(str::trim).filter(|href| !href.is_empty())?;
                with("a href", href)
            }
            "tg-spoiler" if word.eq_ignore_ascii_case("span") && class != "tg-spoiler" => return None,
            "code" => match class.strip_prefix("language-").filter(|language| is_language(language)) {
                Some(_) => with("code class", class),
                None => "<code>".to_owned(),
            },
            "blockquote" if self.expandable => "<blockquote expandable>".to_owned(),
            "tg-emoji" => {
                let id = self.emoji_id.as_deref()?;
                id.parse::<i64>().ok().filter(|id| *id > 0)?;
                with("tg-emoji emoji-id", id)
            }
            "tg-time" => {
                let unix = self.unix.as_deref()?;
                unix.parse::<i32>().ok().filter(|unix| *unix > 0)?;
                let format = self.format.as_deref().filter(|format| is_time_format(format))?;
                let mut html = with("tg-time unix", unix);
                html.pop();
                html.push_str(" format=\"");
                html.push_str(format);
                html.push_str("\">");
                html
            }
            name => ["<", name, ">"].concat(),
        })
    }
}

/// A value between quotes, or one without them; and what is behind.
fn quoted(text: &str) -> Option<(&str, &str)> {
    for quote in ['"', '\''] {
        if let Some(inside) = text.strip_prefix(quote) {
            return inside.split_once(quote);
        }
    }
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, '>' | '<'))?;
    Some(text.split_at(end))
}

/// What the value of an attribute says, without what nobody may see.
fn said(value: &str) -> String {
    let mut said = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(first) = rest.chars().next() {
        let (sign, length) = match first {
            '&' => reference(rest).unwrap_or(('&', 1)),
            first => (first, first.len_utf8()),
        };
        if is_shown(sign) {
            said.push(sign);
        }
        (_, rest) = rest.split_at(length);
    }
    said
}

/// `<beginning="value">`
fn with(beginning: &str, value: &str) -> String {
    let mut html = String::with_capacity(beginning.len() + value.len() + 8);
    html.push('<');
    html.push_str(beginning);
    html.push_str("=\"");
    for c in value.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            c => html.push(c),
        }
    }
    html.push_str("\">");
    html
}

fn is_language(name: &str) -> bool {
    (1..=LANGUAGE_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'#' | b'.' | b'_'))
}

/// `r`, or a weekday, a date and a time, each at most once and in this order.
fn is_time_format(format: &str) -> bool {
    let rest = format.strip_prefix('w').unwrap_or(format);
    let rest = rest.strip_prefix(['d', 'D']).unwrap_or(rest);
    let rest = rest.strip_prefix(['t', 'T']).unwrap_or(rest);
    rest.is_empty() || format == "r"
}
