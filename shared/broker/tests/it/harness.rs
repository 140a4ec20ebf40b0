//! Servers that can be killed, connections that can be cut, messages to publish.

use std::{
    future::Future,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use signalbox_broker::{Broker, Config, Error, Message, Publish, Puller, topology::Consumer};
use signalbox_proto::{Accepted, Delivery, Event, Name, RawJson, Severity, Timestamp};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::Instant,
};

/// How long anything that must happen may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// Between two looks at what must happen.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// The server's binary.
///
/// # Panics
/// Where there is none, with the command that installs one.
pub(crate) fn binary() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([tools])
        .map(|folder| folder.join("nats-server"))
        .find(|file| file.is_file())
        .expect("these tests need a nats-server: install one with `make tools`")
}

/// Waits until `look` finds something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {SOON:?}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Fails instead of waiting for ever.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(SOON, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {SOON:?}"))
}

/// One server with a store of its own. It ends with the test.
pub(crate) struct Server {
    program: PathBuf,
    arguments: Vec<String>,
    pub(crate) port: u16,
    store: TempDir,
    child: Option<Child>,
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// What a server may store, unless a test is about just that.
const MAX_FILE_STORE: &str = "1TB";

/// The path of a config that turns JetStream on in this folder. The streams' bounds are reserved, not used: a disk that
/// has less free than they add up to is no reason to refuse them.
fn config_file(store: &tempfile::TempDir, max_file_store: &str) -> String {
    let config = store.path().join("nats-server.conf");
    let text = format!(
        "jetstream {{ store_dir: {:?}, max_file_store: {max_file_store} }}\n",
        store.path()
    );
    std::fs::write(&config, text).unwrap();
    config.to_str().unwrap().to_owned()
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_program(binary()).await
    }

    pub(crate) async fn start_program(program: PathBuf) -> Self {
        let store = tempfile::tempdir().unwrap();
        let port = free_port().await;
        let arguments = [
            "-a",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-c",
            &config_file(&store, MAX_FILE_STORE),
        ];
        let arguments = arguments.map(str::to_owned).to_vec();
        let mut server = Self {
            program,
            arguments,
            port,
            store,
            child: None,
        };
        server.restart().await;
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it again with another bound on what it may store.
    pub(crate) async fn restart_with_storage(&mut self, max_file_store: &str) {
        self.kill().await;
        config_file(&self.store, max_file_store);
        self.restart().await;
    }

    /// Starts it on the port and the store that it had.
    pub(crate) async fn restart(&mut self) {
        let log = std::fs::File::create(self.store.path().join("server.log")).unwrap();
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let port = self.port;
        eventually("a server that listens", async || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
            let mut greeting = [0; 4];
            stream
                .read_exact(&mut greeting)
                .await
                .ok()
                .filter(|_| &greeting == b"INFO")
        })
        .await;
    }

    /// `kill -9`: what was not handed to the system is lost.
    pub(crate) async fn kill(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    /// Asks it to end, as a service manager does.
    pub(crate) async fn terminate(&mut self) {
        let mut child = self.child.take().unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        soon("the end of a server", child.wait()).await.unwrap();
    }

    /// Publishes under any subject: the client would refuse some.
    pub(crate) async fn publish_raw(&self, subject: &str, body: &[u8]) {
        self.publish_block(subject.as_bytes(), b"", body).await;
    }

    /// Publishes under any subject with any block of headers; none where it is empty.
    pub(crate) async fn publish_block(&self, subject: &[u8], block: &[u8], body: &[u8]) {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", self.port)).await.unwrap());
        let (verb, sizes) = match block.len() {
            0 => ("PUB", format!("{}", body.len())),
            length => ("HPUB", format!("{length} {}", length + body.len())),
        };
        let head = format!("CONNECT {{\"verbose\":false,\"headers\":true}}\r\n{verb} ");
        let sizes = format!(" {sizes}\r\n");
        stream
            .write_all(&[head.as_bytes(), subject, sizes.as_bytes(), block, body, b"\r\nPING\r\n"].concat())
            .await
            .unwrap();
        let mut line = String::new();
        while !line.starts_with("PONG") {
            line.clear();
            assert_ne!(
                stream.read_line(&mut line).await.unwrap(),
                0,
                "the server hung up on {}",
                String::from_utf8_lossy(subject)
            );
        }
    }
}

/// Three servers with one store each, of which any may be killed.
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let mut ports = Vec::new();
        for _ in 0..3 {
            ports.push((free_port().await, free_port().await));
        }
        let routes: Vec<String> = ports
            .iter()
            .map(|(_, route)| format!("nats://127.0.0.1:{route}"))
            .collect();
        let routes = routes.join(",");
        let mut servers = Vec::new();
        for (index, (port, route)) in ports.into_iter().enumerate() {
            let store = tempfile::tempdir().unwrap();
            let arguments = [
                "-a",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-c",
                &config_file(&store, MAX_FILE_STORE),
                "-n",
                &format!("n{index}"),
                "--cluster_name",
                "c",
                "--cluster",
                &format!("nats://127.0.0.1:{route}"),
                "--routes",
                &routes,
            ]
            .map(str::to_owned)
            .to_vec();
            let mut server = Server {
                program: binary(),
                arguments,
                port,
                store,
                child: None,
            };
            server.restart().await;
            servers.push(server);
        }
        Self { servers }
    }

    pub(crate) fn url(&self) -> String {
        self.servers.iter().map(Server::url).collect::<Vec<_>>().join(",")
    }
}

