//! What a keeper knows of integrations and their states.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, RwLock},
};

use signalbox_broker::{Broker, Error, directory};
use signalbox_proto::{Integration, Phase, State};
use tokio::sync::Notify;

/// Integrations by id, and the states of those that are not open.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) integrations: HashMap<String, Integration>,
    pub(crate) states: BTreeMap<String, State>,
}

/// A view that a task keeps up to date.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    view: Arc<RwLock<View>>,
    /// Rings when a state changes.
    pub(crate) changed: Arc<Notify>,
}

impl Shared {
    /// Looks at the view; for a moment only.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&View) -> T) -> T {
        look(&self.view.read().expect("no holder of the lock panics"))
    }

    /// Of the integrations in a phase those that are picked by their states, with what is picked.
    pub(crate) fn in_phase<T>(&self, phase: Phase, pick: impl Fn(&State) -> Option<T>) -> Vec<(Integration, T)> {
        self.read(|view| {
            let held = view.states.iter().filter(|(_, state)| state.phase == phase);
            let picked = held.filter_map(|(id, state)| Some((id, pick(state)?)));
            picked
                .filter_map(|(id, picked)| Some((view.integrations.get(id)?.clone(), picked)))
                .collect()
        })
    }

    /// The state of an integration.
    pub(crate) fn state(&self, integration: &str) -> State {
        self.read(|view| view.states.get(integration).cloned().unwrap_or_default())
    }
}

impl View {
    fn apply(&mut self, change: directory::Change) {
        match change {
            directory::Change::Integration(integration) => {
                self.integrations.insert(integration.id.clone(), *integration);
            }
            directory::Change::State { integration, state, .. } => {
                if state.phase == Phase::Open {
                    self.states.remove(&integration);
                } else {
                    self.states.insert(integration, state);
                }
            }
            directory::Change::Complete => {}
        }
    }
}

/// Reads the first snapshot whole, then follows.
pub(crate) async fn follow(broker: &Broker) -> Result<Shared, Error> {
    let mut changes = directory::follow(broker).await?;
    let shared = Shared {
        view: Arc::default(),
        changed: Arc::new(Notify::new()),
    };
    let apply = |shared: &Shared, change| shared.view.write().expect("no holder of the lock panics").apply(change);
    loop {
        match changes.recv().await {
            Some(directory::Change::Complete) | None => break,
            Some(change) => apply(&shared, change),
        }
    }
    let follower = shared.clone();
    tokio::spawn(async move {
        while let Some(change) = changes.recv().await {
            apply(&follower, change);
            follower.changed.notify_waiters();
        }
    });
    Ok(shared)
}
