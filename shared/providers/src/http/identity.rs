//! Who we are to a server that asks for a certificate, and which authorities of its own it is known by.
//!
//! What an owner writes is PEM; it is read once, when a target is opened. A key is never printed, nor what the
//! parsers say of it, as their words repeat what they met.

mod validity;

use std::{fmt, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, InconsistentKeys, RootCertStore,
    client::WantsClientCert,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use schemars::JsonSchema;
use serde::Deserialize;
use signalbox_proto::{Timestamp, hash};

use self::validity::Validity;
use crate::{FieldError, Secret};

/// Longest PEM text, in bytes.
pub const PEM_BYTES_MAX: usize = 64 * 1024;
/// Most certificates of one chain, and most authorities.
pub const CERTIFICATES_MAX: usize = 20;
/// An end of a certificate's validity that is nearer is worth a warning.
const ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);

/// A certificate for TLS with its key, as credentials hold it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificate {
    /// The certificate in PEM, then those between it and its authority, if any.
    #[schemars(example = "-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----")]
    certificate: String,
    /// Its private key in PEM, not encrypted: RSA, ECDSA (P-256, P-384) or Ed25519.
    key: Secret,
}

/// What connections to one target are made with, beyond what all are made with.
pub struct Identity {
    /// What we show where the server asks.
    certified: Option<Arc<CertifiedKey>>,
    /// Authorities that are trusted beside the system's.
    authorities: Vec<CertificateDer<'static>>,
    validity: Option<Validity>,
    /// The same for the same certificate, key and authorities, and for no others.
    digest: [u8; 16],
}

impl Identity {
    /// Reads what an owner gave, each part with the field it stands in; `None` where nothing was given. All that is wrong
    /// is said at once, and no value is repeated.
    pub fn read(
        client: Option<(&str, &ClientCertificate)>,
        authorities: Option<(&str, &str)>,
    ) -> Result<Option<Arc<Self>>, Vec<FieldError>> {
        if client.is_none() && authorities.is_none() {
            return Ok(None);
        }
        let mut errors = Vec::new();
        let trusted = authorities.and_then(|(pointer, text)| match trusted(text) {
            Ok(trusted) => Some(trusted),
            Err(message) => {
                errors.push(FieldError::new(pointer, message));
                None
            }
        });
        let certified = client.and_then(|(pointer, given)| certified(pointer, given, &mut errors));
        if !errors.is_empty() {
            return Err(errors);
        }
        let certificate = certified
            .as_ref()
            .and_then(|certified| certified.end_entity_cert().ok());
        let digest = hash::digest([
            client.map_or("", |(_, given)| given.certificate.trim()).as_bytes(),
            client.map_or("", |(_, given)| given.key.expose().trim()).as_bytes(),
            authorities.map_or("", |(_, text)| text.trim()).as_bytes(),
        ]);
        Ok(Some(Arc::new(Self {
            validity: certificate.and_then(|certificate| Validity::of(certificate)),
            certified,
            authorities: trusted.unwrap_or_default(),
            digest,
        })))
    }

    /// Whether a server that asks for a certificate is shown one.
    pub const fn has_certificate(&self) -> bool {
        self.certified.is_some()
    }

    /// What is to be said of the certificate's validity, if anything.
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        let Validity { from, until } = self.validity.as_ref()?;
        if *until <= now {
            Some(format!("expired at {until}: a server that asks for it will refuse it"))
        } else if *from > now {
            Some(format!("is valid from {from} on and not before"))
        } else if *until <= now + ENDS_SOON {
            Some(format!("expires at {until}"))
        } else {
            None
        }
    }

    /// Tells one identity from another.
    pub(super) const fn digest(&self) -> [u8; 16] {
        self.digest
    }

    /// Those that are trusted: these and our own.
    pub(super) fn roots(&self, known: &Arc<RootCertStore>) -> Arc<RootCertStore> {
        if self.authorities.is_empty() {
            return known.clone();
        }
        let mut roots = RootCertStore::clone(known);
        roots.add_parsable_certificates(self.authorities.iter().cloned());
        Arc::new(roots)
    }

    /// Settings of TLS that show the certificate.
    pub(super) fn tls(&self, config: rustls::ConfigBuilder<ClientConfig, WantsClientCert>) -> ClientConfig {
        match &self.certified {
            Some(certified) => config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified.clone()))),
            None => config.with_no_client_auth(),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("has_certificate", &self.has_certificate())
            .field("authorities", &self.authorities.len())
            .finish_non_exhaustive()
    }
}

fn certified(pointer: &str, given: &ClientCertificate, errors: &mut Vec<FieldError>) -> Option<Arc<CertifiedKey>> {
    let mut wrong = |field: &str, message: &str| errors.push(FieldError::new(format!("{pointer}/{field}"), message));
    let chain = certificates(&given.certificate);
    if let Err(message) = &chain {
        wrong("certificate", message);
    }
    let key = private_key(&given.key);
    if let Err(message) = key {
        wrong("key", message);
    }
    let (Ok(chain), Ok(key)) = (chain, key) else {
        return None;
    };
    let signing = ring::default_provider().key_provider.load_private_key(key);
    let Ok(signing) = signing else {
        wrong(
            "key",
            "is no key that can be used: there are RSA, ECDSA (P-256, P-384) and Ed25519",
        );
        return None;
    };
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Some(Arc::new(certified)),
        Err(rustls::Error::InconsistentKeys(_)) => {
            wrong("key", "is not the key of the first certificate");
            None
        }
        Err(_) => {
            wrong("certificate", "begins with something that is no certificate of X.509");
            None
        }
    }
}

fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    if text.len() > PEM_BYTES_MAX {
        return Err("is longer than 65536 bytes");
    }
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match read {
        Err(_) => Err("is not PEM: a line is broken or missing"),
        Ok(found) if found.is_empty() => Err("holds no certificate: it begins with -----BEGIN CERTIFICATE-----"),
        Ok(found) if found.len() > CERTIFICATES_MAX => Err("holds more than 20 certificates"),
        Ok(found) => Ok(found),
    }
}

fn private_key(key: &Secret) -> Result<PrivateKeyDer<'static>, &'static str> {
    if key.expose().len() > PEM_BYTES_MAX {
        return Err("is longer than 65536 bytes");
    }
    PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
        .map_err(|_| "holds no private key in PEM; one with a passphrase must be decrypted first")
}

fn trusted(text: &str) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let found = certificates(text)?;
    let mut roots = RootCertStore::empty();
    for certificate in &found {
        roots
            .add(certificate.clone())
            .map_err(|_| "holds something that is no certificate of X.509")?;
    }
    Ok(found)
}

#[cfg(test)]
pub(crate) mod tests;
