//! `history`: what writing history costs beside the path, and how quickly the API reads it.
//!
//! The recorder is a process of its own, so that its CPU can be told from that of the path. Reads are asked for at a
//! rate, and a read that is late counts from when it was due.

use std::time::Duration;

use futures::{StreamExt as _, stream::FuturesUnordered};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    super::{
        fleet::{CORE, RECORDER, WORKER, told},
        publisher::Pace,
        report::{Latency, median, per_thousand},
    },
    Promise, Size, Stage,
    findings::Findings,
    leg::{self, Leg, Plan},
};
use crate::cli::Client;

pub(super) const SIZES: &[(&str, u64, u64)] = &[
    ("events", 2_000, 100_000),
    ("integrations", 10, 100),
    ("rate", 100, 500),
    ("seconds", 2, 20),
    ("rounds", 1, 5),
];

/// How long the recorder may need after the last arrival.
const RECORDED_WITHIN: Duration = Duration::from_secs(300);
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// Promised: CPU of the recorder against that of the path, for each delivery.
const CPU_RATIO: f64 = 0.5;
/// Promised of reads, in milliseconds.
const READ_P99_MS: f64 = 5.0;
/// A bench asks more often than a key may.
const REQUESTS: (&str, &str) = ("SIGNALBOX_AUTH__REQUESTS_PER_SECOND", "0");
/// What is read in turn.
const READS: [&str; 6] = [
    "deliveries",
    "deliveries_of_one",
    "delivery",
    "integrations",
    "integration",
    "stats",
];

/// One run, and what the recorder used for it, also after the last arrival.
struct Round {
    leg: Leg,
    recorder: Duration,
    /// From the last arrival until all was recorded.
    behind: Duration,
}

impl Round {
    fn recorder_cpu_s_per_1000(&self) -> f64 {
        per_thousand(self.recorder, self.leg.events)
    }

    /// All processes but the recorder.
    fn path_cpu_s_per_1000(&self) -> f64 {
        self.leg.cpu_s_per_1000() - per_thousand(self.recorder, self.leg.events)
    }
}

pub(super) async fn play(stage: &mut Stage, size: &Size) -> anyhow::Result<Findings> {
    let integrations = size.of("integrations");
    let settings = [(REQUESTS.0, REQUESTS.1.to_owned())];
    let fleet = stage.raise(&[CORE, WORKER, RECORDER], &settings).await?;
    let list: Vec<Value> = (0..integrations)
        .map(|number| stage.integration(number, &format!("bench.t{number}"), Value::Null))
        .collect();
    stage.apply(fleet, &list).await?;
    let mut load = stage.load(fleet).await?;
    let client = stage.fleets[fleet].api()?;
    let (mut rounds, mut published) = (Vec::new(), recorded(&client).await?);
    // The first one opens connections, and is not counted.
    for round in 0..=size.of("rounds") {
        stage.say(format!("round {round} of {}", size.of("rounds")));
        let events = if round == 0 {
            size.of("events").min(2_000)
        } else {
            size.of("events")
        };
        let plan = Plan {
            fleet,
            pace: Pace { events, rate: 0 },
            type_of: &|event| format!("bench.t{}", event % integrations),
            is_owed: &|_| true,
        };
        let before = stage.fleets[fleet].cpu_of(RECORDER)?;
        let leg = stage.leg(&mut load, &plan).await?;
        published += leg.delivered;
        let arrived = Instant::now();
        let used = until_recorded(stage, fleet, &client, published).await?;
        let behind = arrived.elapsed();
        if round > 0 {
            rounds.push(Round {
                leg,
                recorder: used.saturating_sub(before),
                behind,
            });
        }
    }
    stage.say("reading");
    let reads = read(&client, size).await?;
    let doctor = stage.settled(fleet, Some(0)).await?;
    // Beside what was published, the events that show when a change is in force.
    let delivered = doctor["ledger"]["delivered"].as_u64().unwrap_or_default();
    until_recorded(stage, fleet, &client, delivered).await?;
    let kept = recorded(&client).await?;
    Ok(judge(size, &rounds, &reads, (delivered, kept), &doctor))
}

/// How many deliveries history says were delivered.
async fn recorded(client: &Client) -> anyhow::Result<u64> {
    let answer = client.get(&["stats"], &[("since", Some("24h"))]).await.map_err(told)?;
    Ok(answer["total"]["deliveries"]["delivered"].as_u64().unwrap_or_default())
}

/// Waits until all is recorded, or given up. The CPU that the recorder has used by then.
async fn until_recorded(stage: &Stage, fleet: usize, client: &Client, count: u64) -> anyhow::Result<Duration> {
    let began = Instant::now();
    while recorded(client).await? < count && began.elapsed() < RECORDED_WITHIN {
        sleep(LOOK_PAUSE).await;
    }
    stage.fleets[fleet].cpu_of(RECORDER)
}

