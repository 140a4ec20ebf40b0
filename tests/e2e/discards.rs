//! Deliveries that wait and are given up: each becomes one dead letter, or arrives.

mod ordered;

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use crate::{
    deliveries::{integration, list, listed, publish},
    harness::{Answer, Cluster, Load, Seed, Target, Up, eventually, pause},
};

const SOON: Duration = Duration::from_secs(20);
/// A killed keeper's leases and what it held run out after at most this.
const AFTER_CRASH: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_anywhere_is_given_up_once_whatever_happens_to_the_keeper() {
    const PARKED: usize = 400;
    const SCHEDULED: usize = 400;
    const IN_LANE: usize = 200;
    const ALL: usize = PARKED + SCHEDULED + IN_LANE;
    let mut seed = Seed::of("kill -9 of keeper while it discards");
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    let places = ["parked", "scheduled", "lane"];
    client
        .apply(Value::from(places.map(|name| integration(&target, name)).to_vec()))
        .await;
    target.script("/scheduled", [Answer::status(503)]);
    client.hold("parked").await;
    Load::start(&client, "parked.e", Some("parked"), 1_000, PARKED)
        .finish()
        .await;
    Load::start(&client, "scheduled.e", Some("scheduled"), 1_000, SCHEDULED)
        .finish()
        .await;
    eventually(SOON, "all wait", async || {
        match (client.waiting("parked").await?, client.waiting("scheduled").await?) {
            ((0, 0, parked), (0, retrying, 0)) if (parked, retrying) == (PARKED as u64, SCHEDULED as u64) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    cluster.role("delivery").stop().await;
    Load::start(&client, "lane.e", Some("lane"), 1_000, IN_LANE)
        .finish()
        .await;
    eventually(SOON, "the lane is filled", async || {
        let waiting = client.waiting("lane").await?;
        if waiting == (IN_LANE as u64, 0, 0) {
            Ok(())
        } else {
            Err(format!("{waiting:?}"))
        }
    })
    .await;

    let act = client
        .post("/v1/deliveries/discard", json!({ "all": true, "rate": 250 }))
        .await;
    assert_eq!(act["total"], ALL, "{act}");
    let path = format!("/v1/acts/{}", act["id"].as_str().unwrap_or_default());
    for _ in 0..3 {
        let seen = client.messages("DEAD").await.expect("DEAD is there");
        eventually(AFTER_CRASH, "the act goes on", async || {
            let now = client.messages("DEAD").await?;
            if now > seen || client.get(&path).await["status"] == "done" {
                Ok(())
            } else {
                Err(now.to_string())
            }
        })
        .await;
        pause(seed.millis(0..700)).await;
        cluster.role("keeper").kill().await;
        cluster.role("keeper").restart().await;
    }
    let act = eventually(AFTER_CRASH, "all is given up", async || {
        let act = client.get(&path).await;
        if act["status"] == "done" {
            Ok(act)
        } else {
            Err(act.to_string())
        }
    })
    .await;
    assert_eq!((&act["done"], &act["failed"]), (&json!(ALL), &json!(0)), "{act}");
    for name in places {
        assert_eq!(client.waiting(name).await, Ok((0, 0, 0)), "{name}");
    }
    let mut letters: BTreeMap<String, usize> = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/v1/dead-letters?limit=200{cursor}")).await;
        for letter in page["items"].as_array().expect("a list has items") {
            assert_eq!(
                (&letter["reason"], &letter["stage"]),
                (&json!("discarded"), &json!("delivery")),
                "{letter}"
            );
            *letters.entry(letter["delivery_id"].to_string()).or_default() += 1;
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(letters.len(), ALL);
    assert!(letters.values().all(|count| *count == 1), "each is one dead letter");
    let ledger = client.settled(AFTER_CRASH).await;
    assert_eq!(
        (&ledger["discarded"], &ledger["deliveries"]),
        (&json!(ALL), &json!(ALL)),
        "{ledger}"
    );

    // They can be replayed like any other.
    target.script("/scheduled", [Answer::status(200)]);
    cluster.role("delivery").restart().await;
    client.resume("parked").await;
    let replay = client
        .post(
            "/v1/dead-letters/replay",
            json!({ "filter": { "reason": "discarded" }, "rate": 1_000 }),
        )
        .await;
    let path = format!("/v1/acts/{}", replay["id"].as_str().unwrap_or_default());
    eventually(AFTER_CRASH, "the replay is done", async || {
        let act = client.get(&path).await;
        if act["status"] == "done" && act["done"] == ALL {
            Ok(())
        } else {
            Err(act.to_string())
        }
    })
    .await;
    let ledger = client.settled(AFTER_CRASH).await;
    assert_eq!(ledger["delivered"], ALL, "{ledger}");
    assert_eq!(
        (
            target.count("/parked"),
            target.count("/scheduled"),
            target.count("/lane")
        ),
        (PARKED, 2 * SCHEDULED, IN_LANE),
        "each was sent once by its replay"
    );
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_has_in_hand_is_given_up_when_it_comes_back_and_not_while_it_is_sent() {
    const EVENTS: usize = 6;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client.apply(json!([integration(&target, "slow")])).await;
    // The last of them arrives.
    let mut answers = vec![Answer::status(503).after(Duration::from_secs(3)); EVENTS - 1];
    answers.push(Answer::status(200).after(Duration::from_secs(3)));
    target.script("/slow", answers);
    for number in 0..EVENTS {
        publish(client, "slow", &format!("slow-{number}")).await;
    }
    target.wait_for("/slow", EVENTS, SOON).await;
    let act = client
        .act("/v1/deliveries/discard", json!({ "filter": { "integration": "slow" } }))
        .await;
    assert_eq!(
        (&act["total"], &act["done"]),
        (&json!(EVENTS), &json!(EVENTS - 1)),
        "{act}"
    );
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["discarded"], &ledger["delivered"]),
        (&json!(EVENTS - 1), &json!(1)),
        "{ledger}"
    );
    assert_eq!(
        client.dead_letters("").await.len(),
        EVENTS - 1,
        "what arrived is no dead letter"
    );
    assert_eq!(client.waiting("slow").await, Ok((0, 0, 0)));
    assert_eq!(target.count("/slow"), EVENTS);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_old_is_given_up_while_its_integration_is_paused_and_the_rest_is_let_go() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client.apply(json!([integration(&target, "held")])).await;
    client.hold("held").await;
    for number in 0..30 {
        publish(client, "held", &format!("old-{number}")).await;
    }
    listed(client, "?status=parked&limit=200", 30).await;
    pause(Duration::from_secs(4)).await;
    for number in 0..20 {
        publish(client, "held", &format!("young-{number}")).await;
    }
    listed(client, "?status=parked&limit=200", 50).await;
    for (wanted, field) in [
        (json!({}), None),
        (json!({ "all": true, "ids": ["abcdefghijklmnopqrstuv"] }), Some("all")),
        (json!({ "ids": ["dl_1"] }), Some("ids[0]")),
        (json!({ "ids": ["abcdefghijklmnopqrstuv"] }), Some("ids")),
        (json!({ "all": true, "rate": 0 }), Some("rate")),
        (
            json!({ "filter": { "integration": "nobody" } }),
            Some("filter.integration"),
        ),
        (
            json!({ "filter": { "integration": "held", "provider": "nobody" } }),
            Some("filter.provider"),
        ),
        (json!({ "filter": { "status": "dead" } }), Some("filter.status")),
        (
            json!({ "filter": { "event_type": "held.*" } }),
            Some("filter.event_type"),
        ),
        (
            json!({ "filter": { "older_than": "often" } }),
            Some("filter.older_than"),
        ),
        (
            json!({ "filter": { "older_than": "1h", "until": "1h" } }),
            Some("filter.older_than"),
        ),
        (
            json!({ "filter": { "older_than": "2h", "since": "1h" } }),
            Some("filter.since"),
        ),
        (json!({ "filter": { "color": "red" } }), Some("filter.color")),
    ] {
        let answer = client
            .request("POST", "/v1/deliveries/discard", Some(wanted.clone()))
            .await;
        assert!((400..500).contains(&answer.status), "{wanted}: {}", answer.text());
        assert_eq!(answer.json()["field"].as_str(), field, "{wanted}: {}", answer.text());
    }
    let older = ["deliveries", "discard", "--integration", "held", "--older-than", "3s"];
    let counted = client.command_json(&[&older[..], &["--dry-run"]].concat()).await;
    assert_eq!(counted["matched"], 30, "{counted}");
    assert_eq!(client.waiting("held").await, Ok((0, 0, 50)), "counting does nothing");
    let act = client.command_json(&older).await;
    assert_eq!((&act["status"], &act["failed"]), (&json!("done"), &json!(0)), "{act}");
    let done = act["done"].as_u64().expect("a count");
    assert!(
        (30..=50).contains(&done),
        "on a slow machine, young ones are old by then: {act}"
    );
    assert_eq!(client.integration("held").await["status"], "paused", "it stays paused");
    assert_eq!(target.count("/held"), 0);
    client.resume("held").await;
    let left = 50 - usize::try_from(done).expect("a count fits");
    target.wait_for("/held", left, SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["discarded"], &ledger["delivered"]),
        (&json!(done), &json!(left)),
        "{ledger}"
    );
    assert!(target.by_event("/held").keys().all(|event| event.starts_with("young")));
    // The gate is open again: what comes goes live.
    publish(client, "held", "new").await;
    target.wait_for("/held", left + 1, SOON).await;
    assert_eq!(client.command(&["deliveries", "discard"]).await.0, 2, "nothing is said");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_let_go_slowly_can_be_given_up_and_nothing_is_both() {
    const EVENTS: usize = 300;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client.apply(json!([integration(&target, "slow")])).await;
    client.hold("slow").await;
    Load::start(client, "slow.e", Some("e"), 1_000, EVENTS).finish().await;
    eventually(SOON, "all are parked", async || {
        let waiting = client.waiting("slow").await?;
        if waiting == (0, 0, EVENTS as u64) {
            Ok(())
        } else {
            Err(format!("{waiting:?}"))
        }
    })
    .await;
    client.post("/v1/integrations/slow/resume", json!({ "rate": 20 })).await;
    target.wait_for("/slow", 10, SOON).await;
    let wanted = json!({ "filter": { "integration": "slow" }, "rate": 1_000 });
    let act = client.act("/v1/deliveries/discard", wanted).await;
    let ledger = client.settled(SOON).await;
    let delivered = target.by_event("/slow");
    assert_eq!(ledger["delivered"], delivered.len(), "{ledger}");
    assert_eq!(
        (&ledger["discarded"], &act["done"]),
        (&json!(EVENTS - delivered.len()), &json!(EVENTS - delivered.len())),
        "{act}: {ledger}"
    );
    assert!(delivered.len() < EVENTS / 2, "most were given up");
    assert_eq!(target.count("/slow"), delivered.len(), "each was sent once");
    let counted = client
        .post("/v1/dead-letters/replay", json!({ "all": true, "dry_run": true }))
        .await;
    assert_eq!(
        counted["matched"],
        EVENTS - delivered.len(),
        "what was delivered is no dead letter: {counted}"
    );
    // Nothing is left, so the gate opens.
    publish(client, "slow", "new").await;
    target.wait_for("/slow", delivered.len() + 1, SOON).await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_oldest_becomes_the_probe_when_the_probe_is_given_up_and_can_be_tried_now() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client.apply(json!([integration(&target, "gone")])).await;
    target.script("/gone", [Answer::status(410)]);
    publish(client, "gone", "first").await;
    let first = client.delivery("first", "retrying", SOON).await;
    assert_eq!(client.integration("gone").await["status"], "error");
    for id in ["second", "third"] {
        publish(client, "gone", id).await;
        let parked = client.delivery(id, "parked", SOON).await;
        assert_eq!(parked["waiting_for"], "breaker", "{parked}");
    }
    let parked = client.delivery("third", "parked", SOON).await;
    let refused = client
        .request(
            "POST",
            &format!("/v1/deliveries/{}/retry", parked["id"].as_str().unwrap_or_default()),
            None,
        )
        .await;
    assert_eq!(refused.problem(409), "suspended");

    let act = client
        .act("/v1/deliveries/discard", json!({ "ids": [first["id"]] }))
        .await;
    assert_eq!(act["done"], 1, "{act}");
    client.delivery("first", "discarded", SOON).await;
    let probe = eventually(SOON, "the second is the probe", async || {
        let items = list(client, "?integration=gone&status=waiting").await;
        match items.iter().find(|item| item["next_attempt_at"].is_string()) {
            Some(item) => Ok(item.clone()),
            None => Err(format!("{items:?}")),
        }
    })
    .await;
    assert_eq!(
        (&probe["event_id"], &probe["next_attempt_at"]),
        (&json!("second"), &first["next_attempt_at"]),
        "{probe}"
    );

    // Its owner has mended the target and does not want to wait.
    target.script("/gone", [Answer::status(200)]);
    client
        .post(
            &format!("/v1/deliveries/{}/retry", probe["id"].as_str().unwrap_or_default()),
            json!({}),
        )
        .await;
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["delivered"], &ledger["discarded"]),
        (&json!(2), &json!(1)),
        "{ledger}"
    );
    assert_eq!(client.integration("gone").await["status"], "active");
    assert_eq!(target.count("/gone"), 3);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_takes_in_hand_while_others_are_given_up_is_left_to_it() {
    const EVENTS: usize = 24;
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client.apply(json!([integration(&target, "lane")])).await;
    target.script("/lane", [Answer::status(200).after(Duration::from_secs(7))]);
    cluster.role("delivery").stop().await;
    for number in 0..EVENTS {
        publish(&client, "lane", &format!("lane-{number}")).await;
    }
    eventually(SOON, "the lane is filled", async || {
        match client.waiting("lane").await? {
            (24, 0, 0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let act = client
        .post("/v1/deliveries/discard", json!({ "all": true, "rate": 2 }))
        .await;
    let path = format!("/v1/acts/{}", act["id"].as_str().unwrap_or_default());
    eventually(SOON, "it has begun", async || {
        match client.get(&path).await["done"].as_u64() {
            Some(done) if done > 0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    // Now all that is left is sent at once, and each takes a while.
    cluster.role("delivery").restart().await;
    let act = eventually(SOON, "the act is done", async || {
        let act = client.get(&path).await;
        if act["status"] == "done" {
            Ok(act)
        } else {
            Err(act.to_string())
        }
    })
    .await;
    let ledger = client.settled(SOON).await;
    let delivered = target.by_event("/lane").len();
    assert!(delivered > EVENTS / 2, "most were in hand: {delivered}");
    assert_eq!(
        (&act["done"], &ledger["discarded"], &ledger["delivered"]),
        (
            &json!(EVENTS - delivered),
            &json!(EVENTS - delivered),
            &json!(delivered)
        ),
        "{act}: {ledger}"
    );
    assert_eq!(
        client.dead_letters("?limit=200").await.len(),
        EVENTS - delivered,
        "what arrived is no dead letter"
    );
    assert_eq!(target.count("/lane"), delivered, "each was sent once");
    cluster.assert_alive();
}
