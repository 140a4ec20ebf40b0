//! Servers that are none, or none of ours to call.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::*;

const SHORT: Duration = Duration::from_millis(500);
const GREETING: &str = "INFO {\"headers\":true,\"max_payload\":1048576,\"nonce\":\"n\"}\r\n";

/// Listens, says what it is told to, and passes on what it hears.
pub(super) struct Fake {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heard: mpsc::UnboundedReceiver<String>,
}

impl Fake {
    /// `lines` are said one after another: the first at once, each further one when something was heard.
    pub(super) async fn start(lines: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let (sender, heard) = mpsc::unbounded_channel();
        let counter = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(talk(stream, lines, sender.clone()));
            }
        });
        Self {
            address,
            connections,
            heard,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn talk(mut stream: TcpStream, lines: &[&str], heard: mpsc::UnboundedSender<String>) {
    let mut buffer = [0; 4096];
    for line in lines {
        if stream.write_all(line.as_bytes()).await.is_err() {
            return;
        }
        match stream.read(&mut buffer).await {
            Ok(1..) => {}
            _ => return,
        }
        heard
            .send(String::from_utf8_lossy(&buffer).trim_end_matches('\0').to_owned())
            .ok();
    }
    // It stays, and says nothing more.
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
}

#[tokio::test]
async fn addresses_that_rules_refuse_are_never_connected_to() {
    let fake = Fake::start(&[GREETING]).await;
    let port = fake.address.port();
    let client = client_of(
        &[],
        http::Client::new(Egress::default()).expect("a client").tls().clone(),
    );
    for scheme in ["nats", "tls"] {
        for host in [
            "127.0.0.1",
            "2130706433",
            "0x7f.1",
            "localhost",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            let url = format!("{scheme}://{host}:{port}");
            let error = client
                .send(&request(&url, Login::Anonymous, None), LONG)
                .await
                .expect_err(&url);
            assert!(
                matches!(error, Error::Connection(http::Error::Egress(_))),
                "{url}: {error:?}"
            );
            assert_eq!(by_error(&error).kind(), OutcomeKind::Suspend, "{url}");
        }
    }
    assert_eq!(fake.connections(), 0);
    let public = "nats://8.8.8.8:4222";
    let error = client
        .send(&request(public, Login::Anonymous, None), LONG)
        .await
        .expect_err("without TLS");
    assert!(
        matches!(
            error,
            Error::Connection(http::Error::Egress(http::Refusal::Plain { .. }))
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn servers_that_a_cluster_tells_of_are_not_called() {
    let gossiped = Fake::start(&[GREETING]).await;
    let told = format!(
        "INFO {{\"headers\":true,\"max_payload\":9,\"connect_urls\":[\"{}\"]}}\r\n",
        gossiped.address
    );
    let lines: &'static [&'static str] = Vec::leak(vec![&*told.leak(), "-ERR 'Server Shutdown'\r\n"]);
    let fake = Fake::start(lines).await;
    for _ in 0..3 {
        let error = client()
            .send(&request(&fake.url(), Login::Anonymous, None), LONG)
            .await
            .expect_err("it leaves");
        assert_eq!(by_error(&error).kind(), OutcomeKind::Retry, "{error:?}");
    }
    assert_eq!(gossiped.connections(), 0);
}

#[tokio::test]
async fn who_says_nothing_or_something_else_is_given_up_in_time() {
    for (lines, what) in [
        (&["", "never"][..], "silence at first"),
        (&[GREETING][..], "silence after the login"),
        (&[GREETING, "PONG\r\n"][..], "silence after the message"),
    ] {
        let fake = Fake::start(lines).await;
        let began = Instant::now();
        let asked = request(&fake.url(), user("a", "hush"), Some(core("d-1", "{}")));
        let error = client().send(&asked, SHORT).await.expect_err(what);
        assert!(
            matches!(error, Error::Connection(http::Error::Timeout(_))),
            "{what}: {error:?}"
        );
        assert!((SHORT..LONG).contains(&began.elapsed()), "{what}");
        assert_eq!(by_error(&error).kind(), OutcomeKind::Retry);
    }
    for (lines, what) in [
        (&["HTTP/1.1 400 Bad Request\r\n\r\n"][..], "another protocol"),
        (&["PONG\r\n"][..], "no greeting"),
        (&[GREETING, "MSG a 1 999999999\r\n"][..], "a huge message"),
    ] {
        let fake = Fake::start(lines).await;
        let asked = request(&fake.url(), user("a", "hush"), Some(core("d-1", "{}")));
        let error = client().send(&asked, LONG).await.expect_err(what);
        assert!(matches!(error, Error::Protocol(_)), "{what}: {error:?}");
        assert_eq!(by_error(&error).kind(), OutcomeKind::Retry);
    }
}

#[tokio::test]
async fn a_time_to_a_connection_of_its_own_is_kept() {
    let fake = Fake::start(&["", "never"]).await;
    let client = client().connecting_within(Duration::from_secs(1));
    let began = Instant::now();
    let error = client
        .send(&request(&fake.url(), Login::Anonymous, None), LONG)
        .await
        .expect_err("no greeting");
    assert!(
        matches!(error, Error::Connection(http::Error::ConnectTimeout(_))),
        "{error:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_server_without_headers_is_refused_before_it_gets_credentials() {
    let mut fake = Fake::start(&["INFO {\"max_payload\":1048576}\r\n"]).await;
    let asked = request(&fake.url(), user("a", "hush"), Some(core("d-1", "{}")));
    let error = client().send(&asked, LONG).await.expect_err("no headers");
    assert!(matches!(error, Error::NoHeaders), "{error:?}");
    assert!(fake.heard.try_recv().is_err());
}

#[tokio::test]
async fn with_tls_asked_for_nothing_is_said_in_clear() {
    let mut fake = Fake::start(&[GREETING]).await;
    let url = format!("tls://{}", fake.address);
    let asked = request(&url, user("signalbox", "hush"), Some(core("d-1", "{}")));
    let sending = client().send(&asked, SHORT).await;
    assert!(sending.is_err(), "{sending:?}");
    let heard = fake.heard.recv().await.expect("the greeting of TLS");
    assert!(!heard.contains("hush") && !heard.contains("CONNECT"), "{heard:?}");
}

#[tokio::test]
async fn what_a_server_says_of_us_is_repeated_to_nobody() {
    for (text, expected) in [
        ("-ERR 'hush: something new'\r\n", OutcomeKind::Retry),
        ("-ERR 'Authorization Violation'\r\n", OutcomeKind::Suspend),
        ("-ERR 'User Authentication Expired'\r\n", OutcomeKind::Suspend),
        ("-ERR 'Account Authentication Expired'\r\n", OutcomeKind::Suspend),
        ("-ERR 'Authentication Timeout'\r\n", OutcomeKind::Retry),
        ("-ERR 'maximum connections exceeded'\r\n", OutcomeKind::Retry),
    ] {
        let lines: &'static [&'static str] = Vec::leak(vec![GREETING, text]);
        let fake = Fake::start(lines).await;
        let error = client()
            .send(&request(&fake.url(), user("a", "hush"), None), LONG)
            .await
            .expect_err(text);
        let outcome = by_error(&error);
        assert_eq!(outcome.kind(), expected, "{text}: {error:?}");
        assert!(!format!("{error} {error:?} {outcome:?}").contains("hush"), "{text}");
    }
}
