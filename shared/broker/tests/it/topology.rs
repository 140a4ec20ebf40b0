//! Streams, buckets, consumers and their filters.

use std::time::Duration;

use signalbox_broker::{Broker, topology::Consumer};
use signalbox_proto::{Lane, subjects};

use crate::harness::{Server, config, connect_with, jetstream, open, provider, publish, ready, soon, text};

#[tokio::test]
async fn a_second_start_finds_everything_and_no_drift() {
    let (server, broker) = ready().await;
    assert_eq!(broker.check_streams().await.unwrap(), []);
    assert_eq!(broker.ensure_provider(&provider()).await.unwrap(), []);
    let again = connect_with(config(&server.url())).await;
    assert_eq!(again.ensure_streams().await.unwrap(), []);
    assert_eq!(again.ensure_provider(&provider()).await.unwrap(), []);
    assert_eq!(again.providers().await.unwrap(), [provider()]);
}

#[tokio::test]
async fn a_server_with_too_little_storage_is_named_with_the_remedy() {
    let mut server = Server::start().await;
    server.restart_with_storage("1MB").await;
    let broker = connect_with(config(&server.url())).await;
    let error = broker.ensure_streams().await.unwrap_err();
    assert!(
        matches!(&error, signalbox_broker::Error::NoStorage { stream, .. } if stream == "INGEST"),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("lower nats.storage_bytes") && text.contains("max_file_store"),
        "{text}"
    );
}

#[tokio::test]
async fn two_roles_may_make_everything_at_once() {
    let server = Server::start().await;
    let (one, two) = (
        connect_with(config(&server.url())).await,
        connect_with(config(&server.url())).await,
    );
    let make = async |broker: &Broker| {
        broker.ensure_streams().await.unwrap();
        broker.ensure_provider(&provider()).await.unwrap();
    };
    tokio::join!(make(&one), make(&two), make(&one), make(&two));
    assert_eq!(one.check_streams().await.unwrap(), []);
}

#[tokio::test]
async fn a_changed_stream_is_reported_and_left_as_it_is() {
    let (server, broker) = ready().await;
    let jetstream = jetstream(&server).await;
    for (name, max_bytes) in [(subjects::EVENTS, 1_000_000), ("KV_SIGNALBOX_CONFIG", -1)] {
        let mut config = jetstream.get_stream(name).await.unwrap().cached_info().config.clone();
        config.max_bytes = max_bytes;
        config.max_messages_per_subject = 7;
        jetstream.update_stream(config).await.unwrap();
    }
    let drifts = broker.ensure_streams().await.unwrap();
    let names: Vec<&str> = drifts.iter().map(|drift| drift.name.as_str()).collect();
    assert_eq!(names, [subjects::EVENTS, subjects::CONFIG]);
    assert!(drifts[0].fields[0].starts_with("max_bytes is 1000000"), "{drifts:?}");
    assert_eq!(drifts[1].fields, ["history is 7, declared 5"]);
    assert_eq!(broker.check_streams().await.unwrap(), drifts);
    let found = jetstream
        .get_stream(subjects::EVENTS)
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    assert_eq!(found.max_bytes, 1_000_000);

    jetstream.delete_stream(subjects::BATCH).await.unwrap();
    let missing = broker.check_streams().await.unwrap();
    assert!(
        missing
            .iter()
            .any(|drift| drift.name == subjects::BATCH && drift.fields == ["it is missing"]),
        "{missing:?}"
    );
}

