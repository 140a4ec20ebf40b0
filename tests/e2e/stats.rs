//! Figures: what was delivered, how fast, and what waits, by time, provider and integration.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Answer, Publish, Target, Up, eventually};

const SOON: Duration = Duration::from_secs(30);
const EVENTS: u64 = 20;
/// Of these, so many are refused once and taken at the second attempt.
const RETRIED: u64 = 5;

async fn publish(up: &Up, count: u64, event_type: &str) {
    for number in 0..count {
        let event = Publish::of(event_type, &json!({ "n": number }));
        up.client().publish(event.id(&format!("{event_type}-{number}"))).await;
    }
}

/// Waits until the figures say so many are delivered, and gives them.
async fn delivered(up: &Up, path: &str, count: u64) -> Value {
    eventually(SOON, "the deliveries are counted", async || {
        let stats = up.client().get(path).await;
        let found = stats["total"]["deliveries"]["delivered"].clone();
        if found == count {
            Ok(stats)
        } else {
            Err(found.to_string())
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_is_counted_once_and_where_it_belongs() {
    let up = Up::start().await;
    let target = Target::start().await;
    up.client()
        .apply(json!([
            {
                "name": "all", "provider": "webhook", "events": ["tick"], "config": { "url": target.url("/all") },
                "retry": { "schedule": ["1s", "1s"] },
            },
            { "name": "bad", "provider": "webhook", "events": ["bad"], "config": { "url": target.url("/bad") } },
            { "name": "held", "provider": "webhook", "events": ["held"], "config": { "url": target.url("/held") } },
        ]))
        .await;
    up.client().hold("held").await;
    let refused = (0..RETRIED).map(|_| Answer::status(503));
    target.script("/all", refused.chain([Answer::status(200)]));
    target.script("/bad", [Answer::status(400)]);
    publish(&up, EVENTS, "tick").await;
    publish(&up, 2, "bad").await;
    publish(&up, 3, "held").await;
    let stats = delivered(&up, "/v1/stats?integration=all", EVENTS).await;
    let total = &stats["total"];
    assert_eq!(
        total["attempts"],
        json!({
            "total": EVENTS + RETRIED, "delivered": EVENTS, "retry": RETRIED, "reject": 0, "suspend": 0,
        }),
        "{stats}"
    );
    assert_eq!(total["deliveries"]["retrying"], 0, "{stats}");
    assert_eq!(
        (&total["rates"]["success"], &total["latency_ms"]["count"]),
        (&json!(1.0), &json!(EVENTS))
    );
    // One in four was repeated after a second.
    let p99 = total["latency_ms"]["p99"].as_f64().unwrap_or_default();
    assert!(p99 > 750.0 && p99 < 20_000.0, "{stats}");
    assert!(
        total["duration_ms"]["p50"].as_f64().is_some_and(|ms| ms < 750.0),
        "{stats}"
    );
    // What waits was counted some seconds ago at most.
    eventually(SOON, "nothing of it waits", async || {
        let stats = up.client().get("/v1/stats?integration=all").await;
        if stats["lag"]["waiting"] == 0 {
            Ok(())
        } else {
            Err(stats["lag"].to_string())
        }
    })
    .await;

    let whole = eventually(SOON, "what died is counted, and what waits is seen", async || {
        let stats = up.client().get("/v1/stats").await;
        let (dead, waiting) = (&stats["total"]["deliveries"]["dead"], &stats["lag"]["waiting"]);
        if *dead == 2 && *waiting == 3 {
            Ok(stats)
        } else {
            Err(stats.to_string())
        }
    })
    .await;
    assert_eq!(whole["providers"][0]["provider"], "webhook", "{whole}");
    assert_eq!(whole["providers"][0]["figures"], whole["total"]);
    assert_eq!(whole["providers"][0]["lag"], whole["lag"]);
    assert_eq!(whole["lag"]["parked"], 3, "{whole}");
    assert!(whole["lag"]["oldest_age_s"].is_u64(), "{whole}");
    let names: Vec<&Value> = whole["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| &item["name"])
        .collect();
    assert_eq!(names, ["all", "bad", "held"]);
    assert_eq!(whole["items"][1]["figures"]["attempts"]["reject"], 2, "{whole}");
    assert_eq!(whole["items"][2]["lag"]["waiting"], 3, "{whole}");
    assert_eq!((&whole["has_gaps"], &whole["series"]), (&json!(false), &json!([])));

    // Page by page it is the same.
    let first = up.client().get("/v1/stats?limit=2").await;
    assert_eq!(
        (&first["items"][0], &first["items"][1]),
        (&whole["items"][0], &whole["items"][1])
    );
    let cursor = first["next_cursor"].as_str().expect("there is more");
    let second = up.client().get(&format!("/v1/stats?limit=2&cursor={cursor}")).await;
    assert_eq!(second["items"], json!([whole["items"][2]]));
    assert_eq!(second["next_cursor"], Value::Null);

    // The parts of a series are the whole.
    for group in ["hour", "day", "week"] {
        let stats = up.client().get(&format!("/v1/stats?since=2d&group_by={group}")).await;
        let series = stats["series"].as_array().expect("a list");
        let sum: u64 = series
            .iter()
            .filter_map(|part| part["figures"]["deliveries"]["delivered"].as_u64())
            .sum();
        assert_eq!(sum, EVENTS, "{stats}");
        assert_eq!(series[0]["since"], stats["since"], "{group}");
        assert_eq!(series[series.len() - 1]["until"], stats["until"], "{group}");
    }
    // Another org has none of it, and a past window neither.
    let foreign = up.client().get("/v1/stats?org=other").await;
    assert_eq!(
        (&foreign["total"]["attempts"]["total"], &foreign["items"]),
        (&json!(0), &json!([]))
    );
    assert_eq!(foreign["lag"]["waiting"], 0, "{foreign}");
    let past = up.client().get("/v1/stats?since=30d&until=10d").await;
    assert_eq!(
        past["total"]["latency_ms"],
        json!({ "count": 0, "p50": null, "p90": null, "p99": null })
    );

    let told = up
        .client()
        .command_json(&["stats", "--integration", "all", "--since", "1h"])
        .await;
    assert_eq!(told["total"]["deliveries"]["delivered"], EVENTS);
    let (code, text) = up.client().command(&["stats", "--group-by", "day"]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("all (webhook)") && text.contains("DELIVERED"), "{text}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_cannot_be_had_is_refused_by_its_field() {
    let up = Up::start().await;
    for (path, status, field) in [
        ("/v1/stats?since=91d", 400, "since"),
        ("/v1/stats?since=1h&until=2h", 400, "until"),
        ("/v1/stats?since=60d&group_by=hour", 400, "group_by"),
        ("/v1/stats?group_by=month", 400, "group_by"),
        ("/v1/stats?provider=nobody", 400, "provider"),
        ("/v1/stats?limit=0", 400, "limit"),
        ("/v1/stats?cursor=%21", 400, "cursor"),
        ("/v1/stats?integration=nobody", 404, ""),
    ] {
        let answer = up.client().request("GET", path, None).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        let told = answer.json();
        assert_eq!(told["field"].as_str().unwrap_or_default(), field, "{path}: {told}");
    }
    // Quick, also while nothing was looked at yet.
    let began = Instant::now();
    up.client().get("/v1/stats?since=90d&group_by=week").await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    up.stop().await;
}
