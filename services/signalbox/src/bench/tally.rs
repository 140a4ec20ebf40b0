//! Checks off every arrival against what was published: nothing lost, nothing twice, and how long each took.
//!
//! An event's id names its run, its number in the run and the microsecond of its publishing, so that an arrival needs
//! nothing looked up, and one that comes late is still counted where it belongs.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// Characters of an event's id.
pub(super) const ID_CHARS: usize = 8 + 1 + 8 + 1 + 12;

/// Which events a run publishes and which integrations they must reach.
///
/// Event number `n` is of type `n % types`; integrations `type * fanout ..` up to the next type's want it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub events: u64,
    pub types: u64,
    pub fanout: u64,
    /// Types from this one on go to targets that never answer, and are not waited for.
    pub types_answered: u64,
}

impl Plan {
    /// Deliveries that must arrive.
    pub(super) fn expected(&self) -> u64 {
        let whole = self.events / self.types * self.types_answered;
        (whole + (self.events % self.types).min(self.types_answered)) * self.fanout
    }

    /// Where in the bitmap an arrival is checked off; `None` when this event was never owed to this integration.
    fn slot(&self, event: u64, integration: u64) -> Option<u64> {
        let owed = event < self.events && event % self.types == integration / self.fanout;
        owed.then(|| event * self.fanout + integration % self.fanout)
    }
}

/// What a run has seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub delivered: u64,
    /// Arrivals of what had arrived before.
    pub duplicates: u64,
    /// Arrivals at an integration that the event was never owed to.
    pub misrouted: u64,
    /// From publishing to arrival, in microseconds, one for each delivery.
    pub latencies_us: Vec<u32>,
    pub last_arrival: Option<Instant>,
}

/// Everything that was published and arrived, shared by publisher and receiver.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    began: Instant,
    runs: Arc<Mutex<Vec<Run>>>,
    complete: Arc<Notify>,
}

/// Which run of a [`Tally`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunId(u32);

#[derive(Debug)]
struct Run {
    plan: Plan,
    expected: u64,
    checked: Vec<u64>,
    seen: Seen,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            runs: Arc::default(),
            complete: Arc::default(),
        }
    }

    /// Begins a run.
    pub(super) fn begin(&self, plan: Plan) -> RunId {
        let mut runs = self.runs();
        let words = usize::try_from((plan.events * plan.fanout).div_ceil(64)).expect("a bound of the arguments");
        let expected = plan.expected();
        let latencies_us = Vec::with_capacity(usize::try_from(expected).expect("a bound of the arguments"));
        runs.push(Run {
            plan,
            expected,
            checked: vec![0; words],
            seen: Seen {
                latencies_us,
                ..Seen::default()
            },
        });
        RunId(u32::try_from(runs.len() - 1).expect("a handful of runs"))
    }

    /// Writes the id of an event that is published now.
    pub(super) fn write_id(&self, run: RunId, event: u64, out: &mut String) {
        write_id(run.0, event, self.began.elapsed().as_micros(), out);
    }

    /// Counts an arrival. An id that is not ours is an error.
    pub(super) fn arrived(&self, integration: u64, id: &str) -> Result<(), UnknownId> {
        let (run, event, published) = read_id(id).ok_or(UnknownId)?;
        let now = Instant::now();
        let mut runs = self.runs();
        let run = usize::try_from(run)
            .ok()
            .and_then(|run| runs.get_mut(run))
            .ok_or(UnknownId)?;
        let Some(slot) = run.plan.slot(event, integration) else {
            run.seen.misrouted += 1;
            return Ok(());
        };
        let word = run
            .checked
            .get_mut(usize::try_from(slot / 64).map_err(|_| UnknownId)?)
            .ok_or(UnknownId)?;
        let bit = 1 << (slot % 64);
        if *word & bit != 0 {
            run.seen.duplicates += 1;
            return Ok(());
        }
        *word |= bit;
        let latency = now
            .duration_since(self.began)
            .saturating_sub(Duration::from_micros(published));
        run.seen
            .latencies_us
            .push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
        run.seen.last_arrival = Some(now);
        run.seen.delivered += 1;
        if run.seen.delivered == run.expected {
            self.complete.notify_one();
        }
        Ok(())
    }

    /// Waits until all that was owed has arrived, or nothing new has for as long as `patience`.
    pub(super) async fn complete(&self, run: RunId, patience: Duration) {
        loop {
            let before = self.delivered(run);
            if before >= self.expected(run) {
                return;
            }
            // A notice may be left over from an earlier run, so that only the counts decide.
            let quiet = tokio::time::timeout(patience, self.complete.notified()).await.is_err();
            if quiet && self.delivered(run) == before {
                return;
            }
        }
    }

    /// What a run has seen so far; still growing by duplicates that come late.
    pub(super) fn seen(&self, run: RunId) -> Seen {
        run_of(&self.runs(), run).seen.clone()
    }

    /// Deliveries that must arrive in a run.
    pub(super) fn expected(&self, run: RunId) -> u64 {
        run_of(&self.runs(), run).expected
    }

    /// Deliveries of a run that have arrived.
    pub(super) fn delivered(&self, run: RunId) -> u64 {
        run_of(&self.runs(), run).seen.delivered
    }

    fn runs(&self) -> MutexGuard<'_, Vec<Run>> {
        self.runs.lock().expect("nothing panics while it holds the counts")
    }
}

/// An id that no run has written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnknownId;

fn run_of(runs: &[Run], run: RunId) -> &Run {
    usize::try_from(run.0)
        .ok()
        .and_then(|run| runs.get(run))
        .expect("only begin() makes these")
}

/// Writes an id of run, number and microsecond.
pub(super) fn write_id(run: u32, event: u64, micros: u128, out: &mut String) {
    write!(out, "{run:08x}-{event:08x}-{micros:012x}").expect("a String takes any text");
}

/// Run, number and microsecond of an id.
pub(super) fn read_id(id: &str) -> Option<(u32, u64, u64)> {
    if id.len() != ID_CHARS {
        return None;
    }
    let mut parts = id.split('-');
    let run = u32::from_str_radix(parts.next()?, 16).ok()?;
    let event = u64::from_str_radix(parts.next()?, 16).ok()?;
    let published = u64::from_str_radix(parts.next()?, 16).ok()?;
    parts.next().is_none().then_some((run, event, published))
}

#[cfg(test)]
mod tests;
