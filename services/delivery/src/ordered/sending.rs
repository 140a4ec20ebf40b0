//! What may go now, and how it goes: from a key that is ready to the request.

use std::{collections::BTreeSet, ops::Bound, sync::Arc, time::Duration};

use signalbox_broker::{Error as BrokerError, browse::Stored};
use signalbox_proto::{
    DeadReason, Delivery, Phase, State, Timestamp, integration::EXPIRE_AFTER_SECS, subjects::ORDER_PARTITIONS,
};
use tokio::time::Instant;

use super::{
    Event, OWN_RETRY, Ordered, effects,
    keys::{Kind, Rules, Turn},
    partition::At,
    places::Place,
    poison,
    tokens::{ASKED_MAX, Token},
};
use crate::{
    attempt,
    decide::{self, Admission},
    filing::Job,
    notices,
    targets::Known,
};

/// Keys whose next delivery is being ended without a request, of one partition.
const ENDING_MAX: usize = 64;
/// The wait for an integration that nobody knows.
const UNKNOWN_WAIT: Duration = Duration::from_secs(10);

/// Whether an integration is to be looked at again by itself.
#[derive(PartialEq, Eq)]
pub(super) enum Look {
    /// Something else will say so.
    Done,
    /// When a place of its share is free.
    AgainWithShare,
    /// When any place is free.
    AgainWithPlace,
}

impl Ordered {
    /// Begins all that can begin.
    pub(super) fn pump(&mut self) {
        let (now, clock) = (Timestamp::now(), Instant::now());
        self.give_back();
        while let Some((at, integration)) = self.timers.first().cloned()
            && at <= clock
        {
            self.timers.pop_first();
            self.timer_of.remove(&integration);
            self.candidates.insert(integration);
        }
        for partition in self.partitions.values_mut().filter(|partition| partition.complete) {
            partition.keys.wake(now);
            self.candidates.extend(partition.keys.take_woken());
        }
        if !self.records.is_full() {
            self.end_all(now);
            while let Some(integration) = self.next_candidate() {
                match self.send_of(&integration, now) {
                    Look::Done => {}
                    Look::AgainWithShare => {
                        self.crowded_out.insert(integration);
                    }
                    Look::AgainWithPlace => {
                        self.candidates.insert(integration);
                        break;
                    }
                }
            }
            self.ask_floors();
        }
        if let Some(batch) = self.records.take(clock) {
            let (broker, subject) = (self.broker.clone(), self.records.subject().to_owned());
            self.spawn(async move {
                let stored = super::records::store(&broker, subject, &batch).await;
                Event::Recorded(batch, stored)
            });
        }
    }

    /// Takes the candidate whose turn is next.
    fn next_candidate(&mut self) -> Option<Arc<str>> {
        let next = after(&self.candidates, self.turn_of.as_ref())?;
        self.candidates.take(&next)
    }

    /// Gives back the partitions of which nothing is in hand any more.
    fn give_back(&mut self) {
        let done = |partition: &&super::Partition| partition.leaving && partition.in_hand == 0;
        let done: Vec<u32> = self
            .partitions
            .values()
            .filter(done)
            .map(|partition| partition.at.partition)
            .collect();
        for number in done {
            if let Some(over) = self.lose(number) {
                self.finish(over);
            }
        }
    }

    /// Ends what waits no longer, without a request.
    fn end_all(&mut self, now: Timestamp) {
        let mut ending = Vec::new();
        for partition in self.partitions.values_mut() {
            if !partition.may_send(Instant::now()) {
                continue;
            }
            while partition.in_hand < ENDING_MAX + self.config.ordered_max
                && ending.len() < ENDING_MAX
                && let Some(turn) = partition.keys.take_ending(now)
            {
                partition.in_hand += 1;
                ending.push((partition.at, turn));
            }
        }
        for (at, turn) in ending {
            if turn.kind == Kind::Release {
                let integration = &*turn.integration;
                tracing::info!(
                    integration.id = integration,
                    "a key waits for a person no longer, and goes on behind its dead delivery"
                );
                let broker = self.broker.clone();
                let seq = turn.last;
                self.spawn(async move {
                    let removed = effects::remove(&broker, seq).await;
                    Event::Finished(at, turn, removed.map(|()| effects::Finished::Gone))
                });
            } else {
                self.fetch(at, turn, false);
            }
        }
    }

