//! Erasing: `POST /v1/orgs/{name}/erase`, `DELETE /v1/events/{id}`, and how far it is, `GET /v1/erasures/{id}`.
//!
//! A request writes down what is to be erased; [`mod@work`] does it, in any process of the API, and goes on with it after a
//! crash.

mod acts;
mod work;

use axum::{Json, extract::State as AppState, http::StatusCode, response::IntoResponse, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use signalbox_broker::erase::What;
use signalbox_proto::{Event, Name, Timestamp, names::check_event_id, org::OrgStatus};
use signalbox_runtime::Problem;
use signalbox_store::{
    audit::kind::ORG,
    erase::{Erasure, State},
    outbox::Kind,
};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    App, Shared,
    audit::Deed,
    caller::Caller,
    problems::{self, invalid},
    request::{Body, Path, Query},
    schema,
    story::Wanted as Named,
    trace::one_source,
};

pub(crate) use work::work;

/// The kind of thing that one event is, as the audit calls it.
const EVENT: &str = "event";

/// How much is erased of each kind of thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = ErasedCounts)]
pub(crate) struct Counts {
    /// Inputs that ingest had not taken
    inputs: u64,
    /// Events
    events: u64,
    /// Deliveries that waited
    deliveries: u64,
    /// Dead letters
    dead_letters: u64,
    /// Records of attempts in OUTCOMES
    records: u64,
    /// Values of buckets
    entries: u64,
    /// Rows of the database
    rows: u64,
}

/// How far an erasure is, as the database keeps it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Progress {
    counts: Counts,
    /// Up to where OUTCOMES and DEAD are to be recorded before they are touched.
    outcomes: u64,
    dead: u64,
    /// What it waits for.
    waiting_for: Option<String>,
}

impl Progress {
    fn of(erasure: &Erasure) -> Self {
        serde_json::from_value(erasure.progress.clone()).unwrap_or_default()
    }

    fn json(&self) -> serde_json::Value {
        json!(self)
    }
}

/// Something that is being erased, or was.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Erasure)]
pub(crate) struct Shown {
    id: String,
    #[schema(value_type = schema::Name)]
    org: Name,
    /// The one event; null where it is all of the org
    event_id: Option<String>,
    event_source: Option<String>,
    #[schema(value_type = schema::ErasureState)]
    state: &'static str,
    /// What it waits for; null where it goes on
    waiting_for: Option<String>,
    erased: Counts,
    #[schema(value_type = schema::Time)]
    started_at: Timestamp,
    #[schema(value_type = Option<schema::Time>)]
    ended_at: Option<Timestamp>,
}

impl From<Erasure> for Shown {
    fn from(erasure: Erasure) -> Self {
        let progress = Progress::of(&erasure);
        let (event_source, event_id) = erasure.event.unzip();
        Self {
            id: erasure.id,
            org: erasure.org,
            event_id,
            event_source,
            state: erasure.state.as_str(),
            waiting_for: progress.waiting_for,
            erased: progress.counts,
            started_at: erasure.started_at,
            ended_at: erasure.ended_at,
        }
    }
}

/// What would be erased.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErasureCounted)]
pub(crate) struct Counted {
    #[schema(value_type = schema::Name)]
    org: Name,
    event_id: Option<String>,
    event_source: Option<String>,
    would_erase: Counts,
}

/// That all of an org is to go.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OrgErasure)]
pub(crate) struct Wanted {
    /// The org's name once more
    #[schema(value_type = schema::Name)]
    confirm: String,
    /// Only count
    #[serde(default)]
    dry_run: bool,
}

pub(crate) async fn show(
    AppState(shared): App,
    caller: Caller,
    Path(id): Path,
    query: Query,
) -> Result<Json<Shown>, Problem> {
    query.end()?;
    let found = shared.store().erasure(&id).await.map_err(problems::store)?;
    let found = found.filter(|erasure| caller.sees(Some(erasure.org.as_str())));
    Ok(Json(found.ok_or_else(|| problems::not_found("erasure", &id))?.into()))
}

