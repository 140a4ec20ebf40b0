#![doc = include_str!("README.md")]

mod answers;
mod issue;
mod pipeline;

use std::fmt;

use ::http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{ACCEPT, CONTENT_TYPE},
};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use signalbox_proto::{Delivery, Outcome, Timestamp};
use url::Url;

use self::pipeline::Pipeline;
use crate::{
    Exchange, FieldError, Kind, Limits, Provider, Request, Secret, Step, Target, Text, fields,
    http::{self, Auth, Response},
    markdown,
    template::{Markup, Takes},
    things::{Keeps, Known, Move, Thing},
};

/// Where the API is, unless `base_url` says otherwise.
pub const BASE_URL: &str = "https://gitlab.com";
/// Most labels of an issue, one of which may be [`CRITICAL`].
pub const LABELS_MAX: usize = 100;
/// Longest label, in characters.
pub const LABEL_CHARS_MAX: usize = 255;
/// The label of what is critical.
const CRITICAL: &str = "critical";
/// Longest text of an issue that a template makes, in bytes: GitLab takes a million characters.
const TEMPLATE_BYTES_MAX: usize = 256 * 1024;
/// Longest path of a project, in characters.
const PROJECT_CHARS_MAX: usize = 255;
const TOKEN: HeaderName = HeaderName::from_static("private-token");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A project of GitLab: its pipelines, or its issues.
pub struct Gitlab;

/// What is done, and in which project.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The project: its path, as group/name, or its id.
    #[schemars(example = &"acme/shop")]
    project: String,
    /// What each event becomes: a pipeline, or an issue. Default: trigger_pipeline.
    #[serde(default)]
    #[schemars(example = Action::TriggerPipeline)]
    action: Option<Action>,
    /// The branch or tag that the pipeline runs for. With action: trigger_pipeline. Default: main.
    #[serde(default, rename = "ref")]
    #[schemars(example = &"main")]
    git_ref: Option<String>,
    /// Labels of each issue; the label critical is added at that severity. With action: create_issue.
    #[serde(default)]
    #[schemars(length(max = 99), example = ["signalbox"])]
    labels: Vec<String>,
    /// Where GitLab is, without /api/v4. Default: <https://gitlab.com>.
    #[serde(default)]
    #[schemars(example = &"https://gitlab.example.com")]
    base_url: Option<String>,
}

/// What an event becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// A pipeline.
    TriggerPipeline,
    /// An issue.
    CreateIssue,
}

/// What lets requests in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// A project, group or personal access token with the scope api. Needed for issues; for pipelines either this, or
    /// trigger_token, or both: then this one only looks.
    #[serde(default)]
    #[schemars(example = &"glpat-…")]
    token: Option<Secret>,
    /// A pipeline trigger token of the project. With action: trigger_pipeline.
    #[serde(default)]
    #[schemars(example = &"glptt-…")]
    trigger_token: Option<Secret>,
}

/// What every request of an integration shares.
pub struct Prepared {
    base: Url,
    /// The address of the project in the API.
    project: Url,
    token: Option<HeaderValue>,
    act: Act,
    warnings: Vec<FieldError>,
}

/// What is done.
#[derive(Debug)]
enum Act {
    Run(Pipeline),
    Issue { labels: Vec<String> },
}

impl Provider for Gitlab {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "gitlab";
    const DESCRIPTION: &'static str = "Runs pipelines of a GitLab project, or creates issues in it";
    const DOCS: &'static str = "https://docs.gitlab.com/api/pipeline_triggers/";
    const KIND: Kind = Kind::CiCd;
    const ACTIONS: &'static [&'static str] = &["trigger_pipeline", "create_issue"];
    const LIMITS: Limits = Limits { per_minute: Some(60) };
    const TEMPLATE: Takes = Takes {
        title: true,
        body_bytes_max: TEMPLATE_BYTES_MAX,
        markup: Markup::Escaped(markdown::value),
    };
    const KEEPS: Option<Keeps<Self>> = Some(Keeps { thing, go_on });

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let mut errors = Vec::new();
        let warnings = without_effect(&config, &credentials);
        let base = fields::keep(
            fields::url("config/base_url", config.base_url.as_deref().unwrap_or(BASE_URL)),
            &mut errors,
        );
        let project = fields::keep(project(&config.project), &mut errors);
        let token = credentials
            .token
            .as_ref()
            .map(|token| fields::key("credentials/token", token));
        let token = fields::keep(token.transpose(), &mut errors);
        let act = fields::keep_all(act(&config, &credentials), &mut errors);
        match (base, project, token, act) {
            (Some(base), Some(project), Some(token), Some(act)) => Ok(Prepared {
                project: api(&base, &project),
                base,
                token,
                act,
                warnings,
            }),
            _ => Err(errors),
        }
    }

    fn urls(prepared: &Prepared) -> Vec<(&'static str, &Url)> {
        vec![("config/base_url", &prepared.base)]
    }

    fn warnings(prepared: &Prepared) -> Vec<FieldError> {
        prepared.warnings.clone()
    }

    /// As [`go_on`] goes where nothing is in doubt.
    fn next(target: &Target<Self>, delivery: &Delivery, text: &Text, so_far: &[Exchange], now: Timestamp) -> Step {
        match so_far.last() {
            None => Step::Send(Self::request(target, delivery, text, now)),
            Some(exchange) => Step::Done(match &target.prepared.act {
                Act::Run(_) => answers::made(&exchange.response, pipeline::told, now),
                Act::Issue { .. } => answers::made(&exchange.response, issue::told, now),
            }),
        }
    }

    fn request(target: &Target<Self>, delivery: &Delivery, text: &Text, _now: Timestamp) -> Request {
        Request::Http(match &target.prepared.act {
            Act::Run(pipeline) => pipeline::request(target, pipeline, delivery),
            Act::Issue { labels } => issue::request(target, labels, delivery, text),
        })
    }

    /// Of a probe.
    fn classify(response: &Response, now: Timestamp) -> Outcome {
        answers::probed(response, now)
    }

    /// Reads the project. A trigger token alone can read nothing.
    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        let prepared = &target.prepared;
        prepared.token.as_ref()?;
        Some(Request::Http(prepared.get(&[], &[])))
    }

    fn made_up(_target: &Target<Self>, request: &Request) -> Response {
        answers::made_up(request)
    }
}

