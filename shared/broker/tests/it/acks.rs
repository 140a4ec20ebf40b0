//! Settling messages.

use std::time::Duration;

use signalbox_broker::{hops::Hop, topology::Consumer};
use signalbox_proto::{Lane, subjects};

use crate::harness::{delivery, messages, open, provider, ready_to_deliver, soon, take};

fn live() -> Consumer {
    Consumer::lane(&provider(), Lane::Live)
}

#[tokio::test]
async fn a_confirmation_fails_where_the_consumer_is_gone() {
    let (_server, broker) = ready_to_deliver().await;
    broker
        .hop(&delivery("e1", "i1"), Hop::Deliver(Lane::Live))
        .await
        .unwrap();
    let mut puller = open(&broker, live()).await.unwrap();
    let message = soon("a message", puller.next(1)).await;
    live().delete(&broker).await.unwrap();
    let error = message.confirm(&broker).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(messages(&broker, &subjects::deliver_stream(&provider())).await, 1);
}

#[tokio::test]
async fn a_confirmation_confirms_the_acknowledgements_before_it() {
    let (_server, broker) = ready_to_deliver().await;
    for number in 0..500 {
        broker
            .hop(&delivery(&number.to_string(), "i1"), Hop::Deliver(Lane::Live))
            .await
            .unwrap();
    }
    let mut puller = open(&broker, live()).await.unwrap();
    let taken = take(&mut puller, 500).await;
    let (last, others) = taken.split_last().unwrap();
    for message in others {
        message.ack(&broker).await.unwrap();
    }
    last.confirm(&broker).await.unwrap();
    let progress = live().progress(&broker).await.unwrap();
    assert_eq!((progress.ack_pending, progress.ack_floor), (0, 500));
}

#[tokio::test]
async fn what_is_handed_back_comes_again_at_once_or_after_its_wait() {
    let (_server, broker) = ready_to_deliver().await;
    broker
        .hop(&delivery("e1", "i1"), Hop::Deliver(Lane::Live))
        .await
        .unwrap();
    let mut puller = open(&broker, live()).await.unwrap();
    let message = soon("a message", puller.next(1)).await;
    message.nak(&broker).await.unwrap();
    let again = soon("the message", puller.next(1)).await;
    assert_eq!(again.place.delivered, 2);
    let begun = tokio::time::Instant::now();
    again.nak_after(&broker, Duration::from_millis(500)).await.unwrap();
    assert_eq!(soon("the message", puller.next(1)).await.place.delivered, 3);
    assert!(begun.elapsed() >= Duration::from_millis(480), "{:?}", begun.elapsed());
}

/// Each takes half a minute, nearly all of it waiting: one test of both, and the first to start.
#[tokio::test]
async fn a_long_wait_repeats_what_is_not_worked_on_and_renews_pulls() {
    tokio::join!(
        only_what_is_still_worked_on_is_kept(),
        crate::puller::a_pull_that_ran_out_is_followed_by_another()
    );
}

/// Messages held longer than the wait for an acknowledgement, with and without a sign of life.
async fn only_what_is_still_worked_on_is_kept() {
    let (_server, broker) = ready_to_deliver().await;
    for id in ["kept", "left"] {
        broker.hop(&delivery(id, "i1"), Hop::Deliver(Lane::Live)).await.unwrap();
    }
    let mut puller = open(&broker, live()).await.unwrap();
    let taken = take(&mut puller, 2).await;
    let ticket = taken[0].clone().into_ticket();
    let working = tokio::spawn({
        let broker = broker.clone();
        async move {
            loop {
                tokio::time::sleep(signalbox_broker::topology::IN_PROGRESS_EVERY).await;
                ticket.in_progress(&broker).await.unwrap();
            }
        }
    });
    let limit = signalbox_broker::topology::ACK_WAIT + Duration::from_secs(6);
    let mut again = Vec::new();
    let deadline = tokio::time::Instant::now() + limit;
    while let Ok(message) = tokio::time::timeout_at(deadline, puller.next(2)).await {
        again.push(message.place.seq);
    }
    working.abort();
    assert_eq!(again, [taken[1].place.seq]);
}
