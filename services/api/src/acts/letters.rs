//! `POST /v1/dead-letters/replay` and `/discard`: counted first, then written down for a keeper.

use std::{ops::ControlFlow, time::Instant};

use axum::extract::State;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use signalbox_broker::{
    browse::{Stored, dead_letter_seq},
    topology::From,
};
use signalbox_proto::{
    DeadLetter, Name, Timestamp,
    act::{DeadFilter, Kind},
    subjects, wire,
};
use signalbox_runtime::Problem;
use utoipa::ToSchema;

use super::{Answer, Asked, begun, by, counted, rate, read_time};
use crate::{
    App, Shared,
    apply::refuse,
    caller::Caller,
    dead::{self, Matcher},
    problems,
    problems::invalid,
    request::{self, Body, Query},
    schema,
};

/// Dead letters a second where a replay names no rate: live traffic keeps its pace.
const REPLAYS: u32 = 100;
/// Dead letters a second where a discard names no rate: nothing is sent.
const DISCARDS: u32 = 10_000;
/// Most ids in one request.
const IDS_MAX: usize = 1_000;
/// Dead letters that are counted at a time.
const PART: usize = 200;
/// Dead letters that are read by id at a time.
const READS_MAX: usize = 16;

/// Which dead letters: by `filter`, by `ids`, or `all`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DeadLettersRequest)]
pub(crate) struct Wanted {
    /// Which dead letters, by what they are.
    filter: Option<Conditions>,
    /// Which dead letters, by id.
    #[schema(max_items = 1_000)]
    ids: Option<Vec<String>>,
    /// All dead letters of the org: said aloud, because nothing said would mean the same.
    #[serde(default)]
    all: bool,
    /// Another integration to replay to.
    to: Option<String>,
    /// Dead letters a second at most.
    #[schema(minimum = 1, maximum = 10_000)]
    rate: Option<u32>,
    /// Count, and do nothing.
    #[serde(default)]
    dry_run: bool,
    /// Who asks, for the record.
    #[schema(max_length = 100)]
    by: Option<String>,
}

/// Which dead letters, by what they are: every condition that is given has to hold.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DeadLettersFilter)]
struct Conditions {
    /// By id or name
    integration: Option<String>,
    provider: Option<String>,
    #[schema(value_type = Option<schema::Stage>)]
    stage: Option<signalbox_proto::Stage>,
    #[schema(value_type = Option<schema::DeadReasonAsked>)]
    reason: Option<signalbox_proto::DeadReason>,
    fingerprint: Option<String>,
    #[schema(value_type = Option<schema::EventTypeName>)]
    event_type: Option<String>,
    /// Made at or after
    #[schema(value_type = Option<schema::Moment>)]
    since: Option<String>,
    /// Made before
    #[schema(value_type = Option<schema::Moment>)]
    until: Option<String>,
}

impl Conditions {
    fn filter(self) -> Result<DeadFilter, Problem> {
        let now = Timestamp::now();
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
            since: read_time("filter.since", self.since, now)?,
            until: read_time("filter.until", self.until, now)?,
            ..DeadFilter::default()
        })
    }
}

/// How many dead letters an act is about.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLettersCounted)]
pub(crate) struct Counted {
    /// Those that it would replay or discard
    matched: u64,
    /// Those that match but are replayed or discarded already
    already: u64,
}

pub(crate) async fn replay(State(shared): App, caller: Caller, query: Query, Body(wanted): Body<Wanted>) -> Answer {
    query.end()?;
    let to = match &wanted.to {
        None => None,
        Some(to) => Some(
            shared
                .find(&caller.org, to)
                .await
                .map_err(|problem| problem.field("to"))?
                .id
                .clone(),
        ),
    };
    shared.act(&caller, wanted, Kind::Replay { to }, REPLAYS).await
}

pub(crate) async fn discard(State(shared): App, caller: Caller, query: Query, Body(wanted): Body<Wanted>) -> Answer {
    query.end()?;
    if wanted.to.is_some() {
        return Err(invalid("to", "is for replays"));
    }
    shared.act(&caller, wanted, Kind::Discard, DISCARDS).await
}

impl Shared {
    async fn act(&self, caller: &Caller, wanted: Wanted, kind: Kind, default_rate: u32) -> Answer {
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
        let per_second = rate(wanted.rate, default_rate)?;
        let by = by(&caller.name(), wanted.by)?;
        dead::complete(self, &mut filter, &caller.org)?;
        let named = self.named(&caller.org, &filter.ids).await?;
        // First, so that what dies while it is counted is neither counted nor touched.
        let dead = self.broker.stream_state(subjects::DEAD).await;
        let through = dead.map_err(problems::broker)?.last_seq;
        let count = self.count(&Matcher::new(&filter)?, &named, through).await?;
        if wanted.dry_run {
            return Ok(counted(count));
        }
        let act = self
            .begin(
                caller,
                Asked {
                    kind,
                    filter,
                    events: None,
                    waiting: None,
                    per_second,
                    through,
                    total: Some(count.matched),
                    by,
                },
            )
            .await?;
        Ok(begun(self.view_act(&act)))
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

    async fn count(
        &self,
        matcher: &Matcher<'_>,
        named: &[(Stored, DeadLetter)],
        through: u64,
    ) -> Result<Counted, Problem> {
        let marks = self.broker.marks().await.map_err(problems::broker)?;
        let mut found = Counted { matched: 0, already: 0 };
        let mut seen = std::collections::HashSet::new();
        let mut count = |seq| {
            // An id may be given twice.
            match (seen.insert(seq), marks.is_settled(seq)) {
                (false, _) => {}
                (true, true) => found.already += 1,
                (true, false) => found.matched += 1,
            }
        };
        if named.is_empty() {
            self.each_matching(matcher, through, count).await?;
        } else {
            let matching = named
                .iter()
                .filter(|(stored, letter)| matcher.matches(stored.seq, stored.at, letter));
            matching.for_each(|(stored, _)| count(stored.seq));
        }
        Ok(found)
    }

    /// Looks at all dead letters that match, a part at a time, with a rest as long as the look: live traffic goes
    /// through the same server.
    async fn each_matching(
        &self,
        matcher: &Matcher<'_>,
        through: u64,
        mut each: impl FnMut(u64),
    ) -> Result<(), Problem> {
        let subject = matcher.subjects();
        let mut next = self.first_matching(matcher, &subject).await?;
        while let Some(from) = next.filter(|from| *from <= through) {
            let began = Instant::now();
            let part = self
                .broker
                .read_from(subjects::DEAD, &subject, from, PART)
                .await
                .map_err(problems::broker)?;
            for stored in part.iter().filter(|stored| stored.seq <= through) {
                match wire::decode::<DeadLetter>(&stored.body) {
                    Ok(letter) if matcher.matches(stored.seq, stored.at, &letter) => each(stored.seq),
                    Ok(_) => {}
                    Err(error) => tracing::error!(%error, seq = stored.seq, "cannot read a dead letter"),
                }
            }
            next = part.last().map(|last| last.seq + 1);
            tokio::time::sleep(began.elapsed()).await;
        }
        Ok(())
    }

    /// Where those begin that may match.
    async fn first_matching(&self, matcher: &Matcher<'_>, subject: &str) -> Result<Option<u64>, Problem> {
        let Some(since) = matcher.since() else {
            return Ok(Some(1));
        };
        let mut first = None;
        self.broker
            .scan(subjects::DEAD, vec![subject.to_owned()], From::Time(since), |message| {
                first = Some(message.place.seq);
                ControlFlow::Break(())
            })
            .await
            .map_err(problems::broker)?;
        Ok(first)
    }
}
