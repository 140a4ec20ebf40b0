#![doc = include_str!("README.md")]

mod answers;
mod message;

use std::fmt;

use ::http::{
    HeaderMap, HeaderValue, Method,
    header::{CONTENT_TYPE, HeaderName},
};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use signalbox_proto::{Delivery, Outcome, Timestamp};
use url::Url;

use crate::{
    Exchange, FieldError, Kind, Limits, Provider, Request, Secret, Step, Target, Text,
    display::Display,
    fields,
    http::{self, Auth, Response},
    redact::SECRET_BYTES_MIN,
    template::{Markup, Takes},
};

/// Where the server is, unless `base_url` says otherwise.
pub const BASE_URL: &str = "https://ntfy.sh";
/// Longest name of a topic, in characters.
pub const TOPIC_CHARS_MAX: usize = 64;
/// Most tags of an owner.
pub const TAGS_MAX: usize = 5;
/// Longest of them, in bytes.
pub const TAG_BYTES_MAX: usize = 40;
/// Longest name of a user, in characters.
const USER_CHARS_MAX: usize = 255;
/// How access tokens begin.
const TOKEN_PREFIX: &str = "tk_";
/// The host at which anybody may read and write a topic that nobody has reserved.
const PUBLIC_HOST: &str = "ntfy.sh";
/// Shorter names of topics are found by trying.
const TOPIC_GUESSABLE_CHARS: usize = 12;
/// Names that the server keeps for its own pages.
const NOT_TOPICS: [&str; 10] = [
    "docs", "static", "file", "app", "metrics", "account", "settings", "signup", "login", "v1",
];
const JSON: (HeaderName, HeaderValue) = (CONTENT_TYPE, HeaderValue::from_static("application/json"));

/// A topic of ntfy.
pub struct Ntfy;

/// Where notifications go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of the topic: 1 to 64 letters, digits, - and _. Whoever knows it can read and write where the server asks
    /// for no credentials, so it is kept secret.
    #[schemars(example = &"acme-alerts-Xk3vQ9tR2mZp")]
    topic: Secret,
    /// Tags beside severity and type, at most 5. The name of an emoji (warning, tada) is shown as that before the title.
    #[serde(default)]
    #[schemars(length(max = 5), example = ["rotating_light"])]
    tags: Vec<String>,
    /// Where the server is, for one of your own. Default: <https://ntfy.sh>.
    #[serde(default)]
    #[schemars(example = &"https://ntfy.example.com")]
    base_url: Option<String>,
}

/// What lets us write to the topic: an access token, or user and password, or nothing where anybody may.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// An access token (tk_…) of a user who may write to the topic. Either this, or user and password.
    #[serde(default)]
    #[schemars(example = &"tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2")]
    token: Option<Secret>,
    /// The name of a user who may write to the topic.
    #[serde(default)]
    #[schemars(example = &"signalbox")]
    user: Option<String>,
    /// The password of that user.
    #[serde(default)]
    #[schemars(example = &"a-long-password")]
    password: Option<Secret>,
}

/// What every request of an integration shares.
pub struct Prepared {
    base: Url,
    publish: Url,
    account: Url,
    topic: String,
    tags: Vec<String>,
    auth: Auth,
    warnings: Vec<FieldError>,
}

