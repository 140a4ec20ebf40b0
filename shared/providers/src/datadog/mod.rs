#![doc = include_str!("README.md")]

mod answers;
mod duration;
mod event;
mod metric;
mod site;
mod tags;
mod text;

use ::http::{
    HeaderMap, HeaderValue, Method,
    header::{CONTENT_TYPE, HeaderName},
};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use signalbox_proto::{Delivery, Outcome, Timestamp};
use url::Url;

use self::{answers::Asked, metric::Names};
use crate::{
    Exchange, FieldError, Kind, Limits, Provider, Request, Secret, Step, Target, Text, fields,
    http::{self, Auth, Response},
    template::{Markup, Takes},
};

/// Most entries of `tags`, and of `event_tags`.
pub const TAGS_MAX: usize = 20;
/// All of an integration's tags together, in bytes: they are repeated in each series.
pub const TAGS_BYTES_MAX: usize = 2_000;
/// Where the metrics are that an integration names no place for.
pub const METRIC_PREFIX: &str = "signalbox";

/// The stream of events, or the metrics, of an account of Datadog.
pub struct Datadog;

/// Where events go, and as what.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The site of the account, as its address in the browser shows it without app. Default: datadoghq.com.
    #[serde(default)]
    #[schemars(extend("enum" = site::SITES), example = &"datadoghq.eu")]
    site: Option<String>,
    /// What each event becomes: an event of the stream, or metrics. Default: event.
    #[serde(default)]
    #[schemars(example = Action::Metric)]
    action: Option<Action>,
    /// The one count that all events go to, with action: metric. Either this or metric_prefix.
    #[serde(default)]
    #[schemars(example = &"platform.event")]
    metric_name: Option<String>,
    /// What stands before .processed, .success, .failure and .duration, with action: metric. Default: signalbox.
    #[serde(default)]
    #[schemars(example = &"spec_ingestion")]
    metric_prefix: Option<String>,
    /// Tags of all that is sent: key:value.
    #[serde(default)]
    #[schemars(length(max = 20), example = ["env:production"])]
    tags: Vec<String>,
    /// Further tags of events: key:value.
    #[serde(default)]
    #[schemars(length(max = 20), example = ["team:platform"])]
    event_tags: Vec<String>,
    /// The same as action: event.
    #[serde(default)]
    #[schemars(example = true)]
    send_events: Option<bool>,
    /// The same as action: metric.
    #[serde(default)]
    #[schemars(example = true)]
    send_metrics: Option<bool>,
    /// Where the API is, for proxies and tests. Default: api. before the site.
    #[serde(default)]
    #[schemars(example = &"https://api.datadoghq.eu")]
    base_url: Option<String>,
}

/// What an event becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Action {
    /// An event of the stream.
    Event,
    /// Metrics.
    Metric,
}

/// What lets requests in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// An API key of the account.
    api_key: Secret,
    /// An application key. It may be given, as many guides ask for both; nothing that is sent needs it, so it is never
    /// sent.
    #[serde(default)]
    app_key: Option<Secret>,
}

/// What every request of an integration shares.
#[derive(Debug)]
pub struct Prepared {
    base: Url,
    post: Url,
    validate: Url,
    key: HeaderValue,
    /// What metrics are called; none where events are sent.
    metrics: Option<Names>,
    tags: Vec<String>,
    warnings: Vec<FieldError>,
}

