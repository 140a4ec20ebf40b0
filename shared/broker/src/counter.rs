//! Counters: additions by any number of writers, each told the sum.
//!
//! One message adds and answers with the new value, without the conflicts that compare-and-set
//! meets on a hot key.

use std::time::Duration;

use bytes::Bytes;

use crate::{Broker, Error, Publish};

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
    /// Adds to an integration's counter of this span and returns the sum.
    ///
    /// An addition has no id: one whose answer a reconnection loses may count twice, which errs to
    /// the safe side of a limit.
    pub async fn count(&self, window: Window, integration: &str, epoch: i64, add: i64) -> Result<i64, Error> {
        let subject = signalbox_proto::subjects::rate(window.as_str(), integration, epoch);
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
        ack.value
            .and_then(|value| value.parse().ok())
            .ok_or_else(|| Error::Request {
                what: subject,
                reason: "the answer holds no sum".into(),
            })
    }
}
