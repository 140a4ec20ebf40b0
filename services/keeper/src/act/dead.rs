//! Acts on dead letters, in the order in which these died.
//!
//! **Invariant:** what is about to be published again is marked before, and marked as done after; the cursor
//! follows. What is marked as intended, by any act, and not as done is in doubt: for that, evidence is looked for in
//! every stream that could hold it, before anything is sent ([`super::doubts`]).
//!
//! A letter that can never be sent again is counted as failed. What passes by itself ends the work on an act for a
//! while; other acts go on.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use signalbox_broker::{
    Error,
    browse::{Stored, dead_letter_id, dead_letter_seq},
    events::StreamState,
};
use signalbox_proto::{
    DeadLetter, Delivery, Integration, Lane, Name, Timestamp,
    act::{self, DeadFilter, Did},
    delivery::Progress,
    ledger::Final,
    subjects, wire,
};
use tokio::time::Instant;

use super::{
    doubts::{self, Seen},
    held::{Held, Published, Went},
    work::{Ended, Work},
};
use crate::{input, settle};

/// Dead letters read at a time.
const READ: usize = 128;
/// How often an input is sent in before it is taken for one that INGEST refuses, and the wait between.
const INPUT_TRIES: u32 = 3;
const INPUT_WAIT: Duration = Duration::from_secs(1);
/// What an owner reads of a delivery that was given up.
const DISCARDED: &str = "discarded by a person";

/// Delivers dead letters again, to their own integration or another.
pub(super) async fn replay(work: &mut Work<'_>, to: Option<&str>) -> Result<Ended, Error> {
    each(work, Wish::Replay(to)).await
}

/// Gives dead letters up.
pub(super) async fn discard(work: &mut Work<'_>) -> Result<Ended, Error> {
    each(work, Wish::Discard).await
}

/// What an act does to dead letters.
#[derive(Clone, Copy)]
enum Wish<'t> {
    Replay(Option<&'t str>),
    Discard,
}

async fn each(work: &mut Work<'_>, wish: Wish<'_>) -> Result<Ended, Error> {
    let mut letters = Letters::open(work).await?;
    loop {
        let look = letters.work.look();
        let Some(part) = letters.next_part().await? else {
            return Ok(Ended::Done);
        };
        let mut used = 0;
        for chunk in part.chunks(letters.work.chunk_max()) {
            let went = match wish {
                Wish::Replay(to) => letters.replay(chunk, to).await?,
                Wish::Discard => letters.discard(chunk).await?,
            };
            if went == Went::Stopped {
                return Ok(letters.work.paused());
            }
            if letters.work.is_over() {
                return letters.pause().await;
            }
            if went == Went::Old {
                break;
            }
            used += chunk.len();
        }
        letters.held.used(used, part.len());
        letters.want_again(&part);
        letters.work.rest(look).await;
    }
}

/// What is done about a dead letter of a replay.
enum Plan {
    /// Replayed or discarded before.
    Skip,
    /// It can never be sent again.
    Fail(String),
    Deliver(Box<Delivery>),
    SendIn(Box<input::Again>),
}

/// What was begun for a dead letter.
enum Begun {
    Skipped,
    Failed(String),
    Sent(Published),
}

/// The dead letters of an act, with what is known to have been done to them.
struct Letters<'w, 'a> {
    work: &'w mut Work<'a>,
    seen: Seen,
    /// With ids, those that are left.
    wanted: Option<VecDeque<u64>>,
    /// Those of an order that go to another integration: their keys need not wait for them any more.
    elsewhere: BTreeMap<u64, Box<Delivery>>,
    held: Held,
}

impl<'w, 'a> Letters<'w, 'a> {
    /// Settles what is in doubt first.
    async fn open(work: &'w mut Work<'a>) -> Result<Self, Error> {
        let mut seen = doubts::read(work.keeper, &work.act).await?;
        doubts::settle(work, &mut seen).await?;
        // The marks are the truth: a crash may have come between them and the save.
        work.act.done = work.act.done.max(seen.own.len() as u64);
        let ids: BTreeSet<u64> = work
            .act
            .filter
            .ids
            .iter()
            .filter_map(|id| dead_letter_seq(id))
            .collect();
        let wanted = (!ids.is_empty()).then(|| ids.into_iter().filter(|seq| *seq > work.act.cursor).collect());
        Ok(Self {
            work,
            seen,
            wanted,
            elsewhere: BTreeMap::new(),
            held: Held::new(READ, Instant::now()),
        })
    }

    /// Ends a turn, with what was skipped since the last save.
    async fn pause(&mut self) -> Result<Ended, Error> {
        let cursor = self.work.act.cursor;
        self.work.save(cursor).await?;
        Ok(self.work.paused())
    }

