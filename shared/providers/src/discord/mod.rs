#![doc = include_str!("README.md")]

mod answers;
mod embed;
mod message;
mod text;

use std::fmt;

use ::http::{
    HeaderMap, HeaderValue, Method,
    header::{CONTENT_TYPE, HeaderName, USER_AGENT},
};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use signalbox_proto::{Delivery, Outcome, Timestamp};
use url::Url;

use self::embed::{Mentions, Message};
use crate::{
    FieldError, Kind, Limits, Provider, Request, Secret, Target, Text,
    display::Display,
    fields,
    http::{self, Auth, Response},
    template::{Markup, Takes},
};

/// Longest `username`, in characters.
pub const USERNAME_CHARS_MAX: usize = 80;
/// Digits of an id: it has 64 bits.
const ID_DIGITS_MAX: usize = 20;
/// What no `username` may contain, in any case.
const NOT_IN_USERNAMES: [&str; 2] = ["clyde", "discord"];
/// Where webhooks are.
const HOSTS: &[&str] = &["discord.com", "canary.discord.com", "ptb.discord.com", "discordapp.com"];
/// The version of the API whose answers are read here. An address without one means an old version, which tells waits
/// in milliseconds.
const VERSION: &str = "v10";
/// Room for the body of most messages.
const BODY_BYTES: usize = 2 * 1024;
const JSON: (HeaderName, HeaderValue) = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
/// In the form that Discord asks of all clients.
const AGENT: (HeaderName, HeaderValue) = (
    USER_AGENT,
    HeaderValue::from_static(concat!("DiscordBot (signalbox, ", env!("CARGO_PKG_VERSION"), ")")),
);

/// A channel of Discord.
pub struct Discord;

/// Where messages go, and as whose they appear.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address of a channel's webhook: whoever knows it can post, so it is kept secret. With ?thread_id=… it posts to
    /// that thread.
    #[schemars(example = &"https://discord.com/api/webhooks/1234567890123456789/token")]
    webhook_url: Secret,
    /// The name that messages appear under, 1 to 80 characters. Default: that of the webhook.
    #[serde(default)]
    #[schemars(example = &"Spec Bot")]
    username: Option<String>,
    /// The address of the picture beside messages, open to anybody. Default: that of the webhook.
    #[serde(default)]
    #[schemars(example = &"https://example.com/bot-avatar.png")]
    avatar_url: Option<String>,
}

/// None: the address of the webhook is all it takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {}

/// What every request of an integration shares.
pub struct Prepared {
    post: Url,
    username: Option<String>,
    avatar_url: Option<String>,
}

impl Provider for Discord {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "discord";
    const DESCRIPTION: &'static str = "Posts to a Discord channel by a webhook";
    const DOCS: &'static str = "https://discord.com/developers/docs/resources/webhook#execute-webhook";
    const KIND: Kind = Kind::Notification;
    const LIMITS: Limits = Limits { per_minute: Some(60) };
    const TEMPLATE: Takes = Takes::texts(Markup::Escaped(text::value));

    fn prepare(config: Config, _credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let mut errors = Vec::new();
        let post = fields::keep(webhook(&config.webhook_url), &mut errors);
        let username = fields::keep(username(config.username.as_deref()), &mut errors);
        let avatar_url = fields::keep(avatar_url(config.avatar_url.as_deref()), &mut errors);
        match (post, username, avatar_url) {
            (Some(post), Some(username), Some(avatar_url)) => Ok(Prepared {
                post,
                username,
                avatar_url,
            }),
            _ => Err(errors),
        }
    }

    fn urls(prepared: &Prepared) -> Vec<(&'static str, &Url)> {
        vec![("config/webhook_url", &prepared.post)]
    }

