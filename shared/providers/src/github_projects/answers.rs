//! What GitHub's answers mean, and what is read out of them.

use std::time::Duration;

use ::http::header::RETRY_AFTER;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use signalbox_proto::{Outcome, Timestamp};

use super::{Prepared, documents, names};
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

/// A project, with the field of the status.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Project {
    pub(super) id: String,
    #[serde(default)]
    viewer_can_update: bool,
    #[serde(default)]
    pub(super) field: Option<Field>,
}

/// A field; without an id it is of another type.
#[derive(Debug, Deserialize)]
pub(super) struct Field {
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) options: Vec<SelectOption>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SelectOption {
    pub(super) id: String,
    pub(super) name: String,
}

/// An organization or a user: of one name there is but one of them.
#[derive(Deserialize)]
struct Owners {
    #[serde(default)]
    organization: Option<Owner>,
    #[serde(default)]
    user: Option<Owner>,
}

#[derive(Deserialize)]
struct Owner {
    #[serde(rename = "projectV2")]
    project: Option<Project>,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

/// What was added, by either of two mutations.
#[derive(Deserialize)]
struct Added {
    #[serde(alias = "addProjectV2DraftIssue", alias = "addProjectV2ItemById")]
    payload: AddedItem,
}

#[derive(Deserialize)]
struct AddedItem {
    #[serde(alias = "projectItem")]
    item: Id,
}

/// What was changed, by either of two mutations.
#[derive(Deserialize)]
struct Changed {
    #[serde(alias = "updateProjectV2ItemFieldValue", alias = "updateProjectV2DraftIssue")]
    payload: ChangedThing,
}

#[derive(Deserialize)]
struct ChangedThing {
    #[serde(alias = "projectV2Item", alias = "draftIssue")]
    _thing: Id,
}

/// A node that was asked for by its id.
#[derive(Deserialize)]
struct Node<T> {
    node: T,
}

/// An item, as far as it was asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(default)]
    is_archived: bool,
    #[serde(default)]
    content: Option<Content>,
}

/// An issue or a pull request has nothing of this.
#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    body: Option<String>,
}

/// A draft with its text.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) id: String,
    pub(super) body: String,
}

/// Items of a project.
#[derive(Deserialize)]
pub(super) struct Page {
    viewer: Login,
    node: Listed,
}

#[derive(Deserialize)]
struct Login {
    login: String,
}

#[derive(Deserialize)]
struct Listed {
    items: Items,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Items {
    page_info: PageInfo,
    nodes: Vec<Option<ListedItem>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_previous_page: bool,
    #[serde(default)]
    start_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedItem {
    id: String,
    created_at: Timestamp,
    #[serde(default)]
    creator: Option<Login>,
    #[serde(default)]
    content: Option<Content>,
}

impl Page {
    /// The ids of drafts that we have made between these times, the last first.
    pub(super) fn drafts(&self, first: Timestamp, last: Timestamp) -> impl Iterator<Item = &str> {
        let is_ours = move |item: &&ListedItem| {
            let is_draft = item.content.as_ref().is_some_and(|content| content.id.is_some());
            let by_us = item
                .creator
                .as_ref()
                .is_none_or(|creator| is_same_login(&creator.login, &self.viewer.login));
            is_draft && by_us && (first..=last).contains(&item.created_at)
        };
        self.node
            .items
            .nodes
            .iter()
            .rev()
            .flatten()
            .filter(is_ours)
            .map(|item| &*item.id)
    }

    /// The cursor of the page before.
    pub(super) fn before(&self) -> Option<String> {
        let info = &self.node.items.page_info;
        info.start_cursor.clone().filter(|_| info.has_previous_page)
    }
}

/// An app has `[bot]` behind its name, or has it not.
fn is_same_login(one: &str, other: &str) -> bool {
    one.trim_end_matches("[bot]")
        .eq_ignore_ascii_case(other.trim_end_matches("[bot]"))
}

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

/// Whether the status was set.
pub(super) fn set(response: &Response, now: Timestamp) -> Result<(), Outcome> {
    yes::<Changed>(response, now).map(|_| ())
}

/// Whether the text was changed.
pub(super) fn edited(response: &Response, now: Timestamp) -> Result<(), Outcome> {
    yes::<Changed>(response, now).map(|_| ())
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
