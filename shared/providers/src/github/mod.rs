#![doc = include_str!("README.md")]

mod answers;
mod checks;
mod comment;
mod dispatch;
mod issue;

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

use self::dispatch::Workflow;
use crate::{
    Exchange, FieldError, Kind, Limits, Provider, Request, Secret, Step, Target, Text, fields,
    http::{self, Auth, Response},
    markdown,
    once::listed,
    template::{Markup, Takes, Texts},
    things::{Keeps, Known, Move, Thing},
};

/// Where the API is, unless `base_url` says otherwise.
pub const BASE_URL: &str = "https://api.github.com";
/// Most labels of an issue, one of which may be [`CRITICAL`].
pub const LABELS_MAX: usize = 100;
/// Longest label, in characters.
pub const LABEL_CHARS_MAX: usize = 50;
/// Longest body of an issue or a comment, in characters.
pub const BODY_CHARS_MAX: usize = 65_536;
/// The label of what is critical.
const CRITICAL: &str = "critical";
/// Longest body that a template makes, in bytes: with the mark before it, it fits whatever it holds.
const TEMPLATE_BYTES_MAX: usize = 65_000;
/// Where the API is: GitHub's own, and that of an enterprise with data residency.
const HOSTS: &[&str] = &["api.github.com", "*.ghe.com"];
/// Longest branch or tag, in characters.
const REF_CHARS_MAX: usize = 255;
/// The version of the API that is asked for.
const VERSION: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-github-api-version"),
    HeaderValue::from_static("2022-11-28"),
);
const TAKES_JSON: (HeaderName, HeaderValue) = (ACCEPT, HeaderValue::from_static("application/vnd.github+json"));

/// A repository of GitHub: its issues, or one of its workflows.
pub struct Github;

/// What is done, and in which repository.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The repository, as owner/name.
    #[schemars(example = &"acme/shop")]
    repo: String,
    /// What each event becomes: an issue, a comment on an issue or pull request, or a run of a workflow. Default:
    /// create_issue.
    #[serde(default)]
    #[schemars(example = Action::CreateIssue)]
    action: Option<Action>,
    /// Labels of each issue; the label critical is added at that severity. With action: create_issue.
    #[serde(default)]
    #[schemars(length(max = 99), example = ["signalbox"])]
    labels: Vec<String>,
    /// The issue or pull request that is commented on where the event names none. With action: create_comment.
    #[serde(default)]
    #[schemars(range(min = 1), example = 42)]
    issue_number: Option<u32>,
    /// The workflow: the name of its file, or its id. Needed with action: trigger_workflow.
    #[serde(default)]
    #[schemars(example = &"deploy.yml")]
    workflow_id: Option<String>,
    /// The branch or tag whose workflow runs. With action: trigger_workflow. Default: main.
    #[serde(default, rename = "ref")]
    #[schemars(example = &"main")]
    git_ref: Option<String>,
    /// An input of the workflow that takes the id of the delivery. Where the workflow shows it in its run-name, a run whose
    /// answer was lost is found again. With action: trigger_workflow.
    #[serde(default)]
    #[schemars(example = &"signalbox_delivery")]
    delivery_input: Option<String>,
    /// The text of issues and comments instead of the usual one, in Markdown, with the placeholders of a template.
    #[serde(default)]
    #[schemars(example = &"{{ event.title }}: {{ event.data.message }}")]
    body: Option<String>,
    /// Where the API is: for Enterprise Server `https://HOST/api/v3`; for proxies and tests. Default:
    /// <https://api.github.com>.
    #[serde(default)]
    #[schemars(example = &"https://github.example.com/api/v3")]
    base_url: Option<String>,
}

/// What an event becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// An issue.
    CreateIssue,
    /// A comment on an issue or a pull request.
    CreateComment,
    /// A run of a workflow.
    TriggerWorkflow,
}

/// What lets requests in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// A personal access token, best a fine-grained one for this repository: Issues with write access, or Actions with
    /// write access for workflows.
    #[schemars(example = &"github_pat_…")]
    token: Secret,
}

/// What every request of an integration shares.
pub struct Prepared {
    base: Url,
    owner: String,
    name: String,
    auth: Auth,
    act: Act,
    /// The owner's text of `body`.
    body: Option<Texts>,
    warnings: Vec<FieldError>,
}

/// What is done.
#[derive(Debug)]
enum Act {
    Issue { labels: Vec<String> },
    Comment { number: Option<u32> },
    Run(Workflow),
}

