//! The probe of a suspended integration whose deliveries go in order: sent when it is due, chosen anew where it was
//! lost.

use std::{sync::Arc, time::Duration};

use signalbox_broker::Error as BrokerError;
use signalbox_proto::{
    Delivery, Phase, State, Timestamp,
    state::{PROBE_FIRST_SECS, Probe},
};
use tokio::time::Instant;

use super::{Event, OWN_RETRY, Ordered, keys::Turn, partition::At, places::Place, sending::Look};
use crate::filing::Job;

/// How long after it was due a probe is taken to be lost: longer than a request, the loss of its worker and its
/// filing take together.
const LOST_AFTER: Duration = Duration::from_secs(90);

impl Ordered {
    /// Sends the probe of a suspended integration, where it is here and due.
    pub(super) fn send_probe(&mut self, integration: &Arc<str>, state: Option<&State>, now: Timestamp) -> Look {
        let Some(probe) = state.and_then(|state| state.probe.as_ref()) else {
            return Look::Done;
        };
        let clock = Instant::now();
        let found = self.partitions.values().find_map(|partition| {
            let key = partition.keys.probe(integration, &probe.delivery)?;
            partition.may_send(clock).then_some((partition.at, key))
        });
        let Some((at, key)) = found else { return Look::Done };
        self.take_probe(at, &key, integration, false, now)
    }

    fn take_probe(&mut self, at: At, key: &Arc<str>, integration: &Arc<str>, choose: bool, now: Timestamp) -> Look {
        let Some(known) = self.targets.get(integration).cloned() else {
            return Look::Done;
        };
        let org = known.integration.org.as_str();
        let clock = Instant::now();
        match self.places.enter(integration, org, clock) {
            Place::Free => {}
            Place::NoneOfItsOwn => return Look::Done,
            Place::NoneOfShare => return Look::AgainWithShare,
            Place::None => return Look::AgainWithPlace,
        }
        // A probe is a request like any other.
        if !self.token(integration, &known, now) {
            self.places.leave(integration, None, clock);
            return Look::Done;
        }
        let paid = known.limit.is_some();
        let taken = self.partition(at).and_then(|partition| {
            let turn = partition.keys.take(key, now)?;
            partition.in_hand += 1;
            Some(turn)
        });
        match taken {
            Some(turn) => self.fetch(at, Turn { paid, ..turn }, choose),
            None => {
                self.places.leave(integration, None, clock);
            }
        }
        Look::Done
    }

    /// Chooses a probe for suspended integrations whose own was lost: the oldest that waits here.
    pub(super) fn look_for_probes(&mut self, now: Timestamp) {
        let clock = Instant::now();
        let waiting: std::collections::BTreeSet<Arc<str>> = self
            .partitions
            .values()
            .filter(|partition| partition.may_send(clock))
            .flat_map(|partition| partition.keys.ready().cloned())
            .collect();
        for integration in waiting {
            let state = self.targets.state(&integration);
            let Some(state) = state.filter(|state| state.phase == Phase::Suspended) else {
                continue;
            };
            if is_lost(state, now) {
                self.choose(&integration, now);
            }
        }
    }

    /// Makes the oldest delivery of an integration that waits here its probe.
    pub(super) fn choose(&mut self, integration: &Arc<str>, now: Timestamp) {
        let clock = Instant::now();
        let may = self.partitions.values().filter(|partition| partition.may_send(clock));
        let oldest = may.filter_map(|partition| Some((partition.keys.oldest(integration)?, partition.at)));
        if let Some(((_, key), at)) = oldest.min_by_key(|((event, _), _)| *event) {
            self.take_probe(at, &key, integration, true, now);
        }
    }

    pub(super) fn make_probe(&mut self, at: At, turn: Turn, delivery: Arc<Delivery>, now: Timestamp) {
        let state = self.targets.state(&turn.integration);
        let Some(state) = state.filter(|state| state.phase == Phase::Suspended) else {
            return self.put_back(at, &turn, Some(Duration::ZERO));
        };
        let before = state.probe.as_ref().map(|probe| probe.wait_secs);
        let wait_secs = before.unwrap_or(match state.backoff_secs {
            0 => PROBE_FIRST_SECS,
            secs => secs,
        });
        let probe = Probe {
            delivery: delivery.id.clone(),
            due: now,
            wait_secs,
            failed: 0,
        };
        let (broker, known) = (self.broker.clone(), state.probe.clone());
        self.spawn(async move {
            let state = broker.set_probe(&turn.integration, known.as_ref(), probe, None).await;
            Event::Chosen(at, turn, delivery, state)
        });
    }

    pub(super) fn chosen(&mut self, at: At, turn: Turn, delivery: Arc<Delivery>, state: Result<State, BrokerError>) {
        let known = self.targets.get(&turn.integration).cloned();
        match (state, known) {
            (Ok(state), Some(known)) => {
                let named = state.probe.as_ref().is_some_and(|probe| probe.delivery == delivery.id);
                let id = turn.integration.to_string();
                let suspended = state.phase == Phase::Suspended;
                self.targets.tell(id, state, Instant::now());
                if !named || !suspended {
                    return self.put_back(at, &turn, Some(Duration::ZERO));
                }
                tracing::info!(integration.id = &*turn.integration, delivery.id = %delivery.id, "probing a suspended integration");
                let probe = Delivery {
                    probe: true,
                    ..Delivery::clone(&delivery)
                };
                self.go(
                    at,
                    turn,
                    Job {
                        delivery: Arc::new(probe),
                        known,
                    },
                );
            }
            (state, _) => {
                if let Err(error) = state {
                    tracing::warn!(%error, integration.id = &*turn.integration, "cannot choose a probe yet");
                }
                self.put_back(at, &turn, Some(OWN_RETRY));
            }
        }
    }
}

/// Whether a suspended integration needs another probe now.
fn is_lost(state: &State, now: Timestamp) -> bool {
    match &state.probe {
        None => {
            let first_secs = match state.backoff_secs {
                0 => PROBE_FIRST_SECS,
                secs => secs,
            };
            now.since(state.since) >= Duration::from_secs(first_secs.into())
        }
        Some(probe) if probe.is_vacant() => now >= probe.due,
        Some(probe) => now.since(probe.due) >= LOST_AFTER,
    }
}
