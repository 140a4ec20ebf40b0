//! CloudEvents 1.0 in structured and binary mode; a batch is a list of events in structured mode.
//!
//! Source: cloudevents/spec v1.0.2, `spec.md`, `formats/json-format.md`,
//! `bindings/http-protocol-binding.md` (percent-encoding of header values).

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use signalbox_proto::event::{BYTES_MAX, attributes::TRACE};

use crate::{
    facts,
    input::{Draft, Headers, Rejection, is_json, media_type, quoted},
    msgpack::{self, is_msgpack},
};

/// The members of a JSON object.
pub(crate) type Fields<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// Reads an event in structured mode: the whole event is one JSON object.
pub(crate) fn structured(body: &Bytes) -> Result<Draft, Rejection> {
    facts::check_envelope(body)?;
    let fields = serde_json::from_slice(body)
        .map_err(|_| Rejection::malformed("a CloudEvent in structured mode is one JSON object"))?;
    structured_of(body, &fields)
}

/// As [`structured`], of a body that was checked and whose members are known.
pub(crate) fn structured_of(body: &Bytes, fields: &Fields<'_>) -> Result<Draft, Rejection> {
    let mut draft = Draft::default();
    let mut specversion = None;
    let mut data: Option<&RawValue> = None;
    let mut data_base64 = None;
    for (name, value) in fields {
        match name.as_ref() {
            "data" => data = (value.get() != "null").then_some(*value),
            "data_base64" => data_base64 = attribute(name, value)?,
            "specversion" => specversion = attribute(name, value)?,
            _ => {
                if let Some(text) = attribute(name, value)? {
                    set(&mut draft, name, text)?;
                }
            }
        }
    }
    require_version(specversion.as_deref())?;
    for (name, value) in [
        ("id", &draft.id),
        ("source", &draft.source),
        ("type", &draft.event_type),
    ] {
        if value.is_none() {
            return Err(Rejection::invalid(
                name,
                format!("a CloudEvent needs the attribute \"{name}\""),
            ));
        }
    }
    if draft
        .datacontenttype
        .as_deref()
        .is_some_and(|given| is_json(&media_type(given)))
    {
        draft.datacontenttype = None;
    }
    match (data, data_base64) {
        (Some(_), Some(_)) => return Err(Rejection::invalid("data_base64", "give data or data_base64, not both")),
        (Some(json), None) => draft.data = body.slice_ref(json.get().as_bytes()),
        (None, Some(text)) => {
            let bytes = STANDARD
                .decode(&text)
                .map_err(|error| Rejection::invalid("data_base64", format!("not base64: {error}")))?;
            let content_type = draft.datacontenttype.clone();
            match content_type {
                None => {
                    // JSON that was sent as bytes.
                    facts::read(&bytes)?;
                    draft.data = Bytes::from(bytes);
                }
                Some(content_type) => foreign_data(&mut draft, &content_type, Bytes::from(bytes))?,
            }
        }
        (None, None) => {}
    }
    Ok(draft)
}

/// The text of an attribute; `None` for null. Attributes are strings, booleans and integers.
fn attribute(name: &str, value: &RawValue) -> Result<Option<String>, Rejection> {
    match serde_json::from_str::<serde_json::Value>(value.get()) {
        Ok(serde_json::Value::Null) => Ok(None),
        Ok(serde_json::Value::String(text)) => Ok(Some(text)),
        Ok(serde_json::Value::Bool(value)) => Ok(Some(value.to_string())),
        Ok(serde_json::Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(Some(number.to_string())),
        _ => Err(Rejection::invalid(
            name,
            "an attribute is a string, a boolean or an integer",
        )),
    }
}

/// Reads `ce-*` headers, percent-decoded, and trace context. A header wins over what is there.
pub(crate) fn attributes_of_headers(draft: &mut Draft, headers: &dyn Headers) -> Result<(), Rejection> {
    for (name, value) in headers.all() {
        if let Some(attribute) = name.strip_prefix("ce-") {
            let text = percent_decode_str(unquoted(&value))
                .decode_utf8()
                .map_err(|_| Rejection::invalid(&name, "the percent-encoded value is not UTF-8"))?;
            if attribute == "specversion" {
                require_version(Some(&text))?;
            } else {
                set(draft, attribute, text.into_owned())?;
            }
        } else if TRACE.contains(&name.as_str()) {
            draft.metadata.insert(name, value);
        }
    }
    Ok(())
}

/// The HTTP binding of CloudEvents (3.1.3.2) lets senders put a value between double quotes.
fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(value)
}

fn require_version(specversion: Option<&str>) -> Result<(), Rejection> {
    match specversion {
        Some("1.0") => Ok(()),
        Some(other) => Err(Rejection::invalid(
            "specversion",
            format!("{:?} is not supported; send \"1.0\"", quoted(other)),
        )),
        None => Err(Rejection::invalid(
            "specversion",
            "a CloudEvent needs the attribute \"specversion\"",
        )),
    }
}

fn set(draft: &mut Draft, name: &str, text: String) -> Result<(), Rejection> {
    let slot = match name {
        "id" => &mut draft.id,
        "org" => &mut draft.org,
        "type" => &mut draft.event_type,
        "source" => &mut draft.source,
        "subject" => &mut draft.subject,
        "time" => &mut draft.time,
        "agentid" => &mut draft.agent_id,
        "executionid" => &mut draft.execution_id,
        "severity" => &mut draft.severity,
        "datacontenttype" => &mut draft.datacontenttype,
        _ => {
            // Senders of headers use `-` and `_` too; payloads leave out what is no CloudEvents name.
            let valid = !name.is_empty()
                && name.len() <= 64
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
            if !valid {
                return Err(Rejection::invalid(
                    name,
                    "an extension's name has 1 to 64 of a-z, 0-9, _ and -",
                ));
            }
            draft.metadata.insert(name.to_owned(), text);
            return Ok(());
        }
    };
    *slot = Some(text);
    Ok(())
}

/// Data of any content type, as JSON: JSON is kept as it is, MessagePack is written as JSON, other text becomes a
/// JSON string, other bytes a base64 string.
pub(crate) fn foreign_data(draft: &mut Draft, content_type: &str, body: Bytes) -> Result<(), Rejection> {
    let media = media_type(content_type);
    if is_json(&media) {
        draft.facts = Some(facts::read(&body)?);
        draft.data = body;
        return Ok(());
    }
    if is_msgpack(&media) {
        draft.datacontenttype = None;
        draft.data = msgpack::to_json(&body, "data", BYTES_MAX)?;
        draft.facts = Some(facts::read(&draft.data)?);
        return Ok(());
    }
    draft.datacontenttype = Some(content_type.to_owned());
    let text = match std::str::from_utf8(&body) {
        Ok(text) => serde_json::to_vec(text),
        Err(_) => {
            draft.data_base64 = true;
            serde_json::to_vec(&STANDARD.encode(&body))
        }
    };
    draft.data = text.map_err(|error| Rejection::malformed(error.to_string()))?.into();
    Ok(())
}

#[cfg(test)]
mod tests;
