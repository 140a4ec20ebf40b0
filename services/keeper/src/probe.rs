//! Probes of suspended integrations that were lost, or that have failed too often.
//!
//! A probe is a delivery that a worker schedules. Where there was none in hand, or it was discarded, has expired, or
//! lets another one try, the oldest delivery that waits becomes the probe.

use std::time::Duration;

use futures::StreamExt;
use signalbox_broker::{Error, Message, Puller, hops::Hop, topology::Consumer};
use signalbox_proto::{
    Delivery, Integration, Lane, Phase, State, Timestamp,
    state::{PROBE_FIRST_SECS, Probe},
    subjects, wire,
};

use crate::{Keeper, settle};

/// How long after it was due a probe is taken to be lost: longer than a request, its redelivery and
/// its filing take together.
const LOST_AFTER: Duration = Duration::from_secs(90);
/// How long before it can come to a worker a probe is named: a worker that has not heard of it yet would park it.
const NAMED_BEFORE: Duration = Duration::from_secs(2);
/// How long the server may take to hand out what is there.
const PULL_WAIT: Duration = Duration::from_secs(1);
/// Integrations for which a probe is chosen at the same time.
const AT_ONCE: usize = 16;

/// Whether a suspended integration needs a new probe now: the wait that it stands for, and when it is due.
fn due(state: &State, now: Timestamp) -> Option<(u32, Timestamp)> {
    match &state.probe {
        None => {
            let first_secs = match state.backoff_secs {
                // Suspended by an older version.
                0 => PROBE_FIRST_SECS,
                secs => secs,
            };
            let first = Duration::from_secs(first_secs.into());
            (now.since(state.since) >= first).then_some((first_secs, now))
        }
        Some(probe) if probe.is_vacant() => Some((probe.wait_secs, probe.due)),
        Some(probe) => (now.since(probe.due) >= LOST_AFTER).then_some((probe.wait_secs, now)),
    }
}

/// Looks at all suspended integrations, some at a time: one whose stream does not answer holds up none
/// of the others.
pub(crate) async fn look(keeper: &Keeper) -> Result<(), Error> {
    let now = Timestamp::now();
    let pick = |state: &State| Some((due(state, now)?, state.probe.clone()));
    let lost = keeper.view.in_phase(Phase::Suspended, pick);
    futures::stream::iter(lost)
        .for_each_concurrent(AT_ONCE, async |(integration, ((wait_secs, due), known))| {
            if let Err(error) = choose(keeper, &integration, known.as_ref(), wait_secs, due).await {
                let error = settle::why(&error);
                tracing::warn!(error, integration.id = %integration.id, "cannot choose a probe yet");
            }
        })
        .await;
    Ok(())
}

/// Chooses another probe for an integration whose probe was given up: the oldest of what is left, at the same time.
/// Where nothing is left yet, the look finds the probe lost when its time is over.
pub(crate) async fn replace(keeper: &Keeper, integration: &str, lost: &str) -> Result<(), Error> {
    let state = keeper.broker.state(integration).await?.value;
    let known = keeper.view.read(|view| view.integrations.get(integration).cloned());
    match (known, state.probe.filter(|probe| probe.delivery == lost)) {
        (Some(integration), Some(probe)) if state.phase == Phase::Suspended => {
            choose(keeper, &integration, Some(&probe), probe.wait_secs, probe.due).await
        }
        _ => Ok(()),
    }
}

/// Makes the oldest parked delivery the probe, due then, unless another than the `known` one has become it.
async fn choose(
    keeper: &Keeper,
    integration: &Integration,
    known: Option<&Probe>,
    wait_secs: u32,
    due: Timestamp,
) -> Result<(), Error> {
    let broker = &keeper.broker;
    if broker.in_parked(&integration.org, &integration.id).await? == 0 {
        return Ok(());
    }
    let mut puller = Puller::open(broker, Consumer::unpark(&integration.org, &integration.id)).await?;
    let due = due.max(Timestamp::now() + NAMED_BEFORE);
    let chosen = match tokio::time::timeout(PULL_WAIT, puller.next(1)).await {
        Ok(message) => send(keeper, integration, known, &message, wait_secs, due).await,
        Err(_) => Ok(()),
    };
    // With its consumer, a message that could not be sent is handed back.
    puller.close().await;
    chosen
}

/// Sends a parked delivery as the probe. The state names it before it goes; a crash in between leaves a
/// probe that is lost in its turn.
async fn send(
    keeper: &Keeper,
    integration: &Integration,
    known: Option<&Probe>,
    message: &Message,
    wait_secs: u32,
    due: Timestamp,
) -> Result<(), Error> {
    let broker = &keeper.broker;
    let delivery = match wire::decode_delivery(&message.body) {
        Ok(delivery) => delivery,
        Err(error) => {
            settle::bury_unread(broker, subjects::PARKED, message, &error.to_string()).await?;
            return broker.remove(subjects::PARKED, message.place.seq).await;
        }
    };
    let probe = Probe {
        delivery: delivery.id.clone(),
        due,
        wait_secs,
        failed: 0,
    };
    let state = broker.set_probe(&integration.id, known, probe.clone(), None).await?;
    if state.phase != Phase::Suspended || state.probe != Some(probe) {
        return message.nak(broker).await;
    }
    let next = Delivery {
        probe: true,
        lane: Lane::Bulk,
        due: Some(due),
        ..delivery.next_hop()
    };
    settle::hop(keeper, &next, Hop::Schedule(due)).await?;
    // Removed and not acknowledged: the consumer ends at once, and an acknowledgement may end with it. What stayed here
    // would be chosen once more, and its hop be known to the server as a repeat: a probe that never comes.
    broker.remove(subjects::PARKED, message.place.seq).await?;
    tracing::info!(integration.id = %integration.id, delivery.id = %next.id, "probing a suspended integration");
    Ok(())
}

#[cfg(test)]
mod tests;
