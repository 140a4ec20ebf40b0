//! Finding an event by its id.
//!
//! EVENTS cannot be asked for an id, so it is read back from now in growing steps, up to a day and [`LOOKED_AT_MAX`]
//! events. What was just published is found among the newest few thousand, however many there are. A UUIDv7 says when
//! it was made, so it is looked for there first. A request that names `since` has all read from there. The cost is that
//! of the time looked at.
//!
//! Several sources may use one id, and the answer is to say so: that is seen among the events of the step in which the
//! first one is found. The first steps are therefore kept for ids that no second source would make up by chance.

use std::{ops::ControlFlow, time::Duration};

use axum::http::StatusCode;
use serde::Deserialize;
use signalbox_broker::{
    Message,
    browse::{Stored, dead_letter_id},
    topology::From,
};
use signalbox_proto::{Accepted, DeadLetter, Name, Stage, Timestamp, dead::Input, subjects, wire};
use signalbox_runtime::{Problem, duration};

use uuid::Uuid;

use super::recorded::Rows;
use crate::{Shared, problems, story::Wanted};

const HOUR: Duration = Duration::from_secs(3_600);
/// How far back an event is looked for in each step, where a request does not say: for so long, and among the newest
/// so many events.
const STEPS: [(Duration, u64); 5] = [
    (HOUR, SURE_MAX),
    (HOUR, 100_000),
    (HOUR, LOOKED_AT_MAX),
    (Duration::from_secs(6 * 3_600), LOOKED_AT_MAX),
    (Duration::from_secs(24 * 3_600), LOOKED_AT_MAX),
];
/// Events of the first step, which is for ids that one source alone has.
const SURE_MAX: u64 = 5_000;
/// An event whose id says when it was made is looked for from so long before, as clocks differ,
const MADE_BEFORE: Duration = Duration::from_secs(2);
/// among so many: those of a second and more of a busy installation.
const MADE_AT_MAX: u64 = 100_000;
/// What a caller who found nothing is told to try.
const FURTHER: Duration = Duration::from_secs(7 * 86_400);
/// Events that are looked at, the newest, where a request does not say how far to look.
const LOOKED_AT_MAX: u64 = 1_000_000;
/// Rejected inputs, the newest first, among which one that was never accepted is looked for.
const REJECTED_MAX: usize = 10_000;
/// Inputs that ingest has not taken yet, the newest, among which an event is looked for; each is a request.
const WAITING_MAX: u64 = 1_000;

