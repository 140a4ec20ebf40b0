//! What Datadog's answers mean.

use std::time::Duration;

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

/// What an answer to a request with a 2xx says besides its status.
#[derive(Default, Deserialize)]
struct Said<'a> {
    /// Of a series: what it did not like.
    #[serde(default)]
    errors: Vec<IgnoredAny>,
    /// Of an event: `ok`.
    #[serde(default, borrow)]
    status: Option<&'a str>,
    /// Of a question about the key.
    #[serde(default)]
    valid: Option<bool>,
}

/// What an answer means. `now` is when it came.
pub(super) fn outcome(response: &Response, now: Timestamp) -> Outcome {
    match (response.status, classify::by_status(response, now)) {
        (200..=299, Outcome::Delivered) => taken(response),
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

/// What a 2xx means: taken, unless the body says otherwise.
fn taken(response: &Response) -> Outcome {
    let status = response.status;
    if response.body.trim_ascii_start().starts_with(b"<") {
        let reason = format!("the target answered {status} with a page that is not Datadog's");
        return Outcome::Retry { reason, after: None };
    }
    // Another form says nothing against it.
    let said: Said<'_> = serde_json::from_slice(&response.body).unwrap_or_default();
    if said.valid == Some(false) {
        let reason = format!("the target answered {status} and that the API key is not valid: check api_key and site");
        return Outcome::Suspend { reason, at_once: false };
    }
    if !said.errors.is_empty() || said.status.is_some_and(|word| word != "ok") {
        let reason = format!("the target answered {status} and that it did not take what was sent");
        return Outcome::Reject { reason };
    }
    Outcome::Delivered
}

/// How long a limit asks us to wait.
fn wait(response: &Response) -> Option<Duration> {
    let secs = |name| response.headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let secs = secs(RESET).or_else(|| secs(PERIOD))?;
    Some(Duration::from_secs(secs).min(RETRY_AFTER_MAX))
}
