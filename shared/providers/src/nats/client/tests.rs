mod logins;
mod places;
mod server;
mod strangers;
mod tls;

use serde_json::json;
use tokio::time::sleep;

use self::server::{Other, Server};
use super::*;
use crate::{
    Secret,
    nats::{Login, by_error, server as address},
};

const LONG: Duration = Duration::from_secs(20);
const SUBJECT: &str = "events.alert.created";

fn client_of(allow: &[&str], tls: ClientConfig) -> Client {
    let egress = serde_json::from_value(json!({ "allow": allow })).expect("ranges");
    Client::new(egress, tls)
}

fn client() -> Client {
    let web = http::Client::new(Egress::default()).expect("a client");
    client_of(&["127.0.0.0/8", "::1"], web.tls().clone())
}

fn request(url: &str, login: Login, publish: Option<Publish>) -> Request {
    let servers = address::read("config/url", url).expect("servers");
    Request {
        integration: "i-1".to_owned(),
        identity: Identity::of(&servers, login),
        servers,
        publish,
    }
}

fn message(id: &str, body: &str) -> Publish {
    let header = |name: &'static str, value: &str| {
        (
            ::http::HeaderName::from_static(name),
            ::http::HeaderValue::from_str(value).expect("ASCII"),
        )
    };
    Publish {
        subject: SUBJECT.to_owned(),
        headers: [header("nats-msg-id", id), header("ce-type", "alert.created")]
            .into_iter()
            .collect(),
        body: body.to_owned().into(),
        jetstream: true,
    }
}

fn core(id: &str, body: &str) -> Publish {
    Publish {
        jetstream: false,
        ..message(id, body)
    }
}

fn user(user: &str, password: &str) -> Login {
    Login::User {
        user: user.to_owned(),
        password: Secret::from(password),
    }
}

fn idle(client: &Client) -> usize {
    client.pool.idle()
}

