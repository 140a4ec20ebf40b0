//! What New Relic's answers mean.

use std::time::Duration;

use serde::Deserialize;
use signalbox_proto::{Outcome, Timestamp};

use crate::{classify, http::Response};

/// Over its limit New Relic refuses all requests until the minute is over, and does not say when that is.
const WINDOW: Duration = Duration::from_secs(60);

/// What a 200 says.
#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    success: Option<bool>,
}

/// What the answer to events means. `now` is when it came.
pub(super) fn outcome(response: &Response, now: Timestamp) -> Outcome {
    match (response.status, classify::by_status(response, now)) {
        (200..=299, Outcome::Delivered) => taken(response),
        (429, Outcome::Retry { reason, after }) => Outcome::Retry {
            reason,
            after: after.or(Some(WINDOW)),
        },
        (401 | 403, Outcome::Suspend { reason, at_once }) => Outcome::Suspend {
            reason: format!(
                "{reason}: the key is not one of the type Ingest - License for this account and region; check api_key, \
                 account_id and region"
            ),
            at_once,
        },
        (_, outcome) => outcome,
    }
}

/// What the answer to a probe means: the key is looked at before what is sent, so that a complaint about an empty list
/// says that the key is good.
pub(super) fn of_probe(response: &Response, now: Timestamp) -> Outcome {
    match outcome(response, now) {
        Outcome::Reject { .. } if response.status == 400 => Outcome::Delivered,
        outcome => outcome,
    }
}

/// What a 2xx means: taken, unless the body says otherwise.
fn taken(response: &Response) -> Outcome {
    let status = response.status;
    let said = if response.body.trim_ascii_start().starts_with(b"<") {
        format!("the target answered {status} with a page that is not New Relic's")
    } else {
        // Another form says nothing against it.
        let said: Said = serde_json::from_slice(&response.body).unwrap_or_default();
        if said.success != Some(false) {
            return Outcome::Delivered;
        }
        format!("the target answered {status} and that it did not take what was sent")
    };
    Outcome::Retry {
        reason: said,
        after: None,
    }
}
