//! Events kept in buckets, of a store that nobody here wrote and of a double that checks tokens.
//!
//! The invariant: each accepted event is in exactly one object, under a key as its template says, whatever was killed and
//! whichever answer was lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};
use time::{Date, OffsetDateTime};

use crate::harness::{
    Load, Up, eventually, pause,
    store::{ACCOUNT, Amazon, Google, Key, Stored, Wire},
};

const PER_SECOND: u64 = 1_000;
/// Events of a batch at most.
const BATCH: usize = 100;
/// What a killed system's work takes to come again, and all of it to be written.
const LATER: Duration = Duration::from_secs(180);
/// How long the system runs under load until it is killed: in the midst of windows and writes.
const KILLED_AFTER: Duration = Duration::from_secs(3);
/// How the provider's README says that it is set up.
const README: &str = include_str!("../../shared/providers/src/s3/README.md");

/// The policy of the README.
fn policy() -> &'static str {
    let (_, behind) = README.split_once("```json\n").expect("a block of JSON");
    behind.split_once("```").expect("the end of the block").0
}

fn archive(provider: &str, mut config: Value, credentials: &Value, more: &Value) -> Value {
    let members = config.as_object_mut().expect("an object");
    members.extend(more.as_object().expect("an object").clone());
    json!({
        "name": "archive", "provider": provider, "events": ["tick"], "config": config, "credentials": credentials,
        "batch": { "window": "10s", "events_max": BATCH },
        "retry": { "schedule": ["1s", "1s", "1s", "1s", "1s", "1s"] },
    })
}

fn at_amazon(store: &str, key: &Key, more: &Value) -> Value {
    let config = json!({ "bucket": "acme-events", "endpoint": store, "prefix": "signalbox" });
    let credentials = json!({ "access_key_id": key.id, "secret_access_key": key.secret });
    archive("s3", config, &credentials, more)
}

fn at_google(store: &str, account: &str, more: &Value) -> Value {
    let config = json!({ "bucket": "acme-events", "endpoint": store });
    archive("gcs", config, &json!({ "service_account": account }), more)
}

/// How often each event stands in an object.
fn counted(objects: &BTreeMap<String, Stored>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (key, object) in objects {
        assert!(object.lines.ends_with('\n'), "{key}");
        for line in object.lines.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{key}: {error}: {line}"));
            let id = line["id"].as_str().expect("an event has an id").to_owned();
            *counts.entry(id).or_default() += 1;
        }
    }
    counts
}

/// Publishes events to one archive while the system is killed again and again, and gives what is kept in the end: each event
/// in one object.
async fn each_event_is_kept_once(
    archive: Value,
    wire: &Wire,
    events: usize,
    kills: usize,
    objects: impl AsyncFn() -> BTreeMap<String, Stored>,
) -> BTreeMap<String, Stored> {
    let mut up = Up::start().await;
    up.client().apply(json!([archive])).await;
    let load = Load::start(up.client(), "tick", Some("kept"), PER_SECOND, events);
    for _ in 0..kills {
        pause(KILLED_AFTER).await;
        up.kill().await;
        up.restart().await;
    }
    let published: BTreeSet<String> = load.finish().await.ids.into_iter().collect();
    assert_eq!(published.len(), events);
    eventually(LATER, "all events are kept", async || {
        pause(Duration::from_secs(1)).await;
        match counted(&objects().await).len() {
            kept if kept == events => Ok(()),
            fewer => Err(format!("{fewer}; {:?}", wire.answers())),
        }
    })
    .await;
    up.client().settled(LATER).await;
    let kept = objects().await;
    let counts = counted(&kept);
    assert!(counts.keys().eq(published.iter()), "other events than were published");
    let several: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
    assert!(several.is_empty(), "in several objects: {several:?}");
    assert!(kept.len() < events / 10, "{} objects are no batches", kept.len());
    let answers = wire.answers();
    assert!(answers.lost > 0, "no answer was lost: {answers:?}");
    // Whoever does not know that an object is kept writes it again, and is told.
    let again = answers.statuses.get("412").copied().unwrap_or_default();
    assert!(again >= answers.lost, "{answers:?}");
    assert_eq!(answers.statuses.get("200"), Some(&kept.len()), "{answers:?}");
    up.stop().await;
    kept
}

