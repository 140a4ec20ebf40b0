//! What is erased is nowhere any more: not in a stream, a bucket, the database, or the bytes of any of their files, whatever
//! was killed meanwhile; and nothing of others is missing.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{
    Answer, Client, Publish, Seed, Target, Up, client::try_request, eventually, messages::everything,
};

const SOON: Duration = Duration::from_secs(20);
const LATER: Duration = Duration::from_secs(120);
/// What the payloads of one org hold, and nothing else does.
const MARK: &str = "zqxjk-payload";
/// What the payloads of another hold.
const KEPT: &str = "kvmwp-payload";

/// What the server removes by itself when it is acknowledged: the bytes go when it next tidies up the file.
const QUEUES: [&str; 5] = ["DELIVER_", "INGEST", "PARKED", "BATCH", "ORDERED"];

/// The files below a folder that hold a text, those of queues left out.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if QUEUES.iter().any(|queue| name.starts_with(queue)) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes())) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

/// Integrations that deliver, that die, that wait for an attempt, that are paused, that gather and that go in order.
async fn integrations(client: &Client, target: &Target, org: &str, text: &str) {
    for (path, status) in [("takes", 200), ("rejects", 400), ("fails", 503)] {
        target.script(
            &format!("/{org}/{path}"),
            [Answer::status(status).body(&format!("{path} {text}-{org}"))],
        );
    }
    let of = |name: &str, more: Value| {
        let mut one = json!({
            "name": name, "org": org, "provider": "webhook", "events": ["tick"],
            "config": { "url": target.url(&format!("/{org}/{name}")) }, "credentials": { "bearer": format!("token-{org}") },
        });
        for (field, value) in more.as_object().expect("fields") {
            one[field] = value.clone();
        }
        one
    };
    client
        .apply(json!([
            of("takes", json!({})),
            of("rejects", json!({})),
            of("fails", json!({ "retry": { "schedule": ["1h"] } })),
            of("paused", json!({})),
            of("gathers", json!({ "batch": { "window": "1h", "events_max": 1000 } })),
            of(
                "ordered",
                json!({ "order_by": "event.data.key", "retry": { "schedule": ["1h"] } })
            ),
        ]))
        .await;
    target.script(
        &format!("/{org}/ordered"),
        [Answer::status(503).body(&format!("{text}-{org}"))],
    );
    let paused = client
        .request("POST", &format!("/v1/integrations/paused/pause?org={org}"), None)
        .await;
    assert_eq!(paused.status, 200, "{}", paused.text());
}

