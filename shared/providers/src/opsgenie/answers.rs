//! What Opsgenie's answers mean. Jira Service Management answers alike.

use std::time::Duration;

use serde::{Deserialize, de::IgnoredAny};
use signalbox_proto::{Outcome, Timestamp};

use crate::{
    classify::{self, RETRY_AFTER_MAX},
    http::Response,
};

/// Says after how many seconds the bucket that is empty is filled again.
const PERIOD: &str = "x-ratelimit-period-in-sec";
/// How long to wait after a 429 that names no time: the longer of the two intervals that Opsgenie counts in.
const LIMITED: Duration = Duration::from_secs(60);
/// What is said, with a 422, of a key that is no key at all.
const NO_KEY: &str = "Key format is not valid";

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Create,
    /// Nothing has to be open for that.
    Close,
}

/// What stands in an answer.
#[derive(Default, Deserialize)]
struct Answer {
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    code: Option<u32>,
    /// That it is there shows who answered.
    #[serde(default, rename = "requestId")]
    request_id: Option<IgnoredAny>,
}

/// What an answer means. `now` is when it came.
pub(super) fn outcome(response: &Response, asked: Asked, now: Timestamp) -> Outcome {
    let answer: Option<Answer> = classify::object(&response.body);
    let is_theirs = answer.as_ref().is_some_and(|answer| answer.request_id.is_some());
    let suspend = |reason: &str| Outcome::Suspend {
        reason: format!("Opsgenie answered {}: {reason}", response.status),
        at_once: false,
    };
    match response.status {
        200..=299 if is_theirs => Outcome::Delivered,
        // A page of a proxy or a sign-in, or its own 202: Opsgenie has neither taken nor refused it.
        200..=299 => Outcome::Retry {
            reason: "the answer is not Opsgenie's: it has no requestId, so a proxy may have answered".to_owned(),
            after: classify::after(response, now),
        },
        401 => suspend("it does not know the API key, or its integration is switched off: check key and region"),
        402 => suspend("the plan of the account does not include this"),
        403 if answer.as_ref().is_some_and(|answer| answer.code == Some(40301)) => suspend(
            "this API key may not create and close alerts: use the key of an API integration that may create and update",
        ),
        // What is to be closed is not open: that is how it should be.
        404 if asked == Asked::Close && is_theirs => Outcome::Delivered,
        422 if answer.as_ref().is_some_and(Answer::is_of_key) => {
            suspend("api_key is not a key: use the key of an API integration")
        }
        429 => Outcome::Retry {
            reason: "Opsgenie answered 429: more requests than the account may send".to_owned(),
            after: classify::after(response, now)
                .or_else(|| period(response))
                .or(Some(LIMITED)),
        },
        _ => classify::by_status(response, now),
    }
}

impl Answer {
    fn is_of_key(&self) -> bool {
        self.message.as_ref().is_some_and(|message| message.starts_with(NO_KEY))
    }
}

/// How long the interval is whose requests are used up.
fn period(response: &Response) -> Option<Duration> {
    let secs = response.headers.get(PERIOD)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(secs).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests;
