//! The plain form of an event over HTTP, a JSON object.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{
    cloudevents::{self, Fields},
    facts,
    input::{Draft, Rejection},
};

/// The fields of the plain form, for the error that names them.
const FIELDS: &str =
    "type, data, id, source, subject, time, agent_id, execution_id, severity, metadata, org (and event_type, payload)";

/// Reads `{"type": …, "data": …, …}`. An object with a `specversion` is a CloudEvent.
pub(crate) fn read(body: &Bytes) -> Result<Draft, Rejection> {
    facts::check_envelope(body)?;
    let fields: Fields<'_> =
        serde_json::from_slice(body).map_err(|_| Rejection::malformed("an event is one JSON object"))?;
    if fields.contains_key("specversion") {
        return cloudevents::structured_of(body, &fields);
    }
    let mut draft = Draft::default();
    for (name, value) in &fields {
        match name.as_ref() {
            "type" | "event_type" => once(name, &mut draft.event_type, value)?,
            "id" => once(name, &mut draft.id, value)?,
            "org" => once(name, &mut draft.org, value)?,
            "source" => once(name, &mut draft.source, value)?,
            "subject" => once(name, &mut draft.subject, value)?,
            "time" => once(name, &mut draft.time, value)?,
            "agent_id" => once(name, &mut draft.agent_id, value)?,
            "execution_id" => once(name, &mut draft.execution_id, value)?,
            // A severity of any form never rejects an event: what is no text is kept as it is written.
            "severity" => match serde_json::from_str::<serde_json::Value>(value.get()) {
                Ok(serde_json::Value::String(_) | serde_json::Value::Null) | Err(_) => {
                    once(name, &mut draft.severity, value)?
                }
                Ok(other) => draft.severity = Some(other.to_string()),
            },
            "data" | "payload" => {
                if !draft.data.is_empty() {
                    return Err(Rejection::invalid(name, "give data or payload, not both"));
                }
                draft.data = body.slice_ref(value.get().as_bytes());
            }
            "metadata" => {
                draft.metadata = serde_json::from_str::<Option<BTreeMap<String, String>>>(value.get())
                    .map_err(|_| Rejection::invalid("metadata", "must be an object of strings"))?
                    .unwrap_or_default();
            }
            other => {
                return Err(Rejection::invalid(
                    other,
                    format!("an event has no such field; it may have {FIELDS}"),
                ));
            }
        }
    }
    Ok(draft)
}

fn once(name: &str, slot: &mut Option<String>, value: &RawValue) -> Result<(), Rejection> {
    let text = serde_json::from_str::<Option<String>>(value.get())
        .map_err(|_| Rejection::invalid(name, "must be a string"))?;
    if slot.is_some() {
        return Err(Rejection::invalid(name, "the same field is given under two names"));
    }
    *slot = text;
    Ok(())
}
