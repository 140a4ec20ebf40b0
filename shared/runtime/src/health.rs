//! Whether this process lives and can work, and the admin server that says so.
//!
//! `/healthz` answers 200 while the process runs, `/readyz` 200 when every component is ready and else 503, with a JSON
//! list of them in both cases. A component that works with less than it should is ready, and says what it lacks;
//! `/metrics` is the text of [`Metrics`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State as Shared,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde::Serialize;
use tokio::{net::TcpListener, sync::watch};
use tracing::{info, warn};

use crate::{
    Metrics, Shutdown, metrics,
    serve::{self, ADMIN_CONNECTIONS_MAX, Bounds},
};

/// How long open admin requests may take after the end was asked for.
const GRACE: Duration = Duration::from_secs(2);

/// The state of every component of this process. Clones share it.
#[derive(Clone, Debug)]
pub struct Health {
    components: Arc<watch::Sender<BTreeMap<String, State>>>,
}

/// What one component says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Degraded(String),
    NotReady(String),
}

impl State {
    const fn is_ready(&self) -> bool {
        matches!(self, Self::Ready | Self::Degraded(_))
    }

    fn reason(&self) -> Option<String> {
        match self {
            Self::Ready => None,
            Self::Degraded(reason) | Self::NotReady(reason) => Some(reason.clone()),
        }
    }
}

/// Through which one component tells its state. Clones speak for the same component.
#[derive(Clone, Debug)]
pub struct ComponentHandle {
    name: String,
    components: Arc<watch::Sender<BTreeMap<String, State>>>,
}

/// The body of `/readyz`.
#[derive(Debug, Serialize)]
struct Report {
    ready: bool,
    components: Vec<ComponentReport>,
}

#[derive(Debug, Serialize)]
struct ComponentReport {
    name: String,
    ready: bool,
    /// Of one that is ready: whether it lacks something.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    degraded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Health {
    /// No components yet: a process that has not come so far is not ready.
    pub fn new() -> Self {
        Self {
            components: Arc::new(watch::Sender::default()),
        }
    }

    /// Adds a component, not ready because it is `starting`. A name that is there already starts again.
    pub fn component(&self, name: &str) -> ComponentHandle {
        self.components.send_modify(|components| {
            components.insert(name.to_owned(), State::NotReady("starting".to_owned()));
        });
        ComponentHandle {
            name: name.to_owned(),
            components: Arc::clone(&self.components),
        }
    }

    /// Whether there are components and all are ready.
    pub fn is_ready(&self) -> bool {
        all_ready(&self.components.borrow())
    }

    /// Waits until [`Self::is_ready`].
    pub async fn ready(&self) {
        let mut states = self.components.subscribe();
        // The sender lives in `self`, so the channel cannot close meanwhile.
        let _ready = states
            .wait_for(all_ready)
            .await
            .expect("the sender outlives this borrow of it");
    }

    /// The components that are not ready, with their reasons.
    pub fn not_ready(&self) -> Vec<(String, String)> {
        let components = self.components.borrow();
        components
            .iter()
            .filter_map(|(name, state)| match state {
                State::Ready | State::Degraded(_) => None,
                State::NotReady(reason) => Some((name.clone(), reason.clone())),
            })
            .collect()
    }

    fn report(&self) -> Report {
        let components = self.components.borrow();
        Report {
            ready: all_ready(&components),
            components: components
                .iter()
                .map(|(name, state)| ComponentReport {
                    name: name.clone(),
                    ready: state.is_ready(),
                    degraded: matches!(state, State::Degraded(_)),
                    reason: state.reason(),
                })
                .collect(),
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

fn all_ready(components: &BTreeMap<String, State>) -> bool {
    !components.is_empty() && components.values().all(State::is_ready)
}

impl ComponentHandle {
    /// The component can work.
    pub fn ready(&self) {
        if self.set(State::Ready) {
            info!(component = self.name, "ready");
        }
    }

    /// The component cannot work, and why: a short sentence for operators, without secrets.
    pub fn not_ready(&self, reason: impl Into<String>) {
        let reason = reason.into();
        if self.set(State::NotReady(reason.clone())) {
            warn!(component = self.name, reason, "not ready");
        }
    }

    /// The component goes on with less than it should have, and why: as in [`Self::not_ready`]. The process stays
    /// ready, as nothing is gained by stopping it.
    pub fn degraded(&self, reason: impl Into<String>) {
        let reason = reason.into();
        if self.set(State::Degraded(reason.clone())) {
            warn!(component = self.name, reason, "degraded");
        }
    }

    /// True if that is news.
    fn set(&self, state: State) -> bool {
        self.components.send_if_modified(|components| {
            let news = components.get(&self.name) != Some(&state);
            if news {
                components.insert(self.name.clone(), state);
            }
            news
        })
    }
}

/// Answers on the admin port until `shutdown` is requested.
///
/// A process that wants to be seen while it drains passes a [`Shutdown`] of its own and triggers it last.
pub async fn serve(listener: TcpListener, health: Health, metrics: Metrics, shutdown: Shutdown) {
    let bounds = Bounds::new(ADMIN_CONNECTIONS_MAX, GRACE);
    serve::serve(listener, None, router(health, metrics), bounds, shutdown).await;
}

fn router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state((health, metrics))
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(Shared((health, _)): Shared<(Health, Metrics)>) -> impl IntoResponse {
    let report = health.report();
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report))
}

async fn scrape(Shared((_, metrics)): Shared<(Health, Metrics)>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.encode())
}

#[cfg(test)]
mod tests;
