//! What is known of the events that requests wait for: pure, told by records, dead letters and looks at queues.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use serde_json::{Value, json};
use signalbox_proto::{
    Attempt, DeadLetter, Delivery, Name, Record, hash,
    ledger::{Final, Row},
    outcome::Next,
};
use tokio::{sync::Notify, task::AbortHandle};

/// Ranges of events without a route that are remembered for requests that do not know their sequences yet.
pub(super) const RANGES_MAX: usize = 4_096;

/// What is known of the events that requests wait for.
#[derive(Default)]
pub(super) struct Watched {
    /// By the event's identity, hashed.
    pub(super) events: HashMap<String, Watch>,
    /// Events that matched nothing, the newest last.
    pub(super) no_route: VecDeque<(u64, u64)>,
    pub(super) waiters: usize,
    pub(super) follower: Option<AbortHandle>,
}

/// What is known of one event.
#[derive(Default)]
pub(super) struct Watch {
    /// Told at every change; one for each request that waits for the event.
    pub(super) waiters: Vec<Arc<Notify>>,
    pub(super) seq: Option<u64>,
    /// How many integrations it matched, once a record says so.
    matched: u32,
    no_route: bool,
    /// Why it could not be routed at all.
    unroutable: Option<String>,
    /// By integration: a member of a digest has an id of its own only until the digest has one.
    deliveries: BTreeMap<String, Seen>,
}

/// What is known of one delivery.
#[derive(Default)]
struct Seen {
    id: String,
    provider: String,
    generation: u32,
    attempts: u32,
    status: &'static str,
    response_code: Option<u16>,
    error_message: Option<String>,
    ended: Option<Row>,
}

impl Watch {
    /// Whether nothing more is to come.
    pub(super) fn is_settled(&self) -> bool {
        let all_ended = || self.deliveries.values().all(|seen| seen.ended.is_some());
        let all_known = self.matched > 0 && self.deliveries.len() >= self.matched as usize;
        self.no_route || self.unroutable.is_some() || (all_known && all_ended())
    }

    fn tell(&self) {
        // One that does not listen just now finds the permit when it does.
        self.waiters.iter().for_each(|waiter| waiter.notify_one());
    }

    fn of(&mut self, integration: &str, provider: &Name) -> &mut Seen {
        let seen = self.deliveries.entry(integration.to_owned()).or_default();
        if seen.status.is_empty() {
            seen.provider = provider.to_string();
            seen.status = "pending";
        }
        seen
    }

    fn attempt(&mut self, attempt: &Attempt, matched: u32) {
        self.matched = self.matched.max(matched);
        let seen = self.of(&attempt.integration, &attempt.provider);
        seen.id.clone_from(&attempt.delivery);
        if attempt.generation < seen.generation {
            return;
        }
        seen.generation = attempt.generation;
        seen.attempts = seen.attempts.max(attempt.attempt);
        if let Next::Final(state) = attempt.next {
            seen.end(attempt.generation, state);
        } else if seen.ended.is_none_or(|row| row.generation < attempt.generation) {
            seen.ended = None;
            seen.status = if attempt.next == Next::Parked {
                "parked"
            } else {
                "retrying"
            };
        }
        if attempt.outcome.is_some() {
            seen.response_code = attempt.response_code;
            seen.error_message.clone_from(&attempt.error_message);
        }
        self.tell();
    }

    fn bury(&mut self, letter: &DeadLetter, delivery: &Delivery, matched: u32) {
        self.matched = self.matched.max(matched);
        let seen = self.of(&delivery.integration, &delivery.provider);
        seen.id.clone_from(&delivery.id);
        seen.end(delivery.generation, letter.reason.ledger());
        seen.attempts = seen.attempts.max(delivery.attempt);
        seen.error_message = Some(letter.message.clone());
        seen.response_code = seen
            .response_code
            .or(delivery.notes.last().and_then(|note| note.response_code));
        self.tell();
    }

