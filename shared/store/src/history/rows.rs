//! The table of deliveries, row by row.

use std::sync::LazyLock;

use sqlx::{AnyConnection, any::AnyRow};

use super::{
    attempts::History,
    bulk::Bulk,
    recorded::{About, Recorded},
    standing::{Rank, Standing, Status},
};
use crate::{
    Error,
    sql::{Row, Sql, signed, storable},
};

/// All columns, in the order in which they are written.
macro_rules! columns {
    () => {
        "id, org, integration_id, provider, event_id, event_source, event_type, event_seq, event_count, created_at, \
         status, rank, changed_at, next_attempt_at, error_message, history_json"
    };
}
pub(super) use columns;

/// Those of these ids that are known, in no order.
pub(super) async fn by_id(connection: &mut AnyConnection, ids: &[&str]) -> Result<Vec<Recorded>, Error> {
    static SELECT: LazyLock<Bulk> =
        LazyLock::new(|| Bulk::list(concat!("select ", columns!(), " from deliveries where id in"), ""));
    let rows = SELECT
        .fetch(connection, ids, |parameters, id| parameters.push(*id))
        .await?;
    rows.iter().map(read).collect()
}

/// Writes rows, new ones and those that are known. Of these, what the delivery is stays: see [`correct`].
pub(super) async fn write(connection: &mut AnyConnection, rows: &[Recorded]) -> Result<(), Error> {
    // What is in no index but those of statuses is written in place.
    static UPSERT: LazyLock<Bulk> = LazyLock::new(|| {
        Bulk::rows(
            concat!("insert into deliveries (", columns!(), ") values "),
            16,
            " on conflict (id) do update set status = excluded.status, rank = excluded.rank, \
             changed_at = excluded.changed_at, next_attempt_at = excluded.next_attempt_at, \
             error_message = excluded.error_message, history_json = excluded.history_json",
        )
    });
    UPSERT
        .execute(connection, rows, |parameters, row| {
            parameters.push(row.id.as_str());
            parameters.push(row.org.as_str());
            parameters.push(row.integration.as_str());
            parameters.push(row.provider.as_str());
            parameters.push(storable(&row.about.event_id).as_ref());
            parameters.push(storable(&row.about.event_source).as_ref());
            parameters.push(row.about.event_type.as_str());
            parameters.push(signed(row.about.event_seq));
            parameters.push(signed(row.about.event_count));
            parameters.push(row.about.created_at.nanos());
            parameters.push(row.standing.status.as_str());
            parameters.push(row.standing.rank.0);
            parameters.push(row.standing.at.nanos());
            parameters.push(row.standing.next_at.map(|at| at.nanos()));
            parameters.push(row.standing.message.as_deref().map(|text| storable(text).into_owned()));
            parameters.push(serde_json::to_string(&row.history).expect("a history has no map with odd keys"));
        })
        .await
}

/// Writes what a delivery is, where an earlier acceptance of its event became known.
pub(super) async fn correct(connection: &mut AnyConnection, id: &str, about: &About) -> Result<(), Error> {
    Sql::new(
        "update deliveries set event_id = $1, event_source = $2, event_type = $3, event_seq = $4, event_count = $5, \
         created_at = $6 where id = $7",
    )
    .with(storable(&about.event_id).as_ref())
    .with(storable(&about.event_source).as_ref())
    .with(about.event_type.as_str())
    .with(signed(about.event_seq))
    .with(signed(about.event_count))
    .with(about.created_at.nanos())
    .with(id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Reads a row of all columns.
pub(super) fn read(row: &AnyRow) -> Result<Recorded, Error> {
    let row = Row::of("a delivery", row);
    let history: &str = row.get("history_json")?;
    let status: &str = row.get("status")?;
    Ok(Recorded {
        id: row.text("id")?,
        org: row.text("org")?,
        integration: row.text("integration_id")?,
        provider: row.text("provider")?,
        about: About {
            created_at: row.time("created_at")?,
            event_seq: row.count("event_seq")?,
            event_id: row.text("event_id")?,
            event_source: row.text("event_source")?,
            event_type: row.text("event_type")?,
            event_count: row.count("event_count")?,
        },
        standing: Standing {
            rank: Rank(row.number("rank")?),
            at: row.time("changed_at")?,
            status: Status::of(status).unwrap_or(Status::Unknown),
            next_at: row.time_option("next_attempt_at")?,
            message: row.text_option("error_message")?,
        },
        history: serde_json::from_str::<History>(history).map_err(|error| row.unreadable("history_json", error))?,
    })
}
