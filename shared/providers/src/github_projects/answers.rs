//! What GitHub's answers mean, and what is read out of them.

use std::time::Duration;

use ::http::header::RETRY_AFTER;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use signalbox_proto::{Outcome, Timestamp};

use super::{
    Prepared, documents,
    forms::{Added, Changed, Content, Draft, Is, Item, Node, Owners, Page, Project, Said, Told},
    names,
};
use crate::{
    Request,
    classify::{self, RETRY_AFTER_MAX},
    graphql::{self, Asked, Fault, Kind, Means, No, Vendor, kind, number},
    http::Response,
    mended,
    tracker::Made,
};

/// How long to wait where a limit names no time: what GitHub asks for at the least.
const LIMITED: Duration = Duration::from_secs(60);
/// How much of a refusal is looked through for words.
const LOOKED_BYTES_MAX: usize = 4 * 1024;
/// Longest id that is taken for one, in bytes.
const ID_BYTES_MAX: usize = 64;
const FORBIDDEN: &str = "FORBIDDEN";
const NOT_FOUND: &str = "NOT_FOUND";
/// What GitHub's sentences about limits hold.
const LIMIT_WORDS: &str = "rate limit";
/// The mutation that adds an issue or a pull request.
const ADD: &str = "addProjectV2ItemById";
/// Where an item's issue, pull request or draft stands in an answer.
const CONTENT: &[&str] = &["node", "content"];
/// Where the items of a project stand.
const LISTED: &[&str] = &["node", "items", "nodes"];
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
    kind(
        FORBIDDEN,
        Means::Setup,
        "the token needs the right to read and write projects",
    ),
    kind(
        NOT_FOUND,
        Means::Setup,
        "what is asked for is not there, or the token may not see it",
    ),
    kind("UNPROCESSABLE", Means::Never, INVALID),
    kind("VALIDATION", Means::Never, INVALID),
    kind("MAX_NODE_LIMIT_EXCEEDED", Means::Setup, UNKNOWN),
    kind("undefinedField", Means::Setup, UNKNOWN),
    kind("undefinedType", Means::Setup, UNKNOWN),
    kind("argumentNotAccepted", Means::Setup, UNKNOWN),
    kind("argumentLiteralsIncompatible", Means::Setup, UNKNOWN),
    kind("variableMismatch", Means::Setup, UNKNOWN),
];
const INVALID: &str = "it does not take what the event says, or the item is archived";
/// No event changes a document, so that no event is at fault.
const UNKNOWN: &str = "it does not know the request: an Enterprise Server may be too old for it";
const GITHUB: Vendor = Vendor {
    name: "GitHub",
    kinds: KINDS,
    unauthorized: "it does not take credentials.token",
};

/// The data of an answer without errors.
fn yes<T: DeserializeOwned>(asked: Asked, response: &Response, now: Timestamp) -> Result<T, Outcome> {
    graphql::data(response).map_err(|no| refused(asked, response, &no, now))
}

/// What was to be told, also where something below this path may not be seen: an issue or a pull request of a repository to
/// which the token has no right is nothing of ours.
fn seen<T: DeserializeOwned>(response: &Response, path: &[&str], now: Timestamp) -> Result<T, Outcome> {
    let no = match graphql::data(response) {
        Ok(data) => return Ok(data),
        Err(no) => no,
    };
    if let No::Faults { faults, data } = &no
        && (200..300).contains(&response.status)
        && faults.iter().all(|fault| is_below(fault, path) && is_hidden(fault))
        && let Ok(data) = serde_json::from_value(data.clone())
    {
        return Ok(data);
    }
    Err(refused(Asked::Tell, response, &no, now))
}

fn is_below(fault: &Fault, path: &[&str]) -> bool {
    let begins = fault.path.iter().zip(path).all(|(one, other)| one == other);
    begins && fault.path.len() >= path.len()
}

fn is_hidden(fault: &Fault) -> bool {
    let kind = GITHUB.kind_of(fault).map(|kind| kind.name);
    matches!(kind, Some(FORBIDDEN | NOT_FOUND))
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
    if is_of_content(response, &no, NOT_FOUND) {
        return Err(Outcome::Reject {
            reason: "GitHub shows no issue or pull request of data.node_id: there is none, or the token may not see it"
                .to_owned(),
        });
    }
    Err(refused(Asked::Do, response, &no, now))
}

/// Whether what was to be added is what GitHub finds fault with.
fn is_of_content(response: &Response, no: &No, kind: &str) -> bool {
    let No::Faults { faults, .. } = no else { return false };
    let is_added = |fault: &Fault| fault.path.first().is_some_and(|first| first == ADD);
    (200..300).contains(&response.status) && GITHUB.are_all(faults, kind) && faults.iter().all(is_added)
}

/// Whether an issue or a pull request was not added for want of a right, which may be one to the project too.
pub(super) fn is_content_forbidden(response: &Response) -> bool {
    let no = graphql::data::<Added>(response).err();
    no.is_some_and(|no| is_of_content(response, &no, FORBIDDEN))
}

/// What that means where the token may write to the project: the events of others go on.
pub(super) fn content_forbidden() -> Outcome {
    Outcome::Reject {
        reason: "GitHub lets the token write to the project, but not add the issue or pull request of data.node_id: the token \
                 has no right to its repository, or the organization that has it asks for more"
            .to_owned(),
    }
}

