//! Sequences that something is said of: events that matched nothing, and what a stream let go of.

use signalbox_proto::Timestamp;

use super::{LOOKED_AT_MAX, batch::Gap};
use crate::{
    Error, Store,
    sql::{Row, Sql, signed},
};

fn unrouted(seq: u64) -> Sql {
    // Ranges hardly overlap: those that begin last are the ones that may hold it.
    Sql::new("select last_seq, at from unrouted where first_seq <= $1 order by first_seq desc, at desc limit ")
        .with(signed(seq))
        .bind(signed(RANGES_MAX))
}

fn gaps(from: Timestamp, to: Timestamp) -> Sql {
    Sql::new(
        "select stream, incarnation, first_seq, last_seq, since, until from gaps where until >= $1 and since <= $2 \
         order by until desc limit ",
    )
    .with(from.nanos())
    .with(to.nanos())
    .bind(signed(LOOKED_AT_MAX))
}

/// Later than anything.
const FOREVER: Timestamp = Timestamp::from_nanos(i64::MAX);
/// Ranges that are looked at for a sequence.
const RANGES_MAX: u64 = 64;

/// The statements, for whoever asks how they are answered.
pub(super) fn statements() -> Vec<(&'static str, Sql)> {
    vec![("unrouted", unrouted(7)), ("gaps", gaps(Timestamp::MIN, FOREVER))]
}

impl Store {
    /// When it was said that the event of this sequence in EVENTS matched nothing; `None` where it was not.
    pub async fn unrouted(&self, seq: u64) -> Result<Option<Timestamp>, Error> {
        for row in unrouted(seq).all(self.reading()).await? {
            let row = Row::of("a range of events", &row);
            if row.count("last_seq")? >= seq {
                return Ok(Some(row.time("at")?));
            }
        }
        Ok(None)
    }

    /// What streams let go of before it was recorded, where the record behind it was stored at or after a time; the
    /// newest first.
    pub async fn gaps(&self, since: Timestamp) -> Result<Vec<Gap>, Error> {
        self.gaps_between(since, FOREVER).await
    }

    /// The same, where the record before it was stored at or before another time, too.
    pub async fn gaps_between(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Gap>, Error> {
        let rows = gaps(from, to).all(self.reading()).await?;
        let read = |row| {
            let row = Row::of("a gap", row);
            Ok(Gap {
                stream: row.text("stream")?,
                incarnation: row.time("incarnation")?,
                first_seq: row.count("first_seq")?,
                last_seq: row.count("last_seq")?,
                since: row.time("since")?,
                until: row.time("until")?,
            })
        };
        rows.iter().map(read).collect()
    }
}
