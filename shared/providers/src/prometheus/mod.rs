#![doc = include_str!("README.md")]

mod exposition;
mod group;

use std::sync::Arc;

use ::http::{
    HeaderMap, HeaderValue, Method,
    header::{ACCEPT, CONTENT_TYPE},
};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use signalbox_proto::{
    Accepted, Delivery, Outcome, Timestamp,
    totals::{Counted, NAME_BYTES_MAX},
};
use url::Url;

use crate::{
    About, FieldError, Kind, Limits, Provider, Request, Secret, Target, Text, classify,
    count::{Count, Push},
    display::text::{self, Measure},
    entity::SYSTEM,
    fields,
    http::{self, Auth, Response},
};

/// The job where a config names none.
pub const JOB: &str = "signalbox";
/// The prefix where a config names none.
pub const PREFIX: &str = "signalbox";
/// Longest `job`, in characters.
pub const JOB_CHARS_MAX: usize = 100;
/// Longest `metric_prefix`, in bytes.
pub const PREFIX_BYTES_MAX: usize = 64;
/// Prefixes of what a gateway tells of itself: a counter of ours under such a name could be refused.
const RESERVED: [&str; 4] = ["go", "process", "promhttp", "pushgateway"];
/// What answers at a gateway and at no Prometheus server.
const STATUS: [&str; 3] = ["api", "v1", "status"];

/// Counters at a Pushgateway.
pub struct Prometheus;

/// Where totals are pushed, and under which names.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the Pushgateway is, with its route prefix if it has one, and without /metrics.
    #[schemars(example = &"https://pushgateway.example.com")]
    pushgateway_url: String,
    /// The label job of all metrics. Default: signalbox.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100), example = &"signalbox")]
    job: Option<String>,
    /// What the names of all counters begin with: letters, digits and _. Default: signalbox.
    #[serde(default)]
    #[schemars(length(min = 1, max = 64), example = &"signalbox")]
    metric_prefix: Option<String>,
}

/// What lets a push in, where the gateway or a proxy before it asks for something.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// User and password for HTTP Basic. Either this or bearer.
    #[serde(default)]
    basic: Option<Basic>,
    /// A token for Authorization: Bearer. Either this or basic.
    #[serde(default)]
    #[schemars(example = &"a-token-of-the-proxy")]
    bearer: Option<Secret>,
}

/// HTTP Basic.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Basic {
    /// Without a colon.
    #[schemars(example = &"signalbox")]
    username: String,
    /// The password.
    #[schemars(example = &"a-long-password")]
    password: Secret,
}

/// What every push of an integration shares.
#[derive(Debug)]
pub struct Prepared {
    gateway: Url,
    job: String,
    prefix: String,
    auth: Auth,
}

impl Provider for Prometheus {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "prometheus";
    const DESCRIPTION: &'static str =
        "Counts events by type and agent, and pushes the totals to a Prometheus Pushgateway";
    const DOCS: &'static str = "https://github.com/prometheus/pushgateway";
    const KIND: Kind = Kind::Observability;
    const LIMITS: Limits = Limits { per_minute: None };

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let mut errors = Vec::new();
        let gateway = fields::keep(gateway(&config.pushgateway_url), &mut errors);
        let job = fields::optional("config/job", config.job.as_deref(), JOB_CHARS_MAX);
        let job = fields::keep(job, &mut errors).flatten();
        let prefix = fields::keep(prefix(config.metric_prefix.as_deref()), &mut errors);
        let auth = fields::keep_all(auth(&credentials), &mut errors);
        match (gateway, prefix, auth) {
            (Some(gateway), Some(prefix), Some(auth)) if errors.is_empty() => Ok(Prepared {
                gateway,
                job: job.unwrap_or_else(|| JOB.to_owned()),
                prefix,
                auth,
            }),
            _ => Err(errors),
        }
    }

    fn urls(prepared: &Prepared) -> Vec<(&'static str, &Url)> {
        vec![("config/pushgateway_url", &prepared.gateway)]
    }

    fn auth(prepared: &Prepared) -> &Auth {
        &prepared.auth
    }

    fn request(target: &Target<Self>, delivery: &Delivery, _text: &Text, _now: Timestamp) -> Request {
        Request::Count(Count {
            events: delivery.events.iter().map(counted).collect(),
            push: Arc::new(push(&target.prepared, &target.about)),
        })
    }

    fn classify(response: &Response, now: Timestamp) -> Outcome {
        let said = classify::by_status(response, now);
        // A push holds all that was ever counted: what is wrong with it is wrong with the next one too, and no fault of
        // an event.
        match (response.status, said) {
            (400, Outcome::Reject { reason }) => Outcome::Suspend {
                reason: format!(
                    "{reason}: a gateway answers so where a name of these has another type in another group; its log says which"
                ),
                at_once: false,
            },
            (413, Outcome::Reject { reason }) => Outcome::Suspend {
                reason: format!("{reason}: it, or a proxy before it, takes less than all totals of this integration"),
                at_once: false,
            },
            (_, Outcome::Reject { reason }) => Outcome::Suspend { reason, at_once: false },
            (_, said) => said,
        }
    }

    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        let Prepared { gateway, auth, .. } = &target.prepared;
        Some(Request::Http(http::Request {
            method: Method::GET,
            url: fields::below(gateway, &STATUS),
            headers: HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]),
            body: Bytes::new(),
            auth: auth.clone(),
            identity: None,
        }))
    }
}

