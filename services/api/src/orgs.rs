//! Orgs: the tenants of an installation.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use signalbox_proto::{Name, Timestamp, org::OrgStatus};
use signalbox_runtime::Problem;
use signalbox_store::{Change, audit::kind::ORG, orgs::Org, outbox::Kind};
use utoipa::ToSchema;

use crate::{
    App, Shared,
    audit::{self, Deed},
    caller::Caller,
    problems::{self, invalid},
    request::{Body, Path, Query},
    schema,
    view::List,
};

/// Most characters of a title.
const TITLE_CHARS_MAX: usize = 200;

/// An org.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Org)]
pub(crate) struct Shown {
    #[schema(value_type = schema::Name)]
    name: Name,
    /// What people call it
    title: Option<String>,
    #[schema(value_type = schema::OrgStatusWord)]
    status: OrgStatus,
    #[schema(minimum = 1)]
    revision: u64,
    #[schema(value_type = schema::Time)]
    created_at: Timestamp,
    #[schema(value_type = schema::Time)]
    updated_at: Timestamp,
}

impl From<Org> for Shown {
    fn from(org: Org) -> Self {
        Self {
            name: org.name,
            title: org.title,
            status: org.status,
            revision: org.revision,
            created_at: org.created_at,
            updated_at: org.updated_at,
        }
    }
}

pub(crate) async fn list(State(shared): App, caller: Caller, mut query: Query) -> Result<Json<List<Shown>>, Problem> {
    let page = query.page()?;
    query.end()?;
    // A key of one org sees this one.
    if let Some(own) = &caller.any_org {
        let found = shared.store().org(own).await.map_err(problems::store)?;
        return Ok(Json(List {
            items: found.into_iter().map(Shown::from).collect(),
            next_cursor: None,
        }));
    }
    let after: Option<Name> = page
        .cursor
        .as_deref()
        .map(|text| text.parse().map_err(|_| problems::no_cursor()))
        .transpose()?;
    let limit = u32::try_from(page.limit + 1).unwrap_or(u32::MAX);
    let found = shared.store().orgs(after.as_ref(), limit).await;
    let mut found = found.map_err(problems::store)?;
    let more = found.len() > page.limit;
    found.truncate(page.limit);
    Ok(Json(List {
        next_cursor: found.last().filter(|_| more).map(|last| last.name.to_string()),
        items: found.into_iter().map(Shown::from).collect(),
    }))
}

pub(crate) async fn show(
    State(shared): App,
    caller: Caller,
    Path(name): Path,
    query: Query,
) -> Result<Json<Shown>, Problem> {
    query.end()?;
    let missing = || problems::not_found("org", &name);
    let parsed: Name = name.parse().map_err(|_| missing())?;
    if !caller.sees(Some(parsed.as_str())) {
        return Err(missing());
    }
    let found = shared.store().org(&parsed).await.map_err(problems::store)?;
    Ok(Json(found.ok_or_else(missing)?.into()))
}

/// An org that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OrgWanted)]
pub(crate) struct Wanted {
    #[schema(value_type = schema::Name)]
    name: String,
    /// What people call it
    #[schema(min_length = 1, max_length = 200)]
    title: Option<String>,
}

pub(crate) async fn create(
    State(shared): App,
    caller: Caller,
    query: Query,
    Body(wanted): Body<Wanted>,
) -> Result<(StatusCode, Json<Shown>), Problem> {
    query.end()?;
    let name: Name = wanted
        .name
        .parse()
        .map_err(|error: signalbox_proto::names::InvalidName| invalid("name", error.to_string()))?;
    if let Some(title) = &wanted.title
        && (title.trim().is_empty() || title.chars().count() > TITLE_CHARS_MAX || title.chars().any(char::is_control))
    {
        return Err(invalid(
            "title",
            format!("is to be 1 to {TITLE_CHARS_MAX} characters on one line"),
        ));
    }
    let now = Timestamp::now();
    let org = Org::new(name, wanted.title, now);
    let mut change = shared.store().change().await.map_err(problems::store)?;
    change.create_org(&org).await.map_err(|error| match error {
        signalbox_store::Error::Duplicate { .. } => {
            let detail = format!("there is an org {} already", org.name);
            Problem::new(StatusCode::CONFLICT, "already_exists", detail).field("name")
        }
        error => problems::store(error),
    })?;
    change
        .audit(&caller.did(created(&org), now))
        .await
        .map_err(problems::store)?;
    change.commit().await.map_err(problems::store)?;
    shared.tell(Kind::Org, org.name.as_str()).await;
    tracing::info!(org = %org.name, "org made");
    Ok((StatusCode::CREATED, Json(org.into())))
}

fn created(org: &Org) -> Deed<'_> {
    Deed {
        action: "org.created",
        org: Some(&org.name),
        object: (ORG, org.name.as_str(), org.title.as_deref()),
        before: None,
        after: Some(audit::told(&Shown::from(org.clone()))),
    }
}

impl Shared {
    /// Makes the org of something that is about to be made, where there is none: for whom no org is foreign. To others an
    /// org that is missing is their own, which was removed.
    pub(crate) async fn org_for(
        &self,
        change: &mut Change,
        caller: &Caller,
        org: &Name,
        now: Timestamp,
    ) -> Result<(), Problem> {
        caller.act_for(org)?;
        let known = self.store().org(org).await.map_err(problems::store)?;
        if known.is_some_and(|known| known.status.is_closed()) {
            let detail = format!("org {org} is erased, or is being erased: nothing can be made for it");
            return Err(Problem::new(StatusCode::FORBIDDEN, "org_closed", detail).field("org"));
        }
        if let Some(made) = change.ensure_org(org, now).await.map_err(problems::store)? {
            change
                .audit(&caller.did(created(&made), now))
                .await
                .map_err(problems::store)?;
        }
        Ok(())
    }
}
