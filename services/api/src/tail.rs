//! `GET /v1/tail/{events|deliveries|dead}`: what happens, as it happens, as Server-Sent Events.
//!
//! Each has the id of its place (`<sequence>`, or `<sequence>.<index>` inside a message of several records), and a
//! caller that comes back with `Last-Event-ID` goes on behind it. While nothing comes, a comment says every 15 s that
//! the tail stands, with the place that it has reached.
//!
//! Filters are applied here. What is pulled ahead of a slow reader is bounded, and one that takes nothing for a minute
//! is let go. A tail ends when the process is asked to stop.

use std::{convert::Infallible, str::FromStr, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse as _, Response,
        sse::{Event, Sse},
    },
};
use futures::stream;
use serde::Serialize;
use serde_json::{Value, json};
use signalbox_broker::{
    Message,
    follow::{Follower, Start},
};
use signalbox_matching::{Verdict, explain};
use signalbox_proto::{
    Attempt, DeadLetter, EventType, Integration, Name, Record, Timestamp, pattern::Pattern, subjects, wire,
};
use signalbox_runtime::{Problem, Shutdown};
use tokio::{sync::mpsc, time::Instant};
use utoipa::ToSchema;

use crate::{
    App, Shared,
    caller::Caller,
    dead, problems,
    problems::invalid,
    request::{Path, Query},
    schema, view,
};

/// Tails that a process serves at the same time.
pub(crate) const TAILS_MAX: usize = 64;
/// Entries that wait for a slow reader; what comes after them waits in its stream.
const READY_MAX: usize = 32;
/// A reader that takes nothing for so long is let go.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a tail says that it stands.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Seconds after which a caller may try again while all tails are taken.
const RETRY_AFTER_SECS: u32 = 10;

/// What is tailed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Events,
    Deliveries,
    Dead,
}

impl Kind {
    fn read(text: &str) -> Option<Self> {
        match text {
            "events" => Some(Self::Events),
            "deliveries" => Some(Self::Deliveries),
            "dead" => Some(Self::Dead),
            _ => None,
        }
    }

    const fn stream(self) -> &'static str {
        match self {
            Self::Events => subjects::EVENTS,
            Self::Deliveries => subjects::OUTCOMES,
            Self::Dead => subjects::DEAD,
        }
    }
}

/// Which entries are wanted.
struct Filter {
    kind: Kind,
    org: Name,
    pattern: Option<Pattern>,
    integration: Option<Arc<Integration>>,
}

/// The place behind which a tail goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    seq: u64,
    /// Of a message of several records, the last that was sent; `None` where all were.
    index: Option<usize>,
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (seq, index) = match text.split_once('.') {
            Some((seq, index)) => (seq, Some(index.parse().map_err(|_| ())?)),
            None => (text, None),
        };
        let seq = seq.parse().map_err(|_| ())?;
        Ok(Self { seq, index })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}.{index}", self.seq),
            None => write!(f, "{}", self.seq),
        }
    }
}

pub(crate) async fn tail(
    State(shared): App,
    Extension(shutdown): Extension<Shutdown>,
    Caller { org, .. }: Caller,
    Path(kind): Path,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let kind = Kind::read(&kind).ok_or_else(|| problems::not_found("tail", &kind))?;
    let pattern: Option<Pattern> = query.parse("type")?;
    let integration = query.take("integration");
    let since = query.time("since", Timestamp::now())?;
    query.end()?;
    shared.directory.complete()?;
    let integration = match integration {
        None => None,
        // What was deleted still has attempts and dead letters to show.
        Some(given) => {
            let deleted = || shared.directory.by_id(&given).filter(|found| found.org == org);
            let found = shared.directory.find(&org, &given).or_else(deleted);
            Some(found.ok_or_else(|| problems::not_found("integration", &given))?)
        }
    };
    let last = headers.get("last-event-id").map(|value| {
        let place = value.to_str().ok().and_then(|text| text.parse().ok());
        place.ok_or_else(|| invalid("last-event-id", "is not an id that this tail gave"))
    });
    let last: Option<Place> = last.transpose()?;
    let permit = shared.tails.clone().try_acquire_owned().map_err(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_tails",
            format!("this process serves {TAILS_MAX} tails already: end one, or ask another process"),
        )
        .header(axum::http::header::RETRY_AFTER, RETRY_AFTER_SECS.into())
    })?;
    let filter = Filter {
        kind,
        org,
        pattern,
        integration,
    };
    let (start, skip, gap) = shared.start(kind, last, since).await?;
    let follower = shared
        .broker
        .follow(kind.stream(), filter.subjects(), start)
        .await
        .map_err(problems::broker)?;
    let (ready, taken) = mpsc::channel(READY_MAX);
    let running = Running {
        shared,
        filter,
        ready,
        skip,
        reached: match start {
            Start::After(seq) => Some(seq),
            Start::End | Start::Time(_) => None,
        },
        told: None,
    };
    tokio::spawn(async move {
        running.run(follower, gap, shutdown).await;
        drop(permit);
    });
    let entries = stream::unfold(taken, |mut taken| async move {
        let entry: Event = taken.recv().await?;
        Some((Ok::<_, Infallible>(entry), taken))
    });
    Ok(Sse::new(entries).into_response())
}

