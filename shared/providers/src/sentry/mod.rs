#![doc = include_str!("README.md")]

mod answers;
mod data;
mod dsn;
mod envelope;
mod event;
mod message;

use ::http::{
    HeaderMap, HeaderValue, Method,
    header::{CONTENT_TYPE, HeaderName},
};
use schemars::JsonSchema;
use serde::Deserialize;
use signalbox_proto::{Delivery, Outcome, Timestamp};
use url::Url;

use self::{dsn::Dsn, message::Sending};
use crate::{
    Exchange, FieldError, Kind, Limits, Provider, Request, Secret, Step, Target, Text, fields,
    http::{self, Auth, Response},
    template::{Markup, Takes},
};

const ENVELOPE: (HeaderName, HeaderValue) = (CONTENT_TYPE, HeaderValue::from_static("application/x-sentry-envelope"));
const AUTH: HeaderName = HeaderName::from_static("x-sentry-auth");
/// What the vendor takes for no environment.
const NO_ENVIRONMENT: &str = "none";

/// A project of Sentry.
pub struct Sentry;

/// How events are filed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The environment that events are filed under, such as production: one word of at most 64 characters, without
    /// slashes. Default: none.
    #[serde(default)]
    #[schemars(example = &"production", length(min = 1, max = 64))]
    environment: Option<String>,
}

/// Which project takes the events.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The DSN of the project: in its settings under Client Keys (DSN). Whoever knows it can send events.
    #[schemars(example = &"https://0f1e2d3c4b5a69788796a5b4c3d2e1f0@o42.ingest.sentry.io/4711")]
    dsn: Secret,
}

/// What every request of an integration shares.
#[derive(Debug)]
pub struct Prepared {
    dsn: Dsn,
    environment: Option<String>,
}

impl Provider for Sentry {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "sentry";
    const DESCRIPTION: &'static str = "Files events as issues of a Sentry project, by its DSN";
    const DOCS: &'static str = "https://develop.sentry.dev/sdk/data-model/envelopes/";
    const KIND: Kind = Kind::Observability;
    const LIMITS: Limits = Limits { per_minute: Some(60) };
    /// A message of Sentry has no markup.
    const TEMPLATE: Takes = Takes::texts(Markup::Plain);

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let mut errors = Vec::new();
        let environment = fields::keep_all(environment(config.environment.as_deref()), &mut errors).flatten();
        let dsn = fields::keep(Dsn::read(&credentials.dsn), &mut errors);
        match dsn {
            Some(dsn) if errors.is_empty() => Ok(Prepared { dsn, environment }),
            _ => Err(errors),
        }
    }

    /// Sentry runs on hosts of its vendor and of others alike: egress rules alone judge it.
    fn urls(prepared: &Prepared) -> Vec<(&'static str, &Url)> {
        vec![(dsn::POINTER, &prepared.dsn.envelopes)]
    }

    fn warnings(prepared: &Prepared) -> Vec<FieldError> {
        let old = "has the old form with a secret key behind a colon, which is not sent: the DSN without it is enough";
        let old = prepared.dsn.has_secret.then(|| FieldError::new(dsn::POINTER, old));
        old.into_iter().collect()
    }

    fn next(target: &Target<Self>, delivery: &Delivery, text: &Text, so_far: &[Exchange], now: Timestamp) -> Step {
        let mut outcome = Outcome::Delivered;
        for exchange in so_far {
            match answers::outcome(&exchange.response, now) {
                Outcome::Delivered => {}
                // The other events of a digest are not at fault.
                rejected @ Outcome::Reject { .. } => outcome = rejected,
                other => return Step::Done(other),
            }
        }
        match request(target, delivery, text, so_far.len(), now) {
            Some(request) => Step::Send(request),
            None => Step::Done(outcome),
        }
    }

    fn request(target: &Target<Self>, delivery: &Delivery, text: &Text, now: Timestamp) -> Request {
        request(target, delivery, text, 0, now).expect("a delivery has an event, and so a first request")
    }

    fn classify(response: &Response, now: Timestamp) -> Outcome {
        answers::of_probe(response, now)
    }

    fn probe(target: &Target<Self>, now: Timestamp) -> Option<Request> {
        Some(post(&target.prepared.dsn, envelope::of_nothing(now)))
    }
}

fn request(target: &Target<Sentry>, delivery: &Delivery, text: &Text, index: usize, now: Timestamp) -> Option<Request> {
    let Prepared { dsn, environment } = &target.prepared;
    let sending = Sending {
        delivery,
        about: &target.about,
        environment: environment.as_deref(),
        text,
        now,
    };
    Some(post(dsn, sending.envelope(index)?))
}

fn post(dsn: &Dsn, envelope: Vec<u8>) -> Request {
    Request::Http(http::Request {
        method: Method::POST,
        url: dsn.envelopes.clone(),
        headers: HeaderMap::from_iter([ENVELOPE, (AUTH, dsn.auth.clone())]),
        body: envelope.into(),
        auth: Auth::None,
        identity: None,
    })
}

fn environment(given: Option<&str>) -> Result<Option<String>, Vec<FieldError>> {
    const POINTER: &str = "config/environment";
    let wrong = |message: &str| vec![FieldError::new(POINTER, message)];
    let line = fields::optional(POINTER, given, event::ENVIRONMENT_CHARS_MAX).map_err(|error| vec![error])?;
    match line.as_deref() {
        Some(text) if text.contains(|c: char| c == '/' || c.is_whitespace()) => {
            Err(wrong("holds a space or a slash, which Sentry does not take"))
        }
        Some(text) if text.eq_ignore_ascii_case(NO_ENVIRONMENT) => {
            Err(wrong("means no environment to Sentry: leave it out"))
        }
        _ => Ok(line),
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
