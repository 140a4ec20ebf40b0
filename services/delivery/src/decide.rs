//! What comes next for a delivery: pure, with the time given.

use std::time::Duration;

use signalbox_proto::{
    DeadReason, Delivery, Integration, Outcome, Phase, State, Timestamp, hash,
    integration::Status,
    state::{Cause, Probe},
};

/// Jitter of a step, to both sides, in thousandths.
const JITTER_PER_MILLE: u64 = 200;
/// The wait after a `suspend` answer that does not suspend the integration yet. Three such answers
/// then span the minute that suspending asks for.
const SUSPEND_WAIT: Duration = Duration::from_secs(30);
/// The least wait of what could not even be sent, for a reason of ours that mostly passes by itself.
const UNASKED_WAIT: Duration = Duration::from_secs(5);
/// The longest, where the reason lasts.
const UNASKED_WAIT_MAX: Duration = Duration::from_secs(300);
/// It waits for this part of the time that it has waited already.
const UNASKED_PART: u32 = 10;

/// Whether a delivery may go to its target now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Send it.
    Go,
    /// It waits in PARKED, behind the gate of this state.
    Park(State),
    /// It was chosen to probe its integration, and whoever chose it died before it was scheduled: it goes
    /// as the probe of this state, at its time.
    Probe(State),
    /// It ends without a request.
    End(DeadReason, &'static str),
}

/// Decides whether a delivery may go, before its integration's share is asked.
pub(crate) fn admit(
    delivery: &Delivery,
    integration: &Integration,
    state: Option<&State>,
    now: Timestamp,
) -> Admission {
    if integration.status == Status::Deleted {
        return Admission::End(DeadReason::Discarded, "the integration was deleted");
    }
    if now >= delivery.since + integration.expire_after() {
        return Admission::End(DeadReason::Expired, "it waited longer than expire_after");
    }
    let Some(state) = state else { return Admission::Go };
    match state.phase {
        // Its target asked one of the workers to wait: all of them do.
        Phase::Draining if state.not_before.is_some_and(|until| now < until) => Admission::Park(state.clone()),
        Phase::Open | Phase::Draining => Admission::Go,
        Phase::Paused | Phase::Unknown => Admission::Park(state.clone()),
        Phase::Suspended => {
            let chosen = state.probe.as_ref().is_some_and(|probe| probe.delivery == delivery.id);
            match (chosen, delivery.probe) {
                (true, true) => Admission::Go,
                (true, false) => Admission::Probe(state.clone()),
                (false, _) => Admission::Park(state.clone()),
            }
        }
    }
}

/// Whether a delivery goes as the probe of its suspended integration.
pub(crate) fn is_probe(delivery: &Delivery, state: &State) -> bool {
    probe_in(delivery, state).is_some()
}

/// The probe that a delivery is, if it is one.
fn probe_in<'a>(delivery: &Delivery, state: &'a State) -> Option<&'a Probe> {
    let probe = state.probe.as_ref().filter(|_| state.phase == Phase::Suspended)?;
    (delivery.probe && probe.delivery == delivery.id).then_some(probe)
}

/// What comes next after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has arrived.
    Delivered,
    /// It is tried again; `counted` where that uses up a step of the schedule.
    Retry {
        /// When.
        at: Timestamp,
        /// Whether a step of the schedule is used up.
        counted: bool,
    },
    /// The probe of its suspended integration failed, or could not be sent: it probes again, or it waits while another
    /// does.
    ProbeAgain {
        /// The probe that it was.
        was: Probe,
        /// The one that comes; of no delivery where another is to be chosen.
        next: Probe,
    },
    /// Its integration is to be suspended, and this delivery is to probe it.
    Suspend {
        /// Whether the target refuses us, or fails.
        cause: Cause,
        /// What it does, in a sentence for its owner.
        reason: String,
    },
    /// Its integration was suspended while the request was under way: it waits with the others, and no step
    /// of the schedule is used up.
    Park(State),
    /// It ends.
    Dead(DeadReason),
}

/// What a verdict depends on besides the outcome.
pub(crate) struct Facts<'a> {
    pub(crate) delivery: &'a Delivery,
    pub(crate) integration: &'a Integration,
    pub(crate) state: Option<&'a State>,
    /// Whether the outcome is that of the target: see [`Attempted::is_of_target`](crate::attempt::Attempted::is_of_target).
    pub(crate) of_target: bool,
    /// For how long it waits, where that is certain.
    pub(crate) waits_for: Option<Duration>,
    /// Whether `suspend` answers have come often enough to suspend the integration.
    pub(crate) suspends: bool,
    /// Why the breaker opens at this failure, if it does.
    pub(crate) opens: Option<String>,
    pub(crate) now: Timestamp,
}

