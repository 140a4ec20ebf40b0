//! From an answer to a verdict, from a verdict to its effects, from there to the next of the key.

use std::time::Duration;

use signalbox_broker::Error as BrokerError;
use signalbox_proto::{Phase, Timestamp};
use tokio::time::Instant;

use super::{
    Ending, Event, OWN_RETRY, Ordered,
    effects::{self, Answer, Done, Finished, Step},
    keys::{Kind, Turn},
    partition::At,
    poison, records,
};
use crate::{attempt::Attempted, filing::Job, limits::ASKED_MIN};

/// What is said of a target that asked to be left alone.
const ASKED: &str = "its target asks to be left alone for a while";

impl Ordered {
    /// A request ended: its outcome goes to a verdict, the verdict to its effects.
    pub(super) fn answered(&mut self, at: At, turn: Turn, job: Job, attempted: Option<Attempted>) {
        self.requests.remove(&(at, turn.key.clone()));
        match &attempted {
            Some(attempted) if attempted.asked => self.free_place(&turn, Some(attempted.took)),
            Some(_) => self.unsent(&turn),
            None => self.free_place(&turn, None),
        }
        let Some(attempted) = attempted else {
            // Given up with its lease. Who has the partition now asks again; where that is this process, it does.
            return self.let_go(at, &turn, |keys, now| keys.back(&turn.key, Some(now + OWN_RETRY), now));
        };
        let now = Timestamp::now();
        self.attempts.say(&job, &attempted);
        let mut job = job;
        let state = self.targets.state(&turn.integration);
        let judged = poison::guard(|| self.judge.judge(&mut job, &attempted, state, now));
        let Ok((verdict, notices)) = judged else {
            return self.file_poison(at, turn, job, poison::PANICKED);
        };
        self.obey(&turn.integration, attempted.asks_for(), now);
        let answer = Answer {
            job,
            attempted,
            verdict,
            notices,
            first_secs: self.config.probe_first_s,
            last: turn.last,
            queued: turn.queued.seq,
        };
        let broker = self.broker.clone();
        self.spawn(async move {
            let done = effects::file(broker, answer, now).await;
            Event::Filed(at, turn, done)
        });
    }

    /// Tells all workers that a target asks to be left alone for a while.
    fn obey(&mut self, integration: &str, asks_for: Option<Duration>, now: Timestamp) {
        let Some(after) = asks_for.filter(|after| *after >= ASKED_MIN) else {
            return;
        };
        let until = now + after;
        let known = self.targets.state(integration).and_then(|state| state.not_before);
        if known.is_some_and(|known| known >= until) {
            return;
        }
        let (broker, integration) = (self.broker.clone(), integration.to_owned());
        self.spawn(async move {
            let held = broker.hold_until(&integration, Some(until), ASKED, now).await;
            Event::Swept(held.map(|_| ()))
        });
    }

    /// A verdict is filed: what is tried again waits, what has ended goes to OUTCOMES.
    pub(super) fn filed(&mut self, at: At, turn: Turn, done: Result<Done, BrokerError>) {
        let Done { step, state } = match done {
            Ok(done) => done,
            Err(error) => {
                // Ours, not the target's. What was sent may be sent again: at least once.
                tracing::error!(%error, integration.id = &*turn.integration, "a delivery could not go on; it goes again");
                return self.let_go(at, &turn, |keys, now| keys.back(&turn.key, Some(now + OWN_RETRY), now));
            }
        };
        if let Some(state) = state {
            let id = turn.integration.to_string();
            self.targets.tell(id, state, Instant::now());
        }
        match step {
            Step::Ended { record, held } => {
                self.next_mark += 1;
                self.records.push(Some(self.next_mark), record);
                self.ending.insert(self.next_mark, Ending { at, turn, held });
            }
            Step::Again { head, record } => {
                if let Some(record) = record {
                    self.records.push(None, record);
                }
                let probe = head.probe;
                self.let_go(at, &turn, |keys, now| keys.retries(&turn.key, head, now));
                if probe {
                    // It may have been let go while this was filed.
                    self.release_probes(at);
                }
            }
            Step::Later(later) => self.let_go(at, &turn, |keys, now| keys.back(&turn.key, Some(later), now)),
            Step::Overtaken => self.overtaken(at),
        }
    }

    /// OUTCOMES has taken records, or not.
    pub(super) fn recorded(&mut self, entries: Vec<records::Entry>, result: Result<(), BrokerError>) {
        if let Err(error) = result {
            if self.records.refused(entries, Instant::now()) {
                tracing::error!(%error, "OUTCOMES refuses: no request starts until it takes outcomes again; raise nats.storage_bytes or lower nats.outcomes_age_s");
            }
            return;
        }
        self.records.stored();
        for mark in entries.into_iter().filter_map(|entry| entry.mark) {
            let Some(Ending { at, turn, held }) = self.ending.remove(&mark) else {
                continue;
            };
            let broker = self.broker.clone();
            self.spawn(async move {
                let finished = effects::finish(broker, &turn, held).await;
                Event::Finished(at, turn, finished)
            });
        }
    }

    /// What has ended is removed: its key goes on.
    pub(super) fn finished(&mut self, at: At, turn: &Turn, finished: Result<Finished, BrokerError>) {
        match finished {
            Ok(Finished::Gone) if turn.kind == Kind::Release => {
                self.let_go(at, turn, |keys, now| keys.released(&turn.key, turn.last, now));
            }
            Ok(Finished::Gone) => {
                let mut state = None;
                self.let_go(at, turn, |keys, now| state = keys.ended(&turn.key, turn.queued, now));
                // One that was stored while it was in hand.
                self.sweep(state.filter(|seq| *seq != turn.last).into_iter().collect());
                self.replace_probe(turn);
            }
            Ok(Finished::Held(head)) => {
                tracing::warn!(
                    integration.id = &*turn.integration,
                    delivery.id = &*head.id,
                    "a key waits behind a dead delivery until a person replays or discards it"
                );
                self.let_go(at, turn, |keys, now| keys.held(&turn.key, turn.queued, head, now));
                self.replace_probe(turn);
            }
            Ok(Finished::Overtaken) => self.overtaken(at),
            Err(error) => {
                tracing::error!(%error, integration.id = &*turn.integration, "what has ended cannot be removed");
                self.overtaken(at);
            }
        }
    }

    /// The probe of a suspended integration has ended without bringing it back: the oldest of what is left here takes
    /// its place. Where nothing is, the probe is found to be lost in its time.
    fn replace_probe(&mut self, turn: &Turn) {
        let now = Timestamp::now();
        let state = self.targets.state(&turn.integration);
        let suspended = state.is_some_and(|state| state.phase == Phase::Suspended);
        if turn.probe && suspended {
            self.choose(&turn.integration, now);
        }
    }

    /// A key is out of hand.
    fn let_go(&mut self, at: At, turn: &Turn, how: impl FnOnce(&mut super::keys::Keys, Timestamp)) {
        if let Some(partition) = self.partition(at) {
            partition.in_hand = partition.in_hand.saturating_sub(1);
            how(&mut partition.keys, Timestamp::now());
        }
        self.candidates.insert(turn.integration.clone());
    }

    /// Somebody else works on a key of this partition: it is given up, and taken anew from what is stored.
    fn overtaken(&mut self, at: At) {
        if self.partition(at).is_none() {
            return;
        }
        tracing::warn!(provider = %self.provider, order.partition = at.partition, "another worker has a key of this partition; taking it anew");
        if let Some(over) = self.lose(at.partition) {
            self.finish(over);
        }
    }
}
