//! Holding an integration's deliveries back and letting them go again.
//!
//! Every change has two effects: the gate in PARKED and the state in KV. The gate is closed before
//! the state says so, and opened (only when nothing is left) before the state says so. A crash in
//! between leaves a closed gate that nobody parks behind, or an open gate whose state is mended by
//! the next look of a keeper; deliveries flow either way.

pub mod limits;

use signalbox_proto::{
    Delivery, Name, Phase, State, Timestamp,
    state::{Cause, Probe},
};

use crate::{Broker, Error, hops::Parked};

/// How often a change that someone else overtakes is tried again.
const TRIES_MAX: usize = 32;

/// What draining takes out, and how fast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// Deliveries a second at most; `None` as fast as they are taken.
    pub per_second: Option<u32>,
    /// What was accepted before is discarded.
    pub drop_before: Option<Timestamp>,
}

/// Why an integration is suspended, and how it is brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspension<'a> {
    /// What its target does, in a sentence for its owner.
    pub reason: &'a str,
    /// Whether it refuses us, or fails.
    pub cause: Cause,
    /// The delivery that will probe, if the caller has one in hand; else a keeper chooses one.
    pub probe: Option<&'a str>,
    /// The wait of the first probe, in seconds; longer where the last suspension is not long over.
    pub first_secs: u32,
}

/// What a change decides to do to a state.
enum Next {
    Keep,
    Set(State),
    /// Close the gate first; its sequence becomes the state's.
    Close(State),
}

/// What became of a delivery that was to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It waits in PARKED.
    Parked,
    /// Its integration is open: it goes.
    Open,
}

impl Broker {
    /// Holds an integration by a person's will. A paused one stays as it is.
    pub async fn pause(&self, integration: &str, reason: &str, now: Timestamp) -> Result<State, Error> {
        self.change(integration, |state| match state.phase {
            Phase::Paused => Next::Keep,
            Phase::Open | Phase::Suspended | Phase::Draining | Phase::Unknown => Next::Close(State {
                phase: Phase::Paused,
                since: now,
                reason: reason.to_owned(),
                ..State::default()
            }),
        })
        .await
    }

    /// Lets what waits go, in order, behind a gate that stays closed until nothing is left. An open
    /// integration stays as it is.
    pub async fn resume(&self, integration: &str, drain: Drain, now: Timestamp) -> Result<State, Error> {
        self.change(integration, |state| match state.phase {
            Phase::Open => Next::Keep,
            Phase::Paused | Phase::Suspended | Phase::Draining | Phase::Unknown => {
                let draining = State {
                    phase: Phase::Draining,
                    gate: state.gate,
                    since: now,
                    drain_per_second: drain.per_second,
                    drop_before: drain.drop_before,
                    // A person says that it works: believed, but with a few requests at stake only.
                    recovered_at: (state.phase == Phase::Suspended).then_some(now),
                    ..State::default()
                };
                Next::Set(draining.keeping_recovery_of(state, now))
            }
        })
        .await
    }

    /// Holds an integration whose target refuses us or fails. Only an open or draining one is suspended: of
    /// several that try at once one is first, and all learn which delivery probes.
    pub async fn suspend(&self, integration: &str, suspension: Suspension<'_>, now: Timestamp) -> Result<State, Error> {
        self.change(integration, |state| match state.phase {
            Phase::Paused | Phase::Suspended | Phase::Unknown => Next::Keep,
            Phase::Open | Phase::Draining => {
                let wait_secs = state.next_backoff_secs(suspension.first_secs, now);
                Next::Close(State {
                    phase: Phase::Suspended,
                    since: now,
                    reason: suspension.reason.to_owned(),
                    cause: suspension.cause,
                    backoff_secs: wait_secs,
                    probe: suspension.probe.map(|delivery| Probe {
                        delivery: delivery.to_owned(),
                        due: now + std::time::Duration::from_secs(wait_secs.into()),
                        wait_secs,
                        failed: 0,
                    }),
                    // What a person asked for when letting it go still holds when it comes back.
                    drain_per_second: state.drain_per_second,
                    drop_before: state.drop_before,
                    ..State::default()
                })
            }
        })
        .await
    }

    /// Names the delivery that probes a suspended integration next, where the probe is still the one that the caller
    /// knows: of several who name one, one is first, and the others learn which it is. `reason` is what the last probe
    /// was answered. Another state stays as it is.
    pub async fn set_probe(
        &self,
        integration: &str,
        known: Option<&Probe>,
        probe: Probe,
        reason: Option<&str>,
    ) -> Result<State, Error> {
        self.change(integration, |state| match state.phase {
            Phase::Suspended if state.probe.as_ref() == known => Next::Set(State {
                probe: Some(probe.clone()),
                reason: match (state.cause, reason) {
                    (_, None) => state.reason.clone(),
                    (Cause::Failing, Some(reason)) => format!("its target fails, its last probe too: {reason}"),
                    (_, Some(reason)) => reason.to_owned(),
                },
                ..state.clone()
            }),
            Phase::Open | Phase::Paused | Phase::Suspended | Phase::Draining | Phase::Unknown => Next::Keep,
        })
        .await
    }

