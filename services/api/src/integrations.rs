//! Integrations: listed and shown here, made and changed in `given`, held and ended in `life`, written in `write`.

mod given;
mod life;
mod write;

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use signalbox_proto::Name;
use signalbox_runtime::Problem;
use signalbox_store::integrations::{Stored, Wanted};
use utoipa::ToSchema;

pub(crate) use given::{Tagged, create, patch, put};
pub(crate) use life::{Deleted, Nothing, Resume, activate, deactivate, delete, pause, resume};
pub(crate) use write::{deed, tag, tombstone};

use crate::{
    App,
    caller::Caller,
    problems,
    request::{Path, Query},
    view::{self, List},
};

/// Integrations read from the database at a time.
const PART: u32 = 500;

pub(crate) async fn list(
    State(shared): App,
    Caller { org, .. }: Caller,
    mut query: Query,
) -> Result<Json<List<view::Integration>>, Problem> {
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
    let mut found = Vec::new();
    let mut after = cursor;
    // Whether one is held is in KV: so they are read some at a time until the page is full.
    while found.len() <= page.limit {
        let wanted = Wanted {
            org: Some(&org),
            provider,
            after: after.as_ref().map(|name| (&org, name)),
            limit: PART,
            ..Wanted::default()
        };
        let part = shared.store().integrations(&wanted).await.map_err(problems::store)?;
        let is_last = part.len() < PART as usize;
        after = part.last().map(|last| last.integration.name.clone());
        let fits = |stored: &Stored| {
            let integration = &stored.integration;
            let state = shared.directory.state(&integration.id);
            kind.is_none_or(|kind| view::kind(integration) == Some(kind))
                && status.is_none_or(|status| view::status(integration, &state) == status)
        };
        found.extend(part.into_iter().filter(fits));
        if is_last {
            break;
        }
    }
    let more = found.len() > page.limit;
    found.truncate(page.limit);
    let mut items: Vec<view::Integration> = found.iter().map(|stored| shared.view(stored)).collect();
    shared.put_last_attempts(&mut items).await;
    Ok(Json(List {
        next_cursor: found
            .last()
            .filter(|_| more)
            .map(|last| last.integration.name.to_string()),
        items,
    }))
}

pub(crate) async fn show(State(shared): App, caller: Caller, Path(id): Path, query: Query) -> Result<Tagged, Problem> {
    query.end()?;
    shared.tagged(StatusCode::OK, &caller.org, &id).await
}

/// Integrations as a file would say them.
#[derive(Serialize, ToSchema)]
pub(crate) struct Export {
    integrations: Vec<view::InFile>,
    note: &'static str,
}

/// `GET /v1/export`: the integrations of an org, or of all where none is named, as a file would say them.
pub(crate) async fn export(State(shared): App, caller: Caller, query: Query) -> Result<Json<Export>, Problem> {
    query.end()?;
    let found = shared.all(caller.any_org.as_ref()).await?;
    let shown = found
        .iter()
        .map(|stored| view::spec(&stored.integration, &shared.keyring));
    let note = "*** stands for a secret: applied to this installation it keeps the stored value, elsewhere it must be \
                replaced";
    Ok(Json(Export {
        integrations: shown.collect(),
        note,
    }))
}
