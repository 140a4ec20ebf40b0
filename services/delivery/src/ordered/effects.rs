//! The effects of a verdict on a delivery that goes in order: its state is stored in place of the one before, or its
//! record and then its removal. Nothing else of its key begins before.
//!
//! What fails and passes by itself is tried until it succeeds: handing the delivery back would ask its target again.

use std::{sync::Arc, time::Duration};

use serde_bytes::ByteBuf;
use signalbox_broker::{
    Broker, Error, PublishError, browse::Stored, holding::Suspension, outcomes, patience::patiently,
};
use signalbox_proto::{
    DeadLetter, DeadReason, Delivery, Event, Name, Phase, Record, Stage, State, Timestamp,
    dead::Input,
    delivery::Unfiled,
    ledger::Final,
    outcome::{Attempt, Next},
    state::{Cause, Probe},
    subjects,
};

use super::keys::{Head, Turn};
use crate::{
    attempt::Attempted,
    decide::Verdict,
    filing::{self, Job},
    notices,
};

/// The wait before a verdict that found no room is filed again.
const UNFILED_WAIT: Duration = Duration::from_secs(10);
/// How long after another became the probe the first of a key that was it is looked at again.
const PASSED_ON_WAIT: Duration = Duration::from_secs(60);
/// The wait of a delivery whose integration could not be suspended just now.
const UNSAID_WAIT: Duration = Duration::from_secs(30);

/// What filing led to.
#[derive(Debug)]
pub(crate) enum Step {
    /// It has ended: it is removed once OUTCOMES has the record. With `held`, its key waits for a person.
    Ended {
        record: ByteBuf,
        held: Option<Box<Delivery>>,
    },
    /// It is tried again, and its state is stored.
    Again { head: Head, record: Option<ByteBuf> },
    /// Nothing was done; it is looked at again then.
    Later(Timestamp),
    /// Somebody else has its key.
    Overtaken,
}

/// What filing led to, and the state of the integration if filing changed it.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) step: Step,
    pub(crate) state: Option<State>,
}

impl Done {
    fn of(step: Step) -> Self {
        Self { step, state: None }
    }
}

/// What the verdict on an answer needs besides.
pub(crate) struct Answer {
    pub(crate) job: Job,
    pub(crate) attempted: Attempted,
    pub(crate) verdict: Verdict,
    pub(crate) notices: Vec<Event>,
    /// The wait of the first probe of a suspension.
    pub(crate) first_secs: u32,
    /// The sequence of what is stored as the state of the key's first.
    pub(crate) last: u64,
    /// The sequence of its message in the queue.
    pub(crate) queued: u64,
}

