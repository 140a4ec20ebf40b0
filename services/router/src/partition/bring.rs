//! How each delivery of an event gets to its place: a lane, PARKED, those that it goes with, or DEAD.

use std::sync::{Arc, atomic::Ordering};

use futures::{StreamExt, future::BoxFuture};
use signalbox_broker::{
    Error, PublishError,
    holding::Held,
    hops::{self, Hop},
};
use signalbox_matching::index::Match;
use signalbox_proto::{Accepted, DeadLetter, DeadReason, Delivery, Lane, Stage, State, Timestamp, delivery::order_key};

use super::{Partition, REFUSED_RETRY};

/// Deliveries of one event, beyond those that find a place at once, that are on their way at a time. Few, because so many
/// are encoded without a pause, and acknowledgements are read in between.
const BRING_MAX: usize = 128;

/// Where a delivery goes first.
#[derive(PartialEq, Eq)]
pub(super) enum Way {
    Lane,
    /// With others: what goes in order, or as a digest, waits where it is whatever the integration's state.
    Gather(Hop),
    /// Behind the gate of an integration that is held.
    Park,
    /// Its filter fails.
    Bury,
}

impl Way {
    pub(super) fn of(found: &Match, state: Option<&State>) -> Self {
        match (&found.result, &found.key, state) {
            (Err(_), _, _) => Self::Bury,
            (Ok(()), Some(_), _) => Self::Gather(Hop::Order),
            (Ok(()), None, _) if found.target.batches => Self::Gather(Hop::Batch),
            (Ok(()), None, Some(_)) => Self::Park,
            (Ok(()), None, None) => Self::Lane,
        }
    }
}

/// The next move of one delivery.
pub(super) enum Move {
    Deliver,
    Park(State),
    PassBy(PublishError),
}

/// Counts deliveries as owed for as long as it lives.
struct Owed(Arc<Partition>, usize);

impl Owed {
    fn count(partition: Arc<Partition>, count: usize) -> Self {
        partition.owed.fetch_add(count, Ordering::Relaxed);
        Self(partition, count)
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.0.owed.fetch_sub(self.1, Ordering::Relaxed);
    }
}

impl Partition {
    pub(super) fn delivery(&self, accepted: &Accepted, found: &Match, matched: u32) -> Delivery {
        let target = &found.target;
        let mut delivery = Delivery::first(accepted.clone(), &target.id, &target.provider, target.revision, matched);
        if let Some(key) = &found.key {
            delivery.order_key = Some(order_key(&target.id, key));
            delivery.lane = Lane::Ordered;
        }
        self.metrics.deliveries.inc();
        delivery
    }

    /// Brings what an event owes beyond its deliveries that found a place at once, some at a time: each is made when
    /// its turn comes, so that an event for many integrations is not in memory as many times.
    pub(super) async fn bring_all(
        self: Arc<Self>,
        accepted: Accepted,
        rest: Vec<(Match, Option<State>)>,
        matched: u32,
    ) -> Result<(), Error> {
        let _owed = Owed::count(self.clone(), rest.len());
        let bringing = rest.into_iter().map(|(found, state)| {
            let delivery = self.delivery(&accepted, &found, matched);
            let partition = self.clone();
            async move {
                match (Way::of(&found, state.as_ref()), found.result, state) {
                    (Way::Gather(hop), ..) => partition.gather(delivery, hop).await,
                    (_, Err(error), _) => partition.bury_erring(delivery, &error.to_string()).await,
                    (_, Ok(()), Some(state)) => partition.bring(delivery, Move::Park(state)).await,
                    (_, Ok(()), None) => partition.bring(delivery, Move::Deliver).await,
                }
            }
        });
        let mut bringing = futures::stream::iter(bringing).buffer_unordered(BRING_MAX);
        let mut result = Ok(());
        while let Some(brought) = bringing.next().await {
            result = result.and(brought);
        }
        result
    }

