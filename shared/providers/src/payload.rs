//! The forms in which machines get events: one event, or a digest of several, as a receiver asks for it.
//!
//! What people read is [`crate::display`]. The forms are described in the README of [`crate::webhook`].
//!
//! The event's data is copied as the bytes it was published in; only `flat`, which takes it apart,
//! and binary CloudEvents of other content types read it.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use ::http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use signalbox_proto::{Accepted, Delivery, Event, Severity, Timestamp, digest};
use url::Url;

/// Trace context: metadata in the event, headers in the request.
pub(crate) const TRACE: [&str; 2] = ["traceparent", "tracestate"];
const JSON: &str = "application/json";
/// Longest name of an attribute of a CloudEvent, in characters.
const ATTRIBUTE_CHARS_MAX: usize = 20;
/// Names of attributes that metadata cannot take.
const ATTRIBUTES: [&str; 13] = [
    "agentid",
    "data",
    "datacontenttype",
    "dataschema",
    "executionid",
    "id",
    "org",
    "severity",
    "source",
    "specversion",
    "subject",
    "time",
    "type",
];
/// What a header of a CloudEvent cannot carry as it is, besides all that is not ASCII.
const CE_VALUE: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The form of the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Payload {
    /// `{id, type, timestamp, data, metadata}`.
    #[default]
    Standard,
    /// `{event_type, timestamp, data, metadata: {agent_id, execution_id}}`.
    Envelope,
    /// `{event, timestamp, …data}`.
    Flat,
    /// A structured CloudEvent.
    Cloudevents,
    /// A CloudEvent whose attributes are headers.
    CloudeventsBinary,
}

/// One event or a digest, as the forms see it.
pub(crate) struct Message<'a> {
    pub(crate) id: &'a str,
    pub(crate) org: &'a str,
    pub(crate) event_type: &'a str,
    source: Cow<'a, str>,
    subject: Option<&'a str>,
    time: Timestamp,
    agent_id: Option<&'a str>,
    execution_id: Option<&'a str>,
    pub(crate) severity: Severity,
    data: Cow<'a, [u8]>,
    /// The content type of data that is not JSON.
    datacontenttype: Option<&'a str>,
    data_base64: bool,
    pub(crate) metadata: Cow<'a, BTreeMap<String, String>>,
}

impl<'a> Message<'a> {
    pub(crate) fn of(delivery: &'a Delivery) -> Self {
        if delivery.is_digest() {
            Self::digest(delivery)
        } else {
            Self::single(delivery.event())
        }
    }

    /// One event, of a digest too.
    pub(crate) fn single(accepted: &'a Accepted) -> Self {
        let event = &accepted.event;
        Self {
            id: &event.id,
            org: event.org.as_str(),
            event_type: event.event_type.as_str(),
            source: Cow::Borrowed(&event.source),
            subject: event.subject.as_deref().filter(|subject| !subject.is_empty()),
            time: accepted.time(),
            agent_id: event.agent_id.as_deref(),
            execution_id: event.execution_id.as_deref(),
            severity: event.severity,
            data: Cow::Borrowed(event.data.as_bytes()),
            datacontenttype: event.datacontenttype.as_deref(),
            data_base64: event.data_base64,
            metadata: Cow::Borrowed(&event.metadata),
        }
    }

