//! What Jira's answers mean, and what is read out of them.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};
use signalbox_proto::{Outcome, Timestamp};

use super::Prepared;
use crate::{
    Request,
    classify::{self, RETRY_AFTER_MAX},
    http::Response,
    tracker::Made,
};

/// How long to wait after a 429 that names no time.
const LIMITED: Duration = Duration::from_secs(30);
/// When a limit is renewed: a time such as `2026-01-01T10:15Z`.
const RESET: &str = "x-ratelimit-reset";
/// Longest id that is taken for one, in bytes.
const ID_BYTES_MAX: usize = 64;
/// The member of a list of issue types; `values` in older answers.
const TYPES: [&str; 2] = ["issueTypes", "values"];

/// What is wrong, as Jira says it: sentences, and by field.
#[derive(Deserialize)]
struct Errors {
    #[serde(rename = "errorMessages")]
    messages: Option<Vec<IgnoredAny>>,
    errors: Option<BTreeMap<String, IgnoredAny>>,
}

/// What was made.
#[derive(Deserialize)]
struct Created {
    id: String,
    #[serde(default)]
    key: Option<String>,
}

#[derive(Deserialize)]
struct Found {
    issues: Vec<Created>,
}

#[derive(Deserialize)]
struct Permissions {
    permissions: BTreeMap<String, Permission>,
}

#[derive(Deserialize)]
struct Permission {
    #[serde(rename = "havePermission")]
    is_given: bool,
}

impl Created {
    fn into_made(self, prepared: &Prepared) -> Option<Made> {
        let is_id = !self.id.is_empty()
            && self.id.len() <= ID_BYTES_MAX
            && self.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        is_id.then(|| Made {
            url: self.key.and_then(|key| prepared.browse(&key)),
            id: self.id,
        })
    }
}

/// The issue, subtask or comment that was made.
pub(super) fn made(response: &Response, prepared: &Prepared, now: Timestamp) -> Result<Made, Outcome> {
    match response.status {
        200 | 201 => {
            let created: Option<Created> = classify::object(&response.body);
            let made = created.and_then(|created| created.into_made(prepared));
            made.ok_or_else(|| not_jiras(response, now))
        }
        _ => Err(refused(response, now)),
    }
}

/// The oldest issue that a search has found.
pub(super) fn found(response: &Response, prepared: &Prepared, now: Timestamp) -> Result<Option<Made>, Outcome> {
    if response.status != 200 {
        return Err(refused(response, now));
    }
    let Some(found) = classify::object::<Found>(&response.body) else {
        return Err(not_jiras(response, now));
    };
    match found.issues.into_iter().next() {
        None => Ok(None),
        Some(first) => first
            .into_made(prepared)
            .map(Some)
            .ok_or_else(|| not_jiras(response, now)),
    }
}

/// The id of the type that subtasks have.
pub(super) fn subtask_type(response: &Response, now: Timestamp) -> Result<String, Outcome> {
    if response.status != 200 {
        return Err(refused(response, now));
    }
    let list: Option<Value> = classify::object(&response.body);
    let types = list
        .as_ref()
        .and_then(|list| TYPES.iter().find_map(|name| list[*name].as_array()));
    let Some(types) = types else {
        return Err(not_jiras(response, now));
    };
    let subtask = types.iter().find(|one| one["subtask"] == true);
    let id = subtask.and_then(|one| one["id"].as_str());
    id.map(str::to_owned).ok_or_else(|| Outcome::Reject {
        reason: "the project has no type for subtasks: add one in its settings, or set config.create_subtasks to false"
            .to_owned(),
    })
}

/// Whether a remote link is there.
pub(super) fn linked(response: &Response, now: Timestamp) -> Result<(), Outcome> {
    match response.status {
        200 | 201 => {
            let link: Option<Value> = classify::object(&response.body);
            let has_id = link.is_some_and(|link| !link["id"].is_null());
            has_id.then_some(()).ok_or_else(|| not_jiras(response, now))
        }
        _ => Err(refused(response, now)),
    }
}

/// Whether an issue has moved.
pub(super) fn moved(response: &Response, now: Timestamp) -> Result<(), Outcome> {
    match response.status {
        204 => Ok(()),
        400 if is_jiras(response) => Err(Outcome::Reject {
            reason: "Jira answered 400 to the transition: the account may not follow it, or its screen asks for fields"
                .to_owned(),
        }),
        200..=299 => Err(not_jiras(response, now)),
        _ => Err(refused(response, now)),
    }
}

/// Whether the account may see the project and make issues in it.
pub(super) fn permissions(response: &Response, now: Timestamp) -> Outcome {
    if response.status == 404 {
        return Outcome::Suspend {
            reason: "Jira answered 404: it has no project of config.project_key, or the account may not see it"
                .to_owned(),
            at_once: false,
        };
    }
    if response.status != 200 {
        return refused(response, now);
    }
    let Some(Permissions { permissions }) = classify::object(&response.body) else {
        return not_jiras(response, now);
    };
    let lacks = |name: &&str| !permissions.get(*name).is_some_and(|one| one.is_given);
    let lacking: Vec<&str> = ["BROWSE_PROJECTS", "CREATE_ISSUES"].into_iter().filter(lacks).collect();
    if lacking.is_empty() {
        return Outcome::Delivered;
    }
    Outcome::Suspend {
        reason: format!(
            "the account has not the permission {} in the project; where it has, check email and api_token: Jira takes others \
             for nobody's",
            lacking.join(" and ")
        ),
        at_once: false,
    }
}

/// Whether Jira itself says that there is no such issue, and not a proxy before it.
pub(super) fn is_gone(response: &Response) -> bool {
    response.status == 404 && is_jiras(response)
}

