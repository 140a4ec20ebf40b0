//! Changes of integrations while events flow.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Load, Publish, Target, Up, eventually};

const SOON: Duration = Duration::from_secs(20);
/// A change takes effect within a second; the rest is for a busy machine.
const EFFECT_MAX: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_url_is_used_within_a_second_and_nothing_is_lost_on_the_way() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let integration = |path: &str| json!([{ "name": "moves", "provider": "webhook", "events": ["tick"], "config": { "url": target.url(path) } }]);
    assert_eq!(
        client.apply(integration("/before")).await["changes"][0]["action"],
        "create"
    );
    assert_eq!(
        client.apply(integration("/before")).await["changes"][0]["action"],
        "none"
    );
    let load = Load::start(client, "tick", Some("e"), 200, 2_000);
    target.wait_for("/before", 100, SOON).await;
    let answer = client.apply(integration("/after")).await;
    let applied = Instant::now();
    assert_eq!(
        (&answer["changes"][0]["action"], &answer["changes"][0]["fields"]),
        (&json!("update"), &json!(["config"]))
    );
    target.wait_for("/after", 100, SOON).await;
    let accepted = load.stop().await;
    client.settled(SOON).await;
    let last = target.received("/before").last().expect("there were some").at;
    assert!(
        last < applied + EFFECT_MAX,
        "the old URL was still used {:?} after the change",
        last - applied
    );
    let (before, after) = (target.count("/before"), target.count("/after"));
    assert_eq!(before + after, accepted.len(), "{before} before and {after} after");

    // A subscription too.
    let narrowed = json!([{
        "name": "moves", "provider": "webhook", "events": ["tock"], "config": { "url": target.url("/after") },
    }]);
    client.apply(narrowed).await;
    eventually(SOON, "an event that is no longer wanted matches nothing", async || {
        let id = format!("unwanted-{}", applied.elapsed().as_millis());
        client.publish(Publish::of("tick", &json!({})).id(&id)).await;
        eventually(SOON, "the event is routed", async || {
            let story = client.trace(&id).await?;
            match story["status"].as_str() {
                Some("no_route") => Ok(Ok(())),
                Some("routed") => Ok(Err(story.to_string())),
                _ => Err(story.to_string()),
            }
        })
        .await
    })
    .await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_integration_for_which_deliveries_wait_goes_only_when_they_may_be_discarded() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let integration = json!([{
        "name": "goes", "provider": "webhook", "events": ["tick"], "config": { "url": target.url("/goes") },
    }]);
    let made = client.apply(integration.clone()).await;
    assert_eq!(made["applied"], true, "{made}");
    let id = client.integration("goes").await["id"].clone();
    client.hold("goes").await;
    for n in 0..5 {
        client
            .publish(Publish::of("tick", &json!({})).id(&format!("e-{n}")))
            .await;
    }
    eventually(SOON, "five wait", async || match client.waiting("goes").await? {
        (0, 0, 5) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let refused = client.request("DELETE", "/v1/integrations/goes", None).await;
    assert_eq!(refused.problem(409), "deliveries_waiting");
    assert_eq!(refused.json()["waiting"], 5);
    let (code, _) = client.command(&["integrations", "delete", "goes"]).await;
    assert_eq!(code, 4, "the command line says refused");
    let pruned = client
        .request(
            "POST",
            "/v1/apply?org=default",
            Some(json!({ "integrations": [], "prune": true })),
        )
        .await;
    assert_eq!(pruned.problem(409), "deliveries_waiting");

    client
        .request("DELETE", "/v1/integrations/goes?discard=true", None)
        .await
        .ok();
    assert_eq!(
        client.request("GET", "/v1/integrations/goes", None).await.problem(404),
        "not_found"
    );
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["discarded"], &ledger["delivered"]),
        (&json!(5), &json!(0)),
        "{ledger}"
    );
    assert_eq!(target.count("/goes"), 0);

    // The name is free again, the id never.
    client.apply(integration).await;
    assert_ne!(client.integration("goes").await["id"], id);
    client.publish(Publish::of("tick", &json!({})).id("new")).await;
    let received = target.wait_for("/goes", 1, SOON).await;
    assert_eq!(
        received[0].event, "new",
        "the new integration gets nothing of the old one"
    );
    client.settled(SOON).await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_planned_applied_and_exported_and_a_fault_in_it_is_named_with_its_line() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file can be written");
        path.to_str().expect("a path in UTF-8").to_owned()
    };
    let text = format!(
        "integrations:\n  - name: hook\n    provider: webhook\n    config: {{ url: \"{}\" }}\n    credentials: {{ secret: \
         whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ= }}\n    events: [\"tick\"]\n    rate_limit: none\n",
        target.url("/hook")
    );
    let file = write("integrations.yaml", text.clone());
    let planned = client.command_json(&["plan", "-f", &file]).await;
    assert_eq!(
        (&planned["changes"][0]["action"], &planned["applied"]),
        (&json!("create"), &json!(false)),
        "{planned}"
    );
    assert_eq!(
        client.get("/v1/integrations").await["items"],
        json!([]),
        "a plan changes nothing"
    );
    client.command_json(&["apply", "-f", &file]).await;
    client.publish(Publish::of("tick", &json!({})).id("one")).await;
    target.wait_for("/hook", 1, SOON).await;
    let (code, exported) = client.command(&["export"]).await;
    assert_eq!(code, 0);
    assert!(
        exported.contains("***") && !exported.contains("c2VjcmV0"),
        "secrets are masked: {exported}"
    );
    let again = client
        .command_json(&["plan", "-f", &write("exported.yaml", exported)])
        .await;
    assert_eq!(
        again["changes"][0]["action"], "none",
        "what was exported says what is there: {again}"
    );

    let wrong = write("wrong.yaml", text.replace("rate_limit: none", "health_check: 1h"));
    let (code, out) = client.command(&["apply", "-f", &wrong]).await;
    assert_ne!(code, 0, "what is not enforced is refused: {out}");
    up.stop().await;
}
