#![doc = include_str!("README.md")]

mod alert;
mod answers;

use std::fmt;

use ::http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use signalbox_proto::{Delivery, Outcome, Timestamp};
use url::Url;

use self::{
    alert::{Asks, Close},
    answers::Asked,
};
use crate::{
    Exchange, FieldError, Kind, Limits, Provider, Request, Secret, Step, Target, Text,
    entity::Turns,
    fields,
    http::{self, Auth, Response},
    template::{Markup, Takes},
};

/// Most tags of an alert.
pub const TAGS_MAX: usize = 20;
/// Longest tag, in characters.
pub const TAG_CHARS_MAX: usize = 50;
/// Where the API is, by region, and where that of its successor is.
const HOSTS: &[&str] = &["api.opsgenie.com", "api.eu.opsgenie.com", "api.atlassian.com"];
/// What opens nothing: no entity has an alias of two parts.
const PROBED: &str = "connection-test";
/// The scheme of `Authorization`. Some copy it along with the key.
const SCHEME: &str = "GenieKey";
/// What an alias in an address is escaped but for (RFC 3986, section 2.3).
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Room for the body of most alerts.
const BODY_BYTES: usize = 2 * 1024;

/// Alerts of an Opsgenie integration.
pub struct Opsgenie;

/// Where alerts are opened, and how they are marked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The priority of an event that names no severity itself. Good news that names none is P5.
    #[serde(default)]
    priority: Priority,
    /// Tags of every alert: at most 20, of at most 50 characters each.
    #[serde(default)]
    #[schemars(example = ["signalbox", "production"])]
    tags: Vec<String>,
    /// Where the account is. Default: us.
    #[serde(default)]
    region: Option<Region>,
    /// Where the API is instead, without /v2/alerts: for Jira Service Management, for proxies and tests. Leaves no choice
    /// of a region.
    #[serde(default)]
    #[schemars(example = "https://api.atlassian.com/jsm/ops/integration")]
    base_url: Option<String>,
}

/// What lets alerts in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The key of an API integration that may create and update alerts. A key of API key management cannot do that.
    api_key: Secret,
}

/// How urgent an alert is, P1 the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
enum Priority {
    #[serde(alias = "p1")]
    P1,
    #[serde(alias = "p2")]
    P2,
    #[default]
    #[serde(alias = "p3")]
    P3,
    #[serde(alias = "p4")]
    P4,
    #[serde(alias = "p5")]
    P5,
}

/// Where Opsgenie keeps an account.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Region {
    #[serde(alias = "US")]
    Us,
    #[serde(alias = "EU")]
    Eu,
}

/// What every request of an integration shares.
pub struct Prepared {
    base: Url,
    alerts: Url,
    auth: Auth,
    priority: Priority,
    tags: Vec<String>,
}