    /// Sends what may go of an integration.
    fn send_of(&mut self, integration: &Arc<str>, now: Timestamp) -> Look {
        let ready = self
            .partitions
            .values()
            .any(|partition| partition.keys.oldest(integration).is_some());
        if !ready {
            return Look::Done;
        }
        let Some(known) = self.targets.get(integration).cloned() else {
            self.wait_for(integration, now);
            return Look::Done;
        };
        let state = self.targets.state(integration).cloned();
        match state.as_ref().map(|state| state.phase) {
            Some(Phase::Paused | Phase::Unknown) => return Look::Done,
            Some(Phase::Suspended) => return self.send_probe(integration, state.as_ref(), now),
            Some(Phase::Open | Phase::Draining) | None => {}
        }
        loop {
            let clock = Instant::now();
            // The oldest of all partitions goes first.
            let oldest = self.partitions.values().filter(|partition| partition.may_send(clock));
            let oldest = oldest.filter_map(|partition| Some((partition.keys.oldest(integration)?, partition.at)));
            let Some(((_, key), at)) = oldest.min_by_key(|((event, _), _)| *event) else {
                return Look::Done;
            };
            if let Some(wait) = self.paced(integration, state.as_ref(), now) {
                self.look_again(integration, clock + wait);
                return Look::Done;
            }
            match self.places.enter(integration, known.integration.org.as_str(), clock) {
                Place::Free => {}
                Place::NoneOfItsOwn => return Look::Done,
                Place::NoneOfShare => return Look::AgainWithShare,
                Place::None => return Look::AgainWithPlace,
            }
            if !self.token(integration, &known, now) {
                self.places.leave(integration, None, clock);
                return Look::Done;
            }
            self.step_pace(integration, state.as_ref());
            let taken = self.partition(at).and_then(|partition| {
                let turn = partition.keys.take(&key, now)?;
                partition.in_hand += 1;
                Some(turn)
            });
            let paid = known.limit.is_some();
            match taken {
                Some(turn) => {
                    self.turn_of = Some(integration.clone());
                    self.fetch(at, Turn { paid, ..turn }, false);
                }
                None => {
                    self.places.leave(integration, None, clock);
                    return Look::Done;
                }
            }
        }
    }

    /// Looks at an integration again at a time.
    fn look_again(&mut self, integration: &Arc<str>, at: Instant) {
        match self.timer_of.get(integration) {
            Some(known) if *known <= at => return,
            Some(known) => {
                self.timers.remove(&(*known, integration.clone()));
            }
            None => {}
        }
        self.timer_of.insert(integration.clone(), at);
        self.timers.insert((at, integration.clone()));
    }

    /// Whether a token of the rate limit is there; else it is asked for, or waited for.
    pub(super) fn token(&mut self, integration: &Arc<str>, known: &Known, now: Timestamp) -> bool {
        let Some(limit) = known.limit else { return true };
        match self.tokens.take(integration, now) {
            Token::Yes => true,
            Token::At(at) => {
                self.look_again(integration, Instant::now() + at.since(now));
                false
            }
            Token::Asked => false,
            Token::Ask => {
                let ready = self
                    .partitions
                    .values()
                    .map(|partition| partition.keys.ready_of(integration));
                let want = u32::try_from(ready.sum::<usize>().clamp(1, ASKED_MAX)).unwrap_or(1);
                let (limiter, integration) = (self.limiter.clone(), integration.clone());
                self.spawn(async move {
                    let leased = limiter
                        .take(&integration, &limit, want, super::tokens::AHEAD, now)
                        .await;
                    Event::Tokens(integration, leased)
                });
                false
            }
        }
    }

    /// How long an integration that drains has to wait for its pace, if it has to.
    fn paced(&self, integration: &Arc<str>, state: Option<&State>, now: Timestamp) -> Option<Duration> {
        let state = state.filter(|state| state.phase == Phase::Draining)?;
        if let Some(until) = state.not_before
            && until > now
        {
            return Some(until.since(now));
        }
        state.drain_per_second?;
        let next = self.paces.get(integration)?;
        let clock = Instant::now();
        (*next > clock).then(|| *next - clock)
    }

    /// Sets the time of the next delivery of an integration that drains at a rate. The processes share the rate as
    /// they share the partitions.
    fn step_pace(&mut self, integration: &Arc<str>, state: Option<&State>) {
        let rate = state.filter(|state| state.phase == Phase::Draining);
        let Some(rate) = rate.and_then(|state| state.drain_per_second) else {
            self.paces.remove(integration);
            return;
        };
        let share = self.partitions.len().max(1) as f64 / f64::from(ORDER_PARTITIONS);
        let apart = Duration::from_secs_f64(1.0 / (f64::from(rate.max(1)) * share));
        let clock = Instant::now();
        let next = self.paces.get(integration).copied().unwrap_or(clock);
        // What was late by a little is made up for; a long pause is not.
        let from = next.max(clock.checked_sub(Duration::from_millis(100)).unwrap_or(clock));
        self.paces.insert(integration.clone(), from + apart);
    }

