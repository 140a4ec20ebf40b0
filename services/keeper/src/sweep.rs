//! What waits for no reason any more: parked deliveries that have expired, keys that wait for a person who has decided.
//!
//! **Invariant:** the dead letter and the record are stored before the parked message is removed. A
//! part is read ahead, so each message is looked at again just before it ends: a drain may have taken
//! it out. One that takes it in this very moment delivers it: the ledger knows which counts.

use std::time::Duration;

use signalbox_broker::{Error, browse::Stored};
use signalbox_proto::{DeadReason, Integration, Timestamp, integration::EXPIRE_AFTER_SECS, subjects, wire};

use crate::{Keeper, settle};

/// Messages read in one part.
const PART: usize = 1_000;
/// The pause between parts, so that a million parked deliveries are no burst of reads.
const PART_PAUSE: Duration = Duration::from_millis(20);

/// How long a key waits for a person before it is found out whether it still has to: what settles its dead letter lets
/// it go itself.
const HELD_FOR_MIN: Duration = Duration::from_secs(30);

/// Why a delivery that has waited too long ends.
pub(crate) const EXPIRED: &str = "it waited longer than expire_after";

/// Looks through PARKED again and again.
pub(crate) async fn run(keeper: Keeper) -> Result<(), Error> {
    loop {
        tokio::time::sleep(Duration::from_secs(keeper.config.sweep_every_s)).await;
        sweep(&keeper).await?;
        release(&keeper).await?;
    }
}

async fn sweep(keeper: &Keeper) -> Result<(), Error> {
    let broker = &keeper.broker;
    let mut next = 1;
    let mut expired = 0_u64;
    loop {
        let part = broker
            .read_from(subjects::PARKED, subjects::PARKED_ALL, next, PART)
            .await?;
        // The server ends a part before `PART` where its bytes are many: only an empty one is the end.
        let Some(last) = part.last() else { break };
        next = last.seq + 1;
        for stored in part {
            match end(keeper, &stored).await {
                Ok(ended) => expired += u64::from(ended),
                // One that can never be filed must not keep the others.
                Err(error) if !error.is_transient() => {
                    tracing::error!(%error, parked.seq = stored.seq, "a parked delivery cannot be filed");
                }
                Err(error) => return Err(error),
            }
        }
        tokio::time::sleep(PART_PAUSE).await;
    }
    if expired > 0 {
        tracing::info!(
            expired,
            "parked deliveries waited too long; they are kept with the dead letters"
        );
    }
    Ok(())
}

/// Lets keys go that wait for a person although their dead letter is settled: an act that settles it and is stopped
/// before it says so to the key leaves the key waiting.
async fn release(keeper: &Keeper) -> Result<(), Error> {
    let holding: Vec<Integration> = keeper.view.read(|view| {
        let holding = view.integrations.values();
        let holding = holding.filter(|integration| !integration.flow.order_on_dead.is_release());
        holding.cloned().collect()
    });
    for integration in holding {
        let Integration { provider, org, id, .. } = &integration;
        let released = keeper.broker.release_settled(provider, org, id, HELD_FOR_MIN).await?;
        for dead in released {
            tracing::info!(
                integration.id = integration.id,
                delivery.id = %dead.id,
                "a key waited behind a dead letter that is settled, and goes on"
            );
        }
    }
    Ok(())
}

/// Files a parked message that has waited too long or cannot be read; false where it stays.
async fn end(keeper: &Keeper, stored: &Stored) -> Result<bool, Error> {
    let broker = &keeper.broker;
    let decoded = wire::decode_delivery(&stored.body);
    if let Ok(delivery) = &decoded {
        let known = keeper.view.read(|view| {
            view.integrations
                .get(&delivery.integration)
                .map(Integration::expire_after)
        });
        if !is_expired(delivery.since, known, Timestamp::now()) {
            return Ok(false);
        }
    }
    let still = broker
        .read_from(subjects::PARKED, subjects::PARKED_ALL, stored.seq, 1)
        .await?;
    if still.first().is_none_or(|still| still.seq != stored.seq) {
        return Ok(false);
    }
    match decoded {
        Ok(delivery) => settle::end(keeper, &delivery, DeadReason::Expired, EXPIRED).await?,
        Err(error) => settle::bury_stored(broker, subjects::PARKED, stored, &error.to_string()).await?,
    }
    broker.remove(subjects::PARKED, stored.seq).await?;
    Ok(true)
}

/// Whether a delivery that began to wait then has expired; an integration that is not known any more
/// has the default.
pub(crate) fn is_expired(since: Timestamp, expire_after: Option<Duration>, now: Timestamp) -> bool {
    now >= since + expire_after.unwrap_or(Duration::from_secs(EXPIRE_AFTER_SECS.into()))
}

#[cfg(test)]
mod tests;
