//! What a benchmark found, as JSON for scripts and as a table for people.

use std::{collections::BTreeMap, time::Duration};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::args::{Scenario, Workload};

/// Figures of one pipeline, of one round or the medians of several.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Figures {
    /// Events published, without those for a target that never answers.
    pub events: u64,
    /// Deliveries that arrived, each counted once.
    pub delivered: u64,
    /// Deliveries that did not arrive.
    pub lost: u64,
    /// Arrivals of what had arrived before.
    pub duplicates: u64,
    /// Arrivals at an integration that had not asked for the event.
    pub misrouted: u64,
    /// From the first publish to the last arrival.
    pub events_per_s: f64,
    pub deliveries_per_s: f64,
    pub latency_ms: Latency,
    /// CPU seconds for each 1,000 deliveries.
    pub cpu_s_per_1000: Cost,
    /// Resident memory at the end of the round, in millions of bytes.
    pub rss_mb: Memory,
}

/// From publishing to arrival, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// CPU by process; `load` is this one: publisher and receiver, and the bare pipeline's worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Cost {
    pub signalbox: f64,
    pub nats_server: f64,
    pub load: f64,
    pub total: f64,
}

/// Memory by process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Memory {
    pub signalbox: f64,
    pub nats_server: f64,
    pub load: f64,
}

impl Latency {
    /// Quantiles of latencies in microseconds; zeroes when there are none.
    pub(super) fn of(mut micros: Vec<u32>) -> Self {
        micros.sort_unstable();
        let last = micros.len().saturating_sub(1);
        let ms = |index: usize| {
            micros
                .get(index.min(last))
                .map_or(0.0, |micros| f64::from(*micros) / 1_000.0)
        };
        Self {
            p50: ms(micros.len() / 2),
            p99: ms(micros.len() * 99 / 100),
            max: ms(last),
        }
    }
}

impl Figures {
    /// Sums of counts and medians of everything else.
    ///
    /// Panics without any round, which the arguments rule out.
    pub(super) fn over(rounds: &[Self]) -> Self {
        let sum = |field: fn(&Self) -> u64| rounds.iter().map(field).sum();
        let mid = |field: fn(&Self) -> f64| median(rounds.iter().map(field).collect());
        Self {
            events: sum(|round| round.events),
            delivered: sum(|round| round.delivered),
            lost: sum(|round| round.lost),
            duplicates: sum(|round| round.duplicates),
            misrouted: sum(|round| round.misrouted),
            events_per_s: mid(|round| round.events_per_s),
            deliveries_per_s: mid(|round| round.deliveries_per_s),
            latency_ms: Latency {
                p50: mid(|round| round.latency_ms.p50),
                p99: mid(|round| round.latency_ms.p99),
                max: mid(|round| round.latency_ms.max),
            },
            cpu_s_per_1000: Cost {
                signalbox: mid(|round| round.cpu_s_per_1000.signalbox),
                nats_server: mid(|round| round.cpu_s_per_1000.nats_server),
                load: mid(|round| round.cpu_s_per_1000.load),
                total: mid(|round| round.cpu_s_per_1000.total),
            },
            rss_mb: Memory {
                signalbox: mid(|round| round.rss_mb.signalbox),
                nats_server: mid(|round| round.rss_mb.nats_server),
                load: mid(|round| round.rss_mb.load),
            },
        }
    }
}

/// The middle value, or the mean of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    let lower = (values.len() - 1) / 2;
    f64::midpoint(values[lower], values[upper])
}

/// What the bare pipeline may cost on two cores, in CPU seconds for each 1,000 deliveries, for a ratio against it to
/// count. A dearer one would flatter what is measured. At low rates most of it is wake-ups. `None` where none is set.
fn bare_cost_max(deliveries_per_s: u64) -> Option<f64> {
    match deliveries_per_s {
        0 => Some(0.045),
        1..200 => None,
        200..1_000 => Some(0.65),
        1_000.. => Some(0.45),
    }
}

/// A second measurement to set beside the first.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Comparison {
    /// The healthy integration without the one that hangs.
    Alone(Figures),
    /// The same load with few integrations.
    Few(Figures),
}

/// The whole report. `path`'s fields stand at its top level.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Report {
    pub scenario: Scenario,
    pub rate: u64,
    pub fanout: u64,
    pub integrations: u64,
    pub payload_bytes: usize,
    pub rounds: u32,
    #[serde(flatten)]
    pub path: Figures,
    pub bare: Figures,
    /// Total CPU for each 1,000 deliveries against the bare pipeline's.
    pub cpu_ratio: f64,
    /// Whether the bare pipeline was cheap enough for the ratio to count.
    pub cpu_ratio_counts: bool,
    #[serde(flatten)]
    pub comparison: Option<Comparison>,
    /// Further figures of a scenario, by name.
    #[serde(flatten)]
    pub derived: BTreeMap<&'static str, f64>,
    pub warnings: Vec<String>,
}

