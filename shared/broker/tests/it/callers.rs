//! Following API keys and orgs.

use std::{collections::BTreeMap, time::Duration};

use signalbox_broker::{
    Broker,
    callers::{Change, follow},
};
use signalbox_proto::{
    Key, Name, Org, Scope, Timestamp,
    key::{Principal, PrincipalKind},
    org::OrgStatus,
    subjects,
};
use tokio::sync::mpsc::Receiver;

use crate::harness::{ready, soon};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A hash as it may lie in the bucket.
fn hash(number: usize) -> String {
    format!("{number:064x}")
}

fn key(number: usize, revision: u64) -> Key {
    Key {
        id: number.to_string(),
        org: Some(name("acme")),
        name: "ci".to_owned(),
        scopes: vec![Scope::EventsWrite],
        principal: Principal {
            kind: PrincipalKind::Service,
            id: "ci".to_owned(),
        },
        expires_at: None,
        revoked_at: None,
        revision,
    }
}

fn org(org: &str, status: OrgStatus, revision: u64) -> Org {
    Org {
        name: name(org),
        status,
        revision,
    }
}

async fn put_key(broker: &Broker, number: usize, key: &Key) {
    let entry = subjects::key_key(&hash(number));
    broker.put(subjects::CONFIG, &entry, key).await.unwrap();
}

async fn put_org(broker: &Broker, org: &Org) {
    let entry = subjects::org_key(org.name.as_str());
    broker.put(subjects::CONFIG, &entry, org).await.unwrap();
}

async fn next(changes: &mut Receiver<Change>) -> Change {
    soon("a change", changes.recv()).await.unwrap()
}

/// What comes within a second: a revocation must not take longer.
async fn within_a_second(changes: &mut Receiver<Change>) -> Change {
    tokio::time::timeout(Duration::from_secs(1), changes.recv())
        .await
        .expect("within a second")
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_keys_and_orgs_come_before_complete_and_a_revocation_within_a_second() {
    let (mut server, broker) = ready().await;
    for number in 0..300 {
        put_key(&broker, number, &key(number, 1)).await;
        if number % 10 == 0 {
            put_key(&broker, number, &key(number, 2)).await;
        }
    }
    put_org(&broker, &org("acme", OrgStatus::Active, 1)).await;
    put_org(&broker, &org("default", OrgStatus::Erasing, 2)).await;
    // Neighbours in the bucket.
    for neighbour in ["integration.key", "name.acme.key", "type.key.a.b", "type.org.acme"] {
        broker.put(subjects::CONFIG, neighbour, &"x").await.unwrap();
    }
    let mut changes = follow(&broker).await.unwrap();
    let (mut keys, mut orgs) = (BTreeMap::new(), BTreeMap::new());
    loop {
        match next(&mut changes).await {
            Change::Complete => break,
            Change::Key { hash, key } => assert_eq!(keys.insert(hash, key.revision), None, "twice"),
            Change::Org(org) => assert_eq!(orgs.insert(org.name, org.status), None, "twice"),
            gone => panic!("{gone:?}"),
        }
    }
    assert_eq!((keys.len(), keys[&hash(10)], keys[&hash(11)]), (300, 2, 1));
    assert_eq!(
        orgs.into_iter().collect::<Vec<_>>(),
        [(name("acme"), OrgStatus::Active), (name("default"), OrgStatus::Erasing)]
    );

    let revoked = Key {
        revoked_at: Some(Timestamp::now()),
        ..key(7, 2)
    };
    put_key(&broker, 7, &revoked).await;
    let change = within_a_second(&mut changes).await;
    let (hash, key) = (hash(7), Box::new(revoked.clone()));
    assert_eq!(change, Change::Key { hash, key });

    server.kill().await;
    server.restart().await;
    let erasing = org("acme", OrgStatus::Erasing, 2);
    soon("a write", async {
        let entry = subjects::org_key("acme");
        while broker.put(subjects::CONFIG, &entry, &erasing).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(
        next(&mut changes).await,
        Change::Org(erasing),
        "what changed, and nothing else"
    );
    broker
        .delete(subjects::CONFIG, &subjects::org_key("acme"))
        .await
        .unwrap();
    assert_eq!(within_a_second(&mut changes).await, Change::OrgGone(name("acme")));

    let now = broker.callers().await.unwrap();
    assert_eq!(now.len(), 301);
    assert!(now.contains(&Change::Org(org("default", OrgStatus::Erasing, 2))));
}

#[tokio::test]
async fn a_key_that_cannot_be_read_opens_nothing_and_an_org_stays_as_it_was_known() {
    let (_server, broker) = ready().await;
    put_key(&broker, 1, &key(1, 1)).await;
    put_org(&broker, &org("acme", OrgStatus::Erasing, 1)).await;
    let mut changes = follow(&broker).await.unwrap();
    while next(&mut changes).await != Change::Complete {}
    for entry in [subjects::org_key("acme"), subjects::key_key(&hash(1))] {
        broker.put(subjects::CONFIG, &entry, &"neither").await.unwrap();
    }
    assert_eq!(within_a_second(&mut changes).await, Change::KeyGone { hash: hash(1) });
    assert_eq!(broker.callers().await.unwrap(), []);
}
