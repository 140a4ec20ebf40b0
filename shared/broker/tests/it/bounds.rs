//! What orgs publish, what streams hold, and the marks that ingest follows.

use signalbox_broker::bounds::Known;
use signalbox_proto::{
    bounds::{Marks, Over},
    subjects,
};
use tokio::sync::watch;

use signalbox_broker::Broker;
use signalbox_proto::{DeadLetter, DeadReason, Stage, Timestamp, dead::Input};

use crate::harness::{Cluster, config, connect, connect_with, eventually, messages, org, ready, soon};

#[tokio::test]
async fn all_processes_add_to_one_count_of_an_org_and_a_second() {
    let (server, one) = ready().await;
    let other = connect(&server.url()).await;
    let other_org = "other".parse().unwrap();
    assert_eq!(one.count_published(&org(), 7, 5).await.unwrap(), 5);
    assert_eq!(other.count_published(&org(), 7, 3).await.unwrap(), 8);
    assert_eq!(one.count_published(&org(), 8, 1).await.unwrap(), 1);
    assert_eq!(one.count_published(&other_org, 7, 1).await.unwrap(), 1);
}

#[tokio::test]
async fn streams_are_measured_with_their_bounds() {
    let (_server, broker) = ready().await;
    broker.count_published(&org(), 7, 5).await.unwrap();
    let sizes = broker.sizes().await.unwrap();
    let size = |name: &str| sizes.iter().find(|size| size.name == name).unwrap();
    assert!(size(subjects::EVENTS).bytes_max.is_some());
    assert!(size(subjects::EVENTS).on_disk);
    assert_eq!(size(subjects::PARKED).bytes_max, None);
    assert!(!size("RATE_SECOND").on_disk);
    assert!(size("RATE_SECOND").bytes > 0);
}

#[tokio::test]
async fn marks_are_followed_over_a_restart_of_the_server() {
    let (mut server, broker) = ready().await;
    let key = subjects::marks_key();
    let full = Marks {
        storage: Some(Over { is: 2, mark: 1 }),
        holds_secs: 60,
        ..Marks::default()
    };
    broker.put(subjects::STATE, key, &full).await.unwrap();
    let known = watch::Sender::new(None::<Known>);
    let mut changes = known.subscribe();
    let following = broker.clone();
    let task = tokio::spawn(async move { following.follow_marks(&known).await });
    let seen = async |changes: &mut watch::Receiver<Option<Known>>, wanted: &Marks| {
        let is = |known: &Option<Known>| known.as_ref().is_some_and(|known| known.marks == *wanted);
        soon("the marks", changes.wait_for(is)).await.map(drop).unwrap();
    };
    seen(&mut changes, &full).await;
    server.restart().await;
    let none = Marks::default();
    eventually("the marks can be written", async || {
        broker.put(subjects::STATE, key, &none).await.ok()
    })
    .await;
    seen(&mut changes, &none).await;
    broker.put(subjects::STATE, key, &full).await.unwrap();
    seen(&mut changes, &full).await;
    broker.delete(subjects::STATE, key).await.unwrap();
    seen(&mut changes, &none).await;
    task.abort();
}

/// Asks for a letter before, while and after it is there.
async fn asks_for_a_letter(broker: &Broker) {
    let subject = || subjects::dead(Stage::Ingest, Some(&org()), None, None);
    let letter = |body: &[u8]| {
        let input = Input {
            subject: "signalbox.in.acme.tick".into(),
            headers: Vec::new(),
            body: body.to_vec(),
        };
        let at = Timestamp::from_secs(1);
        DeadLetter::of_input(Stage::Ingest, DeadReason::Rejected, "over", Some(org()), input, at)
    };
    broker.bury(&letter(b"one"), "one").await.unwrap();
    for _ in 0..2 {
        assert!(broker.knows_letter(subject(), "one").await.unwrap());
        assert!(!broker.knows_letter(subject(), "two").await.unwrap());
    }
    assert_eq!(messages(broker, subjects::DEAD).await, 1, "asking stores nothing");
    let filed = broker.bury(&letter(b"two"), "two").await.unwrap();
    assert!(!filed.duplicate, "asking does not make an id known");
    assert!(broker.knows_letter(subject(), "two").await.unwrap());
    assert_eq!(messages(broker, subjects::DEAD).await, 2);
}

#[tokio::test]
async fn whether_dead_has_a_letter_can_be_asked_without_storing_anything() {
    let (_server, broker) = ready().await;
    asks_for_a_letter(&broker).await;
}

#[tokio::test]
async fn the_same_of_three_servers() {
    let cluster = Cluster::start().await;
    let broker = connect_with(signalbox_broker::Config {
        replicas: 3,
        ..config(&cluster.url())
    })
    .await;
    eventually("the streams are made", async || broker.ensure_streams().await.ok()).await;
    asks_for_a_letter(&broker).await;
}

#[tokio::test]
async fn marks_that_are_read_late_are_as_old_as_they_are() {
    let (_server, broker) = ready().await;
    let marks = Marks {
        holds_secs: 60,
        ..Marks::default()
    };
    broker
        .put(subjects::STATE, subjects::marks_key(), &marks)
        .await
        .unwrap();
    let written = std::time::Instant::now();
    eventually("a while has passed", async || {
        (written.elapsed().as_millis() > 1_200).then_some(())
    })
    .await;
    let known = watch::Sender::new(None::<Known>);
    let mut changes = known.subscribe();
    let following = broker.clone();
    let task = tokio::spawn(async move { following.follow_marks(&known).await });
    let read = soon("the marks", changes.wait_for(Option::is_some))
        .await
        .unwrap()
        .clone();
    let age = read.unwrap().since.elapsed();
    assert!(age.as_millis() >= 1_000, "{age:?}");
    task.abort();
}
