//! API keys: made, listed, rotated, revoked. The text of a key is in one answer and nowhere else.

use axum::{Json, extract::State, http::StatusCode};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use signalbox_access::NewKey;
use signalbox_proto::{
    Key, Name, Scope, Timestamp,
    key::{Ended, Principal, PrincipalKind},
};
use signalbox_runtime::{Problem, duration};
use signalbox_store::{audit::kind::API_KEY, keys::ApiKey, keys::Owner, outbox::Kind};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    App, Shared,
    audit::{self, Deed},
    caller::Caller,
    problems::{self, invalid},
    request::{Body, Path, Query},
    schema,
    view::List,
};

/// How long the old key goes on beside the new one where a rotation does not say.
const OVERLAP: &str = "24h";
/// Longest overlap: 30 days.
const OVERLAP_SECS_MAX: u64 = 30 * 86_400;
/// Most characters of the name of a key or its holder.
const NAME_CHARS_MAX: usize = 128;

/// A key as lists show it. Without `Debug`, as `key` is whole in one answer.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(crate) struct Shown {
    #[schema(value_type = schema::UuidText)]
    id: String,
    /// The org that it acts for; null for a key of the whole installation.
    #[schema(value_type = Option<schema::Name>)]
    org: Option<Name>,
    name: String,
    /// Masked but for its end; whole in the one answer that made it.
    #[schema(example = "sbx_***abc")]
    key: String,
    #[schema(value_type = Vec<schema::ScopeWord>)]
    scopes: Vec<Scope>,
    principal: Holder,
    /// `active`, `expired` or `revoked`.
    #[schema(value_type = schema::KeyStatus)]
    status: &'static str,
    #[schema(value_type = Option<schema::Time>)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = Option<schema::Time>)]
    revoked_at: Option<Timestamp>,
    /// The key that took its place.
    replaced_by: Option<String>,
    #[schema(value_type = schema::Time)]
    created_at: Timestamp,
    #[schema(value_type = schema::Time)]
    updated_at: Timestamp,
}

/// Who holds a key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyHolder)]
pub(crate) struct Holder {
    #[serde(rename = "type")]
    #[schema(value_type = schema::HolderKind)]
    kind: PrincipalKind,
    /// A name, an address, whatever says who it is
    #[schema(min_length = 1, max_length = 128)]
    id: String,
}

