//! Requests for issues, sub-issues, comments and links.

use signalbox_proto::{Outcome, Severity, Timestamp, hash};
use uuid::Builder;

use super::{
    Linear, answers,
    documents::{self, ById, Equals, Find, Input},
    names::{self, Named, TeamNode},
};
use crate::{
    About, Request, Target,
    display::Display,
    markdown,
    things::{Known, Lesson, Move},
    tracker::{self, Changing, Did, Job, PullRequest, Renewed, Status, What},
};

/// Longest title of an issue or a link, in units of UTF-16.
const TITLE_UNITS_MAX: usize = 255;
/// The request that makes the issue.
const ISSUE: &str = "issue";

/// The id that we choose for what is made: of its marker, in the form of a random UUID, as Linear wants it.
pub(super) fn id(marker: &str) -> String {
    let bytes = hash::digest([b"linear", marker.as_bytes()]);
    Builder::from_random_bytes(bytes).into_uuid().to_string()
}

/// Asks for what has our id.
pub(super) fn find(target: &Target<Linear>, job: &Job<'_>) -> Request {
    let id = id(&job.marker);
    let variables = Find {
        filter: ById { id: Equals { eq: &id } },
    };
    let operation = match job.what {
        What::Issue | What::Subtask(_) => documents::FIND_ISSUE,
        What::Comment => documents::FIND_COMMENT,
    };
    operation.request(&target.prepared.url, &target.prepared.auth, &variables)
}

/// Linear refuses an id that it has: so what was refused may be there, as where we have lost our memory of it. `None` where it
/// is not.
pub(super) fn repeated(
    target: &Target<Linear>,
    job: &Job<'_>,
    name: &str,
    known: &Known<'_>,
    now: Timestamp,
) -> Option<Renewed> {
    let asked = format!("repeated {}", job.marker);
    let Some(answer) = known.answer(&asked) else {
        return Some(Renewed::Step(Move::Ask(asked.into(), find(target, job))));
    };
    match answers::found(answer, now) {
        Ok(made) => made.map(|made| Renewed::Step(Move::Learn(vec![Lesson::Fact(name.to_owned().into(), made.id)]))),
        Err(outcome) => Some(Renewed::Step(Move::Done(outcome))),
    }
}

/// Makes an issue, in the state of its status where it has one.
pub(super) fn create(target: &Target<Linear>, job: &Job<'_>, known: &Known<'_>) -> Request {
    let prepared = &target.prepared;
    let id_of = |name| names::id(prepared, known, name);
    let title = tracker::title(job, &target.about, TITLE_UNITS_MAX);
    let description = said(job, &target.about);
    let state = job.status.and_then(|status| prepared.states.of(status));
    let event = &job.delivery.event().event;
    let input = documents::Issue {
        id: &id(&job.marker),
        team_id: id_of(Named::Team).unwrap_or_default(),
        title: &title,
        description: Some(&description),
        parent_id: None,
        label_ids: prepared
            .labels
            .iter()
            .filter_map(|label| id_of(Named::Label(label)))
            .collect(),
        state_id: state.and_then(|state| id_of(Named::State(state))),
        priority: priority(event.severity, event.severity_named),
    };
    documents::CREATE.request(&prepared.url, &prepared.auth, &Input { input })
}

/// Makes a sub-issue of an acceptance criterion.
pub(super) fn subtask(target: &Target<Linear>, job: &Job<'_>, criterion: &str, known: &Known<'_>) -> Request {
    let prepared = &target.prepared;
    let input = documents::Issue {
        id: &id(&job.marker),
        team_id: names::id(prepared, known, Named::Team).unwrap_or_default(),
        title: &tracker::short(criterion, TITLE_UNITS_MAX),
        description: None,
        parent_id: Some(job.issue),
        label_ids: Vec::new(),
        state_id: None,
        priority: None,
    };
    documents::CREATE.request(&prepared.url, &prepared.auth, &Input { input })
}

/// Makes a comment.
pub(super) fn comment(target: &Target<Linear>, job: &Job<'_>) -> Request {
    let input = documents::Comment {
        id: &id(&job.marker),
        issue_id: job.issue,
        body: &said(job, &target.about),
    };
    documents::COMMENT.request(&target.prepared.url, &target.prepared.auth, &Input { input })
}

/// Links a pull request. Linear keeps one link of an address, however often it is asked for.
pub(super) fn link(
    target: &Target<Linear>,
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
        let input = documents::Link {
            issue_id: changing.issue,
            url: &pr.url,
            title: &tracker::short(&title, TITLE_UNITS_MAX),
        };
        let request = documents::LINK.request(&target.prepared.url, &target.prepared.auth, &Input { input });
        return Did::Next(Move::Ask(name.into(), request));
    };
    did(answers::changed(answer, now))
}

