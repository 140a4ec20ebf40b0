//! Requests under way of ordered deliveries: so many in all, and of one integration; fewer of one that does not
//! answer quickly where the others need the places.
//!
//! Nothing waits here: what finds no place stays in its stream.

use std::{collections::HashMap, time::Duration};

/// An answer within this time is a quick one.
const QUICK: Duration = Duration::from_secs(1);
/// The part of all places from which on slow integrations get a small share, and that share.
const CROWDED_PART: usize = 2;
const SLOW_PART: usize = 16;

/// The integrations that have anything under way, or have answered slowly.
#[derive(Debug)]
pub(crate) struct Places {
    max: usize,
    integration_max: usize,
    in_flight: usize,
    of: HashMap<String, Of>,
}

#[derive(Debug, Default)]
struct Of {
    in_flight: usize,
    slow: bool,
}

/// Whether one more may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Free,
    /// None for this integration: until one of its own ends.
    NoneOfItsOwn,
    /// None at all.
    None,
}

impl Places {
    pub(crate) fn new(max: usize, integration_max: usize) -> Self {
        Self {
            max,
            integration_max,
            in_flight: 0,
            of: HashMap::new(),
        }
    }

    /// Takes a place, if there is one.
    pub(crate) fn enter(&mut self, integration: &str) -> Place {
        if self.in_flight >= self.max {
            return Place::None;
        }
        let crowded = self.in_flight >= self.max / CROWDED_PART;
        let of = match self.of.get_mut(integration) {
            Some(of) => of,
            None => self.of.entry(integration.to_owned()).or_default(),
        };
        let most = match crowded && of.slow {
            true => (self.max / SLOW_PART).clamp(1, self.integration_max),
            false => self.integration_max,
        };
        if of.in_flight >= most {
            return Place::NoneOfItsOwn;
        }
        of.in_flight += 1;
        self.in_flight += 1;
        Place::Free
    }

    /// Gives a place back. `took` is how long the request took, where there was one.
    pub(crate) fn leave(&mut self, integration: &str, took: Option<Duration>) {
        let Some(of) = self.of.get_mut(integration) else { return };
        of.in_flight = of.in_flight.saturating_sub(1);
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(took) = took {
            of.slow = took >= QUICK;
        }
        if of.in_flight == 0 && !of.slow {
            self.of.remove(integration);
        }
    }
}

#[cfg(test)]
mod tests;
