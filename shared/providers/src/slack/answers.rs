//! What Slack's answers mean.
//!
//! A webhook answers with a status and one word; the web API with JSON, most often inside a 200. The words are the
//! same in both, so one table tells what they mean. Only what says nothing means something else in each.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use signalbox_proto::{Outcome, Timestamp};

use crate::{classify, http::Response};

/// Longest error of Slack that is repeated to the owner.
const WORD_BYTES_MAX: usize = 64;

/// What an error of Slack means.
#[derive(Clone, Copy)]
enum Meaning {
    /// It passes by itself.
    Retry,
    /// This message will never be taken.
    Reject,
    /// Somebody has to do something first: the text says what.
    Suspend(&'static str),
}

use Meaning::{Reject, Retry, Suspend};

const NEW_WEBHOOK: &str = "make a new webhook and set webhook_url";
const NEW_TOKEN: &str = "install the app again and set bot_token";
const ADMIN: &str = "ask an administrator of the workspace";
const CHANNEL: &str = "check that the channel exists and that the app may see it";
const UNARCHIVE: &str = "unarchive the channel or choose another";
const SCOPE: &str = "give the app the scope chat:write and install it again";

/// The documented errors. What has the same meaning stands together.
const ERRORS: &[(&str, Meaning)] = &[
    ("rollup_error", Retry),
    ("internal_error", Retry),
    // A part may have happened; a message that comes twice is better than one that never comes.
    ("fatal_error", Retry),
    ("service_unavailable", Retry),
    ("request_timeout", Retry),
    ("ratelimited", Retry),
    ("rate_limited", Retry),
    ("invalid_payload", Reject),
    ("no_text", Reject),
    ("invalid_blocks", Reject),
    ("invalid_blocks_format", Reject),
    ("too_many_attachments", Reject),
    ("msg_too_long", Reject),
    ("msg_blocks_too_long", Reject),
    ("invalid_arguments", Reject),
    ("invalid_json", Reject),
    ("json_not_object", Reject),
    ("action_prohibited", Suspend(ADMIN)),
    ("posting_to_general_channel_denied", Suspend(ADMIN)),
    ("invalid_token", Suspend(NEW_WEBHOOK)),
    ("no_service", Suspend(NEW_WEBHOOK)),
    ("no_service_id", Suspend(NEW_WEBHOOK)),
    ("no_active_hooks", Suspend(NEW_WEBHOOK)),
    ("no_team", Suspend(NEW_WEBHOOK)),
    ("team_disabled", Suspend(NEW_WEBHOOK)),
    ("user_not_found", Suspend(CHANNEL)),
    ("channel_not_found", Suspend(CHANNEL)),
    ("channel_is_archived", Suspend(UNARCHIVE)),
    ("is_archived", Suspend(UNARCHIVE)),
    ("not_in_channel", Suspend("invite the app to the channel")),
    ("invalid_auth", Suspend(NEW_TOKEN)),
    ("not_authed", Suspend(NEW_TOKEN)),
    ("account_inactive", Suspend(NEW_TOKEN)),
    ("token_revoked", Suspend(NEW_TOKEN)),
    ("token_expired", Suspend(NEW_TOKEN)),
    ("missing_scope", Suspend(SCOPE)),
    ("no_permission", Suspend(SCOPE)),
    (
        "not_allowed_token_type",
        Suspend("set bot_token to a token of a bot (xoxb-)"),
    ),
    ("restricted_action", Suspend(ADMIN)),
    ("restricted_action_read_only_channel", Suspend(ADMIN)),
    ("restricted_action_thread_only_channel", Suspend(ADMIN)),
    ("restricted_action_non_threadable_channel", Suspend(ADMIN)),
    ("ekm_access_denied", Suspend(ADMIN)),
    ("access_denied", Suspend(ADMIN)),
    ("accesslimited", Suspend(ADMIN)),
    ("enterprise_is_restricted", Suspend(ADMIN)),
    ("team_access_not_granted", Suspend(ADMIN)),
    // The workspace moves to another organisation: nothing goes until that is done, and nobody knows when.
    ("org_login_required", Suspend("wait until the workspace has moved")),
    ("team_added_to_org", Suspend("wait until the workspace has moved")),
];

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A webhook of Slack's own, which says `ok`.
    Webhook,
    /// What takes the form of Slack's webhooks, at a host that is not Slack's.
    Likeness,
    /// The web API, which says in JSON what it did.
    Api,
}

