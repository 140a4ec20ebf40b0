//! Addresses that are not public are no targets, in whatever notation, unless an operator allows them.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Publish, Target, Up, eventually, process::Settings};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_address_is_refused_in_every_notation() {
    let up = Up::start_with(Settings::new()).await;
    let target = Target::start().await;
    let client = up.client();
    let port = target.port();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:0:0:1]",
        "[::127.0.0.1]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "１２７.0.0.1",
        "127。0。0。1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[fc00::1]",
        "100.64.0.1",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "192.0.2.1",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/hook");
            let answer = client
                .try_apply(json!([{
                    "name": "private", "provider": "webhook", "events": [">"], "config": { "url": url },
                }]))
                .await;
            assert_eq!(answer.status, 422, "{url}: {}", answer.text());
            assert!(answer.text().contains("config/url"), "{url}: {}", answer.text());
        }
    }
    assert_eq!(target.connections(), 0);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_judged_by_the_address_that_it_resolves_to_and_what_was_allowed_once_is_judged_anew() {
    // Allowed at first, so that the integrations can be applied; then the operator closes the range.
    let mut up = Up::start().await;
    let target = Target::start().await;
    let client = up.client().clone();
    let integration = |name: &str, host: &str| {
        json!({
            "name": name, "provider": "webhook", "events": [format!("call.{name}")],
            "config": { "url": format!("http://{host}:{}/{name}", target.port()) },
        })
    };
    // The name of this machine resolves to an address of its own, public or not; `localhost` is the sure one.
    client
        .apply(json!([
            integration("name", "localhost"),
            integration("address", "127.0.0.1")
        ]))
        .await;
    for name in ["name", "address"] {
        client
            .publish(Publish::of(&format!("call.{name}"), &json!({})).id(&format!("allowed-{name}")))
            .await;
        client.delivery(&format!("allowed-{name}"), "delivered", SOON).await;
    }
    up.kill().await;
    let before = target.connections();
    up.restart_with(Settings::from([(
        "SIGNALBOX_EGRESS__ALLOW".to_owned(),
        "10.99.0.0/16".to_owned(),
    )]))
    .await;
    for name in ["name", "address"] {
        let id = format!("refused-{name}");
        client
            .publish(Publish::of(&format!("call.{name}"), &json!({})).id(&id))
            .await;
        let story = eventually(SOON, "the refusal is on record", async || {
            // Refused as a target (an attempt), or before one is made (the integration is suspended).
            let integration = client.integration(name).await;
            let story = client.trace(&id).await?;
            let text = format!("{story} {integration}");
            if text.contains("egress.allow") {
                Ok(text)
            } else {
                Err(text)
            }
        })
        .await;
        assert!(!story.contains("\"delivered\""), "{story}");
    }
    assert_eq!(target.connections(), before, "not even a connection was opened");
    up.stop().await;
}
