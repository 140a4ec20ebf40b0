//! Connections that are used again, and what is lost on the way.

use super::*;

#[tokio::test]
async fn a_connection_is_kept_for_the_next_message_and_asked_before() {
    let server = Server::start(Manner::default()).await;
    let client = client();
    for _ in 0..3 {
        let response = client.send(&clear(&server, &["a@example.com"]), LONG).await;
        assert_eq!(response.expect("an answer").status, 250);
    }
    assert_eq!(
        (server.connections(), server.mails().len(), client.pool.idle()),
        (1, 3, 1)
    );
    let noops = server.seen().iter().filter(|line| *line == "NOOP").count();
    assert_eq!(noops, 2);
    // Another integration has its own, and so has another account.
    let mut other = clear(&server, &["a@example.com"]);
    other.integration = "i-2".to_owned();
    client.send(&other, LONG).await.expect("an answer");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_connection_that_ended_meanwhile_costs_nothing() {
    for (command, replies) in [
        ("NOOP", ["HANGUP"]),
        ("NOOP", ["421 too long idle"]),
        ("NOOP", ["SILENCE"]),
    ] {
        let server = Server::start(Manner::default().says(command, &replies)).await;
        let client = client().connecting_within(Duration::from_secs(1));
        for _ in 0..2 {
            let response = client.send(&clear(&server, &["a@example.com"]), LONG).await;
            assert_eq!(response.expect("an answer").status, 250, "{replies:?}");
        }
        assert_eq!((server.connections(), server.mails().len()), (2, 2), "{replies:?}");
    }
    // It may end between the question and the message, too: nobody has that yet.
    for reply in [
        "HANGUP",
        "421 leaving",
        "452 4.5.3 too many messages by this connection",
        "550 5.7.0 too many messages by this connection",
    ] {
        let server = Server::start(Manner::default().says("MAIL", &["250 ok", reply])).await;
        let client = client();
        for _ in 0..2 {
            let response = client.send(&clear(&server, &["a@example.com"]), LONG).await;
            assert_eq!(response.expect("an answer").status, 250, "{reply}");
        }
        assert_eq!((server.connections(), server.mails().len()), (2, 2), "{reply}");
    }
}

#[tokio::test]
async fn a_message_without_an_answer_is_never_sent_again_here() {
    for (reply, within) in [
        ("HANGUP", LONG),
        ("SILENCE", SHORT),
        ("354 go on", LONG),
        ("what", LONG),
    ] {
        for before in [0, 1] {
            let replies = if before == 0 {
                vec![reply]
            } else {
                vec!["250 ok", reply]
            };
            let server = Server::start(Manner::default().says(".", &replies)).await;
            let client = client();
            for _ in 0..before {
                let response = client.send(&clear(&server, &["a@example.com"]), LONG).await;
                assert_eq!(response.expect("an answer").status, 250);
            }
            let error = client.send(&clear(&server, &["a@example.com"]), within).await;
            let error = error.expect_err("no answer");
            assert!(matches!(error, Error::Unanswered), "{reply}: {error:?}");
            assert_eq!(by_error(&error).kind(), OutcomeKind::Retry);
            assert_eq!((server.mails().len(), client.pool.idle()), (before + 1, 0), "{reply}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_message_is_told_as_such() {
    for command in ["hello", "EHLO", "MAIL", "RCPT", "DATA"] {
        let server = Server::start(Manner::default().says(command, &["HANGUP"])).await;
        let error = client()
            .send(&clear(&server, &["a@example.com"]), LONG)
            .await
            .expect_err(command);
        assert!(error.is_loss(), "{command}: {error:?}");
        assert_eq!(by_error(&error).kind(), OutcomeKind::Retry);
        assert!(server.mails().is_empty());
    }
}

#[tokio::test]
async fn a_connection_ends_after_a_hundred_messages() {
    let server = Server::start(Manner::default()).await;
    let client = client();
    for _ in 0..101 {
        client
            .send(&clear(&server, &["a@example.com"]), LONG)
            .await
            .expect("an answer");
    }
    assert_eq!((server.connections(), server.mails().len()), (2, 101));
}
