//! The share of each integration and of each org in a worker: how many requests it may have under way,
//! and when one more waits or leaves.
//!
//! Nothing waits in a shared place: a delivery that cannot begin within a moment leaves the worker,
//! so that a target that hangs holds only its own share; and where many hang, their shares shrink.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use signalbox_proto::Lane;
use tokio::time::Instant;

/// Requests in flight from which on slow integrations get a small share.
const CROWDED: usize = 128;
/// The share of an integration that answers slowly, in a crowded worker.
const SLOW_MAX: usize = 8;
/// The share of an integration that has not shown yet how it answers, in a crowded worker.
const FRESH_MAX: usize = 16;
/// An answer within this time is a quick one.
const QUICK: Duration = Duration::from_secs(1);

/// A target that answered within this time, and not more slowly than this, is slow and does not hang.
const ANSWERS: Duration = Duration::from_secs(10);
/// The rest of an integration that has requests under way, and of one that has none.
const REST_SERVED: Duration = Duration::from_secs(2);
const REST_UNSERVED: Duration = Duration::from_secs(5);

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

/// Something of each lane.
type ByLane = [usize; Lane::ALL.len()];

/// The integrations of one worker that have anything under way or waiting; `T` is a delivery.
#[derive(Debug)]
pub(crate) struct Shares<T> {
    in_flight_max: usize,
    org_max: ByLane,
    wait: Duration,
    slots: HashMap<String, Slot<T>>,
    orgs: HashMap<String, Org<T>>,
    in_flight: usize,
    waiting: usize,
}

#[derive(Debug)]
struct Slot<T> {
    org: String,
    in_flight: ByLane,
    /// Those of them that count against the org's share.
    unproven: ByLane,
    waiting: VecDeque<(Instant, Lane, T)>,
    /// When its first request of this spell began.
    began: Instant,
    /// When it last answered quickly.
    quick: Option<Instant>,
    /// When it last answered, and did not hang.
    answered: Option<Instant>,
}

/// The integrations of one org together.
#[derive(Debug)]
struct Org<T> {
    /// Requests under way to targets that have not answered quickly of late.
    unproven: ByLane,
    /// Deliveries that wait for the org's share and not for their integration's, with their integrations.
    waiting: [VecDeque<(Instant, String, T)>; Lane::ALL.len()],
}

impl<T> Shares<T> {
    /// `org_max`: of each lane, the places that one org may have for targets that do not answer quickly.
    pub(crate) fn new(in_flight_max: usize, org_max: ByLane, wait: Duration) -> Self {
        Self {
            in_flight_max,
            org_max,
            wait,
            slots: HashMap::new(),
            orgs: HashMap::new(),
            in_flight: 0,
            waiting: 0,
        }
    }

    /// Takes a place for one more delivery, if there is one.
    ///
    /// Targets that have just answered quickly may use the whole worker, whoever's they are. All others of
    /// an org share its places in a lane, so that many that hang leave places to other orgs.
    pub(crate) fn enter(&mut self, integration: &str, org: &str, lane: Lane, now: Instant) -> Place {
        let (in_flight_max, in_worker, wait) = (self.in_flight_max, self.in_flight, self.wait);
        let slot = self.slot(integration, org, now);
        let (quick, fresh) = slot.pace(wait, now);
        let most = slot.most(in_flight_max, in_worker, quick, fresh);
        let (in_flight, waiting) = (slot.under_way(), slot.waiting.len());
        if !quick {
            // It answered quickly when these began, and does not any more.
            let more = std::array::from_fn(|lane| slot.in_flight[lane] - slot.unproven[lane]);
            slot.unproven = slot.in_flight;
            let unproven = self.count_unproven(org, more)[lane as usize];
            let org_max = if in_flight == 0 {
                self.org_first_max(lane)
            } else {
                self.org_max[lane as usize]
            };
            if unproven >= org_max {
                self.forget_idle(integration);
                // One that has not shown yet how it answers waits a moment for the org's share.
                return if fresh { Place::Soon } else { Place::None };
            }
        }
        if in_flight < most {
            self.begin(integration, org, lane, !quick, now);
            return Place::Free;
        }
        // Any number may wait a moment for a quick target, a few for one that was quick before.
        let room = quick || fresh || waiting < in_flight_max / 4;
        if room { Place::Soon } else { Place::None }
    }

