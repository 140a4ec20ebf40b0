//! What the answers of Teams mean: of a workflow, which takes a message before it runs, and of a connector of the old
//! kind, which tells its errors inside a 200.

use serde::Deserialize;
use serde_json::Value;
use signalbox_proto::{Outcome, Timestamp};

use crate::{classify, http::Response};

/// What a connector says where it took the message.
const TAKEN: &str = "1";
/// How a connector begins what it tells inside a 200.
const FAILED: &str = "Webhook message delivery failed";
/// What stands before the status that the connector itself was answered with.
const ENDPOINT: &str = "Microsoft Teams endpoint returned HTTP error ";
/// Bytes of an answer that are looked through for one of the two.
const LOOKED_THROUGH_BYTES_MAX: usize = 4 * 1024;

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Workflow,
    /// An Office 365 connector.
    Connector,
}

const ANYBODY: &str = "let anyone trigger the workflow, and copy its address anew";
const TURN_ON: &str = "turn the workflow on";
const NEW_WORKFLOW: &str = "make a new workflow and set webhook_url";

/// The codes of a workflow that somebody has to do something about.
const CODES: &[(&str, &str)] = &[
    ("WorkflowTriggerIsNotEnabled", TURN_ON),
    ("WorkflowNotFound", NEW_WORKFLOW),
    ("DirectApiAuthorizationRequired", ANYBODY),
    ("DirectApiInvalidAuthorizationScheme", ANYBODY),
];
/// A workflow that wants another form of message.
const OTHER_FORM: &str = "TriggerInputSchemaMismatch";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    error: Said,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    code: String,
}

/// What an answer means. `now` is when it came.
pub(super) fn outcome(response: &Response, asked: Asked, now: Timestamp) -> Outcome {
    match response.status {
        200..=299 => taken(response, asked, now),
        408 | 425 | 429 | 500.. => classify::by_status(response, now),
        _ => by_code(response, now),
    }
}

fn taken(response: &Response, asked: Asked, now: Timestamp) -> Outcome {
    let body = response.body.get(..LOOKED_THROUGH_BYTES_MAX).unwrap_or(&response.body);
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if let Some((_, behind)) = text.split_once(ENDPOINT) {
        return inside(behind, response, now);
    }
    let is_yes = match asked {
        // It may be made to answer anything, but no error that it did not have: that is the JSON of a proxy.
        Asked::Workflow => !text.starts_with('<') && !text.starts_with(FAILED) && !tells_error(&response.body),
        Asked::Connector => text == TAKEN,
    };
    if is_yes {
        return Outcome::Delivered;
    }
    Outcome::Retry {
        reason: "the answer does not say that Teams took the message: a proxy may have answered".to_owned(),
        after: classify::after(response, now),
    }
}

/// Whether it is an object with an `error` that says something: `false` and an empty text do not.
fn tells_error(body: &[u8]) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Told {
        error: Value,
    }
    let told: Told = classify::object(body).unwrap_or_default();
    match told.error {
        Value::Object(error) => !error.is_empty(),
        Value::String(error) => !error.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
    }
}

/// An error inside a 200, by the status that stands there.
fn inside(behind: &str, response: &Response, now: Timestamp) -> Outcome {
    let digits = behind.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    let Ok(status @ 300..=599) = digits.parse() else {
        return Outcome::Retry {
            reason: "Teams told an error inside a 200".to_owned(),
            after: classify::after(response, now),
        };
    };
    let told = Response {
        status,
        ..response.clone()
    };
    classify::by_status(&told, now).map_reason(|reason| format!("inside a 200, {reason}"))
}

fn by_code(response: &Response, now: Timestamp) -> Outcome {
    let said: Answer = serde_json::from_slice(&response.body).unwrap_or_default();
    let code = said.error.code;
    if let Some((code, remedy)) = CODES.iter().find(|(known, _)| *known == code) {
        return Outcome::Suspend {
            reason: format!("the workflow answered {} {code}: {remedy}", response.status),
            at_once: false,
        };
    }
    let outcome = classify::by_status(response, now);
    if code == OTHER_FORM {
        return outcome.map_reason(|reason| {
            format!("{reason}, {OTHER_FORM}: make the workflow from the template for webhook requests in Teams")
        });
    }
    outcome
}
