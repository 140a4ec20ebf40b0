//! What Linear's answers mean, and what is read out of them.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use signalbox_proto::{Outcome, Timestamp};

use super::{Prepared, documents, names};
use crate::{
    Request,
    classify::{self, RETRY_AFTER_MAX},
    display::address_of,
    graphql::{self, Asked, Fault, Kind, Means, No, Nodes, Vendor, kind, number},
    http::Response,
    tracker::Made,
};

/// How long to wait after a limit that names no time.
const LIMITED: Duration = Duration::from_secs(60);
/// How many requests are left, and when there are more, in milliseconds since 1970: of requests, of their complexity, and of
/// one mutation alone.
const LIMITS: [(&str, &str); 3] = [
    ("x-ratelimit-requests-remaining", "x-ratelimit-requests-reset"),
    ("x-ratelimit-complexity-remaining", "x-ratelimit-complexity-reset"),
    (
        "x-ratelimit-endpoint-requests-remaining",
        "x-ratelimit-endpoint-requests-reset",
    ),
];
/// Longest id that is taken for one, in bytes.
const ID_BYTES_MAX: usize = 64;
/// Linear has one kind of errors for whatever is wrong in a request: its sentence alone says what is not there.
const NOT_FOUND: &str = "Entity not found: ";
/// What the sentence goes on with, and what the owner is told.
const NOT_FOUND_IN_CONFIG: [(&str, &str); 3] = [
    ("Team", NO_TEAM),
    ("IssueLabel", "Linear has not got one of config.labels any more"),
    (
        "WorkflowState",
        "Linear has not got a state of config.state_mappings any more",
    ),
];
/// What is said where the team cannot be seen.
pub(super) const NO_TEAM: &str =
    "Linear shows no team of config.team_id: there is none, or whose key it is does not belong to it";

const KINDS: &[Kind] = &[
    kind("RATELIMITED", Means::Limit, "more requests than it takes"),
    kind("LOCK_TIMEOUT", Means::Passing, "somebody else was changing the same"),
    kind("lock timeout", Means::Passing, "somebody else was changing the same"),
    kind("INTERNAL_SERVER_ERROR", Means::Passing, "something went wrong there"),
    kind("INTERNAL_ERROR", Means::Passing, "something went wrong there"),
    kind("internal error", Means::Passing, "something went wrong there"),
    kind("network error", Means::Passing, "something went wrong there"),
    kind("AUTHENTICATION_ERROR", Means::Setup, UNAUTHORIZED),
    kind("authentication error", Means::Setup, UNAUTHORIZED),
    kind("FORBIDDEN", Means::Setup, "whose key it is may not do this"),
    kind(
        "FEATURE_NOT_ACCESSIBLE",
        Means::Setup,
        "the plan of the workspace does not have this",
    ),
    kind(
        "feature not accessible",
        Means::Setup,
        "the plan of the workspace does not have this",
    ),
    kind("USAGE_LIMIT_EXCEEDED", Means::Setup, FULL),
    kind("usage limit exceeded", Means::Setup, FULL),
    kind("INPUT_ERROR", Means::Never, INVALID),
    kind("INVALID_INPUT", Means::Never, INVALID),
    kind("invalid input", Means::Never, INVALID),
    kind("BAD_USER_INPUT", Means::Never, INVALID),
    kind("USER_ERROR", Means::Never, INVALID),
    kind("user error", Means::Never, INVALID),
    kind("GRAPHQL_VALIDATION_FAILED", Means::Setup, UNKNOWN),
    kind("GRAPHQL_PARSE_FAILED", Means::Setup, UNKNOWN),
    kind("graphql error", Means::Setup, UNKNOWN),
];
const UNAUTHORIZED: &str = "it does not take credentials.api_key";
/// No event changes a document, so that no event is at fault.
const UNKNOWN: &str = "it does not know the request: its API has changed, and a newer version of this program may fit";
const FULL: &str = "the workspace has as many issues as its plan allows";
const INVALID: &str = "it does not take what the event says, or something that it names is not there";
const LINEAR: Vendor = Vendor {
    name: "Linear",
    kinds: KINDS,
    unauthorized: UNAUTHORIZED,
};

