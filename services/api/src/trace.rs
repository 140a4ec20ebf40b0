//! `GET /v1/events/{id}`: the whole story of one event, read from the database and the streams.
//!
//! [`find`] finds the event, [`recorded`] and [`crate::story`] read what became of its deliveries, [`crate::why`] puts
//! reasons and remedies into words.

mod find;
mod recorded;

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use serde_json::Value;
use signalbox_broker::browse::dead_letter_id;
use signalbox_matching::{EventView, explain_view};
use signalbox_proto::{
    Accepted, EventType, Integration, Name, Timestamp, act::Act, ledger::Final, names::check_event_id,
    outcome::EventRef, subjects,
};
use signalbox_runtime::Problem;
use utoipa::ToSchema;

use crate::{
    App, Shared,
    caller::Caller,
    history::{CLOCKS_APART, Edge, HINT, History},
    problems,
    problems::invalid,
    request::{Path, Query},
    schema,
    story::{Replay, Stories, Story, Wanted},
    view,
    why::{self, Unmatched, Why},
};

use recorded::Rows;

/// Integrations of the event's org that are asked why they were not matched.
const ASKED_MAX: usize = 5_000;
/// Deliveries that are listed; of more, those that are not delivered first.
const DELIVERIES_MAX: usize = 1_000;
/// Integrations that are listed as not matched, those whose filter alone decided first.
const NOT_MATCHED_MAX: usize = 100;
/// Times of which records were lost that a sentence names: the newest.
const LOST_SAID_MAX: usize = 3;

pub(crate) async fn trace(
    State(shared): App,
    Caller { org, .. }: Caller,
    Path(id): Path,
    mut query: Query,
) -> Result<Json<Trace>, Problem> {
    let source = query.take("source");
    let now = Timestamp::now();
    let since = query.time("since", now)?;
    query.end()?;
    check_event_id(&id).map_err(|error| invalid("id", error.to_string()))?;
    shared.directory.complete()?;
    let wanted = Wanted::Event {
        org: &org,
        id: &id,
        source: source.as_deref(),
    };
    let history = shared.known_history().await?;
    let (history, rows) = match history {
        Some(history) => match Rows::read(&history, &org, wanted).await {
            Ok(rows) => (Some(history), rows),
            Err(failed) => (failed.unless_away(None)?, Rows::default()),
        },
        None => (None, Rows::default()),
    };
    let (found, looked_back_to) = shared.accepted_or_recorded(&org, wanted, &rows, since, now).await?;
    one_source(&id, found.iter().map(|accepted| accepted.event.source.as_str()))?;
    let since = found.first().map_or(looked_back_to, |first| first.at) - CLOCKS_APART;
    let seqs: HashSet<u64> = found.iter().map(|accepted| accepted.seq).collect();
    let mut read = Read {
        shared: shared.clone(),
        stories: Stories::new(wanted),
        no_route: false,
        records_from: None,
        recorded: history.is_some(),
        lost: Vec::new(),
        acts: Vec::new(),
        now,
    };
    if found.is_empty() && rows.is_empty() && shared.keeps_all_since(looked_back_to).await? {
        // An event that was accepted since then would have been found: nothing else can know it.
        return Err(shared.not_found(&org, &id, looked_back_to).await?);
    }
    read.all(history.as_ref(), &org, &rows, &seqs, since).await?;
    if let Some(newest) = found.into_iter().next_back() {
        return read.answer(newest).await.map(Json);
    }
    let stories = read.stories.deliveries();
    let known: Vec<EventRef> = stories
        .flat_map(|story| story.events.iter().cloned())
        .filter(|event| wanted.names(&event.id, &event.source))
        .collect();
    one_source(&id, known.iter().map(|event| event.source.as_str()))?;
    match known.first() {
        Some(event) => Ok(Json(read.remains(&org, event))),
        None => {
            let mut problem = shared.not_found(&org, &id, looked_back_to).await?;
            if let Some(gaps) = read.gaps() {
                problem.detail.push_str(&format!("; not all is known: {gaps}"));
            }
            Err(problem)
        }
    }
}