    /// Lets a suspended integration go, as its probe came through. Another state stays as it is.
    pub async fn recover(&self, integration: &str, now: Timestamp) -> Result<State, Error> {
        self.change(integration, |state| match state.phase {
            Phase::Suspended => Next::Set(State {
                phase: Phase::Draining,
                gate: state.gate,
                since: now,
                cause: state.cause,
                backoff_secs: state.probe.as_ref().map_or(state.backoff_secs, |probe| probe.wait_secs),
                recovered_at: Some(now),
                drain_per_second: state.drain_per_second,
                drop_before: state.drop_before,
                ..State::default()
            }),
            Phase::Open | Phase::Paused | Phase::Draining | Phase::Unknown => Next::Keep,
        })
        .await
    }

    /// Holds an open integration because it has more waiting than goes out: what comes parks, and a
    /// keeper takes it out at the pace of its target.
    pub async fn hold_back(&self, integration: &str, reason: &str, now: Timestamp) -> Result<State, Error> {
        self.change(integration, |state| match state.phase {
            Phase::Open => {
                let draining = State {
                    phase: Phase::Draining,
                    since: now,
                    reason: reason.to_owned(),
                    ..State::default()
                };
                Next::Close(draining.keeping_recovery_of(state, now))
            }
            Phase::Paused | Phase::Suspended | Phase::Draining | Phase::Unknown => Next::Keep,
        })
        .await
    }

    /// Holds an integration that is open or draining back, and takes nothing of it out before then: it would
    /// find no place.
    pub async fn rest(
        &self,
        integration: &str,
        until: Timestamp,
        reason: &str,
        now: Timestamp,
    ) -> Result<State, Error> {
        self.change(integration, |state| match state.phase {
            Phase::Open => {
                let draining = State {
                    phase: Phase::Draining,
                    since: now,
                    reason: reason.to_owned(),
                    cause: Cause::Slow,
                    not_before: Some(until),
                    ..State::default()
                };
                Next::Close(draining.keeping_recovery_of(state, now))
            }
            Phase::Draining if limits::is_later(until, state) => Next::Set(State {
                not_before: Some(until),
                ..state.clone()
            }),
            Phase::Paused | Phase::Suspended | Phase::Draining | Phase::Unknown => Next::Keep,
        })
        .await
    }

    /// Opens a draining integration if nothing of it is left in PARKED; `None` where something is,
    /// or where it is not draining any more.
    pub async fn open(&self, org: &Name, integration: &str, now: Timestamp) -> Result<Option<State>, Error> {
        let entry = self.state(integration).await?;
        if entry.value.phase != Phase::Draining || !self.open_gate(org, integration).await? {
            return Ok(None);
        }
        let open = State {
            phase: Phase::Open,
            since: now,
            ..State::default()
        }
        .keeping_recovery_of(&entry.value, now);
        match self.set_state(integration, &open, entry.revision).await {
            Ok(_) => Ok(Some(open)),
            // Someone holds it again meanwhile, and closed the gate anew before saying so.
            Err(Error::Conflict { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Parks a delivery behind its integration's gate, or says that the integration is open.
    ///
    /// `known` is the caller's view. A stale one is refused by the gate and read again; a gate that
    /// moved although the state did not (two changes crossed) is closed anew.
    pub async fn park_behind(&self, delivery: &Delivery, known: &State) -> Result<Held, Error> {
        let integration = delivery.integration.as_str();
        let mut state = known.clone();
        for _ in 0..TRIES_MAX {
            if state.phase == Phase::Open {
                return Ok(Held::Open);
            }
            if self.park(delivery, state.gate).await? == Parked::Yes {
                return Ok(Held::Parked);
            }
            let stale = state.gate;
            state = self.state(integration).await?.value;
            if state.phase != Phase::Open && state.gate == stale {
                state = self
                    .change(integration, |state| {
                        let moved = state.phase == Phase::Open || state.gate != stale;
                        if moved { Next::Keep } else { Next::Close(state.clone()) }
                    })
                    .await?;
            }
        }
        Err(Error::Conflict {
            key: signalbox_proto::subjects::gate(integration),
        })
    }

    /// Reads the state, decides, and writes on condition that nobody else did; again if so.
    async fn change(&self, integration: &str, mut decide: impl FnMut(&State) -> Next) -> Result<State, Error> {
        // The last gate that this call has closed. Of several changes that cross, one is written; the others have moved
        // the gate behind it, and the state has to say so, or whoever parks would be refused and move it once more.
        let mut closed = 0;
        for _ in 0..TRIES_MAX {
            let entry = self.state(integration).await?;
            let next = match decide(&entry.value) {
                Next::Keep if entry.value.phase == Phase::Open || entry.value.gate >= closed => return Ok(entry.value),
                Next::Keep => State {
                    gate: closed,
                    ..entry.value.clone()
                },
                Next::Set(next) => State {
                    gate: if next.phase == Phase::Open {
                        0
                    } else {
                        next.gate.max(closed)
                    },
                    ..next
                },
                Next::Close(next) => {
                    closed = self.close_gate(integration).await?;
                    State { gate: closed, ..next }
                }
            };
            match self.set_state(integration, &next, entry.revision).await {
                Ok(_) => return Ok(next),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Conflict {
            key: signalbox_proto::subjects::state_key(integration),
        })
    }
}
