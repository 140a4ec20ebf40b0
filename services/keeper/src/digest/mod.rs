//! Digests: the members that wait in BATCH become deliveries when their window is over, or when they are enough.
//!
//! One keeper reads what comes into BATCH, once a second, and remembers sizes and sequences ([`gathered`]). What is due
//! is closed by the steps of `broker::digests`, which bear a crash anywhere; a keeper that takes over goes on with what
//! it finds begun. Integrations are closed beside one another, so many of a provider at a time; while the stream of a
//! provider does not answer, one digest of it is tried now and then, and those of the others go on.

mod close;
mod gathered;
mod lines;

use std::time::Duration;

use futures::{StreamExt as _, stream::FuturesUnordered};
use signalbox_broker::{Error, PublishError};
use signalbox_proto::{Integration, Name, Timestamp, subjects};
use tokio::time::Instant;

use self::{
    close::Work,
    gathered::{Gathered, Rule},
    lines::{Ended, Lines},
};
use crate::{Keeper, settle};

/// The longest pause between two looks at BATCH.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The shortest: windows that are over one after another share a look.
const LOOK_LEAST: Duration = Duration::from_millis(50);
/// Messages of BATCH read at a time.
const READ: usize = 1_000;

/// Closes digests for as long as the duty is held.
pub(crate) async fn run(keeper: Keeper) -> Result<(), Error> {
    let metrics = &keeper.process.metrics;
    let digests = metrics.counter("keeper_digests", "Digests that were closed and sent.");
    let events = metrics.counter("keeper_digest_events", "Events in them.");
    let mut gathered = Gathered::new();
    let mut lines = Lines::new();
    let mut closing = FuturesUnordered::new();
    for begun in keeper.broker.manifests().await? {
        let integration = begun.value.integration.clone();
        tracing::info!(
            integration.id = integration,
            digest.id = begun.value.id,
            "going on with a digest that was begun"
        );
        lines.push(provider_of(&keeper, &integration), Work::Resume(begun));
    }
    let mut look_at = Instant::now();
    // Whether all that has come is known: before that, or where it cannot be read, a digest would close with too few.
    let mut is_read = false;
    loop {
        while let Some((provider, work)) = lines.next(Instant::now()) {
            let keeper = &keeper;
            closing.push(async move {
                let integration = work.integration().to_owned();
                let closed = close::close(keeper, work).await;
                (provider, integration, closed)
            });
        }
        let wakes = lines.wakes().map_or(look_at, |wakes| wakes.min(look_at));
        tokio::select! {
            biased;
            Some((provider, integration, closed)) = closing.next(), if !closing.is_empty() => {
                match &closed {
                    Ok(closed) => {
                        gathered.settle(&integration, closed.through);
                        digests.inc_by(u64::from(closed.events > 0));
                        events.inc_by(closed.events);
                    }
                    Err(error) => {
                        let error = settle::why(error);
                        tracing::warn!(error, integration.id = integration, "cannot close a digest yet");
                    }
                }
                lines.ended(&provider, &integration, ended(closed.as_ref().err()), Instant::now());
                // Of one that failed, the next look decides.
                if closed.is_ok()
                    && is_read
                    && let Some(due) = gathered.due_of(&integration, rule(&keeper, &integration), Timestamp::now())
                {
                    lines.push(provider, Work::of(due));
                }
            }
            () = tokio::time::sleep_until(wakes) => {
                if Instant::now() < look_at {
                    continue;
                }
                let read = read(&keeper, &mut gathered).await;
                is_read = read.is_ok();
                if let Err(error) = read {
                    let error = settle::why(&error);
                    tracing::warn!(error, "cannot read BATCH; digests wait");
                    look_at = Instant::now() + LOOK_EVERY;
                    continue;
                }
                let now = Timestamp::now();
                let (due, next) = keeper.view.read(|view| {
                    gathered.due(now, |integration| Rule::of(view.integrations.get(integration)))
                });
                for due in due {
                    lines.push(provider_of(&keeper, &due.integration), Work::of(due));
                }
                let pause = next.map_or(LOOK_EVERY, |next| next.since(now).clamp(LOOK_LEAST, LOOK_EVERY));
                look_at = Instant::now() + pause;
            }
        }
    }
}

/// What a failure says of the provider's stream.
fn ended(error: Option<&Error>) -> Ended {
    match error {
        None => Ended::Well,
        Some(Error::Publish {
            source: PublishError::TimedOut | PublishError::Full { .. } | PublishError::Closed,
            ..
        }) => Ended::Unanswered,
        Some(_) => Ended::Badly,
    }
}

fn rule(keeper: &Keeper, integration: &str) -> Rule {
    keeper.view.read(|view| Rule::of(view.integrations.get(integration)))
}

fn provider_of(keeper: &Keeper, integration: &str) -> Option<Name> {
    let provider = |known: &Integration| known.provider.clone();
    keeper
        .view
        .read(|view| view.integrations.get(integration).map(provider))
}

/// Reads what has come into BATCH since the last look.
async fn read(keeper: &Keeper, gathered: &mut Gathered) -> Result<(), Error> {
    let state = keeper.broker.stream_state(subjects::BATCH).await?;
    if state.messages == 0 || state.last_seq + 1 < gathered.next() {
        // Empty, or made anew.
        gathered.clear(if state.messages == 0 { state.last_seq } else { 0 });
    }
    while gathered.next() <= state.last_seq && !gathered.is_full() {
        let part = keeper
            .broker
            .read_from(subjects::BATCH, subjects::BATCH_ALL, gathered.next(), READ)
            .await?;
        if part.is_empty() {
            break;
        }
        part.iter().for_each(|stored| gathered.take(stored));
    }
    Ok(())
}
