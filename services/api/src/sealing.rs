//! Sealing what of an integration is secret, and opening it again.

use std::borrow::Cow;

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use signalbox_proto::{
    Integration,
    integration::{Sealed, Secrets},
};
use signalbox_runtime::{Error, Keyring};

/// Why secrets could not be read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// They do not open.
    #[error(transparent)]
    Sealed(#[from] Error),
    /// What is inside is not what this version writes.
    #[error("the opened secrets are not of a known form")]
    Form,
}

/// Seals secrets for an integration; `None` where there are none.
pub(crate) fn seal(keyring: &Keyring, integration: &str, secrets: &Secrets) -> Result<Option<Sealed>, Error> {
    if is_blank(&secrets.config) && is_blank(&secrets.credentials) {
        return Ok(None);
    }
    let plain = serde_json::to_vec(secrets).expect("JSON values are always written");
    let sealed = keyring.seal(integration.as_bytes(), &plain)?;
    Ok(Some(Sealed {
        key_id: sealed.key_id,
        bytes: sealed.bytes,
    }))
}

/// Opens the secrets of an integration; empty ones where it has none.
pub(crate) fn open(keyring: &Keyring, integration: &Integration) -> Result<Secrets, Unreadable> {
    let Some(sealed) = &integration.sealed else {
        return Ok(Secrets {
            config: empty(),
            credentials: empty(),
        });
    };
    let plain = keyring.open(&sealed.key_id, integration.id.as_bytes(), &sealed.bytes)?;
    // The parser's words could repeat a part of the secret.
    let mut secrets: Secrets = serde_json::from_slice(plain.expose_secret()).map_err(|_| Unreadable::Form)?;
    for part in [&mut secrets.config, &mut secrets.credentials] {
        if part.is_null() {
            *part = empty();
        }
    }
    Ok(secrets)
}

/// An integration as the key that seals now seals it: as it is, where that was the one already, and where its secrets do
/// not open, which is told elsewhere.
pub(crate) fn by_current<'a>(keyring: &Keyring, integration: &'a Integration) -> Cow<'a, Integration> {
    let sealed = integration.sealed.as_ref();
    let other = sealed.filter(|sealed| sealed.key_id != keyring.primary_id());
    match other.map(|sealed| again(keyring, &integration.id, sealed)) {
        Some(Ok(sealed)) => Cow::Owned(Integration {
            sealed: Some(sealed),
            ..integration.clone()
        }),
        Some(Err(_)) | None => Cow::Borrowed(integration),
    }
}

/// The same secrets under the key that seals now. What they are is not looked at.
pub(crate) fn again(keyring: &Keyring, integration: &str, sealed: &Sealed) -> Result<Sealed, Error> {
    let aad = integration.as_bytes();
    let plain = keyring.open(&sealed.key_id, aad, &sealed.bytes)?;
    let sealed = keyring.seal(aad, plain.expose_secret())?;
    Ok(Sealed {
        key_id: sealed.key_id,
        bytes: sealed.bytes,
    })
}

/// A group of fields without fields.
pub(crate) fn empty() -> Value {
    Value::Object(Map::new())
}

/// Whether a part of the secrets says nothing.
pub(crate) fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
}
