//! A lease that is held for a push of totals, or for an attempt at a thing.

use std::time::Duration;

use signalbox_broker::{Broker, lease};
use tokio::time::Instant;

use crate::ordered::validity::Validity;

/// It is over so long after the last renewal; what it is held for stops a third earlier ([`Validity`]).
pub(crate) const TTL: Duration = Duration::from_secs(9);
/// The wait before it is asked for again where another has it: longer than most pushes take.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub(crate) struct Lease {
    broker: Broker,
    held: lease::Lease,
    validity: Validity,
}

impl Lease {
    /// Takes it as soon as it is free, or says why it cannot be had in so long.
    pub(crate) async fn take(broker: &Broker, key: &str, instance: &str, wait_max: Duration) -> Result<Self, String> {
        let began = Instant::now();
        loop {
            let asked = Instant::now();
            let why = match broker.acquire(key, instance, TTL).await {
                Ok(Some(held)) => {
                    return Ok(Self {
                        broker: broker.clone(),
                        held,
                        validity: Validity::new(asked),
                    });
                }
                Ok(None) => "another has it for a long time".to_owned(),
                Err(error) => error.to_string(),
            };
            if began.elapsed() >= wait_max {
                return Err(why);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Goes on with a future for as long as it is held, and renews it meanwhile; `None` where it is lost.
    pub(crate) async fn bound<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let Self { broker, held, validity } = self;
        tokio::select! {
            done = validity.bound(future) => done,
            () = keep(broker, held, validity) => None,
        }
    }

    /// Gives it back. Where that fails it runs out.
    pub(crate) async fn release(self) {
        if let Err(error) = self.broker.release(self.held).await {
            tracing::debug!(%error, "a lease is left to expire");
        }
    }
}

/// Renews it again and again; ends when it is lost.
async fn keep(broker: &Broker, held: &mut lease::Lease, validity: &Validity) {
    loop {
        tokio::time::sleep(TTL / 3).await;
        let asked = Instant::now();
        match broker.renew(held).await {
            Ok(true) => validity.renew(asked),
            Ok(false) => return,
            Err(error) if validity.holds(Instant::now()) => {
                tracing::debug!(%error, "a lease could not be renewed yet");
            }
            Err(_) => return,
        }
    }
}
