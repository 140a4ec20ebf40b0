//! Who waits in a worker for a token of its integration's rate limit, and when what has one goes:
//! pure, with the time given.
//!
//! A token is asked for a few deliveries at a time, one question an integration. What gets none
//! within a moment leaves the worker, in order, together with all of the same integration that came
//! behind it.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use signalbox_proto::{Timestamp, integration::RateLimit};

/// How long a delivery waits inside a worker for its token to be due.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(1);
/// How long a target must ask to be left alone for others to be told: what is shorter, the delivery that met it obeys alone.
pub(crate) const ASKED_MIN: Duration = Duration::from_millis(500);
/// How long a token that a keeper has taken for a delivery counts: one that lay in a lane for longer
/// takes another, since the minute of the first may be over.
const PAID_FOR: Duration = Duration::from_secs(30);
/// How long it counts across the end of the minute in which it was taken.
const PAID_AFTER: Duration = Duration::from_secs(2);
/// Tokens asked for at a time, at most: what a worker that dies may take with it.
const LEASE_MAX: u32 = 64;
/// Questions that would use up a minute's limit.
const LEASES_PER_MINUTE: u32 = 240;
/// The wait after a holding back that failed.
const FAILED_REST: Duration = Duration::from_secs(1);

/// Whether a token that was taken for a hop at this time still counts.
pub(crate) fn is_paid(paid: Option<Timestamp>, now: Timestamp) -> bool {
    let minute = |at: Timestamp| at.secs().div_euclid(60);
    paid.is_some_and(|paid| now.since(paid) < PAID_AFTER || (now.since(paid) < PAID_FOR && minute(paid) == minute(now)))
}

/// Tokens asked for at a time.
fn lease_max(limit: &RateLimit) -> usize {
    let of_minute = limit.per_minute.map_or(1, |limit| limit / LEASES_PER_MINUTE);
    of_minute.clamp(1, LEASE_MAX) as usize
}

/// What waits for tokens; `T` is a delivery.
#[derive(Debug)]
pub(crate) struct Limits<T> {
    queues: HashMap<String, Queue<T>>,
    /// What comes at a time, in the order in which it was put there.
    timers: BTreeMap<(Timestamp, u64), (String, Timer<T>)>,
    next: u64,
}

#[derive(Debug)]
struct Queue<T> {
    limit: RateLimit,
    waiting: VecDeque<T>,
    /// Whether an answer is awaited, or a time.
    busy: bool,
    /// The timer of the question whose answer is awaited.
    late: Option<(Timestamp, u64)>,
}

#[derive(Debug)]
enum Timer<T> {
    /// Its token is due.
    Go(T),
    /// Asking makes sense again.
    Ask,
    /// Its question should have been answered.
    Late,
}

/// What an answer leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Granted<T> {
    /// These go now, each with the time that its token is for.
    pub(crate) go: Vec<(Timestamp, T)>,
    /// No token is due soon: the integration is held back, and what waits leaves.
    pub(crate) over: bool,
    /// Tokens that nothing waits for any more.
    pub(crate) left: usize,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Due<T> {
    /// These go, in order, each with the time that its token is for.
    pub(crate) go: Vec<(Timestamp, T)>,
    /// Integrations to ask for.
    pub(crate) ask: Vec<String>,
    /// Integrations whose tokens nobody counts just now: they are held back, and what waits leaves.
    pub(crate) late: Vec<String>,
}

impl<T> Default for Limits<T> {
    fn default() -> Self {
        Self {
            queues: HashMap::new(),
            timers: BTreeMap::new(),
            next: 0,
        }
    }
}

impl<T> Limits<T> {
    /// Lets a delivery wait for a token.
    pub(crate) fn wait(&mut self, integration: &str, limit: &RateLimit, delivery: T) {
        if !self.queues.contains_key(integration) {
            let queue = Queue {
                limit: *limit,
                waiting: VecDeque::new(),
                busy: false,
                late: None,
            };
            self.queues.insert(integration.to_owned(), queue);
        }
        let queue = self.queues.get_mut(integration).expect("put there just now");
        queue.limit = *limit;
        queue.waiting.push_back(delivery);
    }

