//! The measured path: a `signalbox up` of our own, and how events get into it.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use rustix::process::Signal;
use serde::Deserialize;
use signalbox_proto::{Event, EventType, Name, RawJson, subjects, types::default_severity, wire};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::{
    http::HttpPublisher,
    publisher::{NatsPublisher, Outgoing, Pace},
    tally::{ID_CHARS, RunId, Tally},
};
use crate::{nats_server, proc::Process};

/// How long `up` may take to be ready with one integration.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// What each further integration may add: applying them is not what is measured.
const READY_TIMEOUT_PER_INTEGRATION: Duration = Duration::from_millis(10);
/// How long `up` may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// How events are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Nats,
    Http,
    /// Straight to EVENTS, as the HTTP door publishes.
    Accepted,
}

/// Partitions of an `up` whose EVENTS is published to directly: the subject names the partition.
const PARTITIONS: u32 = 1;

/// A `signalbox up` with its integrations.
#[derive(Debug)]
pub(super) struct Up {
    child: Child,
    /// Held open, though nothing follows the first line: a closed one would break a later write.
    stdout: BufReader<ChildStdout>,
    log: PathBuf,
    integrations: usize,
    door: Door,
    /// Its nats-server, as last seen: one that outlives a killed `up` is ours to stop.
    server: Option<Process>,
    publisher: Option<Publisher>,
    /// By number.
    types: Vec<BenchType>,
    data: Arc<str>,
}

/// A type of events, and where they are published over NATS.
#[derive(Debug)]
struct BenchType {
    name: EventType,
    subject: Subject,
}

#[derive(Debug)]
enum Publisher {
    Nats(NatsPublisher),
    Http(HttpPublisher),
    Accepted(NatsPublisher),
}

/// The line that `up` prints when all is ready. Without `Debug`, as it holds a key.
#[derive(Deserialize)]
struct Ready {
    api: String,
    nats: String,
    #[serde(default)]
    key: Option<String>,
}

impl Up {
    /// Starts `up` on a folder that does not exist yet, with an integration for each target: the type of the events
    /// that it wants, and its URL. `data` is the data of every event, as JSON.
    pub(super) fn spawn(
        directory: &Path,
        targets: &[(u64, String)],
        door: Door,
        data: Arc<str>,
    ) -> anyhow::Result<Self> {
        fs::create_dir(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let file = directory.join("integrations.yaml");
        fs::write(&file, integrations_yaml(targets)).with_context(|| format!("cannot write {}", file.display()))?;
        let log = directory.join("up.log");
        let log_file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(std::env::current_exe().context("cannot find this program's own file")?);
        if door == Door::Accepted {
            command.env("SIGNALBOX_NATS__PARTITIONS", PARTITIONS.to_string());
        }
        let mut child = command
            .args(["up", "--output", "json"])
            .args([
                "--listen",
                "127.0.0.1:0",
                "--nats-listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
            ])
            .arg("--data-dir")
            .arg(directory.join("data"))
            .arg("-f")
            .arg(&file)
            // The receiver is on the loopback, which is closed to targets otherwise.
            .env("SIGNALBOX_EGRESS__ALLOW", "127.0.0.0/8")
            // It shall make a key of its own, and print it.
            .env("SIGNALBOX_AUTH__ADMIN_KEY_FILE", "")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            // A Ctrl-C is for us; we stop it in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start signalbox up")?;
        let stdout = BufReader::new(child.stdout.take().context("signalbox up has no standard output")?);
        let types = targets.iter().map(|(number, _)| number + 1).max().unwrap_or_default();
        let types = (0..types)
            .map(|number| BenchType::new(number, door))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            child,
            stdout,
            log,
            integrations: targets.len(),
            door,
            server: None,
            publisher: None,
            types,
            data,
        })
    }

    /// Waits until it is ready, and connects to it.
    pub(super) async fn ready(&mut self) -> anyhow::Result<()> {
        let patience = READY_TIMEOUT
            + READY_TIMEOUT_PER_INTEGRATION.saturating_mul(u32::try_from(self.integrations).unwrap_or(u32::MAX));
        let mut line = String::new();
        match timeout(patience, self.stdout.read_line(&mut line)).await {
            Err(_) => bail!(
                "signalbox up was not ready in {} s{}",
                patience.as_secs(),
                self.log_end()
            ),
            Ok(Err(error)) => return Err(error).context("cannot read what signalbox up prints"),
            Ok(Ok(0)) => bail!("signalbox up ended at its start{}", self.log_end()),
            Ok(Ok(_)) => {}
        }
        let ready: Ready = serde_json::from_str(&line).with_context(|| format!("signalbox up printed {line:?}"))?;
        self.pids()?;
        self.publisher = Some(match self.door {
            Door::Nats => Publisher::Nats(NatsPublisher::connect(&ready.nats).await?),
            Door::Http => {
                let key = ready.key.context("signalbox up printed no key")?;
                Publisher::Http(HttpPublisher::new(&ready.api, &key)?)
            }
            Door::Accepted => Publisher::Accepted(NatsPublisher::connect(&ready.nats).await?),
        });
        Ok(())
    }

    /// Its process and its nats-server's.
    pub(super) fn pids(&mut self) -> anyhow::Result<(u32, u32)> {
        let up = self
            .child
            .id()
            .and_then(Process::find)
            .with_context(|| format!("signalbox up ended{}", self.log_end()))?;
        self.server = server_of(up);
        let server = self.server.context("signalbox up has no nats-server as its child")?;
        Ok((up.pid, server.pid))
    }

    /// Waits until it has ended, which it should not; always an error.
    pub(super) async fn ended(&mut self) -> anyhow::Result<Infallible> {
        let status = self.child.wait().await.context("cannot wait for signalbox up")?;
        bail!("signalbox up ended by itself ({status}){}", self.log_end())
    }

    /// Publishes a run whose events are of the first `types` types in turn; returns when the last one is accepted.
    pub(super) async fn publish(&mut self, tally: &Tally, run: RunId, types: u64, pace: Pace) -> anyhow::Result<()> {
        let all = &self.types;
        let type_of = |event: u64| &all[usize::try_from(event % types).expect("no more types than fit in memory")];
        match self.publisher.as_mut().context("published before it was ready")? {
            Publisher::Nats(publisher) => {
                let data = Bytes::copy_from_slice(self.data.as_bytes());
                let make = |event| {
                    let mut id = String::with_capacity(ID_CHARS);
                    tally.write_id(run, event, &mut id);
                    let mut headers = HeaderMap::new();
                    headers.insert("ce-id", id);
                    Outgoing {
                        subject: type_of(event).subject.clone(),
                        headers: Some(headers),
                        payload: data.clone(),
                    }
                };
                publisher.publish(pace, make).await
            }
            Publisher::Http(publisher) => {
                let data = &self.data;
                let write = |event, body: &mut String| {
                    body.push_str("{\"id\":\"");
                    tally.write_id(run, event, body);
                    write!(body, "\",\"type\":\"{}\",\"data\":{data}}}", type_of(event).name)
                        .expect("a String takes any text");
                };
                publisher.publish(pace, write).await
            }
            Publisher::Accepted(publisher) => {
                let data = RawJson::from_checked(Bytes::copy_from_slice(self.data.as_bytes()));
                let make = |event| {
                    let mut id = String::with_capacity(ID_CHARS);
                    tally.write_id(run, event, &mut id);
                    accepted(id, type_of(event), data.clone())
                };
                publisher.publish(pace, make).await
            }
        }
        .with_context(|| format!("cannot publish{}", self.log_end()))
    }

    /// Stops it, by force after a minute, and sees its nats-server gone.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        // Connections that were still open would be waited for.
        drop(self.publisher.take());
        if let Some(up) = self.child.id().and_then(Process::find) {
            self.server = server_of(up).or(self.server);
            nats_server::send(up.pid, Signal::TERM)?;
            if timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
                self.child.kill().await.context("cannot kill signalbox up")?;
            }
        }
        match self.server {
            Some(server) if server.is_alive() => nats_server::stop_orphan(server).await,
            _ => Ok(()),
        }
    }

    /// The end of its log, to be put after a message.
    pub(super) fn log_end(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().rev().take(10).collect();
        if lines.is_empty() {
            return String::new();
        }
        format!(
            "; its log ends:\n{}",
            lines.into_iter().rev().collect::<Vec<_>>().join("\n")
        )
    }
}

