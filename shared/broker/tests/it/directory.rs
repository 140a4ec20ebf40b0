//! Following integrations and states.

use std::{collections::HashSet, time::Duration};

use signalbox_broker::{
    Broker,
    directory::{Change, follow},
};
use signalbox_proto::{Integration, Phase, RawJson, State, Timestamp, integration::Status, subjects};
use tokio::sync::mpsc::Receiver;

use crate::harness::{org, provider, ready, soon};

fn integration(id: &str, revision: u64) -> Integration {
    Integration {
        id: id.to_owned(),
        org: org(),
        name: "alerts".parse().unwrap(),
        provider: provider(),
        revision,
        status: Status::Active,
        subscription: Default::default(),
        config: RawJson::default(),
        sealed: None,
        schedule_secs: None,
        expire_after_secs: None,
        timeout_secs: None,
        template: None,
        flow: signalbox_proto::integration::Flow::default(),
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
    }
}

async fn put(broker: &Broker, integration: &Integration) {
    broker
        .put(
            subjects::CONFIG,
            &subjects::integration_key(&integration.id),
            integration,
        )
        .await
        .unwrap();
}

async fn next(changes: &mut Receiver<Change>) -> Change {
    soon("a change", changes.recv()).await.unwrap()
}

/// What comes within a second: an owner must not wait longer for a change.
async fn within_a_second(changes: &mut Receiver<Change>) -> Change {
    tokio::time::timeout(Duration::from_secs(1), changes.recv())
        .await
        .expect("within a second")
        .unwrap()
}

#[tokio::test]
async fn empty_buckets_are_complete_at_once_and_changes_follow_within_a_second() {
    let (_server, broker) = ready().await;
    let mut changes = follow(&broker).await.unwrap();
    assert_eq!(next(&mut changes).await, Change::Complete);
    let one = integration("i1", 1);
    put(&broker, &one).await;
    assert_eq!(within_a_second(&mut changes).await, Change::Integration(Box::new(one)));
    let state = broker.pause("i1", "by hand", Timestamp::now()).await.unwrap();
    let Change::State {
        integration,
        state: seen,
        revision,
    } = within_a_second(&mut changes).await
    else {
        panic!("a state")
    };
    assert_eq!((integration.as_str(), &seen), ("i1", &state));
    assert_eq!(revision, broker.state("i1").await.unwrap().revision);
    broker.set_state("i1", &State::default(), revision).await.unwrap();
    let Change::State { state, .. } = within_a_second(&mut changes).await else {
        panic!("a state")
    };
    assert_eq!(state.phase, Phase::Open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_integrations_come_before_complete_and_a_restart_repeats_none() {
    let (mut server, broker) = ready().await;
    for number in 0..1_000 {
        put(&broker, &integration(&format!("i{number}"), 1)).await;
        if number % 10 == 0 {
            put(&broker, &integration(&format!("i{number}"), 2)).await;
        }
    }
    broker.pause("i7", "by hand", Timestamp::now()).await.unwrap();
    let mut changes = follow(&broker).await.unwrap();
    let (mut ids, mut states) = (HashSet::new(), 0);
    loop {
        match next(&mut changes).await {
            Change::Complete => break,
            Change::State { .. } => states += 1,
            Change::Integration(integration) => {
                let number: u64 = integration.id.trim_start_matches('i').parse().unwrap();
                assert_eq!(
                    integration.revision,
                    if number.is_multiple_of(10) { 2 } else { 1 },
                    "the newest alone"
                );
                assert!(ids.insert(integration.id.clone()), "{} twice", integration.id);
            }
        }
    }
    assert_eq!((ids.len(), states), (1_000, 1));

    for revision in 3..5 {
        if revision == 3 {
            server.kill().await
        } else {
            server.terminate().await
        }
        server.restart().await;
        let newer = integration("i5", revision);
        soon("a write", async {
            while broker
                .put(subjects::CONFIG, &subjects::integration_key("i5"), &newer)
                .await
                .is_err()
            {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(
            next(&mut changes).await,
            Change::Integration(Box::new(newer)),
            "what changed, and nothing else"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_passed_over() {
    let (_server, broker) = ready().await;
    broker
        .put(subjects::CONFIG, &subjects::integration_key("bad"), &"no integration")
        .await
        .unwrap();
    put(&broker, &integration("i1", 1)).await;
    let mut changes = follow(&broker).await.unwrap();
    assert!(matches!(next(&mut changes).await, Change::Integration(_)));
    assert_eq!(next(&mut changes).await, Change::Complete);
}
