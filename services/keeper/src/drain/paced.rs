//! Taking out what an integration has parked at a pace of its own: its rate limit, or the rate that a
//! person asked for when letting it go.
//!
//! Such a drain has no consumer: it reads what is next, says so ([`hand`](super::hand)), takes tokens for it, publishes each delivery
//! when its token is due, and removes the parked one as soon as the lane has it. So it costs a timer while
//! it waits, and any number of them go on side by side, each at its full rate.
//!
//! A keeper that dies leaves those in PARKED that the lane has and that are not removed yet: [`UNDER_WAY_MAX`] of an
//! integration at most, and most often none. The keeper after it sends them again under the same ids; the server
//! knows them for two minutes, unless it was restarted too.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use signalbox_broker::{
    Error, Receipt,
    browse::Stored,
    hops::{self, Hop},
    limiter::{Leased, Limiter},
};
use signalbox_proto::{
    DeadReason, Delivery, Integration, Lane, Phase, State, Timestamp,
    integration::{RateLimit, Status},
    state::Cause,
    subjects, wire,
};
use tokio::{
    sync::{Notify, Semaphore},
    task::{Id, JoinError, JoinSet},
    time::Instant,
};

use super::{DROPPED, hand::Hand, is_dropped, onward, ordered, release_probes};
use crate::{
    Keeper,
    pace::{Pace, Window},
    settle, sweep,
};

/// What is paid for ahead of its time.
const AHEAD: Duration = Duration::from_secs(1);
/// Parts that are read at a time.
const PARTS_AHEAD: usize = 5;
/// What was read is kept for a wait this long.
const KEPT_MAX: Duration = Duration::from_secs(5);
/// Deliveries that are paid for at a time, at most.
const PART_MAX: u32 = 256;
/// Deliveries of one integration that are published and not removed from PARKED yet, at most.
const UNDER_WAY_MAX: usize = 32;
/// After a wait this long a delivery is looked for before it goes.
const LULL: Duration = Duration::from_millis(20);
/// How long a drain believes what it has read. One that stood still for longer, as its machine did, may have been
/// followed by another, or its integration may be held: it asks before it goes on.
const BELIEVED_FOR: Duration = Duration::from_secs(30);
/// Drains that begin at a time: after a restart there may be very many.
const BEGIN_MAX: usize = 64;
/// The wait for room in the lanes of a target that is slower than its limit.
const ROOM_WAIT: Duration = Duration::from_secs(1);
/// The wait where the gate could not be opened although nothing was read, the first and the longest:
/// something was parked in this moment, or what was read is behind.
const EMPTY_FIRST: Duration = Duration::from_millis(50);
const EMPTY_LAST: Duration = Duration::from_secs(3);
/// An integration that has just met its limit stays closed for this long, although nothing is parked yet.
const OPEN_AFTER: Duration = Duration::from_secs(1);
/// The wait for counters that do not answer, the first and the longest.
const UNCOUNTED_FIRST: Duration = Duration::from_millis(500);
const UNCOUNTED_LAST: Duration = Duration::from_secs(5);
/// The longest sleep of one that waits for its next span: the clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(600);
/// The rest after a drain that failed.
const FAILED_REST: Duration = Duration::from_secs(1);

/// What a paced drain depends on. When any of it changes, the drain begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    limit: RateLimit,
    per_second: Option<u32>,
    drop_before: Option<Timestamp>,
    not_before: Option<Timestamp>,
}

impl Terms {
    /// `None` where nothing sets a pace but the target.
    pub(super) fn of(integration: &Integration, state: &State) -> Option<Self> {
        let limit = match integration.status {
            // Its deliveries end without a request.
            Status::Deleted => RateLimit::default(),
            Status::Active | Status::Inactive | Status::PendingSetup | Status::Unknown => {
                signalbox_providers::rate_limit_of(integration)
            }
        };
        let paced = !limit.is_none() || state.drain_per_second.is_some();
        paced.then_some(Self {
            limit,
            per_second: state.drain_per_second,
            drop_before: state.drop_before,
            not_before: state.not_before,
        })
    }

