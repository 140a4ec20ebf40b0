//! Who changed what: the entries that changes write, and `GET /v1/audit`.

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::Value;
use signalbox_proto::{Name, Timestamp};
use signalbox_runtime::Problem;
use signalbox_store::audit::{self, Entry};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{App, caller::Caller, problems, request::Query, schema, view::List};

/// What is done to a thing, as the audit is to have it.
pub(crate) struct Deed<'a> {
    /// `<noun>.<past participle>`.
    pub(crate) action: &'static str,
    /// Whose thing; `None` for the installation's.
    pub(crate) org: Option<&'a Name>,
    /// Which kind of thing, its id, what its owner calls it.
    pub(crate) object: (&'static str, &'a str, Option<&'a str>),
    /// What it was, secrets masked.
    pub(crate) before: Option<Value>,
    /// What it is, secrets masked.
    pub(crate) after: Option<Value>,
}

/// What the audit keeps of something: what an answer shows of it.
pub(crate) fn told(shown: &impl Serialize) -> Value {
    serde_json::to_value(shown).expect("an answer has no map with odd keys")
}

impl Caller {
    /// The entry that says that the caller did it.
    pub(crate) fn did(&self, deed: Deed<'_>, at: Timestamp) -> Entry {
        let (kind, id, name) = deed.object;
        Entry {
            id: Uuid::now_v7().to_string(),
            at,
            org: deed.org.cloned(),
            actor: self.actor(),
            key_id: self.key.clone(),
            address: self.address.map(|address| address.to_string()),
            request_id: Some(self.request_id.as_str().to_owned()),
            action: deed.action.to_owned(),
            object: audit::Object {
                kind: kind.to_owned(),
                id: id.to_owned(),
                name: name.map(str::to_owned),
            },
            before: deed.before,
            after: deed.after,
        }
    }
}

/// An entry of the audit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct Shown {
    id: String,
    #[schema(value_type = schema::Time)]
    at: Timestamp,
    /// Whose thing it is; null for the installation's.
    #[schema(value_type = Option<schema::Name>)]
    org: Option<Name>,
    actor: Actor,
    /// With which key; null for the installation's own.
    key_id: Option<String>,
    /// From where.
    address: Option<String>,
    /// In which request.
    request_id: Option<String>,
    /// What was done.
    #[schema(example = "integration.updated")]
    action: String,
    object: Object,
    /// What it was, secrets masked.
    #[schema(value_type = Option<schema::Told>)]
    before: Option<Value>,
    /// What it is, secrets masked.
    #[schema(value_type = Option<schema::Told>)]
    after: Option<Value>,
}

/// Who did it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditActor)]
struct Actor {
    #[serde(rename = "type")]
    kind: String,
    id: String,
}

/// To what.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditObject)]
struct Object {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    name: Option<String>,
}

impl From<Entry> for Shown {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.id,
            at: entry.at,
            org: entry.org,
            actor: Actor {
                kind: entry.actor.kind,
                id: entry.actor.id,
            },
            key_id: entry.key_id,
            address: entry.address,
            request_id: entry.request_id,
            action: entry.action,
            object: Object {
                kind: entry.object.kind,
                id: entry.object.id,
                name: entry.object.name,
            },
            before: entry.before,
            after: entry.after,
        }
    }
}

pub(crate) async fn list(State(shared): App, caller: Caller, mut query: Query) -> Result<Json<List<Shown>>, Problem> {
    let action = query.take("action");
    let object_kind = query.take("object_type");
    let object_id = query.take("object_id");
    let actor_id = query.take("actor_id");
    let (since, until) = query.span(Timestamp::now())?;
    let page = query.page()?;
    query.end()?;
    let after = page.cursor.as_deref().map(read_cursor).transpose()?;
    let wanted = audit::Wanted {
        org: caller.any_org.as_ref(),
        action: action.as_deref(),
        object_kind: object_kind.as_deref(),
        object_id: object_id.as_deref(),
        actor_id: actor_id.as_deref(),
        since,
        until,
        after,
        limit: u32::try_from(page.limit + 1).unwrap_or(u32::MAX),
    };
    let mut entries = shared.store().audit(&wanted).await.map_err(problems::store)?;
    let more = entries.len() > page.limit;
    entries.truncate(page.limit);
    let next_cursor = entries
        .last()
        .filter(|_| more)
        .map(|last| format!("{}.{}", last.at.nanos(), last.id));
    Ok(Json(List {
        items: entries.into_iter().map(Shown::from).collect(),
        next_cursor,
    }))
}

fn read_cursor(text: &str) -> Result<(Timestamp, &str), Problem> {
    let (at, id) = text.split_once('.').ok_or_else(problems::no_cursor)?;
    let nanos = at.parse().map_err(|_| problems::no_cursor())?;
    Ok((Timestamp::from_nanos(nanos), id))
}
