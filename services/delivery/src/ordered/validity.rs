//! How long a lease of 9 seconds holds for who has it: that of a partition, or of totals.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::time::Instant;

/// From then on nothing is sent any more.
const VALID: Duration = Duration::from_secs(6);

/// When a lease was last renewed.
#[derive(Clone, Debug)]
pub(crate) struct Validity {
    base: Instant,
    renewed: Arc<AtomicU64>,
}

impl Validity {
    pub(crate) fn new(renewed: Instant) -> Self {
        Self {
            base: renewed,
            renewed: Arc::new(AtomicU64::new(0)),
        }
    }

    pub(crate) fn renew(&self, at: Instant) {
        let millis = u64::try_from(at.duration_since(self.base).as_millis()).unwrap_or(u64::MAX);
        self.renewed.store(millis, Ordering::Release);
    }

    pub(super) fn renewed(&self) -> Instant {
        self.base + Duration::from_millis(self.renewed.load(Ordering::Acquire))
    }

    /// Whether the holder may still send.
    pub(crate) fn holds(&self, now: Instant) -> bool {
        now.duration_since(self.renewed()) < VALID
    }

    /// Whether it is of the same lease, and not of one that was taken before or after.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.renewed, &other.renewed)
    }

    /// Goes on with a future for as long as the lease holds; `None` where it does not. It is looked at before each
    /// step, as a request may wait for its connection for longer than a lease lasts.
    pub(crate) async fn bound<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        std::future::poll_fn(|context| match self.holds(Instant::now()) {
            true => future.as_mut().poll(context).map(Some),
            false => Poll::Ready(None),
        })
        .await
    }
}

#[cfg(test)]
mod tests;
