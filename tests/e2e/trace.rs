//! A trace says, for every way that an event can go, why it stands so and what comes next.

use std::time::Duration;

use async_nats::jetstream;
use serde_json::{Value, json};
use signalbox_proto::{Accepted, Delivery, Event, Lane, Timestamp, subjects, wire};

use crate::harness::{Answer, Client, Cluster, Publish, Target, Up, eventually};

const SOON: Duration = Duration::from_secs(20);

/// An integration for `execution.failed`.
fn integration(target: &Target, name: &str, more: &Value) -> Value {
    let mut integration = json!({
        "name": name,
        "provider": "webhook",
        "config": { "url": target.url(&format!("/{name}")) },
        "events": ["execution.failed"],
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        integration[field] = value.clone();
    }
    integration
}

fn of<'a>(list: &'a Value, integration: &str) -> &'a Value {
    let entries = list.as_array().expect("a list");
    let found = entries.iter().find(|entry| entry["integration"] == integration);
    found.unwrap_or_else(|| panic!("nothing of {integration} in {list}"))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

#[track_caller]
fn assert_says(value: &Value, name: &str, parts: &[&str]) {
    let said = text(value, name);
    for part in parts {
        assert!(said.contains(part), "{name} does not say {part:?}: {said}");
    }
}

/// The event as EVENTS has it, with its place.
async fn accepted(client: &Client, trace: &Value) -> Accepted {
    let jetstream = context(client).await;
    let stream = jetstream.get_stream(subjects::EVENTS).await.expect("the stream EVENTS");
    let seq = trace["sequence"].as_u64().expect("a sequence");
    let stored = stream.get_raw_message(seq).await.expect("the event");
    let event: Event = wire::decode(&stored.payload).expect("an event");
    let at = Timestamp::from_nanos(i64::try_from(stored.time.unix_timestamp_nanos()).expect("a time of today"));
    Accepted { event, seq, at }
}

async fn context(client: &Client) -> jetstream::Context {
    jetstream::new(async_nats::connect(client.nats_url()).await.expect("a connection"))
}

