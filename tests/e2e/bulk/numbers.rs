//! What an act says of itself is what it did: stopped in the middle, beside another, among what nobody can read.

use std::time::Duration;

use serde_json::{Value, json};

use super::{SOON, act_is, done_are, id_of, webhook};
use crate::harness::{Answer, Publish, Target, Up, eventually, pause};

async fn dead_letters_are(up: &Up, count: usize) {
    eventually(SOON, &format!("{count} dead letters"), async || {
        match up.client().dead_letters("?limit=200").await.len() {
            found if found == count => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_events_that_is_stopped_while_it_waits_for_its_target_tells_all_that_it_sent() {
    const EVENTS: usize = 200;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client.apply(json!([webhook("old", &["tick"], &target)])).await;
    for n in 0..EVENTS {
        client
            .publish(Publish::of("tick", &json!({})).id(&format!("e-{n}")))
            .await;
    }
    target.wait_for("/old", EVENTS, SOON).await;
    target.script("/new", [Answer::status(200).after(Duration::from_secs(6))]);
    client.apply(json!([webhook("new", &["tick"], &target)])).await;
    let wanted = json!({ "since": "1h", "to": "new", "rate": 2_000 });
    let act = client.post("/v1/events/replay", wanted).await;
    let id = id_of(&act);
    // The first chunk has filled the target's lane, the next waits for room.
    target.wait_for("/new", 1, SOON).await;
    pause(Duration::from_millis(300)).await;
    client.post(&format!("/v1/acts/{id}/cancel"), json!({})).await;
    eventually(Duration::from_secs(15), "the act tells all that it sent", async || {
        let act = client.get(&format!("/v1/acts/{id}")).await;
        let sent = target.count("/new");
        if act["done"] == sent && sent > 0 && act["status"] == "cancelled" {
            Ok(())
        } else {
            Err(format!("{sent} came, {act}"))
        }
    })
    .await;
    client.settled(SOON).await;
    target.script("/new", [Answer::status(200)]);
    client.post(&format!("/v1/acts/{id}/resume"), json!({})).await;
    let act = act_is(client, &id, "done", SOON).await;
    assert_eq!((&act["done"], &act["failed"]), (&json!(EVENTS), &json!(0)), "{act}");
    client.settled(SOON).await;
    let twice: Vec<_> = target.by_event("/new").into_iter().filter(|(_, n)| *n != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_discards_that_have_turns_each_count_what_they_gave_up_themselves() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client
        .apply(json!([
            webhook("few", &["few"], &target),
            webhook("many", &["many"], &target)
        ]))
        .await;
    client.hold("few").await;
    client.hold("many").await;
    for (event_type, count) in [("few", 6), ("many", 120)] {
        for n in 0..count {
            let event = Publish::of(event_type, &json!({})).id(&format!("{event_type}-{n}"));
            client.publish(event).await;
        }
    }
    eventually(SOON, "all are parked", async || {
        match (client.waiting("few").await?, client.waiting("many").await?) {
            ((0, 0, 6), (0, 0, 120)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let asked = async |event_type: &str, rate: u32| {
        let wanted = json!({ "filter": { "event_type": event_type }, "rate": rate });
        id_of(&client.post("/v1/deliveries/discard", wanted).await)
    };
    let (few, many) = (asked("few", 1).await, asked("many", 40).await);
    for (id, count) in [(few, 6), (many, 120)] {
        let act = act_is(client, &id, "done", SOON).await;
        assert_eq!(
            (&act["total"], &act["done"], &act["failed"]),
            (&json!(count), &json!(count), &json!(0)),
            "{act}"
        );
    }
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["discarded"], 126, "{ledger}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_nobody_can_read_stops_nothing_and_is_counted_once_by_its_own_org() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client.apply(json!([webhook("ops", &["tick"], &target)])).await;
    target.script("/ops", [Answer::status(400)]);
    let dies = async |from: usize, to: usize| {
        for n in from..to {
            client
                .publish(Publish::of("tick", &json!({})).id(&format!("e-{n}")))
                .await;
        }
        dead_letters_are(&up, to).await;
    };
    dies(0, 5).await;
    for org in ["default", "another"] {
        let subject = format!("signalbox.dead.delivery.{org}.webhook.nobody");
        client.publish(Publish::to(&subject, "no dead letter")).await;
    }
    dies(5, 20).await;
    target.script("/ops", [Answer::status(200)]);
    let counted = client
        .post("/v1/dead-letters/replay", json!({ "all": true, "dry_run": true }))
        .await;
    assert_eq!(counted["matched"], 20, "{counted}");
    // Stopped in the middle of the part that holds it, before and after it, and resumed.
    let act = client
        .post("/v1/dead-letters/replay", json!({ "all": true, "rate": 8 }))
        .await;
    let id = id_of(&act);
    for sent in [2, 6] {
        target.wait_for("/ops", 20 + sent, SOON).await;
        client.post(&format!("/v1/acts/{id}/cancel"), json!({})).await;
        done_are(client, &id, sent, SOON).await;
        client.post(&format!("/v1/acts/{id}/resume"), json!({})).await;
    }
    let act = act_is(client, &id, "done", SOON).await;
    assert_eq!(
        (&act["done"], &act["skipped"], &act["failed"]),
        (&json!(20), &json!(0), &json!(1)),
        "{act}"
    );
    assert!(
        act["message"].as_str().is_some_and(|why| why.contains("cannot read")),
        "{act}"
    );
    target.wait_for("/ops", 40, SOON).await;
    assert!(
        target.by_event("/ops").values().all(|count| *count == 2),
        "each once more"
    );
    // An act that names them one by one is its org's as well.
    let named = client.act("/v1/dead-letters/discard", json!({ "ids": ["dl_1"] })).await;
    assert_eq!(
        (&named["org"], &named["skipped"]),
        (&json!("default"), &json!(1)),
        "{named}"
    );
    for (org, count) in [("default", 2), ("another", 0)] {
        let list = client.get(&format!("/v1/acts?org={org}")).await;
        assert_eq!(list["items"].as_array().map(Vec::len), Some(count), "{org}: {list}");
    }
    // One that is asked for by what it says is none that cannot be read.
    let discard = json!({ "filter": { "event_type": "tock" } });
    let act: Value = client.act("/v1/dead-letters/discard", discard).await;
    assert_eq!((&act["total"], &act["failed"]), (&json!(0), &json!(0)), "{act}");
    up.stop().await;
}
