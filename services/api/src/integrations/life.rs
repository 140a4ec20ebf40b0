//! The life of an integration: activated, deactivated, paused, resumed, deleted.
//!
//! Whether its deliveries are held is decided by its state in KV, which is tied to gates in the streams. That a person
//! holds it is in the database too, so that the hold outlives a KV that was lost.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use signalbox_broker::holding::Drain;
use signalbox_proto::{Integration, Name, Phase, State as Held, Timestamp, integration::Status};
use signalbox_runtime::{Problem, duration};
use signalbox_store::outbox::Kind;
use utoipa::ToSchema;

use super::{
    given::Tagged,
    write::{deed, tombstone},
};
use crate::{
    App, Shared,
    caller::Caller,
    problems::{self, invalid},
    request::{Body, Path, Query},
    revision::IfMatch,
    schema,
};

/// Deliveries a second that a resume may ask for.
const DRAIN_PER_SECOND: std::ops::RangeInclusive<u32> = 1..=100_000;

/// What an owner may ask an integration to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Active,
    Inactive,
    Paused,
}

impl Wish {
    /// Reads a status: what only an answer says is no wish; `None` for no status at all.
    pub(crate) fn read(word: &str) -> Option<Option<Self>> {
        match word {
            "active" => Some(Some(Self::Active)),
            "inactive" => Some(Some(Self::Inactive)),
            "paused" => Some(Some(Self::Paused)),
            "pending_setup" | "error" => Some(None),
            _ => None,
        }
    }

    /// What its owner has set then.
    pub(crate) fn status(self) -> Status {
        match self {
            Self::Active | Self::Paused => Status::Active,
            Self::Inactive => Status::Inactive,
        }
    }
}

/// No field at all.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

