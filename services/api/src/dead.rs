//! Dead letters: listing, showing, and which of them a filter means.
//!
//! Lists are read from the database ([`recorded`]), and from DEAD alone while that is away.
//!
//! The org `default` also shows those whose input named no valid org, so that nobody has to know another address
//! for what was rejected first of all.

mod recorded;

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
    time::Instant,
};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use serde_json::Value;
use signalbox_broker::browse::{Marks, Stored, dead_letter_id, dead_letter_seq};
use signalbox_proto::{DeadLetter, DeadReason, Name, Stage, Timestamp, act::DeadFilter, subjects, wire};
use signalbox_runtime::Problem;
use utoipa::ToSchema;

use crate::{
    App, Shared,
    caller::Caller,
    history::HINT,
    problems,
    problems::invalid,
    request::{self, Page, Path, Query},
    schema,
    view::{self, HistoryList},
};

/// Most groups that are counted. What is like none of them is left out, and the answer says so.
const GROUPS_MAX: usize = 10_000;
/// Dead letters of a group that are named: the newest.
const EXAMPLES_MAX: usize = 3;
/// Dead letters that are looked at for groups before a rest as long as the look.
const PART: usize = 200;

pub(crate) async fn list(State(shared): App, caller: Caller, mut query: Query) -> Result<Response, Problem> {
    let filter = filter(&shared, &caller.org, &mut query)?;
    let group_by = query.take("group_by");
    let page = query.page()?;
    query.end()?;
    match group_by.as_deref() {
        None => Ok(Json(shared.page_of_letters(&filter, &page).await?).into_response()),
        Some("fingerprint") if page.cursor.is_some() => Err(invalid(
            "cursor",
            "is for lists: groups have one page, so narrow the filter",
        )),
        Some("fingerprint") => Ok(Json(shared.groups(&filter, page.limit).await?).into_response()),
        Some(_) => Err(invalid("group_by", "is not fingerprint")),
    }
}

pub(crate) async fn show(
    State(shared): App,
    Caller { org, .. }: Caller,
    Path(id): Path,
    query: Query,
) -> Result<Json<view::DeadLetter>, Problem> {
    query.end()?;
    let missing = || problems::not_found("dead letter", &id);
    let seq = dead_letter_seq(&id).ok_or_else(missing)?;
    match shared.recorded_letter(&org, seq).await {
        Ok(found) => return found.map(Json).ok_or_else(missing),
        Err(failed) => failed.unless_away(())?,
    }
    let found = shared
        .broker
        .dead_letter(seq)
        .await
        .map_err(problems::broker)?
        .ok_or_else(missing)?;
    if !is_of(&org, found.letter.org.as_ref()) {
        return Err(missing());
    }
    Ok(Json(view::dead_letter(
        seq,
        &found.letter,
        found.replayed_at,
        found.discarded_at,
    )))
}

/// Reads the parameters that say which dead letters are meant.
fn filter(shared: &Shared, org: &Name, query: &mut Query) -> Result<DeadFilter, Problem> {
    let now = Timestamp::now();
    let (since, until) = query.span(now)?;
    let mut filter = DeadFilter {
        integration: query.take("integration"),
        provider: query.provider("provider")?.map(str::to_owned),
        stage: query.take("stage").map(|text| word("stage", &text)).transpose()?,
        reason: query.take("reason").map(|text| word("reason", &text)).transpose()?,
        fingerprint: query.take("fingerprint"),
        event_type: query
            .take("event_type")
            .map(|text| request::event_type("event_type", &text))
            .transpose()?
            .map(|event_type| event_type.to_string()),
        since,
        until,
        ..DeadFilter::default()
    };
    complete(shared, &mut filter, org)?;
    Ok(filter)
}

/// Reads a word of an enum by its name in JSON.
fn word<T: serde::de::DeserializeOwned>(field: &str, text: &str) -> Result<T, Problem> {
    serde_json::from_value(Value::from(text)).map_err(|error| invalid(field, error.to_string()))
}

/// Puts the org into a filter, and an integration's id in the place of its name.
pub(crate) fn complete(shared: &Shared, filter: &mut DeadFilter, org: &Name) -> Result<(), Problem> {
    if filter.reason == Some(DeadReason::Unknown) {
        let known = DeadReason::ALL.map(DeadReason::as_str).join(", ");
        return Err(invalid("reason", format!("is none of {known}")));
    }
    if let Some(given) = &filter.integration {
        // Dead letters outlive their integration, so an id counts also when it is a tombstone's or forgotten.
        let id = match shared.directory.find(org, given) {
            Some(found) => found.id.clone(),
            None if shared.directory.by_id(given).is_some_and(|found| found.org == *org) => given.clone(),
            None => return Err(problems::not_found("integration", given)),
        };
        filter.integration = Some(id);
    }
    filter.org = Some(org.to_string());
    Ok(())
}

/// Whether a dead letter of this org is one of those that the asker sees.
pub(crate) fn is_of(asked: &Name, org: Option<&Name>) -> bool {
    match org {
        Some(org) => org == asked,
        None => *asked == Name::default_org(),
    }
}

