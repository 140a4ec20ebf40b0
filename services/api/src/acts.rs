//! Bulk acts as things that people follow: listed, shown, stopped, resumed. A keeper works them through.

mod events;
mod letters;
mod waiting;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use serde_json::{Value, json};
use signalbox_broker::Error as BrokerError;
use signalbox_proto::{
    Name, Timestamp,
    act::{Act, ActStatus, DeadFilter, EventFilter, Kind, WaitingFilter},
    subjects,
};
use signalbox_runtime::Problem;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    App, Shared,
    audit::{self, Deed},
    caller::Caller,
    problems,
    problems::invalid,
    request::{Path, Query, time},
    schema,
    view::List,
};

pub(crate) use events::{
    Counted as EventsCounted, Started as EventsStarted, Wanted as EventsWanted, replay as replay_events,
};
pub(crate) use letters::{Counted as LettersCounted, Wanted as LettersWanted, discard, replay};
pub(crate) use waiting::{
    Counted as WaitingCounted, Wanted as WaitingWanted, discard as discard_waiting, retry as retry_waiting,
};

/// What a request may ask for, in sends a second.
const RATES: std::ops::RangeInclusive<u32> = 1..=10_000;
/// Acts that may be at work at a time.
const RUNNING_MAX: usize = 100;
/// Times that an act is read again because a keeper wrote it meanwhile.
pub(crate) const WRITE_TRIES: usize = 16;
/// Longest text that says who asks, in characters.
const BY_CHARS_MAX: usize = 100;
/// The statuses that a list can be asked for.
pub(crate) const STATUSES: [&str; 4] = ["running", "done", "cancelled", "failed"];

/// Counts (200), or an act that was begun (202).
type Answer = Result<Response, Problem>;
/// One act.
type One = Result<Json<Shown>, Problem>;

pub(crate) async fn list(State(shared): App, caller: Caller, mut query: Query) -> Result<Json<List<Shown>>, Problem> {
    let status = query.one_of("status", &STATUSES)?;
    let page = query.page()?;
    query.end()?;
    if let Some(cursor) = &page.cursor
        && Uuid::parse_str(cursor).is_err()
    {
        return Err(problems::no_cursor());
    }
    let mut acts: Vec<Act> = shared
        .broker
        .acts()
        .await
        .map_err(problems::broker)?
        .into_iter()
        .map(|entry| entry.value)
        .filter(|act| page.cursor.as_deref().is_none_or(|cursor| act.id.as_str() < cursor))
        .filter(|act| status.is_none_or(|status| word(act.status) == status))
        .filter(|act| caller.sees(org_of(act)))
        .collect();
    // Their ids begin with the time at which they were asked for.
    acts.sort_unstable_by(|a, b| b.id.cmp(&a.id));
    let next = (acts.len() > page.limit).then(|| {
        acts.truncate(page.limit);
        acts.last().map(|last| last.id.clone())
    });
    Ok(Json(List {
        items: acts.iter().map(|act| shared.view_act(act)).collect(),
        next_cursor: next.flatten(),
    }))
}

pub(crate) async fn show(State(shared): App, caller: Caller, Path(id): Path, query: Query) -> One {
    query.end()?;
    Ok(Json(shared.view_act(&shared.read_act(&caller, &id).await?.0)))
}

pub(crate) async fn cancel(State(shared): App, caller: Caller, Path(id): Path, query: Query) -> One {
    query.end()?;
    let act = shared.turn(&caller, &id, "act.cancelled", cancelled).await?;
    tracing::info!(act.id = id, status = word(act.status), "an act was asked to stop");
    Ok(Json(shared.view_act(&act)))
}

pub(crate) async fn resume(State(shared): App, caller: Caller, Path(id): Path, query: Query) -> One {
    query.end()?;
    let act = shared.turn(&caller, &id, "act.resumed", resumed).await?;
    tracing::info!(act.id = id, cursor = act.cursor, "an act was asked to go on");
    Ok(Json(shared.view_act(&act)))
}

/// What a cancellation makes of an act: nothing, where it has ended already.
fn cancelled(act: &Act) -> Result<Option<Act>, Problem> {
    Ok((act.status == ActStatus::Running).then(|| Act {
        status: ActStatus::Cancelled,
        ..act.clone()
    }))
}

/// What going on makes of an act: from where it stopped, what was done is not done again.
fn resumed(act: &Act) -> Result<Option<Act>, Problem> {
    match act.status {
        ActStatus::Running => Ok(None),
        ActStatus::Cancelled | ActStatus::Failed => Ok(Some(Act {
            status: ActStatus::Running,
            ..act.clone()
        })),
        ActStatus::Done => Err(Problem::new(
            StatusCode::CONFLICT,
            "act_done",
            "is done, and there is nothing left of it: ask for a new one",
        )),
        ActStatus::Unknown => Err(Problem::new(
            StatusCode::CONFLICT,
            "act_unknown",
            "was written by a newer version of Signalbox: ask that one",
        )),
    }
}

