mod flights;
mod stub;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use signalbox_proto::{Timestamp, outcome::OutcomeKind};
use stub::Stub;

use super::*;
use crate::{
    classify,
    http::{Client, Error, Response},
};

const LONG: Duration = Duration::from_secs(10);

fn credentials(stub: &Stub) -> serde_json::Value {
    json!({ "token_url": stub.url("/token"), "client_id": "signal box", "client_secret": "s3cret-hush+1" })
}

fn read(credentials: serde_json::Value) -> Grant {
    let given: ClientCredentials = serde_json::from_value(credentials).expect("credentials");
    given.read("credentials/oauth2").expect("they are right")
}

fn grant(stub: &Stub) -> Arc<Grant> {
    let grant = read(credentials(stub));
    grant.belongs_to("i-1");
    Arc::new(grant)
}

fn egress() -> crate::Egress {
    serde_json::from_value(json!({ "allow": ["127.0.0.0/8"] })).expect("ranges")
}

fn alone() -> Client {
    Client::new(egress()).expect("a client")
}

async fn send(client: &Client, stub: &Stub, grant: &Arc<Grant>) -> Result<Response, Error> {
    let request = Request {
        method: Method::POST,
        url: stub.url("/hook").parse().expect("a URL"),
        headers: HeaderMap::new(),
        body: bytes::Bytes::from_static(b"{}"),
        auth: Auth::OAuth2(grant.clone()),
        identity: None,
    };
    client.send(request, LONG).await
}

async fn status(client: &Client, stub: &Stub, grant: &Arc<Grant>) -> u16 {
    send(client, stub, grant).await.expect("an answer").status
}

/// A vault in memory, for several clients.
#[derive(Debug, Default)]
struct Memory {
    kept: Mutex<HashMap<String, Secret>>,
    leased: Arc<Mutex<Option<String>>>,
    away: bool,
}

struct Held(Arc<Mutex<Option<String>>>);

impl Drop for Held {
    fn drop(&mut self) {
        *self.0.lock().expect("a lock") = None;
    }
}

impl Memory {
    fn answer<'a, T: Send + 'a>(&self, value: T) -> Pending<'a, T> {
        let away = self.away;
        Box::pin(async move {
            // A vault is elsewhere: others go on meanwhile.
            tokio::task::yield_now().await;
            if away {
                Err(VaultError("away".to_owned()))
            } else {
                Ok(value)
            }
        })
    }
}

impl Vault for Memory {
    fn get<'a>(&'a self, name: &'a str) -> Pending<'a, Option<Secret>> {
        self.answer(self.kept.lock().expect("a lock").get(name).cloned())
    }

    fn put<'a>(&'a self, name: &'a str, value: &'a Secret, _: Duration) -> Pending<'a, ()> {
        let mut kept = self.kept.lock().expect("a lock");
        kept.insert(name.to_owned(), value.clone());
        self.answer(())
    }

    fn lease<'a>(&'a self, name: &'a str, _: Duration) -> Pending<'a, Option<Lease>> {
        let mut leased = self.leased.lock().expect("a lock");
        let free = leased.is_none();
        if free {
            *leased = Some(name.to_owned());
        }
        self.answer(free.then(|| Box::new(Held(self.leased.clone())) as Lease))
    }
}

fn sharing(vault: &Arc<Memory>) -> Client {
    Client::sharing_tokens(egress(), vault.clone()).expect("a client")
}

#[test]
fn a_token_is_asked_for_as_the_specification_says() {
    let with = |method: &str| {
        read(json!({
            "token_url": "https://login.example.com/token?tenant=a", "client_id": "signal box", "client_secret": " s3cret:+ ",
            "scope": "a b", "audience": "https://api.example.com", "auth_method": method,
        }))
        .request()
    };
    let basic = with("basic");
    assert_eq!(basic.url.as_str(), "https://login.example.com/token?tenant=a");
    assert_eq!(basic.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(
        &*basic.body,
        b"grant_type=client_credentials&scope=a+b&audience=https%3A%2F%2Fapi.example.com"
    );
    let expected = STANDARD.encode("signal+box:s3cret%3A%2B");
    assert_eq!(basic.headers["authorization"], format!("Basic {expected}"));
    assert!(basic.headers["authorization"].is_sensitive());
    let post = with("post");
    assert!(!post.headers.contains_key("authorization"));
    assert_eq!(
        &*post.body,
        b"grant_type=client_credentials&scope=a+b&audience=https%3A%2F%2Fapi.example.com&client_id=signal+box\
          &client_secret=s3cret%3A%2B"
    );
    for request in [basic, post] {
        assert!(!format!("{request:?}").contains("s3cret"));
    }
}

#[test]
fn credentials_that_do_not_fit_are_named_and_not_repeated() {
    let given: ClientCredentials = serde_json::from_value(json!({
        "token_url": "https://ada:s3cret@login.example.com/", "client_id": " ", "client_secret": "", "scope": "s3cret\n",
        "audience": "s3\u{7}cret",
    }))
    .expect("credentials");
    let wrong = given.read("credentials/oauth2").expect_err("all of it is wrong");
    let pointers: Vec<&str> = wrong.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        ["token_url", "client_id", "audience", "client_secret"].map(|field| format!("credentials/oauth2/{field}"))
    );
    assert!(!format!("{wrong:?}").contains("s3cret"));
}

