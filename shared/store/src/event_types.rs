//! The event types that orgs register.

use signalbox_proto::{EventType, Name, Timestamp, types::Registered, wire};
use sqlx::any::AnyRow;

use crate::{
    Change, Error, Store,
    audit::kind::EVENT_TYPE,
    outbox,
    sql::{Row, Sql, signed},
};

/// A type as it is, or was when it was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The registration. Its revision is the row's: above the registration's last one where it is deleted.
    pub registered: Registered,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
}

/// How a type is named in the outbox and in the audit.
pub fn id(org: &Name, name: &EventType) -> String {
    format!("{org}/{name}")
}

/// Reads what [`id`] wrote.
pub fn read_id(id: &str) -> Option<(Name, EventType)> {
    let (org, name) = id.split_once('/')?;
    Some((org.parse().ok()?, name.parse().ok()?))
}

impl Store {
    /// The type of this name that an org has registered.
    pub async fn event_type(&self, org: &Name, name: &EventType) -> Result<Option<Registered>, Error> {
        let stored = self.event_type_or_tombstone(org, name).await?;
        Ok(stored
            .filter(|stored| stored.deleted_at.is_none())
            .map(|stored| stored.registered))
    }

    /// The same; also one that is deleted.
    pub async fn event_type_or_tombstone(&self, org: &Name, name: &EventType) -> Result<Option<Stored>, Error> {
        let row =
            Sql::new("select org, name, body, revision, deleted_at from event_types where org = $1 and name = $2")
                .with(org.as_str())
                .with(name.as_str())
                .optional(self.reading())
                .await?;
        row.as_ref().map(read).transpose()
    }

    /// The types of an org by name, from behind `after`.
    pub async fn event_types(
        &self,
        org: &Name,
        after: Option<&EventType>,
        limit: u32,
    ) -> Result<Vec<Registered>, Error> {
        let mut sql = Sql::new(
            "select org, name, body, revision, deleted_at from event_types where deleted_at is null and org = ",
        )
        .bind(org.as_str());
        if let Some(after) = after {
            sql = sql.push(" and name > ").bind(after.as_str());
        }
        let sql = sql.push(" order by name limit ").bind(i64::from(limit));
        let rows = sql.all(self.reading()).await?;
        rows.iter().map(|row| Ok(read(row)?.registered)).collect()
    }

    /// The types of all orgs by org and name, from behind `after`; the deleted ones too.
    pub async fn all_event_types(&self, after: Option<(&Name, &EventType)>, limit: u32) -> Result<Vec<Stored>, Error> {
        let mut sql = Sql::new("select org, name, body, revision, deleted_at from event_types");
        if let Some((org, name)) = after {
            sql = sql.push(" where (org, name) > (").bind(org.as_str());
            sql = sql.push(", ").bind(name.as_str()).push(")");
        }
        let sql = sql.push(" order by org, name limit ").bind(i64::from(limit));
        let rows = sql.all(self.reading()).await?;
        rows.iter().map(read).collect()
    }

    /// How many types an org has registered.
    pub async fn event_type_count(&self, org: &Name) -> Result<u64, Error> {
        let row = Sql::new("select count(*) as types from event_types where deleted_at is null and org = $1")
            .with(org.as_str())
            .one(self.reading())
            .await?;
        Row::of("event types", &row).count("types")
    }
}

