//! Finding an event by its id.
//!
//! EVENTS cannot be asked for an id, so it is read back from now in growing steps, up to a day and [`LOOKED_AT_MAX`]
//! events. A request that names `since` has all read from there. The cost is that of the time looked at.

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

use crate::{Shared, problems, story::Wanted};

/// How far back an event is looked for in each step, where a request does not say.
const STEPS: [Duration; 3] = [
    Duration::from_secs(3_600),
    Duration::from_secs(6 * 3_600),
    Duration::from_secs(24 * 3_600),
];
/// What a caller who found nothing is told to try.
const FURTHER: Duration = Duration::from_secs(7 * 86_400);
/// Events that are looked at, the newest, where a request does not say how far to look.
const LOOKED_AT_MAX: u64 = 1_000_000;
/// Rejected inputs, the newest first, among which one that was never accepted is looked for.
const REJECTED_MAX: usize = 10_000;

impl Shared {
    /// The accepted events with an id, oldest first, and how far back was looked.
    pub(crate) async fn accepted(
        &self,
        org: &Name,
        wanted: Wanted<'_>,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(Vec<Accepted>, Timestamp), Problem> {
        let steps = match since {
            Some(since) => vec![since],
            None => STEPS.iter().map(|step| now - *step).collect(),
        };
        let partitions = self.broker.config().partitions;
        let filters = subjects::event_filters(subjects::partition(org.as_str(), partitions), partitions);
        let state = self.broker.stream_state(subjects::EVENTS).await;
        let last = state.map_err(problems::broker)?.last_seq;
        let mut found = Vec::new();
        let mut looked_back_to = now;
        // The first sequence that the step before has read.
        let mut before = u64::MAX;
        for back_to in steps {
            let begins = self
                .broker
                .first_at(subjects::EVENTS, subjects::EVENT_ALL, back_to)
                .await;
            let begins = begins.map_err(problems::broker)?.unwrap_or(last + 1);
            let floor = if since.is_some() { 0 } else { floor(last) };
            let from = begins.max(floor);
            looked_back_to = back_to;
            if from < before {
                let mut first_at = None;
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
                    .scan(subjects::EVENTS, filters.clone(), From::Seq(from), each)
                    .await
                    .map_err(problems::broker)?;
                if from > begins {
                    looked_back_to = first_at.unwrap_or(now);
                }
                before = from;
            }
            if !found.is_empty() || from > begins {
                break;
            }
        }
        Ok((found, looked_back_to))
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
        let detail = format!(
            "org {org} accepted no event {id:?} since {looked_back_to}: look further back with ?since= (--since), \
             such as {}",
            duration::format(FURTHER)
        );
        Ok(Problem::new(StatusCode::NOT_FOUND, "not_found", detail))
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

/// The first sequence that is looked at where a request does not say how far to look.
fn floor(last: u64) -> u64 {
    last.saturating_sub(LOOKED_AT_MAX) + 1
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
        None => serde_json::from_slice::<Named>(&input.body).is_ok_and(|named| named.id == id),
    }
}

#[cfg(test)]
mod tests;
