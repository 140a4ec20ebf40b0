//! The schedule as its receiver sees it, whoever is restarted meanwhile.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Answer, Cluster, Publish, Target, pause};

const SOON: Duration = Duration::from_secs(60);
/// The waits asked for, in seconds.
const STEPS: [u64; 3] = [2, 4, 8];
/// From an answer until its retry is stored: a worker that dies before sends the same again.
const STORED: Duration = Duration::from_millis(400);
const EVENTS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_meets_the_schedule_through_restarts_of_a_worker_and_of_the_server() {
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client
        .apply(json!([{
            "name": "late", "provider": "webhook", "events": ["tick"], "config": { "url": target.url("/late") },
            "retry": { "schedule": STEPS.map(|secs| format!("{secs}s")) },
        }]))
        .await;
    let mut answers = vec![Answer::status(503); EVENTS * STEPS.len()];
    answers.push(Answer::status(200));
    target.script("/late", answers);
    for number in 0..EVENTS {
        client
            .publish(Publish::of("tick", &json!({ "n": number })).id(&format!("e-{number}")))
            .await;
    }

    // In the first wait a worker dies, in the second the server, in the third nothing does.
    target.wait_for("/late", EVENTS, SOON).await;
    pause(STORED).await;
    cluster.role("delivery").kill().await;
    cluster.role("delivery").restart().await;
    target.wait_for("/late", 2 * EVENTS, SOON).await;
    pause(STORED).await;
    cluster.server.kill().await;
    pause(Duration::from_millis(300)).await;
    cluster.server.restart().await;
    let all = target.wait_for("/late", (STEPS.len() + 1) * EVENTS, SOON).await;

    for number in 0..EVENTS {
        let id = format!("e-{number}");
        let tries: Vec<_> = all.iter().filter(|request| request.event == id).collect();
        assert_eq!(tries.len(), STEPS.len() + 1, "{id}: once more than it has steps");
        for (step, pair) in STEPS.iter().zip(tries.windows(2)) {
            let gap = (pair[1].at - pair[0].at).as_secs_f64();
            let step = *step as f64;
            let (least, most) = (step * 0.8 - 0.1, step * 1.2 + 1.0);
            assert!((least..=most).contains(&gap), "{id}: {gap} s for a step of {step} s");
        }
    }
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], EVENTS, "{ledger}");
    cluster.assert_alive();
}
