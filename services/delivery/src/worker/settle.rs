//! From an answer to a verdict, from a verdict to its filing, from a filing to the acknowledgement.

use signalbox_broker::{
    directory,
    message::Ticket,
    outcomes::{Entry, Outcomes, Settled},
    suspects::Suspicion,
};
use signalbox_proto::{DeadReason, Timestamp, delivery::Unfiled};
use tokio::time::Instant;

use super::{Answered, FiledOne, Held, NO_MARK, OWN_RETRY, Worker};
use crate::{
    Error,
    decide::Verdict,
    filing::{self, Done, Filed},
};

impl Worker {
    /// A request ended: its place goes to the next, its outcome to a verdict, the verdict to a filing.
    pub(super) fn answered(&mut self, answered: Answered, outcomes: &Outcomes) -> Result<(), Error> {
        let Answered { key, job, attempted } = answered;
        let integration = job.delivery.integration.clone();
        let lane = self.lane_of(key);
        let took = attempted.asked.then_some(attempted.took);
        if let Some(next) = self.shares.leave(&integration, lane, took, Instant::now())
            && let Some(job) = self.jobs.remove(&next)
        {
            self.send(next, job);
        }
        let now = Timestamp::now();
        if let Some(paid) = job.delivery.paid.filter(|_| !attempted.asked && !job.delivery.probe) {
            self.tokens.bring(key, &job, paid);
        }
        self.attempts.say(&job, &attempted);
        let mut job = job;
        let state = self.targets.state(&integration);
        let (verdict, notices) = self.judge.judge(&mut job, &attempted, state, now);
        if verdict == Verdict::Delivered && !job.delivery.probe {
            let record = filing::arrived(&job, &attempted)?;
            self.push(key, record, outcomes);
            return Ok(());
        }
        let (broker, first_secs) = (self.broker.clone(), self.config.probe_first_s);
        let asks_for = attempted.asks_for();
        let filing = filing::file(broker, job, attempted, verdict, notices, first_secs, now);
        let filing = self.obeying(&integration, asks_for, now, filing);
        self.file(key, &integration, filing);
        Ok(())
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
        self.tokens.let_go(key, finished);
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