    /// The next dead letters behind the cursor that the act may be about; `None` at the end.
    async fn next_part(&mut self) -> Result<Option<Vec<Stored>>, Error> {
        let count = self.held.read(Instant::now());
        let broker = &self.work.keeper.broker;
        let act = &self.work.act;
        let mut part = Vec::new();
        match &mut self.wanted {
            // Without ids, one reading of the stream; with them, one reading each.
            None => {
                let (subject, next) = (act.filter.subject(), act.cursor + 1);
                part = broker.read_from(subjects::DEAD, &subject, next, count).await?;
                if part.is_empty() && next <= act.through {
                    self.work.check_end(subjects::DEAD, &subject, next).await?;
                }
            }
            Some(wanted) => {
                while part.is_empty() && !wanted.is_empty() {
                    let some = wanted.drain(..wanted.len().min(self.work.chunk_max()).min(count));
                    for seq in some {
                        let found = broker.read_from(subjects::DEAD, subjects::DEAD_ALL, seq, 1).await?;
                        let found = found.into_iter().find(|stored| stored.seq == seq);
                        if found.is_none() {
                            self.work
                                .check_none(subjects::DEAD, subjects::DEAD_ALL, seq..=seq)
                                .await?;
                        }
                        part.extend(found);
                    }
                }
            }
        }
        part.retain(|stored| stored.seq <= act.through);
        Ok((!part.is_empty()).then_some(part))
    }

    /// With ids, asks again for those of a part that are still to be done.
    fn want_again(&mut self, part: &[Stored]) {
        let cursor = self.work.act.cursor;
        if let Some(wanted) = &mut self.wanted {
            let left = part.iter().rev().filter(|stored| stored.seq > cursor);
            left.for_each(|stored| wanted.push_front(stored.seq));
        }
    }

    /// Those of a chunk that the act is about; of one that cannot be read, why.
    fn read(&self, chunk: &[Stored]) -> Vec<(u64, Result<DeadLetter, String>)> {
        let filter = &self.work.act.filter;
        let mut letters = Vec::with_capacity(chunk.len());
        for stored in chunk {
            match wire::decode::<DeadLetter>(&stored.body) {
                Ok(letter) if filter.covers(stored.at, &letter) => letters.push((stored.seq, Ok(letter))),
                Ok(_) => {}
                Err(error) if is_meant_unread(filter, stored) => {
                    letters.push((stored.seq, Err(format!("cannot read this dead letter: {error}"))));
                }
                Err(error) => tracing::error!(%error, id = dead_letter_id(stored.seq), "cannot read a dead letter"),
            }
        }
        letters
    }

    /// Counts one that was settled before; not by this act itself, whose own marks are counted already.
    fn skip(&mut self, seq: u64) {
        if !self.seen.own.contains(&seq) {
            self.work.act.skipped += 1;
        }
    }

    /// Gives some up.
    async fn discard(&mut self, chunk: &[Stored]) -> Result<Went, Error> {
        let mut cursor = chunk.last().map_or(0, |stored| stored.seq);
        let mut went = Went::On;
        let mut given_up = Vec::new();
        let mut records = Vec::new();
        let mut released = Vec::new();
        let mut before = self.work.act.cursor;
        for (seq, letter) in self.read(chunk) {
            let letter = match letter {
                Ok(letter) => letter,
                Err(reason) => {
                    self.work.fail(&dead_letter_id(seq), &reason);
                    before = seq;
                    continue;
                }
            };
            if self.seen.marks.is_settled(seq) {
                self.skip(seq);
            } else {
                went = self.work.next_send_of(&self.held).await?;
                if went != Went::On {
                    cursor = before;
                    break;
                }
                let delivery = letter.delivery.as_deref();
                records.extend(
                    delivery.map(|delivery| settle::ended(delivery, Final::Discarded, DISCARDED, Timestamp::now())),
                );
                released.extend(letter.delivery.filter(|delivery| delivery.order_key.is_some()));
                given_up.push(seq);
            }
            before = seq;
        }
        if !records.is_empty() {
            settle::record(self.work.keeper, &records).await?;
        }
        // Before the marks: what is marked is never looked at again.
        for delivery in released {
            self.work.keeper.broker.release_ordered(&delivery).await?;
        }
        let quiet = went == Went::On && given_up.is_empty();
        doubts::mark(self.work, &mut self.seen, Did::Discarded, given_up, None).await?;
        let saved = if quiet {
            self.work.advance(cursor).await?
        } else {
            self.work.save(cursor).await?
        };
        Ok(if saved { went } else { Went::Stopped })
    }

