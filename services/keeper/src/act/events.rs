//! Replays of accepted events to one integration, in the order of EVENTS.
//!
//! **Invariant:** what is about to be sent is written into the act before, as far as the end of a chunk
//! ([`signalbox_proto::act::Ahead`]); the cursor follows. After a crash whatever lies between is looked for in every
//! stream that could hold it, under the generation that this act alone has, and sent only where it is nowhere.
//!
//! The delivery is the one that the router makes of the event and the integration, so its ledger row is the same;
//! the generation of the act is higher than any that it had.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    time::Duration,
};

use signalbox_broker::{Error, browse::Stored, topology::From};
use signalbox_matching::{Choice, Past};
use signalbox_proto::{
    Accepted, Delivery, Event, Integration, Lane, Timestamp,
    act::{self, EventFilter},
    delivery, subjects, wire,
};
use tokio::time::Instant;

use super::{
    held::{Held, Published, Went},
    work::{Ended, Work},
};
use crate::evidence::{self, Sought};

/// Events read at a time.
const READ: usize = 128;
/// How far the clocks of a keeper and of the servers may be apart.
const CLOCKS_APART: Duration = Duration::from_secs(60);

/// Sends events of the past to an integration.
pub(super) async fn replay(work: &mut Work<'_>, to: &str) -> Result<Ended, Error> {
    let Some(filter) = work.act.events.clone() else {
        work.act.message = "it does not say which events: ask for the replay again".into();
        return work.give_up().await;
    };
    let integration = match work.integration(to).await? {
        Ok(integration) => integration,
        Err(reason) => {
            work.act.message = reason;
            return work.give_up().await;
        }
    };
    let past = match Past::new(&filter, &integration) {
        Ok(past) => past,
        Err(error) => {
            work.act.message = format!("type: {error}");
            return work.give_up().await;
        }
    };
    let subject = subjects::events_of(&filter.org, past.pattern());
    if work.act.cursor == 0 {
        work.act.cursor = first_since(work, &filter, &subject).await?;
    }
    let mut replay = Replay {
        sent_before: sent_before(work, &integration).await?,
        work,
        integration,
        past,
        ends: filter.until,
        subject,
        held: Held::new(READ, Instant::now()),
    };
    loop {
        let look = replay.work.look();
        let Some(part) = replay.next_part().await? else {
            return Ok(Ended::Done);
        };
        let mut used = 0;
        for chunk in part.chunks(replay.work.chunk_max()) {
            let went = replay.send(chunk).await?;
            if went == Went::Stopped {
                return Ok(replay.work.paused());
            }
            if replay.work.is_over() {
                let cursor = replay.work.act.cursor;
                replay.work.save(cursor).await?;
                return Ok(replay.work.paused());
            }
            if went == Went::Old {
                break;
            }
            used += chunk.len();
        }
        replay.held.used(used, part.len());
        replay.work.rest(look).await;
    }
}

/// The place before the first event that may be meant.
async fn first_since(work: &Work<'_>, filter: &EventFilter, subject: &str) -> Result<u64, Error> {
    let mut first = None;
    let from = From::Time(filter.since);
    let broker = &work.keeper.broker;
    broker
        .scan(subjects::EVENTS, vec![subject.to_owned()], from, |message| {
            first = Some(message.place.seq);
            ControlFlow::Break(())
        })
        .await?;
    // Without any, all that is left is behind the end.
    Ok(first.map_or(work.act.through, |seq| seq.saturating_sub(1)))
}

/// Of what a crash left in doubt, the events that were sent: they are not sent again.
async fn sent_before(work: &mut Work<'_>, integration: &Integration) -> Result<BTreeSet<u64>, Error> {
    let Some(ahead) = work.act.ahead.filter(|ahead| ahead.through > work.act.cursor) else {
        return Ok(BTreeSet::new());
    };
    let broker = &work.keeper.broker;
    // It was written by a keeper's clock, and is compared with the server's.
    let mut sought = Sought::since(ahead.at - CLOCKS_APART);
    let mut next = work.act.cursor + 1;
    // All events of the org, whatever the subscription says: it may have been another then.
    let org = subjects::events_of(&integration.org, None);
    loop {
        let part = broker.read_from(subjects::EVENTS, &org, next, READ).await?;
        let doubtful = part.iter().take_while(|stored| stored.seq <= ahead.through);
        for stored in doubtful {
            if let Ok(event) = wire::decode::<Event>(&stored.body) {
                let id = delivery::id(&event.key(), &integration.id);
                let generation = act::next_generation(0, work.act.generation);
                sought.delivery(id, generation, integration.provider.clone(), stored.seq);
            }
        }
        match part.last() {
            Some(last) if last.seq < ahead.through => next = last.seq + 1,
            _ => break,
        }
    }
    let found = evidence::of(work.keeper, &sought).await?;
    tracing::info!(act.id = %work.act.id, through = ahead.through, found = found.len(), "what earlier work left in doubt was looked for");
    Ok(found)
}

/// A replay at work.
struct Replay<'w, 'a, 'f> {
    work: &'w mut Work<'a>,
    integration: Integration,
    past: Past<'f>,
    ends: Option<Timestamp>,
    subject: String,
    sent_before: BTreeSet<u64>,
    held: Held,
}

