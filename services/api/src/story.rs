//! What the streams know of deliveries, put together: one [`Story`] each.
//!
//! Five places know something of a delivery. OUTCOMES has its attempts and its end, DEAD what was given up (and what was
//! done with it since), the provider's stream, ORDERED, BATCH and PARKED what still waits, and the database all of it
//! but this, for long. A reader says which deliveries it wants ([`Wanted`]) and hands what it reads to [`Stories`],
//! which passes by what is of others. [`Story::view`] is a delivery as answers show it.
//!
//! The places are read in any order, but what waits before what ended, so that a delivery that ends meanwhile is seen
//! at least once, and marks after the dead letters that they are about. Repeats do not matter. The methods of [`crate::Shared`]
//! in `read` read a place from a time on; a reader that pages reads them itself.

mod read;
mod recall;
mod wanted;
pub(crate) mod windows;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use signalbox_broker::browse::Stored;
use signalbox_proto::{
    Accepted, Attempt, DeadLetter, Delivery, Integration, Name, Phase, State, Timestamp,
    act::{Did, Mark},
    delivery, digest, event,
    ledger::{Final, Row},
    outcome::{EventRef, Next},
    subjects, wire,
};

use crate::view::{self, Delivery as Shown, Try};

pub(crate) use wanted::Wanted;

/// What is known of the deliveries that a reader wants.
pub(crate) struct Stories<'a> {
    wanted: Wanted<'a>,
    by_delivery: BTreeMap<String, Story>,
    /// What is known to be in a digest: integration and sequence in EVENTS. A member still waits in BATCH for a moment
    /// after that.
    in_digests: HashSet<(String, u64)>,
    /// Which delivery a dead letter is of.
    buried: HashMap<u64, String>,
    /// Events that could not become deliveries, by their sequence in EVENTS: the sequence in DEAD, and why. Kept where
    /// one event is wanted.
    pub(crate) unmade: BTreeMap<u64, (u64, String)>,
    /// Streams of providers that could not be read: what waits there is not known.
    pub(crate) unread: Vec<String>,
    /// Whether a stream holds more than one request reads: what lies behind the bound is not known.
    pub(crate) is_cut: bool,
}

/// All that is known of one delivery.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    pub(crate) id: String,
    /// The integration's id.
    pub(crate) integration: String,
    pub(crate) provider: String,
    /// What it delivers: one event, or the members of a digest.
    pub(crate) events: Vec<EventRef>,
    /// Whether it is a digest, of one event too.
    pub(crate) is_digest: bool,
    /// When its first event was accepted; records of older versions do not say.
    pub(crate) accepted_at: Option<Timestamp>,
    /// In the order in which they came out of OUTCOMES; see [`Story::attempts`].
    recorded: Vec<Attempt>,
    /// What waits, with where.
    waiting: Option<(Delivery, Place)>,
    /// Its dead letters, by their sequence in DEAD.
    pub(crate) dead: BTreeMap<u64, Buried>,
    ended: Option<Row>,
    recalled: Option<recall::Recalled>,
}

/// A dead letter of a delivery, and what was done with it since.
#[derive(Clone, Debug)]
pub(crate) struct Buried {
    pub(crate) letter: DeadLetter,
    /// The act that replayed it, and when.
    pub(crate) replayed: Option<(String, Timestamp)>,
    /// The act that gave it up, and when.
    pub(crate) discarded: Option<(String, Timestamp)>,
}

/// What sent a delivery again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replay {
    /// The act's id.
    pub(crate) act: String,
    pub(crate) at: Timestamp,
    /// The sequence of the dead letter that was replayed; `None` where an event was.
    pub(crate) dead_letter: Option<u64>,
}

/// Where a delivery waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a lane, with or before a worker.
    Lane,
    /// Scheduled in its provider's stream.
    Schedule,
    /// In ORDERED, behind those of its key or as the first of them.
    Ordered,
    /// In BATCH, as a member of the next digest.
    Batch,
    /// In PARKED.
    Parked,
}

impl Place {
    /// The place that a message of a queue is in.
    pub(crate) fn of(stream: &str, subject: &str) -> Self {
        match stream {
            subjects::PARKED => Self::Parked,
            subjects::BATCH => Self::Batch,
            subjects::ORDERED => Self::Ordered,
            _ if subjects::is_retry(subject) => Self::Schedule,
            _ => Self::Lane,
        }
    }

