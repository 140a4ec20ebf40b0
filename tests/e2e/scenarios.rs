//! The scenarios of `signalbox bench` in their smallest sizes: what must hold at any size and on any machine does.
//!
//! Speed and cost are not judged here. `docs/benchmarks.md` has the sizes that promises are made for.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use tokio::process::Command;

use crate::harness::process::{nats_server, signalbox};

/// How long the longest may take on a machine that does much else.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Runs a scenario: exit code, standard output, standard error.
async fn bench(arguments: &str) -> (Option<i32>, String, String) {
    let inherited = ["PATH", "HOME", "TMPDIR"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)));
    let running = Command::new(signalbox())
        .args(["bench", "--output", "json", "--scenario"])
        .args(arguments.split(' '))
        .env_clear()
        .envs(inherited)
        .env("SIGNALBOX_NATS__SERVER_PATH", nats_server())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(TIMEOUT, running)
        .await
        .unwrap_or_else(|_| panic!("bench --scenario {arguments} did not end within {TIMEOUT:?}"))
        .expect("the program can be started");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Runs a scenario and fails where something that must always hold does not.
async fn holds(arguments: &str) -> Value {
    let (code, out, error) = bench(arguments).await;
    let found: Value =
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("bench --scenario {arguments} printed {out:?}: {error}"));
    let goals = found["goals"].as_array().expect("a scenario has goals");
    let always: Vec<&Value> = goals.iter().filter(|goal| goal["always"] == true).collect();
    assert!(!always.is_empty(), "{found}");
    let broken: Vec<&&Value> = always.iter().filter(|goal| goal["met"] != true).collect();
    assert!(
        broken.is_empty() && code == Some(0),
        "{broken:#?} in {found:#}: {error}"
    );
    assert_eq!(found["lost"], 0, "{found}");
    found
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

#[tokio::test]
async fn a_dead_and_a_hanging_neighbour_cost_no_delivery() {
    let found = holds("neighbours --integrations 6 --owed 200 --events 300 --rate 100 --seconds 1").await;
    assert!(
        found["p99_ratio"].is_number() && found["throughput_ratio"].is_number(),
        "{found}"
    );
    assert!(number(&found["waiting"]["webhook"]["parked"]) + number(&found["waiting"]["webhook"]["retrying"]) > 0);
}

#[tokio::test]
async fn what_is_parked_survives_a_restart_of_everything() {
    let found = holds("parked --integrations 20 --owed 400 --per-minute 120").await;
    assert_eq!(
        (&found["deliveries"], &found["recovered"]["delivered"]),
        (&400.into(), &20.into())
    );
    assert_eq!(found["ledger"]["moving"], 380, "{found}");
}

#[tokio::test]
async fn workers_share_a_limit_in_every_clock_minute() {
    let found = holds("limit --workers 2 --per-minute 120 --owed 30").await;
    let minutes = found["requests_by_minute"].as_array().expect("a list of counts");
    let allowed = 120 + number(&found["allowed_over_the_limit"]);
    assert!(minutes.iter().all(|requests| number(requests) <= allowed), "{found}");
    assert_eq!(
        minutes.iter().map(number).sum::<u64>(),
        30 + number(&found["duplicates"])
    );
}

#[tokio::test]
async fn keys_stay_in_order_while_requests_fail_and_a_worker_is_killed() {
    let found = holds("order --keys 10 --events 300 --rate 100 --workers 2 --kills 1").await;
    assert_eq!(
        (&found["order"]["wrong_order"], &found["order"]["repeats_apart"]),
        (&0.into(), &0.into())
    );
}

#[tokio::test]
async fn each_event_is_in_one_digest_whoever_is_killed() {
    let found = holds("digest --events 400 --rate 40 --kills 3").await;
    assert_eq!(
        (&found["digests"]["in_several"], &found["digests"]["changed"]),
        (&0.into(), &0.into())
    );
    assert!(number(&found["digests"]["ids"]) >= 1, "{found}");
}

#[tokio::test]
async fn dead_letters_are_replayed_once_beside_live_events() {
    let found = holds("replay --owed 200 --rate 50 --seconds 1 --replay-rate 50").await;
    assert_eq!((&found["replayed"], &found["replayed_again"]), (&200.into(), &0.into()));
}

#[tokio::test]
async fn failing_integrations_cost_the_healthy_no_delivery() {
    let found = holds("failing --integrations 800 --events 1600").await;
    assert_eq!(found["failing_integrations"], 8, "{found}");
}

#[tokio::test]
async fn retries_keep_their_schedule_through_restarts() {
    let found = holds("schedule --events 3 --rate 40").await;
    assert_eq!(
        (&found["with_fewer_attempts"], &found["steps"][3]["gaps"]),
        (&0.into(), &3.into())
    );
}

#[tokio::test]
async fn a_busy_org_costs_a_small_one_no_event() {
    let found = holds("orgs --rate 300 --seconds 1").await;
    assert_eq!(found["large"]["delivered"], found["large"]["published"], "{found}");
}

#[tokio::test]
async fn history_has_each_delivery_once_and_is_read_beside() {
    let found = holds("history --events 500 --rate 20 --seconds 1").await;
    assert!(found["read_all_ms"]["p99"].as_f64().is_some(), "{found}");
}

#[tokio::test]
async fn what_a_scenario_does_not_take_is_refused_before_anything_is_started() {
    let cases = BTreeMap::from([
        ("limit --keys 3", "--keys: scenario limit does not take it"),
        ("orgs --open breaker", "--open is for --scenario parked"),
        ("path --owed 3", "are for the scenarios with a verdict"),
    ]);
    for (arguments, why) in cases {
        let (code, out, error) = bench(arguments).await;
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments}: {error}");
        assert!(error.contains(why), "{arguments}: {error}");
    }
}
