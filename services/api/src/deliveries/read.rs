//! Reading the streams for deliveries, newest first, and no more than is needed or allowed.
//!
//! What a stream of ends has stored since a time T holds all that became of events accepted since T. So the streams are
//! read backwards until a page is full of deliveries of events accepted behind the place reached: no older entry could
//! come before them. Where ends come late (retries over hours) this reads far, and the bounds below end it.
//!
//! What waits is read whole, whatever its age, as its order in the streams says little of when its event was accepted.

use std::{collections::HashSet, ops::ControlFlow, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _};
use signalbox_broker::{Error as BrokerError, browse::Stored, topology::From};
use signalbox_proto::{DeadLetter, Delivery, Name, Record, State, Timestamp, act::Mark, subjects, wire};
use signalbox_runtime::Problem;

use super::{
    filter::{Filter, key_of},
    kept::{KEPT_MAX, Kept, Take},
};
use crate::{
    Shared, problems,
    story::{Place, Story, Wanted, windows::Windows},
};

/// Most messages of the queues (lanes, schedules, ORDERED, BATCH, PARKED) that one request reads.
const WAITING_READ_MAX: usize = 100_000;
/// Most messages of OUTCOMES that one request reads; each holds up to 64 records.
const OUTCOMES_READ_MAX: usize = 20_000;
/// Most dead letters that one request reads.
const DEAD_READ_MAX: usize = 10_000;
/// How long a message may stay in a lane after its delivery ended: a few times the wait of a consumer.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(90);
/// Messages of a queue asked for at a time.
const BATCH: usize = 1_000;
/// Messages read back between two looks at whether the page is full.
const PART: usize = 250;
/// Events read at a time for the times of their acceptance.
const EVENTS_AT_ONCE: usize = 16;

/// A stream that tells how deliveries ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Outcomes,
    Dead,
}

/// One request's reading.
pub(super) struct Reading<'a> {
    shared: &'a Shared,
    filter: &'a Filter,
    kept: Kept<'a>,
    waiting_left: usize,
    /// Whether a bound, or a stream that did not answer, kept something from being read.
    truncated: bool,
}

impl<'a> Reading<'a> {
    /// Reads for lists.
    pub(super) fn of_many(shared: &'a Shared, filter: &'a Filter) -> Self {
        let wanted = Wanted::Of {
            org: &filter.org,
            integration: filter.integration.as_deref(),
            provider: filter.provider.as_ref(),
        };
        Self::new(shared, filter, wanted)
    }

    /// Reads for one delivery.
    pub(super) fn of_one(shared: &'a Shared, filter: &'a Filter, ids: &'a HashSet<String>) -> Self {
        Self::new(shared, filter, Wanted::Ids { org: &filter.org, ids })
    }

    fn new(shared: &'a Shared, filter: &'a Filter, wanted: Wanted<'a>) -> Self {
        Self {
            shared,
            filter,
            kept: Kept::new(filter, wanted, KEPT_MAX),
            waiting_left: WAITING_READ_MAX,
            truncated: false,
        }
    }

    /// Reads enough for a page of so many deliveries; ends before `since` are not looked at.
    pub(super) async fn page(&mut self, limit: usize, since: Timestamp) -> Result<(), Problem> {
        let statuses = self.filter.statuses;
        // What waits is read before what ended: a delivery that ends meanwhile is seen at least once.
        if statuses.wait() {
            self.waiting(Take::All).await?;
        }
        let mut stop = since;
        if statuses.deliver() {
            stop = self.ends(Ends::Outcomes, Take::All, stop, limit).await?;
        }
        if statuses.die() {
            self.marks(stop).await?;
            stop = self.ends(Ends::Dead, Take::All, stop, limit).await?;
        }
        if !statuses.deliver() && !statuses.die() {
            // Of what waits, all that can have ended is what its worker has not acknowledged yet.
            stop = stop.max(Timestamp::now() - UNACKNOWLEDGED_MAX);
        }
        // How what was found really stands: replayed and waiting, or ended otherwise just now.
        if !statuses.wait() {
            self.waiting(Take::Known).await?;
        }
        if !statuses.deliver() {
            self.ends(Ends::Outcomes, Take::Known, stop, limit).await?;
        }
        if !statuses.die() {
            self.marks(stop).await?;
            self.ends(Ends::Dead, Take::Known, stop, limit).await?;
        }
        self.kept.settle();
        Ok(())
    }

    /// The deliveries that were found, the newest first, at most so many; and whether others may exist.
    pub(super) fn found(&self, most: usize) -> (Vec<&Story>, bool) {
        let found = self.kept.found(most, self.states());
        let truncated = self.truncated || self.kept.is_cut(found.len(), most);
        (found, truncated)
    }

