//! Counting for targets that take totals, and telling them what it comes to.
//!
//! Totals are one value of KV STATE for each integration, and one process at a time has the lease to change and to push
//! them. It takes all deliveries of the integration that wait in it, counts them, pushes, and lets the lease go. What comes
//! meanwhile waits for the next push, so that many events need few.
//!
//! **Invariant:** what is pushed was stored before, under the lease, on condition that nothing was stored in between; and the
//! push goes on only while the lease holds. So pushes go out in the order of their totals, and no counter falls.
//!
//! A write without an answer is repeated under the same lease. A crash after counting leaves the delivery known to the
//! totals (`signalbox_proto::totals`): it comes again, is not counted again, and is pushed with the rest. A push that fails
//! is an outcome of each delivery that waited for it, and each carries on that it was counted. Where the holder of the lease dies, others go on once the lease is over.

mod kept;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use signalbox_broker::{Broker, Error};
use signalbox_proto::{
    Delivery, Outcome, Timestamp, subjects,
    totals::{Counted, Mark, Totals},
};
use signalbox_providers::{
    AnyTarget, Client, Request,
    count::{Count, Push},
    http::Response,
};
use tokio::{sync::oneshot, time::Instant};

use crate::lease::Lease;
use kept::InState;

/// How long the lease is asked for: longer than one that was left behind lasts.
const WAIT_MAX: Duration = Duration::from_secs(15);
/// The least time between the beginnings of two pushes of one process for one integration.
const PUSH_EVERY: Duration = Duration::from_millis(100);

/// What counts deliveries, and tells their targets.
pub(crate) trait Counting: Sync {
    /// Counts a delivery and waits for a push that holds it, with the settings of this revision or of a later one. Dropping
    /// the future does not take the count back.
    fn push(
        &self,
        client: &Client,
        target: (&dyn AnyTarget, u64),
        delivery: &Delivery,
        count: Count,
    ) -> impl Future<Output = Pushed> + Send;
}

/// Counts and pushes for all integrations of a process. Clones share the work.
#[derive(Clone)]
pub(crate) struct Pushers {
    broker: Broker,
    instance: Arc<str>,
    /// By integration; there is an entry as long as a task is at work for it.
    waiting: Arc<Mutex<HashMap<String, Vec<Waiting>>>>,
}

/// A delivery that waits for a push.
struct Waiting {
    /// That of the integration whose settings it came with.
    revision: u64,
    mark: Mark,
    /// Those of its events that are to be counted; none where they were in an attempt before.
    events: Vec<Counted>,
    push: Arc<Push>,
    client: Client,
    timeout: Duration,
    tell: oneshot::Sender<Pushed>,
}

/// What came of a delivery.
#[derive(Clone, Debug)]
pub(crate) struct Pushed {
    /// Whether the totals hold it.
    pub(crate) counted: bool,
    /// Whether a push was sent.
    pub(crate) asked: bool,
    /// Whether it is our fault that there is no answer.
    pub(crate) is_hindered: bool,
    /// The answer, or what it means that there is none.
    pub(crate) answer: Result<Response, Outcome>,
}

impl Pushed {
    /// For a reason of ours.
    fn hindered(counted: bool, asked: bool, why: &str) -> Self {
        let reason = format!("its totals could not be pushed: {why}");
        Self {
            counted,
            asked,
            is_hindered: true,
            answer: Err(Outcome::Retry { reason, after: None }),
        }
    }
}

/// Whether a delivery was counted in an attempt before this one.
pub(crate) fn is_counted(delivery: &Delivery) -> bool {
    delivery.progress.as_ref().is_some_and(|progress| progress.counted)
}

impl Pushers {
    pub(crate) fn new(broker: Broker, instance: &str) -> Self {
        Self {
            broker,
            instance: instance.into(),
            waiting: Arc::default(),
        }
    }