    fn digest(delivery: &'a Delivery) -> Self {
        let events = &delivery.events;
        let room = events
            .iter()
            .map(|accepted| accepted.event.data.as_bytes().len() + 192)
            .sum();
        let mut out = Json::with_capacity(room);
        out.raw(b"{\"batch\":true,\"event_count\":")
            .display(events.len())
            .raw(b",\"events\":[");
        for (index, accepted) in events.iter().enumerate() {
            let event = &accepted.event;
            out.raw(if index == 0 { b"" } else { b"," });
            out.raw(b"{\"id\":")
                .text(&event.id)
                .raw(b",\"type\":")
                .text(event.event_type.as_str());
            out.raw(b",\"timestamp\":\"")
                .display(accepted.time())
                .raw(b"\",\"data\":")
                .raw(event.data.as_bytes());
            out.raw(b"}");
        }
        out.raw(b"]}");
        Self {
            id: &delivery.id,
            org: delivery.org.as_str(),
            event_type: digest::EVENT_TYPE,
            source: Cow::Owned(Event::default_source(&delivery.org)),
            subject: None,
            time: events.iter().map(Accepted::time).max().unwrap_or(delivery.since),
            agent_id: None,
            execution_id: None,
            severity: events
                .iter()
                .map(|accepted| accepted.event.severity)
                .max()
                .unwrap_or_default(),
            data: Cow::Owned(out.0),
            datacontenttype: None,
            data_base64: false,
            metadata: Cow::Owned(BTreeMap::new()),
        }
    }

    /// The attributes of a CloudEvent but for the version and the data's type, in order.
    fn attributes(&self, mut each: impl FnMut(&str, &str)) {
        each("id", self.id);
        each("source", &self.source);
        each("type", self.event_type);
        each("time", &self.time.to_string());
        let optional = [
            ("subject", self.subject),
            ("agentid", self.agent_id),
            ("executionid", self.execution_id),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                each(name, value);
            }
        }
        each("org", self.org);
        each("severity", self.severity.as_str());
        for (name, value) in self.metadata.iter() {
            // A schema of the data comes in with the other attributes that have no field of ours.
            let schema = name == "dataschema" && Url::parse(value).is_ok();
            if schema || is_free_attribute(name) {
                each(name, value);
            }
        }
    }
}

impl Payload {
    /// What `Content-Type` says; `None` where it depends on the event.
    pub(crate) const fn content_type(self) -> Option<&'static str> {
        match self {
            Self::Standard | Self::Envelope | Self::Flat => Some(JSON),
            Self::Cloudevents => Some("application/cloudevents+json; charset=utf-8"),
            Self::CloudeventsBinary => None,
        }
    }

    /// Writes the body; binary CloudEvents write their attributes into the headers.
    pub(crate) fn write(self, message: &Message<'_>, headers: &mut HeaderMap) -> Vec<u8> {
        match self {
            Self::Standard => standard(message),
            Self::Envelope => envelope(message),
            Self::Flat => flat(message),
            Self::Cloudevents => cloudevents(message),
            Self::CloudeventsBinary => cloudevents_binary(message, headers),
        }
    }
}

fn standard(message: &Message<'_>) -> Vec<u8> {
    let mut out = Json::with_capacity(message.data.len() + 256);
    out.raw(b"{\"id\":")
        .text(message.id)
        .raw(b",\"type\":")
        .text(message.event_type);
    out.raw(b",\"timestamp\":\"")
        .display(message.time)
        .raw(b"\",\"data\":")
        .raw(&message.data);
    out.raw(b",\"metadata\":{");
    let metadata = message
        .metadata
        .iter()
        .filter(|(name, _)| !TRACE.contains(&name.as_str()));
    for (index, (name, value)) in metadata.enumerate() {
        out.raw(if index == 0 { b"" } else { b"," })
            .text(name)
            .raw(b":")
            .text(value);
    }
    out.raw(b"}}");
    out.0
}

fn envelope(message: &Message<'_>) -> Vec<u8> {
    let mut out = Json::with_capacity(message.data.len() + 256);
    out.raw(b"{\"event_type\":").text(message.event_type);
    out.raw(b",\"timestamp\":\"")
        .display(message.time)
        .raw(b"\",\"data\":")
        .raw(&message.data);
    out.raw(b",\"metadata\":{\"agent_id\":").optional(message.agent_id);
    out.raw(b",\"execution_id\":").optional(message.execution_id).raw(b"}}");
    out.0
}

