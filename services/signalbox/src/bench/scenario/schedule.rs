//! `schedule`: when the retries of failing deliveries arrive, against the schedule that is configured, while the worker
//! and the server are restarted.
//!
//! Other events of the integration are taken all the while, so that it counts as well.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    super::{
        fleet::{CORE, WORKER},
        publisher::Pace,
    },
    Promise, Size, Stage,
    findings::Findings,
    witness::{Answer, Arrival},
};

pub(super) const SIZES: &[(&str, u64, u64)] = &[("events", 25, 100), ("rate", 100, 100)];

const EVENT: &str = "bench.retried";
const STEPS_SMALL: [u64; 4] = [1, 2, 4, 8];
const STEPS_FULL: [u64; 5] = [5, 10, 20, 40, 80];
/// One event in so many fails.
const FAILING_EVERY: u64 = 20;
/// What the schedule may be varied by.
const JITTER: f64 = 0.2;
/// Promised beyond that. Early is what clocks and rounding make.
const LATE_MAX_S: f64 = 1.0;
const EARLY_MAX_S: f64 = 0.05;
/// What is waited for behind the last step.
const MARGIN: Duration = Duration::from_secs(5);

/// A time in which something was away, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Outage {
    begin_us: u64,
    end_us: u64,
}

pub(super) async fn play(stage: &mut Stage, size: &Size) -> anyhow::Result<Findings> {
    let (failing, rate) = (size.of("events"), size.of("rate"));
    let steps: &[u64] = if size.full { &STEPS_FULL } else { &STEPS_SMALL };
    let fleet = stage.raise(&[CORE, WORKER], &[]).await?;
    let schedule: Vec<String> = steps.iter().map(|step| format!("{step}s")).collect();
    let retried = stage.integration(0, EVENT, json!({ "retry": { "schedule": schedule } }));
    stage.apply(fleet, &[retried]).await?;
    let run = stage.witness.begin(failing * FAILING_EVERY * 2);
    let answer = Answer::Fails {
        run,
        every: FAILING_EVERY,
        below: failing * FAILING_EVERY,
    };
    stage.witness.answer(0, answer);

    // The failing ones come first; the others go on until the last retry is due.
    let first = Pace {
        events: failing * FAILING_EVERY,
        rate,
    };
    let first_s = first.at(first.events).as_secs();
    let all_s = ((steps.iter().sum::<u64>() as f64) * (1.0 + JITTER)).ceil() as u64;
    let until_server = Pace {
        events: first.events + rate * all_s / 2,
        rate,
    };
    let after = Pace {
        events: rate * (all_s.div_ceil(2) + MARGIN.as_secs()),
        rate,
    };
    stage.say(format!("{failing} failing deliveries, schedule {}", schedule.join(" ")));
    let mut load = stage.load(fleet).await?;
    let publishing = load.publish(run, until_server, |_| EVENT.to_owned());
    let restarting = async {
        sleep(Duration::from_secs(first_s + all_s / 4)).await;
        let begin_us = stage.witness.now_us();
        for worker in stage.fleets[fleet].members(WORKER) {
            stage.fleets[fleet].restart(worker).await?;
        }
        let end_us = stage.witness.now_us();
        anyhow::Ok(Outage { begin_us, end_us })
    };
    let (published, worker) = tokio::join!(publishing, restarting);
    published?;
    let begin_us = stage.witness.now_us();
    stage.fleets[fleet].restart_server().await?;
    let server = Outage {
        begin_us,
        end_us: stage.witness.now_us(),
    };
    let outages = [worker?, server];
    let later = stage.witness.begin(after.events);
    let mut load = stage.load(fleet).await?;
    load.publish(later, after, |_| EVENT.to_owned()).await?;
    let attempts = failing * (steps.len() as u64 + 1);
    let is_failing = |arrival: &&Arrival| !arrival.taken;
    stage
        .until(super::PATIENCE, |book| {
            book.of(run).filter(is_failing).count() as u64 >= attempts
        })
        .await;
    let owed = until_server.events - failing + after.events;
    stage.complete(fleet, run, until_server.events - failing).await?;
    stage.complete(fleet, later, after.events).await?;

    let (delivered, refused) = stage.witness.book(|book| {
        let refused: Vec<Arrival> = book.of(run).filter(is_failing).copied().collect();
        (book.delivered(run) + book.delivered(later), refused)
    });
    let doctor = stage.settled(fleet, Some(0)).await?;
    let mut found = Findings::new(Promise::Schedule, size);
    found.figure("lost", owed - delivered.min(owed));
    Ok(judge(found, &refused, steps, &outages, failing, &doctor))
}

/// The gaps behind one attempt.
#[derive(Debug, Default, Serialize)]
struct Step {
    configured_s: f64,
    gaps: u64,
    least_s: f64,
    mean_s: f64,
    most_s: f64,
    /// How far a gap was outside of the schedule and its variation, at most.
    early_s: f64,
    late_s: f64,
    /// Gaps that ended in, or right after, a restart in which they were due.
    due_in_restart: u64,
}

