//! The ledger check, over streams filled by hand.

use std::time::Duration;

use signalbox_broker::{Broker, Publish, hops::Hop, ledger::Report, topology::Consumer};
use signalbox_proto::{
    Accepted, Attempt, DeadLetter, DeadReason, Delivery, Lane, Record, Stage, Timestamp,
    act::{Did, Mark},
    ledger::Final,
    outcome::{Batch, EventRef, Next},
    subjects, wire,
};

use crate::harness::{accept, open, org, provider, ready_to_deliver, soon};

async fn put(broker: &Broker, subject: String, body: Vec<u8>) {
    let publish = Publish {
        subject: subject.into(),
        id: None,
        headers: Vec::new(),
        body: body.into(),
    };
    broker.publisher().publish(publish).await.unwrap();
}

async fn report_records(broker: &Broker, records: &[Record]) {
    let records = records
        .iter()
        .map(|record| signalbox_broker::outcomes::encode(record).unwrap())
        .collect();
    put(
        broker,
        subjects::outcome("delivery", "one"),
        wire::encode(&Batch { records }).unwrap(),
    )
    .await;
}

fn attempt(delivery: &Delivery, next: Next) -> Record {
    let accepted = delivery.event();
    Record::Attempt(Attempt {
        delivery: delivery.id.clone(),
        generation: delivery.generation,
        attempt: 1,
        org: org(),
        provider: provider(),
        integration: delivery.integration.clone(),
        events: vec![EventRef {
            id: accepted.event.id.clone(),
            source: accepted.event.source.clone(),
            event_type: accepted.event.event_type.clone(),
            seq: accepted.seq,
            accepted_at: accepted.at,
            matched: delivery.matched,
        }],
        at: Timestamp::now(),
        duration_ms: 1,
        outcome: None,
        response_code: None,
        response_body: String::new(),
        error_message: None,
        next,
        next_at: None,
    })
}

async fn bury(broker: &Broker, delivery: &Delivery, reason: DeadReason) -> u64 {
    let dead = DeadLetter::of_delivery(Stage::Delivery, reason, "503", delivery.clone(), Timestamp::now());
    broker.bury(&dead, &delivery.hop_id()).await.unwrap().seq
}

async fn owed(broker: &Broker, id: &str, matched: u32) -> (Accepted, Delivery) {
    let accepted = accept(broker, id).await;
    let delivery = Delivery::first(accepted.clone(), "i1", &provider(), 1, matched);
    (accepted, delivery)
}

/// Lets the router's consumer be through with all that is there.
async fn routed(broker: &Broker) {
    let mut puller = open(broker, Consumer::router(0, 1)).await.unwrap();
    for _ in 0..puller.pending_at_start() {
        soon("an event", puller.next(100)).await.confirm(broker).await.unwrap();
    }
}

