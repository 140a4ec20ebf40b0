//! A target that fails is left alone, its deliveries wait, one of them probes, and nothing is lost or sent twice.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    Answer, Client, Cluster, Load, Target, Up, eventually, pause,
    process::{Settings, settings},
};

const SOON: Duration = Duration::from_secs(60);
/// The wait of the first probe in these scenarios, in seconds.
const PROBE_FIRST_SECS: u64 = 2;
/// Requests that may be under way when the breaker opens, and a probe or two.
const IN_THE_AIR: usize = 64;

fn quick_probes() -> Settings {
    let mut settings = settings();
    let first = PROBE_FIRST_SECS.to_string();
    settings.insert("SIGNALBOX_DELIVERY__PROBE_FIRST_S".to_owned(), first);
    settings
}

fn integration(target: &Target, name: &str, events: &[&str]) -> Value {
    json!({
        "name": name, "provider": "webhook", "events": events, "config": { "url": target.url(&format!("/{name}")) },
    })
}

/// Applies one whose target fails, one beside it, and the owner of both.
async fn apply(client: &Client, target: &Target) {
    client
        .apply(json!([
            integration(target, "fails", &["tick"]),
            integration(target, "near", &["tick"]),
            integration(target, "owner", &["integration.*", "delivery.failing"]),
        ]))
        .await;
}

async fn suspended(client: &Client, name: &str) -> Value {
    eventually(SOON, &format!("{name} is suspended"), async || {
        let integration = client.integration(name).await;
        match integration["status"].as_str() {
            Some("error") => Ok(integration),
            _ => Err(integration.to_string()),
        }
    })
    .await
}

async fn active(client: &Client, name: &str) {
    eventually(SOON, &format!("{name} is active"), async || {
        let integration = client.integration(name).await;
        match integration["status"].as_str() {
            Some("active") => Ok(()),
            _ => Err(integration.to_string()),
        }
    })
    .await;
}

