//! Every form of input, by clients that nobody here wrote: each gives the same event. And batches: event by event over
//! NATS, all or nothing over HTTP.

use std::{process::Stdio, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    foreign::run,
    harness::{Client, Cluster, Publish, Seed, Target, Up, eventually, pause},
};

const SOON: Duration = Duration::from_secs(20);
/// What a killed role held comes again after the consumers' ack wait of 20 s.
const AFTER_CRASH: Duration = Duration::from_secs(90);
const BATCH: &str = "application/cloudevents-batch+json";
const TYPE: &str = "execution.failed";

/// The data of every form: what JSON and MessagePack can both say.
fn data() -> Value {
    json!({
        "error": "timeout – „grüße“ 🚨", "success_rate": 0.25, "n": -7, "big": 9_007_199_254_740_993_u64,
        "list": [1, null, true, { "deep": [] }], "empty": {},
    })
}

/// An event as the Python clients take it.
fn event(id: &str) -> Value {
    json!({
        "id": id, "source": "/ci/build 7", "subject": "run/9", "type": TYPE, "time": "2026-01-02T03:04:05.678Z",
        "extensions": { "agentid": "agent é", "executionid": "x-1", "severity": "critical", "team": "core" },
        "data": data(),
    })
}

/// The same in the plain form.
fn plain(id: &str) -> Value {
    json!({
        "id": id, "source": "/ci/build 7", "subject": "run/9", "type": TYPE, "time": "2026-01-02T03:04:05.678Z",
        "agent_id": "agent é", "execution_id": "x-1", "severity": "critical", "metadata": { "team": "core" },
        "data": data(),
    })
}

/// The same as a CloudEvent.
fn cloudevent(id: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/ci/build 7", "subject": "run/9", "type": TYPE,
        "time": "2026-01-02T03:04:05.678Z", "datacontenttype": "application/json", "agentid": "agent é",
        "executionid": "x-1", "severity": "critical", "team": "core", "data": data(),
    })
}

