//! Acts where clocks differ and streams refuse: they end, say why, and send nothing twice.

use std::time::{Duration, Instant};

use async_nats::jetstream::{self, kv, stream};
use serde_json::json;
use signalbox_proto::{
    Name, Timestamp,
    act::{Act, ActStatus, Ahead, DeadFilter, Kind, WaitingFilter},
    subjects, wire,
};

use super::{AFTER_CRASH, SOON, act_is, id_of, webhook};
use crate::{
    deliveries::{integration, listed, publish},
    harness::{Answer, Client, Cluster, Publish, Target, Up, eventually},
};

/// Access beside the program: to what a keeper of another machine would have written.
struct Nats(jetstream::Context);

impl Nats {
    async fn of(client: &Client) -> Self {
        let connection = async_nats::connect(client.nats_url())
            .await
            .expect("it takes a connection");
        Self(jetstream::new(connection))
    }

    async fn acts(&self) -> kv::Store {
        self.0
            .get_key_value(subjects::STATE)
            .await
            .expect("the bucket is there")
    }

    async fn write(&self, act: &Act) {
        let body = wire::encode(act).expect("an act can be written");
        let written = self.acts().await.put(subjects::act_key(&act.id), body.into()).await;
        written.expect("the bucket takes it");
    }

    async fn read(&self, id: &str) -> Act {
        let found = self
            .acts()
            .await
            .get(subjects::act_key(id))
            .await
            .expect("it can be asked");
        wire::decode(&found.expect("the act is there")).expect("an act can be read")
    }

