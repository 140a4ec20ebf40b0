//! Order: deliveries with the same key go one after another, whatever fails and whoever is killed meanwhile.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::full::Bounded;
use crate::harness::{
    Answer, Client, Cluster, Seed, Target, Up, eventually, pause,
    process::{settings, signal},
};

mod beside;
mod past;
mod poison;

const PATH: &str = "/ordered";
const SOON: Duration = Duration::from_secs(30);
/// A killed worker's leases run out, and another takes its partitions over.
const AFTER_CRASH: Duration = Duration::from_secs(120);
/// Events of one request to publish.
const BATCH: usize = 50;

fn ordered(target: &Target, more: Value) -> Value {
    let mut integration = json!({
        "name": "ordered", "provider": "webhook", "events": ["tick"], "config": { "url": target.url(PATH) },
        "order_by": "event.data.key", "retry": { "schedule": vec!["1s"; 20] },
    });
    let fields = more.as_object().cloned().unwrap_or_default();
    integration
        .as_object_mut()
        .expect("an object was just written")
        .extend(fields);
    integration
}

fn event(key: usize, n: usize) -> Value {
    json!({ "type": "tick", "id": format!("k{key}-{n}"), "data": { "key": format!("k{key}"), "n": n } })
}

/// Publishes the events `from..to` of each key: accepted in this order, as each request is answered once EVENTS has
/// what it brought.
async fn publish(client: &Client, keys: usize, events: std::ops::Range<usize>) {
    for n in events {
        let round: Vec<Value> = (0..keys).map(|key| event(key, n)).collect();
        for part in round.chunks(BATCH) {
            let body = Value::from(part.to_vec()).to_string().into_bytes();
            let answer = client
                .post_event("", &[("content-type", "application/json")], body)
                .await;
            assert_eq!(answer.status, 202, "{}", answer.text());
        }
    }
}

fn place(event: &str) -> (String, usize) {
    let (key, n) = event.split_once('-').expect("an id of this test has two parts");
    (key.to_owned(), n.parse().expect("the second is a number"))
}

/// Checks what a receiver saw: of each key all events, in order, with none but adjacent repeats. Returns how many
/// came again after they were taken.
fn check(target: &Target, keys: usize, events: usize) -> usize {
    let mut seen: BTreeMap<String, Vec<(usize, bool)>> = BTreeMap::new();
    for received in target.received(PATH) {
        let (key, n) = place(&received.event);
        seen.entry(key).or_default().push((n, received.taken));
    }
    assert_eq!(seen.len(), keys, "every key has come");
    let mut again = 0;
    for (key, requests) in seen {
        let mut order: Vec<usize> = requests.iter().map(|(n, _)| *n).collect();
        order.dedup();
        let wanted: Vec<usize> = (0..events).collect();
        assert_eq!(order, wanted, "{key}: {requests:?}");
        for n in 0..events {
            let taken = requests.iter().filter(|(of, taken)| *of == n && *taken).count();
            assert!(taken > 0, "{key}-{n} was never taken");
            again += taken - 1;
        }
    }
    again
}

/// Waits until every event of every key was taken.
async fn arrived(target: &Target, count: usize, deadline: Duration) {
    eventually(deadline, &format!("{count} events are taken"), async || {
        // Looking at each request costs more than counting them.
        let came = target.count(PATH);
        if came < count {
            return Err(format!("{came} requests"));
        }
        let mut taken: Vec<String> = target
            .received(PATH)
            .into_iter()
            .filter(|received| received.taken)
            .map(|received| received.event)
            .collect();
        taken.sort_unstable();
        taken.dedup();
        if taken.len() >= count {
            Ok(())
        } else {
            Err(format!("{}", taken.len()))
        }
    })
    .await;
}

/// Answers of which so many of a hundred are failures.
fn failing(seed: &mut Seed, percent: u64, count: usize) -> Vec<Answer> {
    let mut answers: Vec<Answer> = (0..count)
        .map(|_| match seed.number(0..100) < percent {
            true => Answer::status(500),
            false => Answer::status(200),
        })
        .collect();
    answers.push(Answer::status(200));
    answers
}

async fn nothing_left(client: &Client, deadline: Duration) {
    ordered_holds(client, 0, deadline).await;
}