/// Waits until so many are parked.
async fn parked(client: &Client, name: &str, count: u64) {
    eventually(SOON, &format!("{count} of {name} are parked"), async || {
        match client.waiting(name).await? {
            (0, _, parked) if parked >= count => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// What the owner was told, in order.
fn told(target: &Target) -> Vec<String> {
    let all = target.received("/owner");
    all.iter()
        .map(|request| request.json()["type"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_fails_is_left_alone_until_a_probe_comes_through_and_then_gets_all_in_order() {
    let up = Up::start_with(quick_probes()).await;
    let target = Target::start().await;
    let client = up.client();
    apply(client, &target).await;
    target.script("/fails", [Answer::status(503)]);
    let first = Load::start(client, "tick", Some("first"), 20, 40).finish().await;
    let integration = suspended(client, "fails").await;
    let why = integration["error_message"].as_str().unwrap_or_default();
    assert!(why.contains("its target fails") && why.contains("503"), "{why}");
    // Each was tried once or twice; from now on only probes go.
    let tried = target.count("/fails");
    assert!(
        tried <= 2 * first.len() + 2,
        "{tried} requests before it was left alone"
    );

    let second = Load::start(client, "tick", Some("second"), 200, 200).finish().await;
    parked(client, "fails", 200).await;
    let arguments = ["deliveries", "list", "--integration", "fails", "--status", "parked"];
    let listed = client.command_json(&arguments).await;
    let item = &listed["items"][0];
    assert_eq!(
        (&item["status"], &item["waiting_for"]),
        (&json!("parked"), &json!("breaker")),
        "{item}"
    );
    target.wait_for_events("/near", first.len() + second.len(), SOON).await;
    let probes = target.count("/fails") - tried;
    assert!(probes <= 4, "{probes} probes in a few seconds");
    let none = |event: &str| event.starts_with("second") && target.by_event("/fails").contains_key(event);
    assert!(!second.ids.iter().any(|id| none(id)), "what came later was not tried");

    target.script("/fails", [Answer::status(200)]);
    target.wait_for_events("/fails", 240, SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["dead"], &ledger["expired"]),
        (&json!(0), &json!(0)),
        "{ledger}"
    );
    assert_eq!(target.repeats("/fails"), 0, "nothing crashed, so nothing comes twice");
    let came: Vec<String> = target
        .received("/fails")
        .into_iter()
        .map(|request| request.event)
        .collect();
    let later: Vec<&String> = came.iter().filter(|event| event.starts_with("second")).collect();
    let numbers: Vec<usize> = later
        .iter()
        .map(|event| event.split('-').nth(1).unwrap().parse().unwrap())
        .collect();
    // Requests of one moment may overtake each other on their way; a drain begins 32 at a time.
    let far = numbers
        .iter()
        .enumerate()
        .filter(|(place, number)| place.abs_diff(**number) > 64)
        .count();
    assert_eq!(far, 0, "taken out in order: {numbers:?}");
    active(client, "fails").await;
    eventually(SOON, "the owner heard of all of it", async || {
        let told = told(&target);
        let has = |kind: &str| told.iter().any(|told| told == kind);
        if has("integration.suspended") && has("integration.recovered") && has("delivery.failing") {
            Ok(())
        } else {
            Err(format!("{told:?}"))
        }
    })
    .await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_answers_probes_alone_gets_few_requests_and_is_left_alone_longer_each_time() {
    const EVENTS: usize = 400;
    let up = Up::start_with(quick_probes()).await;
    let target = Target::start().await;
    let client = up.client();
    apply(client, &target).await;
    target.script("/fails", [Answer::status(503)]);
    Load::start(client, "tick", Some("e"), 40, EVENTS).finish().await;
    suspended(client, "fails").await;
    parked(client, "fails", 300).await;

    let mut waits = Vec::new();
    let mut left_alone_at = None;
    for _ in 0..3 {
        // The next probe comes through, and nothing after it.
        let before = target.count("/fails");
        target.script("/fails", [Answer::status(200), Answer::status(503)]);
        let probe = target.wait_for("/fails", before + 1, SOON).await[before].at;
        waits.extend(left_alone_at.map(|at| probe - at));
        target.wait_for("/fails", before + 6, SOON).await;
        let last = eventually(SOON, "it is suspended again", async || {
            let integration = client.integration("fails").await;
            let last = target.received("/fails").last().map(|request| request.at);
            match (integration["status"].as_str(), last) {
                // Quiet for a moment: what was in the air has landed.
                (Some("error"), Some(last)) if last.elapsed() > Duration::from_millis(700) => Ok(last),
                _ => Err(integration.to_string()),
            }
        })
        .await;
        left_alone_at = Some(last);
        let cost = target.count("/fails") - before;
        eprintln!("{cost} requests until it was left alone again");
        assert!(
            cost <= 1 + 5 + IN_THE_AIR,
            "{cost} requests until it was left alone again"
        );
    }
    eprintln!("waits until the next probe: {waits:?}");
    assert!(
        waits[0] >= Duration::from_millis(PROBE_FIRST_SECS * 2_000 - 800),
        "{waits:?}"
    );
    assert!(
        waits[1] >= Duration::from_millis(PROBE_FIRST_SECS * 4_000 - 800),
        "{waits:?}"
    );

    target.script("/fails", [Answer::status(200)]);
    target.wait_for_events("/fails", EVENTS, SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["dead"], 0, "{ledger}");
    assert_eq!(target.repeats("/fails"), 0);
    assert_eq!(target.by_event("/near").len(), EVENTS);
    let suspensions = told(&target)
        .iter()
        .filter(|told| *told == "integration.suspended")
        .count();
    let minutes = 3;
    assert!(suspensions <= minutes, "at most one a minute: {suspensions}");
    active(client, "fails").await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_workers_one_killed_as_they_open_one_probe_goes_and_nothing_is_lost() {
    const EVENTS: usize = 300;
    let first = PROBE_FIRST_SECS.to_string();
    let mut cluster = Cluster::start_with(&[("SIGNALBOX_DELIVERY__PROBE_FIRST_S", &first)]).await;
    let mut others = cluster.more_workers(1).await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    apply(&client, &target).await;
    target.script("/fails", [Answer::status(503)]);
    let load = Load::start(&client, "tick", Some("e"), 40, EVENTS);
    suspended(&client, "fails").await;
    cluster.role("delivery").kill().await;
    pause(Duration::from_millis(300)).await;
    cluster.role("delivery").restart().await;
    load.finish().await;
    let restarted = Instant::now();
    parked(&client, "fails", 30).await;
    // One probe for all: its waits double, so that there are few however long this takes.
    let probes = target.count_within("/fails", restarted, Instant::now());
    assert!(probes <= 4, "{probes} requests to a target that is left alone");
    target.script("/fails", [Answer::status(200)]);
    // A probe that died with its worker is found missing 90 s after it was due.
    let lost_and_found = Duration::from_secs(180);
    target.wait_for_events("/fails", EVENTS, lost_and_found).await;
    let ledger = client.settled(lost_and_found).await;
    assert_eq!(
        (&ledger["dead"], &ledger["expired"]),
        (&json!(0), &json!(0)),
        "{ledger}"
    );
    active(&client, "fails").await;
    cluster.assert_alive();
    others.iter_mut().for_each(|role| role.assert_alive());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_failing_deliveries_follow_their_schedule_to_its_end() {
    let up = Up::start_with(quick_probes()).await;
    let target = Target::start().await;
    let client = up.client();
    let mut failing = integration(&target, "fails", &["tick"]);
    failing["retry"] = json!({ "schedule": ["1s", "1s"] });
    client.apply(json!([failing])).await;
    target.script("/fails", [Answer::status(503)]);
    Load::start(client, "tick", Some("e"), 20, 9).finish().await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["dead"], 9, "{ledger}");
    assert_eq!(target.count("/fails"), 27);
    active(client, "fails").await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_whose_event_is_refused_brings_the_integration_back_and_its_owner_hears_both() {
    let up = Up::start_with(quick_probes()).await;
    let target = Target::start().await;
    let client = up.client();
    client
        .apply(json!([
            integration(&target, "fails", &["tick"]),
            integration(&target, "owner", &["integration.*", "delivery.dead"]),
        ]))
        .await;
    // Gone, then there again: it does not like the first event, and takes the others.
    target.script(
        "/fails",
        [Answer::status(410), Answer::status(400), Answer::status(200)],
    );
    Load::start(client, "tick", Some("e"), 100, 1).finish().await;
    suspended(client, "fails").await;
    Load::start(client, "tick", Some("later"), 100, 20).finish().await;
    target.wait_for_events("/fails", 21, SOON).await;
    active(client, "fails").await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["dead"], 1, "{ledger}");
    assert_eq!(
        target.count("/fails"),
        22,
        "the refusal, the probe, and each of the others once"
    );
    eventually(SOON, "the owner heard of all of it", async || {
        let mut told = told(&target);
        told.sort();
        if told == ["delivery.dead", "integration.recovered", "integration.suspended"] {
            Ok(())
        } else {
            Err(format!("{told:?}"))
        }
    })
    .await;
    up.stop().await;
}
