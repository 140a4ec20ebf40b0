//! Deliveries that go in order: what is known of one that was tried, and how it is given up or let go.

use std::time::Duration;

use signalbox_broker::{Broker, Publish, browse::Stored, hops::Hop};
use signalbox_proto::{
    DeadLetter, DeadReason, Delivery, Stage, Timestamp,
    act::{Did, Mark, Wait, WaitingFilter},
    subjects, wire,
};

use crate::harness::{delivery, org, provider, ready_to_deliver};

fn queued(id: &str, key: &str) -> Delivery {
    Delivery {
        order_key: Some(key.to_owned()),
        ..delivery(id, "i1")
    }
}

/// The state of a delivery that failed once and goes again at a time.
fn tried(queued: &Delivery) -> Delivery {
    Delivery {
        attempt: 1,
        due: Some(Timestamp::from_secs(4_000_000_000)),
        ..queued.next_hop()
    }
}

async fn read(broker: &Broker) -> Vec<Stored> {
    let [queue, _] = subjects::ordered_waiting(&provider(), &org(), None);
    broker.read_from(subjects::ORDERED, &queue, 1, 100).await.unwrap()
}

async fn covered(broker: &Broker, status: Option<Wait>) -> Vec<(String, u32)> {
    let filter = WaitingFilter {
        org: org(),
        ids: Vec::new(),
        integration: None,
        provider: None,
        event_type: None,
        status,
        since: None,
        until: Timestamp::from_secs(4_000_000_000),
    };
    let found = broker
        .covered(subjects::ORDERED, read(broker).await, &filter)
        .await
        .unwrap();
    found
        .into_iter()
        .map(|standing| (standing.delivery.events[0].event.id.clone(), standing.delivery.attempt))
        .collect()
}

#[tokio::test]
async fn what_was_tried_is_meant_once_with_its_attempts_and_by_its_own_status() {
    let (_server, broker) = ready_to_deliver().await;
    let [first, second, other] = [queued("first", "a"), queued("second", "a"), queued("other", "b")];
    for one in [&first, &second, &other] {
        broker.hop(one, Hop::Order).await.unwrap();
    }
    broker.set_ordered_head(&tried(&first), 0).await.unwrap().unwrap();
    let named = |id: &str, attempt| (id.to_owned(), attempt);
    assert_eq!(
        covered(&broker, None).await,
        [named("first", 1), named("second", 0), named("other", 0)]
    );
    assert_eq!(covered(&broker, Some(Wait::Retrying)).await, [named("first", 1)]);
    assert_eq!(
        covered(&broker, Some(Wait::Parked)).await,
        [named("second", 0), named("other", 0)]
    );
    // A state without its delivery is one that has ended, and one that holds its key as well.
    broker
        .remove(subjects::ORDERED, read(&broker).await[0].seq)
        .await
        .unwrap();
    assert_eq!(covered(&broker, Some(Wait::Retrying)).await, []);
    let dead = Delivery {
        held: true,
        ..tried(&other)
    };
    broker.set_ordered_head(&dead, 0).await.unwrap().unwrap();
    assert_eq!(covered(&broker, None).await, [named("second", 0)]);
}

#[tokio::test]
async fn one_that_was_tried_says_that_it_is_given_up_and_its_worker_cannot_go_on_with_it() {
    let (_server, broker) = ready_to_deliver().await;
    let first = queued("first", "a");
    broker.hop(&first, Hop::Order).await.unwrap();
    assert!(broker.give_up_ordered(&first, b"end".to_vec().into()).await.unwrap());
    assert_eq!(
        broker.ordered_head(&first).await.unwrap(),
        None,
        "it has no state to say it in"
    );

    let head = tried(&first);
    let seq = broker.set_ordered_head(&head, 0).await.unwrap().unwrap();
    assert_eq!(
        broker.set_ordered_head(&head, 0).await.unwrap(),
        Some(seq),
        "a repeat of the same"
    );
    assert!(broker.give_up_ordered(&head, b"end".to_vec().into()).await.unwrap());
    let (last, given_up) = broker.ordered_head(&first).await.unwrap().unwrap();
    assert_eq!(given_up.filed.unwrap().record, b"end".to_vec());
    assert_eq!(given_up.due, None, "its worker looks at it now");
    // A worker that had it in hand meanwhile: the same hop of the same delivery with another content.
    assert_eq!(broker.set_ordered_head(&tried(&head), seq).await.unwrap(), None);
    assert_eq!(broker.ordered_head(&first).await.unwrap().unwrap().0, last);
    assert!(
        !broker.give_up_ordered(&head, b"end".to_vec().into()).await.unwrap(),
        "its worker removes it"
    );
    let next = Delivery {
        generation: 1,
        ..first.clone()
    };
    assert!(
        broker.give_up_ordered(&next, b"end".to_vec().into()).await.unwrap(),
        "its replay was not tried"
    );
}

#[tokio::test]
async fn the_same_hop_with_another_content_is_not_taken_for_a_repeat() {
    let (_server, broker) = ready_to_deliver().await;
    let head = tried(&queued("first", "a"));
    broker.set_ordered_head(&head, 0).await.unwrap().unwrap();
    let other = Delivery { attempt: 2, ..head };
    assert_eq!(broker.set_ordered_head(&other, 0).await.unwrap(), None);
}

#[tokio::test]
async fn a_key_that_waits_behind_a_settled_letter_is_let_go_whoever_was_killed_between() {
    let (_server, broker) = ready_to_deliver().await;
    let mut places = Vec::new();
    for name in ["open", "settled", "gone"] {
        let dead = tried(&queued(name, name));
        let now = Timestamp::now();
        let letter = DeadLetter::of_delivery(Stage::Delivery, DeadReason::Rejected, "no", dead.clone(), now);
        let seq = broker.bury(&letter, name).await.unwrap().seq;
        let held = Delivery {
            held: true,
            letter: Some(seq),
            due: None,
            ..dead.next_hop()
        };
        broker.set_ordered_head(&held, 0).await.unwrap().unwrap();
        places.push(seq);
    }
    // The act that settles one is killed before it lets the key go.
    let mark = Mark {
        act: "a".to_owned(),
        did: Did::Discarded,
        seqs: vec![places[1]],
        to: None,
        generation: 0,
        at: Timestamp::now(),
    };
    let mark = wire::encode(&mark).unwrap();
    let publish = Publish {
        subject: subjects::dead_mark("a").into(),
        id: None,
        headers: Vec::new(),
        body: mark.into(),
    };
    broker.publisher().publish(publish).await.unwrap();
    broker.remove(subjects::DEAD, places[2]).await.unwrap();
    let release = async |waited| {
        let released = broker.release_settled(&provider(), &org(), "i1", waited).await.unwrap();
        let names = released.iter().map(|dead| dead.event().event.id.clone());
        names.collect::<std::collections::BTreeSet<String>>()
    };
    let none: [String; 0] = [];
    assert_eq!(
        release(Duration::from_secs(60)).await,
        none.clone().into(),
        "they wait since a moment ago only"
    );
    let wanted = ["gone", "settled"].map(str::to_owned);
    assert_eq!(release(Duration::ZERO).await, wanted.into());
    for (name, held) in [("open", true), ("settled", false), ("gone", false)] {
        let (_, head) = broker.ordered_head(&queued(name, name)).await.unwrap().unwrap();
        assert_eq!(head.held, held, "{name}");
    }
    assert_eq!(release(Duration::ZERO).await, none.into(), "once is enough");
}
