//! `failing`: very many integrations of which one in a hundred fails, in every way there is, against all healthy.
//!
//! Each event matches one integration, in turns over all of them, the failing ones included.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    super::{
        fleet::{CORE, WORKER},
        publisher::Pace,
    },
    Promise, Size, Stage,
    findings::Findings,
    leg::{self, Leg, Plan},
    neighbours::{BESIDE_MAX, REFUSED_URL},
    witness::Answer,
};

pub(super) const SIZES: &[(&str, u64, u64)] = &[
    ("integrations", 2_000, 100_000),
    ("events", 20_000, 200_000),
    ("rounds", 1, 5),
];

/// One in so many fails.
const FAILING_EVERY: u64 = 100;
/// How long a slow target takes.
const SLOW: Duration = Duration::from_secs(5);
/// Promised against all healthy.
const EVENTS_RATIO: f64 = 0.85;
const CPU_RATIO: f64 = 1.3;
/// The ways to fail. Nobody listens where requests are refused.
const WAYS: [Option<Answer>; 8] = [
    None,
    Some(Answer::Status(500)),
    Some(Answer::Status(404)),
    Some(Answer::Status(410)),
    Some(Answer::Hang),
    Some(Answer::Slow(SLOW)),
    Some(Answer::Reset),
    Some(Answer::Redirect),
];

pub(super) async fn play(stage: &mut Stage, size: &Size) -> anyhow::Result<Findings> {
    let integrations = size.of("integrations");
    // Paths of the second fleet's targets come behind those of the first.
    let mut fleets = Vec::new();
    for fails in [true, false] {
        let base = if fails { 0 } else { integrations };
        let mut list = Vec::new();
        for number in 0..integrations {
            let more = match way(number).filter(|_| fails) {
                None => Value::Null,
                Some(None) => json!({ "config": { "url": REFUSED_URL } }),
                Some(Some(answer)) => {
                    stage.witness.answer(base + number, answer);
                    Value::Null
                }
            };
            list.push(stage.integration(base + number, &format!("bench.t{number}"), more));
        }
        let fleet = stage.raise(&[CORE, WORKER], &[]).await?;
        stage.apply(fleet, &list).await?;
        fleets.push(fleet);
    }
    let mut loads = Vec::new();
    for fleet in &fleets {
        loads.push(stage.load(*fleet).await?);
    }
    let mut legs: [Vec<Leg>; 2] = Default::default();
    // The first one opens connections, and is not counted.
    for round in 0..=size.of("rounds") {
        stage.say(format!("round {round} of {}", size.of("rounds")));
        for ((fleet, load), legs) in fleets.iter().zip(&mut loads).zip(&mut legs) {
            let events = if round == 0 {
                integrations.min(2_000)
            } else {
                size.of("events")
            };
            let plan = Plan {
                fleet: *fleet,
                pace: Pace { events, rate: 0 },
                type_of: &|event| format!("bench.t{}", event % integrations),
                // Those that fail in one fleet are waited for in neither, so that both are measured alike.
                is_owed: &|event| way(event % integrations).is_none(),
            };
            let leg = stage.leg(load, &plan).await?;
            if round > 0 {
                legs.push(leg);
            }
        }
    }
    let doctor = stage.settled(fleets[0], None).await?;
    Ok(judge(stage, size, &legs, &doctor))
}

/// How an integration fails in the fleet in which some do; `None` for a healthy one.
fn way(number: u64) -> Option<Option<Answer>> {
    if !number.is_multiple_of(FAILING_EVERY) {
        return None;
    }
    let ways = WAYS.len() as u64;
    let way = usize::try_from(number / FAILING_EVERY % ways).expect("there are eight");
    Some(WAYS[way])
}

fn judge(stage: &Stage, size: &Size, [failing, healthy]: &[Vec<Leg>; 2], doctor: &Value) -> Findings {
    let lost: u64 = failing.iter().chain(healthy).map(Leg::lost).sum();
    let again: u64 = (failing.iter().chain(healthy))
        .map(|leg| stage.witness.book(|book| book.again(leg.run)))
        .sum();
    let events = leg::ratio(failing, healthy, Leg::events_per_s);
    let cpu = leg::ratio(failing, healthy, Leg::cpu_s_per_1000);
    let beside = leg::beside(healthy);
    let mut found = Findings::new(Promise::Failing, size);
    found.figure("failing_integrations", size.of("integrations").div_ceil(FAILING_EVERY));
    found.figure("lost", lost);
    found.figure("duplicates", again);
    found.figure("one_in_a_hundred_failing", leg::view(failing));
    found.figure("all_healthy", leg::view(healthy));
    found.figure("events_per_s_ratio", events);
    found.figure("cpu_ratio", cpu);
    found.figure("cores_used_beside_the_healthy_run", beside);
    found.figure("waiting", &doctor["waiting"]["providers"]);
    found.ledger(doctor);
    found.always("no delivery of the healthy ones is lost", lost, lost == 0);
    found.aim(
        format!("fresh events a second at least {EVENTS_RATIO} × of all healthy"),
        events,
        events >= EVENTS_RATIO,
    );
    found.aim(
        format!("CPU for each delivery within {CPU_RATIO} × of all healthy"),
        cpu,
        cpu <= CPU_RATIO,
    );
    if beside > BESIDE_MAX {
        found.warn(format!(
            "the fleet with failing ones used {beside:.2} of a core while the healthy one was measured: the ratios flatter"
        ));
    }
    found
}
