//! Where workers know something else than the database, `doctor` says so, and `doctor --repair` makes the database count.

use std::{path::Path, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use signalbox_proto::{Integration, Key, Timestamp, integration::Status, subjects, types::Registered, wire};

use crate::harness::{Client, Publish, Target, Up, client::try_request, eventually, on_postgres};

const SOON: Duration = Duration::from_secs(30);
/// The database with what SQLite keeps beside it.
const FILES: [&str; 3] = ["signalbox.db", "signalbox.db-wal", "signalbox.db-shm"];

fn hook(target: &Target, name: &str) -> Value {
    json!({
        "name": name,
        "provider": "webhook",
        "config": { "url": target.url(&format!("/{name}")) },
        "events": ["alert.*"],
    })
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for file in FILES {
        if to.join(file).exists() {
            std::fs::remove_file(to.join(file)).expect("a file can be removed");
        }
        if from.join(file).exists() {
            std::fs::copy(from.join(file), to.join(file)).expect("a file can be copied");
        }
    }
}

/// What `doctor` says of differences.
async fn differences(client: &Client) -> Vec<String> {
    let report = client.get("/v1/doctor").await;
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    let of_drift = findings
        .iter()
        .filter(|finding| finding["remedy"].as_str().unwrap_or_default().contains("--repair"));
    of_drift
        .map(|finding| finding["what"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_older_database_was_put_back_it_counts_and_nothing_that_workers_know_is_thrown_away() {
    if on_postgres() {
        eprintln!("skipped: it is about the file of SQLite");
        return;
    }
    let mut up = Up::start().await;
    let client = up.client().clone();
    let target = Target::start().await;
    client
        .apply(json!([hook(&target, "changed"), hook(&target, "held")]))
        .await;
    let ended = client
        .post(
            "/v1/api-keys",
            json!({ "name": "ended", "scopes": ["integrations:read"] }),
        )
        .await;
    assert_eq!(differences(&client).await, Vec::<String>::new());
    up.interrupt().await;
    let backup = up.data_dir().join("backup");
    copy(&up.data_dir(), &backup);

    up.restart().await;
    let patch = json!({ "events": ["build.*"] });
    client
        .request("PATCH", "/v1/integrations/changed", Some(patch))
        .await
        .ok();
    client.apply(json!([hook(&target, "later")])).await;
    client.hold("held").await;
    let of_ended = format!("/v1/api-keys/{}", ended["id"].as_str().unwrap_or_default());
    client.request("DELETE", &of_ended, None).await.ok();
    let key = client.post(
        "/v1/api-keys",
        json!({ "name": "later", "scopes": ["integrations:read"] }),
    );
    let key = key.await;
    let later = client.integration("later").await["id"].clone();
    up.interrupt().await;
    copy(&backup, &up.data_dir());

    up.restart().await;
    let told = differences(&client).await;
    assert_eq!(told.len(), 5, "{told:#?}");
    let (status, text) = client.command(&["doctor"]).await;
    assert_eq!(status, 1, "{text}");
    let (status, text) = client.command(&["doctor", "--repair", "--output", "json"]).await;
    assert_eq!(status, 1, "{text}");
    let repaired: Value = serde_json::from_str(&text).expect("JSON");
    // What was ended since is not brought back: a person ends it here, too.
    let left = repaired["left"].as_array().cloned().unwrap_or_default();
    assert_eq!(left.len(), 1, "{repaired}");
    assert!(
        left[0]["reason"]
            .as_str()
            .unwrap_or_default()
            .contains("was revoked since"),
        "{repaired}"
    );
    let headers = [(
        "authorization",
        format!("Bearer {}", ended["key"].as_str().unwrap_or_default()),
    )];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let refused = try_request(client.api(), "GET", "/v1/integrations", &headers, Vec::new()).await;
    assert_eq!(refused.expect("an answer").problem(401), "bad_key");
    client.request("DELETE", &of_ended, None).await.ok();
    let (status, text) = client.command(&["doctor", "--repair"]).await;
    assert_eq!(status, 0, "{text}");
    let how: Vec<&str> = repaired["repaired"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|drift| drift["how"].as_str())
        .collect();
    assert_eq!(how, ["unknown", "ahead", "unknown", "held"], "{repaired}");
    assert_eq!(differences(&client).await, Vec::<String>::new());

    // The database counts: what was changed and held after the backup is as it was.
    client.publish(Publish::of("alert.created", &json!({})).id("one")).await;
    for name in ["changed", "held", "later"] {
        target.wait_for(&format!("/{name}"), 1, SOON).await;
    }
    assert_eq!(client.integration("held").await["status"], "active");
    assert_eq!(client.integration("changed").await["events"], json!(["alert.*"]));
    // And what only workers knew can be seen, and ended, again.
    assert_eq!(client.integration("later").await["id"], later);
    let id = key["id"].as_str().unwrap_or_default();
    let path = format!("/v1/api-keys/{id}");
    assert_eq!(client.request("DELETE", &path, None).await.ok()["status"], "revoked");
    let all = client.actions("").await;
    let count = |action: &str| all.iter().filter(|known| *known == action).count();
    assert_eq!(count("installation.repaired"), 1, "{all:?}");
    assert_eq!(count("integration.repaired"), 1, "{all:?}");
    assert_eq!(count("integration.taken_over"), 1, "{all:?}");
    assert_eq!(count("api_key.taken_over"), 1, "{all:?}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_lost_from_kv_is_put_again() {
    let up = Up::start().await;
    let client = up.client();
    let target = Target::start().await;
    client.apply(json!([hook(&target, "lost")])).await;
    let id = client.integration("lost").await["id"].clone();
    let id = id.as_str().unwrap_or_default();
    let nats = async_nats::connect(client.nats_url()).await.expect("NATS answers");
    let jetstream = async_nats::jetstream::new(nats);
    let bucket = jetstream
        .get_key_value(subjects::CONFIG)
        .await
        .expect("the bucket is there");
    bucket
        .purge(subjects::integration_key(id))
        .await
        .expect("a key can be purged");
    eventually(SOON, "the loss is told", async || match differences(client).await {
        told if told.len() == 1 => Ok(()),
        told => Err(format!("{told:?}")),
    })
    .await;
    let repaired = client.post("/v1/doctor/repair", json!({})).await;
    assert_eq!(repaired["repaired"][0]["id"], id, "{repaired}");
    assert_eq!(differences(client).await, Vec::<String>::new());
    let nothing = client.post("/v1/doctor/repair", json!({})).await;
    assert_eq!(nothing["repaired"], json!([]));
    client.publish(Publish::of("alert.created", &json!({})).id("one")).await;
    target.wait_for("/lost", 1, SOON).await;
    assert_eq!(client.actions("&action=installation.repaired").await.len(), 1);
    up.stop().await;
}

/// Puts something else at this revision into KV, as workers had it before an older database was put back.
async fn put_otherwise<T: Serialize + DeserializeOwned>(client: &Client, key: &str, change: impl FnOnce(&mut T)) {
    let nats = async_nats::connect(client.nats_url()).await.expect("NATS answers");
    let bucket = async_nats::jetstream::new(nats).get_key_value(subjects::CONFIG).await;
    let bucket = bucket.expect("the bucket is there");
    let bytes = bucket.get(key).await.expect("KV answers").expect("it is there");
    let mut value: T = wire::decode(&bytes).expect("a value");
    change(&mut value);
    let bytes = wire::encode(&value).expect("bytes");
    bucket.put(key, bytes.into()).await.expect("a key can be put");
}

/// A key's text as its entry names it.
fn hash(key: &str) -> String {
    let hash = signalbox_runtime::secret::hash_text(key);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn value<T: DeserializeOwned>(client: &Client, key: &str) -> T {
    let nats = async_nats::connect(client.nats_url()).await.expect("NATS answers");
    let bucket = async_nats::jetstream::new(nats).get_key_value(subjects::CONFIG).await;
    let bytes = bucket.expect("the bucket is there").get(key).await;
    wire::decode(&bytes.expect("KV answers").expect("it is there")).expect("a value")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_the_revision_of_the_database_and_says_something_else_is_told_and_mended() {
    let mut up = Up::start().await;
    let client = up.client().clone();
    let target = Target::start().await;
    client
        .apply(json!([hook(&target, "same"), hook(&target, "edited")]))
        .await;
    let mut ids = Vec::new();
    for name in ["same", "edited"] {
        let id = client.integration(name).await["id"].clone();
        ids.push(subjects::integration_key(id.as_str().unwrap_or_default()));
    }
    let key = json!({ "name": "reader", "scopes": ["integrations:read"] });
    let key = client.post("/v1/api-keys", key).await;
    let bearer = format!("Bearer {}", key["key"].as_str().unwrap_or_default());
    let event_type = client
        .request(
            "PUT",
            "/v1/event-types/alert.created",
            Some(json!({ "title": "Alert" })),
        )
        .await;
    event_type.ok();
    let type_key = subjects::type_key("default", "alert.created");
    let key_key = subjects::key_key(&hash(key["key"].as_str().unwrap_or_default()));
    assert_eq!(differences(&client).await, Vec::<String>::new());

    put_otherwise(&client, &ids[0], |one: &mut Integration| {
        one.subscription.events = vec!["build.*".to_owned()];
    })
    .await;
    put_otherwise(&client, &type_key, |one: &mut Registered| {
        one.title = Some("Other".to_owned())
    })
    .await;
    put_otherwise(&client, &key_key, |one: &mut Key| one.name = "another".to_owned()).await;
    // And one whose change in the database counts up to what KV has already.
    put_otherwise(&client, &ids[1], |one: &mut Integration| {
        one.subscription.events = vec!["build.*".to_owned()];
        one.revision += 1;
    })
    .await;
    let patch = json!({ "events": ["deploy.*"] });
    client
        .request("PATCH", "/v1/integrations/edited", Some(patch))
        .await
        .ok();
    let edited: Integration = value(&client, &ids[1]).await;
    assert_eq!(
        edited.subscription.events,
        ["build.*"],
        "what workers have stays until somebody decides"
    );
    client.publish(Publish::of("build.done", &json!({})).id("one")).await;
    for name in ["same", "edited"] {
        target.wait_for(&format!("/{name}"), 1, SOON).await;
    }

    let told = differences(&client).await;
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(
        told.iter()
            .all(|what| what.ends_with("with other content than the database")),
        "{told:#?}"
    );
    // What a start reads and tells is not taken for a difference, and does not hide one.
    up.interrupt().await;
    up.restart().await;
    assert_eq!(differences(&client).await.len(), 4);
    let (status, text) = client.command(&["doctor", "--repair", "--output", "json"]).await;
    assert_eq!(status, 0, "{text}");
    let repaired: Value = serde_json::from_str(&text).expect("JSON");
    let repaired = repaired["repaired"].as_array().cloned().unwrap_or_default();
    assert!(
        repaired.len() == 4 && repaired.iter().all(|drift| drift["how"] == "ahead"),
        "{repaired:#?}"
    );
    assert_eq!(differences(&client).await, Vec::<String>::new());

    let same: Integration = value(&client, &ids[0]).await;
    assert_eq!(same.subscription.events, ["alert.*"]);
    let title: Registered = value(&client, &type_key).await;
    assert_eq!(title.title.as_deref(), Some("Alert"));
    let reader: Key = value(&client, &key_key).await;
    assert_eq!(reader.name, "reader");
    client.publish(Publish::of("alert.created", &json!({})).id("two")).await;
    client.publish(Publish::of("deploy.done", &json!({})).id("three")).await;
    target.wait_for_events("/same", 2, SOON).await;
    target.wait_for_events("/edited", 2, SOON).await;
    let mut events: Vec<String> = Vec::new();
    for name in ["same", "edited"] {
        events.extend(target.by_event(&format!("/{name}")).into_keys());
    }
    events.sort();
    assert_eq!(events, ["one", "one", "three", "two"]);
    let headers = [("authorization", bearer.as_str())];
    let read = try_request(client.api(), "GET", "/v1/integrations", &headers, Vec::new()).await;
    read.expect("an answer").ok();
    up.stop().await;
}

/// An older database knows nothing of a revocation, and a change in it may count up to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_ended_at_the_revision_of_a_later_change_is_not_brought_back() {
    let up = Up::start().await;
    let client = up.client();
    let target = Target::start().await;
    client.apply(json!([hook(&target, "one")])).await;
    let key = json!({ "name": "ended", "scopes": ["integrations:read"] });
    let key = client.post("/v1/api-keys", key).await;
    let text = key["key"].as_str().unwrap_or_default();
    let key_key = subjects::key_key(&hash(text));
    put_otherwise(client, &key_key, |one: &mut Key| {
        one.revoked_at = Some(Timestamp::now());
        one.revision += 1;
    })
    .await;
    let id = client.integration("one").await["id"].clone();
    let one_key = subjects::integration_key(id.as_str().unwrap_or_default());
    put_otherwise(client, &one_key, |one: &mut Integration| {
        one.status = Status::Deleted;
        one.revision += 1;
    })
    .await;
    let rotate = format!("/v1/api-keys/{}/rotate", key["id"].as_str().unwrap_or_default());
    client.request("POST", &rotate, Some(json!({}))).await.ok();
    let patch = json!({ "events": ["deploy.*"] });
    client.request("PATCH", "/v1/integrations/one", Some(patch)).await.ok();
    let bearer = format!("Bearer {text}");
    let headers = [("authorization", bearer.as_str())];
    let refused = try_request(client.api(), "GET", "/v1/integrations", &headers, Vec::new()).await;
    assert_eq!(refused.expect("an answer").problem(401), "bad_key");
    assert_eq!(differences(client).await.len(), 2);
    let repaired = client.post("/v1/doctor/repair", json!({})).await;
    assert_eq!(repaired["repaired"], json!([]), "{repaired}");
    let reasons: Vec<&str> = repaired["left"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|left| left["reason"].as_str())
        .collect();
    assert!(
        reasons[0].contains("was revoked since") && reasons[1].contains("was deleted since"),
        "{reasons:?}"
    );
    up.stop().await;
}
