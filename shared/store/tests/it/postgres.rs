//! A PostgreSQL server of this process. It ends with the last test that uses it, or with the process.

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
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::harness::eventually;

/// Set where a run without PostgreSQL is a failure.
const REQUIRE: &str = "SIGNALBOX_REQUIRE_POSTGRES";
/// Whose rights the server gets where the tests run as root, which it refuses: the first that there is.
const USERS: [&str; 2] = ["postgres", "nobody"];
/// How often another port is tried: the free one may be somebody else's a moment later.
const PORTS_TRIED: usize = 5;
/// Stops the server, by its pid, as soon as whoever started it lets go of the standard input, for whatever reason.
const KEEPER: &str = r#""$@" & pid=$!; cat >/dev/null; kill -INT "$pid"; wait "$pid""#;

/// A running server, shared by the tests of a process.
#[derive(Clone)]
pub(crate) struct Server(Arc<Running>);

struct Running {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    child: std::sync::Mutex<Option<Child>>,
    databases: AtomicUsize,
}

impl Server {
    /// The server; `None` where PostgreSQL is not installed and nothing demands it.
    pub(crate) async fn get() -> Option<Self> {
        static SERVER: Mutex<Weak<Running>> = Mutex::const_new(Weak::new());
        let mut server = SERVER.lock().await;
        if let Some(running) = server.upgrade() {
            return Some(Self(running));
        }
        let Some(programs) = programs() else {
            let demanded = env::var_os(REQUIRE).is_some_and(|value| value == "1");
            assert!(
                !demanded,
                "{REQUIRE}=1, and there is no PostgreSQL: install it with `apt-get install postgresql`"
            );
            eprintln!(
                "\n*** NOT TESTED ON POSTGRESQL: it is not installed. Install it with `apt-get install postgresql`. ***\n"
            );
            return None;
        };
        let started = Self(Arc::new(Running::start(programs).await));
        *server = Arc::downgrade(&started.0);
        Some(started)
    }

    /// Makes an empty database in a language whose order of texts is not that of their bytes; its address.
    pub(crate) async fn create_database(&self) -> String {
        let name = format!("test_{}", self.0.databases.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("create database {name}")).await;
        self.0.url(&name)
    }

    /// Runs a statement as the superuser, outside of the databases of tests.
    pub(crate) async fn execute(&self, statement: &str) {
        let mut connection = AnyConnection::connect(&self.0.url("postgres")).await.unwrap();
        sqlx::query(AssertSqlSafe(statement.to_owned()))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }
}

/// One server that a test stops and starts, with a database of its own.
pub(crate) struct Own {
    running: Running,
}

impl Own {
    /// `None` where there is no PostgreSQL: [`Server::get`] has said so.
    pub(crate) async fn start() -> Option<Self> {
        Server::get().await?;
        Some(Self {
            running: Running::start(programs()?).await,
        })
    }

    pub(crate) fn url(&self) -> String {
        self.running.url("postgres")
    }

    pub(crate) fn stop(&self) {
        self.running.stop();
    }

    pub(crate) async fn start_again(&self) {
        assert!(self.running.launch().await, "its port is taken");
    }
}

impl Running {
    async fn start(programs: PathBuf) -> Self {
        sqlx::any::install_default_drivers();
        let folder = tempfile::Builder::new().prefix("signalbox-postgres").tempdir().unwrap();
        let mut running = Self {
            programs,
            folder,
            port: 0,
            child: std::sync::Mutex::new(None),
            databases: AtomicUsize::new(0),
        };
        if let Some((user, group)) = running.identity() {
            chown(running.folder.path(), Some(user), Some(group)).unwrap();
        }
        let mut initdb = running.command("initdb");
        initdb
            .args(["--username=signalbox", "--auth=trust", "--encoding=UTF8", "--no-sync"])
            .args(["--locale=C", "--locale-provider=icu", "--icu-locale=en-US"])
            .arg("--pgdata")
            .arg(running.data());
        let made = initdb.output().unwrap();
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        for _ in 0..PORTS_TRIED {
            running.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if running.launch().await {
                return running;
            }
        }
        panic!("PostgreSQL does not start: {}", running.log());
    }

    /// Starts the server; whether it did.
    async fn launch(&self) -> bool {
        let log = File::create(self.folder.path().join("log")).unwrap();
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
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        *self.child.lock().unwrap() = Some(keeper.spawn().unwrap());
        let url = self.url("postgres");
        eventually("PostgreSQL starts", async || {
            if self.log().contains("could not bind") {
                self.stop();
                return Some(false);
            }
            let connection = AnyConnection::connect(&url).await.ok()?;
            connection.close().await.ok().map(|()| true)
        })
        .await
    }

    fn stop(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }

    fn url(&self, database: &str) -> String {
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
        let users = std::fs::read_to_string("/etc/passwd").unwrap();
        let ids = |user: &str| {
            let line = users.lines().find(|line| line.split(':').next() == Some(user))?;
            let mut fields = line.split(':').skip(2);
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        };
        USERS.into_iter().find_map(ids)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where PostgreSQL's programs are: on the path, or where Debian puts them, the newest version first.
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
