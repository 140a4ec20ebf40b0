//! A delivery that stops its worker whenever it is sent.

use async_nats::jetstream;
use serde_json::json;
use signalbox_proto::subjects;

use super::{AFTER_CRASH, arrived, check, nothing_left, ordered, publish};
use crate::harness::{Answer, Cluster, Target, eventually};

const POISON: &str = "/poison";
/// So many workers are stopped by it: three that nobody takes for more than chance, and two that are careful.
const STOPPED: usize = 5;
const KEYS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_stops_every_worker_becomes_a_dead_letter_and_all_others_arrive_in_order() {
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    let mut answers = vec![Answer::hang(); STOPPED];
    answers.push(Answer::status(200));
    target.script(POISON, answers);
    let poison = json!({
        "name": "poison", "provider": "webhook", "events": ["poison"], "config": { "url": target.url(POISON) },
        "order_by": "event.data.key",
    });
    // So many keys are in every partition.
    client.apply(json!([poison, ordered(&target, json!({}))])).await;
    for n in 0..2 {
        let body = json!({ "type": "poison", "id": format!("p-{n}"), "data": { "key": "p" } });
        let answer = client
            .post_event(
                "",
                &[("content-type", "application/json")],
                body.to_string().into_bytes(),
            )
            .await;
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
    for round in 0..STOPPED {
        publish(&client, KEYS, round..round + 1).await;
        eventually(
            AFTER_CRASH,
            &format!("it is sent for the {}. time", round + 1),
            async || match target.count(POISON) {
                count if count > round => Ok(()),
                count => Err(format!("{count}")),
            },
        )
        .await;
        cluster.role("delivery").kill().await;
        cluster.role("delivery").restart().await;
    }
    publish(&client, KEYS, STOPPED..STOPPED + 1).await;
    arrived(&target, KEYS * (STOPPED + 1), AFTER_CRASH).await;
    let ledger = client.settled(AFTER_CRASH).await;
    assert_eq!(
        (&ledger["dead"], &ledger["delivered"]),
        (&json!(1), &json!(KEYS * (STOPPED + 1) + 1)),
        "{ledger}"
    );
    let letters = client.dead_letters("?reason=poison").await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0]["event"]["id"], "p-0", "{letters:?}");
    let mut sent: Vec<String> = target
        .received(POISON)
        .into_iter()
        .map(|request| request.event)
        .collect();
    assert_eq!(sent.len(), STOPPED + 1, "it is not sent again: {sent:?}");
    sent.dedup();
    assert_eq!(sent, ["p-0", "p-1"], "its key goes on behind it");
    check(&target, KEYS, STOPPED + 1);
    nothing_left(&client, AFTER_CRASH).await;
    // A worker that ends as it should leaves nothing that would be held against the next.
    cluster.role("delivery").stop().await;
    let nats = async_nats::connect(client.nats_url())
        .await
        .expect("the server is there");
    let bucket = jetstream::new(nats).get_key_value(subjects::STATE).await;
    let bucket = bucket.expect("the bucket is there");
    let provider = "webhook".parse().expect("a name");
    for partition in 0..subjects::ORDER_PARTITIONS {
        let run = bucket.get(subjects::ordered_run(&provider, partition)).await;
        assert_eq!(run.expect("the bucket answers"), None, "partition {partition}");
    }
    cluster.role("delivery").restart().await;
    cluster.assert_alive();
}
