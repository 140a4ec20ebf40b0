//! Events counted at a real Pushgateway, scraped and read as Prometheus does: totals are exact, and never fall.

use std::{collections::BTreeMap, time::Duration};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Client, Cluster, Load, Publish, Pushgateway, Target, Up, eventually, pause, process::signal, pushgateway::Sample,
};

const SOON: Duration = Duration::from_secs(30);
/// A killed worker's deliveries come again after 20 seconds, a failed push after 5 and more.
const LATER: Duration = Duration::from_secs(120);
/// Longer than a lease of totals lasts, shorter than a message may be held without a sign.
const FROZEN: Duration = Duration::from_secs(11);
/// The bucket of totals.
const STATE: &str = "SIGNALBOX_STATE";
/// The bucket of their leases.
const LEASE: &str = "SIGNALBOX_LEASE";

fn integration(name: &str, gateway: &str, events: &[&str]) -> Value {
    json!({
        "name": name, "provider": "prometheus", "events": events,
        "config": { "pushgateway_url": gateway, "job": "e2e/day" },
    })
}

/// The counters of one integration, by name and agent.
fn totals(samples: &[Sample], id: &str) -> BTreeMap<(String, String), u64> {
    let own = samples
        .iter()
        .filter(|sample| sample.label("integration") == id && sample.name.ends_with("_total"));
    own.map(|sample| {
        let key = (sample.name.clone(), sample.label("agent_id").to_owned());
        (key, sample.value as u64)
    })
    .collect()
}

fn row(name: &str, agent: &str, total: u64) -> ((String, String), u64) {
    ((name.to_owned(), agent.to_owned()), total)
}

async fn id(client: &Client, name: &str) -> String {
    let found = client.integration(name).await;
    found["id"].as_str().expect("an id").to_owned()
}

