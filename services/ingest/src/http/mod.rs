//! `POST /v1/events`: publishing over HTTP, straight to EVENTS.
//!
//! A request goes through these steps: its body is received ([`body`]) and read into drafts ([`read`]), all of them
//! become events or none does, the events are stored ([`store`]), and the answer names them. With an `Idempotency-Key`
//! a request that comes again is answered as before ([`idempotency`]). Problems are in [`problem`].

mod body;
mod idempotency;
mod problem;
mod read;
mod store;
mod wait;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Query, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use signalbox_access::Access;
use signalbox_broker::{Broker, Publish};
use signalbox_proto::{Event, Name, Scope};
use signalbox_runtime::{Problem, Shutdown};

use crate::{Admission, Config, Types, accept::Acceptance, input, orgs::Orgs};
use idempotency::{Claim, Look};
use read::Inputs;

/// Events of one request that are finished before others have their turn.
const FINISHED_AT_ONCE_MAX: usize = 16;

struct Door {
    broker: Broker,
    bodies: body::Bodies,
    access: Access,
    orgs: Orgs,
    types: Types,
    acceptance: Acceptance,
    admission: Admission,
    config: Config,
    waits: wait::Waits,
}

/// An event that may be stored, and the publish that stores it.
struct Ready {
    event: Event,
    publish: Publish,
}

/// The route of this role.
pub fn routes(broker: Broker, config: &Config, access: Access, types: Types, admission: Admission) -> Router {
    let door = Door {
        admission,
        acceptance: Acceptance::new(broker.clone(), config, types.clone()),
        waits: wait::Waits::new(broker.clone()),
        broker,
        bodies: body::Bodies::new(),
        orgs: Orgs::new(access.clone(), config.unknown_orgs),
        access,
        types,
        config: config.clone(),
    };
    Router::new()
        .route("/v1/events", post(publish))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::new(door))
}

