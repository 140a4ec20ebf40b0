//! Batches are stored as a whole or not at all, whatever breaks.

use std::{collections::BTreeMap, ops::ControlFlow, time::Duration};

use futures::future::join_all;
use signalbox_broker::{
    Broker, Error, Publish, PublishError,
    batch::{BATCH_MESSAGES_MAX, BatchError},
    topology::From,
};
use signalbox_proto::subjects;

use crate::harness::{
    Cluster, Server, config, connect, connect_with, eventually, jetstream, messages, publish, ready, text,
};

const DEADLINE: Duration = Duration::from_secs(10);
const SUBJECT: &str = "signalbox.event.0.acme.t";

/// Messages of one batch: their ids and bodies are `<name>-<number>`.
fn batch(name: &str, count: usize) -> Vec<Publish> {
    (0..count)
        .map(|number| {
            let text = format!("{name}-{number}");
            publish(SUBJECT, Some(&text), &text)
        })
        .collect()
}

/// The bodies of EVENTS, in order.
async fn stored(broker: &Broker) -> Result<Vec<String>, Error> {
    let mut bodies = Vec::new();
    let each = |message: signalbox_broker::Message| {
        bodies.push(text(&message));
        ControlFlow::Continue(())
    };
    broker
        .scan(subjects::EVENTS, vec![SUBJECT.into()], From::Seq(1), each)
        .await?;
    Ok(bodies)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_stored_in_order_and_each_message_has_its_sequence() {
    let (_server, broker) = ready().await;
    assert_eq!(broker.publish_batch(&[], DEADLINE).await.unwrap(), []);
    let mut expected = Vec::new();
    for (name, count) in [("one", 1), ("two", 2), ("most", BATCH_MESSAGES_MAX)] {
        let first = expected.len() as u64 + 1;
        let publishes = batch(name, count);
        let acks = broker.publish_batch(&publishes, DEADLINE).await.unwrap();
        let seqs: Vec<u64> = acks.iter().map(|ack| ack.seq).collect();
        assert_eq!(seqs, (first..first + count as u64).collect::<Vec<_>>(), "{name}");
        expected.extend((0..count).map(|number| format!("{name}-{number}")));
    }
    assert_eq!(stored(&broker).await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_that_is_known_already_keeps_the_whole_batch_out() {
    let (_server, broker) = ready().await;
    let known = batch("b", 3).remove(1);
    broker.publisher().publish(known).await.unwrap();
    let refused = broker.publish_batch(&batch("b", 3), DEADLINE).await;
    assert_eq!(refused, Err(BatchError::Repeat));
    assert_eq!(messages(&broker, subjects::EVENTS).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_refused_where_the_stream_was_not_made_for_batches() {
    let (server, broker) = ready().await;
    let jetstream = jetstream(&server).await;
    let mut config = jetstream
        .get_stream(subjects::EVENTS)
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    config.allow_atomic_publish = false;
    jetstream.update_stream(config).await.unwrap();
    let refused = broker.publish_batch(&batch("b", 3), DEADLINE).await;
    assert!(matches!(refused, Err(BatchError::Unsupported { .. })), "{refused:?}");
    assert_eq!(messages(&broker, subjects::EVENTS).await, 0);
    let drifts = broker.check_streams().await.unwrap();
    assert_eq!(
        drifts[0].fields,
        ["allow_atomic is false, declared true"],
        "it is reported"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_batch_that_does_not_fit_nothing_is_stored() {
    let (server, broker) = ready().await;
    let jetstream = jetstream(&server).await;
    let mut config = jetstream
        .get_stream(subjects::EVENTS)
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    config.max_bytes = 100_000;
    jetstream.update_stream(config).await.unwrap();
    let large = "x".repeat(4_000);
    let publishes: Vec<Publish> = (0..100)
        .map(|number| publish(SUBJECT, Some(&number.to_string()), &large))
        .collect();
    let refused = broker.publish_batch(&publishes, DEADLINE).await;
    assert!(
        matches!(refused, Err(BatchError::Publish(PublishError::Full { .. }))),
        "{refused:?}"
    );
    assert_eq!(messages(&broker, subjects::EVENTS).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_batches_at_once_than_a_server_takes_are_all_stored() {
    let (server, broker) = ready().await;
    // As several processes have: one alone waits for its places.
    let mut brokers = vec![broker.clone()];
    for _ in 0..7 {
        brokers.push(connect_with(config(&server.url())).await);
    }
    let publishing = (0..160).map(|number| {
        let broker = brokers[number % brokers.len()].clone();
        async move {
            broker
                .publish_batch(&batch(&format!("b{number}"), 50), Duration::from_secs(30))
                .await
        }
    });
    for result in join_all(publishing).await {
        assert_eq!(result.unwrap().len(), 50);
    }
    let stored = stored(&broker).await.unwrap();
    assert_eq!(stored.len(), 160 * 50);
    for chunk in stored.chunks(50) {
        let name = chunk[0].split('-').next().unwrap();
        let whole: Vec<String> = (0..50).map(|number| format!("{name}-{number}")).collect();
        assert_eq!(chunk, whole, "its messages stand next to each other");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_a_batch_ends_with_its_deadline() {
    let mut server = Server::start().await;
    let broker = connect(&server.url()).await;
    broker.ensure_streams().await.unwrap();
    server.kill().await;
    let late = broker
        .publish_batch(&batch("late", 3), Duration::from_millis(500))
        .await;
    assert_eq!(late, Err(BatchError::Publish(PublishError::TimedOut)));
    server.restart().await;
    let again = eventually("the same batch is taken", async || {
        broker.publish_batch(&batch("late", 3), DEADLINE).await.ok()
    })
    .await;
    assert_eq!(again.len(), 3);
    assert_eq!(messages(&broker, subjects::EVENTS).await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_killed_in_the_midst_leaves_each_batch_whole_or_absent() {
    const BATCHES: usize = 60;
    const MESSAGES: usize = 100;
    let mut cluster = Cluster::start().await;
    let broker = connect_with(signalbox_broker::Config {
        replicas: 3,
        ..config(&cluster.url())
    })
    .await;
    eventually("the streams of a new cluster", async || {
        broker.ensure_streams().await.ok()
    })
    .await;
    let publishing = tokio::spawn({
        let broker = broker.clone();
        async move {
            let each = (0..BATCHES).map(|number| {
                let broker = broker.clone();
                async move {
                    let publishes = batch(&format!("b{number}"), MESSAGES);
                    broker.publish_batch(&publishes, Duration::from_secs(20)).await
                }
            });
            join_all(each).await
        }
    });
    eventually("the first batches", async || {
        let state = broker.stream_state(subjects::EVENTS).await.ok()?;
        (state.messages > MESSAGES as u64).then_some(())
    })
    .await;
    cluster.servers[0].kill().await;
    let results = publishing.await.unwrap();
    cluster.servers[0].restart().await;
    let bodies = eventually("EVENTS can be read", async || {
        let state = broker.stream_state(subjects::EVENTS).await.ok()?;
        let bodies = stored(&broker).await.ok()?;
        (bodies.len() as u64 == state.messages).then_some(bodies)
    })
    .await;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for body in &bodies {
        *counts.entry(body.split('-').next().unwrap()).or_default() += 1;
    }
    assert!(counts.values().all(|count| *count == MESSAGES), "{counts:?}");
    for (number, result) in results.iter().enumerate() {
        let is_there = counts.contains_key(format!("b{number}").as_str());
        match result {
            Ok(_) | Err(BatchError::Repeat) => assert!(is_there, "batch {number} was acknowledged or known"),
            Err(BatchError::Publish(PublishError::TimedOut)) => {}
            Err(error) => panic!("batch {number}: {error}"),
        }
    }
    eprintln!(
        "{} of {BATCHES} batches are stored, {} were acknowledged",
        counts.len(),
        results.iter().filter(|result| result.is_ok()).count()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_in_the_midst_leaves_each_batch_whole_or_absent() {
    const ROUNDS: u64 = 4;
    const MESSAGES: usize = 500;
    let mut server = Server::start().await;
    let broker = connect(&server.url()).await;
    broker.ensure_streams().await.unwrap();
    for round in 0..ROUNDS {
        let publishing = tokio::spawn({
            let broker = broker.clone();
            async move {
                let each = (0..40).map(|number| {
                    let broker = broker.clone();
                    async move {
                        let publishes = batch(&format!("r{round}b{number}"), MESSAGES);
                        broker.publish_batch(&publishes, DEADLINE).await
                    }
                });
                join_all(each).await
            }
        });
        let before = messages(&broker, subjects::EVENTS).await;
        eventually("the first batch of the round", async || {
            let state = broker.stream_state(subjects::EVENTS).await.ok()?;
            (state.messages > before).then_some(())
        })
        .await;
        // Not to wait for anything: each round breaks at another moment.
        tokio::time::sleep(Duration::from_millis(round * 11)).await;
        server.kill().await;
        server.restart().await;
        let results = publishing.await.unwrap();
        let bodies = eventually("EVENTS can be read", async || {
            let state = broker.stream_state(subjects::EVENTS).await.ok()?;
            let bodies = stored(&broker).await.ok()?;
            (bodies.len() as u64 == state.messages).then_some(bodies)
        })
        .await;
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for body in &bodies {
            *counts.entry(body.split('-').next().unwrap()).or_default() += 1;
        }
        let torn: Vec<_> = counts.iter().filter(|(_, count)| **count != MESSAGES).collect();
        assert!(torn.is_empty(), "stored in part in round {round}: {torn:?}");
        for (number, result) in results.iter().enumerate() {
            let is_there = counts.contains_key(format!("r{round}b{number}").as_str());
            assert!(
                result.is_err() || is_there,
                "batch {number} was acknowledged: {result:?}"
            );
        }
    }
}
