//! What KV is still to be told.
//!
//! A change writes a row here in its own transaction. Who made it puts the thing into KV after the commit and removes the
//! row; where that did not happen, any process that finds the row does both. A row names a thing, not what became of
//! it: whoever puts it reads the thing anew, so that what is old is never put over what is newer.

use std::str::FromStr;

use signalbox_proto::Timestamp;

use crate::{
    Change, Error, Store,
    sql::{Row, Sql, signed},
};

/// What kind of thing KV is to be told of, and how it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An integration, by its id; at its revision, or its tombstone.
    Integration,
    /// An event type, by [`crate::event_types::id`]; a deleted one too.
    EventType,
    /// An API key, by its hash.
    Key,
    /// An org, by its name.
    Org,
    /// Whether a person holds an integration, by the integration's id. Its revision is
    /// [`crate::integrations::Stored::hold_revision`], which goes to KV with it: a lower one is never put over a higher.
    Hold,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Integration, Self::EventType, Self::Key, Self::Org, Self::Hold];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Integration => "integration",
            Self::EventType => "event_type",
            Self::Key => "key",
            Self::Org => "org",
            Self::Hold => "hold",
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| format!("{word:?} is no kind of thing that KV holds"))
    }
}

/// One thing that KV may not hold as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    /// What it is.
    pub kind: Kind,
    /// Which one.
    pub id: String,
    /// What KV is to have at least.
    pub revision: u64,
    /// Since when.
    pub at: Timestamp,
}

/// How much there is of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Things.
    pub count: u64,
    /// Since when the oldest one waits.
    pub oldest: Option<Timestamp>,
}

impl Store {
    /// What has been waiting since `before` or longer, the oldest first.
    pub async fn outbox_due(&self, before: Timestamp, limit: u32) -> Result<Vec<Untold>, Error> {
        let known: Vec<&str> = Kind::ALL.into_iter().map(Kind::as_str).collect();
        // What only a newer version knows is for it alone.
        let rows = Sql::new("select kind, id, revision, at from outbox where at <= ")
            .bind(before.nanos())
            .push(" and kind")
            .among(known)
            .push(" order by at, kind, id limit ")
            .bind(i64::from(limit))
            .all(self.reading())
            .await?;
        rows.iter()
            .map(|row| {
                let row = Row::of("the outbox", row);
                Ok(Untold {
                    kind: row.parsed("kind")?,
                    id: row.text("id")?,
                    revision: row.count("revision")?,
                    at: row.time("at")?,
                })
            })
            .collect()
    }

    /// KV has it at this revision. Where it has changed again in between, it stays.
    pub async fn outbox_done(&self, kind: Kind, id: &str, revision: u64) -> Result<(), Error> {
        Sql::new("delete from outbox where kind = $1 and id = $2 and revision <= $3")
            .with(kind.as_str())
            .with(id)
            .with(signed(revision))
            .execute(self.writing())
            .await?;
        Ok(())
    }

    /// How much waits.
    pub async fn outbox_depth(&self) -> Result<Depth, Error> {
        let row = Sql::new("select count(*) as waiting, min(at) as oldest from outbox")
            .one(self.reading())
            .await?;
        let row = Row::of("the outbox", &row);
        Ok(Depth {
            count: row.count("waiting")?,
            oldest: row.time_option("oldest")?,
        })
    }
}

impl Change {
    /// KV is to be told. What waits already waits since it did.
    pub(crate) async fn tell(&mut self, kind: Kind, id: &str, revision: u64, at: Timestamp) -> Result<(), Error> {
        Sql::new(
            "insert into outbox (kind, id, revision, at) values ($1, $2, $3, $4) \
             on conflict (kind, id) do update set revision = excluded.revision \
             where excluded.revision > outbox.revision",
        )
        .with(kind.as_str())
        .with(id)
        .with(signed(revision))
        .with(at.nanos())
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