/// Files the verdict on an answer.
pub(crate) async fn file(broker: Broker, answer: Answer, now: Timestamp) -> Result<Done, Error> {
    let Answer {
        job,
        attempted,
        verdict,
        notices,
        first_secs,
        last,
        queued,
    } = answer;
    let id = job.delivery.integration.clone();
    let mut next = job.answered(&attempted);
    next.probe = false;
    let mut state = None;
    let mut notices = notices;
    if filing::lets_go(&job, &attempted) {
        state = filing::told(broker.recover(&id, now).await);
        if !filing::has_let_go(state.as_ref(), now) {
            notices = notices::without_recovery(notices);
        }
    }
    let record = |next, next_at| encode(filing::record(&job.delivery, Some(&attempted), next, next_at, now));
    // Of what was no attempt nothing is recorded: see `filing::file`.
    let tried = |next, next_at| match attempted.is_none() {
        true => Ok(None),
        false => record(next, next_at).map(Some),
    };
    let reason = attempted.outcome.reason().unwrap_or_default();
    let step = match verdict {
        Verdict::Delivered => Step::Ended {
            record: record(Next::Final(Final::Delivered), None)?,
            held: None,
        },
        Verdict::Dead(class) => {
            let why = if reason.is_empty() { class.as_str() } else { reason };
            let record = record(Next::Final(class.ledger()), None)?;
            bury(&broker, &job, next, (class, why), record, last, now).await?
        }
        Verdict::Retry { at, counted } => {
            next.retries += u32::from(counted);
            again(&broker, next, Some(at), last, tried(Next::Retrying, Some(at))?).await?
        }
        Verdict::ProbeAgain { was, next: probe } => {
            // The owner of a partition chooses the oldest that is due: this one is not, while another probes.
            let due = if probe.is_vacant() {
                probe.due + PASSED_ON_WAIT
            } else {
                probe.due
            };
            next.probe = true;
            // What its target does is known from the last probe that asked it.
            let said = attempted.is_of_target().then_some(reason);
            state = filing::told(broker.set_probe(&id, Some(&was), probe, said).await);
            again(&broker, next, Some(due), last, tried(Next::Retrying, Some(due))?).await?
        }
        Verdict::Suspend { cause, reason } => {
            let suspension = Suspension {
                reason: &reason,
                cause,
                probe: Some(&job.delivery.id),
                first_secs,
            };
            state = filing::told(broker.suspend(&id, suspension, now).await);
            let due = probe_due(&mut next, state.as_ref(), now);
            again(&broker, next, due, last, Some(record(Next::Retrying, due)?)).await?
        }
        // It goes when its integration does, and not at once where that is just let go.
        Verdict::Park(_) => {
            let record = tried(Next::Parked, None)?;
            again(&broker, next, Some(now + UNFILED_WAIT), last, record).await?
        }
    };
    let step = match step {
        // A person gave it up while it was in the air, and it had no state yet that could say so.
        Step::Again {
            record: Some(record), ..
        } if last == 0 && is_gone(&broker, queued).await? => Step::Ended { record, held: None },
        step => step,
    };
    notices::tell(&broker, notices).await;
    Ok(Done { step, state })
}

/// When a delivery that met the refusal goes again: as the probe at its time, or with the others.
fn probe_due(next: &mut Delivery, state: Option<&State>, now: Timestamp) -> Option<Timestamp> {
    match state {
        None => Some(now + UNSAID_WAIT),
        // Let go meanwhile: tried again soon.
        Some(state) if matches!(state.phase, Phase::Open | Phase::Draining) => Some(now + UNFILED_WAIT),
        Some(state) => {
            let probe = state.probe.as_ref().filter(|probe| probe.delivery == next.id)?;
            next.probe = true;
            Some(probe.due)
        }
    }
}

/// Suspends an integration whose target cannot be opened, without a request.
pub(crate) async fn unopened(
    broker: Broker,
    job: Job,
    reason: String,
    notice: Option<Event>,
    first_secs: u32,
    last: u64,
) -> Result<Done, Error> {
    let now = Timestamp::now();
    let id = &job.delivery.integration;
    let suspension = Suspension {
        reason: &reason,
        cause: Cause::Refused,
        probe: Some(&job.delivery.id),
        first_secs,
    };
    let current = broker.suspend(id, suspension, now).await?;
    let own = current.probe.as_ref();
    let state = match own.filter(|probe| job.delivery.probe && probe.delivery == job.delivery.id) {
        // The probe came back, and it still cannot be opened.
        Some(probe) => {
            let wait_secs = probe.next_wait_secs();
            let next = Probe {
                due: now + Duration::from_secs(wait_secs.into()),
                wait_secs,
                ..probe.clone()
            };
            broker.set_probe(id, Some(probe), next, Some(&reason)).await?
        }
        None => current,
    };
    let mut next = job.delivery.next_hop();
    next.probe = false;
    let due = probe_due(&mut next, Some(&state), now);
    let step = again(&broker, next, due, last, None).await?;
    notices::tell(&broker, notice).await;
    Ok(Done {
        step,
        state: Some(state),
    })
}

