//! Tenants.

use signalbox_proto::{Name, Timestamp, org::OrgStatus};

use crate::{
    Change, Error, Store,
    audit::kind::ORG,
    error, outbox,
    sql::{Row, Sql, signed, storable},
};

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Org {
    /// Its name, for ever.
    pub name: Name,
    /// What people call it.
    pub title: Option<String>,
    /// Whether anything may be published for it.
    pub status: OrgStatus,
    /// One more at each change.
    pub revision: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Org {
    /// One that begins to be.
    pub const fn new(name: Name, title: Option<String>, at: Timestamp) -> Self {
        Self {
            name,
            title,
            status: OrgStatus::Active,
            revision: 1,
            created_at: at,
            updated_at: at,
        }
    }

    /// What KV has of it.
    pub fn told(&self) -> signalbox_proto::Org {
        signalbox_proto::Org {
            name: self.name.clone(),
            status: self.status,
            revision: self.revision,
        }
    }
}

pub(crate) const COLUMNS: &str = "name, title, status, revision, created_at, updated_at";

impl Store {
    /// The org of this name.
    pub async fn org(&self, name: &Name) -> Result<Option<Org>, Error> {
        let row = Sql::new("select ")
            .push(COLUMNS)
            .push(" from orgs where name = ")
            .bind(name.as_str())
            .optional(self.reading())
            .await?;
        row.as_ref().map(|row| read(&Row::of("an org", row))).transpose()
    }

    /// Orgs by name, from behind `after`.
    pub async fn orgs(&self, after: Option<&Name>, limit: u32) -> Result<Vec<Org>, Error> {
        let mut sql = Sql::new("select ").push(COLUMNS).push(" from orgs");
        if let Some(after) = after {
            sql = sql.push(" where name > ").bind(after.as_str());
        }
        let sql = sql.push(" order by name limit ").bind(i64::from(limit));
        let rows = sql.all(self.reading()).await?;
        rows.iter().map(|row| read(&Row::of("an org", row))).collect()
    }
}

impl Change {
    /// Makes an org.
    ///
    /// # Errors
    /// [`Error::Duplicate`] where there is one of that name.
    pub async fn create_org(&mut self, org: &Org) -> Result<(), Error> {
        insert(org, "")
            .execute(self.connection())
            .await
            .map_err(error::duplicate(format!("org {}", org.name)))?;
        self.org_changed(&org.name, org.revision, org.updated_at).await
    }

    /// Makes an org where there is none of that name; whether it did, and so wants an entry in the audit.
    pub async fn ensure_org(&mut self, name: &Name, at: Timestamp) -> Result<Option<Org>, Error> {
        let org = Org::new(name.clone(), None, at);
        let rows = insert(&org, " on conflict (name) do nothing")
            .execute(self.connection())
            .await?;
        if rows == 0 {
            return Ok(None);
        }
        self.org_changed(name, org.revision, at).await?;
        Ok(Some(org))
    }

    /// Sets title and status of the org that is at revision `expected`.
    ///
    /// # Errors
    /// [`Error::Conflict`] where it is at another.
    ///
    /// # Panics
    /// Where its revision is not above `expected`.
    pub async fn replace_org(&mut self, org: &Org, expected: u64) -> Result<(), Error> {
        assert!(org.revision > expected, "a revision only grows");
        let rows = Sql::new(
            "update orgs set title = $1, status = $2, revision = $3, updated_at = $4 where name = $5 and revision = $6",
        )
        .with(org.title.as_deref().map(storable).as_deref())
        .with(org.status.as_str())
        .with(signed(org.revision))
        .with(org.updated_at.nanos())
        .with(org.name.as_str())
        .with(signed(expected))
        .execute(self.connection())
        .await?;
        if rows == 0 {
            return Err(Error::conflict(format!("org {}", org.name)));
        }
        self.org_changed(&org.name, org.revision, org.updated_at).await
    }

    /// Sets the status of an org, whatever its revision; the org as it is then, `None` where there is none.
    pub async fn set_org_status(
        &mut self,
        name: &Name,
        status: OrgStatus,
        at: Timestamp,
    ) -> Result<Option<Org>, Error> {
        let row = Sql::new(
            "update orgs set status = $1, revision = revision + 1, updated_at = $2 where name = $3 \
             returning name, title, status, revision, created_at, updated_at",
        )
        .with(status.as_str())
        .with(at.nanos())
        .with(name.as_str())
        .optional(self.connection())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let org = read(&Row::of("an org", &row))?;
        self.org_changed(name, org.revision, at).await?;
        Ok(Some(org))
    }

    async fn org_changed(&mut self, name: &Name, revision: u64, at: Timestamp) -> Result<(), Error> {
        self.changed(ORG, name.as_str());
        self.tell(outbox::Kind::Org, name.as_str(), revision, at).await
    }
}

fn insert(org: &Org, on_conflict: &'static str) -> Sql {
    Sql::new("insert into orgs (name, title, status, revision, created_at, updated_at) values ($1, $2, $3, $4, $5, $6)")
        .push(on_conflict)
        .with(org.name.as_str())
        .with(org.title.as_deref().map(storable).as_deref())
        .with(org.status.as_str())
        .with(signed(org.revision))
        .with(org.created_at.nanos())
        .with(org.updated_at.nanos())
}

pub(crate) fn read(row: &Row<'_>) -> Result<Org, Error> {
    Ok(Org {
        name: row.parsed("name")?,
        title: row.text_option("title")?,
        status: status(&row.text("status")?),
        revision: row.count("revision")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

/// The status of a word, also of one that only a newer version knows.
fn status(word: &str) -> OrgStatus {
    [OrgStatus::Active, OrgStatus::Erasing, OrgStatus::Erased]
        .into_iter()
        .find(|status| status.as_str() == word)
        .unwrap_or(OrgStatus::Unknown)
}
