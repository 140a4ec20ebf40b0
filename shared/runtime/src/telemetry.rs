//! Logs to standard error, the trace context that travels with events, and spans for a collector.
//!
//! Logs are `tracing` events with dotted field names (`event.id`, `delivery.id`, `duration_ms`). Traces are kept apart
//! from them: a message carries a W3C `traceparent`, each hop is a span with an explicit start and end, and
//! [`Tracer::hop`] costs one check of an option where no collector is set.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use serde::Deserialize;
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::LevelFilter, fmt::MakeWriter, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{
    Error,
    duration::Human,
    settings::{self, bound},
};

mod context;
mod otlp;
mod tracer;

pub use context::TraceContext;
pub use tracer::{Attribute, Hop, Kind, Tracer};

/// Section `log`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// A level, or levels by module, as in `info,signalbox_router=debug`.
    pub level: String,
    /// How lines look.
    pub format: Format,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Format {
    /// For people, in colour on a terminal.
    Text,
    /// One JSON object a line, fields beside `timestamp`, `level`, `target` and `message`.
    Json,
}

impl TryFrom<String> for Format {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{text:?} is neither text nor json")),
        }
    }
}

/// Section `telemetry`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// A collector's address, such as `http://127.0.0.1:4318`. None: no spans are made.
    #[serde(deserialize_with = "settings::none_if_empty")]
    pub otlp_endpoint: Option<String>,
    /// The share of the traces begun here that is exported, 0 to 1.
    pub sample_ratio: f64,
    /// Finished spans that may wait, 1 to 1,000,000.
    pub queue_max: usize,
    /// Spans in one request, 1 to 10,000.
    pub batch_max: usize,
    /// How long a span may wait for others, 10 ms to 1 min.
    pub flush_interval: Human,
    /// How long one request may take, 100 ms to 1 min.
    pub request_timeout: Human,
}

impl Telemetry {
    fn check(&self) -> Result<(), Error> {
        let minute = Human(Duration::from_secs(60));
        bound("telemetry.sample_ratio", self.sample_ratio, 0.0..=1.0)?;
        bound("telemetry.queue_max", self.queue_max, 1..=1_000_000)?;
        bound("telemetry.batch_max", self.batch_max, 1..=10_000)?;
        bound(
            "telemetry.flush_interval",
            self.flush_interval,
            Human(Duration::from_millis(10))..=minute,
        )?;
        bound(
            "telemetry.request_timeout",
            self.request_timeout,
            Human(Duration::from_millis(100))..=minute,
        )?;
        Ok(())
    }
}

/// Starts the log of this process on standard error. A second call changes nothing, so that roles in one process and
/// tests may each call it; a level that cannot be read is an error every time.
pub fn init(log: &Log) -> Result<(), Error> {
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = subscriber(log, io::stderr, colours)?;
    // The only failure is that a subscriber is already there, which is what a second call finds.
    drop(subscriber.try_init());
    Ok(())
}

fn subscriber<W>(log: &Log, writer: W, colours: bool) -> Result<impl Subscriber + Send + Sync + use<W>, Error>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let wrong = |why: &dyn std::fmt::Display| Error::Value {
        name: "log.level".to_owned(),
        problem: format!(
            "{:?} is not a level such as info or info,signalbox_router=debug: {why}",
            log.level
        ),
    };
    // Read as a filter, a word that is no level would name a module, and all others would be silent.
    let words = log.level.split(',').map(str::trim);
    if let Some(word) = words
        .filter(|part| !part.contains('='))
        .find(|word| word.is_empty() || word.parse::<LevelFilter>().is_err())
    {
        return Err(wrong(&format!(
            "{word:?} is none of off, error, warn, info, debug, trace"
        )));
    }
    let filter = EnvFilter::builder().parse(&log.level).map_err(|error| wrong(&error))?;
    // Below this it prints the addresses of servers whole, with the password that they may hold.
    let silent = "async_nats::connector=warn".parse().expect("a directive");
    let filter = filter.add_directive(silent);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match log.format {
        Format::Text => layer.with_ansi(colours).boxed(),
        Format::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
    };
    Ok(tracing_subscriber::registry().with(layer).with(filter))
}

#[cfg(test)]
mod tests;
