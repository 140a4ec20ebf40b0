//! A target that fails is left alone, its deliveries wait, one of them probes, and nothing is lost or sent twice.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Client, Cluster, Load, Target, Up, eventually, pause,
    process::{Settings, settings, signal},
};

const SOON: Duration = Duration::from_secs(60);
/// The wait of the first probe in these scenarios, in seconds.
const PROBE_FIRST_SECS: u64 = 2;
/// Requests that may be under way when the breaker opens, and a probe or two.
const IN_THE_AIR: usize = 64;

/// The probe that a killed worker had in hand comes once more.
const KILLED_WITH_A_PROBE: usize = 1;

/// How many probes may go in this time, each of whose waits is twice the one before; the first may go at once.
fn doubled_waits_in(time: Duration) -> usize {
    let waits = (0..16).map(|doubled| PROBE_FIRST_SECS << doubled);
    let due = waits.scan(0, |at, wait| {
        *at += wait;
        Some(*at)
    });
    1 + due.take_while(|at| *at <= time.as_secs()).count()
}

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
    // What the killed worker had in hand comes again once its time is over. Before that, the other may have had requests
    // in the air; from now on nothing is.
    let began = Instant::now();
    parked(&client, "fails", 30).await;
    let left_alone = Instant::now();
    let before = target.count("/fails");
    target.wait_for("/fails", before + 1, began.elapsed() * 2 + SOON).await;
    let looked = Instant::now();
    let probes = target.count_within("/fails", left_alone, looked);
    eprintln!("{probes} probes in {:?}", looked - left_alone);
    // One probe for all: its waits double, so that there are few however long this takes.
    let most = doubled_waits_in(looked - left_alone) + KILLED_WITH_A_PROBE;
    assert!(
        probes <= most,
        "{probes} requests to a target that is left alone, and {most} at most"
    );
    target.script("/fails", [Answer::status(200)]);
    // The next probe waits no longer than all that was until now; one that died with its worker is found missing 90 s
    // after it was due.
    let lost_and_found = Duration::from_secs(180) + 2 * began.elapsed();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_that_the_target_never_bears_does_not_keep_the_others_waiting() {
    const EVENTS: usize = 200;
    let mut settings = quick_probes();
    settings.insert("SIGNALBOX_DELIVERY__PROBE_FIRST_S".to_owned(), "1".to_owned());
    let up = Up::start_with(settings).await;
    let target = Target::start().await;
    let client = up.client();
    apply(client, &target).await;
    target.script("/fails", [Answer::status(503)]);
    Load::start(client, "tick", Some("e"), 30, EVENTS).finish().await;
    suspended(client, "fails").await;
    parked(client, "fails", 150).await;
    // From here on the target takes everything but the event that happens to probe.
    let tried = target.count("/fails");
    let probe = target.wait_for("/fails", tried + 1, SOON).await[tried].event.clone();
    target.answer_event(&probe, Some(Answer::status(500)));
    target.script("/fails", [Answer::status(200)]);
    let others = EVENTS - 1;
    eventually(Duration::from_secs(120), "all others have arrived", async || {
        let all = target.received("/fails");
        let taken = all.iter().filter(|request| request.taken);
        match taken.map(|request| request.event.as_str()).collect::<BTreeSet<_>>() {
            taken if taken.len() == others && !taken.contains(probe.as_str()) => Ok(()),
            taken => Err(format!("{} of {others}", taken.len())),
        }
    })
    .await;
    active(client, "fails").await;
    let all = target.received("/fails");
    let of_probe = all.iter().enumerate().filter(|(_, request)| request.event == probe);
    let first_taken = all.iter().position(|request| request.taken).expect("some were taken");
    let as_probe = of_probe
        .filter(|(place, _)| (tried..first_taken).contains(place))
        .count();
    // It may have been asked before it was looked at who probes.
    assert!((1..=3).contains(&as_probe), "{as_probe} times before another was asked");
    target.answer_event(&probe, None);
    target.wait_for_events("/fails", EVENTS, SOON).await;
    let ledger = client.settled(Duration::from_secs(120)).await;
    assert_eq!(
        (&ledger["dead"], &ledger["expired"]),
        (&json!(0), &json!(0)),
        "{ledger}"
    );
    assert_eq!(target.repeats("/fails"), 0);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_router_sends_by_an_old_view_and_what_fires_as_it_opens_waits_too_and_nothing_is_lost() {
    const BEFORE: usize = 80;
    const STALE: usize = 200;
    let first = PROBE_FIRST_SECS.to_string();
    let mut cluster = Cluster::start_with(&[("SIGNALBOX_DELIVERY__PROBE_FIRST_S", &first)]).await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    let mut fails = integration(&target, "fails", &["tick"]);
    // Many retries are due in each second in which it may open.
    fails["retry"] = json!({ "schedule": ["1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "5s", "5s", "5s", "5s"] });
    client
        .apply(json!([fails, integration(&target, "near", &["tick"])]))
        .await;
    target.script("/fails", [Answer::status(503)]);
    let before = Load::start(&client, "tick", Some("before"), 40, BEFORE).finish().await;
    target.wait_for_events("/fails", BEFORE, SOON).await;
    // The router stands still while it opens, and does not hear of it.
    let router = cluster.role("router").pid().expect("it runs");
    signal(router, Signal::STOP);
    let stale = Load::start(&client, "tick", Some("stale"), 1_000, STALE).finish().await;
    suspended(&client, "fails").await;
    let opened = Instant::now();
    signal(router, Signal::CONT);
    parked(&client, "fails", (BEFORE + STALE - 2) as u64).await;
    let looked = Instant::now();
    let after = target.count_within("/fails", opened, looked);
    let probes = doubled_waits_in(looked - opened);
    eprintln!(
        "{after} requests in {:?} after it opened, {probes} probes",
        looked - opened
    );
    assert!(
        after <= probes + IN_THE_AIR,
        "{after} requests after it opened, {probes} probes at most among them"
    );
    let came = target.by_event("/fails");
    let sent: Vec<&String> = stale.ids.iter().filter(|event| came.contains_key(*event)).collect();
    assert!(
        sent.len() <= 1,
        "of what the router brought late but a probe goes: {sent:?}"
    );
    target.wait_for_events("/near", before.len() + stale.len(), SOON).await;
    target.script("/fails", [Answer::status(200)]);
    let next_probe = SOON + 2 * (looked - opened);
    target.wait_for_events("/fails", BEFORE + STALE, next_probe).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["dead"], &ledger["expired"]),
        (&json!(0), &json!(0)),
        "{ledger}"
    );
    assert_eq!(target.repeats("/fails"), 0, "nothing crashed, so nothing comes twice");
    active(&client, "fails").await;
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_for_which_no_request_can_be_made_lets_the_next_one_try_at_once() {
    let mut settings = quick_probes();
    settings.insert("SIGNALBOX_DELIVERY__PROBE_FIRST_S".to_owned(), "8".to_owned());
    let up = Up::start_with(settings).await;
    let target = Target::start().await;
    let client = up.client();
    let mut fails = integration(&target, "fails", &["tick"]);
    client.apply(json!([fails])).await;
    target.script("/fails", [Answer::status(410), Answer::status(200)]);
    Load::start(client, "tick", Some("first"), 100, 1).finish().await;
    suspended(client, "fails").await;
    // No JSON for the first of each load.
    let body = r#"{"id": "{{ event.id }}", "n": {% if event.data.n == 0 %}none{% else %}1{% endif %}}"#;
    fails["template"] = json!({ "body": body });
    client.apply(json!([fails])).await;
    Load::start(client, "tick", Some("later"), 100, 20).finish().await;
    // Two that cannot be sent, one after the other; one that is taken to be lost would cost 90 s.
    target.wait_for_events("/fails", 1 + 19, SOON).await;
    active(client, "fails").await;
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["dead"], &ledger["delivered"]),
        (&json!(2), &json!(19)),
        "{ledger}"
    );
    assert_eq!(target.count("/fails"), 1 + 19, "nothing was asked for the two");
    up.stop().await;
}
