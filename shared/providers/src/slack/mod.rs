#![doc = include_str!("README.md")]

mod answers;
mod blocks;
mod message;
mod text;

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

use self::answers::Asked;
use crate::{
    Exchange, FieldError, Kind, Limits, Provider, Request, Secret, Step, Target, Text,
    display::Display,
    fields,
    http::{self, Auth, Response},
    template::{Markup, Takes},
};

/// Where the web API is, unless `base_url` says otherwise.
pub const BASE_URL: &str = "https://slack.com";
/// Longest `channel`, in characters: names have at most 80, ids fewer.
pub const CHANNEL_CHARS_MAX: usize = 100;
/// Most entries of `mention_on_failure`.
pub const MENTIONS_MAX: usize = 20;
/// Longest id of a person or a group, in characters.
const ID_CHARS_MAX: usize = 32;
/// Where incoming webhooks are.
const WEBHOOK_HOSTS: &[&str] = &["hooks.slack.com", "hooks.slack-gov.com"];
/// Where the web API is.
const API_HOSTS: &[&str] = &["slack.com", "slack-gov.com"];
/// Room for the body of most messages.
const BODY_BYTES: usize = 2 * 1024;
/// How the path of an incoming webhook begins on Slack's hosts.
const WEBHOOK_PATH: &str = "/services/";
// Without the charset Slack answers with a warning.
const JSON: (HeaderName, HeaderValue) = (
    CONTENT_TYPE,
    HeaderValue::from_static("application/json; charset=utf-8"),
);

/// A channel of Slack.
pub struct Slack;

/// Where messages go, and who is called when something goes wrong.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address of an incoming webhook: whoever knows it can post, so it is kept secret. Either this or
    /// credentials.bot_token.
    #[serde(default)]
    webhook_url: Option<Secret>,
    /// The channel to post to: its id (C…) or #name. Needed with credentials.bot_token; a webhook has its own.
    #[serde(default)]
    channel: Option<String>,
    /// Who is mentioned when an event is bad news: @channel, @here, @everyone, or the id of a person (U…, W…) or of
    /// a group (S…).
    #[serde(default)]
    mention_on_failure: Vec<String>,
    /// Where the web API is, for GovSlack, proxies and tests. Default: <https://slack.com>.
    #[serde(default)]
    base_url: Option<String>,
}

/// What lets the web API in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The token of an app's bot (xoxb-…) with the scope chat:write. Either this or config.webhook_url.
    #[serde(default)]
    bot_token: Option<Secret>,
}

/// What every request of an integration shares.
pub struct Prepared {
    way: Way,
    channel: Option<String>,
    /// In Slack's markup, separated by spaces.
    mentions: String,
    warnings: Vec<FieldError>,
}

/// How messages get to Slack.
enum Way {
    Webhook { url: Url },
    Api(Box<Api>),
}

/// The web API with its methods.
struct Api {
    base: Url,
    post: Url,
    test: Url,
    auth: Auth,
}

