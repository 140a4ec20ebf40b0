//! Removing what belongs to an org, or to one event, out of every stream and bucket, for good.
//!
//! Messages are removed one by one, with their bytes on disk written over: a purge leaves those until the server tidies up
//! the file. Two kinds are purged: INGEST, as what is there may be of a form that no client can read, and buckets, which
//! allow nothing else.
//!
//! A message of OUTCOMES has records of several orgs. It is replaced: a copy without the records in question is stored, then
//! the message is erased. A crash in between leaves both, which readers take for repeats.
//!
//! What a worker has in hand is left to it: it would write about it afterwards. Whoever erases looks again until nothing
//! is left.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_bytes::ByteBuf;
use signalbox_proto::{
    Attempt, DeadLetter, Delivery, Event, Lane, Name, Record, event,
    outcome::{Batch, EventRef},
    subjects, wire,
};

use crate::{
    Broker, Error, Publish, Puller,
    browse::Stored,
    topology::{Consumer, From},
};

/// Messages that are read at a time.
const PART: usize = 200;
/// Messages that are erased at a time.
const AT_ONCE: usize = 32;
/// Messages of OUTCOMES that are asked for at a time.
const BATCH: usize = 500;
/// How long the copy of a message may take to be stored.
const STORE_WITHIN: Duration = Duration::from_secs(5);
/// The header by which EVENTS knows an event.
const MESSAGE_ID: &str = "Nats-Msg-Id";
/// All sequences of a stream.
const ALL: RangeInclusive<u64> = 1..=u64::MAX;
/// Letters of inputs that named no valid org; they are the default org's.
const NO_ORG: &str = "-";

/// How long an act may have what it has read, until it begins to send it. What it has not begun by then it reads again.
pub const HELD_MAX: Duration = Duration::from_secs(5);
/// How long what an act has begun to send may take until a stream has it, or until it is given up: the wait for a place among
/// the publishes that are under way and for the answer of a stream (5 and 10 seconds), or three tries of an input (5 seconds
/// each, and a second in between).
pub const SENT_WITHIN: Duration = Duration::from_secs(18);
/// How long it has to be quiet until nobody has anything any more of what was erased before: longer than an act may
/// ([`HELD_MAX`] and [`SENT_WITHIN`], together 23 seconds). A router has an event for as long as its stream is silent
/// (`router.stall_ms`, 5 seconds unless it is set otherwise); workers and routers are asked what they have in hand besides.
pub const QUIET_FOR: Duration = Duration::from_secs(25);

const _: () = assert!(HELD_MAX.as_secs() + SENT_WITHIN.as_secs() < QUIET_FOR.as_secs());

/// What is erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// All of an org.
    Org(Name),
    /// One event.
    Event {
        /// The tenant.
        org: Name,
        /// The event's source.
        source: String,
        /// The event's id.
        id: String,
    },
}

/// Whether it is done or only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing changes.
    Count,
    /// It is done.
    Erase,
}

/// What a look at the events or at the waiting deliveries found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Those that were removed, or would be.
    pub erased: u64,
    /// Those that a router or a worker has, or may have, in hand.
    pub in_hand: u64,
}

impl What {
    /// Its org.
    pub const fn org(&self) -> &Name {
        match self {
            Self::Org(org) | Self::Event { org, .. } => org,
        }
    }

    /// Whether it is all of an org.
    pub const fn is_org(&self) -> bool {
        matches!(self, Self::Org(_))
    }

    fn is_event(&self, event: &Event) -> bool {
        match self {
            Self::Org(org) => event.org == *org,
            Self::Event { org, source, id } => event.org == *org && event.source == *source && event.id == *id,
        }
    }

    fn is_named(&self, of: &Name, event: &EventRef) -> bool {
        match self {
            Self::Org(org) => of == org,
            Self::Event { org, source, id } => of == org && event.source == *source && event.id == *id,
        }
    }

    fn is_delivery(&self, delivery: &Delivery) -> bool {
        delivery.events.iter().any(|accepted| self.is_event(&accepted.event))
    }

