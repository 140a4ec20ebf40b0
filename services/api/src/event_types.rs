//! The registry of event types: the built-in ones, and those that an org registers, which win over a built-in type
//! of the same name.
//!
//! The database holds them; ingest follows the copies in KV CONFIG, so a change takes effect within a second.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use signalbox_broker::Error as BrokerError;
use signalbox_matching::{Schema, schema::Fault};
use signalbox_proto::{
    EventType, Name, RawJson, Severity, Timestamp,
    types::{self, BuiltIn, EMOJI_BYTES_MAX, Registered, TITLE_CHARS_MAX, Tone},
};
use signalbox_runtime::Problem;
use signalbox_store::{Error as StoreError, audit::kind::EVENT_TYPE, event_types, outbox::Kind};
use utoipa::ToSchema;

use crate::{
    App, Shared,
    audit::{self, Deed},
    caller::Caller,
    integrations::tag,
    problems::{self, invalid},
    request::{self, Body, Path, Query},
    revision::IfMatch,
    schema,
    view::List,
};

/// Types that an org may register: ingest keeps them all, schemas compiled.
const TYPES_MAX: usize = 1_000;

pub(crate) async fn list(
    State(shared): App,
    Caller { org, .. }: Caller,
    mut query: Query,
) -> Result<Json<List<Shown>>, Problem> {
    let built_in = query.one_of("built_in", &["true", "false"])?.map(|word| word == "true");
    let page = query.page()?;
    query.end()?;
    let cursor: Option<EventType> = page
        .cursor
        .as_deref()
        .map(|text| text.parse().map_err(|_| problems::no_cursor()))
        .transpose()?;
    let own = shared.own_types(&org).await?;
    let mut found: Vec<(&str, Shown)> = merged(&own)
        .into_iter()
        .filter(|(name, _)| cursor.as_ref().is_none_or(|cursor| *name > cursor.as_str()))
        .filter(|(name, _)| built_in.is_none_or(|wanted| wanted == types::built_in(name).is_some()))
        .map(|(name, own)| (name, view(name, own)))
        .take(page.limit + 1)
        .collect();
    let more = found.len() > page.limit;
    found.truncate(page.limit);
    let next = found.last().filter(|_| more).map(|(name, _)| (*name).to_owned());
    Ok(Json(List {
        items: found.into_iter().map(|(_, item)| item).collect(),
        next_cursor: next,
    }))
}

/// Built-in types and an org's own, by name; each once.
fn merged(own: &[Registered]) -> Vec<(&str, Option<&Registered>)> {
    let mut all: std::collections::BTreeMap<&str, Option<&Registered>> =
        types::BUILT_IN.iter().map(|built_in| (built_in.name, None)).collect();
    all.extend(own.iter().map(|own| (own.name.as_str(), Some(own))));
    all.into_iter().collect()
}

/// A type as it takes effect: what its registration leaves out is the built-in type's, else that of any type.
fn view(name: &str, own: Option<&Registered>) -> Shown {
    let built_in: Option<&BuiltIn> = types::built_in(name);
    let title = own.and_then(|own| own.title.as_deref()).or(built_in.map(|it| it.title));
    let emoji = own.and_then(|own| own.emoji.as_deref()).or(built_in.map(|it| it.emoji));
    let severity = own.and_then(|own| own.severity).or(built_in.map(|it| it.severity));
    let tone = own.and_then(|own| own.tone).or(built_in.map(|it| it.tone));
    Shown {
        name: name.to_owned(),
        title: title.unwrap_or(name).to_owned(),
        emoji: emoji.unwrap_or(types::EMOJI).to_owned(),
        severity: severity.unwrap_or_default(),
        tone: tone.unwrap_or_default(),
        schema: own.and_then(|own| own.schema.clone()),
        built_in: built_in.is_some(),
        created_at: own.map(|own| own.created_at),
        updated_at: own.map(|own| own.updated_at),
    }
}

/// An event type as it takes effect.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventType)]
pub(crate) struct Shown {
    #[serde(rename = "type")]
    #[schema(value_type = schema::EventTypeName)]
    name: String,
    title: String,
    emoji: String,
    /// Of events that name none
    #[schema(value_type = schema::Severity)]
    severity: Severity,
    #[schema(value_type = schema::Tone)]
    tone: Tone,
    /// What the data of its events has to match
    #[schema(value_type = schema::JsonSchemaOrNull, required = true)]
    schema: Option<RawJson>,
    built_in: bool,
    /// Null where the org has registered nothing
    #[schema(value_type = Option<schema::Time>)]
    created_at: Option<Timestamp>,
    #[schema(value_type = Option<schema::Time>)]
    updated_at: Option<Timestamp>,
}

/// An event type that the org has forgotten.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeletedEventType)]
pub(crate) struct DeletedType {
    #[serde(rename = "type")]
    #[schema(value_type = schema::EventTypeName)]
    name: EventType,
    #[schema(value_type = schema::Name)]
    org: Name,
    #[schema(value_type = schema::DeletedTypeStatus)]
    status: &'static str,
}

