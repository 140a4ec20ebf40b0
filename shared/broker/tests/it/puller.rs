//! Pulling through everything that can happen.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use signalbox_broker::{
    Broker, Message, Puller,
    hops::Hop,
    topology::{Consumer, From},
};
use signalbox_proto::{Lane, subjects};

use crate::harness::{
    Proxy, Server, connect, delivery, eventually, jetstream, open, provider, publish, ready, ready_to_deliver, soon,
    take, text,
};

/// Long enough for anything that would come, to come.
const QUIET: Duration = Duration::from_millis(300);

fn live() -> Consumer {
    Consumer::lane(&provider(), Lane::Live)
}

/// Publishes deliveries `from..to` into the live lane.
async fn deliver(broker: &Broker, numbers: std::ops::Range<usize>) {
    let mut receipts = FuturesUnordered::new();
    for number in numbers {
        receipts.push(
            broker
                .send_hop(&delivery(&number.to_string(), "i1"), Hop::Deliver(Lane::Live))
                .await
                .unwrap(),
        );
    }
    while let Some(receipt) = soon("acknowledgements", receipts.next()).await {
        receipt.unwrap();
    }
}

/// Nothing comes while `want` are wanted.
async fn assert_quiet(puller: &mut Puller, want: usize) {
    if let Ok(message) = tokio::time::timeout(QUIET, puller.next(want)).await {
        panic!("{:?} came", message.place);
    }
}

#[tokio::test]
async fn never_more_is_under_way_than_is_wanted() {
    let (_server, broker) = ready_to_deliver().await;
    let mut puller = open(&broker, live()).await.unwrap();
    deliver(&broker, 0..100).await;
    let held = take(&mut puller, 10).await;
    assert_quiet(&mut puller, 0).await;
    assert_eq!(live().progress(&broker).await.unwrap().ack_pending, 10);
    held[0].confirm(&broker).await.unwrap();
    take(&mut puller, 3).await;
    assert_quiet(&mut puller, 0).await;
    let progress = live().progress(&broker).await.unwrap();
    assert_eq!(
        (progress.ack_pending, progress.pending, progress.ack_floor),
        (12, 87, 1)
    );
}