/// Waits until so many messages are in ORDERED: deliveries that wait, and the state of each key whose first was tried.
async fn waits_in_order(client: &Client, messages: u64) {
    ordered_holds(client, messages, SOON).await;
}

async fn ordered_holds(client: &Client, messages: u64, deadline: Duration) {
    eventually(deadline, &format!("ORDERED holds {messages}"), async || {
        match client.waiting_in_order().await? {
            there if there == messages => Ok(()),
            other => Err(format!("{other}")),
        }
    })
    .await;
}

struct Form {
    keys: usize,
    events: usize,
    workers: usize,
    kills: usize,
    fail_percent: u64,
}

async fn workers_are_killed(form: Form) {
    let mut seed = Seed::of("order while workers are killed");
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    let count = form.keys * form.events;
    target.script(PATH, failing(&mut seed, form.fail_percent, count));
    client.apply(json!([ordered(&target, json!({}))])).await;
    let mut others = cluster.more_workers(form.workers - 1).await;
    let began = Instant::now();
    let publishing = tokio::spawn({
        let (client, keys, events) = (client.clone(), form.keys, form.events);
        async move { publish(&client, keys, 0..events).await }
    });
    for _ in 0..form.kills {
        pause(seed.millis(500..4_000)).await;
        let victim = usize::try_from(seed.number(0..form.workers as u64)).expect("a small number");
        let victim = match victim {
            0 => cluster.role("delivery"),
            other => &mut others[other - 1],
        };
        victim.kill().await;
        pause(seed.millis(0..2_000)).await;
        victim.restart().await;
    }
    publishing.await.expect("publishing does not panic");
    arrived(&target, count, AFTER_CRASH + Duration::from_millis(10 * count as u64)).await;
    let took = began.elapsed();
    nothing_left(&client, SOON).await;
    let again = check(&target, form.keys, form.events);
    let ledger = client.settled(AFTER_CRASH).await;
    assert_eq!(ledger["delivered"], count, "{ledger}");
    eprintln!(
        "{} keys of {} events, {} workers, {} kills: {:.1} s, {:.0} a second, {} requests, {again} came again after they were taken",
        form.keys,
        form.events,
        form.workers,
        form.kills,
        took.as_secs_f64(),
        count as f64 / took.as_secs_f64(),
        target.count(PATH),
    );
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_keep_their_order_while_targets_fail_and_workers_are_killed() {
    workers_are_killed(Form {
        keys: 20,
        events: 20,
        workers: 2,
        kills: 3,
        fail_percent: 20,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: 100,000 deliveries"]
async fn soak_a_thousand_keys_keep_their_order_while_three_workers_are_killed() {
    workers_are_killed(Form {
        keys: 1_000,
        events: 100,
        workers: 3,
        kills: 12,
        fail_percent: 5,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: 100,000 deliveries"]
async fn soak_a_worker_that_takes_over_a_hundred_thousand_that_wait_goes_on_in_order() {
    const KEYS: usize = 1_000;
    const EVENTS: usize = 100;
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client.apply(json!([ordered(&target, json!({}))])).await;
    client.hold("ordered").await;
    publish(&client, KEYS, 0..EVENTS).await;
    let waiting = async |cluster: &mut Cluster| {
        let metrics = cluster.role("delivery").ask("/metrics").await?.text();
        let line = metrics
            .lines()
            .find(|line| line.starts_with("signalbox_delivery_ordered_waiting"));
        line.map(str::to_owned).ok_or(metrics)
    };
    let all = async |cluster: &mut Cluster| {
        let line = waiting(cluster).await?;
        if line.ends_with(&format!(" {}.0", KEYS * EVENTS)) {
            Ok(())
        } else {
            Err(line)
        }
    };
    eventually(SOON, "the worker knows all", async || all(&mut cluster).await).await;
    cluster.role("delivery").kill().await;
    cluster.role("delivery").restart().await;
    let began = Instant::now();
    eventually(SOON, "the next worker knows all", async || all(&mut cluster).await).await;
    let known = began.elapsed();
    client.resume("ordered").await;
    let resumed = Instant::now();
    arrived(&target, KEYS * EVENTS, Duration::from_secs(300)).await;
    let rate = (KEYS * EVENTS) as f64 / resumed.elapsed().as_secs_f64();
    eprintln!("known after {known:?}, the old lease among it; then {rate:.0} a second");
    assert_eq!(check(&target, KEYS, EVENTS), 0);
    client.settled(AFTER_CRASH).await;
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_is_killed_changes_no_order() {
    let mut seed = Seed::of("order while the router is killed");
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client.apply(json!([ordered(&target, json!({}))])).await;
    let publishing = tokio::spawn({
        let client = client.clone();
        async move { publish(&client, 20, 0..60).await }
    });
    for _ in 0..3 {
        pause(seed.millis(100..600)).await;
        cluster.role("router").kill().await;
        cluster.role("router").restart().await;
    }
    publishing.await.expect("publishing does not panic");
    arrived(&target, 20 * 60, AFTER_CRASH).await;
    assert_eq!(
        check(&target, 20, 60),
        0,
        "no worker was killed, so nothing comes again"
    );
    client.settled(AFTER_CRASH).await;
    nothing_left(&client, SOON).await;
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_frozen_for_longer_than_its_lease_sends_nothing_out_of_order_afterwards() {
    let mut seed = Seed::of("order while a worker is frozen");
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    // Slow enough that requests are in the air when it stops.
    target.script(PATH, [Answer::status(200).after(Duration::from_millis(20))]);
    client.apply(json!([ordered(&target, json!({}))])).await;
    let others = cluster.more_workers(1).await;
    let publishing = tokio::spawn({
        let client = client.clone();
        async move { publish(&client, 40, 0..150).await }
    });
    pause(seed.millis(1_500..2_500)).await;
    let frozen = others[0].pid().expect("it runs");
    signal(frozen, Signal::STOP);
    pause(Duration::from_secs(14)).await;
    signal(frozen, Signal::CONT);
    publishing.await.expect("publishing does not panic");
    arrived(&target, 40 * 150, AFTER_CRASH).await;
    let again = check(&target, 40, 150);
    eprintln!("{again} came again");
    assert!(again <= 40, "one of each key at most: {again}");
    client.settled(AFTER_CRASH).await;
    nothing_left(&client, SOON).await;
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_order_ends_with_its_integration_and_a_discarded_first_lets_the_others_go() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    target.script(PATH, [Answer::status(500), Answer::status(200)]);
    let retry = json!({ "retry": { "schedule": ["1h"] } });
    client.apply(json!([ordered(&target, retry)])).await;
    publish(client, 1, 0..3).await;
    waits_in_order(client, 4).await;
    let first = client.delivery("k0-0", "retrying", SOON).await;
    client
        .act("/v1/deliveries/discard", json!({ "ids": [first["id"]] }))
        .await;
    arrived(&target, 2, SOON).await;
    assert_eq!(sequence(&target), [0, 1, 2]);
    nothing_left(client, SOON).await;
    client.hold("ordered").await;
    publish(client, 3, 3..6).await;
    waits_in_order(client, 9).await;
    let answer = client
        .request("DELETE", "/v1/integrations/ordered?discard=true", None)
        .await;
    assert!((200..300).contains(&answer.status), "{}", answer.text());
    nothing_left(client, SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["delivered"], &ledger["discarded"]),
        (&json!(2), &json!(10)),
        "{ledger}"
    );
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_nats_server_changes_no_order() {
    let mut seed = Seed::of("order while nats-server is killed");
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client.apply(json!([ordered(&target, json!({}))])).await;
    publish(&client, 20, 0..20).await;
    for round in 1..4 {
        pause(seed.millis(0..400)).await;
        cluster.server.kill().await;
        pause(seed.millis(0..1_500)).await;
        cluster.server.restart().await;
        eventually(SOON, "events are taken", async || {
            let body = event(99, round).to_string().into_bytes();
            let answer = client
                .try_post_event("", &[("content-type", "application/json")], body)
                .await?;
            if answer.status == 202 {
                Ok(())
            } else {
                Err(answer.text())
            }
        })
        .await;
        publish(&client, 20, 20 * round..20 * (round + 1)).await;
    }
    arrived(&target, 20 * 80 + 3, AFTER_CRASH).await;
    let mut by_key: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for received in target.received(PATH) {
        let (key, n) = place(&received.event);
        by_key.entry(key).or_default().push(n);
    }
    assert_eq!(
        by_key.remove("k99").map(|mut order| {
            order.dedup();
            order
        }),
        Some(vec![1, 2, 3])
    );
    for (key, mut order) in by_key {
        order.dedup();
        assert_eq!(order, (0..80).collect::<Vec<_>>(), "{key}");
    }
    client.settled(AFTER_CRASH).await;
    nothing_left(&client, SOON).await;
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limit_holds_what_goes_in_order_too() {
    const LIMIT: usize = 10;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let limit = json!({ "rate_limit": { "per_minute": LIMIT } });
    client.apply(json!([ordered(&target, limit)])).await;
    publish(client, 5, 0..8).await;
    target.wait_for(PATH, 1, SOON).await;
    // Without the limit all would come within this time.
    pause(Duration::from_secs(3)).await;
    let mut by_minute: BTreeMap<u64, usize> = BTreeMap::new();
    let mut by_key: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for received in target.received(PATH) {
        let since = received.wall.duration_since(std::time::UNIX_EPOCH);
        let secs = since.expect("it is later than 1970").as_secs();
        *by_minute.entry(secs / 60).or_default() += 1;
        let (key, n) = place(&received.event);
        by_key.entry(key).or_default().push(n);
    }
    // A request that begins at the end of a minute may come in the next.
    assert!(by_minute.values().all(|count| *count <= LIMIT + 1), "{by_minute:?}");
    for (key, order) in by_key {
        assert_eq!(order, (0..order.len()).collect::<Vec<_>>(), "{key}");
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_dead_or_outcomes_is_full_no_target_is_called_again_and_keys_wait() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client.apply(json!([ordered(&target, json!({}))])).await;
    // Some letter must be there for DEAD to be full.
    target.script(PATH, [Answer::status(422), Answer::status(422), Answer::status(200)]);
    publish(client, 1, 0..1).await;
    eventually(SOON, "one dead letter", async || {
        match client.messages("DEAD").await? {
            1 => Ok(()),
            other => Err(format!("{other}")),
        }
    })
    .await;
    let full = Bounded::at(client, "DEAD", 1).await;
    publish(client, 1, 1..3).await;
    target.wait_for(PATH, 2, SOON).await;
    // Longer than the wait before it is filed again.
    pause(Duration::from_secs(11)).await;
    assert_eq!(sequence(&target), [0, 1], "its key waits until it is filed");
    full.lift().await;
    arrived(&target, 1, SOON).await;
    assert_eq!(sequence(&target), [0, 1, 2]);
    nothing_left(client, SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["delivered"], &ledger["dead"]),
        (&json!(1), &json!(2)),
        "{ledger}"
    );

    let stored = client.messages("OUTCOMES").await.expect("OUTCOMES is there");
    let full = Bounded::at(client, "OUTCOMES", stored).await;
    publish(client, 3, 3..5).await;
    target.wait_for(PATH, 4, SOON).await;
    pause(Duration::from_secs(3)).await;
    let before = target.count(PATH);
    assert!(before <= 6, "at most one of each key before it is known: {before}");
    full.lift().await;
    arrived(&target, 1 + 6, SOON).await;
    assert_eq!(target.repeats(PATH), 0, "nothing comes twice");
    nothing_left(client, SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], 7, "{ledger}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_and_resumed_integration_keeps_the_order() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client.apply(json!([ordered(&target, json!({}))])).await;
    publish(client, 5, 0..5).await;
    arrived(&target, 25, SOON).await;
    client.hold("ordered").await;
    let before = target.count(PATH);
    publish(client, 5, 5..15).await;
    waits_in_order(client, 50).await;
    assert_eq!(target.count(PATH), before, "nothing goes while it is paused");
    let path = "/v1/integrations/ordered/resume";
    client.post(path, json!({ "rate": 20 })).await;
    let resumed = Instant::now();
    arrived(&target, 75, SOON).await;
    let took = resumed.elapsed();
    assert!(took >= Duration::from_millis(1_800), "50 at 20 a second took {took:?}");
    assert_eq!(check(&target, 5, 15), 0);
    // What is too old is dropped on request, and the ledger says so.
    client.hold("ordered").await;
    publish(client, 5, 15..16).await;
    waits_in_order(client, 5).await;
    pause(Duration::from_millis(1_200)).await;
    client.post(path, json!({ "drop_older_than": "1s" })).await;
    nothing_left(client, SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["delivered"], &ledger["discarded"]),
        (&json!(75), &json!(5)),
        "{ledger}"
    );
    up.stop().await;
}

/// One key whose second event is refused for good.
async fn one_dies(more: Value) -> (Up, Target, Value) {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    target.script(PATH, [Answer::status(200), Answer::status(422), Answer::status(200)]);
    client.apply(json!([ordered(&target, more)])).await;
    publish(client, 1, 0..4).await;
    let letter = eventually(SOON, "one dead letter", async || {
        match client.dead_letters("?integration=ordered").await.as_slice() {
            [letter] => Ok(letter.clone()),
            other => Err(format!("{}", other.len())),
        }
    })
    .await;
    (up, target, letter)
}

fn sequence(target: &Target) -> Vec<usize> {
    target
        .received(PATH)
        .iter()
        .map(|received| place(&received.event).1)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_delivery_lets_those_behind_it_go_unless_it_is_to_hold_them() {
    let (up, target, letter) = one_dies(json!({})).await;
    arrived(&target, 3, SOON).await;
    assert_eq!(sequence(&target), [0, 1, 2, 3]);
    // Replayed, it goes once more, and nothing else does.
    let ids = json!({ "ids": [letter["id"]] });
    up.client().post("/v1/dead-letters/replay", ids).await;
    arrived(&target, 4, SOON).await;
    assert_eq!(sequence(&target), [0, 1, 2, 3, 1]);
    let ledger = up.client().settled(SOON).await;
    assert_eq!(ledger["delivered"], 4, "{ledger}");
    nothing_left(up.client(), SOON).await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_key_goes_on_with_the_replay_of_its_dead_letter_first() {
    let (up, target, letter) = one_dies(json!({ "order_on_dead": "hold" })).await;
    let client = up.client();
    waits_in_order(client, 3).await;
    pause(Duration::from_secs(1)).await;
    assert_eq!(sequence(&target), [0, 1], "nothing behind it goes");
    client
        .post("/v1/dead-letters/replay", json!({ "ids": [letter["id"]] }))
        .await;
    arrived(&target, 4, SOON).await;
    assert_eq!(sequence(&target), [0, 1, 1, 2, 3]);
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], 4, "{ledger}");
    nothing_left(client, SOON).await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_key_goes_on_when_its_dead_letter_is_discarded() {
    let (up, target, letter) = one_dies(json!({ "order_on_dead": "hold" })).await;
    let client = up.client();
    waits_in_order(client, 3).await;
    assert_eq!(sequence(&target), [0, 1], "nothing behind it goes");
    client
        .post("/v1/dead-letters/discard", json!({ "ids": [letter["id"]] }))
        .await;
    arrived(&target, 3, SOON).await;
    assert_eq!(sequence(&target), [0, 1, 2, 3]);
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["delivered"], &ledger["discarded"]),
        (&json!(3), &json!(1)),
        "{ledger}"
    );
    nothing_left(client, SOON).await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_integration_comes_back_by_the_probe_of_one_key_and_keeps_the_order() {
    let mut settings = settings();
    settings.insert("SIGNALBOX_DELIVERY__PROBE_FIRST_S".to_owned(), "2".to_owned());
    let up = Up::start_with(settings).await;
    let target = Target::start().await;
    let client = up.client();
    client.apply(json!([ordered(&target, json!({}))])).await;
    // The first of the requests that follow says that the target is gone, and so does the first probe.
    target.script(PATH, [Answer::status(410), Answer::status(410), Answer::status(200)]);
    publish(client, 1, 0..1).await;
    eventually(SOON, "it is suspended", async || {
        let integration = client.integration("ordered").await;
        if integration["status"] == "error" {
            Ok(())
        } else {
            Err(integration.to_string())
        }
    })
    .await;
    publish(client, 4, 1..3).await;
    publish(client, 1, 3..4).await;
    arrived(&target, 1 + 8 + 1, SOON).await;
    let mut by_key: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for received in target.received(PATH) {
        let (key, n) = place(&received.event);
        by_key.entry(key).or_default().push(n);
    }
    let mut first = by_key.remove("k0").expect("its key has come");
    assert_eq!(first.iter().filter(|n| **n == 0).count(), 3, "{first:?}");
    first.dedup();
    assert_eq!(first, [0, 1, 2, 3]);
    assert!(by_key.values().all(|order| *order == [1, 2]), "{by_key:?}");
    client.settled(SOON).await;
    nothing_left(client, SOON).await;
    up.stop().await;
}
