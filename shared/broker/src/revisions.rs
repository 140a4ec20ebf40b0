//! Copies of what SQL holds, put into a bucket so that none ever goes back to a lower revision.
//!
//! Whoever changes something commits it first and puts the copy afterwards. A process may stand still in between while
//! another one changes the same thing again; what it puts then is older than what is there, and is passed by. The
//! revision is the field `revision` of the value. What is removed leaves a marker with its revision too: a late put of
//! what was there before does not bring it back.
//!
//! Who puts an older backup of SQL back counts up to revisions that are here already, and means something else by them.
//! So of equal revisions the contents are compared: what differs stays, and is said.

use std::{collections::BTreeMap, ops::ControlFlow, time::Duration};

use async_nats::{HeaderMap, jetstream::stream::RawMessageErrorKind};
use bytes::Bytes;
use serde::Deserialize;
use signalbox_proto::{told::Told, wire};

use crate::{Broker, Error, Message, Publish, PublishError, topology::From};

/// The header of a marker that says at which revision its value was removed.
const REVISION: &str = "Signalbox-Revision";
/// The headers by which the server's other clients know a marker, and what it does to the values before it.
const OPERATION: &str = "KV-Operation";
const PURGE: &str = "PURGE";
const ROLLUP: (&str, &str) = ("Nats-Rollup", "sub");
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";
/// Tries of one put: each that fails has met another writer of the same key.
const TRIES_MAX: usize = 8;
/// How long one try may take.
const TRY_MAX: Duration = Duration::from_secs(5);

/// What became of a copy that was to be put or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is there now.
    Written,
    /// What is there is as new or newer, and stays.
    Known {
        /// Its revision.
        revision: u64,
    },
    /// What is there has the same revision and says something else. It stays: which of the two counts is not known here.
    Differs {
        /// The revision of both.
        revision: u64,
    },
}

/// What a key of a bucket holds, as far as it concerns putting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The revision of the value, or at which it was removed; 0 where a version wrote it that did not count.
    pub revision: u64,
    /// Whether it was removed.
    pub is_gone: bool,
}

/// What a key of a bucket holds, with what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Its revision.
    pub held: Held,
    /// Its [`Told::content`]; `None` where it was removed, or this version cannot read it.
    pub content: Option<[u8; 16]>,
}

/// The part of a value that all have that are put here.
#[derive(Deserialize)]
struct Revised {
    #[serde(default)]
    revision: u64,
}

impl Broker {
    /// Puts a value of this revision, unless what is there is as new or newer. `revision` is what the value's field of
    /// that name says.
    ///
    /// [`Error::Conflict`] where others wrote the key again and again meanwhile.
    pub async fn put_newer<T: Told>(
        &self,
        bucket: &'static str,
        key: &str,
        value: &T,
        revision: u64,
    ) -> Result<Put, Error> {
        let body = Bytes::from(wire::encode(value)?);
        let wanted = value.content()?;
        let says_it = |held: &[u8]| held == body || content::<T>(held) == Some(wanted);
        self.replace_older(bucket, key, revision, Vec::new(), &body, says_it)
            .await
    }

    /// Removes a value at this revision, unless what is there is as new or newer. What was never there is marked as
    /// removed too.
    pub async fn remove_older(&self, bucket: &'static str, key: &str, revision: u64) -> Result<Put, Error> {
        let headers = vec![
            (OPERATION, PURGE.to_owned()),
            (ROLLUP.0, ROLLUP.1.to_owned()),
            (REVISION, revision.to_string()),
        ];
        self.replace_older(bucket, key, revision, headers, &Bytes::new(), <[u8]>::is_empty)
            .await
    }