#[tokio::test]
async fn every_lane_of_a_provider_has_a_consumer_that_takes_what_is_published_to_it() {
    let (server, broker) = ready().await;
    broker.ensure_provider(&provider()).await.unwrap();
    let stream = jetstream(&server)
        .await
        .get_stream(subjects::deliver_stream(&provider()))
        .await
        .unwrap();
    assert_eq!(stream.cached_info().state.consumer_count, Lane::ALL.len());
    for lane in Lane::ALL {
        let subject = subjects::deliver(&provider(), lane, &"acme".parse().unwrap(), "i1");
        broker
            .publisher()
            .publish(publish(&subject, None, lane.as_str()))
            .await
            .unwrap();
        let mut puller = open(&broker, Consumer::lane(&provider(), lane)).await.unwrap();
        let message = soon("a message of the lane", puller.next(1)).await;
        assert_eq!(text(&message), lane.as_str());
    }
}

/// Whatever a producer writes under `signalbox.in.` must reach ingest, to be an event or a dead letter.
async fn every_input_reaches_its_partition(partitions: u32) {
    let server = Server::start().await;
    let mut config = config(&server.url());
    config.partitions = partitions;
    let broker = connect_with(config).await;
    assert_eq!(broker.ensure_streams().await.unwrap(), []);

    let long = format!("signalbox.in.acme.{}", ["t"; 60].join("."));
    let hostile = [
        "signalbox.in.acme",
        "signalbox.in.ACME",
        "signalbox.in.ACME.x",
        "signalbox.in.0.acme.x",
        "signalbox.in.*.x",
        "signalbox.in.>",
        "signalbox.in.acme.>",
        "signalbox.in.ünï.cöde",
        "signalbox.in.$JS.API",
        "signalbox.in.{{partition(9,1)}}.x",
        "signalbox.in.\u{7f}.x",
        &long,
    ];
    let orgs: Vec<String> = (0..40).map(|n| format!("org{n}")).collect();
    let regular = orgs.iter().map(|org| format!("signalbox.in.{org}.execution.failed"));
    let mut given: Vec<String> = hostile
        .iter()
        .map(|subject| (*subject).to_owned())
        .chain(regular)
        .collect();
    for subject in &given {
        server.publish_raw(subject, b"{}").await;
    }
    let state = broker.stream_state(subjects::INGEST).await.unwrap();
    assert_eq!(state.messages, given.len() as u64, "INGEST stores all");

    let mut came = Vec::new();
    for partition in 0..partitions {
        let mut puller = open(&broker, Consumer::ingest(partition, partitions)).await.unwrap();
        while let Ok(message) = tokio::time::timeout(Duration::from_millis(200), puller.next(100)).await {
            let subject = subjects::given_input(&message.subject);
            if let Ok((org, _)) = subjects::read_input(&subject) {
                assert_eq!(
                    subjects::partition(org.as_str(), partitions),
                    partition,
                    "{subject} as the server counts"
                );
            }
            message.confirm(&broker).await.unwrap();
            came.push(subject);
        }
    }
    given.sort();
    came.sort();
    assert_eq!(came, given);
    assert_eq!(
        broker.stream_state(subjects::INGEST).await.unwrap().messages,
        0,
        "the work queue is empty"
    );
}

#[tokio::test]
async fn every_input_reaches_the_only_partition() {
    every_input_reaches_its_partition(1).await;
}

#[tokio::test]
async fn every_input_reaches_one_of_eight_partitions() {
    every_input_reaches_its_partition(8).await;
}

#[tokio::test]
async fn the_consumers_of_all_partitions_exist_side_by_side() {
    let server = Server::start().await;
    let mut config = config(&server.url());
    let partitions = 8;
    config.partitions = partitions;
    let broker = connect_with(config).await;
    broker.ensure_streams().await.unwrap();
    let mut pullers = Vec::new();
    for partition in 0..partitions {
        pullers.push(open(&broker, Consumer::ingest(partition, partitions)).await.unwrap());
        pullers.push(open(&broker, Consumer::router(partition, partitions)).await.unwrap());
    }
    for name in ["INGEST", "EVENTS"] {
        let stream = jetstream(&server).await.get_stream(name).await.unwrap();
        assert_eq!(stream.cached_info().state.consumer_count, 8, "{name}");
    }
}
