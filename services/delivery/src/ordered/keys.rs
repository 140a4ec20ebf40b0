//! What waits in one partition of ORDERED, and which delivery of each key is the next: pure, with the time given.
//!
//! Of a delivery only its place is kept here, so that a million may wait. **Invariant:** of a key one delivery is in
//! hand at a time, and it is the first of all that were accepted for the key: nothing goes before it is known that
//! all earlier events are routed.

mod key;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use signalbox_proto::Timestamp;

use key::{Finished, Key, Place};
pub(crate) use key::{Head, Kind, Queued, Rules};

/// The token of a key.
pub(crate) type KeyId = Arc<str>;

/// How long it is remembered what of a key has ended, once nothing of it waits: as long as a router may bring one
/// again that the server does not know as a repeat any more.
const REMEMBERED: Duration = Duration::from_secs(120);

/// A delivery that is stored behind those of its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) key: &'a str,
    pub(crate) integration: &'a str,
    /// The partition of EVENTS in which its org is.
    pub(crate) source: u32,
    pub(crate) queued: Queued,
}

/// A key in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) key: KeyId,
    pub(crate) integration: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) queued: Queued,
    /// Whether `last` is the state of this very delivery, to be read instead of what was queued.
    pub(crate) tried: bool,
    /// The sequence of what is stored as the state of the key's first; 0 for nothing.
    pub(crate) last: u64,
    /// Whether what is stored there is about this delivery, in this generation or an earlier one.
    pub(crate) own: bool,
    /// Whether it is the probe of its integration.
    pub(crate) probe: bool,
    /// Whether a token of the rate limit was taken for it.
    pub(crate) paid: bool,
}

/// What is known of an integration here.
#[derive(Debug, Default)]
struct Known {
    rules: Option<Rules>,
    keys: usize,
}

/// The keys of one partition.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    keys: HashMap<KeyId, Key>,
    integrations: HashMap<Arc<str>, Known>,
    /// By partition of EVENTS: all up to this sequence is routed, and seen here.
    floors: HashMap<u32, u64>,
    ready: HashMap<Arc<str>, BTreeSet<(u64, KeyId)>>,
    ending: BTreeSet<KeyId>,
    unrouted: HashMap<u32, BTreeSet<(u64, KeyId)>>,
    timers: BTreeSet<(Timestamp, KeyId)>,
    /// Integrations of which a key became ready.
    woken: BTreeSet<Arc<str>>,
    /// By integration, the keys whose first waits as a probe, or did: one that was lost may wait beside its successor.
    probes: HashMap<Arc<str>, BTreeSet<KeyId>>,
    queued: usize,
}

impl Keys {
    /// Deliveries that wait.
    pub(crate) fn len(&self) -> usize {
        self.queued
    }

    /// Whether it is known what holds for an integration.
    pub(crate) fn has_rules(&self, integration: &str) -> bool {
        self.integrations
            .get(integration)
            .is_some_and(|known| known.rules.is_some())
    }

    /// Whether anything is known of an integration.
    pub(crate) fn knows(&self, integration: &str) -> bool {
        self.integrations.contains_key(integration)
    }

    /// Takes in a stored delivery. Returns the sequences of what is of no use: repeats of what has ended or waits
    /// already, and what a replay takes the place of.
    pub(crate) fn arrive(&mut self, arrival: Arrival<'_>, now: Timestamp) -> Vec<u64> {
        let Queued {
            event, generation, seq, ..
        } = arrival.queued;
        let (id, key) = self.key(arrival.key, arrival.integration, arrival.source);
        let dead = |head: &Head| head.held && head.event == event && head.generation >= generation;
        if key.finished.has(&arrival.queued) || key.head.as_deref().is_some_and(dead) {
            return vec![seq];
        }
        let at = key.queue.partition_point(|queued| queued.event < event);
        let mut useless = Vec::new();
        while let Some(known) = key.queue.get(at).copied().filter(|known| known.event == event) {
            if known.seq == seq {
                return useless;
            }
            if known.generation >= generation {
                useless.push(seq);
                return useless;
            }
            if key.in_hand == Some(known.seq) {
                // It goes behind the one in hand.
                break;
            }
            key.queue.remove(at);
            useless.push(known.seq);
        }
        let at = key.queue.partition_point(|queued| queued.event <= event);
        key.queue.insert(at, arrival.queued);
        self.queued = self.queued + 1 - useless.len();
        self.settle(&id, now, true);
        useless
    }

