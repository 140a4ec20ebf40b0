//! Lists of deliveries, the newest first.
//!
//! A page is a piece of one index, in its order. What no index is about is asked of each row of that piece, and the
//! piece is bounded: where few of many rows are wanted, a page comes short, with a cursor to go on from.

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
            self.statuses.iter().map(|status| piece(Some(*status))).collect()
        }
    }
}

impl Piece<'_> {
    /// The rows of the piece: `select <columns> … limit `.
    fn looked(&self, columns: &'static str) -> Sql {
        let filter = self.filter;
        let mut sql = Sql::new("select ")
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

    /// The first so many of the piece that are wanted.
    fn page(&self, limit: usize) -> Sql {
        let filter = self.filter;
        // Only ids are sorted and counted; the rows themselves are read for those that are shown.
        let looked = self
            .looked("id, created_at, org, provider, event_type, status")
            .bind(signed(LOOKED_AT_MAX));
        let mut sql = Sql::around(
            concat!("select ", columns!(), " from deliveries where id in (select id from ("),
            looked,
        )
        .push(") as looked where 1 = 1");
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
            .push(")")
    }

    /// The last row that was looked at, where there may be more behind it.
    fn last(&self) -> Sql {
        self.looked("created_at, id")
            .push("1 offset ")
            .bind(signed(LOOKED_AT_MAX - 1))
    }

    async fn read(&self, store: &Store, limit: usize) -> Result<DeliveryPage, Error> {
        let found = self.page(limit.saturating_add(1)).all(store.reading()).await?;
        let items = found.iter().map(rows::read).collect::<Result<_, _>>()?;
        let mut page = sorted(items);
        if page.items.len() > limit {
            page.items.truncate(limit);
            page.next = page.items.last().map(Recorded::cursor);
        } else if let Some(row) = self.last().optional(store.reading()).await? {
            let row = Row::of("a delivery", &row);
            page.next = Some(Cursor {
                created_at: row.time("created_at")?,
                id: row.text("id")?,
            });
        }
        Ok(page)
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
    // One that changed its status between two looks is in two pieces.
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
        let mut pages = Vec::new();
        for piece in filter.pieces(after) {
            pages.push(piece.read(self, limit).await?);
        }
        Ok(merged(pages, limit))
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
    .push(") as members) and org = ")
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
    ] {
        for piece in filter.pieces(Some(&after)) {
            statements.push((what, piece.page(51)));
            statements.push((what, piece.last()));
        }
    }
    statements
}

#[cfg(test)]
mod tests;
