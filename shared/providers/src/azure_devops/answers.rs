//! What the answers of Azure DevOps mean, and what is read out of them.

use std::time::Duration;

use ::http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_proto::{Outcome, Timestamp};
use url::Url;

use super::{Prepared, given::States};
use crate::{
    Request,
    classify::{self, RETRY_AFTER_MAX},
    http::Response,
    things::{Known, Move},
    tracker::{Made, What},
};

/// How long to wait after a 429 that names no time.
const LIMITED: Duration = Duration::from_secs(30);
/// When a limit is renewed: seconds since 1970.
const RESET: &str = "x-ratelimit-reset";
/// What a work item begins with, as JSON.
const BEGINS: &[u8] = br#"{"id":"#;
/// Children are many: to wait after each would end the retries before the work.
const CHILD: &str = "subtask-";

/// What is wrong, by the name that does not change with the language.
#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "typeKey")]
    key: String,
}

#[derive(Deserialize)]
struct Numbered {
    id: u64,
}

#[derive(Deserialize)]
struct Found {
    #[serde(rename = "workItems")]
    items: Vec<Numbered>,
}

#[derive(Deserialize)]
struct Related {
    #[serde(default)]
    relations: Vec<Relation>,
}

#[derive(Deserialize)]
struct Relation {
    rel: String,
    url: String,
}

/// The name of what is wrong; empty where the answer is not of Azure DevOps.
fn problem(response: &Response) -> String {
    let problem: Option<Problem> = classify::object(&response.body);
    problem.map(|problem| problem.key).unwrap_or_default()
}

fn made_of(id: u64, prepared: &Prepared) -> Made {
    let id = id.to_string();
    Made {
        url: Some(prepared.browse(&id)),
        id,
    }
}

/// The number of a work item or comment. One with long texts is cut, and its number stands before them.
fn number(response: &Response) -> Option<u64> {
    let whole: Option<Numbered> = classify::object(&response.body);
    if let Some(Numbered { id }) = whole {
        return Some(id).filter(|id| *id > 0);
    }
    let rest = response.body.strip_prefix(BEGINS).filter(|_| response.truncated)?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, _) = rest.split_at_checked(end)?;
    let id: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(id).filter(|id| *id > 0)
}

/// The work item, child or comment that was made.
pub(super) fn made(response: &Response, prepared: &Prepared, what: What<'_>, now: Timestamp) -> Result<Made, Outcome> {
    match response.status {
        200 | 201 => {
            let id = number(response).ok_or_else(|| not_azures(response, now))?;
            Ok(match what {
                What::Issue | What::Subtask(_) => made_of(id, prepared),
                What::Comment => Made {
                    id: id.to_string(),
                    url: None,
                },
            })
        }
        404 if matches!(what, What::Subtask(_)) && problem(response) == "WorkItemTypeNotFoundException" => {
            Err(Outcome::Reject {
                reason: "the project has no type of work items as config.subtask_type names it, or the account may not see it"
                    .to_owned(),
            })
        }
        _ => Err(refused(response, now)),
    }
}

/// The oldest work item that a query has found.
pub(super) fn found(response: &Response, prepared: &Prepared, now: Timestamp) -> Result<Option<Made>, Outcome> {
    if response.status != 200 {
        return Err(refused(response, now));
    }
    match classify::object::<Found>(&response.body) {
        Some(found) => Ok(found.items.first().map(|item| made_of(item.id, prepared))),
        None => Err(not_azures(response, now)),
    }
}

/// Whether a work item links to this address. One that is too long to be read to its end is taken for one that does not: at
/// worst the same link stands there twice, where the answer to the first was lost.
pub(super) fn is_linked(response: &Response, url: &str, now: Timestamp) -> Result<bool, Outcome> {
    if response.status != 200 {
        return Err(refused(response, now));
    }
    let related: Option<Related> = classify::object(&response.body);
    match related {
        Some(Related { relations }) if number(response).is_some() => {
            let address = |text: &str| Url::parse(text).ok();
            let wanted = address(url);
            let is_it = |one: &Relation| one.rel == "Hyperlink" && (one.url == url || address(&one.url) == wanted);
            Ok(relations.iter().any(is_it))
        }
        None if number(response).is_some() => Ok(false),
        _ => Err(not_azures(response, now)),
    }
}