    /// Whether what waits here counts as parked.
    pub(crate) fn is_parked(self, delivery: &Delivery) -> bool {
        match self {
            Self::Parked | Self::Batch => true,
            // The first of a key, once it was tried, waits for its next attempt as any other does.
            Self::Ordered => delivery.attempt == 0 || delivery.due.is_none(),
            Self::Lane | Self::Schedule => false,
        }
    }
}

impl<'a> Stories<'a> {
    /// Nothing is known yet.
    pub(crate) fn new(wanted: Wanted<'a>) -> Self {
        Self {
            wanted,
            by_delivery: BTreeMap::new(),
            in_digests: HashSet::new(),
            buried: HashMap::new(),
            unmade: BTreeMap::new(),
            unread: Vec::new(),
            is_cut: false,
        }
    }

    /// The deliveries, by id.
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = &Story> {
        self.by_delivery.values().filter(|story| !self.is_in_digest(story))
    }

    /// Whether a member that waits is the delivery of a digest already.
    pub(crate) fn is_in_digest(&self, story: &Story) -> bool {
        let in_digest = |event: &EventRef| self.in_digests.contains(&(story.integration.clone(), event.seq));
        matches!(story.waiting, Some((_, Place::Batch))) && story.events.iter().any(in_digest)
    }

    /// Forgets a delivery, for readers that keep so many at most.
    pub(crate) fn forget(&mut self, delivery: &str) {
        self.by_delivery.remove(delivery);
    }

    /// The delivery with this id, where anything is known of it.
    pub(crate) fn get(&self, delivery: &str) -> Option<&Story> {
        self.by_delivery.get(delivery)
    }

    /// Whether a dead letter is known.
    pub(crate) fn is_buried(&self, seq: u64) -> bool {
        self.buried.contains_key(&seq)
    }

    fn of(&mut self, delivery: &str, integration: &str, provider: &Name) -> &mut Story {
        let story = self.by_delivery.entry(delivery.to_owned()).or_default();
        if story.id.is_empty() {
            story.id = delivery.to_owned();
            story.integration = integration.to_owned();
            story.provider = provider.to_string();
        }
        story
    }

    /// Takes an attempt out of OUTCOMES.
    pub(crate) fn record(&mut self, attempt: Attempt) {
        if !self.wanted.attempt(&attempt) {
            return;
        }
        let story = self.of(&attempt.delivery, &attempt.integration, &attempt.provider);
        if story.knows_less(attempt.events.len()) {
            story.is_digest |= attempt.is_digest();
            story.events.clone_from(&attempt.events);
        }
        if let Some(first) = attempt
            .events
            .first()
            .filter(|first| first.accepted_at != Timestamp::default())
        {
            story.accept(first.accepted_at);
        }
        let members = story.digest_members();
        if let Next::Final(state) = attempt.next {
            story.end(attempt.generation, state);
        }
        story.note(attempt);
        self.in_digests.extend(members);
    }

    /// Takes a dead letter, with its sequence in DEAD.
    pub(crate) fn bury(&mut self, seq: u64, letter: DeadLetter) {
        let Some(delivery) = letter.delivery.as_deref() else {
            if let (Wanted::Event { .. }, Some(event)) = (self.wanted, letter.event_seq) {
                self.unmade.insert(event, (seq, letter.message));
            }
            return;
        };
        if !self.wanted.delivery(delivery) {
            return;
        }
        let story = self.of(&delivery.id, &delivery.integration, &delivery.provider);
        story.learn(delivery);
        story.end(delivery.generation, letter.reason.ledger());
        let buried = Buried {
            letter,
            replayed: None,
            discarded: None,
        };
        story.dead.insert(seq, buried);
        let (id, members) = (story.id.clone(), story.digest_members());
        self.buried.insert(seq, id);
        self.in_digests.extend(members);
    }

    /// Takes what an act left in DEAD. Marks of dead letters that are not known are passed by.
    pub(crate) fn mark(&mut self, mark: &Mark) {
        for seq in &mark.seqs {
            let story = self.buried.get(seq).and_then(|id| self.by_delivery.get_mut(id));
            let Some(story) = story else { continue };
            let Some(buried) = story.dead.get_mut(seq) else {
                continue;
            };
            match mark.did {
                Did::Replayed => buried.replayed = Some((mark.act.clone(), mark.at)),
                Did::Discarded => {
                    buried.discarded = Some((mark.act.clone(), mark.at));
                    if let Some(generation) = buried.letter.delivery.as_ref().map(|delivery| delivery.generation) {
                        story.end(generation, Final::Discarded);
                    }
                }
                Did::Intend | Did::Withdrawn | Did::Unknown => {}
            }
        }
    }

