//! What waits for no reason any more: parked deliveries that have expired, keys that wait for a person who has decided.
//!
//! **Invariant:** the dead letter and the record are stored before the parked message is removed. A
//! part is read ahead, so each message is looked at again just before it ends: a drain may have taken
//! it out. One that takes it in this very moment delivers it: the ledger knows which counts.

use std::time::Duration;

use signalbox_broker::{Error, browse::Stored};
use signalbox_proto::{DeadReason, Integration, Timestamp, integration::EXPIRE_AFTER_SECS, subjects, wire};

use crate::{Keeper, settle};

mod seen;

use seen::Seen;

/// Messages read in one part: few, as the server does nothing else while it collects them.
const PART: usize = 200;
/// The pause between parts, so that a million parked deliveries are no burst of reads.
const PART_PAUSE: Duration = Duration::from_millis(20);

/// How long a delivery may wait where nothing says otherwise.
const DEFAULT: Duration = Duration::from_secs(EXPIRE_AFTER_SECS as u64);

/// How long a key waits for a person before it is found out whether it still has to: what settles its dead letter lets
/// it go itself.
const HELD_FOR_MIN: Duration = Duration::from_secs(30);

/// Why a delivery that has waited too long ends.
pub(crate) const EXPIRED: &str = "it waited longer than expire_after";

/// Looks through PARKED again and again: through what is new, and what has expired since it was read.
pub(crate) async fn run(keeper: Keeper) -> Result<(), Error> {
    let mut seen = Seen::default();
    loop {
        tokio::time::sleep(Duration::from_secs(keeper.config.sweep_every_s)).await;
        sweep(&keeper, &mut seen).await?;
        release(&keeper).await?;
    }
}

async fn sweep(keeper: &Keeper, seen: &mut Seen) -> Result<(), Error> {
    let state = keeper.broker.stream_state(subjects::PARKED).await?;
    keeper.view.read(|view| {
        let expire_after = |id: &str| view.integrations.get(id).map(Integration::expire_after);
        seen.look((state.first_seq, state.last_seq), expire_after, DEFAULT);
    });
    let mut expired = 0;
    for (first, last) in seen.due(Timestamp::now()) {
        expired += read(keeper, seen, first, Some(last)).await?;
    }
    expired += read(keeper, seen, seen.next(), None).await?;
    if expired > 0 {
        tracing::info!(
            expired,
            "parked deliveries waited too long; they are kept with the dead letters"
        );
    }
    Ok(())
}

/// Reads PARKED from one sequence to another, or to its end, and ends what has expired. Returns how many did.
async fn read(keeper: &Keeper, seen: &mut Seen, first: u64, last: Option<u64>) -> Result<u64, Error> {
    let mut from = first;
    let mut expired = 0;
    loop {
        let mut part = keeper
            .broker
            .read_from(subjects::PARKED, subjects::PARKED_ALL, from, PART)
            .await?;
        part.retain(|stored| last.is_none_or(|last| stored.seq <= last));
        // The server ends a part before `PART` where its bytes are many: only an empty one is the end.
        let Some(read_to) = part.last().map(|stored| stored.seq) else {
            if let Some(last) = last.filter(|last| *last >= from) {
                seen.read(from, last, None);
            }
            return Ok(expired);
        };
        let mut due: Option<Timestamp> = None;
        for stored in part {
            match end(keeper, seen, &stored).await {
                Ok(None) => expired += 1,
                Ok(Some(stays)) => due = Some(due.map_or(stays, |due| due.min(stays))),
                // One that can never be filed must not keep the others. It is tried again with the next sweep.
                Err(error) if !error.is_transient() => {
                    tracing::error!(%error, parked.seq = stored.seq, "a parked delivery cannot be filed");
                    due = Some(Timestamp::default());
                }
                Err(error) => return Err(error),
            }
        }
        seen.read(from, read_to, due);
        from = read_to + 1;
        match last {
            Some(last) if from > last => return Ok(expired),
            // Still due, should the next read fail.
            Some(last) => seen.read(from, last, Some(Timestamp::default())),
            None => {}
        }
        tokio::time::sleep(PART_PAUSE).await;
    }
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

/// Files a parked message that has waited too long or cannot be read; where it stays, says when it expires.
async fn end(keeper: &Keeper, seen: &mut Seen, stored: &Stored) -> Result<Option<Timestamp>, Error> {
    let broker = &keeper.broker;
    let decoded = wire::decode_delivery(&stored.body);
    if let Ok(delivery) = &decoded {
        let known = keeper.view.read(|view| {
            view.integrations
                .get(&delivery.integration)
                .map(Integration::expire_after)
        });
        seen.judged_by(&delivery.integration, known);
        let due = expires_at(delivery.since, known);
        if due > Timestamp::now() {
            return Ok(Some(due));
        }
    }
    let still = broker
        .read_from(subjects::PARKED, subjects::PARKED_ALL, stored.seq, 1)
        .await?;
    if still.first().is_none_or(|still| still.seq != stored.seq) {
        return Ok(None);
    }
    match decoded {
        Ok(delivery) => settle::end(keeper, &delivery, DeadReason::Expired, EXPIRED).await?,
        Err(error) => settle::bury_stored(broker, subjects::PARKED, stored, &error.to_string()).await?,
    }
    broker.remove(subjects::PARKED, stored.seq).await?;
    Ok(None)
}

/// When a delivery that began to wait then expires; an integration that is not known any more has the default.
fn expires_at(since: Timestamp, expire_after: Option<Duration>) -> Timestamp {
    since + expire_after.unwrap_or(DEFAULT)
}

/// Whether a delivery that began to wait then has expired.
pub(crate) fn is_expired(since: Timestamp, expire_after: Option<Duration>, now: Timestamp) -> bool {
    now >= expires_at(since, expire_after)
}

#[cfg(test)]
mod tests;