/// Whether a link is there now.
pub(super) fn linked(response: &Response, now: Timestamp) -> Result<(), Outcome> {
    if response.status == 400 && problem(response) == "RelationAlreadyExistsException" {
        return Ok(());
    }
    saved(response, now)
}

/// Whether a work item was changed.
pub(super) fn saved(response: &Response, now: Timestamp) -> Result<(), Outcome> {
    match response.status {
        200 => number(response).map(drop).ok_or_else(|| not_azures(response, now)),
        _ => Err(refused(response, now)),
    }
}

/// What the answer to a work item means that was to be checked alone.
pub(super) fn valid(response: &Response, now: Timestamp) -> Outcome {
    if response.status != 200 {
        return refused(response, now);
    }
    let item: Option<Value> = classify::object(&response.body);
    match item {
        Some(item) if item["fields"].is_object() => Outcome::Delivered,
        _ => not_azures(response, now),
    }
}

/// Whether Azure DevOps itself says, to a request about a work item, that it shows us none, and not a proxy before it. The
/// recycle bin is asked then, so that a word of it which we do not know may count.
pub(super) fn is_gone(response: &Response) -> bool {
    const OTHERS: [&str; 5] = [
        "",
        "WorkItemTypeNotFoundException",
        "ProjectDoesNotExistException",
        "ProjectDoesNotExistWithNameException",
        "WorkItemTrackingProjectNotFoundException",
    ];
    response.status == 404 && !OTHERS.contains(&problem(response).as_str())
}

/// Whether a work item that we are not shown lies in the recycle bin. Where it does not, it was destroyed, or we may not see it
/// any more; who takes that for deleted makes another one for each event.
pub(super) fn deleted(response: &Response, now: Timestamp) -> Outcome {
    match response.status {
        200 if number(response).is_some() => Outcome::Delivered,
        404 if is_gone(response) => Outcome::Reject {
            reason: "Azure DevOps does not show the work item, nor has it in the recycle bin: it was destroyed, or moved to where \
                     the account may not see it"
                .to_owned(),
        },
        _ => refused(response, now),
    }
}

/// A pause that was asked for with the answer to the last thing that was made: Azure DevOps is near a limit, says so with a
/// success, and slows down before it refuses. What is made is remembered, so that each pause is behind some progress.
pub(super) fn pause(known: &Known<'_>, now: Timestamp) -> Option<Move> {
    let last = known.answers.last()?;
    let made = known.refs.fact(&last.name).is_some() && !last.name.starts_with(CHILD);
    let after = classify::after(&last.response, now).filter(|after| made && !after.is_zero())?;
    Some(Move::Pause {
        reason: "Azure DevOps took it and asked for a pause before the next request".to_owned(),
        after,
    })
}

/// An answer that is no yes of Azure DevOps, though its status is: nobody knows what was done.
pub(super) fn not_azures(response: &Response, now: Timestamp) -> Outcome {
    Outcome::Retry {
        reason:
            "the answer is not that of Azure DevOps: it does not hold what it answers, so a proxy may have answered"
                .to_owned(),
        after: classify::after(response, now),
    }
}

/// What an answer means that is no yes.
pub(super) fn refused(response: &Response, now: Timestamp) -> Outcome {
    match response.status {
        // A page to sign in at is how it answers whom it does not know.
        203 | 302 => suspend(&format!(
            "Azure DevOps answered {} and asks to sign in: it does not take the token, which may have expired",
            response.status
        )),
        200..=299 => not_azures(response, now),
        400 => invalid(response),
        401 => suspend(
            "Azure DevOps answered 401: it does not take the token, which may have expired, or lacks the scope Work Items: Read & write",
        ),
        403 => suspend(
            "Azure DevOps answered 403: the account may not do this; it needs to view and edit work items in the area, and to \
             create tags",
        ),
        404 => missing(response),
        409 | 412 => Outcome::Retry {
            reason: format!(
                "Azure DevOps answered {}: somebody else was changing the work item",
                response.status
            ),
            after: classify::after(response, now),
        },
        429 => Outcome::Retry {
            reason: "Azure DevOps answered 429: more work than it does for one account".to_owned(),
            after: classify::after(response, now)
                .or_else(|| reset(response, now))
                .or(Some(LIMITED)),
        },
        _ => classify::by_status(response, now),
    }
}

