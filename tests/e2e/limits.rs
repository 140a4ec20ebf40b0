//! Rate limits: shared by all workers, spread over their span, never a reason to lose anything.

mod schedule;
mod tokens;
mod vendors;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::json;

use crate::harness::{Answer, Cluster, Load, Publish, Seed, Target, Up, eventually, role::Role};
use schedule::{Span, due_by, spans_of};

const SOON: Duration = Duration::from_secs(60);

/// Each worker may hold requests back that it has tokens for while its machine is busy, and send them in the next span:
/// some, and what comes in two seconds.
fn late(span: Span, limit: u32) -> usize {
    6 + (2.0 * f64::from(limit) / span.secs() as f64) as usize
}

fn wall() -> Duration {
    since_epoch(SystemTime::now())
}

fn since_epoch(at: SystemTime) -> Duration {
    at.duration_since(UNIX_EPOCH).expect("the clock is behind 1970")
}

/// Fails where any request of a path came before there was a token for it.
fn assert_within(target: &Target, path: &str, span: Span, limit: u32) {
    for (start, offsets) in spans_of(
        span,
        target.received(path).iter().map(|request| since_epoch(request.wall)),
    ) {
        for (number, offset) in offsets.iter().enumerate() {
            let most = due_by(span, limit, *offset) as usize + late(span, limit);
            assert!(
                number < most,
                "request {} came {offset:?} after {start:?}, when {most} were due",
                number + 1
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_workers_share_one_limit_spread_over_the_minute_and_lose_nothing() {
    const LIMIT: u32 = 600;
    let mut cluster = Cluster::start().await;
    let mut workers = cluster.more_workers(2).await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client
        .apply(json!([
            {
                "name": "limited", "provider": "webhook", "events": ["tick"],
                "config": { "url": target.url("/limited") }, "rate_limit": { "per_minute": LIMIT },
            },
            { "name": "free", "provider": "webhook", "events": ["tick"], "config": { "url": target.url("/free") } },
        ]))
        .await;
    // At most six seconds' worth and a burst go at once; then there are twenty seconds' worth at least.
    let events = 270;
    let began = Instant::now();
    let accepted = Load::start(&client, "tick", Some("e"), 2_000, events).finish().await;
    target.wait_for_events("/free", events, SOON).await;
    let behind = events - target.count("/limited");
    assert!(
        behind > 50,
        "the one without a limit has all of them when the other waits for {behind}"
    );
    eventually(SOON, "what is over the limit waits in PARKED", async || {
        match client.waiting("limited").await? {
            (pending, _, parked) if parked > 100 && pending < 50 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    target.wait_for_events("/limited", events, SOON).await;
    let took = began.elapsed();
    assert_within(&target, "/limited", Span::Minute, LIMIT);
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], 2 * accepted.len(), "{ledger}");
    assert_eq!(target.repeats("/limited"), 0, "nothing comes twice");

    // The last hundred and fifty came one after another, none before its time and none much after it.
    let received = target.received("/limited");
    let last: Vec<Instant> = received[events - 150..].iter().map(|request| request.at).collect();
    let spread = last[149] - last[0];
    assert!(spread > Duration::from_secs(10), "150 at 10 a second within {spread:?}");
    let number = |id: &str| {
        accepted
            .ids
            .iter()
            .position(|known| known == id)
            .expect("a known event")
    };
    let numbers: Vec<usize> = received.iter().map(|request| number(&request.event)).collect();
    let displaced = numbers
        .iter()
        .enumerate()
        .map(|(place, number)| place.abs_diff(*number));
    let worst = displaced.max().unwrap_or_default();
    eprintln!("{events} took {took:?}, the last 150 of them {spread:?}; out of place by {worst} at most");
    // Three workers have the first ones in hand at once; what the keeper takes out is in the order in which it came to it.
    let third = |part: usize| {
        let places = numbers
            .iter()
            .enumerate()
            .filter(|(_, number)| **number / (events / 3) == part);
        places.map(|(place, _)| place).sum::<usize>() / (events / 3)
    };
    eprintln!("mean places of the thirds: {:?}", [third(0), third(1), third(2)]);
    assert!(
        third(0) < third(2),
        "roughly in the order of acceptance: {} and {}",
        third(0),
        third(2)
    );
    workers.iter_mut().for_each(Role::assert_alive);
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_seen_by_one_worker_is_obeyed_by_all() {
    const ASKED: Duration = Duration::from_secs(6);
    let mut cluster = Cluster::start().await;
    let mut workers = cluster.more_workers(1).await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client
        .apply(json!([{
            "name": "asks", "provider": "webhook", "events": ["tick"], "config": { "url": target.url("/asks") },
        }]))
        .await;
    let load = Load::start(&client, "tick", Some("e"), 100, 1_000);
    target.wait_for("/asks", 100, SOON).await;
    let seconds = ASKED.as_secs().to_string();
    let refusal = Answer::status(429).header("Retry-After", &seconds);
    target.script("/asks", [refusal, Answer::status(200)]);
    let refused = eventually(SOON, "one request is refused", async || {
        let all = target.received("/asks");
        let refused = all.into_iter().find(|request| !request.taken);
        refused.ok_or_else(|| "none".to_owned())
    })
    .await;
    let accepted = load.finish().await;
    target.wait_for_events("/asks", accepted.len(), SOON).await;
    // Both workers know within a second, and one of them alone has seen the answer.
    let quiet = (refused.at + Duration::from_secs(1), refused.at + ASKED);
    assert_eq!(target.count_within("/asks", quiet.0, quiet.1), 0, "it is left alone");
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], accepted.len(), "{ledger}");
    assert_eq!(target.repeats("/asks"), 0);
    for worker in &workers {
        assert!(sent(worker).await > 0, "each of the workers has sent some");
    }
    assert!(
        sent(cluster.role("delivery")).await > 0,
        "each of the workers has sent some"
    );
    workers.iter_mut().for_each(Role::assert_alive);
    cluster.assert_alive();
}

/// How many requests of a worker were answered with 2xx.
async fn sent(worker: &Role) -> u64 {
    let metrics = worker.ask("/metrics").await.expect("the admin port answers").text();
    let line = metrics
        .lines()
        .find(|line| line.contains("delivery_attempts") && line.contains("outcome=\"delivered\""));
    let value = line
        .and_then(|line| line.rsplit(' ').next())
        .and_then(|value| value.parse().ok());
    value.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_an_hour_goes_on_where_it_was_after_the_server_was_killed() {
    const LIMIT: u32 = 30;
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client
        .apply(json!([{
            "name": "hourly", "provider": "webhook", "events": ["tick"],
            "config": { "url": target.url("/hourly") }, "rate_limit": { "per_hour": LIMIT },
        }]))
        .await;
    let first = due_by(Span::Hour, LIMIT, Span::Hour.offset(wall())) as usize;
    let events = 2 * LIMIT as usize;
    Load::start(&client, "tick", Some("e"), 500, events).finish().await;
    target.wait_for("/hourly", first, SOON).await;
    cluster.server.kill().await;
    cluster.server.restart().await;
    cluster.ready().await;
    // All that is not sent waits, in every respect: the next token is minutes away.
    eventually(SOON, "the rest waits", async || {
        let waiting = client.waiting("hourly").await?;
        let sent = target.count("/hourly");
        if waiting.0 == 0 && waiting.2 as usize + sent == events {
            Ok(())
        } else {
            Err(format!("{waiting:?}, {sent} sent"))
        }
    })
    .await;
    // One more has to wait like the others: the workers have asked the counters again.
    client.publish(Publish::of("tick", &json!({})).id("later")).await;
    eventually(SOON, "it waits too", async || match client.waiting("hourly").await? {
        (0, 0, parked) if parked as usize + target.count("/hourly") == events + 1 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(target.count("/hourly") < events, "an hour's limit is not begun anew");
    assert_within(&target, "/hourly", Span::Hour, LIMIT);
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_limit_is_not_limited_and_the_slower_of_limit_and_rate_counts() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let slack = |name: &str, limit: serde_json::Value| {
        let mut integration = json!({
            "name": name, "provider": "slack", "events": ["tick"], "config": { "webhook_url": target.url(&format!("/{name}")) },
        });
        if !limit.is_null() {
            integration["rate_limit"] = limit;
        }
        integration
    };
    client
        .apply(json!([
            slack("none", json!("none")),
            slack("default", json!(null)),
            { "name": "hook", "provider": "webhook", "events": ["tick"], "config": { "url": target.url("/hook") } },
            {
                "name": "both", "provider": "webhook", "events": ["tock"], "config": { "url": target.url("/both") },
                "rate_limit": { "per_minute": 6_000 },
            },
        ]))
        .await;
    client.hold("both").await;
    let began = Instant::now();
    let accepted = Load::start(client, "tick", Some("e"), 300, 300).finish().await;
    Load::start(client, "tock", Some("o"), 300, 40).finish().await;
    target.wait_for("/none", accepted.len(), SOON).await;
    target.wait_for_events("/hook", accepted.len(), SOON).await;
    assert!(began.elapsed() < Duration::from_secs(30), "took {:?}", began.elapsed());
    assert_within(&target, "/default", Span::Minute, 60);
    assert!(target.count("/default") < 140, "a provider has its sensible limit");

    // Let go at a rate below its limit.
    client.post("/v1/integrations/both/resume", json!({ "rate": 10 })).await;
    let received = target.wait_for("/both", 40, SOON).await;
    let took = received[39].at - received[0].at;
    assert!(took >= Duration::from_millis(3_500), "40 at 10 a second took {took:?}");
    up.stop().await;
}

/// Must be run by itself: it measures a clock minute exactly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: about nine minutes"]
async fn soak_eight_workers_send_what_a_limit_allows_each_minute_and_are_idle_meanwhile() {
    const LIMIT: u32 = 600;
    const EVENTS: usize = 5_000;
    let _ = Seed::of("limits");
    let mut cluster = Cluster::start().await;
    let mut workers = cluster.more_workers(7).await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client
        .apply(json!([{
            "name": "limited", "provider": "webhook", "events": ["tick"],
            "config": { "url": target.url("/limited") }, "rate_limit": { "per_minute": LIMIT },
        }]))
        .await;
    let accepted = Load::start(&client, "tick", Some("e"), 2_000, EVENTS).finish().await;
    target.wait_for("/limited", LIMIT as usize / 4, SOON).await;
    let mut pids: Vec<(String, u32)> = vec![("delivery 1".into(), cluster.role("delivery").pid().expect("it runs"))];
    for (number, worker) in workers.iter().enumerate() {
        pids.push((format!("delivery {}", number + 2), worker.pid().expect("it runs")));
    }
    pids.push(("keeper".into(), cluster.role("keeper").pid().expect("it runs")));
    let (before, began) = (
        pids.iter().map(|(_, pid)| cpu_secs(*pid)).collect::<Vec<_>>(),
        Instant::now(),
    );
    target
        .wait_for_events("/limited", EVENTS, Duration::from_secs(620))
        .await;
    let waited = began.elapsed().as_secs_f64();
    for ((name, pid), before) in pids.iter().zip(before) {
        let percent = (cpu_secs(*pid) - before) / waited * 100.0;
        eprintln!("{name}: {percent:.2} % of a core over {waited:.0} s");
    }
    let received = target.received("/limited");
    let mut minutes: BTreeMap<u64, Vec<Duration>> = BTreeMap::new();
    for request in &received {
        let at = since_epoch(request.wall);
        minutes
            .entry(at.as_secs() / 60)
            .or_default()
            .push(Span::Minute.offset(at));
    }
    let gaps = received.windows(2).map(|pair| pair[1].at - pair[0].at);
    eprintln!("largest gap {:?}", gaps.max().unwrap_or_default());
    let last = *minutes.keys().next_back().expect("there are some");
    let first = *minutes.keys().next().expect("there are some");
    for (minute, offsets) in &minutes {
        let tens: Vec<usize> = (0..6)
            .map(|ten| offsets.iter().filter(|offset| offset.as_secs() / 10 == ten).count())
            .collect();
        eprintln!(
            "minute {}: {} requests; by ten seconds {tens:?}",
            minute - first,
            offsets.len()
        );
    }
    for (minute, offsets) in &minutes {
        if *minute != first && *minute != last {
            assert!(
                (588..=612).contains(&offsets.len()),
                "{} in minute {minute}",
                offsets.len()
            );
        }
    }
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], accepted.len(), "{ledger}");
    assert_eq!(target.repeats("/limited"), 0);
    workers.iter_mut().for_each(Role::assert_alive);
    cluster.assert_alive();
}

/// Processor time that a process has used so far.
fn cpu_secs(pid: u32) -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process has its figures");
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    ticks.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}