    /// Takes a delivery that waits somewhere.
    pub(crate) fn wait(&mut self, delivery: Delivery, place: Place) {
        if !self.wanted.delivery(&delivery) {
            return;
        }
        let story = self.of(&delivery.id, &delivery.integration, &delivery.provider);
        story.learn(&delivery);
        let newer = |known: &(Delivery, Place)| (known.0.generation, known.0.hop) < (delivery.generation, delivery.hop);
        if story.waiting.as_ref().is_none_or(newer) {
            story.waiting = Some((delivery, place));
        }
        let members = story.digest_members();
        self.in_digests.extend(members);
    }

    /// As [`Stories::wait`], from the bytes of a queue. A member of a digest goes when its window ends, which its own
    /// bytes do not say.
    fn wait_stored(&mut self, stored: &Stored, place: Place, ends: Option<Timestamp>) {
        match wire::decode_delivery(&stored.body) {
            Ok(delivery) => {
                let due = ends.or(delivery.due);
                self.wait(Delivery { due, ..delivery }, place);
            }
            Err(error) => tracing::error!(%error, subject = stored.subject, seq = stored.seq, "cannot read a delivery"),
        }
    }

    /// As [`Stories::bury`] and [`Stories::mark`], from a message of DEAD.
    fn dead_message(&mut self, seq: u64, subject: &str, body: &[u8]) {
        if subjects::is_dead_mark(subject) {
            match wire::decode::<Mark>(body) {
                Ok(mark) => self.mark(&mark),
                Err(error) => tracing::error!(%error, seq, "cannot read a mark in DEAD"),
            }
        } else {
            match wire::decode::<DeadLetter>(body) {
                Ok(letter) => self.bury(seq, letter),
                Err(error) => tracing::error!(%error, seq, "cannot read a dead letter"),
            }
        }
    }
}

impl Story {
    fn end(&mut self, generation: u32, state: Final) {
        let row = Row { generation, state };
        self.ended = Some(self.ended.map_or(row, |known| known.join(row)));
    }

    /// Notes an attempt, once: a crash after the outcome was written repeats it, and several places know of it.
    fn note(&mut self, attempt: Attempt) {
        let same = |known: &Attempt| {
            (known.generation, known.attempt, known.at) == (attempt.generation, attempt.attempt, attempt.at)
        };
        if !self.recorded.iter().any(same) {
            self.recorded.push(attempt);
        }
    }

    /// Whether a place that tells of so many events knows more of them: the database tells the first member of a digest
    /// alone, and not how many integrations an event matched.
    fn knows_less(&self, events: usize) -> bool {
        self.events.len() < events || self.events.len() == events && self.events.iter().all(|event| event.matched == 0)
    }

    /// What a digest has taken in: its integration with the sequence of each event. Nothing of a single delivery.
    fn digest_members(&self) -> Vec<(String, u64)> {
        let events = self.events.iter().filter(|_| self.is_digest);
        events.map(|event| (self.integration.clone(), event.seq)).collect()
    }

    /// Whether it is the digest that a delivery of this id became a member of.
    pub(crate) fn has_member(&self, org: &Name, id: &str) -> bool {
        let is_it = |event: &EventRef| {
            let key = event::key(org, &event.source, &event.id);
            delivery::id(&key, &self.integration) == id
        };
        self.is_digest && self.events.iter().any(is_it)
    }

    /// Takes what an envelope says of the events.
    fn learn(&mut self, delivery: &Delivery) {
        if let Some(first) = delivery.events.first() {
            self.accept(first.at);
        }
        self.is_digest = delivery.is_digest();
        if self.knows_less(delivery.events.len()) {
            let refs = delivery.events.iter().enumerate().map(|(index, accepted)| EventRef {
                id: accepted.event.id.clone(),
                source: accepted.event.source.clone(),
                event_type: accepted.event.event_type.clone(),
                seq: accepted.seq,
                accepted_at: accepted.at,
                matched: delivery.matched_of(index),
            });
            self.events = refs.collect();
        }
    }

    /// One of its events with its data, where a place that keeps events has it.
    pub(crate) fn event(&self, id: &str) -> Option<&Accepted> {
        let dead = self
            .dead
            .values()
            .filter_map(|buried| buried.letter.delivery.as_deref());
        let waiting = self.waiting.iter().map(|(delivery, _)| delivery);
        dead.chain(waiting)
            .flat_map(|delivery| &delivery.events)
            .find(|accepted| accepted.event.id == id)
    }

