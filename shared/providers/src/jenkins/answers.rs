//! What Jenkins' answers mean.

use ::http::{HeaderValue, Method, header::LOCATION};
use serde::Deserialize;
use signalbox_proto::{Outcome, Timestamp};

use super::QUEUED;
use crate::{Request, classify, http::Response, mended, once, things::Lesson};

/// Before the number of a place in the queue, in an address of it.
const ITEM: &str = "/queue/item/";
/// Most digits of such a number.
const DIGITS_MAX: usize = 18;

/// What stands in a job.
#[derive(Deserialize)]
struct Job {
    name: Option<String>,
    #[serde(default)]
    buildable: Option<bool>,
}

/// What is learnt of a build that was queued, or what the answer means.
pub(super) fn queued(response: &Response, now: Timestamp) -> Result<Vec<Lesson>, Outcome> {
    match (response.status, item(response)) {
        // 303: one with the same parameters waits already, and stands for both.
        (201 | 303, Some(item)) => Ok(vec![Lesson::Fact(QUEUED.into(), item)]),
        _ => Err(refusal(response, now)),
    }
}

/// The place in the queue that an answer names. Only its number counts: the rest may be another address of Jenkins' own.
fn item(response: &Response) -> Option<String> {
    let location = response.headers.get(LOCATION)?.to_str().ok()?;
    let (_, rest) = location.rsplit_once(ITEM)?;
    let number = rest.trim_end_matches('/');
    let fits = (1..=DIGITS_MAX).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| number.to_owned())
}

/// What an answer means that is not the one that was hoped for.
pub(super) fn refusal(response: &Response, now: Timestamp) -> Outcome {
    let suspend = |reason: &str| Outcome::Suspend {
        reason: reason.to_owned(),
        at_once: false,
    };
    match response.status {
        200..=299 => Outcome::Retry {
            reason: format!("the target answered {} in a form that is not Jenkins'", response.status),
            after: None,
        },
        300..=399 => suspend(
            "nothing was queued: Jenkins sends elsewhere, to a page of the job, to a login or to another address, and no redirect \
             is followed",
        ),
        400 => Outcome::Reject {
            reason: "Jenkins takes it not as it is (400): a job without parameters needs `parameters: {}`, one with parameters \
                     needs some"
                .to_owned(),
        },
        401 => suspend("Jenkins refuses the user or the API token (401)"),
        403 => suspend(
            "Jenkins refuses this to the user (403): it lacks the right Job/Build, or `api_token` is a password and no API token",
        ),
        404 => suspend("there is no such job, or the user may not see it (404)"),
        409 => suspend("the job is disabled, or cannot be built (409)"),
        _ => classify::by_status(response, now),
    }
}

/// What Jenkins might answer where it takes a request, and has built nothing yet.
pub(super) fn made_up(request: &Request) -> Response {
    let Request::Http(request) = request else {
        return once::might_say(400, "");
    };
    let path = request.url.path();
    if request.method == Method::POST {
        let mut queued = once::might_say(201, "");
        queued
            .headers
            .insert(LOCATION, HeaderValue::from_static("/queue/item/1/"));
        return queued;
    }
    if path.ends_with("/api/xml") {
        return once::might_say(200, "<found/>");
    }
    if path.contains(ITEM) {
        return once::might_say(200, r#"{"executable":null}"#);
    }
    once::might_say(
        200,
        r#"{"name":"job","buildable":true,"property":[{"parameterDefinitions":[{"name":"signalbox_delivery"}]}]}"#,
    )
}

/// Of a look at the job.
pub(super) fn probed(response: &Response, now: Timestamp) -> Outcome {
    if response.status != 200 {
        return refusal(response, now);
    }
    match mended::object::<Job>(response) {
        Some(Job {
            buildable: Some(false), ..
        }) => Outcome::Suspend {
            reason: "the job is disabled, or cannot be built".to_owned(),
            at_once: false,
        },
        Some(Job { name: Some(_), .. }) => Outcome::Delivered,
        _ => refusal(response, now),
    }
}
