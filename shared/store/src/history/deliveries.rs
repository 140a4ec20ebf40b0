//! Lists of deliveries, the newest first.
//!
//! A page is a piece of one index, in its order. What no index is about is asked of each row of that piece, and the
//! piece is bounded: where few of many rows are wanted, a page comes short, with a cursor to go on from.

use std::collections::BTreeSet;

use signalbox_proto::Timestamp;

use super::{
    LOOKED_AT_MAX,
    recorded::Recorded,
    rows::{self, columns},
    standing::Status,
};
use crate::{
    Error, Store,
    sql::{Row, Sql, signed},
};

/// Which deliveries are meant. Every condition that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// The tenant; `None` for all.
    pub org: Option<String>,
    /// The integration's id.
    pub integration: Option<String>,
    /// The kind of target.
    pub provider: Option<String>,
    /// In one of these; none means all.
    pub statuses: Vec<Status>,
    /// The event's type, or that of digests.
    pub event_type: Option<String>,
    /// Of events accepted at or after.
    pub since: Option<Timestamp>,
    /// Of events accepted before.
    pub until: Option<Timestamp>,
}

/// The place of a delivery in a list: the greatest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// When its event was accepted.
    pub created_at: Timestamp,
    /// Its id.
    pub id: String,
}

/// A page of deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryPage {
    /// The deliveries.
    pub items: Vec<Recorded>,
    /// Behind what the next page begins; `None` where this is the last. A page may be short, and still not be the last.
    pub next: Option<Cursor>,
}

impl Recorded {
    /// Its place in a list.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            created_at: self.about.created_at,
            id: self.id.clone(),
        }
    }
}

/// One piece of one index.
#[derive(Clone, Debug)]
struct Piece<'a> {
    filter: &'a DeliveryFilter,
    /// Where the index is that of one status.
    status: Option<Status>,
    after: Option<&'a Cursor>,
}

/// What is found of each piece, as a statement names it: there is one piece for each status at most.
const FOUND: [&str; Status::ALL.len()] = [
    "found_0", "found_1", "found_2", "found_3", "found_4", "found_5", "found_6",
];

/// The beginning of what reads rows of a piece, up to its number.
const ROWS: &str = concat!("select ", columns!(), ", cast(");

impl DeliveryFilter {
    /// The pieces in which all that is wanted lies. Most deliveries are delivered, so that the index of statuses is
    /// about the others; these are found in a piece of their own each.
    fn pieces<'a>(&'a self, after: Option<&'a Cursor>) -> Vec<Piece<'a>> {
        let piece = |status| Piece {
            filter: self,
            status,
            after,
        };
        let has_index = self.integration.is_some() || self.org.is_some();
        if self.statuses.is_empty() || self.statuses.contains(&Status::Delivered) || !has_index {
            vec![piece(None)]
        } else {
            let statuses: BTreeSet<Status> = self.statuses.iter().copied().collect();
            statuses.into_iter().map(|status| piece(Some(status))).collect()
        }
    }

    /// Of each piece the first so many that are wanted, and of one that has fewer the last row that was looked at, behind
    /// which there may be more.
    ///
    /// **Invariant:** it is one statement, so that all of it is of one moment. Rows leave a piece at any time: they are
    /// pruned, or stand otherwise. With a second look the last row would lie further down than what was looked at, and
    /// what lies between would be on no page.
    fn page(&self, after: Option<&Cursor>, limit: usize) -> Sql {
        let pieces = self.pieces(after);
        let named = || pieces.iter().zip(FOUND);
        let mut sql = Sql::new("");
        let mut before = "with ";
        for (piece, found) in named() {
            sql = sql.push(before).push(found).push(" as materialized (");
            sql = piece.found(sql, limit).push(")");
            before = ", ";
        }
        let mut between = " ";
        for (number, (piece, found)) in named().enumerate() {
            let number = signed(number as u64);
            sql = sql.push(between).push(ROWS).bind(number);
            sql = sql.push(
                " as bigint) as piece, cast(0 as bigint) as is_last from deliveries where id in (select id from ",
            );
            sql = sql.push(found).push(") union all ").push(ROWS).bind(number);
            sql = sql.push(" as bigint) as piece, cast(1 as bigint) as is_last from deliveries where id = ");
            // As a condition of its own it would be asked once the row is found.
            sql = sql.push("case when (select count(*) from ").push(found).push(") < ");
            sql = sql.bind(signed(limit as u64)).push(" then (");
            sql = piece.last(sql).push(") end");
            between = " union all ";
        }
        sql
    }