/// Refuses an id that events of several sources have.
pub(crate) fn one_source<'a>(id: &str, sources: impl Iterator<Item = &'a str>) -> Result<(), Problem> {
    let sources: BTreeSet<&str> = sources.collect();
    if sources.len() < 2 {
        return Ok(());
    }
    let list: Vec<Value> = sources.into_iter().map(Value::from).collect();
    let detail = format!("{} sources have an event {id:?}: say which with ?source=", list.len());
    Err(Problem::new(StatusCode::CONFLICT, "several_events", detail)
        .field("source")
        .with("sources", list))
}

/// The whole story of an event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Trace {
    #[schema(value_type = schema::EventInTrace)]
    event: Kept,
    #[schema(value_type = Option<schema::Time>)]
    accepted_at: Option<Timestamp>,
    /// Its place in EVENTS
    sequence: u64,
    #[schema(value_type = schema::TraceStatus)]
    status: &'static str,
    why: String,
    next: String,
    /// Of an event that could not be routed
    #[schema(value_type = Option<schema::DeadLetterId>)]
    dead_letter_id: Option<String>,
    /// Whether EVENTS has let go of it
    data_expired: bool,
    deliveries: Vec<Traced>,
    /// How many deliveries are not listed
    deliveries_more: usize,
    /// Streams that did not answer: what waits there is not known
    unread: Vec<String>,
    /// Whether there is more than one request reads, or the database did not answer
    truncated: bool,
    /// Whether the database was read; without it this is what the streams still hold
    recorded: bool,
    /// What to know of an answer without the database
    hint: Option<&'static str>,
    /// Times since its acceptance of which records were lost
    gaps: Vec<view::Gap>,
    not_matched: Vec<NotMatched>,
    /// How many integrations that were not matched are not listed
    not_matched_more: usize,
}

/// What is still known of an event.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Kept {
    Whole(view::Event),
    Named {
        id: String,
        org: Name,
        #[serde(rename = "type")]
        event_type: EventType,
        source: String,
        /// Null: it is gone.
        data: (),
    },
}

/// A delivery of an event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TracedDelivery)]
struct Traced {
    #[serde(flatten)]
    delivery: view::InFull,
    /// The step of the retry schedule that the next attempt is
    step: Option<u32>,
    steps: Option<usize>,
    replays: Vec<Replayed>,
}

/// What sent a generation of a delivery behind the first.
#[derive(Debug, Serialize, ToSchema)]
struct Replayed {
    generation: u32,
    /// The act's id, as far as it is known
    act: Option<String>,
    #[schema(value_type = Option<schema::Time>)]
    at: Option<Timestamp>,
    #[schema(value_type = Option<schema::DeadLetterId>)]
    dead_letter_id: Option<String>,
}

/// An integration that does not have the event.
#[derive(Debug, Serialize, ToSchema)]
struct NotMatched {
    integration_id: String,
    #[schema(value_type = schema::Name)]
    integration: Name,
    #[schema(value_type = schema::Name)]
    provider: Name,
    #[schema(value_type = schema::NotMatchedReason)]
    reason: &'static str,
    /// Whether its filter alone decided
    near: bool,
    why: String,
    next: String,
}

/// All that was read for one answer.
struct Read<'a> {
    shared: Arc<Shared>,
    stories: Stories<'a>,
    no_route: bool,
    /// From when on OUTCOMES is complete; `None` where it has let go of nothing.
    records_from: Option<Timestamp>,
    /// Whether the database was read.
    recorded: bool,
    /// What was lost before it was recorded.
    lost: Vec<view::Gap>,
    /// Read where a replay is not explained by what else is known.
    acts: Vec<Act>,
    now: Timestamp,
}