    /// Looks for a delivery where it could wait: for its schedule by name, then through the queues.
    pub(super) async fn waiting_one(&mut self, id: &str) -> Result<Option<Stored>, Problem> {
        let broker = &self.shared.broker;
        for provider in self.providers().await? {
            let found = broker.schedule_of(&provider, &self.filter.org, id).await;
            if let Some(stored) = found.map_err(problems::broker)? {
                self.wait(&stored, Place::Schedule, Take::All, None);
                if self.story(id).is_some() {
                    return Ok(Some(stored));
                }
            }
        }
        self.waiting(Take::All).await?;
        Ok(None)
    }

    /// Reads the attempts and the end of a delivery, back to when its event was accepted.
    pub(super) async fn ended_one(&mut self, id: &str) -> Result<(), Problem> {
        let accepted = self.accepted_at(id).await?.unwrap_or_default();
        self.ends(Ends::Outcomes, Take::All, accepted, 1).await?;
        let accepted = self.accepted_at(id).await?.unwrap_or_default();
        self.marks(accepted).await?;
        self.ends(Ends::Dead, Take::All, accepted, 1).await?;
        self.kept.settle();
        Ok(())
    }

    async fn accepted_at(&self, id: &str) -> Result<Option<Timestamp>, Problem> {
        let Some(story) = self.story(id) else { return Ok(None) };
        let story = self.shared.with_times(vec![story.clone()]).await?;
        Ok(story.first().and_then(|story| story.accepted_at))
    }

    /// A delivery, where anything is known of it.
    pub(super) fn story(&self, id: &str) -> Option<&Story> {
        self.kept.story(id)
    }

    /// The problem of a delivery that was not found.
    pub(super) fn missing(&self, id: &str) -> Problem {
        let mut problem = problems::not_found("delivery", id);
        if self.truncated {
            problem.detail.push_str(
                " among those that one request reads: narrow it with ?integration= (--integration), or ask for its event",
            );
        }
        problem
    }

    fn states(&self) -> impl Fn(&str) -> State {
        let directory = &self.shared.directory;
        |integration: &str| directory.state(integration)
    }

    async fn providers(&self) -> Result<Vec<Name>, Problem> {
        match &self.filter.provider {
            Some(provider) => Ok(vec![provider.clone()]),
            None => self.shared.broker.providers().await.map_err(problems::broker),
        }
    }

    /// Reads the lanes, schedules, ORDERED, BATCH and PARKED.
    async fn waiting(&mut self, take: Take) -> Result<(), Problem> {
        if take == Take::Known && self.kept.is_empty() {
            return Ok(());
        }
        let integration = self.filter.integration.as_deref();
        let mut queues = Vec::new();
        for provider in self.providers().await? {
            let stream = subjects::deliver_stream(&provider);
            let filters = subjects::waiting_of(&provider, &self.filter.org, integration);
            queues.extend(filters.into_iter().map(|filter| (stream.clone(), filter)));
            let ordered = subjects::ordered_waiting(&provider, &self.filter.org, integration);
            queues.extend(ordered.map(|filter| (subjects::ORDERED.to_owned(), filter)));
        }
        let integration = integration.unwrap_or("*");
        let batch = subjects::batch(&self.filter.org, integration);
        queues.push((subjects::BATCH.to_owned(), batch));
        let parked = subjects::parked(&self.filter.org, integration);
        queues.push((subjects::PARKED.to_owned(), parked));
        for (stream, subject) in queues {
            if let Err(error) = self.queue(&stream, &subject, take).await {
                // One provider's stream without a leader must not hide what waits for the others.
                tracing::warn!(
                    error = problems::chain(&error),
                    stream,
                    "cannot read what waits in a stream"
                );
                self.truncated = true;
            }
        }
        Ok(())
    }

    async fn queue(&mut self, stream: &str, subject: &str, take: Take) -> Result<(), BrokerError> {
        let broker = self.shared.broker.clone();
        let mut windows = Windows::default();
        if broker.stream_state(stream).await?.messages <= self.waiting_left as u64 {
            let mut next = 1;
            loop {
                let part = broker.read_from(stream, subject, next, BATCH).await?;
                let Some(last) = part.last() else { return Ok(()) };
                next = last.seq + 1;
                self.waiting_left = self.waiting_left.saturating_sub(part.len());
                for stored in &part {
                    let ends = windows.end(self.shared, stream, &stored.subject).await?;
                    self.wait(stored, Place::of(stream, &stored.subject), take, ends);
                }
            }
        }
        // More than may be read: what came last is rather what a reader of the newest asks for.
        broker
            .read_back(stream, subject, None, |stored| {
                if self.waiting_left == 0 {
                    self.truncated = true;
                    return ControlFlow::Break(());
                }
                self.waiting_left -= 1;
                self.wait(&stored, Place::of(stream, &stored.subject), take, None);
                ControlFlow::Continue(())
            })
            .await
    }

