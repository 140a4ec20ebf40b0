//! Requests under way of ordered deliveries: so many in all, of one integration, and of one org.
//!
//! A target shows how it answers. Those that have answered quickly of late may use all places; all others have small
//! shares, each of its own, those of one org together, and all of them together: so that some places are always there
//! for those that answer quickly, and some for those that have not shown it yet.
//!
//! Nothing waits here: what finds no place stays in its stream.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

/// An answer within this time is a quick one, and shows for as long that a target answers quickly.
const QUICK: Duration = Duration::from_secs(1);
/// The part of all places that a target has which does not answer quickly, and its part where half of them are taken.
const UNPROVEN_PART: usize = 8;
const SLOW_PART: usize = 16;
/// How long it is remembered that a target answered slowly.
const REMEMBERED: Duration = Duration::from_secs(60);

/// The integrations that have anything under way, or have answered slowly of late.
#[derive(Debug)]
pub(crate) struct Places {
    max: usize,
    integration_max: usize,
    org_max: usize,
    in_flight: usize,
    /// Of them, those of targets that do not answer quickly, and of slow ones.
    unproven: usize,
    slow: usize,
    of: HashMap<String, Of>,
    /// Those of targets that do not answer quickly, by org.
    orgs: HashMap<String, usize>,
}

#[derive(Debug)]
struct Of {
    org: String,
    pace: Pace,
    in_flight: usize,
    /// When it last answered quickly.
    quick: Option<Instant>,
    /// Since when it has had requests under way without an answer.
    silent: Instant,
    /// When it last answered slowly, if that was its last answer.
    slow: Option<Instant>,
}

/// How a target answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Quick,
    /// It has not shown it yet.
    Fresh,
    Slow,
}

/// Whether one more may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Free,
    /// None for this integration: until one of its own ends.
    NoneOfItsOwn,
    /// None for its org, or for those that do not answer quickly: until one of them ends.
    NoneOfShare,
    /// None at all.
    None,
}

impl Places {
    /// `org_max`: the places that one org may have for targets that do not answer quickly.
    pub(crate) fn new(max: usize, integration_max: usize, org_max: usize) -> Self {
        Self {
            max,
            integration_max,
            org_max,
            in_flight: 0,
            unproven: 0,
            slow: 0,
            of: HashMap::new(),
            orgs: HashMap::new(),
        }
    }

    /// Takes a place, if there is one.
    pub(crate) fn enter(&mut self, integration: &str, org: &str, now: Instant) -> Place {
        if self.in_flight >= self.max {
            return Place::None;
        }
        self.look(integration, now);
        let of = self.of.get(integration);
        let (in_flight, pace) = of.map_or((0, Pace::Fresh), |of| (of.in_flight, of.pace));
        let place = self.place(in_flight, pace, org);
        if place == Place::Free {
            self.begin(integration, org, now);
        }
        place
    }

    fn place(&self, in_flight: usize, pace: Pace, org: &str) -> Place {
        let crowded = self.in_flight >= self.max / 2;
        let own = match pace {
            Pace::Quick => self.integration_max,
            Pace::Slow if crowded => (self.max / SLOW_PART).clamp(1, self.integration_max),
            Pace::Fresh | Pace::Slow => (self.max / UNPROVEN_PART).clamp(1, self.integration_max),
        };
        if in_flight >= own {
            return Place::NoneOfItsOwn;
        }
        if pace == Pace::Quick {
            return Place::Free;
        }
        // A half more where each asks for its first, so that those of an org that hang leave places to its others.
        let org_max = match in_flight {
            0 => self.org_max + self.org_max / 2,
            _ => self.org_max,
        };
        let of_org = self.orgs.get(org).copied().unwrap_or_default();
        let most = (self.max - self.max / 4).max(1);
        let slow_most = (self.max / 2).max(1);
        let full = of_org >= org_max || self.unproven >= most || (pace == Pace::Slow && self.slow >= slow_most);
        if full { Place::NoneOfShare } else { Place::Free }
    }

