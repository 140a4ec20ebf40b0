//! What GitHub's answers mean.
//!
//! A 403 is a limit or a missing right, and only its headers and its body tell which; a 404 hides a repository from who has no
//! right to it; a repository that was renamed redirects.

use std::time::Duration;

use ::http::{Method, header::RETRY_AFTER};
use serde::Deserialize;
use signalbox_proto::{Outcome, Timestamp};

use crate::{
    Request,
    classify::{self, RETRY_AFTER_MAX},
    http::Response,
    mended, once,
    things::Lesson,
};

/// How long to wait where a limit names no time: what GitHub asks for at the least.
const LIMITED: Duration = Duration::from_secs(60);
/// How much of an answer is looked through for words.
const LOOKED_BYTES_MAX: usize = 4 * 1024;
/// What a refusal of a workflow says, and what that means to its owner.
const REFUSALS: [(&str, &str); 5] = [
    (
        "workflow_dispatch",
        "the workflow has no trigger workflow_dispatch on this branch or tag",
    ),
    (
        "unexpected inputs",
        "the workflow does not declare the inputs event_type, agent_id and payload, or delivery_input",
    ),
    ("no ref found", "there is no branch or tag as `ref` names it"),
    (
        "required input",
        "the workflow asks for an input that Signalbox does not send",
    ),
    ("inputs are too large", "the inputs are larger than the workflow takes"),
];

/// What stands in a repository.
#[derive(Deserialize)]
struct Repository {
    full_name: Option<String>,
    #[serde(default)]
    archived: bool,
}

/// What an answer means to who made something: delivered where `told` knows it for GitHub's own yes.
pub(super) fn made(response: &Response, told: fn(&Response) -> Option<Vec<Lesson>>, now: Timestamp) -> Outcome {
    learnt(response, told, now).map_or_else(|outcome| outcome, |_| Outcome::Delivered)
}

/// What is learnt of what was made, or what its answer means.
pub(super) fn learnt(
    response: &Response,
    told: fn(&Response) -> Option<Vec<Lesson>>,
    now: Timestamp,
) -> Result<Vec<Lesson>, Outcome> {
    match told(response) {
        Some(lessons) if (200..300).contains(&response.status) => Ok(lessons),
        _ => Err(refusal(response, now)),
    }
}

/// What an answer means that is not the one that was hoped for.
pub(super) fn refusal(response: &Response, now: Timestamp) -> Outcome {
    let suspend = |reason: &str| Outcome::Suspend {
        reason: reason.to_owned(),
        at_once: false,
    };
    match response.status {
        200..=299 => Outcome::Retry {
            reason: format!("the target answered {} in a form that is not GitHub's", response.status),
            after: None,
        },
        301 | 302 | 307 | 308 => suspend(
            "the repository has moved: it was renamed or transferred. Put its new name into config.repo (GitHub answered with a \
             redirect, which is not followed)",
        ),
        401 => suspend("GitHub refuses the token: it is wrong, expired or revoked (401)"),
        403 | 429 if is_limit(response) => Outcome::Retry {
            reason: format!("a rate limit of GitHub ({})", response.status),
            after: Some(limited(response, now)),
        },
        403 if says(response, "is locked") => Outcome::Reject {
            reason: "the issue is locked: nobody may comment on it".to_owned(),
        },
        403 => suspend(
            "GitHub refuses this to the token (403): it lacks the right, the organization asks for SSO, or the repository is \
             archived",
        ),
        404 => {
            suspend("GitHub shows the token nothing there (404): it does not exist, or the token has no right to it")
        }
        409 => Outcome::Retry {
            reason: "the target answered 409 Conflict".to_owned(),
            after: classify::after(response, now),
        },
        410 => Outcome::Suspend {
            reason: "the repository has no issues: they are turned off or gone (410)".to_owned(),
            at_once: true,
        },
        422 => Outcome::Reject {
            reason: format!("GitHub takes it not as it is (422){}", why(response)),
        },
        _ => classify::by_status(response, now),
    }
}

/// What GitHub might answer where it takes a request, and has made nothing yet.
pub(super) fn made_up(request: &Request) -> Response {
    let Request::Http(request) = request else {
        return once::might_say(400, "");
    };
    let last = request.url.path().rsplit('/').next().unwrap_or_default();
    match (request.method == Method::POST, last) {
        (true, "dispatches") => once::might_say(200, r#"{"workflow_run_id":1,"html_url":"https://github.com"}"#),
        (true, "comments") => once::might_say(201, r#"{"id":1,"html_url":"https://github.com"}"#),
        (true, _) => once::might_say(201, r#"{"number":1,"html_url":"https://github.com"}"#),
        (false, "issues" | "comments") => once::might_say(200, "[]"),
        (false, "runs") => once::might_say(200, r#"{"total_count":0,"workflow_runs":[]}"#),
        (false, _) => once::might_say(200, r#"{"full_name":"acme/shop"}"#),
    }
}

/// Of a look at the repository.
pub(super) fn probed(response: &Response, now: Timestamp) -> Outcome {
    if response.status != 200 {
        return refusal(response, now);
    }
    match mended::object::<Repository>(response) {
        Some(Repository { archived: true, .. }) => Outcome::Suspend {
            reason: "the repository is archived: nothing can be made there".to_owned(),
            at_once: false,
        },
        Some(Repository { full_name: Some(_), .. }) => Outcome::Delivered,
        _ => refusal(response, now),
    }
}

/// Whether a 403 or 429 is a limit: every 429 is.
fn is_limit(response: &Response) -> bool {
    response.status == 429
        || response.headers.contains_key(RETRY_AFTER)
        || number(response, "x-ratelimit-remaining") == Some(0)
        || says(response, "rate limit")
}

/// When to come again: as it is asked for, else when the window of the primary limit ends, else after a minute.
fn limited(response: &Response, now: Timestamp) -> Duration {
    let window = || {
        let is_over = number(response, "x-ratelimit-remaining") == Some(0);
        let reset = number(response, "x-ratelimit-reset").filter(|_| is_over)?;
        // A second more, since the header is in whole ones.
        Some(Timestamp::from_secs(reset).since(now) + Duration::from_secs(1))
    };
    let after = classify::after(response, now).or_else(window).unwrap_or(LIMITED);
    after.min(RETRY_AFTER_MAX)
}

fn number(response: &Response, header: &str) -> Option<i64> {
    response.headers.get(header)?.to_str().ok()?.trim().parse().ok()
}

/// Whether the beginning of an answer's body has these words, in whatever case.
pub(super) fn says(response: &Response, words: &str) -> bool {
    let head = response.body.get(..LOOKED_BYTES_MAX).unwrap_or(&response.body);
    String::from_utf8_lossy(head).to_lowercase().contains(words)
}

fn why(response: &Response) -> String {
    let known = REFUSALS.iter().find(|(words, _)| says(response, words));
    known.map_or_else(String::new, |(_, means)| format!(": {means}"))
}