    fn wait(&mut self, stored: &Stored, place: Place, take: Take, ends: Option<Timestamp>) {
        match wire::decode_delivery(&stored.body) {
            Ok(delivery) => {
                let due = ends.or(delivery.due);
                self.kept.wait(Delivery { due, ..delivery }, place, take);
            }
            Err(error) => tracing::error!(%error, subject = stored.subject, seq = stored.seq, "cannot read a delivery"),
        }
    }

    /// Reads a stream of ends backwards until `since`, until the page is full or until a bound. Returns how far it read:
    /// what was stored from then on is known.
    async fn ends(&mut self, ends: Ends, take: Take, since: Timestamp, limit: usize) -> Result<Timestamp, Problem> {
        if take == Take::Known && self.kept.is_empty() {
            return Ok(since);
        }
        let broker = self.shared.broker.clone();
        let (stream, subject, mut left) = match ends {
            Ends::Outcomes => (subjects::OUTCOMES, subjects::OUTCOME_ALL.to_owned(), OUTCOMES_READ_MAX),
            Ends::Dead => {
                let provider = self.filter.provider.as_ref().map(Name::as_str);
                let org = Some(self.filter.org.as_str());
                let subject = subjects::dead_filter(None, org, provider, self.filter.integration.as_deref());
                (subjects::DEAD, subject, DEAD_READ_MAX)
            }
        };
        let mut before = None;
        loop {
            let (mut read, mut past, mut reached) = (0, false, since);
            let from = before;
            let each = |stored: Stored| {
                if stored.at < since {
                    past = true;
                    return ControlFlow::Break(());
                }
                (before, reached) = (Some(stored.seq), stored.at);
                match ends {
                    Ends::Outcomes => self.outcomes(&stored, take),
                    Ends::Dead => self.letter(&stored, take),
                }
                read += 1;
                if read == PART {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            };
            broker
                .read_back(stream, &subject, from, each)
                .await
                .map_err(problems::broker)?;
            left = left.saturating_sub(read);
            if past || read < PART {
                return Ok(since);
            }
            if left == 0 {
                self.truncated = true;
                return Ok(reached);
            }
            if take == Take::All && self.is_enough(reached, limit).await? {
                return Ok(reached);
            }
        }
    }

    /// Whether more than `limit` of the wanted deliveries are of events accepted since then: nothing that was stored
    /// before is about such an event.
    async fn is_enough(&self, since: Timestamp, limit: usize) -> Result<bool, Problem> {
        let first = self
            .shared
            .broker
            .first_at(subjects::EVENTS, subjects::EVENT_ALL, since)
            .await;
        let floor = first.map_err(problems::broker)?.unwrap_or(u64::MAX);
        Ok(self.kept.count_from(floor, self.states()) > limit)
    }

    fn outcomes(&mut self, stored: &Stored, take: Take) {
        match wire::decode_records(&stored.body) {
            Ok((records, _)) => {
                for record in records {
                    if let Record::Attempt(attempt) = record {
                        self.kept.record(attempt, stored.at, take);
                    }
                }
            }
            Err(error) => tracing::error!(%error, seq = stored.seq, "cannot read outcomes"),
        }
    }

    fn letter(&mut self, stored: &Stored, take: Take) {
        match wire::decode::<DeadLetter>(&stored.body) {
            Ok(letter) => self.kept.bury(stored.seq, letter, stored.at, take),
            Err(error) => tracing::error!(%error, seq = stored.seq, "cannot read a dead letter"),
        }
    }

    /// Reads what was done to dead letters since.
    async fn marks(&mut self, since: Timestamp) -> Result<(), Problem> {
        let kept = &mut self.kept;
        let each = |message: signalbox_broker::Message| {
            match wire::decode::<Mark>(&message.body) {
                Ok(mark) => kept.mark(mark),
                Err(error) => tracing::error!(%error, seq = message.place.seq, "cannot read a mark in DEAD"),
            }
            ControlFlow::Continue(())
        };
        let marks = vec![subjects::DEAD_MARKS.to_owned()];
        let scan = self.shared.broker.scan(subjects::DEAD, marks, From::Time(since), each);
        scan.await.map(|_| ()).map_err(problems::broker)
    }
}

impl Shared {
    /// Looks up when the events of deliveries were accepted, where their envelopes did not say.
    pub(super) async fn with_times(&self, stories: Vec<Story>) -> Result<Vec<Story>, Problem> {
        futures::stream::iter(stories)
            .map(|mut story| async move {
                if story.accepted_at.is_none() {
                    let seq = key_of(&story).seq;
                    let found = self
                        .broker
                        .read_from(subjects::EVENTS, subjects::EVENT_ALL, seq, 1)
                        .await;
                    let found = found.map_err(problems::broker)?;
                    // EVENTS may have let it go: the first attempt stands in.
                    story.accepted_at = found.first().filter(|stored| stored.seq == seq).map(|stored| stored.at);
                }
                Ok(story)
            })
            .buffered(EVENTS_AT_ONCE)
            .try_collect()
            .await
    }
}