/// What a mutation answers: whether it was done, and what came of it.
#[derive(Deserialize)]
struct Payload {
    success: bool,
    #[serde(alias = "issue", alias = "comment", alias = "attachment")]
    what: Option<Entity>,
}

#[derive(Deserialize)]
struct Entity {
    id: String,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    state: Option<State>,
}

#[derive(Deserialize)]
struct State {
    id: String,
}

/// The one payload of a mutation.
#[derive(Deserialize)]
struct Mutated {
    #[serde(
        alias = "issueCreate",
        alias = "issueUpdate",
        alias = "commentCreate",
        alias = "attachmentCreate"
    )]
    payload: Payload,
}

/// What is found by an id.
#[derive(Deserialize)]
struct Found {
    #[serde(alias = "issues", alias = "comments")]
    all: Nodes<Entity>,
}

/// Where an issue is.
#[derive(Deserialize)]
struct Places {
    issues: Nodes<Place>,
}

#[derive(Deserialize)]
struct Place {
    team: names::TeamNode,
}

#[derive(Deserialize)]
struct Teams {
    teams: Nodes<Value>,
}

impl Entity {
    fn into_made(self) -> Option<Made> {
        let is_id = (1..=ID_BYTES_MAX).contains(&self.id.len())
            && self.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        is_id.then(|| Made {
            url: self.url.as_deref().and_then(address_of),
            id: self.id,
        })
    }
}

/// The data of an answer without errors.
fn yes<T: DeserializeOwned>(asked: Asked, response: &Response, now: Timestamp) -> Result<T, Outcome> {
    graphql::data(response).map_err(|no| refused(asked, response, &no, now))
}

/// What was done by a mutation.
fn mutated(response: &Response, now: Timestamp) -> Result<Entity, Outcome> {
    let Mutated { payload } = yes(Asked::Do, response, now)?;
    match payload.what {
        Some(what) if payload.success => Ok(what),
        _ => Err(Outcome::Retry {
            reason: "Linear answered that it was not done, and not why".to_owned(),
            after: classify::after(response, now),
        }),
    }
}

/// The issue or comment that was made.
pub(super) fn made(response: &Response, now: Timestamp) -> Result<Made, Outcome> {
    let made = mutated(response, now)?.into_made();
    made.ok_or_else(|| refused(Asked::Do, response, &No::Foreign, now))
}

/// The state in which an issue was made.
pub(super) fn state_of_new(response: &Response) -> Option<String> {
    let made: Mutated = graphql::data(response).ok()?;
    Some(made.payload.what?.state?.id)
}

/// What there is of an id.
pub(super) fn found(response: &Response, now: Timestamp) -> Result<Option<Made>, Outcome> {
    let Found { all } = yes(Asked::Tell, response, now)?;
    match all.nodes.into_iter().next() {
        None => Ok(None),
        Some(first) => first
            .into_made()
            .map(Some)
            .ok_or_else(|| refused(Asked::Tell, response, &No::Foreign, now)),
    }
}

/// Whether an issue has moved, or has its link.
pub(super) fn changed(response: &Response, now: Timestamp) -> Result<(), Outcome> {
    mutated(response, now).map(|_| ())
}

/// The team in which an issue is; `None` where the issue is not there.
pub(super) fn place(response: &Response, now: Timestamp) -> Result<Option<names::TeamNode>, Outcome> {
    let Places { issues } = yes(Asked::Tell, response, now)?;
    Ok(issues.nodes.into_iter().next().map(|place| place.team))
}

/// The names and ids that were asked for.
pub(super) fn named(response: &Response, now: Timestamp) -> Result<names::Answered, Outcome> {
    yes(Asked::Tell, response, now)
}

/// Whether the key is taken and the team can be seen.
pub(super) fn seen(response: &Response, now: Timestamp) -> Outcome {
    match yes::<Teams>(Asked::Tell, response, now) {
        Err(outcome) => outcome,
        Ok(Teams { teams }) if teams.nodes.is_empty() => Outcome::Suspend {
            reason: NO_TEAM.to_owned(),
            at_once: false,
        },
        Ok(_) => Outcome::Delivered,
    }
}

