//! A JSON array, taken apart into the bytes of its elements.

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use signalbox_broker::Message;

use crate::input::{Headers, Rejection, Wrong, media_type};

/// Most events of one batch: what the server stores as one.
pub(crate) const BATCH_EVENTS_MAX: usize = signalbox_broker::batch::BATCH_MESSAGES_MAX;

/// The elements of a JSON array, each as it was written. They are not looked into.
pub(crate) fn split(body: &Bytes) -> Result<Vec<Bytes>, Rejection> {
    let mut elements = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let split = Split {
        body,
        elements: &mut elements,
    };
    let split = split.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    match split {
        Ok(()) => Ok(elements),
        Err(_) if elements.len() > BATCH_EVENTS_MAX => Err(too_many()),
        Err(error) if error.is_data() => Err(Rejection::malformed("a batch is one JSON array of events")),
        Err(error) => Err(Rejection::malformed(format!("the body is not JSON: {error}"))),
    }
}

/// How many events an input holds, for metrics: 1 for all that is no batch.
pub(crate) fn count(message: &Message) -> usize {
    let media = Headers::get(message, "content-type").map(media_type);
    if media.as_deref() != Some("application/cloudevents-batch+json") {
        return 1;
    }
    split(&message.body).map_or(1, |elements| elements.len())
}

/// More events than one batch may have.
pub(crate) fn too_many() -> Rejection {
    Rejection {
        field: None,
        message: format!("a batch has at most {BATCH_EVENTS_MAX} events; send several"),
        kind: Wrong::TooLarge,
    }
}

struct Split<'a> {
    body: &'a Bytes,
    elements: &'a mut Vec<Bytes>,
}

impl<'de> DeserializeSeed<'de> for Split<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Split<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element::<&RawValue>()? {
            self.elements.push(self.body.slice_ref(element.get().as_bytes()));
            if self.elements.len() > BATCH_EVENTS_MAX {
                return Err(A::Error::custom("too many events"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
