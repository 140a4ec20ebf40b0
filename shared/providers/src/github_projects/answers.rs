//! What GitHub's answers mean, and what is read out of them.

use std::time::Duration;

use ::http::header::RETRY_AFTER;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use signalbox_proto::{Outcome, Timestamp};

use super::{
    Prepared, documents,
    forms::{Added, Changed, Content, Draft, Item, Node, Owners, Page, Project},
    names,
};
use crate::{
    Request,
    classify::{self, RETRY_AFTER_MAX},
    graphql::{self, Kind, Means, No, Vendor, kind, number},
    http::Response,
    tracker::Made,
};

/// How long to wait where a limit names no time: what GitHub asks for at the least.
const LIMITED: Duration = Duration::from_secs(60);
/// How much of a refusal is looked through for words.
const LOOKED_BYTES_MAX: usize = 4 * 1024;
/// Longest id that is taken for one, in bytes.
const ID_BYTES_MAX: usize = 64;
const NOT_FOUND: &str = "NOT_FOUND";
/// The mutation that adds an issue or a pull request.
const ADD: &str = "addProjectV2ItemById";
/// What is said where the project cannot be seen.
pub(super) const NO_PROJECT: &str =
    "GitHub shows no project of config.owner and config.project_number: there is none, or the token has no right to it";

const KINDS: &[Kind] = &[
    kind("RATE_LIMITED", Means::Limit, "more requests than it takes"),
    kind("RATE_LIMIT", Means::Limit, "more requests than it takes"),
    kind("SERVICE_UNAVAILABLE", Means::Passing, "it cannot answer now"),
    kind("INTERNAL", Means::Passing, "something went wrong there"),
    kind("STALE_DATA", Means::Passing, "somebody else was changing the same"),
    kind("INSUFFICIENT_SCOPES", Means::Setup, "the token lacks the scope project"),
    kind("FORBIDDEN", Means::Setup, "the token may not write to the project"),
    kind(
        NOT_FOUND,
        Means::Setup,
        "what is asked for is not there, or the token may not see it",
    ),
    kind("UNPROCESSABLE", Means::Never, INVALID),
    kind("VALIDATION", Means::Never, INVALID),
    kind("MAX_NODE_LIMIT_EXCEEDED", Means::Never, UNKNOWN),
    kind("undefinedField", Means::Never, UNKNOWN),
    kind("undefinedType", Means::Never, UNKNOWN),
    kind("argumentNotAccepted", Means::Never, UNKNOWN),
    kind("argumentLiteralsIncompatible", Means::Never, UNKNOWN),
    kind("variableMismatch", Means::Never, UNKNOWN),
];
const INVALID: &str = "it does not take what the event says, or the item is archived";
const UNKNOWN: &str = "it does not know the request: an Enterprise Server may be too old for it";
const GITHUB: Vendor = Vendor {
    name: "GitHub",
    kinds: KINDS,
    unauthorized: "it does not take credentials.token",
};

/// The data of an answer without errors.
fn yes<T: DeserializeOwned>(response: &Response, now: Timestamp) -> Result<T, Outcome> {
    graphql::data(response).map_err(|no| refused(response, &no, now))
}

/// The item that was made. An issue or a pull request that is not there is the event's fault.
pub(super) fn made(response: &Response, now: Timestamp) -> Result<Made, Outcome> {
    let no = match graphql::data::<Added>(response) {
        Ok(Added { payload }) => {
            let id = payload.item.id;
            let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'=');
            let is_id = (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_sign);
            if is_id {
                return Ok(Made { id, url: None });
            }
            No::Foreign
        }
        Err(no) => no,
    };
    if let No::Faults { faults, .. } = &no
        && (200..300).contains(&response.status)
        && GITHUB.are_all(faults, NOT_FOUND)
        && faults
            .iter()
            .all(|fault| fault.path.first().is_some_and(|first| first == ADD))
    {
        return Err(Outcome::Reject {
            reason: "GitHub shows no issue or pull request of data.node_id: there is none, or the token may not see it"
                .to_owned(),
        });
    }
    Err(refused(response, &no, now))
}

/// Whether the status was set, or the text changed.
pub(super) fn changed(response: &Response, now: Timestamp) -> Result<(), Outcome> {
    let Changed { payload } = yes(response, now)?;
    match payload.thing.id.is_empty() {
        false => Ok(()),
        true => Err(refused(response, &No::Foreign, now)),
    }
}

/// The draft of an item; `None` where it is an issue or a pull request.
pub(super) fn draft(response: &Response, now: Timestamp) -> Result<Option<Draft>, Outcome> {
    if response.truncated && response.status == 200 {
        return Err(Outcome::Reject {
            reason: "the text of the draft is too long to be read, so that no link can be added to it".to_owned(),
        });
    }
    let Node { node } = yes::<Node<Item>>(response, now)?;
    let content = node.content.unwrap_or(Content { id: None, body: None });
    Ok(match (content.id, content.body) {
        (Some(id), Some(body)) => Some(Draft { id, body }),
        _ => None,
    })
}

/// Whether an item can be changed.
pub(super) fn there(response: &Response, now: Timestamp) -> Result<(), Outcome> {
    let Node { node } = yes::<Node<Item>>(response, now)?;
    match node.is_archived {
        false => Ok(()),
        true => Err(Outcome::Reject {
            reason: "the item is archived: its status cannot be changed".to_owned(),
        }),
    }
}