pub(crate) async fn org(
    AppState(shared): App,
    caller: Caller,
    Path(name): Path,
    query: Query,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    query.end()?;
    let org: Name = name.parse().map_err(|_| problems::not_found("org", &name))?;
    if wanted.confirm != org.as_str() {
        let detail = format!("is to be {org}, the name of the org that is to be erased for good");
        return Err(invalid("confirm", detail));
    }
    if wanted.dry_run {
        let counted = shared.count_erasable(&What::Org(org)).await?;
        return Ok(Json(counted).into_response());
    }
    let known = shared.store().org(&org).await.map_err(problems::store)?;
    if known.as_ref().is_some_and(|org| org.status.is_closed()) {
        let last = shared.store().erasure_of_org(&org).await.map_err(problems::store)?;
        let problem = Problem::new(
            StatusCode::CONFLICT,
            "org_closed",
            format!("org {org} is erased, or is being erased"),
        );
        return Err(match last {
            Some(last) => problem.with("erasure_id", last.id),
            None => problem,
        });
    }
    let erasure = erasure(&org, None);
    let at = erasure.started_at;
    let mut change = shared.store().change().await.map_err(problems::store)?;
    // Events of an org that nobody made are kept too.
    change.ensure_org(&org, at).await.map_err(problems::store)?;
    change
        .set_org_status(&org, OrgStatus::Erasing, at)
        .await
        .map_err(problems::store)?;
    change.begin_erasure(&erasure).await.map_err(problems::store)?;
    let deed = Deed {
        action: "org.erasure_begun",
        org: Some(&org),
        object: (ORG, org.as_str(), None),
        before: None,
        after: Some(json!({ "erasure_id": erasure.id })),
    };
    change.audit(&caller.did(deed, at)).await.map_err(problems::store)?;
    change.commit().await.map_err(problems::store)?;
    // From the next second on nothing more is taken in for it.
    shared.tell(Kind::Org, org.as_str()).await;
    tracing::info!(%org, erasure.id, "an org is to be erased");
    Ok((StatusCode::ACCEPTED, Json(Shown::from(erasure))).into_response())
}

pub(crate) async fn event(
    AppState(shared): App,
    caller: Caller,
    Path(id): Path,
    mut query: Query,
) -> Result<Response, Problem> {
    let source = query.take("source");
    let dry_run = query.flag("dry_run")?;
    query.end()?;
    check_event_id(&id).map_err(|error| invalid("id", error.to_string()))?;
    let org = caller.org.clone();
    let source = match source {
        Some(source) => source,
        None => shared.only_source(&org, &id).await?,
    };
    let what = What::Event {
        org: org.clone(),
        source: source.clone(),
        id: id.clone(),
    };
    if dry_run {
        return Ok(Json(shared.count_erasable(&what).await?).into_response());
    }
    let erasure = erasure(&org, Some((source, id.clone())));
    let mut change = shared.store().change().await.map_err(problems::store)?;
    change.begin_erasure(&erasure).await.map_err(problems::store)?;
    let deed = Deed {
        action: "event.erasure_begun",
        org: Some(&org),
        object: (EVENT, &id, None),
        before: None,
        after: Some(json!({ "erasure_id": erasure.id })),
    };
    let entry = caller.did(deed, erasure.started_at);
    change.audit(&entry).await.map_err(problems::store)?;
    change.commit().await.map_err(problems::store)?;
    Ok((StatusCode::ACCEPTED, Json(Shown::from(erasure))).into_response())
}

impl Shared {
    /// The one source that has an event of this id; the default one where none is known, as something may wait for it.
    async fn only_source(&self, org: &Name, id: &str) -> Result<String, Problem> {
        let wanted = Named::Event { org, id, source: None };
        let (found, _) = self.accepted(org, wanted, None, Timestamp::now()).await?;
        one_source(id, found.iter().map(|accepted| accepted.event.source.as_str()))?;
        let found = found.into_iter().next();
        Ok(found.map_or_else(|| Event::default_source(org), |accepted| accepted.event.source))
    }

    async fn count_erasable(&self, what: &What) -> Result<Counted, Problem> {
        let would_erase = work::count(self, what)
            .await
            .map_err(|error| problems::internal(&error))?;
        let (event_source, event_id) = match what {
            What::Org(_) => (None, None),
            What::Event { source, id, .. } => (Some(source.clone()), Some(id.clone())),
        };
        Ok(Counted {
            org: what.org().clone(),
            event_id,
            event_source,
            would_erase,
        })
    }

    /// That an event was erased, where it was.
    pub(crate) async fn erased(&self, org: &Name, id: &str) -> Result<Option<Problem>, Problem> {
        let found = self
            .store()
            .erasure_of_event(org, id, None)
            .await
            .map_err(problems::store)?;
        Ok(found.map(|erasure| {
            let detail = format!("event {id:?} was erased");
            Problem::new(StatusCode::GONE, "erased", detail).with("erasure_id", erasure.id)
        }))
    }
}

fn erasure(org: &Name, event: Option<(String, String)>) -> Erasure {
    let now = Timestamp::now();
    let state = match &event {
        None => State::Withdrawing,
        Some(_) => State::Streams,
    };
    Erasure {
        id: Uuid::now_v7().to_string(),
        org: org.clone(),
        event,
        state,
        progress: Progress::default().json(),
        started_at: now,
        changed_at: now,
        ended_at: None,
    }
}

fn what(erasure: &Erasure) -> What {
    let org = erasure.org.clone();
    match &erasure.event {
        None => What::Org(org),
        Some((source, id)) => What::Event {
            org,
            source: source.clone(),
            id: id.clone(),
        },
    }
}