impl Replay<'_, '_, '_> {
    /// The next events behind the cursor; `None` at the end.
    async fn next_part(&mut self) -> Result<Option<Vec<Stored>>, Error> {
        let count = self.held.read(Instant::now());
        let act = &self.work.act;
        let broker = &self.work.keeper.broker;
        let mut part = broker
            .read_from(subjects::EVENTS, &self.subject, act.cursor + 1, count)
            .await?;
        if part.is_empty() && act.cursor < act.through {
            self.work
                .check_end(subjects::EVENTS, &self.subject, act.cursor + 1)
                .await?;
        }
        let in_time = |stored: &Stored| self.ends.is_none_or(|until| stored.at < until);
        part.retain(|stored| stored.seq <= act.through && in_time(stored));
        Ok((!part.is_empty()).then_some(part))
    }

    /// Sends some.
    async fn send(&mut self, chunk: &[Stored]) -> Result<Went, Error> {
        let end = chunk.last().map_or(0, |stored| stored.seq);
        let wanted = chunk
            .iter()
            .filter_map(|stored| Some((stored.seq, self.choose(stored)?)));
        let wanted: Vec<(u64, Chosen)> = wanted.collect();
        let sends = wanted
            .iter()
            .filter(|(_, chosen)| matches!(chosen, Chosen::Send(_)))
            .count() as u64;
        if sends > 0 {
            let target = (self.integration.provider.clone(), self.integration.id.clone());
            self.work.room(&BTreeMap::from([(target, sends)])).await?;
            if self.work.is_stopped() {
                // What was sent before is told, and nothing is left in doubt.
                let cursor = self.work.act.cursor;
                self.work.save(cursor).await?;
                return Ok(Went::Stopped);
            }
            if self.held.is_old(Instant::now()) {
                return Ok(Went::Old);
            }
            if !self.work.save_ahead(end).await? {
                return Ok(Went::Stopped);
            }
        }
        let mut begun = Vec::with_capacity(wanted.len());
        let mut went = Went::On;
        for (seq, chosen) in wanted {
            let sent = match chosen {
                Chosen::SentBefore => Published::Ended(Ok(Ok(()))),
                Chosen::Fail(reason) => Published::Ended(Ok(Err(reason))),
                Chosen::Send(next) => {
                    went = self.work.next_send_of(&self.held).await?;
                    if went != Went::On {
                        break;
                    }
                    self.work.publish(&next).await
                }
            };
            let is_stuck = sent.is_stuck();
            begun.push((seq, sent));
            if is_stuck {
                break;
            }
        }
        // What was not begun is read again, or when the act goes on: nothing of it was sent.
        let saved = self.settle(begun, (went == Went::On).then_some(end)).await?;
        Ok(if saved { went } else { Went::Stopped })
    }

    /// What is done about an event; `None` for one that is not meant.
    fn choose(&self, stored: &Stored) -> Option<Chosen> {
        let event = match wire::decode::<Event>(&stored.body) {
            Ok(event) => event,
            Err(error) => return Some(Chosen::Fail(format!("cannot be read: {error}"))),
        };
        let accepted = Accepted {
            event,
            seq: stored.seq,
            at: stored.at,
        };
        match self.past.choose(&accepted) {
            Choice::Beside | Choice::Unselected => None,
            Choice::Unanswered(error) => Some(Chosen::Fail(error.to_string())),
            Choice::Send(_) if self.sent_before.contains(&stored.seq) => Some(Chosen::SentBefore),
            Choice::Send(key) => {
                let act = (self.work.act.id.as_str(), self.work.act.generation);
                let next = again(accepted, &self.integration, key.as_deref(), act, Timestamp::now());
                Some(Chosen::Send(Box::new(next)))
            }
        }
    }

    /// Waits for what was begun and saves how far the act is; false where a person stopped it. `end` is the end of
    /// the chunk where all of it was begun.
    async fn settle(&mut self, begun: Vec<(u64, Published)>, end: Option<u64>) -> Result<bool, Error> {
        let mut cursor = self.work.act.cursor;
        let mut stopped = None;
        for (seq, sent) in begun {
            let ended = sent.ended().await;
            if stopped.is_some() {
                continue;
            }
            match ended {
                Ok(Ok(())) => self.work.act.done += 1,
                Ok(Err(reason)) => self.work.fail(&format!("event {seq}"), &reason),
                Err(error) => {
                    stopped = Some(error);
                    continue;
                }
            }
            cursor = seq;
        }
        if let Some(error) = stopped {
            // What was begun behind it may have been sent: the act still says so, and is asked about it when it
            // goes on.
            self.work.save(cursor).await?;
            return Err(error);
        }
        // All that was begun is known; what earlier work has sent behind it is still only said here.
        if !reaches_behind(&self.sent_before, end.unwrap_or(cursor)) {
            self.work.act.ahead = None;
        }
        match end {
            None => self.work.save(cursor).await,
            Some(end) => self.work.advance(end).await,
        }
    }
}

/// Whether earlier work has sent anything behind this place.
fn reaches_behind(sent_before: &BTreeSet<u64>, seq: u64) -> bool {
    sent_before.last().is_some_and(|last| *last > seq)
}

/// What is done about an event that is meant.
enum Chosen {
    Send(Box<Delivery>),
    /// Earlier work has sent it.
    SentBefore,
    Fail(String),
}

/// The delivery of an event of the past: what the router would make of it, in the generation of the act (its id and
/// generation). It says nothing of how many integrations the event matched.
fn again(
    accepted: Accepted,
    integration: &Integration,
    key: Option<&str>,
    act: (&str, u32),
    now: Timestamp,
) -> Delivery {
    let first = Delivery::first(
        accepted,
        &integration.id,
        &integration.provider,
        integration.revision,
        0,
    );
    Delivery {
        generation: act::next_generation(0, act.1),
        lane: if key.is_some() { Lane::Ordered } else { Lane::Bulk },
        order_key: key.map(|key| delivery::order_key(&integration.id, key)),
        since: now,
        replay: Some(act.0.to_owned()),
        ..first
    }
}

#[cfg(test)]
mod tests;
