//! One partition of ORDERED that this process has: what is known of it, and the task that reads it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use signalbox_broker::{Broker, Error, Message, follow::Start, patience::patiently};
use signalbox_proto::{Delivery, Name, subjects, wire};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

use super::{
    keys::{Keys, Turn},
    leases::Validity,
};

/// Bodies kept of what has just come, of all that wait.
const BODIES_MAX: usize = 256;
/// How long they are kept: what waits for longer is read again when its turn comes, as it may have been given up.
const BODIES_FOR: Duration = Duration::from_secs(2);

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
            bodies: HashMap::new(),
            reading,
        }
    }

    /// Whether a request of it may begin.
    pub(crate) fn may_send(&self, now: Instant) -> bool {
        self.complete && !self.leaving && self.validity.holds(now)
    }

    /// Keeps a delivery that has just come for its turn, which may be at once.
    pub(crate) fn keep(&mut self, seq: u64, delivery: Delivery) {
        if self.complete && self.bodies.len() < BODIES_MAX {
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
) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = follow(broker, provider, instance, at, messages).await {
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
) -> Result<(), Error> {
    let mut filters = subjects::ordered_of(&provider, at.partition);
    filters.push(subjects::ordered_mark(&provider, at.partition));
    let mut follower = patiently("reading ordered deliveries", || {
        broker.follow(subjects::ORDERED, filters.clone(), Start::After(0))
    })
    .await?;
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
