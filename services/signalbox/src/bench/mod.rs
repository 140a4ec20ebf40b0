//! `signalbox bench`: what the whole path costs and how fast it is, beside a bare pipeline measured in the same run.
//!
//! The benchmark is publisher and receiver in this process, a `signalbox up` as a child, and the bare pipeline with a
//! nats-server of its own. Rounds alternate between the measured path and the bare pipeline, so that whatever else
//! the machine does falls on both. CPU is counted over all processes that take part, from before the first publish
//! until shortly after the last arrival.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep};

use self::{
    args::{ROUTING_FEW, Scenario, Workload},
    bare::Bare,
    path::{Door, Up},
    publisher::Pace,
    receiver::Receiver,
    report::{Comparison, Cost, Figures, Latency, Memory, Report},
    tally::{Plan, RunId, Tally},
};
use crate::{nats_server::Durability, proc};

mod args;
mod bare;
mod path;
mod publisher;
mod receiver;
mod report;
mod tally;

pub(crate) use self::args::Args;

/// Events before the first round, so that connections are open and code is in memory.
const WARM_UP_EVENTS: u64 = 1_000;
/// A run in which nothing arrives for this long is over; what is missing is lost. Longer than the 20 s after which
/// JetStream gives a message of a crashed worker to another.
const PATIENCE: Duration = Duration::from_secs(30);
/// After the last arrival: acknowledgements and outcomes that are still held belong to the cost.
const TAIL: Duration = Duration::from_millis(300);
/// How often the progress bar moves, on a terminal.
const PROGRESS_PAUSE: Duration = Duration::from_millis(250);

/// What the command line and the settings say besides the command's own arguments.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Print JSON instead of a table.
    pub json: bool,
    /// The setting `nats.server_path`.
    pub server_path: Option<PathBuf>,
    /// The setting `nats.durability`, for the bare pipeline; `up` reads it itself.
    pub durability: Durability,
}

