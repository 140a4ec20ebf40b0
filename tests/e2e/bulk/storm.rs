//! Acts that are stopped and resumed at any moment, while their keeper is killed: each is sent once.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{AFTER_CRASH, act_is, id_of, webhook};
use crate::harness::{
    Answer, Client, Cluster, Load, Seed, Target, eventually, pause,
    process::{Folder, Program, free_port, settings, signal, signalbox},
};

const EVENTS: usize = 1_500;
const ROUNDS: u64 = 14;

/// Does what people and machines do to an act: stops it, goes on with it, kills its keeper, in any order.
async fn trouble(cluster: &mut Cluster, client: &Client, seed: &mut Seed, id: &str) {
    let ask = async |verb: &str| {
        client
            .request("POST", &format!("/v1/acts/{id}/{verb}"), Some(json!({})))
            .await
    };
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

async fn dead_are(client: &Client, count: usize) {
    let dry: Value = json!({ "all": true, "dry_run": true });
    eventually(AFTER_CRASH, "all are dead letters", async || {
        let counted = client.post("/v1/dead-letters/replay", dry.clone()).await;
        if counted["matched"] == count {
            Ok(())
        } else {
            Err(counted.to_string())
        }
    })
    .await;
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
    dead_are(&client, EVENTS).await;
    target.script("/died", [Answer::status(200)]);

    let act = client.post("/v1/dead-letters/replay", letters).await;
    let id = id_of(&act);
    trouble(&mut cluster, &client, &mut seed, &id).await;
    ended_once(&client, &target, &id, "/died", 1).await;

    client.apply(json!([webhook("new", &["tick"], &target)])).await;
    let act = client
        .post("/v1/events/replay", json!({ "since": "1h", "to": "new", "rate": 100 }))
        .await;
    let id = id_of(&act);
    trouble(&mut cluster, &client, &mut seed, &id).await;
    ended_once(&client, &target, &id, "/new", 0).await;
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_discard_that_is_stopped_gone_on_with_and_killed_at_any_moment_gives_each_up_once() {
    let mut seed = Seed::of("cancel, resume and kill -9 of keeper in any order while it discards");
    let mut cluster = Cluster::start_with(&[("SIGNALBOX_KEEPER__LEASE_S", "3")]).await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client.apply(json!([webhook("held", &["tick"], &target)])).await;
    client.hold("held").await;
    Load::start(&client, "tick", Some("e"), 1_000, EVENTS).finish().await;
    eventually(AFTER_CRASH, "all are parked", async || {
        match client.waiting("held").await? {
            (0, 0, parked) if parked == EVENTS as u64 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let act = client
        .post("/v1/deliveries/discard", json!({ "all": true, "rate": 100 }))
        .await;
    let id = id_of(&act);
    trouble(&mut cluster, &client, &mut seed, &id).await;
    let act = act_is(&client, &id, "done", AFTER_CRASH).await;
    assert_eq!(
        (&act["total"], &act["done"], &act["failed"]),
        (&json!(EVENTS), &json!(EVENTS), &json!(0)),
        "{act}"
    );
    assert_eq!(client.waiting("held").await, Ok((0, 0, 0)));
    let ledger = client.settled(AFTER_CRASH).await;
    assert_eq!(ledger["discarded"], EVENTS, "{ledger}");
    dead_are(&client, EVENTS).await;
    assert_eq!(target.count("/held"), 0);
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_that_stood_still_while_another_did_its_act_sends_nothing_of_it() {
    const LETTERS: usize = 60;
    /// Longer than what a keeper may send without a proof that the act is still its own.
    const STILL: Duration = Duration::from_secs(12);
    let mut cluster = Cluster::start_with(&[("SIGNALBOX_KEEPER__LEASE_S", "3")]).await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client.apply(json!([webhook("died", &["tick"], &target)])).await;
    target.script("/died", [Answer::status(400)]);
    Load::start(&client, "tick", Some("e"), 1_000, LETTERS).finish().await;
    dead_are(&client, LETTERS).await;
    target.script("/died", [Answer::status(200)]);

    cluster.role("keeper").stop().await;
    let folder = Folder::new();
    let admin = format!("127.0.0.1:{}", free_port());
    let arguments = ["run", "keeper", "--admin-listen", &admin];
    let mut settings = settings();
    settings.insert("SIGNALBOX_NATS__URL".into(), client.nats_url().into());
    settings.insert("SIGNALBOX_KEEPER__LEASE_S".into(), "3".into());
    let log = folder.path().join("keeper.log");
    let mut first = Program::start("the first keeper", &signalbox(), &arguments, &settings, &log, false);
    // Each of its chunks takes a second.
    let act = client
        .post("/v1/dead-letters/replay", json!({ "all": true, "rate": 20 }))
        .await;
    target.wait_for("/died", LETTERS + 5, AFTER_CRASH).await;
    let pid = first.pid().expect("it runs");
    signal(pid, Signal::STOP);
    let stopped = Instant::now();
    cluster.role("keeper").restart().await;
    let act = act_is(&client, &id_of(&act), "done", AFTER_CRASH).await;
    assert_eq!((&act["done"], &act["failed"]), (&json!(LETTERS), &json!(0)), "{act}");
    client.settled(AFTER_CRASH).await;
    // Nobody knows any more what was sent: neither the server nor a worker.
    cluster.role("delivery").stop().await;
    cluster.server.kill().await;
    cluster.server.restart().await;
    cluster.role("delivery").restart().await;
    pause(STILL.saturating_sub(stopped.elapsed())).await;
    signal(pid, Signal::CONT);
    // It goes on, finds that its time is over, and would have sent the rest of its chunk meanwhile.
    pause(Duration::from_secs(4)).await;
    first.assert_alive();
    client.settled(AFTER_CRASH).await;
    let sent = target.by_event("/died");
    let odd: Vec<_> = sent.iter().filter(|(_, count)| **count != 2).collect();
    assert!(sent.len() == LETTERS && odd.is_empty(), "{}: {odd:?}", sent.len());
    first.kill().await;
    cluster.assert_alive();
}
