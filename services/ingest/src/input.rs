//! From what a producer sent to an event, or to the reason why it is none.
//!
//! Pure: subject, headers and bytes in, an event or a [`Rejection`] out. The transports (NATS and
//! HTTP) differ only in where the org and the type come from.

use std::collections::BTreeMap;

use bytes::Bytes;
use signalbox_proto::{
    Event, EventType, Name, RawJson, Severity, Timestamp,
    event::attributes::{InvalidAttribute, TRACE},
    names, relay,
    time::InvalidTime,
    types,
};

use crate::{
    batch, cloudevents,
    facts::{self, Facts},
    msgpack::is_msgpack,
};

/// Characters that are shown of what a producer wrote, when a rejection quotes it.
const QUOTED_CHARS_MAX: usize = 64;
/// Characters that are shown of the name of a field, which may be a way into the data.
const FIELD_CHARS_MAX: usize = 256;

/// Why an input is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The field at fault, if one is.
    pub field: Option<String>,
    /// What is wrong and what would be right.
    pub message: String,
    /// What kind of wrong.
    pub kind: Wrong,
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{field}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Rejection {}

/// Kinds of wrong input; HTTP answers each with a status of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Not readable at all.
    Malformed,
    /// Readable, but not an event.
    Invalid,
    /// Too large.
    TooLarge,
    /// A content type that is not taken.
    Unsupported,
    /// Another org than the subject's or the key's.
    ForeignOrg,
}

impl Rejection {
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self {
            field: None,
            message: message.into(),
            kind: Wrong::Malformed,
        }
    }

    /// `field` may be a producer's own name for it, and is cut.
    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self {
            field: Some(cut(field, FIELD_CHARS_MAX)),
            message: message.into(),
            kind: Wrong::Invalid,
        }
    }

    pub(crate) fn unsupported(content_type: &str) -> Self {
        Self {
            field: Some("content-type".into()),
            message: format!(
                "content type {:?} is not taken; send application/json, application/msgpack, \
                 application/cloudevents+json, application/cloudevents-batch+json, or any type in CloudEvents binary mode",
                quoted(content_type)
            ),
            kind: Wrong::Unsupported,
        }
    }

    /// Too large, with the bound.
    pub fn too_large(bytes: usize, bytes_max: usize) -> Self {
        Self {
            field: None,
            message: format!("the event has {bytes} bytes, more than {bytes_max}"),
            kind: Wrong::TooLarge,
        }
    }
}

/// An event on its way: attributes as they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    pub(crate) id: Option<String>,
    pub(crate) org: Option<String>,
    pub(crate) event_type: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) time: Option<String>,
    pub(crate) agent_id: Option<String>,
    pub(crate) execution_id: Option<String>,
    pub(crate) severity: Option<String>,
    pub(crate) datacontenttype: Option<String>,
    pub(crate) data_base64: bool,
    pub(crate) data: Bytes,
    pub(crate) metadata: BTreeMap<String, String>,
    /// What a walk over `data` found, where one was made already.
    pub(crate) facts: Option<Facts>,
}

/// The headers of an input, by lower-case name.
pub trait Headers {
    /// The value of a header.
    fn get(&self, name: &str) -> Option<&str>;
    /// All headers, names in lower case.
    fn all(&self) -> Vec<(String, String)>;
}

/// An input that came over NATS.
#[derive(Debug)]
pub struct Message {
    /// The tenant, by the subject.
    pub org: Name,
    /// The type, by the subject.
    pub event_type: EventType,
    /// What it holds.
    pub body: Body,
}

/// What an input over NATS holds.
#[expect(clippy::large_enum_variant, reason = "nearly all are events, and none is kept")]
#[derive(Debug)]
pub enum Body {
    /// One event.
    Event(Draft),
    /// Events in structured mode, as they were written: [`read_element`] reads each.
    Batch(Vec<Bytes>),
}

