//! `POST /v1/deliveries/{id}/retry`: a delivery that waits for its next attempt is sent now.
//!
//! The attempt counts as the one that was scheduled: should it fail, the schedule goes on from there. What is held for
//! its integration (paused, refused by its target) is not sent past the others: the answer says how to let all go.

use axum::{Json, extract::State, http::StatusCode};
use serde_json::json;
use signalbox_broker::hasten::Hastened;
use signalbox_proto::{Delivery, Name, Phase, Timestamp, ledger::Final, wire};
use signalbox_runtime::Problem;

use super::{
    filter::{self, Filter},
    read::Reading,
};
use crate::{
    App, Shared,
    audit::Deed,
    caller::Caller,
    history::Failed,
    problems,
    request::{Path, Query},
    story::{Place, Story},
    view,
    why::org_flag,
};

pub(crate) async fn retry(
    State(shared): App,
    caller: Caller,
    Path(id): Path,
    mut query: Query,
) -> Result<(StatusCode, Json<view::InFull>), Problem> {
    let org = caller.org.clone();
    let given = query.take("integration");
    query.end()?;
    shared.directory.complete()?;
    let filter = Filter::of_one(&shared, org.clone(), given.as_deref())?;
    let ids = filter::one_id(&id)?;
    let mut reading = Reading::of_one(&shared, &filter, &ids);
    let stored = reading.waiting_one(&id).await?;
    if stored.is_none() {
        // What has just ended is in its lane until its worker's batch of records is acknowledged.
        shared.end_of(&mut reading, &id).await?;
    }
    let Some(story) = reading.story(&id) else {
        return Err(reading.missing(&id));
    };
    if story.id != id {
        let why = format!("it is a member of digest {}: retry that", story.id);
        return Err(Problem::new(StatusCode::CONFLICT, "in_digest", why).with("delivery_id", story.id.clone()));
    }
    let Some((waiting, place)) = story.moving() else {
        return Err(ended(story, &org));
    };
    let waiting = waiting.clone();
    let mut answer = shared.delivery_in_full(story, reading.recorded);
    match place {
        Place::Schedule => {
            let delivery = stored.as_ref().map(|stored| wire::decode_delivery(&stored.body));
            let delivery = delivery.transpose().map_err(|error| problems::internal(&error))?;
            let (Some(stored), Some(delivery)) = (stored, delivery) else {
                return Err(ended(story, &org));
            };
            shared.may_go(&delivery).await?;
            shared.audit_retry(&caller, &delivery).await?;
            let now = Timestamp::now();
            let hastened = shared.broker.hasten(&stored, &delivery, now).await;
            // One that fires by itself, or has fired just now, does what was asked for.
            match hastened.map_err(problems::broker)? {
                Hastened::Yes | Hastened::Gone => answer.delivery.next_attempt_at = Some(now),
                Hastened::Soon => {}
            }
            tracing::info!(delivery.id = id, "a delivery is tried now");
        }
        Place::Parked => return Err(shared.parked(story)),
        Place::Ordered if !place.is_parked(&waiting) => {
            shared.may_go(&waiting).await?;
            shared.audit_retry(&caller, &waiting).await?;
            let now = Timestamp::now();
            let hastened = shared.broker.hasten_ordered(&waiting, now).await;
            match hastened.map_err(problems::broker)? {
                Hastened::Yes => answer.delivery.next_attempt_at = Some(now),
                Hastened::Soon | Hastened::Gone => {}
            }
            tracing::info!(delivery.id = id, "the first of a key is tried now");
        }
        Place::Batch | Place::Ordered => return Err(gathered(place)),
        // It is on its way already.
        Place::Lane => {}
    }
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

impl Shared {
    /// Reads how a delivery ended that does not wait for its next attempt.
    async fn end_of(&self, reading: &mut Reading<'_>, id: &str) -> Result<(), Problem> {
        let known = match self.history().await {
            Ok(history) => reading.recorded_end(&history, id).await,
            Err(failed) => Err(failed),
        };
        match known {
            Ok(true) => Ok(()),
            Err(Failed::Problem(problem)) => Err(problem),
            Ok(false) | Err(Failed::Away) => reading.ended_one(id).await,
        }
    }

    /// Writes the entry of a retry by hand, before it is asked for.
    async fn audit_retry(&self, caller: &Caller, delivery: &Delivery) -> Result<(), Problem> {
        let deed = Deed {
            action: "delivery.retried",
            org: Some(&delivery.org),
            object: ("delivery", &delivery.id, None),
            before: None,
            after: Some(json!({
                "integration_id": delivery.integration, "event_id": delivery.events.first().map(|accepted| &accepted.event.id), "attempt": delivery.attempt,
            })),
        };
        let entry = caller.did(deed, Timestamp::now());
        self.store().audit_once(&entry).await.map_err(problems::store)?;
        Ok(())
    }

    /// Refuses what would only be parked by its worker.
    async fn may_go(&self, delivery: &Delivery) -> Result<(), Problem> {
        let state = self
            .broker
            .state(&delivery.integration)
            .await
            .map_err(problems::broker)?
            .value;
        match state.phase {
            Phase::Open | Phase::Draining => Ok(()),
            // The probe of a suspended integration is what finds out whether its target takes deliveries again.
            Phase::Suspended if delivery.probe => Ok(()),
            phase => Err(self.held(&delivery.integration, phase)),
        }
    }

    fn parked(&self, story: &Story) -> Problem {
        self.held(&story.integration, self.directory.state(&story.integration).phase)
    }

    fn held(&self, integration: &str, phase: Phase) -> Problem {
        let known = self.directory.by_id(integration);
        let name = known.as_ref().map_or(integration, |known| known.name.as_str());
        let org = known.as_ref().map_or_else(String::new, |known| org_flag(&known.org));
        let resume = format!("signalbox resume --integration {name}{org}");
        let (code, why) = match phase {
            Phase::Suspended => (
                "suspended",
                format!(
                    "its integration {name} is suspended, as its target refuses us or fails: mend that, then \
                     `signalbox integrations test {name}{org}` lets all go, or `{resume}` without a test"
                ),
            ),
            Phase::Paused | Phase::Unknown => (
                "paused",
                format!("its integration {name} is paused: `{resume}` lets all go"),
            ),
            Phase::Open | Phase::Draining => (
                "draining",
                format!("what waits for {name} is being let go, the oldest first: it goes in its turn"),
            ),
        };
        Problem::new(StatusCode::CONFLICT, code, why)
    }
}

/// Why a delivery that waits for others is not sent past them.
fn gathered(place: Place) -> Problem {
    let (code, why) = match place {
        Place::Batch => (
            "gathered",
            "it goes with the next digest of its integration: `signalbox deliveries show` says when that closes",
        ),
        _ => (
            "ordered",
            "it goes in the order of its key, when those before it have ended: discard them to let it go sooner",
        ),
    };
    Problem::new(StatusCode::CONFLICT, code, why)
}

/// Why a delivery that does not wait is not tried.
fn ended(story: &Story, org: &Name) -> Problem {
    let org = org_flag(org);
    let conflict = |code, why: String| Problem::new(StatusCode::CONFLICT, code, why);
    match (story.ended(), story.last_dead()) {
        (Some(Final::Delivered), _) => conflict("delivered", "it was delivered: its target has it".to_owned()),
        (Some(state), Some((seq, _))) => {
            let letter = signalbox_broker::browse::dead_letter_id(seq);
            let why = format!(
                "it is {}: replay it with `signalbox dead replay {letter}{org}`",
                state.as_str()
            );
            conflict("ended", why).with("dead_letter_id", letter)
        }
        (Some(state), None) => {
            let why = format!(
                "it is {}: replay it from the dead letters, `signalbox dead list{org}`",
                state.as_str()
            );
            conflict("ended", why)
        }
        // Read while it moved from one stream to another.
        (None, _) => conflict("moving", "it is on its way at this moment: look again".to_owned()),
    }
}
