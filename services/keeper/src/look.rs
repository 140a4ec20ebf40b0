//! What waits and since when, and what the storage holds: on `/metrics`, and as marks and budget in KV STATE.

use std::{collections::BTreeMap, sync::Mutex};

use signalbox_broker::{
    Error,
    waiting::{Look, Waiting},
};
use signalbox_proto::{
    Timestamp,
    bounds::{Budget, Marks},
    subjects,
};
use signalbox_runtime::metrics::{Gauge, Metrics, Table};

use crate::{
    Keeper,
    bounds::{History, Judged, judge},
};

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
    crowded: Gauge,
    orgs_refused: Gauge,
    storage_full: Gauge,
    storage: Table<1>,
    storage_share: Table<1>,
    storage_full_in: Table<1>,
    history: Mutex<History>,
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
            crowded: metrics.gauge(
                "integrations_over_mark",
                "Integrations with more deliveries waiting than keeper.waiting_integration_max.",
            ),
            orgs_refused: metrics.gauge(
                "orgs_over_mark",
                "Orgs whose publishing is refused, as more deliveries wait than keeper.waiting_org_max.",
            ),
            storage_full: metrics.gauge(
                "storage_over_mark",
                "1 while all publishing is refused, as what waits fills the storage.",
            ),
            storage: metrics.table("storage_bytes", "What a stream holds.", ["stream"]),
            storage_share: metrics.table(
                "storage_share_bytes",
                "What a stream may hold; `waiting` stands for all that have no share of their own.",
                ["stream"],
            ),
            storage_full_in: metrics.table(
                "storage_full_in_seconds",
                "When a stream that grows is full, if it goes on as over the last looks.",
                ["stream"],
            ),
            history: Mutex::default(),
        }
    }

    fn show_budget(&self, budget: &Budget) {
        let rows = |value: &dyn Fn(&signalbox_proto::bounds::Share) -> Option<u64>| {
            let shares = budget.shares.iter();
            shares
                .filter_map(|share| Some(([share.name.clone()], value(share)? as f64)))
                .collect()
        };
        self.storage.replace(rows(&|share| Some(share.bytes)));
        self.storage_share
            .replace(rows(&|share| Some(share.share_bytes).filter(|bytes| *bytes > 0)));
        self.storage_full_in.replace(rows(&|share| share.full_in_secs));
    }

    fn show_marks(&self, Judged { marks, crowded }: &Judged) {
        self.crowded.set(*crowded as f64);
        self.orgs_refused.set(marks.orgs.len() as f64);
        self.storage_full.set(if marks.storage.is_some() { 1.0 } else { 0.0 });
    }
}

/// Says each mark that something has passed or fallen below, once.
fn tell(before: &Marks, now: &Marks) {
    for (org, over) in now.orgs.iter().filter(|(org, _)| !before.orgs.contains_key(*org)) {
        tracing::error!(org = %org, waiting = over.is, mark = over.mark, "too much waits for an org: its publishing is refused");
    }
    for org in before.orgs.keys().filter(|org| !now.orgs.contains_key(*org)) {
        tracing::info!(org = %org, "less waits for an org again: it may publish");
    }
    let knows = |marks: &Marks, id: &str| marks.integrations.iter().any(|crowded| crowded.integration == id);
    for crowded in now
        .integrations
        .iter()
        .filter(|crowded| !knows(before, &crowded.integration))
    {
        tracing::warn!(
            org = %crowded.org, integration = %crowded.integration, waiting = crowded.over.is, mark = crowded.over.mark,
            "much waits for an integration"
        );
    }
    match (&before.storage, &now.storage) {
        (None, Some(over)) => {
            tracing::error!(
                bytes = over.is,
                mark = over.mark,
                "what waits fills the storage: all publishing is refused"
            );
        }
        (Some(_), None) => tracing::info!("what waits leaves room in the storage again"),
        _ => {}
    }
    match (before.refusals_full, now.refusals_full) {
        (false, true) => tracing::error!("DEAD has no room for refused inputs any more: quotas over NATS are not kept"),
        (true, false) => tracing::info!("DEAD has room for refused inputs again"),
        _ => {}
    }
}

/// Looks at the storage, and says what is above its mark to all who ask.
async fn look_at_bounds(keeper: &Keeper, rows: &Rows, look: &Look) -> Result<(), Error> {
    let (broker, config) = (&keeper.broker, &keeper.config);
    let sizes = broker.sizes().await?;
    // Another keeper may have written them: what was refused stays refused until it is below again.
    let before = broker.get::<Marks>(subjects::STATE, subjects::marks_key()).await?;
    let before = before.map(|entry| entry.value).unwrap_or_default();
    let budget = rows.history.lock().expect("no holder of the lock panics").budget(
        &sizes,
        broker.config().storage_bytes,
        Timestamp::now(),
    );
    let judged = judge(&before, look, &budget, config);
    rows.show_budget(&budget);
    rows.show_marks(&judged);
    tell(&before, &judged.marks);
    broker.put(subjects::STATE, subjects::budget_key(), &budget).await?;
    // At every look, also where nothing is above its mark: they hold for a few looks only, and ingest refuses nothing
    // over NATS where nobody looks after the room for it.
    broker
        .put(subjects::STATE, subjects::marks_key(), &judged.marks)
        .await?;
    Ok(())
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
    look_at_bounds(keeper, rows, &look).await
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