    /// The act that sent a generation, when, and the dead letter that it sent again, as far as these are known.
    pub(crate) fn replay_of(&self, generation: u32) -> Option<Replay> {
        let dead = self
            .dead
            .values()
            .filter_map(|buried| buried.letter.delivery.as_deref());
        let waiting = self.waiting.iter().map(|(delivery, _)| delivery);
        let sent = dead
            .chain(waiting)
            .find(|delivery| delivery.generation == generation && delivery.replay.is_some());
        if let Some(delivery) = sent {
            return Some(Replay {
                act: delivery.replay.clone()?,
                at: delivery.since,
                dead_letter: delivery.replay_of,
            });
        }
        // The letter of the generation before says who replayed it.
        let before = |buried: &&Buried| {
            let own = buried.letter.delivery.as_ref().map(|delivery| delivery.generation);
            own.is_some_and(|own| own < generation)
        };
        let (seq, buried) = self.dead.iter().rfind(|(_, buried)| before(buried))?;
        let (act, at) = buried.replayed.clone()?;
        Some(Replay {
            act,
            at,
            dead_letter: Some(*seq),
        })
    }

    /// The generations behind the first, in order.
    pub(crate) fn later_generations(&self) -> BTreeSet<u32> {
        let recorded = self.recorded.iter().map(|attempt| attempt.generation);
        let dead = self.dead.values().filter_map(|buried| buried.letter.delivery.as_ref());
        let waiting = self.waiting.iter().map(|(delivery, _)| delivery.generation);
        let all = recorded.chain(dead.map(|delivery| delivery.generation)).chain(waiting);
        all.filter(|generation| *generation > 0).collect()
    }

    /// Its attempts in order; also the entries without a request.
    pub(crate) fn attempts(&self) -> Vec<&Attempt> {
        let mut attempts: Vec<&Attempt> = self.recorded.iter().collect();
        attempts.sort_by_key(|attempt| (attempt.generation, attempt.attempt, attempt.at));
        attempts
    }

    /// What waits, unless its generation has ended.
    pub(crate) fn moving(&self) -> Option<(&Delivery, Place)> {
        self.waiting
            .as_ref()
            .filter(|(delivery, _)| self.ended.is_none_or(|row| row.generation < delivery.generation))
            .map(|(delivery, place)| (delivery, *place))
    }

    /// How it ended, unless a newer generation waits.
    pub(crate) fn ended(&self) -> Option<Final> {
        match self.moving() {
            Some(_) => None,
            None => self.ended.map(|row| row.state),
        }
    }

    /// The newest generation that anything is known of.
    pub(crate) fn generation(&self) -> u32 {
        let recorded = self.recorded.iter().map(|attempt| attempt.generation);
        let ended = self.ended.map(|row| row.generation);
        let waiting = self.waiting.as_ref().map(|(delivery, _)| delivery.generation);
        recorded.chain(ended).chain(waiting).max().unwrap_or_default()
    }

    /// Its newest dead letter, with its sequence.
    pub(crate) fn last_dead(&self) -> Option<(u64, &Buried)> {
        self.dead.last_key_value().map(|(seq, buried)| (*seq, buried))
    }

    /// When it was made: its event's acceptance, else what is oldest of what is known.
    pub(crate) fn created_at(&self) -> Option<Timestamp> {
        self.accepted_at
            .or_else(|| self.recorded.iter().map(|attempt| attempt.at).min())
    }

    /// Its status, as answers and filters call it, and what it waits for where it is parked.
    pub(crate) fn status(&self, state: &State) -> (&'static str, Option<&'static str>) {
        match (self.moving(), self.ended()) {
            (Some((_, Place::Parked)), _) => ("parked", Some(waits_for(state.phase))),
            (Some((_, Place::Batch)), _) => ("parked", Some("batch")),
            (Some((delivery, Place::Ordered)), _) if Place::Ordered.is_parked(delivery) => ("parked", Some("order")),
            (Some((delivery, _)), _) if delivery.attempt > 0 => ("retrying", None),
            (Some(_), _) => ("pending", None),
            (None, Some(ended)) => (ended.as_str(), None),
            // On its way between two places, or read while it moved.
            (None, None) => match self.attempts().last() {
                Some(last) if last.next == Next::Parked => ("parked", Some(waits_for(state.phase))),
                Some(last) if last.outcome.is_some() => ("retrying", None),
                _ => ("pending", None),
            },
        }
    }