pub(crate) async fn show(
    State(shared): App,
    Caller { org, .. }: Caller,
    Path(name): Path,
    query: Query,
) -> Result<Json<Shown>, Problem> {
    query.end()?;
    let name = request::event_type("type", &name)?;
    let own = shared.own_type(&org, &name).await?;
    if own.is_none() && types::built_in(name.as_str()).is_none() {
        return Err(not_registered(&name));
    }
    Ok(Json(view(name.as_str(), own.as_ref())))
}

/// What a request says of a type. Everything may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EventTypeGiven)]
pub(crate) struct Given {
    /// Needed where the address does not say it
    #[serde(rename = "type")]
    #[schema(value_type = Option<schema::EventTypeName>)]
    name: Option<String>,
    title: Option<String>,
    emoji: Option<String>,
    #[schema(value_type = Option<schema::Severity>)]
    severity: Option<Severity>,
    #[schema(value_type = Option<schema::Tone>)]
    tone: Option<Tone>,
    #[schema(value_type = schema::JsonSchemaOrNull, required = false)]
    schema: Option<Value>,
}

impl Given {
    /// The type as it is to be stored, if nothing is wrong with it.
    fn check(self, org: Name, name: EventType, now: Timestamp) -> Result<Registered, Problem> {
        if let Some(title) = &self.title {
            check_text("title", title)?;
            if title.chars().count() > TITLE_CHARS_MAX {
                return Err(invalid("title", format!("has more than {TITLE_CHARS_MAX} characters")));
            }
        }
        if let Some(emoji) = &self.emoji {
            check_text("emoji", emoji)?;
            if emoji.len() > EMOJI_BYTES_MAX || emoji.contains(char::is_whitespace) {
                return Err(invalid(
                    "emoji",
                    format!("must be one emoji of at most {EMOJI_BYTES_MAX} bytes"),
                ));
            }
        }
        let schema = self.schema.map(|schema| compiled(&schema)).transpose()?;
        Ok(Registered {
            org,
            name,
            title: self.title,
            emoji: self.emoji,
            severity: self.severity,
            tone: self.tone,
            schema,
            created_at: now,
            updated_at: now,
            revision: 0,
        })
    }
}

fn check_text(field: &str, text: &str) -> Result<(), Problem> {
    if text.trim().is_empty() {
        return Err(invalid(field, "is empty: say something, or leave it out"));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid(field, "must not contain control characters"));
    }
    Ok(())
}

/// A schema that compiles, as the text that is stored.
fn compiled(schema: &Value) -> Result<RawJson, Problem> {
    let text = RawJson::of(schema).map_err(|error| problems::internal(&error))?;
    Schema::compile(text.as_bytes())
        .map(|_| text)
        .map_err(|Fault { pointer, message }| invalid(&format!("schema{pointer}"), message))
}

pub(crate) async fn create(
    State(shared): App,
    caller: Caller,
    query: Query,
    Body(given): Body<Given>,
) -> Result<Response, Problem> {
    query.end()?;
    let name = given
        .name
        .as_deref()
        .ok_or_else(|| invalid("type", "is missing: name the type, such as \"deploy.done\""))?;
    let name = request::event_type("type", name)?;
    let registered = given.check(caller.org.clone(), name, Timestamp::now())?;
    shared.room_for_type(&registered.org).await?;
    let registered = shared.write_type(&caller, None, registered).await?;
    Ok(answer(StatusCode::CREATED, &registered))
}

pub(crate) async fn put(
    State(shared): App,
    caller: Caller,
    Path(name): Path,
    if_match: IfMatch,
    query: Query,
    Body(given): Body<Given>,
) -> Result<Response, Problem> {
    query.end()?;
    let name = request::event_type("type", &name)?;
    if given.name.as_deref().is_some_and(|given| given != name.as_str()) {
        return Err(invalid(
            "type",
            format!("is not {name}, which the address names: leave it out"),
        ));
    }
    let mut registered = given.check(caller.org.clone(), name, Timestamp::now())?;
    let before = shared.own_type(&registered.org, &registered.name).await?;
    if_match.check(before.as_ref().map_or(0, |before| before.revision))?;
    let status = match &before {
        Some(before) => {
            registered.created_at = before.created_at;
            let unchanged = Registered {
                updated_at: before.updated_at,
                revision: before.revision,
                ..registered.clone()
            };
            // What says nothing new changes nothing.
            if unchanged == *before {
                return Ok(answer(StatusCode::OK, before));
            }
            StatusCode::OK
        }
        None => {
            shared.room_for_type(&registered.org).await?;
            StatusCode::CREATED
        }
    };
    let registered = shared.write_type(&caller, before.as_ref(), registered).await?;
    Ok(answer(status, &registered))
}

