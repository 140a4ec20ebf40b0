#![doc = include_str!("README.md")]

mod answers;
mod document;
mod given;
mod item;
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
use signalbox_proto::{Delivery, Outcome, Timestamp};
use url::Url;

use self::given::Given;
use crate::{
    FieldError, Kind, Limits, Provider, Request, Secret, Target, Text, fields,
    http::{self, Auth, Response},
    template::{Markup, Takes},
    things::{Keeps, Known, Move},
    tracker::{self, Action, Change, Changing, Did, Job, Looking, Made, Settings, Status, Tracker, What},
};

/// Where Azure DevOps Services are; the second is how organizations were addressed before 2018.
const HOSTS: &[&str] = &["dev.azure.com", "*.visualstudio.com"];
const SERVICES: &str = "https://dev.azure.com";
/// Every request names the version that it is written for.
const VERSION: &str = "7.1";
/// Comments are no final part of it.
const COMMENTS_VERSION: &str = "7.1-preview.4";
/// A query asks the work items themselves and not an index of them, but a copy of them may answer that is a little behind;
/// the rest is for a request that we no longer wait for.
const QUERY_LAG: Duration = Duration::from_secs(90);
/// The list of comments shows what is stored: this is for the request alone.
const LIST_LAG: Duration = Duration::from_secs(60);

/// Work items of an Azure DevOps project.
pub struct AzureDevops;

/// Which work items are made, and how they move.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of the organization, as it stands behind dev.azure.com/; of a server of your own the collection.
    #[schemars(example = &"your-org")]
    organization: String,
    /// The name of the project.
    #[schemars(example = &"your-project")]
    project: String,
    /// The type of new work items, as the project's process calls it.
    #[serde(default = "user_story")]
    work_item_type: String,
    /// The area of new work items. Left out: that of the project.
    #[serde(default)]
    #[schemars(example = &"your-project\\Team")]
    area_path: Option<String>,
    /// The iteration of new work items. Left out: that of the project.
    #[serde(default)]
    #[schemars(example = &"your-project\\Sprint 1")]
    iteration_path: Option<String>,
    /// The state for each status of a spec; a status without one moves nothing. Left out: the first state of the category
    /// In Progress when a spec is approved, of the category Completed when it is implemented.
    #[serde(default)]
    state_mappings: Option<StateMappings>,
    /// Whether each acceptance criterion of a spec becomes a child.
    #[serde(default)]
    create_subtasks: bool,
    /// The type of these children.
    #[serde(default = "task")]
    subtask_type: String,
    /// Whether pull requests are linked to the work item.
    #[serde(default = "yes")]
    link_pr: bool,
    /// One thing to do for every event. Left out: what follows from the event's type.
    #[serde(default)]
    action: Option<Action>,
    /// Where the API is instead of dev.azure.com, without the organization: for Azure DevOps Server, for proxies and
    /// tests.
    #[serde(default)]
    #[schemars(example = &"https://devops.example.com/tfs")]
    base_url: Option<String>,
}

/// States by their names.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateMappings {
    /// Of a spec that is being written.
    #[serde(default)]
    #[schemars(example = &"New")]
    draft: Option<String>,
    /// Of a spec that is being read.
    #[serde(default)]
    review: Option<String>,
    /// Of a spec that is to be built.
    #[serde(default)]
    #[schemars(example = &"Active")]
    approved: Option<String>,
    /// Of a spec that is built, and of an alert that is resolved.
    #[serde(default)]
    #[schemars(example = &"Closed")]
    implemented: Option<String>,
}

/// Whose work items they are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// A personal access token with the scope Work Items: Read & write.
    pat: Secret,
}

fn user_story() -> String {
    "User Story".to_owned()
}

fn task() -> String {
    "Task".to_owned()
}

const fn yes() -> bool {
    true
}

/// What every request of an integration shares.
pub struct Prepared {
    base: Url,
    /// `https://dev.azure.com/your-org`
    organization: Url,
    /// `https://dev.azure.com/your-org/your-project`
    project: Url,
    auth: Auth,
    given: Given,
    settings: Settings,
}

