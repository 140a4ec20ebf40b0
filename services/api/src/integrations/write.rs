//! Changing an integration: one transaction with its entry in the audit, then told to the workers.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use signalbox_proto::{Integration, Name, RawJson, Timestamp, integration::Status, integration::Subscription};
use signalbox_runtime::Problem;
use signalbox_store::{
    Change, Error as StoreError,
    audit::kind::INTEGRATION,
    integrations::{Stored, Wanted},
    outbox::Kind,
};

use crate::{
    Shared,
    audit::{self, Deed},
    caller::Caller,
    plan, problems, sealing,
    spec::Spec,
    view,
};

/// Integrations read from the database at a time.
const PART: u32 = 1_000;

impl Shared {
    /// The integration of an org with this id or name, as the database has it.
    pub(crate) async fn stored(&self, org: &Name, id_or_name: &str) -> Result<Stored, Problem> {
        let found = self.store().integration(org, id_or_name).await;
        found.map_err(problems::store)?.ok_or_else(|| {
            let problem = problems::not_found("integration", id_or_name);
            Problem {
                detail: format!("{} in org {org}", problem.detail),
                ..problem
            }
        })
    }

    /// The same without what only the database knows of it.
    pub(crate) async fn find(&self, org: &Name, id_or_name: &str) -> Result<Integration, Problem> {
        Ok(self.stored(org, id_or_name).await?.integration)
    }

    /// All integrations of an org, or of all orgs, by org and name.
    pub(crate) async fn all(&self, org: Option<&Name>) -> Result<Vec<Stored>, Problem> {
        let mut all: Vec<Stored> = Vec::new();
        loop {
            let last = all
                .last()
                .map(|last| (last.integration.org.clone(), last.integration.name.clone()));
            let wanted = Wanted {
                org,
                after: last.as_ref().map(|(org, name)| (org, name)),
                limit: PART,
                ..Wanted::default()
            };
            let part = self.store().integrations(&wanted).await.map_err(problems::store)?;
            let is_last = part.len() < PART as usize;
            all.extend(part);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// An integration as answers show it.
    pub(crate) fn view(&self, stored: &Stored) -> view::Integration {
        let state = self.directory.state(&stored.integration.id);
        view::integration(stored, &state, &self.keyring)
    }

    /// The same without what may change by itself, as the audit keeps it.
    pub(crate) fn told(&self, integration: &Integration) -> Value {
        let mut told = audit::told(&view::spec(integration, &self.keyring));
        told["status"] = json!(integration.status);
        told["revision"] = json!(integration.revision);
        told
    }

    /// An integration that a spec asks for, its secrets sealed: a new one, or the next revision of one.
    pub(crate) fn made(
        &self,
        spec: &Spec,
        current: Option<&Integration>,
        id: &str,
        now: Timestamp,
    ) -> Result<Integration, Problem> {
        let mut integration = plan::integration(spec, current, id, now).map_err(|error| problems::internal(&error))?;
        integration.sealed =
            sealing::seal(&self.keyring, id, &spec.secrets).map_err(|error| problems::internal(&error))?;
        Ok(integration)
    }

    /// Commits one change of an integration, and tells it. `before` is what it was; none of a new one.
    pub(crate) async fn write(
        &self,
        caller: &Caller,
        action: &'static str,
        before: Option<&Integration>,
        after: &Integration,
    ) -> Result<(), Problem> {
        let sealing = self.sealing.read().await;
        let mut change = self.store().change().await.map_err(problems::store)?;
        self.add(&mut change, caller, action, before, after).await?;
        change.commit().await.map_err(problems::store)?;
        drop(sealing);
        if before.is_none() {
            self.tell(Kind::Org, after.org.as_str()).await;
        }
        self.tell(Kind::Integration, &after.id).await;
        Ok(())
    }

    /// Makes it part of a change. Whoever calls this holds [`Shared::sealing`] until the change is committed.
    pub(crate) async fn add(
        &self,
        change: &mut Change,
        caller: &Caller,
        action: &'static str,
        before: Option<&Integration>,
        after: &Integration,
    ) -> Result<(), Problem> {
        // The key may have changed since it was sealed, or it was sealed long ago.
        let sealed = sealing::by_current(&self.keyring, after);
        let after = &*sealed;
        let done = match before {
            None => {
                self.org_for(change, caller, &after.org, after.updated_at).await?;
                change.create_integration(after).await
            }
            Some(before) if after.status == Status::Deleted => change.delete_integration(after, before.revision).await,
            Some(before) => change.replace_integration(after, before.revision).await,
        };
        done.map_err(|error| match error {
            StoreError::Duplicate { .. } => name_taken(after),
            error => problems::store(error),
        })?;
        let after_told = (after.status != Status::Deleted).then(|| self.told(after));
        let deed = deed(action, after, before.map(|before| self.told(before)), after_told);
        let entry = caller.did(deed, after.updated_at);
        change.audit(&entry).await.map_err(problems::store)
    }
}

/// What is done to an integration.
pub(crate) fn deed<'a>(
    action: &'static str,
    integration: &'a Integration,
    before: Option<Value>,
    after: Option<Value>,
) -> Deed<'a> {
    Deed {
        action,
        org: Some(&integration.org),
        object: (INTEGRATION, &integration.id, Some(integration.name.as_str())),
        before,
        after,
    }
}

/// What is left of an integration that is deleted.
pub(crate) fn tombstone(current: &Integration, now: Timestamp) -> Integration {
    Integration {
        revision: current.revision + 1,
        status: Status::Deleted,
        subscription: Subscription::default(),
        config: RawJson::default(),
        sealed: None,
        template: None,
        updated_at: now,
        ..current.clone()
    }
}

fn name_taken(integration: &Integration) -> Problem {
    let detail = format!(
        "org {} has an integration {} already: change that one with PUT or PATCH, or take another name",
        integration.org, integration.name
    );
    Problem::new(StatusCode::CONFLICT, "already_exists", detail).field("name")
}

/// The tag of a revision, as `If-Match` takes it.
pub(crate) fn tag(revision: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(&format!("\"{revision}\"")).expect("digits fit a header");
    headers.insert(header::ETAG, value);
    headers
}