impl Read<'_> {
    async fn all(
        &mut self,
        history: Option<&History<'_>>,
        org: &Name,
        rows: &Rows,
        seqs: &HashSet<u64>,
        since: Timestamp,
    ) -> Result<(), Problem> {
        let mut edges = (Edge::of_nothing(since), Edge::of_nothing(since));
        if let Some(history) = history {
            let known: Vec<u64> = seqs.iter().copied().collect();
            match self.recall(history, org, rows, &known).await {
                Ok(()) => edges = (history.outcomes.or_since(since), history.dead.or_since(since)),
                Err(failed) => self.recorded = failed.unless_away(false)?,
            }
        }
        let Self {
            shared,
            stories,
            no_route,
            ..
        } = self;
        // What waits is read before what ended: a delivery that ends meanwhile is seen at least once.
        shared.read_waiting(stories, since).await?;
        let routeless = |ranges: &[(u64, u64)]| {
            *no_route |= ranges
                .iter()
                .any(|(first, last)| seqs.iter().any(|seq| (first..=last).contains(&seq)));
        };
        shared.read_outcomes(stories, edges.0, routeless).await?;
        shared.read_dead(stories, edges.1).await?;
        if let Some(history) = history.filter(|_| self.recorded) {
            let accepted = (!seqs.is_empty()).then(|| since + CLOCKS_APART);
            if let Err(failed) = self.lost(history, accepted).await {
                self.recorded = failed.unless_away(false)?;
            }
        }
        self.records_from = self.shared.first_kept(subjects::OUTCOMES).await?;
        let unexplained = |story: &Story| {
            let mut generations = story.later_generations().into_iter();
            generations.any(|generation| story.replay_of(generation).is_none())
        };
        if self.stories.deliveries().any(unexplained) {
            let acts = self.shared.broker.acts().await.map_err(problems::broker)?;
            self.acts = acts.into_iter().map(|entry| entry.value).collect();
        }
        Ok(())
    }

    /// The story of an event that EVENTS has.
    async fn answer(self, accepted: Accepted) -> Result<Trace, Problem> {
        let shared = self.shared.clone();
        let org = accepted.event.org.clone();
        let delivered: HashSet<String> = self
            .stories
            .deliveries()
            .map(|story| story.integration.clone())
            .collect();
        let integrations = shared.directory.of_org(&org);
        // Those that have it and were deleted since count, too.
        let gone = delivered
            .iter()
            .filter(|id| !integrations.iter().any(|one| one.id == **id));
        let count = integrations.len() + gone.count();
        let gaps = self.gaps();
        let gap = gaps.clone();
        // Asking compiles conditions, which takes its time for thousands of them.
        let asked = accepted.clone();
        let (not_matched, more) =
            tokio::task::spawn_blocking(move || not_matched(&integrations, &delivered, &asked, gap.as_deref()))
                .await
                .map_err(|error| problems::internal(&error))?;
        let deliveries = self.deliveries(&accepted.event.id, Some(accepted.at));
        let matched = self.stories.deliveries().count();
        let routed_to = self.routed_to(accepted.seq);
        let unmade = self.stories.unmade.get(&accepted.seq);
        let kept = self.records_from.is_none_or(|from| from <= accepted.at);
        let status = match (matched, unmade, self.no_route) {
            (1.., _, _) => "routed",
            (0, Some(_), _) => "dead",
            (0, None, true) => "no_route",
            (0, None, false) if gaps.is_some() => "unknown",
            (0, None, false) if kept => "accepted",
            (0, None, false) => "unknown",
        };
        let Why { why, next } = match (status, unmade) {
            ("dead", Some((seq, message))) => {
                let letter = dead_letter_id(*seq);
                Why {
                    why: format!("it could not be routed: {message}"),
                    next: format!("dead letter {letter}: replay with `signalbox dead replay {letter}`"),
                }
            }
            ("routed", _) => Why {
                why: match gaps {
                    Some(gaps) => {
                        format!("{matched} of {count} integrations of org {org} have it, if not more: {gaps}")
                    }
                    None if routed_to > matched => format!(
                        "{matched} of {count} integrations of org {org} have it; it matched {routed_to}, and what became \
                         of the others is on its way or older than what is kept"
                    ),
                    None => format!("{matched} of {count} integrations of org {org} have it"),
                },
                next: "see its deliveries".to_owned(),
            },
            ("no_route", _) => Why {
                why: match count {
                    0 => format!("org {org} has no integrations"),
                    _ => format!("it matched none of the {count} integrations of org {org}"),
                },
                next: format!(
                    "subscribe an integration to {} (`signalbox apply`), then {}",
                    accepted.event.event_type,
                    why::replay_command(&accepted, "INTEGRATION")
                ),
            },
            ("accepted", _) => Why {
                why: "no router has been through with it yet".to_owned(),
                next: "look again in a moment; `signalbox doctor` says whether a router runs".to_owned(),
            },
            _ if let Some(gaps) = gaps => Why {
                why: format!("what became of it is not known: {gaps}"),
                next: "look again in a moment; `signalbox doctor` says what is wrong with the streams".to_owned(),
            },
            _ => Why {
                why: "what became of it is older than what is kept".to_owned(),
                next: format!("to send it again: {}", why::replay_command(&accepted, "INTEGRATION")),
            },
        };
        Ok(Trace {
            event: Kept::Whole(view::accepted(&accepted)),
            accepted_at: Some(accepted.at),
            sequence: accepted.seq,
            status,
            why,
            next,
            dead_letter_id: unmade.map(|(seq, _)| dead_letter_id(*seq)),
            data_expired: false,
            deliveries,
            deliveries_more: self.deliveries_more(),
            truncated: self.stories.is_cut || !self.recorded,
            recorded: self.recorded,
            hint: (!self.recorded).then_some(HINT),
            gaps: self.lost,
            unread: self.stories.unread,
            not_matched,
            not_matched_more: more,
        })
    }

    /// What is still known of an event that EVENTS has let go of.
    fn remains(&self, org: &Name, event: &EventRef) -> Trace {
        let kept = self.stories.deliveries().find_map(|story| story.event(&event.id));
        let accepted_at = kept.map(|accepted| accepted.at).or_else(|| {
            let known = Some(event.accepted_at);
            known.filter(|at| *at != Timestamp::default())
        });
        let shown = match kept {
            Some(accepted) => Kept::Whole(view::accepted(accepted)),
            None => Kept::Named {
                id: event.id.clone(),
                org: org.clone(),
                event_type: event.event_type.clone(),
                source: event.source.clone(),
                data: (),
            },
        };
        Trace {
            event: shown,
            accepted_at,
            sequence: event.seq,
            status: "routed",
            why: "EVENTS has let go of it; this is what history, dead letters and waiting deliveries still say"
                .to_owned(),
            next: "see its deliveries".to_owned(),
            dead_letter_id: None,
            data_expired: true,
            deliveries: self.deliveries(&event.id, accepted_at),
            deliveries_more: self.deliveries_more(),
            unread: self.stories.unread.clone(),
            truncated: self.stories.is_cut || !self.recorded,
            recorded: self.recorded,
            hint: (!self.recorded).then_some(HINT),
            gaps: self.lost.clone(),
            // Without its data nobody can say why others did not match.
            not_matched: Vec::new(),
            not_matched_more: 0,
        }
    }

    fn deliveries(&self, event: &str, accepted_at: Option<Timestamp>) -> Vec<Traced> {
        let mut list: Vec<&Story> = self.stories.deliveries().collect();
        if list.len() > DELIVERIES_MAX {
            list.sort_by_key(|story| story.ended() == Some(Final::Delivered));
            list.truncate(DELIVERIES_MAX);
        }
        let mut list: Vec<(Option<Name>, Traced)> = list
            .into_iter()
            .map(|story| {
                let integration = self.shared.directory.by_id(&story.integration);
                let name = integration.as_ref().map(|integration| integration.name.clone());
                (name, self.delivery(event, accepted_at, story, integration.as_deref()))
            })
            .collect();
        list.sort_by(|(a, _), (b, _)| a.cmp(b));
        list.into_iter().map(|(_, delivery)| delivery).collect()
    }

    /// What could not be read, in words.
    fn gaps(&self) -> Option<String> {
        let silent = &self.stories.unread;
        let mut words = match (silent.as_slice(), self.stories.is_cut) {
            ([], false) => Vec::new(),
            ([], true) => vec!["the streams hold more than one request reads".to_owned()],
            ([_, ..], false) => vec![format!("{} did not answer", silent.join(", "))],
            ([_, ..], true) => vec![format!(
                "{} did not answer, and others hold more than one request reads",
                silent.join(", ")
            )],
        };
        let lost = self.lost.iter().take(LOST_SAID_MAX);
        words.extend(lost.map(|gap| format!("records from {} to {} were lost", gap.since, gap.until)));
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// How many integrations the router matched, by what the deliveries of the event say.
    fn routed_to(&self, seq: u64) -> usize {
        let events = self.stories.deliveries().flat_map(|story| &story.events);
        let matched = events.filter(|event| event.seq == seq).map(|event| event.matched);
        matched
            .max()
            .map_or(0, |matched| usize::try_from(matched).unwrap_or(usize::MAX))
    }

    /// How many deliveries are not listed.
    fn deliveries_more(&self) -> usize {
        self.stories.deliveries().count().saturating_sub(DELIVERIES_MAX)
    }

    fn delivery(
        &self,
        event: &str,
        accepted_at: Option<Timestamp>,
        story: &Story,
        integration: Option<&Integration>,
    ) -> Traced {
        let state = self.shared.directory.state(&story.integration);
        let Why { mut why, next } = why::delivery(story, &state, integration, self.now);
        if let Some(gaps) = self
            .gaps()
            .filter(|_| story.moving().is_none() && story.ended().is_none())
        {
            why = format!("{why}; what came then is not known: {gaps}");
        }
        let (step, steps) = why::step(story, integration).unzip();
        let shown = story.view(&state, integration);
        Traced {
            delivery: view::InFull {
                delivery: view::Delivery {
                    event_id: Some(event.to_owned()),
                    created_at: accepted_at.or(shown.created_at),
                    ..shown
                },
                why,
                next,
                expires_at: why::expires_at(story, integration),
                history: story.history(),
                recorded: self.recorded,
            },
            step,
            steps,
            replays: self.replays(story),
        }
    }

    /// What sent each generation behind the first.
    fn replays(&self, story: &Story) -> Vec<Replayed> {
        let one = |generation: u32| {
            let act = self.acts.iter().find(|act| act.generation == generation);
            let by_act = act.map(|act| Replay {
                act: act.id.clone(),
                at: act.created_at,
                dead_letter: None,
            });
            let replay = story.replay_of(generation).or(by_act);
            Replayed {
                generation,
                act: replay.as_ref().map(|replay| replay.act.clone()),
                at: replay.as_ref().map(|replay| replay.at),
                dead_letter_id: replay.and_then(|replay| replay.dead_letter).map(dead_letter_id),
            }
        };
        story.later_generations().into_iter().map(one).collect()
    }
}

