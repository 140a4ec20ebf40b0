//! What the installation does to integrations by itself is told in the audit: suspensions, and recoveries by a probe.
//!
//! An entry's id is made of the integration and of the time at which it came to stand so, which the state says. So each
//! is told once, by whichever recorder, however often the state is seen. A recovery that no recorder sees within ten
//! minutes, after which the state forgets it, is not told.

use std::{collections::HashMap, time::Duration};

use serde_json::json;
use signalbox_broker::directory::{self, Change};
use signalbox_proto::{Name, Phase, State, Timestamp, hash};
use signalbox_store::{
    Error as StoreError,
    audit::{Actor, Entry, Object, Wanted, kind},
};

use crate::{Error, Recorder};

/// The first and the last wait before the database is tried again.
const WAIT_FIRST: Duration = Duration::from_millis(200);
const WAIT_LAST: Duration = Duration::from_secs(5);
/// Who did it, as the audit names it.
const ACTOR: &str = "delivery";

/// What became of an integration without a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Its target refuses us, or most requests to it fail.
    Suspended,
    /// Its probe came through.
    Recovered,
}

impl Turn {
    /// What a state tells. A person who lets an integration go leaves no cause in its state: the API has told that.
    fn of(state: &State) -> Option<Self> {
        match state.phase {
            Phase::Suspended => Some(Self::Suspended),
            Phase::Draining if state.recovered_at == Some(state.since) && !state.cause.is_none() => {
                Some(Self::Recovered)
            }
            Phase::Draining | Phase::Open | Phase::Paused | Phase::Unknown => None,
        }
    }

    const fn action(self) -> &'static str {
        match self {
            Self::Suspended => "integration.suspended",
            Self::Recovered => "integration.recovered",
        }
    }

    /// The statuses before and after.
    const fn statuses(self) -> (&'static str, &'static str) {
        match self {
            Self::Suspended => ("active", "error"),
            Self::Recovered => ("error", "active"),
        }
    }
}

/// What an entry says of an integration.
#[derive(Clone, Debug)]
struct Known {
    org: Name,
    name: Name,
}

fn entry(turn: Turn, integration: &str, known: &Known, state: &State) -> Entry {
    let (before, after) = turn.statuses();
    let since: Timestamp = state.since;
    let reason = (!state.reason.is_empty()).then_some(&state.reason);
    Entry {
        id: hash::parts([
            turn.action().as_bytes(),
            integration.as_bytes(),
            &since.nanos().to_be_bytes(),
        ]),
        at: since,
        org: Some(known.org.clone()),
        actor: Actor::system(ACTOR),
        key_id: None,
        address: None,
        request_id: None,
        action: turn.action().to_owned(),
        object: Object {
            kind: kind::INTEGRATION.to_owned(),
            id: integration.to_owned(),
            name: Some(known.name.to_string()),
        },
        before: Some(json!({ "status": before })),
        after: Some(json!({ "status": after, "error_message": reason })),
    }
}

/// Follows the states of all integrations.
pub(crate) async fn run(recorder: &Recorder) -> Result<(), Error> {
    let mut changes = directory::follow(&recorder.broker).await?;
    let mut known: HashMap<String, Known> = HashMap::new();
    // States that came before the integrations that they are about.
    let mut early = Some(Vec::new());
    while let Some(change) = changes.recv().await {
        match change {
            Change::Integration(integration) => {
                let (org, name) = (integration.org.clone(), integration.name.clone());
                known.insert(integration.id.clone(), Known { org, name });
            }
            Change::State { integration, state, .. } => match &mut early {
                Some(early) => early.push((integration, state)),
                None => tell(recorder, &known, &integration, &state).await,
            },
            Change::Complete => {
                for (integration, state) in early.take().unwrap_or_default() {
                    tell(recorder, &known, &integration, &state).await;
                }
            }
        }
    }
    Ok(())
}

async fn tell(recorder: &Recorder, known: &HashMap<String, Known>, integration: &str, state: &State) {
    let (Some(turn), Some(known)) = (Turn::of(state), known.get(integration)) else {
        return;
    };
    let entry = entry(turn, integration, known, state);
    let mut wait = WAIT_FIRST;
    while let Err(error) = tell_once(recorder, &entry).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            integration,
            "the audit cannot be written yet; trying again"
        );
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(WAIT_LAST);
    }
}

/// Writes an entry, unless a test by a person did this: its own entry is of the same instant, and is there before.
async fn tell_once(recorder: &Recorder, entry: &Entry) -> Result<(), StoreError> {
    let same = Wanted {
        object_kind: Some(kind::INTEGRATION),
        object_id: Some(&entry.object.id),
        action: Some("integration.tested"),
        since: Some(entry.at),
        until: Some(entry.at + Duration::from_nanos(1)),
        limit: 1,
        ..Wanted::default()
    };
    if recorder.store.audit(&same).await?.is_empty() {
        recorder.store.audit_once(entry).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
