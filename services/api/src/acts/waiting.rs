//! Acts on deliveries that wait: `POST /v1/deliveries/discard` gives them up, `POST /v1/deliveries/retry` sends those now
//! that wait for their next attempt. Counted first, then worked through by a keeper.

use std::time::Instant;

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use signalbox_proto::{
    Timestamp,
    act::{DeadFilter, Kind, Wait, WaitingFilter},
    subjects,
};
use signalbox_runtime::{Problem, duration};
use utoipa::ToSchema;

use super::{Answer, Asked, begun, by, counted, rate, read_time};
use crate::{
    App, Shared,
    apply::refuse,
    caller::Caller,
    deliveries, problems,
    problems::invalid,
    request::{self, Body, Query},
    schema,
};

/// Deliveries a second where a request names no rate.
const RATE: u32 = 100;
/// Most ids in one request.
const IDS_MAX: usize = 1_000;
/// Messages of the queues that are read at most to count; of more, the count says that it is the least.
const COUNTED_MAX: usize = 200_000;
/// Messages of a queue asked for at a time.
const BATCH: usize = 1_000;

/// Which waiting deliveries: by `filter`, by `ids`, or `all`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WaitingRequest)]
pub(crate) struct Wanted {
    /// Which deliveries, by what they are.
    filter: Option<Conditions>,
    /// Which deliveries, by id.
    #[schema(max_items = 1_000)]
    ids: Option<Vec<String>>,
    /// All that wait in the org: said aloud, because nothing said would mean the same.
    #[serde(default)]
    all: bool,
    /// Deliveries a second at most.
    #[schema(minimum = 1, maximum = 10_000)]
    rate: Option<u32>,
    /// Count, and do nothing.
    #[serde(default)]
    dry_run: bool,
    /// Who asks, for the record.
    #[schema(max_length = 100)]
    by: Option<String>,
}

/// Which deliveries, by what they are: every condition that is given has to hold.
#[derive(Default, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WaitingFilter)]
struct Conditions {
    /// By id or name
    integration: Option<String>,
    provider: Option<String>,
    #[schema(value_type = Option<schema::EventTypeName>)]
    event_type: Option<String>,
    #[schema(value_type = Option<schema::Wait>)]
    status: Option<Wait>,
    /// Accepted at or after: a time, or a duration back from now.
    #[schema(value_type = Option<schema::Moment>)]
    since: Option<String>,
    /// Accepted before.
    #[schema(value_type = Option<schema::Moment>)]
    until: Option<String>,
    /// Accepted longer ago than this: as `until`, as a duration alone.
    #[schema(value_type = Option<schema::Span>)]
    older_than: Option<String>,
}

pub(crate) async fn discard(State(shared): App, caller: Caller, query: Query, Body(wanted): Body<Wanted>) -> Answer {
    query.end()?;
    shared.act_on_waiting(caller, wanted, Kind::DiscardWaiting).await
}

pub(crate) async fn retry(State(shared): App, caller: Caller, query: Query, Body(wanted): Body<Wanted>) -> Answer {
    query.end()?;
    shared.act_on_waiting(caller, wanted, Kind::RetryWaiting).await
}

/// How many deliveries an act would be about.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WaitingCounted)]
pub(crate) struct Counted {
    matched: u64,
    /// Whether more wait than were counted
    truncated: bool,
}

/// As [`Counted`], while it is counted.
#[derive(Debug, Default)]
struct Count {
    matched: u64,
    read: usize,
    truncated: bool,
}

