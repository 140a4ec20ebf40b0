//! `parked`: very many deliveries of very many integrations wait in PARKED; everything is restarted, one recovers.
//!
//! Every event matches every integration, so that few events make many deliveries.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use signalbox_proto::subjects;
use tokio::time::{Instant, sleep};

use super::{
    super::{
        args::Open,
        fleet::{CORE, WORKER, told},
        publisher::Pace,
    },
    Promise, Size, Stage,
    findings::Findings,
    limit,
    witness::{Answer, Arrival},
};

pub(super) const SIZES: &[(&str, u64, u64)] = &[
    ("integrations", 500, 10_000),
    ("owed", 50_000, 1_000_000),
    ("per_minute", 60, 60),
];

const EVENT: &str = "bench.all";
/// The one that recovers.
const RECOVERS: u64 = 0;
/// Promised of the restart.
const READY: Duration = Duration::from_secs(15);
/// Pauses asked for at once.
const PAUSES_AT_ONCE: usize = 16;
/// How long parking may take beside a time for each delivery.
const PARK_TIMEOUT: Duration = Duration::from_secs(180);
const PARK_TIMEOUT_EACH: Duration = Duration::from_millis(2);
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// Stretches in which the rate of the one that recovers is looked at, in microseconds.
const SECOND_US: u64 = 1_000_000;

pub(super) async fn play(stage: &mut Stage, size: &Size) -> anyhow::Result<Findings> {
    let (integrations, owed, per_minute) = (size.of("integrations"), size.of("owed"), size.of("per_minute"));
    let events = owed / integrations;
    anyhow::ensure!(
        events > 0,
        "--owed: {owed} is below one for each of {integrations} integrations"
    );
    let owed = events * integrations;
    let fleet = stage.raise(&[CORE, WORKER], &[]).await?;
    let list: Vec<Value> = (0..integrations)
        .map(|number| {
            let limit = json!({ "rate_limit": { "per_minute": per_minute } });
            let more = if number == RECOVERS { limit } else { Value::Null };
            stage.integration(number, EVENT, more)
        })
        .collect();
    stage.apply(fleet, &list).await?;
    match size.open {
        Open::Pause => pause(stage, fleet, integrations).await?,
        Open::Breaker => (0..integrations).for_each(|number| stage.witness.answer(number, Answer::Status(503))),
    }
    let gates = baseline(stage, fleet).await?;
    stage.say(format!("parking {owed} deliveries"));
    let began = Instant::now();
    let run = stage.witness.begin(events);
    let mut load = stage.load(fleet).await?;
    load.publish(run, Pace { events, rate: 0 }, |_| EVENT.to_owned())
        .await?;
    drop(load);
    let in_lanes = wait_until_parked(stage, fleet, gates, owed, integrations).await?;
    let parking = began.elapsed();

    stage.say("restarting everything");
    stage.fleets[fleet].stop().await?;
    let began = Instant::now();
    stage.fleets[fleet].launch().await?;
    let ready = began.elapsed();
    let (lanes, parked) = held(stage, fleet).await?;
    let waiting = (lanes + parked).saturating_sub(gates);

    stage.say("one integration recovers");
    stage.witness.answer(RECOVERS, Answer::Ok);
    let recovered_us = stage.witness.now_us();
    if size.open == Open::Pause {
        resume(stage, fleet).await?;
    }
    stage.complete(fleet, run, events).await?;
    let taken: Vec<Arrival> = stage.witness.book(|book| {
        let taken = book.of(run).filter(|arrival| arrival.first);
        taken.copied().collect()
    });
    let doctor = stage.settled(fleet, Some(owed - events)).await?;
    let began = Instant::now();
    stage.doctor(fleet).await?;
    let doctor_took = began.elapsed();

    let times: Vec<u64> = taken.iter().map(|arrival| arrival.at_us).collect();
    let (first, last) = (times.iter().min().copied(), times.iter().max().copied());
    let others = taken.iter().filter(|arrival| arrival.integration != RECOVERS).count();
    let lost = events - (taken.len() as u64).min(events);
    let mut found = Findings::new(Promise::Parked, size);
    found.figure("deliveries", owed);
    found.figure("scheduled_when_parked", in_lanes);
    found.figure("parking_s", parking.as_secs_f64());
    found.figure("ready_s", ready.as_secs_f64());
    found.figure("waiting_after_the_restart", waiting);
    found.figure("lost", lost);
    let since_recovery = |at: Option<u64>| at.map(|at| at.saturating_sub(recovered_us) as f64 / 1e6);
    found.figure(
        "recovered",
        json!({
            "delivered": taken.len(),
            "duplicates": stage.witness.book(|book| book.again(run)),
            "first_after_s": since_recovery(first),
            "last_after_s": since_recovery(last),
            "most_in_10_s": busiest(&times, 10 * SECOND_US),
            "most_in_1_s": busiest(&times, SECOND_US),
        }),
    );
    found.figure("doctor_s", doctor_took.as_secs_f64());
    found.figure("waiting", &doctor["waiting"]["providers"]);
    found.ledger(&doctor);
    found.always("nothing that waits is lost by the restart", waiting, waiting >= owed);
    found.always("all of the one that recovers is delivered", lost, lost == 0);
    found.always("nothing of the others is", others, others == 0);
    let walls: Vec<f64> = times.iter().map(|at| stage.witness.wall_s(*at)).collect();
    let most = limit::minutes(&walls, 0.0).iter().map(|minute| minute.requests).max();
    let allowed = per_minute + limit::most_over(per_minute, 1);
    found.always(
        format!("it drains at its own rate, at most {allowed} in a clock minute"),
        most,
        most.is_some_and(|most| most <= allowed),
    );
    if in_lanes > 2 * integrations {
        found.warn(format!(
            "{in_lanes} deliveries were scheduled, not parked, when everything was restarted"
        ));
    }
    found.aim(
        format!("all is ready within {} s after the restart", READY.as_secs()),
        ready.as_secs_f64(),
        ready <= READY,
    );
    Ok(found)
}