/// Hands a delivery to its worker that has waited for two minutes longer than it may.
async fn expire(client: &Client, integration: &Value, trace: &Value) {
    let provider = "webhook".parse().expect("a name");
    let id = text(integration, "id");
    let mut delivery = Delivery::first(accepted(client, trace).await, id, &provider, 1, 1);
    delivery.since = Timestamp::now() - Duration::from_secs(180);
    let subject = subjects::deliver(&provider, Lane::Live, &delivery.org, id);
    let body = wire::encode(&delivery).expect("a delivery");
    let jetstream = context(client).await;
    let ack = jetstream.publish(subject, body.into()).await.expect("a publish");
    ack.await.expect("a place in the stream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_says_why_and_what_next_for_every_way_that_an_event_can_go() {
    let (up, target) = (Up::start().await, Target::start().await);
    let client = up.client();
    target.script("/flaky", [Answer::status(503)]);
    target.script("/never", [Answer::status(422)]);
    target.script("/gone", [Answer::status(410)]);
    let filter = |filter: Value| json!({ "filter": filter });
    client
        .apply(json!([
            integration(&target, "ok", &json!({})),
            integration(
                &target,
                "flaky",
                &json!({ "retry": { "schedule": ["1s", "1h", "2h"] } })
            ),
            integration(&target, "never", &json!({})),
            integration(&target, "held", &json!({ "expire_after": "2h" })),
            integration(&target, "gone", &json!({})),
            integration(&target, "late", &json!({ "expire_after": "1m", "enabled": false })),
            integration(&target, "severe", &filter(json!({ "min_severity": "critical" }))),
            integration(&target, "agents", &filter(json!({ "agent_ids": ["agent-7"] }))),
            integration(
                &target,
                "where",
                &filter(json!({ "where": "event.data.success_rate < 0.9" }))
            ),
            integration(&target, "absent", &filter(json!({ "where": "event.data.cost > 5" }))),
            integration(
                &target,
                "erring",
                &filter(json!({ "where": "event.data.success_rate + 'x' == 1" }))
            ),
            integration(&target, "other", &json!({ "events": ["canary.>", "alert.*"] })),
        ]))
        .await;
    client.hold("held").await;
    let data = json!({ "success_rate": 0.95, "agent_id": "agent-9", "severity": "high" });
    client.publish(Publish::of("execution.failed", &data).id("e-1")).await;

    let routed = eventually(SOON, "the event is routed", async || {
        let trace = client.trace("e-1").await?;
        if trace["status"] == "routed" {
            Ok(trace)
        } else {
            Err(trace.to_string())
        }
    })
    .await;
    expire(client, &client.integration("late").await, &routed).await;
    client.apply(json!([integration(&target, "new", &json!({}))])).await;
    let trace = eventually(SOON, "each delivery has gone its way", async || {
        let trace = client.trace("e-1").await?;
        let list = trace["deliveries"].as_array().cloned().unwrap_or_default();
        let status = |name: &str| {
            let found = list.iter().find(|one| one["integration"] == name);
            found.map_or(Value::Null, |one| json!([one["status"], one["attempts"]]))
        };
        let ways = [
            ("ok", json!(["delivered", 1])),
            ("flaky", json!(["retrying", 2])),
            ("never", json!(["dead", 1])),
            ("held", json!(["parked", 0])),
            ("gone", json!(["retrying", 1])),
            ("late", json!(["expired", 0])),
            ("erring", json!(["dead", 0])),
        ];
        if ways.iter().all(|(name, way)| status(name) == *way) {
            Ok(trace)
        } else {
            Err(trace.to_string())
        }
    })
    .await;

    let deliveries = &trace["deliveries"];
    assert_eq!(deliveries.as_array().map(Vec::len), Some(7), "{trace}");
    assert_eq!(trace["data_expired"], false);
    assert_says(&trace, "why", &["7 of 13 integrations"]);

    let ok = of(deliveries, "ok");
    assert_says(ok, "why", &["answered 200", "first attempt"]);
    assert_says(ok, "next", &["nothing more"]);

    let flaky = of(deliveries, "flaky");
    assert_says(flaky, "why", &["503"]);
    assert_says(flaky, "next", &["next attempt at 2", "step 2 of 3", "expires at 2"]);
    assert_eq!((&flaky["step"], &flaky["steps"]), (&json!(2), &json!(3)), "{flaky}");
    assert!(flaky["next_attempt_at"].is_string(), "{flaky}");
    assert_eq!(flaky["history"].as_array().map(Vec::len), Some(2), "{flaky}");

    let never = of(deliveries, "never");
    let letter = text(never, "dead_letter_id");
    assert_says(never, "why", &["never take it", "422"]);
    assert_says(never, "next", &[&format!("signalbox dead replay {letter}")]);

    let held = of(deliveries, "held");
    assert_eq!(held["waiting_for"], "pause");
    assert_says(held, "why", &["paused since 2"]);
    assert_says(
        held,
        "next",
        &[
            "waiting for a person",
            "signalbox resume --integration held",
            "expires at 2",
        ],
    );

    let gone = of(deliveries, "gone");
    assert_says(gone, "why", &["the target refuses since 2", "410"]);
    assert_says(
        gone,
        "next",
        &["probes whether the target takes again, at 2", "expires at 2"],
    );

    let late = of(deliveries, "late");
    assert_says(late, "why", &["longer than expire_after (1m)"]);
    assert_says(late, "next", &["signalbox dead replay dl_"]);

    let erring = of(deliveries, "erring");
    assert_says(erring, "why", &["could not say whether it matches"]);
    assert_says(erring, "next", &["signalbox dead replay dl_"]);

    let others = &trace["not_matched"];
    for (name, reason, parts) in [
        (
            "severe",
            "min_severity",
            &["min_severity: critical, the event is high"][..],
        ),
        ("agents", "agent_ids", &["agent_ids: [agent-7], the event's is agent-9"]),
        (
            "where",
            "where",
            &[
                "event.data.success_rate < 0.9 is false",
                "event.data.success_rate is 0.95",
            ],
        ),
        ("absent", "where", &["event.data.cost > 5 reads cost"]),
        (
            "other",
            "type",
            &["no pattern covers execution.failed", "canary.>, alert.*"],
        ),
        ("new", "created_later", &["after the event"]),
    ] {
        let other = of(others, name);
        assert_eq!(other["reason"], reason, "{other}");
        assert_says(other, "why", parts);
    }
    assert_says(of(others, "new"), "next", &["signalbox replay --since 2", "--to new"]);
    let near: Vec<bool> = others
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| one["near"] == true)
        .collect();
    assert_eq!(
        near,
        [true, true, true, true, true, false],
        "those whose filter decided come first: {others}"
    );
    assert_eq!(trace["not_matched_more"], 0);

    // The same, as people see it: no colours into a pipe, a reason and a next step below everything.
    let (code, tree) = client.command(&["trace", "e-1"]).await;
    assert_eq!(code, 0);
    assert!(!tree.contains('\x1b'), "{tree}");
    for line in [
        "execution.failed e-1",
        "├ org default, source /default, severity high",
        "├ ok (webhook) delivered",
        "step 2 of 3",
        "signalbox resume --integration held",
        "└ not matched: 6",
        "why: min_severity: critical, the event is high",
    ] {
        assert!(tree.contains(line), "no {line:?} in\n{tree}");
    }
    assert!(
        tree.matches("why: ").count() >= 14 && tree.matches("next: ").count() >= 13,
        "{tree}"
    );
    assert_eq!(
        client.command_json(&["trace", "e-1"]).await["sequence"],
        trace["sequence"]
    );

    client.publish(Publish::of("nobody.cares", &json!({})).id("e-2")).await;
    let nothing = eventually(SOON, "the event without a route is known as such", async || {
        let trace = client.trace("e-2").await?;
        if trace["status"] == "no_route" {
            Ok(trace)
        } else {
            Err(trace.to_string())
        }
    })
    .await;
    assert_says(&nothing, "why", &["none of the 13 integrations"]);
    assert_says(
        &nothing,
        "next",
        &["signalbox apply", "signalbox replay --since 2", "--type nobody.cares"],
    );
    assert_eq!(nothing["not_matched"].as_array().map(Vec::len), Some(13));
    let (_, tree) = client.command(&["trace", "e-2"]).await;
    assert!(
        tree.contains("no route") && tree.contains("next: subscribe an integration"),
        "{tree}"
    );
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_integration_says_why_it_refuses_and_when_it_is_probed() {
    let (up, target) = (Up::start().await, Target::start().await);
    let client = up.client();
    target.script("/gone", [Answer::status(410)]);
    client.apply(json!([integration(&target, "gone", &json!({}))])).await;
    client
        .publish(Publish::of("execution.failed", &json!({})).id("probe"))
        .await;
    eventually(SOON, "the integration is suspended", async || {
        match client.integration("gone").await["status"].as_str() {
            Some("error") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    client
        .publish(Publish::of("execution.failed", &json!({})).id("waits"))
        .await;
    let parked = client.delivery("waits", "parked", SOON).await;
    assert_eq!(parked["waiting_for"], "breaker");
    assert_says(&parked, "why", &["the target refuses since 2", "410"]);
    assert_says(
        &parked,
        "next",
        &[
            "probed again at 2",
            "signalbox resume --integration gone",
            "expires at 2",
        ],
    );
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_stands_between_the_attempts_before_and_after_it() {
    let (up, target) = (Up::start().await, Target::start().await);
    let client = up.client();
    target.script("/hook", [Answer::status(400), Answer::status(200)]);
    client.apply(json!([integration(&target, "hook", &json!({}))])).await;
    client
        .publish(Publish::of("execution.failed", &json!({})).id("e-1"))
        .await;
    let dead = client.delivery("e-1", "dead", SOON).await;
    let letter = text(&dead, "dead_letter_id").to_owned();
    let act = client.act("/v1/dead-letters/replay", json!({ "ids": [letter] })).await;
    let delivered = client.delivery("e-1", "delivered", SOON).await;
    assert_eq!(delivered["history"].as_array().map(Vec::len), Some(2), "{delivered}");
    let replays = delivered["replays"].as_array().expect("a list of replays");
    let [replay] = replays.as_slice() else {
        panic!("one replay: {delivered}")
    };
    assert_eq!(
        (&replay["act"], &replay["dead_letter_id"]),
        (&act["id"], &json!(letter)),
        "{replay}"
    );
    let (_, tree) = client.command(&["trace", "e-1"]).await;
    let place = |part: &str| tree.find(part).unwrap_or_else(|| panic!("no {part:?} in\n{tree}"));
    assert!(
        place("reject 400") < place("replayed by act") && place("replayed by act") < place("delivered 200"),
        "{tree}"
    );
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_accepted_or_has_left_is_said_so() {
    let (up, target) = (Up::start().await, Target::start().await);
    let client = up.client();
    target.script("/hook", [Answer::status(400)]);
    client.apply(json!([integration(&target, "hook", &json!({}))])).await;

    // An input that could not become an event.
    client
        .publish(Publish::to("signalbox.in.default.execution.failed", "not json").id("bad"))
        .await;
    let problem = eventually(SOON, "the rejected input is named", async || {
        let answer = client.request("GET", "/v1/events/bad", None).await;
        match answer.json()["code"].as_str() {
            Some("never_accepted") => Ok(answer.json()),
            _ => Err(answer.text()),
        }
    })
    .await;
    assert_eq!(problem["status"], 404);
    let letter = text(&problem, "dead_letter_id");
    assert_says(
        &problem,
        "detail",
        &["never accepted", letter, &format!("signalbox dead show {letter}")],
    );
    assert_eq!(client.command(&["trace", "bad"]).await.0, 3);

    // Nothing at all.
    let unknown = client.request("GET", "/v1/events/unknown", None).await;
    assert_eq!(unknown.problem(404), "not_found");
    assert_says(&unknown.json(), "detail", &["--since", "7d"]);

    // An event whose data EVENTS has let go of: its dead letter still has it.
    client
        .publish(Publish::of("execution.failed", &json!({ "n": 1 })).id("old"))
        .await;
    client.delivery("old", "dead", SOON).await;
    let jetstream = context(client).await;
    let stream = jetstream.get_stream(subjects::EVENTS).await.expect("the stream EVENTS");
    stream.purge().await.expect("a purge");
    let old = client.trace("old").await.expect("what is still known");
    assert_eq!(
        (&old["data_expired"], &old["event"]["data"]),
        (&json!(true), &json!({ "n": 1 })),
        "{old}"
    );
    assert_says(of(&old["deliveries"], "hook"), "next", &["signalbox dead replay dl_"]);

    // And one that was delivered: who it was and what was answered is in OUTCOMES.
    target.script("/hook", [Answer::status(200)]);
    client
        .publish(Publish::of("execution.failed", &json!({ "n": 2 })).id("gone"))
        .await;
    client.delivery("gone", "delivered", SOON).await;
    stream.purge().await.expect("a purge");
    let gone = client.trace("gone").await.expect("what is still known");
    assert_eq!(
        (&gone["data_expired"], &gone["event"]["data"]),
        (&json!(true), &Value::Null),
        "{gone}"
    );
    assert_eq!(gone["event"]["type"], "execution.failed");
    assert_eq!(of(&gone["deliveries"], "hook")["status"], "delivered", "{gone}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_on_its_way_is_said_to_be_where_it_is() {
    let (mut cluster, target) = (Cluster::start().await, Target::start().await);
    let client = cluster.client().clone();
    client.apply(json!([integration(&target, "hook", &json!({}))])).await;

    cluster.role("ingest").stop().await;
    client
        .publish(Publish::of("execution.failed", &json!({})).id("in"))
        .await;
    let waits = client.request("GET", "/v1/events/in", None).await;
    assert_eq!(waits.problem(404), "not_accepted_yet");
    assert_says(&waits.json(), "detail", &["is in INGEST since 2", "signalbox doctor"]);
    // Only of its own org, and only its own id.
    for other in ["in?org=acme", "inn"] {
        let answer = client.request("GET", &format!("/v1/events/{other}"), None).await;
        assert_eq!(answer.problem(404), "not_found");
    }

    cluster.role("router").stop().await;
    cluster.role("ingest").restart().await;
    let accepted = eventually(SOON, "the event is accepted", async || {
        client.trace("in").await.map_err(|error| error.clone())
    })
    .await;
    assert_eq!(accepted["status"], "accepted", "{accepted}");
    assert_says(&accepted, "why", &["no router"]);

    cluster.role("delivery").stop().await;
    cluster.role("router").restart().await;
    let pending = client.delivery("in", "pending", SOON).await;
    assert_says(&pending, "why", &["has not been sent yet"]);
    assert_says(&pending, "next", &["when a worker of webhook takes it"]);

    // The provider's stream does not answer: nothing is known, and nothing else is said.
    let jetstream = context(&client).await;
    let stream = subjects::deliver_stream(&"webhook".parse().expect("a name"));
    let answers = async |yes: bool| {
        let stream = jetstream.get_stream(&stream).await.expect("the provider's stream");
        let mut config = stream.cached_info().config.clone();
        config.allow_direct = yes;
        jetstream.update_stream(config).await.expect("a changed stream");
    };
    answers(false).await;
    let silent = client.trace("in").await.expect("a trace");
    assert_eq!(
        (&silent["status"], &silent["unread"], &silent["deliveries"]),
        (&json!("unknown"), &json!([stream]), &json!([])),
        "{silent}"
    );
    assert_says(&silent, "why", &["not known", &stream, "did not answer"]);
    let hook = of(&silent["not_matched"], "hook");
    assert_eq!(hook["reason"], "unknown", "{hook}");
    assert_says(hook, "why", &[&stream, "did not answer"]);
    let (_, tree) = client.command(&["trace", "in"]).await;
    assert!(tree.contains(&format!("not known: what waits in {stream}")), "{tree}");

    // Another integration's end is known all the same.
    answers(true).await;
    cluster.role("delivery").restart().await;
    client.delivery("in", "delivered", SOON).await;
    answers(false).await;
    let known = client.trace("in").await.expect("a trace");
    assert_eq!(known["status"], "routed", "{known}");
    assert_says(&known, "why", &["1 of 1 integrations", "if not more", &stream]);
    assert_eq!(of(&known["deliveries"], "hook")["status"], "delivered", "{known}");
    answers(true).await;
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_of_an_event_is_told_though_its_integrations_went_and_it_was_sent_again() {
    let (up, target) = (Up::start().await, Target::start().await);
    let client = up.client();
    target.script("/gone", [Answer::status(422)]);
    target.script(
        "/again",
        [Answer::status(400), Answer::status(400), Answer::status(200)],
    );
    client
        .apply(json!([
            integration(&target, "gone", &json!({})),
            integration(&target, "again", &json!({})),
        ]))
        .await;
    client
        .publish(Publish::of("execution.failed", &json!({})).id("e-1"))
        .await;
    let trace = eventually(SOON, "both have ended", async || {
        let trace = client.trace("e-1").await?;
        let list = trace["deliveries"].as_array().cloned().unwrap_or_default();
        let dead = list.iter().filter(|one| one["status"] == "dead");
        if dead.count() == 2 {
            Ok(trace)
        } else {
            Err(trace.to_string())
        }
    })
    .await;
    let letter = text(of(&trace["deliveries"], "again"), "dead_letter_id").to_owned();
    client.act("/v1/dead-letters/replay", json!({ "ids": [letter] })).await;
    let again = eventually(SOON, "the replay has died, too", async || {
        let trace = client.trace("e-1").await?;
        let again = of(&trace["deliveries"], "again").clone();
        if again["status"] == "dead" && again["generation"] != 0 {
            Ok(again)
        } else {
            Err(trace.to_string())
        }
    })
    .await;
    assert_ne!(text(&again, "dead_letter_id"), letter, "its newest");
    assert_says(&again, "next", &[text(&again, "dead_letter_id")]);
    let letter = text(&again, "dead_letter_id").to_owned();
    client.act("/v1/dead-letters/replay", json!({ "ids": [letter] })).await;
    let last = client.request("DELETE", "/v1/integrations/gone", None).await;
    assert!((200..300).contains(&last.status), "{}", last.text());

    let trace = eventually(SOON, "the second replay is delivered", async || {
        let trace = client.trace("e-1").await?;
        match of(&trace["deliveries"], "again")["status"].as_str() {
            Some("delivered") => Ok(trace),
            _ => Err(trace.to_string()),
        }
    })
    .await;
    let again = of(&trace["deliveries"], "again");
    assert_says(again, "why", &["answered 200", "after it was replayed"]);
    assert_says(again, "next", &["nothing more"]);
    assert_eq!(again["replays"].as_array().map(Vec::len), Some(2), "{again}");
    assert_eq!(again["history"].as_array().map(Vec::len), Some(3), "{again}");
    // A deleted integration is still one of those that have it.
    assert_says(&trace, "why", &["2 of 2 integrations"]);
    let gone = of(&trace["deliveries"], "gone");
    assert_says(gone, "why", &["never take it"]);
    assert_says(gone, "next", &["was deleted", "--to INTEGRATION"]);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_of_several_sources_is_a_question() {
    let up = Up::start().await;
    let client = up.client();
    for source in ["/a", "/b"] {
        let publish = Publish::of("tick", &json!({})).id("same").header("ce-source", source);
        client.publish(publish).await;
    }
    let several = eventually(SOON, "both are accepted", async || {
        let answer = client.request("GET", "/v1/events/same", None).await;
        match answer.status {
            409 => Ok(answer),
            _ => Err(answer.text()),
        }
    })
    .await;
    assert_eq!(several.problem(409), "several_events");
    assert_eq!(several.json()["sources"], json!(["/a", "/b"]));
    let one = client.get("/v1/events/same?source=/b").await;
    assert_eq!(one["event"]["source"], "/b", "{one}");
    up.stop().await;
}
