//! `GET /v1/stats`: what happened in a window, by time, provider and integration, and what waits now.
//!
//! The recorder counts as it writes (`signalbox_store::history::stats`), so that a question reads a few rows an
//! integration, whatever number of deliveries there were. What waits is counted in the streams: see [`lag`].

mod lag;
mod shown;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use axum::{Json, extract::State};
use signalbox_proto::{Integration, Name, Timestamp};
use signalbox_runtime::Problem;
use signalbox_store::{
    history::{
        Figures,
        stats::{DAY, HOUR, OfProvider, Window},
    },
    integrations::Wanted,
};

pub(crate) use lag::Looks;
pub(crate) use shown::{Answer, GROUPS};
use shown::{Group, OfIntegration, Part, Provider, Seen};

use crate::{
    App, Shared,
    caller::Caller,
    problems::{self, invalid},
    request::Query,
};

/// The window of a request that names none.
const WINDOW: Duration = DAY;
/// The longest window: as long as history is kept by default.
const WINDOW_MAX: Duration = Duration::from_secs(90 * 86_400);
/// The longest one that is shown hour by hour.
const BY_HOUR_MAX: Duration = Duration::from_secs(31 * 86_400);
/// Rows that are read for the integrations of a page at most: a page is short where each of them has many.
const ROWS_MAX: usize = 10_000;
const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// Weeks begin on Mondays, and 1970 began on a Thursday.
const SINCE_MONDAY: Duration = Duration::from_secs(3 * 86_400);

/// What is asked for.
struct Asked {
    since: Timestamp,
    until: Timestamp,
    group_by: Option<Group>,
    provider: Option<Name>,
    now: Timestamp,
}

impl Asked {
    fn read(query: &mut Query, now: Timestamp) -> Result<Self, Problem> {
        let (since, until) = query.span(now)?;
        let group_by = query.one_of("group_by", &GROUPS)?.and_then(Group::of);
        let provider = query.provider("provider")?;
        let until = until.unwrap_or(now);
        let since = since.unwrap_or(until - WINDOW);
        if since >= until {
            return Err(invalid(
                "since",
                format!("is {since}, not before {until}: nothing lies between"),
            ));
        }
        let length = until.since(since);
        if length > WINDOW_MAX {
            return Err(invalid("since", "lies more than 90 days before until: ask for less"));
        }
        if group_by == Some(Group::Hour) && length > BY_HOUR_MAX {
            let detail = "hour is for 31 days at most: ask for less, or for day";
            return Err(invalid("group_by", detail));
        }
        Ok(Self {
            since,
            until,
            group_by,
            provider: provider.and_then(|name| name.parse().ok()),
            now,
        })
    }

    fn window(&self) -> Window {
        let window = Window::of(self.since, self.until);
        match self.group_by {
            Some(Group::Day | Group::Week) => window.by_day(),
            Some(Group::Hour) | None => window,
        }
    }

    /// When the part of the series begins that an hour or a day is in, and when it is over.
    fn part_of(&self, at: Timestamp) -> (Timestamp, Timestamp) {
        let (length, shift) = match self.group_by {
            Some(Group::Hour) => (HOUR, Duration::ZERO),
            Some(Group::Week) => (WEEK, SINCE_MONDAY),
            Some(Group::Day) | None => (DAY, Duration::ZERO),
        };
        let (length, shift) = (length.as_nanos() as i64, shift.as_nanos() as i64);
        let into = at.nanos().saturating_add(shift).rem_euclid(length);
        let begin = at.nanos().saturating_sub(into);
        (
            Timestamp::from_nanos(begin),
            Timestamp::from_nanos(begin.saturating_add(length)),
        )
    }
}

pub(crate) async fn stats(
    State(shared): App,
    Caller { org, .. }: Caller,
    mut query: Query,
) -> Result<Json<Answer>, Problem> {
    let asked = Asked::read(&mut query, Timestamp::now())?;
    let integration = query.take("integration");
    let page = query.page()?;
    query.end()?;
    shared.directory.complete()?;
    let window = asked.window();
    let fine = match asked.group_by {
        Some(Group::Hour) => window.by_hour(),
        Some(Group::Day | Group::Week) | None => window,
    };
    let (integrations, next_cursor) = match &integration {
        Some(given) => (vec![shared.measured(&org, &asked, given)?], None),
        None => {
            let limit = page.limit.min((ROWS_MAX / window.rows().max(1)).max(1));
            shared
                .page_of(&org, asked.provider.as_ref(), page.cursor.as_deref(), limit)
                .await?
        }
    };
    let rows = match &integration {
        Some(_) => shared.of_one(&org, &integrations[0], &fine).await?,
        None => shared
            .store()
            .stats_of_providers(org.as_str(), &fine)
            .await
            .map_err(problems::store)?,
    };
    let rows: Vec<OfProvider> = match &asked.provider {
        Some(provider) => rows
            .into_iter()
            .filter(|row| row.provider == provider.as_str())
            .collect(),
        None => rows,
    };
    let of_each = shared.of_each(&org, &integrations, &window).await?;
    let look = shared.look().await;
    let since = window.since();
    let seen = Seen {
        minutes: minutes(since, window.until().min(asked.now)),
        lags: look
            .as_ref()
            .map(|look| look.of_org(&org, &|id| shared.provider_of(id))),
    };
    let gaps = shared.store().gaps_between(since, window.until()).await;
    let has_gaps = !gaps.map_err(problems::store)?.is_empty();
    let only = integration.as_ref().and_then(|_| integrations.first());
    let items = integrations.iter().map(|integration| OfIntegration {
        id: integration.id.clone(),
        name: integration.name.clone(),
        provider: integration.provider.clone(),
        figures: seen.figures(of_each.get(&integration.id).unwrap_or(&Figures::default())),
        lag: seen.lag(|lag| lag.integration == integration.id),
    });
    let is_meant = |lag: &lag::Lag| match (only, &asked.provider) {
        (Some(integration), _) => lag.integration == integration.id,
        (None, Some(provider)) => lag.provider == provider.as_str(),
        (None, None) => true,
    };
    Ok(Json(Answer {
        since,
        until: window.until(),
        group_by: asked.group_by,
        total: seen.figures(&sum(rows.iter())),
        lag: seen.lag(is_meant),
        series: series(&asked, &window, &rows),
        providers: if only.is_some() {
            Vec::new()
        } else {
            providers(&rows, &seen)
        },
        items: items.collect(),
        next_cursor,
        waiting_at: look.map(|look| look.at),
        has_gaps,
    }))
}

