//! `signalbox up` as a child process, killed and started again on the same data dir.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{
    client::Client,
    postgres::{Process, installed},
    process::{Folder, Program, Settings, gone, settings, signal, signalbox, started_with},
};

/// `postgres` has every `up` keep its database in a PostgreSQL server of its own.
const STORE_VARIABLE: &str = "SIGNALBOX_E2E_STORE";
const STORE_URL: &str = "SIGNALBOX_STORE__URL";

/// Whether databases are in PostgreSQL servers: then there is no file of SQLite to look into.
pub(crate) fn on_postgres() -> bool {
    std::env::var_os(STORE_VARIABLE).is_some_and(|value| value == "postgres")
}

/// How long a start may take.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// A running `up`.
pub(crate) struct Up {
    program: Program,
    client: Client,
    settings: Settings,
    listen: Listen,
    folder: Folder,
    /// Where its database is, unless that is a file in the data dir.
    postgres: Option<Process>,
}

/// Where it listens: free ports at the first start, the same ones after.
#[derive(Clone)]
struct Listen {
    api: String,
    nats: String,
    admin: String,
}

impl Up {
    pub(crate) async fn start() -> Self {
        Self::start_with(settings()).await
    }

    /// Starts one with these settings alone.
    pub(crate) async fn start_with(mut settings: Settings) -> Self {
        let folder = Folder::new();
        let postgres = match installed().filter(|_| on_postgres()) {
            Some(programs) => Some(Process::start(programs).await),
            None => None,
        };
        put_store(&postgres, &mut settings);
        let free = "127.0.0.1:0".to_owned();
        let listen = Listen {
            api: free.clone(),
            nats: free.clone(),
            admin: free,
        };
        let mut program = launch(folder.path(), &listen, &settings);
        let ready = ready_line(&mut program).await;
        let text = |name: &str| {
            ready[name]
                .as_str()
                .unwrap_or_else(|| panic!("no {name} in {ready}"))
                .to_owned()
        };
        let key = text("key");
        let address = |url: &str| {
            url.split("://")
                .last()
                .unwrap_or_default()
                .trim_end_matches('/')
                .to_owned()
        };
        let client = Client::new(&text("api"), &text("api"), &text("nats"), &key).await;
        let listen = Listen {
            api: address(&text("api")),
            nats: address(&text("nats")),
            admin: address(&text("admin")),
        };
        Self {
            program,
            client,
            settings,
            listen,
            folder,
            postgres,
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The address of its database, where that is in PostgreSQL.
    pub(crate) fn database(&self) -> Option<String> {
        self.postgres.as_ref().map(|postgres| postgres.url("postgres"))
    }

    /// Where it keeps what it keeps.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// `kill -9` of `up` alone: its nats-server stays behind as an orphan.
    pub(crate) async fn kill(&mut self) {
        self.program.kill().await;
    }

    /// As [`Self::restart`], with other settings.
    pub(crate) async fn restart_with(&mut self, settings: Settings) {
        self.settings = settings;
        put_store(&self.postgres, &mut self.settings);
        self.restart().await;
    }

    /// Starts it again on the same data dir and ports, and waits until it is ready. The key stays the same, so none is
    /// printed.
    pub(crate) async fn restart(&mut self) {
        self.program = launch(self.folder.path(), &self.listen, &self.settings);
        let ready = ready_line(&mut self.program).await;
        assert_eq!(
            ready["key"],
            Value::Null,
            "a key that was there before is not printed again"
        );
    }

    /// What names its database to whoever opens it beside it, with [`Self::data_dir`].
    pub(crate) fn store_url(&self) -> String {
        self.settings.get(STORE_URL).cloned().unwrap_or_default()
    }

    pub(crate) fn assert_alive(&mut self) {
        self.program.assert_alive();
    }

    pub(crate) fn log(&self) -> String {
        self.program.log()
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.program.pid()
    }

    /// Asks it to stop, and sees that it and its nats-server are gone.
    pub(crate) async fn stop(mut self) {
        self.interrupt().await;
        gone(&self.marker()).await;
    }

    /// Asks it to stop and waits until it has.
    pub(crate) async fn interrupt(&mut self) {
        let status = self.program.stop().await;
        assert!(status.success(), "up ended with {status}");
    }

    /// The processes of nats-server on this data dir.
    pub(crate) fn servers(&self) -> Vec<u32> {
        let own = self.pid();
        started_with(&self.marker())
            .into_iter()
            .filter(|pid| Some(*pid) != own)
            .collect()
    }

    /// The data dir is in the arguments of `up` and of its nats-server, and of no other process.
    fn marker(&self) -> String {
        self.folder
            .path()
            .to_str()
            .expect("the folder's name is UTF-8")
            .to_owned()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Killed on drop, `up` cannot stop its server.
        for pid in self.servers() {
            signal(pid, Signal::KILL);
        }
        if let Some(pid) = self.pid() {
            signal(pid, Signal::KILL);
        }
        for pid in self.servers() {
            signal(pid, Signal::KILL);
        }
    }
}

/// Names the database, unless the settings do.
fn put_store(postgres: &Option<Process>, settings: &mut Settings) {
    if let Some(postgres) = postgres {
        settings
            .entry(STORE_URL.to_owned())
            .or_insert_with(|| postgres.url("postgres"));
    }
}

fn launch(folder: &Path, listen: &Listen, settings: &Settings) -> Program {
    let data_dir = folder.join("data");
    let data_dir = data_dir.to_str().expect("the folder's name is UTF-8");
    let mut settings = settings.clone();
    let server = super::process::nats_server();
    settings.insert(
        "SIGNALBOX_NATS__SERVER_PATH".to_owned(),
        server.to_str().expect("a path in UTF-8").to_owned(),
    );
    let arguments = [
        "up",
        "--output",
        "json",
        "--data-dir",
        data_dir,
        "--listen",
        &listen.api,
        "--nats-listen",
        &listen.nats,
        "--admin-listen",
        &listen.admin,
    ];
    Program::start(
        "signalbox up",
        &signalbox(),
        &arguments,
        &settings,
        &folder.join("up.log"),
        true,
    )
}

async fn ready_line(program: &mut Program) -> Value {
    let out = program.child().stdout.take().expect("standard output is piped");
    let mut lines = BufReader::new(out).lines();
    let line = match tokio::time::timeout(READY_TIMEOUT, lines.next_line()).await {
        Ok(line) => line.expect("standard output can be read"),
        Err(_) => panic!("up was not ready within {READY_TIMEOUT:?}"),
    };
    let Some(line) = line else {
        panic!("up ended before it was ready")
    };
    // Whatever it prints after is read away, so that it never meets a closed pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?} is not JSON: {error}"));
    assert_eq!(ready["ready"], true, "{line}");
    ready
}
