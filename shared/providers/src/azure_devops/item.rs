//! Requests for work items, their children, comments and links.

use ::http::Method;
use serde::Serialize;
use serde_json::{Value, json};
use signalbox_proto::Timestamp;

use super::{AzureDevops, COMMENTS_VERSION, VERSION, address, answers, document, get, patch, post};
use crate::{
    Request, Target, fields,
    things::{Known, Move},
    tracker::{Changing, Did, Job, PullRequest, title},
};

/// What a work item is about. Forms of bugs do not show it.
const DESCRIPTION: &str = "/fields/System.Description";
/// What forms of bugs show instead.
const REPRO_STEPS: &str = "/fields/Microsoft.VSTS.TCM.ReproSteps";
/// The type whose form does.
const BUG: &str = "Bug";
/// The end of a link whose other end is the parent.
const PARENT: &str = "System.LinkTypes.Hierarchy-Reverse";
/// A link to any address.
const HYPERLINK: &str = "Hyperlink";
/// The name of what is checked and not stored.
const CHECKED: &str = "Connection test";

/// One operation of a JSON Patch document.
#[derive(Debug, Serialize)]
pub(super) struct Operation<'a> {
    op: &'static str,
    path: &'a str,
    value: Value,
}

impl<'a> Operation<'a> {
    pub(super) fn add(path: &'a str, value: impl Into<Value>) -> Self {
        Self {
            op: "add",
            path,
            value: value.into(),
        }
    }
}

/// `POST …/wiql` for what bears a marker, the oldest first.
pub(super) fn query(target: &Target<AzureDevops>, marker: &str) -> Request {
    // A marker is of letters, digits, `-` and `_`: nothing in it ends the quotes.
    let body = json!({
        "query": format!(
            "SELECT [System.Id] FROM WorkItems WHERE [System.TeamProject] = @project AND [System.Tags] CONTAINS '{marker}' \
             ORDER BY [System.Id]"
        ),
    });
    post(target, address(target, &["wiql"], &[("$top", "1")], VERSION), &body)
}

/// `POST …/workitems/$User%20Story`
pub(super) fn create(target: &Target<AzureDevops>, job: &Job<'_>) -> Request {
    let kind = &target.prepared.given.work_item_type;
    let description = if kind.eq_ignore_ascii_case(BUG) {
        REPRO_STEPS
    } else {
        DESCRIPTION
    };
    let mut operations = place(target, title(job, &target.about, document::SHORT_UNITS_MAX));
    operations.push(Operation::add(description, document::of_item(job, &target.about)));
    operations.push(tag(job));
    new(target, kind, &[], &operations)
}

/// The same of a child.
pub(super) fn subtask(target: &Target<AzureDevops>, job: &Job<'_>, criterion: &str) -> Request {
    let mut operations = place(target, document::short(criterion));
    operations.push(tag(job));
    let parent = fields::below(&target.prepared.organization, &["_apis", "wit", "workItems", job.issue]);
    let relation = json!({ "rel": PARENT, "url": parent.as_str() });
    operations.push(Operation::add("/relations/-", relation));
    new(target, &target.prepared.given.subtask_type, &[], &operations)
}

/// A work item like those that are made, which is checked and not stored.
pub(super) fn check(target: &Target<AzureDevops>) -> Request {
    let operations = place(target, CHECKED.to_owned());
    let kind = &target.prepared.given.work_item_type;
    new(target, kind, &[("validateOnly", "true")], &operations)
}

fn new(target: &Target<AzureDevops>, kind: &str, query: &[(&str, &str)], operations: &[Operation<'_>]) -> Request {
    let path = ["workitems", &format!("${kind}")];
    patch(target, Method::POST, address(target, &path, query, VERSION), operations)
}

/// How a work item is called and where it stands.
fn place(target: &Target<AzureDevops>, title: String) -> Vec<Operation<'static>> {
    let given = &target.prepared.given;
    let mut operations = vec![Operation::add("/fields/System.Title", title)];
    let paths = [
        ("/fields/System.AreaPath", &given.area_path),
        ("/fields/System.IterationPath", &given.iteration_path),
    ];
    for (field, path) in paths {
        operations.extend(path.as_deref().map(|path| Operation::add(field, path)));
    }
    operations
}

fn tag(job: &Job<'_>) -> Operation<'static> {
    Operation::add("/fields/System.Tags", job.marker.as_str())
}

/// `PATCH …/workitems/42`
pub(super) fn update(target: &Target<AzureDevops>, item: &str, operation: Operation<'_>) -> Request {
    let url = address(target, &["workitems", item], &[], VERSION);
    patch(target, Method::PATCH, url, &[operation])
}

/// `GET …/workitems/42` of two fields.
pub(super) fn read_state(target: &Target<AzureDevops>, item: &str) -> Request {
    let fields = [("fields", "System.State,System.WorkItemType")];
    get(target, address(target, &["workitems", item], &fields, VERSION))
}

/// The states of a type, in their order.
pub(super) fn states(target: &Target<AzureDevops>, kind: &str) -> Request {
    get(
        target,
        address(target, &["workitemtypes", kind, "states"], &[], VERSION),
    )
}

/// What is known of a deleted work item.
pub(super) fn deleted(target: &Target<AzureDevops>, item: &str) -> Request {
    get(target, address(target, &["recyclebin", item], &[], VERSION))
}

/// Comments of a work item, the newest first: so many, of the page that has this token.
pub(super) fn comments(target: &Target<AzureDevops>, item: &str, size: usize, token: Option<&str>) -> Request {
    let size = size.to_string();
    let mut query = vec![("$top", &*size), ("order", "desc")];
    query.extend(token.map(|token| ("continuationToken", token)));
    let path = ["workItems", item, "comments"];
    get(target, address(target, &path, &query, COMMENTS_VERSION))
}

/// `POST …/workItems/42/comments`
pub(super) fn comment(target: &Target<AzureDevops>, job: &Job<'_>) -> Request {
    let path = ["workItems", job.issue, "comments"];
    // Without it some organizations read Markdown.
    let url = address(target, &path, &[("format", "html")], COMMENTS_VERSION);
    post(
        target,
        url,
        &json!({ "text": document::of_comment(job, &target.about) }),
    )
}

/// A link to the pull request, where there is none: a link has no id of ours, and its address tells it.
pub(super) fn link(
    target: &Target<AzureDevops>,
    changing: &Changing<'_>,
    pr: &PullRequest,
    known: &Known<'_>,
    now: Timestamp,
) -> Did {
    let (read, linked) = (changing.name("links"), changing.name("link"));
    let ends = |outcome| Did::Next(Move::Done(outcome));
    if let Some(answer) = known.answer(&linked) {
        return answers::linked(answer, now).map_or_else(ends, |()| Did::Done);
    }
    let Some(answer) = known.answer(&read) else {
        let expand = [("$expand", "relations")];
        let url = address(target, &["workitems", changing.issue], &expand, VERSION);
        return Did::Next(Move::Ask(read.into(), get(target, url)));
    };
    match answers::is_linked(answer, &pr.url, now) {
        Err(outcome) => return ends(outcome),
        Ok(true) => return Did::Done,
        Ok(false) => {}
    }
    let title = match &pr.number {
        Some(number) => format!("Pull request {number}"),
        None => "Pull request".to_owned(),
    };
    let relation = json!({
        "rel": HYPERLINK, "url": pr.url, "attributes": { "comment": document::short(&title) },
    });
    let request = update(target, changing.issue, Operation::add("/relations/-", relation));
    Did::Next(Move::Ask(linked.into(), request))
}