    /// Takes in the stored state of a key's first. Returns the sequences of what is of no use.
    pub(crate) fn headed(&mut self, key: &str, integration: &str, source: u32, head: Head, now: Timestamp) -> Vec<u64> {
        let mut useless = Vec::new();
        let (id, key) = self.key(key, integration, source);
        if key.head.as_deref().is_some_and(|known| known.seq >= head.seq) {
            return useless;
        }
        let mut gone = 0;
        if head.held {
            let in_hand = key.in_hand;
            key.queue.retain(|queued| {
                let dead =
                    queued.event == head.event && queued.generation <= head.generation && in_hand != Some(queued.seq);
                if dead {
                    useless.push(queued.seq);
                    gone += 1;
                }
                !dead
            });
            key.head = Some(Box::new(head));
        } else if key.queue.iter().any(|queued| head.is_of(queued)) {
            key.head = Some(Box::new(head));
        } else {
            // Its delivery has ended, or a person let the key go.
            useless.push(head.seq);
            key.head = None;
        }
        self.queued -= gone;
        self.note_probe(&id);
        self.settle(&id, now, true);
        useless
    }

    /// Says what holds for an integration from now on.
    pub(crate) fn rule(&mut self, integration: &str, rules: Rules, now: Timestamp) {
        let known = self.integrations.entry(Arc::from(integration)).or_default();
        if known.rules.replace(rules.clone()).as_ref() == Some(&rules) || known.keys == 0 {
            return;
        }
        let concerned: Vec<KeyId> = self
            .keys
            .iter()
            .filter(|(_, key)| &*key.integration == integration)
            .map(|(id, _)| id.clone())
            .collect();
        for id in concerned {
            self.settle(&id, now, true);
        }
    }

    /// All events of a partition up to this sequence are routed, and what came of them was seen here.
    pub(crate) fn routed(&mut self, source: u32, floor: u64, now: Timestamp) {
        let known = self.floors.entry(source).or_default();
        *known = floor.max(*known);
        let waiting = self.unrouted.get(&source).into_iter().flatten();
        let met: Vec<KeyId> = waiting
            .take_while(|(event, _)| *event <= floor)
            .map(|(_, id)| id.clone())
            .collect();
        for id in met {
            self.settle(&id, now, true);
        }
    }

    /// The partitions of EVENTS that something waits for, each with the first event of it that does.
    pub(crate) fn unrouted(&self) -> impl Iterator<Item = (u32, u64)> {
        let first = |(source, waiting): (&u32, &BTreeSet<(u64, KeyId)>)| Some((*source, waiting.first()?.0));
        self.unrouted.iter().filter_map(first)
    }

    /// When [`Keys::wake`] has something to do.
    pub(crate) fn next_wake(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Looks at what was due until now.
    pub(crate) fn wake(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.timers.first().cloned()
            && at <= now
        {
            self.timers.pop_first();
            if let Some(key) = self.keys.get_mut(&id) {
                key.wake = None;
            }
            self.settle(&id, now, true);
        }
    }

    /// Integrations of which a key has become ready since the last call.
    pub(crate) fn take_woken(&mut self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.woken)
    }

    /// The integrations of which a key is ready.
    pub(crate) fn ready(&self) -> impl Iterator<Item = &Arc<str>> {
        self.ready.keys()
    }

    /// How many keys of an integration are ready.
    pub(crate) fn ready_of(&self, integration: &str) -> usize {
        self.ready.get(integration).map_or(0, BTreeSet::len)
    }

    /// The first event of an integration that may go.
    pub(crate) fn oldest(&self, integration: &str) -> Option<(u64, KeyId)> {
        self.ready.get(integration)?.first().cloned()
    }

    /// The key whose first is this probe of its integration, if it may go now.
    pub(crate) fn probe(&self, integration: &str, delivery: &str) -> Option<KeyId> {
        let mut probes = self.probes.get(integration)?.iter();
        probes
            .find(|id| self.keys.get(*id).is_some_and(|key| key.probes(delivery)))
            .cloned()
    }

    /// The times of probes mean nothing any more, as their integration is not suspended.
    pub(crate) fn release_probes(&mut self, integration: &str, now: Timestamp) {
        for id in self.probes.remove(integration).into_iter().flatten() {
            let key = self.keys.get_mut(&id);
            if let Some(head) = key.and_then(|key| key.head.as_deref_mut())
                && head.probe
            {
                head.probe = false;
                head.due = None;
                self.settle(&id, now, true);
            }
        }
    }

