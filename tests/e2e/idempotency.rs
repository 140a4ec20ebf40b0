//! `Idempotency-Key`: a request that comes again is answered as the first one was, and nothing is stored twice.

use std::time::Duration;

use async_nats::jetstream::{self, kv};
use serde_json::{Value, json};
use signalbox_proto::{
    Name, Timestamp, hash,
    idempotency::{Record, Try},
    subjects, wire,
};

use crate::harness::{Client, Cluster, Seed, Up, client::Response, eventually};

const SOON: Duration = Duration::from_secs(20);

async fn publish(client: &Client, key: &str, body: &Value) -> Response {
    publish_with(client, key, body, &[]).await
}

async fn publish_with(client: &Client, key: &str, body: &Value, more: &[(&str, &str)]) -> Response {
    let mut headers = vec![("content-type", "application/json"), ("idempotency-key", key)];
    headers.extend(more);
    client.post_event("", &headers, body.to_string().into_bytes()).await
}

async fn stored(client: &Client) -> u64 {
    client.messages(subjects::EVENTS).await.expect("EVENTS is there")
}

fn ids(answer: &Response) -> Vec<String> {
    assert_eq!(answer.status, 202, "{}", answer.text());
    let answer = answer.json();
    let events = answer["events"].as_array().expect("events");
    let id = |event: &Value| event["id"].as_str().expect("an id").to_owned();
    events.iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_answered_as_the_first_was_and_another_request_is_refused() {
    let up = Up::start().await;
    let client = up.client();
    let list = json!([{ "type": "a.b" }, { "type": "a.b" }, { "type": "a.b", "id": "mine" }]);
    let first = ids(&publish(client, "one", &list).await);
    assert_eq!(first.len(), 3);
    assert_ne!(first.first(), first.get(1));
    assert_eq!(first.last().map(String::as_str), Some("mine"));
    assert_eq!(ids(&publish(client, "one", &list).await), first);
    assert_eq!(
        ids(&publish(client, "\"one\"", &list).await),
        first,
        "quotes are no part of a key"
    );
    let waits = publish_with(client, "one", &list, &[("prefer", "wait=5")]).await;
    assert_eq!((ids(&waits), waits.header("preference-applied")), (first.clone(), ""));
    assert_eq!(stored(client).await, 3);

    let other = publish(client, "one", &json!([{ "type": "a.c" }])).await;
    assert_eq!(other.problem(422), "idempotency_key_reused");
    assert_eq!(publish(client, "no key", &list).await.problem(400), "invalid");
    assert_eq!(stored(client).await, 3, "nothing of what was refused is stored");

    // What was refused has not used its key, and a key is one of its org.
    assert_eq!(
        publish(client, "two", &json!({ "data": {} })).await.problem(422),
        "invalid"
    );
    let second = ids(&publish(client, "two", &json!({ "type": "a.b" })).await);
    let headers = [("content-type", "application/json"), ("idempotency-key", "two")];
    let of_acme = client
        .post_event(
            "?org=acme",
            &headers,
            json!({ "type": "a.other" }).to_string().into_bytes(),
        )
        .await;
    assert_ne!(ids(&of_acme), second);
    assert_eq!(stored(client).await, 5);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_one_is_stored_and_all_get_its_ids() {
    let up = Up::start().await;
    let body = json!([{ "type": "a.b" }, { "type": "a.c" }]);
    let mut repeats = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (client, body) = (up.client().clone(), body.clone());
        repeats.spawn(async move { publish(&client, "many", &body).await });
    }
    let answers = repeats.join_all().await;
    let (taken, early): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 202);
    for answer in early {
        assert_eq!(answer.problem(409), "idempotency_in_progress");
        assert_ne!(answer.header("retry-after"), "");
    }
    // As all have been answered, none is under way.
    let again = ids(&publish(up.client(), "many", &body).await);
    assert!(!taken.is_empty(), "one was the first");
    for answer in taken {
        assert_eq!(ids(answer), again);
    }
    assert_eq!(stored(up.client()).await, 2);
    up.stop().await;
}