impl Provider for Ntfy {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "ntfy";
    const DESCRIPTION: &'static str = "Pushes notifications to phones by a topic of ntfy";
    const DOCS: &'static str = "https://docs.ntfy.sh/publish/#publish-as-json";
    const KIND: Kind = Kind::Notification;
    // One request in five seconds is what a server gives back of those that were used.
    const LIMITS: Limits = Limits { per_minute: Some(12) };
    const TEMPLATE: Takes = Takes::texts(Markup::Plain);

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        let topic = fields::keep(topic(&config.topic), &mut errors);
        let tags = fields::keep_all(tags(&config.tags), &mut errors);
        let base = fields::url("config/base_url", config.base_url.as_deref().unwrap_or(BASE_URL));
        let base = fields::keep(base, &mut errors);
        let auth = fields::keep_all(auth(&credentials, &mut warnings), &mut errors);
        match (topic, tags, base, auth) {
            (Some(topic), Some(tags), Some(base), Some(auth)) => {
                let anybody = matches!(auth, Auth::None) && base.host_str() == Some(PUBLIC_HOST);
                if topic.len() < SECRET_BYTES_MIN {
                    let message =
                        "is so short that it cannot be told from other words: previews and the history show it";
                    warnings.push(FieldError::new("config/topic", message));
                }
                if anybody && topic.len() < TOPIC_GUESSABLE_CHARS {
                    let message = "is short: at ntfy.sh whoever guesses it reads along. Take a long random one, or \
                                   reserve it and give credentials.token";
                    warnings.push(FieldError::new("config/topic", message));
                }
                Ok(Prepared {
                    // The root itself: its path ends in a slash.
                    publish: fields::below(&base, &[""]),
                    account: fields::below(&base, &["v1", "account"]),
                    base,
                    topic,
                    tags,
                    auth,
                    warnings,
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

    fn warnings(prepared: &Prepared) -> Vec<FieldError> {
        prepared.warnings.clone()
    }

    fn request(target: &Target<Self>, delivery: &Delivery, text: &Text, _now: Timestamp) -> Request {
        let prepared = &target.prepared;
        let shown = Display::of(delivery, &target.about);
        let notification = message::write(prepared, delivery, &shown, text);
        let body = serde_json::to_vec(&notification).expect("texts and numbers are written to memory");
        Request::Http(http::Request {
            method: Method::POST,
            url: prepared.publish.clone(),
            headers: HeaderMap::from_iter([JSON]),
            body: body.into(),
            auth: prepared.auth.clone(),
            identity: None,
        })
    }

    fn next(target: &Target<Self>, delivery: &Delivery, text: &Text, so_far: &[Exchange], now: Timestamp) -> Step {
        match so_far.last() {
            None => Step::Send(Self::request(target, delivery, text, now)),
            Some(exchange) => Step::Done(answers::published(&exchange.response, now)),
        }
    }

    /// Of a probe.
    fn classify(response: &Response, now: Timestamp) -> Outcome {
        answers::probed(response, now)
    }

    /// Reads whose account it is: that needs no right to any topic, and counts against no limit.
    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        Some(Request::Http(http::Request {
            method: Method::GET,
            url: target.prepared.account.clone(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            auth: target.prepared.auth.clone(),
            identity: None,
        }))
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("host", &self.base.host_str())
            .field("tags", &self.tags)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

fn topic(given: &Secret) -> Result<String, FieldError> {
    let topic = given.expose().trim();
    let wrong = |message: &str| Err(FieldError::new("config/topic", message));
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !(1..=TOPIC_CHARS_MAX).contains(&topic.len()) || !topic.bytes().all(fits) {
        return wrong("is no name of a topic: 1 to 64 letters, digits, - and _, without the address of the server");
    }
    if NOT_TOPICS.contains(&topic) {
        return wrong("is a name that ntfy keeps for itself: choose another");
    }
    Ok(topic.to_owned())
}

/// The server parts them at commas.
fn tags(given: &[String]) -> Result<Vec<String>, Vec<FieldError>> {
    let tags = fields::lines("config/tags", given, TAGS_MAX, TAG_BYTES_MAX)?;
    let odd = |tag: &String| tag.contains(',') || tag.len() > TAG_BYTES_MAX;
    let errors: Vec<FieldError> = tags
        .iter()
        .enumerate()
        .filter(|(_, tag)| odd(tag))
        .map(wrong_tag)
        .collect();
    if errors.is_empty() { Ok(tags) } else { Err(errors) }
}

fn wrong_tag((index, _): (usize, &String)) -> FieldError {
    let message = format!("holds a comma or is longer than {TAG_BYTES_MAX} bytes: write one tag an entry");
    FieldError::new(format!("config/tags/{index}"), message)
}

fn auth(credentials: &Credentials, warnings: &mut Vec<FieldError>) -> Result<Auth, Vec<FieldError>> {
    let wrong = |pointer: &str, message: &str| Err(vec![FieldError::new(pointer, message)]);
    match (&credentials.token, &credentials.user, &credentials.password) {
        (None, None, None) => Ok(Auth::None),
        (Some(token), None, None) => bearer(token, warnings).map_err(|error| vec![error]),
        (None, Some(user), Some(password)) => basic(user, password),
        (None, Some(_), None) => wrong("credentials/password", "is missing: user needs it"),
        (None, None, Some(_)) => wrong("credentials/user", "is missing: password needs it"),
        (Some(_), ..) => wrong(
            "credentials/token",
            "cannot be given beside user and password: keep what is to be used",
        ),
    }
}

fn bearer(token: &Secret, warnings: &mut Vec<FieldError>) -> Result<Auth, FieldError> {
    const POINTER: &str = "credentials/token";
    fields::key(POINTER, token)?;
    let token = Secret::from(token.expose().trim());
    if !token.expose().starts_with(TOKEN_PREFIX) {
        warnings.push(FieldError::new(
            POINTER,
            "does not begin with tk_, as access tokens do: a password belongs into password, beside user",
        ));
    }
    Auth::bearer(&token).map_err(|error| FieldError::new(POINTER, error.to_string()))
}

fn basic(user: &str, password: &Secret) -> Result<Auth, Vec<FieldError>> {
    let mut errors = Vec::new();
    let user = fields::keep(fields::line("credentials/user", user, USER_CHARS_MAX), &mut errors);
    if user.as_ref().is_some_and(|user| user.contains(':')) {
        let message = "holds a colon, which no name of a user may";
        errors.push(FieldError::new("credentials/user", message));
    }
    if password.expose().is_empty() {
        errors.push(FieldError::new("credentials/password", "is empty"));
    }
    match user {
        Some(user) if errors.is_empty() => {
            let auth = Auth::basic(&user, password);
            auth.map_err(|error| vec![FieldError::new("credentials/user", error.to_string())])
        }
        _ => Err(errors),
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
