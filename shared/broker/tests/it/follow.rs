//! Followers see each message once and in order, whatever happens to connections, and leave nothing behind.

use signalbox_broker::{
    Broker,
    follow::{Follower, Start},
    hops::Hop,
};
use signalbox_proto::{Lane, Timestamp, subjects};

use crate::harness::{
    Proxy, Server, connect, delivery, eventually, jetstream, org, provider, publish, ready, ready_to_deliver, soon,
    text,
};

const SUBJECT: &str = "signalbox.event.0.acme.often";

async fn store(broker: &Broker, bodies: std::ops::Range<u32>) {
    for number in bodies {
        let publish = publish(SUBJECT, None, &number.to_string());
        soon("a place", broker.publisher().publish(publish)).await.unwrap();
    }
}

async fn follow(broker: &Broker, start: Start) -> Follower {
    let all = vec![subjects::EVENT_ALL.to_owned()];
    broker.follow(subjects::EVENTS, all, start).await.unwrap()
}

async fn expect(follower: &mut Follower, bodies: std::ops::Range<u32>) {
    for number in bodies {
        let message = soon("a message", follower.next()).await;
        assert_eq!(text(&message), number.to_string());
    }
}

async fn consumers(server: &Server) -> usize {
    let stream = jetstream(server).await.get_stream(subjects::EVENTS).await.unwrap();
    stream.cached_info().state.consumer_count
}

#[tokio::test]
async fn a_follower_begins_where_it_is_told() {
    let (_server, broker) = ready().await;
    let begun = Timestamp::now();
    store(&broker, 0..10).await;
    let mut end = follow(&broker, Start::End).await;
    let mut after = follow(&broker, Start::After(7)).await;
    let mut since = follow(&broker, Start::Time(begun)).await;
    assert_eq!((end.left(), after.left(), since.left()), (0, 3, 10));
    store(&broker, 10..12).await;
    expect(&mut end, 10..12).await;
    expect(&mut after, 7..12).await;
    expect(&mut since, 0..12).await;
}

#[tokio::test]
async fn a_follower_loses_and_repeats_nothing_when_its_connection_breaks() {
    let (server, broker) = ready().await;
    let proxy = Proxy::start(server.port).await;
    let far = connect(&proxy.url()).await;
    let mut follower = follow(&far, Start::End).await;
    for round in 0..5 {
        let from = round * 200;
        store(&broker, from..from + 100).await;
        expect(&mut follower, from..from + 50).await;
        proxy.drop_connections();
        store(&broker, from + 100..from + 200).await;
        expect(&mut follower, from + 50..from + 200).await;
    }
}

#[tokio::test]
async fn a_dropped_follower_leaves_no_consumer_behind() {
    let (server, broker) = ready().await;
    let mut follower = follow(&broker, Start::End).await;
    store(&broker, 0..1).await;
    expect(&mut follower, 0..1).await;
    assert_eq!(consumers(&server).await, 1);
    drop(follower);
    eventually("no consumer is left", async || {
        (consumers(&server).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_queue_is_read_from_a_time_on_for_one_org() {
    let (_server, broker) = ready_to_deliver().await;
    let stream = subjects::deliver_stream(&provider());
    let put = async |from: u32, to: u32| {
        for number in from..to {
            let delivery = delivery(&number.to_string(), if number % 2 == 0 { "i1" } else { "i2" });
            broker.hop(&delivery, Hop::Deliver(Lane::Live)).await.unwrap();
        }
    };
    put(0, 10).await;
    let read = async |integration: Option<&str>, since: Timestamp| {
        let mut seqs = Vec::new();
        for filter in subjects::waiting_of(&provider(), &org(), integration) {
            let each = |stored: signalbox_broker::browse::Stored| seqs.push(stored.seq);
            broker.scan_queue_since(&stream, &filter, since, each).await.unwrap();
        }
        seqs
    };
    let mut between = None;
    broker
        .scan_queue(&stream, ">", |stored| between = Some(stored.at))
        .await
        .unwrap();
    let between = between.unwrap() + std::time::Duration::from_nanos(1);
    put(10, 14).await;
    let ago = Timestamp::from_secs(0);
    assert_eq!(read(None, ago).await, (1..=14).collect::<Vec<u64>>());
    assert_eq!(read(Some("i1"), ago).await, [1, 3, 5, 7, 9, 11, 13]);
    assert_eq!(read(None, between).await, [11, 12, 13, 14]);
    assert_eq!(read(Some("i2"), between).await, [12, 14]);
    assert_eq!(read(Some("i3"), ago).await, [0; 0]);
    let ahead = Timestamp::now() + std::time::Duration::from_secs(3_600);
    assert_eq!(read(None, ahead).await, [0; 0]);
    // Nothing was taken.
    let state = broker.stream_state(&stream).await.unwrap();
    assert_eq!(state.messages, 14);
}
