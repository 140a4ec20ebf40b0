//! What PagerDuty's answers mean.
//!
//! A 400 is the event's fault or the routing key's, and only its body tells which.

use std::time::Duration;

use serde::Deserialize;
use signalbox_proto::{Outcome, Timestamp};

use crate::{classify, http::Response};

/// How long to wait after a 429 that names no time: what PagerDuty advises between two tries.
const LIMITED: Duration = Duration::from_secs(30);
/// How PagerDuty's errors name what is wrong with our key: by the field, and in words.
const ROUTING_KEY: [&str; 2] = ["routing_key", "routing key"];

/// What stands in an answer.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    errors: Option<Errors>,
}

/// Documented is a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Errors {
    Many(Vec<String>),
    One(String),
}

/// What an answer means. `now` is when it came.
pub(super) fn outcome(response: &Response, now: Timestamp) -> Outcome {
    let answer: Option<Answer> = classify::object(&response.body);
    let status = answer.as_ref().and_then(|answer| answer.status.as_deref());
    match (response.status, status) {
        (200..=299, Some("success")) => Outcome::Delivered,
        (200..=299, Some("invalid event")) | (400, _) => invalid(answer.as_ref()),
        // A page of a proxy or a sign-in, or its own 202: PagerDuty has neither taken nor refused it.
        (200..=299, _) => Outcome::Retry {
            reason: "the answer is not PagerDuty's: it does not say status success, so a proxy may have answered"
                .to_owned(),
            after: classify::after(response, now),
        },
        (413, _) => Outcome::Reject {
            reason: "PagerDuty answered 413: the event is larger than it takes".to_owned(),
        },
        (429, _) => Outcome::Retry {
            reason: "PagerDuty answered 429: more events than it takes for one routing key".to_owned(),
            after: classify::after(response, now).or(Some(LIMITED)),
        },
        _ => classify::by_status(response, now),
    }
}

/// An event that is refused: for itself, or for the key that it came with.
fn invalid(answer: Option<&Answer>) -> Outcome {
    if answer.is_some_and(Answer::is_of_routing_key) {
        return Outcome::Suspend {
            reason:
                "PagerDuty does not take the routing key: copy the Integration Key of an Events API v2 integration \
                     again, and check that config.region is that of the account"
                    .to_owned(),
            at_once: false,
        };
    }
    Outcome::Reject {
        reason: "PagerDuty answered that the event is invalid".to_owned(),
    }
}

impl Answer {
    fn is_of_routing_key(&self) -> bool {
        let errors = match &self.errors {
            Some(Errors::Many(errors)) => errors.as_slice(),
            Some(Errors::One(error)) => std::slice::from_ref(error),
            None => &[],
        };
        errors.iter().chain(&self.message).any(|text| {
            let text = text.to_ascii_lowercase();
            ROUTING_KEY.iter().any(|name| text.contains(name))
        })
    }
}

#[cfg(test)]
mod tests;
