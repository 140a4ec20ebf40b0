//! What is older than it is kept goes, a little at a time.

use std::{convert::Infallible, time::Duration};

use signalbox_proto::{Timestamp, subjects};
use signalbox_store::history::{Old, PRUNED_MAX};

use crate::{Error, Recorder};

/// The rest before the first look, so that a start is not slowed down by it.
const FIRST_AFTER: Duration = Duration::from_secs(60);

/// Looks for what is too old again and again.
pub(crate) async fn run(recorder: &Recorder) -> Infallible {
    let every = recorder.config.prune_every;
    tokio::time::sleep(every.min(FIRST_AFTER)).await;
    loop {
        match prune(recorder).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "history that is older than it is kept was removed"),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "history that is older than it is kept could not be removed; it is tried again"
            ),
        }
        tokio::time::sleep(every).await;
    }
}

async fn prune(recorder: &Recorder) -> Result<u64, Error> {
    let (store, config, now) = (&recorder.store, &recorder.config, Timestamp::now());
    let mut removed = 0;
    for old in Old::ALL {
        let kept = match old {
            Old::Audit => config.audit_retention,
            Old::Deliveries | Old::Members | Old::Unrouted | Old::DeadLetters | Old::Gaps | Old::Stats => {
                config.retention
            }
        };
        let before = now - kept;
        removed += in_turns(recorder, old.as_str(), || store.prune(old, before)).await?;
    }
    let dead = recorder.broker.stream_state(subjects::DEAD).await?;
    let gone = || store.prune_dead_letters(dead.created, dead.first_seq);
    removed += in_turns(recorder, Old::DeadLetters.as_str(), gone).await?;
    Ok(removed)
}

/// Removes a little, rests, and goes on until nothing is left.
async fn in_turns<F>(recorder: &Recorder, table: &str, remove: impl Fn() -> F) -> Result<u64, Error>
where
    F: Future<Output = Result<u64, signalbox_store::Error>>,
{
    let told = recorder.told.pruned.with([table]);
    let mut total = 0;
    loop {
        let removed = remove().await?;
        told.inc_by(removed);
        total += removed;
        if removed < PRUNED_MAX {
            return Ok(total);
        }
        tokio::time::sleep(recorder.config.prune_pause).await;
    }
}