impl Filter {
    /// The subjects that may hold what is wanted.
    fn subjects(&self) -> Vec<String> {
        let org = &self.org;
        match self.kind {
            Kind::Events => vec![subjects::events_of(org, self.pattern.as_ref())],
            Kind::Deliveries => vec![subjects::OUTCOME_ALL.to_owned()],
            Kind::Dead => {
                let integration = self.integration.as_ref().map(|integration| integration.id.as_str());
                // What came in without a valid org is the default org's and lies under no org's subject.
                let asked = (*org != Name::default_org()).then_some(org.as_str());
                vec![subjects::dead_filter(None, asked, None, integration)]
            }
        }
    }

    fn wants_type(&self, event_type: &EventType) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.matches(event_type))
    }

    fn wants_integration(&self, id: &str) -> bool {
        self.integration.as_ref().is_none_or(|integration| integration.id == id)
    }

    fn attempt(&self, attempt: &Attempt) -> bool {
        attempt.org == self.org
            && self.wants_integration(&attempt.integration)
            && attempt.events.iter().any(|event| self.wants_type(&event.event_type))
    }

    fn letter(&self, letter: &DeadLetter) -> bool {
        let delivery = letter.delivery.as_deref();
        let is_type = match delivery {
            Some(delivery) => delivery
                .events
                .iter()
                .any(|accepted| self.wants_type(&accepted.event.event_type)),
            // An input that never was an event has no type.
            None => self.pattern.is_none(),
        };
        let is_integration = match delivery {
            Some(delivery) => self.wants_integration(&delivery.integration),
            None => self.integration.is_none(),
        };
        dead::is_of(&self.org, letter.org.as_ref()) && is_type && is_integration
    }
}

impl Shared {
    /// Where a tail begins, the record inside a message that it begins behind, and how many messages are gone that were asked for.
    async fn start(
        &self,
        kind: Kind,
        last: Option<Place>,
        since: Option<Timestamp>,
    ) -> Result<(Start, Option<Place>, u64), Problem> {
        let state = self
            .broker
            .stream_state(kind.stream())
            .await
            .map_err(problems::broker)?;
        let Some(place) = last else {
            return Ok((since.map_or(Start::After(state.last_seq), Start::Time), None, 0));
        };
        if place.seq > state.last_seq {
            // A stream that was made anew counts from 1 again.
            return Ok((Start::Time(state.created), None, 0));
        }
        let next = place.seq + u64::from(place.index.is_none());
        let gap = state.first_seq.saturating_sub(next);
        Ok((Start::After(next.saturating_sub(1)), place.index.map(|_| place), gap))
    }
}

/// An event as it is accepted.
#[derive(Serialize, ToSchema)]
#[schema(as = TailedEvent)]
pub(crate) struct EventEntry {
    #[serde(flatten)]
    event: view::Event,
    #[schema(value_type = schema::Time)]
    accepted_at: Timestamp,
    /// Its place in EVENTS
    sequence: u64,
}

/// An attempt as it ends, with the delivery that it was of.
#[derive(Serialize, ToSchema)]
#[schema(as = TailedAttempt)]
pub(crate) struct AttemptEntry {
    delivery_id: String,
    #[schema(value_type = schema::Name)]
    org: Name,
    #[schema(value_type = schema::Name)]
    provider: Name,
    integration_id: String,
    #[schema(value_type = Option<schema::Name>)]
    integration: Option<Name>,
    /// Of a digest the first
    event_id: Option<String>,
    #[schema(value_type = Option<schema::EventTypeName>)]
    event_type: Option<String>,
    /// How many events it delivers
    events: usize,
    #[serde(flatten)]
    #[schema(value_type = schema::AttemptInHistory)]
    entry: view::Entry,
}

/// A dead letter as it is made.
#[derive(Serialize, ToSchema)]
#[schema(as = TailedDeadLetter)]
pub(crate) struct LetterEntry {
    #[serde(flatten)]
    letter: view::DeadLetter,
    #[schema(value_type = Option<schema::Name>)]
    integration: Option<Name>,
}

/// One tail.
struct Running {
    shared: Arc<Shared>,
    filter: Filter,
    ready: mpsc::Sender<Event>,
    /// The record behind which it begins, inside a message.
    skip: Option<Place>,
    /// The message that was looked at last.
    reached: Option<u64>,
    /// The place that the reader knows.
    told: Option<u64>,
}

