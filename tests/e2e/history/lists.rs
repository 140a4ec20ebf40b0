//! What lists and traces show of history: at once, once each, and for as long as the database has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_nats::jetstream;
use serde_json::{Value, json};
use signalbox_proto::{Timestamp, subjects};
use signalbox_store::{
    Store,
    history::{Batch, Gap, Move},
};

use super::{PATH, PER_SECOND, SOON, database, ended, recorded};
use crate::{
    foreign,
    harness::{Answer, Client, Load, Publish, Target, Up, eventually, process::settings},
};

async fn apply(client: &Client, target: &Target) {
    client
        .apply(json!([{
            "name": "all", "provider": "webhook", "events": ["tick"], "config": { "url": target.url(PATH) },
            "retry": { "schedule": ["1h"] },
        }]))
        .await;
}

fn items(page: &Value) -> Vec<Value> {
    page["items"].as_array().expect("a list has items").clone()
}

fn texts<'a>(items: &'a [Value], field: &str) -> Vec<&'a str> {
    items.iter().filter_map(|item| item[field].as_str()).collect()
}

/// A list from its first page to its last; `between` is done before each page but the first.
async fn walk(client: &Client, path: &str, mut between: impl AsyncFnMut()) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}{cursor}")).await;
        assert_eq!(
            (&page["recorded"], &page["truncated"], &page["hint"], &page["gaps"]),
            (&json!(true), &json!(false), &Value::Null, &json!([])),
            "{page}"
        );
        all.extend(items(&page));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
        between().await;
    }
}