fn minutes(since: Timestamp, until: Timestamp) -> f64 {
    (until.since(since).as_secs_f64() / 60.0).max(1.0)
}

fn sum<'a>(rows: impl Iterator<Item = &'a OfProvider>) -> Figures {
    let mut sum = Figures::default();
    for row in rows {
        sum.add(&row.figures);
    }
    sum
}

/// The parts of a window, also those in which nothing happened.
fn series(asked: &Asked, window: &Window, rows: &[OfProvider]) -> Vec<Part> {
    if asked.group_by.is_none() {
        return Vec::new();
    }
    let mut sums: BTreeMap<Timestamp, Figures> = BTreeMap::new();
    for row in rows {
        sums.entry(asked.part_of(row.at).0).or_default().add(&row.figures);
    }
    let mut parts = Vec::new();
    let mut at = window.since();
    while at < window.until() {
        let (begin, end) = asked.part_of(at);
        let (since, until) = (begin.max(window.since()), end.min(window.until()));
        let seen = Seen {
            minutes: minutes(since, until.min(asked.now)),
            lags: None,
        };
        parts.push(Part {
            since,
            until,
            figures: seen.figures(sums.get(&begin).unwrap_or(&Figures::default())),
        });
        if end <= at {
            break;
        }
        at = end;
    }
    parts
}

/// By provider: those for which something happened or waits.
fn providers(rows: &[OfProvider], seen: &Seen) -> Vec<Provider> {
    let mut sums: BTreeMap<&str, Figures> = BTreeMap::new();
    for row in rows {
        sums.entry(&row.provider).or_default().add(&row.figures);
    }
    let each = sums.into_iter().map(|(provider, figures)| Provider {
        provider: provider.to_owned(),
        figures: seen.figures(&figures),
        lag: seen.lag(|lag| lag.provider == provider),
    });
    each.collect()
}

impl Shared {
    /// The integration that a request names. What happened to a deleted one is found by its id.
    fn measured(&self, org: &Name, asked: &Asked, given: &str) -> Result<Integration, Problem> {
        let found = self.directory.find(org, given);
        let found = found.or_else(|| self.directory.by_id(given).filter(|found| found.org == *org));
        let found = found.ok_or_else(|| problems::not_found("integration", given))?;
        match &asked.provider {
            Some(provider) if *provider != found.provider => {
                let detail = format!("is {provider}, but {} is of provider {}", found.name, found.provider);
                Err(invalid("provider", detail))
            }
            _ => Ok((*found).clone()),
        }
    }

    /// Integrations by name from behind a place on, and what to ask for the next ones with.
    async fn page_of(
        &self,
        org: &Name,
        provider: Option<&Name>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Integration>, Option<String>), Problem> {
        let after: Option<Name> = cursor
            .map(|text| text.parse().map_err(|_| problems::no_cursor()))
            .transpose()?;
        let wanted = Wanted {
            org: Some(org),
            provider: provider.map(Name::as_str),
            after: after.as_ref().map(|name| (org, name)),
            limit: limit as u32 + 1,
            ..Wanted::default()
        };
        let found = self.store().integrations(&wanted).await.map_err(problems::store)?;
        let more = found.len() > limit;
        let found: Vec<Integration> = found.into_iter().take(limit).map(|stored| stored.integration).collect();
        let cursor = found.last().filter(|_| more).map(|last| last.name.to_string());
        Ok((found, cursor))
    }

    async fn of_one(&self, org: &Name, integration: &Integration, window: &Window) -> Result<Vec<OfProvider>, Problem> {
        let ids = [integration.id.as_str()];
        let found = self.store().stats_of_integrations(org.as_str(), &ids, window).await;
        let found = found.map_err(problems::store)?.into_iter();
        let rows = found.map(|row| OfProvider {
            provider: integration.provider.to_string(),
            at: row.at,
            figures: row.figures,
        });
        Ok(rows.collect())
    }

    async fn of_each(
        &self,
        org: &Name,
        integrations: &[Integration],
        window: &Window,
    ) -> Result<HashMap<String, Figures>, Problem> {
        let ids: Vec<&str> = integrations.iter().map(|integration| integration.id.as_str()).collect();
        let found = self.store().stats_of_integrations(org.as_str(), &ids, window).await;
        let mut sums: HashMap<String, Figures> = HashMap::new();
        for row in found.map_err(problems::store)? {
            sums.entry(row.integration).or_default().add(&row.figures);
        }
        Ok(sums)
    }

    fn provider_of(&self, integration: &str) -> Option<String> {
        let found = self.directory.by_id(integration)?;
        Some(found.provider.to_string())
    }
}

#[cfg(test)]
mod tests;
