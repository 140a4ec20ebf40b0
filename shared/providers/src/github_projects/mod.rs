#![doc = include_str!("README.md")]

mod answers;
mod documents;
mod forms;
mod given;
mod item;
mod look;
mod names;

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;
use signalbox_proto::{Delivery, Outcome, Timestamp};
use url::Url;

use crate::{
    FieldError, Kind, Limits, Provider, Request, Secret, Target, Text, fields,
    http::{Auth, Response},
    markdown,
    template::{Markup, Takes},
    things::{Keeps, Known, Lesson, Move},
    tracker::{
        self, Action, Change, Changing, Did, Does, Job, Looking, Made, Mappings, Renewed, Settings, States, Status,
        Tracker, What,
    },
};

/// Where the API is, unless `base_url` says otherwise.
pub const BASE_URL: &str = "https://api.github.com";
/// Longest name of a field and of an option, in characters.
const NAME_CHARS_MAX: usize = 255;
/// GitHub's own, and that of an enterprise with data residency.
const HOSTS: &[&str] = &["api.github.com", "*.ghe.com"];
/// Longest body that a template makes, in bytes: with the mark before it, it fits whatever it holds.
const TEMPLATE_BYTES_MAX: usize = 60_000;
/// GitHub ends a request after 10 seconds; its lists show an item at once, but for a copy that lags behind.
const LAG: Duration = Duration::from_secs(30);

/// Items of a project at GitHub.
pub struct GithubProjects;

/// Which project it is, and how its items move.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The organization or user who has the project.
    #[schemars(example = &"acme")]
    owner: String,
    /// The number of the project, as its address ends in it.
    #[schemars(range(min = 1), example = 1)]
    project_number: u32,
    /// The field of single select that is set.
    #[serde(default = "status")]
    status_field: String,
    /// The option of that field in which specs of each status are, by name.
    #[serde(default)]
    status_mappings: Mappings,
    /// One thing to do for every event: create, update_status or link. Left out: what follows from the event's type.
    #[serde(default)]
    action: Option<Action>,
    /// Where the API is: for an Enterprise Server `https://HOST/api`; for proxies and tests. Default:
    /// <https://api.github.com>.
    #[serde(default)]
    #[schemars(example = &"https://github.example.com/api")]
    base_url: Option<String>,
}

/// What lets requests in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// A personal access token with the scope project, or that of an app which may write projects of the organization. The one
    /// that GitHub Actions makes may not.
    #[schemars(example = &"ghp_…")]
    token: Secret,
}

fn status() -> String {
    "Status".to_owned()
}

/// What every request of an integration shares.
pub struct Prepared {
    base: Url,
    /// `…/graphql`
    url: Url,
    auth: Auth,
    owner: String,
    number: u32,
    status_field: String,
    states: States,
    settings: Settings,
}