#[test]
fn nothing_printed_of_a_grant_is_secret() {
    let grant = read(json!({
        "token_url": "https://login.example.com/s3cret", "client_id": "id", "client_secret": "s3cret",
    }));
    let grant = Arc::new(grant);
    let printed = format!("{grant:?} {:?}", Auth::OAuth2(grant.clone()));
    assert_eq!(printed, "Grant { host: Some(\"login.example.com\"), .. } OAuth2");
}

#[test]
fn another_secret_scope_or_integration_is_another_place() {
    let of = |integration: &str, change: &str, value: &str| {
        let mut credentials =
            json!({ "token_url": "https://login.example.com/", "client_id": "id", "client_secret": "a" });
        credentials[change] = value.into();
        let grant = read(credentials);
        grant.belongs_to(integration);
        grant
    };
    let base = of("i-1", "client_secret", "a");
    assert_eq!(base.place().digest, of("i-1", "client_secret", "a").place().digest);
    for other in [
        of("i-2", "client_secret", "a"),
        of("i-1", "scope", "x"),
        of("i-1", "audience", "x"),
        of("i-1", "auth_method", "post"),
    ] {
        assert_ne!(base.place().name, other.place().name);
        assert_ne!(base.place().digest, other.place().digest);
    }
    let changed = of("i-1", "client_secret", "b");
    // The name in the vault tells nothing of the secret.
    assert_eq!(base.place().name, changed.place().name);
    assert_ne!(base.place().digest, changed.place().digest);
}

#[tokio::test]
async fn requests_at_the_same_time_share_one_token() {
    let stub = Stub::start().await;
    let (client, grant) = (alone(), grant(&stub));
    let all = futures_of(20, async || status(&client, &stub, &grant).await).await;
    assert_eq!(all, [200; 20]);
    assert_eq!(stub.fetched(), 1);
    assert_eq!(stub.carried().len(), 20);
    assert!(stub.carried().iter().all(|value| value == "Bearer token-hush-1"));
}

