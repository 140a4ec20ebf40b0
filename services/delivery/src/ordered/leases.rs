//! Which partitions of ORDERED this process has: one process at a time has each.
//!
//! **Invariant:** who has not renewed a lease for two thirds of its time, by a clock that also runs while the process
//! is frozen, sends nothing of its partition any more. The time of a renewal is that of its beginning: the server's
//! time to live begins later.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::future::join_all;
use signalbox_broker::{Broker, lease::Lease, ordered::OrderedLeases};
use signalbox_proto::{Name, hash, subjects};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{poison, validity::Validity};

/// How long a lease lasts after its last renewal.
pub(super) const TTL: Duration = Duration::from_secs(9);
/// When it is renewed.
const RENEW_AFTER: Duration = Duration::from_secs(3);
/// The pause between two looks at who has what: while there is something to take, and while there is not.
const LOOK_SOON: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(1_500);
/// How long a look may take: renewals wait for it.
const LOOK_WITHIN: Duration = Duration::from_secs(2);

/// What becomes of a partition.
#[derive(Debug)]
pub(crate) enum Change {
    /// It is ours.
    Granted(u32, Validity),
    /// Others came: finish what is in hand, and give it back.
    GiveBack(u32),
    /// It is ours no more.
    Lost(u32),
}

/// A partition that is finished with, and the lease by which it was had: it may be ours anew by another.
pub(crate) type Over = (u32, Validity);

struct Held {
    lease: Lease,
    validity: Validity,
    giving_back: bool,
}

/// Takes, renews and gives back the leases of one provider.
pub(crate) struct Leases {
    pub(crate) broker: Broker,
    pub(crate) provider: Name,
    pub(crate) instance: String,
    /// Whether there is anything to have partitions for.
    pub(crate) wanted: watch::Receiver<bool>,
    pub(crate) changes: mpsc::UnboundedSender<Change>,
    /// Partitions that are finished with, each with the lease by which it was had.
    pub(crate) finished: mpsc::UnboundedReceiver<Over>,
}

impl Leases {
    /// Ends when the worker does; the leases that it has finished with are given back before.
    pub(crate) async fn run(mut self) {
        let mut held: BTreeMap<u32, Held> = BTreeMap::new();
        let mut presence: Option<(Lease, Instant)> = None;
        loop {
            let wanted = *self.wanted.borrow();
            let mut pause = LOOK_SOON;
            if wanted {
                self.renew(&mut held).await;
                self.be_present(&mut presence).await;
                if presence.is_some() && self.balance(&mut held).await {
                    pause = LOOK_EVERY;
                }
            } else {
                // First of all: the others then take what becomes free, and this process is not counted any more.
                if let Some((lease, _)) = presence.take() {
                    self.release(lease).await;
                }
                for (partition, held) in &mut held {
                    if !std::mem::replace(&mut held.giving_back, true) {
                        self.tell(Change::GiveBack(*partition));
                    }
                }
                self.renew(&mut held).await;
            }
            let idle = !wanted && held.is_empty();
            tokio::select! {
                () = tokio::time::sleep(pause), if !idle => {}
                changed = self.wanted.changed() => if changed.is_err() { break },
                finished = self.finished.recv() => match finished {
                    Some(over) => self.give_back(&mut held, &over).await,
                    None => break,
                },
            }
        }
        while let Some(over) = self.finished.recv().await {
            self.give_back(&mut held, &over).await;
        }
        // The worker is gone, and with it all that it had in hand.
        for (_, held) in held {
            self.release(held.lease).await;
        }
        if let Some((lease, _)) = presence {
            self.release(lease).await;
        }
    }

    /// Gives back the lease of a partition that is finished with. One that is ours by a later lease stays.
    async fn give_back(&self, held: &mut BTreeMap<u32, Held>, over: &Over) {
        if let Some(held) = take_over(held, over, |held| &held.validity) {
            // While it is still ours: the next owner says at once that it begins.
            if let Err(error) = poison::end(&self.broker, &self.provider, over.0).await {
                tracing::debug!(%error, order.partition = over.0, "the next worker of a partition takes this one for stopped");
            }
            self.release(held.lease).await;
        }
    }

    fn tell(&self, change: Change) {
        if self.changes.send(change).is_err() {
            tracing::debug!(provider = %self.provider, "the worker of ordered deliveries is gone");
        }
    }