async fn pause(stage: &mut Stage, fleet: usize, integrations: u64) -> anyhow::Result<()> {
    stage.say(format!("pausing {integrations} integrations"));
    let api = stage.fleets[fleet].api()?;
    futures::stream::iter(0..integrations)
        .map(|number| {
            let api = &api;
            async move {
                let name = format!("bench-{number}");
                api.post(&["integrations", &name, "pause"], &[], &json!({}))
                    .await
                    .map_err(told)
            }
        })
        .buffer_unordered(PAUSES_AT_ONCE)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    stage.in_force(fleet).await
}

async fn resume(stage: &Stage, fleet: usize) -> anyhow::Result<()> {
    let name = format!("bench-{RECOVERS}");
    let api = stage.fleets[fleet].api()?;
    let answer = api.post(&["integrations", &name, "resume"], &[], &json!({})).await;
    answer.map(|_| ()).map_err(told)
}

/// Messages that hold deliveries: on their way to workers or scheduled, and parked.
async fn held(stage: &Stage, fleet: usize) -> anyhow::Result<(u64, u64)> {
    let lanes = subjects::deliver_stream(&"webhook".parse()?);
    Ok((
        stage.messages(fleet, &lanes).await?,
        stage.messages(fleet, subjects::PARKED).await?,
    ))
}

/// What PARKED holds when nothing is on its way: the gates.
async fn baseline(stage: &mut Stage, fleet: usize) -> anyhow::Result<u64> {
    loop {
        let (lanes, parked) = held(stage, fleet).await?;
        if lanes == 0 {
            return Ok(parked);
        }
        stage.fleets[fleet].check()?;
        sleep(super::LOOK_PAUSE).await;
    }
}

/// Waits until all is held, and next to nothing of it in the lanes; gives what is there and what is not parked.
async fn wait_until_parked(
    stage: &mut Stage,
    fleet: usize,
    gates: u64,
    owed: u64,
    integrations: u64,
) -> anyhow::Result<u64> {
    let deadline = PARK_TIMEOUT + PARK_TIMEOUT_EACH.saturating_mul(u32::try_from(owed)?);
    let began = Instant::now();
    loop {
        let (lanes, parked) = held(stage, fleet).await?;
        let now = (lanes + parked).saturating_sub(gates);
        // A probe for each integration, and a notice or two, are no more than that.
        if now >= owed && lanes <= 2 * integrations {
            return Ok(lanes);
        }
        if began.elapsed() > deadline {
            anyhow::ensure!(
                now >= owed,
                "{now} of {owed} deliveries wait after {} s",
                deadline.as_secs()
            );
            return Ok(lanes);
        }
        stage.fleets[fleet].check()?;
        sleep(LOOK_PAUSE).await;
    }
}

/// The most moments in any stretch of this length.
fn busiest(times: &[u64], stretch: u64) -> u64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let mut begin = 0;
    let mut most = 0;
    for (end, time) in sorted.iter().enumerate() {
        while sorted[begin] + stretch <= *time {
            begin += 1;
        }
        most = most.max(end + 1 - begin);
    }
    most as u64
}

#[cfg(test)]
mod tests {
    use super::busiest;

    #[test]
    fn the_busiest_stretch_is_found_wherever_it_begins() {
        assert_eq!(busiest(&[], 10), 0);
        assert_eq!(busiest(&[0, 5, 10, 11, 12, 30], 10), 4);
    }
}
