//! What people see of deliveries: listed and shown in every status; and what is tried now.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Publish, Seed, Target, Up, eventually};

const SOON: Duration = Duration::from_secs(20);

pub(crate) fn integration(target: &Target, name: &str) -> Value {
    json!({
        "name": name,
        "provider": "webhook",
        "events": [format!("{name}.>")],
        "config": { "url": target.url(&format!("/{name}")) },
        "retry": { "schedule": ["1h"] },
    })
}

pub(crate) async fn publish(client: &Client, name: &str, id: &str) {
    client
        .publish(Publish::of(&format!("{name}.placed"), &json!({})).id(id))
        .await;
}

pub(crate) async fn list(client: &Client, query: &str) -> Vec<Value> {
    let answer = client.get(&format!("/v1/deliveries{query}")).await;
    assert_eq!(answer["truncated"], false, "{answer}");
    answer["items"].as_array().expect("a list has items").clone()
}

fn names(items: &[Value]) -> BTreeSet<&str> {
    items.iter().filter_map(|item| item["integration"].as_str()).collect()
}

/// Waits until so many deliveries are listed.
pub(crate) async fn listed(client: &Client, query: &str, count: usize) -> Vec<Value> {
    eventually(SOON, &format!("{count} deliveries for {query}"), async || {
        let items = list(client, query).await;
        if items.len() == count {
            Ok(items)
        } else {
            Err(format!("{items:?}"))
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_are_listed_and_shown_in_every_status() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    target.script("/retrying", [Answer::status(503)]);
    target.script("/late", [Answer::status(503)]);
    target.script("/dead", [Answer::status(400)]);
    target.script("/pending", [Answer::hang()]);
    let all = [
        "delivered",
        "retrying",
        "dead",
        "pending",
        "parked",
        "late",
        "discarded",
    ];
    let mut integrations: Vec<Value> = all.iter().map(|name| integration(&target, name)).collect();
    integrations[3]["timeout"] = json!("60s");
    integrations[5]["expire_after"] = json!("2s");
    integrations[5]["retry"]["schedule"] = json!(["1s", "1s", "1s", "1s"]);
    client.apply(Value::from(integrations)).await;
    client.hold("parked").await;
    client.hold("discarded").await;
    for name in all {
        publish(client, name, &format!("of-{name}")).await;
    }
    listed(client, "?status=parked", 2).await;
    let wanted = json!({ "filter": { "integration": "discarded" } });
    let counted = client
        .post(
            "/v1/deliveries/discard",
            json!({ "filter": { "integration": "discarded" }, "dry_run": true }),
        )
        .await;
    assert_eq!(counted, json!({ "matched": 1, "truncated": false }));
    let act = client.act("/v1/deliveries/discard", wanted).await;
    assert_eq!(
        (&act["kind"], &act["done"]),
        (&json!("discard_waiting"), &json!(1)),
        "{act}"
    );

    for (status, name) in [
        ("delivered", "delivered"),
        ("retrying", "retrying"),
        ("dead", "dead"),
        ("pending", "pending"),
        ("parked", "parked"),
        ("expired", "late"),
        ("discarded", "discarded"),
    ] {
        let found = listed(client, &format!("?status={status}"), 1).await;
        assert_eq!(names(&found), BTreeSet::from([name]), "{found:?}");
        let item = &found[0];
        assert_eq!(
            (
                &item["event_id"],
                &item["status"],
                &item["provider"],
                &item["generation"]
            ),
            (
                &json!(format!("of-{name}")),
                &json!(status),
                &json!("webhook"),
                &json!(0)
            ),
            "{item}"
        );
        let shown = client
            .get(&format!("/v1/deliveries/{}", item["id"].as_str().unwrap_or_default()))
            .await;
        for field in [
            "id",
            "event_id",
            "event_type",
            "status",
            "attempts",
            "created_at",
            "dead_letter_id",
        ] {
            assert_eq!(shown[field], item[field], "{field} of {status}: {shown} and {item}");
        }
        let code = match status {
            "delivered" => json!(200),
            "retrying" | "expired" => json!(503),
            "dead" => json!(400),
            _ => Value::Null,
        };
        assert_eq!(item["response_code"], code, "{item}");
        assert_eq!(
            item["dead_letter_id"].is_string(),
            ["dead", "expired", "discarded"].contains(&status),
            "{item}"
        );
        assert_eq!(item["next_attempt_at"].is_string(), status == "retrying", "{item}");
        let story = client.trace(&format!("of-{name}")).await.expect("the event is known");
        assert_eq!(item["created_at"], story["accepted_at"], "{item}");
        let attempts = shown["history"].as_array().expect("one delivery has its history");
        assert_eq!(attempts.is_empty(), ["pending", "parked"].contains(&status), "{shown}");
        assert!(shown["why"].is_string(), "{shown}");
    }
    assert_eq!(
        names(&list(client, "?status=success").await),
        BTreeSet::from(["delivered"])
    );
    assert_eq!(
        names(&list(client, "?status=failed").await),
        BTreeSet::from(["dead", "late"])
    );
    assert_eq!(
        names(&list(client, "?status=waiting").await),
        BTreeSet::from(["pending", "retrying", "parked"])
    );
    let everything = list(client, "").await;
    assert_eq!(names(&everything), BTreeSet::from(all));
    assert_eq!(
        names(&list(client, "?event_type=dead.placed").await),
        BTreeSet::from(["dead"])
    );
    let of_one = client.get("/v1/integrations/parked/deliveries").await;
    assert_eq!(of_one["items"], json!(list(client, "?integration=parked").await));
    assert_eq!(of_one["items"][0]["waiting_for"], "pause");
    assert_eq!(list(client, "?since=2h&until=1h").await, Vec::<Value>::new());

    // The newest first, each once, also when deliveries end between two pages.
    let accepted: Vec<&str> = everything
        .iter()
        .filter_map(|item| item["created_at"].as_str())
        .collect();
    assert!(accepted.is_sorted_by(|a, b| a >= b), "{accepted:?}");
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/v1/deliveries?limit=2{cursor}")).await;
        paged.extend(page["items"].as_array().cloned().unwrap_or_default());
        if cursor.is_empty() {
            client.resume("parked").await;
            target.wait_for("/parked", 1, SOON).await;
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let ids = |items: &[Value]| items.iter().map(|item| item["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&paged), ids(&everything));

    // The command line prints the same.
    let printed = client.command_json(&["deliveries", "list", "--status", "dead"]).await;
    assert_eq!(printed["items"], json!(list(client, "?status=dead").await));
    let (code, table) = client.command(&["deliveries", "list"]).await;
    assert!(code == 0 && table.contains("of-retrying"), "{table}");
    let id = printed["items"][0]["id"].as_str().unwrap_or_default();
    let (code, tree) = client.command(&["deliveries", "show", id]).await;
    assert!(code == 0 && tree.contains("of-dead") && tree.contains("400"), "{tree}");
    let (code, _) = client.command(&["deliveries", "show", "abcdefghijklmnopqrstuv"]).await;
    assert_eq!(code, 3);
    let (code, _) = client.command(&["deliveries", "list", "--status", "lost"]).await;
    assert_eq!(code, 4);
    for wrong in ["?limit=0", "?cursor=x", "?status=lost", "?color=red", "?event_type=a.*"] {
        let answer = client.request("GET", &format!("/v1/deliveries{wrong}"), None).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text());
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_waits_for_its_next_attempt_is_tried_now_and_once() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client
        .apply(json!([
            integration(&target, "late"),
            integration(&target, "held"),
            integration(&target, "no")
        ]))
        .await;
    target.script("/late", [Answer::status(503), Answer::status(200)]);
    target.script("/no", [Answer::status(400)]);
    publish(client, "late", "late").await;
    let waiting = client.delivery("late", "retrying", SOON).await;
    let retry = |delivery: &Value| format!("/v1/deliveries/{}/retry", delivery["id"].as_str().unwrap_or_default());
    let answer = client.post(&retry(&waiting), json!({})).await;
    assert_eq!(answer["id"], waiting["id"]);
    target.wait_for("/late", 2, Duration::from_secs(5)).await;
    let delivered = client.delivery("late", "delivered", SOON).await;
    assert_eq!(delivered["attempts"], 2, "{delivered}");
    let again = client.request("POST", &retry(&waiting), None).await;
    assert_eq!(again.problem(409), "delivered");
    let id = waiting["id"].as_str().unwrap_or_default();
    assert_eq!(
        client.command(&["deliveries", "discard", id]).await.0,
        3,
        "it does not wait"
    );

    // What is held or has ended is not sent past the others: the answer names the remedy.
    client.hold("held").await;
    publish(client, "held", "held").await;
    let held = client.delivery("held", "parked", SOON).await;
    let refused = client.request("POST", &retry(&held), None).await;
    assert!(
        refused.text().contains("signalbox resume --integration held"),
        "{}",
        refused.text()
    );
    assert_eq!(refused.problem(409), "paused");
    let id = held["id"].as_str().unwrap_or_default();
    assert_eq!(client.command(&["deliveries", "retry", id]).await.0, 4);
    publish(client, "no", "no").await;
    let dead = client.delivery("no", "dead", SOON).await;
    let refused = client.request("POST", &retry(&dead), None).await;
    assert!(
        refused.text().contains("signalbox dead replay dl_"),
        "{}",
        refused.text()
    );
    assert_eq!(refused.problem(409), "ended");
    let missing = client
        .request("POST", "/v1/deliveries/abcdefghijklmnopqrstuv/retry", None)
        .await;
    assert_eq!(missing.problem(404), "not_found");
    client.resume("held").await;
    target.wait_for("/held", 1, SOON).await;
    client.settled(SOON).await;
    assert_eq!(
        (target.count("/late"), target.count("/held"), target.count("/no")),
        (2, 1, 1)
    );
    up.stop().await;
}

/// Each delivery is refused once, and its schedule is hastened at any moment from the attempt until after it fired.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_fires_while_it_is_tried_now_sends_once() {
    const RACES: usize = 200;
    let mut seed = Seed::of("retry now against the schedule");
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let mut race = integration(&target, "race");
    race["retry"]["schedule"] = json!(["4s", "1h"]);
    client.apply(json!([race])).await;
    let mut answers = vec![Answer::status(503); RACES];
    answers.push(Answer::status(200));
    target.script("/race", answers);
    let mut races = tokio::task::JoinSet::new();
    for number in 0..RACES {
        publish(client, "race", &format!("race-{number}")).await;
    }
    let refused = target.wait_for_events("/race", RACES, SOON);
    refused.await;
    // Due four seconds after its attempt, 20 % more or less, and fired at most 250 ms later.
    for request in target.received("/race") {
        let (client, wait) = (client.clone(), seed.millis(500..5_500));
        let path = format!("/v1/deliveries/{}/retry", request.delivery());
        races.spawn(async move {
            tokio::time::sleep_until((request.at + wait).into()).await;
            client.request("POST", &path, None).await.status
        });
    }
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for status in races.join_all().await {
        *statuses.entry(status).or_default() += 1;
    }
    eprintln!("answers to {RACES} retries: {statuses:?}");
    assert!(
        statuses.keys().all(|status| [202, 409].contains(status)),
        "tried now, or delivered already: {statuses:?}"
    );
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], RACES, "{ledger}");
    assert_eq!(target.repeats("/race"), 0, "none was sent by its schedule and by hand");
    assert_eq!(target.count("/race"), 2 * RACES);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_its_next_attempt_is_tried_now_in_bulk() {
    const EVENTS: usize = 40;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client
        .apply(json!([integration(&target, "bulk"), integration(&target, "other")]))
        .await;
    target.script("/bulk", [Answer::status(503)]);
    target.script("/other", [Answer::status(503)]);
    for number in 0..EVENTS {
        publish(client, "bulk", &format!("bulk-{number}")).await;
    }
    publish(client, "other", "other").await;
    listed(client, "?status=retrying&limit=200", EVENTS + 1).await;
    let counted = client
        .command_json(&["deliveries", "retry", "--integration", "bulk", "--dry-run"])
        .await;
    assert_eq!(counted["matched"], EVENTS, "{counted}");
    target.script("/bulk", [Answer::status(200)]);
    let act = client
        .command_json(&["deliveries", "retry", "--integration", "bulk", "--rate", "500"])
        .await;
    assert_eq!(
        (&act["status"], &act["done"], &act["total"]),
        (&json!("done"), &json!(EVENTS), &json!(EVENTS)),
        "{act}"
    );
    target.wait_for("/bulk", 2 * EVENTS, SOON).await;
    listed(client, "?integration=bulk&status=delivered&limit=200", EVENTS).await;
    assert_eq!((target.count("/bulk"), target.count("/other")), (2 * EVENTS, 1));
    up.stop().await;
}
