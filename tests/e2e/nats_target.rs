//! The provider `nats`: a second server that stores what it is sent, and an org that sends to its own input.

use std::{collections::BTreeSet, time::Duration};

use async_nats::jetstream;
use serde_json::{Value, json};

use crate::harness::{
    Client, Publish, Up, eventually, messages,
    process::{Folder, settings},
    server::Server,
};

const SOON: Duration = Duration::from_secs(120);
const USERS: &str = r#"authorization { users: [
    { user: admin, password: "admin-of-the-target" }
    { user: signalbox, password: "hush-right"
      permissions: { publish: ["events.>"], subscribe: ["_INBOX.>"] } }
] }"#;

async fn stream(server: &Server) -> jetstream::stream::Stream {
    let options = async_nats::ConnectOptions::with_user_and_password("admin".into(), "admin-of-the-target".into());
    let client = options
        .connect(server.url())
        .await
        .expect("the target takes a connection");
    let config = jetstream::stream::Config {
        name: "TARGET".to_owned(),
        subjects: vec!["events.>".to_owned()],
        ..jetstream::stream::Config::default()
    };
    jetstream::new(client)
        .get_or_create_stream(config)
        .await
        .expect("a stream")
}

/// The message ids that the target has, and how many messages.
async fn stored(server: &Server) -> (u64, BTreeSet<String>) {
    let stream = stream(server).await;
    let state = &stream.cached_info().state;
    let mut ids = BTreeSet::new();
    for seq in 1..=state.last_sequence {
        let message = stream.get_raw_message(seq).await.expect("a message");
        let id = message.headers.get("Nats-Msg-Id").expect("an id");
        ids.insert(id.to_string());
    }
    (state.messages, ids)
}

fn integration(name: &str, url: &str, password: &str) -> Value {
    json!({
        "name": name, "provider": "nats", "events": ["tick"],
        "config": { "url": url, "subject": "events.{type}" },
        "credentials": { "user": "signalbox", "password": password },
    })
}

async fn publish(client: &Client, ids: std::ops::Range<usize>) {
    for id in ids {
        client
            .publish(Publish::of("tick", &json!({ "n": id })).id(&format!("tick-{id}")))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_stores_each_event_once_whatever_happens_to_it_and_refuses_a_wrong_password() {
    let folder = Folder::new();
    let mut server = Server::prepare_with(folder.path(), USERS);
    server.restart().await;
    stream(&server).await;
    let mut settings = settings();
    settings.insert("SIGNALBOX_DELIVERY__PROBE_FIRST_S".to_owned(), "2".to_owned());
    let up = Up::start_with(settings).await;
    let client = up.client();
    client
        .apply(json!([
            integration("right", &server.url(), "hush-right"),
            integration("wrong", &server.url(), "hush-wrong"),
        ]))
        .await;
    let tested = client.post("/v1/integrations/right/test", json!({})).await;
    assert_eq!(
        (&tested["status"], &tested["response_code"]),
        (&json!("success"), &json!(200)),
        "{tested}"
    );
    assert_eq!(stored(&server).await.0, 0, "a test leaves nothing behind");

    publish(client, 0..5).await;
    eventually(SOON, "the target has five", async || match stored(&server).await {
        (5, ids) if ids.len() == 5 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let wrong = eventually(SOON, "the other one is suspended", async || {
        let wrong = client.integration("wrong").await;
        if wrong["status"] == "error" {
            Ok(wrong)
        } else {
            Err(wrong.to_string())
        }
    })
    .await;
    let why = wrong["error_message"].as_str().unwrap_or_default();
    assert!(why.contains("the server refuses the credentials"), "{why}");
    let all = format!("{wrong} {tested} {}", client.integration("right").await);
    assert!(!all.contains("hush-"), "{all}");
    for (place, bytes) in messages::everything(client.nats_url()).await {
        assert!(
            !bytes.windows(5).any(|window| window == b"hush-"),
            "{place} holds a password"
        );
    }

    server.kill().await;
    publish(client, 5..8).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.restart().await;
    eventually(SOON, "the target has eight", async || match stored(&server).await {
        (8, ids) if ids.len() == 8 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(!up.log().contains("hush-"), "the log holds a password");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_an_org_sends_to_itself_goes_round_three_times_and_ends_as_a_dead_letter() {
    let up = Up::start().await;
    let client = up.client();
    let own = json!({
        "name": "round", "provider": "nats", "events": ["tick"],
        "config": {
            "url": client.nats_url(), "subject": "signalbox.in.{org}.{type}", "payload": "cloudevents_binary",
            "anonymous": true,
        },
    });
    client.apply(json!([own])).await;
    publish(client, 0..1).await;
    let dead = eventually(SOON, "a dead letter", async || {
        match client.dead_letters("").await.as_slice() {
            [dead] => Ok(dead.clone()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let message = dead["message"].as_str().unwrap_or_default();
    assert!(message.contains("3 times already"), "{dead}");
    assert_eq!(
        (&dead["stage"], &dead["provider"]),
        (&json!("delivery"), &json!("nats")),
        "{dead}"
    );
    assert_eq!(
        dead["event"]["data"],
        json!({ "n": 0 }),
        "the data came round as it was: {dead}"
    );
    client.settled(SOON).await;
    let ticks = messages::everything(client.nats_url()).await;
    let ticks = ticks
        .iter()
        .filter(|(place, _)| place.starts_with("EVENTS ") && place.ends_with(".default.tick"));
    assert_eq!(ticks.count(), 4, "the first, and three that came round");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_integration_publishes_where_only_signalbox_and_other_orgs_may() {
    let up = Up::start().await;
    let client = up.client();
    for subject in [
        "signalbox.in.other.tick",
        "signalbox.in.other.{type}",
        "signalbox.deliver.webhook.live.default.i1",
        "signalbox.event.0.default.tick",
        "$JS.API.STREAM.DELETE.EVENTS",
        "$KV.SIGNALBOX_CONFIG.key",
        "_INBOX.x",
        "{type}",
    ] {
        let answer = client
            .try_apply(json!([{
                "name": "mine", "provider": "nats", "events": [">"],
                "config": { "url": client.nats_url(), "subject": subject, "anonymous": true },
            }]))
            .await;
        assert_eq!(answer.status, 422, "{subject}: {}", answer.text());
        assert!(answer.text().contains("config/subject"), "{subject}: {}", answer.text());
    }
    // Without credentials of its own it has none: never those of Signalbox.
    let answer = client
        .try_apply(json!([{
            "name": "mine", "provider": "nats", "events": [">"],
            "config": { "url": client.nats_url(), "subject": "events.all" },
        }]))
        .await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert!(answer.text().contains("this integration's own"), "{}", answer.text());
    up.stop().await;
}
