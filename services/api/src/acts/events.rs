//! `POST /v1/events/replay`: accepted events of the past, counted first, then sent to one integration by a keeper.

use std::time::Instant;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use signalbox_matching::{Choice, Past};
use signalbox_proto::{
    Accepted, Integration, Timestamp,
    act::{DeadFilter, EventFilter, Kind},
    subjects, wire,
};
use signalbox_runtime::Problem;
use utoipa::ToSchema;

use super::{Answer, Asked, Shown, begun, by, counted, rate, read_time};
use crate::{
    App, Shared,
    caller::Caller,
    problems,
    problems::invalid,
    request::{Body, Query},
    schema,
};

/// Events a second where a request names no rate.
const RATE: u32 = 100;
/// Events that are counted at a time.
const PART: usize = 200;

/// Which events of the past, and to which integration.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EventReplayRequest)]
pub(crate) struct Wanted {
    /// Accepted at or after: a time, or a duration back from now.
    #[schema(value_type = schema::Moment, required = true)]
    since: Option<String>,
    /// Accepted before; now where it is not given.
    #[schema(value_type = Option<schema::Moment>)]
    until: Option<String>,
    /// Of the types that this pattern covers.
    #[serde(rename = "type")]
    event_type: Option<String>,
    /// The integration, by name or id.
    #[schema(required = true, nullable = false)]
    to: Option<String>,
    /// Also those that its own subscription does not select.
    #[serde(default)]
    ignore_subscription: bool,
    /// Events a second at most.
    #[schema(minimum = 1, maximum = 10_000)]
    rate: Option<u32>,
    /// Count, and do nothing.
    #[serde(default)]
    dry_run: bool,
    /// Who asks, for the record.
    #[schema(max_length = 100)]
    by: Option<String>,
}

/// How many events a replay is about.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventsCounted)]
pub(crate) struct Counted {
    /// Those that would be sent
    matched: u64,
    /// Those of the time and type
    in_range: u64,
    /// Those that the integration's own subscription selects
    selected: u64,
    /// Those for which its `where` has no answer
    unanswered: u64,
    /// From when on events are kept
    #[schema(value_type = Option<schema::Time>)]
    available_since: Option<Timestamp>,
}

/// A replay of events that was begun.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventReplay)]
pub(crate) struct Started {
    #[serde(flatten)]
    #[schema(value_type = Shown)]
    act: Shown,
    #[serde(flatten)]
    counts: Counted,
}

/// The events of the time and type that was asked for.
#[derive(Debug, Default)]
struct Count {
    in_range: u64,
    /// Those that the integration's own subscription selects.
    selected: u64,
    /// Those for which its `where` has no answer.
    unanswered: u64,
    unreadable: u64,
}

pub(crate) async fn replay(State(shared): App, caller: Caller, query: Query, Body(wanted): Body<Wanted>) -> Answer {
    let by = by(&caller.name(), wanted.by)?;
    let org = caller.org.clone();
    query.end()?;
    shared.directory.complete()?;
    let now = Timestamp::now();
    let required = |field: &str, what: &str| invalid(field, format!("is missing: {what}"));
    let to = wanted.to.ok_or_else(|| required("to", "name an integration"))?;
    let integration = shared.find(&org, &to).await.map_err(|problem| problem.field("to"))?;
    let since = read_time("since", wanted.since, now)?
        .ok_or_else(|| required("since", "say from when on, such as 2h or 2026-01-31T09:30:00Z"))?;
    let until = read_time("until", wanted.until, now)?;
    if until.is_some_and(|until| until <= since) {
        return Err(invalid("until", "is not after `since`"));
    }
    let per_second = rate(wanted.rate, RATE)?;
    let filter = EventFilter {
        org,
        since,
        until,
        event_type: wanted.event_type,
        ignore_subscription: wanted.ignore_subscription,
    };
    let state = shared.broker.stream_state(subjects::EVENTS).await;
    let state = state.map_err(problems::broker)?;
    let first = shared
        .broker
        .read_from(subjects::EVENTS, subjects::EVENT_ALL, state.first_seq, 1)
        .await
        .map_err(problems::broker)?;
    let available_since = first.first().map(|stored| stored.at);
    let count = shared.count_events(&filter, &integration, state.last_seq).await?;
    let matched = if filter.ignore_subscription {
        count.in_range
    } else {
        count.selected + count.unanswered
    };
    let counts = Counted {
        matched,
        in_range: count.in_range,
        selected: count.selected,
        unanswered: count.unanswered,
        available_since,
    };
    if wanted.dry_run {
        return Ok(counted(counts));
    }
    let act = shared
        .begin(
            &caller,
            Asked {
                kind: Kind::ReplayEvents {
                    to: integration.id.clone(),
                },
                filter: DeadFilter::default(),
                events: Some(filter),
                waiting: None,
                per_second,
                through: state.last_seq,
                total: Some(matched),
                by,
            },
        )
        .await?;
    let act = shared.view_act(&act);
    Ok(begun(Started { act, counts }))
}

impl Shared {
    async fn count_events(
        &self,
        filter: &EventFilter,
        integration: &Integration,
        through: u64,
    ) -> Result<Count, Problem> {
        let asking = EventFilter {
            ignore_subscription: false,
            ..filter.clone()
        };
        let past = Past::new(&asking, integration).map_err(|error| invalid("type", error.to_string()))?;
        let subject = subjects::events_of(&filter.org, past.pattern());
        let mut count = Count::default();
        let first = self.broker.first_at(subjects::EVENTS, &subject, filter.since).await;
        let mut next = first.map_err(problems::broker)?;
        while let Some(from) = next {
            let began = Instant::now();
            let part = self.broker.read_from(subjects::EVENTS, &subject, from, PART).await;
            let part = part.map_err(problems::broker)?;
            next = part.last().map(|last| last.seq + 1);
            for stored in part {
                if stored.seq > through || filter.until.is_some_and(|until| stored.at >= until) {
                    next = None;
                    break;
                }
                let accepted = wire::decode(&stored.body).map(|event| Accepted {
                    event,
                    seq: stored.seq,
                    at: stored.at,
                });
                count.add(accepted.ok().map(|accepted| past.choose(&accepted)));
            }
            // A rest as long as the look: live traffic goes through the same server.
            tokio::time::sleep(began.elapsed()).await;
        }
        if count.unreadable > 0 {
            tracing::error!(count = count.unreadable, "cannot read some accepted events");
        }
        Ok(count)
    }
}

impl Count {
    fn add(&mut self, choice: Option<Choice>) {
        match choice {
            None => self.unreadable += 1,
            Some(Choice::Beside) => {}
            Some(Choice::Unselected) => self.in_range += 1,
            Some(Choice::Unanswered(_)) => {
                self.in_range += 1;
                self.unanswered += 1;
            }
            Some(Choice::Send(_)) => {
                self.in_range += 1;
                self.selected += 1;
            }
        }
    }
}
