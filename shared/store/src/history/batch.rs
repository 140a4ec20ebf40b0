//! Records of both streams put together, ready to be written: pure.
//!
//! A batch holds one entry for each delivery, dead letter and range, whatever number of records told of it. It does not
//! matter in which order they came, how often, or in how many batches.

use std::collections::{BTreeMap, BTreeSet};

use signalbox_proto::{
    Attempt, DeadLetter, Name, Record, Timestamp,
    act::{self, Did, Mark},
    refused::Refused,
};

use super::{
    recorded::{Member, Recorded},
    standing::Standing,
};

/// What is written in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// By id: written in its order, neighbours in the index are found together.
    pub(super) deliveries: BTreeMap<String, Recorded>,
    /// Members of digests, by the digest's id.
    pub(super) members: BTreeSet<(String, Member)>,
    /// First, last, and when that was said.
    pub(super) unrouted: BTreeSet<(u64, u64, Timestamp)>,
    pub(super) letters: BTreeMap<u64, Letter>,
    /// By the time at which their DEAD was made, and sequence.
    pub(super) marks: BTreeMap<(Timestamp, u64), Marked>,
    pub(super) gaps: BTreeSet<Gap>,
    /// For the audit.
    pub(super) refused: Vec<Refused>,
    pub(super) records: u64,
}

/// A dead letter as the index of DEAD holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its sequence in DEAD, of which its id is made.
    pub seq: u64,
    /// When that stream was made.
    pub incarnation: Timestamp,
    /// When it was stored.
    pub at: Timestamp,
    /// Where it was made.
    pub stage: String,
    /// Why, as a class.
    pub reason: String,
    /// Why, as a sentence.
    pub message: String,
    /// Groups like errors.
    pub fingerprint: String,
    /// The tenant; that of what named no valid one is the default.
    pub org: String,
    /// The kind of target.
    pub provider: Option<String>,
    /// The integration's id.
    pub integration: Option<String>,
    /// The delivery's id.
    pub delivery: Option<String>,
    /// The delivery's generation.
    pub generation: Option<u32>,
    /// How many requests that generation had sent.
    pub attempt: u32,
    /// The event's id; of a digest that of its first.
    pub event_id: Option<String>,
    /// Its source.
    pub event_source: Option<String>,
    /// Its type, or the one that the subject of an input names.
    pub event_type: Option<String>,
    /// Its sequence in EVENTS, where it was accepted.
    pub event_seq: Option<u64>,
    /// When it was first tried or seen.
    pub first_at: Timestamp,
    /// When it was last tried or given up.
    pub last_at: Timestamp,
    /// What was done to it since.
    pub marked: Marked,
}

/// What acts did to a dead letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// When it was last replayed.
    pub replayed_at: Option<Timestamp>,
    /// When it was given up.
    pub discarded_at: Option<Timestamp>,
}

impl Marked {
    pub(super) fn join(&mut self, other: Self) {
        self.replayed_at = self.replayed_at.max(other.replayed_at);
        self.discarded_at = self.discarded_at.max(other.discarded_at);
    }
}

/// Sequences that a stream let go of before they were recorded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// The stream.
    pub stream: String,
    /// When it was made.
    pub incarnation: Timestamp,
    /// The first that is missing.
    pub first_seq: u64,
    /// The last that is missing.
    pub last_seq: u64,
    /// When the record before was stored.
    pub since: Timestamp,
    /// When the record behind was stored.
    pub until: Timestamp,
}

impl Batch {
    /// Takes a record of OUTCOMES that was stored then.
    pub fn record(&mut self, record: Record, at: Timestamp) {
        self.records += 1;
        match record {
            Record::Attempt(attempt) => self.attempt(attempt),
            Record::NoRoute(ranges) => self
                .unrouted
                .extend(ranges.into_iter().map(|(first, last)| (first, last, at))),
            Record::Refused(refused) => self.refused.push(refused),
        }
    }

    fn attempt(&mut self, attempt: Attempt) {
        // Attempts of a delivery name the events that it has, of which there is one at least.
        if let Some((recorded, members)) = Recorded::of_attempt(attempt) {
            self.deliver(recorded, members);
        }
    }

    /// Takes a dead letter, with its sequence in the DEAD that was made then.
    pub fn letter(&mut self, seq: u64, at: Timestamp, incarnation: Timestamp, letter: &DeadLetter) {
        self.records += 1;
        if let Some(delivery) = letter.delivery.as_deref()
            && let Some((recorded, members)) = Recorded::of_letter(letter, delivery, at)
        {
            self.deliver(recorded, members);
        }
        self.letters
            .entry(seq)
            .or_insert_with(|| Letter::new(seq, at, incarnation, letter));
    }

    /// Takes what an act left in the DEAD that was made then.
    pub fn mark(&mut self, incarnation: Timestamp, mark: &Mark) {
        self.records += 1;
        let marked = match mark.did {
            Did::Replayed => Marked {
                replayed_at: Some(mark.at),
                discarded_at: None,
            },
            Did::Discarded => Marked {
                replayed_at: None,
                discarded_at: Some(mark.at),
            },
            Did::Intend | Did::Withdrawn | Did::Unknown => return,
        };
        for seq in &mark.seqs {
            self.marks.entry((incarnation, *seq)).or_default().join(marked);
        }
    }

    /// Takes what a stream let go of.
    pub fn gap(&mut self, gap: Gap) {
        self.gaps.insert(gap);
    }

    /// How many records it was made of.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// How many deliveries it tells of.
    pub fn deliveries(&self) -> usize {
        self.deliveries.len()
    }

    fn deliver(&mut self, recorded: Recorded, members: Vec<Member>) {
        let id = recorded.id.clone();
        self.members
            .extend(members.into_iter().map(|member| (id.clone(), member)));
        match self.deliveries.get_mut(&id) {
            Some(known) => known.join(recorded),
            None => {
                self.deliveries.insert(id, recorded);
            }
        }
    }
}

impl Letter {
    fn new(seq: u64, at: Timestamp, incarnation: Timestamp, letter: &DeadLetter) -> Self {
        let delivery = letter.delivery.as_deref();
        let accepted = delivery.and_then(|delivery| delivery.events.first());
        let org = letter.org.as_ref().map_or_else(Name::default_org, Clone::clone);
        Self {
            seq,
            incarnation,
            at,
            stage: letter.stage.as_str().to_owned(),
            reason: letter.reason.as_str().to_owned(),
            message: letter.message.clone(),
            fingerprint: letter.fingerprint.clone(),
            org: org.to_string(),
            provider: delivery.map(|delivery| delivery.provider.to_string()),
            integration: delivery.map(|delivery| delivery.integration.clone()),
            delivery: delivery.map(|delivery| delivery.id.clone()),
            generation: delivery.map(|delivery| delivery.generation),
            attempt: delivery.map_or(0, |delivery| delivery.attempt),
            event_id: accepted.map(|accepted| accepted.event.id.clone()),
            event_source: accepted.map(|accepted| accepted.event.source.clone()),
            event_type: act::type_of(letter),
            event_seq: accepted.map(|accepted| accepted.seq).or(letter.event_seq),
            first_at: letter.first_at,
            last_at: letter.last_at,
            marked: Marked::default(),
        }
    }

    /// How its delivery stands where a person gave it up: the delivery's id, and that.
    pub(super) fn given_up(&self) -> Option<(String, Standing)> {
        let attempt = (self.generation?, self.attempt);
        let standing = Standing::discarded(attempt, self.marked.discarded_at?, self.message.clone());
        Some((self.delivery.clone()?, standing))
    }
}
