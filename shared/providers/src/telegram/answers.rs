//! What Telegram's answers mean.
//!
//! An answer is JSON with `ok`; a refusal has the status again as `error_code`, and says why in words alone, in
//! `description`. Telegram publishes no list of them: these are the words of its server's own source and of reports. What
//! is not known means what its status says.

use std::{fmt, time::Duration};

use bytes::Bytes;
use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use signalbox_proto::{Outcome, Timestamp};

use super::chat::ChatId;
use crate::{classify, http::Response};

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// This message will never be taken.
    Reject,
    /// It may be taken without markup and buttons.
    TooRich,
    /// Somebody has to do something first: the text says what.
    Suspend(&'static str),
    /// As `Suspend`, and it will not mend by itself.
    Gone(&'static str),
}

use Meaning::{Gone, Reject, Suspend, TooRich};

const CHAT: &str = "check chat_id; the bot must be in the group or channel, and a person must have written to it first";
const MEMBER: &str = "add the bot to the chat again";
const RIGHTS: &str = "let the bot post in the chat: in a channel as an administrator who may post messages";
const TOPIC: &str = "check message_thread_id, and that the topic is open";
const ANOTHER: &str = "set chat_id to another chat";
const MIGRATED: &str = "set chat_id to the number of the supergroup that it became";
const TOKEN: &str = "set bot_token to the token that BotFather shows";

/// How descriptions begin, in lower case and without `Bad Request: ` or `Forbidden: `, and what they mean. What has the
/// same meaning stands together. They may go on with words of the message, so only beginnings are compared.
const DESCRIPTIONS: &[(&str, Meaning)] = &[
    ("can't parse entities", TooRich),
    ("inline keyboard button", TooRich),
    ("button_url_invalid", TooRich),
    ("button_invalid", TooRich),
    ("reply markup is too long", TooRich),
    ("reply_markup_invalid", TooRich),
    ("entity_bounds_invalid", TooRich),
    ("entities_too_long", TooRich),
    ("message is too long", Reject),
    ("text is too long", Reject),
    ("message text is empty", Reject),
    ("text must be non-empty", Reject),
    ("group chat was upgraded to a supergroup chat", Gone(MIGRATED)),
    ("the group chat was deleted", Gone(ANOTHER)),
    ("user is deactivated", Gone(ANOTHER)),
    ("chat not found", Suspend(CHAT)),
    ("private chat not found", Suspend(CHAT)),
    ("chat_id is empty", Suspend(CHAT)),
    ("peer_id_invalid", Suspend(CHAT)),
    ("user not found", Suspend(CHAT)),
    ("bot can't initiate conversation with a user", Suspend(CHAT)),
    ("bot can't send messages to bots", Suspend(ANOTHER)),
    ("the bot can't send messages to the bot", Suspend(ANOTHER)),
    (
        "bot was blocked by the user",
        Suspend("the person must unblock the bot"),
    ),
    ("bot was kicked", Suspend(MEMBER)),
    ("bot is not a member", Suspend(MEMBER)),
    ("channel_private", Suspend(MEMBER)),
    ("not enough rights", Suspend(RIGHTS)),
    ("have no rights to send a message", Suspend(RIGHTS)),
    ("have no write access to the chat", Suspend(RIGHTS)),
    ("need administrator rights", Suspend(RIGHTS)),
    ("chat_write_forbidden", Suspend(RIGHTS)),
    ("chat_send_plain_forbidden", Suspend(RIGHTS)),
    ("chat_admin_required", Suspend(RIGHTS)),
    ("chat_restricted", Suspend(RIGHTS)),
    ("user_banned_in_channel", Suspend(RIGHTS)),
    ("message thread not found", Suspend(TOPIC)),
    ("topic_closed", Suspend(TOPIC)),
    ("topic_deleted", Suspend(TOPIC)),
    ("topic_id_invalid", Suspend(TOPIC)),
];

/// What an answer means. `now` is when it came.
pub(super) fn outcome(response: &Response, now: Timestamp) -> Outcome {
    let answer = Answer::of(&response.body);
    match (answer.status(response.status), answer.ok) {
        // Trouble of the server and its limit are that, whatever the body says.
        (408 | 425 | 429 | 500.., _) => busy(response, &answer, now),
        (200..=299, Some(true)) => Outcome::Delivered,
        // A page of a proxy or a sign-in: Telegram itself has not answered, so the message is neither there nor
        // refused. It is tried again, as a message that comes twice does less harm than one that never comes.
        (200..=299, _) => Outcome::Retry {
            reason: "the answer is not Telegram's: neither ok nor an error".to_owned(),
            after: classify::after(response, now),
        },
        (400..=499, Some(false)) => refused(response, &answer, now),
        _ => classify::by_status(response, now),
    }
}

/// Whether the message may be taken without its markup and buttons.
pub(super) fn is_too_rich(response: &Response) -> bool {
    let answer = Answer::of(&response.body);
    answer.ok == Some(false)
        && answer.status(response.status) == 400
        && answer.known().is_some_and(|(_, meaning)| meaning == TooRich)
}

/// The supergroup that the group became which the message was sent to: it takes what the group does not take any more.
pub(super) fn moved_to(response: &Response) -> Option<ChatId> {
    let answer = Answer::of(&response.body);
    let is_refusal = answer.ok == Some(false) && answer.status(response.status) == 400;
    is_refusal.then(|| answer.supergroup()).flatten()
}

/// The time to wait is told in the body, where other vendors have a header.
fn busy(response: &Response, answer: &Answer, now: Timestamp) -> Outcome {
    let told = answer.parameters.retry_after.map(Duration::from_secs);
    match classify::by_status(&with_status(response, answer), now) {
        Outcome::Retry { reason, after } => Outcome::Retry {
            reason,
            after: after.max(told).map(|after| after.min(classify::RETRY_AFTER_MAX)),
        },
        other => other,
    }
}

fn refused(response: &Response, answer: &Answer, now: Timestamp) -> Outcome {
    let suspend = |reason: String, at_once| Outcome::Suspend { reason, at_once };
    if let Some(id) = answer.supergroup() {
        return suspend(format!("the group became a supergroup: set chat_id to {id}"), true);
    }
    let reason = |said: &str| format!("Telegram answered: {said}");
    match answer.known() {
        Some((said, Reject | TooRich)) => Outcome::Reject { reason: reason(said) },
        Some((said, Suspend(remedy))) => suspend(format!("{}: {remedy}", reason(said)), false),
        Some((said, Gone(remedy))) => suspend(format!("{}: {remedy}", reason(said)), true),
        None => {
            let outcome = classify::by_status(&with_status(response, answer), now);
            let remedy = match answer.status(response.status) {
                // A token that cannot be one is no part of any address.
                401 | 404 => TOKEN,
                403 => RIGHTS,
                _ => return outcome,
            };
            outcome.map_reason(|reason| format!("{reason}: {remedy}"))
        }
    }
}

/// The answer as if it had come with the status that its body names.
fn with_status(response: &Response, answer: &Answer) -> Response {
    Response {
        status: answer.status(response.status),
        headers: response.headers.clone(),
        body: Bytes::new(),
        truncated: false,
    }
}

/// What an answer says, as far as it could be read.
#[derive(Debug, Default)]
struct Answer {
    ok: Option<bool>,
    error_code: Option<u16>,
    description: Option<String>,
    parameters: Parameters,
}

/// What a refusal says for programs.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Parameters {
    /// Seconds.
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
}