/// A filter made ready to look at many dead letters.
pub(crate) struct Matcher<'a> {
    filter: &'a DeadFilter,
    seqs: Option<HashSet<u64>>,
}

impl<'a> Matcher<'a> {
    /// Refuses an id that is none.
    pub(crate) fn new(filter: &'a DeadFilter) -> Result<Self, Problem> {
        let mut seqs = HashSet::new();
        for (index, id) in filter.ids.iter().enumerate() {
            let seq = dead_letter_seq(id).ok_or_else(|| {
                invalid(
                    &format!("ids[{index}]"),
                    "is not the id of a dead letter, such as dl_12",
                )
            })?;
            seqs.insert(seq);
        }
        Ok(Self {
            filter,
            seqs: (!filter.ids.is_empty()).then_some(seqs),
        })
    }

    /// The subjects of DEAD that may hold what matches.
    pub(crate) fn subjects(&self) -> String {
        self.filter.subject()
    }

    /// Whether a dead letter stored at this time matches.
    pub(crate) fn matches(&self, seq: u64, at: Timestamp, letter: &DeadLetter) -> bool {
        self.seqs.as_ref().is_none_or(|seqs| seqs.contains(&seq)) && self.filter.covers(at, letter)
    }

    /// From when on something can match.
    pub(crate) fn since(&self) -> Option<Timestamp> {
        self.filter.since
    }

    /// Whether nothing stored at this time or before can match.
    fn is_past(&self, at: Timestamp) -> bool {
        self.filter.since.is_some_and(|since| at < since)
    }
}

impl Shared {
    /// Looks at the dead letters that match, newest first, until `each` has enough, or until so many were looked at: the
    /// place at which it goes on then.
    pub(crate) async fn matching(
        &self,
        matcher: &Matcher<'_>,
        before: Option<u64>,
        most: usize,
        each: impl FnMut(u64, DeadLetter) -> ControlFlow<()>,
    ) -> Result<Option<u64>, Problem> {
        self.matching_behind(matcher, 0, before, most, each).await
    }

    /// The same, of those behind a sequence alone.
    async fn matching_behind(
        &self,
        matcher: &Matcher<'_>,
        behind: u64,
        before: Option<u64>,
        most: usize,
        mut each: impl FnMut(u64, DeadLetter) -> ControlFlow<()>,
    ) -> Result<Option<u64>, Problem> {
        let (mut looked_at, mut goes_on) = (0, None);
        let look = |stored: Stored| {
            if stored.seq <= behind || matcher.is_past(stored.at) {
                return ControlFlow::Break(());
            }
            if looked_at == most {
                goes_on = Some(stored.seq + 1);
                return ControlFlow::Break(());
            }
            looked_at += 1;
            match wire::decode::<DeadLetter>(&stored.body) {
                Ok(letter) if matcher.matches(stored.seq, stored.at, &letter) => each(stored.seq, letter),
                Ok(_) => ControlFlow::Continue(()),
                Err(error) => {
                    tracing::error!(%error, id = dead_letter_id(stored.seq), "cannot read a dead letter");
                    ControlFlow::Continue(())
                }
            }
        };
        self.broker
            .read_back(subjects::DEAD, &matcher.subjects(), before, look)
            .await
            .map_err(problems::broker)?;
        Ok(goes_on)
    }

