//! What one partition has in hand: events that are neither acknowledged nor handed back.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::recent::Recent;

/// Tickets by the sequences of their events, and what is to be written for them. A routed event is
/// out of hand when its ticket is among the acknowledgements to write, for the memory knows it then.
#[derive(Debug)]
pub(crate) struct Hand<T> {
    tickets: HashMap<u64, T>,
    recent: Recent,
    /// Acknowledgements to write.
    pub(crate) acks: Vec<T>,
    /// Events without a route to report; their tickets stay until OUTCOMES has taken them.
    pub(crate) no_route: Vec<u64>,
}

impl<T> Hand<T> {
    pub(crate) fn new(memory: Duration) -> Self {
        Self {
            tickets: HashMap::new(),
            recent: Recent::new(memory),
            acks: Vec::new(),
            no_route: Vec::new(),
        }
    }

    /// How many events are in hand.
    pub(crate) fn len(&self) -> usize {
        self.tickets.len()
    }

    pub(crate) fn tickets(&self) -> impl Iterator<Item = &T> {
        self.tickets.values()
    }

    pub(crate) fn ticket(&self, seq: u64) -> Option<&T> {
        self.tickets.get(&seq)
    }

    /// Whether an event is in hand or was a moment ago.
    pub(crate) fn knows(&self, seq: u64) -> bool {
        self.tickets.contains_key(&seq) || self.recent.contains(seq)
    }

    /// A known event that comes again is settled by the newer ticket: when the first is, or at once
    /// where that has been.
    pub(crate) fn repeated(&mut self, seq: u64, ticket: T) {
        match self.tickets.get_mut(&seq) {
            Some(held) => *held = ticket,
            None => self.acks.push(ticket),
        }
    }

    pub(crate) fn hold(&mut self, seq: u64, ticket: T) {
        self.tickets.insert(seq, ticket);
    }

    /// All deliveries of an event have their place.
    pub(crate) fn routed(&mut self, seq: u64, now: Instant) {
        self.recent.insert(seq, now);
        self.acks.extend(self.tickets.remove(&seq));
    }

    /// OUTCOMES has taken that an event has no route, which acknowledged it.
    pub(crate) fn reported(&mut self, seq: u64, now: Instant) {
        self.recent.insert(seq, now);
        self.tickets.remove(&seq);
    }

    /// An event that is to be routed again.
    pub(crate) fn give_back(&mut self, seq: u64) -> Option<T> {
        self.tickets.remove(&seq)
    }
}

#[cfg(test)]
mod tests;
