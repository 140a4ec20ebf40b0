//! Taking out what an integration has parked, at the pace of its target.
//!
//! **Invariant:** a parked delivery is acknowledged after the lane has it. The gate is opened on
//! condition that nothing is left, so that what parks meanwhile is either seen here or refused.
//!
//! What has no pace but that of its target is drained through a consumer, so many integrations at a
//! time; where more wait, each has its turn. Such a drain ends with its consumer: what was taken and not
//! acknowledged comes again first. What has a pace of its own, a rate limit above all, is drained without
//! one ([`paced`]), however many there are. What its target asked to leave alone waits for that time.

pub(crate) mod hand;
mod ordered;
mod paced;
mod turns;

use std::{collections::HashMap, time::Duration};

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

use crate::{Keeper, pace::Window, settle, view::View};
use paced::{Drains, Terms};
use turns::Turns;

/// How long a drain keeps its place while others wait for one.
const TURN: Duration = Duration::from_secs(30);
/// The longest and the shortest time between two looks at who waits.
const CHOOSE_EVERY: Duration = Duration::from_secs(5);
const CHOOSE_APART: Duration = Duration::from_millis(10);
/// The pause between two looks at the lanes; doubles while nothing moves.
const LOOK_FIRST: Duration = Duration::from_millis(50);
/// The longest such pause.
const LOOK_LAST: Duration = Duration::from_secs(3);
/// How long the server may take to hand out what is there.
const PULL_WAIT: Duration = Duration::from_millis(250);
/// Publishes under way at most before their acknowledgements are awaited, and how long they gather.
const RECEIPTS_MAX: usize = 256;
const RECEIPTS_AGE: Duration = Duration::from_secs(1);
/// What may be left in the lanes of one whose deliveries go live again, whether it is taken or not.
const LEFT_MAX: u64 = 4;
/// A schedule that is due within this time is left to fire.
const FIRES_SOON: Duration = Duration::from_secs(2);
/// Why a delivery that is too old is not taken out.
const DROPPED: &str = "dropped on resume, as it was older than asked for";

/// Drains whatever is in the phase of draining.
pub(crate) async fn run(keeper: Keeper) -> Result<(), Error> {
    let mut turns = Turns::default();
    let mut paced = Drains::new(&keeper);
    let mut drains: JoinSet<Result<(), Error>> = JoinSet::new();
    let mut names: HashMap<Id, String> = HashMap::new();
    loop {
        let changed = keeper.view.changed.clone();
        let changed = changed.notified();
        release_deleted(&keeper).await;
        let now = Instant::now();
        paced.wake(now);
        let look = keeper.view.read(|view| {
            paced.review(|id| terms(view, id));
            look(view, |id| paced.is_wanted(id), Timestamp::now())
        });
        for (integration, terms) in look.paced {
            paced.begin(&keeper, integration, terms);
        }
        for id in turns.begin(look.others.iter().map(String::as_str), keeper.config.drains_max, now) {
            let known = keeper.view.read(|view| view.integrations.get(&id).cloned());
            let state = keeper.view.state(&id);
            if let Some(integration) = known {
                let keeper = keeper.clone();
                let task = drains.spawn(async move { drain(&keeper, &integration, &state).await });
                names.insert(task.id(), id);
            }
        }
        let wakes = [turns.next(now), paced.next(), look.next.map(|wait| now + wait)];
        let next = wakes.into_iter().flatten().min().unwrap_or(now + CHOOSE_EVERY);
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep_until(next.min(now + CHOOSE_EVERY)) => {}
            () = paced.ended() => {}
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
        // Where many change at once, a look answers for several of them.
        tokio::time::sleep_until(now + CHOOSE_APART).await;
    }
}

/// What is to be drained now, and when to look again for what waits until a time.
#[derive(Default)]
struct Look {
    paced: Vec<(Integration, Terms)>,
    others: Vec<String>,
    next: Option<Duration>,
}

/// Looks at all that drains; of those with a pace, at those that are `wanted`.
fn look(view: &View, wanted: impl Fn(&str) -> bool, now: Timestamp) -> Look {
    let mut look = Look::default();
    for (id, state) in view.states.iter().filter(|(_, state)| state.phase == Phase::Draining) {
        let Some(integration) = view.integrations.get(id) else {
            continue;
        };
        if let Some(wait) = wait_of(state, now) {
            look.next = Some(look.next.map_or(wait, |next| next.min(wait)));
            continue;
        }
        match Terms::of(integration, state) {
            None => look.others.push(id.clone()),
            Some(terms) if wanted(id) => look.paced.push((integration.clone(), terms)),
            Some(_) => {}
        }
    }
    look
}

