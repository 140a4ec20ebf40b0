//! The dead letter of an input, whoever found that it is no event.

use signalbox_broker::{Ack, Broker, Error};
use signalbox_proto::{DeadLetter, DeadReason, Name, Stage, Timestamp, dead::Input, subjects};

use crate::{input::media_type, orgs::Orgs};

const CONTENT_TYPE: &str = "content-type";

/// An input as INGEST holds it, or one event of a batch.
pub(crate) struct Original {
    /// The subject it is stored under.
    pub(crate) subject: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) seq: u64,
    /// Which event of a batch this is, where it is one alone.
    pub(crate) index: Option<usize>,
    pub(crate) at: Timestamp,
    /// When INGEST was made: tells its sequences from those of a stream made anew.
    pub(crate) incarnation: Timestamp,
}

/// The headers of one event of a batch, with which it can be sent in again on its own.
pub(crate) fn element_headers(mut headers: Vec<(String, String)>) -> Vec<(String, String)> {
    headers.retain(|(name, _)| {
        let name = name.to_ascii_lowercase();
        // The event's id is its own; the server's headers were about the batch.
        name != CONTENT_TYPE && name != "ce-id" && !name.starts_with("nats-")
    });
    headers.push((CONTENT_TYPE.to_owned(), "application/cloudevents+json".to_owned()));
    headers
}

/// Gives an input that is one event the id that it would have had, where its producer gave none: sent in again, it is
/// that event then, however often it is refused or filed.
pub(crate) fn add_id(headers: &mut Vec<(String, String)>, body: &[u8], id: impl FnOnce() -> String) {
    let find = |wanted: &str| headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let media = find(CONTENT_TYPE).map(|(_, value)| media_type(value));
    let has_own = match media.as_deref() {
        // Each of its events has its own.
        Some("application/cloudevents-batch+json") => true,
        Some("application/cloudevents+json") => {
            serde_json::from_slice::<Attributes>(body).map_or(true, |attributes| attributes.id.is_some())
        }
        _ => find("nats-msg-id").is_some(),
    };
    if !has_own && find("ce-id").is_none() {
        headers.push(("ce-id".to_owned(), id()));
    }
}

/// What is looked for in a structured event.
#[derive(serde::Deserialize)]
struct Attributes {
    id: Option<serde::de::IgnoredAny>,
}

/// Keeps an input as a dead letter. Its id is made of its place: filed again, it is still one. Of an org that is closed
/// the letter alone is kept, and nothing of the input.
pub(crate) async fn file(
    broker: &Broker,
    orgs: &Orgs,
    original: Original,
    reason: DeadReason,
    why: &str,
) -> Result<Ack, Error> {
    let subject = subjects::given_input(&original.subject);
    if reason == DeadReason::Rejected {
        // A flood's: metrics count them, and a line for each would be a flood as well.
        tracing::debug!(nats.subject = %subject, reason = %why, "an input is refused; it is kept as a dead letter");
    } else {
        tracing::info!(nats.subject = %subject, reason = %why, "an input is no event; it is kept as a dead letter");
    }
    let org = org(&subject);
    let input = Input {
        subject,
        headers: original.headers,
        body: original.body,
    };
    let is_closed = org.as_ref().is_some_and(|org| orgs.is_closed(org));
    let mut letter = DeadLetter::of_input(Stage::Ingest, reason, why, org, input, original.at);
    if is_closed {
        letter.input = None;
    }
    let id = id(original.incarnation, original.seq, original.index, reason);
    broker.bury(&letter, &id).await
}

/// The message id of a dead letter, made of the place of its input. `index` is that in a batch.
pub(crate) fn id(incarnation: Timestamp, seq: u64, index: Option<usize>, reason: DeadReason) -> String {
    let mut stream = format!("{}@{}", subjects::INGEST, incarnation.nanos());
    if let Some(index) = index {
        stream.push_str(&format!("[{index}]"));
    }
    Broker::dead_id(&stream, seq, reason.as_str())
}

/// The tenant that a subject names, whatever is wrong with the type behind it.
pub(crate) fn org(given: &str) -> Option<Name> {
    given
        .strip_prefix(subjects::INPUT_PREFIX)?
        .split('.')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests;
