//! What becomes of tokens that cannot be used, and of what is limited while nobody counts.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use signalbox_proto::subjects;

use super::{SOON, assert_within, schedule::Span, wall};
use crate::harness::{Answer, Client, Cluster, Load, Publish, Target, Up, eventually, pause, role::Role};

async fn jetstream(client: &Client) -> async_nats::jetstream::Context {
    async_nats::jetstream::new(async_nats::connect(client.nats_url()).await.expect("NATS answers"))
}

/// What an integration's counter of an hour says; 0 where there is none.
async fn counted(client: &Client, integration: &str, epoch: i64) -> i64 {
    let stream = jetstream(client).await.get_stream_no_info("RATE_HOUR").await;
    let subject = subjects::rate("hour", integration, epoch);
    let last = stream
        .expect("a name is enough")
        .direct_get_last_for_subject(subject)
        .await;
    let body = last.map(|message| serde_json::from_slice(&message.payload));
    let body: serde_json::Value = body.ok().and_then(Result::ok).unwrap_or_default();
    body["val"]
        .as_str()
        .and_then(|value| value.parse().ok())
        .unwrap_or_default()
}

fn hour() -> i64 {
    i64::try_from(wall().as_secs() / 3_600).expect("a small number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_place_uses_up_nothing_of_an_hours_limit() {
    const EVENTS: usize = 100;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    // A tenth of the limit is there at any time of an hour: enough for all of them, and not for any of them twice.
    client
        .apply(json!([{
            "name": "hourly", "provider": "webhook", "events": ["tick"],
            "config": { "url": target.url("/hourly") }, "rate_limit": { "per_hour": 10 * EVENTS },
        }]))
        .await;
    let id = client.integration("hourly").await["id"]
        .as_str()
        .expect("it has an id")
        .to_owned();
    // So slow that some of those that have a token already find no place for their request.
    target.script("/hourly", [Answer::status(200).after(Duration::from_millis(1_500))]);
    let before = hour();
    let accepted = Load::start(client, "tick", Some("e"), 500, EVENTS).finish().await;
    eventually(SOON, "some find no place", async || {
        match client.waiting("hourly").await? {
            (.., 0) => Err("nothing is parked".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    target.wait_for_events("/hourly", EVENTS, SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], accepted.len(), "{ledger}");
    let requests = i64::try_from(target.count("/hourly")).expect("a small number");
    eventually(
        SOON,
        "each request has used one token, and nothing else has",
        async || {
            let mut used = counted(client, &id, before).await;
            if hour() != before {
                used += counted(client, &id, hour()).await;
            }
            if used == requests {
                Ok(())
            } else {
                Err(format!("{used} tokens are used, {requests} requests came"))
            }
        },
    )
    .await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nobody_counts_what_is_limited_waits_on_disk_and_its_neighbour_waits_for_nothing() {
    const EVENTS: usize = 1_500;
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client
        .apply(json!([
            {
                "name": "limited", "provider": "webhook", "events": ["tick"],
                "config": { "url": target.url("/limited") }, "rate_limit": { "per_minute": 6_000 },
            },
            { "name": "free", "provider": "webhook", "events": ["tick"], "config": { "url": target.url("/free") } },
        ]))
        .await;
    client.publish(Publish::of("tick", &json!({})).id("first")).await;
    target.wait_for("/limited", 1, SOON).await;
    target.wait_for("/free", 1, SOON).await;

    // A stream of the counters' name that takes no counters: they are silent, and all else answers.
    let jetstream = jetstream(&client).await;
    jetstream.delete_stream("RATE_MINUTE").await.expect("it is there");
    let silent = async_nats::jetstream::stream::Config {
        name: "RATE_MINUTE".to_owned(),
        subjects: vec!["elsewhere".to_owned()],
        ..Default::default()
    };
    jetstream.create_stream(silent).await.expect("it can be made");
    let accepted = Load::start(&client, "tick", Some("e"), 250, EVENTS).finish().await;
    target.wait_for_events("/free", EVENTS + 1, SOON).await;
    let received = target.received("/free");
    let late = accepted.ids.iter().zip(&accepted.at).filter_map(|(id, at)| {
        let request = received.iter().find(|request| request.event == *id)?;
        Some(request.at.saturating_duration_since(*at))
    });
    let late = late.max().unwrap_or_default();
    eprintln!("the neighbour's latest came {late:?} after it was accepted");
    assert!(late < Duration::from_secs(3), "the neighbour waits: {late:?}");
    assert_eq!(target.count("/limited"), 1, "nothing goes that nobody counts");
    eventually(SOON, "all of it waits in PARKED", async || {
        match client.waiting("limited").await? {
            (0, 0, parked) if parked as usize == EVENTS => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    jetstream.delete_stream("RATE_MINUTE").await.expect("it is there");
    target.wait_for_events("/limited", EVENTS + 1, SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], 2 * (EVENTS + 1), "{ledger}");
    assert_eq!(
        target.repeats("/limited") + target.repeats("/free"),
        0,
        "nothing comes twice"
    );
    cluster.assert_alive();
}

/// Waits until so many seconds of a clock minute have passed.
async fn until_second(second: u64) {
    let into = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is behind 1970");
    let into = Duration::new(into.as_secs() % 60, into.subsec_nanos());
    let wanted = Duration::from_secs(second);
    pause(if into <= wanted {
        wanted - into
    } else {
        wanted + Duration::from_secs(60) - into
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_stop_across_the_end_of_a_minute_send_no_more_than_the_next_one_allows() {
    const LIMIT: u32 = 1_200;
    const EVENTS: usize = 500;
    let mut cluster = Cluster::start().await;
    let mut workers = cluster.more_workers(1).await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client
        .apply(json!([{
            "name": "limited", "provider": "webhook", "events": ["tick"],
            "config": { "url": target.url("/limited") }, "rate_limit": { "per_minute": LIMIT },
        }]))
        .await;
    until_second(48).await;
    let accepted = Load::start(&client, "tick", Some("e"), 1_000, EVENTS).finish().await;
    target.wait_for("/limited", 20, SOON).await;
    // One is asked to stop, the other is not asked; meanwhile the keeper goes on to pay for what it takes out.
    until_second(56).await;
    workers[0].stop().await;
    cluster.role("delivery").kill().await;
    until_second(3).await;
    let began = Instant::now();
    workers
        .iter_mut()
        .for_each(|worker| assert!(worker.pid().is_none(), "it has stopped"));
    workers[0].restart().await;
    cluster.role("delivery").restart().await;
    target.wait_for_events("/limited", EVENTS, SOON).await;
    eprintln!(
        "all are there {:?} after the workers were started again",
        began.elapsed()
    );
    assert_within(&target, "/limited", Span::Minute, LIMIT);
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], accepted.len(), "{ledger}");
    workers.iter_mut().for_each(Role::assert_alive);
    cluster.assert_alive();
}

/// Must be run by itself: it looks at what a keeper costs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: about two minutes"]
async fn soak_a_keeper_that_is_killed_goes_on_with_two_thousand_drains_and_repeats_nothing() {
    const INTEGRATIONS: usize = 2_000;
    const EVENTS: usize = 4;
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    let all: Vec<serde_json::Value> = (0..INTEGRATIONS)
        .map(|number| {
            json!({
                "name": format!("limited-{number}"), "provider": "webhook", "events": ["tick"],
                "config": { "url": target.url("/limited") }, "rate_limit": { "per_minute": 6 },
            })
        })
        .collect();
    for part in all.chunks(500) {
        client.apply(json!(part)).await;
    }
    Load::start(&client, "tick", Some("e"), 10, EVENTS).finish().await;
    eventually(SOON, "all are held", async || {
        let parked = client.messages(subjects::PARKED).await?;
        if parked as usize > 2 * INTEGRATIONS {
            Ok(())
        } else {
            Err(format!("{parked} messages"))
        }
    })
    .await;
    cluster.role("keeper").kill().await;
    let began = Instant::now();
    cluster.role("keeper").restart().await;
    eprintln!("the keeper is ready after {:?}", began.elapsed());
    let pid = cluster.role("keeper").pid().expect("it runs");
    target
        .wait_for("/limited", EVENTS * INTEGRATIONS, Duration::from_secs(180))
        .await;
    let cpu = super::cpu_secs(pid);
    eprintln!(
        "all are there after {:?}; the keeper has used {cpu:.1} s of a core",
        began.elapsed()
    );
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], EVENTS * INTEGRATIONS, "{ledger}");
    assert_eq!(target.count("/limited"), EVENTS * INTEGRATIONS, "nothing comes twice");
    cluster.assert_alive();
}
