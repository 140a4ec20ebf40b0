#![doc = include_str!("../README.md")]

mod config;
mod hand;
mod partition;
mod ranges;
mod recent;
mod view;

use std::sync::{
    Arc, RwLock,
    atomic::{AtomicBool, AtomicUsize},
};

use futures::future::try_join_all;
use signalbox_broker::{
    Broker,
    directory::{self, Change},
    patience::patiently,
};
use signalbox_runtime::{Process, metrics::Counter};
use tokio::sync::{Mutex, mpsc};

pub use config::Config;

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
    no_route: Counter,
    deliveries: Counter,
    parked: Counter,
    erring: Counter,
    unstorable: Counter,
}

/// Routes until the process is asked to stop.
pub async fn run(broker: Broker, process: Process, config: Config) -> Result<(), Error> {
    config.check()?;
    let health = process.health.component("router");
    health.not_ready("reading the integrations");
    let counter = |name, help| process.metrics.counter(name, help);
    let metrics = Metrics {
        events: counter("router_events", "Events routed."),
        repeats: counter("router_repeats", "Events that came again and were not routed again."),
        no_route: counter("router_no_route", "Events that matched nothing."),
        deliveries: counter("router_deliveries", "Deliveries published, parked ones included."),
        parked: counter("router_parked", "Deliveries parked by the router."),
        erring: counter("router_erring_filters", "Deliveries that died of an erring filter."),
        unstorable: counter(
            "router_unstorable",
            "Deliveries that died because no stream takes them.",
        ),
    };
    let view: view::Shared = Arc::new(RwLock::default());
    let mut changes = tokio::select! {
        biased;
        () = process.shutdown.requested() => return Ok(()),
        changes = first_snapshot(&broker, &view) => changes?,
    };
    let follower = {
        let view = view.clone();
        tokio::spawn(async move {
            while let Some(change) = changes.recv().await {
                view.write().expect("no holder of the lock panics").apply(change);
            }
        })
    };
    let config = Arc::new(config);
    let alone = Arc::new(Mutex::new(()));
    let process = Process {
        tracer: process.tracer.for_role("router"),
        ..process
    };
    let partitions = (0..broker.config().partitions).map(|number| {
        partition::Partition {
            broker: broker.clone(),
            process: process.clone(),
            config: config.clone(),
            metrics: metrics.clone(),
            health: process.health.component("router"),
            view: view.clone(),
            alone: alone.clone(),
            refusing: AtomicBool::new(false),
            owed: AtomicUsize::new(0),
            number,
        }
        .run()
    });
    let ended = try_join_all(partitions).await;
    follower.abort();
    ended?;
    Ok(())
}

/// Nothing is pulled before the first snapshot is complete.
async fn first_snapshot(
    broker: &Broker,
    view: &view::Shared,
) -> Result<mpsc::Receiver<Change>, signalbox_broker::Error> {
    patiently("making the streams", || broker.ensure_streams()).await?;
    let mut changes = patiently("following the integrations", || directory::follow(broker)).await?;
    loop {
        match changes.recv().await {
            Some(Change::Complete) | None => return Ok(changes),
            Some(change) => view.write().expect("no holder of the lock panics").apply(change),
        }
    }
}
