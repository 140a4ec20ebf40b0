//! From hop to hop: every way a delivery moves, each one publish under the hop's own id.
//!
//! **Invariant:** the caller acknowledges the message it holds only after the next hop is
//! acknowledged. A crash in between repeats the hop, and the server knows the repeat by its id.

use std::time::Duration;

use bytes::Bytes;
use signalbox_proto::{DeadLetter, Delivery, Event, Lane, Timestamp, hash, state::Gate, subjects, wire};
use tokio::sync::{Mutex, MutexGuard};

use crate::{Ack, Broker, Error, Publish, PublishError, Receipt};

/// What became of a park.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parked {
    /// It waits in PARKED.
    Yes,
    /// The gate has moved: the caller's view is stale.
    Stale,
}

/// Turns of the parks of one process. Gates share a turn where they fall together: a park that waits
/// for another's is late, not wrong.
#[derive(Debug)]
pub(crate) struct Parks([Mutex<()>; 64]);

impl Parks {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(())))
    }

    async fn turn(&self, integration: &str) -> MutexGuard<'_, ()> {
        self.0[hash::fnv1a(integration.as_bytes()) as usize % self.0.len()]
            .lock()
            .await
    }
}

/// The header in which trace context travels.
pub const TRACEPARENT: &str = "traceparent";

/// How a delivery moves on: where its next hop goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// To a worker, at once.
    Deliver(Lane),
    /// To a worker in the retry lane, when it is due.
    Schedule(Timestamp),
    /// Behind those of its key.
    Order,
    /// Among the members of the next digest of its integration.
    Batch,
}

/// The publish of a hop. The delivery is the one of that hop: see [`Delivery::next_hop`].
pub fn publish_of(delivery: &Delivery, hop: Hop) -> Result<Publish, Error> {
    let body = Bytes::from(wire::encode(delivery)?);
    let (provider, org, integration) = (&delivery.provider, &delivery.org, delivery.integration.as_str());
    let mut headers = trace_headers(delivery);
    let subject = match hop {
        Hop::Deliver(lane) => subjects::deliver(provider, lane, org, integration),
        Hop::Schedule(at) => {
            headers.push(("Nats-Schedule", format!("@at {at}")));
            headers.push((
                "Nats-Schedule-Target",
                subjects::deliver(provider, Lane::Retry, org, integration),
            ));
            subjects::retry(provider, delivery.lane, org, integration, &delivery.id)
        }
        Hop::Order => match &delivery.order_key {
            Some(key) => subjects::ordered(provider, org, integration, key),
            None => subjects::deliver(provider, Lane::Live, org, integration),
        },
        Hop::Batch => subjects::batch(org, integration),
    };
    Ok(Publish {
        subject: subject.into(),
        id: Some(delivery.hop_id()),
        headers,
        body,
    })
}

pub(crate) fn trace_headers(delivery: &Delivery) -> Vec<(&'static str, String)> {
    let trace = delivery
        .events
        .first()
        .and_then(|accepted| accepted.event.metadata.get(TRACEPARENT));
    trace.map(|value| (TRACEPARENT, value.clone())).into_iter().collect()
}

impl Broker {
    /// Begins a hop to a worker or to a schedule.
    pub async fn send_hop(&self, delivery: &Delivery, hop: Hop) -> Result<Receipt, Error> {
        Ok(self.publisher().send(publish_of(delivery, hop)?, None).await)
    }

    /// Takes a hop and waits until the stream has it.
    pub async fn hop(&self, delivery: &Delivery, hop: Hop) -> Result<Ack, Error> {
        let subject = delivery.integration.clone();
        self.send_hop(delivery, hop)
            .await?
            .await
            .map_err(|source| Error::Publish { subject, source })
    }

    /// The same, for so long at most.
    pub async fn hop_within(&self, delivery: &Delivery, hop: Hop, deadline: Duration) -> Result<Ack, Error> {
        let subject = delivery.integration.clone();
        let receipt = self.publisher().send(publish_of(delivery, hop)?, Some(deadline)).await;
        receipt.await.map_err(|source| Error::Publish { subject, source })
    }

    /// Puts a delivery into PARKED on condition that the gate is still the one the caller knows.
    ///
    /// A replicated stream takes one publish at a time that is checked against a gate and turns the
    /// others away for a moment: there, the parks of one gate go one after another.
    pub async fn park(&self, delivery: &Delivery, gate: u64) -> Result<Parked, Error> {
        let subject = subjects::parked(&delivery.org, &delivery.integration);
        let mut headers = trace_headers(delivery);
        headers.push(("Nats-Expected-Last-Subject-Sequence", gate.to_string()));
        headers.push((
            "Nats-Expected-Last-Subject-Sequence-Subject",
            subjects::gate(&delivery.integration),
        ));
        let body = Bytes::from(wire::encode(delivery)?);
        let publish = Publish {
            subject: subject.clone().into(),
            id: Some(delivery.hop_id()),
            headers,
            body,
        };
        let _turn = match self.config().replicas {
            1 => None,
            _ => Some(self.parks().turn(&delivery.integration).await),
        };
        match self.publisher().publish(publish).await {
            Ok(_) => Ok(Parked::Yes),
            Err(PublishError::Stale { .. }) => Ok(Parked::Stale),
            Err(source) => Err(Error::Publish { subject, source }),
        }
    }

