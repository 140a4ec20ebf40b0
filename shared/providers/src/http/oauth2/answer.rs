//! What a token endpoint's answer means. Pure, and no word of the answer is repeated but the error codes that are known.

use std::time::Duration;

use serde_json::{Map, Value};
use signalbox_proto::{Timestamp, outcome};

use crate::{
    Secret, classify,
    http::{Error, Response, secret_value},
};

/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// How long a token counts whose server does not say: most say an hour, and the target's 401 comes before where it is less.
const LIFE_UNSAID: Duration = Duration::from_secs(3_600);
/// The longest that a token counts, whatever its server says.
const LIFE_MAX: Duration = Duration::from_secs(86_400);
/// How long a token endpoint that refused us is not asked again by this process.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);
/// The same of one that failed and names no time.
const FAILED_PAUSE: Duration = Duration::from_secs(1);

/// Codes of RFC 6749 (section 5.2), RFC 8707 and of common servers, and whether they may pass by themselves.
const CODES: [(&str, bool); 11] = [
    ("invalid_client", false),
    ("unauthorized_client", false),
    ("unsupported_grant_type", false),
    ("invalid_scope", false),
    ("invalid_grant", false),
    ("invalid_request", false),
    ("invalid_target", false),
    ("access_denied", false),
    ("temporarily_unavailable", true),
    ("server_error", true),
    ("slow_down", true),
];

/// Why there is no token. The words are fit for the integration's owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no token: {reason}")]
pub struct Failure {
    reason: String,
    /// Whether the credentials or the endpoint are wrong, so that asking again does not help.
    refused: bool,
    after: Option<Duration>,
}

impl Failure {
    /// Whether asking again does not help.
    pub const fn is_refusal(&self) -> bool {
        self.refused
    }

    /// How long the token endpoint asked to be left alone.
    pub const fn after(&self) -> Option<Duration> {
        self.after
    }

    /// How long the endpoint is not asked again.
    pub(super) fn pause(&self) -> Duration {
        let least = if self.refused { REFUSED_PAUSE } else { FAILED_PAUSE };
        self.after.map_or(least, |after| after.max(least))
    }

    /// The same, told later: so much of the time that the endpoint asked for is left.
    pub(super) fn with_left(&self, left: Duration) -> Self {
        Self {
            after: self.after.map(|after| after.min(left)),
            ..self.clone()
        }
    }

    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            refused: true,
            after: None,
        }
    }

    /// No answer, and none that was asked for to the end.
    pub(super) fn passing(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            refused: false,
            after: None,
        }
    }

    /// The token endpoint did not answer.
    pub(super) fn unanswered(error: &Error) -> Self {
        Self {
            reason: format!("the token endpoint: {}", outcome::reason(&error.to_string())),
            refused: matches!(error, Error::Egress(_)),
            after: None,
        }
    }
}

/// A token as the endpoint granted it.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) secret: Secret,
    /// From the request on.
    pub(super) life: Duration,
}

/// Reads an answer that came at `now`.
///
/// RFC 6749 (section 5.1) has an authorization server answer with an object of JSON. What is none of that did not come from
/// one, but from a proxy, a portal or a page for maintenance on the way, and says nothing of the credentials: a success
/// without it may pass. An object without `access_token` is another matter: a server that knows the protocol has answered,
/// and will answer the same again until its address or what we ask for is changed.
pub(super) fn read(response: &Response, now: Timestamp) -> Result<Granted, Failure> {
    let body = serde_json::from_slice::<Map<String, Value>>(&response.body).ok();
    let given = |name: &str| body.as_ref()?.get(name).filter(|value| !value.is_null());
    let code = given("error").and_then(Value::as_str);
    let known = CODES.iter().find(|(known, _)| Some(*known) == code);
    if let (200..=299, None, Some(token)) = (response.status, given("error"), given("access_token")) {
        return granted(token, given("token_type"), given("expires_in"));
    }
    let reason = match (known, response.status) {
        (Some((code, _)), status) => format!("the token endpoint answered {status} ({code})"),
        (None, status @ 200..=299) if body.is_none() => {
            format!("the token endpoint answered {status} with something else than a JSON object, as a proxy would")
        }
        (None, status @ 200..=299) => format!("the token endpoint answered {status} without a token"),
        (None, status) => format!("the token endpoint answered {status}"),
    };
    let passes = match response.status {
        408 | 425 | 429 | 500..=599 => true,
        200..=299 if body.is_none() => true,
        200..=499 => known.is_some_and(|(_, passes)| *passes),
        _ => true,
    };
    Err(Failure {
        reason,
        refused: !passes,
        after: classify::after(response, now).filter(|_| passes),
    })
}

fn granted(token: &Value, kind: Option<&Value>, expires_in: Option<&Value>) -> Result<Granted, Failure> {
    // RFC 6749, section 5.1: its case does not count. Servers that leave it out mean this one.
    let kind = kind.map(Value::as_str);
    if kind.is_some_and(|kind| !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"))) {
        return Err(Failure::refused(
            "the token endpoint gave a token of another type than Bearer",
        ));
    }
    let text = token.as_str().unwrap_or_default();
    if text.is_empty() || text.len() > TOKEN_BYTES_MAX || secret_value(text).is_err() {
        return Err(Failure::refused(
            "the token endpoint gave a token that no request can carry",
        ));
    }
    Ok(Granted {
        secret: text.into(),
        life: expires_in.and_then(life).unwrap_or(LIFE_UNSAID),
    })
}

/// Seconds, which some servers write as a text. What is neither says nothing, nor does a token that has ended already: some mean
/// that it never does, and asking for one at each delivery would be answered the same.
fn life(expires_in: &Value) -> Option<Duration> {
    let secs = match expires_in {
        Value::String(text) => text.trim().parse().ok()?,
        number => number.as_f64()?,
    };
    (secs.is_finite() && secs > 0.0).then(|| Duration::from_secs_f64(secs.min(LIFE_MAX.as_secs_f64())))
}

#[cfg(test)]
mod tests;
