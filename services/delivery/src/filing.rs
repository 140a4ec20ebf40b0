//! The effects of a verdict, in the order that loses nothing: the next hop first, the record after.

use std::{sync::Arc, time::Duration};

use serde_bytes::ByteBuf;
use signalbox_broker::{
    Broker, Error, PublishError,
    holding::{Held, Suspension},
    hops::Hop,
    message::Ticket,
    outcomes,
    suspects::Suspicion,
};
use signalbox_proto::{
    DeadLetter, DeadReason, Delivery, Event, Integration, Lane, Outcome, Phase, Record, Stage, State, Timestamp,
    delivery::{Note, Unfiled},
    ledger::Final,
    outcome::{Attempt, Next},
    state::{Cause, Probe},
};

use crate::{attempt::Attempted, decide::Verdict, notices, targets::Known};

/// The wait of a delivery whose integration could not be suspended just now.
const UNSAID_WAIT: Duration = Duration::from_secs(30);
/// The wait before a verdict that found no room is filed again.
const UNFILED_WAIT: Duration = Duration::from_secs(10);

/// What filing left to do.
#[derive(Debug)]
pub(crate) enum Filed {
    /// The record goes to OUTCOMES; then the message is acknowledged.
    Record(ByteBuf),
    /// The next hop, or the dead letter, is stored. The record goes to OUTCOMES when it has room.
    Onward(ByteBuf),
    /// The next hop is stored and there is nothing to record.
    Moved,
    /// The integration as KV has it, for a worker that was behind; `None` where KV has none.
    Learned(Option<Box<Integration>>),
    /// What a message is that was delivered often.
    Suspicion(Suspicion),
}

/// What filing leads to, and the state of the integration if filing changed it.
pub(crate) struct Done {
    pub(crate) filed: Filed,
    pub(crate) state: Option<State>,
}

impl Done {
    fn of(filed: Filed) -> Self {
        Self { filed, state: None }
    }
}

/// A delivery in a worker's hands.
#[derive(Clone)]
pub(crate) struct Job {
    /// The hop as it came.
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) known: Arc<Known>,
}

impl Job {
    /// The next hop of a delivery whose request was answered, or could not be sent.
    pub(crate) fn answered(&self, attempted: &Attempted) -> Delivery {
        let mut next = self.delivery.next_hop();
        next.probe = false;
        next.progress.clone_from(&attempted.progress);
        if attempted.is_none() {
            return next;
        }
        next.attempt += 1;
        next.note(Note {
            at: attempted.started,
            outcome: attempted.outcome.kind(),
            response_code: attempted.response_code,
            error_message: attempted.outcome.reason().map(str::to_owned),
        });
        next
    }
}

/// The record of an attempt.
pub(crate) fn record(
    delivery: &Delivery,
    attempted: Option<&Attempted>,
    next: Next,
    next_at: Option<Timestamp>,
    now: Timestamp,
) -> Attempt {
    let unasked = Attempt {
        next_at,
        ..Attempt::unasked(delivery, next, now)
    };
    let Some(attempted) = attempted else {
        return unasked;
    };
    Attempt {
        attempt: delivery.attempt + 1,
        at: attempted.started,
        duration_ms: u32::try_from(attempted.took.as_millis()).unwrap_or(u32::MAX),
        outcome: Some(attempted.outcome.kind()),
        response_code: attempted.response_code,
        response_body: attempted.response_body.clone(),
        error_message: attempted.outcome.reason().map(str::to_owned),
        ..unasked
    }
}

/// Files an arrival: nothing but the record.
pub(crate) fn arrived(job: &Job, attempted: &Attempted) -> Result<ByteBuf, Error> {
    let attempt = record(
        &job.delivery,
        Some(attempted),
        Next::Final(Final::Delivered),
        None,
        attempted.started,
    );
    Ok(outcomes::encode(&Record::Attempt(attempt))?)
}

