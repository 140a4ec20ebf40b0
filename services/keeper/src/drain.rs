//! Taking out what an integration has parked, at the pace of its target.
//!
//! **Invariant:** a parked delivery is acknowledged after the lane has it. The gate is opened on
//! condition that nothing is left, so that what parks meanwhile is either seen here or refused.
//!
//! So many integrations are drained at a time; where more wait, each has its turn. A drain ends with
//! its consumer: what was taken and not acknowledged comes again first.

mod turns;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use signalbox_broker::{
    Error, Message, Puller, Receipt,
    holding::Drain,
    hops::{self, Hop},
    topology::Consumer,
};
use signalbox_proto::{
    DeadReason, Delivery, Integration, Lane, Phase, State, Timestamp, integration::Status, subjects, wire,
};
use tokio::{
    task::{Id, JoinSet},
    time::Instant,
};

use crate::{
    Keeper,
    pace::{Pace, Window},
    settle,
};
use turns::Turns;

/// How long a drain keeps its place while others wait for one.
const TURN: Duration = Duration::from_secs(30);
/// The longest time without a look at who waits.
const CHOOSE_EVERY: Duration = Duration::from_secs(5);
/// The pause between two looks at the lanes; doubles while nothing moves.
const LOOK_FIRST: Duration = Duration::from_millis(50);
/// The longest such pause.
const LOOK_LAST: Duration = Duration::from_secs(3);
/// How long the server may take to hand out what is there.
const PULL_WAIT: Duration = Duration::from_millis(250);
/// Publishes under way at most before their acknowledgements are awaited, and how long they gather.
const RECEIPTS_MAX: usize = 256;
const RECEIPTS_AGE: Duration = Duration::from_secs(1);
/// Of a slow drain, what is pulled ahead at most: it is held less long than the server waits.
const AHEAD_SECS: usize = 5;
/// A schedule that is due within this time is left to fire.
const FIRES_SOON: Duration = Duration::from_secs(2);
/// Why a delivery that is too old is not taken out.
const DROPPED: &str = "dropped on resume, as it was older than asked for";

/// Drains whatever is in the phase of draining.
pub(crate) async fn run(keeper: Keeper) -> Result<(), Error> {
    let mut turns = Turns::default();
    let mut drains: JoinSet<Result<(), Error>> = JoinSet::new();
    let mut names: HashMap<Id, String> = HashMap::new();
    loop {
        let changed = keeper.view.changed.clone();
        let changed = changed.notified();
        release_deleted(&keeper).await;
        let mut draining: BTreeMap<String, (Integration, State)> = keeper
            .view
            .in_phase(Phase::Draining)
            .into_iter()
            .map(|(integration, state)| (integration.id.clone(), (integration, state)))
            .collect();
        let now = Instant::now();
        for id in turns.begin(draining.keys().map(String::as_str), keeper.config.drains_max, now) {
            if let Some((integration, state)) = draining.remove(&id) {
                let keeper = keeper.clone();
                let task = drains.spawn(async move { drain(&keeper, &integration, &state).await });
                names.insert(task.id(), id);
            }
        }
        let next = turns
            .next()
            .map_or(now + CHOOSE_EVERY, |next| next.min(now + CHOOSE_EVERY));
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep_until(next) => {}
            Some(ended) = drains.join_next_with_id(), if !drains.is_empty() => {
                let (task, failed) = match ended {
                    Ok((task, Ok(()))) => (task, None),
                    Ok((task, Err(error))) => (task, Some(settle::why(&error))),
                    // A panic: a bug of ours, which must not keep the place for ever.
                    Err(error) => (error.id(), Some(error.to_string())),
                };
                if let Some(id) = names.remove(&task) {
                    if let Some(error) = &failed {
                        tracing::warn!(error, integration.id = id, "a drain stopped; it begins anew");
                    }
                    turns.end(&id, failed.is_some(), Instant::now());
                }
            }
        }
    }
}

/// What a deleted integration has parked is taken out as well: its deliveries end as discarded when a
/// worker meets them. Whoever deleted it may have died before letting them go.
async fn release_deleted(keeper: &Keeper) {
    for phase in [Phase::Paused, Phase::Suspended] {
        for (integration, _) in keeper.view.in_phase(phase) {
            if integration.status == Status::Deleted
                && let Err(error) = keeper
                    .broker
                    .resume(&integration.id, Drain::default(), Timestamp::now())
                    .await
            {
                tracing::warn!(%error, integration.id = %integration.id, "cannot let go what a deleted integration holds yet");
            }
        }
    }
}

async fn drain(keeper: &Keeper, integration: &Integration, begun: &State) -> Result<(), Error> {
    tracing::info!(integration.id = %integration.id, "draining what waits");
    let mut puller: Option<Puller> = None;
    let drained = take_turn(keeper, integration, begun, &mut puller).await;
    if let Some(puller) = puller {
        puller.close().await;
    }
    drained
}

