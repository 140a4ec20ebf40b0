//! Dead letters: kept whole, counted before anything is done, replayed once, given up for good.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::harness::{Answer, Cluster, Load, Publish, Seed, Target, Up, eventually, pause};

const SOON: Duration = Duration::from_secs(20);
/// A killed keeper's leases and what it held run out after at most this.
const AFTER_CRASH: Duration = Duration::from_secs(90);

fn ids(letters: &[Value]) -> Vec<&str> {
    letters.iter().filter_map(|letter| letter["id"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_counted_replayed_once_and_discarded_alike_by_api_and_command_line() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    target.script("/mends", [Answer::status(400)]);
    target.script("/stays", [Answer::status(422)]);
    let integration = |name: &str| {
        json!({
            "name": name, "provider": "webhook", "events": ["order.>"], "config": { "url": target.url(&format!("/{name}")) },
        })
    };
    client.apply(json!([integration("mends"), integration("stays")])).await;
    for n in 0..5 {
        client
            .publish(Publish::of("order.placed", &json!({ "n": n })).id(&format!("order-{n}")))
            .await;
    }
    let listed = eventually(SOON, "ten dead letters", async || {
        let letters = client.dead_letters("?limit=200").await;
        if letters.len() == 10 {
            Ok(letters)
        } else {
            Err(format!("{}", letters.len()))
        }
    })
    .await;
    let printed = client.command_json(&["dead", "list", "--limit", "200"]).await;
    assert_eq!(
        printed["items"],
        Value::from(listed.clone()),
        "the command line prints what the API answers"
    );
    let mends = client.dead_letters("?integration=mends").await;
    let stays = client
        .dead_letters("?integration=stays&reason=rejected&stage=delivery&since=1h")
        .await;
    assert_eq!((mends.len(), stays.len()), (5, 5));
    assert_eq!(
        client.dead_letters("?integration=mends&reason=exhausted").await.len(),
        0
    );

    // Pages hold everything once.
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/v1/dead-letters?limit=3{cursor}")).await;
        paged.extend(page["items"].as_array().cloned().unwrap_or_default());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(ids(&paged), ids(&listed));

    // Counting does nothing.
    let filter = json!({ "integration": "mends" });
    let counted = client
        .post("/v1/dead-letters/replay", json!({ "filter": filter, "dry_run": true }))
        .await;
    assert_eq!(counted, json!({ "matched": 5, "already": 0 }));
    assert_eq!(
        client
            .command_json(&["dead", "replay", "--integration", "mends", "--dry-run"])
            .await,
        counted
    );
    assert_eq!(target.count("/mends"), 5);

    // Replayed, each is sent once, as the same delivery.
    target.script("/mends", [Answer::status(200)]);
    let act = client.command_json(&["dead", "replay", "--integration", "mends"]).await;
    assert_eq!(
        (&act["done"], &act["skipped"], &act["failed"]),
        (&json!(5), &json!(0), &json!(0)),
        "{act}"
    );
    let received = target.wait_for("/mends", 10, SOON).await;
    for (before, event) in received[..5].iter().map(|request| (request.delivery(), &request.event)) {
        let again = received[5..]
            .iter()
            .filter(|request| request.event == *event)
            .collect::<Vec<_>>();
        assert_eq!(again.len(), 1, "{event}");
        assert_eq!(again[0].delivery(), before, "a replay is the same delivery");
    }
    for n in 0..5 {
        let story = client.trace(&format!("order-{n}")).await.expect("the event is known");
        let deliveries = story["deliveries"].as_array().cloned().unwrap_or_default();
        assert_eq!(deliveries.len(), 2, "{story}");
    }
    let shown = client.get(&format!("/v1/dead-letters/{}", ids(&mends)[0])).await;
    assert_ne!(shown["replayed_at"], Value::Null, "{shown}");

    // Replayed again, nothing is sent a second time.
    let act = client
        .act(
            "/v1/dead-letters/replay",
            json!({ "filter": { "integration": "mends" } }),
        )
        .await;
    assert_eq!((&act["done"], &act["skipped"]), (&json!(0), &json!(5)), "{act}");
    let act = client
        .act("/v1/dead-letters/replay", json!({ "ids": ids(&mends) }))
        .await;
    assert_eq!((&act["done"], &act["skipped"]), (&json!(0), &json!(5)), "{act}");

    // Given up, they are final, and a replay leaves them alone.
    let act = client
        .command_json(&["dead", "discard", "--integration", "stays"])
        .await;
    assert_eq!(act["done"], 5, "{act}");
    let act = client
        .act(
            "/v1/dead-letters/replay",
            json!({ "filter": { "integration": "stays" } }),
        )
        .await;
    assert_eq!((&act["done"], &act["skipped"]), (&json!(0), &json!(5)), "{act}");

    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["delivered"], &ledger["discarded"], &ledger["dead"]),
        (&json!(5), &json!(5), &json!(0)),
        "{ledger}"
    );
    assert_eq!(
        (target.count("/mends"), target.count("/stays")),
        (10, 5),
        "nothing was sent a second time"
    );
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_fails_again_is_a_new_dead_letter_and_may_go_to_another_integration() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    target.script("/old", [Answer::status(400)]);
    let integration = |name: &str, events: &str| {
        json!({
            "name": name, "provider": "webhook", "events": [events], "config": { "url": target.url(&format!("/{name}")) },
        })
    };
    client
        .apply(json!([
            integration("old", "bill.due"),
            integration("new", "bill.never")
        ]))
        .await;
    client
        .publish(Publish::of("bill.due", &json!({ "sum": 12 })).id("bill"))
        .await;
    client.delivery("bill", "dead", SOON).await;
    client
        .act("/v1/dead-letters/replay", json!({ "filter": { "integration": "old" } }))
        .await;
    let letters = eventually(SOON, "a second dead letter", async || {
        let letters = client.dead_letters("?integration=old").await;
        if letters.len() == 2 {
            Ok(letters)
        } else {
            Err(format!("{letters:?}"))
        }
    })
    .await;
    assert_eq!(letters[0]["delivery_id"], letters[1]["delivery_id"]);

    let act = client
        .act(
            "/v1/dead-letters/replay",
            json!({ "ids": [letters[0]["id"]], "to": "new" }),
        )
        .await;
    assert_eq!(act["done"], 1, "{act}");
    let received = target.wait_for("/new", 1, SOON).await;
    assert_eq!(
        (received[0].event.as_str(), &received[0].json()["data"]),
        ("bill", &json!({ "sum": 12 }))
    );
    client.settled(SOON).await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_goes_on_after_a_crash_of_the_keeper_without_a_second_send() {
    const LETTERS: usize = 400;
    let mut seed = Seed::of("kill -9 of keeper while it replays");
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client
        .apply(json!([{
            "name": "mends", "provider": "webhook", "events": ["tick"], "config": { "url": target.url("/mends") },
        }]))
        .await;
    target.script("/mends", [Answer::status(400)]);
    Load::start(&client, "tick", Some("e"), 500, LETTERS).finish().await;
    eventually(SOON, "all are dead letters", async || {
        let wanted = json!({ "filter": { "integration": "mends" }, "dry_run": true });
        let counted = client.post("/v1/dead-letters/replay", wanted).await;
        if counted["matched"] == LETTERS {
            Ok(())
        } else {
            Err(counted.to_string())
        }
    })
    .await;
    target.script("/mends", [Answer::status(200)]);
    let wanted = json!({ "filter": { "integration": "mends" }, "rate": 150 });
    let act = client.post("/v1/dead-letters/replay", wanted).await;
    for _ in 0..2 {
        let seen = target.count("/mends");
        target.wait_for("/mends", seen + 1, AFTER_CRASH).await;
        pause(seed.millis(0..500)).await;
        cluster.role("keeper").kill().await;
        cluster.role("keeper").restart().await;
    }
    let path = format!("/v1/acts/{}", act["id"].as_str().unwrap_or_default());
    let act = eventually(AFTER_CRASH, "the replay is done", async || {
        let act = client.get(&path).await;
        if act["status"] == "done" {
            Ok(act)
        } else {
            Err(act.to_string())
        }
    })
    .await;
    let ledger = client.settled(AFTER_CRASH).await;
    assert_eq!(
        (&ledger["delivered"], &ledger["dead"]),
        (&json!(LETTERS), &json!(0)),
        "{ledger}"
    );
    assert_eq!(
        target.count("/mends"),
        2 * LETTERS,
        "each is sent once more, whatever the keeper did: {act}"
    );
    assert_eq!(act["failed"], 0, "{act}");
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_input_keeps_its_original_bytes_and_over_http_names_the_field() {
    let up = Up::start().await;
    let client = up.client();
    let broken = b"{\"agent_id\": \"a\", \xff\xfe".to_vec();
    client
        .publish(Publish::to("signalbox.in.default.order.placed", broken.clone()))
        .await;
    client
        .publish(Publish::to("signalbox.in.Not-An-Org.order.placed", "{}"))
        .await;
    client
        .publish(Publish::of("order.placed", &json!({})).header("ce-time", "yesterday"))
        .await;
    let letters = eventually(SOON, "three dead letters", async || {
        let letters = client.dead_letters("?stage=ingest").await;
        if letters.len() == 3 {
            Ok(letters)
        } else {
            Err(format!("{letters:?}"))
        }
    })
    .await;
    assert!(
        letters.iter().all(|letter| letter["reason"] == "invalid"),
        "{letters:?}"
    );
    let kept = letters
        .iter()
        .filter_map(|letter| STANDARD.decode(letter["input_base64"].as_str()?).ok());
    assert_eq!(
        kept.filter(|kept| *kept == broken).count(),
        1,
        "the bytes are kept as they came"
    );

    let json = [("content-type", "application/json")];
    for (body, status, field) in [
        ("{\"type\": \"a.b\", \"data\": ", 400, None),
        ("{\"data\": {}}", 422, Some("type")),
        ("{\"type\": \"not a type\", \"data\": {}}", 422, Some("type")),
        (
            "{\"type\": \"a.b\", \"data\": {}, \"time\": \"yesterday\"}",
            422,
            Some("time"),
        ),
        (
            "{\"type\": \"a.b\", \"data\": {}, \"org\": \"other\"}",
            403,
            Some("org"),
        ),
    ] {
        let answer = client.post_event("", &json, body.into()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert_eq!(answer.json()["field"].as_str(), field, "{body}: {}", answer.text());
    }
    let large = json!({ "type": "a.b", "data": { "text": "x".repeat(257 * 1024) } });
    let answer = client.post_event("", &json, large.to_string().into_bytes()).await;
    assert_eq!(answer.problem(413), "too_large");
    assert_eq!(
        client.dead_letters("?stage=ingest").await.len(),
        3,
        "a refusal over HTTP is the publisher's to mend"
    );
    up.stop().await;
}
