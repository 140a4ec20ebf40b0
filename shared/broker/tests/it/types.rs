//! The event types that orgs register.

use std::time::Duration;

use signalbox_broker::{
    Broker,
    revisions::Put,
    types::{Change, follow},
};
use signalbox_proto::{EventType, Name, RawJson, Timestamp, subjects, types::Registered};
use tokio::sync::mpsc::Receiver;

use crate::harness::{ready, soon};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn registered(org: &str, event_type: &str, title: &str) -> Registered {
    Registered {
        org: name(org),
        name: event_type.parse().unwrap(),
        title: Some(title.to_owned()),
        emoji: None,
        severity: None,
        tone: None,
        schema: Some(RawJson::of(&serde_json::json!({ "type": "object" })).unwrap()),
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
        revision: 0,
    }
}

async fn next(changes: &mut Receiver<Change>) -> Change {
    soon("a change", changes.recv()).await.unwrap()
}

async fn write(broker: &Broker, registered: &Registered, revision: u64) {
    let registered = Registered {
        revision,
        ..registered.clone()
    };
    let key = subjects::type_key(registered.org.as_str(), registered.name.as_str());
    let put = broker.put_newer(subjects::CONFIG, &key, &registered, revision).await;
    assert_eq!(put.unwrap(), Put::Written);
}

async fn remove(broker: &Broker, registered: &Registered, revision: u64) {
    let key = subjects::type_key(registered.org.as_str(), registered.name.as_str());
    let put = broker.remove_older(subjects::CONFIG, &key, revision).await;
    assert_eq!(put.unwrap(), Put::Written);
}

#[tokio::test]
async fn types_are_read_one_by_one_and_listed_by_org_and_name() {
    let (_server, broker) = ready().await;
    let (acme, deploy): (Name, EventType) = (name("acme"), "deploy.done".parse().unwrap());
    assert_eq!(broker.event_type(&acme, &deploy).await.unwrap(), None);
    let first = registered("acme", "deploy.done", "Deployed");
    write(&broker, &first, 1).await;
    let found = broker.event_type(&acme, &deploy).await.unwrap().unwrap();
    assert_eq!(
        found.value,
        Registered {
            revision: 1,
            ..first.clone()
        }
    );
    write(&broker, &registered("acme-2", "deploy.done", "Of another"), 1).await;
    write(&broker, &registered("acme", "Deploy.begun", "Begun"), 1).await;
    write(&broker, &registered("acme", "deploy.done", "Done"), 2).await;
    let titles = async || -> Vec<String> {
        let types = broker.all_event_types().await.unwrap();
        types.into_iter().filter_map(|one| one.title).collect()
    };
    assert_eq!(titles().await, ["Begun", "Done", "Of another"]);
    remove(&broker, &first, 3).await;
    assert_eq!(broker.event_type(&acme, &deploy).await.unwrap(), None);
    assert_eq!(titles().await, ["Begun", "Of another"]);
    // Registered again.
    write(&broker, &first, 4).await;
    assert_eq!(titles().await, ["Begun", "Deployed", "Of another"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_types_come_before_complete_and_changes_within_a_second() {
    let (mut server, broker) = ready().await;
    for number in 0..300 {
        write(&broker, &registered("acme", &format!("t{number}"), "first"), 1).await;
        if number % 10 == 0 {
            write(&broker, &registered("acme", &format!("t{number}"), "second"), 2).await;
        }
    }
    // Neighbours in the bucket, and what no version of ours has written.
    broker.put(subjects::CONFIG, "name.acme.type", &"x").await.unwrap();
    broker
        .put(subjects::CONFIG, &subjects::type_key("acme", "bad"), &"no type")
        .await
        .unwrap();
    let gone = registered("acme", "gone", "first");
    write(&broker, &gone, 1).await;
    remove(&broker, &gone, 2).await;
    let mut changes = follow(&broker).await.unwrap();
    let mut seen = std::collections::BTreeMap::new();
    loop {
        match next(&mut changes).await {
            Change::Complete => break,
            Change::Registered(one) => {
                let twice = seen.insert(one.name.to_string(), one.title.unwrap());
                assert_eq!(twice, None, "{} twice", one.name);
            }
            Change::Gone { name, .. } => assert_eq!(name.as_str(), "gone"),
        }
    }
    assert_eq!(seen.len(), 300);
    assert_eq!((seen["t10"].as_str(), seen["t11"].as_str()), ("second", "first"));

    server.kill().await;
    server.restart().await;
    let late = Registered {
        revision: 1,
        ..registered("other", "a.b.c", "late")
    };
    let key = subjects::type_key("other", "a.b.c");
    soon("a write", async {
        while broker.put_newer(subjects::CONFIG, &key, &late, 1).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(next(&mut changes).await, Change::Registered(Box::new(late.clone())));
    remove(&broker, &late, 2).await;
    let change = tokio::time::timeout(Duration::from_secs(1), changes.recv()).await;
    let (org, name) = (late.org, late.name);
    assert_eq!(change.expect("within a second"), Some(Change::Gone { org, name }));
}