/// The days on which a test runs.
fn days(began: Date) -> [String; 2] {
    let day = |date: Date| format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day());
    [began, OffsetDateTime::now_utc().date()].map(day)
}

fn is_delivery(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.len() == 22 && text.bytes().all(is_plain)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_events_in_batches_are_each_in_exactly_one_object_though_the_system_is_killed() {
    let began = OffsetDateTime::now_utc().date();
    let store = Amazon::start("acme-events", policy()).await;
    let wire = Wire::start(store.url()).await;
    let more = json!({
        "key_template": "type={type}/dt={yyyy}-{mm}-{dd}/{delivery}.jsonl", "compression": "gzip",
        "storage_class": "STANDARD_IA",
    });
    let archive = at_amazon(wire.url(), store.key(), &more);
    let kept = each_event_is_kept_once(archive, &wire, 10_000, 2, async || store.objects().await).await;
    for (key, object) in &kept {
        let parts: Vec<&str> = key.split('/').collect();
        let ["signalbox", "type=tick", day, name] = parts[..] else {
            panic!("{key}")
        };
        let day = day.strip_prefix("dt=").expect("a day");
        assert!(days(began).iter().any(|known| known == day), "{key}");
        assert!(name.strip_suffix(".jsonl.gz").is_some_and(is_delivery), "{key}");
        assert!(object.lines.lines().count() <= BATCH, "{key}");
        assert_eq!(
            (&*object.content_type, &*object.class),
            ("application/gzip", "STANDARD_IA"),
            "{key}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_at_google_are_each_in_exactly_one_object_though_the_system_is_killed() {
    let store = Google::start("acme-events").await;
    let wire = Wire::start(store.url()).await;
    let archive = at_google(wire.url(), ACCOUNT, &json!({ "storage_class": "NEARLINE" }));
    let kept = each_event_is_kept_once(archive, &wire, 5_000, 1, async || store.objects().await).await;
    for (key, object) in &kept {
        let parts: Vec<&str> = key.split('/').collect();
        let ["default", "tick", year, month, day, hour, name] = parts[..] else {
            panic!("{key}")
        };
        let is_number = |text: &str, digits: usize| text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
        assert!(
            is_number(year, 4) && [month, day, hour].iter().all(|part| is_number(part, 2)),
            "{key}"
        );
        assert!(name.strip_suffix(".jsonl").is_some_and(is_delivery), "{key}");
        assert_eq!(
            (&*object.content_type, &*object.class),
            ("application/x-ndjson", "NEARLINE"),
            "{key}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_finds_what_is_wrong_with_a_key_and_leaves_no_object() {
    let (amazon, google) = (
        Amazon::start("acme-events", policy()).await,
        Google::start("acme-events").await,
    );
    let up = Up::start().await;
    let key = amazon.key().clone();
    let wrong = Key {
        secret: "a-secret-that-was-replaced".to_owned(),
        ..key.clone()
    };
    let unknown = Key {
        id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        ..key.clone()
    };
    let stranger = ACCOUNT.replace("signalbox@", "stranger@");
    let none = json!({});
    let cases = [
        (at_amazon(amazon.url(), &key, &none), None),
        (at_amazon(amazon.url(), &wrong, &none), Some("SignatureDoesNotMatch")),
        (at_amazon(amazon.url(), &unknown, &none), Some("InvalidAccessKeyId")),
        (at_google(google.url(), ACCOUNT, &none), None),
        (
            at_google(google.url(), &stranger, &none),
            Some("AuthenticationRequired"),
        ),
        (
            at_google(google.url(), ACCOUNT, &json!({ "bucket": "another" })),
            Some("NoSuchBucket"),
        ),
    ];
    for (number, (mut integration, why)) in cases.into_iter().enumerate() {
        let name = format!("archive-{number}");
        integration["name"] = name.clone().into();
        up.client().apply(json!([integration])).await;
        let answer = up
            .client()
            .post(&format!("/v1/integrations/{name}/test"), json!({}))
            .await;
        let status = if why.is_none() { "success" } else { "failed" };
        assert_eq!(answer["status"], status, "{answer}");
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(message.contains(why.unwrap_or_default()), "{answer}");
    }
    assert!(amazon.objects().await.is_empty());
    assert!(google.objects().await.is_empty());
    up.stop().await;
}
