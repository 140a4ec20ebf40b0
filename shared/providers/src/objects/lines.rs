//! The lines of an object: one JSON text for each event.

use ::http::HeaderMap;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use signalbox_proto::Delivery;

use crate::payload::{Message, Payload};

/// Bytes that an event has besides its data, about.
const BESIDES_DATA: usize = 512;

/// The form of each line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A structured CloudEvent (1.0, JSON): all that is known of the event.
    #[default]
    Cloudevents,
    /// `{id, type, timestamp, data, metadata}`, as the provider of webhooks sends it by default.
    Standard,
}

impl Format {
    /// The events of a delivery in their order, each on a line of its own that ends with a line feed.
    pub(crate) fn lines(self, delivery: &Delivery) -> Bytes {
        let payload = match self {
            Self::Cloudevents => Payload::Cloudevents,
            Self::Standard => Payload::Standard,
        };
        let data = delivery
            .events
            .iter()
            .map(|accepted| accepted.event.data.as_bytes().len());
        let mut lines = Vec::with_capacity(data.map(|bytes| bytes + BESIDES_DATA).sum());
        for accepted in &delivery.events {
            let mut line = payload.write(&Message::single(accepted), &mut HeaderMap::new());
            // Data is kept as it was published, on many lines too. In JSON a line break is white space: inside a text it
            // can only stand escaped.
            for byte in &mut line {
                if matches!(byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
            lines.append(&mut line);
            lines.push(b'\n');
        }
        lines.into()
    }
}
