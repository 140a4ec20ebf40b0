//! What orgs publish, what streams hold, and the marks that ingest follows.

use signalbox_broker::bounds::Known;
use signalbox_proto::{
    bounds::{Marks, Over},
    subjects,
};
use tokio::sync::watch;

use crate::harness::{connect, eventually, org, ready, soon};

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