    /// Sends some again: intention, effects, mark.
    async fn replay(&mut self, chunk: &[Stored], to: Option<&str>) -> Result<Went, Error> {
        let plans = self.plan(chunk, to).await?;
        let mut targets: BTreeMap<(Name, String), u64> = BTreeMap::new();
        let mut intended = Vec::new();
        for (seq, plan) in &plans {
            match plan {
                Plan::Skip | Plan::Fail(_) => {}
                Plan::Deliver(next) => {
                    *targets
                        .entry((next.provider.clone(), next.integration.clone()))
                        .or_default() += 1;
                    intended.push(*seq);
                }
                Plan::SendIn(_) => intended.push(*seq),
            }
        }
        self.work.room(&targets).await?;
        if self.work.is_stopped() {
            // Nothing of this chunk has begun.
            let cursor = self.work.act.cursor;
            self.work.save(cursor).await?;
            return Ok(Went::Stopped);
        }
        if !intended.is_empty() && self.held.is_old(Instant::now()) {
            return Ok(Went::Old);
        }
        doubts::mark(self.work, &mut self.seen, Did::Intend, intended, to).await?;
        let mut begun = Vec::with_capacity(plans.len());
        let mut withdrawn = Vec::new();
        let mut is_stuck = false;
        let mut went = Went::On;
        for (seq, plan) in plans {
            let sends = matches!(plan, Plan::Deliver(_) | Plan::SendIn(_));
            if sends && !is_stuck && withdrawn.is_empty() {
                went = self.work.next_send_of(&self.held).await?;
            }
            if is_stuck || !withdrawn.is_empty() || went != Went::On {
                withdrawn.push((seq, sends));
                continue;
            }
            let one = match plan {
                Plan::Skip => Begun::Skipped,
                Plan::Fail(reason) => Begun::Failed(reason),
                Plan::Deliver(next) => Begun::Sent(self.work.publish(&next).await),
                Plan::SendIn(again) => Begun::Sent(Published::Ended(self.send_in(&again).await)),
            };
            is_stuck = matches!(&one, Begun::Sent(sent) if sent.is_stuck());
            begun.push((seq, one));
        }
        let goes_on = withdrawn.is_empty();
        // Said now, so that nobody has to look for them later.
        let unsent = withdrawn.into_iter().filter(|(_, sends)| *sends).map(|(seq, _)| seq);
        doubts::mark(self.work, &mut self.seen, Did::Withdrawn, unsent.collect(), None).await?;
        let end = chunk.last().map_or(0, |stored| stored.seq);
        let saved = self.settle(begun, goes_on.then_some(end)).await?;
        Ok(if saved { went } else { Went::Stopped })
    }

    /// Waits for what was begun, marks what is done, and saves how far the act is; false where a person stopped it.
    /// `end` is the end of the chunk where all of it was begun.
    async fn settle(&mut self, begun: Vec<(u64, Begun)>, end: Option<u64>) -> Result<bool, Error> {
        let mut replayed = Vec::new();
        let mut cursor = self.work.act.cursor;
        let mut stopped = None;
        for (seq, one) in begun {
            let ended = match one {
                Begun::Skipped | Begun::Failed(_) if stopped.is_some() => continue,
                Begun::Skipped => {
                    self.skip(seq);
                    cursor = seq;
                    continue;
                }
                Begun::Failed(reason) => Ok(Err(reason)),
                Begun::Sent(sent) => sent.ended().await,
            };
            match ended {
                // Those behind one that stopped the act are done all the same: their marks tell the next work.
                Ok(Ok(())) => {
                    if let Some(dead) = self.elsewhere.remove(&seq) {
                        self.work.keeper.broker.release_ordered(&dead).await?;
                    }
                    replayed.push(seq);
                }
                Ok(Err(_)) if stopped.is_some() => {}
                Ok(Err(reason)) => self.work.fail(&dead_letter_id(seq), &reason),
                Err(error) => stopped = stopped.or(Some(error)),
            }
            if stopped.is_none() {
                cursor = seq;
            }
        }
        let quiet = end.is_some() && replayed.is_empty();
        doubts::mark(self.work, &mut self.seen, Did::Replayed, replayed, None).await?;
        match stopped {
            None if quiet => self.work.advance(end.unwrap_or(cursor)).await,
            None => self.work.save(end.unwrap_or(cursor)).await,
            // What went before it is done: only this one and what failed with it is in doubt when the act goes on.
            Some(error) => {
                self.work.save(cursor).await?;
                Err(error)
            }
        }
    }

