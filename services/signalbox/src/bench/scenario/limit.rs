//! `limit`: worker processes that share the rate limit of one integration, which is owed far more than fits.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    super::{
        fleet::{CORE, Cpu, Roles, WORKER},
        publisher::Pace,
    },
    Promise, Size, Stage,
    findings::Findings,
    witness::Arrival,
};

pub(super) const SIZES: &[(&str, u64, u64)] = &[("workers", 3, 8), ("per_minute", 600, 600), ("owed", 1_500, 5_000)];

const EVENT: &str = "bench.limited";
/// Promised of each whole clock minute.
const MINUTE_PERCENT: f64 = 2.0;
/// What a worker that waits may use of a core: a few hundred wake-ups a minute, and its share of the requests.
const CPU_MAX: f64 = 0.03;
/// How long the fleet is watched before anything is owed.
const IDLE: Duration = Duration::from_secs(5);
/// How long after the publishing everything has found where it waits.
const SETTLE: Duration = Duration::from_secs(3);
/// Seconds of a part of a minute, for the spread.
const PART_S: u64 = 10;

pub(super) async fn play(stage: &mut Stage, size: &Size) -> anyhow::Result<Findings> {
    let (workers, per_minute, owed) = (size.of("workers"), size.of("per_minute"), size.of("owed"));
    let mut layout: Vec<Roles> = vec![CORE];
    layout.extend((0..workers).map(|_| WORKER));
    let fleet = stage.raise(&layout, &[]).await?;
    let limited = stage.integration(0, EVENT, json!({ "rate_limit": { "per_minute": per_minute } }));
    stage.apply(fleet, &[limited]).await?;
    let mut load = stage.load(fleet).await?;

    stage.say("watching the idle workers");
    let idle = used(stage, fleet, IDLE).await?;
    let run = stage.witness.begin(owed);
    // It lasts for minutes anyway: begun with one, each but the last is whole.
    if owed > per_minute {
        stage.say("waiting for the begin of a minute");
        sleep(until_minute(stage)).await;
    }
    let began_us = stage.witness.now_us();
    load.publish(run, Pace { events: owed, rate: 0 }, |_| EVENT.to_owned())
        .await?;
    sleep(SETTLE).await;
    stage.say(format!("{owed} requests at {per_minute} a minute"));
    let before = (stage.fleets[fleet].cpu()?, Instant::now());
    stage.complete(fleet, run, owed).await?;
    let waiting = share(stage.fleets[fleet].cpu()?.since(before.0), before.1.elapsed(), workers);

    let arrivals: Vec<Arrival> = stage.witness.book(|book| book.of(run).copied().collect());
    let times: Vec<f64> = arrivals
        .iter()
        .map(|arrival| stage.witness.wall_s(arrival.at_us))
        .collect();
    let minutes = minutes(&times, stage.witness.wall_s(began_us));
    let (delivered, again) = stage.witness.book(|book| (book.delivered(run), book.again(run)));
    let doctor = stage.settled(fleet, Some(0)).await?;

    let mut found = Findings::new(Promise::Limit, size);
    let lost = owed - delivered.min(owed);
    found.figure("lost", lost);
    found.figure("duplicates", again);
    found.figure(
        "requests_by_minute",
        minutes.iter().map(|minute| minute.requests).collect::<Vec<_>>(),
    );
    found.figure(
        "requests_by_10_s",
        minutes.iter().map(|minute| json!(minute.parts)).collect::<Vec<_>>(),
    );
    found.figure("cores_of_an_idle_worker", idle);
    found.figure("cores_of_a_waiting_worker", waiting);
    found.ledger(&doctor);
    found.always("nothing is lost", lost, lost == 0);
    let most = minutes.iter().map(|minute| minute.requests).max().unwrap_or_default();
    let lease = most_over(per_minute, workers);
    found.figure("allowed_over_the_limit", lease);
    found.always(
        "no clock minute has more requests than the limit and one lease a worker",
        most,
        most <= per_minute + lease,
    );
    let whole: Vec<&Minute> = minutes.iter().filter(|minute| minute.whole).collect();
    let off = |minute: &&Minute| (minute.requests as f64 / per_minute as f64 - 1.0).abs() * 100.0;
    let worst = whole.iter().map(off).fold(0.0, f64::max);
    if whole.is_empty() {
        found.warn("no clock minute was whole: raise --owed");
    } else {
        found.aim(
            format!("each whole clock minute within ± {MINUTE_PERCENT} % of the limit"),
            worst,
            worst <= MINUTE_PERCENT,
        );
        let uneven = whole.iter().map(|minute| minute.uneven()).fold(0.0, f64::max);
        found.aim("each 10 s of a minute within ± 25 % of a sixth", uneven, uneven <= 25.0);
    }
    found.aim(
        format!("a waiting worker uses at most {CPU_MAX} of a core"),
        waiting,
        waiting <= CPU_MAX,
    );
    Ok(found)
}

