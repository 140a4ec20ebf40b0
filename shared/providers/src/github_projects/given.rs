//! What an owner gives, checked: address, owner, and what proves who we are.

use url::Url;

use crate::{FieldError, Secret, fields, http::Auth, tracker::Action};

/// Longest name of an owner, in characters.
const OWNER_CHARS_MAX: usize = 100;
/// The largest number that GraphQL has.
const NUMBER_MAX: u32 = i32::MAX as u32;

/// `…/graphql`. That of an Enterprise Server lies beside its other API, whose address many know.
pub(super) fn endpoint(base: &Url) -> Url {
    let path = base.path().trim_end_matches('/');
    if path.ends_with("/graphql") {
        return base.clone();
    }
    let mut api = base.clone();
    api.set_path(path.strip_suffix("/v3").unwrap_or(path));
    fields::below(&api, &["graphql"])
}

pub(super) fn owner(given: &str) -> Result<String, FieldError> {
    const POINTER: &str = "config/owner";
    let owner = fields::line(POINTER, given, OWNER_CHARS_MAX)?;
    if owner
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    {
        return Ok(owner);
    }
    Err(FieldError::new(
        POINTER,
        "is not the name of a user or an organization: take what follows github.com/orgs/ or github.com/users/ in the \
         address of the project",
    ))
}

pub(super) fn number(given: u32) -> Result<u32, FieldError> {
    match given {
        1..=NUMBER_MAX => Ok(given),
        _ => Err(FieldError::new(
            "config/project_number",
            "is not the number of a project: take what follows /projects/ in its address",
        )),
    }
}

pub(super) fn action(given: Option<Action>) -> Result<Option<Action>, FieldError> {
    match given {
        Some(Action::Comment | Action::CreateSubtask) => Err(FieldError::new(
            "config/action",
            "cannot be done: an item of a project has neither comments nor subtasks; take create, update_status or link",
        )),
        given => Ok(given),
    }
}

pub(super) fn auth(token: &Secret) -> Result<Auth, FieldError> {
    let wrong = |message: String| FieldError::new("credentials/token", message);
    match token.expose().trim() {
        "" => Err(wrong("is empty".to_owned())),
        token => Auth::bearer(&token.into()).map_err(|error| wrong(error.to_string())),
    }
}
