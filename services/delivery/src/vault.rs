//! Tokens that all workers of an installation share: in KV LEASE, sealed as credentials are, until they expire.
//!
//! The associated data of the seal is the token's key: moved elsewhere it does not open. One that does not open any more,
//! as after a change of the sealing keys, is fetched again.

use std::{fmt, sync::Arc, time::Duration};

use secrecy::ExposeSecret as _;
use signalbox_broker::{Broker, lease};
use signalbox_proto::{integration::Sealed, subjects};
use signalbox_providers::{
    Secret,
    http::oauth2::{Lease, Pending, Vault, VaultError},
};
use signalbox_runtime::Keyring;

/// The vault of an installation.
pub(crate) struct Tokens {
    broker: Broker,
    keyring: Arc<Keyring>,
    /// What leases name as their holder.
    holder: String,
}

impl Tokens {
    pub(crate) fn new(broker: Broker, keyring: Arc<Keyring>, holder: String) -> Self {
        Self {
            broker,
            keyring,
            holder,
        }
    }

    fn open(&self, key: &str, sealed: &Sealed) -> Option<Secret> {
        let opened = self.keyring.open(&sealed.key_id, key.as_bytes(), &sealed.bytes);
        let plain = opened
            .map_err(|error| tracing::debug!(%error, "a shared token does not open: it is fetched again"))
            .ok()?;
        std::str::from_utf8(plain.expose_secret()).ok().map(Secret::from)
    }
}

impl Vault for Tokens {
    fn get<'a>(&'a self, name: &'a str) -> Pending<'a, Option<Secret>> {
        Box::pin(async move {
            let key = subjects::token_key(name);
            let found = self.broker.get::<Sealed>(subjects::LEASE, &key).await;
            let found = found.map_err(failed)?;
            Ok(found.and_then(|entry| self.open(&key, &entry.value)))
        })
    }

    fn put<'a>(&'a self, name: &'a str, value: &'a Secret, ttl: Duration) -> Pending<'a, ()> {
        Box::pin(async move {
            let key = subjects::token_key(name);
            let sealed = self.keyring.seal(key.as_bytes(), value.expose().as_bytes());
            let sealed = sealed.map_err(failed)?;
            let sealed = Sealed {
                key_id: sealed.key_id,
                bytes: sealed.bytes,
            };
            let put = self.broker.put_for(subjects::LEASE, &key, &sealed, ttl);
            put.await.map_err(failed)
        })
    }

    fn lease<'a>(&'a self, name: &'a str, ttl: Duration) -> Pending<'a, Option<Lease>> {
        Box::pin(async move {
            let key = subjects::token_lease(name);
            let taken = self.broker.acquire(&key, &self.holder, ttl).await.map_err(failed)?;
            Ok(taken.map(|lease| {
                Box::new(Held {
                    broker: self.broker.clone(),
                    lease: Some(lease),
                }) as Lease
            }))
        })
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(KV)")
    }
}

fn failed(error: impl std::error::Error) -> VaultError {
    VaultError(error.to_string())
}

/// A lease that is given back when it is dropped, also where the request that took it was given up.
struct Held {
    broker: Broker,
    lease: Option<lease::Lease>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let (Some(lease), Ok(runtime)) = (self.lease.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let broker = self.broker.clone();
        runtime.spawn(async move {
            if let Err(error) = broker.release(lease).await {
                tracing::debug!(%error, "the lease of a token was not given back: it expires by itself");
            }
        });
    }
}
