//! When a target fails so often that it is left alone: pure, with the time given.
//!
//! A few failing deliveries follow their schedule. Where most requests of an integration fail, for long
//! enough not to be a hiccup, its deliveries wait and one of them probes. What is kept here is kept of
//! integrations that fail, while they do: of a healthy one nothing is.

use std::{collections::HashMap, time::Duration};

use signalbox_proto::{Outcome, Timestamp};

use crate::attempt::Attempted;

/// The window is cut into so many parts, the oldest of which is let go as a whole.
const PARTS: usize = 6;
/// Seconds of one part.
const PART_SECS: i64 = 10;
/// Failures must span this time: a target that is being restarted is met again by the schedule sooner
/// than by a probe.
const SPAN_MIN: Duration = Duration::from_secs(5);
/// Nothing but failures for this time is enough, whatever was delivered before.
const ROW_MIN: Duration = Duration::from_secs(10);
/// An integration that has not failed for this time is forgotten.
const QUIET: Duration = Duration::from_secs(60);
/// Failures in a row that are enough while what waited is being let out again.
const HALF_OPEN_MAX: u32 = 5;
/// A target that says so works, and has a limit.
const TOO_MANY_REQUESTS: u16 = 429;
/// Integrations kept before the quiet ones are looked for.
const KEPT_MAX: usize = 1_000;

/// When it opens: see `config.toml`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// So many requests must have failed in the window.
    pub(crate) failures_min: u32,
    /// So many of a hundred answers must be failures.
    pub(crate) failed_percent: u32,
}

/// What an answer says about its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It took or refused this one delivery: it works.
    Alive,
    /// It failed, and will perhaps fail the next one too.
    Failed {
        /// When the request began.
        since: Timestamp,
    },
}

/// How an integration stands after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing to do.
    Well,
    /// Its owner should hear of it: half of what opens the breaker has failed.
    Failing,
    /// It is to be left alone.
    Open {
        /// Requests that failed.
        failed: u32,
        /// Requests that were answered, the failed ones among them.
        all: u32,
        /// Seconds in which they were.
        secs: u32,
    },
}

/// The integrations of one worker that fail.
#[derive(Debug)]
pub(crate) struct Breaker {
    limits: Limits,
    windows: HashMap<String, Window>,
    /// How many windows there may be before the quiet ones are looked for again.
    sweep_at: usize,
}

/// The answers of the last minute, from the first failure on.
#[derive(Clone, Copy, Debug)]
struct Window {
    parts: [Part; PARTS],
    /// The number of the newest part.
    newest: i64,
    /// When the first failure began of those that the window knows.
    since: Timestamp,
    last_failed: Timestamp,
    /// Failures without another answer in between, and when the first of them began.
    row: u32,
    row_since: Timestamp,
}

#[derive(Clone, Copy, Debug, Default)]
struct Part {
    failed: u32,
    all: u32,
}

impl Sign {
    /// What an attempt says of its target, if anything. One that asks for time works, and one that refuses
    /// us has a rule of its own.
    pub(crate) fn of(attempted: &Attempted) -> Option<Self> {
        match &attempted.outcome {
            _ if !attempted.is_of_target() => None,
            Outcome::Delivered | Outcome::Reject { .. } => Some(Self::Alive),
            Outcome::Retry { after: Some(_), .. } | Outcome::Suspend { .. } => None,
            Outcome::Retry { after: None, .. } if attempted.response_code == Some(TOO_MANY_REQUESTS) => None,
            Outcome::Retry { after: None, .. } => Some(Self::Failed {
                since: attempted.started,
            }),
        }
    }
}

/// Why an integration is left alone, in a sentence for its owner, if it is; `last` is what its target
/// answered last.
pub(crate) fn reason(standing: Standing, last: &str) -> Option<String> {
    let Standing::Open { failed, all, secs } = standing else {
        return None;
    };
    let span = match secs {
        60.. => "minute".to_owned(),
        1 => "second".to_owned(),
        secs => format!("{secs} s"),
    };
    Some(format!(
        "its target fails: {failed} of {all} requests in the last {span}, the last of them: {last}"
    ))
}

