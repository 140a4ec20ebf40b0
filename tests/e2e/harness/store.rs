//! Stores of objects that check who writes: moto, which nobody here wrote and which speaks Amazon's protocol, and a double of
//! Google's. Both keep objects in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
};

use super::{
    client::try_request,
    process::{Folder, Program, Settings, free_port, workspace},
    wait::eventually,
};
use crate::foreign::{python, run_within};

/// How long a start may take: Python reads much.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long all objects take to be read.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an answer takes over a [`Wire`]: so that whatever is killed has asked for something.
const ANSWER_AFTER: Duration = Duration::from_millis(200);
/// Of the answers that say that something is stored, one of so many is lost.
const LOST_EVERY: usize = 10;
/// A file as Google makes it for a service account. It was made for tests.
pub(crate) const ACCOUNT: &str = include_str!("../../../shared/providers/src/gcs/account.json");

/// One object.
#[derive(Debug, Deserialize)]
pub(crate) struct Stored {
    #[serde(rename = "type")]
    pub(crate) content_type: String,
    pub(crate) class: String,
    /// What stands in it, unpacked as its key's extension says.
    pub(crate) lines: String,
}

/// A key that a store knows.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
}

#[derive(Deserialize)]
struct Keys {
    writer: Key,
    reader: Key,
}

/// Moto, with one bucket. It checks signatures and rights, as IAM does.
pub(crate) struct Amazon {
    _server: Server,
    url: String,
    bucket: &'static str,
    keys: Keys,
}

impl Amazon {
    /// With a user that may do what the policy says, and no more.
    pub(crate) async fn start(bucket: &'static str, policy: &str) -> Self {
        let (server, url) = Server::start(
            "moto",
            &["-m", "moto.server", "-H", "127.0.0.1", "-p"],
            &[],
            "/moto-api/",
        )
        .await;
        let made = run_within("bucket.py", &["make", &url, bucket], policy, READY_TIMEOUT).await;
        Self {
            _server: server,
            url,
            bucket,
            keys: serde_json::from_str(&made).expect("two keys"),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Of the user that the policy is for.
    pub(crate) fn key(&self) -> &Key {
        &self.keys.writer
    }

    /// All objects by their keys, as Amazon's own client reads them.
    pub(crate) async fn objects(&self) -> BTreeMap<String, Stored> {
        let key = json!(self.keys.reader).to_string();
        let read = run_within("bucket.py", &["read", &self.url, self.bucket], &key, READ_TIMEOUT).await;
        serde_json::from_str(&read).expect("objects")
    }
}

/// A double of Google's store, with one bucket. It checks tokens.
pub(crate) struct Google {
    _server: Server,
    url: String,
}

impl Google {
    pub(crate) async fn start(bucket: &str) -> Self {
        let script = workspace().join("tests/e2e/foreign/google_storage.py");
        let account = workspace().join("shared/providers/src/gcs/account.json");
        let [script, account] = [&script, &account].map(|path| path.to_str().expect("a path is UTF-8"));
        let (server, url) = Server::start("google_storage", &[script], &[bucket, account], "/all").await;
        Self { _server: server, url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// All objects by their keys.
    pub(crate) async fn objects(&self) -> BTreeMap<String, Stored> {
        let answer = try_request(&self.url, "GET", "/all", &[], Vec::new())
            .await
            .expect("the double answers");
        serde_json::from_value(answer.ok()).expect("objects")
    }
}

/// A server written in Python.
struct Server {
    _program: Program,
    _folder: Folder,
}

impl Server {
    /// Starts it with its port between these arguments, and waits until it answers.
    async fn start(name: &str, before: &[&str], behind: &[&str], asked: &str) -> (Self, String) {
        let (folder, port) = (Folder::new(), free_port());
        let log = folder.path().join(format!("{name}.log"));
        let number = port.to_string();
        let arguments = [before, &[&number], behind].concat();
        let program = Program::start(name, &python(), &arguments, &Settings::new(), &log, false);
        let url = format!("http://127.0.0.1:{port}");
        eventually(
            READY_TIMEOUT,
            &format!("{name} answers (`make tools` installs what it needs)"),
            async || match try_request(&url, "GET", asked, &[], Vec::new()).await? {
                answer if answer.status == 200 => Ok(()),
                answer => Err(answer.text()),
            },
        )
        .await;
        let server = Self {
            _program: program,
            _folder: folder,
        };
        (server, url)
    }
}

/// A way to a store on which answers take their time, and some are lost when the store has done what it was asked.
pub(crate) struct Wire {
    url: String,
    answers: Arc<Mutex<Answers>>,
}

/// How often each status came to a write, and how many of these answers were lost.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    pub(crate) statuses: BTreeMap<String, usize>,
    pub(crate) lost: usize,
}

impl Wire {
    /// To a store that closes the connection behind each answer.
    pub(crate) async fn start(store: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let store = store
            .strip_prefix("http://")
            .expect("an address without TLS")
            .to_owned();
        let answers = Arc::<Mutex<Answers>>::default();
        let shared = answers.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (store, answers) = (store.clone(), shared.clone());
                // Who asks may be killed in its midst: that ends one connection, and nothing else.
                tokio::spawn(async move { pass(near, &store, &answers).await });
            }
        });
        Self {
            url: format!("http://{address}"),
            answers,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn answers(&self) -> Answers {
        self.answers.lock().expect("nobody panics with it").clone()
    }
}

async fn pass(near: TcpStream, store: &str, answers: &Mutex<Answers>) -> std::io::Result<()> {
    let far = TcpStream::connect(store).await?;
    let ((mut asks, mut hears), (mut answer, mut asked)) = (near.into_split(), far.into_split());
    let mut first = [0; 3];
    asks.read_exact(&mut first).await?;
    asked.write_all(&first).await?;
    let asking = tokio::spawn(async move { copy(&mut asks, &mut asked).await });
    let mut told = Vec::new();
    answer.read_to_end(&mut told).await?;
    asking.abort();
    tokio::time::sleep(ANSWER_AFTER).await;
    if &first == b"PUT" && is_lost(&told, answers) {
        return Ok(());
    }
    hears.write_all(&told).await
}

fn is_lost(told: &[u8], answers: &Mutex<Answers>) -> bool {
    let head = String::from_utf8_lossy(&told[..told.len().min(32)]).into_owned();
    let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut answers = answers.lock().expect("nobody panics with it");
    let stored = status == "200";
    let count = answers.statuses.entry(status).or_default();
    *count += 1;
    let lost = stored && count.is_multiple_of(LOST_EVERY);
    answers.lost += usize::from(lost);
    lost
}
