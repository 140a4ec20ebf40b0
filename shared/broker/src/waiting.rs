//! What waits, and since when: read from the streams' own subject counts.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use signalbox_proto::{Delivery, Name, Timestamp, act::WaitingFilter, subjects, subjects::OrderedKind, wire};

use crate::{Broker, Error};

/// Subjects read of one stream at most in one look; beyond, the look says that it is cut.
pub const SUBJECTS_MAX: usize = 200_000;
/// First messages read in one look to learn their age; the integrations with most waiting go first.
pub const AGES_MAX: usize = 1_000;

/// What waits for one integration.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Waiting {
    /// The tenant.
    pub org: String,
    /// The kind of target; empty where only PARKED or BATCH knows it.
    pub provider: String,
    /// The integration's id.
    pub integration: String,
    /// In a lane, with or before a worker.
    pub pending: u64,
    /// Scheduled.
    pub retrying: u64,
    /// In PARKED, in BATCH, or in ORDERED behind those of their key.
    pub parked: u64,
    /// When the oldest of what was looked at was accepted (or replayed).
    pub oldest: Option<Timestamp>,
}

impl Waiting {
    /// All that waits.
    pub fn total(&self) -> u64 {
        self.pending + self.retrying + self.parked
    }
}

/// One look at all that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Look {
    /// By integration, most waiting first.
    pub integrations: Vec<Waiting>,
    /// Whether there is more than was read: more subjects than are read in one look, or streams that
    /// did not answer.
    pub cut: bool,
    /// Streams of providers that did not answer.
    pub unread: Vec<String>,
    /// Subjects of provider streams that no consumer's filter covers.
    pub orphans: Vec<String>,
}

/// Whether what a queue holds counts as parked: it waits for more than its time or a worker.
///
/// The first of a key, once it was tried, waits for its next attempt as any other does.
pub fn is_parked(stream: &str, subject: &str, delivery: &Delivery) -> bool {
    match stream {
        subjects::PARKED | subjects::BATCH => true,
        subjects::ORDERED => match subjects::read_ordered(subject) {
            Some((OrderedKind::Head, _)) => delivery.attempt == 0 || delivery.due.is_none(),
            _ => true,
        },
        _ => false,
    }
}

impl Broker {
    /// How many messages each subject of a stream holds.
    pub async fn subject_counts(&self, stream: &str, filter: &str) -> Result<(BTreeMap<String, u64>, bool), Error> {
        let fail = |error: String| Error::Request {
            what: format!("subjects of {stream}"),
            reason: error,
        };
        let handle = self
            .jetstream()
            .get_stream_no_info(stream)
            .await
            .map_err(|error| fail(error.to_string()))?;
        let mut pages = handle
            .info_with_subjects(filter)
            .await
            .map_err(|error| fail(error.to_string()))?;
        let mut counts = BTreeMap::new();
        while let Some((subject, count)) = pages.try_next().await.map_err(|error| fail(error.to_string()))? {
            counts.insert(subject, count as u64);
            if counts.len() >= SUBJECTS_MAX {
                return Ok((counts, true));
            }
        }
        Ok((counts, false))
    }

    /// How many deliveries of an integration are in its provider's lanes.
    pub async fn in_lanes(&self, provider: &Name, org: &Name, integration: &str) -> Result<u64, Error> {
        let stream = subjects::deliver_stream(provider);
        let (counts, _) = self
            .subject_counts(&stream, &subjects::deliver_of(provider, org, integration))
            .await?;
        Ok(counts.values().sum())
    }

    /// How many deliveries of an integration wait in PARKED.
    pub async fn in_parked(&self, org: &Name, integration: &str) -> Result<u64, Error> {
        let (counts, _) = self
            .subject_counts(subjects::PARKED, &subjects::parked(org, integration))
            .await?;
        Ok(counts.values().sum())
    }

    /// How many deliveries of an integration wait to become a digest, or for their turn.
    pub async fn in_groups(&self, provider: &Name, org: &Name, integration: &str) -> Result<u64, Error> {
        let [ordered, _] = subjects::ordered_waiting(provider, org, Some(integration));
        let batch = subjects::batch(org, integration);
        let (gathered, _) = self.subject_counts(subjects::BATCH, &batch).await?;
        let (queued, _) = self.subject_counts(subjects::ORDERED, &ordered).await?;
        Ok(gathered.values().chain(queued.values()).sum())
    }

    /// The queues in which deliveries that an act is about may wait, each with the subjects to read: the schedules and
    /// the firsts of keys alone, or lanes, schedules, ORDERED, BATCH and PARKED. What is read there stands as [`Broker::covered`] says.
    pub async fn queues_of(&self, filter: &WaitingFilter, schedules: bool) -> Result<Vec<(String, String)>, Error> {
        let providers = match &filter.provider {
            Some(provider) => vec![provider.clone()],
            None => self.providers().await?,
        };
        let integration = filter.integration.as_deref();
        let mut queues = Vec::new();
        for provider in providers {
            let stream = subjects::deliver_stream(&provider);
            let filters = if schedules {
                vec![subjects::schedules_of(&provider, &filter.org, integration)]
            } else {
                subjects::waiting_of(&provider, &filter.org, integration)
            };
            queues.extend(filters.into_iter().map(|subject| (stream.clone(), subject)));
            // The state of a key's first lies beside what was queued: see `standing`. It alone has a next attempt.
            let [queued, firsts] = subjects::ordered_waiting(&provider, &filter.org, integration);
            queues.push((subjects::ORDERED.to_owned(), if schedules { firsts } else { queued }));
        }
        if !schedules {
            let batch = subjects::batch(&filter.org, integration.unwrap_or("*"));
            queues.push((subjects::BATCH.to_owned(), batch));
            let parked = subjects::parked(&filter.org, integration.unwrap_or("*"));
            queues.push((subjects::PARKED.to_owned(), parked));
        }
        Ok(queues)
    }