    /// The integrations of which something waits as a probe, or did.
    pub(crate) fn probed(&self) -> impl Iterator<Item = &Arc<str>> {
        self.probes.keys()
    }

    /// Takes a key in hand whose next delivery may go.
    pub(crate) fn take(&mut self, id: &KeyId, now: Timestamp) -> Option<Turn> {
        let ready = matches!(self.keys.get(id)?.place, Place::Ready(_));
        ready.then(|| self.take_in_hand(id, Kind::Send, now))?
    }

    /// Takes a key in hand whose next delivery ends, or that waits for a person no longer.
    pub(crate) fn take_ending(&mut self, now: Timestamp) -> Option<Turn> {
        loop {
            let id = self.ending.first()?.clone();
            let key = self.keys.get(&id)?;
            let known = self.integrations.get(&key.integration);
            let kind = known.and_then(|known| key.ends(known.rules.as_ref()?, now));
            match kind {
                Some(kind) => return self.take_in_hand(&id, kind, now),
                None => self.settle(&id, now, true),
            }
        }
    }

    fn take_in_hand(&mut self, id: &KeyId, kind: Kind, now: Timestamp) -> Option<Turn> {
        let key = self.keys.get_mut(id)?;
        let queued = match kind {
            Kind::Send | Kind::End(..) => key.first().or_else(|| key.queue.front().copied())?,
            Kind::Release => {
                let head = key.head.as_deref()?;
                Queued {
                    event: head.event,
                    generation: head.generation,
                    seq: head.seq,
                    since: head.at,
                }
            }
        };
        key.in_hand = Some(queued.seq);
        let head = key.head.as_deref();
        let turn = Turn {
            key: id.clone(),
            integration: key.integration.clone(),
            kind,
            queued,
            tried: head.is_some_and(|head| head.is_of(&queued)),
            last: head.map_or(0, |head| head.seq),
            own: head.is_some_and(|head| head.event == queued.event),
            probe: head.is_some_and(|head| head.probe && head.event == queued.event),
            paid: false,
        };
        self.settle(id, now, false);
        Some(turn)
    }

    /// A delivery in hand has ended, and is removed from ORDERED. Returns the sequence of what is stored as its state.
    pub(crate) fn ended(&mut self, id: &KeyId, ended: Queued, now: Timestamp) -> Option<u64> {
        let mut state = None;
        self.let_go(id, ended, now, |key| {
            if key.head.as_deref().is_some_and(|head| head.event == ended.event) {
                state = key.head.take().map(|head| head.seq);
            }
        });
        state
    }

    /// A delivery in hand has died, is removed from ORDERED, and its key waits for a person.
    pub(crate) fn held(&mut self, id: &KeyId, ended: Queued, head: Head, now: Timestamp) {
        self.let_go(id, ended, now, |key| {
            // A person may have decided already.
            if key.head.as_deref().is_none_or(|known| known.seq < head.seq) {
                key.head = Some(Box::new(head));
            }
        });
    }

    fn let_go(&mut self, id: &KeyId, ended: Queued, now: Timestamp, then: impl FnOnce(&mut Key)) {
        let Some(key) = self.keys.get_mut(id) else { return };
        let before = key.queue.len();
        key.queue.retain(|queued| queued.seq != ended.seq);
        self.queued -= before - key.queue.len();
        let floor = self.floors.get(&key.source).copied().unwrap_or_default();
        // What is not known to be routed may still have earlier ones before it.
        if ended.generation == 0 && ended.event <= floor {
            key.finished.add(&ended);
        }
        key.in_hand = None;
        key.later = None;
        key.idle_until = now + REMEMBERED;
        then(key);
        self.note_probe(id);
        self.settle(id, now, true);
    }

    /// A key waits for a person no longer, and the state that said so is removed.
    pub(crate) fn released(&mut self, id: &KeyId, seq: u64, now: Timestamp) {
        let Some(key) = self.keys.get_mut(id) else { return };
        if key.head.as_deref().is_some_and(|head| head.seq <= seq) {
            key.head = None;
        }
        key.in_hand = None;
        self.settle(id, now, true);
    }

