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

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use signalbox_broker::{
    Broker, Error, Message, Puller, Receipt,
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
/// A look takes longer the more integrations are held. Where very many change one after another, one part of so many of
/// the time is spent looking.
const LOOKS_PARTS: u32 = 20;
/// Integrations that were deleted and are let go at a time, and the rest after one that could not be.
const RELEASES: usize = 16;
const RELEASE_REST: Duration = Duration::from_secs(1);
/// The pause between two looks at the lanes; doubles while nothing moves.
const LOOK_FIRST: Duration = Duration::from_millis(50);
/// The longest such pause.
const LOOK_LAST: Duration = Duration::from_secs(3);
/// How long the server may take to hand out what is there.
const PULL_WAIT: Duration = Duration::from_millis(250);
/// Deliveries of one integration that are published and not acknowledged in PARKED yet, at most: what is sent again
/// where a keeper dies, unless the server knows the ids still.
const UNDER_WAY_MAX: usize = 64;
/// How often a drain looks whether it is to go on.
const HELD_EVERY: usize = 64;
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
    let mut releases: JoinSet<()> = JoinSet::new();
    loop {
        let changed = keeper.view.changed.clone();
        let changed = changed.notified();
        let now = Instant::now();
        paced.wake(now);
        let look = keeper.view.read(|view| {
            paced.review(|id| terms(view, id));
            look(view, |id| paced.is_wanted(id), Timestamp::now())
        });
        while releases.try_join_next().is_some() {}
        if !look.deleted.is_empty() && releases.is_empty() {
            releases.spawn(release(keeper.clone(), look.deleted));
        }
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
        let apart = apart(now.elapsed());
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
        tokio::time::sleep_until(now + apart).await;
    }
}

/// The time from one look to the next, where one takes so long.
fn apart(took: Duration) -> Duration {
    (took * LOOKS_PARTS).clamp(CHOOSE_APART, CHOOSE_EVERY)
}

/// What is to be drained now, and when to look again for what waits until a time.
#[derive(Default)]
struct Look {
    paced: Vec<(Integration, Terms)>,
    others: Vec<String>,
    /// Deleted, and held still: what they have parked is taken out as well, and its deliveries end as discarded when
    /// a worker meets them. Whoever deleted them may have died before letting them go.
    deleted: Vec<String>,
    next: Option<Duration>,
}

