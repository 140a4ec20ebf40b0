//! Checks of config and credentials.

use signalbox_proto::integration::Template;

use super::{Act, Action, Config, Github, LABEL_CHARS_MAX, LABELS_MAX, dispatch::Workflow};
use crate::{FieldError, Provider, Secret, fields, http::Auth, template::Texts};

/// Longest name of an owner, and of a repository, in characters.
const NAME_CHARS_MAX: usize = 100;

pub(super) fn auth(token: &Secret) -> Result<Auth, FieldError> {
    let auth = match token.expose().trim() {
        "" => Err("is empty".to_owned()),
        token => Auth::bearer(&token.into()).map_err(|error| error.to_string()),
    };
    auth.map_err(|message| FieldError::new("credentials/token", message))
}

/// `acme/shop`, in its two parts.
pub(super) fn repository(given: &str) -> Result<(String, String), FieldError> {
    let fits = |part: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        (1..=NAME_CHARS_MAX).contains(&part.len()) && part.chars().all(known) && !matches!(part, "." | "..")
    };
    match given.trim().split_once('/') {
        Some((owner, name)) if fits(owner) && fits(name) => Ok((owner.to_owned(), name.to_owned())),
        _ => Err(FieldError::new(
            "config/repo",
            "is not a repository: write owner/name, such as acme/shop",
        )),
    }
}

/// The owner's text of the config, in the same language as a template.
pub(super) fn body(given: Option<&str>) -> Result<Option<Texts>, Vec<FieldError>> {
    let Some(body) = given else { return Ok(None) };
    let template = Template {
        title: None,
        body: Some(body.to_owned()),
    };
    let texts = Texts::read(&template, Github::NAME, Github::TEMPLATE);
    texts.map(Some).map_err(|wrong| {
        let in_config = wrong
            .into_iter()
            .map(|error| FieldError::new("config/body", error.message));
        in_config.collect()
    })
}

pub(super) fn act(config: Config) -> Result<Act, Vec<FieldError>> {
    match config.action.unwrap_or(Action::CreateIssue) {
        Action::CreateIssue => {
            // One more may be added.
            let labels = fields::lines("config/labels", &config.labels, LABELS_MAX - 1, LABEL_CHARS_MAX)?;
            Ok(Act::Issue { labels })
        }
        Action::CreateComment => match config.issue_number {
            Some(0) => Err(vec![FieldError::new("config/issue_number", "is no number of an issue")]),
            number => Ok(Act::Comment { number }),
        },
        Action::TriggerWorkflow => Workflow::of(
            config.workflow_id.as_deref(),
            config.git_ref.as_deref(),
            config.delivery_input.as_deref(),
        )
        .map(Act::Run),
    }
}

/// Fields that the action does not use.
pub(super) fn without_effect(config: &Config) -> Vec<FieldError> {
    let action = config.action.unwrap_or(Action::CreateIssue);
    let given: [(&str, bool, &[Action]); 6] = [
        ("labels", !config.labels.is_empty(), &[Action::CreateIssue]),
        ("issue_number", config.issue_number.is_some(), &[Action::CreateComment]),
        ("workflow_id", config.workflow_id.is_some(), &[Action::TriggerWorkflow]),
        ("ref", config.git_ref.is_some(), &[Action::TriggerWorkflow]),
        (
            "delivery_input",
            config.delivery_input.is_some(),
            &[Action::TriggerWorkflow],
        ),
        (
            "body",
            config.body.is_some(),
            &[Action::CreateIssue, Action::CreateComment],
        ),
    ];
    let unused = given
        .into_iter()
        .filter(|(_, is_given, of)| *is_given && !of.contains(&action));
    unused
        .map(|(name, ..)| FieldError::new(format!("config/{name}"), "has no effect with this action"))
        .collect()
}
