//! `POST /v1/apply`: makes the integrations be what a file says, all checked before the first is written.
//!
//! An interrupted apply is finished by the next one. A name is reserved before its integration is written; a
//! reservation whose integration is missing or deleted is taken over. A replacement is written before the one that
//! it replaces goes, so that no event falls between them; of two with one name the newest counts, and the other is
//! deleted by whichever apply sees it.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_broker::{Error as BrokerError, holding::Drain};
use signalbox_proto::{
    Integration, Name, RawJson, Timestamp,
    integration::{Status, Subscription},
    subjects,
};
use signalbox_runtime::Problem;
use uuid::Uuid;

use crate::{
    App, Shared,
    plan::{self, Action, Change},
    problems,
    request::{Body, Query},
    sealing,
    spec::{self, Stored},
    view,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    integrations: Vec<Value>,
    /// Delete what the request does not name, in the orgs that it names (or the one of the URL).
    #[serde(default)]
    prune: bool,
    /// Say what would change, and change nothing.
    #[serde(default)]
    dry_run: bool,
    /// Let the deliveries that wait for what goes end as discarded.
    #[serde(default)]
    discard: bool,
}

pub(crate) async fn apply(
    State(shared): App,
    mut query: Query,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Value>, Problem> {
    let named: Option<Name> = query.parse("org")?;
    query.end()?;
    if wanted.prune && wanted.integrations.is_empty() && named.is_none() {
        return Err(refuse(
            "no_org",
            "prunes with a list that is empty, which would delete every integration of the org default: name the org \
             that is meant with ?org= (--org)",
        ));
    }
    let org = named.unwrap_or_else(Name::default_org);
    shared.directory.complete()?;
    let _alone = shared.applying.lock().await;
    let changes = shared.plan(&wanted, &org)?;
    // What deliveries would lose, looked at before anything is written.
    let leaving: Vec<Option<Arc<Integration>>> = changes.iter().map(|change| change.takes_away().cloned()).collect();
    let waiting: Vec<Option<u64>> = futures::stream::iter(leaving)
        .map(|current| async {
            match current {
                Some(current) => shared.waiting(&current).await.map(Some),
                None => Ok(None),
            }
        })
        .buffered(shared.config.apply_in_flight_max)
        .try_collect()
        .await?;
    let mut views = Vec::with_capacity(changes.len());
    let mut refused = None;
    for (change, waiting) in changes.iter().zip(waiting) {
        let mut shown = change.view();
        shown["warnings"] = warnings(change);
        if let Some(waiting) = waiting {
            shown["waiting"] = waiting.into();
            if waiting > 0 && !wanted.discard {
                refused.get_or_insert_with(|| {
                    let name = format!("integration {}", change.name);
                    let remedy = "apply with `discard` (--discard), which ends them";
                    problems::deliveries_waiting(&name, waiting, remedy)
                });
            }
        }
        views.push(shown);
    }
    if !wanted.dry_run {
        if let Some(problem) = refused {
            return Err(problem.with("changes", views));
        }
        shared.execute(changes).await?;
    }
    Ok(Json(json!({ "changes": views, "applied": !wanted.dry_run })))
}

impl Shared {
    fn plan(&self, wanted: &Wanted, default_org: &Name) -> Result<Vec<Change>, Problem> {
        let stored = |org: &Name, name: &Name, provider: &str| {
            let current = self.directory.named(org, name).into_iter().next()?;
            let entry = signalbox_providers::find(provider).filter(|_| current.provider.as_str() == provider)?;
            let secrets = sealing::open(&self.keyring, &current).ok()?;
            let config = entry.join_secrets(current.config.value().ok()?, secrets.config);
            Some(Stored {
                config,
                credentials: secrets.credentials,
            })
        };
        let specs = spec::check_all(&wanted.integrations, default_org, &self.installation.egress, &stored)
            .map_err(|errors| problems::invalid_integrations(&errors))?;
        let mut orgs: Vec<Name> = specs.iter().map(|spec| spec.org.clone()).collect();
        orgs.push(default_org.clone());
        orgs.sort();
        orgs.dedup();
        // An org that only the URL's default names loses nothing to a file that is about others.
        if !specs.is_empty() {
            orgs.retain(|org| specs.iter().any(|spec| spec.org == *org));
        }
        let present: Vec<Arc<Integration>> = orgs.iter().flat_map(|org| self.directory.of_org(org)).collect();
        Ok(plan::plan(
            specs,
            &present,
            &|current| sealing::open(&self.keyring, current).ok(),
            wanted.prune,
        ))
    }

    async fn execute(&self, changes: Vec<Change>) -> Result<(), Problem> {
        let mut providers: Vec<Name> = changes
            .iter()
            .filter(|change| matches!(change.action, Action::Create | Action::Update | Action::Replace))
            .map(|change| change.provider.clone())
            .collect();
        providers.sort();
        providers.dedup();
        for provider in providers {
            // A router that saw the integration first would publish to a stream that is not there.
            self.broker.ensure_provider(&provider).await.map_err(problems::broker)?;
        }
        let total = changes.iter().filter(|change| change.action != Action::None).count();
        let done = std::sync::atomic::AtomicUsize::new(0);
        futures::stream::iter(changes.into_iter().filter(|change| change.action != Action::None))
            .map(|change| async {
                self.change(change).await?;
                done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Ok(())
            })
            .buffer_unordered(self.config.apply_in_flight_max)
            .try_collect::<()>()
            .await
            .map_err(|problem: Problem| {
                let done = done.load(std::sync::atomic::Ordering::Relaxed);
                Problem {
                    detail: format!("{} ({done} of {total} changes were made; apply again)", problem.detail),
                    ..problem
                }
            })?;
        tracing::info!(changes = total, "integrations applied");
        Ok(())
    }

    async fn change(&self, change: Change) -> Result<(), Problem> {
        match (change.action, &change.spec, &change.current) {
            (Action::Create, Some(spec), _) => self.create(spec).await,
            (Action::Update, Some(spec), Some(current)) => self.update(spec, current).await,
            (Action::Replace, Some(spec), Some(current)) => {
                self.create(spec).await?;
                self.bury(current).await
            }
            (Action::Delete, _, Some(current)) => self.bury(current).await,
            // The plan gives every action what it needs.
            _ => Ok(()),
        }
    }

    async fn create(&self, spec: &spec::Spec) -> Result<(), Problem> {
        let id = Uuid::now_v7().to_string();
        self.reserve(&spec.org, &spec.name, &spec.provider, &id).await?;
        let integration = self.integration(spec, None, &id)?;
        self.broker
            .create(subjects::CONFIG, &subjects::integration_key(&id), &integration)
            .await
            .map_err(problems::broker)?;
        tracing::debug!(integration.id = %id, org = %spec.org, name = %spec.name, provider = %spec.provider, "integration created");
        self.directory.put(integration);
        Ok(())
    }

    async fn update(&self, spec: &spec::Spec, current: &Integration) -> Result<(), Problem> {
        let integration = self.integration(spec, Some(current), &current.id)?;
        self.replace(current, integration).await?;
        tracing::debug!(integration.id = %current.id, org = %spec.org, name = %spec.name, "integration changed");
        Ok(())
    }

    fn integration(&self, spec: &spec::Spec, current: Option<&Integration>, id: &str) -> Result<Integration, Problem> {
        let mut integration =
            plan::integration(spec, current, id, Timestamp::now()).map_err(|error| problems::internal(&error))?;
        integration.sealed =
            sealing::seal(&self.keyring, id, &spec.secrets).map_err(|error| problems::internal(&error))?;
        Ok(integration)
    }

    /// Writes the next revision on condition that the one before is still there.
    pub(crate) async fn replace(&self, current: &Integration, next: Integration) -> Result<(), Problem> {
        let key = subjects::integration_key(&current.id);
        let found = self.broker.integration(&current.id).await.map_err(problems::broker)?;
        let Some(found) = found.filter(|found| found.value.revision == current.revision) else {
            return Err(problems::conflict());
        };
        self.broker
            .update(subjects::CONFIG, &key, &next, found.revision)
            .await
            .map_err(problems::broker)?;
        self.directory.put(next);
        Ok(())
    }

    /// Reserves a name for an id. A reservation of what is missing, deleted or being replaced is taken over.
    async fn reserve(&self, org: &Name, name: &Name, provider: &Name, id: &str) -> Result<(), Problem> {
        let key = subjects::name_key(org, name);
        match self.broker.create(subjects::CONFIG, &key, &id).await {
            Ok(_) => return Ok(()),
            Err(BrokerError::Conflict { .. }) => {}
            Err(error) => return Err(problems::broker(error)),
        }
        let holder = self
            .broker
            .get::<String>(subjects::CONFIG, &key)
            .await
            .map_err(problems::broker)?;
        let Some(holder) = holder else {
            return Err(problems::conflict());
        };
        let integration = self.broker.integration(&holder.value).await.map_err(problems::broker)?;
        if integration.is_some_and(|found| found.value.status != Status::Deleted && found.value.provider == *provider) {
            return Err(problems::conflict());
        }
        self.broker
            .update(subjects::CONFIG, &key, &id, holder.revision)
            .await
            .map(|_| ())
            .map_err(problems::broker)
    }

    /// Turns an integration into a tombstone. What waits for it in PARKED is taken out by a keeper, the rest is met
    /// by workers; both end it as discarded. Its name stays reserved until another takes it over, as a purge of the
    /// key would cost more than all the rest and could meet that other's reservation.
    pub(crate) async fn bury(&self, current: &Integration) -> Result<(), Problem> {
        let tombstone = Integration {
            revision: current.revision + 1,
            status: Status::Deleted,
            subscription: Subscription::default(),
            config: RawJson::default(),
            sealed: None,
            template: None,
            updated_at: Timestamp::now(),
            ..current.clone()
        };
        self.replace(current, tombstone).await?;
        tracing::debug!(integration.id = %current.id, org = %current.org, name = %current.name, "integration deleted");
        self.broker
            .resume(&current.id, Drain::default(), Timestamp::now())
            .await
            .map(|_| ())
            .map_err(problems::broker)
    }

    /// How many deliveries wait for an integration, in any way.
    pub(crate) async fn waiting(&self, integration: &Integration) -> Result<u64, Problem> {
        let (provider, id) = (&integration.provider, integration.id.as_str());
        let parked = self
            .broker
            .in_parked(&integration.org, id)
            .await
            .map_err(problems::broker)?;
        let gathered = self.broker.in_groups(provider, &integration.org, id).await;
        let held = parked + gathered.map_err(problems::broker)?;
        let providers = self.broker.providers().await.map_err(problems::broker)?;
        if !providers.contains(provider) {
            return Ok(held);
        }
        let lanes = self
            .broker
            .in_lanes(provider, &integration.org, id)
            .await
            .map_err(problems::broker)?;
        let stream = subjects::deliver_stream(provider);
        let (retries, _) = self
            .broker
            .subject_counts(&stream, &subjects::retry_of(provider, &integration.org, id))
            .await
            .map_err(problems::broker)?;
        Ok(held + lanes + retries.values().sum::<u64>())
    }

    /// The integration of an org with this id or name.
    pub(crate) fn find(&self, org: &Name, id_or_name: &str) -> Result<Arc<Integration>, Problem> {
        self.directory.complete()?;
        self.directory.find(org, id_or_name).ok_or_else(|| {
            let problem = problems::not_found("integration", id_or_name);
            Problem {
                detail: format!("{} in org {org}", problem.detail),
                ..problem
            }
        })
    }

    /// An integration as answers show it.
    pub(crate) fn view(&self, integration: &Integration) -> Value {
        view::integration(integration, &self.directory.state(&integration.id), &self.keyring)
    }
}

/// What the owner of what is wanted should be told, though it is taken.
fn warnings(change: &Change) -> Value {
    let Some(spec) = &change.spec else { return json!([]) };
    let Some(entry) = signalbox_providers::find(spec.provider.as_str()) else {
        return json!([]);
    };
    let config = entry.join_secrets(spec.config.clone(), spec.secrets.config.clone());
    let found = entry.warnings(&config, &spec.secrets.credentials);
    found
        .into_iter()
        .map(|warning| json!({ "field": warning.pointer, "message": warning.message }))
        .collect()
}

/// A request that cannot be served as it is, though it can be read.
pub(crate) fn refuse(code: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}
