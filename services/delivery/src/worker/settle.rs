//! From an answer to a verdict, from a verdict to its filing, from a filing to the acknowledgement.

use std::sync::Arc;

use signalbox_broker::{
    directory,
    message::Ticket,
    outcomes::{Entry, Outcomes, Settled},
    suspects::Suspicion,
};
use signalbox_proto::{
    DeadReason, Delivery, Event, Outcome, Phase, State, Timestamp,
    delivery::{Suspends, Unfiled},
};
use tokio::time::Instant;

use super::{Answered, FAILING_RETRIES, FiledOne, Held, NO_MARK, OWN_RETRY, Worker};
use crate::{
    Error,
    attempt::Attempted,
    breaker::{self, Sign, Standing},
    decide::{self, Facts, Verdict},
    filing::{self, Done, Filed, Job},
    notices,
};

impl Worker {
    /// A request ended: its place goes to the next, its outcome to a verdict, the verdict to a filing.
    pub(super) fn answered(&mut self, answered: Answered, outcomes: &Outcomes) -> Result<(), Error> {
        let Answered { key, job, attempted } = answered;
        let integration = job.delivery.integration.clone();
        if let Some(next) = self.shares.leave(&integration, attempted.took, Instant::now())
            && let Some(job) = self.jobs.remove(&next)
        {
            self.send(next, job);
        }
        let now = Timestamp::now();
        self.attempts.say(&job, &attempted);
        let (suspends, enough) = self.count_suspends(&job, &attempted.outcome, now);
        let standing = self.count_failures(&job, &attempted, now);
        let facts = Facts {
            delivery: &job.delivery,
            integration: &job.known.integration,
            state: self.targets.state(&integration),
            suspends: enough,
            opens: breaker::reason(standing, attempted.outcome.reason().unwrap_or_default()),
            now,
        };
        let verdict = decide::decide(&attempted.outcome, &facts);
        if verdict == Verdict::Delivered && !job.delivery.probe {
            let record = filing::arrived(&job, &attempted)?;
            self.push(key, record, outcomes);
            return Ok(());
        }
        let notices = self.notices_of(&job, &attempted, &verdict, standing, now);
        if let Verdict::Suspend { .. } = verdict {
            self.streaks.clear(&integration);
            self.breaker.clear(&integration);
        }
        let mut job = job;
        if suspends != job.delivery.suspends {
            let mut delivery = Delivery::clone(&job.delivery);
            delivery.suspends = suspends;
            job.delivery = Arc::new(delivery);
        }
        let (broker, first_secs) = (self.broker.clone(), self.config.probe_first_s);
        let outcome = attempted.outcome.clone();
        let filing = filing::file(broker, job, attempted, verdict, notices, first_secs, now);
        let filing = self.obeying(&integration, &outcome, now, filing);
        self.file(key, &integration, filing);
        Ok(())
    }

    /// What the delivery carries on of `suspend` answers in a row, and whether they are enough.
    fn count_suspends(&mut self, job: &Job, outcome: &Outcome, now: Timestamp) -> (Option<Suspends>, bool) {
        let integration = &job.delivery.integration;
        match outcome {
            Outcome::Suspend { at_once, .. } => {
                let carried = job.delivery.suspends;
                let (row, enough) = self.streaks.suspend(integration, carried, *at_once, now);
                (Some(row), enough)
            }
            Outcome::Delivered | Outcome::Retry { .. } | Outcome::Reject { .. } => {
                self.streaks.other(integration, now);
                (None, false)
            }
        }
    }

