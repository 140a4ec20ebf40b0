//! Telegram's HTML read as its server reads it, written a second time from the server's source (`parse_html` and
//! `match_mentions` in tdlib's `MessageEntity.cpp`, read in November 2026): what it refuses fails here.

/// The longest text that the server reads at all, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 15;
/// What the server takes of the text that is left, in whatever it counts.
const TEXT_UNITS_MAX: usize = 4_096;

const TAGS: [&str; 17] = [
    "a",
    "b",
    "strong",
    "i",
    "em",
    "s",
    "strike",
    "del",
    "u",
    "ins",
    "tg-spoiler",
    "tg-emoji",
    "tg-time",
    "span",
    "pre",
    "code",
    "blockquote",
];

/// A part of the text that looks another way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entity {
    pub(super) tag: String,
    /// Address, language or number.
    pub(super) argument: String,
    /// In bytes of the text.
    pub(super) from: usize,
    pub(super) to: usize,
}

/// A message as people see it.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) text: String,
    pub(super) entities: Vec<Entity>,
}

/// Reads a text, or says why the server refuses it.
pub(super) fn read(html: &str) -> Result<Read, String> {
    if html.len() > TEXT_BYTES_MAX {
        return Err(format!("text is too long: {} bytes", html.len()));
    }
    let mut read = Read {
        text: String::new(),
        entities: Vec::new(),
    };
    let mut open: Vec<Entity> = Vec::new();
    let mut rest = html;
    while let Some(first) = rest.chars().next() {
        if let Some((sign, behind)) = reference(rest) {
            read.text.push(sign);
            rest = behind;
        } else if first != '<' {
            read.text.push(first);
            rest = rest.get(first.len_utf8()..).expect("a border of characters");
        } else if let Some(end) = rest.strip_prefix("</") {
            let (name, behind) = end.split_once('>').ok_or("unclosed end tag")?;
            let mut entity = open.pop().ok_or("unexpected end tag")?;
            if name != entity.tag {
                return Err(format!("unmatched end tag {name}, expected {}", entity.tag));
            }
            entity.to = read.text.len();
            read.entities.push(entity);
            rest = behind;
        } else {
            let (mut entity, behind) = tag(rest)?;
            entity.from = read.text.len();
            open.push(entity);
            rest = behind;
        }
    }
    match open.pop() {
        Some(entity) => Err(format!("cannot find the end of {}", entity.tag)),
        None => Ok(read),
    }
}

fn reference(text: &str) -> Option<(char, &str)> {
    let inside = text.strip_prefix('&')?;
    for (name, sign) in [("lt", '<'), ("gt", '>'), ("amp", '&'), ("quot", '"')] {
        // The semicolon may be left out: what must not be read so may not stand here.
        if let Some(behind) = inside.strip_prefix(name) {
            let behind = behind.strip_prefix(';').unwrap_or(behind);
            return Some((sign, behind));
        }
    }
    assert!(
        !inside.starts_with('#'),
        "numbers are written as the signs that they are"
    );
    None
}

