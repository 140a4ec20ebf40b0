//! The ledger of the last while, checked regularly and told on `/metrics`.

use std::time::Duration;

use signalbox_broker::Error;
use signalbox_proto::Timestamp;
use signalbox_runtime::metrics::{Gauge, Metrics};

use crate::Keeper;

/// What the last check found.
pub(crate) struct Gauges {
    missing: Gauge,
    moving: Gauge,
}

impl Gauges {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            missing: metrics.gauge(
                "ledger_missing",
                "Owed deliveries of which no stream knows anything, at the last check.",
            ),
            moving: metrics.gauge("ledger_moving", "Deliveries that had not ended at the last check."),
        }
    }
}

/// Checks again and again, each time somewhat further back than the last check began.
pub(crate) async fn run(keeper: &Keeper, gauges: &Gauges) -> Result<(), Error> {
    if keeper.config.ledger_every_s == 0 {
        return std::future::pending().await;
    }
    let every = Duration::from_secs(keeper.config.ledger_every_s);
    loop {
        tokio::time::sleep(every).await;
        let report = match keeper.broker.check_ledger(Timestamp::now() - every * 3 / 2).await {
            Ok(report) => report,
            Err(error) => {
                tracing::warn!(%error, "the ledger could not be checked; the next check reads it again");
                continue;
            }
        };
        gauges.missing.set(report.missing as f64);
        gauges.moving.set(report.moving as f64);
        if !report.is_even() {
            tracing::error!(missing = report.missing, first = ?report.missing_events.first(), "the ledger is not even; run `signalbox doctor`");
        }
    }
}
