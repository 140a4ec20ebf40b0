//! What hangs, fails or answers slowly has its own share of a worker, and the rest of it belongs to the others.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Load, Publish, Target, Up, eventually};

/// Wide, since the machine that runs this also runs other scenarios; less than a request that hangs takes.
const SOON: Duration = Duration::from_secs(12);
const LATER: Duration = Duration::from_secs(120);
/// Requests that hang are given up after this.
const TIMEOUT: &str = "15s";

fn integration(name: &str, org: &str, url: &str) -> Value {
    json!({
        "name": name, "org": org, "provider": "webhook", "events": ["tick"], "timeout": TIMEOUT, "config": { "url": url },
    })
}

/// Publishes events of an org and says when all were accepted.
async fn publish(client: &Client, org: &str, prefix: &str, count: usize) -> Instant {
    for number in 0..count {
        let publish = Publish::to(&format!("signalbox.in.{org}.tick"), json!({ "n": number }).to_string());
        client.publish(publish.id(&format!("{prefix}-{number}"))).await;
    }
    Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eighteen_targets_have_all_of_theirs_while_one_is_dead_and_one_hangs() {
    const EVENTS: usize = 300;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let names: Vec<String> = (0..18).map(|number| format!("near-{number}")).collect();
    let mut all: Vec<Value> = names
        .iter()
        .map(|name| integration(name, "default", &target.url(&format!("/{name}"))))
        .collect();
    // Nobody listens at port 1.
    all.push(integration("dead", "default", "http://127.0.0.1:1/dead"));
    all.push(integration("hangs", "default", &target.url("/hangs")));
    target.script("/hangs", [Answer::hang()]);
    client.apply(json!(all)).await;
    Load::start(client, "tick", Some("e"), 100, EVENTS).finish().await;
    for name in &names {
        target.wait_for_events(&format!("/{name}"), EVENTS, SOON).await;
        assert_eq!(target.repeats(&format!("/{name}")), 0);
    }
    for name in ["dead", "hangs"] {
        // What goes from one place to another is in both for a moment.
        eventually(SOON, &format!("all of {name} waits"), async || {
            let (pending, retrying, parked) = client.waiting(name).await?;
            if pending + retrying + parked == EVENTS as u64 {
                Ok(())
            } else {
                Err(format!("{pending} pending, {retrying} retrying, {parked} parked"))
            }
        })
        .await;
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_org_with_a_hundred_targets_that_hang_does_not_slow_another() {
    const EVENTS: usize = 100;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let mut all: Vec<Value> = (0..100)
        .map(|number| integration(&format!("hangs-{number}"), "noisy", &target.url("/hangs")))
        .collect();
    all.push(integration("near", "quiet", &target.url("/near")));
    target.script("/hangs", [Answer::hang()]);
    client.apply(json!(all)).await;
    // Twenty times a hundred deliveries, more than a worker holds.
    publish(client, "noisy", "n", 20).await;
    eventually(SOON, "many requests hang", async || match target.count("/hangs") {
        many if many >= 300 => Ok(()),
        few => Err(format!("{few}")),
    })
    .await;
    let began = Instant::now();
    publish(client, "quiet", "q", EVENTS).await;
    target.wait_for_events("/near", EVENTS, SOON).await;
    let took = began.elapsed();
    let hanging = target.count("/hangs");
    eprintln!("{EVENTS} of another org within {took:?}, while {hanging} requests hung");
    assert!(hanging < 768, "{hanging} places of a worker's 768");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_retries_to_a_slow_target_and_live_traffic_do_not_slow_each_other() {
    const LATE: usize = 1_000;
    const LIVE: usize = 300;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let mut slow = integration("slow", "default", &target.url("/slow"));
    slow["events"] = json!(["late"]);
    slow["retry"] = json!({ "schedule": ["3s"] });
    client
        .apply(json!([slow, integration("near", "default", &target.url("/near"))]))
        .await;
    // All fail at once, and their retries take two seconds each.
    let mut answers = vec![Answer::status(503); LATE];
    answers.push(Answer::status(200).after(Duration::from_secs(2)));
    target.script("/slow", answers);
    Load::start(client, "late", Some("late"), 1_000, LATE).finish().await;
    target.wait_for("/slow", LATE + 32, SOON).await;
    Load::start(client, "tick", Some("live"), 150, LIVE).finish().await;
    target.wait_for_events("/near", LIVE, SOON).await;
    let left = LATE - target.received("/slow").iter().filter(|request| request.taken).count();
    eprintln!("live traffic had all of its while {left} retries to a slow target were still owed");
    assert!(left > 0, "the slow target was done already: this proves nothing");
    let ledger = client.settled(LATER).await;
    assert_eq!(ledger["delivered"], LATE + LIVE, "{ledger}");
    assert_eq!(target.repeats("/slow"), 0);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_come_in_time_while_live_deliveries_of_others_hang() {
    const LATE: usize = 20;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let mut late = integration("late", "default", &target.url("/late"));
    late["events"] = json!(["late"]);
    late["retry"] = json!({ "schedule": ["2s", "2s"] });
    let mut all: Vec<Value> = (0..20)
        .map(|number| integration(&format!("hangs-{number}"), "default", &target.url("/hangs")))
        .collect();
    all.push(late);
    target.script("/hangs", [Answer::hang()]);
    let mut answers = vec![Answer::status(503); LATE];
    answers.push(Answer::status(200));
    target.script("/late", answers);
    client.apply(json!(all)).await;
    // A thousand deliveries, more than a worker holds.
    publish(client, "default", "h", 50).await;
    eventually(SOON, "many requests hang", async || match target.count("/hangs") {
        many if many >= 128 => Ok(()),
        few => Err(format!("{few}")),
    })
    .await;
    Load::start(client, "late", Some("late"), 100, LATE).finish().await;
    let came = target.wait_for("/late", 2 * LATE, SOON).await;
    for number in 0..LATE {
        let id = format!("late-{number}");
        let tries: Vec<Instant> = came
            .iter()
            .filter(|request| request.event == id)
            .map(|request| request.at)
            .collect();
        let [first, second] = tries[..] else {
            panic!("{id} came {} times", tries.len())
        };
        let gap = (second - first).as_secs_f64();
        // Wide upwards, as above; a place that had to be waited for would be one of a request that hangs.
        assert!((1.5..8.0).contains(&gap), "{id} came again after {gap} s");
    }
    up.stop().await;
}
