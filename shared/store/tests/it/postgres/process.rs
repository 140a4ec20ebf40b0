//! A PostgreSQL server as a child of this process, with which it ends. The tests of the whole system use it too.

use std::{
    env,
    fs::File,
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Set where a run without PostgreSQL is a failure.
const REQUIRE: &str = "SIGNALBOX_REQUIRE_POSTGRES";
/// Whose rights the server gets where the tests run as root, which it refuses: the first that there is.
const USERS: [&str; 2] = ["postgres", "nobody"];
/// How often another port is tried: the free one may be somebody else's a moment later.
const PORTS_TRIED: usize = 5;
/// How long a start may take on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);
/// Stops the server, by its pid, as soon as whoever started it lets go of the standard input, for whatever reason.
const KEEPER: &str = r#""$@" & pid=$!; cat >/dev/null; kill -INT "$pid"; wait "$pid""#;

/// A running server.
pub(crate) struct Process {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    child: std::sync::Mutex<Option<Child>>,
}

impl Process {
    /// Makes an empty installation and starts it.
    pub(crate) async fn start(programs: PathBuf) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("signalbox-postgres")
            .tempdir()
            .expect("a folder can be made");
        let mut running = Self {
            programs,
            folder,
            port: 0,
            child: std::sync::Mutex::new(None),
        };
        if let Some((user, group)) = running.identity() {
            chown(running.folder.path(), Some(user), Some(group)).expect("root may give a folder away");
        }
        let mut initdb = running.command("initdb");
        initdb
            .args(["--username=signalbox", "--auth=trust", "--encoding=UTF8", "--no-sync"])
            .args(["--locale=C", "--locale-provider=icu", "--icu-locale=en-US"])
            .arg("--pgdata")
            .arg(running.data());
        let made = initdb.output().expect("initdb can be run");
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        for _ in 0..PORTS_TRIED {
            running.port = free_port();
            if running.launch().await {
                return running;
            }
        }
        panic!("PostgreSQL does not start: {}", running.log());
    }

    /// Starts the server; whether it did.
    async fn launch(&self) -> bool {
        let log = File::create(self.folder.path().join("log")).expect("a log can be made");
        let mut keeper = self.command_of(Path::new("/bin/sh"));
        keeper
            .args(["-c", KEEPER, "keeper"])
            .arg(self.programs.join("postgres"))
            .arg("-D")
            .arg(self.data())
            .args(["-c", &format!("port={}", self.port)])
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .args([
                "-c",
                "fsync=off",
                "-c",
                "shared_buffers=16MB",
                "-c",
                "max_connections=100",
            ])
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log);
        let child = keeper.spawn().expect("a shell can be run");
        *self.child.lock().expect("nobody panics with it") = Some(child);
        let began = Instant::now();
        loop {
            let log = self.log();
            if log.contains("ready to accept connections") {
                return true;
            }
            if log.contains("could not bind") {
                self.stop();
                return false;
            }
            assert!(began.elapsed() < START_MAX, "PostgreSQL does not start: {log}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Starts it again where it was stopped.
    pub(crate) async fn start_again(&self) {
        assert!(self.launch().await, "its port is taken");
    }

    /// Stops it as an administrator would who does not wait for anybody.
    pub(crate) fn stop(&self) {
        if let Some(mut child) = self.child.lock().expect("nobody panics with it").take() {
            drop(child.stdin.take());
            child.wait().expect("a child can be waited for");
        }
    }

    /// Where a database of it is.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://signalbox@127.0.0.1:{}/{database}", self.port)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn command(&self, program: &str) -> Command {
        self.command_of(&self.programs.join(program))
    }

    fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path());
        if let Some((user, group)) = self.identity() {
            command.uid(user).gid(group);
        }
        command
    }

    /// Whom the server runs as where we are root.
    fn identity(&self) -> Option<(u32, u32)> {
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        if !is_root {
            return None;
        }
        let users = std::fs::read_to_string("/etc/passwd").expect("root's system has users");
        let ids = |user: &str| {
            let line = users.lines().find(|line| line.split(':').next() == Some(user))?;
            let mut fields = line.split(':').skip(2);
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        };
        USERS.into_iter().find_map(ids)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.expect("there is a free port").port()
}

/// Where PostgreSQL's programs are; `None`, said aloud, where it is not installed and nothing demands it.
pub(crate) fn installed() -> Option<PathBuf> {
    let found = programs();
    if found.is_none() {
        let demanded = env::var_os(REQUIRE).is_some_and(|value| value == "1");
        assert!(
            !demanded,
            "{REQUIRE}=1, and there is no PostgreSQL: install it with `apt-get install postgresql`"
        );
        eprintln!(
            "\n*** NOT TESTED ON POSTGRESQL: it is not installed. Install it with `apt-get install postgresql`. ***\n"
        );
    }
    found
}

/// On the path, or where Debian puts them, the newest version first.
fn programs() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    versions.sort_by_key(|folder| {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        std::cmp::Reverse(name.and_then(|name| name.parse::<u32>().ok()))
    });
    env::split_paths(&path)
        .chain(versions.into_iter().map(|folder| folder.join("bin")))
        .find(|folder| {
            ["postgres", "initdb"]
                .iter()
                .all(|program| folder.join(program).is_file())
        })
}
