//! Publishing through everything that can happen.

use std::{collections::BTreeMap, ops::ControlFlow, time::Duration};

use futures::{StreamExt, stream::FuturesOrdered};
use signalbox_broker::{Ack, Broker, Error, PublishError, Publisher, publisher::SHARE_MAX, topology::From};
use signalbox_proto::subjects;
use tokio::time::Instant;

use crate::harness::{
    Cluster, Proxy, config, connect, connect_with, event, eventually, jetstream, publish, ready, soon, text,
};

const ALL: &str = "signalbox.event.>";

/// Publishes so many events, each under an id, and returns the acknowledgements in order.
async fn publish_window(publisher: Publisher, count: usize) -> Vec<Ack> {
    let mut receipts = FuturesOrdered::new();
    for number in 0..count {
        let message = publish(
            "signalbox.event.0.acme.t",
            Some(&number.to_string()),
            &number.to_string(),
        );
        receipts.push_back(publisher.send(message, None).await);
    }
    receipts.map(Result::unwrap).collect().await
}

/// The bodies of EVENTS, in order.
async fn stored(broker: &Broker) -> Result<Vec<String>, Error> {
    let mut bodies = Vec::new();
    let each = |message: signalbox_broker::Message| {
        bodies.push(text(&message));
        ControlFlow::Continue(())
    };
    broker
        .scan(subjects::EVENTS, vec![ALL.into()], From::Seq(1), each)
        .await?;
    Ok(bodies)
}

