//! The proof itself: the provider's connection test, sent through the guarded client.

use std::sync::Arc;

use secrecy::ExposeSecret as _;
use signalbox_proto::{Integration, Outcome, Timestamp, integration::Secrets, outcome};
use signalbox_providers::{About, AnyTarget, Client, Exchange, Installation};
use signalbox_runtime::Keyring;
use tokio::sync::OnceCell;

/// What it takes to reach the targets of integrations.
pub struct Targets {
    installation: Installation,
    keyring: Option<Arc<Keyring>>,
    /// Made when it is first needed: it reads the system's certificates.
    client: OnceCell<Client>,
}

/// What a proof found.
#[derive(Debug)]
pub(super) struct Proved {
    pub(super) outcome: Outcome,
    pub(super) response_code: Option<u16>,
}

impl Proved {
    fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            response_code: None,
        }
    }

    /// What kept us from asking is no fault of the target.
    fn unasked(why: &str) -> Self {
        Self::of(Outcome::Retry {
            reason: outcome::reason(&format!("it could not be checked: {why}")),
            after: None,
        })
    }

    /// What the answer meant, in a word.
    pub(super) const fn word(&self) -> &'static str {
        match &self.outcome {
            Outcome::Delivered => "delivered",
            Outcome::Retry { .. } => "retry",
            Outcome::Reject { .. } => "reject",
            Outcome::Suspend { .. } => "suspend",
        }
    }
}

impl Targets {
    /// Targets of this installation. Without keys only those without secrets can be asked.
    pub fn new(installation: Installation, keyring: Option<Arc<Keyring>>) -> Self {
        Self {
            installation,
            keyring,
            client: OnceCell::new(),
        }
    }

    /// Asks an integration's target whether it takes us.
    pub(super) async fn prove(&self, integration: &Integration) -> Proved {
        let target = match self.open(integration) {
            Ok(target) => target,
            Err(why) => return Proved::unasked(&why),
        };
        let Some(request) = target.probe(Timestamp::now()) else {
            return Proved::unasked("its provider has no connection test that leaves nothing behind");
        };
        let egress = self.installation.egress.clone();
        let client = match self.client.get_or_try_init(async || Client::new(egress)).await {
            Ok(client) => client.connecting_within(integration.connect_timeout()),
            Err(error) => return Proved::unasked(&error.to_string()),
        };
        match client.send(request, target.about().timeout).await {
            Ok(Exchange { response }) => Proved {
                outcome: target.classify(&response, Timestamp::now()),
                response_code: Some(response.status),
            },
            Err(unanswered) => Proved::of(unanswered.outcome),
        }
    }

    /// Opens an integration, or says why that cannot be.
    fn open(&self, integration: &Integration) -> Result<Box<dyn AnyTarget>, String> {
        let entry = signalbox_providers::find(integration.provider.as_str())
            .ok_or_else(|| format!("{} is not a provider of this version", integration.provider))?;
        let secrets = self.secrets(integration)?;
        let public = integration
            .config
            .value()
            .map_err(|error| format!("its config cannot be read: {error}"))?;
        let about = About {
            integration: integration.id.clone(),
            name: integration.name.clone(),
            org: integration.org.clone(),
            brand: self.installation.brand.clone(),
            timeout: integration.timeout(),
        };
        let config = entry.join_secrets(public, secrets.config);
        entry
            .open(config, secrets.credentials, about)
            .map_err(|error| error.to_string())
    }

    fn secrets(&self, integration: &Integration) -> Result<Secrets, String> {
        let Some(sealed) = &integration.sealed else {
            return Ok(Secrets::default());
        };
        let keyring = self
            .keyring
            .as_ref()
            .ok_or("this keeper has no key that opens credentials: set secrets.key_file for it, too")?;
        if !keyring.has(&sealed.key_id)
            && let Err(error) = keyring.reload()
        {
            tracing::warn!(%error, "the file of the sealing keys cannot be read again");
        }
        let plain = keyring
            .open(&sealed.key_id, integration.id.as_bytes(), &sealed.bytes)
            .map_err(|error| error.to_string())?;
        // The parser's words could repeat a part of the secret.
        serde_json::from_slice(plain.expose_secret())
            .map_err(|_| "its sealed credentials are not of a known form".to_owned())
    }
}
