//! Counters: additions by any number of writers, each told the sum.
//!
//! One message adds and answers with the new value, without the conflicts that compare-and-set
//! meets on a hot key.

use std::time::Duration;

use bytes::Bytes;

use crate::{Broker, Error, Publish};

/// What an addition is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The sum.
    pub value: i64,
    /// The sequence of the addition in its stream: higher than that of any before it, unless the stream
    /// was lost and begun anew.
    pub seq: u64,
}

/// The span that a counter counts in; aligned to the clock in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Kept in memory.
    Minute,
    /// Kept on disk.
    Hour,
    /// Kept on disk.
    Day,
}

impl Window {
    /// The subject's token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// The stream of its counters.
    pub fn stream(self) -> String {
        format!("RATE_{}", self.as_str().to_ascii_uppercase())
    }

    /// Seconds of the span.
    pub const fn secs(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// Which span since 1970 a time lies in.
    pub fn epoch(self, at: signalbox_proto::Timestamp) -> i64 {
        at.secs().div_euclid(self.secs())
    }
}

impl Broker {
    /// Makes the stream of a window's counters if it is missing, and says when it was made, in nanoseconds since
    /// 1970: of one that was lost and made anew this is another time.
    pub async fn ensure_counters(&self, window: Window) -> Result<i128, Error> {
        let name = window.stream();
        let fail = |reason: String| Error::Request {
            what: format!("stream {name}"),
            reason,
        };
        let declared = crate::topology::streams(self)
            .into_iter()
            .find(|config| config.name == name)
            .ok_or_else(|| fail("it is not declared".into()))?;
        let stream = self.jetstream().get_or_create_stream(declared).await;
        let stream = stream.map_err(|error| fail(error.to_string()))?;
        Ok(stream.cached_info().created.unix_timestamp_nanos())
    }

    /// Adds to a counter of this span and returns the sum.
    pub async fn count(&self, window: Window, key: &str, epoch: i64, add: i64) -> Result<i64, Error> {
        Ok(self.add(window, key, epoch, add).await?.value)
    }

    /// Adds to a counter of this span. The key is a token of a subject.
    ///
    /// An addition has no id: one whose answer a reconnection loses may count twice, which errs to
    /// the safe side of a limit.
    pub async fn add(&self, window: Window, key: &str, epoch: i64, add: i64) -> Result<Counted, Error> {
        let subject = signalbox_proto::subjects::rate(window.as_str(), key, epoch);
        let publish = Publish {
            subject: subject.clone().into(),
            id: None,
            headers: vec![("Nats-Incr", format!("{add:+}"))],
            body: Bytes::new(),
        };
        let ack = self
            .publisher()
            .publish_within(publish, Duration::from_secs(2))
            .await
            .map_err(|source| Error::Publish {
                subject: subject.clone(),
                source,
            })?;
        let value = ack.value.and_then(|value| value.parse().ok());
        let value = value.ok_or_else(|| Error::Request {
            what: subject,
            reason: "the answer holds no sum".into(),
        })?;
        Ok(Counted { value, seq: ack.seq })
    }
}