    /// Brings one delivery into its lane, into PARKED, or into DEAD, for as long as it takes.
    ///
    /// A lane that refuses it or does not answer in time is passed by: the integration is held back
    /// and the delivery parked.
    pub(super) fn bring(self: &Arc<Self>, delivery: Delivery, mut next: Move) -> BoxFuture<'static, Result<(), Error>> {
        let partition = self.clone();
        Box::pin(async move {
            let broker = &partition.broker;
            let mut refused = false;
            loop {
                next = match next {
                    Move::Deliver => {
                        let publish = match hops::publish_of(&delivery, Hop::Deliver(Lane::Live)) {
                            Ok(publish) => publish,
                            Err(error) => return partition.bury_unstorable(delivery, &error).await,
                        };
                        match broker.publisher().send(publish, Some(partition.stall())).await.await {
                            Ok(_) => {
                                partition.taken(refused);
                                return Ok(());
                            }
                            Err(refusal) => Move::PassBy(refusal),
                        }
                    }
                    Move::PassBy(refusal) if refusal.is_transient() => {
                        let reason = format!("the stream of its provider does not take deliveries: {refusal}");
                        match broker.hold_back(&delivery.integration, &reason, Timestamp::now()).await {
                            Ok(state) => Move::Park(state),
                            // It may have been the connection, and the stream may answer again.
                            Err(error) if error.is_transient() => {
                                refused = true;
                                partition.refused(&error).await;
                                Move::Deliver
                            }
                            Err(error) => return partition.bury_unstorable(delivery, &error).await,
                        }
                    }
                    Move::PassBy(refusal) => {
                        partition.metrics.unstorable.inc();
                        let why = format!("the stream of its provider refuses this delivery: {refusal}");
                        return partition.bury_delivery(delivery, &why).await;
                    }
                    Move::Park(state) => {
                        let held = partition.until_taken(|| broker.park_behind(&delivery, &state)).await;
                        match held {
                            Ok(Held::Parked) => {
                                partition.metrics.parked.inc();
                                return Ok(());
                            }
                            // It was let go meanwhile.
                            Ok(Held::Open) => Move::Deliver,
                            Err(error) => return partition.bury_unstorable(delivery, &error).await,
                        }
                    }
                };
            }
        })
    }

    /// Brings one delivery to those that it goes with, for as long as it takes.
    async fn gather(&self, delivery: Delivery, hop: Hop) -> Result<(), Error> {
        let taken = self
            .until_taken(async || self.broker.hop_within(&delivery, hop, self.stall()).await)
            .await;
        match taken {
            Ok(_) => Ok(()),
            Err(error) => self.bury_unstorable(delivery, &error).await,
        }
    }

    /// One that its stream will never take is a dead letter. Its event could else never be acknowledged, and nothing
    /// that goes in order passes an event that is not.
    pub(super) async fn bury_unstorable(&self, delivery: Delivery, error: &Error) -> Result<(), Error> {
        self.metrics.unstorable.inc();
        tracing::error!(%error, delivery.id = %delivery.id, integration.id = %delivery.integration, "no stream takes a delivery; it is a dead letter");
        let why = match std::error::Error::source(error) {
            Some(cause) => format!("no stream takes this delivery: {cause}"),
            None => format!("no stream takes this delivery: {error}"),
        };
        self.bury_delivery(delivery, &why).await
    }

    /// An erring filter is an outcome that the owner sees.
    async fn bury_erring(&self, delivery: Delivery, why: &str) -> Result<(), Error> {
        self.metrics.erring.inc();
        let why = format!("the filter of the integration fails on this event: {why}");
        self.bury_delivery(delivery, &why).await
    }

    async fn bury_delivery(&self, delivery: Delivery, why: &str) -> Result<(), Error> {
        let id = delivery.hop_id();
        let at = delivery.since;
        let letter = DeadLetter::of_delivery(Stage::Route, DeadReason::Invalid, why, delivery, at);
        self.bury(&letter, &id).await
    }

    pub(super) async fn bury(&self, letter: &DeadLetter, id: &str) -> Result<(), Error> {
        self.until_taken(|| self.broker.bury(letter, id)).await.map(|_| ())
    }

    /// Tries until the broker takes it or says that it never will.
    async fn until_taken<T, F: Future<Output = Result<T, Error>>>(
        &self,
        mut step: impl FnMut() -> F,
    ) -> Result<T, Error> {
        let mut refused = false;
        loop {
            match step().await {
                Err(error) if error.is_transient() => {
                    refused = true;
                    self.refused(&error).await;
                }
                done => {
                    self.taken(refused);
                    return done;
                }
            }
        }
    }

    /// Waits before a delivery is offered again, and says so if it is the first.
    async fn refused(&self, error: &Error) {
        // Many may be refused at once: the first speaks for all.
        if !self.refusing.swap(true, Ordering::Relaxed) {
            self.health.not_ready(format!("a delivery cannot be stored: {error}"));
            tracing::warn!(%error, router.partition = self.number, "a delivery cannot be stored; such are offered again until they can");
        }
        tokio::time::sleep(REFUSED_RETRY).await;
    }

    /// One that was refused is stored.
    fn taken(&self, refused: bool) {
        if refused && self.refusing.swap(false, Ordering::Relaxed) {
            self.health.ready();
        }
    }
}
