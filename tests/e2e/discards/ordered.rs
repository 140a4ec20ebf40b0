//! What goes in the order of a key and is given up.

use std::time::Duration;

use async_nats::jetstream;
use serde_json::{Value, json};
use signalbox_proto::{
    Timestamp,
    act::{Did, Mark},
    subjects, wire,
};

use super::SOON;
use crate::harness::{Answer, Client, Cluster, Target, Up, eventually, process::settings};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_goes_on_behind_a_letter_that_is_settled_though_nobody_told_it() {
    let mut settings = settings();
    settings.insert("SIGNALBOX_KEEPER__SWEEP_EVERY_S".to_owned(), "1".to_owned());
    let up = Up::start_with(settings).await;
    let target = Target::start().await;
    let client = up.client();
    target.script(PATH, [Answer::status(422), Answer::status(200)]);
    let mut holding = integration(&target);
    holding["order_on_dead"] = json!("hold");
    client.apply(json!([holding])).await;
    publish(client, 1).await;
    let letter = eventually(SOON, "one dead letter", async || {
        match client.dead_letters("?integration=inorder").await.as_slice() {
            [letter] => Ok(letter.clone()),
            other => Err(other.len().to_string()),
        }
    })
    .await;
    // Those behind the dead one, and what says that they wait for a person.
    holds(client, 3).await;
    let id = letter["id"].as_str().unwrap_or_default();
    let seq = id.strip_prefix("dl_").and_then(|seq| seq.parse().ok());
    // What an act leaves that is killed after it settled the letter.
    let mark = Mark {
        act: "killed".to_owned(),
        did: Did::Discarded,
        seqs: vec![seq.expect("a letter's id names its place")],
        to: None,
        generation: 0,
        at: Timestamp::now(),
    };
    let nats = async_nats::connect(client.nats_url()).await;
    let nats = jetstream::new(nats.expect("the server is there"));
    let mark = wire::encode(&mark).expect("a mark can be written");
    let stored = nats.publish(subjects::dead_mark("killed"), mark.into()).await;
    stored.expect("it is sent").await.expect("DEAD takes it");
    target.wait_for(PATH, 3, Duration::from_secs(60)).await;
    holds(client, 0).await;
    let sent: Vec<String> = target.received(PATH).into_iter().map(|request| request.event).collect();
    assert_eq!(sent, ["k0-0", "k0-1", "k0-2"]);
    up.stop().await;
}
