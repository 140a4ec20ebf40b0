//! Event types of an org's own: their schema is kept on both ways in, also across a restart; their severity counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use signalbox_proto::{RawJson, Timestamp, subjects, types::Registered, wire};

use crate::harness::{Client, Cluster, Publish, Target, Up, eventually};

const SOON: Duration = Duration::from_secs(30);
/// A change takes effect within this time.
const EFFECT: Duration = Duration::from_secs(1);

fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["user"],
        "properties": { "user": { "type": "object", "properties": { "age": { "type": "integer" } } } },
    })
}

fn event(id: &str, data: Value) -> Value {
    json!({ "type": "user.joined", "id": id, "data": data })
}

fn data(age: Value) -> Value {
    json!({ "user": { "age": age } })
}

async fn post(client: &Client, event: &Value) -> u16 {
    client.post_event("", &[], event.to_string().into_bytes()).await.status
}

/// Waits until a publish of this data over HTTP is answered so.
async fn takes_effect(client: &Client, status: u16, data: Value) {
    let mut number = 0;
    eventually(EFFECT, &format!("{data} is answered with {status}"), async || {
        number += 1;
        match post(
            client,
            &event(&format!("try-{data}-{number}").replace(' ', ""), data.clone()),
        )
        .await
        {
            found if found == status => Ok(()),
            found => Err(found.to_string()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_is_kept_on_both_ways_in_and_every_change_takes_effect_within_a_second() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client
        .apply(json!([{
            "name": "hook", "provider": "webhook", "events": ["user.*"], "config": { "url": target.url("/hook") },
        }]))
        .await;
    let text = schema().to_string();
    let put = [
        "event-types",
        "put",
        "user.joined",
        "--title",
        "User Joined",
        "--emoji",
        "👋",
        "--schema",
        &text,
    ];
    let made = client.command_json(&put).await;
    assert_eq!(
        (&made["type"], &made["title"], &made["built_in"]),
        (&json!("user.joined"), &json!("User Joined"), &json!(false))
    );
    takes_effect(client, 422, data(json!("old"))).await;

    let refused = client
        .post_event("", &[], event("bad", data(json!("old"))).to_string().into_bytes())
        .await;
    assert_eq!(refused.problem(422), "invalid");
    assert_eq!(refused.json()["field"], "data/user/age", "{}", refused.text());
    let list = json!([event("a", data(json!(1))), event("b", json!({}))]);
    let refused = client.post_event("", &[], list.to_string().into_bytes()).await;
    assert_eq!(refused.problem(422), "invalid");
    assert_eq!(refused.json()["field"], "[1].data", "{}", refused.text());

    assert_eq!(post(client, &event("http-good", data(json!(7)))).await, 202);
    client
        .publish(Publish::of("user.joined", &data(json!(8))).id("nats-good"))
        .await;
    client
        .publish(Publish::of("user.joined", &data(json!("old"))).id("nats-bad"))
        .await;
    // Another type, and another org, are nobody's business.
    client.publish(Publish::of("user.left", &json!({})).id("other")).await;
    for id in ["http-good", "nats-good", "other"] {
        client.delivery(id, "delivered", SOON).await;
    }
    let letters = eventually(SOON, "the dead letter", async || {
        let letters = client.dead_letters("?stage=ingest").await;
        if letters.is_empty() {
            Err("none".to_owned())
        } else {
            Ok(letters)
        }
    })
    .await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(
        (&letters[0]["reason"], &letters[0]["org"]),
        (&json!("invalid"), &json!("default"))
    );
    let message = letters[0]["message"].as_str().expect("a message");
    assert_eq!(message, "data/user/age: value is not of type \"integer\"");

    let looser = json!({ "title": "User Joined", "schema": { "type": "object" } });
    let answer = client.request("PUT", "/v1/event-types/user.joined", Some(looser)).await;
    assert_eq!(answer.ok()["created_at"], made["created_at"]);
    takes_effect(client, 202, data(json!("looser"))).await;
    takes_effect(client, 422, json!([])).await;

    let (code, out) = client.command(&["event-types", "delete", "user.joined"]).await;
    assert_eq!((code, out.trim()), (0, "default/user.joined: deleted"));
    takes_effect(client, 202, json!([1])).await;
    assert_eq!(client.command(&["event-types", "show", "user.joined"]).await.0, 3);

    client.settled(SOON).await;
    let arrived = target.by_event("/hook");
    let wrong = ["bad", "nats-bad", "a", "b"]
        .iter()
        .filter(|id| arrived.contains_key(**id))
        .count();
    assert_eq!(wrong, 0, "{arrived:?}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_registry_says_what_is_wrong_and_keeps_orgs_apart() {
    let up = Up::start().await;
    let client = up.client();
    let all = client.get("/v1/event-types?limit=200").await;
    let built_in = all["items"].as_array().expect("items").len();
    assert_eq!(built_in, signalbox_proto::types::BUILT_IN.len());
    assert_eq!(all["next_cursor"], Value::Null);

    let made = client
        .request(
            "POST",
            "/v1/event-types?org=acme",
            Some(json!({ "type": "deploy.done", "tone": "good" })),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.text());
    let again = client
        .request(
            "POST",
            "/v1/event-types?org=acme",
            Some(json!({ "type": "deploy.done" })),
        )
        .await;
    assert_eq!(again.problem(409), "already_exists");
    let over = client
        .request(
            "PUT",
            "/v1/event-types/execution.failed?org=acme",
            Some(json!({ "title": "Fell over" })),
        )
        .await;
    assert_eq!(
        (over.status, &over.ok()["title"], &over.ok()["emoji"]),
        (201, &json!("Fell over"), &json!("❌"))
    );

    for (path, count) in [
        ("?org=acme&built_in=false", 1),
        ("?org=acme&built_in=true&limit=200", built_in),
        ("?org=acme&limit=200", built_in + 1),
        ("?built_in=false", 0),
    ] {
        let list = client.get(&format!("/v1/event-types{path}")).await;
        assert_eq!(list["items"].as_array().map(Vec::len), Some(count), "{path}: {list}");
    }
    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let page = client.get(&format!("/v1/event-types?org=acme&limit=7{cursor}")).await;
        let items = page["items"].as_array().expect("items");
        assert!(items.len() <= 7);
        seen.extend(
            items
                .iter()
                .map(|item| item["type"].as_str().expect("a type").to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), built_in + 1);
    assert!(seen.is_sorted() && seen.contains(&"deploy.done".to_owned()));

    for (method, path, body, status, code, field) in [
        ("PUT", "/v1/event-types/a%20b", json!({}), 400, "invalid", "type"),
        ("PUT", "/v1/event-types/a.*", json!({}), 400, "invalid", "type"),
        (
            "PUT",
            "/v1/event-types/a",
            json!({ "type": "b" }),
            400,
            "invalid",
            "type",
        ),
        (
            "PUT",
            "/v1/event-types/a",
            json!({ "severity": "grave" }),
            400,
            "invalid",
            "severity",
        ),
        (
            "PUT",
            "/v1/event-types/a",
            json!({ "colour": "red" }),
            400,
            "invalid",
            "colour",
        ),
        (
            "PUT",
            "/v1/event-types/a",
            json!({ "schema": { "type": 1 } }),
            400,
            "invalid",
            "schema/type",
        ),
        (
            "PUT",
            "/v1/event-types/a",
            json!({ "schema": { "$ref": "http://127.0.0.1:1/x" } }),
            400,
            "invalid",
            "schema/$ref",
        ),
        ("PUT", "/v1/event-types/a?org=A", json!({}), 400, "invalid", "org"),
        ("POST", "/v1/event-types", json!({}), 400, "invalid", "type"),
        (
            "GET",
            "/v1/event-types?built_in=maybe",
            json!({}),
            400,
            "invalid",
            "built_in",
        ),
        ("GET", "/v1/event-types?x=1", json!({}), 400, "unknown_parameter", "x"),
        ("GET", "/v1/event-types/deploy.done", json!({}), 404, "not_found", ""),
        ("DELETE", "/v1/event-types/deploy.done", json!({}), 404, "not_found", ""),
        (
            "DELETE",
            "/v1/event-types/execution.failed",
            json!({}),
            409,
            "built_in",
            "type",
        ),
    ] {
        let answer = client.request(method, path, Some(body)).await;
        assert_eq!(answer.problem(status), code, "{method} {path}");
        assert_eq!(
            answer.json()["field"].as_str().unwrap_or_default(),
            field,
            "{method} {path}: {}",
            answer.text()
        );
    }
    let restored = client
        .request("DELETE", "/v1/event-types/execution.failed?org=acme", None)
        .await
        .ok();
    assert_eq!(restored["status"], "built_in");
    assert_eq!(
        client.get("/v1/event-types/execution.failed?org=acme").await["title"],
        "Execution Failed"
    );
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_severity_of_a_type_counts_for_filters_where_the_event_names_none() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client
        .apply(json!([{
            "name": "grave", "provider": "webhook", "events": ["deploy.>"], "filter": { "min_severity": "high" },
            "config": { "url": target.url("/grave") },
        }]))
        .await;
    let (code, _) = client
        .command(&["event-types", "put", "deploy.done", "--severity", "critical"])
        .await;
    assert_eq!(code, 0);
    let mut number = 0;
    eventually(EFFECT, "the severity counts", async || {
        number += 1;
        let id = format!("default-{number}");
        client.publish(Publish::of("deploy.done", &json!({})).id(&id)).await;
        let story = eventually(SOON, "the event is known", async || client.trace(&id).await).await;
        if story["event"]["severity"] == "critical" {
            Ok(())
        } else {
            Err(story.to_string())
        }
    })
    .await;
    client.delivery(&format!("default-{number}"), "delivered", SOON).await;
    client
        .publish(Publish::of("deploy.done", &json!({ "severity": "low" })).id("own"))
        .await;
    client
        .publish(Publish::of("deploy.begun", &json!({})).id("unregistered"))
        .await;
    client.settled(SOON).await;
    let arrived = target.by_event("/grave");
    assert!(
        !arrived.contains_key("own") && !arrived.contains_key("unregistered"),
        "{arrived:?}"
    );
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_ingest_comes_back_knowing_every_schema_before_it_takes_anything() {
    const ROUNDS: usize = 4;
    let mut cluster = Cluster::start().await;
    let client = cluster.client().clone();
    // Many, so that reading them takes a while; the one that matters is the last.
    for number in 0..300 {
        let body = json!({ "schema": schema() });
        let answer = client
            .request("PUT", &format!("/v1/event-types/other.t{number}"), Some(body))
            .await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    let body = json!({ "schema": schema() });
    assert_eq!(
        client
            .request("PUT", "/v1/event-types/user.joined", Some(body))
            .await
            .status,
        201
    );
    takes_effect(&client, 422, data(json!("old"))).await;
    let before = client.messages("EVENTS").await.expect("EVENTS");

    let stop = Arc::new(AtomicBool::new(false));
    let hammer = tokio::spawn({
        let (client, stop) = (client.clone(), stop.clone());
        async move {
            let body = event("never", data(json!("old"))).to_string().into_bytes();
            let mut refused = 0;
            while !stop.load(Ordering::Relaxed) {
                match client.try_post_event("", &[], body.clone()).await {
                    Ok(answer) => {
                        assert!(matches!(answer.status, 422 | 503), "{}", answer.text());
                        refused += usize::from(answer.status == 422);
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
            refused
        }
    });
    for round in 0..ROUNDS {
        cluster.role("ingest").kill().await;
        for number in 0..50 {
            client
                .publish(Publish::of("user.joined", &data(json!("old"))).id(&format!("bad-{round}-{number}")))
                .await;
        }
        client
            .publish(Publish::of("user.joined", &data(json!(1))).id(&format!("good-{round}")))
            .await;
        cluster.role("ingest").restart().await;
    }
    eventually(SOON, "all inputs are settled", async || {
        match client.messages("INGEST").await? {
            0 => Ok(()),
            waiting => Err(format!("{waiting} wait")),
        }
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    assert!(hammer.await.expect("no publish went through") > 0);
    assert_eq!(client.messages("EVENTS").await, Ok(before + ROUNDS as u64));
    assert_eq!(client.messages("DEAD").await, Ok(50 * ROUNDS as u64));
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_another_version_wrote_checks_nothing_and_doctor_names_it() {
    let up = Up::start().await;
    let client = up.client();
    let nats = async_nats::connect(client.nats_url())
        .await
        .expect("NATS takes a connection");
    let bucket = async_nats::jetstream::new(nats)
        .get_key_value(subjects::CONFIG)
        .await
        .expect("the bucket is there");
    let newer = Registered {
        org: "default".parse().expect("a name"),
        name: "user.joined".parse().expect("a type"),
        title: None,
        emoji: None,
        severity: None,
        tone: None,
        schema: Some(RawJson::of(&json!({ "type": "something new" })).expect("JSON")),
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
        revision: 0,
    };
    let key = subjects::type_key("default", "user.joined");
    let bytes = wire::encode(&newer).expect("bytes");
    bucket.put(key, bytes.into()).await.expect("the bucket takes it");
    client
        .publish(Publish::of("user.joined", &json!({ "any": "thing" })).id("through"))
        .await;
    eventually(SOON, "the event is accepted", async || client.trace("through").await).await;
    let doctor = client.try_doctor().await.expect("an answer");
    let finding = doctor["findings"]
        .as_array()
        .and_then(|all| {
            all.iter().find(|finding| {
                finding["what"]
                    .as_str()
                    .is_some_and(|what| what.contains("the schema of event type user.joined"))
            })
        })
        .unwrap_or_else(|| panic!("no finding in {doctor}"));
    assert_eq!(finding["level"], "error");
    assert!(
        finding["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("event-types put user.joined")),
        "{finding}"
    );
    up.stop().await;
}
