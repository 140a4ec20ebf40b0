//! Whether an input is sent in again by an act, so that no quota holds for it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use signalbox_broker::Broker;
use signalbox_proto::{
    Name, Timestamp,
    act::{Act, ActStatus, Kind},
    subjects,
};
use tokio::time::Instant;

/// How long an act is known without a look, and after its end: what it has sent may wait in INGEST.
const KNOWN: Duration = Duration::from_secs(60);
/// How long it is known that there is no such act: whoever gives a wrong one with each input costs no look each.
const UNKNOWN: Duration = Duration::from_secs(2);
/// Ids that are remembered at a time.
const IDS_MAX: usize = 1_000;

/// The acts that a process knows of.
pub(crate) struct Acts {
    broker: Broker,
    /// By id: for which org it sends in, `None` for no act, and until when that needs no look.
    known: Mutex<HashMap<String, (Option<Name>, Instant)>>,
}

impl Acts {
    pub(crate) fn new(broker: Broker) -> Self {
        Self {
            broker,
            known: Mutex::default(),
        }
    }

    /// Whether this is an act that sends in again what was refused of this org.
    pub(crate) async fn sends_in(&self, id: &str, org: &Name) -> bool {
        // What a producer gives is no key, unless it looks like one.
        if uuid::Uuid::try_parse(id).is_err() {
            return false;
        }
        let now = Instant::now();
        {
            let mut known = self.known();
            known.retain(|_, (_, until)| *until > now);
            if let Some((of, _)) = known.get(id) {
                return of.as_ref() == Some(org);
            }
        }
        let of = match self.broker.get::<Act>(subjects::STATE, &subjects::act_key(id)).await {
            Ok(entry) => entry.and_then(|entry| org_of(&entry.value, Timestamp::now())),
            Err(error) => {
                tracing::warn!(%error, act = %id, "cannot see whether an input is sent in again by an act; it counts as any other");
                None
            }
        };
        let sends_in = of.as_ref() == Some(org);
        let mut known = self.known();
        if known.len() < IDS_MAX {
            let kept = if of.is_some() { KNOWN } else { UNKNOWN };
            known.insert(id.to_owned(), (of, now + kept));
        }
        sends_in
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, (Option<Name>, Instant)>> {
        self.known.lock().expect("no holder of the lock panics")
    }
}

/// The org whose refused inputs an act sends in again, if it does just now.
fn org_of(act: &Act, now: Timestamp) -> Option<Name> {
    let is_recent = act.status == ActStatus::Running || now.since(act.updated_at) < KNOWN;
    if !is_recent || !matches!(act.kind, Kind::Replay { .. }) {
        return None;
    }
    act.filter.org.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests;
