//! Requests for items: drafts, issues and pull requests, their status, and links in the text of drafts.

use serde_json::Value;
use signalbox_proto::{Delivery, Outcome, Timestamp};

use super::{
    GithubProjects, answers,
    documents::{self, Input},
    forms::Is,
    names::{self, Named},
};
use crate::{
    About, Request, Target,
    display::Display,
    graphql::Operation,
    markdown,
    things::{Known, Move},
    tracker::{self, Changing, Did, Job, PullRequest, Renewed, Status},
};

/// The fact that says which issue or pull request the item is: asked for again it answers the same item.
pub(super) const CONTENT: &str = "content";
/// Longest title, in units of UTF-16.
const TITLE_UNITS_MAX: usize = 255;
/// Longest text of a draft, in units of UTF-16: GitHub takes 65,536 characters.
const BODY_UNITS_MAX: usize = 65_000;
/// Longest id of an issue or a pull request, in bytes.
const NODE_ID_BYTES_MAX: usize = 128;
/// The label of a link.
const PULL_REQUEST: &str = "Pull request";

fn ask(target: &Target<GithubProjects>, operation: Operation, variables: &impl serde::Serialize) -> Request {
    operation.request(&target.prepared.url, &target.prepared.auth, variables)
}

/// The id of the issue or pull request that the data names: `data.node_id`.
pub(super) fn node_id(delivery: &Delivery) -> Option<String> {
    if delivery.is_digest() {
        return None;
    }
    let data = &delivery.event().event.data;
    // Data without the name, in letters or in escapes, need not be read.
    let text = std::str::from_utf8(data.as_bytes()).unwrap_or_default();
    if !text.contains("\"node_id\"") && !text.contains("\\u") {
        return None;
    }
    let value: Value = data.value().unwrap_or_default();
    let id = value["node_id"].as_str()?.trim();
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'=');
    let is_id = (1..=NODE_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_sign);
    is_id.then(|| id.to_owned())
}

/// Makes the item: of what is remembered as its content, else a draft.
pub(super) fn make(target: &Target<GithubProjects>, job: &Job<'_>, known: &Known<'_>) -> Request {
    let project_id = names::id(&target.prepared, known, Named::Project);
    if let Some(content_id) = known.refs.fact(CONTENT) {
        let input = documents::Add { project_id, content_id };
        return ask(target, documents::ADD, &Input { input });
    }
    let input = documents::AddDraft {
        project_id,
        title: &tracker::title(job, &target.about, TITLE_UNITS_MAX),
        body: &body(job, &target.about),
    };
    ask(target, documents::ADD_DRAFT, &Input { input })
}

/// Asks for items before a cursor, the last ones where there is none.
pub(super) fn items(target: &Target<GithubProjects>, known: &Known<'_>, before: Option<&str>) -> Request {
    let project = names::id(&target.prepared, known, Named::Project);
    ask(target, documents::ITEMS, &documents::Items { project, before })
}

/// Asks for an item with its text.
pub(super) fn draft(target: &Target<GithubProjects>, id: &str) -> Request {
    ask(target, documents::DRAFT, &documents::ById { id })
}

