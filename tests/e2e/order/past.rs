//! Events of the past, replayed to an integration that asks for an order.

use serde_json::json;

use super::{PATH, SOON, arrived, check, failing, ordered, publish};
use crate::harness::{Seed, Target, Up};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_the_past_are_replayed_in_the_order_of_their_keys() {
    const KEYS: usize = 8;
    const EVENTS: usize = 25;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    publish(client, KEYS, 0..EVENTS).await;
    client.apply(json!([ordered(&target, json!({}))])).await;
    let mut seed = Seed::of("a replay in order");
    target.script(PATH, failing(&mut seed, 10, KEYS * EVENTS));
    let act = client
        .post("/v1/events/replay", json!({ "since": "1h", "to": "ordered" }))
        .await;
    assert_eq!(act["matched"], json!(KEYS * EVENTS), "{act}");
    arrived(&target, KEYS * EVENTS, SOON).await;
    check(&target, KEYS, EVENTS);
    up.stop().await;
}