impl Shown {
    fn of(stored: &ApiKey, now: Timestamp) -> Self {
        let key = &stored.key;
        Self {
            id: key.id.clone(),
            org: key.org.clone(),
            name: key.name.clone(),
            key: stored.hint.clone(),
            scopes: key.scopes.clone(),
            principal: Holder {
                kind: key.principal.kind,
                id: key.principal.id.clone(),
            },
            status: match key.refused(now) {
                None => "active",
                Some(Ended::Expired) => "expired",
                Some(Ended::Revoked) => "revoked",
            },
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            replaced_by: stored.replaced_by.clone(),
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }

    /// The same with the text of the key, which is shown this once.
    fn with_text(stored: &ApiKey, new: &NewKey, now: Timestamp) -> Self {
        Self {
            key: new.text.expose_secret().to_owned(),
            ..Self::of(stored, now)
        }
    }
}

/// What the audit keeps of a key.
fn told(stored: &ApiKey, now: Timestamp) -> Value {
    audit::told(&Shown::of(stored, now))
}

pub(crate) async fn list(State(shared): App, caller: Caller, mut query: Query) -> Result<Json<List<Shown>>, Problem> {
    let page = query.page()?;
    query.end()?;
    let owner = caller.any_org.as_ref().map_or(Owner::Anyone, Owner::Org);
    let limit = u32::try_from(page.limit + 1).unwrap_or(u32::MAX);
    let found = shared.store().keys(owner, page.cursor.as_deref(), limit).await;
    let mut found = found.map_err(problems::store)?;
    let more = found.len() > page.limit;
    found.truncate(page.limit);
    let now = Timestamp::now();
    Ok(Json(List {
        next_cursor: found.last().filter(|_| more).map(|last| last.key.id.clone()),
        items: found.iter().map(|stored| Shown::of(stored, now)).collect(),
    }))
}

pub(crate) async fn show(
    State(shared): App,
    caller: Caller,
    Path(id): Path,
    query: Query,
) -> Result<Json<Shown>, Problem> {
    query.end()?;
    let stored = shared.key(&caller, &id).await?;
    Ok(Json(Shown::of(&stored, Timestamp::now())))
}

/// A key that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApiKeyWanted)]
pub(crate) struct Wanted {
    /// What it is for
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    #[schema(value_type = Vec<schema::ScopeWord>, min_items = 1)]
    scopes: Vec<String>,
    /// Who holds it; a service of the key's name where it is left out
    principal: Option<Holder>,
    /// When it ends: a point in time
    #[schema(value_type = Option<schema::Time>)]
    expires_at: Option<String>,
    /// When it ends: so long from now
    #[schema(value_type = Option<schema::Span>)]
    expires_in: Option<String>,
    /// A key of the whole installation instead of one org's: its scope is `admin`, and only such a key makes one
    #[serde(default)]
    installation: bool,
}

pub(crate) async fn create(
    State(shared): App,
    caller: Caller,
    query: Query,
    Body(wanted): Body<Wanted>,
) -> Result<(StatusCode, Json<Shown>), Problem> {
    query.end()?;
    let now = Timestamp::now();
    let (key, new) = wanted.check(&caller, now)?;
    let stored = ApiKey {
        hash: new.hash.clone(),
        hint: new.hint.clone(),
        replaced_by: None,
        created_at: now,
        updated_at: now,
        key,
    };
    let mut change = shared.store().change().await.map_err(problems::store)?;
    if let Some(org) = &stored.key.org {
        shared.org_for(&mut change, &caller, org, now).await?;
    }
    change.create_key(&stored).await.map_err(problems::store)?;
    let deed = deed("api_key.created", &stored, None, Some(told(&stored, now)));
    change.audit(&caller.did(deed, now)).await.map_err(problems::store)?;
    change.commit().await.map_err(problems::store)?;
    if let Some(org) = &stored.key.org {
        shared.tell(Kind::Org, org.as_str()).await;
    }
    shared.tell(Kind::Key, &stored.hash).await;
    tracing::info!(key.id = stored.key.id, "API key made");
    Ok((StatusCode::CREATED, Json(Shown::with_text(&stored, &new, now))))
}

impl Wanted {
    fn check(self, caller: &Caller, now: Timestamp) -> Result<(Key, NewKey), Problem> {
        check_name("name", &self.name)?;
        let mut scopes = Vec::new();
        for (index, word) in self.scopes.iter().enumerate() {
            let scope: Scope = word.parse().map_err(|error: signalbox_proto::key::InvalidScope| {
                invalid(&format!("scopes/{index}"), error.to_string())
            })?;
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        if scopes.is_empty() {
            return Err(invalid("scopes", "is empty: name what the key may do"));
        }
        if self.installation {
            if caller.own_org.is_some() {
                return Err(invalid(
                    "installation",
                    "only a key of the whole installation makes another one: leave it out for a key of your org",
                ));
            }
            if scopes != [Scope::Admin] {
                return Err(invalid(
                    "scopes",
                    "a key of the whole installation has the scope admin alone",
                ));
            }
        }
        let principal = match self.principal {
            Some(holder) => {
                check_name("principal/id", &holder.id)?;
                if holder.kind == PrincipalKind::Unknown {
                    let known = PrincipalKind::ALL.map(PrincipalKind::as_str).join(", ");
                    return Err(invalid("principal/type", format!("is none of {known}")));
                }
                Principal {
                    kind: holder.kind,
                    id: holder.id,
                }
            }
            None => Principal {
                kind: PrincipalKind::Service,
                id: self.name.clone(),
            },
        };
        let expires_at = match (self.expires_at, self.expires_in) {
            (Some(_), Some(_)) => return Err(invalid("expires_in", "is another way to say expires_at: keep one")),
            (Some(at), None) => {
                let at: Timestamp = at
                    .parse()
                    .map_err(|_| invalid("expires_at", "is no point in time such as 2026-01-31T09:30:00Z"))?;
                if at <= now {
                    return Err(invalid("expires_at", "is over already"));
                }
                Some(at)
            }
            (None, Some(span)) => {
                let span = duration::parse(&span).map_err(|error| invalid("expires_in", error.to_string()))?;
                if span.is_zero() {
                    return Err(invalid("expires_in", "is no time at all"));
                }
                Some(now + span)
            }
            (None, None) => None,
        };
        let new = NewKey::random().map_err(|error| problems::internal(&error))?;
        let key = Key {
            id: Uuid::now_v7().to_string(),
            org: (!self.installation).then(|| caller.org.clone()),
            name: self.name,
            scopes,
            principal,
            expires_at,
            revoked_at: None,
            revision: 1,
        };
        Ok((key, new))
    }
}

fn check_name(field: &str, text: &str) -> Result<(), Problem> {
    let chars = text.chars().count();
    if text.trim().is_empty() || chars > NAME_CHARS_MAX || text.chars().any(char::is_control) {
        return Err(invalid(
            field,
            format!("is to be 1 to {NAME_CHARS_MAX} characters on one line"),
        ));
    }
    Ok(())
}

/// How a key is rotated.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApiKeyRotation)]
pub(crate) struct Rotation {
    /// How long the old key goes on; 24h where it is left out, 30d at most
    #[schema(value_type = Option<schema::Span>)]
    overlap: Option<String>,
}

pub(crate) async fn rotate(
    State(shared): App,
    caller: Caller,
    Path(id): Path,
    query: Query,
    Body(rotation): Body<Rotation>,
) -> Result<(StatusCode, Json<Shown>), Problem> {
    query.end()?;
    let now = Timestamp::now();
    let overlap = duration::parse(rotation.overlap.as_deref().unwrap_or(OVERLAP))
        .map_err(|error| invalid("overlap", error.to_string()))?;
    if overlap.as_secs() > OVERLAP_SECS_MAX {
        return Err(invalid("overlap", "is longer than 30d"));
    }
    let old = shared.key(&caller, &id).await?;
    if old.key.refused(now).is_some() || old.replaced_by.is_some() {
        return Err(ended(&old, now));
    }
    let new = NewKey::random().map_err(|error| problems::internal(&error))?;
    let stored = ApiKey {
        key: Key {
            id: Uuid::now_v7().to_string(),
            revision: 1,
            ..old.key.clone()
        },
        hash: new.hash.clone(),
        hint: new.hint.clone(),
        replaced_by: None,
        created_at: now,
        updated_at: now,
    };
    let mut change = shared.store().change().await.map_err(problems::store)?;
    let replaced = change.replace_key(&old.key.id, &stored, now + overlap).await;
    let replaced = replaced.map_err(problems::store)?;
    let deed = deed(
        "api_key.rotated",
        &old,
        Some(told(&old, now)),
        Some(told(&replaced, now)),
    );
    change.audit(&caller.did(deed, now)).await.map_err(problems::store)?;
    change.commit().await.map_err(problems::store)?;
    // The new one first, so that at no time neither is known.
    shared.tell(Kind::Key, &stored.hash).await;
    shared.tell(Kind::Key, &old.hash).await;
    tracing::info!(key.id = stored.key.id, replaces = old.key.id, "API key rotated");
    Ok((StatusCode::CREATED, Json(Shown::with_text(&stored, &new, now))))
}

fn ended(key: &ApiKey, now: Timestamp) -> Problem {
    let why = match (key.key.refused(now), &key.replaced_by) {
        (Some(Ended::Revoked), _) => "is revoked".to_owned(),
        (Some(Ended::Expired), _) => "has expired".to_owned(),
        (None, Some(by)) => format!("was rotated already: {by} took its place"),
        (None, None) => "has changed".to_owned(),
    };
    let detail = format!("API key {} {why}: make a new one", key.key.id);
    Problem::new(StatusCode::CONFLICT, "key_ended", detail)
}

pub(crate) async fn revoke(
    State(shared): App,
    caller: Caller,
    Path(id): Path,
    query: Query,
) -> Result<Json<Shown>, Problem> {
    query.end()?;
    let now = Timestamp::now();
    let old = shared.key(&caller, &id).await?;
    if old.key.revoked_at.is_some() {
        return Err(ended(&old, now));
    }
    let mut change = shared.store().change().await.map_err(problems::store)?;
    let revoked = change.revoke_key(&old.key.id, now).await.map_err(problems::store)?;
    let deed = deed(
        "api_key.revoked",
        &old,
        Some(told(&old, now)),
        Some(told(&revoked, now)),
    );
    change.audit(&caller.did(deed, now)).await.map_err(problems::store)?;
    change.commit().await.map_err(problems::store)?;
    shared.tell(Kind::Key, &revoked.hash).await;
    tracing::info!(key.id = revoked.key.id, "API key revoked");
    Ok(Json(Shown::of(&revoked, now)))
}

fn deed<'a>(action: &'static str, key: &'a ApiKey, before: Option<Value>, after: Option<Value>) -> Deed<'a> {
    Deed {
        action,
        org: key.key.org.as_ref(),
        object: (API_KEY, &key.key.id, Some(&key.key.name)),
        before,
        after,
    }
}

impl Shared {
    /// The key of this id, if the caller may see it. What the caller may not see is not told from what is not there.
    async fn key(&self, caller: &Caller, id: &str) -> Result<ApiKey, Problem> {
        let found = self.store().key(id).await.map_err(problems::store)?;
        found
            .filter(|found| caller.sees(found.key.org.as_ref().map(Name::as_str)))
            .ok_or_else(|| problems::not_found("API key", id))
    }
}

/// What the table says that a key may be made of.
pub(crate) fn example() -> Value {
    json!({ "name": "ci", "scopes": ["events:write"], "expires_in": "90d" })
}
