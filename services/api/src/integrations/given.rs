//! Making an integration, replacing it, changing fields of it: `POST`, `PUT`, `PATCH`.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde_json::{Map, Value, json};
use signalbox_proto::{Integration, Name, State as Held, Timestamp, integration::Status};
use signalbox_providers::FieldError;
use signalbox_runtime::Problem;
use signalbox_store::integrations::Stored;
use uuid::Uuid;

use super::{
    life::{self, Wish},
    write::tag,
};
use crate::{
    App, Shared,
    caller::Caller,
    plan, problems,
    request::{Body, Path, Query},
    revision::IfMatch,
    sealing,
    spec::{self, Spec},
    view,
};

/// What a request says of an integration: read by hand, as a file is.
pub(crate) type Fields = Map<String, Value>;

/// Fields of an answer that only Signalbox sets. In a request they say nothing, so that what was read can be sent back.
const SET_BY_US: [&str; 4] = ["created_at", "updated_at", "last_triggered_at", "error_message"];

/// An integration with its tag.
pub(crate) type Tagged = (StatusCode, HeaderMap, Json<view::Integration>);

pub(crate) async fn create(
    State(shared): App,
    caller: Caller,
    query: Query,
    Body(mut fields): Body<Fields>,
) -> Result<Tagged, Problem> {
    query.end()?;
    let mut errors = Vec::new();
    same(&mut fields, "org", caller.org.as_str(), &mut errors);
    for field in ["id", "revision"] {
        if fields.remove(field).is_some_and(|value| !value.is_null()) {
            errors.push(FieldError::new(field, "is set by us: leave it out"));
        }
    }
    forget_ours(&mut fields);
    let wish = take_wish(&mut fields, &mut errors);
    let spec = shared.checked(fields, &caller.org, None, errors)?;
    let (id, now) = (Uuid::now_v7().to_string(), Timestamp::now());
    let mut made = shared.made(&spec, None, &id, now)?;
    made.status = match wish {
        None => Status::PendingSetup,
        Some(wish) => wish.status(),
    };
    shared.write(&caller, "integration.created", None, &made).await?;
    tracing::info!(integration.id = id, org = %made.org, name = %made.name, provider = %made.provider, "integration created");
    if wish == Some(Wish::Paused) {
        // A second change of the same thing, with an entry of its own: it begins to exist before it can be held.
        shared.hold(&caller, &made, true).await?;
    }
    shared.tagged(StatusCode::CREATED, &made.org, &id).await
}

pub(crate) async fn put(
    State(shared): App,
    caller: Caller,
    Path(id): Path,
    if_match: IfMatch,
    query: Query,
    Body(fields): Body<Fields>,
) -> Result<Tagged, Problem> {
    query.end()?;
    let current = shared.find(&caller.org, &id).await?;
    if_match.check(current.revision)?;
    shared.replace(&caller, current, fields).await
}

pub(crate) async fn patch(
    State(shared): App,
    caller: Caller,
    Path(id): Path,
    if_match: IfMatch,
    query: Query,
    Body(fields): Body<Fields>,
) -> Result<Tagged, Problem> {
    query.end()?;
    let current = shared.find(&caller.org, &id).await?;
    if_match.check(current.revision)?;
    let mut whole =
        serde_json::to_value(view::spec(&current, &shared.keyring)).map_err(|error| problems::internal(&error))?;
    if let Some(whole) = whole.as_object_mut() {
        // What is said of it here is no change of its status.
        whole.remove("enabled");
    }
    merge(&mut whole, Value::Object(fields));
    let Value::Object(fields) = whole else {
        return Err(problems::invalid("", "is not an object with fields"));
    };
    shared.replace(&caller, current, fields).await
}

