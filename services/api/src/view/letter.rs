//! Dead letters as answers show them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use signalbox_proto::{DeadReason, Delivery, Name, Stage, Timestamp, delivery, outcome::OutcomeKind};
use utoipa::ToSchema;

use super::event::{self, Event};
use crate::schema;

/// A delivery, or a rejected input, that Signalbox stopped trying.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetter {
    #[schema(value_type = schema::DeadLetterId)]
    pub(crate) id: String,
    #[schema(value_type = schema::Stage)]
    pub(crate) stage: Stage,
    #[schema(value_type = schema::DeadReason)]
    pub(crate) reason: DeadReason,
    /// Why, in words
    pub(crate) message: String,
    /// The same for like errors
    pub(crate) fingerprint: String,
    /// Null where an input named no valid org
    #[schema(value_type = Option<schema::Name>)]
    pub(crate) org: Option<Name>,
    #[schema(value_type = Option<schema::Name>)]
    pub(crate) provider: Option<Name>,
    pub(crate) integration_id: Option<String>,
    /// The event; of a digest the first
    pub(crate) event: Option<Event>,
    /// The ids of the events of a digest
    pub(crate) event_ids: Option<Vec<String>>,
    /// The bytes of a rejected input
    pub(crate) input_base64: Option<String>,
    pub(crate) delivery_id: Option<String>,
    pub(crate) attempts: Vec<Note>,
    #[schema(value_type = schema::Time)]
    pub(crate) first_at: Timestamp,
    #[schema(value_type = schema::Time)]
    pub(crate) last_at: Timestamp,
    #[schema(value_type = Option<schema::Time>)]
    pub(crate) replayed_at: Option<Timestamp>,
    #[schema(value_type = Option<schema::Time>)]
    pub(crate) discarded_at: Option<Timestamp>,
    /// Whether DEAD still has it: without that there is no event and no input to be replayed
    pub(crate) kept: bool,
}

/// One attempt of a dead letter or of a delivery that waits.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AttemptNote)]
pub(crate) struct Note {
    #[schema(value_type = schema::Time)]
    pub(crate) at: Timestamp,
    #[schema(value_type = schema::OutcomeWord)]
    pub(crate) outcome: OutcomeKind,
    /// The status of the answer, if there was one
    pub(crate) response_code: Option<u16>,
    pub(crate) error_message: Option<String>,
}

/// A dead letter with what was done to it since.
pub(crate) fn dead_letter(
    seq: u64,
    letter: &signalbox_proto::DeadLetter,
    replayed_at: Option<Timestamp>,
    discarded_at: Option<Timestamp>,
) -> DeadLetter {
    let delivery = letter.delivery.as_deref();
    let notes = delivery.into_iter().flat_map(|delivery| &delivery.notes);
    DeadLetter {
        id: signalbox_broker::browse::dead_letter_id(seq),
        stage: letter.stage,
        reason: letter.reason,
        message: letter.message.clone(),
        fingerprint: letter.fingerprint.clone(),
        org: letter.org.clone(),
        provider: delivery.map(|delivery| delivery.provider.clone()),
        integration_id: delivery.map(|delivery| delivery.integration.clone()),
        event: delivery
            .and_then(|delivery| delivery.events.first())
            .map(event::accepted),
        event_ids: delivery.filter(|delivery| delivery.is_digest()).map(members),
        input_base64: letter.input.as_ref().map(|input| STANDARD.encode(&input.body)),
        delivery_id: delivery.map(|delivery| delivery.id.clone()),
        attempts: notes.map(note).collect(),
        first_at: letter.first_at,
        last_at: letter.last_at,
        replayed_at,
        discarded_at,
        kept: true,
    }
}

/// One attempt.
pub(crate) fn note(note: &delivery::Note) -> Note {
    Note {
        at: note.at,
        outcome: note.outcome,
        response_code: note.response_code,
        error_message: note.error_message.clone(),
    }
}

/// The ids of the events of a digest.
fn members(delivery: &Delivery) -> Vec<String> {
    let ids = delivery.events.iter().map(|accepted| accepted.event.id.clone());
    ids.collect()
}
