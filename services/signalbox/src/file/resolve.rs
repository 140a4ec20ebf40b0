//! `${NAME}` and `${file:/path}` in texts: the values that do not belong into a file.
//!
//! `$${` stands for `${` itself.

use std::path::Path;

use secrecy::ExposeSecret as _;
use serde_json::Value;

/// Resolves the references in every text of a document. Returns what could not be, with its place.
pub(super) fn resolve(
    value: &mut Value,
    variable: &dyn Fn(&str) -> Option<String>,
    file: &dyn Fn(&str) -> Result<String, String>,
) -> Vec<(String, String)> {
    let mut errors = Vec::new();
    walk(
        value,
        String::new(),
        &mut |place, text| match replace(text, variable, file) {
            Ok(replaced) => *text = replaced,
            Err(message) => errors.push((place.to_owned(), message)),
        },
    );
    errors
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
) -> Result<String, String> {
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
            return Err("has a `${` without its `}`; write `$${` for the characters themselves".to_owned());
        };
        replaced.push_str(before);
        match name.strip_prefix("file:") {
            Some(path) => replaced.push_str(&file(path)?),
            None if !is_variable(name) => {
                return Err(format!(
                    "{name:?} is no name of a variable; write `$${{` for the characters `${{` themselves"
                ));
            }
            None => replaced.push_str(&variable(name).ok_or_else(|| format!("the variable {name} is not set"))?),
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
