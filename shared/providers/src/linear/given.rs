//! What an owner gives, checked: address, team, and what proves who we are.

use url::Url;
use uuid::Uuid;

use super::{NAME_CHARS_MAX, Team};
use crate::{FieldError, Secret, fields, http::Auth};

/// How tokens of OAuth begin. A personal key is sent as it is, and refused behind a word.
const OAUTH: &str = "lin_oauth_";

/// `…/graphql`. Many write the base with that already.
pub(super) fn endpoint(base: &Url) -> Url {
    match base.path().trim_end_matches('/').ends_with("/graphql") {
        true => base.clone(),
        false => fields::below(base, &["graphql"]),
    }
}

pub(super) fn team(given: &str) -> Result<Team, FieldError> {
    const POINTER: &str = "config/team_id";
    let text = fields::line(POINTER, given, NAME_CHARS_MAX)?;
    if let Ok(id) = Uuid::parse_str(&text) {
        return Ok(Team::Id(id.hyphenated().to_string()));
    }
    if text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_')) {
        return Ok(Team::Key(text));
    }
    Err(FieldError::new(
        POINTER,
        "is neither the id of a team nor its key: take the letters before the number of one of its issues, such as ENG",
    ))
}

pub(super) fn auth(key: &Secret) -> Result<Auth, FieldError> {
    let wrong = |message: String| FieldError::new("credentials/api_key", message);
    let text = key.expose().trim();
    if text.is_empty() {
        return Err(wrong("is empty".to_owned()));
    }
    if text.contains(char::is_whitespace) {
        return Err(wrong(
            "holds a space or a line break: give the key alone, without Bearer".to_owned(),
        ));
    }
    let secret = text.into();
    let auth = if text.starts_with(OAUTH) {
        Auth::bearer(&secret)
    } else {
        Auth::header(&secret)
    };
    auth.map_err(|error| wrong(error.to_string()))
}