async fn publish(
    State(door): State<Arc<Door>>,
    Query(query): Query<Vec<(String, String)>>,
    request: Request,
) -> Response {
    match door.publish(&query, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

impl Door {
    async fn publish(&self, query: &[(String, String)], request: Request) -> Result<Response, Problem> {
        let (parts, body) = request.into_parts();
        let org = self.org(&parts.headers, query).await?;
        let key = idempotency::key_of(&parts.headers)?;
        let received = self.bodies.receive(&parts.headers, body, &self.config).await?;
        let timeout = Duration::from_millis(self.config.http_timeout_ms);
        let mut claim = None;
        if let Some(key) = key {
            match Claim::look(&self.broker, &org, &key, &parts.headers, &received.bytes, timeout).await? {
                Look::Done(ids) => return Ok(accepted(&ids)),
                Look::Claim(new) => claim = Some(new),
            }
        }
        let inputs = received.inputs(&parts.headers, &self.config).await?;
        self.types_known().await?;
        let fallback_id = |place| match &claim {
            Some(claim) => claim.event_id(place),
            None => uuid::Uuid::now_v7().to_string(),
        };
        let mut ready = self.finish(inputs, &org, fallback_id).await?;
        let ids: Vec<String> = ready.iter().map(|one| one.event.id.clone()).collect();
        if let Some(claim) = &claim {
            claim.keep_missing(&org, &mut ready).await?;
        }
        self.admission
            .admit_request(&org, ready.len())
            .await
            .map_err(|refusal| problem::of_refusal(&refusal))?;
        // Watched before they are published: an outcome may come before the answer of EVENTS.
        // What an earlier try has stored is waited for no more.
        let is_repeat = claim.as_ref().is_some_and(Claim::is_taken_over);
        let wait = wait::preference(&parts.headers).filter(|_| !is_repeat);
        let waiter = match wait {
            Some(wait) => self.waits.begin(ready.iter().map(|one| &one.event), wait).await,
            None => None,
        };
        let timeout = match &mut claim {
            Some(claim) => claim.write().await?,
            None => timeout,
        };
        let acks = match store::all(&self.broker, &ready, timeout).await {
            Ok(acks) => acks,
            Err(store::NotStored { problem, may_follow }) => {
                if let Some(claim) = claim.filter(|_| !may_follow) {
                    claim.give_up().await;
                }
                return Err(problem);
            }
        };
        if let Some(claim) = claim {
            claim.done(&ids).await;
        }
        // Others may need its place while this one waits.
        drop(received);
        match (waiter, wait) {
            (Some(waiter), Some(wait)) => {
                // Only their ids are needed from here on.
                drop(ready);
                let shutdown = parts.extensions.get::<Shutdown>().cloned().unwrap_or_default();
                let events = waiter.settled(&acks, &shutdown).await;
                let body = axum::Json(serde_json::json!({ "events": events }));
                Ok((StatusCode::ACCEPTED, [wait::applied(wait)], body).into_response())
            }
            _ => Ok(accepted(&ids)),
        }
    }

    /// The org that a request publishes in: that of its key, or, where the key is of none, the one that it names.
    ///
    /// Publishing has the org's quota, and so no rate of the key.
    async fn org(&self, headers: &HeaderMap, query: &[(String, String)]) -> Result<Name, Problem> {
        let timeout = Duration::from_millis(self.config.http_timeout_ms);
        let caller = self.access.admit(headers, timeout).await?;
        caller.require(&Scope::EventsWrite)?;
        let org = caller.org(org_of(query)?.as_ref())?;
        // The admin key opens before the orgs are known.
        tokio::time::timeout(timeout, self.access.complete())
            .await
            .map_err(|_| problem::still_reading("the orgs"))?;
        self.orgs.check(&org).map_err(|shut| problem::of_shut(&shut))?;
        Ok(org)
    }

    /// Waits for the registered types, as after a start.
    async fn types_known(&self) -> Result<(), Problem> {
        let timeout = Duration::from_millis(self.config.http_timeout_ms);
        tokio::time::timeout(timeout, self.types.complete())
            .await
            .map_err(|_| problem::still_reading("the event types"))
    }

    /// Makes events of all inputs. `fallback_id` is asked for the id of an event that has none, by its place in
    /// the request. One input that is no event refuses them all.
    async fn finish(
        &self,
        inputs: Inputs,
        org: &Name,
        fallback_id: impl Fn(usize) -> String,
    ) -> Result<Vec<Ready>, Problem> {
        let mut ready = Vec::with_capacity(inputs.drafts.len());
        let mut wrong = Vec::new();
        for (index, draft) in inputs.drafts.into_iter().enumerate() {
            if index % FINISHED_AT_ONCE_MAX == FINISHED_AT_ONCE_MAX - 1 {
                tokio::task::yield_now().await;
            }
            let finished = draft.and_then(|draft| {
                let event = self.acceptance.event(draft, org, None, || fallback_id(index))?;
                let publish = self.acceptance.publish(&event)?;
                Ok(Ready { event, publish })
            });
            match finished {
                Ok(one) => ready.push(one),
                Err(rejection) if inputs.is_list => wrong.push((index, rejection)),
                Err(rejection) => return Err(problem::of(rejection)),
            }
        }
        match problem::of_list(wrong) {
            Some(problem) => Err(problem),
            None => Ok(ready),
        }
    }
}

/// The answer that names each event, in the order of the request.
fn accepted(ids: &[String]) -> Response {
    let events: Vec<_> = ids.iter().map(|id| serde_json::json!({ "id": id })).collect();
    (
        StatusCode::ACCEPTED,
        axum::Json(serde_json::json!({ "events": events })),
    )
        .into_response()
}

/// The org that the query names.
fn org_of(query: &[(String, String)]) -> Result<Option<Name>, Problem> {
    if let Some((unknown, _)) = query.iter().find(|(name, _)| name != "org") {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "unknown_parameter",
            "the only parameter here is `org`",
        )
        .field(input::quoted(unknown)));
    }
    let refused = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "invalid", detail).field("org");
    match query {
        [] => Ok(None),
        [(_, org)] => org
            .parse()
            .map(Some)
            .map_err(|error: signalbox_proto::names::InvalidName| refused(error.to_string())),
        _ => Err(refused("give one org".into())),
    }
}
