//! Digests: events gathered over a window become one delivery.
//!
//! The invariant: whatever ends inside a window or while one closes, each event is in exactly one digest, every copy
//! of a digest has the same members under the same id, and the ledger is even for each event.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Client, Cluster, Load, Publish, Target, Up, eventually, pause,
    process::{Folder, Program, free_port, settings, signal, signalbox},
};

const SOON: Duration = Duration::from_secs(30);
/// A window, and what a killed role's work takes to come again: the consumers' ack wait of 20 s.
const AFTER_CRASH: Duration = Duration::from_secs(90);

fn gathering(target: &Target, name: &str, batch: &Value) -> Value {
    json!({
        "name": name,
        "provider": "webhook",
        "config": { "url": target.url(&format!("/{name}")) },
        "events": [format!("{name}.*"), "both.*"],
        "batch": batch,
        "retry": { "schedule": ["1s", "1s", "1s", "1s", "1s", "1s"] },
    })
}

/// The digests that came to a path: by their id the ids of their events, as each copy had them.
fn digests(target: &Target, path: &str) -> BTreeMap<String, BTreeSet<Vec<String>>> {
    let mut found: BTreeMap<String, BTreeSet<Vec<String>>> = BTreeMap::new();
    for received in target.received(path) {
        let body = received.json();
        assert_eq!(body["type"], "signalbox.digest", "{body}");
        assert_eq!(body["id"], received.delivery(), "a digest's id is the delivery's");
        assert_eq!(body["data"]["batch"], true);
        let events = body["data"]["events"].as_array().expect("a digest has events");
        assert_eq!(body["data"]["event_count"], events.len(), "{body}");
        let ids = events
            .iter()
            .map(|event| event["id"].as_str().expect("an id").to_owned());
        found
            .entry(received.delivery().to_owned())
            .or_default()
            .insert(ids.collect());
    }
    found
}

/// Every copy of a digest is alike, and each of these events is in one of them. Gives how many digests there are.
fn each_in_one_digest(target: &Target, path: &str, wanted: &BTreeSet<String>) -> usize {
    let digests = digests(target, path);
    let mut in_digests: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for (id, copies) in &digests {
        assert_eq!(copies.len(), 1, "copies of digest {id} differ: {copies:?}");
        for event in copies.iter().flatten() {
            in_digests.entry(event.clone()).or_default().push(id);
        }
    }
    let several: Vec<_> = in_digests.iter().filter(|(_, digests)| digests.len() > 1).collect();
    assert!(several.is_empty(), "in several digests of {path}: {several:?}");
    let found: BTreeSet<String> = in_digests.into_keys().collect();
    let missing: Vec<_> = wanted.difference(&found).collect();
    assert!(missing.is_empty(), "in no digest of {path}: {missing:?}");
    assert_eq!(found.len(), wanted.len(), "{path} has more than was published");
    digests.len()
}

async fn arrived(target: &Target, path: &str, count: usize, deadline: Duration) {
    eventually(deadline, &format!("{count} events in digests at {path}"), async || {
        let digests = digests(target, path);
        let events: BTreeSet<&String> = digests.values().flatten().flatten().collect();
        if events.len() >= count {
            Ok(())
        } else {
            Err(format!("{} in {} digests", events.len(), digests.len()))
        }
    })
    .await;
}

/// Publishes until it is acknowledged, as a producer does.
async fn publish(client: &Client, event_type: &str, id: &str) {
    eventually(SOON, &format!("{id} is accepted"), async || {
        client
            .try_publish(Publish::of(event_type, &json!({ "n": 1 })).id(id))
            .await
    })
    .await;
}

async fn publish_many(client: &Client, event_type: &str, ids: impl Iterator<Item = String>) -> BTreeSet<String> {
    let mut published = BTreeSet::new();
    for id in ids {
        publish(client, event_type, &id).await;
        published.insert(id);
    }
    published
}

/// How much is played.
struct Form {
    events: usize,
    per_second: u64,
    /// The roles that are killed, one every so long.
    kills: &'static [&'static str],
    kill_every: Duration,
}

