//! What the recorder says of itself on `/metrics`.

use signalbox_runtime::metrics::{Counter, Counters, Gauge, Gauges, Histogram, Metrics, SECONDS};

#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Records that were written.
    pub(crate) records: Counter,
    /// Deliveries that became known.
    pub(crate) new: Counter,
    /// Deliveries that were known and changed.
    pub(crate) changed: Counter,
    /// How long writing a batch took.
    pub(crate) write: Histogram,
    /// Batches that the database did not take, each try.
    pub(crate) failures: Counter,
    /// By what they were: records that this version cannot read.
    pub(crate) unreadable: Counters<1>,
    /// By stream: messages that it let go of before they were recorded.
    pub(crate) missed: Counters<1>,
    /// By stream: messages that are not recorded yet.
    pub(crate) behind: Gauges<1>,
    /// How old the oldest of them is that is in hand.
    pub(crate) behind_seconds: Gauge,
    /// By table: rows that went because of their age.
    pub(crate) pruned: Counters<1>,
}

impl Told {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            records: metrics.counter("recorder_records", "Records written into the database."),
            new: metrics.counter("recorder_deliveries_new", "Deliveries written for the first time."),
            changed: metrics.counter(
                "recorder_deliveries_changed",
                "Deliveries written again, as more is known.",
            ),
            write: metrics.histogram("recorder_write_seconds", "How long it took to write a batch.", SECONDS),
            failures: metrics.counter("recorder_failures", "Times that the database did not take a batch."),
            unreadable: metrics.counters(
                "recorder_unreadable",
                "Records that could not be read or written and are not in the database.",
                ["kind"],
            ),
            missed: metrics.counters(
                "recorder_missed_messages",
                "Messages that a stream let go of before they were recorded.",
                ["stream"],
            ),
            behind: metrics.gauges(
                "recorder_behind_messages",
                "Messages that wait for being recorded; told by the process that records.",
                ["stream"],
            ),
            behind_seconds: metrics.gauge(
                "recorder_behind_seconds",
                "How old the oldest record is that waits in the recorder's hand.",
            ),
            pruned: metrics.counters("recorder_pruned_rows", "Rows removed because of their age.", ["table"]),
        }
    }
}
