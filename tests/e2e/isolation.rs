//! One target that hangs never slows another.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Answer, Load, Target, Up, eventually};

const SOON: Duration = Duration::from_secs(60);
/// Wide, since the machine that runs this also runs other scenarios.
const LATENCY_MAX: Duration = Duration::from_secs(2);
const EVENTS: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_hangs_keeps_its_own_deliveries_waiting_and_no_other() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let integration = |name: &str| {
        json!({
            "name": name, "provider": "webhook", "events": ["tick"], "timeout": "3s",
            "config": { "url": target.url(&format!("/{name}")) },
            "retry": { "schedule": vec!["1s"; 20] },
        })
    };
    client
        .apply(json!([integration("hangs"), integration("healthy")]))
        .await;
    target.script("/hangs", [Answer::hang()]);
    let accepted = Load::start(client, "tick", Some("e"), 200, EVENTS).finish().await;
    target.wait_for_events("/healthy", EVENTS, SOON).await;
    let mut latencies: Vec<Duration> = target
        .received("/healthy")
        .iter()
        .map(|request| {
            let number = accepted
                .ids
                .iter()
                .position(|id| *id == request.event)
                .expect("a known event");
            // The target may have an event before its producer hears that it was accepted.
            request.at.saturating_duration_since(accepted.at[number])
        })
        .collect();
    latencies.sort();
    let (median, worst) = (latencies[EVENTS / 2], latencies[EVENTS * 99 / 100]);
    eprintln!("beside one that hangs: median {median:?}, 99 of 100 within {worst:?}");
    assert!(worst < LATENCY_MAX, "99 of 100 within {worst:?}");

    let (pending, retrying, parked) = eventually(SOON, "the most of what hangs is parked", async || {
        let waiting = client.waiting("hangs").await?;
        if waiting.2 > EVENTS as u64 / 2 {
            Ok(waiting)
        } else {
            Err(format!("{waiting:?}"))
        }
    })
    .await;
    eprintln!("of the one that hangs: {pending} pending, {retrying} retrying, {parked} parked");

    let recovered = Instant::now();
    target.script("/hangs", [Answer::status(200)]);
    let ledger = client.settled(Duration::from_secs(90)).await;
    eprintln!(
        "all of it was delivered {:?} after the target had recovered",
        recovered.elapsed()
    );
    assert_eq!(ledger["delivered"], 2 * EVENTS, "{ledger}");
    assert_eq!(target.by_event("/hangs").len(), EVENTS);
    assert_eq!(target.repeats("/healthy"), 0);
    up.stop().await;
}