fn assert_each_once(bodies: &[String], count: usize) {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for body in bodies {
        *counts.entry(body).or_default() += 1;
    }
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "stored twice: {twice:?}");
    assert_eq!(counts.len(), count, "each is stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_is_stored_in_order_where_nothing_breaks() {
    let (_server, broker) = ready().await;
    let acks = soon(
        "all acknowledgements",
        publish_window(broker.publisher().clone(), 5_000),
    )
    .await;
    assert!(
        acks.iter()
            .enumerate()
            .all(|(index, ack)| ack.seq == index as u64 + 1 && !ack.duplicate)
    );
    let bodies = stored(&broker).await.unwrap();
    assert!(
        bodies
            .iter()
            .enumerate()
            .all(|(index, body)| *body == index.to_string()),
        "order is kept"
    );
    assert_eq!(bodies.len(), 5_000);
    assert_eq!(broker.publisher().in_flight(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_survives_a_killed_server_without_loss_or_repeat() {
    let (mut server, broker) = ready().await;
    let publishing = tokio::spawn(publish_window(broker.publisher().clone(), 20_000));
    for _ in 0..2 {
        let before = broker.stream_state(subjects::EVENTS).await.unwrap().messages;
        eventually("some are stored", async || {
            (broker.stream_state(subjects::EVENTS).await.ok()?.messages > before + 1_000).then_some(())
        })
        .await;
        server.kill().await;
        server.restart().await;
        eventually("a connection", async || {
            broker.stream_state(subjects::EVENTS).await.ok()
        })
        .await;
    }
    let acks = soon("all acknowledgements", publishing).await.unwrap();
    assert_eq!(acks.len(), 20_000, "each caller has one");
    assert_each_once(&stored(&broker).await.unwrap(), 20_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_survives_cut_connections_without_loss_or_repeat() {
    let (server, _broker) = ready().await;
    let proxy = Proxy::start(server.port).await;
    let broker = connect(&proxy.url()).await;
    let direct = connect(&server.url()).await;
    let publishing = tokio::spawn(publish_window(broker.publisher().clone(), 20_000));
    for _ in 0..3 {
        let before = direct.stream_state(subjects::EVENTS).await.unwrap().messages;
        eventually("some are stored", async || {
            let messages = direct.stream_state(subjects::EVENTS).await.unwrap().messages;
            (messages > before + 500 || publishing.is_finished()).then_some(())
        })
        .await;
        proxy.cut();
        eventually("the end of the connection", async || {
            (!broker.is_connected()).then_some(())
        })
        .await;
        proxy.heal();
    }
    let acks = soon("all acknowledgements", publishing).await.unwrap();
    assert_eq!(acks.len(), 20_000);
    assert_each_once(&stored(&direct).await.unwrap(), 20_000);
}

#[tokio::test]
async fn what_is_published_without_a_connection_is_stored_once_and_in_order_after_it() {
    let (mut server, broker) = ready().await;
    server.kill().await;
    eventually("the end of the connection", async || {
        (!broker.is_connected()).then_some(())
    })
    .await;
    let mut receipts = FuturesOrdered::new();
    for number in 0..200 {
        // No id: a second copy would be stored.
        receipts.push_back(
            broker
                .publisher()
                .send(publish("signalbox.event.0.acme.t", None, &number.to_string()), None)
                .await,
        );
    }
    server.restart().await;
    let acks: Vec<_> = soon("all acknowledgements", receipts.collect()).await;
    assert!(acks.iter().all(Result::is_ok));
    let expected: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    assert_eq!(stored(&broker).await.unwrap(), expected);
}

#[tokio::test]
async fn a_repeated_id_is_one_message_and_says_so() {
    let (_server, broker) = ready().await;
    let publish = broker.event_publish(&event("e1")).unwrap();
    let first = broker.publisher().publish(publish.clone()).await.unwrap();
    let again = broker.publisher().publish(publish).await.unwrap();
    assert_eq!((first.duplicate, again.duplicate, again.seq), (false, true, first.seq));
}

#[tokio::test]
async fn a_publish_without_a_stream_waits_until_the_stream_is_made() {
    let (server, broker) = ready().await;
    let jetstream = jetstream(&server).await;
    let config = jetstream
        .get_stream(subjects::EVENTS)
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    jetstream.delete_stream(subjects::EVENTS).await.unwrap();
    let mut receipt = broker
        .publisher()
        .send(publish("signalbox.event.0.acme.t", None, "x"), None)
        .await;
    tokio::time::timeout(Duration::from_millis(500), &mut receipt)
        .await
        .expect_err("nobody could acknowledge it");
    jetstream.create_stream(config).await.unwrap();
    assert_eq!(soon("the acknowledgement", receipt).await.unwrap().seq, 1);
}

#[tokio::test]
async fn a_full_stream_says_that_it_is_full() {
    let (server, broker) = ready().await;
    let jetstream = jetstream(&server).await;
    let stream = jetstream.get_stream(subjects::EVENTS).await.unwrap();
    let mut config = stream.cached_info().config.clone();
    config.max_bytes = 40_000;
    jetstream.update_stream(config).await.unwrap();
    let body = "x".repeat(1_000);
    let mut error = None;
    for _ in 0..100 {
        if let Err(refused) = broker
            .publisher()
            .publish(publish("signalbox.event.0.acme.t", None, &body))
            .await
        {
            error = Some(refused);
            break;
        }
    }
    let error = error.expect("100 KB do not fit into 40 KB");
    assert!(matches!(error, PublishError::Full { .. }), "{error}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_condition_that_does_not_hold_is_stale() {
    let (_server, broker) = ready().await;
    let mut message = publish("signalbox.event.0.acme.t", None, "x");
    message
        .headers
        .push(("Nats-Expected-Last-Subject-Sequence", "0".into()));
    broker.publisher().publish(message.clone()).await.unwrap();
    let error = broker.publisher().publish(message).await.unwrap_err();
    assert!(matches!(error, PublishError::Stale { .. }), "{error}");
}

#[tokio::test]
async fn what_can_never_be_taken_is_refused() {
    let (_server, broker) = ready().await;
    // Over the bound of the stream, over that of the server, and no subject.
    let large = publish("signalbox.in.acme.t", None, &"x".repeat(600_000));
    let huge = publish("signalbox.in.acme.t", None, &"x".repeat(1_200_000));
    for message in [large, huge, publish("signalbox.in. .t", None, "x")] {
        let error = broker.publisher().publish(message).await.unwrap_err();
        assert!(matches!(error, PublishError::Refused { .. }), "{error}");
    }
    assert_eq!(broker.publisher().in_flight(), 0);
}

#[tokio::test]
async fn a_deadline_ends_a_publish_in_time_even_where_the_window_is_full() {
    let (mut server, broker) = ready().await;
    let timed = async |broker: &Broker, subject: &str, wait: Duration| {
        let begun = Instant::now();
        let result = broker
            .publisher()
            .publish_within(publish(subject, None, "x"), wait)
            .await;
        assert_eq!(result, Err(PublishError::TimedOut));
        let took = begun.elapsed();
        assert!(
            took >= wait && took < wait + Duration::from_millis(700),
            "{took:?} instead of {wait:?}"
        );
    };
    timed(&broker, "signalbox.none", Duration::from_millis(300)).await;
    server.kill().await;
    eventually("the end of the connection", async || {
        (!broker.is_connected()).then_some(())
    })
    .await;
    timed(&broker, "signalbox.none", Duration::from_millis(300)).await;
    let publisher = broker.publisher().clone();
    let filling = tokio::spawn(async move {
        let mut receipts = Vec::new();
        for number in 0..4_000 {
            let message = publish("signalbox.event.0.acme.t", Some(&number.to_string()), "x");
            receipts.push(publisher.send(message, None).await);
        }
        futures::future::join_all(receipts).await
    });
    eventually("a stream's full share of the window", async || {
        (!broker.publisher().has_room("signalbox.event.0.acme.t")).then_some(())
    })
    .await;
    assert_eq!(broker.publisher().in_flight(), SHARE_MAX);
    timed(&broker, "signalbox.event.0.acme.t", Duration::from_millis(300)).await;
    server.restart().await;
    assert!(
        soon("all acknowledgements", filling)
            .await
            .unwrap()
            .iter()
            .all(Result::is_ok)
    );
}

#[tokio::test]
async fn a_stream_that_does_not_answer_leaves_places_to_the_others() {
    let (_server, broker) = ready().await;
    let publisher = broker.publisher();
    // Nobody waits for these any more: each keeps its place, and the next finds none.
    for _ in 0..SHARE_MAX {
        drop(publisher.send(publish("signalbox.none", None, "x"), None).await);
    }
    assert!(!publisher.has_room("signalbox.none"));
    let late = publisher
        .send(publish("signalbox.none", None, "x"), Some(Duration::from_millis(50)))
        .await;
    assert_eq!(late.await, Err(PublishError::TimedOut));
    let acks = soon("all acknowledgements", publish_window(publisher.clone(), 1_000)).await;
    assert_eq!(acks.len(), 1_000);
    assert_eq!(publisher.in_flight(), SHARE_MAX);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_of_three_loses_and_repeats_nothing() {
    let mut cluster = Cluster::start().await;
    let mut config = config(&cluster.url());
    config.replicas = 3;
    let broker = connect_with(config).await;
    eventually("a cluster with streams", async || broker.ensure_streams().await.ok()).await;
    let context = {
        let addresses: Vec<String> = cluster.servers.iter().map(crate::harness::Server::url).collect();
        async_nats::jetstream::new(async_nats::connect(addresses).await.unwrap())
    };
    let leader = async || {
        let stream = context.get_stream(subjects::EVENTS).await.ok()?;
        let name = stream.cached_info().cluster.clone()?.leader?;
        name.strip_prefix('n')?.parse::<usize>().ok()
    };
    let publishing = tokio::spawn(publish_window(broker.publisher().clone(), 8_000));
    eventually("some are stored", async || {
        (broker.stream_state(subjects::EVENTS).await.ok()?.messages > 1_000).then_some(())
    })
    .await;
    let victim = eventually("a leader", leader).await;
    cluster.servers[victim].kill().await;
    let acks = soon("all acknowledgements", publishing).await.unwrap();
    assert_eq!(acks.len(), 8_000);
    cluster.servers[victim].restart().await;
    // The node that has just come back may be asked for the reader's consumer before it is ready.
    let bodies = eventually("all events", async || stored(&broker).await.ok()).await;
    assert_each_once(&bodies, 8_000);
}