/// Each delivery makes something of its own.
fn thing(_: &Target<Gitlab>, _: &Delivery) -> Thing {
    Thing::Own
}

fn go_on(target: &Target<Gitlab>, delivery: &Delivery, text: &Text, known: &Known<'_>, now: Timestamp) -> Move {
    match &target.prepared.act {
        Act::Run(pipeline) => pipeline::go_on(target, pipeline, delivery, known, now),
        Act::Issue { labels } => issue::go_on(target, labels, delivery, text, known, now),
    }
}

impl Prepared {
    fn get(&self, parts: &[&str], query: &[(&str, &str)]) -> http::Request {
        let mut url = fields::below(&self.project, parts);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.request(Method::GET, url, HeaderMap::new(), Bytes::new())
    }

    fn post(&self, parts: &[&str], body: &impl Serialize) -> http::Request {
        let body = serde_json::to_vec(body).expect("texts and numbers are written to memory");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, JSON)]);
        self.request(Method::POST, fields::below(&self.project, parts), headers, body.into())
    }

    fn request(&self, method: Method, url: Url, mut headers: HeaderMap, body: Bytes) -> http::Request {
        headers.insert(ACCEPT, JSON);
        headers.extend(self.token.clone().map(|token| (TOKEN, token)));
        http::Request {
            method,
            url,
            headers,
            body,
            auth: Auth::None,
            identity: None,
        }
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("host", &self.base.host_str())
            .field("project", &self.project.path())
            .field("act", &self.act)
            .finish_non_exhaustive()
    }
}

/// The address of a project in the API. Its path is one part, whose slashes are escaped. Many write the base with the API's
/// own path already.
fn api(base: &Url, project: &str) -> Url {
    let path = base.path().trim_end_matches('/');
    let path = path.strip_suffix("/api/v4").unwrap_or(path).to_owned();
    let mut base = base.clone();
    base.set_path(&path);
    fields::below(&base, &["api", "v4", "projects", project])
}

/// The path or the id of a project.
fn project(given: &str) -> Result<String, FieldError> {
    let project = given.trim().trim_matches('/');
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let fits = |part: &str| !part.is_empty() && part.chars().all(known) && !matches!(part, "." | "..");
    let is_id = !project.is_empty() && project.bytes().all(|byte| byte.is_ascii_digit());
    let is_path = project.contains('/') && project.split('/').all(fits);
    if (is_id || is_path) && project.len() <= PROJECT_CHARS_MAX {
        return Ok(project.to_owned());
    }
    Err(FieldError::new(
        "config/project",
        "is not a project: write its path with the group, such as acme/shop, or its id",
    ))
}

fn act(config: &Config, credentials: &Credentials) -> Result<Act, Vec<FieldError>> {
    match config.action.unwrap_or(Action::TriggerPipeline) {
        Action::TriggerPipeline => Pipeline::of(config.git_ref.as_deref(), credentials).map(Act::Run),
        Action::CreateIssue => {
            let mut errors = Vec::new();
            if credentials.token.is_none() {
                let message = "is missing: an issue is created with an access token";
                errors.push(FieldError::new("credentials/token", message));
            }
            // One more may be added.
            let labels = fields::lines("config/labels", &config.labels, LABELS_MAX - 1, LABEL_CHARS_MAX);
            let labels = fields::keep_all(labels, &mut errors).unwrap_or_default();
            // They are sent as one text.
            let parted = labels.iter().enumerate().filter(|(_, label)| label.contains(','));
            let parted = parted.map(|(index, _)| FieldError::new(format!("config/labels/{index}"), "holds a comma"));
            errors.extend(parted);
            if errors.is_empty() {
                Ok(Act::Issue { labels })
            } else {
                Err(errors)
            }
        }
    }
}

/// Fields that the action does not use.
fn without_effect(config: &Config, credentials: &Credentials) -> Vec<FieldError> {
    let (unused, pointers) = match config.action.unwrap_or(Action::TriggerPipeline) {
        Action::TriggerPipeline => (vec![!config.labels.is_empty()], vec!["config/labels"]),
        Action::CreateIssue => (
            vec![config.git_ref.is_some(), credentials.trigger_token.is_some()],
            vec!["config/ref", "credentials/trigger_token"],
        ),
    };
    let given = unused.into_iter().zip(pointers).filter(|(is_given, _)| *is_given);
    given
        .map(|(_, pointer)| FieldError::new(pointer, "has no effect with this action"))
        .collect()
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
