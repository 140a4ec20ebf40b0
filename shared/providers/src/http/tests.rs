use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use signalbox_proto::outcome::OutcomeKind;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::*;
use crate::classify;

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(300);

/// What a scripted server does with a connection.
#[derive(Clone, Copy)]
enum Act {
    /// Answers every request with these bytes and keeps the connection.
    Answer(&'static str),
    /// Answers once and closes.
    Close(&'static str),
    /// Begins an answer and goes on with its body for ever.
    Endless,
    /// Begins an answer and sends a byte of its body now and then.
    Trickle,
    /// Reads and says nothing.
    Hang,
    /// Closes without reading, which resets.
    Reset,
}

struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: mpsc::UnboundedReceiver<String>,
}

impl Server {
    async fn start(act: Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let (sender, requests) = mpsc::unbounded_channel();
        let counter = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, act, sender.clone()));
            }
        });
        Self {
            address,
            connections,
            requests,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/hook?token=hush", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, act: Act, requests: mpsc::UnboundedSender<String>) {
    if let Act::Reset = act {
        stream.peek(&mut [0]).await.expect("a request");
        return;
    }
    while let Some(request) = read_request(&mut stream).await {
        requests.send(request).ok();
        let go_on = match act {
            Act::Answer(answer) => stream.write_all(answer.as_bytes()).await.is_ok(),
            Act::Close(answer) => {
                stream.write_all(answer.as_bytes()).await.ok();
                false
            }
            Act::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok();
                while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
                // The other side has gone: the second message says so.
                requests.send("gone".to_owned()).ok();
                false
            }
            Act::Trickle => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
                    .await
                    .ok();
                let mut beat = tokio::time::interval(Duration::from_millis(20));
                while stream.write_all(b"x").await.is_ok() {
                    beat.tick().await;
                }
                false
            }
            Act::Hang => std::future::pending().await,
            Act::Reset => false,
        };
        if !go_on {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        text.push_str(std::str::from_utf8(&buffer[..read]).expect("text"));
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
    }
}

fn client(allow: &[&str]) -> Client {
    let egress = serde_json::from_value(serde_json::json!({ "allow": allow })).expect("ranges");
    Client::new(egress).expect("a client")
}

fn open() -> Client {
    client(&["127.0.0.0/8", "::1"])
}

fn post(url: &str) -> Request {
    Request {
        method: Method::POST,
        url: url.parse().expect("a URL"),
        headers: HeaderMap::from_iter([(
            ::http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )]),
        body: Bytes::from_static(b"{\"hush\":1}"),
        auth: Auth::bearer(&"hush".into()).expect("a token"),
        identity: None,
    }
}

