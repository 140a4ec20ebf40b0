//! Bulk acts on dead letters: counted first on request, then written down for a keeper to work through.

use std::ops::ControlFlow;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_broker::{
    Error as BrokerError,
    browse::{Stored, dead_letter_seq},
};
use signalbox_proto::{
    DeadLetter, Name, Timestamp,
    act::{Act, ActStatus, DeadFilter, Kind},
    subjects, wire,
};
use signalbox_runtime::Problem;
use uuid::Uuid;

use crate::{
    App, Shared,
    apply::refuse,
    dead::{self, Matcher},
    problems,
    problems::invalid,
    request::{self, Body, Query},
};

/// Dead letters a second where a request names no rate.
const RATE: u32 = 100;
/// What a request may ask for.
const RATES: std::ops::RangeInclusive<u32> = 1..=10_000;
/// Most ids in one request.
const IDS_MAX: usize = 1_000;
/// Dead letters that are read at a time.
const READS_MAX: usize = 16;
/// Times that an act is read again because a keeper wrote it meanwhile.
const CANCEL_TRIES: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Which dead letters, by what they are.
    filter: Option<Conditions>,
    /// Which dead letters, by id.
    ids: Option<Vec<String>>,
    /// All dead letters of the org: said aloud, because nothing said would mean the same.
    #[serde(default)]
    all: bool,
    /// Another integration to replay to.
    to: Option<String>,
    /// Dead letters a second at most.
    rate: Option<u32>,
    /// Count, and do nothing.
    #[serde(default)]
    dry_run: bool,
}

/// [`DeadFilter`] as a request writes it: times may be durations back from now.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Conditions {
    integration: Option<String>,
    provider: Option<String>,
    stage: Option<signalbox_proto::Stage>,
    reason: Option<signalbox_proto::DeadReason>,
    fingerprint: Option<String>,
    event_type: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

impl Conditions {
    fn filter(self) -> Result<DeadFilter, Problem> {
        let now = Timestamp::now();
        let time = |field: &str, text: Option<String>| text.map(|text| request::time(field, &text, now)).transpose();
        if let Some(provider) = &self.provider
            && signalbox_providers::find(provider).is_none()
        {
            return Err(problems::no_provider("filter.provider"));
        }
        let event_type = self.event_type.as_deref();
        let event_type = event_type
            .map(|text| request::event_type("filter.event_type", text))
            .transpose()?;
        Ok(DeadFilter {
            integration: self.integration,
            provider: self.provider,
            stage: self.stage,
            reason: self.reason,
            fingerprint: self.fingerprint,
            event_type: event_type.map(|event_type| event_type.to_string()),
            since: time("filter.since", self.since)?,
            until: time("filter.until", self.until)?,
            ..DeadFilter::default()
        })
    }
}

type Answer = Result<(StatusCode, Json<Value>), Problem>;

pub(crate) async fn replay(State(shared): App, mut query: Query, Body(wanted): Body<Wanted>) -> Answer {
    let org = query.org()?;
    query.end()?;
    let to = match &wanted.to {
        None => None,
        Some(to) => Some(shared.find(&org, to).map_err(|problem| problem.field("to"))?.id.clone()),
    };
    shared.act(&org, wanted, Kind::Replay { to }).await
}

pub(crate) async fn discard(State(shared): App, mut query: Query, Body(wanted): Body<Wanted>) -> Answer {
    let org = query.org()?;
    query.end()?;
    if wanted.to.is_some() {
        return Err(invalid("to", "is for replays"));
    }
    shared.act(&org, wanted, Kind::Discard).await
}

pub(crate) async fn show(State(shared): App, Path(id): Path<String>, query: Query) -> Result<Json<Value>, Problem> {
    query.end()?;
    Ok(Json(view(&shared.read_act(&id).await?.0)))
}

pub(crate) async fn cancel(State(shared): App, Path(id): Path<String>, query: Query) -> Result<Json<Value>, Problem> {
    query.end()?;
    for _ in 0..CANCEL_TRIES {
        let (mut act, revision) = shared.read_act(&id).await?;
        if act.status != ActStatus::Running {
            return Ok(Json(view(&act)));
        }
        act.status = ActStatus::Cancelled;
        act.updated_at = Timestamp::now();
        match shared
            .broker
            .update(subjects::STATE, &subjects::act_key(&id), &act, revision)
            .await
        {
            Ok(_) => return Ok(Json(view(&act))),
            Err(BrokerError::Conflict { .. }) => {}
            Err(error) => return Err(problems::broker(error)),
        }
    }
    Err(problems::conflict())
}