    /// Renews what is due, all at once: one that is slow must not cost the others.
    async fn renew(&self, held: &mut BTreeMap<u32, Held>) {
        let now = Instant::now();
        let due = held
            .iter_mut()
            .filter(|(_, held)| now.duration_since(held.validity.renewed()) >= RENEW_AFTER);
        let renewals = due.map(async |(partition, held)| {
            let begun = Instant::now();
            match self.broker.renew(&mut held.lease).await {
                Ok(true) => held.validity.renew(begun),
                Ok(false) => return Some(*partition),
                Err(error) => {
                    tracing::debug!(%error, order.partition = partition, "a lease could not be renewed yet");
                }
            }
            (!held.validity.holds(Instant::now())).then_some(*partition)
        });
        for partition in join_all(renewals).await.into_iter().flatten() {
            tracing::warn!(provider = %self.provider, order.partition = partition, "lost the lease of a partition");
            held.remove(&partition);
            self.tell(Change::Lost(partition));
        }
    }

    /// Says that this process takes part.
    async fn be_present(&self, presence: &mut Option<(Lease, Instant)>) {
        let key = subjects::ordered_worker(&self.provider, &self.instance);
        let now = Instant::now();
        let kept = match presence {
            Some((_, renewed)) if now.duration_since(*renewed) < RENEW_AFTER => return,
            Some((lease, renewed)) => match self.broker.renew(lease).await {
                Ok(true) => {
                    *renewed = now;
                    return;
                }
                Ok(false) => Ok(None),
                // What is there without being renewed is forgotten by the server.
                Err(error) => Err(error),
            },
            None => self.broker.acquire(&key, &self.instance, TTL).await,
        };
        match kept {
            Ok(lease) => *presence = lease.map(|lease| (lease, now)),
            Err(error) => {
                tracing::debug!(%error, provider = %self.provider, "cannot say that ordered deliveries are taken here");
            }
        }
    }

    /// Takes what is free up to the fair share, and begins to give back what is above it. True where the share is had.
    async fn balance(&self, held: &mut BTreeMap<u32, Held>) -> bool {
        let looked = tokio::time::timeout(LOOK_WITHIN, self.broker.ordered_leases(&self.provider)).await;
        let leases = match looked {
            Ok(Ok(leases)) => leases,
            Ok(Err(error)) => {
                tracing::debug!(%error, provider = %self.provider, "cannot see who takes ordered deliveries");
                return false;
            }
            Err(_) => return false,
        };
        let ours: BTreeMap<u32, bool> = held.iter().map(|(number, held)| (*number, held.giving_back)).collect();
        let plan = plan(&leases, &ours, &self.instance);
        for partition in plan.give {
            if let Some(held) = held.get_mut(&partition) {
                held.giving_back = true;
                self.tell(Change::GiveBack(partition));
            }
        }
        for partition in plan.take {
            let key = subjects::ordered_lease(&self.provider, partition);
            let begun = Instant::now();
            match self.broker.acquire(&key, &self.instance, TTL).await {
                Ok(Some(lease)) => {
                    let validity = Validity::new(begun);
                    self.tell(Change::Granted(partition, validity.clone()));
                    held.insert(
                        partition,
                        Held {
                            lease,
                            validity,
                            giving_back: false,
                        },
                    );
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, order.partition = partition, "cannot ask for the lease of a partition");
                    return false;
                }
            }
        }
        held.len() >= plan.share
    }

    async fn release(&self, lease: Lease) {
        if let Err(error) = self.broker.release(lease).await {
            tracing::debug!(%error, provider = %self.provider, "a lease is left to expire");
        }
    }
}

/// Takes out what is finished with, if it is still had by the same lease.
fn take_over<T>(held: &mut BTreeMap<u32, T>, over: &Over, validity: impl Fn(&T) -> &Validity) -> Option<T> {
    let (partition, of) = over;
    let same = held.get(partition).is_some_and(|held| validity(held).is_of(of));
    same.then(|| held.remove(partition))?
}

/// What to take and what to give back.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    share: usize,
    take: Vec<u32>,
    give: Vec<u32>,
}

/// The fair share of each that takes part; `ours` says which of ours are being given back.
fn plan(leases: &OrderedLeases, ours: &BTreeMap<u32, bool>, instance: &str) -> Plan {
    let workers: BTreeSet<&str> = leases.workers.iter().map(String::as_str).chain([instance]).collect();
    let share = (subjects::ORDER_PARTITIONS as usize).div_ceil(workers.len());
    let keeping: Vec<u32> = ours
        .iter()
        .filter(|(_, giving_back)| !**giving_back)
        .map(|(number, _)| *number)
        .collect();
    // Where several start at once they begin at different ones.
    let first = hash::fnv1a(instance.as_bytes()) % subjects::ORDER_PARTITIONS;
    let free = (0..subjects::ORDER_PARTITIONS)
        .map(|number| (first + number) % subjects::ORDER_PARTITIONS)
        .filter(|number| !leases.taken.contains(number) && !ours.contains_key(number));
    Plan {
        share,
        take: free.take(share.saturating_sub(keeping.len())).collect(),
        give: keeping.into_iter().skip(share).collect(),
    }
}

#[cfg(test)]
mod tests;