/// Files any verdict but a plain arrival. Of what was no attempt ([`Attempted::is_none`]) nothing is recorded: it has no
/// number, and under that of another it would take that one's place in the history.
///
/// What fails here and passes by itself (KV) never leads to a second request: the delivery goes on by
/// its schedule, and what the state should have said is said the next time, or by a keeper.
pub(crate) async fn file(
    broker: Broker,
    job: Job,
    attempted: Attempted,
    verdict: Verdict,
    notices: Vec<Event>,
    first_secs: u32,
    now: Timestamp,
) -> Result<Done, Error> {
    let mut state = None;
    let mut next = job.answered(&attempted);
    let reason = attempted.outcome.reason().unwrap_or_default().to_owned();
    let mut notices = notices;
    if lets_go(&job, &attempted) {
        state = told(broker.recover(&job.delivery.integration, now).await);
        if !has_let_go(state.as_ref(), now) {
            notices = notices::without_recovery(notices);
        }
    }
    let (outcome, next_at) = match verdict {
        Verdict::Delivered => {
            if !attempted.asked {
                state = pass_on(&broker, &job.delivery, now).await;
            }
            (Next::Final(Final::Delivered), None)
        }
        Verdict::Retry { at, counted } => {
            next.retries += u32::from(counted);
            schedule(&broker, next, at).await?;
            (Next::Retrying, Some(at))
        }
        Verdict::ProbeAgain { was, next: probe } => {
            let (id, due) = (&job.delivery.integration, probe.due);
            // What its target does is known from the last probe that asked it.
            let said = attempted.is_of_target().then_some(&*reason);
            state = told(broker.set_probe(id, Some(&was), probe, said).await);
            go_on_as_probe(&broker, next, state.as_ref(), due).await?
        }
        Verdict::Suspend { cause, reason } => {
            let suspension = Suspension {
                reason: &reason,
                cause,
                probe: Some(&job.delivery.id),
                first_secs,
            };
            state = told(broker.suspend(&job.delivery.integration, suspension, now).await);
            let probe = state.as_ref().and_then(|state| state.probe.as_ref());
            let due = probe.map_or(now + UNSAID_WAIT, |probe| probe.due);
            go_on_as_probe(&broker, next, state.as_ref(), due).await?
        }
        Verdict::Park(held) => match broker.park_behind(&next, &held).await? {
            Held::Parked => (Next::Parked, None),
            Held::Open => {
                let at = now + UNFILED_WAIT;
                schedule(&broker, next, at).await?;
                (Next::Retrying, Some(at))
            }
        },
        Verdict::Dead(reason_class) => {
            let why = if reason.is_empty() {
                reason_class.as_str()
            } else {
                &reason
            };
            let attempt = record(
                &job.delivery,
                Some(&attempted),
                Next::Final(reason_class.ledger()),
                None,
                now,
            );
            let record = outcomes::encode(&Record::Attempt(attempt))?;
            let filed = bury(&broker, next, reason_class, why, record, now).await?;
            if !attempted.asked {
                state = pass_on(&broker, &job.delivery, now).await;
            }
            notices::tell(&broker, notices).await;
            return Ok(Done { filed, state });
        }
    };
    notices::tell(&broker, notices).await;
    if attempted.is_none() {
        return Ok(Done {
            filed: Filed::Moved,
            state,
        });
    }
    let attempt = record(&job.delivery, Some(&attempted), outcome, next_at, now);
    let record = outcomes::encode(&Record::Attempt(attempt))?;
    let filed = match outcome {
        Next::Final(_) => Filed::Record(record),
        Next::Retrying | Next::Parked | Next::Unknown => Filed::Onward(record),
    };
    Ok(Done { filed, state })
}

/// Whether a probe brings its integration back: one that was answered, well or with a refusal of this one
/// event, does. One that was not even sent (its text could not be made) proves nothing: a keeper chooses another.
pub(crate) fn lets_go(job: &Job, attempted: &Attempted) -> bool {
    let answers = matches!(attempted.outcome, Outcome::Delivered | Outcome::Reject { .. });
    job.delivery.probe && attempted.asked && answers
}

/// A probe that ends without a request lets another one try, which a keeper chooses.
async fn pass_on(broker: &Broker, ended: &Delivery, now: Timestamp) -> Option<State> {
    if !ended.probe {
        return None;
    }
    let state = told(broker.state(&ended.integration).await.map(|entry| entry.value))?;
    let probe = state.probe.as_ref().filter(|probe| probe.delivery == ended.id)?;
    let next = Probe::vacant(now, probe.wait_secs);
    told(broker.set_probe(&ended.integration, Some(probe), next, None).await)
}

/// Whether it was this recovery that let the integration go: another probe may have been first, or a person.
pub(crate) fn has_let_go(state: Option<&State>, now: Timestamp) -> bool {
    state.is_some_and(|state| state.phase == Phase::Draining && state.recovered_at == Some(now))
}

/// A state that could be written; one that could not is logged.
pub(crate) fn told(state: Result<State, Error>) -> Option<State> {
    state
        .inspect_err(
            |error| tracing::warn!(%error, "the state of an integration could not be written; it is tried again"),
        )
        .ok()
}

