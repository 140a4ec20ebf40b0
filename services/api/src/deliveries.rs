//! Deliveries: listing them, showing one with its history, and trying one now.
//!
//! What was tried is read from the database, what waits from the providers' streams and PARKED, and what was recorded
//! too recently from OUTCOMES and DEAD ([`recorded`]). While the database is away all is read from the streams, for as
//! long as these keep it ([`read`]). Both bound how much one request reads; an answer that is cut short by a bound says
//! so (`truncated`).
//!
//! The newest come first, by when their event was accepted and then by id: neither ever changes, so a cursor (the last
//! one's place) stays good while deliveries move and end.

mod filter;
mod kept;
mod read;
mod recorded;
mod retry;

use std::collections::{BTreeMap, HashSet};

use axum::{Json, extract::State};
use signalbox_proto::Timestamp;
use signalbox_runtime::Problem;

use crate::{
    App, Shared,
    caller::Caller,
    history::{Failed, HINT},
    request::{Page, Path, Query},
    story::Story,
    view::{self, HistoryList},
    why::{self, Why},
};
use filter::{Filter, place_of};
pub(crate) use filter::{STATUSES, is_id};
use read::Reading;
pub(crate) use retry::retry;

/// What ended is listed for so long back while the database is away, where a request does not say.
const SINCE: std::time::Duration = std::time::Duration::from_secs(3_600);

type Listed = Result<Json<HistoryList<view::Delivery>>, Problem>;

pub(crate) async fn list(State(shared): App, caller: Caller, mut query: Query) -> Listed {
    let given = query.take("integration");
    shared.list_deliveries(caller, given, query).await
}

pub(crate) async fn of_integration(State(shared): App, caller: Caller, Path(id): Path, query: Query) -> Listed {
    shared.list_deliveries(caller, Some(id), query).await
}

pub(crate) async fn show(
    State(shared): App,
    caller: Caller,
    Path(id): Path,
    mut query: Query,
) -> Result<Json<view::InFull>, Problem> {
    let given = query.take("integration");
    query.end()?;
    shared.directory.complete()?;
    let filter = Filter::of_one(&shared, caller.org, given.as_deref())?;
    let ids = filter::one_id(&id)?;
    let reading = shared.one_delivery(&filter, &ids, &id).await?;
    match reading.story(&id) {
        Some(story) => Ok(Json(shared.delivery_in_full(story, reading.recorded))),
        None => Err(reading.missing(&id)),
    }
}

impl Shared {
    async fn list_deliveries(&self, caller: Caller, integration: Option<String>, mut query: Query) -> Listed {
        let now = Timestamp::now();
        let mut filter = Filter::read(caller.org, &mut query, now)?;
        let page = query.page()?;
        query.end()?;
        self.directory.complete()?;
        filter.narrow(self, integration.as_deref())?;
        filter.before = page.cursor.as_deref().map(filter::read_cursor).transpose()?;
        self.page_of_deliveries(&filter, &page, now).await.map(Json)
    }

    async fn page_of_deliveries(
        &self,
        filter: &Filter,
        page: &Page,
        now: Timestamp,
    ) -> Result<HistoryList<view::Delivery>, Problem> {
        match self.recorded_deliveries(filter, page.limit).await {
            Ok(found) => return Ok(found),
            Err(Failed::Problem(problem)) => return Err(problem),
            Err(Failed::Away) => {}
        }
        let mut reading = Reading::of_many(self, filter);
        reading.page(page.limit, filter.since.unwrap_or(now - SINCE)).await?;
        Ok(self.deliveries_shown(&reading, page.limit, Vec::new()))
    }

    async fn recorded_deliveries(&self, filter: &Filter, limit: usize) -> Result<HistoryList<view::Delivery>, Failed> {
        let history = self.history().await?;
        let mut reading = Reading::of_many(self, filter);
        reading.recorded_page(&history, limit).await?;
        let (found, _) = reading.found(limit + 1);
        let last = found.get(limit.wrapping_sub(1)).filter(|_| found.len() > limit);
        let gaps = reading.gaps(&history, last.copied()).await?;
        Ok(self.deliveries_shown(&reading, limit, gaps))
    }

