//! Who we are, and what is told to whom.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{tls::Authority, *};

#[tokio::test]
async fn a_password_is_sent_over_tls_alone() {
    // In clear the server may ask for it as it likes.
    let server = Server::start(Manner {
        offers: &["AUTH PLAIN LOGIN"],
        ..Manner::default()
    })
    .await;
    for (secure, to) in [
        (true, &["a@example.com"][..]),
        (false, &["a@example.com"]),
        (false, &[]),
    ] {
        let asked = request(server.port, secure, login(), to);
        let error = client().send(&asked, LONG).await.expect_err("no TLS");
        let expected = if secure { "NoStartTls" } else { "PasswordInClear" };
        assert_eq!(format!("{error:?}"), expected);
        assert_eq!(by_error(&error).kind(), OutcomeKind::Suspend);
        assert!(!error.to_string().contains(PASSWORD));
    }
    let seen = server.seen();
    assert!(seen.iter().all(|line| line.starts_with("EHLO")), "{seen:?}");
    assert!(server.mails().is_empty());
}

#[tokio::test]
async fn a_login_is_proved_in_either_way() {
    let authority = Authority::new();
    let plain = STANDARD.encode(format!("\0signalbox\0{PASSWORD}"));
    for (offers, expected) in [
        (&["AUTH LOGIN PLAIN"][..], vec![format!("tls AUTH PLAIN {plain}")]),
        (
            &["AUTH LOGIN XOAUTH2"],
            vec![
                "tls AUTH LOGIN".to_owned(),
                format!("tls {}", STANDARD.encode("signalbox")),
                format!("tls {}", STANDARD.encode(PASSWORD)),
            ],
        ),
    ] {
        let server = Server::start(authority.manner(&["127.0.0.1"], offers)).await;
        let asked = request(server.port, true, login(), &["a@example.com"]);
        let response = authority.client().send(&asked, LONG).await.expect("an answer");
        assert_eq!(response.status, 250);
        let seen = server.seen();
        assert_eq!(&seen[..2], ["EHLO [127.0.0.1]", "STARTTLS"]);
        assert_eq!(seen[2], "tls EHLO [127.0.0.1]");
        assert_eq!(&seen[3..3 + expected.len()], expected);
    }
}

#[tokio::test]
async fn a_login_that_is_refused_or_not_asked_for_is_told() {
    let authority = Authority::new();
    for (reply, code) in [
        ("535 5.7.8 wrong", 535),
        ("454 4.7.0 later", 454),
        ("534 5.7.9 no", 534),
    ] {
        let manner = authority.manner(&["127.0.0.1"], &["AUTH PLAIN"]).says("AUTH", &[reply]);
        let server = Server::start(manner).await;
        let asked = request(server.port, true, login(), &["a@example.com"]);
        let answer = answer_of(&authority.client().send(&asked, LONG).await.expect("an answer"));
        assert_eq!((answer.step, answer.code), (Step::Auth, code));
        assert!(server.mails().is_empty());
    }
    let server = Server::start(authority.manner(&["127.0.0.1"], &["AUTH CRAM-MD5"])).await;
    let asked = request(server.port, true, login(), &["a@example.com"]);
    let error = authority.client().send(&asked, LONG).await.expect_err("no way");
    assert!(matches!(error, Error::NoAuth), "{error:?}");
    assert_eq!(by_error(&error).kind(), OutcomeKind::Suspend);
}

#[tokio::test]
async fn a_test_proves_the_login_anew_and_leaves_nothing_behind() {
    let authority = Authority::new();
    let manner = authority
        .manner(&["127.0.0.1"], &["AUTH PLAIN"])
        .says("AUTH", &["235 ok", "235 ok", "535 5.7.8 wrong"]);
    let server = Server::start(manner).await;
    let client = authority.client();
    let probe = request(server.port, true, login(), &[]);
    let answer = answer_of(&client.send(&probe, LONG).await.expect("an answer"));
    assert_eq!((answer.step, answer.code), (Step::Noop, 250));
    let seen = server.seen();
    assert_eq!(&seen[seen.len() - 2..], ["tls NOOP", "tls QUIT"]);
    // A connection that is kept is no proof of what holds today.
    let asked = request(server.port, true, login(), &["a@example.com"]);
    assert_eq!(client.send(&asked, LONG).await.expect("an answer").status, 250);
    let answer = answer_of(&client.send(&probe, LONG).await.expect("an answer"));
    assert_eq!((answer.step, answer.code), (Step::Auth, 535));
    assert_eq!(server.mails().len(), 1);
}