    fn count_failures(&mut self, job: &Job, attempted: &Attempted, now: Timestamp) -> Standing {
        let integration = job.delivery.integration.as_str();
        let state = self.targets.state(integration);
        match (Sign::of(attempted), state) {
            (None, _) => Standing::Well,
            // The probe speaks for all.
            (Some(_), Some(state)) if state.phase == Phase::Suspended => Standing::Well,
            (Some(sign), state) => {
                let half_open = state.is_some_and(State::is_half_open);
                self.breaker.answered(integration, sign, half_open, now)
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
            Verdict::Delivered | Verdict::Retry { .. } | Verdict::ProbeAgain(_) | Verdict::Park(_) => None,
        };
        let told = kind.and_then(|(kind, reason)| self.notice(kind, job, reason, now));
        let back = filing::lets_go(job, attempted, verdict)
            .then(|| self.notice(notices::Kind::Recovered, job, reason, now))
            .flatten();
        told.into_iter().chain(back).collect()
    }

    /// Hands the record of a message to OUTCOMES, which acknowledges it.
    fn push(&mut self, key: u64, record: serde_bytes::ByteBuf, outcomes: &Outcomes) {
        if let Some(held) = self.held.get(&key) {
            outcomes.push(Entry {
                record,
                tickets: vec![held.ticket.clone()],
                mark: key,
            });
        }
    }

    pub(super) async fn filed(&mut self, filed: FiledOne, outcomes: &Outcomes) -> Result<(), Error> {
        let FiledOne {
            key,
            integration,
            result,
        } = filed;
        let done = match result {
            Ok(Done { filed, state }) => {
                if let Some(state) = state {
                    self.targets.tell(integration.clone(), state, Instant::now());
                }
                Ok(filed)
            }
            Err(error) => Err(error),
        };
        self.shed_rest(&integration);
        match done {
            Ok(Filed::Record(record)) => self.push(key, record, outcomes),
            Ok(Filed::Onward(record)) => {
                if let Some(held) = self.held.get_mut(&key) {
                    held.onward = true;
                }
                self.push(key, record, outcomes);
            }
            Ok(Filed::Moved) => {
                if let Some(ticket) = self.release(key, true) {
                    ticket.ack(&self.broker).await?;
                }
                for record in self.unrecorded.drain(..) {
                    outcomes.push(Entry {
                        record,
                        tickets: Vec::new(),
                        mark: NO_MARK,
                    });
                }
            }
            Ok(Filed::Learned(learned)) => {
                if let Some(integration) = learned {
                    self.targets.apply(directory::Change::Integration(integration));
                }
                if let Some(delivery) = self.held.get(&key).and_then(|held| held.delivery.clone()) {
                    self.begin(key, delivery, true);
                }
            }
            Ok(Filed::Suspicion(suspicion)) => self.judged(key, suspicion).await?,
            Err(error) => {
                // Ours, not the target's. What was sent may be sent again: at least once.
                tracing::error!(%error, integration.id = integration, "a delivery could not go on; it comes again");
                if let Some(ticket) = self.release(key, false) {
                    ticket.nak_after(&self.broker, OWN_RETRY).await?;
                }
            }
        }
        Ok(())
    }

    /// A suspect is handled behind its marker; poison is filed, not even parsed.
    async fn judged(&mut self, key: u64, suspicion: Suspicion) -> Result<(), Error> {
        let Some(message) = self.suspect.as_mut().and_then(|(_, message)| message.take()) else {
            return Ok(());
        };
        if let Some(held) = self.held.get_mut(&key) {
            held.marked = suspicion != Suspicion::None;
        }
        match suspicion {
            Suspicion::None | Suspicion::Suspect => self.take(key, message).await,
            Suspicion::Poison => {
                let why = "handling this delivery stopped a worker twice";
                self.bury_unread(key, &message, DeadReason::Poison, why);
                Ok(())
            }
        }
    }

    pub(super) fn settled(&mut self, batch: Settled) {
        match batch {
            Settled::Stored(entries) => {
                for entry in entries {
                    self.release(entry.mark, true);
                }
            }
            Settled::Refused(entries) => {
                for Entry { record, mark, .. } in entries {
                    self.refused(mark, record);
                }
            }
        }
    }

    /// OUTCOMES has no room for a record. Where the next hop is stored, only the record is left, and
    /// the message can go; else the verdict travels in a rescheduled envelope.
    fn refused(&mut self, key: u64, record: serde_bytes::ByteBuf) {
        let Some(held) = self.held.get(&key) else { return };
        let Some(delivery) = held.delivery.clone().filter(|_| !held.onward) else {
            self.unrecorded.push(record);
            return self.file(key, "", async {
                Ok(Done {
                    filed: Filed::Moved,
                    state: None,
                })
            });
        };
        let broker = self.broker.clone();
        let integration = delivery.integration.clone();
        self.file(key, &integration, async move {
            let unfiled = Unfiled { record, dead: None };
            filing::reschedule_unfiled(&broker, delivery.next_hop(), unfiled, Timestamp::now()).await?;
            Ok(Done {
                filed: Filed::Moved,
                state: None,
            })
        });
    }

    /// A message is done with, or handed back; the marker of a suspect goes with it.
    pub(super) fn release(&mut self, key: u64, finished: bool) -> Option<Ticket> {
        let held = self.let_go(key)?;
        match held.hop {
            Some(hop) if finished => self.memory.finish(hop, Instant::now()),
            Some(hop) => self.memory.forget(hop),
            None => {}
        }
        Some(held.ticket)
    }

    pub(super) fn let_go(&mut self, key: u64) -> Option<Held> {
        let held = self.held.remove(&key)?;
        self.in_lane[held.lane as usize] -= 1;
        if self.suspect.as_ref().is_some_and(|(suspect, _)| *suspect == key) {
            self.suspect = None;
        }
        if held.marked {
            let (broker, stream, ticket) = (self.broker.clone(), self.stream.clone(), held.ticket.clone());
            tokio::spawn(async move {
                // A marker that stays makes the message poison only for another process.
                if let Err(error) = broker.clear_suspect(&stream, &ticket).await {
                    tracing::warn!(%error, seq = ticket.place.seq, "the marker of a suspect could not be removed");
                }
            });
        }
        Some(held)
    }
}
