//! `POST /v1/apply`: makes the integrations be what a file says, all checked before the first is written.
//!
//! What changes is committed some at a time, each part whole or not at all, and then told to the workers: what is new
//! before what it replaces goes, so that no event falls between them. An interrupted apply is finished by the next one.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_proto::{Integration, Name, Timestamp, integration::Status, subjects};
use signalbox_runtime::Problem;
use signalbox_store::outbox::Kind;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    App, Shared,
    caller::Caller,
    integrations::tombstone,
    plan::{self, Action, Change},
    problems,
    request::{Body, Query},
    schema, sealing,
    spec::{self, Stored},
};

/// Changes that are committed together: while they are, nothing else is written to SQLite.
const PART: usize = 200;
/// Names that are looked up at a time.
const NAMES: usize = 500;

/// What the integrations are to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApplyRequest)]
pub(crate) struct Wanted {
    #[schema(value_type = Vec<schema::IntegrationSpec>)]
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
    caller: Caller,
    query: Query,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Value>, Problem> {
    query.end()?;
    if wanted.prune && wanted.integrations.is_empty() && caller.any_org.is_none() {
        return Err(refuse(
            "no_org",
            "prunes with a list that is empty, which would delete every integration of the org default: name the org \
             that is meant with ?org= (--org)",
        ));
    }
    let _alone = shared.applying.lock().await;
    let changes = shared.plan(&wanted, &caller).await?;
    for change in &changes {
        caller.act_for(&change.org)?;
    }
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
        shared.execute(&caller, &changes).await?;
    }
    Ok(Json(json!({ "changes": views, "applied": !wanted.dry_run })))
}

/// What a change leaves to be written: what was, what is to be, and what the audit calls it.
struct Step<'a> {
    action: &'static str,
    before: Option<&'a Integration>,
    after: Integration,
}

impl Shared {
    async fn plan(&self, wanted: &Wanted, caller: &Caller) -> Result<Vec<Change>, Problem> {
        let default_org = &caller.org;
        let named = self.named_in(wanted, caller).await?;
        let stored = |org: &Name, name: &Name, provider: &str| {
            let current = named.get(org)?.get(name)?;
            let entry = signalbox_providers::find(provider).filter(|_| current.provider.as_str() == provider)?;
            let secrets = sealing::open(&self.keyring, current).ok()?;
            let config = entry.join_secrets(current.config.value().ok()?, secrets.config);
            Some(Stored {
                config,
                credentials: secrets.credentials,
            })
        };
        let specs = spec::check_all(&wanted.integrations, default_org, &self.installation.egress, &stored)
            .map_err(|errors| problems::invalid_integrations(&errors))?;
        let mut present: Vec<Arc<Integration>> = named.into_values().flat_map(BTreeMap::into_values).collect();
        if wanted.prune {
            let mut orgs: Vec<&Name> = specs.iter().map(|spec| &spec.org).collect();
            // An org that only the URL's default names loses nothing to a file that is about others.
            if specs.is_empty() {
                orgs.push(default_org);
            }
            orgs.sort();
            orgs.dedup();
            present.clear();
            for org in orgs {
                caller.act_for(org)?;
                let all = self.all(Some(org)).await?;
                present.extend(all.into_iter().map(|stored| Arc::new(stored.integration)));
            }
        }
        Ok(plan::plan(
            specs,
            &present,
            &|current| sealing::open(&self.keyring, current).ok(),
            wanted.prune,
        ))
    }

    /// The integrations that a request names and that are there, by org and name. What another org has is not told of.
    async fn named_in(
        &self,
        wanted: &Wanted,
        caller: &Caller,
    ) -> Result<BTreeMap<Name, BTreeMap<Name, Arc<Integration>>>, Problem> {
        let mut names: BTreeMap<Name, Vec<String>> = BTreeMap::new();
        for value in &wanted.integrations {
            // What cannot be read is refused with all else that is wrong, later.
            let org = match value.get("org") {
                None | Some(Value::Null) => Some(caller.org.clone()),
                Some(org) => org.as_str().and_then(|org| org.parse().ok()),
            };
            if let (Some(org), Some(name)) = (org, value.get("name").and_then(Value::as_str))
                && caller.act_for(&org).is_ok()
            {
                names.entry(org).or_default().push(name.to_owned());
            }
        }
        let mut found: BTreeMap<Name, BTreeMap<Name, Arc<Integration>>> = BTreeMap::new();
        for (org, names) in names {
            let of_org = found.entry(org.clone()).or_default();
            for names in names.chunks(NAMES) {
                let part = self
                    .store()
                    .integrations_named(&org, names)
                    .await
                    .map_err(problems::store)?;
                let part = part.into_iter().map(|stored| stored.integration);
                of_org.extend(part.map(|integration| (integration.name.clone(), Arc::new(integration))));
            }
        }
        Ok(found)
    }

    async fn execute(&self, caller: &Caller, changes: &[Change]) -> Result<(), Problem> {
        let changes: Vec<&Change> = changes.iter().filter(|change| change.action != Action::None).collect();
        let total = changes.len();
        let mut done = 0;
        for part in changes.chunks(PART) {
            self.commit_part(caller, part).await.map_err(|problem| Problem {
                detail: format!("{} ({done} of {total} changes were made; apply again)", problem.detail),
                ..problem
            })?;
            done += part.len();
        }
        tracing::info!(changes = total, "integrations applied");
        Ok(())
    }

    /// Commits some changes together, and tells them.
    async fn commit_part(&self, caller: &Caller, part: &[&Change]) -> Result<(), Problem> {
        let now = Timestamp::now();
        let mut steps = Vec::with_capacity(part.len());
        for change in part {
            self.steps(change, now, &mut steps)?;
        }
        let sealing = self.sealing.read().await;
        let mut change = self.store().change().await.map_err(problems::store)?;
        for step in &steps {
            self.add(&mut change, caller, step.action, step.before, &step.after)
                .await?;
        }
        change.commit().await.map_err(problems::store)?;
        drop(sealing);
        let mut orgs: Vec<&Name> = steps.iter().map(|step| &step.after.org).collect();
        orgs.sort();
        orgs.dedup();
        for org in orgs {
            self.tell(Kind::Org, org.as_str()).await;
        }
        for goes in [false, true] {
            let told = steps
                .iter()
                .filter(|step| (step.after.status == Status::Deleted) == goes);
            futures::stream::iter(told)
                .for_each_concurrent(self.config.apply_in_flight_max, |step| {
                    self.tell(Kind::Integration, &step.after.id)
                })
                .await;
        }
        Ok(())
    }

    /// What a change writes. What goes is written first, as its name is taken by what replaces it.
    fn steps<'a>(&self, change: &'a Change, now: Timestamp, steps: &mut Vec<Step<'a>>) -> Result<(), Problem> {
        let current = change.current.as_deref();
        if let (Action::Replace | Action::Delete, Some(current)) = (change.action, current) {
            steps.push(Step {
                action: "integration.deleted",
                before: Some(current),
                after: tombstone(current, now),
            });
        }
        match (change.action, &change.spec, current) {
            (Action::Create | Action::Replace, Some(spec), _) => steps.push(Step {
                action: "integration.created",
                before: None,
                after: self.made(spec, None, &Uuid::now_v7().to_string(), now)?,
            }),
            (Action::Update, Some(spec), Some(current)) => steps.push(Step {
                action: "integration.updated",
                before: Some(current),
                after: self.made(spec, Some(current), &current.id, now)?,
            }),
            // The plan gives every action what it needs.
            _ => {}
        }
        Ok(())
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
