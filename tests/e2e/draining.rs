//! A worker that is asked to stop finishes what it has begun.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Answer, Cluster, Load, Seed, Target, Up, pause};

/// Handed back, a message comes again at once; the rest is for a busy machine.
const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_worker_that_is_asked_to_stop_under_load_sends_nothing_twice() {
    let mut seed = Seed::of("graceful stop");
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client
        .apply(json!([{
            "name": "all", "provider": "webhook", "events": ["tick"], "config": { "url": target.url("/all") },
        }]))
        .await;
    // Slow enough that requests are under way at every moment.
    target.script("/all", [Answer::status(200).after(Duration::from_millis(50))]);
    let load = Load::start(&client, "tick", Some("e"), 500, 2_500);
    for _ in 0..3 {
        pause(seed.millis(300..1_200)).await;
        let status = cluster.role("delivery").stop().await;
        assert!(status.success(), "the worker ended with {status}");
        cluster.role("delivery").restart().await;
    }
    let accepted = load.finish().await;
    target.wait_for_events("/all", accepted.len(), SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], accepted.len(), "{ledger}");
    assert_eq!(target.repeats("/all"), 0, "nothing comes twice");
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_that_is_asked_to_stop_under_load_goes_on_where_it_was() {
    let mut up = Up::start().await;
    let target = Target::start().await;
    let client = up.client().clone();
    client
        .apply(json!([{
            "name": "all", "provider": "webhook", "events": ["tick"], "config": { "url": target.url("/all") },
        }]))
        .await;
    target.script("/all", [Answer::status(200).after(Duration::from_millis(20))]);
    let load = Load::start(&client, "tick", Some("e"), 400, 1_200);
    target.wait_for("/all", 200, SOON).await;
    up.interrupt().await;
    assert!(up.servers().is_empty(), "its nats-server stops with it");
    up.restart().await;
    let accepted = load.finish().await;
    target.wait_for_events("/all", accepted.len(), SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], accepted.len(), "{ledger}");
    assert_eq!(target.repeats("/all"), 0, "nothing comes twice");
    up.stop().await;
}