/// Windows of 10 s over several integrations, while roles are killed at any moment of them.
async fn each_event_is_in_one_digest_though_roles_are_killed(form: Form) {
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    // The first attempt of some digests fails: it comes again under the same id with the same members.
    let fails = || {
        [
            Answer::status(503),
            Answer::status(200),
            Answer::status(500),
            Answer::status(200),
        ]
    };
    target.script("/all", fails());
    target.script("/few", fails());
    let client = cluster.client().clone();
    let window = json!({ "window": "10s", "events_max": 1_000 });
    let few = json!({ "window": "10s", "events_max": 20 });
    let all = json!([gathering(&target, "all", &window), gathering(&target, "few", &few)]);
    client.apply(all).await;
    let load = Load::start(&client, "both.happened", Some("e"), form.per_second, form.events);
    for name in form.kills {
        pause(form.kill_every).await;
        let role = cluster.role(name);
        role.kill().await;
        role.restart().await;
    }
    let published: BTreeSet<String> = load.finish().await.ids.into_iter().collect();
    for path in ["/all", "/few"] {
        arrived(&target, path, published.len(), AFTER_CRASH).await;
    }
    let ledger = client.settled(AFTER_CRASH).await;
    assert_eq!(ledger["delivered"], 2 * published.len(), "{ledger}");
    assert_eq!(ledger["deliveries"], 2 * published.len(), "{ledger}");
    let in_windows = each_in_one_digest(&target, "/all", &published);
    let in_twenties = each_in_one_digest(&target, "/few", &published);
    assert!(in_windows <= 2 + published.len() / 20, "{in_windows} digests");
    assert!(
        in_twenties >= published.len() / 20,
        "{in_twenties} digests of 20 at most"
    );
    let most = digests(&target, "/few")
        .into_values()
        .flatten()
        .map(|ids| ids.len())
        .max();
    assert!(most <= Some(20), "{most:?}");
    eprintln!("{} events, {in_windows} and {in_twenties} digests", published.len());
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_in_one_digest_though_the_keeper_is_killed_in_the_window_and_while_it_closes() {
    let form = Form {
        events: 300,
        per_second: 12,
        kills: &["keeper", "keeper", "delivery", "router", "keeper", "keeper"],
        // In steps that meet each part of a window of 10 s, its end too.
        kill_every: Duration::from_millis(3_300),
    };
    each_event_is_in_one_digest_though_roles_are_killed(form).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "soak: ten thousand events over many windows"]
async fn soak_each_of_ten_thousand_events_is_in_one_digest_though_roles_are_killed() {
    let form = Form {
        events: 10_000,
        per_second: 90,
        kills: &[
            "keeper", "delivery", "router", "keeper", "ingest", "keeper", "router", "delivery", "keeper", "keeper",
            "router", "keeper", "delivery", "keeper", "keeper", "router",
        ],
        kill_every: Duration::from_millis(4_700),
    };
    each_event_is_in_one_digest_though_roles_are_killed(form).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "soak: the digests of thousands of integrations close at the same time"]
async fn soak_the_digests_of_many_integrations_close_side_by_side() {
    const INTEGRATIONS: usize = 5_000;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let numbers: Vec<usize> = (0..INTEGRATIONS).collect();
    for chunk in numbers.chunks(500) {
        let chunk = chunk.iter().map(|number| {
            json!({
                "name": format!("i{number}"),
                "provider": "webhook",
                "config": { "url": target.url("/many") },
                "events": ["many.*"],
                "batch": { "window": "10s" },
            })
        });
        client.apply(chunk.collect()).await;
    }
    let began = Instant::now();
    publish_many(client, "many.now", ["one", "two"].map(str::to_owned).into_iter()).await;
    let received = target.wait_for("/many", INTEGRATIONS, Duration::from_secs(300)).await;
    eprintln!("{INTEGRATIONS} digests after {:?}", began.elapsed());
    let ids: BTreeSet<&str> = received.iter().map(|received| received.delivery()).collect();
    assert_eq!(ids.len(), INTEGRATIONS);
    let ledger = client.settled(Duration::from_secs(120)).await;
    assert_eq!(ledger["delivered"], 2 * INTEGRATIONS, "{ledger}");
    up.stop().await;
}

/// Hundreds of digests close at one time, and the keeper is killed in the middle of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_is_killed_while_many_digests_close_leaves_none_half_done() {
    const INTEGRATIONS: usize = 600;
    let mut cluster = Cluster::start_with(&[("SIGNALBOX_KEEPER__LEASE_S", "3")]).await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    let names: Vec<String> = (0..INTEGRATIONS).map(|number| format!("many{number}")).collect();
    let all = names
        .iter()
        .map(|name| gathering(&target, name, &json!({ "window": "10s" })));
    client.apply(all.collect()).await;
    let published = publish_many(&client, "both.now", (0..3).map(|index| format!("m{index}"))).await;
    eventually(SOON, "all are gathered", async || {
        match client.messages("BATCH").await? {
            count if count == 3 * INTEGRATIONS as u64 => Ok(()),
            count => Err(count.to_string()),
        }
    })
    .await;
    let mut left = client.messages("BATCH").await.expect("BATCH is there");
    for _ in 0..3 {
        // As soon as some are closed, while others are.
        eventually(SOON, "digests close", async || match client.messages("BATCH").await? {
            count if count < left => Ok(()),
            count => Err(count.to_string()),
        })
        .await;
        let keeper = cluster.role("keeper");
        keeper.kill().await;
        left = client.messages("BATCH").await.expect("BATCH is there");
        eprintln!("killed with {left} members left");
        cluster.role("keeper").restart().await;
        if left == 0 {
            break;
        }
    }
    let ledger = client.settled(AFTER_CRASH).await;
    assert_eq!(ledger["delivered"], 3 * INTEGRATIONS, "{ledger}");
    for name in &names {
        assert_eq!(
            each_in_one_digest(&target, &format!("/{name}"), &published),
            1,
            "{name}"
        );
    }
    cluster.assert_alive();
}