/// Why the other integrations of the org do not have the event, and how many are not listed.
fn not_matched(
    integrations: &[Arc<Integration>],
    delivered: &HashSet<String>,
    accepted: &Accepted,
    gaps: Option<&str>,
) -> (Vec<NotMatched>, usize) {
    // Read once, however many ask.
    let (view, shown) = (EventView::new(accepted), view::accepted_value(accepted));
    let others = || integrations.iter().filter(|one| !delivered.contains(&one.id));
    let mut list: Vec<(&Integration, Unmatched)> = others()
        .take(ASKED_MAX)
        .map(|one| {
            let verdict = explain_view(one, accepted, &view);
            (one.as_ref(), why::unmatched_of(one, accepted, &verdict, &shown, gaps))
        })
        .collect();
    // Stable: those that are alike stay in the order of their names.
    list.sort_by_key(|(_, unmatched)| !unmatched.near);
    let more = others().count().saturating_sub(NOT_MATCHED_MAX);
    list.truncate(NOT_MATCHED_MAX);
    let items = list.into_iter().map(|(integration, unmatched)| NotMatched {
        integration_id: integration.id.clone(),
        integration: integration.name.clone(),
        provider: integration.provider.clone(),
        reason: unmatched.reason,
        near: unmatched.near,
        why: unmatched.words.why,
        next: unmatched.words.next,
    });
    (items.collect(), more)
}