impl Provider for Slack {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "slack";
    const DESCRIPTION: &'static str = "Posts to a Slack channel by an incoming webhook or a bot";
    const DOCS: &'static str = "https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks";
    const KIND: Kind = Kind::Notification;
    // About one message a second for each channel.
    const LIMITS: Limits = Limits { per_minute: Some(60) };
    const TEMPLATE: Takes = Takes::texts(Markup::Escaped(text::value));

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut warnings = Vec::new();
        let channel = channel(config.channel.as_deref(), &mut errors);
        let mentions = mentions(&config.mention_on_failure, &mut errors);
        let way = match (&config.webhook_url, &credentials.bot_token) {
            (Some(url), None) => webhook(url, &config, &mut warnings),
            (None, Some(token)) => api(token, &config),
            (Some(_), Some(_)) => Err(vec![FieldError::new(
                "credentials/bot_token",
                "cannot be given beside config.webhook_url: keep the one that is to be used",
            )]),
            (None, None) => Err(vec![FieldError::new(
                "config/webhook_url",
                "is missing: give it, or credentials.bot_token with config.channel",
            )]),
        };
        match way {
            Ok(way) if errors.is_empty() => Ok(Prepared {
                way,
                channel,
                mentions,
                warnings,
            }),
            Ok(_) => Err(errors),
            Err(wrong) => Err(wrong.into_iter().chain(errors).collect()),
        }
    }

    fn urls(prepared: &Prepared) -> Vec<(&'static str, &Url)> {
        match &prepared.way {
            Way::Webhook { url } => vec![("config/webhook_url", url)],
            Way::Api(api) => vec![("config/base_url", &api.base)],
        }
    }

    fn hosts(pointer: &str) -> &'static [&'static str] {
        match pointer {
            "config/webhook_url" => WEBHOOK_HOSTS,
            _ => API_HOSTS,
        }
    }

    fn warnings(prepared: &Prepared) -> Vec<FieldError> {
        prepared.warnings.clone()
    }

    fn request(target: &Target<Self>, delivery: &Delivery, text: &Text, _now: Timestamp) -> Request {
        let Prepared {
            way, channel, mentions, ..
        } = &target.prepared;
        let shown = Display::of(delivery, &target.about);
        let mut message = message::write(&shown, text, mentions);
        // The webhook of an app ignores it, one of the old kind obeys: which it is cannot be seen.
        message.channel = channel.as_deref();
        let (url, auth) = match way {
            Way::Webhook { url } => (url.clone(), Auth::None),
            Way::Api(api) => {
                message.link_names = Some(false);
                (api.post.clone(), api.auth.clone())
            }
        };
        let mut body = Vec::with_capacity(BODY_BYTES);
        serde_json::to_writer(&mut body, &message).expect("texts and numbers are written to memory");
        Request::Http(post(url, auth, body.into()))
    }

    fn next(target: &Target<Self>, delivery: &Delivery, text: &Text, so_far: &[Exchange], now: Timestamp) -> Step {
        let asked = match &target.prepared.way {
            Way::Webhook { url } if url.host_str().is_some_and(|host| WEBHOOK_HOSTS.contains(&host)) => Asked::Webhook,
            Way::Webhook { .. } => Asked::Likeness,
            Way::Api(_) => Asked::Api,
        };
        match so_far.last() {
            None => Step::Send(Self::request(target, delivery, text, now)),
            Some(exchange) => Step::Done(answers::outcome(&exchange.response, asked, now)),
        }
    }

    /// Of a probe, which only the web API has.
    fn classify(response: &Response, now: Timestamp) -> Outcome {
        answers::outcome(response, Asked::Api, now)
    }

    /// A webhook has none: whatever it takes, it shows.
    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        match &target.prepared.way {
            Way::Webhook { .. } => None,
            Way::Api(api) => Some(Request::Http(post(
                api.test.clone(),
                api.auth.clone(),
                Bytes::from_static(b"{}"),
            ))),
        }
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (way, url) = match &self.way {
            Way::Webhook { url } => ("webhook", url),
            Way::Api(api) => ("api", &api.base),
        };
        f.debug_struct("Prepared")
            .field("way", &way)
            .field("host", &url.host_str())
            .field("channel", &self.channel)
            .field("mentions", &self.mentions)
            .finish_non_exhaustive()
    }
}

fn post(url: Url, auth: Auth, body: Bytes) -> http::Request {
    http::Request {
        method: Method::POST,
        url,
        headers: HeaderMap::from_iter([JSON]),
        body,
        auth,
        identity: None,
    }
}

