//! `neighbours`: integrations of one provider, two of which are in trouble: one dead with deliveries owed, one that hangs.
//!
//! The healthy ones are measured in that fleet and in one without the two, in turns: first as fast as it goes, for the
//! throughput, then at a rate, for the latency. In the fleet with the two, they get their equal share of the events.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    super::{
        fleet::{CORE, WORKER},
        publisher::Pace,
    },
    Promise, Size, Stage,
    findings::Findings,
    leg::{self, Leg, Plan},
    load::Load,
    memory::Memory,
    witness::Answer,
};

pub(super) const SIZES: &[(&str, u64, u64)] = &[
    ("integrations", 20, 20),
    ("owed", 5_000, 100_000),
    ("events", 10_000, 100_000),
    ("rate", 200, 1_000),
    ("seconds", 10, 20),
    ("rounds", 1, 5),
];

/// Promised: latency and throughput of the healthy ones against a run without the others.
const P99_RATIO: f64 = 1.25;
const P99_MORE_MS: f64 = 1.0;
const THROUGHPUT_RATIO: f64 = 0.9;
/// How long what is owed may take to find its place, beside a millisecond each.
const OWED_TIMEOUT: Duration = Duration::from_secs(120);
const LOOK_PAUSE: Duration = Duration::from_secs(2);
/// Nobody listens there.
pub(super) const REFUSED_URL: &str = "http://127.0.0.1:1/";
/// The one that hangs is owed one delivery for so many of the dead one.
const HANGING_SHARE: u64 = 50;
/// A share of a core that the fleet which is not measured may use before that is warned of.
pub(super) const BESIDE_MAX: f64 = 0.05;

pub(super) async fn play(stage: &mut Stage, size: &Size) -> anyhow::Result<Findings> {
    let integrations = size.of("integrations");
    anyhow::ensure!(integrations > 2, "--integrations: {integrations} is below 3");
    let healthy = integrations - 2;
    let (dead, hanging) = (healthy, healthy + 1);
    let list: Vec<Value> = (0..healthy)
        .map(|number| stage.integration(number, &event_type(number), Value::Null))
        .collect();
    let troubled = [
        stage.integration(dead, &event_type(dead), json!({ "config": { "url": REFUSED_URL } })),
        stage.integration(hanging, &event_type(hanging), Value::Null),
    ];
    stage.witness.answer(hanging, Answer::Hang);

    let without = stage.raise(&[CORE, WORKER], &[]).await?;
    stage.apply(without, &list).await?;
    let with = stage.raise(&[CORE, WORKER], &[]).await?;
    stage.apply(with, &list).await?;
    stage.apply(with, &troubled).await?;

    let mut loads = [stage.load(with).await?, stage.load(without).await?];
    warm_up(stage, &mut loads, [with, without], healthy).await?;
    stage.say("publishing what the dead one is owed");
    let memory = Memory::watch(&stage.fleets[with])?;
    let owed = size.of("owed");
    let owing = stage.witness.begin(0);
    let pace = Pace {
        events: owed + owed / HANGING_SHARE,
        rate: 0,
    };
    let type_of = |event| event_type(if event < owed { dead } else { hanging });
    loads[0].publish(owing, pace, type_of).await?;
    let mut measured = Measured::default();
    let fast = Pace {
        events: size.of("events"),
        rate: 0,
    };
    let even = Pace {
        events: size.of("rate") * size.of("seconds"),
        rate: size.of("rate"),
    };
    let (of_healthy, is_healthy) = (|event| event_type(event % healthy), |_| true);
    let meanwhile = Plan {
        fleet: with,
        pace: even,
        type_of: &of_healthy,
        is_owed: &is_healthy,
    };
    measured.meanwhile.push(stage.leg(&mut loads[0], &meanwhile).await?);
    wait_until_owed(stage, with, owed).await?;
    for round in 1..=size.of("rounds") {
        for (pace, legs) in [
            (fast, [&mut measured.fast_with, &mut measured.fast_without]),
            (even, [&mut measured.even_with, &mut measured.even_without]),
        ] {
            let whom = [(with, integrations), (without, healthy)];
            for (((fleet, types), load), legs) in whom.into_iter().zip(&mut loads).zip(legs) {
                stage.say(format!("round {round} of {}", size.of("rounds")));
                let plan = Plan {
                    fleet,
                    pace,
                    type_of: &|event| event_type(event % types),
                    is_owed: &|event| event % types < healthy,
                };
                legs.push(stage.leg(load, &plan).await?);
            }
        }
    }
    let doctor = stage.settled(with, None).await?;
    judge(stage, size, &measured, &memory, &doctor)
}

