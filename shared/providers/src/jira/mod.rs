#![doc = include_str!("README.md")]

mod answers;
mod document;
mod given;
mod issue;
mod look;
mod state;

use std::{fmt, time::Duration};

use ::http::{
    HeaderMap, HeaderValue, Method,
    header::{ACCEPT, CONTENT_TYPE},
};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use signalbox_proto::{Delivery, Outcome, Timestamp};
use url::Url;

use crate::{
    FieldError, Kind, Limits, Provider, Request, Secret, Target, Text, fields,
    http::{self, Auth, Response},
    template::{Markup, Takes},
    things::{Keeps, Known, Move},
    tracker::{self, Action, Change, Changing, Did, Job, Looking, Made, Settings, Status, Tracker, What},
};

/// Longest name of an issue type, a transition or a state, in characters.
const NAME_CHARS_MAX: usize = 255;
/// Where Jira Cloud is: a site, and the gateway for tokens with scopes.
const HOSTS: &[&str] = &["*.atlassian.net", "api.atlassian.com"];
/// What the search does not find yet, mostly for seconds and sometimes for minutes as Atlassian says, and a request that we no
/// longer wait for.
const SEARCH_LAG: Duration = Duration::from_secs(180);
/// The list of comments shows what is stored: this is for the request alone.
const LIST_LAG: Duration = Duration::from_secs(30);

/// Issues of a Jira Cloud project.
pub struct Jira;

/// Which issues are made, and how they move.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address of the site; with a token that has scopes api.atlassian.com/ex/jira/ and the cloud id.
    #[schemars(example = &"https://your-domain.atlassian.net")]
    base_url: String,
    /// The key of the project, as issues begin with it.
    #[schemars(example = &"PROJ")]
    project_key: String,
    /// The type of new issues, by its name or id.
    #[serde(default = "story")]
    issue_type: String,
    /// The transition to follow when a spec is approved: its id, its name, or the name of the state that it leads to.
    #[serde(default)]
    #[schemars(example = &"21")]
    transition_on_approve: Option<String>,
    /// The transition to follow when a spec is implemented or an alert is resolved, given in the same way.
    #[serde(default)]
    #[schemars(example = &"31")]
    transition_on_implement: Option<String>,
    /// Fields of Jira's that are filled with what a spec says.
    #[serde(default)]
    field_mappings: FieldMappings,
    /// Whether each acceptance criterion of a spec becomes a subtask.
    #[serde(default)]
    create_subtasks: bool,
    /// Whether pull requests are linked to the issue.
    #[serde(default = "yes")]
    link_pr: bool,
    /// One thing to do for every event. Left out: what follows from the event's type.
    #[serde(default)]
    action: Option<Action>,
}

/// Fields of Jira's, each as customfield_10001.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldMappings {
    /// Gets the id of the spec: a field of short text.
    #[serde(default)]
    #[schemars(example = &"customfield_10001")]
    spec_id: Option<String>,
    /// Gets the acceptance criteria: a field of paragraphs.
    #[serde(default)]
    #[schemars(example = &"customfield_10002")]
    acceptance_criteria: Option<String>,
}

/// Whose issues they are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The e-mail address of the account that has the token.
    #[schemars(example = &"bot@example.com")]
    email: String,
    /// An API token of that account.
    api_token: Secret,
}

fn story() -> String {
    "Story".to_owned()
}

const fn yes() -> bool {
    true
}

/// What every request of an integration shares.
pub struct Prepared {
    base: Url,
    /// `…/rest/api/3`
    api: Url,
    auth: Auth,
    project_key: String,
    issue_type: String,
    on_approve: Option<String>,
    on_implement: Option<String>,
    spec_id: Option<String>,
    acceptance_criteria: Option<String>,
    settings: Settings,
}