impl Change {
    /// Registers a type (`expected` is `None`), or replaces the one at that revision. As it is then: its revision is
    /// the next one, above that of a type of the same name that was deleted; that which is given does not count.
    ///
    /// # Errors
    /// [`Error::Duplicate`] where it is registered already, [`Error::Conflict`] where it is at another revision or gone.
    pub async fn put_event_type(&mut self, registered: Registered, expected: Option<u64>) -> Result<Registered, Error> {
        let id = id(&registered.org, &registered.name);
        let refused = || match expected {
            None => Error::Duplicate {
                what: format!("event type {id}").into(),
            },
            Some(_) => Error::conflict(format!("event type {id}")),
        };
        let standing = Sql::new("select revision, deleted_at from event_types where org = $1 and name = $2")
            .with(registered.org.as_str())
            .with(registered.name.as_str())
            .optional(self.connection())
            .await?;
        let standing = match &standing {
            None => None,
            Some(row) => {
                let row = Row::of("an event type", row);
                Some((row.count("revision")?, row.time_option("deleted_at")?.is_some()))
            }
        };
        let last = match (standing, expected) {
            (None, None) => None,
            (Some((revision, true)), None) => Some(revision),
            (Some((revision, false)), Some(expected)) if revision == expected => Some(revision),
            _ => return Err(refused()),
        };
        let registered = Registered {
            revision: last.unwrap_or(0) + 1,
            ..registered
        };
        // Whoever came in between has moved the revision, or made the row.
        let rows = match last {
            None => insert(&registered, None)?.execute(self.connection()).await?,
            Some(last) => {
                Sql::new(
                    "update event_types set body = $1, revision = $2, deleted_at = null, created_at = $3, \
                     updated_at = $4 where org = $5 and name = $6 and revision = $7",
                )
                .with(encode(&registered)?)
                .with(signed(registered.revision))
                .with(registered.created_at.nanos())
                .with(registered.updated_at.nanos())
                .with(registered.org.as_str())
                .with(registered.name.as_str())
                .with(signed(last))
                .execute(self.connection())
                .await?
            }
        };
        if rows == 0 {
            return Err(refused());
        }
        self.event_type_changed(&id, registered.revision, registered.updated_at)
            .await?;
        Ok(registered)
    }

    /// Removes the type that is at revision `expected`; the revision of what is left, a tombstone.
    ///
    /// # Errors
    /// [`Error::Conflict`] where it is at another revision or gone.
    pub async fn delete_event_type(
        &mut self,
        org: &Name,
        name: &EventType,
        expected: u64,
        at: Timestamp,
    ) -> Result<u64, Error> {
        let id = id(org, name);
        let rows = Sql::new(
            "update event_types set deleted_at = $1, updated_at = $2, revision = revision + 1 \
             where org = $3 and name = $4 and revision = $5 and deleted_at is null",
        )
        .with(at.nanos())
        .with(at.nanos())
        .with(org.as_str())
        .with(name.as_str())
        .with(signed(expected))
        .execute(self.connection())
        .await?;
        if rows == 0 {
            return Err(Error::conflict(format!("event type {id}")));
        }
        self.event_type_changed(&id, expected + 1, at).await?;
        Ok(expected + 1)
    }

    async fn event_type_changed(&mut self, id: &str, revision: u64, at: Timestamp) -> Result<(), Error> {
        self.changed(EVENT_TYPE, id);
        self.tell(outbox::Kind::EventType, id, revision, at).await
    }
}

/// Adds a row where there is none of that name.
pub(crate) fn insert(registered: &Registered, deleted_at: Option<Timestamp>) -> Result<Sql, Error> {
    Ok(Sql::new(
        "insert into event_types (org, name, body, revision, deleted_at, created_at, updated_at) \
         values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
    )
    .with(registered.org.as_str())
    .with(registered.name.as_str())
    .with(encode(registered)?)
    .with(signed(registered.revision))
    .with(deleted_at.map(Timestamp::nanos))
    .with(registered.created_at.nanos())
    .with(registered.updated_at.nanos()))
}

fn encode(registered: &Registered) -> Result<Vec<u8>, Error> {
    wire::encode(registered)
        .map_err(|error| Error::unreadable(format!("event type {}/{}", registered.org, registered.name), error))
}

pub(crate) fn read(row: &AnyRow) -> Result<Stored, Error> {
    let row = Row::of("an event type", row);
    let registered: Registered = wire::decode(row.bytes("body")?).map_err(|error| row.unreadable("body", error))?;
    Ok(Stored {
        registered: Registered {
            revision: row.count("revision")?,
            ..registered
        },
        deleted_at: row.time_option("deleted_at")?,
    })
}