    /// Deliveries that go in a second or so: a part. As many are paid for at a time.
    fn part(&self) -> u32 {
        let of_limit = match (self.limit.per_minute, self.limit.per_hour, self.limit.per_day) {
            (Some(limit), ..) => limit.div_ceil(60),
            (None, Some(limit), _) => limit.div_ceil(3_600),
            (None, None, Some(limit)) => limit.div_ceil(86_400),
            (None, None, None) => PART_MAX,
        };
        of_limit.min(self.per_second.unwrap_or(PART_MAX)).clamp(1, PART_MAX)
    }
}

/// The paced drains that go on.
pub(super) struct Drains {
    limiter: Limiter,
    begin: Arc<Semaphore>,
    tasks: JoinSet<Result<(), Error>>,
    names: HashMap<Id, String>,
    running: HashMap<String, Running>,
    /// Until when one that failed rests.
    rests: HashMap<String, Instant>,
}

struct Running {
    terms: Terms,
    /// Rings when the terms are others, or nothing is to be drained any more.
    stop: Arc<Notify>,
}

impl Drains {
    pub(super) fn new(keeper: &Keeper) -> Self {
        Self {
            limiter: Limiter::new(keeper.broker.clone()),
            begin: Arc::new(Semaphore::new(BEGIN_MAX)),
            tasks: JoinSet::new(),
            names: HashMap::new(),
            running: HashMap::new(),
            rests: HashMap::new(),
        }
    }

    /// Ends the rests that are over.
    pub(super) fn wake(&mut self, now: Instant) {
        self.rests.retain(|_, until| *until > now);
    }

    /// Whether a drain of this integration is to be begun.
    pub(super) fn is_wanted(&self, id: &str) -> bool {
        !self.running.contains_key(id) && !self.rests.contains_key(id)
    }

    pub(super) fn begin(&mut self, keeper: &Keeper, integration: Integration, terms: Terms) {
        let id = integration.id.clone();
        let stop = Arc::new(Notify::new());
        let drain = Drain {
            keeper: keeper.clone(),
            limiter: self.limiter.clone(),
            begin: self.begin.clone(),
            integration,
            terms,
            stop: stop.clone(),
        };
        let task = self.tasks.spawn(drain.run());
        self.names.insert(task.id(), id.clone());
        self.running.insert(id, Running { terms, stop });
    }

    /// Stops those for which the terms are not the present ones any more.
    pub(super) fn review(&self, terms_of: impl Fn(&str) -> Option<Terms>) {
        for (id, running) in &self.running {
            if terms_of(id) != Some(running.terms) {
                running.stop.notify_one();
            }
        }
    }

    /// Waits until some have ended; for ever while there is none.
    pub(super) async fn ended(&mut self) {
        let Some(ended) = self.tasks.join_next_with_id().await else {
            return std::future::pending().await;
        };
        self.forget(ended);
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.forget(ended);
        }
    }

    fn forget(&mut self, ended: Result<(Id, Result<(), Error>), JoinError>) {
        let (task, failed) = match ended {
            Ok((task, Ok(()))) => (task, None),
            Ok((task, Err(error))) => (task, Some(settle::why(&error))),
            // A panic: a bug of ours, which must not keep the integration waiting for ever.
            Err(error) => (error.id(), Some(error.to_string())),
        };
        let Some(id) = self.names.remove(&task) else { return };
        self.running.remove(&id);
        if let Some(error) = failed {
            tracing::warn!(error, integration.id = id, "a drain stopped; it begins anew");
            self.rests.insert(id, Instant::now() + FAILED_REST);
        }
    }

    /// When the first rest ends.
    pub(super) fn next(&self) -> Option<Instant> {
        self.rests.values().min().copied()
    }
}

/// One integration being drained at its own pace.
struct Drain {
    keeper: Keeper,
    limiter: Limiter,
    begin: Arc<Semaphore>,
    integration: Integration,
    terms: Terms,
    stop: Arc<Notify>,
}

