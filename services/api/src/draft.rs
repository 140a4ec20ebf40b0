//! `POST /v1/subscriptions/try`: a subscription that is only a draft, asked about the last real events of its org.
//!
//! The answer is the router's own: the same code matches, for an integration that exists nowhere. Nothing is sent,
//! stored or changed.

use std::{collections::BTreeMap, ops::ControlFlow};

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use signalbox_broker::browse::Stored;
use signalbox_matching::{EventView, Verdict, explain_view};
use signalbox_proto::{
    Accepted, Event, Integration, Name, RawJson, Timestamp,
    integration::{Flow, Status, Subscription},
    subjects, wire,
};
use signalbox_runtime::Problem;
use utoipa::ToSchema;

use crate::{
    App, Shared,
    caller::Caller,
    problems::{self, invalid},
    request::{Body, Query},
    schema, spec, why,
};

/// Events that are asked about where a request does not say.
const LAST: usize = 100;
/// Events that are asked about at most.
const LAST_MAX: usize = 1_000;
/// Bytes of events that are read at most. The newest ones are asked about then.
const BYTES_MAX: usize = 64 << 20;
/// The name of what exists nowhere.
const DRAFT: &str = "draft";

/// A subscription that is only a draft, and how far to look back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TryRequest)]
pub(crate) struct Asked {
    /// Begin with the subscription of this one, by id or name.
    integration: Option<String>,
    /// Patterns of event types. Left out: those of `integration`.
    #[schema(value_type = Option<Vec<String>>)]
    events: Option<Value>,
    /// Conditions that must all hold. Left out: those of `integration`.
    #[schema(value_type = Option<schema::FilterGiven>)]
    filter: Option<Value>,
    /// So many of the newest events of the org.
    #[schema(minimum = 1, maximum = 1_000, default = 100)]
    last: Option<usize>,
}

/// What a draft would have taken.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TryAnswer)]
pub(crate) struct Answer {
    /// Events that were asked about
    looked_at: usize,
    matched: usize,
    /// Events for which its `where` has no answer: each would be a dead letter of stage `route`
    errors: usize,
    /// How many did not match, by reason
    reasons: BTreeMap<&'static str, usize>,
    /// When the oldest of them was accepted
    #[schema(value_type = Option<schema::Time>)]
    since: Option<Timestamp>,
    /// When the newest of them was accepted
    #[schema(value_type = Option<schema::Time>)]
    until: Option<Timestamp>,
    /// Whether fewer were asked about than there are, as they are large
    truncated: bool,
    /// The newest first
    items: Vec<Tried>,
}

/// What a draft says of one event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TriedEvent)]
struct Tried {
    id: String,
    source: String,
    #[serde(rename = "type")]
    #[schema(value_type = schema::EventTypeName)]
    event_type: String,
    #[schema(value_type = schema::Severity)]
    severity: &'static str,
    agent_id: Option<String>,
    #[schema(value_type = schema::Time)]
    accepted_at: Timestamp,
    matches: bool,
    /// Why not; null where it matches
    #[schema(value_type = Option<schema::NotMatchedReason>)]
    reason: Option<&'static str>,
    /// Whether a pattern covers its type, so that the filter alone decided
    near: bool,
    /// Why not, in words; null where it matches
    why: Option<String>,
}

pub(crate) async fn try_draft(
    State(shared): App,
    Caller { org, .. }: Caller,
    query: Query,
    Body(asked): Body<Asked>,
) -> Result<Json<Answer>, Problem> {
    query.end()?;
    let last = asked.last.unwrap_or(LAST);
    if !(1..=LAST_MAX).contains(&last) {
        return Err(invalid("last", format!("is no whole number of 1 to {LAST_MAX}")));
    }
    let subscription = shared.drafted(&org, asked).await?;
    let (stored, truncated) = shared.newest(&org, last).await?;
    let draft = draft(&org, subscription);
    // It compiles and evaluates a condition for each event.
    let answer = tokio::task::spawn_blocking(move || answer(&draft, &stored, truncated));
    Ok(Json(answer.await.map_err(|error| problems::internal(&error))?))
}

