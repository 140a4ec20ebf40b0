//! Servers with certificates.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair as CertificateKey};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::*;

/// An authority, and what trusts it.
pub(super) struct Authority {
    issuer: Issuer<'static, CertificateKey>,
    trust: ClientConfig,
}

impl Authority {
    pub(super) fn new() -> Self {
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

    /// A server with a certificate for these names.
    pub(super) fn manner(&self, names: &[&str], offers: &'static [&'static str]) -> Manner {
        let key = CertificateKey::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate with its key");
        Manner {
            tls: Some(Arc::new(config)),
            offers,
            ..Manner::default()
        }
    }

    pub(super) fn client(&self) -> Client {
        client_of(&["127.0.0.0/8"], self.trust.clone())
    }
}

#[tokio::test]
async fn everything_after_starttls_is_encrypted() {
    let authority = Authority::new();
    let server = Server::start(authority.manner(&["127.0.0.1"], &[])).await;
    for secure in [true, false] {
        let asked = request(server.port, secure, None, &["a@example.com"]);
        assert_eq!(
            authority.client().send(&asked, LONG).await.expect("an answer").status,
            250
        );
    }
    let seen = server.seen();
    for line in seen.iter().filter(|line| !line.starts_with("tls ")) {
        assert!(["EHLO [127.0.0.1]", "STARTTLS"].contains(&line.as_str()), "{line}");
    }
    assert_eq!(server.mails().len(), 2);
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_no_encryption() {
    let authority = Authority::new();
    for (client, names) in [(client(), "127.0.0.1"), (authority.client(), "mail.example.com")] {
        let server = Server::start(authority.manner(&[names], &["AUTH PLAIN"])).await;
        for (secure, login) in [(true, None), (true, login()), (false, login())] {
            let asked = request(server.port, secure, login, &["a@example.com"]);
            let error = client.send(&asked, LONG).await.expect_err("no trust");
            assert!(matches!(error, Error::Connection(http::Error::Tls { .. })), "{error:?}");
            assert_eq!(by_error(&error).kind(), OutcomeKind::Retry);
        }
        assert!(server.mails().is_empty());
        // Where clear text is allowed and nothing secret is sent, it goes all the same.
        let asked = clear(&server, &["a@example.com"]);
        assert_eq!(client.send(&asked, LONG).await.expect("an answer").status, 250);
        assert_eq!(server.mails().len(), 1);
    }
}

#[tokio::test]
async fn on_the_port_with_tls_everything_is_encrypted_from_the_first_byte() {
    let authority = Authority::new();
    let server = Server::start(Manner {
        implicit: true,
        ..authority.manner(&["127.0.0.1"], &["AUTH PLAIN"])
    })
    .await;
    let address = super::super::super::Server::read("127.0.0.1", server.port, true).expect("a server");
    let asked = Request {
        account: Arc::new(Account::new(address.implicit(), login())),
        ..request(server.port, true, None, &["a@example.com"])
    };
    assert_eq!(
        authority.client().send(&asked, LONG).await.expect("an answer").status,
        250
    );
    let seen = server.seen();
    assert!(seen.iter().all(|line| line.starts_with("tls ")), "{seen:?}");
    assert_eq!(seen[0], "tls EHLO [127.0.0.1]");
    assert_eq!(server.mails().len(), 1);
    let error = client().send(&asked, LONG).await.expect_err("no trust");
    assert!(matches!(error, Error::Connection(http::Error::Tls { .. })), "{error:?}");
}

#[tokio::test]
async fn what_a_stranger_says_before_tls_is_not_heard() {
    let authority = Authority::new();
    let server = Server::start(Manner {
        injects: "250 ok",
        ..authority.manner(&["127.0.0.1"], &[])
    })
    .await;
    let asked = request(server.port, true, None, &["a@example.com"]);
    let error = authority.client().send(&asked, LONG).await.expect_err("a stranger");
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
    assert!(server.mails().is_empty());
}

#[tokio::test]
async fn a_server_that_goes_back_on_starttls_gets_nothing_that_is_to_be_encrypted() {
    let authority = Authority::new();
    let manner = authority
        .manner(&["127.0.0.1"], &[])
        .says("STARTTLS", &["454 4.7.0 not now"]);
    let server = Server::start(manner).await;
    let asked = request(server.port, true, None, &["a@example.com"]);
    let answer = answer_of(&authority.client().send(&asked, LONG).await.expect("an answer"));
    assert_eq!((answer.step, answer.code), (Step::StartTls, 454));
    assert!(server.mails().is_empty());
}