async fn events(client: &Client, target: &Target, org: &str, text: &str, count: usize) {
    for n in 0..count {
        let data = json!({ "n": n, "key": "k", "text": format!("{text}-{org}-{n}") });
        client
            .publish(Publish::to(&format!("signalbox.in.{org}.tick"), data.to_string()).id(&format!("{org}-{n}")))
            .await;
    }
    client
        .publish(Publish::to(
            &format!("signalbox.in.{org}.tick"),
            format!("no JSON {text}-{org}"),
        ))
        .await;
    target.wait_for(&format!("/{org}/takes"), count, SOON).await;
    target.wait_for(&format!("/{org}/rejects"), count, SOON).await;
    target.wait_for(&format!("/{org}/fails"), count, SOON).await;
    eventually(SOON, "all of it is in the history", async || {
        let letters = client.get(&format!("/v1/dead-letters?org={org}&limit=200")).await;
        let done = client
            .get(&format!("/v1/deliveries?org={org}&status=delivered&limit=200"))
            .await;
        let count_of = |list: &Value| list["items"].as_array().map_or(0, Vec::len);
        match (count_of(&letters), count_of(&done)) {
            (dead, delivered) if dead == count + 1 && delivered == count => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    })
    .await;
}

/// What an org's own lists say, to be compared.
async fn told(client: &Client, org: &str) -> Value {
    let deliveries = client.get(&format!("/v1/deliveries?org={org}&limit=200")).await;
    let letters = client.get(&format!("/v1/dead-letters?org={org}&limit=200")).await;
    let mut ids: Vec<Value> = Vec::new();
    for list in [&deliveries, &letters] {
        let items = list["items"].as_array().expect("items");
        ids.extend(items.iter().map(|one| json!([one["id"], one["status"]])));
    }
    ids.sort_by_key(Value::to_string);
    json!(ids)
}

async fn done(client: &Client, id: &str) -> Value {
    eventually(LATER, "nothing is left", async || {
        let answer = client.try_request("GET", &format!("/v1/erasures/{id}"), None).await?;
        match answer.status {
            200 if answer.json()["state"] == "done" => Ok(answer.json()),
            _ => Err(answer.text()),
        }
    })
    .await
}

async fn nothing_is_left(up: &Up, text: &str) {
    for (place, bytes) in everything(up.client().nats_url()).await {
        let found = bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(!found, "{place} has it");
    }
    eventually(SOON, "no file has it", async || match holding(&up.data_dir(), text) {
        none if none.is_empty() => Ok(()),
        some => Err(format!("{some:?}")),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_org_that_is_erased_is_nowhere_whatever_is_killed() {
    let mut seed = Seed::of("erasing an org");
    let (mut up, target) = (Up::start().await, Target::start().await);
    let client = up.client().clone();
    for (org, text) in [("acme", MARK), ("other", KEPT)] {
        integrations(&client, &target, org, text).await;
        events(&client, &target, org, text, 20).await;
    }
    let key = client
        .post(
            "/v1/api-keys?org=acme",
            json!({ "name": "ci", "scopes": ["events:write"] }),
        )
        .await;
    let key = key["key"].as_str().expect("a key").to_owned();
    let registered = client
        .request(
            "PUT",
            "/v1/event-types/acme.thing?org=acme",
            Some(json!({ "title": "A thing" })),
        )
        .await;
    assert!(registered.status < 300, "{}", registered.text());
    assert!(
        !holding(&up.data_dir(), MARK).is_empty(),
        "the marks can be found at all"
    );
    let before = told(&client, "other").await;

    let wrong = client
        .request("POST", "/v1/orgs/acme/erase", Some(json!({ "confirm": "other" })))
        .await;
    assert_eq!(wrong.problem(400), "invalid");
    let counted = client
        .post("/v1/orgs/acme/erase", json!({ "confirm": "acme", "dry_run": true }))
        .await;
    let would = &counted["would_erase"];
    // With what Signalbox tells about itself.
    assert!(
        would["events"].as_u64() >= Some(20) && would["dead_letters"] == 21,
        "{counted}"
    );
    assert!(would["deliveries"].as_u64() >= Some(80), "{counted}");

    // One that would go on for long.
    let act = client
        .post(
            "/v1/dead-letters/replay?org=acme",
            json!({ "filter": { "integration": "rejects" }, "rate": 1 }),
        )
        .await;
    assert_eq!(act["status"], "running", "{act}");

    let begun = client.post("/v1/orgs/acme/erase", json!({ "confirm": "acme" })).await;
    let id = begun["id"].as_str().expect("an id").to_owned();
    // Nothing is taken in from this moment on; whoever asks may hear of it a second later.
    eventually(SOON, "it takes nothing in", async || {
        let answer = client
            .post_event(
                "?org=acme",
                &[("content-type", "application/json")],
                b"{\"type\":\"tick\"}".to_vec(),
            )
            .await;
        if answer.status == 403 {
            Ok(())
        } else {
            Err(answer.text())
        }
    })
    .await;
    for _ in 0..4 {
        tokio::time::sleep(seed.millis(0..2_000)).await;
        up.kill().await;
        up.restart().await;
    }
    let ended = done(&client, &id).await;
    // What a kill met between a removal and its note is gone and not counted.
    assert_eq!(ended["state"], "done", "{ended}");

    nothing_is_left(&up, MARK).await;
    for path in [
        "/v1/deliveries",
        "/v1/dead-letters",
        "/v1/integrations",
        "/v1/event-types",
        "/v1/api-keys",
    ] {
        let list = client.get(&format!("{path}?org=acme")).await;
        let own = list["items"]
            .as_array()
            .expect("items")
            .iter()
            .filter(|one| one["built_in"] != true)
            .count();
        assert_eq!(own, 0, "{path}: {list}");
    }
    let refused = client
        .request(
            "POST",
            "/v1/integrations?org=acme",
            Some(json!({
                "name": "new", "provider": "webhook", "events": [">"], "config": { "url": target.url("/new") },
            })),
        )
        .await;
    assert_eq!(refused.problem(403), "org_closed");
    let (ingest, _) = client.publishing();
    let bearer = format!("Bearer {key}");
    let used = try_request(
        ingest,
        "POST",
        "/v1/events",
        &[("authorization", &bearer)],
        b"{\"type\":\"tick\"}".to_vec(),
    )
    .await;
    assert_eq!(used.expect("an answer").status, 401, "its keys are revoked");
    let again = client
        .request("POST", "/v1/orgs/acme/erase", Some(json!({ "confirm": "acme" })))
        .await;
    assert_eq!(again.problem(409), "org_closed");
    assert_eq!(client.get("/v1/orgs/acme").await["status"], "erased");

    // One entry that it was asked for, one that it is done, and of all others who did what, and no more.
    let entries = client.get("/v1/audit?org=acme&limit=200").await;
    let entries = entries["items"].as_array().expect("entries");
    for action in ["org.erasure_begun", "org.erased"] {
        let count = entries.iter().filter(|entry| entry["action"] == action).count();
        assert_eq!(count, 1, "{action}: {entries:?}");
    }
    for entry in entries.iter().filter(|entry| entry["action"] != "org.erased") {
        assert_eq!(
            (&entry["before"], &entry["after"]),
            (&Value::Null, &Value::Null),
            "{entry}"
        );
    }

    let act = client
        .request("GET", &format!("/v1/acts/{}", act["id"].as_str().expect("an id")), None)
        .await;
    assert_eq!(act.problem(404), "not_found");

    // The other org is as it was, and what waits there goes on.
    assert_eq!(told(&client, "other").await, before);
    let resumed = client
        .request("POST", "/v1/integrations/paused/resume?org=other", None)
        .await;
    assert_eq!(resumed.status, 200, "{}", resumed.text());
    target.wait_for_events("/other/paused", 20, SOON).await;
    assert_eq!(
        target.count("/acme/paused"),
        0,
        "what waited for the erased org was never sent"
    );
    let story = client.get("/v1/events/other-3?org=other").await;
    assert!(story.to_string().contains(KEPT), "{story}");
    up.stop().await;
}

/// Events that an act sends one of a second, and those of them that are erased while it does.
const SENT: usize = 60;
const ERASED: std::ops::Range<usize> = 48..60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_erased_while_acts_are_about_to_send_it_never_arrives_afterwards() {
    let (up, target) = (Up::start().await, Target::start().await);
    let client = up.client().clone();
    let hook = |name: &str, events: &[&str]| {
        json!({
            "name": name, "provider": "webhook", "events": events, "config": { "url": target.url(&format!("/{name}")) },
        })
    };
    client
        .apply(json!([hook("mends", &["tick"]), hook("new", &["never"])]))
        .await;
    target.script("/mends", [Answer::status(400)]);
    for n in 0..SENT {
        client
            .publish(Publish::of("tick", &json!({ "n": n })).id(&format!("tick-{n}")))
            .await;
    }
    let wanted = json!({ "filter": { "integration": "mends" }, "dry_run": true });
    eventually(SOON, "all are dead letters", async || {
        let counted = client.post("/v1/dead-letters/replay", wanted.clone()).await;
        if counted["matched"] == SENT {
            Ok(())
        } else {
            Err(counted.to_string())
        }
    })
    .await;
    target.script("/mends", [Answer::status(200)]);
    let tried = target.count("/mends");

    // Both have read far ahead of what they send.
    let letters = json!({ "filter": { "integration": "mends" }, "rate": 1 });
    let letters = client.post("/v1/dead-letters/replay", letters).await;
    let events = json!({ "since": "1h", "to": "new", "ignore_subscription": true, "rate": 1, "type": "tick" });
    let events = client.post("/v1/events/replay", events).await;
    target.wait_for("/new", 1, SOON).await;
    target.wait_for("/mends", tried + 1, SOON).await;
    let mut erasures = Vec::new();
    for n in ERASED {
        let asked = client.request("DELETE", &format!("/v1/events/tick-{n}"), None).await;
        assert_eq!(asked.status, 202, "{}", asked.text());
        erasures.push((n, asked.json()["id"].as_str().expect("an id").to_owned()));
    }
    let mut done_at = HashMap::new();
    for (n, id) in erasures {
        done(&client, &id).await;
        done_at.insert(format!("tick-{n}"), Instant::now());
    }
    for (act, path, before) in [(letters, "/mends", tried), (events, "/new", 0)] {
        let id = act["id"].as_str().expect("an id").to_owned();
        let act = eventually(LATER, "the act ends", async || {
            let act = client.get(&format!("/v1/acts/{id}")).await;
            if act["status"] == "done" {
                Ok(act)
            } else {
                Err(act.to_string())
            }
        })
        .await;
        client.settled(SOON).await;
        let received = target.received(path).split_off(before);
        let mut by_event: BTreeMap<&str, usize> = BTreeMap::new();
        for one in &received {
            *by_event.entry(&one.event).or_default() += 1;
            if let Some(done_at) = done_at.get(&one.event) {
                assert!(one.at < *done_at, "{path}: {} arrived after it was erased", one.event);
            }
        }
        for n in 0..ERASED.start {
            assert_eq!(
                by_event.get(format!("tick-{n}").as_str()),
                Some(&1),
                "{path}: event {n}"
            );
        }
        let counts = json!([act["done"], act["skipped"], act["failed"]]);
        assert_eq!(counts, json!([received.len(), 0, 0]), "{path}: {act}");
        assert!(
            received.len() < SENT,
            "{path}: none was erased before it was sent: {act}"
        );
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_erased_is_gone_and_its_neighbours_stay() {
    let (mut up, target) = (Up::start().await, Target::start().await);
    let client = up.client().clone();
    integrations(&client, &target, "default", MARK).await;
    events(&client, &target, "default", MARK, 5).await;
    // The answers of these targets have the mark too, and so are part of what is to go: each event has its own text.
    let gone = format!("{MARK}-default-3");
    assert!(
        !holding(&up.data_dir(), &gone).is_empty(),
        "the mark can be found at all"
    );
    let counted = client
        .command_json(&["events", "erase", "default-3", "--dry-run"])
        .await;
    let would = &counted["would_erase"];
    assert_eq!(
        (&would["events"], &would["dead_letters"]),
        (&json!(1), &json!(1)),
        "{counted}"
    );
    assert_eq!(would["deliveries"], 4, "{counted}");

    let asked = client.request("DELETE", "/v1/events/default-3", None).await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    let id = asked.json()["id"].as_str().expect("an id").to_owned();
    up.kill().await;
    up.restart().await;
    let ended = done(&client, &id).await;
    assert_eq!(ended["erased"]["events"], 1, "{ended}");
    nothing_is_left(&up, &gone).await;
    let answer = client.request("GET", "/v1/events/default-3", None).await;
    assert_eq!(answer.problem(410), "erased");
    for n in [0, 1, 2, 4] {
        let story = client.get(&format!("/v1/events/default-{n}")).await;
        assert!(story.to_string().contains(&format!("{MARK}-default-{n}")), "{story}");
        assert_eq!(story["deliveries"].as_array().map(Vec::len), Some(6), "{story}");
    }
    for action in ["event.erasure_begun", "event.erased"] {
        let entries = client.get(&format!("/v1/audit?action={action}")).await;
        assert_eq!(entries["items"].as_array().map(Vec::len), Some(1), "{entries}");
    }
    // What waits for the others still goes, and the one that was erased does not.
    client.post("/v1/integrations/paused/resume", json!({})).await;
    target.wait_for_events("/default/paused", 4, SOON).await;
    assert_eq!(target.count("/default/paused"), 4);
    up.stop().await;
}
