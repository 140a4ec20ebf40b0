//! What is read of the partitions, and how it is known that nothing earlier can come.
//!
//! Routers may store what came of a later event first. So a delivery waits until the router's consumer says that all
//! events up to its own are routed, and then for a mark in its own partition: what was stored before the mark was seen
//! before it.

use signalbox_broker::{Broker, Error as BrokerError, Message, browse::Stored, topology::Consumer};
use signalbox_proto::{Delivery, Timestamp, subjects, subjects::OrderedKind, wire};
use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};
use tokio::time::Instant;

use super::{
    Event, FLOOR_FIRST, FLOOR_LAST, Ordered, effects,
    keys::Arrival,
    partition::{At, Floors, Glance, Mark},
};

/// How long a mark may take to be seen before it is set again.
const MARK_AGAIN: Duration = Duration::from_secs(10);

impl Ordered {
    /// Takes in a message of a partition.
    pub(super) fn read(&mut self, at: At, message: &Message) {
        let Some((kind, key)) = subjects::read_ordered(&message.subject) else {
            return;
        };
        if self.partition(at).is_none() {
            return;
        }
        if kind == OrderedKind::Mark {
            return self.see_mark(at, message);
        }
        let glance = match Glance::at(&message.body, key) {
            Ok(glance) => glance,
            Err(why) => return self.file_unread(message, &why),
        };
        self.heed(at, &glance.integration);
        let now = Timestamp::now();
        let source = subjects::partition(&glance.org, self.broker.config().partitions);
        let seq = message.place.seq;
        if kind == OrderedKind::Queued {
            self.floors_wait = FLOOR_FIRST;
            self.floors_next = self.floors_next.min(Instant::now() + FLOOR_FIRST);
        }
        let Some(partition) = self.partition(at) else { return };
        let useless = match kind {
            OrderedKind::Head => {
                let head = glance.head(seq, message.place.at);
                partition.keys.headed(key, &glance.integration, source, head, now)
            }
            OrderedKind::Queued | OrderedKind::Mark => {
                let arrival = Arrival {
                    key,
                    integration: &glance.integration,
                    source,
                    queued: glance.queued(seq),
                };
                let useless = partition.keys.arrive(arrival, now);
                if useless.is_empty() {
                    partition.keep(seq, &message.body);
                }
                useless
            }
        };
        self.sweep(useless);
        if glance.probe {
            self.release_probes(at);
        }
    }

    /// Makes sure that it is known what holds for an integration.
    fn heed(&mut self, at: At, integration: &str) {
        if self
            .partition(at)
            .is_none_or(|partition| partition.keys.has_rules(integration))
        {
            return;
        }
        match self.rules(integration) {
            None => {
                self.learn(integration, 0);
            }
            Some(rules) => {
                if let Some(partition) = self.partition(at) {
                    partition.keys.rule(integration, rules, Timestamp::now());
                }
            }
        }
    }

    /// Files what can never be delivered, and goes on without it.
    fn file_unread(&mut self, message: &Message, why: &str) {
        tracing::error!(
            ordered.seq = message.place.seq,
            why,
            "an ordered delivery cannot be read"
        );
        let stored = Stored {
            subject: message.subject.to_string(),
            seq: message.place.seq,
            at: message.place.at,
            body: message.body.clone(),
        };
        let burying = Self::burying(&self.broker, stored, why);
        self.spawn(async move { Event::Swept(burying.await) });
    }

    /// Files a stored message that cannot be read, and removes it then.
    pub(super) fn burying(
        broker: &Broker,
        stored: Stored,
        why: &str,
    ) -> impl Future<Output = Result<(), BrokerError>> + Send + use<> {
        let org = stored.subject.split('.').nth(4).and_then(|org| org.parse().ok());
        effects::bury_unread(broker.clone(), stored, org, why.to_owned())
    }

    /// Asks KV about an integration that is not known, or not at this revision. False where it was asked already.
    pub(super) fn learn(&mut self, integration: &str, revision: u64) -> bool {
        match self.learned.get(integration) {
            Some((asked, _)) if *asked >= revision => return false,
            _ => {}
        }
        self.learned.insert(integration.to_owned(), (revision, true));
        let (broker, id) = (self.broker.clone(), integration.to_owned());
        self.spawn(async move {
            let learned = broker.integration(&id).await;
            Event::Learned(id, learned.map(|entry| entry.map(|entry| Box::new(entry.value))))
        });
        true
    }

    /// Whether an answer about an integration is awaited.
    pub(super) fn is_learning(&self, integration: &str) -> bool {
        self.learned.get(integration).is_some_and(|(_, awaited)| *awaited)
    }

    pub(super) fn learned(
        &mut self,
        id: &str,
        learned: Result<Option<Box<signalbox_proto::Integration>>, BrokerError>,
    ) {
        match learned {
            Ok(found) => {
                if let Some((_, awaited)) = self.learned.get_mut(id) {
                    *awaited = false;
                }
                if let Some(integration) = found {
                    self.targets
                        .apply(signalbox_broker::directory::Change::Integration(integration));
                }
            }
            Err(error) => {
                tracing::warn!(%error, integration.id = id, "an integration cannot be read yet");
                self.learned.remove(id);
            }
        }
        self.changed(id);
    }

