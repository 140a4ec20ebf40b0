//! `Idempotency-Key`: a request that comes again is answered as the first one was, and nothing is stored twice.
//!
//! Before the events of a request are stored, a record with a hash of the request is written under its key, and once
//! all are stored, their ids are added to it. Events that came without ids have such as follow from the record and
//! their places, so another try gives them the same. A record without ids is of one who is at work, or who did not
//! come to the end: after its time the next request takes over, looks up which of the events EVENTS holds, and stores
//! the others.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;
use signalbox_broker::{
    Broker, Error,
    idempotency::{Known, Search},
};
use signalbox_proto::{Name, Timestamp, hash, idempotency::Record, subjects};
use signalbox_runtime::Problem;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Ready, problem};
use crate::input::Headers;

/// The header, and the field that problems name.
const HEADER: &str = "idempotency-key";
/// The longest key.
const KEY_BYTES_MAX: usize = 255;
/// Bodies larger than this are hashed on a thread of their own.
const HASHED_HERE_BYTES_MAX: usize = 512 * 1024;
/// How long looking for the events of earlier tries may take. It ends as soon as all are found.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the note that all is stored may hold up the answer. Without it the next request takes over.
const NOTE_TIMEOUT: Duration = Duration::from_secs(2);
/// What a holder has beyond the time for storing: for the note, and for clocks that differ.
const HOLD_SLACK: Duration = Duration::from_secs(5);
/// Seconds after which a repeat is asked to come again. Most requests end within one.
const RETRY_AFTER_SECS: u32 = 1;
/// The bits of an id that are the place of its event in the request.
const PLACE_MASK: u128 = 0xffff;

/// The key of a request, if it has one: without the quotes that the header's specification puts around it.
pub(super) fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = value.to_str().ok().filter(|_| values.next().is_none()).map(unquoted);
    let is_key =
        |key: &&str| (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    match key.filter(is_key) {
        Some(key) => Ok(Some(key.to_owned())),
        None => {
            let detail = format!("give one key of 1 to {KEY_BYTES_MAX} visible ASCII characters");
            Err(Problem::new(StatusCode::BAD_REQUEST, "invalid", detail).field(HEADER))
        }
    }
}

fn unquoted(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or(value)
}

/// A hash of what makes a request the same one: org, content type, `ce-` headers and body. A trace context is not of
/// it, as each try may have its own.
async fn fingerprint(org: &Name, headers: &HeaderMap, body: &Bytes) -> Result<String, Problem> {
    let content_type = Headers::get(headers, "content-type").unwrap_or_default().to_owned();
    let mut attributes: Vec<_> = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("ce-"))
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    attributes.sort_unstable();
    // No name holds a colon, and no value a line's end.
    let attributes: Vec<u8> = attributes
        .iter()
        .flat_map(|(name, value)| [name.as_bytes(), b":", value, b"\n"].concat())
        .collect();
    let (org, body) = (org.clone(), body.clone());
    let is_large = body.len() > HASHED_HERE_BYTES_MAX;
    let hashed = move || hash::parts([org.as_str().as_bytes(), content_type.as_bytes(), &attributes, &body]);
    if !is_large {
        return Ok(hashed());
    }
    tokio::task::spawn_blocking(hashed).await.map_err(|error| {
        tracing::error!(%error, "a large body could not be hashed");
        Problem::internal()
    })
}

/// What a request with a key is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// Answer with these ids: all is stored.
    Done(Vec<String>),
    /// Give up: the key is of another request.
    Reused,
    /// Come again: another try is at work.
    UnderWay,
    /// Store the events, once this record is written at this revision.
    Free { record: Record, revision: u64 },
}

/// Decides by what is known of a key. `seed` is for a key that is new.
fn standing(known: Option<Known>, request: &str, seed: Uuid, now: Timestamp, hold_ms: u32) -> Standing {
    let Some(Known { record, revision, at }) = known else {
        let record = Record {
            request: request.to_owned(),
            seed: seed.to_string(),
            hold_ms,
            tries: Vec::new(),
            ids: None,
        };
        return Standing::Free { record, revision: 0 };
    };
    if record.request != request {
        return Standing::Reused;
    }
    if let Some(ids) = record.ids {
        return Standing::Done(ids);
    }
    if now.since(at) < Duration::from_millis(record.hold_ms.into()) {
        return Standing::UnderWay;
    }
    let record = record.taken_over(at, now, hold_ms);
    Standing::Free { record, revision }
}

/// The id of an event that came without one, by its place in the request.
fn event_id(seed: Uuid, place: usize) -> String {
    Uuid::from_u128(seed.as_u128() & !PLACE_MASK | place as u128 & PLACE_MASK).to_string()
}

/// What became of looking up a key.
pub(super) enum Look {
    /// All is stored, under these ids.
    Done(Vec<String>),
    /// The events are to be stored under this claim.
    Claim(Claim),
}

/// The right to store the events of a request. It holds once it is written.
pub(super) struct Claim {
    broker: Broker,
    timeout: Duration,
    key: String,
    seed: Uuid,
    record: Record,
    revision: u64,
    /// Before which nothing was stored under it.
    written: Timestamp,
}

