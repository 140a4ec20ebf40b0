//! Pausing and resuming, as often and as quickly as a person in doubt does it.

use std::time::Duration;

use async_nats::jetstream;
use serde_json::{Value, json};
use signalbox_proto::{Phase, State, subjects, wire};

use crate::harness::{Client, Load, Publish, Seed, Target, Up, eventually, pause};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pause_resume_and_pause_again_under_load_lose_nothing_and_leave_nothing_stuck() {
    pause_and_resume(6, 3_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: many cycles"]
async fn soak_pause_resume_and_pause_again_under_load_lose_nothing() {
    pause_and_resume(crate::harness::seed::soak_rounds() * 5, 60_000).await;
}

/// Two integrations share every event; one of them is paused and resumed at random moments.
async fn pause_and_resume(cycles: u32, events_max: usize) {
    let mut seed = Seed::of("pause and resume");
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let integration = |name: &str| {
        json!({
            "name": name, "provider": "webhook", "events": ["tick"], "config": { "url": target.url(&format!("/{name}")) },
        })
    };
    client.apply(json!([integration("held"), integration("free")])).await;
    let load = Load::start(client, "tick", Some("e"), 400, events_max);
    for _ in 0..cycles {
        pause(seed.millis(20..700)).await;
        assert_eq!(client.hold("held").await["status"], "paused");
        pause(seed.millis(20..700)).await;
        client.resume("held").await;
        if seed.number(0..3) == 0 {
            // In doubt: pressed again while what waited is still on its way out.
            client.hold("held").await;
            client.hold("held").await;
            client.resume("held").await;
            client.resume("held").await;
        }
    }
    let accepted = load.stop().await;
    target.wait_for_events("/free", accepted.len(), SOON).await;
    target.wait_for_events("/held", accepted.len(), SOON).await;
    let ledger = client.settled(SOON).await;
    let owed = 2 * accepted.len();
    assert_eq!(
        (&ledger["deliveries"], &ledger["delivered"]),
        (&json!(owed), &json!(owed)),
        "{ledger}"
    );
    assert_eq!(client.waiting("held").await, Ok((0, 0, 0)));
    assert_eq!(
        (target.repeats("/held"), target.repeats("/free")),
        (0, 0),
        "nothing crashed, so nothing comes twice"
    );
    eprintln!("{} events through {cycles} cycles", accepted.len());
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_integration_gets_nothing_and_all_of_it_at_the_rate_asked_for_when_resumed() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client
        .apply(json!([{
            "name": "held", "provider": "webhook", "events": ["tick"], "config": { "url": target.url("/held") },
        }]))
        .await;
    client.hold("held").await;
    for n in 0..100 {
        client
            .publish(Publish::of("tick", &json!({ "n": n })).id(&format!("e-{n}")))
            .await;
    }
    eventually(SOON, "all of them are parked", async || {
        match client.waiting("held").await? {
            (0, 0, 100) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(target.count("/held"), 0);
    // With a rate, what waits goes at that rate.
    let path = "/v1/integrations/held/resume";
    client.post(path, json!({ "rate": 50 })).await;
    let received = target.wait_for("/held", 100, SOON).await;
    let took = received[99].at - received[0].at;
    assert!(took >= Duration::from_millis(1_500), "100 at 50 a second took {took:?}");
    client.settled(SOON).await;

    // What is too old is dropped on request, and the ledger says so.
    client.hold("held").await;
    client.publish(Publish::of("tick", &json!({})).id("dropped")).await;
    eventually(SOON, "it is parked", async || match client.waiting("held").await? {
        (0, 0, 1) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    pause(Duration::from_millis(1_200)).await;
    client.post(path, json!({ "drop_older_than": "1s" })).await;
    client.delivery("dropped", "discarded", SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["delivered"], &ledger["discarded"]),
        (&json!(100), &json!(1)),
        "{ledger}"
    );
    assert_eq!(target.count("/held"), 100);
    up.stop().await;
}

/// The state of an integration, as workers follow it. It has one once it was held.
async fn state(client: &Client, id: &str) -> State {
    let nats = async_nats::connect(client.nats_url())
        .await
        .expect("NATS takes a connection");
    let bucket = jetstream::new(nats).get_key_value(subjects::STATE).await;
    let bytes = bucket.expect("the bucket is there").get(subjects::state_key(id)).await;
    let bytes = bytes.expect("the bucket answers").expect("it has a state");
    wire::decode(&bytes).expect("a state")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_resumes_again_what_drains_as_asked_changes_and_tells_nothing_and_who_asks_for_another_rate_is_heard() {
    // At a rate of 2 they take longer than this test may.
    const WAITING: u64 = 300;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client
        .apply(json!([{
            "name": "held", "provider": "webhook", "events": ["tick"], "config": { "url": target.url("/held") },
        }]))
        .await;
    let id = client.integration("held").await["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    client.hold("held").await;
    let events: Vec<Value> = (0..WAITING)
        .map(|n| json!({ "type": "tick", "data": { "n": n } }))
        .collect();
    client.post("/v1/events", json!(events)).await;
    eventually(SOON, "all of them are parked", async || {
        match client.waiting("held").await? {
            (0, 0, WAITING) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let path = "/v1/integrations/held/resume";
    let told = async || client.actions("&action=integration.resumed").await.len();

    client.post(path, json!({ "rate": 2 })).await;
    target.wait_for("/held", 2, SOON).await;
    let first = state(client, &id).await;
    assert_eq!((first.phase, first.drain_per_second), (Phase::Draining, Some(2)));
    assert_eq!(told().await, 1);

    // Asked for again, it goes on as it did.
    for _ in 0..3 {
        client.post(path, json!({ "rate": 2 })).await;
    }
    let same = state(client, &id).await;
    assert_eq!(
        (same.phase, same.since, same.drain_per_second),
        (Phase::Draining, first.since, Some(2)),
        "the drain was begun again"
    );
    assert_eq!(told().await, 1, "nothing was changed");

    // Another rate, and none at all, is something else.
    client.post(path, json!({ "rate": 3 })).await;
    let other = state(client, &id).await;
    assert_eq!((other.phase, other.drain_per_second), (Phase::Draining, Some(3)));
    assert!(other.since > first.since, "{other:?}");
    assert_eq!(told().await, 2);
    client.resume("held").await;
    assert_eq!(told().await, 3);
    let all = usize::try_from(WAITING).expect("few");
    target.wait_for("/held", all, SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], all, "{ledger}");
    assert_eq!(target.count("/held"), all, "nothing comes twice");

    // There is nothing left to let go, however it is asked for.
    eventually(SOON, "it has drained", async || match state(client, &id).await.phase {
        Phase::Open => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    for body in [json!({}), json!({ "rate": 7 })] {
        client.post(path, body).await;
    }
    assert_eq!(told().await, 3);
    up.stop().await;
}
