//! The share of each integration in a worker: how many requests it may have under way, and when one
//! more waits or leaves.
//!
//! Nothing waits in a shared place: a delivery that cannot begin within a moment leaves the worker,
//! so that a target that hangs holds only its own share.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

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
    waiting: usize,
}

#[derive(Debug)]
struct Slot<T> {
    in_flight: usize,
    waiting: VecDeque<(Instant, T)>,
    /// When a request last ended.
    ended: Instant,
}

impl<T> Shares<T> {
    pub(crate) fn new(in_flight_max: usize, wait: Duration) -> Self {
        Self { in_flight_max, wait, slots: HashMap::new(), waiting: 0 }
    }

    /// Takes a place for one more delivery, if there is one.
    pub(crate) fn enter(&mut self, integration: &str, now: Instant) -> Place {
        if !self.slots.contains_key(integration) {
            let slot = Slot { in_flight: 0, waiting: VecDeque::new(), ended: now };
            self.slots.insert(integration.to_owned(), slot);
        }
        let slot = self.slots.get_mut(integration).expect("put there just now");
        if slot.in_flight < self.in_flight_max {
            slot.in_flight += 1;
            return Place::Free;
        }
        // As many may wait as are under way, as long as some request ended of late.
        let quick = now.duration_since(slot.ended) < self.wait;
        let room = quick || slot.waiting.len() < self.in_flight_max / 4;
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
    pub(crate) fn leave(&mut self, integration: &str, now: Instant) -> Option<T> {
        let slot = self.slots.get_mut(integration)?;
        slot.ended = now;
        if let Some((_, next)) = slot.waiting.pop_front() {
            self.waiting -= 1;
            return Some(next);
        }
        slot.in_flight = slot.in_flight.saturating_sub(1);
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
                while slot.waiting.front().is_some_and(|(since, _)| now.duration_since(*since) >= self.wait) {
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
        self.slots.values_mut().flat_map(|slot| slot.waiting.drain(..)).map(|(_, delivery)| delivery).collect()
    }

    /// Whether any delivery waits for a place.
    pub(crate) fn any_waiting(&self) -> bool {
        self.waiting > 0
    }
}

#[cfg(test)]
mod tests;
