//! Holding an integration back because it may not send now: over its rate limit, or asked by its
//! target to wait.

use std::time::Duration;

use signalbox_proto::{Phase, State, Timestamp, state::Cause};

use super::Next;
use crate::{Broker, Error};

/// What a state is not written again for: a target that asks many requests at once to wait names
/// times that differ by this much at least.
pub const UNTIL_APART: Duration = Duration::from_secs(1);

impl Broker {
    /// Holds an integration back because of a limit: what comes parks, and a keeper takes it out at the
    /// pace of its tokens, and not before `until` where its target named a time. One that is held by a
    /// person or by a suspension stays as it is.
    pub async fn hold_until(
        &self,
        integration: &str,
        until: Option<Timestamp>,
        reason: &str,
        now: Timestamp,
    ) -> Result<State, Error> {
        self.change(integration, |state| match until_of(state, until, reason, now) {
            Some(next) if state.phase == Phase::Open => Next::Close(next),
            Some(next) => Next::Set(next),
            None => Next::Keep,
        })
        .await
    }
}

/// The state that says so, unless the present one does already or is none that a limit changes.
fn until_of(state: &State, until: Option<Timestamp>, reason: &str, now: Timestamp) -> Option<State> {
    match state.phase {
        Phase::Open => {
            let draining = State {
                phase: Phase::Draining,
                since: now,
                reason: reason.to_owned(),
                cause: Cause::Limit,
                not_before: until,
                ..State::default()
            };
            Some(draining.keeping_recovery_of(state, now))
        }
        Phase::Draining if until.is_some_and(|until| is_later(until, state)) => Some(State {
            not_before: until,
            reason: reason.to_owned(),
            cause: Cause::Limit,
            ..state.clone()
        }),
        Phase::Draining | Phase::Paused | Phase::Suspended | Phase::Unknown => None,
    }
}

/// Whether a target that asks to be left alone until then asks for more than the state already says.
pub fn is_later(until: Timestamp, state: &State) -> bool {
    state
        .not_before
        .is_none_or(|not_before| until > not_before + UNTIL_APART)
}

#[cfg(test)]
mod tests;