/// What a lease of tokens may be worth: a fiftieth of the limit, at least one.
pub(super) fn most_over(per_minute: u64, workers: u64) -> u64 {
    (per_minute / 50).max(1) * workers
}

/// The share of a core that each worker uses for a while.
async fn used(stage: &Stage, fleet: usize, time: Duration) -> anyhow::Result<f64> {
    let workers = stage.fleets[fleet].worker_pids().len() as u64;
    let (before, began) = (stage.fleets[fleet].cpu()?, Instant::now());
    sleep(time).await;
    Ok(share(
        stage.fleets[fleet].cpu()?.since(before),
        began.elapsed(),
        workers,
    ))
}

fn share(cpu: Cpu, time: Duration, workers: u64) -> f64 {
    cpu.workers.as_secs_f64() / time.as_secs_f64() / workers as f64
}

/// How long it is until the next clock minute begins.
fn until_minute(stage: &Stage) -> Duration {
    let now = stage.witness.wall_s(stage.witness.now_us());
    Duration::from_secs_f64(60.0 - now % 60.0)
}

/// What a clock minute saw.
#[derive(Debug, PartialEq)]
pub(super) struct Minute {
    pub requests: u64,
    /// By parts of 10 s.
    parts: [u64; 6],
    /// Whether there was something owed in all of it.
    whole: bool,
}

impl Minute {
    /// How far its parts are from a sixth of it, in percent.
    fn uneven(&self) -> f64 {
        let even = self.requests as f64 / self.parts.len() as f64;
        let off = |part: &u64| (*part as f64 / even - 1.0).abs() * 100.0;
        self.parts.iter().map(off).fold(0.0, f64::max)
    }
}

/// Requests by clock minute, from the second at which they were owed.
pub(super) fn minutes(times: &[f64], began_s: f64) -> Vec<Minute> {
    let mut parts: BTreeMap<u64, u64> = BTreeMap::new();
    for time in times {
        *parts.entry(whole_seconds(*time) / PART_S).or_default() += 1;
    }
    let minute_of = |time: f64| whole_seconds(time) / 60;
    let (Some(first), Some(last)) = (
        times.iter().copied().map(minute_of).min(),
        times.iter().copied().map(minute_of).max(),
    ) else {
        return Vec::new();
    };
    (first..=last)
        .map(|minute| {
            let mut of = [0; 6];
            for (part, count) in (minute * 60 / PART_S..).zip(&mut of) {
                *count = parts.get(&part).copied().unwrap_or_default();
            }
            Minute {
                requests: of.iter().sum(),
                parts: of,
                // Begun within its first half second.
                whole: minute < last && began_s < (minute * 60) as f64 + 0.5,
            }
        })
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds of the wall clock since 1970"
)]
fn whole_seconds(time: f64) -> u64 {
    time as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_whole_where_something_was_owed_in_all_of_it() {
        let times: Vec<f64> = (0..90).map(|second| 30.0 + f64::from(second)).collect();
        let seen = minutes(&times, 30.0);
        let requests: Vec<u64> = seen.iter().map(|minute| minute.requests).collect();
        assert_eq!(requests, [30, 60]);
        assert_eq!(
            seen.iter().map(|minute| minute.whole).collect::<Vec<_>>(),
            [false, false]
        );
        assert_eq!(seen[1].parts, [10; 6]);
        let seen = minutes(&times, 0.1);
        assert!(seen[0].whole && !seen[1].whole);
        assert!(seen[1].uneven() < 0.001);
        assert_eq!(minutes(&[], 0.0), []);
    }
}
