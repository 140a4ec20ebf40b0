//! Targets that ask for a certificate: ours is taken, none and another's are not.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::harness::{Publish, Up, eventually};

const SOON: Duration = Duration::from_secs(30);

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

/// A target that answers those with 200 who show a certificate of an authority. It ends with the value.
struct Target {
    port: u16,
    paths: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl Target {
    async fn start(own: &Authority, of_clients: &Authority) -> Self {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(of_clients.pem.as_bytes()).expect("PEM");
        roots.add(root).expect("an authority");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let (certificate, key) = own.issue("localhost");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier.build().expect("a verifier"))
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM"),
            )
            .expect("a certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let paths = Arc::new(Mutex::new(Vec::new()));
        let seen = paths.clone();
        let accepting = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), seen.clone());
                open.spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, &seen).await;
                    }
                });
            }
        });
        Self { port, paths, accepting }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    fn paths(&self) -> Vec<String> {
        self.paths.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TlsStream<TcpStream>, seen: &Mutex<Vec<String>>) {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        seen.lock().expect("nobody panics with it").push(path);
        text.clear();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_asks_for_a_certificate_takes_ours_alone() {
    let (servers, ours, others) = (Authority::new(), Authority::new(), Authority::new());
    let target = Target::start(&servers, &ours).await;
    let up = Up::start().await;
    let client = up.client();
    let of = |name: &str, ca: Option<&str>, certificate: Option<&(String, String)>| {
        let certificate = certificate.map(|(certificate, key)| json!({ "certificate": certificate, "key": key }));
        let mut integration = json!({
            "name": name, "provider": "webhook", "events": [format!("call.{name}")],
            "config": { "url": target.url(&format!("/{name}")) }, "credentials": {},
            "retry": { "schedule": ["1s", "1s"] },
        });
        if let Some(ca) = ca {
            integration["config"]["ca_certificate"] = ca.into();
        }
        if let Some(certificate) = certificate {
            integration["credentials"]["client_certificate"] = certificate;
        }
        integration
    };
    let (right, strange) = (ours.issue("signalbox"), others.issue("signalbox"));
    let known = Some(servers.pem.as_str());
    let mut integrations = vec![
        of("with", known, Some(&right)),
        of("without", known, None),
        of("anothers", known, Some(&strange)),
        of("untrusting", None, Some(&right)),
    ];
    // Of an order, by the other way that deliveries go.
    integrations.push(of("in-order", known, Some(&right)));
    integrations[4]["order_by"] = "event.type".into();
    client.apply(Value::from(integrations)).await;
    let names = ["with", "in-order", "without", "anothers", "untrusting"];
    for name in names {
        client
            .publish(Publish::of(&format!("call.{name}"), &json!({})).id(name))
            .await;
    }
    for name in ["with", "in-order"] {
        client.delivery(name, "delivered", SOON).await;
    }
    for (name, says) in [
        ("without", ["TLS failed", "reset"]),
        ("anothers", ["TLS failed", "reset"]),
        ("untrusting", ["TLS failed", "UnknownIssuer"]),
    ] {
        let delivery = client.delivery(name, "dead", SOON).await;
        let text = delivery.to_string();
        assert!(says.iter().any(|says| text.contains(says)), "{name}: {text}");
    }
    let mut paths = target.paths();
    paths.sort();
    assert_eq!(paths, ["/in-order", "/with"], "nobody else came through");

    // A key that belongs to another certificate is refused when it is given, and nothing of it is repeated or kept open.
    let mixed = (right.0.clone(), strange.1.clone());
    let answer = client.try_apply(json!([of("mixed", known, Some(&mixed))])).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert!(
        answer.text().contains("credentials/client_certificate/key"),
        "{}",
        answer.text()
    );
    let shown = client.integration("with").await;
    assert_eq!(shown["credentials"]["client_certificate"]["key"], "***", "{shown}");
    let told = [
        answer.text(),
        shown.to_string(),
        client.get("/v1/export").await.to_string(),
        up.log(),
    ];
    for (_, key) in [&right, &strange] {
        let line = key.lines().nth(1).expect("a line of base64");
        assert!(told.iter().all(|text| !text.contains(line)), "{told:?}");
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordered_delivery_waits_for_a_connection_as_long_as_its_integration_says() {
    // The system takes connections for it, and nobody ever speaks TLS.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = silent.local_addr().expect("bound").port();
    let up = Up::start().await;
    let client = up.client();
    client
        .apply(json!([{
            "name": "silent", "provider": "webhook", "events": ["tick"], "order_by": "event.type",
            "config": { "url": format!("https://127.0.0.1:{port}/") }, "connect_timeout": "1s",
        }]))
        .await;
    client.publish(Publish::of("tick", &json!({})).id("one")).await;
    eventually(SOON, "the attempt is on record", async || {
        let story = client.trace("one").await?.to_string();
        match story.contains("no connection within 1 s") {
            true => Ok(()),
            false => Err(story),
        }
    })
    .await;
    up.stop().await;
}