    async fn change(&self, name: &str, change: impl FnOnce(&mut stream::Config)) {
        let stream = self.0.get_stream(name).await.expect("the stream is there");
        let mut config = stream.cached_info().config.clone();
        change(&mut config);
        self.0.update_stream(config).await.expect("the stream can be changed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_events_whose_keeper_had_a_clock_ahead_of_the_servers_is_found_and_not_sent_again() {
    const EVENTS: usize = 30;
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client.apply(json!([webhook("old", &["tick"], &target)])).await;
    for n in 0..EVENTS {
        client
            .publish(Publish::of("tick", &json!({})).id(&format!("e-{n}")))
            .await;
    }
    target.wait_for("/old", EVENTS, SOON).await;
    client.apply(json!([webhook("new", &["tick"], &target)])).await;
    let wanted = json!({ "since": "1h", "to": "new", "rate": 1_000 });
    let act = client.act("/v1/events/replay", wanted).await;
    assert_eq!(act["done"], EVENTS, "{act}");
    client.settled(SOON).await;

    // As if its keeper had died before it could say that all was sent.
    cluster.role("keeper").stop().await;
    let nats = Nats::of(&client).await;
    let done = nats.read(&id_of(&act)).await;
    let ahead = Ahead {
        through: done.through,
        at: done.created_at + Duration::from_secs(30),
    };
    nats.write(&Act {
        status: ActStatus::Running,
        cursor: 0,
        done: 0,
        ahead: Some(ahead),
        ..done.clone()
    })
    .await;
    // A server that starts anew has forgotten the ids of what was taken out of its queues, and a worker what it sent.
    cluster.role("delivery").stop().await;
    cluster.server.kill().await;
    cluster.server.restart().await;
    cluster.role("delivery").restart().await;
    cluster.role("keeper").restart().await;
    let act = act_is(&client, &done.id, "done", AFTER_CRASH).await;
    assert_eq!(act["done"], EVENTS, "{act}");
    client.settled(AFTER_CRASH).await;
    assert_eq!(target.count("/new"), EVENTS, "each was sent once");
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_that_was_asked_for_by_a_clock_ahead_of_the_servers_tries_each_delivery_once() {
    const EVENTS: usize = 5;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let mut late = integration(&target, "late");
    late["retry"]["schedule"] = json!(["1h", "1h", "1h", "1h"]);
    client.apply(json!([late])).await;
    target.script("/late", [Answer::status(503)]);
    for n in 0..EVENTS {
        publish(client, "late", &format!("late-{n}")).await;
    }
    listed(client, "?status=retrying", EVENTS).await;
    let ahead = Timestamp::now() + Duration::from_secs(60);
    let act = Act {
        id: "0199c0de-0000-7000-8000-0000000000ac".into(),
        kind: Kind::RetryWaiting,
        filter: DeadFilter::default(),
        events: None,
        waiting: Some(WaitingFilter {
            org: Name::default_org(),
            ids: Vec::new(),
            integration: None,
            provider: None,
            event_type: None,
            status: None,
            since: None,
            until: ahead,
        }),
        // Slow enough for each to have failed again before the last is tried.
        per_second: 2,
        through: 0,
        cursor: 0,
        ahead: None,
        generation: 0,
        status: ActStatus::Running,
        total: Some(EVENTS as u64),
        done: 0,
        skipped: 0,
        failed: 0,
        asked_by: String::new(),
        message: String::new(),
        created_at: ahead,
        updated_at: ahead,
    };
    Nats::of(client).await.write(&act).await;
    let act = act_is(client, &act.id, "done", SOON).await;
    assert_eq!(act["done"], EVENTS, "{act}");
    target.wait_for("/late", 2 * EVENTS, SOON).await;
    let tried = listed(client, "?status=retrying", EVENTS).await;
    assert!(tried.iter().all(|item| item["attempts"] == 2), "{tried:?}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_discard_ends_although_what_it_gives_up_can_never_be_filed() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client.apply(json!([integration(&target, "held")])).await;
    client.hold("held").await;
    for n in 0..3 {
        publish(client, "held", &format!("held-{n}")).await;
    }
    listed(client, "?status=parked", 3).await;
    let nats = Nats::of(client).await;
    nats.change("DEAD", |config| config.max_message_size = 64).await;
    let act = client.act("/v1/deliveries/discard", json!({ "all": true })).await;
    assert_eq!((&act["done"], &act["failed"]), (&json!(0), &json!(3)), "{act}");
    assert!(
        act["message"].as_str().is_some_and(|why| why.contains("message size")),
        "{act}"
    );
    assert_eq!(client.waiting("held").await, Ok((0, 0, 3)), "nothing is lost");
    nats.change("DEAD", |config| config.max_message_size = -1).await;
    let act = client.act("/v1/deliveries/discard", json!({ "all": true })).await;
    assert_eq!((&act["done"], &act["failed"]), (&json!(3), &json!(0)), "{act}");
    client.settled(SOON).await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inputs_that_ingest_cannot_take_hold_up_no_other_replay_and_are_sent_in_when_it_can() {
    const INPUTS: usize = 12;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client.apply(json!([webhook("ops", &["tick"], &target)])).await;
    target.script("/ops", [Answer::status(400)]);
    client.publish(Publish::of("tick", &json!({})).id("tick")).await;
    for n in 0..INPUTS {
        let broken = Publish::to("signalbox.in.default.broken", "{").id(&format!("broken-{n}"));
        client.publish(broken).await;
    }
    eventually(SOON, "all are dead letters", async || {
        match client.dead_letters("?limit=200").await.len() {
            found if found == INPUTS + 1 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
    target.script("/ops", [Answer::status(200)]);
    let nats = Nats::of(client).await;
    let most = nats
        .0
        .get_stream("INGEST")
        .await
        .expect("it is there")
        .cached_info()
        .config
        .max_bytes;
    nats.change("INGEST", |config| config.max_bytes = 1).await;
    let inputs = json!({ "filter": { "stage": "ingest" } });
    let stuck = id_of(&client.post("/v1/dead-letters/replay", inputs).await);
    let asked = Instant::now();
    let other = json!({ "filter": { "integration": "ops" } });
    let other = id_of(&client.post("/v1/dead-letters/replay", other).await);
    act_is(client, &other, "done", AFTER_CRASH).await;
    assert!(asked.elapsed() < Duration::from_secs(12), "{:?}", asked.elapsed());
    let act = client.get(&format!("/v1/acts/{stuck}")).await;
    assert_eq!((&act["status"], &act["done"]), (&json!("running"), &json!(0)), "{act}");
    assert!(
        act["message"].as_str().is_some_and(|why| why.starts_with("waits: ")),
        "it says why: {act}"
    );
    nats.change("INGEST", |config| config.max_bytes = most).await;
    let act = act_is(client, &stuck, "done", SOON).await;
    assert_eq!(
        (&act["done"], &act["failed"], &act["message"]),
        (&json!(INPUTS), &json!(0), &json!("")),
        "{act}"
    );
    eventually(SOON, "each is rejected once more", async || {
        match client.dead_letters("?stage=ingest&limit=200").await.len() {
            found if found == 2 * INPUTS => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
    up.stop().await;
}