    /// A delivery in hand is tried again; its state is stored.
    pub(crate) fn retries(&mut self, id: &KeyId, head: Head, now: Timestamp) {
        let Some(key) = self.keys.get_mut(id) else { return };
        key.in_hand = None;
        key.later = None;
        if key.head.as_deref().is_none_or(|known| known.seq <= head.seq) {
            key.head = Some(Box::new(head));
        }
        self.note_probe(id);
        self.settle(id, now, true);
    }

    /// Nothing was done with a key in hand; it is not offered again by itself before `later`, where that is given.
    pub(crate) fn back(&mut self, id: &KeyId, later: Option<Timestamp>, now: Timestamp) {
        let Some(key) = self.keys.get_mut(id) else { return };
        key.in_hand = None;
        key.later = later;
        self.settle(id, now, false);
    }

    fn key(&mut self, id: &str, integration: &str, source: u32) -> (KeyId, &mut Key) {
        if !self.keys.contains_key(id) {
            let known = self.integrations.get_key_value(integration);
            let name = known.map_or_else(|| Arc::from(integration), |(name, _)| name.clone());
            self.integrations.entry(name.clone()).or_default().keys += 1;
            let key = Key {
                integration: name,
                source,
                queue: VecDeque::new(),
                head: None,
                in_hand: None,
                later: None,
                finished: Finished::NOTHING,
                idle_until: Timestamp::MIN,
                place: Place::Idle,
                wake: None,
            };
            self.keys.insert(KeyId::from(id), key);
        }
        let id = self.keys.get_key_value(id).expect("put there just now").0.clone();
        let key = self.keys.get_mut(&id).expect("put there just now");
        (id, key)
    }

    /// Keeps a key with those that probe, as long as its first does.
    fn note_probe(&mut self, id: &KeyId) {
        let Some(key) = self.keys.get(id) else { return };
        if key.head.as_deref().is_some_and(|head| head.probe) {
            let probes = self.probes.entry(key.integration.clone()).or_default();
            probes.insert(id.clone());
        } else if let Some(probes) = self.probes.get_mut(&key.integration) {
            probes.remove(id);
            if probes.is_empty() {
                self.probes.remove(&key.integration);
            }
        }
    }

    fn forget(&mut self, id: &KeyId) {
        if let Some(key) = self.keys.remove(id)
            && let Some(known) = self.integrations.get_mut(&key.integration)
        {
            known.keys -= 1;
            if known.keys == 0 {
                self.integrations.remove(&key.integration);
            }
        }
    }

    /// Puts a key where it belongs now. `wakes`: its integration is told where it becomes ready.
    fn settle(&mut self, id: &KeyId, now: Timestamp, wakes: bool) {
        let Some(key) = self.keys.get_mut(id) else { return };
        let rules = self.integrations.get(&key.integration);
        let rules = rules.and_then(|known| known.rules.as_ref());
        let (place, wake) = key.judge(rules, &self.floors, now);
        let (before, woke) = (key.place, key.wake);
        (key.place, key.wake) = (place, wake);
        let (integration, source) = (key.integration.clone(), key.source);
        if woke != wake {
            if let Some(at) = woke {
                self.timers.remove(&(at, id.clone()));
            }
            if let Some(at) = wake {
                self.timers.insert((at, id.clone()));
            }
        }
        if before != place {
            match before {
                Place::Ready(event) => {
                    if let Some(ready) = self.ready.get_mut(&integration) {
                        ready.remove(&(event, id.clone()));
                        if ready.is_empty() {
                            self.ready.remove(&integration);
                        }
                    }
                }
                Place::Ending => {
                    self.ending.remove(id);
                }
                Place::Unrouted(event) => {
                    if let Some(waiting) = self.unrouted.get_mut(&source) {
                        waiting.remove(&(event, id.clone()));
                    }
                }
                Place::Idle | Place::Waiting | Place::InHand => {}
            }
            match place {
                Place::Ready(event) => {
                    self.ready
                        .entry(integration.clone())
                        .or_default()
                        .insert((event, id.clone()));
                }
                Place::Ending => {
                    self.ending.insert(id.clone());
                }
                Place::Unrouted(event) => {
                    self.unrouted.entry(source).or_default().insert((event, id.clone()));
                }
                Place::Idle | Place::Waiting | Place::InHand => {}
            }
        }
        if matches!(place, Place::Ready(_)) && wakes {
            self.woken.insert(integration);
        }
        if place == Place::Idle && wake.is_none() {
            self.forget(id);
        }
    }
}

#[cfg(test)]
mod tests;
