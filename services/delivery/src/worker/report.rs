//! What a worker says of an attempt: one log line, its metrics, its span.

use signalbox_broker::hops::TRACEPARENT;
use signalbox_proto::Outcome;
use signalbox_runtime::telemetry::{Attribute, Hop, Kind, TraceContext};

use super::Worker;
use crate::{
    attempt::Attempted,
    filing::{self, Job},
};

impl Worker {
    /// One line an attempt, its metrics, its span.
    pub(super) fn report(&self, job: &Job, attempted: &Attempted) {
        let word = filing::word(&attempted.outcome);
        if let Some(counter) = self.metrics.attempts.get(word) {
            counter.inc();
        }
        self.metrics.seconds.observe(attempted.took.as_secs_f64());
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
        if self.process.tracer.is_enabled() {
            let trace = delivery.event().event.metadata.get(TRACEPARENT);
            let parent = trace.and_then(|text| TraceContext::parse(text));
            let context = self.process.tracer.child_context(parent);
            let took = i64::try_from(attempted.took.as_nanos()).unwrap_or(i64::MAX);
            self.process.tracer.hop(Hop {
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