    fn hosts(_pointer: &str) -> &'static [&'static str] {
        HOSTS
    }

    fn request(target: &Target<Self>, delivery: &Delivery, text: &Text, _now: Timestamp) -> Request {
        let prepared = &target.prepared;
        let shown = Display::of(delivery, &target.about);
        let message = Message {
            username: prepared.username.as_deref(),
            avatar_url: prepared.avatar_url.as_deref(),
            embeds: [message::write(&shown, text)],
            allowed_mentions: Mentions { parse: [] },
        };
        let mut body = Vec::with_capacity(BODY_BYTES);
        serde_json::to_writer(&mut body, &message).expect("texts and numbers are written to memory");
        Request::Http(http::Request {
            method: Method::POST,
            url: prepared.post.clone(),
            headers: HeaderMap::from_iter([JSON, AGENT]),
            body: body.into(),
            auth: Auth::None,
            identity: None,
        })
    }

    fn classify(response: &Response, now: Timestamp) -> Outcome {
        answers::outcome(response, now)
    }

    /// Reads what the webhook is: nobody sees it.
    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        let mut url = target.prepared.post.clone();
        url.set_query(None);
        Some(Request::Http(http::Request {
            method: Method::GET,
            url,
            headers: HeaderMap::from_iter([AGENT]),
            body: Bytes::new(),
            auth: Auth::None,
            identity: None,
        }))
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("host", &self.post.host_str())
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Where messages are posted: with the version of the API, and waiting until they are saved, as only then an error is
/// told.
fn webhook(address: &Secret) -> Result<Url, FieldError> {
    let wrong = |message: &str| FieldError::new("config/webhook_url", message);
    let mut url = fields::url("config/webhook_url", address.expose())?;
    let is_discords = url.host_str().is_some_and(|host| HOSTS.contains(&host));
    let path = url.path().trim_matches('/').to_owned();
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [.., "webhooks", _, _, "slack" | "github"] => {
            return Err(wrong("takes the messages of others: leave out what follows the token"));
        }
        ["api", "webhooks", id, token] | ["api", _, "webhooks", id, token] if !id.is_empty() && !token.is_empty() => {
            if is_discords && !is_id(id) {
                return Err(wrong(
                    "has no id of a webhook behind webhooks/: it is a number of 20 digits at most",
                ));
            }
            url.set_path(&format!("/api/{VERSION}/webhooks/{id}/{token}"));
        }
        _ if is_discords => {
            return Err(wrong(
                "is not the address of a webhook: https://discord.com/api/webhooks/, its id and its token",
            ));
        }
        _ => {}
    }
    // Discord refuses every message to a thread that has no number. Who speaks its language may name them otherwise.
    if is_discords
        && url
            .query_pairs()
            .any(|(name, value)| name == "thread_id" && !is_id(&value))
    {
        return Err(wrong(
            "has a thread_id that is no id of a thread: it is a number of 20 digits at most",
        ));
    }
    let others: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| name != "wait")
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(others)
        .append_pair("wait", "true");
    Ok(url)
}

/// Whether it has the form of Discord's ids: the present ones have 17 to 20 digits, those of tests fewer.
fn is_id(text: &str) -> bool {
    (1..=ID_DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn username(given: Option<&str>) -> Result<Option<String>, FieldError> {
    let name = fields::optional("config/username", given, USERNAME_CHARS_MAX)?;
    let lower = name.as_deref().map(str::to_lowercase).unwrap_or_default();
    match NOT_IN_USERNAMES.iter().find(|word| lower.contains(**word)) {
        Some(word) => {
            let message = format!("must not contain {word}: Discord refuses it");
            Err(FieldError::new("config/username", message))
        }
        None => Ok(name),
    }
}

fn avatar_url(given: Option<&str>) -> Result<Option<String>, FieldError> {
    let Some(given) = given else { return Ok(None) };
    let url = fields::url("config/avatar_url", given)?;
    if matches!(url.scheme(), "http" | "https") && url.as_str().len() <= fields::URL_BYTES_MAX {
        return Ok(Some(url.into()));
    }
    Err(FieldError::new(
        "config/avatar_url",
        "must be a web address, http or https, of at most 2048 characters",
    ))
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
