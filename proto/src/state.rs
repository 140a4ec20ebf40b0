//! Whether an integration's deliveries go or wait, as KV STATE carries it to every worker.
//!
//! The state says what to do; the gate in PARKED decides races. A closed gate has the sequence
//! that [`State::gate`] names, and every park is published on condition that this is still so.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What happens to the deliveries of an integration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// They go. The gate is open.
    #[default]
    Open,
    /// A person holds them. They wait in PARKED.
    Paused,
    /// The target refuses us. They wait in PARKED but for the probe.
    Suspended,
    /// What waits in PARKED is being taken out in order; what comes waits behind it.
    Draining,
    /// Written by a newer version: held, as a person would, until this version is gone.
    #[serde(other)]
    Unknown,
}

impl Phase {
    /// The word in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Suspended => "suspended",
            Self::Draining => "draining",
            Self::Unknown => "unknown",
        }
    }
}

/// The state of one integration. No entry in KV means [`State::default`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What happens to its deliveries.
    pub phase: Phase,
    /// The sequence of the gate message in PARKED that closed it; 0 while open.
    #[serde(default)]
    pub gate: u64,
    /// Since when this phase lasts.
    #[serde(default)]
    pub since: Timestamp,
    /// Why, in a sentence that an owner may see.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The probe of a suspended integration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// Deliveries a second that draining takes out at most; `None` as fast as they are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_per_second: Option<u32>,
    /// While draining: what was accepted before this time is discarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_before: Option<Timestamp>,
    /// While draining: nothing is taken out before this time, as the target asked to be left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// What led to this phase.
    #[serde(default, skip_serializing_if = "Cause::is_none")]
    pub cause: Cause,
    /// The wait of the probe that came through last, in seconds, so that a target which answers probes
    /// alone is not asked every minute; while suspended, the first wait of this suspension.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub backoff_secs: u32,
    /// When it was last let go after a suspension, for as long as that matters: see [`State::is_half_open`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered_at: Option<Timestamp>,
}

impl State {
    /// The first wait of a suspension that begins now: `first_secs`, or twice the wait that led to the last
    /// recovery where that is not long ago.
    pub fn next_backoff_secs(&self, first_secs: u32, now: Timestamp) -> u32 {
        let doubled = self
            .recovered_at
            .filter(|at| now.since(*at) < FLAP_WITHIN)
            .map_or(0, |_| self.backoff_secs.saturating_mul(2));
        doubled.max(first_secs).min(PROBE_LAST_SECS)
    }

    /// Whether what waited during a suspension is still being let out, and that not for long: a target that
    /// fails again now is suspended after a few requests.
    pub fn is_half_open(&self, now: Timestamp) -> bool {
        let recent = self.recovered_at.is_some_and(|at| now.since(at) < FLAP_WITHIN);
        self.phase == Phase::Draining && recent
    }

    /// What a change to a phase that deliveries flow in keeps of a recovery that is not long ago.
    #[must_use]
    pub fn keeping_recovery_of(self, before: &Self, now: Timestamp) -> Self {
        match before.recovered_at.filter(|at| now.since(*at) < FLAP_WITHIN) {
            None => self,
            recovered_at => Self {
                recovered_at,
                backoff_secs: before.backoff_secs,
                ..self
            },
        }
    }
}

/// What led to a phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Nothing that matters, or written before this was known.
    #[default]
    None,
    /// The rate limit, or a target that asked to be left alone.
    Limit,
    /// The target answers more slowly than deliveries come, or the provider's stream did not answer.
    Slow,
    /// The target refuses us.
    Refused,
    /// Too many requests fail.
    Failing,
    /// Written by a newer version.
    #[serde(other)]
    Unknown,
}

impl Cause {
    /// Whether nothing is known of it.
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// The one delivery that finds out whether a suspended integration works again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The delivery's id; empty where another is to be chosen: see [`Probe::is_vacant`].
    pub delivery: String,
    /// When it is due.
    pub due: Timestamp,
    /// The wait that led here, in seconds; the next is double.
    pub wait_secs: u32,
    /// How often this delivery has failed as the probe of this suspension.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u32,
}

/// The first wait of a probe, in seconds.
pub const PROBE_FIRST_SECS: u32 = 60;
/// The longest wait of a probe, in seconds.
pub const PROBE_LAST_SECS: u32 = 3_600;
/// A delivery that has failed so often as the probe of a target that fails lets another one probe: it may be this one
/// delivery that the target cannot bear.
pub const PROBE_FAILED_MAX: u32 = 3;
/// A suspension within this time of a recovery goes on where the last one was; a longer health is forgiven.
pub const FLAP_WITHIN: Duration = Duration::from_secs(600);

impl Probe {
    /// None yet: the oldest that waits then is to be chosen for this time.
    pub const fn vacant(due: Timestamp, wait_secs: u32) -> Self {
        Self {
            delivery: String::new(),
            due,
            wait_secs,
            failed: 0,
        }
    }

    /// Whether no delivery probes: the oldest that waits is to be chosen, and due at the time that is kept here.
    pub const fn is_vacant(&self) -> bool {
        self.delivery.is_empty()
    }

    /// What comes after it has failed once more, due then. Where the target `fails`, and does not refuse us, another
    /// delivery probes after a few failures of this one; the wait goes on where it was.
    #[must_use]
    pub fn after_failure(&self, fails: bool, due: Timestamp) -> Self {
        let failed = self.failed.saturating_add(1);
        if fails && failed >= PROBE_FAILED_MAX {
            return Self::vacant(due, self.next_wait_secs());
        }
        Self {
            delivery: self.delivery.clone(),
            due,
            wait_secs: self.next_wait_secs(),
            failed,
        }
    }

    /// The wait after one more probe that failed.
    pub const fn next_wait_secs(&self) -> u32 {
        let doubled = self.wait_secs.saturating_mul(2);
        if doubled > PROBE_LAST_SECS {
            PROBE_LAST_SECS
        } else {
            doubled
        }
    }
}

/// The body of a gate message. Its sequence is what parks are fenced with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gate {
    /// Deliveries go live.
    Open,
    /// Deliveries park.
    Closed,
}

#[cfg(test)]
mod tests;