/// Waits until the gateway says exactly this of an integration.
async fn says(gateway: &Pushgateway, id: &str, expected: &[((String, String), u64)], deadline: Duration) {
    let expected: BTreeMap<_, _> = expected.iter().cloned().collect();
    eventually(deadline, "the gateway has these totals", async || {
        match totals(&gateway.scrape().await, id) {
            found if found == expected => Ok(()),
            found => Err(format!("{found:?}, not {expected:?}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_one_killed_and_one_frozen_count_each_event_once_and_no_counter_falls() {
    const TICKS: usize = 4_000;
    let mut cluster = Cluster::start().await;
    let (mut killed, _) = cluster.further("delivery", &[]).await;
    let (mut other, _) = cluster.further("delivery", &[]).await;
    let Some(gateway) = Pushgateway::start().await else {
        return;
    };
    let client = cluster.client().clone();
    client
        .apply(json!([
            integration("all", &gateway.url(), &["tick", "alert.*"]),
            integration("alerts", &gateway.url(), &["alert.created"]),
        ]))
        .await;
    let (all, alerts) = (id(&client, "all").await, id(&client, "alerts").await);
    let load = Load::start(&client, "tick", Some("t"), 250, TICKS);
    for number in 0..40 {
        let agent = format!("we\"ird\\{}", number % 4);
        let data = json!({ "agent_id": agent });
        client
            .publish(Publish::of("alert.created", &data).id(&format!("a-{number}")))
            .await;
    }
    let watching = async {
        let mut before: BTreeMap<(String, String), u64> = BTreeMap::new();
        for _ in 0..70 {
            let now = totals(&gateway.scrape().await, &all);
            for (key, total) in &before {
                assert!(now.get(key) >= Some(total), "{key:?} fell from {total}: {now:?}");
            }
            before = now;
            pause(Duration::from_millis(200)).await;
        }
    };
    let breaking = async {
        pause(Duration::from_secs(2)).await;
        killed.kill().await;
        pause(Duration::from_secs(1)).await;
        killed.restart().await;
        // It wakes with a lease that another has had meanwhile, perhaps just before a push.
        let frozen = other.pid().expect("it runs");
        signal(frozen, Signal::STOP);
        pause(FROZEN).await;
        signal(frozen, Signal::CONT);
    };
    tokio::join!(watching, breaking);
    let accepted = load.finish().await;
    assert_eq!(accepted.len(), TICKS);
    let ledger = client.settled(LATER).await;
    assert_eq!(ledger["delivered"], TICKS + 80, "{ledger}");

    let samples = gateway.scrape().await;
    let of_agents = (0..4).map(|number| row("signalbox_alert_created_total", &format!("we\"ird\\{number}"), 10));
    let of_agents: Vec<_> = of_agents.collect();
    let mut expected: BTreeMap<_, _> = of_agents.iter().cloned().collect();
    assert_eq!(totals(&samples, &alerts), expected);
    expected.extend([row("signalbox_tick_total", "system", TICKS as u64)]);
    assert_eq!(totals(&samples, &all), expected);
    for sample in samples.iter().filter(|sample| sample.name == "signalbox_tick_total") {
        assert_eq!((sample.kind.as_str(), sample.label("job")), ("counter", "e2e/day"));
        assert_eq!(sample.label("org"), "default");
        assert_eq!(sample.help, "Events of the type tick.");
    }
    // Several events share a push.
    let pushes: f64 = samples
        .iter()
        .filter(|sample| sample.name == "pushgateway_http_requests_total" && sample.label("handler") == "push")
        .map(|sample| sample.value)
        .sum();
    assert!(pushes > 1.0 && pushes < TICKS as f64 / 2.0, "{pushes} pushes");
    for worker in [&mut killed, &mut other] {
        worker.assert_alive();
        assert!(worker.stop().await.success());
    }
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_was_away_has_all_totals_again_and_nothing_is_counted_twice() {
    let up = Up::start().await;
    let Some(mut gateway) = Pushgateway::start().await else {
        return;
    };
    let client = up.client();
    client
        .apply(json!([integration("metrics", &gateway.url(), &["build.*"])]))
        .await;
    let id = id(client, "metrics").await;
    let publish = async |event_type: &str, name: String| {
        let publish = Publish::of(event_type, &json!({ "agent_id": "builder" })).id(&name);
        client.publish(publish).await;
    };
    for number in 0..5 {
        publish("build.completed", format!("c-{number}")).await;
    }
    let completed = |total| row("signalbox_build_completed_total", "builder", total);
    says(&gateway, &id, &[completed(5)], SOON).await;

    gateway.kill().await;
    for number in 0..5 {
        publish("build.failed", format!("f-{number}")).await;
    }
    let tried = eventually(SOON, "a push has failed", async || {
        let story = client.trace("f-4").await?;
        match &story["deliveries"][0] {
            delivery if delivery["status"] == "retrying" => Ok(delivery.clone()),
            delivery => Err(delivery.to_string()),
        }
    })
    .await;
    assert_eq!(tried["attempts"], 1, "{tried}");
    gateway.restart().await;
    for number in 0..5 {
        client.delivery(&format!("f-{number}"), "delivered", LATER).await;
    }
    let failed = row("signalbox_build_failed_total", "builder", 5);
    says(&gateway, &id, &[completed(5), failed.clone()], SOON).await;

    // A test asks, and counts nothing. A preview says what a first push would be.
    let test = client.post("/v1/integrations/metrics/test", json!({})).await;
    assert_eq!(
        (&test["status"], &test["response_code"]),
        (&json!("success"), &json!(200)),
        "{test}"
    );
    let preview = client
        .post(
            "/v1/integrations/metrics/preview",
            json!({ "event": { "type": "build.failed", "agent_id": "x" } }),
        )
        .await;
    let request = &preview["requests"][0];
    assert_eq!(request["method"], "PUT", "{preview}");
    let body = request["body_text"].as_str().expect("text");
    assert!(
        body.ends_with("signalbox_build_failed_total{agent_id=\"x\"} 1\n"),
        "{body}"
    );
    says(&gateway, &id, &[completed(5), failed], SOON).await;

    // What a deleted integration has counted goes with it.
    let nats = async_nats::connect(client.nats_url()).await.expect("NATS is there");
    let state = async_nats::jetstream::new(nats)
        .get_key_value(STATE)
        .await
        .expect("the bucket");
    let key = format!("totals.{id}");
    assert!(state.get(&key).await.expect("KV answers").is_some());
    client.settled(SOON).await;
    client.request("DELETE", "/v1/integrations/metrics", None).await.ok();
    eventually(SOON, "its totals are gone", async || {
        match state.get(&key).await.map_err(|error| error.to_string())? {
            None => Ok(()),
            Some(value) => Err(format!("{} bytes", value.len())),
        }
    })
    .await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_the_gateway_refuses_waits_and_is_counted_once() {
    let up = Up::start().await;
    let Some(gateway) = Pushgateway::start().await else {
        return;
    };
    let client = up.client();
    client
        .apply(json!([integration("metrics", &gateway.url(), &["clash"])]))
        .await;
    let id = id(client, "metrics").await;
    // Somebody else's group has a name of ours with another type.
    let theirs = "# TYPE signalbox_clash_total gauge\nsignalbox_clash_total 1\n";
    let put = gateway
        .request("PUT", "/metrics/job/theirs", theirs)
        .await
        .expect("an answer");
    assert_eq!(put.status, 200, "{}", put.text());
    client.publish(Publish::of("clash", &json!({})).id("c-1")).await;
    let refused = eventually(SOON, "the push is refused", async || {
        let story = client.trace("c-1").await?;
        match &story["deliveries"][0] {
            delivery if delivery["response_code"] == 400 => Ok(delivery.clone()),
            delivery => Err(delivery.to_string()),
        }
    })
    .await;
    let why = refused["error_message"].as_str().unwrap_or_default();
    assert!(why.contains("another type"), "{refused}");
    let gone = gateway
        .request("DELETE", "/metrics/job/theirs", "")
        .await
        .expect("an answer");
    assert_eq!(gone.status, 202, "{}", gone.text());
    client.delivery("c-1", "delivered", LATER).await;
    says(&gateway, &id, &[row("signalbox_clash_total", "system", 1)], SOON).await;

    // An address that is no gateway's: a test says so.
    let target = Target::start().await;
    target.script("/api/v1/status", [crate::harness::Answer::status(404)]);
    client
        .apply(json!([integration("wrong", &target.url(""), &["nothing"])]))
        .await;
    let test = client.post("/v1/integrations/wrong/test", json!({})).await;
    assert_eq!(
        (&test["status"], &test["response_code"]),
        (&json!("failed"), &json!(404)),
        "{test}"
    );
    assert_eq!(target.count("/api/v1/status"), 1);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_the_lease_of_its_totals_uses_up_no_attempt() {
    let up = Up::start().await;
    let gateway = Target::start().await;
    let client = up.client();
    let mut metrics = integration("metrics", &gateway.url(""), &["tick"]);
    metrics["retry_count"] = json!(1);
    client.apply(json!([metrics])).await;
    let id = id(client, "metrics").await;
    let nats = async_nats::connect(client.nats_url()).await.expect("NATS is there");
    let jetstream = async_nats::jetstream::new(nats);
    let leases = jetstream.get_key_value(LEASE).await.expect("the bucket");
    let key = format!("totals.{id}");
    leases.put(&key, "another worker".into()).await.expect("a lease");
    client.publish(Publish::of("tick", &json!({})).id("t-1")).await;
    // With a step of the schedule for each, the second wait would be its end.
    let mut seen = std::collections::BTreeSet::new();
    eventually(LATER, "it has waited for the lease twice", async || {
        let story = client.trace("t-1").await?;
        let delivery = &story["deliveries"][0];
        assert_eq!(delivery["attempts"], 0, "{delivery}");
        seen.extend(delivery["next_attempt_at"].as_str().map(str::to_owned));
        match seen.len() {
            2.. => Ok(()),
            _ => Err(delivery.to_string()),
        }
    })
    .await;
    leases.purge(&key).await.expect("it is given back");
    let delivered = client.delivery("t-1", "delivered", LATER).await;
    assert_eq!(delivered["attempts"], 1, "{delivered}");
    assert_eq!(gateway.received_below("/metrics/").len(), 1);
    up.stop().await;
}
