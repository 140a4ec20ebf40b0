//! What of an integration is secret, and how it is sealed.

use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use signalbox_proto::{Integration, integration::Sealed};
use signalbox_runtime::{Error, Keyring};

/// The plain text inside an integration's `sealed`, as JSON: credentials, and the secret fields of the config in
/// the shape that [`signalbox_providers::Entry::join_secrets`] takes. The associated data is the integration's id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Secrets {
    /// The secret fields of the config.
    #[serde(default)]
    pub config: Value,
    /// All credentials.
    #[serde(default)]
    pub credentials: Value,
}

/// Why secrets could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// They do not open.
    #[error(transparent)]
    Sealed(#[from] Error),
    /// What is inside is not what this version writes.
    #[error("the opened secrets are not JSON")]
    Json,
}

impl Secrets {
    /// Whether there is nothing to seal.
    pub fn is_empty(&self) -> bool {
        is_empty(&self.config) && is_empty(&self.credentials)
    }

    /// Seals them for an integration; `None` where there are none.
    pub fn seal(&self, keyring: &Keyring, integration: &str) -> Result<Option<Sealed>, Error> {
        if self.is_empty() {
            return Ok(None);
        }
        let plain = serde_json::to_vec(self).expect("JSON values are always written");
        let sealed = keyring.seal(integration.as_bytes(), &plain)?;
        Ok(Some(Sealed { key_id: sealed.key_id, bytes: sealed.bytes }))
    }

    /// Opens those of an integration; empty ones where it has none.
    pub fn open(keyring: &Keyring, integration: &Integration) -> Result<Self, Unreadable> {
        let Some(sealed) = &integration.sealed else {
            return Ok(Self { config: empty(), credentials: empty() });
        };
        let plain = keyring.open(&sealed.key_id, integration.id.as_bytes(), &sealed.bytes)?;
        // The error's text could repeat a part of the secret.
        let mut secrets: Self = serde_json::from_slice(plain.expose_secret()).map_err(|_| Unreadable::Json)?;
        for part in [&mut secrets.config, &mut secrets.credentials] {
            if part.is_null() {
                *part = empty();
            }
        }
        Ok(secrets)
    }
}

pub(crate) fn empty() -> Value {
    Value::Object(Map::new())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
    }
}
