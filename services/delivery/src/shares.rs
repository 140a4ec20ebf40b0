//! The share of each integration in a worker: how many requests it may have under way, and when one
//! more waits or leaves.
//!
//! Nothing waits in a shared place: a delivery that cannot begin within a moment leaves the worker,
//! so that a target that hangs holds only its own share; and where many hang, their shares shrink.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

/// Requests in flight from which on slow integrations get a small share.
const CROWDED: usize = 128;
/// The share of an integration that answers slowly, in a crowded worker.
const SLOW_MAX: usize = 8;
/// The share of an integration that has not shown yet how it answers, in a crowded worker.
const FRESH_MAX: usize = 16;
/// An answer within this time is a quick one.
const QUICK: Duration = Duration::from_secs(1);

/// What is to be done with one more delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// There is a place: begin.
    Free,
    /// The target answers quickly: wait a moment for a place.
    Soon,
    /// The target does not answer quickly enough: leave the worker.
    None,
}

/// The integrations of one worker that have anything under way or waiting; `T` is a delivery.
#[derive(Debug)]
pub(crate) struct Shares<T> {
    in_flight_max: usize,
    wait: Duration,
    slots: HashMap<String, Slot<T>>,
    in_flight: usize,
    waiting: usize,
}

#[derive(Debug)]
struct Slot<T> {
    in_flight: usize,
    waiting: VecDeque<(Instant, T)>,
    /// When its first request of this spell began.
    began: Instant,
    /// When it last answered quickly.
    quick: Option<Instant>,
}

impl<T> Shares<T> {
    pub(crate) fn new(in_flight_max: usize, wait: Duration) -> Self {
        Self {
            in_flight_max,
            wait,
            slots: HashMap::new(),
            in_flight: 0,
            waiting: 0,
        }
    }

    /// Takes a place for one more delivery, if there is one.
    pub(crate) fn enter(&mut self, integration: &str, now: Instant) -> Place {
        if !self.slots.contains_key(integration) {
            let slot = Slot {
                in_flight: 0,
                waiting: VecDeque::new(),
                began: now,
                quick: None,
            };
            self.slots.insert(integration.to_owned(), slot);
        }
        let slot = self.slots.get_mut(integration).expect("put there just now");
        let quick = slot.quick.is_some_and(|at| now.duration_since(at) < self.wait);
        let fresh = slot.quick.is_none() && now.duration_since(slot.began) < self.wait;
        let most = match (quick, fresh) {
            _ if self.in_flight < CROWDED => self.in_flight_max,
            (true, _) => self.in_flight_max,
            (false, true) => FRESH_MAX.min(self.in_flight_max),
            (false, false) => SLOW_MAX.min(self.in_flight_max),
        };
        if slot.in_flight < most {
            slot.in_flight += 1;
            self.in_flight += 1;
            return Place::Free;
        }
        // Any number may wait a moment for a quick target, a few for one that was quick before.
        let room = quick || fresh || slot.waiting.len() < self.in_flight_max / 4;
        if room { Place::Soon } else { Place::None }
    }

    /// Lets a delivery wait that was told [`Place::Soon`].
    pub(crate) fn wait(&mut self, integration: &str, delivery: T, now: Instant) {
        if let Some(slot) = self.slots.get_mut(integration) {
            slot.waiting.push_back((now, delivery));
            self.waiting += 1;
        }
    }

    /// A request of an integration ended: its place goes to the delivery that waits longest.
    pub(crate) fn leave(&mut self, integration: &str, took: Duration, now: Instant) -> Option<T> {
        let slot = self.slots.get_mut(integration)?;
        if took < QUICK {
            slot.quick = Some(now);
        }
        if let Some((_, next)) = slot.waiting.pop_front() {
            self.waiting -= 1;
            return Some(next);
        }
        slot.in_flight = slot.in_flight.saturating_sub(1);
        self.in_flight = self.in_flight.saturating_sub(1);
        if slot.in_flight == 0 {
            self.slots.remove(integration);
        }
        None
    }

    /// Those that have waited too long.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<T> {
        let mut overdue = Vec::new();
        if self.waiting > 0 {
            for slot in self.slots.values_mut() {
                while slot
                    .waiting
                    .front()
                    .is_some_and(|(since, _)| now.duration_since(*since) >= self.wait)
                {
                    overdue.extend(slot.waiting.pop_front().map(|(_, delivery)| delivery));
                }
            }
            self.waiting -= overdue.len();
        }
        overdue
    }

    /// All that wait, when the worker stops.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        self.waiting = 0;
        self.slots
            .values_mut()
            .flat_map(|slot| slot.waiting.drain(..))
            .map(|(_, delivery)| delivery)
            .collect()
    }

    /// Whether any delivery waits for a place.
    pub(crate) fn any_waiting(&self) -> bool {
        self.waiting > 0
    }
}

#[cfg(test)]
mod tests;
