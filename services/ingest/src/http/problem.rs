//! What a publisher over HTTP is told when its events are not taken.

use axum::http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use signalbox_broker::PublishError;
use signalbox_runtime::Problem;

use crate::{
    admission::Refusal,
    input::{Rejection, Wrong},
    orgs::Shut,
};

/// Wrong events of one list that a problem names; the first ones.
pub(super) const ERRORS_MAX: usize = 20;
/// Seconds after which a publisher is asked to come again while NATS is away.
pub(super) const RETRY_AFTER_SECS: u32 = 2;
/// Seconds after which there is a new quota.
const QUOTA_RETRY_AFTER_SECS: u32 = 1;
/// Seconds after which a publisher is asked to come again where an operator has to act.
const FULL_RETRY_AFTER_SECS: u32 = 30;

/// The problem of one input.
pub(super) fn of(rejection: Rejection) -> Problem {
    let (status, code) = status_of(rejection.kind);
    let problem = Problem::new(status, code, rejection.message);
    match rejection.field {
        Some(field) => problem.field(field),
        None => problem,
    }
}

/// The problem of a list of inputs of which these are wrong, by their places: `field` names the first one, such as
/// `[3].type`, and `errors` each of them up to [`ERRORS_MAX`].
pub(super) fn of_list(wrong: Vec<(usize, Rejection)>) -> Option<Problem> {
    let (first, rejection) = wrong.first()?;
    let (status, code) = status_of(rejection.kind);
    let field = field_of(*first, rejection);
    let detail = match wrong.len() - 1 {
        0 => rejection.message.clone(),
        more => format!("{} (and {more} more; nothing is stored)", rejection.message),
    };
    let errors: Vec<Value> = wrong
        .iter()
        .take(ERRORS_MAX)
        .map(|(index, rejection)| json!({ "field": field_of(*index, rejection), "detail": rejection.message }))
        .collect();
    Some(
        Problem::new(status, code, detail)
            .field(field)
            .with("errors", errors)
            .with("errors_count", wrong.len()),
    )
}

/// The problem of a process that has just started and does not know yet what it needs.
pub(super) fn still_reading(what: &str) -> Problem {
    Problem::unavailable(
        format!("this process is still reading {what}: try again"),
        RETRY_AFTER_SECS,
    )
}

/// The problem of an org that nothing is taken in for.
pub(super) fn of_shut(shut: &Shut) -> Problem {
    let code = match shut {
        Shut::Closed(_) => "org_closed",
        Shut::Unknown(_) => "no_org",
    };
    Problem::new(StatusCode::FORBIDDEN, code, shut.to_string()).field("org")
}

/// The problem of events that their org may not publish just now. A list that can never go is not asked for again.
pub(super) fn of_refusal(refusal: &Refusal) -> Problem {
    let (status, code, again) = match refusal {
        Refusal::Quota { .. } => (
            StatusCode::TOO_MANY_REQUESTS,
            "quota_exceeded",
            Some(QUOTA_RETRY_AFTER_SECS),
        ),
        Refusal::List { .. } => (StatusCode::TOO_MANY_REQUESTS, "quota_exceeded", None),
        Refusal::Waiting { .. } => (
            StatusCode::TOO_MANY_REQUESTS,
            "too_much_waiting",
            Some(FULL_RETRY_AFTER_SECS),
        ),
        Refusal::Storage { .. } => (
            StatusCode::SERVICE_UNAVAILABLE,
            "storage_full",
            Some(FULL_RETRY_AFTER_SECS),
        ),
    };
    let problem = Problem::new(status, code, format!("{refusal}; nothing is stored"));
    match again {
        Some(secs) => problem.header(header::RETRY_AFTER, HeaderValue::from(secs)),
        None => problem,
    }
}

/// The problem of a body that is larger than any that is read.
pub(super) fn body_too_large(bytes_max: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        format!("the body has more than {bytes_max} bytes"),
    )
}

/// The problem of events that could not be stored.
pub(super) fn of_storing(error: &PublishError) -> Problem {
    tracing::warn!(%error, "events published over HTTP were not stored");
    match error {
        PublishError::Full { .. } => Problem::unavailable(
            "the store of accepted events is full; an operator has to make room",
            FULL_RETRY_AFTER_SECS,
        ),
        PublishError::TimedOut | PublishError::Closed | PublishError::Stale { .. } => Problem::unavailable(
            "events cannot be stored just now, and whether some were is not known; sending the same again is safe where \
             each event has an `id` of its own, or with an Idempotency-Key",
            RETRY_AFTER_SECS,
        ),
        PublishError::Refused { .. } => Problem::internal(),
    }
}

/// The problem of a list of which a part is stored: `events` says of each, in the order of the request, its id and
/// whether it is.
pub(super) fn of_storing_a_part(error: &PublishError, events: &[(&str, bool)]) -> Problem {
    let stored = events.iter().filter(|(_, stored)| *stored).count();
    let detail = format!(
        "{stored} of {} events are stored, the others could not be just now: send those again that `events` calls not \
         stored, or all of them where each has an `id` of its own, or with an Idempotency-Key",
        events.len()
    );
    let events: Vec<Value> = events
        .iter()
        .map(|(id, stored)| json!({ "id": id, "stored": stored }))
        .collect();
    Problem {
        detail,
        ..of_storing(error)
    }
    .with("events", events)
}

fn field_of(index: usize, rejection: &Rejection) -> String {
    match &rejection.field {
        Some(field) => format!("[{index}].{field}"),
        None => format!("[{index}]"),
    }
}

fn status_of(kind: Wrong) -> (StatusCode, &'static str) {
    match kind {
        Wrong::Malformed => (StatusCode::BAD_REQUEST, "malformed"),
        Wrong::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
        Wrong::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        Wrong::Unsupported => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
        Wrong::ForeignOrg => (StatusCode::FORBIDDEN, "foreign_org"),
    }
}

#[cfg(test)]
mod tests;