    async fn page_of_letters(
        &self,
        filter: &DeadFilter,
        page: &Page,
    ) -> Result<HistoryList<view::DeadLetter>, Problem> {
        let before = recorded::read_cursor(page.cursor.as_deref())?;
        match self.recorded_letters(filter, before, page.limit).await {
            Ok(found) => return Ok(found),
            Err(failed) => failed.unless_away(())?,
        }
        let matcher = Matcher::new(filter)?;
        let mut found = Vec::new();
        self.matching(&matcher, before, usize::MAX, |seq, letter| {
            found.push((seq, letter));
            if found.len() > page.limit {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .await?;
        let more = found.len() > page.limit;
        found.truncate(page.limit);
        let marks = if found.is_empty() {
            Marks::default()
        } else {
            self.broker.marks().await.map_err(problems::broker)?
        };
        let next = found.last().filter(|_| more).map(|(seq, _)| dead_letter_id(*seq));
        let shown = found.iter().map(|(seq, letter)| {
            let (replayed_at, discarded_at) = marks.of(*seq);
            view::dead_letter(*seq, letter, replayed_at, discarded_at)
        });
        Ok(HistoryList {
            items: shown.collect(),
            next_cursor: next,
            truncated: true,
            recorded: false,
            hint: Some(HINT),
            gaps: Vec::new(),
        })
    }

    async fn groups(&self, filter: &DeadFilter, limit: usize) -> Result<HistoryList<GroupShown>, Problem> {
        match self.recorded_groups(filter, limit).await {
            Ok(found) => return Ok(found),
            Err(failed) => failed.unless_away(())?,
        }
        let matcher = Matcher::new(filter)?;
        let marks = self.broker.marks().await.map_err(problems::broker)?;
        let mut groups = Groups::new(GROUPS_MAX);
        let mut before = None;
        loop {
            let began = Instant::now();
            let add = |seq, letter| {
                groups.add(seq, letter, marks.is_settled(seq));
                ControlFlow::Continue(())
            };
            before = self.matching(&matcher, before, PART, add).await?;
            if before.is_none() {
                break;
            }
            // Live traffic goes through the same server.
            tokio::time::sleep(began.elapsed()).await;
        }
        let name = |id: &str| Some(self.directory.by_id(id)?.name.clone());
        Ok(HistoryList {
            truncated: true,
            recorded: false,
            hint: Some(HINT),
            ..groups.view(limit, name)
        })
    }
}

/// Like dead letters put together, counted newest first.
struct Groups {
    most: usize,
    by_fingerprint: HashMap<String, Group>,
    truncated: bool,
}

/// What is shown of a group: how its newest dead letter looks, and how many there are.
struct Group {
    count: u64,
    /// Replayed or given up.
    settled: u64,
    /// The newest.
    examples: Vec<u64>,
    stage: Stage,
    reason: DeadReason,
    message: String,
    provider: Option<Name>,
    integration: Option<String>,
    first_at: Timestamp,
    last_at: Timestamp,
}

/// Dead letters with like errors: how the newest looks, and how many there are.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterGroup)]
pub(crate) struct GroupShown {
    fingerprint: String,
    count: u64,
    /// Replayed or discarded already
    settled: u64,
    /// The newest, at most three
    #[schema(value_type = Vec<schema::DeadLetterId>)]
    examples: Vec<String>,
    #[schema(value_type = schema::Stage)]
    stage: Stage,
    #[schema(value_type = schema::DeadReason)]
    reason: DeadReason,
    message: String,
    #[schema(value_type = Option<schema::Name>)]
    provider: Option<Name>,
    integration_id: Option<String>,
    #[schema(value_type = Option<schema::Name>)]
    integration: Option<Name>,
    #[schema(value_type = schema::Time)]
    first_at: Timestamp,
    #[schema(value_type = schema::Time)]
    last_at: Timestamp,
}

impl Groups {
    fn new(most: usize) -> Self {
        Self {
            most,
            by_fingerprint: HashMap::new(),
            truncated: false,
        }
    }

    fn add(&mut self, seq: u64, letter: DeadLetter, settled: bool) {
        let full = self.by_fingerprint.len() >= self.most;
        match self.by_fingerprint.get_mut(&letter.fingerprint) {
            Some(group) => {
                group.count += 1;
                group.settled += u64::from(settled);
                if group.examples.len() < EXAMPLES_MAX {
                    group.examples.push(seq);
                }
                group.first_at = group.first_at.min(letter.first_at);
            }
            None if full => self.truncated = true,
            None => {
                let (provider, integration) = letter
                    .delivery
                    .map(|delivery| (delivery.provider, delivery.integration))
                    .unzip();
                let group = Group {
                    count: 1,
                    settled: u64::from(settled),
                    examples: vec![seq],
                    stage: letter.stage,
                    reason: letter.reason,
                    message: letter.message,
                    provider,
                    integration,
                    first_at: letter.first_at,
                    last_at: letter.last_at,
                };
                self.by_fingerprint.insert(letter.fingerprint, group);
            }
        }
    }

    /// Their fingerprints.
    fn fingerprints(&self) -> impl Iterator<Item = &String> {
        self.by_fingerprint.keys()
    }

    /// Joins a group of older dead letters.
    fn join(&mut self, fingerprint: String, older: Group) {
        match self.by_fingerprint.get_mut(&fingerprint) {
            Some(group) => {
                group.count += older.count;
                group.settled += older.settled;
                group.examples.extend(older.examples);
                group.examples.truncate(EXAMPLES_MAX);
                group.first_at = group.first_at.min(older.first_at);
            }
            None => {
                self.by_fingerprint.insert(fingerprint, older);
            }
        }
    }

    /// The largest groups. `truncated` says that there are more.
    fn view(self, limit: usize, name: impl Fn(&str) -> Option<Name>) -> HistoryList<GroupShown> {
        let truncated = self.truncated || self.by_fingerprint.len() > limit;
        let mut list: Vec<(String, Group)> = self.by_fingerprint.into_iter().collect();
        list.sort_by_key(|(_, group)| std::cmp::Reverse((group.count, group.last_at)));
        let shown = list.into_iter().take(limit).map(|(fingerprint, group)| GroupShown {
            fingerprint,
            count: group.count,
            settled: group.settled,
            examples: group.examples.iter().map(|seq| dead_letter_id(*seq)).collect(),
            stage: group.stage,
            reason: group.reason,
            message: group.message,
            provider: group.provider,
            integration: group.integration.as_deref().and_then(&name),
            integration_id: group.integration,
            first_at: group.first_at,
            last_at: group.last_at,
        });
        HistoryList {
            items: shown.collect(),
            next_cursor: None,
            truncated,
            recorded: true,
            hint: None,
            gaps: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
