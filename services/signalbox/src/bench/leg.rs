//! The measured runs of a round, and what one of them took.

use std::time::{Duration, Instant};

use super::{
    args::{ROUTING_FEW, Scenario, Workload},
    processes::Cpu,
    publisher::Pace,
    report::{self, Cost, Figures, Latency, Memory},
    tally::{Plan, RunId, Tally},
};

/// Events before the first round, so that connections are open and code is in memory.
const WARM_UP_EVENTS: u64 = 1_000;

/// One measured run of a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leg {
    /// Which `up`, `None` for the bare pipeline.
    pub up: Option<usize>,
    pub plan: Plan,
    pub pace: Pace,
    pub name: &'static str,
}

impl Leg {
    /// The same with fewer events, before the first round. None goes to a target that hangs: what such a target holds
    /// is to begin with the first round.
    pub(super) fn warm_up(&self) -> Self {
        let events = self.plan.events.min(WARM_UP_EVENTS);
        Self {
            plan: Plan {
                events,
                types: self.plan.types_answered,
                ..self.plan
            },
            pace: Pace { events, rate: 0 },
            ..*self
        }
    }
}

/// The runs of a round, in their order: the measured path, the bare pipeline, what it is compared with.
pub(super) fn legs(workload: &Workload) -> Vec<Leg> {
    let Workload {
        scenario,
        events,
        rate,
        fanout,
        integrations,
        ..
    } = *workload;
    let types = integrations / fanout;
    let pace = Pace { events, rate };
    let plan = Plan {
        events,
        types,
        fanout,
        types_answered: types,
    };
    let path = Leg {
        up: Some(0),
        plan,
        pace,
        name: "signalbox",
    };
    // The same number of deliveries at the same rate, each of an event of its own.
    let bare_pace = Pace {
        events: events * fanout,
        rate: rate * fanout,
    };
    let bare_plan = Plan {
        events: bare_pace.events,
        types: 1,
        fanout: 1,
        types_answered: 1,
    };
    let bare = Leg {
        up: None,
        plan: bare_plan,
        pace: bare_pace,
        name: "bare pipeline",
    };
    match scenario {
        Scenario::Path | Scenario::Fanout | Scenario::Http | Scenario::Accepted => vec![path, bare],
        Scenario::Hanging => {
            // Every other event is for the target that hangs.
            let pace = Pace {
                events: events * 2,
                rate: rate * 2,
            };
            let plan = Plan {
                events: pace.events,
                types: 2,
                fanout: 1,
                types_answered: 1,
            };
            let beside = Leg {
                plan,
                pace,
                name: "beside one that hangs",
                ..path
            };
            vec![
                beside,
                bare,
                Leg {
                    up: Some(1),
                    name: "alone",
                    ..path
                },
            ]
        }
        Scenario::Routing => {
            let few = Plan {
                types: ROUTING_FEW,
                types_answered: ROUTING_FEW,
                ..plan
            };
            vec![
                path,
                bare,
                Leg {
                    up: Some(1),
                    plan: few,
                    name: "few integrations",
                    ..path
                },
            ]
        }
    }
}

/// What a run took; what arrived is in the tally, where late duplicates are still added.
#[derive(Debug)]
pub(super) struct Measured {
    pub run: RunId,
    pub plan: Plan,
    pub began: Instant,
    pub cpu: Cpu,
    pub rss_mb: Memory,
}

impl Measured {
    /// The figures, with all that has arrived until now.
    pub(super) fn figures(&self, tally: &Tally) -> Figures {
        let seen = tally.seen(self.run);
        let took = seen
            .last_arrival
            .map_or(Duration::ZERO, |last| last.saturating_duration_since(self.began));
        let Cpu {
            signalbox,
            nats_server,
            load,
        } = self.cpu;
        let cost = |cpu| report::per_thousand(cpu, seen.delivered);
        let plan = self.plan;
        // Those whose arrival is expected.
        let events = plan.expected() / plan.fanout;
        Figures {
            events,
            delivered: seen.delivered,
            lost: plan.expected() - seen.delivered.min(plan.expected()),
            duplicates: seen.duplicates,
            misrouted: seen.misrouted,
            events_per_s: report::per_second(events, took),
            deliveries_per_s: report::per_second(seen.delivered, took),
            cpu_s_per_1000: Cost {
                signalbox: cost(signalbox),
                nats_server: cost(nats_server),
                load: cost(load),
                total: cost(signalbox + nats_server + load),
            },
            rss_mb: self.rss_mb,
            latency_ms: Latency::of(seen.latencies_us),
        }
    }
}

#[cfg(test)]
mod tests;
