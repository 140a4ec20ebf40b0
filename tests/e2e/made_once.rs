//! Issues, comments, pipelines, runs of workflows and builds: one for each event, whatever the vendor says or does not say, and
//! whoever is killed in between.
//!
//! The vendors here make another whenever they are asked, as the real ones do. So one for each event means that it was asked
//! for once, or that it was looked for before it was asked for again.

mod maker;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use self::maker::{Maker, Manner, SORTS, Sort};
use crate::harness::{Client, Cluster, Load, Publish, Seed, Target, Up, eventually, pause};

const SOON: Duration = Duration::from_secs(30);
/// What a killed worker held comes again after 20 s; what nobody has seen is waited for, for up to two minutes.
const LATER: Duration = Duration::from_secs(200);

fn makers(target: &Target, sorts: &[Sort]) -> Vec<(Sort, Arc<Maker>)> {
    sorts.iter().map(|sort| (*sort, Maker::at(target, *sort))).collect()
}

async fn apply(client: &Client, target: &Target, sorts: &[Sort], timeout: &str) {
    let integrations: Vec<Value> = sorts.iter().map(|sort| sort.integration(target, timeout)).collect();
    client.apply(json!(integrations)).await;
}

async fn publish(client: &Client, count: usize) {
    for number in 0..count {
        let event = Publish::of("tick", &json!({ "n": number }));
        client.publish(event.id(&format!("e-{number}"))).await;
    }
}

/// Waits until all has arrived, and sees that each vendor has made one for each of so many events.
async fn one_each(client: &Client, makers: &[(Sort, Arc<Maker>)], events: usize) {
    let ledger = client.settled(LATER).await;
    assert_eq!(ledger["delivered"], events * makers.len(), "{ledger}");
    for (sort, maker) in makers {
        let made = maker.made();
        assert_eq!(made.len(), events, "{}: {made:?}", sort.name());
        let twice: Vec<_> = made.iter().filter(|(_, count)| **count != 1).collect();
        assert!(twice.is_empty(), "{}: {twice:?}", sort.name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vendor_that_makes_what_it_is_asked_for_and_never_says_so_makes_one_for_each_event() {
    const EVENTS: usize = 3;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let makers = makers(&target, &SORTS);
    makers.iter().for_each(|(_, maker)| maker.be(Manner::MakesSilently));
    apply(client, &target, &SORTS, "1s").await;
    publish(client, EVENTS).await;
    one_each(client, &makers, EVENTS).await;
    for (sort, maker) in &makers {
        assert_eq!(maker.asked(), EVENTS, "{}", sort.name());
        assert!(maker.looked() >= EVENTS, "{} was looked at", sort.name());
    }
    up.stop().await;
}

/// Those that show at once what they have made. GitLab may take longer for a request, and a run of a workflow comes later.
const QUICK: [Sort; 3] = [Sort::GithubIssue, Sort::GithubComment, Sort::JenkinsBuild];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_vendor_has_not_made_is_made_once_it_is_certain_that_it_is_not_there() {
    const EVENTS: usize = 2;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let makers = makers(&target, &QUICK);
    makers.iter().for_each(|(_, maker)| maker.be(Manner::Loses));
    let with_one_step = QUICK.map(|sort| {
        let mut integration = sort.integration(&target, "1s");
        // The lost answer uses it up. What is waited for then is nothing that failed.
        integration["retry"] = json!({ "schedule": ["1s"] });
        integration
    });
    client.apply(json!(with_one_step)).await;
    publish(client, EVENTS).await;
    for (sort, maker) in &makers {
        eventually(
            SOON,
            &format!("{} was asked and looked at", sort.name()),
            async || match (maker.asked(), maker.looked()) {
                (asked, looked) if asked >= EVENTS && looked > 0 => Ok(()),
                fewer => Err(format!("{fewer:?}")),
            },
        )
        .await;
        maker.be(Manner::Answers);
    }
    client.publish(Publish::of("tick", &json!({})).id("e-late")).await;
    for (sort, maker) in &makers {
        let others = format!("{} is asked for what else there is meanwhile", sort.name());
        eventually(SOON / 2, &others, async || match maker.asked() {
            asked if asked == EVENTS + 1 => Ok(()),
            asked => Err(format!("asked {asked} times")),
        })
        .await;
    }
    one_each(client, &makers, EVENTS + 1).await;
    for (sort, maker) in &makers {
        assert_eq!(maker.asked(), 2 * EVENTS + 1, "{}", sort.name());
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_killed_while_they_ask_and_while_they_look_leave_one_for_each_event() {
    const EVENTS: usize = 2;
    let cluster = Cluster::start().await;
    let (mut worker, _) = cluster.further("delivery", &[]).await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    let makers = makers(&target, &SORTS);
    makers.iter().for_each(|(_, maker)| maker.be(Manner::Silent));
    apply(&client, &target, &SORTS, "60s").await;
    publish(&client, EVENTS).await;
    // It has made them, and whoever asked for them dies before an answer.
    for (sort, maker) in &makers {
        eventually(SOON, &format!("{} was asked", sort.name()), async || {
            match maker.asked() {
                EVENTS => Ok(()),
                fewer => Err(format!("{fewer}")),
            }
        })
        .await;
    }
    worker.kill().await;
    worker.restart().await;
    // Whoever looks for them dies too.
    for (sort, maker) in &makers {
        eventually(LATER, &format!("{} is looked at", sort.name()), async || {
            match maker.looked() {
                0 => Err("not yet".to_owned()),
                _ => Ok(()),
            }
        })
        .await;
    }
    worker.kill().await;
    makers.iter().for_each(|(_, maker)| maker.be(Manner::Answers));
    worker.restart().await;
    one_each(&client, &makers, EVENTS).await;
    for (sort, maker) in &makers {
        assert_eq!(maker.asked(), EVENTS, "{} is asked for nothing again", sort.name());
    }
    worker.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_killed_at_random_moments_leave_one_for_each_event() {
    // No more than each vendor shows at once: behind more than that nobody can tell.
    const EVENTS: usize = 40;
    const PER_SECOND: u64 = 20;
    let mut seed = Seed::of("kill -9 of who makes things");
    let cluster = Cluster::start().await;
    let (mut worker, _) = cluster.further("delivery", &[]).await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    let makers = makers(&target, &SORTS);
    apply(&client, &target, &SORTS, "5s").await;
    let load = Load::start(&client, "tick", Some("e"), PER_SECOND, EVENTS);
    for _ in 0..2 {
        pause(seed.millis(300..900)).await;
        worker.kill().await;
        worker.restart().await;
    }
    assert_eq!(load.finish().await.len(), EVENTS);
    one_each(&client, &makers, EVENTS).await;
    worker.assert_alive();
}