    async fn plan(&mut self, chunk: &[Stored], to: Option<&str>) -> Result<Vec<(u64, Plan)>, Error> {
        let mut known: BTreeMap<String, Result<Integration, String>> = BTreeMap::new();
        let mut plans = Vec::with_capacity(chunk.len());
        for (seq, letter) in self.read(chunk) {
            let letter = match letter {
                Ok(letter) => letter,
                Err(reason) => {
                    plans.push((seq, Plan::Fail(reason)));
                    continue;
                }
            };
            if self.seen.marks.is_settled(seq) {
                plans.push((seq, Plan::Skip));
                continue;
            }
            let Some(dead) = letter.delivery else {
                plans.push((seq, plan_input(seq, letter.input)));
                continue;
            };
            let target = to.unwrap_or(&dead.integration);
            if !known.contains_key(target) {
                known.insert(target.to_owned(), self.work.integration(target).await?);
            }
            plans.push(match known.get(target) {
                Some(Ok(integration)) => {
                    let act = (self.work.act.id.as_str(), self.work.act.generation);
                    let next = again(&dead, integration, act, seq, Timestamp::now());
                    if dead.order_key.is_some() && next.order_key.is_none() {
                        self.elsewhere.insert(seq, dead);
                    }
                    (seq, Plan::Deliver(Box::new(next)))
                }
                Some(Err(reason)) => (seq, Plan::Fail(format!("{reason}; replay to another with --to"))),
                None => continue,
            });
        }
        Ok(plans)
    }

    /// Sends an input in. Its id makes a repeat harmless. The inner error is what its owner is told.
    async fn send_in(&self, again: &input::Again) -> Result<Result<(), String>, Error> {
        let broker = &self.work.keeper.broker;
        let mut headers = again.headers.clone();
        headers.push((act::HEADER.to_owned(), self.work.act.id.clone()));
        let mut tries = 1;
        loop {
            let sent = broker.publish_raw(&again.subject, &headers, again.body.clone()).await;
            let Err(error) = sent else { return Ok(Ok(())) };
            if !error.is_transient() {
                return Ok(Err(settle::why(&error)));
            }
            if tries == INPUT_TRIES {
                // While INGEST answers and has room, it is this one input that it does not take.
                let ingest = broker.stream_state(subjects::INGEST).await?;
                return if has_room(&ingest) {
                    Ok(Err(settle::why(&error)))
                } else {
                    Err(error)
                };
            }
            tries += 1;
            tokio::time::sleep(INPUT_WAIT).await;
        }
    }
}

fn plan_input(seq: u64, input: Option<signalbox_proto::dead::Input>) -> Plan {
    match input.map(|input| input::again(seq, input)) {
        Some(Ok(again)) => Plan::SendIn(Box::new(again)),
        Some(Err(reason)) => Plan::Fail(reason),
        None => Plan::Fail("this dead letter holds nothing that could be sent again".into()),
    }
}

/// Whether a dead letter that cannot be read is one of those that are meant: its place alone says so, and it is not
/// asked for by what it says.
fn is_meant_unread(filter: &DeadFilter, stored: &Stored) -> bool {
    let says_more = filter.fingerprint.is_some() || filter.event_type.is_some() || filter.reason.is_some();
    let default_org = Name::default_org();
    let org = match stored.subject.split('.').nth(3) {
        None | Some("-") => default_org.as_str(),
        Some(org) => org,
    };
    let in_time =
        filter.since.is_none_or(|since| stored.at >= since) && filter.until.is_none_or(|until| stored.at < until);
    !says_more && in_time && filter.org.as_deref().is_none_or(|wanted| wanted == org)
}

/// Whether a stream has room for more, with some to spare.
fn has_room(state: &StreamState) -> bool {
    state.bytes_max.is_none_or(|most| state.bytes < most / 100 * 95)
}

/// What a replay goes on from. Its requests begin anew: a refusal among those that were answered is what it is to mend.
fn counted_alone(progress: &Progress) -> Option<Progress> {
    progress.counted.then(|| Progress {
        counted: true,
        ..Progress::default()
    })
}

/// The delivery of a replay: a new generation, from the beginning of its schedule and its expiry. `act` is its id
/// and its generation.
fn again(dead: &Delivery, integration: &Integration, act: (&str, u32), seq: u64, now: Timestamp) -> Delivery {
    let own = integration.id == dead.integration;
    Delivery {
        id: dead.id_at(&integration.id),
        provider: integration.provider.clone(),
        integration: integration.id.clone(),
        revision: integration.revision,
        generation: act::next_generation(dead.generation, act.1),
        hop: 0,
        attempt: 0,
        retries: 0,
        lane: if own && dead.order_key.is_some() {
            Lane::Ordered
        } else {
            Lane::Bulk
        },
        // Keys are of one integration.
        order_key: dead.order_key.clone().filter(|_| own),
        since: now,
        due: None,
        notes: Vec::new(),
        suspends: None,
        probe: false,
        filed: None,
        held: false,
        progress: dead.progress.as_ref().filter(|_| own).and_then(counted_alone),
        replay: Some(act.0.to_owned()),
        replay_of: Some(seq),
        ..dead.clone()
    }
}

#[cfg(test)]
mod tests;