/// Ends a delivery without a request.
pub(crate) async fn end(
    broker: Broker,
    delivery: Arc<Delivery>,
    reason: DeadReason,
    why: &'static str,
    notice: Option<Event>,
    now: Timestamp,
) -> Result<Done, Error> {
    let attempt = Attempt {
        error_message: Some(why.to_owned()),
        ..filing::record(&delivery, None, Next::Final(reason.ledger()), None, now)
    };
    let record = encode(attempt)?;
    let next = delivery.next_hop();
    let letter = DeadLetter::of_delivery(Stage::Delivery, reason, why, next.clone(), now);
    let step = match put_away(&broker, &letter, &next.hop_id()).await? {
        Some(_) => Step::Ended { record, held: None },
        // Nothing was asked of its target: it stays as it is until there is room.
        None => Step::Later(now + UNFILED_WAIT),
    };
    notices::tell(&broker, notice).await;
    Ok(Done::of(step))
}

/// Files again what found no room: the target is not called again.
pub(crate) async fn file_again(
    broker: Broker,
    job: Job,
    unfiled: Unfiled,
    last: u64,
    now: Timestamp,
) -> Result<Done, Error> {
    let Unfiled { record, dead } = unfiled;
    Ok(Done::of(match dead {
        None => Step::Ended { record, held: None },
        Some((class, why)) => {
            let mut next = job.delivery.next_hop();
            next.filed = None;
            bury(&broker, &job, next, (class, &why), record, last, now).await?
        }
    }))
}

/// Files a message of ORDERED that cannot be read, and removes it.
pub(crate) async fn bury_unread(broker: Broker, stored: Stored, org: Option<Name>, why: String) -> Result<(), Error> {
    let why = format!("this delivery cannot be read: {why}");
    let input = Input {
        subject: stored.subject.clone(),
        headers: Vec::new(),
        body: stored.body.to_vec(),
    };
    let letter = DeadLetter::of_input(Stage::Delivery, DeadReason::Invalid, &why, org, input, stored.at);
    let id = Broker::dead_id(subjects::ORDERED, stored.seq, DeadReason::Invalid.as_str());
    patiently("burying what cannot be read", || broker.bury(&letter, &id)).await?;
    remove(&broker, stored.seq).await
}

/// Removes a delivery whose record is stored, and the state of its key's first where that is its own; or stores that
/// the key waits for a person from now on.
pub(crate) async fn finish(broker: Broker, turn: &Turn, held: Option<Box<Delivery>>) -> Result<Finished, Error> {
    let last = if turn.own { turn.last } else { 0 };
    let Some(held) = held else {
        remove(&broker, turn.queued.seq).await?;
        // The state goes last: without its delivery it says that this has ended.
        if last > 0 {
            remove(&broker, last).await?;
        }
        return Ok(Finished::Gone);
    };
    let Some(head) = store(&broker, &held, turn.last).await? else {
        if given_up(&broker, &held).await?.is_none() {
            return Ok(Finished::Overtaken);
        }
        remove(&broker, turn.queued.seq).await?;
        return Ok(Finished::Gone);
    };
    // "No state before" holds also where another worker had one, ended the delivery, and removed both: a worker that
    // stood still must not hold a key that has gone on.
    if turn.last == 0 && is_gone(&broker, turn.queued.seq).await? {
        patiently("letting go of a key", || broker.release_ordered(&held)).await?;
        return Ok(Finished::Gone);
    }
    remove(&broker, turn.queued.seq).await?;
    Ok(Finished::Held(head))
}

/// What became of a delivery that ended.
#[derive(Debug)]
pub(crate) enum Finished {
    Gone,
    Held(Head),
    Overtaken,
}

/// Removes a message of ORDERED.
pub(crate) async fn remove(broker: &Broker, seq: u64) -> Result<(), Error> {
    patiently("removing what has ended", || broker.remove(subjects::ORDERED, seq)).await
}

async fn again(
    broker: &Broker,
    mut next: Delivery,
    due: Option<Timestamp>,
    last: u64,
    record: Option<ByteBuf>,
) -> Result<Step, Error> {
    next.due = due;
    Ok(match store(broker, &next, last).await? {
        Some(head) => Step::Again { head, record },
        None => match given_up(broker, &next).await? {
            Some(other) => Step::Ended {
                record: record.unwrap_or(other),
                held: None,
            },
            None => Step::Overtaken,
        },
    })
}