/// So many at the same time.
async fn futures_of<T>(count: usize, make: impl AsyncFn() -> T) -> Vec<T> {
    let mut all: Vec<_> = (0..count).map(|_| Box::pin(make())).collect();
    let mut done: Vec<Option<T>> = (0..count).map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in all.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn workers_that_share_a_vault_fetch_one_token() {
    let stub = Stub::start().await;
    stub.set(|script| script.takes = Duration::from_millis(300));
    let vault = Arc::new(Memory::default());
    let clients = [sharing(&vault), sharing(&vault), sharing(&vault)];
    let grant = grant(&stub);
    let (a, b, c) = tokio::join!(
        status(&clients[0], &stub, &grant),
        status(&clients[1], &stub, &grant),
        status(&clients[2], &stub, &grant)
    );
    assert_eq!((a, b, c, stub.fetched()), (200, 200, 200, 1));
    // One of them learns that it is refused; another that holds it too finds the new one.
    stub.set(|script| script.revoked = 1);
    for client in &clients {
        assert_eq!(status(client, &stub, &grant).await, 200);
    }
    assert_eq!(stub.fetched(), 2);
    // One that comes later needs none of its own; another integration does.
    assert_eq!(status(&sharing(&vault), &stub, &grant).await, 200);
    assert_eq!(stub.fetched(), 2);
    let another = read(credentials(&stub));
    another.belongs_to("i-2");
    assert_eq!(status(&clients[0], &stub, &Arc::new(another)).await, 200);
    assert_eq!(stub.fetched(), 3);
}

#[tokio::test]
async fn without_its_vault_a_worker_fetches_for_itself() {
    let stub = Stub::start().await;
    let vault = Arc::new(Memory {
        away: true,
        ..Memory::default()
    });
    let (client, grant) = (sharing(&vault), grant(&stub));
    for _ in 0..3 {
        assert_eq!(status(&client, &stub, &grant).await, 200);
    }
    assert_eq!(stub.fetched(), 1);
}

#[tokio::test]
async fn a_refused_token_is_fetched_again_once_and_the_request_repeated_once() {
    let stub = Stub::start().await;
    let (client, grant) = (alone(), grant(&stub));
    assert_eq!(status(&client, &stub, &grant).await, 200);
    stub.set(|script| script.revoked = 1);
    let all = futures_of(10, async || status(&client, &stub, &grant).await).await;
    assert_eq!(all, [200; 10]);
    assert_eq!(
        stub.fetched(),
        2,
        "ten requests were refused, and one token was fetched"
    );
    // A target that takes no token at all costs no token each time.
    stub.set(|script| script.revoked = u64::MAX);
    let before = stub.carried().len();
    for _ in 0..5 {
        assert_eq!(status(&client, &stub, &grant).await, 401);
    }
    assert_eq!((stub.fetched(), stub.carried().len()), (2, before + 5));
}

#[tokio::test]
async fn a_target_that_takes_no_token_gets_the_request_twice_and_no_more() {
    let stub = Stub::start().await;
    let (client, grant) = (alone(), grant(&stub));
    stub.set(|script| script.revoked = u64::MAX);
    assert_eq!(status(&client, &stub, &grant).await, 401);
    assert_eq!(stub.carried(), ["Bearer token-hush-1", "Bearer token-hush-2"]);
    assert_eq!(stub.fetched(), 2);
}

#[tokio::test]
async fn wrong_credentials_suspend_and_leak_nothing() {
    let stub = Stub::start().await;
    let hush = r#"{"error":"invalid_client","error_description":"s3cret-hush+1 is not the secret of signal box"}"#;
    stub.set(|script| script.fails = Some((401, String::new(), hush)));
    let (client, grant) = (alone(), grant(&stub));
    for _ in 0..3 {
        let error = send(&client, &stub, &grant).await.expect_err("no token");
        let outcome = classify::by_error(&error);
        assert_eq!(outcome.kind(), OutcomeKind::Suspend);
        assert_eq!(
            outcome.reason(),
            Some("no token: the token endpoint answered 401 (invalid_client)")
        );
        assert!(!format!("{error:?} {outcome:?}").contains("s3cret"));
    }
    assert_eq!(
        (stub.fetched(), stub.carried().len()),
        (1, 0),
        "the endpoint is left alone"
    );
    // Other credentials are tried at once.
    stub.set(|script| script.fails = None);
    let mut changed = credentials(&stub);
    changed["client_secret"] = "another".into();
    assert_eq!(status(&client, &stub, &Arc::new(read(changed))).await, 200);
}

#[tokio::test]
async fn an_endpoint_that_is_unwell_or_asks_for_time_is_waited_for() {
    let stub = Stub::start().await;
    let grant = grant(&stub);
    for (fails, after) in [
        ((503, String::new(), ""), None),
        ((429, "retry-after: 37\r\n".to_owned(), ""), Some(37)),
    ] {
        stub.set(|script| script.fails = Some(fails));
        let client = alone();
        let before = stub.fetched();
        for _ in 0..2 {
            let error = send(&client, &stub, &grant).await.expect_err("no token");
            let outcome = classify::by_error(&error);
            assert_eq!(outcome.kind(), OutcomeKind::Retry);
            let signalbox_proto::Outcome::Retry { after: said, .. } = outcome else {
                panic!("{outcome:?}")
            };
            // The second is told of what is left of the time.
            let secs = said.map(|said| said.as_secs_f64().ceil() as u64);
            assert_eq!(secs, after);
        }
        assert_eq!(stub.fetched(), before + 1);
    }
}

#[tokio::test]
async fn an_endpoint_where_nobody_may_be_called_is_never_called() {
    let stub = Stub::start().await;
    let grant = Arc::new(read(json!({
        "token_url": "http://169.254.169.254/token", "client_id": "id", "client_secret": "s3cret",
    })));
    let error = send(&alone(), &stub, &grant).await.expect_err("refused");
    let outcome = classify::by_error(&error);
    assert_eq!(outcome.kind(), OutcomeKind::Suspend, "{outcome:?}");
    assert!(
        outcome.reason().is_some_and(|reason| reason.contains("egress.allow")),
        "{outcome:?}"
    );
    assert_eq!(stub.carried().len(), 0);
}

#[tokio::test]
async fn an_endpoint_that_never_answers_takes_no_longer_than_the_request_may() {
    let stub = Stub::start().await;
    stub.set(|script| script.takes = Duration::from_secs(600));
    let (client, grant) = (alone(), grant(&stub));
    let request = Request {
        auth: Auth::OAuth2(grant),
        url: stub.url("/hook").parse().expect("a URL"),
        ..read(credentials(&stub)).request()
    };
    let begun = std::time::Instant::now();
    let error = client
        .send(request, Duration::from_millis(300))
        .await
        .expect_err("no answer");
    assert!(matches!(error, Error::Timeout(_)), "{error:?}");
    assert!(begun.elapsed() < LONG);
}

#[tokio::test]
async fn what_the_target_repeats_of_a_token_is_taken_out() {
    let stub = Stub::start().await;
    let response = send(&alone(), &stub, &grant(&stub)).await.expect("an answer");
    assert_eq!(&*response.body, b"you sent Bearer ***");
    assert_eq!(response.headers["x-you-sent"], "Bearer ***");
}

#[test]
fn what_a_vault_holds_says_when_it_ends() {
    let granted = answer::Granted {
        secret: "t".into(),
        life: Duration::from_secs(60),
    };
    let now = Timestamp::from_secs(1_767_225_600);
    let token = token::Token::of(&granted, now, 0.5).expect("a token");
    assert_eq!(token.left(now + Duration::from_secs(20)), Duration::from_secs(40));
}
