//! API keys: what opens the door, by hash. The key itself is never here.

use signalbox_proto::{
    Key, Name, Timestamp,
    key::{Principal, PrincipalKind},
};

use crate::{
    Change, Error, Store,
    audit::kind::API_KEY,
    error, outbox,
    sql::{Row, Sql, signed, storable},
};

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// What KV has of it.
    pub key: Key,
    /// SHA-256 of its text, in lower-case hexadecimal digits.
    pub hash: String,
    /// The last characters of its text, by which people know it again.
    pub hint: String,
    /// The id of the key that took its place.
    pub replaced_by: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Whose keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// All there are.
    Anyone,
    /// Those that act for any org.
    Installation,
    /// Those of one org.
    Org(&'a Name),
}

pub(crate) const COLUMNS: &str = "id, org, name, hash, hint, scopes_json, principal_kind, principal_id, expires_at, revoked_at, \
                       replaced_by, revision, created_at, updated_at";

impl Store {
    /// The key of this id.
    pub async fn key(&self, id: &str) -> Result<Option<ApiKey>, Error> {
        self.one_key(" where id = ", id).await
    }

    /// The key of this hash.
    pub async fn key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, Error> {
        self.one_key(" where hash = ", hash).await
    }

    async fn one_key(&self, condition: &'static str, value: &str) -> Result<Option<ApiKey>, Error> {
        let sql = select().push(condition).bind(value);
        let row = sql.optional(self.reading()).await?;
        row.as_ref().map(|row| read(&Row::of("an API key", row))).transpose()
    }

    /// Keys by id, which is by age, from behind `after`; expired and revoked ones too.
    pub async fn keys(&self, owner: Owner<'_>, after: Option<&str>, limit: u32) -> Result<Vec<ApiKey>, Error> {
        let mut sql = select();
        sql = match owner {
            Owner::Anyone => sql.push(" where 1 = 1"),
            Owner::Installation => sql.push(" where org is null"),
            Owner::Org(org) => sql.push(" where org = ").bind(org.as_str()),
        };
        if let Some(after) = after {
            sql = sql.push(" and id > ").bind(after);
        }
        let sql = sql.push(" order by id limit ").bind(i64::from(limit));
        let rows = sql.all(self.reading()).await?;
        rows.iter().map(|row| read(&Row::of("an API key", row))).collect()
    }
}

impl Change {
    /// Adds a key.
    ///
    /// # Errors
    /// [`Error::Duplicate`] where there is one of that id or hash.
    pub async fn create_key(&mut self, key: &ApiKey) -> Result<(), Error> {
        self.insert_key(key).await?;
        self.changed(API_KEY, &key.key.id);
        Ok(())
    }

    /// Ends a key for good; the key as it is then.
    ///
    /// # Errors
    /// [`Error::Conflict`] where there is none of this id that is not revoked.
    pub async fn revoke_key(&mut self, id: &str, at: Timestamp) -> Result<ApiKey, Error> {
        let row = Sql::new("update api_keys set revoked_at = ")
            .bind(at.nanos())
            .push(", updated_at = ")
            .bind(at.nanos())
            .push(", revision = revision + 1 where revoked_at is null and id = ")
            .bind(id)
            .push(" returning ")
            .push(COLUMNS)
            .optional(self.connection())
            .await?;
        self.key_changed(id, row.as_ref(), at).await
    }

    /// Puts a new key into the place of another, which goes on until `expires_at` or its own end, whichever is first. The old
    /// one as it is then. For the audit this is one change: of the old key.
    ///
    /// # Errors
    /// [`Error::Conflict`] where there is none of this id that is neither revoked nor replaced; [`Error::Duplicate`] where
    /// there is one of the new id or hash.
    pub async fn replace_key(&mut self, id: &str, new: &ApiKey, expires_at: Timestamp) -> Result<ApiKey, Error> {
        let at = new.created_at;
        let row = Sql::new("update api_keys set replaced_by = ")
            .bind(&*new.key.id)
            .push(", expires_at = case when expires_at < ")
            .bind(expires_at.nanos())
            .push(" then expires_at else ")
            .bind(expires_at.nanos())
            .push(" end, updated_at = ")
            .bind(at.nanos())
            .push(", revision = revision + 1 where revoked_at is null and replaced_by is null and id = ")
            .bind(id)
            .push(" returning ")
            .push(COLUMNS)
            .optional(self.connection())
            .await?;
        let old = self.key_changed(id, row.as_ref(), at).await?;
        self.insert_key(new).await?;
        Ok(old)
    }

    async fn insert_key(&mut self, key: &ApiKey) -> Result<(), Error> {
        let scopes: Vec<&str> = key.key.scopes.iter().map(signalbox_proto::Scope::as_str).collect();
        Sql::new("insert into api_keys (")
            .push(COLUMNS)
            .push(") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)")
            .with(&*key.key.id)
            .with(key.key.org.as_ref().map(Name::as_str))
            .with(&*storable(&key.key.name))
            .with(&*key.hash)
            .with(&*key.hint)
            .with(serde_json::Value::from(scopes).to_string())
            .with(key.key.principal.kind.as_str())
            .with(&*storable(&key.key.principal.id))
            .with(key.key.expires_at.map(Timestamp::nanos))
            .with(key.key.revoked_at.map(Timestamp::nanos))
            .with(key.replaced_by.as_deref())
            .with(signed(key.key.revision))
            .with(key.created_at.nanos())
            .with(key.updated_at.nanos())
            .execute(self.connection())
            .await
            .map_err(error::duplicate(format!("API key {}", key.key.id)))?;
        self.tell(outbox::Kind::Key, &key.hash, key.key.revision, key.updated_at)
            .await
    }

    async fn key_changed(&mut self, id: &str, row: Option<&sqlx::any::AnyRow>, at: Timestamp) -> Result<ApiKey, Error> {
        let Some(row) = row else {
            return Err(Error::conflict(format!("API key {id}")));
        };
        let key = read(&Row::of("an API key", row))?;
        self.changed(API_KEY, id);
        self.tell(outbox::Kind::Key, &key.hash, key.key.revision, at).await?;
        Ok(key)
    }
}

fn select() -> Sql {
    Sql::new("select ").push(COLUMNS).push(" from api_keys")
}

pub(crate) fn read(row: &Row<'_>) -> Result<ApiKey, Error> {
    let scopes = row.text("scopes_json")?;
    let kind = row.text("principal_kind")?;
    Ok(ApiKey {
        key: Key {
            id: row.text("id")?,
            org: row.parsed_option("org")?,
            name: row.text("name")?,
            scopes: serde_json::from_str(&scopes).map_err(|reason| row.unreadable("scopes_json", reason))?,
            principal: Principal {
                kind: PrincipalKind::ALL
                    .into_iter()
                    .find(|known| known.as_str() == kind)
                    .unwrap_or(PrincipalKind::Unknown),
                id: row.text("principal_id")?,
            },
            expires_at: row.time_option("expires_at")?,
            revoked_at: row.time_option("revoked_at")?,
            revision: row.count("revision")?,
        },
        hash: row.text("hash")?,
        hint: row.text("hint")?,
        replaced_by: row.text_option("replaced_by")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}