/// Reads an input that came over NATS. `subject` is what its producer wrote.
pub fn read_message(subject: &str, headers: &dyn Headers, body: Bytes) -> Result<Message, Rejection> {
    let (org, event_type) = signalbox_proto::subjects::read_input(subject)
        .map_err(|error| Rejection::invalid("subject", error.to_string()))?;
    if let Some(coding) = headers.get(CONTENT_ENCODING) {
        check_coding(CONTENT_ENCODING, coding)?;
    }
    let content_type = headers.get("content-type").unwrap_or("application/json");
    let media = media_type(content_type);
    let body = match media.as_str() {
        "application/cloudevents-batch+json" => Body::Batch(batch::split(&body)?),
        "application/cloudevents+json" => {
            let mut draft = cloudevents::structured(&body)?;
            cloudevents::attributes_of_headers(&mut draft, headers)?;
            Body::Event(draft)
        }
        media => Body::Event(read_data(content_type, media, headers, body)?),
    };
    Ok(Message { org, event_type, body })
}

/// Reads an event whose attributes are headers and whose data is the body.
fn read_data(content_type: &str, media: &str, headers: &dyn Headers, body: Bytes) -> Result<Draft, Rejection> {
    // Asked for where it matters: plain JSON objects, which nearly all inputs are, need no further look.
    let is_binary_mode = || headers.get("ce-specversion").is_some();
    if !is_json(media) && !is_msgpack(media) && !is_binary_mode() {
        return Err(Rejection::unsupported(content_type));
    }
    let mut draft = Draft::default();
    cloudevents::attributes_of_headers(&mut draft, headers)?;
    if is_json(media) {
        if !(body.is_empty() && is_binary_mode()) {
            draft.facts = Some(facts::read(&body)?);
            draft.data = body;
        }
    } else {
        cloudevents::foreign_data(&mut draft, content_type, body)?;
    }
    if !draft.facts.as_ref().is_some_and(|facts| facts.is_object) && !is_binary_mode() {
        return Err(Rejection::invalid(
            "data",
            "the body must be an object: the event's data; a list of events is a CloudEvents batch \
             (application/cloudevents-batch+json)",
        ));
    }
    if draft.id.is_none() {
        draft.id = headers.get("nats-msg-id").map(str::to_owned);
    }
    Ok(draft)
}

/// Reads one event of a batch that came over NATS. Attributes in headers hold for all of its events, but an id can
/// be that of one alone.
pub fn read_element(headers: &dyn Headers, element: &Bytes) -> Result<Draft, Rejection> {
    let mut draft = cloudevents::structured(element)?;
    let own = (draft.id.take(), trace_of(&draft));
    cloudevents::attributes_of_headers(&mut draft, headers)?;
    let (id, trace) = own;
    draft.id = id;
    draft.metadata.extend(trace);
    Ok(draft)
}