impl Answer {
    /// What matters comes first, and an answer that repeats a long message may be cut: what was read before the end
    /// counts.
    fn of(body: &[u8]) -> Self {
        let mut answer = Self::default();
        let mut reader = serde_json::Deserializer::from_slice(body);
        drop(Reading(&mut answer).deserialize(&mut reader));
        answer
    }

    /// The status: that of the body where an error comes inside a 200.
    fn status(&self, status: u16) -> u16 {
        match (status, self.ok) {
            (200..=299, Some(false)) => self.error_code.filter(|code| (400..=599).contains(code)).unwrap_or(400),
            _ => status,
        }
    }

    fn supergroup(&self) -> Option<ChatId> {
        ChatId::supergroup(self.parameters.migrate_to_chat_id?)
    }

    /// The description, if it is a known one, and what it means.
    fn known(&self) -> Option<(&'static str, Meaning)> {
        let description = self.description.as_deref()?;
        let said = ["Bad Request: ", "Forbidden: "]
            .iter()
            .find_map(|prefix| description.strip_prefix(prefix))
            .unwrap_or(description);
        let begins = |known: &str| {
            let beginning = said.split_at_checked(known.len());
            beginning.is_some_and(|(beginning, _)| beginning.eq_ignore_ascii_case(known))
        };
        DESCRIPTIONS.iter().find(|(known, _)| begins(known)).copied()
    }
}

/// Fills an answer as far as its JSON goes.
struct Reading<'a>(&'a mut Answer);

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "ok" => self.0.ok = Some(map.next_value()?),
                "error_code" => self.0.error_code = Some(map.next_value()?),
                "description" => self.0.description = Some(map.next_value()?),
                // Of null nothing is known either.
                "parameters" => {
                    self.0.parameters = map.next_value::<Option<Parameters>>()?.unwrap_or_default();
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
