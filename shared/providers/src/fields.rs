//! Checks of fields that many providers have, each with its message.

use http::{HeaderValue, Uri};
use url::Url;

use crate::{FieldError, Secret, http::secret_value};

/// Longest address, in bytes.
pub const URL_BYTES_MAX: usize = 2 * 1024;

/// An address that can be requested: without user and password, its fragment gone.
pub fn url(pointer: &str, text: &str) -> Result<Url, FieldError> {
    let wrong = |message: String| FieldError::new(pointer, message);
    if text.len() > URL_BYTES_MAX {
        return Err(wrong(format!("is longer than {URL_BYTES_MAX} bytes")));
    }
    let mut url = Url::parse(text.trim()).map_err(|error| wrong(format!("is not a URL: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must not hold a user or password".to_owned()));
    }
    url.set_fragment(None);
    // What can be sent is narrower than what can be parsed.
    url.as_str()
        .parse::<Uri>()
        .map_err(|error| wrong(format!("cannot be requested: {error}")))?;
    Ok(url)
}

/// An address below another: what `base` has as its path stays, its query goes. Each part is escaped.
pub fn below(base: &Url, parts: &[&str]) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(parts);
    }
    url
}

/// A text on one line: trimmed, not empty, without control characters, at most so many characters.
pub fn line(pointer: &str, text: &str, chars_max: usize) -> Result<String, FieldError> {
    let text = text.trim();
    let wrong = if text.is_empty() {
        "is empty".to_owned()
    } else if text.chars().any(char::is_control) {
        "holds a line break or another control character".to_owned()
    } else if text.chars().count() > chars_max {
        format!("is longer than {chars_max} characters")
    } else {
        return Ok(text.to_owned());
    };
    Err(FieldError::new(pointer, wrong))
}

/// As [`line()`], for a field that may be left out.
pub fn optional(pointer: &str, text: Option<&str>, chars_max: usize) -> Result<Option<String>, FieldError> {
    text.map(|text| line(pointer, text, chars_max)).transpose()
}

/// A secret that a header carries as it is: trimmed and not empty. It is never printed.
pub fn key(pointer: &str, secret: &Secret) -> Result<HeaderValue, FieldError> {
    match secret.expose().trim() {
        "" => Err(FieldError::new(pointer, "is empty")),
        text => secret_value(text).map_err(|error| FieldError::new(pointer, error.to_string())),
    }
}

/// A list of texts, each as [`line()`] takes it; at most so many.
pub fn lines(
    pointer: &str,
    texts: &[String],
    count_max: usize,
    chars_max: usize,
) -> Result<Vec<String>, Vec<FieldError>> {
    if texts.len() > count_max {
        return Err(vec![FieldError::new(
            pointer,
            format!("has more than {count_max} entries"),
        )]);
    }
    let mut errors = Vec::new();
    let each = texts.iter().enumerate();
    let kept = each
        .filter_map(|(index, text)| keep(line(&format!("{pointer}/{index}"), text, chars_max), &mut errors))
        .collect();
    if errors.is_empty() { Ok(kept) } else { Err(errors) }
}

/// Keeps what is right and collects what is wrong, so that all of it can be said at once.
pub fn keep<T>(checked: Result<T, FieldError>, errors: &mut Vec<FieldError>) -> Option<T> {
    checked.map_err(|error| errors.push(error)).ok()
}

/// As [`keep`], where several things may be wrong.
pub fn keep_all<T>(checked: Result<T, Vec<FieldError>>, errors: &mut Vec<FieldError>) -> Option<T> {
    checked.map_err(|wrong| errors.extend(wrong)).ok()
}

#[cfg(test)]
mod tests;