/// A keeper whose machine stands still loses its lease, and goes on where it was when it wakes up.
/// nats-server is killed in the midst of digests that close: members, manifests and digests are on disk, each step of
/// a keeper is answered or not, and every event ends in one digest all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_while_digests_close_leaves_each_event_in_one_digest() {
    const INTEGRATIONS: usize = 200;
    const EVENTS: usize = 3;
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    let names: Vec<String> = (0..INTEGRATIONS).map(|number| format!("many{number}")).collect();
    let all = names
        .iter()
        .map(|name| gathering(&target, name, &json!({ "window": "10s" })));
    client.apply(all.collect()).await;
    let published = publish_many(&client, "both.now", (0..EVENTS).map(|index| format!("m{index}"))).await;
    eventually(SOON, "all are gathered", async || {
        match client.messages("BATCH").await? {
            count if count == (EVENTS * INTEGRATIONS) as u64 => Ok(()),
            count => Err(count.to_string()),
        }
    })
    .await;
    let mut left = (EVENTS * INTEGRATIONS) as u64;
    for _ in 0..3 {
        // As soon as some are closed, while others are. After a kill the server may take a while to answer.
        left = eventually(AFTER_CRASH, "digests close", async || {
            match client.messages("BATCH").await? {
                count if count < left || count == 0 => Ok(count),
                count => Err(count.to_string()),
            }
        })
        .await;
        if left == 0 {
            break;
        }
        eprintln!("nats-server is killed with {left} members left");
        cluster.server.kill().await;
        cluster.server.restart().await;
    }
    for name in &names {
        arrived(&target, &format!("/{name}"), EVENTS, AFTER_CRASH).await;
    }
    let ledger = client.settled(AFTER_CRASH).await;
    assert_eq!(ledger["delivered"], EVENTS * INTEGRATIONS, "{ledger}");
    for name in &names {
        each_in_one_digest(&target, &format!("/{name}"), &published);
    }
    // What went is removed once the server answers again.
    eventually(AFTER_CRASH, "nothing is left in BATCH", async || {
        match client.messages("BATCH").await? {
            0 => Ok(()),
            count => Err(count.to_string()),
        }
    })
    .await;
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_keepers_that_stand_still_in_turns_put_no_event_into_two_digests() {
    const EVENTS: usize = 300;
    /// Longer than a lease.
    const STILL: Duration = Duration::from_secs(4);
    let mut cluster = Cluster::start_with(&[("SIGNALBOX_KEEPER__LEASE_S", "3")]).await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    let folder = Folder::new();
    let admin = format!("127.0.0.1:{}", free_port());
    let arguments = ["run", "keeper", "--admin-listen", &admin];
    let mut settings = settings();
    settings.insert("SIGNALBOX_NATS__URL".into(), client.nats_url().into());
    settings.insert("SIGNALBOX_KEEPER__LEASE_S".into(), "3".into());
    let log = folder.path().join("keeper.log");
    let mut second = Program::start("the second keeper", &signalbox(), &arguments, &settings, &log, false);
    let integrations = ["one", "two", "three"];
    let batch = json!({ "window": "10s", "events_max": 7 });
    let all = integrations.map(|name| gathering(&target, name, &batch));
    client.apply(json!(all)).await;
    let load = Load::start(&client, "both.happened", Some("e"), 12, EVENTS);
    let keepers = [cluster.role("keeper").pid(), second.pid()];
    for turn in 0..6 {
        let pid = keepers[turn % 2].expect("it runs");
        signal(pid, Signal::STOP);
        pause(STILL).await;
        signal(pid, Signal::CONT);
        pause(Duration::from_millis(300)).await;
    }
    let published: BTreeSet<String> = load.finish().await.ids.into_iter().collect();
    for name in integrations {
        arrived(&target, &format!("/{name}"), EVENTS, AFTER_CRASH).await;
    }
    let ledger = client.settled(AFTER_CRASH).await;
    assert_eq!(ledger["delivered"], integrations.len() * EVENTS, "{ledger}");
    for name in integrations {
        each_in_one_digest(&target, &format!("/{name}"), &published);
    }
    second.assert_alive();
    second.kill().await;
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_closes_early_when_it_has_enough_events_or_bytes() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let hour = |events: u32| json!({ "window": "1h", "events_max": events });
    client
        .apply(json!([
            gathering(&target, "count", &hour(5)),
            gathering(&target, "bytes", &hour(1_000))
        ]))
        .await;
    let published = publish_many(client, "count.now", (0..10).map(|index| format!("c{index}"))).await;
    arrived(&target, "/count", 10, SOON).await;
    assert_eq!(each_in_one_digest(&target, "/count", &published), 2);
    // Six events of 200 KiB: two of them fit into a digest of 512 KiB.
    let large = "x".repeat(200 * 1_024);
    let mut published = BTreeSet::new();
    for index in 0..6 {
        let id = format!("b{index}");
        client
            .publish(Publish::of("bytes.now", &json!({ "text": large })).id(&id))
            .await;
        published.insert(id);
    }
    arrived(&target, "/bytes", 4, SOON).await;
    let first: Vec<Vec<String>> = digests(&target, "/bytes").into_values().flatten().collect();
    assert!(first.iter().all(|ids| ids.len() == 2), "{first:?}");
    // The rest goes at once when its owner wants no digests any more.
    let mut plain = gathering(&target, "bytes", &Value::Null);
    plain.as_object_mut().expect("an object").remove("batch");
    client.apply(json!([plain])).await;
    arrived(&target, "/bytes", 6, SOON).await;
    assert_eq!(each_in_one_digest(&target, "/bytes", &published), 3);
    client.settled(SOON).await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gathered_is_seen_waiting_and_a_pause_keeps_it() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let window = json!({ "window": "10s" });
    client.apply(json!([gathering(&target, "held", &window)])).await;
    client.hold("held").await;
    let began = Instant::now();
    let published = publish_many(client, "held.now", (0..3).map(|index| format!("h{index}"))).await;
    let waiting = client.delivery("h1", "parked", SOON).await;
    assert_eq!(waiting["waiting_for"], "batch", "{waiting}");
    assert!(waiting["next_attempt_at"].is_string(), "{waiting}");
    assert_eq!(client.waiting("held").await, Ok((0, 0, 3)));
    let listed = client.get("/v1/deliveries?status=parked").await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(3), "{listed}");
    let refused = client.request("DELETE", "/v1/integrations/held", None).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    // The window is over: one digest waits behind the gate.
    eventually(SOON, "the digest is parked", async || {
        match client.waiting("held").await? {
            (0, 0, 1) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(
        began.elapsed() >= Duration::from_secs(9),
        "not before its window is over"
    );
    let waiting = client.delivery("h2", "parked", SOON).await;
    assert_eq!(waiting["waiting_for"], "pause", "{waiting}");
    assert_eq!(waiting["event_ids"].as_array().map(Vec::len), Some(3), "{waiting}");
    assert_eq!(target.count("/held"), 0);
    client.resume("held").await;
    arrived(&target, "/held", 3, SOON).await;
    assert_eq!(each_in_one_digest(&target, "/held", &published), 1);
    let delivered = client.delivery("h0", "delivered", SOON).await;
    assert_eq!(delivered["id"], target.received("/held")[0].delivery(), "{delivered}");
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], 3, "{ledger}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_digest_is_replayed_with_the_same_members_under_its_id() {
    let up = Up::start().await;
    let target = Target::start().await;
    target.script("/dead", [Answer::status(400), Answer::status(200)]);
    let client = up.client();
    client
        .apply(json!([gathering(
            &target,
            "dead",
            &json!({ "window": "10s", "events_max": 3 })
        )]))
        .await;
    let published = publish_many(client, "dead.now", (0..3).map(|index| format!("d{index}"))).await;
    let dead = client.delivery("d0", "dead", SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["dead"], &ledger["deliveries"]),
        (&json!(3), &json!(3)),
        "{ledger}"
    );
    let letters = client.dead_letters("").await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["delivery_id"], dead["id"]);
    assert_eq!(letters[0]["event_ids"], json!(["d0", "d1", "d2"]), "{}", letters[0]);
    client
        .act("/v1/dead-letters/replay", json!({ "ids": [letters[0]["id"]] }))
        .await;
    target.wait_for("/dead", 2, SOON).await;
    assert_eq!(each_in_one_digest(&target, "/dead", &published), 1);
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["delivered"], &ledger["dead"]),
        (&json!(3), &json!(0)),
        "{ledger}"
    );
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gathered_can_be_given_up_and_goes_with_its_integration() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let hour = json!({ "window": "1h" });
    client
        .apply(json!([
            gathering(&target, "one", &hour),
            gathering(&target, "two", &hour)
        ]))
        .await;
    publish_many(client, "one.now", (0..4).map(|index| format!("o{index}"))).await;
    publish_many(client, "two.now", (0..2).map(|index| format!("t{index}"))).await;
    eventually(SOON, "all are gathered", async || {
        match client.messages("BATCH").await? {
            6 => Ok(()),
            count => Err(count.to_string()),
        }
    })
    .await;
    let act = client
        .act("/v1/deliveries/discard", json!({ "filter": { "integration": "one" } }))
        .await;
    assert_eq!(act["done"], 4, "{act}");
    let gone = client
        .request("DELETE", "/v1/integrations/two?discard=true", None)
        .await;
    assert!((200..300).contains(&gone.status), "{}", gone.text());
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["discarded"], &ledger["deliveries"]),
        (&json!(6), &json!(6)),
        "{ledger}"
    );
    assert_eq!(client.messages("BATCH").await, Ok(0));
    assert_eq!(target.count("/one") + target.count("/two"), 0);
    up.stop().await;
}