    /// When it goes to its target again, as far as that is known.
    pub(crate) fn next_attempt_at(&self) -> Option<Timestamp> {
        match self.moving() {
            // Of a member of a digest its reader has put the end of the window there.
            Some((delivery, Place::Schedule | Place::Lane | Place::Ordered | Place::Batch)) => delivery.due,
            Some((_, Place::Parked)) => None,
            None if self.ended().is_none() => self.attempts().last().and_then(|attempt| attempt.next_at),
            None => None,
        }
    }

    /// Why it was not delivered, as its owner may see it.
    pub(crate) fn error_message(&self) -> Option<String> {
        match self.ended() {
            Some(Final::Delivered) => None,
            Some(_) if let Some((_, buried)) = self.last_dead() => Some(buried.letter.message.clone()),
            Some(_) if let Some(message) = self.recalled.as_ref().and_then(|recalled| recalled.message.clone()) => {
                Some(message)
            }
            _ => {
                let recorded = self.attempts();
                match recorded.last() {
                    Some(last) => last.error_message.clone(),
                    // What OUTCOMES has let go of or not got yet is in the envelope.
                    None => self.notes().last().and_then(|note| note.error_message.clone()),
                }
            }
        }
    }

    fn notes(&self) -> &[signalbox_proto::delivery::Note] {
        let dead = || Some(&self.last_dead()?.1.letter.delivery.as_ref()?.notes);
        let waiting = self.moving().map(|(delivery, _)| &delivery.notes);
        waiting.or_else(dead).map_or(&[], Vec::as_slice)
    }

    /// One entry an attempt, in order.
    pub(crate) fn history(&self) -> Vec<Try> {
        let recorded = self.attempts();
        if recorded.is_empty() {
            self.notes().iter().map(|note| Try::Noted(view::note(note))).collect()
        } else {
            recorded
                .into_iter()
                .map(|attempt| Try::Recorded(view::entry(attempt)))
                .collect()
        }
    }

    /// The delivery as answers show it, without its history.
    pub(crate) fn view(&self, state: &State, integration: Option<&Integration>) -> Shown {
        let attempts = self.attempts();
        let sent = || attempts.iter().filter(|attempt| attempt.outcome.is_some());
        let last = sent().next_back();
        let noted = self.notes();
        let (status, waiting_for) = self.status(state);
        let event = match self.events.as_slice() {
            [event] if !self.is_digest => Some((event.id.clone(), event.event_type.to_string())),
            // A digest is an event of its own kind; its members are in `event_ids`.
            [first, ..] => Some((first.id.clone(), digest::EVENT_TYPE.to_owned())),
            [] => None,
        };
        let (event_id, event_type) = event.unzip();
        let members = || self.events.iter().map(|event| event.id.clone()).collect();
        let counted = if attempts.is_empty() {
            noted.len()
        } else {
            sent().count()
        };
        let recalled = self.recalled.as_ref();
        Shown {
            id: self.id.clone(),
            integration_id: self.integration.clone(),
            integration: integration.map(|integration| integration.name.clone()),
            provider: self.provider.clone(),
            event_id,
            event_type,
            event_ids: self.is_digest.then(members),
            status,
            waiting_for,
            generation: self.generation(),
            attempts: (counted as u64).max(recalled.map_or(0, |recalled| recalled.attempts)),
            last_attempt_at: last.map(|attempt| attempt.at).or(noted.last().map(|note| note.at)),
            next_attempt_at: self.next_attempt_at(),
            response_code: last.and_then(|attempt| attempt.response_code),
            response_body: last.map(|attempt| attempt.response_body.clone()),
            error_message: self.error_message(),
            dead_letter_id: (self.last_dead().map(|(seq, _)| seq))
                .max(recalled.and_then(|recalled| recalled.letter))
                .map(signalbox_broker::browse::dead_letter_id),
            created_at: self.created_at(),
        }
    }
}

/// What a parked delivery waits for, by the phase of its integration.
fn waits_for(phase: Phase) -> &'static str {
    match phase {
        Phase::Suspended => "breaker",
        // Taken out at the pace at which the target takes.
        Phase::Draining => "limit",
        Phase::Paused | Phase::Unknown | Phase::Open => "pause",
    }
}

#[cfg(test)]
mod tests;