fn server_of(up: Process) -> Option<Process> {
    up.children().into_iter().find(|child| {
        child
            .arguments()
            .first()
            .is_some_and(|program| Path::new(program).ends_with("nats-server"))
    })
}

impl BenchType {
    fn new(number: u64, door: Door) -> anyhow::Result<Self> {
        let name: EventType = format!("bench.t{number}").parse()?;
        let org = Name::default_org();
        let subject = match door {
            // Over HTTP nothing is published over NATS.
            Door::Nats | Door::Http => subjects::input(&org, &name),
            Door::Accepted => subjects::event(&org, &name, PARTITIONS),
        };
        Ok(Self {
            name,
            subject: subject.into(),
        })
    }
}

/// The message by which `POST /v1/events` stores an event that gives its id, its type and its data.
fn accepted(id: String, of_type: &BenchType, data: RawJson) -> Outgoing {
    let org = Name::default_org();
    let event = Event {
        id,
        source: Event::default_source(&org),
        org,
        event_type: of_type.name.clone(),
        subject: None,
        time: None,
        agent_id: None,
        execution_id: None,
        severity: default_severity(of_type.name.as_str()),
        severity_named: false,
        data,
        datacontenttype: None,
        data_base64: false,
        look: None,
        metadata: BTreeMap::new(),
    };
    let mut headers = HeaderMap::new();
    headers.insert(async_nats::header::NATS_MESSAGE_ID, event.key());
    Outgoing {
        subject: of_type.subject.clone(),
        headers: Some(headers),
        payload: wire::encode(&event).expect("an event of our own can be encoded").into(),
    }
}

/// The file that `up -f` applies.
fn integrations_yaml(targets: &[(u64, String)]) -> String {
    let mut text = String::from("integrations:\n");
    for (number, (event_type, url)) in targets.iter().enumerate() {
        write!(
            text,
            "  - name: bench-{number}\n    org: default\n    provider: webhook\n    config: {{ url: \"{url}\" }}\n    \
             events: [\"bench.t{event_type}\"]\n"
        )
        .expect("a String takes any text");
    }
    text
}
