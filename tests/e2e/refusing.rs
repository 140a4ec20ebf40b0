//! What is refused over NATS: in whose order, once, and only while somebody looks after the room for it.

use std::time::Duration;

use async_nats::jetstream::{self, consumer::PullConsumer};
use futures::StreamExt as _;
use serde_json::{Value, json};
use signalbox_broker::Broker;
use signalbox_proto::{
    DeadLetter, DeadReason, Event, Name, Stage, Timestamp,
    bounds::{Marks, Over},
    dead::Input,
    subjects, wire,
};

use crate::{
    full::Bounded,
    harness::{Client, Cluster, Publish, Up, eventually, process::settings, raw_nats::RawNats},
};

const SOON: Duration = Duration::from_secs(60);

async fn jetstream_of(client: &Client) -> jetstream::Context {
    let nats = async_nats::connect(client.nats_url())
        .await
        .expect("NATS takes a connection");
    jetstream::new(nats)
}

/// All that a stream holds, in its order.
async fn all(client: &Client, stream: &str) -> Vec<jetstream::message::StreamMessage> {
    let stream = jetstream_of(client)
        .await
        .get_stream(stream)
        .await
        .expect("the stream is there");
    let state = stream.cached_info().state.clone();
    let mut found = Vec::new();
    for seq in state.first_sequence..=state.last_sequence {
        found.push(stream.get_raw_message(seq).await.expect("it is stored"));
    }
    found
}