    /// Takes what was found waiting when the time was over, unless more is known already.
    fn wait(&mut self, delivery: &Delivery, matched: u32, status: &'static str) {
        self.matched = self.matched.max(matched);
        let seen = self.of(&delivery.integration, &delivery.provider);
        if seen.id.is_empty() {
            seen.id.clone_from(&delivery.id);
        }
        if seen.ended.is_none_or(|row| row.generation < delivery.generation) {
            seen.ended = None;
            seen.generation = delivery.generation;
            seen.attempts = seen.attempts.max(delivery.attempt);
            seen.status = match status {
                "pending" if delivery.attempt > 0 => "retrying",
                status => status,
            };
            if let Some(note) = delivery.notes.last() {
                seen.response_code = note.response_code;
                seen.error_message.clone_from(&note.error_message);
            }
        }
    }

    pub(super) fn view(&self, id: &str) -> Value {
        let deliveries: Vec<Value> = self
            .deliveries
            .iter()
            .map(|(integration, seen)| {
                json!({
                    "id": seen.id,
                    "integration_id": integration,
                    "provider": seen.provider,
                    "status": seen.status,
                    "response_code": seen.response_code,
                    "error_message": seen.error_message,
                    "attempts": seen.attempts,
                })
            })
            .collect();
        let mut view = json!({ "id": id, "settled": self.is_settled(), "deliveries": deliveries });
        if let Some(message) = &self.unroutable {
            view["error_message"] = json!(message);
        }
        view
    }
}

impl Seen {
    fn end(&mut self, generation: u32, state: Final) {
        let row = Row { generation, state };
        let row = self.ended.map_or(row, |known| known.join(row));
        self.generation = self.generation.max(row.generation);
        self.status = row.state.as_str();
        self.ended = Some(row);
    }
}

impl Watched {
    pub(super) fn record(&mut self, record: Record) {
        match record {
            Record::Attempt(attempt) => {
                for event in &attempt.events {
                    let key = key(&attempt.org, &event.source, &event.id);
                    if let Some(watch) = self.events.get_mut(&key) {
                        watch.attempt(&attempt, event.matched);
                    }
                }
            }
            Record::Refused(_) => {}
            Record::NoRoute(ranges) => {
                for range in ranges {
                    for watch in self.events.values_mut() {
                        watch.without_route(range);
                    }
                    if self.no_route.len() == RANGES_MAX {
                        self.no_route.pop_front();
                    }
                    self.no_route.push_back(range);
                }
            }
        }
    }

    pub(super) fn letter(&mut self, letter: &DeadLetter) {
        if let Some(delivery) = letter.delivery.as_deref() {
            for (index, accepted) in delivery.events.iter().enumerate() {
                if let Some(watch) = self.events.get_mut(&accepted.event.key()) {
                    watch.bury(letter, delivery, delivery.matched_of(index));
                }
            }
        } else if let Some(seq) = letter.event_seq {
            for watch in self.events.values_mut().filter(|watch| watch.seq == Some(seq)) {
                watch.unroutable = Some(letter.message.clone());
                watch.tell();
            }
        }
    }

    pub(super) fn waits(&mut self, delivery: &Delivery, status: &'static str) {
        for (index, accepted) in delivery.events.iter().enumerate() {
            if let Some(watch) = self.events.get_mut(&accepted.event.key()) {
                watch.wait(delivery, delivery.matched_of(index), status);
            }
        }
    }
}

impl Watch {
    pub(super) fn without_route(&mut self, (first, last): (u64, u64)) {
        if self.seq.is_some_and(|seq| (first..=last).contains(&seq)) {
            self.no_route = true;
            self.tell();
        }
    }
}

fn key(org: &Name, source: &str, id: &str) -> String {
    hash::parts([org.as_str().as_bytes(), source.as_bytes(), id.as_bytes()])
}

#[cfg(test)]
mod tests;
