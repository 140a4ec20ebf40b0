//! What goes in the order of a key and is given up.

use serde_json::{Value, json};

use super::SOON;
use crate::harness::{Answer, Client, Cluster, Target, Up, eventually};

const PATH: &str = "/inorder";

fn integration(target: &Target) -> Value {
    json!({
        "name": "inorder", "provider": "webhook", "events": ["tick"], "config": { "url": target.url(PATH) },
        "order_by": "event.data.key", "retry": { "schedule": ["1h"] },
    })
}

/// Publishes three events of each key.
async fn publish(client: &Client, keys: usize) {
    for n in 0..3 {
        let round: Vec<Value> = (0..keys)
            .map(|key| json!({ "type": "tick", "id": format!("k{key}-{n}"), "data": { "key": key } }))
            .collect();
        let body = Value::from(round).to_string().into_bytes();
        let answer = client
            .post_event("", &[("content-type", "application/json")], body)
            .await;
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
}

async fn holds(client: &Client, messages: usize) {
    eventually(SOON, &format!("ORDERED holds {messages}"), async || {
        match client.messages("ORDERED").await? {
            there if there == messages as u64 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_tried_in_order_is_given_up_with_its_attempts_and_never_sent_again() {
    const KEYS: usize = 3;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let mut answers = vec![Answer::status(500); KEYS];
    answers.push(Answer::status(200));
    target.script(PATH, answers);
    client.apply(json!([integration(&target)])).await;
    publish(client, KEYS).await;
    // All of them, and the state of each key's first.
    holds(client, 3 * KEYS + KEYS).await;
    assert_eq!(target.count(PATH), KEYS);

    let path = "/v1/deliveries/discard";
    let filter = |status: &str| json!({ "integration": "inorder", "status": status });
    for (status, count) in [("retrying", KEYS), ("parked", 2 * KEYS), ("pending", 0)] {
        let counted = client
            .post(path, json!({ "filter": filter(status), "dry_run": true }))
            .await;
        assert_eq!(counted["matched"], count, "{status}: {counted}");
    }
    let act = client.act(path, json!({ "filter": filter("retrying") })).await;
    assert_eq!((&act["done"], &act["failed"]), (&json!(KEYS), &json!(0)), "{act}");
    holds(client, 0).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["discarded"], &ledger["delivered"]),
        (&json!(KEYS), &json!(2 * KEYS)),
        "{ledger}"
    );
    let seen = target.by_event(PATH);
    for key in 0..KEYS {
        assert_eq!(seen[&format!("k{key}-0")], 1, "it is not sent again: {seen:?}");
    }
    let letters = client.dead_letters("?integration=inorder").await;
    assert_eq!(letters.len(), KEYS);
    for letter in letters {
        let id = letter["id"].as_str().unwrap_or_default();
        let letter = client.get(&format!("/v1/dead-letters/{id}")).await;
        assert_eq!(letter["reason"], "discarded", "{letter}");
        let attempts = letter["attempts"].as_array().map(Vec::len);
        assert_eq!(attempts, Some(1), "{letter}");
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_tried_in_order_is_given_up_while_no_worker_is_there_and_the_next_goes_on_behind_it() {
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    target.script(PATH, [Answer::status(500), Answer::status(200)]);
    client.apply(json!([integration(&target)])).await;
    publish(&client, 1).await;
    holds(&client, 4).await;
    let first = client.delivery("k0-0", "retrying", SOON).await;
    cluster.role("delivery").stop().await;
    let act = client
        .act("/v1/deliveries/discard", json!({ "ids": [first["id"]] }))
        .await;
    assert_eq!(act["done"], 1, "{act}");
    cluster.role("delivery").restart().await;
    holds(&client, 0).await;
    let sent: Vec<String> = target.received(PATH).into_iter().map(|request| request.event).collect();
    assert_eq!(sent, ["k0-0", "k0-1", "k0-2"]);
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["discarded"], &ledger["delivered"]),
        (&json!(1), &json!(2)),
        "{ledger}"
    );
    cluster.assert_alive();
}
