//! How far the recorder has read each stream.

use std::collections::HashMap;

use signalbox_proto::Timestamp;

use crate::{
    Error, Store,
    sql::{Row, Sql, signed},
};

/// A place in a stream: everything up to it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// When the stream was made: sequences of another one mean other messages.
    pub incarnation: Timestamp,
    /// The last sequence that is recorded.
    pub seq: u64,
    /// When it was stored.
    pub at: Timestamp,
}

/// A step from one place to another. Staying is a step too: it is refused where another recorder went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The stream.
    pub stream: String,
    /// Where the recorder takes itself to be; `None` before its first step.
    pub from: Option<Position>,
    /// Where it goes.
    pub to: Position,
}

impl Move {
    /// Staying where this begins; `None` where nothing is recorded yet.
    pub(super) fn stay(&self) -> Option<Self> {
        let from = self.from?;
        Some(Self {
            stream: self.stream.clone(),
            to: from,
            from: Some(from),
        })
    }
}

impl Store {
    /// How far a stream is recorded; `None` where it never was.
    pub async fn position(&self, stream: &str) -> Result<Option<Position>, Error> {
        let sql = Sql::new("select incarnation, seq, at from positions where stream = $1").with(stream);
        let found = sql.optional(self.reading()).await?;
        found.as_ref().map(|row| read(&Row::of("a position", row))).transpose()
    }

    /// How far each stream is recorded that ever was.
    pub async fn positions(&self) -> Result<HashMap<String, Position>, Error> {
        let sql = Sql::new("select stream, incarnation, seq, at from positions");
        let rows = sql.all(self.reading()).await?;
        let known = rows.iter().map(|row| {
            let row = Row::of("a position", row);
            Ok((row.text("stream")?, read(&row)?))
        });
        known.collect()
    }
}

fn read(row: &Row<'_>) -> Result<Position, Error> {
    Ok(Position {
        incarnation: row.time("incarnation")?,
        seq: row.count("seq")?,
        at: row.time("at")?,
    })
}

/// Takes a step; [`Error::Conflict`] where the recorder is not where it takes itself to be.
pub(super) async fn advance(connection: &mut sqlx::AnyConnection, step: &Move) -> Result<(), Error> {
    let Move { stream, from, to } = step;
    let sql = match from {
        None => Sql::new(
            "insert into positions (incarnation, seq, at, stream) values ($1, $2, $3, $4) \
             on conflict (stream) do nothing",
        ),
        Some(_) => Sql::new(
            "update positions set incarnation = $1, seq = $2, at = $3 \
             where stream = $4 and incarnation = $5 and seq = $6",
        ),
    };
    let mut sql = sql
        .with(to.incarnation.nanos())
        .with(signed(to.seq))
        .with(to.at.nanos())
        .with(stream.as_str());
    if let Some(from) = from {
        sql = sql.with(from.incarnation.nanos()).with(signed(from.seq));
    }
    match sql.execute(connection).await? {
        1 => Ok(()),
        _ => Err(Error::Conflict {
            what: format!("the position in {stream}").into(),
        }),
    }
}