/// A TCP proxy before a server, that can be cut.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    open: watch::Sender<bool>,
    connections: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Proxy {
    pub(crate) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, is_open) = watch::channel(true);
        let connections: Arc<Mutex<Vec<JoinHandle<()>>>> = Arc::default();
        let all = connections.clone();
        tokio::spawn(async move {
            while let Ok((mut inner, _)) = listener.accept().await {
                if !*is_open.borrow() {
                    continue;
                }
                let connection = tokio::spawn(async move {
                    if let Ok(mut outer) = TcpStream::connect(("127.0.0.1", target)).await {
                        // Either end may hang up: that is what a cut is.
                        drop(tokio::io::copy_bidirectional(&mut inner, &mut outer).await);
                    }
                });
                all.lock().unwrap().push(connection);
            }
        });
        Self {
            port,
            open,
            connections,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Ends every connection and takes no new one.
    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
        self.drop_connections();
    }

    pub(crate) fn heal(&self) {
        self.open.send_replace(true);
    }

    /// Ends every connection; a new one comes through at once.
    pub(crate) fn drop_connections(&self) {
        self.connections
            .lock()
            .unwrap()
            .drain(..)
            .for_each(|connection| connection.abort());
    }
}

pub(crate) fn config(url: &str) -> Config {
    Config {
        url: url.to_owned(),
        user: String::new(),
        password: String::new().into(),
        credentials_file: PathBuf::new(),
        ca_file: PathBuf::new(),
        replicas: 1,
        partitions: 1,
        storage_bytes: 1 << 30,
        events_age_s: 3_600,
        dead_age_s: 3_600,
        outcomes_age_s: 3_600,
    }
}

pub(crate) async fn connect(url: &str) -> Broker {
    connect_with(config(url)).await
}

pub(crate) async fn connect_with(config: Config) -> Broker {
    soon("a connection", Broker::connect(config, "test")).await.unwrap()
}

/// A server with all streams, and a connection to it.
pub(crate) async fn ready() -> (Server, Broker) {
    let server = Server::start().await;
    let broker = connect(&server.url()).await;
    broker.ensure_streams().await.unwrap();
    (server, broker)
}

/// A server with all streams, and the stream and consumers of [`provider`].
pub(crate) async fn ready_to_deliver() -> (Server, Broker) {
    let (server, broker) = ready().await;
    broker.ensure_provider(&provider()).await.unwrap();
    (server, broker)
}

/// A client beside the broker's, for what the broker cannot do: to break things and to look.
pub(crate) async fn jetstream(server: &Server) -> async_nats::jetstream::Context {
    async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

pub(crate) async fn messages(broker: &Broker, stream: &str) -> u64 {
    broker.stream_state(stream).await.unwrap().messages
}

/// Pulls so many messages, without acknowledging them.
pub(crate) async fn take(puller: &mut Puller, count: usize) -> Vec<Message> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(soon("a message", puller.next(count - taken.len())).await);
    }
    taken
}

pub(crate) async fn open(broker: &Broker, consumer: Consumer) -> Result<Puller, Error> {
    Puller::open(broker, consumer).await
}

pub(crate) fn org() -> Name {
    "acme".parse().unwrap()
}

pub(crate) fn provider() -> Name {
    "webhook".parse().unwrap()
}

pub(crate) fn event(id: &str) -> Event {
    Event {
        id: id.to_owned(),
        org: org(),
        event_type: "execution.failed".parse().unwrap(),
        source: "/acme".into(),
        subject: None,
        time: None,
        agent_id: None,
        execution_id: None,
        severity: Severity::Low,
        severity_named: false,
        data: RawJson::default(),
        datacontenttype: None,
        data_base64: false,
        look: None,
        metadata: std::collections::BTreeMap::new(),
    }
}

pub(crate) fn delivery(id: &str, integration: &str) -> Delivery {
    let accepted = Accepted {
        event: event(id),
        seq: 1,
        at: Timestamp::now(),
    };
    Delivery::first(accepted, integration, &provider(), 1, 1)
}

/// An accepted event, with its place in EVENTS.
pub(crate) async fn accept(broker: &Broker, id: &str) -> Accepted {
    let event = event(id);
    let ack = broker
        .publisher()
        .publish(broker.event_publish(&event).unwrap())
        .await
        .unwrap();
    Accepted {
        event,
        seq: ack.seq,
        at: Timestamp::now(),
    }
}

pub(crate) fn publish(subject: &str, id: Option<&str>, body: &str) -> Publish {
    Publish {
        subject: subject.to_owned().into(),
        id: id.map(str::to_owned),
        headers: Vec::new(),
        body: body.to_owned().into_bytes().into(),
    }
}

pub(crate) fn text(message: &Message) -> String {
    String::from_utf8(message.body.to_vec()).unwrap()
}
