//! What an owner gives, checked: names, paths, states, and what proves who we are.

use url::Url;

use super::{Config, Prepared, StateMappings};
use crate::{
    FieldError, Secret, fields,
    http::Auth,
    tracker::{Action, Status},
};

/// Longest name of an organization or project, in characters: that of a server's collection.
const NAME_CHARS_MAX: usize = 64;
/// Longest name of a type or state, in characters.
const TYPE_CHARS_MAX: usize = 128;
/// Longest path of an area or iteration, in characters: 14 levels of 255.
const PATH_CHARS_MAX: usize = 4_000;
/// What no name of an organization or project holds.
const FORBIDDEN: [char; 9] = ['/', '\\', ':', '*', '?', '"', '<', '>', '|'];

/// Names, as requests hold them.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) organization: String,
    pub(super) project: String,
    pub(super) work_item_type: String,
    pub(super) subtask_type: String,
    pub(super) area_path: Option<String>,
    pub(super) iteration_path: Option<String>,
    pub(super) states: States,
}

/// Where a work item goes with a spec.
#[derive(Debug)]
pub(super) enum States {
    /// As its owner names them.
    Named(Box<[(Status, String)]>),
    /// By what every process calls the states of its types.
    ByCategory,
}

/// The state that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    /// That of this name.
    Named(&'a str),
    /// The first of this category, as the API writes it.
    First(&'static str),
}

impl States {
    /// The state of a status; `None` where it moves nothing.
    pub(super) fn of(&self, status: Status) -> Option<Wanted<'_>> {
        match (self, status) {
            (Self::Named(names), status) => {
                let (_, name) = names.iter().find(|(of, _)| *of == status)?;
                Some(Wanted::Named(name))
            }
            (Self::ByCategory, Status::Approved) => Some(Wanted::First("InProgress")),
            (Self::ByCategory, Status::Implemented) => Some(Wanted::First("Completed")),
            (Self::ByCategory, Status::Draft | Status::Review) => None,
        }
    }
}

/// All names of a config, or all that is wrong with them.
pub(super) fn of(config: &Config) -> Result<Given, Vec<FieldError>> {
    let mut errors = Vec::new();
    let organization = name(
        "config/organization",
        &config.organization,
        "is not the name of an organization: take what stands behind https://dev.azure.com/ up to the next /",
    );
    let organization = fields::keep(organization, &mut errors);
    let project = name(
        "config/project",
        &config.project,
        "is not the name of a project: it holds a character that none has",
    );
    let project = fields::keep(project, &mut errors);
    let mut kind = |pointer, given: &str| fields::keep(fields::line(pointer, given, TYPE_CHARS_MAX), &mut errors);
    let work_item_type = kind("config/work_item_type", &config.work_item_type);
    let subtask_type = kind("config/subtask_type", &config.subtask_type);
    let area_path = path("config/area_path", config.area_path.as_deref(), &mut errors);
    let iteration_path = path("config/iteration_path", config.iteration_path.as_deref(), &mut errors);
    let states = states(config.state_mappings.as_ref(), &mut errors);
    match (organization, project, work_item_type, subtask_type) {
        (Some(organization), Some(project), Some(work_item_type), Some(subtask_type)) if errors.is_empty() => {
            Ok(Given {
                organization,
                project,
                work_item_type,
                subtask_type,
                area_path,
                iteration_path,
                states,
            })
        }
        _ => Err(errors),
    }
}

fn name(pointer: &str, given: &str, otherwise: &str) -> Result<String, FieldError> {
    let name = fields::line(pointer, given, NAME_CHARS_MAX)?;
    // A part of an address that begins so might lead out of it.
    if name.starts_with('.') || name.contains(FORBIDDEN) {
        return Err(FieldError::new(pointer, otherwise));
    }
    Ok(name)
}

/// A path as Azure DevOps takes it: parted by `\`, and without one before the project.
fn path(pointer: &str, given: Option<&str>, errors: &mut Vec<FieldError>) -> Option<String> {
    let line = fields::keep(fields::optional(pointer, given, PATH_CHARS_MAX), errors).flatten()?;
    let path = line.replace('/', "\\");
    let path = path.trim_matches('\\');
    if path.is_empty() {
        errors.push(FieldError::new(pointer, "names nothing"));
        return None;
    }
    Some(path.to_owned())
}

fn states(given: Option<&StateMappings>, errors: &mut Vec<FieldError>) -> States {
    let Some(given) = given else {
        return States::ByCategory;
    };
    let each = [
        ("config/state_mappings/draft", Status::Draft, &given.draft),
        ("config/state_mappings/review", Status::Review, &given.review),
        ("config/state_mappings/approved", Status::Approved, &given.approved),
        (
            "config/state_mappings/implemented",
            Status::Implemented,
            &given.implemented,
        ),
    ];
    let named = each.into_iter().filter_map(|(pointer, status, name)| {
        let name = fields::optional(pointer, name.as_deref(), TYPE_CHARS_MAX);
        Some((status, fields::keep(name, errors).flatten()?))
    });
    States::Named(named.collect())
}

/// `https://dev.azure.com/your-org`. Many write the base with the organization already, and older addresses have it as a host.
pub(super) fn organization(base: &Url, name: &str) -> Url {
    let is_it = |part: &str| part.eq_ignore_ascii_case(name);
    let host = base.host_str().and_then(|host| host.strip_suffix(".visualstudio.com"));
    if host.is_some_and(is_it) {
        return fields::below(base, &[]);
    }
    let mut url = base.clone();
    let last = url
        .path_segments()
        .and_then(|mut parts| parts.rfind(|part| !part.is_empty()));
    if last.is_some_and(is_it)
        && let Ok(mut path) = url.path_segments_mut()
    {
        path.pop_if_empty().pop();
    }
    fields::below(&url, &[name])
}

/// The token as a password without a user.
pub(super) fn auth(pat: &Secret) -> Result<Auth, FieldError> {
    const POINTER: &str = "credentials/pat";
    let token = pat.expose().trim();
    if token.is_empty() {
        return Err(FieldError::new(POINTER, "is empty"));
    }
    if token.chars().any(|c| c.is_control() || c == ' ') {
        return Err(FieldError::new(
            POINTER,
            "holds a space or a line break: copy the token again",
        ));
    }
    Auth::basic("", &token.into()).map_err(|error| FieldError::new(POINTER, error.to_string()))
}

/// Paths that begin elsewhere, and states that nobody will see.
pub(super) fn warnings(prepared: &Prepared) -> Vec<FieldError> {
    let Given {
        project,
        area_path,
        iteration_path,
        states,
        ..
    } = &prepared.given;
    let mut warnings = Vec::new();
    // A project may be named by its id, and then its paths do not begin with that.
    let is_id = project.len() == 36 && project.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    for (pointer, path) in [
        ("config/area_path", area_path),
        ("config/iteration_path", iteration_path),
    ] {
        let first = path.as_deref().and_then(|path| path.split('\\').next());
        if first.is_some_and(|first| !is_id && first.to_lowercase() != project.to_lowercase()) {
            let message = "does not begin with the project, as paths do: your-project\\Team";
            warnings.push(FieldError::new(pointer, message));
        }
    }
    let moves = matches!(prepared.settings.action, None | Some(Action::UpdateStatus));
    if moves && matches!(states, States::Named(names) if names.is_empty()) {
        let message = "names no state: no work item is ever moved";
        warnings.push(FieldError::new("config/state_mappings", message));
    }
    warnings
}
