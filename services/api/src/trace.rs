//! `GET /v1/events/{id}`: the whole story of one event, read from the streams.
//!
//! The event from EVENTS, its attempts from OUTCOMES, what was given up from DEAD, and what still waits from the
//! providers' streams and PARKED. All are read from `since` on, so the cost is that of the time looked at.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::ControlFlow,
    sync::Arc,
};

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde_json::{Value, json};
use signalbox_broker::{Message, topology::From};
use signalbox_proto::{
    Accepted, Attempt, DeadLetter, Delivery, Name, Phase, Record, Timestamp,
    act::{Did, Mark},
    ledger::{Final, Row},
    names::check_event_id,
    outcome::Next,
    subjects, wire,
};
use signalbox_runtime::{Problem, duration};

use crate::{App, Shared, problems, problems::invalid, request::Query, view};

/// How far back an event is looked for where a request does not say.
const SINCE: std::time::Duration = std::time::Duration::from_secs(3_600);

pub(crate) async fn trace(
    State(shared): App,
    Path(id): Path<String>,
    mut query: Query,
) -> Result<Json<Value>, Problem> {
    let org = query.org()?;
    let source = query.take("source");
    let since = query
        .time("since", Timestamp::now())?
        .unwrap_or_else(|| Timestamp::now() - SINCE);
    query.end()?;
    check_event_id(&id).map_err(|error| invalid("id", error.to_string()))?;
    shared.directory.complete()?;
    let found = shared.accepted(&org, &id, source.as_deref(), since).await?;
    let sources: BTreeSet<&str> = found.iter().map(|accepted| accepted.event.source.as_str()).collect();
    if sources.len() > 1 {
        let list: Vec<Value> = sources.into_iter().map(Value::from).collect();
        let detail = format!("{} sources have an event {id:?}: say which with ?source=", list.len());
        return Err(Problem::new(StatusCode::CONFLICT, "several_events", detail)
            .field("source")
            .with("sources", list));
    }
    let (Some(first), Some(newest)) = (found.first(), found.last()) else {
        let detail = format!(
            "org {org} accepted no event {id:?} since {since}: look further back with ?since= (--since), such as {}",
            duration::format(SINCE * 24)
        );
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", detail));
    };
    let seqs = found.iter().map(|accepted| accepted.seq).collect();
    let stories = shared.stories(&seqs, first.at).await?;
    Ok(Json(answer(&shared, newest, &stories)))
}

/// What is known of the deliveries of an event.
#[derive(Default)]
struct Stories {
    no_route: bool,
    by_delivery: BTreeMap<String, Story>,
}

#[derive(Default)]
struct Story {
    integration: String,
    provider: String,
    attempts: Vec<Attempt>,
    /// What waits, with the stream's word for it and its time there.
    waiting: Option<(Delivery, Place)>,
    dead: BTreeMap<u64, DeadLetter>,
    ended: Option<Row>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Lane,
    Schedule,
    Parked,
}

impl Stories {
    fn of(&mut self, delivery: &str, integration: &str, provider: &Name) -> &mut Story {
        let story = self.by_delivery.entry(delivery.to_owned()).or_default();
        if story.integration.is_empty() {
            story.integration = integration.to_owned();
            story.provider = provider.to_string();
        }
        story
    }

    fn record(&mut self, seqs: &HashSet<u64>, record: Record) {
        match record {
            Record::NoRoute(ranges) => {
                self.no_route |= ranges
                    .iter()
                    .any(|(first, last)| seqs.iter().any(|seq| (first..=last).contains(&seq)));
            }
            Record::Attempt(attempt) if attempt.events.iter().any(|event| seqs.contains(&event.seq)) => {
                let story = self.of(&attempt.delivery, &attempt.integration, &attempt.provider);
                if let Next::Final(state) = attempt.next {
                    story.end(attempt.generation, state);
                }
                // A crash after the outcome was written repeats it.
                let same = |known: &Attempt| {
                    (known.generation, known.attempt, known.at) == (attempt.generation, attempt.attempt, attempt.at)
                };
                if !story.attempts.iter().any(same) {
                    story.attempts.push(attempt);
                }
            }
            Record::Attempt(_) => {}
        }
    }

    fn bury(&mut self, seqs: &HashSet<u64>, seq: u64, letter: DeadLetter) {
        let Some(delivery) = letter.delivery.as_deref() else {
            return;
        };
        if owes(delivery, seqs) {
            let story = self.of(&delivery.id, &delivery.integration, &delivery.provider);
            story.end(delivery.generation, letter.reason.ledger());
            story.dead.insert(seq, letter);
        }
    }