impl Shared {
    async fn act(&self, org: &Name, wanted: Wanted, kind: Kind) -> Answer {
        self.directory.complete()?;
        let mut filter = wanted.filter.unwrap_or_default().filter()?;
        filter.ids = wanted.ids.unwrap_or_default();
        if filter.ids.len() > IDS_MAX {
            return Err(invalid(
                "ids",
                format!("has {} entries, more than {IDS_MAX}: use a filter", filter.ids.len()),
            ));
        }
        let says_nothing = filter == DeadFilter::default();
        if says_nothing && !wanted.all {
            return Err(refuse(
                "empty_filter",
                "names no dead letters: give `ids`, a `filter`, or `all: true`",
            ));
        }
        if !says_nothing && wanted.all {
            return Err(invalid("all", "contradicts `filter` and `ids`: leave it out"));
        }
        let per_second = wanted.rate.unwrap_or(RATE);
        if !RATES.contains(&per_second) {
            return Err(invalid(
                "rate",
                format!("is outside {} to {} a second", RATES.start(), RATES.end()),
            ));
        }
        dead::complete(self, &mut filter, org)?;
        let named = self.named(org, &filter.ids).await?;
        if wanted.dry_run {
            let counts = self.count(&Matcher::new(&filter)?, &named).await?;
            return Ok((StatusCode::OK, Json(counts)));
        }
        if !named.is_empty() {
            // They are named one by one and their org was looked at; one without an org would match none.
            filter.org = None;
        }
        let through = self
            .broker
            .stream_state(subjects::DEAD)
            .await
            .map_err(problems::broker)?
            .last_seq;
        let now = Timestamp::now();
        let act = Act {
            id: Uuid::now_v7().to_string(),
            kind,
            filter,
            per_second,
            through,
            cursor: 0,
            status: ActStatus::Running,
            done: 0,
            skipped: 0,
            failed: 0,
            message: String::new(),
            created_at: now,
            updated_at: now,
        };
        self.broker
            .create(subjects::STATE, &subjects::act_key(&act.id), &act)
            .await
            .map_err(problems::broker)?;
        tracing::info!(act = %act.id, kind = ?act.kind, "act on dead letters asked for");
        Ok((StatusCode::ACCEPTED, Json(view(&act))))
    }

    /// The dead letters with these ids, all of which must be there.
    async fn named(&self, org: &Name, ids: &[String]) -> Result<Vec<(Stored, DeadLetter)>, Problem> {
        futures::stream::iter(ids.iter().cloned().enumerate())
            .map(|(index, id)| async move {
                let field = format!("ids[{index}]");
                let seq = dead_letter_seq(&id)
                    .ok_or_else(|| invalid(&field, "is not the id of a dead letter, such as dl_12"))?;
                let found = self.broker.read_from(subjects::DEAD, subjects::DEAD_ALL, seq, 1).await;
                let stored = found
                    .map_err(problems::broker)?
                    .into_iter()
                    .find(|stored| stored.seq == seq);
                let missing = || problems::not_found("dead letter", &id).field(&field);
                let stored = stored.ok_or_else(missing)?;
                let letter: DeadLetter = wire::decode(&stored.body).map_err(|error| problems::internal(&error))?;
                if dead::is_of(org, letter.org.as_ref()) {
                    Ok((stored, letter))
                } else {
                    Err(missing())
                }
            })
            .buffered(READS_MAX)
            .try_collect()
            .await
    }

    async fn count(&self, matcher: &Matcher<'_>, named: &[(Stored, DeadLetter)]) -> Result<Value, Problem> {
        let marks = self.broker.marks().await.map_err(problems::broker)?;
        let (mut matched, mut already) = (0_u64, 0_u64);
        let mut count = |seq| {
            if marks.is_settled(seq) {
                already += 1;
            } else {
                matched += 1;
            }
        };
        if named.is_empty() {
            self.matching(matcher, None, |seq, _| {
                count(seq);
                ControlFlow::Continue(())
            })
            .await?;
        } else {
            let matching = named
                .iter()
                .filter(|(stored, letter)| matcher.matches(stored.seq, stored.at, letter));
            matching.for_each(|(stored, _)| count(stored.seq));
        }
        Ok(json!({ "matched": matched, "already": already }))
    }

    async fn read_act(&self, id: &str) -> Result<(Act, u64), Problem> {
        let missing = || problems::not_found("act", id);
        // Other texts could be keys of something else, or none at all.
        let id: Uuid = id.parse().map_err(|_| missing())?;
        let entry = self
            .broker
            .get::<Act>(subjects::STATE, &subjects::act_key(&id.to_string()))
            .await
            .map_err(problems::broker)?
            .ok_or_else(missing)?;
        Ok((entry.value, entry.revision))
    }
}

fn view(act: &Act) -> Value {
    let (kind, to) = match &act.kind {
        Kind::Replay { to } => ("replay", to.as_deref()),
        Kind::Discard => ("discard", None),
    };
    json!({
        "id": act.id,
        "kind": kind,
        "to": to,
        "filter": act.filter,
        "rate": act.per_second,
        "status": act.status,
        "done": act.done,
        "skipped": act.skipped,
        "failed": act.failed,
        "message": act.message,
        "cursor": act.cursor,
        "through": act.through,
        "created_at": act.created_at,
        "updated_at": act.updated_at,
    })
}
