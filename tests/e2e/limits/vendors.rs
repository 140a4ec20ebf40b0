//! What each vendor says where it gets too many requests is heard by all workers, whichever of them was told.

use std::time::{Duration, Instant};

use crate::harness::{
    Cluster, Load, Target, eventually,
    role::Role,
    vendors::{self, ASKED_SECS, Door},
};

const SOON: Duration = Duration::from_secs(90);
/// How long a worker may take to hear what another one was told, on a busy machine.
const HEARD_WITHIN: Duration = Duration::from_secs(3);
const EVENTS: usize = 300;
const PER_SECOND: u64 = 20;

/// When the vendor said that it has too many.
async fn told_at(target: &Target, door: &Door) -> Instant {
    eventually(SOON, &format!("{} refuses one", door.name), async || {
        let all = target.received_below(&door.path());
        let refused = all.into_iter().find(|request| !request.taken);
        refused.ok_or_else(|| "none".to_owned())
    })
    .await
    .at
}

/// How many deliveries to a provider a worker has done.
async fn done(worker: &Role, provider: &str) -> u64 {
    let metrics = worker.ask("/metrics").await.expect("the admin port answers").text();
    let of = format!("provider=\"{provider}\"");
    let lines = metrics.lines().filter(|line| {
        line.contains("delivery_attempts") && line.contains("outcome=\"delivered\"") && line.contains(&of)
    });
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_each_vendor_asks_for_is_kept_by_two_workers_and_nothing_is_lost() {
    let cluster = Cluster::start().await;
    // Each does the deliveries of all providers.
    let mut workers = [
        cluster.further("delivery", &[]).await.0,
        cluster.further("delivery", &[]).await.0,
    ];
    let target = Target::start().await;
    let client = cluster.client().clone();
    let doors = vendors::doors(&target);
    let integrations: Vec<_> = doors.iter().map(|door| door.integration(&["execution.*"])).collect();
    client.apply(integrations.into()).await;
    // Each is about nothing but itself. An alert that is told again leaves nothing more where issues have no comments.
    let load = Load::start(&client, "execution.failed", Some("e"), PER_SECOND, EVENTS);
    for door in &doors {
        eventually(SOON, &format!("requests to {}", door.name), async || {
            match target.received_below(&door.path()).len() {
                0..10 => Err("too few".to_owned()),
                _ => Ok(()),
            }
        })
        .await;
        target.script_below(&door.path(), [door.too_many.clone(), door.yes.clone()]);
    }
    let mut told = Vec::new();
    for door in &doors {
        told.push((door, told_at(&target, door).await));
    }
    let accepted = load.finish().await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], doors.len() * accepted.len(), "{ledger}");
    for (door, at) in told {
        let all = target.received_below(&door.path());
        let quiet = at + HEARD_WITHIN..at + Duration::from_secs(ASKED_SECS);
        let in_between = all.iter().filter(|request| quiet.contains(&request.at)).count();
        assert_eq!(in_between, 0, "{} is left alone", door.name);
        assert!(
            all.iter().any(|request| request.at >= quiet.end),
            "{} is called again",
            door.name
        );
    }
    for door in &doors {
        for worker in &workers {
            assert!(
                done(worker, door.provider).await > 0,
                "each of the workers delivers to {}",
                door.name
            );
        }
    }
    workers.iter_mut().for_each(Role::assert_alive);
}
