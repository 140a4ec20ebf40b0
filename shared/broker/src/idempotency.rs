//! The bucket IDEMPOTENCY: what was done under an `Idempotency-Key`, and which of its events EVENTS holds.
//!
//! What the records mean is decided by who takes requests in.

use std::{collections::BTreeSet, time::Duration};

use async_nats::{
    header::NATS_MESSAGE_ID,
    jetstream::{kv::Operation, stream::Stream},
};
use signalbox_proto::{
    Name, Timestamp,
    idempotency::{Record, Try},
    subjects, wire,
};

use crate::{
    Broker, Error, Publish, Puller,
    topology::{Consumer, From},
};

/// How long a key is remembered after its last change.
pub const REMEMBERED: Duration = Duration::from_secs(24 * 3_600);
/// How far the clocks of servers may be apart, and a publish late.
const MARGIN: Duration = Duration::from_secs(30);
/// Subjects that a search names; for more it reads all of the org.
const SUBJECTS_MAX: usize = 16;
/// Messages asked for at a time, of which only the headers come.
const BATCH: usize = 1_000;

/// A record as the bucket holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The record.
    pub record: Record,
    /// The revision under which it may be replaced.
    pub revision: u64,
    /// When it was written, by the server's clock.
    pub at: Timestamp,
}

/// What a search for events has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// These message ids are stored, and the others are not.
    Found(BTreeSet<String>),
    /// EVENTS has let go of some of what was stored then.
    TooOld,
}

impl Broker {
    /// What is known of a key. On several servers it may be a moment behind; writing on condition tells.
    pub async fn idempotency(&self, key: &str) -> Result<Option<Known>, Error> {
        let store = self.bucket(subjects::IDEMPOTENCY).await?;
        let entry = store.entry(key).await.map_err(|error| Error::Kv {
            what: "read an idempotency key".into(),
            bucket: subjects::IDEMPOTENCY,
            reason: error.to_string(),
        })?;
        match entry {
            Some(entry) if entry.operation == Operation::Put => Ok(Some(Known {
                record: wire::decode(&entry.value)?,
                revision: entry.revision,
                at: entry.created.into(),
            })),
            _ => Ok(None),
        }
    }

    /// Writes a record where the key is at this revision (0: unknown); [`Error::Conflict`] where it moved on.
    pub async fn set_idempotency(&self, key: &str, record: &Record, revision: u64) -> Result<u64, Error> {
        self.update(subjects::IDEMPOTENCY, key, record, revision).await
    }

    /// Which of these events EVENTS has stored in one of these times.
    pub async fn search_events(&self, org: &Name, wanted: &[&Publish], tries: &[Try]) -> Result<Search, Error> {
        let mut found = BTreeSet::new();
        let Some(first) = tries.iter().map(|span| span.from).min() else {
            return Ok(Search::Found(found));
        };
        if self.events_let_go_since(first - MARGIN).await? {
            return Ok(Search::TooOld);
        }
        let ids: BTreeSet<&str> = wanted.iter().filter_map(|publish| publish.id.as_deref()).collect();
        let mut filters: BTreeSet<String> = wanted.iter().map(|publish| publish.subject.to_string()).collect();
        if filters.len() > SUBJECTS_MAX {
            filters = BTreeSet::from([subjects::events_of(org, None)]);
        }
        for span in tries {
            let filters = filters.iter().cloned().collect();
            self.search(subjects::EVENTS, filters, &ids, *span, &mut found).await?;
        }
        Ok(Search::Found(found))
    }

    /// Which of these message ids a stream has stored since a time, if its duplicate window does not reach back so far:
    /// the stream would store them again. None where it does, as the stream knows them by itself then.
    pub async fn search_forgotten(
        &self,
        stream: &str,
        filter: String,
        ids: &BTreeSet<String>,
        since: Timestamp,
    ) -> Result<BTreeSet<String>, Error> {
        let mut found = BTreeSet::new();
        let now = Timestamp::now();
        if ids.is_empty() || now.since(since) + MARGIN < self.duplicate_window(stream).await? {
            return Ok(found);
        }
        let ids = ids.iter().map(String::as_str).collect();
        let span = Try {
            from: since,
            until: now,
        };
        self.search(stream, vec![filter], &ids, span, &mut found).await?;
        Ok(found)
    }

    async fn search(
        &self,
        stream: &str,
        filters: Vec<String>,
        ids: &BTreeSet<&str>,
        span: Try,
        found: &mut BTreeSet<String>,
    ) -> Result<(), Error> {
        let from = From::Time(span.from - MARGIN);
        let consumer = Consumer::follow(self, stream, filters, from).headers_only();
        let mut puller = Puller::open(self, consumer).await?;
        while found.len() < ids.len()
            && let Some(message) = puller.next_left(BATCH).await
            && message.place.at <= span.until + MARGIN
        {
            if let Some(id) = message.header(NATS_MESSAGE_ID.as_ref()).and_then(|id| ids.get(id)) {
                found.insert((*id).to_owned());
            }
        }
        puller.close().await;
        Ok(())
    }

    async fn duplicate_window(&self, stream: &str) -> Result<Duration, Error> {
        Ok(self.stream(stream).await?.cached_info().config.duplicate_window)
    }

    async fn stream(&self, name: &str) -> Result<Stream, Error> {
        self.jetstream().get_stream(name).await.map_err(|error| Error::Request {
            what: format!("stream {name}"),
            reason: error.to_string(),
        })
    }

    /// Whether EVENTS may have let go of something that it stored at or after this time.
    async fn events_let_go_since(&self, time: Timestamp) -> Result<bool, Error> {
        let stream = self.stream(subjects::EVENTS).await?;
        let state = &stream.cached_info().state;
        let begins_late = state.messages == 0 || Timestamp::from(state.first_timestamp) > time;
        Ok(state.first_sequence > 1 && begins_late)
    }
}
