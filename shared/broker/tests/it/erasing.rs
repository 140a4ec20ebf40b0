//! Erasing: what a router has in hand is left to it, and what came late is counted.

use signalbox_broker::{
    Broker,
    erase::{Mode, Waiting, What},
    topology::Consumer,
};
use signalbox_proto::{DeadLetter, DeadReason, Delivery, Name, Stage, Timestamp, dead::Input, subjects};

use crate::harness::{accept, messages, open, provider, ready, soon};

const NOTHING: Waiting = Waiting { erased: 0, in_hand: 0 };

fn of_event(org: &Name, source: &str, id: &str) -> What {
    What::Event {
        org: org.clone(),
        source: source.to_owned(),
        id: id.to_owned(),
    }
}

#[tokio::test]
async fn an_event_is_left_to_the_router_that_has_it_in_hand() {
    let (_server, broker) = ready().await;
    let mut router = open(&broker, Consumer::router(0, 1)).await.unwrap();
    let mut known = Vec::new();
    for id in ["routed", "in-hand", "later"] {
        known.push(accept(&broker, id).await);
    }
    let (org, source) = (known[0].event.org.clone(), known[0].event.source.clone());
    let erase = async |id: &str, mode, whatever| {
        broker
            .erase_events(&of_event(&org, &source, id), mode, whatever)
            .await
            .unwrap()
    };
    let in_hand = Waiting { erased: 0, in_hand: 1 };
    let erased = Waiting { erased: 1, in_hand: 0 };
    let first = soon("an event", router.next(1)).await;
    assert_eq!(erase("routed", Mode::Erase, false).await, in_hand);
    assert_eq!(erase("routed", Mode::Count, true).await, erased, "whoever has it");
    first.confirm(&broker).await.unwrap();
    let second = soon("an event", router.next(1)).await;
    assert_eq!(erase("routed", Mode::Erase, false).await, erased);
    assert_eq!(erase("in-hand", Mode::Erase, false).await, in_hand);
    assert_eq!(erase("later", Mode::Count, false).await, erased, "nobody has had it");
    let all = broker
        .erase_events(&What::Org(org.clone()), Mode::Erase, false)
        .await
        .unwrap();
    assert_eq!(all, Waiting { erased: 1, in_hand: 1 });
    second.confirm(&broker).await.unwrap();
    assert_eq!(erase("in-hand", Mode::Erase, false).await, erased);
    assert_eq!(erase("in-hand", Mode::Erase, false).await, NOTHING);
    assert_eq!(messages(&broker, subjects::EVENTS).await, 0);
}

async fn bury(broker: &Broker, letter: &DeadLetter, id: &str) -> u64 {
    broker.bury(letter, id).await.unwrap().seq
}

#[tokio::test]
async fn letters_that_came_late_are_counted_and_those_that_anybody_can_send_in_are_not() {
    let (_server, broker) = ready().await;
    let org = Name::default_org();
    let mut accepted = accept(&broker, "one").await;
    accepted.event.org = org.clone();
    let source = accepted.event.source.clone();
    let delivery = Delivery::first(accepted, "i1", &provider(), 1, 1);
    let of_delivery = DeadLetter::of_delivery(Stage::Delivery, DeadReason::Rejected, "400", delivery, Timestamp::now());
    let of_input = |org: Option<Name>, is_kept: bool| {
        let input = Input {
            subject: "signalbox.in.default.tick".to_owned(),
            headers: vec![("ce-id".to_owned(), "one".to_owned())],
            body: b"no JSON".to_vec(),
        };
        let now = Timestamp::now();
        let mut letter = DeadLetter::of_input(Stage::Ingest, DeadReason::Invalid, "no JSON", org, input, now);
        letter.input = letter.input.filter(|_| is_kept);
        letter
    };
    let (event, all) = (of_event(&org, &source, "one"), What::Org(org.clone()));
    let late = async |behind| {
        let (event, all) = (broker.late_letters(&event, behind), broker.late_letters(&all, behind));
        (event.await.unwrap(), all.await.unwrap())
    };
    assert_eq!(late(0).await, (0, 0));
    bury(&broker, &of_input(None, true), "a").await;
    bury(&broker, &of_input(Some(org.clone()), false), "b").await;
    assert_eq!(late(0).await, (0, 0), "they are made as long as somebody sends such");
    let kept = bury(&broker, &of_input(Some(org.clone()), true), "c").await;
    assert_eq!(late(0).await, (0, 1), "of a closed org nothing must be kept");
    let last = bury(&broker, &of_delivery, "d").await;
    assert_eq!(late(0).await, (1, 2));
    assert_eq!(late(kept).await, (1, 1));
    assert_eq!(late(last).await, (0, 0));
    // Whatever counts is removed: it is not counted for ever.
    broker.erase_letters(&event, 1..=last, Mode::Erase).await.unwrap();
    assert_eq!(late(0).await, (0, 0));
    broker.erase_letters(&all, 1..=last, Mode::Erase).await.unwrap();
    assert_eq!(messages(&broker, subjects::DEAD).await, 0);
}
