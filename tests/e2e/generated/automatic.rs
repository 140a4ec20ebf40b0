//! What the installation does to its integrations by itself is in the audit, once, whoever sees it and however often.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::harness::{Answer, Publish, Target, Up, eventually, pause, process::settings, process::workspace};

const SOON: Duration = Duration::from_secs(60);
/// Whoever would write an entry a second time has done so by then.
const QUIET: Duration = Duration::from_secs(3);

/// Where something acts by itself, as an entry of the audit names it, and the test that sees to it.
const ACTORS: [(&str, &str); 3] = [
    ("services/api/src/erase/work.rs", "the_end_of_an_erasure_is_told_once"),
    (
        "services/recorder/src/suspensions.rs",
        "a_suspension_and_a_recovery_are_told_once",
    ),
    (
        "shared/store/src/take_over.rs",
        "what_was_there_before_the_database_is_told_once",
    ),
];

/// All Rust sources below a folder, but for tests.
fn sources(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "tests" && name != "target" {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

#[test]
fn whoever_acts_by_itself_has_a_test_here() {
    let root = workspace();
    let mut all = Vec::new();
    for folder in ["services", "shared"] {
        sources(&root.join(folder), &mut all);
    }
    let acts = all.into_iter().filter(|path| {
        let text = fs::read_to_string(path).expect("a source is text");
        text.contains("Actor::system(")
    });
    let found: BTreeSet<String> = acts
        .map(|path| {
            path.strip_prefix(&root)
                .expect("below the root")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let known: BTreeSet<String> = ACTORS.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(found, known, "add a test of it to tests/e2e/generated/automatic.rs");
    let own = fs::read_to_string(root.join("tests/e2e/generated/automatic.rs")).expect("this file");
    for (_, test) in ACTORS {
        assert!(own.contains(&format!("async fn {test}()")), "{test}");
    }
}

/// The entries of an action, each as (org, actor, object, before, after).
async fn entries(up: &Up, action: &str) -> Vec<Value> {
    let list = up.client().get(&format!("/v1/audit?limit=200&action={action}")).await;
    list["items"].as_array().cloned().unwrap_or_default()
}

async fn one_entry(up: &Up, action: &str) -> Value {
    eventually(SOON, &format!("an entry {action}"), async || {
        match entries(up, action).await.as_slice() {
            [] => Err("none".to_owned()),
            [one, ..] => Ok(one.clone()),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspension_and_a_recovery_are_told_once() {
    let mut quick = settings();
    quick.insert("SIGNALBOX_DELIVERY__PROBE_FIRST_S".to_owned(), "5".to_owned());
    let mut up = Up::start_with(quick).await;
    let target = Target::start().await;
    // Gone for good is believed at once.
    target.script("/gone", [Answer::status(410), Answer::status(410), Answer::status(200)]);
    let hook = json!([{
        "name": "gone", "provider": "webhook", "events": ["order.*"], "config": { "url": target.url("/gone") },
    }]);
    up.client().apply(hook).await;
    up.client()
        .publish(Publish::of("order.placed", &json!({})).id("first"))
        .await;
    let suspended = one_entry(&up, "integration.suspended").await;
    // Whoever starts anew sees the state again.
    up.kill().await;
    up.restart().await;
    up.client().delivery("first", "delivered", SOON).await;
    let recovered = one_entry(&up, "integration.recovered").await;
    up.kill().await;
    up.restart().await;
    pause(QUIET).await;
    let id = up.client().integration("gone").await["id"].clone();
    for (entry, before, after) in [(&suspended, "active", "error"), (&recovered, "error", "active")] {
        assert_eq!(
            (&entry["actor"]["type"], &entry["org"]),
            (&json!("system"), &json!("default")),
            "{entry}"
        );
        assert_eq!(
            entry["object"],
            json!({ "type": "integration", "id": id, "name": "gone" }),
            "{entry}"
        );
        assert_eq!(
            (&entry["before"]["status"], &entry["after"]["status"]),
            (&json!(before), &json!(after)),
            "{entry}"
        );
        for absent in ["key_id", "address", "request_id"] {
            assert!(entry[absent].is_null(), "{entry}");
        }
    }
    for action in ["integration.suspended", "integration.recovered"] {
        let all = entries(&up, action).await;
        assert_eq!(all.len(), 1, "{all:#?}");
    }
    assert!(!suspended.to_string().contains(&target.url("/gone")), "{suspended}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_an_erasure_is_told_once() {
    let mut up = Up::start().await;
    up.client().post("/v1/orgs", json!({ "name": "goner" })).await;
    let event = json!({ "type": "order.placed", "id": "gone" });
    up.client().post("/v1/events", event).await;
    up.client().request("DELETE", "/v1/events/gone", None).await.ok();
    let org = up
        .client()
        .post("/v1/orgs/goner/erase", json!({ "confirm": "goner" }))
        .await;
    let (event, of_org) = (one_entry(&up, "event.erased").await, one_entry(&up, "org.erased").await);
    // Whoever starts anew finds nothing left to do.
    up.kill().await;
    up.restart().await;
    pause(QUIET).await;
    for (action, entry, object) in [("event.erased", event, "gone"), ("org.erased", of_org, "goner")] {
        let all = entries(&up, action).await;
        assert_eq!(all, [entry], "{action}");
        assert_eq!(all[0]["actor"], json!({ "type": "system", "id": "erasure" }), "{all:?}");
        assert_eq!(all[0]["object"]["id"], object, "{all:?}");
        assert!(all[0]["after"]["erasure_id"].is_string(), "{all:?}");
    }
    assert_eq!(entries(&up, "org.erased").await[0]["after"]["erasure_id"], org["id"]);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_there_before_the_database_is_told_once() {
    let mut up = Up::start().await;
    let target = Target::start().await;
    let hook = |name: &str| json!({ "name": name, "provider": "webhook", "events": ["order.*"], "config": { "url": target.url("/takes") } });
    up.client().apply(json!([hook("one"), hook("two")])).await;
    up.client()
        .post("/v1/event-types", json!({ "type": "deploy.done" }))
        .await;
    up.kill().await;
    for end in ["", "-wal", "-shm"] {
        let file = up.data_dir().join(format!("signalbox.db{end}"));
        if file.exists() {
            fs::remove_file(file).expect("the database can be removed");
        }
    }
    for _ in 0..2 {
        up.restart().await;
        let taken = |all: Vec<Value>| -> Vec<String> {
            let mut names: Vec<String> = all.iter().map(|entry| entry["object"]["name"].to_string()).collect();
            names.sort();
            names
        };
        assert_eq!(
            taken(entries(&up, "integration.taken_over").await),
            ["\"one\"", "\"two\""]
        );
        assert_eq!(taken(entries(&up, "event_type.taken_over").await), ["\"deploy.done\""]);
        for entry in entries(&up, "integration.taken_over").await {
            assert_eq!(
                entry["actor"],
                json!({ "type": "system", "id": "take-over" }),
                "{entry}"
            );
        }
        up.kill().await;
    }
    up.restart().await;
    up.stop().await;
}
