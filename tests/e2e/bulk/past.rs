//! Events of the past, sent to one integration: a new one, or one that has had them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{AFTER_CRASH, SOON, act_is, id_of, webhook};
use crate::harness::{Answer, Cluster, Publish, Target, Up, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_the_past_go_to_a_new_integration_once_whatever_kills_the_keeper() {
    const EVENTS: usize = 600;
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client.apply(json!([webhook("old", &["order.placed"], &target)])).await;
    let publish = async |event_type: &str, n: usize| {
        let id = format!("{event_type}-{n}");
        let event = Publish::of(event_type, &json!({ "n": n })).id(&id);
        client.publish(event).await;
    };
    for n in 0..EVENTS {
        publish("order.placed", n).await;
    }
    for n in 0..20 {
        publish("order.packed", n).await;
        publish("bill.due", n).await;
    }
    target.wait_for_events("/old", EVENTS, SOON).await;

    // What it would send is told before: all of the time and type, and those that the integration wants.
    let new = json!({
        "name": "new", "provider": "webhook", "events": ["order.placed"], "config": { "url": target.url("/new") },
        "filter": { "where": "event.data.n < 500" },
    });
    client.apply(json!([new])).await;
    let wanted = |more: Value| {
        let mut body = json!({ "since": "1h", "to": "new" });
        if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
            body.extend(more);
        }
        body
    };
    let counted = client
        .post("/v1/events/replay", wanted(json!({ "dry_run": true })))
        .await;
    assert_eq!(
        (&counted["matched"], &counted["in_range"], &counted["unanswered"]),
        (&json!(500), &json!(EVENTS + 40), &json!(0)),
        "{counted}"
    );
    assert_ne!(counted["available_since"], Value::Null, "{counted}");
    let printed = client
        .command_json(&[
            "replay",
            "--since",
            "1h",
            "--to",
            "new",
            "--type",
            "order.*",
            "--all-types",
            "--dry-run",
        ])
        .await;
    assert_eq!(
        (&printed["matched"], &printed["selected"]),
        (&json!(EVENTS + 20), &json!(500)),
        "{printed}"
    );
    assert_eq!(target.count("/new"), 0, "counting sends nothing");

    let act = client.post("/v1/events/replay", wanted(json!({ "rate": 150 }))).await;
    let id = id_of(&act);
    for part in [50, 200] {
        target.wait_for("/new", part, AFTER_CRASH).await;
        cluster.role("keeper").kill().await;
        cluster.role("keeper").restart().await;
    }
    // Stopped and resumed, too.
    target.wait_for("/new", 350, AFTER_CRASH).await;
    client.post(&format!("/v1/acts/{id}/cancel"), json!({})).await;
    act_is(&client, &id, "cancelled", SOON).await;
    client.post(&format!("/v1/acts/{id}/resume"), json!({})).await;
    let act = act_is(&client, &id, "done", AFTER_CRASH).await;
    assert_eq!(
        (&act["total"], &act["done"], &act["failed"]),
        (&json!(500), &json!(500), &json!(0)),
        "{act}"
    );
    client.settled(AFTER_CRASH).await;
    let by_event = target.by_event("/new");
    assert_eq!(by_event.len(), 500);
    let repeated: Vec<_> = by_event.iter().filter(|(_, count)| **count != 1).collect();
    assert!(repeated.is_empty(), "each is sent once: {repeated:?}");
    assert_eq!(target.count("/old"), EVENTS, "another integration is not concerned");
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_was_delivered_before_comes_again_as_the_same_delivery_and_ends_in_the_same_row() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client.apply(json!([webhook("ops", &["order.placed"], &target)])).await;
    for n in 0..5 {
        client
            .publish(Publish::of("order.placed", &json!({ "n": n })).id(&format!("order-{n}")))
            .await;
    }
    client.publish(Publish::of("bill.due", &json!({})).id("bill")).await;
    target.wait_for("/ops", 5, SOON).await;
    client.settled(SOON).await;

    let replay = async |more: &[&str]| {
        let mut arguments = vec!["replay", "--since", "1h", "--to", "ops"];
        arguments.extend(more);
        client.command_json(&arguments).await
    };
    let act = replay(&[]).await;
    assert_eq!((&act["status"], &act["done"]), (&json!("done"), &json!(5)), "{act}");
    // Twice within a second: each is a replay of its own.
    let act = replay(&[]).await;
    assert_eq!(act["done"], 5, "{act}");
    let received = target.wait_for("/ops", 15, SOON).await;
    let mut deliveries: BTreeMap<&str, usize> = BTreeMap::new();
    for request in &received {
        *deliveries.entry(request.delivery()).or_default() += 1;
    }
    assert!(
        deliveries.len() == 5 && deliveries.values().all(|count| *count == 3),
        "{deliveries:?}"
    );
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (
            &ledger["events"],
            &ledger["deliveries"],
            &ledger["delivered"],
            &ledger["no_route"]
        ),
        (&json!(6), &json!(5), &json!(5), &json!(1)),
        "{ledger}"
    );

    // What failed in a replay is a dead letter, which can be replayed like any other: the newest generation counts.
    target.script("/ops", [Answer::status(400)]);
    replay(&["--type", "order.placed"]).await;
    eventually(SOON, "five dead letters", async || {
        match client.dead_letters("?integration=ops").await.len() {
            5 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["dead"], &ledger["delivered"]),
        (&json!(5), &json!(0)),
        "{ledger}"
    );
    target.script("/ops", [Answer::status(200)]);
    client.command_json(&["dead", "replay", "--integration", "ops"]).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["dead"], &ledger["delivered"]),
        (&json!(0), &json!(5)),
        "{ledger}"
    );

    // An event that matched nothing is owed to nobody, and sent on request.
    let act = replay(&["--type", "bill.>", "--all-types"]).await;
    assert_eq!((&act["total"], &act["done"]), (&json!(1), &json!(1)), "{act}");
    let received = target.wait_for("/ops", 26, SOON).await;
    assert_eq!(received.last().map(|request| request.event.as_str()), Some("bill"));
    client.settled(SOON).await;
    up.stop().await;
}
