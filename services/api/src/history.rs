//! What the database knows of deliveries and dead letters, and how far: what answers begin with.
//!
//! The recorder is a little behind the streams, always. So an answer is put together of three: what waits, from its
//! queues; what is recorded, from the database; and what lies behind the recorder's position, from OUTCOMES and DEAD.
//!
//! **Invariant:** the position is read first, then the database; the queues before what lies behind the position. What
//! ends meanwhile is then seen at least once: where it waits, where it is recorded, or behind the position.
//!
//! No question fails because the database does: [`Failed::Away`] says to answer from the streams alone, as far as these
//! go back, and to say so ([`HINT`]).

mod edge;
mod queues;

use std::{
    ops::ControlFlow,
    sync::Mutex,
    time::{Duration, Instant},
};

use signalbox_broker::{Error as BrokerError, Message, browse::Stored, topology::From};
use signalbox_proto::{DeadLetter, Timestamp, act::Mark, subjects, wire};
use signalbox_runtime::Problem;
use signalbox_store::{
    Error as StoreError, Store,
    history::{Gap, Letter},
};

use crate::{Shared, problems, view};
pub(crate) use edge::Edge;
pub(crate) use queues::Queues;

/// What an answer says that could not be made of history.
pub(crate) const HINT: &str = "the database does not answer: this is what the streams still hold, and others may exist";

/// How long a question to the database may take.
const ASK_MAX: Duration = Duration::from_secs(2);
/// How long the database is left alone after it did not answer: others would only wait for the same.
const REST: Duration = Duration::from_secs(1);
/// Clocks of servers differ: what an event caused may seem to be stored this much before it.
pub(crate) const CLOCKS_APART: Duration = Duration::from_secs(60);
/// All messages of a stream.
const ALL: &str = ">";
/// Dead letters read in one request where they lie close together.
const LETTERS_AT_ONCE: usize = 1_000;
/// Marks read in one request.
const MARKS_AT_ONCE: usize = 1_000;
/// Requests for single dead letters that are under way at a time.
const REQUESTS_MAX: usize = 16;
/// Of the sequences between the first and the last of some dead letters, one in so many is wanted at the least where all
/// are read.
const SPARSE: u64 = 4;

/// Why an answer was not made of history.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The database does not answer; the log says why.
    Away,
    /// There is no answer at all.
    Problem(Problem),
}

impl std::convert::From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Failed {
    /// What to go on with where it is the database alone that does not answer.
    pub(crate) fn unless_away<T>(self, otherwise: T) -> Result<T, Problem> {
        match self {
            Self::Away => Ok(otherwise),
            Self::Problem(problem) => Err(problem),
        }
    }
}

/// The database, and how far it goes. Both edges are those of before anything is read of it.
#[derive(Clone, Copy)]
pub(crate) struct History<'a> {
    pub(crate) store: &'a Store,
    rest: &'a Rest,
    /// Of OUTCOMES.
    pub(crate) outcomes: Edge,
    /// Of DEAD.
    pub(crate) dead: Edge,
}

/// When the database was last found not to answer.
#[derive(Debug, Default)]
pub(crate) struct Rest(Mutex<Option<Instant>>);

impl Rest {
    fn is_over(&self) -> bool {
        let began = self.0.lock().map_or(None, |began| *began);
        began.is_none_or(|began| began.elapsed() >= REST)
    }

    fn begin(&self) {
        if let Ok(mut began) = self.0.lock() {
            *began = Some(Instant::now());
        }
    }

    /// What the database answers, if it does.
    async fn ask<T>(&self, question: impl Future<Output = Result<T, StoreError>>) -> Result<T, Failed> {
        match tokio::time::timeout(ASK_MAX, question).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if error.is_transient() => {
                tracing::warn!(
                    error = problems::chain(&error),
                    "the database does not answer: history is read from the streams"
                );
            }
            Ok(Err(error)) => {
                tracing::error!(
                    error = problems::chain(&error),
                    "the database refuses a question: history is read from the streams"
                );
                // It is there, and answers others.
                return Err(Failed::Away);
            }
            Err(_) => tracing::warn!(
                after_ms = ASK_MAX.as_millis() as u64,
                "the database takes too long: history is read from the streams"
            ),
        }
        self.begin();
        Err(Failed::Away)
    }
}

