//! `replay`: dead letters replayed beside live events of another integration.
//!
//! One act replays all of them; it is stopped while live events are measured alone, and goes on while they are measured
//! beside it, in turns.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use signalbox_proto::subjects;
use tokio::time::{Instant, sleep};

use super::{
    super::{
        fleet::{CORE, WORKER, told},
        publisher::Pace,
    },
    Promise, Size, Stage,
    findings::Findings,
    leg::{self, Leg, Plan},
    witness::Answer,
};

pub(super) const SIZES: &[(&str, u64, u64)] = &[
    ("owed", 5_000, 100_000),
    ("rate", 200, 1_000),
    ("seconds", 5, 20),
    ("replay_rate", 500, 1_000),
    ("rounds", 1, 5),
];

const LIVE: u64 = 0;
const DIED: u64 = 1;
/// Promised of live events against a run without the replay.
const P99_RATIO: f64 = 1.3;
const P99_MORE_MS: f64 = 1.0;
/// How long all may take to become dead letters, beside a millisecond each.
const DEAD_TIMEOUT: Duration = Duration::from_secs(120);
const LOOK_PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn play(stage: &mut Stage, size: &Size) -> anyhow::Result<Findings> {
    let owed = size.of("owed");
    let fleet = stage.raise(&[CORE, WORKER], &[]).await?;
    let list = [
        stage.integration(LIVE, "bench.live", Value::Null),
        stage.integration(DIED, "bench.died", Value::Null),
    ];
    stage.apply(fleet, &list).await?;
    stage.witness.answer(DIED, Answer::Status(400));
    let mut load = stage.load(fleet).await?;
    stage.say(format!("making {owed} dead letters"));
    let died = stage.witness.begin(2 * owed);
    let all = Pace { events: owed, rate: 0 };
    load.publish(died, all, |_| "bench.died".to_owned()).await?;
    let filter = json!({ "filter": { "integration": format!("bench-{DIED}") } });
    wait_for_letters(stage, fleet, &filter, owed).await?;
    stage.witness.answer(DIED, Answer::Ok);

    let mut wanted = filter.clone();
    super::merge(&mut wanted, json!({ "rate": size.of("replay_rate") }));
    let act = ask(stage, fleet, &["dead-letters", "replay"], &wanted).await?;
    let id = act["id"].as_str().context("a replay has no id")?.to_owned();
    let verb = async |stage: &Stage, verb: &str| ask(stage, fleet, &["acts", &id, verb], &json!({})).await;

    let (mut alone, mut beside, mut replayed) = (Vec::new(), Vec::new(), Vec::new());
    let pace = Pace {
        events: size.of("rate") * size.of("seconds"),
        rate: size.of("rate"),
    };
    // The first pair opens connections, and is not counted.
    for round in 0..=size.of("rounds") {
        for replays in [false, true] {
            stage.say(format!("round {round} of {}", size.of("rounds")));
            let done = act_status(stage, fleet, &id).await?["status"] == "done";
            if !done {
                verb(stage, if replays { "resume" } else { "cancel" }).await?;
            }
            quiet(stage, died, replays && !done).await;
            let pace = if round == 0 {
                Pace {
                    events: size.of("rate"),
                    ..pace
                }
            } else {
                pace
            };
            let plan = Plan {
                fleet,
                pace,
                type_of: &|_| "bench.live".to_owned(),
                is_owed: &|_| true,
            };
            let before = stage.witness.book(|book| book.delivered(died));
            let leg = stage.leg(&mut load, &plan).await?;
            let during = stage.witness.book(|book| book.delivered(died)) - before;
            match (round, replays) {
                (0, _) => {}
                (_, false) => alone.push(leg),
                (_, true) => {
                    beside.push(leg);
                    replayed.push(during);
                }
            }
        }
    }
    stage.say("waiting for the replay's end");
    if act_status(stage, fleet, &id).await?["status"] != "done" {
        verb(stage, "resume").await?;
    }
    stage.complete(fleet, died, owed).await?;
    let act = finished(stage, fleet, &id).await?;
    let doctor = stage.settled(fleet, Some(0)).await?;
    Ok(judge(stage, size, died, [&alone, &beside], &replayed, &act, &doctor))
}