/// The record of the end of a delivery that a person gave up while it was in hand; `None` where nobody did.
async fn given_up(broker: &Broker, delivery: &Delivery) -> Result<Option<ByteBuf>, Error> {
    let found = patiently("the state of a delivery", || broker.ordered_head(delivery)).await?;
    let own = |head: &Delivery| head.id == delivery.id && head.generation == delivery.generation;
    let head = found.map(|(_, head)| head).filter(own);
    let filed = head.and_then(|head| head.filed);
    // With a dead letter it is the verdict of another worker.
    Ok(filed.filter(|filed| filed.dead.is_none()).map(|filed| filed.record))
}

/// Whether a message of ORDERED was removed.
async fn is_gone(broker: &Broker, seq: u64) -> Result<bool, Error> {
    let found = patiently("a delivery that waits", || broker.ordered_message(seq)).await?;
    Ok(found.is_none())
}

/// Puts a delivery that died into DEAD. Without room there, the verdict is kept in the state of its key's first.
pub(super) async fn bury(
    broker: &Broker,
    job: &Job,
    mut next: Delivery,
    (class, why): (DeadReason, &str),
    record: ByteBuf,
    last: u64,
    now: Timestamp,
) -> Result<Step, Error> {
    let letter = DeadLetter::of_delivery(Stage::Delivery, class, why, next.clone(), now);
    if let Some(seq) = put_away(broker, &letter, &next.hop_id()).await? {
        let holds = class.ledger() == Final::Dead && !job.known.integration.flow.order_on_dead.is_release();
        let held = holds.then(|| {
            Box::new(Delivery {
                held: true,
                letter: Some(seq),
                ..next.next_hop()
            })
        });
        return Ok(Step::Ended { record, held });
    }
    tracing::error!(delivery.id = %next.id, "DEAD has no room; the verdict is kept; raise nats.storage_bytes");
    next.filed = Some(Unfiled {
        record,
        dead: Some((class, why.to_owned())),
    });
    again(broker, next, Some(now + UNFILED_WAIT), last, None).await
}

/// The place of a letter in DEAD; `None` where there is no room for it.
async fn put_away(broker: &Broker, letter: &DeadLetter, id: &str) -> Result<Option<u64>, Error> {
    let buried = patiently("burying a delivery", || async {
        match broker.bury(letter, id).await {
            Err(Error::Publish {
                source: PublishError::Full { .. },
                ..
            }) => Ok(None),
            other => other.map(|ack| Some(ack.seq)),
        }
    });
    buried.await
}

/// Stores the state of a key's first; `None` where somebody else did meanwhile.
async fn store(broker: &Broker, next: &Delivery, last: u64) -> Result<Option<Head>, Error> {
    let set = |last| patiently("the state of a delivery", move || broker.set_ordered_head(next, last));
    let mut seq = set(last).await?;
    if seq.is_none() {
        // A person may have asked for this very attempt: what it has led to counts more. Asking leaves the hop as it
        // is, and whoever else stores this delivery makes another hop of it.
        let found = patiently("the state of a delivery", || broker.ordered_head(next)).await?;
        let asked = |head: &Delivery| {
            let same = head.id == next.id && head.generation == next.generation;
            let before = head.hop < next.hop && (head.attempt < next.attempt || !next.held);
            same && before && head.filed.is_none() && !head.held
        };
        if let Some((last, _)) = found.filter(|(_, head)| asked(head)) {
            seq = set(last).await?;
        }
    }
    Ok(seq.map(|seq| head_of(next, seq, Timestamp::now())))
}

/// What is kept in memory of a stored state.
fn head_of(delivery: &Delivery, seq: u64, at: Timestamp) -> Head {
    Head {
        id: delivery.id.as_str().into(),
        event: delivery.event().seq,
        generation: delivery.generation,
        seq,
        at,
        due: delivery.due,
        probe: delivery.probe,
        held: delivery.held,
    }
}

pub(super) fn encode(attempt: Attempt) -> Result<ByteBuf, Error> {
    Ok(outcomes::encode(&Record::Attempt(attempt))?)
}
