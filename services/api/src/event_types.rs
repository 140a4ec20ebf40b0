//! The registry of event types: the built-in ones, and those that an org registers, which win over a built-in type
//! of the same name.
//!
//! CONFIG is read at every question: types are few, and a writer sees at once what it wrote. Ingest follows the same
//! entries, so a change takes effect within a second.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_broker::{Error as BrokerError, kv::Entry};
use signalbox_matching::{Schema, schema::Fault};
use signalbox_proto::{
    EventType, Name, RawJson, Severity, Timestamp,
    types::{self, BuiltIn, EMOJI_BYTES_MAX, Registered, TITLE_CHARS_MAX, Tone},
};
use signalbox_runtime::Problem;

use crate::{
    App, Shared,
    problems::{self, invalid},
    request::{self, Body, Path, Query},
};

/// Types that an org may register: ingest keeps them all, schemas compiled.
const TYPES_MAX: usize = 1_000;

pub(crate) async fn list(State(shared): App, mut query: Query) -> Result<Json<Value>, Problem> {
    let org = query.org()?;
    let built_in = query.one_of("built_in", &["true", "false"])?.map(|word| word == "true");
    let page = query.page()?;
    query.end()?;
    let cursor: Option<EventType> = page
        .cursor
        .as_deref()
        .map(|text| text.parse().map_err(|_| problems::no_cursor()))
        .transpose()?;
    let own = shared.broker.event_types(&org).await.map_err(problems::broker)?;
    let mut found: Vec<(&str, Value)> = merged(&own)
        .into_iter()
        .filter(|(name, _)| cursor.as_ref().is_none_or(|cursor| *name > cursor.as_str()))
        .filter(|(name, _)| built_in.is_none_or(|wanted| wanted == types::built_in(name).is_some()))
        .map(|(name, own)| (name, view(name, own)))
        .take(page.limit + 1)
        .collect();
    let more = found.len() > page.limit;
    found.truncate(page.limit);
    let next = found.last().filter(|_| more).map(|(name, _)| (*name).to_owned());
    let items: Vec<Value> = found.into_iter().map(|(_, item)| item).collect();
    Ok(Json(json!({ "items": items, "next_cursor": next })))
}

/// Built-in types and an org's own, by name; each once.
fn merged(own: &[Registered]) -> Vec<(&str, Option<&Registered>)> {
    let mut all: std::collections::BTreeMap<&str, Option<&Registered>> =
        types::BUILT_IN.iter().map(|built_in| (built_in.name, None)).collect();
    all.extend(own.iter().map(|own| (own.name.as_str(), Some(own))));
    all.into_iter().collect()
}

/// A type as it takes effect: what its registration leaves out is the built-in type's, else that of any type.
fn view(name: &str, own: Option<&Registered>) -> Value {
    let built_in: Option<&BuiltIn> = types::built_in(name);
    let title = own.and_then(|own| own.title.as_deref()).or(built_in.map(|it| it.title));
    let emoji = own.and_then(|own| own.emoji.as_deref()).or(built_in.map(|it| it.emoji));
    let severity = own.and_then(|own| own.severity).or(built_in.map(|it| it.severity));
    let tone = own.and_then(|own| own.tone).or(built_in.map(|it| it.tone));
    json!({
        "type": name,
        "title": title.unwrap_or(name),
        "emoji": emoji.unwrap_or(types::EMOJI),
        "severity": severity.unwrap_or_default(),
        "tone": tone.unwrap_or_default(),
        "schema": own.and_then(|own| own.schema.as_ref()),
        "built_in": built_in.is_some(),
        "created_at": own.map(|own| own.created_at),
        "updated_at": own.map(|own| own.updated_at),
    })
}