/// What an answer means. `now` is when it came.
pub(super) fn outcome(response: &Response, asked: Asked, now: Timestamp) -> Outcome {
    // Trouble of the server and its limit are that, whatever the body says.
    if matches!(response.status, 408 | 425 | 429 | 500..) {
        return classify::by_status(response, now);
    }
    match (Said::of(&response.body), response.status) {
        (Said::Ok, 200..=299) => Outcome::Delivered,
        // What takes the form of Slack's webhooks, or stands between us and Slack, may keep the word `ok` for itself. The
        // status says that it was taken, and nothing says otherwise.
        (_, 200..=299) if asked == Asked::Likeness && response.body.trim_ascii().is_empty() => Outcome::Delivered,
        (Said::Error(word), status) => by_word(&word, status, response, now),
        (Said::Word(word), status) if status >= 300 || meaning(&word).is_some() => {
            by_word(&word, status, response, now)
        }
        // A page of a proxy or a sign-in: Slack itself has not answered, so the message is neither there nor
        // refused. It is tried again, as a message that comes twice does less harm than one that never comes.
        (_, 200..=299) => Outcome::Retry {
            reason: "the answer is not Slack's: neither ok nor an error".to_owned(),
            after: classify::after(response, now),
        },
        _ => classify::by_status(response, now),
    }
}

fn meaning(word: &str) -> Option<Meaning> {
    let (_, meaning) = ERRORS.iter().find(|(known, _)| *known == word)?;
    Some(*meaning)
}

fn by_word(word: &str, status: u16, response: &Response, now: Timestamp) -> Outcome {
    match meaning(word) {
        Some(Retry) => Outcome::Retry {
            reason: format!("Slack answered {word}"),
            after: classify::after(response, now),
        },
        Some(Reject) => Outcome::Reject {
            reason: format!("Slack answered {word}"),
        },
        Some(Suspend(remedy)) => Outcome::Suspend {
            reason: format!("Slack answered {word}: {remedy}"),
            at_once: status == 410,
        },
        // As a 4xx that is not named: this message is not taken, and why is for a person to read.
        None if status < 300 => Outcome::Reject {
            reason: format!("Slack answered {word}"),
        },
        None => classify::by_status(response, now),
    }
}

/// What a body says.
enum Said {
    Ok,
    /// The error of the web API.
    Error(String),
    /// A word alone, as a webhook says its errors.
    Word(String),
    Nothing,
}

impl Said {
    fn of(body: &[u8]) -> Self {
        let body = body.trim_ascii();
        if body == b"ok" {
            return Self::Ok;
        }
        if body.first() == Some(&b'{') {
            return Self::of_json(body);
        }
        match std::str::from_utf8(body) {
            Ok(word) if is_word(word) => Self::Word(word.to_owned()),
            _ => Self::Nothing,
        }
    }

    /// The members that matter come first, and an answer that repeats a long message may be cut: what was read
    /// before the end counts.
    fn of_json(body: &[u8]) -> Self {
        let mut answer = Answer::default();
        let mut reader = serde_json::Deserializer::from_slice(body);
        drop(Reading(&mut answer).deserialize(&mut reader));
        match (answer.ok, answer.error) {
            (Some(true), _) => Self::Ok,
            (Some(false), Some(word)) if is_word(&word) => Self::Error(word),
            (Some(false), _) => Self::Error("an error without a name".to_owned()),
            (None, _) => Self::Nothing,
        }
    }
}

fn is_word(text: &str) -> bool {
    (1..=WORD_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[derive(Default)]
struct Answer {
    ok: Option<bool>,
    error: Option<String>,
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
                "error" => self.0.error = Some(map.next_value()?),
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
