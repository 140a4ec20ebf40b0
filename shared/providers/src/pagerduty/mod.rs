#![doc = include_str!("README.md")]

mod answers;
mod message;

use std::fmt;

use ::http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use signalbox_proto::{Delivery, Outcome, Timestamp};
use url::Url;

use self::message::Message;
use crate::{
    Exchange, FieldError, Kind, Limits, Provider, Request, Secret, Step, Target, Text, entity, fields,
    http::{self, Auth, Response},
    template::{Markup, Takes},
};

/// Characters of a routing key, all of them letters or digits.
pub const ROUTING_KEY_CHARS: usize = 32;
/// Where the Events API is, by service region.
const HOSTS: &[&str] = &["events.pagerduty.com", "events.eu.pagerduty.com"];
/// What opens nothing: no entity has a key of two parts.
const PROBED: &str = "connection-test";
/// Room for the body of most events.
const BODY_BYTES: usize = 1024;

/// Incidents of a PagerDuty service.
pub struct Pagerduty;

/// Where incidents are opened, and how serious they are where an event does not say.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How serious an event is that names no severity itself. Good news that names none is info.
    #[serde(default)]
    severity: Severity,
    /// The service region of the account: eu where its address holds .eu.pagerduty.com. Default: us.
    #[serde(default)]
    region: Option<Region>,
    /// Where the Events API is instead, for proxies and tests, without /v2/enqueue. Leaves no choice of a region.
    #[serde(default)]
    #[schemars(example = "https://events.pagerduty.com")]
    base_url: Option<String>,
}

/// What lets events in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The Integration Key of an Events API v2 integration: 32 letters and digits. A key of the REST API has 20 and is
    /// another one.
    routing_key: Secret,
}

/// How serious PagerDuty takes an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Info,
    #[default]
    Warning,
    Error,
    Critical,
}

/// Where PagerDuty keeps an account.
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
    enqueue: Url,
    routing_key: Secret,
    severity: Severity,
}

impl Provider for Pagerduty {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "pagerduty";
    const DESCRIPTION: &'static str = "Opens and resolves PagerDuty incidents";
    const DOCS: &'static str = "https://developer.pagerduty.com/docs/events-api-v2-overview";
    const KIND: Kind = Kind::Notification;
    const LIMITS: Limits = Limits { per_minute: Some(60) };
    const TEMPLATE: Takes = Takes::texts(Markup::Plain);

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let mut errors = Vec::new();
        let base = fields::keep(base(&config), &mut errors);
        let routing_key = fields::keep(routing_key(&credentials.routing_key), &mut errors);
        match (base, routing_key) {
            (Some(base), Some(routing_key)) => Ok(Prepared {
                enqueue: enqueue(&base),
                base,
                routing_key,
                severity: config.severity,
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

    /// One event after another: the API takes no two in a request. One that it will never take does not hold back those
    /// behind it, and is what becomes of the delivery.
    fn next(target: &Target<Self>, delivery: &Delivery, text: &Text, so_far: &[Exchange], now: Timestamp) -> Step {
        let mut end = Outcome::Delivered;
        for exchange in so_far {
            match Self::classify(&exchange.response, now) {
                Outcome::Delivered => {}
                refused @ Outcome::Reject { .. } => end = refused,
                hindered @ (Outcome::Retry { .. } | Outcome::Suspend { .. }) => return Step::Done(hindered),
            }
        }
        match turn(target, delivery, text, so_far.len()) {
            Some(request) => Step::Send(request),
            None => Step::Done(end),
        }
    }

    /// The first of a delivery.
    fn request(target: &Target<Self>, delivery: &Delivery, text: &Text, _now: Timestamp) -> Request {
        turn(target, delivery, text, 0).expect("a delivery has an event, which is a request")
    }

    fn classify(response: &Response, now: Timestamp) -> Outcome {
        answers::outcome(response, now)
    }

    /// Resolves what nothing opened: PagerDuty takes it, which proves the routing key, and drops it.
    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        let dedup_key = format!("{}/{PROBED}", target.about.integration);
        let message = Message::resolving(target.prepared.routing_key.expose(), dedup_key);
        Some(post(target, &message))
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("host", &self.base.host_str())
            .field("severity", &self.severity)
            .finish_non_exhaustive()
    }
}

impl Region {
    const fn base_url(self) -> &'static str {
        match self {
            Self::Us => "https://events.pagerduty.com",
            Self::Eu => "https://events.eu.pagerduty.com",
        }
    }
}

/// The request of one turn, while there is one.
fn turn(target: &Target<Pagerduty>, delivery: &Delivery, text: &Text, index: usize) -> Option<Request> {
    let turn = entity::in_turn(delivery, index)?;
    Some(post(target, &Message::of(&turn, delivery, target, text)))
}

fn post(target: &Target<Pagerduty>, message: &Message<'_>) -> Request {
    let mut body = Vec::with_capacity(BODY_BYTES + message.data_bytes());
    message.write(&mut body);
    Request::Http(http::Request {
        method: Method::POST,
        url: target.prepared.enqueue.clone(),
        headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]),
        body: Bytes::from(body),
        auth: Auth::None,
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

/// `https://events.pagerduty.com/v2/enqueue`. Many write the base with a part of that already.
fn enqueue(base: &Url) -> Url {
    let path = base.path().trim_end_matches('/');
    let path = path.strip_suffix("/enqueue").unwrap_or(path);
    let path = path.strip_suffix("/v2").unwrap_or(path);
    let mut url = base.clone();
    url.set_path(&format!("{path}/v2/enqueue"));
    url.set_query(None);
    url
}

/// PagerDuty answers another form with a 400 at every event, so it is refused before.
fn routing_key(given: &Secret) -> Result<Secret, FieldError> {
    let key = given.expose().trim();
    let fits = key.len() == ROUTING_KEY_CHARS && key.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if fits {
        return Ok(key.into());
    }
    Err(FieldError::new(
        "credentials/routing_key",
        "is not a routing key, which has 32 letters and digits: copy the Integration Key of an Events API v2 \
         integration, not a key of the REST API",
    ))
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
