//! The problems that several routes answer with.

use axum::http::StatusCode;
use serde_json::{Value, json};
use signalbox_broker::Error as BrokerError;
use signalbox_providers::FieldError;
use signalbox_runtime::Problem;
use signalbox_store::Error as StoreError;

/// Seconds after which a caller may try again while NATS is away.
const RETRY_AFTER_SECS: u32 = 2;

/// What went wrong between this process and NATS. What does not pass by itself is logged with its cause.
pub(crate) fn broker(error: BrokerError) -> Problem {
    match error {
        BrokerError::Conflict { .. } => conflict(),
        error if error.is_transient() => {
            tracing::warn!(
                error = chain(&error),
                "a request was refused, because NATS did not answer it"
            );
            Problem::unavailable("NATS does not answer at the moment: try again", RETRY_AFTER_SECS)
        }
        error => internal(&error),
    }
}

/// What went wrong between this process and the database.
pub(crate) fn store(error: StoreError) -> Problem {
    match error {
        StoreError::Conflict { .. } => conflict(),
        StoreError::Duplicate { what } => {
            let detail = format!("{what} is there already");
            Problem::new(StatusCode::CONFLICT, "already_exists", detail)
        }
        error if error.is_transient() => {
            tracing::warn!(
                error = chain(&error),
                "a request was refused, because the database did not answer it"
            );
            Problem::unavailable(
                "the database does not answer at the moment: try again",
                RETRY_AFTER_SECS,
            )
        }
        error => internal(&error),
    }
}

/// A mistake of ours.
pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Problem {
    tracing::error!(error = chain(error), "a request failed");
    Problem::internal()
}

/// A handler outside the frame, which nothing mounts.
pub(crate) fn not_framed() -> Problem {
    tracing::error!("a handler was called outside the frame of the routes");
    Problem::internal()
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

/// Someone else was faster.
pub(crate) fn conflict() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "conflict",
        "someone else changed this at the same time: look at it and try again",
    )
}

/// The integrations are still being read.
pub(crate) fn not_complete() -> Problem {
    Problem::unavailable("this process is still reading the integrations: try again", 1)
}

/// There is no such thing.
pub(crate) fn not_found(what: &str, id: &str) -> Problem {
    let id: String = id.chars().take(160).collect();
    Problem::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what} {id:?}"))
}

/// A parameter or a field that cannot be read.
pub(crate) fn invalid(field: &str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid", detail).field(field)
}

/// A cursor that no list ends with.
pub(crate) fn no_cursor() -> Problem {
    invalid(
        "cursor",
        "is not a cursor that this API gave: take next_cursor of the page before, or leave it out for the first page",
    )
}

/// A field that names no provider of this version.
pub(crate) fn no_provider(field: &str) -> Problem {
    let known: Vec<&str> = signalbox_providers::registry().iter().map(|entry| entry.name).collect();
    invalid(field, format!("is none of {}", known.join(", ")))
}

/// An integration for which deliveries wait is not thrown away by accident.
pub(crate) fn deliveries_waiting(name: &str, waiting: u64, remedy: &str) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "deliveries_waiting",
        format!("{waiting} deliveries wait for {name}: let them end, or {remedy}"),
    )
    .with("waiting", waiting)
}

/// Everything that is wrong with one integration.
pub(crate) fn invalid_integration(errors: &[FieldError]) -> Problem {
    let list: Vec<Value> = errors
        .iter()
        .map(|error| json!({ "field": error.pointer, "message": error.message }))
        .collect();
    let detail = match errors {
        [error] => error.to_string(),
        _ => format!("{} fields are at fault", errors.len()),
    };
    let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_integration", detail).with("errors", list);
    match errors.first() {
        Some(error) if !error.pointer.is_empty() => problem.field(error.pointer.clone()),
        _ => problem,
    }
}

/// Everything that is wrong with the integrations of a request, each with its place in the list.
pub(crate) fn invalid_integrations(errors: &[(usize, FieldError)]) -> Problem {
    let list: Vec<Value> = errors
        .iter()
        .map(|(index, error)| json!({ "index": index, "field": error.pointer, "message": error.message }))
        .collect();
    let detail = match errors {
        [(index, error)] => format!("integrations[{index}]: {error}"),
        _ => format!("{} fields are at fault", errors.len()),
    };
    let field = errors
        .first()
        .map(|(index, error)| format!("integrations/{index}/{}", error.pointer));
    let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_integrations", detail).with("errors", list);
    match field {
        Some(field) => problem.field(field.trim_end_matches('/')),
        None => problem,
    }
}
