//! Reading the places that know of deliveries, from a time on.

use std::ops::ControlFlow;

use signalbox_broker::{Message, browse::Stored, topology::From};
use signalbox_proto::{Name, Record, Timestamp, subjects, wire};
use signalbox_runtime::Problem;

use super::{Place, Stories};
use crate::{Shared, problems};

impl Shared {
    /// Reads the providers' streams and PARKED. Nothing stored before `since` is read, here and below.
    pub(crate) async fn read_waiting(&self, stories: &mut Stories<'_>, since: Timestamp) -> Result<(), Problem> {
        let wanted = stories.wanted;
        let providers = match wanted.provider() {
            Some(provider) => vec![provider.clone()],
            None => self.broker.providers().await.map_err(problems::broker)?,
        };
        for provider in providers {
            let stream = subjects::deliver_stream(&provider);
            for filter in subjects::waiting_of(&provider, wanted.org(), wanted.integration()) {
                let each = |stored: Stored| {
                    let retry = subjects::is_retry(&stored.subject);
                    stories.wait_stored(&stored, if retry { Place::Schedule } else { Place::Lane });
                };
                // One provider's stream without a leader must not hide what is known of all others.
                if let Err(error) = self.broker.scan_queue_since(&stream, &filter, since, each).await {
                    tracing::warn!(%error, stream, "cannot read what waits in a stream");
                    stories.unread.push(stream);
                    break;
                }
            }
        }
        let filter = subjects::parked(wanted.org(), wanted.integration().unwrap_or("*"));
        self.broker
            .scan_queue_since(subjects::PARKED, &filter, since, |stored| {
                stories.wait_stored(&stored, Place::Parked);
            })
            .await
            .map_err(problems::broker)
    }

    /// Reads OUTCOMES; `no_route` sees the ranges of events that matched nothing.
    pub(crate) async fn read_outcomes(
        &self,
        stories: &mut Stories<'_>,
        since: Timestamp,
        mut no_route: impl FnMut(&[(u64, u64)]),
    ) -> Result<(), Problem> {
        let each = |message: Message| {
            match wire::decode_records(&message.body) {
                Ok((records, _)) => {
                    for record in records {
                        match record {
                            Record::Attempt(attempt) => stories.record(attempt),
                            Record::NoRoute(ranges) => no_route(&ranges),
                        }
                    }
                }
                Err(error) => tracing::error!(%error, seq = message.place.seq, "cannot read outcomes"),
            }
            ControlFlow::Continue(())
        };
        let all = vec![subjects::OUTCOME_ALL.to_owned()];
        self.broker
            .scan(subjects::OUTCOMES, all, From::Time(since), each)
            .await
            .map(|_| ())
            .map_err(problems::broker)
    }

    /// Reads DEAD with its marks.
    pub(crate) async fn read_dead(&self, stories: &mut Stories<'_>, since: Timestamp) -> Result<(), Problem> {
        let wanted = stories.wanted;
        let letters = subjects::dead_filter(
            None,
            Some(wanted.org().as_str()),
            wanted.provider().map(Name::as_str),
            wanted.integration(),
        );
        let filters = vec![letters, subjects::DEAD_MARKS.to_owned()];
        let each = |message: Message| {
            stories.dead_message(&message);
            ControlFlow::Continue(())
        };
        self.broker
            .scan(subjects::DEAD, filters, From::Time(since), each)
            .await
            .map(|_| ())
            .map_err(problems::broker)
    }
}
