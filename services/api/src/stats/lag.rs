//! What waits now, for answers that have to be quick: a look at the streams is shared and some seconds old.
//!
//! A look counts what all integrations have waiting, which takes its time where much waits. So one goes on at a time, in
//! the background, and only who comes first waits for it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use signalbox_broker::waiting::{Look, Waiting};
use signalbox_proto::{Name, Timestamp};
use tokio::sync::Notify;

use crate::{Shared, problems};

/// How old a look may be before another one is taken.
const FRESH: Duration = Duration::from_secs(3);
/// How old a look may be that is shown while another one is taken.
const STALE: Duration = Duration::from_secs(60);
/// How long the first who asks waits for a look.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// The last look.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    last: Mutex<Option<Arc<Taken>>>,
    is_looking: AtomicBool,
    /// Rings when a look has ended, whether it saw something or not.
    ended: Notify,
}

/// A look and when it was taken.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) at: Timestamp,
    look: Look,
}

/// What waits for one integration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lag {
    pub(crate) integration: String,
    pub(crate) provider: String,
    pub(crate) pending: u64,
    pub(crate) retrying: u64,
    pub(crate) parked: u64,
    /// Seconds since the oldest was accepted; `None` where its age was not read.
    pub(crate) oldest_age_s: Option<u64>,
}

impl Taken {
    /// What waits for the integrations of an org. `provider_of` says the provider where the streams do not.
    pub(crate) fn of_org(&self, org: &Name, provider_of: &dyn Fn(&str) -> Option<String>) -> Vec<Lag> {
        let waiting = self
            .look
            .integrations
            .iter()
            .filter(|waiting| waiting.org == org.as_str());
        waiting.map(|waiting| self.lag(waiting, provider_of)).collect()
    }

    fn lag(&self, waiting: &Waiting, provider_of: &dyn Fn(&str) -> Option<String>) -> Lag {
        let provider = match waiting.provider.as_str() {
            "" => provider_of(&waiting.integration).unwrap_or_default(),
            known => known.to_owned(),
        };
        Lag {
            integration: waiting.integration.clone(),
            provider,
            pending: waiting.pending,
            retrying: waiting.retrying,
            parked: waiting.parked,
            oldest_age_s: waiting.oldest.map(|oldest| self.at.since(oldest).as_secs()),
        }
    }
}

impl Looks {
    // Nothing that holds the lock can panic.
    fn last(&self) -> Option<Arc<Taken>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, taken: Taken) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(taken));
    }

    /// The last look, unless it is older than this.
    fn within(&self, age: Duration, now: Timestamp) -> Option<Arc<Taken>> {
        self.last().filter(|taken| now.since(taken.at) <= age)
    }
}

impl Shared {
    /// What waits, as of some seconds ago. `None` where the streams do not answer in time.
    pub(super) async fn look(self: &Arc<Self>) -> Option<Arc<Taken>> {
        let now = Timestamp::now();
        if let Some(fresh) = self.looks.within(FRESH, now) {
            return Some(fresh);
        }
        let ended = self.looks.ended.notified();
        tokio::pin!(ended);
        // From here on no end is missed.
        ended.as_mut().enable();
        if !self.looks.is_looking.swap(true, Ordering::AcqRel) {
            tokio::spawn(take(self.clone()));
        }
        if let Some(stale) = self.looks.within(STALE, now) {
            return Some(stale);
        }
        if tokio::time::timeout(WAIT_MAX, ended).await.is_err() {
            tracing::debug!("what waits could not be counted in time for an answer");
        }
        self.looks.within(STALE, Timestamp::now())
    }
}

async fn take(shared: Arc<Shared>) {
    match shared.broker.look_at_waiting().await {
        Ok(look) => shared.looks.put(Taken {
            at: Timestamp::now(),
            look,
        }),
        Err(error) => tracing::warn!(error = problems::chain(&error), "what waits cannot be counted"),
    }
    shared.looks.is_looking.store(false, Ordering::Release);
    shared.looks.ended.notify_waiters();
}