    /// The question to ask now for an integration, if there is one: its limit, and how many tokens.
    /// The answer goes to [`Self::granted`]; [`Self::due`] tells of one that does not come.
    pub(crate) fn ask(&mut self, integration: &str, now: Timestamp) -> Option<(RateLimit, u32)> {
        let queue = self.queues.get_mut(integration).filter(|queue| !queue.busy)?;
        if queue.waiting.is_empty() {
            self.queues.remove(integration);
            return None;
        }
        queue.busy = true;
        let question = (queue.limit, queue.waiting.len().min(lease_max(&queue.limit)) as u32);
        self.next += 1;
        let late = (now + WAIT_MAX, self.next);
        queue.late = Some(late);
        self.timers.insert(late, (integration.to_owned(), Timer::Late));
        Some(question)
    }

    /// Hands tokens to those that wait longest. While the integration is being held back nothing more
    /// is asked for it, until [`Self::leave`] or [`Self::rest`].
    pub(crate) fn granted(
        &mut self,
        integration: &str,
        slots: &[Timestamp],
        again: Option<Timestamp>,
        now: Timestamp,
    ) -> Granted<T> {
        let mut granted = Granted {
            go: Vec::new(),
            over: false,
            left: slots.len(),
        };
        self.answered(integration);
        let Some(queue) = self.queues.get_mut(integration) else {
            return granted;
        };
        let mut later = Vec::new();
        for slot in slots {
            match queue.waiting.pop_front() {
                Some(delivery) if *slot <= now => granted.go.push((*slot, delivery)),
                Some(delivery) => later.push((*slot, Timer::Go(delivery))),
                None => break,
            }
            granted.left -= 1;
        }
        match again.filter(|_| !queue.waiting.is_empty()) {
            None => queue.busy = false,
            Some(again) if again <= now + WAIT_MAX => later.push((again, Timer::Ask)),
            Some(_) => granted.over = true,
        }
        for (at, timer) in later {
            self.put(at, integration, timer);
        }
        granted
    }

    /// A question was answered: there is nothing to be late any more.
    pub(crate) fn answered(&mut self, integration: &str) {
        let queue = self.queues.get_mut(integration);
        if let Some(late) = queue.and_then(|queue| queue.late.take()) {
            self.timers.remove(&late);
        }
    }

    /// Asks again a little later.
    pub(crate) fn rest(&mut self, integration: &str, now: Timestamp) {
        self.put(now + FAILED_REST, integration, Timer::Ask);
    }

    /// Takes all that waits for a token of an integration, in order.
    pub(crate) fn leave(&mut self, integration: &str) -> Vec<T> {
        self.answered(integration);
        let queue = self.queues.remove(integration);
        queue.map_or_else(Vec::new, |queue| queue.waiting.into())
    }

    /// When the next token is due, or the next question.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.timers.keys().next().map(|(at, _)| *at)
    }

    /// What is due. What waits for an answer that is late leaves as what is over its limit does, by [`Self::leave`].
    pub(crate) fn due(&mut self, now: Timestamp) -> Due<T> {
        let mut due = Due {
            go: Vec::new(),
            ask: Vec::new(),
            late: Vec::new(),
        };
        while let Some(first) = self.timers.first_entry().filter(|first| first.key().0 <= now) {
            let ((at, _), (integration, timer)) = first.remove_entry();
            match timer {
                Timer::Go(delivery) => due.go.push((at, delivery)),
                Timer::Ask => {
                    if let Some(queue) = self.queues.get_mut(&integration) {
                        queue.busy = false;
                        due.ask.push(integration);
                    }
                }
                Timer::Late => {
                    if let Some(queue) = self.queues.get_mut(&integration) {
                        queue.late = None;
                        due.late.push(integration);
                    }
                }
            }
        }
        due
    }

    /// All that waits, when the worker stops; with the time of its token what has one.
    pub(crate) fn drain(&mut self) -> Vec<(Option<Timestamp>, T)> {
        let waiting = std::mem::take(&mut self.queues)
            .into_values()
            .flat_map(|queue| queue.waiting);
        let timers = std::mem::take(&mut self.timers).into_iter();
        let slots = timers.filter_map(|((at, _), (_, timer))| match timer {
            Timer::Go(delivery) => Some((Some(at), delivery)),
            Timer::Ask | Timer::Late => None,
        });
        slots.chain(waiting.map(|delivery| (None, delivery))).collect()
    }

    fn put(&mut self, at: Timestamp, integration: &str, timer: Timer<T>) {
        self.next += 1;
        self.timers.insert((at, self.next), (integration.to_owned(), timer));
    }
}

#[cfg(test)]
mod tests;
