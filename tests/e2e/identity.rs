//! An event is (org, source, id), whatever happens to its publish.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use crate::harness::{Cluster, Load, Publish, Seed, Target, Up, eventually, pause};

const SOON: Duration = Duration::from_secs(20);
/// What a killed worker held comes again after this; see the consumers' ack wait.
const AFTER_CRASH: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_id_in_another_org_or_source_is_another_event_and_the_same_triple_is_one() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let integration = |org: &str| {
        json!({
            "name": "all", "org": org, "provider": "webhook", "events": [">"],
            "config": { "url": target.url(&format!("/{org}")) },
        })
    };
    client
        .apply(json!([
            integration("acme"),
            integration("umbra"),
            integration("default")
        ]))
        .await;
    for _ in 0..2 {
        for (org, source) in [("acme", "/one"), ("acme", "/two"), ("umbra", "/one")] {
            let subject = format!("signalbox.in.{org}.order.placed");
            client
                .publish(Publish::to(&subject, "{}").id("same").header("ce-source", source))
                .await;
        }
    }
    // The same over HTTP, where the org is the key's or named in the URL; the source defaults to it.
    for (query, source) in [("", "/three"), ("", "/three"), ("?org=umbra", "/one")] {
        let event = json!({ "type": "order.placed", "id": "same", "source": source, "data": {} });
        let answer = client
            .post_event(query, &[("content-type", "application/json")], event.to_string().into())
            .await;
        assert_eq!(
            (answer.status, answer.json()),
            (202, json!({ "events": [{ "id": "same" }] }))
        );
    }
    client.publish(Publish::of("order.placed", &json!({})).id("last")).await;
    target.wait_for_events("/default", 2, SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["events"], &ledger["delivered"]),
        (&json!(5), &json!(5)),
        "{ledger}"
    );
    assert_eq!(
        (target.count("/acme"), target.count("/umbra"), target.count("/default")),
        (2, 1, 2)
    );
    let deliveries: std::collections::BTreeSet<String> = ["/acme", "/umbra", "/default"]
        .iter()
        .flat_map(|path| target.received(path))
        .map(|request| request.delivery().to_owned())
        .collect();
    assert_eq!(deliveries.len(), 5, "each delivery has an id of its own");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_without_an_id_is_one_event_also_when_ingest_is_killed_while_it_takes_it() {
    let mut seed = Seed::of("no id");
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client
        .apply(json!([{
            "name": "all", "provider": "webhook", "events": ["tick"], "config": { "url": target.url("/all") },
        }]))
        .await;
    let load = Load::start(&client, "tick", None, 500, 1_500);
    for _ in 0..2 {
        pause(seed.millis(300..1_200)).await;
        cluster.role("ingest").kill().await;
        cluster.role("ingest").restart().await;
    }
    let accepted = load.finish().await;
    assert_eq!(accepted.tried_again, 0, "the server was there all the time");
    target.wait_for_events("/all", accepted.len(), AFTER_CRASH).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["events"], accepted.len(), "{ledger}");
    let mut by_number: BTreeMap<u64, std::collections::BTreeSet<String>> = BTreeMap::new();
    for request in target.received("/all") {
        let number = request.json()["data"]["n"].as_u64().expect("each event has its number");
        by_number.entry(number).or_default().insert(request.event);
    }
    assert_eq!(by_number.len(), accepted.len());
    let twice: Vec<_> = by_number.iter().filter(|(_, ids)| ids.len() > 1).collect();
    assert!(twice.is_empty(), "inputs that became two events: {twice:?}");
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_of_publishing_ends_in_the_same_event() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client
        .apply(json!([{
            "name": "all", "provider": "webhook", "events": ["form.*"], "config": { "url": target.url("/all") },
        }]))
        .await;
    let data = json!({ "agent_id": "agent-7", "text": "grüße" });
    let event = |id: &str| {
        json!({
            "specversion": "1.0", "id": id, "source": "/here", "type": "form.taken", "time": "2026-01-31T09:30:00Z",
            "data": data,
        })
    };
    let subject = "signalbox.in.default.form.taken";
    client
        .publish(
            Publish::to(subject, event("structured").to_string())
                .header("content-type", "application/cloudevents+json"),
        )
        .await;
    client
        .publish(
            Publish::to(subject, data.to_string())
                .header("ce-specversion", "1.0")
                .header("ce-id", "binary")
                .header("ce-source", "%2Fhere")
                .header("ce-time", "2026-01-31T09:30:00Z"),
        )
        .await;
    client
        .publish(Publish::of("form.taken", &data).header("Nats-Msg-Id", "plain"))
        .await;
    let structured = [("content-type", "application/cloudevents+json")];
    assert_eq!(
        client
            .post_event("", &structured, event("structured-http").to_string().into())
            .await
            .status,
        202
    );
    let binary = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "binary-http"),
        ("ce-source", "/here"),
        ("ce-type", "form.taken"),
        ("ce-time", "2026-01-31T09:30:00Z"),
    ];
    assert_eq!(
        client.post_event("", &binary, data.to_string().into()).await.status,
        202
    );
    let plain = json!({ "type": "form.taken", "id": "plain-http", "data": data });
    let json = [("content-type", "application/json")];
    assert_eq!(client.post_event("", &json, plain.to_string().into()).await.status, 202);

    target.wait_for_events("/all", 6, SOON).await;
    for request in target.received("/all") {
        let body = request.json();
        assert_eq!((&body["type"], &body["data"]), (&json!("form.taken"), &data), "{body}");
        if !request.event.starts_with("plain") {
            assert_eq!(body["timestamp"], "2026-01-31T09:30:00Z", "{body}");
        }
    }
    let unknown = client
        .post_event("", &[("content-type", "text/plain")], b"{}".to_vec())
        .await;
    assert_eq!(unknown.status, 415, "{}", unknown.text());
    eventually(SOON, "an event is found by its id", async || {
        client.trace("structured").await.map(|_| ())
    })
    .await;
    up.stop().await;
}
