//! Files of integrations: read, resolved, and every complaint brought back to its line.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use signalbox_providers::wording::kind;

use guide::{Reading, Translation, Version};

mod guide;
mod made;
mod resolve;
mod write;
mod yaml;

pub(crate) use made::Made;
pub(crate) use write::integrations_yaml;

/// Longest file, in bytes.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A file of integrations, its references to the environment and to other files resolved.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    document: yaml::Document,
    integrations: Vec<Made>,
    /// What is not among them though it is written: where, and why not.
    left_out: Vec<(String, String)>,
    warnings: Vec<String>,
    /// Whether it is of the guide's form.
    is_guide: bool,
}

/// Why there are no integrations to be had from a file.
#[derive(Debug)]
pub(crate) enum Error {
    /// It cannot be read.
    Unreadable(PathBuf, io::Error),
    /// It can, but not as integrations.
    Invalid(Invalid),
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

/// All that is wrong with a file, one line each.
#[derive(Debug)]
pub(crate) struct Invalid(Vec<String>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Invalid {}

impl File {
    /// Reads a file; `-` is standard input. `skip_unavailable` leaves out what this version does not have.
    pub(crate) fn load(path: &Path, skip_unavailable: bool) -> Result<Self, Error> {
        let mut text = String::new();
        let size = |reader: &mut dyn std::io::Read, text: &mut String| {
            std::io::Read::read_to_string(&mut std::io::Read::take(reader, BYTES_MAX + 1), text)
        };
        let read = if path == Path::new("-") {
            size(&mut std::io::stdin().lock(), &mut text)
        } else {
            fs::File::open(path).and_then(|mut file| size(&mut file, &mut text))
        };
        read.map_err(|error| Error::Unreadable(path.to_owned(), error))?;
        if text.len() as u64 > BYTES_MAX {
            let message = format!("{}: is longer than {} MiB", path.display(), BYTES_MAX >> 20);
            return Err(Invalid(vec![message]).into());
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let reading = Reading {
            variable: &|name| std::env::var(name).ok(),
            file: &|name| resolve::read_file(folder, name),
            skip_unavailable,
            version: Version::THIS,
        };
        Ok(Self::read(path, &text, &reading)?)
    }

    fn read(path: &Path, text: &str, reading: &Reading<'_>) -> Result<Self, Invalid> {
        let document = yaml::parse(text)
            .map_err(|error| Invalid(vec![format!("{}:{}: {}", path.display(), error.line, error.message)]))?;
        let mut file = Self {
            path: path.to_owned(),
            document,
            integrations: Vec::new(),
            left_out: Vec::new(),
            warnings: Vec::new(),
            is_guide: false,
        };
        let translation = match &mut file.document.value {
            Value::Object(map) if guide::is_form(map) => {
                file.is_guide = true;
                guide::translate(&file.document, reading)
            }
            value => list(value, reading),
        };
        if !translation.errors.is_empty() {
            return Err(file.refusal(translation));
        }
        file.integrations = translation.made;
        file.left_out = translation.left_out;
        file.warnings = translation.warnings;
        Ok(file)
    }

    /// The integrations in the file.
    pub(crate) fn integrations(&self) -> &[Made] {
        &self.integrations
    }

    /// Takes an integration out, and remembers why.
    pub(crate) fn leave_out(&mut self, name: &str, reason: &str) {
        let (out, kept) = std::mem::take(&mut self.integrations)
            .into_iter()
            .partition(|made| made.name() == name);
        self.integrations = kept;
        for made in out {
            self.left_out.push((dotted(&made.place), reason.to_owned()));
        }
    }

    /// What should be known though nothing is wrong, a line each.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let warnings = self
            .warnings
            .iter()
            .map(|warning| format!("warning: {}: {warning}", self.path.display()));
        let left_out = self
            .left_out
            .iter()
            .map(|(place, reason)| format!("left out: {place}: {reason}"));
        warnings.chain(left_out).collect()
    }

    /// What became of a file of the guide's form: the integrations, and what is left out.
    pub(crate) fn translation(&self) -> Option<(Vec<Value>, Vec<Value>)> {
        let left_out = |(place, reason): &(String, String)| serde_json::json!({ "block": place, "reason": reason });
        self.is_guide.then(|| {
            (
                self.integrations.iter().map(Made::shown).collect(),
                self.left_out.iter().map(left_out).collect(),
            )
        })
    }

    /// Complaints of the API about integrations: index, field (`config/url`) and message of each. They come out in
    /// the order of their lines.
    pub(crate) fn explain(&self, complaints: impl Iterator<Item = (String, String, String)>) -> Invalid {
        let mut lines: Vec<(usize, String)> = complaints
            .map(|(index, field, message)| {
                let made = index.parse().ok().and_then(|index: usize| self.integrations.get(index));
                let (place, shown) = match made {
                    Some(made) => made.origin(&field),
                    None => {
                        let place = format!("/integrations/{index}/{field}");
                        (place.clone(), dotted(&place))
                    }
                };
                let line = self.document.line(&place);
                (line, format!("{}:{line}: {shown}: {message}", self.path.display()))
            })
            .collect();
        lines.sort_by_key(|(line, _)| *line);
        Invalid(lines.into_iter().map(|(_, text)| text).collect())
    }

    /// All that is wrong with the file, in the order of the lines.
    fn refusal(&self, translation: Translation) -> Invalid {
        let mut lines: Vec<(usize, String)> = translation
            .errors
            .iter()
            .map(|(place, message)| {
                let line = self.document.line(place);
                let place = dotted(place);
                let colon = if place.is_empty() { "" } else { ": " };
                (line, format!("{}:{line}: {place}{colon}{message}", self.path.display()))
            })
            .collect();
        lines.sort_by_key(|(line, _)| *line);
        let mut lines: Vec<String> = lines.into_iter().map(|(_, text)| text).collect();
        if translation.unavailable > 0 {
            lines.push(format!(
                "{} of these are in later versions than this one ({}): --skip-unavailable leaves them out and goes on with \
                 the rest",
                translation.unavailable,
                env!("CARGO_PKG_VERSION")
            ));
        }
        Invalid(lines)
    }
}

/// Reads a document with a list of integrations.
fn list(value: &mut Value, reading: &Reading<'_>) -> Translation {
    let mut translation = Translation::default();
    let errors = resolve::resolve(value, reading.variable, reading.file);
    translation.errors = errors
        .into_iter()
        .map(|(place, reason)| (place, reason.to_string()))
        .collect();
    translation.errors.extend(check_shape(value));
    let entries = match value.get_mut("integrations") {
        Some(Value::Array(entries)) => std::mem::take(entries),
        _ => return translation,
    };
    for (index, entry) in entries.into_iter().enumerate() {
        let place = format!("/integrations/{index}");
        match &entry {
            Value::Object(fields) if lists_endpoints(fields) => {
                guide::block::list_entry(&mut translation, reading, &place, fields);
            }
            _ => translation.made.push(Made::entry(entry, place)),
        }
    }
    translation
}

/// Whether an entry stands for several webhooks.
fn lists_endpoints(entry: &Map<String, Value>) -> bool {
    let has_endpoints = entry.contains_key("endpoints")
        || entry
            .get("config")
            .is_some_and(|config| config.get("endpoints").is_some());
    has_endpoints && entry.get("provider").and_then(Value::as_str) == Some("webhooks")
}

/// What is wrong with the outline of a file that holds a list, with its place.
fn check_shape(value: &Value) -> Option<(String, String)> {
    let top = |message: &str| Some((String::new(), message.to_owned()));
    let map = match value {
        Value::Object(map) => map,
        Value::Null => return top("the file is empty: begin it with `integrations:` and a list"),
        _ => return top("the file does not begin with `integrations:` and a list"),
    };
    if let Some(unknown) = map.keys().find(|key| !matches!(key.as_str(), "integrations" | "note")) {
        let message = match unknown.as_str() {
            "notifications" => "stands beside a list: it is for integrations that are blocks by name",
            block if guide::is_block(block) => "is no key of a file: put it below `integrations:`",
            _ => "is not known here: there is only `integrations`",
        };
        return Some((format!("/{unknown}"), message.to_owned()));
    }
    match map.get("integrations") {
        Some(Value::Array(_)) => None,
        Some(other) => {
            let message = format!(
                "is {}: write a list (`- name: …`), or blocks by name (`slack: …`)",
                kind(other)
            );
            Some(("/integrations".to_owned(), message))
        }
        None => top("`integrations` is missing"),
    }
}

/// A pointer as people write a place: `integrations[1].config.url`.
fn dotted(pointer: &str) -> String {
    let mut text = String::new();
    for token in pointer.split('/').filter(|token| !token.is_empty()) {
        if token.bytes().all(|byte| byte.is_ascii_digit()) {
            text.push_str(&format!("[{token}]"));
        } else {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(token);
        }
    }
    text
}

#[cfg(test)]
mod tests;
