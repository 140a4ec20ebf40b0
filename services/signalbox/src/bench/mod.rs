//! `signalbox bench`: what the whole path costs and how fast it is, beside a bare pipeline measured in the same run.
//!
//! The benchmark is publisher and receiver in this process, a `signalbox up` as a child, and the bare pipeline with a
//! nats-server of its own. Rounds alternate between the measured path and the bare pipeline, so that whatever else
//! the machine does falls on both. CPU is counted over all processes that take part, from before the first publish
//! until shortly after the last arrival.

use std::{
    io,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep};

use self::{
    args::{Chosen, ROUTING_FEW, Scenario, Workload},
    bare::Bare,
    leg::{Leg, Measured, legs},
    path::{Door, Up},
    processes::Processes,
    receiver::Receiver,
    report::{Comparison, Figures, Report},
    tally::{RunId, Tally},
};
use crate::{nats_server::Durability, scratch::Scratch};

mod args;
mod bare;
mod fleet;
mod http;
mod leg;
mod path;
mod processes;
mod publisher;
mod receiver;
mod report;
mod scenario;
mod tally;

pub(crate) use self::args::Args;

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

/// Measures and prints the report: 1 when a delivery was lost or a promise of correctness broken, 2 when the arguments
/// contradict each other.
///
/// It runs on a thread with a runtime of its own, since a single-threaded one is the cheapest load, and can be called
/// from any runtime. It ends by itself on Ctrl-C, after it has stopped what it started; dropping it instead leaves
/// that running until the process ends.
pub(crate) async fn run(args: Args, setup: Setup) -> anyhow::Result<ExitCode> {
    let wanted = match args.scenario {
        Chosen::Path(scenario) => args.workload(scenario).map(Wanted::Path),
        Chosen::Promise(promise) => args.size(promise).map(|size| Wanted::Promise(promise, size)),
    };
    match wanted {
        Ok(Wanted::Path(workload)) => measured_path(workload, setup).await,
        Ok(Wanted::Promise(promise, size)) => {
            let json = setup.json;
            let findings = apart(async move || scenario::run(promise, size, setup).await).await?;
            let mut stdout = io::stdout().lock();
            if json {
                serde_json::to_writer(&mut stdout, &findings)?;
                writeln!(stdout)?;
            } else {
                write!(stdout, "{}", findings.table())?;
            }
            Ok(if findings.is_correct() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Err(error) => {
            writeln!(io::stderr(), "error: {error}")?;
            Ok(ExitCode::from(2))
        }
    }
}

/// What shall be run.
enum Wanted {
    Path(Workload),
    Promise(scenario::Promise, scenario::Size),
}

/// Runs something on a thread with a runtime of its own.
async fn apart<T: Send + 'static>(work: impl AsyncFnOnce() -> anyhow::Result<T> + Send + 'static) -> anyhow::Result<T> {
    let (send, done) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("bench".into()).spawn(move || {
        let done = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot build a runtime")
            .and_then(|runtime| runtime.block_on(work()));
        // Nobody waits for it any more when `run` was dropped.
        drop(send.send(done));
    })?;
    done.await.context("the benchmark panicked")?
}

/// The path beside the bare pipeline.
async fn measured_path(workload: Workload, setup: Setup) -> anyhow::Result<ExitCode> {
    let json = setup.json;
    let report = apart(async move || measure(workload, setup).await).await?;
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
    let scratch = Scratch::make("bench")?;
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
        measured = bench.measure(scratch.path(), setup) => measured,
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
        self.start(scratch, setup, &progress).await?;
        let legs = legs(&self.workload);
        for leg in &legs {
            let warm_up = self.run(&leg.warm_up(), &ProgressBar::hidden()).await?;
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
            let rounds: Vec<Figures> = rounds.iter().map(|measured| measured.figures(&self.tally)).collect();
            Figures::over(&rounds)
        });
        let mut next = || figures.next().context("a leg was not measured");
        let (path, bare) = (next()?, next()?);
        let comparison = match self.workload.scenario {
            Scenario::Path | Scenario::Fanout | Scenario::Http | Scenario::Accepted => None,
            Scenario::Hanging => Some(Comparison::Alone(next()?)),
            Scenario::Routing => Some(Comparison::Few(next()?)),
        };
        Ok(Report::new(&self.workload, path, bare, comparison))
    }

    /// Starts the bare pipeline and each `up` of the scenario.
    async fn start(&mut self, scratch: &Path, setup: Setup, progress: &ProgressBar) -> anyhow::Result<()> {
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
            Scenario::Path | Scenario::Fanout | Scenario::Http | Scenario::Accepted => {}
            Scenario::Hanging => {
                // The one alone in an `up` of its own, which no retries of earlier rounds disturb.
                targets.push(targets[0].clone());
                targets[0].push((1, self.receiver.hanging_url()));
            }
            Scenario::Routing => targets.push(answering(ROUTING_FEW)),
        }
        let door = match scenario {
            Scenario::Http => Door::Http,
            Scenario::Accepted => Door::Accepted,
            Scenario::Path | Scenario::Fanout | Scenario::Hanging | Scenario::Routing => Door::Nats,
        };
        // It says for how long, since many integrations take minutes.
        progress.set_style(ProgressStyle::with_template("{spinner} {msg}, {elapsed}")?);
        progress.enable_steady_tick(PROGRESS_PAUSE);
        for (number, targets) in targets.iter().enumerate() {
            progress.set_message(format!(
                "starting signalbox up, integrations to apply: {}",
                targets.len()
            ));
            // Kept before it is ready, so that it is stopped when we are interrupted meanwhile.
            self.ups.push(Up::spawn(
                &scratch.join(format!("up-{number}")),
                targets,
                door,
                Arc::clone(&self.data),
            )?);
            self.ups[number].ready().await?;
        }
        progress.disable_steady_tick();
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

/// The data of every event: a JSON object of exactly this many bytes, at least 16.
fn event_data(bytes: usize) -> String {
    let frame = "{\"padding\":\"\"}".len();
    format!("{{\"padding\":\"{}\"}}", "x".repeat(bytes.saturating_sub(frame)))
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