/// Whether the status was set, or the text changed.
pub(super) fn changed(response: &Response, now: Timestamp) -> Result<(), Outcome> {
    let Changed { payload } = yes(Asked::Do, response, now)?;
    match payload.thing.id.is_empty() {
        false => Ok(()),
        true => Err(refused(Asked::Do, response, &No::Foreign, now)),
    }
}

/// What an item of this project is.
pub(super) fn item(response: &Response, project: &str, now: Timestamp) -> Result<Is, Outcome> {
    if response.truncated && response.status == 200 {
        return Err(Outcome::Reject {
            reason: "the text of the draft is too long to be read, so that no link can be added to it".to_owned(),
        });
    }
    let Node { node } = seen::<Node<Item>>(response, CONTENT, now)?;
    if node.is_elsewhere(project) {
        return Ok(Is::Elsewhere);
    }
    let content = node.content.unwrap_or(Content { id: None, body: None });
    Ok(match (content.id, content.body) {
        (Some(id), Some(body)) => Is::Draft(Draft { id, body }),
        _ => Is::Content,
    })
}

/// Whether an item is one of this project, and can be changed.
pub(super) fn there(response: &Response, project: &str, now: Timestamp) -> Result<bool, Outcome> {
    let Node { node } = yes::<Node<Item>>(Asked::Tell, response, now)?;
    match node.is_archived {
        _ if node.is_elsewhere(project) => Ok(false),
        false => Ok(true),
        true => Err(Outcome::Reject {
            reason: "the item is archived: its status cannot be changed".to_owned(),
        }),
    }
}

/// Items of the project.
pub(super) fn page(response: &Response, now: Timestamp) -> Result<Page, Outcome> {
    seen(response, LISTED, now)
}

/// Whether the text of an item begins with this mark. Of a long text the beginning is read.
pub(super) fn bears(response: &Response, mark: &str, now: Timestamp) -> Result<bool, Outcome> {
    let bears = |Node { node }: Node<Item>| {
        let body = node.content.and_then(|content| content.body);
        body.is_some_and(|body| body.trim_start().starts_with(mark))
    };
    if response.status == 200 && response.truncated {
        let item = mended::object::<Told<Node<Item>>>(response).map(|told| told.data);
        return item
            .map(bears)
            .ok_or_else(|| refused(Asked::Tell, response, &No::Foreign, now));
    }
    if is_gone(response) {
        return Ok(false);
    }
    seen(response, CONTENT, now).map(bears)
}

/// The project. Of organization and user one is never found, which GitHub tells as an error beside the other.
pub(super) fn project(response: &Response, now: Timestamp) -> Result<Project, Outcome> {
    let owners: Owners = match graphql::data(response) {
        Ok(owners) => owners,
        Err(No::Faults { faults, data })
            if (200..300).contains(&response.status) && GITHUB.are_all(&faults, NOT_FOUND) =>
        {
            serde_json::from_value(data).map_err(|_| refused(Asked::Tell, response, &No::Foreign, now))?
        }
        Err(no) => return Err(refused(Asked::Tell, response, &no, now)),
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
fn refused(asked: Asked, response: &Response, no: &No, now: Timestamp) -> Outcome {
    let wait = || limit_ends(response, now).unwrap_or(LIMITED);
    if is_limited(response) {
        return Outcome::Retry {
            reason: format!("GitHub answered {}: more requests than it takes", response.status),
            after: Some(classify::after(response, now).unwrap_or_else(wait)),
        };
    }
    GITHUB.refused(asked, response, no, wait, now)
}

/// Whether there were too many requests, so that nothing was done.
pub(super) fn is_limited(response: &Response) -> bool {
    match response.status {
        403 => is_limit(response),
        200..=299 => GITHUB.is_limited(response) || speaks_of_limit(response),
        _ => GITHUB.is_limited(response),
    }
}

/// A 403 is a limit or a missing right, and only its headers and its words tell which.
fn is_limit(response: &Response) -> bool {
    let head = response.body.get(..LOOKED_BYTES_MAX).unwrap_or(&response.body);
    response.headers.contains_key(RETRY_AFTER)
        || number(response, "x-ratelimit-remaining") == Some(0)
        || is_about_limit(&String::from_utf8_lossy(head))
}

/// GitHub answers what exceeds a secondary limit with 403 or 200, and the sentence of a 200 alone tells it.
/// <https://docs.github.com/en/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api>
fn speaks_of_limit(response: &Response) -> bool {
    match graphql::data::<Value>(response) {
        Ok(Value::Null) => {
            let said: Option<Said> = classify::object(&response.body);
            said.is_some_and(|said| is_about_limit(&said.message))
        }
        Err(No::Faults { faults, data }) => {
            // What it says of a wrong value may repeat it.
            let is_wrong = |fault: &Fault| GITHUB.kind_of(fault).is_some_and(|kind| kind.means == Means::Never);
            let says = |fault: &Fault| !is_wrong(fault) && is_about_limit(&fault.message);
            !graphql::has_any(&data) && faults.iter().any(says)
        }
        Ok(_) | Err(No::Foreign) => false,
    }
}

fn is_about_limit(text: &str) -> bool {
    text.to_lowercase().contains(LIMIT_WORDS)
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
            json!({ "node": { "id": "PVTI_1", "project": { "id": "PVT_1" }, "content": { "id": "DI_1", "body": "" } } }),
        ),
        (
            documents::ITEM,
            json!({ "node": { "id": "PVTI_1", "isArchived": false, "project": { "id": "PVT_1" } } }),
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
