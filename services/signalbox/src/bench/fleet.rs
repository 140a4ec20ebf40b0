//! Roles as processes of their own, on a nats-server of their own: killed, restarted and watched one by one.
//!
//! Every process is ended by its id; dropped, all of them are killed.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use rustix::process::Signal;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_runtime::secret;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::Setup;
use crate::{
    cli::{Client, Failure},
    nats_server::{self, NatsServer, Options},
    proc,
};

/// What one process runs: the words behind `signalbox run`.
pub(super) type Roles = &'static [&'static str];
/// Everything but the workers.
pub(super) const CORE: Roles = &["ingest", "router", "keeper", "api"];
/// A worker.
pub(super) const WORKER: Roles = &["delivery", "--provider", "webhook"];

/// What writes history.
pub(super) const RECORDER: Roles = &["recorder"];

/// How long a process may take to be ready, a large configuration included.
const READY_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a process may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// Lines of a log that an error shows.
const LOG_LINES: usize = 10;

/// A nats-server and processes that run roles.
#[derive(Debug)]
pub(super) struct Fleet {
    /// Before the server in this list, so that a dropped fleet ends its roles first.
    members: Vec<Member>,
    server: Option<NatsServer>,
    options: Options,
    url: String,
    environment: Vec<(String, String)>,
    key: SecretString,
}

/// One process.
#[derive(Debug)]
struct Member {
    roles: Roles,
    log: PathBuf,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// Held open, though nothing follows the first line: a closed one would break a later write.
    stdout: BufReader<ChildStdout>,
    /// Its API, where it has one.
    api: Option<String>,
}

/// The line that `run` prints when all is ready.
#[derive(Debug, Deserialize)]
struct Ready {
    #[serde(default)]
    api: Option<String>,
}

/// CPU time of the processes of a fleet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cpu {
    pub workers: Duration,
    pub others: Duration,
    pub nats_server: Duration,
}

impl Cpu {
    /// What was used after an earlier reading.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            workers: self.workers.saturating_sub(before.workers),
            others: self.others.saturating_sub(before.others),
            nats_server: self.nats_server.saturating_sub(before.nats_server),
        }
    }

    /// Of all of them.
    pub(super) fn total(self) -> Duration {
        self.workers + self.others + self.nats_server
    }
}

