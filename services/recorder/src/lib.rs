#![doc = include_str!("../README.md")]

mod config;
mod lease;
mod metrics;
mod prune;
mod record;
mod refused;
mod stream;
mod suspensions;

use std::sync::Arc;

use signalbox_broker::{Broker, patience::patiently};
use signalbox_runtime::{Process, health::ComponentHandle};
use signalbox_store::Store;

pub use config::Config;

/// The section's defaults, one comment a setting.
pub const CONFIG_TOML: &str = include_str!("../config.toml");

/// Why the role, or its duty for now, stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is wrong.
    #[error(transparent)]
    Setting(#[from] signalbox_runtime::Error),
    /// The broker failed.
    #[error(transparent)]
    Broker(#[from] signalbox_broker::Error),
    /// The database failed, or another recorder went on.
    #[error(transparent)]
    Store(#[from] signalbox_store::Error),
    /// A stream was made anew or lost its end while it was read.
    #[error("the stream {0} is not what it was")]
    Replaced(&'static str),
}

/// What every part of the recorder works with.
#[derive(Clone)]
pub(crate) struct Recorder {
    pub(crate) broker: Broker,
    pub(crate) store: Store,
    pub(crate) process: Process,
    pub(crate) health: ComponentHandle,
    pub(crate) config: Arc<Config>,
    pub(crate) told: metrics::Told,
    pub(crate) handed_back: Arc<refused::HandedBack>,
}

/// Records, whenever no other process does, until the process is asked to stop.
pub async fn run(broker: Broker, store: Store, process: Process, config: Config) -> Result<(), Error> {
    config.check()?;
    let health = process.health.component("recorder");
    health.not_ready("making the streams");
    tokio::select! {
        made = patiently("the list of streams", || broker.ensure_streams()) => {
            made?;
        }
        () = process.shutdown.requested() => return Ok(()),
    }
    let recorder = Recorder {
        told: metrics::Told::new(&process.metrics),
        handed_back: Arc::default(),
        config: Arc::new(config),
        broker,
        store,
        process,
        health,
    };
    lease::hold(&recorder, || async {
        tokio::select! {
            ended = record::run(&recorder) => ended,
            ended = suspensions::run(&recorder) => ended,
            never = prune::run(&recorder) => match never {},
        }
    })
    .await;
    Ok(())
}
