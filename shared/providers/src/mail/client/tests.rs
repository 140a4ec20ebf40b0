mod logins;
mod repeats;
mod server;
mod tls;

use serde_json::json;
use signalbox_proto::outcome::OutcomeKind;

use self::server::{Manner, Server};
use super::*;
use crate::{
    Secret,
    mail::{Account, Answer, Login, Mail, Refused, Step, by_error},
};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(500);
const PASSWORD: &str = "hush hush";
const MESSAGE: &str = "Subject: s\r\nMessage-ID: <d-1@example.com>\r\n\r\n.a line\r\n..\r\nthe end\r\n";

fn client_of(allow: &[&str], tls: ClientConfig) -> Client {
    let egress = serde_json::from_value(json!({ "allow": allow })).expect("ranges");
    Client::new(egress, tls)
}

/// Trusts the system's authorities, none of which knows our servers.
fn client() -> Client {
    let web = http::Client::new(Egress::default()).expect("a client");
    client_of(&["127.0.0.0/8"], web.tls().clone())
}

fn login() -> Option<Login> {
    Some(Login {
        username: "signalbox".to_owned(),
        password: Secret::from(PASSWORD),
    })
}

fn request(port: u16, secure: bool, login: Option<Login>, to: &[&str]) -> Request {
    let server = super::super::Server::read("127.0.0.1", port, secure).expect("a server");
    let to = to
        .iter()
        .enumerate()
        .map(|(number, to)| (number, to.parse().expect("an address")));
    let to: Vec<_> = to.collect();
    Request {
        integration: "i-1".to_owned(),
        account: Arc::new(Account::new(server, login)),
        mail: (!to.is_empty()).then(|| Mail {
            from: "signalbox@example.com".parse().expect("an address"),
            to,
            message: MESSAGE.into(),
        }),
    }
}

/// In clear, as an operator may allow it.
fn clear(server: &Server, to: &[&str]) -> Request {
    request(server.port, false, None, to)
}

fn answer_of(response: &Response) -> Answer {
    Answer::of(response).expect("a record")
}

fn refused(to: usize, code: u16, why: Option<&str>) -> Refused {
    Refused {
        to,
        code,
        why: why.map(str::to_owned),
    }
}

#[tokio::test]
async fn a_message_arrives_as_it_was_sent() {
    let server = Server::start(Manner::default()).await;
    let response = client()
        .send(&clear(&server, &["a@example.com", "b@example.com"]), LONG)
        .await;
    let answer = answer_of(&response.expect("an answer"));
    assert_eq!((answer.code, answer.step, answer.got), (250, Step::Data, vec![0, 1]));
    assert_eq!(
        server.seen(),
        [
            "EHLO [127.0.0.1]",
            // Lettre begins where the way to it is encrypted, or is not.
            "EHLO [127.0.0.1]",
            "MAIL FROM:<signalbox@example.com>",
            "RCPT TO:<a@example.com>",
            "RCPT TO:<b@example.com>",
            "DATA",
        ]
    );
    assert_eq!(server.mails(), [MESSAGE]);
}

