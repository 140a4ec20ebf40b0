//! What Datadog's answers mean.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, de::IgnoredAny};
use signalbox_proto::{Outcome, Timestamp};

use crate::{
    classify::{self, RETRY_AFTER_MAX},
    http::Response,
};

/// Seconds until a limit lets requests through again.
const RESET: &str = "x-ratelimit-reset";
/// Seconds of the window of a limit, told where the rest of it is not.
const PERIOD: &str = "x-ratelimit-period";

/// What was asked: each has its own yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To take an event.
    Event,
    /// To take metrics.
    Series,
    /// Whether the key is good.
    Key,
}

/// What an answer to a request with a 2xx says besides its status.
#[derive(Default, Deserialize)]
struct Said<'a> {
    /// Of a series: what it did not like.
    #[serde(default)]
    errors: Option<Vec<IgnoredAny>>,
    /// Of an event: `ok`.
    #[serde(default, borrow)]
    status: Option<Cow<'a, str>>,
    /// Of a question about the key.
    #[serde(default)]
    valid: Option<bool>,
}

/// What an answer means. `now` is when it came.
pub(super) fn outcome(response: &Response, asked: Asked, now: Timestamp) -> Outcome {
    match (response.status, classify::by_status(response, now)) {
        (200..=299, Outcome::Delivered) => taken(response, asked, now),
        (429, Outcome::Retry { reason, after }) => Outcome::Retry {
            reason,
            after: after.or_else(|| wait(response)),
        },
        // The wrong site answers as a wrong key does: its keys are others.
        (401 | 403, Outcome::Suspend { reason, at_once }) => Outcome::Suspend {
            reason: format!("{reason}: this site does not know the API key; check api_key and site"),
            at_once,
        },
        (_, outcome) => outcome,
    }
}

/// What a 2xx means: taken where the body says so in the words that Datadog has for what was asked. Another body is that of
/// a proxy, and then Datadog has nothing of it.
fn taken(response: &Response, asked: Asked, now: Timestamp) -> Outcome {
    let status = response.status;
    let said: Said<'_> = classify::object(&response.body).unwrap_or_default();
    let has_errors = said.errors.as_ref().is_some_and(|errors| !errors.is_empty());
    let refused = match asked {
        Asked::Event => has_errors || said.status.as_ref().is_some_and(|word| word != "ok"),
        Asked::Series => has_errors,
        Asked::Key => false,
    };
    if refused {
        let reason = format!("Datadog answered {status} and that it did not take what was sent");
        return Outcome::Reject { reason };
    }
    if asked == Asked::Key && said.valid == Some(false) {
        let reason = format!("Datadog answered {status} and that the API key is not valid: check api_key and site");
        return Outcome::Suspend { reason, at_once: false };
    }
    let is_yes = match asked {
        // It repeats the event.
        Asked::Event => said.status.is_some() || classify::is_cut_and_holds(response, "event"),
        Asked::Series => said.errors.is_some() || said.status.as_ref().is_some_and(|word| word == "ok"),
        Asked::Key => said.valid.is_some(),
    };
    if is_yes {
        return Outcome::Delivered;
    }
    let missing = match asked {
        Asked::Event => "status",
        Asked::Series => "errors",
        Asked::Key => "valid",
    };
    Outcome::Retry {
        reason: format!(
            "the answer {status} is not Datadog's: it does not say {missing}, so a proxy may have answered"
        ),
        after: classify::after(response, now),
    }
}

/// How long a limit asks us to wait.
fn wait(response: &Response) -> Option<Duration> {
    let secs = |name| response.headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let secs = secs(RESET).or_else(|| secs(PERIOD))?;
    Some(Duration::from_secs(secs).min(RETRY_AFTER_MAX))
}
