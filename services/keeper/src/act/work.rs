//! One act at work: its turn, its pace, and what is saved of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use signalbox_broker::Error;
use signalbox_proto::{
    Timestamp,
    act::{Act, ActStatus, Ahead},
    subjects,
};
use tokio::time::Instant;

use super::{room::Room, work_on};
use crate::{Keeper, pace::Pace, settle};

/// What is sent between two saves at most: what one crash can leave in doubt.
const CHUNK_MAX: usize = 64;
/// The longest time without a save while an act moves on and sends nothing.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// The longest sleep without a look whether the act goes on.
const NAP: Duration = Duration::from_millis(250);
/// Without a save for this long nothing is sent: a process that stood still may have lost the act to another keeper,
/// which has sent all that lies ahead. Well below the time for which the streams know a repeat.
const PROOF_MAX: Duration = Duration::from_secs(10);
/// How a message begins that says why an act does not go on just now.
const WAITS: &str = "waits: ";
/// Longest text that says why something failed, in characters.
const MESSAGE_CHARS_MAX: usize = 500;

/// How the work on an act ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All is done.
    Done,
    /// It has something left and goes on in its next turn.
    Paused,
    /// A person stopped it.
    Stopped,
}

/// The time that an act has. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Turn(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    act: String,
    until: Instant,
    others: AtomicBool,
    stopped: AtomicBool,
}

impl Turn {
    pub(crate) fn new(act: String, until: Instant) -> Self {
        Self(Arc::new(Shared {
            act,
            until,
            others: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        }))
    }

    /// The act that has it.
    pub(crate) fn act(&self) -> &str {
        &self.0.act
    }

    /// A person stopped the act.
    pub(crate) fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Relaxed)
    }

    /// Whether others wait for theirs.
    pub(crate) fn set_others(&self, any: bool) {
        self.0.others.store(any, Ordering::Relaxed);
    }

    /// Whether the act gives its place away.
    fn is_over(&self, now: Instant) -> bool {
        self.is_stopped() || (self.0.others.load(Ordering::Relaxed) && now >= self.0.until)
    }
}

/// An act at work.
pub(crate) struct Work<'a> {
    pub(crate) keeper: &'a Keeper,
    pub(crate) act: Act,
    pub(crate) room: Room,
    /// As it was last saved, under which revision, and when it was known to be still so.
    saved: Act,
    revision: u64,
    proven: Instant,
    turn: &'a Turn,
    pace: Pace,
    sends: u64,
    /// A turn of the pace that was taken and not used.
    unused: Option<Instant>,
}

/// A look at a part of a stream.
pub(crate) struct Look {
    began: Instant,
    sends: u64,
}

/// Works on an act for a turn. It is known to have had at least this revision.
pub(crate) async fn work(keeper: &Keeper, id: &str, revision: u64, turn: &Turn) -> Result<Ended, Error> {
    let key = subjects::act_key(id);
    let entry = keeper.broker.get::<Act>(subjects::STATE, &key).await?;
    // A replica may be behind: what it says of an act that was just asked for, or asked to go on, is not the end of it.
    if entry.as_ref().map_or(0, |entry| entry.revision) < revision {
        return Err(Error::Conflict { key });
    }
    let Some(entry) = entry.filter(|entry| entry.value.status == ActStatus::Running) else {
        return Ok(Ended::Stopped);
    };
    let (cursor, through) = (entry.value.cursor, entry.value.through);
    tracing::debug!(act.id = id, cursor, through, "working on an act");
    let mut work = Work {
        keeper,
        room: Room::default(),
        saved: entry.value.clone(),
        revision: entry.revision,
        proven: Instant::now(),
        turn,
        pace: Pace::new(Some(entry.value.per_second), Instant::now()),
        sends: 0,
        unused: None,
        act: entry.value,
    };
    if work.act.message.starts_with(WAITS) {
        work.act.message.clear();
    }
    match work_on(&mut work).await {
        Ok(Ended::Done) => {
            work.act.ahead = None;
            let through = work.act.through;
            let ended = work.save_as(through, ActStatus::Done).await?;
            let act = &work.act;
            tracing::info!(
                act.id = id,
                done = act.done,
                skipped = act.skipped,
                failed = act.failed,
                "an act is done"
            );
            Ok(if ended { Ended::Done } else { Ended::Stopped })
        }
        Ok(ended) => Ok(ended),
        Err(error) if !error.is_transient() => {
            work.act.message = settle::why(&error);
            tracing::error!(act.id = id, error = work.act.message, "an act cannot go on");
            work.give_up().await
        }
        Err(error) => {
            work.tell(&error).await;
            Err(error)
        }
    }
}