    /// An integration that nobody knows: asked about, and looked at again later. Its deliveries expire.
    fn wait_for(&mut self, integration: &Arc<str>, now: Timestamp) {
        if self.learn(integration, 0) || self.is_learning(integration) {
            return;
        }
        tracing::warn!(
            integration.id = &**integration,
            "an integration is not known yet; its deliveries wait"
        );
        self.learned.remove(&**integration);
        let rules = Rules {
            expire_after: Duration::from_secs(EXPIRE_AFTER_SECS.into()),
            deleted: false,
            drop_before: None,
            holds: true,
            hold_for: Duration::from_secs(self.broker.config().dead_age_s),
        };
        for partition in self.partitions.values_mut() {
            if partition.keys.knows(integration) && !partition.keys.has_rules(integration) {
                partition.keys.rule(integration, rules.clone(), now);
            }
        }
        self.look_again(integration, Instant::now() + UNKNOWN_WAIT);
    }

    /// Reads what a turn is about: what has just come is here, all else is in the stream.
    pub(super) fn fetch(&mut self, at: At, turn: Turn, choose: bool) {
        if let Some(delivery) = self.partition(at).and_then(|partition| partition.body(&turn)) {
            return self.begin(at, turn, delivery, choose);
        }
        let broker = self.broker.clone();
        let seq = if turn.tried { turn.last } else { turn.queued.seq };
        // What was tried lies at two places; the one in the queue says whether somebody has given it up.
        let queued = turn.queued.seq;
        self.spawn(async move {
            let found = async {
                let Some(stored) = broker.ordered_message(seq).await? else {
                    return Ok(None);
                };
                if seq == queued {
                    return Ok(Some(stored));
                }
                Ok(broker.ordered_message(queued).await?.map(|_| stored))
            };
            let found = found.await;
            Event::Read(at, turn, choose, found)
        });
    }

    pub(super) fn found(&mut self, at: At, turn: Turn, choose: bool, found: Result<Option<Stored>, BrokerError>) {
        match found {
            Ok(Some(stored)) => match Self::decode(&stored) {
                Ok(delivery) => self.begin(at, turn, Arc::new(delivery), choose),
                Err(why) => {
                    tracing::error!(ordered.seq = stored.seq, why, "an ordered delivery cannot be read");
                    self.unsent(&turn);
                    let broker = self.broker.clone();
                    let burying = Self::burying(&self.broker, stored, &why);
                    self.spawn(async move {
                        let finished = match burying.await {
                            Ok(()) => effects::finish(broker, &turn, None).await,
                            Err(error) => Err(error),
                        };
                        Event::Finished(at, turn, finished)
                    });
                }
            },
            // Somebody has given it up.
            Ok(None) => self.give_up(at, turn),
            Err(error) => {
                tracing::warn!(%error, "an ordered delivery cannot be read yet");
                self.put_back(at, &turn, Some(OWN_RETRY));
            }
        }
    }

    /// Goes on behind a delivery that is not there any more.
    pub(super) fn give_up(&mut self, at: At, turn: Turn) {
        self.unsent(&turn);
        let broker = self.broker.clone();
        self.spawn(async move {
            let finished = effects::finish(broker, &turn, None).await;
            Event::Finished(at, turn, finished)
        });
    }

    /// Decides what is done with a delivery that is here.
    fn begin(&mut self, at: At, turn: Turn, delivery: Arc<Delivery>, choose: bool) {
        if self.partition(at).is_none() {
            return self.unsent(&turn);
        }
        let now = Timestamp::now();
        let broker = self.broker.clone();
        let last = turn.last;
        if let Kind::End(reason, why) = turn.kind {
            return self.end(at, turn, delivery, reason, why, now);
        }
        let Some(known) = self.targets.get(&turn.integration).cloned() else {
            return self.put_back(at, &turn, Some(UNKNOWN_WAIT));
        };
        // A delivery names the revision that the router knew: a worker that is behind reads KV once.
        let behind = known.integration.revision < delivery.revision;
        if behind && (self.learn(&turn.integration, delivery.revision) || self.is_learning(&turn.integration)) {
            return self.put_back(at, &turn, Some(Duration::from_millis(200)));
        }
        let job = Job { delivery, known };
        if let Some(unfiled) = job.delivery.filed.clone() {
            self.unsent(&turn);
            return self.spawn(async move {
                let done = effects::file_again(broker, job, unfiled, last, now).await;
                Event::Filed(at, turn, done)
            });
        }
        if choose {
            return self.make_probe(at, turn, job.delivery, now);
        }
        let state = self.targets.state(&turn.integration);
        match decide::admit(&job.delivery, &job.known.integration, state, now) {
            Admission::End(reason, why) => self.end(at, turn, job.delivery, reason, why, now),
            // The state is another than a moment ago, or will be: not at once again.
            Admission::Park(_) => self.put_back(at, &turn, Some(OWN_RETRY)),
            Admission::Probe(_) => {
                let probe = Delivery {
                    probe: true,
                    ..Delivery::clone(&job.delivery)
                };
                self.go(
                    at,
                    turn,
                    Job {
                        delivery: Arc::new(probe),
                        ..job
                    },
                );
            }
            Admission::Go => self.go(at, turn, job),
        }
    }

