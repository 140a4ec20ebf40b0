//! TLS for callers, with a certificate and its key from files.
//!
//! The files are read again every minute, so that a renewed certificate is used without a restart. Files that do not fit
//! each other at that moment are left alone until the next look: what was read before goes on.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::{Error, settings::none_if_empty};

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The section `http` of the settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The certificate with those that lead to its root, in PEM; `None` for plain HTTP.
    #[serde(deserialize_with = "none_if_empty")]
    tls_cert_file: Option<PathBuf>,
    /// The certificate's private key, in PEM.
    #[serde(deserialize_with = "none_if_empty")]
    tls_key_file: Option<PathBuf>,
}

/// What callers are shown, as the files last said.
#[derive(Debug)]
pub struct Tls {
    cert_file: PathBuf,
    key_file: PathBuf,
    current: Mutex<Current>,
}

#[derive(Clone, Debug)]
struct Current {
    config: Arc<ServerConfig>,
    /// Of both files.
    digest: [u8; 32],
}

impl Config {
    /// Reads the files; `None` where TLS is not asked for.
    pub fn open(&self) -> Result<Option<Tls>, Error> {
        let missing = |name: &str, other: &str| Error::Value {
            name: format!("http.{name}"),
            problem: format!("is missing, and http.{other} is set: TLS needs both"),
        };
        match (&self.tls_cert_file, &self.tls_key_file) {
            (None, None) => Ok(None),
            (Some(_), None) => Err(missing("tls_key_file", "tls_cert_file")),
            (None, Some(_)) => Err(missing("tls_cert_file", "tls_key_file")),
            (Some(cert_file), Some(key_file)) => Ok(Some(Tls {
                current: Mutex::new(read(cert_file, key_file)?),
                cert_file: cert_file.clone(),
                key_file: key_file.clone(),
            })),
        }
    }
}

impl Tls {
    /// For one connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(current.config.clone())
    }

    /// Reads the files again and again. Ends never.
    pub(super) async fn follow(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look();
        }
    }

    /// Takes what the files say now, if that is something else.
    fn look(&self) {
        match read(&self.cert_file, &self.key_file) {
            Ok(read) => {
                let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
                if current.digest != read.digest {
                    *current = read;
                    info!(file = %self.cert_file.display(), "callers are shown the renewed certificate");
                }
            }
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "the certificate cannot be read again: callers are shown the one of before"
            ),
        }
    }
}

fn read(cert_file: &Path, key_file: &Path) -> Result<Current, Error> {
    let wrong = |name: &str, path: &Path, problem: &dyn std::fmt::Display| Error::Value {
        name: format!("http.{name}"),
        problem: format!("{}: {problem}", path.display()),
    };
    let bytes = |name: &str, path: &Path| std::fs::read(path).map_err(|error: io::Error| wrong(name, path, &error));
    let certs = bytes("tls_cert_file", cert_file)?;
    let key = bytes("tls_key_file", key_file)?;
    let digest = Sha256::new().chain_update(&certs).chain_update(&key).finalize().into();
    let certs: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&certs)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong("tls_cert_file", cert_file, &error))?;
    if certs.is_empty() {
        return Err(wrong("tls_cert_file", cert_file, &"holds no certificate in PEM"));
    }
    // What the parser says of a key may repeat of it.
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|_| wrong("tls_key_file", key_file, &"holds no private key in PEM"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certs, key))
        .map_err(|error| wrong("tls_key_file", key_file, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Current {
        config: Arc::new(config),
        digest,
    })
}

#[cfg(test)]
mod tests;
