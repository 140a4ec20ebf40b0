//! The quotas of orgs, kept with counters that all processes share.
//!
//! What to ask them is decided in [`crate::quota`]. One task an org asks at a time, and no lock is held meanwhile: who
//! has something left goes on, and who has not waits for the answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use signalbox_broker::Broker;
use signalbox_proto::{Name, Timestamp};
use tokio::{sync::Notify, time::Instant};

use crate::quota::{Ask, Counted, Take, Tokens};

/// Orgs that a process remembers the leases of; beyond, those that were quiet for [`QUIET`] are forgotten.
const ORGS_MAX: usize = 10_000;
/// A lease is worth nothing after this long.
const QUIET: Duration = Duration::from_secs(2);
/// How long a process keeps the quotas by itself where the counters do not answer.
const ALONE: Duration = Duration::from_secs(5);

/// What a process holds of all orgs' quotas. Clones share it.
#[derive(Clone)]
pub(crate) struct Leases {
    shared: Arc<Shared>,
}

struct Shared {
    broker: Broker,
    per_second: u32,
    orgs: Mutex<HashMap<Name, Arc<Org>>>,
    /// Until when the counters are not asked, as they did not answer.
    alone: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Org {
    held: Mutex<Held>,
    answered: Notify,
}

#[derive(Default)]
struct Held {
    tokens: Tokens,
    counted: Counted,
    /// Whether a task asks for more just now, and the most that somebody waits for.
    is_asking: bool,
    wanted: i64,
    used: Option<Instant>,
}

impl Org {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("no holder of the lock panics")
    }
}

impl Leases {
    /// Without a quota (0) nobody is asked for anything.
    pub(crate) fn new(broker: Broker, per_second: u32) -> Self {
        let shared = Shared {
            broker,
            per_second,
            orgs: Mutex::default(),
            alone: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The quota of each org; 0 for none.
    pub(crate) fn per_second(&self) -> u32 {
        self.shared.per_second
    }

    /// Takes what so many events need, all or none.
    pub(crate) async fn take(&self, name: &Name, events: u32) -> bool {
        let per_second = i64::from(self.shared.per_second);
        let org = self.shared.org(name);
        loop {
            let answered = {
                let mut held = org.held();
                held.used = Some(Instant::now());
                let now_ms = Timestamp::now().millis();
                match held.tokens.take(events.into(), per_second, now_ms) {
                    Take::Taken => {
                        self.shared.ask_ahead(name, &org, &mut held, 0);
                        return true;
                    }
                    Take::Refused => return false,
                    Take::Ask => {
                        // Made before the lock is let go of: no answer is missed.
                        let answered = org.answered.notified();
                        self.shared.ask_ahead(name, &org, &mut held, events.into());
                        answered
                    }
                }
            };
            answered.await;
        }
    }

    /// Whether nothing of an org may go just now, as far as that is known without asking.
    pub(crate) fn is_used_up(&self, name: &Name) -> bool {
        let org = self.shared.orgs().get(name).cloned();
        org.is_some_and(|org| {
            let held = org.held();
            let now_ms = Timestamp::now().millis();
            !held.is_asking && held.tokens.is_used_up(self.shared.per_second.into(), now_ms)
        })
    }
}

impl Shared {
    fn orgs(&self) -> MutexGuard<'_, HashMap<Name, Arc<Org>>> {
        self.orgs.lock().expect("no holder of the lock panics")
    }

    fn org(&self, name: &Name) -> Arc<Org> {
        let mut orgs = self.orgs();
        if let Some(org) = orgs.get(name) {
            return org.clone();
        }
        if orgs.len() >= ORGS_MAX {
            orgs.retain(|_, org| {
                let held = org.held();
                held.is_asking || held.used.is_some_and(|used| used.elapsed() < QUIET)
            });
        }
        orgs.entry(name.clone()).or_default().clone()
    }

    /// Begins to ask, where something has to be asked and nobody does.
    fn ask_ahead(self: &Arc<Self>, name: &Name, org: &Arc<Org>, held: &mut Held, events: i64) {
        held.wanted = held.wanted.max(events);
        if held.is_asking {
            return;
        }
        let ask = held.next(self.per_second.into());
        let Some(ask) = ask else {
            // The bucket went over to another second or was emptied in between: who waits looks again.
            org.answered.notify_waiters();
            return;
        };
        held.is_asking = true;
        // A task of its own: it must come to its end also where who waits gives up.
        tokio::spawn(self.clone().ask(name.clone(), org.clone(), ask));
    }

    async fn ask(self: Arc<Self>, name: Name, org: Arc<Org>, mut ask: Ask) {
        let per_second = i64::from(self.per_second);
        loop {
            match ask {
                Ask::Begin { second, follows } => {
                    let earlier = async {
                        match follows {
                            true => self.count(&name, &org, second - 2, 0).await,
                            false => 0,
                        }
                    };
                    let before = self.count(&name, &org, second - 1, 0);
                    let (earlier, before) = tokio::join!(earlier, before);
                    org.held().tokens.begin(second, [earlier, before], per_second);
                }
                Ask::Lease { second, count } => {
                    let sum = self.count(&name, &org, second, count).await;
                    let now_ms = Timestamp::now().millis();
                    let back = org.held().tokens.answered(count, sum, per_second, now_ms);
                    if back > 0 {
                        self.count(&name, &org, second, -back).await;
                    }
                }
            }
            let mut held = org.held();
            org.answered.notify_waiters();
            match held.next(per_second) {
                Some(next) => ask = next,
                None => {
                    held.is_asking = false;
                    return;
                }
            }
        }
    }

    /// What the org has published in this second, these included. Where the counters do not answer each process counts
    /// for itself, on from what it was told: to let nobody publish would do more harm than to let some publish more.
    async fn count(&self, name: &Name, org: &Org, second: i64, count: i64) -> i64 {
        if self.may_ask() {
            match self.broker.count_published(name, second, count).await {
                Ok(sum) => {
                    *self.alone() = None;
                    org.held().counted.told(second, sum);
                    return sum;
                }
                Err(error) => {
                    tracing::warn!(%error, org = %name, "what orgs publish cannot be counted together; this process counts alone");
                    *self.alone() = Some(Instant::now() + ALONE);
                }
            }
        }
        org.held().counted.add(second, count)
    }

    fn alone(&self) -> MutexGuard<'_, Option<Instant>> {
        self.alone.lock().expect("no holder of the lock panics")
    }

    /// Whether the counters may be asked. After a while alone one asks, and the others go on alone until it has an
    /// answer: the wait for one that does not come is one org's alone.
    fn may_ask(&self) -> bool {
        let mut alone = self.alone();
        let now = Instant::now();
        match *alone {
            None => true,
            Some(until) if until <= now => {
                *alone = Some(now + ALONE);
                true
            }
            Some(_) => false,
        }
    }
}

impl Held {
    /// What to ask next for what somebody waits for, or ahead.
    fn next(&mut self, per_second: i64) -> Option<Ask> {
        let ask = self.tokens.ask(self.wanted, per_second, Timestamp::now().millis());
        // Who still waits after an answer says so again. The beginning of a second is no answer yet.
        if !matches!(ask, Some(Ask::Begin { .. })) {
            self.wanted = 0;
        }
        ask
    }
}