/// Decides what comes next after an outcome.
pub(crate) fn decide(outcome: &Outcome, facts: &Facts<'_>) -> Verdict {
    let Facts {
        delivery,
        integration,
        now,
        ..
    } = *facts;
    if let (Outcome::Retry { after, .. }, false) = (outcome, facts.of_target) {
        return once_more(*after, facts);
    }
    let expiry = delivery.since + integration.expire_after();
    if let Some(probe) = probe_of(facts)
        && matches!(outcome, Outcome::Retry { .. } | Outcome::Suspend { .. })
    {
        let wait_secs = probe.next_wait_secs();
        let asked = match outcome {
            Outcome::Retry { after: Some(after), .. } => *after,
            _ => Duration::ZERO,
        };
        let due = (now + Duration::from_secs(wait_secs.into()).max(asked)).min(expiry);
        let fails = facts.state.is_some_and(|state| state.cause == Cause::Failing);
        return Verdict::ProbeAgain {
            was: probe.clone(),
            next: probe.after_failure(fails, due),
        };
    }
    if let (Outcome::Retry { .. } | Outcome::Suspend { .. }, Some(state)) = (outcome, suspended(facts)) {
        return Verdict::Park(state.clone());
    }
    if let (Outcome::Retry { .. }, Some(reason)) = (outcome, &facts.opens) {
        return Verdict::Suspend {
            cause: Cause::Failing,
            reason: reason.clone(),
        };
    }
    match outcome {
        Outcome::Delivered => Verdict::Delivered,
        Outcome::Reject { .. } => Verdict::Dead(DeadReason::Rejected),
        Outcome::Suspend { reason, .. } if facts.suspends => Verdict::Suspend {
            cause: Cause::Refused,
            reason: reason.clone(),
        },
        Outcome::Suspend { .. } => {
            let at = now + jittered(SUSPEND_WAIT, delivery);
            Verdict::Retry {
                at: at.min(expiry),
                counted: false,
            }
        }
        Outcome::Retry { after, .. } => match integration.schedule().get(delivery.retries as usize) {
            None => Verdict::Dead(DeadReason::Exhausted),
            Some(step) => {
                let step = jittered(Duration::from_secs((*step).into()), delivery);
                let at = now + step.max(after.unwrap_or_default());
                Verdict::Retry {
                    at: at.min(expiry),
                    counted: true,
                }
            }
        },
    }
}

/// What comes next after nothing was sent, or nothing has failed. The target had no part in it: no step of its schedule is used up, and the
/// probe has not failed, so that neither its wait grows nor another takes its place. It is named anew all the same, for
/// its new time: one that is long past would be taken for lost.
fn once_more(after: Option<Duration>, facts: &Facts<'_>) -> Verdict {
    let Facts {
        delivery,
        integration,
        now,
        ..
    } = *facts;
    let wait = facts.waits_for.unwrap_or_else(|| {
        let grown = (now.since(delivery.since) / UNASKED_PART).clamp(UNASKED_WAIT, UNASKED_WAIT_MAX);
        jittered(grown, delivery).max(after.unwrap_or_default())
    });
    let at = (now + wait).min(delivery.since + integration.expire_after());
    if let Some(probe) = probe_of(facts) {
        return Verdict::ProbeAgain {
            was: probe.clone(),
            next: Probe {
                due: at,
                ..probe.clone()
            },
        };
    }
    match suspended(facts) {
        Some(state) => Verdict::Park(state.clone()),
        None => Verdict::Retry { at, counted: false },
    }
}

/// The state of an integration that is suspended.
fn suspended<'a>(facts: &Facts<'a>) -> Option<&'a State> {
    facts.state.filter(|state| state.phase == Phase::Suspended)
}

/// The probe that this delivery is, if it is one.
fn probe_of<'a>(facts: &Facts<'a>) -> Option<&'a Probe> {
    probe_in(facts.delivery, facts.state?)
}

/// A wait with up to 20 % more or less, the same for the same try of the same delivery, so that a
/// repeated hop carries the same time.
fn jittered(wait: Duration, delivery: &Delivery) -> Duration {
    let seed = format!("{}:{}:{}", delivery.id, delivery.generation, delivery.attempt);
    // FNV of texts that differ in their end alone differs little in its high bits: take the low ones.
    let spread = u64::from(hash::fnv1a(seed.as_bytes())) % (2 * JITTER_PER_MILLE + 1);
    let per_mille = 1_000 - JITTER_PER_MILLE + spread;
    let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(millis.saturating_mul(per_mille) / 1_000)
}

#[cfg(test)]
pub(crate) mod tests;
