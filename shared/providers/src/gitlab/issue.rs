//! An issue for each delivery.

use serde::{Deserialize, Serialize};
use signalbox_proto::{Delivery, Severity, Timestamp};

use super::{CRITICAL, Gitlab, Prepared, answers, pipeline::LAG};
use crate::{
    Target, Text,
    display::{Display, text},
    http::{self, Response},
    markdown, mended,
    once::{self, CLOCKS, Making, Seen, listed},
    things::{Known, Lesson, Move},
};

/// The fact that it becomes: its number in the project.
const ISSUE: &str = "issue";
/// Its address beside that.
const URL: &str = "issue_url";
/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 255;
/// Of the message, in the usual title.
const MESSAGE_CHARS_MAX: usize = 50;

/// What is sent.
#[derive(Serialize)]
struct Issue {
    title: String,
    description: String,
    labels: String,
}

/// What is answered, and what a list holds, as far as it was read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Made {
    iid: Option<u64>,
    web_url: Option<String>,
    #[serde(deserialize_with = "listed::when")]
    created_at: Option<Timestamp>,
    description: Option<String>,
}

impl Made {
    fn lessons(&self) -> Option<Vec<Lesson>> {
        let fact = Lesson::Fact(ISSUE.into(), self.iid?.to_string());
        Some(
            [fact]
                .into_iter()
                .chain(once::address(URL, self.web_url.as_deref()))
                .collect(),
        )
    }
}

pub(super) fn request(target: &Target<Gitlab>, labels: &[String], delivery: &Delivery, text: &Text) -> http::Request {
    let shown = Display::of(delivery, &target.about);
    let own = text.title.as_deref().map(|title| text::line(title, TITLE_CHARS_MAX));
    let title = match own.filter(|title| !title.is_empty()) {
        Some(title) => title.into_owned(),
        None => markdown::title(&shown, MESSAGE_CHARS_MAX, TITLE_CHARS_MAX),
    };
    let own = text.body.as_deref().filter(|body| !body.trim().is_empty());
    let description = match own {
        Some(body) => markdown::marked(delivery, body),
        None => markdown::marked(delivery, &markdown::page(&shown, delivery)),
    };
    let mut all: Vec<&str> = labels.iter().map(String::as_str).collect();
    if shown.severity == Severity::Critical && !all.iter().any(|label| label.eq_ignore_ascii_case(CRITICAL)) {
        all.push(CRITICAL);
    }
    let issue = Issue {
        title,
        description,
        labels: all.join(","),
    };
    target.prepared.post(&["issues"], &issue)
}

/// What is learnt of an issue from the answer to its creation.
pub(super) fn told(response: &Response) -> Option<Vec<Lesson>> {
    mended::object::<Made>(response)?.lessons()
}

pub(super) fn go_on(
    target: &Target<Gitlab>,
    labels: &[String],
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
        || Ok(request(target, labels, delivery, text)),
        |response| answers::learnt(response, told, now),
        |since| find(&target.prepared, delivery, known, since, now),
    )
}

/// Looks through the issues that were created since, the newest first. They are read from the list itself: a search may take
/// the mark for markup and not know it.
fn find(prepared: &Prepared, delivery: &Delivery, known: &Known<'_>, since: Timestamp, now: Timestamp) -> Seen {
    let oldest = listed::time(since - CLOCKS);
    let ask = |per_page: &str, page: &str| {
        let query = [
            ("scope", "all"),
            ("created_after", &*oldest),
            ("order_by", "created_at"),
            ("sort", "desc"),
            ("per_page", per_page),
            ("page", page),
        ];
        prepared.get(&["issues"], &query)
    };
    let refusal = |response: &Response| answers::refusal(response, now);
    listed::through(known, "issues", ask, refusal, |issue: &Made| {
        let text = issue.description.as_deref();
        let is_ours = text.is_some_and(|text| markdown::is_marked(text, delivery));
        if is_ours {
            return issue.lessons().map(Seen::Found);
        }
        issue
            .created_at
            .is_some_and(|at| at < since - CLOCKS)
            .then_some(Seen::Absent)
    })
}