impl Provider for AzureDevops {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "azure_devops";
    const DESCRIPTION: &'static str = "Makes and moves work items of an Azure DevOps project";
    const DOCS: &'static str = "https://learn.microsoft.com/rest/api/azure/devops/wit/work-items";
    const KIND: Kind = Kind::Ticketing;
    const ACTIONS: &'static [&'static str] = tracker::ACTIONS;
    const LIMITS: Limits = Limits { per_minute: Some(60) };
    const TEMPLATE: Takes = Takes::texts(Markup::Plain);
    const KEEPS: Option<Keeps<Self>> = Some(tracker::keeps());

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let mut errors = Vec::new();
        let base = config.base_url.as_deref().unwrap_or(SERVICES);
        let base = fields::keep(fields::url("config/base_url", base), &mut errors);
        let given = fields::keep_all(given::of(&config), &mut errors);
        let auth = fields::keep(given::auth(&credentials.pat), &mut errors);
        match (base, given, auth) {
            (Some(base), Some(given), Some(auth)) => {
                let organization = given::organization(&base, &given.organization);
                Ok(Prepared {
                    project: fields::below(&organization, &[&given.project]),
                    organization,
                    base,
                    auth,
                    given,
                    settings: Settings {
                        action: config.action,
                        create_subtasks: config.create_subtasks,
                        link_pr: config.link_pr,
                    },
                })
            }
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
        given::warnings(prepared)
    }

    /// The query with which every new thing begins.
    fn request(target: &Target<Self>, _delivery: &Delivery, _text: &Text, _now: Timestamp) -> Request {
        item::query(target, "")
    }

    /// Of a probe.
    fn classify(response: &Response, now: Timestamp) -> Outcome {
        answers::valid(response, now)
    }

    /// A work item that is checked and not stored: one request tells whether the token is taken, whether project, type, area
    /// and iteration are there, and whether the account may make such a work item.
    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        Some(item::check(target))
    }

    fn made_up(target: &Target<Self>, request: &Request) -> Response {
        answers::made_up(&target.prepared, request)
    }
}

impl Tracker for AzureDevops {
    fn lag(what: What<'_>) -> Duration {
        match what {
            What::Issue | What::Subtask(_) => QUERY_LAG,
            What::Comment => LIST_LAG,
        }
    }

    fn settings(prepared: &Prepared) -> Settings {
        prepared.settings
    }

    fn has_state(prepared: &Prepared, status: Status) -> bool {
        prepared.given.states.of(status).is_some()
    }

    fn ready(_target: &Target<Self>, _job: &Job<'_>, known: &Known<'_>, now: Timestamp) -> Option<Move> {
        answers::pause(known, now)
    }

    fn look(target: &Target<Self>, job: &Job<'_>) -> Request {
        match job.what {
            What::Issue | What::Subtask(_) => item::query(target, &job.marker),
            What::Comment => item::comments(target, job.issue, look::PAGE, None),
        }
    }

    /// By a query: comments have none.
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

    fn make(target: &Target<Self>, job: &Job<'_>, _known: &Known<'_>) -> Request {
        match job.what {
            What::Issue => item::create(target, job),
            What::Subtask(criterion) => item::subtask(target, job, criterion),
            What::Comment => item::comment(target, job),
        }
    }

    fn made(target: &Target<Self>, job: &Job<'_>, response: &Response, now: Timestamp) -> Result<Made, Outcome> {
        answers::made(response, &target.prepared, job.what, now)
    }

    fn change(target: &Target<Self>, changing: &Changing<'_>, known: &Known<'_>, now: Timestamp) -> Did {
        if let Some(pause) = answers::pause(known, now) {
            return Did::Next(pause);
        }
        match changing.change {
            Change::Status(status) => state::change(target, changing, status, known, now),
            Change::Link(pr) => item::link(target, changing, pr, known, now),
        }
    }

    fn is_gone(response: &Response) -> bool {
        answers::is_gone(response)
    }

    fn sight(target: &Target<Self>, issue: &str) -> Option<Request> {
        Some(item::deleted(target, issue))
    }

    fn sees(response: &Response, now: Timestamp) -> Outcome {
        answers::deleted(response, now)
    }
}

impl Prepared {
    /// Where people find a work item.
    fn browse(&self, id: &str) -> String {
        fields::below(&self.project, &["_workitems", "edit", id]).into()
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("host", &self.base.host_str())
            .field("given", &self.given)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// `…/_apis/wit/…?…&api-version=7.1`, below the project.
fn address(target: &Target<AzureDevops>, path: &[&str], query: &[(&str, &str)], version: &str) -> Url {
    let mut url = fields::below(&target.prepared.project, &["_apis", "wit"]);
    url = fields::below(&url, path);
    url.query_pairs_mut()
        .extend_pairs(query)
        .append_pair("api-version", version);
    url
}

fn get(target: &Target<AzureDevops>, url: Url) -> Request {
    request(target, Method::GET, url, None)
}

fn post(target: &Target<AzureDevops>, url: Url, body: &impl Serialize) -> Request {
    request(target, Method::POST, url, Some(("application/json", written(body))))
}

/// A request whose body is a JSON Patch document (RFC 6902): how work items are made and changed. Azure DevOps answers 415 to
/// it as plain JSON.
fn patch(target: &Target<AzureDevops>, method: Method, url: Url, operations: &[item::Operation<'_>]) -> Request {
    let body = ("application/json-patch+json", written(&operations));
    request(target, method, url, Some(body))
}

fn written(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body).expect("texts are written to memory").into()
}

fn request(target: &Target<AzureDevops>, method: Method, url: Url, body: Option<(&'static str, Bytes)>) -> Request {
    let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
    let body = body.map(|(kind, body)| {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        body
    });
    Request::Http(http::Request {
        method,
        url,
        headers,
        body: body.unwrap_or_default(),
        auth: target.prepared.auth.clone(),
        identity: None,
    })
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