/// Whether Linear says that the issue of a request is not there, in the trash or in the archive: nobody looks there.
pub(super) fn is_gone(response: &Response) -> bool {
    match graphql::data::<Value>(response) {
        Ok(data) => is_put_away(&data),
        Err(No::Faults { faults, .. }) => faults.iter().any(|fault| lacks(fault) == Some("Issue")),
        Err(No::Foreign) => false,
    }
}

/// Whether anything in an answer is in the trash or in the archive: we ask so of issues alone.
fn is_put_away(value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            let is_trashed = members.get("trashed") == Some(&Value::Bool(true));
            let is_archived = members.get("archivedAt").is_some_and(Value::is_string);
            is_trashed || is_archived || members.values().any(is_put_away)
        }
        Value::Array(items) => items.iter().any(is_put_away),
        _ => false,
    }
}

/// What an error says is not there.
fn lacks(fault: &Fault) -> Option<&str> {
    let rest = fault.message.strip_prefix(NOT_FOUND)?;
    rest.split(|c: char| !c.is_ascii_alphanumeric()).next()
}

/// Whether there were too many requests, so that nothing was done.
pub(super) fn is_limited(response: &Response) -> bool {
    LINEAR.is_limited(response)
}

/// What an answer means that is no yes.
fn refused(asked: Asked, response: &Response, no: &No, now: Timestamp) -> Outcome {
    let outcome = LINEAR.refused(asked, response, no, || reset(response, now).unwrap_or(LIMITED), now);
    let (Outcome::Reject { .. }, No::Faults { faults, .. }) = (&outcome, no) else {
        return outcome;
    };
    let lacking = faults.iter().filter_map(lacks);
    let in_config = lacking.flat_map(|lacking| NOT_FOUND_IN_CONFIG.iter().find(|(entity, _)| *entity == lacking));
    match in_config.map(|(_, words)| *words).next() {
        Some(words) => Outcome::Suspend {
            reason: words.to_owned(),
            at_once: false,
        },
        None => outcome,
    }
}

/// The time until the limit that is reached is renewed, the longest of several.
fn reset(response: &Response, now: Timestamp) -> Option<Duration> {
    let reached = LIMITS
        .iter()
        .filter(|(remaining, _)| number(response, remaining).is_some_and(|left| left <= 0));
    let waits = reached.filter_map(|(_, reset)| Some(Timestamp::from_millis(number(response, reset)?).since(now)));
    waits
        .max()
        .filter(|wait| !wait.is_zero())
        .map(|wait| wait.min(RETRY_AFTER_MAX))
}

/// What Linear answers where it takes a request.
pub(super) fn made_up(prepared: &Prepared, request: &Request) -> Response {
    const ISSUE: &str = "00000000-0000-4000-8000-000000000002";
    let one = json!({ "id": ISSUE, "url": "https://linear.app/acme/issue/ENG-1" });
    let data = [
        (documents::NAMES, names::made_up(prepared)),
        (
            documents::TEAM,
            json!({ "viewer": { "id": ISSUE }, "teams": { "nodes": [{ "id": ISSUE }] } }),
        ),
        (documents::FIND_ISSUE, json!({ "issues": { "nodes": [] } })),
        (documents::PLACE, json!({ "issues": { "nodes": [] } })),
        (documents::FIND_COMMENT, json!({ "comments": { "nodes": [] } })),
        (
            documents::CREATE,
            json!({ "issueCreate": { "success": true, "issue": one } }),
        ),
        (
            documents::MOVE,
            json!({ "issueUpdate": { "success": true, "issue": one } }),
        ),
        (
            documents::COMMENT,
            json!({ "commentCreate": { "success": true, "comment": one } }),
        ),
        (
            documents::LINK,
            json!({ "attachmentCreate": { "success": true, "attachment": one } }),
        ),
    ];
    let asked = data.iter().find(|(operation, _)| operation.is_asked_by(request));
    graphql::made_up(asked.map_or(&Value::Null, |(_, data)| data))
}

#[cfg(test)]
mod tests;