impl Running {
    /// Runs until the reader goes, is too slow, or the process is to stop.
    async fn run(mut self, mut follower: Follower, gap: u64, shutdown: Shutdown) {
        if gap > 0 {
            let entry = Event::default()
                .event("gap")
                .data(json!({ "messages": gap }).to_string());
            if !self.send(entry).await {
                return;
            }
        }
        // The caller learns at once that the tail stands, and where it begins.
        if self.skip.is_none() && !self.beat().await {
            return;
        }
        let mut heartbeat = Instant::now() + HEARTBEAT;
        loop {
            let message = tokio::select! {
                message = follower.next() => message,
                () = tokio::time::sleep_until(heartbeat) => {
                    heartbeat = Instant::now() + HEARTBEAT;
                    if !self.beat().await {
                        return;
                    }
                    continue;
                }
                () = self.ready.closed() => return,
                () = shutdown.requested() => return,
            };
            for entry in self.entries(&message) {
                if !self.send(entry).await {
                    return;
                }
                heartbeat = Instant::now() + HEARTBEAT;
            }
        }
    }

    /// False where nobody takes it.
    async fn send(&self, entry: Event) -> bool {
        matches!(self.ready.send_timeout(entry, PATIENCE).await, Ok(()))
    }

    async fn beat(&mut self) -> bool {
        let mut beat = Event::default().comment("still here");
        if let Some(reached) = self.reached
            && self.told != self.reached
        {
            self.told = self.reached;
            beat = beat.id(reached.to_string());
        }
        self.send(beat).await
    }

    /// What of a message is wanted.
    fn entries(&mut self, message: &Message) -> Vec<Event> {
        let seq = message.place.seq;
        self.reached = Some(seq);
        let values = match self.values(message) {
            Ok(values) => values,
            Err(error) => {
                tracing::error!(%error, stream = self.filter.kind.stream(), seq, "cannot read a message");
                Vec::new()
            }
        };
        let entries: Vec<Event> = values
            .into_iter()
            .map(|(place, value)| Event::default().id(place.to_string()).data(value.to_string()))
            .collect();
        if !entries.is_empty() {
            self.told = Some(seq);
        }
        entries
    }

    fn values(&mut self, message: &Message) -> Result<Vec<(Place, Value)>, wire::Error> {
        let seq = message.place.seq;
        let whole = Place { seq, index: None };
        match self.filter.kind {
            Kind::Events => {
                let accepted = message.accepted()?;
                let wanted = self.filter.integration.as_ref().is_none_or(|integration| {
                    // As it is now, not as it was when the tail began.
                    let now = self.shared.directory.by_id(&integration.id);
                    explain(now.as_deref().unwrap_or(integration), &accepted) == Verdict::Match
                });
                if accepted.event.org != self.filter.org || !wanted {
                    return Ok(Vec::new());
                }
                let entry = EventEntry {
                    event: view::accepted(&accepted),
                    accepted_at: accepted.at,
                    sequence: seq,
                };
                Ok(vec![(whole, json!(entry))])
            }
            Kind::Deliveries => {
                let (records, _) = wire::decode_records(&message.body)?;
                let skip = self
                    .skip
                    .take()
                    .filter(|place| place.seq == seq)
                    .and_then(|place| place.index);
                let last = records.len().saturating_sub(1);
                let wanted = |(index, record): (usize, Record)| match record {
                    Record::Attempt(attempt)
                        if self.filter.attempt(&attempt) && skip.is_none_or(|skip| index > skip) =>
                    {
                        let index = (index < last).then_some(index);
                        Some((Place { seq, index }, json!(self.attempt(attempt))))
                    }
                    Record::Attempt(_) | Record::NoRoute(_) | Record::Refused(_) => None,
                };
                Ok(records.into_iter().enumerate().filter_map(wanted).collect())
            }
            Kind::Dead => {
                if subjects::is_dead_mark(&message.subject) {
                    return Ok(Vec::new());
                }
                let letter: DeadLetter = wire::decode(&message.body)?;
                if !self.filter.letter(&letter) {
                    return Ok(Vec::new());
                }
                let letter = view::dead_letter(seq, &letter, None, None);
                let entry = LetterEntry {
                    integration: letter.integration_id.as_deref().and_then(|id| self.name(id)),
                    letter,
                };
                Ok(vec![(whole, json!(entry))])
            }
        }
    }

    /// An attempt with the delivery that it was of.
    fn attempt(&self, attempt: Attempt) -> AttemptEntry {
        let entry = view::entry(&attempt);
        let event_type = match attempt.events.as_slice() {
            [] => None,
            [event] if !attempt.is_digest() => Some(event.event_type.to_string()),
            [..] => Some(signalbox_proto::digest::EVENT_TYPE.to_owned()),
        };
        AttemptEntry {
            integration: self.name(&attempt.integration),
            event_id: attempt.events.first().map(|event| event.id.clone()),
            event_type,
            events: attempt.events.len(),
            delivery_id: attempt.delivery,
            org: attempt.org,
            provider: attempt.provider,
            integration_id: attempt.integration,
            entry,
        }
    }

    fn name(&self, integration: &str) -> Option<Name> {
        self.shared
            .directory
            .by_id(integration)
            .map(|integration| integration.name.clone())
    }
}

#[cfg(test)]
mod tests;
