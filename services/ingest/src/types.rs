//! The event types that orgs registered, and what they make of an event: its default severity, its looks, and
//! whether its data may be as it is.
//!
//! **Invariant:** no input is pulled and no publish over HTTP answered before all types are known that were there
//! at the start; otherwise each start would let data through that no schema has seen.
//!
//! A schema that does not compile (another version has written it) checks nothing: the events go on, an error is
//! logged, and `doctor` names the type. To refuse them, or to hold them back, would stop an org's events because
//! two versions of ours disagree, which no producer can mend; data that was let through is in EVENTS and can be
//! judged later.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use signalbox_broker::{
    Broker, Error,
    patience::patiently,
    types::{self, Change},
};
use signalbox_matching::Schema;
use signalbox_proto::{
    Event, EventType, Name, Severity,
    types::{Look, Registered},
};
use tokio::sync::watch;

use crate::input::Rejection;

/// The registered types as this process knows them. Clones share them.
#[derive(Clone, Debug)]
pub struct Types {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    known: RwLock<HashMap<Name, HashMap<EventType, Arc<Known>>>>,
    complete: watch::Sender<bool>,
}

/// What ingest needs of a registered type.
#[derive(Debug)]
struct Known {
    severity: Option<Severity>,
    look: Option<Look>,
    schema: Option<Schema>,
}

impl Default for Types {
    fn default() -> Self {
        let shared = Shared {
            known: RwLock::default(),
            complete: watch::Sender::new(false),
        };
        Self {
            shared: Arc::new(shared),
        }
    }
}

impl Types {
    /// Follows the registered types for as long as the future lives. Ends with an error that does not pass by itself.
    pub(crate) async fn follow(&self, broker: &Broker) -> Result<(), Error> {
        loop {
            let mut changes = patiently("following the event types", || types::follow(broker)).await?;
            while let Some(change) = changes.recv().await {
                self.take(change);
            }
            // All that is there now is said again, and what is gone too.
            tracing::warn!("following the event types ended; beginning again");
        }
    }

    /// Waits until all types are known that were there at the start.
    pub(crate) async fn complete(&self) {
        let mut complete = self.shared.complete.subscribe();
        // The sender lives as long as we do.
        drop(complete.wait_for(|complete| *complete).await);
    }

    fn take(&self, change: Change) {
        match change {
            Change::Registered(registered) => {
                let Registered { org, name, .. } = &*registered;
                tracing::debug!(org = %org, event.type = %name, "an event type was registered or changed");
                // Compiled before the lock is taken: events wait for it.
                let known = Arc::new(Known::of(&registered));
                let mut all = self.shared.known.write().unwrap_or_else(PoisonError::into_inner);
                all.entry(org.clone()).or_default().insert(name.clone(), known);
            }
            Change::Gone { org, name } => {
                let mut all = self.shared.known.write().unwrap_or_else(PoisonError::into_inner);
                if let Some(types) = all.get_mut(&org) {
                    types.remove(&name);
                    if types.is_empty() {
                        all.remove(&org);
                    }
                }
            }
            Change::Complete => {
                self.shared.complete.send_replace(true);
            }
        }
    }

    fn of(&self, org: &Name, name: &EventType) -> Option<Arc<Known>> {
        let all = self.shared.known.read().unwrap_or_else(PoisonError::into_inner);
        all.get(org)?.get(name).cloned()
    }

    /// Gives an event what its registered type says, and refuses data that the type's schema does not allow. An
    /// event whose type its org did not register is left as it is.
    pub(crate) fn apply(&self, event: &mut Event) -> Result<(), Rejection> {
        let Some(known) = self.of(&event.org, &event.event_type) else {
            return Ok(());
        };
        if let (false, Some(severity)) = (event.severity_named, known.severity) {
            event.severity = severity;
        }
        event.look.clone_from(&known.look);
        let Some(schema) = &known.schema else { return Ok(()) };
        let data = event
            .data
            .value()
            .map_err(|error| Rejection::malformed(format!("the data is not JSON: {error}")))?;
        schema
            .check(&data)
            .map_err(|fault| Rejection::invalid(&format!("data{}", fault.pointer), fault.message))
    }
}

impl Known {
    fn of(registered: &Registered) -> Self {
        let schema = registered.schema.as_ref().and_then(|schema| {
            Schema::compile(schema.as_bytes())
                .inspect_err(|fault| {
                    tracing::error!(
                        org = %registered.org, event.type = %registered.name, %fault,
                        "the schema of an event type does not compile; its events are not checked"
                    );
                })
                .ok()
        });
        Self {
            severity: registered.severity,
            look: registered.look(),
            schema,
        }
    }
}

#[cfg(test)]
mod tests;
