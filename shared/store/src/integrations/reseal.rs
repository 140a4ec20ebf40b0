//! The same secrets under another key.
//!
//! No one's change: what an owner gave is what it was, so the audit says once that the key was changed, and nothing for each
//! integration. Its revision is one more all the same, as workers take none that is not above the one that they know.

use signalbox_proto::{Integration, Timestamp};

use super::encode;
use crate::{
    Change, Error, outbox,
    sql::{Sql, signed},
};

impl Change {
    /// Puts an integration whose secrets are sealed anew into the place of the one at revision `expected`. False, and nothing
    /// changed, where it is at another revision or deleted.
    ///
    /// # Panics
    /// Where its revision is not above `expected`.
    pub async fn reseal_integration(
        &mut self,
        integration: &Integration,
        expected: u64,
        at: Timestamp,
    ) -> Result<bool, Error> {
        assert!(integration.revision > expected, "a revision only grows");
        let rows = Sql::new(
            "update integrations set body = $1, revision = $2 where id = $3 and revision = $4 and deleted_at is null",
        )
        .with(encode(integration)?)
        .with(signed(integration.revision))
        .with(&*integration.id)
        .with(signed(expected))
        .execute(self.connection())
        .await?;
        if rows == 0 {
            return Ok(false);
        }
        let kind = outbox::Kind::Integration;
        self.tell(kind, &integration.id, integration.revision, at).await?;
        Ok(true)
    }
}
