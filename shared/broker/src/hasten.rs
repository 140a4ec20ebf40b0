//! Trying a delivery now that waits for its next attempt: its schedule is replaced by one that is due at once.
//!
//! **Invariant:** of a schedule and the one that replaces it, one fires. Publishing the delivery into its lane and
//! removing the schedule afterwards would leave a moment in which both go, and a crash in between would leave both.
//! Instead the new schedule goes to the subject of the old one, on condition that the old one is still the last there:
//!
//! - Not fired yet: the server puts the new one in the place of the old one, in one step. A fired message that was
//!   under way just then takes the schedule on its subject with it, whichever that is; the server looks at schedules
//!   every 250 ms at most, so the new one has not fired by then.
//! - Fired, tried, removed: the condition does not hold, and nothing changes.
//!
//! On a replicated stream what has fired may still be on its way to the other servers while the condition holds: in a
//! race there, about one of a thousand went twice. So what fires within [`FIRES_SOON`] is left to fire by itself: that is
//! soon enough, and stays clear of that moment.
//!
//! It stays the same hop of the delivery, as it is the same publish with another time. Should both ever go (clocks that
//! differ, a server that stalls), a worker knows the second by the hop, and what both would publish next has one id: the
//! chain does not fork.

use std::time::Duration;

use signalbox_proto::{Delivery, Timestamp, subjects, wire};

use crate::{
    Broker, Error, PublishError,
    browse::Stored,
    hops::{self, Hop},
};

/// A schedule that is due within this time fires by itself.
pub const FIRES_SOON: Duration = Duration::from_secs(2);

/// What became of a schedule that is to fire now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hastened {
    /// It fires at once.
    Yes,
    /// It is about to fire by itself.
    Soon,
    /// It has fired meanwhile, or was removed or replaced; perhaps by an earlier try of this very call.
    Gone,
}

impl Broker {
    /// The schedule of a delivery in a provider's stream, where it has one.
    pub async fn schedule_of(
        &self,
        provider: &signalbox_proto::Name,
        org: &signalbox_proto::Name,
        delivery: &str,
    ) -> Result<Option<Stored>, Error> {
        let stream = subjects::deliver_stream(provider);
        self.next(&stream, &subjects::schedule_of(provider, org, delivery), 1)
            .await
    }

    /// Lets a schedule fire now. `delivery` is what the stored message holds.
    pub async fn hasten(&self, stored: &Stored, delivery: &Delivery, now: Timestamp) -> Result<Hastened, Error> {
        if delivery.due.is_some_and(|due| due <= now + FIRES_SOON) {
            return Ok(Hastened::Soon);
        }
        let due = Delivery {
            due: Some(now),
            ..delivery.clone()
        };
        let mut publish = hops::publish_of(&due, Hop::Schedule(now))?;
        publish.subject = stored.subject.as_str().into();
        // Under the hop's id the server would take it for a repeat of what it replaces; the condition makes its own
        // repeat harmless.
        publish.id = None;
        publish
            .headers
            .push(("Nats-Expected-Last-Subject-Sequence", stored.seq.to_string()));
        match self.publisher().publish(publish).await {
            Ok(_) => Ok(Hastened::Yes),
            Err(PublishError::Stale { .. }) => Ok(Hastened::Gone),
            Err(source) => Err(Error::Publish {
                subject: stored.subject.clone(),
                source,
            }),
        }
    }

    /// Lets the first of a key go now that is tried again later: its state is stored anew with this time, on condition
    /// that it is still the same, and its worker reads it. One that is due soon may be in its worker's hand.
    pub async fn hasten_ordered(&self, delivery: &Delivery, now: Timestamp) -> Result<Hastened, Error> {
        let Some((seq, head)) = self.ordered_head(delivery).await? else {
            return Ok(Hastened::Gone);
        };
        let same = head.id == delivery.id && head.generation == delivery.generation;
        if !same || head.held || head.filed.is_some() {
            return Ok(Hastened::Gone);
        }
        if head.due.is_none_or(|due| due <= now + FIRES_SOON) {
            return Ok(Hastened::Soon);
        }
        let due = Delivery { due: Some(now), ..head };
        // Without an id, as above.
        let body = wire::encode(&due)?.into();
        let stored = self.store_head(&due, None, body, seq).await?;
        Ok(stored.map_or(Hastened::Gone, |_| Hastened::Yes))
    }
}