    /// Lets a delivery wait that was told [`Place::Soon`].
    pub(crate) fn wait(&mut self, integration: &str, org: &str, lane: Lane, delivery: T, now: Instant) {
        self.waiting += 1;
        match self.slots.get_mut(integration) {
            // Its own requests are under way: each that ends makes room.
            Some(slot) if slot.under_way() > 0 => slot.waiting.push_back((now, lane, delivery)),
            _ => {
                let org = self.orgs.entry(org.to_owned()).or_default();
                org.waiting[lane as usize].push_back((now, integration.to_owned(), delivery));
            }
        }
    }

    /// How long nothing more is to be taken out of PARKED for an integration that finds no place; `None` for a
    /// target that answers.
    pub(crate) fn rest(&self, integration: &str, now: Instant) -> Option<Duration> {
        match self.slots.get(integration) {
            Some(slot) if slot.answered.is_some_and(|at| now.duration_since(at) < ANSWERS) => None,
            Some(slot) if slot.under_way() > 0 => Some(REST_SERVED),
            // It is others of its org that leave no place.
            _ => Some(REST_UNSERVED),
        }
    }

    /// A request of an integration ended: its place goes to the delivery that waits longest, of the same
    /// integration or else of the same org. `took` is none where nothing was asked of the target, which says nothing
    /// of how it answers.
    pub(crate) fn leave(
        &mut self,
        integration: &str,
        lane: Lane,
        took: impl Into<Option<Duration>>,
        now: Instant,
    ) -> Option<T> {
        let (took, wait) = (took.into(), self.wait);
        let slot = self.slots.get_mut(integration)?;
        let at = lane as usize;
        slot.in_flight[at] = slot.in_flight[at].saturating_sub(1);
        self.in_flight = self.in_flight.saturating_sub(1);
        let quick = took.map_or(slot.pace(wait, now).0, |took| took < QUICK);
        if took.is_some_and(|took| took < ANSWERS) {
            slot.answered = Some(now);
        }
        let proven = if quick && took.is_some() {
            slot.quick = Some(now);
            std::mem::take(&mut slot.unproven)
        } else {
            let mut ended = ByLane::default();
            ended[at] = slot.unproven[at].saturating_sub(slot.in_flight[at]);
            slot.unproven[at] -= ended[at];
            ended
        };
        if let Some(org) = self.orgs.get_mut(&slot.org) {
            for (count, proven) in org.unproven.iter_mut().zip(proven) {
                *count -= proven;
            }
        }
        let org = slot.org.clone();
        if let Some((_, lane, next)) = slot.waiting.pop_front() {
            self.waiting -= 1;
            self.begin(integration, &org, lane, !quick, now);
            return Some(next);
        }
        self.forget_idle(integration);
        self.next_of(&org, lane, now)
    }

    /// The delivery that waits longest for the share of its org, if that has a place.
    fn next_of(&mut self, org: &str, lane: Lane, now: Instant) -> Option<T> {
        let org_max = self.org_first_max(lane);
        let share = self.orgs.get_mut(org)?;
        if share.unproven[lane as usize] >= org_max {
            return None;
        }
        let Some((_, integration, delivery)) = share.waiting[lane as usize].pop_front() else {
            if share.is_idle() {
                self.orgs.remove(org);
            }
            return None;
        };
        self.waiting -= 1;
        self.begin(&integration, org, lane, true, now);
        Some(delivery)
    }

    /// The share of an org for integrations that have nothing under way: a half more, so that those of its
    /// targets that hang leave places also to its others.
    fn org_first_max(&self, lane: Lane) -> usize {
        let org_max = self.org_max[lane as usize];
        org_max + org_max / 2
    }

    /// Counts one more request.
    fn begin(&mut self, integration: &str, org: &str, lane: Lane, unproven: bool, now: Instant) {
        let slot = self.slot(integration, org, now);
        slot.in_flight[lane as usize] += 1;
        slot.unproven[lane as usize] += usize::from(unproven);
        self.in_flight += 1;
        if unproven {
            let mut one = ByLane::default();
            one[lane as usize] = 1;
            self.count_unproven(org, one);
        }
    }