impl Work<'_> {
    /// How many are sent between two saves: at most a second's worth, so that what is shown moves.
    pub(crate) fn chunk_max(&self) -> usize {
        (self.act.per_second as usize).clamp(1, CHUNK_MAX)
    }

    /// Waits until the next one may be sent; false where a person stopped the act. [`Error::Conflict`] where another
    /// keeper has it.
    pub(crate) async fn next_send(&mut self) -> Result<bool, Error> {
        let at = self.unused.take().unwrap_or_else(|| self.pace.take(Instant::now()));
        loop {
            let now = Instant::now();
            if self.is_stopped() {
                return Ok(false);
            }
            if now - self.proven >= PROOF_MAX {
                if !self.save(self.act.cursor).await? {
                    return Ok(false);
                }
                continue;
            }
            if at <= now {
                self.sends += 1;
                return Ok(true);
            }
            tokio::time::sleep_until(at.min(now + NAP)).await;
        }
    }

    /// What might be sent just now was not: the next one goes in its place.
    pub(crate) fn not_sent(&mut self) {
        self.sends = self.sends.saturating_sub(1);
        self.unused = Some(Instant::now());
    }

    /// Begins a look at what may have to be sent.
    pub(crate) fn look(&self) -> Look {
        Look {
            began: Instant::now(),
            sends: self.sends,
        }
    }

    /// Checks that a stream has nothing more for the act from a sequence on, when a part of it was found empty. An error
    /// that passes by itself where a replica was behind.
    pub(crate) async fn check_end(&self, stream: &str, subject: &str, seq: u64) -> Result<(), Error> {
        self.check_none(stream, subject, seq..=self.act.through).await
    }

    /// As [`Self::check_end`], of some sequences.
    pub(crate) async fn check_none(
        &self,
        stream: &str,
        subject: &str,
        seqs: std::ops::RangeInclusive<u64>,
    ) -> Result<(), Error> {
        let next = self
            .keeper
            .broker
            .next_at_leader(stream, subject, *seqs.start())
            .await?;
        match next.filter(|next| seqs.contains(next)) {
            Some(next) => Err(Error::Request {
                what: format!("messages of {stream}"),
                reason: format!("a replica is behind: it does not have {next} yet"),
            }),
            None => Ok(()),
        }
    }

    /// Rests for as long as a look took in which nothing was sent, so that no rate held it back: live traffic goes
    /// through the same server.
    pub(crate) async fn rest(&self, look: Look) {
        if self.sends == look.sends {
            tokio::time::sleep(look.began.elapsed().min(NAP)).await;
        }
    }

    /// Whether a person stopped the act.
    pub(crate) fn is_stopped(&self) -> bool {
        self.turn.is_stopped()
    }

    /// How the act ends that gives its place away.
    pub(crate) fn paused(&self) -> Ended {
        if self.turn.is_stopped() {
            Ended::Stopped
        } else {
            Ended::Paused
        }
    }

    /// Whether the act gives its place away. Asked after a chunk, so that each turn brings it forward.
    pub(crate) fn is_over(&self) -> bool {
        self.turn.is_over(Instant::now())
    }

    /// Counts one that could not be acted on.
    pub(crate) fn fail(&mut self, what: &str, reason: &str) {
        self.act.failed += 1;
        self.act.message = short(&format!("{what}: {reason}"));
        tracing::warn!(act.id = %self.act.id, what, reason, "an act could not do all it was asked for");
    }

    /// Says why the act does not go on just now, and nothing else: what is not saved of it is done again.
    async fn tell(&self, error: &Error) {
        let message = short(&format!("{WAITS}{}", settle::why(error)));
        if matches!(error, Error::Conflict { .. }) || message == self.saved.message {
            return;
        }
        let told = Act {
            message,
            ..self.saved.clone()
        };
        let key = subjects::act_key(&told.id);
        let broker = &self.keeper.broker;
        if let Err(error) = broker.update(subjects::STATE, &key, &told, self.revision).await {
            tracing::debug!(%error, act.id = %told.id, "cannot say why an act waits");
        }
    }

    /// Saves that what lies up to `through` may have been sent, before anything of it is; false where a person
    /// stopped the act.
    pub(crate) async fn save_ahead(&mut self, through: u64) -> Result<bool, Error> {
        // What is still in doubt stays so since when it began to be.
        let doubtful = self.act.ahead.filter(|ahead| ahead.through > self.act.cursor);
        self.act.ahead = Some(doubtful.map_or(
            Ahead {
                through,
                at: Timestamp::now(),
            },
            |ahead| Ahead {
                through: through.max(ahead.through),
                at: ahead.at,
            },
        ));
        self.save(self.act.cursor).await
    }

    /// Moves the cursor, and saves it where that was not done for a while; false where a person stopped the act.
    pub(crate) async fn advance(&mut self, cursor: u64) -> Result<bool, Error> {
        self.act.cursor = cursor.max(self.act.cursor);
        if Timestamp::now().since(self.saved.updated_at) < SAVE_EVERY {
            return Ok(true);
        }
        self.save(cursor).await
    }

    /// Saves how far the act is; false where a person stopped it. [`Error::Conflict`] where another keeper has it.
    pub(crate) async fn save(&mut self, cursor: u64) -> Result<bool, Error> {
        self.save_as(cursor, ActStatus::Running).await
    }

    /// Ends the act as failed, for the reason in its message.
    pub(crate) async fn give_up(&mut self) -> Result<Ended, Error> {
        self.save_as(self.act.cursor, ActStatus::Failed).await?;
        Ok(Ended::Stopped)
    }

    async fn save_as(&mut self, cursor: u64, status: ActStatus) -> Result<bool, Error> {
        self.act.cursor = cursor.max(self.act.cursor);
        self.act.status = status;
        self.act.updated_at = Timestamp::now();
        let broker = &self.keeper.broker;
        let key = subjects::act_key(&self.act.id);
        match broker.update(subjects::STATE, &key, &self.act, self.revision).await {
            Ok(revision) => self.revision = revision,
            Err(conflict @ Error::Conflict { .. }) => {
                let Some(entry) = broker.get::<Act>(subjects::STATE, &key).await? else {
                    return Ok(false);
                };
                let Some(told) = met(&self.act, &self.saved, &entry.value) else {
                    return Err(conflict);
                };
                self.revision = broker.update(subjects::STATE, &key, &told, entry.revision).await?;
                self.act = told;
            }
            Err(error) => return Err(error),
        }
        self.proven = Instant::now();
        self.saved = self.act.clone();
        Ok(self.act.status == status)
    }
}

fn short(text: &str) -> String {
    text.chars().take(MESSAGE_CHARS_MAX).collect()
}

/// What a write that met another's becomes: a person stopped the act, or stopped it and asked for it again, and what
/// was done so far is told all the same. `None` where another keeper is at work: nothing of ours counts any more.
fn met(ours: &Act, saved: &Act, stored: &Act) -> Option<Act> {
    let moved = |act: &Act| (act.cursor, act.ahead, act.done, act.skipped, act.failed);
    let all_is_done = ours.status == ActStatus::Done;
    (moved(stored) == moved(saved)).then(|| Act {
        status: if all_is_done { ours.status } else { stored.status },
        ..ours.clone()
    })
}

#[cfg(test)]
mod tests;
