//! What `signalbox bench` takes.

use clap::{Args as ClapArgs, ValueEnum};

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
/// Exit code 1 when a delivery was lost.
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
      100 against 100,000 integrations")]
pub(crate) struct Args {
    /// What to measure.
    #[arg(long, value_enum, default_value_t)]
    pub scenario: Scenario,

    /// Events of a round [default: 100000; with a rate, what 20 seconds take].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=EVENTS_MAX))]
    pub events: Option<u64>,

    /// Events published a second, evenly; 0 is as fast as possible [default: 0; 200 for `hanging`].
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    pub rate: Option<u64>,

    /// Integrations that each event reaches [default: 1; 10 for `fanout`].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub fanout: Option<u64>,

    /// Integrations in all; a multiple of the fan-out [default: the fan-out; 100000 for `routing`].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub integrations: Option<u64>,

    /// Bytes of each event's data.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(16..=200_000))]
    pub payload_bytes: u32,

    /// Rounds, each of Signalbox and then the bare pipeline. Rates, latencies and CPU are medians over them; events,
    /// deliveries, losses and duplicates are sums.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
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
    /// Fills in what depends on the scenario. Fails when two arguments contradict each other.
    pub(super) fn workload(&self) -> anyhow::Result<Workload> {
        let scenario = self.scenario;
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
            rounds: self.rounds,
        })
    }
}