    fn see_mark(&mut self, at: At, message: &Message) {
        self.sweep(vec![message.place.seq]);
        let mark = match wire::decode::<Mark>(&message.body) {
            Ok(mark) => mark,
            Err(error) => {
                tracing::warn!(%error, "a mark in ORDERED cannot be read");
                return;
            }
        };
        let own = mark.by == self.process.instance && mark.epoch == at.epoch;
        let now = Timestamp::now();
        let Some(partition) = self.partition(at) else { return };
        // What another says of how far the router was holds all the same.
        for (source, floor) in mark.floors {
            partition.keys.routed(source, floor, now);
        }
        if own {
            partition.marked = None;
            if !std::mem::replace(&mut partition.complete, true) {
                let waiting = partition.keys.len();
                tracing::info!(
                    order.partition = at.partition,
                    waiting,
                    "taking ordered deliveries of a partition"
                );
                let unclean = partition.unclean.load(Ordering::Acquire);
                let names: BTreeSet<_> = partition.keys.ready().cloned().collect();
                self.took_over(at, unclean);
                for name in names {
                    self.changed(&name);
                }
                self.release_probes(at);
            }
        }
    }

    /// The time of a probe that was stored means nothing where its integration is not suspended any more, whether it
    /// still asks for an order or not.
    pub(super) fn release_probes(&mut self, at: At) {
        let Some(partition) = self.partition(at) else { return };
        if !partition.complete {
            return;
        }
        let probed: Vec<_> = partition.keys.probed().cloned().collect();
        for id in probed {
            if !self.is_suspended(&id)
                && let Some(partition) = self.partition(at)
            {
                partition.keys.release_probes(&id, Timestamp::now());
            }
        }
    }

    /// Whether anything waits for the router.
    pub(super) fn is_unrouted(&self) -> bool {
        self.partitions
            .values()
            .any(|partition| partition.may_send(Instant::now()) && partition.keys.unrouted().next().is_some())
    }

    /// Asks how far the router is, for all that wait for it.
    pub(super) fn ask_floors(&mut self) {
        if self.floors_asked || self.floors_next > Instant::now() || !self.is_unrouted() {
            return;
        }
        let sources: BTreeSet<u32> = self
            .partitions
            .values()
            .flat_map(|partition| partition.keys.unrouted().map(|(source, _)| source))
            .collect();
        self.floors_asked = true;
        let broker = self.broker.clone();
        self.spawn(async move {
            let partitions = broker.config().partitions;
            let asked = sources.into_iter().map(async |source| {
                let progress = Consumer::router(source, partitions).progress(&broker).await?;
                Ok((source, progress.ack_floor))
            });
            Event::Floors(futures::future::try_join_all(asked).await)
        });
    }

    pub(super) fn floors(&mut self, floors: Result<Floors, BrokerError>) {
        self.floors_asked = false;
        let mut moved = false;
        match floors {
            Err(error) => tracing::debug!(%error, "how far the router is cannot be seen"),
            Ok(floors) => {
                let met = |source: u32, event: u64| floors.iter().any(|(of, floor)| *of == source && *floor >= event);
                let mut marks = Vec::new();
                for partition in self.partitions.values_mut() {
                    let any = partition.keys.unrouted().any(|(source, event)| met(source, event));
                    if any && partition.complete && partition.marked.is_none() {
                        partition.marked = Some(Instant::now());
                        marks.push(partition.at);
                    }
                    moved |= any;
                }
                for at in marks {
                    self.set_mark(at, floors.clone());
                }
            }
        }
        self.floors_wait = match moved {
            true => FLOOR_FIRST,
            false => (self.floors_wait * 2).min(FLOOR_LAST),
        };
        self.floors_next = Instant::now() + self.floors_wait;
    }

    fn set_mark(&mut self, at: At, floors: Floors) {
        let mark = Mark {
            by: self.process.instance.clone(),
            epoch: at.epoch,
            floors,
        };
        let (broker, provider) = (self.broker.clone(), self.provider.clone());
        self.spawn(async move {
            let marked = match wire::encode(&mark) {
                Ok(body) => broker.mark_ordered(&provider, at.partition, body.into()).await,
                Err(error) => Err(error.into()),
            };
            Event::Swept(marked)
        });
    }

    /// Sets marks again that were not seen: another's may have taken their place.
    pub(super) fn mark_again(&mut self, now: Instant) {
        let lost =
            |partition: &&mut super::Partition| partition.marked.is_some_and(|at| now.duration_since(at) >= MARK_AGAIN);
        let mut again = Vec::new();
        for partition in self.partitions.values_mut().filter(lost) {
            partition.marked = Some(now);
            again.push(partition.at);
        }
        for at in again {
            self.set_mark(at, Floors::new());
        }
    }

    /// The delivery of a stored message of ORDERED, in the key where it lies.
    pub(super) fn decode(stored: &Stored) -> Result<Delivery, String> {
        let delivery = wire::decode_delivery(&stored.body).map_err(|error| error.to_string())?;
        match subjects::read_ordered(&stored.subject) {
            Some((_, key)) if delivery.order_key.as_deref() == Some(key) => Ok(delivery),
            _ => Err("it lies where those of another key do".into()),
        }
    }
}