    /// Looks at all that waits.
    pub async fn look_at_waiting(&self) -> Result<Look, Error> {
        let mut look = Look::default();
        let mut by_integration: BTreeMap<String, Waiting> = BTreeMap::new();
        let mut firsts: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for provider in self.providers().await? {
            let stream = subjects::deliver_stream(&provider);
            let (counts, cut) = match self.subject_counts(&stream, ">").await {
                Ok(read) => read,
                // One provider's stream without a leader must not hide what waits for the others.
                Err(error) => {
                    tracing::warn!(%error, stream, "cannot count what waits in a stream");
                    look.cut = true;
                    look.unread.push(stream);
                    continue;
                }
            };
            look.cut |= cut;
            for (subject, count) in counts {
                let tokens: Vec<&str> = subject.split('.').collect();
                let (kind, lane) = (
                    tokens.get(1).copied().unwrap_or_default(),
                    tokens.get(3).copied().unwrap_or_default(),
                );
                let known = signalbox_proto::Lane::ALL.iter().any(|known| known.as_str() == lane);
                let org = tokens.get(4).and_then(|org| org.parse::<Name>().ok());
                let (Some(org), Some(integration), true) = (org, tokens.get(5), known) else {
                    look.orphans.push(subject);
                    continue;
                };
                let entry = by_integration.entry((*integration).to_owned()).or_default();
                entry.org = org.to_string();
                entry.provider = provider.to_string();
                entry.integration = (*integration).to_owned();
                if kind == "retry" {
                    entry.retrying += count;
                } else {
                    entry.pending += count;
                }
                let read = if kind == "retry" {
                    subjects::retry_of(&provider, &org, integration)
                } else {
                    subject.clone()
                };
                let list = firsts.entry((*integration).to_owned()).or_default();
                if !list.iter().any(|(_, known)| *known == read) {
                    list.push((stream.clone(), read));
                }
            }
        }
        // Of ORDERED each delivery once, and not the state of the first of each key as well.
        let [ordered, ..] = subjects::ORDERED_SUBJECTS;
        for (stream, filter, skip) in [
            (subjects::ORDERED, ordered, 4),
            (subjects::BATCH, subjects::BATCH_ALL, 2),
            (subjects::PARKED, subjects::PARKED_ALL, 2),
        ] {
            let (counts, cut) = self.subject_counts(stream, filter).await?;
            look.cut |= cut;
            for (subject, count) in counts {
                let mut tokens = subject.split('.').skip(skip);
                let (Some(org), Some(integration)) = (tokens.next(), tokens.next()) else {
                    continue;
                };
                let entry = by_integration.entry(integration.to_owned()).or_default();
                entry.org = org.to_owned();
                entry.integration = integration.to_owned();
                if stream == subjects::ORDERED && entry.provider.is_empty() {
                    entry.provider = subject.split('.').nth(2).unwrap_or_default().to_owned();
                }
                entry.parked += count;
                // The keys of an integration are many: the first of all of them is found by one question.
                let read = match (stream, subject.rsplit_once('.')) {
                    (subjects::ORDERED, Some((keys, _))) => format!("{keys}.*"),
                    _ => subject.clone(),
                };
                let list = firsts.entry(integration.to_owned()).or_default();
                if !list.iter().any(|(_, known)| *known == read) {
                    list.push((stream.to_owned(), read));
                }
            }
        }
        let mut integrations: Vec<Waiting> = by_integration.into_values().collect();
        integrations.sort_by_key(|waiting| std::cmp::Reverse(waiting.total()));
        for waiting in integrations.iter_mut().take(AGES_MAX) {
            for (stream, subject) in firsts.remove(&waiting.integration).unwrap_or_default() {
                // Its age is missing for this look; asking again for each would take too long.
                if look.unread.contains(&stream) {
                    continue;
                }
                let since = match self.first_since(&stream, &subject).await {
                    Ok(since) => since,
                    Err(error) => {
                        tracing::warn!(%error, stream, "cannot read how long deliveries wait in a stream");
                        look.cut = true;
                        look.unread.push(stream);
                        continue;
                    }
                };
                waiting.oldest = match (waiting.oldest, since) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
        }
        look.integrations = integrations;
        Ok(look)
    }

    /// Since when the first delivery stored under a subject waits; `None` where it has gone meanwhile.
    async fn first_since(&self, stream: &str, subject: &str) -> Result<Option<Timestamp>, Error> {
        let fail = |error: String| Error::Request {
            what: format!("first message of {subject}"),
            reason: error,
        };
        let handle = self
            .jetstream()
            .get_stream_no_info(stream)
            .await
            .map_err(|error| fail(error.to_string()))?;
        match handle.direct_get_next_for_subject(subject, Some(1)).await {
            Ok(message) => Ok(wire::decode_delivery(&message.payload)
                .ok()
                .map(|delivery| delivery.since)),
            Err(error) if error.kind() == async_nats::jetstream::stream::DirectGetErrorKind::NotFound => Ok(None),
            Err(error) => Err(fail(error.to_string())),
        }
    }
}
