//! A comment for each delivery, on the issue or pull request that its event names.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use signalbox_proto::{Accepted, Delivery, Outcome, Timestamp};

use super::{Github, Listed, Prepared, answers, issue::LAG};
use crate::{
    Request, Target, Text,
    display::Display,
    http::{self, Response},
    markdown, mended,
    once::{self, CLOCKS, Making, Seen, listed},
    things::{Known, Lesson, Move},
};

/// The fact that it becomes: its id.
const COMMENT: &str = "comment";
/// Its address beside that.
const URL: &str = "comment_url";
/// A look at the repository, where its issue is not there.
const REPOSITORY: &str = "repository";
/// Where data names an issue or a pull request: the first that holds a number counts.
const PLACES: [&str; 6] = [
    "/issue_number",
    "/issue/number",
    "/issue",
    "/pr_number",
    "/pr/number",
    "/pull_request/number",
];

/// What is sent.
#[derive(Serialize)]
struct Comment {
    body: String,
}

/// What is answered.
#[derive(Deserialize)]
struct Made {
    id: Option<u64>,
    html_url: Option<String>,
}

/// Where a comment goes.
#[derive(Clone, Copy)]
struct Place {
    number: u32,
    /// Whether the event says so, and not the config.
    by_event: bool,
}

impl Place {
    fn of(delivery: &Delivery, configured: Option<u32>) -> Result<Self, Outcome> {
        let mut named = delivery.events.iter().filter_map(number);
        let first = named.next();
        match first {
            Some(number) if named.all(|other| other == number) => Ok(Self { number, by_event: true }),
            // The events of a digest name several.
            _ => configured.map(|number| Self { number, by_event: false }).ok_or_else(|| Outcome::Reject {
                reason: match first {
                    Some(_) => "the events of this digest belong to several issues: send them one by one, without `batch`, or \
                                give config.issue_number",
                    None => "there is no issue to comment on: the data has no issue_number, issue.number or pr.number, and \
                             config.issue_number is not given",
                }
                .to_owned(),
            }),
        }
    }
}

/// The issue that an event names.
fn number(accepted: &Accepted) -> Option<u32> {
    let data = accepted.event.data.value().ok()?;
    let numbers = PLACES.iter().filter_map(|place| data.pointer(place));
    let mut numbers = numbers.filter_map(|value| match value {
        Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        Value::String(text) => {
            let text = text.trim();
            text.strip_prefix('#').unwrap_or(text).parse().ok()
        }
        _ => None,
    });
    numbers.find(|number| *number > 0)
}

pub(super) fn creation(
    target: &Target<Github>,
    configured: Option<u32>,
    delivery: &Delivery,
    text: &Text,
) -> Result<http::Request, Outcome> {
    let Place { number, .. } = Place::of(delivery, configured)?;
    let prepared = &target.prepared;
    let body = prepared.text(target, delivery, text, || {
        markdown::page(&Display::of(delivery, &target.about), delivery)
    })?;
    Ok(prepared.post(&["issues", &number.to_string(), "comments"], &Comment { body }))
}

/// What is learnt of a comment from the answer to its creation.
pub(super) fn told(response: &Response) -> Option<Vec<Lesson>> {
    let Made { id, html_url } = mended::object(response)?;
    Some(lessons(id?, html_url.as_deref()))
}

fn lessons(id: u64, url: Option<&str>) -> Vec<Lesson> {
    let fact = Lesson::Fact(COMMENT.into(), id.to_string());
    [fact].into_iter().chain(once::address(URL, url)).collect()
}

pub(super) fn go_on(
    target: &Target<Github>,
    configured: Option<u32>,
    delivery: &Delivery,
    text: &Text,
    known: &Known<'_>,
    now: Timestamp,
) -> Move {
    let place = match Place::of(delivery, configured) {
        Ok(place) => place,
        Err(outcome) => return Move::Done(outcome),
    };
    let refused = known
        .answers
        .last()
        .filter(|answer| matches!(answer.response.status, 404 | 410));
    if place.by_event && refused.is_some() && known.answer(REPOSITORY).is_none() {
        // The event may name what is not there, or the repository is not: that concerns all others too.
        return Move::Ask(REPOSITORY.into(), Request::Http(target.prepared.get(&[], &[])));
    }
    if let Some(repository) = known.answer(REPOSITORY) {
        return Move::Done(match answers::probed(repository, now) {
            Outcome::Delivered => Outcome::Reject {
                reason: "the repository has no such issue or pull request as the event names".to_owned(),
            },
            hindered => hindered,
        });
    }
    let making = Making {
        name: COMMENT,
        delivery,
        known,
        now,
        timeout: target.about.timeout,
        lag: LAG,
    };
    making.go_on(
        || creation(target, configured, delivery, text),
        |response| answers::learnt(response, told, now),
        |since| find(&target.prepared, place.number, delivery, known, since, now),
    )
}

/// Looks through the comments of the issue that were written since.
fn find(
    prepared: &Prepared,
    number: u32,
    delivery: &Delivery,
    known: &Known<'_>,
    since: Timestamp,
    now: Timestamp,
) -> Seen {
    let number = number.to_string();
    let changed = listed::time(since - CLOCKS);
    let ask = |per_page: &str, page: &str| {
        let query = [("since", &*changed), ("per_page", per_page), ("page", page)];
        prepared.get(&["issues", &number, "comments"], &query)
    };
    let refusal = |response: &Response| answers::refusal(response, now);
    listed::through(known, "comments", ask, refusal, |comment: &Listed| {
        let body = comment
            .body
            .as_deref()
            .filter(|body| markdown::is_marked(body, delivery));
        let id = comment.id.filter(|_| body.is_some())?;
        Some(Seen::Found(lessons(id, comment.html_url.as_deref())))
    })
}