    fn wait(&mut self, seqs: &HashSet<u64>, delivery: Delivery, place: Place) {
        if owes(&delivery, seqs) {
            let story = self.of(&delivery.id, &delivery.integration, &delivery.provider);
            let newer =
                |known: &(Delivery, Place)| (known.0.generation, known.0.hop) < (delivery.generation, delivery.hop);
            if story.waiting.as_ref().is_none_or(newer) {
                story.waiting = Some((delivery, place));
            }
        }
    }
}

fn owes(delivery: &Delivery, seqs: &HashSet<u64>) -> bool {
    delivery.events.iter().any(|accepted| seqs.contains(&accepted.seq))
}

impl Story {
    fn end(&mut self, generation: u32, state: Final) {
        let row = Row { generation, state };
        self.ended = Some(self.ended.map_or(row, |known| known.join(row)));
    }

    /// What waits, unless its generation has ended.
    fn moving(&self) -> Option<&(Delivery, Place)> {
        self.waiting
            .as_ref()
            .filter(|(delivery, _)| self.ended.is_none_or(|row| row.generation < delivery.generation))
    }
}

impl Shared {
    /// The accepted events with an id, oldest first.
    async fn accepted(
        &self,
        org: &Name,
        id: &str,
        source: Option<&str>,
        since: Timestamp,
    ) -> Result<Vec<Accepted>, Problem> {
        let mut found = Vec::new();
        let partitions = self.broker.config().partitions;
        let filters = subjects::event_filters(subjects::partition(org.as_str(), partitions), partitions);
        let each = |message: Message| {
            match message.accepted() {
                Ok(accepted) => {
                    let event = &accepted.event;
                    if event.id == id && event.org == *org && source.is_none_or(|source| event.source == source) {
                        found.push(accepted);
                    }
                }
                Err(error) => tracing::error!(%error, seq = message.place.seq, "cannot read an event"),
            }
            ControlFlow::Continue(())
        };
        self.broker
            .scan(subjects::EVENTS, filters, From::Time(since), each)
            .await
            .map_err(problems::broker)?;
        Ok(found)
    }

    async fn stories(&self, seqs: &HashSet<u64>, since: Timestamp) -> Result<Stories, Problem> {
        let mut stories = Stories::default();
        // What waits is read before what ended: a delivery that ends meanwhile is seen at least once.
        for provider in self.broker.providers().await.map_err(problems::broker)? {
            let stream = subjects::deliver_stream(&provider);
            let each = |stored: signalbox_broker::browse::Stored| {
                let retry = subjects::is_retry(&stored.subject);
                read_waiting(
                    &mut stories,
                    seqs,
                    &stored,
                    if retry { Place::Schedule } else { Place::Lane },
                );
            };
            self.broker
                .scan_queue(&stream, ">", each)
                .await
                .map_err(problems::broker)?;
        }
        let [parked, _gates] = subjects::PARKED_SUBJECTS;
        let each = |stored: signalbox_broker::browse::Stored| read_waiting(&mut stories, seqs, &stored, Place::Parked);
        self.broker
            .scan_queue(subjects::PARKED, parked, each)
            .await
            .map_err(problems::broker)?;

        let each = |message: Message| {
            match wire::decode_records(&message.body) {
                Ok((records, _)) => records.into_iter().for_each(|record| stories.record(seqs, record)),
                Err(error) => tracing::error!(%error, seq = message.place.seq, "cannot read outcomes"),
            }
            ControlFlow::Continue(())
        };
        let all = vec![subjects::OUTCOME_ALL.to_owned()];
        self.broker
            .scan(subjects::OUTCOMES, all, From::Time(since), each)
            .await
            .map_err(problems::broker)?;

        let mut marks = Vec::new();
        let each = |message: Message| {
            if subjects::is_dead_mark(&message.subject) {
                marks.extend(wire::decode::<Mark>(&message.body).ok());
            } else {
                match wire::decode::<DeadLetter>(&message.body) {
                    Ok(letter) => stories.bury(seqs, message.place.seq, letter),
                    Err(error) => tracing::error!(%error, seq = message.place.seq, "cannot read a dead letter"),
                }
            }
            ControlFlow::Continue(())
        };
        let all = subjects::DEAD_SUBJECTS.map(str::to_owned).to_vec();
        self.broker
            .scan(subjects::DEAD, all, From::Time(since), each)
            .await
            .map_err(problems::broker)?;
        for mark in marks.iter().filter(|mark| mark.did == Did::Discarded) {
            for story in stories.by_delivery.values_mut() {
                let generations: Vec<u32> = mark
                    .seqs
                    .iter()
                    .filter_map(|seq| Some(story.dead.get(seq)?.delivery.as_ref()?.generation))
                    .collect();
                generations
                    .into_iter()
                    .for_each(|generation| story.end(generation, Final::Discarded));
            }
        }
        Ok(stories)
    }
}