/// What every request for an act may say besides what it is about.
struct Asked {
    kind: Kind,
    filter: DeadFilter,
    events: Option<EventFilter>,
    waiting: Option<WaitingFilter>,
    per_second: u32,
    /// The last sequence of its stream now.
    through: u64,
    /// How many it is about, where they could be counted.
    total: Option<u64>,
    by: String,
}

impl Shared {
    /// Writes an act down for a keeper. The audit has it first: an act that nobody asked for would be worse there than an
    /// entry of one that then could not be written.
    async fn begin(&self, caller: &Caller, asked: Asked) -> Result<Act, Problem> {
        let acts = self.broker.acts().await.map_err(problems::broker)?;
        let running = acts.iter().filter(|entry| entry.value.status == ActStatus::Running);
        if running.count() >= RUNNING_MAX {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "too_many_acts",
                format!("{RUNNING_MAX} acts are at work: wait for one to end, or cancel one"),
            ));
        }
        let now = Timestamp::now();
        let generation = self.broker.draw_generation(now).await.map_err(problems::broker)?;
        let act = Act {
            id: Uuid::now_v7().to_string(),
            kind: asked.kind,
            filter: asked.filter,
            events: asked.events,
            waiting: asked.waiting,
            per_second: asked.per_second,
            through: asked.through,
            cursor: 0,
            ahead: None,
            generation,
            status: ActStatus::Running,
            total: asked.total,
            done: 0,
            skipped: 0,
            failed: 0,
            asked_by: asked.by,
            message: String::new(),
            created_at: now,
            updated_at: now,
        };
        let action = match &act.kind {
            Kind::Replay { .. } => "dead_letters.replayed",
            Kind::Discard => "dead_letters.discarded",
            Kind::ReplayEvents { .. } => "events.replayed",
            Kind::DiscardWaiting => "deliveries.discarded",
            Kind::RetryWaiting => "deliveries.retried",
            Kind::Unknown => "act.begun",
        };
        self.audit_act(caller, action, None, &act).await?;
        self.broker
            .create(subjects::STATE, &subjects::act_key(&act.id), &act)
            .await
            .map_err(problems::broker)?;
        tracing::info!(act.id = %act.id, kind = ?act.kind, total = act.total, by = act.asked_by, "an act was asked for");
        Ok(act)
    }

    /// Writes an act as `change` makes it, whatever a keeper writes meanwhile.
    async fn turn(
        &self,
        caller: &Caller,
        id: &str,
        action: &'static str,
        change: impl Fn(&Act) -> Result<Option<Act>, Problem>,
    ) -> Result<Act, Problem> {
        let mut is_told = false;
        for _ in 0..WRITE_TRIES {
            let (act, revision) = self.read_act(caller, id).await?;
            let Some(changed) = change(&act)? else {
                return Ok(act);
            };
            let changed = Act {
                updated_at: Timestamp::now(),
                ..changed
            };
            if !is_told {
                self.audit_act(caller, action, Some(&act), &changed).await?;
                is_told = true;
            }
            let key = subjects::act_key(&act.id);
            match self.broker.update(subjects::STATE, &key, &changed, revision).await {
                Ok(_) => return Ok(changed),
                Err(BrokerError::Conflict { .. }) => {}
                Err(error) => return Err(problems::broker(error)),
            }
        }
        Err(problems::conflict())
    }

    /// Writes the entry of a change of an act.
    async fn audit_act(
        &self,
        caller: &Caller,
        action: &'static str,
        before: Option<&Act>,
        after: &Act,
    ) -> Result<(), Problem> {
        let told = |act: &Act| audit::told(&self.view_act(act));
        let org = org_of(after).and_then(|org| org.parse().ok());
        let deed = Deed {
            action,
            org: org.as_ref(),
            object: ("act", &after.id, None),
            before: before.map(told),
            after: Some(told(after)),
        };
        let entry = caller.did(deed, Timestamp::now());
        self.store().audit_once(&entry).await.map_err(problems::store)?;
        Ok(())
    }

    /// An act that the caller may see: one of another org is as one that does not exist.
    async fn read_act(&self, caller: &Caller, id: &str) -> Result<(Act, u64), Problem> {
        let missing = || problems::not_found("act", id);
        // Other texts could be keys of something else, or none at all.
        let id: Uuid = id.parse().map_err(|_| missing())?;
        let entry = self
            .broker
            .get::<Act>(subjects::STATE, &subjects::act_key(&id.to_string()))
            .await
            .map_err(problems::broker)?
            .filter(|entry| caller.sees(org_of(&entry.value)))
            .ok_or_else(missing)?;
        Ok((entry.value, entry.revision))
    }

    fn view_act(&self, act: &Act) -> Shown {
        let (kind, to) = match &act.kind {
            Kind::Replay { to } => ("replay", to.as_deref()),
            Kind::Discard => ("discard", None),
            Kind::ReplayEvents { to } => ("replay_events", Some(to.as_str())),
            Kind::DiscardWaiting => ("discard_waiting", None),
            Kind::RetryWaiting => ("retry_waiting", None),
            Kind::Unknown => ("unknown", None),
        };
        let filter = match (&act.events, &act.waiting) {
            (_, Some(waiting)) => json!(waiting),
            (Some(events), _) => json!({
                "since": events.since,
                "until": events.until,
                "type": events.event_type,
                "ignore_subscription": events.ignore_subscription,
            }),
            (None, None) => json!(act.filter),
        };
        Shown {
            id: act.id.clone(),
            kind,
            status: act.status,
            org: org_of(act).map(str::to_owned),
            to: to.map(str::to_owned),
            to_name: to.and_then(|id| Some(self.directory.by_id(id)?.name.clone())),
            filter,
            rate: act.per_second,
            total: act.total,
            done: act.done,
            skipped: act.skipped,
            failed: act.failed,
            message: act.message.clone(),
            asked_by: act.asked_by.clone(),
            cursor: act.cursor,
            through: act.through,
            created_at: act.created_at,
            updated_at: act.updated_at,
        }
    }
}

