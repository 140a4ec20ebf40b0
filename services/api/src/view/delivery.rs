//! Deliveries and attempts as answers show them.

use serde::Serialize;
use signalbox_proto::{
    Attempt, Name, Timestamp,
    outcome::{Next, OutcomeKind},
};
use utoipa::ToSchema;

use super::letter::Note;
use crate::schema;

/// One event, or digest of events, owed to one integration.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Delivery {
    /// The same in every attempt
    #[schema(value_type = schema::DeliveryId)]
    pub(crate) id: String,
    pub(crate) integration_id: String,
    /// The integration's name, as long as it is known
    #[schema(value_type = Option<schema::Name>)]
    pub(crate) integration: Option<Name>,
    pub(crate) provider: String,
    /// Of a digest the first
    pub(crate) event_id: Option<String>,
    #[schema(value_type = Option<schema::EventTypeName>)]
    pub(crate) event_type: Option<String>,
    /// The ids of the events of a digest
    pub(crate) event_ids: Option<Vec<String>>,
    #[schema(value_type = schema::DeliveryStatus)]
    pub(crate) status: &'static str,
    #[schema(value_type = Option<schema::WaitingFor>)]
    pub(crate) waiting_for: Option<&'static str>,
    /// 0, and a higher one at each replay
    pub(crate) generation: u32,
    /// How many requests were sent
    pub(crate) attempts: u64,
    #[schema(value_type = Option<schema::Time>)]
    pub(crate) last_attempt_at: Option<Timestamp>,
    #[schema(value_type = Option<schema::Time>)]
    pub(crate) next_attempt_at: Option<Timestamp>,
    pub(crate) response_code: Option<u16>,
    /// The first bytes of the last answer
    pub(crate) response_body: Option<String>,
    pub(crate) error_message: Option<String>,
    #[schema(value_type = Option<schema::DeadLetterId>)]
    pub(crate) dead_letter_id: Option<String>,
    #[schema(value_type = Option<schema::Time>)]
    pub(crate) created_at: Option<Timestamp>,
}

/// A delivery with its history.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DeliveryInFull)]
pub(crate) struct InFull {
    #[serde(flatten)]
    pub(crate) delivery: Delivery,
    /// Why it stands as it does
    pub(crate) why: String,
    /// What comes next
    pub(crate) next: String,
    #[schema(value_type = Option<schema::Time>)]
    pub(crate) expires_at: Option<Timestamp>,
    #[schema(value_type = Vec<schema::AttemptInHistory>)]
    pub(crate) history: Vec<Try>,
    /// Whether the database was read; without it this is what the streams still hold
    pub(crate) recorded: bool,
}

/// An attempt as histories and tails show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) generation: u32,
    pub(crate) attempt: u32,
    pub(crate) at: Timestamp,
    pub(crate) duration_ms: u32,
    pub(crate) outcome: Option<OutcomeKind>,
    pub(crate) response_code: Option<u16>,
    pub(crate) response_body: String,
    pub(crate) error_message: Option<String>,
    pub(crate) next: &'static str,
    pub(crate) next_at: Option<Timestamp>,
}

/// One entry of a history.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Try {
    /// As OUTCOMES or the database has it.
    Recorded(Entry),
    /// As it travels with the delivery, where neither of these has it.
    Noted(Note),
}

/// An attempt as histories and tails show it.
pub(crate) fn entry(attempt: &Attempt) -> Entry {
    Entry {
        generation: attempt.generation,
        attempt: attempt.attempt,
        at: attempt.at,
        duration_ms: attempt.duration_ms,
        outcome: attempt.outcome,
        response_code: attempt.response_code,
        response_body: attempt.response_body.clone(),
        error_message: attempt.error_message.clone(),
        next: next_word(attempt.next),
        next_at: attempt.next_at,
    }
}

/// What happens next after an attempt, in a word.
pub(crate) fn next_word(next: Next) -> &'static str {
    match next {
        Next::Final(state) => state.as_str(),
        Next::Retrying => "retrying",
        Next::Parked => "parked",
        Next::Unknown => "unknown",
    }
}