/// Measures and prints the report: 1 when a delivery was lost, 2 when the arguments contradict each other.
///
/// It runs on a thread with a runtime of its own, since a single-threaded one is the cheapest load, and can be called
/// from any runtime. It ends by itself on Ctrl-C, after it has stopped what it started; dropping it instead leaves
/// that running until the process ends.
pub(crate) async fn run(args: Args, setup: Setup) -> anyhow::Result<ExitCode> {
    let workload = match args.workload() {
        Ok(workload) => workload,
        Err(error) => {
            writeln!(io::stderr(), "error: {error}")?;
            return Ok(ExitCode::from(2));
        }
    };
    let json = setup.json;
    let (send, report) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("bench".into()).spawn(move || {
        let measured = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot build a runtime")
            .and_then(|runtime| runtime.block_on(measure(workload, setup)));
        // Nobody waits for it any more when `run` was dropped.
        send.send(measured).unwrap_or_default();
    })?;
    let report = report.await.context("the benchmark panicked")??;
    let mut stdout = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut stdout, &report)?;
        writeln!(stdout)?;
    } else {
        write!(stdout, "{}", report.table())?;
    }
    for warning in report.warnings.iter().filter(|_| json) {
        writeln!(io::stderr(), "warning: {warning}")?;
    }
    Ok(if report.path.lost > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Starts everything, measures, and stops everything, whatever happened between.
async fn measure(workload: Workload, setup: Setup) -> anyhow::Result<Report> {
    let scratch = Scratch::make()?;
    let tally = Tally::new();
    let mut bench = Bench {
        receiver: Receiver::start(tally.clone()).await?,
        data: event_data(workload.payload_bytes).into(),
        ups: Vec::new(),
        bare: None,
        tally,
        workload,
    };
    let measured = tokio::select! {
        measured = bench.measure(&scratch.0, setup) => measured,
        interrupted = tokio::signal::ctrl_c() => Err(interrupted.map_or_else(Into::into, |()| anyhow::anyhow!("interrupted"))),
    };
    for up in bench.ups {
        up.stop().await?;
    }
    if let Some(bare) = bench.bare {
        bare.stop().await?;
    }
    measured
}

/// One measured run of a round.
#[derive(Clone, Copy, Debug)]
struct Leg {
    /// Which `up`, `None` for the bare pipeline.
    up: Option<usize>,
    plan: Plan,
    pace: Pace,
    name: &'static str,
}

/// What a run took; what arrived is in the tally, where late duplicates are still added.
#[derive(Debug)]
struct Measured {
    run: RunId,
    plan: Plan,
    began: std::time::Instant,
    cpu: Cpu,
    rss_mb: Memory,
}

struct Bench {
    workload: Workload,
    tally: Tally,
    receiver: Receiver,
    data: Arc<str>,
    ups: Vec<Up>,
    bare: Option<Bare>,
}

impl Bench {
    async fn measure(&mut self, scratch: &Path, setup: Setup) -> anyhow::Result<Report> {
        let progress = ProgressBar::new_spinner();
        progress.set_message("starting");
        progress.tick();
        self.start(scratch, setup).await?;
        let legs = self.legs();
        for leg in &legs {
            let events = leg.plan.events.min(WARM_UP_EVENTS);
            // Nothing for a target that hangs: what it holds is to begin with the first round.
            let plan = Plan {
                events,
                types: leg.plan.types_answered,
                ..leg.plan
            };
            let warm_up = self
                .run(
                    &Leg {
                        plan,
                        pace: Pace { events, rate: 0 },
                        ..*leg
                    },
                    &ProgressBar::hidden(),
                )
                .await?;
            if self.tally.delivered(warm_up.run) == 0 {
                let log = leg.up.map(|up| self.ups[up].log_end()).unwrap_or_default();
                bail!("no event arrived in {} s{log}", PATIENCE.as_secs());
            }
        }
        let mut measured: Vec<Vec<Measured>> = legs.iter().map(|_| Vec::new()).collect();
        for round in 1..=self.workload.rounds {
            for (leg, measured) in legs.iter().zip(&mut measured) {
                progress.set_style(ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}")?);
                progress.set_message(format!("round {round} of {}, {}", self.workload.rounds, leg.name));
                measured.push(self.run(leg, &progress).await?);
            }
        }
        progress.finish_and_clear();

        let mut figures = measured.iter().map(|rounds| {
            let rounds: Vec<Figures> = rounds.iter().map(|measured| figures(&self.tally, measured)).collect();
            Figures::over(&rounds)
        });
        let mut next = || figures.next().context("a leg was not measured");
        let (path, bare) = (next()?, next()?);
        let comparison = match self.workload.scenario {
            Scenario::Path | Scenario::Fanout | Scenario::Http => None,
            Scenario::Hanging => Some(Comparison::Alone(next()?)),
            Scenario::Routing => Some(Comparison::Few(next()?)),
        };
        Ok(Report::new(&self.workload, path, bare, comparison))
    }

    /// Starts the bare pipeline and each `up` of the scenario.
    async fn start(&mut self, scratch: &Path, setup: Setup) -> anyhow::Result<()> {
        let Workload {
            scenario,
            fanout,
            integrations,
            ..
        } = self.workload;
        let answering = |integrations: u64| -> Vec<(u64, String)> {
            (0..integrations)
                .map(|number| (number / fanout, self.receiver.url(number)))
                .collect()
        };
        let mut targets = vec![answering(integrations)];
        match scenario {
            Scenario::Path | Scenario::Fanout | Scenario::Http => {}
            Scenario::Hanging => {
                // The one alone in an `up` of its own, which no retries of earlier rounds disturb.
                targets.push(targets[0].clone());
                targets[0].push((1, self.receiver.hanging_url()));
            }
            Scenario::Routing => targets.push(answering(ROUTING_FEW)),
        }
        let door = if scenario == Scenario::Http {
            Door::Http
        } else {
            Door::Nats
        };
        for (number, targets) in targets.iter().enumerate() {
            // Kept before it is ready, so that it is stopped when we are interrupted meanwhile.
            self.ups.push(Up::spawn(
                &scratch.join(format!("up-{number}")),
                targets,
                Arc::clone(&self.data),
            )?);
            self.ups[number].ready(door).await?;
        }
        let bare = Bare::start(
            scratch.join("bare"),
            setup.server_path,
            setup.durability,
            self.receiver.url(0),
            Arc::clone(&self.data),
        );
        self.bare = Some(bare.await?);
        Ok(())
    }

    /// The runs of a round, in their order: the measured path, the bare pipeline, what it is compared with.
    fn legs(&self) -> Vec<Leg> {
        let Workload {
            scenario,
            events,
            rate,
            fanout,
            integrations,
            ..
        } = self.workload;
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
            Scenario::Path | Scenario::Fanout | Scenario::Http => vec![path, bare],
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

    /// Publishes and waits for what is owed.
    async fn run(&mut self, leg: &Leg, progress: &ProgressBar) -> anyhow::Result<Measured> {
        let processes = self.processes(leg)?;
        let run = self.tally.begin(leg.plan);
        progress.set_length(self.tally.expected(run));
        progress.set_position(0);
        let bar = progress.clone();
        let tally = self.tally.clone();
        // Off a terminal it would only cost wake-ups.
        let ticker = (!progress.is_hidden()).then(|| {
            tokio::spawn(async move {
                loop {
                    bar.set_position(tally.delivered(run));
                    sleep(PROGRESS_PAUSE).await;
                }
            })
        });

        let before = processes.cpu()?;
        let began = Instant::now().into_std();
        let published = match leg.up {
            Some(up) => self.ups[up].publish(&self.tally, run, leg.plan.types, leg.pace).await,
            None => {
                self.bare
                    .as_mut()
                    .context("measured before it was started")?
                    .publish(&self.tally, run, leg.pace)
                    .await
            }
        };
        let arrived = match published {
            Ok(()) => self.arrived(leg, run).await,
            Err(error) => Err(error),
        };
        if let Some(ticker) = ticker {
            ticker.abort();
        }
        arrived?;
        anyhow::ensure!(
            self.processes(leg)? == processes,
            "a nats-server was restarted while it was measured"
        );
        let cpu = processes.cpu()?.since(before);
        Ok(Measured {
            run,
            plan: leg.plan,
            began,
            cpu,
            rss_mb: processes.memory()?,
        })
    }

    /// Waits until what is owed has arrived, or is lost. Fails when `up` ends meanwhile.
    async fn arrived(&mut self, leg: &Leg, run: RunId) -> anyhow::Result<()> {
        let complete = async {
            self.tally.complete(run, PATIENCE).await;
            sleep(TAIL).await;
        };
        let Some(up) = leg.up else {
            complete.await;
            return Ok(());
        };
        tokio::select! {
            () = complete => Ok(()),
            ended = self.ups[up].ended() => match ended? {},
        }
    }

    fn processes(&mut self, leg: &Leg) -> anyhow::Result<Processes> {
        match leg.up {
            Some(up) => {
                let (signalbox, nats_server) = self.ups[up].pids()?;
                Ok(Processes {
                    signalbox: Some(signalbox),
                    nats_server,
                })
            }
            None => {
                let bare = self.bare.as_ref().context("measured before it was started")?;
                Ok(Processes {
                    signalbox: None,
                    nats_server: bare.server_pid(),
                })
            }
        }
    }
}

/// Who takes part in a run besides this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Processes {
    signalbox: Option<u32>,
    nats_server: u32,
}

/// CPU time by process.
#[derive(Clone, Copy, Debug)]
struct Cpu {
    signalbox: Duration,
    nats_server: Duration,
    load: Duration,
}

impl Cpu {
    fn since(self, before: Self) -> Self {
        Self {
            signalbox: self.signalbox.saturating_sub(before.signalbox),
            nats_server: self.nats_server.saturating_sub(before.nats_server),
            load: self.load.saturating_sub(before.load),
        }
    }
}

impl Processes {
    fn cpu(self) -> anyhow::Result<Cpu> {
        let of = |pid: u32, name| proc::cpu(pid).with_context(|| format!("cannot read the CPU time of {name}"));
        Ok(Cpu {
            signalbox: self
                .signalbox
                .map_or(Ok(Duration::ZERO), |pid| of(pid, "signalbox up"))?,
            nats_server: of(self.nats_server, "nats-server")?,
            load: of(std::process::id(), "this process")?,
        })
    }

    fn memory(self) -> anyhow::Result<Memory> {
        let of = |pid: u32| {
            proc::resident_bytes(pid)
                .map(|bytes| bytes as f64 / 1e6)
                .context("cannot read the memory of a process")
        };
        Ok(Memory {
            signalbox: self.signalbox.map_or(Ok(0.0), of)?,
            nats_server: of(self.nats_server)?,
            load: of(std::process::id())?,
        })
    }
}

fn figures(tally: &Tally, measured: &Measured) -> Figures {
    let seen = tally.seen(measured.run);
    let took = seen
        .last_arrival
        .map_or(Duration::ZERO, |last| last.saturating_duration_since(measured.began));
    let Cpu {
        signalbox,
        nats_server,
        load,
    } = measured.cpu;
    let cost = |cpu| report::per_thousand(cpu, seen.delivered);
    let plan = measured.plan;
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
        rss_mb: measured.rss_mb,
        latency_ms: Latency::of(seen.latencies_us),
    }
}

/// The data of every event: a JSON object of exactly this many bytes, at least 16.
fn event_data(bytes: usize) -> String {
    let frame = "{\"padding\":\"\"}".len();
    format!("{{\"padding\":\"{}\"}}", "x".repeat(bytes.saturating_sub(frame)))
}

/// A folder for everything that a benchmark writes, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> anyhow::Result<Self> {
        let nanos = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos();
        let path = std::env::temp_dir().join(format!("signalbox-bench-{}-{nanos}", std::process::id()));
        // Others on this machine shall neither read nor foresee it: it will hold a key.
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "cannot remove the benchmark's folder");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::event_data;

    #[test]
    fn data_has_the_size_that_was_asked_for() {
        for bytes in [16, 512, 4_096] {
            let data = event_data(bytes);
            assert_eq!(data.len(), bytes);
            assert!(serde_json::from_str::<serde_json::Value>(&data).is_ok_and(|data| data.is_object()));
        }
    }
}
