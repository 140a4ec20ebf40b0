//! What the database knows of deliveries, put to what the streams know.

use std::fmt::Display;

use signalbox_proto::{Attempt, Timestamp, digest, ledger::Final, outcome::EventRef};
use signalbox_store::history::{Entry, Member, Recorded, Status};

use super::{Stories, Story};

/// What the row of a delivery says beside its attempts.
#[derive(Clone, Debug, Default)]
pub(super) struct Recalled {
    /// How many events it has.
    events: u64,
    /// How many requests there were.
    pub(super) attempts: u64,
    /// The generation in which it stands so, and how many requests that had.
    pub(super) newest: (u32, u32),
    /// Why it ended as it did.
    pub(super) message: Option<String>,
    /// The sequence in DEAD of its newest dead letter.
    pub(super) letter: Option<u64>,
}

impl Stories<'_> {
    /// Takes a delivery as the database has it.
    pub(crate) fn recall(&mut self, row: &Recorded) {
        match attempts(row) {
            Ok((first, attempts)) => self.recall_as(row, first, attempts),
            Err(error) => tracing::error!(%error, delivery.id = row.id, "cannot read a recorded delivery"),
        }
    }

    fn recall_as(&mut self, row: &Recorded, first: EventRef, attempts: Vec<Attempt>) {
        let Ok(provider) = row.provider.parse() else { return };
        let about = row.about();
        let story = self.of(&row.id, &row.integration, &provider);
        story.accept(about.created_at);
        if story.events.is_empty() {
            story.is_digest = about.event_type == digest::EVENT_TYPE;
            story.events.push(first);
        }
        for attempt in attempts {
            story.note(attempt);
        }
        if let Some(state) = ended(row.status()) {
            story.end(row.generation(), state);
        }
        story.recalled = Some(Recalled {
            events: about.event_count,
            attempts: row.attempts(),
            newest: (row.generation(), row.attempts_of_generation()),
            message: row.error_message().map(str::to_owned),
            letter: None,
        });
        let members = story.digest_members();
        self.in_digests.extend(members);
    }

    /// Takes the members of a digest, all of them, in order.
    pub(crate) fn recall_members(&mut self, digest: &str, members: Vec<Member>) {
        let Some(story) = self.by_delivery.get_mut(digest) else {
            return;
        };
        if members.len() < story.events.len() {
            return;
        }
        let read = members.into_iter().map(event).collect::<Result<Vec<_>, _>>();
        match read {
            Ok(events) => story.events = events,
            Err(error) => tracing::error!(%error, delivery.id = digest, "cannot read the members of a digest"),
        }
        let members = story.digest_members();
        self.in_digests.extend(members);
    }

    /// Notes that a person gave up what a recorded dead letter is of.
    pub(crate) fn give_up(&mut self, delivery: &str, generation: u32) {
        if let Some(story) = self.by_delivery.get_mut(delivery) {
            story.end(generation, Final::Discarded);
        }
    }

    /// Takes the place of a dead letter of a delivery.
    pub(crate) fn recall_letter(&mut self, delivery: &str, seq: u64) {
        let story = self.by_delivery.get_mut(delivery);
        if let Some(recalled) = story.and_then(|story| story.recalled.as_mut()) {
            recalled.letter = recalled.letter.max(Some(seq));
        }
    }
}

impl Story {
    /// Notes when its first event was accepted. One that was accepted a second time, after the server forgot its id,
    /// owes the same delivery: the earlier acceptance counts, as it does in the database.
    pub(super) fn accept(&mut self, at: Timestamp) {
        self.accepted_at = Some(self.accepted_at.map_or(at, |known| known.min(at)));
    }

    /// The newest generation that the database knows, and how many requests that had at the least.
    pub(crate) fn recalled_attempts(&self) -> Option<(u32, u32)> {
        self.recalled.as_ref().map(|recalled| recalled.newest)
    }

    /// Whether it is a digest of which not all members are known.
    pub(crate) fn lacks_members(&self) -> bool {
        let has = self.events.len() as u64;
        self.is_digest
            && self
                .recalled
                .as_ref()
                .is_some_and(|recalled| recalled.events > has || has == 1)
    }

    /// Whether the database may know of a dead letter that nobody read yet.
    pub(crate) fn lacks_letter(&self) -> bool {
        let ended = self.ended.map(|row| row.state);
        self.recalled.is_some()
            && self.dead.is_empty()
            && (self.generation() > 0 || ended.is_some_and(|state| state != Final::Delivered))
    }
}

/// The first event of a row, and its attempts.
fn attempts(row: &Recorded) -> Result<(EventRef, Vec<Attempt>), String> {
    let about = row.about();
    let first = EventRef {
        id: about.event_id.clone(),
        source: about.event_source.clone(),
        event_type: read("event_type", &about.event_type)?,
        seq: about.event_seq,
        accepted_at: about.created_at,
        matched: 0,
    };
    let org = read("org", &row.org)?;
    let provider = read("provider", &row.provider)?;
    let attempt = |entry: &Entry| Attempt {
        delivery: row.id.clone(),
        generation: entry.generation,
        attempt: entry.attempt,
        org: Clone::clone(&org),
        provider: Clone::clone(&provider),
        integration: row.integration.clone(),
        events: vec![first.clone()],
        at: entry.at,
        duration_ms: entry.duration_ms,
        outcome: entry.outcome,
        response_code: entry.response_code,
        response_body: entry.response_body.clone(),
        error_message: entry.error_message.clone(),
        next: entry.next,
        next_at: entry.next_at,
    };
    let attempts = row.history().entries().iter().map(attempt).collect();
    Ok((first.clone(), attempts))
}

fn event(member: Member) -> Result<EventRef, String> {
    Ok(EventRef {
        event_type: read("event_type", &member.event_type)?,
        id: member.event_id,
        source: member.event_source,
        seq: member.event_seq,
        accepted_at: member.created_at,
        matched: 0,
    })
}

fn read<T: std::str::FromStr<Err: Display>>(column: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("column {column}: {error}"))
}

/// The end that a status stands for, if it is one.
const fn ended(status: Status) -> Option<Final> {
    match status {
        Status::Delivered => Some(Final::Delivered),
        Status::Discarded => Some(Final::Discarded),
        Status::Dead => Some(Final::Dead),
        Status::Expired => Some(Final::Expired),
        Status::Retrying | Status::Parked | Status::Unknown => None,
    }
}