pub(crate) async fn delete(
    State(shared): App,
    caller: Caller,
    Path(name): Path,
    if_match: IfMatch,
    query: Query,
) -> Result<Json<DeletedType>, Problem> {
    query.end()?;
    let org = caller.org.clone();
    let name = request::event_type("type", &name)?;
    let built_in = types::built_in(name.as_str()).is_some();
    let Some(own) = shared.own_type(&org, &name).await? else {
        if built_in {
            let detail =
                format!("{name} is built in and org {org} has registered nothing over it: there is nothing to delete");
            return Err(Problem::new(StatusCode::CONFLICT, "built_in", detail).field("type"));
        }
        return Err(not_registered(&name));
    };
    if_match.check(own.revision)?;
    let now = Timestamp::now();
    let mut change = shared.store().change().await.map_err(problems::store)?;
    let deleted = change.delete_event_type(&org, &name, own.revision, now).await;
    deleted.map_err(problems::store)?;
    let id = event_types::id(&org, &name);
    let entry = caller.did(deed("event_type.deleted", &id, &own, Some(&own), None), now);
    change.audit(&entry).await.map_err(problems::store)?;
    change.commit().await.map_err(problems::store)?;
    shared.tell(Kind::EventType, &id).await;
    tracing::info!(org = %org, event.type = %name, "event type deleted");
    // Under a name that is built in the built-in type shows again.
    let status = if built_in { "built_in" } else { "deleted" };
    Ok(Json(DeletedType { name, org, status }))
}

fn answer(status: StatusCode, registered: &Registered) -> Response {
    let body = view(registered.name.as_str(), Some(registered));
    (status, tag(registered.revision), Json(body)).into_response()
}

/// What is done to an event type.
fn deed<'a>(
    action: &'static str,
    id: &'a str,
    of: &'a Registered,
    before: Option<&Registered>,
    after: Option<&Registered>,
) -> Deed<'a> {
    let told = |own: &Registered| audit::told(&view(own.name.as_str(), Some(own)));
    Deed {
        action,
        org: Some(&of.org),
        object: (EVENT_TYPE, id, Some(of.name.as_str())),
        before: before.map(told),
        after: after.map(told),
    }
}

fn not_registered(name: &EventType) -> Problem {
    problems::not_found("registered or built-in event type", name.as_str())
}

impl Shared {
    async fn own_type(&self, org: &Name, name: &EventType) -> Result<Option<Registered>, Problem> {
        self.store().event_type(org, name).await.map_err(problems::store)
    }

    /// All that an org has registered: at most [`TYPES_MAX`].
    async fn own_types(&self, org: &Name) -> Result<Vec<Registered>, Problem> {
        let limit = u32::try_from(TYPES_MAX + 1).unwrap_or(u32::MAX);
        self.store()
            .event_types(org, None, limit)
            .await
            .map_err(problems::store)
    }

    /// Commits a registration, and tells it. `before` is the one that it replaces.
    async fn write_type(
        &self,
        caller: &Caller,
        before: Option<&Registered>,
        registered: Registered,
    ) -> Result<Registered, Problem> {
        let at = registered.updated_at;
        let (org, name) = (registered.org.clone(), registered.name.clone());
        let mut change = self.store().change().await.map_err(problems::store)?;
        self.org_for(&mut change, caller, &org, at).await?;
        let expected = before.map(|before| before.revision);
        let registered = change
            .put_event_type(registered, expected)
            .await
            .map_err(|error| match error {
                StoreError::Duplicate { .. } => {
                    let detail = format!("org {org} has registered the type {name} already: PUT replaces it");
                    Problem::new(StatusCode::CONFLICT, "already_exists", detail).field("type")
                }
                error => problems::store(error),
            })?;
        let id = event_types::id(&org, &name);
        let action = if before.is_some() {
            "event_type.updated"
        } else {
            "event_type.created"
        };
        let entry = caller.did(deed(action, &id, &registered, before, Some(&registered)), at);
        change.audit(&entry).await.map_err(problems::store)?;
        change.commit().await.map_err(problems::store)?;
        self.tell(Kind::Org, org.as_str()).await;
        self.tell(Kind::EventType, &id).await;
        tracing::info!(org = %org, event.type = %name, "event type registered");
        Ok(registered)
    }

    /// Refuses one type more than an org may have.
    async fn room_for_type(&self, org: &Name) -> Result<(), Problem> {
        let count = self.store().event_type_count(org).await.map_err(problems::store)?;
        if count < TYPES_MAX as u64 {
            return Ok(());
        }
        let detail = format!("org {org} has registered {TYPES_MAX} types, which is the most: delete one first");
        Err(Problem::new(StatusCode::CONFLICT, "too_many", detail))
    }

    /// The registered types of all orgs whose schema does not compile with this version, and why.
    pub(crate) async fn broken_types(&self) -> Result<Vec<(Registered, Fault)>, BrokerError> {
        let all = self.broker.all_event_types().await?;
        Ok(all.into_iter().filter_map(broken).collect())
    }
}

fn broken(registered: Registered) -> Option<(Registered, Fault)> {
    let fault = Schema::compile(registered.schema.as_ref()?.as_bytes()).err()?;
    Some((registered, fault))
}

#[cfg(test)]
mod tests;
