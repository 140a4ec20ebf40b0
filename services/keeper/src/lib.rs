#![doc = include_str!("../README.md")]

mod act;
mod bounds;
mod config;
mod digest;
mod drain;
mod duty;
mod evidence;
mod health;
mod input;
mod janitor;
mod ledger;
mod look;
mod pace;
mod probe;
mod settle;
mod sweep;
mod view;

use std::{sync::Arc, time::Duration};

use signalbox_broker::Broker;
use signalbox_runtime::Process;

pub use config::Config;
pub use health::Targets;

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

/// What every duty works with.
#[derive(Clone)]
pub(crate) struct Keeper {
    pub(crate) broker: Broker,
    pub(crate) process: Process,
    pub(crate) config: Arc<Config>,
    pub(crate) view: view::Shared,
}

/// Does the duties that no other keeper holds until the process is asked to stop.
pub async fn run(broker: Broker, process: Process, config: Config, targets: Targets) -> Result<(), Error> {
    config.check()?;
    let health = process.health.component("keeper");
    health.not_ready("reading the integrations");
    broker.ensure_streams().await?;
    let view = view::follow(&broker).await?;
    let lease = Duration::from_secs(config.lease_s);
    let every = Duration::from_secs;
    let keeper = Keeper {
        broker: broker.clone(),
        process: process.clone(),
        config: Arc::new(config),
        view,
    };
    health.ready();
    let config = &keeper.config;
    let room = janitor::Room::new(&process.metrics);
    let rows = look::Rows::new(&process.metrics);
    let ledger = ledger::Gauges::new(&process.metrics);
    let (targets, checks) = (Arc::new(targets), Arc::new(health::Told::new(&process.metrics)));
    tokio::join!(
        duty::hold(&keeper, "drain", lease, || drain::run(keeper.clone())),
        duty::hold(&keeper, "acts", lease, || act::run(keeper.clone())),
        duty::hold(&keeper, "probe", lease, || duty::every(every(5), || probe::look(
            &keeper
        ))),
        duty::hold(&keeper, "digests", lease, || digest::run(keeper.clone())),
        duty::hold(&keeper, "health", lease, || health::run(
            keeper.clone(),
            targets.clone(),
            checks.clone()
        )),
        duty::hold(&keeper, "sweep", lease, || sweep::run(keeper.clone())),
        duty::hold(&keeper, "janitor", lease, || janitor::run(&keeper, &room)),
        duty::hold(&keeper, "look", lease, || duty::every(
            every(config.look_every_s),
            || look::look(&keeper, &rows)
        )),
        duty::hold(&keeper, "ledger", lease, || ledger::run(&keeper, &ledger)),
    );
    Ok(())
}