async fn check(broker: &Broker) -> Report {
    soon(
        "the check",
        broker.check_ledger(Timestamp::now() - Duration::from_secs(600)),
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn every_delivery_is_found_where_it_is() {
    let (_server, broker) = ready_to_deliver().await;
    // Ended.
    let (_, delivered) = owed(&broker, "delivered", 1).await;
    report_records(
        &broker,
        &[
            attempt(&delivered, Next::Retrying),
            attempt(&delivered, Next::Final(Final::Delivered)),
        ],
    )
    .await;
    let (_, dead) = owed(&broker, "dead", 1).await;
    bury(&broker, &dead, DeadReason::Exhausted).await;
    let (_, expired) = owed(&broker, "expired", 1).await;
    bury(&broker, &expired, DeadReason::Expired).await;
    let (_, discarded) = owed(&broker, "discarded", 1).await;
    let seq = bury(&broker, &discarded, DeadReason::Exhausted).await;
    let mark = Mark {
        act: "a".into(),
        did: Did::Discarded,
        seqs: vec![seq],
        to: None,
        generation: 0,
        at: Timestamp::now(),
    };
    put(&broker, subjects::dead_mark("a"), wire::encode(&mark).unwrap()).await;
    // Dead in one generation, delivered in the next; and dead although a copy was delivered.
    let (_, replayed) = owed(&broker, "replayed", 1).await;
    bury(&broker, &replayed, DeadReason::Rejected).await;
    report_records(
        &broker,
        &[attempt(
            &Delivery {
                generation: 1,
                ..replayed
            },
            Next::Final(Final::Delivered),
        )],
    )
    .await;
    let (_, twice) = owed(&broker, "twice", 1).await;
    bury(&broker, &twice, DeadReason::Expired).await;
    report_records(&broker, &[attempt(&twice, Next::Final(Final::Delivered))]).await;
    // Still moving: in a lane, scheduled, parked, replayed.
    let (_, lane) = owed(&broker, "lane", 1).await;
    broker.hop(&lane, Hop::Deliver(Lane::Live)).await.unwrap();
    let (_, scheduled) = owed(&broker, "scheduled", 1).await;
    broker
        .hop(&scheduled, Hop::Schedule(Timestamp::now() + Duration::from_secs(600)))
        .await
        .unwrap();
    let (_, parked) = owed(&broker, "parked", 1).await;
    let gate = broker.close_gate("i1").await.unwrap();
    broker.park(&parked, gate).await.unwrap();
    let (_, again) = owed(&broker, "again", 1).await;
    bury(&broker, &again, DeadReason::Rejected).await;
    broker
        .hop(
            &Delivery {
                generation: 1,
                ..again.clone()
            },
            Hop::Deliver(Lane::Bulk),
        )
        .await
        .unwrap();
    // Without a route, in a range.
    let first = accept(&broker, "no-route-1").await.seq;
    let last = accept(&broker, "no-route-2").await.seq;
    report_records(&broker, &[Record::NoRoute(vec![(first, last)])]).await;
    // Two owed, one of them delivered, the other in a lane.
    let (accepted, one) = owed(&broker, "two", 2).await;
    report_records(&broker, &[attempt(&one, Next::Final(Final::Delivered))]).await;
    let other = Delivery::first(accepted, "i2", &provider(), 1, 2);
    broker.hop(&other, Hop::Deliver(Lane::Ordered)).await.unwrap();
    routed(&broker).await;
    // Not routed yet.
    accept(&broker, "unrouted").await;

    let report = check(&broker).await;
    assert!(report.is_even(), "{report:?}");
    assert_eq!(
        (report.events, report.no_route, report.unrouted, report.unreadable),
        (13, 2, 1, 0)
    );
    assert_eq!(report.deliveries, 12);
    assert_eq!(
        (report.delivered, report.dead, report.expired, report.discarded),
        (4, 1, 1, 1)
    );
    let mut moving = report.moving_ids.clone();
    moving.sort();
    let mut expected = vec![lane.id, scheduled.id, parked.id, again.id, other.id];
    expected.sort();
    assert_eq!((report.moving, moving), (5, expected));
}

#[tokio::test]
async fn what_no_stream_knows_is_missing() {
    let (_server, broker) = ready_to_deliver().await;
    let lost = accept(&broker, "lost").await.seq;
    let (accepted, half) = owed(&broker, "half", 2).await;
    report_records(&broker, &[attempt(&half, Next::Final(Final::Delivered))]).await;
    let (tried_event, tried) = owed(&broker, "tried", 1).await;
    report_records(&broker, &[attempt(&tried, Next::Retrying)]).await;
    let (_, fine) = owed(&broker, "fine", 1).await;
    report_records(&broker, &[attempt(&fine, Next::Final(Final::Delivered))]).await;
    put(&broker, subjects::outcome("delivery", "one"), b"no record".to_vec()).await;
    routed(&broker).await;

    let report = check(&broker).await;
    assert!(!report.is_even());
    assert_eq!((report.missing, report.delivered, report.unreadable), (3, 2, 1));
    let seqs: Vec<u64> = report.missing_events.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, [lost, accepted.seq, tried_event.seq]);
}

/// A delivery that moves and ends while the check looks is no missing one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_that_move_meanwhile_are_not_missing() {
    let (_server, broker) = ready_to_deliver().await;
    let mut all = Vec::new();
    for number in 0..200 {
        let (_, delivery) = owed(&broker, &number.to_string(), 1).await;
        broker.hop(&delivery, Hop::Deliver(Lane::Live)).await.unwrap();
        all.push(delivery);
    }
    routed(&broker).await;
    let working = tokio::spawn({
        let broker = broker.clone();
        async move {
            let mut puller = open(&broker, Consumer::lane(&provider(), Lane::Live)).await.unwrap();
            let gate = broker.close_gate("i1").await.unwrap();
            for number in 0..200 {
                let message = soon("a delivery", puller.next(1)).await;
                let delivery = wire::decode_delivery(&message.body).unwrap();
                match number % 3 {
                    0 => report_records(&broker, &[attempt(&delivery, Next::Final(Final::Delivered))]).await,
                    1 => drop(bury(&broker, &delivery.next_hop(), DeadReason::Exhausted).await),
                    _ => drop(broker.park(&delivery.next_hop(), gate).await.unwrap()),
                }
                message.confirm(&broker).await.unwrap();
            }
        }
    });
    loop {
        let report = check(&broker).await;
        assert!(report.is_even(), "{report:?}");
        assert_eq!(report.deliveries, 200);
        if working.is_finished() {
            break;
        }
    }
    working.await.unwrap();
    let report = check(&broker).await;
    assert_eq!((report.delivered, report.dead, report.moving), (67, 67, 66));
}