fn tag(text: &str) -> Result<(Entity, &str), String> {
    let (inside, mut rest) = text
        .strip_prefix('<')
        .and_then(|rest| rest.split_at_checked(rest.find([' ', '\n', '>'])?))
        .ok_or("unclosed start tag")?;
    if !TAGS.contains(&inside) {
        return Err(format!("unsupported start tag {inside}"));
    }
    let mut argument = String::new();
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix('>') {
            rest = behind;
            break;
        }
        let (name, behind) = rest
            .split_at_checked(rest.find([' ', '=', '>', '/', '"', '\'']).ok_or("unclosed tag")?)
            .ok_or("unclosed tag")?;
        if name.is_empty() {
            return Err("empty attribute name".to_owned());
        }
        rest = behind;
        if let Some(value) = behind.strip_prefix("=\"") {
            let (value, behind) = value.split_once('"').ok_or("unclosed value")?;
            match (inside, name) {
                ("a", "href") | ("tg-emoji", "emoji-id") | ("tg-time", "unix") | ("code", "class") => {
                    argument = value
                        .replace("&lt;", "<")
                        .replace("&gt;", ">")
                        .replace("&quot;", "\"")
                        .replace("&amp;", "&");
                }
                ("tg-time", "format") => assert!(["dt", "dT"].contains(&value), "a format of ours: {value}"),
                other => return Err(format!("nobody reads {other:?}")),
            }
            rest = behind;
        } else if name != "expandable" {
            return Err(format!("{name} has no value"));
        }
    }
    let numbered = matches!(inside, "tg-emoji" | "tg-time");
    if numbered && argument.parse::<i64>().ok().is_none_or(|number| number <= 0) {
        return Err(format!("{inside} with {argument:?}"));
    }
    let entity = Entity {
        tag: inside.to_owned(),
        argument,
        from: 0,
        to: 0,
    };
    Ok((entity, rest))
}

impl Read {
    /// Holds the text to what the server takes once markup is read, and to what people may be shown.
    pub(super) fn check(&self) {
        let text = &self.text;
        let length = text.encode_utf16().count();
        assert!(!text.trim().is_empty(), "message text is empty");
        assert!(length <= TEXT_UNITS_MAX, "message is too long: {length}");
        let is_hidden = |c: char| {
            c.is_control() && c != '\n' && c != '\t'
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}' | '\u{2067}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}')
        };
        assert_eq!(text.chars().find(|c| is_hidden(*c)), None, "hidden in {text:?}");
        let mut open = 0_usize;
        for c in text.chars() {
            match c {
                '\u{2068}' => open += 1,
                '\u{2069}' => open = open.checked_sub(1).expect("what is closed was opened"),
                _ => {}
            }
        }
        assert_eq!(open, 0, "a direction stays open in {text:?}");
        assert!(!text.contains("\u{200d}…"), "cut inside a sequence: {text:?}");
        for entity in &self.entities {
            let address = entity.argument.trim().to_lowercase();
            let person = entity.tag == "a" && address.starts_with("tg:");
            assert!(!person, "mentions a person: {entity:?}");
        }
        assert_eq!(self.mentions(), [""; 0], "nobody is mentioned in {text:?}");
    }

    /// The names that the server would make mentions of.
    pub(super) fn mentions(&self) -> Vec<&str> {
        let in_word = |c: char| c.is_alphanumeric() || c == '_';
        let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut found = Vec::new();
        for (at, _) in self.text.match_indices('@') {
            let (before, behind) = self.text.split_at(at);
            let name = behind.trim_start_matches('@');
            let end = name.find(|c| !of_name(c)).unwrap_or(name.len());
            let (name, after) = name.split_at(end);
            // A letter of any script before it keeps it from being one; marks, which Rust counts with letters, do not.
            let free =
                !before.ends_with(|c: char| in_word(c) && (c.is_ascii() || c.is_lowercase() || c.is_uppercase()));
            let command = before.trim_end_matches(of_name);
            let command = command.len() < before.len()
                && command
                    .strip_suffix('/')
                    .is_some_and(|rest| !rest.ends_with(in_word) && !rest.ends_with(['/', '<', '>']));
            let named = (2..=32).contains(&name.len()) && !after.starts_with(in_word);
            let code = self
                .entities
                .iter()
                .any(|entity| ["code", "pre"].contains(&&*entity.tag) && entity.from <= at && at < entity.to);
            if (free || command) && named && !code {
                found.push(name);
            }
        }
        found
    }

    /// The texts that have this tag.
    pub(super) fn tagged(&self, tag: &str) -> Vec<&str> {
        let tagged = self.entities.iter().filter(|entity| entity.tag == tag);
        tagged
            .map(|entity| self.text.get(entity.from..entity.to).expect("borders of characters"))
            .collect()
    }
}
