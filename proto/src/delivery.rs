//! One event, or a digest of events, owed to one integration.

use serde::{Deserialize, Serialize};

use crate::{Accepted, Lane, Name, Timestamp, hash, outcome::OutcomeKind};

/// Attempts kept in the envelope, and so in a dead letter: the first and the newest.
pub const NOTES_MAX: usize = 20;
/// Bytes kept of a note's message; with the rest of it at most 1 KiB.
const NOTE_TEXT_BYTES_MAX: usize = 900;
/// Largest envelope, in bytes: the event bound twice and room for what the hops add. A quarter of
/// `max_payload` is the event's; this leaves the rest to headers.
pub const ENVELOPE_BYTES_MAX: usize = 768 * 1024;

/// The envelope in which a delivery travels from stream to stream.
///
/// What a hop needs to derive the next hop's message id is in the envelope alone, so that a
/// redelivery repeats the same hop and a repeated publish is known by the server as a repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The same in every attempt and generation: see [`id`].
    pub id: String,
    /// The tenant.
    pub org: Name,
    /// The kind of target.
    pub provider: Name,
    /// The integration's id.
    pub integration: String,
    /// The revision of the integration that the router knew.
    pub revision: u64,
    /// 0, a higher one at each replay: see [`crate::act::generation`].
    #[serde(default)]
    pub generation: u32,
    /// One more at each publish of this delivery to any stream.
    #[serde(default)]
    pub hop: u32,
    /// How many attempts have sent a request in this generation.
    #[serde(default)]
    pub attempt: u32,
    /// How many steps of the retry schedule are used up.
    #[serde(default)]
    pub retries: u32,
    /// The lane it came in by and goes back to.
    #[serde(default)]
    pub lane: Lane,
    /// The events: one, or the members of a digest in order.
    pub events: Vec<Accepted>,
    /// How many integrations the event matched. 1 in a replay; of a digest see `matched_each`.
    #[serde(default)]
    pub matched: u32,
    /// Whether it is a digest, of one event too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub digest: bool,
    /// How many integrations each event of a digest matched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matched_each: Vec<u32>,
    /// The token of its key, where it goes in the order of its key: see [`order_key`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_key: Option<String>,
    /// For this hop alone: the time at which a request was taken from the rate limit for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid: Option<Timestamp>,
    /// Expiry counts from here: acceptance, or the time of the replay.
    pub since: Timestamp,
    /// When the present hop is to be handled; `None` at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// What happened so far: the first attempt and the newest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// The `suspend` answers in a row that this delivery met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspends: Option<Suspends>,
    /// Whether it goes to its target although the integration is suspended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub probe: bool,
    /// A verdict already reached that could not be filed: the target is not called again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filed: Option<Unfiled>,
    /// Of the first of a key, in ORDERED alone: it has died, and those behind it wait for a person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// Of one that holds its key: the sequence in DEAD of its dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letter: Option<u64>,
    /// How far the attempts before have come, where the next one is not to begin from the first request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// The replay that sent it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<String>,
    /// The sequence in DEAD of the dead letter that was replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<u64>,
}

/// One attempt as a dead letter keeps it, at most 1 KiB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When the request began.
    pub at: Timestamp,
    /// What the answer meant.
    pub outcome: OutcomeKind,
    /// The status of the answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_code: Option<u16>,
    /// What an owner may see of why it was not delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}

/// `suspend` answers in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspends {
    /// How many.
    pub count: u32,
    /// When the first of them came.
    pub since: Timestamp,
}

/// A verdict that DEAD or OUTCOMES refused to take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfiled {
    /// The record for OUTCOMES, encoded as in [`crate::outcome::Batch`].
    pub record: serde_bytes::ByteBuf,
    /// The dead letter for DEAD, its reason and message, where there is to be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead: Option<(crate::DeadReason, String)>,
}

/// How far the attempts of a delivery have come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The revision of the integration that [`Self::steps`] were taken for. For another one they may mean something else.
    #[serde(default)]
    pub revision: u64,
    /// The finished steps, in their order, of a provider that sends several requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepDone>,
    /// Whether its events are in the totals of a provider that counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub counted: bool,
}

/// A finished step: what the target answered, so that a later attempt goes on behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepDone {
    /// The status of the answer.
    pub status: u16,
    /// The first bytes of the answer, without secrets.
    #[serde(with = "serde_bytes", default)]
    pub body: Vec<u8>,
}

/// The id of what this event owes to this integration.
pub fn id(event_key: &str, integration: &str) -> String {
    hash::parts([event_key.as_bytes(), integration.as_bytes()])
}

/// The token of an order key: keys are any text, and tokens of subjects are not.
pub fn order_key(integration: &str, key: &str) -> String {
    hash::parts([b"order", integration.as_bytes(), key.as_bytes()])
}

/// The id of the digest that begins with this delivery of an event, of the members between these sequences of BATCH.
///
/// The sequences tell it from another digest that begins with the same delivery, should a router bring one twice, or
/// a keeper that stood still fix what another has sent a part of: a receiver that knows repeats by their id must not
/// take the second for the first.
pub fn digest_id(first: &str, (from, to): (u64, u64)) -> String {
    hash::parts([b"digest", first.as_bytes(), &from.to_be_bytes(), &to.to_be_bytes()])
}

impl Delivery {
    /// How many integrations the event at this place matched.
    pub fn matched_of(&self, index: usize) -> u32 {
        self.matched_each.get(index).copied().unwrap_or(self.matched)
    }

    /// The delivery of one event as the router first publishes it.
    pub fn first(event: Accepted, integration: &str, provider: &Name, revision: u64, matched: u32) -> Self {
        Self {
            id: id(&event.event.key(), integration),
            org: event.event.org.clone(),
            provider: provider.clone(),
            integration: integration.to_owned(),
            revision,
            generation: 0,
            hop: 0,
            attempt: 0,
            retries: 0,
            lane: Lane::Live,
            since: event.at,
            events: vec![event],
            matched,
            digest: false,
            matched_each: Vec::new(),
            order_key: None,
            paid: None,
            due: None,
            notes: Vec::new(),
            suspends: None,
            probe: false,
            filed: None,
            held: false,
            letter: None,
            progress: None,
            replay: None,
            replay_of: None,
        }
    }

    /// The first event: the only one but in a digest.
    pub fn event(&self) -> &Accepted {
        self.events
            .first()
            .expect("wire::decode refuses a delivery without an event")
    }

    /// The message id of the present hop.
    pub fn hop_id(&self) -> String {
        hash::encode(self.hop_digest())
    }

    /// The 128 bits behind [`Delivery::hop_id`], for tables in memory.
    pub fn hop_digest(&self) -> [u8; 16] {
        hash::digest([
            self.id.as_bytes(),
            &self.generation.to_be_bytes(),
            &self.hop.to_be_bytes(),
        ])
    }

    /// The same delivery one hop further on. Every publish of a delivery begins here.
    #[must_use]
    pub fn next_hop(&self) -> Self {
        Self {
            hop: self.hop.saturating_add(1),
            due: None,
            paid: None,
            ..self.clone()
        }
    }

    /// Remembers an attempt: the first stays, of the others the newest.
    pub fn note(&mut self, mut note: Note) {
        note.error_message = note
            .error_message
            .map(|text| crate::fingerprint::cut_bytes(&text, NOTE_TEXT_BYTES_MAX));
        if self.notes.len() >= NOTES_MAX {
            self.notes.remove(1);
        }
        self.notes.push(note);
    }
}

#[cfg(test)]
mod tests;
