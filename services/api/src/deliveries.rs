//! Deliveries: listing them, showing one with its history, and trying one now.
//!
//! All is read from the streams: what waits from the providers' streams and PARKED, what ended from OUTCOMES and DEAD,
//! and so for as long as these keep it. [`read`] bounds how much one request reads; an answer that is cut short by a
//! bound says so (`truncated`).
//!
//! The newest come first, by the place of their event in EVENTS and then by id: neither ever changes, so a cursor (the
//! last one's place and id) stays good while deliveries move and end.

mod filter;
mod kept;
mod read;
mod retry;

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use signalbox_proto::Timestamp;
use signalbox_runtime::Problem;

use crate::{
    App, Shared,
    caller::Caller,
    request::{Page, Path, Query},
    story::Story,
    view::{self, CutList},
    why::{self, Why},
};
use filter::{Filter, Key, key_of};
pub(crate) use filter::{STATUSES, is_id};
use read::Reading;
pub(crate) use retry::retry;

/// What ended is listed for so long back, where a request does not say.
const SINCE: std::time::Duration = std::time::Duration::from_secs(3_600);

type Listed = Result<Json<CutList<view::Delivery>>, Problem>;

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
    let mut reading = Reading::of_one(&shared, &filter, &ids);
    reading.waiting_one(&id).await?;
    reading.ended_one(&id).await?;
    match reading.story(&id) {
        Some(story) => Ok(Json(shared.delivery_in_full(story).await?)),
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
        filter.before = page.cursor.as_deref().map(Key::parse).transpose()?;
        self.page_of_deliveries(&filter, &page, now).await.map(Json)
    }

    async fn page_of_deliveries(
        &self,
        filter: &Filter,
        page: &Page,
        now: Timestamp,
    ) -> Result<CutList<view::Delivery>, Problem> {
        let mut reading = Reading::of_many(self, filter);
        reading.page(page.limit, filter.since.unwrap_or(now - SINCE)).await?;
        let (found, truncated) = reading.found(page.limit + 1);
        let more = found.len() > page.limit;
        let shown = found.get(..page.limit).unwrap_or(&found);
        let next = shown.last().filter(|_| more).map(|story| key_of(story).to_string());
        let shown = shown.iter().map(|story| (*story).clone()).collect();
        let shown = self.with_times(shown).await?;
        Ok(CutList {
            items: shown.iter().map(|story| self.delivery(story)).collect(),
            next_cursor: next,
            truncated,
        })
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
    async fn delivery_in_full(&self, story: &Story) -> Result<view::InFull, Problem> {
        let mut stories = self.with_times(vec![story.clone()]).await?;
        let story = stories.pop().unwrap_or_else(|| story.clone());
        let (state, integration) = (
            self.directory.state(&story.integration),
            self.directory.by_id(&story.integration),
        );
        let Why { why, next } = why::delivery(&story, &state, integration.as_deref(), Timestamp::now());
        Ok(view::InFull {
            delivery: self.delivery(&story),
            why,
            next,
            expires_at: why::expires_at(&story, integration.as_deref()),
            history: story.history(),
        })
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
    for (generation, attempt) in recorded.chain(moving).chain(dead) {
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
