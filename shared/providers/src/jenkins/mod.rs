#![doc = include_str!("README.md")]

mod answers;
mod look;
mod parameters;

use std::{collections::BTreeMap, fmt, time::Duration};

use ::http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use signalbox_proto::{Delivery, Outcome, Timestamp};
use url::Url;

use self::parameters::Parameters;
use crate::{
    Exchange, FieldError, Kind, Limits, Provider, Request, Secret, Step, Target, Text, fields,
    http::{self, Auth, Response},
    once::Making,
    things::{Keeps, Known, Lesson, Move, Thing},
};

/// Most folders that a job may lie in, and the job.
const LEVELS_MAX: usize = 20;
/// Longest name of a folder or a job, in characters.
const NAME_CHARS_MAX: usize = 255;
/// Longest name of a user, in characters.
const USER_CHARS_MAX: usize = 255;
/// The fact that a delivery becomes: the number of its place in the queue.
const QUEUED: &str = "queue_item";
/// The number of the build, where it is known.
const BUILD: &str = "build";
/// Its address beside that.
const BUILD_URL: &str = "build_url";
/// The one look at the queue after it was taken.
const LEFT: &str = "queue item";
/// How long after its request a build may be neither in the queue nor in the list: Jenkins queues while it answers.
const LAG: Duration = Duration::from_secs(30);

/// A job of Jenkins.
pub struct Jenkins;

/// Which job is built, and what it is told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where Jenkins is.
    #[schemars(example = &"https://jenkins.example.com")]
    base_url: String,
    /// The job, with the folders that it lies in, as shop/deploy.
    #[schemars(example = &"shop/deploy")]
    job: String,
    /// What each event becomes: a build, the only choice.
    #[serde(default)]
    #[schemars(example = Action::Build)]
    action: Option<Action>,
    /// The parameters of the build by name, each a text with the placeholders of a template. Default: event_type, agent_id and
    /// payload. Empty for a job without parameters. The id of the delivery is added as signalbox_delivery.
    #[serde(default)]
    #[schemars(example = BTreeMap::from([("VERSION", "{{ event.data.version }}")]))]
    parameters: Option<BTreeMap<String, String>>,
}

/// What an event becomes.
#[derive(Clone, Copy, Debug, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// A build.
    Build,
}

/// What lets requests in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The user whose token it is.
    #[schemars(example = &"signalbox")]
    user: String,
    /// An API token of that user. A password does not do: Jenkins asks for a crumb with it.
    #[schemars(example = &"11aabbccddeeff00112233445566778899")]
    api_token: Secret,
}

/// What every request of an integration shares.
pub struct Prepared {
    base: Url,
    job: Url,
    auth: Auth,
    parameters: Parameters,
}

impl Provider for Jenkins {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "jenkins";
    const DESCRIPTION: &'static str = "Starts builds of a Jenkins job";
    const DOCS: &'static str = "https://www.jenkins.io/doc/book/using/remote-access-api/";
    const KIND: Kind = Kind::CiCd;
    const ACTIONS: &'static [&'static str] = &["build"];
    const LIMITS: Limits = Limits { per_minute: Some(60) };
    const KEEPS: Option<Keeps<Self>> = Some(Keeps { thing, go_on });

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let mut errors = Vec::new();
        // There is but one, which `read` has checked.
        let (Some(Action::Build) | None) = config.action;
        let base = fields::keep(fields::url("config/base_url", &config.base_url), &mut errors);
        let levels = fields::keep(levels(&config.job), &mut errors);
        let parameters = fields::keep_all(Parameters::of(config.parameters), &mut errors);
        let auth = fields::keep_all(auth(&credentials), &mut errors);
        match (base, levels, parameters, auth) {
            (Some(base), Some(levels), Some(parameters), Some(auth)) => {
                let parts: Vec<&str> = levels.iter().flat_map(|level| ["job", level]).collect();
                Ok(Prepared {
                    job: fields::below(&base, &parts),
                    base,
                    auth,
                    parameters,
                })
            }
            _ => Err(errors),
        }
    }

    fn urls(prepared: &Prepared) -> Vec<(&'static str, &Url)> {
        vec![("config/base_url", &prepared.base)]
    }

    fn auth(prepared: &Prepared) -> &Auth {
        &prepared.auth
    }

    /// As [`go_on`] goes where nothing is in doubt.
    fn next(target: &Target<Self>, delivery: &Delivery, _text: &Text, so_far: &[Exchange], now: Timestamp) -> Step {
        match so_far.last() {
            None => match build(target, delivery) {
                Ok(request) => Step::Send(Request::Http(request)),
                Err(outcome) => Step::Done(outcome),
            },
            Some(exchange) => Step::Done(match answers::queued(&exchange.response, now) {
                Ok(_) => Outcome::Delivered,
                Err(outcome) => outcome,
            }),
        }
    }

    fn request(target: &Target<Self>, delivery: &Delivery, _text: &Text, _now: Timestamp) -> Request {
        let request = build(target, delivery);
        Request::Http(request.expect("who asks for a request has seen in `next` that there is one"))
    }

    /// Of a probe.
    fn classify(response: &Response, now: Timestamp) -> Outcome {
        answers::probed(response, now)
    }

    /// Reads the job.
    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        let prepared = &target.prepared;
        let url = fields::below(&prepared.job, &["api", "json"]);
        Some(Request::Http(prepared.get(url, &[("tree", "name,buildable")])))
    }

    fn made_up(_target: &Target<Self>, request: &Request) -> Response {
        answers::made_up(request)
    }
}

