//! Taking out what an integration has parked, at the pace of its target.
//!
//! **Invariant:** a parked delivery is acknowledged after the lane has it. The gate is opened on
//! condition that nothing is left, so that what parks meanwhile is either seen here or refused.

use std::{collections::BTreeSet, time::Duration};

use signalbox_broker::{Error, Puller, holding::Drain, hops::Hop, topology::Consumer};
use signalbox_proto::{
    Delivery, Integration, Lane, Phase, State, Timestamp, integration::Status, subjects, wire,
};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    Keeper,
    pace::{Pace, Window},
    settle,
};

/// The pause between two looks at the lanes while deliveries move.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The pause while the target takes nothing.
const LOOK_EVERY_STUCK: Duration = Duration::from_secs(1);
/// How long the server may take to hand out what is there.
const PULL_WAIT: Duration = Duration::from_millis(250);

/// Drains whatever is in the phase of draining.
pub(crate) async fn run(keeper: Keeper) -> Result<(), Error> {
    let mut running: BTreeSet<String> = BTreeSet::new();
    let mut drains: JoinSet<(String, Result<(), Error>)> = JoinSet::new();
    loop {
        let changed = keeper.view.changed.clone();
        let changed = changed.notified();
        release_deleted(&keeper).await?;
        for (integration, state) in keeper.view.in_phase(Phase::Draining) {
            if drains.len() < keeper.config.drains_max && running.insert(integration.id.clone()) {
                let keeper = keeper.clone();
                drains.spawn(async move { (integration.id.clone(), drain(&keeper, &integration, &state).await) });
            }
        }
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
            Some(ended) = drains.join_next(), if !drains.is_empty() => {
                if let Ok((id, result)) = ended {
                    if let Err(error) = result {
                        tracing::warn!(%error, integration.id = id, "a drain stopped; it begins anew");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                    running.remove(&id);
                }
            }
        }
    }
}

/// What a deleted integration has parked is taken out as well: its deliveries end as discarded when a
/// worker meets them. Whoever deleted it may have died before letting them go.
async fn release_deleted(keeper: &Keeper) -> Result<(), Error> {
    for phase in [Phase::Paused, Phase::Suspended] {
        for (integration, _) in keeper.view.in_phase(phase) {
            if integration.status == Status::Deleted {
                keeper.broker.resume(&integration.id, Drain::default(), Timestamp::now()).await?;
            }
        }
    }
    Ok(())
}

async fn drain(keeper: &Keeper, integration: &Integration, begun: &State) -> Result<(), Error> {
    let broker = &keeper.broker;
    let id = integration.id.as_str();
    tracing::info!(integration.id = id, "draining what waits");
    let mut puller: Option<Puller> = None;
    let mut window = Window::new();
    let mut pace = Pace::new(begun.drain_per_second, Instant::now());
    let mut taken = 0_u64;
    loop {
        let state = keeper.view.state(id);
        if state.phase != Phase::Draining || state.drain_per_second != begun.drain_per_second {
            // Held again, or let go at another pace: whoever comes next begins anew.
            break;
        }
        let parked = broker.in_parked(&integration.org, id).await?;
        if parked == 0 {
            if let Some(open) = broker.open(&integration.org, id, Timestamp::now()).await? {
                tracing::info!(integration.id = id, taken, "drained; deliveries go live again");
                drop(open);
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        let there = broker.in_lanes(&integration.provider, id).await?;
        let more = window.more(there).min(parked);
        if more == 0 {
            tokio::time::sleep(if there > 0 { LOOK_EVERY_STUCK / 4 } else { LOOK_EVERY }).await;
            continue;
        }
        let puller = match &mut puller {
            Some(puller) => puller,
            none => none.insert(Puller::open(broker, Consumer::unpark(&integration.org, id)).await?),
        };
        let moved = take_out(keeper, puller, more, &state, &mut pace).await?;
        taken += moved;
        tokio::time::sleep(if moved == 0 { LOOK_EVERY_STUCK } else { LOOK_EVERY }).await;
    }
    if let Some(puller) = puller {
        puller.close().await;
    }
    Ok(())
}

/// Moves up to so many deliveries from PARKED to the bulk lane, in order.
async fn take_out(keeper: &Keeper, puller: &mut Puller, more: u64, state: &State, pace: &mut Pace) -> Result<u64, Error> {
    let broker = &keeper.broker;
    let mut left = usize::try_from(more).unwrap_or(usize::MAX);
    let mut receipts = Vec::new();
    while left > 0 {
        let Ok(message) = tokio::time::timeout(PULL_WAIT, puller.next(left)).await else { break };
        left -= 1;
        let delivery = match wire::decode_delivery(&message.body) {
            Ok(delivery) => delivery,
            Err(error) => {
                settle::bury_unread(broker, subjects::PARKED, &message, &error.to_string()).await?;
                message.ack(broker).await?;
                continue;
            }
        };
        if state.drop_before.is_some_and(|before| delivery.since < before) {
            let why = "dropped on resume, as it was older than asked for";
            settle::end(keeper, &delivery, signalbox_proto::DeadReason::Discarded, why).await?;
            message.ack(broker).await?;
            continue;
        }
        let turn = pace.take(Instant::now());
        if turn > Instant::now() {
            tokio::time::sleep_until(turn).await;
        }
        let next = Delivery { lane: Lane::Bulk, ..delivery.next_hop() };
        receipts.push((broker.send_hop(&next, Hop::Deliver(Lane::Bulk)).await?, message));
        if receipts.len() >= 256 || state.drain_per_second.is_some() {
            settle_receipts(keeper, &mut receipts).await?;
        }
        if state.drain_per_second.is_some() && keeper.view.state(&delivery.integration).phase != Phase::Draining {
            break;
        }
    }
    settle_receipts(keeper, &mut receipts).await?;
    Ok(more - left as u64)
}

async fn settle_receipts(
    keeper: &Keeper,
    receipts: &mut Vec<(signalbox_broker::Receipt, signalbox_broker::Message)>,
) -> Result<(), Error> {
    for (receipt, message) in receipts.drain(..) {
        receipt.await.map_err(|source| Error::Publish { subject: message.subject.to_string(), source })?;
        message.ack(&keeper.broker).await?;
    }
    Ok(())
}