impl Shared {
    async fn act_on_waiting(&self, caller: Caller, wanted: Wanted, kind: Kind) -> Answer {
        self.directory.complete()?;
        let now = Timestamp::now();
        let ids = wanted.ids.unwrap_or_default();
        if ids.len() > IDS_MAX {
            return Err(invalid(
                "ids",
                format!("has {} entries, more than {IDS_MAX}: use a filter", ids.len()),
            ));
        }
        for (index, id) in ids.iter().enumerate() {
            if !deliveries::is_id(id) {
                return Err(invalid(&format!("ids[{index}]"), "is not the id of a delivery"));
            }
        }
        let conditions = wanted.filter.unwrap_or_default();
        let says_nothing = ids.is_empty() && conditions == Conditions::default();
        if says_nothing && !wanted.all {
            return Err(refuse(
                "empty_filter",
                "names no deliveries: give `ids`, a `filter`, or `all: true`",
            ));
        }
        if !says_nothing && wanted.all {
            return Err(invalid("all", "contradicts `filter` and `ids`: leave it out"));
        }
        let (per_second, by) = (rate(wanted.rate, RATE)?, by(&caller.name(), wanted.by)?);
        let mut filter = WaitingFilter {
            org: caller.org.clone(),
            ids,
            integration: None,
            provider: None,
            event_type: None,
            status: None,
            since: None,
            until: now,
        };
        self.narrow_waiting(&mut filter, conditions, now)?;
        // What comes into DEAD behind this is the act's own work: it is known again after a crash.
        let dead = self
            .broker
            .stream_state(subjects::DEAD)
            .await
            .map_err(problems::broker)?;
        let count = self.count_waiting(&filter, &kind).await?;
        if wanted.dry_run {
            return Ok(counted(Counted {
                matched: count.matched,
                truncated: count.truncated,
            }));
        }
        if !filter.ids.is_empty() && count.matched == 0 && !count.truncated {
            let why = "none of these deliveries waits: `signalbox deliveries show ID` says how each stands";
            return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", why).field("ids"));
        }
        let act = self
            .begin(
                &caller,
                Asked {
                    kind,
                    filter: DeadFilter::default(),
                    events: None,
                    waiting: Some(filter),
                    per_second,
                    through: dead.last_seq,
                    // A count that was cut short would let it seem to be done before it is.
                    total: (!count.truncated).then_some(count.matched),
                    by,
                },
            )
            .await?;
        Ok(begun(self.view_act(&act)))
    }

    fn narrow_waiting(
        &self,
        filter: &mut WaitingFilter,
        conditions: Conditions,
        now: Timestamp,
    ) -> Result<(), Problem> {
        if let Some(given) = &conditions.integration {
            let found = self.directory.find(&filter.org, given);
            let found = found.or_else(|| self.directory.by_id(given).filter(|found| found.org == filter.org));
            let found = found.ok_or_else(|| problems::not_found("integration", given).field("filter.integration"))?;
            filter.integration = Some(found.id.clone());
            filter.provider = Some(found.provider.clone());
        }
        if let Some(provider) = &conditions.provider {
            let entry = signalbox_providers::find(provider).ok_or_else(|| problems::no_provider("filter.provider"))?;
            if filter
                .provider
                .as_ref()
                .is_some_and(|known| known.as_str() != entry.name)
            {
                return Err(invalid(
                    "filter.provider",
                    "is not the provider of `filter.integration`",
                ));
            }
            // One that were left out would mean every provider.
            filter.provider = Some(entry.name.parse().expect("a provider's name is a name"));
        }
        let event_type = conditions.event_type.as_deref();
        let event_type = event_type.map(|text| request::event_type("filter.event_type", text));
        filter.event_type = event_type.transpose()?.map(|event_type| event_type.to_string());
        filter.status = conditions.status;
        filter.since = read_time("filter.since", conditions.since, now)?;
        let until = read_time("filter.until", conditions.until, now)?;
        let older = conditions.older_than.map(|text| {
            let age = duration::parse(&text).map_err(|error| invalid("filter.older_than", error.to_string()))?;
            Ok(now - age)
        });
        let older = older.transpose()?;
        if until.is_some() && older.is_some() {
            return Err(invalid(
                "filter.older_than",
                "says the same as `until`: give one of them",
            ));
        }
        filter.until = until.or(older).map_or(now, |until| until.min(now));
        if filter.since.is_some_and(|since| since >= filter.until) {
            return Err(invalid(
                "filter.since",
                "is not before `until` (or `older_than`): nothing lies between",
            ));
        }
        Ok(())
    }

    async fn count_waiting(&self, filter: &WaitingFilter, kind: &Kind) -> Result<Count, Problem> {
        let queues = self.broker.queues_of(filter, *kind == Kind::RetryWaiting).await;
        let mut count = Count::default();
        for (stream, subject) in queues.map_err(problems::broker)? {
            let mut next = 1;
            loop {
                let began = Instant::now();
                let part = self.broker.read_from(&stream, &subject, next, BATCH).await;
                let part = part.map_err(problems::broker)?;
                let Some(last) = part.last() else { break };
                next = last.seq + 1;
                count.read += part.len();
                let covered = self.broker.covered(&stream, part, filter).await;
                count.matched += covered.map_err(problems::broker)?.len() as u64;
                if count.read >= COUNTED_MAX {
                    count.truncated = true;
                    return Ok(count);
                }
                // Live traffic goes through the same server.
                tokio::time::sleep(began.elapsed()).await;
            }
        }
        Ok(count)
    }
}