impl Fleet {
    /// A fleet on a folder that does not exist yet, of which nothing runs: [`Self::launch`] starts it.
    pub(super) fn prepare(
        directory: &Path,
        layout: &[Roles],
        setup: &Setup,
        settings: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        fs::create_dir(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let key = secret::new_admin_key()?;
        let admin_key = directory.join("admin.key");
        secret::create_secret_file(&admin_key, &key)?;
        // Made as `up` makes it.
        let master_key = directory.join("master.key");
        signalbox_runtime::Keyring::from_file_or_create(&master_key)?;
        let mut environment = vec![
            (
                "SIGNALBOX_DATA_DIR".to_owned(),
                directory.to_string_lossy().into_owned(),
            ),
            // The receiver is on the loopback, which is closed to targets otherwise.
            ("SIGNALBOX_EGRESS__ALLOW".to_owned(), "127.0.0.0/8".to_owned()),
            (
                "SIGNALBOX_AUTH__ADMIN_KEY_FILE".to_owned(),
                admin_key.to_string_lossy().into_owned(),
            ),
            (
                "SIGNALBOX_SECRETS__KEY_FILE".to_owned(),
                master_key.to_string_lossy().into_owned(),
            ),
        ];
        environment.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let members = layout
            .iter()
            .enumerate()
            .map(|(number, roles)| Member {
                roles,
                log: directory.join(format!("{}-{number}.log", roles.first().unwrap_or(&"none"))),
                running: None,
            })
            .collect();
        Ok(Self {
            members,
            server: None,
            options: Options {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                data_dir: directory.join("data"),
                server_path: setup.server_path.clone(),
                durability: setup.durability,
                file_store_bytes_max: 32 << 30,
                memory_store_bytes_max: 256 << 20,
            },
            url: String::new(),
            environment,
            key,
        })
    }

    /// Starts the server and every process, and waits until all are ready.
    pub(super) async fn launch(&mut self) -> anyhow::Result<()> {
        self.launch_server().await?;
        // All at once, as a machine does that comes up.
        for number in 0..self.members.len() {
            self.spawn(number)?;
        }
        for number in 0..self.members.len() {
            self.ready(number).await?;
        }
        Ok(())
    }

    async fn launch_server(&mut self) -> anyhow::Result<()> {
        let server = NatsServer::start(self.options.clone()).await?;
        self.url = server.url().to_owned();
        // A later start is where clients look for it.
        self.options.listen = self
            .url
            .strip_prefix("nats://")
            .and_then(|address| address.parse().ok())
            .with_context(|| format!("{} is not an address", self.url))?;
        self.server = Some(server);
        Ok(())
    }

    fn spawn(&mut self, number: usize) -> anyhow::Result<()> {
        let member = &mut self.members[number];
        let log = File::options()
            .create(true)
            .append(true)
            .open(&member.log)
            .with_context(|| format!("cannot write {}", member.log.display()))?;
        let mut child = Command::new(std::env::current_exe().context("cannot find this program's own file")?)
            .arg("run")
            .args(member.roles)
            .args(["--output", "json", "--admin-listen", "127.0.0.1:0"])
            .args(["--listen", "127.0.0.1:0"])
            .env("SIGNALBOX_NATS__URL", &self.url)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            // A Ctrl-C is for us; we stop it in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start signalbox run")?;
        let stdout = BufReader::new(child.stdout.take().context("signalbox run has no standard output")?);
        member.running = Some(Running {
            child,
            stdout,
            api: None,
        });
        Ok(())
    }

    async fn ready(&mut self, number: usize) -> anyhow::Result<()> {
        let member = &mut self.members[number];
        let running = member.running.as_mut().context("it was not started")?;
        let mut line = String::new();
        let name = member.roles.join(" ");
        match timeout(READY_TIMEOUT, running.stdout.read_line(&mut line)).await {
            Err(_) => bail!(
                "signalbox run {name} was not ready in {} s{}",
                READY_TIMEOUT.as_secs(),
                member.log_end()
            ),
            Ok(Err(error)) => return Err(error).context("cannot read what signalbox run prints"),
            Ok(Ok(0)) => bail!("signalbox run {name} ended at its start{}", member.log_end()),
            Ok(Ok(_)) => {}
        }
        let ready: Ready = serde_json::from_str(&line).with_context(|| format!("signalbox run printed {line:?}"))?;
        running.api = ready.api;
        Ok(())
    }

    /// The numbers of the processes that run these roles.
    pub(super) fn members(&self, roles: Roles) -> Vec<usize> {
        (0..self.members.len())
            .filter(|number| self.members[*number].roles == roles)
            .collect()
    }

    /// Kills a process as `kill -9` does, and starts it again.
    pub(super) async fn crash(&mut self, number: usize) -> anyhow::Result<()> {
        let member = &mut self.members[number];
        if let Some(mut running) = member.running.take() {
            running.child.kill().await.context("cannot kill a process")?;
        }
        self.spawn(number)?;
        self.ready(number).await
    }

    /// Asks a process to stop, waits until it has, and starts it again.
    pub(super) async fn restart(&mut self, number: usize) -> anyhow::Result<()> {
        self.members[number].stop().await?;
        self.spawn(number)?;
        self.ready(number).await
    }

    /// Stops the server and starts it again at the same address, while the roles run.
    pub(super) async fn restart_server(&mut self) -> anyhow::Result<()> {
        if let Some(server) = self.server.take() {
            server.stop().await?;
        }
        self.launch_server().await
    }

    /// Stops everything. [`Self::launch`] starts it again.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        // At once, as a machine does that goes down.
        let stops = self.members.iter_mut().map(Member::stop);
        let stopped = futures::future::join_all(stops).await;
        if let Some(server) = self.server.take() {
            server.stop().await?;
        }
        stopped.into_iter().collect()
    }

