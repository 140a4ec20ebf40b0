//! Events as answers show them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use signalbox_proto::{Accepted, EventType, Name, Severity, Timestamp};
use utoipa::ToSchema;

use crate::schema;

/// An accepted event.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Event {
    pub(crate) id: String,
    #[schema(value_type = schema::Name)]
    pub(crate) org: Name,
    #[serde(rename = "type")]
    #[schema(value_type = schema::EventTypeName)]
    pub(crate) event_type: EventType,
    /// With `id` and `org` its identity
    pub(crate) source: String,
    pub(crate) subject: Option<String>,
    /// When it happened; its acceptance where it did not say
    #[schema(value_type = schema::Time)]
    pub(crate) time: Timestamp,
    pub(crate) agent_id: Option<String>,
    pub(crate) execution_id: Option<String>,
    #[schema(value_type = schema::Severity)]
    pub(crate) severity: Severity,
    pub(crate) datacontenttype: Option<String>,
    #[schema(value_type = schema::Anything)]
    pub(crate) data: Value,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// An accepted event.
pub(crate) fn accepted(accepted: &Accepted) -> Event {
    let event = &accepted.event;
    Event {
        id: event.id.clone(),
        org: event.org.clone(),
        event_type: event.event_type.clone(),
        source: event.source.clone(),
        subject: event.subject.clone(),
        time: accepted.time(),
        agent_id: event.agent_id.clone(),
        execution_id: event.execution_id.clone(),
        severity: event.severity,
        datacontenttype: event.datacontenttype.clone(),
        // Only JSON is ever accepted; a newer version's form is shown as nothing.
        data: event.data.value().unwrap_or_default(),
        metadata: event.metadata.clone(),
    }
}

/// The same as JSON, for what looks into it.
pub(crate) fn accepted_value(event: &Accepted) -> Value {
    serde_json::to_value(accepted(event)).expect("texts, times and JSON are always written")
}
