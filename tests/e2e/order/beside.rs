//! Keys and integrations beside each other: who waits, hangs, is held or leaves costs the others nothing.

use std::time::{Duration, Instant};

use async_nats::jetstream::{self, stream};
use serde_json::{Value, json};

use super::{AFTER_CRASH, PATH, SOON, arrived, check, nothing_left, ordered, place, publish, sequence, waits_in_order};
use crate::{
    full::Bounded,
    harness::{Answer, Client, Cluster, Target, Up, eventually, pause, process::settings},
};

/// Much less than the timeout of a request.
const PROMPTLY: Duration = Duration::from_secs(8);

fn beside(target: &Target, name: &str) -> Value {
    json!({
        "name": name, "provider": "webhook", "events": ["tick"], "config": { "url": target.url(&format!("/{name}")) },
        "order_by": "event.data.key", "retry": { "schedule": vec!["1s"; 20] },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_integrations_that_hang_take_no_place_from_a_newer_one() {
    // Each of the two could have half of the places of a worker for as long as its requests hang.
    const KEYS: usize = 100;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let hanging = ["hangs-1", "hangs-2"];
    for name in hanging {
        target.script(&format!("/{name}"), [Answer::hang()]);
    }
    let older: Vec<Value> = hanging.iter().map(|name| beside(&target, name)).collect();
    client.apply(older.clone().into()).await;
    publish(client, KEYS, 0..1).await;
    for name in hanging {
        target.wait_for(&format!("/{name}"), 8, SOON).await;
    }
    let all: Vec<Value> = older.into_iter().chain([ordered(&target, json!({}))]).collect();
    client.apply(all.into()).await;
    // The router takes the change within a second.
    pause(Duration::from_secs(1)).await;
    publish(client, KEYS, 1..3).await;
    arrived(&target, 2 * KEYS, PROMPTLY).await;
    for name in hanging {
        let count = target.count(&format!("/{name}"));
        assert!(count < KEYS, "{name} has its share and no more: {count}");
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_wait_for_a_person_stay_held_when_their_worker_is_killed() {
    const KEYS: usize = 12;
    const EVENTS: usize = 4;
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    for key in 0..KEYS {
        target.answer_event(&format!("k{key}-1"), Some(Answer::status(422)));
    }
    let holds = json!({ "order_on_dead": "hold" });
    client.apply(json!([ordered(&target, holds)])).await;
    let mut others = cluster.more_workers(1).await;
    publish(&client, KEYS, 0..EVENTS).await;
    // Of each key two events, and the state that holds them.
    super::ordered_holds(&client, 3 * KEYS as u64, SOON).await;
    others[0].kill().await;
    // Its leases run out, and the other reads what it left.
    publish(&client, KEYS, EVENTS..EVENTS + 1).await;
    pause(Duration::from_secs(12)).await;
    let sent = target.count(PATH);
    assert_eq!(sent, 2 * KEYS, "nothing behind a dead delivery goes");
    for key in 0..KEYS {
        target.answer_event(&format!("k{key}-1"), None);
    }
    let letters = client.dead_letters("?integration=ordered").await;
    assert_eq!(letters.len(), KEYS);
    let ids: Vec<&Value> = letters.iter().map(|letter| &letter["id"]).collect();
    client.post("/v1/dead-letters/replay", json!({ "ids": ids })).await;
    arrived(&target, KEYS * (EVENTS + 1), AFTER_CRASH).await;
    check(&target, KEYS, EVENTS + 1);
    nothing_left(&client, SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], KEYS * (EVENTS + 1), "{ledger}");
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_stopped_hands_its_partitions_over_at_once() {
    const KEYS: usize = 40;
    let cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client.apply(json!([ordered(&target, json!({}))])).await;
    let mut others = cluster.more_workers(1).await;
    publish(&client, KEYS, 0..1).await;
    arrived(&target, KEYS, SOON).await;
    // Both have their share by now. One request of each is in the air for a while when one of them is stopped.
    eventually(SOON, "the second worker has partitions", async || {
        match others[0]
            .log()
            .matches("taking ordered deliveries of a partition")
            .count()
        {
            0 => Err("none".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    let slow: Vec<String> = (0..4).map(|key| format!("k{key}-1")).collect();
    for event in &slow {
        target.answer_event(event, Some(Answer::status(200).after(Duration::from_secs(3))));
    }
    publish(&client, 4, 1..2).await;
    target.wait_for(PATH, KEYS + slow.len(), SOON).await;
    let stopped = Instant::now();
    let publishing = publish(&client, KEYS, 2..3);
    let ((), status) = tokio::join!(publishing, others[0].stop());
    assert!(status.success(), "{status}");
    arrived(&target, 2 * KEYS + slow.len(), SOON).await;
    let took = stopped.elapsed();
    eprintln!("all had arrived {took:?} after the worker was told to stop");
    // A lease that is left to expire takes nine seconds.
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(target.repeats(PATH), 0, "nobody died");
    client.settled(SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_of_a_key_can_be_tried_now_and_those_behind_it_cannot() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    target.script(PATH, [Answer::status(500), Answer::status(200)]);
    let retry = json!({ "retry": { "schedule": ["1h"] } });
    client.apply(json!([ordered(&target, retry)])).await;
    publish(client, 1, 0..2).await;
    waits_in_order(client, 3).await;
    let first = client.delivery("k0-0", "retrying", SOON).await;
    let second = client.delivery("k0-1", "parked", SOON).await;
    let path = |delivery: &Value| {
        format!(
            "/v1/deliveries/{}/retry",
            delivery["id"].as_str().expect("it has an id")
        )
    };
    let refused = client.request("POST", &path(&second), None).await;
    assert_eq!(refused.problem(409), "ordered");
    client.hold("ordered").await;
    let refused = client.request("POST", &path(&first), None).await;
    assert_eq!(refused.problem(409), "paused");
    client.resume("ordered").await;
    let answer = client.request("POST", &path(&first), None).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    arrived(&target, 2, PROMPTLY).await;
    assert_eq!(sequence(&target), [0, 0, 1]);
    // And all that are to be tried again, by one act. Nothing of before may be among what is counted.
    nothing_left(client, SOON).await;
    target.script(PATH, [Answer::status(500), Answer::status(500), Answer::status(200)]);
    publish(client, 2, 2..4).await;
    client.delivery("k0-2", "retrying", SOON).await;
    client.delivery("k1-2", "retrying", SOON).await;
    let act = client
        .act(
            "/v1/deliveries/retry",
            json!({ "filter": { "integration": "ordered" } }),
        )
        .await;
    assert_eq!((&act["total"], &act["done"]), (&json!(2), &json!(2)), "{act}");
    arrived(&target, 6, PROMPTLY).await;
    nothing_left(client, SOON).await;
    client.settled(SOON).await;
    up.stop().await;
}

/// Sets how long a message of ORDERED may be.
async fn longest(client: &Client, bytes: i32) {
    let nats = async_nats::connect(client.nats_url())
        .await
        .expect("NATS takes a connection");
    let jetstream = jetstream::new(nats);
    let stream = jetstream.get_stream("ORDERED").await.expect("the stream is there");
    let config = stream::Config {
        max_message_size: bytes,
        ..stream.cached_info().config.clone()
    };
    let changed = jetstream.update_stream(config).await;
    changed.expect("the stream can be changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_no_stream_takes_is_a_dead_letter_and_holds_up_no_other() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client.apply(json!([ordered(&target, json!({}))])).await;
    publish(client, 2, 0..1).await;
    arrived(&target, 2, SOON).await;
    longest(client, 16 * 1024).await;
    let long = json!({ "type": "tick", "id": "k0-1", "data": { "key": "k0", "long": "x".repeat(32 * 1024) } });
    let body = long.to_string().into_bytes();
    let answer = client
        .post_event("", &[("content-type", "application/json")], body)
        .await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    publish(client, 2, 2..4).await;
    arrived(&target, 2 + 4, SOON).await;
    let mut order: Vec<(String, usize)> = target
        .received(PATH)
        .iter()
        .map(|received| place(&received.event))
        .collect();
    order.sort();
    let wanted = ["k0", "k1"].map(|key| [0, 2, 3].map(|n| (key.to_owned(), n)));
    assert_eq!(order, wanted.concat());
    let letters = client.dead_letters("?integration=ordered").await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(
        (&letters[0]["stage"], &letters[0]["event"]["id"]),
        (&json!("route"), &json!("k0-1")),
        "{letters:?}"
    );
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["delivered"], &ledger["dead"]),
        (&json!(6), &json!(1)),
        "{ledger}"
    );
    up.stop().await;
}

/// What a process has used of a processor until now.
fn used(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    // The name of the program, in brackets, may hold spaces.
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    // Linux counts in hundredths of a second.
    Duration::from_millis(10 * ticks)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_outcomes_is_full_a_worker_rests() {
    const LONG: Duration = Duration::from_secs(3);
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client.apply(json!([ordered(&target, json!({}))])).await;
    publish(client, 1, 0..1).await;
    arrived(&target, 1, SOON).await;
    nothing_left(client, SOON).await;
    client.settled(SOON).await;
    let stored = client.messages("OUTCOMES").await.expect("OUTCOMES is there");
    let full = Bounded::at(client, "OUTCOMES", stored).await;
    publish(client, 1, 1..2).await;
    target.wait_for(PATH, 2, SOON).await;
    // Its record is refused by then: nothing is asked of the router, and the other keys wait for it.
    pause(Duration::from_secs(1)).await;
    publish(client, 3, 2..4).await;
    pause(Duration::from_secs(1)).await;
    let pid = up.pid().expect("it runs");
    let before = used(pid);
    pause(LONG).await;
    let used = used(pid) - before;
    eprintln!("{used:?} of a processor in {LONG:?}");
    assert!(used < LONG / 8, "{used:?} in {LONG:?}");
    full.lift().await;
    arrived(&target, 8, SOON).await;
    assert_eq!(target.repeats(PATH), 0, "nothing comes twice");
    client.settled(SOON).await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_takes_a_token_of_the_rate_limit() {
    let mut settings = settings();
    settings.insert("SIGNALBOX_DELIVERY__PROBE_FIRST_S".to_owned(), "1".to_owned());
    let up = Up::start_with(settings).await;
    let target = Target::start().await;
    let client = up.client();
    let limit = json!({ "rate_limit": { "per_day": 1 } });
    client.apply(json!([ordered(&target, limit)])).await;
    target.script(PATH, [Answer::status(410)]);
    publish(client, 1, 0..1).await;
    target.wait_for(PATH, 1, SOON).await;
    eventually(SOON, "it is suspended", async || {
        let integration = client.integration("ordered").await;
        match integration["status"] == "error" {
            true => Ok(()),
            false => Err(integration.to_string()),
        }
    })
    .await;
    // The probe would be due three times.
    pause(Duration::from_secs(5)).await;
    assert_eq!(target.count(PATH), 1, "the token of the day is used");
    up.stop().await;
}
