//! JetStream, as the rest of Signalbox sees it.
//!
//! The one crate that names `async-nats`. It declares streams and consumers in one place
//! ([`topology`]), publishes in a window under ids that survive a leader change ([`publisher`]),
//! pulls as much as there are permits for ([`puller`]), moves deliveries from hop to hop ([`hops`]),
//! and reads and writes the key-value buckets ([`kv`], [`directory`], [`lease`]).
//!
//! What to do with a message is decided elsewhere.

pub mod acts;
pub mod batch;
pub mod bounds;
pub mod browse;
pub mod callers;
pub mod counter;
pub mod digests;
pub mod directory;
pub mod erase;
mod error;
pub mod events;
pub mod follow;
pub mod hasten;
mod held;
pub mod holding;
pub mod hops;
pub mod idempotency;
pub mod keyrings;
pub mod kv;
pub mod lease;
pub mod ledger;
pub mod limiter;
pub mod message;
pub mod ordered;
pub mod outcomes;
pub mod patience;
pub mod publisher;
pub mod puller;
pub mod raw;
pub mod revisions;
pub mod standing;
pub mod suspects;
pub mod topology;
pub mod types;
pub mod waiting;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_nats::{ConnectOptions, Event, ServerAddr, jetstream};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::watch;

pub use error::Error;
pub use message::Message;
pub use publisher::{Ack, Publish, PublishError, Publisher, Receipt};
pub use puller::Puller;

/// The least nats-server: message schedules and counters came with 2.12.
pub const SERVER_MIN: (i64, i64, i64) = (2, 12, 0);
/// The least `max_payload`: four times the largest event, because later hops add to it.
pub const MAX_PAYLOAD_MIN: usize = 4 * signalbox_proto::event::BYTES_MAX;
/// The least storage budget: 100 MiB.
pub const STORAGE_BYTES_MIN: u64 = 100 * 1024 * 1024;
/// Ages that a stream's messages may reach, in seconds: ten minutes (twice the duplicate window of
/// EVENTS) to ten years.
pub const AGE_SECS: std::ops::RangeInclusive<u64> = 600..=315_360_000;
/// How long a request to the server may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection without an answer for twice this long is dead. The client's default is a minute.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// The section `nats` of the settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Servers to connect to, joined by commas.
    pub url: String,
    /// A user, with `password`; empty for none.
    pub user: String,
    /// The user's password; empty for none.
    pub password: SecretString,
    /// A credentials file (JWT and seed); empty for none.
    pub credentials_file: PathBuf,
    /// A file of root certificates for TLS; empty for the system's.
    pub ca_file: PathBuf,
    /// Copies of each stream: 1, 3 or 5.
    pub replicas: usize,
    /// Partitions of INGEST and EVENTS, 1–64. Lower it only when both are empty.
    pub partitions: u32,
    /// What all streams together may take, in bytes; each has a share.
    pub storage_bytes: u64,
    /// How long accepted events are kept for replay, in seconds.
    pub events_age_s: u64,
    /// How long dead letters are kept, in seconds.
    pub dead_age_s: u64,
    /// How long attempts are kept for readers, in seconds.
    pub outcomes_age_s: u64,
}

impl Config {
    /// Checks what can be checked without a server.
    pub fn check(&self) -> Result<(), Error> {
        let setting = |name, reason: String| Err(Error::Setting { name, reason });
        self.addresses()?;
        if !(1..=64).contains(&self.partitions) {
            return setting("nats.partitions", format!("{} is not from 1 to 64", self.partitions));
        }
        if ![1, 3, 5].contains(&self.replicas) {
            return setting("nats.replicas", format!("{} is not 1, 3 or 5", self.replicas));
        }
        if self.storage_bytes < STORAGE_BYTES_MIN {
            let least = STORAGE_BYTES_MIN;
            return setting("nats.storage_bytes", format!("{} is below {least}", self.storage_bytes));
        }
        for (name, secs) in [
            ("nats.events_age_s", self.events_age_s),
            ("nats.dead_age_s", self.dead_age_s),
            ("nats.outcomes_age_s", self.outcomes_age_s),
        ] {
            if !AGE_SECS.contains(&secs) {
                let (least, most) = (AGE_SECS.start(), AGE_SECS.end());
                return setting(name, format!("{secs} is not from {least} to {most}"));
            }
        }
        Ok(())
    }

