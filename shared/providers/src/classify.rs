//! What an answer or a failed request means, where a provider's vendor says nothing else.
//!
//! Pure: the status, the headers and the time decide. The reasons are for the owner of the
//! integration, so they hold no part of the answer's body and nothing of an address but its host
//! and path.

mod retry_after;

use std::time::Duration;

use ::http::header::{LOCATION, RETRY_AFTER};
use reqwest::StatusCode;
use serde::Deserialize;
use signalbox_proto::{Outcome, Timestamp};
use url::Url;

use crate::http::{Error, Response};

/// The longest that `Retry-After` is obeyed.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(6 * 3_600);

/// The meaning of an answer by its status alone: 2xx is `delivered`; 408, 425, 429 and 5xx are
/// `retry`; 401, 403, 404, 410 (at once) and 3xx are `suspend`; every other 4xx is `reject`.
/// What is no final status at all is `retry`. `now` is when the answer came.
pub fn by_status(response: &Response, now: Timestamp) -> Outcome {
    match response.status {
        200..=299 => Outcome::Delivered,
        408 | 425 | 429 | 500..=599 => Outcome::Retry {
            reason: answered(response.status),
            after: after(response, now),
        },
        300..=399 => Outcome::Suspend {
            reason: redirected(response),
            at_once: false,
        },
        401 | 403 | 404 => Outcome::Suspend {
            reason: answered(response.status),
            at_once: false,
        },
        410 => Outcome::Suspend {
            reason: answered(410),
            at_once: true,
        },
        400..=499 => Outcome::Reject {
            reason: answered(response.status),
        },
        _ => Outcome::Retry {
            reason: format!("the target answered {}, which is no final status", response.status),
            after: None,
        },
    }
}

/// The meaning of a request without a complete answer: what may pass by itself is `retry`, an
/// address that we will not call and a token that is refused to us are `suspend`.
pub fn by_error(error: &Error) -> Outcome {
    let reason = signalbox_proto::outcome::reason(&error.to_string());
    match error {
        Error::Timeout(_)
        | Error::ConnectTimeout(_)
        | Error::ConnectionRefused
        | Error::ConnectionReset
        | Error::Dns { .. }
        | Error::Tls { .. }
        | Error::Connect { .. }
        | Error::Answer { .. } => Outcome::Retry { reason, after: None },
        Error::Token(failure) if !failure.is_refusal() => Outcome::Retry {
            reason,
            after: failure.after(),
        },
        Error::Egress(_) | Error::Token(_) => Outcome::Suspend { reason, at_once: false },
    }
}

/// How long the target asks to be left alone, at most [`RETRY_AFTER_MAX`]: seconds, or a date in
/// any of the three forms of HTTP. What is neither says nothing.
pub fn after(response: &Response, now: Timestamp) -> Option<Duration> {
    let value = response.headers.get(RETRY_AFTER)?.to_str().ok()?;
    Some(retry_after::parse(value, now)?.min(RETRY_AFTER_MAX))
}

/// An answer's body, where it is an object of this form. A list is none, though its members could be read in their order.
pub fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    let is_object = body.trim_ascii_start().starts_with(b"{");
    is_object.then(|| serde_json::from_slice(body).ok()).flatten()
}

/// Whether an answer is an object that was cut and holds this member somewhere: what repeats a long message may be larger
/// than is read, and is JSON no more. No proxy has so much to say in that form.
pub fn is_cut_and_holds(response: &Response, member: &str) -> bool {
    let quoted = format!("\"{member}\"");
    let body = response.body.trim_ascii_start();
    response.truncated && body.starts_with(b"{") && body.windows(quoted.len()).any(|window| window == quoted.as_bytes())
}

fn answered(status: u16) -> String {
    match StatusCode::from_u16(status)
        .ok()
        .and_then(|code| code.canonical_reason())
    {
        Some(words) => format!("the target answered {status} {words}"),
        None => format!("the target answered {status}"),
    }
}

fn redirected(response: &Response) -> String {
    let said = answered(response.status);
    match response.headers.get(LOCATION).and_then(|value| value.to_str().ok()) {
        Some(location) => {
            signalbox_proto::outcome::reason(&format!("{said} and pointed to {}", without_secrets(location)))
        }
        None => said,
    }
}

/// A reference without user, password, query and fragment.
fn without_secrets(reference: &str) -> String {
    if let Ok(url) = Url::parse(reference) {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        return match url.host() {
            Some(host) => format!("{}://{host}{port}{}", url.scheme(), url.path()),
            None => format!("a {}: address", url.scheme()),
        };
    }
    let path = reference.split(['?', '#']).next().unwrap_or_default();
    // A reference without a scheme may still name a user: //user:password@host/path.
    match path.strip_prefix("//").and_then(|rest| rest.split_once('@')) {
        Some((_, host)) => format!("//{host}"),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
