#![doc = include_str!("../README.md")]

mod acts;
mod apply;
mod config;
mod dead;
mod deliveries;
mod directory;
mod doctor;
mod event_types;
mod integrations;
mod plan;
mod preview;
mod problems;
mod providers;
mod request;
mod sealing;
mod spec;
mod story;
mod tail;
mod target;
mod test;
mod trace;
mod view;
mod why;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use signalbox_broker::Broker;
use signalbox_providers::{Installation, http::Client};
use signalbox_runtime::{AdminKey, Keyring, Process};

pub use config::Config;

use directory::Directory;

/// The section's defaults, one comment a setting.
pub const CONFIG_TOML: &str = include_str!("../config.toml");

/// Why the API stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory of integrations cannot be followed.
    #[error("cannot follow the integrations")]
    Follow(#[source] signalbox_broker::Error),
    /// The task that follows the directory ended by itself.
    #[error("following the integrations ended")]
    Ended,
}

/// The API. Clones share everything.
#[derive(Clone)]
pub struct Api {
    shared: Arc<Shared>,
}

/// What every handler sees.
struct Shared {
    broker: Broker,
    config: Config,
    keyring: Arc<Keyring>,
    key: AdminKey,
    installation: Installation,
    directory: Directory,
    /// One apply at a time in this process; between processes the revisions decide.
    applying: tokio::sync::Mutex<()>,
    /// For tests of integrations.
    client: tokio::sync::OnceCell<Client>,
    /// One permit a tail.
    tails: Arc<tokio::sync::Semaphore>,
}

type App = State<Arc<Shared>>;

impl Api {
    /// An API that knows no integrations until [`Api::run`] has read them.
    pub fn new(
        broker: Broker,
        config: Config,
        keyring: Arc<Keyring>,
        key: AdminKey,
        installation: Installation,
    ) -> Self {
        let shared = Shared {
            broker,
            config,
            keyring,
            key,
            installation,
            directory: Directory::default(),
            applying: tokio::sync::Mutex::default(),
            client: tokio::sync::OnceCell::new(),
            tails: Arc::new(tokio::sync::Semaphore::new(tail::TAILS_MAX)),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The routes, to be served alone or beside those of ingest.
    pub fn routes(&self) -> Router {
        let limit = DefaultBodyLimit::max(self.shared.config.body_bytes_max);
        let apply_limit = DefaultBodyLimit::max(self.shared.config.apply_bytes_max);
        Router::new()
            .route("/v1/integrations", get(integrations::list))
            .route(
                "/v1/integrations/{id}",
                get(integrations::show).delete(integrations::delete),
            )
            .route("/v1/integrations/{id}/pause", post(integrations::pause))
            .route("/v1/integrations/{id}/resume", post(integrations::resume))
            .route("/v1/integrations/{id}/test", post(test::test))
            .route("/v1/integrations/{id}/preview", post(preview::preview))
            .route("/v1/integrations/{id}/deliveries", get(deliveries::of_integration))
            .route("/v1/apply", post(apply::apply).layer(apply_limit))
            .route("/v1/export", get(integrations::export))
            .route("/v1/providers", get(providers::list))
            .route("/v1/providers/{name}", get(providers::show))
            .route("/v1/dead-letters", get(dead::list))
            .route("/v1/dead-letters/replay", post(acts::replay))
            .route("/v1/dead-letters/discard", post(acts::discard))
            .route("/v1/dead-letters/{id}", get(dead::show))
            .route("/v1/acts", get(acts::list))
            .route("/v1/acts/{id}", get(acts::show))
            .route("/v1/acts/{id}/cancel", post(acts::cancel))
            .route("/v1/acts/{id}/resume", post(acts::resume))
            .route("/v1/events/replay", post(acts::replay_events))
            .route("/v1/deliveries", get(deliveries::list))
            .route("/v1/deliveries/discard", post(acts::discard_waiting))
            .route("/v1/deliveries/retry", post(acts::retry_waiting))
            .route("/v1/deliveries/{id}", get(deliveries::show))
            .route("/v1/deliveries/{id}/retry", post(deliveries::retry))
            .route("/v1/event-types", get(event_types::list).post(event_types::create))
            .route(
                "/v1/event-types/{type}",
                get(event_types::show).put(event_types::put).delete(event_types::delete),
            )
            .route("/v1/events/{id}", get(trace::trace))
            .route("/v1/tail/{what}", get(tail::tail))
            .route("/v1/doctor", get(doctor::doctor))
            .route_layer(middleware::from_fn_with_state(self.shared.clone(), authenticate))
            .layer(limit)
            .with_state(self.shared.clone())
    }

    /// Follows the integrations until the process shuts down. The component `api` of its health is ready once all
    /// that were there at the start are known.
    pub async fn run(&self, process: &Process) -> Result<(), Error> {
        let component = process.health.component("api");
        let mut changes = signalbox_broker::directory::follow(&self.shared.broker)
            .await
            .map_err(Error::Follow)?;
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Some(change) => {
                        if self.shared.directory.take(change) {
                            component.ready();
                        }
                    }
                    None => return Err(Error::Ended),
                },
                () = process.shutdown.requested() => return Ok(()),
            }
        }
    }
}

async fn authenticate(State(shared): App, request: Request, next: Next) -> Response {
    match shared.key.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests;