/// What is published and not removed from PARKED yet.
type UnderWay<'a> = FuturesUnordered<BoxFuture<'a, Result<(), Error>>>;

/// What was read of PARKED, with its sequences.
type Waiting = VecDeque<(u64, Delivery)>;

impl Drain {
    /// Drains until nothing is left, or until the terms are others.
    async fn run(self) -> Result<(), Error> {
        let (broker, id) = (&self.keeper.broker, self.integration.id.as_str());
        tracing::debug!(integration.id = id, "draining what waits at its own pace");
        let mut begin = self.begin.acquire().await.ok();
        // One that was open until it met its limit has no probe, and there are many of those.
        if self.keeper.view.state(id).cause != Cause::Limit {
            release_probes(&self.keeper, &self.integration, self.terms.drop_before).await?;
        }
        let parked = subjects::parked(&self.integration.org, id);
        let part = self.terms.part() as usize;
        let mut window = Window::new();
        let mut pace = Pace::new(self.terms.per_second, Instant::now());
        let mut looks = ordered::Looks::default();
        let mut hand = Hand::open(&self.keeper, id).await?;
        let mut believed = Instant::now() + BELIEVED_FOR;
        let mut waiting: Waiting = VecDeque::new();
        let (mut next, mut room) = (1, 0);
        let (mut empty, mut uncounted) = (EMPTY_FIRST, UNCOUNTED_FIRST);
        let mut taken = 0_u64;
        loop {
            if believed <= Instant::now() {
                if !self.is_still_wanted().await? {
                    return Ok(());
                }
                (waiting, next, room) = (VecDeque::new(), 1, 0);
                believed = Instant::now() + BELIEVED_FOR;
            }
            if waiting.len() < 2 * part {
                let stored = broker
                    .read_from(subjects::PARKED, &parked, next, part * PARTS_AHEAD)
                    .await?;
                if let Some(last) = stored.last().map(|last| last.seq) {
                    next = last + 1;
                    waiting.extend(self.settle_lost(stored).await?);
                    hand.say(&self.keeper, id, last).await?;
                    empty = EMPTY_FIRST;
                } else if waiting.is_empty() {
                    drop(begin.take());
                    if self.is_opened(&mut looks).await? {
                        tracing::info!(integration.id = id, taken, "drained; deliveries go live again");
                        return Ok(());
                    }
                    next = 1;
                    if self.is_stopped(empty).await {
                        return Ok(());
                    }
                    empty = (empty * 2).min(EMPTY_LAST);
                }
            }
            let Some(last) = waiting.back().map(|(seq, _)| *seq) else {
                continue;
            };
            drop(begin.take());
            let through = hand.through(Instant::now());
            let ready = waiting.iter().take(part).take_while(|(seq, _)| *seq <= through).count();
            if ready == 0 {
                if hand.next().is_none() {
                    hand.say(&self.keeper, id, last).await?;
                }
                if self.is_stopped_at(hand.next().unwrap_or_else(Instant::now)).await {
                    return Ok(());
                }
                continue;
            }
            if room == 0 {
                room = window.more(
                    broker
                        .in_lanes(&self.integration.provider, &self.integration.org, id)
                        .await?,
                );
            }
            if room == 0 {
                if self.is_stopped(ROOM_WAIT).await {
                    return Ok(());
                }
                continue;
            }
            let want = ready.min(usize::try_from(room).unwrap_or(usize::MAX));
            let asked = self
                .limiter
                .take(id, &self.terms.limit, want as u32, AHEAD, Timestamp::now())
                .await;
            let leased = match asked {
                Ok(leased) => leased,
                // Without tokens nothing is sent. The limiter has told why.
                Err(error) => {
                    let error = settle::why(&error);
                    tracing::debug!(error, integration.id = id, "no tokens of a rate limit can be had yet");
                    if self.is_stopped(uncounted).await {
                        return Ok(());
                    }
                    uncounted = (uncounted * 2).min(UNCOUNTED_LAST);
                    continue;
                }
            };
            uncounted = UNCOUNTED_FIRST;
            if leased.slots.is_empty() {
                let now = Timestamp::now();
                let wait = leased.again.unwrap_or(now + AHEAD).since(now).min(SLEEP_MAX);
                if wait > KEPT_MAX {
                    // Much may happen to them until then.
                    (waiting, next) = (VecDeque::new(), 1);
                }
                if self.is_stopped(wait).await {
                    return Ok(());
                }
                continue;
            }
            let sent = self.send(&parked, &mut waiting, &leased, &mut pace, believed).await?;
            room = room.saturating_sub(sent as u64);
            taken += sent as u64;
            if sent < leased.slots.len() {
                self.limiter.give_back(id, &leased, leased.slots.len() - sent).await;
                if self.is_stopped(Duration::ZERO).await {
                    return Ok(());
                }
            }
        }
    }

