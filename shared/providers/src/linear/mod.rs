#![doc = include_str!("README.md")]

mod answers;
mod documents;
mod given;
mod issue;
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
    things::{Keeps, Known, Move},
    tracker::{
        self, Action, Change, Changing, Did, Job, Made, Mappings, Renewed, Settings, States, Status, Tracker, What,
    },
};

/// Where the API is, unless `base_url` says otherwise.
pub const BASE_URL: &str = "https://api.linear.app";
/// Most labels of an issue.
pub const LABELS_MAX: usize = 20;
/// Longest label, state and key of a team, in characters.
const NAME_CHARS_MAX: usize = 255;
const HOSTS: &[&str] = &["api.linear.app"];
/// Longest body that a template makes, in bytes.
const TEMPLATE_BYTES_MAX: usize = 60_000;
/// Linear finds by an id what is stored: this is for a request that may still be under way, and for a copy that lags behind.
const LAG: Duration = Duration::from_secs(30);

/// Issues of a team at Linear.
pub struct Linear;

/// Which issues are made, and how they move.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The team: its id, or its key as its issues begin with it.
    #[schemars(example = &"ENG")]
    team_id: String,
    /// Labels of new issues, by name. They must be there.
    #[serde(default)]
    #[schemars(length(max = 20), example = ["spec", "automated"])]
    labels: Vec<String>,
    /// The state of the team in which specs of each status are, by name.
    #[serde(default)]
    state_mappings: Mappings,
    /// Whether each acceptance criterion of a spec becomes a sub-issue.
    #[serde(default)]
    create_subtasks: bool,
    /// Whether pull requests are linked to the issue.
    #[serde(default = "yes")]
    link_pr: bool,
    /// One thing to do for every event. Left out: what follows from the event's type.
    #[serde(default)]
    action: Option<Action>,
    /// Where the API is: for proxies and tests. Default: <https://api.linear.app>.
    #[serde(default)]
    #[schemars(example = &"https://linear-proxy.example.com")]
    base_url: Option<String>,
}

/// Whose issues they are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// A personal API key, or a token of OAuth (lin_oauth_…).
    #[schemars(example = &"lin_api_…")]
    api_key: Secret,
}

const fn yes() -> bool {
    true
}

/// What every request of an integration shares.
pub struct Prepared {
    base: Url,
    /// `…/graphql`
    url: Url,
    auth: Auth,
    team: Team,
    labels: Vec<String>,
    states: States,
    settings: Settings,
}

/// How the config names the team.
#[derive(Debug)]
enum Team {
    Id(String),
    Key(String),
}

impl Team {
    fn as_str(&self) -> &str {
        match self {
            Self::Id(text) | Self::Key(text) => text,
        }
    }
}

impl Provider for Linear {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "linear";
    const DESCRIPTION: &'static str = "Makes and moves issues of a team at Linear";
    const DOCS: &'static str = "https://linear.app/developers/graphql";
    const KIND: Kind = Kind::Ticketing;
    const ACTIONS: &'static [&'static str] = tracker::ACTIONS;
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
        let team = fields::keep(given::team(&config.team_id), &mut errors);
        let labels = fields::lines("config/labels", &config.labels, LABELS_MAX, NAME_CHARS_MAX);
        let labels = fields::keep_all(labels, &mut errors);
        let states = config.state_mappings.check("config/state_mappings", NAME_CHARS_MAX);
        let states = fields::keep_all(states, &mut errors);
        let auth = fields::keep(given::auth(&credentials.api_key), &mut errors);
        match (base, team, labels, states, auth) {
            (Some(base), Some(team), Some(labels), Some(states), Some(auth)) => Ok(Prepared {
                url: given::endpoint(&base),
                base,
                auth,
                team,
                labels,
                states,
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

    fn warnings(prepared: &Prepared) -> Vec<FieldError> {
        let moves = matches!(prepared.settings.action, None | Some(Action::UpdateStatus));
        prepared
            .states
            .warning("config/state_mappings", moves)
            .into_iter()
            .collect()
    }

    /// What a test asks: every delivery goes on by `tracker::keeps`.
    fn request(target: &Target<Self>, _delivery: &Delivery, _text: &Text, _now: Timestamp) -> Request {
        names::team(target)
    }

    /// Of a probe.
    fn classify(response: &Response, now: Timestamp) -> Outcome {
        answers::seen(response, now)
    }

    /// Whether the key is taken and the team can be seen. What the key may write Linear tells nobody.
    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        Some(names::team(target))
    }

    fn made_up(target: &Target<Self>, request: &Request) -> Response {
        answers::made_up(&target.prepared, request)
    }
}

impl Tracker for Linear {
    fn lag(_what: What<'_>) -> Duration {
        LAG
    }

    fn settings(prepared: &Prepared) -> Settings {
        prepared.settings
    }

    fn has_state(prepared: &Prepared, status: Status) -> bool {
        prepared.states.of(status).is_some()
    }

    fn ready(target: &Target<Self>, job: &Job<'_>, known: &Known<'_>, now: Timestamp) -> Option<Move> {
        names::learn(target, &names::of(&target.prepared, job), known, now)
    }

    fn look(target: &Target<Self>, job: &Job<'_>) -> Request {
        issue::find(target, job)
    }

    fn found(
        _target: &Target<Self>,
        _job: &Job<'_>,
        response: &Response,
        now: Timestamp,
    ) -> Result<Option<Made>, Outcome> {
        answers::found(response, now)
    }

    fn make(target: &Target<Self>, job: &Job<'_>, known: &Known<'_>) -> Request {
        match job.what {
            What::Issue => issue::create(target, job, known),
            What::Subtask(criterion) => issue::subtask(target, job, criterion, known),
            What::Comment => issue::comment(target, job),
        }
    }

    fn made(_target: &Target<Self>, _job: &Job<'_>, response: &Response, now: Timestamp) -> Result<Made, Outcome> {
        answers::made(response, now)
    }

    fn is_limited(response: &Response) -> bool {
        answers::is_limited(response)
    }

    fn refused(target: &Target<Self>, job: &Job<'_>, name: &str, known: &Known<'_>, now: Timestamp) -> Option<Renewed> {
        issue::repeated(target, job, name, known, now).or_else(|| match job.what {
            What::Issue | What::Subtask(_) => names::renew(target, name, &names::of(&target.prepared, job), known, now),
            What::Comment => None,
        })
    }

    fn change(target: &Target<Self>, changing: &Changing<'_>, known: &Known<'_>, now: Timestamp) -> Did {
        match changing.change {
            Change::Status(status) => issue::state(target, changing, status, known, now),
            Change::Link(pr) => issue::link(target, changing, pr, known, now),
        }
    }

    fn is_gone(response: &Response) -> bool {
        answers::is_gone(response)
    }

    fn sight(target: &Target<Self>, _issue: &str) -> Option<Request> {
        Some(names::team(target))
    }

    fn sees(response: &Response, now: Timestamp) -> Outcome {
        answers::seen(response, now)
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("host", &self.base.host_str())
            .field("team", &self.team)
            .field("labels", &self.labels)
            .field("states", &self.states)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
