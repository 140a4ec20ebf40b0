//! One measured run of a scenario: publishing, waiting for what is owed, and what that took.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    super::{
        TAIL,
        fleet::Cpu,
        publisher::Pace,
        report::{Latency, median, per_second, per_thousand},
    },
    Stage,
    load::Load,
    witness::Arrival,
};

/// What a run shall be.
pub(super) struct Plan<'a> {
    pub fleet: usize,
    pub pace: Pace,
    pub type_of: &'a dyn Fn(u64) -> String,
    /// Whether an event is owed to a target that takes it.
    pub is_owed: &'a dyn Fn(u64) -> bool,
}

/// What a run took.
#[derive(Clone, Debug)]
pub(super) struct Leg {
    pub run: u32,
    /// Events published, and those that had to arrive.
    pub events: u64,
    pub owed: u64,
    pub delivered: u64,
    /// From the first publish to the last arrival of what had to arrive.
    pub took: Duration,
    pub latency: Latency,
    pub cpu: Cpu,
    /// CPU of the other fleets meanwhile.
    pub beside: Duration,
}

impl Stage {
    /// Publishes and waits for what is owed.
    pub(super) async fn leg(&mut self, load: &mut Load, plan: &Plan<'_>) -> anyhow::Result<Leg> {
        let events = plan.pace.events;
        let run = self.witness.begin(events);
        let owed = (0..events).filter(|event| (plan.is_owed)(*event)).count() as u64;
        let before = self.cpu(plan.fleet)?;
        let began_us = self.witness.now_us();
        load.publish(run, plan.pace, plan.type_of).await?;
        self.complete_where(plan.fleet, run, owed, plan.is_owed).await?;
        // Acknowledgements and outcomes that are still held belong to the cost.
        sleep(TAIL).await;
        let after = self.cpu(plan.fleet)?;
        let arrivals: Vec<Arrival> = self.witness.book(|book| {
            let first = book
                .of(run)
                .filter(|arrival| arrival.first && (plan.is_owed)(arrival.event));
            first.copied().collect()
        });
        let last_us = arrivals.iter().map(|arrival| arrival.at_us).max().unwrap_or(began_us);
        Ok(Leg {
            run,
            events,
            owed,
            delivered: arrivals.len() as u64,
            took: Duration::from_micros(last_us - began_us),
            latency: latency(&arrivals),
            cpu: after.0.since(before.0),
            beside: after.1.saturating_sub(before.1),
        })
    }

    /// As [`Stage::complete`], where targets of other events may take some of theirs.
    async fn complete_where(
        &mut self,
        fleet: usize,
        run: u32,
        owed: u64,
        is_owed: &dyn Fn(u64) -> bool,
    ) -> anyhow::Result<()> {
        let mut expected = owed;
        loop {
            self.complete(fleet, run, expected).await?;
            let (delivered, of_owed) = self.witness.book(|book| {
                let first = book.of(run).filter(|arrival| arrival.first && is_owed(arrival.event));
                (book.delivered(run), first.count() as u64)
            });
            // Enough, or given up.
            if of_owed >= owed || delivered < expected {
                return Ok(());
            }
            expected = delivered + (owed - of_owed);
        }
    }

    /// CPU of a fleet, and of all others.
    fn cpu(&self, fleet: usize) -> anyhow::Result<(Cpu, Duration)> {
        let mut beside = Duration::ZERO;
        for (number, other) in self.fleets.iter().enumerate() {
            if number != fleet {
                beside += other.cpu()?.total();
            }
        }
        Ok((self.fleets[fleet].cpu()?, beside))
    }
}

impl Leg {
    pub(super) fn lost(&self) -> u64 {
        self.owed - self.delivered
    }

    /// Events published a second until the last one that had to arrive did.
    pub(super) fn events_per_s(&self) -> f64 {
        per_second(self.events, self.took)
    }

    /// CPU seconds of all processes of the fleet for each 1,000 events.
    pub(super) fn cpu_s_per_1000(&self) -> f64 {
        per_thousand(self.cpu.total(), self.events)
    }
}

/// Latency of arrivals.
pub(super) fn latency<'a>(arrivals: impl IntoIterator<Item = &'a Arrival>) -> Latency {
    let micros = |arrival: &Arrival| arrival.at_us.saturating_sub(arrival.published_us);
    Latency::of(
        arrivals
            .into_iter()
            .map(|arrival| u32::try_from(micros(arrival)).unwrap_or(u32::MAX))
            .collect(),
    )
}

/// Medians over legs of one kind, and each of them.
pub(super) fn view(legs: &[Leg]) -> Value {
    json!({
        "events": legs.iter().map(|leg| leg.events).sum::<u64>(),
        "lost": legs.iter().map(Leg::lost).sum::<u64>(),
        "events_per_s": over(legs, Leg::events_per_s),
        "latency_ms": {
            "p50": over(legs, |leg| leg.latency.p50),
            "p99": over(legs, |leg| leg.latency.p99),
            "max": over(legs, |leg| leg.latency.max),
        },
        "cpu_s_per_1000": over(legs, Leg::cpu_s_per_1000),
        "p99_ms_by_round": legs.iter().map(|leg| leg.latency.p99).collect::<Vec<_>>(),
        "events_per_s_by_round": legs.iter().map(Leg::events_per_s).collect::<Vec<_>>(),
    })
}

/// The median of something over legs.
pub(super) fn over(legs: &[Leg], of: impl Fn(&Leg) -> f64) -> f64 {
    median(legs.iter().map(of).collect())
}

/// The median over pairs of legs of a ratio.
pub(super) fn ratio(above: &[Leg], below: &[Leg], of: impl Fn(&Leg) -> f64) -> f64 {
    median(above.iter().zip(below).map(|(a, b)| of(a) / of(b)).collect())
}

/// The median over pairs of legs of a difference.
pub(super) fn more(above: &[Leg], below: &[Leg], of: impl Fn(&Leg) -> f64) -> f64 {
    median(above.iter().zip(below).map(|(a, b)| of(a) - of(b)).collect())
}

/// The share of one core that the other fleets used while these were measured.
pub(super) fn beside(legs: &[Leg]) -> f64 {
    let used: Duration = legs.iter().map(|leg| leg.beside).sum();
    let took: Duration = legs.iter().map(|leg| leg.took).sum();
    if took.is_zero() {
        0.0
    } else {
        used.as_secs_f64() / took.as_secs_f64()
    }
}
