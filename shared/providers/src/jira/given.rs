//! What an owner gives, checked: addresses, keys, ids, and what proves who we are.

use url::Url;

use super::{Credentials, NAME_CHARS_MAX};
use crate::{FieldError, fields, http::Auth};

/// Longest key of a project, in characters: what Jira lets an administrator allow.
const KEY_CHARS_MAX: usize = 255;

/// `…/rest/api/3`. Many write the base with a part of that already.
pub(super) fn api(base: &Url) -> Url {
    let path = base.path().trim_end_matches('/');
    let path = ["/rest/api/3", "/rest/api/2", "/rest/api", "/rest", "/jira"]
        .iter()
        .find_map(|end| path.strip_suffix(end))
        .unwrap_or(path);
    let mut url = base.clone();
    url.set_path(&format!("{path}/rest/api/3"));
    url.set_query(None);
    url
}

pub(super) fn project_key(given: &str) -> Result<String, FieldError> {
    const POINTER: &str = "config/project_key";
    let key = fields::line(POINTER, given, KEY_CHARS_MAX)?;
    let fits = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if fits {
        return Ok(key.to_ascii_uppercase());
    }
    Err(FieldError::new(
        POINTER,
        "is not the key of a project: take the letters before the number of one of its issues, such as PROJ",
    ))
}

pub(super) fn custom_field(pointer: &str, given: &str) -> Result<String, FieldError> {
    let field = given.trim();
    let number = field.strip_prefix("customfield_").unwrap_or_default();
    let fits = (1..=18).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    if fits {
        return Ok(field.to_owned());
    }
    Err(FieldError::new(
        pointer,
        "is not the id of a custom field, such as customfield_10001",
    ))
}

pub(super) fn auth(credentials: &Credentials) -> Result<Auth, Vec<FieldError>> {
    let mut errors = Vec::new();
    let email = fields::keep(
        fields::line("credentials/email", &credentials.email, NAME_CHARS_MAX),
        &mut errors,
    );
    // A user name ends at its first colon.
    let email = email.filter(|email| {
        let fits = email.contains('@') && !email.contains([':', ' ']);
        if !fits {
            errors.push(FieldError::new("credentials/email", "is not an e-mail address"));
        }
        fits
    });
    let token = credentials.api_token.expose().trim();
    if token.is_empty() {
        errors.push(FieldError::new("credentials/api_token", "is empty"));
    } else if token.chars().any(|c| c.is_control() || c == ' ') {
        errors.push(FieldError::new(
            "credentials/api_token",
            "holds a space or a line break: copy the token again",
        ));
    }
    match email {
        Some(email) if errors.is_empty() => Auth::basic(&email, &token.into())
            .map_err(|error| vec![FieldError::new("credentials/api_token", error.to_string())]),
        _ => Err(errors),
    }
}