pub(crate) async fn activate(
    State(shared): App,
    caller: Caller,
    Path(id): Path,
    if_match: IfMatch,
    query: Query,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Tagged, Problem> {
    query.end()?;
    shared
        .set_status(&caller, &id, &if_match, Wish::Active, "integration.activated")
        .await
}

pub(crate) async fn deactivate(
    State(shared): App,
    caller: Caller,
    Path(id): Path,
    if_match: IfMatch,
    query: Query,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Tagged, Problem> {
    query.end()?;
    shared
        .set_status(&caller, &id, &if_match, Wish::Inactive, "integration.deactivated")
        .await
}

pub(crate) async fn pause(
    State(shared): App,
    caller: Caller,
    Path(id): Path,
    query: Query,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Tagged, Problem> {
    query.end()?;
    let integration = shared.find(&caller.org, &id).await?;
    // One that is held already stays as it is.
    shared.fulfil(&caller, &integration, Wish::Paused, false).await?;
    tracing::info!(integration.id = %integration.id, "integration paused");
    shared.tagged(StatusCode::OK, &integration.org, &integration.id).await
}

/// How what waits is let go.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ResumeRequest)]
pub(crate) struct Resume {
    /// Deliveries a second that are taken out of the waiting ones at most.
    #[schema(minimum = 1, maximum = 100_000)]
    rate: Option<u32>,
    /// What was accepted longer ago than this ends as discarded.
    #[schema(value_type = Option<schema::Span>)]
    drop_older_than: Option<String>,
}

pub(crate) async fn resume(
    State(shared): App,
    caller: Caller,
    Path(id): Path,
    query: Query,
    Body(resume): Body<Resume>,
) -> Result<Tagged, Problem> {
    query.end()?;
    let integration = shared.find(&caller.org, &id).await?;
    if resume.rate.is_some_and(|rate| !DRAIN_PER_SECOND.contains(&rate)) {
        let (least, most) = (DRAIN_PER_SECOND.start(), DRAIN_PER_SECOND.end());
        return Err(invalid(
            "rate",
            format!("is outside {least} to {most} deliveries a second"),
        ));
    }
    let now = Timestamp::now();
    let age = resume.drop_older_than.as_deref().map(duration::parse).transpose();
    let age = age.map_err(|error| invalid("drop_older_than", error.to_string()))?;
    let drain = Drain {
        per_second: resume.rate,
        drop_before: age.map(|age| now - age),
    };
    if shared.is_let_go(&integration, drain).await? {
        return shared.tagged(StatusCode::OK, &integration.org, &integration.id).await;
    }
    let state = shared.release(&caller, &integration, drain).await?;
    tracing::info!(integration.id = %integration.id, phase = state.phase.as_str(), "integration resumed");
    shared.tagged(StatusCode::OK, &integration.org, &integration.id).await
}

pub(crate) async fn delete(
    State(shared): App,
    caller: Caller,
    Path(id): Path,
    if_match: IfMatch,
    mut query: Query,
) -> Result<Json<Deleted>, Problem> {
    let discard = query.flag("discard")?;
    query.end()?;
    let integration = shared.find(&caller.org, &id).await?;
    if_match.check(integration.revision)?;
    let waiting = shared.waiting(&integration).await?;
    if waiting > 0 && !discard {
        let name = format!("integration {}", integration.name);
        return Err(problems::deliveries_waiting(
            &name,
            waiting,
            "delete with ?discard=true (--discard), which ends them",
        ));
    }
    let gone = tombstone(&integration, Timestamp::now());
    shared
        .write(&caller, "integration.deleted", Some(&integration), &gone)
        .await?;
    tracing::info!(integration.id = %gone.id, org = %gone.org, name = %gone.name, "integration deleted");
    Ok(Json(Deleted {
        id: gone.id,
        name: gone.name,
        org: gone.org,
        status: "deleted",
        discarding: waiting,
    }))
}

/// An integration that is gone.
#[derive(Serialize, ToSchema)]
#[schema(as = DeletedIntegration)]
pub(crate) struct Deleted {
    id: String,
    #[schema(value_type = schema::Name)]
    name: Name,
    #[schema(value_type = schema::Name)]
    org: Name,
    #[schema(value_type = schema::IntegrationStatus)]
    status: &'static str,
    /// How many deliveries it ends as discarded
    discarding: u64,
}

impl Shared {
    async fn set_status(
        &self,
        caller: &Caller,
        id: &str,
        if_match: &IfMatch,
        wish: Wish,
        action: &'static str,
    ) -> Result<Tagged, Problem> {
        let current = self.find(&caller.org, id).await?;
        if_match.check(current.revision)?;
        let changes = current.status != wish.status();
        let latest = if changes {
            let next = Integration {
                status: wish.status(),
                revision: current.revision + 1,
                updated_at: Timestamp::now(),
                ..current.clone()
            };
            self.write(caller, action, Some(&current), &next).await?;
            tracing::info!(integration.id = %next.id, action, "the status of an integration changed");
            next
        } else {
            current
        };
        self.fulfil(caller, &latest, wish, changes).await?;
        self.tagged(StatusCode::OK, &latest.org, &latest.id).await
    }

    /// Holds or lets go as the status asks. `told` says that the audit has its entry of this already.
    pub(crate) async fn fulfil(
        &self,
        caller: &Caller,
        integration: &Integration,
        wish: Wish,
        told: bool,
    ) -> Result<(), Problem> {
        let id = &integration.id;
        let stored = self.stored(&integration.org, id).await?;
        let state = self.broker.state(id).await.map_err(problems::broker)?.value;
        match wish {
            // What waits of one that is deactivated stays as it is.
            Wish::Inactive => Ok(()),
            Wish::Paused if stored.held && state.phase == Phase::Paused => Ok(()),
            Wish::Paused => self.hold(caller, integration, true).await,
            Wish::Active if stored.held || state.phase == Phase::Paused => {
                self.release(caller, integration, Drain::default()).await.map(|_| ())
            }
            // Suspended: the owner says that the target works again.
            Wish::Active if state.phase == Phase::Suspended => {
                if !told {
                    let entry = caller.did(deed("integration.activated", integration, None, None), Timestamp::now());
                    self.store().audit_once(&entry).await.map_err(problems::store)?;
                }
                let recovered = self.broker.recover(id, Timestamp::now()).await;
                recovered.map(|_| ()).map_err(problems::broker)
            }
            Wish::Active => Ok(()),
        }
    }

    /// Whether nothing holds an integration, and what waited goes as it is asked to, or has gone.
    async fn is_let_go(&self, integration: &Integration, drain: Drain) -> Result<bool, Problem> {
        let stored = self.stored(&integration.org, &integration.id).await?;
        let state = self
            .broker
            .state(&integration.id)
            .await
            .map_err(problems::broker)?
            .value;
        let is_asked_for = match state.phase {
            // There is nothing left to drain.
            Phase::Open => true,
            Phase::Draining => (drain.per_second, drain.drop_before) == (state.drain_per_second, state.drop_before),
            Phase::Paused | Phase::Suspended | Phase::Unknown => false,
        };
        Ok(!stored.held && is_asked_for)
    }

    /// Commits that a person holds an integration, and tells it.
    pub(crate) async fn hold(&self, caller: &Caller, integration: &Integration, held: bool) -> Result<(), Problem> {
        self.commit_hold(caller, integration, held).await?;
        self.tell(Kind::Hold, &integration.id).await;
        Ok(())
    }

    /// Lets go what a person held, or what else waits. The state as it is then.
    ///
    /// How it drains is in KV alone. So that comes first: should we end in between, the deliveries go as they were asked to,
    /// and the database still says *paused* until somebody resumes again.
    async fn release(&self, caller: &Caller, integration: &Integration, drain: Drain) -> Result<Held, Problem> {
        let state = self
            .broker
            .resume(&integration.id, drain, Timestamp::now())
            .await
            .map_err(problems::broker)?;
        let revision = self.commit_hold(caller, integration, false).await?;
        let done = self.store().outbox_done(Kind::Hold, &integration.id, revision).await;
        done.map_err(problems::store)?;
        Ok(state)
    }

    async fn commit_hold(&self, caller: &Caller, integration: &Integration, held: bool) -> Result<u64, Problem> {
        let now = Timestamp::now();
        let action = if held {
            "integration.paused"
        } else {
            "integration.resumed"
        };
        let was_held = self.stored(&integration.org, &integration.id).await?.held;
        let mut change = self.store().change().await.map_err(problems::store)?;
        let revision = change.hold_integration(&integration.id, held, now).await;
        let revision = revision.map_err(problems::store)?;
        let told = |held: bool| Some(json!({ "held": held }));
        let entry = caller.did(deed(action, integration, told(was_held), told(held)), now);
        change.audit(&entry).await.map_err(problems::store)?;
        change.commit().await.map_err(problems::store)?;
        Ok(revision)
    }

    /// Sees the state of an integration here at once, and not only when the watch says it.
    pub(crate) async fn refresh(&self, id: &str) {
        match self.broker.state(id).await {
            Ok(state) => self.directory.put_state(id, state.value, state.revision),
            Err(error) => {
                tracing::debug!(error = problems::chain(&error), "the state is shown as it was followed");
            }
        }
    }
}
