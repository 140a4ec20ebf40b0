//! An integration as its worker would open it, for what the API does with targets: testing and previewing.

use serde_json::Value;
use signalbox_proto::Integration;
use signalbox_providers::{About, AnyTarget, Entry};

use crate::{Shared, sealing};

/// An integration, opened.
pub(crate) struct Opened {
    pub(crate) entry: &'static Entry,
    /// The config with its secrets.
    pub(crate) config: Value,
    pub(crate) credentials: Value,
    pub(crate) target: Box<dyn AnyTarget>,
}

impl Shared {
    /// Opens an integration, or says in words for its owner why that cannot be.
    pub(crate) fn open(&self, integration: &Integration) -> Result<Opened, String> {
        let entry = signalbox_providers::find(integration.provider.as_str())
            .ok_or_else(|| format!("{} is not a provider of this version", integration.provider))?;
        let secrets = sealing::open(&self.keyring, integration).map_err(|error| error.to_string())?;
        let public = integration
            .config
            .value()
            .map_err(|error| format!("its config cannot be read: {error}"))?;
        let config = entry.join_secrets(public, secrets.config);
        let about = About {
            integration: integration.id.clone(),
            name: integration.name.clone(),
            org: integration.org.clone(),
            brand: self.installation.brand.clone(),
            timeout: integration.timeout(),
        };
        let target = entry
            .open_with_template(
                config.clone(),
                secrets.credentials.clone(),
                about,
                integration.template.as_ref(),
            )
            .map_err(|error| error.to_string())?;
        Ok(Opened {
            entry,
            config,
            credentials: secrets.credentials,
            target,
        })
    }
}