/// Changes the record of a key of org `default`.
async fn change_record(bucket: &kv::Store, key: &str, change: impl FnOnce(&mut Record)) {
    let key = subjects::idempotency_key(&Name::default_org(), &hash::parts([key.as_bytes()]));
    let body = bucket.get(&key).await.expect("the bucket answers").expect("a record");
    let mut record: Record = wire::decode(&body).expect("a record");
    change(&mut record);
    let body = wire::encode(&record).expect("records are written");
    bucket.put(key, body.into()).await.expect("the bucket takes it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_did_not_come_to_its_end_is_taken_over_and_only_what_is_missing_is_stored() {
    let up = Up::start().await;
    let client = up.client();
    let nats = async_nats::connect(client.nats_url())
        .await
        .expect("NATS takes a connection");
    let jetstream = jetstream::new(nats);
    let bucket = jetstream
        .get_key_value(subjects::IDEMPOTENCY)
        .await
        .expect("the bucket");
    // With so short a window EVENTS itself soon knows no repeat any more.
    let mut events = jetstream.get_stream(subjects::EVENTS).await.expect("EVENTS");
    let mut config = events.info().await.expect("EVENTS answers").config.clone();
    let window = Duration::from_millis(100);
    config.duplicate_window = window;
    jetstream.update_stream(config).await.expect("EVENTS takes a window");

    let body = json!([{ "type": "a.b" }, { "type": "a.c" }, { "type": "a.d", "id": "mine" }]);
    let first = ids(&publish(client, "crashed", &body).await);
    let before = Timestamp::now() - SOON;
    change_record(&bucket, "crashed", |record| {
        assert_eq!(record.ids.take(), Some(first.clone()), "the request was done");
        record.hold_ms = 60_000;
    })
    .await;
    let early = publish(client, "crashed", &body).await;
    assert_eq!(early.problem(409), "idempotency_in_progress");

    // The second event is as if the first try had not come to it.
    let seq = 2;
    assert!(events.delete_message(seq).await.expect("EVENTS answers"));
    change_record(&bucket, "crashed", |record| {
        record.hold_ms = 0;
        record.tries = vec![Try {
            from: before,
            until: Timestamp::now(),
        }];
    })
    .await;
    eventually(SOON, "the window is over", async || {
        let last = events.get_raw_message(3).await.map_err(|error| error.to_string())?;
        let age = time::OffsetDateTime::now_utc() - last.time;
        if age > 4 * window { Ok(()) } else { Err(age.to_string()) }
    })
    .await;
    assert_eq!(stored(client).await, 2);
    assert_eq!(ids(&publish(client, "crashed", &body).await), first);
    assert_eq!(stored(client).await, 3, "only the missing one is stored again");
    assert_eq!(ids(&publish(client, "crashed", &body).await), first);
    assert_eq!(stored(client).await, 3);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_ingest_in_the_midst_of_requests_with_keys_stores_each_of_their_events_once() {
    const ROUNDS: usize = 3;
    const REQUESTS: usize = 24;
    const EVENTS: usize = 40;
    let mut seed = Seed::of("kill -9 of ingest in the midst of requests with a key");
    // So long a hold only, beyond the five seconds that are always there.
    let mut cluster = Cluster::start_with(&[("SIGNALBOX_INGEST__HTTP_TIMEOUT_MS", "1000")]).await;
    let client = cluster.client().clone();
    let known = json!({ "type": "a.b", "id": "known" });
    assert_eq!(publish(&client, "known", &known).await.status, 202);
    // One alone, a list that is stored as one, and a list that is not, as an event of it is known.
    let body = |number: usize| {
        let mut events = vec![json!({ "type": "a.b", "data": { "number": number } }); EVENTS];
        match number % 3 {
            0 => return json!({ "type": "a.b" }),
            1 => {}
            _ => events.push(known.clone()),
        }
        json!(events)
    };
    let mut wanted = 1;
    for round in 0..ROUNDS {
        let before = stored(&client).await;
        let mut first = tokio::task::JoinSet::new();
        for number in 0..REQUESTS {
            let (client, key, body) = (client.clone(), format!("{round}-{number}"), body(number).to_string());
            wanted += if number % 3 == 0 { 1 } else { EVENTS as u64 };
            first.spawn(async move {
                let headers = [("content-type", "application/json"), ("idempotency-key", &*key)];
                let answer = client.try_post_event("", &headers, body.into_bytes()).await;
                (number, answer)
            });
        }
        // Somewhere between the first and the last of them.
        let some = before + seed.number(1..500);
        let far_enough = async || match stored(&client).await {
            now if now >= some => Ok(()),
            now => Err(format!("{now} of {some}")),
        };
        eventually(SOON, "some are stored", far_enough).await;
        cluster.role("ingest").kill().await;
        let answers = first.join_all().await;
        eprintln!(
            "killed with {} of {} events of the round stored, and {} of {REQUESTS} requests answered",
            stored(&client).await - before,
            wanted - before,
            answers.iter().filter(|(_, answer)| answer.is_ok()).count()
        );
        cluster.role("ingest").restart().await;
        for (number, first) in answers {
            let (key, body) = (format!("{round}-{number}"), body(number));
            let mut given = Vec::new();
            eventually(SOON, "the request is taken", async || {
                let answer = publish(&client, &key, &body).await;
                if answer.status == 202 {
                    given = ids(&answer);
                    return Ok(());
                }
                assert!(matches!(answer.status, 409 | 503), "{}", answer.text());
                Err(answer.text())
            })
            .await;
            if let Ok(first) = first
                && first.status == 202
            {
                assert_eq!(ids(&first), given, "{key}: it is answered as before");
            }
        }
        assert_eq!(stored(&client).await, wanted);
    }
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_found_no_room_can_be_sent_again_at_once() {
    let up = Up::start().await;
    let client = up.client();
    assert_eq!(
        publish(client, "known", &json!({ "type": "a.b", "id": "known" }))
            .await
            .status,
        202
    );
    let nats = async_nats::connect(client.nats_url())
        .await
        .expect("NATS takes a connection");
    let jetstream = jetstream::new(nats);
    let mut events = jetstream.get_stream(subjects::EVENTS).await.expect("EVENTS");
    let before = events.info().await.expect("EVENTS answers").config.clone();
    let room = async |max_messages| {
        let config = jetstream::stream::Config {
            max_messages,
            ..before.clone()
        };
        jetstream.update_stream(config).await.expect("EVENTS can be changed");
    };
    room(2).await;
    let list = json!([{ "type": "a.b", "id": "known" }, { "type": "a.c" }, { "type": "a.d" }]);
    for (key, body) in [
        ("part", &list),
        ("list", &json!([{ "type": "a.b" }, { "type": "a.b" }])),
        ("one", &json!({ "type": "a.b" })),
    ] {
        // Nothing of it is under way, so each repeat is a try of its own.
        for _ in 0..3 {
            assert_eq!(publish(client, key, body).await.problem(503), "unavailable", "{key}");
        }
    }
    assert_eq!(stored(client).await, 2, "of the first list one more had room");
    room(before.max_messages).await;
    let first = ids(&publish(client, "part", &list).await);
    assert_eq!(stored(client).await, 3, "only the missing one is stored");
    assert_eq!(ids(&publish(client, "part", &list).await), first);
    assert_eq!(
        ids(&publish(client, "list", &json!([{ "type": "a.b" }, { "type": "a.b" }])).await).len(),
        2
    );
    assert_eq!(stored(client).await, 5);
    up.stop().await;
}
