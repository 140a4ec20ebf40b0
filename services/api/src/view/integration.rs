//! Integrations as answers and files show them, secrets masked.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use signalbox_proto::{
    Integration as Proto, Name, Phase, State, Timestamp,
    integration::{self as proto, Filter, OrderOnDead, RateLimit, Status, Template},
};
use signalbox_providers::MASK;
use signalbox_runtime::{Keyring, duration};
use signalbox_store::integrations::Stored;
use utoipa::ToSchema;

use crate::{
    schema,
    sealing::{self, empty},
};

/// One configured target of one org.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Integration {
    pub(crate) id: String,
    #[schema(value_type = schema::Name)]
    pub(crate) org: Name,
    /// Unique in its org
    #[schema(value_type = schema::Name)]
    pub(crate) name: Name,
    /// What sort of target its provider is; null where this version does not know the provider
    #[serde(rename = "type")]
    #[schema(value_type = Option<schema::ProviderType>)]
    pub(crate) kind: Option<&'static str>,
    #[schema(value_type = schema::Name)]
    pub(crate) provider: Name,
    #[schema(value_type = schema::IntegrationStatus)]
    pub(crate) status: &'static str,
    /// Why it is in `error`, or why its last test failed
    pub(crate) error_message: Option<String>,
    /// Patterns of the event types that it wants
    pub(crate) events: Vec<String>,
    #[schema(value_type = schema::FilterShown)]
    pub(crate) filter: Filter,
    /// The provider's fields, secret ones masked
    #[schema(value_type = schema::Fields)]
    pub(crate) config: Value,
    #[schema(value_type = schema::MaskedCredentials)]
    pub(crate) credentials: Value,
    #[schema(value_type = schema::RateLimitShown)]
    pub(crate) rate_limit: Value,
    pub(crate) batch: Option<Batch>,
    /// Deliveries for which this has the same value go one after another
    pub(crate) order_by: Option<String>,
    #[schema(value_type = schema::OrderOnDeadWord)]
    pub(crate) order_on_dead: OrderOnDead,
    pub(crate) retry: Retry,
    #[schema(value_type = schema::Span)]
    pub(crate) expire_after: String,
    #[schema(value_type = schema::Span)]
    pub(crate) timeout: String,
    #[schema(value_type = schema::Span)]
    pub(crate) connect_timeout: String,
    #[schema(value_type = Option<schema::TemplateShown>)]
    pub(crate) template: Option<Template>,
    /// Between two checks whether its target takes us
    #[schema(value_type = Option<schema::Span>)]
    pub(crate) health_check: Option<String>,
    /// One more at each change
    pub(crate) revision: u64,
    #[schema(value_type = schema::Time)]
    pub(crate) created_at: Timestamp,
    #[schema(value_type = schema::Time)]
    pub(crate) updated_at: Timestamp,
    #[schema(value_type = Option<schema::Time>)]
    pub(crate) last_triggered_at: Option<Timestamp>,
}

/// An integration as a file would say it: what is not set is left out.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = IntegrationInFile)]
pub(crate) struct InFile {
    #[schema(value_type = schema::Name)]
    pub(crate) name: Name,
    #[schema(value_type = schema::Name)]
    pub(crate) org: Name,
    #[schema(value_type = schema::Name)]
    pub(crate) provider: Name,
    #[schema(value_type = schema::Fields)]
    pub(crate) config: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::Fields, required = false)]
    pub(crate) credentials: Option<Value>,
    pub(crate) events: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::FilterShown, required = false)]
    pub(crate) filter: Option<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) retry: Option<Retry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::Span, required = false)]
    pub(crate) expire_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::Span, required = false)]
    pub(crate) timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::TemplateShown, required = false)]
    pub(crate) template: Option<Template>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::RateLimitShown, required = false)]
    pub(crate) rate_limit: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) batch: Option<Batch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) order_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::OrderOnDeadWord, required = false)]
    pub(crate) order_on_dead: Option<OrderOnDead>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::Span, required = false)]
    pub(crate) connect_timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::Span, required = false)]
    pub(crate) health_check: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) enabled: Option<bool>,
}

/// When a digest closes: at the first of these.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Batch {
    /// So long after its first event
    #[schema(value_type = schema::Span)]
    pub(crate) window: String,
    /// With so many events
    pub(crate) events_max: u32,
}