    /// Opens the gate, if nothing is left of the integration.
    async fn is_opened(&self, looks: &mut ordered::Looks) -> Result<bool, Error> {
        let (broker, id) = (&self.keeper.broker, self.integration.id.as_str());
        let state = self.keeper.view.state(id);
        // What workers have in hand is on its way to PARKED: opened too early, it would go round.
        if Timestamp::now().since(state.since) < OPEN_AFTER {
            return Ok(false);
        }
        if looks.is_left(&self.keeper, &self.integration, &state).await? {
            return Ok(false);
        }
        let opened = broker.open(&self.integration.org, id, Timestamp::now()).await?;
        Ok(opened.is_some())
    }

    /// Whether the integration is there and drains on these terms: asked of KV, and not of what was heard.
    async fn is_still_wanted(&self) -> Result<bool, Error> {
        let (broker, id) = (&self.keeper.broker, self.integration.id.as_str());
        let state = broker.state(id).await?.value;
        let Some(integration) = broker.integration(id).await? else {
            return Ok(false);
        };
        Ok(state.phase == Phase::Draining && Terms::of(&integration.value, &state) == Some(self.terms))
    }

    /// Publishes each delivery when its token is due, and removes it from PARKED once the lane has it.
    /// Returns how many. Tokens are left where something has gone from PARKED meanwhile, where the terms
    /// change, where their span ends, or where what was read is believed no longer.
    async fn send(
        &self,
        parked: &str,
        waiting: &mut Waiting,
        leased: &Leased,
        pace: &mut Pace,
        believed: Instant,
    ) -> Result<usize, Error> {
        let mut under_way = UnderWay::new();
        let sent = self
            .publish_all(parked, waiting, leased, pace, believed, &mut under_way)
            .await;
        // What the lane has is removed, whatever failed.
        let mut failed = None;
        while let Some(settled) = under_way.next().await {
            failed = failed.or(settled.err());
        }
        let sent = sent?;
        failed.map_or(Ok(sent), Err)
    }

