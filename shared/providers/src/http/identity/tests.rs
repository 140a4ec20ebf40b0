use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{ServerConfig, server::WebPkiClientVerifier};
use signalbox_proto::outcome::OutcomeKind;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    classify,
    http::{Auth, Client, Error, HeaderMap, IDENTITIES_MAX, Method, Request, Response},
};

const LONG: Duration = Duration::from_secs(10);

/// One that issues certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate and its key, valid until the end of this year.
    pub(crate) fn issue(&self, name: &str, until_year: i32) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("parameters");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until_year, 12, 31);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

pub(crate) fn given((certificate, key): &(String, String)) -> ClientCertificate {
    ClientCertificate {
        certificate: certificate.clone(),
        key: key.as_str().into(),
    }
}

fn read(client: Option<&ClientCertificate>, authorities: Option<&str>) -> Result<Arc<Identity>, Vec<FieldError>> {
    let identity = Identity::read(
        client.map(|client| ("credentials/client_certificate", client)),
        authorities.map(|text| ("config/ca_certificate", text)),
    );
    identity.map(|identity| identity.expect("something was given"))
}

#[test]
fn a_certificate_with_its_key_is_read_and_not_printed() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("signalbox", 2099);
    // A chain, and white space as it comes from an editor.
    let chain = format!("\n{certificate}\n{}\n", authority.pem);
    let client = given(&(chain, format!("{key}\n\n")));
    let identity = read(Some(&client), Some(&authority.pem)).expect("it is right");
    assert!(identity.has_certificate());
    assert_eq!(
        format!("{identity:?}"),
        "Identity { has_certificate: true, authorities: 1, .. }"
    );
    let inside = key.lines().nth(1).expect("a line");
    assert!(!format!("{client:?}").contains(inside));
    let none = Identity::read(None, None).expect("nothing is wrong");
    assert!(none.is_none());
}

#[test]
fn what_does_not_fit_is_named_and_not_repeated() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("signalbox", 2099);
    let (_, another) = authority.issue("signalbox", 2099);
    let broken = certificate.replace("-----END CERTIFICATE-----", "");
    let no_key = "-----BEGIN PRIVATE KEY-----\ncy3crh0ut\n-----END PRIVATE KEY-----\n";
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nczNjcmV0\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let hollow = "-----BEGIN CERTIFICATE-----\nczNjcmV0\n-----END CERTIFICATE-----\n";
    for (certificate, key, field) in [
        (certificate.as_str(), another.as_str(), "key"),
        (&certificate, &certificate, "key"),
        (&certificate, no_key, "key"),
        (&certificate, locked, "key"),
        (&certificate, "s3cret", "key"),
        (&broken, &key, "certificate"),
        (&key, &key, "certificate"),
        ("s3cret", &key, "certificate"),
        (hollow, &key, "certificate"),
        (&certificate.repeat(CERTIFICATES_MAX + 1), &key, "certificate"),
        (&" ".repeat(PEM_BYTES_MAX + 1), &key, "certificate"),
    ] {
        let client = given(&(certificate.to_owned(), key.to_owned()));
        let wrong = read(Some(&client), None).expect_err(field);
        let pointers: Vec<&str> = wrong.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [format!("credentials/client_certificate/{field}")],
            "{wrong:?}"
        );
        let said = format!("{wrong:?}");
        assert!(
            !said.contains("s3cret") && !said.contains("czNj") && !said.contains("cy3c"),
            "{said}"
        );
    }
    let client = given(&("nothing".to_owned(), "nothing".to_owned()));
    let wrong = read(Some(&client), Some(hollow)).expect_err("all of it is wrong");
    assert_eq!(wrong.len(), 3, "{wrong:?}");
}

#[test]
fn an_end_that_is_near_or_over_is_said() {
    let authority = Authority::new();
    let until = |year| {
        let client = given(&authority.issue("signalbox", year));
        read(Some(&client), None).expect("it is right")
    };
    let at = |text: &str| text.parse::<Timestamp>().expect("a time");
    for (year, now, says) in [
        (2030, "2029-06-01T00:00:00Z", None),
        (2030, "2030-12-20T00:00:00Z", Some("expires at 2030-12-31T00:00:00Z")),
        (2030, "2031-01-01T00:00:00Z", Some("expired at 2030-12-31T00:00:00Z")),
        // From 2050 on certificates write their times in another form.
        (2055, "2056-01-01T00:00:00Z", Some("expired at 2055-12-31T00:00:00Z")),
        (2030, "2019-12-31T00:00:00Z", Some("is valid from 2020-01-01T00:00:00Z")),
    ] {
        let said = until(year).warning(at(now));
        match says {
            None => assert_eq!(said, None),
            Some(says) => assert!(said.as_ref().is_some_and(|said| said.starts_with(says)), "{said:?}"),
        }
    }
    let authorities = read(None, Some(&authority.pem)).expect("it is right");
    assert_eq!(authorities.warning(at("2100-01-01T00:00:00Z")), None);
    for garbage in [
        &[][..],
        &[0x30],
        &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        &[0x30, 0x80, 0, 0],
    ] {
        assert_eq!(Validity::of(garbage), None);
    }
}

