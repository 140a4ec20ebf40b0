//! What happened in each hour and each day, by integration and by provider: counts and histograms of times.
//!
//! A row of `stats` is the sum of what the deliveries say (`tally`). It is moved by the difference between a delivery's
//! row before and after, in the transaction that writes that row: so a delivery that is retried and then arrives is
//! counted once, where it stands now, and a batch that comes again counts nothing. One row is read and written for each
//! slot that a batch touches, whatever number of deliveries it has.
//!
//! **Invariant:** whatever the order and the batches of its records, the figures are those of the rows of `deliveries`.
//! Attempts that a row has left out because it has too many stay counted, and so does what is too old and was removed
//! with its day still kept.

mod figures;
mod histogram;
mod read;
mod slot;
mod tally;

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use sqlx::AnyConnection;

use super::{bulk::Bulk, recorded::Recorded};
use crate::{
    Error,
    sql::{Row, Sql},
};

pub use figures::{Count, Figures};
pub use histogram::{Histogram, RELATIVE_ERROR};
pub use read::{OfIntegration, OfProvider};
pub use slot::{DAY, HOUR, Window};

pub(super) use read::statements;

/// The statement by which figures that are too old go, up to its limit.
pub(super) const PRUNE: &str =
    "delete from stats where slot in (select slot from stats where at < $1 order by at limit ";

/// Counts what a batch changed: these rows, as they were before where they were known.
pub(super) async fn write(
    connection: &mut AnyConnection,
    before: &BTreeMap<&str, &Recorded>,
    after: &[Recorded],
) -> Result<(), Error> {
    static SELECT: LazyLock<Bulk> =
        LazyLock::new(|| Bulk::list("select slot, figures_json from stats where slot in", ""));
    static UPSERT: LazyLock<Bulk> = LazyLock::new(|| {
        Bulk::rows(
            "insert into stats (slot, at, figures_json) values ",
            3,
            " on conflict (slot) do update set figures_json = excluded.figures_json",
        )
    });
    let mut tally = tally::Tally::default();
    for row in after {
        tally.note(before.get(row.id.as_str()).copied(), row);
    }
    let mut slots = tally.slots();
    let names: Vec<String> = slots.keys().map(|slot| slot.0.clone()).collect();
    let rows = SELECT
        .fetch(connection, &names, |parameters, name| parameters.push(name.as_str()))
        .await?;
    let mut known = HashMap::with_capacity(rows.len());
    for row in &rows {
        let row = Row::of("figures of an hour or a day", row);
        known.insert(row.text("slot")?, figures(&row)?);
    }
    for ((slot, _), figures) in &mut slots {
        if let Some(known) = known.get(slot) {
            figures.add(known);
        }
    }
    let slots: Vec<_> = slots.into_iter().collect();
    UPSERT
        .execute(connection, &slots, |parameters, ((slot, at), figures)| {
            parameters.push(slot.as_str());
            parameters.push(*at);
            parameters.push(figures.encode());
        })
        .await
}

/// The figures of a row that was read.
fn figures(row: &Row<'_>) -> Result<Figures, Error> {
    Figures::decode(row.get("figures_json")?).map_err(|error| row.unreadable("figures_json", error))
}

/// All rows of a piece.
fn piece(sql: Sql, from: &str, to: &str) -> Sql {
    let sql = sql
        .push("select slot, at, figures_json from stats where slot >= ")
        .bind(from);
    sql.push(" and slot < ").bind(to)
}

#[cfg(test)]
mod tests;
