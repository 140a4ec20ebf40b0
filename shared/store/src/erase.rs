//! Erasing an org, or one event: what is to be erased and how far that is, and the part of it that is done here.
//!
//! The rows of an erasure say where it is, so that any process goes on with it. What is removed goes a few rows at a time. The audit
//! has one entry that says that it was asked for and one that says that it is done: what goes in between has none of its own.

mod digests;

use serde_json::Value;
use signalbox_proto::{Integration, Name, RawJson, Timestamp, integration::Status, integration::Subscription, wire};

use crate::{
    Change, Error, Kind, Store,
    audit::kind::ORG,
    outbox,
    sql::{Row, Sql, signed},
};

/// Rows that one transaction removes at most.
const PART: i64 = 500;
/// What an integration is called that was erased.
const NAMELESS: &str = "erased";

/// What is erased, and how far that is.
#[derive(Clone, Debug, PartialEq)]
pub struct Erasure {
    /// A UUIDv7.
    pub id: String,
    /// The tenant.
    pub org: Name,
    /// Source and id of the one event; `None` for all of the org.
    pub event: Option<(String, String)>,
    /// Which step comes next.
    pub state: State,
    /// How far it is: the API's own words.
    pub progress: Value,
    /// When it was asked for.
    pub started_at: Timestamp,
    /// When it came to this step.
    pub changed_at: Timestamp,
    /// When it was done.
    pub ended_at: Option<Timestamp>,
}

/// A step of an erasure, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its keys are revoked and its integrations withdrawn.
    Withdrawing,
    /// What streams and buckets hold is erased.
    Streams,
    /// The recorder is waited for, then what is recorded is erased from OUTCOMES and DEAD.
    Recording,
    /// What the database holds is erased.
    History,
    /// Nothing is left of it.
    Done,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Withdrawing,
        Self::Streams,
        Self::Recording,
        Self::History,
        Self::Done,
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Withdrawing => "withdrawing",
            Self::Streams => "streams",
            Self::Recording => "recording",
            Self::History => "history",
            Self::Done => "done",
        }
    }
}

impl std::str::FromStr for State {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| format!("{word:?} is no step of an erasure"))
    }
}

/// What of an org workers still have to hear of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withdrawn {
    /// Hashes of keys that are revoked.
    pub keys: Vec<String>,
    /// Ids of integrations that are deleted.
    pub integrations: Vec<String>,
}

const COLUMNS: &str = "id, org, event_id, event_source, state, progress_json, started_at, changed_at, ended_at";

impl Store {
    /// The erasure of this id.
    pub async fn erasure(&self, id: &str) -> Result<Option<Erasure>, Error> {
        let row = select().push(" where id = ").bind(id).optional(self.reading()).await?;
        row.as_ref().map(read).transpose()
    }

    /// Those that are not done, the oldest first.
    pub async fn erasures_open(&self, limit: u32) -> Result<Vec<Erasure>, Error> {
        let rows = select()
            .push(" where ended_at is null order by started_at, id limit ")
            .bind(i64::from(limit))
            .all(self.reading())
            .await?;
        rows.iter().map(read).collect()
    }

