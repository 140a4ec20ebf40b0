//! Batches of spans as OTLP/JSON over HTTP/1.1 to a collector on this host or network.
//!
//! Written here rather than taken from the OpenTelemetry exporters, which bring generated protobuf code and a second
//! HTTP stack for what is one POST. The form is the JSON mapping of
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>. TLS is the collector's business: a role talks to one nearby.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, StatusCode, Uri,
    client::conn::http1::{SendRequest, handshake},
    header,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::{debug, warn};

use super::tracer::{Command, OwnedAttribute, Span};
use crate::{Error, settings::redacted};

/// How often one batch is tried, and how long the first pause between two tries is; the second is twice as long.
const TRIES_MAX: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// The most that is read of a collector's answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The least time between two warnings of one kind.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// When a batch goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batching {
    pub(super) batch_max: usize,
    pub(super) flush_interval: Duration,
}

/// Sends what comes until every tracer is gone.
pub(super) async fn run(
    mut commands: mpsc::Receiver<Command>,
    mut collector: Collector,
    batching: Batching,
    dropped: Arc<AtomicU64>,
) {
    let mut spans = Vec::new();
    let mut waiting = Vec::new();
    let mut buffer = Vec::new();
    let mut losses = Losses {
        spans: 0,
        reason: String::new(),
        warned: None,
    };
    loop {
        // No timer runs while there is nothing to send.
        let Some(first) = commands.recv().await else { break };
        buffer.push(first);
        let deadline = Instant::now() + batching.flush_interval;
        loop {
            for command in buffer.drain(..) {
                match command {
                    Command::Span(span) => spans.push(span),
                    Command::Flush(done) => waiting.push(done),
                }
            }
            let room = batching.batch_max.saturating_sub(spans.len());
            if room == 0 || !waiting.is_empty() {
                break;
            }
            match timeout_at(deadline, commands.recv_many(&mut buffer, room)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
        if !spans.is_empty()
            && let Err(reason) = collector.deliver(&encode(&spans)).await
        {
            losses.add(spans.len() as u64, &reason);
        }
        spans.clear();
        losses.add(dropped.swap(0, Ordering::Relaxed), "the queue was full");
        losses.warn(!waiting.is_empty());
        for done in waiting.drain(..) {
            if done.send(()).is_err() {
                debug!("no one waits for this flush any more");
            }
        }
    }
}

/// Spans that never arrived, told about in one line for many.
struct Losses {
    spans: u64,
    reason: String,
    warned: Option<Instant>,
}

impl Losses {
    fn add(&mut self, spans: u64, reason: &str) {
        if spans > 0 {
            self.spans += spans;
            reason.clone_into(&mut self.reason);
        }
    }

    fn warn(&mut self, at_once: bool) {
        let due = at_once || self.warned.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL);
        if self.spans > 0 && due {
            warn!(
                spans = self.spans,
                reason = self.reason,
                "spans were lost on the way to the collector"
            );
            self.spans = 0;
            self.warned = Some(Instant::now());
        }
    }
}

/// One kept connection to the collector.
#[derive(Debug)]
pub(super) struct Collector {
    host: String,
    port: u16,
    /// `host:port` as the Host header wants it.
    authority: String,
    path: String,
    request_timeout: Duration,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// Why a try failed, and whether another may succeed.
struct Failure {
    reason: String,
    again: bool,
}

impl Collector {
    /// Takes an address such as `http://127.0.0.1:4318`; where it has no path, `/v1/traces` is meant.
    pub(super) fn new(endpoint: &str, request_timeout: Duration) -> Result<Self, Error> {
        let refuse = |problem: &str| Error::Value {
            name: "telemetry.otlp_endpoint".to_owned(),
            problem: format!("{:?} {problem}", redacted(endpoint)),
        };
        let uri: Uri = endpoint
            .parse()
            .map_err(|_| refuse("is not an address such as http://127.0.0.1:4318"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(refuse(
                    "is https, which spans are not sent over: name a collector nearby that forwards them",
                ));
            }
            Some(_) | None => return Err(refuse("is not an address such as http://127.0.0.1:4318")),
        }
        let authority = uri.authority().ok_or_else(|| refuse("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("holds a user name, which is not supported"));
        }
        let path = match uri.path_and_query().map(|path| path.as_str()) {
            None | Some("" | "/") => "/v1/traces".to_owned(),
            Some(path) => path.to_owned(),
        };
        Ok(Self {
            host: authority
                .host()
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: authority.to_string(),
            path,
            request_timeout,
            connection: None,
        })
    }

    /// Sends one body, trying again where that may help. The error says why the last try failed.
    async fn deliver(&mut self, body: &Bytes) -> Result<(), String> {
        let mut tries = 1;
        loop {
            let outcome = timeout(self.request_timeout, self.send(body.clone())).await;
            let failure = match outcome {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(failure)) => failure,
                Err(_) => Failure {
                    reason: "the collector did not answer in time".to_owned(),
                    again: true,
                },
            };
            // A connection that failed in the middle of an exchange cannot carry the next one.
            self.connection = None;
            if !failure.again || tries == TRIES_MAX {
                return Err(failure.reason);
            }
            debug!(reason = failure.reason, tries, "sending spans again");
            sleep(PAUSE * tries).await;
            tries += 1;
        }
    }

    async fn send(&mut self, body: Bytes) -> Result<(), Failure> {
        let lost = |error: &dyn std::fmt::Display| Failure {
            reason: error.to_string(),
            again: true,
        };
        let mut connection = match self.connection.take() {
            // The collector closes a connection that was idle for long.
            Some(open) if !open.is_closed() => open,
            Some(_) | None => self.connect().await?,
        };
        connection.ready().await.map_err(|error| lost(&error))?;
        let request = Request::post(&self.path)
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| Failure {
                reason: error.to_string(),
                again: false,
            })?;
        let response = connection.send_request(request).await.map_err(|error| lost(&error))?;
        let status = response.status();
        // The rest of an answer would stand before the next one.
        Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| lost(&error))?;
        if status.is_success() {
            self.connection = Some(connection);
            return Ok(());
        }
        // The four statuses that the specification calls retryable.
        let again = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        Err(Failure {
            reason: format!("the collector answered {status}"),
            again,
        })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let lost = |error: &dyn std::fmt::Display| Failure {
            reason: format!("cannot connect to {}: {error}", self.authority),
            again: true,
        };
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| lost(&error))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(error = %error, "connection to the collector ended");
            }
        });
        Ok(sender)
    }
}

