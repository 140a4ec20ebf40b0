//! Around every handler: who calls, for which org, with which parameters, for how long.
//!
//! [`router`] is the only place that mounts a handler, and it takes them from the table alone. So a route cannot forget
//! its key, its scope or its org, and what the document says of parameters is what is taken.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::MethodRouter,
};
use signalbox_access::Access;
use signalbox_runtime::Problem;
use tracing::Instrument as _;

use crate::{
    Shared,
    caller::Caller,
    problems,
    request::Query,
    routes::{Effect, Route, Who},
};

/// Seconds after which a caller may ask again for what took too long.
const RETRY_AFTER_SECS: u32 = 5;
/// How long a request waits for its key to be known, after a start.
const ADMIT_WITHIN: Duration = Duration::from_secs(5);

/// What stands before one route.
#[derive(Clone)]
struct Guard {
    access: Access,
    /// Whether the API has what its handlers need.
    is_open: Arc<dyn Fn() -> bool + Send + Sync>,
    who: Who,
    /// Its parameters behind the `?`, without `org`.
    known: Arc<[&'static str]>,
    /// Whether it changes something: such a request is finished, though nobody waits for its answer.
    changes: bool,
    /// How long its answer may take.
    time: Option<Duration>,
}

/// Mounts the routes of the table that this role serves.
pub(crate) fn router(shared: &Arc<Shared>, table: &[Route]) -> Router {
    let config = &shared.config;
    let mut router = Router::new();
    for route in table {
        let Some(serve) = route.serve.clone() else { continue };
        let (opened, without_store) = (shared.clone(), route.without_store);
        let guard = Guard {
            access: shared.access.clone(),
            is_open: Arc::new(move || without_store || opened.opened.get().is_some()),
            who: route.access.clone(),
            known: route.query_names(),
            changes: matches!(route.effect, Effect::Change(_)),
            time: (!route.unhurried).then_some(config.request_timeout),
        };
        let bytes_max = if route.large {
            config.apply_bytes_max
        } else {
            config.body_bytes_max
        };
        router = router.route(route.path, behind(guard, serve, bytes_max));
    }
    router.with_state(shared.clone())
}

/// Puts a guard before what serves a route.
fn behind<S: Clone + Send + Sync + 'static>(guard: Guard, serve: MethodRouter<S>, bytes_max: usize) -> MethodRouter<S> {
    serve
        .route_layer(DefaultBodyLimit::max(bytes_max))
        .route_layer(middleware::from_fn_with_state(guard, admit))
}

async fn admit(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let (query, caller) = match guard.check(&parts).await {
        Ok(checked) => checked,
        Err(problem) => return problem.into_response(),
    };
    let span = match &caller {
        Some(caller) => tracing::info_span!(
            "call",
            caller.name = caller.name(),
            caller.key = caller.key,
            caller.org = %caller.org,
            caller.address = caller.address.map(tracing::field::display),
            request.id = caller.request_id.as_str(),
        ),
        None => tracing::Span::none(),
    };
    parts.extensions.insert(query);
    if let Some(caller) = caller {
        parts.extensions.insert(caller);
    }
    let answer = next.run(Request::from_parts(parts, body)).instrument(span);
    guard.in_time(answer).await
}

impl Guard {
    /// What the handler is to know, or the refusal.
    async fn check(&self, parts: &axum::http::request::Parts) -> Result<(Query, Option<Caller>), Problem> {
        let Who::Key(scope, reach) = &self.who else {
            let query = Query::read(parts.uri.query().unwrap_or_default())?;
            return Ok((query.only(&self.known)?, None));
        };
        // Nothing is said about a request before its key is known.
        let known = self.access.admit(&parts.headers, ADMIT_WITHIN).await?;
        known.spend()?;
        if !(self.is_open)() {
            let detail = "this process waits for the database: try again";
            return Err(Problem::unavailable(detail, RETRY_AFTER_SECS));
        }
        let query = Query::read(parts.uri.query().unwrap_or_default());
        // The org is refused before what else may be wrong, so that a refusal does not depend on it.
        let asked = query.as_ref().ok().filter(|_| reach.takes_org()).and_then(Query::org);
        let caller = Caller::of(&known, scope, *reach, asked, &parts.extensions)?;
        let mut query = query?;
        if reach.takes_org() {
            query.forget_org();
        }
        Ok((query.only(&self.known)?, Some(caller)))
    }

    /// Waits for an answer no longer than the route has.
    async fn in_time(&self, answer: impl Future<Output = Response> + Send + 'static) -> Response {
        let answer = async {
            if !self.changes {
                return answer.await;
            }
            // Half a change would be left where the caller goes away, or the time is over.
            match tokio::spawn(answer).await {
                Ok(response) => response,
                Err(error) => problems::internal(&error).into_response(),
            }
        };
        let Some(time) = self.time else { return answer.await };
        match tokio::time::timeout(time, answer).await {
            Ok(response) => response,
            Err(_) => timed_out(time, self.changes).into_response(),
        }
    }
}

fn timed_out(time: Duration, changes: bool) -> Problem {
    let advice = if changes {
        "it goes on, so look at what is there before you ask again"
    } else {
        "ask for less, or try again"
    };
    let detail = format!(
        "the answer took longer than {}: {advice}",
        signalbox_runtime::duration::format(time)
    );
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail)
        .header(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECS))
}

#[cfg(test)]
pub(crate) mod tests;