impl Provider for GithubProjects {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "github_projects";
    const DESCRIPTION: &'static str = "Adds items to a GitHub project and sets their status";
    const DOCS: &'static str = "https://docs.github.com/en/issues/planning-and-tracking-with-projects/automating-your-project/using-the-api-to-manage-projects";
    const KIND: Kind = Kind::Ticketing;
    const ACTIONS: &'static [&'static str] = &["create", "update_status", "link"];
    const LIMITS: Limits = Limits { per_minute: Some(60) };
    const TEMPLATE: Takes = Takes {
        title: true,
        body_bytes_max: TEMPLATE_BYTES_MAX,
        markup: Markup::Escaped(markdown::value),
    };
    const KEEPS: Option<Keeps<Self>> = Some(tracker::keeps());

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let mut errors = Vec::new();
        let base = fields::url("config/base_url", config.base_url.as_deref().unwrap_or(BASE_URL));
        let base = fields::keep(base, &mut errors);
        let owner = fields::keep(given::owner(&config.owner), &mut errors);
        let number = fields::keep(given::number(config.project_number), &mut errors);
        let status_field = fields::line("config/status_field", &config.status_field, NAME_CHARS_MAX);
        let status_field = fields::keep(status_field, &mut errors);
        let states = config.status_mappings.check("config/status_mappings", NAME_CHARS_MAX);
        let states = fields::keep_all(states, &mut errors);
        let action = fields::keep(given::action(config.action), &mut errors);
        let auth = fields::keep(given::auth(&credentials.token), &mut errors);
        match (base, owner, number, status_field, states, action, auth) {
            (Some(base), Some(owner), Some(number), Some(status_field), Some(states), Some(action), Some(auth)) => {
                Ok(Prepared {
                    url: given::endpoint(&base),
                    base,
                    auth,
                    owner,
                    number,
                    status_field,
                    states,
                    settings: Settings {
                        action,
                        create_subtasks: false,
                        link_pr: true,
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

    fn warnings(prepared: &Prepared) -> Vec<FieldError> {
        let moves = matches!(prepared.settings.action, None | Some(Action::UpdateStatus));
        prepared
            .states
            .warning("config/status_mappings", moves)
            .into_iter()
            .collect()
    }

    /// What a test asks: every delivery goes on by `tracker::keeps`.
    fn request(target: &Target<Self>, _delivery: &Delivery, _text: &Text, _now: Timestamp) -> Request {
        names::ask(target)
    }

    /// Of a probe.
    fn classify(response: &Response, now: Timestamp) -> Outcome {
        answers::writable(response, now)
    }

    /// Whether the project can be seen and written to: the same is asked before the first item.
    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        Some(names::ask(target))
    }

    fn made_up(target: &Target<Self>, request: &Request) -> Response {
        answers::made_up(&target.prepared, request)
    }
}

impl Tracker for GithubProjects {
    const DOES: Does = Does {
        comments: false,
        links: true,
        subtasks: false,
    };

    fn lag(_what: What<'_>) -> Duration {
        LAG
    }

    fn settings(prepared: &Prepared) -> Settings {
        prepared.settings
    }

    fn has_state(prepared: &Prepared, status: Status) -> bool {
        prepared.states.of(status).is_some()
    }

    /// What the item is of is remembered before it is added: whoever goes on after a lost answer adds the same.
    fn ready(target: &Target<Self>, job: &Job<'_>, known: &Known<'_>, now: Timestamp) -> Option<Move> {
        if known.refs.fact(item::CONTENT).is_none()
            && let Some(id) = item::node_id(job.delivery)
        {
            return Some(Move::Learn(vec![Lesson::Fact(item::CONTENT.into(), id)]));
        }
        names::learn(target, &[names::Named::Project], known, now)
    }

    fn look(target: &Target<Self>, job: &Job<'_>) -> Request {
        item::draft(target, job.issue)
    }

    fn found(
        _target: &Target<Self>,
        job: &Job<'_>,
        response: &Response,
        now: Timestamp,
    ) -> Result<Option<Made>, Outcome> {
        let made = || Made {
            id: job.issue.to_owned(),
            url: None,
        };
        answers::bears(response, &item::mark(&job.marker), now).map(|bears| bears.then(made))
    }

    /// GitHub has no search for drafts: it is looked for where it is in doubt alone. To add an issue or a pull request once more
    /// is harmless.
    fn search(
        target: &Target<Self>,
        job: &Job<'_>,
        looking: &Looking<'_>,
        known: &Known<'_>,
        now: Timestamp,
    ) -> Result<Option<Made>, Box<Move>> {
        match (looking.since, known.refs.fact(item::CONTENT)) {
            (Some(since), None) => look::look(target, job, looking, since, known, now),
            _ => Ok(None),
        }
    }

    fn make(target: &Target<Self>, job: &Job<'_>, known: &Known<'_>) -> Request {
        item::make(target, job, known)
    }

    fn made(_target: &Target<Self>, _job: &Job<'_>, response: &Response, now: Timestamp) -> Result<Made, Outcome> {
        answers::made(response, now)
    }

    fn is_limited(response: &Response) -> bool {
        answers::is_limited(response)
    }

    /// An issue or a pull request is one item, however often it is added.
    fn is_repeatable(_job: &Job<'_>, known: &Known<'_>) -> bool {
        known.refs.fact(item::CONTENT).is_some()
    }

    fn refused(
        target: &Target<Self>,
        _job: &Job<'_>,
        name: &str,
        known: &Known<'_>,
        now: Timestamp,
    ) -> Option<Renewed> {
        if let Some(renewed) = names::renew(target, name, &[names::Named::Project], known, now) {
            return Some(renewed);
        }
        // What cannot be added is not what the next event's item is of.
        if known.refs.fact(item::CONTENT).is_some() {
            let let_go = vec![Lesson::Gone(item::CONTENT.into())];
            return Some(Renewed::Step(Move::Learn(let_go)));
        }
        // A token that may write to the project lacks a right to what the event names.
        let forbids_content = known.answer(name).is_some_and(answers::is_content_forbidden);
        (forbids_content && names::is_writable(target, known, now))
            .then(|| Renewed::Step(Move::Done(answers::content_forbidden())))
    }

    fn change(target: &Target<Self>, changing: &Changing<'_>, known: &Known<'_>, now: Timestamp) -> Did {
        match changing.change {
            Change::Status(status) => item::state(target, changing, status, known, now),
            Change::Link(pr) => item::link(target, changing, pr, known, now),
        }
    }

    fn is_gone(response: &Response) -> bool {
        answers::is_gone(response)
    }

    fn sight(target: &Target<Self>, _issue: &str) -> Option<Request> {
        Some(names::ask(target))
    }

    fn sees(response: &Response, now: Timestamp) -> Outcome {
        match answers::project(response, now) {
            Ok(_) => Outcome::Delivered,
            Err(outcome) => outcome,
        }
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("host", &self.base.host_str())
            .field("owner", &self.owner)
            .field("number", &self.number)
            .field("status_field", &self.status_field)
            .field("states", &self.states)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