/// Items of the project.
pub(super) fn page(response: &Response, now: Timestamp) -> Result<Page, Outcome> {
    yes(response, now)
}

/// Whether the text of an item bears this marker, which stands at its beginning. A marker is of letters, digits, `-` and `_`: it
/// is the same in JSON.
pub(super) fn bears(response: &Response, marker: &str, now: Timestamp) -> Result<bool, Outcome> {
    let holds = || {
        response
            .body
            .windows(marker.len())
            .any(|window| window == marker.as_bytes())
    };
    if response.status == 200 && response.truncated {
        return Ok(holds());
    }
    match graphql::data::<Node<Item>>(response) {
        Ok(_) => Ok(holds()),
        Err(_) if is_gone(response) => Ok(false),
        Err(no) => Err(refused(response, &no, now)),
    }
}

/// The project. Of organization and user one is never found, which GitHub tells as an error beside the other.
pub(super) fn project(response: &Response, now: Timestamp) -> Result<Project, Outcome> {
    let owners: Owners = match graphql::data(response) {
        Ok(owners) => owners,
        Err(No::Faults { faults, data })
            if (200..300).contains(&response.status) && GITHUB.are_all(&faults, NOT_FOUND) =>
        {
            serde_json::from_value(data).map_err(|_| refused(response, &No::Foreign, now))?
        }
        Err(no) => return Err(refused(response, &no, now)),
    };
    let project = [owners.organization, owners.user]
        .into_iter()
        .flatten()
        .find_map(|owner| owner.project);
    project.ok_or_else(|| Outcome::Suspend {
        reason: NO_PROJECT.to_owned(),
        at_once: false,
    })
}

/// Whether the project can be seen and written to.
pub(super) fn writable(response: &Response, now: Timestamp) -> Outcome {
    match project(response, now) {
        Err(outcome) => outcome,
        Ok(project) if project.viewer_can_update => Outcome::Delivered,
        Ok(_) => Outcome::Suspend {
            reason: "the token may read the project and not write to it".to_owned(),
            at_once: false,
        },
    }
}

/// Whether GitHub says that there is no item of the id that was asked for.
pub(super) fn is_gone(response: &Response) -> bool {
    let is_null = |data: &Value| data.get("node").is_some_and(Value::is_null);
    match graphql::data::<Value>(response) {
        Ok(data) => is_null(&data),
        Err(No::Faults { faults, data }) => is_null(&data) && GITHUB.are_all(&faults, NOT_FOUND),
        Err(No::Foreign) => false,
    }
}

/// What an answer means that is no yes.
fn refused(response: &Response, no: &No, now: Timestamp) -> Outcome {
    let wait = || limit_ends(response, now).unwrap_or(LIMITED);
    if response.status == 403 && is_limited(response) {
        return Outcome::Retry {
            reason: "GitHub answered 403: more requests than it takes".to_owned(),
            after: Some(classify::after(response, now).unwrap_or_else(wait)),
        };
    }
    GITHUB.refused(response, no, wait, now)
}

/// A 403 is a limit or a missing right, and only its headers and its words tell which.
fn is_limited(response: &Response) -> bool {
    let head = response.body.get(..LOOKED_BYTES_MAX).unwrap_or(&response.body);
    response.headers.contains_key(RETRY_AFTER)
        || number(response, "x-ratelimit-remaining") == Some(0)
        || String::from_utf8_lossy(head).to_lowercase().contains("rate limit")
}

/// The time until the window of the limit ends, where it is used up.
fn limit_ends(response: &Response, now: Timestamp) -> Option<Duration> {
    let reset =
        number(response, "x-ratelimit-reset").filter(|_| number(response, "x-ratelimit-remaining") == Some(0))?;
    // A second more, since the header is in whole ones.
    let wait = Timestamp::from_secs(reset).since(now) + Duration::from_secs(1);
    Some(wait.min(RETRY_AFTER_MAX))
}

/// What GitHub answers where it takes a request.
pub(super) fn made_up(prepared: &Prepared, request: &Request) -> Response {
    let item = json!({ "id": "PVTI_1" });
    let data = [
        (documents::PROJECT, names::made_up(prepared)),
        (
            documents::ITEMS,
            json!({ "viewer": { "login": "signalbox" }, "node": { "items": {
                "pageInfo": { "hasPreviousPage": false, "startCursor": null }, "nodes": [],
            } } }),
        ),
        (
            documents::DRAFT,
            json!({ "node": { "id": "PVTI_1", "content": { "id": "DI_1", "body": "" } } }),
        ),
        (
            documents::ITEM,
            json!({ "node": { "id": "PVTI_1", "isArchived": false } }),
        ),
        (
            documents::ADD_DRAFT,
            json!({ "addProjectV2DraftIssue": { "projectItem": item } }),
        ),
        (documents::ADD, json!({ "addProjectV2ItemById": { "item": item } })),
        (
            documents::SET,
            json!({ "updateProjectV2ItemFieldValue": { "projectV2Item": item } }),
        ),
        (
            documents::EDIT,
            json!({ "updateProjectV2DraftIssue": { "draftIssue": { "id": "DI_1" } } }),
        ),
    ];
    let asked = data.iter().find(|(operation, _)| operation.is_asked_by(request));
    graphql::made_up(asked.map_or(&Value::Null, |(_, data)| data))
}

#[cfg(test)]
mod tests;
