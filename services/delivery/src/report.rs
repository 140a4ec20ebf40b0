//! What is said of an attempt: one log line, its metrics, its span.

use std::collections::HashMap;

use signalbox_broker::hops::TRACEPARENT;
use signalbox_proto::{Name, Outcome};
use signalbox_runtime::{
    Process, Tracer,
    metrics::{Counter, Histogram, SECONDS},
    telemetry::{Attribute, Hop, Kind, TraceContext},
};

use crate::{
    attempt::Attempted,
    filing::{self, Job},
};

/// Says it for the attempts at one provider's targets.
pub(crate) struct Attempts {
    provider: Name,
    counts: HashMap<&'static str, Counter>,
    seconds: Histogram,
    tracer: Tracer,
}

impl Attempts {
    pub(crate) fn new(process: &Process, provider: &Name) -> Self {
        let counts = process.metrics.counters(
            "delivery_attempts",
            "Requests answered, by what the answer meant.",
            ["provider", "outcome"],
        );
        let by_outcome = ["delivered", "retry", "reject", "suspend"];
        Self {
            counts: by_outcome
                .map(|word| (word, counts.with([provider.as_str(), word])))
                .into_iter()
                .collect(),
            seconds: process
                .metrics
                .histograms(
                    "delivery_attempt_seconds",
                    "How long attempts took.",
                    ["provider"],
                    SECONDS,
                )
                .with([provider.as_str()]),
            tracer: process.tracer.clone(),
            provider: provider.clone(),
        }
    }

    /// One line an attempt, its metrics, its span. Of what was no attempt the line alone.
    pub(crate) fn say(&self, job: &Job, attempted: &Attempted) {
        if attempted.is_none() {
            tracing::info!(
                delivery.id = %job.delivery.id,
                integration.id = %job.delivery.integration,
                provider = %self.provider,
                duration_ms = attempted.took.as_millis() as u64,
                reason = attempted.outcome.reason().unwrap_or_default(),
                "not sent yet"
            );
            return;
        }
        let word = filing::word(&attempted.outcome);
        if let Some(counter) = self.counts.get(word) {
            counter.inc();
        }
        self.seconds.observe(attempted.took.as_secs_f64());
        let delivery = &job.delivery;
        if attempted.outcome == Outcome::Delivered {
            tracing::debug!(
                delivery.id = %delivery.id,
                integration.id = %delivery.integration,
                provider = %self.provider,
                duration_ms = attempted.took.as_millis() as u64,
                "delivered"
            );
        } else {
            tracing::info!(
                delivery.id = %delivery.id,
                integration.id = %delivery.integration,
                provider = %self.provider,
                duration_ms = attempted.took.as_millis() as u64,
                attempt = delivery.attempt + 1,
                outcome = word,
                reason = attempted.outcome.reason().unwrap_or_default(),
                "not delivered"
            );
        }
        if self.tracer.is_enabled() {
            let trace = delivery.event().event.metadata.get(TRACEPARENT);
            let parent = trace.and_then(|text| TraceContext::parse(text));
            let context = self.tracer.child_context(parent);
            let took = i64::try_from(attempted.took.as_nanos()).unwrap_or(i64::MAX);
            self.tracer.hop(Hop {
                name: "deliver",
                kind: Kind::Client,
                parent: parent.as_ref(),
                context: context.as_ref(),
                start_nanos: attempted.started.nanos(),
                end_nanos: attempted.started.nanos().saturating_add(took),
                attributes: &[
                    ("delivery.id", Attribute::Text(&delivery.id)),
                    ("integration.id", Attribute::Text(&delivery.integration)),
                    ("provider", Attribute::Text(self.provider.as_str())),
                    ("outcome", Attribute::Text(word)),
                ],
                error: attempted.outcome.reason(),
            });
        }
    }
}
