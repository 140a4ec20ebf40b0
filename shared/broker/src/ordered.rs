//! ORDERED: where deliveries wait for their turn among those of their key.
//!
//! One worker at a time has a partition of it. What it reads here before it sends comes from the stream's
//! leader: a copy that lags behind could say that a delivery does not exist.

use std::collections::BTreeSet;

use async_nats::jetstream::stream::RawMessageErrorKind;
use bytes::Bytes;
use serde_bytes::ByteBuf;
use signalbox_proto::{Delivery, Name, delivery::Unfiled, subjects, wire};

use crate::{Ack, Broker, Error, Publish, PublishError, browse::Stored, hops};

/// Leases of one provider that are read at once.
const LEASES_MAX: usize = 1_000;

/// Who takes ordered deliveries of a provider, and which partitions are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderedLeases {
    /// The processes, by name.
    pub workers: BTreeSet<String>,
    /// The partitions that somebody has.
    pub taken: BTreeSet<u32>,
}

impl Broker {
    /// One message of ORDERED, as its leader has it; `None` where it was removed.
    pub async fn ordered_message(&self, seq: u64) -> Result<Option<Stored>, Error> {
        let fail = |reason: String| Error::Request {
            what: format!("message {seq} of {}", subjects::ORDERED),
            reason,
        };
        let stream = self.jetstream().get_stream_no_info(subjects::ORDERED).await;
        let stream = stream.map_err(|error| fail(error.to_string()))?;
        match stream.get_raw_message(seq).await {
            Ok(message) => Ok(Some(Stored {
                subject: message.subject.to_string(),
                seq: message.sequence,
                at: message.time.into(),
                body: message.payload,
            })),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(fail(error.to_string())),
        }
    }

    /// Stores the state of the first of a key, in the place of the one stored at `last` (0 for none). `None` where
    /// that is not the last one any more: somebody else has the key, or has let it go.
    pub async fn set_ordered_head(&self, head: &Delivery, last: u64) -> Result<Option<u64>, Error> {
        let body: Bytes = wire::encode(head)?.into();
        match self.store_head(head, Some(head.hop_id()), body.clone(), last).await? {
            Some(ack) if !ack.duplicate => Ok(Some(ack.seq)),
            // Somebody else was first, or this very publish was, and its answer was lost. The hop's id does not tell
            // them apart: another state may be the same hop.
            Some(_) | None => {
                let there = self.last_head(head).await?;
                Ok(there.filter(|(_, there)| *there == body).map(|(seq, _)| seq))
            }
        }
    }

    /// Stores a state on condition of the one before; `None` where that is not the last one any more.
    pub(crate) async fn store_head(
        &self,
        head: &Delivery,
        id: Option<String>,
        body: Bytes,
        last: u64,
    ) -> Result<Option<Ack>, Error> {
        let Some(key) = &head.order_key else {
            return Err(Error::Request {
                what: format!("state of delivery {}", head.id),
                reason: "it has no order key".into(),
            });
        };
        let subject = subjects::ordered_head(&head.provider, &head.org, &head.integration, key);
        let mut headers = hops::trace_headers(head);
        headers.push(("Nats-Rollup", "sub".to_owned()));
        headers.push(("Nats-Expected-Last-Subject-Sequence", last.to_string()));
        let publish = Publish {
            subject: subject.clone().into(),
            id,
            headers,
            body,
        };
        match self.publisher().publish(publish).await {
            Ok(ack) => Ok(Some(ack)),
            Err(PublishError::Stale { .. }) => Ok(None),
            Err(source) => Err(Error::Publish { subject, source }),
        }
    }

    /// Marks the present end of a partition. Whoever follows it and sees the mark has seen all that was stored before.
    pub async fn mark_ordered(&self, provider: &Name, partition: u32, body: Bytes) -> Result<(), Error> {
        let subject = subjects::ordered_mark(provider, partition);
        let publish = Publish {
            subject: subject.clone().into(),
            id: None,
            headers: vec![("Nats-Rollup", "sub".to_owned())],
            body,
        };
        let marked = self.publisher().publish(publish).await;
        marked.map(|_| ()).map_err(|source| Error::Publish { subject, source })
    }