    /// Counts more requests against the share of an org; how many there are then.
    fn count_unproven(&mut self, org: &str, more: ByLane) -> ByLane {
        if let Some(share) = self.orgs.get_mut(org) {
            for (count, more) in share.unproven.iter_mut().zip(more) {
                *count += more;
            }
            return share.unproven;
        }
        if more != ByLane::default() {
            let first = Org {
                unproven: more,
                ..Org::default()
            };
            self.orgs.insert(org.to_owned(), first);
        }
        more
    }

    fn slot(&mut self, integration: &str, org: &str, now: Instant) -> &mut Slot<T> {
        if !self.slots.contains_key(integration) {
            let slot = Slot {
                org: org.to_owned(),
                in_flight: ByLane::default(),
                unproven: ByLane::default(),
                waiting: VecDeque::new(),
                began: now,
                quick: None,
                answered: None,
            };
            self.slots.insert(integration.to_owned(), slot);
        }
        self.slots.get_mut(integration).expect("put there just now")
    }

    /// An integration without anything under way or waiting takes no memory.
    fn forget_idle(&mut self, integration: &str) {
        let idle = |slot: &Slot<T>| slot.under_way() == 0 && slot.waiting.is_empty();
        if self.slots.get(integration).is_some_and(idle) {
            self.slots.remove(integration);
        }
    }

    /// Those that have waited too long.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<T> {
        let mut overdue = Vec::new();
        if self.waiting > 0 {
            let late = |since: &Instant| now.duration_since(*since) >= self.wait;
            for slot in self.slots.values_mut() {
                while slot.waiting.front().is_some_and(|(since, ..)| late(since)) {
                    overdue.extend(slot.waiting.pop_front().map(|(.., delivery)| delivery));
                }
            }
            for waiting in self.orgs.values_mut().flat_map(|org| &mut org.waiting) {
                while waiting.front().is_some_and(|(since, ..)| late(since)) {
                    overdue.extend(waiting.pop_front().map(|(.., delivery)| delivery));
                }
            }
            self.orgs.retain(|_, org| !org.is_idle());
            self.waiting -= overdue.len();
        }
        overdue
    }

    /// All that wait, when the worker stops.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        self.waiting = 0;
        let of_slots = self.slots.values_mut().flat_map(|slot| slot.waiting.drain(..));
        let lines = self.orgs.values_mut().flat_map(|org| &mut org.waiting);
        of_slots
            .map(|(.., delivery)| delivery)
            .chain(lines.flat_map(|line| line.drain(..)).map(|(.., delivery)| delivery))
            .collect()
    }

    /// Whether any delivery waits for a place.
    pub(crate) fn any_waiting(&self) -> bool {
        self.waiting > 0
    }
}

impl<T> Slot<T> {
    fn under_way(&self) -> usize {
        self.in_flight.iter().sum()
    }

    /// Whether it answers quickly, and whether it has not shown yet how it does.
    fn pace(&self, wait: Duration, now: Instant) -> (bool, bool) {
        let quick = self.quick.is_some_and(|at| now.duration_since(at) < wait);
        let fresh = self.quick.is_none() && now.duration_since(self.began) < wait;
        (quick, fresh)
    }

    /// Requests that it may have under way.
    fn most(&self, in_flight_max: usize, in_worker: usize, quick: bool, fresh: bool) -> usize {
        match (quick, fresh) {
            _ if in_worker < CROWDED => in_flight_max,
            (true, _) => in_flight_max,
            (false, true) => FRESH_MAX.min(in_flight_max),
            (false, false) => SLOW_MAX.min(in_flight_max),
        }
    }
}

impl<T> Org<T> {
    fn is_idle(&self) -> bool {
        self.unproven == ByLane::default() && self.waiting.iter().all(VecDeque::is_empty)
    }
}

impl<T> Default for Org<T> {
    fn default() -> Self {
        Self {
            unproven: ByLane::default(),
            waiting: std::array::from_fn(|_| VecDeque::new()),
        }
    }
}

#[cfg(test)]
mod tests;