fn webhook(url: &Secret, config: &Config, warnings: &mut Vec<FieldError>) -> Result<Way, Vec<FieldError>> {
    let url = fields::url("config/webhook_url", url.expose()).map_err(|error| vec![error])?;
    let mut warn = |pointer: &str, message: &str| warnings.push(FieldError::new(pointer, message));
    let at_slack = WEBHOOK_HOSTS.iter().any(|host| url.host_str() == Some(host));
    if at_slack && !url.path().starts_with(WEBHOOK_PATH) {
        warn(
            "config/webhook_url",
            "does not look like an incoming webhook, whose path begins with /services/: a workflow takes other fields",
        );
    }
    if config.channel.is_some() {
        warn(
            "config/channel",
            "has no effect on the webhook of an app, which posts to the channel it was made for: use \
             credentials.bot_token to choose one",
        );
    }
    if config.base_url.is_some() {
        warn(
            "config/base_url",
            "has no effect beside webhook_url: it is for credentials.bot_token",
        );
    }
    Ok(Way::Webhook { url })
}

fn api(token: &Secret, config: &Config) -> Result<Way, Vec<FieldError>> {
    let mut errors = Vec::new();
    if config.channel.is_none() {
        let message = "is missing: a bot posts to the channel that is named here";
        errors.push(FieldError::new("config/channel", message));
    }
    let auth = match token.expose().trim() {
        "" => Err("is empty".to_owned()),
        token => Auth::bearer(&token.into()).map_err(|error| error.to_string()),
    };
    let auth = auth.map_err(|message| errors.push(FieldError::new("credentials/bot_token", message)));
    let base = fields::url("config/base_url", config.base_url.as_deref().unwrap_or(BASE_URL));
    let base = base.map_err(|error| errors.push(error));
    match (auth, base) {
        (Ok(auth), Ok(base)) if errors.is_empty() => Ok(Way::Api(Box::new(Api {
            post: method(&base, "chat.postMessage"),
            test: method(&base, "auth.test"),
            base,
            auth,
        }))),
        _ => Err(errors),
    }
}

/// The address of a method: `https://slack.com/api/auth.test`. Many write the base with `/api` already.
fn method(base: &Url, name: &str) -> Url {
    let path = base.path().trim_end_matches('/');
    let path = path.strip_suffix("/api").unwrap_or(path);
    let path = format!("{path}/api/{name}");
    let mut url = base.clone();
    url.set_path(&path);
    url.set_query(None);
    url
}

fn channel(given: Option<&str>, errors: &mut Vec<FieldError>) -> Option<String> {
    let channel = given?.trim();
    let odd = |c: char| c.is_control() || c.is_whitespace();
    if channel.is_empty() || channel.chars().count() > CHANNEL_CHARS_MAX || channel.contains(odd) {
        let message = "is not a channel: give its id, such as C0123456789, or #name";
        errors.push(FieldError::new("config/channel", message));
    }
    Some(channel.to_owned())
}

/// Those to mention, as Slack wants it: as plain text `@channel` calls nobody.
fn mentions(given: &[String], errors: &mut Vec<FieldError>) -> String {
    if given.len() > MENTIONS_MAX {
        let message = format!("has more than {MENTIONS_MAX} entries: make a group and mention that");
        errors.push(FieldError::new("config/mention_on_failure", message));
        return String::new();
    }
    let mut mentions: Vec<String> = Vec::with_capacity(given.len());
    for (index, name) in given.iter().enumerate() {
        match mention(name.trim()) {
            Some(mention) if mentions.contains(&mention) => {}
            Some(mention) => mentions.push(mention),
            None => errors.push(FieldError::new(
                format!("config/mention_on_failure/{index}"),
                "cannot be mentioned: use @channel, @here, @everyone, the id of a person (U…, in their profile under \
                 Copy member ID) or of a group (S…)",
            )),
        }
    }
    mentions.join(" ")
}

fn mention(name: &str) -> Option<String> {
    let is_id = || {
        (3..=ID_CHARS_MAX).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    match name {
        "@channel" => Some("<!channel>".to_owned()),
        "@here" => Some("<!here>".to_owned()),
        "@everyone" => Some("<!everyone>".to_owned()),
        id if id.starts_with(['U', 'W']) && is_id() => Some(format!("<@{id}>")),
        id if id.starts_with('S') && is_id() => Some(format!("<!subteam^{id}>")),
        _ => None,
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