    async fn read(&self, store: &Store, after: Option<&Cursor>, limit: usize) -> Result<Vec<DeliveryPage>, Error> {
        let mut pages = vec![DeliveryPage::default(); self.pieces(after).len()];
        for row in self.page(after, limit.saturating_add(1)).all(store.reading()).await? {
            let read = Row::of("a delivery", &row);
            let number = read.count("piece")?;
            let page = usize::try_from(number).ok().and_then(|number| pages.get_mut(number));
            let page = page.expect("the statement numbers its pieces");
            if read.flag("is_last")? {
                page.next = Some(Cursor {
                    created_at: read.time("created_at")?,
                    id: read.text("id")?,
                });
            } else {
                page.items.push(rows::read(&row)?);
            }
        }
        for page in &mut pages {
            page.items.sort_by_cached_key(|item| std::cmp::Reverse(item.cursor()));
            if page.items.len() > limit {
                page.items.truncate(limit);
                page.next = page.items.last().map(Recorded::cursor);
            }
        }
        Ok(pages)
    }
}

impl Piece<'_> {
    /// The rows of the piece: `select <columns> … limit `.
    fn looked(&self, sql: Sql, columns: &'static str) -> Sql {
        let filter = self.filter;
        let mut sql = sql
            .push("select ")
            .push(columns)
            .push(" from deliveries where created_at >= ");
        sql = sql.bind(filter.since.map_or(i64::MIN, Timestamp::nanos));
        // One bound from above and no more: of two, SQLite may seek by the wrong one.
        let until = filter.until.unwrap_or(Timestamp::from_nanos(i64::MAX));
        sql = match self.after {
            Some(after) if after.created_at < until => {
                sql = sql.push(" and (created_at, id) < (").bind(after.created_at.nanos());
                sql.push(", ").bind(after.id.as_str()).push(")")
            }
            _ => sql.push(" and created_at < ").bind(until.nanos()),
        };
        match (&filter.integration, &filter.org, &filter.event_type, self.status) {
            (Some(integration), ..) => sql = sql.push(" and integration_id = ").bind(integration.as_str()),
            (None, Some(org), Some(event_type), None) => {
                sql = sql.push(" and org = ").bind(org.as_str());
                sql = sql.push(" and event_type = ").bind(event_type.as_str());
            }
            (None, Some(org), ..) => sql = sql.push(" and org = ").bind(org.as_str()),
            (None, None, ..) => {}
        }
        if let Some(status) = self.status {
            // The second is what the index says of itself: without it neither database takes it.
            sql = sql
                .push(" and status = ")
                .bind(status.as_str())
                .push(" and status <> 'delivered'");
        }
        sql.push(" order by created_at desc, id desc limit ")
    }

    /// The ids of the first so many of the piece that are wanted. Only these are sorted and counted; the rows themselves are
    /// read for those that are shown.
    fn found(&self, sql: Sql, limit: usize) -> Sql {
        let filter = self.filter;
        let looked = self.looked(
            sql.push("select id from ("),
            "id, created_at, org, provider, event_type, status",
        );
        let mut sql = looked.bind(signed(LOOKED_AT_MAX)).push(") as looked where 1 = 1");
        for (condition, value) in [
            (" and org = ", &filter.org),
            (" and provider = ", &filter.provider),
            (" and event_type = ", &filter.event_type),
        ] {
            if let Some(value) = value {
                sql = sql.push(condition).bind(value.as_str());
            }
        }
        if self.status.is_none() && !filter.statuses.is_empty() {
            sql = sql
                .push(" and status")
                .among(filter.statuses.iter().map(|status| status.as_str()));
        }
        sql.push(" order by created_at desc, id desc limit ")
            .bind(signed(limit as u64))
    }

    /// The id of the last row that is looked at, where there are so many.
    fn last(&self, sql: Sql) -> Sql {
        self.looked(sql, "id").push("1 offset ").bind(signed(LOOKED_AT_MAX - 1))
    }
}

fn sorted(mut items: Vec<Recorded>) -> DeliveryPage {
    items.sort_by_cached_key(|item| std::cmp::Reverse(item.cursor()));
    DeliveryPage { items, next: None }
}

/// Pieces of one list put together: of each only as much as all of them were looked at, and so many at most.
fn merged(pieces: Vec<DeliveryPage>, limit: usize) -> DeliveryPage {
    let reached = pieces.iter().filter_map(|piece| piece.next.clone()).max();
    let mut page = sorted(pieces.into_iter().flat_map(|piece| piece.items).collect());
    // Each is in one piece at a moment, and would be shown twice where pieces came from two.
    page.items.dedup_by(|later, first| later.id == first.id);
    page.next = reached;
    if let Some(reached) = &page.next {
        page.items.retain(|item| item.cursor() >= *reached);
    }
    if page.items.len() > limit {
        page.items.truncate(limit);
        page.next = page.items.last().map(Recorded::cursor);
    }
    page
}