/// When a delivery is tried again.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RetrySchedule)]
pub(crate) struct Retry {
    /// The waits before each further attempt, before jitter
    #[schema(value_type = Vec<schema::Span>)]
    pub(crate) schedule: Vec<String>,
}

/// Every status that an integration which is not deleted can have.
pub(crate) const STATUSES: [&str; 5] = ["pending_setup", "inactive", "active", "paused", "error"];

/// The status of an integration: what its owner set, and whether it is held for a while.
pub(crate) fn status(integration: &Proto, state: &State) -> &'static str {
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
pub(crate) fn kind(integration: &Proto) -> Option<&'static str> {
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
pub(crate) fn integration(stored: &Stored, state: &State, keyring: &Keyring) -> Integration {
    let integration = &stored.integration;
    let (config, credentials) = masked(integration, keyring);
    let error_message = match (integration.status, state.phase) {
        (_, Phase::Suspended) => Some(state.reason.as_str()),
        // Why its last test failed.
        (Status::Active, _) => None,
        _ => stored.error_message.as_deref(),
    };
    Integration {
        id: integration.id.clone(),
        org: integration.org.clone(),
        name: integration.name.clone(),
        kind: kind(integration),
        provider: integration.provider.clone(),
        status: status(integration, state),
        error_message: error_message.map(str::to_owned),
        events: integration.subscription.events.clone(),
        filter: integration.subscription.filter.clone(),
        config,
        credentials,
        rate_limit: rate_limit(signalbox_providers::rate_limit_of(integration)),
        batch: integration.flow.batch.map(batch),
        order_by: integration.flow.order_by.clone(),
        order_on_dead: integration.flow.order_on_dead,
        retry: Retry {
            schedule: spans(integration.schedule()),
        },
        expire_after: duration::format(integration.expire_after()),
        timeout: duration::format(integration.timeout()),
        connect_timeout: duration::format(integration.connect_timeout()),
        template: integration.template.clone(),
        health_check: integration.flow.health_check_secs.map(span_of),
        revision: integration.revision,
        created_at: integration.created_at,
        updated_at: integration.updated_at,
        last_triggered_at: None,
    }
}

/// An integration as a file would say it, secrets masked.
pub(crate) fn spec(integration: &Proto, keyring: &Keyring) -> InFile {
    let (config, credentials) = masked(integration, keyring);
    let flow = &integration.flow;
    let filter = &integration.subscription.filter;
    InFile {
        name: integration.name.clone(),
        org: integration.org.clone(),
        provider: integration.provider.clone(),
        config,
        credentials: Some(credentials).filter(|given| given.as_object().is_some_and(|map| !map.is_empty())),
        events: integration.subscription.events.clone(),
        filter: (*filter != Filter::default()).then(|| filter.clone()),
        retry: integration
            .schedule_secs
            .as_deref()
            .map(|secs| Retry { schedule: spans(secs) }),
        expire_after: integration
            .expire_after_secs
            .map(|_| duration::format(integration.expire_after())),
        timeout: integration
            .timeout_secs
            .map(|_| duration::format(integration.timeout())),
        template: integration.template.clone(),
        rate_limit: flow.rate_limit.map(rate_limit),
        batch: flow.batch.map(batch),
        order_by: flow.order_by.clone(),
        order_on_dead: (!flow.order_on_dead.is_release()).then_some(flow.order_on_dead),
        connect_timeout: flow
            .connect_timeout_secs
            .map(|_| duration::format(integration.connect_timeout())),
        health_check: flow.health_check_secs.map(span_of),
        enabled: (integration.status != Status::Active).then_some(false),
    }
}

/// Config and credentials with masks in the place of secrets. What cannot be opened is one mask.
fn masked(integration: &Proto, keyring: &Keyring) -> (Value, Value) {
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
pub(crate) fn rate_limit(limit: RateLimit) -> Value {
    if limit.is_none() { json!("none") } else { json!(limit) }
}

pub(crate) fn batch(given: proto::Batch) -> Batch {
    Batch {
        window: duration::format(Duration::from_secs(given.window_secs.into())),
        events_max: given.events_max,
    }
}

pub(crate) fn spans(secs: &[u32]) -> Vec<String> {
    secs.iter().copied().map(span_of).collect()
}

/// So many seconds as they are written.
pub(crate) fn span_of(secs: u32) -> String {
    duration::format(Duration::from_secs(secs.into()))
}
