//! Fetches: whose they are, who waits for them, and what becomes of them where nobody does.

use super::*;

/// Waits until the token endpoint was asked so often.
async fn fetched(stub: &Stub, count: u64) {
    eventually(|| stub.fetched() >= count).await;
    assert_eq!(stub.fetched(), count);
}

async fn eventually(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.expect("it is so soon");
}

/// Sends a request that takes no longer than this.
async fn send_within(client: &Client, stub: &Stub, grant: &Arc<Grant>, within: Duration) -> Result<u16, Error> {
    let request = Request {
        auth: Auth::OAuth2(grant.clone()),
        url: stub.url("/hook").parse().expect("a URL"),
        ..read(credentials(stub)).request()
    };
    client.send(request, within).await.map(|response| response.status)
}

#[tokio::test]
async fn an_endpoint_that_is_slower_than_a_request_is_asked_once_and_its_token_serves_the_next() {
    let stub = Stub::start().await;
    stub.set(|script| script.takes = Duration::from_millis(600));
    let vault = Arc::new(Memory::default());
    let (client, grant) = (sharing(&vault), grant(&stub));
    let short = Duration::from_millis(200);
    let mut given_up = 0;
    while let Err(error) = send_within(&client, &stub, &grant, short).await {
        assert!(matches!(error, Error::Timeout(_)), "{error:?}");
        given_up += 1;
        assert!(given_up < 20, "no request ever gets its token");
    }
    assert!(given_up > 0);
    fetched(&stub, 1).await;
    // What nobody waited for is shared, and the right to fetch given back.
    eventually(|| vault.leased.lock().expect("a lock").is_none()).await;
    assert_eq!(status(&sharing(&vault), &stub, &grant).await, 200);
    fetched(&stub, 1).await;
}

#[tokio::test]
async fn whoever_waits_with_one_that_gives_up_gets_the_token_all_the_same() {
    let stub = Stub::start().await;
    stub.set(|script| script.takes = Duration::from_millis(500));
    let (client, grant) = (alone(), grant(&stub));
    let (first, second) = tokio::join!(
        send_within(&client, &stub, &grant, Duration::from_millis(100)),
        send_within(&client, &stub, &grant, LONG)
    );
    assert!(matches!(first, Err(Error::Timeout(_))), "{first:?}");
    assert_eq!(second.expect("an answer"), 200);
    fetched(&stub, 1).await;
}

#[tokio::test]
async fn all_that_wait_hear_of_a_failure_and_the_endpoint_is_asked_once() {
    let stub = Stub::start().await;
    stub.set(|script| script.fails = Some((503, String::new(), "")));
    let (client, grant) = (alone(), grant(&stub));
    let all = futures_of(10, async || send_within(&client, &stub, &grant, LONG).await).await;
    for sent in all {
        assert!(matches!(sent, Err(Error::Token(_))), "{sent:?}");
    }
    fetched(&stub, 1).await;
}

#[tokio::test]
async fn nobody_who_has_a_token_waits_for_its_renewal() {
    let stub = Stub::start().await;
    stub.set(|script| script.life_secs = 12);
    let (client, grant) = (alone(), grant(&stub));
    assert_eq!(status(&client, &stub, &grant).await, 200);
    // Past half of its life, and the endpoint takes longer than any request may.
    tokio::time::sleep(Duration::from_millis(6_200)).await;
    stub.set(|script| script.takes = Duration::from_secs(600));
    for _ in 0..3 {
        let sent = send_within(&client, &stub, &grant, Duration::from_millis(1_000)).await;
        assert_eq!(sent.expect("an answer"), 200);
    }
    fetched(&stub, 2).await;
    assert!(stub.carried().iter().all(|value| value == "Bearer token-hush-1"));
}

#[tokio::test]
async fn a_token_is_renewed_early_and_the_old_one_serves_while_that_fails() {
    let stub = Stub::start().await;
    stub.set(|script| script.life_secs = 12);
    let (client, grant) = (alone(), grant(&stub));
    assert_eq!(status(&client, &stub, &grant).await, 200);
    tokio::time::sleep(Duration::from_millis(6_200)).await;
    stub.set(|script| script.fails = Some((503, String::new(), "{}")));
    assert_eq!(status(&client, &stub, &grant).await, 200);
    fetched(&stub, 2).await;
    assert_eq!(status(&client, &stub, &grant).await, 200);
    assert!(stub.carried().iter().all(|value| value == "Bearer token-hush-1"));
    // It is asked again after a moment, and what it then gives is used from then on.
    stub.set(|script| script.fails = None);
    let renewed = async {
        while stub.carried().last().is_none_or(|value| value == "Bearer token-hush-1") {
            assert_eq!(status(&client, &stub, &grant).await, 200);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LONG, renewed).await.expect("it is renewed");
    assert_eq!(stub.carried().last().map(String::as_str), Some("Bearer token-hush-3"));
}

#[tokio::test]
async fn a_page_instead_of_a_token_is_waited_out() {
    let stub = Stub::start().await;
    let page = "<html><title>Back soon</title></html>";
    stub.set(|script| script.fails = Some((200, "content-type: text/html\r\n".to_owned(), page)));
    let (client, grant) = (alone(), grant(&stub));
    let error = send(&client, &stub, &grant).await.expect_err("no token");
    assert_eq!(classify::by_error(&error).kind(), OutcomeKind::Retry, "{error:?}");
    stub.set(|script| script.fails = None);
    let passed = async {
        while send(&client, &stub, &grant).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LONG, passed).await.expect("a token");
    fetched(&stub, 2).await;
}
