//! A message of INGEST, read into what EVENTS is to store.

use bytes::Bytes;
use signalbox_broker::{Message, Publish, hops::TRACEPARENT};
use signalbox_proto::{Event, EventType, Name, Timestamp, hash, subjects};
use signalbox_runtime::{
    Tracer,
    telemetry::{Attribute, Hop, Kind, TraceContext},
};

use crate::{
    accept::Acceptance,
    input::{self, Body, Draft, Headers, Rejection},
    letter::{self, Original},
    orgs::Orgs,
};

/// Reads messages of one INGEST.
pub(crate) struct Reader {
    pub(crate) acceptance: Acceptance,
    pub(crate) orgs: Orgs,
    pub(crate) tracer: Tracer,
    /// When INGEST was made: tells its sequences from those of a stream made anew.
    pub(crate) incarnation: Timestamp,
}

/// What a message holds.
pub(super) enum Read {
    Event(Name, Publish),
    Batch(Batch),
}

/// Events that came in one message, not read yet.
pub(super) struct Batch {
    pub(super) org: Name,
    pub(super) event_type: EventType,
    pub(super) elements: Vec<Bytes>,
}

impl Batch {
    /// What the dead letter of one event holds of it, about, in bytes.
    pub(super) fn bytes(&self, index: usize) -> usize {
        self.elements.get(index).map_or(0, Bytes::len)
    }
}

/// What the dead letter of a message holds of it, about, in bytes.
pub(super) fn bytes(message: &Message) -> usize {
    let headers = message.headers.iter().flat_map(|headers| headers.iter());
    let headers: usize = headers
        .flat_map(|(name, values)| {
            values
                .iter()
                .map(move |value| AsRef::<str>::as_ref(name).len() + value.as_str().len())
        })
        .sum();
    message.body.len() + headers
}

impl Headers for Message {
    fn get(&self, name: &str) -> Option<&str> {
        // NATS keeps the case of header names; producers write them in any.
        self.headers
            .as_ref()?
            .iter()
            .find(|(header, _)| AsRef::<str>::as_ref(*header).eq_ignore_ascii_case(name))
            .and_then(|(_, values)| values.first())
            .map(AsRef::as_ref)
    }

    fn all(&self) -> Vec<(String, String)> {
        self.header_list()
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect()
    }
}

impl Reader {
    pub(super) fn read(&self, message: &Message) -> Result<Read, Rejection> {
        let start = self.start();
        let given = subjects::given_input(&message.subject);
        let input::Message { org, event_type, body } = input::read_message(&given, message, message.body.clone())?;
        match body {
            Body::Event(draft) => {
                let derived = || self.derived_id(message, 0);
                let publish = self.publish(draft, &org, &event_type, derived, start)?;
                Ok(Read::Event(org, publish))
            }
            Body::Batch(elements) => Ok(Read::Batch(Batch {
                org,
                event_type,
                elements,
            })),
        }
    }

    /// Reads one event of a batch.
    pub(super) fn read_element(&self, message: &Message, batch: &Batch, index: usize) -> Result<Publish, Rejection> {
        let start = self.start();
        let element = batch.elements.get(index).cloned().unwrap_or_default();
        let draft = input::read_element(message, &element)?;
        let derived = || self.derived_id(message, index);
        self.publish(draft, &batch.org, &batch.event_type, derived, start)
    }

    /// The message as a dead letter keeps it.
    pub(super) fn original(&self, message: &Message) -> Original {
        Original {
            subject: message.subject.to_string(),
            headers: message.header_list(),
            body: message.body.to_vec(),
            seq: message.place.seq,
            index: None,
            at: message.place.at,
            incarnation: self.incarnation,
        }
    }

    /// An input, or one event of a batch, as a dead letter of its refusal keeps it: with its id as an event.
    pub(super) fn refused(&self, message: &Message, mut original: Original) -> Original {
        let index = original.index.unwrap_or_default();
        letter::add_id(&mut original.headers, &original.body, || {
            self.derived_id(message, index)
        });
        original
    }

    /// One event of a batch as a dead letter keeps it.
    pub(super) fn original_element(&self, message: &Message, batch: &Batch, index: usize) -> Original {
        Original {
            headers: letter::element_headers(message.header_list()),
            body: batch
                .elements
                .get(index)
                .map(|element| element.to_vec())
                .unwrap_or_default(),
            index: Some(index),
            subject: message.subject.to_string(),
            seq: message.place.seq,
            at: message.place.at,
            incarnation: self.incarnation,
        }
    }

    fn publish(
        &self,
        draft: Draft,
        org: &Name,
        event_type: &EventType,
        derived_id: impl FnOnce() -> String,
        start: Option<Timestamp>,
    ) -> Result<Publish, Rejection> {
        let mut event = self.acceptance.event(draft, org, Some(event_type), derived_id)?;
        if let Some(start) = start {
            self.trace(&mut event, start);
        }
        self.acceptance.publish(&event)
    }

    /// The id of an event that has none: from its place, and so the same on every redelivery.
    fn derived_id(&self, message: &Message, index: usize) -> String {
        let index = u32::try_from(index).expect("a batch has fewer events");
        hash::parts([
            &self.incarnation.nanos().to_be_bytes(),
            &message.place.seq.to_be_bytes(),
            &index.to_be_bytes(),
        ])
    }

    fn start(&self) -> Option<Timestamp> {
        self.tracer.is_enabled().then(Timestamp::now)
    }

    fn trace(&self, event: &mut Event, start: Timestamp) {
        let parent = event
            .metadata
            .get(TRACEPARENT)
            .and_then(|text| TraceContext::parse(text));
        let context = self.tracer.child_context(parent);
        if let Some(context) = &context {
            event.metadata.insert(TRACEPARENT.into(), context.to_string());
        }
        self.tracer.hop(Hop {
            name: "ingest",
            kind: Kind::Consumer,
            parent: parent.as_ref(),
            context: context.as_ref(),
            start_nanos: start.nanos(),
            end_nanos: Timestamp::now().nanos(),
            attributes: &[
                ("event.id", Attribute::Text(&event.id)),
                ("event.type", Attribute::Text(event.event_type.as_str())),
            ],
            error: None,
        });
    }
}
