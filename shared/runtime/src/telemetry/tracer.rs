//! What services call: a context for the next hop, and a finished span for the one that is over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};
use tracing::warn;

use super::{
    Telemetry, TraceContext,
    otlp::{self, Collector},
};
use crate::Error;

/// Makes spans of hops, or nothing at all where no collector is set. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Tracer {
    exporter: Option<Arc<Exporter>>,
    role: &'static str,
}

#[derive(Debug)]
struct Exporter {
    queue: mpsc::Sender<Command>,
    dropped: Arc<AtomicU64>,
    sample_ratio: f64,
}

/// What the exporting task takes from its queue.
#[derive(Debug)]
pub(super) enum Command {
    Span(Span),
    /// Answer when everything before this was sent or given up.
    Flush(oneshot::Sender<()>),
}

/// How a hop relates to its neighbours, numbered as in OTLP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Inside one role.
    #[default]
    Internal = 1,
    /// Answers a request.
    Server = 2,
    /// Makes a request and waits for the answer.
    Client = 3,
    /// Publishes a message.
    Producer = 4,
    /// Handles a message.
    Consumer = 5,
}

/// The value of a span's attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Attribute<'a> {
    /// A text.
    Text(&'a str),
    /// A whole number.
    Int(i64),
    /// Yes or no.
    Flag(bool),
}

/// One finished hop of an event or delivery.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// What was done: `ingest`, `route`, `deliver webhook`.
    pub name: &'static str,
    /// How it relates to its neighbours.
    pub kind: Kind,
    /// The context that came in with the message.
    pub parent: Option<&'a TraceContext>,
    /// The context of this hop: what [`Tracer::child_context`] made of `parent` and what travelled on.
    pub context: Option<&'a TraceContext>,
    /// Nanoseconds since 1970 at the start.
    pub start_nanos: i64,
    /// Nanoseconds since 1970 at the end.
    pub end_nanos: i64,
    /// Dotted names as in the logs: `event.id`, `delivery.id`.
    pub attributes: &'a [(&'static str, Attribute<'a>)],
    /// Why the hop failed, if it did. Anyone who may read traces may read this.
    pub error: Option<&'a str>,
}

/// A hop on its way to the collector.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) role: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) context: TraceContext,
    pub(super) parent_span_id: Option<[u8; 8]>,
    pub(super) start_nanos: i64,
    pub(super) end_nanos: i64,
    pub(super) attributes: Vec<(&'static str, OwnedAttribute)>,
    pub(super) error: Option<String>,
}

#[derive(Debug)]
pub(super) enum OwnedAttribute {
    Text(String),
    Int(i64),
    Flag(bool),
}

impl Tracer {
    /// A tracer that does nothing.
    pub fn disabled() -> Self {
        Self::default()
    }

    /// Starts the exporting task on the current runtime, or gives a tracer that does nothing where no collector is set.
    /// An endpoint that is not plain http is refused.
    pub fn start(settings: &Telemetry) -> Result<Self, Error> {
        settings.check()?;
        let Some(endpoint) = &settings.otlp_endpoint else {
            return Ok(Self::disabled());
        };
        let collector = Collector::new(endpoint, settings.request_timeout.0)?;
        let (queue, commands) = mpsc::channel(settings.queue_max);
        let dropped = Arc::new(AtomicU64::new(0));
        let batching = otlp::Batching {
            batch_max: settings.batch_max,
            flush_interval: settings.flush_interval.0,
        };
        tokio::spawn(otlp::run(commands, collector, batching, Arc::clone(&dropped)));
        let exporter = Exporter {
            queue,
            dropped,
            sample_ratio: settings.sample_ratio,
        };
        Ok(Self {
            exporter: Some(Arc::new(exporter)),
            role: "",
        })
    }

    /// The same tracer for one role: its spans belong to the service `signalbox-<role>`.
    pub fn for_role(&self, role: &'static str) -> Self {
        Self {
            exporter: self.exporter.clone(),
            role,
        }
    }

    /// Whether spans go anywhere. Callers need not ask; it saves them making costly attributes.
    pub fn is_enabled(&self) -> bool {
        self.exporter.is_some()
    }

    /// The context for a hop whose message came in with `parent`, to travel on with what the hop publishes.
    ///
    /// Without a collector, or where the trace is not recorded, that is the parent, unchanged. Else it is a child of the
    /// parent, or a new trace where there was none.
    pub fn child_context(&self, parent: Option<TraceContext>) -> Option<TraceContext> {
        let Some(exporter) = &self.exporter else { return parent };
        Some(match parent {
            Some(parent) if parent.sampled() => parent.child(),
            Some(parent) => parent,
            None => {
                let root = TraceContext::root();
                if exporter.takes(&root) { root } else { root.unsampled() }
            }
        })
    }

    /// Hands over a finished hop. Never waits: what finds the queue full is counted and dropped.
    pub fn hop(&self, hop: Hop<'_>) {
        let Some(exporter) = &self.exporter else { return };
        let Some(context) = hop.context.filter(|context| context.sampled()) else {
            return;
        };
        let span = Span {
            role: self.role,
            name: hop.name,
            kind: hop.kind,
            context: *context,
            parent_span_id: hop.parent.map(|parent| parent.span_id),
            start_nanos: hop.start_nanos,
            end_nanos: hop.end_nanos,
            attributes: hop
                .attributes
                .iter()
                .map(|(name, value)| (*name, value.owned()))
                .collect(),
            error: hop.error.map(str::to_owned),
        };
        match exporter.queue.try_send(Command::Span(span)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
                exporter.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until every span handed over before is sent or given up, at most `limit`. Called at the end of a process.
    pub async fn flush(&self, limit: Duration) {
        let Some(exporter) = &self.exporter else { return };
        let (done, answer) = oneshot::channel();
        let flushed = async { exporter.queue.send(Command::Flush(done)).await.is_ok() && answer.await.is_ok() };
        if !tokio::time::timeout(limit, flushed).await.unwrap_or(false) {
            warn!(
                limit_ms = limit.as_millis(),
                "the last spans did not reach the collector"
            );
        }
    }
}

impl Exporter {
    /// The share by trace id, so that every role decides alike.
    fn takes(&self, context: &TraceContext) -> bool {
        let [.., a, b, c, d] = context.trace_id;
        f64::from(u32::from_be_bytes([a, b, c, d])) < self.sample_ratio * (f64::from(u32::MAX) + 1.0)
    }
}

impl Attribute<'_> {
    fn owned(self) -> OwnedAttribute {
        match self {
            Self::Text(text) => OwnedAttribute::Text(text.to_owned()),
            Self::Int(number) => OwnedAttribute::Int(number),
            Self::Flag(flag) => OwnedAttribute::Flag(flag),
        }
    }
}