impl Report {
    pub(super) fn new(workload: &Workload, path: Figures, bare: Figures, comparison: Option<Comparison>) -> Self {
        let mut warnings = Vec::new();
        let cost = bare.cpu_s_per_1000.total;
        let cost_max = bare_cost_max(workload.rate * workload.fanout);
        let cpu_ratio_counts = cost_max.is_none_or(|max| cost <= max);
        if let Some(max) = cost_max.filter(|_| !cpu_ratio_counts) {
            warnings.push(format!(
                "the bare pipeline took {cost:.3} CPU seconds for 1,000 deliveries, more than {max}: something else ran \
                 on this machine, or it is slow, and cpu_ratio does not count"
            ));
        }
        if bare.lost > 0 {
            warnings.push(format!(
                "the bare pipeline lost {} deliveries: do not trust its figures",
                bare.lost
            ));
        }
        Self {
            scenario: workload.scenario,
            rate: workload.rate,
            fanout: workload.fanout,
            integrations: workload.integrations,
            payload_bytes: workload.payload_bytes,
            rounds: workload.rounds,
            cpu_ratio: path.cpu_s_per_1000.total / cost,
            cpu_ratio_counts,
            derived: derived(workload, &path, comparison.as_ref()),
            path,
            bare,
            comparison,
            warnings,
        }
    }

    /// The table for people.
    pub(super) fn table(&self) -> String {
        let mut columns = vec![("signalbox", &self.path)];
        match &self.comparison {
            Some(Comparison::Alone(figures)) => columns.push(("alone", figures)),
            Some(Comparison::Few(figures)) => columns.push(("few integrations", figures)),
            None => {}
        }
        columns.push(("bare pipeline", &self.bare));

        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header(std::iter::once("").chain(columns.iter().map(|(name, _)| *name)));
        let mut row = |name: &str, cell: &dyn Fn(&Figures) -> String| {
            table.add_row(std::iter::once(name.to_owned()).chain(columns.iter().map(|(_, figures)| cell(figures))));
        };
        row("events", &|figures| figures.events.to_string());
        row("delivered", &|figures| figures.delivered.to_string());
        row("lost", &|figures| figures.lost.to_string());
        row("duplicates", &|figures| figures.duplicates.to_string());
        if columns.iter().any(|(_, figures)| figures.misrouted > 0) {
            row("misrouted", &|figures| figures.misrouted.to_string());
        }
        row("events/s", &|figures| format!("{:.0}", figures.events_per_s));
        if self.fanout > 1 {
            row("deliveries/s", &|figures| format!("{:.0}", figures.deliveries_per_s));
        }
        row("latency p50, ms", &|figures| format!("{:.2}", figures.latency_ms.p50));
        row("latency p99, ms", &|figures| format!("{:.2}", figures.latency_ms.p99));
        row("CPU s per 1,000", &|figures| {
            format!("{:.4}", figures.cpu_s_per_1000.total)
        });
        row("  signalbox", &|figures| {
            format!("{:.4}", figures.cpu_s_per_1000.signalbox)
        });
        row("  nats-server", &|figures| {
            format!("{:.4}", figures.cpu_s_per_1000.nats_server)
        });
        row("  load", &|figures| format!("{:.4}", figures.cpu_s_per_1000.load));
        row("memory, MB", &|figures| format!("{:.0}", figures.rss_mb.signalbox));
        row("  nats-server", &|figures| format!("{:.0}", figures.rss_mb.nats_server));
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }

        let mut text = format!("{table}\n\nCPU ratio {:.2}\n", self.cpu_ratio);
        for (name, value) in &self.derived {
            text.push_str(&format!("{} {value:.2}\n", name.replace('_', " ")));
        }
        for warning in &self.warnings {
            text.push_str(&format!("warning: {warning}\n"));
        }
        text
    }
}

fn derived(workload: &Workload, path: &Figures, comparison: Option<&Comparison>) -> BTreeMap<&'static str, f64> {
    match comparison {
        None => BTreeMap::new(),
        Some(Comparison::Alone(alone)) => BTreeMap::from([
            ("p99_ratio_to_alone", path.latency_ms.p99 / alone.latency_ms.p99),
            ("p99_ms_more_than_alone", path.latency_ms.p99 - alone.latency_ms.p99),
        ]),
        Some(Comparison::Few(few)) => {
            let more = (workload.integrations - super::args::ROUTING_FEW) as f64;
            BTreeMap::from([
                ("events_per_s_ratio_to_few", path.events_per_s / few.events_per_s),
                (
                    "bytes_per_integration",
                    (path.rss_mb.signalbox - few.rss_mb.signalbox) * 1e6 / more,
                ),
            ])
        }
    }
}

/// A count for each second of a duration.
pub(super) fn per_second(count: u64, duration: Duration) -> f64 {
    if duration.is_zero() {
        0.0
    } else {
        count as f64 / duration.as_secs_f64()
    }
}

/// Seconds for each 1,000 of a count.
pub(super) fn per_thousand(duration: Duration, count: u64) -> f64 {
    if count == 0 {
        0.0
    } else {
        duration.as_secs_f64() * 1_000.0 / count as f64
    }
}

#[cfg(test)]
mod tests;