fn flat(message: &Message<'_>) -> Vec<u8> {
    let mut out = Json::with_capacity(message.data.len() + 128);
    // The guide's names: implementation_completed.
    out.raw(b"{\"event\":").text(&message.event_type.replace('.', "_"));
    out.raw(b",\"timestamp\":\"").display(message.time).raw(b"\"");
    match serde_json::from_slice::<Members<'_>>(&message.data) {
        Ok(Members(members)) => {
            for (name, value) in members
                .iter()
                .filter(|(name, _)| name != "event" && name != "timestamp")
            {
                out.raw(b",").text(name).raw(b":").raw(value.get().as_bytes());
            }
        }
        Err(_) => {
            out.raw(b",\"data\":").raw(&message.data);
        }
    }
    out.raw(b"}");
    out.0
}

fn cloudevents(message: &Message<'_>) -> Vec<u8> {
    let mut out = Json::with_capacity(message.data.len() + 384);
    out.raw(b"{\"specversion\":\"1.0\"");
    message.attributes(|name, value| {
        out.raw(b",").text(name).raw(b":").text(value);
    });
    out.raw(b",\"datacontenttype\":")
        .text(message.datacontenttype.unwrap_or(JSON));
    // Binary data is kept as the JSON string of its base64, which is what this form asks for.
    out.raw(if message.data_base64 {
        b",\"data_base64\":"
    } else {
        b",\"data\":"
    })
    .raw(&message.data)
    .raw(b"}");
    out.0
}

fn cloudevents_binary(message: &Message<'_>, headers: &mut HeaderMap) -> Vec<u8> {
    headers.insert(
        HeaderName::from_static("ce-specversion"),
        HeaderValue::from_static("1.0"),
    );
    message.attributes(|name, value| {
        let name = HeaderName::try_from(format!("ce-{name}")).expect("names of attributes are lower-case and digits");
        headers.insert(name, ce_value(value));
    });
    let (content_type, body) = plain_data(message);
    headers.insert(CONTENT_TYPE, content_type);
    body
}

/// The data as it was published, with its type. Text of another type is kept as a JSON string,
/// binary data as the string of its base64.
fn plain_data(message: &Message<'_>) -> (HeaderValue, Vec<u8>) {
    let json = || (HeaderValue::from_static(JSON), message.data.to_vec());
    let Some(given) = message.datacontenttype else {
        return json();
    };
    // What does not hold to that was not ours to write: it goes as the JSON that it is.
    let Ok(text) = serde_json::from_slice::<String>(&message.data) else {
        return json();
    };
    let body = if message.data_base64 {
        STANDARD.decode(text).ok()
    } else {
        Some(text.into_bytes())
    };
    match (HeaderValue::from_str(given), body) {
        (Ok(content_type), Some(body)) => (content_type, body),
        _ => json(),
    }
}

fn is_free_attribute(name: &str) -> bool {
    (1..=ATTRIBUTE_CHARS_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        && !ATTRIBUTES.contains(&name)
}

fn ce_value(text: &str) -> HeaderValue {
    let encoded = utf8_percent_encode(text, CE_VALUE).to_string();
    HeaderValue::try_from(encoded).expect("percent-encoding leaves visible ASCII alone")
}

/// A header's value of any text: percent-encoded where it cannot be sent as it is.
pub(crate) fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| ce_value(text))
}

/// JSON, written piece by piece around data that is JSON already.
struct Json(Vec<u8>);

impl Json {
    fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    fn raw(&mut self, json: &[u8]) -> &mut Self {
        self.0.extend_from_slice(json);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        serde_json::to_writer(&mut self.0, text).expect("a string is written to memory");
        self
    }

    fn optional(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(text),
            None => self.raw(b"null"),
        }
    }

    /// What needs no escapes: a number, a time.
    fn display(&mut self, value: impl fmt::Display) -> &mut Self {
        self.0.extend_from_slice(value.to_string().as_bytes());
        self
    }
}

/// The members of an object in their order, values untouched.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

/// A key, borrowed where it holds no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
