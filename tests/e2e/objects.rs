//! Events kept in a bucket of a store that nobody here wrote.
//!
//! The invariant: each accepted event is in exactly one object, under a key as its template says, whatever was killed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use crate::harness::{Load, Up, eventually, pause, store::Store};

/// How many events are kept.
const EVENTS: usize = 10_000;
const PER_SECOND: u64 = 1_000;
/// What a killed system's work takes to come again, and all of it to be written.
const LATER: Duration = Duration::from_secs(180);

/// How often each event stands in an object.
fn counted(objects: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (key, lines) in objects {
        let text = std::str::from_utf8(lines).expect("lines are UTF-8");
        assert!(text.ends_with('\n'), "{key}");
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{key}: {error}: {line}"));
            let id = line["id"].as_str().expect("an event has an id").to_owned();
            *counts.entry(id).or_default() += 1;
        }
    }
    counts
}

/// `signalbox/<org>/<type>/<yyyy>/<mm>/<dd>/<hh>/<delivery>.jsonl`.
fn check_key(key: &str) {
    let parts: Vec<&str> = key.split('/').collect();
    let ["signalbox", "default", "tick", year, month, day, hour, name] = parts[..] else {
        panic!("{key}")
    };
    let is_number = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    assert!(
        is_number(year, 4) && [month, day, hour].iter().all(|part| is_number(part, 2)),
        "{key}"
    );
    let id = name.strip_suffix(".jsonl").unwrap_or_default();
    assert!(id.len() == 22, "{key}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_events_in_batches_are_each_in_exactly_one_object_though_the_system_is_killed() {
    let store = Store::start("events").await;
    let mut up = Up::start().await;
    let archive = json!({
        "name": "archive", "provider": "s3", "events": ["tick"],
        "config": { "bucket": "events", "endpoint": store.url(), "prefix": "signalbox" },
        "credentials": { "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "a-long-secret-of-an-access-key" },
        "batch": { "window": "10s", "events_max": 100 },
        "retry": { "schedule": ["1s", "1s", "1s", "1s", "1s", "1s"] },
    });
    up.client().apply(json!([archive])).await;
    let load = Load::start(up.client(), "tick", Some("kept"), PER_SECOND, EVENTS);
    // In the midst of windows and writes.
    pause(Duration::from_secs(4)).await;
    up.kill().await;
    up.restart().await;
    let published: BTreeSet<String> = load.finish().await.ids.into_iter().collect();
    assert_eq!(published.len(), EVENTS);
    eventually(LATER, "all events are kept", async || {
        pause(Duration::from_secs(1)).await;
        match counted(&store.objects().await).len() {
            EVENTS => Ok(()),
            fewer => Err(format!("{fewer}")),
        }
    })
    .await;
    up.client().settled(LATER).await;
    let objects = store.objects().await;
    objects.keys().for_each(|key| check_key(key));
    let counts = counted(&objects);
    assert!(counts.keys().eq(published.iter()), "other events than were published");
    let several: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
    assert!(several.is_empty(), "in several objects: {several:?}");
    assert!(objects.len() < EVENTS / 10, "{} objects are no batches", objects.len());
    up.stop().await;
}
