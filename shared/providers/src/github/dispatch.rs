//! A run of a workflow for each delivery.
//!
//! A run has no mark: it is made some seconds after its request is taken, and shows no inputs. Newer versions of GitHub say
//! which run it is; an answer that was lost said it to nobody. Then only what the workflow itself shows in its `run-name` tells
//! our run from others.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use signalbox_proto::{Delivery, Timestamp};

use super::{Github, REF_CHARS_MAX, answers};
use crate::{
    FieldError, Request, Target,
    build::Told,
    fields, http,
    http::Response,
    mended,
    once::{self, CLOCKS, Making, Seen, listed},
    things::{Known, Lesson, Move},
};

/// The fact that it becomes: the run's id, or that it was taken.
const RUN: &str = "run";
/// The run's address beside that.
const URL: &str = "run_url";
/// Where GitHub does not say which run it is.
const TAKEN: &str = "taken";
/// What is known of the server: that it has no such field as `return_run_details`.
const NO_DETAILS: &str = "no_run_details";
/// All inputs together, names and values, in bytes: never fewer than the characters that GitHub counts.
const INPUTS_BYTES_MAX: usize = 65_000;
/// Longest name of an input, and of a workflow's file, in characters.
const NAME_CHARS_MAX: usize = 100;
/// How long after its request a run may not be listed yet.
const LAG: Duration = Duration::from_secs(120);
/// Runs that are asked for together: each takes some 12 KiB.
const PAGE: usize = 4;
/// Most requests of one look.
const ASKED_MAX: usize = 10;
/// The branch whose workflow runs where the config names none.
const MAIN: &str = "main";

/// A workflow, and how it is run.
#[derive(Debug)]
pub(super) struct Workflow {
    id: String,
    git_ref: String,
    delivery_input: Option<String>,
}

/// What is sent.
#[derive(Serialize)]
struct Dispatch<'a> {
    #[serde(rename = "ref")]
    git_ref: &'a str,
    inputs: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    return_run_details: Option<bool>,
}

/// What is answered.
#[derive(Deserialize)]
struct Made {
    workflow_run_id: Option<u64>,
    html_url: Option<String>,
}

/// A page of the workflow's runs.
#[derive(Deserialize)]
struct Runs {
    total_count: Option<u64>,
    #[serde(default)]
    workflow_runs: Vec<Run>,
}

/// A run, as far as it was read.
#[derive(Deserialize)]
struct Run {
    id: Option<u64>,
    display_title: Option<String>,
    html_url: Option<String>,
}

impl Workflow {
    pub(super) fn of(
        id: Option<&str>,
        git_ref: Option<&str>,
        delivery_input: Option<&str>,
    ) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let id = id.ok_or_else(|| FieldError::new("config/workflow_id", "is missing: name the file of the workflow"));
        let id = fields::keep(id.and_then(|id| name("config/workflow_id", id)), &mut errors);
        let git_ref = fields::line("config/ref", git_ref.unwrap_or(MAIN), REF_CHARS_MAX);
        let git_ref = fields::keep(git_ref, &mut errors);
        let input = delivery_input
            .map(|input| name("config/delivery_input", input))
            .transpose();
        let input = input.and_then(|input| match input.as_deref() {
            Some("event_type" | "agent_id" | "payload") => Err(FieldError::new(
                "config/delivery_input",
                "names an input that holds something else: give it one of its own",
            )),
            _ => Ok(input),
        });
        let input = fields::keep(input, &mut errors);
        match (id, git_ref, input) {
            (Some(id), Some(git_ref), Some(delivery_input)) => Ok(Self {
                id,
                git_ref,
                delivery_input,
            }),
            _ => Err(errors),
        }
    }
}

/// The name of a file or of an input.
fn name(pointer: &str, given: &str) -> Result<String, FieldError> {
    // Many write the path.
    let given = given.trim();
    let given = given.strip_prefix(".github/workflows/").unwrap_or(given);
    let known = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ');
    let name = fields::line(pointer, given, NAME_CHARS_MAX)?;
    if name.chars().all(known) && !matches!(&*name, "." | "..") {
        return Ok(name);
    }
    Err(FieldError::new(
        pointer,
        "is no such name: it may hold letters, digits, `.`, `_` and `-`",
    ))
}

