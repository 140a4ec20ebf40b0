//! Reading without taking away.

use std::ops::ControlFlow;

use signalbox_broker::{
    Broker, Message,
    browse::{dead_letter_id, dead_letter_seq},
    hops::Hop,
    topology::{Consumer, From},
};
use signalbox_proto::{
    DeadLetter, DeadReason, Lane, Stage, Timestamp,
    act::{Did, Mark},
    subjects, wire,
};

use crate::harness::{connect, delivery, messages, open, provider, publish, ready, ready_to_deliver, soon, take, text};

async fn events(broker: &Broker, count: usize) {
    for number in 0..count {
        let subject = if number % 50 == 0 {
            "signalbox.event.0.acme.rare"
        } else {
            "signalbox.event.0.acme.often"
        };
        broker
            .publisher()
            .publish(publish(subject, None, &number.to_string()))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_scan_reads_up_to_the_end_and_stops_where_it_is_told() {
    let (server, broker) = ready().await;
    let none = broker.scan(subjects::EVENTS, vec![subjects::EVENT_ALL.into()], From::Seq(1), |_| {
        ControlFlow::Continue(())
    });
    assert_eq!(soon("the scan of nothing", none).await.unwrap(), 0);
    events(&broker, 120).await;
    for (from, stop_at, expected) in [
        (1, 1_000, 0..120),
        (101, 1_000, 100..120),
        (1, 7, 0..7),
        (500, 1_000, 0..0),
    ] {
        let mut seen = Vec::new();
        let each = |message: Message| {
            seen.push(text(&message));
            if seen.len() == stop_at {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let count = broker
            .scan(
                subjects::EVENTS,
                vec![subjects::EVENT_ALL.into()],
                From::Seq(from),
                each,
            )
            .await
            .unwrap();
        assert_eq!(count, expected.len() as u64);
        assert_eq!(seen, expected.map(|number| number.to_string()).collect::<Vec<_>>());
    }
    let rare = vec!["signalbox.event.0.acme.rare".to_owned()];
    let seen = broker
        .scan(subjects::EVENTS, rare, From::Time(Timestamp::from_secs(0)), |_| {
            ControlFlow::Continue(())
        })
        .await;
    assert_eq!(seen.unwrap(), 3);
    let consumers = crate::harness::jetstream(&server)
        .await
        .get_stream(subjects::EVENTS)
        .await
        .unwrap();
    assert_eq!(
        consumers.cached_info().state.consumer_count,
        0,
        "readers leave nothing behind"
    );
}

#[tokio::test]
async fn a_scan_ends_although_what_it_waits_for_is_purged_meanwhile() {
    let (_server, broker) = ready().await;
    events(&broker, 100).await;
    let other = connect(&broker.config().url).await;
    let mut seen = 0;
    // The first 10 hold the scan up: purged by then is what no pull has taken yet.
    let scan = broker.scan(subjects::EVENTS, vec![subjects::EVENT_ALL.into()], From::Seq(1), |_| {
        seen += 1;
        ControlFlow::Continue(())
    });
    let (count, purged) = tokio::join!(soon("the scan", scan), other.purge_events(101));
    assert_eq!((count.unwrap(), purged.is_ok()), (seen, true));
    assert!(seen <= 100);
}

#[tokio::test]
async fn a_work_queue_is_read_without_being_touched() {
    let (_server, broker) = ready_to_deliver().await;
    let stream = subjects::deliver_stream(&provider());
    for number in 0..30 {
        broker
            .hop(&delivery(&number.to_string(), "i1"), Hop::Deliver(Lane::Live))
            .await
            .unwrap();
    }
    let mut puller = open(&broker, Consumer::lane(&provider(), Lane::Live)).await.unwrap();
    let held = take(&mut puller, 10).await;
    let mut ids = Vec::new();
    broker
        .scan_queue(&stream, ">", |stored| ids.push(stored.seq))
        .await
        .unwrap();
    assert_eq!(ids, (1..=30).collect::<Vec<u64>>(), "also what a worker holds");
    assert_eq!(messages(&broker, &stream).await, 30);
    let progress = Consumer::lane(&provider(), Lane::Live).progress(&broker).await.unwrap();
    assert_eq!((progress.pending, progress.ack_pending), (20, 10));
    held.last().unwrap().confirm(&broker).await.unwrap();
    let mut none = 0;
    broker
        .scan_queue(&stream, "signalbox.deliver.webhook.bulk.>", |_| none += 1)
        .await
        .unwrap();
    assert_eq!(none, 0);
}

/// The server ends an answer of many messages where its bytes are many.
#[tokio::test]
async fn large_messages_are_all_read() {
    let (_server, broker) = ready().await;
    let body = "x".repeat(1_000_000);
    let mut receipts = Vec::new();
    for _ in 0..100 {
        receipts.push(
            broker
                .publisher()
                .send(publish("signalbox.batch.acme.i1", None, &body), None)
                .await,
        );
    }
    soon("acknowledgements", futures::future::join_all(receipts)).await;
    let mut seen = Vec::new();
    broker
        .scan_queue(subjects::BATCH, subjects::BATCH_ALL, |stored| seen.push(stored.seq))
        .await
        .unwrap();
    assert_eq!(seen, (1..=100).collect::<Vec<u64>>());
    let mut back = Vec::new();
    let each = |stored: signalbox_broker::browse::Stored| {
        back.push(stored.seq);
        ControlFlow::Continue(())
    };
    broker
        .read_back(subjects::BATCH, subjects::BATCH_ALL, None, each)
        .await
        .unwrap();
    assert_eq!(back, (1..=100).rev().collect::<Vec<u64>>());
}

#[tokio::test]
async fn reading_back_is_newest_first_and_goes_on_where_it_stopped() {
    let (_server, broker) = ready().await;
    events(&broker, 1_001).await;
    for (filter, expected) in [
        (subjects::EVENT_ALL, (1..=1_001).rev().collect::<Vec<u64>>()),
        (
            "signalbox.event.0.acme.rare",
            (1..=1_001).rev().filter(|seq| (seq - 1) % 50 == 0).collect(),
        ),
        ("signalbox.event.0.acme.none", Vec::new()),
    ] {
        for page in [7, 300, 5_000] {
            let mut before = None;
            let mut all: Vec<u64> = Vec::new();
            loop {
                let mut part = Vec::new();
                let each = |stored: signalbox_broker::browse::Stored| {
                    part.push(stored.seq);
                    if part.len() == page {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                };
                broker.read_back(subjects::EVENTS, filter, before, each).await.unwrap();
                before = part.last().copied();
                all.extend(&part);
                if part.len() < page {
                    break;
                }
            }
            assert_eq!(all, expected, "{filter} by {page}");
        }
    }
}

#[tokio::test]
async fn marks_say_what_was_done_to_a_dead_letter() {
    let (_server, broker) = ready().await;
    let now = Timestamp::from_secs(1_000);
    let mut seqs = Vec::new();
    for number in 0..4 {
        let dead = DeadLetter::of_delivery(
            Stage::Delivery,
            DeadReason::Exhausted,
            "503",
            delivery(&number.to_string(), "i1"),
            now,
        );
        let ack = broker.bury(&dead, &number.to_string()).await.unwrap();
        assert!(
            broker.bury(&dead, &number.to_string()).await.unwrap().duplicate,
            "a repeat is one dead letter"
        );
        seqs.push(ack.seq);
    }
    for (did, seq) in [
        (Did::Intend, seqs[0]),
        (Did::Replayed, seqs[1]),
        (Did::Discarded, seqs[2]),
    ] {
        let mark = Mark {
            act: "a1".into(),
            did,
            seqs: vec![seq],
            to: None,
            generation: 0,
            at: now,
        };
        let message = signalbox_broker::Publish {
            subject: subjects::dead_mark("a1").into(),
            id: None,
            headers: Vec::new(),
            body: wire::encode(&mark).unwrap().into(),
        };
        broker.publisher().publish(message).await.unwrap();
    }
    let marks = broker.marks().await.unwrap();
    let settled: Vec<bool> = seqs.iter().map(|seq| marks.is_settled(*seq)).collect();
    assert_eq!(settled, [false, true, true, false]);
    assert_eq!(marks.of(seqs[1]), (Some(now), None));

    let buried = broker.dead_letter(seqs[2]).await.unwrap().unwrap();
    assert_eq!(
        (buried.seq, buried.replayed_at, buried.discarded_at),
        (seqs[2], None, Some(now))
    );
    assert_eq!(buried.letter.delivery.unwrap().events[0].event.id, "2");
    assert!(broker.dead_letter(99).await.unwrap().is_none());
    assert!(
        broker.dead_letter(seqs[3] + 1).await.unwrap().is_none(),
        "a mark is no dead letter"
    );
    assert_eq!(dead_letter_seq(&dead_letter_id(7)), Some(7));
}

#[tokio::test]
async fn the_next_message_of_a_subject_is_found_by_one_request_and_its_absence_too() {
    let (_server, broker) = ready().await;
    let (all, rare) = (">", "signalbox.event.0.acme.rare");
    let next = async |filter: &str, seq: u64| {
        let next = broker.next(subjects::EVENTS, filter, seq).await.unwrap();
        next.map(|stored| (stored.seq, String::from_utf8(stored.body.to_vec()).unwrap()))
    };
    assert_eq!(next(all, 1).await, None);
    events(&broker, 60).await;
    let found = |seq: u64| Some((seq, (seq - 1).to_string()));
    for (filter, seq, expected) in [
        (all, 0, found(1)),
        (all, 60, found(60)),
        (all, 61, None),
        (rare, 2, found(51)),
        (rare, 52, None),
    ] {
        assert_eq!(next(filter, seq).await, expected, "{filter} from {seq}");
    }
    broker.purge_events(40).await.unwrap();
    assert_eq!(next(all, 1).await, found(40));
}

#[tokio::test]
async fn a_stream_that_is_not_there_is_told_from_one_that_does_not_answer() {
    let (mut server, broker) = ready().await;
    let state = broker.stream_state_if_any(subjects::EVENTS).await.unwrap();
    assert_eq!(state.map(|state| state.messages), Some(0));
    assert_eq!(broker.stream_state_if_any("NOT_MADE").await.unwrap(), None);
    broker
        .next("NOT_MADE", ">", 1)
        .await
        .expect_err("nobody answers for a stream that is not there");
    server.kill().await;
    broker
        .stream_state_if_any(subjects::EVENTS)
        .await
        .expect_err("the server is gone");
}
