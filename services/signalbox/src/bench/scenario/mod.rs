//! What a target that is dead, slow, limited, paused, ordered or batched costs the others, and what is promised of it.
//!
//! Each scenario has a file of its own. It starts fleets, publishes, breaks what it is about, and judges what the
//! receiver saw: figures, goals, a verdict. The small sizes are for the suite and for a first look; `--full` is what the
//! promises are made for.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use self::{
    findings::Findings,
    load::Load,
    witness::{Book, Witness},
};
use super::{
    Setup,
    args::Open,
    event_data,
    fleet::{Fleet, Roles},
    publisher::Pace,
    receiver::Receiver,
};
use crate::scratch::Scratch;

mod chance;
mod digest;
mod failing;
mod findings;
mod history;
mod leg;
mod limit;
mod load;
mod memory;
mod neighbours;
mod order;
mod orgs;
mod parked;
mod replay;
mod schedule;
mod witness;

/// A run in which nothing arrives for this long is over. Longer than the 20 s after which JetStream gives a message of
/// a killed worker to another, and than the pause before a failing target is tried once more.
const PATIENCE: Duration = Duration::from_secs(100);
/// How long a change of integrations may take to be in force.
const IN_FORCE: Duration = Duration::from_secs(60);
/// How long the ledger may take to say that all is settled: a killed process's messages come again after 20 s.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(90);
/// Pause between two looks at what arrived.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// Pause between two looks at the ledger, which reads streams.
const LOOK_PAUSE_LEDGER: Duration = Duration::from_millis(500);
/// Integrations in one request: a body is at most 64 MiB.
const APPLY_PART: usize = 20_000;
/// The number of the integration that shows when a change is in force; no scenario has as many.
const PROBE: u64 = 0x7fff_ffff;

/// What is promised, with a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Promise {
    /// 18 integrations beside a dead one with deliveries owed and one that hangs; p99 and throughput of the 18 against
    /// a run without those two.
    Neighbours,
    /// Parked deliveries of many integrations: everything is restarted, one integration recovers and drains.
    Parked,
    /// Worker processes that share the limit of one integration: requests in each clock minute, CPU while they wait.
    Limit,
    /// Ordered deliveries with failing requests and killed workers: the order of each key at the receiver.
    Order,
    /// Digests while keeper, worker and router are killed: each event in exactly one.
    Digest,
    /// Dead letters replayed beside live events: p99 of the live ones against a run without.
    Replay,
    /// Many integrations, one in a hundred failing in one of eight ways, against all healthy.
    Failing,
    /// When retries arrive against the configured schedule, through restarts of worker and server.
    Schedule,
    /// An org that publishes as fast as it can beside a small one: p99 of the small one against alone.
    Orgs,
    /// Deliveries that are recorded: CPU of the recorder against that of the path, p99 of what the API reads.
    History,
}

/// How large a scenario is.
#[derive(Clone, Debug)]
pub(super) struct Size {
    pub full: bool,
    /// By the name of its flag, every one that the scenario takes.
    pub numbers: BTreeMap<&'static str, u64>,
    pub quota: Option<u64>,
    pub open: Open,
    pub payload_bytes: usize,
}

impl Size {
    /// The number of a flag that the scenario takes.
    fn of(&self, name: &str) -> u64 {
        *self.numbers.get(name).expect("a scenario asks for what it takes")
    }
}

impl Promise {
    /// As it is written on the command line.
    pub(super) fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .expect("no scenario is hidden")
    }

    /// What the scenario takes: the flag, the number where none is said, and that of the full size.
    fn sizes(self) -> &'static [(&'static str, u64, u64)] {
        match self {
            Self::Neighbours => neighbours::SIZES,
            Self::Parked => parked::SIZES,
            Self::Limit => limit::SIZES,
            Self::Order => order::SIZES,
            Self::Digest => digest::SIZES,
            Self::Replay => replay::SIZES,
            Self::Failing => failing::SIZES,
            Self::Schedule => schedule::SIZES,
            Self::Orgs => orgs::SIZES,
            Self::History => history::SIZES,
        }
    }

    /// Every number of the scenario. Fails when one was given that it does not take.
    pub(super) fn numbers(
        self,
        full: bool,
        given: BTreeMap<&'static str, u64>,
    ) -> anyhow::Result<BTreeMap<&'static str, u64>> {
        let sizes = self.sizes();
        let mut numbers: BTreeMap<&'static str, u64> = sizes
            .iter()
            .map(|(name, small, large)| (*name, if full { *large } else { *small }))
            .collect();
        for (name, value) in given {
            let Some(number) = numbers.get_mut(name) else {
                let flags: Vec<String> = sizes.iter().map(|(name, ..)| flag(name)).collect();
                bail!(
                    "{}: scenario {} does not take it; it takes {}",
                    flag(name),
                    self.name(),
                    flags.join(", ")
                );
            };
            *number = value;
        }
        Ok(numbers)
    }
}