    async fn publish_all<'a>(
        &'a self,
        parked: &str,
        waiting: &mut Waiting,
        leased: &Leased,
        pace: &mut Pace,
        believed: Instant,
        under_way: &mut UnderWay<'a>,
    ) -> Result<usize, Error> {
        let broker = &self.keeper.broker;
        let mut sent = 0;
        for slot in &leased.slots {
            let due = pace.take(Instant::now()).max(instant_of(*slot));
            let waits = due.saturating_duration_since(Instant::now()) >= LULL;
            while under_way.len() >= UNDER_WAY_MAX
                && let Some(settled) = under_way.next().await
            {
                settled?;
            }
            if self.is_stopped_settling(under_way, due).await? || believed <= Instant::now() {
                break;
            }
            let now = Timestamp::now();
            if leased.until.is_some_and(|until| until <= now) {
                break;
            }
            let Some((seq, delivery)) = waiting.pop_front() else {
                break;
            };
            // It may have expired, or been sent by another, while it waited for its token.
            if waits && !is_there(&broker.read_from(subjects::PARKED, parked, seq, 1).await?, seq) {
                continue;
            }
            let next = Delivery {
                paid: leased.until.map(|_| now),
                ..onward(&delivery)
            };
            let publish = hops::publish_of(&next, Hop::Deliver(Lane::Bulk))?;
            let receipt = broker.publisher().send(publish, Some(settle::HOP_DEADLINE)).await;
            under_way.push(self.settle(receipt, seq).boxed());
            sent += 1;
        }
        Ok(sent)
    }

    /// Awaits the acknowledgement of what was published, then removes it from PARKED.
    async fn settle(&self, receipt: Receipt, seq: u64) -> Result<(), Error> {
        receipt.await.map_err(|source| Error::Publish {
            subject: self.integration.id.clone(),
            source,
        })?;
        self.keeper.broker.remove(subjects::PARKED, seq).await
    }

    /// Waits for a time, and settles what was published before it; true where the drain is to end.
    async fn is_stopped_settling(&self, under_way: &mut UnderWay<'_>, at: Instant) -> Result<bool, Error> {
        let stopped = self.is_stopped_at(at);
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                biased;
                stopped = &mut stopped => return Ok(stopped),
                Some(settled) = under_way.next(), if !under_way.is_empty() => settled?,
            }
        }
    }

    /// Ends what needs no token: what cannot be read, was to be dropped, or has waited too long. The
    /// others, in order.
    async fn settle_lost(&self, stored: Vec<Stored>) -> Result<Vec<(u64, Delivery)>, Error> {
        let keeper = &self.keeper;
        let mut waiting = Vec::with_capacity(stored.len());
        for stored in stored {
            let decoded = wire::decode_delivery(&stored.body);
            match decoded.as_ref().map(|delivery| self.fate(delivery, Timestamp::now())) {
                Ok(None) => {
                    waiting.extend(decoded.ok().map(|delivery| (stored.seq, delivery)));
                    continue;
                }
                Ok(Some((reason, why))) => {
                    if let Ok(delivery) = &decoded {
                        settle::end(keeper, delivery, reason, why).await?;
                    }
                }
                Err(error) => {
                    settle::bury_stored(&keeper.broker, subjects::PARKED, &stored, &error.to_string()).await?
                }
            }
            keeper.broker.remove(subjects::PARKED, stored.seq).await?;
        }
        Ok(waiting)
    }

    /// How a delivery ends without a request; `None` where it goes.
    fn fate(&self, delivery: &Delivery, now: Timestamp) -> Option<(DeadReason, &'static str)> {
        if is_dropped(delivery, self.terms.drop_before) {
            return Some((DeadReason::Discarded, DROPPED));
        }
        // Its owner may have changed it since this drain began.
        let known = |view: &crate::view::View| {
            view.integrations
                .get(&self.integration.id)
                .map(Integration::expire_after)
        };
        let expire_after = self.keeper.view.read(known);
        sweep::is_expired(delivery.since, expire_after, now).then_some((DeadReason::Expired, sweep::EXPIRED))
    }

    /// Waits; true where the drain is to end.
    async fn is_stopped(&self, wait: Duration) -> bool {
        self.is_stopped_at(Instant::now() + wait).await
    }

    async fn is_stopped_at(&self, at: Instant) -> bool {
        tokio::select! {
            biased;
            () = self.stop.notified() => {
                // Whoever looks next sees it too.
                self.stop.notify_one();
                true
            }
            () = tokio::time::sleep_until(at) => false,
        }
    }
}

/// Whether the first of what was read is the message of this sequence.
fn is_there(read: &[Stored], seq: u64) -> bool {
    read.first().is_some_and(|stored| stored.seq == seq)
}

/// When a time comes, on the clock of timers.
fn instant_of(at: Timestamp) -> Instant {
    Instant::now() + at.since(Timestamp::now())
}

#[cfg(test)]
mod tests;
