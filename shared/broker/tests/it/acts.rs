//! Acts in the bucket: numbered upwards, listed, forgotten on condition.

use std::time::Duration;

use futures::future::try_join_all;
use signalbox_broker::{Broker, Error};
use signalbox_proto::{
    Timestamp,
    act::{Act, ActStatus, DeadFilter, Kind},
    subjects,
};

use crate::harness::ready;

fn act(id: &str) -> Act {
    Act {
        id: id.to_owned(),
        kind: Kind::Discard,
        filter: DeadFilter::default(),
        events: None,
        waiting: None,
        per_second: 1,
        through: 9,
        cursor: 0,
        ahead: None,
        generation: 0,
        status: ActStatus::Running,
        total: None,
        done: 0,
        skipped: 0,
        failed: 0,
        asked_by: String::new(),
        message: String::new(),
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

async fn ids(broker: &Broker) -> Vec<String> {
    let acts = broker.acts().await.unwrap();
    acts.into_iter().map(|entry| entry.value.id).collect()
}

#[tokio::test]
async fn a_generation_is_drawn_once_and_each_is_higher_than_those_before() {
    let (_server, broker) = ready().await;
    let now = Timestamp::from_secs(1_800_000_000);
    let before = broker.draw_generation(now).await.unwrap();
    let mut drawn = try_join_all((0..8).map(|_| broker.draw_generation(now))).await.unwrap();
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), 8, "{drawn:?}");
    assert!(drawn[0] > before);
    let later = broker.draw_generation(now - Duration::from_secs(3_600)).await.unwrap();
    assert!(later > drawn[7], "a clock that was put back");
}

#[tokio::test]
async fn an_act_is_listed_until_it_is_forgotten_and_not_forgotten_after_a_change() {
    let (_server, broker) = ready().await;
    assert!(ids(&broker).await.is_empty());
    let first = broker
        .create(subjects::STATE, &subjects::act_key("a"), &act("a"))
        .await
        .unwrap();
    broker
        .create(subjects::STATE, &subjects::act_key("b"), &act("b"))
        .await
        .unwrap();
    let moved = broker
        .update(subjects::STATE, &subjects::act_key("a"), &act("a"), first)
        .await
        .unwrap();
    assert_eq!(
        ids(&broker).await,
        ["b", "a"],
        "in the order in which they last changed"
    );
    let stale = broker.forget_act("a", first).await;
    assert!(matches!(stale, Err(Error::Conflict { .. })), "{stale:?}");
    broker.forget_act("a", moved).await.unwrap();
    assert_eq!(ids(&broker).await, ["b"]);
    let gone = broker
        .get::<Act>(subjects::STATE, &subjects::act_key("a"))
        .await
        .unwrap();
    assert_eq!(gone, None);
}

#[tokio::test]
async fn the_leader_says_whether_a_stream_has_more() {
    let (_server, broker) = ready().await;
    let bucket = format!("KV_{}", subjects::STATE);
    let subject = |id: &str| format!("$KV.{}.{}", subjects::STATE, subjects::act_key(id));
    let next = async |id: &str, seq| broker.next_at_leader(&bucket, &subject(id), seq).await.unwrap();
    assert_eq!(next("*", 0).await, None);
    let mut made = Vec::new();
    for id in ["a", "b"] {
        let key = subjects::act_key(id);
        made.push(broker.create(subjects::STATE, &key, &act(id)).await.unwrap());
    }
    assert_eq!(next("*", 0).await, Some(made[0]));
    assert_eq!(next("b", made[0]).await, Some(made[1]));
    assert_eq!((next("a", made[1]).await, next("*", made[1] + 1).await), (None, None));
    assert!(broker.next_at_leader("NO_SUCH", ">", 1).await.is_err());
}
