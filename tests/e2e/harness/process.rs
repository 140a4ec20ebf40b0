//! Programs as child processes: found, started with their log in a file, killed, asked to stop.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::wait::eventually;

/// Names another binary than the one beside this test.
const BINARY_VARIABLE: &str = "SIGNALBOX_BIN";
/// Bytes of a log that a failed test shows.
const LOG_TAIL_BYTES: usize = 8 * 1024;
/// How long a program that is asked to stop may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(40);

/// Settings of a program, as environment variables.
pub(crate) type Settings = BTreeMap<String, String>;

/// What every scenario sets: targets on loopback are allowed.
pub(crate) fn settings() -> Settings {
    Settings::from([("SIGNALBOX_EGRESS__ALLOW".to_owned(), "127.0.0.0/8".to_owned())])
}

/// The binary under test: `SIGNALBOX_BIN`, else the one that the same build put beside this test.
pub(crate) fn signalbox() -> PathBuf {
    let path = env::var_os(BINARY_VARIABLE).map_or_else(
        || {
            let this = env::current_exe().expect("a test knows its own path");
            let profile = this
                .parent()
                .and_then(Path::parent)
                .expect("a test lies in <target>/<profile>/deps");
            profile.join("signalbox")
        },
        PathBuf::from,
    );
    assert!(
        path.exists(),
        "{} is missing: run `cargo build -p signalbox`",
        path.display()
    );
    path
}

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the workspace")
        .to_owned()
}

/// nats-server, from PATH or where `make tools` puts it.
pub(crate) fn nats_server() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    folders.push(workspace().join(".tools/bin"));
    folders
        .into_iter()
        .map(|folder| folder.join("nats-server"))
        .find(|program| program.is_file())
        .expect("nats-server is neither on PATH nor in .tools/bin: run `make tools`")
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    // What was free a moment ago is not in use yet: the system may name it again.
    static NAMED: std::sync::Mutex<BTreeSet<u16>> = std::sync::Mutex::new(BTreeSet::new());
    let mut named = NAMED.lock().expect("nobody panics with it");
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("a listener has an address").port();
        if named.insert(port) {
            return port;
        }
    }
}

/// What no role says, whatever is broken around it: a delivery met a failure of ours that did not pass by itself, and its
/// target may be asked again.
const NEVER_SAID: &str = "a delivery could not go on";

/// A running program. Dropped, it is killed; if that happens in a failing test, the end of its log is shown. One that has
/// said what is never said fails the test.
pub(crate) struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts a program in a clean environment (but PATH and HOME) with its standard error appended to `log`.
    pub(crate) fn start(
        name: &str,
        path: &Path,
        arguments: &[&str],
        settings: &Settings,
        log: &Path,
        piped: bool,
    ) -> Self {
        let file = fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("a log file can be opened");
        let inherited = ["PATH", "HOME"]
            .into_iter()
            .filter_map(|name| Some((name, env::var_os(name)?)));
        let child = Command::new(path)
            .args(arguments)
            .env_clear()
            .envs(inherited)
            .envs(settings)
            .current_dir(log.parent().expect("a log lies in a folder"))
            .stdin(Stdio::null())
            .stdout(if piped { Stdio::piped() } else { Stdio::null() })
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", path.display()));
        Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        }
    }

    /// The process id; of a program that has ended, none.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Kills it as `kill -9` does and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.child
            .kill()
            .await
            .unwrap_or_else(|error| panic!("cannot kill {}: {error}", self.name));
    }

    /// Asks it to stop (SIGTERM) and waits until it has.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        let pid = self.pid().unwrap_or_else(|| panic!("{} has ended already", self.name));
        signal(pid, Signal::TERM);
        match tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(status) => status.expect("a child can be waited for"),
            Err(_) => panic!("{} did not stop within {STOP_TIMEOUT:?}", self.name),
        }
    }

    /// Fails if it has ended by itself.
    pub(crate) fn assert_alive(&mut self) {
        if let Some(status) = self.child.try_wait().expect("a child can be asked for its status") {
            panic!("{} ended by itself: {status}\n{}", self.name, self.tail());
        }
    }

    /// What it has written to standard error so far, over all its starts.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// What it has said that is never said.
    fn failures(&self) -> Vec<String> {
        let log = self.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("ERROR") && line.contains(NEVER_SAID));
        lines.map(str::to_owned).collect()
    }

    fn tail(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let start = bytes.len().saturating_sub(LOG_TAIL_BYTES);
        String::from_utf8_lossy(&bytes[start..]).into_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- end of the log of {} ({}) ---\n{}---",
                self.name,
                self.log.display(),
                self.tail()
            );
            return;
        }
        let failures = self.failures();
        assert!(
            failures.is_empty(),
            "{} said so {} times: {failures:#?}",
            self.name,
            failures.len()
        );
    }
}

/// A folder for one scenario. It stays behind where the scenario fails.
pub(crate) struct Folder(Option<tempfile::TempDir>);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("signalbox-e2e-").tempdir();
        Self(Some(folder.expect("a folder for temporary files can be made")))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.as_ref().expect("taken in drop alone").path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(folder) = self.0.take()
            && std::thread::panicking()
        {
            eprintln!("the scenario's files are kept in {}", folder.keep().display());
        }
    }
}

/// The processes, other than this one, that were started with this text among their arguments.
pub(crate) fn started_with(text: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != std::process::id())
        .filter(|pid| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&arguments).contains(text)
        })
        .collect()
}

/// Sends a signal to a process of this test. One that has ended meanwhile is no fault.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .expect("a process id is a positive number");
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("cannot send {signal:?} to process {}: {error}", pid.as_raw_nonzero()),
    }
}

/// Waits until no process has this text among its arguments.
pub(crate) async fn gone(text: &str) {
    eventually(
        Duration::from_secs(10),
        "all processes of the scenario end",
        async || match started_with(text) {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:?} still run")),
        },
    )
    .await;
}