    /// Lets a delivery wait for the next push, and begins with pushing where nobody has.
    fn wait(&self, integration: &str, waiting: Waiting) {
        let mut all = self.waiting();
        if let Some(others) = all.get_mut(integration) {
            return others.push(waiting);
        }
        all.insert(integration.to_owned(), vec![waiting]);
        drop(all);
        let duty = Duty {
            pushers: self.clone(),
            integration: integration.to_owned(),
        };
        tokio::spawn(duty.run());
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Vec<Waiting>>> {
        self.waiting.lock().expect("no holder of the lock panics")
    }
}

impl Counting for Pushers {
    async fn push(
        &self,
        client: &Client,
        (target, revision): (&dyn AnyTarget, u64),
        delivery: &Delivery,
        count: Count,
    ) -> Pushed {
        let (tell, told) = oneshot::channel();
        let waiting = Waiting {
            revision,
            mark: Mark::of(delivery),
            events: if is_counted(delivery) { Vec::new() } else { count.events },
            push: count.push,
            client: client.clone(),
            timeout: target.about().timeout,
            tell,
        };
        self.wait(&delivery.integration, waiting);
        let given_up = |_| Pushed::hindered(false, false, "the push was given up");
        told.await.unwrap_or_else(given_up)
    }
}

/// Pushing for one integration, for as long as something waits.
struct Duty {
    pushers: Pushers,
    integration: String,
}

impl Duty {
    async fn run(self) {
        loop {
            let began = Instant::now();
            let Some(batch) = self.next() else { return };
            let pushed = self.push(&batch).await;
            let size = batch.len();
            for waiting in batch {
                // Who waited may have given up.
                drop(waiting.tell.send(pushed.clone()));
            }
            let took_ms = began.elapsed().as_millis() as u64;
            tracing::debug!(
                integration.id = self.integration,
                size,
                took_ms,
                "totals pushed, or not"
            );
            tokio::time::sleep_until(began + PUSH_EVERY).await;
        }
    }

    /// What waits now; where nothing does, the duty is over.
    fn next(&self) -> Option<Vec<Waiting>> {
        let mut all = self.pushers.waiting();
        let waiting = all.get_mut(&self.integration).map(std::mem::take).unwrap_or_default();
        if waiting.is_empty() {
            all.remove(&self.integration);
            return None;
        }
        Some(waiting)
    }

    async fn push(&self, batch: &[Waiting]) -> Pushed {
        let broker = &self.pushers.broker;
        let key = subjects::totals_lease(&self.integration);
        let mut lease = match Lease::take(broker, &key, &self.pushers.instance, WAIT_MAX).await {
            Ok(lease) => lease,
            Err(why) => return Pushed::hindered(false, false, &why),
        };
        let (counted, asked) = (AtomicBool::new(false), AtomicBool::new(false));
        let pushing = self.count_and_push(batch, &counted, &asked);
        let pushed = lease.bound(pushing).await.unwrap_or_else(|| {
            let known = |it: &AtomicBool| it.load(Ordering::Relaxed);
            Pushed::hindered(known(&counted), known(&asked), "the lease of its totals was lost")
        });
        lease.release().await;
        pushed
    }

    async fn count_and_push(&self, batch: &[Waiting], counted: &AtomicBool, asked: &AtomicBool) -> Pushed {
        let totals = match self.count(batch).await {
            Ok(Some(totals)) => totals,
            Ok(None) => return Pushed::hindered(false, false, "they were removed, or another worker changes them"),
            Err(error) => return Pushed::hindered(false, false, &error.to_string()),
        };
        counted.store(true, Ordering::Relaxed);
        let Some(newest) = newest(batch) else {
            return Pushed::hindered(true, false, "nothing waits");
        };
        asked.store(true, Ordering::Relaxed);
        let answer = newest
            .client
            .send(Request::Http(newest.push.request(&totals)), newest.timeout)
            .await;
        Pushed {
            counted: true,
            asked: true,
            is_hindered: false,
            answer: answer
                .map(|exchange| exchange.response)
                .map_err(|unanswered| unanswered.outcome),
        }
    }

    /// Stores totals that hold all of these; `None` where somebody else is at them, or they are wanted no more.
    async fn count(&self, batch: &[Waiting]) -> Result<Option<Totals>, Error> {
        let kept = InState {
            broker: &self.pushers.broker,
            integration: &self.integration,
        };
        let add = |totals: &mut Totals| {
            let now = Timestamp::now();
            for waiting in batch.iter().filter(|waiting| !waiting.events.is_empty()) {
                totals.count(waiting.mark, &waiting.events, now);
            }
        };
        kept::count(&kept, add).await
    }
}

/// The one whose settings count: of the highest revision, and of equal ones the last that came.
fn newest(batch: &[Waiting]) -> Option<&Waiting> {
    batch.iter().max_by_key(|waiting| waiting.revision)
}

impl Drop for Duty {
    /// However it ends, the next delivery begins anew. In the ordinary way nothing waits any more.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.pushers.waiting().remove(&self.integration);
        }
    }
}

#[cfg(test)]
mod tests;
