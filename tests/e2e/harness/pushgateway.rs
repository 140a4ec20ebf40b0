//! A real Pushgateway, which keeps what it is told in memory alone.

use std::{env, fs, path::PathBuf, time::Duration};

use serde::Deserialize;
use std::collections::BTreeMap;

use super::{
    client::{Response, try_request},
    process::{Folder, Program, Settings, free_port},
    wait::eventually,
};
use crate::foreign;

/// How long a start may take.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// As Debian calls it, and as its authors do.
const NAMES: [&str; 2] = ["prometheus-pushgateway", "pushgateway"];

/// What forbids to go on without it.
const REQUIRE: &str = "SIGNALBOX_REQUIRE_PUSHGATEWAY";
const MISSING: &str = "there is no Pushgateway on PATH: install it with `apt-get install prometheus-pushgateway`";

/// A running gateway; it can be killed and started again, and has forgotten everything then.
pub(crate) struct Pushgateway {
    program: Program,
    port: u16,
    folder: Folder,
}

/// One sample as Prometheus reads it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Sample {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Sample {
    /// A label's value; empty where there is none.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

impl Pushgateway {
    /// `None`, said aloud, where it is not installed and `SIGNALBOX_REQUIRE_PUSHGATEWAY` is not set.
    pub(crate) async fn start() -> Option<Self> {
        if program().is_none() {
            assert!(env::var_os(REQUIRE).is_none(), "{MISSING}");
            eprintln!("SKIPPED: {MISSING}");
            return None;
        }
        let (folder, port) = (Folder::new(), free_port());
        let program = launch(&folder, port);
        let gateway = Self { program, port, folder };
        gateway.ready().await;
        Some(gateway)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) async fn kill(&mut self) {
        self.program.kill().await;
    }

    /// Starts it again on the same port, empty.
    pub(crate) async fn restart(&mut self) {
        self.program = launch(&self.folder, self.port);
        self.ready().await;
    }

    /// Asks it anything.
    pub(crate) async fn request(&self, method: &str, path: &str, body: &str) -> Result<Response, String> {
        try_request(&self.url(), method, path, &[], body.as_bytes().to_vec()).await
    }

    /// All that Prometheus would scrape now, read by its own parser.
    pub(crate) async fn scrape(&self) -> Vec<Sample> {
        let answer = self.request("GET", "/metrics", "").await.expect("the gateway answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = std::str::from_utf8(&answer.body).expect("metrics are UTF-8");
        let read = foreign::run("exposition.py", &[], text).await;
        serde_json::from_str(&read).expect("a list of samples")
    }

    async fn ready(&self) {
        eventually(READY_TIMEOUT, "the gateway is ready", async || {
            match self.request("GET", "/-/ready", "").await? {
                answer if answer.status == 200 => Ok(()),
                answer => Err(answer.text()),
            }
        })
        .await;
    }
}

/// The program, from PATH.
fn program() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    folders.push("/usr/bin".into());
    let mut programs = folders
        .iter()
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .filter(|program| program.is_file());
    programs.next()
}

fn launch(folder: &Folder, port: u16) -> Program {
    let log = folder.path().join("pushgateway.log");
    fs::create_dir_all(folder.path()).expect("the folder can be made");
    let listen = format!("--web.listen-address=127.0.0.1:{port}");
    let arguments = [&*listen, "--persistence.file=", "--log.level=warn"];
    let program = program().expect(MISSING);
    Program::start("pushgateway", &program, &arguments, &Settings::new(), &log, false)
}