    fn addresses(&self) -> Result<Vec<ServerAddr>, Error> {
        let read = |(index, url): (usize, &str)| {
            // The text is not repeated: it may hold a password.
            url.trim().parse::<ServerAddr>().map_err(|source| Error::Url {
                number: index + 1,
                source,
            })
        };
        self.url.split(',').enumerate().map(read).collect()
    }
}

/// The servers' addresses without what proves who we are.
fn hosts(addresses: &[ServerAddr]) -> String {
    let host = |address: &ServerAddr| format!("{}:{}", address.host(), address.port());
    addresses.iter().map(host).collect::<Vec<_>>().join(",")
}

/// The section's defaults, one comment a setting.
pub const CONFIG_TOML: &str = include_str!("../config.toml");

/// A connection to the servers, shared by all that a process does. Clones are cheap.
#[derive(Clone)]
pub struct Broker {
    // One pointer: roles clone the broker for each message.
    inner: Arc<Inner>,
}

struct Inner {
    client: async_nats::Client,
    jetstream: jetstream::Context,
    publisher: Publisher,
    connections: watch::Receiver<u64>,
    parks: hops::Parks,
    batches: tokio::sync::Semaphore,
    stores: kv::Stores,
    config: Config,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may hold a password.
        f.debug_struct("Broker").finish_non_exhaustive()
    }
}