#[tokio::test]
async fn who_is_refused_keeps_nobody_else_from_it() {
    let manner = Manner::default()
        .says("RCPT TO:<b@", &["550 5.1.1 no such user"])
        .says("RCPT TO:<c@", &["451-4.7.1 later,\r\n451 4.7.1 please"]);
    let server = Server::start(manner).await;
    let asked = clear(&server, &["a@example.com", "b@example.com", "c@example.com"]);
    let answer = answer_of(&client().send(&asked, LONG).await.expect("an answer"));
    assert_eq!((answer.code, answer.got), (250, vec![0]));
    assert_eq!(
        answer.not,
        [refused(1, 550, Some("5.1.1")), refused(2, 451, Some("4.7.1"))]
    );
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn nothing_is_sent_where_nobody_is_taken_and_the_connection_is_good_for_the_next() {
    let manner = Manner::default()
        .says("RCPT TO:<b@", &["550 5.1.1 no such user"])
        .says("RCPT TO:<c@", &["450 later"]);
    let server = Server::start(manner).await;
    let client = client();
    let nobody = client
        .send(&clear(&server, &["b@example.com", "c@example.com"]), LONG)
        .await;
    let answer = answer_of(&nobody.expect("an answer"));
    // One may be taken later: that decides.
    assert_eq!(
        (answer.code, answer.step, answer.got.len(), answer.not.len()),
        (450, Step::Rcpt, 0, 2)
    );
    assert!(server.mails().is_empty());
    let next = client.send(&clear(&server, &["a@example.com"]), LONG).await;
    assert_eq!(next.expect("an answer").status, 250);
    assert_eq!(server.connections(), 1);
    let seen = server.seen();
    let between: Vec<&str> = seen
        .iter()
        .map(String::as_str)
        .skip_while(|line| !line.starts_with("RCPT TO:<c@"))
        .collect();
    assert_eq!(between[1], "RSET", "{seen:?}");
}

#[tokio::test]
async fn a_refusal_is_told_though_the_server_is_silent_to_what_follows() {
    for silence in ["SILENCE", "HANGUP"] {
        let manner = Manner::default()
            .says("MAIL", &["550 5.4.5 enough for today"])
            .says("RSET", &[silence]);
        let server = Server::start(manner).await;
        let client = client().connecting_within(Duration::from_secs(1));
        let refused = client.send(&clear(&server, &["a@example.com"]), SHORT).await;
        let answer = answer_of(&refused.expect("the refusal"));
        assert_eq!(
            (answer.code, answer.step, answer.why.as_deref()),
            (550, Step::Mail, Some("5.4.5")),
            "{silence}"
        );
        // The next message goes by another connection.
        let next = client.send(&clear(&server, &["a@example.com"]), LONG).await;
        assert_eq!(next.expect("an answer").status, 250, "{silence}");
        assert_eq!(server.connections(), 2, "{silence}");
    }
}

#[tokio::test]
async fn a_recipient_who_may_be_taken_another_day_decides_for_all() {
    let manner = Manner::default()
        .says("RCPT TO:<b@", &["550 5.1.1 no such user"])
        .says("RCPT TO:<c@", &["550 5.4.5 enough for today"]);
    let server = Server::start(manner).await;
    let asked = clear(&server, &["b@example.com", "c@example.com"]);
    let answer = answer_of(&client().send(&asked, LONG).await.expect("an answer"));
    assert_eq!((answer.code, answer.why.as_deref()), (550, Some("5.4.5")));
}

#[tokio::test]
async fn refusals_say_which_command_was_refused() {
    for (command, reply, step, code) in [
        ("MAIL", "553 5.1.8 not yours", Step::Mail, 553),
        ("DATA", "554 5.5.1 no", Step::Data, 554),
        (".", "552 5.3.4 too large", Step::Data, 552),
        ("hello", "554 go away", Step::Greeting, 554),
        ("EHLO", "502 what", Step::Ehlo, 502),
        ("RCPT", "421 4.3.2 leaving", Step::Rcpt, 421),
    ] {
        let server = Server::start(Manner::default().says(command, &[reply])).await;
        let answer = client().send(&clear(&server, &["a@example.com"]), LONG).await;
        let answer = answer_of(&answer.unwrap_or_else(|error| panic!("{command}: {error}")));
        assert_eq!(
            (answer.step, answer.code, answer.got.len()),
            (step, code, 0),
            "{command}"
        );
    }
}

#[tokio::test]
async fn replies_are_read_however_a_server_writes_them() {
    let long = format!("250 2.0.0 {}", "x".repeat(2_000));
    for (command, reply, code) in [
        (".", "250", 250),
        (".", "250-2.0.0 принято\r\n250 очередь", 250),
        (".", &long, 250),
        (".", "571 5.7.1 not allowed", 550),
        ("RCPT", "550 nope\u{7}", 550),
    ] {
        let server = Server::start(Manner::default().says(command, &[reply])).await;
        let answer = client().send(&clear(&server, &["a@example.com"]), LONG).await;
        assert_eq!(
            answer.unwrap_or_else(|error| panic!("{reply}: {error}")).status,
            code,
            "{reply}"
        );
    }
}

#[tokio::test]
async fn a_server_that_talks_without_end_or_not_at_all_ends_the_attempt() {
    let endless = format!("250-{}", "x".repeat(20_000));
    let server = Server::start(Manner::default().says("MAIL", &[&endless])).await;
    let error = client()
        .send(&clear(&server, &["a@example.com"]), LONG)
        .await
        .expect_err("too much");
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
    for command in ["MAIL", "RCPT"] {
        let server = Server::start(Manner::default().says(command, &["354 go on"])).await;
        let error = client()
            .send(&clear(&server, &["a@example.com"]), LONG)
            .await
            .expect_err("no more is to be said");
        assert!(matches!(error, Error::Protocol(_)), "{error:?}");
        assert!(server.mails().is_empty());
    }
    for command in ["hello", "MAIL"] {
        let server = Server::start(Manner::default().says(command, &["SILENCE"])).await;
        let error = client()
            .send(&clear(&server, &["a@example.com"]), SHORT)
            .await
            .expect_err("silence");
        assert!(matches!(error, Error::Connection(http::Error::Timeout(_))), "{error:?}");
        assert_eq!(by_error(&error).kind(), OutcomeKind::Retry);
    }
}

#[tokio::test]
async fn only_allowed_addresses_are_called() {
    let server = Server::start(Manner::default()).await;
    let web = http::Client::new(Egress::default()).expect("a client");
    let closed = client_of(&[], web.tls().clone());
    for secure in [true, false] {
        let asked = request(server.port, secure, None, &["a@example.com"]);
        let error = closed.send(&asked, LONG).await.expect_err("not allowed");
        assert!(matches!(error, Error::Connection(http::Error::Egress(_))), "{error:?}");
        assert_eq!(by_error(&error).kind(), OutcomeKind::Suspend);
    }
    assert_eq!(server.connections(), 0);
    let nobody = request(1, false, None, &["a@example.com"]);
    let error = client().send(&nobody, LONG).await.expect_err("nobody listens");
    assert!(
        matches!(error, Error::Connection(http::Error::ConnectionRefused)),
        "{error:?}"
    );
}