/// The probe of a suspended integration is scheduled; of one that is held by another, or for
/// another reason, the delivery parks; where it is open meanwhile, it is tried again soon.
async fn go_on_as_probe(
    broker: &Broker,
    mut next: Delivery,
    state: Option<&State>,
    due: Timestamp,
) -> Result<(Next, Option<Timestamp>), Error> {
    let chosen = |state: &State| state.probe.as_ref().is_some_and(|probe| probe.delivery == next.id);
    // A state that could not be written is as it was: the probe stays one, another is tried again.
    if state.is_none_or(|state| state.phase == Phase::Suspended && chosen(state)) {
        // Of a probe that was named anew meanwhile the state knows the time.
        let named = state.and_then(|state| state.probe.as_ref());
        let due = named.map_or(due, |probe| due.max(probe.due));
        next.probe = true;
        schedule(broker, next, due).await?;
        return Ok((Next::Retrying, Some(due)));
    }
    let held = match state {
        Some(state) => broker.park_behind(&next, state).await,
        None => Ok(Held::Open),
    };
    if let Ok(Held::Parked) = held {
        return Ok((Next::Parked, None));
    }
    let at = due.min(Timestamp::now() + UNFILED_WAIT);
    schedule(broker, next, at).await?;
    Ok((Next::Retrying, Some(at)))
}

async fn schedule(broker: &Broker, mut next: Delivery, at: Timestamp) -> Result<(), Error> {
    next.due = Some(at);
    broker.hop(&next, Hop::Schedule(at)).await.map(|_| ())
}

/// Parks a delivery that may not go now; it goes to the bulk lane where its integration is open
/// meanwhile.
pub(crate) async fn park(broker: Broker, job: Job, state: State) -> Result<Done, Error> {
    let next = Delivery {
        probe: false,
        ..job.delivery.next_hop()
    };
    if broker.park_behind(&next, &state).await? == Held::Open {
        broker.hop(&next, Hop::Deliver(Lane::Bulk)).await?;
        return Ok(Done::of(Filed::Moved));
    }
    Ok(Done::of(Filed::Moved))
}

/// Sends on the probe that was chosen, and not scheduled before its worker died, or that found no place: at its
/// time, and not before `from`.
pub(crate) async fn probe(broker: Broker, job: Job, state: State, from: Timestamp) -> Result<Done, Error> {
    let due = state.probe.as_ref().map_or(from, |probe| probe.due.max(from));
    go_on_as_probe(&broker, job.delivery.next_hop(), Some(&state), due).await?;
    Ok(Done::of(Filed::Moved))
}

/// Whether an integration can be left alone for a while, and is not yet.
pub(crate) fn may_rest(state: &State, now: Timestamp) -> bool {
    state.phase == Phase::Draining && state.not_before.is_none_or(|until| until <= now)
}

/// Parks a delivery whose integration has no place for it in this worker, and holds the integration
/// back; until then nothing of it is taken out. The state is told, so that what follows parks without asking.
pub(crate) async fn shed(broker: Broker, job: Job, until: Option<Timestamp>, now: Timestamp) -> Result<Done, Error> {
    let id = &job.delivery.integration;
    let reason = "its target answers more slowly than deliveries come";
    let state = match until {
        None => broker.hold_back(id, reason, now).await?,
        Some(until) => broker.rest(id, until, reason, now).await?,
    };
    let done = park(broker, job, state.clone()).await?;
    Ok(Done {
        state: Some(state),
        ..done
    })
}

/// Suspends an integration that cannot be opened, without a request.
pub(crate) async fn hold_unopened(
    broker: Broker,
    job: Job,
    reason: String,
    notice: Option<Event>,
    first_secs: u32,
    now: Timestamp,
) -> Result<Done, Error> {
    let id = &job.delivery.integration;
    let suspension = Suspension {
        reason: &reason,
        cause: Cause::Refused,
        probe: Some(&job.delivery.id),
        first_secs,
    };
    let current = broker.suspend(id, suspension, now).await?;
    let next = Delivery {
        probe: false,
        ..job.delivery.next_hop()
    };
    // The probe itself came back and it still cannot be opened.
    let again = current
        .probe
        .as_ref()
        .filter(|probe| job.delivery.probe && probe.delivery == job.delivery.id);
    let state = match again {
        Some(probe) => {
            let wait_secs = probe.next_wait_secs();
            let due = now + Duration::from_secs(wait_secs.into());
            let next = Probe {
                due,
                wait_secs,
                ..probe.clone()
            };
            broker.set_probe(id, Some(probe), next, Some(&reason)).await?
        }
        None => current,
    };
    let due = state.probe.as_ref().map_or(now + UNFILED_WAIT, |probe| probe.due);
    go_on_as_probe(&broker, next, Some(&state), due).await?;
    notices::tell(&broker, notice).await;
    Ok(Done {
        filed: Filed::Moved,
        state: Some(state),
    })
}

