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
        (200..=299, Outcome::Delivered) => taken(response, now),
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

/// What a 2xx means: taken where the body says so, as New Relic's always does. Another body is that of a proxy, and then
/// New Relic has nothing of it.
fn taken(response: &Response, now: Timestamp) -> Outcome {
    let status = response.status;
    let said: Said = classify::object(&response.body).unwrap_or_default();
    let reason = match said.success {
        Some(true) => return Outcome::Delivered,
        Some(false) => format!("New Relic answered {status} and that it did not take what was sent"),
        None => {
            format!("the answer {status} is not New Relic's: it does not say success, so a proxy may have answered")
        }
    };
    Outcome::Retry {
        reason,
        after: classify::after(response, now),
    }
}
