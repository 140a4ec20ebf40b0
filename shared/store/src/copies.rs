//! What KV has copies of, in short: for comparing the two, and for making the truth count again where they differ.

use std::collections::BTreeMap;

use signalbox_proto::{Integration, Key, Name, Timestamp, told::Told as _};
use sqlx::any::AnyRow;

use crate::{
    Change, Error, Store,
    audit::kind,
    event_types,
    integrations::{decode, encode},
    keys::{self, ApiKey},
    orgs::{self, Org},
    outbox,
    sql::{Row, Sql, signed},
};

/// Rows that are read at a time.
const ROWS: i64 = 5_000;

/// How a thing stands here that KV has a copy of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Original {
    /// Its revision.
    pub revision: u64,
    /// Whether it was deleted. KV may have forgotten such a thing.
    pub is_gone: bool,
    /// Whether a person holds it: of integrations.
    pub is_held: bool,
    /// The [`Told::content`](signalbox_proto::told::Told::content) of what KV is told of it; `None` where this version cannot read it.
    pub content: Option<[u8; 16]>,
}

impl Store {
    /// All things of a kind by their ids, as [`outbox::Kind`] names them. Holds are those of integrations: none of their own.
    pub async fn originals(&self, kind: outbox::Kind) -> Result<BTreeMap<String, Original>, Error> {
        let mut found = BTreeMap::new();
        let mut after = String::new();
        while let Some(part) = part(kind, &after) {
            let rows = part.all(self.reading()).await?;
            for row in &rows {
                let read = Row::of("a thing that KV has a copy of", row);
                after = read.text("thing")?;
                let content = content(kind, row);
                if let Err(error) = &content {
                    tracing::error!(%error, kind = kind.as_str(), id = after, "cannot compare it with what workers know");
                }
                let original = Original {
                    revision: read.count("revision")?,
                    is_gone: read.flag("gone")?,
                    is_held: read.flag("held")?,
                    content: content.ok().flatten(),
                };
                found.insert(after.clone(), original);
            }
            if (rows.len() as i64) < ROWS {
                break;
            }
        }
        Ok(found)
    }