    /// Whether a dead letter keeps something of it.
    fn is_letter(&self, letter: &DeadLetter) -> bool {
        let Self::Event { source, id, .. } = self else {
            return true;
        };
        let in_delivery = letter
            .delivery
            .as_deref()
            .is_some_and(|delivery| self.is_delivery(delivery));
        in_delivery
            || letter.input.as_ref().is_some_and(|input| {
                let header = |name: &str| {
                    let found = input.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value.as_str())
                };
                header("ce-id").or_else(|| header(MESSAGE_ID)) == Some(id)
                    && header("ce-source").is_none_or(|given| given == source)
            })
    }

    /// Whether a dead letter is to be erased whenever it was made.
    fn is_late(&self, letter: &DeadLetter) -> bool {
        letter.delivery.is_some() || (self.is_org() && letter.input.is_some())
    }

    /// What is left of a record; `None` for nothing.
    fn rest(&self, attempt: &Attempt) -> Option<Attempt> {
        let is_other = |event: &&EventRef| !self.is_named(&attempt.org, event);
        let events: Vec<EventRef> = attempt.events.iter().filter(is_other).cloned().collect();
        // Of a digest the other members keep their end; what was answered to all of it goes.
        (!events.is_empty()).then(|| Attempt {
            events,
            response_body: String::new(),
            error_message: None,
            ..attempt.clone()
        })
    }
}

impl Broker {
    /// What INGEST holds of an org.
    pub async fn erase_inputs(&self, org: &Name, mode: Mode) -> Result<u64, Error> {
        let mut erased = 0;
        for filter in subjects::inputs_of(org) {
            erased += match mode {
                Mode::Count => self.subject_counts(subjects::INGEST, &filter).await?.0.values().sum(),
                Mode::Erase => self.purge(subjects::INGEST, Some(&filter), None).await?,
            };
        }
        Ok(erased)
    }

    /// What EVENTS holds of it. What a router may have in hand is left to it, but not with `whatever`.
    pub async fn erase_events(&self, what: &What, mode: Mode, whatever: bool) -> Result<Waiting, Error> {
        let filter = subjects::events_of(what.org(), None);
        // First who has what in hand: what is routed meanwhile is not erased in this look.
        let in_hand = if whatever { None } else { self.routed(what.org()).await? };
        let is_in_hand = |seq: u64| in_hand.is_some_and(|(first, last)| seq >= first && seq <= last);
        let mut waiting = Waiting::default();
        let What::Event { org, source, id } = what else {
            let is = |stored: &Stored| {
                waiting.in_hand += u64::from(is_in_hand(stored.seq));
                !is_in_hand(stored.seq)
            };
            let erased = self.erase_where(subjects::EVENTS, &filter, ALL, mode, is).await?;
            return Ok(Waiting { erased, ..waiting });
        };
        // Its message id is enough to know it: the bodies of all others stay where they are.
        let key = event::key(org, source, id);
        let follow = Consumer::follow(self, subjects::EVENTS, vec![filter], From::Seq(1)).headers_only();
        let mut puller = Puller::open(self, follow).await?;
        let mut found = Vec::new();
        while let Some(message) = puller.next_left(BATCH).await {
            if message.header(MESSAGE_ID) == Some(&key) {
                found.push(message.place.seq);
            }
        }
        puller.close().await;
        let all = found.len();
        found.retain(|seq| !is_in_hand(*seq));
        waiting.in_hand = (all - found.len()) as u64;
        waiting.erased = self.erase_all(subjects::EVENTS, found, mode).await?;
        Ok(waiting)
    }

    /// The first and the last sequence of EVENTS that the routers of an org's partition may have in hand.
    async fn routed(&self, org: &Name) -> Result<Option<(u64, u64)>, Error> {
        let partitions = self.config().partitions;
        let router = Consumer::router(subjects::partition(org.as_str(), partitions), partitions);
        let progress = router.progress(self).await?;
        Ok((progress.ack_pending > 0).then_some((progress.ack_floor + 1, progress.delivered)))
    }

