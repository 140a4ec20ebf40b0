//! From a draft to what EVENTS is to store: the same checks for both ways in.

use signalbox_broker::{Broker, Publish};
use signalbox_proto::{Event, EventType, Name};

use crate::{
    Config, Types,
    input::{Draft, Rejection},
};

/// What it takes to accept an event. Clones are cheap.
#[derive(Clone)]
pub(crate) struct Acceptance {
    broker: Broker,
    event_bytes_max: usize,
    types: Types,
}

impl Acceptance {
    pub(crate) fn new(broker: Broker, config: &Config, types: Types) -> Self {
        Self {
            broker,
            event_bytes_max: config.event_bytes_max,
            types,
        }
    }

    /// Completes an event and checks all that can be wrong with it but its size. `event_type` is the
    /// truth, where known; `fallback_id` is asked for an id where the producer gave none.
    pub(crate) fn event(
        &self,
        draft: Draft,
        org: &Name,
        event_type: Option<&EventType>,
        fallback_id: impl FnOnce() -> String,
    ) -> Result<Event, Rejection> {
        let mut event = draft.finish(org, event_type, fallback_id)?;
        self.types.apply(&mut event)?;
        Ok(event)
    }

    /// The publish that stores an event, unless it is too large.
    pub(crate) fn publish(&self, event: &Event) -> Result<Publish, Rejection> {
        let publish = self
            .broker
            .event_publish(event)
            .map_err(|error| Rejection::malformed(error.to_string()))?;
        if publish.body.len() > self.event_bytes_max {
            return Err(Rejection::too_large(publish.body.len(), self.event_bytes_max));
        }
        Ok(publish)
    }
}