/// Latencies by what was read.
async fn read(client: &Client, size: &Size) -> anyhow::Result<Vec<(&'static str, Latency)>> {
    let page = client
        .get(&["deliveries"], &[("limit", Some("200"))])
        .await
        .map_err(told)?;
    let items = page["items"].as_array().cloned().unwrap_or_default();
    let ids: Vec<&str> = items.iter().filter_map(|item| item["id"].as_str()).collect();
    anyhow::ensure!(!ids.is_empty(), "history lists nothing");
    let (rate, count) = (size.of("rate"), size.of("rate") * size.of("seconds"));
    let began = Instant::now();
    let pace = Pace { events: count, rate };
    let mut open = FuturesUnordered::new();
    let mut times: Vec<Vec<u32>> = vec![Vec::new(); READS.len()];
    let mut ticks = ticks(began, pace);
    loop {
        let number = tokio::select! {
            tick = ticks.recv() => match tick {
                Some(number) => number,
                None => break,
            },
            Some(done) = open.next(), if !open.is_empty() => {
                note(&mut times, done)?;
                continue;
            }
        };
        let due = began + pace.at(number);
        let kind = usize::try_from(number).unwrap_or_default() % READS.len();
        let id = ids[usize::try_from(number).unwrap_or_default() % ids.len()];
        let name = format!("bench-{}", number % size.of("integrations"));
        open.push(async move {
            let limit = [("limit", Some("50"))];
            let answer = match kind {
                0 => client.get(&["deliveries"], &limit).await,
                1 => client.get(&["integrations", &name, "deliveries"], &limit).await,
                2 => client.get(&["deliveries", id], &[]).await,
                3 => client.get(&["integrations"], &limit).await,
                4 => client.get(&["integrations", &name], &[]).await,
                _ => client.get(&["stats"], &[]).await,
            };
            (kind, due.elapsed(), answer.map(|_| ()).map_err(told))
        });
    }
    while let Some(done) = open.next().await {
        note(&mut times, done)?;
    }
    let all: Vec<u32> = times.iter().flatten().copied().collect();
    let mut shown: Vec<(&'static str, Latency)> = READS
        .iter()
        .zip(times)
        .map(|(name, times)| (*name, Latency::of(times)))
        .collect();
    shown.push(("all", Latency::of(all)));
    Ok(shown)
}

/// The numbers of a pace, each when it is due. From a thread of its own: a timer of the runtime is late by up to a
/// millisecond, which would be measured with every read.
#[expect(
    clippy::disallowed_methods,
    reason = "it sleeps on a thread of its own, where no runtime is"
)]
fn ticks(began: Instant, pace: Pace) -> mpsc::UnboundedReceiver<u64> {
    let (ticked, ticks) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for number in 0..pace.events {
            let due = began + pace.at(number);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if ticked.send(number).is_err() {
                return;
            }
        }
    });
    ticks
}

fn note(times: &mut [Vec<u32>], done: (usize, Duration, anyhow::Result<()>)) -> anyhow::Result<()> {
    let (kind, took, answered) = done;
    answered?;
    times[kind].push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    Ok(())
}

fn judge(
    size: &Size,
    rounds: &[Round],
    reads: &[(&'static str, Latency)],
    (delivered, kept): (u64, u64),
    doctor: &Value,
) -> Findings {
    let legs: Vec<Leg> = rounds.iter().map(|round| round.leg.clone()).collect();
    let over = |of: &dyn Fn(&Round) -> f64| median(rounds.iter().map(of).collect());
    let ratio = over(&|round| round.recorder_cpu_s_per_1000() / round.path_cpu_s_per_1000());
    let lost: u64 = legs.iter().map(Leg::lost).sum();
    let mut found = Findings::new(Promise::History, size);
    found.figure("lost", lost);
    found.figure("path_and_recorder", leg::view(&legs));
    found.figure("recorder_cpu_s_per_1000", over(&Round::recorder_cpu_s_per_1000));
    found.figure("path_cpu_s_per_1000", over(&Round::path_cpu_s_per_1000));
    found.figure("cpu_ratio", ratio);
    found.figure("recorded_after_s", over(&|round| round.behind.as_secs_f64()));
    let view = |latency: &Latency| json!({ "p50": latency.p50, "p99": latency.p99, "max": latency.max });
    for (name, latency) in reads {
        found.figure(&format!("read_{name}_ms"), view(latency));
    }
    found.ledger(doctor);
    found.always("no delivery is lost", lost, lost == 0);
    found.always("history has each delivery once", [delivered, kept], delivered == kept);
    found.aim(
        format!("CPU of the recorder within {CPU_RATIO} × of the path, for each delivery"),
        ratio,
        ratio <= CPU_RATIO,
    );
    let p99 = reads.last().map_or(f64::NAN, |(_, latency)| latency.p99);
    found.aim(
        format!("reads within {READ_P99_MS} ms at p99, at {} a second", size.of("rate")),
        p99,
        p99 <= READ_P99_MS,
    );
    found
}
