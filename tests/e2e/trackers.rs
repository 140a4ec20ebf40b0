//! The life of one spec at every tracker: one issue, whatever is cut off in between.
//!
//! The trackers stand in [`sites`]. What each was asked for in a life that nothing disturbs is a file of `trackers/`;
//! `SIGNALBOX_GOLDEN_UPDATE=1` writes it anew. The other scenarios cut such a life at each of its requests in turn, after the
//! tracker has done what it was asked for: a life for each, all side by side, as a tracker whose search lags behind is waited
//! for for minutes.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::harness::{
    Client, Cluster, Publish, Target, Up, eventually,
    sites::{Has, Lived, Stand, Tracker, trackers},
    transcript::{self, Transcript},
};

const SOON: Duration = Duration::from_secs(60);
/// Until everything that was in doubt is certain: the longest lag of a search, the time until what a killed worker held comes
/// again, and some retries.
const CERTAIN_WITHIN: Duration = Duration::from_secs(420);
/// Where the files lie.
const FOLDER: &str = "trackers";
/// What all of them subscribe to.
const EVENTS: [&str; 3] = ["spec.*", "implementation.*", "pr.*"];
/// Events of one life.
const LIFE: usize = 6;

/// The life of a spec: type and data.
fn life(id: &str) -> [(&'static str, Value); LIFE] {
    let spec = |status: &str| json!({ "id": id, "title": "User Authentication", "status": status });
    let known = json!({ "id": id });
    let pr = json!({ "number": 42, "url": "https://github.com/org/repo/pull/42" });
    [
        (
            "spec.created",
            json!({ "spec": spec("draft"), "acceptance_criteria": ["A user signs in", "A user signs out"] }),
        ),
        ("spec.approved", json!({ "spec": spec("approved") })),
        (
            "implementation.started",
            json!({ "spec": known, "branch": "spec/feat-0001" }),
        ),
        ("pr.created", json!({ "spec": known, "pr": pr })),
        (
            "implementation.completed",
            json!({ "spec": spec("implemented"), "pr": pr }),
        ),
        ("pr.merged", json!({ "spec": known, "pr": pr })),
    ]
}

async fn publish(client: &Client, id: &str, number: usize) {
    let (event_type, data) = &life(id)[number];
    let event = Publish::of(event_type, data)
        .id(&format!("{id}-{number}"))
        .header("ce-source", "/acme/specs")
        .header("ce-time", &format!("2026-11-20T{:02}:00:00Z", 9 + number));
    client.publish(event).await;
}

/// The integration of a tracker below the path of its name.
fn integration(tracker: &Tracker, target: &Target, name: &str, timeout: &str) -> Value {
    let (config, credentials) = tracker.set_up(target, name);
    json!({
        "name": name, "provider": tracker.provider, "config": config, "credentials": credentials, "events": EVENTS,
        "rate_limit": "none", "timeout": timeout, "retry": { "schedule": vec!["2s"; 20] },
    })
}

/// Says what is wrong with what stands there after one life.
fn judge(stand: &Stand, lived: &Lived) -> Result<(), String> {
    let has = stand.has();
    let Has {
        issues,
        subtasks,
        links,
        comments,
    } = &has;
    let each = |list: &[String], wanted: usize| {
        let different: BTreeSet<&String> = list.iter().collect();
        list.len() == wanted && different.len() == wanted
    };
    let fits = issues.as_slice() == [lived.state]
        && each(subtasks, lived.subtasks)
        && each(links, lived.links)
        && each(comments, comments.len());
    if fits {
        Ok(())
    } else {
        Err(format!("silent at {:?}: {has:#?}", stand.silent_at()))
    }
}

/// A life that nothing disturbs, at each tracker: what stands there, and how many requests each had after each event.
async fn live(client: &Client, target: &Target, id: &str) -> Vec<(Tracker, Vec<usize>)> {
    let all: Vec<(Tracker, Arc<Stand>)> = trackers()
        .into_iter()
        .map(|tracker| {
            let stand = tracker.open(target, &whole(&tracker), None);
            (tracker, stand)
        })
        .collect();
    let integrations: Vec<Value> = all
        .iter()
        .map(|(tracker, _)| integration(tracker, target, &whole(tracker), "15s"))
        .collect();
    client.apply(json!(integrations)).await;
    let mut counts = vec![Vec::new(); all.len()];
    for number in 0..LIFE {
        publish(client, id, number).await;
        let ledger = client.settled(SOON).await;
        assert_eq!(ledger["delivered"], (number + 1) * all.len(), "{ledger}");
        for (count, (_, stand)) in counts.iter_mut().zip(&all) {
            count.push(stand.count());
        }
    }
    for (tracker, stand) in &all {
        judge(stand, &tracker.lived).unwrap_or_else(|wrong| panic!("{}: {wrong}", tracker.provider));
    }
    all.into_iter().map(|(tracker, _)| tracker).zip(counts).collect()
}

/// The name of the integration whose life nothing disturbs.
fn whole(tracker: &Tracker) -> String {
    format!("{}-whole", tracker.provider)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_life_of_a_spec_is_one_issue_at_every_tracker() {
    let up = Up::start().await;
    let target = Target::start().await;
    let lived = live(up.client(), &target, "FEAT-0001").await;
    let names = transcript::names(up.client()).await;
    let mut wrong = Vec::new();
    for (tracker, _) in &lived {
        let requests = target.received_below(&format!("/{}/", whole(tracker)));
        let told = Transcript::of_requests(&requests, &target, &names);
        told.check_that_it_is_known(FOLDER, tracker.provider, &mut wrong);
    }
    assert_eq!(
        wrong,
        Vec::<String>::new(),
        "SIGNALBOX_GOLDEN_UPDATE=1 writes them anew"
    );
    // The life is over: told again, each of its events is known by its id.
    let before: usize = lived.iter().filter_map(|(_, counts)| counts.last()).sum();
    publish(up.client(), "FEAT-0001", 0).await;
    up.client().settled(SOON).await;
    assert_eq!(target.received_below("/").len(), before);
    up.stop().await;
}

/// A life that is cut at one of its requests.
struct Cut {
    tracker: usize,
    integration: String,
    stand: Arc<Stand>,
}

/// For each tracker as many lives as one has requests, each with a site that falls silent at another of them.
async fn cut(client: &Client, target: &Target, lived: &[(Tracker, Vec<usize>)], how: &str, timeout: &str) -> Vec<Cut> {
    let (mut cuts, mut integrations) = (Vec::new(), Vec::new());
    for (index, (tracker, counts)) in lived.iter().enumerate() {
        let whole = counts.last().copied().unwrap_or_default();
        assert!(whole >= LIFE, "{}: {whole} requests in all", tracker.provider);
        for at in 0..whole {
            let name = format!("{}-{how}-{at}", tracker.provider);
            integrations.push(integration(tracker, target, &name, timeout));
            cuts.push(Cut {
                tracker: index,
                stand: tracker.open(target, &name, Some(at)),
                integration: name,
            });
        }
    }
    client.apply(json!(integrations)).await;
    cuts
}

/// Waits until nothing is in doubt any more, and holds each life to what it must have come to.
async fn judge_all(client: &Client, lived: &[(Tracker, Vec<usize>)], cuts: &[Cut]) {
    let ledger = client.settled(CERTAIN_WITHIN).await;
    let mut wrong = Vec::new();
    for Cut { tracker, stand, .. } in cuts {
        let (tracker, _) = &lived[*tracker];
        if !stand.was_silent() {
            wrong.push(format!("{}: never silent at {:?}", tracker.provider, stand.silent_at()));
        }
        wrong.extend(
            judge(stand, &tracker.lived)
                .err()
                .map(|wrong| format!("{}: {wrong}", tracker.provider)),
        );
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), cuts.len());
    assert_eq!(ledger["dead"], 0, "{ledger}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tracker_that_times_out_after_any_request_that_it_carried_out_has_one_issue() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let lived = live(client, &target, "FEAT-0001").await;
    let cuts = cut(client, &target, &lived, "timeout", "1s").await;
    for number in 0..LIFE {
        publish(client, "FEAT-0002", number).await;
        // The next event comes once all lives that are not cut before it have had all requests of this one.
        all_came_to(client, &lived, &cuts, number).await;
    }
    judge_all(client, &lived, &cuts).await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_at_any_request_of_a_life_leaves_one_issue() {
    let mut cluster = Cluster::start().await;
    // It does the deliveries of all providers.
    let (mut worker, _) = cluster.further("delivery", &[]).await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    let lived = live(&client, &target, "FEAT-0001").await;
    // Nothing but the kill ends a request that has no answer.
    let cuts = cut(&client, &target, &lived, "killed", "60s").await;
    for number in 0..LIFE {
        publish(&client, "FEAT-0002", number).await;
        let waiting = all_came_to(&client, &lived, &cuts, number).await;
        // The requests at which this event's lives are cut are carried out and have no answer now.
        if waiting > 0 {
            worker.kill().await;
            worker.restart().await;
        }
    }
    judge_all(&client, &lived, &cuts).await;
    worker.assert_alive();
    cluster.assert_alive();
}

/// Waits until each life has come as far as an event of this number brings it: to the request at which it is cut, or to the end
/// of the delivery. Gives how many are cut at it.
async fn all_came_to(client: &Client, lived: &[(Tracker, Vec<usize>)], cuts: &[Cut], number: usize) -> usize {
    eventually(SOON, &format!("all lives come to event {number}"), async || {
        let (mut cut_here, mut whole) = (0, Vec::new());
        for cut in cuts {
            let (tracker, counts) = &lived[cut.tracker];
            let before = number.checked_sub(1).map_or(0, |before| counts[before]);
            let (all, count) = (counts[number], cut.stand.count());
            let at = cut.stand.silent_at().unwrap_or(usize::MAX);
            let wanted = match at {
                // It was cut before, and goes its own way.
                at if at < before => 0,
                at if at < all => at + 1,
                _ => all,
            };
            if count < wanted {
                return Err(format!("{}, silent at {at}: {count} of {wanted}", tracker.provider));
            }
            cut_here += usize::from((before..all).contains(&at));
            if at >= all {
                whole.push(&*cut.integration);
            }
        }
        // What has had its last answer may not be remembered yet.
        let doctor = client.try_doctor().await?;
        let waiting = doctor["waiting"]["integrations"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let waits = |one: &&Value| {
            let name = one["integration"].as_str().unwrap_or_default();
            let is_empty = ["pending", "retrying", "parked"].iter().all(|count| one[*count] == 0);
            whole.contains(&name) && !is_empty
        };
        match waiting.iter().find(waits) {
            Some(one) => Err(one.to_string()),
            None => Ok(cut_here),
        }
    })
    .await
}
