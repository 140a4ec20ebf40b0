//! The master key is changed while events flow, through kills: no delivery is missed, and afterwards nothing needs the
//! old key. A key that is wrong or lost stops a start, and says what to do.

use std::{fs, path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::harness::{
    Client, Cluster, Load, Publish, Seed, Target, Up, eventually, pause,
    process::{Folder, Program, Settings, nats_server, settings, signalbox},
};

const SOON: Duration = Duration::from_secs(20);
const LATER: Duration = Duration::from_secs(90);
/// Integrations with credentials of their own: several parts of the work.
const INTEGRATIONS: usize = 250;

fn key() -> String {
    STANDARD.encode(Seed::of("master key").bytes(32))
}

async fn applied(client: &Client, target: &Target) {
    let of = |n: usize| {
        json!({
            "name": format!("hook-{n}"), "provider": "webhook", "events": [format!("only.n{n}")],
            "config": { "url": target.url(&format!("/hook-{n}")) }, "credentials": { "bearer": format!("token-{n}") },
        })
    };
    let mut all: Vec<Value> = (0..INTEGRATIONS).map(of).collect();
    all.push(json!({
        "name": "flow", "provider": "webhook", "events": ["flow"],
        "config": { "url": target.url("/flow") }, "credentials": { "bearer": "token-flow" },
    }));
    client.apply(json!(all)).await;
}

async fn rotated(client: &Client) -> Value {
    eventually(LATER, "the master key is rotated", async || {
        let answer = client.try_request("GET", "/v1/master-key", None).await?;
        match answer.status {
            200 if answer.json()["state"] == "done" => Ok(answer.json()),
            _ => Err(answer.text()),
        }
    })
    .await
}

/// Every integration still sends with the credentials that it was given.
async fn all_still_open(client: &Client, target: &Target, round: &str) {
    for n in [0, 1, INTEGRATIONS / 2, INTEGRATIONS - 1] {
        let path = format!("/hook-{n}");
        let before = target.count(&path);
        client
            .publish(Publish::of(&format!("only.n{n}"), &json!({})).id(&format!("{round}-{n}")))
            .await;
        let received = target.wait_for(&path, before + 1, SOON).await;
        let last = received.last().expect("one came");
        assert_eq!(last.header("authorization"), format!("Bearer token-{n}"));
    }
    let shown = client.integration("hook-0").await;
    assert_eq!(shown["credentials"]["bearer"], "***", "{shown}");
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a key file");
    text.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_goes_on_after_kills_while_deliveries_flow() {
    let mut seed = Seed::of("rotation and kills");
    let (mut up, target) = (Up::start().await, Target::start().await);
    let client = up.client().clone();
    applied(&client, &target).await;
    let file = up.data_dir().join("master.key");
    let first = lines(&file);
    let before = client.get("/v1/master-key").await;
    assert_eq!((&before["state"], &before["ended_at"]), (&json!("done"), &Value::Null));
    let load = Load::start(&client, "flow", Some("flow"), 50, usize::MAX);

    // Once without a kill: the command waits for the end.
    let (code, said) = client.command(&["keys", "rotate-master"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("open with it alone"), "{said}");
    let second = lines(&file);
    assert_eq!(second.len(), 1, "the old key is gone from the file");
    assert_ne!(first, second);
    all_still_open(&client, &target, "quiet").await;

    // And killed at any moment.
    for round in 0..3 {
        let asked = client.post("/v1/master-key/rotate", json!({})).await;
        assert_eq!(asked["state"], "spreading", "{asked}");
        tokio::time::sleep(seed.millis(0..2_500)).await;
        up.kill().await;
        up.restart().await;
        let done = rotated(&client).await;
        assert_eq!(done["key_id"], asked["target_id"], "{done}");
        assert_eq!(done["unreadable"], 0, "{done}");
        // Each is in the database and in KV.
        let sealed = 2 * (INTEGRATIONS as u64 + 1);
        assert_eq!(done["opened"], sealed, "{done}");
        eventually(SOON, "the file has the new key alone", async || {
            match lines(&file).len() {
                1 => Ok(()),
                more => Err(format!("{more} keys")),
            }
        })
        .await;
        all_still_open(&client, &target, &format!("round-{round}")).await;
    }
    let accepted = load.stop().await;
    target.wait_for_events("/flow", accepted.len(), LATER).await;
    for received in target.received("/flow") {
        assert_eq!(received.header("authorization"), "Bearer token-flow");
    }
    let entries = client.get("/v1/audit?action=master_key.rotated").await;
    let entries = entries["items"].as_array().expect("entries").clone();
    assert_eq!(entries.len(), 4, "one for each rotation: {entries:?}");
    let changed = client.get("/v1/audit?action=integration.updated").await;
    assert_eq!(changed["items"], json!([]), "no owner changed anything");
    let told = json!(entries).to_string();
    for line in first.iter().chain(&second).chain(&lines(&file)) {
        assert!(!told.contains(line) && !up.log().contains(line), "a key was told");
    }
    // What was sealed before is nowhere: the data dir does not have to be trusted with the old key.
    let doctor = client.get("/v1/doctor").await.to_string();
    assert!(doctor.contains("every sealed secret opens"), "{doctor}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sealed_with_a_key_that_a_worker_lacks() {
    let folder = Folder::new();
    let (mut cluster, target) = (Cluster::start().await, Target::start().await);
    let client = cluster.client().clone();
    applied(&client, &target).await;
    let shared = cluster.key_file();
    let [old] = &lines(&shared)[..] else { panic!("one key") };
    let refused = client.request("POST", "/v1/master-key/rotate", Some(json!({}))).await;
    assert_eq!(refused.problem(409), "no_new_key");

    // A worker on another machine, whose operator has not put the new key there yet.
    let away = folder.path().join("keys");
    fs::write(&away, old).expect("a key file");
    let (late, _) = cluster
        .further(
            "delivery",
            &[("SIGNALBOX_SECRETS__KEY_FILE", away.to_str().expect("a path"))],
        )
        .await;
    let new = key();
    fs::write(&shared, format!("{new}\n{old}\n")).expect("a key file");
    let asked = client.post("/v1/master-key/rotate", json!({})).await;
    assert_eq!(asked["state"], "spreading", "{asked}");
    eventually(SOON, "the one that lacks the key is named", async || {
        let now = client.get("/v1/master-key").await;
        match &now["waiting_for"] {
            list if *list == json!(["delivery"]) => Ok(()),
            _ => Err(now.to_string()),
        }
    })
    .await;
    let again = client.request("POST", "/v1/master-key/rotate", Some(json!({}))).await;
    assert_eq!(again.problem(409), "rotation_at_work");
    pause(Duration::from_secs(3)).await;
    let now = client.get("/v1/master-key").await;
    assert_eq!(
        (&now["state"], &now["resealed"]),
        (&json!("spreading"), &json!(0)),
        "{now}"
    );

    fs::write(&away, format!("{old}\n{new}\n")).expect("a key file");
    let done = rotated(&client).await;
    assert_eq!(done["resealed"], INTEGRATIONS + 1, "{done}");
    assert_eq!(done["unneeded"].as_array().map(Vec::len), Some(1), "{done}");
    all_still_open(&client, &target, "two-keys").await;
    for file in [&shared, &away] {
        fs::write(file, &new).expect("a key file");
    }
    eventually(SOON, "the old key is gone everywhere", async || {
        let now = client.get("/v1/master-key").await;
        if now["unneeded"] == json!([]) {
            Ok(())
        } else {
            Err(now.to_string())
        }
    })
    .await;
    for role in ["delivery", "api"] {
        cluster.role(role).kill().await;
        cluster.role(role).restart().await;
    }
    all_still_open(&client, &target, "new-key-alone").await;
    drop(late);

    // With the old key alone nothing starts that opens secrets.
    fs::write(&shared, old).expect("a key file");
    for role in ["delivery", "api"] {
        let role = cluster.role(role);
        role.kill().await;
        let said = role.refused().await;
        assert!(
            said.contains("are sealed with master key")
                && said.contains("secrets.key_file")
                && said.contains("secrets.lost_keys"),
            "{said}"
        );
    }
}

/// Starts `up` on a data dir, and gives what it says as it fails.
async fn failing_start(data_dir: &Path, more: &[(&str, &str)], log: &Path) -> String {
    let mut settings: Settings = settings();
    let server = nats_server();
    settings.insert(
        "SIGNALBOX_NATS__SERVER_PATH".to_owned(),
        server.to_str().expect("a path").to_owned(),
    );
    settings.extend(
        more.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    let data_dir = data_dir.to_str().expect("a path");
    let free = "127.0.0.1:0";
    let arguments = [
        "up",
        "--data-dir",
        data_dir,
        "--listen",
        free,
        "--nats-listen",
        free,
        "--admin-listen",
        free,
    ];
    let mut program = Program::start("signalbox up", &signalbox(), &arguments, &settings, log, false);
    let status = tokio::time::timeout(LATER, program.child().wait()).await;
    let status = status.expect("it ends by itself").expect("a child can be waited for");
    assert_eq!(status.code(), Some(1), "{}", program.log());
    program.log()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_or_lost_key_stops_the_start_and_says_what_to_do() {
    let (mut up, target) = (Up::start().await, Target::start().await);
    let client = up.client().clone();
    client
        .apply(json!([{
            "name": "flow", "provider": "webhook", "events": ["flow"],
            "config": { "url": target.url("/flow") }, "credentials": { "bearer": "token-flow" },
        }]))
        .await;
    let id = client.get("/v1/master-key").await["key_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let file = up.data_dir().join("master.key");
    let right = lines(&file).concat();
    up.interrupt().await;

    let log = up.data_dir().join("failing.log");
    for wrong in [Some(key()), None] {
        match &wrong {
            Some(key) => fs::write(&file, key).expect("a key file"),
            None => fs::remove_file(&file).expect("a key file"),
        }
        let said = failing_start(&up.data_dir(), &[], &log).await;
        for part in [&*id, "master.key", "secrets.key_file", "secrets.lost_keys"] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
    }
    fs::write(&file, "not a key at all").expect("a key file");
    let said = failing_start(&up.data_dir(), &[], &log).await;
    assert!(said.contains("master.key: key 1 is not base64 text"), "{said}");

    // The key comes back, and all goes on.
    fs::write(&file, &right).expect("a key file");
    up.restart().await;
    client.publish(Publish::of("flow", &json!({})).id("found")).await;
    target.wait_for("/flow", 1, SOON).await;
    up.interrupt().await;

    // Nobody has it any more: its owner gives the credentials anew.
    fs::write(&file, key()).expect("a key file");
    let mut settings = settings();
    settings.insert("SIGNALBOX_SECRETS__LOST_KEYS".to_owned(), id);
    up.restart_with(settings).await;
    client.publish(Publish::of("flow", &json!({})).id("lost")).await;
    let doctor = client.get("/v1/doctor").await.to_string();
    assert!(doctor.contains("do not open"), "{doctor}");
    client
        .apply(json!([{
            "name": "flow", "provider": "webhook", "events": ["flow"],
            "config": { "url": target.url("/flow") }, "credentials": { "bearer": "token-again" },
        }]))
        .await;
    client.post("/v1/integrations/flow/resume", json!({})).await;
    let received = target.wait_for("/flow", 2, LATER).await;
    assert_eq!(received[1].header("authorization"), "Bearer token-again");
    up.stop().await;
}