/// Publishes with curl. The answer must be 202.
async fn curl(client: &Client, headers: &[&str], body: &Value) -> Value {
    let (ingest, key) = client.publishing();
    let authorization = format!("authorization: Bearer {key}");
    let mut arguments = vec!["--silent", "--show-error", "--fail-with-body", "--max-time", "10"];
    for header in headers.iter().copied().chain([authorization.as_str()]) {
        arguments.extend(["--header", header]);
    }
    let (body, url) = (body.to_string(), format!("{ingest}/v1/events"));
    arguments.extend(["--data-binary", &body, &url]);
    let output = Command::new("curl")
        .args(&arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("curl can be run: it was there before");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "curl: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

async fn has_curl() -> bool {
    let version = Command::new("curl")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .await;
    version.is_ok_and(|status| status.success())
}

fn ids_of(answer: &Value) -> Vec<&str> {
    let events = answer["events"].as_array().expect("a 202 lists its events");
    events.iter().filter_map(|event| event["id"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_by_a_public_client_gives_the_same_event() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client
        .apply(json!([{
            "name": "all", "provider": "webhook", "events": [">"],
            "config": { "url": target.url("/all"), "payload": "cloudevents" },
        }]))
        .await;
    let mut sent = Vec::new();
    let (api, key) = client.publishing();
    for form in [
        "http binary",
        "http binary msgpack",
        "http structured",
        "http batch",
        "http msgpack",
        "http msgpack array",
        "nats binary",
        "nats headers",
        "nats structured",
        "nats batch",
        "nats msgpack",
    ] {
        let id = form.replace(' ', "-");
        let ids = match form {
            "http batch" | "http msgpack array" | "nats batch" => vec![format!("{id}-1"), format!("{id}-2")],
            _ => vec![id],
        };
        let events: Vec<Value> = ids.iter().map(|id| event(id)).collect();
        let input = json!({ "form": form, "nats": client.nats_url(), "api": api, "key": key, "events": events });
        let answer = run("events.py", &[], &input.to_string()).await;
        let answer: Value = serde_json::from_str(&answer).expect("the script prints JSON");
        if form.starts_with("http") {
            assert_eq!(ids_of(&answer), ids, "{form}");
        } else {
            assert_eq!(answer["stream"], "INGEST", "{form}");
        }
        sent.extend(ids);
    }
    if has_curl().await {
        let json = ["content-type: application/json"];
        for (id, headers, body) in [
            ("curl-plain", &json[..], plain("curl-plain")),
            ("curl-array", &json, json!([plain("curl-array")])),
            ("curl-cloudevent", &json, cloudevent("curl-cloudevent")),
            (
                "curl-cloudevent-array",
                &json,
                json!([cloudevent("curl-cloudevent-array")]),
            ),
            (
                "curl-structured",
                &["content-type: application/cloudevents+json; charset=utf-8"],
                cloudevent("curl-structured"),
            ),
            (
                "curl-batch",
                &["content-type: application/cloudevents-batch+json"],
                json!([cloudevent("curl-batch")]),
            ),
            (
                "curl-binary",
                &[
                    "content-type: application/json",
                    "ce-specversion: 1.0",
                    "ce-id: curl-binary",
                    "ce-source: /ci/build%207",
                    "ce-subject: run/9",
                    "ce-type: execution.failed",
                    "ce-time: 2026-01-02T03:04:05.678Z",
                    "ce-agentid: agent%20%C3%A9",
                    "ce-executionid: x-1",
                    "ce-severity: critical",
                    "ce-team: core",
                ],
                data(),
            ),
        ] {
            assert_eq!(ids_of(&curl(client, headers, &body).await), [id]);
            sent.push(id.to_owned());
        }
    } else {
        eprintln!("SKIPPED: the forms by curl, as there is no curl here");
    }
    target.wait_for_events("/all", sent.len(), SOON).await;
    let received = target.received("/all");
    let mut came: Vec<String> = received.iter().map(|request| request.event.clone()).collect();
    came.sort();
    sent.sort();
    assert_eq!(came, sent, "each arrives once");
    let mut expected = cloudevent("");
    expected.as_object_mut().expect("an object").remove("id");
    for request in received {
        let mut body = request.json();
        body.as_object_mut().expect("an object").remove("id");
        // What ingest adds is the same for all too.
        body.as_object_mut().expect("an object").remove("org");
        assert_eq!(body, expected, "{}", request.event);
    }
    assert_eq!(client.dead_letters("").await, Vec::<Value>::new());
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_nats_one_bad_event_of_a_batch_is_a_dead_letter_and_the_others_arrive() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client
        .apply(
            json!([{ "name": "all", "provider": "webhook", "events": [">"], "config": { "url": target.url("/all") } }]),
        )
        .await;
    let foreign = r#"{"specversion":"1.0","id":"b-2","source":"/s", "type":"execution.started","data":{}}"#;
    let body = format!(
        "[{}, {}, 5, {foreign}, {}]",
        cloudevent("b-0"),
        cloudevent("b-1"),
        cloudevent("b-4")
    );
    let batch = Publish::to("signalbox.in.default.execution.failed", body)
        .header("Content-Type", BATCH)
        .header("ce-team", "other")
        .header("Nats-Msg-Id", "whole");
    client.publish(batch.clone()).await;
    target.wait_for_events("/all", 3, SOON).await;
    let letters = eventually(SOON, "two dead letters", async || {
        let letters = client.dead_letters("?stage=ingest").await;
        if letters.len() == 2 {
            Ok(letters)
        } else {
            Err(format!("{letters:?}"))
        }
    })
    .await;
    let mut originals = Vec::new();
    for letter in &letters {
        let id = letter["id"].as_str().expect("a dead letter has an id");
        let shown = client.get(&format!("/v1/dead-letters/{id}")).await;
        assert_eq!(
            (&shown["reason"], &shown["org"]),
            (&json!("invalid"), &json!("default")),
            "{shown}"
        );
        let input = shown["input_base64"].as_str().expect("the original is kept");
        let input = STANDARD.decode(input).expect("base64");
        originals.push((
            String::from_utf8(input).expect("it was text"),
            shown["message"].as_str().unwrap_or_default().to_owned(),
        ));
    }
    originals.sort();
    assert_eq!(originals[0].0, "5");
    assert_eq!(originals[1].0, foreign, "its own bytes");
    assert!(originals[1].1.starts_with("type: "), "{}", originals[1].1);
    // The whole again, as after a crash: no event and no dead letter is doubled. One message more tells when it is read.
    client.publish(batch.header("Nats-Msg-Id", "again")).await;
    client
        .publish(Publish::of("after", &json!({})).header("content-type", "application/json"))
        .await;
    target.wait_for_events("/all", 4, SOON).await;
    client.settled(SOON).await;
    assert_eq!(target.repeats("/all"), 0, "{:?}", target.by_event("/all"));

    // Neither a plain array nor what is no array is a batch; an empty one is nothing.
    for (content_type, body) in [("application/json", "[{}]"), (BATCH, "{}"), (BATCH, "[]")] {
        let publish = Publish::to("signalbox.in.default.execution.failed", body).header("content-type", content_type);
        client.publish(publish).await;
    }
    let counted = eventually(SOON, "the dead letters of two messages", async || {
        client
            .messages("INGEST")
            .await
            .and_then(|left| if left == 0 { Ok(()) } else { Err(format!("{left} left")) })?;
        let letters = client.dead_letters("?stage=ingest").await;
        let bodies: Vec<Value> = letters.iter().map(|letter| letter["message"].clone()).collect();
        if bodies.len() >= 6 {
            Ok(bodies)
        } else {
            Err(format!("{bodies:?}"))
        }
    })
    .await;
    assert_eq!(counted.len(), 6, "two a batch, and two of whole messages: {counted:?}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_nats_whatever_is_in_batches_each_event_arrives_or_is_a_dead_letter() {
    const BATCHES: usize = 40;
    let mut seed = Seed::of("hostile batches");
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client
        .apply(
            json!([{ "name": "all", "provider": "webhook", "events": [">"], "config": { "url": target.url("/all") } }]),
        )
        .await;
    let (mut good, mut bad) = (0, 0);
    for number in 0..BATCHES {
        let mut elements = Vec::new();
        for place in 0..seed.number(0..40) {
            let head = format!(r#"{{"specversion":"1.0","source":"/s","type":"tick","id":"{number}-{place}""#);
            if seed.number(0..3) > 0 {
                let rest = seed.one_of(&[
                    "}",
                    r#","data":[[]]}"#,
                    r#","ext":7}"#,
                    " , \"data\" :\n{\"a\":\"\\u0000\"} }",
                ]);
                elements.push(format!("{head}{rest}"));
                good += 1;
            } else {
                let deep = format!("{head},\"data\":{}{}}}", "[".repeat(200), "]".repeat(200));
                let long = format!("{head},\"subject\":\"{}\"}}", "x".repeat(2_000));
                let wrong = [
                    "null",
                    "7",
                    "\"text\"",
                    "[]",
                    "{}",
                    r#"{"a":{"b":[1,2]}}"#,
                    r#"{"specversion":"0.3","id":"x"}"#,
                    r#"{"specversion":"1.0","source":"/s","type":"tick"}"#,
                    r#"{"specversion":"1.0","source":"/s","type":"tock","id":"x"}"#,
                    r#"{"specversion":"1.0","source":"/s","type":"tick","id":"x","org":"other"}"#,
                    r#"{"specversion":"1.0","source":"/s","type":"tick","id":"x","time":"now"}"#,
                    r#"{"specversion":"1.0","source":"/s","type":"tick","id":"x","data":1e999}"#,
                    r#"{"specversion":"1.0","source":"/s","type":"tick","id":"x","data_base64":"*"}"#,
                    r#"{"specversion":"1.0","source":"/s","type":"tick","id":"x","ext":{}}"#,
                    &deep,
                    &long,
                ];
                elements.push(seed.one_of(&wrong).to_owned());
                bad += 1;
            }
        }
        let batch = Publish::to("signalbox.in.default.tick", format!("[{}]", elements.join(" ,\n")));
        client.publish(batch.header("content-type", BATCH)).await;
    }
    eprintln!("{good} good events and {bad} bad ones");
    target.wait_for_events("/all", good, SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], good, "{ledger}");
    let (mut letters, mut cursor) = (0, String::new());
    loop {
        let page = client
            .get(&format!("/v1/dead-letters?stage=ingest&limit=200{cursor}"))
            .await;
        letters += page["items"].as_array().map_or(0, Vec::len);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(letters, bad, "each bad event is one dead letter");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_event_of_a_batch_can_be_sent_in_again_on_its_own() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client
        .apply(
            json!([{ "name": "all", "provider": "webhook", "events": [">"], "config": { "url": target.url("/all") } }]),
        )
        .await;
    let schema = json!({ "type": "order.placed", "schema": { "type": "object", "required": ["number"] } });
    client.post("/v1/event-types", schema).await;
    let order = |id: &str, data: Value| json!({ "specversion": "1.0", "id": id, "source": "/shop", "type": "order.placed", "data": data });
    let body = json!([order("o-1", json!({ "number": 1 })), order("o-2", json!({}))]);
    let publish = || Publish::to("signalbox.in.default.order.placed", body.to_string()).header("content-type", BATCH);
    // Ingest knows of a change to a type a moment after it is answered.
    eventually(SOON, "the order without a number is a dead letter", async || {
        client.publish(publish()).await;
        match client.dead_letters("?stage=ingest").await.len() {
            0 => Err("none".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    client
        .request(
            "PUT",
            "/v1/event-types/order.placed",
            Some(json!({ "title": "Order placed" })),
        )
        .await
        .ok();
    eventually(SOON, "the order arrives when its dead letter is replayed", async || {
        let letters = client.dead_letters("?stage=ingest").await;
        let ids: Vec<&Value> = letters.iter().map(|letter| &letter["id"]).collect();
        client.act("/v1/dead-letters/replay", json!({ "ids": ids })).await;
        if target.by_event("/all").contains_key("o-2") {
            Ok(())
        } else {
            Err(format!("{:?}", target.by_event("/all")))
        }
    })
    .await;
    assert_eq!(target.repeats("/all"), 0, "{:?}", target.by_event("/all"));
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http_one_bad_event_of_a_list_keeps_all_of_it_out_and_is_named() {
    let up = Up::start().await;
    let client = up.client();
    let json = [("content-type", "application/json")];
    let stored = async || client.messages("EVENTS").await.expect("EVENTS can be asked");
    let before = stored().await;
    let bad = json!([
        { "type": "a.b" }, { "type": "a.b", "id": "has space" }, { "type": "a.b", "org": "other" },
        { "type": "not a type" }, { "type": "a.b", "agent": 1 }, 7,
        { "type": "a.b", "data": { "text": "x".repeat(300_000) } },
    ]);
    let answer = client.post_event("", &json, bad.to_string().into_bytes()).await;
    assert_eq!(answer.problem(422), "invalid");
    let problem = answer.json();
    assert_eq!(problem["field"], "[1].id", "{problem}");
    let fields: Vec<&str> = problem["errors"]
        .as_array()
        .expect("it lists them")
        .iter()
        .filter_map(|error| error["field"].as_str())
        .collect();
    assert_eq!(fields, ["[1].id", "[2].org", "[3].type", "[4].agent", "[5]", "[6]"]);
    let many: Vec<Value> = (0..1_001).map(|_| json!({ "type": "a.b" })).collect();
    for (headers, body, status) in [
        (("content-type", "application/json"), json!(many), 413),
        (("content-type", BATCH), json!({}), 400),
        (("content-type", BATCH), json!([{ "type": "a.b" }]), 422),
        (("content-type", "application/json"), json!("text"), 400),
    ] {
        let answer = client.post_event("", &[headers], body.to_string().into_bytes()).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    let large = format!("[{{\"type\":\"a.b\",\"data\":\"{}\"}}]", "x".repeat(9 << 20));
    let answer = client.post_event("", &json, large.into_bytes()).await;
    assert_eq!(answer.problem(413), "too_large");
    assert_eq!(stored().await, before, "nothing is stored");

    // Near the bound of a body, and with as many events as there may be.
    let large: Vec<Value> = (0..30)
        .map(|_| json!({ "type": "a.b", "data": "x".repeat(250_000) }))
        .collect();
    let many: Vec<Value> = (0..1_000).map(|_| json!({ "type": "a.b" })).collect();
    for list in [large, many] {
        let before = stored().await;
        let answer = client.post_event("", &json, json!(list).to_string().into_bytes()).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        assert_eq!(stored().await, before + list.len() as u64);
    }
    // What is right is stored as a whole; two of one identity are one event; a repeat is no error.
    for (body, ids, grown) in [
        (json!([]), vec![], 0),
        (
            json!([{ "type": "a.b", "id": "x" }, { "type": "a.c", "id": "y" }]),
            vec!["x", "y"],
            2,
        ),
        (
            json!([{ "type": "a.b", "id": "z" }, { "type": "a.b", "id": "z" }]),
            vec!["z", "z"],
            1,
        ),
        (
            json!([{ "type": "a.b", "id": "x" }, { "type": "a.b", "id": "w" }]),
            vec!["x", "w"],
            1,
        ),
    ] {
        let before = stored().await;
        let answer = client.post_event("", &json, body.to_string().into_bytes()).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        assert_eq!(ids_of(&answer.json()), ids);
        assert_eq!(stored().await, before + grown, "{body}");
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_over_http_waits_for_nats_and_the_same_again_doubles_nothing() {
    let mut cluster = Cluster::start().await;
    let client = cluster.client().clone();
    let json = [("content-type", "application/json")];
    let list: Vec<Value> = (0..100)
        .map(|n| json!({ "type": "a.b", "id": format!("n-{n}") }))
        .collect();
    let post = async || client.post_event("", &json, json!(list).to_string().into_bytes()).await;
    cluster.server.kill().await;
    let answer = post().await;
    assert_eq!(answer.problem(503), "unavailable");
    let detail = answer.json()["detail"].clone();
    assert!(detail.as_str().is_some_and(|text| text.contains("`id`")), "{detail}");
    cluster.server.restart().await;
    for _ in 0..2 {
        eventually(SOON, "the same list is taken", async || {
            let answer = post().await;
            if answer.status == 202 {
                Ok(())
            } else {
                Err(answer.text())
            }
        })
        .await;
        assert_eq!(client.messages("EVENTS").await, Ok(100));
    }
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_over_http_is_stored_where_events_was_made_without_atomic_batches() {
    let up = Up::start().await;
    let client = up.client();
    let nats = async_nats::connect(client.nats_url())
        .await
        .expect("NATS takes a connection");
    let jetstream = async_nats::jetstream::new(nats);
    let mut stream = jetstream.get_stream("EVENTS").await.expect("EVENTS is there");
    let mut config = stream.info().await.expect("EVENTS can be asked").config.clone();
    config.allow_atomic_publish = false;
    jetstream.update_stream(config).await.expect("EVENTS can be changed");
    let list: Vec<Value> = (0..100).map(|_| json!({ "type": "a.b" })).collect();
    let answer = client
        .post_event(
            "",
            &[("content-type", "application/json")],
            json!(list).to_string().into_bytes(),
        )
        .await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(ids_of(&answer.json()).len(), 100);
    assert_eq!(client.messages("EVENTS").await, Ok(100));
    let doctor = client.get("/v1/doctor").await;
    assert!(doctor.to_string().contains("allow_atomic is false"), "{doctor}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_nats_what_is_left_of_a_batch_waits_for_room_and_nothing_is_doubled() {
    const EVENTS: usize = 200;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client
        .apply(
            json!([{ "name": "all", "provider": "webhook", "events": [">"], "config": { "url": target.url("/all") } }]),
        )
        .await;
    let nats = async_nats::connect(client.nats_url())
        .await
        .expect("NATS takes a connection");
    let jetstream = async_nats::jetstream::new(nats);
    let mut stream = jetstream.get_stream("EVENTS").await.expect("EVENTS is there");
    let before = stream.info().await.expect("EVENTS can be asked").config.clone();
    let bounded = |max_bytes| async_nats::jetstream::stream::Config {
        max_bytes,
        ..before.clone()
    };
    jetstream
        .update_stream(bounded(60_000))
        .await
        .expect("EVENTS can be changed");
    let event = |n: usize| {
        let data = json!({ "text": "x".repeat(1_000) });
        json!({ "specversion": "1.0", "id": format!("e-{n}"), "source": "/s", "type": "tick", "data": data })
    };
    let body: Vec<Value> = (0..EVENTS).map(event).collect();
    let batch = Publish::to("signalbox.in.default.tick", json!(body).to_string());
    client.publish(batch.header("content-type", BATCH)).await;
    eventually(SOON, "EVENTS is full, and the batch waits", async || {
        let (stored, waiting) = (client.messages("EVENTS").await?, client.messages("INGEST").await?);
        match (stored, waiting) {
            (20.., 1) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    // Longer than the wait between two tries.
    pause(Duration::from_secs(3)).await;
    assert_eq!(
        client.messages("INGEST").await,
        Ok(1),
        "it is not acknowledged by halves"
    );
    jetstream
        .update_stream(bounded(before.max_bytes))
        .await
        .expect("EVENTS can be changed");
    target.wait_for_events("/all", EVENTS, SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], EVENTS, "{ledger}");
    assert_eq!(target.repeats("/all"), 0);
    assert_eq!(client.dead_letters("").await, Vec::<Value>::new());
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_ingest_in_the_midst_of_batches_loses_no_event_and_doubles_none() {
    const BATCHES: usize = 100;
    const EVENTS: usize = 100;
    const BAD: usize = 7;
    let mut seed = Seed::of("kill -9 of ingest in the midst of batches");
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client
        .apply(json!([{ "name": "all", "provider": "webhook", "events": ["tick"], "config": { "url": target.url("/all") } }]))
        .await;
    let good = BATCHES * (EVENTS - 1);
    // All of them wait when ingest comes back, so that each kill finds it with many in hand.
    cluster.role("ingest").kill().await;
    for number in 0..BATCHES {
        let tick = |n: usize| {
            // One event of each batch is none.
            let event_type = if n == BAD { "tock" } else { "tick" };
            json!({ "specversion": "1.0", "id": format!("{number}-{n}"), "source": "/s", "type": event_type })
        };
        let body: Vec<Value> = (0..EVENTS).map(tick).collect();
        let batch = Publish::to("signalbox.in.default.tick", json!(body).to_string());
        client.publish(batch.header("content-type", BATCH)).await;
    }
    for _ in 0..2 {
        let stored = async || client.messages("EVENTS").await;
        let before = stored().await.expect("EVENTS can be asked");
        cluster.role("ingest").restart().await;
        eventually(AFTER_CRASH, "ingest has begun", async || match stored().await? {
            now if now > before => Ok(()),
            now => Err(format!("{now}")),
        })
        .await;
        pause(seed.millis(0..30)).await;
        cluster.role("ingest").kill().await;
        let now = stored().await.expect("EVENTS can be asked");
        eprintln!("killed with {} of {good} events stored", now);
        assert!(now < good as u64, "it was killed too late to show anything");
    }
    cluster.role("ingest").restart().await;
    target.wait_for_events("/all", good, AFTER_CRASH).await;
    let ledger = client.settled(AFTER_CRASH).await;
    assert_eq!(ledger["delivered"], good, "{ledger}");
    assert_eq!(target.repeats("/all"), 0, "no event comes twice");
    let letters = client.dead_letters("?stage=ingest&limit=200").await;
    assert_eq!(letters.len(), BATCHES, "each bad event is one dead letter");
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_comes_again_after_its_ids_are_forgotten_doubles_nothing() {
    const EVENTS: usize = 30;
    let mut cluster = Cluster::start().await;
    let client = cluster.client().clone();
    let nats = async_nats::connect(client.nats_url()).await;
    let jetstream = async_nats::jetstream::new(nats.expect("NATS takes a connection"));
    let change = async |name: &str, max_messages| {
        let mut stream = jetstream.get_stream(name).await.expect("the stream is there");
        let mut config = stream.info().await.expect("it can be asked").config.clone();
        // The least that a server takes: what comes again a moment later is new to it.
        config.duplicate_window = Duration::from_millis(100);
        config.max_messages = max_messages;
        jetstream.update_stream(config).await.expect("it can be changed");
    };
    change("DEAD", -1).await;
    change("EVENTS", 20).await;
    let event = |n: usize| {
        // Each seventh is none.
        let event_type = if n % 7 == 3 { "tock" } else { "tick" };
        json!({ "specversion": "1.0", "id": format!("e-{n}"), "source": "/s", "type": event_type })
    };
    let body: Vec<Value> = (0..EVENTS).map(event).collect();
    let bad = body.iter().filter(|event| event["type"] == "tock").count() as u64;
    let batch = Publish::to("signalbox.in.default.tick", json!(body).to_string());
    client.publish(batch.header("content-type", BATCH)).await;
    let settled = async |events: u64, letters: u64| {
        eventually(AFTER_CRASH, "so much is settled", async || {
            let (stored, letters_now) = (client.messages("EVENTS").await?, client.messages("DEAD").await?);
            match (stored, letters_now) {
                now if now == (events, letters) => Ok(()),
                now => Err(format!("{now:?}")),
            }
        })
        .await;
    };
    settled(20, bad).await;
    cluster.role("ingest").kill().await;
    change("EVENTS", -1).await;
    cluster.role("ingest").restart().await;
    eventually(AFTER_CRASH, "the batch is acknowledged", async || {
        match client.messages("INGEST").await? {
            0 => Ok(()),
            waiting => Err(format!("{waiting} wait")),
        }
    })
    .await;
    settled(EVENTS as u64 - bad, bad).await;
    cluster.assert_alive();
}