impl Provider for Jira {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "jira";
    const DESCRIPTION: &'static str = "Makes and moves issues of a Jira Cloud project";
    const DOCS: &'static str = "https://developer.atlassian.com/cloud/jira/platform/rest/v3/intro/";
    const KIND: Kind = Kind::Ticketing;
    const ACTIONS: &'static [&'static str] = tracker::ACTIONS;
    const LIMITS: Limits = Limits { per_minute: Some(60) };
    const TEMPLATE: Takes = Takes::texts(Markup::Plain);
    const KEEPS: Option<Keeps<Self>> = Some(tracker::keeps());

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let mut errors = Vec::new();
        let base = fields::keep(fields::url("config/base_url", &config.base_url), &mut errors);
        let project_key = fields::keep(given::project_key(&config.project_key), &mut errors);
        let issue_type = fields::line("config/issue_type", &config.issue_type, NAME_CHARS_MAX);
        let issue_type = fields::keep(issue_type, &mut errors);
        let mut transition = |pointer, given: &Option<String>| {
            fields::keep(fields::optional(pointer, given.as_deref(), NAME_CHARS_MAX), &mut errors).flatten()
        };
        let on_approve = transition("config/transition_on_approve", &config.transition_on_approve);
        let on_implement = transition("config/transition_on_implement", &config.transition_on_implement);
        let mut custom = |pointer, given: &Option<String>| {
            let field = given
                .as_deref()
                .map(|given| given::custom_field(pointer, given))
                .transpose();
            fields::keep(field, &mut errors).flatten()
        };
        let mapped = &config.field_mappings;
        let spec_id = custom("config/field_mappings/spec_id", &mapped.spec_id);
        let criteria = custom("config/field_mappings/acceptance_criteria", &mapped.acceptance_criteria);
        let auth = fields::keep_all(given::auth(&credentials), &mut errors);
        match (base, project_key, issue_type, auth) {
            (Some(base), Some(project_key), Some(issue_type), Some(auth)) if errors.is_empty() => Ok(Prepared {
                api: given::api(&base),
                base,
                auth,
                project_key,
                issue_type,
                on_approve,
                on_implement,
                spec_id,
                acceptance_criteria: criteria,
                settings: Settings {
                    action: config.action,
                    create_subtasks: config.create_subtasks,
                    link_pr: config.link_pr,
                },
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

    fn auth(prepared: &Prepared) -> &Auth {
        &prepared.auth
    }

    fn warnings(prepared: &Prepared) -> Vec<FieldError> {
        let moves = matches!(prepared.settings.action, None | Some(Action::UpdateStatus));
        let message = "is not given, nor is transition_on_implement: no issue is ever moved";
        match (&prepared.on_approve, &prepared.on_implement) {
            (None, None) if moves => vec![FieldError::new("config/transition_on_approve", message)],
            _ => Vec::new(),
        }
    }

    /// The search with which every new thing begins.
    fn request(target: &Target<Self>, _delivery: &Delivery, _text: &Text, _now: Timestamp) -> Request {
        issue::search(target, "")
    }

    /// Of a probe.
    fn classify(response: &Response, now: Timestamp) -> Outcome {
        answers::permissions(response, now)
    }

    /// Whether the account may see the project and make issues in it: one request tells both, and whether it is let in.
    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        Some(permissions(target))
    }

    fn made_up(target: &Target<Self>, request: &Request) -> Response {
        answers::made_up(&target.prepared, request)
    }
}

impl Tracker for Jira {
    fn lag(what: What<'_>) -> Duration {
        match what {
            What::Issue | What::Subtask(_) => SEARCH_LAG,
            What::Comment => LIST_LAG,
        }
    }

    fn settings(prepared: &Prepared) -> Settings {
        prepared.settings
    }

    fn has_state(prepared: &Prepared, status: Status) -> bool {
        prepared.transition(status).is_some()
    }

    fn ready(target: &Target<Self>, job: &Job<'_>, known: &Known<'_>, now: Timestamp) -> Option<Move> {
        matches!(job.what, What::Subtask(_))
            .then(|| issue::subtask_type(target, known, now))
            .flatten()
    }

    fn look(target: &Target<Self>, job: &Job<'_>) -> Request {
        match job.what {
            What::Issue | What::Subtask(_) => issue::search(target, &job.marker),
            What::Comment => issue::comments(target, job.issue, 0, look::PAGE),
        }
    }

    /// By a search: comments have none.
    fn found(
        target: &Target<Self>,
        _job: &Job<'_>,
        response: &Response,
        now: Timestamp,
    ) -> Result<Option<Made>, Outcome> {
        answers::found(response, &target.prepared, now)
    }

    fn search(
        target: &Target<Self>,
        job: &Job<'_>,
        looking: &Looking<'_>,
        known: &Known<'_>,
        now: Timestamp,
    ) -> Result<Option<Made>, Box<Move>> {
        if let (What::Comment, Some(since)) = (job.what, looking.since) {
            return look::comment(target, job, looking, since, known, now);
        }
        tracker::search_once(target, job, looking, known, now)
    }

    fn make(target: &Target<Self>, job: &Job<'_>, known: &Known<'_>) -> Request {
        match job.what {
            What::Issue => issue::create(target, job),
            What::Subtask(criterion) => issue::subtask(target, job, criterion, known),
            What::Comment => issue::comment(target, job),
        }
    }

    fn made(target: &Target<Self>, _job: &Job<'_>, response: &Response, now: Timestamp) -> Result<Made, Outcome> {
        answers::made(response, &target.prepared, now)
    }

    fn change(target: &Target<Self>, changing: &Changing<'_>, known: &Known<'_>, now: Timestamp) -> Did {
        match changing.change {
            Change::Status(status) => state::change(target, changing, status, known, now),
            Change::Link(pr) => issue::link(target, changing, pr, known, now),
        }
    }

    fn is_gone(response: &Response) -> bool {
        answers::is_gone(response)
    }

    fn sight(target: &Target<Self>, _issue: &str) -> Option<Request> {
        Some(permissions(target))
    }

    fn sees(response: &Response, now: Timestamp) -> Outcome {
        answers::permissions(response, now)
    }
}

impl Prepared {
    /// The transition of a status, as the config names it.
    fn transition(&self, status: Status) -> Option<&str> {
        match status {
            Status::Draft | Status::Review => None,
            Status::Approved => self.on_approve.as_deref(),
            Status::Implemented => self.on_implement.as_deref(),
        }
    }

    /// Where people find an issue. Nobody opens one at the gateway.
    fn browse(&self, key: &str) -> Option<String> {
        let is_gateway = self.base.host_str() == Some("api.atlassian.com");
        (!is_gateway).then(|| {
            let mut base = self.api.clone();
            let path = base.path().trim_end_matches("/rest/api/3").to_owned();
            base.set_path(&path);
            fields::below(&base, &["browse", key]).into()
        })
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("host", &self.base.host_str())
            .field("project_key", &self.project_key)
            .field("issue_type", &self.issue_type)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// `GET …/mypermissions`
fn permissions(target: &Target<Jira>) -> Request {
    let mut url = fields::below(&target.prepared.api, &["mypermissions"]);
    url.query_pairs_mut()
        .append_pair("projectKey", &target.prepared.project_key)
        .append_pair("permissions", "BROWSE_PROJECTS,CREATE_ISSUES");
    get(target, url)
}

fn get(target: &Target<Jira>, url: Url) -> Request {
    request(target, Method::GET, url, Bytes::new())
}

fn post(target: &Target<Jira>, path: &[&str], body: &impl Serialize) -> Request {
    let url = fields::below(&target.prepared.api, path);
    let body = serde_json::to_vec(body).expect("texts are written to memory");
    request(target, Method::POST, url, body.into())
}

fn request(target: &Target<Jira>, method: Method, url: Url, body: Bytes) -> Request {
    let json = HeaderValue::from_static("application/json");
    let mut headers = HeaderMap::from_iter([(ACCEPT, json.clone())]);
    if !body.is_empty() {
        headers.insert(CONTENT_TYPE, json);
    }
    Request::Http(http::Request {
        method,
        url,
        headers,
        body,
        auth: target.prepared.auth.clone(),
        identity: None,
    })
}

/// Jira names types by id or by name, and a name of digits alone is an id.
fn by_name_or_id(text: &str) -> serde_json::Value {
    let is_id = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_id {
        json!({ "id": text })
    } else {
        json!({ "name": text })
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
