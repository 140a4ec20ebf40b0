//! When the digests close whose members wait in BATCH.

use std::{collections::HashMap, time::Duration};

use signalbox_broker::Error as BrokerError;
use signalbox_proto::{Timestamp, subjects};

use crate::Shared;

/// Integrations of which one request asks when their digest closes.
const ASKED_MAX: usize = 100;

/// The ends of windows that one request has asked for, by the subject of their members.
#[derive(Default)]
pub(crate) struct Windows {
    ends: HashMap<String, Option<Timestamp>>,
}

impl Windows {
    /// When the digest closes that a message of BATCH is for: after the window of its first member at the latest. `None`
    /// for a message of another stream, and where that is not known.
    pub(crate) async fn end(
        &mut self,
        shared: &Shared,
        stream: &str,
        subject: &str,
    ) -> Result<Option<Timestamp>, BrokerError> {
        if stream != subjects::BATCH {
            return Ok(None);
        }
        if let Some(known) = self.ends.get(subject) {
            return Ok(*known);
        }
        let integration = subject.rsplit('.').next().unwrap_or_default();
        let known = shared.directory.by_id(integration);
        let Some(batch) = known.and_then(|known| known.flow.batch) else {
            return Ok(None);
        };
        if self.ends.len() >= ASKED_MAX {
            return Ok(None);
        }
        let first = shared.broker.read_from(stream, subject, 1, 1).await?;
        let window = Duration::from_secs(batch.window_secs.into());
        let end = first.first().map(|first| first.at + window);
        self.ends.insert(subject.to_owned(), end);
        Ok(end)
    }
}