    /// Closes an integration's gate; the sequence is what parks are fenced with from now on.
    pub async fn close_gate(&self, integration: &str) -> Result<u64, Error> {
        let ack = self.set_gate(integration, Gate::Closed, None).await?;
        Ok(ack.seq)
    }

    /// Opens an integration's gate if nothing of it is left in PARKED; false where something is.
    pub async fn open_gate(&self, org: &signalbox_proto::Name, integration: &str) -> Result<bool, Error> {
        match self
            .set_gate(integration, Gate::Open, Some(subjects::parked(org, integration)))
            .await
        {
            Ok(_) => Ok(true),
            Err(Error::Publish {
                source: PublishError::Stale { .. },
                ..
            }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn set_gate(&self, integration: &str, gate: Gate, empty: Option<String>) -> Result<Ack, Error> {
        let subject = subjects::gate(integration);
        let mut headers = vec![("Nats-Rollup", "sub".to_owned())];
        if let Some(parked) = empty {
            headers.push(("Nats-Expected-Last-Subject-Sequence", "0".to_owned()));
            headers.push(("Nats-Expected-Last-Subject-Sequence-Subject", parked));
        }
        // Repeated after a reconnection, it must not move the gate a second time.
        let id = Some(self.unique());
        let publish = Publish {
            subject: subject.clone().into(),
            id,
            headers,
            body: wire::encode(&gate)?.into(),
        };
        self.publisher()
            .publish_within(publish, Duration::from_secs(10))
            .await
            .map_err(|source| Error::Publish { subject, source })
    }

    /// Puts a dead letter into DEAD. `id` is the hop's, so that a repeat is one dead letter.
    pub async fn bury(&self, dead: &DeadLetter, id: &str) -> Result<Ack, Error> {
        let delivery = dead.delivery.as_deref();
        let subject = subjects::dead(
            dead.stage,
            dead.org.as_ref(),
            delivery.map(|delivery| &delivery.provider),
            delivery.map(|delivery| delivery.integration.as_str()),
        );
        let publish = Publish {
            subject: subject.clone().into(),
            id: Some(id.to_owned()),
            headers: delivery.map(trace_headers).unwrap_or_default(),
            body: wire::encode(dead)?.into(),
        };
        self.publisher()
            .publish(publish)
            .await
            .map_err(|source| Error::Publish { subject, source })
    }

    /// Publishes bytes as a producer would: for inputs that are sent in again. The headers are given
    /// by name; none of the server's own may be among them.
    pub async fn publish_raw(&self, subject: &str, headers: &[(String, String)], body: Bytes) -> Result<Ack, Error> {
        let mut map = async_nats::HeaderMap::new();
        for (name, value) in headers {
            let (Ok(name), Ok(value)) = (
                name.parse::<async_nats::HeaderName>(),
                value.parse::<async_nats::HeaderValue>(),
            ) else {
                return Err(Error::Request {
                    what: format!("publish to {subject}"),
                    reason: format!("header {name:?} cannot be sent"),
                });
            };
            map.append(name, value);
        }
        let fail = |reason: String| Error::Request {
            what: format!("publish to {subject}"),
            reason,
        };
        let sent = self
            .jetstream()
            .publish_with_headers(subject.to_owned(), map, body)
            .await;
        let ack = sent
            .map_err(|error| fail(error.to_string()))?
            .await
            .map_err(|error| fail(error.to_string()))?;
        Ok(Ack {
            seq: ack.sequence,
            duplicate: ack.duplicate,
            value: None,
        })
    }

    /// The id of the dead letter of a message that never became a delivery, from its place.
    pub fn dead_id(stream: &str, seq: u64, reason: &str) -> String {
        hash::parts([b"dead", stream.as_bytes(), &seq.to_be_bytes(), reason.as_bytes()])
    }

    /// The publish of an accepted event. Its message id is its identity.
    pub fn event_publish(&self, event: &Event) -> Result<Publish, Error> {
        let trace = event
            .metadata
            .get(TRACEPARENT)
            .map(|value| (TRACEPARENT, value.clone()));
        Ok(Publish {
            subject: subjects::event(&event.org, &event.event_type, self.config().partitions).into(),
            id: Some(event.key()),
            headers: trace.into_iter().collect(),
            body: wire::encode(event)?.into(),
        })
    }
}