/// A bulk act as answers show it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Act)]
pub(crate) struct Shown {
    #[schema(value_type = schema::UuidText)]
    id: String,
    #[schema(value_type = schema::ActKind)]
    kind: &'static str,
    #[schema(value_type = schema::ActStatusWord)]
    status: ActStatus,
    #[schema(value_type = Option<schema::Name>)]
    org: Option<String>,
    /// The id of the integration that it sends to
    to: Option<String>,
    #[schema(value_type = Option<schema::Name>)]
    to_name: Option<Name>,
    /// What it is about
    #[schema(value_type = schema::Fields)]
    filter: Value,
    /// A second at most
    rate: u32,
    /// How many it is about, where they could be counted
    total: Option<u64>,
    done: u64,
    skipped: u64,
    failed: u64,
    /// What stopped it
    message: String,
    asked_by: String,
    /// How far it has come in its stream
    cursor: u64,
    /// Where it ends in its stream
    through: u64,
    #[schema(value_type = schema::Time)]
    created_at: Timestamp,
    #[schema(value_type = schema::Time)]
    updated_at: Timestamp,
}

/// The answer of a dry run.
fn counted(counts: impl Serialize) -> Response {
    (StatusCode::OK, Json(counts)).into_response()
}

/// The answer of an act that was begun.
fn begun(act: impl Serialize) -> Response {
    (StatusCode::ACCEPTED, Json(act)).into_response()
}

fn word(status: ActStatus) -> &'static str {
    match status {
        ActStatus::Running => "running",
        ActStatus::Done => "done",
        ActStatus::Cancelled => "cancelled",
        ActStatus::Failed => "failed",
        ActStatus::Unknown => "unknown",
    }
}

/// The tenant of an act; `None` where an older version named dead letters one by one.
pub(crate) fn org_of(act: &Act) -> Option<&str> {
    match (&act.events, &act.waiting) {
        (_, Some(waiting)) => Some(waiting.org.as_str()),
        (Some(events), _) => Some(events.org.as_str()),
        (None, None) => act.filter.org.as_deref(),
    }
}

/// Checks a rate.
fn rate(asked: Option<u32>, default: u32) -> Result<u32, Problem> {
    let per_second = asked.unwrap_or(default);
    if RATES.contains(&per_second) {
        Ok(per_second)
    } else {
        let (least, most) = (RATES.start(), RATES.end());
        Err(invalid("rate", format!("is outside {least} to {most} a second")))
    }
}

/// Who asks, for the record: the holder of the key, and who they say they ask for.
fn by(caller: &str, asked: Option<String>) -> Result<String, Problem> {
    match asked {
        Some(text) if text.chars().count() > BY_CHARS_MAX || text.chars().any(char::is_control) => Err(invalid(
            "by",
            format!("is longer than {BY_CHARS_MAX} characters, or not plain text"),
        )),
        Some(text) => Ok(format!("{caller}, by {text}")),
        None => Ok(caller.to_owned()),
    }
}

/// Reads a time of a body, which may be a duration back from now.
fn read_time(field: &str, text: Option<String>, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
    text.map(|text| time(field, &text, now)).transpose()
}

#[cfg(test)]
pub(crate) mod tests;