/// Ends a delivery without a request: expired, or its integration deleted.
pub(crate) async fn end(
    broker: Broker,
    delivery: Arc<Delivery>,
    reason: DeadReason,
    why: &'static str,
    notice: Option<Event>,
    now: Timestamp,
) -> Result<Done, Error> {
    let attempt = record(&delivery, None, Next::Final(reason.ledger()), None, now);
    let attempt = Attempt {
        error_message: Some(why.to_owned()),
        ..attempt
    };
    let record = outcomes::encode(&Record::Attempt(attempt))?;
    let filed = bury(&broker, delivery.next_hop(), reason, why, record, now).await?;
    let state = pass_on(&broker, &delivery, now).await;
    notices::tell(&broker, notice).await;
    Ok(Done { filed, state })
}

/// Reads an integration that this worker has not heard of, or not at this revision.
pub(crate) async fn learn(broker: Broker, integration: String) -> Result<Done, Error> {
    let entry = broker.integration(&integration).await?;
    Ok(Done::of(Filed::Learned(entry.map(|entry| Box::new(entry.value)))))
}

/// Finds out what a message is that was delivered often.
pub(crate) async fn suspect(broker: Broker, stream: String, ticket: Ticket, instance: String) -> Result<Done, Error> {
    Ok(Done::of(Filed::Suspicion(
        broker.suspect(&stream, &ticket, &instance).await?,
    )))
}

/// Waits for an integration that this worker has not heard of.
pub(crate) async fn wait_for_integration(
    broker: Broker,
    delivery: Arc<Delivery>,
    now: Timestamp,
) -> Result<Done, Error> {
    schedule(&broker, delivery.next_hop(), now + UNFILED_WAIT).await?;
    Ok(Done::of(Filed::Moved))
}

/// Files again what found no room: the target is not called again.
pub(crate) async fn file_again(
    broker: Broker,
    delivery: Arc<Delivery>,
    unfiled: Unfiled,
    now: Timestamp,
) -> Result<Done, Error> {
    let Unfiled { record, dead } = unfiled;
    let filed = match dead {
        None => Filed::Record(record),
        Some((reason, why)) => {
            let mut next = delivery.next_hop();
            next.filed = None;
            bury(&broker, next, reason, &why, record, now).await?
        }
    };
    Ok(Done::of(filed))
}

/// Puts a dead letter into DEAD. Without room there, the verdict travels on in the envelope.
async fn bury(
    broker: &Broker,
    next: Delivery,
    reason: DeadReason,
    why: &str,
    record: ByteBuf,
    now: Timestamp,
) -> Result<Filed, Error> {
    let id = next.hop_id();
    let letter = DeadLetter::of_delivery(Stage::Delivery, reason, why, next.clone(), now);
    match broker.bury(&letter, &id).await {
        Ok(_) => Ok(Filed::Onward(record)),
        Err(Error::Publish {
            source: PublishError::Full { .. },
            ..
        }) => {
            tracing::error!(delivery.id = %next.id, "DEAD has no room; the verdict travels on; raise nats.storage_bytes");
            reschedule_unfiled(
                broker,
                next,
                Unfiled {
                    record,
                    dead: Some((reason, why.to_owned())),
                },
                now,
            )
            .await?;
            Ok(Filed::Moved)
        }
        Err(error) => Err(error),
    }
}

/// Sends a verdict on in its envelope, to be filed later.
pub(crate) async fn reschedule_unfiled(
    broker: &Broker,
    mut next: Delivery,
    unfiled: Unfiled,
    now: Timestamp,
) -> Result<(), Error> {
    next.filed = Some(unfiled);
    schedule(broker, next, now + UNFILED_WAIT).await
}

/// What an attempt's outcome is called in its one log line.
pub(crate) fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Retry { .. } => "retry",
        Outcome::Reject { .. } => "reject",
        Outcome::Suspend { .. } => "suspend",
    }
}

#[cfg(test)]
pub(crate) mod tests;