fn flag(name: &str) -> String {
    format!("--{}", name.replace('_', "-"))
}

/// Runs a scenario and stops everything, whatever happened between.
pub(super) async fn run(promise: Promise, size: Size, setup: Setup) -> anyhow::Result<Findings> {
    let scratch = Scratch::make("bench")?;
    let mut stage = Stage::new(scratch.path(), &size, setup).await?;
    let found = tokio::select! {
        found = stage.play(promise, &size) => Some(found),
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("cannot wait for a Ctrl-C")?;
            None
        }
    };
    stage.progress.finish_and_clear();
    let logs: String = stage.fleets.iter().map(Fleet::log_ends).collect();
    let mut ended = Ok(());
    for fleet in &mut stage.fleets {
        ended = ended.and(fleet.end().await);
    }
    let found = found
        .context("interrupted")?
        .map_err(|error| anyhow!("scenario {} failed: {error:#}{logs}", promise.name()))?;
    ended?;
    Ok(found)
}

/// Where a scenario plays: receiver, fleets, and what they are made with.
struct Stage {
    directory: PathBuf,
    setup: Setup,
    witness: Witness,
    receiver: Receiver,
    /// While it is there, the receiver's thread runs.
    _receives: oneshot::Sender<()>,
    fleets: Vec<Fleet>,
    data: String,
    /// Changes that were waited for so far.
    changes: u64,
    progress: ProgressBar,
}

impl Stage {
    async fn new(directory: &Path, size: &Size, setup: Setup) -> anyhow::Result<Self> {
        let witness = Witness::new(size.numbers.get("seed").copied().unwrap_or_default());
        let progress = ProgressBar::new_spinner();
        progress.set_style(ProgressStyle::with_template("{spinner} {msg}, {elapsed}")?);
        progress.enable_steady_tick(super::PROGRESS_PAUSE);
        let (receiver, receives) = receive(witness.clone()).await?;
        Ok(Self {
            directory: directory.to_owned(),
            setup,
            receiver,
            _receives: receives,
            witness,
            fleets: Vec::new(),
            data: event_data(size.payload_bytes),
            changes: 0,
            progress,
        })
    }

    async fn play(&mut self, promise: Promise, size: &Size) -> anyhow::Result<Findings> {
        match promise {
            Promise::Neighbours => neighbours::play(self, size).await,
            Promise::Parked => parked::play(self, size).await,
            Promise::Limit => limit::play(self, size).await,
            Promise::Order => order::play(self, size).await,
            Promise::Digest => digest::play(self, size).await,
            Promise::Replay => replay::play(self, size).await,
            Promise::Failing => failing::play(self, size).await,
            Promise::Schedule => schedule::play(self, size).await,
            Promise::Orgs => orgs::play(self, size).await,
            Promise::History => history::play(self, size).await,
        }
    }

    /// Says what is being done.
    fn say(&self, doing: impl Into<String>) {
        self.progress.set_message(doing.into());
    }

    /// Starts a fleet and gives its number.
    async fn raise(&mut self, layout: &[Roles], settings: &[(&str, String)]) -> anyhow::Result<usize> {
        let number = self.fleets.len();
        self.say("starting nats-server and roles");
        let directory = self.directory.join(format!("fleet-{number}"));
        // Kept before it is ready, so that it is stopped when we are interrupted meanwhile.
        self.fleets
            .push(Fleet::prepare(&directory, layout, &self.setup, settings)?);
        self.fleets[number].launch().await?;
        Ok(number)
    }

    /// A webhook integration whose target is the receiver; `more` is added to it.
    fn integration(&self, number: u64, event_type: &str, more: Value) -> Value {
        let mut integration = json!({
            "name": format!("bench-{number}"),
            "org": "default",
            "provider": "webhook",
            "config": { "url": self.receiver.url(number) },
            "events": [event_type],
        });
        merge(&mut integration, more);
        integration
    }

    /// Applies integrations and waits until they are in force.
    async fn apply(&mut self, fleet: usize, integrations: &[Value]) -> anyhow::Result<()> {
        self.say(format!("applying {} integrations", integrations.len()));
        for part in integrations.chunks(APPLY_PART) {
            self.fleets[fleet].apply(part).await?;
        }
        self.in_force(fleet).await
    }

