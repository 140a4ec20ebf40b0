//! The event types that orgs register.

use std::time::Duration;

use signalbox_broker::{
    Broker, Error,
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

async fn write(broker: &Broker, registered: &Registered) -> u64 {
    let found = broker.event_type(&registered.org, &registered.name).await.unwrap();
    let revision = found.map_or(0, |entry| entry.revision);
    broker.set_event_type(registered, revision).await.unwrap()
}

#[tokio::test]
async fn a_type_is_written_on_condition_and_listed_by_name() {
    let (_server, broker) = ready().await;
    let (acme, deploy): (Name, EventType) = (name("acme"), "deploy.done".parse().unwrap());
    assert_eq!(broker.event_type(&acme, &deploy).await.unwrap(), None);
    let first = registered("acme", "deploy.done", "Deployed");
    let revision = broker.set_event_type(&first, 0).await.unwrap();
    let again = broker.set_event_type(&first, 0).await;
    assert!(matches!(again, Err(Error::Conflict { .. })), "{again:?}");
    let found = broker.event_type(&acme, &deploy).await.unwrap().unwrap();
    assert_eq!((found.value, found.revision), (first.clone(), revision));

    let second = registered("acme", "deploy.done", "Done");
    let newer = broker.set_event_type(&second, revision).await.unwrap();
    let stale = broker.set_event_type(&first, revision).await;
    assert!(matches!(stale, Err(Error::Conflict { .. })), "{stale:?}");
    let stale = broker.delete_event_type(&acme, &deploy, revision).await;
    assert!(matches!(stale, Err(Error::Conflict { .. })), "{stale:?}");

    write(&broker, &registered("acme", "Deploy.begun", "Begun")).await;
    write(&broker, &registered("acme-2", "deploy.done", "Of another")).await;
    let titles = async |broker: &Broker, org: &str| -> Vec<String> {
        let types = broker.event_types(&name(org)).await.unwrap();
        types.into_iter().filter_map(|one| one.title).collect()
    };
    assert_eq!(titles(&broker, "acme").await, ["Begun", "Done"]);
    assert_eq!(titles(&broker, "acme-2").await, ["Of another"]);
    assert_eq!(broker.all_event_types().await.unwrap().len(), 3);

    broker.delete_event_type(&acme, &deploy, newer).await.unwrap();
    assert_eq!(broker.event_type(&acme, &deploy).await.unwrap(), None);
    assert_eq!(titles(&broker, "acme").await, ["Begun"]);
    // Registered again as if it had never been.
    broker.set_event_type(&first, 0).await.unwrap();
    assert_eq!(titles(&broker, "acme").await, ["Begun", "Deployed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_types_come_before_complete_and_changes_within_a_second() {
    let (mut server, broker) = ready().await;
    for number in 0..300 {
        write(&broker, &registered("acme", &format!("t{number}"), "first")).await;
        if number % 10 == 0 {
            write(&broker, &registered("acme", &format!("t{number}"), "second")).await;
        }
    }
    // Neighbours in the bucket, and what no version of ours has written.
    broker.put(subjects::CONFIG, "name.acme.type", &"x").await.unwrap();
    broker
        .put(subjects::CONFIG, &subjects::type_key("acme", "bad"), &"no type")
        .await
        .unwrap();
    let gone = registered("acme", "gone", "first");
    let revision = write(&broker, &gone).await;
    broker.delete_event_type(&gone.org, &gone.name, revision).await.unwrap();
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
    let late = registered("other", "a.b.c", "late");
    soon("a write", async {
        while broker.set_event_type(&late, 0).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(next(&mut changes).await, Change::Registered(Box::new(late.clone())));
    let revision = broker
        .event_type(&late.org, &late.name)
        .await
        .unwrap()
        .unwrap()
        .revision;
    broker.delete_event_type(&late.org, &late.name, revision).await.unwrap();
    let change = tokio::time::timeout(Duration::from_secs(1), changes.recv()).await;
    let (org, name) = (late.org, late.name);
    assert_eq!(change.expect("within a second"), Some(Change::Gone { org, name }));
}