    /// The last erasure of all of an org.
    pub async fn erasure_of_org(&self, org: &Name) -> Result<Option<Erasure>, Error> {
        let row = select()
            .push(" where event_id is null and org = ")
            .bind(org.as_str())
            .push(" order by started_at desc, id desc limit 1")
            .optional(self.reading())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The last erasure of an event of an org by its id, and of one source where that is named.
    pub async fn erasure_of_event(&self, org: &Name, id: &str, source: Option<&str>) -> Result<Option<Erasure>, Error> {
        let mut sql = select()
            .push(" where org = ")
            .bind(org.as_str())
            .push(" and event_id = ")
            .bind(id);
        if let Some(source) = source {
            sql = sql.push(" and event_source = ").bind(source);
        }
        let sql = sql.push(" order by started_at desc, id desc limit 1");
        let row = sql.optional(self.reading()).await?;
        row.as_ref().map(read).transpose()
    }

    /// Says how far an erasure is; `to` where that is another step. False where it is not at the step that it is known at.
    pub async fn step_erasure(&self, erasure: &Erasure, to: State, at: Timestamp) -> Result<bool, Error> {
        let rows = step(erasure, to, at).execute(self.writing()).await?;
        Ok(rows == 1)
    }

    /// Revokes some of an org's keys and leaves tombstones without a name in the place of some of its integrations; nothing where
    /// none is left.
    pub async fn withdraw(&self, org: &Name, at: Timestamp) -> Result<Withdrawn, Error> {
        let mut change = self.change().await?;
        let keys = change.revoke_all(org, at).await?;
        let integrations = change.delete_all(org, at).await?;
        // Each thing is told without an entry of its own: the erasure has one.
        change.commit().await?;
        Ok(Withdrawn { keys, integrations })
    }

    /// How much of an org KV is still to be told of: itself, its keys, its integrations, its event types. What others wait
    /// for does not count.
    pub async fn untold_of(&self, org: &Name) -> Result<u64, Error> {
        let row = Sql::new("select count(*) as waiting from outbox where ")
            .push("(kind = ")
            .bind(outbox::Kind::Org.as_str())
            .push(" and id = ")
            .bind(org.as_str())
            .push(") or (kind = ")
            .bind(outbox::Kind::Key.as_str())
            .push(" and id in (select hash from api_keys where org = ")
            .bind(org.as_str())
            .push(")) or (kind = ")
            .bind(outbox::Kind::EventType.as_str())
            .push(" and id in (select org || '/' || name from event_types where org = ")
            .bind(org.as_str())
            .push(")) or (kind")
            .among([outbox::Kind::Integration, outbox::Kind::Hold].map(outbox::Kind::as_str))
            .push(" and id in (select id from integrations where org = ")
            .bind(org.as_str())
            .push("))")
            .one(self.reading())
            .await?;
        Row::of("the outbox", &row).count("waiting")
    }

    /// Ids of all integrations that an org has or had.
    pub async fn integration_ids(&self, org: &Name) -> Result<Vec<String>, Error> {
        let rows = Sql::new("select id from integrations where org = $1 order by id")
            .with(org.as_str())
            .all(self.reading())
            .await?;
        rows.iter()
            .map(|row| Row::of("an integration", row).text("id"))
            .collect()
    }

    /// Hashes of all keys of an org.
    pub async fn key_hashes(&self, org: &Name) -> Result<Vec<String>, Error> {
        let rows = Sql::new("select hash from api_keys where org = $1 order by id")
            .with(org.as_str())
            .all(self.reading())
            .await?;
        rows.iter().map(|row| Row::of("an API key", row).text("hash")).collect()
    }

    /// Removes what the database has of an org besides its name and its integrations' tombstones; how many rows.
    pub async fn erase_org(&self, org: &Name) -> Result<u64, Error> {
        let mut erased = self.erase_deliveries(org, None).await?;
        for text in [
            "delete from dead_letters where seq in (select seq from dead_letters where org = $1 limit $2)",
            "delete from integration_revisions where (integration_id, revision) in (select integration_id, revision \
             from integration_revisions where integration_id in (select id from integrations where org = $1) limit $2)",
            "update audit set before_json = null, after_json = null, object_name = null where id in (select id from audit \
             where org = $1 and (before_json is not null or after_json is not null or object_name is not null) limit $2)",
            "delete from event_types where org = $1 and name in (select name from event_types where org = $1 limit $2)",
            "delete from api_keys where id in (select id from api_keys where org = $1 limit $2)",
        ] {
            loop {
                let rows = Sql::new(text)
                    .with(org.as_str())
                    .with(PART)
                    .execute(self.writing())
                    .await?;
                erased += rows;
                if rows == 0 {
                    break;
                }
            }
        }
        self.forget_log().await?;
        Ok(erased)
    }

    /// Removes what the database has of one event; of a digest that it was in, what was answered. How many rows.
    pub async fn erase_event(&self, org: &Name, source: &str, id: &str) -> Result<u64, Error> {
        let mut erased = self.leave_digests(org, source, id).await?;
        erased += Sql::new("delete from dead_letters where org = $1 and event_source = $2 and event_id = $3")
            .with(org.as_str())
            .with(source)
            .with(id)
            .execute(self.writing())
            .await?;
        erased += self.erase_deliveries(org, Some((source, id))).await?;
        self.forget_log().await?;
        Ok(erased)
    }

    /// Deliveries with their members: all of an org, or those of one event alone.
    async fn erase_deliveries(&self, org: &Name, event: Option<(&str, &str)>) -> Result<u64, Error> {
        let mut erased = 0;
        loop {
            let mut sql = Sql::new("select id from deliveries where org = ").bind(org.as_str());
            if let Some((source, id)) = event {
                sql = sql.push(" and event_count <= 1 and event_source = ").bind(source);
                sql = sql.push(" and event_id = ").bind(id);
            }
            let rows = sql.push(" limit ").bind(PART).all(self.reading()).await?;
            let ids: Result<Vec<String>, Error> =
                rows.iter().map(|row| Row::of("a delivery", row).text("id")).collect();
            let ids = ids?;
            if ids.is_empty() {
                return Ok(erased);
            }
            let mut transaction = self.begin().await?;
            for text in [
                "delete from delivery_events where delivery_id",
                "delete from deliveries where id",
            ] {
                let sql = Sql::new(text).among(ids.iter().map(String::as_str));
                erased += sql.execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
        }
    }

    /// How many rows [`Store::erase_org`] or [`Store::erase_event`] would remove that tell what happened.
    pub async fn erasable(&self, org: &Name, event: Option<(&str, &str)>) -> Result<u64, Error> {
        let mut found = 0;
        for text in [
            "select count(*) as found from deliveries where org = ",
            "select count(*) as found from dead_letters where org = ",
        ] {
            let mut sql = Sql::new(text).bind(org.as_str());
            if let Some((source, id)) = event {
                sql = sql.push(" and event_source = ").bind(source);
                sql = sql.push(" and event_id = ").bind(id);
            }
            let row = sql.one(self.reading()).await?;
            found += Row::of("history", &row).count("found")?;
        }
        Ok(found)
    }

    /// SQLite writes removed rows over, but its log of changes has what was before until it begins anew.
    async fn forget_log(&self) -> Result<(), Error> {
        if self.kind() == Kind::Sqlite {
            // One that reads just now keeps it: the next checkpoint does it.
            Sql::new("pragma wal_checkpoint(truncate)").all(self.writing()).await?;
        }
        Ok(())
    }
}

impl Change {
    /// Writes down that something is to be erased.
    pub async fn begin_erasure(&mut self, erasure: &Erasure) -> Result<(), Error> {
        let (source, id) = erasure.event.as_ref().map(|(source, id)| (&**source, &**id)).unzip();
        Sql::new("insert into erasures (")
            .push(COLUMNS)
            .push(") values ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
            .with(&*erasure.id)
            .with(erasure.org.as_str())
            .with(id)
            .with(source)
            .with(erasure.state.as_str())
            .with(erasure.progress.to_string())
            .with(erasure.started_at.nanos())
            .with(erasure.changed_at.nanos())
            .with(erasure.ended_at.map(Timestamp::nanos))
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// As [`Store::step_erasure`], together with other things.
    pub async fn step_erasure(&mut self, erasure: &Erasure, to: State, at: Timestamp) -> Result<bool, Error> {
        let rows = step(erasure, to, at).execute(self.connection()).await?;
        Ok(rows == 1)
    }

    /// Takes the title of an org away.
    pub async fn untitle_org(&mut self, name: &Name) -> Result<(), Error> {
        Sql::new("update orgs set title = null where name = $1")
            .with(name.as_str())
            .execute(self.connection())
            .await?;
        self.changed(ORG, name.as_str());
        Ok(())
    }

    async fn revoke_all(&mut self, org: &Name, at: Timestamp) -> Result<Vec<String>, Error> {
        let rows = Sql::new(
            "update api_keys set revoked_at = $1, updated_at = $1, revision = revision + 1 where id in \
             (select id from api_keys where org = $2 and revoked_at is null limit $3) returning hash, revision",
        )
        .with(at.nanos())
        .with(org.as_str())
        .with(PART)
        .all(self.connection())
        .await?;
        let mut keys = Vec::with_capacity(rows.len());
        for row in &rows {
            let row = Row::of("an API key", row);
            let hash = row.text("hash")?;
            self.tell(outbox::Kind::Key, &hash, row.count("revision")?, at).await?;
            keys.push(hash);
        }
        Ok(keys)
    }

    async fn delete_all(&mut self, org: &Name, at: Timestamp) -> Result<Vec<String>, Error> {
        let rows = Sql::new("select body from integrations where org = $1 and deleted_at is null limit $2")
            .with(org.as_str())
            .with(PART)
            .all(self.connection())
            .await?;
        let mut ids = Vec::with_capacity(rows.len());
        for row in &rows {
            let row = Row::of("an integration", row);
            let living: Integration =
                wire::decode(row.bytes("body")?).map_err(|error| row.unreadable("body", error))?;
            let gone = nameless(living, at);
            let body =
                wire::encode(&gone).map_err(|error| Error::unreadable(format!("integration {}", gone.id), error))?;
            Sql::new(
                "update integrations set name = $1, status = 'deleted', body = $2, \
                 error_message = null, revision = $3, updated_at = $4, deleted_at = $4 where id = $5",
            )
            .with(gone.name.as_str())
            .with(body)
            .with(signed(gone.revision))
            .with(at.nanos())
            .with(&*gone.id)
            .execute(self.connection())
            .await?;
            self.tell(outbox::Kind::Integration, &gone.id, gone.revision, at)
                .await?;
            ids.push(gone.id);
        }
        Ok(ids)
    }
}

/// What is left of an integration of an org that is erased.
fn nameless(living: Integration, at: Timestamp) -> Integration {
    Integration {
        name: NAMELESS.parse().expect("a name"),
        revision: living.revision + 1,
        status: Status::Deleted,
        subscription: Subscription::default(),
        config: RawJson::default(),
        sealed: None,
        template: None,
        schedule_secs: None,
        expire_after_secs: None,
        timeout_secs: None,
        updated_at: at,
        ..living
    }
}

fn step(erasure: &Erasure, to: State, at: Timestamp) -> Sql {
    let changed_at = if to == erasure.state { erasure.changed_at } else { at };
    let ended_at = (to == State::Done).then_some(at);
    Sql::new(
        "update erasures set state = $1, progress_json = $2, changed_at = $3, ended_at = $4 where id = $5 and state = $6",
    )
    .with(to.as_str())
    .with(erasure.progress.to_string())
    .with(changed_at.nanos())
    .with(ended_at.map(Timestamp::nanos))
    .with(&*erasure.id)
    .with(erasure.state.as_str())
}

fn select() -> Sql {
    Sql::new("select ").push(COLUMNS).push(" from erasures")
}

fn read(row: &sqlx::any::AnyRow) -> Result<Erasure, Error> {
    let row = Row::of("an erasure", row);
    let event = row.text_option("event_source")?.zip(row.text_option("event_id")?);
    Ok(Erasure {
        id: row.text("id")?,
        org: row.parsed("org")?,
        event,
        state: row.parsed("state")?,
        progress: row.json_option("progress_json")?.unwrap_or_default(),
        started_at: row.time("started_at")?,
        changed_at: row.time("changed_at")?,
        ended_at: row.time_option("ended_at")?,
    })
}
