//! `Prefer: wait`: the answer to a publish says what became of the deliveries, and never waits longer than asked.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Publish, Target, Up, client::Response, eventually};

const SOON: Duration = Duration::from_secs(20);
/// What an answer may take beyond the time that it was to wait, on a busy machine.
const A_LITTLE: Duration = Duration::from_secs(3);

fn integration(target: &Target, name: &str, event_type: &str) -> Value {
    json!({
        "name": name,
        "provider": "webhook",
        "config": { "url": target.url(&format!("/{name}")) },
        "events": [event_type],
        "retry": { "schedule": ["1h"] },
    })
}

async fn publish(client: &Client, prefer: &str, body: &Value) -> Response {
    let headers = [("content-type", "application/json"), ("prefer", prefer)];
    client.post_event("", &headers, body.to_string().into_bytes()).await
}

/// Status, code and whether there is an error, of each delivery.
fn statuses(event: &Value) -> Vec<(String, Value, bool)> {
    let list = event["deliveries"].as_array().expect("deliveries");
    let mut all: Vec<_> = list
        .iter()
        .map(|one| {
            let status = one["status"].as_str().unwrap_or_default().to_owned();
            (status, one["response_code"].clone(), one["error_message"].is_string())
        })
        .collect();
    all.sort_by_key(|(status, code, _)| (status.clone(), code.as_u64()));
    all
}