fn is_jiras(response: &Response) -> bool {
    let errors: Option<Errors> = classify::object(&response.body);
    errors.is_some_and(|errors| errors.messages.is_some() || errors.errors.is_some())
}

/// An answer that is no yes of Jira's, though its status is: nobody knows what was done.
pub(super) fn not_jiras(response: &Response, now: Timestamp) -> Outcome {
    Outcome::Retry {
        reason: "the answer is not Jira's: it does not hold what Jira answers, so a proxy may have answered".to_owned(),
        after: classify::after(response, now),
    }
}

/// What an answer means that is no yes.
pub(super) fn refused(response: &Response, now: Timestamp) -> Outcome {
    let suspend = |reason: &str| Outcome::Suspend {
        reason: reason.to_owned(),
        at_once: false,
    };
    match response.status {
        200..=299 => not_jiras(response, now),
        400 => invalid(response),
        401 => suspend("Jira answered 401: it does not take email and api_token at config.base_url"),
        403 => suspend("Jira answered 403: the account may not do this, or must sign in once with a captcha"),
        404 => suspend("Jira answered 404: there is no such thing at config.base_url, or the account may not see it"),
        409 => Outcome::Retry {
            reason: "Jira answered 409: somebody else was changing the issue".to_owned(),
            after: classify::after(response, now),
        },
        413 => Outcome::Reject {
            reason: "Jira answered 413: the issue has as many of these as it may have".to_owned(),
        },
        429 => Outcome::Retry {
            reason: "Jira answered 429: more requests than it takes".to_owned(),
            after: classify::after(response, now)
                .or_else(|| reset(response, now))
                .or(Some(LIMITED)),
        },
        _ => classify::by_status(response, now),
    }
}

/// A 400 is the fault of the config where it names a field that is the same in every issue, else of the event.
fn invalid(response: &Response) -> Outcome {
    let errors: Option<Errors> = classify::object(&response.body);
    let errors = errors.and_then(|errors| errors.errors).unwrap_or_default();
    let config = [
        (
            "project",
            "the project: check config.project_key, and whether the account may make issues there",
        ),
        (
            "issuetype",
            "the type of the issue: check config.issue_type against those of the project",
        ),
        (
            "labels",
            "labels: put the field Labels on the screen for new issues, as repeats are known by them",
        ),
    ];
    if let Some((_, words)) = config.iter().find(|(field, _)| errors.contains_key(*field)) {
        return Outcome::Suspend {
            reason: format!("Jira answered 400 and does not take {words}"),
            at_once: false,
        };
    }
    let fields = ["summary", "description", "parent", "comment"];
    let mut named: Vec<&str> = fields.into_iter().filter(|field| errors.contains_key(*field)).collect();
    if errors.keys().any(|field| field.starts_with("customfield_")) {
        named.push("a custom field (config.field_mappings, or one that the project requires)");
    }
    let reason = match named.as_slice() {
        [] => "Jira answered 400: the request is invalid, or the account lacks a permission".to_owned(),
        named => format!("Jira answered 400 and does not take {}", named.join(", ")),
    };
    Outcome::Reject { reason }
}

/// The time until a limit is renewed.
fn reset(response: &Response, now: Timestamp) -> Option<Duration> {
    let text = response.headers.get(RESET)?.to_str().ok()?.trim();
    // Jira leaves the seconds out, which RFC 3339 asks for.
    let with_seconds = text.strip_suffix('Z').map(|minute| format!("{minute}:00Z"));
    let at = text.parse::<Timestamp>().ok().or_else(|| with_seconds?.parse().ok())?;
    let wait = at.since(now);
    (!wait.is_zero()).then(|| wait.min(RETRY_AFTER_MAX))
}

/// What Jira answers where it takes a request.
pub(super) fn made_up(prepared: &Prepared, request: &Request) -> Response {
    let path = match request {
        Request::Http(request) => request.url.path(),
        Request::Nats(_) | Request::Object(_) | Request::Mail(_) | Request::Count(_) => "",
    };
    let (status, body) = match path.rsplit('/').next().unwrap_or_default() {
        "jql" => (200, json!({ "issues": [], "isLast": true })),
        "mypermissions" => (
            200,
            json!({ "permissions": {
                "BROWSE_PROJECTS": { "havePermission": true }, "CREATE_ISSUES": { "havePermission": true },
            } }),
        ),
        "issue" => (201, json!({ "id": "10000", "key": "KEY-1", "self": "" })),
        "issuetypes" => (
            200,
            json!({ "issueTypes": [{ "id": "5", "name": "Sub-task", "subtask": true }] }),
        ),
        "remotelink" => (201, json!({ "id": 1, "self": "" })),
        "transitions" => (204, Value::Null),
        "comment" => match request {
            Request::Http(request) if request.method == ::http::Method::GET => (200, json!({ "comments": [] })),
            _ => (201, json!({ "id": "1" })),
        },
        _ => (200, made_up_state(prepared)),
    };
    Response {
        status,
        headers: ::http::HeaderMap::new(),
        body: match body {
            Value::Null => bytes::Bytes::new(),
            body => body.to_string().into(),
        },
        truncated: false,
    }
}

/// An issue that can go wherever the config wants it.
fn made_up_state(prepared: &Prepared) -> Value {
    let transition = |wanted: &String| json!({ "id": wanted, "name": "Move", "to": { "id": "2", "name": "Moved" } });
    let wanted = prepared.on_approve.iter().chain(&prepared.on_implement);
    json!({
        "id": "10000",
        "fields": { "status": { "id": "1", "name": "To Do" } },
        "transitions": wanted.map(transition).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests;