#[tokio::test]
async fn a_request_arrives_as_it_was_made() {
    let mut server = Server::start(Act::Answer(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-one: 1\r\n\r\nok",
    ))
    .await;
    let response = open().send(post(&server.url()), LONG).await.expect("an answer");
    assert_eq!(
        (response.status, &response.body[..], response.truncated),
        (200, &b"ok"[..], false)
    );
    assert_eq!(response.headers["x-one"], "1");

    let request = server.requests.recv().await.expect("a request");
    let (head, body) = request.split_once("\r\n\r\n").expect("a head");
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /hook?token=hush http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nauthorization: bearer hush"), "{head}");
    assert!(
        head.contains(&format!("\r\nuser-agent: {}", USER_AGENT.to_ascii_lowercase())),
        "{head}"
    );
    assert_eq!(body, "{\"hush\":1}");
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::start(Act::Answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")).await;
    let client = open();
    for _ in 0..5 {
        client.send(post(&server.url()), LONG).await.expect("an answer");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_server_that_closes_after_each_answer_is_connected_to_again() {
    let server = Server::start(Act::Close("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")).await;
    let client = open();
    for _ in 0..3 {
        assert_eq!(
            client.send(post(&server.url()), LONG).await.expect("an answer").status,
            204
        );
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = Server::start(Act::Answer(
        "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    let response = open().send(post(&server.url()), LONG).await.expect("an answer");
    assert_eq!(response.status, 302);
    assert_eq!(response.headers["location"], "/elsewhere");
    assert_eq!((server.connections(), server.requests.len()), (1, 1));
}

#[tokio::test]
async fn an_endless_body_is_cut_with_its_connection() {
    let mut server = Server::start(Act::Endless).await;
    let response = open().send(post(&server.url()), LONG).await.expect("an answer");
    assert_eq!(
        (response.status, response.body.len(), response.truncated),
        (200, BODY_BYTES_MAX, true)
    );
    server.requests.recv().await.expect("the request");
    assert_eq!(
        tokio::time::timeout(LONG, server.requests.recv())
            .await
            .expect("in time")
            .as_deref(),
        Some("gone")
    );
}

#[tokio::test]
async fn a_body_that_trickles_or_never_comes_is_a_timeout() {
    for act in [Act::Trickle, Act::Hang] {
        let server = Server::start(act).await;
        let begun = Instant::now();
        let error = open().send(post(&server.url()), SHORT).await.expect_err("no answer");
        assert!(matches!(error, Error::Timeout(SHORT)), "{error:?}");
        assert!(begun.elapsed() >= SHORT && begun.elapsed() < LONG);
        assert_eq!(classify::by_error(&error).kind(), OutcomeKind::Retry);
    }
}

#[tokio::test]
async fn a_reset_connection_is_told_from_a_refused_one() {
    let server = Server::start(Act::Reset).await;
    let error = open().send(post(&server.url()), LONG).await.expect_err("a reset");
    assert!(matches!(error, Error::ConnectionReset), "{error:?}");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let error = open()
        .send(post(&format!("http://{address}/")), LONG)
        .await
        .expect_err("nobody there");
    assert!(matches!(error, Error::ConnectionRefused), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_is_not_http_is_an_error() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok",
        "SSH-2.0-x\r\n\r\n",
    ] {
        let server = Server::start(Act::Close(answer)).await;
        let error = open().send(post(&server.url()), LONG).await.expect_err("no answer");
        assert!(matches!(error, Error::Answer { .. }), "{answer:?}: {error:?}");
        assert_eq!(classify::by_error(&error).kind(), OutcomeKind::Retry);
    }
}

#[tokio::test]
async fn a_target_without_tls_is_a_tls_failure_by_https() {
    // The greeting of TLS is no text, so the scripted server cannot read it.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok();
            stream.read_exact(&mut [0; 16]).await.ok();
        }
    });
    let error = open()
        .send(post(&format!("https://{address}/")), LONG)
        .await
        .expect_err("no TLS");
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert_eq!(classify::by_error(&error).kind(), OutcomeKind::Retry);
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_tried_again() {
    // Longer than a label may be, so that every resolver refuses it without asking.
    let name = format!("{}.example", "a".repeat(64));
    let error = open()
        .send(post(&format!("http://{name}/")), LONG)
        .await
        .expect_err("no such name");
    assert!(matches!(&error, Error::Dns { host, .. } if *host == name), "{error:?}");
    assert_eq!(classify::by_error(&error).kind(), OutcomeKind::Retry);
}

#[tokio::test]
async fn refused_addresses_are_never_connected_to() {
    let server = Server::start(Act::Answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let port = server.address.port();
    let client = client(&[]);
    for scheme in ["http", "https"] {
        for host in [
            "127.0.0.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.1",
            "0.0.0.0",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "localhost",
        ] {
            let url = format!("{scheme}://{host}:{port}/hook?token=hush");
            let error = client.send(post(&url), LONG).await.expect_err(&url);
            assert!(
                matches!(error, Error::Egress(Refusal::Address { .. })),
                "{url}: {error:?}"
            );
            assert_eq!(classify::by_error(&error).kind(), OutcomeKind::Suspend, "{url}");
        }
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn allowed_addresses_are_called_by_number_and_by_name() {
    let server = Server::start(Act::Answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let port = server.address.port();
    // Without ::1, so that of two addresses of the name only the one that is allowed is tried.
    let client = client(&["127.0.0.0/8"]);
    for host in ["127.0.0.1", "2130706433", "[::ffff:127.0.0.1]", "localhost"] {
        let url = format!("http://{host}:{port}/");
        assert_eq!(client.send(post(&url), LONG).await.expect(&url).status, 200);
    }
}

#[tokio::test]
async fn plain_http_to_a_public_address_is_refused_before_it_is_called() {
    let error = open()
        .send(post("http://8.8.8.8/hook?token=hush"), LONG)
        .await
        .expect_err("plain");
    assert!(matches!(error, Error::Egress(Refusal::Plain { .. })), "{error:?}");
}

#[tokio::test]
async fn nothing_printed_holds_a_secret() {
    let server = Server::start(Act::Reset).await;
    let request = post(&server.url());
    assert!(!format!("{request:?}").contains("hush"));
    let mut shown = Vec::new();
    for url in [
        server.url(),
        "http://127.0.0.1:1/hook?token=hush".to_owned(),
        "http://10.0.0.1/?token=hush".to_owned(),
        format!("http://{}.example/?token=hush", "a".repeat(64)),
        format!("https://{}.example/?token=hush", "a".repeat(64)),
    ] {
        let error = open().send(post(&url), LONG).await.expect_err("no answer");
        shown.push(format!("{error} {error:?} {:?}", classify::by_error(&error)));
    }
    for text in shown {
        assert!(!text.contains("hush"), "{text}");
    }
}

#[tokio::test]
async fn a_connection_that_is_not_made_in_the_time_named_is_given_up() {
    // The system takes connections for it, and nobody ever speaks TLS.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("https://{}/", listener.local_addr().expect("bound"));
    for secs in [1, 2] {
        let connecting = open().connecting_within(Duration::from_secs(secs));
        let began = Instant::now();
        let error = connecting.send(post(&url), LONG).await.expect_err("no TLS");
        assert_eq!(error.to_string(), format!("no connection within {secs} s"));
        let took = began.elapsed().as_secs_f64();
        assert!(
            (secs as f64 - 0.1..secs as f64 + 0.9).contains(&took),
            "{took} s of {secs}"
        );
    }
    // The time for the whole request counts where it is shorter.
    let error = open().send(post(&url), SHORT).await.expect_err("no TLS");
    assert!(matches!(error, Error::Timeout(_)), "{error}");
}

#[tokio::test]
async fn integrations_that_name_the_same_time_to_a_connection_share_connections() {
    let server = Server::start(Act::Answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let client = open();
    for _ in 0..3 {
        for secs in [5, 2, 2, 60, 90] {
            let connecting = client.connecting_within(Duration::from_secs(secs));
            connecting.send(post(&server.url()), LONG).await.expect("an answer");
        }
    }
    assert_eq!(server.connections(), 3, "5 s, 2 s and 60 s, the most that there is");
    assert_eq!(client.parts.by_connect_secs.lock().expect("a lock").len(), 3);
}
