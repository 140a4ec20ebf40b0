//! Hops that are due later.

use std::time::Duration;

use signalbox_broker::{Broker, Puller, hops::Hop, topology::Consumer};
use signalbox_proto::{Delivery, Lane, Timestamp, subjects, wire};

use crate::harness::{delivery, eventually, messages, open, org, provider, ready_to_deliver, soon};

async fn retry_lane(broker: &Broker) -> Puller {
    open(broker, Consumer::lane(&provider(), Lane::Retry)).await.unwrap()
}

/// The next delivery of the retry lane, with how late it came.
async fn fired(puller: &mut Puller, broker: &Broker, due: Timestamp) -> (Delivery, Duration) {
    let message = soon("a fired schedule", puller.next(10)).await;
    let now = Timestamp::now();
    assert!(now + Duration::from_millis(20) >= due, "not before it is due");
    assert_eq!(
        message.subject.as_str(),
        subjects::deliver(&provider(), Lane::Retry, &org(), "i1")
    );
    message.confirm(broker).await.unwrap();
    (wire::decode_delivery(&message.body).unwrap(), now.since(due))
}

async fn assert_empty(broker: &Broker) {
    let stream = subjects::deliver_stream(&provider());
    eventually("an empty stream", async || {
        (messages(broker, &stream).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_schedule_fires_into_the_retry_lane_when_it_is_due() {
    let (_server, broker) = ready_to_deliver().await;
    let mut puller = retry_lane(&broker).await;
    let due = Timestamp::now() + Duration::from_millis(1_500);
    let mut sent = delivery("e1", "i1");
    sent.events[0]
        .event
        .metadata
        .insert("traceparent".into(), "00-trace-01".into());
    broker.hop(&sent.next_hop(), Hop::Schedule(due)).await.unwrap();
    let message = soon("a fired schedule", puller.next(1)).await;
    assert!(Timestamp::now().since(due) < Duration::from_secs(2));
    assert_eq!(message.header("traceparent"), Some("00-trace-01"));
    assert_eq!(wire::decode_delivery(&message.body).unwrap(), sent.next_hop());
    message.confirm(&broker).await.unwrap();
    assert_empty(&broker).await;
}

#[tokio::test]
async fn a_schedule_that_was_due_before_fires_at_once() {
    let (_server, broker) = ready_to_deliver().await;
    let mut puller = retry_lane(&broker).await;
    let now = Timestamp::now();
    broker
        .hop(&delivery("e1", "i1"), Hop::Schedule(now - Duration::from_secs(60)))
        .await
        .unwrap();
    let (_, late) = fired(&mut puller, &broker, now).await;
    assert!(late < Duration::from_secs(2), "{late:?}");
}

#[tokio::test]
async fn schedules_survive_a_killed_server() {
    let (mut server, broker) = ready_to_deliver().await;
    let mut puller = retry_lane(&broker).await;
    let due = Timestamp::now() + Duration::from_secs(3);
    for number in 0..20 {
        broker
            .hop(&delivery(&number.to_string(), "i1"), Hop::Schedule(due))
            .await
            .unwrap();
    }
    server.kill().await;
    server.restart().await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        let (delivery, late) = fired(&mut puller, &broker, due).await;
        assert!(late < Duration::from_secs(2), "{late:?}");
        ids.push(delivery.id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
    assert_empty(&broker).await;
}

#[tokio::test]
async fn a_second_schedule_of_a_delivery_replaces_the_first() {
    let (_server, broker) = ready_to_deliver().await;
    let mut puller = retry_lane(&broker).await;
    let first = delivery("e1", "i1");
    let second = first.next_hop();
    let due = Timestamp::now() + Duration::from_secs(2);
    broker
        .hop(&first, Hop::Schedule(due - Duration::from_secs(1)))
        .await
        .unwrap();
    broker.hop(&second, Hop::Schedule(due)).await.unwrap();
    let (delivery, late) = fired(&mut puller, &broker, due).await;
    assert_eq!(delivery, second);
    assert!(late < Duration::from_secs(2), "{late:?}");
    assert_empty(&broker).await;
}

#[tokio::test]
async fn a_repeated_hop_is_one_message() {
    let (_server, broker) = ready_to_deliver().await;
    let mut puller = retry_lane(&broker).await;
    let due = Timestamp::now() + Duration::from_secs(1);
    let hop = delivery("e1", "i1");
    let first = broker.hop(&hop, Hop::Schedule(due)).await.unwrap();
    let again = broker
        .hop(&hop, Hop::Schedule(due + Duration::from_secs(1)))
        .await
        .unwrap();
    assert_eq!((again.duplicate, again.seq), (true, first.seq));
    let (_, late) = fired(&mut puller, &broker, due).await;
    assert!(late < Duration::from_secs(2), "{late:?}");
    // A worker that repeats the hop after it fired: the server still knows it.
    assert!(broker.hop(&hop, Hop::Schedule(due)).await.unwrap().duplicate);
    assert!(
        !broker
            .hop(&hop.next_hop(), Hop::Deliver(Lane::Live))
            .await
            .unwrap()
            .duplicate
    );
    assert!(
        broker
            .hop(&hop.next_hop(), Hop::Deliver(Lane::Live))
            .await
            .unwrap()
            .duplicate
    );
    assert_eq!(messages(&broker, &subjects::deliver_stream(&provider())).await, 1);
}
