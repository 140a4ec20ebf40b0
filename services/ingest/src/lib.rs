#![doc = include_str!("../README.md")]

mod accept;
mod acts;
mod admission;
mod batch;
mod cloudevents;
mod config;
mod facts;
mod http;
pub mod input;
mod leases;
mod letter;
mod letters;
mod msgpack;
mod nats;
mod orgs;
mod plain;
mod quota;
mod room;
mod sweep;
mod types;

use std::sync::Arc;

use futures::future::try_join_all;
use signalbox_access::Access;
use signalbox_broker::{Broker, patience::patiently};
use signalbox_proto::{Timestamp, subjects};
use signalbox_runtime::{Process, metrics::Counter};
use tokio::sync::watch;

pub use admission::Admission;
pub use config::{Config, UnknownOrgs};
pub use http::routes;
pub use types::Types;

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
    batches: Counter,
    repeats: Counter,
    rejected: Counter,
}

/// What the server lists the connection for inputs under.
const INPUT_CONNECTION: &str = "signalbox-input";
/// The same of the one for dead letters of what a quota refuses.
const REFUSALS_CONNECTION: &str = "signalbox-refusals";

/// Takes events in over NATS until the process is asked to stop. It follows the registered types for `types` and
/// the high-water marks for `admission`, which the routes share. What `access` knows is followed by whoever made it.
pub async fn run(
    broker: Broker,
    process: Process,
    config: Config,
    access: Access,
    types: Types,
    admission: Admission,
) -> Result<(), Error> {
    config.check()?;
    let health = process.health.component("ingest");
    health.not_ready("opening its streams");
    let (input, incarnation) = tokio::select! {
        () = process.shutdown.requested() => return Ok(()),
        opened = open(&broker) => opened?,
    };
    let metrics = Metrics {
        events: process
            .metrics
            .counter("ingest_events", "Events that came in, repeats included."),
        batches: process
            .metrics
            .counter("ingest_batches", "Inputs that held a batch of events, of none too."),
        repeats: process
            .metrics
            .counter("ingest_repeats", "Events that were known already."),
        rejected: process.metrics.counter(
            "ingest_rejected",
            "Inputs, and events of batches, that became dead letters.",
        ),
    };
    let config = Arc::new(config);
    let refusals = if admission.has_quota() {
        let connect = || Broker::connect(broker.config().clone(), REFUSALS_CONNECTION);
        tokio::select! {
            () = process.shutdown.requested() => return Ok(()),
            connected = patiently("the connection for refusals", connect) => connected?,
        }
    } else {
        broker.clone()
    };
    let letters = letters::Letters::new(broker.clone());
    let process = Process {
        tracer: process.tracer.for_role("ingest"),
        ..process
    };
    let orgs = orgs::Orgs::new(access.clone(), config.unknown_orgs);
    let reader = Arc::new(nats::Reader {
        acceptance: accept::Acceptance::new(broker.clone(), &config, types.clone()),
        orgs: orgs.clone(),
        tracer: process.tracer.clone(),
        incarnation,
    });
    let (swept, is_swept) = watch::channel(false);
    let sweeper = sweep::Sweeper {
        broker: broker.clone(),
        orgs,
        metrics: metrics.clone(),
        shutdown: process.shutdown.clone(),
        connections: input.reconnections(),
        swept,
        incarnation,
        next: 1,
    };
    let partitions = (0..broker.config().partitions).map(|number| {
        let partition = nats::Partition {
            broker: broker.clone(),
            refusals: refusals.clone(),
            letters: letters.clone(),
            input: input.clone(),
            swept: is_swept.clone(),
            process: process.clone(),
            reader: reader.clone(),
            admission: admission.clone(),
            config: config.clone(),
            metrics: metrics.clone(),
            health: process.health.component("ingest"),
            number,
        };
        partition.run()
    });
    let take = async {
        health.not_ready("reading the event types, keys and orgs");
        tokio::select! {
            () = process.shutdown.requested() => return Ok(()),
            ((), ()) = async { tokio::join!(types.complete(), access.complete()) } => {}
        }
        tokio::try_join!(try_join_all(partitions), async {
            sweeper.run().await;
            Ok(())
        })
        .map(|_| ())
    };
    tokio::select! {
        ended = take => ended?,
        // Only an error ends it.
        followed = types.follow(&broker) => followed?,
        followed = admission.follow() => followed?,
    }
    Ok(())
}

/// Waits for the streams and opens the connection for inputs; says when INGEST was made.
async fn open(broker: &Broker) -> Result<(Broker, Timestamp), signalbox_broker::Error> {
    patiently("the list of streams", || broker.ensure_streams()).await?;
    let state = patiently("the stream INGEST", || broker.stream_state(subjects::INGEST)).await?;
    let connect = || Broker::connect(broker.config().clone(), INPUT_CONNECTION);
    let input = patiently("the connection for inputs", connect).await?;
    Ok((input, state.created))
}
