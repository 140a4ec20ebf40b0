use std::net::SocketAddr;

use axum::{Router, routing::get};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsConnector;

use super::*;
use crate::{
    Shutdown,
    serve::{Bounds, serve},
};

/// A certificate for `localhost` in files of its own.
struct Files {
    folder: TempDir,
    cert: CertificateDer<'static>,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cert = issue(folder.path());
        Self { folder, cert }
    }

    fn renew(&mut self) {
        self.cert = issue(self.folder.path());
    }

    fn config(&self) -> Config {
        Config {
            tls_cert_file: Some(self.folder.path().join("cert.pem")),
            tls_key_file: Some(self.folder.path().join("key.pem")),
        }
    }
}

fn issue(folder: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    cert.der().clone()
}

async fn listening(tls: Option<Tls>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().route("/", get(|| async { "here" }));
    let bounds = Bounds::new(16, Duration::from_secs(1));
    tokio::spawn(serve(listener, tls, routes, bounds, Shutdown::new()));
    address
}

/// What a caller who trusts this certificate alone gets.
async fn call(address: SocketAddr, trusted: &CertificateDer<'static>) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn refused(config: &Config) -> String {
    config.open().unwrap_err().to_string()
}

#[tokio::test]
async fn who_calls_by_tls_is_answered_and_who_speaks_none_is_let_go() {
    let files = Files::new();
    let address = listening(files.config().open().unwrap()).await;
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).await.unwrap();
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    let answer = call(address, &files.cert).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_the_next_caller() {
    let mut files = Files::new();
    let tls = files.config().open().unwrap().unwrap();
    let before = files.cert.clone();
    let shown = |tls: &Tls| tls.current.lock().unwrap().digest;
    let first = shown(&tls);
    tls.look();
    assert_eq!(shown(&tls), first);
    files.renew();
    tls.look();
    assert_ne!(shown(&tls), first);
    let address = listening(Some(tls)).await;
    assert!(call(address, &files.cert).await.is_ok());
    assert!(call(address, &before).await.is_err());
}

#[test]
fn what_cannot_be_read_again_changes_nothing() {
    let files = Files::new();
    let tls = files.config().open().unwrap().unwrap();
    let first = tls.current.lock().unwrap().digest;
    // Half of a renewal: a certificate whose key is still to come.
    let key = std::fs::read(files.folder.path().join("key.pem")).unwrap();
    issue(files.folder.path());
    std::fs::write(files.folder.path().join("key.pem"), key).unwrap();
    tls.look();
    std::fs::remove_file(files.folder.path().join("cert.pem")).unwrap();
    tls.look();
    assert_eq!(tls.current.lock().unwrap().digest, first);
}

#[test]
fn files_that_are_missing_or_do_not_fit_are_refused_by_name() {
    assert!(Config::default().open().unwrap().is_none());
    let files = Files::new();
    let config = files.config();
    let half = Config {
        tls_key_file: None,
        ..config.clone()
    };
    assert!(refused(&half).contains("http.tls_key_file"), "{}", refused(&half));
    let half = Config {
        tls_cert_file: None,
        ..config.clone()
    };
    assert!(refused(&half).contains("http.tls_cert_file"), "{}", refused(&half));
    let swapped = Config {
        tls_cert_file: config.tls_key_file.clone(),
        tls_key_file: config.tls_cert_file.clone(),
    };
    assert!(
        refused(&swapped).contains("holds no certificate"),
        "{}",
        refused(&swapped)
    );
    let other = Files::new();
    let others = Config {
        tls_key_file: other.config().tls_key_file,
        ..config.clone()
    };
    assert!(
        refused(&others).starts_with("http.tls_key_file"),
        "{}",
        refused(&others)
    );
    let keyless = Config {
        tls_key_file: config.tls_cert_file.clone(),
        ..config
    };
    assert!(
        refused(&keyless).contains("holds no private key"),
        "{}",
        refused(&keyless)
    );
}