impl Provider for Datadog {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "datadog";
    const DESCRIPTION: &'static str = "Sends events to Datadog's stream, or counts them as metrics";
    const DOCS: &'static str = "https://docs.datadoghq.com/api/latest/events/";
    const KIND: Kind = Kind::Observability;
    const ACTIONS: &'static [&'static str] = &["event", "metric"];
    const LIMITS: Limits = Limits { per_minute: Some(60) };
    const TEMPLATE: Takes = Takes::texts(Markup::Escaped(text::value));

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut warnings = Vec::new();
        let key = fields::keep(fields::key("credentials/api_key", &credentials.api_key), &mut errors);
        if let Some(unused) = &credentials.app_key {
            fields::keep(fields::key("credentials/app_key", unused), &mut errors);
        }
        let site = fields::keep(site::base(config.site.as_deref()), &mut errors);
        let base = match config.base_url.as_deref() {
            Some(url) => fields::keep(fields::url("config/base_url", url), &mut errors),
            None => site,
        };
        let action = fields::keep(action(&config), &mut errors);
        let names = fields::keep_all(names(&config), &mut errors);
        let tags = own_tags(&config, action, &mut errors, &mut warnings);
        if let Some(action) = action {
            without_effect(&config, action, &mut warnings);
        }
        match (key, base, action, names) {
            (Some(key), Some(base), Some(action), Some(names)) if errors.is_empty() => {
                let path: [&str; 3] = match action {
                    Action::Event => ["api", "v1", "events"],
                    Action::Metric => ["api", "v2", "series"],
                };
                Ok(Prepared {
                    post: fields::below(&base, &path),
                    validate: fields::below(&base, &["api", "v1", "validate"]),
                    base,
                    key,
                    metrics: (action == Action::Metric).then_some(names),
                    tags,
                    warnings,
                })
            }
            _ => Err(errors),
        }
    }

    fn urls(prepared: &Prepared) -> Vec<(&'static str, &Url)> {
        vec![("config/base_url", &prepared.base)]
    }

    fn hosts(_pointer: &str) -> &'static [&'static str] {
        &site::HOSTS
    }

    fn warnings(prepared: &Prepared) -> Vec<FieldError> {
        prepared.warnings.clone()
    }

    fn request(target: &Target<Self>, delivery: &Delivery, text: &Text, now: Timestamp) -> Request {
        let prepared = &target.prepared;
        let body = match &prepared.metrics {
            None => event::body(delivery, &target.about, &prepared.tags, text, now),
            Some(names) => {
                metric::body(delivery, names, &prepared.tags, now, 0).expect("a delivery holds an event, which counts")
            }
        };
        post(prepared, body)
    }

    /// A digest of many agents may be more than one request of metrics takes.
    fn next(target: &Target<Self>, delivery: &Delivery, text: &Text, so_far: &[Exchange], now: Timestamp) -> Step {
        let Some(last) = so_far.last() else {
            return Step::Send(Self::request(target, delivery, text, now));
        };
        let prepared = &target.prepared;
        let asked = match prepared.metrics {
            None => Asked::Event,
            Some(_) => Asked::Series,
        };
        match (answers::outcome(&last.response, asked, now), &prepared.metrics) {
            (Outcome::Delivered, Some(names)) if delivery.is_digest() => {
                match metric::body(delivery, names, &prepared.tags, now, so_far.len()) {
                    Some(body) => Step::Send(post(prepared, body)),
                    None => Step::Done(Outcome::Delivered),
                }
            }
            (outcome, _) => Step::Done(outcome),
        }
    }

    /// Of a probe.
    fn classify(response: &Response, now: Timestamp) -> Outcome {
        answers::outcome(response, Asked::Key, now)
    }

    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        let prepared = &target.prepared;
        Some(Request::Http(http::Request {
            method: Method::GET,
            url: prepared.validate.clone(),
            headers: HeaderMap::from_iter([(KEY, prepared.key.clone())]),
            body: Bytes::new(),
            auth: Auth::None,
            identity: None,
        }))
    }
}

const KEY: HeaderName = HeaderName::from_static("dd-api-key");

fn post(prepared: &Prepared, body: Vec<u8>) -> Request {
    let json = HeaderValue::from_static("application/json");
    Request::Http(http::Request {
        method: Method::POST,
        url: prepared.post.clone(),
        headers: HeaderMap::from_iter([(CONTENT_TYPE, json), (KEY, prepared.key.clone())]),
        body: body.into(),
        auth: Auth::None,
        identity: None,
    })
}

/// What events become, by either way of saying it.
fn action(config: &Config) -> Result<Action, FieldError> {
    let wrong = |field: &str, message: &str| Err(FieldError::new(format!("config/{field}"), message));
    match (config.action, config.send_events, config.send_metrics) {
        (Some(Action::Event), _, Some(true)) => wrong(
            "send_metrics",
            "does not agree with action: event: make a second integration with action: metric",
        ),
        (Some(Action::Metric), Some(true), _) => wrong(
            "send_events",
            "does not agree with action: metric: make a second integration with action: event",
        ),
        (Some(Action::Event), Some(false), _) => wrong("send_events", "does not agree with action: event"),
        (Some(Action::Metric), _, Some(false)) => wrong("send_metrics", "does not agree with action: metric"),
        (Some(action), ..) => Ok(action),
        (None, Some(true), Some(true)) => wrong(
            "send_metrics",
            "cannot be true beside send_events: make two integrations, one with action: event and one with action: \
             metric",
        ),
        (None, _, Some(true)) => Ok(Action::Metric),
        (None, Some(false), _) => wrong("send_events", "leaves nothing to send: set it or send_metrics to true"),
        (None, Some(true) | None, _) => Ok(Action::Event),
    }
}

