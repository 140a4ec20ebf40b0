//! What a stream's answer means, and what it means that none came.

use serde::Deserialize;
use signalbox_proto::{Outcome, Timestamp, outcome};

use super::Error;
use crate::{classify, http::Response};

/// What a stream says that did not take a message.
#[derive(Deserialize)]
struct Answer {
    error: Option<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    /// The code of the reason, one of JetStream's own list.
    #[serde(default)]
    err_code: u32,
}

/// What a reason of JetStream means for a delivery.
enum Means {
    Retry,
    Reject,
    Suspend,
}

/// JetStream's reasons that a publish meets, in our words, by the codes of nats-server's `errors.json`.
const REASONS: [(u32, Means, &str); 14] = [
    (10_002, Means::Retry, "the account has used up what it may store"),
    (10_008, Means::Retry, "JetStream is not available at the moment"),
    (
        10_023,
        Means::Retry,
        "the server has too little of something for this stream",
    ),
    (10_028, Means::Retry, "the account is out of room in memory"),
    (10_039, Means::Suspend, "JetStream is not switched on for the account"),
    (10_047, Means::Retry, "the server is out of room"),
    (10_054, Means::Reject, "the message is larger than the stream takes"),
    (10_060, Means::Suspend, "another stream than expected takes the subject"),
    (10_076, Means::Suspend, "JetStream is not switched on"),
    (
        10_077,
        Means::Retry,
        "the stream did not store the message: it may be full",
    ),
    (10_097, Means::Reject, "the headers are larger than a stream takes"),
    (
        10_109,
        Means::Suspend,
        "the stream is sealed: it takes nothing any more",
    ),
    (10_118, Means::Retry, "the stream is offline"),
    (10_158, Means::Retry, "the same message is being stored"),
];

/// The meaning of an answer. Reasons hold no part of it but a code.
pub(super) fn by_answer(response: &Response, now: Timestamp) -> Outcome {
    let answer = serde_json::from_slice::<Answer>(&response.body).ok();
    let code = answer.and_then(|answer| answer.error).map(|refused| refused.err_code);
    let known = code.and_then(|code| REASONS.iter().find(|(known, ..)| *known == code));
    match (known, code) {
        (Some((code, means, words)), _) => {
            let reason = format!("{words} (JetStream's error {code})");
            match means {
                Means::Retry => Outcome::Retry { reason, after: None },
                Means::Reject => Outcome::Reject { reason },
                Means::Suspend => Outcome::Suspend { reason, at_once: false },
            }
        }
        (None, Some(code)) if response.status < 300 => Outcome::Retry {
            reason: format!("the stream reports JetStream's error {code}"),
            after: None,
        },
        (None, Some(code)) => {
            classify::by_status(response, now).map_reason(|reason| format!("{reason} (JetStream's error {code})"))
        }
        (None, None) => classify::by_status(response, now),
    }
}

/// The meaning of a message without an acknowledgement: what may pass by itself is `retry`, what only its owner or the
/// server's can change is `suspend`, and what this event will always meet is `reject`.
pub fn by_error(error: &Error) -> Outcome {
    let reason = outcome::reason(&error.to_string());
    match error {
        Error::Connection(error) => classify::by_error(error),
        Error::NoPlace(_) | Error::Io(_) | Error::Closed | Error::Protocol(_) | Error::Busy(_) | Error::Unknown => {
            Outcome::Retry { reason, after: None }
        }
        Error::Login
        | Error::NoHeaders
        | Error::Forbidden { .. }
        | Error::ForbiddenInbox
        | Error::NoStream { .. }
        | Error::Subject { .. } => Outcome::Suspend { reason, at_once: false },
        Error::TooLarge { .. } => Outcome::Reject { reason },
    }
}

#[cfg(test)]
mod tests;
