//! `GET /v1/master-key` and `POST /v1/master-key/rotate`: which key seals credentials, and putting another in its place.
//!
//! Keys are named by their ids. No route takes or gives a key itself.

use axum::{Json, extract::State as AppState, http::StatusCode};
use serde::Serialize;
use serde_json::json;
use signalbox_proto::Timestamp;
use signalbox_runtime::Problem;
use utoipa::ToSchema;

use crate::{
    App, Shared,
    audit::Deed,
    caller::Caller,
    integrations::Nothing,
    problems,
    request::{Body, Query},
    rotate::{self, Hindered, Kept, NAME, State},
    schema,
};

/// The kind of thing, as the audit calls it.
const KIND: &str = "master_key";

/// Which key seals, and how far a rotation is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MasterKey)]
pub(crate) struct Shown {
    /// The key that seals now
    key_id: String,
    /// The key that everything is to be sealed with; another one while it spreads
    target_id: String,
    /// The keys that the process opens with that answers
    key_ids: Vec<String>,
    /// `spreading`: every process is to have the new key; `sealing`: everything is sealed anew; `done`
    #[schema(value_type = schema::RotationState)]
    state: &'static str,
    /// Processes that lack the new key
    waiting_for: Vec<String>,
    /// What it cannot go on without; null where nothing is wrong
    blocked: Option<String>,
    /// Integrations that were to be sealed anew
    total: u64,
    /// Integrations that are
    resealed: u64,
    /// Values that were opened with the new key alone, in the database and in KV
    opened: u64,
    /// Integrations whose secrets no key opens
    unreadable: u64,
    /// Keys that nothing needs any more and that are still in the settings: remove them there
    unneeded: Vec<String>,
    #[schema(value_type = Option<schema::Time>)]
    started_at: Option<Timestamp>,
    #[schema(value_type = Option<schema::Time>)]
    ended_at: Option<Timestamp>,
}

pub(crate) async fn show(AppState(shared): App, query: Query) -> Result<Json<Shown>, Problem> {
    query.end()?;
    let (_, kept) = shared.master_key().await?;
    shared.shown_master_key(kept).await.map(Json)
}

pub(crate) async fn begin(
    AppState(shared): App,
    caller: Caller,
    query: Query,
    Body(Nothing {}): Body<Nothing>,
) -> Result<(StatusCode, Json<Shown>), Problem> {
    query.end()?;
    let _one = shared.rotating.lock().await;
    let (text, kept) = shared.master_key().await?;
    if kept.state != State::Done {
        let detail = "the master key is being rotated already: GET /v1/master-key says how far it is";
        return Err(Problem::new(StatusCode::CONFLICT, "rotation_at_work", detail));
    }
    let key = shared.next_key(&kept).await?;
    let now = Timestamp::now();
    let old = shared.keyring.key_ids().into_iter().filter(|id| *id != key).collect();
    let next = Kept {
        key: key.clone(),
        before: Some(kept.key.clone()),
        old,
        state: State::Spreading,
        started_at: Some(now),
        ended_at: None,
        total: 0,
        resealed: 0,
        opened: 0,
        unreadable: 0,
        blocked: None,
    };
    let mut change = shared.store().change().await.map_err(problems::store)?;
    let changed = change.replace_meta(NAME, Some(&text), &next.text()).await;
    if !changed.map_err(problems::store)? {
        return Err(problems::conflict());
    }
    let deed = Deed {
        action: "master_key.rotated",
        org: None,
        object: (KIND, &key, None),
        before: Some(json!({ "key_id": kept.key })),
        after: Some(json!({ "key_id": key })),
    };
    change.audit(&caller.did(deed, now)).await.map_err(problems::store)?;
    change.commit().await.map_err(problems::store)?;
    tracing::info!(key, before = kept.key, "the master key is to be rotated");
    Ok((StatusCode::ACCEPTED, Json(shared.shown_master_key(next).await?)))
}

impl Shared {
    async fn master_key(&self) -> Result<(String, Kept), Problem> {
        let found = rotate::read(self.store()).await.map_err(|error| hindered(&error))?;
        found.ok_or_else(problems::not_complete)
    }

    /// The key to rotate to: a new one in our own file; of an operator's keys the first one.
    async fn next_key(&self, kept: &Kept) -> Result<String, Problem> {
        self.keyring.reload().map_err(|error| unusable(&error))?;
        let keys = self.keyring.key_ids();
        if self.keyring.is_ours() {
            // One that was added by a process that ended then is as good as new.
            let unused = keys.into_iter().find(|key| *key != kept.key && !kept.old.contains(key));
            return match unused {
                Some(key) => Ok(key),
                None => self.keyring.add_key().map_err(|error| problems::internal(&error)),
            };
        }
        match keys.into_iter().next() {
            Some(first) if first != kept.key => Ok(first),
            _ => Err(Problem::new(
                StatusCode::CONFLICT,
                "no_new_key",
                format!(
                    "the first of the keys in the settings, {}, is the one that seals already: put a new one (32 random \
                     bytes in base64) on a line before it in the file that secrets.key_file names, for all processes",
                    kept.key
                ),
            )),
        }
    }

    async fn shown_master_key(&self, kept: Kept) -> Result<Shown, Problem> {
        let waiting_for = match kept.state {
            State::Spreading => {
                let told = self.broker.keyrings().await.map_err(problems::broker)?;
                let lacking = rotate::lacking(&told, &kept.key).into_iter();
                lacking.map(str::to_owned).collect()
            }
            State::Sealing | State::Done => Vec::new(),
        };
        let key_ids = self.keyring.key_ids();
        let unneeded = match kept.state {
            State::Done => key_ids.iter().filter(|key| kept.old.contains(key)).cloned().collect(),
            State::Spreading | State::Sealing => Vec::new(),
        };
        Ok(Shown {
            key_id: kept.seals().to_owned(),
            key_ids,
            state: kept.state.as_str(),
            waiting_for,
            blocked: kept.blocked,
            total: kept.total,
            resealed: kept.resealed,
            opened: kept.opened,
            unreadable: kept.unreadable,
            unneeded,
            started_at: kept.started_at,
            ended_at: kept.ended_at,
            target_id: kept.key,
        })
    }
}

/// A key file that cannot be used is the operator's to mend.
fn unusable(error: &signalbox_runtime::Error) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "no_new_key",
        format!("the keys of secrets.key_file cannot be read: {error}"),
    )
}

fn hindered(error: &Hindered) -> Problem {
    problems::internal(error)
}
