//! What Discord's answers mean: its statuses, and the codes that it puts into their bodies.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use signalbox_proto::{Outcome, Timestamp};

use crate::{
    classify::{self, RETRY_AFTER_MAX},
    http::Response,
};

/// How long to wait where a 429 does not say: Discord has shut out our address, for up to an hour, and each request
/// meanwhile counts against it.
const SHUT_OUT: Duration = Duration::from_secs(60);
/// Seconds with a fraction until the limit is over.
const RESET_AFTER: &str = "x-ratelimit-reset-after";
/// A form that is not taken.
const INVALID_FORM: u64 = 50_035;

/// What a code of Discord means.
#[derive(Clone, Copy)]
enum Meaning {
    /// It passes by itself.
    Retry,
    /// This message will never be taken.
    Reject,
    /// Somebody has to do something first: the text says what.
    Suspend(&'static str),
    /// The webhook is gone for good.
    Gone,
}

use Meaning::{Gone, Reject, Retry, Suspend};

const NEW_WEBHOOK: &str = "make a new webhook and set webhook_url";
const CHANNEL: &str =
    "check the thread_id in webhook_url, or make a new webhook for another channel and set webhook_url";
const THREAD: &str = "add ?thread_id= with the id of a thread to webhook_url, or choose a text channel";
const RIGHTS: &str = "let the webhook post to the channel";

/// The documented codes that a webhook may meet, with the vendor's words for them.
const CODES: &[(u64, &str, Meaning)] = &[
    (10_003, "unknown channel or thread", Suspend(CHANNEL)),
    (10_004, "unknown server", Suspend(NEW_WEBHOOK)),
    (10_015, "unknown webhook", Gone),
    (10_016, "unknown webhook service", Suspend(NEW_WEBHOOK)),
    (20_009, "explicit content", Reject),
    (40_005, "request entity too large", Reject),
    (40_333, "internal network error", Retry),
    (50_001, "missing access", Suspend(RIGHTS)),
    (50_006, "empty message", Reject),
    (50_013, "missing permissions", Suspend(RIGHTS)),
    (50_024, "not in a channel of this type", Suspend(THREAD)),
    (50_027, "invalid webhook token", Gone),
    (INVALID_FORM, "invalid form body", Reject),
    (
        50_083,
        "archived thread",
        Suspend("open the thread again or choose another"),
    ),
    (50_109, "invalid JSON", Reject),
    (130_000, "API overloaded", Retry),
    (160_005, "locked thread", Suspend("unlock the thread or choose another")),
    (200_000, "blocked by automatic moderation", Reject),
    (220_001, "a forum needs a thread", Suspend(THREAD)),
    (
        220_002,
        "a forum takes one of thread name and thread id",
        Suspend(THREAD),
    ),
    (220_003, "threads are made in forums alone", Suspend(THREAD)),
];

/// What a body says, as far as it matters.
#[derive(Default, Deserialize)]
struct Said<'a> {
    #[serde(default)]
    code: Option<u64>,
    /// Seconds.
    #[serde(default)]
    retry_after: Option<f64>,
    /// What is wrong with a form, by its fields.
    #[serde(borrow, default)]
    errors: Option<&'a RawValue>,
}

/// A message that was saved.
#[derive(Deserialize)]
struct Saved<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

/// The fields of a form that a config fills.
#[derive(Default, Deserialize)]
struct Errors {
    #[serde(default)]
    username: Option<IgnoredAny>,
    #[serde(default)]
    avatar_url: Option<IgnoredAny>,
    /// Of the address, as the two below.
    #[serde(default)]
    thread_id: Option<IgnoredAny>,
    #[serde(default)]
    webhook_id: Option<IgnoredAny>,
    #[serde(default)]
    webhook_token: Option<IgnoredAny>,
}

impl<'a> Said<'a> {
    /// What is no JSON of Discord's says nothing.
    fn of(body: &'a [u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// The field of the config that a form was refused for.
    fn field(&self) -> Option<&'static str> {
        let errors: Errors = serde_json::from_str(self.errors?.get()).unwrap_or_default();
        let fields = [
            (errors.username, "username"),
            (errors.avatar_url, "avatar_url"),
            (errors.thread_id, "webhook_url with this thread_id"),
            (errors.webhook_id, "webhook_url"),
            (errors.webhook_token, "webhook_url"),
        ];
        let (_, field) = fields.into_iter().find(|(wrong, _)| wrong.is_some())?;
        Some(field)
    }
}

/// What an answer means. `now` is when it came.
pub(super) fn outcome(response: &Response, now: Timestamp) -> Outcome {
    match response.status {
        429 => Outcome::Retry {
            reason: "Discord answered 429: its rate limit is reached".to_owned(),
            after: Some(wait(response, now)),
        },
        408 | 425 | 500.. => classify::by_status(response, now),
        200..=299 => taken(response, now),
        _ => by_code(response, now),
    }
}

/// The body's fraction is exact, the header's whole seconds are rounded up.
fn wait(response: &Response, now: Timestamp) -> Duration {
    let secs = |secs: f64| Duration::try_from_secs_f64(secs).ok();
    let reset = || {
        let text = response.headers.get(RESET_AFTER)?.to_str().ok()?;
        secs(text.trim().parse().ok()?)
    };
    let told = Said::of(&response.body).retry_after.and_then(secs);
    told.or_else(|| classify::after(response, now))
        .or_else(reset)
        .unwrap_or(SHUT_OUT)
        .min(RETRY_AFTER_MAX)
}

/// The message as it was saved, which has an id, as we ask to wait for it. Where something on the way dropped that wish,
/// Discord answers 204 with nothing. What is neither, such as the page of a proxy or its JSON, is not Discord's: a message
/// that comes twice does less harm than one that never comes.
fn taken(response: &Response, now: Timestamp) -> Outcome {
    let saved: Option<Saved<'_>> = classify::object(&response.body);
    let is_saved = saved.is_some_and(|saved| !saved.id.is_empty());
    let is_nothing = response.status == 204 && response.body.trim_ascii().is_empty();
    if is_saved || is_nothing || classify::is_cut_and_holds(response, "embeds") {
        return Outcome::Delivered;
    }
    Outcome::Retry {
        reason: format!(
            "the answer {} is not Discord's: it holds no message, so a proxy may have answered",
            response.status
        ),
        after: classify::after(response, now),
    }
}

fn by_code(response: &Response, now: Timestamp) -> Outcome {
    let said = Said::of(&response.body);
    let Some((code, words, meaning)) = CODES.iter().find(|(code, ..)| Some(*code) == said.code) else {
        return classify::by_status(response, now);
    };
    let reason = format!("Discord answered {code}, {words}");
    // The same name, picture and address are refused with every message.
    if let Some(field) = said.field().filter(|_| *code == INVALID_FORM) {
        return Outcome::Suspend {
            reason: format!("{reason}: it does not take config.{field}, change it"),
            at_once: false,
        };
    }
    match meaning {
        Retry => Outcome::Retry {
            reason,
            after: classify::after(response, now),
        },
        Reject => Outcome::Reject { reason },
        Suspend(remedy) => Outcome::Suspend {
            reason: format!("{reason}: {remedy}"),
            at_once: false,
        },
        Gone => Outcome::Suspend {
            reason: format!("{reason}: {NEW_WEBHOOK}"),
            at_once: true,
        },
    }
}
