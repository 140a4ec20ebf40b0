//! Acts that are stopped and gone on with at any moment, while their keeper is killed: each is sent once.

use serde_json::{Value, json};

use super::{AFTER_CRASH, act_is, id_of, webhook};
use crate::harness::{Answer, Client, Cluster, Load, Seed, Target, eventually, pause};

const EVENTS: usize = 1_500;
const ROUNDS: u64 = 14;

/// Does what people and machines do to an act: stops it, goes on with it, kills its keeper, in any order.
async fn trouble(cluster: &mut Cluster, client: &Client, seed: &mut Seed, id: &str) {
    let ask = async |verb: &str| client.request("POST", &format!("/v1/acts/{id}/{verb}"), Some(json!({}))).await;
    for round in 0..ROUNDS {
        pause(seed.millis(0..300)).await;
        match round % 5 {
            0 => {
                cluster.role("keeper").kill().await;
                ask("cancel").await;
                cluster.role("keeper").restart().await;
                pause(seed.millis(0..4_000)).await;
            }
            1 => {
                cluster.role("keeper").kill().await;
                cluster.role("keeper").restart().await;
            }
            _ => {
                ask("cancel").await;
                pause(seed.millis(0..40)).await;
                ask("resume").await;
                pause(seed.millis(0..5)).await;
                ask("cancel").await;
            }
        }
        ask("resume").await;
    }
}

async fn ended_once(client: &Client, target: &Target, id: &str, path: &str, before: usize) {
    let act = act_is(client, id, "done", AFTER_CRASH).await;
    assert_eq!(
        (&act["total"], &act["done"], &act["skipped"], &act["failed"]),
        (&json!(EVENTS), &json!(EVENTS), &json!(0), &json!(0)),
        "{act}"
    );
    client.settled(AFTER_CRASH).await;
    let sent = target.by_event(path);
    let odd: Vec<_> = sent.iter().filter(|(_, count)| **count != before + 1).collect();
    assert!(sent.len() == EVENTS && odd.is_empty(), "{}: {odd:?}", sent.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acts_that_are_stopped_gone_on_with_and_killed_at_any_moment_send_each_once() {
    let mut seed = Seed::of("cancel, resume and kill -9 of keeper in any order");
    let mut cluster = Cluster::start_with(&[("SIGNALBOX_KEEPER__LEASE_S", "3")]).await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client.apply(json!([webhook("died", &["tick"], &target)])).await;
    target.script("/died", [Answer::status(400)]);
    Load::start(&client, "tick", Some("e"), 1_000, EVENTS).finish().await;
    let letters = json!({ "filter": { "integration": "died" } });
    let dry: Value = json!({ "filter": { "integration": "died" }, "dry_run": true });
    eventually(AFTER_CRASH, "all are dead letters", async || {
        let counted = client.post("/v1/dead-letters/replay", dry.clone()).await;
        if counted["matched"] == EVENTS { Ok(()) } else { Err(counted.to_string()) }
    })
    .await;
    target.script("/died", [Answer::status(200)]);

    let act = client.post("/v1/dead-letters/replay", letters).await;
    let id = id_of(&act);
    trouble(&mut cluster, &client, &mut seed, &id).await;
    ended_once(&client, &target, &id, "/died", 1).await;

    client.apply(json!([webhook("new", &["tick"], &target)])).await;
    let act = client.post("/v1/events/replay", json!({ "since": "1h", "to": "new", "rate": 100 })).await;
    let id = id_of(&act);
    trouble(&mut cluster, &client, &mut seed, &id).await;
    ended_once(&client, &target, &id, "/new", 0).await;
    cluster.assert_alive();
}
