//! The records of acts that ended: readable for a while, then forgotten.

use std::time::Duration;

use signalbox_broker::{Broker, Error, kv::Entry};
use signalbox_proto::{
    Timestamp,
    act::{self, Act, ActStatus},
};

use crate::{Keeper, settle};

/// How often old records are looked for.
const EVERY: Duration = Duration::from_secs(600);
/// The first look, when what matters more at a start is done.
const FIRST_AFTER: Duration = Duration::from_secs(30);

/// Forgets old records again and again. What goes wrong can wait for the next time; acts at work cannot.
pub(crate) async fn prune(keeper: &Keeper) -> Result<(), Error> {
    tokio::time::sleep(FIRST_AFTER).await;
    loop {
        match forget_old(&keeper.broker).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::info!(forgotten, "forgot the records of old acts"),
            Err(error) if error.is_transient() => {
                tracing::warn!(error = settle::why(&error), "cannot forget the records of old acts yet");
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn forget_old(broker: &Broker) -> Result<usize, Error> {
    let acts = broker.acts().await?;
    let mut forgotten = 0;
    for entry in old(&acts, Timestamp::now()) {
        match broker.forget_act(&entry.value.id, entry.revision).await {
            Ok(()) => forgotten += 1,
            // Asked for again meanwhile.
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(forgotten)
}

/// Of the acts that ended, those that are too old, and those besides the newest.
fn old(acts: &[Entry<Act>], now: Timestamp) -> Vec<&Entry<Act>> {
    let mut ended: Vec<&Entry<Act>> = acts.iter().filter(|entry| has_ended(entry.value.status)).collect();
    ended.sort_by_key(|entry| std::cmp::Reverse((entry.value.updated_at, entry.revision)));
    let kept = ended
        .iter()
        .take(act::KEPT_MAX)
        .take_while(|entry| now.since(entry.value.updated_at) < act::KEPT_FOR)
        .count();
    ended.split_off(kept)
}

fn has_ended(status: ActStatus) -> bool {
    match status {
        ActStatus::Done | ActStatus::Cancelled | ActStatus::Failed => true,
        // What a newer version has written is not ours to forget.
        ActStatus::Running | ActStatus::Unknown => false,
    }
}

#[cfg(test)]
mod tests;
