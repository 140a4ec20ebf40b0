//! Who is at work: acts of one line have turns, the one that waits longest first.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use signalbox_broker::{
    Error, Message, Puller,
    topology::{Consumer, From},
};
use signalbox_proto::{
    act::{Act, ActStatus},
    subjects, wire,
};
use tokio::time::Instant;

use super::{
    Line, line_of,
    work::{self, Ended, Turn},
};
use crate::{Keeper, settle};

/// How long an act keeps its place while others wait for it.
const TURN: Duration = Duration::from_secs(2);
/// The wait before an act is resumed that an error stopped.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Entries asked for at a time.
const BATCH: usize = 100;

/// Follows the acts of a line and does them in turns.
pub(crate) async fn follow(keeper: &Keeper, line: Line) -> Result<(), Error> {
    let bucket = format!("KV_{}", subjects::STATE);
    let filter = format!("$KV.{}.{}", subjects::STATE, subjects::act_key("*"));
    let consumer = Consumer::follow(&keeper.broker, &bucket, vec![filter], From::LastPerSubject);
    let mut puller = Puller::open(&keeper.broker, consumer).await?;
    let mut waiting = Waiting::default();
    // Kept over the rounds of the loop: what is sent is never dropped between two awaits of it.
    let mut at_work: Option<(Turn, BoxFuture<'_, Result<Ended, Error>>)> = None;
    loop {
        if at_work.is_none()
            && let Some((id, revision)) = waiting.next(Instant::now())
        {
            let turn = Turn::new(id.clone(), Instant::now() + TURN);
            turn.set_others(waiting.any());
            let working = {
                let turn = turn.clone();
                async move { work::work(keeper, &id, revision, &turn).await }.boxed()
            };
            at_work = Some((turn, working));
        }
        let wakes = waiting.wakes();
        tokio::select! {
            biased;
            message = puller.next(BATCH) => {
                if message.body.is_empty() {
                    // Its record was forgotten.
                    waiting.remove(message.subject.rsplit('.').next().unwrap_or_default());
                } else if let Some(act) = read(&message).filter(|act| line_of(&act.kind) == Some(line)) {
                    waiting.take(&act, message.place.seq, at_work.as_ref().map(|(turn, _)| turn));
                }
            }
            (id, ended) = working(&mut at_work) => {
                at_work = None;
                match ended {
                    Ok(Ended::Done | Ended::Stopped) => {}
                    Ok(Ended::Paused) => waiting.push(&id),
                    Err(error) => {
                        let error = settle::why(&error);
                        tracing::warn!(error, act.id = id, "an act stopped; it goes on in a moment");
                        waiting.push_later(&id, Instant::now() + AGAIN_AFTER);
                    }
                }
            }
            () = tokio::time::sleep_until(wakes.unwrap_or_else(Instant::now)), if at_work.is_none() && wakes.is_some() => {}
        }
    }
}

async fn working(at_work: &mut Option<(Turn, BoxFuture<'_, Result<Ended, Error>>)>) -> (String, Result<Ended, Error>) {
    match at_work {
        None => std::future::pending().await,
        Some((turn, working)) => (turn.act().to_owned(), working.await),
    }
}

fn read(message: &Message) -> Option<Act> {
    match wire::decode::<Act>(&message.body) {
        Ok(act) => Some(act),
        Err(error) => {
            tracing::error!(%error, key = %message.subject, "cannot read an act");
            None
        }
    }
}

/// The acts that wait for a turn, each once.
#[derive(Debug, Default)]
struct Waiting {
    ready: VecDeque<String>,
    later: BTreeMap<String, Instant>,
    /// The last revision in which each was seen to be at work.
    revisions: BTreeMap<String, u64>,
}

impl Waiting {
    /// Takes what the bucket says of an act, at this revision.
    fn take(&mut self, act: &Act, revision: u64, at_work: Option<&Turn>) {
        let own = at_work.filter(|turn| turn.act() == act.id);
        if act.status == ActStatus::Running {
            self.revisions.insert(act.id.clone(), revision);
        } else {
            self.revisions.remove(&act.id);
        }
        match (act.status, own) {
            // What the work on it wrote itself, unless it was stopped and asked for again meanwhile.
            (ActStatus::Running, Some(turn)) if !turn.is_stopped() => {}
            // What the work on it wrote before an error stopped it is no reason to go on at once.
            (ActStatus::Running, None) if self.later.contains_key(&act.id) => {}
            (ActStatus::Running, _) => self.push(&act.id),
            (_, Some(turn)) => turn.stop(),
            (_, None) => self.remove(&act.id),
        }
        if let Some(turn) = at_work {
            turn.set_others(self.any());
        }
    }

    fn push(&mut self, id: &str) {
        self.later.remove(id);
        if !self.ready.iter().any(|known| known == id) {
            self.ready.push_back(id.to_owned());
        }
    }

    fn push_later(&mut self, id: &str, at: Instant) {
        if !self.ready.iter().any(|known| known == id) {
            self.later.insert(id.to_owned(), at);
        }
    }

    fn remove(&mut self, id: &str) {
        self.ready.retain(|known| known != id);
        self.later.remove(id);
        self.revisions.remove(id);
    }

    /// Whether any waits that could go now.
    fn any(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When the next of those that wait a moment is ready.
    fn wakes(&self) -> Option<Instant> {
        self.later.values().min().copied()
    }

    /// The next one, and the revision that it is known to have had.
    fn next(&mut self, now: Instant) -> Option<(String, u64)> {
        let due: Vec<String> = self
            .later
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(id, _)| id.clone())
            .collect();
        due.iter().for_each(|id| self.push(id));
        let id = self.ready.pop_front()?;
        let revision = self.revisions.get(&id).copied().unwrap_or_default();
        Some((id, revision))
    }
}

#[cfg(test)]
mod tests;