/// The terms on which an integration is drained now, if it is and has any.
fn terms(view: &View, id: &str) -> Option<Terms> {
    let (integration, state) = (view.integrations.get(id)?, view.states.get(id)?);
    let drains = state.phase == Phase::Draining && wait_of(state, Timestamp::now()).is_none();
    drains.then(|| Terms::of(integration, state)).flatten()
}

/// How long nothing may be taken out yet, as its target asked for it.
fn wait_of(state: &State, now: Timestamp) -> Option<Duration> {
    state
        .not_before
        .filter(|until| *until > now)
        .map(|until| until.since(now))
}

/// What a deleted integration has parked is taken out as well: its deliveries end as discarded when a
/// worker meets them. Whoever deleted it may have died before letting them go.
async fn release_deleted(keeper: &Keeper) {
    let held: Vec<String> = keeper.view.read(|view| {
        let held = |state: &State| matches!(state.phase, Phase::Paused | Phase::Suspended);
        let deleted = |id: &str| {
            let known = view.integrations.get(id);
            known.is_some_and(|known| known.status == Status::Deleted)
        };
        let of_deleted = view.states.iter().filter(|(id, state)| held(state) && deleted(id));
        of_deleted.map(|(id, _)| id.clone()).collect()
    });
    for id in held {
        if let Err(error) = keeper.broker.resume(&id, Drain::default(), Timestamp::now()).await {
            tracing::warn!(%error, integration.id = id, "cannot let go what a deleted integration holds yet");
        }
    }
}

async fn drain(keeper: &Keeper, integration: &Integration, begun: &State) -> Result<(), Error> {
    tracing::debug!(integration.id = %integration.id, "draining what waits");
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
    let mut pause = LOOK_FIRST;
    let mut taken = 0_u64;
    let mut left = None;
    release_probes(keeper, integration, begun.drop_before).await?;
    loop {
        if is_held(keeper, id) {
            // Whoever comes next begins anew.
            return Ok(());
        }
        let state = keeper.view.state(id);
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
            let there = broker.in_lanes(&integration.provider, id).await?;
            // A target that takes nothing of what is in its lanes would be held back again at once.
            let takes = there <= LEFT_MAX || left.is_some_and(|left| left != there);
            left = Some(there);
            if takes
                && !ordered::is_left(keeper, integration, &state).await?
                && broker.open(&integration.org, id, Timestamp::now()).await?.is_some()
            {
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
                moved = take_out(keeper, puller, more, &state).await?;
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

/// Whether an integration is held again, or is to be left alone for a while, or has a pace now.
fn is_held(keeper: &Keeper, id: &str) -> bool {
    keeper.view.read(|view| {
        let drains = |state: &State| state.phase == Phase::Draining && wait_of(state, Timestamp::now()).is_none();
        !view.states.get(id).is_some_and(drains) || terms(view, id).is_some()
    })
}

/// Whether a drain gives its place to another.
fn is_over(keeper: &Keeper, turn: Instant) -> bool {
    let others = || {
        keeper
            .view
            .read(|view| look(view, |_| false, Timestamp::now()).others.len())
    };
    Instant::now() >= turn && others() > keeper.config.drains_max
}

/// Moves up to so many deliveries from PARKED to the bulk lane, in order.
async fn take_out(keeper: &Keeper, puller: &mut Puller, more: u64, state: &State) -> Result<u64, Error> {
    let broker = &keeper.broker;
    let mut left = usize::try_from(more).unwrap_or(usize::MAX);
    let mut receipts = Vec::new();
    let mut gathering = Instant::now();
    while left > 0 {
        let Ok(message) = tokio::time::timeout(PULL_WAIT, puller.next(left)).await else {
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
        if is_dropped(&delivery, state.drop_before) {
            settle::end(keeper, &delivery, DeadReason::Discarded, DROPPED).await?;
            message.ack(broker).await?;
            continue;
        }
        let publish = hops::publish_of(&onward(&delivery), Hop::Deliver(Lane::Bulk))?;
        receipts.push((
            broker.publisher().send(publish, Some(settle::HOP_DEADLINE)).await,
            message,
        ));
        if receipts.len() >= RECEIPTS_MAX || gathering.elapsed() >= RECEIPTS_AGE {
            settle_receipts(keeper, &mut receipts).await?;
            gathering = Instant::now();
            if is_held(keeper, &delivery.integration) {
                break;
            }
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

fn is_dropped(delivery: &Delivery, drop_before: Option<Timestamp>) -> bool {
    drop_before.is_some_and(|before| delivery.since < before)
}

/// The probe of an integration that a person lets go waits for a time that means nothing any more: it
/// goes at once, as the oldest of all. Its schedule is removed after the lane has it.
async fn release_probes(
    keeper: &Keeper,
    integration: &Integration,
    drop_before: Option<Timestamp>,
) -> Result<(), Error> {
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
        if is_dropped(&delivery, drop_before) {
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