    /// Waits until every change made so far is in force: changes come to every role in their order, so that it is when
    /// a last one is.
    async fn in_force(&mut self, fleet: usize) -> anyhow::Result<()> {
        self.changes += 1;
        let event_type = format!("bench.probe-{}", self.changes);
        let name = json!({ "name": format!("bench-probe-{}", self.changes) });
        let probe = merged(self.integration(PROBE, &event_type, Value::Null), name);
        self.fleets[fleet].apply(&[probe]).await?;
        let mut load = self.load(fleet).await?;
        let began = Instant::now();
        while began.elapsed() < IN_FORCE {
            let run = self.witness.begin(1);
            load.publish(run, Pace { events: 1, rate: 0 }, |_| event_type.clone())
                .await?;
            let arrived = self.until(Duration::from_secs(2), |book| book.delivered(run) > 0).await;
            if arrived {
                return Ok(());
            }
            self.fleets[fleet].check()?;
        }
        bail!("a change was not in force after {} s", IN_FORCE.as_secs())
    }

    /// A publisher to a fleet.
    async fn load(&self, fleet: usize) -> anyhow::Result<Load> {
        Load::connect(self.fleets[fleet].nats_url(), self.witness.clone(), &self.data).await
    }

    /// Waits until something is true of what arrived; false when it is not within a time.
    async fn until(&self, deadline: Duration, is: impl Fn(&Book) -> bool) -> bool {
        let began = Instant::now();
        while !self.witness.book(&is) {
            if began.elapsed() > deadline {
                return false;
            }
            sleep(LOOK_PAUSE).await;
        }
        true
    }

    /// Waits until so many deliveries of a run have arrived, or nothing has for as long as the patience lasts.
    async fn complete(&mut self, fleet: usize, run: u32, expected: u64) -> anyhow::Result<()> {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let delivered = self.witness.book(|book| book.delivered(run));
            if delivered >= expected {
                return Ok(());
            }
            if delivered > last {
                (last, since) = (delivered, Instant::now());
            }
            if since.elapsed() > PATIENCE {
                return Ok(());
            }
            self.fleets[fleet].check()?;
            sleep(LOOK_PAUSE).await;
        }
    }

    /// How many messages a stream of a fleet holds.
    async fn messages(&self, fleet: usize, stream: &str) -> anyhow::Result<u64> {
        let client = async_nats::connect(self.fleets[fleet].nats_url()).await?;
        let stream = async_nats::jetstream::new(client)
            .get_stream(stream)
            .await
            .with_context(|| format!("cannot look at stream {stream}"))?;
        Ok(stream.cached_info().state.messages)
    }

    /// What doctor says when every event is routed, nothing is missing, and as many deliveries as must still move do;
    /// what it said last, when that does not come true.
    async fn settled(&mut self, fleet: usize, moving: Option<u64>) -> anyhow::Result<Value> {
        self.say("waiting until the ledger is settled");
        let began = Instant::now();
        loop {
            let doctor = self.doctor(fleet).await?;
            let ledger = &doctor["ledger"];
            let quiet = ["unrouted", "missing"].iter().all(|name| ledger[*name] == 0);
            let settled = quiet && moving.is_none_or(|moving| ledger["moving"] == moving);
            if settled || began.elapsed() > SETTLE_TIMEOUT {
                return Ok(doctor);
            }
            self.fleets[fleet].check()?;
            sleep(LOOK_PAUSE_LEDGER).await;
        }
    }

    /// What `signalbox doctor` says of the ledger and of what waits.
    async fn doctor(&self, fleet: usize) -> anyhow::Result<Value> {
        let answer = self.fleets[fleet]
            .api()?
            .get(&["doctor"], &[("since", Some("24h"))])
            .await;
        answer.map_err(super::fleet::told)
    }
}

/// Starts a receiver on a thread of its own, so that it notes when something arrives however busy the publisher is. It
/// runs until what is given with it is dropped.
async fn receive(witness: Witness) -> anyhow::Result<(Receiver, oneshot::Sender<()>)> {
    let (send, started) = oneshot::channel();
    let (keep, dropped) = oneshot::channel();
    std::thread::Builder::new().name("receiver".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let receiver = match &runtime {
            Ok(runtime) => runtime.block_on(Receiver::start(witness)),
            Err(error) => Err(anyhow!("cannot build a runtime: {error}")),
        };
        // Nobody waits for it when the benchmark was dropped.
        if send.send(receiver).is_ok()
            && let Ok(runtime) = runtime
        {
            // Nothing is ever sent: it ends with its other side.
            runtime.block_on(dropped).unwrap_or_default();
        }
    })?;
    Ok((started.await.context("the receiver panicked")??, keep))
}

/// Puts the fields of an object into another, over those that are there.
fn merge(into: &mut Value, from: Value) {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
}

fn merged(mut into: Value, from: Value) -> Value {
    merge(&mut into, from);
    into
}

#[cfg(test)]
mod tests;
