//! Servers with certificates.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair as CertificateKey};
use rustls::{RootCertStore, crypto::ring};
use tempfile::TempDir;

use super::*;

/// An authority, and what trusts it.
struct Authority {
    issuer: Issuer<'static, CertificateKey>,
    trust: ClientConfig,
}

impl Authority {
    fn new() -> Self {
        let key = CertificateKey::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).expect("an authority");
        let trust = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            issuer: Issuer::new(params, key),
            trust,
        }
    }

    /// A folder with a certificate for these names, and the config of a server that shows it.
    fn certify(&self, names: &[&str]) -> (TempDir, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let key = CertificateKey::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let (cert_file, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&cert_file, certificate.pem()).expect("a file");
        std::fs::write(&key_file, key.serialize_pem()).expect("a file");
        let config = format!("tls {{ cert_file: {cert_file:?}, key_file: {key_file:?} }}");
        (folder, config)
    }

    fn client(&self) -> Client {
        client_of(&["127.0.0.0/8"], self.trust.clone())
    }
}

#[tokio::test]
async fn a_server_with_a_certificate_is_trusted_by_its_name() {
    let authority = Authority::new();
    let (folder, config) = authority.certify(&["localhost", "127.0.0.1"]);
    let server = Server::start_in(folder, &config).await;
    let port = server.port;
    // Where the server asks for TLS it is used, whatever the address says.
    for scheme in ["tls", "nats"] {
        for host in ["localhost", "127.0.0.1"] {
            let url = format!("{scheme}://{host}:{port}");
            let asked = request(&url, Login::Anonymous, Some(core("d-1", "{}")));
            authority
                .client()
                .send(&asked, LONG)
                .await
                .unwrap_or_else(|error| panic!("{url}: {error}"));
        }
    }
    let url = format!("tls://localhost:{port}");
    let error = client()
        .send(&request(&url, Login::Anonymous, None), LONG)
        .await
        .expect_err("an unknown authority");
    assert!(matches!(error, Error::Connection(http::Error::Tls { .. })), "{error:?}");
    assert_eq!(by_error(&error).kind(), OutcomeKind::Retry);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let (folder, config) = authority.certify(&["nats.example.com"]);
    let server = Server::start_in(folder, &config).await;
    for scheme in ["tls", "nats"] {
        let url = format!("{scheme}://127.0.0.1:{}", server.port);
        let asked = request(&url, user("a", "hush"), None);
        let error = authority.client().send(&asked, LONG).await.expect_err("another name");
        assert!(matches!(error, Error::Connection(http::Error::Tls { .. })), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let server = Server::start("").await;
    let url = format!("tls://127.0.0.1:{}", server.port);
    let error = client()
        .send(&request(&url, user("a", "hush"), None), LONG)
        .await
        .expect_err("no TLS");
    assert_eq!(by_error(&error).kind(), OutcomeKind::Retry, "{error:?}");
}