fn judge(
    mut found: Findings,
    refused: &[Arrival],
    steps: &[u64],
    outages: &[Outage],
    failing: u64,
    doctor: &Value,
) -> Findings {
    let seen = gaps(refused, steps, outages);
    let attempts: Vec<usize> = by_event(refused).values().map(Vec::len).collect();
    let wanted = steps.len() + 1;
    let fewer =
        attempts.iter().filter(|count| **count < wanted).count() as u64 + failing.saturating_sub(attempts.len() as u64);
    let again = attempts.iter().filter(|count| **count > wanted).count();
    let late = seen.iter().map(|step| step.late_s).fold(0.0, f64::max);
    let early = seen.iter().map(|step| step.early_s).fold(0.0, f64::max);
    let away: Vec<f64> = outages
        .iter()
        .map(|outage| seconds(outage.begin_us, outage.end_us))
        .collect();
    found.figure("steps", seen.iter().map(|step| json!(step)).collect::<Vec<_>>());
    found.figure("late_most_s", late);
    found.figure("early_most_s", early);
    found.figure("restart_of_worker_and_server_s", away);
    found.figure("with_fewer_attempts", fewer);
    found.figure("with_more_attempts", again);
    found.ledger(doctor);
    found.always("every delivery has all its attempts", fewer, fewer == 0);
    found.always("no retry is early", early, early <= EARLY_MAX_S);
    found.aim(
        format!("every retry within the schedule, its variation and {LATE_MAX_S} s"),
        late,
        late <= LATE_MAX_S,
    );
    found
}

/// The times of each event's attempts.
fn by_event(refused: &[Arrival]) -> BTreeMap<u64, Vec<u64>> {
    let mut of: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for arrival in refused {
        of.entry(arrival.event).or_default().push(arrival.at_us);
    }
    of
}

fn gaps(refused: &[Arrival], steps: &[u64], outages: &[Outage]) -> Vec<Step> {
    let mut seen: Vec<Step> = steps
        .iter()
        .map(|step| Step {
            configured_s: *step as f64,
            least_s: f64::MAX,
            ..Step::default()
        })
        .collect();
    for times in by_event(refused).values() {
        for (step, pair) in seen.iter_mut().zip(times.windows(2)) {
            let [from, to] = *pair else { continue };
            let gap = seconds(from, to);
            let (least, most) = (step.configured_s * (1.0 - JITTER), step.configured_s * (1.0 + JITTER));
            // What was due while something was away is due when that is back.
            let away = outages
                .iter()
                .filter(|outage| {
                    let (begin, end) = (seconds(from, outage.begin_us), seconds(from, outage.end_us));
                    begin <= most && end >= least
                })
                .map(|outage| seconds(from, outage.end_us))
                .fold(0.0, f64::max);
            step.due_in_restart += u64::from(away > 0.0);
            step.gaps += 1;
            step.mean_s += gap;
            step.least_s = step.least_s.min(gap);
            step.most_s = step.most_s.max(gap);
            step.early_s = step.early_s.max(least - gap);
            step.late_s = step.late_s.max(gap - most.max(away));
        }
    }
    for step in &mut seen {
        step.mean_s /= step.gaps.max(1) as f64;
        if step.gaps == 0 {
            step.least_s = 0.0;
        }
    }
    seen
}

/// From one moment to another, which may lie before.
fn seconds(from_us: u64, to_us: u64) -> f64 {
    (to_us as f64 - from_us as f64) / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(event: u64, at_s: f64) -> Arrival {
        Arrival {
            run: 0,
            event,
            integration: 0,
            published_us: 0,
            at_us: Duration::from_secs_f64(at_s).as_micros().try_into().unwrap(),
            delivery: 0,
            taken: false,
            first: false,
        }
    }

    #[test]
    fn what_is_early_or_late_beyond_the_variation_is_seen() {
        let seen = gaps(
            &[refused(1, 0.0), refused(2, 0.0), refused(1, 1.5), refused(2, 0.7)],
            &[1],
            &[],
        );
        assert!((seen[0].late_s - 0.3).abs() < 1e-6, "{seen:?}");
        assert!((seen[0].early_s - 0.1).abs() < 1e-6, "{seen:?}");
        assert_eq!(seen[0].gaps, 2);
    }

    #[test]
    fn what_was_due_in_a_restart_is_due_at_its_end() {
        let outage = Outage {
            begin_us: 900_000,
            end_us: 3_000_000,
        };
        let seen = gaps(&[refused(1, 0.0), refused(1, 3.5)], &[1], &[outage]);
        assert!((seen[0].late_s - 0.5).abs() < 1e-6, "{seen:?}");
        assert_eq!(seen[0].due_in_restart, 1);
        let seen = gaps(
            &[refused(1, 0.0), refused(1, 9.0)],
            &[1, 8],
            &[Outage { begin_us: 0, end_us: 1 }],
        );
        assert!(seen[0].late_s > 7.0);
    }
}
