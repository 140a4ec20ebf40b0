//! What happened, as accepted.

pub mod attributes;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{EventType, Name, Severity, Timestamp, hash, types::Look};

/// Largest event, in bytes of its MessagePack form, unless `ingest.event_bytes_max` says less.
pub const BYTES_MAX: usize = 256 * 1024;
/// Deepest nesting of an event's data, in levels: half of what parsers of JSON take, because answers
/// and payloads wrap the data in further levels.
pub const DEPTH_MAX: usize = 64;

/// A JSON text kept as the bytes it arrived in. MessagePack carries it as binary, JSON as itself.
///
/// Two are equal where their bytes are; nothing given equals `null`, as it is written.
#[derive(Clone, Default)]
pub struct RawJson(Bytes);

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for RawJson {}

impl RawJson {
    /// Takes bytes that the caller has checked to be one JSON value in UTF-8.
    pub fn from_checked(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Writes a value.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        Ok(Self(serde_json::to_vec(value)?.into()))
    }

    /// The JSON text; `null` where nothing was given.
    pub fn as_bytes(&self) -> &[u8] {
        if self.0.is_empty() { b"null" } else { &self.0 }
    }

    /// Reads the text as a value.
    pub fn value(&self) -> Result<serde_json::Value, serde_json::Error> {
        serde_json::from_slice(self.as_bytes())
    }
}

impl std::fmt::Debug for RawJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            let raw: &serde_json::value::RawValue =
                serde_json::from_slice(self.as_bytes()).map_err(serde::ser::Error::custom)?;
            raw.serialize(serializer)
        } else {
            serializer.serialize_bytes(self.as_bytes())
        }
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let raw = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
            Ok(Self(Bytes::from(String::from(Box::<str>::from(raw)))))
        } else {
            serde_bytes::ByteBuf::deserialize(deserializer).map(|bytes| Self(bytes.into_vec().into()))
        }
    }
}

/// A CloudEvents 1.0 event; `org`, `agent_id`, `execution_id` and `severity` are extensions of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// 1–128 visible ASCII characters, unique in its org and source.
    pub id: String,
    /// The tenant; the subject's (NATS) or the key's (HTTP).
    pub org: Name,
    /// Dotted tokens.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// A URI reference; `/<org>` where none is given.
    pub source: String,
    /// What the event is about, if said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it happened, by its producer; the time of acceptance where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// The agent that it concerns, if said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The execution that it concerns, if said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<String>,
    /// The event's own, else its type's, else `low`.
    #[serde(default)]
    pub severity: Severity,
    /// Whether the event itself named its severity.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub severity_named: bool,
    /// JSON. Text of another content type is a JSON string, binary data a base64 string.
    #[serde(default)]
    pub data: RawJson,
    /// The content type of data that is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    /// Whether `data` is the base64 string of binary data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub data_base64: bool,
    /// How the event's registered type looks; `None` for a type that its org did not register.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<Look>,
    /// Further attributes of the producer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl Event {
    /// The identity of the event, (org, source, id), hashed: its message id in EVENTS.
    pub fn key(&self) -> String {
        key(&self.org, &self.source, &self.id)
    }

    /// The source of an event that names none.
    pub fn default_source(org: &Name) -> String {
        format!("/{org}")
    }
}

/// The identity of an event, hashed: see [`Event::key`].
pub fn key(org: &Name, source: &str, id: &str) -> String {
    hash::parts([org.as_str().as_bytes(), source.as_bytes(), id.as_bytes()])
}

/// An event with its place in EVENTS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The event.
    pub event: Event,
    /// Its sequence in EVENTS.
    pub seq: u64,
    /// When EVENTS stored it, by the server's clock.
    pub at: Timestamp,
}

impl Accepted {
    /// The producer's time, else that of acceptance.
    pub fn time(&self) -> Timestamp {
        self.event.time.unwrap_or(self.at)
    }
}

#[cfg(test)]
mod tests;
