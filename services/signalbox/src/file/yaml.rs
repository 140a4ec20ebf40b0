//! YAML 1.2 as JSON values, each with the line it stands on.
//!
//! The core schema decides types: `no` is a text, `0o17` a number. What configuration files do not need is refused
//! instead of guessed at: anchors and aliases, tags, several documents, the same key twice.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Number, Value};

/// Deepest nesting.
const DEPTH_MAX: usize = 64;

/// A document and where its parts stand.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) value: Value,
    lines: BTreeMap<String, usize>,
}

/// Why a text is not a document that is taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    pub(super) line: usize,
    pub(super) message: String,
}

impl Document {
    /// The line of a place, or of the nearest place around it that is there.
    pub(super) fn line(&self, pointer: &str) -> usize {
        let mut pointer = pointer;
        loop {
            if let Some(line) = self.lines.get(pointer) {
                return *line;
            }
            match pointer.rsplit_once('/') {
                Some((parent, _)) => pointer = parent,
                None => return 1,
            }
        }
    }
}

/// A list or a map that is not finished.
enum Open {
    List(Vec<Value>),
    Map {
        map: Map<String, Value>,
        /// The key whose value comes next, and its line.
        key: Option<(String, usize)>,
    },
}

struct Builder {
    /// Unfinished parts with their places, the innermost last.
    open: Vec<(Open, String)>,
    lines: BTreeMap<String, usize>,
    root: Option<Value>,
}

/// Reads one document.
pub(super) fn parse(text: &str) -> Result<Document, Invalid> {
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder {
        open: Vec::new(),
        lines: BTreeMap::new(),
        root: None,
    };
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| Invalid {
            line: error.marker().line(),
            message: format!("is not YAML: {} (column {})", error.info(), error.marker().col() + 1),
        })?;
        let line = span.start.line();
        builder.take(event, line).map_err(|message| Invalid { line, message })?;
    }
    Ok(Document {
        value: builder.root.unwrap_or_default(),
        lines: builder.lines,
    })
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), String> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                if self.root.is_some() {
                    Err("a second document begins: keep one to a file".to_owned())
                } else {
                    Ok(())
                }
            }
            Event::Alias(_) => Err("aliases (*name) are not taken: write the value out".to_owned()),
            Event::Scalar(text, style, anchor, tag) => {
                check_marks(anchor, tag.as_deref())?;
                if let Some((Open::Map { map, key: key @ None }, _)) = self.open.last_mut() {
                    if map.contains_key(&*text) {
                        return Err(format!("the key {text:?} is there twice"));
                    }
                    *key = Some((text.into_owned(), line));
                    return Ok(());
                }
                self.begin(line);
                self.end(scalar(&text, style))
            }
            Event::SequenceStart(anchor, tag) => {
                check_marks(anchor, tag.as_deref())?;
                self.open(Open::List(Vec::new()), line)
            }
            Event::MappingStart(anchor, tag) => {
                check_marks(anchor, tag.as_deref())?;
                self.open(
                    Open::Map {
                        map: Map::new(),
                        key: None,
                    },
                    line,
                )
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some((Open::List(list), _)) => self.end(Value::Array(list)),
                Some((Open::Map { map, .. }, _)) => self.end(Value::Object(map)),
                None => Err("is not YAML: something ends that did not begin".to_owned()),
            },
        }
    }

    fn open(&mut self, open: Open, line: usize) -> Result<(), String> {
        if self.open.len() >= DEPTH_MAX {
            return Err(format!("is nested deeper than {DEPTH_MAX} levels"));
        }
        if let Some((Open::Map { key: None, .. }, _)) = self.open.last() {
            return Err("a key is a list or a map: keys are texts".to_owned());
        }
        let place = self.begin(line);
        self.open.push((open, place));
        Ok(())
    }

    /// Notes the line of the value that begins here, which is that of its key, and gives its place.
    fn begin(&mut self, line: usize) -> String {
        let (place, line) = match self.open.last() {
            None => (String::new(), line),
            Some((Open::List(list), place)) => (format!("{place}/{}", list.len()), line),
            Some((Open::Map { key, .. }, place)) => {
                let (key, line) = key.as_ref().map_or(("", line), |(key, line)| (key, *line));
                (format!("{place}/{key}"), line)
            }
        };
        self.lines.insert(place.clone(), line);
        place
    }

    fn end(&mut self, value: Value) -> Result<(), String> {
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some((Open::List(list), _)) => list.push(value),
            Some((Open::Map { map, key }, _)) => {
                let (key, _) = key.take().ok_or("a key is a list or a map: keys are texts")?;
                map.insert(key, value);
            }
        }
        Ok(())
    }
}

fn check_marks(anchor: usize, tag: Option<&Tag>) -> Result<(), String> {
    if anchor != 0 {
        return Err("anchors (&name) are not taken: write the value out where it is used".to_owned());
    }
    match tag {
        None => Ok(()),
        Some(tag) => Err(format!("tags ({tag}) are not taken: put a text into quotes")),
    }
}

/// The value of a scalar by the core schema (YAML 1.2.2, section 10.3.2).
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::from(text);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    number(text).unwrap_or_else(|| Value::from(text))
}

fn number(text: &str) -> Option<Value> {
    let radix = |digits: &str, radix| {
        i64::from_str_radix(digits, radix)
            .ok()
            .filter(|_| !digits.starts_with(['+', '-']))
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16).map(Value::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8).map(Value::from);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    // Rust also reads inf, nan and infinity, which the schema does not have in this form.
    if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        if let Ok(number) = text.parse::<i64>() {
            return Some(Value::from(number));
        }
        if let Ok(number) = text.parse::<u64>() {
            return Some(Value::from(number));
        }
    }
    Number::from_f64(text.parse().ok()?).map(Value::Number)
}

#[cfg(test)]
mod tests;