impl Shared {
    /// As [`Shared::accepted`], with the help of what the database knows of it: it has the place of an event that was
    /// matched, however long ago. An id that several sources may have by chance is looked for first.
    pub(super) async fn accepted_or_recorded(
        &self,
        org: &Name,
        wanted: Wanted<'_>,
        rows: &Rows,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(Vec<Accepted>, Timestamp), Problem> {
        if is_sure(wanted) {
            let found = self.accepted_at(org, wanted, rows).await?;
            if let Some(first) = found.first().map(|first| first.at) {
                return Ok((found, first));
            }
        }
        let (found, looked_back_to) = self.accepted(org, wanted, since, now).await?;
        if !found.is_empty() || is_sure(wanted) {
            return Ok((found, looked_back_to));
        }
        Ok((self.accepted_at(org, wanted, rows).await?, looked_back_to))
    }

    /// The accepted events with an id, oldest first, and how far back was looked.
    pub(crate) async fn accepted(
        &self,
        org: &Name,
        wanted: Wanted<'_>,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(Vec<Accepted>, Timestamp), Problem> {
        let filters = vec![subjects::events_of(org, None)];
        let state = self.broker.stream_state(subjects::EVENTS).await;
        let last = state.map_err(problems::broker)?.last_seq;
        let id = wanted.event_id();
        if since.is_none()
            && let Some(made) = id.and_then(made_at)
        {
            let from = self.first_event(made - MADE_BEFORE).await?.unwrap_or(last + 1);
            let (found, _) = self.between(org, wanted, &filters, from, from + MADE_AT_MAX).await?;
            if !found.is_empty() {
                return Ok((found, made - MADE_BEFORE));
            }
        }
        let steps: Vec<(Timestamp, u64)> = match since {
            Some(since) => vec![(since, u64::MAX)],
            None => {
                let steps = STEPS.iter().skip(usize::from(!is_sure(wanted)));
                steps.map(|(back, most)| (now - *back, *most)).collect()
            }
        };
        let mut found = Vec::new();
        let mut looked_back_to = now;
        // The first sequence that the step before has read.
        let mut before = u64::MAX;
        for (back_to, most) in steps {
            let begins = self.first_event(back_to).await?.unwrap_or(last + 1);
            let from = begins.max(floor(last, most));
            looked_back_to = back_to;
            if from < before {
                let (more, first_at) = self.between(org, wanted, &filters, from, before).await?;
                found.extend(more);
                if from > begins {
                    looked_back_to = first_at.unwrap_or(now);
                }
                before = from;
            }
            if !found.is_empty() || (from > begins && most == LOOKED_AT_MAX) {
                break;
            }
        }
        Ok((found, looked_back_to))
    }

    /// The sequence of the first event stored at or after a time.
    async fn first_event(&self, at: Timestamp) -> Result<Option<u64>, Problem> {
        let first = self.broker.first_at(subjects::EVENTS, subjects::EVENT_ALL, at).await;
        first.map_err(problems::broker)
    }

    /// The wanted ones of the events from a sequence on, before another; and when the first that was looked at was stored.
    async fn between(
        &self,
        org: &Name,
        wanted: Wanted<'_>,
        filters: &[String],
        from: u64,
        before: u64,
    ) -> Result<(Vec<Accepted>, Option<Timestamp>), Problem> {
        let (mut found, mut first_at) = (Vec::new(), None);
        let each = |message: Message| {
            let seq = message.place.seq;
            if seq >= before {
                return ControlFlow::Break(());
            }
            first_at.get_or_insert(message.place.at);
            match message.accepted() {
                Ok(accepted) => {
                    let event = &accepted.event;
                    if event.org == *org && wanted.names(&event.id, &event.source) {
                        found.push(accepted);
                    }
                }
                Err(error) => tracing::error!(%error, seq, "cannot read an event"),
            }
            ControlFlow::Continue(())
        };
        self.broker
            .scan(subjects::EVENTS, filters.to_vec(), From::Seq(from), each)
            .await
            .map_err(problems::broker)?;
        Ok((found, first_at))
    }

    /// Whether EVENTS has let go of nothing that it stored since then.
    pub(super) async fn keeps_all_since(&self, since: Timestamp) -> Result<bool, Problem> {
        let first = self.first_kept(subjects::EVENTS).await?;
        Ok(first.is_none_or(|first| first <= since))
    }

    /// The time of the first message that a stream still has; `None` where it has let go of none.
    pub(super) async fn first_kept(&self, stream: &str) -> Result<Option<Timestamp>, Problem> {
        let state = self.broker.stream_state(stream).await.map_err(problems::broker)?;
        if state.first_seq <= 1 {
            return Ok(None);
        }
        let first = self.broker.read_from(stream, ">", state.first_seq, 1).await;
        let first = first.map_err(problems::broker)?;
        Ok(Some(first.first().map_or_else(Timestamp::now, |stored| stored.at)))
    }

    /// What is said of an event that was not found: whether its input was rejected, else where else to look.
    pub(crate) async fn not_found(&self, org: &Name, id: &str, looked_back_to: Timestamp) -> Result<Problem, Problem> {
        if let Some(erased) = self.erased(org, id).await? {
            return Ok(erased);
        }
        if let Some((seq, message)) = self.rejected(org, id, looked_back_to).await? {
            let letter = dead_letter_id(seq);
            let flag = if *org == Name::default_org() {
                String::new()
            } else {
                format!(" --org {org}")
            };
            let detail = format!(
                "event {id:?} was never accepted: dead letter {letter}: {message}; \
                 look at it with `signalbox dead show {letter}{flag}`"
            );
            return Ok(Problem::new(StatusCode::NOT_FOUND, "never_accepted", detail).with("dead_letter_id", letter));
        }
        if let Some(since) = self.not_taken_yet(org, id).await? {
            let detail = format!(
                "event {id:?} is in INGEST since {since} and ingest has not taken it yet: look again in a moment; \
                 `signalbox doctor` says whether an ingest runs"
            );
            return Ok(Problem::new(StatusCode::NOT_FOUND, "not_accepted_yet", detail));
        }
        let detail = format!(
            "org {org} accepted no event {id:?} since {looked_back_to}: look further back with ?since= (--since), \
             such as {}",
            duration::format(FURTHER)
        );
        Ok(Problem::new(StatusCode::NOT_FOUND, "not_found", detail))
    }

    /// Since when an input with this id waits in INGEST, where one of the newest does.
    async fn not_taken_yet(&self, org: &Name, id: &str) -> Result<Option<Timestamp>, Problem> {
        let state = self.broker.stream_state(subjects::INGEST).await;
        let state = state.map_err(problems::broker)?;
        let mut next = state.last_seq.saturating_sub(WAITING_MAX) + 1;
        while next <= state.last_seq {
            // Inputs are whatever producers wrote, so they are read as bytes.
            let raw = self.broker.read_raw(subjects::INGEST, next).await;
            let Some(raw) = raw.map_err(problems::broker)? else {
                return Ok(None);
            };
            next = raw.seq + 1;
            let input = Input {
                subject: subjects::given_input(&raw.subject),
                headers: raw.header_list(),
                body: raw.body,
            };
            if subjects::read_input(&input.subject).is_ok_and(|(of, _)| of == *org) && bears(&input, id) {
                return Ok(Some(raw.at));
            }
        }
        Ok(None)
    }

    /// The newest rejected input that bore this id.
    async fn rejected(&self, org: &Name, id: &str, since: Timestamp) -> Result<Option<(u64, String)>, Problem> {
        // What came in without a valid org is the default org's.
        let org = (*org != Name::default_org()).then_some(org.as_str());
        let filter = subjects::dead_filter(Some(Stage::Ingest), org, None, None);
        let (mut found, mut looked_at) = (None, 0);
        let each = |stored: Stored| {
            looked_at += 1;
            if stored.at < since || looked_at > REJECTED_MAX {
                return ControlFlow::Break(());
            }
            let letter: DeadLetter = match wire::decode(&stored.body) {
                Ok(letter) => letter,
                Err(error) => {
                    tracing::error!(%error, seq = stored.seq, "cannot read a dead letter");
                    return ControlFlow::Continue(());
                }
            };
            if letter.input.as_ref().is_some_and(|input| bears(input, id)) {
                found = Some((stored.seq, letter.message));
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        self.broker
            .read_back(subjects::DEAD, &filter, None, each)
            .await
            .map_err(problems::broker)?;
        Ok(found)
    }
}

/// Whether no second source has the id by chance.
fn is_sure(wanted: Wanted<'_>) -> bool {
    let is_made_up = |id| Uuid::parse_str(id).is_ok();
    wanted.is_of_one_source() || wanted.event_id().is_some_and(is_made_up)
}

/// The first sequence of the newest so many.
fn floor(last: u64, most: u64) -> u64 {
    last.saturating_sub(most) + 1
}

/// When an id was made, where it says so.
fn made_at(id: &str) -> Option<Timestamp> {
    let uuid = Uuid::parse_str(id).ok().filter(|uuid| uuid.get_version_num() == 7)?;
    let (secs, _) = uuid.get_timestamp()?.to_unix();
    Some(Timestamp::from_secs(i64::try_from(secs).ok()?))
}

/// Whether an input says that it has this id, in its headers or as a structured CloudEvent.
fn bears(input: &Input, id: &str) -> bool {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    let header = |name: &str| {
        let found = input.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    };
    match header("ce-id").or_else(|| header("Nats-Msg-Id")) {
        Some(given) => given == id,
        None if input.body.trim_ascii_start().starts_with(b"[") => {
            serde_json::from_slice::<Vec<Named>>(&input.body).is_ok_and(|list| list.iter().any(|named| named.id == id))
        }
        None => serde_json::from_slice::<Named>(&input.body).is_ok_and(|named| named.id == id),
    }
}

#[cfg(test)]
mod tests;
