//! Roles start alone, in any order, and wait for NATS.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Cluster, Publish, ROLES, Seed, Target, eventually};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_start_in_any_order_before_nats_and_say_what_they_wait_for() {
    let mut seed = Seed::of("order of starts");
    let mut order = ROLES;
    for last in (1..order.len()).rev() {
        let other = usize::try_from(seed.millis(0..last as u64 + 1).as_millis()).expect("a small number");
        order.swap(last, other);
    }
    let mut cluster = Cluster::without_server(order).await;
    for name in order {
        let role = cluster.role(name);
        eventually(SOON, "a role says that it waits for NATS", async || {
            role.assert_alive();
            let healthy = role.ask("/healthz").await?;
            if healthy.status != 200 {
                return Err(format!("/healthz of {name} answers {}", healthy.status));
            }
            let ready = role.ask("/readyz").await?;
            if ready.status != 503 || !ready.text().contains("waiting for NATS") {
                return Err(format!("/readyz of {name} answers {}: {}", ready.status, ready.text()));
            }
            if role.log().contains("cannot reach NATS yet") {
                Ok(())
            } else {
                Err(format!("{name} has logged nothing of it: {}", role.log()))
            }
        })
        .await;
    }
    cluster.server.restart().await;
    cluster.ready().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client
        .apply(json!([{
            "name": "all", "provider": "webhook", "events": ["tick"], "config": { "url": target.url("/all") },
        }]))
        .await;
    client.publish(Publish::of("tick", &json!({}))).await;
    target.wait_for("/all", 1, SOON).await;
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_is_ready_alone_on_a_server_that_holds_nothing_yet() {
    for alone in ROLES {
        let mut cluster = Cluster::without_server(ROLES).await;
        for other in ROLES.into_iter().filter(|other| *other != alone) {
            cluster.role(other).kill().await;
        }
        // It was waiting already, and what the others would have made is not there.
        cluster.server.restart().await;
        let role = cluster.role(alone);
        eventually(SOON, &format!("{alone} is ready alone"), async || {
            role.assert_alive();
            let ready = role.ask("/readyz").await?;
            if ready.status == 200 {
                Ok(())
            } else {
                Err(format!("{}: {}", ready.text(), role.log()))
            }
        })
        .await;
        let stopped = role.stop().await;
        assert!(stopped.success(), "{alone} ended with {stopped}");
    }
}
