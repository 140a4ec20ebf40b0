//! Health checks: integrations that ask for them are proved by the clock, without an event.
//!
//! Each look picks those whose check is due ([`pick`], pure under a given time). Before a check is made, KV STATE says
//! when the next one is, on condition that nobody said so before: so a check is made once, by whichever keeper, and a
//! keeper that dies in the middle leaves one out. What a target refuses suspends its integration, as a refused test does,
//! and what it takes brings a suspended one back; all else may pass by itself and is only noted.

mod notice;
mod prove;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use signalbox_broker::{Error, holding::Suspension};
use signalbox_proto::{
    Integration, Outcome, Phase, Timestamp,
    health::{self, Check, Found},
    integration::Status,
    state::{Cause, PROBE_FIRST_SECS},
    subjects,
};
use signalbox_runtime::metrics::{Counters, Metrics};

use prove::Proved;
pub use prove::Targets;

use crate::{Keeper, settle, view::View};

/// Between two looks at what is due.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Checks that are made, or entries that are read, at the same time.
const AT_ONCE: usize = 16;

/// What checks say on `/metrics`.
pub(crate) struct Told {
    checks: Counters<1>,
}

impl Told {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            checks: metrics.counters(
                "health_checks",
                "Health checks of integrations, by what the target's answer meant.",
                ["outcome"],
            ),
        }
    }
}

/// What KV STATE says of an integration's checks, as this keeper knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    check: Option<Check>,
    /// Under which it may be replaced; 0 where there is none.
    revision: u64,
}

type Book = HashMap<String, Known>;

/// What one look has to do.
#[derive(Debug, Default, PartialEq, Eq)]
struct Picked {
    /// All that are to be checked at some time.
    wanted: HashSet<String>,
    /// Those of them of which this keeper does not know what KV says.
    unread: Vec<String>,
    /// Those whose check is due, with the seconds between two.
    due: Vec<(Integration, u32)>,
    /// Those of which KV says something that nobody asks for any more: deleted, or without checks.
    over: Vec<String>,
}

/// Picks what is due. Nothing that a person holds is checked: what is found could change nothing.
fn pick(view: &View, book: &Book, now: Timestamp) -> Picked {
    let mut picked = Picked::default();
    let is_over = |id: &str| {
        let integration = view.integrations.get(id);
        integration.is_none_or(|one| one.status == Status::Deleted || one.flow.health_check_secs.is_none())
    };
    let noted = book.iter().filter(|(_, known)| known.revision > 0);
    picked.over = noted.map(|(id, _)| id.clone()).filter(|id| is_over(id)).collect();
    for integration in view.integrations.values() {
        let Some(every_secs) = health::wanted(integration) else {
            continue;
        };
        let phase = view
            .states
            .get(&integration.id)
            .map_or(Phase::Open, |state| state.phase);
        if matches!(phase, Phase::Paused | Phase::Unknown) {
            continue;
        }
        picked.wanted.insert(integration.id.clone());
        match book.get(&integration.id) {
            None => picked.unread.push(integration.id.clone()),
            Some(known) if health::due(known.check.as_ref(), integration, every_secs) <= now => {
                picked.due.push((integration.clone(), every_secs));
            }
            Some(_) => {}
        }
    }
    picked
}