    fn begin(&mut self, integration: &str, org: &str, now: Instant) {
        if !self.of.contains_key(integration) {
            let of = Of {
                org: org.to_owned(),
                pace: Pace::Fresh,
                in_flight: 0,
                quick: None,
                silent: now,
                slow: None,
            };
            self.of.insert(integration.to_owned(), of);
        }
        let of = self.of.get_mut(integration).expect("put there just now");
        if of.in_flight == 0 {
            of.silent = now;
        }
        of.in_flight += 1;
        let pace = of.pace;
        self.in_flight += 1;
        self.count(org, pace, 1);
    }

    /// Gives a place back. `took` is how long the request took, where there was one. True where others that found no
    /// place of their share may find one now.
    pub(crate) fn leave(&mut self, integration: &str, took: Option<Duration>, now: Instant) -> bool {
        let Some(of) = self.of.get_mut(integration) else {
            return false;
        };
        let (pace, org) = (of.pace, of.org.clone());
        if of.in_flight > 0 {
            of.in_flight -= 1;
            self.in_flight -= 1;
            self.discount(&org, pace, 1);
        }
        let Some(of) = self.of.get_mut(integration) else {
            return false;
        };
        if let Some(took) = took {
            of.silent = now;
            (of.quick, of.slow) = match took < QUICK {
                true => (Some(now), None),
                false => (of.quick, Some(now)),
            };
        }
        self.look(integration, now);
        pace != Pace::Quick
    }

    /// Looks at how all answer that have requests under way, and forgets what is of no use any more.
    pub(crate) fn tidy(&mut self, now: Instant) {
        let all: Vec<String> = self.of.keys().cloned().collect();
        for integration in all {
            self.look(&integration, now);
        }
        self.of.retain(|_, of| !of.is_idle(now));
    }

    /// Counts all that an integration has under way as what its target is by now.
    fn look(&mut self, integration: &str, now: Instant) {
        let Some(of) = self.of.get_mut(integration) else { return };
        let pace = of.judge(now);
        let before = std::mem::replace(&mut of.pace, pace);
        if before != pace {
            let (org, in_flight) = (of.org.clone(), of.in_flight);
            self.discount(&org, before, in_flight);
            self.count(&org, pace, in_flight);
        }
    }

    fn count(&mut self, org: &str, pace: Pace, more: usize) {
        if pace == Pace::Quick || more == 0 {
            return;
        }
        self.unproven += more;
        self.slow += if pace == Pace::Slow { more } else { 0 };
        *self.orgs.entry(org.to_owned()).or_default() += more;
    }

    fn discount(&mut self, org: &str, pace: Pace, fewer: usize) {
        if pace == Pace::Quick || fewer == 0 {
            return;
        }
        self.unproven -= fewer;
        self.slow -= if pace == Pace::Slow { fewer } else { 0 };
        if let Some(of_org) = self.orgs.get_mut(org) {
            *of_org -= fewer;
            if *of_org == 0 {
                self.orgs.remove(org);
            }
        }
    }
}

impl Of {
    fn judge(&self, now: Instant) -> Pace {
        let is_quick = self.quick.is_some_and(|at| now.duration_since(at) < QUICK);
        let is_silent = self.in_flight > 0 && now.duration_since(self.silent) >= QUICK;
        match (self.slow, is_silent) {
            (Some(_), _) | (None, true) => Pace::Slow,
            (None, false) if is_quick => Pace::Quick,
            (None, false) => Pace::Fresh,
        }
    }

    fn is_idle(&self, now: Instant) -> bool {
        let is_slow = self.slow.is_some_and(|at| now.duration_since(at) < REMEMBERED);
        self.in_flight == 0 && self.pace != Pace::Quick && !is_slow
    }
}

#[cfg(test)]
mod tests;
