#![doc = include_str!("README.md")]

mod answers;
mod chat;
mod markup;
mod message;
mod text;

use std::fmt;

use ::http::{
    HeaderMap, HeaderValue, Method,
    header::{CONTENT_TYPE, HeaderName},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use signalbox_proto::{Delivery, Outcome, Timestamp};
use url::Url;

use self::{
    chat::{ChatId, Given},
    message::{Form, LinkPreview, Message},
};
use crate::{
    Exchange, FieldError, Kind, Limits, Provider, Request, Secret, Step, Target, Text,
    display::Display,
    fields,
    http::{self, Auth, Response},
    template::{Markup, Takes},
};

/// Where the Bot API is, unless `base_url` says otherwise.
pub const BASE_URL: &str = "https://api.telegram.org";
/// The greatest `message_thread_id`.
pub const THREAD_MAX: i64 = i32::MAX as i64;
/// Where the Bot API is.
const HOSTS: &[&str] = &["api.telegram.org"];
/// Characters of a token behind its colon: BotFather's have 35.
const TOKEN_CHARS: std::ops::RangeInclusive<usize> = 20..=100;
/// The usual number of them.
const TOKEN_CHARS_USUAL: usize = 35;
/// Digits of a token before its colon: the id of the bot.
const TOKEN_DIGITS_MAX: usize = 19;
/// The topic General, which is written to by naming none.
const THREAD_GENERAL: i64 = 1;
/// Room for the body of most messages.
const BODY_BYTES: usize = 1024;
const JSON: (HeaderName, HeaderValue) = (CONTENT_TYPE, HeaderValue::from_static("application/json"));

/// A chat of Telegram.
pub struct Telegram;

/// Where messages go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The chat: its number (below zero for groups and channels), or the @name of a public group or channel.
    #[schemars(example = -1_001_234_567_890_i64, example = "@acme_alerts")]
    chat_id: Given,
    /// The number of a topic, in a group that has topics. Without it messages go to the topic General.
    #[serde(default)]
    #[schemars(range(min = 2, max = 2_147_483_647), example = 42)]
    message_thread_id: Option<i64>,
    /// Whether messages come without a sound.
    #[serde(default)]
    #[schemars(example = true)]
    disable_notification: bool,
    /// Where the Bot API is, for a server of one's own, proxies and tests. Default: <https://api.telegram.org>.
    #[serde(default)]
    #[schemars(example = "https://telegram.example.com")]
    base_url: Option<String>,
}

/// What lets the bot in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The token of the bot, as BotFather shows it: 123456789:… with 35 signs behind the colon.
    #[schemars(example = "123456789:AAExampleExampleExampleExampleExamp")]
    bot_token: Secret,
}

/// What every request of an integration shares.
pub struct Prepared {
    base: Url,
    /// Their paths hold the token.
    send: Url,
    get_chat: Url,
    chat: ChatId,
    thread: Option<i32>,
    silent: bool,
    warnings: Vec<FieldError>,
}

/// What the probe asks of.
#[derive(Serialize)]
struct Asked<'a> {
    chat_id: &'a ChatId,
}