    /// What waits of it, in lanes, as schedules, in ORDERED, BATCH and PARKED. What a worker may have in hand is left to it,
    /// but not with `whatever`.
    pub async fn erase_waiting(&self, what: &What, mode: Mode, whatever: bool) -> Result<Waiting, Error> {
        let mut waiting = Waiting::default();
        let org = what.org();
        for provider in self.providers().await? {
            let queue = subjects::deliver_stream(&provider);
            let before = self.handed_out(&provider).await?;
            let mut in_hand = 0;
            for filter in subjects::waiting_of(&provider, org, None) {
                let is = |stored: &Stored| {
                    if !is_in(what, stored) {
                        return false;
                    }
                    let handed = before.get(lane(stored)).is_some_and(|handed| stored.seq <= *handed);
                    in_hand += u64::from(handed && !whatever);
                    whatever || !handed
                };
                waiting.erased += self.erase_where(&queue, &filter, ALL, mode, is).await?;
            }
            // What was handed out meanwhile may be what was removed.
            if waiting.erased > 0 && !whatever && self.handed_out(&provider).await? != before {
                in_hand += 1;
            }
            waiting.in_hand += in_hand;
        }
        let [queued, firsts] = subjects::ordered_of(org);
        for (stream, filter) in [
            (subjects::ORDERED, queued),
            (subjects::ORDERED, firsts),
            (subjects::BATCH, subjects::batch(org, "*")),
            (subjects::PARKED, subjects::parked(org, "*")),
        ] {
            let is = |stored: &Stored| is_in(what, stored);
            waiting.erased += self.erase_where(stream, &filter, ALL, mode, is).await?;
        }
        Ok(waiting)
    }

    /// Up to which sequence each lane of a provider has handed messages out that are not settled.
    async fn handed_out(&self, provider: &Name) -> Result<BTreeMap<&'static str, u64>, Error> {
        let mut handed = BTreeMap::new();
        for lane in Lane::ALL {
            let progress = Consumer::lane(provider, lane).progress(self).await?;
            if progress.ack_pending > 0 {
                handed.insert(lane.as_str(), progress.delivered);
            }
        }
        Ok(handed)
    }

    /// The dead letters of it, within these sequences of DEAD.
    pub async fn erase_letters(&self, what: &What, seqs: RangeInclusive<u64>, mode: Mode) -> Result<u64, Error> {
        let org = what.org();
        let mut filters = vec![subjects::dead_filter(None, Some(org.as_str()), None, None)];
        if *org == Name::default_org() {
            filters.push(subjects::dead_filter(None, Some(NO_ORG), None, None));
        }
        let mut erased = 0;
        for filter in filters {
            let is = |stored: &Stored| match wire::decode::<DeadLetter>(&stored.body) {
                Ok(letter) => what.is_letter(&letter),
                // Written by a newer version: of an org all goes.
                Err(_) => what.is_org(),
            };
            erased += self
                .erase_where(subjects::DEAD, &filter, seqs.clone(), mode, is)
                .await?;
        }
        Ok(erased)
    }

    /// How many dead letters behind a sequence of DEAD keep something of it, of those that can have been made late. Refused
    /// inputs are made for as long as somebody sends them in: they count where a closed org's input was kept although it must
    /// not be, and not where anybody could send the next one.
    pub async fn late_letters(&self, what: &What, behind: u64) -> Result<u64, Error> {
        let filter = subjects::dead_filter(None, Some(what.org().as_str()), None, None);
        let seqs = behind.saturating_add(1)..=u64::MAX;
        let is = |stored: &Stored| match wire::decode::<DeadLetter>(&stored.body) {
            Ok(letter) => what.is_letter(&letter) && what.is_late(&letter),
            Err(_) => what.is_org(),
        };
        self.erase_where(subjects::DEAD, &filter, seqs, Mode::Count, is).await
    }

    /// The records of it, within these sequences of OUTCOMES.
    pub async fn erase_records(&self, what: &What, seqs: RangeInclusive<u64>, mode: Mode) -> Result<u64, Error> {
        let filter = vec![subjects::OUTCOME_ALL.to_owned()];
        let mut puller = Puller::open(
            self,
            Consumer::follow(self, subjects::OUTCOMES, filter, From::Seq((*seqs.start()).max(1))),
        )
        .await?;
        let mut erased = 0;
        while let Some(message) = puller.next_left(BATCH).await {
            if message.place.seq > *seqs.end() {
                break;
            }
            let Some((rest, gone)) = without(what, &message.body)? else {
                continue;
            };
            erased += gone;
            if mode == Mode::Count {
                continue;
            }
            if let Some(rest) = rest {
                let subject = message.subject.to_string();
                let copy = Publish {
                    subject: message.subject.clone(),
                    id: None,
                    headers: Vec::new(),
                    body: rest,
                };
                let stored = self.publisher().publish_within(copy, STORE_WITHIN).await;
                stored.map_err(|source| Error::Publish { subject, source })?;
            }
            self.erase(subjects::OUTCOMES, message.place.seq).await?;
        }
        puller.close().await;
        Ok(erased)
    }

    /// What a bucket holds under keys such as `key.acme.*`, without a trace: who follows the bucket does not hear of it.
    pub async fn erase_keys(&self, bucket: &str, key: &str, mode: Mode) -> Result<u64, Error> {
        let (stream, filter) = (format!("KV_{bucket}"), format!("$KV.{bucket}.{key}"));
        match mode {
            Mode::Count => Ok(self.subject_counts(&stream, &filter).await?.0.values().sum()),
            Mode::Erase => self.purge(&stream, Some(&filter), None).await,
        }
    }

    /// What a key of a bucket held before what it holds now.
    pub async fn erase_former(&self, bucket: &str, key: &str) -> Result<u64, Error> {
        let (stream, subject) = (format!("KV_{bucket}"), format!("$KV.{bucket}.{key}"));
        let mut last = 0;
        self.scan_queue(&stream, &subject, |stored| last = stored.seq).await?;
        self.purge(&stream, Some(&subject), Some(last)).await
    }

    /// Erases those of the messages under a filter that `is` says, within these sequences.
    async fn erase_where(
        &self,
        stream: &str,
        filter: &str,
        seqs: RangeInclusive<u64>,
        mode: Mode,
        mut is: impl FnMut(&Stored) -> bool,
    ) -> Result<u64, Error> {
        let (mut next, mut erased) = ((*seqs.start()).max(1), 0);
        loop {
            let part = self.read_from(stream, filter, next, PART).await?;
            let Some(last) = part.last() else { return Ok(erased) };
            next = last.seq + 1;
            let wanted = part.iter().filter(|stored| seqs.contains(&stored.seq) && is(stored));
            let found = wanted.map(|stored| stored.seq).collect();
            erased += self.erase_all(stream, found, mode).await?;
            if next > *seqs.end() {
                return Ok(erased);
            }
        }
    }

    async fn erase_all(&self, stream: &str, seqs: Vec<u64>, mode: Mode) -> Result<u64, Error> {
        let count = seqs.len() as u64;
        if mode == Mode::Erase {
            // As a list, because the compiler cannot follow a borrowing closure into a future that may change threads.
            let each: Vec<_> = seqs.into_iter().map(|seq| self.erase(stream, seq)).collect();
            stream::iter(each)
                .buffer_unordered(AT_ONCE)
                .try_collect::<Vec<()>>()
                .await?;
        }
        Ok(count)
    }
}