#[tokio::test]
async fn a_stream_stores_a_message_once_however_often_it_is_sent() {
    let server = Server::start("").await;
    let mut other = Other::connect(&server, "{}").await;
    other.make_stream(&["events.>"], &json!({})).await;
    // A worker that has died and the one that comes after it have a client each.
    for attempt in 0..3 {
        let request = request(&server.url(), Login::Anonymous, Some(message("d-1", r#"{"a":1}"#)));
        let response = client().send(&request, LONG).await.expect("an acknowledgement");
        assert_eq!(response.status, 200);
        let said: serde_json::Value = serde_json::from_slice(&response.body).expect("JSON");
        assert_eq!(said["duplicate"].as_bool().unwrap_or_default(), attempt > 0, "{said}");
    }
    assert_eq!(other.stored().await, 1);
    let (subject, headers, body) = other.stored_message(1).await;
    assert_eq!((subject.as_str(), body.as_str()), (SUBJECT, r#"{"a":1}"#));
    assert!(headers.contains("\r\nNats-Msg-Id: d-1\r\n"), "{headers}");
    assert!(headers.contains("\r\nce-type: alert.created\r\n"), "{headers}");
}

#[tokio::test]
async fn without_a_stream_nothing_is_delivered_and_the_remedy_is_named() {
    let server = Server::start("").await;
    let client = client();
    let request = request(&server.url(), Login::Anonymous, Some(message("d-1", "{}")));
    let error = client.send(&request, LONG).await.expect_err("no stream");
    assert!(
        matches!(&error, Error::NoStream { subject } if subject == SUBJECT),
        "{error:?}"
    );
    assert_eq!(by_error(&error).kind(), OutcomeKind::Suspend);
    let mut other = Other::connect(&server, "{}").await;
    other.make_stream(&["events.>"], &json!({})).await;
    client.send(&request, LONG).await.expect("a stream");
    assert_eq!(other.stored().await, 1);
    assert_eq!(idle(&client), 1, "the same connection");
}

#[tokio::test]
async fn somebody_who_listens_and_is_no_stream_is_not_taken_for_one() {
    let server = Server::start("").await;
    let mut other = Other::connect(&server, "{}").await;
    other.subscribe("events.>").await;
    let request = request(&server.url(), Login::Anonymous, Some(message("d-1", "{}")));
    let short = Duration::from_millis(500);
    let error = client().send(&request, short).await.expect_err("no acknowledgement");
    assert_eq!(other.message().await.subject, SUBJECT);
    assert!(matches!(error, Error::Connection(http::Error::Timeout(_))), "{error:?}");
    assert_eq!(by_error(&error).kind(), OutcomeKind::Retry);
}

#[tokio::test]
async fn without_jetstream_the_server_is_enough_and_who_listens_hears_it() {
    let server = Server::start("").await;
    let mut other = Other::connect(&server, r#"{"headers":true}"#).await;
    other.subscribe("events.>").await;
    let client = client();
    let request = request(&server.url(), Login::Anonymous, Some(core("d-1", "hello")));
    let response = client.send(&request, LONG).await.expect("an acknowledgement");
    assert_eq!((response.status, &response.body[..]), (200, &b""[..]));
    let heard = other.message().await;
    assert_eq!((heard.subject.as_str(), &heard.body[..]), (SUBJECT, &b"hello"[..]));
    assert!(heard.headers.starts_with(b"NATS/1.0\r\n"));
}

#[tokio::test]
async fn a_full_stream_answers_with_its_own_code() {
    let server = Server::start("").await;
    let mut other = Other::connect(&server, "{}").await;
    let full = json!({ "max_msgs": 1, "discard": "new", "max_msg_size": 200 });
    other.make_stream(&["events.>"], &full).await;
    let client = client();
    let send = async |id: &str, body: &str| {
        let request = request(&server.url(), Login::Anonymous, Some(message(id, body)));
        let response = client.send(&request, LONG).await.expect("an answer");
        super::super::answers::by_answer(&response, signalbox_proto::Timestamp::now())
    };
    assert_eq!(send("d-0", &"x".repeat(500)).await.kind(), OutcomeKind::Reject);
    assert_eq!(send("d-1", "{}").await, signalbox_proto::Outcome::Delivered);
    let full = send("d-2", "{}").await;
    assert_eq!(full.kind(), OutcomeKind::Retry);
    assert!(full.reason().is_some_and(|reason| reason.contains("10077")), "{full:?}");
    assert_eq!(idle(&client), 1, "an answer is an answer: the connection is kept");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_not_sent_and_does_no_harm() {
    let server = Server::start("max_payload: 1000").await;
    let client = client();
    let send = async |body: &str| {
        let request = request(&server.url(), Login::Anonymous, Some(core("d-1", body)));
        client.send(&request, LONG).await
    };
    let error = send(&"x".repeat(1_000)).await.expect_err("it is too large");
    assert!(matches!(error, Error::TooLarge { bytes_max: 1_000, .. }), "{error:?}");
    assert_eq!(by_error(&error).kind(), OutcomeKind::Reject);
    send(&"x".repeat(800)).await.expect("it fits");
    assert_eq!(idle(&client), 1);
}

#[tokio::test]
async fn a_server_that_went_down_is_an_outcome_and_back_it_is_found_again() {
    let mut server = Server::start("").await;
    let mut other = Other::connect(&server, "{}").await;
    other.make_stream(&["events.>"], &json!({})).await;
    let client = client();
    let send = async |url: &str, id: &str| {
        let request = request(url, Login::Anonymous, Some(message(id, "{}")));
        client.send(&request, LONG).await
    };
    let url = server.url();
    send(&url, "d-1").await.expect("an acknowledgement");
    server.kill().await;
    for _ in 0..2 {
        let error = send(&url, "d-2").await.expect_err("nobody is there");
        assert!(
            matches!(error, Error::Connection(http::Error::ConnectionRefused)),
            "{error:?}"
        );
        assert_eq!(by_error(&error).kind(), OutcomeKind::Retry);
    }
    server.restart().await;
    let deadline = Instant::now() + LONG;
    // A stream is there a moment after its server.
    while send(&url, "d-2").await.is_err() {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(50)).await;
    }
    // One that was kept from before is replaced without an outcome.
    server.kill().await;
    server.restart().await;
    let probe = request(&url, Login::Anonymous, None);
    client.send(&probe, LONG).await.expect("a new connection");
    let mut other = Other::connect(&server, "{}").await;
    assert_eq!(other.stored().await, 2, "nothing came later that nobody waited for");
}

#[tokio::test]
async fn the_next_server_is_asked_where_the_first_is_away() {
    let server = Server::start("").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let away = listener.local_addr().expect("an address").port();
    drop(listener);
    let url = format!("nats://127.0.0.1:{away},{}", server.url());
    let client = client();
    client
        .send(&request(&url, Login::Anonymous, None), LONG)
        .await
        .expect("the second");
}

#[tokio::test]
async fn connections_are_used_again_and_never_more_than_their_bound() {
    let server = Server::start("").await;
    let mut other = Other::connect(&server, "{}").await;
    other.make_stream(&["events.>"], &json!({})).await;
    let client = client();
    let url = server.url();
    let send = async |id: String| {
        let request = request(&url, Login::Anonymous, Some(message(&id, "{}")));
        client.send(&request, LONG).await.expect("an acknowledgement");
    };
    for index in 0..10 {
        send(format!("one-{index}")).await;
    }
    assert_eq!(idle(&client), 1);
    let many = (0..200).map(|index| send(format!("many-{index}")));
    let mut running: Vec<_> = many.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        running.retain_mut(|sending| sending.as_mut().poll(context).is_pending());
        if running.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    assert!(
        (2..=pool::INTEGRATION_MAX).contains(&idle(&client)),
        "{}",
        idle(&client)
    );
    assert_eq!(other.stored().await, 210);
}

#[tokio::test]
async fn whoever_gives_up_leaves_no_connection_with_an_old_answer_nor_one_that_may_be_as_dead() {
    let server = Server::start("").await;
    let mut other = Other::connect(&server, "{}").await;
    other.subscribe("events.>").await;
    let client = client();
    let asked = |publish| request(&server.url(), Login::Anonymous, publish);
    // Two at once leave two connections.
    let probe = asked(None);
    let (first, second) = tokio::join!(client.send(&probe, LONG), client.send(&probe, LONG));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(idle(&client), 2);
    client
        .send(&asked(Some(message("d-1", "{}"))), Duration::from_millis(300))
        .await
        .expect_err("no acknowledgement");
    assert_eq!((idle(&client), client.pool.used()), (0, 0));
}