    /// Ends a delivery without a request.
    fn end(
        &mut self,
        at: At,
        turn: Turn,
        delivery: Arc<Delivery>,
        reason: DeadReason,
        why: &'static str,
        now: Timestamp,
    ) {
        self.unsent(&turn);
        let known = self.targets.get(&turn.integration).cloned();
        let notice = match (reason, known) {
            (DeadReason::Discarded, _) | (_, None) => None,
            (_, Some(known)) => {
                let delivery = delivery.clone();
                let job = Job { delivery, known };
                self.judge.notice(notices::Kind::Dead, &job, why, now)
            }
        };
        let broker = self.broker.clone();
        self.spawn(async move {
            let done = effects::end(broker, delivery, reason, why, notice, now).await;
            Event::Filed(at, turn, done)
        });
    }

    /// Sends a delivery to its target.
    pub(super) fn go(&mut self, at: At, turn: Turn, job: Job) {
        let Some((turn, job)) = self.behind_marker(at, turn, job) else {
            return;
        };
        let now = Timestamp::now();
        let target = match &job.known.target {
            Ok(target) => target.clone(),
            Err(reason) => {
                let reason = reason.clone();
                self.unsent(&turn);
                let notice = match job.delivery.probe {
                    true => None,
                    false => self.judge.notice(notices::Kind::Suspended, &job, &reason, now),
                };
                let (broker, first_secs, last) = (self.broker.clone(), self.config.probe_first_s, turn.last);
                return self.spawn(async move {
                    let done = effects::unopened(broker, job, reason, notice, first_secs, last).await;
                    Event::Filed(at, turn, done)
                });
            }
        };
        // The last look before the request: who was frozen or cut off meanwhile sends nothing.
        let validity = self.partition(at).map(|partition| partition.validity.clone());
        let Some(validity) = validity.filter(|validity| validity.holds(Instant::now())) else {
            return self.put_back(at, &turn, Some(OWN_RETRY));
        };
        let client = self.client.connecting_within(job.known.integration.connect_timeout());
        let means = self.means.clone();
        let (delivery, revision) = (job.delivery.clone(), job.known.integration.revision);
        let sending = async move {
            let sending = attempt::send(&client, &means, &target, &delivery, revision);
            poison::guarded(validity.bound(sending)).await
        };
        let (sending, handle) = futures::future::abortable(sending);
        self.requests.insert((at, turn.key.clone()), handle);
        self.spawn(async move {
            let job = Box::new(job);
            match sending.await {
                Ok(Err(poison::Panicked)) => Event::Panicked(at, turn, job),
                Ok(Ok(attempted)) => Event::Answered(at, turn, job, attempted),
                Err(futures::future::Aborted) => Event::Answered(at, turn, job, None),
            }
        });
    }

    /// Puts a key back with which nothing was done.
    pub(super) fn put_back(&mut self, at: At, turn: &Turn, later: Option<Duration>) {
        self.unmark(at, turn);
        self.unsent(turn);
        let now = Timestamp::now();
        if let Some(partition) = self.partition(at) {
            partition.in_hand = partition.in_hand.saturating_sub(1);
            partition.keys.back(&turn.key, later.map(|later| now + later), now);
        }
    }

    /// Gives back what a turn had for a request that is not sent: its place, and its token.
    pub(super) fn unsent(&mut self, turn: &Turn) {
        self.free_place(turn, None);
        if turn.paid {
            self.tokens.unused(&turn.integration, Timestamp::now());
        }
    }

    /// Gives back the place of a turn that had one: others of its integration, and of all, may begin.
    pub(super) fn free_place(&mut self, turn: &Turn, took: Option<Duration>) {
        if turn.kind == Kind::Send {
            if self.places.leave(&turn.integration, took, Instant::now()) {
                self.candidates.append(&mut self.crowded_out);
            }
            self.candidates.insert(turn.integration.clone());
        }
    }
}

/// The one that comes after another, in a circle.
fn after(all: &BTreeSet<Arc<str>>, one: Option<&Arc<str>>) -> Option<Arc<str>> {
    let behind = one.and_then(|one| all.range((Bound::Excluded(one.clone()), Bound::Unbounded)).next());
    behind.or_else(|| all.first()).cloned()
}