impl Claim {
    /// Looks up a key. `timeout` is how long storing the events may take, and each request to the bucket.
    pub(super) async fn look(
        broker: &Broker,
        org: &Name,
        key: &str,
        headers: &HeaderMap,
        body: &Bytes,
        timeout: Duration,
    ) -> Result<Look, Problem> {
        let request = fingerprint(org, headers, body).await?;
        let key = subjects::idempotency_key(org, &hash::parts([key.as_bytes()]));
        let known = in_time(timeout, broker.idempotency(&key)).await?.map_err(unavailable)?;
        let hold_ms = u32::try_from((timeout + HOLD_SLACK).as_millis()).unwrap_or(u32::MAX);
        match standing(known, &request, Uuid::now_v7(), Timestamp::now(), hold_ms) {
            Standing::Done(ids) => Ok(Look::Done(ids)),
            Standing::Reused => Err(reused()),
            Standing::UnderWay => Err(under_way()),
            Standing::Free { record, revision } => {
                let seed = record.seed.parse().map_err(|error| {
                    tracing::error!(%error, key, "a record of an idempotency key has no readable seed");
                    Problem::internal()
                })?;
                Ok(Look::Claim(Self {
                    broker: broker.clone(),
                    timeout,
                    key,
                    seed,
                    record,
                    revision,
                    written: Timestamp::now(),
                }))
            }
        }
    }

    /// The id of an event that came without one.
    pub(super) fn event_id(&self, place: usize) -> String {
        event_id(self.seed, place)
    }

    /// Whether another try may have stored some of the events.
    pub(super) fn is_taken_over(&self) -> bool {
        !self.record.tries.is_empty()
    }

    /// Takes out the events that earlier tries have stored. EVENTS itself knows a repeat for some minutes only.
    pub(super) async fn keep_missing(&self, org: &Name, ready: &mut Vec<Ready>) -> Result<(), Problem> {
        if !self.is_taken_over() {
            return Ok(());
        }
        let wanted: Vec<_> = ready.iter().map(|one| &one.publish).collect();
        let search = self.broker.search_events(org, &wanted, &self.record.tries);
        match in_time(SEARCH_TIMEOUT, search).await?.map_err(unavailable)? {
            Search::Found(found) => {
                let is_found = |id: &Option<String>| id.as_ref().is_some_and(|id| found.contains(id));
                ready.retain(|one| !is_found(&one.publish.id));
                Ok(())
            }
            Search::TooOld => Err(unknown()),
        }
    }

    /// Writes the claim; from here on until its time is over nobody else stores these events. Answers how long storing
    /// them may take.
    pub(super) async fn write(&mut self) -> Result<Duration, Problem> {
        let until = Instant::now() + self.timeout;
        self.written = Timestamp::now();
        let writing = self.broker.set_idempotency(&self.key, &self.record, self.revision);
        match in_time(self.timeout, writing).await? {
            Ok(revision) => self.revision = revision,
            // Whoever was quicker is at work or done; which of the two the next request is told.
            Err(Error::Conflict { .. }) => return Err(under_way()),
            Err(error) => return Err(unavailable(error)),
        }
        Ok(until.saturating_duration_since(Instant::now()))
    }

    /// Notes that all is stored. Where this fails the next request finds it out by itself.
    pub(super) async fn done(self, ids: &[String]) {
        let record = self.record.done(ids.to_vec());
        self.note(record).await;
    }

    /// Lets the next request take over at once: the server has said no, so nothing of this one is under way.
    pub(super) async fn give_up(self) {
        // A part of a list may be stored since the claim was written.
        let record = self.record.taken_over(self.written, Timestamp::now(), 0);
        self.note(record).await;
    }

    async fn note(self, record: Record) {
        let noting = self.broker.set_idempotency(&self.key, &record, self.revision);
        match tokio::time::timeout(NOTE_TIMEOUT, noting).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot note what became of a request with an idempotency key"),
            Err(_) => tracing::warn!("cannot note in time what became of a request with an idempotency key"),
        }
    }
}

async fn in_time<T>(timeout: Duration, work: impl Future<Output = T>) -> Result<T, Problem> {
    tokio::time::timeout(timeout, work).await.map_err(|_| {
        tracing::warn!("idempotency keys do not answer in time");
        keys_unavailable()
    })
}

fn unavailable(error: Error) -> Problem {
    if error.is_transient() {
        tracing::warn!(%error, "idempotency keys cannot be read or written");
        return keys_unavailable();
    }
    tracing::error!(%error, "idempotency keys cannot be read or written");
    Problem::internal()
}

fn keys_unavailable() -> Problem {
    let detail = "idempotency keys cannot be read or written just now: send the same again with the same key";
    Problem::unavailable(detail, problem::RETRY_AFTER_SECS)
}

fn reused() -> Problem {
    let detail = "this key came with another request within a day: give each request a key of its own";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail).field(HEADER)
}

fn under_way() -> Problem {
    let detail = "a request with this key is under way, or broke off a moment ago: send the same again in a moment";
    Problem::new(StatusCode::CONFLICT, "idempotency_in_progress", detail)
        .field(HEADER)
        .header(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECS))
}

fn unknown() -> Problem {
    let detail = "an earlier try did not come to its end, and the events of that time are kept no more: whether it \
                  stored its events cannot be told; to store them again give another key";
    Problem::new(StatusCode::CONFLICT, "idempotency_unknown", detail).field(HEADER)
}

#[cfg(test)]
mod tests;
