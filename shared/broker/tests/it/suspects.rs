//! Markers of messages that may have stopped a worker.

use signalbox_broker::{
    Message,
    hops::Hop,
    suspects::{DELIVERED_SUSPECT, Suspicion, is_suspect},
    topology::Consumer,
};
use signalbox_proto::{Lane, subjects};

use crate::harness::{delivery, open, provider, ready_to_deliver, soon};

#[tokio::test]
async fn a_message_is_poison_only_if_it_was_handled_alone_before() {
    let (_server, broker) = ready_to_deliver().await;
    let stream = subjects::deliver_stream(&provider());
    let mut puller = open(&broker, Consumer::lane(&provider(), Lane::Live)).await.unwrap();
    broker
        .hop(&delivery("e1", "i1"), Hop::Deliver(Lane::Live))
        .await
        .unwrap();
    let mut deliver = async || -> Message { soon("the message", puller.next(1)).await };

    for delivered in 1..DELIVERED_SUSPECT {
        let message = deliver().await;
        assert_eq!(message.place.delivered, delivered);
        assert!(!is_suspect(&message));
        assert_eq!(broker.suspect(&stream, &message, "one").await.unwrap(), Suspicion::None);
        message.nak(&broker).await.unwrap();
    }
    let message = deliver().await;
    assert!(is_suspect(&message));
    assert_eq!(
        broker.suspect(&stream, &message, "one").await.unwrap(),
        Suspicion::Suspect
    );
    // Its worker stops here; the next one finds the marker.
    message.nak(&broker).await.unwrap();
    let message = deliver().await;
    assert_eq!(
        broker.suspect(&stream, &message, "two").await.unwrap(),
        Suspicion::Poison
    );
    assert_eq!(
        broker.suspect("OTHER", &message, "two").await.unwrap(),
        Suspicion::Suspect,
        "another stream's sequence"
    );
    // Handled after all: suspect again from the beginning.
    broker.clear_suspect(&stream, &message).await.unwrap();
    assert_eq!(
        broker.suspect(&stream, &message, "one").await.unwrap(),
        Suspicion::Suspect
    );
}