/// The lane of a message of a provider's stream; nothing of a schedule.
fn lane(stored: &Stored) -> &'static str {
    match subjects::lane_of(&stored.subject) {
        Some(lane) if !subjects::is_retry(&stored.subject) => lane.as_str(),
        _ => "",
    }
}

fn is_in(what: &What, stored: &Stored) -> bool {
    // The subject names the org already.
    what.is_org() || wire::decode_delivery(&stored.body).is_ok_and(|delivery| what.is_delivery(&delivery))
}

/// A message of OUTCOMES without what is erased, `None` where nothing is left of it, and how many records that concerns.
/// `None` where it concerns none.
fn without(what: &What, body: &[u8]) -> Result<Option<(Option<Bytes>, u64)>, Error> {
    let batch: Batch = match wire::decode(body) {
        Ok(batch) => batch,
        Err(error) => {
            tracing::warn!(%error, "a message of OUTCOMES cannot be read, and is left as it is");
            return Ok(None);
        }
    };
    let mut gone = 0;
    let mut records: Vec<ByteBuf> = Vec::with_capacity(batch.records.len());
    for record in batch.records {
        match wire::decode::<Record>(&record) {
            Ok(Record::Attempt(attempt)) if attempt.events.iter().any(|event| what.is_named(&attempt.org, event)) => {
                gone += 1;
                if let Some(rest) = what.rest(&attempt) {
                    records.push(ByteBuf::from(wire::encode(&Record::Attempt(rest))?));
                }
            }
            // Of others, or of a form that only a newer version knows.
            _ => records.push(record),
        }
    }
    if gone == 0 {
        return Ok(None);
    }
    if records.is_empty() {
        return Ok(Some((None, gone)));
    }
    Ok(Some((Some(Bytes::from(wire::encode(&Batch { records })?)), gone)))
}

#[cfg(test)]
mod tests;
