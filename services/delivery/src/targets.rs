//! The integrations of one provider, ready to be delivered to, and their states.

use std::{collections::HashMap, sync::Arc, time::Duration};

use secrecy::ExposeSecret;
use signalbox_broker::directory::Change;
use signalbox_proto::{
    Integration, Name, Phase, RawJson, State,
    integration::{RateLimit, Secrets, Status, Subscription},
};
use signalbox_providers::{About, AnyTarget, Entry};
use signalbox_runtime::Keyring;
use tokio::time::Instant;

/// How long a state that this worker wrote itself counts without the watch: a change reaches every
/// worker within a second.
const TOLD_FOR: Duration = Duration::from_secs(1);

/// An integration as a worker uses it.
pub(crate) struct Known {
    pub(crate) integration: Integration,
    /// The target, or why it cannot be opened, in words for its owner.
    pub(crate) target: Result<Arc<dyn AnyTarget>, String>,
    /// How many requests it may get in a span of time, where that is limited.
    pub(crate) limit: Option<RateLimit>,
}

/// What a worker knows.
pub(crate) struct Targets {
    entry: &'static Entry,
    provider: Name,
    keyring: Arc<Keyring>,
    brand: Arc<str>,
    known: HashMap<String, Arc<Known>>,
    states: HashMap<String, State>,
    told: HashMap<String, (Instant, State)>,
    /// Those that no key here opened, with the keys that there were.
    locked: HashMap<String, (Integration, Vec<String>)>,
}

impl Targets {
    pub(crate) fn new(entry: &'static Entry, provider: Name, keyring: Arc<Keyring>, brand: Arc<str>) -> Self {
        Self {
            entry,
            provider,
            keyring,
            brand,
            known: HashMap::new(),
            states: HashMap::new(),
            told: HashMap::new(),
            locked: HashMap::new(),
        }
    }

    pub(crate) fn apply(&mut self, change: Change) {
        self.unlock();
        match change {
            Change::Integration(integration) => {
                let newer = self
                    .known
                    .get(&integration.id)
                    .is_none_or(|known| known.integration.revision < integration.revision);
                if integration.provider == self.provider && newer {
                    let target = match integration.status {
                        Status::Deleted => Err("it was deleted".to_owned()),
                        _ => self.open(&integration),
                    };
                    if let (Err(reason), true) = (&target, integration.status != Status::Deleted) {
                        tracing::error!(integration.id = %integration.id, reason, "an integration cannot be opened");
                    }
                    self.know(*integration, target);
                }
            }
            Change::State { integration, state, .. } => self.set_state(integration, state),
            Change::Complete => {}
        }
    }

    fn know(&mut self, integration: Integration, target: Result<Arc<dyn AnyTarget>, String>) {
        let sealed = integration.sealed.as_ref();
        if sealed.is_some_and(|sealed| !self.keyring.has(&sealed.key_id)) {
            let locked = (integration.clone(), self.keyring.key_ids());
            self.locked.insert(integration.id.clone(), locked);
        } else {
            self.locked.remove(&integration.id);
        }
        let known = Known {
            limit: Some(signalbox_providers::rate_limit_of(&integration)).filter(|limit| !limit.is_none()),
            integration: slim(integration),
            target,
        };
        self.known.insert(known.integration.id.clone(), Arc::new(known));
    }

    /// Opens what no key here opened, once there is another key.
    fn unlock(&mut self) {
        if self.locked.is_empty() {
            return;
        }
        let keys = self.keyring.key_ids();
        let again: Vec<Integration> = self
            .locked
            .values()
            .filter(|(_, tried)| *tried != keys)
            .map(|(integration, _)| integration.clone())
            .collect();
        for integration in again {
            let target = self.open(&integration);
            self.know(integration, target);
        }
    }

    /// Takes a state from the watch.
    fn set_state(&mut self, integration: String, state: State) {
        self.told.remove(&integration);
        if state.phase == Phase::Open {
            self.states.remove(&integration);
        } else {
            self.states.insert(integration, state);
        }
    }

    /// Takes a state that this worker wrote itself, for the moment until the watch says it or a newer
    /// one. What the watch has said counts more.
    pub(crate) fn tell(&mut self, integration: String, state: State, now: Instant) {
        if state.phase != Phase::Open && !self.states.contains_key(&integration) {
            self.told.insert(integration, (now, state));
        }
    }

    pub(crate) fn get(&self, integration: &str) -> Option<&Arc<Known>> {
        self.known.get(integration)
    }

    /// The state of an integration that is not open.
    pub(crate) fn state(&self, integration: &str) -> Option<&State> {
        if let Some(state) = self.states.get(integration) {
            return Some(state);
        }
        let (at, state) = self.told.get(integration)?;
        (at.elapsed() < TOLD_FOR).then_some(state)
    }

    fn open(&self, integration: &Integration) -> Result<Arc<dyn AnyTarget>, String> {
        let secrets = match &integration.sealed {
            None => Secrets::default(),
            Some(sealed) => {
                if !self.keyring.has(&sealed.key_id)
                    && let Err(error) = self.keyring.reload()
                {
                    tracing::warn!(%error, "the file of the sealing keys cannot be read again");
                }
                let plain = self
                    .keyring
                    .open(&sealed.key_id, integration.id.as_bytes(), &sealed.bytes)
                    .map_err(|error| error.to_string())?;
                // The parser's words could repeat a part of the secret.
                serde_json::from_slice::<Secrets>(plain.expose_secret())
                    .map_err(|_| "its sealed credentials are not of a known form".to_owned())?
            }
        };
        let public = integration
            .config
            .value()
            .map_err(|error| format!("its config cannot be read: {error}"))?;
        let config = self.entry.join_secrets(public, secrets.config);
        let about = About {
            integration: integration.id.clone(),
            name: integration.name.clone(),
            org: integration.org.clone(),
            brand: self.brand.clone(),
            timeout: integration.timeout(),
        };
        self.entry
            .open_with_template(config, secrets.credentials, about, integration.template.as_ref())
            .map(Arc::from)
            .map_err(|error| error.to_string())
    }
}

/// What a worker needs of an integration once its target is open: with a hundred thousand of them the
/// rest weighs.
fn slim(integration: Integration) -> Integration {
    Integration {
        subscription: Subscription::default(),
        config: RawJson::default(),
        sealed: None,
        template: None,
        ..integration
    }
}
