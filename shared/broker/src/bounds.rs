//! What streams hold, the marks that something is above, and the counters of what orgs publish.

use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use signalbox_proto::{Name, Timestamp, bounds::Marks, subjects, wire};
use tokio::{sync::watch, time::Instant};

use crate::{
    Broker, Error, Publish, PublishError, Puller,
    topology::{Consumer, From},
};

/// How long an answer of a counter may take: a publisher waits for it.
const COUNT_TIMEOUT: Duration = Duration::from_millis(500);

/// What a stream holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// Its name.
    pub name: String,
    /// What it holds, in bytes.
    pub bytes: u64,
    /// What it may hold, in bytes; `None` without a bound of its own.
    pub bytes_max: Option<u64>,
    /// Whether it is kept on disk.
    pub on_disk: bool,
}

/// The marks, as they were written last.
#[derive(Clone, Debug)]
pub struct Known {
    /// What was written.
    pub marks: Marks,
    /// When the server stored it.
    pub since: Instant,
}

impl Broker {
    /// What every stream of the account holds.
    pub async fn sizes(&self) -> Result<Vec<Size>, Error> {
        let all: Vec<_> = self
            .jetstream()
            .streams()
            .try_collect()
            .await
            .map_err(|error| Error::Request {
                what: "sizes of streams".into(),
                reason: error.to_string(),
            })?;
        let sizes = all.into_iter().map(|stream| Size {
            bytes: stream.state.bytes,
            bytes_max: u64::try_from(stream.config.max_bytes).ok().filter(|bytes| *bytes > 0),
            on_disk: stream.config.storage == async_nats::jetstream::stream::StorageType::File,
            name: stream.config.name,
        });
        Ok(sizes.collect())
    }

    /// Adds to what an org has published in this second since 1970, and returns the sum.
    ///
    /// As with every counter, an addition whose answer is lost may count although nobody uses it.
    pub async fn count_published(&self, org: &Name, second: i64, add: i64) -> Result<i64, Error> {
        let subject = subjects::rate("second", org.as_str(), second);
        let publish = Publish {
            subject: subject.clone().into(),
            id: None,
            headers: vec![("Nats-Incr", format!("{add:+}"))],
            body: Bytes::new(),
        };
        let ack = self
            .publisher()
            .publish_within(publish, COUNT_TIMEOUT)
            .await
            .map_err(|source| Error::Publish {
                subject: subject.clone(),
                source,
            })?;
        ack.value
            .and_then(|value| value.parse().ok())
            .ok_or_else(|| Error::Request {
                what: subject,
                reason: "the answer holds no sum".into(),
            })
    }

    /// Whether DEAD has taken a dead letter under this id within its duplicate window. Nothing is stored.
    ///
    /// There is no request for it. The letter is published in a form that DEAD refuses, with a word for a rollup that
    /// means none; a known id is answered before that is looked at, on one server and on several. Of the conditions on
    /// sequences one server looks at first, and one on the last id stops a replicated stream (2.15).
    pub async fn knows_letter(&self, subject: String, id: &str) -> Result<bool, Error> {
        let publish = Publish {
            subject: subject.clone().into(),
            id: Some(id.to_owned()),
            headers: vec![("Nats-Rollup", "none".to_owned())],
            body: Bytes::new(),
        };
        match self.publisher().publish(publish).await {
            Ok(ack) if ack.duplicate => Ok(true),
            Ok(_) | Err(PublishError::Refused { .. } | PublishError::Full { .. } | PublishError::Stale { .. }) => {
                Ok(false)
            }
            Err(source) => Err(Error::Publish { subject, source }),
        }
    }

    /// Follows the marks, and tells them for as long as somebody listens; ends with an error where they cannot be
    /// followed at all.
    pub async fn follow_marks(&self, known: &watch::Sender<Option<Known>>) -> Result<(), Error> {
        let filter = format!("$KV.{}.{}", subjects::STATE, subjects::marks_key());
        let stream = format!("KV_{}", subjects::STATE);
        let consumer = Consumer::follow(self, &stream, vec![filter], From::LastPerSubject);
        let mut puller = Puller::open(self, consumer).await?;
        loop {
            let message = puller.next(1).await;
            let marks = if message.body.is_empty() {
                Ok(Marks::default())
            } else {
                wire::decode::<Marks>(&message.body)
            };
            match marks {
                Ok(marks) => {
                    // Read again after a while, as at a start, they are as old as they are.
                    let age = Timestamp::now().since(message.place.at);
                    let now = Instant::now();
                    let since = now.checked_sub(age).unwrap_or(now);
                    known.send_replace(Some(Known { marks, since }));
                }
                Err(error) => {
                    tracing::error!(%error, "cannot read the high-water marks; they are left as they were known")
                }
            }
        }
    }
}
