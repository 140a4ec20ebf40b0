//! Reading the places that know of deliveries, from a time on, and no more of each than is allowed.
//!
//! Where a bound is met the answer says so ([`Stories::is_cut`]): what lies behind it is not known.

use std::ops::ControlFlow;

use signalbox_broker::{Error as BrokerError, Message, topology::From};
use signalbox_proto::{Name, Record, Timestamp, subjects, wire};
use signalbox_runtime::Problem;

use super::{Place, Stories, windows::Windows};
use crate::{Shared, history::Edge, problems};

/// Most messages of one queue that are read.
const QUEUE_READ_MAX: usize = 200_000;
/// Most records of OUTCOMES that are read, a message counting as one, too.
const RECORDS_READ_MAX: usize = 1_000_000;
/// Most messages of DEAD that are read.
const DEAD_READ_MAX: usize = 200_000;
/// Messages asked for at a time.
const BATCH: usize = 1_000;
/// So many messages behind what is recorded are asked for by their sequences.
const CLOSE: u64 = 1_000;

impl Shared {
    /// Reads the providers' streams, ORDERED, BATCH and PARKED. Nothing stored before `since` is read, here and below.
    pub(crate) async fn read_waiting(&self, stories: &mut Stories<'_>, since: Timestamp) -> Result<(), Problem> {
        let wanted = stories.wanted;
        let providers = match wanted.provider() {
            Some(provider) => vec![provider.clone()],
            None => self.directory.providers(),
        };
        for provider in providers {
            let stream = subjects::deliver_stream(&provider);
            for filter in subjects::waiting_of(&provider, wanted.org(), wanted.integration()) {
                // One provider's stream without a leader must not hide what is known of all others.
                if let Err(error) = self.read_queue(stories, &stream, &filter, since).await {
                    tracing::warn!(
                        error = problems::chain(&error),
                        stream,
                        "cannot read what waits in a stream"
                    );
                    stories.unread.push(stream);
                    break;
                }
            }
            for filter in subjects::ordered_waiting(&provider, wanted.org(), wanted.integration()) {
                self.read_queue(stories, subjects::ORDERED, &filter, since)
                    .await
                    .map_err(problems::broker)?;
            }
        }
        let integration = wanted.integration().unwrap_or("*");
        for (stream, filter) in [
            (subjects::BATCH, subjects::batch(wanted.org(), integration)),
            (subjects::PARKED, subjects::parked(wanted.org(), integration)),
        ] {
            self.read_queue(stories, stream, &filter, since)
                .await
                .map_err(problems::broker)?;
        }
        Ok(())
    }

    async fn read_queue(
        &self,
        stories: &mut Stories<'_>,
        stream: &str,
        filter: &str,
        since: Timestamp,
    ) -> Result<(), BrokerError> {
        let Some(mut next) = self.broker.first_at(stream, filter, since).await? else {
            return Ok(());
        };
        let mut read = 0;
        let mut windows = Windows::default();
        loop {
            // The server ends a part before `BATCH` where its bytes are many: only an empty one is the end.
            let part = self.broker.read_from(stream, filter, next, BATCH).await?;
            let Some(last) = part.last() else { return Ok(()) };
            if read >= QUEUE_READ_MAX {
                stories.is_cut = true;
                return Ok(());
            }
            next = last.seq + 1;
            read += part.len();
            for stored in part {
                let ends = windows.end(self, stream, &stored.subject).await?;
                stories.wait_stored(&stored, Place::of(stream, &stored.subject), ends);
            }
        }
    }

    /// Reads OUTCOMES behind an edge; `no_route` sees the ranges of events that matched nothing.
    pub(crate) async fn read_outcomes(
        &self,
        stories: &mut Stories<'_>,
        edge: Edge,
        mut no_route: impl FnMut(&[(u64, u64)]),
    ) -> Result<(), Problem> {
        let mut left = RECORDS_READ_MAX;
        let each = |seq: u64, _: &str, body: &[u8]| {
            if left == 0 {
                stories.is_cut = true;
                return ControlFlow::Break(());
            }
            left -= 1;
            match wire::decode_records(body) {
                Ok((records, _)) => {
                    left = left.saturating_sub(records.len());
                    for record in records {
                        match record {
                            Record::Attempt(attempt) => stories.record(attempt),
                            Record::NoRoute(ranges) => no_route(&ranges),
                            Record::Refused(_) => {}
                        }
                    }
                }
                Err(error) => tracing::error!(%error, seq, "cannot read outcomes"),
            }
            ControlFlow::Continue(())
        };
        self.read_behind(subjects::OUTCOMES, vec![subjects::OUTCOME_ALL.to_owned()], edge, each)
            .await
    }

    /// Reads DEAD with its marks behind an edge.
    pub(crate) async fn read_dead(&self, stories: &mut Stories<'_>, edge: Edge) -> Result<(), Problem> {
        let wanted = stories.wanted;
        let letters = subjects::dead_filter(
            None,
            Some(wanted.org().as_str()),
            wanted.provider().map(Name::as_str),
            wanted.integration(),
        );
        let filters = vec![letters, subjects::DEAD_MARKS.to_owned()];
        let mut left = DEAD_READ_MAX;
        let each = |seq: u64, subject: &str, body: &[u8]| {
            if left == 0 {
                stories.is_cut = true;
                return ControlFlow::Break(());
            }
            left -= 1;
            stories.dead_message(seq, subject, body);
            ControlFlow::Continue(())
        };
        self.read_behind(subjects::DEAD, filters, edge, each).await
    }

    /// Reads what a stream has behind an edge, in order.
    async fn read_behind(
        &self,
        stream: &str,
        filters: Vec<String>,
        edge: Edge,
        mut each: impl FnMut(u64, &str, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Problem> {
        if !self.goes_on(stream, edge).await? {
            return Ok(());
        }
        if edge.seq > 0 && edge.behind() <= CLOSE {
            // A request or two, where a scan takes several. Marks come after the dead letters that they are about.
            for filter in filters {
                let mut next = edge.seq + 1;
                loop {
                    let part = self.broker.read_from(stream, &filter, next, BATCH).await;
                    let part = part.map_err(problems::broker)?;
                    let Some(last) = part.last() else { break };
                    next = last.seq + 1;
                    for stored in &part {
                        if each(stored.seq, &stored.subject, &stored.body).is_break() {
                            return Ok(());
                        }
                    }
                }
            }
            return Ok(());
        }
        let from = match edge.seq {
            0 => From::Time(edge.since),
            seq => From::Seq(seq + 1),
        };
        let each = |message: Message| each(message.place.seq, &message.subject, &message.body);
        self.broker
            .scan(stream, filters, from, each)
            .await
            .map(|_| ())
            .map_err(problems::broker)
    }
}