impl Shared {
    /// Makes an integration be what a request says, at its next revision. What says nothing new changes nothing.
    async fn replace(&self, caller: &Caller, current: Integration, mut fields: Fields) -> Result<Tagged, Problem> {
        let mut errors = Vec::new();
        same(&mut fields, "id", &current.id, &mut errors);
        same(&mut fields, "org", current.org.as_str(), &mut errors);
        if let Some(revision) = fields.remove("revision")
            && !revision.is_null()
            && revision != json!(current.revision)
        {
            return Err(problems::conflict());
        }
        forget_ours(&mut fields);
        let provider = fields.entry("provider").or_insert_with(|| json!(current.provider));
        if *provider != json!(current.provider) {
            errors.push(FieldError::new(
                "provider",
                format!("is {} and never changes: make another integration", current.provider),
            ));
            *provider = json!(current.provider);
        }
        fields.entry("name").or_insert_with(|| json!(current.name));
        let wish = take_wish(&mut fields, &mut errors);
        let spec = self.checked(fields, &current.org, Some(&current), errors)?;
        let mut next = self.made(&spec, Some(&current), &current.id, Timestamp::now())?;
        next.status = wish.map_or(current.status, Wish::status);
        let secrets = sealing::open(&self.keyring, &current).ok();
        // What was read says what holds by default, too: sent back, it changes nothing.
        let differs = self.shown(&next) != self.shown(&current)
            || plan::differences(&spec, &current, secrets.as_ref())
                .iter()
                .any(|field| ["config", "credentials"].contains(field));
        if differs {
            self.write(caller, "integration.updated", Some(&current), &next).await?;
            tracing::info!(
                integration.id = next.id,
                revision = next.revision,
                "integration changed"
            );
        }
        if let Some(wish) = wish {
            let latest = if differs { &next } else { &current };
            self.fulfil(caller, latest, wish, differs).await?;
        }
        self.tagged(StatusCode::OK, &current.org, &current.id).await
    }

    /// What a request says, checked. `current` is what it replaces: a masked secret keeps its value.
    fn checked(
        &self,
        fields: Fields,
        org: &Name,
        current: Option<&Integration>,
        mut errors: Vec<FieldError>,
    ) -> Result<Spec, Problem> {
        let known = |_: &Name, _: &Name, provider: &str| {
            let current = current?;
            let entry = signalbox_providers::find(provider)?;
            let secrets = sealing::open(&self.keyring, current).ok()?;
            Some(spec::Stored {
                config: entry.join_secrets(current.config.value().ok()?, secrets.config),
                credentials: secrets.credentials,
            })
        };
        match spec::check(&Value::Object(fields), org, &self.installation.egress, &known) {
            Ok(spec) if errors.is_empty() => Ok(spec),
            Ok(_) => Err(problems::invalid_integration(&errors)),
            Err(found) => {
                errors.extend(found);
                Err(problems::invalid_integration(&errors))
            }
        }
    }

    /// An integration as answers show it, but for its revision and the time of its last change.
    fn shown(&self, integration: &Integration) -> Value {
        let stored = Stored {
            integration: Integration {
                revision: 0,
                updated_at: integration.created_at,
                ..integration.clone()
            },
            held: false,
            hold_revision: 0,
            error_message: None,
        };
        json!(view::integration(&stored, &Held::default(), &self.keyring))
    }

    /// An integration as it is now, with its tag.
    pub(crate) async fn tagged(&self, status: StatusCode, org: &Name, id: &str) -> Result<Tagged, Problem> {
        let stored = self.stored(org, id).await?;
        self.refresh(id).await;
        let mut shown = self.view(&stored);
        self.put_last_attempts(std::slice::from_mut(&mut shown)).await;
        Ok((status, tag(stored.integration.revision), Json(shown)))
    }
}

/// Takes what only we set.
fn forget_ours(fields: &mut Fields) {
    for field in SET_BY_US {
        fields.remove(field);
    }
}

/// Takes a field that may be repeated but not changed.
fn same(fields: &mut Fields, field: &'static str, is: &str, errors: &mut Vec<FieldError>) {
    if let Some(value) = fields.remove(field)
        && !value.is_null()
        && value != json!(is)
    {
        errors.push(FieldError::new(
            field,
            format!("is {is} here and never changes: leave it out"),
        ));
    }
}

/// Takes `status`, or `enabled` as files say it.
fn take_wish(fields: &mut Fields, errors: &mut Vec<FieldError>) -> Option<Wish> {
    let given = |value: Option<Value>| value.filter(|value| !value.is_null());
    match (given(fields.remove("status")), given(fields.remove("enabled"))) {
        (Some(_), Some(_)) => {
            errors.push(FieldError::new("enabled", "is another name of status: keep one"));
            None
        }
        (Some(status), None) => match status.as_str().and_then(life::Wish::read) {
            Some(wish) => wish,
            None => {
                errors.push(FieldError::new(
                    "status",
                    "is none of active, inactive and paused, which can be asked for",
                ));
                None
            }
        },
        (None, Some(Value::Bool(enabled))) => Some(if enabled { Wish::Active } else { Wish::Inactive }),
        (None, Some(_)) => {
            errors.push(FieldError::new("enabled", "is neither true nor false"));
            None
        }
        (None, None) => None,
    }
}

/// Merges one JSON value into another: null takes away, an object goes field by field, all else replaces (RFC 7396).
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(target) = target.as_object_mut() else { return };
    for (field, value) in patch {
        if value.is_null() {
            target.remove(&field);
        } else {
            merge(target.entry(field).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests;