pub(super) fn request(
    target: &Target<Github>,
    workflow: &Workflow,
    delivery: &Delivery,
    with_details: bool,
) -> http::Request {
    let told = Told::of(delivery, &target.about, INPUTS_BYTES_MAX);
    let mut inputs = BTreeMap::from([
        ("event_type", told.event_type),
        ("agent_id", &*told.agent_id),
        ("payload", &*told.payload),
    ]);
    if let Some(input) = &workflow.delivery_input {
        inputs.insert(input, &delivery.id);
    }
    let dispatch = Dispatch {
        git_ref: &workflow.git_ref,
        inputs,
        return_run_details: with_details.then_some(true),
    };
    let prepared = &target.prepared;
    prepared.post(&["actions", "workflows", &workflow.id, "dispatches"], &dispatch)
}

/// What is learnt of a run from the answer to its request: older servers have nothing to say, with a 204.
pub(super) fn told(response: &Response) -> Option<Vec<Lesson>> {
    if response.status == 204 && response.body.is_empty() {
        return Some(vec![Lesson::Fact(RUN.into(), TAKEN.to_owned())]);
    }
    let Made {
        workflow_run_id,
        html_url,
    } = mended::object(response)?;
    Some(lessons(workflow_run_id?, html_url.as_deref()))
}

fn lessons(id: u64, url: Option<&str>) -> Vec<Lesson> {
    let fact = Lesson::Fact(RUN.into(), id.to_string());
    [fact].into_iter().chain(once::address(URL, url)).collect()
}

pub(super) fn go_on(
    target: &Target<Github>,
    workflow: &Workflow,
    delivery: &Delivery,
    known: &Known<'_>,
    now: Timestamp,
) -> Move {
    let with_details = known.names.fact(NO_DETAILS).is_none();
    let asked: Vec<_> = known.answers.iter().filter(|answer| answer.name == RUN).collect();
    if let [refused] = asked.as_slice()
        && is_without_details(&refused.response)
    {
        // Enterprise Server may not know the field yet. It has done nothing, so it is asked anew without it.
        return match with_details {
            true => Move::Learn(vec![Lesson::Name(NO_DETAILS.into(), String::new())]),
            false => Move::Once(RUN.into(), Request::Http(request(target, workflow, delivery, false))),
        };
    }
    let making = Making {
        name: RUN,
        delivery,
        known,
        now,
        timeout: target.about.timeout,
        lag: LAG,
    };
    making.go_on(
        || Ok(request(target, workflow, delivery, with_details)),
        |response| answers::learnt(response, told, now),
        |since| find(target, workflow, delivery, known, since, now),
    )
}

fn is_without_details(response: &Response) -> bool {
    response.status == 422 && answers::says(response, "return_run_details")
}

/// Looks through the runs of the workflow that were created since, the newest first.
fn find(
    target: &Target<Github>,
    workflow: &Workflow,
    delivery: &Delivery,
    known: &Known<'_>,
    since: Timestamp,
    now: Timestamp,
) -> Seen {
    let created = format!(">={}", listed::time(since - CLOCKS));
    let size = PAGE.to_string();
    for page in 1..=ASKED_MAX {
        let name = format!("runs {page}");
        let Some(response) = known.answer(&name) else {
            let page = page.to_string();
            let query = [
                ("event", "workflow_dispatch"),
                ("created", &*created),
                ("per_page", &*size),
                ("page", &*page),
            ];
            let parts = ["actions", "workflows", &workflow.id, "runs"];
            return Seen::Ask(name.into(), Box::new(target.prepared.get(&parts, &query)));
        };
        let runs = mended::object::<Runs>(response).filter(|_| response.status == 200);
        let Some(Runs {
            total_count: Some(count),
            workflow_runs,
        }) = runs
        else {
            return Seen::End(answers::refusal(response, now));
        };
        if count == 0 {
            return Seen::Absent;
        }
        let Some(_) = &workflow.delivery_input else {
            return Seen::Unclear("GitHub does not show which inputs a run had; see delivery_input");
        };
        let is_ours = |run: &&Run| {
            run.display_title
                .as_ref()
                .is_some_and(|title| title.contains(&delivery.id))
        };
        if let Some(run) = workflow_runs.iter().find(is_ours)
            && let Some(id) = run.id
        {
            return Seen::Found(lessons(id, run.html_url.as_deref()));
        }
        if workflow_runs.is_empty() || count <= (page * PAGE) as u64 {
            break;
        }
    }
    Seen::Unclear("no run shows the id of the delivery in its run-name")
}
