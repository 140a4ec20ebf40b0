//! Duties: each done by one keeper at a time, whichever holds its lease.
//!
//! A duty may be stopped at any await, by a lost lease as by a kill: what it does is in an order that
//! bears it.

use std::time::Duration;

use signalbox_broker::Error;

use crate::Keeper;

/// Does a duty whenever its lease can be had, until the process is asked to stop.
pub(crate) async fn hold<F>(keeper: &Keeper, name: &'static str, ttl: Duration, duty: impl Fn() -> F)
where
    F: Future<Output = Result<(), Error>>,
{
    let shutdown = &keeper.process.shutdown;
    let key = format!("keeper.{name}");
    while !shutdown.is_requested() {
        let lease = match keeper.broker.acquire(&key, &keeper.process.instance, ttl).await {
            Ok(Some(lease)) => lease,
            Ok(None) => {
                wait(keeper, ttl / 3).await;
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, duty = name, "cannot ask for the lease of a duty");
                wait(keeper, ttl / 3).await;
                continue;
            }
        };
        tracing::debug!(duty = name, "holding a duty");
        let mut lease = lease;
        tokio::select! {
            () = shutdown.requested() => {
                if let Err(error) = keeper.broker.release(lease).await {
                    tracing::debug!(%error, duty = name, "a lease is left to expire");
                }
                return;
            }
            () = keeper.broker.keep(&mut lease) => tracing::warn!(duty = name, "lost the lease of a duty"),
            ended = duty() => {
                if let Err(error) = ended {
                    tracing::warn!(%error, duty = name, "a duty failed; it begins anew");
                }
                wait(keeper, Duration::from_secs(1)).await;
                if let Err(error) = keeper.broker.release(lease).await {
                    tracing::debug!(%error, duty = name, "a lease is left to expire");
                }
            }
        }
    }
}

async fn wait(keeper: &Keeper, time: Duration) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = keeper.process.shutdown.requested() => {}
    }
}

/// Does something again and again, with a pause in between; ends with its first error.
pub(crate) async fn every<F>(pause: Duration, look: impl Fn() -> F) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>>,
{
    loop {
        look().await?;
        tokio::time::sleep(pause).await;
    }
}
