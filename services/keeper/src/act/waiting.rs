//! Acts on deliveries that wait: giving them up, or trying now what waits for its next attempt.
//!
//! Giving up: **the dead letter and the record are stored before the message is removed**, and it is counted in between.
//! A crash leaves a delivery that is a dead letter and waits as well; the act finds it again, knows its dead letter by
//! delivery and generation, and only removes it. The act's cursor is the last dead letter that is counted.
//!
//! The queues are read again until nothing more is found, because a delivery may move on while they are read: from
//! PARKED to a lane, or as a retry behind the place that was reached. What a worker has in hand just before is left to it
//! for as long as a request can take: it arrives, or it waits again and is given up then. One that is taken in hand in
//! the moment in which it is given up may still arrive: the ledger takes `delivered` before `discarded`.
//!
//! Trying now: each schedule, and each time of a key's first, is replaced by one that is due at once (`broker::hasten`). The new one is younger than the
//! act, so that it is not met again, nor is the schedule after it should the attempt fail.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::ControlFlow,
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use signalbox_broker::{
    Error,
    browse::Stored,
    hasten::Hastened,
    standing::Standing,
    topology::{Consumer, From},
};
use signalbox_proto::{
    DeadLetter, DeadReason, Delivery, Lane, Name, Phase, Stage, State, Timestamp, act::WaitingFilter, digest::Manifest,
    hash, ledger::Final, subjects, wire,
};

use super::{
    ordered,
    send::refused,
    work::{Ended, Work},
};
use crate::{Keeper, drain, probe, settle};

/// Messages of a queue read at a time.
const READ: usize = 500;
/// Requests to the server at a time.
const AT_ONCE: usize = 16;
/// How long what a worker has in hand is left to it when all else is given up: the longest timeout of a request, and
/// its filing.
const IN_HAND_MAX: Duration = Duration::from_secs(75);
/// The pause before the queues are read again for what was in hand.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// What an owner reads of a delivery that was given up while it waited.
pub(super) const GIVEN_UP: &str = "discarded by a person while it waited";

/// A delivery that waits, with its message.
pub(super) struct Waiting {
    pub(super) queue: String,
    pub(super) stored: Stored,
    pub(super) delivery: Delivery,
}

impl Known {
    fn has(&self, waiting: &Waiting) -> bool {
        self.given_up.contains_key(&identity(&waiting.delivery))
    }
}

impl Waiting {
    /// Its queue and its sequence there.
    fn place(&self) -> (String, u64) {
        (self.queue.clone(), self.stored.seq)
    }

    /// The lane in which a worker would take it; `None` for one that is scheduled, or waits in another queue.
    fn lane(&self) -> Option<Lane> {
        let subject = &self.stored.subject;
        if subjects::provider_of_stream(&self.queue).is_none() || subjects::is_retry(subject) {
            return None;
        }
        subjects::lane_of(subject)
    }
}

/// What was given up by such an act, and whether it is counted.
type GivenUp = HashMap<[u8; 16], bool>;

/// What is known while deliveries are given up.
#[derive(Default)]
struct Known {
    given_up: GivenUp,
    /// Those that can never be filed: their places. They are met again whenever the queues are read.
    hopeless: HashSet<(String, u64)>,
    /// Probes that were given up, by integration.
    probes: BTreeMap<String, String>,
}

/// Gives up what waits.
pub(super) async fn discard(work: &mut Work<'_>) -> Result<Ended, Error> {
    let Some(filter) = work.act.waiting.clone() else {
        return Ok(Ended::Done);
    };
    let mut known = Known {
        given_up: given_up(work.keeper, &filter, work.act.through, work.act.cursor).await?,
        ..Known::default()
    };
    let discarded = discard_all(work, &filter, &mut known).await;
    for (integration, lost) in known.probes {
        // Where this fails, the keeper's own look finds the probe lost, later.
        if let Err(error) = probe::replace(work.keeper, &integration, &lost).await {
            let error = settle::why(&error);
            tracing::warn!(error, integration.id = integration, "cannot choose another probe yet");
        }
    }
    discarded
}

