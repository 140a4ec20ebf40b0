//! What is too old goes, a few rows at a time.
//!
//! Each call is one small transaction, so that nobody waits long for it; whoever calls rests in between.

use signalbox_proto::Timestamp;

use super::stats;
use crate::{
    Error, Store,
    sql::{Sql, signed},
};

/// Rows that one call removes at most.
pub const PRUNED_MAX: u64 = 1_000;

/// What grows old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Old {
    /// Deliveries, by the acceptance of their events.
    Deliveries,
    /// Members of digests, as these.
    Members,
    /// Ranges of events that matched nothing.
    Unrouted,
    /// Dead letters, by when they were stored.
    DeadLetters,
    /// What streams let go of.
    Gaps,
    /// Figures of hours and days, by when these began.
    Stats,
    /// Entries of the audit.
    Audit,
}

impl Old {
    /// All of it.
    pub const ALL: [Self; 7] = [
        Self::Deliveries,
        Self::Members,
        Self::Unrouted,
        Self::DeadLetters,
        Self::Gaps,
        Self::Stats,
        Self::Audit,
    ];

    /// What it is, in a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deliveries => "deliveries",
            Self::Members => "members",
            Self::Unrouted => "unrouted",
            Self::DeadLetters => "dead_letters",
            Self::Gaps => "gaps",
            Self::Stats => "stats",
            Self::Audit => "audit",
        }
    }

    fn delete(self, before: Timestamp) -> Sql {
        let text = match self {
            Self::Deliveries => {
                "delete from deliveries where id in \
                 (select id from deliveries where created_at < $1 order by created_at limit "
            }
            Self::Members => {
                "delete from delivery_events where (delivery_id, event_seq) in \
                 (select delivery_id, event_seq from delivery_events where created_at < $1 order by created_at limit "
            }
            Self::Unrouted => {
                "delete from unrouted where (first_seq, at) in \
                 (select first_seq, at from unrouted where at < $1 order by at limit "
            }
            Self::DeadLetters => {
                "delete from dead_letters where seq in \
                 (select seq from dead_letters where at < $1 order by at limit "
            }
            Self::Gaps => {
                "delete from gaps where (stream, incarnation, first_seq) in \
                 (select stream, incarnation, first_seq from gaps where until < $1 order by until limit "
            }
            Self::Stats => stats::PRUNE,
            Self::Audit => "delete from audit where id in (select id from audit where at < $1 order by at limit ",
        };
        Sql::new(text).with(before.nanos()).bind(signed(PRUNED_MAX)).push(")")
    }

    /// The statements by which it goes, for whoever asks how they are carried out.
    pub(super) fn statements() -> Vec<(&'static str, Sql)> {
        let deletes = Self::ALL.map(|old| (old.as_str(), old.delete(Timestamp::default())));
        let below = ("dead letters that DEAD let go of", below(Timestamp::default(), 7));
        deletes.into_iter().chain([below]).collect()
    }
}

/// Of another DEAD, or before a sequence of this one. The former are few, and below it as a rule: a stream begins at 1.
fn below(incarnation: Timestamp, seq: u64) -> Sql {
    Sql::new(
        "delete from dead_letters where seq in \
         (select seq from dead_letters where seq < $1 and incarnation <= $2 order by seq limit ",
    )
    .with(signed(seq))
    .with(incarnation.nanos())
    .bind(signed(PRUNED_MAX))
    .push(")")
}

impl Store {
    /// Removes some of what is older than a time. Returns how many rows: [`PRUNED_MAX`] where there may be more.
    pub async fn prune(&self, old: Old, before: Timestamp) -> Result<u64, Error> {
        self.remove(old.delete(before)).await
    }

    /// Removes some of the dead letters before a sequence of the DEAD that was made then, where the stream has none.
    pub async fn prune_dead_letters(&self, incarnation: Timestamp, first_seq: u64) -> Result<u64, Error> {
        self.remove(below(incarnation, first_seq)).await
    }

    async fn remove(&self, delete: Sql) -> Result<u64, Error> {
        let mut transaction = self.begin().await?;
        let removed = delete.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(removed)
    }
}
