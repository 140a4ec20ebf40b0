#![doc = include_str!("../README.md")]

mod cloudevents;
mod config;
mod facts;
mod http;
pub mod input;
mod nats;
mod plain;

use std::sync::Arc;

use futures::future::try_join_all;
use signalbox_broker::Broker;
use signalbox_proto::subjects;
use signalbox_runtime::{Process, metrics::Counter};

pub use config::Config;
pub use http::routes;

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
}

#[derive(Clone)]
struct Metrics {
    events: Counter,
    repeats: Counter,
    rejected: Counter,
}

/// Takes events in over NATS until the process is asked to stop.
pub async fn run(broker: Broker, process: Process, config: Config) -> Result<(), Error> {
    config.check()?;
    let health = process.health.component("ingest");
    health.not_ready("opening its streams");
    broker.ensure_streams().await?;
    let incarnation = broker.stream_state(subjects::INGEST).await?.created;
    let metrics = Metrics {
        events: process.metrics.counter("ingest_events", "Inputs that became events, repeats included."),
        repeats: process.metrics.counter("ingest_repeats", "Inputs whose event was known already."),
        rejected: process.metrics.counter("ingest_rejected", "Inputs that became dead letters."),
    };
    let config = Arc::new(config);
    let process = Process { tracer: process.tracer.for_role("ingest"), ..process };
    let partitions = (0..broker.config().partitions).map(|number| {
        let partition = nats::Partition {
            broker: broker.clone(),
            process: process.clone(),
            config: config.clone(),
            metrics: metrics.clone(),
            health: process.health.component("ingest"),
            incarnation,
            number,
        };
        partition.run()
    });
    try_join_all(partitions).await?;
    Ok(())
}