#[tokio::test]
async fn a_deleted_consumer_is_made_again() {
    let (_server, broker) = ready_to_deliver().await;
    let mut puller = open(&broker, live()).await.unwrap();
    deliver(&broker, 0..1).await;
    let first = soon("a message", puller.next(5)).await;
    first.confirm(&broker).await.unwrap();
    // While a pull stands, and while none does.
    for number in 1..3 {
        live().delete(&broker).await.unwrap();
        deliver(&broker, number..number + 1).await;
        let message = soon("a message after the deletion", puller.next(5)).await;
        message.confirm(&broker).await.unwrap();
    }
    assert_eq!(live().progress(&broker).await.unwrap().ack_pending, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_or_killed_server_only_interrupts() {
    let (mut server, broker) = ready_to_deliver().await;
    let mut puller = open(&broker, live()).await.unwrap();
    deliver(&broker, 0..50).await;
    let mut seen = HashSet::new();
    for round in 0..2 {
        for message in take(&mut puller, 25).await {
            assert!(seen.insert(message.place.seq), "{:?} again", message.place);
            message.confirm(&broker).await.unwrap();
        }
        if round == 0 {
            server.kill().await;
        } else {
            server.terminate().await;
        }
        server.restart().await;
        deliver(&broker, 50 + round * 25..75 + round * 25).await;
    }
    let begun = tokio::time::Instant::now();
    for _ in 0..50 {
        let message = soon("a message", puller.next(50)).await;
        assert!(seen.insert(message.place.seq), "{:?} again", message.place);
        // What the server had handed out to a connection that broke comes again after the ack wait, and is counted.
        assert!(
            begun.elapsed() < Duration::from_secs(5) || message.place.delivered > 1,
            "it goes on at once, not at the next heartbeat: {:?} after {:?}",
            message.place,
            begun.elapsed()
        );
        message.confirm(&broker).await.unwrap();
    }
    assert_eq!(seen.len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_leaves_no_request_behind() {
    let (server, direct) = ready_to_deliver().await;
    let proxy = Proxy::start(server.port).await;
    let broker = connect(&proxy.url()).await;
    let mut puller = open(&broker, live()).await.unwrap();
    for _ in 0..3 {
        assert_quiet(&mut puller, 10).await;
        let before = broker.is_connected();
        proxy.drop_connections();
        assert!(before);
        assert_quiet(&mut puller, 10).await;
    }
    deliver(&direct, 0..100).await;
    let mut held: Vec<Message> = Vec::new();
    while let Ok(message) = tokio::time::timeout(QUIET, puller.next(10 - held.len().min(10))).await {
        held.push(message);
    }
    assert_eq!(
        held.len(),
        10,
        "requests of cut connections are not served beside the new one"
    );
    assert_eq!(live().progress(&direct).await.unwrap().ack_pending, 10);
}

/// Longer than a request lives.
pub(crate) async fn a_pull_that_ran_out_is_followed_by_another() {
    let (_server, broker) = ready_to_deliver().await;
    let mut puller = open(&broker, live()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(32), puller.next(5))
        .await
        .expect_err("nothing was published");
    deliver(&broker, 0..20).await;
    let begun = tokio::time::Instant::now();
    take(&mut puller, 5).await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_quiet(&mut puller, 0).await;
    assert_eq!(live().progress(&broker).await.unwrap().ack_pending, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_wait_loses_nothing() {
    let (_server, broker) = ready_to_deliver().await;
    let mut puller = open(&broker, live()).await.unwrap();
    let publishing = tokio::spawn({
        let broker = broker.clone();
        async move { deliver(&broker, 0..3_000).await }
    });
    let mut seen = BTreeMap::new();
    let mut turn = 0_u64;
    soon("all messages", async {
        while seen.len() < 3_000 {
            turn += 1;
            let message = tokio::select! {
                biased;
                () = tokio::time::sleep(Duration::from_micros(turn % 3 * 150)), if !turn.is_multiple_of(4) => continue,
                () = tokio::task::yield_now(), if turn.is_multiple_of(4) => continue,
                message = puller.next(200) => message,
            };
            assert_eq!(message.place.delivered, 1);
            assert_eq!(seen.insert(message.place.seq, ()), None);
            message.ack(&broker).await.unwrap();
        }
    })
    .await;
    publishing.await.unwrap();
}

/// An owner with much to do drops each wait after the shortest time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_never_waits_long_still_gets_its_consumer_back() {
    let (_server, broker) = ready_to_deliver().await;
    let mut puller = open(&broker, live()).await.unwrap();
    take_nothing(&mut puller).await;
    live().delete(&broker).await.unwrap();
    deliver(&broker, 0..1).await;
    let message = eventually("the message", async || {
        tokio::time::timeout(Duration::from_micros(100), puller.next(5))
            .await
            .ok()
    })
    .await;
    assert_eq!(message.place.delivered, 1);
}

async fn take_nothing(puller: &mut Puller) {
    tokio::time::timeout(Duration::from_millis(50), puller.next(5))
        .await
        .expect_err("nothing was published");
}

#[tokio::test]
async fn a_puller_that_stops_hands_back_all_that_was_on_its_way() {
    let (_server, broker) = ready_to_deliver().await;
    let mut leaving = open(&broker, live()).await.unwrap();
    deliver(&broker, 0..200).await;
    let first = soon("a message", leaving.next(100)).await;
    let rest = leaving.stop().await;
    for message in rest.iter().chain([&first]) {
        message.nak(&broker).await.unwrap();
    }
    drop(leaving);
    let mut staying = open(&broker, live()).await.unwrap();
    let begun = tokio::time::Instant::now();
    let taken = take(&mut staying, 200).await;
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "nothing waits for its acknowledgement to run out"
    );
    let seqs: HashSet<u64> = taken.iter().map(|message| message.place.seq).collect();
    assert_eq!(seqs.len(), 200);
}

/// Publishes events 1, 2, 3, … one after another until told to stop, and says how many.
async fn publish_on(broker: Broker, stop: tokio::sync::oneshot::Receiver<()>) -> u64 {
    let mut stop = stop;
    let mut number = 0;
    while stop.try_recv().is_err() {
        number += 1;
        let message = publish(
            "signalbox.event.0.acme.t",
            Some(&number.to_string()),
            &number.to_string(),
        );
        broker.publisher().publish(message).await.unwrap();
    }
    number
}

async fn assert_counts_up(puller: &mut Puller, next: &mut u64, count: u64) {
    for _ in 0..count {
        let message = soon("an event", puller.next(50)).await;
        assert_eq!(text(&message), next.to_string(), "in order, each once");
        *next += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_sees_each_message_once_and_in_order_through_restarts_and_cuts() {
    let (mut server, direct) = ready().await;
    let proxy = Proxy::start(server.port).await;
    let broker = connect(&proxy.url()).await;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let publishing = tokio::spawn(publish_on(direct, stopped));
    let follow = Consumer::follow(
        &broker,
        subjects::EVENTS,
        vec![subjects::EVENT_ALL.into()],
        From::Seq(1),
    );
    let mut puller = open(&broker, follow).await.unwrap();
    let mut next = 1;
    assert_counts_up(&mut puller, &mut next, 100).await;
    server.kill().await;
    server.restart().await;
    assert_counts_up(&mut puller, &mut next, 300).await;
    for _ in 0..3 {
        proxy.drop_connections();
        assert_counts_up(&mut puller, &mut next, 300).await;
    }
    server.terminate().await;
    server.restart().await;
    assert_counts_up(&mut puller, &mut next, 100).await;
    stop.send(()).unwrap();
    let last = soon("the publisher", publishing).await.unwrap();
    let rest = last + 1 - next;
    assert_counts_up(&mut puller, &mut next, rest).await;
    assert_quiet(&mut puller, 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_a_bucket_of_ten_thousand_keys_is_complete_even_through_a_cut() {
    let (server, direct) = ready().await;
    let mut receipts = FuturesUnordered::new();
    // Two revisions of each key: a consumer made again must not take the older for one that is left.
    for revision in 0..2 {
        for key in 0..10_000 {
            let message = publish(
                &format!("$KV.{}.integration.k{key}", subjects::CONFIG),
                None,
                &revision.to_string(),
            );
            receipts.push(direct.publisher().send(message, None).await);
        }
        while let Some(receipt) = receipts.next().await {
            receipt.unwrap();
        }
    }
    let proxy = Proxy::start(server.port).await;
    let broker = connect(&proxy.url()).await;
    let filter = format!("$KV.{}.integration.*", subjects::CONFIG);
    let follow = Consumer::follow(
        &broker,
        &format!("KV_{}", subjects::CONFIG),
        vec![filter],
        From::LastPerSubject,
    );
    let mut puller = open(&broker, follow).await.unwrap();
    assert_eq!(puller.pending_at_start(), 10_000);
    let mut keys = HashSet::new();
    while puller.left() > 0 {
        let message = soon("a key", puller.next(1_000)).await;
        assert_eq!(text(&message), "1");
        assert!(keys.insert(message.subject.to_string()), "{} twice", message.subject);
        if keys.len() == 2_500 {
            proxy.drop_connections();
        }
    }
    let missing: Vec<String> = (0..10_000)
        .map(|key| format!("$KV.{}.integration.k{key}", subjects::CONFIG))
        .filter(|subject| !keys.contains(subject))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
    assert_quiet(&mut puller, 1_000).await;
}

#[tokio::test]
async fn two_pullers_share_one_consumer() {
    let (_server, broker) = ready_to_deliver().await;
    let other = connect(&broker.config().url).await;
    deliver(&broker, 0..400).await;
    let pull = async |broker: &Broker| {
        let mut puller = open(broker, live()).await.unwrap();
        let mut seqs = Vec::new();
        while let Ok(message) = tokio::time::timeout(QUIET, puller.next(20)).await {
            message.ack(broker).await.unwrap();
            seqs.push(message.place.seq);
        }
        seqs
    };
    let (one, two) = tokio::join!(pull(&broker), pull(&other));
    assert!(!one.is_empty() && !two.is_empty(), "{} and {}", one.len(), two.len());
    let all: HashSet<u64> = one.iter().chain(&two).copied().collect();
    assert_eq!((one.len() + two.len(), all.len()), (400, 400));
}

#[tokio::test]
async fn a_puller_waits_for_a_stream_that_is_deleted_and_made_again() {
    let (server, broker) = ready_to_deliver().await;
    let mut puller = open(&broker, live()).await.unwrap();
    take_nothing(&mut puller).await;
    let stream = subjects::deliver_stream(&provider());
    jetstream(&server).await.delete_stream(&stream).await.unwrap();
    tokio::time::timeout(QUIET, puller.next(5))
        .await
        .expect_err("there is no stream");
    broker.ensure_provider(&provider()).await.unwrap();
    deliver(&broker, 0..1).await;
    soon("a message", puller.next(5)).await;
    drop::<Server>(server);
}