/// Sets the option of a status.
pub(super) fn state(
    target: &Target<GithubProjects>,
    changing: &Changing<'_>,
    status: Status,
    known: &Known<'_>,
    now: Timestamp,
) -> Did {
    let prepared = &target.prepared;
    let Some(option) = prepared.states.of(status).map(Named::Option) else {
        return Did::Done;
    };
    let name = changing.name("status");
    let wanted = [Named::Project, Named::Field, option];
    let set = || {
        if let Some(step) = names::learn(target, &wanted, known, now) {
            return Did::Next(step);
        }
        let [project_id, field_id, single_select_option_id] = wanted.map(|name| names::id(prepared, known, name));
        let input = documents::Set {
            project_id,
            item_id: changing.issue,
            field_id,
            value: documents::SelectOption {
                single_select_option_id,
            },
        };
        Did::Next(Move::Ask(
            name.clone().into(),
            ask(target, documents::SET, &Input { input }),
        ))
    };
    let outcome = match known.answer(&name).map(|answer| answers::changed(answer, now)) {
        None => return set(),
        Some(Ok(())) => return Did::Done,
        Some(Err(outcome)) => outcome,
    };
    if matches!(outcome, Outcome::Retry { .. }) {
        return Did::Next(Move::Done(outcome));
    }
    // GitHub says that something is not there, and not what. Where it is the item the course goes on without it.
    let there = changing.name("item");
    let Some(answer) = known.answer(&there) else {
        let request = ask(target, documents::ITEM, &documents::ById { id: changing.issue });
        return Did::Next(Move::Ask(there.into(), request));
    };
    match answers::there(answer, names::id(prepared, known, Named::Project), now) {
        Ok(true) => {}
        Ok(false) => return Did::Next(tracker::elsewhere()),
        Err(outcome) => return Did::Next(Move::Done(outcome)),
    }
    match names::renew(target, &name, &wanted, known, now) {
        Some(Renewed::Step(step)) => Did::Next(step),
        Some(Renewed::Again) => set(),
        None => Did::Next(Move::Done(outcome)),
    }
}

/// Writes the address of a pull request below the text of a draft, where it does not stand there. An issue and a pull
/// request have links of their own.
pub(super) fn link(
    target: &Target<GithubProjects>,
    changing: &Changing<'_>,
    pr: &PullRequest,
    known: &Known<'_>,
    now: Timestamp,
) -> Did {
    let (read, edited) = (changing.name("draft"), changing.name("link"));
    if let Some(answer) = known.answer(&edited) {
        return match answers::changed(answer, now) {
            Ok(()) => Did::Done,
            Err(outcome) => Did::Next(Move::Done(outcome)),
        };
    }
    if let Some(step) = names::learn(target, &[Named::Project], known, now) {
        return Did::Next(step);
    }
    let Some(answer) = known.answer(&read) else {
        return Did::Next(Move::Ask(read.into(), draft(target, changing.issue)));
    };
    let draft = match answers::item(answer, names::id(&target.prepared, known, Named::Project), now) {
        Ok(Is::Draft(draft)) => draft,
        Ok(Is::Content) => return Did::Done,
        Ok(Is::Elsewhere) => return Did::Next(tracker::elsewhere()),
        Err(outcome) => return Did::Next(Move::Done(outcome)),
    };
    let address = format!("](<{}>)", pr.url);
    if draft.body.contains(&address) {
        return Did::Done;
    }
    let number = pr.number.as_deref().filter(|number| is_number(number));
    let label = match number {
        Some(number) => format!("{PULL_REQUEST} {number}"),
        None => PULL_REQUEST.to_owned(),
    };
    let body = format!("{}\n\n[{label}{address}\n", draft.body.trim_end());
    if body.encode_utf16().count() > BODY_UNITS_MAX {
        return Did::Next(Move::Done(Outcome::Reject {
            reason: "the text of the draft has no room for another link".to_owned(),
        }));
    }
    let input = documents::Edit {
        draft_issue_id: &draft.id,
        body: &body,
    };
    Did::Next(Move::Ask(edited.into(), ask(target, documents::EDIT, &Input { input })))
}

/// `#42`, and nothing that could be markup.
fn is_number(number: &str) -> bool {
    let digits = number.strip_prefix('#').unwrap_or(number);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// What a draft says, in Markdown, behind its mark: there it is read also where a long text is cut.
fn body(job: &Job<'_>, about: &About) -> String {
    let given = job.text.body.as_ref().filter(|body| !body.trim().is_empty());
    let said = match given {
        Some(body) => body.clone(),
        None => markdown::page(&Display::of(job.delivery, about), job.delivery),
    };
    // On a line of its own it is markup of its own, whatever it holds.
    format!("{}\n{said}", mark(&job.marker))
}

/// The beginning of a draft's text, by which it is known as ours. GitHub does not show it.
pub(super) fn mark(marker: &str) -> String {
    format!("<!-- {marker} -->")
}
