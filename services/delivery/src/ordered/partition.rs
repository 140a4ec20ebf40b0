//! One partition of ORDERED that this process has: what is known of it, and the task that reads it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use signalbox_broker::{Broker, Error, Message, follow::Start, patience::patiently};
use signalbox_proto::{Delivery, Name, Timestamp, subjects, wire};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

use super::{
    keys::{Head, Keys, Queued, Turn},
    poison,
    validity::Validity,
};

/// Bodies kept of what has just come, of all that wait.
const BODIES_MAX: usize = 256;
/// The longest that is kept.
const BODY_MAX: usize = 64 * 1024;
/// How long they are kept: what waits for longer is read again when its turn comes, as it may have been given up.
const BODIES_FOR: Duration = Duration::from_secs(2);

/// Messages of one partition that are under way at most.
const AHEAD: usize = 256;

/// What is needed of a delivery to know its place: the event itself is skipped.
#[derive(Debug, Deserialize)]
pub(crate) struct Glance {
    pub(crate) id: String,
    pub(crate) org: String,
    pub(crate) integration: String,
    #[serde(default)]
    pub(crate) generation: u32,
    #[serde(default)]
    pub(crate) order_key: Option<String>,
    pub(crate) since: Timestamp,
    #[serde(default)]
    pub(crate) due: Option<Timestamp>,
    #[serde(default)]
    pub(crate) probe: bool,
    #[serde(default)]
    pub(crate) held: bool,
    events: Vec<GlanceEvent>,
}

#[derive(Debug, Deserialize)]
struct GlanceEvent {
    seq: u64,
}

impl Glance {
    /// Looks at a delivery that lies with those of this key.
    pub(crate) fn at(body: &[u8], key: &str) -> Result<Self, String> {
        let glance: Self = wire::decode(body).map_err(|error| error.to_string())?;
        if glance.events.is_empty() {
            return Err("it has no event".into());
        }
        if glance.order_key.as_deref() != Some(key) {
            return Err("it lies where those of another key do".into());
        }
        Ok(glance)
    }

    /// The sequence of its event.
    fn event(&self) -> u64 {
        self.events.first().map_or(0, |event| event.seq)
    }

    pub(crate) fn queued(&self, seq: u64) -> Queued {
        Queued {
            event: self.event(),
            generation: self.generation,
            seq,
            since: self.since,
        }
    }

    pub(crate) fn head(&self, seq: u64, at: Timestamp) -> Head {
        Head {
            id: self.id.as_str().into(),
            event: self.event(),
            generation: self.generation,
            seq,
            at,
            due: self.due,
            probe: self.probe,
            held: self.held,
        }
    }
}

/// How far all is routed: partitions of EVENTS and sequences there.
pub(crate) type Floors = Vec<(u32, u64)>;

/// The body of a mark: all that came of events up to these was stored before it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Who set it, and for which time of having the partition.
    pub(crate) by: String,
    pub(crate) epoch: u64,
    pub(crate) floors: Floors,
}

/// Which time of having which partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct At {
    pub(crate) partition: u32,
    pub(crate) epoch: u64,
}

/// A partition and what is in hand of it.
pub(crate) struct Partition {
    pub(crate) at: At,
    pub(crate) keys: Keys,
    pub(crate) validity: Validity,
    /// Whether all that was there when it was granted is known.
    pub(crate) complete: bool,
    /// Nothing more begins: it is given back once nothing is in hand.
    pub(crate) leaving: bool,
    pub(crate) in_hand: usize,
    /// When a mark was set that has not been seen yet.
    pub(crate) marked: Option<Instant>,
    /// How many owners in a row ended without saying so, once it is complete.
    pub(crate) unclean: Arc<AtomicU32>,
    bodies: HashMap<u64, (Instant, Arc<Delivery>)>,
    reading: JoinHandle<()>,
}

impl Partition {
    pub(crate) fn new(at: At, validity: Validity, reading: JoinHandle<()>) -> Self {
        Self {
            at,
            keys: Keys::default(),
            validity,
            complete: false,
            leaving: false,
            in_hand: 0,
            marked: None,
            unclean: Arc::default(),
            bodies: HashMap::new(),
            reading,
        }
    }

    /// Whether a request of it may begin.
    pub(crate) fn may_send(&self, now: Instant) -> bool {
        self.complete && !self.leaving && self.validity.holds(now)
    }

    /// Keeps a delivery that has just come for its turn, which may be at once.
    pub(crate) fn keep(&mut self, seq: u64, body: &[u8]) {
        if self.complete
            && self.bodies.len() < BODIES_MAX
            && body.len() <= BODY_MAX
            // What cannot be read is seen to when its turn comes.
            && let Ok(delivery) = wire::decode_delivery(body)
        {
            self.bodies.insert(seq, (Instant::now(), Arc::new(delivery)));
        }
    }

    /// The delivery of a turn, where it has just come.
    pub(crate) fn body(&mut self, turn: &Turn) -> Option<Arc<Delivery>> {
        let (_, delivery) = self.bodies.remove(&turn.queued.seq)?;
        (!turn.tried).then_some(delivery)
    }

    /// Lets go of bodies whose turn has not come soon.
    pub(crate) fn tidy(&mut self, now: Instant) {
        self.bodies.retain(|_, (at, _)| now.duration_since(*at) < BODIES_FOR);
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// Reads a partition from its beginning and then as it comes; all that was there is followed by a mark.
pub(crate) fn read(
    broker: Broker,
    provider: Name,
    instance: String,
    at: At,
    messages: mpsc::Sender<(At, Message)>,
    unclean: Arc<AtomicU32>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = follow(broker, provider, instance, at, messages, &unclean).await {
            tracing::error!(%error, order.partition = at.partition, "ordered deliveries cannot be read");
        }
    })
}

async fn follow(
    broker: Broker,
    provider: Name,
    instance: String,
    at: At,
    messages: mpsc::Sender<(At, Message)>,
    unclean: &AtomicU32,
) -> Result<(), Error> {
    let filters = vec![subjects::ordered_partition(&provider, at.partition)];
    let mut follower = patiently("reading ordered deliveries", || {
        broker.follow(subjects::ORDERED, filters.clone(), Start::After(0))
    })
    .await?
    .ahead(AHEAD);
    // Before the mark: nothing is sent until that is seen.
    let begun = patiently("saying who has a partition", || {
        poison::begin(&broker, &provider, at.partition, &instance)
    });
    match begun.await {
        Ok(count) => unclean.store(count, Ordering::Release),
        Err(error) => {
            tracing::error!(%error, order.partition = at.partition, "how the workers before ended cannot be told");
        }
    }
    let mark = Mark {
        by: instance,
        epoch: at.epoch,
        floors: Floors::new(),
    };
    let body = wire::encode(&mark)?;
    patiently("marking the end of what waits", || {
        broker.mark_ordered(&provider, at.partition, body.clone().into())
    })
    .await?;
    loop {
        let message = follower.next().await;
        if messages.send((at, message)).await.is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