async fn discard_all(work: &mut Work<'_>, filter: &WaitingFilter, known: &mut Known) -> Result<Ended, Error> {
    loop {
        let (mut found, mut in_hand) = (0, 0);
        for (queue, subject) in work.keeper.broker.queues_of(filter, false).await? {
            let mut next = 1;
            loop {
                let look = work.look();
                let part = work.keeper.broker.read_from(&queue, &subject, next, READ).await?;
                let Some(last) = part.last() else { break };
                next = last.seq + 1;
                let mut part = read(work.keeper, &queue, part, filter).await?;
                part.retain(|waiting| !known.hopeless.contains(&waiting.place()));
                let all = part.len();
                leave_in_hand(work, &mut part).await?;
                in_hand += all - part.len();
                found += part.len();
                let mut part = part.into_iter().peekable();
                while part.peek().is_some() {
                    let chunk = part.by_ref().take(work.chunk_max()).collect();
                    if !discard_some(work, chunk, known).await? || work.is_over() {
                        return Ok(work.paused());
                    }
                }
                work.rest(look).await;
                if work.is_stopped() {
                    return Ok(work.paused());
                }
            }
        }
        if found == 0 {
            if in_hand == 0 {
                return Ok(Ended::Done);
            }
            if work.is_over() {
                return Ok(work.paused());
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

/// What is in hand: by lane of a provider or by integration that is drained, up to which sequence messages were handed
/// out of which some are not settled; and the members of digests that are being closed.
#[derive(Default)]
struct Hands {
    lanes: BTreeMap<&'static str, u64>,
    drains: BTreeMap<String, u64>,
    digests: BTreeMap<String, Manifest>,
}

/// Takes out of some that wait in one queue what a worker or a drain has in hand. Where nothing else was given up for
/// long enough, nobody has.
async fn leave_in_hand(work: &Work<'_>, part: &mut Vec<Waiting>) -> Result<(), Error> {
    let Some(queue) = part.first().map(|waiting| waiting.queue.clone()) else {
        return Ok(());
    };
    if Timestamp::now() < work.act.created_at.max(work.act.updated_at) + IN_HAND_MAX {
        let hands = Hands::of(work.keeper, &queue, part).await?;
        part.retain(|waiting| !hands.hold(waiting));
    }
    Ok(())
}

impl Hands {
    async fn of(keeper: &Keeper, queue: &str, part: &[Waiting]) -> Result<Self, Error> {
        let mut hands = Self::default();
        if let Some(provider) = subjects::provider_of_stream(queue) {
            let lanes = part.iter().filter_map(Waiting::lane);
            let lanes: BTreeMap<&str, Lane> = lanes.map(|lane| (lane.as_str(), lane)).collect();
            for lane in lanes.into_values() {
                let progress = Consumer::lane(&provider, lane).progress(&keeper.broker).await?;
                if progress.ack_pending > 0 {
                    hands.lanes.insert(lane.as_str(), progress.delivered);
                }
            }
            return Ok(hands);
        }
        let deliveries = part.iter().map(|waiting| &waiting.delivery);
        let integrations: BTreeMap<&str, &Name> = deliveries.map(|one| (one.integration.as_str(), &one.org)).collect();
        for (integration, org) in integrations {
            if queue == subjects::BATCH {
                let begun = keeper.broker.manifest(integration).await?;
                hands
                    .digests
                    .extend(begun.map(|begun| (integration.to_owned(), begun.value)));
                continue;
            }
            // The worker of an ordered delivery says nowhere what it has in hand.
            if queue != subjects::PARKED {
                continue;
            }
            if keeper.view.state(integration).phase != Phase::Draining {
                continue;
            }
            // A drain with a pace of its own says what it has in hand.
            if let Some(through) = drain::hand::of(keeper, integration).await? {
                hands.drains.insert(integration.to_owned(), through);
            }
            // Where its drain has none just now, there is no consumer to ask.
            if let Ok(progress) = Consumer::unpark(org, integration).progress(&keeper.broker).await
                && progress.ack_pending > 0
            {
                hands.drains.insert(integration.to_owned(), progress.delivered);
            }
        }
        Ok(hands)
    }

    fn hold(&self, waiting: &Waiting) -> bool {
        if waiting.queue == subjects::BATCH {
            let begun = self.digests.get(&waiting.delivery.integration);
            return begun.is_some_and(|begun| begun.holds(waiting.stored.seq));
        }
        let through = if waiting.queue == subjects::PARKED {
            self.drains.get(&waiting.delivery.integration)
        } else {
            waiting.lane().and_then(|lane| self.lanes.get(lane.as_str()))
        };
        through.is_some_and(|through| waiting.stored.seq <= *through)
    }
}

/// Gives some of one queue up: dead letters, records, removal. False where a person stopped the act.
async fn discard_some(work: &mut Work<'_>, chunk: Vec<Waiting>, known: &mut Known) -> Result<bool, Error> {
    let mut begun = Vec::with_capacity(chunk.len());
    let mut goes_on = true;
    for waiting in chunk {
        if !known.has(&waiting) && !work.next_send().await? {
            goes_on = false;
            break;
        }
        begun.push(waiting);
    }
    let keeper = work.keeper;
    // They were read a while ago: what has gone on meanwhile is not given up here. First what is in hand, so that what
    // is sent between the two looks is either there no more or was not in hand before.
    leave_in_hand(work, &mut begun).await?;
    let begun = ordered::refresh(keeper, begun).await?;
    let there = at_once(begun.iter().map(|waiting| is_there(keeper, waiting))).await?;
    let left = begun.into_iter().zip(there);
    let left: Vec<Waiting> = left.filter_map(|(waiting, there)| there.then_some(waiting)).collect();
    let buried = at_once(left.iter().map(|waiting| bury(keeper, waiting, known.has(waiting)))).await?;
    let mut records = Vec::new();
    let mut filed = Vec::with_capacity(left.len());
    let (mut done, mut last) = (0, work.act.cursor);
    for (waiting, buried) in left.into_iter().zip(buried) {
        match buried {
            Ok(seq) => {
                let delivery = &waiting.delivery;
                records.push(settle::ended(delivery, Final::Discarded, GIVEN_UP, Timestamp::now()));
                done += u64::from(known.given_up.insert(identity(delivery), true) != Some(true));
                last = last.max(seq.unwrap_or_default());
                filed.push(waiting);
            }
            Err(reason) => {
                work.fail(&waiting.delivery.id, &reason);
                known.hopeless.insert(waiting.place());
            }
        }
    }
    if !records.is_empty() {
        settle::record(keeper, &records).await?;
    }
    // Counted while they are still there: whoever finds them again knows by the cursor that they are.
    work.act.done += done;
    if (!filed.is_empty() || !goes_on) && !work.save(last).await? {
        goes_on = false;
    }
    // What was tried in order says first that it is given up. What has gone on instead is met again.
    let given_up = at_once(filed.iter().map(|waiting| ordered::give_up(keeper, waiting))).await?;
    let left = filed.iter().zip(given_up).filter(|(_, given_up)| *given_up);
    let removals = left.map(|(waiting, _)| keeper.broker.remove(&waiting.queue, waiting.stored.seq));
    at_once(removals).await?;
    for Waiting { delivery, .. } in filed {
        if is_probe(&keeper.view.state(&delivery.integration), &delivery) {
            known.probes.insert(delivery.integration, delivery.id);
        }
    }
    Ok(goes_on)
}

/// Does several things, some of them at a time, and gives what they give in their order.
pub(super) async fn at_once<T>(
    each: impl Iterator<Item = impl Future<Output = Result<T, Error>>>,
) -> Result<Vec<T>, Error> {
    // As a list, because the compiler cannot follow a borrowing closure into a future that may change threads.
    let each: Vec<_> = each.collect();
    stream::iter(each).buffered(AT_ONCE).try_collect().await
}

/// Puts a delivery that waits into DEAD, unless it is known to be there, and gives its place. Its id is that of the next
/// hop, so that a repeat is one dead letter. The inner error is what an owner is told.
async fn bury(keeper: &Keeper, waiting: &Waiting, known: bool) -> Result<Result<Option<u64>, String>, Error> {
    if known {
        return Ok(Ok(None));
    }
    let next = waiting.delivery.next_hop();
    let id = next.hop_id();
    let letter = DeadLetter::of_delivery(Stage::Delivery, DeadReason::Discarded, GIVEN_UP, next, Timestamp::now());
    refused(keeper.broker.bury(&letter, &id).await.map(|ack| Some(ack.seq)))
}

/// Of what was read of a queue, what an act is about.
async fn read(keeper: &Keeper, queue: &str, part: Vec<Stored>, filter: &WaitingFilter) -> Result<Vec<Waiting>, Error> {
    let covered = keeper.broker.covered(queue, part, filter).await?;
    let waiting = covered.into_iter().map(|Standing { stored, delivery }| Waiting {
        queue: queue.to_owned(),
        stored,
        delivery,
    });
    Ok(waiting.collect())
}

async fn is_there(keeper: &Keeper, waiting: &Waiting) -> Result<bool, Error> {
    let Stored { subject, seq, .. } = &waiting.stored;
    let found = keeper.broker.read_from(&waiting.queue, subject, *seq, 1).await?;
    Ok(found.first().is_some_and(|found| found.seq == *seq))
}

/// A delivery in one of its generations.
fn identity(delivery: &Delivery) -> [u8; 16] {
    hash::digest([delivery.id.as_bytes(), &delivery.generation.to_be_bytes()])
}

/// What was given up by such an act since DEAD was at this sequence; what lies up to the other is counted.
async fn given_up(keeper: &Keeper, filter: &WaitingFilter, behind: u64, counted: u64) -> Result<GivenUp, Error> {
    let mut found = GivenUp::new();
    let subject = subjects::dead_filter(
        Some(Stage::Delivery),
        Some(filter.org.as_str()),
        filter.provider.as_ref().map(Name::as_str),
        filter.integration.as_deref(),
    );
    let each = |message: signalbox_broker::Message| {
        if let Ok(letter) = wire::decode::<DeadLetter>(&message.body)
            && letter.reason == DeadReason::Discarded
            && letter.message == GIVEN_UP
            && let Some(delivery) = &letter.delivery
        {
            found.insert(identity(delivery), message.place.seq <= counted);
        }
        ControlFlow::Continue(())
    };
    let broker = &keeper.broker;
    broker
        .scan(subjects::DEAD, vec![subject], From::Seq(behind + 1), each)
        .await?;
    Ok(found)
}

/// Whether a delivery was to find out whether its suspended integration works again.
fn is_probe(state: &State, delivery: &Delivery) -> bool {
    let named = state.probe.as_ref().is_some_and(|probe| probe.delivery == delivery.id);
    state.phase == Phase::Suspended && named
}

/// Sends now what waits for its next attempt.
pub(super) async fn retry(work: &mut Work<'_>) -> Result<Ended, Error> {
    let Some(filter) = work.act.waiting.clone() else {
        return Ok(Ended::Done);
    };
    // Counted anew at each turn: what was sent has gone, what is held is met again.
    work.act.skipped = 0;
    // What is sent now waits behind the place that was reached, and again if it fails. It is younger than the act, unless
    // the clock by which the act was asked for is ahead of the server's.
    let mut tried = HashSet::new();
    for (queue, subject) in work.keeper.broker.queues_of(&filter, true).await? {
        let mut next = 1;
        loop {
            let look = work.look();
            let part = work.keeper.broker.read_from(&queue, &subject, next, READ).await?;
            let Some(last) = part.last() else { break };
            next = last.seq + 1;
            let asked_at = work.act.created_at;
            let part = part.into_iter().filter(|stored| stored.at < asked_at).collect();
            let mut part = read(work.keeper, &queue, part, &filter).await?;
            part.retain(|waiting| tried.insert(identity(&waiting.delivery)));
            let mut part = part.into_iter().peekable();
            while part.peek().is_some() {
                let chunk = part.by_ref().take(work.chunk_max()).collect();
                if !retry_some(work, chunk).await? || work.is_over() {
                    return Ok(work.paused());
                }
            }
            work.rest(look).await;
            if work.is_stopped() {
                return Ok(work.paused());
            }
        }
    }
    Ok(Ended::Done)
}

/// Sends some now; false where a person stopped the act.
async fn retry_some(work: &mut Work<'_>, chunk: Vec<Waiting>) -> Result<bool, Error> {
    let mut goes_on = true;
    for Waiting {
        queue,
        stored,
        delivery,
    } in chunk
    {
        if is_held(&work.keeper.view.state(&delivery.integration), &delivery) {
            // Its worker would only park it.
            work.act.skipped += 1;
            work.act.message = format!("{} is held: resume its integration", delivery.id);
            continue;
        }
        if !work.next_send().await? {
            goes_on = false;
            break;
        }
        let broker = &work.keeper.broker;
        let hastened = match queue.as_str() {
            subjects::ORDERED => broker.hasten_ordered(&delivery, Timestamp::now()).await,
            _ => broker.hasten(&stored, &delivery, Timestamp::now()).await,
        };
        match refused(hastened)? {
            // One that fires by itself, or has fired just now, does what was asked for.
            Ok(Hastened::Yes | Hastened::Soon | Hastened::Gone) => work.act.done += 1,
            Err(reason) => work.fail(&delivery.id, &reason),
        }
    }
    let cursor = work.act.cursor;
    Ok(work.save(cursor).await? && goes_on)
}

/// Whether a delivery waits for more than its time.
fn is_held(state: &State, delivery: &Delivery) -> bool {
    match state.phase {
        Phase::Open | Phase::Draining => false,
        Phase::Paused | Phase::Unknown => true,
        // The probe finds out whether its target takes deliveries again.
        Phase::Suspended => !(delivery.probe && is_probe(state, delivery)),
    }
}

#[cfg(test)]
mod tests;
