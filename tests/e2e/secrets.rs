//! What a target repeats of our secrets is seen by nobody: not in attempts, dead letters, notices or the log.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Answer, Publish, Target, Up, eventually};

const SOON: Duration = Duration::from_secs(20);
/// Parts of the secrets below, as they are and as HTTP Basic writes them (`ada:xyzzy-password`).
const SECRETS: [&str; 3] = ["xyzzy", "YWRhOnh5enp5LXBhc3N3b3Jk", "T0123/B0456"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_targets_repeat_of_secrets_is_kept_and_told_without_them() {
    let (up, target) = (Up::start().await, Target::start().await);
    let client = up.client();
    let path = "/T0123/B0456/xyzzy-in-the-path";
    target.script(
        path,
        [
            Answer::status(503)
                .header("location", path)
                .body(&format!("{{\"error\":\"no hook at {path}\"}}")),
            Answer::status(400).body(&format!("cannot take {}", target.url(path))),
        ],
    );
    target.script(
        "/bearer",
        [Answer::status(422).body("you sent Authorization: Bearer xyzzy-token")],
    );
    target.script(
        "/basic",
        [Answer::status(200).body("you sent Authorization: Basic YWRhOnh5enp5LXBhc3N3b3Jk")],
    );
    target.script(
        "/moved/xyzzy",
        [Answer::status(301).header("location", "/moved/xyzzy/")],
    );
    client
        .apply(json!([
            {
                "name": "by-path", "provider": "webhook", "events": ["tick"], "config": { "url": target.url(path) },
                "retry": { "schedule": ["1s"] },
            },
            {
                "name": "by-bearer", "provider": "webhook", "events": ["tick"],
                "config": { "url": target.url("/bearer") }, "credentials": { "bearer": "xyzzy-token" },
            },
            {
                "name": "by-basic", "provider": "webhook", "events": ["tick"],
                "config": { "url": target.url("/basic") },
                "credentials": { "basic": { "username": "ada", "password": "xyzzy-password" } },
            },
            {
                "name": "moved", "provider": "webhook", "events": ["tick"],
                "config": { "url": target.url("/moved/xyzzy") },
            },
            { "name": "told", "provider": "webhook", "events": ["delivery.>"], "config": { "url": target.url("/told") } },
        ]))
        .await;
    client.publish(Publish::of("tick", &json!({})).id("one")).await;
    let trace = eventually(SOON, "each has been tried, and that is kept", async || {
        let story = client.trace("one").await?;
        let text = story.to_string();
        let said = ["cannot take", "Bearer", "Basic", "pointed to"];
        if said.iter().all(|said| text.contains(said)) {
            Ok(story)
        } else {
            Err(text)
        }
    })
    .await;
    let told = target.wait_for("/told", 2, SOON).await;
    let shown = [
        trace.to_string(),
        client.get("/v1/deliveries").await.to_string(),
        format!("{:?}", client.dead_letters("").await),
        told.iter().map(|told| told.json().to_string()).collect(),
        up.log(),
    ];
    for text in &shown {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
    // They are taken out of what was said, and not all that was said with them.
    let [trace, ..] = &shown;
    for said in ["cannot take ***", "Bearer ***", "Basic ***", "pointed to ***"] {
        assert!(trace.contains(said), "{said} is not in {trace}");
    }
    up.stop().await;
}