impl Shared {
    /// The subscription that is asked about: what is given, else that of the integration that is named.
    async fn drafted(&self, org: &Name, asked: Asked) -> Result<Subscription, Problem> {
        let mut fields = Map::new();
        if let Some(name) = &asked.integration {
            let base = self.find(org, name).await?.subscription;
            fields.insert("events".to_owned(), json!(base.events));
            fields.insert("filter".to_owned(), json!(base.filter));
        }
        for (field, given) in [("events", asked.events), ("filter", asked.filter)] {
            if let Some(given) = given {
                fields.insert(field.to_owned(), given);
            }
        }
        spec::subscription(&fields).map_err(|errors| problems::invalid_integration(&errors))
    }

    /// The newest events of an org, the newest first; and whether there are more that were too large to be read.
    async fn newest(&self, org: &Name, count: usize) -> Result<(Vec<Stored>, bool), Problem> {
        let (mut found, mut bytes, mut truncated) = (Vec::new(), 0, false);
        let each = |stored: Stored| {
            bytes += stored.body.len();
            if bytes > BYTES_MAX {
                truncated = true;
                return ControlFlow::Break(());
            }
            found.push(stored);
            if found.len() < count {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        let subject = subjects::events_of(org, None);
        let read = self.broker.read_back(subjects::EVENTS, &subject, None, each).await;
        read.map_err(problems::broker)?;
        Ok((found, truncated))
    }
}

/// An integration that exists nowhere: active, and older than any event.
fn draft(org: &Name, subscription: Subscription) -> Integration {
    let name: Name = DRAFT.parse().expect("our own names are valid");
    Integration {
        id: DRAFT.to_owned(),
        org: org.clone(),
        name: name.clone(),
        provider: name,
        revision: 0,
        status: Status::Active,
        subscription,
        config: RawJson::default(),
        sealed: None,
        schedule_secs: None,
        expire_after_secs: None,
        timeout_secs: None,
        template: None,
        flow: Flow::default(),
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

fn answer(draft: &Integration, stored: &[Stored], truncated: bool) -> Answer {
    let mut answer = Answer {
        looked_at: 0,
        matched: 0,
        errors: 0,
        reasons: BTreeMap::new(),
        since: None,
        until: None,
        truncated,
        items: Vec::with_capacity(stored.len()),
    };
    for stored in stored {
        match wire::decode::<Event>(&stored.body) {
            Ok(event) => answer.ask(
                draft,
                &Accepted {
                    event,
                    seq: stored.seq,
                    at: stored.at,
                },
            ),
            Err(error) => tracing::error!(%error, seq = stored.seq, "cannot read an event"),
        }
    }
    answer
}

impl Answer {
    fn ask(&mut self, draft: &Integration, accepted: &Accepted) {
        let verdict = explain_view(draft, accepted, &EventView::new(accepted));
        let matches = verdict == Verdict::Match;
        let unmatched = (!matches).then(|| why::unmatched(draft, accepted, &verdict));
        self.looked_at += 1;
        self.matched += usize::from(matches);
        self.errors += usize::from(matches!(verdict, Verdict::Error { .. }));
        if let Some(unmatched) = &unmatched {
            *self.reasons.entry(unmatched.reason).or_default() += 1;
        }
        self.until = self.until.or(Some(accepted.at));
        self.since = Some(accepted.at);
        let event = &accepted.event;
        self.items.push(Tried {
            id: event.id.clone(),
            source: event.source.clone(),
            event_type: event.event_type.to_string(),
            severity: event.severity.as_str(),
            agent_id: event.agent_id.clone(),
            accepted_at: accepted.at,
            matches,
            reason: unmatched.as_ref().map(|unmatched| unmatched.reason),
            near: verdict.is_near(),
            why: unmatched.map(|unmatched| unmatched.words.why),
        });
    }
}

#[cfg(test)]
mod tests;