fn row(status: &str, code: impl Into<Value>, error: bool) -> (String, Value, bool) {
    (status.to_owned(), code.into(), error)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_waits_says_what_became_of_each_delivery() {
    let (up, target) = (Up::start().await, Target::start().await);
    let client = up.client();
    target.script("/rejects", [Answer::status(422)]);
    target.script("/retries", [Answer::status(503)]);
    target.script("/slow", [Answer::status(204).after(Duration::from_secs(1))]);
    let erring = json!({
        "name": "erring", "provider": "webhook", "events": ["a.errs"],
        "config": { "url": target.url("/erring") },
        "filter": { "where": "event.data.n + 'x' == 1" },
    });
    client
        .apply(json!([
            integration(&target, "ok", "a.*"),
            integration(&target, "slow", "a.settles"),
            integration(&target, "rejects", "a.settles"),
            integration(&target, "retries", "a.retries"),
            integration(&target, "held", "a.held"),
            erring,
        ]))
        .await;
    client.hold("held").await;

    let answer = publish(client, "wait=20", &json!({ "type": "a.settles", "id": "settles" })).await;
    assert_eq!(
        (answer.status, answer.header("preference-applied")),
        (202, "wait=20"),
        "{}",
        answer.text()
    );
    let settles = answer.json()["events"][0].clone();
    assert_eq!(
        (&settles["id"], &settles["settled"]),
        (&json!("settles"), &json!(true)),
        "{settles}"
    );
    assert_eq!(
        statuses(&settles),
        [
            row("dead", 422, true),
            row("delivered", 200, false),
            row("delivered", 204, false)
        ],
        "{settles}"
    );
    let ok = client.integration("ok").await;
    let of_ok = settles["deliveries"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|one| one["integration_id"] == ok["id"]);
    let of_ok = of_ok.unwrap_or_else(|| panic!("no delivery of ok in {settles}"));
    assert_eq!(
        (&of_ok["provider"], &of_ok["attempts"]),
        (&json!("webhook"), &json!(1)),
        "{of_ok}"
    );

    // Nothing matches: there is nothing to wait for.
    let began = Instant::now();
    let nothing = publish(client, "respond-async, wait=\"50\"; x", &json!({ "type": "nobody" })).await;
    assert_eq!(nothing.header("preference-applied"), "wait=50");
    assert_eq!(nothing.json()["events"][0]["settled"], true, "{}", nothing.text());
    assert_eq!(nothing.json()["events"][0]["deliveries"], json!([]));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());

    // A condition without an answer ends where it is routed.
    let errs = publish(client, "wait=20", &json!({ "type": "a.errs", "data": { "n": 1 } }))
        .await
        .json();
    assert_eq!(errs["events"][0]["settled"], true, "{errs}");
    assert_eq!(
        statuses(&errs["events"][0]),
        [row("dead", Value::Null, true), row("delivered", 200, false)],
        "{errs}"
    );

    // What is tried again or held is not settled, and is reported as it stands when the time is over.
    for (event_type, unsettled) in [
        ("a.retries", row("retrying", 503, true)),
        ("a.held", row("parked", Value::Null, false)),
    ] {
        let began = Instant::now();
        let answer = publish(client, "wait=2", &json!({ "type": event_type })).await;
        let took = began.elapsed();
        let event = answer.json()["events"][0].clone();
        assert_eq!(event["settled"], false, "{event}");
        assert_eq!(statuses(&event), [row("delivered", 200, false), unsettled], "{event}");
        assert!(
            took >= Duration::from_secs(2) && took < Duration::from_secs(2) + A_LITTLE,
            "{took:?}"
        );
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_repeats_are_waited_for_too() {
    let (up, target) = (Up::start().await, Target::start().await);
    let client = up.client();
    client
        .apply(json!([
            integration(&target, "one", "a.one"),
            integration(&target, "all", "a.>")
        ]))
        .await;
    let list = json!([
        { "type": "a.one", "id": "e-1" },
        { "type": "a.two", "id": "e-2" },
        { "type": "b", "id": "e-3" },
        { "type": "a.one", "id": "e-1" },
    ]);
    // Once new, and once when all of it has ended before anybody waited.
    for _ in 0..2 {
        let answer = publish(client, "wait=20", &list).await;
        let events = answer.json()["events"].as_array().cloned().expect("a list of events");
        let seen: Vec<_> = events
            .iter()
            .map(|event| {
                (
                    event["id"].as_str().unwrap_or_default(),
                    event["settled"] == true,
                    statuses(event).len(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [("e-1", true, 2), ("e-2", true, 1), ("e-3", true, 0), ("e-1", true, 2)],
            "{}",
            answer.text()
        );
    }
    assert_eq!(target.count("/all"), 2, "a repeat is no second event");

    // Without the preference, or with one that cannot be read, the answer is the short one.
    for prefer in ["wait=0", "wait=soon", "return=minimal", "wait"] {
        let answer = publish(client, prefer, &json!({ "type": "a.one" })).await;
        assert_eq!(answer.header("preference-applied"), "", "{prefer}");
        assert_eq!(
            answer.json()["events"][0].as_object().map(serde_json::Map::len),
            Some(1),
            "{prefer}"
        );
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_away_waits_no_more_and_the_followers_go_with_the_last() {
    let (up, target) = (Up::start().await, Target::start().await);
    let client = up.client();
    target.script("/retries", [Answer::status(503)]);
    client.apply(json!([integration(&target, "retries", "a")])).await;
    let consumers = async || {
        let client = async_nats::connect(client.nats_url()).await.expect("a connection");
        let stream = async_nats::jetstream::new(client)
            .get_stream("OUTCOMES")
            .await
            .expect("OUTCOMES");
        stream.cached_info().state.consumer_count
    };
    let before = consumers().await;
    let mut waiting = Vec::new();
    for number in 0..5 {
        let client = client.clone();
        waiting.push(tokio::spawn(async move {
            publish(&client, "wait=60", &json!({ "type": "a", "id": format!("e-{number}") })).await
        }));
    }
    target.wait_for_events("/retries", 5, SOON).await;
    assert_eq!(consumers().await, before + 1, "one follower, however many wait");
    for one in waiting {
        one.abort();
    }
    eventually(SOON, "the follower goes", async || match consumers().await {
        now if now == before => Ok(()),
        now => Err(format!("{now} consumers, {before} before")),
    })
    .await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_waits_and_tells() {
    let (up, target) = (Up::start().await, Target::start().await);
    let client = up.client();
    target.script("/rejects", [Answer::status(400)]);
    client
        .apply(json!([
            integration(&target, "rejects", "a.rejects"),
            integration(&target, "ok", "a.*")
        ]))
        .await;
    let (code, out) = client
        .command(&["publish", "a.rejects", "--id", "e-1", "--wait=20s"])
        .await;
    assert_eq!(code, 0, "{out}");
    for part in [
        "e-1\n",
        "  ok (webhook) delivered 200\n",
        "  rejects (webhook) dead 400: ",
    ] {
        assert!(out.contains(part), "no {part:?} in\n{out}");
    }
    let (code, out) = client.command(&["publish", "nobody", "--id", "e-2", "--wait"]).await;
    assert_eq!((code, out.as_str()), (0, "e-2\n  matched no integration\n"));
    let answer = client.command_json(&["publish", "a.b", "--wait"]).await;
    assert_eq!(answer["events"][0]["settled"], true, "{answer}");
    assert_eq!(client.command(&["publish", "a.b", "--wait=2m"]).await.0, 2);
    client.publish(Publish::of("a.b", &json!({})).id("plain")).await;
    client.delivery("plain", "delivered", SOON).await;
    up.stop().await;
}
