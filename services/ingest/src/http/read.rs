//! The body of a request, read into drafts of events.
//!
//! Forms are told apart by content type and, for binary mode, by `ce-specversion`.

use std::borrow::Cow;

use axum::http::HeaderMap;
use bytes::Bytes;
use signalbox_proto::event::attributes::TRACE;

use crate::{
    batch, cloudevents,
    input::{CONTENT_ENCODING, Draft, Headers, Rejection, check_coding, is_json, media_type},
    msgpack::{self, is_msgpack},
    plain,
};

/// What a request holds.
pub(super) struct Inputs {
    pub(super) drafts: Vec<Result<Draft, Rejection>>,
    /// Whether it holds a list, if only of one.
    pub(super) is_list: bool,
}

impl Headers for HeaderMap {
    fn get(&self, name: &str) -> Option<&str> {
        HeaderMap::get(self, name).and_then(|value| value.to_str().ok())
    }

    fn all(&self) -> Vec<(String, String)> {
        self.iter()
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect()
    }
}

/// How a body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Attributes in headers, the body is the data.
    Binary,
    /// One CloudEvent.
    Structured,
    /// A JSON array of CloudEvents.
    Batch,
    /// An event or an array of them, each in the plain form or a CloudEvent.
    Json,
    /// The same, as MessagePack.
    MessagePack,
}

impl Form {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Rejection> {
        for header in [CONTENT_ENCODING, "transfer-encoding"] {
            for codings in headers.get_all(header) {
                check_coding(header, &String::from_utf8_lossy(codings.as_bytes()))?;
            }
        }
        let content_type = &*content_type(headers);
        let media = media_type(content_type);
        // The content type tells structured mode from binary, as the HTTP binding asks.
        match media.as_str() {
            "application/cloudevents+json" => Ok(Self::Structured),
            "application/cloudevents-batch+json" => Ok(Self::Batch),
            media if media.starts_with("application/cloudevents") => Err(Rejection::unsupported(content_type)),
            _ if HeaderMap::contains_key(headers, "ce-specversion") => Ok(Self::Binary),
            "application/json" | "text/json" => Ok(Self::Json),
            media if is_msgpack(media) => Ok(Self::MessagePack),
            _ => Err(Rejection::unsupported(content_type)),
        }
    }

    /// Whether a body of this form may hold several events.
    pub(super) fn may_be_list(self) -> bool {
        match self {
            Self::Binary | Self::Structured => false,
            Self::Batch | Self::Json | Self::MessagePack => true,
        }
    }
}

/// Reads a body; `event_bytes_max` bounds the JSON of one event that was written otherwise. A rejection is one of the
/// whole body; what is wrong with one event is found in its place.
pub(super) fn inputs(
    form: Form,
    headers: &HeaderMap,
    body: Bytes,
    event_bytes_max: usize,
) -> Result<Inputs, Rejection> {
    let mut inputs = match form {
        Form::Binary => return binary(headers, body).map(Inputs::one),
        Form::Structured => cloudevents::structured(&body).map(Inputs::one)?,
        Form::Batch => Inputs::list(batch::split(&body)?.iter().map(cloudevents::structured)),
        Form::Json if body.trim_ascii_start().starts_with(b"[") => {
            Inputs::list(batch::split(&body)?.iter().map(plain::read))
        }
        Form::Json => plain::read(&body).map(Inputs::one)?,
        Form::MessagePack => match msgpack::read(&body, event_bytes_max)? {
            msgpack::Body::One(json) => plain::read(&json).map(Inputs::one)?,
            msgpack::Body::List(elements) => {
                let read = |json: Result<Bytes, Rejection>| json.and_then(|json| plain::read(&json));
                Inputs::list(elements.into_iter().map(read))
            }
        },
    };
    add_trace(headers, &mut inputs);
    Ok(inputs)
}

impl Inputs {
    fn one(draft: Draft) -> Self {
        Self {
            drafts: vec![Ok(draft)],
            is_list: false,
        }
    }

    fn list(drafts: impl Iterator<Item = Result<Draft, Rejection>>) -> Self {
        Self {
            drafts: drafts.collect(),
            is_list: true,
        }
    }
}

fn content_type(headers: &HeaderMap) -> Cow<'_, str> {
    match HeaderMap::get(headers, "content-type") {
        Some(value) => String::from_utf8_lossy(value.as_bytes()),
        None => Cow::Borrowed("application/json"),
    }
}

/// An event in binary mode.
fn binary(headers: &HeaderMap, body: Bytes) -> Result<Draft, Rejection> {
    let mut draft = Draft::default();
    cloudevents::attributes_of_headers(&mut draft, headers)?;
    for (name, missing) in [
        ("ce-id", draft.id.is_none()),
        ("ce-source", draft.source.is_none()),
        ("ce-type", draft.event_type.is_none()),
    ] {
        if missing {
            return Err(Rejection::invalid(
                name,
                format!("a CloudEvent in binary mode needs the header \"{name}\""),
            ));
        }
    }
    let content_type = content_type(headers);
    if !(body.is_empty() && is_json(&media_type(&content_type))) {
        cloudevents::foreign_data(&mut draft, &content_type, body)?;
    }
    Ok(draft)
}

/// The trace context of the request is that of its event; in a list, of those events that have none of their own.
fn add_trace(headers: &HeaderMap, inputs: &mut Inputs) {
    for name in TRACE {
        let Some(value) = Headers::get(headers, name) else {
            continue;
        };
        for draft in inputs.drafts.iter_mut().flatten() {
            if !inputs.is_list || !draft.metadata.contains_key(name) {
                draft.metadata.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests;