async fn ask(stage: &Stage, fleet: usize, path: &[&str], body: &Value) -> anyhow::Result<Value> {
    stage.fleets[fleet].api()?.post(path, &[], body).await.map_err(told)
}

async fn act_status(stage: &Stage, fleet: usize, id: &str) -> anyhow::Result<Value> {
    stage.fleets[fleet].api()?.get(&["acts", id], &[]).await.map_err(told)
}

/// Waits until the act says that it is done, or does not change any more.
async fn finished(stage: &Stage, fleet: usize, id: &str) -> anyhow::Result<Value> {
    let began = Instant::now();
    loop {
        let act = act_status(stage, fleet, id).await?;
        if act["status"] != "running" || began.elapsed() > DEAD_TIMEOUT {
            return Ok(act);
        }
        sleep(LOOK_PAUSE).await;
    }
}

async fn wait_for_letters(stage: &mut Stage, fleet: usize, filter: &Value, owed: u64) -> anyhow::Result<()> {
    let deadline = DEAD_TIMEOUT + Duration::from_millis(owed);
    let began = Instant::now();
    // Counted as the API does only when there are enough: that reads each of them.
    while stage.messages(fleet, subjects::DEAD).await? < owed {
        anyhow::ensure!(
            began.elapsed() < deadline,
            "there are not {owed} dead letters after {} s",
            deadline.as_secs()
        );
        stage.fleets[fleet].check()?;
        sleep(LOOK_PAUSE).await;
    }
    let dry_run = super::merged(filter.clone(), json!({ "dry_run": true }));
    let counted = ask(stage, fleet, &["dead-letters", "replay"], &dry_run).await?;
    anyhow::ensure!(
        counted["matched"].as_u64() == Some(owed),
        "there should be {owed} dead letters: {counted}"
    );
    Ok(())
}

/// Waits until the replay sends, or has ceased to.
async fn quiet(stage: &Stage, died: u32, sends: bool) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        let before = stage.witness.book(|book| book.delivered(died));
        sleep(LOOK_PAUSE).await;
        let moved = stage.witness.book(|book| book.delivered(died)) > before;
        if moved == sends {
            return;
        }
    }
}

fn judge(
    stage: &Stage,
    size: &Size,
    died: u32,
    [alone, beside]: [&[Leg]; 2],
    replayed: &[u64],
    act: &Value,
    doctor: &Value,
) -> Findings {
    let owed = size.of("owed");
    let (delivered, again) = stage.witness.book(|book| (book.delivered(died), book.again(died)));
    let lost = alone.iter().chain(beside).map(Leg::lost).sum::<u64>() + owed.saturating_sub(delivered);
    let p99 = |leg: &Leg| leg.latency.p99;
    let (ratio, more) = (leg::ratio(beside, alone, p99), leg::more(beside, alone, p99));
    let mut found = Findings::new(Promise::Replay, size);
    found.figure("lost", lost);
    found.figure("replayed", delivered);
    found.figure("replayed_again", again);
    found.figure("replayed_during_live_by_round", replayed);
    found.figure("live_alone", leg::view(alone));
    found.figure("live_beside_the_replay", leg::view(beside));
    found.figure("p99_ratio", ratio);
    found.figure("p99_ms_more", more);
    found.figure(
        "act",
        json!({ "status": act["status"], "done": act["done"], "failed": act["failed"] }),
    );
    found.ledger(doctor);
    found.always("nothing is lost", lost, lost == 0);
    found.always("no dead letter is replayed twice", again, again == 0);
    found.aim(
        format!("p99 of live events within {P99_RATIO} × of without the replay, or + {P99_MORE_MS} ms"),
        ratio,
        ratio <= P99_RATIO || more <= P99_MORE_MS,
    );
    if replayed.contains(&0) {
        found.warn("the replay was over before the last round: raise --owed or lower --replay-rate");
    }
    found
}
