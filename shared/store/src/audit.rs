//! Who changed what, when, from where: one entry for each thing changed.
//!
//! What is before and after is written as it is given: secrets are masked by who gives it.

use serde_json::{Value, json};
use signalbox_proto::{Name, Timestamp, hash, refused::Refused};
use sqlx::{Any, Executor};

use crate::{
    Change, Error, Store,
    sql::{Row, Sql, storable},
};

/// Kinds of things whose every change has an entry. Entries may speak of others too.
pub mod kind {
    /// An org; its id is its name.
    pub const ORG: &str = "org";
    /// An API key.
    pub const API_KEY: &str = "api_key";
    /// An event type; its id is [`crate::event_types::id`].
    pub const EVENT_TYPE: &str = "event_type";
    /// An integration.
    pub const INTEGRATION: &str = "integration";
}

/// One entry. It never changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// A UUIDv7, or derived from what was seen to change, so that it is told once.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Whose thing it is; `None` for the installation's.
    pub org: Option<Name>,
    /// Who did it.
    pub actor: Actor,
    /// With which key.
    pub key_id: Option<String>,
    /// From where.
    pub address: Option<String>,
    /// In which request.
    pub request_id: Option<String>,
    /// What was done, as `<noun>.<past participle>`.
    pub action: String,
    /// To what.
    pub object: Object,
    /// What it was, secrets masked.
    pub before: Option<Value>,
    /// What it is, secrets masked.
    pub after: Option<Value>,
}

impl Entry {
    /// That uses of an API key were refused.
    pub(crate) fn of_refused(refused: &Refused) -> Self {
        let first_at = refused.first_at.nanos().to_be_bytes();
        let parts = [
            b"api_key.refused".as_slice(),
            refused.process.as_bytes(),
            refused.key_id.as_bytes(),
            refused.why.as_str().as_bytes(),
            &first_at,
        ];
        Self {
            id: hash::parts(parts),
            at: refused.last_at,
            org: refused.org.clone(),
            actor: Actor {
                kind: refused.principal.kind.as_str().to_owned(),
                id: refused.principal.id.clone(),
            },
            key_id: Some(refused.key_id.clone()),
            address: None,
            request_id: None,
            action: "api_key.refused".to_owned(),
            object: Object {
                kind: kind::API_KEY.to_owned(),
                id: refused.key_id.clone(),
                name: Some(refused.key_name.clone()),
            },
            before: None,
            after: Some(json!({
                "reason": refused.why.as_str(),
                "count": refused.count,
                "since": refused.first_at,
                "until": refused.last_at,
            })),
        }
    }
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// A kind of principal, or `system`.
    pub kind: String,
    /// Its name.
    pub id: String,
}

impl Actor {
    /// What the installation does by itself; `part` is which part of it.
    pub fn system(part: &str) -> Self {
        Self {
            kind: "system".to_owned(),
            id: part.to_owned(),
        }
    }
}

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// A noun: see [`kind`].
    pub kind: String,
    /// Which one.
    pub id: String,
    /// What its owner calls it.
    pub name: Option<String>,
}

/// Which entries are wanted; the newest first.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// Of one org alone.
    pub org: Option<&'a Name>,
    /// Of one action.
    pub action: Option<&'a str>,
    /// About things of one kind.
    pub object_kind: Option<&'a str>,
    /// About one thing.
    pub object_id: Option<&'a str>,
    /// By one actor.
    pub actor_id: Option<&'a str>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Behind the entry with this time and id.
    pub after: Option<(Timestamp, &'a str)>,
    /// So many.
    pub limit: u32,
}

impl Change {
    /// Writes an entry of this change. One of a thing that is not changed here is allowed.
    pub async fn audit(&mut self, entry: &Entry) -> Result<(), Error> {
        let rows = insert(self.connection(), entry).await?;
        if rows == 0 {
            return Err(Error::Duplicate {
                what: format!("audit entry {}", entry.id).into(),
            });
        }
        self.audited(&entry.object);
        Ok(())
    }
}

impl Store {
    /// Writes an entry of something that is no [`Change`]; nothing where there is one of that id. Whether it was written.
    pub async fn audit_once(&self, entry: &Entry) -> Result<bool, Error> {
        Ok(insert(self.writing(), entry).await? == 1)
    }

    /// A page of entries.
    pub async fn audit(&self, wanted: &Wanted<'_>) -> Result<Vec<Entry>, Error> {
        let mut sql = Sql::new(
            "select id, at, org, actor_kind, actor_id, key_id, address, request_id, action, object_kind, object_id, \
             object_name, before_json, after_json from audit where 1 = 1",
        );
        let texts = [
            (" and org = ", wanted.org.map(Name::as_str)),
            (" and action = ", wanted.action),
            (" and object_kind = ", wanted.object_kind),
            (" and object_id = ", wanted.object_id),
            (" and actor_id = ", wanted.actor_id),
        ];
        for (condition, value) in texts {
            if let Some(value) = value {
                sql = sql.push(condition).bind(value);
            }
        }
        if let Some(since) = wanted.since {
            sql = sql.push(" and at >= ").bind(since.nanos());
        }
        if let Some(until) = wanted.until {
            sql = sql.push(" and at < ").bind(until.nanos());
        }
        if let Some((at, id)) = wanted.after {
            sql = sql
                .push(" and (at, id) < (")
                .bind(at.nanos())
                .push(", ")
                .bind(id)
                .push(")");
        }
        let sql = sql
            .push(" order by at desc, id desc limit ")
            .bind(i64::from(wanted.limit));
        let rows = sql.all(self.reading()).await?;
        rows.iter().map(|row| read(&Row::of("an audit entry", row))).collect()
    }
}

pub(crate) async fn insert<'e>(executor: impl Executor<'e, Database = Any>, entry: &Entry) -> Result<u64, sqlx::Error> {
    let json = |value: &Option<Value>| value.as_ref().map(Value::to_string);
    let optional = |text: &Option<String>| text.as_deref().map(|text| storable(text).into_owned());
    Sql::new(
        "insert into audit (id, at, org, actor_kind, actor_id, key_id, address, request_id, action, object_kind, \
         object_id, object_name, before_json, after_json) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) on conflict (id) do nothing",
    )
    .with(&*entry.id)
    .with(entry.at.nanos())
    .with(entry.org.as_ref().map(Name::as_str))
    .with(&*entry.actor.kind)
    .with(&*storable(&entry.actor.id))
    .with(entry.key_id.as_deref())
    .with(optional(&entry.address))
    .with(optional(&entry.request_id))
    .with(&*entry.action)
    .with(&*entry.object.kind)
    .with(&*storable(&entry.object.id))
    .with(optional(&entry.object.name))
    .with(json(&entry.before))
    .with(json(&entry.after))
    .execute(executor)
    .await
}

fn read(row: &Row<'_>) -> Result<Entry, Error> {
    Ok(Entry {
        id: row.text("id")?,
        at: row.time("at")?,
        org: row.parsed_option("org")?,
        actor: Actor {
            kind: row.text("actor_kind")?,
            id: row.text("actor_id")?,
        },
        key_id: row.text_option("key_id")?,
        address: row.text_option("address")?,
        request_id: row.text_option("request_id")?,
        action: row.text("action")?,
        object: Object {
            kind: row.text("object_kind")?,
            id: row.text("object_id")?,
            name: row.text_option("object_name")?,
        },
        before: row.json_option("before_json")?,
        after: row.json_option("after_json")?,
    })
}