impl Provider for Opsgenie {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "opsgenie";
    const DESCRIPTION: &'static str = "Opens and closes alerts of Opsgenie and Jira Service Management";
    const DOCS: &'static str = "https://docs.opsgenie.com/docs/alert-api";
    const KIND: Kind = Kind::Notification;
    // What an account may send depends on its plan and its users: this is what the smallest bears.
    const LIMITS: Limits = Limits { per_minute: Some(60) };
    const TEMPLATE: Takes = Takes::texts(Markup::Plain);

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let mut errors = Vec::new();
        let base = fields::keep(base(&config), &mut errors);
        let tags = fields::keep_all(
            fields::lines("config/tags", &config.tags, TAGS_MAX, TAG_CHARS_MAX),
            &mut errors,
        );
        let auth = fields::keep(auth(&credentials.api_key), &mut errors);
        match (base, tags, auth) {
            (Some(base), Some(tags), Some(auth)) => Ok(Prepared {
                alerts: alerts(&base),
                base,
                auth,
                priority: config.priority,
                tags,
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

    /// One alert after another: the API takes no two in a request. One that it will never take does not hold back those
    /// behind it, and is what becomes of the delivery.
    fn next(target: &Target<Self>, delivery: &Delivery, text: &Text, so_far: &[Exchange], now: Timestamp) -> Step {
        let turns = Turns::of(delivery);
        let mut end = Outcome::Delivered;
        for (index, exchange) in so_far.iter().enumerate() {
            let asked = if turns.closes(index) {
                Asked::Close
            } else {
                Asked::Create
            };
            match answers::outcome(&exchange.response, asked, now) {
                Outcome::Delivered => {}
                refused @ Outcome::Reject { .. } => end = refused,
                hindered @ (Outcome::Retry { .. } | Outcome::Suspend { .. }) => return Step::Done(hindered),
            }
        }
        match turn(target, delivery, text, turns, so_far.len()) {
            Some(request) => Step::Send(request),
            None => Step::Done(end),
        }
    }

    /// The first of a delivery.
    fn request(target: &Target<Self>, delivery: &Delivery, text: &Text, _now: Timestamp) -> Request {
        turn(target, delivery, text, Turns::of(delivery), 0).expect("a delivery has an event, which is a request")
    }

    /// Of a probe, which closes.
    fn classify(response: &Response, now: Timestamp) -> Outcome {
        answers::outcome(response, Asked::Close, now)
    }

    /// Closes what nothing opened. That needs no more than delivering does, and changes nothing.
    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        let alias = format!("{}/{PROBED}", target.about.integration);
        Some(close(target, &alias, &Close::silent(&target.about)))
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("host", &self.base.host_str())
            .field("priority", &self.priority)
            .field("tags", &self.tags)
            .finish_non_exhaustive()
    }
}

impl Region {
    const fn base_url(self) -> &'static str {
        match self {
            Self::Us => "https://api.opsgenie.com",
            Self::Eu => "https://api.eu.opsgenie.com",
        }
    }
}

/// The request of one turn, while there is one.
fn turn(
    target: &Target<Opsgenie>,
    delivery: &Delivery,
    text: &Text,
    turns: Turns<'_>,
    index: usize,
) -> Option<Request> {
    let turn = turns.into_nth(index)?;
    Some(match Asks::of(&turn, delivery, target, text) {
        Asks::Create(alert) => post(target, target.prepared.alerts.clone(), &alert),
        Asks::Close { alias, close: body } => close(target, &alias, &body),
    })
}

/// `POST …/v2/alerts/{alias}/close?identifierType=alias`
fn close(target: &Target<Opsgenie>, alias: &str, body: &Close<'_>) -> Request {
    let mut url = target.prepared.alerts.clone();
    // Escaped here: the parser of addresses would drop line ends, and `/` would part the alias.
    let alias = utf8_percent_encode(alias, IN_PATH);
    url.set_path(&format!("{}/{alias}/close", target.prepared.alerts.path()));
    url.set_query(Some("identifierType=alias"));
    post(target, url, body)
}

fn post(target: &Target<Opsgenie>, url: Url, message: &impl Serialize) -> Request {
    let mut body = Vec::with_capacity(BODY_BYTES);
    serde_json::to_writer(&mut body, message).expect("texts are written to memory");
    Request::Http(http::Request {
        method: Method::POST,
        url,
        headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]),
        body: body.into(),
        auth: target.prepared.auth.clone(),
        identity: None,
    })
}

fn base(config: &Config) -> Result<Url, FieldError> {
    match (&config.base_url, config.region) {
        (Some(_), Some(_)) => Err(FieldError::new(
            "config/region",
            "cannot be given beside base_url: keep the one that is to be used",
        )),
        (Some(url), None) => fields::url("config/base_url", url),
        (None, region) => fields::url("config/base_url", region.unwrap_or(Region::Us).base_url()),
    }
}

/// `https://api.opsgenie.com/v2/alerts`. Many write the base with a part of that already.
fn alerts(base: &Url) -> Url {
    let path = base.path().trim_end_matches('/');
    let path = path.strip_suffix("/alerts").unwrap_or(path);
    let path = path.strip_suffix("/v2").unwrap_or(path);
    let mut url = base.clone();
    url.set_path(&format!("{path}/v2/alerts"));
    url.set_query(None);
    url
}

fn auth(api_key: &Secret) -> Result<Auth, FieldError> {
    const POINTER: &str = "credentials/api_key";
    let given = api_key.expose().trim();
    let key = given.strip_prefix(SCHEME).map_or(given, str::trim_start);
    if key.is_empty() {
        return Err(FieldError::new(POINTER, "is empty"));
    }
    Auth::header(&format!("{SCHEME} {key}").as_str().into())
        .map_err(|error| FieldError::new(POINTER, error.to_string()))
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