/// One request body: the spans grouped by the role that made them.
fn encode(spans: &[Span]) -> Bytes {
    let mut roles: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for span in spans {
        roles.entry(span.role).or_default().push(encode_span(span));
    }
    let resources: Vec<Value> = roles
        .into_iter()
        .map(|(role, spans)| {
            let service = if role.is_empty() {
                "signalbox".to_owned()
            } else {
                format!("signalbox-{role}")
            };
            json!({
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
                "scopeSpans": [{
                    "scope": {"name": "signalbox", "version": env!("CARGO_PKG_VERSION")},
                    "spans": spans,
                }],
            })
        })
        .collect();
    json!({ "resourceSpans": resources }).to_string().into()
}

fn encode_span(span: &Span) -> Value {
    let attributes: Vec<Value> = span
        .attributes
        .iter()
        .map(|(key, value)| {
            let value = match value {
                OwnedAttribute::Text(text) => json!({ "stringValue": text }),
                // 64-bit integers are texts in this mapping.
                OwnedAttribute::Int(number) => json!({ "intValue": number.to_string() }),
                OwnedAttribute::Flag(flag) => json!({ "boolValue": flag }),
            };
            json!({ "key": key, "value": value })
        })
        .collect();
    let mut encoded = json!({
        "traceId": format!("{:032x}", u128::from_be_bytes(span.context.trace_id)),
        "spanId": id(span.context.span_id),
        "flags": span.context.flags,
        "name": span.name,
        "kind": span.kind as i32,
        "startTimeUnixNano": span.start_nanos.to_string(),
        "endTimeUnixNano": span.end_nanos.to_string(),
        "attributes": attributes,
    });
    if let Some(parent) = span.parent_span_id {
        encoded["parentSpanId"] = id(parent).into();
    }
    if let Some(error) = &span.error {
        encoded["status"] = json!({ "code": 2, "message": error });
    }
    encoded
}

fn id(span_id: [u8; 8]) -> String {
    format!("{:016x}", u64::from_be_bytes(span_id))
}
