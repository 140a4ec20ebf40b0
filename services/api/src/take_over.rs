//! The first start with a database over an installation that ran without one: what KV holds is taken over, once.
//!
//! Nothing is answered before that is done, so that nobody makes an integration whose name one in KV bears.

use std::time::Duration;

use signalbox_proto::{Phase, Timestamp};
use signalbox_store::take_over::Found;

use crate::{Shared, distribution::Error, problems::chain};

/// What the database says once it has been done.
const DONE: &str = "taken_over_at";
/// How long until it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Takes over what is in KV, unless that was done before. Tries until it is done.
pub(crate) async fn take_over(shared: &Shared) {
    while let Err(error) = attempt(shared).await {
        tracing::warn!(error = chain(&error), "cannot take over what KV holds yet");
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn attempt(shared: &Shared) -> Result<(), Error> {
    if shared.store().meta(DONE).await?.is_some() {
        return Ok(());
    }
    let now = Timestamp::now();
    let integrations: Vec<Found> = shared
        .directory
        .everything()
        .into_iter()
        .map(|integration| Found {
            held: shared.directory.state(&integration.id).phase == Phase::Paused,
            integration: (*integration).clone(),
        })
        .collect();
    let types = shared.broker.all_event_types().await?;
    let taken = shared.store().take_over(&integrations, &types, now).await?;
    for id in &taken.refused {
        tracing::error!(
            integration.id = id,
            "an integration of before cannot be taken over: another one bears its name; `signalbox doctor` names it"
        );
    }
    if taken.integrations + taken.event_types > 0 {
        tracing::info!(
            integrations = taken.integrations,
            event_types = taken.event_types,
            "what ran here before there was a database is taken over"
        );
    }
    shared.store().set_meta(DONE, &now.to_string()).await?;
    Ok(())
}
