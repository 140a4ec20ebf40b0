//! Files of integrations: read, resolved, and every complaint brought back to its line.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

mod resolve;
mod write;
mod yaml;

pub(crate) use write::integrations_yaml;

/// Longest file, in bytes.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A file of integrations, its references to the environment and to other files resolved.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    document: yaml::Document,
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
    /// Reads a file; `-` is standard input.
    pub(crate) fn load(path: &Path) -> Result<Self, Error> {
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
        let variable = |name: &str| std::env::var(name).ok();
        Ok(Self::read(path, &text, &variable, &|name| {
            resolve::read_file(folder, name)
        })?)
    }

    fn read(
        path: &Path,
        text: &str,
        variable: &dyn Fn(&str) -> Option<String>,
        file: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Self, Invalid> {
        let mut document = yaml::parse(text)
            .map_err(|error| Invalid(vec![format!("{}:{}: {}", path.display(), error.line, error.message)]))?;
        let errors = resolve::resolve(&mut document.value, variable, file);
        let found = Self {
            path: path.to_owned(),
            document,
        };
        let mut errors: Vec<String> = errors
            .into_iter()
            .map(|(pointer, message)| found.complaint(&pointer, &message))
            .collect();
        errors.extend(found.check_shape());
        if errors.is_empty() {
            Ok(found)
        } else {
            Err(Invalid(errors))
        }
    }

    /// The integrations in the file.
    pub(crate) fn integrations(&self) -> &[Value] {
        self.document
            .value
            .get("integrations")
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }

    /// Complaints of the API about integrations: index, field (`config/url`) and message of each. They come out in
    /// the order of their lines.
    pub(crate) fn explain(&self, complaints: impl Iterator<Item = (String, String, String)>) -> Invalid {
        let mut lines: Vec<(usize, String)> = complaints
            .map(|(index, field, message)| {
                let pointer = format!("/integrations/{index}/{field}");
                let pointer = pointer.trim_end_matches('/');
                (self.document.line(pointer), self.complaint(pointer, &message))
            })
            .collect();
        lines.sort_by_key(|(line, _)| *line);
        Invalid(lines.into_iter().map(|(_, text)| text).collect())
    }

    fn complaint(&self, pointer: &str, message: &str) -> String {
        let line = self.document.line(pointer);
        format!("{}:{line}: {}: {message}", self.path.display(), dotted(pointer))
    }

    fn check_shape(&self) -> Option<String> {
        let top = |message: &str| format!("{}:1: {message}", self.path.display());
        let map = match &self.document.value {
            Value::Object(map) => map,
            Value::Null => return Some(top("the file is empty: begin it with `integrations:` and a list")),
            _ => return Some(top("the file does not begin with `integrations:` and a list")),
        };
        if let Some(unknown) = map.keys().find(|key| !matches!(key.as_str(), "integrations" | "note")) {
            return Some(self.complaint(
                &format!("/{unknown}"),
                "is not known here: there is only `integrations`",
            ));
        }
        match map.get("integrations") {
            Some(Value::Array(_)) => None,
            Some(Value::Object(_)) => Some(self.complaint(
                "/integrations",
                "is not a list; the form with a provider's name as the key is not taken by this version: write \
                 `- name: …` and `provider: …`",
            )),
            _ => Some(top("`integrations` is not a list")),
        }
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