    /// Ends everything at the end of a benchmark: nobody needs what the roles hold.
    pub(super) async fn end(&mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            if let Some(mut running) = member.running.take() {
                running.child.kill().await.context("cannot kill a process")?;
            }
        }
        if let Some(server) = self.server.take() {
            server.stop().await?;
        }
        Ok(())
    }

    /// Fails when a process has ended by itself.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            if let Some(running) = &mut member.running
                && let Some(status) = running.child.try_wait()?
            {
                bail!(
                    "signalbox run {} ended by itself ({status}){}",
                    member.roles.join(" "),
                    member.log_end()
                );
            }
        }
        Ok(())
    }

    /// Where the server is.
    pub(super) fn nats_url(&self) -> &str {
        &self.url
    }

    /// A client of its API.
    pub(super) fn api(&self) -> anyhow::Result<Client> {
        let url = self
            .members
            .iter()
            .filter(|member| member.roles.contains(&"api"))
            .find_map(|member| member.running.as_ref()?.api.clone())
            .context("no process of the fleet has an API")?;
        Client::of(&url, Some(self.key.clone())).map_err(told)
    }

    /// Applies integrations.
    pub(super) async fn apply(&self, integrations: &[Value]) -> anyhow::Result<()> {
        let body = json!({ "integrations": integrations, "prune": false, "discard": false, "dry_run": false });
        self.api()?.post(&["apply"], &[], &body).await.map_err(told)?;
        Ok(())
    }

    /// The process ids of the workers.
    pub(super) fn worker_pids(&self) -> Vec<u32> {
        self.members
            .iter()
            .filter(|member| member.roles == WORKER)
            .filter_map(Member::pid)
            .collect()
    }

    /// The process id of the server.
    pub(super) fn server_pid(&self) -> anyhow::Result<u32> {
        let server = self.server.as_ref().context("the nats-server does not run")?;
        Ok(server.pid())
    }

    /// The CPU time that the processes, which have not been restarted, have used so far.
    pub(super) fn cpu(&self) -> anyhow::Result<Cpu> {
        let of = |pid: u32| proc::cpu(pid).context("cannot read the CPU time of a process");
        let mut cpu = Cpu {
            nats_server: of(self.server_pid()?)?,
            ..Cpu::default()
        };
        for member in &self.members {
            let Some(pid) = member.pid() else { continue };
            let used = of(pid)?;
            if member.roles == WORKER {
                cpu.workers += used;
            } else {
                cpu.others += used;
            }
        }
        Ok(cpu)
    }

    /// The CPU time that the processes of these roles have used so far.
    pub(super) fn cpu_of(&self, roles: Roles) -> anyhow::Result<Duration> {
        let pids = self
            .members
            .iter()
            .filter(|member| member.roles == roles)
            .filter_map(Member::pid);
        pids.map(|pid| proc::cpu(pid).context("cannot read the CPU time of a process"))
            .sum()
    }

    /// The ends of all logs, to be put after a message.
    pub(super) fn log_ends(&self) -> String {
        self.members.iter().map(Member::log_end).collect()
    }
}

impl Member {
    fn pid(&self) -> Option<u32> {
        self.running.as_ref()?.child.id()
    }

    async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        if let Some(pid) = running.child.id() {
            nats_server::send(pid, Signal::TERM)?;
            if timeout(STOP_TIMEOUT, running.child.wait()).await.is_err() {
                running.child.kill().await.context("cannot kill a process")?;
            }
        }
        Ok(())
    }

    fn log_end(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().rev().take(LOG_LINES).collect();
        if lines.is_empty() {
            return String::new();
        }
        let lines: Vec<&str> = lines.into_iter().rev().collect();
        format!(
            "; the log of signalbox run {} ends:\n{}",
            self.roles.join(" "),
            lines.join("\n")
        )
    }
}

/// What the API, or the way to it, said.
pub(super) fn told(failure: Failure) -> anyhow::Error {
    match failure {
        Failure::Failed(error) => error,
        Failure::Usage(text) | Failure::NotFound(text) | Failure::Refused(text) => anyhow!(text),
        Failure::Problem(problem) => anyhow!("the API refused: {}", problem.document),
    }
}