/// Moves an issue to the state of a status.
pub(super) fn state(
    target: &Target<Linear>,
    changing: &Changing<'_>,
    status: Status,
    known: &Known<'_>,
    now: Timestamp,
) -> Did {
    let prepared = &target.prepared;
    let Some(state) = prepared.states.of(status).map(Named::State) else {
        return Did::Done;
    };
    let name = changing.name("move");
    let ask = || {
        if let Some(step) = names::learn(target, &[state], known, now) {
            return Did::Next(step);
        }
        let state_id = names::id(prepared, known, state).unwrap_or_default();
        Did::Next(Move::Ask(name.clone().into(), to(target, changing.issue, state_id)))
    };
    let Some(answer) = known.answer(&name) else {
        // It was made there.
        let made_in = known.answer(ISSUE).and_then(answers::state_of_new);
        if made_in.is_some() && made_in.as_deref() == names::id(prepared, known, state) {
            return Did::Done;
        }
        return ask();
    };
    let moved = answers::changed(answer, now);
    if !matches!(moved, Err(Outcome::Reject { .. } | Outcome::Suspend { .. })) {
        return did(moved);
    }
    // A state is of one team, and a person may have moved the issue to another one, or its owner have named another one.
    let asked = changing.name("place");
    let Some(answer) = known.answer(&asked) else {
        return Did::Next(Move::Ask(asked.into(), place(target, changing.issue)));
    };
    match answers::place(answer, now) {
        Err(outcome) => return Did::Next(Move::Done(outcome)),
        Ok(Some(team)) if names::id(prepared, known, Named::Team).is_some_and(|ours| ours != team.id) => {
            return state_elsewhere(target, changing, &team, status, known, now);
        }
        Ok(_) => {}
    }
    match names::renew(target, &name, &[state], known, now) {
        Some(Renewed::Step(step)) => Did::Next(step),
        Some(Renewed::Again) => ask(),
        None => did(moved),
    }
}

/// Moves an issue to the state of this status in the team where it is, which is not that of the config. What fails there is no
/// fault of the config: the events of other issues go on.
fn state_elsewhere(
    target: &Target<Linear>,
    changing: &Changing<'_>,
    team: &TeamNode,
    status: Status,
    known: &Known<'_>,
    now: Timestamp,
) -> Did {
    let reject = |reason: String| Did::Next(Move::Done(Outcome::Reject { reason }));
    let state = target.prepared.states.of(status).unwrap_or_default();
    let Some(state_id) = team.state(state) else {
        return reject(team.lacks(state));
    };
    let name = changing.name("move elsewhere");
    match known.answer(&name).map(|answer| answers::changed(answer, now)) {
        None => Did::Next(Move::Ask(name.into(), to(target, changing.issue, state_id))),
        Some(Err(Outcome::Suspend { reason, .. })) => reject(format!(
            "the issue is in another team than that of config.team_id, and there {reason}"
        )),
        Some(moved) => did(moved),
    }
}

/// Asks to move an issue to a state.
fn to(target: &Target<Linear>, issue: &str, state_id: &str) -> Request {
    let variables = documents::Move {
        id: issue,
        input: documents::To { state_id },
    };
    documents::MOVE.request(&target.prepared.url, &target.prepared.auth, &variables)
}

/// Asks in which team an issue is.
fn place(target: &Target<Linear>, issue: &str) -> Request {
    let variables = Find {
        filter: ById {
            id: Equals { eq: issue },
        },
    };
    documents::PLACE.request(&target.prepared.url, &target.prepared.auth, &variables)
}

fn did(result: Result<(), Outcome>) -> Did {
    match result {
        Ok(()) => Did::Done,
        Err(outcome) => Did::Next(Move::Done(outcome)),
    }
}

/// 1 is the highest. What is low by its type alone has none, so that a list of specs is not all low.
const fn priority(severity: Severity, is_named: bool) -> Option<u8> {
    match severity {
        Severity::Critical => Some(1),
        Severity::High => Some(2),
        Severity::Medium => Some(3),
        Severity::Low if is_named => Some(4),
        Severity::Low => None,
    }
}

/// What an issue or a comment says, in Markdown.
fn said(job: &Job<'_>, about: &About) -> String {
    let given = job.text.body.as_ref().filter(|body| !body.trim().is_empty());
    match given {
        Some(body) => body.clone(),
        None => markdown::page(&Display::of(job.delivery, about), job.delivery),
    }
}