/// Looks at all that drains; of those with a pace, at those that are `wanted`.
fn look(view: &View, wanted: impl Fn(&str) -> bool, now: Timestamp) -> Look {
    let mut look = Look::default();
    for (id, state) in &view.states {
        let Some(integration) = view.integrations.get(id) else {
            continue;
        };
        match state.phase {
            Phase::Draining => {}
            Phase::Paused | Phase::Suspended if integration.status == Status::Deleted => {
                look.deleted.push(id.clone());
                continue;
            }
            Phase::Open | Phase::Paused | Phase::Suspended | Phase::Unknown => continue,
        }
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

/// Lets go what deleted integrations hold, some at a time.
async fn release(keeper: Keeper, deleted: Vec<String>) {
    futures::stream::iter(deleted)
        .for_each_concurrent(RELEASES, async |id| {
            if let Err(error) = keeper.broker.resume(&id, Drain::default(), Timestamp::now()).await {
                tracing::warn!(%error, integration.id = id, "cannot let go what a deleted integration holds yet");
                tokio::time::sleep(RELEASE_REST).await;
            }
        })
        .await;
}

async fn drain(keeper: &Keeper, integration: &Integration, begun: &State) -> Result<(), Error> {
    tracing::debug!(integration.id = %integration.id, "draining what waits");
    let mut puller: Option<Puller> = None;
    let drained = take_turn(keeper, integration, begun, &mut puller).await;
    if let Some(puller) = puller {
        if drained.is_err() {
            // Acknowledgements of a moment before would end with the consumer; else a look at the streams came after them.
            tokio::time::sleep(LOOK_FIRST).await;
        }
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
    let mut turn = Instant::now() + TURN;
    let mut window = Window::new();
    let mut pause = LOOK_FIRST;
    let mut taken = 0_u64;
    let mut left = None;
    let mut looks = ordered::Looks::default();
    release_probes(keeper, integration, begun.drop_before).await?;
    loop {
        if is_held(keeper, id) {
            // Whoever comes next begins anew.
            return Ok(());
        }
        let state = keeper.view.state(id);
        if Instant::now() >= turn {
            if do_others_wait(keeper) {
                tracing::debug!(
                    integration.id = id,
                    taken,
                    "others wait to be drained; this one goes on later"
                );
                return Ok(());
            }
            turn = Instant::now() + TURN;
        }
        let parked = broker.in_parked(&integration.org, id).await?;
        let mut moved = 0;
        if parked == 0 {
            let there = broker.in_lanes(&integration.provider, &integration.org, id).await?;
            // A target that takes nothing of what is in its lanes would be held back again at once.
            let takes = there <= LEFT_MAX || left.is_some_and(|left| left != there);
            left = Some(there);
            if takes
                && !looks.is_left(keeper, integration, &state).await?
                && broker.open(&integration.org, id, Timestamp::now()).await?.is_some()
            {
                tracing::info!(integration.id = id, taken, "drained; deliveries go live again");
                return Ok(());
            }
        } else {
            let there = broker.in_lanes(&integration.provider, &integration.org, id).await?;
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

/// Whether more integrations are to be drained than have a place: then each gives it to another.
fn do_others_wait(keeper: &Keeper) -> bool {
    let look = keeper.view.read(|view| look(view, |_| false, Timestamp::now()));
    look.others.len() > keeper.config.drains_max
}

/// Moves up to so many deliveries from PARKED to the bulk lane, in order.
async fn take_out(keeper: &Keeper, puller: &mut Puller, more: u64, state: &State) -> Result<u64, Error> {
    let mut under_way = UnderWay::new();
    let taken = publish_all(keeper, puller, more, state, &mut under_way).await;
    // What the lane has is acknowledged, whatever failed.
    let mut failed = None;
    while let Some(settled) = under_way.next().await {
        failed = failed.or(settled.err());
    }
    let taken = taken?;
    failed.map_or(Ok(taken), Err)
}

/// What is published and not acknowledged in PARKED yet.
type UnderWay<'a> = FuturesUnordered<BoxFuture<'a, Result<(), Error>>>;

async fn publish_all<'a>(
    keeper: &'a Keeper,
    puller: &mut Puller,
    more: u64,
    state: &State,
    under_way: &mut UnderWay<'a>,
) -> Result<u64, Error> {
    let broker = &keeper.broker;
    let mut left = usize::try_from(more).unwrap_or(usize::MAX);
    while left > 0 {
        let message = tokio::select! {
            biased;
            Some(settled) = under_way.next(), if !under_way.is_empty() => {
                settled?;
                continue;
            }
            message = tokio::time::timeout(PULL_WAIT, puller.next(left)), if under_way.len() < UNDER_WAY_MAX => message,
        };
        let Ok(message) = message else { break };
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
        let receipt = broker.publisher().send(publish, Some(settle::HOP_DEADLINE)).await;
        under_way.push(settle_one(broker, receipt, message).boxed());
        if left.is_multiple_of(HELD_EVERY) && is_held(keeper, &delivery.integration) {
            break;
        }
    }
    Ok(more - left as u64)
}

/// Acknowledges a parked delivery as soon as the lane has it.
async fn settle_one(broker: &Broker, receipt: Receipt, message: Message) -> Result<(), Error> {
    receipt.await.map_err(|source| Error::Publish {
        subject: message.subject.to_string(),
        source,
    })?;
    message.ack(broker).await
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
            &subjects::retry_of(&integration.provider, &integration.org, &integration.id),
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
