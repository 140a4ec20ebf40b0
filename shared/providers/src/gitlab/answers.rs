//! What GitLab's answers mean.

use std::time::Duration;

use ::http::Method;
use serde::Deserialize;
use signalbox_proto::{Outcome, Timestamp};

use crate::{
    Request,
    classify::{self, RETRY_AFTER_MAX},
    http::Response,
    mended, once,
    things::Lesson,
};

/// How long to wait where a limit names no time.
const LIMITED: Duration = Duration::from_secs(60);
/// How much of an answer is looked through for words.
const LOOKED_BYTES_MAX: usize = 4 * 1024;
/// What a refusal says, and what that means to its owner.
const REFUSALS: [(&str, &str); 4] = [
    ("reference not found", "there is no branch or tag as `ref` names it"),
    (
        "missing ci config",
        "the project has no .gitlab-ci.yml on this branch or tag",
    ),
    (
        "insufficient permissions to set pipeline variables",
        "the project lets this token set no variables of a pipeline: see its setting of the minimum role",
    ),
    (
        "pipeline will not run",
        "the rules of the pipeline leave it no job for this branch or tag",
    ),
];

/// What stands in a project.
#[derive(Deserialize)]
struct Project {
    path_with_namespace: Option<String>,
    #[serde(default)]
    archived: bool,
}

/// What an answer means to who made something: delivered where `told` knows it for GitLab's own yes.
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
        Some(lessons) if matches!(response.status, 200 | 201) => Ok(lessons),
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
            reason: format!("the target answered {} in a form that is not GitLab's", response.status),
            after: None,
        },
        301 | 302 | 307 | 308 => suspend(
            "the project has moved, or GitLab has another address: put its new path into config.project, or the address into \
             config.base_url (GitLab answered with a redirect, which is not followed)",
        ),
        401 => suspend("GitLab refuses the token: it is wrong, expired or revoked (401)"),
        403 => suspend(&format!("GitLab refuses this to the token (403){}", why(response))),
        404 => suspend(
            "GitLab shows the token nothing there (404): there is no such project, the token has no right to it, or the trigger \
             token is wrong",
        ),
        409 => Outcome::Retry {
            reason: "the target answered 409 Conflict".to_owned(),
            after: classify::after(response, now),
        },
        400 | 422 => Outcome::Reject {
            reason: format!("GitLab takes it not as it is ({}){}", response.status, why(response)),
        },
        429 => Outcome::Retry {
            reason: "a rate limit of GitLab (429)".to_owned(),
            after: Some(limited(response, now)),
        },
        _ => classify::by_status(response, now),
    }
}

/// What GitLab might answer where it takes a request, and has made nothing yet.
pub(super) fn made_up(request: &Request) -> Response {
    let Request::Http(request) = request else {
        return once::might_say(400, "");
    };
    let last = request.url.path().rsplit('/').next().unwrap_or_default();
    match (request.method == Method::POST, last) {
        (true, _) => once::might_say(201, r#"{"id":1,"iid":1,"web_url":"https://gitlab.com"}"#),
        (false, "pipelines" | "variables" | "issues") => once::might_say(200, "[]"),
        (false, _) => once::might_say(200, r#"{"path_with_namespace":"acme/shop"}"#),
    }
}

/// Of a look at the project.
pub(super) fn probed(response: &Response, now: Timestamp) -> Outcome {
    if response.status != 200 {
        return refusal(response, now);
    }
    match mended::object::<Project>(response) {
        Some(Project { archived: true, .. }) => Outcome::Suspend {
            reason: "the project is archived: nothing can be made there".to_owned(),
            at_once: false,
        },
        Some(Project {
            path_with_namespace: Some(_),
            ..
        }) => Outcome::Delivered,
        _ => refusal(response, now),
    }
}

/// When to come again: as it is asked for, else when the window ends, else after a minute.
fn limited(response: &Response, now: Timestamp) -> Duration {
    let window = || {
        let reset = response
            .headers
            .get("ratelimit-reset")?
            .to_str()
            .ok()?
            .trim()
            .parse()
            .ok()?;
        let left = Timestamp::from_secs(reset).since(now);
        // A second more, since the header is in whole ones. One that lies in the past says nothing.
        (left > Duration::ZERO).then(|| left + Duration::from_secs(1))
    };
    let after = classify::after(response, now).or_else(window).unwrap_or(LIMITED);
    after.min(RETRY_AFTER_MAX)
}

fn why(response: &Response) -> String {
    let head = response.body.get(..LOOKED_BYTES_MAX).unwrap_or(&response.body);
    let head = String::from_utf8_lossy(head).to_lowercase();
    let known = REFUSALS.iter().find(|(words, _)| head.contains(words));
    known.map_or_else(String::new, |(_, means)| format!(": {means}"))
}
