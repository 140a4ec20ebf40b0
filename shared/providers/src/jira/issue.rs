//! Requests for issues, subtasks, comments and links.

use serde_json::{Map, Value, json};
use signalbox_proto::{Timestamp, hash};

use super::{Jira, answers, by_name_or_id, document, get, post};
use crate::{
    Request, Target, fields,
    things::{Known, Lesson, Move},
    tracker::{Changing, Did, Job, PullRequest, title},
};

/// The key of the property that tells where an issue comes from.
const PROPERTY: &str = "signalbox";
/// The request for the types of issues.
const TYPES: &str = "issue-types";

/// `POST …/search/jql` for what bears a marker, the oldest first.
pub(super) fn search(target: &Target<Jira>, marker: &str) -> Request {
    // A marker is of letters, digits, `-` and `_`: nothing in it ends the quotes.
    let body = json!({
        "jql": format!("labels = \"{marker}\" ORDER BY created ASC"),
        "maxResults": 1,
        "fields": ["created"],
    });
    post(target, &["search", "jql"], &body)
}

/// Comments of an issue, the newest first: so many behind so many.
pub(super) fn comments(target: &Target<Jira>, issue: &str, at: usize, size: usize) -> Request {
    let mut url = fields::below(&target.prepared.api, &["issue", issue, "comment"]);
    url.query_pairs_mut()
        .append_pair("orderBy", "-created")
        .append_pair("startAt", &at.to_string())
        .append_pair("maxResults", &size.to_string());
    get(target, url)
}

/// `POST …/issue`
pub(super) fn create(target: &Target<Jira>, job: &Job<'_>) -> Request {
    let prepared = &target.prepared;
    let mut fields = Map::new();
    fields.insert("issuetype".to_owned(), by_name_or_id(&prepared.issue_type));
    fields.insert(
        "summary".to_owned(),
        title(job, &target.about, document::SHORT_UNITS_MAX).into(),
    );
    fields.insert("description".to_owned(), document::of_issue(job, &target.about));
    if let (Some(field), Some(id)) = (&prepared.spec_id, &job.said.spec_id) {
        fields.insert(field.clone(), document::short(id).into());
    }
    if let Some(field) = &prepared.acceptance_criteria
        && let Some(criteria) = document::criteria(job.said)
    {
        fields.insert(field.clone(), criteria);
    }
    issue(target, job, fields)
}

/// The same of a subtask, once its type is known.
pub(super) fn subtask(target: &Target<Jira>, job: &Job<'_>, criterion: &str, known: &Known<'_>) -> Request {
    let kind = known.names.fact(&type_name(target)).unwrap_or_default();
    let mut fields = Map::new();
    fields.insert("issuetype".to_owned(), json!({ "id": kind }));
    fields.insert("parent".to_owned(), json!({ "id": job.issue }));
    fields.insert("summary".to_owned(), document::short(criterion).into());
    issue(target, job, fields)
}

fn issue(target: &Target<Jira>, job: &Job<'_>, mut fields: Map<String, Value>) -> Request {
    let project = json!({ "key": target.prepared.project_key });
    fields.insert("project".to_owned(), project);
    fields.insert("labels".to_owned(), json!([job.marker]));
    let event = &job.delivery.event().event;
    let from = json!({
        "integration": target.about.integration, "delivery": job.delivery.id, "event": event.id, "marker": job.marker,
    });
    let body = json!({ "fields": fields, "properties": [{ "key": PROPERTY, "value": from }] });
    post(target, &["issue"], &body)
}

/// What must be known before a subtask is made: the type that subtasks have in the project.
pub(super) fn subtask_type(target: &Target<Jira>, known: &Known<'_>, now: Timestamp) -> Option<Move> {
    let name = type_name(target);
    if known.names.fact(&name).is_some() {
        return None;
    }
    let Some(answer) = known.answer(TYPES) else {
        let path = ["issue", "createmeta", &target.prepared.project_key, "issuetypes"];
        return Some(Move::Ask(
            TYPES.into(),
            get(target, fields::below(&target.prepared.api, &path)),
        ));
    };
    Some(match answers::subtask_type(answer, now) {
        Ok(id) => Move::Learn(vec![Lesson::Name(name.into(), id)]),
        Err(outcome) => Move::Done(outcome),
    })
}

/// The same for all issues of an integration, for as long as its project is the same.
fn type_name(target: &Target<Jira>) -> String {
    let project = hash::parts([b"project", target.prepared.project_key.as_bytes()]);
    format!("subtask-type-{project}")
}

/// `POST …/issue/{id}/comment`
pub(super) fn comment(target: &Target<Jira>, job: &Job<'_>) -> Request {
    let body = json!({ "body": document::of_comment(job, &target.about) });
    post(target, &["issue", job.issue, "comment"], &body)
}

/// A remote link, by an id of ours: it is made once, and the same again after that.
pub(super) fn link(
    target: &Target<Jira>,
    changing: &Changing<'_>,
    pr: &PullRequest,
    known: &Known<'_>,
    now: Timestamp,
) -> Did {
    let name = changing.name("link");
    let Some(answer) = known.answer(&name) else {
        let title = match &pr.number {
            Some(number) => format!("Pull request {number}"),
            None => "Pull request".to_owned(),
        };
        let body = json!({
            "globalId": format!("system=signalbox&id={}", hash::parts([b"pr", pr.url.as_bytes()])),
            "relationship": "pull request",
            "object": { "url": pr.url, "title": document::short(&title) },
        });
        let request = post(target, &["issue", changing.issue, "remotelink"], &body);
        return Did::Next(Move::Ask(name.into(), request));
    };
    match answers::linked(answer, now) {
        Ok(()) => Did::Done,
        Err(outcome) => Did::Next(Move::Done(outcome)),
    }
}