fn suspend(reason: &str) -> Outcome {
    Outcome::Suspend {
        reason: reason.to_owned(),
        at_once: false,
    }
}

/// A 404, by what is not there.
fn missing(response: &Response) -> Outcome {
    suspend(match problem(response).as_str() {
        "WorkItemTypeNotFoundException" => {
            "Azure DevOps answered 404: the project has no type of work items as config.work_item_type names it, or the account \
             may not see it; types differ by the project's process"
        }
        "ProjectDoesNotExistException"
        | "ProjectDoesNotExistWithNameException"
        | "WorkItemTrackingProjectNotFoundException" => {
            "Azure DevOps answered 404: there is no project config.project, or the account may not see it"
        }
        "WorkItemUnauthorizedAccessException" => {
            "Azure DevOps answered 404: there is no such work item, or the account may not read or write work items in this area"
        }
        _ => {
            "Azure DevOps answered 404: there is no such organization, project or type of work items, or the account may not see it"
        }
    })
}

/// A 400 is the fault of the config where it is about what is the same in every work item, else of the event.
fn invalid(response: &Response) -> Outcome {
    match problem(response).as_str() {
        "WorkItemFieldInvalidTreeNameException" | "WorkItemFieldInvalidTreeIdException" => {
            suspend("Azure DevOps answered 400: it has no such area or iteration; check config.area_path and config.iteration_path")
        }
        "WorkItemTrackingFieldDefinitionNotFoundException" => suspend(
            "Azure DevOps answered 400: the type of config.work_item_type lacks a field that every work item is given, such as its \
             description",
        ),
        "VssVersionOutOfRangeException" | "VssVersionNotSpecifiedException" | "VssInvalidPreviewVersionException" => {
            suspend("Azure DevOps answered 400: this server is too old; version 7.1 of its API is needed")
        }
        "RuleValidationException" | "WorkItemTrackingAggregateException" => Outcome::Reject {
            reason: "Azure DevOps answered 400: a rule of this type of work items refuses it, such as a field that must be filled"
                .to_owned(),
        },
        _ => Outcome::Reject {
            reason: "Azure DevOps answered 400: the request is invalid".to_owned(),
        },
    }
}

/// The time until a limit is renewed.
fn reset(response: &Response, now: Timestamp) -> Option<Duration> {
    let seconds = response.headers.get(RESET)?.to_str().ok()?.trim().parse().ok()?;
    let wait = Timestamp::from_secs(seconds).since(now);
    (!wait.is_zero()).then(|| wait.min(RETRY_AFTER_MAX))
}

/// What Azure DevOps answers where it takes a request.
pub(super) fn made_up(prepared: &Prepared, request: &Request) -> Response {
    let Request::Http(request) = request else {
        return crate::provider::plain_yes();
    };
    let reads = request.method == Method::GET;
    let body = match request.url.path().rsplit('/').next().unwrap_or_default() {
        "wiql" => json!({ "queryType": "flat", "workItems": [] }),
        "comments" if reads => json!({ "totalCount": 0, "count": 0, "comments": [] }),
        "comments" => json!({ "workItemId": 1, "id": 1, "version": 1 }),
        "states" => made_up_states(prepared),
        _ => json!({
            "id": 1, "rev": 1,
            "fields": { "System.State": "New", "System.WorkItemType": prepared.given.work_item_type },
        }),
    };
    Response {
        status: 200,
        headers: HeaderMap::new(),
        body: body.to_string().into(),
        truncated: false,
    }
}

/// States among which are all that the config wants.
fn made_up_states(prepared: &Prepared) -> Value {
    let state = |name: &str, category: &str| json!({ "name": name, "category": category });
    let mut states = vec![
        state("New", "Proposed"),
        state("Active", "InProgress"),
        state("Closed", "Completed"),
    ];
    if let States::Named(names) = &prepared.given.states {
        states.extend(names.iter().map(|(_, name)| state(name, "InProgress")));
    }
    json!({ "count": states.len(), "value": states })
}

#[cfg(test)]
mod tests;