pub(crate) async fn show(State(shared): App, Path(name): Path, mut query: Query) -> Result<Json<Value>, Problem> {
    let org = query.org()?;
    query.end()?;
    let name = request::event_type("type", &name)?;
    let own = shared.own_type(&org, &name).await?;
    if own.is_none() && types::built_in(name.as_str()).is_none() {
        return Err(not_registered(&name));
    }
    Ok(Json(view(name.as_str(), own.as_ref().map(|entry| &entry.value))))
}

/// What a request says of a type. Everything may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Given {
    #[serde(rename = "type")]
    name: Option<String>,
    title: Option<String>,
    emoji: Option<String>,
    severity: Option<Severity>,
    tone: Option<Tone>,
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
    mut query: Query,
    Body(given): Body<Given>,
) -> Result<Response, Problem> {
    let org = query.org()?;
    query.end()?;
    let name = given
        .name
        .as_deref()
        .ok_or_else(|| invalid("type", "is missing: name the type, such as \"deploy.done\""))?;
    let name = request::event_type("type", name)?;
    let registered = given.check(org, name, Timestamp::now())?;
    shared.room_for_type(&registered.org).await?;
    match shared.broker.set_event_type(&registered, 0).await {
        Ok(_) => Ok(answer(StatusCode::CREATED, &registered)),
        Err(BrokerError::Conflict { .. }) => {
            let Registered { org, name, .. } = &registered;
            let detail = format!("org {org} has registered the type {name} already: PUT replaces it");
            Err(Problem::new(StatusCode::CONFLICT, "already_exists", detail).field("type"))
        }
        Err(error) => Err(problems::broker(error)),
    }
}

pub(crate) async fn put(
    State(shared): App,
    Path(name): Path,
    mut query: Query,
    Body(given): Body<Given>,
) -> Result<Response, Problem> {
    let org = query.org()?;
    query.end()?;
    let name = request::event_type("type", &name)?;
    if given.name.as_deref().is_some_and(|given| given != name.as_str()) {
        return Err(invalid(
            "type",
            format!("is not {name}, which the address names: leave it out"),
        ));
    }
    let mut registered = given.check(org, name, Timestamp::now())?;
    let before = shared.own_type(&registered.org, &registered.name).await?;
    let (revision, status) = match &before {
        Some(before) => {
            registered.created_at = before.value.created_at;
            (before.revision, StatusCode::OK)
        }
        None => {
            shared.room_for_type(&registered.org).await?;
            (0, StatusCode::CREATED)
        }
    };
    let written = shared.broker.set_event_type(&registered, revision).await;
    written.map_err(problems::broker)?;
    Ok(answer(status, &registered))
}

pub(crate) async fn delete(State(shared): App, Path(name): Path, mut query: Query) -> Result<Json<Value>, Problem> {
    let org = query.org()?;
    query.end()?;
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
    let deleted = shared.broker.delete_event_type(&org, &name, own.revision).await;
    deleted.map_err(problems::broker)?;
    tracing::info!(org = %org, event.type = %name, "event type deleted");
    // Under a name that is built in the built-in type shows again.
    let status = if built_in { "built_in" } else { "deleted" };
    Ok(Json(json!({ "type": name, "org": org, "status": status })))
}

fn answer(status: StatusCode, registered: &Registered) -> Response {
    tracing::info!(org = %registered.org, event.type = %registered.name, "event type registered");
    let body = view(registered.name.as_str(), Some(registered));
    (status, Json(body)).into_response()
}

fn not_registered(name: &EventType) -> Problem {
    problems::not_found("registered or built-in event type", name.as_str())
}

impl Shared {
    async fn own_type(&self, org: &Name, name: &EventType) -> Result<Option<Entry<Registered>>, Problem> {
        self.broker.event_type(org, name).await.map_err(problems::broker)
    }

    /// Refuses one type more than an org may have.
    async fn room_for_type(&self, org: &Name) -> Result<(), Problem> {
        let own = self.broker.event_types(org).await.map_err(problems::broker)?;
        if own.len() < TYPES_MAX {
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