/// Waits until so many deliveries are recorded as ended.
async fn until_recorded(store: &Store, count: usize) {
    eventually(SOON, "all is recorded", async || ended(&recorded(store).await, count)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_just_ended_is_listed_before_it_is_recorded() {
    let mut slow = settings();
    slow.insert("SIGNALBOX_RECORDER__BATCH_WAIT".to_owned(), "10s".to_owned());
    let up = Up::start_with(slow).await;
    let target = Target::start().await;
    let client = up.client();
    apply(client, &target).await;
    target.script(PATH, [Answer::status(200), Answer::status(422), Answer::status(503)]);
    let store = database(&up).await;
    // One batch of the recorder is over, so that what comes next waits for the next one.
    for (id, status, code) in [("a", "delivered", 200), ("b", "dead", 422), ("c", "retrying", 503)] {
        client.publish(Publish::of("tick", &json!({})).id(id)).await;
        target
            .wait_for_events(PATH, usize::from(id.as_bytes()[0] - b'a') + 1, SOON)
            .await;
        let found = eventually(Duration::from_secs(2), &format!("{id} is {status}"), async || {
            let page = client.get("/v1/deliveries").await;
            let found = items(&page).into_iter().find(|item| item["event_id"] == id);
            match found {
                Some(found) if found["status"] == status && found["attempts"] == 1 => Ok(found),
                _ => Err(page.to_string()),
            }
        })
        .await;
        assert_eq!(found["response_code"], code, "{found}");
        assert_eq!(found["dead_letter_id"].is_string(), status == "dead", "{found}");
        let path = format!("/v1/deliveries/{}", found["id"].as_str().expect("an id"));
        let shown = client.get(&path).await;
        assert_eq!(
            (&shown["status"], &shown["recorded"]),
            (&found["status"], &json!(true)),
            "{shown}"
        );
        assert_eq!(shown["history"].as_array().map(Vec::len), Some(1), "{shown}");
        let of_status = client.get(&format!("/v1/deliveries?status={status}")).await;
        assert_eq!(texts(&items(&of_status), "event_id"), [id]);
    }
    let rows = recorded(&store).await;
    assert!(rows.len() < 3, "not all is recorded yet: {rows:?}");
    assert_eq!(client.dead_letters("").await.len(), 1);
    store.close().await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_hold_each_delivery_once_while_more_come_and_end() {
    const BEFORE: usize = 600;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    apply(client, &target).await;
    let before = Load::start(client, "tick", Some("before"), PER_SECOND, BEFORE)
        .finish()
        .await;
    target.wait_for_events(PATH, BEFORE, SOON).await;
    // Some are tried later, so that what is listed moves while it is listed.
    let during = Load::start(client, "tick", Some("during"), PER_SECOND, 2_000);
    let of_all = walk(client, "/v1/deliveries?limit=37", async || {}).await;
    let of_one = walk(
        client,
        "/v1/integrations/all/deliveries?limit=200&event_type=tick",
        async || {},
    )
    .await;
    let during = during.finish().await;
    for listed in [&of_all, &of_one] {
        let ids = texts(listed, "id");
        assert_eq!(
            ids.iter().collect::<BTreeSet<_>>().len(),
            ids.len(),
            "none is there twice"
        );
        let events: BTreeSet<&str> = texts(listed, "event_id").into_iter().collect();
        let missing: Vec<&String> = before.ids.iter().filter(|id| !events.contains(id.as_str())).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let accepted = texts(listed, "created_at");
        assert!(accepted.is_sorted_by(|one, next| one >= next), "the newest first");
    }
    target.wait_for_events(PATH, BEFORE + during.ids.len(), SOON).await;
    client.settled(SOON).await;
    let all = walk(client, "/v1/deliveries?limit=200&status=delivered", async || {}).await;
    assert_eq!(all.len(), BEFORE + during.ids.len());
    up.stop().await;
}

/// More wait than a page holds, before and behind what has ended: of a long queue the newest are read for a page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_hold_each_delivery_once_where_many_wait_that_were_never_tried() {
    const WAITING: usize = 700;
    const ENDED: usize = 60;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    apply(client, &target).await;
    client
        .apply(json!([{
            "name": "held", "provider": "webhook", "events": ["hold"], "config": { "url": target.url("/held") },
        }]))
        .await;
    client.hold("held").await;
    let mut expected = BTreeSet::new();
    for (round, (kind, count)) in [("tick", ENDED), ("hold", WAITING), ("tick", ENDED), ("hold", WAITING)]
        .into_iter()
        .enumerate()
    {
        let prefix = format!("r{round}");
        let accepted = Load::start(client, kind, Some(&prefix), PER_SECOND * 2, count)
            .finish()
            .await;
        expected.extend(accepted.ids);
    }
    target.wait_for_events(PATH, 2 * ENDED, SOON).await;
    eventually(SOON, "all others are parked", async || {
        match client.waiting("held").await? {
            (0, 0, parked) if parked == 2 * WAITING as u64 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let all = walk(client, "/v1/deliveries?limit=50", async || {}).await;
    assert_eq!(all.len(), expected.len(), "none is there twice");
    assert_eq!(
        texts(&all, "event_id")
            .into_iter()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>(),
        expected
    );
    let parked = walk(client, "/v1/deliveries?limit=200&status=parked", async || {}).await;
    assert_eq!(
        texts(&parked, "id").into_iter().collect::<BTreeSet<_>>().len(),
        2 * WAITING
    );
    let delivered = walk(client, "/v1/deliveries?limit=50&status=delivered", async || {}).await;
    assert_eq!(delivered.len(), 2 * ENDED);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_streams_have_let_go_of_is_listed_shown_and_traced() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    apply(client, &target).await;
    target.script(
        PATH,
        [Answer::status(200).body("thanks"), Answer::status(422).body("no")],
    );
    for id in ["good", "bad"] {
        client.publish(Publish::of("tick", &json!({ "id": id })).id(id)).await;
        target.wait_for_events(PATH, usize::from(id == "bad") + 1, SOON).await;
    }
    client.publish(Publish::of("nobody.cares", &json!({})).id("none")).await;
    let store = database(&up).await;
    until_recorded(&store, 2).await;
    client.delivery("bad", "dead", SOON).await;
    eventually(SOON, "what matched nothing is known", async || {
        match client.trace("none").await?["status"].as_str() {
            Some("no_route") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let before = items(&client.get("/v1/deliveries").await);
    let letters = client.dead_letters("").await;
    let context = jetstream::new(async_nats::connect(client.nats_url()).await.expect("a connection"));
    let purge = async |stream: &str| {
        let stream = context.get_stream(stream).await.expect("a stream");
        stream.purge().await.expect("a purge");
    };
    until_position(&store, &context).await;
    purge(subjects::OUTCOMES).await;

    let listed = items(&client.get("/v1/deliveries").await);
    assert_eq!(listed, before, "a list needs no stream");
    assert_eq!(
        texts(&items(&client.get("/v1/deliveries?status=success").await), "event_id"),
        ["good"]
    );
    let good = client.delivery("good", "delivered", SOON).await;
    assert_eq!(good["history"][0]["response_body"], "thanks", "{good}");
    assert_eq!(
        client.trace("none").await.expect("the event is known")["status"],
        "no_route"
    );
    let integration = client.integration("all").await;
    assert_eq!(
        integration["last_triggered_at"], listed[0]["last_attempt_at"],
        "{integration}"
    );
    let all = items(&client.get("/v1/integrations").await);
    assert_eq!(all[0]["last_triggered_at"], integration["last_triggered_at"]);

    // EVENTS has let go of it, too: its story is still there, without its data.
    purge(subjects::EVENTS).await;
    let story = client.trace("good").await.expect("what is still known");
    assert_eq!(
        (
            &story["data_expired"],
            &story["recorded"],
            &story["event"]["data"],
            &story["event"]["type"]
        ),
        (&json!(true), &json!(true), &Value::Null, &json!("tick")),
        "{story}"
    );
    assert_eq!(story["deliveries"][0]["status"], "delivered", "{story}");
    assert_eq!(
        story["accepted_at"],
        listed.iter().find(|item| item["event_id"] == "good").expect("it")["created_at"]
    );
    let retried = format!(
        "/v1/deliveries/{}/retry",
        story["deliveries"][0]["id"].as_str().expect("an id")
    );
    assert_eq!(client.request("POST", &retried, None).await.problem(409), "delivered");
    let bad = client.trace("bad").await.expect("what is still known");
    assert_eq!(
        bad["event"]["data"],
        json!({ "id": "bad" }),
        "its dead letter has it: {bad}"
    );

    // And DEAD of the letter: the index has it.
    assert!(
        letters[0]["kept"] == true && letters[0]["event"].is_object(),
        "{letters:?}"
    );
    purge(subjects::DEAD).await;
    let index = client.dead_letters("").await;
    assert_eq!(texts(&index, "id"), texts(&letters, "id"));
    assert_eq!(
        (&index[0]["kept"], &index[0]["event"]),
        (&json!(false), &Value::Null),
        "{index:?}"
    );
    let path = format!("/v1/dead-letters/{}", index[0]["id"].as_str().expect("an id"));
    assert_eq!(client.get(&path).await, index[0]);
    let shown = client.delivery("bad", "dead", SOON).await;
    assert!(
        shown["next"]
            .as_str()
            .is_some_and(|next| next.contains("older than what DEAD keeps")),
        "{shown}"
    );
    store.close().await;
    up.stop().await;
}

/// Waits until all that both streams have is recorded.
async fn until_position(store: &Store, context: &jetstream::Context) {
    eventually(SOON, "the recorder is at the end of both streams", async || {
        for name in [subjects::OUTCOMES, subjects::DEAD] {
            let mut stream = context.get_stream(name).await.map_err(|error| error.to_string())?;
            let last = stream
                .info()
                .await
                .map_err(|error| error.to_string())?
                .state
                .last_sequence;
            let position = store.position(name).await.map_err(|error| error.to_string())?;
            if position.map_or(0, |position| position.seq) < last {
                return Err(format!("{position:?} of {name}, which has {last}"));
            }
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_paged_and_grouped_alike_before_and_after_they_are_recorded() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    apply(client, &target).await;
    target.script(PATH, [Answer::status(422)]);
    Load::start(client, "tick", Some("e"), PER_SECOND, 60).finish().await;
    let paged = eventually(SOON, "all are dead letters", async || {
        let paged = walk(client, "/v1/dead-letters?limit=7", async || {}).await;
        if paged.len() == 60 {
            Ok(paged)
        } else {
            Err(format!("{} of 60", paged.len()))
        }
    })
    .await;
    let ids: BTreeSet<&str> = texts(&paged, "id").into_iter().collect();
    assert_eq!(ids.len(), 60);
    assert!(paged.iter().all(|letter| letter["event"]["data"]["n"].is_number()));
    let some: Vec<&str> = texts(&paged, "id").into_iter().take(5).collect();
    client.act("/v1/dead-letters/discard", json!({ "ids": some })).await;
    let groups = client.get("/v1/dead-letters?group_by=fingerprint").await;
    let group = &groups["items"][0];
    assert_eq!(
        (&group["count"], &group["settled"], &group["integration"]),
        (&json!(60), &json!(5), &json!("all")),
        "{groups}"
    );
    assert_eq!(group["examples"].as_array().map(Vec::len), Some(3), "{groups}");
    let settled = client.dead_letters("?limit=200").await;
    let discarded = settled.iter().filter(|letter| letter["discarded_at"].is_string());
    assert_eq!(discarded.count(), 5);
    let discarded = items(&client.get("/v1/deliveries?status=discarded").await);
    assert_eq!(discarded.len(), 5, "{discarded:?}");
    assert!(
        discarded.iter().all(|item| item["dead_letter_id"].is_string()),
        "{discarded:?}"
    );
    up.stop().await;
}

/// Tables without which history cannot be read.
const TABLES: [&str; 3] = ["positions", "deliveries", "dead_letters"];

async fn rename(up: &Up, is_away: bool) {
    let file = up.data_dir().join("signalbox.db");
    let away = TABLES.map(|name| format!("{name}_away"));
    let mut arguments = vec![file.to_str().expect("a path in UTF-8")];
    for (name, away) in TABLES.iter().zip(&away) {
        arguments.extend(if is_away { [*name, away] } else { [away.as_str(), *name] });
    }
    foreign::run("rename.py", &arguments, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_the_streams_answer_and_say_so() {
    if crate::harness::on_postgres() {
        eprintln!("skipped: it is about the file of SQLite");
        return;
    }
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    apply(client, &target).await;
    target.script(PATH, [Answer::status(200), Answer::status(422)]);
    for (number, id) in ["good", "bad"].into_iter().enumerate() {
        client.publish(Publish::of("tick", &json!({})).id(id)).await;
        target.wait_for_events(PATH, number + 1, SOON).await;
    }
    let bad = client.delivery("bad", "dead", SOON).await;
    let store = database(&up).await;
    until_recorded(&store, 2).await;
    store.close().await;
    let letters = client.dead_letters("").await;
    let normal = items(&client.get("/v1/deliveries").await);

    rename(&up, true).await;
    client.publish(Publish::of("tick", &json!({})).id("more")).await;
    target.wait_for_events(PATH, 3, SOON).await;
    let is_degraded = |page: &Value| {
        assert_eq!(
            (&page["recorded"], &page["truncated"]),
            (&json!(false), &json!(true)),
            "{page}"
        );
        let hint = page["hint"].as_str().unwrap_or_default();
        assert!(hint.contains("the database does not answer"), "{page}");
    };
    let page = eventually(SOON, "all three are listed", async || {
        let page = client.get("/v1/deliveries").await;
        match items(&page).len() {
            3 => Ok(page),
            _ => Err(page.to_string()),
        }
    })
    .await;
    is_degraded(&page);
    let by_id: BTreeMap<String, Value> = items(&page)
        .into_iter()
        .map(|item| (item["id"].to_string(), item))
        .collect();
    for item in &normal {
        let now = &by_id[&item["id"].to_string()];
        assert_eq!(
            (&now["status"], &now["created_at"]),
            (&item["status"], &item["created_at"]),
            "{now}"
        );
    }
    let shown = client
        .get(&format!("/v1/deliveries/{}", bad["id"].as_str().expect("an id")))
        .await;
    assert_eq!(
        (&shown["status"], &shown["recorded"]),
        (&json!("dead"), &json!(false)),
        "{shown}"
    );
    let unknown = client
        .request("GET", "/v1/deliveries/abcdefghijklmnopqrstuv", None)
        .await;
    assert!(
        unknown.text().contains("the database does not answer"),
        "{}",
        unknown.text()
    );
    assert_eq!(unknown.problem(404), "not_found");
    let story = client.trace("bad").await.expect("the event is known");
    is_degraded(&story);
    assert_eq!(story["deliveries"][0]["status"], "dead", "{story}");
    let page = client.get("/v1/dead-letters").await;
    is_degraded(&page);
    assert_eq!(texts(&items(&page), "id").last(), texts(&letters, "id").last());
    is_degraded(&client.get("/v1/dead-letters?group_by=fingerprint").await);
    let one = client
        .get(&format!(
            "/v1/dead-letters/{}",
            letters[0]["id"].as_str().expect("an id")
        ))
        .await;
    assert_eq!(one, letters[0]);
    let integrations = client.get("/v1/integrations").await;
    assert_eq!(
        integrations["items"][0]["last_triggered_at"],
        Value::Null,
        "{integrations}"
    );
    let (code, table) = client.command(&["deliveries", "list"]).await;
    assert!(code == 0 && table.contains("the database does not answer"), "{table}");

    rename(&up, false).await;
    eventually(SOON, "history is back", async || {
        let page = client.get("/v1/deliveries").await;
        if page["recorded"] == true && items(&page).len() == 3 {
            Ok(())
        } else {
            Err(page.to_string())
        }
    })
    .await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_lost_is_shown_where_a_page_or_a_story_covers_its_time() {
    let mut up = Up::start().await;
    let target = Target::start().await;
    apply(up.client(), &target).await;
    target.script(PATH, [Answer::status(503)]);
    up.client().publish(Publish::of("tick", &json!({})).id("e-1")).await;
    up.client().delivery("e-1", "retrying", SOON).await;
    let store = database(&up).await;
    eventually(SOON, "it is recorded", async || match recorded(&store).await.len() {
        1 => Ok(()),
        count => Err(format!("{count}")),
    })
    .await;
    store.close().await;
    up.interrupt().await;
    // As a recorder writes it that finds a stream shorter than it knew.
    let store = database(&up).await;
    let stays = store
        .position("OUTCOMES")
        .await
        .expect("a position")
        .expect("it was recorded");
    let now = Timestamp::now();
    let mut batch = Batch::default();
    batch.gap(Gap {
        stream: "OUTCOMES".to_owned(),
        incarnation: stays.incarnation,
        first_seq: 900,
        last_seq: 909,
        since: now - Duration::from_millis(10),
        until: now,
    });
    let step = Move {
        stream: "OUTCOMES".to_owned(),
        from: Some(stays),
        to: stays,
    };
    store.record(&batch, &[step]).await.expect("it is written");
    store.close().await;
    up.restart().await;
    let client = up.client();
    let gaps = |answer: &Value| {
        let gap = &answer["gaps"][0];
        assert_eq!(
            (&gap["stream"], &gap["messages"]),
            (&json!("OUTCOMES"), &json!(10)),
            "{answer}"
        );
    };
    gaps(&client.get("/v1/deliveries").await);
    assert_eq!(client.get("/v1/deliveries?until=1h").await["gaps"], json!([]));
    assert_eq!(
        client.get("/v1/dead-letters").await["gaps"],
        json!([]),
        "DEAD has lost nothing"
    );
    gaps(&client.trace("e-1").await.expect("the event is known"));
    up.stop().await;
}
