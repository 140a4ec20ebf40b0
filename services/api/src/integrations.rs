//! Listing and showing integrations, holding and releasing their deliveries, deleting them.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_broker::holding::Drain;
use signalbox_proto::{Integration, Name, Timestamp};
use signalbox_runtime::{Problem, duration};

use crate::{
    App, problems,
    problems::invalid,
    request::{Body, Path, Query},
    view,
};

/// Deliveries a second that a resume may ask for.
const DRAIN_PER_SECOND: std::ops::RangeInclusive<u32> = 1..=100_000;

pub(crate) async fn list(State(shared): App, mut query: Query) -> Result<Json<Value>, Problem> {
    let org = query.org()?;
    let provider = query.provider("provider")?;
    let kind = query.one_of("type", &view::kinds())?;
    let status = query.one_of("status", &view::STATUSES)?;
    let page = query.page()?;
    query.end()?;
    let cursor: Option<Name> = page
        .cursor
        .as_deref()
        .map(|text| text.parse().map_err(|_| problems::no_cursor()))
        .transpose()?;
    shared.directory.complete()?;
    let wanted = |integration: &Arc<Integration>| {
        cursor.as_ref().is_none_or(|cursor| integration.name > *cursor)
            && provider.is_none_or(|provider| integration.provider.as_str() == provider)
            && kind.is_none_or(|kind| view::kind(integration) == Some(kind))
            && status.is_none_or(|status| view::status(integration, &shared.directory.state(&integration.id)) == status)
    };
    let mut found: Vec<Arc<Integration>> = shared
        .directory
        .of_org(&org)
        .into_iter()
        .filter(wanted)
        .take(page.limit + 1)
        .collect();
    let next = (found.len() > page.limit).then(|| {
        found.truncate(page.limit);
        found.last().map(|last| last.name.clone())
    });
    let items: Vec<Value> = found.iter().map(|integration| shared.view(integration)).collect();
    Ok(Json(json!({ "items": items, "next_cursor": next })))
}

pub(crate) async fn show(State(shared): App, Path(id): Path, mut query: Query) -> Result<Json<Value>, Problem> {
    let org = query.org()?;
    query.end()?;
    let integration = shared.find(&org, &id)?;
    Ok(Json(shared.view(&integration)))
}

pub(crate) async fn delete(State(shared): App, Path(id): Path, mut query: Query) -> Result<Json<Value>, Problem> {
    let org = query.org()?;
    let discard = query.flag("discard")?;
    query.end()?;
    let integration = shared.find(&org, &id)?;
    let waiting = shared.waiting(&integration).await?;
    if waiting > 0 && !discard {
        let name = format!("integration {}", integration.name);
        return Err(problems::deliveries_waiting(
            &name,
            waiting,
            "delete with ?discard=true (--discard), which ends them",
        ));
    }
    shared.bury(&integration).await?;
    tracing::info!(integration.id = %integration.id, org = %org, name = %integration.name, "integration deleted");
    Ok(Json(
        json!({ "id": integration.id, "name": integration.name, "org": org, "status": "deleted", "discarding": waiting }),
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

pub(crate) async fn pause(
    State(shared): App,
    Path(id): Path,
    mut query: Query,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Json<Value>, Problem> {
    let org = query.org()?;
    query.end()?;
    let integration = shared.find(&org, &id)?;
    let now = Timestamp::now();
    let state = shared
        .broker
        .pause(&integration.id, "paused by a person", now)
        .await
        .map_err(problems::broker)?;
    tracing::info!(integration.id = %integration.id, "integration paused");
    Ok(Json(view::integration(&integration, &state, &shared.keyring)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resume {
    /// Deliveries a second that are taken out of the waiting ones at most.
    rate: Option<u32>,
    /// What was accepted longer ago than this ends as discarded.
    drop_older_than: Option<String>,
}

pub(crate) async fn resume(
    State(shared): App,
    Path(id): Path,
    mut query: Query,
    Body(resume): Body<Resume>,
) -> Result<Json<Value>, Problem> {
    let org = query.org()?;
    query.end()?;
    let integration = shared.find(&org, &id)?;
    if resume.rate.is_some_and(|rate| !DRAIN_PER_SECOND.contains(&rate)) {
        let (least, most) = (DRAIN_PER_SECOND.start(), DRAIN_PER_SECOND.end());
        return Err(invalid(
            "rate",
            format!("is outside {least} to {most} deliveries a second"),
        ));
    }
    let now = Timestamp::now();
    let age = resume.drop_older_than.as_deref().map(duration::parse).transpose();
    let age = age.map_err(|error| invalid("drop_older_than", error.to_string()))?;
    let drain = Drain {
        per_second: resume.rate,
        drop_before: age.map(|age| now - age),
    };
    let state = shared
        .broker
        .resume(&integration.id, drain, now)
        .await
        .map_err(problems::broker)?;
    tracing::info!(integration.id = %integration.id, phase = state.phase.as_str(), "integration resumed");
    Ok(Json(view::integration(&integration, &state, &shared.keyring)))
}

/// `GET /v1/export`: the integrations of an org, or of all where none is named, as a file would say them.
pub(crate) async fn export(State(shared): App, mut query: Query) -> Result<Json<Value>, Problem> {
    let org: Option<Name> = query.parse("org")?;
    query.end()?;
    shared.directory.complete()?;
    let found = match &org {
        None => shared.directory.all(),
        Some(org) => shared.directory.of_org(org),
    };
    let items: Vec<Value> = found
        .iter()
        .map(|integration| view::spec(integration, &shared.keyring))
        .collect();
    let note = "*** stands for a secret: applied to this installation it keeps the stored value, elsewhere it must be \
                replaced";
    Ok(Json(json!({ "integrations": items, "note": note })))
}
