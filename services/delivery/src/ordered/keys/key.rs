//! One key: what waits of it, which of that is the next, and whether it may go: pure, with the time given.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use signalbox_proto::{DeadReason, Timestamp};

/// What holds for the deliveries of an integration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// How long a delivery may wait.
    pub(crate) expire_after: Duration,
    /// All of it ends: the integration is deleted.
    pub(crate) deleted: bool,
    /// What was accepted before is dropped.
    pub(crate) drop_before: Option<Timestamp>,
    /// Whether a key waits for a person behind a dead delivery.
    pub(crate) holds: bool,
    /// How long it waits at most: as long as dead letters are kept.
    pub(crate) hold_for: Duration,
}

/// Where a delivery waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Queued {
    /// The sequence of its event: the order of acceptance.
    pub(crate) event: u64,
    pub(crate) generation: u32,
    /// Its sequence in ORDERED.
    pub(crate) seq: u64,
    /// Expiry counts from here.
    pub(crate) since: Timestamp,
}

/// The stored state of a delivery that was tried, or that died and holds its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) id: Box<str>,
    pub(crate) event: u64,
    pub(crate) generation: u32,
    /// Its sequence in ORDERED.
    pub(crate) seq: u64,
    /// When it was stored.
    pub(crate) at: Timestamp,
    pub(crate) due: Option<Timestamp>,
    pub(crate) probe: bool,
    pub(crate) held: bool,
}

/// What is to be done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its next delivery may go.
    Send,
    /// Its next delivery ends without a request.
    End(DeadReason, &'static str),
    /// It waits for a person no longer.
    Release,
}

/// Where a key belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Idle,
    Ready(u64),
    Ending,
    Unrouted(u64),
    Waiting,
    InHand,
}

/// What of a key has ended, of all that was accepted for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finished {
    /// The last event.
    event: u64,
    /// When the latest of them was accepted.
    since: Timestamp,
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) integration: Arc<str>,
    pub(super) source: u32,
    /// In the order of events.
    pub(super) queue: VecDeque<Queued>,
    pub(super) head: Option<Box<Head>>,
    pub(super) in_hand: Option<u64>,
    /// Not before this time, for a reason that need not outlive the process.
    pub(super) later: Option<Timestamp>,
    /// What has ended.
    pub(super) finished: Finished,
    /// Until when that is remembered while nothing waits.
    pub(super) idle_until: Timestamp,
    pub(super) place: Place,
    pub(super) wake: Option<Timestamp>,
}

impl Head {
    pub(super) fn is_of(&self, queued: &Queued) -> bool {
        self.event == queued.event && self.generation == queued.generation
    }
}

impl Finished {
    pub(super) const NOTHING: Self = Self {
        event: 0,
        since: Timestamp::MIN,
    };

    /// Counts one in.
    pub(super) fn add(&mut self, ended: &Queued) {
        self.event = self.event.max(ended.event);
        self.since = self.since.max(ended.since);
    }

    /// Whether what comes is a repeat of what has ended. The time counts as well as the sequence: a server that lost
    /// its last events gives their sequences to others.
    pub(super) fn has(&self, queued: &Queued) -> bool {
        queued.generation == 0 && queued.event <= self.event && queued.since <= self.since
    }
}

impl Key {
    /// Whether its first is this probe of its integration, in this generation or a later one, and may go now.
    pub(super) fn probes(&self, delivery: &str) -> bool {
        let Place::Ready(event) = self.place else { return false };
        let named = |head: &Head| head.probe && *head.id == *delivery && head.event == event;
        self.head.as_deref().is_some_and(named)
    }

    /// The delivery that is next, whether or not it may go yet; `None` where the key waits for a person.
    pub(super) fn first(&self) -> Option<Queued> {
        match self.head.as_deref() {
            None => self.queue.front().copied(),
            // One that was tried stays the first, also where a replay of an older one comes.
            Some(head) if !head.held => {
                let tried = self.queue.iter().find(|queued| head.is_of(queued));
                tried.or_else(|| self.queue.front()).copied()
            }
            // A replay of the dead one goes, and nothing else.
            Some(head) => {
                let replay = |queued: &&Queued| queued.event == head.event && queued.generation > head.generation;
                self.queue.iter().find(replay).copied()
            }
        }
    }

    /// What is to be ended now, if anything.
    pub(super) fn ends(&self, rules: &Rules, now: Timestamp) -> Option<Kind> {
        let first = self.first();
        if first.is_none()
            && let Some(head) = self.head.as_deref().filter(|head| head.held)
            && (!rules.holds || rules.deleted || now >= head.at + rules.hold_for)
        {
            return Some(Kind::Release);
        }
        // Behind a dead one, what waits too long ends all the same.
        let queued = first.or_else(|| self.queue.front().copied())?;
        if rules.deleted {
            Some(Kind::End(DeadReason::Discarded, "the integration was deleted"))
        } else if rules.drop_before.is_some_and(|before| queued.since < before) {
            Some(Kind::End(
                DeadReason::Discarded,
                "dropped on resume, as it was older than asked for",
            ))
        } else if now >= queued.since + rules.expire_after {
            Some(Kind::End(DeadReason::Expired, "it waited longer than expire_after"))
        } else {
            None
        }
    }

    /// Where it belongs, and when to look again.
    pub(super) fn judge(
        &self,
        rules: Option<&Rules>,
        floors: &HashMap<u32, u64>,
        now: Timestamp,
    ) -> (Place, Option<Timestamp>) {
        if self.in_hand.is_some() {
            return (Place::InHand, None);
        }
        if let Some(later) = self.later
            && later > now
        {
            return (Place::Waiting, Some(later));
        }
        if rules.is_some_and(|rules| self.ends(rules, now).is_some()) {
            return (Place::Ending, None);
        }
        let expiry = |queued: &Queued| Some(queued.since + rules?.expire_after);
        let held_until = |head: &Head| Some(head.at + rules?.hold_for);
        let head = self.head.as_deref();
        let Some(first) = self.first() else {
            return match head {
                None => (Place::Idle, (self.idle_until > now).then_some(self.idle_until)),
                Some(head) => {
                    let ends = self.queue.front().and_then(expiry);
                    (Place::Waiting, ends.into_iter().chain(held_until(head)).min())
                }
            };
        };
        // The time of a probe holds for a replay of it too.
        let is_own = |head: &&Head| head.is_of(&first) || (head.probe && head.event == first.event);
        let due = head.filter(is_own).and_then(|head| head.due);
        if let Some(due) = due
            && due > now
        {
            return (Place::Waiting, expiry(&first).into_iter().chain([due]).min());
        }
        let floor = floors.get(&self.source).copied().unwrap_or_default();
        if first.generation == 0 && first.event > floor {
            return (Place::Unrouted(first.event), expiry(&first));
        }
        (Place::Ready(first.event), expiry(&first))
    }
}
