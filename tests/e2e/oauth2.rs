//! Tokens of OAuth 2.0: one for all workers, renewed, fetched again where the target refuses it, and seen by nobody.

// The same token endpoint as that of the tests of the client.
#[path = "../../shared/providers/src/http/oauth2/tests/stub.rs"]
mod stub;

use std::time::Duration;

use serde_json::{Value, json};
use stub::Stub;

use crate::harness::{Cluster, Publish, Up, eventually, messages::everything, role::Role};

const SOON: Duration = Duration::from_secs(30);
const SECRET: &str = "s3cret-of-the-client";
const REFUSED: &str = "no token: the token endpoint answered 401 (invalid_client)";

fn integration(stub: &Stub, name: &str) -> Value {
    json!({
        "name": name, "provider": "webhook", "events": [format!("call.{name}")],
        "config": { "url": stub.url(&format!("/{name}")) },
        "credentials": { "oauth2": {
            "token_url": stub.url("/token"), "client_id": "signalbox", "client_secret": SECRET, "scope": "events:write",
        } },
        "retry": { "schedule": ["1s", "1s", "1s"] },
    })
}

/// How many requests of a worker the target took.
async fn sent(worker: &Role) -> u64 {
    let metrics = worker.ask("/metrics").await.expect("the admin port answers").text();
    let mut lines = metrics.lines();
    let line = lines.find(|line| line.contains("delivery_attempts") && line.contains("outcome=\"delivered\""));
    let value = line
        .and_then(|line| line.rsplit(' ').next())
        .and_then(|value| value.parse().ok());
    value.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_share_a_token_and_fetch_another_once_it_is_refused() {
    const EVENTS: usize = 60;
    let stub = Stub::start().await;
    // So long that both workers need it before it is there.
    stub.set(|script| script.takes = Duration::from_millis(700));
    let mut cluster = Cluster::start().await;
    let mut workers = cluster.more_workers(1).await;
    let client = cluster.client().clone();
    client.apply(json!([integration(&stub, "shared")])).await;
    let publish = async |round: usize| {
        for number in 0..EVENTS {
            let id = format!("event-{round}-{number}");
            client
                .publish(Publish::of("call.shared", &json!({ "n": number })).id(&id))
                .await;
        }
        eventually(SOON, "the target has been asked", async || match stub.carried().len() {
            enough if enough >= (round + 1) * EVENTS => Ok(()),
            fewer => Err(format!("{fewer} requests")),
        })
        .await;
        client.settled(SOON).await;
    };
    publish(0).await;
    assert_eq!(stub.fetched(), 1);
    assert!(stub.carried().iter().all(|value| value == "Bearer token-hush-1"));
    for worker in [&workers[0], cluster.role("delivery")] {
        assert!(sent(worker).await > 0, "each of the workers has sent some");
    }

    // The server takes its token back: each delivery arrives all the same, at its first attempt.
    stub.set(|script| script.revoked = 1);
    publish(1).await;
    assert_eq!(stub.fetched(), 2, "whichever worker fetched, the other found the token");
    for number in 0..EVENTS {
        let delivery = client.delivery(&format!("event-1-{number}"), "delivered", SOON).await;
        assert_eq!(delivery["history"].as_array().map(Vec::len), Some(1), "{delivery}");
    }
    let story = client.trace("event-1-0").await.expect("it is there");
    assert!(story.to_string().contains("you sent Bearer ***"), "{story}");

    // What lies in KV and streams, what is logged and told: nowhere is a token or the secret.
    let lease = "SIGNALBOX_LEASE";
    let messages = everything(client.nats_url()).await;
    let kept = messages
        .iter()
        .any(|(place, _)| place.contains(lease) && place.contains(".token."));
    assert!(kept, "the token is shared in KV");
    let mut told: Vec<(String, String)> = messages
        .into_iter()
        .map(|(place, bytes)| (place, String::from_utf8_lossy(&bytes).into_owned()))
        .collect();
    told.push(("a log".to_owned(), cluster.role("delivery").log() + &workers[0].log()));
    told.push(("the story".to_owned(), story.to_string()));
    for path in ["/v1/deliveries?limit=200", "/v1/export", "/v1/integrations/shared"] {
        told.push((path.to_owned(), client.get(path).await.to_string()));
    }
    for (place, text) in told {
        assert!(
            !text.contains("token-hush") && !text.contains(SECRET),
            "{place}: {text}"
        );
    }
    workers.iter_mut().for_each(Role::assert_alive);
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_expires_is_replaced_before_anybody_notices() {
    let stub = Stub::start().await;
    stub.set(|script| script.life_secs = 2);
    let up = Up::start().await;
    let client = up.client();
    client.apply(json!([integration(&stub, "short")])).await;
    let mut number = 0;
    eventually(SOON, "three tokens were needed", async || {
        number += 1;
        let id = format!("event-{number}");
        client.publish(Publish::of("call.short", &json!({})).id(&id)).await;
        let delivery = client.delivery(&id, "delivered", SOON).await;
        assert_eq!(delivery["history"].as_array().map(Vec::len), Some(1), "{delivery}");
        match stub.fetched() {
            3.. => Ok(()),
            fewer => Err(format!("{fewer} tokens")),
        }
    })
    .await;
    // One for each second of two: none was fetched for a single request.
    assert!(number > 6, "{number} deliveries");
    assert_eq!(stub.carried().len(), number);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_stops_the_integration_leaks_nothing_and_loses_nothing() {
    let stub = Stub::start().await;
    let repeats = r#"{"error":"invalid_client","error_description":"s3cret-of-the-client is not the secret"}"#;
    stub.set(|script| script.fails = Some((401, String::new(), repeats)));
    let up = Up::start().await;
    let client = up.client();
    let mut wrong = integration(&stub, "wrong");
    wrong["retry"] = json!({ "schedule": ["2s", "5s", "5s", "5s", "5s", "5s"] });
    client.apply(json!([wrong])).await;
    client.publish(Publish::of("call.wrong", &json!({})).id("held")).await;
    let story = eventually(SOON, "the refusal is on record", async || {
        let story = client.trace("held").await?.to_string();
        if story.contains(REFUSED) { Ok(story) } else { Err(story) }
    })
    .await;
    assert!(story.contains("\"suspend\""), "{story}");
    let tested = client.post("/v1/integrations/wrong/test", json!({})).await;
    assert_eq!(
        (&tested["status"], &tested["message"]),
        (&json!("failed"), &json!(REFUSED)),
        "{tested}"
    );
    let integration = client.integration("wrong").await;
    assert_eq!(integration["status"], "error", "{integration}");
    let previewed = client
        .post("/v1/integrations/wrong/preview", json!({ "event_id": "held" }))
        .await;
    assert!(previewed.to_string().contains("Bearer ***"), "{previewed}");
    for text in [
        &story,
        &tested.to_string(),
        &integration.to_string(),
        &previewed.to_string(),
        &up.log(),
    ] {
        assert!(!text.contains(SECRET), "{text}");
    }
    assert_eq!(stub.carried().len(), 0, "the target was never asked");

    // Once the secret is right at the server, a test says so, and what waited arrives.
    stub.set(|script| script.fails = None);
    eventually(SOON, "the test succeeds", async || {
        let tested = client.post("/v1/integrations/wrong/test", json!({})).await;
        match tested["status"] == "success" {
            true => Ok(()),
            false => Err(tested.to_string()),
        }
    })
    .await;
    client.delivery("held", "delivered", SOON).await;
    up.stop().await;
}