/// Writes marks as a keeper does.
async fn mark(client: &Client, marks: &Marks) {
    let subject = format!("$KV.{}.{}", subjects::STATE, subjects::marks_key());
    let body = wire::encode(marks).expect("marks can be written");
    let jetstream = jetstream_of(client).await;
    let sent = jetstream.publish(subject, body.into()).await;
    sent.expect("it is sent").await.expect("it is stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_an_org_that_is_refused_each_org_keeps_its_own_order() {
    const LARGE: usize = 2_000;
    const SMALL: usize = 40;
    let mut settings = settings();
    settings.insert("SIGNALBOX_INGEST__ORG_PER_SECOND".to_owned(), "100".to_owned());
    let up = Up::start_with(settings).await;
    let client = up.client();
    let mut raw = RawNats::connect(client.nats_url()).await;
    for number in 0..LARGE {
        let mut publish = async |org: &str, id: String, place: usize| {
            let subject = format!("signalbox.in.{org}.tick");
            let headers = format!("ce-id: {id}\r\n");
            raw.publish(place, subject.as_bytes(), headers.as_bytes(), b"{}").await;
        };
        publish("large", format!("{number:05}"), number).await;
        if number % (LARGE / SMALL) == 0 {
            publish("small", format!("{number:05}"), LARGE + number).await;
        }
    }
    assert_eq!(raw.fates(LARGE + SMALL).await.len(), LARGE + SMALL);
    eventually(SOON, "each is an event or a dead letter", async || {
        let (events, dead) = (client.messages("EVENTS").await?, client.messages("DEAD").await?);
        if events + dead == (LARGE + SMALL) as u64 {
            Ok(())
        } else {
            Err(format!("{events} events, {dead} dead letters"))
        }
    })
    .await;
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for message in all(client, "EVENTS").await {
        let event: Event = wire::decode(&message.payload).expect("it is an event");
        match event.org.as_str() {
            "small" => small.push(event.id),
            _ => large.push(event.id),
        }
    }
    assert_eq!(small.len(), SMALL, "none of the small one is refused");
    assert!(large.len() < LARGE, "some of the large one are");
    assert!(small.is_sorted(), "{small:?}");
    assert!(large.is_sorted(), "{large:?}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_refused_before_it_died_is_not_accepted_when_it_comes_again() {
    let mut cluster = Cluster::start_with(&[("SIGNALBOX_INGEST__ORG_PER_SECOND", "1000")]).await;
    let client = cluster.client().clone();
    cluster.role("ingest").kill().await;
    for id in ["refused", "begun"] {
        client
            .publish(Publish::to("signalbox.in.acme.tick", "{}").header("ce-id", id))
            .await;
    }
    // As a process that files the first as a dead letter, and dies before it acknowledges it.
    let jetstream = jetstream_of(&client).await;
    let ingest = jetstream.get_stream("INGEST").await.expect("the stream is there");
    let consumer: PullConsumer = ingest
        .get_consumer(&subjects::ingest_consumer(0))
        .await
        .expect("the consumer is there");
    let taken = consumer
        .fetch()
        .max_messages(2)
        .messages()
        .await
        .expect("it can be asked");
    let taken: Vec<_> = taken.map(|message| message.expect("it comes")).collect().await;
    assert_eq!(taken.len(), 2);
    let created = Timestamp::from(ingest.cached_info().created);
    let acme: Name = "acme".parse().expect("it is a name");
    let input = Input {
        subject: "signalbox.in.acme.tick".to_owned(),
        headers: vec![("ce-id".to_owned(), "refused".to_owned())],
        body: b"{}".to_vec(),
    };
    let seq = taken[0].info().expect("it has a place").stream_sequence;
    let letter = DeadLetter::of_input(
        Stage::Ingest,
        DeadReason::Rejected,
        "over",
        Some(acme.clone()),
        input,
        Timestamp::now(),
    );
    let mut headers = async_nats::HeaderMap::new();
    let id = Broker::dead_id(&format!("INGEST@{}", created.nanos()), seq, "rejected");
    headers.insert("Nats-Msg-Id", id.as_str());
    let subject = subjects::dead(Stage::Ingest, Some(&acme), None, None);
    let body = wire::encode(&letter).expect("a letter can be written");
    let filed = jetstream.publish_with_headers(subject, headers, body.into()).await;
    filed.expect("it is sent").await.expect("it is stored");
    for message in &taken {
        message
            .ack_with(jetstream::AckKind::Nak(None))
            .await
            .expect("it is handed back");
    }
    cluster.role("ingest").restart().await;
    eventually(SOON, "both are settled", async || {
        match client.messages("INGEST").await? {
            0 => Ok(()),
            other => Err(format!("{other} wait")),
        }
    })
    .await;
    let events: Vec<Event> = all(&client, "EVENTS")
        .await
        .iter()
        .map(|message| wire::decode(&message.payload).expect("it is an event"))
        .collect();
    let ids: Vec<&str> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, ["begun"], "a refused one is a dead letter and nothing else");
    assert_eq!(client.messages("DEAD").await, Ok(1));
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_storage_full_ingest_is_ready_and_says_why_it_takes_nothing() {
    let mut cluster = Cluster::start().await;
    let client = cluster.client().clone();
    // Nobody writes marks but the test.
    cluster.role("keeper").kill().await;
    let full = Marks {
        storage: Some(Over { is: 12, mark: 10 }),
        holds_secs: 3_600,
        ..Marks::default()
    };
    mark(&client, &full).await;
    let body = json!({ "type": "tick", "id": "one" }).to_string();
    let answer = eventually(SOON, "publishing is refused", async || {
        let answer = client.post_event("", &[], body.clone().into_bytes()).await;
        if answer.status == 503 {
            Ok(answer)
        } else {
            Err(answer.text())
        }
    })
    .await;
    assert_eq!(answer.problem(503), "storage_full");
    assert_eq!(
        cluster.role("ingest").ask("/readyz").await.map(|answer| answer.status),
        Ok(200)
    );
    // It waits for the role to be ready.
    cluster.role("ingest").restart().await;
    eventually(SOON, "publishing is refused again", async || {
        let answer = client.post_event("", &[], body.clone().into_bytes()).await;
        if answer.status == 503 {
            Ok(())
        } else {
            Err(answer.text())
        }
    })
    .await;
    assert_eq!(
        cluster.role("ingest").ask("/readyz").await.map(|answer| answer.status),
        Ok(200)
    );
    mark(&client, &Marks::default()).await;
    eventually(SOON, "publishing is taken again", async || {
        let answer = client.post_event("", &[], body.clone().into_bytes()).await;
        if answer.status == 202 {
            Ok(())
        } else {
            Err(answer.text())
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_keeper_looks_after_dead_nothing_is_filed_there_for_a_quota() {
    const FLOOD: usize = 300;
    let mut cluster = Cluster::start_with(&[("SIGNALBOX_INGEST__ORG_PER_SECOND", "20")]).await;
    let client = cluster.client().clone();
    cluster.role("keeper").kill().await;
    let lapsed = Marks {
        holds_secs: 0,
        ..Marks::default()
    };
    mark(&client, &lapsed).await;
    // Over HTTP a refusal needs no room.
    let list: Vec<Value> = (0..21)
        .map(|n| json!({ "type": "tick", "id": format!("l{n}") }))
        .collect();
    let answer = client
        .post_event("?org=acme", &[], json!(list).to_string().into_bytes())
        .await;
    assert_eq!(answer.problem(429), "quota_exceeded");
    for number in 0..FLOOD {
        client
            .publish(Publish::to("signalbox.in.acme.tick", "{}").header("ce-id", &format!("e{number}")))
            .await;
    }
    eventually(SOON, "all are accepted", async || {
        match client.messages("EVENTS").await? {
            is if is == FLOOD as u64 => Ok(()),
            other => Err(format!("{other} events")),
        }
    })
    .await;
    assert_eq!(client.messages("DEAD").await, Ok(0));
    let metrics = cluster.role("ingest").ask("/metrics").await.expect("it answers").text();
    let yielded = metrics
        .lines()
        .find(|line| line.starts_with("signalbox_ingest_yielded_total"));
    let yielded: u64 = yielded
        .and_then(|line| line.rsplit(' ').next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_default();
    assert!(yielded > 0, "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_dead_is_full_what_would_be_refused_is_accepted() {
    const FLOOD: usize = 300;
    let mut settings = settings();
    settings.insert("SIGNALBOX_INGEST__ORG_PER_SECOND".to_owned(), "20".to_owned());
    let up = Up::start_with(settings).await;
    let client = up.client();
    let full = Bounded::at(client, "DEAD", 1).await;
    for number in 0..FLOOD {
        client
            .publish(Publish::to("signalbox.in.acme.tick", "{}").header("ce-id", &format!("e{number}")))
            .await;
    }
    eventually(SOON, "all are settled", async || {
        match (client.messages("EVENTS").await?, client.messages("INGEST").await?) {
            (events, 0) if events + 1 == FLOOD as u64 => Ok(()),
            (events, inputs) => Err(format!("{events} events, {inputs} inputs wait")),
        }
    })
    .await;
    assert_eq!(client.messages("DEAD").await, Ok(1));
    full.lift().await;
    up.stop().await;
}