    /// A page of what was read.
    fn deliveries_shown(
        &self,
        reading: &Reading<'_>,
        limit: usize,
        gaps: Vec<view::Gap>,
    ) -> HistoryList<view::Delivery> {
        let (found, truncated) = reading.found(limit + 1);
        let more = found.len() > limit;
        let shown = found.get(..limit).unwrap_or(&found);
        let next = match shown.last().filter(|_| more) {
            Some(last) => Some(place_of(last)),
            None => reading.goes_on(),
        };
        HistoryList {
            items: shown.iter().map(|story| self.delivery(story)).collect(),
            next_cursor: next.as_ref().map(filter::cursor),
            truncated,
            recorded: reading.recorded,
            hint: (!reading.recorded).then_some(HINT),
            gaps,
        }
    }

    /// All that is known of one delivery.
    async fn one_delivery<'a>(
        &'a self,
        filter: &'a Filter,
        ids: &'a HashSet<String>,
        id: &str,
    ) -> Result<Reading<'a>, Problem> {
        let mut reading = Reading::of_one(self, filter, ids);
        match self.history().await {
            Ok(history) => match reading.recorded_one(&history, id).await {
                Ok((true, _)) => return Ok(reading),
                // Not there, but maybe a member of a digest: the streams may know which.
                Ok((false, _)) => reading.recorded = true,
                Err(Failed::Problem(problem)) => return Err(problem),
                Err(Failed::Away) => {
                    reading.waiting_one(id).await?;
                }
            },
            Err(Failed::Problem(problem)) => return Err(problem),
            Err(Failed::Away) => {
                reading.waiting_one(id).await?;
            }
        }
        reading.ended_one(id).await?;
        Ok(reading)
    }

    /// A delivery as lists show it.
    fn delivery(&self, story: &Story) -> view::Delivery {
        let integration = self.directory.by_id(&story.integration);
        let shown = story.view(&self.directory.state(&story.integration), integration.as_deref());
        // A list reads how a delivery ended and what waits, not each attempt: both say how many there were.
        view::Delivery {
            attempts: shown.attempts.max(known_attempts(story)),
            response_code: shown.response_code.or_else(|| noted_code(story)),
            ..shown
        }
    }

    /// A delivery with its history.
    fn delivery_in_full(&self, story: &Story, recorded: bool) -> view::InFull {
        let (state, integration) = (
            self.directory.state(&story.integration),
            self.directory.by_id(&story.integration),
        );
        let Why { why, next } = why::delivery(story, &state, integration.as_deref(), Timestamp::now());
        view::InFull {
            delivery: self.delivery(story),
            why,
            next,
            expires_at: why::expires_at(story, integration.as_deref()),
            history: story.history(),
            recorded,
        }
    }
}

/// How many requests were sent, by what each generation's newest entry says.
fn known_attempts(story: &Story) -> u64 {
    let recorded = story
        .attempts()
        .into_iter()
        .map(|attempt| (attempt.generation, attempt.attempt));
    let moving = story
        .moving()
        .map(|(delivery, _)| (delivery.generation, delivery.attempt));
    let dead = story
        .dead
        .values()
        .filter_map(|buried| buried.letter.delivery.as_deref());
    let dead = dead.map(|delivery| (delivery.generation, delivery.attempt));
    let mut generations: BTreeMap<u32, u32> = BTreeMap::new();
    for (generation, attempt) in recorded.chain(moving).chain(dead).chain(story.recalled_attempts()) {
        let most = generations.entry(generation).or_default();
        *most = attempt.max(*most);
    }
    generations.into_values().map(u64::from).sum()
}

/// The status of the last answer, by what travels with the delivery.
fn noted_code(story: &Story) -> Option<u16> {
    let dead = || {
        story
            .last_dead()
            .and_then(|(_, buried)| buried.letter.delivery.as_deref())
    };
    let delivery = story.moving().map(|(delivery, _)| delivery).or_else(dead)?;
    delivery.notes.last()?.response_code
}

#[cfg(test)]
mod tests;
