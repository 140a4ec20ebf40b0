//! An issue for each delivery.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use signalbox_proto::{Delivery, Outcome, Severity, Timestamp};

use super::{BODY_CHARS_MAX, CRITICAL, Github, Listed, Prepared, answers};
use crate::{
    Target, Text,
    display::{Display, text},
    http::{self, Response},
    markdown, mended,
    once::{self, CLOCKS, Making, Seen, listed},
    things::{Known, Lesson, Move},
};

/// The fact that it becomes: its number.
const ISSUE: &str = "issue";
/// Its address beside that.
const URL: &str = "issue_url";
/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 256;
/// Of the message, in the usual title.
const MESSAGE_CHARS_MAX: usize = 50;
/// GitHub ends a request after 10 seconds; its lists show an issue at once, but for a copy that lags behind.
pub(super) const LAG: Duration = Duration::from_secs(30);

const _: () =
    assert!(markdown::PAGE_CHARS_MAX + 64 <= BODY_CHARS_MAX && super::TEMPLATE_BYTES_MAX + 64 <= BODY_CHARS_MAX);

/// What is sent.
#[derive(Serialize)]
struct Issue<'a> {
    title: String,
    body: String,
    labels: Vec<&'a str>,
}

/// What is answered.
#[derive(Deserialize)]
struct Made {
    number: Option<u64>,
    html_url: Option<String>,
}

pub(super) fn creation(
    target: &Target<Github>,
    labels: &[String],
    delivery: &Delivery,
    text: &Text,
) -> Result<http::Request, Outcome> {
    let shown = Display::of(delivery, &target.about);
    let own = text.title.as_deref().map(|title| text::line(title, TITLE_CHARS_MAX));
    let title = match own.filter(|title| !title.is_empty()) {
        Some(title) => title.into_owned(),
        None => markdown::title(&shown, MESSAGE_CHARS_MAX, TITLE_CHARS_MAX),
    };
    let prepared = &target.prepared;
    let body = prepared.text(target, delivery, text, || markdown::page(&shown, delivery))?;
    let mut all: Vec<&str> = labels.iter().map(String::as_str).collect();
    if shown.severity == Severity::Critical && !all.iter().any(|label| label.eq_ignore_ascii_case(CRITICAL)) {
        all.push(CRITICAL);
    }
    let issue = Issue {
        title,
        body,
        labels: all,
    };
    Ok(prepared.post(&["issues"], &issue))
}

/// What is learnt of an issue from the answer to its creation.
pub(super) fn told(response: &Response) -> Option<Vec<Lesson>> {
    let Made { number, html_url } = mended::object(response)?;
    Some(lessons(number?, html_url.as_deref()))
}

fn lessons(number: u64, url: Option<&str>) -> Vec<Lesson> {
    let fact = Lesson::Fact(ISSUE.into(), number.to_string());
    [fact].into_iter().chain(once::address(URL, url)).collect()
}

pub(super) fn go_on(
    target: &Target<Github>,
    delivery: &Delivery,
    text: &Text,
    known: &Known<'_>,
    now: Timestamp,
) -> Move {
    let making = Making {
        name: ISSUE,
        delivery,
        known,
        now,
        timeout: target.about.timeout,
        lag: LAG,
    };
    making.go_on(
        || super::making(target, delivery, text, true),
        |response| answers::learnt(response, told, now),
        |since| find(&target.prepared, delivery, known, since, now),
    )
}

/// Looks through the issues that were created since, the newest first. They are read from the list itself: a search lags.
fn find(prepared: &Prepared, delivery: &Delivery, known: &Known<'_>, since: Timestamp, now: Timestamp) -> Seen {
    let oldest = since - CLOCKS;
    let changed = listed::time(oldest);
    let ask = |per_page: &str, page: &str| {
        let query = [
            ("state", "all"),
            ("since", &*changed),
            ("sort", "created"),
            ("direction", "desc"),
            ("per_page", per_page),
            ("page", page),
        ];
        prepared.get(&["issues"], &query)
    };
    let refusal = |response: &Response| answers::refusal(response, now);
    listed::through(known, "issues", ask, refusal, |issue: &Listed| {
        let is_ours = issue
            .body
            .as_deref()
            .is_some_and(|body| markdown::is_marked(body, delivery));
        match issue.number.filter(|_| is_ours) {
            Some(number) => Some(Seen::Found(lessons(number, issue.html_url.as_deref()))),
            None => issue.created_at.is_some_and(|at| at < oldest).then_some(Seen::Absent),
        }
    })
}