    /// A key that KV has and nobody here knows: with it, it can be seen and revoked again. Whether it was unknown.
    pub async fn take_over_key(&self, hash: &str, key: &Key, at: Timestamp) -> Result<bool, Error> {
        let mut change = self.change().await?;
        let key = ApiKey {
            key: key.clone(),
            hash: hash.to_owned(),
            // Nobody can say how it ends.
            hint: String::new(),
            replaced_by: None,
            created_at: at,
            updated_at: at,
        };
        match change.create_key(&key).await {
            Ok(()) => {}
            Err(Error::Duplicate { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        let (id, name, revision) = (&key.key.id, &key.key.name, key.key.revision);
        let entry = crate::take_over::entry(kind::API_KEY, id, key.key.org.as_ref(), name, revision, at);
        change.audit(&entry).await?;
        change.commit().await?;
        Ok(true)
    }

    /// An org that KV has and nobody here knows. Whether it was unknown.
    pub async fn take_over_org(&self, org: &signalbox_proto::Org, at: Timestamp) -> Result<bool, Error> {
        let mut change = self.change().await?;
        let org = Org {
            status: org.status,
            revision: org.revision,
            ..Org::new(org.name.clone(), None, at)
        };
        match change.create_org(&org).await {
            Ok(()) => {}
            Err(Error::Duplicate { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        let name = org.name.as_str();
        let entry = crate::take_over::entry(kind::ORG, name, Some(&org.name), name, org.revision, at);
        change.audit(&entry).await?;
        change.commit().await?;
        Ok(true)
    }
}

/// The things of a kind from behind one on, so many.
fn part(kind: outbox::Kind, after: &str) -> Option<Sql> {
    let (head, order) = match kind {
        outbox::Kind::Integration => (
            Sql::new(
                "select id as thing, cast(case when deleted_at is null then 0 else 1 end as bigint) as gone, held, \
                 revision, body from integrations where id > ",
            ),
            " order by id limit ",
        ),
        outbox::Kind::EventType => (
            Sql::new(
                "select org || '/' || name as thing, \
                 cast(case when deleted_at is null then 0 else 1 end as bigint) as gone, cast(0 as bigint) as held, \
                 revision, body, deleted_at from event_types where org || '/' || name > ",
            ),
            " order by org || '/' || name limit ",
        ),
        outbox::Kind::Key => (
            Sql::new("select hash as thing, cast(0 as bigint) as gone, cast(0 as bigint) as held, ")
                .push(keys::COLUMNS)
                .push(" from api_keys where hash > "),
            " order by hash limit ",
        ),
        outbox::Kind::Org => (
            Sql::new("select name as thing, cast(0 as bigint) as gone, cast(0 as bigint) as held, ")
                .push(orgs::COLUMNS)
                .push(" from orgs where name > "),
            " order by name limit ",
        ),
        outbox::Kind::Hold => return None,
    };
    Some(head.bind(after).push(order).bind(ROWS))
}

/// The [`Told::content`](signalbox_proto::told::Told::content) of what KV is told of a thing.
fn content(kind: outbox::Kind, row: &AnyRow) -> Result<Option<[u8; 16]>, Error> {
    let digest = match kind {
        outbox::Kind::Integration => decode(&Row::of("an integration", row))?.content(),
        outbox::Kind::EventType => event_types::read(row)?.registered.content(),
        outbox::Kind::Key => keys::read(&Row::of("an API key", row))?.key.content(),
        outbox::Kind::Org => orgs::read(&Row::of("an org", row))?.told().content(),
        outbox::Kind::Hold => return Ok(None),
    };
    digest
        .map(Some)
        .map_err(|error| Error::unreadable(format!("what KV is told of {} things", kind.as_str()), error))
}

/// A thing whose revision was lifted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifted {
    /// As the audit names it: kind and id.
    pub object: (&'static str, String),
    /// Whose it is; `None` for the installation's.
    pub org: Option<Name>,
    /// What its owner calls it.
    pub name: String,
    /// What it was.
    pub from: u64,
    /// What it is.
    pub to: u64,
}

impl Change {
    /// Lifts the revision of a thing above one that KV has, so that KV takes it. It wants an entry in the audit. `None`
    /// where there is no such thing, or its revision is above already.
    pub async fn lift(
        &mut self,
        kind: outbox::Kind,
        id: &str,
        above: u64,
        at: Timestamp,
    ) -> Result<Option<Lifted>, Error> {
        let to = above.saturating_add(1);
        let lifted = match kind {
            outbox::Kind::Integration => self.lift_integration(id, to).await?,
            outbox::Kind::EventType => self.lift_event_type(id, to).await?,
            outbox::Kind::Key => self.lift_key(id, to).await?,
            outbox::Kind::Org => self.lift_org(id, to).await?,
            outbox::Kind::Hold => None,
        };
        if let Some(lifted) = &lifted {
            let (object_kind, object_id) = &lifted.object;
            self.changed(object_kind, object_id);
            self.tell(kind, id, to, at).await?;
        }
        Ok(lifted)
    }

    async fn lift_integration(&mut self, id: &str, to: u64) -> Result<Option<Lifted>, Error> {
        let row = Sql::new("select body, revision from integrations where id = $1 and revision < $2")
            .with(id)
            .with(signed(to))
            .optional(self.connection())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let integration = decode(&Row::of("an integration", &row))?;
        let from = integration.revision;
        let next = Integration {
            revision: to,
            ..integration
        };
        let rows = Sql::new("update integrations set body = $1, revision = $2 where id = $3 and revision = $4")
            .with(encode(&next)?)
            .with(signed(to))
            .with(id)
            .with(signed(from))
            .execute(self.connection())
            .await?;
        if rows == 0 {
            return Err(Error::conflict(format!("integration {id}")));
        }
        Ok(Some(Lifted {
            object: (kind::INTEGRATION, id.to_owned()),
            org: Some(next.org),
            name: next.name.to_string(),
            from,
            to,
        }))
    }

    async fn lift_event_type(&mut self, id: &str, to: u64) -> Result<Option<Lifted>, Error> {
        let Some((org, name)) = event_types::read_id(id) else {
            return Ok(None);
        };
        let from = Sql::new("select revision from event_types where org = $1 and name = $2 and revision < $3")
            .with(org.as_str())
            .with(name.as_str())
            .with(signed(to));
        let update = Sql::new("update event_types set revision = $1 where org = $2 and name = $3 and revision < $1")
            .with(signed(to))
            .with(org.as_str())
            .with(name.as_str());
        let Some(from) = self.lift_row(from, update).await? else {
            return Ok(None);
        };
        Ok(Some(Lifted {
            object: (kind::EVENT_TYPE, id.to_owned()),
            name: name.to_string(),
            org: Some(org),
            from,
            to,
        }))
    }

    async fn lift_key(&mut self, hash: &str, to: u64) -> Result<Option<Lifted>, Error> {
        let row = Sql::new("select id, org, name from api_keys where hash = $1")
            .with(hash)
            .optional(self.connection())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let row = Row::of("an API key", &row);
        let (id, org, name) = (row.text("id")?, row.parsed_option("org")?, row.text("name")?);
        let from = Sql::new("select revision from api_keys where hash = $1 and revision < $2")
            .with(hash)
            .with(signed(to));
        let update = Sql::new("update api_keys set revision = $1 where hash = $2 and revision < $1")
            .with(signed(to))
            .with(hash);
        let Some(from) = self.lift_row(from, update).await? else {
            return Ok(None);
        };
        Ok(Some(Lifted {
            object: (kind::API_KEY, id),
            org,
            name,
            from,
            to,
        }))
    }

    async fn lift_org(&mut self, id: &str, to: u64) -> Result<Option<Lifted>, Error> {
        let from = Sql::new("select revision from orgs where name = $1 and revision < $2")
            .with(id)
            .with(signed(to));
        let update = Sql::new("update orgs set revision = $1 where name = $2 and revision < $1")
            .with(signed(to))
            .with(id);
        let Some(from) = self.lift_row(from, update).await? else {
            return Ok(None);
        };
        Ok(Some(Lifted {
            object: (kind::ORG, id.to_owned()),
            org: id.parse().ok(),
            name: id.to_owned(),
            from,
            to,
        }))
    }

    /// The revision before, where it was lifted.
    async fn lift_row(&mut self, from: Sql, update: Sql) -> Result<Option<u64>, Error> {
        let Some(row) = from.optional(self.connection()).await? else {
            return Ok(None);
        };
        let from = Row::of("a revision", &row).count("revision")?;
        let rows = update.execute(self.connection()).await?;
        Ok((rows > 0).then_some(from))
    }
}