impl Provider for Github {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "github";
    const DESCRIPTION: &'static str = "Creates issues and comments in a GitHub repository, or runs a workflow";
    const DOCS: &'static str = "https://docs.github.com/en/rest/issues/issues";
    const KIND: Kind = Kind::CiCd;
    const ACTIONS: &'static [&'static str] = &["create_issue", "create_comment", "trigger_workflow"];
    // GitHub bears about 80 a minute of what makes something, and 500 an hour.
    const LIMITS: Limits = Limits { per_minute: Some(60) };
    const TEMPLATE: Takes = Takes {
        title: true,
        body_bytes_max: TEMPLATE_BYTES_MAX,
        markup: Markup::Escaped(markdown::value),
    };
    const KEEPS: Option<Keeps<Self>> = Some(Keeps { thing, go_on });

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let mut errors = Vec::new();
        let warnings = checks::without_effect(&config);
        let base = fields::keep(
            fields::url("config/base_url", config.base_url.as_deref().unwrap_or(BASE_URL)),
            &mut errors,
        );
        let repo = fields::keep(checks::repository(&config.repo), &mut errors);
        let auth = fields::keep(checks::auth(&credentials.token), &mut errors);
        let body = fields::keep_all(checks::body(config.body.as_deref()), &mut errors);
        let act = fields::keep_all(checks::act(config), &mut errors);
        match (base, repo, auth, body, act) {
            (Some(base), Some((owner, name)), Some(auth), Some(body), Some(act)) => Ok(Prepared {
                base,
                owner,
                name,
                auth,
                act,
                body,
                warnings,
            }),
            _ => Err(errors),
        }
    }

    fn urls(prepared: &Prepared) -> Vec<(&'static str, &Url)> {
        vec![("config/base_url", &prepared.base)]
    }

    fn hosts(_pointer: &str) -> &'static [&'static str] {
        HOSTS
    }

    fn warnings(prepared: &Prepared) -> Vec<FieldError> {
        prepared.warnings.clone()
    }

    /// As [`go_on`] goes where nothing is in doubt.
    fn next(target: &Target<Self>, delivery: &Delivery, text: &Text, so_far: &[Exchange], now: Timestamp) -> Step {
        match so_far.last() {
            None => match making(target, delivery, text, true) {
                Ok(request) => Step::Send(Request::Http(request)),
                Err(outcome) => Step::Done(outcome),
            },
            Some(exchange) => Step::Done(match &target.prepared.act {
                Act::Issue { .. } => answers::made(&exchange.response, issue::told, now),
                Act::Comment { .. } => answers::made(&exchange.response, comment::told, now),
                Act::Run(_) => answers::made(&exchange.response, dispatch::told, now),
            }),
        }
    }

    fn request(target: &Target<Self>, delivery: &Delivery, text: &Text, _now: Timestamp) -> Request {
        let request = making(target, delivery, text, true);
        Request::Http(request.expect("who asks for a request has seen in `next` that there is one"))
    }

    /// Of a probe.
    fn classify(response: &Response, now: Timestamp) -> Outcome {
        answers::probed(response, now)
    }

    /// Reads the repository, as whoever writes to it may.
    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        Some(Request::Http(target.prepared.get(&[], &[])))
    }

    fn made_up(_target: &Target<Self>, request: &Request) -> Response {
        answers::made_up(request)
    }
}

/// Each delivery makes something of its own.
fn thing(_: &Target<Github>, _: &Delivery) -> Thing {
    Thing::Own
}

fn go_on(target: &Target<Github>, delivery: &Delivery, text: &Text, known: &Known<'_>, now: Timestamp) -> Move {
    match &target.prepared.act {
        Act::Issue { .. } => issue::go_on(target, delivery, text, known, now),
        Act::Comment { number } => comment::go_on(target, *number, delivery, text, known, now),
        Act::Run(workflow) => dispatch::go_on(target, workflow, delivery, known, now),
    }
}

/// The request that makes what the delivery becomes, or why there is none.
fn making(
    target: &Target<Github>,
    delivery: &Delivery,
    text: &Text,
    with_details: bool,
) -> Result<http::Request, Outcome> {
    match &target.prepared.act {
        Act::Issue { labels } => issue::creation(target, labels, delivery, text),
        Act::Comment { number } => comment::creation(target, *number, delivery, text),
        Act::Run(workflow) => Ok(dispatch::request(target, workflow, delivery, with_details)),
    }
}

/// An issue or a comment in a list, as far as it was read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Listed {
    id: Option<u64>,
    number: Option<u64>,
    html_url: Option<String>,
    #[serde(deserialize_with = "listed::when")]
    created_at: Option<Timestamp>,
    body: Option<String>,
}

impl Prepared {
    /// An address of the repository.
    fn url(&self, parts: &[&str]) -> Url {
        let below = ["repos", self.owner.as_str(), self.name.as_str()];
        let all: Vec<&str> = below.into_iter().chain(parts.iter().copied()).collect();
        fields::below(&self.base, &all)
    }

    fn get(&self, parts: &[&str], query: &[(&str, &str)]) -> http::Request {
        let mut url = self.url(parts);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.request(Method::GET, url, HeaderMap::new(), Bytes::new())
    }

    fn post(&self, parts: &[&str], body: &impl Serialize) -> http::Request {
        let body = serde_json::to_vec(body).expect("texts and numbers are written to memory");
        let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.request(Method::POST, self.url(parts), HeaderMap::from_iter([json]), body.into())
    }

    fn request(&self, method: Method, url: Url, mut headers: HeaderMap, body: Bytes) -> http::Request {
        headers.extend([TAKES_JSON, VERSION]);
        http::Request {
            method,
            url,
            headers,
            body,
            auth: self.auth.clone(),
            identity: None,
        }
    }

    /// The body of an issue or a comment: the template's, else that of the config, else the usual one, behind the mark.
    fn text(
        &self,
        target: &Target<Github>,
        delivery: &Delivery,
        text: &Text,
        usual: impl FnOnce() -> String,
    ) -> Result<String, Outcome> {
        let given = |body: &String| !body.trim().is_empty();
        if let Some(body) = text.body.as_ref().filter(|body| given(body)) {
            return Ok(markdown::marked(delivery, body));
        }
        let Some(texts) = &self.body else {
            return Ok(markdown::marked(delivery, &usual()));
        };
        let rendered = texts.render(delivery, &target.about).map_err(|why| Outcome::Reject {
            reason: signalbox_proto::outcome::reason(&format!("config.body: {why}")),
        })?;
        let body = rendered.body.filter(given);
        Ok(markdown::marked(delivery, &body.unwrap_or_else(usual)))
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("host", &self.base.host_str())
            .field("owner", &self.owner)
            .field("name", &self.name)
            .field("act", &self.act)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
