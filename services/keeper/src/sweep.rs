//! Expiry of what is parked.
//!
//! **Invariant:** the dead letter and the record are stored before the parked message is removed. A
//! drain that takes the same one out meanwhile delivers it: the ledger knows which counts.

use std::time::Duration;

use signalbox_broker::Error;
use signalbox_proto::{DeadReason, Integration, Timestamp, integration::EXPIRE_AFTER_SECS, subjects, wire};

use crate::{Keeper, settle};

/// Messages read in one part.
const PART: usize = 1_000;
/// The pause between parts, so that a million parked deliveries are no burst of reads.
const PART_PAUSE: Duration = Duration::from_millis(20);

/// Looks through PARKED again and again.
pub(crate) async fn run(keeper: Keeper) -> Result<(), Error> {
    loop {
        tokio::time::sleep(Duration::from_secs(keeper.config.sweep_every_s)).await;
        sweep(&keeper).await?;
    }
}

async fn sweep(keeper: &Keeper) -> Result<(), Error> {
    let broker = &keeper.broker;
    let mut next = 1;
    let mut expired = 0_u64;
    loop {
        let part = broker.read_from(subjects::PARKED, subjects::PARKED_ALL, next, PART).await?;
        let Some(last) = part.last() else { break };
        next = last.seq + 1;
        let ended = part.len() < PART;
        for stored in part {
            match wire::decode_delivery(&stored.body) {
                Ok(delivery) => {
                    let default = Duration::from_secs(EXPIRE_AFTER_SECS.into());
                    let known = keeper.view.read(|view| view.integrations.get(&delivery.integration).map(Integration::expire_after));
                    if Timestamp::now() < delivery.since + known.unwrap_or(default) {
                        continue;
                    }
                    settle::end(keeper, &delivery, DeadReason::Expired, "it waited longer than expire_after").await?;
                }
                Err(error) => settle::bury_stored(broker, subjects::PARKED, &stored, &error.to_string()).await?,
            }
            broker.remove(subjects::PARKED, stored.seq).await?;
            expired += 1;
        }
        if ended {
            break;
        }
        tokio::time::sleep(PART_PAUSE).await;
    }
    if expired > 0 {
        tracing::info!(expired, "parked deliveries waited too long; they are kept with the dead letters");
    }
    Ok(())
}
