#![doc = include_str!("../README.md")]

mod attempt;
mod breaker;
mod config;
mod decide;
mod filing;
mod judge;
mod lease;
mod limits;
mod memory;
mod notices;
mod ordered;
mod pushers;
mod report;
mod shares;
mod streak;
mod targets;
mod things;
mod vault;
mod worker;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use signalbox_broker::{Broker, directory, patience::patiently};
use signalbox_proto::Name;
use signalbox_providers::{Client, Installation};
use signalbox_runtime::{Keyring, Process};
use tokio::task::JoinSet;

pub use config::Config;

use attempt::Means;
use pushers::Pushers;
use targets::Targets;
use things::Things;

/// The section's defaults, one comment a setting.
pub const CONFIG_TOML: &str = include_str!("../config.toml");

/// Why the role stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is wrong.
    #[error(transparent)]
    Setting(#[from] signalbox_runtime::Error),
    /// The broker failed in a way that trying again does not mend.
    #[error(transparent)]
    Broker(#[from] signalbox_broker::Error),
    /// The HTTP client could not be made.
    #[error(transparent)]
    Provider(#[from] signalbox_providers::Error),
    /// No such provider.
    #[error("there is no provider {name:?}; there are: {known}")]
    UnknownProvider {
        /// The name given.
        name: String,
        /// The names of all.
        known: String,
    },
    /// A worker's task failed.
    #[error("a delivery worker stopped: {0}")]
    Worker(#[source] tokio::task::JoinError),
}

/// Delivers for these providers (all of them where none is named) until the process is asked to stop.
///
/// A provider without an integration has no stream yet and costs nothing until it gets one.
pub async fn run(
    broker: Broker,
    process: Process,
    config: Config,
    providers: Vec<Name>,
    installation: Installation,
    keyring: Arc<Keyring>,
) -> Result<(), Error> {
    config.check()?;
    for name in &providers {
        if signalbox_providers::find(name.as_str()).is_none() {
            let known = signalbox_providers::registry()
                .iter()
                .map(|entry| entry.name)
                .collect::<Vec<_>>()
                .join(", ");
            return Err(Error::UnknownProvider {
                name: name.to_string(),
                known,
            });
        }
    }
    let health = process.health.component("delivery");
    health.not_ready("reading the integrations");
    patiently("the list of streams", || broker.ensure_streams()).await?;
    let tokens = vault::Tokens::new(broker.clone(), keyring.clone(), process.instance.clone());
    let client = Client::sharing_tokens(installation.egress, Arc::new(tokens))?;
    let means = Means {
        counting: Pushers::new(broker.clone(), &process.instance),
        remembering: Things::new(broker.clone(), &process.instance),
    };
    let config = Arc::new(config);
    let process = Process {
        tracer: process.tracer.for_role("delivery"),
        ..process
    };
    // Providers that were asked for by name get a worker at once; of all others, those in use.
    let mut started: BTreeSet<Name> = BTreeSet::new();
    let mut workers: JoinSet<Result<(), Error>> = JoinSet::new();
    let mut changes = patiently("the list of integrations", || directory::follow(&broker)).await?;
    let mut wanted: Vec<Name> = providers.clone();
    let mut complete = false;
    loop {
        for provider in wanted.drain(..) {
            let Some(entry) = signalbox_providers::find(provider.as_str()) else {
                continue;
            };
            if !started.insert(provider.clone()) {
                continue;
            }
            patiently("a provider's stream", || broker.ensure_provider(&provider)).await?;
            let targets = || Targets::new(entry, provider.clone(), keyring.clone(), installation.brand.clone());
            let worker = worker::Worker::new(
                broker.clone(),
                process.clone(),
                config.clone(),
                client.clone(),
                means.clone(),
                provider.clone(),
                targets(),
            );
            workers.spawn(async move { worker.run().await });
            workers.spawn(ordered::Ordered::run(
                broker.clone(),
                process.clone(),
                config.clone(),
                client.clone(),
                means.clone(),
                provider.clone(),
                targets(),
            ));
        }
        if complete {
            health.ready();
        }
        tokio::select! {
            () = process.shutdown.requested() => break,
            Some(ended) = workers.join_next() => ended.map_err(Error::Worker)??,
            change = changes.recv() => match change {
                Some(directory::Change::Integration(integration)) if providers.is_empty() => {
                    wanted.push(integration.provider);
                }
                Some(directory::Change::Complete) => complete = true,
                Some(_) => {}
                None => tokio::time::sleep(Duration::from_secs(1)).await,
            },
        }
    }
    while let Some(ended) = workers.join_next().await {
        ended.map_err(Error::Worker)??;
    }
    Ok(())
}