impl Provider for Telegram {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "telegram";
    const DESCRIPTION: &'static str = "Posts to a Telegram chat, group, topic or channel by a bot";
    const DOCS: &'static str = "https://core.telegram.org/bots/api#sendmessage";
    const KIND: Kind = Kind::Notification;
    const LIMITS: Limits = Limits { per_minute: Some(60) };
    const TEMPLATE: Takes = Takes::texts(Markup::Escaped(text::value));

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        let chat = fields::keep(ChatId::read("config/chat_id", &config.chat_id), &mut errors);
        let thread = fields::keep(thread(config.message_thread_id), &mut errors);
        let base = fields::url("config/base_url", config.base_url.as_deref().unwrap_or(BASE_URL));
        let base = fields::keep(base, &mut errors);
        let token = fields::keep(token(&credentials.bot_token, &mut warnings), &mut errors);
        match (chat, thread, base, token) {
            (Some(chat), Some(thread), Some(base), Some(token)) => {
                let bot = ["bot", token].concat();
                Ok(Prepared {
                    send: fields::below(&base, &[&bot, "sendMessage"]),
                    get_chat: fields::below(&base, &[&bot, "getChat"]),
                    base,
                    chat,
                    thread,
                    silent: config.disable_notification,
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
        HOSTS
    }

    fn warnings(prepared: &Prepared) -> Vec<FieldError> {
        prepared.warnings.clone()
    }

    fn request(target: &Target<Self>, delivery: &Delivery, text: &Text, _now: Timestamp) -> Request {
        message(target, delivery, text, &target.prepared.chat, Form::Rich)
    }

    /// A message whose markup or buttons a server does not take is sent once more without them, and one to a group that
    /// became a supergroup once more to that: three requests at most.
    fn next(target: &Target<Self>, delivery: &Delivery, text: &Text, so_far: &[Exchange], now: Timestamp) -> Step {
        let Some((last, before)) = so_far.split_last() else {
            return Step::Send(Self::request(target, delivery, text, now));
        };
        let moved = so_far.iter().find_map(|exchange| answers::moved_to(&exchange.response));
        let was_moved = before
            .iter()
            .any(|exchange| answers::moved_to(&exchange.response).is_some());
        let was_too_rich = before.iter().any(|exchange| answers::is_too_rich(&exchange.response));
        let is_too_rich = answers::is_too_rich(&last.response);
        let moves = moved.is_some() && !was_moved;
        if moves || is_too_rich && !was_too_rich {
            let chat = moved.as_ref().unwrap_or(&target.prepared.chat);
            let form = if is_too_rich || was_too_rich {
                Form::Plain
            } else {
                Form::Rich
            };
            return Step::Send(message(target, delivery, text, chat, form));
        }
        let outcome = answers::outcome(&last.response, now);
        Step::Done(match moved {
            // What is said of the chat is said of another than the config names. A second move names the last itself.
            Some(chat) if answers::moved_to(&last.response).is_none() => outcome
                .map_reason(|reason| format!("{reason} (the group became the supergroup {chat}: set chat_id to that)")),
            _ => outcome,
        })
    }

    fn classify(response: &Response, now: Timestamp) -> Outcome {
        answers::outcome(response, now)
    }

    /// Asks for the chat: that shows the token and, where the bot may see it, the chat, and nobody sees it.
    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        let prepared = &target.prepared;
        let asked = Asked {
            chat_id: &prepared.chat,
        };
        Some(post(&prepared.get_chat, &asked))
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("host", &self.base.host_str())
            .field("chat", &self.chat)
            .field("thread", &self.thread)
            .field("silent", &self.silent)
            .finish_non_exhaustive()
    }
}

fn message(target: &Target<Telegram>, delivery: &Delivery, text: &Text, chat: &ChatId, form: Form) -> Request {
    let prepared = &target.prepared;
    let shown = Display::of(delivery, &target.about);
    let (text, reply_markup) = message::write(&shown, text, form);
    post(
        &prepared.send,
        &Message {
            chat_id: chat,
            message_thread_id: prepared.thread,
            text,
            parse_mode: (form == Form::Rich).then_some("HTML"),
            link_preview_options: LinkPreview { is_disabled: true },
            disable_notification: prepared.silent,
            reply_markup,
        },
    )
}

fn post(url: &Url, body: &impl Serialize) -> Request {
    let mut bytes = Vec::with_capacity(BODY_BYTES);
    serde_json::to_writer(&mut bytes, body).expect("texts and numbers are written to memory");
    Request::Http(http::Request {
        method: Method::POST,
        url: url.clone(),
        headers: HeaderMap::from_iter([JSON]),
        body: bytes.into(),
        auth: Auth::None,
        identity: None,
    })
}

/// A token as it stands in addresses. What does not look like one is refused here, as it could name another method.
fn token<'a>(secret: &'a Secret, warnings: &mut Vec<FieldError>) -> Result<&'a str, FieldError> {
    const POINTER: &str = "credentials/bot_token";
    let token = secret.expose().trim();
    let (bot, key) = token.split_once(':').unwrap_or((token, ""));
    let is_id = (1..=TOKEN_DIGITS_MAX).contains(&bot.len()) && bot.bytes().all(|byte| byte.is_ascii_digit());
    let of_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !is_id || !TOKEN_CHARS.contains(&key.len()) || !key.bytes().all(of_key) {
        let message = "is not the token of a bot: it is a number, a colon and about 35 letters, digits, - and _, as \
                       BotFather shows it, without bot before it";
        return Err(FieldError::new(POINTER, message));
    }
    if key.len() != TOKEN_CHARS_USUAL {
        let message = format!("does not have {TOKEN_CHARS_USUAL} signs behind its colon, as tokens do: is it whole?");
        warnings.push(FieldError::new(POINTER, message));
    }
    Ok(token)
}

fn thread(given: Option<i64>) -> Result<Option<i32>, FieldError> {
    let wrong = |message: String| FieldError::new("config/message_thread_id", message);
    match given {
        None => Ok(None),
        Some(THREAD_GENERAL) => Err(wrong("is the topic General: leave it out to write there".to_owned())),
        Some(number) => match i32::try_from(number) {
            Ok(number @ 2..) => Ok(Some(number)),
            _ => Err(wrong(format!("is outside 2 to {THREAD_MAX}"))),
        },
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