/// Makes the checks that are due, again and again.
pub(crate) async fn run(keeper: Keeper, targets: Arc<Targets>, told: Arc<Told>) -> Result<(), Error> {
    let mut book = Book::new();
    loop {
        let now = Timestamp::now();
        let picked = keeper.view.read(|view| pick(view, &book, now));
        for id in &picked.over {
            let key = subjects::health_key(id);
            keeper.broker.delete(subjects::STATE, &key).await?;
        }
        book.retain(|id, _| picked.wanted.contains(id));
        let read = futures::stream::iter(picked.unread)
            .map(async |id| (read(&keeper, &id).await, id))
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        for (known, id) in read {
            book.insert(id, known?);
        }
        let due = picked.due.into_iter().map(|(integration, every_secs)| {
            let known = book.get(&integration.id).cloned().unwrap_or_default();
            (integration, every_secs, known)
        });
        let (keeper, targets, told) = (&keeper, &*targets, &*told);
        let checked = futures::stream::iter(due)
            .map(async |(integration, every_secs, known)| {
                let made = check(keeper, targets, told, &integration, every_secs, known).await;
                (integration.id, made)
            })
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        for (id, made) in checked {
            match made {
                Ok(Some(known)) => {
                    book.insert(id, known);
                }
                // It is read anew.
                Ok(None) => {
                    book.remove(&id);
                }
                Err(error) => {
                    tracing::warn!(error = settle::why(&error), integration.id = %id, "a health check could not be noted");
                    book.remove(&id);
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn read(keeper: &Keeper, integration: &str) -> Result<Known, Error> {
    let key = subjects::health_key(integration);
    let found = keeper.broker.get::<Check>(subjects::STATE, &key).await?;
    Ok(found.map_or_else(Known::default, |entry| Known {
        check: Some(entry.value),
        revision: entry.revision,
    }))
}

/// Makes one check. `None` where somebody else made it, or changed the integration meanwhile.
async fn check(
    keeper: &Keeper,
    targets: &Targets,
    told: &Told,
    integration: &Integration,
    every_secs: u32,
    known: Known,
) -> Result<Option<Known>, Error> {
    let (id, now) = (integration.id.as_str(), Timestamp::now());
    let begun = Check {
        every_secs,
        next_at: health::next(id, every_secs, now),
        began_at: now,
        last: known.check.and_then(|check| check.last),
    };
    let Some(revision) = note(keeper, id, &begun, known.revision).await? else {
        return Ok(None);
    };
    let proved = targets.prove(integration).await;
    let word = proved.word();
    told.checks.with([word]).inc();
    // Its owner changed it while the old one was asked: what was found is about what is no more.
    let is_current = keeper.view.read(|view| {
        let current = view.integrations.get(id);
        current.is_some_and(|current| current.revision == integration.revision)
    });
    if !is_current {
        tracing::debug!(
            integration.id = id,
            "a health check was of an older revision: it counts for nothing"
        );
        return Ok(None);
    }
    let reason = proved.outcome.reason().unwrap_or_default();
    tracing::info!(integration.id = id, provider = %integration.provider, outcome = word, reason, "integration checked");
    conclude(keeper, integration, &proved).await?;
    let ended = Check {
        last: Some(Found {
            at: Timestamp::now(),
            outcome: proved.outcome.kind(),
            error_message: proved.outcome.reason().map(str::to_owned),
            response_code: proved.response_code,
        }),
        ..begun
    };
    let revision = note(keeper, id, &ended, revision).await?;
    Ok(revision.map(|revision| Known {
        check: Some(ended),
        revision,
    }))
}

/// Writes what is known of the checks of an integration, if nobody else did since. Its revision then.
async fn note(keeper: &Keeper, integration: &str, check: &Check, revision: u64) -> Result<Option<u64>, Error> {
    let key = subjects::health_key(integration);
    match keeper.broker.update(subjects::STATE, &key, check, revision).await {
        Ok(revision) => Ok(Some(revision)),
        Err(Error::Conflict { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What was found, made true, and told to the owner where it changed something.
async fn conclude(keeper: &Keeper, integration: &Integration, proved: &Proved) -> Result<(), Error> {
    let (broker, id, now) = (&keeper.broker, integration.id.as_str(), Timestamp::now());
    match &proved.outcome {
        Outcome::Delivered => {
            let state = broker.recover(id, now).await?;
            if state.recovered_at == Some(now) {
                notice::tell(
                    broker,
                    notice::Kind::Recovered,
                    integration,
                    "its health check went well",
                    now,
                )
                .await;
            }
        }
        Outcome::Suspend { reason, .. } => {
            let suspension = Suspension {
                reason,
                cause: Cause::Refused,
                probe: None,
                first_secs: PROBE_FIRST_SECS,
            };
            let state = broker.suspend(id, suspension, now).await?;
            if state.phase == Phase::Suspended && state.since == now {
                notice::tell(broker, notice::Kind::Suspended, integration, reason, now).await;
            }
        }
        // It may pass by itself, or says nothing of the integration as a whole.
        Outcome::Retry { .. } | Outcome::Reject { .. } => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;
