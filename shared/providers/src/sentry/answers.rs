//! What Sentry's answers mean.

use std::time::Duration;

use ::http::{HeaderMap, HeaderName};
use serde::Deserialize;
use signalbox_proto::{Outcome, Timestamp};

use crate::{
    classify::{self, RETRY_AFTER_MAX},
    http::Response,
};

/// Lists the limits that are reached: `<seconds>:<category;…>:<scope>:…`, parted by commas.
const RATE_LIMITS: HeaderName = HeaderName::from_static("x-sentry-rate-limits");
/// Categories that our events are counted in; older servers count events without an exception as `default`.
const OURS: [&str; 2] = ["error", "default"];
/// How long a 429 lasts that does not say.
const LIMITED: Duration = Duration::from_secs(60);

/// What the answer to an event means. `now` is when it came.
pub(super) fn outcome(response: &Response, now: Timestamp) -> Outcome {
    judged(response, is_sentrys(&response.body), now)
}

/// What the answer to a connection test means: an envelope without an event has no id that Sentry could name, and is
/// answered with an empty object.
pub(super) fn of_probe(response: &Response, now: Timestamp) -> Outcome {
    let is_object = classify::object::<serde::de::IgnoredAny>(&response.body).is_some();
    judged(response, is_object || response.body.trim_ascii().is_empty(), now)
}

fn judged(response: &Response, is_sentrys: bool, now: Timestamp) -> Outcome {
    let limited = limited(&response.headers);
    match (response.status, limited) {
        (429, limited) => Outcome::Retry {
            reason: "Sentry answered 429: a rate limit or the quota of the project is reached".to_owned(),
            after: limited.or_else(|| classify::after(response, now)).or(Some(LIMITED)),
        },
        // Sentry drops events also behind a 200 while a limit holds. What comes again has the same event_id: if it was
        // taken, the second is discarded.
        (200..=299, Some(after)) => Outcome::Retry {
            reason: "Sentry answered that a limit is reached for events, which it then drops".to_owned(),
            after: Some(after),
        },
        (200..=299, None) if is_sentrys => Outcome::Delivered,
        // A page of a proxy or a sign-in, or its JSON: Sentry itself has neither taken nor refused it.
        (200..=299, None) => Outcome::Retry {
            reason: "the answer is not Sentry's: it names no id, so a proxy may have answered".to_owned(),
            after: classify::after(response, now),
        },
        (status @ (401 | 403), _) => Outcome::Suspend {
            reason: format!(
                "Sentry answered {status}: the key of the DSN is unknown, disabled or of another project: set \
                 credentials.dsn anew"
            ),
            at_once: false,
        },
        (400, _) if is_of_dsn(&response.body) => Outcome::Suspend {
            reason: "Sentry answered 400: the DSN holds no valid key or project: set credentials.dsn anew".to_owned(),
            at_once: false,
        },
        (404, _) => Outcome::Suspend {
            reason: "Sentry answered 404: there is no such project where the DSN points: set credentials.dsn anew"
                .to_owned(),
            at_once: false,
        },
        _ => classify::by_status(response, now),
    }
}

/// What Relay says of a key or a project that cannot be one (`relay-server`, `endpoints/common.rs`).
const OF_DSN: [&str; 2] = ["bad sentry DSN public key", "bad project path parameter"];

/// Whether a 400 is about the DSN and not about the event.
fn is_of_dsn(body: &[u8]) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Said {
        detail: String,
    }
    let said: Said = serde_json::from_slice(body).unwrap_or_default();
    OF_DSN.iter().any(|known| said.detail.starts_with(known))
}

/// Sentry answers `{"id":"…"}` or nothing: an event that we send always has an id.
fn is_sentrys(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Taken {
        id: String,
    }
    let taken: Option<Taken> = classify::object(body);
    body.trim_ascii().is_empty() || taken.is_some_and(|taken| !taken.id.is_empty())
}

/// The longest of the limits that hold for our events; `None` where there is none.
fn limited(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(RATE_LIMITS).iter();
    let limits = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    limits.filter_map(limit).max()
}

/// One limit, if it is ours. What a later version adds behind the categories says nothing here.
fn limit(text: &str) -> Option<Duration> {
    let mut parts = text.split(':');
    let seconds: f64 = parts.next()?.trim().parse().ok()?;
    let categories = parts.next()?.trim();
    let ours = categories.is_empty() || categories.split(';').any(|category| OURS.contains(&category.trim()));
    let holds = ours && seconds > 0.0;
    holds.then(|| Duration::from_secs_f64(seconds.ceil().min(RETRY_AFTER_MAX.as_secs_f64())))
}

#[cfg(test)]
mod tests;