fn push(prepared: &Prepared, about: &About) -> Push {
    let Prepared {
        gateway,
        job,
        prefix,
        auth,
    } = prepared;
    Push {
        head: http::Request {
            method: Method::PUT,
            url: group::url(gateway, job, about),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(exposition::CONTENT_TYPE))]),
            body: Bytes::new(),
            auth: auth.clone(),
            identity: None,
        },
        prefix: prefix.clone(),
        write: exposition::write,
    }
}

/// An event by its type and its agent, both fit for a metric.
fn counted(accepted: &Accepted) -> Counted {
    let event = &accepted.event;
    let kind = event.event_type.as_str().replace(['.', '-'], "_");
    let agent = text::line(event.agent_id.as_deref().unwrap_or_default(), NAME_BYTES_MAX);
    let agent = match &*agent {
        "" => SYSTEM.to_owned(),
        agent => text::cut(agent, NAME_BYTES_MAX, Measure::Bytes).into_owned(),
    };
    Counted { kind, agent }
}

fn gateway(text: &str) -> Result<Url, FieldError> {
    const POINTER: &str = "config/pushgateway_url";
    let url = fields::url(POINTER, text)?;
    let wrong = if !matches!(url.scheme(), "http" | "https") {
        "is not an address of http or https"
    } else if url.query().is_some() {
        "must not hold a query"
    } else if url.path().split('/').any(|part| part == "metrics") {
        "must end before /metrics: the rest is added"
    } else {
        return Ok(url);
    };
    Err(FieldError::new(POINTER, wrong))
}

fn prefix(given: Option<&str>) -> Result<String, FieldError> {
    let prefix = given.map_or(PREFIX, str::trim);
    let wrong = |message: String| Err(FieldError::new("config/metric_prefix", message));
    let begins_well = prefix.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !begins_well || !prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return wrong("is not of letters, digits and _ with no digit before them".to_owned());
    }
    if prefix.len() > PREFIX_BYTES_MAX {
        return wrong(format!("is longer than {PREFIX_BYTES_MAX} characters"));
    }
    let first = prefix.split('_').next().unwrap_or_default();
    if first.is_empty() || RESERVED.contains(&first) {
        return wrong("is one that gateways and Prometheus keep for themselves".to_owned());
    }
    Ok(prefix.to_owned())
}

fn auth(credentials: &Credentials) -> Result<Auth, Vec<FieldError>> {
    let Credentials { basic, bearer } = credentials;
    let mut errors = Vec::new();
    if basic.is_some() && bearer.is_some() {
        let message = "is one Authorization too many: give basic or bearer";
        errors.push(FieldError::new("credentials/bearer", message));
    }
    if let Some(Basic { username, .. }) = basic
        && username.contains(':')
    {
        errors.push(FieldError::new("credentials/basic/username", "must not hold a colon"));
    }
    let made = match (basic, bearer) {
        (Some(Basic { username, password }), _) => {
            Auth::basic(username, password).map_err(|error| FieldError::new("credentials/basic", error.to_string()))
        }
        (None, Some(token)) => bearer_of(token),
        (None, None) => Ok(Auth::None),
    };
    match fields::keep(made, &mut errors) {
        Some(auth) if errors.is_empty() => Ok(auth),
        _ => Err(errors),
    }
}

fn bearer_of(token: &Secret) -> Result<Auth, FieldError> {
    const POINTER: &str = "credentials/bearer";
    match token.expose().trim() {
        "" => Err(FieldError::new(POINTER, "is empty")),
        token => Auth::bearer(&token.into()).map_err(|error| FieldError::new(POINTER, error.to_string())),
    }
}

#[cfg(test)]
pub(crate) mod conformance;
#[cfg(test)]
mod tests;
