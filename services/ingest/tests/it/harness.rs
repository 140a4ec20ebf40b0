//! A server of its own for each test, and the role beside it.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request,
};
use bytes::Bytes;
use serde_json::Value;
use signalbox_access::Access;
use signalbox_broker::{Broker, Publish, browse::Stored};
use signalbox_ingest::{Admission, Config, Types, UnknownOrgs};
use signalbox_proto::{Key, Name, Org, org::OrgStatus, subjects};
use signalbox_runtime::{AdminKey, Health, Metrics, Process, Settings, Shutdown, Tracer};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::Instant,
};
use tower::ServiceExt as _;

/// How long anything that must happen may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);
/// Between two looks at what must happen.
const LOOK: Duration = Duration::from_millis(20);
/// What a server may store. The streams' bounds are reserved, not used.
const MAX_FILE_STORE: &str = "1TB";
/// The most that an answer has.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The installation's own key.
pub(crate) const ROOT: &str = "sbx_the-admin-key-of-this-test";

/// Waits until `look` answers `Ok`; past the deadline the test fails with the last answer.
pub(crate) async fn within<T>(deadline: Duration, what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let until = Instant::now() + deadline;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) => assert!(
                Instant::now() < until,
                "{what}: not within {deadline:?}; last seen: {seen}"
            ),
        }
        tokio::time::sleep(LOOK).await;
    }
}

pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Result<T, String>) -> T {
    within(SOON, what, look).await
}

/// A server with a store of its own. It ends with the test.
struct Server {
    url: String,
    _store: TempDir,
    _child: Child,
}

impl Server {
    async fn start() -> Self {
        let store = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let config = store.path().join("nats-server.conf");
        let text = format!(
            "jetstream {{ store_dir: {:?}, max_file_store: {MAX_FILE_STORE} }}\n",
            store.path()
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new(binary())
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-c"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        eventually("a server that listens", async || {
            let connected = TcpStream::connect(("127.0.0.1", port)).await;
            connected.map(drop).map_err(|error| error.to_string())
        })
        .await;
        Self {
            url: format!("nats://127.0.0.1:{port}"),
            _store: store,
            _child: child,
        }
    }
}

/// The server's binary.
fn binary() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([tools])
        .map(|folder| folder.join("nats-server"))
        .find(|file| file.is_file())
        .expect("these tests need a nats-server: install one with `make tools`")
}

/// The defaults of a section.
fn section<T: serde::de::DeserializeOwned>(defaults: &'static str, name: &str) -> T {
    let settings = Settings::load(&[("test", defaults)], None, std::iter::empty(), &[]).unwrap();
    settings.section(name).unwrap()
}

/// The role, as others see it.
pub(crate) struct Role {
    pub(crate) broker: Broker,
    routes: Router,
}

impl Role {
    /// Plays a test beside the running role.
    pub(crate) async fn play(unknown_orgs: UnknownOrgs, test: impl AsyncFnOnce(&Self)) {
        let server = Server::start().await;
        let settings = signalbox_broker::Config {
            url: server.url.clone(),
            ..section(signalbox_broker::CONFIG_TOML, "nats")
        };
        let broker = Broker::connect(settings, "test").await.unwrap();
        broker.ensure_streams().await.unwrap();
        let process = Process::new(Health::new(), Metrics::new(), Tracer::disabled(), Shutdown::new()).unwrap();
        let root = AdminKey::new("test", &ROOT.to_owned().into()).unwrap();
        // One request a second: publishing is not held to it.
        let access = Access::new(root, &signalbox_access::Config { requests_per_second: 1 });
        let config = Config {
            unknown_orgs,
            ..section(signalbox_ingest::CONFIG_TOML, "ingest")
        };
        let types = Types::default();
        let admission = Admission::new(broker.clone(), &config, &process.metrics);
        let routes = signalbox_ingest::routes(
            broker.clone(),
            &config,
            access.clone(),
            types.clone(),
            admission.clone(),
        );
        let role = Self {
            broker: broker.clone(),
            routes,
        };
        let running = signalbox_ingest::run(
            broker.clone(),
            process.clone(),
            config,
            access.clone(),
            types,
            admission,
        );
        tokio::select! {
            ended = running => panic!("the role ended: {ended:?}"),
            ended = access.run(&broker, &process) => panic!("following the keys ended: {ended:?}"),
            () = async {
                process.health.ready().await;
                test(&role).await;
            } => {}
        }
    }

    /// Publishes over HTTP; status and body of the answer.
    pub(crate) async fn post(&self, key: Option<&str>, query: &str, event: &Value) -> (u16, Value) {
        let mut request = Request::post(format!("/v1/events{query}")).header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let request = request.body(Body::from(event.to_string())).unwrap();
        let answer = self.routes.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), ANSWER_BYTES_MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// Publishes over NATS and waits for the acknowledgement.
    pub(crate) async fn publish(&self, org: &str, headers: &[(&'static str, &str)], body: &str) {
        let subject = subjects::input(&org.parse().unwrap(), &"user.joined".parse().unwrap());
        let publish = Publish {
            subject: subject.into(),
            id: None,
            headers: headers
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
            body: Bytes::from(body.to_owned()),
        };
        self.broker.publisher().publish(publish).await.unwrap();
    }

    pub(crate) async fn put_key(&self, hash: &str, key: &Key) {
        let entry = subjects::key_key(hash);
        let put = self.broker.put_newer(subjects::CONFIG, &entry, key, key.revision).await;
        put.unwrap();
    }

    pub(crate) async fn put_org(&self, name: &str, status: OrgStatus, revision: u64) {
        let org = Org {
            name: name.parse::<Name>().unwrap(),
            status,
            revision,
        };
        let entry = subjects::org_key(name);
        let put = self.broker.put_newer(subjects::CONFIG, &entry, &org, revision).await;
        put.unwrap();
    }

    /// The messages of a stream, once there are so many.
    pub(crate) async fn stored(&self, stream: &str, filter: &str, count: usize) -> Vec<Stored> {
        eventually(&format!("{count} messages in {stream}"), async || {
            let found = self.broker.read_from(stream, filter, 1, 1_000).await;
            match found {
                Ok(found) if found.len() == count => Ok(found),
                Ok(found) => Err(format!("{} messages", found.len())),
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    }
}