impl Broker {
    /// Connects, waiting for the servers to be there, and checks that they are new enough.
    ///
    /// `name` is what the server lists the connection under. The wait is logged every few seconds
    /// and ends with the future.
    pub async fn connect(config: Config, name: &str) -> Result<Self, Error> {
        config.check()?;
        let addresses = config.addresses()?;
        let (connected, mut connections) = watch::channel(0_u64);
        let connected = Arc::new(connected);
        let mut wait = Duration::from_millis(100);
        let client = loop {
            let connected = connected.clone();
            let options = options(&config, name)?.event_callback(move |event| {
                let connected = connected.clone();
                async move {
                    match event {
                        Event::Connected => connected.send_modify(|count| *count += 1),
                        Event::Disconnected => tracing::warn!("lost the connection to NATS; reconnecting"),
                        Event::ServerError(error) => tracing::warn!(%error, "NATS reports an error"),
                        Event::ClientError(error) => tracing::warn!(%error, "the NATS client reports an error"),
                        Event::SlowConsumer(sid) => {
                            tracing::warn!(sid, "a subscription is slow; messages were dropped by the client")
                        }
                        Event::LameDuckMode => tracing::info!("a NATS server is about to leave"),
                        Event::Draining | Event::Closed => {}
                    }
                }
            });
            match options.connect(&addresses[..]).await {
                Ok(client) => break client,
                Err(error) => {
                    tracing::warn!(%error, nats.servers = %hosts(&addresses), "cannot reach NATS yet; trying again");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(2));
                }
            }
        };
        // The event may come after the connection: what is published before would be taken for
        // something that an earlier connection has lost.
        connections
            .wait_for(|count| *count > 0)
            .await
            .map_err(|_| Error::Connection {
                reason: "it ended at once".into(),
            })?;
        let broker = Self::over(client, connections, config);
        broker.check_server().await?;
        Ok(broker)
    }

    fn over(client: async_nats::Client, connections: watch::Receiver<u64>, config: Config) -> Self {
        let jetstream = jetstream::context::ContextBuilder::new()
            .timeout(REQUEST_TIMEOUT)
            .build(client.clone());
        let publisher = Publisher::start(client.clone(), connections.clone());
        let inner = Inner {
            client,
            jetstream,
            publisher,
            connections,
            parks: hops::Parks::new(),
            batches: tokio::sync::Semaphore::new(batch::BATCHES_MAX),
            stores: kv::Stores::default(),
            config,
        };
        Self { inner: Arc::new(inner) }
    }

    async fn check_server(&self) -> Result<(), Error> {
        let info = self.inner.client.server_info();
        let (major, minor, patch) = SERVER_MIN;
        if !self.inner.client.is_server_compatible(major, minor, patch) {
            return Err(Error::ServerTooOld { version: info.version });
        }
        if info.max_payload < MAX_PAYLOAD_MIN {
            return Err(Error::MaxPayload { is: info.max_payload });
        }
        let mut wait = Duration::from_millis(100);
        loop {
            match self.inner.jetstream.query_account().await {
                Ok(_) => return Ok(()),
                Err(error) if wait > Duration::from_secs(6) => {
                    return Err(Error::NoJetStream {
                        reason: error.to_string(),
                    });
                }
                Err(error) => {
                    tracing::info!(%error, "JetStream does not answer yet; trying again");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
            }
        }
    }

    /// The settings it was made with.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Publishing with acknowledgements.
    pub fn publisher(&self) -> &Publisher {
        &self.inner.publisher
    }

    /// The version of the server that this connection is to.
    pub fn server_version(&self) -> String {
        self.inner.client.server_info().version
    }

    /// Whether the connection stands at this moment.
    pub fn is_connected(&self) -> bool {
        matches!(
            self.inner.client.connection_state(),
            async_nats::connection::State::Connected
        )
    }

    /// Waits until everything written so far is on its way to the server.
    pub async fn flush(&self) -> Result<(), Error> {
        self.inner.client.flush().await.map_err(|error| Error::Connection {
            reason: error.to_string(),
        })
    }

    pub(crate) fn client(&self) -> &async_nats::Client {
        &self.inner.client
    }

    /// A text that no other process makes: the client's inboxes are unique.
    pub(crate) fn unique(&self) -> String {
        let inbox = self.inner.client.new_inbox();
        inbox.rsplit('.').next().unwrap_or_default().to_owned()
    }

    pub(crate) fn jetstream(&self) -> &jetstream::Context {
        &self.inner.jetstream
    }

    /// The places for batches under way; never closed.
    pub(crate) fn batch_places(&self) -> &tokio::sync::Semaphore {
        &self.inner.batches
    }

    pub(crate) fn parks(&self) -> &hops::Parks {
        &self.inner.parks
    }

    /// The number of connections that there have been: it changes when one is lost and made anew.
    pub fn reconnections(&self) -> watch::Receiver<u64> {
        self.connections()
    }

    pub(crate) fn stores(&self) -> &kv::Stores {
        &self.inner.stores
    }

    pub(crate) fn connections(&self) -> watch::Receiver<u64> {
        self.inner.connections.clone()
    }

    /// One request to the JetStream API, its answer as JSON.
    pub(crate) async fn api(&self, subject: &str, body: &serde_json::Value) -> Result<serde_json::Value, Error> {
        self.inner
            .jetstream
            .request::<_, _, serde_json::Value>(subject.to_owned(), body)
            .await
            .map_err(|error| Error::Request {
                what: subject.to_owned(),
                reason: error.to_string(),
            })
    }
}

fn options(config: &Config, name: &str) -> Result<ConnectOptions, Error> {
    let mut options = ConnectOptions::new()
        .name(name)
        .ping_interval(PING_INTERVAL)
        .connection_timeout(REQUEST_TIMEOUT)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .reconnect_delay_callback(|tries| Duration::from_millis((50 * tries as u64).min(1_000)));
    if !config.user.is_empty() {
        options = options.user_and_password(config.user.clone(), config.password.expose_secret().to_owned());
    }
    if !config.credentials_file.as_os_str().is_empty() {
        let text = std::fs::read_to_string(&config.credentials_file).map_err(|source| Error::Setting {
            name: "nats.credentials_file",
            reason: format!("cannot read {}: {source}", config.credentials_file.display()),
        })?;
        options = options.credentials(&text).map_err(|source| Error::Setting {
            name: "nats.credentials_file",
            reason: source.to_string(),
        })?;
    }
    if !config.ca_file.as_os_str().is_empty() {
        options = options.add_root_certificates(config.ca_file.clone()).require_tls(true);
    }
    Ok(options)
}
