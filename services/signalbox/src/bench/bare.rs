//! The bare pipeline: what moving an event through a queue to a target costs without any of Signalbox.
//!
//! A nats-server with the settings of the child of `up`, one work queue, and a loop that pulls a message, posts it
//! with an HTTP client set up as the product's, and acknowledges it. It shares publisher, receiver and payload with
//! the measured path, and it is what `cpu_ratio` divides by.
//!
//! All of it but the server runs on the benchmark's one thread. At low rates wake-ups are most of the cost, and threads
//! that wake each other would add a quarter at 200 a second: the comparison is with the least that the work can cost.

use std::{net::Ipv4Addr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use async_nats::{
    Client, Subject,
    jetstream::{
        self,
        consumer::{AckPolicy, pull},
        stream,
    },
};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::task::JoinHandle;

use super::{
    publisher::{NatsPublisher, Outgoing, Pace},
    tally::{RunId, Tally},
};
use crate::nats_server::{Durability, NatsServer, Options};

const STREAM: &str = "BARE";
const SUBJECT: &str = "bare.event";
/// Messages asked of the server at once.
const PULL_MESSAGES: usize = 256;
/// Requests in flight at once.
const REQUESTS_MAX: usize = 64;
const ACK: Bytes = Bytes::from_static(b"+ACK");

/// A running bare pipeline.
#[derive(Debug)]
pub(super) struct Bare {
    server: NatsServer,
    publisher: NatsPublisher,
    worker: JoinHandle<()>,
    data: Arc<str>,
}

impl Bare {
    /// Starts server and worker; the worker posts to `target`.
    pub(super) async fn start(
        data_dir: PathBuf,
        server_path: Option<PathBuf>,
        durability: Durability,
        target: String,
        data: Arc<str>,
    ) -> anyhow::Result<Self> {
        let server = NatsServer::start(Options {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            data_dir,
            server_path,
            durability,
            file_store_bytes_max: 16 << 30,
            memory_store_bytes_max: 256 << 20,
        })
        .await
        .context("cannot start the nats-server of the bare pipeline")?;
        let nats = async_nats::connect(server.url())
            .await
            .context("cannot connect to the bare pipeline's server")?;
        let messages = messages(&nats).await?;
        let publisher = NatsPublisher::connect(server.url()).await?;
        let worker = tokio::spawn(work(messages, nats, http_client()?, target));
        Ok(Self {
            server,
            publisher,
            worker,
            data,
        })
    }

    /// The process id of its server.
    pub(super) fn server_pid(&self) -> u32 {
        self.server.pid()
    }

    /// Publishes a run; returns when its last event is acknowledged by the server.
    pub(super) async fn publish(&mut self, tally: &Tally, run: RunId, pace: Pace) -> anyhow::Result<()> {
        let data = &self.data;
        self.publisher
            .publish(pace, |event| Outgoing {
                subject: Subject::from_static(SUBJECT),
                headers: None,
                payload: body(tally, run, event, data).into(),
            })
            .await
    }

    /// Stops worker and server.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.worker.abort();
        self.server.stop().await
    }
}

/// The body of a webhook, as Signalbox would send it for the same event.
fn body(tally: &Tally, run: RunId, event: u64, data: &str) -> String {
    let mut body = String::with_capacity(data.len() + 160);
    body.push_str("{\"id\":\"");
    tally.write_id(run, event, &mut body);
    body.push_str("\",\"type\":\"bench.t0\",\"timestamp\":\"2026-01-01T00:00:00.000000000Z\",\"data\":");
    body.push_str(data);
    body.push_str(",\"metadata\":{}}");
    body
}

/// A client with the settings of the product's: HTTP/1.1, a pool, the same timeouts, no redirects, no proxy.
fn http_client() -> anyhow::Result<reqwest::Client> {
    // Nothing here is called over TLS; given explicitly, the client loads no certificates and needs no global state.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(15))
        .build()
        .context("cannot build an HTTP client")
}

/// Pulls, posts, acknowledges, for ever. What fails is not acknowledged and comes again, or shows as lost.
async fn work(messages: pull::Stream, nats: Client, http: reqwest::Client, target: String) {
    messages
        .for_each_concurrent(REQUESTS_MAX, async |message| {
            if let Err(error) = deliver(message, &nats, &http, &target).await {
                tracing::warn!(error = format!("{error:#}"), "a delivery of the bare pipeline failed");
            }
        })
        .await;
}

async fn messages(nats: &Client) -> anyhow::Result<pull::Stream> {
    let stream = jetstream::new(nats.clone())
        .create_stream(stream::Config {
            name: STREAM.into(),
            subjects: vec![SUBJECT.into()],
            retention: stream::RetentionPolicy::WorkQueue,
            ..Default::default()
        })
        .await
        .context("cannot create the stream of the bare pipeline")?;
    let consumer = stream
        .create_consumer(pull::Config {
            durable_name: Some("bare".into()),
            ack_policy: AckPolicy::Explicit,
            ..Default::default()
        })
        .await
        .context("cannot create the consumer of the bare pipeline")?;
    consumer
        .stream()
        .max_messages_per_batch(PULL_MESSAGES)
        .heartbeat(Duration::from_secs(15))
        .messages()
        .await
        .context("cannot pull from the bare pipeline's stream")
}

async fn deliver(
    message: Result<jetstream::Message, pull::MessagesError>,
    nats: &Client,
    http: &reqwest::Client,
    target: &str,
) -> anyhow::Result<()> {
    let message = message?.message;
    let response = http.post(target).body(message.payload).send().await?;
    let status = response.status();
    response.bytes().await?;
    anyhow::ensure!(status.is_success(), "the receiver answered {status}");
    nats.publish(message.reply.context("a message without a reply subject")?, ACK)
        .await?;
    Ok(())
}