#[derive(Default)]
struct Measured {
    /// While what the dead one is owed comes in, is tried and is put aside.
    meanwhile: Vec<Leg>,
    fast_with: Vec<Leg>,
    fast_without: Vec<Leg>,
    even_with: Vec<Leg>,
    even_without: Vec<Leg>,
}

fn event_type(number: u64) -> String {
    format!("bench.t{number}")
}

/// Waits until what the dead one is owed has been tried or put aside: nothing waits for a worker any more.
async fn wait_until_owed(stage: &mut Stage, fleet: usize, owed: u64) -> anyhow::Result<()> {
    stage.say("waiting until what is owed has found its place");
    let deadline = OWED_TIMEOUT + Duration::from_millis(owed);
    let began = Instant::now();
    loop {
        let pending = stage.doctor(fleet).await?["waiting"]["providers"]["webhook"]["pending"].as_u64();
        // Those that hang are held by the worker.
        if pending.unwrap_or_default() <= owed / HANGING_SHARE {
            return Ok(());
        }
        anyhow::ensure!(
            began.elapsed() < deadline,
            "{pending:?} deliveries still wait for a worker after {} s",
            deadline.as_secs()
        );
        stage.fleets[fleet].check()?;
        sleep(LOOK_PAUSE).await;
    }
}

/// Opens connections and brings code into memory, in both fleets alike.
async fn warm_up(stage: &mut Stage, loads: &mut [Load; 2], fleets: [usize; 2], healthy: u64) -> anyhow::Result<()> {
    stage.say("warming up");
    for (load, fleet) in loads.iter_mut().zip(fleets) {
        let plan = Plan {
            fleet,
            pace: Pace { events: 1_000, rate: 0 },
            type_of: &|event| event_type(event % healthy),
            is_owed: &|_| true,
        };
        let leg = stage.leg(load, &plan).await?;
        anyhow::ensure!(leg.lost() == 0, "{} of 1,000 events did not arrive", leg.lost());
    }
    Ok(())
}

fn judge(stage: &Stage, size: &Size, measured: &Measured, memory: &Memory, doctor: &Value) -> anyhow::Result<Findings> {
    let Measured {
        meanwhile,
        fast_with,
        fast_without,
        even_with,
        even_without,
    } = measured;
    let legs = || {
        [meanwhile, fast_with, fast_without, even_with, even_without]
            .into_iter()
            .flatten()
    };
    let lost: u64 = legs().map(Leg::lost).sum();
    let again: u64 = legs().map(|leg| stage.witness.book(|book| book.again(leg.run))).sum();
    let p99 = |leg: &Leg| leg.latency.p99;
    let (ratio, more) = (
        leg::ratio(even_with, even_without, p99),
        leg::more(even_with, even_without, p99),
    );
    let throughput = leg::ratio(fast_with, fast_without, Leg::events_per_s);
    let beside = leg::beside(fast_without).max(leg::beside(even_without));
    let (memory, flat) = memory.view();

    let mut found = Findings::new(Promise::Neighbours, size);
    found.figure("lost", lost);
    found.figure("duplicates", again);
    found.figure(
        "at_a_rate",
        json!({ "with": leg::view(even_with), "without": leg::view(even_without) }),
    );
    found.figure(
        "as_fast",
        json!({ "with": leg::view(fast_with), "without": leg::view(fast_without) }),
    );
    found.figure("at_a_rate_while_the_owed_come_in", leg::view(meanwhile));
    found.figure("p99_ratio", ratio);
    found.figure("p99_ms_more", more);
    found.figure("throughput_ratio", throughput);
    found.figure("memory_mb", memory);
    found.figure("cores_used_beside_the_run_without", beside);
    found.figure("waiting", &doctor["waiting"]["providers"]);
    found.ledger(doctor);
    found.always("no delivery of the healthy ones is lost", lost, lost == 0);
    found.aim(
        format!("p99 of the healthy ones within {P99_RATIO} × of the run without, or + {P99_MORE_MS} ms"),
        ratio,
        ratio <= P99_RATIO || more <= P99_MORE_MS,
    );
    found.aim(
        format!("throughput at least {THROUGHPUT_RATIO} × of the run without"),
        throughput,
        throughput >= THROUGHPUT_RATIO,
    );
    found.aim("the worker's memory is flat", flat, flat);
    if beside > BESIDE_MAX {
        found.warn(format!(
            "the fleet with the two used {beside:.2} of a core while the one without was measured: the ratios flatter"
        ));
    }
    Ok(found)
}