/// A server with TLS that answers every request with 200, and asks for certificates of an authority where it is given one.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(own: &Authority, of_clients: Option<&Authority>) -> Self {
        let (certificate, key) = own.issue("localhost", 2099);
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("versions");
        let config = match of_clients {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("PEM");
                roots.add(root).expect("an authority");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                config.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let chain = certificates(&certificate).expect("PEM");
        let key = private_key(&key.as_str().into()).expect("PEM");
        let config = config.with_single_cert(chain, key).expect("a certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, count) = (acceptor.clone(), count.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    count.fetch_add(1, Ordering::SeqCst);
                    let mut buffer = [0; 4096];
                    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, connections }
    }

    async fn ask(&self, client: &Client, identity: Option<&Arc<Identity>>) -> Result<Response, Error> {
        let url = format!("https://localhost:{}/", self.address.port());
        let request = Request {
            method: Method::GET,
            url: url.parse().expect("a URL"),
            headers: HeaderMap::new(),
            body: bytes::Bytes::new(),
            auth: Auth::None,
            identity: identity.cloned(),
        };
        client.send(request, LONG).await
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn client() -> Client {
    let egress = serde_json::from_value(serde_json::json!({ "allow": ["127.0.0.0/8"] })).expect("ranges");
    Client::new(egress).expect("a client")
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_takes_ours_and_no_others() {
    let (servers, ours, others) = (Authority::new(), Authority::new(), Authority::new());
    let server = Server::start(&servers, Some(&ours)).await;
    let client = client();
    let of = |client: Option<(String, String)>| {
        let client = client.as_ref().map(given);
        read(client.as_ref(), Some(&servers.pem)).expect("it is right")
    };
    let right = of(Some(ours.issue("signalbox", 2099)));
    let answer = server.ask(&client, Some(&right)).await.expect("it is taken");
    assert_eq!(answer.status, 200);
    for wrong in [
        of(None),
        of(Some(others.issue("signalbox", 2099))),
        of(Some(ours.issue("signalbox", 2021))),
    ] {
        let error = server.ask(&client, Some(&wrong)).await.expect_err("it is refused");
        // The server may be gone before we have read why.
        assert!(matches!(error, Error::Tls { .. } | Error::ConnectionReset), "{error:?}");
        assert_eq!(classify::by_error(&error).kind(), OutcomeKind::Retry);
    }
    // The connection of the first is still there, and nobody else's.
    let answer = server.ask(&client, Some(&right)).await.expect("it is taken");
    assert_eq!((answer.status, server.connections()), (200, 1));
}

#[tokio::test]
async fn a_server_of_an_authority_of_its_own_is_trusted_where_its_owner_says_so() {
    let (servers, others) = (Authority::new(), Authority::new());
    let server = Server::start(&servers, None).await;
    let client = client();
    let [right, wrong] = [&servers, &others].map(|known| read(None, Some(&known.pem)).expect("it is right"));
    assert_eq!(server.ask(&client, Some(&right)).await.expect("trusted").status, 200);
    for identity in [None, Some(&wrong)] {
        let error = server.ask(&client, identity).await.expect_err("not trusted");
        assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn connections_are_kept_by_identity_and_of_so_many_at_most() {
    let authority = Authority::new();
    let server = Server::start(&authority, None).await;
    let client = client();
    let identities: Vec<_> = (0..3)
        .map(|number| {
            let client = given(&authority.issue(&format!("client-{number}"), 2099));
            read(Some(&client), Some(&authority.pem)).expect("it is right")
        })
        .collect();
    for _ in 0..3 {
        for identity in &identities {
            server.ask(&client, Some(identity)).await.expect("an answer");
        }
    }
    assert_eq!(server.connections(), 3);
    // The same certificate in another integration is the same identity.
    let kept = || client.parts.by_identity.lock().expect("a lock").len();
    assert_eq!(kept(), 3);
    for number in 0..IDENTITIES_MAX {
        let text = format!("{}\n{}", authority.pem, "\n".repeat(number));
        let text = format!("# {number}\n{text}");
        let identity = read(None, Some(&text)).expect("it is right");
        client.identified(&identity);
    }
    assert_eq!(kept(), IDENTITIES_MAX);
}