/// Drains until nothing is left, until the integration is held again, or until the turn is over.
async fn take_turn(
    keeper: &Keeper,
    integration: &Integration,
    begun: &State,
    puller: &mut Option<Puller>,
) -> Result<(), Error> {
    let broker = &keeper.broker;
    let id = integration.id.as_str();
    let turn = Instant::now() + TURN;
    let mut window = Window::new();
    let mut pace = Pace::new(begun.drain_per_second, Instant::now());
    let mut pause = LOOK_FIRST;
    let mut taken = 0_u64;
    release_probes(keeper, integration, begun).await?;
    loop {
        let state = keeper.view.state(id);
        if state.phase != Phase::Draining || state.drain_per_second != begun.drain_per_second {
            // Held again, or let go at another pace: whoever comes next begins anew.
            return Ok(());
        }
        if is_over(keeper, turn) {
            tracing::debug!(
                integration.id = id,
                taken,
                "others wait to be drained; this one goes on later"
            );
            return Ok(());
        }
        let parked = broker.in_parked(&integration.org, id).await?;
        let mut moved = 0;
        if parked == 0 {
            if broker.open(&integration.org, id, Timestamp::now()).await?.is_some() {
                tracing::info!(integration.id = id, taken, "drained; deliveries go live again");
                return Ok(());
            }
        } else {
            let there = broker.in_lanes(&integration.provider, id).await?;
            let more = window.more(there).min(parked);
            if more > 0 {
                let puller = match &mut *puller {
                    Some(puller) => puller,
                    none => none.insert(Puller::open(broker, Consumer::unpark(&integration.org, id)).await?),
                };
                moved = take_out(keeper, puller, more, &state, &mut pace, turn).await?;
            }
        }
        taken += moved;
        pause = if moved > 0 {
            LOOK_FIRST
        } else {
            (pause * 2).min(LOOK_LAST)
        };
        tokio::time::sleep(pause).await;
    }
}

/// Whether a drain gives its place to another.
fn is_over(keeper: &Keeper, turn: Instant) -> bool {
    Instant::now() >= turn && keeper.view.count(Phase::Draining) > keeper.config.drains_max
}

/// Moves up to so many deliveries from PARKED to the bulk lane, in order.
async fn take_out(
    keeper: &Keeper,
    puller: &mut Puller,
    more: u64,
    state: &State,
    pace: &mut Pace,
    turn: Instant,
) -> Result<u64, Error> {
    let broker = &keeper.broker;
    let ahead = state
        .drain_per_second
        .map_or(usize::MAX, |rate| (rate as usize).saturating_mul(AHEAD_SECS).max(1));
    let mut left = usize::try_from(more).unwrap_or(usize::MAX);
    let mut receipts = Vec::new();
    let mut gathering = Instant::now();
    while left > 0 {
        let Ok(message) = tokio::time::timeout(PULL_WAIT, puller.next(left.min(ahead))).await else {
            break;
        };
        left -= 1;
        let delivery = match wire::decode_delivery(&message.body) {
            Ok(delivery) => delivery,
            Err(error) => {
                settle::bury_unread(broker, subjects::PARKED, &message, &error.to_string()).await?;
                message.ack(broker).await?;
                continue;
            }
        };
        if is_dropped(&delivery, state) {
            settle::end(keeper, &delivery, DeadReason::Discarded, DROPPED).await?;
            message.ack(broker).await?;
            continue;
        }
        let at = pace.take(Instant::now());
        if at > Instant::now() {
            tokio::time::sleep_until(at).await;
        }
        let publish = hops::publish_of(&onward(&delivery), Hop::Deliver(Lane::Bulk))?;
        receipts.push((
            broker.publisher().send(publish, Some(settle::HOP_DEADLINE)).await,
            message,
        ));
        let slow = state.drain_per_second.is_some();
        if slow || receipts.len() >= RECEIPTS_MAX || gathering.elapsed() >= RECEIPTS_AGE {
            settle_receipts(keeper, &mut receipts).await?;
            gathering = Instant::now();
        }
        if slow && (keeper.view.state(&delivery.integration).phase != Phase::Draining || is_over(keeper, turn)) {
            break;
        }
    }
    settle_receipts(keeper, &mut receipts).await?;
    Ok(more - left as u64)
}

async fn settle_receipts(keeper: &Keeper, receipts: &mut Vec<(Receipt, Message)>) -> Result<(), Error> {
    for (receipt, message) in receipts.drain(..) {
        receipt.await.map_err(|source| Error::Publish {
            subject: message.subject.to_string(),
            source,
        })?;
        message.ack(&keeper.broker).await?;
    }
    Ok(())
}

/// The hop of a delivery that waited, to a worker.
fn onward(delivery: &Delivery) -> Delivery {
    Delivery {
        probe: false,
        lane: Lane::Bulk,
        ..delivery.next_hop()
    }
}

fn is_dropped(delivery: &Delivery, state: &State) -> bool {
    state.drop_before.is_some_and(|before| delivery.since < before)
}

/// The probe of an integration that a person lets go waits for a time that means nothing any more: it
/// goes at once, as the oldest of all. Its schedule is removed after the lane has it.
async fn release_probes(keeper: &Keeper, integration: &Integration, state: &State) -> Result<(), Error> {
    let broker = &keeper.broker;
    let stream = subjects::deliver_stream(&integration.provider);
    let soon = Timestamp::now() + FIRES_SOON;
    let mut probes = Vec::new();
    broker
        .scan_queue(
            &stream,
            &subjects::retry_of(&integration.provider, &integration.id),
            |stored| {
                // What cannot be read is its worker's to file.
                if let Ok(delivery) = wire::decode_delivery(&stored.body)
                    && is_stranded(&delivery, soon)
                {
                    probes.push((stored.seq, delivery));
                }
            },
        )
        .await?;
    for (seq, delivery) in probes {
        if is_dropped(&delivery, state) {
            settle::end(keeper, &delivery, DeadReason::Discarded, DROPPED).await?;
        } else {
            settle::hop(keeper, &onward(&delivery), Hop::Deliver(Lane::Bulk)).await?;
        }
        broker.remove(&stream, seq).await?;
    }
    Ok(())
}

/// Whether a scheduled delivery is a probe that would come only later than `soon`.
fn is_stranded(delivery: &Delivery, soon: Timestamp) -> bool {
    delivery.probe && delivery.due.is_none_or(|due| due > soon)
}

#[cfg(test)]
mod tests;
