//! Reading the streams for deliveries, newest first, and no more than is needed or allowed.
//!
//! What a stream of ends has stored since a time T holds all that became of events accepted since T. So the streams are
//! read backwards until a page is full of deliveries of events accepted behind the place reached, and as much later as clocks
//! may be apart: no older entry could come before them. Where ends come late (retries over hours) this reads far, and the bounds below end it.
//!
//! What waits is read whole, but what was stored before the events of the page were accepted: its order in the streams
//! says little else of when that was.
//!
//! [`super::recorded`] reads the database first, and of the streams what lies behind it. What is here alone reads all
//! from the streams, for while the database is away.

use std::{collections::HashSet, ops::ControlFlow, time::Duration};

use signalbox_broker::{Error as BrokerError, browse::Stored};
use signalbox_proto::{DeadLetter, Delivery, Name, Record, State, Timestamp, subjects, wire};
use signalbox_runtime::Problem;
use signalbox_store::history::Cursor;

use super::{
    filter::Filter,
    kept::{KEPT_MAX, Kept, Take},
};
use crate::{
    Shared,
    history::{CLOCKS_APART, Edge},
    problems,
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
/// The same as [`CLOCKS_APART`] for queues, which hold whole deliveries, many of a second: clocks that are set by the network
/// differ by less.
const APART: Duration = Duration::from_secs(1);
/// A queue of so many messages is read whole, forwards.
const SHORT: u64 = 500;
/// Messages read back between two looks at whether the page is full.
const PART: usize = 250;
/// So many messages behind what is recorded are read forwards: a request or two.
const CLOSE: u64 = 1_000;

/// A stream that tells how deliveries ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Outcomes,
    Dead,
}

