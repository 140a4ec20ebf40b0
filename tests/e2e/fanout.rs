//! One event for very many integrations.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Cluster, Load, Target};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_for_thousands_of_integrations_reach_all_and_hold_none_back() {
    const WIDE: usize = 2_000;
    const EVENTS: usize = 30;
    // Far less than it takes until all are stored: a long queue of the router's own is no silent stream.
    let cluster = Cluster::start_with(&[("SIGNALBOX_ROUTER__STALL_MS", "1000")]).await;
    let target = Target::start().await;
    let client = cluster.client();
    let all: Vec<Value> = (0..WIDE)
        .map(|number| {
            json!({
                "name": format!("wide-{number}"), "provider": "webhook", "events": ["tick"],
                "config": { "url": target.url("/wide") },
            })
        })
        .collect();
    for some in all.chunks(500) {
        client.apply(json!(some)).await;
    }
    let states = client
        .messages("KV_SIGNALBOX_STATE")
        .await
        .expect("the bucket can be read");
    Load::start(client, "tick", Some("e"), 1_000, EVENTS).finish().await;
    target.wait_for("/wide", WIDE * EVENTS, Duration::from_secs(180)).await;
    let ledger = client.settled(Duration::from_secs(60)).await;
    assert_eq!(ledger["delivered"], WIDE * EVENTS, "{ledger}");
    assert_eq!(target.count("/wide"), WIDE * EVENTS, "each once");
    // Who is held back has a state from then on.
    let after = client
        .messages("KV_SIGNALBOX_STATE")
        .await
        .expect("the bucket can be read");
    assert!(after < states + 20, "{} integrations were held back", after - states);
}
