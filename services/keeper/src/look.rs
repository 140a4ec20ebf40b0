//! What waits and since when, on `/metrics`.

use std::collections::BTreeMap;

use signalbox_broker::{Error, waiting::Waiting};
use signalbox_proto::Timestamp;
use signalbox_runtime::metrics::{Metrics, Table};

use crate::Keeper;

/// Integrations that have rows of their own, those with most waiting first. Sums count all.
const ROWS_MAX: usize = 1_000;

/// The tables, by integration, provider and org.
pub(crate) struct Rows {
    waiting: Table<4>,
    oldest: Table<3>,
    by_provider: Table<1>,
    oldest_by_provider: Table<1>,
    by_org: Table<1>,
    oldest_by_org: Table<1>,
}

impl Rows {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let integration = ["org", "provider", "integration"];
        Self {
            waiting: metrics.table(
                "waiting",
                "Deliveries that wait, by integration and where: pending, retrying, parked.",
                ["org", "provider", "integration", "where"],
            ),
            oldest: metrics.table(
                "oldest_waiting_seconds",
                "Age of the oldest delivery that waits, by integration.",
                integration,
            ),
            by_provider: metrics.table("provider_waiting", "Deliveries that wait, by provider.", ["provider"]),
            oldest_by_provider: metrics.table(
                "provider_oldest_waiting_seconds",
                "Age of the oldest delivery that waits, by provider.",
                ["provider"],
            ),
            by_org: metrics.table("org_waiting", "Deliveries that wait, by org.", ["org"]),
            oldest_by_org: metrics.table(
                "org_oldest_waiting_seconds",
                "Age of the oldest delivery that waits, by org.",
                ["org"],
            ),
        }
    }
}

/// Looks once and replaces the rows.
pub(crate) async fn look(keeper: &Keeper, rows: &Rows) -> Result<(), Error> {
    let mut look = keeper.broker.look_at_waiting().await?;
    keeper.view.read(|view| {
        for waiting in look
            .integrations
            .iter_mut()
            .filter(|waiting| waiting.provider.is_empty())
        {
            if let Some(integration) = view.integrations.get(&waiting.integration) {
                waiting.provider = integration.provider.to_string();
            }
        }
    });
    let now = Timestamp::now();
    let mut by_integration = Vec::new();
    let mut oldest = Vec::new();
    for waiting in look.integrations.iter().take(ROWS_MAX) {
        let labels = [
            waiting.org.clone(),
            waiting.provider.clone(),
            waiting.integration.clone(),
        ];
        for (place, count) in [
            ("pending", waiting.pending),
            ("retrying", waiting.retrying),
            ("parked", waiting.parked),
        ] {
            let [org, provider, integration] = labels.clone();
            by_integration.push(([org, provider, integration, place.to_owned()], count as f64));
        }
        if let Some(since) = waiting.oldest {
            oldest.push((labels, now.since(since).as_secs_f64()));
        }
    }
    rows.waiting.replace(by_integration);
    rows.oldest.replace(oldest);
    let (counts, ages) = sums(&look.integrations, |waiting| &waiting.provider, now);
    rows.by_provider.replace(counts);
    rows.oldest_by_provider.replace(ages);
    let (counts, ages) = sums(&look.integrations, |waiting| &waiting.org, now);
    rows.by_org.replace(counts);
    rows.oldest_by_org.replace(ages);
    if !look.orphans.is_empty() {
        tracing::error!(count = look.orphans.len(), first = %look.orphans[0], "messages lie where no consumer reads them");
    }
    Ok(())
}

type Row = ([String; 1], f64);

fn sums(all: &[Waiting], label: impl Fn(&Waiting) -> &String, now: Timestamp) -> (Vec<Row>, Vec<Row>) {
    let mut counts: BTreeMap<&String, (u64, Option<Timestamp>)> = BTreeMap::new();
    for waiting in all {
        let entry = counts.entry(label(waiting)).or_default();
        entry.0 += waiting.total();
        entry.1 = match (entry.1, waiting.oldest) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    let rows = counts
        .iter()
        .map(|(label, (count, _))| ([(*label).clone()], *count as f64))
        .collect();
    let ages = counts
        .iter()
        .filter_map(|(label, (_, oldest))| Some(([(*label).clone()], now.since((*oldest)?).as_secs_f64())))
        .collect();
    (rows, ages)
}
