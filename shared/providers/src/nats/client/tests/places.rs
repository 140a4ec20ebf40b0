//! Which server is tried for how long, and what happens where no connection is free.

use super::{strangers::Fake, *};

/// A server that takes connections and says nothing: as bad as one that is away for a client, and worse than one that refuses.
async fn silent() -> Fake {
    Fake::start(&["", "never"]).await
}

#[test]
fn the_time_to_a_connection_is_parted_among_the_servers_that_are_left() {
    let share = |connect: u64, left: u64, servers: u32| {
        share(Duration::from_millis(connect), Duration::from_millis(left), servers).as_millis()
    };
    // One alone gets all that its owner grants, as the time in all ends it anyway.
    assert_eq!(share(5_000, 10_000, 1), 5_000);
    assert_eq!(share(5_000, 500, 1), 5_000);
    // Three dead ones of four leave a part for the fourth, and one for the message.
    assert_eq!(share(5_000, 10_000, 4), 2_000);
    assert_eq!(share(5_000, 8_000, 3), 2_000);
    assert_eq!(share(5_000, 6_000, 2), 2_000);
    // No more than the owner grants, and what one left over is the others'.
    assert_eq!(share(1_000, 10_000, 4), 1_000);
    assert_eq!(share(5_000, 9_990, 3), 2_490);
    // Never so little that nobody could be reached.
    assert_eq!(share(5_000, 1_000, 8), 1_000);
}

#[tokio::test]
async fn three_dead_servers_do_not_use_up_the_time_and_the_living_one_is_tried_first_from_then_on() {
    let dead = [silent().await, silent().await, silent().await];
    let server = Server::start("").await;
    let mut other = Other::connect(&server, "{}").await;
    other.make_stream(&["events.>"], &json!({})).await;
    let urls: Vec<String> = dead.iter().map(Fake::url).chain([server.url()]).collect();
    let client = client();
    // With five seconds for each the time would be over at the second.
    let within = Duration::from_secs(8);
    let send = async |id: &str| {
        let request = request(&urls.join(","), Login::Anonymous, Some(message(id, "{}")));
        client.send(&request, within).await.expect("the fourth")
    };
    send("d-1").await;
    let asked = || dead.each_ref().map(Fake::connections);
    assert_eq!(asked(), [1, 1, 1]);
    // Two at once: one of them needs a connection of its own.
    tokio::join!(send("d-2"), send("d-3"));
    assert_eq!((idle(&client), asked()), (2, [1, 1, 1]));
    assert_eq!(other.stored().await, 3);
}

#[tokio::test]
async fn an_attempt_whose_time_ends_early_goes_on_the_next_time_where_it_stopped() {
    let dead = silent().await;
    let server = Server::start("").await;
    let urls = format!("{},{}", dead.url(), server.url());
    let client = client();
    let asked = request(&urls, Login::Anonymous, None);
    // Less than the first may take: it would be tried for ever.
    let short = Duration::from_millis(1_000);
    let mut errors = 0;
    while client.send(&asked, short).await.is_err() {
        errors += 1;
        assert!(errors < 10, "the second is never reached");
    }
    client.send(&asked, LONG).await.expect("the second");
}

#[tokio::test]
async fn a_server_that_refuses_the_login_is_not_asked_first_for_ever() {
    let refusing = Server::start(r#"authorization { user: a, password: "hush-other" }"#).await;
    let server = Server::start(r#"authorization { user: a, password: "hush" }"#).await;
    let client = client();
    let asked = request(&format!("{},{}", refusing.url(), server.url()), user("a", "hush"), None);
    let error = client.send(&asked, LONG).await.expect_err("the first");
    assert!(matches!(error, Error::Login), "{error:?}");
    client.send(&asked, LONG).await.expect("the second");
}

#[tokio::test]
async fn what_may_pass_at_one_server_is_tried_again_whatever_the_others_say() {
    let refusing = Fake::start(&["INFO {\"max_payload\":1048576}\r\n"]).await;
    let leaving = Fake::start(&["-ERR 'Server Shutdown'\r\n"]).await;
    for urls in [[&refusing, &leaving], [&leaving, &refusing]] {
        let urls = urls.map(Fake::url).join(",");
        let error = client().send(&request(&urls, Login::Anonymous, None), LONG).await;
        let outcome = by_error(&error.expect_err("neither"));
        assert_eq!(outcome.kind(), OutcomeKind::Retry, "{outcome:?}");
    }
}

#[tokio::test]
async fn integrations_with_the_same_login_share_no_connection() {
    let server = Server::start("").await;
    let client = client();
    for (integration, expected) in [("i-1", 1), ("i-2", 2), ("i-1", 2)] {
        let asked = Request {
            integration: integration.to_owned(),
            ..request(&server.url(), user("a", "p"), None)
        };
        client.send(&asked, LONG).await.expect("a server");
        assert_eq!(idle(&client), expected);
    }
}

/// As many requests as one integration may send at once, all of which wait for a server that says nothing.
fn stuck(client: &Client, server: &Fake) -> Vec<tokio::task::JoinHandle<Result<Response, Error>>> {
    let send = |_| {
        let (client, asked) = (client.clone(), request(&server.url(), Login::Anonymous, None));
        tokio::spawn(async move { client.send(&asked, LONG).await })
    };
    (0..pool::INTEGRATION_MAX).map(send).collect()
}

#[tokio::test]
async fn the_time_that_a_request_waits_for_a_connection_is_none_of_its_own() {
    let server = silent().await;
    let client = client();
    let stuck = stuck(&client, &server);
    tokio::task::yield_now().await;
    assert_eq!(client.pool.used(), pool::INTEGRATION_MAX);
    // Its whole time is shorter than it waits, and it is sent all the same.
    let short = Duration::from_millis(100);
    let asked = request(&server.url(), Login::Anonymous, None);
    let waiting = client.send(&asked, short);
    tokio::pin!(waiting);
    let early = timeout(short * 3, &mut waiting).await;
    assert!(early.is_err(), "{early:?}");
    stuck[0].abort();
    let error = waiting.await.expect_err("the server says nothing");
    assert!(
        matches!(error, Error::Connection(http::Error::Timeout(within)) if within == short),
        "{error:?}"
    );
    stuck.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn who_finds_no_place_is_told_that_nothing_was_sent_and_tries_again() {
    let client = Client {
        place_timeout: Duration::from_millis(50),
        ..client()
    };
    let asked = request("nats://127.0.0.1:9", Login::Anonymous, None);
    let key = Key {
        integration: asked.integration.clone(),
        settings: *asked.identity.key(),
    };
    let mut held = Vec::new();
    for _ in 0..pool::INTEGRATION_MAX {
        held.push(client.pool.place(&key).await);
    }
    let error = client.send(&asked, LONG).await.expect_err("no place");
    assert!(matches!(error, Error::NoPlace(_)), "{error:?}");
    let outcome = by_error(&error);
    assert_eq!(outcome.kind(), OutcomeKind::Retry);
    assert!(
        outcome
            .reason()
            .is_some_and(|reason| reason.ends_with("nothing was sent"))
    );
    drop(held);
    assert_eq!(client.pool.used(), 0);
}