    /// Lets a key go that waits for a person because of this dead delivery: the state of its first says so from now
    /// on, and its worker goes on behind it. False where it does not wait for this one.
    pub async fn release_ordered(&self, dead: &Delivery) -> Result<bool, Error> {
        let Some((seq, head)) = self.ordered_head(dead).await? else {
            return Ok(false);
        };
        if !head.held || head.id != dead.id || head.generation > dead.generation {
            return Ok(false);
        }
        let released = Delivery {
            held: false,
            ..head.next_hop()
        };
        Ok(self.set_ordered_head(&released, seq).await?.is_some())
    }

    /// Says in the state of a delivery that was tried that it is given up: its worker stores the record, removes it and
    /// goes on at once, instead of when it would be due. The queued message is to be removed after this. False where the
    /// delivery has gone on or ended meanwhile; nothing is done then. One that was not tried has no state to say it in.
    pub async fn give_up_ordered(&self, given_up: &Delivery, record: ByteBuf) -> Result<bool, Error> {
        let Some((seq, head)) = self.ordered_head(given_up).await? else {
            return Ok(given_up.attempt == 0);
        };
        if (&head.id, head.generation) != (&given_up.id, given_up.generation) {
            return Ok(given_up.attempt == 0);
        }
        if head.held || head.filed.is_some() {
            return Ok(false);
        }
        let ended = Delivery {
            probe: false,
            filed: Some(Unfiled { record, dead: None }),
            ..head.next_hop()
        };
        // Without an id: under the hop's own, what a worker with this delivery in hand stores next would be taken for a
        // repeat of this.
        let body = wire::encode(&ended)?.into();
        Ok(self.store_head(&ended, None, body, seq).await?.is_some())
    }

    /// The state of the first of a delivery's key, as the stream's leader has it, and its sequence.
    pub async fn ordered_head(&self, delivery: &Delivery) -> Result<Option<(u64, Delivery)>, Error> {
        match self.last_head(delivery).await? {
            Some((seq, body)) => Ok(Some((seq, wire::decode_delivery(&body)?))),
            None => Ok(None),
        }
    }

    async fn last_head(&self, delivery: &Delivery) -> Result<Option<(u64, Bytes)>, Error> {
        let Some(key) = &delivery.order_key else {
            return Ok(None);
        };
        let subject = subjects::ordered_head(&delivery.provider, &delivery.org, &delivery.integration, key);
        let fail = |reason: String| Error::Request {
            what: format!("last message of {subject}"),
            reason,
        };
        let stream = self.jetstream().get_stream_no_info(subjects::ORDERED).await;
        let stream = stream.map_err(|error| fail(error.to_string()))?;
        match stream.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => Ok(Some((message.sequence, message.payload))),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(fail(error.to_string())),
        }
    }

    /// Whether ORDERED has any delivery of a provider.
    pub async fn any_ordered(&self, provider: &Name) -> Result<bool, Error> {
        let filter = subjects::ordered_all(provider);
        let found = self.read_from(subjects::ORDERED, &filter, 1, 1).await?;
        Ok(!found.is_empty())
    }

    /// Who takes ordered deliveries of a provider at the moment.
    pub async fn ordered_leases(&self, provider: &Name) -> Result<OrderedLeases, Error> {
        let bucket = format!("KV_{}", subjects::LEASE);
        let [workers, partitions] = subjects::ordered_leases(provider);
        let mut leases = OrderedLeases::default();
        for (filter, is_worker) in [(workers, true), (partitions, false)] {
            for stored in self.read_from(&bucket, &filter, 1, LEASES_MAX).await? {
                // The marker of a lease that expired or was given back has no body.
                let Some(name) = stored.subject.rsplit('.').next().filter(|_| !stored.body.is_empty()) else {
                    continue;
                };
                if is_worker {
                    leases.workers.insert(name.to_owned());
                } else if let Ok(partition) = name.parse() {
                    leases.taken.insert(partition);
                }
            }
        }
        Ok(leases)
    }
}