impl Breaker {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            windows: HashMap::new(),
            sweep_at: KEPT_MAX,
        }
    }

    /// Takes an answer of an integration's target. `half_open`: what waited is being let out.
    pub(crate) fn answered(&mut self, integration: &str, sign: Sign, half_open: bool, now: Timestamp) -> Standing {
        let Sign::Failed { since } = sign else {
            if let Some(window) = self.windows.get_mut(integration) {
                if now.since(window.last_failed) >= QUIET {
                    self.windows.remove(integration);
                } else {
                    window.count(false, now);
                    window.row = 0;
                }
            }
            return Standing::Well;
        };
        self.sweep(now);
        let window = match self.windows.get_mut(integration) {
            Some(window) if since.since(window.last_failed) < QUIET => window,
            _ => self
                .windows
                .entry(integration.to_owned())
                .insert_entry(Window::new(since, now))
                .into_mut(),
        };
        window.fail(since, now);
        let standing = window.standing(self.limits, half_open, now);
        if let Standing::Open { .. } = standing {
            // Counted anew once it is let go.
            self.windows.remove(integration);
        }
        standing
    }

    /// Forgets an integration: it is held, and counted anew once it is let go.
    pub(crate) fn clear(&mut self, integration: &str) {
        self.windows.remove(integration);
    }

    /// Lets go of those that have become quiet, whenever there are twice as many as were left the last time.
    fn sweep(&mut self, now: Timestamp) {
        if self.windows.len() >= self.sweep_at {
            self.windows.retain(|_, window| now.since(window.last_failed) < QUIET);
            self.sweep_at = (self.windows.len() * 2).max(KEPT_MAX);
        }
    }
}

impl Window {
    fn new(since: Timestamp, now: Timestamp) -> Self {
        Self {
            parts: [Part::default(); PARTS],
            newest: part_of(now),
            since,
            last_failed: now,
            row: 0,
            row_since: since,
        }
    }

    fn fail(&mut self, since: Timestamp, now: Timestamp) {
        self.count(true, now);
        if self.row == 0 {
            self.row_since = since;
        }
        self.row = self.row.saturating_add(1);
        // Answers come in another order than their requests went.
        self.row_since = self.row_since.min(since);
        self.since = self.since.min(since);
        self.last_failed = self.last_failed.max(now);
    }

    fn count(&mut self, failed: bool, now: Timestamp) {
        self.forget(now);
        let part = &mut self.parts[index(self.newest)];
        part.failed = part.failed.saturating_add(u32::from(failed));
        part.all = part.all.saturating_add(1);
    }

    /// Lets go of the parts that have left the window.
    fn forget(&mut self, now: Timestamp) {
        let part = part_of(now);
        // A clock that went back counts in the part that was the newest.
        let passed = part.saturating_sub(self.newest);
        if passed <= 0 {
            return;
        }
        let cleared = usize::try_from(passed).map_or(PARTS, |passed| passed.min(PARTS));
        for ahead in 1..=cleared {
            self.parts[index(self.newest.saturating_add(ahead as i64))] = Part::default();
        }
        self.newest = part;
        let oldest = Timestamp::from_secs(part.saturating_sub(PARTS as i64 - 1).saturating_mul(PART_SECS));
        self.since = self.since.max(oldest);
    }

    fn standing(&self, limits: Limits, half_open: bool, now: Timestamp) -> Standing {
        let sum = self.parts.iter().fold(Part::default(), |sum, part| Part {
            failed: sum.failed.saturating_add(part.failed),
            all: sum.all.saturating_add(part.all),
        });
        let open = |failed: u32, all: u32, since: Timestamp| Standing::Open {
            failed,
            all,
            secs: u32::try_from(now.since(since).as_secs()).unwrap_or(u32::MAX).max(1),
        };
        if half_open && self.row >= HALF_OPEN_MAX.min(limits.failures_min) {
            return open(self.row, self.row, self.row_since);
        }
        let most = u64::from(sum.failed) * 100 >= u64::from(sum.all) * u64::from(limits.failed_percent);
        if most && sum.failed >= limits.failures_min && now.since(self.since) >= SPAN_MIN {
            return open(sum.failed, sum.all, self.since);
        }
        if self.row >= limits.failures_min && now.since(self.row_since) >= ROW_MIN {
            return open(self.row, self.row, self.row_since);
        }
        if most && sum.failed >= limits.failures_min.div_ceil(2) {
            return Standing::Failing;
        }
        Standing::Well
    }
}

fn part_of(now: Timestamp) -> i64 {
    now.secs().div_euclid(PART_SECS)
}

fn index(part: i64) -> usize {
    usize::try_from(part.rem_euclid(PARTS as i64)).expect("a remainder of a small number is small")
}

#[cfg(test)]
mod tests;