/// What waits for its turn is seen and given up as any other delivery is.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_turn_is_seen_and_can_be_given_up() {
    let up = Up::start().await;
    let target = Target::start().await;
    target.script("/turns", [Answer::status(503)]);
    let client = up.client();
    let integration = json!({
        "name": "turns",
        "provider": "webhook",
        "config": { "url": target.url("/turns") },
        "events": ["turns.*"],
        "order_by": "event.subject",
        "retry": { "schedule": ["1h"] },
    });
    client.apply(json!([integration])).await;
    for index in 0..4 {
        let event = Publish::of("turns.now", &json!({})).header("ce-subject", "key");
        client.publish(event.id(&format!("t{index}"))).await;
    }
    target.wait_for("/turns", 1, SOON).await;
    let first = client.delivery("t0", "retrying", SOON).await;
    assert!(first["next_attempt_at"].is_string(), "{first}");
    let behind = client.delivery("t2", "parked", SOON).await;
    assert_eq!(behind["waiting_for"], "order", "{behind}");
    let listed = client.get("/v1/deliveries?status=waiting").await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(4), "{listed}");
    let refused = client.request("DELETE", "/v1/integrations/turns", None).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    let one = json!({ "ids": [behind["id"]] });
    let act = client.act("/v1/deliveries/discard", one).await;
    assert_eq!((&act["total"], &act["done"]), (&json!(1), &json!(1)), "{act}");
    let rest = json!({ "filter": { "integration": "turns" } });
    let act = client.act("/v1/deliveries/discard", rest).await;
    assert_eq!((&act["total"], &act["done"]), (&json!(3), &json!(3)), "{act}");
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["discarded"], 4, "{ledger}");
    assert_eq!(client.waiting("turns").await, Ok((0, 0, 0)));
    assert_eq!(target.count("/turns"), 1, "none of them was sent after that");
    // The key goes on with what comes next.
    target.script("/turns", [Answer::status(200)]);
    client
        .publish(
            Publish::of("turns.now", &json!({}))
                .header("ce-subject", "key")
                .id("t9"),
        )
        .await;
    client.delivery("t9", "delivered", SOON).await;
    up.stop().await;
}
