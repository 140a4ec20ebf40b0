//! What ntfy's answers mean: its statuses, and the codes that it puts into their bodies.
//!
//! A refusal is `{"code":40101,"http":401,"error":"unauthorized","link":"…"}`: the first three digits of the code are the
//! status, the others number the errors of that status. It has no `Retry-After`.

use std::{borrow::Cow, time::Duration};

use serde::Deserialize;
use signalbox_proto::{Outcome, Timestamp};

use crate::{
    classify::{self, RETRY_AFTER_MAX},
    http::Response,
};

/// After so long a server gives back one of the requests that were used.
const REFILL: Duration = Duration::from_secs(5);
/// After so long it forgets one of the sign-ins that failed.
const SIGN_IN_REFILL: Duration = Duration::from_secs(60);
/// So long after midnight its clock and ours both say that it is another day.
const CLOCKS: Duration = Duration::from_secs(60);
/// Days of UTC: with each one the messages are counted anew.
const DAY_SECS: u64 = 24 * 3_600;

/// What a code means.
#[derive(Clone, Copy)]
enum Meaning {
    /// It passes by itself after this time.
    Wait(Duration),
    /// It passes at midnight in UTC.
    Tomorrow,
    /// This message will never be taken.
    Reject,
    /// Somebody has to do something first: the text says what.
    Suspend(&'static str),
}

use Meaning::{Reject, Suspend, Tomorrow, Wait};

const TOPIC: &str = "set config.topic to another name";
const CREDENTIALS: &str = "set credentials.token, or user and password, to valid ones";
const RIGHT: &str = "give the user the right to write to the topic, or set credentials of one who has it";
const ROOT: &str = "set config.base_url to the root of an ntfy server";

/// The codes that a message or a probe may meet, with our words for them.
const CODES: &[(u32, &str, Meaning)] = &[
    (40_009, "no name of a topic", Suspend(TOPIC)),
    (40_010, "a name that is not allowed", Suspend(TOPIC)),
    (
        40_014,
        "attachments are not allowed: the server takes shorter messages than usual",
        Reject,
    ),
    (40_017, "no message in JSON", Reject),
    (40_018, "wrong buttons", Reject),
    (40_024, "no JSON", Reject),
    (40_101, "unauthorized", Suspend(CREDENTIALS)),
    (40_301, "forbidden", Suspend(RIGHT)),
    (40_401, "page not found", Suspend(ROOT)),
    (41_301, "an attachment that is too large", Reject),
    (41_303, "JSON that is too large", Reject),
    (42_901, "too many requests", Wait(REFILL)),
    (42_904, "too many topics on this server", Wait(REFILL)),
    (42_905, "the traffic of a day is used up", Tomorrow),
    (42_908, "the messages of a day are used up", Tomorrow),
    (42_909, "too many sign-ins failed", Wait(SIGN_IN_REFILL)),
];

/// What a refusal says, as far as it matters.
#[derive(Deserialize)]
struct Refusal {
    code: u32,
}

/// A message that was taken.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
}

/// Whose account it is; `*` is anybody's.
#[derive(Deserialize)]
struct Account<'a> {
    #[serde(borrow)]
    username: Cow<'a, str>,
}

/// What the answer to a message means. `now` is when it came.
pub(super) fn published(response: &Response, now: Timestamp) -> Outcome {
    outcome(response, now, |body| {
        let message: Option<Message<'_>> = classify::object(body);
        message.is_some_and(|message| !message.id.is_empty() && message.event == "message")
    })
}

/// What the answer to a probe means. An account may be longer than is read: its name comes first.
pub(super) fn probed(response: &Response, now: Timestamp) -> Outcome {
    outcome(response, now, |body| {
        let account: Option<Account<'_>> = classify::object(body);
        account.is_some_and(|account| !account.username.is_empty()) || classify::is_cut_and_holds(response, "username")
    })
}

fn outcome(response: &Response, now: Timestamp, is_yes: impl Fn(&[u8]) -> bool) -> Outcome {
    match response.status {
        200..=299 if is_yes(&response.body) => Outcome::Delivered,
        // A page of a proxy or a sign-in: a message that comes twice does less harm than one that never comes.
        200..=299 => Outcome::Retry {
            reason: format!(
                "the answer {} is not ntfy's: a proxy may have answered, or config.base_url is another's",
                response.status
            ),
            after: classify::after(response, now),
        },
        _ => refused(response, now),
    }
}

fn refused(response: &Response, now: Timestamp) -> Outcome {
    let said = classify::object(&response.body).map(|Refusal { code }| code);
    let own = said.filter(|code| code / 100 == u32::from(response.status));
    let known = CODES.iter().find(|(code, ..)| Some(*code) == own);
    let Some((code, words, meaning)) = known else {
        return match classify::by_status(response, now) {
            Outcome::Retry { reason, after: None } if response.status == 429 => Outcome::Retry {
                reason,
                after: Some(REFILL),
            },
            other => other,
        };
    };
    let reason = format!("ntfy answered {code}, {words}");
    let wait = |own: Duration| Some(classify::after(response, now).unwrap_or(own).min(RETRY_AFTER_MAX));
    match meaning {
        Wait(own) => Outcome::Retry {
            reason,
            after: wait(*own),
        },
        Tomorrow => Outcome::Retry {
            reason,
            after: wait(until_midnight(now)),
        },
        Reject => Outcome::Reject { reason },
        Suspend(remedy) => Outcome::Suspend {
            reason: format!("{reason}: {remedy}"),
            at_once: false,
        },
    }
}

/// How long this day in UTC lasts, by its clock too.
fn until_midnight(now: Timestamp) -> Duration {
    let of_day = u64::try_from(now.secs()).unwrap_or_default() % DAY_SECS;
    Duration::from_secs(DAY_SECS - of_day) + CLOCKS
}

#[cfg(test)]
mod tests;