/// What metrics are called.
fn names(config: &Config) -> Result<Names, Vec<FieldError>> {
    let mut errors = Vec::new();
    if config.metric_name.is_some() && config.metric_prefix.is_some() {
        let message = "cannot be given beside metric_name: keep the one that is to be used";
        errors.push(FieldError::new("config/metric_prefix", message));
    }
    let longest = metric::NAME_BYTES_MAX - ".processed".len();
    let name = config.metric_name.as_deref();
    let name = name.and_then(|name| {
        fields::keep(
            metric_name("config/metric_name", name, metric::NAME_BYTES_MAX),
            &mut errors,
        )
    });
    let prefix = config.metric_prefix.as_deref().unwrap_or(METRIC_PREFIX);
    let prefix = prefix.trim().trim_end_matches('.');
    let prefix = fields::keep(metric_name("config/metric_prefix", prefix, longest), &mut errors);
    match (name, prefix) {
        (Some(name), _) if errors.is_empty() => Ok(Names::One(name)),
        (None, Some(prefix)) if errors.is_empty() => Ok(Names::below(&prefix)),
        _ => Err(errors),
    }
}

/// A name as Datadog keeps it: others it would change.
fn metric_name(pointer: &str, written: &str, bytes_max: usize) -> Result<String, FieldError> {
    let name = fields::line(pointer, written, bytes_max)?;
    let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(is_kept) {
        return Ok(name);
    }
    let message = "is not the name of a metric: it begins with a letter and holds letters, digits, _ and . alone";
    Err(FieldError::new(pointer, message))
}

/// The tags of the config as Datadog keeps them.
fn own_tags(
    config: &Config,
    action: Option<Action>,
    errors: &mut Vec<FieldError>,
    warnings: &mut Vec<FieldError>,
) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    let lists = [
        ("config/tags", &config.tags, true),
        ("config/event_tags", &config.event_tags, action != Some(Action::Metric)),
    ];
    for (pointer, list, is_sent) in lists {
        // Cut to what Datadog keeps: a line may be longer than a tag.
        let lines = fields::lines(pointer, list, TAGS_MAX, TAGS_BYTES_MAX);
        let lines = fields::keep_all(lines, errors).unwrap_or_default();
        for (index, line) in lines.iter().enumerate() {
            let pointer = format!("{pointer}/{index}");
            let Some(tag) = tags::own(line) else {
                let message = "is not a tag: it begins with a letter, such as team:platform";
                errors.push(FieldError::new(pointer, message));
                continue;
            };
            if tag != line.to_lowercase() {
                let message = "is changed: a tag begins with a letter, holds letters, digits and _ - : . / and has at \
                               most 200 characters";
                warnings.push(FieldError::new(pointer, message));
            }
            if is_sent && !tags.contains(&tag) {
                tags.push(tag);
            }
        }
    }
    if tags.iter().map(String::len).sum::<usize>() > TAGS_BYTES_MAX {
        let message = format!("is longer than {TAGS_BYTES_MAX} bytes in all: each series repeats it");
        errors.push(FieldError::new("config/tags", message));
    }
    tags
}

/// Fields that change nothing of what is sent.
fn without_effect(config: &Config, action: Action, warnings: &mut Vec<FieldError>) {
    let mut warn = |field: &str, given: bool, message: &str| {
        if given {
            warnings.push(FieldError::new(format!("config/{field}"), message));
        }
    };
    match action {
        Action::Event => {
            let message = "has no effect on events: it is for action: metric";
            warn("metric_name", config.metric_name.is_some(), message);
            warn("metric_prefix", config.metric_prefix.is_some(), message);
        }
        Action::Metric => {
            let message = "has no effect on metrics: tags is for both";
            warn("event_tags", !config.event_tags.is_empty(), message);
        }
    }
    let message = "has no effect beside base_url, which says where the API is";
    warn("site", config.site.is_some() && config.base_url.is_some(), message);
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
