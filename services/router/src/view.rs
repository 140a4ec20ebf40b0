//! What a router knows of integrations: the index of subscriptions and who is held.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

use signalbox_broker::directory::Change;
use signalbox_matching::Index;
use signalbox_proto::{Phase, State};

/// The index and the states of those integrations that are not open.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) index: Index,
    held: HashMap<String, State>,
}

/// A view shared by the partitions of one process: one writer, short reads.
pub(crate) type Shared = Arc<RwLock<View>>;

impl View {
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Integration(integration) => {
                for pattern in self.index.upsert(&integration) {
                    tracing::error!(integration.id = %integration.id, %pattern, "a stored pattern is no pattern; it matches nothing");
                }
            }
            Change::State { integration, state, .. } => {
                if state.phase == Phase::Open {
                    self.held.remove(&integration);
                } else {
                    self.held.insert(integration, state);
                }
            }
            Change::Complete => {}
        }
    }

    /// The state of an integration that is not open.
    pub(crate) fn held(&self, integration: &str) -> Option<&State> {
        if self.held.is_empty() {
            None
        } else {
            self.held.get(integration)
        }
    }
}
