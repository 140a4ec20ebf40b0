//! What changes an integration.

use signalbox_proto::{Integration, Timestamp, integration::Status};

use super::{decode, encode, word};
use crate::{
    Change, Error,
    audit::kind::INTEGRATION,
    error, outbox,
    sql::{Row, Sql, signed, storable},
};

impl Change {
    /// Adds an integration.
    ///
    /// # Errors
    /// [`Error::Duplicate`] where one of its org has that name, or any that id.
    pub async fn create_integration(&mut self, integration: &Integration) -> Result<(), Error> {
        insert(integration, false, "")?
            .execute(self.connection())
            .await
            .map_err(error::duplicate(named(integration)))?;
        self.integration_changed(integration).await
    }

    /// Replaces the integration that is at revision `expected`, which is kept without its secrets.
    ///
    /// # Errors
    /// [`Error::Conflict`] where it is at another revision, or deleted; [`Error::Duplicate`] where another one of its org
    /// has that name.
    ///
    /// # Panics
    /// Where its revision is not above `expected`.
    pub async fn replace_integration(&mut self, integration: &Integration, expected: u64) -> Result<(), Error> {
        self.keep(integration, expected).await?;
        let rows = Sql::new(
            "update integrations set name = $1, status = $2, body = $3, revision = $4, updated_at = $5 \
             where id = $6 and revision = $7 and deleted_at is null",
        )
        .with(integration.name.as_str())
        .with(word(integration.status))
        .with(encode(integration)?)
        .with(signed(integration.revision))
        .with(integration.updated_at.nanos())
        .with(&*integration.id)
        .with(signed(expected))
        .execute(self.connection())
        .await
        .map_err(error::duplicate(named(integration)))?;
        if rows == 0 {
            return Err(conflict(&integration.id));
        }
        self.integration_changed(integration).await
    }

    /// Leaves a tombstone, an integration of status `deleted`, in place of the integration that is at revision `expected`,
    /// which is kept without its secrets. Its name is free again.
    ///
    /// # Errors
    /// [`Error::Conflict`] where it is at another revision, or deleted.
    ///
    /// # Panics
    /// Where its revision is not above `expected`, or it is no tombstone.
    pub async fn delete_integration(&mut self, tombstone: &Integration, expected: u64) -> Result<(), Error> {
        assert!(tombstone.status == Status::Deleted, "a tombstone says that it is one");
        self.keep(tombstone, expected).await?;
        let rows = Sql::new(
            "update integrations set status = $1, body = $2, error_message = null, \
             revision = $3, updated_at = $4, deleted_at = $5 where id = $6 and revision = $7 and deleted_at is null",
        )
        .with(word(tombstone.status))
        .with(encode(tombstone)?)
        .with(signed(tombstone.revision))
        .with(tombstone.updated_at.nanos())
        .with(tombstone.updated_at.nanos())
        .with(&*tombstone.id)
        .with(signed(expected))
        .execute(self.connection())
        .await?;
        if rows == 0 {
            return Err(conflict(&tombstone.id));
        }
        self.integration_changed(tombstone).await
    }

    /// Whether a person holds it. No revision of the integration, but one more of its
    /// [`super::Stored::hold_revision`], which is given back.
    ///
    /// # Errors
    /// [`Error::Conflict`] where there is none of this id, or it is deleted.
    pub async fn hold_integration(&mut self, id: &str, held: bool, at: Timestamp) -> Result<u64, Error> {
        let row = Sql::new(
            "update integrations set held = $1, hold_revision = hold_revision + 1 \
             where id = $2 and deleted_at is null returning hold_revision",
        )
        .with(i64::from(held))
        .with(id)
        .optional(self.connection())
        .await?;
        let Some(row) = row else {
            return Err(conflict(id));
        };
        let revision = Row::of("an integration", &row).count("hold_revision")?;
        self.changed(INTEGRATION, id);
        self.tell(outbox::Kind::Hold, id, revision, at).await?;
        Ok(revision)
    }

    /// Why its last test failed, or that it did not. No revision: KV does not hear of it.
    ///
    /// # Errors
    /// [`Error::Conflict`] where there is none of this id, or it is deleted.
    pub async fn set_error_message(&mut self, id: &str, message: Option<&str>) -> Result<(), Error> {
        let rows = Sql::new("update integrations set error_message = $1 where id = $2 and deleted_at is null")
            .with(message.map(storable).as_deref())
            .with(id)
            .execute(self.connection())
            .await?;
        if rows == 0 {
            return Err(conflict(id));
        }
        self.changed(INTEGRATION, id);
        Ok(())
    }

    /// Keeps what the integration is at revision `expected`, which `next` is about to take the place of.
    async fn keep(&mut self, next: &Integration, expected: u64) -> Result<(), Error> {
        assert!(next.revision > expected, "a revision only grows");
        // What is read here may be replaced before we replace it: then our own condition on the revision says so, and
        // nothing of this is committed.
        let row = Sql::new("select body from integrations where id = $1 and revision = $2 and deleted_at is null")
            .with(&*next.id)
            .with(signed(expected))
            .optional(self.connection())
            .await?;
        let Some(row) = row else {
            return Err(conflict(&next.id));
        };
        let former = Integration {
            sealed: None,
            ..decode(&Row::of("an integration", &row))?
        };
        Sql::new(
            "insert into integration_revisions (integration_id, revision, body, at) values ($1, $2, $3, $4) \
             on conflict do nothing",
        )
        .with(&*next.id)
        .with(signed(expected))
        .with(encode(&former)?)
        .with(next.updated_at.nanos())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn integration_changed(&mut self, integration: &Integration) -> Result<(), Error> {
        self.changed(INTEGRATION, &integration.id);
        self.tell(
            outbox::Kind::Integration,
            &integration.id,
            integration.revision,
            integration.updated_at,
        )
        .await
    }
}

/// Adds a row.
pub(crate) fn insert(integration: &Integration, held: bool, on_conflict: &'static str) -> Result<Sql, Error> {
    let deleted_at = (integration.status == Status::Deleted).then_some(integration.updated_at);
    Ok(Sql::new(
        "insert into integrations (id, org, name, provider, status, held, body, revision, created_at, updated_at, \
         deleted_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .push(on_conflict)
    .with(&*integration.id)
    .with(integration.org.as_str())
    .with(integration.name.as_str())
    .with(integration.provider.as_str())
    .with(word(integration.status))
    .with(i64::from(held))
    .with(encode(integration)?)
    .with(signed(integration.revision))
    .with(integration.created_at.nanos())
    .with(integration.updated_at.nanos())
    .with(deleted_at.map(Timestamp::nanos)))
}

fn named(integration: &Integration) -> String {
    format!("integration {}/{}", integration.org, integration.name)
}

fn conflict(id: &str) -> Error {
    Error::conflict(format!("integration {id}"))
}
