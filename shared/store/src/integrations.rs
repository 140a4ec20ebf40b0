//! Integrations, each at its last revision, and what they were before.
//!
//! An integration that is deleted stays as a tombstone, which no page and no search by name finds. What it was at a former
//! revision is kept without its sealed secrets.

mod changes;
mod reseal;

pub(crate) use changes::insert;

use signalbox_proto::{Integration, Name, integration::Status, wire};
use sqlx::any::AnyRow;

use crate::{
    Error, Store,
    sql::{Row, Sql, signed},
};

/// An integration with what is known of it besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The integration, as KV carries it.
    pub integration: Integration,
    /// Whether a person paused it.
    pub held: bool,
    /// How often it was paused or resumed.
    pub hold_revision: u64,
    /// Why its last test failed.
    pub error_message: Option<String>,
}

/// Which integrations are wanted, by org and name.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// Of one org alone.
    pub org: Option<&'a Name>,
    /// Of one provider.
    pub provider: Option<&'a str>,
    /// With one of these statuses; empty for any.
    pub statuses: &'a [Status],
    /// With one of these ids, at most a thousand.
    pub ids: Option<&'a [String]>,
    /// Whether a person paused it.
    pub held: Option<bool>,
    /// Behind this org and name.
    pub after: Option<(&'a Name, &'a Name)>,
    /// So many.
    pub limit: u32,
}

const COLUMNS: &str = "body, held, hold_revision, error_message, revision";

impl Store {
    /// The integration of an org that has this id, else the one that has this name.
    pub async fn integration(&self, org: &Name, id_or_name: &str) -> Result<Option<Stored>, Error> {
        // Each half has its index; with `or` it would be neither.
        let rows = select()
            .push(" where deleted_at is null and id = ")
            .bind(id_or_name)
            .push(" and org = ")
            .bind(org.as_str())
            .push(" union all select ")
            .push(COLUMNS)
            .push(" from integrations where deleted_at is null and org = ")
            .bind(org.as_str())
            .push(" and name = ")
            .bind(id_or_name)
            .all(self.reading())
            .await?;
        let mut found = None;
        for row in &rows {
            let stored = read(row)?;
            // A name may look like an id.
            if found.is_none() || stored.integration.id == id_or_name {
                found = Some(stored);
            }
        }
        Ok(found)
    }

    /// The integration of this id, of any org; a tombstone too.
    pub async fn integration_by_id(&self, id: &str) -> Result<Option<Stored>, Error> {
        let row = select().push(" where id = ").bind(id).optional(self.reading()).await?;
        row.as_ref().map(read).transpose()
    }

    /// A page of them.
    pub async fn integrations(&self, wanted: &Wanted<'_>) -> Result<Vec<Stored>, Error> {
        let mut sql = select().push(" where deleted_at is null");
        if let Some(org) = wanted.org {
            sql = sql.push(" and org = ").bind(org.as_str());
        }
        if let Some(provider) = wanted.provider {
            sql = sql.push(" and provider = ").bind(provider);
        }
        if !wanted.statuses.is_empty() {
            sql = sql
                .push(" and status")
                .among(wanted.statuses.iter().map(|status| word(*status)));
        }
        if let Some(ids) = wanted.ids {
            sql = sql.push(" and id").among(ids.iter().map(String::as_str));
        }
        if let Some(held) = wanted.held {
            sql = sql.push(" and held = ").bind(i64::from(held));
        }
        match wanted.after {
            // So that SQLite begins to read behind the name, and not at the org's first.
            Some((org, name)) if wanted.org == Some(org) => sql = sql.push(" and name > ").bind(name.as_str()),
            Some((org, name)) => {
                sql = sql.push(" and (org, name) > (").bind(org.as_str());
                sql = sql.push(", ").bind(name.as_str()).push(")");
            }
            None => {}
        }
        let sql = sql.push(" order by org, name limit ").bind(i64::from(wanted.limit));
        let rows = sql.all(self.reading()).await?;
        rows.iter().map(read).collect()
    }

    /// Those of an org that bear one of these names, at most a thousand.
    pub async fn integrations_named(&self, org: &Name, names: &[String]) -> Result<Vec<Stored>, Error> {
        let sql = select()
            .push(" where deleted_at is null and org = ")
            .bind(org.as_str())
            .push(" and name")
            .among(names.iter().map(String::as_str));
        let rows = sql.all(self.reading()).await?;
        rows.iter().map(read).collect()
    }

    /// All integrations by id, from behind `after`; tombstones too.
    pub async fn all_integrations(&self, after: Option<&str>, limit: u32) -> Result<Vec<Stored>, Error> {
        let mut sql = select();
        if let Some(after) = after {
            sql = sql.push(" where id > ").bind(after);
        }
        let sql = sql.push(" order by id limit ").bind(i64::from(limit));
        let rows = sql.all(self.reading()).await?;
        rows.iter().map(read).collect()
    }

    /// How many integrations an org has.
    pub async fn integration_count(&self, org: &Name) -> Result<u64, Error> {
        let row = Sql::new("select count(*) as found from integrations where deleted_at is null and org = $1")
            .with(org.as_str())
            .one(self.reading())
            .await?;
        Row::of("integrations", &row).count("found")
    }

    /// What an integration is or was at this revision, without its secrets.
    pub async fn integration_revision(&self, id: &str, revision: u64) -> Result<Option<Integration>, Error> {
        let row = Sql::new(
            "select body from integration_revisions where integration_id = $1 and revision = $2 \
             union all select body from integrations where id = $1 and revision = $2 limit 1",
        )
        .with(id)
        .with(signed(revision))
        .optional(self.reading())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let integration = decode(&Row::of("an integration", &row))?;
        Ok(Some(Integration {
            sealed: None,
            ..integration
        }))
    }
}

fn select() -> Sql {
    Sql::new("select ").push(COLUMNS).push(" from integrations")
}

/// The status in its column.
const fn word(status: Status) -> &'static str {
    match status {
        Status::Active => "active",
        Status::Inactive => "inactive",
        Status::PendingSetup => "pending_setup",
        Status::Deleted => "deleted",
        Status::Unknown => "unknown",
    }
}

pub(crate) fn encode(integration: &Integration) -> Result<Vec<u8>, Error> {
    wire::encode(integration).map_err(|error| Error::unreadable(format!("integration {}", integration.id), error))
}

pub(crate) fn decode(row: &Row<'_>) -> Result<Integration, Error> {
    wire::decode(row.bytes("body")?).map_err(|error| row.unreadable("body", error))
}

fn read(row: &AnyRow) -> Result<Stored, Error> {
    let row = Row::of("an integration", row);
    let integration = decode(&row)?;
    if integration.revision != row.count("revision")? {
        return Err(row.unreadable("revision", "it is not that of the body"));
    }
    Ok(Stored {
        integration,
        held: row.flag("held")?,
        hold_revision: row.count("hold_revision")?,
        error_message: row.text_option("error_message")?,
    })
}