/// Each delivery makes a build of its own.
fn thing(_: &Target<Jenkins>, _: &Delivery) -> Thing {
    Thing::Own
}

fn go_on(target: &Target<Jenkins>, delivery: &Delivery, _text: &Text, known: &Known<'_>, now: Timestamp) -> Move {
    let prepared = &target.prepared;
    if let Some(item) = known.refs.fact(QUEUED) {
        return after_queued(prepared, item, known);
    }
    let making = Making {
        name: QUEUED,
        delivery,
        known,
        now,
        timeout: target.about.timeout,
        lag: LAG,
    };
    making.go_on(
        || build(target, delivery),
        |response| answers::queued(response, now),
        |since| look::find(prepared, delivery, known, since, now),
    )
}

/// Looks once which build it became, right after it was queued, and does not wait for that: it is delivered already.
fn after_queued(prepared: &Prepared, item: &str, known: &Known<'_>) -> Move {
    if known.answer(QUEUED).is_none() || known.refs.fact(BUILD).is_some() {
        return Move::Done(Outcome::Delivered);
    }
    let Some(response) = known.answer(LEFT) else {
        let url = fields::below(&prepared.base, &["queue", "item", item, "api", "json"]);
        let request = prepared.get(url, &[("tree", "executable[number,url]")]);
        return Move::Ask(LEFT.into(), Request::Http(request));
    };
    match look::left(response) {
        Some(lessons) => Move::Learn(lessons),
        None => Move::Done(Outcome::Delivered),
    }
}

/// The request of a build, or why there is none.
fn build(target: &Target<Jenkins>, delivery: &Delivery) -> Result<http::Request, Outcome> {
    let Prepared {
        job, auth, parameters, ..
    } = &target.prepared;
    let form = parameters.form(delivery, &target.about)?;
    let way = if parameters.is_empty() {
        "build"
    } else {
        "buildWithParameters"
    };
    let content_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    Ok(http::Request {
        method: Method::POST,
        url: fields::below(job, &[way]),
        headers: HeaderMap::from_iter([(CONTENT_TYPE, content_type)]),
        body: form.into(),
        auth: auth.clone(),
        identity: None,
    })
}

impl Prepared {
    fn get(&self, mut url: Url, query: &[(&str, &str)]) -> http::Request {
        url.query_pairs_mut().extend_pairs(query);
        http::Request {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            auth: self.auth.clone(),
            identity: None,
        }
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("host", &self.base.host_str())
            .field("job", &self.job.path())
            .field("parameters", &self.parameters)
            .finish_non_exhaustive()
    }
}

/// What is known of a build: its number, and its address.
fn build_lessons(number: u64, url: Option<&str>) -> impl Iterator<Item = Lesson> {
    let fact = Lesson::Fact(BUILD.into(), number.to_string());
    [fact].into_iter().chain(crate::once::address(BUILD_URL, url))
}

fn auth(credentials: &Credentials) -> Result<Auth, Vec<FieldError>> {
    let mut errors = Vec::new();
    let user = fields::keep(
        fields::line("credentials/user", &credentials.user, USER_CHARS_MAX),
        &mut errors,
    );
    if user.as_ref().is_some_and(|user| user.contains(':')) {
        errors.push(FieldError::new(
            "credentials/user",
            "holds a colon, which no name of a user may",
        ));
    }
    let token = fields::key("credentials/api_token", &credentials.api_token);
    fields::keep(token, &mut errors);
    match user {
        Some(user) if errors.is_empty() => {
            let token = Secret::from(credentials.api_token.expose().trim());
            let auth = Auth::basic(&user, &token);
            auth.map_err(|error| vec![FieldError::new("credentials/user", error.to_string())])
        }
        _ => Err(errors),
    }
}

/// The folders of a job and its name: `shop/deploy`, or as its address has it, `job/shop/job/deploy`.
fn levels(given: &str) -> Result<Vec<String>, FieldError> {
    let parts: Vec<&str> = given.trim().trim_matches('/').split('/').collect();
    let as_address = parts.len().is_multiple_of(2) && parts.iter().step_by(2).all(|part| *part == "job");
    let names: Vec<&str> = match as_address {
        true => parts.into_iter().skip(1).step_by(2).collect(),
        false => parts,
    };
    let fits = |name: &&str| {
        let is_name = !name.is_empty() && !matches!(*name, "." | "..") && !name.contains(char::is_control);
        is_name && name.chars().count() <= NAME_CHARS_MAX
    };
    if names.len() <= LEVELS_MAX && names.iter().all(fits) {
        return Ok(names.into_iter().map(str::to_owned).collect());
    }
    Err(FieldError::new(
        "config/job",
        "is not a job: write its name behind those of its folders, such as shop/deploy",
    ))
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
