//! What `signalbox bench` takes.

use std::collections::BTreeMap;

use clap::{Args as ClapArgs, ValueEnum, builder::PossibleValue};

use super::scenario::{Promise, Size};

/// Events of a round at full speed, where none are named.
const EVENTS: u64 = 100_000;
/// Seconds that a round takes at a rate, where no events are named.
const ROUND_SECS: u64 = 20;
/// Events a second of `hanging`, whose latency at full speed would be that of a queue.
const HANGING_RATE: u64 = 200;
/// Integrations that each event reaches in `fanout`.
const FANOUT: u64 = 10;
/// Integrations of `routing`: the few, and the many.
pub(super) const ROUTING_FEW: u64 = 100;
const ROUTING_MANY: u64 = 100_000;
/// Most events of a round: an id carries its number in 32 bits.
const EVENTS_MAX: u64 = 100_000_000;

/// Measure this machine: rate, latency, loss, duplicates, CPU for each 1,000 deliveries.
///
/// Starts a `signalbox up` of its own on a temporary data dir and free ports, with webhook integrations that point
/// to a built-in receiver, and publishes events that carry the time of their publishing. Every arrival is checked off
/// against what was published, so that one lost or repeated delivery shows.
///
/// In the same run, round by round, it measures the bare pipeline: a nats-server, one work queue, and a loop that
/// pulls a message, posts it to the same receiver and acknowledges it. `cpu_ratio` is what Signalbox costs against
/// that, over all processes.
///
/// Further scenarios show what one target that is dead, slow, limited, paused, ordered or batched costs the others.
/// They run each role as a process of its own, break what they are about, and end in a verdict; docs/benchmarks.md
/// says what each shows.
///
/// Exit code 1 when a delivery was lost, or came twice or in a wrong order where it must not.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = "\
Examples:
  signalbox bench
      as fast as possible, 100,000 events
  signalbox bench --rate 500 --events 10000
      latency at 500 events a second
  signalbox bench --rounds 5 --output json
      medians of five interleaved rounds, for a script
  signalbox bench --scenario fanout --fanout 10
      each event reaches ten integrations
  signalbox bench --scenario http
      published over HTTP, one event a request
  signalbox bench --scenario accepted
      the same path without the cost of HTTP
  signalbox bench --scenario hanging
      one target never answers; what its neighbour notices
  signalbox bench --scenario routing
      100 against 100,000 integrations
  signalbox bench --scenario neighbours
      18 targets beside one that is dead and one that hangs, below full size
  signalbox bench --scenario neighbours --full
      the same with 100,000 deliveries owed and five pairs of runs
  signalbox bench --scenario limit --workers 8 --owed 5000
      eight workers share a limit of 600 requests a minute
  signalbox bench --scenario order --seed 7 --output json
      kills and failures as the last time, for a script")]
pub(crate) struct Args {
    /// What to measure.
    #[arg(long, value_enum, default_value_t = Chosen::Path(Scenario::Path))]
    pub scenario: Chosen,

    /// Events of a round [default: 100000; with a rate, what 20 seconds take; else by scenario].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=EVENTS_MAX))]
    pub events: Option<u64>,

    /// Events published a second, evenly; 0 is as fast as possible [default: 0; 200 for `hanging`; else by scenario].
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    pub rate: Option<u64>,

    /// Integrations that each event reaches [default: 1; 10 for `fanout`].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub fanout: Option<u64>,

    /// Integrations in all; a multiple of the fan-out [default: the fan-out; 100000 for `routing`; else by scenario].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub integrations: Option<u64>,

    /// Bytes of each event's data.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(16..=200_000))]
    pub payload_bytes: u32,

    /// Rounds, each of Signalbox and then the bare pipeline, or of the two runs that are compared [default: 1; 5 with
    /// --full]. Rates, latencies and CPU are medians over them; events, deliveries, losses and duplicates are sums.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: Option<u32>,

    #[command(flatten)]
    pub promised: Promised,
}

/// What the scenarios that end in a verdict take besides.
#[derive(Debug, Clone, Default, ClapArgs)]
#[command(next_help_heading = "Scenarios with a verdict")]
pub(crate) struct Promised {
    /// The size that the promise is made for, where nothing else is said.
    #[arg(long)]
    pub full: bool,

    /// Deliveries owed before it begins: to the dead one, parked, limited, or dead letters.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub owed: Option<u64>,

    /// Worker processes.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub workers: Option<u64>,

    /// The limit of the integration that has one, in requests.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub per_minute: Option<u64>,

    /// Keys of order.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub keys: Option<u64>,

    /// How often a process is killed.
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    pub kills: Option<u64>,

    /// How long each measured run at a rate lasts.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: Option<u64>,

    /// Dead letters replayed a second.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub replay_rate: Option<u64>,

    /// Events a second that each org may publish (`ingest.org_per_second`).
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub quota: Option<u64>,

    /// How `parked` makes integrations wait: paused by a person, or held back because their targets fail.
    #[arg(long, value_enum)]
    pub open: Option<Open>,

    /// Plays the chances of an earlier run again.
    #[arg(long)]
    pub seed: Option<u64>,
}

/// Why deliveries are parked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Open {
    /// A person paused the integration.
    #[default]
    Pause,
    /// Its target answers 503 until the breaker opens.
    Breaker,
}

/// A scenario, of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// What the path costs, beside the bare pipeline.
    Path(Scenario),
    /// What is promised, with a verdict.
    Promise(Promise),
}

