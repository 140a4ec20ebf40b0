//! One process records; others stand by.
//!
//! The lease keeps others from doing the same work for nothing. What keeps history right is the position in the
//! database, which only one recorder can move from where it is.

use std::time::Duration;

use crate::{Error, Recorder};

/// The lease of the duty.
const KEY: &str = "recorder";
/// The rest after the duty failed.
const REST: Duration = Duration::from_secs(1);

/// Does the duty whenever the lease can be had, until the process is asked to stop. The duty ends by itself then.
pub(crate) async fn hold<F>(recorder: &Recorder, duty: impl Fn() -> F)
where
    F: Future<Output = Result<(), Error>>,
{
    let (broker, shutdown, ttl) = (&recorder.broker, &recorder.process.shutdown, recorder.config.lease);
    while !shutdown.is_requested() {
        let mut lease = match broker.acquire(KEY, &recorder.process.instance, ttl).await {
            Ok(Some(lease)) => lease,
            Ok(None) => {
                recorder.health.ready();
                rest(recorder, ttl / 3).await;
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot ask for the lease of the recorder");
                rest(recorder, ttl / 3).await;
                continue;
            }
        };
        tracing::debug!("holding the lease of the recorder");
        let ended = tokio::select! {
            () = broker.keep(&mut lease) => {
                tracing::warn!("lost the lease of the recorder");
                continue;
            }
            ended = duty() => ended,
        };
        if let Err(error) = ended {
            tracing::warn!(error = &error as &dyn std::error::Error, "recording begins anew");
            rest(recorder, REST).await;
        }
        if let Err(error) = broker.release(lease).await {
            tracing::debug!(%error, "the lease of the recorder is left to expire");
        }
    }
}

async fn rest(recorder: &Recorder, time: Duration) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = recorder.process.shutdown.requested() => {}
    }
}