/// The event's own trace context.
fn trace_of(draft: &Draft) -> Vec<(String, String)> {
    TRACE
        .iter()
        .filter_map(|name| draft.metadata.get_key_value(*name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

impl Draft {
    /// Completes the event. `org` and `event_type` are the truth, where known; `fallback_id` is
    /// asked for an id where the producer gave none.
    pub fn finish(
        self,
        org: &Name,
        event_type: Option<&EventType>,
        fallback_id: impl FnOnce() -> String,
    ) -> Result<Event, Rejection> {
        if let Some(given) = &self.org
            && given != org.as_str()
        {
            return Err(Rejection {
                field: Some("org".into()),
                message: format!(
                    "the event names org {:?}, but it came in for org \"{org}\"",
                    quoted(given)
                ),
                kind: Wrong::ForeignOrg,
            });
        }
        let event_type = match (&self.event_type, event_type) {
            (Some(given), Some(truth)) if given != truth.as_str() => {
                return Err(Rejection::invalid(
                    "type",
                    format!(
                        "the event is of type {:?}, but its subject says \"{truth}\"",
                        quoted(given)
                    ),
                ));
            }
            (_, Some(truth)) => truth.clone(),
            (Some(given), None) => given
                .parse()
                .map_err(|error: names::InvalidName| Rejection::invalid("type", error.to_string()))?,
            (None, None) => {
                return Err(Rejection::invalid(
                    "type",
                    "an event needs a type, such as \"execution.failed\"",
                ));
            }
        };
        let id = self.id.unwrap_or_else(fallback_id);
        names::check_event_id(&id).map_err(|error| Rejection::invalid("id", error.to_string()))?;
        let time = self
            .time
            .map(|text| text.parse::<Timestamp>())
            .transpose()
            .map_err(|InvalidTime(text)| Rejection::invalid("time", InvalidTime(quoted(&text)).to_string()))?;
        let source = self.source.unwrap_or_else(|| Event::default_source(org));
        let facts = match self.facts {
            Some(facts) => facts,
            None if self.data.is_empty() => Facts::default(),
            None => facts::read(&self.data)?,
        };
        let agent_id = self.agent_id.or(facts.agent_id);
        let execution_id = self.execution_id.or(facts.execution_id);
        let own = self.severity.or(facts.severity);
        let read = own.as_deref().and_then(Severity::read);
        let mut event = Event {
            look: None,
            id,
            org: org.clone(),
            severity: read.unwrap_or_else(|| types::default_severity(event_type.as_str())),
            severity_named: read.is_some(),
            event_type,
            source,
            subject: self.subject,
            time,
            agent_id,
            execution_id,
            data: RawJson::from_checked(if self.data.is_empty() {
                Bytes::from_static(b"null")
            } else {
                self.data
            }),
            datacontenttype: self.datacontenttype,
            data_base64: self.data_base64,
            metadata: self.metadata,
        };
        event.check_attributes()?;
        if let (Some(text), None) = (&own, read) {
            event.metadata.insert(
                "severity_given".into(),
                text.chars().filter(|c| !c.is_control()).take(128).collect(),
            );
        }
        Ok(event)
    }
}

impl From<InvalidAttribute> for Rejection {
    fn from(wrong: InvalidAttribute) -> Self {
        let field = match wrong.name.as_deref() {
            None => wrong.field.to_owned(),
            // It came as a header of that name.
            Some(relay::HOPS) => relay::HOPS.to_owned(),
            Some(name) => format!("{}.{name}", wrong.field),
        };
        Self::invalid(&field, wrong.message)
    }
}

/// The beginning of what a producer wrote, to be shown in a rejection.
pub(crate) fn quoted(text: &str) -> String {
    cut(text, QUOTED_CHARS_MAX)
}

fn cut(text: &str, chars_max: usize) -> String {
    let mut rest = text.chars();
    let head: String = rest.by_ref().take(chars_max).collect();
    if rest.next().is_some() { head + "…" } else { head }
}

/// The header that says how a body is packed.
pub(crate) const CONTENT_ENCODING: &str = "content-encoding";

/// Refuses a body that is packed: read as it is, it would be nonsense, or data that nobody can tell from nonsense.
pub(crate) fn check_coding(header: &str, codings: &str) -> Result<(), Rejection> {
    let is_plain = |coding: &str| {
        let coding = coding.trim().to_ascii_lowercase();
        matches!(coding.as_str(), "" | "identity") || (header == "transfer-encoding" && coding == "chunked")
    };
    if codings.split(',').all(is_plain) {
        return Ok(());
    }
    Err(Rejection {
        field: Some(header.to_owned()),
        message: format!("{:?} is not taken; send the body unpacked", quoted(codings)),
        kind: Wrong::Unsupported,
    })
}

/// The media type of a content type, without parameters, in lower case.
pub(crate) fn media_type(content_type: &str) -> String {
    content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// Whether data of a media type is JSON.
pub(crate) fn is_json(media: &str) -> bool {
    media.is_empty() || media == "application/json" || media == "text/json" || media.ends_with("+json")
}

#[cfg(test)]
mod tests;
