//! Outcomes are stored before what they were made of is acknowledged.

use signalbox_broker::{
    hops::Hop,
    outcomes::{Entry, Outcomes, Settled, encode},
    topology::Consumer,
};
use signalbox_proto::{Lane, Record, subjects};

use crate::harness::{
    Server, config, connect_with, delivery, eventually, jetstream, messages, open, provider, soon, take,
};

#[tokio::test]
async fn a_batch_is_stored_and_then_acknowledged_and_refused_where_there_is_no_room() {
    let server = Server::start().await;
    let broker = connect_with(config(&server.url())).await;
    broker.ensure_streams().await.unwrap();
    let jetstream = jetstream(&server).await;
    let small = jetstream.get_stream(subjects::OUTCOMES).await.unwrap();
    let mut small = small.cached_info().config.clone();
    small.max_bytes = 20_000;
    jetstream.update_stream(small).await.unwrap();
    broker.ensure_provider(&provider()).await.unwrap();
    let stream = subjects::deliver_stream(&provider());
    for number in 0..100 {
        broker
            .hop(&delivery(&number.to_string(), "i1"), Hop::Deliver(Lane::Live))
            .await
            .unwrap();
    }
    let mut puller = open(&broker, Consumer::lane(&provider(), Lane::Live)).await.unwrap();
    let mut taken = take(&mut puller, 100).await;
    let (outcomes, mut settled) = Outcomes::start(&broker, "delivery", "one");
    let entry = |tickets, count: u64| Entry {
        record: encode(&Record::NoRoute((0..count).map(|seq| (seq, seq)).collect())).unwrap(),
        tickets,
        mark: count,
    };
    let last = taken.pop().unwrap();
    for message in taken {
        outcomes.push(entry(vec![message.into_ticket()], 1));
    }
    let mut stored = 0;
    while stored < 99 {
        let Some(Settled::Stored(entries)) = soon("a batch", settled.recv()).await else {
            panic!("there is room")
        };
        stored += entries.len();
        assert_eq!(
            messages(&broker, &stream).await,
            100 - stored as u64,
            "acknowledged by then"
        );
    }
    assert_eq!(messages(&broker, subjects::OUTCOMES).await, 2, "64 and 35 in a batch");

    // More than 20 KB, even compressed as a count of bytes before compression.
    outcomes.push(entry(vec![last.into_ticket()], 9_000));
    let Some(Settled::Refused(entries)) = soon("a batch", settled.recv()).await else {
        panic!("there is no room")
    };
    assert_eq!(entries[0].mark, 9_000);
    assert!(outcomes.is_full());
    assert_eq!(messages(&broker, &stream).await, 1, "not acknowledged");

    // The record of what has gone on is kept until there is room, which is found out by itself.
    outcomes.push(entry(Vec::new(), 1));
    let Some(Settled::Stored(_)) = soon("a batch", settled.recv()).await else {
        panic!("a small one finds room")
    };
    eventually("room", async || (!outcomes.is_full()).then_some(())).await;
}
