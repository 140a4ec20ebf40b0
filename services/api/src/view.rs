//! Integrations, events and deliveries as answers show them.

use std::time::Duration;

use serde_json::{Map, Value, json};
use signalbox_proto::{
    Accepted, DeadLetter, Delivery, Integration, Phase, State, Timestamp,
    delivery::Note,
    event::Event,
    integration::{Batch, RateLimit, Status},
};
use signalbox_providers::MASK;
use signalbox_runtime::{Keyring, duration};

use crate::sealing::{self, empty};

/// Every status that an integration which is not deleted can have.
pub(crate) const STATUSES: [&str; 5] = ["pending_setup", "inactive", "active", "paused", "error"];

/// The status of an integration: what its owner set, and whether it is held for a while.
pub(crate) fn status(integration: &Integration, state: &State) -> &'static str {
    match (integration.status, state.phase) {
        (Status::PendingSetup | Status::Unknown, _) => "pending_setup",
        (Status::Inactive, _) => "inactive",
        (Status::Deleted, _) => "deleted",
        (Status::Active, Phase::Paused | Phase::Unknown) => "paused",
        (Status::Active, Phase::Suspended) => "error",
        (Status::Active, Phase::Open | Phase::Draining) => "active",
    }
}

/// The `type` of an integration.
pub(crate) fn kind(integration: &Integration) -> Option<&'static str> {
    signalbox_providers::find(integration.provider.as_str()).map(|entry| entry.kind.as_str())
}

/// Every `type` that an integration can have.
pub(crate) fn kinds() -> Vec<&'static str> {
    let mut kinds: Vec<&str> = signalbox_providers::registry()
        .iter()
        .map(|entry| entry.kind.as_str())
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// An integration, secrets masked.
pub(crate) fn integration(integration: &Integration, state: &State, keyring: &Keyring) -> Value {
    let (config, credentials) = masked(integration, keyring);
    let error_message = match (integration.status, state.phase) {
        (_, Phase::Suspended) => Some(state.reason.as_str()),
        // Why its last test failed.
        (status, Phase::Open) if status != Status::Active => Some(state.reason.as_str()).filter(|why| !why.is_empty()),
        _ => None,
    };
    json!({
        "id": integration.id,
        "org": integration.org,
        "name": integration.name,
        "type": kind(integration),
        "provider": integration.provider,
        "status": status(integration, state),
        "error_message": error_message,
        "events": integration.subscription.events,
        "filter": integration.subscription.filter,
        "config": config,
        "credentials": credentials,
        "rate_limit": rate_limit(integration.rate_limit()),
        "batch": integration.flow.batch.map(batch),
        "order_by": integration.flow.order_by,
        "order_on_dead": integration.flow.order_on_dead,
        "retry": { "schedule": spans(integration.schedule()) },
        "expire_after": duration::format(integration.expire_after()),
        "timeout": duration::format(integration.timeout()),
        "connect_timeout": duration::format(integration.connect_timeout()),
        "template": integration.template,
        "revision": integration.revision,
        "created_at": integration.created_at,
        "updated_at": integration.updated_at,
        "last_triggered_at": null,
    })
}

/// An integration as a file would say it, secrets masked.
pub(crate) fn spec(integration: &Integration, keyring: &Keyring) -> Value {
    let (config, credentials) = masked(integration, keyring);
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
    put("name", json!(integration.name));
    put("org", json!(integration.org));
    put("provider", json!(integration.provider));
    put("config", config);
    if credentials.as_object().is_some_and(|map| !map.is_empty()) {
        put("credentials", credentials);
    }
    put("events", json!(integration.subscription.events));
    if integration.subscription.filter != signalbox_proto::integration::Filter::default() {
        put("filter", json!(integration.subscription.filter));
    }
    if let Some(secs) = &integration.schedule_secs {
        put("retry", json!({ "schedule": spans(secs) }));
    }
    if integration.expire_after_secs.is_some() {
        put("expire_after", json!(duration::format(integration.expire_after())));
    }
    if integration.timeout_secs.is_some() {
        put("timeout", json!(duration::format(integration.timeout())));
    }
    if let Some(template) = &integration.template {
        put("template", json!(template));
    }
    let flow = &integration.flow;
    if let Some(limit) = flow.rate_limit {
        put("rate_limit", rate_limit(limit));
    }
    if let Some(given) = flow.batch {
        put("batch", batch(given));
    }
    if let Some(order_by) = &flow.order_by {
        put("order_by", json!(order_by));
    }
    if !flow.order_on_dead.is_release() {
        put("order_on_dead", json!(flow.order_on_dead));
    }
    if flow.connect_timeout_secs.is_some() {
        put(
            "connect_timeout",
            json!(duration::format(integration.connect_timeout())),
        );
    }
    if integration.status != Status::Active {
        put("enabled", json!(false));
    }
    map.into()
}

