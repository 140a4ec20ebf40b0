//! `${NAME}` and `${file:/path}` in texts: the values that do not belong into a file.
//!
//! `$${` stands for `${` itself.

use std::{fmt, path::Path};

use secrecy::ExposeSecret as _;
use serde_json::Value;

/// Why a text is not resolved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// This variable is not set.
    Unset(String),
    /// A file cannot be read, and why.
    Unreadable(String),
    /// It is not written as a reference is.
    Malformed(String),
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset(name) => write!(f, "the variable {name} is not set"),
            Self::Unreadable(message) | Self::Malformed(message) => f.write_str(message),
        }
    }
}

/// Resolves the references in every text of a document. Returns what could not be, with its place.
pub(super) fn resolve(
    value: &mut Value,
    variable: &dyn Fn(&str) -> Option<String>,
    file: &dyn Fn(&str) -> Result<String, String>,
) -> Vec<(String, Unresolved)> {
    let mut errors = Vec::new();
    walk(
        value,
        String::new(),
        &mut |place, text| match replace(text, variable, file) {
            Ok(replaced) => *text = replaced,
            Err(reason) => errors.push((place.to_owned(), reason)),
        },
    );
    errors
}

/// What the texts of a document refer to, with their places: names of variables, and `file:` with a path.
pub(super) fn references(value: &mut Value) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    walk(value, String::new(), &mut |place, text| {
        let mut names = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let is_reference = !before.ends_with('$');
            rest = after;
            if is_reference && let Some((name, after)) = after.split_once('}') {
                names.push(name.to_owned());
                rest = after;
            }
        }
        if !names.is_empty() {
            found.push((place.to_owned(), names));
        }
    });
    found
}

/// Reads the file of a reference. A relative path begins at the folder of the file that names it.
pub(super) fn read_file(folder: &Path, name: &str) -> Result<String, String> {
    match signalbox_runtime::secret::file_secret(&folder.join(name)) {
        Ok(secret) => Ok(secret.expose_secret().to_owned()),
        Err(error) => {
            Err(std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")))
        }
    }
}

fn walk(value: &mut Value, place: String, each: &mut dyn FnMut(&str, &mut String)) {
    match value {
        Value::String(text) => each(&place, text),
        Value::Array(list) => {
            for (index, value) in list.iter_mut().enumerate() {
                walk(value, format!("{place}/{index}"), each);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                walk(value, format!("{place}/{key}"), each);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn replace(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    file: &dyn Fn(&str) -> Result<String, String>,
) -> Result<String, Unresolved> {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            replaced.push_str(before);
            replaced.push_str("${");
            rest = after;
            continue;
        }
        let Some((name, after)) = after.split_once('}') else {
            let message = "has a `${` without its `}`; write `$${` for the characters themselves";
            return Err(Unresolved::Malformed(message.to_owned()));
        };
        replaced.push_str(before);
        match name.strip_prefix("file:") {
            Some(path) => replaced.push_str(&file(path).map_err(Unresolved::Unreadable)?),
            None if !is_variable(name) => {
                return Err(Unresolved::Malformed(format!(
                    "{name:?} is no name of a variable; write `$${{` for the characters `${{` themselves"
                )));
            }
            None => replaced.push_str(&variable(name).ok_or_else(|| Unresolved::Unset(name.to_owned()))?),
        }
        rest = after;
    }
    replaced.push_str(rest);
    Ok(replaced)
}

fn is_variable(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
}

#[cfg(test)]
mod tests;
