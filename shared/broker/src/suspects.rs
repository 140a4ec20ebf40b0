//! Messages that may have stopped a worker.
//!
//! A delivery count alone proves nothing: drains and killed servers raise it. A message delivered
//! often is a *suspect*, handled alone after a marker was put into KV. If the marker is there
//! already, the message stopped the worker that handled it alone: it is *poison*.

use signalbox_proto::subjects;

use crate::{Broker, Error, Message, message::Ticket};

/// Deliveries after which a message is suspect.
pub const DELIVERED_SUSPECT: u64 = 4;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// Handle it as any other.
    None,
    /// Handle it alone; the marker is put. Clear it with [`Broker::clear_suspect`] before the ack.
    Suspect,
    /// Do not even parse it.
    Poison,
}

/// Whether a message is to be looked at with [`Broker::suspect`].
pub fn is_suspect(message: &Message) -> bool {
    message.place.delivered >= DELIVERED_SUSPECT
}

impl Broker {
    /// Puts the marker of a suspect message, or finds it.
    pub async fn suspect(&self, stream: &str, message: &Message) -> Result<Suspicion, Error> {
        if !is_suspect(message) {
            return Ok(Suspicion::None);
        }
        match self
            .create(
                subjects::STATE,
                &subjects::suspect_key(stream, message.place.seq),
                &message.place.delivered,
            )
            .await
        {
            Ok(_) => Ok(Suspicion::Suspect),
            Err(Error::Conflict { .. }) => Ok(Suspicion::Poison),
            Err(error) => Err(error),
        }
    }

    /// Removes the marker of a suspect that was handled, or of a poison that is filed.
    pub async fn clear_suspect(&self, stream: &str, ticket: &Ticket) -> Result<(), Error> {
        self.delete(subjects::STATE, &subjects::suspect_key(stream, ticket.place.seq))
            .await
    }
}
