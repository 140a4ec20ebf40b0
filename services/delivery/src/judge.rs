//! From an answer to a verdict: what a worker remembers of its integrations, and what their owners are told.

use std::sync::Arc;

use signalbox_proto::{Delivery, Event, Outcome, Phase, State, Timestamp, delivery::Suspends};

use crate::{
    Config,
    attempt::Attempted,
    breaker::{self, Breaker, Sign, Standing},
    decide::{self, Facts, Verdict},
    filing::{self, Job},
    notices::{self, Notices},
    streak::Streaks,
};

/// Retries after which the owner hears that deliveries fail.
const FAILING_RETRIES: u32 = 3;

/// What one worker has seen of late.
pub(crate) struct Judge {
    streaks: Streaks,
    breaker: Breaker,
    notices: Notices,
}

impl Judge {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            streaks: Streaks::new(),
            breaker: Breaker::new(breaker::Limits {
                failures_min: config.breaker_failures_min,
                failed_percent: config.breaker_failed_percent,
            }),
            notices: Notices::default(),
        }
    }

    /// Decides what comes next after an attempt, and what is to be told. What the delivery carries on of `suspend`
    /// answers in a row is written into the job.
    pub(crate) fn judge(
        &mut self,
        job: &mut Job,
        attempted: &Attempted,
        state: Option<&State>,
        now: Timestamp,
    ) -> (Verdict, Vec<Event>) {
        let (suspends, enough) = self.count_suspends(job, attempted, now);
        let standing = self.count_failures(job, attempted, state, now);
        let facts = Facts {
            delivery: &job.delivery,
            integration: &job.known.integration,
            state,
            of_target: attempted.is_of_target(),
            waits_for: attempted.waits_for(),
            suspends: enough,
            opens: breaker::reason(standing, attempted.outcome.reason().unwrap_or_default()),
            now,
        };
        let verdict = decide::decide(&attempted.outcome, &facts);
        let notices = self.notices_of(job, attempted, &verdict, standing, now);
        if let Verdict::Suspend { .. } = verdict {
            self.streaks.clear(&job.delivery.integration);
            self.breaker.clear(&job.delivery.integration);
        }
        if suspends != job.delivery.suspends {
            job.delivery = Arc::new(Delivery {
                suspends,
                ..Delivery::clone(&job.delivery)
            });
        }
        (verdict, notices)
    }

    /// An event about a delivery, if one is due now.
    pub(crate) fn notice(&mut self, kind: notices::Kind, job: &Job, reason: &str, now: Timestamp) -> Option<Event> {
        let name = job.known.integration.name.as_str();
        self.notices.make(kind, &job.delivery, name, reason, now)
    }

    /// What the delivery carries on of `suspend` answers in a row, and whether they are enough. Without a request there
    /// was no answer that could come in between.
    fn count_suspends(&mut self, job: &Job, attempted: &Attempted, now: Timestamp) -> (Option<Suspends>, bool) {
        let integration = &job.delivery.integration;
        match &attempted.outcome {
            Outcome::Suspend { at_once, .. } => {
                let carried = job.delivery.suspends;
                let (row, enough) = self.streaks.suspend(integration, carried, *at_once, now);
                (Some(row), enough)
            }
            Outcome::Delivered | Outcome::Retry { .. } | Outcome::Reject { .. } if !attempted.asked => {
                (job.delivery.suspends, false)
            }
            Outcome::Delivered | Outcome::Retry { .. } | Outcome::Reject { .. } => {
                self.streaks.other(integration, now);
                (None, false)
            }
        }
    }

    fn count_failures(&mut self, job: &Job, attempted: &Attempted, state: Option<&State>, now: Timestamp) -> Standing {
        match (Sign::of(attempted), state) {
            (None, _) => Standing::Well,
            // The probe speaks for all; and what a person holds is not suspended.
            (Some(_), Some(state)) if matches!(state.phase, Phase::Suspended | Phase::Paused | Phase::Unknown) => {
                Standing::Well
            }
            (Some(sign), state) => {
                let half_open = state.is_some_and(|state| state.is_half_open(now));
                self.breaker.answered(&job.delivery.integration, sign, half_open, now)
            }
        }
    }

    fn notices_of(
        &mut self,
        job: &Job,
        attempted: &Attempted,
        verdict: &Verdict,
        standing: Standing,
        now: Timestamp,
    ) -> Vec<Event> {
        let reason = attempted.outcome.reason().unwrap_or_default();
        let kind = match verdict {
            Verdict::Dead(_) => Some((notices::Kind::Dead, reason)),
            Verdict::Suspend { reason, .. } => Some((notices::Kind::Suspended, reason.as_str())),
            Verdict::Retry { counted: true, .. }
                if job.delivery.retries + 1 >= FAILING_RETRIES || standing == Standing::Failing =>
            {
                Some((notices::Kind::Failing, reason))
            }
            Verdict::Delivered | Verdict::Retry { .. } | Verdict::ProbeAgain { .. } | Verdict::Park(_) => None,
        };
        let told = kind.and_then(|(kind, reason)| self.notice(kind, job, reason, now));
        let back = filing::lets_go(job, attempted)
            .then(|| self.notice(notices::Kind::Recovered, job, reason, now))
            .flatten();
        told.into_iter().chain(back).collect()
    }
}

#[cfg(test)]
mod tests;