fn read_waiting(stories: &mut Stories, seqs: &HashSet<u64>, stored: &signalbox_broker::browse::Stored, place: Place) {
    match wire::decode_delivery(&stored.body) {
        Ok(delivery) => stories.wait(seqs, delivery, place),
        Err(error) => tracing::error!(%error, subject = stored.subject, seq = stored.seq, "cannot read a delivery"),
    }
}

fn answer(shared: &Arc<Shared>, accepted: &Accepted, stories: &Stories) -> Value {
    let status = match (stories.by_delivery.is_empty(), stories.no_route) {
        (false, _) => "routed",
        (true, true) => "no_route",
        (true, false) => "accepted",
    };
    let deliveries: Vec<Value> = stories
        .by_delivery
        .iter()
        .map(|(id, story)| delivery(shared, accepted, id, story))
        .collect();
    json!({
        "event": view::accepted(accepted),
        "accepted_at": accepted.at,
        "sequence": accepted.seq,
        "status": status,
        "data_expired": false,
        "deliveries": deliveries,
    })
}

fn delivery(shared: &Arc<Shared>, accepted: &Accepted, id: &str, story: &Story) -> Value {
    let integration = shared.directory.by_id(&story.integration);
    let mut attempts: Vec<&Attempt> = story.attempts.iter().collect();
    attempts.sort_by_key(|attempt| (attempt.generation, attempt.attempt, attempt.at));
    let sent: Vec<&&Attempt> = attempts.iter().filter(|attempt| attempt.outcome.is_some()).collect();
    let last = sent.last();
    let moving = story.moving();
    let phase = shared.directory.state(&story.integration).phase;
    let (status, waiting_for) = match (moving, story.ended) {
        (Some((_, Place::Parked)), _) => (
            "parked",
            Some(if phase == Phase::Suspended { "breaker" } else { "pause" }),
        ),
        (Some((delivery, _)), _) if delivery.attempt > 0 => ("retrying", None),
        (Some(_), _) => ("pending", None),
        (None, Some(row)) => (row.state.as_str(), None),
        (None, None) => (if sent.is_empty() { "pending" } else { "retrying" }, None),
    };
    let open = moving.is_some() || story.ended.is_none();
    let next_attempt_at = match moving {
        Some((delivery, Place::Schedule | Place::Lane)) => delivery.due,
        Some((_, Place::Parked)) => None,
        None if open => attempts.last().and_then(|attempt| attempt.next_at),
        None => None,
    };
    let dead = story.dead.last_key_value();
    let error_message = match (open, dead) {
        (false, Some((_, letter))) if status != "delivered" => Some(letter.message.clone()),
        _ if status == "delivered" => None,
        _ => attempts.last().and_then(|attempt| attempt.error_message.clone()),
    };
    // What OUTCOMES has let go of or not got yet is in the envelope.
    let notes = moving
        .map(|(delivery, _)| &delivery.notes)
        .or(dead.and_then(|(_, letter)| Some(&letter.delivery.as_ref()?.notes)));
    let history: Vec<Value> = if attempts.is_empty() {
        notes.into_iter().flatten().map(view::note).collect()
    } else {
        attempts.iter().map(|attempt| entry(attempt)).collect()
    };
    json!({
        "id": id,
        "integration_id": story.integration,
        "integration": integration.as_ref().map(|integration| &integration.name),
        "provider": story.provider,
        "event_id": accepted.event.id,
        "event_type": accepted.event.event_type,
        "status": status,
        "waiting_for": waiting_for,
        "generation": attempts.last().map(|attempt| attempt.generation).max(moving.map(|(delivery, _)| delivery.generation)),
        "attempts": sent.len().max(if attempts.is_empty() { history.len() } else { 0 }),
        "last_attempt_at": last.map(|attempt| attempt.at),
        "next_attempt_at": next_attempt_at,
        "response_code": last.and_then(|attempt| attempt.response_code),
        "response_body": last.map(|attempt| &attempt.response_body),
        "error_message": error_message,
        "dead_letter_id": dead.map(|(seq, _)| signalbox_broker::browse::dead_letter_id(*seq)),
        "created_at": accepted.at,
        "history": history,
    })
}

fn entry(attempt: &Attempt) -> Value {
    let next = match attempt.next {
        Next::Final(state) => state.as_str(),
        Next::Retrying => "retrying",
        Next::Parked => "parked",
        Next::Unknown => "unknown",
    };
    json!({
        "generation": attempt.generation,
        "attempt": attempt.attempt,
        "at": attempt.at,
        "duration_ms": attempt.duration_ms,
        "outcome": attempt.outcome,
        "response_code": attempt.response_code,
        "response_body": attempt.response_body,
        "error_message": attempt.error_message,
        "next": next,
        "next_at": attempt.next_at,
    })
}