impl Store {
    /// Deliveries, the newest first, from behind a place on.
    pub async fn deliveries(
        &self,
        filter: &DeliveryFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<DeliveryPage, Error> {
        Ok(merged(filter.read(self, after, limit).await?, limit))
    }

    /// One delivery of an org, or of any.
    pub async fn delivery(&self, org: Option<&str>, id: &str) -> Result<Option<Recorded>, Error> {
        let mut sql = Sql::new(concat!("select ", columns!(), " from deliveries where id = $1")).with(id);
        if let Some(org) = org {
            sql = sql.push(" and org = ").bind(org);
        }
        sql.optional(self.reading()).await?.as_ref().map(rows::read).transpose()
    }

    /// Deliveries of an event by their ids, from behind one on: its own, and digests that it is a member of.
    ///
    /// Events of several sources may have the same id: `None` means all of them.
    pub async fn deliveries_of_event(
        &self,
        org: &str,
        event: &str,
        source: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        let mut found = Vec::new();
        for sql in [
            of_event(org, event, source, after),
            of_member(org, event, source, after),
        ] {
            let rows = sql.bind(signed(limit as u64)).all(self.reading()).await?;
            found.extend(rows.iter().map(rows::read).collect::<Result<Vec<_>, _>>()?);
        }
        found.sort_by(|one, other| one.id.cmp(&other.id));
        // A digest bears the id of its first member.
        found.dedup_by(|later, first| later.id == first.id);
        found.truncate(limit);
        Ok(found)
    }
}

fn of_event(org: &str, event: &str, source: Option<&str>, after: Option<&str>) -> Sql {
    let mut sql = Sql::new(concat!(
        "select ",
        columns!(),
        " from deliveries where event_id = $1 and id > $2 and org = $3"
    ))
    .with(event)
    .with(after.unwrap_or_default())
    .with(org);
    if let Some(source) = source {
        sql = sql.push(" and event_source = ").bind(source);
    }
    sql.push(" order by id limit ")
}

fn of_member(org: &str, event: &str, source: Option<&str>, after: Option<&str>) -> Sql {
    let mut members = Sql::new("select delivery_id from delivery_events where event_id = $1 and delivery_id > $2")
        .with(event)
        .with(after.unwrap_or_default());
    if let Some(source) = source {
        members = members.push(" and event_source = ").bind(source);
    }
    let members = members.push(" order by delivery_id limit ").bind(signed(LOOKED_AT_MAX));
    Sql::around(
        concat!(
            "select ",
            columns!(),
            " from deliveries where id in (select delivery_id from ("
        ),
        members,
    )
    // Not the bare column: SQLite would read all of the org, and look each up among the members.
    .push(") as members) and org || '' = ")
    .bind(org)
    .push(" order by id limit ")
}

/// The statements of lists, each with what it is, for whoever asks how they are answered.
pub(super) fn statements() -> Vec<(&'static str, Sql)> {
    let org = DeliveryFilter {
        org: Some("acme".to_owned()),
        ..DeliveryFilter::default()
    };
    let integration = DeliveryFilter {
        integration: Some("i".to_owned()),
        provider: Some("slack".to_owned()),
        ..org.clone()
    };
    let event_type = DeliveryFilter {
        event_type: Some("a.b".to_owned()),
        ..org.clone()
    };
    let of_status = |filter: &DeliveryFilter, status| DeliveryFilter {
        statuses: vec![status],
        ..filter.clone()
    };
    let waiting = |filter: &DeliveryFilter| DeliveryFilter {
        statuses: Status::ALL
            .into_iter()
            .filter(|status| *status != Status::Delivered)
            .collect(),
        ..filter.clone()
    };
    let after = Cursor {
        created_at: Timestamp::from_nanos(7),
        id: "d".to_owned(),
    };
    let mut statements = vec![
        (
            "one delivery",
            Sql::new(concat!("select ", columns!(), " from deliveries where id = $1")).with("d"),
        ),
        ("deliveries of an event", of_event("acme", "e", None, None).bind(50_i64)),
        ("digests of an event", of_member("acme", "e", None, None).bind(50_i64)),
    ];
    for (what, filter) in [
        ("deliveries", DeliveryFilter::default()),
        ("deliveries of an org", org.clone()),
        ("deliveries of an integration", integration.clone()),
        ("deliveries of an event type", event_type),
        ("delivered of an org", of_status(&org, Status::Delivered)),
        ("dead of an org", of_status(&org, Status::Dead)),
        ("parked of an integration", of_status(&integration, Status::Parked)),
        ("all that is not delivered of an org", waiting(&org)),
        ("all that is not delivered of an integration", waiting(&integration)),
    ] {
        for after in [None, Some(&after)] {
            statements.push((what, filter.page(after, 51)));
        }
    }
    statements
}

#[cfg(test)]
mod tests;
