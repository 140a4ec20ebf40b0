//! Messages that may have stopped a worker.
//!
//! A delivery count alone proves nothing: drains and killed servers raise it. A message delivered
//! often is a *suspect*, handled alone after a marker was put into KV. If the marker is there
//! already, the message stopped the worker that handled it alone: it is *poison*.

use signalbox_proto::subjects;

use crate::{Broker, Error, message::Ticket};

/// Deliveries after which a message is suspect.
pub const DELIVERED_SUSPECT: u64 = 4;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// Handle it as any other.
    None,
    /// Handle it alone; the marker is put. Clear it with [`Broker::clear_suspect`] before
    /// the message is acknowledged or handed back.
    Suspect,
    /// Do not even parse it.
    Poison,
}

/// Whether a message is to be looked at with [`Broker::suspect`].
pub fn is_suspect(ticket: &Ticket) -> bool {
    ticket.place.delivered >= DELIVERED_SUSPECT
}

impl Broker {
    /// Puts the marker of a suspect message, or finds it. `instance` is this process's own name: a
    /// marker of its own was left by an attempt that it survived.
    pub async fn suspect(&self, stream: &str, ticket: &Ticket, instance: &str) -> Result<Suspicion, Error> {
        if !is_suspect(ticket) {
            return Ok(Suspicion::None);
        }
        let key = subjects::suspect_key(stream, ticket.place.seq);
        match self.create(subjects::STATE, &key, &instance).await {
            Ok(_) => Ok(Suspicion::Suspect),
            Err(Error::Conflict { .. }) => match self.get::<String>(subjects::STATE, &key).await? {
                Some(marker) if marker.value != instance => Ok(Suspicion::Poison),
                Some(_) | None => Ok(Suspicion::Suspect),
            },
            Err(error) => Err(error),
        }
    }

    /// Removes the marker of a suspect that was handled or handed back, or of a poison that is filed.
    pub async fn clear_suspect(&self, stream: &str, ticket: &Ticket) -> Result<(), Error> {
        self.delete(subjects::STATE, &subjects::suspect_key(stream, ticket.place.seq))
            .await
    }
}