/// A digest in BATCH, in a lane, and ended: each member is a row of its own, under its own id.
#[tokio::test]
async fn what_is_known_of_a_digest_holds_for_each_of_its_members() {
    let (_server, broker) = ready_to_deliver().await;
    let mut digests = Vec::new();
    for (number, name) in ["delivered", "dead", "expired", "discarded", "replayed", "lane", "one"]
        .into_iter()
        .enumerate()
    {
        let mut members = Vec::new();
        // Each event matched another integration, which is known to have it.
        let size = if name == "one" { 1 } else { 3 };
        for index in 0..size {
            let (accepted, member) = owed(&broker, &format!("{name}-{index}"), 2).await;
            let other = Delivery::first(accepted, "i2", &provider(), 1, 2);
            report_records(&broker, &[attempt(&other, Next::Final(Final::Delivered))]).await;
            members.push(member);
        }
        let manifest = signalbox_proto::digest::Manifest {
            id: format!("digest-{number}"),
            org: org(),
            integration: "i1".into(),
            first: 1,
            last: 3,
            count: 3,
            sent: false,
            way: None,
        };
        digests.push(manifest.digest(members, 1).unwrap());
    }
    let ended =
        |digest: &Delivery, state| Record::Attempt(Attempt::unasked(digest, Next::Final(state), Timestamp::now()));
    let [delivered, dead, expired, discarded, replayed, lane, one] = digests.try_into().unwrap();
    report_records(
        &broker,
        &[ended(&delivered, Final::Delivered), ended(&one, Final::Delivered)],
    )
    .await;
    bury(&broker, &dead, DeadReason::Exhausted).await;
    bury(&broker, &expired, DeadReason::Expired).await;
    let seq = bury(&broker, &discarded, DeadReason::Exhausted).await;
    let mark = Mark {
        act: "a".into(),
        did: Did::Discarded,
        seqs: vec![seq],
        to: None,
        generation: 0,
        at: Timestamp::now(),
    };
    put(&broker, subjects::dead_mark("a"), wire::encode(&mark).unwrap()).await;
    bury(&broker, &replayed, DeadReason::Rejected).await;
    let again = Delivery {
        generation: 1,
        ..replayed
    };
    report_records(&broker, &[ended(&again, Final::Delivered)]).await;
    // Published, its members not removed yet.
    broker.hop(&lane, Hop::Deliver(Lane::Live)).await.unwrap();
    for accepted in &lane.events {
        let member = Delivery::first(accepted.clone(), "i1", &provider(), 1, 2);
        broker.hop(&member, Hop::Batch).await.unwrap();
    }
    // Gathered alone; and waiting for its turn, with the state of its first attempt.
    let (_, gathered) = owed(&broker, "gathered", 1).await;
    broker.hop(&gathered, Hop::Batch).await.unwrap();
    let (_, mut ordered) = owed(&broker, "ordered", 1).await;
    ordered.order_key = Some("key".into());
    broker.hop(&ordered, Hop::Order).await.unwrap();
    let head = Delivery {
        attempt: 1,
        ..ordered.next_hop()
    };
    broker.set_ordered_head(&head, 0).await.unwrap();
    routed(&broker).await;

    let report = check(&broker).await;
    assert!(report.is_even(), "{report:?}");
    assert_eq!(report.unreadable, 0);
    // The other integration's 19, and what the digests stand for.
    assert_eq!(report.delivered, 19 + 3 + 1 + 3, "{report:?}");
    assert_eq!((report.dead, report.expired, report.discarded), (3, 3, 3), "{report:?}");
    let mut moving = report.moving_ids.clone();
    moving.sort();
    let mut expected = lane.member_ids();
    expected.extend([gathered.id, ordered.id]);
    expected.sort();
    assert_eq!(moving, expected);
}