/// Config and credentials with masks in the place of secrets. What cannot be opened is one mask.
fn masked(integration: &Integration, keyring: &Keyring) -> (Value, Value) {
    let public = integration.config.value().unwrap_or_else(|_| empty());
    match (
        sealing::open(keyring, integration),
        signalbox_providers::find(integration.provider.as_str()),
    ) {
        (Ok(secrets), Some(entry)) => (
            entry.mask(&entry.join_secrets(public, secrets.config)),
            entry.mask_credentials(&secrets.credentials),
        ),
        _ => (public, json!(MASK)),
    }
}

/// A limit as it is written; without any it is the word `none`.
fn rate_limit(limit: RateLimit) -> Value {
    if limit.is_none() { json!("none") } else { json!(limit) }
}

fn batch(batch: Batch) -> Value {
    json!({
        "window": duration::format(Duration::from_secs(batch.window_secs.into())),
        "events_max": batch.events_max,
    })
}

fn spans(secs: &[u32]) -> Vec<String> {
    secs.iter()
        .map(|secs| duration::format(Duration::from_secs((*secs).into())))
        .collect()
}

/// An accepted event.
pub(crate) fn accepted(accepted: &Accepted) -> Value {
    event(&accepted.event, accepted.time())
}

fn event(event: &Event, time: Timestamp) -> Value {
    json!({
        "id": event.id,
        "org": event.org,
        "type": event.event_type,
        "source": event.source,
        "subject": event.subject,
        "time": time,
        "agent_id": event.agent_id,
        "execution_id": event.execution_id,
        "severity": event.severity,
        "datacontenttype": event.datacontenttype,
        // Only JSON is ever accepted; a newer version's form is shown as nothing.
        "data": event.data.value().unwrap_or_default(),
        "metadata": event.metadata,
    })
}

/// A dead letter with what was done to it since.
pub(crate) fn dead_letter(
    seq: u64,
    letter: &DeadLetter,
    replayed_at: Option<Timestamp>,
    discarded_at: Option<Timestamp>,
) -> Value {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let delivery = letter.delivery.as_deref();
    let attempts: Vec<Value> = delivery
        .into_iter()
        .flat_map(|delivery| &delivery.notes)
        .map(note)
        .collect();
    json!({
        "id": signalbox_broker::browse::dead_letter_id(seq),
        "stage": letter.stage,
        "reason": letter.reason,
        "message": letter.message,
        "fingerprint": letter.fingerprint,
        "org": letter.org,
        "provider": delivery.map(|delivery| &delivery.provider),
        "integration_id": delivery.map(|delivery| &delivery.integration),
        "event": delivery.and_then(|delivery| delivery.events.first()).map(accepted),
        "event_ids": delivery.filter(|delivery| delivery.is_digest()).map(members),
        "input_base64": letter.input.as_ref().map(|input| STANDARD.encode(&input.body)),
        "delivery_id": delivery.map(|delivery| &delivery.id),
        "attempts": attempts,
        "first_at": letter.first_at,
        "last_at": letter.last_at,
        "replayed_at": replayed_at,
        "discarded_at": discarded_at,
    })
}

/// One attempt of a dead letter or of a delivery that waits.
pub(crate) fn note(note: &Note) -> Value {
    json!({
        "at": note.at,
        "outcome": note.outcome,
        "response_code": note.response_code,
        "error_message": note.error_message,
    })
}

/// The ids of the events of a digest.
fn members(delivery: &Delivery) -> Vec<&str> {
    let ids = delivery.events.iter().map(|accepted| accepted.event.id.as_str());
    ids.collect()
}