/// One request's reading.
pub(super) struct Reading<'a> {
    pub(super) shared: &'a Shared,
    pub(super) filter: &'a Filter,
    pub(super) kept: Kept<'a>,
    /// The only provider and integration whose queues may hold what is looked for, where that is known.
    pub(super) narrow: Option<(Name, String)>,
    waiting_left: usize,
    /// The last sequences that were read, of OUTCOMES and of DEAD.
    pub(super) seen: (u64, u64),
    /// Whether a bound, or a stream that did not answer, kept something from being read.
    pub(super) truncated: bool,
    /// Whether the database was read.
    pub(super) recorded: bool,
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
            narrow: None,
            waiting_left: WAITING_READ_MAX,
            seen: (0, 0),
            truncated: false,
            recorded: false,
        }
    }

    /// Reads enough for a page of so many deliveries from the streams alone; ends before `since` are not looked at.
    pub(super) async fn page(&mut self, limit: usize, since: Timestamp) -> Result<(), Problem> {
        let statuses = self.filter.statuses;
        let accepted = self.kept.since();
        // What waits is read before what ended: a delivery that ends meanwhile is seen at least once.
        if statuses.wait() {
            self.waiting(Take::All, accepted, limit).await?;
        }
        let mut stop = since - CLOCKS_APART;
        if statuses.deliver() {
            stop = self
                .ends(Ends::Outcomes, Take::All, Edge::of_nothing(stop), limit)
                .await?;
        }
        if statuses.die() {
            self.marks(Edge::of_nothing(stop)).await?;
            stop = self.ends(Ends::Dead, Take::All, Edge::of_nothing(stop), limit).await?;
        }
        if !statuses.deliver() && !statuses.die() {
            // Of what waits, all that can have ended is what its worker has not acknowledged yet.
            stop = stop.max(Timestamp::now() - UNACKNOWLEDGED_MAX);
        }
        // How what was found really stands: replayed and waiting, or ended otherwise just now.
        if !statuses.wait() {
            self.waiting(Take::Known, accepted, limit).await?;
        }
        if !statuses.deliver() {
            self.ends(Ends::Outcomes, Take::Known, Edge::of_nothing(stop), limit)
                .await?;
        }
        if !statuses.die() {
            self.marks(Edge::of_nothing(stop)).await?;
            self.ends(Ends::Dead, Take::Known, Edge::of_nothing(stop), limit)
                .await?;
        }
        self.kept.settle();
        Ok(())
    }

    /// Reads what lies behind the edges of what is recorded.
    pub(super) async fn behind(&mut self, outcomes: Edge, dead: Edge, limit: usize) -> Result<(), Problem> {
        if self.shared.goes_on(subjects::OUTCOMES, outcomes).await? {
            self.ends(Ends::Outcomes, Take::All, outcomes, limit).await?;
        }
        if self.shared.goes_on(subjects::DEAD, dead).await? {
            self.marks(dead).await?;
            self.ends(Ends::Dead, Take::All, dead, limit).await?;
        }
        self.kept.settle();
        Ok(())
    }

    /// The deliveries that were found, the newest first, at most so many; and whether others may exist.
    pub(super) fn found(&self, most: usize) -> (Vec<&Story>, bool) {
        let found = self.kept.found(most, self.states());
        let truncated = self.truncated || self.kept.is_cut(found.len(), most) || !self.recorded;
        (found, truncated)
    }

    /// Behind what the next page begins, where what was found does not fill this one.
    pub(super) fn goes_on(&self) -> Option<Cursor> {
        self.kept.goes_on()
    }

    /// Looks for a delivery where it could wait: for its schedule by name, then through the queues.
    pub(super) async fn waiting_one(&mut self, id: &str) -> Result<Option<Stored>, Problem> {
        let broker = &self.shared.broker;
        for provider in self.providers() {
            let found = broker.schedule_of(&provider, &self.filter.org, id).await;
            if let Some(stored) = found.map_err(problems::broker)? {
                self.wait(&stored, Place::Schedule, Take::All, None);
                if self.story(id).is_some() {
                    return Ok(Some(stored));
                }
            }
        }
        let accepted = self.story(id).and_then(|story| story.accepted_at);
        self.waiting(Take::All, accepted, usize::MAX).await?;
        Ok(None)
    }

    /// Reads the attempts and the end of a delivery from the streams alone, back to when its event was accepted.
    pub(super) async fn ended_one(&mut self, id: &str) -> Result<(), Problem> {
        self.ends(Ends::Outcomes, Take::All, self.edge_of(id), 1).await?;
        self.marks(self.edge_of(id)).await?;
        self.ends(Ends::Dead, Take::All, self.edge_of(id), 1).await?;
        self.kept.settle();
        Ok(())
    }

    fn edge_of(&self, id: &str) -> Edge {
        let accepted = self.story(id).and_then(|story| story.accepted_at);
        Edge::of_nothing(accepted.unwrap_or_default() - CLOCKS_APART)
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
        if !self.recorded {
            problem
                .detail
                .push_str("; the database does not answer, and older ones are known there alone");
        }
        problem
    }

    pub(super) fn states(&self) -> impl Fn(&str) -> State + use<'a> {
        let directory = &self.shared.directory;
        |integration: &str| directory.state(integration)
    }

    fn providers(&self) -> Vec<Name> {
        match (&self.narrow, &self.filter.provider) {
            (Some((provider, _)), _) | (None, Some(provider)) => vec![provider.clone()],
            (None, None) => self.shared.directory.providers(),
        }
    }

    /// Reads the lanes, schedules, ORDERED, BATCH and PARKED, but what was stored before the events of interest were
    /// `accepted`; of a long queue, the newest until a page of so many is full.
    pub(super) async fn waiting(
        &mut self,
        take: Take,
        accepted: Option<Timestamp>,
        limit: usize,
    ) -> Result<(), Problem> {
        if take == Take::Known && self.kept.is_empty() {
            return Ok(());
        }
        let since = accepted.map(|accepted| accepted - APART);
        let look = self.shared.queues.look(self.shared).await;
        let (shared, filter) = (self.shared, self.filter);
        let narrow = self.narrow.clone();
        let (provider, integration) = match &narrow {
            Some((provider, integration)) => (Some(provider), Some(integration.as_str())),
            None => (filter.provider.as_ref(), filter.integration.as_deref()),
        };
        let mut queues = Vec::new();
        for provider in look
            .providers
            .iter()
            .filter(|known| provider.is_none_or(|wanted| wanted == *known))
        {
            let stream = subjects::deliver_stream(provider);
            let filters = subjects::waiting_of(provider, &filter.org, integration);
            queues.extend(filters.into_iter().map(|filter| (stream.clone(), filter)));
            let ordered = subjects::ordered_waiting(provider, &filter.org, integration);
            queues.extend(ordered.map(|filter| (subjects::ORDERED.to_owned(), filter)));
        }
        let integration = integration.unwrap_or("*");
        let batch = subjects::batch(&filter.org, integration);
        queues.push((subjects::BATCH.to_owned(), batch));
        let parked = subjects::parked(&filter.org, integration);
        queues.push((subjects::PARKED.to_owned(), parked));
        for (stream, subject) in queues {
            let messages = look.messages(&stream);
            if messages == Some(0) {
                continue;
            }
            // When a digest closes is asked of BATCH between its members.
            let is_whole = take == Take::Known || limit == usize::MAX || stream == subjects::BATCH;
            let most = if is_whole { self.waiting_left as u64 } else { SHORT };
            // One that did not say how much it holds does not answer this either, or has an answer now.
            let read = if messages.is_none_or(|messages| messages <= most) {
                self.queue(shared, &stream, &subject, take, since).await
            } else {
                self.queue_back(shared, (&stream, &subject), take, since, limit).await
            };
            if let Err(error) = read {
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

    async fn queue(
        &mut self,
        shared: &Shared,
        stream: &str,
        subject: &str,
        take: Take,
        since: Option<Timestamp>,
    ) -> Result<(), BrokerError> {
        let broker = &shared.broker;
        let mut windows = Windows::default();
        let first = match since {
            Some(since) => broker.first_at(stream, subject, since).await?,
            None => Some(1),
        };
        let Some(mut next) = first else { return Ok(()) };
        loop {
            let part = broker.read_from(stream, subject, next, BATCH).await?;
            let Some(last) = part.last() else { return Ok(()) };
            next = last.seq + 1;
            self.waiting_left = self.waiting_left.saturating_sub(part.len());
            for stored in &part {
                let ends = windows.end(shared, stream, &stored.subject).await?;
                self.wait(stored, Place::of(stream, &stored.subject), take, ends);
            }
        }
    }

    /// The same backwards: what came last is rather what a reader of the newest asks for.
    async fn queue_back(
        &mut self,
        shared: &Shared,
        (stream, subject): (&str, &str),
        take: Take,
        since: Option<Timestamp>,
        limit: usize,
    ) -> Result<(), BrokerError> {
        let mut before = None;
        loop {
            let (mut read, mut reached) = (0, None);
            let from = before;
            let each = |stored: Stored| {
                if since.is_some_and(|since| stored.at < since) {
                    return ControlFlow::Break(());
                }
                if self.waiting_left == 0 {
                    self.truncated = true;
                    return ControlFlow::Break(());
                }
                self.waiting_left -= 1;
                (before, reached) = (Some(stored.seq), Some(stored.at));
                self.wait(&stored, Place::of(stream, &stored.subject), take, None);
                read += 1;
                if read == PART {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            };
            shared.broker.read_back(stream, subject, from, each).await?;
            match reached {
                Some(reached) if read == PART => {
                    if take == Take::All && self.is_enough(reached, APART, limit) {
                        return Ok(());
                    }
                }
                _ => return Ok(()),
            }
        }
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

    /// Reads a stream of ends: what lies behind the edge of what is known of it. Returns how far it read: what was
    /// stored from then on is known.
    async fn ends(&mut self, ends: Ends, take: Take, edge: Edge, limit: usize) -> Result<Timestamp, Problem> {
        if take == Take::Known && self.kept.is_empty() {
            return Ok(edge.since);
        }
        let (stream, subject, left) = match ends {
            Ends::Outcomes => (subjects::OUTCOMES, subjects::OUTCOME_ALL.to_owned(), OUTCOMES_READ_MAX),
            Ends::Dead => {
                let provider = self.filter.provider.as_ref().map(Name::as_str);
                let org = Some(self.filter.org.as_str());
                let subject = subjects::dead_filter(None, org, provider, self.filter.integration.as_deref());
                (subjects::DEAD, subject, DEAD_READ_MAX)
            }
        };
        if edge.seq > 0 && edge.behind() <= CLOSE {
            let mut next = edge.seq + 1;
            loop {
                let part = self.shared.broker.read_from(stream, &subject, next, BATCH).await;
                let part = part.map_err(problems::broker)?;
                let Some(last) = part.last() else { return Ok(edge.since) };
                next = last.seq + 1;
                part.iter().for_each(|stored| self.end(ends, stored, take));
            }
        }
        self.ends_back(ends, (stream, &subject), take, edge, (left, limit))
            .await
    }

    /// The same backwards, until the page is full or until a bound.
    async fn ends_back(
        &mut self,
        ends: Ends,
        (stream, subject): (&str, &str),
        take: Take,
        edge: Edge,
        (mut left, limit): (usize, usize),
    ) -> Result<Timestamp, Problem> {
        let broker = self.shared.broker.clone();
        let mut before = None;
        loop {
            let (mut read, mut past, mut reached) = (0, false, edge.since);
            let from = before;
            let each = |stored: Stored| {
                if edge.covers(stored.seq, stored.at) {
                    past = true;
                    return ControlFlow::Break(());
                }
                (before, reached) = (Some(stored.seq), stored.at);
                self.end(ends, &stored, take);
                read += 1;
                if read == PART {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            };
            broker
                .read_back(stream, subject, from, each)
                .await
                .map_err(problems::broker)?;
            left = left.saturating_sub(read);
            if past || read < PART {
                return Ok(edge.since);
            }
            if left == 0 {
                self.truncated = true;
                return Ok(reached);
            }
            if take == Take::All && self.is_enough(reached, CLOCKS_APART, limit) {
                return Ok(reached);
            }
        }
    }

    /// Whether the page is full of deliveries of events about which nothing was stored before `reached`.
    fn is_enough(&mut self, reached: Timestamp, apart: Duration, limit: usize) -> bool {
        let states = self.states();
        self.kept.stop_where_full(reached, apart, limit, states)
    }

    fn end(&mut self, ends: Ends, stored: &Stored, take: Take) {
        match ends {
            Ends::Outcomes => {
                self.seen.0 = stored.seq.max(self.seen.0);
                self.outcomes(stored, take);
            }
            Ends::Dead => {
                self.seen.1 = stored.seq.max(self.seen.1);
                self.letter(stored, take);
            }
        }
    }

    fn outcomes(&mut self, stored: &Stored, take: Take) {
        match wire::decode_records(&stored.body) {
            Ok((records, _)) => {
                for record in records {
                    if let Record::Attempt(attempt) = record {
                        self.kept.record(attempt, take);
                    }
                }
            }
            Err(error) => tracing::error!(%error, seq = stored.seq, "cannot read outcomes"),
        }
    }

    fn letter(&mut self, stored: &Stored, take: Take) {
        match wire::decode::<DeadLetter>(&stored.body) {
            Ok(letter) => self.kept.bury(stored.seq, letter, take),
            Err(error) => tracing::error!(%error, seq = stored.seq, "cannot read a dead letter"),
        }
    }

    /// Reads what was done to dead letters since.
    pub(super) async fn marks(&mut self, edge: Edge) -> Result<(), Problem> {
        let kept = &mut self.kept;
        self.shared
            .marks_behind(edge, |mark| kept.mark(mark))
            .await
            .map_err(problems::broker)
    }
}