    async fn replace_older(
        &self,
        bucket: &'static str,
        key: &str,
        revision: u64,
        headers: Vec<(&'static str, String)>,
        body: &Bytes,
        says_it: impl Fn(&[u8]) -> bool,
    ) -> Result<Put, Error> {
        let is_removal = body.is_empty();
        let subject = format!("$KV.{bucket}.{key}");
        for _ in 0..TRIES_MAX {
            let last = self.last_held(bucket, key).await?;
            if let Some((_, held, there)) = &last {
                // A version that did not count its revisions wrote 0, whatever it did.
                let is_as_new = held.revision == revision && (revision > 0 || held.is_gone == is_removal);
                if is_as_new && !says_it(there) {
                    return Ok(Put::Differs { revision });
                }
                if held.revision > revision || is_as_new {
                    return Ok(Put::Known {
                        revision: held.revision,
                    });
                }
            }
            let expected = last.map_or(0, |(seq, ..)| seq);
            let mut headers = headers.clone();
            headers.push((EXPECTED, expected.to_string()));
            let publish = Publish {
                subject: subject.clone().into(),
                id: None,
                headers,
                body: body.clone(),
            };
            match self.publisher().publish_within(publish, TRY_MAX).await {
                Ok(_) => return Ok(Put::Written),
                // Another writer, or the repeat of this very publish whose answer was lost: what is there now says.
                Err(PublishError::Stale { .. }) => {}
                Err(source) => return Err(Error::Publish { subject, source }),
            }
        }
        Err(Error::Conflict { key: key.to_owned() })
    }

    /// What every key of a bucket holds that matches a filter such as `integration.*`, markers of what was removed
    /// too.
    pub async fn held(&self, bucket: &'static str, filter: &str) -> Result<BTreeMap<String, Held>, Error> {
        self.each_held(bucket, filter, |held, _| held).await
    }

    /// The same with what each says, read as a value of this kind.
    pub async fn copies<T: Told>(&self, bucket: &'static str, filter: &str) -> Result<BTreeMap<String, Copied>, Error> {
        let copied = |held, body: &[u8]| Copied {
            held,
            content: content::<T>(body),
        };
        self.each_held(bucket, filter, copied).await
    }

    async fn each_held<V>(
        &self,
        bucket: &'static str,
        filter: &str,
        read: impl Fn(Held, &[u8]) -> V,
    ) -> Result<BTreeMap<String, V>, Error> {
        let prefix = format!("$KV.{bucket}.");
        let mut found = BTreeMap::new();
        let each = |message: Message| {
            if let Some(key) = message.subject.strip_prefix(&prefix) {
                let held = held(key, message.headers.as_ref(), &message.body);
                found.insert(key.to_owned(), read(held, &message.body));
            }
            ControlFlow::Continue(())
        };
        let filters = vec![format!("{prefix}{filter}")];
        self.scan(&format!("KV_{bucket}"), filters, From::LastPerSubject, each)
            .await?;
        Ok(found)
    }

    /// The last message of a key as the bucket's leader has it: its sequence, what it holds, and its bytes.
    async fn last_held(&self, bucket: &'static str, key: &str) -> Result<Option<(u64, Held, Bytes)>, Error> {
        let store = self.bucket(bucket).await?;
        let subject = format!("$KV.{bucket}.{key}");
        match store.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => {
                let held = held(key, Some(&message.headers), &message.payload);
                Ok(Some((message.sequence, held, message.payload)))
            }
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(Error::Kv {
                what: format!("read {key}"),
                bucket,
                reason: error.to_string(),
            }),
        }
    }
}

/// What a value says; `None` where this version cannot read it.
fn content<T: Told>(body: &[u8]) -> Option<[u8; 16]> {
    wire::decode::<T>(body).and_then(|value| value.content()).ok()
}

fn held(key: &str, headers: Option<&HeaderMap>, body: &[u8]) -> Held {
    if body.is_empty() {
        let revision = headers.and_then(|headers| headers.get(REVISION));
        return Held {
            revision: revision.and_then(|text| text.as_str().parse().ok()).unwrap_or(0),
            is_gone: true,
        };
    }
    // A newer version's value may have fields that this one cannot read; its revision can be.
    let revision = match wire::decode::<Revised>(body) {
        Ok(revised) => revised.revision,
        Err(error) => {
            tracing::warn!(%error, key, "what a key holds has no revision; it counts as older than all");
            0
        }
    };
    Held {
        revision,
        is_gone: false,
    }
}