impl ValueEnum for Chosen {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Chosen; 16] = [
            Chosen::Path(Scenario::Path),
            Chosen::Path(Scenario::Fanout),
            Chosen::Path(Scenario::Http),
            Chosen::Path(Scenario::Accepted),
            Chosen::Path(Scenario::Hanging),
            Chosen::Path(Scenario::Routing),
            Chosen::Promise(Promise::Neighbours),
            Chosen::Promise(Promise::Parked),
            Chosen::Promise(Promise::Limit),
            Chosen::Promise(Promise::Order),
            Chosen::Promise(Promise::Digest),
            Chosen::Promise(Promise::Replay),
            Chosen::Promise(Promise::Failing),
            Chosen::Promise(Promise::Schedule),
            Chosen::Promise(Promise::Orgs),
            Chosen::Promise(Promise::History),
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Path(scenario) => scenario.to_possible_value(),
            Self::Promise(promise) => promise.to_possible_value(),
        }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scenario {
    /// Events published over NATS, the whole way to the target.
    #[default]
    Path,
    /// The same with each event reaching several integrations.
    Fanout,
    /// Events published over HTTP, one a request, up to 64 requests at once.
    ///
    /// The figure of a publisher that uses HTTP. Its ratio has the cost of an HTTP server and a client for each event
    /// in it, which the bare pipeline, publishing over NATS, does not have.
    Http,
    /// The path after acceptance: events put where `POST /v1/events` puts them, without its HTTP.
    ///
    /// Published straight to the stream EVENTS, byte for byte as that request would, so that the ratio is of routing,
    /// delivery and the record of outcomes against the bare pipeline, with neither an HTTP server nor the step that
    /// reads events published over NATS. This is what is published as "over HTTP, the path after acceptance".
    Accepted,
    /// A target that never answers beside a healthy one, each with its events; figures are of the healthy one.
    Hanging,
    /// 100 integrations against many, each event matching one.
    Routing,
}

/// What to do, with every default filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Workload {
    pub scenario: Scenario,
    pub events: u64,
    /// 0 is as fast as possible.
    pub rate: u64,
    pub fanout: u64,
    /// A multiple of `fanout`.
    pub integrations: u64,
    pub payload_bytes: usize,
    pub rounds: u32,
}

impl Args {
    /// The size of a scenario with a verdict. Fails when it does not take an argument that was given.
    pub(super) fn size(&self, promise: Promise) -> anyhow::Result<Size> {
        let more = &self.promised;
        anyhow::ensure!(
            self.fanout.is_none(),
            "--fanout: scenario {} does not take it",
            promise.name()
        );
        let given = [
            ("events", self.events),
            ("rate", self.rate),
            ("integrations", self.integrations),
            ("rounds", self.rounds.map(u64::from)),
            ("owed", more.owed),
            ("workers", more.workers),
            ("per_minute", more.per_minute),
            ("keys", more.keys),
            ("kills", more.kills),
            ("seconds", more.seconds),
            ("replay_rate", more.replay_rate),
            ("quota", more.quota),
            ("seed", more.seed),
        ];
        let mut given: BTreeMap<&'static str, u64> = given
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        anyhow::ensure!(
            more.open.is_none() || promise == Promise::Parked,
            "--open is for --scenario parked"
        );
        let quota = given.remove("quota");
        anyhow::ensure!(
            quota.is_none() || promise == Promise::Orgs,
            "--quota is for --scenario orgs"
        );
        Ok(Size {
            full: more.full,
            numbers: promise.numbers(more.full, given)?,
            quota,
            open: more.open.unwrap_or_default(),
            payload_bytes: self.payload_bytes.try_into()?,
        })
    }

    /// Fills in what depends on the scenario. Fails when two arguments contradict each other.
    pub(super) fn workload(&self, scenario: Scenario) -> anyhow::Result<Workload> {
        let more = &self.promised;
        let others = more.owed.is_some()
            || more.workers.is_some()
            || more.per_minute.is_some()
            || more.keys.is_some()
            || more.kills.is_some()
            || more.seconds.is_some()
            || more.replay_rate.is_some()
            || more.quota.is_some()
            || more.open.is_some()
            || more.seed.is_some()
            || more.full;
        anyhow::ensure!(
            !others,
            "--full, --owed, --workers, --per-minute, --keys, --kills, --seconds, --replay-rate, --quota, --open and \
             --seed are for the scenarios with a verdict: name one with --scenario"
        );
        let hanging = scenario == Scenario::Hanging;
        let fanout = self
            .fanout
            .unwrap_or(if scenario == Scenario::Fanout { FANOUT } else { 1 });
        let integrations = self.integrations.unwrap_or(if scenario == Scenario::Routing {
            ROUTING_MANY
        } else {
            fanout
        });
        anyhow::ensure!(
            integrations.is_multiple_of(fanout),
            "--integrations {integrations} is not a multiple of --fanout {fanout}"
        );
        anyhow::ensure!(
            scenario != Scenario::Routing || (fanout == 1 && integrations > ROUTING_FEW),
            "--scenario routing takes a fan-out of 1 and more than {ROUTING_FEW} integrations"
        );
        anyhow::ensure!(
            !hanging || (fanout == 1 && integrations == 1),
            "--scenario hanging has one healthy integration and one that hangs: leave --fanout and --integrations out"
        );
        let rate = self.rate.unwrap_or(if hanging { HANGING_RATE } else { 0 });
        let events = self
            .events
            .unwrap_or(if rate == 0 { EVENTS } else { rate * ROUND_SECS });
        let payload_bytes = self.payload_bytes.try_into()?;
        Ok(Workload {
            scenario,
            events,
            rate,
            fanout,
            integrations,
            payload_bytes,
            rounds: self.rounds.unwrap_or(1),
        })
    }
}
