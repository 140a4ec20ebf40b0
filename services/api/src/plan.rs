//! What an apply would change: what is wanted against what is there. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;
use serde_json::{Value, json};
use signalbox_proto::{
    Integration, Name, RawJson,
    integration::{Secrets, Status},
};

use crate::{sealing::is_blank, spec::Spec};

/// What happens to an integration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// It is new.
    Create,
    /// Fields of it change.
    Update,
    /// Its provider changes: another integration takes its name.
    Replace,
    /// It goes.
    Delete,
    /// It stays as it is.
    None,
}

/// What happens to one integration, and with which values.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) action: Action,
    pub(crate) org: Name,
    pub(crate) name: Name,
    pub(crate) provider: Name,
    /// The fields that change.
    pub(crate) fields: Vec<&'static str>,
    /// What is wanted; `None` in a deletion.
    pub(crate) spec: Option<Spec>,
    /// What is there; `None` in a creation.
    pub(crate) current: Option<Arc<Integration>>,
}

impl Change {
    /// As answers show it.
    pub(crate) fn view(&self) -> Value {
        json!({
            "action": self.action,
            "org": self.org,
            "name": self.name,
            "provider": self.provider,
            "fields": self.fields,
        })
    }

    /// Whether deliveries of an integration would lose it.
    pub(crate) fn takes_away(&self) -> Option<&Arc<Integration>> {
        match self.action {
            Action::Replace | Action::Delete => self.current.as_ref(),
            Action::Create | Action::Update | Action::None => None,
        }
    }
}

/// Plans the way from what is there to what is wanted, in the order of the specs, deletions last.
///
/// `present` holds the integrations of the orgs that the specs name. `secrets` opens those of one of them; `None`
/// where they do not open, which counts as a change. Without `prune` nothing is deleted but what an interrupted
/// replacement left behind.
pub(crate) fn plan(
    specs: Vec<Spec>,
    present: &[Arc<Integration>],
    secrets: &dyn Fn(&Integration) -> Option<Secrets>,
    prune: bool,
) -> Vec<Change> {
    // By id, so that of several with one name the newest comes last.
    let mut by_name: BTreeMap<(&Name, &Name), BTreeMap<&str, &Arc<Integration>>> = BTreeMap::new();
    for integration in present {
        by_name
            .entry((&integration.org, &integration.name))
            .or_default()
            .insert(&integration.id, integration);
    }
    let mut kept: BTreeSet<(Name, Name)> = BTreeSet::new();
    let mut changes = Vec::with_capacity(specs.len());
    for spec in specs {
        let current = by_name
            .get(&(&spec.org, &spec.name))
            .and_then(|ids| ids.values().next_back())
            .map(|found| (*found).clone());
        kept.insert((spec.org.clone(), spec.name.clone()));
        changes.push(change(spec, current, secrets));
    }
    for ((org, name), ids) in &by_name {
        let newest_stays = kept.contains(&((*org).clone(), (*name).clone())) || !prune;
        let gone = ids.len() - usize::from(newest_stays);
        for integration in ids.values().take(gone) {
            changes.push(Change {
                action: Action::Delete,
                org: (*org).clone(),
                name: (*name).clone(),
                provider: integration.provider.clone(),
                fields: Vec::new(),
                spec: None,
                current: Some((*integration).clone()),
            });
        }
    }
    changes
}

fn change(spec: Spec, current: Option<Arc<Integration>>, secrets: &dyn Fn(&Integration) -> Option<Secrets>) -> Change {
    let (action, fields) = match &current {
        None => (Action::Create, Vec::new()),
        Some(current) if current.provider != spec.provider => (Action::Replace, vec!["provider"]),
        Some(current) => {
            let fields = differences(&spec, current, secrets(current).as_ref());
            (
                if fields.is_empty() {
                    Action::None
                } else {
                    Action::Update
                },
                fields,
            )
        }
    };
    Change {
        action,
        org: spec.org.clone(),
        name: spec.name.clone(),
        provider: spec.provider.clone(),
        fields,
        spec: Some(spec),
        current,
    }
}

pub(crate) fn differences(spec: &Spec, current: &Integration, secrets: Option<&Secrets>) -> Vec<&'static str> {
    let status = if spec.enabled { Status::Active } else { Status::Inactive };
    // A config that does not read counts as another one.
    let config = current.config.value().is_ok_and(|config| same(&config, &spec.config));
    let rows = [
        (
            "config",
            config && secrets.is_some_and(|known| same(&known.config, &spec.secrets.config)),
        ),
        (
            "credentials",
            secrets.is_some_and(|known| same(&known.credentials, &spec.secrets.credentials)),
        ),
        ("enabled", current.status == status),
        ("events", current.subscription.events == spec.subscription.events),
        ("filter", current.subscription.filter == spec.subscription.filter),
        ("retry", current.schedule_secs == spec.schedule_secs),
        ("expire_after", current.expire_after_secs == spec.expire_after_secs),
        ("timeout", current.timeout_secs == spec.timeout_secs),
        ("template", current.template == spec.template),
        ("rate_limit", current.flow.rate_limit == spec.flow.rate_limit),
        ("batch", current.flow.batch == spec.flow.batch),
        ("order_by", current.flow.order_by == spec.flow.order_by),
        ("order_on_dead", current.flow.order_on_dead == spec.flow.order_on_dead),
        (
            "connect_timeout",
            current.flow.connect_timeout_secs == spec.flow.connect_timeout_secs,
        ),
        (
            "health_check",
            current.flow.health_check_secs == spec.flow.health_check_secs,
        ),
    ];
    rows.into_iter()
        .filter(|(_, same)| !same)
        .map(|(name, _)| name)
        .collect()
}

/// Equal, where nothing and an empty group of fields are the same.
fn same(left: &Value, right: &Value) -> bool {
    left == right || (is_blank(left) && is_blank(right))
}

/// The integration that a spec asks for, without its secrets: a new one, or the next revision of one.
pub(crate) fn integration(
    spec: &Spec,
    current: Option<&Integration>,
    id: &str,
    now: signalbox_proto::Timestamp,
) -> Result<Integration, serde_json::Error> {
    Ok(Integration {
        id: id.to_owned(),
        org: spec.org.clone(),
        name: spec.name.clone(),
        provider: spec.provider.clone(),
        revision: current.map_or(0, |current| current.revision) + 1,
        status: if spec.enabled { Status::Active } else { Status::Inactive },
        subscription: spec.subscription.clone(),
        config: RawJson::of(&spec.config)?,
        sealed: None,
        schedule_secs: spec.schedule_secs.clone(),
        expire_after_secs: spec.expire_after_secs,
        timeout_secs: spec.timeout_secs,
        template: spec.template.clone(),
        flow: spec.flow.clone(),
        created_at: current.map_or(now, |current| current.created_at),
        updated_at: now,
    })
}

#[cfg(test)]
mod tests;