impl Shared {
    /// The database with how far it goes.
    pub(crate) async fn history(&self) -> Result<History<'_>, Failed> {
        let rest = &self.rest;
        let Some(store) = self.opened.get().filter(|_| rest.is_over()) else {
            return Err(Failed::Away);
        };
        let mut positions = rest.ask(store.positions()).await?;
        let states = tokio::try_join!(
            self.broker.stream_state(subjects::OUTCOMES),
            self.broker.stream_state(subjects::DEAD),
        );
        let (of_outcomes, of_dead) = states.map_err(problems::broker)?;
        Ok(History {
            store,
            rest,
            outcomes: Edge::of(positions.remove(subjects::OUTCOMES).as_ref(), &of_outcomes),
            dead: Edge::of(positions.remove(subjects::DEAD).as_ref(), &of_dead),
        })
    }

    /// The same; `None` while the database is away.
    pub(crate) async fn known_history(&self) -> Result<Option<History<'_>>, Problem> {
        match self.history().await {
            Ok(history) => Ok(Some(history)),
            Err(failed) => failed.unless_away(None),
        }
    }

    /// Whether a stream holds anything behind an edge. Most hold nothing there, and to read them would cost more.
    pub(crate) async fn goes_on(&self, stream: &str, edge: Edge) -> Result<bool, Problem> {
        let next = self.broker.next(stream, ALL, edge.seq + 1).await;
        next.map(|next| next.is_some()).map_err(problems::broker)
    }

    /// Puts when each was last tried to some integrations; nothing while the database is away.
    pub(crate) async fn put_last_attempts(&self, integrations: &mut [view::Integration]) {
        let Some(store) = self.opened.get().filter(|_| self.rest.is_over()) else {
            return;
        };
        let ids: Vec<&str> = integrations.iter().map(|one| one.id.as_str()).collect();
        // Why it does not answer is in the log.
        let Ok(mut known) = self.rest.ask(store.last_attempts(&ids)).await else {
            return;
        };
        for one in integrations {
            one.last_triggered_at = known.remove(&one.id);
        }
    }

    /// Those of these dead letters that DEAD still has, by their sequences in ascending order.
    pub(crate) async fn dead_letters(&self, seqs: &[u64]) -> Result<Vec<(u64, DeadLetter)>, Problem> {
        use futures::{StreamExt as _, TryStreamExt as _};
        let (Some(first), Some(last)) = (seqs.first(), seqs.last()) else {
            return Ok(Vec::new());
        };
        let is_dense = last - first < SPARSE * seqs.len() as u64;
        let stored: Vec<Stored> = if is_dense {
            self.dead_between(*first, *last).await?
        } else {
            let one = |seq: u64| async move {
                let found = self.broker.next(subjects::DEAD, subjects::DEAD_ALL, seq).await;
                found.map(|found| found.filter(|stored| stored.seq == seq))
            };
            let found = futures::stream::iter(seqs.iter().copied())
                .map(one)
                .buffered(REQUESTS_MAX);
            let found: Vec<Option<Stored>> = found.try_collect().await.map_err(problems::broker)?;
            found.into_iter().flatten().collect()
        };
        let wanted = stored
            .into_iter()
            .filter(|stored| seqs.binary_search(&stored.seq).is_ok());
        let read = wanted.filter_map(|stored| match wire::decode(&stored.body) {
            Ok(letter) => Some((stored.seq, letter)),
            Err(error) => {
                tracing::error!(%error, seq = stored.seq, "cannot read a dead letter");
                None
            }
        });
        Ok(read.collect())
    }

    /// What acts left in DEAD behind an edge, the oldest first.
    pub(crate) async fn marks_behind(&self, edge: Edge, mut each: impl FnMut(Mark)) -> Result<(), BrokerError> {
        let mut take = |seq: u64, body: &[u8]| match wire::decode::<Mark>(body) {
            Ok(mark) => each(mark),
            Err(error) => tracing::error!(%error, seq, "cannot read a mark in DEAD"),
        };
        let marks = subjects::DEAD_MARKS;
        let Some(first) = self.broker.next(subjects::DEAD, marks, edge.seq + 1).await? else {
            return Ok(());
        };
        if edge.seq > 0 {
            let mut next = first.seq;
            loop {
                let part = self
                    .broker
                    .read_from(subjects::DEAD, marks, next, MARKS_AT_ONCE)
                    .await?;
                let Some(last) = part.last() else { return Ok(()) };
                next = last.seq + 1;
                part.iter().for_each(|stored| take(stored.seq, &stored.body));
            }
        }
        let each = |message: Message| {
            take(message.place.seq, &message.body);
            ControlFlow::Continue(())
        };
        let from = if edge.since <= Timestamp::default() {
            From::Seq(1)
        } else {
            From::Time(edge.since)
        };
        let marks = vec![marks.to_owned()];
        self.broker.scan(subjects::DEAD, marks, from, each).await.map(|_| ())
    }

    async fn dead_between(&self, first: u64, last: u64) -> Result<Vec<Stored>, Problem> {
        let (mut all, mut next) = (Vec::new(), first);
        while next <= last {
            let left = usize::try_from(last - next + 1).unwrap_or(usize::MAX);
            let part = self
                .broker
                .read_from(subjects::DEAD, subjects::DEAD_ALL, next, left.min(LETTERS_AT_ONCE))
                .await
                .map_err(problems::broker)?;
            let Some(end) = part.last() else { break };
            next = end.seq + 1;
            all.extend(part);
        }
        Ok(all)
    }
}

impl History<'_> {
    /// What the database answers, if it does.
    pub(crate) async fn ask<T>(&self, question: impl Future<Output = Result<T, StoreError>>) -> Result<T, Failed> {
        self.rest.ask(question).await
    }

    /// What was lost between two times.
    pub(crate) async fn gaps(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Gap>, Failed> {
        self.ask(self.store.gaps_between(from, to)).await
    }

    /// The dead letters of some deliveries, by their sequences.
    pub(crate) async fn letters_of(&self, deliveries: &[&str]) -> Result<Vec<Letter>, Failed> {
        let mut letters = self.ask(self.store.dead_letters_of(deliveries)).await?;
        letters.sort_unstable_by_key(|letter| letter.seq);
        Ok(letters)
    }
}

#[cfg(test)]
mod tests;
